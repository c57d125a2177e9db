//! Wrong descriptions: each is refused with its reason, and the connection is what it was.

use rtcast_proto::jsep::{RefusalReason, SignalingState};
use rtcast_proto::sdp::{Direction, SdpType, SessionDescription};
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, CHROMIUM_RECVONLY, FIREFOX, Side, answer, negotiate, offer, says, shape, without};

/// A connection with a track, before anything was exchanged.
fn side() -> Side {
    let mut side = Side::new("server");
    side.jsep.add_track(MediaKind::Video, "film", &["film".into()]).unwrap();
    side
}

#[test]
fn an_answer_before_any_offer() {
    let mut side = side();
    let error = side.refuses(
        &answer(CHROMIUM),
        &["cannot set a remote answer in signaling state \"stable\"", "needs our offer first", "its type is \"offer\""],
    );
    assert_eq!(error.name(), "InvalidStateError");
    let before = side.state();
    let error = side.jsep.create_answer(&side.transport).unwrap_err();
    says(&error, &["cannot create an answer in signaling state \"stable\"", "set_remote_description(offer)"]);
    assert_eq!(error.name(), "InvalidStateError");
    let error = side.jsep.set_local_description(&answer(CHROMIUM)).unwrap_err();
    says(&error, &["cannot set a local answer in signaling state \"stable\"", "the peer's offer first"]);
    assert_eq!(side.state(), before);
}

#[test]
fn the_state_is_checked_before_the_content() {
    let mut side = side();
    side.refuses(&answer(without(CHROMIUM, "a=ice-ufrag")), &["signaling state"]);
    assert_eq!(side.jsep.check_remote(SdpType::Answer).unwrap_err().name(), "InvalidStateError");
    assert_eq!(side.jsep.check_local(SdpType::Answer).unwrap_err().name(), "InvalidStateError");
    side.jsep.check_remote(SdpType::Offer).unwrap();
    side.jsep.check_local(SdpType::Offer).unwrap();
}

#[test]
fn an_offer_that_was_given_the_type_answer() {
    let mut side = side();
    side.offer();
    // It answers the m-lines one by one, so that its role in DTLS is what gives it away.
    let mut other = Side::new("other");
    other.add(MediaKind::Video, Direction::Sendrecv);
    let text = other.offer().sdp().to_owned();
    let error = side.refuses(
        &answer(text),
        &[
            "m-line 0 (m=video, mid \"0\")",
            "`a=setup:actpass`, which only an offer may say",
            "given the type \"answer\"",
        ],
    );
    assert_eq!(error.name(), "InvalidAccessError");
}

#[test]
fn our_own_offer_that_came_back() {
    let mut side = side();
    let own = side.offer();
    side.refuses(&answer(own.sdp()), &["our own that came back"]);
}

#[test]
fn attributes_without_which_there_is_no_connection() {
    for (start, parts) in [
        ("a=ice-ufrag", ["no `a=ice-ufrag`", "ICE needs"]),
        ("a=ice-pwd", ["no `a=ice-pwd`", "ICE needs"]),
        ("a=fingerprint", ["no `a=fingerprint`", "DTLS proves"]),
        ("a=setup", ["no `a=setup`", "`a=setup:actpass`"]),
        ("a=rtcp-mux", ["no `a=rtcp-mux`", "rtcpMuxPolicy"]),
    ] {
        for text in [CHROMIUM, FIREFOX] {
            let mut side = side();
            let error = side.refuses(&offer(without(text, start)), &["m-line 0 (m=audio, mid \"0\")"]);
            says(&error, &parts);
            assert_eq!(error.name(), "InvalidAccessError");
        }
    }
}

#[test]
fn an_answer_says_who_opens_dtls() {
    let (mut caller, mut callee) = (side(), Side::new("callee"));
    callee.take(&caller.offer());
    let (given, _) = callee.answer();
    caller
        .refuses(&answer(without(given.sdp(), "a=setup")), &["no `a=setup`", "`a=setup:active` or `a=setup:passive`"]);
    let text = given.sdp().replace("a=setup:active", "a=setup:holdconn");
    caller.refuses(&answer(text), &["holdconn", "nobody opens DTLS"]);
    caller.take(&given);
}

