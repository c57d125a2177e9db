//! ICE restarts in mid-call: new credentials, a new path, and not a packet of media lost.

use std::time::Duration;

use rtcast_proto::connection::{ConnectionEvent, IceGatheringState, OfferOptions, PeerConnectionState};
use rtcast_proto::ice::IceTransportState;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::payload::Packetizer;
use rtcast_proto::{Codec, RtpCodec, SdpType, SessionDescription, SignalingState};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

const RESTART: OfferOptions = OfferOptions { ice_restart: true };

/// A call in which left sends pictures.
struct Call {
    pair: Pair,
    sender: TransceiverId,
    packetizer: Packetizer,
    sent: u64,
}

impl Call {
    fn begin(seed: u64) -> Self {
        let codec = RtpCodec::new(Codec::Vp8);
        let mut pair = Pair::new(&Link { delay: Duration::from_millis(30), ..Link::default() }, seed);
        let sender = pair.add_track(Side::Left, &codec, "picture");
        pair.negotiate(Side::Left);
        pair.connect(Duration::from_secs(5)).expect("connected");
        assert!(pair.left.connection.select_codec(sender, Some(&codec)));
        Self { pair, sender, packetizer: Pair::packetizer(&codec), sent: 0 }
    }

    fn play(&mut self, frames: u64) {
        for _ in 0..frames {
            let frame = vp8_frame(self.sent, 6_000, self.sent == 0);
            self.pair.send(Side::Left, self.sender, &mut self.packetizer, &frame);
            self.sent += 1;
            self.pair.run_for(Duration::from_micros(33_333));
        }
    }

    fn assert_nothing_was_lost(&mut self) {
        self.pair.run_for(Duration::from_millis(500));
        assert_eq!(self.pair.right.frames.len() as u64, self.sent);
        let receiver = &self.pair.right.connection.stats().receivers[0].stats;
        assert_eq!((receiver.packets_lost, receiver.retransmitted_packets_received, receiver.nack_count), (0, 0, 0));
        for peer in [&self.pair.left, &self.pair.right] {
            assert_eq!(peer.connection.connection_state(), PeerConnectionState::Connected);
            let left_it = |state| peer.told(&ConnectionEvent::ConnectionStateChange(state));
            assert!(!left_it(PeerConnectionState::Disconnected) && !left_it(PeerConnectionState::Failed));
        }
    }
}

fn fragment(description: &SessionDescription) -> String {
    description.session().media[0].ice_ufrag.as_deref().expect("a fragment").to_owned()
}

fn fragments(pair: &Pair) -> [Vec<String>; 2] {
    [&pair.left, &pair.right].map(|peer| peer.connection.username_fragments().map(str::to_owned).collect())
}

/// Offer and answer with a second of media between any two steps.
fn restart(call: &mut Call, side: Side) {
    let before = fragments(&call.pair);
    let now = call.pair.now;
    let (offerer, _) = call.pair.both(side);
    let offer = offerer.create_offer_with(RESTART).unwrap();
    offerer.set_local_description(now, Some(offer.clone())).unwrap();
    let known = before.concat();
    assert!(!known.contains(&fragment(&offer)), "the offer has credentials that were in use");
    call.play(30);
    let now = call.pair.now;
    let (offerer, answerer) = call.pair.both(side);
    let offer = offerer.local_description().unwrap();
    answerer.set_remote_description(now, &offer).unwrap();
    call.play(30);
    let now = call.pair.now;
    let (_, answerer) = call.pair.both(side);
    answerer.set_local_description(now, None).unwrap();
    let answer = answerer.local_description().unwrap();
    assert!(!known.contains(&fragment(&answer)), "the answer has credentials that were in use");
    call.play(30);
    let now = call.pair.now;
    let (offerer, _) = call.pair.both(side);
    offerer.set_remote_description(now, &answer).unwrap();
    call.play(60);
    let after = fragments(&call.pair);
    let (ours, theirs) = match side {
        Side::Left => (fragment(&offer), fragment(&answer)),
        Side::Right => (fragment(&answer), fragment(&offer)),
    };
    assert_eq!(after, [vec![ours], vec![theirs]], "one generation is left, the new one");
}

