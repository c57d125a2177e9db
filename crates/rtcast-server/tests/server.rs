//! What stands around the signalling: ports, names, the list of streams, the pages.

mod support;

use rtcast::signaling::Signaling;
use rtcast_server::{Server, ServerError, ServerEvent, Stream};
use support::{Fixture, frames, request, viewer};

#[tokio::test]
async fn the_next_port_that_is_free_for_tcp_and_udp_is_taken() {
    let first = Server::builder().shards(1).bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let taken = first.local_address();
    let second = Server::builder().shards(1).bind(taken).await.unwrap();
    assert!(second.local_address().port() > taken.port());
    // A port that only UDP has taken is not taken either.
    let mut next = second.local_address();
    next.set_port(next.port() + 1);
    if let Ok(_blocker) = std::net::UdpSocket::bind(next) {
        let third = Server::builder().shards(1).bind(taken).await.unwrap();
        assert!(third.local_address().port() > next.port());
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused_in_words() {
    let error = Server::builder().bind(([192, 0, 2, 1], 0).into()).await.unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1"));
}

#[tokio::test]
async fn streams_come_and_go() {
    let fixture = Fixture::start().await;
    let list = async || {
        let reply = request(fixture.address(), "GET", "/api/streams", &[], "").await;
        serde_json::from_str::<serde_json::Value>(&reply.body).unwrap()["streams"].clone()
    };
    let streams = list().await;
    assert_eq!(streams.as_array().unwrap().len(), 1);
    assert_eq!(streams[0]["name"], "film");
    assert_eq!(streams[0]["title"], "A film");
    assert_eq!(streams[0]["whep"], "../film/whep", "relative to the list");
    assert_eq!(streams[0]["tracks"], serde_json::json!(["video"]));
    fixture.server.add_stream("second", Stream::new()).unwrap();
    assert_eq!(list().await.as_array().unwrap().len(), 2);
    let twice = fixture.server.add_stream("second", Stream::new());
    assert!(matches!(twice, Err(ServerError::DuplicateName { .. })));
    assert!(matches!(fixture.server.add_stream("a/b", Stream::new()), Err(ServerError::Name { .. })));
    assert!(fixture.server.remove_stream("film"));
    assert!(!fixture.server.remove_stream("film"));
    assert_eq!(request(fixture.address(), "GET", "/film", &[], "").await.status, 404);
}

#[tokio::test]
async fn metrics_tell_who_watches_and_what_was_sent() {
    let mut fixture = Fixture::start().await;
    let metrics = async |fixture: &Fixture| {
        let reply = request(fixture.address(), "GET", "/metrics", &[], "").await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        reply.body
    };
    let before = metrics(&fixture).await;
    assert!(before.contains("\nrtcast_viewers 0\n") && before.contains("rtcast_stream_viewers{stream=\"film\"} 0"));
    let viewer = viewer().await;
    let received = frames(&viewer);
    let mut signaling = Signaling::connect(&format!("ws://{}/film/ws", fixture.address())).await.unwrap();
    signaling.offer(&viewer).await.unwrap();
    assert_eq!(received.await.unwrap().len(), 5);
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    let during = metrics(&fixture).await;
    assert!(during.contains("rtcast_stream_viewers{stream=\"film\"} 1"), "{during}");
    let sent = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("rtcast_video_frames_sent_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert!(sent(&during) >= 5, "{during}");
    signaling.close().await;
    assert!(matches!(fixture.event().await, ServerEvent::ViewerLeft { .. }));
    assert!(sent(&metrics(&fixture).await) >= sent(&during), "what was sent to viewers who left still counts");
}

#[tokio::test]
async fn pages_and_what_they_load() {
    let fixture = Fixture::start().await;
    let get = async |path: &str, accept: &str| request(fixture.address(), "GET", path, &[("accept", accept)], "").await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/film", "text/html; charset=utf-8"),
        ("/film/", "text/html; charset=utf-8"),
        ("/assets/player.js", "text/javascript; charset=utf-8"),
        ("/assets/index.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
    ] {
        let reply = get(path, "*/*").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
        assert!(reply.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(!reply.body.is_empty());
    }
    let page = get("/nothing", "text/html").await;
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    for path in ["/nothing", "/film/nothing", "/assets/nothing", "/a/b/c/d"] {
        let reply = get(path, "application/json").await;
        assert_eq!(reply.status, 404, "{path}");
        reply.problem();
    }
    let reply = get("/film/ws", "*/*").await;
    assert_eq!((reply.status, reply.header("upgrade")), (426, Some("websocket")));
    reply.problem();
}
