//! A second exchange and those after it.

use rtcast_proto::sdp::{Direction, SessionDescription};
use rtcast_proto::types::{MediaKind, Mid};

use crate::common::{CHROMIUM, FIREFOX, Side, negotiate, offer, shape};

fn mids(description: &SessionDescription) -> Vec<&str> {
    description.session().media.iter().filter_map(|media| media.mid.as_ref()).map(Mid::as_str).collect()
}

fn call() -> (Side, Side) {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    negotiate(&mut caller, &mut callee);
    (caller, callee)
}

#[test]
fn m_lines_and_numbers_stay() {
    let (mut caller, mut callee) = call();
    let first = caller.jsep.current_local_description().cloned().unwrap();
    caller.add(MediaKind::Video, Direction::Sendonly);
    assert!(caller.jsep.negotiation_needed());
    let offer = caller.offer();
    assert_eq!(mids(&offer), ["0", "1", "2"]);
    assert_eq!(offer.session().id, first.session().id);
    assert!(offer.session().version > first.session().version);
    for (again, before) in offer.session().media.iter().zip(&first.session().media) {
        assert_eq!(again.payload_formats, before.payload_formats);
        assert_eq!(again.extensions, before.extensions);
        assert_eq!(again.ssrcs, before.ssrcs);
    }
    let outcome = callee.take(&offer);
    assert_eq!(outcome.tracks_added.len(), 1, "only the new track is told of");
    let (answer, _) = callee.answer();
    let outcome = caller.take(&answer);
    assert_eq!(outcome.negotiated.unwrap().media.len(), 3);
    assert!(!caller.jsep.negotiation_needed());
}

#[test]
fn the_other_side_may_offer_next() {
    let (mut caller, mut callee) = call();
    let film = callee.jsep.add_track(MediaKind::Video, "film", &["film".into()]).unwrap();
    assert_eq!(callee.jsep.transceiver(film).unwrap().mid().unwrap().as_str(), "1", "it goes on the free sender");
    assert!(callee.jsep.negotiation_needed());
    let (offered, answered) = negotiate(&mut callee, &mut caller);
    assert_eq!(offered.negotiated.unwrap().media[1].direction, Direction::Sendrecv);
    assert_eq!(answered.tracks_added, [], "it was told when the offer came");
    assert!(!callee.jsep.negotiation_needed());
}

#[test]
fn a_track_that_is_removed_is_told_of() {
    let (mut caller, mut callee) = call();
    let video = caller.jsep.transceivers()[1].id();
    caller.jsep.set_direction(video, Direction::Inactive).unwrap();
    assert!(caller.jsep.negotiation_needed());
    let offer = caller.offer();
    assert_eq!(offer.session().media[1].direction, Direction::Inactive);
    let outcome = callee.take(&offer);
    assert_eq!(outcome.tracks_removed, [callee.jsep.transceivers()[1].id()]);
    let (answer, _) = callee.answer();
    assert_eq!(caller.take(&answer).negotiated.unwrap().media[1].direction, Direction::Inactive);
    // And it comes back.
    caller.jsep.set_direction(video, Direction::Sendonly).unwrap();
    let outcome = callee.take(&caller.offer());
    assert_eq!(outcome.tracks_added.len(), 1);
}

#[test]
fn remove_track_stops_sending_and_keeps_receiving() {
    let mut side = Side::new("caller");
    let film = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    side.jsep.remove_track(film).unwrap();
    let transceiver = side.jsep.transceiver(film).unwrap();
    assert_eq!((transceiver.track_id(), transceiver.direction()), (None, Direction::Recvonly));
    // It never sent, so that the next track takes it.
    assert_eq!(side.jsep.add_track(MediaKind::Video, "other", &[]).unwrap(), film);
    assert_eq!(side.jsep.transceiver(film).unwrap().direction(), Direction::Sendrecv);
    // Once it sent, another track gets a transceiver of its own.
    let mut callee = Side::new("callee");
    negotiate(&mut side, &mut callee);
    side.jsep.remove_track(film).unwrap();
    assert_ne!(side.jsep.add_track(MediaKind::Video, "third", &[]).unwrap(), film);
}

