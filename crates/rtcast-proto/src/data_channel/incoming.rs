//! What the association tells, made into what happens to channels.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use super::channel::Channel;
use super::dcep::{Dcep, PPID_BINARY, PPID_BINARY_EMPTY, PPID_DCEP, PPID_STRING, PPID_STRING_EMPTY};
use super::transport::{DataChannels, SctpTransportState, control};
use super::{DataChannelEvent, DataChannelId, DataChannelInit, DataChannelMessage, DataChannelState};
use crate::dtls::DtlsRole;
use crate::sctp::{PayloadProtocolId, SctpEvent, StreamId};

impl DataChannels {
    pub(super) fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.association.as_mut().and_then(|association| association.poll_event()) {
            match event {
                SctpEvent::Message { stream, ppid, data } => self.handle_message(now, stream, ppid, data),
                SctpEvent::Settled { stream, bytes } => self.handle_settled(stream, bytes),
                SctpEvent::Connected => {
                    self.state = SctpTransportState::Connected;
                    self.events.push_back(DataChannelEvent::Transport(self.state));
                    let mut ids: Vec<DataChannelId> = self.channels.keys().copied().collect();
                    ids.sort_unstable();
                    ids.into_iter().for_each(|id| self.open(now, id));
                }
                SctpEvent::Restarted => {
                    let ids: Vec<DataChannelId> = self.channels.keys().copied().collect();
                    for id in ids {
                        self.remove(id, Some("the peer has begun its SCTP association anew".to_owned()));
                    }
                }
                SctpEvent::Closed { reason } => self.close_all(reason.as_deref()),
                event => self.handle_reset(&event),
            }
        }
    }

    /// RFC 8831 §6.7: a channel is closed once both directions are reset.
    pub(super) fn handle_reset(&mut self, event: &SctpEvent) {
        match event {
            SctpEvent::Settled { stream, bytes } => self.handle_settled(*stream, *bytes),
            SctpEvent::IncomingReset { stream } => {
                let Some(&id) = self.streams.get(stream) else { return };
                let Some(entry) = self.channels.get_mut(&id) else { return };
                entry.incoming_reset = true;
                if entry.state == DataChannelState::Open {
                    entry.state = DataChannelState::Closing;
                    self.events.push_back(DataChannelEvent::Closing { channel: id });
                    if let Some(association) = &mut self.association {
                        association.reset_stream(*stream);
                    }
                }
                self.finish(id);
            }
            SctpEvent::OutgoingReset { stream } => {
                let Some(&id) = self.streams.get(stream) else { return };
                if let Some(entry) = self.channels.get_mut(&id) {
                    entry.outgoing_reset = true;
                }
                self.finish(id);
            }
            _ => {}
        }
    }

    fn finish(&mut self, id: DataChannelId) {
        if self.channels.get(&id).is_some_and(|entry| entry.incoming_reset && entry.outgoing_reset) {
            self.remove(id, None);
        }
    }

    fn handle_settled(&mut self, stream: StreamId, bytes: usize) {
        let Some(&id) = self.streams.get(&stream) else { return };
        let Some(entry) = self.channels.get_mut(&id) else { return };
        let control = bytes.min(entry.control);
        entry.control -= control;
        let bytes = bytes - control;
        if bytes == 0 {
            return;
        }
        entry.buffered = entry.buffered.saturating_sub(bytes);
        self.events.push_back(DataChannelEvent::Settled { channel: id, bytes });
    }

    fn handle_message(&mut self, now: Instant, stream: StreamId, ppid: PayloadProtocolId, data: Bytes) {
        let length = data.len();
        let delivered = if ppid == PPID_DCEP {
            self.handle_dcep(now, stream, &data);
            None
        } else {
            self.streams.get(&stream).copied().and_then(|id| Some((id, decode(ppid, data)?)))
        };
        let Some((id, message)) = delivered else {
            // Nobody will read it.
            self.consumed(length);
            return;
        };
        // An empty message came as a byte.
        self.consumed(length.saturating_sub(message.len()));
        let Some(entry) = self.channels.get_mut(&id) else { return };
        // RFC 8832 §6: whoever sends on the channel knows of it.
        entry.acknowledged = true;
        entry.stats.messages_received += 1;
        entry.stats.bytes_received += message.len() as u64;
        self.events.push_back(DataChannelEvent::Message { channel: id, message });
    }

    fn handle_dcep(&mut self, now: Instant, stream: StreamId, data: &[u8]) {
        match Dcep::parse(data) {
            Some(Dcep::Ack) => {
                let id = self.streams.get(&stream).copied();
                if let Some(entry) = id.and_then(|id| self.channels.get_mut(&id)) {
                    entry.acknowledged = true;
                }
            }
            Some(Dcep::Open { label, init }) => self.handle_open(now, stream, label, init),
            None => debug!(%stream, "a message of DCEP is damaged"),
        }
    }

    /// RFC 8832 §6.
    fn handle_open(&mut self, now: Instant, stream: StreamId, label: String, init: DataChannelInit) {
        let ours = u16::from(self.role == Some(DtlsRole::Server));
        // Who opens a channel anew has seen both ends of the old one; only we have not heard of it yet.
        let old = self.streams.get(&stream).copied();
        if let Some(id) = old.filter(|id| self.channels.get(id).is_some_and(|entry| entry.incoming_reset)) {
            self.remove(id, None);
            if let Some(association) = &mut self.association {
                association.assume_reset(stream);
            }
        }
        if stream.0 % 2 == ours || self.streams.contains_key(&stream) {
            debug!(%stream, "the peer opens a channel with an id that is ours or in use");
            if let Some(association) = self.association.as_mut().filter(|_| !self.streams.contains_key(&stream)) {
                association.reset_stream(stream);
            }
            return;
        }
        let Some(association) = &mut self.association else { return };
        let acknowledgement = control(stream, &Dcep::Ack);
        let bytes = acknowledgement.data.len();
        if let Err(error) = association.send(now, acknowledgement) {
            debug!(%error, %stream, "a channel of the peer cannot be acknowledged");
            return;
        }
        let mut channel = Channel::new(label, init);
        channel.stream = Some(stream);
        channel.state = DataChannelState::Open;
        channel.acknowledged = true;
        channel.control = bytes;
        self.count_opened();
        let id = self.insert(channel);
        if let Some(info) = self.info(id) {
            self.events.push_back(DataChannelEvent::Incoming(info));
        }
    }
}

/// RFC 8831 §6.6 and §8; `None` for what is no message of an application.
fn decode(ppid: PayloadProtocolId, data: Bytes) -> Option<DataChannelMessage> {
    Some(match ppid {
        PPID_STRING => DataChannelMessage::Text(match String::from_utf8(data.into()) {
            Ok(text) => text,
            // W3C webrtc §6.2.3 decodes as UTF-8, which puts a sign for what is none.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        PPID_STRING_EMPTY => DataChannelMessage::Text(String::new()),
        PPID_BINARY => DataChannelMessage::Binary(data),
        PPID_BINARY_EMPTY => DataChannelMessage::Binary(Bytes::new()),
        _ => return None,
    })
}
