//! Connections with sockets of their own, on either version of IP.

use std::time::Instant;

use crate::support::{connect, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionState, RtpCodec,
};

async fn one_frame_crosses(address: Option<&str>) {
    let mut configuration = Configuration::default();
    configuration.address = address.map(|address| address.parse().unwrap());
    let mut pairs = Vec::new();
    // Several connections between the same two machines: nothing but their ports tells them apart.
    for _ in 0..3 {
        let sender = PeerConnection::new(configuration.clone()).await.unwrap();
        let receiver = PeerConnection::new(configuration.clone()).await.unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        sender.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await.unwrap();
        let mut events = receiver.events();
        connect(&sender, &receiver).await;
        let track = first_track(&mut events).await;
        pairs.push((sender, receiver, broadcast, track));
    }
    for (number, (sender, receiver, broadcast, track)) in pairs.iter().enumerate() {
        wait_for(sender, PeerConnectionState::Connected).await;
        wait_for(receiver, PeerConnectionState::Connected).await;
        broadcast.upstream().wait_for(|upstream| upstream.demand() == 1).await;
        let sent = frame(30 * number as u32, 20_000);
        broadcast.send(&sent, Instant::now());
        assert_eq!(next_frame(track).await.data, sent.data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint() {
    one_frame_crosses(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ipv4() {
    one_frame_crosses(Some("127.0.0.1:0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ipv6() {
    one_frame_crosses(Some("[::1]:0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_says_so() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut configuration = Configuration::default();
    configuration.address = Some(taken.local_addr().unwrap());
    let error = PeerConnection::new(configuration).await.unwrap_err();
    assert_eq!(error.name(), "OperationError");
    assert!(error.to_string().contains("port"), "{error}");
}
