//! What negotiation shows besides its result.

use std::time::Duration;

use rtcast_proto::connection::{ConnectionEvent, DtlsTransportState};
use rtcast_proto::{Codec, Direction, RtpCodec, SdpType, SessionDescription, SignalingState};
use rtcast_testkit::{Link, Pair, Side};

#[test]
fn whether_the_peer_takes_candidates_later_is_read_from_its_description() {
    for (option, expected) in [("a=ice-options:trickle\r\n", true), ("", false)] {
        let mut pair = Pair::new(&Link::default(), 1);
        pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "film");
        assert_eq!(pair.right.connection.can_trickle_ice_candidates(), None);
        pair.left.connection.set_local_description(pair.now, None).expect("an offer");
        let offer = pair.left.connection.local_description().expect("the offer");
        let text = offer.sdp().replace("a=ice-options:trickle\r\n", option);
        let offer = SessionDescription::new(SdpType::Offer, text).expect("SDP");
        pair.right.connection.set_remote_description(pair.now, &offer).expect("taken");
        assert_eq!(pair.right.connection.can_trickle_ice_candidates(), Some(expected));
    }
}

#[test]
fn dtls_tells_its_states_in_order() {
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(5), ..Link::default() }, 2);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "film");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    let now = pair.now;
    pair.left.connection.close(now);
    pair.settle();
    pair.run_for(Duration::from_secs(1));
    let states = |events: &[ConnectionEvent]| -> Vec<DtlsTransportState> {
        let told = events.iter().filter_map(|event| match event {
            ConnectionEvent::DtlsTransportStateChange(state) => Some(*state),
            _ => None,
        });
        told.collect()
    };
    use DtlsTransportState as State;
    assert_eq!(states(&pair.right.events), [State::Connecting, State::Connected, State::Closed]);
}

#[test]
fn a_provisional_answer_carries_media_and_the_final_one_settles_it() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(5), ..Link::default() }, 3);
    let sender = pair.add_track(Side::Left, &vp8, "film");
    let now = pair.now;
    pair.left.connection.set_local_description(now, None).expect("an offer");
    let offer = pair.left.connection.local_description().expect("the offer");
    pair.right.connection.set_remote_description(now, &offer).expect("taken");
    let answer = pair.right.connection.create_answer().expect("an answer");
    let provisional = SessionDescription::new(SdpType::Pranswer, answer.sdp()).expect("SDP");
    pair.right.connection.set_local_description(now, Some(provisional.clone())).expect("set");
    assert_eq!(pair.right.connection.signaling_state(), SignalingState::HaveLocalPranswer);
    assert_eq!(pair.right.connection.current_local_description(), None);
    pair.left.connection.set_remote_description(now, &provisional).expect("taken");
    assert_eq!(pair.left.connection.signaling_state(), SignalingState::HaveRemotePranswer);
    pair.settle();
    pair.connect(Duration::from_secs(5)).expect("connected by the provisional answer");
    assert!(pair.left.connection.select_codec(sender, Some(&vp8)));
    let mut packetizer = Pair::packetizer(&vp8);
    pair.send(Side::Left, sender, &mut packetizer, &rtcast_testkit::vp8_frame(0, 2_000, true));
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.right.frames.len(), 1);

    let now = pair.now;
    pair.right.connection.set_local_description(now, None).expect("the final answer");
    let answer = pair.right.connection.local_description().expect("the answer");
    assert_eq!(answer.sdp_type(), SdpType::Answer);
    pair.left.connection.set_remote_description(now, &answer).expect("taken");
    for side in [Side::Left, Side::Right] {
        let connection = &pair.peer(side).connection;
        assert_eq!(connection.signaling_state(), SignalingState::Stable);
        assert_eq!(connection.pending_remote_description(), None);
        assert!(connection.current_remote_description().is_some());
    }
    pair.send(Side::Left, sender, &mut packetizer, &rtcast_testkit::vp8_frame(1, 2_000, false));
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.right.frames.len(), 2);
}

#[test]
fn a_stopped_transceiver_falls_silent_at_once_and_its_m_line_goes_with_our_next_offer() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link::default(), 4);
    let stopped = pair.add_track(Side::Right, &vp8, "one");
    pair.negotiate(Side::Right);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.right.connection.stop_transceiver(stopped).expect("stopped");
    assert!(!pair.right.connection.select_codec(stopped, Some(&vp8)), "nothing is sent any more");
    pair.add_track(Side::Left, &vp8, "two");
    pair.negotiate(Side::Left);
    let line = |pair: &Pair, index: usize| {
        let description = pair.right.connection.local_description().expect("a description");
        let media = &description.session().media[index];
        (media.is_rejected(), media.direction)
    };
    assert_eq!(line(&pair, 0), (false, Direction::Inactive), "an answer keeps it, W3C webrtc-pc §5.4");
    assert!(pair.right.connection.is_negotiation_needed());
    pair.negotiate(Side::Right);
    assert!(line(&pair, 0).0, "an offer rejects it");
    assert!(pair.left.connection.transceivers().iter().all(|transceiver| !transceiver.stopped()));
    assert!(!pair.right.connection.is_negotiation_needed());
}

#[test]
fn a_user_name_that_no_check_can_carry_is_refused_with_its_reason() {
    for (length, served) in [(118, true), (119, false), (256, false)] {
        let mut pair = Pair::new(&Link::default(), 1);
        pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "video");
        let now = pair.now;
        pair.left.connection.set_local_description(now, None).expect("an offer");
        let offer = pair.left.connection.local_description().expect("the offer");
        let lines = offer.sdp().lines().map(|line| match line.strip_prefix("a=ice-ufrag:") {
            Some(_) => format!("a=ice-ufrag:{}\r\n", "u".repeat(length)),
            None => format!("{line}\r\n"),
        });
        let offer = SessionDescription::new(SdpType::Offer, lines.collect::<String>()).expect("a description");
        let taken = pair.right.connection.set_remote_description(now, &offer);
        assert_eq!(taken.is_ok(), served, "{length} characters");
        if let Err(error) = taken {
            assert!(error.to_string().contains("a=ice-ufrag") && error.to_string().contains(&length.to_string()));
        }
    }
}
