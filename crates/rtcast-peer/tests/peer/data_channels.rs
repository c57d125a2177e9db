//! Data channels of two peer connections of one process, over loopback.

use std::time::{Duration, Instant};

use rtcast_peer::{
    Configuration, DataChannel, DataChannelInit, DataChannelMessage, DataChannelState, EventStream, PeerConnection,
    PeerConnectionEvent, PeerConnectionState, SctpTransportState,
};

use crate::support::{connect, endpoint, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

async fn next_channel(events: &mut EventStream) -> DataChannel {
    loop {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("in time").expect("an event");
        if let PeerConnectionEvent::DataChannel(channel) = event {
            return channel;
        }
    }
}

struct Two {
    left: PeerConnection,
    right: PeerConnection,
    events: EventStream,
    ours: DataChannel,
    theirs: DataChannel,
}

/// Two connections with a channel between them.
async fn two(init: DataChannelInit) -> Two {
    let (left, right) = (endpoint(1).await, endpoint(1).await);
    let left = PeerConnection::new(Configuration::on(&left)).await.unwrap();
    let right = PeerConnection::new(Configuration::on(&right)).await.unwrap();
    let mut events = right.events();
    let ours = left.create_data_channel("first", init).await.unwrap();
    connect(&left, &right).await;
    let theirs = next_channel(&mut events).await;
    tokio::time::timeout(LIMIT, ours.opened()).await.unwrap().unwrap();
    Two { left, right, events, ours, theirs }
}

async fn next(channel: &DataChannel) -> Option<DataChannelMessage> {
    tokio::time::timeout(LIMIT, channel.recv()).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_and_names_are_told() {
    let init = DataChannelInit {
        ordered: false,
        max_retransmits: Some(5),
        protocol: "chat".to_owned(),
        ..DataChannelInit::default()
    };
    let two = two(init).await;
    let (ours, theirs) = (&two.ours, &two.theirs);
    for channel in [ours, theirs] {
        assert_eq!((channel.label(), channel.protocol(), channel.ordered()), ("first", "chat", false));
        assert_eq!(
            (channel.max_retransmits(), channel.max_packet_life_time(), channel.negotiated()),
            (Some(5), None, false)
        );
        assert_eq!((channel.id(), channel.ready_state()), (ours.id(), DataChannelState::Open));
    }
    ours.send_text("grüß dich").await.unwrap();
    assert_eq!(next(theirs).await, Some(DataChannelMessage::Text("grüß dich".to_owned())));
    for length in [0, 1, 100_000, 262_144] {
        theirs.send(vec![7; length]).await.unwrap();
        assert_eq!(next(ours).await, Some(DataChannelMessage::Binary(vec![7; length].into())));
    }
    let error = ours.send(vec![0; 262_145]).await.unwrap_err();
    assert_eq!(error.name(), "TypeError");
    let sctp = two.left.sctp().await.unwrap().unwrap();
    assert_eq!(
        (sctp.state, sctp.max_message_size, sctp.max_channels),
        (SctpTransportState::Connected, Some(262_144), Some(65_535))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_the_sctp_transport_are_told() {
    let new = async || PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let (left, right) = (new().await, new().await);
    let mut events = left.events();
    let channel = left.create_data_channel("first", DataChannelInit::default()).await.unwrap();
    connect(&left, &right).await;
    tokio::time::timeout(LIMIT, channel.opened()).await.unwrap().unwrap();
    right.close().await;
    let mut states = Vec::new();
    while states.last() != Some(&SctpTransportState::Closed) {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("in time").expect("an event");
        if let PeerConnectionEvent::SctpTransportStateChange(state) = event {
            states.push(state);
        }
    }
    assert_eq!(states, [SctpTransportState::Connecting, SctpTransportState::Connected, SctpTransportState::Closed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_waits_and_its_buffer_empties() {
    let two = two(DataChannelInit::default()).await;
    two.ours.set_max_buffered_amount(1 << 20);
    two.ours.set_buffered_amount_low_threshold(100_000);
    let sending = two.ours.clone();
    // Nobody reads: what the reader's window and the sender's buffer hold is all that goes.
    let task = tokio::spawn(async move {
        for number in 0..1_000_u32 {
            sending.send([number.to_be_bytes().to_vec(), vec![0; 16_380]].concat()).await.unwrap();
        }
    });
    // Whatever room there is just now, it is soon taken, and then nothing more is.
    let mut between = 0;
    let refused = loop {
        match two.ours.try_send(DataChannelMessage::Binary(vec![0; 262_144].into())) {
            Ok(()) => between += 1,
            Err(error) => break error,
        }
        assert!(between < 100, "the buffer has no bound");
    };
    assert_eq!(refused.name(), "OperationError");
    assert!(two.ours.buffered_amount() > 500_000, "{}", two.ours.buffered_amount());
    let mut number = 0_u32;
    while number < 1_000 || between > 0 {
        let message = next(&two.theirs).await.unwrap();
        if message.as_bytes().len() == 262_144 {
            between -= 1;
            continue;
        }
        assert_eq!(message.as_bytes()[..4], number.to_be_bytes(), "in order");
        number += 1;
    }
    task.await.unwrap();
    tokio::time::timeout(LIMIT, two.ours.buffered_amount_low()).await.unwrap();
    assert!(two.ours.buffered_amount() <= 100_000);
    let start = Instant::now();
    while two.ours.buffered_amount() > 0 {
        assert!(start.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_see_every_message_also_those_from_before() {
    let two = two(DataChannelInit::default()).await;
    for number in 0..100_u32 {
        two.ours.send(number.to_be_bytes().to_vec()).await.unwrap();
    }
    let echo = two.theirs.clone();
    two.theirs.on_message(move |message| echo.try_send(message).unwrap());
    for number in 100..200_u32 {
        two.ours.send(number.to_be_bytes().to_vec()).await.unwrap();
    }
    for number in 0..200_u32 {
        assert_eq!(next(&two.ours).await.unwrap().as_bytes(), number.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_end_by_closing_dropping_and_with_their_connection() {
    let mut two = two(DataChannelInit::default()).await;
    let kept = two.left.create_data_channel("kept", DataChannelInit::default()).await.unwrap();
    let dropped = two.left.create_data_channel("dropped", DataChannelInit::default()).await.unwrap();
    let (kept_there, dropped_there) = (next_channel(&mut two.events).await, next_channel(&mut two.events).await);
    assert_eq!((kept_there.label(), dropped_there.label()), ("kept", "dropped"));

    two.ours.send_text("last").await.unwrap();
    two.ours.close();
    two.ours.close();
    assert_eq!(next(&two.theirs).await, Some(DataChannelMessage::Text("last".to_owned())));
    assert_eq!(next(&two.theirs).await, None);
    assert_eq!(next(&two.ours).await, None);
    assert_eq!(two.ours.closed().await, None);
    assert_eq!(two.ours.send_text("late").await.unwrap_err().name(), "InvalidStateError");

    drop(dropped);
    assert_eq!(next(&dropped_there).await, None);

    assert_eq!(kept.ready_state(), DataChannelState::Open);
    two.right.close().await;
    assert_eq!(next(&kept).await, None);
    assert_eq!(next(&kept_there).await, None);
    wait_for(&two.left, PeerConnectionState::Closed).await;
    assert!(two.left.create_data_channel("none", DataChannelInit::default()).await.is_err());
}
