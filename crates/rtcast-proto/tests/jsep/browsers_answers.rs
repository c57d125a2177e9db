//! The answers that Chromium and Firefox gave to an offer of ours: audio, video, data channels.

use rtcast_proto::jsep::{DtlsRole, JsepConfig, SignalingState};
use rtcast_proto::sdp::Direction;
use rtcast_proto::types::MediaKind;
use rtcast_proto::{Codec, RtpCodec};

use crate::common::{Side, answer};

const CHROMIUM: &str = include_str!("../fixtures/chromium_answer.sdp");
const FIREFOX: &str = include_str!("../fixtures/firefox_answer.sdp");

/// The side whose offer they answered.
fn side() -> Side {
    let mut side = Side::with("caller", JsepConfig::default().with_data_channels());
    side.jsep.add_track(MediaKind::Audio, "sound", &["film".into()]).unwrap();
    side.jsep.add_track(MediaKind::Video, "pictures", &["film".into()]).unwrap();
    side.jsep.request_data().unwrap();
    side.offer();
    side
}

#[test]
fn both_answers_are_taken() {
    for text in [CHROMIUM, FIREFOX] {
        let mut side = side();
        let outcome = side.take(&answer(text));
        assert_eq!(outcome.signaling_state, SignalingState::Stable);
        assert_eq!(outcome.tracks_added, []);
        let negotiated = outcome.negotiated.unwrap();
        assert_eq!(negotiated.dtls_role, DtlsRole::Server);
        assert!(!negotiated.transport.candidates.is_empty());
        assert!(negotiated.data.is_some());
        let [audio, video] = negotiated.media.as_slice() else { panic!() };
        assert_eq!((audio.direction, video.direction), (Direction::Sendonly, Direction::Sendonly));
        assert_eq!(audio.send_codecs[0].codec.codec, Codec::Opus);
        let vp8 = &video.send_codecs[0];
        assert_eq!((vp8.codec.codec, vp8.payload_type.value(), vp8.rtx.unwrap().value()), (Codec::Vp8, 96, 97));
        assert!(!side.jsep.negotiation_needed());
    }
}

#[test]
fn h264_is_chosen_by_what_the_browser_answered() {
    let entry = |text: &str, profile: &str| {
        let outcome = side().take(&answer(text));
        let stream = RtpCodec::with_fmtp(Codec::H264, format!("profile-level-id={profile}"));
        outcome.negotiated.unwrap().media[1].send_codec_for(&stream).map(|entry| entry.payload_type.value())
    };
    assert_eq!(entry(CHROMIUM, "42c01f"), Some(98));
    assert_eq!(entry(CHROMIUM, "640028"), Some(98), "no entry of its own: the first that browsers decode it under");
    assert_eq!(entry(FIREFOX, "42c01f"), None, "this Firefox has no H.264");
}
