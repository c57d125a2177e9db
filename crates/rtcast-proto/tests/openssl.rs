//! DTLS on OpenSSL: towards itself and towards the default implementation, in both roles, with loss, by a fake clock.
#![cfg(feature = "openssl")]

use std::time::{Duration, Instant};

use rtcast_proto::dtls::{
    Certificate, DimplEndpoint, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole, DtlsVersion, OpenSslEndpoint,
};
use rtcast_proto::srtp::SrtpProfile;

const RSA: &str = include_str!("fixtures/rsa_certificate.pem");
const RSA_1024: &str = include_str!("fixtures/rsa_1024_certificate.pem");
const RSA_4096: &str = include_str!("fixtures/rsa_4096_certificate.pem");
const RSA_8192: &str = include_str!("fixtures/rsa_8192_certificate.pem");
const P224: &str = include_str!("fixtures/secp224r1_certificate.pem");
const P384: &str = include_str!("fixtures/secp384r1_certificate.pem");

#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn epoch() -> Instant {
    Instant::now()
}

/// An endpoint with what it yielded.
struct Peer {
    endpoint: Box<dyn DtlsEndpoint>,
    certificate: Option<Vec<u8>>,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    connected: bool,
    ended: bool,
    data: Vec<Vec<u8>>,
    timeout: Instant,
}

impl Peer {
    fn new(endpoint: impl DtlsEndpoint + 'static, now: Instant) -> Self {
        let endpoint = Box::new(endpoint);
        Self { endpoint, certificate: None, keys: None, connected: false, ended: false, data: Vec::new(), timeout: now }
    }

    fn openssl(role: DtlsRole, certificate: &Certificate, now: Instant) -> Self {
        Self::new(OpenSslEndpoint::new(role, certificate, now).expect("an endpoint"), now)
    }

    fn dimpl(role: DtlsRole, certificate: &Certificate, now: Instant) -> Self {
        Self::dimpl_of(DtlsVersion::V1_2, role, certificate, now)
    }

    fn dimpl_of(version: DtlsVersion, role: DtlsRole, certificate: &Certificate, now: Instant) -> Self {
        Self::new(DimplEndpoint::new(role, version, certificate, now).expect("an endpoint"), now)
    }

    /// Tells the time and returns what is to be sent.
    fn drive(&mut self, now: Instant) -> Result<Vec<Vec<u8>>, DtlsError> {
        self.endpoint.handle_timeout(now)?;
        let (mut buffer, mut sent) = ([0; 2_048], Vec::new());
        loop {
            match self.endpoint.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
                DtlsOutput::Timeout(at) => {
                    self.timeout = at;
                    return Ok(sent);
                }
                DtlsOutput::Connected => self.connected = true,
                DtlsOutput::PeerCertificate(certificate) => {
                    self.endpoint.check_peer_certificate(&certificate)?;
                    self.certificate = Some(certificate);
                }
                DtlsOutput::KeyingMaterial(material, profile) => self.keys = Some((material, profile)),
                DtlsOutput::ApplicationData(data) => self.data.push(data.to_vec()),
                DtlsOutput::CloseNotify => self.ended = true,
                DtlsOutput::Other => {}
            }
        }
    }
}

/// Runs both until nothing more happens within `limit`; `lost` tells by its number whether a datagram is.
fn run(
    one: &mut Peer,
    other: &mut Peer,
    now: &mut Instant,
    limit: Duration,
    mut lost: impl FnMut(usize) -> bool,
) -> Result<(), DtlsError> {
    let peers = [one, other];
    let (end, mut number) = (*now + limit, 0);
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            for packet in peers[from].drive(*now)? {
                assert!(packet.len() <= 1_200, "a datagram of {} bytes", packet.len());
                quiet = false;
                number += 1;
                if !lost(number - 1) {
                    let to = &mut peers[1 - from].endpoint;
                    to.handle_timeout(*now)?;
                    to.handle_packet(&packet)?;
                }
            }
        }
        if quiet {
            let next = peers[0].timeout.min(peers[1].timeout).max(*now + Duration::from_millis(1));
            if next > end || peers.iter().all(|peer| peer.connected) {
                return Ok(());
            }
            *now = next;
        }
    }
}

fn is_complete(client: &Peer, server: &Peer, certificates: [&Certificate; 2]) {
    assert!(client.connected && server.connected);
    assert_eq!(client.certificate.as_deref(), Some(certificates[1].der()));
    assert_eq!(server.certificate.as_deref(), Some(certificates[0].der()));
    let (material, profile) = client.keys.as_ref().expect("keys for SRTP");
    assert_eq!(material.len(), profile.keying_material_length());
    assert_eq!(client.keys, server.keys);
}

#[test]
fn every_kind_of_key_connects_in_both_roles_and_carries_data() {
    let ours = Certificate::generate().expect("a certificate");
    for pem in [RSA, P224, P384] {
        let other = Certificate::from_pem(pem).expect("a certificate");
        for certificates in [[&ours, &other], [&other, &ours], [&other, &other]] {
            let mut now = epoch();
            let mut client = Peer::openssl(DtlsRole::Client, certificates[0], now);
            let mut server = Peer::openssl(DtlsRole::Server, certificates[1], now);
            run(&mut client, &mut server, &mut now, Duration::from_secs(1), |_| false).expect("a handshake");
            is_complete(&client, &server, certificates);
            client.endpoint.send(b"to the server").expect("sent");
            server.endpoint.send(b"to the client").expect("sent");
            run(&mut client, &mut server, &mut now, Duration::from_secs(1), |_| false).expect("data");
            assert_eq!(
                (&client.data[..], &server.data[..]),
                (&[b"to the client".to_vec()][..], &[b"to the server".to_vec()][..])
            );
            client.endpoint.close();
            run(&mut client, &mut server, &mut now, Duration::from_secs(1), |_| false).expect("an end");
            assert!(server.ended);
        }
    }
}

