//! Offers that are taken back.

use rtcast_proto::jsep::SignalingState;
use rtcast_proto::sdp::{Direction, SessionDescription};
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, Side, negotiate, offer};

#[test]
fn there_must_be_something_to_take_back() {
    let mut side = Side::new("caller");
    side.refuses(
        &SessionDescription::rollback(),
        &["cannot roll back in signaling state \"stable\"", "no pending offer"],
    );
}

#[test]
fn our_offer_is_taken_back() {
    let mut side = Side::new("caller");
    let id = side.add(MediaKind::Video, Direction::Sendrecv);
    let before = side.state();
    side.offer();
    let outcome = side.jsep.set_local_description(&SessionDescription::rollback()).unwrap();
    assert!(outcome.rolled_back);
    assert_eq!(outcome.signaling_state, SignalingState::Stable);
    assert_eq!(side.jsep.transceiver(id).unwrap().mid(), None);
    assert_eq!(side.state(), before);
    assert!(side.jsep.negotiation_needed());
}

#[test]
fn the_peers_offer_is_taken_back_with_what_it_brought() {
    let mut side = Side::new("callee");
    let own = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    let before = side.state();
    let outcome = side.take(&offer(CHROMIUM));
    assert_eq!(outcome.tracks_added.len(), 2);
    assert_eq!(side.jsep.transceivers().len(), 2, "the peer's audio is new, its video goes to the film");
    assert_eq!(side.jsep.transceiver(own).unwrap().mid().unwrap().as_str(), "1");
    let outcome = side.take(&SessionDescription::rollback());
    assert_eq!(outcome.tracks_removed.len(), 2);
    assert_eq!(outcome.stopped.len(), 1);
    assert_eq!(side.state(), before);
}

#[test]
fn a_track_added_meanwhile_outlives_the_offer() {
    let mut side = Side::new("callee");
    side.take(&offer(CHROMIUM));
    let id = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    assert!(side.jsep.transceiver(id).unwrap().mid().is_some());
    side.take(&SessionDescription::rollback());
    let film = side.jsep.transceiver(id).unwrap();
    assert_eq!((film.track_id(), film.mid(), film.stopped()), (Some("film"), None, false));
    assert_eq!(side.jsep.transceivers().len(), 1);
    // The same offer again finds it.
    side.take(&offer(CHROMIUM));
    assert_eq!(side.jsep.transceiver(id).unwrap().mid().unwrap().as_str(), "1");
}

#[test]
fn when_two_offers_meet_the_one_that_is_taken_wins() {
    let (mut polite, mut impolite) = (Side::new("polite"), Side::new("impolite"));
    let own = polite.jsep.add_track(MediaKind::Video, "polite", &[]).unwrap();
    impolite.jsep.add_track(MediaKind::Video, "impolite", &[]).unwrap();
    polite.offer();
    let outcome = polite.take(&impolite.offer());
    assert!(outcome.rolled_back);
    assert_eq!(outcome.signaling_state, SignalingState::HaveRemoteOffer);
    assert_eq!(polite.jsep.transceiver(own).unwrap().mid().unwrap().as_str(), "0");
    let (answer, _) = polite.answer();
    let outcome = impolite.take(&answer);
    assert_eq!(outcome.negotiated.unwrap().media[0].direction, Direction::Sendrecv);
    assert_eq!(outcome.tracks_added[0].track_id, "polite");
    assert!(!polite.jsep.negotiation_needed());
}

#[test]
fn an_offer_that_cannot_be_taken_leaves_ours_pending() {
    let mut side = Side::new("caller");
    side.add(MediaKind::Video, Direction::Sendrecv);
    side.offer();
    let text = crate::common::without(CHROMIUM, "a=fingerprint");
    side.refuses(&offer(text), &["no `a=fingerprint`"]);
    assert_eq!(side.jsep.signaling_state(), SignalingState::HaveLocalOffer);
}

#[test]
fn a_rollback_in_a_running_session_goes_back_to_it() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    negotiate(&mut caller, &mut callee);
    let (before_caller, before_callee) = (caller.state(), callee.state());
    let video = caller.add(MediaKind::Video, Direction::Sendrecv);
    callee.take(&caller.offer());
    assert_eq!(callee.jsep.transceivers().len(), 2);
    callee.take(&SessionDescription::rollback());
    caller.jsep.set_local_description(&SessionDescription::rollback()).unwrap();
    assert_eq!(callee.state(), before_callee);
    caller.jsep.stop(video).unwrap();
    assert_eq!(caller.jsep.transceivers()[0].current_direction(), Some(Direction::Sendonly));
    assert!(!caller.jsep.negotiation_needed());
    assert_ne!(caller.state(), before_caller, "the stopped transceiver is still listed");
    // The session goes on.
    let (offered, _) = negotiate(&mut callee, &mut caller);
    assert_eq!(offered.negotiated.unwrap().media.len(), 1);
}

#[test]
fn one_that_was_told_to_stop_goes_when_its_m_line_is_taken_back() {
    let mut side = Side::new("caller");
    let id = side.add(MediaKind::Video, Direction::Sendrecv);
    side.offer();
    side.jsep.stop(id).unwrap();
    let outcome = side.take(&offer(CHROMIUM));
    assert!(outcome.rolled_back);
    assert_eq!(outcome.stopped, [id]);
    assert!(side.jsep.transceiver(id).is_none());
    side.answer();
    assert!(!side.jsep.negotiation_needed(), "there is nobody to tell of it");
}
