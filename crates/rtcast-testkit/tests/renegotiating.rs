//! Twenty renegotiations with tracks added, removed, replaced and stopped, while one stream goes on untouched.

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::payload::Packetizer;
use rtcast_proto::{Codec, Direction, MediaKind, RtpCodec, SessionDescription, SignalingState};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

const FRAME: Duration = Duration::from_micros(33_333);

struct Stream {
    id: TransceiverId,
    packetizer: Packetizer,
}

/// Sends the main stream for so long, and whatever else may be sent.
fn flow(pair: &mut Pair, main: &mut Stream, others: &mut [(Side, Stream)], number: &mut u64, frames: u64) {
    let vp8 = RtpCodec::new(Codec::Vp8);
    for _ in 0..frames {
        pair.send(Side::Left, main.id, &mut main.packetizer, &vp8_frame(*number, 3_000, number.is_multiple_of(30)));
        for (side, other) in &mut *others {
            if pair.peer(*side).connection.select_codec(other.id, Some(&vp8)) {
                pair.send(*side, other.id, &mut other.packetizer, &vp8_frame(*number, 500, true));
            }
        }
        *number += 1;
        pair.run_for(FRAME);
    }
}

#[test]
fn the_stream_that_stays_loses_nothing() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(15), ..Link::default() }, 3);
    let id = pair.add_track(Side::Left, &vp8, "main");
    let mut main = Stream { id, packetizer: Pair::packetizer(&vp8) };
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.left.connection.select_codec(id, Some(&vp8));
    let mut others: Vec<(Side, Stream)> = Vec::new();
    let mut number = 0;
    for round in 0..20 {
        let side = if round % 2 == 0 { Side::Left } else { Side::Right };
        match round % 5 {
            0 | 1 => {
                let id = pair.add_track(side, &vp8, &format!("track {round}"));
                others.push((side, Stream { id, packetizer: Pair::packetizer(&vp8) }));
            }
            2 => {
                let (owner, stream) = others.first_mut().expect("a track");
                let name = Some(format!("another {round}"));
                let codecs = std::slice::from_ref(&vp8);
                pair.peer(*owner).connection.replace_track(stream.id, name, codecs).expect("replaced");
                stream.packetizer = Pair::packetizer(&vp8);
            }
            3 => {
                let (owner, stream) = others.pop().expect("a track");
                pair.peer(owner).connection.remove_track(stream.id).expect("removed");
            }
            _ => {
                let (owner, stream) = others.remove(0);
                pair.peer(owner).connection.stop_transceiver(stream.id).expect("stopped");
            }
        }
        flow(&mut pair, &mut main, &mut others, &mut number, 5);
        if round % 7 == 6 {
            // The other side offers first, and its offer is taken back.
            let connection = &mut pair.right.connection;
            connection.set_local_description(pair.now, None).expect("an offer");
            flow(&mut pair, &mut main, &mut [], &mut number, 2);
            let rollback = Some(SessionDescription::rollback());
            pair.right.connection.set_local_description(pair.now, rollback).expect("taken back");
        }
        pair.negotiate(side);
        flow(&mut pair, &mut main, &mut others, &mut number, 10);
        for side in [Side::Left, Side::Right] {
            assert_eq!(pair.peer(side).connection.signaling_state(), SignalingState::Stable);
            assert!(!pair.peer(side).connection.is_negotiation_needed(), "round {round}, {side:?}");
        }
        let stopped = |side: &mut Pair| side.left.connection.transceivers().iter().filter(|t| t.stopped()).count();
        assert_eq!(stopped(&mut pair), 0, "stopped transceivers leave");
    }
    pair.run_for(Duration::from_secs(1));
    let receiver = pair.right.connection.transceivers().iter().find(|t| t.remote_track_id() == "main").expect("main");
    assert_eq!(receiver.current_direction().map(Direction::receives), Some(true));
    let main_id = receiver.id();
    let of_main = pair.right.frames.iter().zip(&pair.right.frame_receivers).filter(|(_, id)| **id == main_id);
    let times: Vec<f64> = of_main.map(|(frame, _)| frame.timestamp.as_secs_f64()).collect();
    assert_eq!(times.len() as u64, number, "every frame of the main stream");
    assert!(times.windows(2).all(|pair| (0.030..0.037).contains(&(pair[1] - pair[0]))), "at its time");
    let reports = pair.right.connection.stats().receivers;
    let main_report = reports.iter().find(|report| report.transceiver == main_id).expect("a report");
    assert_eq!((main_report.stats.packets_lost, main_report.stats.nack_count), (0, 0));
    // m-lines that were stopped were used again.
    let lines = pair.left.connection.local_description().expect("a description").session().media.len();
    assert!(lines <= 8, "{lines} m-lines after twenty rounds");
}

