//! Certificates that no honest peer shows: too long, with keys too short or too long, or no certificates at all.

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Output, SecurityError};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rtcast_proto::dtls::{Certificate, DimplEndpoint, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole, DtlsVersion};

const ROLES: [DtlsRole; 2] = [DtlsRole::Client, DtlsRole::Server];
const VERSIONS: [DtlsVersion; 2] = [DtlsVersion::V1_2, DtlsVersion::V1_3];

#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn epoch() -> Instant {
    Instant::now()
}

/// A certificate that is longer than that many bytes.
fn padded(length: usize) -> DtlsCertificate {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![7; length]));
    let made = parameters.self_signed(&key).expect("a certificate");
    DtlsCertificate { certificate: made.der().to_vec(), private_key: key.serialize_der() }
}

/// A peer that sends as much as it likes.
fn peer(role: DtlsRole, version: DtlsVersion, certificate: &DtlsCertificate, now: Instant) -> Dtls {
    let config = Config::builder().use_server_cookie(false).max_queue_tx(100).build().expect("a configuration");
    let new = if version == DtlsVersion::V1_2 { Dtls::new_12 } else { Dtls::new_13 };
    let mut peer = new(Arc::new(config), certificate.clone(), now);
    peer.set_active(role == DtlsRole::Client);
    peer.handle_timeout(now).expect("time begins");
    peer
}

/// What the peer sends, and whether it is connected.
fn drive_peer(peer: &mut Dtls, now: Instant, connected: &mut bool) -> Vec<Vec<u8>> {
    peer.handle_timeout(now).expect("time goes on");
    let (mut buffer, mut sent) = ([0; 2_048], Vec::new());
    loop {
        match peer.poll_output(&mut buffer) {
            Output::Packet(packet) => sent.push(packet.to_vec()),
            Output::Connected => *connected = true,
            Output::Timeout(_) => return sent,
            _ => {}
        }
    }
}

/// What we send; whether we are connected; the peer's certificate.
#[derive(Default)]
struct Outcome {
    sent: Vec<Vec<u8>>,
    connected: bool,
    certificate: Option<Vec<u8>>,
}

fn drive(endpoint: &mut DimplEndpoint, now: Instant, outcome: &mut Outcome) -> Result<(), DtlsError> {
    endpoint.handle_timeout(now)?;
    let mut buffer = [0; 2_048];
    loop {
        match endpoint.poll_output(&mut buffer) {
            DtlsOutput::Packet(packet) => outcome.sent.push(packet.to_vec()),
            DtlsOutput::Connected => outcome.connected = true,
            DtlsOutput::PeerCertificate(certificate) => {
                endpoint.check_peer_certificate(&certificate)?;
                outcome.certificate = Some(certificate);
            }
            DtlsOutput::Timeout(_) => return Ok(()),
            _ => {}
        }
    }
}

/// A handshake with us in that role, over a network that loses nothing; what we saw of the peer, or why we failed.
fn shake(role: DtlsRole, version: DtlsVersion, certificate: &DtlsCertificate) -> Result<Vec<u8>, DtlsError> {
    let (now, ours) = (epoch(), Certificate::generate().expect("a certificate"));
    let opposite = if role == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client };
    let mut we = DimplEndpoint::new(role, version, &ours, now).expect("an endpoint");
    let mut they = peer(opposite, version, certificate, now);
    let (mut outcome, mut connected) = (Outcome::default(), false);
    for _ in 0..20 {
        drive(&mut we, now, &mut outcome)?;
        for packet in std::mem::take(&mut outcome.sent) {
            they.handle_packet(&packet).expect("our packets are good");
        }
        for packet in drive_peer(&mut they, now, &mut connected) {
            let result = we.handle_packet(&packet);
            if result.is_err() && version == DtlsVersion::V1_2 {
                // RFC 5246 §7.2.2: the other side is told.
                let alert = we.poll_alert().expect("an alert");
                let heard = they.handle_packet(&alert).expect_err("a fatal alert");
                assert!(matches!(heard, dimpl::Error::SecurityError(SecurityError::FatalAlert { .. })), "{heard}");
                assert_eq!(we.poll_alert(), None);
            }
            result?;
        }
    }
    assert!(outcome.connected && connected);
    Ok(outcome.certificate.expect("connected without a certificate"))
}

#[test]
fn one_that_is_longer_than_a_datagram_is_taken_whole() {
    let peer = padded(5_000);
    for (role, version) in ROLES.into_iter().flat_map(|role| VERSIONS.map(|version| (role, version))) {
        assert_eq!(shake(role, version, &peer).expect("a handshake"), peer.certificate, "{role:?}, {version:?}");
    }
}

#[test]
fn one_without_measure_is_refused_by_its_length() {
    let peer = padded(20_000);
    for (role, version) in ROLES.into_iter().flat_map(|role| VERSIONS.map(|version| (role, version))) {
        let error = shake(role, version, &peer).expect_err("too long");
        let length = peer.certificate.len().to_string();
        assert!(error.reason.contains(&length) && error.reason.contains("16384"), "{role:?}, {version:?}: {error}");
    }
}

#[test]
fn keys_of_another_size_are_named() {
    let ours = Certificate::generate().expect("a certificate");
    let endpoint = DimplEndpoint::new(DtlsRole::Client, DtlsVersion::V1_2, &ours, epoch()).expect("an endpoint");
    for (pem, name) in [
        (include_str!("fixtures/rsa_1024_certificate.pem"), "RSA of 1024 bits"),
        (include_str!("fixtures/rsa_16384_certificate.pem"), "RSA of 16384 bits"),
        (include_str!("fixtures/secp224r1_certificate.pem"), "P-224"),
    ] {
        let block = pem.split("-----").nth(2).expect("a block").replace('\n', "");
        let der = base64(&block);
        let error = endpoint.check_peer_certificate(&der).expect_err(name);
        assert!(error.reason.contains(name) && error.reason.contains("8,192"), "{error}");
    }
}

/// Reads base64 (RFC 4648 §4).
fn base64(text: &str) -> Vec<u8> {
    let value = |byte| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | value(*byte)) << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
