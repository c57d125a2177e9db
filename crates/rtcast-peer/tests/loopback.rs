//! Two peer connections of one process meet over loopback.

use std::time::{Duration, Instant};

use rtcast_peer::{
    Broadcast, Codec, Configuration, Endpoint, EndpointConfig, MediaKind, MediaStreamTrack, PeerConnection,
    PeerConnectionState, RtpCodec,
};

async fn endpoint(shards: usize) -> Endpoint {
    let address = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(EndpointConfig { address, shards: Some(shards), ..EndpointConfig::default() }).unwrap()
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
