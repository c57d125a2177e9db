//! Two peer connections of one process meet over loopback.

use std::time::{Duration, Instant};

use crate::support::{connect, endpoint, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionEvent,
    PeerConnectionState, RtpCodec,
};

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_as_they_were_sent_on_any_number_of_shards() {
    for shards in [1, 2] {
        let (left, right) = (endpoint(shards).await, endpoint(shards).await);
        let sender = PeerConnection::new(Configuration::on(&left)).await.unwrap();
        let receiver = PeerConnection::new(Configuration::on(&right)).await.unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let track = MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()]);
        sender.add_track(track).await.unwrap();
        let mut events = receiver.events();
        connect(&sender, &receiver).await;
        let track = first_track(&mut events).await;
        wait_for(&sender, PeerConnectionState::Connected).await;
        wait_for(&receiver, PeerConnectionState::Connected).await;
        let mut upstream = broadcast.upstream();
        upstream.wait_for(|upstream| upstream.demand() == 1).await;
        for number in 0..90 {
            broadcast.send(&frame(number, 100 + number as usize * 311), Instant::now());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..90 {
            let received = next_frame(&track).await;
            let sent = frame(number, 100 + number as usize * 311);
            assert_eq!(received.data, sent.data, "frame {number}");
            assert_eq!(received.timestamp, sent.timestamp);
        }
        sender.close().await;
        wait_for(&receiver, PeerConnectionState::Closed).await;
        assert!(track.recv().await.is_none());
        left.close().await;
        right.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_flows_soon_after_the_answer() {
    let (left, right) = (endpoint(1).await, endpoint(1).await);
    let mut times = Vec::new();
    for _ in 0..5 {
        let offerer = PeerConnection::new(Configuration::on(&left)).await.unwrap();
        let answerer = PeerConnection::new(Configuration::on(&right)).await.unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        offerer.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast])).await.unwrap();
        connect(&offerer, &answerer).await;
        let start = Instant::now();
        wait_for(&offerer, PeerConnectionState::Connected).await;
        wait_for(&answerer, PeerConnectionState::Connected).await;
        times.push(start.elapsed());
        offerer.close().await;
        answerer.close().await;
    }
    println!("from the answer to connected: {times:?}");
    // A lost ClientHello would show as 150 ms or more in every run.
    assert!(times.iter().any(|time| *time < Duration::from_millis(100)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_finds_the_state_that_it_tells_of() {
    let (left, right) = (endpoint(1).await, endpoint(1).await);
    for _ in 0..20 {
        let offerer = PeerConnection::new(Configuration::on(&left)).await.unwrap();
        let answerer = PeerConnection::new(Configuration::on(&right)).await.unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        offerer.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast])).await.unwrap();
        let mut events = answerer.events();
        connect(&offerer, &answerer).await;
        loop {
            if let PeerConnectionEvent::ConnectionStateChange(state) = events.recv().await.expect("an event") {
                // The state may have gone on since, but never lags behind.
                let now = answerer.connection_state();
                assert!(now == state || state == PeerConnectionState::Connecting, "{state} was told, {now} is read");
                if state == PeerConnectionState::Connected {
                    break;
                }
            }
        }
    }
}
