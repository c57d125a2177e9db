//! What TURN servers refuse, and what is made of it (RFC 8489 §9.2.4, RFC 8656 §7.3).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use rtcast_peer::{
    Configuration, Direction, IceCandidateError, IceServer, IceTransportPolicy, MediaKind, PeerConnection,
    PeerConnectionEvent,
};
use tokio::net::UdpSocket;

const ALLOCATE: u16 = 0x0003;
const ALLOCATE_SUCCESS: u16 = 0x0103;
const ALLOCATE_ERROR: u16 = 0x0113;

const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const LIFETIME: u16 = 0x000d;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// The MD5 of `user:example.org:secret`, the key of RFC 8489 §9.2.2.
const KEY: [u8; 16] = [0xa9, 0x83, 0x2f, 0xed, 0x4a, 0x75, 0x67, 0xb4, 0x0e, 0x43, 0x44, 0x3f, 0x9f, 0x30, 0xc2, 0x72];

/// What the server says to an allocation with credentials.
#[derive(Clone, Copy)]
enum Reply {
    Refuse(u16),
    /// Refuses the nonce and gives another.
    Stale(&'static str),
    Grant,
}

struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, request: &[u8]) -> Self {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend_from_slice(&request[4..20]);
        Self(bytes)
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let length = (self.0.len() - 20) as u16;
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
        self
    }

    fn error(self, code: u16) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(b"no");
        self.attribute(ERROR_CODE, &value)
    }

    /// An IPv4 address, mixed with the magic cookie (RFC 8489 §14.2).
    fn address(self, kind: u16, ip: [u8; 4], port: u16) -> Self {
        let port = (port ^ 0x2112).to_be_bytes();
        let value = [0, 1, port[0], port[1], ip[0] ^ 0x21, ip[1] ^ 0x12, ip[2] ^ 0xa4, ip[3] ^ 0x42];
        self.attribute(kind, &value)
    }

    /// RFC 8489 §14.5: over all before it, with a length that counts it.
    fn signed(self) -> Vec<u8> {
        let mut whole = self.attribute(MESSAGE_INTEGRITY, &[0; 20]).0;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &KEY);
        let at = whole.len() - 24;
        let tag = hmac::sign(&key, &whole[..at]);
        whole[at + 4..].copy_from_slice(tag.as_ref());
        whole
    }
}

/// The value of an attribute.
fn value(message: &[u8], sought: u16) -> Option<&[u8]> {
    let mut rest = message.get(20..)?;
    loop {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if u16::from_be_bytes([head[0], head[1]]) == sought {
            return tail.get(..length);
        }
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
}

/// A server that challenges, then says one thing after the other; notes the nonce of each request.
async fn turn_server(replies: &'static [Reply]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let nonces = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&nonces);
    tokio::spawn(async move {
        let mut replies = replies.iter();
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let request = &buffer[..length];
            if u16::from_be_bytes([request[0], request[1]]) != ALLOCATE {
                continue;
            }
            let challenge = |code: u16, nonce: &str| {
                Message::new(ALLOCATE_ERROR, request)
                    .error(code)
                    .attribute(REALM, b"example.org")
                    .attribute(NONCE, nonce.as_bytes())
                    .0
            };
            let answer = match value(request, NONCE) {
                None => challenge(401, "first"),
                Some(nonce) => {
                    noted.lock().unwrap().push(String::from_utf8(nonce.to_vec()).unwrap());
                    match replies.next() {
                        Some(Reply::Stale(nonce)) => challenge(438, nonce),
                        Some(Reply::Refuse(code)) => Message::new(ALLOCATE_ERROR, request).error(*code).signed(),
                        Some(Reply::Grant) => Message::new(ALLOCATE_SUCCESS, request)
                            .address(XOR_RELAYED_ADDRESS, [203, 0, 113, 9], 50_000)
                            .address(XOR_MAPPED_ADDRESS, [127, 0, 0, 1], from.port())
                            .attribute(LIFETIME, &600_u32.to_be_bytes())
                            .signed(),
                        None => continue,
                    }
                }
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, nonces)
}

/// Gathers with that server alone: the candidates, and the errors.
async fn gather(server: SocketAddr) -> (Vec<String>, Vec<IceCandidateError>) {
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    configuration.ice_servers = vec![IceServer::turn(format!("turn:{server}"), "user", "secret")];
    configuration.ice_transport_policy = IceTransportPolicy::Relay;
    let connection = PeerConnection::new(configuration).await.unwrap();
    connection.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    let mut events = connection.events();
    connection.set_local_description(None).await.unwrap();
    let (mut candidates, mut errors) = (Vec::new(), Vec::new());
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("gathering ends");
        match event.expect("an event") {
            PeerConnectionEvent::IceCandidate(Some(candidate)) => candidates.push(candidate.candidate),
            PeerConnectionEvent::IceCandidate(None) => return (candidates, errors),
            PeerConnectionEvent::IceCandidateError(error) => errors.push(error),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_is_stale_is_replaced() {
    let (server, nonces) = turn_server(&[Reply::Stale("second"), Reply::Stale("third"), Reply::Grant]).await;
    let (candidates, errors) = gather(server).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(candidates.len(), 1);
    assert!(candidates[0].contains("203.0.113.9 50000 typ relay"), "{candidates:?}");
    assert_eq!(*nonces.lock().unwrap(), ["first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_for_good_is_told_at_once() {
    // An allocation that is there already, wrong credentials, and no more room (RFC 8656 §18).
    for (code, replies) in [(437, &[Reply::Refuse(437)]), (441, &[Reply::Refuse(441)]), (486, &[Reply::Refuse(486)])] {
        let (server, nonces) = turn_server(replies).await;
        let (candidates, errors) = gather(server).await;
        assert!(candidates.is_empty(), "{candidates:?}");
        let told: Vec<_> = errors.iter().map(|error| (error.error_code, error.error_text.as_str())).collect();
        assert_eq!(told, [(code, "no")], "{errors:?}");
        assert_eq!(nonces.lock().unwrap().len(), 1, "asked once");
    }
}
