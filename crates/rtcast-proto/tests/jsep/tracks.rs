//! Tracks, streams and the transceivers that carry them.

use rtcast_proto::jsep::TransceiverInit;
use rtcast_proto::sdp::Direction;
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, Side, negotiate, offer, says};

#[test]
fn a_track_has_one_sender() {
    let mut side = Side::new("caller");
    let id = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    let error = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap_err();
    says(&error, &["\"film\" is being sent already"]);
    assert_eq!(error.name(), "InvalidAccessError");
    assert_eq!(side.jsep.transceivers().len(), 1);
    side.jsep.remove_track(id).unwrap();
    side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
}

#[test]
fn names_of_tracks_and_streams_arrive() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.jsep.add_track(MediaKind::Video, "film", &["one".into(), "two".into()]).unwrap();
    caller.jsep.add_transceiver(
        MediaKind::Audio,
        TransceiverInit {
            track_id: Some("sound".into()),
            stream_ids: vec!["one".into()],
            ..TransceiverInit::default()
        },
    );
    let outcome = callee.take(&caller.offer());
    let told: Vec<(&str, &[String])> =
        outcome.tracks_added.iter().map(|track| (track.track_id.as_str(), track.stream_ids.as_slice())).collect();
    assert_eq!(told, [("film", &["one".to_owned(), "two".to_owned()][..]), ("sound", &["one".to_owned()][..])]);
    let film = &callee.jsep.transceivers()[0];
    assert_eq!(film.remote_track_id(), "film");
    assert_eq!(film.direction(), Direction::Recvonly);
}

#[test]
fn names_that_do_not_fit_into_a_line_are_made_to() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    let streams = ["my film: the end".to_owned(), "-".to_owned(), String::new(), "x".repeat(100)];
    caller.jsep.add_track(MediaKind::Video, "a\r\na=inactive é", &streams).unwrap();
    let (_, answered) = negotiate(&mut caller, &mut callee);
    let media = &answered.negotiated.unwrap().media[0];
    assert_eq!(media.remote_track_id, "a__a_inactive__");
    assert_eq!(media.remote_stream_ids, ["my_film__the_end".to_owned(), "x".repeat(64)]);
    assert_eq!(media.direction, Direction::Recvonly);
    assert!(!caller.jsep.negotiation_needed());
}

#[test]
fn a_track_without_a_name_is_given_one() {
    let mut side = Side::new("callee");
    let outcome = side.take(&offer(crate::common::without(&crate::common::without(CHROMIUM, "a=msid:"), "a=ssrc:")));
    assert_eq!(outcome.tracks_added.len(), 2);
    assert_eq!(outcome.tracks_added[0].track_id.len(), 36);
    let old = crate::common::without(CHROMIUM, "a=msid:");
    let outcome = Side::new("callee").take(&offer(old));
    assert_eq!(outcome.tracks_added[1].track_id, "6ef5ff95-fd9b-450f-894d-3561c0cbee59", "the older a=ssrc form");
}

#[test]
fn replacing_a_track_keeps_what_was_signalled() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    let film = caller.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    negotiate(&mut caller, &mut callee);
    caller.jsep.replace_track(film, Some("other".into())).unwrap();
    assert!(!caller.jsep.negotiation_needed());
    let outcome = callee.take(&caller.offer());
    assert_eq!(outcome.tracks_added, []);
    assert_eq!(callee.jsep.transceivers()[0].remote_track_id(), "film");
}

#[test]
fn calls_about_transceivers_that_are_not_there() {
    let mut side = Side::new("caller");
    let mut other = Side::new("other");
    let mut foreign = other.add(MediaKind::Audio, Direction::Sendrecv);
    for _ in 0..3 {
        foreign = other.add(MediaKind::Audio, Direction::Sendrecv);
    }
    says(&side.jsep.stop(foreign).unwrap_err(), &["no transceiver 3"]);
    says(&side.jsep.remove_track(foreign).unwrap_err(), &["no transceiver 3"]);
    let own = side.add(MediaKind::Audio, Direction::Sendrecv);
    side.jsep.stop(own).unwrap();
    assert!(side.jsep.transceiver(own).unwrap().stopped(), "nobody has to be told");
    let error = side.jsep.set_direction(own, Direction::Sendonly).unwrap_err();
    says(&error, &["a stopped transceiver", "add a new transceiver"]);
    assert_eq!(error.name(), "InvalidStateError");
    assert!(side.create_offer().session().media.is_empty());
}

#[test]
fn a_peer_cannot_send_what_was_not_asked_for() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Video, Direction::Sendonly);
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    let text = answer.sdp().replace("a=recvonly", "a=sendrecv");
    let outcome = caller.take(&crate::common::answer(text));
    assert_eq!(outcome.tracks_added, []);
    assert_eq!(outcome.negotiated.unwrap().media[0].direction, Direction::Sendonly);
}
