//! A sender that changes its codec in mid-stream.

use std::time::Duration;

use rtcast_proto::{Codec, Frame, MediaTime, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

/// A VP9 keyframe as far as its header goes (VP9 bitstream specification §6.2).
fn vp9_keyframe(number: u64) -> Frame {
    let mut data = vec![0x82, 0x49, 0x83, 0x42];
    data.extend([number as u8; 2_000]);
    let timestamp = MediaTime::from_ticks(number as i64 * 3_000, 90_000);
    Frame::new(Codec::Vp9, data, timestamp).with_keyframe(true)
}

#[test]
fn time_goes_on_and_every_frame_arrives() {
    let (vp8, vp9) = (RtpCodec::new(Codec::Vp8), RtpCodec::with_fmtp(Codec::Vp9, "profile-id=0"));
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(10), ..Link::default() }, 1);
    let sender = pair.add_track(Side::Left, &vp8, "picture");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sender, Some(&vp8)));
    let mut packetizer = Pair::packetizer(&vp8);
    for number in 0..30 {
        pair.send(Side::Left, sender, &mut packetizer, &vp8_frame(number, 3_000, number == 0));
        pair.run_for(Duration::from_micros(33_333));
    }
    assert!(pair.left.connection.select_codec(sender, Some(&vp9)));
    let mut packetizer = Pair::packetizer(&vp9);
    for number in 30..60 {
        pair.send(Side::Left, sender, &mut packetizer, &vp9_keyframe(number));
        pair.run_for(Duration::from_micros(33_333));
    }
    let frames = &pair.right.frames;
    assert_eq!(frames.len(), 60);
    assert_eq!(frames[30].codec, Codec::Vp9);
    assert_eq!(frames[59].data, vp9_keyframe(59).data);
    for pair in frames.windows(2) {
        let step = pair[1].timestamp.since(pair[0].timestamp).as_secs_f64();
        assert!((0.03..0.04).contains(&step), "{step} s from one picture to the next");
    }
}