#[test]
fn an_answer_whose_m_lines_do_not_match() {
    let mut caller = Side::new("caller");
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    let mut callee = Side::new("callee");
    callee.take(&caller.offer());
    let (good, _) = callee.answer();
    let text = good.sdp();
    let video = text.find("m=video").unwrap();
    let (head, video) = text.split_at(video);
    let audio = head.find("m=audio").unwrap();
    let (head, audio) = head.split_at(audio);

    let one_bundled = head.replace("BUNDLE 0 1", "BUNDLE 0");
    caller.refuses(&answer(format!("{one_bundled}{audio}")), &["no m-line for m-line 1 (m=video, mid \"1\")"]);
    let third = video.replace("a=mid:1", "a=mid:2");
    caller.refuses(&answer(format!("{text}{third}")), &["m-line 2 (m=video, mid \"2\")", "only 2 m-lines"]);
    caller.refuses(&answer(format!("{head}{video}{audio}")), &["m-line 0 (m=video, mid \"1\")", "m-line 0 (m=audio"]);
    let renamed = text.replace("a=mid:1", "a=mid:v").replace("BUNDLE 0 1", "BUNDLE 0 v");
    caller.refuses(&answer(renamed), &["m-line 1 (m=video, mid \"v\")", "m-line 1 (m=video, mid \"1\")"]);
    let error =
        caller.refuses(&answer(text.replace("a=group:BUNDLE 0 1\r\n", "")), &["does not bundle m-line 1", "RFC 9143"]);
    assert_eq!(error.name(), "OperationError");
    let foreign: String = video
        .replace("VP8/90000", "H266/90000")
        .replace("H264/90000", "H266/90000")
        .replace("VP9/90000", "H266/90000")
        .replace("AV1/90000", "H266/90000");
    caller.refuses(&answer(format!("{head}{audio}{foreign}")), &["m-line 1 (m=video", "none of the codecs"]);
    caller.refuses(&answer(text.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 7")), &["BUNDLE", "\"7\""]);
    // After all of these the right one is taken.
    assert_eq!(caller.take(&good).signaling_state, SignalingState::Stable);
}

#[test]
fn mids_that_are_not_unique() {
    let mut side = side();
    side.refuses(
        &offer(CHROMIUM.replace("a=mid:1", "a=mid:0").replace("BUNDLE 0 1 2", "BUNDLE 0 2")),
        &["m-lines 0 and 1 both have `a=mid:0`"],
    );
}

#[test]
fn a_local_description_of_ones_own_making() {
    let mut side = side();
    side.take(&offer(CHROMIUM));
    let before = side.state();
    let error = side.jsep.set_local_description(&answer(FIREFOX)).unwrap_err();
    says(&error, &["no answer was created by this connection", "`create_answer`"]);
    assert_eq!(error.name(), "InvalidModificationError");
    let created = side.jsep.create_answer(&side.transport).unwrap();
    let changed = answer(created.sdp().replace("a=sendrecv", "a=inactive"));
    let error = side.jsep.set_local_description(&changed).unwrap_err();
    says(&error, &["not the answer that this connection created last", "it differs in m-line 1 (m=video, mid \"1\")"]);
    // The kinds of a description that was meant to be the peer's.
    let error = side.jsep.set_local_description(&offer(CHROMIUM)).unwrap_err();
    says(&error, &["cannot set a local offer in signaling state \"have-remote-offer\"", "`create_answer`"]);
    assert_eq!(side.state(), before);
    let line_feeds = answer(created.sdp().replace("\r\n", "\n"));
    assert_eq!(side.jsep.set_local_description(&line_feeds).unwrap().signaling_state, SignalingState::Stable);
}

#[test]
fn a_missing_direction_means_sendrecv() {
    let mut side = side();
    let text = without(CHROMIUM, "a=sendrecv");
    let outcome = side.take(&offer(text));
    assert_eq!(outcome.tracks_added.len(), 2);
    let (answer, _) = side.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Sendrecv);
}

#[test]
fn an_m_line_of_an_unknown_kind_is_rejected_and_the_rest_goes_on() {
    let mut side = side();
    let text = CHROMIUM.replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=text 9 UDP/TLS/RTP/SAVPF 98");
    let outcome = side.take(&offer(text));
    assert_eq!((outcome.refused[0].media_line, outcome.refused[0].reason), (2, RefusalReason::UnknownKind));
    let (answer, outcome) = side.answer();
    assert_eq!(
        shape(&answer),
        [
            ("audio".into(), true, Direction::Recvonly),
            ("video".into(), true, Direction::Sendrecv),
            ("text".into(), false, Direction::Inactive),
        ]
    );
    assert!(answer.sdp().contains("m=text 0 UDP/TLS/RTP/SAVPF 98\r\n"));
    assert_eq!(outcome.negotiated.unwrap().media.len(), 2);
}

#[test]
fn a_protocol_without_encryption_is_rejected_and_the_rest_goes_on() {
    let mut side = side();
    let text = CHROMIUM.replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/XYZ");
    let outcome = side.take(&offer(text));
    assert_eq!((outcome.refused[0].media_line, outcome.refused[0].reason), (0, RefusalReason::UnknownKind));
    let (answer, outcome) = side.answer();
    assert_eq!(answer.session().bundle[0].len(), 1);
    assert_eq!(outcome.negotiated.unwrap().media[0].mid.as_str(), "1");
}

