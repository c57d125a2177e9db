//! A side that only sends: it takes of an offer what its tracks can be sent on, and nothing else.

use rtcast_proto::jsep::{JsepConfig, RefusalReason};
use rtcast_proto::sdp::{Direction, SessionDescription};
use rtcast_proto::types::MediaKind;
use rtcast_proto::{Codec, RtpCodec};

use crate::common::{CHROMIUM, FIREFOX, Side, negotiate, offer, shape};

/// A side with these tracks, each with the codec that it can be sent in.
fn sender(tracks: &[RtpCodec]) -> Side {
    let mut side = Side::with("server", JsepConfig::default().for_sending());
    for (number, codec) in tracks.iter().enumerate() {
        let id = side.jsep.add_track(codec.codec.kind(), &format!("track {number}"), &["film".into()]).unwrap();
        side.jsep.set_codec_preferences(id, std::slice::from_ref(codec)).unwrap();
    }
    side
}

fn refusals(side: &mut Side, given: &SessionDescription) -> Vec<(usize, RefusalReason)> {
    side.take(given).refused.iter().map(|refused| (refused.media_line, refused.reason)).collect()
}

#[test]
fn an_offer_is_answered_for_the_tracks_and_no_transceiver_is_made_for_the_rest() {
    for text in [CHROMIUM, FIREFOX] {
        let mut side = sender(&[RtpCodec::new(Codec::Vp8)]);
        let refused = refusals(&mut side, &offer(text));
        assert_eq!(refused, [(2, RefusalReason::DataChannelsDisabled)]);
        let (answer, outcome) = side.answer();
        // The first stands for the bundle, and stays without media, with a transceiver of its own.
        assert_eq!(side.jsep.transceivers().len(), 2);
        let shape = shape(&answer);
        assert_eq!(shape[0], ("audio".to_owned(), true, Direction::Inactive));
        assert_eq!(shape[1], ("video".to_owned(), true, Direction::Sendonly));
        assert!(!shape[2].1, "{shape:?}");
        let rejected = &answer.session().media[2];
        assert_eq!(rejected.formats.len(), 1, "the list of a rejected m-line means nothing: {:?}", rejected.formats);
        let negotiated = outcome.negotiated.unwrap();
        let sent: Vec<_> = negotiated.media.iter().filter(|media| media.direction.sends()).collect();
        assert_eq!(sent.len(), 1);
        assert!(sent[0].send_codecs.iter().all(|entry| entry.codec.codec == Codec::Vp8));
        assert_eq!(negotiated.data, None);
    }
}

#[test]
fn five_hundred_m_lines_make_no_transceiver() {
    let (head, _) = CHROMIUM.split_at(CHROMIUM.find("m=audio").unwrap());
    let transport = &CHROMIUM[CHROMIUM.find("a=ice-ufrag").unwrap()..CHROMIUM.find("a=mid:0").unwrap()];
    let head =
        head.lines().filter(|line| !line.starts_with("a=group")).map(|line| format!("{line}\r\n")).collect::<String>();
    let mids: String = (0..500).map(|n| format!(" {n}")).collect();
    let line = |n: usize| {
        format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{n}\r\na=rtcp-mux\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n")
    };
    let lines: String = (0..500).map(line).collect();
    let given = offer(format!("{head}{transport}a=group:BUNDLE{mids}\r\n{lines}"));
    let mut side = sender(&[RtpCodec::new(Codec::Vp8)]);
    assert_eq!(refusals(&mut side, &given).len(), 499);
    let (answer, _) = side.answer();
    assert_eq!(side.jsep.transceivers().len(), 1);
    assert_eq!(answer.session().bundle, [["0".into()]]);
}

#[test]
fn a_track_takes_the_first_m_line_that_can_carry_it() {
    let text = CHROMIUM.replace("m=audio 9 ", "m=video 9 ").replace("opus/48000/2", "AV1/90000");
    let mut side = sender(&[RtpCodec::new(Codec::Vp8)]);
    assert_eq!(refusals(&mut side, &offer(text)), [(2, RefusalReason::DataChannelsDisabled)]);
    let (answer, _) = side.answer();
    let directions: Vec<_> = answer.session().media.iter().take(2).map(|media| media.direction).collect();
    assert_eq!(directions, [Direction::Inactive, Direction::Sendonly]);
}

#[test]
fn without_a_codec_in_common_or_anybody_who_receives_nothing_is_taken() {
    let high = RtpCodec::with_fmtp(Codec::Vp9, "profile-id=2");
    for (text, codec, reason) in [
        (CHROMIUM.replace("VP9/90000", "VP7/90000"), high, RefusalReason::NoCommonCodec),
        (CHROMIUM.replace("a=sendrecv", "a=sendonly"), RtpCodec::new(Codec::Vp8), RefusalReason::NothingToSend),
        (CHROMIUM.replace("a=sendrecv", "a=inactive"), RtpCodec::new(Codec::Vp8), RefusalReason::NothingToSend),
    ] {
        let mut side = sender(&[codec]);
        let refused = refusals(&mut side, &offer(text));
        assert_eq!(refused.len(), 3);
        assert_eq!(refused[1], (1, reason));
        let (answer, outcome) = side.answer();
        assert!(answer.session().media.iter().all(|media| media.is_rejected()));
        assert_eq!(outcome.negotiated, None);
    }
    // A track whose codecs are none that can be negotiated.
    let mut side = Side::with("server", JsepConfig::default().for_sending());
    side.jsep.add_track(MediaKind::Video, "strange", &[]).unwrap();
    assert_eq!(refusals(&mut side, &offer(CHROMIUM))[1], (1, RefusalReason::NoCommonCodec));
}

#[test]
fn what_was_taken_stays_when_the_peer_pauses_it_and_another_track_joins_later() {
    let mut side = sender(&[RtpCodec::new(Codec::Vp8)]);
    side.take(&offer(CHROMIUM));
    side.answer();
    let paused = CHROMIUM.replace("a=sendrecv", "a=inactive");
    side.take(&offer(paused));
    let (answer, outcome) = side.answer();
    assert_eq!(outcome.stopped, []);
    assert_eq!(answer.session().media[1].direction, Direction::Inactive);
    assert!(!answer.session().media[1].is_rejected());
    let id = side.jsep.add_track(MediaKind::Audio, "sound", &[]).unwrap();
    side.jsep.set_codec_preferences(id, &[RtpCodec::with_fmtp(Codec::Opus, "minptime=10;useinbandfec=1")]).unwrap();
    side.take(&offer(CHROMIUM));
    let (answer, _) = side.answer();
    assert_eq!(answer.session().media[0].direction, Direction::Sendonly);
    assert_eq!(answer.session().media[1].direction, Direction::Sendonly);
}

#[test]
fn its_own_offers_send_and_do_not_receive() {
    let mut server =
        sender(&[RtpCodec::new(Codec::Vp8), RtpCodec::with_fmtp(Codec::Opus, "minptime=10;useinbandfec=1")]);
    let mut viewer = Side::new("viewer");
    let (offered, _) = negotiate(&mut server, &mut viewer);
    let directions: Vec<_> = offered.negotiated.unwrap().media.iter().map(|media| media.direction).collect();
    assert_eq!(directions, [Direction::Sendonly, Direction::Sendonly]);
    let sdp = server.jsep.current_local_description().unwrap().sdp();
    assert!(!sdp.contains("telephone-event") && !sdp.contains("H264") && !sdp.contains("PCMU"), "{sdp}");
}
