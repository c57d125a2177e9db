//! What one client may take: connections, time, and sessions that lead to nothing.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use rtcast_server::{AddressPrefix, TimeLimits};
use support::{Fixture, LIMIT, Reply, connect_from, offer, request, request_from, request_on, viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Limits are this short where a test waits for one.
const SHORT: Duration = Duration::from_millis(400);
const SDP: (&str, &str) = ("content-type", "application/sdp");

fn localhost() -> AddressPrefix {
    "127.0.0.1".parse().unwrap()
}

/// Limits of which one is short; what is measured is that one.
fn short(change: impl FnOnce(&mut TimeLimits, Duration)) -> TimeLimits {
    let mut limits = TimeLimits::default();
    change(&mut limits, SHORT);
    limits
}

/// Waits until the server closes, which it must do when the short limit has passed and not before. Returns what came.
async fn closes_in_time(mut stream: TcpStream) -> String {
    let begin = Instant::now();
    let mut bytes = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    assert!(begin.elapsed() > SHORT / 2, "{:?}", begin.elapsed());
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[test]
fn limits_are_ten_seconds_and_a_minute() {
    let limits = TimeLimits::default();
    let seconds = [limits.head, limits.body, limits.response, limits.first_word, limits.idle, limits.viewer];
    assert_eq!(seconds.map(|limit| limit.as_secs()), [10, 10, 10, 10, 60, 60]);
}

#[tokio::test]
async fn a_head_takes_too_long() {
    for (media, text) in [(false, ""), (true, ""), (false, "GET /film HTTP/1.1\r\nhost: localhost\r\nx-slow: ")] {
        let limits = short(|limits, short| limits.head = short);
        let fixture = Fixture::with(|builder| builder.media_over_tcp(media).time_limits(limits)).await;
        assert_eq!(closes_in_time(connect(fixture.address(), text).await).await, "");
    }
}

#[tokio::test]
async fn a_body_takes_too_long() {
    let fixture = Fixture::with(|builder| builder.time_limits(short(|limits, short| limits.body = short))).await;
    for length in ["content-length: 5000", "transfer-encoding: chunked"] {
        let head = format!(
            "POST /film/whep HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\n{length}\r\n\r\n4\r\nv=0\n"
        );
        let said = closes_in_time(connect(fixture.address(), &head).await).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{length}: {said}");
    }
}

/// A connection whose first request is answered.
async fn answered(fixture: &Fixture) -> TcpStream {
    let mut stream = connect(fixture.address(), "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut reply = Vec::new();
    // The last metric is the last line.
    while !reply.ends_with(b"{stream=\"film\"} 0\n") {
        assert!(timeout(LIMIT, stream.read_buf(&mut reply)).await.unwrap().unwrap() > 0);
    }
    assert!(reply.starts_with(b"HTTP/1.1 200 "));
    stream
}

#[tokio::test]
async fn a_connection_is_idle_too_long() {
    let fixture = Fixture::with(|builder| builder.time_limits(short(|limits, short| limits.idle = short))).await;
    closes_in_time(answered(&fixture).await).await;
}

#[tokio::test]
async fn a_second_head_takes_too_long() {
    let fixture = Fixture::with(|builder| builder.time_limits(short(|limits, short| limits.head = short))).await;
    let mut stream = answered(&fixture).await;
    tokio::time::sleep(2 * SHORT).await;
    stream.write_all(b"GET /met").await.expect("it is idle, which it may be for longer");
    closes_in_time(stream).await;
}

#[tokio::test]
async fn responses_that_are_not_read_end_the_connection() {
    let fixture = Fixture::with(|builder| builder.time_limits(short(|limits, short| limits.response = short))).await;
    let mut stream = TcpStream::connect(fixture.address()).await.unwrap();
    // Pipelined requests, whose responses fill both sides' buffers.
    let requests = "GET /assets/player.js HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200);
    let ended = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(LIMIT, ended).await.expect("the server closes");
    assert_eq!(request(fixture.address(), "GET", "/metrics", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_head_beyond_all_measure_is_refused() {
    let fixture = Fixture::start().await;
    for (head, status) in [
        (format!("x-long: {}", "x".repeat(40_000)), 431),
        ("x: y\r\n".repeat(200), 431),
        (format!("cookie: {}", "x".repeat(10_000)), 200),
    ] {
        let text =
            format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n\r\n", head.trim_end());
        let mut stream = TcpStream::connect(fixture.address()).await.unwrap();
        let _ = stream.write_all(text.as_bytes()).await;
        let mut reply = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut reply)).await.unwrap();
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{} bytes: {reply}", head.len());
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_are_served() {
    let fixture = Fixture::with(|builder| builder.connections_per_address(5)).await;
    let address = fixture.address();
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(connect_from([127, 0, 0, 2], address).await);
    }
    let mut refused = connect_from([127, 0, 0, 2], address).await;
    let mut said = String::new();
    timeout(LIMIT, refused.read_to_string(&mut said)).await.expect("closed at once").unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after"), "{said}");
    assert_eq!(request_from([127, 0, 0, 3], address, "GET", "/metrics", &[], "").await.status, 200);
    // Those that end give their places back.
    drop(idle);
    let mut status = 0;
    for _ in 0..100 {
        let mut stream = connect_from([127, 0, 0, 2], address).await;
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let mut said = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut said)).await.unwrap();
        status = String::from_utf8_lossy(&said).get(9..12).map_or(0, |status| status.parse().unwrap());
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_websocket_is_a_connection_as_well_and_ends_without_a_viewer() {
    let limits = short(|limits, short| limits.viewer = 5 * short);
    let fixture = Fixture::with(|builder| builder.connections_per_address(1).time_limits(limits)).await;
    let head = "GET /film/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut stream = connect(fixture.address(), head).await;
    let mut buffer = [0; 1024];
    let length = timeout(LIMIT, stream.read(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..length].starts_with(b"HTTP/1.1 101 "));
    let mut said = String::new();
    let mut second = TcpStream::connect(fixture.address()).await.unwrap();
    timeout(LIMIT, second.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    let mut rest = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("the server closes");
    assert!(String::from_utf8_lossy(&rest).contains("no offer for too long"), "{rest:?}");
}

/// The same offer as often as asked for, each time by a client of its own that a proxy names.
async fn post(fixture: &Fixture, headers: &[(&str, &str)], offer: &str) -> Reply {
    let headers: Vec<_> = headers.iter().copied().chain([SDP]).collect();
    request(fixture.address(), "POST", "/film/whep", &headers, offer).await
}

#[tokio::test]
async fn sessions_on_their_way_are_limited_for_each_address() {
    let fixture = Fixture::with(|builder| builder.pending_per_address(3)).await;
    let (address, offer) = (fixture.address(), offer(&viewer().await).await);
    let mut last = None;
    for _ in 0..3 {
        let reply = post(&fixture, &[], &offer).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        last = Some(reply.location("/film/whep"));
    }
    let refused = post(&fixture, &[("x-forwarded-for", "192.0.2.9")], &offer).await;
    assert_eq!(refused.status, 503, "whoever is no trusted proxy cannot speak for others");
    assert!(refused.header("retry-after").is_some());
    assert!(refused.problem()["detail"].as_str().unwrap().contains("your address"));
    let other = request_from([127, 0, 0, 2], address, "POST", "/film/whep", &[SDP], &offer).await;
    assert_eq!(other.status, 201, "others are served: {}", other.body);
    // One that ends makes room.
    request(address, "DELETE", &last.unwrap(), &[], "").await;
    let mut status = 0;
    for _ in 0..100 {
        status = post(&fixture, &[], &offer).await.status;
        if status == 201 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 201);
}

#[tokio::test]
async fn a_refused_offer_gives_its_place_back() {
    let fixture = Fixture::with(|builder| builder.pending_per_address(1)).await;
    for _ in 0..5 {
        assert_eq!(post(&fixture, &[], "v=0\r\nnonsense").await.status, 400);
    }
    assert_eq!(post(&fixture, &[], &offer(&viewer().await).await).await.status, 201);
}

/// A thousand come at once through one proxy, that is one address, which is one client for everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_viewers_join_through_one_proxy() {
    let fixture = Fixture::with(|builder| builder.trusted_proxy(localhost())).await;
    let (address, offer) = (fixture.address(), offer(&viewer().await).await);
    // All connections of the proxy are open at the same time.
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    let joining = streams.into_iter().enumerate().map(|(number, stream)| {
        let offer = offer.clone();
        tokio::spawn(async move {
            let client = format!("6.6.6.6, 10.7.{}.{}", number / 250, number % 250);
            let headers = [("host", "localhost"), ("x-forwarded-for", client.as_str()), SDP];
            request_on(stream, "POST", "/film/whep", &headers, &offer).await.status
        })
    });
    let joining: Vec<_> = joining.collect();
    let mut joined = 0;
    for join in joining {
        joined += usize::from(join.await.unwrap() == 201);
    }
    assert_eq!(joined, 1_000);
    // One of them who wants more than its share does not get it, while others do.
    let greedy = [("x-forwarded-for", "10.8.0.1")];
    let mut statuses = Vec::new();
    for _ in 0..258 {
        statuses.push(post(&fixture, &greedy, &offer).await.status);
    }
    assert!(statuses[..256].iter().all(|status| *status == 201) && statuses[256..] == [503, 503], "{statuses:?}");
    assert_eq!(post(&fixture, &[("x-forwarded-for", "10.8.0.2")], &offer).await.status, 201);
}