#[test]
fn no_common_codec_rejects_that_m_line_only() {
    let mut side = side();
    let text =
        CHROMIUM.replace("VP8/", "XX1/").replace("VP9/", "XX2/").replace("AV1/", "XX3/").replace("H264/", "XX4/");
    let outcome = side.take(&offer(text));
    assert_eq!((outcome.refused[0].media_line, outcome.refused[0].reason), (1, RefusalReason::NoCommonCodec));
    assert_eq!(outcome.tracks_added.len(), 1);
    let (answer, outcome) = side.answer();
    let shape = shape(&answer);
    assert!(shape[0].1 && !shape[1].1);
    assert_eq!(outcome.negotiated.unwrap().media.len(), 1);
    // The film stays, without an m-line, and asks for an exchange of its own.
    let film = &side.jsep.transceivers()[0];
    assert_eq!((film.track_id(), film.mid(), film.stopped()), (Some("film"), None, false));
    assert!(side.jsep.negotiation_needed());
}

#[test]
fn a_rejected_m_line_is_answered_rejected() {
    let mut side = side();
    let outcome = side.take(&offer(CHROMIUM.replace("m=video 9", "m=video 0")));
    assert_eq!((outcome.refused[0].media_line, outcome.refused[0].reason), (1, RefusalReason::RejectedByOffer));
    let (answer, outcome) = side.answer();
    assert!(answer.sdp().contains("m=video 0 "));
    let film = &side.jsep.transceivers()[0];
    assert_eq!((film.mid(), film.stopped()), (None, false), "the film waits for another m-line");
    assert_eq!(outcome.negotiated.unwrap().media.len(), 1);
}

#[test]
fn a_track_of_a_kind_that_was_not_offered_stays_as_it_is() {
    let audio_only = &CHROMIUM[..CHROMIUM.find("m=video").unwrap()].replace("BUNDLE 0 1 2", "BUNDLE 0");
    // Added before the offer came, after it, and after the answer was written.
    for moment in 0..3 {
        let mut side = Side::new("server");
        let add = |side: &mut Side, now: usize| {
            if now == moment {
                side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
            }
        };
        add(&mut side, 0);
        side.take(&offer(audio_only.as_str()));
        add(&mut side, 1);
        let answer = side.jsep.create_answer(&side.transport).unwrap();
        add(&mut side, 2);
        let outcome = side.jsep.set_local_description(&answer).unwrap();
        assert_eq!(outcome.signaling_state, SignalingState::Stable);
        let film = side.jsep.transceivers().iter().find(|t| t.kind() == MediaKind::Video).unwrap();
        assert_eq!((film.mid(), film.current_direction()), (None, None));
        assert!(side.jsep.negotiation_needed());
    }
}

#[test]
fn a_track_added_after_the_offer_is_sent_in_the_answer() {
    let mut side = Side::new("server");
    side.take(&offer(CHROMIUM_RECVONLY));
    let id = side.jsep.add_track(MediaKind::Video, "film", &["film".into()]).unwrap();
    assert_eq!(side.jsep.transceiver(id).unwrap().mid().unwrap().as_str(), "1");
    let (answer, _) = side.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Sendonly);
}

#[test]
fn offers_and_answers_without_any_m_line() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    let (offered, answered) = negotiate(&mut caller, &mut callee);
    assert_eq!((offered.negotiated, answered.negotiated), (None, None));
    assert_eq!(caller.jsep.signaling_state(), SignalingState::Stable);
    assert!(!caller.create_offer().sdp().contains("BUNDLE"));
}

#[test]
fn an_m_line_without_a_mid_is_given_one() {
    let text = without(CHROMIUM, "a=mid:").replace("a=group:BUNDLE 0 1 2\r\n", "");
    let mut side = side();
    let outcome = side.take(&offer(text));
    // Without BUNDLE only the first m-line is served (RFC 8829 §5.3.1, max-bundle).
    let reasons: Vec<_> = outcome.refused.iter().map(|refused| (refused.media_line, refused.reason)).collect();
    assert_eq!(reasons, [(1, RefusalReason::NotBundled), (2, RefusalReason::DataChannelsDisabled)]);
    let (answer, outcome) = side.answer();
    assert!(!answer.sdp().contains("a=mid"), "an answer has a mid only where the offer has one");
    assert!(!answer.sdp().contains("a=group"));
    assert_eq!(outcome.negotiated.unwrap().media[0].mid.as_str(), "0");
}

#[test]
fn a_closed_connection_refuses_everything() {
    let mut side = side();
    side.jsep.close();
    let closed = "the connection was closed";
    says(&side.jsep.create_offer(&side.transport).unwrap_err(), &[closed]);
    says(&side.jsep.create_answer(&side.transport).unwrap_err(), &[closed]);
    says(&side.jsep.add_track(MediaKind::Audio, "sound", &[]).unwrap_err(), &[closed]);
    says(&side.jsep.set_local_description(&offer(CHROMIUM)).unwrap_err(), &[closed]);
    side.refuses(&offer(CHROMIUM), &["cannot set a remote offer in signaling state \"closed\"", closed]);
    side.refuses(&SessionDescription::rollback(), &[closed]);
}
