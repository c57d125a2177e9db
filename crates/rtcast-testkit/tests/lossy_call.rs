//! A whole call over a bad network: every frame arrives, for what is lost is asked for and sent again.

use std::time::Duration;

use rtcast_proto::{Codec, Frame, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

const FRAMES: u64 = 900;

fn run(link: &Link, seed: u64, without_rtx: bool) -> Pair {
    let quiet = Link { loss: 0.0, ..link.clone() };
    let mut pair =
        if without_rtx { Pair::without_retransmission_stream(&quiet, seed) } else { Pair::new(&quiet, seed) };
    let codec = RtpCodec::new(Codec::Vp8);
    let sender = pair.add_track(Side::Left, &codec, "picture");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sender, Some(&codec)));
    let mut packetizer = Pair::packetizer(&codec);
    for number in 0..FRAMES {
        // Before its first packet a receiver cannot know that a stream has begun, so the first frame comes through.
        if number == 1 {
            pair.set_link(link);
        }
        // Nor can it miss a packet that nothing follows, so the last frame comes through as well.
        if number == FRAMES - 1 {
            pair.set_link(&quiet);
        }
        // Half a minute at 30 frames a second and about 2.4 Mb/s, with a large keyframe every three seconds.
        let keyframe = number.is_multiple_of(90);
        let frame = vp8_frame(number, if keyframe { 60_000 } else { 10_000 }, keyframe);
        pair.send(Side::Left, sender, &mut packetizer, &frame);
        pair.run_for(Duration::from_micros(33_333));
    }
    pair.run_for(Duration::from_secs(2));
    pair
}

fn assert_every_frame(pair: &Pair) {
    assert_eq!(pair.right.frames.len() as u64, FRAMES);
    for (number, frame) in pair.right.frames.iter().enumerate() {
        let number = number as u64;
        let keyframe = number.is_multiple_of(90);
        let sent = vp8_frame(number, if keyframe { 60_000 } else { 10_000 }, keyframe);
        assert_eq!(frame.data, sent.data, "frame {number}");
        assert_eq!(frame.timestamp, sent.timestamp, "frame {number}");
        assert_eq!(frame.keyframe, keyframe, "frame {number}");
    }
}

#[test]
fn every_frame_arrives_through_loss_delay_and_reordering() {
    let link = Link {
        delay: Duration::from_millis(50),
        jitter: Duration::from_millis(15),
        loss: 0.05,
        duplication: 0.01,
        ..Link::default()
    };
    for seed in 1..=3 {
        let pair = run(&link, seed, false);
        assert_every_frame(&pair);
        let (sent, lost) = pair.datagrams();
        assert!(lost * 100 > sent * 4, "the network lost {lost} of {sent}");
        let sender = &pair.left.connection.stats().senders[0].stats;
        let receiver = &pair.right.connection.stats().receivers[0].stats;
        assert!(sender.retransmitted_packets_sent > 300, "{sender:?}");
        assert!(receiver.retransmitted_packets_received > 300, "{receiver:?}");
        // The first keyframe may be asked for; after it, nothing was ever given up.
        assert!(sender.pli_count <= 1, "{sender:?}");
        let round_trip = sender.round_trip_time.expect("reports came");
        assert!((Duration::from_millis(95)..Duration::from_millis(150)).contains(&round_trip), "{round_trip:?}");
    }
}

#[test]
fn retransmission_in_the_stream_itself_works_as_well() {
    let link = Link { delay: Duration::from_millis(20), loss: 0.05, ..Link::default() };
    let pair = run(&link, 7, true);
    assert_every_frame(&pair);
    assert!(pair.left.connection.stats().senders[0].stats.retransmitted_packets_sent > 300);
    assert_eq!(pair.right.connection.stats().receivers[0].stats.retransmitted_packets_received, 0);
}

#[test]
fn after_a_silence_of_the_network_the_pictures_come_back_with_a_keyframe() {
    let codec = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(20), ..Link::default() }, 5);
    let sender = pair.add_track(Side::Left, &codec, "picture");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sender, Some(&codec)));
    let mut packetizer = Pair::packetizer(&codec);
    let mut keyframe = true;
    let mut asked = 0;
    for number in 0..300 {
        match number {
            60 => pair.set_link(&Link { loss: 1.0, ..Link::default() }),
            120 => pair.set_link(&Link { delay: Duration::from_millis(20), ..Link::default() }),
            _ => {}
        }
        pair.send(Side::Left, sender, &mut packetizer, &vp8_frame(number, 5_000, keyframe));
        keyframe = false;
        pair.run_for(Duration::from_micros(33_333));
        let requests = pair.left.connection.stats().senders[0].stats.pli_count;
        if requests > asked {
            asked = requests;
            keyframe = true;
        }
    }
    assert!(asked >= 1);
    let number = |frame: &Frame| frame.timestamp.to_ticks(90_000) / 3_000;
    for pair in pair.right.frames.windows(2) {
        let follows = number(&pair[1]) == number(&pair[0]) + 1;
        assert!(
            follows || pair[1].keyframe,
            "after {} comes {}, which refers to what is lost",
            number(&pair[0]),
            number(&pair[1])
        );
    }
    assert!(pair.right.frames.len() > 200, "{}", pair.right.frames.len());
    let last = pair.right.frames.last().unwrap();
    assert_eq!(last.data, vp8_frame(299, 5_000, false).data);
}
