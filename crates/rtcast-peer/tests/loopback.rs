//! Two peer connections of one process meet over loopback.

use std::time::{Duration, Instant};

use rtcast_peer::{
    Broadcast, Codec, Configuration, EncodedFrame, Endpoint, EndpointConfig, MediaKind, MediaStreamTrack, MediaTime,
    PeerConnection, PeerConnectionEvent, PeerConnectionState, RtpCodec,
};

async fn endpoint(shards: usize) -> Endpoint {
    let address = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(EndpointConfig { address, shards: Some(shards), ..EndpointConfig::default() }).unwrap()
}

/// A VP8 frame of that length whose bytes tell its number.
fn frame(number: u32, length: usize) -> EncodedFrame {
    let keyframe = number.is_multiple_of(30);
    let mut data: Vec<u8> = (0..length as u32).map(|at| (at ^ number.wrapping_mul(31)) as u8).collect();
    data[..3].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0]);
    data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
    EncodedFrame {
        codec: Codec::Vp8,
        data: data.into(),
        timestamp: MediaTime::from_ticks(i64::from(number) * 3_000, 90_000),
        keyframe,
    }
}

async fn connect(offerer: &PeerConnection, answerer: &PeerConnection) {
    let offer = offerer.create_offer().await.unwrap();
    offerer.set_local_description(offer).await.unwrap();
    answerer.set_remote_description(offerer.local_description().unwrap()).await.unwrap();
    let answer = answerer.create_answer().await.unwrap();
    answerer.set_local_description(answer).await.unwrap();
    offerer.set_remote_description(answerer.local_description().unwrap()).await.unwrap();
}

async fn wait_for(connection: &PeerConnection, state: PeerConnectionState) -> Duration {
    let start = Instant::now();
    while connection.connection_state() != state {
        assert!(start.elapsed() < Duration::from_secs(20), "{state} was not reached: {connection:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

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
        let track = loop {
            if let PeerConnectionEvent::Track(event) = events.recv().await.expect("a track event") {
                break event.track;
            }
        };
        wait_for(&sender, PeerConnectionState::Connected).await;
        wait_for(&receiver, PeerConnectionState::Connected).await;
        let mut demand = broadcast.demand();
        demand.wait_for(|demand| *demand == 1).await.unwrap();
        for number in 0..90 {
            broadcast.send(&frame(number, 100 + number as usize * 311), Instant::now());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..90 {
            let received = tokio::time::timeout(Duration::from_secs(10), track.recv()).await.unwrap().unwrap();
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
