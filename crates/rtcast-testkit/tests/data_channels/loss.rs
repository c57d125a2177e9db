//! Channels over a network that loses, repeats and reorders.

use std::time::Duration;

use rtcast_proto::data_channel::DataChannelInit;
use rtcast_testkit::{Link, Side};

use crate::support::{BOTH, arrival, binary, connected, create, link, messages, received, send, text};

#[test]
fn large_messages_cross_whole_both_ways() {
    for (seed, percent) in [(1, 1), (2, 5), (3, 10)] {
        let (mut pair, left, right) = connected(&link(15), seed);
        pair.set_link(&Link {
            loss: f64::from(percent) / 100.0,
            duplication: 0.05,
            jitter: Duration::from_millis(10),
            ..link(15)
        });
        for number in 0..6 {
            send(&mut pair, Side::Left, left, binary(262_144, number));
            send(&mut pair, Side::Right, right, binary(262_144, number ^ 0x80));
        }
        for (side, mark) in [(Side::Right, 0), (Side::Left, 0x80)] {
            received(&mut pair, side, 6, Duration::from_secs(120));
            let got = messages(&pair, side).iter().map(|(_, message)| message.clone());
            assert!(got.eq((0..6).map(|number| binary(262_144, number ^ mark))), "{percent} %");
        }
    }
}

#[test]
fn a_blackout_is_over_within_few_round_trips() {
    let (mut pair, left, _) = connected(&link(20), 4);
    for number in 0..20 {
        send(&mut pair, Side::Left, left, binary(65_536, number));
    }
    pair.run_for(Duration::from_millis(150));
    pair.set_link(&Link { loss: 1.0, ..link(20) });
    pair.run_for(Duration::from_millis(30));
    pair.set_link(&link(20));
    let took = received(&mut pair, Side::Right, 20, Duration::from_secs(10));
    assert!(took < Duration::from_millis(1_200), "{took:?}");
}

#[test]
fn messages_that_are_not_worth_repeating_are_skipped() {
    for (ordered, retransmits, life) in [(true, Some(0), None), (false, Some(0), None), (true, None, Some(5))] {
        let (mut pair, ..) = connected(&link(10), 5);
        let init = DataChannelInit {
            ordered,
            max_retransmits: retransmits,
            max_packet_life_time: life,
            ..DataChannelInit::default()
        };
        let made = create(&mut pair, Side::Left, "lossy", init).channel;
        let came = arrival(&mut pair, Side::Right, "lossy").channel;
        pair.set_link(&Link { loss: 0.2, ..link(10) });
        for number in 0..200 {
            send(&mut pair, Side::Left, made, text(&number.to_string()));
            pair.run_for(Duration::from_millis(5));
        }
        pair.set_link(&link(10));
        send(&mut pair, Side::Left, made, text("200"));
        pair.run_for(Duration::from_secs(3));
        let got: Vec<u32> = messages(&pair, Side::Right)
            .iter()
            .map(|(channel, message)| {
                assert_eq!(*channel, came);
                std::str::from_utf8(message.as_bytes()).unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(got.iter().max(), Some(&200));
        assert!((100..200).contains(&got.len()), "{} came of 201, with a fifth of the packets lost", got.len());
        if ordered {
            assert!(got.is_sorted());
        }
        assert_eq!(pair.left.connection.data_channels().info(made).unwrap().buffered_amount, 0);
    }
}

#[test]
fn the_unordered_overtake_what_is_lost() {
    let (mut pair, ..) = connected(&link(10), 6);
    let init = DataChannelInit { ordered: false, ..DataChannelInit::default() };
    let made = create(&mut pair, Side::Left, "free", init).channel;
    arrival(&mut pair, Side::Right, "free");
    pair.run_for(Duration::from_millis(100));
    pair.set_link(&Link { loss: 1.0, ..link(10) });
    send(&mut pair, Side::Left, made, text("lost at first"));
    pair.set_link(&link(10));
    send(&mut pair, Side::Left, made, text("second"));
    received(&mut pair, Side::Right, 2, Duration::from_secs(2));
    let got: Vec<_> = messages(&pair, Side::Right).iter().map(|(_, message)| message.clone()).collect();
    assert_eq!(got, [text("second"), text("lost at first")]);
}

#[test]
fn a_large_message_lets_small_ones_of_other_channels_pass() {
    let (mut pair, left, _) = connected(&link(20), 7);
    let quick = create(&mut pair, Side::Left, "quick", DataChannelInit::default()).channel;
    let at = arrival(&mut pair, Side::Right, "quick").channel;
    for side in BOTH {
        pair.peer(side).messages.clear();
    }
    send(&mut pair, Side::Left, left, binary(262_144, 1));
    send(&mut pair, Side::Left, quick, text("me first"));
    received(&mut pair, Side::Right, 2, Duration::from_secs(5));
    assert_eq!(messages(&pair, Side::Right)[0], (at, text("me first")));
}
