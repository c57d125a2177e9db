//! All channels of a connection: W3C's `RTCSctpTransport`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use super::channel::Channel;
use super::dcep::{Dcep, PPID_BINARY, PPID_BINARY_EMPTY, PPID_DCEP, PPID_STRING, PPID_STRING_EMPTY};
use super::{DataChannelError, DataChannelId, DataChannelInfo, DataChannelInit, DataChannelMessage, DataChannelState};
use crate::dtls::DtlsRole;
use crate::jsep::NegotiatedData;
use crate::sctp::{
    Association, OutgoingMessage, Reliability, SctpAssociation, SctpConfig, SctpState, SctpStats, StreamId,
};

/// Ids run from 0 to 65,534 (RFC 8831 §6.2).
const MOST_CHANNELS: u16 = 65_535;

/// W3C's `RTCSctpTransportState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SctpTransportState {
    /// The association is being made.
    #[default]
    Connecting,
    /// Messages flow.
    Connected,
    /// Ended.
    Closed,
}

impl SctpTransportState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        }
    }
}

/// Something that happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataChannelEvent {
    /// W3C's `datachannel`: the peer has made one, and it is open.
    Incoming(DataChannelInfo),
    /// W3C's `open`, of a channel that was made here.
    Open {
        /// The channel.
        channel: DataChannelId,
        /// W3C's `id`.
        id: u16,
    },
    /// W3C's `message`. Its length counts against what the peer may send, until
    /// [`consumed`](DataChannels::consumed) says that it was read.
    Message {
        /// The channel.
        channel: DataChannelId,
        /// The message.
        message: DataChannelMessage,
    },
    /// Bytes of the channel were acknowledged, or given up: `buffered_amount` has fallen.
    Settled {
        /// The channel.
        channel: DataChannelId,
        /// By how much.
        bytes: usize,
    },
    /// W3C's `closing`: the peer has begun to close it.
    Closing {
        /// The channel.
        channel: DataChannelId,
    },
    /// W3C's `close`.
    Closed {
        /// The channel.
        channel: DataChannelId,
        /// What went wrong, if anything did.
        reason: Option<String>,
    },
    /// W3C's `statechange` of the `RTCSctpTransport`.
    Transport(SctpTransportState),
    /// W3C's `maxMessageSize` is known or has changed: the largest message that may be sent, `None` for no limit.
    MaxMessageSize(Option<u64>),
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChannelCounters {
    pub(super) messages_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) messages_received: u64,
    pub(super) bytes_received: u64,
}

/// What a channel counts: the matter of W3C's `RTCDataChannelStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannelStats {
    /// The channel as it stands.
    pub info: DataChannelInfo,
    /// Messages sent.
    pub messages_sent: u64,
    /// Bytes of messages sent.
    pub bytes_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of messages received.
    pub bytes_received: u64,
}

/// The channels of one connection, driven without I/O.
///
/// Channels may be made before there is an association; `start` makes that, once it was negotiated, and
/// `connect` opens it, once DTLS is connected.
pub struct DataChannels {
    pub(super) association: Option<Box<dyn SctpAssociation>>,
    pub(super) channels: HashMap<DataChannelId, Channel>,
    pub(super) streams: HashMap<StreamId, DataChannelId>,
    pub(super) events: VecDeque<DataChannelEvent>,
    pub(super) state: SctpTransportState,
    pub(super) role: Option<DtlsRole>,
    next: u64,
    next_stream: u16,
    remote_max_message_size: u64,
    max_message_size: usize,
    opened: u64,
    pub(super) closed: u64,
}

impl DataChannels {
    /// No channels; messages of up to `max_message_size` bytes will be taken.
    pub fn new(max_message_size: usize) -> Self {
        Self {
            association: None,
            channels: HashMap::new(),
            streams: HashMap::new(),
            events: VecDeque::new(),
            state: SctpTransportState::Connecting,
            role: None,
            next: 0,
            next_stream: 0,
            remote_max_message_size: 65_536,
            max_message_size,
            opened: 0,
            closed: 0,
        }
    }

