//! A sender whose track is replaced in mid-stream: the stream goes on, and nobody negotiates.

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::{Codec, DescriptionError, Frame, MediaTime, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

const FRAME: Duration = Duration::from_micros(33_333);

/// A frame of a track whose time begins elsewhere.
fn frame_at(number: u64, begins_at: MediaTime) -> Frame {
    let frame = vp8_frame(number, 2_000, number.is_multiple_of(30));
    let timestamp = frame.timestamp.offset(begins_at);
    frame.with_timestamp(timestamp)
}

#[test]
fn times_and_numbers_go_on() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(10), ..Link::default() }, 1);
    let sender = pair.add_track(Side::Left, &vp8, "one");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sender, Some(&vp8)));
    pair.left.events.clear();
    // Tracks that begin at their own zero, far ahead, and near the end of the 32 bits of a timestamp.
    let starts =
        [MediaTime::ZERO, MediaTime::from_micros(86_400_000_000), MediaTime::from_micros(-7_000_000), MediaTime::ZERO];
    for (track, start) in starts.into_iter().enumerate() {
        if track > 0 {
            let name = Some(format!("track {track}"));
            pair.left.connection.replace_track(sender, name, std::slice::from_ref(&vp8)).expect("replaced");
            pair.settle();
        }
        let mut packetizer = Pair::packetizer(&vp8);
        for number in 0..30 {
            pair.send(Side::Left, sender, &mut packetizer, &frame_at(number, start));
            pair.run_for(FRAME);
        }
    }
    pair.run_for(Duration::from_secs(1));
    let frames = &pair.right.frames;
    assert_eq!(frames.len(), 120, "every frame of every track");
    for pair in frames.windows(2) {
        let step = pair[1].timestamp.since(pair[0].timestamp).as_secs_f64();
        assert!((0.030..0.037).contains(&step), "{step} s from one picture to the next");
    }
    let stats = pair.right.connection.stats().receivers[0].stats;
    assert_eq!((stats.packets_lost, stats.nack_count), (0, 0), "sequence numbers have no gap");
    assert_eq!(pair.left.connection.stats().senders[0].ssrc, stats.ssrc.expect("a stream"));
    assert!(!pair.left.told(&ConnectionEvent::NegotiationNeeded));
    assert!(!pair.left.connection.is_negotiation_needed());
}

#[test]
fn a_track_that_would_need_a_negotiation_is_refused() {
    let (vp8, pcmu) = (RtpCodec::new(Codec::Vp8), RtpCodec::new(Codec::Pcmu));
    let mut pair = Pair::new(&Link::default(), 2);
    let sender = pair.add_track(Side::Left, &vp8, "one");
    pair.negotiate(Side::Left);
    let before = pair.left.connection.transceivers().to_vec();
    let error = pair.left.connection.replace_track(sender, Some("two".into()), &[pcmu]).expect_err("refused");
    assert!(matches!(error, DescriptionError::Modified { .. }), "{error}");
    assert_eq!(error.name(), "InvalidModificationError");
    assert_eq!(pair.left.connection.transceivers(), before, "nothing has changed");
    // None at all is fine, and says nothing to the peer.
    pair.left.connection.replace_track(sender, None, &[]).expect("replaced by nothing");
    assert_eq!(pair.left.connection.transceiver(sender).and_then(|t| t.track_id()), None);
    assert!(!pair.left.connection.is_negotiation_needed());
    pair.left.connection.stop_transceiver(sender).expect("stopped");
    let error = pair.left.connection.replace_track(sender, Some("two".into()), &[vp8]).expect_err("refused");
    assert_eq!(error.name(), "InvalidStateError");
}
