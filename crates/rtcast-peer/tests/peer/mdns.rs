//! A peer that hides its addresses behind names: they are looked up by mDNS.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::wait_for;
use rtcast_peer::{
    Configuration, Direction, MediaKind, PeerConnection, PeerConnectionState, SdpType, SessionDescription,
    TcpCandidates,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

const NAME: &str = "0d3c5dbe-4c53-4bd8-a8de-0c6f7f2f3f5a.local";

/// Answers for one name, on this machine alone, until the test ends.
fn responder() -> tokio::task::JoinHandle<()> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5_353)).into()).unwrap();
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let socket = UdpSocket::from_std(socket.into()).unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
            let label = NAME.split('.').next().unwrap().as_bytes();
            let asked = buffer[2] & 0x80 == 0 && buffer[..length].windows(label.len()).any(|window| window == label);
            if asked {
                let mut answer = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, label.len() as u8];
                answer.extend_from_slice(label);
                answer.extend_from_slice(b"\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x04\x7f\0\0\x01");
                // RFC 6762 §6: to everybody in the group.
                socket.send_to(&answer, (group, 5_353)).await.unwrap();
            }
        }
    })
}

/// Gives the answerer an offer without any address, and returns its answer: unless the offerer finds the answerer, neither
/// can begin.
async fn answer_without_addresses(offerer: &PeerConnection, answerer: &PeerConnection) -> String {
    offerer.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    offerer.set_local_description(None).await.unwrap();
    let sdp = |connection: &PeerConnection| connection.local_description().unwrap().sdp().to_owned();
    let offer: String =
        sdp(offerer).lines().filter(|line| !line.starts_with("a=candidate:")).flat_map(|line| [line, "\r\n"]).collect();
    answerer.set_remote_description(SessionDescription::new(SdpType::Offer, offer).unwrap()).await.unwrap();
    answerer.set_local_description(None).await.unwrap();
    sdp(answerer)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_addresses_hide_behind_names_that_peers_find_out() {
    for (address, v4) in [("127.0.0.1:0", true), ("[::1]:0", false)] {
        let mut configuration = Configuration::default();
        configuration.address = Some(address.parse().unwrap());
        let offerer = PeerConnection::new(configuration.clone()).await.unwrap();
        configuration.ice.mdns_candidates = true;
        configuration.ice.tcp = TcpCandidates::ActiveAndPassive;
        let answerer = PeerConnection::new(configuration).await.unwrap();
        let answer = answer_without_addresses(&offerer, &answerer).await;
        let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
        assert_eq!(candidates.len(), 3, "UDP, and TCP both ways: {answer}");
        let names: Vec<&str> = candidates.iter().map(|line| line.split(' ').nth(4).unwrap()).collect();
        assert!(names[0].len() == 42 && names[0].ends_with(".local"), "{answer}");
        assert!(names.iter().all(|name| *name == names[0]), "one address, one name: {answer}");
        let line = answer.lines().find(|line| line.starts_with("c=")).unwrap();
        assert_eq!(line, "c=IN IP4 0.0.0.0");
        offerer.set_remote_description(SessionDescription::new(SdpType::Answer, answer).unwrap()).await.unwrap();
        wait_for(&offerer, PeerConnectionState::Connected).await;
        let pair = offerer.dtls_transport().unwrap().ice_transport().selected_candidate_pair().unwrap();
        assert_eq!(pair.remote.is_ipv4(), v4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_the_peer() {
    let responder = responder();
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    let offerer = PeerConnection::new(configuration.clone()).await.unwrap();
    let answerer = PeerConnection::new(configuration).await.unwrap();
    let answer: String = answer_without_addresses(&offerer, &answerer)
        .await
        .lines()
        .map(|line| match line.starts_with("a=candidate:") {
            true => line.replace("127.0.0.1", NAME) + "\r\n",
            false => line.to_owned() + "\r\n",
        })
        .collect();
    assert!(answer.contains(NAME), "{answer}");
    offerer.set_remote_description(SessionDescription::new(SdpType::Answer, answer).unwrap()).await.unwrap();
    let took = wait_for(&offerer, PeerConnectionState::Connected).await;
    println!("the name was resolved, and the peer reached, in {took:?}");
    responder.abort();
}