#[test]
fn a_stopped_transceiver_frees_its_m_line_for_the_next() {
    let (mut caller, mut callee) = call();
    let video = caller.jsep.transceivers()[1].id();
    caller.jsep.stop(video).unwrap();
    assert!(caller.jsep.negotiation_needed());
    let offer = caller.offer();
    assert!(offer.sdp().contains("m=video 0 "));
    assert_eq!(offer.session().bundle, [vec![Mid::from("0")]]);
    let theirs = callee.jsep.transceivers()[1].id();
    let outcome = callee.take(&offer);
    assert_eq!(outcome.refused.len(), 1);
    let (answer, outcome) = callee.answer();
    assert_eq!(outcome.stopped, [theirs]);
    assert_eq!(outcome.tracks_removed, [theirs]);
    let outcome = caller.take(&answer);
    assert_eq!(outcome.stopped, [video]);
    assert_eq!(outcome.negotiated.unwrap().media.len(), 1);
    assert_eq!(caller.jsep.transceiver(video), None, "a stopped transceiver leaves");
    caller.jsep.stop(video).unwrap();
    caller.jsep.remove_track(video).unwrap();
    let error = caller.jsep.set_direction(video, Direction::Sendonly).unwrap_err();
    assert_eq!(error.name(), "InvalidStateError");
    assert!(!caller.jsep.negotiation_needed());

    // RFC 8829 §5.2.2: the next m-line takes its place, under a new mid, also of another kind.
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let (_, answered) = negotiate(&mut caller, &mut callee);
    let local = caller.jsep.current_local_description().unwrap();
    assert_eq!(mids(local), ["0", "2"]);
    assert_eq!(local.session().bundle, [vec![Mid::from("0"), Mid::from("2")]]);
    assert_eq!(shape(local)[1], ("audio".into(), true, Direction::Sendrecv));
    assert_eq!(answered.negotiated.unwrap().media[1].mid.as_str(), "2");
    // A third video does not fit in any more and comes at the end.
    callee.add(MediaKind::Video, Direction::Sendrecv);
    negotiate(&mut callee, &mut caller);
    assert_eq!(mids(caller.jsep.current_remote_description().unwrap()), ["0", "2", "3"]);
}

#[test]
fn a_peer_that_adds_and_stops_for_ever_fills_no_memory() {
    let (mut caller, mut callee) = call();
    for _ in 0..50 {
        let id = caller.add(MediaKind::Video, Direction::Sendrecv);
        negotiate(&mut caller, &mut callee);
        caller.jsep.stop(id).unwrap();
        negotiate(&mut caller, &mut callee);
    }
    assert_eq!((caller.jsep.transceivers().len(), callee.jsep.transceivers().len()), (2, 2));
    assert_eq!(mids(caller.jsep.current_local_description().unwrap()), ["0", "1", "51"]);
}

#[test]
fn an_answerer_may_stop_a_transceiver() {
    let (mut caller, mut callee) = call();
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let offer = caller.offer();
    callee.take(&offer);
    let theirs = callee.jsep.transceivers()[1].id();
    callee.jsep.stop(theirs).unwrap();
    // W3C webrtc-pc §5.4: the answer takes the m-line and lets nothing flow; the stop itself comes with our offer.
    let (answer, outcome) = callee.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Inactive);
    assert!(!answer.session().media[1].is_rejected() && outcome.stopped.is_empty() && outcome.tracks_added.is_empty());
    let outcome = caller.take(&answer);
    assert!(outcome.stopped.is_empty());
    assert_eq!(outcome.negotiated.unwrap().media.len(), 3);
    assert!(callee.jsep.negotiation_needed());
    let (offered, answered) = negotiate(&mut callee, &mut caller);
    assert_eq!((offered.stopped, answered.stopped.len()), (vec![theirs], 1));
    assert_eq!(offered.negotiated.unwrap().media.len(), 2);
}

#[test]
fn a_rejected_m_line_that_was_the_first_of_the_bundle() {
    let (mut caller, mut callee) = call();
    let audio = caller.jsep.transceivers()[0].id();
    caller.jsep.stop(audio).unwrap();
    let (offered, answered) = negotiate(&mut caller, &mut callee);
    for outcome in [offered, answered] {
        let negotiated = outcome.negotiated.unwrap();
        assert_eq!(negotiated.transport.media_line, 1);
        assert!(!negotiated.transport.ice_restart);
        assert_eq!(negotiated.media[0].mid.as_str(), "1");
    }
}

