//! A viewer that names no packetization mode for H.264 takes single NAL units, and gets its pictures so.

use std::time::Duration;

use rtcast_proto::jsep::CodecCapability;
use rtcast_proto::{Codec, Frame, JsepConfig, MediaTime, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

/// A picture in slices that each fit a packet, with parameter sets before it if it is a keyframe.
fn picture(number: u64) -> Frame {
    let keyframe = number.is_multiple_of(10);
    let mut data = Vec::new();
    let mut unit = |header: u8, first: u8, length: usize| {
        data.extend_from_slice(&[0, 0, 0, 1, header, first]);
        data.extend((0..length).map(|at| 1 + (at as u64 * 7 + number) as u8 % 250));
    };
    if keyframe {
        unit(0x67, 0x42, 12);
        unit(0x68, 0xce, 4);
    }
    let slice = if keyframe { 0x65 } else { 0x41 };
    // The first macroblock of the first slice is 0, which is the single bit 1.
    unit(slice, 0x88, 900);
    (0..8).for_each(|_| unit(slice, 0x22, 1_000));
    Frame::new(Codec::H264, data, MediaTime::from_ticks(number as i64 * 3_000, 90_000)).with_keyframe(keyframe)
}

#[test]
fn pictures_of_small_slices_reach_a_viewer_without_a_packetization_mode() {
    // RFC 6184 §8.1: without a word it is mode 0 and Baseline.
    let plain = CodecCapability { offered: true, ..CodecCapability::new(RtpCodec::new(Codec::H264)) };
    let config = JsepConfig { codecs: vec![plain], ..JsepConfig::default() };
    let link = Link { loss: 0.02, delay: Duration::from_millis(10), ..Link::default() };
    let mut pair = Pair::with_config(&link, 1, &config);
    let single = RtpCodec::with_fmtp(Codec::H264, "packetization-mode=0;profile-level-id=42e01f");
    let cut = RtpCodec::with_fmtp(Codec::H264, "packetization-mode=1;profile-level-id=42e01f");
    let track = pair.add_track(Side::Left, &single, "pictures");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(20)).expect("connected");
    assert!(!pair.left.connection.select_codec(track, Some(&cut)), "fragments are not for this viewer");
    assert!(pair.left.connection.select_codec(track, Some(&single)));
    let mut packetizer = Pair::packetizer(&single);
    for number in 0..60 {
        pair.send(Side::Left, track, &mut packetizer, &picture(number));
        pair.run_for(Duration::from_millis(33));
    }
    pair.run_for(Duration::from_secs(2));
    let received = &pair.right.frames;
    assert_eq!(received.len(), 60);
    for (number, frame) in (0..).zip(received) {
        assert_eq!(frame.data, picture(number).data, "picture {number}");
    }
}
