//! Which names and which web pages are served, on every path.

mod support;

use support::{Fixture, offer, request, viewer};

const SDP: (&str, &str) = ("content-type", "application/sdp");
const PATHS: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/film"),
    ("GET", "/assets/player.js"),
    ("GET", "/api/streams"),
    ("GET", "/metrics"),
    ("GET", "/film/ws"),
    ("POST", "/film/whep"),
    ("DELETE", "/film/whep/0123"),
    ("GET", "/nothing/at/all"),
];
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn no_path_answers_to_a_strange_name_or_page() {
    let fixture = Fixture::start().await;
    let body = offer(&viewer().await).await;
    for (method, path) in PATHS {
        for strange in [
            &[("host", "evil.example")][..],
            &[("host", "evil.example:8080"), ("origin", "http://evil.example:8080")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:1")],
            &[("origin", "null")],
        ] {
            let headers: Vec<_> = strange.iter().chain(&[SDP]).copied().collect();
            let reply = request(fixture.address(), method, path, &headers, &body).await;
            assert_eq!(reply.status, 403, "{method} {path} {strange:?}");
            assert_eq!(reply.header("access-control-allow-origin"), None, "{method} {path} {strange:?}");
            reply.problem();
        }
        let served = request(fixture.address(), method, path, &[SDP], &body).await;
        assert_ne!(served.status, 403, "{method} {path}");
        assert_eq!(served.header("access-control-allow-origin"), None);
    }
    // A page learns nothing by asking first either.
    let preflight = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let reply = request(fixture.address(), "OPTIONS", "/film/whep", &preflight, "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-methods")), (403, None));
    let reply = request(fixture.address(), "GET", "/api/streams", &[], "").await;
    assert!(reply.body.contains("\"viewers\":0"));
}

#[tokio::test]
async fn a_websocket_is_opened_by_our_own_pages_alone() {
    let fixture = Fixture::with(|builder| builder.allow_origin("https://app.example".parse().unwrap())).await;
    let own = format!("http://{}", fixture.address());
    let tls = format!("https://{}", fixture.address());
    for (origin, status) in [
        (own.as_str(), 101),
        (tls.as_str(), 101),
        ("https://app.example", 101),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let mut stream = tokio::net::TcpStream::connect(fixture.address()).await.unwrap();
        let headers = UPGRADE.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        let text = format!("GET /film/ws HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\n{headers}\r\n", fixture.address());
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await.unwrap();
        let mut buffer = [0; 512];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer);
        let length = tokio::time::timeout(support::LIMIT, read).await.unwrap().unwrap();
        let reply = String::from_utf8_lossy(&buffer[..length]);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {reply}");
    }
}

#[tokio::test]
async fn an_allowed_origin_is_told_so_and_no_other() {
    let fixture = Fixture::with(|builder| {
        builder.allow_origin("https://app.example".parse().unwrap()).allow_host("cam.example".parse().unwrap())
    })
    .await;
    for (method, path) in PATHS {
        let reply = request(fixture.address(), method, path, &[("origin", "https://app.example"), SDP], "").await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"), "{method} {path}");
        assert!(reply.headers("vary").any(|vary| vary.eq_ignore_ascii_case("origin")), "{method} {path}");
    }
    let named = [("host", "cam.example"), ("origin", "https://cam.example")];
    assert_eq!(request(fixture.address(), "GET", "/film", &named, "").await.status, 200, "a proxy ends TLS");
    let reply = request(fixture.address(), "GET", "/film", &[("host", "cam.example")], "").await;
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("connect-src 'self' ws://cam.example wss://cam.example;"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'self' https://app.example"), "{policy}");
}

#[tokio::test]
async fn every_origin_may_be_allowed() {
    let fixture = Fixture::with(|builder| builder.allow_origin("*".parse().unwrap())).await;
    for origin in ["null", "https://evil.example"] {
        let reply = request(fixture.address(), "GET", "/api/streams", &[("origin", origin)], "").await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")), "{origin}");
    }
    let reply = request(fixture.address(), "GET", "/", &[], "").await;
    assert!(reply.header("content-security-policy").unwrap().ends_with("frame-ancestors *"));
    assert_eq!(request(fixture.address(), "GET", "/", &[("host", "evil.example")], "").await.status, 403);
}

#[tokio::test]
async fn pages_may_use_their_own_addresses_alone() {
    let fixture = Fixture::start().await;
    let own = fixture.address();
    for path in ["/", "/film"] {
        let reply = request(own, "GET", path, &[], "").await;
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("connect-src 'self' ws://{own} wss://{own};")), "{policy}");
        assert!(!policy.contains("ws: ") && policy.ends_with("frame-ancestors 'self'"), "{policy}");
    }
    // A host that cannot stand in a policy is left out of it.
    let reply = request(own, "GET", "/film", &[("host", "[::1]:8080")], "").await;
    let policy = reply.header("content-security-policy").unwrap();
    assert!(reply.status == 200 && policy.contains("connect-src 'self';"), "{policy}");
    for path in ["/api/streams", "/metrics", "/assets/player.js", "/film/whep"] {
        let reply = request(own, "GET", path, &[], "").await;
        assert_eq!(
            reply.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'self'"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}
