//! What ICE may use of the network: TCP, port ranges, filters, mapped addresses, a lite agent.

use std::sync::Arc;
use std::time::Instant;

use crate::support::{first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, IceTransportState, MediaKind, MediaStreamTrack, PeerConnection,
    PeerConnectionState, RtpCodec, SdpType, SessionDescription, TcpCandidates,
};

fn on_loopback() -> Configuration {
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    configuration
}

/// A call in which descriptions pass through `edit`; thirty frames must cross, both before and after a restart.
async fn call(
    left: Configuration,
    right: Configuration,
    edit: impl Fn(&str) -> String,
) -> (PeerConnection, PeerConnection) {
    let sender = PeerConnection::new(left).await.unwrap();
    let receiver = PeerConnection::new(right).await.unwrap();
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    sender.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await.unwrap();
    let mut events = receiver.events();
    let mut track = None;
    for round in 0..2 {
        if round == 1 {
            sender.restart_ice().await.unwrap();
        }
        sender.set_local_description(None).await.unwrap();
        let offer = edit(sender.local_description().unwrap().sdp());
        receiver.set_remote_description(SessionDescription::new(SdpType::Offer, offer).unwrap()).await.unwrap();
        receiver.set_local_description(None).await.unwrap();
        let answer = edit(receiver.local_description().unwrap().sdp());
        sender.set_remote_description(SessionDescription::new(SdpType::Answer, answer).unwrap()).await.unwrap();
        if track.is_none() {
            track = Some(first_track(&mut events).await);
        }
        wait_for(&sender, PeerConnectionState::Connected).await;
        wait_for(&receiver, PeerConnectionState::Connected).await;
        broadcast.upstream().wait_for(|upstream| upstream.demand() == 1).await;
        for number in 30 * round..30 * (round + 1) {
            broadcast.send(&frame(number, 5_000), Instant::now());
            assert_eq!(next_frame(track.as_ref().unwrap()).await.data, frame(number, 5_000).data, "frame {number}");
        }
    }
    (sender, receiver)
}

fn without(sdp: &str, part: &str) -> String {
    let kept = sdp.lines().filter(|line| !(line.starts_with("a=candidate:") && line.contains(part)));
    kept.map(|line| format!("{line}\r\n")).collect()
}

/// The port of the UDP socket, as its candidate tells it.
fn udp_port(connection: &PeerConnection) -> u16 {
    let description = connection.local_description().unwrap();
    let line = description.sdp().lines().find(|line| line.contains(" udp ")).unwrap();
    line.split(' ').nth(5).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_carries_a_call_where_udp_leads_nowhere() {
    for (left, right) in [
        (TcpCandidates::Active, TcpCandidates::ActiveAndPassive),
        (TcpCandidates::ActiveAndPassive, TcpCandidates::Active),
        (TcpCandidates::ActiveAndPassive, TcpCandidates::ActiveAndPassive),
    ] {
        let (mut sender, mut receiver) = (on_loopback(), on_loopback());
        sender.ice.tcp = left;
        receiver.ice.tcp = right;
        let (sender, receiver) = call(sender, receiver, |sdp| without(sdp, " udp ")).await;
        for peer in [&sender, &receiver] {
            let pair = peer.stats().await.unwrap().selected_pair.unwrap();
            assert_ne!(pair.local.port(), udp_port(peer), "{pair:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_comes_before_tcp() {
    let (mut sender, mut receiver) = (on_loopback(), on_loopback());
    sender.ice.tcp = TcpCandidates::ActiveAndPassive;
    receiver.ice.tcp = TcpCandidates::ActiveAndPassive;
    let (sender, _receiver) = call(sender, receiver, str::to_owned).await;
    let sdp = sender.local_description().unwrap().sdp().to_owned();
    for part in ["udp ", "tcptype active", "tcptype passive"] {
        assert!(sdp.lines().any(|line| line.starts_with("a=candidate:") && line.contains(part)), "{part}: {sdp}");
    }
    let pair = sender.stats().await.unwrap().selected_pair.unwrap();
    assert_eq!(pair.local.port(), udp_port(&sender));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_come_from_the_range_and_run_out() {
    // A range in which something is free, found by asking for a free port.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut configuration = on_loopback();
    configuration.ice.port_range = Some(free..=free);
    let first = PeerConnection::new(configuration.clone()).await.unwrap();
    first.add_transceiver(MediaKind::Video, rtcast_peer::Direction::Recvonly).await.unwrap();
    first.set_local_description(None).await.unwrap();
    let sdp = first.local_description().unwrap().sdp().to_owned();
    assert!(sdp.contains(&format!("127.0.0.1 {free} typ host")), "{sdp}");
    let error = PeerConnection::new(configuration).await.unwrap_err();
    assert_eq!(error.name(), "OperationError");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_address_is_told_and_a_filtered_one_is_not() {
    let mut configuration = on_loopback();
    configuration.ice.address_mapping.insert("127.0.0.1".parse().unwrap(), "203.0.113.7".parse().unwrap());
    // Only the mapped address is told, and the peer is found by its own checks.
    let (sender, _receiver) = call(configuration.clone(), on_loopback(), str::to_owned).await;
    let sdp = sender.local_description().unwrap().sdp().to_owned();
    assert!(sdp.contains("203.0.113.7") && !sdp.contains("127.0.0.1 4") && !sdp.contains("raddr"), "{sdp}");
    configuration.ice.address_filter = Some(Arc::new(|ip| !ip.is_loopback()));
    let hidden = PeerConnection::new(configuration).await.unwrap();
    hidden.add_transceiver(MediaKind::Video, rtcast_peer::Direction::Recvonly).await.unwrap();
    hidden.set_local_description(None).await.unwrap();
    assert!(!hidden.local_description().unwrap().sdp().contains("a=candidate:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lite_agent_answers_whoever_offers() {
    for lite_offers in [true, false] {
        let mut lite = on_loopback();
        lite.ice.lite = true;
        let (left, right) = if lite_offers { (lite, on_loopback()) } else { (on_loopback(), lite) };
        let (sender, receiver) = call(left, right, str::to_owned).await;
        let of_lite = if lite_offers { &sender } else { &receiver };
        assert!(of_lite.local_description().unwrap().sdp().contains("a=ice-lite\r\n"));
        assert_eq!(of_lite.ice_connection_state(), IceTransportState::Completed);
    }
}