#[test]
fn no_m_line_gets_in_front_of_the_one_that_stands_for_the_bundle() {
    let (mut caller, mut callee) = call();
    let audio = caller.jsep.transceivers()[0].id();
    caller.jsep.stop(audio).unwrap();
    negotiate(&mut caller, &mut callee);
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let offer = caller.offer();
    assert_eq!(mids(&offer), ["0", "1", "2"]);
    assert!(offer.session().media[0].is_rejected());
    assert_eq!(caller.jsep.candidate_section(), Some((1, Some(Mid::from("1")))));
    callee.take(&offer);
    let (answer, _) = callee.answer();
    assert_eq!(caller.take(&answer).negotiated.unwrap().transport.media_line, 1);
    // Once nothing is in use there is no transport to keep.
    for index in [0, 1] {
        let id = caller.jsep.transceivers()[index].id();
        caller.jsep.stop(id).unwrap();
    }
    negotiate(&mut caller, &mut callee);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    assert_eq!(mids(&caller.offer()), ["3", "1", "2"]);
}

#[test]
fn a_peer_may_take_an_m_line_again_in_front_of_the_bundles_first() {
    let (mut caller, mut callee) = call();
    let audio = caller.jsep.transceivers()[0].id();
    caller.jsep.stop(audio).unwrap();
    negotiate(&mut caller, &mut callee);
    // As Firefox does it: the new m-line stands first and comes last in the group.
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let text = caller.offer().sdp().to_owned();
    let third = text.match_indices("\r\nm=").nth(2).unwrap().0 + 2;
    let (head, third) = text.split_at(third);
    let first = head.find("m=audio 0").unwrap();
    let second = head.find("m=video").unwrap();
    let text = format!("{}{third}{}", &head[..first], &head[second..]);
    let outcome = callee.take(&offer(text));
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.remote_transport.unwrap().media_line, 1);
    let (answer, outcome) = callee.answer();
    assert_eq!(mids(&answer), ["2", "1"]);
    assert_eq!(answer.session().bundle, [vec![Mid::from("1"), Mid::from("2")]]);
    assert_eq!(callee.jsep.candidate_section(), Some((1, Some(Mid::from("1")))));
    assert_eq!(outcome.negotiated.unwrap().media.len(), 2);
    // The order of the group is kept in our next offer.
    assert_eq!(callee.offer().session().bundle, [vec![Mid::from("1"), Mid::from("2")]]);
}

#[test]
fn an_offer_of_another_session_is_refused() {
    let mut side = Side::new("callee");
    side.take(&offer(CHROMIUM));
    side.answer();
    let text = FIREFOX.replace("a=mid:0", "a=mid:a").replace("BUNDLE 0 1 2", "BUNDLE a 1 2");
    side.refuses(&offer(text), &["m-line 0 (m=audio, mid \"a\")", "m-line 0 (m=audio, mid \"0\")", "keep their place"]);
    let short = &CHROMIUM[..CHROMIUM.find("m=application").unwrap()].replace("BUNDLE 0 1 2", "BUNDLE 0 1");
    side.refuses(&offer(short.as_str()), &["this offer has 2 m-lines, the session has 3"]);
}

#[test]
fn what_was_created_before_the_last_exchange_is_out_of_date() {
    let (mut caller, mut callee) = call();
    let old = caller.create_offer();
    negotiate(&mut callee, &mut caller);
    let error = caller.jsep.set_local_description(&old).unwrap_err();
    assert_eq!(error.name(), "InvalidModificationError");
}

#[test]
fn an_offer_may_be_replaced_while_it_is_pending() {
    let mut caller = Side::new("caller");
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.offer();
    caller.add(MediaKind::Video, Direction::Sendrecv);
    let second = caller.offer();
    assert_eq!(mids(&second), ["0", "1"]);
    let mut callee = Side::new("callee");
    callee.take(&second);
    let (answer, _) = callee.answer();
    assert_eq!(caller.take(&answer).negotiated.unwrap().media.len(), 2);
}

#[test]
fn the_peers_offer_may_be_replaced_while_it_is_pending() {
    let mut callee = Side::new("callee");
    callee.take(&offer(CHROMIUM));
    callee.take(&offer(CHROMIUM.replace("a=sendrecv", "a=recvonly")));
    assert_eq!(callee.jsep.transceivers().len(), 2);
    let (answer, _) = callee.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Inactive);
}
