//! Calls that fail: state is checked before syntax, syntax before meaning, and nothing changes.

use rtcast_proto::codec::Codec;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::sdp::{DescriptionError, Direction, IceCandidate, SdpType, SessionDescription};
use rtcast_proto::types::MediaKind;
use rtcast_proto::{Hint, RtpCodec};

use crate::common::{CHROMIUM, FIREFOX, Side, answer, negotiate, offer, without};

/// Runs a call that must fail with an exception of that name, and compares what can be seen before and after it.
#[track_caller]
fn fails(side: &mut Side, name: &str, call: impl FnOnce(&mut Side) -> Result<(), DescriptionError>) {
    let before = side.state();
    let error = call(side).expect_err("the call succeeded, though it should fail");
    assert_eq!(error.name(), name, "{error}");
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(side.state(), before, "the call that failed changed something: {error}");
}

/// Every call that cannot succeed in any state.
fn never(side: &mut Side, gone: TransceiverId) {
    let sent = side.jsep.transceivers().iter().find_map(|t| Some((t.kind(), t.track_id()?.to_owned())));
    if let Some((kind, track)) = sent {
        fails(side, "InvalidAccessError", |side| side.jsep.add_track(kind, &track, &[]).map(drop));
    }
    let sound = RtpCodec::new(Codec::Pcmu);
    let video = side.jsep.transceivers().iter().find(|t| t.kind() == MediaKind::Video && !t.stopping()).map(|t| t.id());
    if let Some(video) = video {
        fails(side, "InvalidAccessError", |side| side.jsep.set_codec_preferences(video, std::slice::from_ref(&sound)));
    }
    fails(side, "InvalidStateError", |side| side.jsep.set_direction(gone, Direction::Sendonly));
    fails(side, "InvalidStateError", |side| side.jsep.replace_track(gone, Some("x".into())));
    fails(side, "InvalidStateError", |side| side.jsep.set_streams(gone, vec!["x".into()]));
    fails(side, "OperationError", |side| side.jsep.request_data());
    let garbled = IceCandidate {
        candidate: "candidate:x".into(),
        sdp_mid: None,
        sdp_m_line_index: None,
        username_fragment: None,
    };
    fails(side, "OperationError", |side| side.jsep.check_candidate(&garbled).map(drop));
}

fn take(side: &mut Side, description: &SessionDescription) -> Result<(), DescriptionError> {
    side.jsep.set_remote_description(description).map(drop)
}

fn set(side: &mut Side, description: &SessionDescription) -> Result<(), DescriptionError> {
    side.jsep.set_local_description(description).map(drop)
}

#[test]
fn a_failing_call_changes_nothing_in_any_state() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    let rollback = SessionDescription::rollback();
    let gone = caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.jsep.stop(gone).unwrap();
    caller.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    callee.add(MediaKind::Video, Direction::Recvonly);
    let gone_there = callee.add(MediaKind::Audio, Direction::Sendrecv);
    callee.jsep.stop(gone_there).unwrap();

    // Stable, before anything.
    never(&mut caller, gone);
    let stranger = offer(CHROMIUM);
    let as_answer = answer(CHROMIUM);
    fails(&mut caller, "InvalidStateError", |side| take(side, &as_answer));
    fails(&mut caller, "InvalidStateError", |side| take(side, &rollback));
    fails(&mut caller, "InvalidStateError", |side| set(side, &rollback));
    fails(&mut caller, "InvalidModificationError", |side| set(side, &stranger));
    fails(&mut caller, "InvalidStateError", |side| side.jsep.create_answer(&side.transport.clone()).map(drop));
    let no_password = offer(without(CHROMIUM, "a=ice-pwd"));
    fails(&mut caller, "InvalidAccessError", |side| take(side, &no_password));

    // Our offer is pending.
    let offered = caller.offer();
    never(&mut caller, gone);
    fails(&mut caller, "InvalidAccessError", |side| take(side, &no_password));
    fails(&mut caller, "InvalidAccessError", |side| take(side, &as_answer));
    fails(&mut caller, "InvalidStateError", |side| set(side, &as_answer));

    // The peer's offer is pending.
    callee.take(&offered);
    never(&mut callee, gone_there);
    fails(&mut callee, "InvalidStateError", |side| side.jsep.create_offer(&side.transport.clone()).map(drop));
    fails(&mut callee, "InvalidStateError", |side| set(side, &offered));
    fails(&mut callee, "InvalidStateError", |side| take(side, &as_answer));
    let of_another_session = offer(FIREFOX);
    fails(&mut callee, "InvalidAccessError", |side| take(side, &of_another_session));

    // Answered provisionally, then for good.
    let provisional = callee.jsep.create_answer(&callee.transport).unwrap();
    // W3C webrtc-pc §4.4.1.5: what createAnswer made may be set as a provisional answer.
    let provisional = SessionDescription::new(SdpType::Pranswer, provisional.sdp()).unwrap();
    set(&mut callee, &provisional).unwrap();
    never(&mut callee, gone_there);
    fails(&mut callee, "InvalidStateError", |side| set(side, &rollback));
    fails(&mut callee, "InvalidStateError", |side| take(side, &rollback));
    fails(&mut callee, "InvalidStateError", |side| take(side, &offered));
    take(&mut caller, &provisional).unwrap();
    fails(&mut caller, "InvalidStateError", |side| take(side, &rollback));
    fails(&mut caller, "InvalidStateError", |side| take(side, &offered));
    let (answered, _) = callee.answer();
    caller.take(&answered);
    never(&mut caller, gone);
    fails(&mut caller, "InvalidStateError", |side| take(side, &answered));
    fails(&mut caller, "InvalidAccessError", |side| take(side, &stranger));
    negotiate(&mut callee, &mut caller);

    caller.jsep.close();
    fails(&mut caller, "InvalidStateError", |side| side.jsep.create_offer(&side.transport.clone()).map(drop));
    fails(&mut caller, "InvalidStateError", |side| take(side, &stranger));
    fails(&mut caller, "InvalidStateError", |side| set(side, &rollback));
    fails(&mut caller, "InvalidStateError", |side| side.jsep.add_track(MediaKind::Audio, "more", &[]).map(drop));
}
