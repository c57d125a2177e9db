//! The examples of RFC 8829 §7, step by step.

use rtcast_proto::jsep::{JsepConfig, SignalingState};
use rtcast_proto::sdp::Direction;
use rtcast_proto::types::MediaKind;

use crate::common::{Side, negotiate, shape};

fn line(kind: &str, direction: Direction) -> (String, bool, Direction) {
    (kind.to_owned(), true, direction)
}

/// §7.1: Alice offers sound and pictures, Bob answers with his.
#[test]
fn a_simple_example() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("robert"));
    let streams = ["alice".to_owned()];
    alice.jsep.add_track(MediaKind::Audio, "alice-audio", &streams).unwrap();
    alice.jsep.add_track(MediaKind::Video, "alice-video", &streams).unwrap();
    let offer = alice.offer();
    assert_eq!(shape(&offer), [line("audio", Direction::Sendrecv), line("video", Direction::Sendrecv)]);
    let bundle: Vec<_> = offer.session().bundle[0].iter().map(|mid| mid.as_str().to_owned()).collect();
    assert_eq!(bundle, ["0", "1"]);

    let outcome = bob.take(&offer);
    let told: Vec<_> = outcome.tracks_added.iter().map(|track| (track.kind, track.stream_ids.as_slice())).collect();
    assert_eq!(told, [(MediaKind::Audio, &streams[..]), (MediaKind::Video, &streams[..])]);
    // Bob's tracks go on the transceivers that the offer brought about.
    bob.jsep.add_track(MediaKind::Audio, "bob-audio", &["bob".to_owned()]).unwrap();
    bob.jsep.add_track(MediaKind::Video, "bob-video", &["bob".to_owned()]).unwrap();
    assert_eq!(bob.jsep.transceivers().len(), 2);
    let (answer, answered) = bob.answer();
    assert_eq!(shape(&answer), [line("audio", Direction::Sendrecv), line("video", Direction::Sendrecv)]);

    let outcome = alice.take(&answer);
    assert_eq!(
        outcome.tracks_added.iter().map(|t| t.track_id.as_str()).collect::<Vec<_>>(),
        ["bob-audio", "bob-video"]
    );
    let (ours, theirs) = (outcome.negotiated.unwrap(), answered.negotiated.unwrap());
    assert_ne!(ours.dtls_role, theirs.dtls_role);
    assert!(ours.media.iter().chain(&theirs.media).all(|media| media.direction == Direction::Sendrecv));
    for side in [&alice, &bob] {
        assert_eq!(side.jsep.signaling_state(), SignalingState::Stable);
        assert!(!side.jsep.negotiation_needed());
    }
}

/// §7.2: sound and data at first; later Bob adds two videos, one of them his screen, which Alice only receives.
#[test]
fn a_detailed_example() {
    let config = || JsepConfig::default().with_data_channels();
    let (mut alice, mut bob) = (Side::with("alice", config()), Side::with("robert", config()));
    alice.jsep.add_track(MediaKind::Audio, "alice-audio", &["alice".to_owned()]).unwrap();
    alice.jsep.request_data().unwrap();
    let offer = alice.offer();
    assert_eq!(shape(&offer).iter().map(|(kind, ..)| kind.as_str()).collect::<Vec<_>>(), ["audio", "application"]);
    bob.take(&offer);
    bob.jsep.add_track(MediaKind::Audio, "bob-audio", &["bob".to_owned()]).unwrap();
    let (answer, _) = bob.answer();
    let first = alice.take(&answer).negotiated.unwrap();
    assert!(first.data.is_some());

    // Bob offers his camera and his screen, in streams of their own.
    bob.jsep.add_track(MediaKind::Video, "camera", &["bob".to_owned()]).unwrap();
    bob.jsep.add_track(MediaKind::Video, "screen", &["bob-screen".to_owned()]).unwrap();
    assert!(bob.jsep.negotiation_needed());
    let offer = bob.offer();
    let kinds: Vec<_> = shape(&offer).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["audio", "application", "video", "video"], "m-lines keep their places");
    let before = alice.jsep.local_description(&alice.transport).unwrap();
    assert_eq!(offer.session().media[0].mid, before.session().media[0].mid);

    let outcome = alice.take(&offer);
    let streams: Vec<_> = outcome.tracks_added.iter().map(|track| track.stream_ids.join(" ")).collect();
    assert_eq!(streams, ["bob", "bob-screen"]);
    let (answer, answered) = alice.answer();
    assert_eq!(
        shape(&answer)[2..],
        [line("video", Direction::Recvonly), line("video", Direction::Recvonly)],
        "Alice adds no video of her own"
    );
    let outcome = bob.take(&answer);
    let (ours, theirs) = (outcome.negotiated.unwrap(), answered.negotiated.unwrap());
    let sending = ours.media.iter().filter(|media| media.direction == Direction::Sendonly).count();
    assert_eq!((ours.media.len(), sending), (3, 2));
    // The transport is that of the first exchange: the same roles, and no restart.
    assert_eq!(theirs.dtls_role, first.dtls_role);
    assert!(!theirs.transport.ice_restart && !ours.transport.ice_restart);
    assert!(!alice.jsep.negotiation_needed() && !bob.jsep.negotiation_needed());
}

/// §7.3: Bob answers at once that he only sends, so that ICE and DTLS begin, and offers again when he picks up.
#[test]
fn an_early_transport_warmup() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("robert"));
    alice.jsep.add_track(MediaKind::Audio, "alice-audio", &["alice".to_owned()]).unwrap();
    alice.jsep.add_track(MediaKind::Video, "alice-video", &["alice".to_owned()]).unwrap();
    bob.take(&alice.offer());
    let ids: Vec<_> = bob.jsep.transceivers().iter().map(|transceiver| transceiver.id()).collect();
    for id in &ids {
        // The transceivers are made to send before there are tracks; what they will send is named already.
        bob.jsep.set_direction(*id, Direction::Sendonly).unwrap();
        bob.jsep.set_streams(*id, vec!["bob".to_owned()]).unwrap();
    }
    let (answer, answered) = bob.answer();
    assert_eq!(shape(&answer), [line("audio", Direction::Sendonly), line("video", Direction::Sendonly)]);
    let outcome = alice.take(&answer);
    assert_eq!(outcome.tracks_added.len(), 2, "Alice hears of Bob's tracks before he picks up");
    assert!(outcome.negotiated.unwrap().media.iter().all(|media| media.direction == Direction::Recvonly));
    let transport = answered.negotiated.unwrap().transport;

    // Bob picks up: tracks without a negotiation, then an offer in both directions.
    for (id, track) in ids.iter().zip(["bob-audio", "bob-video"]) {
        bob.jsep.replace_track(*id, Some(track.to_owned())).unwrap();
        assert!(!bob.jsep.negotiation_needed());
    }
    for id in &ids {
        bob.jsep.set_direction(*id, Direction::Sendrecv).unwrap();
    }
    assert!(bob.jsep.negotiation_needed());
    let (outcome, answered) = negotiate(&mut bob, &mut alice);
    assert!(answered.tracks_added.is_empty(), "Alice knows of the tracks");
    assert_eq!(outcome.tracks_added.len(), 2, "Bob hears of Alice's tracks");
    let negotiated = outcome.negotiated.unwrap();
    assert!(negotiated.media.iter().all(|media| media.direction == Direction::Sendrecv));
    assert_eq!(negotiated.transport.ice, transport.ice);
    assert!(!alice.jsep.negotiation_needed() && !bob.jsep.negotiation_needed());
}
