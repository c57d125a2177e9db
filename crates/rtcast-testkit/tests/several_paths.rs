//! A peer that can be reached at two addresses: the way that was chosen stays, and the other is there when it breaks.

use std::time::Duration;

use rtcast_proto::connection::{ConnectionEvent, PeerConnectionState};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

const DELAY: Duration = Duration::from_millis(25);

/// A settled pair whose right side has two addresses.
fn settled(offerer: Side, seed: u64) -> Pair {
    let mut pair = Pair::new(&Link { delay: DELAY, ..Link::default() }, seed);
    pair.right.connection.add_local_address("10.0.7.2:2007".parse().unwrap());
    pair.add_track(offerer, &RtpCodec::new(Codec::Opus), "sound");
    pair.negotiate(offerer);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.run_for(Duration::from_secs(90));
    pair.left.events.clear();
    pair.right.events.clear();
    pair
}

fn changes(pair: &Pair) -> Vec<&ConnectionEvent> {
    let events = pair.left.events.iter().chain(&pair.right.events);
    events
        .filter(|event| {
            matches!(
                event,
                ConnectionEvent::SelectedCandidatePairChange(_)
                    | ConnectionEvent::ConnectionStateChange(_)
                    | ConnectionEvent::IceConnectionStateChange(_)
            )
        })
        .collect()
}

#[test]
fn the_way_in_use_is_kept() {
    for seed in 0..6 {
        for offerer in [Side::Left, Side::Right] {
            let mut pair = settled(offerer, seed);
            pair.run_for(Duration::from_secs(3_600));
            assert_eq!(changes(&pair), Vec::<&ConnectionEvent>::new(), "seed {seed}");
        }
    }
}

#[test]
fn single_losses_do_not_move_it() {
    for seed in 0..6 {
        for offerer in [Side::Left, Side::Right] {
            let mut pair = settled(offerer, seed);
            pair.set_link(&Link { delay: DELAY, loss: 0.02, ..Link::default() });
            pair.run_for(Duration::from_secs(3_600));
            assert_eq!(changes(&pair), Vec::<&ConnectionEvent>::new(), "seed {seed}");
        }
    }
}

#[test]
fn when_it_breaks_the_other_takes_its_place() {
    for seed in 0..20 {
        for offerer in [Side::Left, Side::Right] {
            let mut pair = settled(offerer, seed);
            pair.run_for(Duration::from_millis(1_700 * seed));
            let broken = pair.left.connection.selected_pair().expect("a pair").remote;
            pair.block(broken);
            let moved = |pair: &Pair| {
                let [left, right] = [&pair.left, &pair.right].map(|peer| peer.connection.selected_pair());
                left.is_some_and(|pair| pair.remote != broken) && right.is_some_and(|pair| pair.local != broken)
            };
            let took = pair.run_until(Duration::from_secs(30), moved);
            assert!(took.is_some_and(|took| took < Duration::from_secs(14)), "seed {seed}: {took:?}");
            pair.run_for(Duration::from_secs(120));
            for peer in [&pair.left, &pair.right] {
                assert_eq!(peer.connection.connection_state(), PeerConnectionState::Connected, "seed {seed}");
                assert!(!peer.told(&ConnectionEvent::ConnectionStateChange(PeerConnectionState::Failed)));
            }
        }
    }
}
