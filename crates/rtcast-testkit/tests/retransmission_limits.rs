//! What is sent again stays a small part of the stream, whatever a path loses and a peer asks for.

use std::time::Duration;

use rtcast_proto::connection::Datagram;
use rtcast_proto::rtcp::RtcpWriter;
use rtcast_proto::{JsepConfig, Ssrc};
use rtcast_testkit::{Bottleneck, Link, Side, Stream, StreamShape};

const SECOND: Duration = Duration::from_secs(1);

fn narrow(bits: u64, queue: u64) -> Link {
    let bottleneck = Bottleneck { rate: bits, queue: Duration::from_millis(queue) };
    Link { delay: Duration::from_millis(20), bottleneck: Some(bottleneck), ..Link::default() }
}

fn without_rtx() -> JsepConfig {
    let mut config = JsepConfig::default();
    config.codecs.iter_mut().for_each(|codec| codec.retransmission = false);
    config
}

/// Lets the viewer send a compound that it would not send by itself.
fn forge(stream: &mut Stream, write: impl Fn(&mut RtcpWriter, Ssrc)) {
    let ssrc = stream.pair.left.connection.negotiated_sender(stream.sender).expect("negotiated").ssrc;
    let mut rtcp = RtcpWriter::default();
    rtcp.receiver_report(Ssrc(1), &[]);
    write(&mut rtcp, ssrc);
    let mut protected = Vec::new();
    let srtp = stream.pair.right.connection.srtp_mut().expect("keys");
    srtp.protect_rtcp(rtcp.bytes(), &mut protected).expect("protected");
    let (source, destination) = (stream.pair.right.address, stream.pair.left.address);
    let datagram = Datagram { source, destination, contents: &mut protected };
    let now = stream.pair.now;
    let _ = stream.pair.left.connection.handle_input(now, datagram);
    stream.pair.settle();
}

#[test]
fn a_path_far_below_the_stream_is_not_flooded_and_recovers_with_the_path() {
    for config in [JsepConfig::default(), without_rtx()] {
        let shape = StreamShape { group: 100, ..StreamShape::film(2_000_000) };
        let wide = narrow(20_000_000, 50);
        let mut stream = Stream::new(&wide, shape, &config);
        stream.join();
        stream.run_for(3 * SECOND);
        stream.pair.set_link_from(Side::Left, &narrow(300_000, 200));
        // The peer's report tells what gets through; until it comes, the stream's rate counts.
        stream.run_for(3 * SECOND);
        let stats = |stream: &Stream| stream.pair.left.connection.stats().senders[0].stats;
        let before = stats(&stream);
        stream.run_for(15 * SECOND);
        let after = stats(&stream);
        let again = after.retransmitted_bytes_sent - before.retransmitted_bytes_sent;
        // A quarter of what the path carries, which is more than the few packets that a sender may always send again.
        let bound = 15 * (300_000 / 8 / 4) * 5 / 4;
        assert!(again <= bound, "{again} bytes in 15 s, {bound} at most");
        let all = after.bytes_sent - before.bytes_sent;
        // The stream itself, and what is given to a viewer who asks for a keyframe.
        assert!(all <= 15 * shape.rate() * 8 / 4, "{all} bytes in 15 s of a stream of {} a second", shape.rate());
        stream.pair.set_link_from(Side::Left, &wide);
        stream.run_for(6 * SECOND);
        let received = stream.received();
        let last: Vec<u64> = (stream.next_number() - 28..stream.next_number() - 3).collect();
        assert!(received.windows(last.len()).any(|window| window == last), "after the path has recovered");
    }
}

#[test]
fn a_peer_that_asks_for_everything_gets_a_quarter_more() {
    for config in [JsepConfig::default(), without_rtx()] {
        let shape = StreamShape::film(2_000_000);
        let mut stream = Stream::new(&Link { delay: Duration::from_millis(20), ..Link::default() }, shape, &config);
        stream.join();
        stream.run_for(3 * SECOND);
        let before = stream.pair.left.connection.stats().senders[0].stats;
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for round in 0..125 {
            forge(&mut stream, |rtcp, ssrc| {
                // Several requests in one compound, for the same numbers again and again.
                all.chunks(1_000).skip(round % 8).step_by(8).for_each(|part| rtcp.nack(Ssrc(1), ssrc, part));
                rtcp.nack(Ssrc(1), ssrc, &[all[round]; 17]);
            });
            stream.run_for(Duration::from_millis(40));
        }
        let after = stream.pair.left.connection.stats().senders[0].stats;
        let again = after.retransmitted_bytes_sent - before.retransmitted_bytes_sent;
        assert!(again > 0 && again <= 5 * shape.rate() / 4 * 5 / 4, "{again} bytes in 5 s");
        assert_eq!(after.frames_sent - before.frames_sent, 125, "the stream goes on");
    }
}

#[test]
fn a_storm_of_requests_for_keyframes_is_answered_now_and_then() {
    let shape = StreamShape::film(2_000_000);
    let mut stream =
        Stream::new(&Link { delay: Duration::from_millis(20), ..Link::default() }, shape, &JsepConfig::default());
    stream.join();
    stream.run_for(2 * SECOND);
    let before = stream.pair.left.connection.stats().senders[0].stats;
    for round in 0..200u32 {
        forge(&mut stream, |rtcp, ssrc| {
            for _ in 0..20 {
                rtcp.picture_loss_indication(Ssrc(1), ssrc);
            }
            rtcp.full_intra_request(Ssrc(1), ssrc, round as u8);
        });
        stream.run_for(Duration::from_millis(40));
    }
    let after = stream.pair.left.connection.stats().senders[0].stats;
    assert!(after.pli_count - before.pli_count >= 4_000);
    let given = after.key_frames_sent - before.key_frames_sent;
    assert!((2..=5).contains(&given), "{given} times in eight seconds");
    // Nothing of the stream was lost to the viewer meanwhile: what comes after each is whole.
    stream.run_for(2 * SECOND);
    let received = stream.received();
    assert!(received.last().is_some_and(|last| last + 3 > stream.next_number()));
}

#[test]
fn what_is_lost_is_sent_again_once_a_round_trip_and_no_more() {
    for config in [JsepConfig::default(), without_rtx()] {
        let shape = StreamShape::film(2_000_000);
        let clean = Link { delay: Duration::from_millis(150), ..Link::default() };
        let mut stream = Stream::new(&clean, shape, &config);
        stream.join();
        stream.run_for(3 * SECOND);
        let (_, before, _) = stream.pair.sent_by(Side::Left);
        stream.pair.set_link_from(Side::Left, &Link { loss: 0.05, ..clean.clone() });
        stream.run_for(10 * SECOND);
        stream.pair.set_link_from(Side::Left, &clean);
        stream.run_for(2 * SECOND);
        let (_, lost, _) = stream.pair.sent_by(Side::Left);
        let stats = stream.pair.left.connection.stats().senders[0].stats;
        let (lost, again) = (lost - before, stats.retransmitted_packets_sent);
        assert!(again >= lost * 8 / 10 && again <= lost * 12 / 10, "{again} were sent again of {lost} lost");
    }
}
