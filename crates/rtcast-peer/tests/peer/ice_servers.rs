//! STUN and TURN servers: what is asked of them, what is told, and that a dead one holds nothing up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::{connect, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, Hint, IceCandidateError, IceGatheringState, IceServer, IceTransportPolicy,
    MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionEvent, PeerConnectionState, RtpCodec,
};
use tokio::net::UdpSocket;

async fn with_servers(servers: Vec<IceServer>, policy: IceTransportPolicy) -> PeerConnection {
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    configuration.ice_servers = servers;
    configuration.ice_transport_policy = policy;
    let connection = PeerConnection::new(configuration).await.unwrap();
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    connection.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast])).await.unwrap();
    connection
}

/// Answers binding requests with an address that nobody has; says nothing to the first of each transaction.
async fn stun_server(mapped: [u8; 4]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut seen = Vec::new();
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            assert_eq!(buffer[..2], [0, 1], "a binding request");
            assert_eq!(length, 20);
            let transaction = buffer[8..20].to_vec();
            if !seen.contains(&transaction) {
                seen.push(transaction);
                continue;
            }
            let mut answer = buffer[..20].to_vec();
            answer[0] = 1;
            answer[1] = 1;
            answer[3] = 12;
            answer.extend([0, 0x20, 0, 8, 0, 1]);
            answer.extend([0x12 ^ 0x21, 0x34 ^ 0x12]);
            answer.extend([mapped[0] ^ 0x21, mapped[1] ^ 0x12, mapped[2] ^ 0xa4, mapped[3] ^ 0x42]);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

/// What is told until gathering ends: candidates, errors, and the course of the states.
async fn gathered(
    events: &mut rtcast_peer::EventStream,
) -> (Vec<String>, Vec<IceCandidateError>, Vec<IceGatheringState>) {
    let (mut candidates, mut errors, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let all = async {
        while let Some(event) = events.recv().await {
            match event {
                PeerConnectionEvent::IceCandidate(Some(candidate)) => candidates.push(candidate.candidate),
                PeerConnectionEvent::IceCandidate(None) => candidates.push(String::new()),
                PeerConnectionEvent::IceCandidateError(error) => errors.push(error),
                PeerConnectionEvent::IceGatheringStateChange(state) => {
                    states.push(state);
                    if state == IceGatheringState::Complete {
                        break;
                    }
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("gathering ends");
    (candidates, errors, states)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stun_server_tells_the_address_that_it_sees() {
    let (first, second) = (stun_server([203, 0, 113, 1]).await, stun_server([203, 0, 113, 2]).await);
    let servers = vec![IceServer::stun(format!("stun:{first}")), IceServer::stun(format!("stun:{second}"))];
    let connection = with_servers(servers, IceTransportPolicy::All).await;
    let mut events = connection.events();
    connection.set_local_description(None).await.unwrap();
    let early = connection.local_description().unwrap().sdp().to_string();
    assert!(!early.contains("end-of-candidates"), "{early}");
    let (candidates, errors, states) = gathered(&mut events).await;
    assert_eq!(states, [IceGatheringState::Gathering, IceGatheringState::Complete]);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(candidates[0].contains("typ host") && candidates.last().unwrap().is_empty(), "{candidates:?}");
    for address in ["203.0.113.1 4660", "203.0.113.2 4660"] {
        let told = candidates.iter().find(|candidate| candidate.contains(address)).expect("a candidate");
        assert!(told.contains("typ srflx raddr 127.0.0.1 rport "), "{told}");
    }
    let sdp = connection.local_description().unwrap().sdp().to_string();
    assert!(sdp.contains("203.0.113.1 4660 typ srflx") && sdp.contains("a=end-of-candidates"), "{sdp}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_servers_are_told_of_and_hold_nothing_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody = silent.local_addr().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = vec![
        IceServer::stun(format!("stun:{nobody}")),
        IceServer::turn(format!("turn:{closed}?transport=tcp"), "user", "secret"),
        IceServer::stun("stun:no-such-name.invalid"),
    ];
    let left = with_servers(servers.clone(), IceTransportPolicy::All).await;
    let right = with_servers(servers, IceTransportPolicy::All).await;
    let mut events = left.events();
    let start = Instant::now();
    connect(&left, &right).await;
    wait_for(&left, PeerConnectionState::Connected).await;
    wait_for(&right, PeerConnectionState::Connected).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let (_, errors, _) = gathered(&mut events).await;
    let code_of = |url: &str| errors.iter().find(|error| error.url.contains(url)).map(|error| error.error_code);
    assert_eq!(code_of(&nobody.to_string()), Some(701), "{errors:?}");
    assert_eq!(code_of(&closed.to_string()), Some(701), "{errors:?}");
    assert_eq!(code_of("no-such-name"), Some(701), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_policy_relay_nothing_else_is_told() {
    let server = stun_server([203, 0, 113, 1]).await;
    let servers = vec![IceServer::stun(format!("stun:{server}"))];
    let connection = with_servers(servers, IceTransportPolicy::Relay).await;
    let mut events = connection.events();
    connection.set_local_description(None).await.unwrap();
    let (candidates, ..) = gathered(&mut events).await;
    assert_eq!(candidates, [""]);
    let sdp = connection.local_description().unwrap().sdp().to_string();
    assert!(!sdp.contains("a=candidate"), "{sdp}");
}

#[tokio::test]
async fn wrong_servers_are_refused_at_once() {
    for (server, name) in [
        (IceServer::stun("stun:"), "SyntaxError"),
        (IceServer::stun("https://example.org"), "SyntaxError"),
        (IceServer::stun("turn:example.org"), "InvalidAccessError"),
        (IceServer::stun("stuns:example.org"), "NotSupportedError"),
    ] {
        let mut configuration = Configuration::default();
        configuration.ice_servers = vec![server.clone()];
        let error = PeerConnection::new(configuration).await.unwrap_err();
        assert_eq!(error.name(), name, "{server:?}");
        assert!(error.to_string().contains(&server.urls[0]) && error.hint().is_some(), "{error}");
    }
}
