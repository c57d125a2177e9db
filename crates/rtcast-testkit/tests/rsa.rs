//! Peers with RSA certificates, in both roles and over both versions of DTLS.

use std::time::{Duration, SystemTime};

use rtcast_proto::dtls::{Certificate, DtlsVersion, KeyAlgorithm};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

const RSA_2048: &str = include_str!("../../rtcast-proto/tests/fixtures/rsa_certificate.pem");
const RSA_4096: &str = include_str!("../../rtcast-proto/tests/fixtures/rsa_4096_certificate.pem");
const RSA_8192: &str = include_str!("../../rtcast-proto/tests/fixtures/rsa_8192_certificate.pem");

const VERSIONS: [DtlsVersion; 3] = [DtlsVersion::V1_2, DtlsVersion::V1_3, DtlsVersion::Auto];

fn certificate(pem: &str) -> Certificate {
    Certificate::from_pem(pem).expect("a certificate")
}

/// A pair that has negotiated; the answerer opens DTLS.
fn pair(link: &Link, seed: u64, version: DtlsVersion, certificates: [Option<Certificate>; 2], offerer: Side) -> Pair {
    let mut pair = Pair::with_certificates(link, seed, version, certificates);
    pair.add_track(offerer, &RtpCodec::new(Codec::Vp8), "film");
    pair.negotiate(offerer);
    pair
}

/// Connects, and looks whether each has seen the other's certificate.
fn connects(pair: &mut Pair, limit: Duration, case: &str) {
    let took = pair.connect(limit);
    assert!(took.is_some(), "{case}: {:?}, {:?}", pair.left.connection.failure(), pair.right.connection.failure());
    assert!(pair.left.connection.remote_certificate().is_some(), "{case}");
}

#[test]
fn one_peer_or_both_may_have_an_rsa_certificate_in_either_role() {
    let [rsa, other] = [certificate(RSA_2048), certificate(RSA_4096)];
    for version in VERSIONS {
        for offerer in [Side::Left, Side::Right] {
            for certificates in [[Some(rsa.clone()), None], [Some(rsa.clone()), Some(other.clone())]] {
                let case = format!("{version:?}, {offerer:?} offers, {certificates:?}");
                let mut pair = pair(&Link::default(), 1, version, certificates, offerer);
                connects(&mut pair, Duration::from_secs(5), &case);
                assert_eq!(pair.right.connection.remote_certificate().map(|der| &**der), Some(rsa.der()), "{case}");
            }
        }
    }
}

#[test]
fn one_that_was_made_here_connects() {
    // W3C webrtc-pc §4.9.1: RSASSA-PKCS1-v1_5 with 2,048 bits is mandatory.
    let now = SystemTime::now();
    let made =
        Certificate::generate_with(KeyAlgorithm::Rsa2048, now, Duration::from_secs(3_600)).expect("a certificate");
    for version in VERSIONS {
        for offerer in [Side::Left, Side::Right] {
            let mut pair = pair(&Link::default(), 2, version, [Some(made.clone()), None], offerer);
            connects(&mut pair, Duration::from_secs(5), &format!("{version:?}, {offerer:?} offers"));
        }
    }
}

#[test]
fn the_largest_key_fits_although_its_certificate_fills_several_datagrams() {
    let large = certificate(RSA_8192);
    assert!(large.der().len() > 2_048, "{}", large.der().len());
    for version in VERSIONS {
        for offerer in [Side::Left, Side::Right] {
            let mut pair = pair(&Link::default(), 3, version, [Some(large.clone()), None], offerer);
            connects(&mut pair, Duration::from_secs(5), &format!("{version:?}, {offerer:?} offers"));
        }
    }
}

#[test]
fn loss_delays_large_certificates_but_does_not_stop_them() {
    let link = Link { delay: Duration::from_millis(25), loss: 0.2, ..Link::default() };
    let large = certificate(RSA_4096);
    for version in [DtlsVersion::V1_2, DtlsVersion::V1_3] {
        for seed in 0..20 {
            let offerer = if seed % 2 == 0 { Side::Left } else { Side::Right };
            let mut pair = pair(&link, seed, version, [Some(large.clone()), Some(large.clone())], offerer);
            connects(&mut pair, Duration::from_secs(60), &format!("{version:?}, seed {seed}"));
        }
    }
}
