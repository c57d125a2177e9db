//! How channels come to be.

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::data_channel::{DataChannelEvent, DataChannelInit, DataChannelState, SctpTransportState};
use rtcast_proto::dtls::DtlsVersion;
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Pair, Side};

use crate::support::{
    BOTH, arrival, binary, connected, count, create, incoming, link, messages, received, send, state, text,
};

#[test]
fn a_channel_opens_by_either_side_s_offer_and_carries_messages_both_ways() {
    for (offerer, other) in [(Side::Left, Side::Right), (Side::Right, Side::Left)] {
        for creator in BOTH {
            let mut pair = Pair::with_data_channels(&link(10), 1);
            // Whoever offers needs an m-line for it, so the other side's channel follows one of the offerer's.
            create(&mut pair, offerer, "of the offerer", DataChannelInit::default());
            let made = create(&mut pair, creator, "λόγος 言葉 🎉", DataChannelInit::default());
            assert_eq!((made.state, made.id), (DataChannelState::Connecting, None));
            pair.negotiate(offerer);
            let peer = if creator == Side::Left { Side::Right } else { Side::Left };
            let came = arrival(&mut pair, peer, "λόγος 言葉 🎉");
            arrival(&mut pair, other, "of the offerer");
            assert_eq!(came.state, DataChannelState::Open);
            let there = [text("grüß dich"), binary(3, 1), text(""), binary(0, 0), text("last")];
            for message in &there {
                send(&mut pair, creator, made.channel, message.clone());
                send(&mut pair, peer, came.channel, message.clone());
            }
            for (side, channel) in [(creator, made.channel), (peer, came.channel)] {
                received(&mut pair, side, there.len(), Duration::from_secs(5));
                let got: Vec<_> = messages(&pair, side).iter().map(|(id, message)| (*id, message.clone())).collect();
                assert!(got.into_iter().eq(there.iter().map(|message| (channel, message.clone()))));
            }
        }
    }
}

#[test]
fn settings_reach_the_peer() {
    let (mut pair, ..) = connected(&link(10), 2);
    for (number, (ordered, retransmits, life)) in
        [(true, None, None), (false, None, None), (true, Some(3), None), (false, None, Some(250))]
            .into_iter()
            .enumerate()
    {
        let init = DataChannelInit {
            ordered,
            max_retransmits: retransmits,
            max_packet_life_time: life,
            protocol: format!("protocol {number}"),
            ..DataChannelInit::default()
        };
        let label = format!("channel {number}");
        create(&mut pair, Side::Left, &label, init.clone());
        assert_eq!(arrival(&mut pair, Side::Right, &label).init, init);
    }
}

#[test]
fn ids_follow_the_dtls_roles_and_simultaneous_opens_do_not_meet() {
    let (mut pair, ..) = connected(&link(50), 3);
    for number in 0..20 {
        let label = format!("glare {number}");
        for side in BOTH {
            let now = pair.now;
            pair.peer(side).connection.create_data_channel(now, &label, DataChannelInit::default()).unwrap();
        }
        pair.run_for(Duration::from_millis(1));
    }
    // The answerer is the DTLS client, and takes the even ids.
    for (side, parity) in [(Side::Left, 0), (Side::Right, 1)] {
        for number in 0..20 {
            let info = arrival(&mut pair, side, &format!("glare {number}"));
            assert_eq!(info.id.unwrap() % 2, parity, "made by the other side");
        }
    }
}

