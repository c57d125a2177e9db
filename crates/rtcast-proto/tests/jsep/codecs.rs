//! Which codecs, numbers and extensions come out.

use rtcast_proto::jsep::{CodecCapability, JsepConfig, MID_EXTENSION, TRANSPORT_WIDE_CC_EXTENSION};
use rtcast_proto::sdp::{Direction, RtcpFeedback, SessionDescription};
use rtcast_proto::types::{MediaKind, Mid};
use rtcast_proto::{Codec, RtpCodec};

use crate::common::{CHROMIUM, CHROMIUM_RECVONLY, FIREFOX, Side, negotiate, offer, says, without};

fn h264(profile: &str) -> RtpCodec {
    RtpCodec::with_fmtp(Codec::H264, format!("packetization-mode=1;profile-level-id={profile}"))
}

#[test]
fn our_offer_numbers_every_codec_once() {
    let mut side = Side::new("caller");
    for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::Video] {
        side.add(kind, Direction::Sendrecv);
    }
    let offer = side.offer();
    let [audio, video, second] = offer.session().media.as_slice() else { panic!() };
    let lines = |media: &rtcast_proto::sdp::Media| -> Vec<String> {
        let formats = media.payload_formats.iter();
        formats.map(|f| format!("{} {} {}", f.payload_type, f.name, f.parameters.as_deref().unwrap_or(""))).collect()
    };
    assert_eq!(
        lines(audio),
        [
            "111 opus minptime=10;sprop-stereo=1;stereo=1;useinbandfec=1",
            "0 PCMU ",
            "8 PCMA ",
            "110 telephone-event ",
            "126 telephone-event "
        ]
    );
    let h264 = |number: u8, profile: &str| {
        format!("{number} H264 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}")
    };
    assert_eq!(
        lines(video),
        [
            "96 VP8 ".to_owned(),
            "97 rtx apt=96".into(),
            h264(98, "42e01f"),
            "99 rtx apt=98".into(),
            h264(100, "42001f"),
            "101 rtx apt=100".into(),
            h264(102, "4d001f"),
            "103 rtx apt=102".into(),
            h264(104, "640c1f"),
            "105 rtx apt=104".into(),
            "106 VP9 profile-id=0".into(),
            "107 rtx apt=106".into(),
            "108 VP9 profile-id=2".into(),
            "109 rtx apt=108".into(),
            "112 AV1 level-idx=5;profile=0;tier=0".into(),
            "113 rtx apt=112".into(),
        ]
    );
    // RFC 9143 §9.1: bundled m-lines share the numbers.
    assert_eq!(lines(second), lines(video));
    assert_eq!(second.extensions, video.extensions);
    let id = |media: &rtcast_proto::sdp::Media| media.extensions.iter().find(|e| e.uri == MID_EXTENSION).unwrap().id;
    assert_eq!(id(audio), id(video));
    assert_eq!(offer.session().bundle, [vec![Mid::from("0"), Mid::from("1"), Mid::from("2")]]);
    assert_ne!(video.ssrcs[0].ssrc, second.ssrcs[0].ssrc);
}

#[test]
fn transport_wide_feedback_is_off_until_it_is_asked_for() {
    let mut side = Side::new("caller");
    side.add(MediaKind::Video, Direction::Sendrecv);
    assert!(!side.offer().sdp().contains("transport"));
    let mut side = Side::with("caller", JsepConfig::default().with_transport_wide_feedback());
    side.add(MediaKind::Video, Direction::Sendrecv);
    let offer = side.offer();
    let video = &offer.session().media[0];
    assert!(video.payload_formats[0].feedback.contains(&RtcpFeedback::TransportWide));
    assert!(video.extensions.iter().any(|e| e.uri == TRANSPORT_WIDE_CC_EXTENSION));
}