#[test]
fn either_side_restarts_and_no_packet_is_lost() {
    for (seed, side) in [(1, Side::Left), (2, Side::Right)] {
        let mut call = Call::begin(seed);
        call.play(30);
        restart(&mut call, side);
        for peer in [&call.pair.left, &call.pair.right] {
            assert!(peer.told(&ConnectionEvent::UsernameFragmentsChanged));
            assert!(peer.told(&ConnectionEvent::IceGenerationInUse(1)));
            let gathered = ConnectionEvent::IceGatheringStateChange(IceGatheringState::Complete);
            assert_eq!(peer.events.iter().filter(|event| **event == gathered).count(), 2);
        }
        // Once more, and from the other side.
        restart(&mut call, if side == Side::Left { Side::Right } else { Side::Left });
        call.assert_nothing_was_lost();
    }
}

#[test]
fn a_restart_that_is_rolled_back_leaves_everything_as_it_was() {
    let mut call = Call::begin(3);
    call.play(10);
    let before = fragments(&call.pair);
    let now = call.pair.now;
    let offer = call.pair.left.connection.create_offer_with(RESTART).unwrap();
    call.pair.left.connection.set_local_description(now, Some(offer.clone())).unwrap();
    call.pair.right.connection.set_remote_description(now, &offer).unwrap();
    assert_eq!(fragments(&call.pair).map(|list| list.len()), [2, 2]);
    call.play(10);
    let now = call.pair.now;
    let rollback = SessionDescription::new(SdpType::Rollback, "").unwrap();
    call.pair.left.connection.set_local_description(now, Some(rollback.clone())).unwrap();
    call.pair.right.connection.set_remote_description(now, &rollback).unwrap();
    assert_eq!(fragments(&call.pair), before);
    call.play(300);
    // An ordinary negotiation after it has the old credentials, and changes nothing.
    call.pair.negotiate(Side::Right);
    assert_eq!(fragments(&call.pair), before);
    // The peer has had the candidates of these credentials.
    call.pair.left.events.clear();
    call.pair.negotiate(Side::Left);
    assert_eq!(fragments(&call.pair), before);
    assert!(!call.pair.left.events.iter().any(|event| matches!(event, ConnectionEvent::IceCandidate(_))));
    assert_eq!(call.pair.left.connection.ice_gathering_state(), IceGatheringState::Complete);
    call.play(30);
    call.assert_nothing_was_lost();
}

#[test]
fn candidates_are_told_before_the_wish_for_another_offer() {
    let mut call = Call::begin(6);
    let now = call.pair.now;
    let offer = call.pair.left.connection.create_offer_with(RESTART).unwrap();
    call.pair.left.connection.set_local_description(now, Some(offer.clone())).unwrap();
    call.pair.add_track(Side::Right, &RtpCodec::new(Codec::Vp8), "another");
    call.pair.add_track(Side::Right, &RtpCodec::new(Codec::Vp8), "and one more");
    call.pair.settle();
    call.pair.right.events.clear();
    call.pair.right.connection.set_remote_description(now, &offer).unwrap();
    call.pair.right.connection.set_local_description(now, None).unwrap();
    call.pair.settle();
    let events = &call.pair.right.events;
    let candidate = events.iter().position(|event| matches!(event, ConnectionEvent::IceCandidate(_)));
    let needed = events.iter().position(|event| *event == ConnectionEvent::NegotiationNeeded);
    assert!(candidate.unwrap() < needed.unwrap(), "{events:?}");
}

