//! What one peer can do to the connections of others on its endpoint.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rtcast_proto::ice::{IceCredentials, IceRole, IceTransport, LocalCandidate};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::{
    Configuration, DataChannelInit, DataChannelMessage, Direction, MediaKind, PeerConnection, PeerConnectionEvent,
    SessionDescription,
};

const LIMIT: Duration = Duration::from_secs(20);

fn endpoint(shards: usize) -> Endpoint {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::bind(EndpointConfig { address, shards: Some(shards), ..EndpointConfig::default() }).unwrap()
}

async fn offered(offerer: &PeerConnection, answerer: &PeerConnection) -> (SessionDescription, SessionDescription) {
    offerer.set_local_description(None).await.unwrap();
    let offer = offerer.local_description().unwrap();
    answerer.set_remote_description(offer.clone()).await.unwrap();
    answerer.set_local_description(None).await.unwrap();
    (offer, answerer.local_description().unwrap())
}

fn credentials(description: &SessionDescription) -> IceCredentials {
    let value = |name: &str| {
        let line = description.sdp().lines().find_map(|line| line.strip_prefix(name)).expect("the attribute");
        line.trim().to_owned()
    };
    IceCredentials { username_fragment: value("a=ice-ufrag:"), password: value("a=ice-pwd:") }
}

/// A session on the endpoint whose peer is only a program that writes checks.
struct Attacker {
    session: PeerConnection,
    agent: IceTransport,
}

impl Attacker {
    async fn on(server: &Endpoint) -> Self {
        let session = PeerConnection::new(Configuration::on(server)).await.unwrap();
        let elsewhere = endpoint(1);
        let peer = PeerConnection::new(Configuration::on(&elsewhere)).await.unwrap();
        peer.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
        let (offer, answer) = offered(&peer, &session).await;
        let mut agent = IceTransport::new(&credentials(&offer), [7; 32]);
        agent.set_role(IceRole::Controlling);
        agent.set_remote_credentials(&credentials(&answer));
        agent.add_local(LocalCandidate::host("127.0.0.1:9".parse().unwrap())).unwrap();
        let server = server.local_address();
        let candidate = format!("candidate:1 1 udp 2113937151 {} {} typ host", server.ip(), server.port());
        agent.add_remote_candidate(&candidate).unwrap();
        agent.start();
        Self { session, agent }
    }

    fn check(&mut self) -> Vec<u8> {
        self.agent.handle_timeout(Instant::now());
        self.agent.poll_transmit().expect("a check").1
    }
}

async fn message(channel: &crate::DataChannel) -> String {
    match timeout(LIMIT, channel.recv()).await.expect("a message in time") {
        Some(DataChannelMessage::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_with_the_address_of_another_takes_nothing_from_it() {
    for shards in [1, 2] {
        let server = endpoint(shards);
        let elsewhere = endpoint(1);
        let session = PeerConnection::new(Configuration::on(&server)).await.unwrap();
        let victim = PeerConnection::new(Configuration::on(&elsewhere)).await.unwrap();
        let mut events = session.events();
        let ours = victim.create_data_channel("chat", DataChannelInit::default()).await.unwrap();
        let (_, answer) = offered(&victim, &session).await;
        victim.set_remote_description(answer).await.unwrap();
        let theirs = loop {
            let event = timeout(LIMIT, events.recv()).await.expect("in time").expect("an event");
            if let PeerConnectionEvent::DataChannel(channel) = event {
                break channel;
            }
        };
        timeout(LIMIT, ours.opened()).await.unwrap().unwrap();

        let mut attackers = Vec::new();
        for _ in 0..2 {
            attackers.push(Attacker::on(&server).await);
        }
        for attacker in &mut attackers {
            let check = attacker.check();
            let (shard, _) = attacker.session.origin();
            for _ in 0..20 {
                shard.forward(elsewhere.local_address(), server.local_address(), &check);
            }
            // What was handed in before it has been worked through.
            attacker.session.stats().await.unwrap();
        }
        for number in 0..20 {
            ours.send_text(format!("message {number}")).await.unwrap();
            assert_eq!(message(&theirs).await, format!("message {number}"));
        }
        theirs.send_text("and back".to_owned()).await.unwrap();
        assert_eq!(message(&ours).await, "and back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_is_not_read_while_its_shard_is_behind() {
    let server = endpoint(1);
    let mut attacker = Attacker::on(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let adopting = server.clone();
    let adopted = tokio::spawn(async move { adopting.accept_tcp(accepted).await });
    let check = attacker.check();
    let mut frame = (check.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(&check);
    stream.write_all(&frame).await.unwrap();
    let (shard, id) = attacker.session.origin();
    while shard.waiting() > 0 || !attacker.session.call(|entry, _| entry.detours.is_some()).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // The shard has something else to do.
    let (release, held) = mpsc::channel::<()>();
    shard.call(
        id,
        Box::new(move |_, _| {
            let _ = held.recv_timeout(LIMIT);
        }),
    );
    let flood = frame.repeat(1_000);
    let mut written = 0_usize;
    // The kernel's buffers for both ends take some megabytes, and then nothing goes on.
    while written < 64 << 20 {
        match timeout(Duration::from_secs(2), stream.write(&flood)).await {
            Ok(Ok(length)) => written += length,
            Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
    }
    assert!(written < 64 << 20, "{written} bytes were read from a peer whose shard does not come to them");
    assert!(shard.waiting() <= 64, "{} wait", shard.waiting());
    release.send(()).unwrap();
    let other = PeerConnection::new(Configuration::on(&server)).await.unwrap();
    timeout(LIMIT, other.create_offer()).await.expect("others are served").unwrap();
    drop(stream);
    timeout(LIMIT, adopted).await.expect("an end").unwrap().unwrap_err();
}