#[test]
fn the_offerers_numbers_hold_for_both_sides() {
    let (mut chromium_like, mut side) = (Side::new("caller"), Side::new("callee"));
    // The caller learns odd numbers from an exchange with somebody else's offer first.
    chromium_like.take(&offer(CHROMIUM));
    chromium_like.answer();
    chromium_like.add(MediaKind::Video, Direction::Sendrecv);
    let offer = chromium_like.offer();
    // RFC 8829 §5.2.2: what was numbered keeps its number, also in a new m-line.
    let added = offer.session().media.last().unwrap();
    assert_eq!(added.kind, "video");
    let number = |name: &str, parameter: &str| {
        let mut formats = added.payload_formats.iter();
        let found = formats.find(|f| f.name == name && f.parameters.as_deref().unwrap_or("").contains(parameter));
        found.unwrap().payload_type.value()
    };
    assert_eq!(number("VP8", ""), 96);
    assert_eq!(number("VP9", "profile-id=0"), 98);
    assert_eq!(number("H264", "profile-level-id=42e01f"), 108);
    assert_eq!(number("AV1", ""), 45);
    let high = number("H264", "profile-level-id=640c1f").to_string();
    let theirs = crate::common::offer(CHROMIUM);
    assert!(theirs.session().media.iter().all(|media| !media.formats.contains(&high)), "{high} is somebody else's");
    side.take(&offer);
    let (answer, outcome) = side.answer();
    chromium_like.take(&answer);
    let negotiated = outcome.negotiated.unwrap();
    let last = negotiated.media.last().unwrap();
    assert_eq!(last.send_codecs[0].payload_type.value(), 96);
    assert_eq!(last.receive_codecs[0].payload_type.value(), 96);
}

#[test]
fn an_answer_with_numbers_of_its_own_is_honoured() {
    let mut caller = Side::new("caller");
    caller.add(MediaKind::Video, Direction::Sendrecv);
    let mut callee = Side::new("callee");
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    // RFC 3264 §6.1: the answerer may number as it likes; each side sends with the other's numbers.
    let text = answer
        .sdp()
        .replace("SAVPF 96 97", "SAVPF 120 121")
        .replace("a=rtpmap:96 ", "a=rtpmap:120 ")
        .replace("a=rtcp-fb:96 ", "a=rtcp-fb:120 ")
        .replace("a=rtpmap:97 ", "a=rtpmap:121 ")
        .replace("a=fmtp:97 apt=96", "a=fmtp:121 apt=120");
    let outcome = caller.take(&crate::common::answer(text));
    let video = &outcome.negotiated.unwrap().media[0];
    let vp8 = |codecs: &[rtcast_proto::jsep::NegotiatedCodec]| {
        let entry = codecs.iter().find(|entry| entry.codec.codec == Codec::Vp8).unwrap();
        (entry.payload_type.value(), entry.rtx.unwrap().value())
    };
    assert_eq!(vp8(&video.send_codecs), (120, 121));
    assert_eq!(vp8(&video.receive_codecs), (96, 97));
}

#[test]
fn preferences_choose_and_order() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    let id = caller.add(MediaKind::Video, Direction::Sendrecv);
    caller.jsep.set_codec_preferences(id, &[h264("42e01f"), RtpCodec::new(Codec::Vp8)]).unwrap();
    let offer = caller.offer();
    let names: Vec<&str> = offer.session().media[0].payload_formats.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["H264", "rtx", "VP8", "rtx"]);
    callee.take(&offer);
    let id = callee.jsep.transceivers()[0].id();
    callee.jsep.set_codec_preferences(id, &[RtpCodec::new(Codec::Vp8), h264("42e01f")]).unwrap();
    let (answer, outcome) = callee.answer();
    let names: Vec<&str> = answer.session().media[0].payload_formats.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["VP8", "rtx", "H264", "rtx"]);
    assert_eq!(outcome.negotiated.unwrap().media[0].send_codecs[0].codec.codec, Codec::Vp8);

    let error = callee.jsep.set_codec_preferences(id, &[RtpCodec::new(Codec::Opus)]).unwrap_err();
    says(&error, &["audio/opus", "video transceiver"]);
    assert_eq!(error.name(), "InvalidAccessError");
    let error = callee.jsep.set_codec_preferences(id, &[h264("f4001f")]).unwrap_err();
    says(&error, &["video/H264 is not among the codecs"]);
}

