//! What the tests of this crate share.

use std::time::{Duration, Instant};

use rtcast_peer::{
    Codec, Endpoint, EndpointConfig, Frame, MediaStreamTrack, MediaTime, PeerConnection, PeerConnectionEvent,
    PeerConnectionState, SocketOptions,
};

pub(crate) async fn endpoint(shards: usize) -> Endpoint {
    endpoint_with(shards, SocketOptions::default()).await
}

pub(crate) async fn endpoint_with(shards: usize, socket: SocketOptions) -> Endpoint {
    let address = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(EndpointConfig { address, shards: Some(shards), socket, ..EndpointConfig::default() }).unwrap()
}

/// A VP8 frame of that length whose bytes tell its number.
pub(crate) fn frame(number: u32, length: usize) -> Frame {
    let keyframe = number.is_multiple_of(30);
    let mut data: Vec<u8> = (0..length as u32).map(|at| (at ^ number.wrapping_mul(31)) as u8).collect();
    data[..3].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0]);
    data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
    Frame::new(Codec::Vp8, data, MediaTime::from_ticks(i64::from(number) * 3_000, 90_000)).with_keyframe(keyframe)
}

pub(crate) async fn connect(offerer: &PeerConnection, answerer: &PeerConnection) {
    let offer = offerer.create_offer().await.unwrap();
    offerer.set_local_description(offer).await.unwrap();
    answerer.set_remote_description(offerer.local_description().unwrap()).await.unwrap();
    let answer = answerer.create_answer().await.unwrap();
    answerer.set_local_description(answer).await.unwrap();
    offerer.set_remote_description(answerer.local_description().unwrap()).await.unwrap();
}

pub(crate) async fn wait_for(connection: &PeerConnection, state: PeerConnectionState) -> Duration {
    let start = Instant::now();
    while connection.connection_state() != state {
        assert!(start.elapsed() < Duration::from_secs(20), "{state} was not reached: {connection:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

/// The first track that the peer sends, for events asked for before the exchange of descriptions.
pub(crate) async fn first_track(events: &mut rtcast_peer::EventStream) -> MediaStreamTrack {
    loop {
        if let PeerConnectionEvent::Track(event) = events.recv().await.expect("a track event") {
            return event.track;
        }
    }
}

/// The next frame, which must come soon.
pub(crate) async fn next_frame(track: &MediaStreamTrack) -> Frame {
    tokio::time::timeout(Duration::from_secs(10), track.recv()).await.expect("in time").expect("a frame")
}
