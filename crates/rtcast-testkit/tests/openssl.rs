//! Peers whose certificates only OpenSSL knows, with media and data.
#![cfg(feature = "openssl")]

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::data_channel::{DataChannelEvent, DataChannelInit, DataChannelMessage};
use rtcast_proto::dtls::{Certificate, DtlsVersion};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

const CERTIFICATES: [(&str, &str); 3] = [
    ("RSA", include_str!("../../rtcast-proto/tests/fixtures/rsa_certificate.pem")),
    ("secp384r1", include_str!("../../rtcast-proto/tests/fixtures/secp384r1_certificate.pem")),
    ("secp224r1", include_str!("../../rtcast-proto/tests/fixtures/secp224r1_certificate.pem")),
];

/// A call in which the left side sends pictures and both send messages.
fn call(pair: &mut Pair, offerer: Side, link: &Link) {
    pair.set_link(link);
    let codec = RtpCodec::new(Codec::Vp8);
    let film = pair.add_track(Side::Left, &codec, "film");
    let init = DataChannelInit::default();
    let left = pair.with(Side::Left, |connection, now| connection.create_data_channel(now, "talk", init));
    let left = left.expect("a channel").channel;
    if offerer == Side::Right {
        // Who answers sends on what the offer has.
        pair.add_track(Side::Right, &codec, "other film");
        let init = DataChannelInit::default();
        pair.with(Side::Right, |connection, now| connection.create_data_channel(now, "other talk", init))
            .expect("a channel");
    }
    pair.negotiate(offerer);
    assert!(pair.connect(Duration::from_secs(10)).is_some(), "{:?}", pair.right.connection.failure());
    assert!(pair.left.connection.select_codec(film, Some(&codec)));
    // Before its first packet a receiver cannot know of a stream, nor miss what nothing follows.
    pair.set_link(&Link { loss: 0.0, ..link.clone() });
    let mut packetizer = Pair::packetizer(&codec);
    for number in 0..30 {
        pair.send(Side::Left, film, &mut packetizer, &vp8_frame(number, 3_000, number == 0));
        pair.run_for(Duration::from_micros(33_333));
    }
    assert!(pair.run_until(Duration::from_secs(10), |pair| pair.right.frames.len() == 30).is_some());
    assert_eq!(pair.right.frames[29].data, vp8_frame(29, 3_000, false).data);

    let came = pair.right.events.iter().find_map(|event| match event {
        ConnectionEvent::DataChannel(DataChannelEvent::Incoming(info)) if info.label == "talk" => Some(info.channel),
        _ => None,
    });
    let question = DataChannelMessage::Binary(vec![7; 100_000].into());
    let answer = DataChannelMessage::Text("so it is".to_owned());
    for (side, channel, message) in
        [(Side::Left, left, &question), (Side::Right, came.expect("the channel came"), &answer)]
    {
        pair.with(side, |connection, now| connection.send_data(now, channel, message.clone())).expect("sent");
    }
    let both = |pair: &Pair| !pair.left.messages.is_empty() && !pair.right.messages.is_empty();
    assert!(pair.run_until(Duration::from_secs(30), both).is_some());
    assert_eq!((&pair.right.messages[0].1, &pair.left.messages[0].1), (&question, &answer));
}

#[test]
fn any_key_is_good_for_a_call_in_either_role() {
    for (name, pem) in CERTIFICATES {
        let certificate = Certificate::from_pem(pem).expect(name);
        // The answerer opens DTLS, so that the certificate is once the client's and once the server's.
        for offerer in [Side::Left, Side::Right] {
            let mut pair = Pair::with_certificate(&Link::default(), 8, certificate.clone());
            call(&mut pair, offerer, &Link::default());
            assert_eq!(pair.right.connection.remote_certificate().map(|der| &**der), Some(certificate.der()), "{name}");
        }
    }
}

#[test]
fn a_handshake_with_rsa_survives_loss() {
    let link = Link { delay: Duration::from_millis(20), loss: 0.1, duplication: 0.02, ..Link::default() };
    let certificate = Certificate::from_pem(CERTIFICATES[0].1).expect("a certificate");
    for seed in 0..20 {
        let mut pair = Pair::with_certificate(&link, seed, certificate.clone());
        call(&mut pair, if seed % 2 == 0 { Side::Left } else { Side::Right }, &link);
    }
}

#[test]
fn dtls_1_3_stays_with_the_default_implementation() {
    let mut pair = Pair::with_dtls(&Link::default(), 9, DtlsVersion::V1_3);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "film");
    pair.negotiate(Side::Left);
    assert!(pair.connect(Duration::from_secs(5)).is_some());
    assert_eq!(pair.left.connection.stats().dtls_version, Some("DTLS 1.3"));
}
