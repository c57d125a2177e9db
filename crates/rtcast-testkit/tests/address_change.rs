//! A peer whose address changes in mid-call, as with a NAT that forgets: the call goes on by itself.

use std::time::Duration;

use rtcast_proto::connection::{ConnectionEvent, PeerConnectionState};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

/// Lets the peer on `side` move after some seconds of media from left to right; the longest gap between two frames, in
/// frames of 33 ms.
fn longest_gap(moves: Side, offerer: Side, after: u64, seed: u64) -> u64 {
    let codec = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(20), ..Link::default() }, seed);
    let sender = pair.add_track(Side::Left, &codec, "picture");
    pair.add_track(Side::Right, &RtpCodec::new(Codec::Opus), "sound");
    pair.negotiate(offerer);
    if offerer == Side::Right {
        // Left's picture is in no m-line yet.
        pair.negotiate(Side::Left);
    }
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sender, Some(&codec)));
    let mut packetizer = Pair::packetizer(&codec);
    let mut gap = 0;
    let mut longest = 0;
    for number in 0..30 * (after + 18) {
        if number == 30 * after {
            pair.rebind(moves, "192.0.2.77:7777".parse().unwrap());
        }
        let before = pair.right.frames.len();
        pair.send(Side::Left, sender, &mut packetizer, &vp8_frame(number, 3_000, true));
        pair.run_for(Duration::from_micros(33_333));
        gap = if pair.right.frames.len() > before { 0 } else { gap + 1 };
        longest = longest.max(gap);
    }
    for peer in [&pair.left, &pair.right] {
        assert_eq!(peer.connection.connection_state(), PeerConnectionState::Connected);
        assert!(!peer.told(&ConnectionEvent::ConnectionStateChange(PeerConnectionState::Failed)));
    }
    longest
}

#[test]
fn the_call_goes_on_from_the_new_address() {
    // Before and after the pair is settled.
    for (seed, offerer, after) in [(1, Side::Left, 2), (2, Side::Right, 2), (3, Side::Left, 17), (4, Side::Right, 17)] {
        // Whoever sends is heard from the new address at once: authentic media needs no nomination.
        let gap = longest_gap(Side::Left, offerer, after, seed);
        assert!(gap <= 2, "the sender moved: {gap} frames");
        // Whoever receives must be found first.
        let gap = longest_gap(Side::Right, offerer, after, seed);
        assert!(gap <= 30 * 7, "the receiver moved: {gap} frames");
    }
}
