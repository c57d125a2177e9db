//! A handshake comes to its end whichever of its datagrams are lost.

use std::time::{Duration, Instant};

use rtcast_proto::dtls::{Certificate, DimplEndpoint, DtlsEndpoint, DtlsOutput, DtlsRole, DtlsVersion};

const RSA_4096: &str = include_str!("fixtures/rsa_4096_certificate.pem");

/// Datagrams of a handshake of which each may be lost.
const DATAGRAMS: usize = 12;

/// How many are lost in the patterns with the most losses.
const MOST_LOST: usize = 6;

/// How long a handshake may take of which so many datagrams are lost. The first retransmission comes after 100 ms, give or take
/// a quarter, each further one after twice the time (RFC 9147 §5.8.2), and a loss costs two of them at most: one's own, and the
/// one that a repeated flight of the peer has used up. After 60 s an endpoint gives up.
fn patience(lost: usize) -> Duration {
    (Duration::from_millis(125) * (1 << (2 * lost))).min(Duration::from_secs(50))
}

struct End {
    endpoint: DimplEndpoint,
    timeout: Instant,
    connected: bool,
}

impl End {
    fn new(role: DtlsRole, version: DtlsVersion, certificate: &Certificate, now: Instant) -> Self {
        let mut endpoint = DimplEndpoint::new(role, version, certificate, now).expect("an endpoint");
        endpoint.handle_timeout(now).expect("time begins");
        Self { endpoint, timeout: now, connected: false }
    }

    /// What it sends now.
    fn drive(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let (mut buffer, mut sent) = ([0; 2_048], Vec::new());
        self.endpoint.handle_timeout(now).expect("there is time left");
        loop {
            match self.endpoint.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
                DtlsOutput::Connected => self.connected = true,
                DtlsOutput::Timeout(at) => {
                    self.timeout = at;
                    return sent;
                }
                _ => {}
            }
        }
    }
}

/// How long a handshake takes of which the datagrams with these numbers are lost.
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn shake(version: DtlsVersion, certificates: [&Certificate; 2], lost: &[usize]) -> Duration {
    let start = Instant::now();
    let mut now = start;
    let roles = [DtlsRole::Client, DtlsRole::Server];
    let mut ends = [0, 1].map(|side| End::new(roles[side], version, certificates[side], now));
    let mut number = 0;
    while !ends.iter().all(|end| end.connected) {
        let case = format!("{version:?} without {lost:?}");
        assert!(now < start + patience(lost.len()), "{case} stands still");
        let mut quiet = true;
        for side in [0, 1] {
            for datagram in ends[side].drive(now) {
                quiet = false;
                if !lost.contains(&number) {
                    ends[1 - side].endpoint.handle_packet(&datagram).expect(&case);
                }
                number += 1;
            }
        }
        if quiet && !ends.iter().all(|end| end.connected) {
            now = ends.iter().map(|end| end.timeout).min().unwrap_or(now).max(now + Duration::from_millis(1));
        }
    }
    now - start
}

#[test]
fn any_two_datagrams_may_be_lost() {
    let ordinary = Certificate::generate().expect("a certificate");
    let large = Certificate::from_pem(RSA_4096).expect("a certificate");
    for certificates in [[&ordinary, &ordinary], [&large, &large], [&ordinary, &large]] {
        for version in [DtlsVersion::V1_2, DtlsVersion::V1_3] {
            let took = shake(version, certificates, &[]);
            assert!(took < Duration::from_millis(20), "{version:?} took {took:?}");
            for first in 0..DATAGRAMS {
                for second in first..DATAGRAMS {
                    shake(version, certificates, &[first, second]);
                }
            }
        }
    }
}

#[test]
fn every_second_or_third_datagram_may_be_lost() {
    let large = Certificate::from_pem(RSA_4096).expect("a certificate");
    for version in [DtlsVersion::V1_2, DtlsVersion::V1_3] {
        for step in [2, 3] {
            for first in 0..step {
                let lost: Vec<usize> = (first..).step_by(step).take(MOST_LOST).collect();
                shake(version, [&large, &large], &lost);
            }
        }
    }
}
