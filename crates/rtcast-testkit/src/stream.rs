//! A stream whose last group of pictures is kept, and one viewer of it: what a server does with a film.

use std::sync::Arc;
use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::payload::Packetizer;
use rtcast_proto::{Codec, Frame, JsepConfig, PacketizedFrame, RtpCodec};

use crate::frames::vp8_frame;
use crate::network::Link;
use crate::pair::{Pair, Side};

/// How large and how frequent the frames of a stream are.
#[derive(Debug, Clone, Copy)]
pub struct StreamShape {
    /// The time between two frames.
    pub interval: Duration,
    /// Frames from one keyframe to the next.
    pub group: u64,
    /// The bytes of a keyframe.
    pub keyframe: usize,
    /// The bytes of every other frame.
    pub frame: usize,
}

impl StreamShape {
    /// A film as x264 makes it by default, of about that many bits a second: 25 frames a second, a keyframe of six times
    /// the size of the others every 250.
    pub const fn film(bits: usize) -> Self {
        let frame = bits / 8 / 25 * 250 / 255;
        Self { interval: Duration::from_millis(40), group: 250, keyframe: 6 * frame, frame }
    }

    /// The bytes a second.
    pub fn rate(&self) -> u64 {
        let group = self.keyframe as u64 + (self.group - 1) * self.frame as u64;
        (group as f64 / self.interval.as_secs_f64() / self.group as f64) as u64
    }
}

/// A stream on the left side, and its viewer on the right.
#[derive(Debug)]
pub struct Stream {
    /// The two peers.
    pub pair: Pair,
    /// Requests for a keyframe that the left side was told of.
    pub requests: usize,
    /// What sends it.
    pub sender: TransceiverId,
    shape: StreamShape,
    packetizer: Packetizer,
    number: u64,
    group: Vec<Arc<PacketizedFrame>>,
    joined: bool,
}

impl Stream {
    /// A stream that has not begun, and a viewer who is connected by a link of that kind and does not watch.
    ///
    /// # Panics
    /// If the two cannot connect.
    pub fn new(link: &Link, shape: StreamShape, config: &JsepConfig) -> Self {
        let codec = RtpCodec::new(Codec::Vp8);
        let mut pair = Pair::with_config(link, 11, config);
        let sender = pair.add_track(Side::Left, &codec, "film");
        pair.negotiate(Side::Left);
        pair.connect(Duration::from_secs(10)).expect("connected");
        assert!(pair.left.connection.select_codec(sender, Some(&codec)), "the codec was negotiated");
        let packetizer = Pair::packetizer(&codec);
        Self { pair, requests: 0, sender, shape, packetizer, number: 0, group: Vec::new(), joined: false }
    }

    /// The number of the frame that comes next, from 0; each multiple of the group's length is a keyframe.
    pub const fn next_number(&self) -> u64 {
        self.number
    }

    /// Goes on for that time.
    pub fn run_for(&mut self, time: Duration) {
        let frames = time.as_nanos() / self.shape.interval.as_nanos();
        (0..frames).for_each(|_| self.step());
    }

    /// The viewer begins to watch.
    pub fn join(&mut self) {
        self.joined = true;
        self.catch_up();
    }

    /// The numbers of the frames that the viewer could decode, in their order.
    pub fn received(&self) -> Vec<u64> {
        self.pair.right.frames.iter().map(number_of).collect()
    }

    /// The next frame, and what happens until the one after it.
    fn step(&mut self) {
        let keyframe = self.number.is_multiple_of(self.shape.group);
        let frame = self.frame(keyframe);
        let packets = Arc::new(self.packetizer.packetize(&frame, self.pair.now).expect("a frame"));
        if keyframe {
            self.group.clear();
        }
        self.group.push(Arc::clone(&packets));
        self.number += 1;
        if self.joined {
            self.pair.left.connection.send_frame(self.sender, &packets, packets.timestamp);
            self.pair.settle();
        }
        // A request is answered when it comes and not with the next frame.
        let end = self.pair.now + self.shape.interval;
        while self.pair.now < end {
            self.pair.run_for((end - self.pair.now).min(Duration::from_millis(5)));
            let sender = self.sender;
            let before = self.pair.left.events.len();
            self.pair.left.events.retain(
                |event| !matches!(event, ConnectionEvent::KeyframeRequested { transceiver } if *transceiver == sender),
            );
            let requests = before - self.pair.left.events.len();
            self.requests += requests;
            if requests > 0 && self.joined {
                self.catch_up();
            }
        }
    }

    fn catch_up(&mut self) {
        let now = self.pair.now;
        self.pair.left.connection.catch_up(now, self.sender, &self.group);
        self.pair.settle();
    }

    fn frame(&self, keyframe: bool) -> Frame {
        let length = if keyframe { self.shape.keyframe } else { self.shape.frame };
        let frame = vp8_frame(self.number, length.max(18), keyframe);
        let mut data = frame.data.to_vec();
        data[10..18].copy_from_slice(&self.number.to_be_bytes());
        let micros = self.shape.interval.as_micros() as i64 * self.number as i64;
        frame.with_data(data).with_timestamp(rtcast_proto::MediaTime::from_micros(micros))
    }
}

fn number_of(frame: &Frame) -> u64 {
    frame.data.get(10..18).and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_be_bytes)
}