#[test]
fn an_offer_without_the_preferred_codec_is_answered_with_a_rejection() {
    let mut side = Side::new("callee");
    let id = side.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    side.jsep
        .set_codec_preferences(id, &[RtpCodec::with_fmtp(Codec::H264, "packetization-mode=1;profile-level-id=640c1f")])
        .unwrap();
    side.take(&offer(CHROMIUM));
    let (answer, outcome) = side.answer();
    assert!(answer.session().media[1].is_rejected());
    assert_eq!(outcome.stopped, [id]);
    assert!(!answer.session().media[0].is_rejected());
}

#[test]
fn retransmission_and_feedback_need_both_sides() {
    let mut side = Side::new("callee");
    let text = CHROMIUM.replace("a=rtpmap:97 rtx/90000\r\n", "").replace("a=rtcp-fb:96 nack pli\r\n", "");
    side.take(&offer(text));
    let (answer, outcome) = side.answer();
    let negotiated = outcome.negotiated.unwrap();
    let vp8 = &negotiated.media[1].send_codecs[0];
    assert_eq!((vp8.codec.codec, vp8.rtx), (Codec::Vp8, None));
    assert!(vp8.feedback.contains(&RtcpFeedback::Nack) && !vp8.feedback.contains(&RtcpFeedback::PictureLoss));
    assert!(!answer.sdp().contains("apt=96"));
}

#[test]
fn two_byte_extension_ids_are_taken() {
    let mut side = Side::new("callee");
    side.take(&offer(CHROMIUM.replace(
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:200 urn:ietf:params:rtp-hdrext:sdes:mid",
    )));
    let (_, outcome) = side.answer();
    assert_eq!(outcome.negotiated.unwrap().media[0].send_extension(MID_EXTENSION), Some(200));
}

#[test]
fn payload_types_without_a_map_are_those_of_rfc_3551() {
    let mut side = Side::new("callee");
    let text = without(CHROMIUM, "a=rtpmap:0 ");
    side.take(&offer(text.replace(" 111 63 9 0 8 13 110 126", " 0")));
    let (answer, outcome) = side.answer();
    assert!(answer.sdp().contains("a=rtpmap:0 PCMU/8000\r\n"));
    assert_eq!(outcome.negotiated.unwrap().media[0].send_codecs[0].codec.codec, Codec::Pcmu);
}

#[test]
fn two_of_ours_agree_on_everything() {
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    let (offered, answered) = negotiate(&mut caller, &mut callee);
    let (offered, answered) = (offered.negotiated.unwrap(), answered.negotiated.unwrap());
    for (a, b) in offered.media.iter().zip(&answered.media) {
        let codecs = |codecs: &[rtcast_proto::jsep::NegotiatedCodec]| -> Vec<_> {
            codecs.iter().map(|c| (c.payload_type, c.rtx, c.codec.codec)).collect()
        };
        assert_eq!(codecs(&a.send_codecs), codecs(&b.receive_codecs));
        assert_eq!(codecs(&a.receive_codecs), codecs(&b.send_codecs));
        assert_eq!((&a.mid, a.direction), (&b.mid, b.direction.reversed()));
        assert_eq!(a.extensions.len(), b.extensions.len());
    }
    assert_eq!(offered.media.len(), 2);
    assert_ne!(offered.dtls_role, answered.dtls_role);
}

