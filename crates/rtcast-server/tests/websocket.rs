//! The WebSocket protocol in both roles, and what it says to whoever breaks it.

mod support;

use futures_util::{SinkExt, StreamExt};
use rtcast::signaling::Signaling;
use rtcast::{PeerConnection, SdpType, SessionDescription};
use rtcast_server::{LeaveReason, ServerEvent, Signalling};
use serde_json::{Value, json};
use support::{Fixture, LIMIT, forged_offer, frames, offer, viewer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    async fn connect(fixture: &Fixture, name: &str) -> Self {
        let (socket, _) = connect_async(format!("ws://{}/{name}/ws", fixture.address())).await.unwrap();
        Self { socket }
    }

    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message of the protocol; `None` when the server closes.
    async fn recv(&mut self) -> Option<Value> {
        loop {
            match timeout(LIMIT, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next message that is no candidate; candidates go to the viewer.
    async fn recv_for(&mut self, viewer: &PeerConnection) -> Value {
        loop {
            let message = self.recv().await.expect("a message");
            if message["type"] != "candidate" {
                return message;
            }
            let candidate = rtcast::IceCandidate {
                candidate: message["candidate"].as_str().unwrap().to_owned(),
                sdp_mid: message["sdpMid"].as_str().map(Into::into),
                sdp_m_line_index: message["sdpMLineIndex"].as_u64().map(|index| index as u16),
                username_fragment: None,
            };
            viewer.add_ice_candidate(candidate).await.unwrap();
        }
    }

    async fn error(&mut self) -> Value {
        loop {
            let message = self.recv().await.expect("an error");
            if message["type"] == "candidate" {
                continue;
            }
            assert_eq!(message["type"], "error", "{message}");
            let error = message["error"].clone();
            assert!(error["name"].is_string() && error["message"].is_string(), "{error}");
            return error;
        }
    }
}

#[tokio::test]
async fn the_viewer_offers() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let mut client = Client::connect(&fixture, "film").await;
    client.send(&json!({"type": "offer", "sdp": offer(&viewer).await})).await;
    let answer = client.recv_for(&viewer).await;
    assert_eq!(answer["type"], "answer");
    let answer = SessionDescription::new(SdpType::Answer, answer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    assert_eq!(received.await.unwrap().len(), 5);
    let ServerEvent::ViewerJoined { signalling, .. } = fixture.event().await else { panic!() };
    assert_eq!(signalling, Signalling::WebSocket);
    client.send(&json!({"type": "bye"})).await;
    let ServerEvent::ViewerLeft { reason, .. } = fixture.event().await else { panic!() };
    assert_eq!(reason, LeaveReason::Bye);
    while client.recv().await.is_some() {}
}

#[tokio::test]
async fn why_a_certificate_was_refused_is_told() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let mut client = Client::connect(&fixture, "film").await;
    client.send(&json!({"type": "offer", "sdp": forged_offer(&viewer).await})).await;
    let answer = client.recv_for(&viewer).await;
    let answer = SessionDescription::new(SdpType::Answer, answer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    let error = client.error().await;
    assert!(error["message"].as_str().unwrap().contains("fingerprint"), "{error}");
    assert!(!error["hint"].as_str().unwrap().contains("check that UDP passes"), "{error}");
    assert!(matches!(fixture.event().await, ServerEvent::ViewerFailed { .. }));
}

#[tokio::test]
async fn the_server_offers_upon_request() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let mut client = Client::connect(&fixture, "film").await;
    client.send(&json!({"type": "request"})).await;
    let offer = client.recv_for(&viewer).await;
    assert_eq!(offer["type"], "offer");
    let offer = SessionDescription::new(SdpType::Offer, offer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(offer).await.unwrap();
    let answer = viewer.create_answer().await.unwrap();
    viewer.set_local_description(answer).await.unwrap();
    client.send(&json!({"type": "answer", "sdp": viewer.local_description().unwrap().sdp()})).await;
    assert_eq!(received.await.unwrap().len(), 5);
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    // The WebSocket breaks without a word.
    drop(client);
    assert!(matches!(fixture.event().await, ServerEvent::ViewerLeft { .. }));
}

#[tokio::test]
async fn the_library_watches_in_either_role() {
    for request in [false, true] {
        let mut fixture = Fixture::start().await;
        let viewer = viewer().await;
        let received = frames(&viewer);
        let mut signaling = Signaling::connect(&format!("ws://{}/film/ws", fixture.address())).await.unwrap();
        if request {
            signaling.request(&viewer).await.unwrap();
        } else {
            signaling.offer(&viewer).await.unwrap();
        }
        assert_eq!(received.await.unwrap().len(), 5);
        assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
        signaling.close().await;
        let ServerEvent::ViewerLeft { reason, .. } = fixture.event().await else { panic!() };
        assert_eq!(reason, LeaveReason::Bye);
    }
}

#[tokio::test]
async fn candidates_may_follow_the_offer() {
    let fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let complete = offer(&viewer).await;
    let bare: String = complete
        .lines()
        .filter(|line| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let mut client = Client::connect(&fixture, "film").await;
    client.send(&json!({"type": "offer", "sdp": bare})).await;
    for line in
        complete.lines().filter_map(|line| line.strip_prefix("a=")).filter(|line| line.starts_with("candidate:"))
    {
        client.send(&json!({"type": "candidate", "candidate": line, "sdpMid": null, "sdpMLineIndex": 0})).await;
    }
    client.send(&json!({"type": "candidate", "candidate": "", "sdpMid": null, "sdpMLineIndex": 0})).await;
    client.send(&json!({"type": "candidate", "candidate": null})).await;
    let answer = client.recv_for(&viewer).await;
    let answer = SessionDescription::new(SdpType::Answer, answer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    assert_eq!(received.await.unwrap().len(), 5);
}

#[tokio::test]
async fn candidates_may_come_before_the_offer() {
    let fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let complete = offer(&viewer).await;
    let is_candidate = |line: &&str| line.starts_with("a=candidate:");
    let candidates: Vec<_> = complete.lines().filter(is_candidate).map(|line| line.replacen("a=", "", 1)).collect();
    assert!(!candidates.is_empty());
    let bare: String = complete
        .lines()
        .filter(|line| !is_candidate(line) && !line.starts_with("a=end-of-candidates"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let mut client = Client::connect(&fixture, "film").await;
    let tell =
        |candidate: &str| json!({"type": "candidate", "candidate": candidate, "sdpMid": null, "sdpMLineIndex": 0});
    for candidate in candidates.iter().map(String::as_str).cycle().take(49).chain(["candidate:nonsense"]) {
        client.send(&tell(candidate)).await;
    }
    client.send(&tell(&candidates[0])).await;
    let error = client.error().await;
    assert_eq!(error["name"], "InvalidStateError", "fifty are kept: {error}");
    client.send(&json!({"type": "offer", "sdp": bare})).await;
    let answer = client.recv_for(&viewer).await;
    assert_eq!(answer["type"], "answer", "{answer}");
    let answer = SessionDescription::new(SdpType::Answer, answer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    assert_eq!(received.await.unwrap().len(), 5);
}

#[tokio::test]
async fn an_offer_without_anything_to_receive_is_refused_in_words() {
    let fixture = Fixture::start().await;
    let mut client = Client::connect(&fixture, "film").await;
    let sdp = offer(&viewer().await).await;
    client.send(&json!({"type": "offer", "sdp": sdp.replace("a=recvonly", "a=sendonly")})).await;
    let error = client.error().await;
    assert_eq!(error["name"], "NotSupportedError", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("recvonly"), "{error}");
}

#[tokio::test]
async fn mistakes_are_named_and_the_connection_is_kept() {
    let fixture = Fixture::start().await;
    let mut client = Client::connect(&fixture, "film").await;
    client.socket.send(Message::text("not json")).await.unwrap();
    assert_eq!(client.error().await["name"], "SyntaxError");
    client.socket.send(Message::binary(vec![0, 1, 2])).await.unwrap();
    assert!(client.error().await["message"].as_str().unwrap().contains("binary"));
    client
        .socket
        .send(Message::text(format!("{{\"type\":\"offer\",\"sdp\":\"{}\"}}", "x".repeat(100_000))))
        .await
        .unwrap();
    assert!(client.error().await["message"].as_str().unwrap().contains("limit"));
    client.send(&json!({"type": "ofer"})).await;
    assert!(client.error().await["hint"].as_str().unwrap().contains("offer"));
    for message in [json!({"type": "answer", "sdp": "v=0"})] {
        client.send(&message).await;
        let error = client.error().await;
        assert_eq!(error["name"], "InvalidStateError", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("first"), "{error}");
    }
    let viewer = viewer().await;
    let sdp = offer(&viewer).await;
    for (wrong, part) in [
        (String::new(), "empty"),
        (json!({"type": "offer", "sdp": sdp}).to_string(), "JSON"),
        (sdp.replace("\r\n", "\\r\\n"), "line ends"),
        (sdp.replacen("v=0", "x=0", 1), "line 1"),
        (sdp.replace("a=fingerprint", "a=x-fingerprint"), "fingerprint"),
    ] {
        client.send(&json!({"type": "offer", "sdp": wrong})).await;
        let error = client.error().await;
        assert!(error.to_string().contains(part), "{part:?} in {error}");
    }
    client.send(&json!({"type": "offer", "sdp": sdp})).await;
    assert_eq!(client.recv_for(&viewer).await["type"], "answer", "after all that the right offer is answered");
}

#[tokio::test]
async fn too_many_mistakes_end_it() {
    let fixture = Fixture::start().await;
    let mut client = Client::connect(&fixture, "film").await;
    let mut errors = 0;
    for _ in 0..50 {
        if client.socket.send(Message::text("x")).await.is_err() {
            break;
        }
    }
    while let Some(message) = client.recv().await {
        assert_eq!(message["type"], "error");
        errors += 1;
    }
    assert!((1..=20).contains(&errors), "{errors}");
}

#[tokio::test]
async fn a_message_beyond_all_measure_ends_it_in_words() {
    let fixture = Fixture::start().await;
    let mut client = Client::connect(&fixture, "film").await;
    let _ = client.socket.send(Message::text("x".repeat(3 << 20))).await;
    // The words may be lost when the connection is reset, but it does end.
    while let Some(message) = client.recv().await {
        assert_eq!(message["type"], "error");
    }
    let mut other = Client::connect(&fixture, "film").await;
    other.send(&json!({"type": "request"})).await;
    assert_eq!(other.recv().await.unwrap()["type"], "offer", "others are served");
}

#[tokio::test]
async fn an_unknown_stream_is_told_inside() {
    let fixture = Fixture::start().await;
    let mut client = Client::connect(&fixture, "nothing").await;
    let error = client.error().await;
    assert_eq!(error["name"], "NotFoundError");
    assert!(client.recv().await.is_none());
}

#[tokio::test]
async fn the_websocket_closes_with_its_handshake() {
    let fixture = Fixture::start().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let viewer = viewer().await;
        let mut client = Client::connect(&fixture, "film").await;
        client.send(&json!({"type": "offer", "sdp": offer(&viewer).await})).await;
        assert_eq!(client.recv_for(&viewer).await["type"], "answer");
        clients.push((client, viewer));
    }
    let Fixture { server, feeder: _feeder, .. } = fixture;
    let stopping = tokio::spawn(server.shutdown());
    for (mut client, _viewer) in clients {
        while client.recv().await.expect("a goodbye")["type"] != "bye" {}
        // As the page does: its own goodbye is on the way when the server closes.
        let _ = client.socket.send(Message::text(r#"{"type":"bye"}"#)).await;
        let _ = client.socket.close(None).await;
        let mut closed = false;
        while let Some(message) = timeout(LIMIT, client.socket.next()).await.expect("an end in time") {
            closed |= message.expect("the connection is not reset").is_close();
        }
        assert!(closed, "the server sends its close");
    }
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stopping_server_says_goodbye() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let mut client = Client::connect(&fixture, "film").await;
    client.send(&json!({"type": "offer", "sdp": offer(&viewer).await})).await;
    let answer = client.recv_for(&viewer).await;
    let answer = SessionDescription::new(SdpType::Answer, answer["sdp"].as_str().unwrap()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    received.await.unwrap();
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    let mut states = viewer.events();
    let Fixture { server, mut events, feeder: _feeder } = fixture;
    let begin = std::time::Instant::now();
    server.shutdown().await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
    let mut said = Vec::new();
    while let Some(message) = client.recv().await {
        said.push(message["type"].as_str().unwrap().to_owned());
    }
    assert!(said.contains(&"bye".to_owned()), "{said:?}");
    let ServerEvent::ViewerLeft { reason, .. } = events.recv().await.unwrap() else { panic!() };
    assert_eq!(reason, LeaveReason::Shutdown);
    // The close of DTLS reaches the viewer by itself.
    let closed = async {
        while let Some(event) = states.recv().await {
            if let rtcast::PeerConnectionEvent::ConnectionStateChange(rtcast::PeerConnectionState::Closed) = event {
                return true;
            }
        }
        true
    };
    assert!(timeout(LIMIT, closed).await.unwrap());
}
