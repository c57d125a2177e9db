//! Connecting: how long it takes, and that loss does not stop it.

use std::time::Duration;

use rtcast_proto::connection::{Attention, ConnectionEvent, Datagram, PeerConnectionState};
use rtcast_proto::dtls::DtlsVersion;
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

fn pair(link: &Link, seed: u64, version: DtlsVersion) -> Pair {
    let mut pair = Pair::with_dtls(link, seed, version);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Opus), "sound");
    pair.negotiate(Side::Left);
    pair
}

#[test]
fn three_round_trips_are_enough() {
    for (version, name) in
        [(DtlsVersion::V1_2, "DTLS 1.2"), (DtlsVersion::V1_3, "DTLS 1.3"), (DtlsVersion::Auto, "DTLS 1.3")]
    {
        let link = Link { delay: Duration::from_millis(25), ..Link::default() };
        let mut pair = pair(&link, 1, version);
        let took = pair.connect(Duration::from_secs(5)).expect("connected");
        assert!(took < Duration::from_millis(225), "{version:?}: {took:?}");
        assert_eq!(pair.left.connection.stats().dtls_version, Some(name));
        assert!(pair.left.told(&ConnectionEvent::MediaReady));
        assert!(pair.right.told(&ConnectionEvent::ConnectionStateChange(PeerConnectionState::Connected)));
    }
}

#[test]
fn without_delay_nothing_waits_for_a_timer() {
    for seed in 0..10 {
        let mut pair = pair(&Link::default(), seed, DtlsVersion::V1_2);
        let took = pair.connect(Duration::from_secs(5)).expect("connected");
        assert!(took < Duration::from_millis(20), "seed {seed}: {took:?}");
    }
}

#[test]
fn loss_delays_but_does_not_prevent() {
    let link = Link { delay: Duration::from_millis(25), loss: 0.2, ..Link::default() };
    for seed in 0..30 {
        let mut pair = pair(&link, seed, DtlsVersion::V1_2);
        let took = pair.connect(Duration::from_secs(60));
        let reason = [pair.left.connection.failure(), pair.right.connection.failure()];
        assert!(took.is_some(), "seed {seed}: {reason:?}");
    }
}

#[test]
fn a_goodbye_ends_the_other_side_at_once() {
    let link = Link { delay: Duration::from_millis(25), ..Link::default() };
    let mut pair = pair(&link, 3, DtlsVersion::V1_2);
    pair.connect(Duration::from_secs(5)).expect("connected");
    let now = pair.now;
    pair.left.connection.close(now);
    pair.left.connection.close(now);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.left.connection.connection_state(), PeerConnectionState::Closed);
    assert_eq!(pair.right.connection.connection_state(), PeerConnectionState::Closed);
}

#[test]
fn a_peer_that_falls_silent_is_disconnected_and_then_failed() {
    let link = Link { delay: Duration::from_millis(25), ..Link::default() };
    let mut pair = pair(&link, 4, DtlsVersion::V1_2);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.set_link(&Link { loss: 1.0, ..Link::default() });
    pair.run_for(Duration::from_secs(60));
    for peer in [&pair.left, &pair.right] {
        assert!(peer.told(&ConnectionEvent::ConnectionStateChange(PeerConnectionState::Disconnected)));
        assert_eq!(peer.connection.connection_state(), PeerConnectionState::Failed);
    }
}

#[test]
fn a_short_silence_is_survived() {
    let link = Link { delay: Duration::from_millis(25), ..Link::default() };
    let mut pair = pair(&link, 5, DtlsVersion::V1_2);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.set_link(&Link { loss: 1.0, ..Link::default() });
    pair.run_for(Duration::from_secs(5));
    pair.set_link(&link);
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.left.connection.connection_state(), PeerConnectionState::Connected);
    assert_eq!(pair.right.connection.connection_state(), PeerConnectionState::Connected);
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let mut pair = Pair::new(&Link::default(), 6);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Opus), "sound");
    let now = pair.now;
    pair.left.connection.set_local_description(now, None).unwrap();
    let offer = pair.left.connection.local_description().unwrap();
    let other = rtcast_proto::dtls::Certificate::generate().unwrap();
    let announced = offer.session().media[0].fingerprints[0].to_string();
    let forged = offer.sdp().replace(&announced, &other.fingerprint().to_string());
    let forged = rtcast_proto::SessionDescription::new(offer.sdp_type(), forged).unwrap();
    pair.right.connection.set_remote_description(now, &forged).unwrap();
    pair.right.connection.set_local_description(now, None).unwrap();
    let answer = pair.right.connection.local_description().unwrap();
    pair.left.connection.set_remote_description(now, &answer).unwrap();
    assert_eq!(pair.connect(Duration::from_secs(5)), None);
    assert_eq!(pair.right.connection.connection_state(), PeerConnectionState::Failed);
    let reason = pair.right.connection.failure().unwrap();
    assert!(reason.contains("fingerprint"), "{reason}");
}

#[test]
fn what_a_stranger_sends_does_not_reach_dtls() {
    for version in [DtlsVersion::V1_2, DtlsVersion::V1_3, DtlsVersion::Auto] {
        let mut pair = pair(&Link { delay: Duration::from_millis(25), ..Link::default() }, 8, version);
        let now = pair.now;
        for peer in [&mut pair.left, &mut pair.right] {
            // The head of a handshake record, and after it nothing that makes sense.
            let mut junk = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 99, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0];
            let source = "192.0.2.66:6666".parse().unwrap();
            let datagram = Datagram { source, destination: peer.address, contents: &mut junk };
            assert_eq!(peer.connection.handle_input(now, datagram), Attention::Everything);
        }
        assert!(pair.connect(Duration::from_secs(5)).is_some(), "{version:?}");
    }
}
