//! One transport for all m-lines, and whose it is.

use rtcast_proto::jsep::{BundlePolicy, DtlsRole, JsepConfig, RefusalReason};
use rtcast_proto::sdp::{Direction, SessionDescription};
use rtcast_proto::types::{MediaKind, Mid};
use rtcast_proto::{IceCandidate, jsep::RemoteCandidate};

use crate::common::{CHROMIUM, FIREFOX, Side, negotiate, offer, without};

const TRANSPORT: [&str; 8] = [
    "a=ice-ufrag",
    "a=ice-pwd",
    "a=ice-options",
    "a=fingerprint",
    "a=setup",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=candidate",
];

/// A description whose transport stands in the first m-line only, as RFC 9143 §7.1.3 has it.
fn frugal(text: &str) -> String {
    let second = text.match_indices("\r\nm=").nth(1).unwrap().0 + 2;
    let (first, rest) = text.split_at(second);
    let rest = TRANSPORT.iter().fold(rest.to_owned(), |rest, start| without(&rest, start));
    format!("{first}{rest}")
}

#[test]
fn members_of_a_bundle_need_not_repeat_the_transport() {
    let mut side = Side::with("callee", JsepConfig::default().with_data_channels());
    let outcome = side.take(&offer(frugal(CHROMIUM)));
    assert_eq!(outcome.refused, []);
    let (_, outcome) = side.answer();
    let negotiated = outcome.negotiated.unwrap();
    assert_eq!(negotiated.media.len(), 2);
    assert!(negotiated.data.is_some());

    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    let outcome = caller.take(&crate::common::answer(frugal(answer.sdp())));
    assert_eq!(outcome.negotiated.unwrap().media.len(), 2);
}

#[test]
fn bundle_only_m_lines_are_in_use_though_their_port_is_0() {
    let text = frugal(FIREFOX).replace("m=video 9", "m=video 0").replace("a=mid:1", "a=mid:1\r\na=bundle-only");
    let mut side = Side::new("callee");
    let outcome = side.take(&offer(text));
    assert_eq!(outcome.refused.len(), 1, "{:?}", outcome.refused);
    let (answer, outcome) = side.answer();
    assert_eq!(answer.session().media[1].port, 9);
    assert!(!answer.session().media[1].bundle_only, "RFC 9143 §6: only offers say so");
    assert_eq!(outcome.negotiated.unwrap().media.len(), 2);
}

#[test]
fn the_next_member_stands_for_the_bundle_when_the_first_is_turned_down() {
    // The first m-line of the group has a transport of its own, as an offer of a browser has before it is answered.
    let text = CHROMIUM
        .replacen("a=ice-ufrag:Hzo6", "a=ice-ufrag:first", 1)
        .replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=text 9 UDP/TLS/RTP/SAVPF");
    let mut side = Side::new("callee");
    let remote = side.take(&offer(text)).remote_transport.unwrap();
    assert_eq!((remote.media_line, remote.ice.ufrag.as_str()), (1, "Hzo6"));
    assert_eq!(remote.candidates[0].port, 50375);
    let (answer, outcome) = side.answer();
    assert_eq!(answer.session().bundle, [vec![Mid::from("1")]]);
    assert_eq!(outcome.negotiated.unwrap().transport.ice.ufrag, "Hzo6");
    let candidate = |mid: &str| IceCandidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 5 typ host".into(),
        sdp_mid: Some(mid.into()),
        ..IceCandidate::default()
    };
    assert_eq!(side.jsep.check_candidate(&candidate("0")).unwrap(), RemoteCandidate::Unused);
    assert!(matches!(side.jsep.check_candidate(&candidate("1")).unwrap(), RemoteCandidate::Use(_)));
    assert_eq!(side.jsep.candidate_section(), Some((1, Some(Mid::from("1")))));
}

