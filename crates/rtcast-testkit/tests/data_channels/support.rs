//! What these tests share.

use std::time::Duration;

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::data_channel::{
    DataChannelEvent, DataChannelId, DataChannelInfo, DataChannelInit, DataChannelMessage, DataChannelState,
};
use rtcast_testkit::{Link, Pair, Side};

pub(crate) const BOTH: [Side; 2] = [Side::Left, Side::Right];

pub(crate) fn link(delay: u64) -> Link {
    Link { delay: Duration::from_millis(delay), ..Link::default() }
}

/// A pair that is connected, with a channel that was made by the left side: its two ends.
pub(crate) fn connected(link: &Link, seed: u64) -> (Pair, DataChannelId, DataChannelId) {
    let mut pair = Pair::with_data_channels(link, seed);
    let left = create(&mut pair, Side::Left, "first", DataChannelInit::default()).channel;
    pair.negotiate(Side::Left);
    let right = arrival(&mut pair, Side::Right, "first").channel;
    (pair, left, right)
}

pub(crate) fn create(pair: &mut Pair, side: Side, label: &str, init: DataChannelInit) -> DataChannelInfo {
    pair.with(side, |connection, now| connection.create_data_channel(now, label, init)).unwrap()
}

pub(crate) fn incoming(pair: &Pair, side: Side, label: &str) -> Option<DataChannelInfo> {
    let peer = if side == Side::Left { &pair.left } else { &pair.right };
    peer.events.iter().rev().find_map(|event| match event {
        ConnectionEvent::DataChannel(DataChannelEvent::Incoming(info)) if info.label == label => Some(info.clone()),
        _ => None,
    })
}

/// Waits for a channel of that name at `side`.
pub(crate) fn arrival(pair: &mut Pair, side: Side, label: &str) -> DataChannelInfo {
    let came = pair.run_until(Duration::from_secs(30), |pair| incoming(pair, side, label).is_some());
    assert!(came.is_some(), "{label:?} did not come");
    incoming(pair, side, label).unwrap()
}

pub(crate) fn text(text: &str) -> DataChannelMessage {
    DataChannelMessage::Text(text.to_owned())
}

pub(crate) fn binary(length: usize, seed: u8) -> DataChannelMessage {
    DataChannelMessage::Binary((0..length).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect())
}

pub(crate) fn send(pair: &mut Pair, side: Side, channel: DataChannelId, message: DataChannelMessage) {
    pair.with(side, |connection, now| connection.send_data(now, channel, message)).unwrap();
}

/// Waits until `count` messages have come to `side`.
pub(crate) fn received(pair: &mut Pair, side: Side, count: usize, limit: Duration) -> Duration {
    let done = |pair: &Pair| messages(pair, side).len() >= count;
    let took = pair.run_until(limit, done);
    took.unwrap_or_else(|| panic!("{} of {count} messages came", messages(pair, side).len()))
}

pub(crate) const fn messages(pair: &Pair, side: Side) -> &Vec<(DataChannelId, DataChannelMessage)> {
    match side {
        Side::Left => &pair.left.messages,
        Side::Right => &pair.right.messages,
    }
}

pub(crate) fn state(pair: &Pair, side: Side, channel: DataChannelId) -> DataChannelState {
    let connection = if side == Side::Left { &pair.left.connection } else { &pair.right.connection };
    connection.data_channels().info(channel).map_or(DataChannelState::Closed, |info| info.state)
}

pub(crate) fn count(pair: &Pair, side: Side, matches: impl Fn(&DataChannelEvent) -> bool) -> usize {
    let peer = if side == Side::Left { &pair.left } else { &pair.right };
    let events = peer.events.iter();
    events.filter(|event| matches!(event, ConnectionEvent::DataChannel(event) if matches(event))).count()
}
