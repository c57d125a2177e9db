//! What the transports of a connection show.

use std::time::Duration;

use crate::support::{connect, endpoint, wait_for};
use rtcast_peer::{
    Configuration, Direction, IceRole, MediaKind, OfferOptions, PeerConnection, PeerConnectionEvent,
    PeerConnectionState,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_ice_transport_shows_roles_candidates_and_parameters() {
    let new = async || PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let (left, right) = (new().await, new().await);
    let mut events = left.events();
    left.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    assert!(left.dtls_transport().is_none(), "before the first description");
    connect(&left, &right).await;
    wait_for(&left, PeerConnectionState::Connected).await;
    wait_for(&right, PeerConnectionState::Connected).await;
    let ice = |connection: &PeerConnection| connection.dtls_transport().unwrap().ice_transport();
    let (ours, theirs) = (ice(&left), ice(&right));
    assert_eq!((ours.role(), theirs.role()), (Some(IceRole::Controlling), Some(IceRole::Controlled)));
    assert_eq!(ours.local_parameters().unwrap(), theirs.remote_parameters().unwrap());
    assert_eq!(theirs.local_parameters().unwrap(), ours.remote_parameters().unwrap());

    let told = ours.local_candidates();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].username_fragment, Some(ours.local_parameters().unwrap().username_fragment));
    let known = theirs.remote_candidates();
    assert_eq!(known.len(), 1);
    let address = |candidate: &rtcast_peer::IceCandidate| {
        let parsed = candidate.parsed().unwrap().unwrap();
        (parsed.address, parsed.port)
    };
    assert_eq!(address(&told[0]), address(&known[0]));
    let pair = ours.selected_candidate_pair().unwrap();
    assert_eq!(address(&told[0]), (pair.local.ip().to_string(), pair.local.port()));

    let mut gathered = Vec::new();
    let changed = loop {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("in time");
        match event.expect("an event") {
            PeerConnectionEvent::IceCandidate(Some(candidate)) => gathered.push(candidate),
            PeerConnectionEvent::SelectedCandidatePairChange(changed) => break changed,
            _ => {}
        }
    };
    assert_eq!(changed, Some(pair));
    assert_eq!(gathered, told, "as the events told them");

    let before = ours.local_parameters();
    let offer = left.create_offer_with(OfferOptions { ice_restart: true }).await.unwrap();
    left.set_local_description(offer).await.unwrap();
    assert_ne!(ours.local_parameters(), before, "a restart changes them");
}
