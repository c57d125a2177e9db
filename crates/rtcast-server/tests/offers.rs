//! What viewers offer, and what of it is answered: whatever can be sent is, everything else is rejected.

mod support;

use rtcast::{Broadcast, Codec, Direction, MediaKind, MediaStreamTrack, RtpCodec, SdpType, SessionDescription};
use rtcast_server::{Server, Stream};
use support::{Reply, request};

const BASE: &str = include_str!("offers/ok-base.sdp");
const H264_WITHOUT_FMTP: &str = include_str!("offers/h264-no-fmtp.sdp");
const OPUS_WITHOUT_CHANNELS: &str = include_str!("offers/opus-48000-nofmtp.sdp");
const AV1_ALONE: &str = include_str!("offers/av1-only-video.sdp");
const PCMU_ALONE: &str = include_str!("offers/pcmu-only-audio.sdp");
const CHROMIUM: &str = include_str!("../../rtcast-proto/tests/fixtures/chromium_offer.sdp");
const FIREFOX: &str = include_str!("../../rtcast-proto/tests/fixtures/firefox_offer.sdp");

fn h264(mode: u8) -> RtpCodec {
    RtpCodec::with_fmtp(Codec::H264, format!("packetization-mode={mode};profile-level-id=42e01f"))
}

/// A server of one stream in these codecs.
async fn server(video: &[RtpCodec], audio: &[RtpCodec]) -> Server {
    let mut stream = Stream::new();
    for (kind, codecs) in [(MediaKind::Video, video), (MediaKind::Audio, audio)] {
        if !codecs.is_empty() {
            let renditions = codecs.iter().cloned().map(Broadcast::new).collect();
            stream = stream.track(MediaStreamTrack::new(kind, renditions));
        }
    }
    Server::builder().stream("film", stream).shards(1).bind(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn post(server: &Server, offer: &str) -> Reply {
    request(server.local_address(), "POST", "/film/whep", &[("content-type", "application/sdp")], offer).await
}

/// For each m-line of the answer the names of its formats, empty if it is rejected.
async fn answered(server: &Server, offer: &str) -> Vec<Vec<String>> {
    let reply = post(server, offer).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let answer = SessionDescription::new(SdpType::Answer, reply.body).unwrap();
    let lines = answer.session().media.iter().map(|media| match media.is_rejected() {
        true => Vec::new(),
        false => {
            assert_eq!(media.direction, Direction::Sendonly, "a viewer is sent to and does not send");
            media.payload_formats.iter().map(|format| format.name.clone()).collect()
        }
    });
    lines.collect()
}

#[tokio::test]
async fn each_offer_gets_what_can_be_sent() {
    let film = server(&[h264(1), RtpCodec::new(Codec::Vp8)], &[RtpCodec::new(Codec::Opus)]).await;
    assert_eq!(answered(&film, BASE).await, [["opus"], ["VP8"]]);
    // Without a word it is packetization mode 0, for which there is no rendition.
    assert_eq!(answered(&film, H264_WITHOUT_FMTP).await, [vec!["opus"], vec![]]);
    assert_eq!(answered(&film, OPUS_WITHOUT_CHANNELS).await, [vec!["OPUS"], vec![]]);
    assert_eq!(answered(&film, AV1_ALONE).await, [vec!["opus"], vec![]]);
    assert_eq!(answered(&film, PCMU_ALONE).await, [vec![], vec!["VP8"]]);

    let everything = server(
        &[h264(1), h264(0), RtpCodec::new(Codec::Av1)],
        &[RtpCodec::new(Codec::Opus), RtpCodec::new(Codec::Pcmu), RtpCodec::new(Codec::Pcma)],
    )
    .await;
    assert_eq!(answered(&everything, H264_WITHOUT_FMTP).await, [["opus"], ["H264"]]);
    assert_eq!(answered(&everything, OPUS_WITHOUT_CHANNELS).await, [["OPUS"], ["H264"]]);
    assert_eq!(answered(&everything, AV1_ALONE).await, [["opus"], ["AV1"]]);
    assert_eq!(answered(&everything, PCMU_ALONE).await, [vec!["PCMU", "PCMA"], vec![]]);
    assert_eq!(answered(&everything, BASE).await, [vec!["opus"], vec![]]);
}

#[tokio::test]
async fn an_offer_of_which_nothing_is_left_is_a_problem() {
    let pictures = server(&[h264(1)], &[]).await;
    for (offer, part) in [
        (AV1_ALONE.to_owned(), "video/AV1"),
        (H264_WITHOUT_FMTP.to_owned(), "the stream has video/H264"),
        (BASE.to_owned(), "video/VP8"),
        (BASE.replace("a=recvonly", "a=sendonly"), "asks for nothing"),
        (BASE.replace("a=recvonly", "a=inactive"), "asks for nothing"),
        (BASE.replace("m=audio 9", "m=audio 0").replace("m=video 9", "m=video 0"), "asks for nothing"),
    ] {
        let reply = post(&pictures, &offer).await;
        assert_eq!(reply.status, 406, "{}", reply.body);
        let problem = reply.problem();
        assert_eq!(problem["name"], "NotSupportedError");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        assert!(problem["hint"].is_string(), "{problem}");
    }
    assert_eq!(pictures.stats().await.viewers, 0);
}

#[tokio::test]
async fn what_is_never_used_is_rejected() {
    let film = server(&[RtpCodec::new(Codec::Vp8), h264(1)], &[RtpCodec::new(Codec::Opus)]).await;
    for offer in [CHROMIUM, FIREFOX] {
        assert!(offer.contains("telephone-event") && offer.contains("red/") && offer.contains("m=application"));
        let lines = answered(&film, offer).await;
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], ["opus"], "no telephone events, no redundancy, no other codec");
        assert!(lines[1].iter().all(|name| ["VP8", "H264", "rtx"].contains(&name.as_str())), "{lines:?}");
        assert_eq!(lines[2], [""; 0], "no data channels");
    }
    // A second m-line of a kind, for which there is no track.
    let (head, video) = BASE.split_at(BASE.find("m=video").unwrap());
    let twice = format!("{head}{video}{}", video.replace("a=mid:1", "a=mid:2")).replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert_eq!(answered(&film, &twice).await, [vec!["opus"], vec!["VP8"], vec![]]);
    // The track waits for the m-line that can carry it.
    let (first, second) = (video.replace("VP8", "AV1"), video.replace("a=mid:1", "a=mid:2"));
    let better = format!("{head}{first}{second}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert_eq!(answered(&film, &better).await, [vec!["opus"], vec![], vec!["VP8"]]);
}