#[test]
fn the_bundle_stays_when_its_first_member_is_stopped_before_the_answer() {
    let text = CHROMIUM.replacen("a=ice-ufrag:Hzo6", "a=ice-ufrag:first", 1);
    let mut side = Side::new("callee");
    assert_eq!(side.take(&offer(text.as_str())).remote_transport.unwrap().ice.ufrag, "first");
    let audio = side.jsep.transceivers()[0].id();
    side.jsep.stop(audio).unwrap();
    let (answer, outcome) = side.answer();
    // W3C webrtc-pc §5.4: what is stopping does not affect an answer, or Chromium would lose the transport.
    assert!(!answer.session().media[0].is_rejected());
    assert_eq!(answer.session().media[0].direction, Direction::Inactive);
    assert_eq!(outcome.negotiated.unwrap().transport.ice.ufrag, "first");
    assert!(side.jsep.negotiation_needed(), "our next offer says it");

    // Stopped between writing the answer and setting it, it stands for the bundle until the next exchange.
    let mut side = Side::new("callee");
    side.take(&offer(text.as_str()));
    let answer = side.jsep.create_answer(&side.transport).unwrap();
    let audio = side.jsep.transceivers()[0].id();
    side.jsep.stop(audio).unwrap();
    let outcome = side.jsep.set_local_description(&answer).unwrap();
    assert_eq!(outcome.negotiated.unwrap().transport.ice.ufrag, "first");
    assert!(side.jsep.negotiation_needed());
}

#[test]
fn an_offer_without_a_bundle_is_served_as_far_as_one_transport_goes() {
    let mut side = Side::new("callee");
    let outcome = side.take(&offer(CHROMIUM.replace("a=group:BUNDLE 0 1 2\r\n", "")));
    let reasons: Vec<_> = outcome.refused.iter().map(|refused| (refused.media_line, refused.reason)).collect();
    assert_eq!(reasons, [(1, RefusalReason::NotBundled), (2, RefusalReason::DataChannelsDisabled)]);
    let (answer, outcome) = side.answer();
    assert_eq!(answer.session().bundle, Vec::<Vec<Mid>>::new());
    assert_eq!(outcome.negotiated.unwrap().media.len(), 1);
}

#[test]
fn of_two_bundles_one_is_served() {
    let mut side = Side::with("callee", JsepConfig::default().with_data_channels());
    let text = CHROMIUM.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 1 2\r\na=group:BUNDLE 0");
    let outcome = side.take(&offer(text));
    assert_eq!(outcome.refused.len(), 1);
    assert_eq!((outcome.refused[0].media_line, outcome.refused[0].reason), (0, RefusalReason::NotBundled));
    let (answer, _) = side.answer();
    assert_eq!(answer.session().bundle, [vec![Mid::from("1"), Mid::from("2")]]);
}

#[test]
fn nothing_is_asked_of_an_offer_of_which_nothing_is_served() {
    let mut side = Side::new("callee");
    let text = &CHROMIUM[..CHROMIUM.find("m=audio").unwrap()];
    let data = &CHROMIUM[CHROMIUM.find("m=application").unwrap()..];
    let text = without(&format!("{text}{data}"), "a=fingerprint").replace("BUNDLE 0 1 2", "BUNDLE 2");
    let outcome = side.take(&offer(text));
    assert_eq!(outcome.remote_transport, None);
    let (_, outcome) = side.answer();
    assert_eq!(outcome.negotiated, None);
}

