//! Certificates of the caller's, and how peers see them.

use std::time::{Duration, SystemTime};

use rtcast_proto::dtls::Certificate;
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

#[test]
fn a_certificate_of_the_callers_connects_either_way() {
    let made = Certificate::generate_for(SystemTime::now(), Duration::from_secs(60)).expect("a certificate");
    let pem = include_str!("../../rtcast-proto/tests/fixtures/secp384r1_certificate.pem");
    let on_p384 = Certificate::from_pem(pem).expect("a certificate");
    for (name, certificate) in [("P-256", made), ("P-384", on_p384)] {
        // The answerer opens DTLS, so that the certificate is once the client's and once the server's.
        for side in [Side::Left, Side::Right] {
            let mut pair = Pair::with_certificate(&Link::default(), 6, certificate.clone());
            pair.add_track(side, &RtpCodec::new(Codec::Vp8), "film");
            pair.negotiate(side);
            assert!(pair.connect(Duration::from_secs(5)).is_some(), "{name}, {side:?} offers");
            assert_eq!(pair.right.connection.remote_certificate().map(|der| &**der), Some(certificate.der()));
        }
    }
}

#[test]
fn any_offered_fingerprint_may_match_but_one_must() {
    let other = "AB:".repeat(31) + "AB";
    for (replacement, connects) in [
        // RFC 8122 §5: several may stand there, and of those that are known one must match.
        (format!("a=fingerprint:sha-256 {other}\r\na=fingerprint:sha-256 "), true),
        (format!("a=fingerprint:md5 01:02\r\na=fingerprint:sha-256 {other}\r\na=x:"), false),
    ] {
        let mut pair = Pair::new(&Link::default(), 7);
        pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "film");
        let now = pair.now;
        pair.left.connection.set_local_description(now, None).expect("an offer");
        let offer = pair.left.connection.local_description().expect("the offer");
        let text = offer.sdp().replace("a=fingerprint:sha-256 ", &replacement);
        let offer = rtcast_proto::SessionDescription::new(offer.sdp_type(), text).expect("SDP");
        pair.right.connection.set_remote_description(now, &offer).expect("taken");
        pair.right.connection.set_local_description(now, None).expect("an answer");
        let answer = pair.right.connection.local_description().expect("the answer");
        pair.left.connection.set_remote_description(now, &answer).expect("taken");
        pair.settle();
        assert_eq!(pair.connect(Duration::from_secs(5)).is_some(), connects, "{replacement}");
        let failure = pair.right.connection.failure().unwrap_or_default();
        assert_eq!(failure.contains("fingerprint"), !connects, "{failure}");
    }
}