#[test]
fn a_peer_that_uses_every_number_leaves_us_the_codecs_that_have_one() {
    let numbers: Vec<u8> = (0..128).collect();
    let list: String = numbers.iter().map(|number| format!(" {number}")).collect();
    let maps: String =
        numbers.iter().filter(|n| **n != 100).map(|number| format!("a=rtpmap:{number} noise/90000\r\n")).collect();
    let extensions: String = (1..=255).map(|id| format!("a=extmap:{id} urn:example:{id}\r\n")).collect();
    let transport = &CHROMIUM[CHROMIUM.find("a=ice-ufrag").unwrap()..CHROMIUM.find("a=mid:0").unwrap()];
    let head = CHROMIUM[..CHROMIUM.find("m=audio").unwrap()].replace("BUNDLE 0 1 2", "BUNDLE 1");
    let text = format!(
        "{head}m=video 9 UDP/TLS/RTP/SAVPF{list}\r\nc=IN IP4 0.0.0.0\r\n{transport}a=mid:1\r\na=sendrecv\r\n\
         a=rtcp-mux\r\na=rtpmap:100 VP8/90000\r\n{maps}{extensions}"
    );
    let mut side = Side::new("callee");
    side.take(&offer(text));
    let (answer, _) = side.answer();
    assert_eq!(answer.session().media[0].formats, ["100"]);
    side.add(MediaKind::Video, Direction::Sendrecv);
    let offer = side.offer();
    let added = &offer.session().media[1];
    assert_eq!(added.formats, ["100"], "no other number is free");
    assert_eq!(added.extensions, [], "nor any id");
    side.add(MediaKind::Audio, Direction::Sendrecv);
    let offer = side.offer();
    assert!(offer.session().media[2].is_rejected(), "there is nothing to offer");
}

#[test]
fn a_kind_without_codecs_is_offered_rejected_and_its_transceiver_stops() {
    let mut config = JsepConfig::default();
    config.codecs.retain(|capability| capability.codec.codec.kind() == MediaKind::Audio);
    let (mut caller, mut callee) = (Side::with("caller", config), Side::new("callee"));
    let video = caller.add(MediaKind::Video, Direction::Sendrecv);
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let (offered, _) = negotiate(&mut caller, &mut callee);
    assert_eq!(offered.stopped, [video]);
    assert_eq!(offered.negotiated.unwrap().media[0].mid.as_str(), "1");
    assert!(!caller.jsep.negotiation_needed());
}

#[test]
fn forward_error_correction_is_turned_down_and_the_rest_goes_on() {
    for text in [CHROMIUM, FIREFOX] {
        let mut side = Side::new("callee");
        let given = offer(text);
        let names = |description: &SessionDescription| -> Vec<String> {
            let formats = description.session().media.iter().flat_map(|media| media.payload_formats.clone());
            formats.map(|format| format.name.to_ascii_lowercase()).collect()
        };
        assert!(names(&given).iter().any(|name| name == "ulpfec" || name == "red"), "the browser offers some");
        side.take(&given);
        let (answer, outcome) = side.answer();
        let fec = |name: &String| ["red", "ulpfec", "flexfec-03", "flexfec"].contains(&name.as_str());
        assert!(!names(&answer).iter().any(fec), "{:?}", names(&answer));
        assert!(outcome.negotiated.unwrap().media.iter().all(|media| !media.send_codecs.is_empty()));
        // A later offer of ours leaves their numbers alone, for the peer may still mean them.
        let taken: Vec<_> = given
            .session()
            .media
            .iter()
            .flat_map(|media| &media.payload_formats)
            .filter(|format| fec(&format.name.to_ascii_lowercase()))
            .map(|format| format.payload_type)
            .collect();
        let again = side.create_offer();
        let numbers = again.session().media.iter().flat_map(|media| &media.payload_formats);
        assert!(numbers.into_iter().all(|format| !taken.contains(&format.payload_type)));
    }
}

