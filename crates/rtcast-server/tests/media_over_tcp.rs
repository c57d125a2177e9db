//! Media over TCP, on the port of HTTP, for viewers whose networks let no UDP through.

mod support;

use rtcast::{Configuration, Direction, MediaKind, PeerConnection, SdpType, SessionDescription, TcpCandidates};
use rtcast_server::ServerEvent;
use support::{Fixture, LIMIT, frames, offer, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SDP: (&str, &str) = ("content-type", "application/sdp");

fn without_udp(sdp: &str) -> String {
    let kept = sdp.lines().filter(|line| !(line.starts_with("a=candidate:") && line.contains(" udp ")));
    kept.flat_map(|line| [line, "\r\n"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_udp_watches_over_the_port_of_http() {
    let mut fixture = Fixture::with(|builder| builder.media_over_tcp(true)).await;
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    configuration.ice.tcp = TcpCandidates::Active;
    let viewer = PeerConnection::new(configuration).await.unwrap();
    viewer.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    let received = frames(&viewer);
    let offer = without_udp(&offer(&viewer).await);
    let reply = request(fixture.address(), "POST", "/film/whep", &[SDP], &offer).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let port = fixture.address().port();
    let told = format!("127.0.0.1 {port} typ host tcptype passive");
    assert!(reply.body.contains(&told), "{told:?} is not in: {}", reply.body);
    let answer = SessionDescription::new(SdpType::Answer, without_udp(&reply.body)).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    for frame in received.await.unwrap() {
        let number = u32::from_be_bytes(frame.data[10..14].try_into().unwrap());
        assert_eq!(frame.data, support::frame(number).data, "each frame arrives as it was sent");
    }
    let pair = viewer.stats().await.unwrap().selected_pair.unwrap();
    assert_eq!(pair.remote, fixture.address());
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    viewer.close().await;
    assert!(matches!(fixture.event().await, ServerEvent::ViewerLeft { .. }));
    assert_eq!(request(fixture.address(), "GET", "/api/streams", &[], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_media_is_closed() {
    let fixture = Fixture::with(|builder| builder.media_over_tcp(true)).await;
    // A whole message that is no check, and a check that names nobody.
    let mut stranger = vec![0, 32, 0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
    stranger.extend([0; 12]);
    stranger.extend(*b"\0\x06\0\x08A123:456");
    for bytes in [&[0, 4, 1, 2, 3, 4][..], &stranger] {
        let mut stream = TcpStream::connect(fixture.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let end = timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("an end in time");
        assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    }
    assert_eq!(request(fixture.address(), "GET", "/api/streams", &[], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn media_stays_with_udp_unless_tcp_is_asked_for() {
    let fixture = Fixture::start().await;
    let viewer = support::viewer().await;
    let reply = request(fixture.address(), "POST", "/film/whep", &[SDP], &offer(&viewer).await).await;
    assert!(reply.status == 201 && !reply.body.contains("tcptype"), "{}", reply.body);
}