/// The exchange of RFC 8829 §7.2: audio and data first, then the answerer adds two videos.
#[test]
fn a_call_that_grows() {
    let config = || JsepConfig::default().with_data_channels();
    let (mut alice, mut bob) = (Side::with("alice", config()), Side::with("robert", config()));
    alice.jsep.add_track(MediaKind::Audio, "voice", &["alice".into()]).unwrap();
    alice.jsep.request_data().unwrap();
    let outcome = bob.take(&alice.offer());
    assert_eq!(outcome.tracks_added.len(), 1);
    bob.jsep.add_track(MediaKind::Audio, "voice", &["bob".into()]).unwrap();
    let (answer, answered) = bob.answer();
    let offered = alice.take(&answer);
    assert_eq!(offered.tracks_added[0].stream_ids, ["bob"]);
    for (outcome, role) in [(&offered, DtlsRole::Server), (&answered, DtlsRole::Client)] {
        let negotiated = outcome.negotiated.as_ref().unwrap();
        assert_eq!(negotiated.dtls_role, role);
        assert_eq!(negotiated.media[0].direction, Direction::Sendrecv);
        assert!(negotiated.data.is_some());
    }

    for track in ["camera", "screen"] {
        bob.jsep.add_track(MediaKind::Video, track, &["bob".into()]).unwrap();
    }
    assert!(bob.jsep.negotiation_needed());
    let offer = bob.offer();
    let kinds: Vec<&str> = offer.session().media.iter().map(|media| media.kind.as_str()).collect();
    assert_eq!(kinds, ["audio", "application", "video", "video"]);
    let offer = SessionDescription::new(offer.sdp_type(), frugal(offer.sdp())).unwrap();
    let outcome = alice.take(&offer);
    let added: Vec<&str> = outcome.tracks_added.iter().map(|track| track.track_id.as_str()).collect();
    assert_eq!(added, ["camera", "screen"]);
    let (answer, _) = alice.answer();
    assert_eq!(answer.session().media[2].direction, Direction::Recvonly);
    let outcome = bob.take(&answer);
    let negotiated = outcome.negotiated.unwrap();
    assert_eq!(negotiated.dtls_role, DtlsRole::Client, "the roles stay");
    assert!(!negotiated.transport.ice_restart);
    let directions: Vec<Direction> = negotiated.media.iter().map(|media| media.direction).collect();
    assert_eq!(directions, [Direction::Sendrecv, Direction::Sendonly, Direction::Sendonly]);
}

/// RFC 8829 §7.3: the answerer warms the transport up while it still rings, and lets media flow in a second exchange.
#[test]
fn a_transport_is_warmed_up_before_the_call_is_taken() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("robert"));
    alice.jsep.add_track(MediaKind::Audio, "voice", &[]).unwrap();
    let outcome = bob.take(&alice.offer());
    let id = outcome.tracks_added[0].transceiver;
    bob.jsep.add_track(MediaKind::Audio, "answer", &[]).unwrap();
    bob.jsep.set_direction(id, Direction::Sendonly).unwrap();
    let (answer, _) = bob.answer();
    let outcome = alice.take(&answer);
    assert_eq!(outcome.negotiated.unwrap().media[0].direction, Direction::Recvonly);
    assert!(!alice.jsep.negotiation_needed(), "the peer decided");
    bob.jsep.set_direction(id, Direction::Sendrecv).unwrap();
    assert!(bob.jsep.negotiation_needed());
    let (offered, answered) = negotiate(&mut bob, &mut alice);
    for outcome in [offered, answered] {
        assert_eq!(outcome.negotiated.unwrap().media[0].direction, Direction::Sendrecv);
    }
}

#[test]
fn new_m_lines_are_bundle_only_by_the_policy_max_bundle() {
    let config = || JsepConfig { bundle_policy: BundlePolicy::MaxBundle, ..JsepConfig::default() };
    let (mut caller, mut callee) = (Side::with("caller", config()), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    let offer = caller.offer();
    let text = offer.sdp();
    assert!(text.contains("m=audio 9 ") && text.contains("m=video 0 "), "{text}");
    assert_eq!(text.matches("a=bundle-only").count(), 1);
    assert_eq!((text.matches("a=ice-ufrag").count(), text.matches("a=fingerprint").count()), (1, 1));
    callee.take(&offer);
    let (answer, answered) = callee.answer();
    assert_eq!(answered.negotiated.unwrap().media.len(), 2);
    assert!(!answer.sdp().contains("bundle-only"));
    assert_eq!(caller.take(&answer).negotiated.unwrap().media.len(), 2);
    // What is bundled by now needs no mark; what is new does.
    caller.add(MediaKind::Video, Direction::Sendonly);
    let offer = caller.offer();
    let marked: Vec<_> = offer.session().media.iter().map(|media| media.bundle_only).collect();
    assert_eq!(marked, [false, false, true]);
    callee.take(&offer);
    let (answer, _) = callee.answer();
    assert_eq!(caller.take(&answer).negotiated.unwrap().media.len(), 3);
}

#[test]
fn a_peer_that_answers_without_bundling_is_told_what_is_missing() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    let error =
        caller.refuses(&crate::common::answer(without(answer.sdp(), "a=group:")), &["does not bundle", "BUNDLE"]);
    assert_eq!(error.name(), "OperationError");
}
