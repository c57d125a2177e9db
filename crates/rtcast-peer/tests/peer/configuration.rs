//! Certificates of the caller's, and what of a configuration can be changed.

use std::time::{Duration, SystemTime};

use crate::support::{connect, endpoint, wait_for};
use rtcast_peer::{Certificate, Configuration, Error, PeerConnection, PeerConnectionState};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_the_certificate_of_its_configuration() {
    let endpoint = endpoint(1).await;
    let certificate = PeerConnection::generate_certificate(Duration::from_secs(3_600)).unwrap();
    let left = SystemTime::now() + Duration::from_secs(3_590)..SystemTime::now() + Duration::from_secs(3_610);
    assert!(left.contains(&certificate.expires()), "an hour from now");
    let mut configuration = Configuration::on(&endpoint);
    configuration.certificate = Some(certificate.clone());
    let own = PeerConnection::new(configuration.clone()).await.unwrap();
    let other = PeerConnection::new(Configuration::default()).await.unwrap();
    own.add_transceiver(rtcast_peer::MediaKind::Video, rtcast_peer::Direction::Recvonly).await.unwrap();
    connect(&own, &other).await;
    wait_for(&own, PeerConnectionState::Connected).await;
    wait_for(&other, PeerConnectionState::Connected).await;
    let offer = own.local_description().unwrap();
    assert!(offer.sdp().contains(&format!("a=fingerprint:{}", certificate.fingerprint())));
    let transport = other.dtls_transport().unwrap();
    assert_eq!(transport.remote_certificates(), [certificate.der().to_vec()]);
    assert!(transport.ice_transport().selected_candidate_pair().is_some());

    configuration.certificate =
        Some(Certificate::generate_for(SystemTime::UNIX_EPOCH, Duration::from_secs(1)).unwrap());
    let error = PeerConnection::new(configuration).await.unwrap_err();
    assert_eq!(error.name(), "InvalidAccessError");
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_for_life_is_not_changed() {
    let (one, other) = (endpoint(1).await, endpoint(1).await);
    let pc = PeerConnection::new(Configuration::on(&one)).await.unwrap();
    pc.set_configuration(pc.configuration()).await.unwrap();
    let error = pc.set_configuration(Configuration::on(&other)).await.unwrap_err();
    assert_eq!(error.name(), "InvalidModificationError");
    assert!(error.to_string().contains("the endpoint"), "{error}");
    let mut changed = pc.configuration();
    changed.certificate = Some(Certificate::generate().unwrap());
    assert!(matches!(pc.set_configuration(changed).await, Err(Error::InvalidModification { .. })));
    pc.close().await;
    assert!(matches!(pc.set_configuration(pc.configuration()).await, Err(Error::Closed)));
}
