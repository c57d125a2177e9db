//! ICE restarts through real sockets: the shard finds a connection by its new names, and frames go on.

use std::time::Instant;

use crate::support::{connect, endpoint, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, OfferOptions, PeerConnection, PeerConnectionState,
    RtpCodec,
};

fn fragment(connection: &PeerConnection) -> String {
    let description = connection.local_description().expect("a description");
    description.session().media[0].ice_ufrag.clone().expect("a fragment")
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
        broadcast.demand().wait_for(|demand| *demand == 1).await.unwrap();
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
