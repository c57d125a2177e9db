//! Many small messages over a bad network while channels come and go; memory must stay flat.
//!
//! `RTCAST_SOAK_MESSAGES=1000000` makes it the long one.

use std::collections::HashMap;
use std::time::Duration;

use rtcast_proto::data_channel::{DataChannelId, DataChannelInit, DataChannelMessage};
use rtcast_testkit::{Link, Random, Side};

use crate::support::{connected, link};

/// Channels that are open at a time.
const CHANNELS: usize = 8;

/// Messages that a channel lives for, at most.
const LIFE: u64 = 400;

/// Messages that are on their way at a time, at most: the network loses more than it would carry of them all.
const WAITING: u64 = 2_000;

struct Sender {
    channel: DataChannelId,
    label: String,
    next: u64,
    life: u64,
}

#[test]
fn messages_keep_their_order_over_loss_and_churn() {
    let messages: u64 = std::env::var("RTCAST_SOAK_MESSAGES").map_or(200_000, |text| text.parse().expect("a number"));
    let (mut pair, ..) = connected(&link(5), 9);
    pair.set_link(&Link { loss: 0.02, duplication: 0.01, jitter: Duration::from_millis(4), ..link(5) });
    let mut random = Random::new(11);
    let (mut made, mut sent, mut received) = (0, 0, 0);
    let mut senders: Vec<Sender> = Vec::new();
    // What the right side expects next on each channel, and how many there are on those that are closed.
    let mut expected: HashMap<String, u64> = HashMap::new();
    let mut ends: HashMap<String, u64> = HashMap::new();
    let mut highest = 0;
    while received < messages {
        while senders.len() < CHANNELS && sent < messages {
            let label = format!("channel {made}");
            let init = DataChannelInit { protocol: "soak".to_owned(), ..DataChannelInit::default() };
            let created = pair.with(Side::Left, |connection, now| connection.create_data_channel(now, &label, init));
            let life = 1 + (random.fraction() * LIFE as f64) as u64;
            senders.push(Sender { channel: created.unwrap().channel, label, next: 0, life });
            made += 1;
        }
        let now = pair.now;
        senders.retain_mut(|sender| {
            for _ in 0..(random.fraction() * 12.0) as u64 {
                if sender.next < sender.life && sent < messages && sent - received < WAITING {
                    let length = (random.fraction() * 60.0) as usize;
                    let text = format!("{}|{}|{}", sender.label, sender.next, "x".repeat(length));
                    let message = DataChannelMessage::Text(text);
                    pair.left.connection.send_data(now, sender.channel, message).unwrap();
                    sender.next += 1;
                    sent += 1;
                }
            }
            let lives = sender.next < sender.life && sent < messages;
            if !lives {
                ends.insert(sender.label.clone(), sender.next);
                pair.left.connection.close_data_channel(sender.channel);
            }
            lives
        });
        pair.run_for(Duration::from_millis(3));
        for (_, message) in std::mem::take(&mut pair.right.messages) {
            let text = std::str::from_utf8(message.as_bytes()).unwrap();
            let mut parts = text.split('|');
            let (label, number) = (parts.next().unwrap(), parts.next().unwrap().parse::<u64>().unwrap());
            let next = expected.entry(label.to_owned()).or_default();
            assert_eq!(number, *next, "{label}");
            *next += 1;
            received += 1;
            if ends.get(label) == Some(next) {
                ends.remove(label);
                expected.remove(label);
            }
        }
        pair.left.events.clear();
        pair.right.events.clear();
        let open = pair.left.connection.data_channels().stats().len();
        highest = highest.max(open);
        assert!(open < 400, "{open} channels are left behind");
    }
    let ends = pair.run_until(Duration::from_secs(30), |pair| {
        pair.right.connection.data_channels().stats().len() == 1
            && pair.left.connection.data_channels().stats().len() == 1
    });
    assert!(ends.is_some(), "all are closed but the first");
    let (datagrams, lost) = pair.datagrams();
    println!("{received} messages on {made} channels, at most {highest} at a time; {datagrams} datagrams, {lost} lost");
    assert_eq!(received, messages);
    let stats = pair.left.connection.data_channels().association_stats().unwrap();
    assert_eq!(stats.bytes_in_flight, 0, "{stats:?}");
}
