//! What is refused, and how the buffers fill and empty.

use std::time::Duration;

use rtcast_proto::data_channel::{DataChannelError, DataChannelEvent, DataChannelInit};
use rtcast_testkit::{Pair, Side};

use crate::support::{binary, connected, count, create, link, received, send, text};

#[test]
fn settings_that_contradict_each_other_are_refused_in_words() {
    let mut pair = Pair::with_data_channels(&link(10), 1);
    let both =
        DataChannelInit { max_retransmits: Some(1), max_packet_life_time: Some(1), ..DataChannelInit::default() };
    let no_id = DataChannelInit { negotiated: true, ..DataChannelInit::default() };
    let bad_id = DataChannelInit { negotiated: true, id: Some(65_535), ..DataChannelInit::default() };
    let long = "x".repeat(65_536);
    let cases = [
        ("a", both, "set one of them"),
        ("a", no_id, "the same id"),
        ("a", bad_id, "65,534"),
        (&long, DataChannelInit::default(), "shorter"),
    ];
    for (label, init, hint) in cases {
        let error =
            pair.with(Side::Left, |connection, now| connection.create_data_channel(now, label, init)).unwrap_err();
        assert_eq!(error.name(), "TypeError");
        assert!(error.to_string().contains(hint), "{error}");
    }
    let taken = DataChannelInit { negotiated: true, id: Some(4), ..DataChannelInit::default() };
    create(&mut pair, Side::Left, "one", taken.clone());
    let error = pair.with(Side::Left, |connection, now| connection.create_data_channel(now, "two", taken)).unwrap_err();
    assert_eq!(error.name(), "OperationError");
    let mut plain = Pair::new(&link(10), 1);
    let off =
        plain.with(Side::Left, |connection, now| connection.create_data_channel(now, "x", DataChannelInit::default()));
    assert!(off.unwrap_err().to_string().contains("with_data_channels"));
}

#[test]
fn a_message_is_sent_while_open_and_up_to_the_peer_s_limit() {
    let mut pair = Pair::with_data_channels(&link(10), 2);
    let made = create(&mut pair, Side::Left, "early", DataChannelInit::default()).channel;
    let early = pair.with(Side::Left, |connection, now| connection.send_data(now, made, text("early")));
    assert_eq!(early, Err(DataChannelError::NotOpen { state: "connecting" }));
    let (mut pair, left, _) = connected(&link(10), 2);
    let error = pair.with(Side::Left, |connection, now| connection.send_data(now, left, binary(262_145, 0)));
    assert_eq!(error, Err(DataChannelError::TooLarge { length: 262_145, limit: 262_144 }));
    assert_eq!(error.unwrap_err().name(), "TypeError");
    send(&mut pair, Side::Left, left, binary(262_144, 0));
    received(&mut pair, Side::Right, 1, Duration::from_secs(5));
}

#[test]
fn the_buffered_amount_falls_as_the_peer_acknowledges_and_has_its_limit() {
    let (mut pair, left, _) = connected(&link(50), 3);
    pair.run_for(Duration::from_millis(500));
    let buffered = |pair: &Pair| pair.left.connection.data_channels().info(left).unwrap().buffered_amount;
    assert_eq!(buffered(&pair), 0, "the message that opened the channel is acknowledged");
    send(&mut pair, Side::Left, left, binary(100_000, 0));
    assert_eq!(buffered(&pair), 100_000);
    pair.run_for(Duration::from_millis(99));
    assert_eq!(buffered(&pair), 100_000, "nothing can be acknowledged within the round trip");
    pair.run_for(Duration::from_millis(10));
    assert!((1..100_000).contains(&buffered(&pair)), "the first window is");
    pair.run_for(Duration::from_secs(2));
    assert_eq!(buffered(&pair), 0);
    let settled = |event: &DataChannelEvent| matches!(event, DataChannelEvent::Settled { .. });
    assert!(count(&pair, Side::Left, settled) > 2);
    // 64 MiB are kept, and not a byte more.
    let mut kept = 0;
    let error = loop {
        let now = pair.now;
        match pair.left.connection.send_data(now, left, binary(262_144, 0)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(kept, 256);
    assert_eq!(error.name(), "OperationError");
}
