//! ICE restarts through real sockets: the shard finds a connection by its new names, and frames go on.

use std::time::Instant;

use crate::support::{connect, endpoint, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, IceGatheringState, MediaKind, MediaStreamTrack, OfferOptions, PeerConnection,
    PeerConnectionEvent, PeerConnectionState, RtpCodec,
};

fn fragment(connection: &PeerConnection) -> String {
    let description = connection.local_description().expect("a description");
    description.session().media[0].ice_ufrag.as_deref().expect("a fragment").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_restarts_on_one_shard_and_on_two() {
    for shards in [1, 2] {
        let (left, right) = (endpoint(shards).await, endpoint(shards).await);
        let sender = PeerConnection::new(Configuration::on(&left)).await.unwrap();
        let receiver = PeerConnection::new(Configuration::on(&right)).await.unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        sender.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await.unwrap();
        let mut events = receiver.events();
        connect(&sender, &receiver).await;
        let track = first_track(&mut events).await;
        wait_for(&sender, PeerConnectionState::Connected).await;
        wait_for(&receiver, PeerConnectionState::Connected).await;
        broadcast.upstream().wait_for(|upstream| upstream.demand() == 1).await;
        let mut number = 0;
        for round in 0..4 {
            let before = (fragment(&sender), fragment(&receiver));
            let (offerer, answerer) = if round % 2 == 0 { (&sender, &receiver) } else { (&receiver, &sender) };
            if round < 2 {
                let offer = offerer.create_offer_with(OfferOptions { ice_restart: true }).await.unwrap();
                offerer.set_local_description(offer).await.unwrap();
            } else {
                offerer.restart_ice().await.unwrap();
                offerer.set_local_description(None).await.unwrap();
            }
            answerer.set_remote_description(offerer.local_description().unwrap()).await.unwrap();
            answerer.set_local_description(None).await.unwrap();
            offerer.set_remote_description(answerer.local_description().unwrap()).await.unwrap();
            assert_ne!(before.0, fragment(&sender));
            assert_ne!(before.1, fragment(&receiver));
            for _ in 0..30 {
                broadcast.send(&frame(number, 5_000), Instant::now());
                assert_eq!(next_frame(&track).await.data, frame(number, 5_000).data, "frame {number}");
                number += 1;
            }
        }
        let stats = receiver.stats().await.unwrap();
        assert_eq!(stats.receivers[0].stats.packets_lost, 0);
        assert_eq!(receiver.connection_state(), PeerConnectionState::Connected);
        left.close().await;
        right.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_heard_of_an_offer_before_it_is_taken_back_is_not_heard_after() {
    let (left, right) = (endpoint(1).await, endpoint(1).await);
    let polite = PeerConnection::new(Configuration::on(&left)).await.unwrap();
    let other = PeerConnection::new(Configuration::on(&right)).await.unwrap();
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    polite.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast])).await.unwrap();
    connect(&polite, &other).await;
    wait_for(&polite, PeerConnectionState::Connected).await;
    wait_for(&other, PeerConnectionState::Connected).await;
    let stays = fragment(&polite);

    // An application that is busy with what the peer sends while events of its own offer wait.
    let (mut late, mut probe) = (polite.events(), polite.events());
    polite.restart_ice().await.unwrap();
    polite.set_local_description(None).await.unwrap();
    let taken_back = fragment(&polite);
    assert_ne!(stays, taken_back);
    loop {
        let event = probe.recv().await.expect("the connection stands");
        if let PeerConnectionEvent::IceGatheringStateChange(IceGatheringState::Complete) = event {
            break;
        }
    }
    other.set_local_description(None).await.unwrap();
    polite.set_remote_description(other.local_description().unwrap()).await.unwrap();
    polite.set_local_description(None).await.unwrap();
    assert_eq!(fragment(&polite), stays);
    polite.close().await;
    let mut events = 0;
    while let Some(event) = late.recv().await {
        events += 1;
        if let PeerConnectionEvent::IceCandidate(Some(candidate)) = event {
            assert_ne!(candidate.username_fragment, Some(taken_back.clone()), "{candidate:?}");
        }
    }
    assert!(events > 0, "the states of gathering were heard");
    left.close().await;
    right.close().await;
}