#[test]
fn negotiation_needed_is_told_once_and_again_after_the_exchange() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link::default(), 4);
    let told = |pair: &mut Pair| {
        pair.settle();
        let count = pair.left.events.iter().filter(|event| **event == ConnectionEvent::NegotiationNeeded).count();
        pair.left.events.clear();
        count
    };
    pair.add_track(Side::Left, &vp8, "one");
    pair.add_track(Side::Left, &vp8, "two");
    assert_eq!(told(&mut pair), 1, "W3C webrtc-pc §4.7.3: the flag is set already");
    pair.left.connection.set_local_description(pair.now, None).expect("an offer");
    // This comes too late for the offer.
    let late = pair.left.connection.add_transceiver(MediaKind::Audio, Default::default());
    assert_eq!(told(&mut pair), 0, "not while an offer is pending");
    let offer = pair.left.connection.local_description().expect("the offer");
    pair.right.connection.set_remote_description(pair.now, &offer).expect("taken");
    pair.right.connection.set_local_description(pair.now, None).expect("an answer");
    let answer = pair.right.connection.local_description().expect("the answer");
    pair.left.connection.set_remote_description(pair.now, &answer).expect("taken");
    assert_eq!(told(&mut pair), 1, "as soon as it is stable");
    pair.negotiate(Side::Left);
    assert_eq!(told(&mut pair), 0);
    pair.left.connection.set_direction(late, Direction::Sendrecv).expect("the same direction");
    assert_eq!(told(&mut pair), 0, "nothing changed");
    pair.left.connection.set_direction(late, Direction::Inactive).expect("another direction");
    pair.left.connection.set_direction(late, Direction::Sendrecv).expect("and back");
    assert_eq!(told(&mut pair), 1);
    assert!(!pair.left.connection.is_negotiation_needed(), "it was taken back");
    pair.left.connection.set_streams(late, vec!["a".into(), "a".into(), "b".into()]).expect("streams");
    assert_eq!(told(&mut pair), 1);
    pair.negotiate(Side::Left);
    assert!(!pair.left.connection.is_negotiation_needed());
}

#[test]
fn after_the_last_m_line_is_stopped_nothing_is_left_and_a_new_one_works() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(5), ..Link::default() }, 9);
    let send = |pair: &mut Pair, id: TransceiverId| {
        assert!(pair.left.connection.select_codec(id, Some(&vp8)));
        pair.send(Side::Left, id, &mut Pair::packetizer(&vp8), &vp8_frame(0, 500, true));
        pair.run_for(Duration::from_millis(50));
    };
    let first = pair.add_track(Side::Left, &vp8, "first");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    send(&mut pair, first);
    assert_eq!((pair.right.frames.len(), pair.right.connection.stats().receivers.len()), (1, 1));

    pair.left.connection.stop_transceiver(first).expect("stopped");
    pair.negotiate(Side::Left);
    for peer in [&pair.left, &pair.right] {
        assert!(peer.connection.transceivers().is_empty());
        assert!(peer.connection.stats().senders.is_empty() && peer.connection.stats().receivers.is_empty());
    }

    let second = pair.add_track(Side::Left, &vp8, "second");
    pair.negotiate(Side::Left);
    send(&mut pair, second);
    assert_eq!((pair.right.frames.len(), pair.right.connection.stats().receivers.len()), (2, 1));
}