    /// Makes a channel: W3C's `createDataChannel`.
    ///
    /// # Errors
    /// [`DataChannelError`] if the settings contradict each other, the id is taken, or none is free.
    pub fn create(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannelInfo, DataChannelError> {
        init.check(label)?;
        if self.state == SctpTransportState::Closed && self.association.is_some() {
            return Err(DataChannelError::ConnectionClosed);
        }
        // W3C webrtc §6.1: without negotiation an id that is given counts for nothing.
        let init = DataChannelInit { id: init.id.filter(|_| init.negotiated), ..init };
        let mut channel = Channel::new(label.to_owned(), init);
        match channel.stream {
            Some(stream) if self.streams.contains_key(&stream) => {
                return Err(DataChannelError::NoId { problem: format!("the id {stream} is in use") });
            }
            Some(stream) if stream.0 >= self.max_channels() => {
                let limit = self.max_channels();
                return Err(DataChannelError::NoId {
                    problem: format!("the id {stream} is beyond the {limit} of the peer"),
                });
            }
            None if self.role.is_some() => channel.stream = Some(self.free_stream()?),
            _ => {}
        }
        if self.channels.len() >= usize::from(MOST_CHANNELS) {
            return Err(DataChannelError::NoId { problem: "there are 65,535 channels".to_owned() });
        }
        let id = self.insert(channel);
        if self.is_connected() {
            self.open(now, id);
        }
        self.info(id).ok_or(DataChannelError::Closed)
    }

    /// A channel as it stands; `None` once it is closed.
    pub fn info(&self, channel: DataChannelId) -> Option<DataChannelInfo> {
        self.channels.get(&channel).map(|entry| entry.info(channel))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`DataChannelError`] if the channel is not open, the peer takes no message so long, or too much waits.
    pub fn send(
        &mut self,
        now: Instant,
        channel: DataChannelId,
        message: DataChannelMessage,
    ) -> Result<(), DataChannelError> {
        let entry = self.channels.get_mut(&channel).ok_or(DataChannelError::Closed)?;
        let (DataChannelState::Open, Some(stream), Some(association)) =
            (entry.state, entry.stream, &mut self.association)
        else {
            return Err(DataChannelError::NotOpen { state: entry.state.as_str() });
        };
        let length = message.len();
        // RFC 8841 §6.1: 0 stands for no limit.
        if self.remote_max_message_size != 0 && length as u64 > self.remote_max_message_size {
            return Err(DataChannelError::TooLarge { length, limit: self.remote_max_message_size });
        }
        // RFC 8831 §6.6: an empty message is a byte that counts for nothing.
        let (ppid, data) = match message {
            DataChannelMessage::Text(text) if text.is_empty() => (PPID_STRING_EMPTY, Bytes::from_static(&[0])),
            DataChannelMessage::Text(text) => (PPID_STRING, Bytes::from(text)),
            DataChannelMessage::Binary(data) if data.is_empty() => (PPID_BINARY_EMPTY, Bytes::from_static(&[0])),
            DataChannelMessage::Binary(data) => (PPID_BINARY, data),
        };
        let bytes = data.len();
        association.send(
            now,
            OutgoingMessage {
                stream,
                ppid,
                data,
                // RFC 8832 §6: nothing overtakes the message that opens the channel.
                unordered: !entry.init.ordered && entry.acknowledged,
                reliability: entry.init.reliability(),
            },
        )?;
        entry.buffered += bytes;
        entry.stats.messages_sent += 1;
        entry.stats.bytes_sent += length as u64;
        Ok(())
    }

    /// Begins to close a channel; what was sent before still arrives. A channel that is gone is left alone.
    pub fn close(&mut self, channel: DataChannelId) {
        let Some(entry) = self.channels.get_mut(&channel) else { return };
        match (entry.state, entry.stream, &mut self.association) {
            (DataChannelState::Open, Some(stream), Some(association)) => {
                entry.state = DataChannelState::Closing;
                // RFC 8831 §6.7.
                association.reset_stream(stream);
                self.drain();
            }
            (DataChannelState::Connecting, ..) => self.remove(channel, None),
            _ => {}
        }
    }

    /// Says that the application has read so many bytes.
    pub fn consumed(&mut self, bytes: usize) {
        if let Some(association) = &mut self.association {
            association.consumed(bytes);
        }
    }

    /// W3C's `RTCSctpTransport.state`; `None` before one was negotiated.
    pub fn state(&self) -> Option<SctpTransportState> {
        self.association.is_some().then_some(self.state)
    }

    /// W3C's `RTCSctpTransport.maxMessageSize`: the largest message that may be sent, in bytes; `None` for no limit.
    pub const fn max_message_size(&self) -> Option<u64> {
        match self.remote_max_message_size {
            0 => None,
            size => Some(size),
        }
    }

    /// W3C's `RTCSctpTransport.maxChannels`: how many channels there may be; the most there can ever be before it is
    /// connected.
    pub fn max_channels(&self) -> u16 {
        self.association.as_ref().and_then(|association| association.max_streams()).unwrap_or(MOST_CHANNELS)
    }

    /// Channels that were opened, and those that were closed again.
    pub const fn opened_and_closed(&self) -> (u64, u64) {
        (self.opened, self.closed)
    }

    /// The counters of all channels that are not closed.
    pub fn stats(&self) -> Vec<DataChannelStats> {
        let mut all: Vec<DataChannelStats> = self
            .channels
            .iter()
            .map(|(id, entry)| DataChannelStats {
                info: entry.info(*id),
                messages_sent: entry.stats.messages_sent,
                bytes_sent: entry.stats.bytes_sent,
                messages_received: entry.stats.messages_received,
                bytes_received: entry.stats.bytes_received,
            })
            .collect();
        all.sort_unstable_by_key(|stats| stats.info.channel);
        all
    }

    /// The counters of the association; `None` before one was negotiated.
    pub fn association_stats(&self) -> Option<SctpStats> {
        self.association.as_ref().map(|association| association.stats())
    }

    /// Takes what was negotiated: the first time it makes the association, later it renews the limits.
    pub(crate) fn start(&mut self, data: &NegotiatedData, role: DtlsRole, seed: [u8; 32]) {
        let first = self.association.is_none();
        if first || self.remote_max_message_size != data.max_message_size {
            self.remote_max_message_size = data.max_message_size;
            self.events.push_back(DataChannelEvent::MaxMessageSize(self.max_message_size()));
        }
        if !first {
            return;
        }
        let config = SctpConfig {
            local_port: data.local_port,
            remote_port: data.remote_port,
            max_receive_message_size: self.max_message_size,
            receive_buffer: SctpConfig::default().receive_buffer.max(self.max_message_size.saturating_mul(2)),
            ..SctpConfig::default()
        };
        self.association = Some(Box::new(Association::new(config, seed)));
        self.role = Some(role);
        self.events.push_back(DataChannelEvent::Transport(SctpTransportState::Connecting));
        // RFC 8832 §6: the DTLS client takes the even ids, the server the odd ones.
        let mut waiting: Vec<DataChannelId> =
            self.channels.iter().filter(|(_, entry)| entry.stream.is_none()).map(|(id, _)| *id).collect();
        waiting.sort_unstable();
        for id in waiting {
            match self.free_stream() {
                Ok(stream) => {
                    self.streams.insert(stream, id);
                    if let Some(entry) = self.channels.get_mut(&id) {
                        entry.stream = Some(stream);
                    }
                }
                Err(error) => self.remove(id, Some(error.to_string())),
            }
        }
    }

    /// Opens the association; DTLS is connected.
    pub(crate) fn connect(&mut self, now: Instant) {
        if let Some(association) = &mut self.association {
            association.connect(now);
        }
    }

    /// Takes what DTLS has decrypted.
    pub(crate) fn handle_input(&mut self, now: Instant, packet: &[u8]) {
        let Some(association) = &mut self.association else { return };
        association.handle_input(now, packet);
        self.handle_events(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(association) = &mut self.association else { return };
        if association.poll_timeout().is_some_and(|at| at <= now) {
            association.handle_timeout(now);
            self.handle_events(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    /// Writes the next packet for DTLS. Returns whether there was one.
    pub(crate) fn poll_transmit(&mut self, now: Instant, packet: &mut Vec<u8>) -> bool {
        let Some(association) = &mut self.association else { return false };
        let written = association.poll_transmit(now, packet);
        if !written {
            // Messages may have been given up on the way.
            self.handle_events(now);
        }
        written
    }

    pub(crate) fn poll_event(&mut self) -> Option<DataChannelEvent> {
        self.events.pop_front()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Ends the association, and with it all channels; the peer is told, if that is still possible.
    pub(crate) fn end(&mut self, now: Instant, reason: Option<&str>) {
        if let Some(association) = &mut self.association {
            if association.state() != SctpState::Closed {
                association.abort(now);
            }
            while association.poll_event().is_some() {}
        }
        self.close_all(reason);
    }

    pub(super) fn close_all(&mut self, reason: Option<&str>) {
        if self.association.is_some() && self.state != SctpTransportState::Closed {
            self.events.push_back(DataChannelEvent::Transport(SctpTransportState::Closed));
        }
        self.state = SctpTransportState::Closed;
        let mut ids: Vec<DataChannelId> = self.channels.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.remove(id, reason.map(str::to_owned));
        }
    }

    /// Closes the channels that wait for an association.
    pub(crate) fn reject(&mut self, reason: &str) {
        let mut ids: Vec<DataChannelId> = self.channels.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.remove(id, Some(reason.to_owned())));
    }

    /// Whether there are channels, open or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == SctpTransportState::Connected
    }

    /// Opens a channel of ours: the peer is told, unless it knows by itself, and messages may follow at once.
    pub(super) fn open(&mut self, now: Instant, id: DataChannelId) {
        let (Some(entry), Some(association)) = (self.channels.get_mut(&id), &mut self.association) else { return };
        let Some(stream) = entry.stream else { return };
        if association.max_streams().is_some_and(|most| stream.0 >= most) {
            let reason = format!("the peer takes fewer channels than the id {stream} needs");
            return self.remove(id, Some(reason));
        }
        if !entry.init.negotiated {
            let open = Dcep::Open { label: entry.label.clone(), init: entry.init.clone() };
            let message = control(stream, &open);
            let bytes = message.data.len();
            if let Err(error) = association.send(now, message) {
                return self.remove(id, Some(error.to_string()));
            }
            entry.control += bytes;
        }
        entry.state = DataChannelState::Open;
        self.opened += 1;
        self.events.push_back(DataChannelEvent::Open { channel: id, id: stream.0 });
    }

    pub(super) const fn count_opened(&mut self) {
        self.opened += 1;
    }

    pub(super) fn insert(&mut self, channel: Channel) -> DataChannelId {
        let id = DataChannelId(self.next);
        self.next += 1;
        if let Some(stream) = channel.stream {
            self.streams.insert(stream, id);
        }
        self.channels.insert(id, channel);
        id
    }

    pub(super) fn remove(&mut self, id: DataChannelId, reason: Option<String>) {
        let Some(entry) = self.channels.remove(&id) else { return };
        if let Some(stream) = entry.stream {
            self.streams.remove(&stream);
        }
        if entry.state != DataChannelState::Connecting {
            self.closed += 1;
        }
        self.events.push_back(DataChannelEvent::Closed { channel: id, reason });
    }

    /// Handles what closing brings about at once.
    fn drain(&mut self) {
        if let Some(association) = &mut self.association {
            let events: Vec<_> = std::iter::from_fn(|| association.poll_event()).collect();
            for event in events {
                self.handle_reset(&event);
            }
        }
    }

    /// RFC 8832 §6: the next free id of our parity.
    fn free_stream(&mut self) -> Result<StreamId, DataChannelError> {
        let parity = u16::from(self.role == Some(DtlsRole::Server));
        let limit = self.max_channels();
        for _ in 0..=limit / 2 {
            let stream = self.next_stream | parity;
            self.next_stream = (self.next_stream & !1) + 2;
            if self.next_stream >= limit || self.next_stream < 2 {
                self.next_stream = 0;
            }
            if stream < limit && !self.streams.contains_key(&StreamId(stream)) {
                return Ok(StreamId(stream));
            }
        }
        Err(DataChannelError::NoId { problem: format!("all ids of our side below {limit} are in use") })
    }
}

/// A message about the channel itself.
pub(super) fn control(stream: StreamId, message: &Dcep) -> OutgoingMessage {
    OutgoingMessage {
        stream,
        ppid: PPID_DCEP,
        data: message.to_bytes().into(),
        unordered: false,
        reliability: Reliability::default(),
    }
}

impl fmt::Debug for DataChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannels")
            .field("state", &self.state)
            .field("channels", &self.channels.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Mid;

    struct Pair {
        now: Instant,
        left: DataChannels,
        right: DataChannels,
        /// Whether what the left side sends arrives.
        heard: bool,
    }

    impl Pair {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
        fn new() -> Self {
            let now = Instant::now();
            let data = NegotiatedData {
                media_line: 0,
                mid: Mid::new("0".to_owned()),
                local_port: 5000,
                remote_port: 5000,
                max_message_size: 65_536,
            };
            let [left, right] = [(DtlsRole::Client, 1), (DtlsRole::Server, 2)].map(|(role, seed)| {
                let mut channels = DataChannels::new(65_536);
                channels.start(&data, role, [seed; 32]);
                channels.connect(now);
                channels
            });
            let mut pair = Self { now, left, right, heard: true };
            pair.settle();
            pair
        }

        fn later(&mut self, milliseconds: u64) {
            self.now += std::time::Duration::from_millis(milliseconds);
            self.left.handle_timeout(self.now);
            self.right.handle_timeout(self.now);
            self.settle();
        }

        fn settle(&mut self) {
            let mut packet = Vec::new();
            for _ in 0..10 {
                while self.left.poll_transmit(self.now, &mut packet) {
                    if self.heard {
                        self.right.handle_input(self.now, &packet);
                    }
                }
                while self.right.poll_transmit(self.now, &mut packet) {
                    self.left.handle_input(self.now, &packet);
                }
            }
        }
    }

    fn incoming(channels: &mut DataChannels) -> Option<DataChannelInfo> {
        std::iter::from_fn(|| channels.poll_event()).find_map(|event| match event {
            DataChannelEvent::Incoming(info) => Some(info),
            _ => None,
        })
    }

    #[test]
    fn an_id_that_is_used_again_before_its_end_was_confirmed_is_a_new_channel() {
        let mut pair = Pair::new();
        let old = pair.left.create(pair.now, "old", DataChannelInit::default()).unwrap();
        pair.settle();
        let old_there = incoming(&mut pair.right).unwrap();
        // All acknowledgements are there.
        pair.later(50);
        pair.left.close(old.channel);
        // The right side learns of the end and ends its own side; what confirms that is lost.
        let mut packet = Vec::new();
        assert!(pair.left.poll_transmit(pair.now, &mut packet));
        pair.right.handle_input(pair.now, &packet);
        pair.heard = false;
        pair.settle();
        assert!(pair.left.info(old.channel).is_none(), "closed for the left side");
        assert_eq!(pair.right.info(old_there.channel).unwrap().state, DataChannelState::Closing);

        pair.heard = true;
        pair.left.next_stream = 0;
        let new = pair.left.create(pair.now, "new", DataChannelInit::default()).unwrap();
        assert_eq!(new.id, old.id);
        pair.settle();
        let new_there = incoming(&mut pair.right).unwrap();
        assert_eq!((new_there.label.as_str(), new_there.id), ("new", old.id));
        assert!(pair.right.info(old_there.channel).is_none());
        for _ in 0..3 {
            let text = DataChannelMessage::Text("still here".to_owned());
            pair.right.send(pair.now, new_there.channel, text.clone()).unwrap();
            pair.settle();
            let expected = DataChannelEvent::Message { channel: new.channel, message: text };
            assert!(std::iter::from_fn(|| pair.left.poll_event()).any(|event| event == expected));
            // The right side asks again for the confirmation.
            pair.later(1_000);
        }
    }
}
