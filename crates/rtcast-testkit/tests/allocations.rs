//! Sending takes no memory from the heap: neither a packet nor a frame that goes to a viewer, once the queues have grown.
#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait around the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use rtcast_proto::connection::TransmitBatch;
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_frame_to_a_viewer_takes_no_memory_from_the_heap() {
    let codec = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link::default(), 1);
    let track = pair.add_track(Side::Left, &codec, "video");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.left.connection.select_codec(track, Some(&codec));
    let mut packetizer = Pair::packetizer(&codec);
    // More frames than a sender keeps for retransmission, so that its queues have their full size.
    for number in 0..300 {
        pair.send(Side::Left, track, &mut packetizer, &vp8_frame(number, 12_000, number == 0));
        pair.run_for(Duration::from_millis(33));
    }
    let now = pair.now;
    let frames: Vec<_> = (300..400)
        .map(|number| Arc::new(packetizer.packetize(&vp8_frame(number, 12_000, false), now).expect("a frame")))
        .collect();
    let mut batch = TransmitBatch::default();
    let connection = &mut pair.left.connection;
    let before = ALLOCATIONS.get();
    let mut packets = 0;
    for (number, frame) in frames.iter().enumerate() {
        let at = now + Duration::from_millis(33 * number as u64);
        connection.send_frame(track, frame, frame.timestamp);
        while !connection.poll_transmit(at, &mut batch) {
            packets += batch.len();
            batch.clear();
        }
        packets += batch.len();
        batch.clear();
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(packets >= 1_100, "{packets} packets were sent");
    assert_eq!(allocations, 0, "for {packets} packets");
}