#[test]
fn restart_ice_asks_for_a_negotiation_until_one_has_restarted() {
    let mut call = Call::begin(4);
    let left = |call: &Call| fragments(&call.pair)[0].clone();
    let before = left(&call);
    call.pair.left.events.clear();
    call.pair.left.connection.restart_ice();
    call.play(1);
    assert!(call.pair.left.told(&ConnectionEvent::NegotiationNeeded));
    // The peer's ordinary offer does not restart, so the wish stays.
    call.pair.left.events.clear();
    call.pair.negotiate(Side::Right);
    call.play(30);
    assert_eq!(left(&call), before);
    assert!(call.pair.left.told(&ConnectionEvent::NegotiationNeeded));
    call.pair.left.events.clear();
    call.pair.negotiate(Side::Left);
    call.play(30);
    assert_ne!(left(&call), before);
    assert!(!call.pair.left.told(&ConnectionEvent::NegotiationNeeded));
    call.assert_nothing_was_lost();
}

#[test]
fn when_both_restart_at_once_one_offer_gives_way() {
    let mut call = Call::begin(5);
    call.play(5);
    let now = call.pair.now;
    let offers = [Side::Left, Side::Right].map(|side| {
        let connection = &mut call.pair.peer(side).connection;
        let offer = connection.create_offer_with(RESTART).unwrap();
        connection.set_local_description(now, Some(offer.clone())).unwrap();
        offer
    });
    call.play(5);
    // Right is polite: it takes its own back.
    let now = call.pair.now;
    call.pair.right.connection.set_remote_description(now, &offers[0]).unwrap();
    call.pair.right.connection.set_local_description(now, None).unwrap();
    let answer = call.pair.right.connection.local_description().unwrap();
    assert_ne!(fragment(&answer), fragment(&offers[1]), "credentials of an offer that was taken back");
    call.pair.left.connection.set_remote_description(now, &answer).unwrap();
    call.play(30);
    assert_eq!(call.pair.left.connection.signaling_state(), SignalingState::Stable);
    assert_eq!(fragments(&call.pair), [vec![fragment(&offers[0])], vec![fragment(&answer)]]);
    call.assert_nothing_was_lost();
}

#[test]
fn a_failed_connection_comes_back_with_a_restart() {
    let mut call = Call::begin(6);
    call.play(5);
    call.pair.set_link(&Link { loss: 1.0, ..Link::default() });
    call.pair.run_for(Duration::from_secs(45));
    assert_eq!(call.pair.left.connection.connection_state(), PeerConnectionState::Failed);
    assert_eq!(call.pair.left.connection.ice_connection_state(), IceTransportState::Failed);
    assert_eq!(call.pair.left.connection.selected_pair(), None, "nothing is sent without consent");
    call.pair.set_link(&Link { delay: Duration::from_millis(30), ..Link::default() });
    call.pair.left.connection.restart_ice();
    call.pair.negotiate(Side::Left);
    call.pair.run_for(Duration::from_millis(500));
    for peer in [&call.pair.left, &call.pair.right] {
        assert_eq!(peer.connection.connection_state(), PeerConnectionState::Connected);
    }
    let received = call.pair.right.frames.len();
    // What went before is gone for good, so pictures begin anew with a keyframe.
    let frame = vp8_frame(call.sent + 1, 6_000, true);
    call.pair.send(Side::Left, call.sender, &mut call.packetizer, &frame);
    call.pair.run_for(Duration::from_secs(3));
    assert_eq!(call.pair.right.frames.len(), received + 1);
}

#[test]
fn media_goes_on_when_the_answer_never_comes() {
    let mut call = Call::begin(7);
    let now = call.pair.now;
    let offer = call.pair.left.connection.create_offer_with(RESTART).unwrap();
    call.pair.left.connection.set_local_description(now, Some(offer)).unwrap();
    call.play(30 * 60);
    call.assert_nothing_was_lost();
}

#[test]
fn candidates_of_an_older_generation_are_left_alone() {
    let mut call = Call::begin(8);
    let mut old = call.pair.right.events.iter().find_map(|event| match event {
        ConnectionEvent::IceCandidate(Some(candidate)) => Some(candidate.clone()),
        _ => None,
    });
    let mut old = old.take().expect("a candidate");
    old.candidate = old.candidate.replace("10.0.0.2", "10.9.9.9");
    restart(&mut call, Side::Left);
    let now = call.pair.now;
    call.pair.left.connection.add_ice_candidate(now, &old).unwrap();
    call.play(30);
    call.assert_nothing_was_lost();
}
