//! The states of an exchange, provisional answers, roles and credentials.

use rtcast_proto::IceCandidate;
use rtcast_proto::jsep::{DtlsRole, RemoteCandidate, SignalingState};
use rtcast_proto::sdp::{Direction, SdpType, SessionDescription, Setup};
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, Side, negotiate, offer, says, transport};

#[test]
fn a_plain_exchange() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Video, Direction::Sendonly);
    let offer = caller.create_offer();
    assert_eq!(caller.jsep.signaling_state(), SignalingState::Stable, "creating changes nothing");
    assert_eq!(caller.jsep.transceivers()[0].mid(), None);
    caller.jsep.set_local_description(&offer).unwrap();
    assert_eq!(caller.jsep.signaling_state(), SignalingState::HaveLocalOffer);
    assert_eq!(caller.jsep.transceivers()[0].mid().unwrap().as_str(), "0");
    assert_eq!(caller.jsep.pending_local_description(), Some(&offer));
    let outcome = callee.take(&offer);
    assert_eq!(outcome.signaling_state, SignalingState::HaveRemoteOffer);
    assert_eq!(outcome.tracks_added.len(), 1);
    let (answer, answered) = callee.answer();
    assert_eq!(callee.jsep.current_remote_description(), Some(&offer));
    let offered = caller.take(&answer);
    for (side, outcome, role, direction) in [
        (&caller, &offered, DtlsRole::Server, Direction::Sendonly),
        (&callee, &answered, DtlsRole::Client, Direction::Recvonly),
    ] {
        assert_eq!(outcome.signaling_state, SignalingState::Stable);
        let negotiated = outcome.negotiated.as_ref().unwrap();
        assert_eq!((negotiated.dtls_role, negotiated.media[0].direction), (role, direction));
        assert_eq!(side.jsep.transceivers()[0].current_direction(), Some(direction));
        assert_eq!(side.jsep.pending_local_description(), None);
        assert!(!side.jsep.negotiation_needed());
    }
    assert_eq!(offered.negotiated.unwrap().transport.ice.ufrag, "callee");
    assert_eq!(answered.negotiated.unwrap().transport.ice.ufrag, "caller");
}

#[test]
fn the_roles_of_dtls() {
    for (offered, answered, role) in [
        (Setup::Actpass, Setup::Active, DtlsRole::Client),
        (Setup::Passive, Setup::Active, DtlsRole::Client),
        (Setup::Active, Setup::Passive, DtlsRole::Server),
    ] {
        let mut side = Side::new("callee");
        side.take(&offer(CHROMIUM.replace("a=setup:actpass", &format!("a=setup:{offered}"))));
        let (answer, outcome) = side.answer();
        assert_eq!(answer.session().media[0].setup, Some(answered));
        assert_eq!(outcome.negotiated.unwrap().dtls_role, role);
    }
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    let passive = crate::common::answer(answer.sdp().replace("a=setup:active", "a=setup:passive"));
    assert_eq!(caller.take(&passive).negotiated.unwrap().dtls_role, DtlsRole::Client);
}

#[test]
fn the_role_of_dtls_stays_in_later_exchanges() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    negotiate(&mut caller, &mut callee);
    // RFC 8842 §5.5: now the other side offers, and the answerer, who was the server, stays it.
    callee.add(MediaKind::Video, Direction::Sendrecv);
    let offer = callee.offer();
    assert_eq!(offer.session().media[0].setup, Some(Setup::Actpass));
    caller.take(&offer);
    let (answer, outcome) = caller.answer();
    assert_eq!(answer.session().media[0].setup, Some(Setup::Passive));
    assert_eq!(outcome.negotiated.unwrap().dtls_role, DtlsRole::Server);
    assert_eq!(callee.take(&answer).negotiated.unwrap().dtls_role, DtlsRole::Client);
}

#[test]
fn a_provisional_answer_comes_before_the_final_one() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    callee.take(&caller.offer());
    let provisional = callee.jsep.create_pranswer(&callee.transport).unwrap();
    assert_eq!(provisional.sdp_type(), SdpType::Pranswer);
    let outcome = callee.jsep.set_local_description(&provisional).unwrap();
    assert_eq!(outcome.signaling_state, SignalingState::HaveLocalPranswer);
    assert!(outcome.negotiated.is_some());
    assert_eq!(callee.jsep.current_local_description(), None);
    let outcome = caller.take(&provisional);
    assert_eq!(outcome.signaling_state, SignalingState::HaveRemotePranswer);
    assert!(outcome.negotiated.is_some());
    says(
        &caller.jsep.create_offer(&caller.transport).unwrap_err(),
        &["cannot create an offer", "have-remote-pranswer"],
    );
    for side in [&mut caller, &mut callee] {
        side.refuses(&SessionDescription::rollback(), &["cannot roll back", "send a final answer"]);
    }
    let (answer, _) = callee.answer();
    let outcome = caller.take(&answer);
    assert_eq!(outcome.signaling_state, SignalingState::Stable);
    assert!(!outcome.negotiated.unwrap().transport.ice_restart);
    assert_eq!(caller.jsep.current_remote_description(), Some(&answer));
}

