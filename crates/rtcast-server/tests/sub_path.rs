//! Behind a proxy that serves everything below a path of its own, and takes that path away before it passes a request on.

mod support;

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use rtcast::{SdpType, SessionDescription};
use rtcast_server::ServerEvent;
use serde_json::json;
use support::{Fixture, LIMIT, frames, offer, request, viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const PREFIX: &str = "/cam";

/// A proxy that takes [`PREFIX`] away, one request a connection.
async fn proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let head = String::from_utf8(head).unwrap();
                let (method, rest) = head.split_once(' ').unwrap();
                let Some(rest) = rest.strip_prefix(PREFIX).filter(|rest| rest.starts_with('/')) else {
                    return client.write_all(b"HTTP/1.1 404 Outside\r\ncontent-length: 0\r\n\r\n").await;
                };
                let mut upstream = TcpStream::connect(server).await?;
                upstream.write_all(format!("{method} {rest}").as_bytes()).await?;
                copy_bidirectional(&mut client, &mut upstream).await.map(|_| ())
            });
        }
    });
    address
}

/// Where a reference in a document leads, as a browser reckons (RFC 3986 §5.2).
fn resolve(base: &str, reference: &str) -> String {
    assert!(!reference.starts_with('/') && !reference.contains(':'), "{reference} at {base} leaves the proxy's path");
    let mut segments: Vec<&str> = base.rsplit_once('/').unwrap().0.split('/').collect();
    for segment in reference.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let path = segments.join("/");
    if reference.ends_with('/') && !path.ends_with('/') { path + "/" } else { path }
}

#[tokio::test]
async fn what_pages_name_leads_through_the_proxy() {
    let fixture = Fixture::start().await;
    let proxy = proxy(fixture.address()).await;
    let html = ("accept", "text/html");
    assert_eq!(request(proxy, "GET", "/film", &[html], "").await.status, 404, "outside of the prefix");
    for (page, status) in
        [("/cam/", 200), ("/cam/film", 200), ("/cam/film/", 200), ("/cam/no", 404), ("/cam/a/b/c", 404)]
    {
        let reply = request(proxy, "GET", page, &[html], "").await;
        assert_eq!(reply.status, status, "{page}");
        let mut references = Vec::new();
        for attribute in ["href=\"", "src=\""] {
            references.extend(reply.body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()));
        }
        references.retain(|reference| *reference != "data:,");
        assert!(references.iter().any(|reference| reference.ends_with("style.css")), "{page}: {references:?}");
        for reference in references {
            let path = resolve(page, reference);
            assert!(path.starts_with("/cam/"), "{reference} at {page} is {path}");
            assert_eq!(request(proxy, "GET", &path, &[], "").await.status, 200, "{reference} at {page} is {path}");
        }
    }
    for script in ["index.js", "player.js"] {
        let reply = request(proxy, "GET", &format!("/cam/assets/{script}"), &[], "").await;
        for from_the_root in ["fetch('/", "fetch(`/", "= '/", "= `/"] {
            assert!(!reply.body.contains(from_the_root), "{script} names nothing from the root: {from_the_root}");
        }
    }
    let list = request(proxy, "GET", "/cam/api/streams", &[], "").await;
    let list: serde_json::Value = serde_json::from_str(&list.body).unwrap();
    for name in ["page", "whep"] {
        let path = resolve("/cam/api/streams", list["streams"][0][name].as_str().unwrap());
        assert!(request(proxy, "GET", &path, &[], "").await.status < 300, "{path}");
    }
}

#[tokio::test]
async fn whep_works_through_the_proxy() {
    let mut fixture = Fixture::start().await;
    let proxy = proxy(fixture.address()).await;
    for endpoint in ["/cam/film/whep", "/cam/film/whep/"] {
        let viewer = viewer().await;
        let received = frames(&viewer);
        let headers = [("content-type", "application/sdp")];
        let reply = request(proxy, "POST", endpoint, &headers, &offer(&viewer).await).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let answer = SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap();
        viewer.set_remote_description(answer).await.unwrap();
        assert_eq!(received.await.unwrap().len(), 5);
        assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
        let session = resolve(endpoint, reply.header("location").unwrap());
        assert_eq!(request(proxy, "DELETE", &session, &[], "").await.status, 200, "{session}");
        assert!(matches!(fixture.event().await, ServerEvent::ViewerLeft { .. }));
    }
}

#[tokio::test]
async fn the_websocket_works_through_the_proxy() {
    let fixture = Fixture::start().await;
    let proxy = proxy(fixture.address()).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{proxy}/cam/film/ws")).await.unwrap();
    socket.send(Message::text(json!({"type": "request"}).to_string())).await.unwrap();
    loop {
        match timeout(LIMIT, socket.next()).await.expect("an offer in time") {
            Some(Ok(Message::Text(text))) => return assert!(text.contains("\"offer\""), "{text}"),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("no offer but {other:?}"),
        }
    }
}
