//! A server with one stream, a viewer that is a peer connection of our own, and a small HTTP client.
#![expect(dead_code, reason = "each test program uses a part")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtcast::{
    Broadcast, Codec, Configuration, Direction, Endpoint, EndpointConfig, Frame, MediaKind, MediaStreamTrack,
    MediaTime, PeerConnection, PeerConnectionEvent, RtpCodec,
};
use rtcast_server::{Server, ServerEvent, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A server that streams numbered VP8 frames as `film`.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) events: broadcast::Receiver<ServerEvent>,
    pub(crate) feeder: Feeder,
}

/// Sends frames until it is dropped.
pub(crate) struct Feeder(JoinHandle<()>);

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(
        change: impl FnOnce(rtcast_server::ServerBuilder) -> rtcast_server::ServerBuilder,
    ) -> Self {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let track = MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()]);
        let stream = Stream::new().title("A film").description("in frames").track(track);
        let builder = change(Server::builder().stream("film", stream).shards(1));
        let server = builder.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let events = server.events();
        let feeder = tokio::spawn(async move {
            for number in 0_u32.. {
                broadcast.send(&frame(number), Instant::now());
                tokio::time::sleep(Duration::from_millis(33)).await;
            }
        });
        Self { server, events, feeder: Feeder(feeder) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_address()
    }

    /// The next event of the server.
    pub(crate) async fn event(&mut self) -> ServerEvent {
        timeout(LIMIT, self.events.recv()).await.expect("an event in time").expect("the server runs")
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A keyframe of VP8, as far as the payload format looks into it, that tells its number.
pub(crate) fn frame(number: u32) -> Frame {
    let mut data = vec![0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00];
    data.extend_from_slice(&number.to_be_bytes());
    data.resize(3000, number as u8);
    Frame::new(Codec::Vp8, Bytes::from(data), MediaTime::from_micros(i64::from(number) * 33_333)).with_keyframe(true)
}

/// A peer connection that wants to receive pictures.
pub(crate) async fn viewer() -> PeerConnection {
    let endpoint =
        Endpoint::bind(EndpointConfig { address: ([127, 0, 0, 1], 0).into(), shards: Some(1), ..Default::default() });
    let viewer = PeerConnection::new(Configuration::on(&endpoint.unwrap())).await.unwrap();
    viewer.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    viewer
}

/// The viewer's offer, with its candidates.
pub(crate) async fn offer(viewer: &PeerConnection) -> String {
    let offer = viewer.create_offer().await.unwrap();
    viewer.set_local_description(offer).await.unwrap();
    viewer.local_description().unwrap().sdp().to_owned()
}

/// The same with the fingerprint of a certificate that the viewer does not have.
pub(crate) async fn forged_offer(viewer: &PeerConnection) -> String {
    let sdp = offer(viewer).await;
    let fingerprint = sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 ")).expect("a fingerprint");
    let first = if fingerprint.starts_with("00") { "11" } else { "00" };
    sdp.replace(fingerprint, &format!("{first}{}", &fingerprint[2..]))
}

/// Waits until the viewer has received some frames as they were sent. To be called before the descriptions are complete.
pub(crate) fn frames(viewer: &PeerConnection) -> JoinHandle<Vec<Frame>> {
    let mut events = viewer.events();
    tokio::spawn(async move {
        loop {
            let event = timeout(LIMIT, events.recv()).await.expect("a track in time").expect("the viewer lives");
            if let PeerConnectionEvent::Track(event) = event {
                let mut frames = Vec::new();
                while frames.len() < 5 {
                    frames.push(timeout(LIMIT, event.track.recv()).await.expect("a frame in time").expect("a track"));
                }
                return frames;
            }
        }
    })
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value of a header that may come more than once.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path of the resource that a POST to `base` has made.
    pub(crate) fn location(&self, base: &str) -> String {
        let location = self.header("location").unwrap_or_else(|| panic!("no location in {self:?}"));
        assert!(!location.starts_with('/') && !location.contains("://"), "relative: {location}");
        let (directory, _) = base.rsplit_once('/').unwrap();
        format!("{directory}/{location}")
    }

    /// The body as a problem document, whose status and type must fit.
    pub(crate) fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

/// One HTTP request on a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    request_on(TcpStream::connect(address).await.unwrap(), method, path, headers, body).await
}

/// As [`request`], from another address of this machine.
pub(crate) async fn request_from(
    source: [u8; 4],
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    request_on(connect_from(source, address).await, method, path, headers, body).await
}

/// A connection from another address of this machine.
pub(crate) async fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

/// One HTTP request on a connection, which ends with it. Its `host` is the server's address unless the headers say another.
pub(crate) async fn request_on(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += &format!("host: {}\r\n", stream.peer_addr().unwrap());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    // A server that refuses a long body may close before it has read it all.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("a reply in time");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
    Reply { status, headers, body: body.to_owned() }
}