#[test]
fn a_provisional_answer_needs_an_offer() {
    let mut side = Side::new("callee");
    let pranswer = SessionDescription::new(SdpType::Pranswer, CHROMIUM).unwrap();
    side.refuses(&pranswer, &["cannot set a remote provisional answer in signaling state \"stable\""]);
    says(&side.jsep.create_pranswer(&side.transport).unwrap_err(), &["cannot create an answer"]);
}

#[test]
fn a_restart_of_ice_is_noticed_on_both_sides() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    negotiate(&mut caller, &mut callee);
    let (offered, answered) = negotiate(&mut caller, &mut callee);
    assert!(!offered.negotiated.unwrap().transport.ice_restart);
    assert!(!answered.negotiated.unwrap().transport.ice_restart);
    caller.transport = transport("caller2");
    let outcome = callee.take(&caller.offer());
    assert!(outcome.remote_transport.unwrap().ice_restart);
    callee.transport = transport("callee2");
    let (answer, outcome) = callee.answer();
    assert!(outcome.negotiated.unwrap().transport.ice_restart);
    let outcome = caller.take(&answer);
    assert!(outcome.remote_transport.unwrap().ice_restart);
    assert_eq!(outcome.negotiated.unwrap().transport.ice.ufrag, "callee2");
}

#[test]
fn the_local_description_has_the_candidates_known_by_now() {
    let mut side = Side::new("caller");
    side.add(MediaKind::Audio, Direction::Sendrecv);
    side.add(MediaKind::Video, Direction::Sendrecv);
    assert!(side.jsep.local_description(&side.transport).is_none());
    let offer = side.offer();
    assert!(offer.sdp().contains("m=audio 9 "));
    for candidate in [
        "candidate:1 1 udp 2130706431 2001:db8::7 5001 typ host",
        "candidate:2 1 udp 2130706175 192.0.2.7 5000 typ host",
    ] {
        side.transport.candidates.push(candidate.parse().unwrap());
    }
    side.transport.end_of_candidates = true;
    let local = side.jsep.local_description(&side.transport).unwrap();
    assert_eq!(local.sdp_type(), SdpType::Offer);
    let [audio, video] = local.session().media.as_slice() else { panic!() };
    assert_eq!(audio.candidates, side.transport.candidates);
    assert!(audio.end_of_candidates);
    assert_eq!((audio.port, audio.address.as_str()), (5000, "192.0.2.7"), "the default candidate");
    assert!(video.candidates.is_empty(), "bundled");
    assert_eq!(side.jsep.pending_local_description(), Some(&offer), "what was set stays as it was");
}

#[test]
fn candidates_of_the_peer() {
    let mut side = Side::new("callee");
    let candidate = |text: &str, mid: Option<&str>, index: Option<u16>| IceCandidate {
        candidate: text.into(),
        sdp_mid: mid.map(str::to_owned),
        sdp_m_line_index: index,
        username_fragment: None,
    };
    let text = "candidate:1 1 udp 1 192.0.2.1 5 typ host";
    let error = side.jsep.check_candidate(&candidate(text, Some("0"), None)).unwrap_err();
    says(&error, &["cannot add an ICE candidate", "keep candidates that come earlier"]);
    side.take(&offer(CHROMIUM));
    let check = |c: &IceCandidate| side.jsep.check_candidate(c);
    let parsed = text.parse().unwrap();
    for (mid, index) in [(Some("0"), Some(0)), (Some("0"), None), (None, Some(0)), (Some(""), Some(0))] {
        assert_eq!(check(&candidate(text, mid, index)).unwrap(), RemoteCandidate::Use(Clone::clone(&parsed)));
    }
    assert_eq!(check(&candidate(text, Some("1"), None)).unwrap(), RemoteCandidate::Unused, "bundled");
    assert_eq!(check(&candidate("", Some("0"), None)).unwrap(), RemoteCandidate::End);
    assert_eq!(check(&candidate("", None, None)).unwrap(), RemoteCandidate::End);
    assert_eq!(check(&candidate("", Some("1"), None)).unwrap(), RemoteCandidate::Unused);
    let old = IceCandidate { username_fragment: Some("older".into()), ..candidate(text, Some("0"), None) };
    assert_eq!(check(&old).unwrap(), RemoteCandidate::Unused);
    let old = candidate(&format!("{text} ufrag older"), Some("0"), None);
    assert_eq!(check(&old).unwrap(), RemoteCandidate::Unused);
    says(&check(&candidate(text, Some(""), None)).unwrap_err(), &["neither `sdpMid` nor `sdpMLineIndex`"]);
    says(&check(&candidate(text, None, None)).unwrap_err(), &["neither `sdpMid` nor `sdpMLineIndex`"]);
    says(&check(&candidate(text, Some("9"), None)).unwrap_err(), &["no m-line with the mid \"9\""]);
    says(&check(&candidate(text, None, Some(3))).unwrap_err(), &["no m-line 3"]);
    says(&check(&candidate("nonsense", Some("0"), None)).unwrap_err(), &["cannot be read"]);
}

#[test]
fn an_ice_lite_peer_is_noticed() {
    let mut side = Side::new("callee");
    let outcome = side.take(&offer(CHROMIUM.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")));
    assert!(outcome.remote_transport.unwrap().ice.lite);
    side.transport.ice_lite = true;
    let (answer, _) = side.answer();
    assert!(answer.sdp().contains("a=ice-lite\r\n"));
}
