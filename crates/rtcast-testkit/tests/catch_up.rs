//! A viewer who joins in the middle of a long group of pictures, or loses it, is given it at a pace that its path carries.

use std::time::Duration;

use rtcast_proto::JsepConfig;
use rtcast_testkit::{Bottleneck, Link, Side, Stream, StreamShape};

const SECOND: Duration = Duration::from_secs(1);

fn narrow(megabits: f64, queue: u64) -> Link {
    let bottleneck = Bottleneck { rate: (megabits * 1e6) as u64, queue: Duration::from_millis(queue) };
    Link { delay: Duration::from_millis(10), bottleneck: Some(bottleneck), ..Link::default() }
}

fn without_rtx() -> JsepConfig {
    let mut config = JsepConfig::default();
    config.codecs.iter_mut().for_each(|codec| codec.retransmission = false);
    config
}

/// All received frames from the first of these numbers on, which are to be all that there were.
#[track_caller]
fn assert_all_since(stream: &Stream, first: u64) {
    let received = stream.received();
    let from = received.iter().rposition(|number| *number == first).expect("the first of them came");
    let expected: Vec<u64> = (first..stream.next_number()).collect();
    assert_eq!(received[from..], expected[..(received.len() - from).min(expected.len())]);
    // The last of them may still be on its way.
    assert!(expected.len() - (received.len() - from) <= 3, "{} of {}", received.len() - from, expected.len());
}

#[track_caller]
fn assert_timestamps_run_on(stream: &Stream) {
    for pair in stream.pair.right.frames.windows(2) {
        assert!(pair[1].timestamp > pair[0].timestamp, "{:?} after {:?}", pair[1].timestamp, pair[0].timestamp);
    }
}

/// Joins after eight seconds of a group of ten, and watches for twelve more.
fn join(link: &Link, megabits: f64, config: &JsepConfig) -> Stream {
    let shape = StreamShape::film((megabits * 1e6) as usize);
    let mut stream = Stream::new(link, shape, config);
    stream.run_for(8 * SECOND);
    stream.join();
    stream.run_for(7 * SECOND);
    stream
}

#[test]
fn a_viewer_who_joins_in_mid_group_over_an_ordinary_link_sees_every_frame() {
    let cases =
        [2.0, 5.0].into_iter().flat_map(|megabits| [(megabits, JsepConfig::default()), (megabits, without_rtx())]);
    for (megabits, config) in cases {
        let mut stream = join(&narrow(20.0, 50), megabits, &config);
        assert_all_since(&stream, 250);
        // Of the group before it, nothing is missing up to where the next keyframe took its place.
        let received = stream.received();
        let whole = received.iter().take_while(|number| **number < 250).count() as u64;
        assert_eq!(received[..whole as usize], (0..whole).collect::<Vec<_>>()[..], "{megabits} Mb/s");
        assert_eq!(stream.requests, 0, "the viewer never needed to ask");
        assert_timestamps_run_on(&stream);
        let (sent, lost, _) = stream.pair.sent_by(Side::Left);
        assert!(lost * 25 < sent, "{lost} of {sent} lost");
        // It is where the stream is: what was captured last was received.
        let seen = received.last().copied().unwrap_or_default();
        assert!(seen + 3 > stream.next_number(), "{seen} of {}", stream.next_number());
    }
}

#[test]
fn it_is_soon_where_the_stream_is() {
    let shape = StreamShape::film(5_000_000);
    let mut stream = Stream::new(&narrow(20.0, 50), shape, &JsepConfig::default());
    stream.run_for(4 * SECOND);
    stream.join();
    stream.run_for(4 * SECOND);
    // At three times the stream four seconds take two; a little more with the losses that show what the path carries.
    assert_all_since(&stream, 0);
    // On a wide path it is at once.
    let mut stream =
        Stream::new(&Link { delay: Duration::from_millis(1), ..Link::default() }, shape, &JsepConfig::default());
    stream.run_for(8 * SECOND);
    stream.join();
    stream.run_for(2 * SECOND);
    assert_all_since(&stream, 0);
}

#[test]
fn a_link_that_carries_little_more_than_the_stream_is_enough() {
    let mut stream = join(&narrow(8.0, 50), 5.0, &JsepConfig::default());
    stream.run_for(4 * SECOND);
    assert_all_since(&stream, 250);
    assert_timestamps_run_on(&stream);
}

#[test]
fn a_request_for_a_keyframe_is_answered_from_the_group_that_is_kept() {
    for config in [JsepConfig::default(), without_rtx()] {
        let link = narrow(20.0, 50);
        let mut stream = Stream::new(&link, StreamShape::film(2_000_000), &config);
        stream.join();
        stream.run_for(3 * SECOND);
        assert_all_since(&stream, 0);
        // Longer than anything is kept to be sent again.
        stream.pair.set_link_from(Side::Left, &Link { loss: 1.0, ..link.clone() });
        stream.run_for(3 * SECOND);
        let before = stream.received().len();
        stream.pair.set_link_from(Side::Left, &link);
        stream.run_for(3 * SECOND);
        assert!(stream.requests >= 1);
        let received = stream.received();
        assert_eq!(received[before], 0, "it begins with the keyframe again");
        assert_all_since(&stream, 0);
        assert_timestamps_run_on(&stream);
        let stats = stream.pair.left.connection.stats().senders[0].stats;
        assert!(stats.key_frames_sent <= 4, "{stats:?}");
    }
}

#[test]
fn a_newer_keyframe_takes_the_place_of_what_is_owed() {
    // Too slow to catch up with what is eight seconds old, so that the next keyframe comes before the end.
    let stream = join(&narrow(8.0, 100), 5.0, &JsepConfig::default());
    assert_all_since(&stream, 250);
    let received = stream.received();
    assert!(!received.contains(&249), "the rest of the group was left out");
    assert_timestamps_run_on(&stream);
}
