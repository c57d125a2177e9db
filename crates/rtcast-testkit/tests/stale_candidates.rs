//! What is told of candidates belongs to the description that stands when it is told: never to an offer that was taken back,
//! nor to an answer that is not there yet.

use std::time::Duration;

use rtcast_proto::connection::{Connection, ConnectionEvent, IceOptions, OfferOptions};
use rtcast_proto::ice::LocalCandidate;
use rtcast_proto::{Codec, IceCandidate, RtpCodec, SessionDescription};
use rtcast_testkit::{Link, Pair, Side};

const RESTART: OfferOptions = OfferOptions { ice_restart: true };

fn connected(seed: u64, options: IceOptions) -> Pair {
    let mut pair = Pair::new(&Link::default(), seed);
    pair.left.connection.set_ice_options(options, 0);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "picture");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.left.events.clear();
    pair
}

/// Everything that waits to be told, as an application hears of it that has done other things before.
fn told(connection: &mut Connection) -> Vec<Option<IceCandidate>> {
    let events = std::iter::from_fn(|| connection.poll_event());
    let candidates = events.filter_map(|event| match event {
        ConnectionEvent::IceCandidate(candidate) => Some(candidate),
        _ => None,
    });
    candidates.collect()
}

fn fragment(description: &SessionDescription) -> String {
    description.session().media[0].ice_ufrag.as_deref().expect("a fragment").to_owned()
}

#[test]
fn candidates_of_an_offer_that_was_taken_back_are_not_told() {
    for rolled_back_by_hand in [false, true] {
        let mut pair = connected(1, IceOptions::default());
        let now = pair.now;
        let left = &mut pair.left.connection;
        let before = left.local_description().unwrap();
        let offer = left.create_offer_with(RESTART).unwrap();
        left.set_local_description(now, Some(offer.clone())).unwrap();
        assert_ne!(fragment(&offer), fragment(&before));
        // Before the application hears of its candidates, the peer's offer is there and wins.
        pair.right.connection.set_local_description(now, None).unwrap();
        let theirs = pair.right.connection.local_description().unwrap();
        if rolled_back_by_hand {
            left.set_local_description(now, Some(SessionDescription::rollback())).unwrap();
        }
        left.set_remote_description(now, &theirs).unwrap();
        left.set_local_description(now, None).unwrap();
        assert_eq!(fragment(&left.local_description().unwrap()), fragment(&before));
        assert_eq!(
            told(left),
            [],
            "the peer knows those of the credentials that are left, and has never seen the others"
        );
    }
}

#[test]
fn candidates_of_an_offer_that_stands_are_told() {
    let mut pair = connected(2, IceOptions::default());
    let now = pair.now;
    let left = &mut pair.left.connection;
    let offer = left.create_offer_with(RESTART).unwrap();
    left.set_local_description(now, Some(offer.clone())).unwrap();
    let told = told(left);
    assert_eq!(told.len(), 2, "one candidate and the end: {told:?}");
    assert_eq!(told[0].as_ref().unwrap().username_fragment, Some(fragment(&offer)));
}

#[test]
fn a_candidate_that_is_found_while_the_peer_restarts_waits_for_our_answer() {
    // What asks servers is still at work when the peer restarts ICE.
    let mut pair = connected(3, IceOptions { servers: true, ..IceOptions::default() });
    let now = pair.now;
    let offer = pair.right.connection.create_offer_with(RESTART).unwrap();
    pair.right.connection.set_local_description(now, Some(offer.clone())).unwrap();
    let left = &mut pair.left.connection;
    let before = left.local_description().unwrap();
    left.set_remote_description(now, &offer).unwrap();
    let found = |port: u16| LocalCandidate::ServerReflexive {
        address: ([203, 0, 113, 5], port).into(),
        base: "10.0.0.1:1000".parse().unwrap(),
    };
    left.add_gathered(now, 0, found(1));
    let early = told(left);
    assert_eq!(early, [], "the peer has got no description with these credentials yet");
    left.set_local_description(now, None).unwrap();
    let answer = left.local_description().unwrap();
    assert_ne!(fragment(&answer), fragment(&before));
    left.add_gathered(now, 1, found(2));
    let told = told(left);
    assert!(told.len() >= 2, "{told:?}");
    for candidate in told.iter().flatten() {
        assert_eq!(candidate.username_fragment, Some(fragment(&answer)));
    }
}
