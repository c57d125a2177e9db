//! Our answers to the offers of Chromium and Firefox.

use rtcast_proto::jsep::{DtlsRole, PLAYOUT_DELAY_EXTENSION, RefusalReason, SignalingState, TransceiverInit};
use rtcast_proto::sdp::{Direction, RtcpFeedback, Setup};
use rtcast_proto::types::{MediaKind, Mid, Ssrc};
use rtcast_proto::{Codec, RtpCodec};

use crate::common::{CHROMIUM, CHROMIUM_RECVONLY, FIREFOX, FIREFOX_RECVONLY, Side, offer, shape};

/// A side that has a film to send.
fn player() -> Side {
    let mut side = Side::new("player");
    let stream = ["film".to_owned()];
    side.jsep.add_track(MediaKind::Video, "pictures", &stream).unwrap();
    side.jsep.add_track(MediaKind::Audio, "sound", &stream).unwrap();
    side
}

fn numbers(media: &rtcast_proto::sdp::Media) -> Vec<u8> {
    media.payload_formats.iter().map(|format| format.payload_type.value()).collect()
}

#[test]
fn chromium_that_only_receives_is_sent_a_film() {
    let mut side = player();
    let outcome = side.take(&offer(CHROMIUM_RECVONLY));
    assert_eq!(outcome.signaling_state, SignalingState::HaveRemoteOffer);
    assert_eq!(outcome.tracks_added, []);
    assert_eq!(outcome.refused.len(), 1);
    assert_eq!(outcome.refused[0].reason, RefusalReason::DataChannelsDisabled);
    let remote = outcome.remote_transport.unwrap();
    assert_eq!((remote.ice.ufrag.as_str(), remote.ice.pwd.as_str()), ("z8xU", "hgM/mdBBtx+PXFDwNqiH06ma"));
    assert_eq!(remote.candidates.len(), 2);
    assert!(!remote.ice.lite && !remote.ice_restart && !remote.end_of_candidates);
    assert_eq!(remote.setup, Setup::Actpass);

    let (answer, outcome) = side.answer();
    assert_eq!(
        shape(&answer),
        [
            ("audio".into(), true, Direction::Sendonly),
            ("video".into(), true, Direction::Sendonly),
            ("application".into(), false, Direction::Inactive),
        ]
    );
    let session = answer.session();
    assert_eq!(session.bundle, [vec![Mid::from("0"), Mid::from("1")]]);
    assert!(session.extmap_allow_mixed);
    let [audio, video, data] = session.media.as_slice() else { panic!("{} m-lines", session.media.len()) };
    // With the telephone events of both clocks.
    assert_eq!(numbers(audio), [111, 0, 8, 110, 126]);
    // In the offer's order: VP8, VP9 profiles 0 and 2, H.264 but for High 4:4:4, AV1 profile 0, each with its RTX.
    let h264 = [102, 103, 104, 107, 108, 109, 114, 115, 116, 117, 39, 40];
    let video_numbers = [&[96, 97, 98, 99, 100, 101][..], &h264, &[45, 46]].concat();
    assert_eq!(numbers(video), video_numbers);
    assert_eq!(data.mid, Some(Mid::from("2")));
    assert_eq!(data.formats, ["webrtc-datachannel"]);
    for media in [audio, video] {
        assert_eq!(media.setup, Some(Setup::Active));
        assert_eq!(media.ice_ufrag.as_deref(), Some("player"));
        assert!(media.rtcp_mux && media.rtcp_rsize);
        assert_eq!(media.msids[0].stream.as_deref(), Some("film"));
    }
    let extensions: Vec<(u8, &str)> = video.extensions.iter().map(|e| (e.id, e.uri.as_str())).collect();
    assert_eq!(
        extensions,
        [
            (5, PLAYOUT_DELAY_EXTENSION),
            (8, "http://www.webrtc.org/experiments/rtp-hdrext/color-space"),
            (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
            (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
            (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
        ]
    );
    let vp8 = &video.payload_formats[0];
    assert_eq!(vp8.name, "VP8");
    let feedback: Vec<&str> = vp8.feedback.iter().map(RtcpFeedback::as_str).collect();
    assert_eq!(feedback, ["goog-remb", "ccm fir", "nack", "nack pli"]);
    let h264 = video.payload_formats.iter().find(|format| format.payload_type.value() == 108).unwrap();
    assert_eq!(
        h264.parameters.as_deref(),
        Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
    );

    assert_eq!(outcome.signaling_state, SignalingState::Stable);
    let negotiated = outcome.negotiated.unwrap();
    assert_eq!(negotiated.dtls_role, DtlsRole::Client);
    assert_eq!(negotiated.data, None);
    assert_eq!(negotiated.media.len(), 2);
    let video = &negotiated.media[1];
    assert_eq!((video.kind, video.direction, video.mid.as_str()), (MediaKind::Video, Direction::Sendonly, "1"));
    assert_eq!(video.send_codecs[0].payload_type.value(), 96);
    assert_eq!(video.send_codecs[0].rtx.unwrap().value(), 97);
    assert_eq!(video.send_extension(PLAYOUT_DELAY_EXTENSION), Some(5));
    assert!(video.rtx_ssrc.is_some() && video.rtcp_rsize);
    let announced: Vec<Ssrc> = session.media[1].ssrcs.iter().map(|source| source.ssrc).collect();
    assert_eq!(announced, [video.ssrc, video.rtx_ssrc.unwrap()]);
    let audio = &negotiated.media[0];
    assert_eq!(audio.send_codecs[0].codec, RtpCodec::with_fmtp(Codec::Opus, "minptime=10;useinbandfec=1"));
    assert_eq!(audio.rtx_ssrc, None);
}

#[test]
fn chromium_takes_h264_as_it_is() {
    let mut side = player();
    side.take(&offer(CHROMIUM));
    let (_, outcome) = side.answer();
    let negotiated = outcome.negotiated.unwrap();
    let video = &negotiated.media[1];
    let entry = |profile: &str| {
        let stream = RtpCodec::with_fmtp(Codec::H264, format!("profile-level-id={profile}"));
        video.send_codec_for(&stream).map(|entry| entry.payload_type.value())
    };
    assert_eq!(entry("42c01e"), Some(108), "constrained baseline has an entry of its own");
    assert_eq!(entry("42001e"), Some(102), "baseline");
    assert_eq!(entry("4d401f"), Some(116), "main");
    assert_eq!(entry("640028"), Some(102), "high goes by what browsers decode");
    assert_eq!(entry("f4001f"), None, "4:4:4 does not");
    let vp9 = |profile: u8| RtpCodec::with_fmtp(Codec::Vp9, format!("profile-id={profile}"));
    assert_eq!(video.send_codec_for(&vp9(0)).unwrap().payload_type.value(), 98);
    assert_eq!(video.send_codec_for(&vp9(2)).unwrap().payload_type.value(), 100);
    assert_eq!(video.send_codec_for(&vp9(1)), None);
}

#[test]
fn chromium_that_sends_has_tracks_and_sources() {
    let mut side = Side::new("viewer");
    let outcome = side.take(&offer(CHROMIUM));
    let tracks: Vec<(MediaKind, &str, &str)> =
        outcome.tracks_added.iter().map(|t| (t.kind, t.mid.as_str(), t.track_id.as_str())).collect();
    assert_eq!(
        tracks,
        [
            (MediaKind::Audio, "0", "ccb32fe6-b4c9-462e-901f-a0ea77fcc2c9"),
            (MediaKind::Video, "1", "6ef5ff95-fd9b-450f-894d-3561c0cbee59"),
        ]
    );
    assert!(outcome.tracks_added.iter().all(|track| track.stream_ids.is_empty()), "`-` is no stream");
    let (answer, outcome) = side.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Recvonly);
    assert!(answer.session().media[1].ssrcs.is_empty(), "who does not send announces no source");
    let negotiated = outcome.negotiated.unwrap();
    let source = &negotiated.media[1].remote_sources;
    assert_eq!(source.len(), 1);
    assert_eq!((source[0].ssrc, source[0].rtx), (Ssrc(2795691224), Some(Ssrc(1568057425))));
    assert_eq!(source[0].cname.as_deref(), Some("UouQiBByszyOyscq"));
    assert_eq!(negotiated.media[1].receive_codecs[0].payload_type.value(), 96);
}

#[test]
fn firefox_has_its_fingerprint_at_session_level() {
    for text in [FIREFOX, FIREFOX_RECVONLY] {
        let mut side = player();
        let outcome = side.take(&offer(text));
        let remote = outcome.remote_transport.unwrap();
        assert_eq!(remote.fingerprints.len(), 1);
        assert_eq!(remote.fingerprints[0].algorithm, "sha-256");
        assert!(remote.end_of_candidates);
        assert_eq!(remote.candidates.len(), 8);
        let (answer, outcome) = side.answer();
        let [audio, video, data] = answer.session().media.as_slice() else { panic!() };
        assert_eq!(numbers(audio), [109, 0, 8, 101]);
        assert_eq!(numbers(video), [120, 124, 121, 125, 99, 100]);
        assert!(data.is_rejected());
        // Firefox receives playout-delay and does not send it, so that we send it and do not receive it.
        let delay = video.extensions.iter().find(|e| e.uri == PLAYOUT_DELAY_EXTENSION).unwrap();
        assert_eq!((delay.id, delay.direction), (6, Direction::Sendonly));
        assert!(answer.sdp().contains("a=extmap:6/sendonly "));
        let negotiated = outcome.negotiated.unwrap();
        assert_eq!(negotiated.media[1].send_extension(PLAYOUT_DELAY_EXTENSION), Some(6));
        assert_eq!(negotiated.media[1].receive_extension(PLAYOUT_DELAY_EXTENSION), None);
        assert_eq!(negotiated.media[1].send_codecs[0].codec.parameter("max-fs"), Some("12288"));
        let h264 = RtpCodec::with_fmtp(Codec::H264, "profile-level-id=42c01e");
        assert_eq!(negotiated.media[1].send_codec_for(&h264), None, "this Firefox has no H.264");
    }
}

#[test]
fn a_transceiver_of_our_own_does_not_take_the_place_of_a_track() {
    let mut side = Side::new("player");
    // RFC 8829 §5.10: only those that came by addTrack are taken for the peer's m-lines.
    let own = side.jsep.add_transceiver(MediaKind::Video, TransceiverInit::default());
    side.take(&offer(CHROMIUM_RECVONLY));
    assert_eq!(side.jsep.transceiver(own).unwrap().mid(), None);
    let (answer, _) = side.answer();
    assert_eq!(answer.session().media[1].direction, Direction::Inactive);
    assert!(side.jsep.negotiation_needed());
}