#[test]
fn the_default_implementation_is_understood() {
    let ours = Certificate::generate().expect("one");
    let rsa = Certificate::from_pem(RSA).expect("one");
    for other in [P384, RSA, RSA_4096, RSA_8192].map(|pem| Certificate::from_pem(pem).expect("one")) {
        let cases = [(DtlsVersion::V1_2, &ours), (DtlsVersion::V1_2, &rsa), (DtlsVersion::Auto, &ours)];
        for (version, default) in cases {
            let now = &mut epoch();
            let mut client = Peer::dimpl_of(version, DtlsRole::Client, default, *now);
            let mut server = Peer::openssl(DtlsRole::Server, &other, *now);
            run(&mut client, &mut server, now, Duration::from_secs(1), |_| false).expect("a handshake");
            is_complete(&client, &server, [default, &other]);
            let mut client = Peer::openssl(DtlsRole::Client, &other, *now);
            let mut server = Peer::dimpl_of(version, DtlsRole::Server, default, *now);
            run(&mut client, &mut server, now, Duration::from_secs(1), |_| false).expect("a handshake");
            is_complete(&client, &server, [&other, default]);
        }
    }
}

#[test]
fn the_default_implementation_loses_nothing_large() {
    let (ours, other) = (Certificate::generate().expect("one"), Certificate::from_pem(RSA_4096).expect("one"));
    for (first, role) in (0..16).flat_map(|first| [(first, DtlsRole::Client), (first, DtlsRole::Server)]) {
        let now = &mut epoch();
        let lost = |number| (first..first + 2).contains(&number);
        let mut default = Peer::dimpl(role, &ours, *now);
        if role == DtlsRole::Client {
            let mut server = Peer::openssl(DtlsRole::Server, &other, *now);
            run(&mut default, &mut server, now, Duration::from_secs(30), lost).expect("a handshake");
            is_complete(&default, &server, [&ours, &other]);
        } else {
            let mut client = Peer::openssl(DtlsRole::Client, &other, *now);
            run(&mut client, &mut default, now, Duration::from_secs(30), lost).expect("a handshake");
            is_complete(&client, &default, [&other, &ours]);
        }
    }
}

#[test]
fn the_default_implementation_names_the_key_and_the_feature() {
    let ours = Certificate::generate().expect("a certificate");
    for (pem, name) in [(RSA_1024, "RSA of 1024 bits"), (P224, "P-224")] {
        let other = Certificate::from_pem(pem).expect("a certificate");
        for role in [DtlsRole::Client, DtlsRole::Server] {
            let now = &mut epoch();
            let opposite = if role == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client };
            let (mut default, mut openssl) = (Peer::dimpl(role, &ours, *now), Peer::openssl(opposite, &other, *now));
            let mut error = run(&mut default, &mut openssl, now, Duration::from_secs(1), |_| false);
            // Where OpenSSL finds nothing in common first, its alert tells the other side.
            if let Some(alert) = openssl.endpoint.poll_alert() {
                error = default.endpoint.handle_packet(&alert);
            }
            let error = error.expect_err("the key is not known");
            if let Some(alert) = default.endpoint.poll_alert() {
                let heard = openssl.endpoint.handle_packet(&alert).expect_err("a fatal alert");
                assert!(heard.reason.contains("alert"), "{heard}");
            }
            assert!(error.reason.contains("RSA") && error.reason.contains("`openssl`"), "{name}, {role:?}: {error}");
            assert!(pem != RSA_1024 || error.reason.contains(name), "{role:?}: {error}");
        }
        let refused = DimplEndpoint::new(DtlsRole::Client, DtlsVersion::V1_3, &other, epoch());
        let refused = refused.err().expect("refused");
        assert!(refused.reason.contains(name) && refused.reason.contains("OpenSSL"), "{refused}");
    }
}

#[test]
fn any_lost_datagram_is_repaired_by_the_callers_clock() {
    let (ours, other) = (Certificate::generate().expect("one"), Certificate::from_pem(RSA).expect("one"));
    for (first, count, certificates) in
        (0..48).map(|case| (case / 4, 1 + case / 2 % 2, if case % 2 == 0 { [&ours, &other] } else { [&other, &ours] }))
    {
        let start = epoch();
        let mut now = start;
        let mut client = Peer::openssl(DtlsRole::Client, certificates[0], now);
        let mut server = Peer::openssl(DtlsRole::Server, certificates[1], now);
        let lost = |number| (first..first + count).contains(&number);
        run(&mut client, &mut server, &mut now, Duration::from_secs(30), lost).expect("a handshake");
        is_complete(&client, &server, certificates);
        assert!(now - start < Duration::from_secs(1), "{first}, {count}: {:?}", now - start);
    }
}

#[test]
fn a_handshake_without_a_peer_ends() {
    let certificate = Certificate::from_pem(RSA).expect("a certificate");
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let start = epoch();
        let mut now = start;
        let mut peer = Peer::openssl(role, &certificate, now);
        let error = loop {
            match peer.drive(now) {
                Ok(_) => now = peer.timeout,
                Err(error) => break error,
            }
        };
        assert!(error.reason.contains("40 s"), "{error}");
        assert_eq!(now - start, Duration::from_secs(40));
    }
}