#[test]
fn negotiated_channels_need_no_word() {
    let mut pair = Pair::with_data_channels(&link(10), 4);
    let init = DataChannelInit { negotiated: true, id: Some(7), ..DataChannelInit::default() };
    let [left, right] = BOTH.map(|side| create(&mut pair, side, "agreed", init.clone()).channel);
    pair.negotiate(Side::Left);
    pair.run_until(Duration::from_secs(5), |pair| {
        [(Side::Left, left), (Side::Right, right)]
            .iter()
            .all(|(side, id)| state(pair, *side, *id) == DataChannelState::Open)
    });
    send(&mut pair, Side::Left, left, text("a"));
    send(&mut pair, Side::Right, right, text("b"));
    for (side, channel, message) in [(Side::Right, right, "a"), (Side::Left, left, "b")] {
        received(&mut pair, side, 1, Duration::from_secs(5));
        assert_eq!(messages(&pair, side)[0], (channel, text(message)));
        assert!(incoming(&pair, side, "agreed").is_none());
    }
}

#[test]
fn six_round_trips_after_the_answer_it_is_open() {
    let mut pair = Pair::with_data_channels(&link(25), 5);
    create(&mut pair, Side::Left, "quick", DataChannelInit::default());
    pair.negotiate(Side::Left);
    let start = pair.now;
    arrival(&mut pair, Side::Right, "quick");
    let took = pair.now - start;
    assert!(took <= Duration::from_millis(300), "ICE, DTLS 1.2 and SCTP: {took:?}");
}

#[test]
fn channels_can_join_a_call_later() {
    let mut pair = Pair::with_data_channels(&link(10), 6);
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Opus), "sound");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).unwrap();
    pair.right.events.clear();
    let made = create(&mut pair, Side::Right, "later", DataChannelInit::default());
    assert!(pair.right.told(&ConnectionEvent::NegotiationNeeded));
    assert_eq!(pair.right.connection.data_channels().state(), None);
    pair.negotiate(Side::Right);
    let came = arrival(&mut pair, Side::Left, "later");
    send(&mut pair, Side::Right, made.channel, text("here"));
    received(&mut pair, Side::Left, 1, Duration::from_secs(1));
    assert_eq!(messages(&pair, Side::Left)[0].0, came.channel);
    pair.right.events.clear();
    create(&mut pair, Side::Right, "and another", DataChannelInit::default());
    assert!(!pair.right.told(&ConnectionEvent::NegotiationNeeded), "the m-line is there");
    assert_eq!(pair.right.connection.data_channels().state(), Some(SctpTransportState::Connected));
}

#[test]
fn a_thousand_channels_on_one_connection() {
    let (mut pair, ..) = connected(&link(5), 7);
    let made: Vec<_> = (0..1_000)
        .map(|number| create(&mut pair, Side::Left, &number.to_string(), DataChannelInit::default()).channel)
        .collect();
    let opened = |event: &DataChannelEvent| matches!(event, DataChannelEvent::Incoming(_));
    let all = pair.run_until(Duration::from_secs(20), |pair| count(pair, Side::Right, opened) == 1_001);
    assert!(all.is_some());
    for (number, channel) in made.iter().enumerate() {
        send(&mut pair, Side::Left, *channel, text(&format!("to {number}")));
    }
    received(&mut pair, Side::Right, 1_000, Duration::from_secs(20));
    for (channel, message) in messages(&pair, Side::Right) {
        let label = pair.right.connection.data_channels().info(*channel).unwrap().label;
        assert_eq!(*message, text(&format!("to {label}")));
    }
}

#[test]
fn every_version_of_dtls_carries_them() {
    for version in [DtlsVersion::V1_2, DtlsVersion::V1_3, DtlsVersion::Auto] {
        let mut pair = Pair::with_data_channels_over(&link(5), 8, version);
        let made = create(&mut pair, Side::Left, "any", DataChannelInit::default()).channel;
        pair.negotiate(Side::Left);
        arrival(&mut pair, Side::Right, "any");
        for number in 0..16 {
            send(&mut pair, Side::Left, made, binary(65_536, number));
        }
        received(&mut pair, Side::Right, 16, Duration::from_secs(10));
        assert!((0..16).all(|number| messages(&pair, Side::Right)[usize::from(number)].1 == binary(65_536, number)));
    }
}