#[test]
fn several_codecs_have_their_own_retransmissions_by_the_numbers_of_the_other_side() {
    let mut callee = Side::new("callee");
    let given = offer(CHROMIUM_RECVONLY);
    callee.jsep.add_track(MediaKind::Video, "film", &[]).unwrap();
    callee.take(&given);
    let (_, outcome) = callee.answer();
    let negotiated = outcome.negotiated.unwrap();
    let video = negotiated.media.iter().find(|media| media.kind == MediaKind::Video).unwrap();
    let with_rtx: Vec<_> =
        video.send_codecs.iter().filter_map(|codec| Some((codec.payload_type, codec.rtx?))).collect();
    assert!(with_rtx.len() >= 4, "{with_rtx:?}");
    let theirs = given.session().media.iter().find(|media| media.kind == "video").unwrap();
    for (payload_type, rtx) in with_rtx {
        assert_eq!(theirs.retransmission_of(payload_type), Some(rtx));
    }
    for extension in &video.extensions {
        assert!(theirs.extensions.iter().any(|other| (other.id, &other.uri) == (extension.id, &extension.uri)));
    }
}

#[test]
fn profiles_of_vp9_and_av1_must_be_the_same() {
    let vp9 = |parameters: &str| RtpCodec::with_fmtp(Codec::Vp9, parameters);
    let av1 = |parameters: &str| RtpCodec::with_fmtp(Codec::Av1, parameters);
    for (codec, taken) in [
        (vp9("profile-id=0"), true),
        (vp9("profile-id=2"), true),
        // RFC 9628 §6.2: profiles are not negotiated down.
        (vp9("profile-id=1"), false),
        (vp9("profile-id=3"), false),
        (RtpCodec::new(Codec::Vp9), true),
        (av1("level-idx=5;profile=0;tier=0"), true),
        // AV1 RTP specification §7.2.3: level and tier are each receiver's own; without a word they are 5 and 0.
        (av1("level-idx=13;profile=0;tier=1"), true),
        (RtpCodec::new(Codec::Av1), true),
        (av1("profile=1"), false),
        (av1("profile=2;level-idx=5"), false),
    ] {
        let only = JsepConfig { codecs: vec![CodecCapability::new(codec.clone())], ..JsepConfig::default() };
        let (mut caller, mut callee) = (Side::with("caller", only), Side::new("callee"));
        caller.add(MediaKind::Video, Direction::Sendrecv);
        callee.take(&caller.offer());
        let (answer, _) = callee.answer();
        let media = &answer.session().media[0];
        assert_eq!(!media.is_rejected(), taken, "{codec:?}");
        if taken && codec.codec == Codec::Av1 {
            let parameters = media.payload_formats[0].parameters.as_deref();
            assert_eq!(parameters, Some("level-idx=5;profile=0;tier=0"), "our own level and tier");
        }
    }
}

#[test]
fn mixed_header_extensions_are_answered_where_they_are_offered() {
    for (text, mixed) in [(CHROMIUM.to_owned(), true), (without(CHROMIUM, "a=extmap-allow-mixed"), false)] {
        let mut side = Side::new("callee");
        side.take(&offer(text));
        let (answer, outcome) = side.answer();
        assert_eq!(answer.sdp().contains("a=extmap-allow-mixed"), mixed);
        assert!(outcome.negotiated.unwrap().media.iter().all(|media| media.extmap_allow_mixed == mixed));
    }
}

#[test]
fn opus_without_its_channels_is_taken_as_it_is_written() {
    for (map, taken) in [("OPUS/48000", true), ("opus/48000/1", true), ("opus/48000/6", false), ("opus/16000/2", false)]
    {
        let mut side = Side::new("callee");
        side.jsep.add_track(MediaKind::Audio, "sound", &[]).unwrap();
        let text = CHROMIUM.replace("opus/48000/2", map).replace(" 111 63 9 0 8 13 110 126", " 111");
        side.take(&offer(text));
        let (answer, outcome) = side.answer();
        assert_eq!(!answer.session().media[0].is_rejected(), taken, "{map}");
        if taken {
            assert_eq!(outcome.negotiated.unwrap().media[0].send_codecs[0].codec.codec, Codec::Opus);
            assert!(answer.sdp().contains(&format!("a=rtpmap:111 {}\r\n", map.trim_end_matches("/1"))));
        }
    }
}
