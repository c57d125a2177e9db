//! Certificates that no honest peer shows: too long, with keys too short or too long, or no certificates at all.

use std::time::Instant;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rtcast_proto::dtls::{Certificate, DimplEndpoint, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole, DtlsVersion};

const ROLES: [DtlsRole; 2] = [DtlsRole::Client, DtlsRole::Server];
const VERSIONS: [DtlsVersion; 2] = [DtlsVersion::V1_2, DtlsVersion::V1_3];

#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn epoch() -> Instant {
    Instant::now()
}

/// A certificate that is longer than that many bytes.
fn padded(length: usize) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    let padding = CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![7; length]);
    parameters.custom_extensions.push(padding);
    let made = parameters.self_signed(&key).expect("a certificate");
    Certificate::from_der(made.der(), &key.serialize_der()).expect("a certificate")
}

/// What `poll_output` has to send; whether it is connected; the peer's certificate.
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
fn shake(role: DtlsRole, version: DtlsVersion, peer: &Certificate) -> Result<Vec<u8>, DtlsError> {
    let (now, ours) = (epoch(), Certificate::generate().expect("a certificate"));
    let opposite = if role == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client };
    let mut we = DimplEndpoint::new(role, version, &ours, now).expect("an endpoint");
    let mut they = DimplEndpoint::new(opposite, version, peer, now).expect("an endpoint");
    let (mut our, mut their) = (Outcome::default(), Outcome::default());
    for _ in 0..20 {
        drive(&mut we, now, &mut our)?;
        for packet in std::mem::take(&mut our.sent) {
            they.handle_packet(&packet).expect("our packets are good");
        }
        drive(&mut they, now, &mut their).expect("our certificate is good");
        for packet in std::mem::take(&mut their.sent) {
            assert!(packet.len() <= 1_200, "a datagram of {} bytes", packet.len());
            let result = we.handle_packet(&packet);
            if result.is_err() && version == DtlsVersion::V1_2 {
                // RFC 5246 §7.2.2: the other side is told.
                let alert = we.poll_alert().expect("an alert");
                let heard = they.handle_packet(&alert).expect_err("a fatal alert");
                assert!(heard.reason.contains("40") || heard.reason.contains("43"), "{heard}");
                assert_eq!(we.poll_alert(), None);
            }
            result?;
        }
    }
    assert!(our.connected && their.connected);
    Ok(our.certificate.expect("connected without a certificate"))
}

#[test]
fn one_that_is_longer_than_a_datagram_is_taken_whole() {
    let peer = padded(5_000);
    for (role, version) in ROLES.into_iter().flat_map(|role| VERSIONS.map(|version| (role, version))) {
        assert_eq!(shake(role, version, &peer).expect("a handshake"), peer.der(), "{role:?}, {version:?}");
    }
}

#[test]
fn one_without_measure_is_refused_by_its_length() {
    let peer = padded(20_000);
    for (role, version) in ROLES.into_iter().flat_map(|role| VERSIONS.map(|version| (role, version))) {
        let error = shake(role, version, &peer).expect_err("too long");
        let length = peer.der().len().to_string();
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
