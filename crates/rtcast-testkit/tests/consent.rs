//! Consent on a pair that is settled (RFC 7675): seldom asked for, missed soon, and lost after 30 s.

use std::time::Duration;

use rtcast_proto::connection::{ConnectionEvent, PeerConnectionState};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

const DELAY: Duration = Duration::from_millis(25);

/// A connected pair that has been at rest for a while, with nothing to send but checks.
fn settled(link: &Link, seed: u64) -> Pair {
    let mut pair = Pair::new(&Link { delay: DELAY, ..Link::default() }, seed);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "picture");
    pair.negotiate(if seed.is_multiple_of(2) { Side::Left } else { Side::Right });
    if seed % 2 == 1 {
        pair.negotiate(Side::Left);
    }
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.run_for(Duration::from_secs(60));
    pair.set_link(link);
    pair
}

/// Runs until the state of the right peer is this one. Returns how long it took.
fn until(pair: &mut Pair, state: PeerConnectionState, limit: Duration) -> Duration {
    let reached = |pair: &Pair| pair.right.connection.connection_state() == state;
    pair.run_until(limit, reached).unwrap_or_else(|| panic!("not {state} within {limit:?}"))
}

fn told(pair: &Pair, state: PeerConnectionState) -> bool {
    [&pair.left, &pair.right].iter().any(|peer| peer.told(&ConnectionEvent::ConnectionStateChange(state)))
}

#[test]
fn checks_come_every_four_to_six_seconds() {
    let link = Link { delay: DELAY, ..Link::default() };
    let mut pair = settled(&link, 1);
    let (before, _) = pair.datagrams();
    let seconds = 600;
    pair.run_for(Duration::from_secs(seconds));
    let sent = pair.datagrams().0 - before;
    // Both sides ask every 5 s and answer, and look at the pair as before every 25 s.
    let expected = 2 * 2 * (seconds / 5 + seconds / 25);
    assert!(sent.abs_diff(expected) <= expected / 10, "{sent} datagrams, {expected} expected");
    assert_eq!(pair.right.connection.round_trip_time(), Some(2 * DELAY));
    assert!(!told(&pair, PeerConnectionState::Disconnected));
}

#[test]
fn a_lost_check_is_no_disconnection() {
    for seed in 0..20 {
        let mut pair = settled(&Link { delay: DELAY, loss: 0.05, ..Link::default() }, seed);
        pair.run_for(Duration::from_secs(600));
        assert!(!told(&pair, PeerConnectionState::Disconnected), "seed {seed}");
    }
}

#[test]
fn heavy_loss_does_not_end_it() {
    for seed in 0..20 {
        let mut pair = settled(&Link { delay: DELAY, loss: 0.3, ..Link::default() }, seed);
        pair.run_for(Duration::from_secs(1_800));
        assert!(!told(&pair, PeerConnectionState::Failed), "seed {seed}");
        pair.set_link(&Link { delay: DELAY, ..Link::default() });
        until(&mut pair, PeerConnectionState::Connected, Duration::from_secs(10));
    }
}

#[test]
fn silence_is_noticed_and_ends_it_after_thirty_seconds() {
    for seed in 0..20 {
        let mut pair = settled(&Link { loss: 1.0, ..Link::default() }, seed);
        let disconnected = until(&mut pair, PeerConnectionState::Disconnected, Duration::from_secs(20));
        // The last answer came up to 6 s before the link broke.
        assert!(disconnected <= Duration::from_secs(11), "seed {seed}: {disconnected:?}");
        let failed = disconnected + until(&mut pair, PeerConnectionState::Failed, Duration::from_secs(60));
        let range = Duration::from_secs(23)..=Duration::from_secs(31);
        assert!(range.contains(&failed), "seed {seed}: {failed:?}");
    }
}

#[test]
fn what_comes_back_is_connected_again() {
    let link = Link { delay: DELAY, ..Link::default() };
    for (seed, silence) in [(1, 3), (2, 8), (3, 14), (4, 20)] {
        let mut pair = settled(&Link { loss: 1.0, ..Link::default() }, seed);
        pair.run_for(Duration::from_secs(silence));
        pair.set_link(&link);
        until(&mut pair, PeerConnectionState::Connected, Duration::from_secs(4));
        pair.run_for(Duration::from_secs(120));
        assert_eq!(pair.left.connection.connection_state(), PeerConnectionState::Connected);
        assert!(!told(&pair, PeerConnectionState::Failed));
    }
}

#[test]
fn a_slow_path_is_no_dead_one() {
    let mut pair = settled(&Link { delay: Duration::from_millis(900), ..Link::default() }, 5);
    pair.run_for(Duration::from_secs(300));
    assert!(!told(&pair, PeerConnectionState::Disconnected));
    assert_eq!(pair.left.connection.round_trip_time(), Some(Duration::from_millis(1_800)));
}

#[test]
fn peers_do_not_check_in_step() {
    let mut pairs: Vec<Pair> = (0..10).map(|seed| settled(&Link { delay: DELAY, ..Link::default() }, seed)).collect();
    let next = |pair: &mut Pair| pair.left.connection.poll_timeout().map(|at| at - pair.now);
    let times: Vec<Option<Duration>> = pairs.iter_mut().map(next).collect();
    let (min, max) = (times.iter().flatten().min(), times.iter().flatten().max());
    assert!(*max.unwrap() - *min.unwrap() > Duration::from_secs(1), "{times:?}");
}
