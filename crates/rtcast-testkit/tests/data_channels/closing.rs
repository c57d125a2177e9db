//! How channels end.

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::data_channel::{DataChannelError, DataChannelEvent, DataChannelInit, DataChannelState};
use rtcast_proto::jsep::SignalingState;
use rtcast_testkit::{Link, Pair, Side};

use crate::support::{arrival, binary, connected, count, create, link, messages, received, send, state, text};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn what_was_sent_before_the_end_arrives_before_it() {
    let (mut pair, left, right) = connected(&link(20), 1);
    pair.set_link(&Link { loss: 0.1, ..link(20) });
    for number in 0..10 {
        send(&mut pair, Side::Left, left, binary(30_000, number));
    }
    pair.with(Side::Left, |connection, _| connection.close_data_channel(left));
    assert_eq!(state(&pair, Side::Left, left), DataChannelState::Closing);
    let late = pair.with(Side::Left, |connection, now| connection.send_data(now, left, text("late")));
    assert_eq!(late, Err(DataChannelError::NotOpen { state: "closing" }));
    let closed = |pair: &Pair| {
        state(pair, Side::Left, left) == DataChannelState::Closed
            && state(pair, Side::Right, right) == DataChannelState::Closed
    };
    assert!(pair.run_until(LIMIT, closed).is_some());
    assert_eq!(messages(&pair, Side::Right).len(), 10);
    assert!(pair.right.told(&ConnectionEvent::DataChannel(DataChannelEvent::Closing { channel: right })));
    for (side, channel) in [(Side::Left, left), (Side::Right, right)] {
        let end = DataChannelEvent::Closed { channel, reason: None };
        assert_eq!(count(&pair, side, |event| *event == end), 1);
    }
}

#[test]
fn both_ends_may_close_at_once() {
    let (mut pair, left, right) = connected(&link(20), 2);
    pair.left.connection.close_data_channel(left);
    pair.right.connection.close_data_channel(right);
    let closed = |pair: &Pair| {
        state(pair, Side::Left, left) == DataChannelState::Closed
            && state(pair, Side::Right, right) == DataChannelState::Closed
    };
    let took = pair.run_until(LIMIT, closed).unwrap();
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn ids_are_used_again_and_old_messages_do_not_come_on_new_channels() {
    let (mut pair, first, _) = connected(&link(10), 3);
    pair.with(Side::Left, |connection, _| connection.close_data_channel(first));
    pair.run_for(Duration::from_secs(1));
    pair.set_link(&Link { loss: 0.05, jitter: Duration::from_millis(5), ..link(10) });
    let init = DataChannelInit { negotiated: true, id: Some(9), ..DataChannelInit::default() };
    for round in 0..50 {
        let label = format!("round {round}");
        let [left, right] = [Side::Left, Side::Right].map(|side| create(&mut pair, side, &label, init.clone()).channel);
        pair.right.messages.clear();
        send(&mut pair, Side::Left, left, text(&label));
        received(&mut pair, Side::Right, 1, LIMIT);
        assert_eq!(*messages(&pair, Side::Right), [(right, text(&label))]);
        let closer = if round % 2 == 0 { (Side::Left, left) } else { (Side::Right, right) };
        pair.with(closer.0, |connection, _| connection.close_data_channel(closer.1));
        let gone = pair.run_until(LIMIT, |pair| {
            state(pair, Side::Left, left) == DataChannelState::Closed
                && state(pair, Side::Right, right) == DataChannelState::Closed
        });
        assert!(gone.is_some(), "round {round}");
    }
}

#[test]
fn the_end_of_the_connection_is_the_end_of_its_channels() {
    let (mut pair, left, right) = connected(&link(10), 4);
    pair.with(Side::Left, |connection, now| connection.close(now));
    assert_eq!(state(&pair, Side::Left, left), DataChannelState::Closed);
    let took = pair.run_until(LIMIT, |pair| state(pair, Side::Right, right) == DataChannelState::Closed);
    assert!(took.unwrap() <= Duration::from_millis(15), "the peer is told at once: {took:?}");
    let late =
        pair.with(Side::Left, |connection, now| connection.create_data_channel(now, "x", DataChannelInit::default()));
    assert_eq!(late.unwrap_err().name(), "InvalidStateError");
}

#[test]
fn a_channel_that_was_never_open_is_closed_at_once() {
    let mut pair = Pair::with_data_channels(&link(10), 5);
    let made = create(&mut pair, Side::Left, "never", DataChannelInit::default()).channel;
    pair.with(Side::Left, |connection, _| connection.close_data_channel(made));
    assert_eq!(state(&pair, Side::Left, made), DataChannelState::Closed);
    create(&mut pair, Side::Left, "other", DataChannelInit::default());
    pair.negotiate(Side::Left);
    assert_eq!(pair.left.connection.signaling_state(), SignalingState::Stable);
    arrival(&mut pair, Side::Right, "other");
    let incoming = |event: &DataChannelEvent| matches!(event, DataChannelEvent::Incoming(_));
    assert_eq!(count(&pair, Side::Right, incoming), 1);
}

#[test]
fn channels_that_the_peer_rejects_are_closed_and_say_why() {
    let mut pair = Pair::with_plain_right(&link(10), 6);
    let made = create(&mut pair, Side::Left, "unwanted", DataChannelInit::default()).channel;
    pair.negotiate(Side::Left);
    assert_eq!(state(&pair, Side::Left, made), DataChannelState::Closed);
    let told = |event: &DataChannelEvent| matches!(event, DataChannelEvent::Closed { reason: Some(reason), .. } if reason.contains("rejected"));
    assert_eq!(count(&pair, Side::Left, told), 1);
}
