//! A received track is muted, heard again, and ends.

use std::time::{Duration, Instant};

use crate::support::{connect, endpoint, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, Direction, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionState,
    RtpCodec, TrackStateChange, TrackStateStream,
};

async fn next(changes: &mut TrackStateStream) -> Option<TrackStateChange> {
    tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.expect("a change in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_unmuted_by_frames_muted_by_negotiation_and_ended_by_stop() {
    let left = PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let right = PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    left.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await.unwrap();
    let mut events = right.events();
    connect(&left, &right).await;
    let track = first_track(&mut events).await;
    let mut changes = track.state_changes();
    let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
    track.on_state_change(move |change| seen.send(change).unwrap());
    assert!(track.muted() && !track.ended());
    let mut upstream = broadcast.upstream();
    upstream.wait_for(|upstream| upstream.demand() == 1).await;
    broadcast.send(&frame(0, 1_000), Instant::now());
    next_frame(&track).await;
    assert!(!track.muted());
    assert_eq!(next(&mut changes).await, Some(TrackStateChange::Unmute));

    let transceiver = left.transceivers().remove(0);
    transceiver.set_direction(Direction::Recvonly).await.unwrap();
    connect(&left, &right).await;
    assert_eq!(next(&mut changes).await, Some(TrackStateChange::Mute));
    assert!(track.muted() && !track.ended(), "the peer may send again");
    transceiver.set_direction(Direction::Sendrecv).await.unwrap();
    connect(&left, &right).await;
    let again = first_track(&mut events).await;
    assert_eq!(again.id(), track.id());
    upstream.wait_for(|upstream| upstream.demand() == 1).await;
    broadcast.send(&frame(30, 1_000), Instant::now());
    // The handle of before goes on: it is the same track.
    loop {
        if next_frame(&track).await.data == frame(30, 1_000).data {
            break;
        }
    }
    assert_eq!(next(&mut changes).await, Some(TrackStateChange::Unmute));

    // The sender says goodbye at once, and the negotiation makes it final.
    transceiver.stop().await.unwrap();
    assert_eq!(next(&mut changes).await, Some(TrackStateChange::Mute));
    connect(&left, &right).await;
    assert_eq!(next(&mut changes).await, Some(TrackStateChange::Ended));
    assert_eq!(next(&mut changes).await, None);
    assert!(track.ended() && track.recv().await.is_none());
    let mut callbacks = Vec::new();
    while let Some(change) = told.recv().await {
        callbacks.push(change);
    }
    use TrackStateChange as Change;
    assert_eq!(callbacks, [Change::Unmute, Change::Mute, Change::Unmute, Change::Mute, Change::Ended]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_ends_its_tracks_without_a_word() {
    let left = PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let right = PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let transceiver = right.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    let track = transceiver.receiver().track();
    assert!(track.muted() && transceiver.mid().is_none(), "the receiver has its track from the beginning");
    let mut changes = track.state_changes();
    connect(&right, &left).await;
    wait_for(&right, PeerConnectionState::Connected).await;
    right.close().await;
    assert_eq!(next(&mut changes).await, None);
    assert!(track.ended() && track.recv().await.is_none());
    assert!(transceiver.receiver().track().ended(), "a handle made later is no other");
}
