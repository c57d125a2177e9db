//! What comes in (RFC 9260 §6.2, §8.5; RFC 3758 §3.6; RFC 6525 §5.2).

use std::time::Instant;

use tracing::debug;

use super::super::chunk::{Chunk, Chunks, DataChunk, FLAG_IMMEDIATE, Parameters, cause, half, kind, parameter, word};
use super::super::congestion::Acknowledged;
use super::super::inbound::Arrival;
use super::super::packet::{Header, put_parameter};
use super::super::stream_reset::Effect;
use super::super::{SctpEvent, StreamId};
use super::{Association, Phase, written};

/// The flag of ABORT and SHUTDOWN COMPLETE that says whose tag the packet bears (RFC 9260 §3.3.7).
const FLAG_REFLECTED: u8 = 1;

/// What the chunks of one packet come to.
#[derive(Debug, Default)]
struct Packet {
    data: bool,
    immediate: bool,
}

impl Association {
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        let Some((header, chunks)) = Header::parse(packet, self.config.zero_checksum) else {
            debug!("a packet is damaged");
            return;
        };
        if (header.source, header.destination) != (self.config.remote_port, self.config.local_port) {
            debug!(?header, "a packet is for other ports");
            return;
        }
        self.stats.packets_received += 1;
        let mut done = Packet::default();
        for chunk in Chunks(chunks) {
            if !self.is_ours(&header, &chunk) {
                debug!(kind = chunk.kind, "a chunk has the tag of another association");
                break;
            }
            if !self.handle_chunk(now, &header, &chunk, &mut done) || self.phase == Phase::Ended {
                break;
            }
        }
        if self.phase == Phase::Ended {
            return;
        }
        if done.data {
            self.inbound.packet_done(now, done.immediate);
            self.deliver();
        }
    }

    /// RFC 9260 §8.5 and §8.5.1: the tag shows that the sender knows the association.
    fn is_ours(&self, header: &Header, chunk: &Chunk<'_>) -> bool {
        match chunk.kind {
            kind::INIT | kind::COOKIE_ECHO => true,
            kind::ABORT | kind::SHUTDOWN_COMPLETE if chunk.flags & FLAG_REFLECTED != 0 => {
                self.remote_tag != 0 && header.tag == self.remote_tag
            }
            _ => header.tag == self.local_tag && self.phase != Phase::New,
        }
    }

    /// Returns whether what follows in the packet counts.
    fn handle_chunk(&mut self, now: Instant, header: &Header, chunk: &Chunk<'_>, done: &mut Packet) -> bool {
        match chunk.kind {
            kind::DATA | kind::I_DATA => return self.handle_data(chunk, done),
            kind::SACK => self.handle_sack(now, chunk),
            kind::INIT => {
                self.handle_init(now, header, chunk);
                return false;
            }
            kind::INIT_ACK => {
                self.handle_init_ack(now, chunk);
                return false;
            }
            kind::COOKIE_ECHO => return self.handle_cookie_echo(now, header, chunk),
            kind::COOKIE_ACK => self.handle_cookie_ack(now),
            kind::HEARTBEAT => {
                // RFC 9260 §8.3: it goes back as it came.
                let body = chunk.body.to_vec();
                self.push_control(written(kind::HEARTBEAT_ACK, 0, |out| out.extend_from_slice(&body)));
            }
            kind::HEARTBEAT_ACK | kind::PAD => {}
            kind::ABORT => self.handle_abort(chunk),
            kind::ERROR => self.handle_error(now, chunk),
            kind::SHUTDOWN => {
                if let Some(cumulative) = word(chunk.body, 0) {
                    self.acknowledged(now, cumulative, std::iter::empty(), None);
                    self.handle_shutdown(now);
                }
            }
            kind::SHUTDOWN_ACK => self.handle_shutdown_ack(),
            kind::SHUTDOWN_COMPLETE => self.handle_shutdown_complete(),
            kind::FORWARD_TSN | kind::I_FORWARD_TSN => self.handle_forward(chunk),
            kind::RE_CONFIG => self.handle_re_config(now, chunk),
            unknown => {
                // RFC 9260 §3.2: the second bit asks for a report, and without the first one nothing behind it counts.
                if unknown & 0x40 != 0 {
                    let whole = chunk.whole.get(..chunk.whole.len().min(200)).unwrap_or_default().to_vec();
                    self.push_control(written(kind::ERROR, 0, |body| {
                        put_parameter(body, cause::UNRECOGNIZED_CHUNK, &whole);
                    }));
                }
                return unknown & 0x80 != 0;
            }
        }
        true
    }

    fn handle_data(&mut self, chunk: &Chunk<'_>, done: &mut Packet) -> bool {
        // The peer may have our COOKIE ECHO and its data overtake the acknowledgement.
        if !(self.carries_data() || self.phase == Phase::CookieEchoed) {
            return false;
        }
        if (chunk.kind == kind::I_DATA) != self.extensions.interleaving {
            self.violated("DATA and I-DATA are not used together");
            return false;
        }
        let Some(data) = DataChunk::parse(chunk) else {
            self.violated("a data chunk is too short");
            return false;
        };
        if data.payload.is_empty() {
            self.violated("a data chunk is empty");
            return false;
        }
        done.data = true;
        done.immediate |= data.flags & FLAG_IMMEDIATE != 0;
        let tsn = self.inbound.extend(data.tsn);
        let used = self.reassembly.buffered() + self.backlog;
        match self.inbound.judge(tsn) {
            Arrival::Duplicate => self.inbound.duplicate(tsn),
            Arrival::Next | Arrival::Ahead if used < self.config.receive_buffer => self.take(tsn, &data),
            // What lets others leave may go beyond the window.
            Arrival::Next
                if (self.backlog == 0 || self.inbound.has_gaps()) && used < 2 * self.config.receive_buffer =>
            {
                self.take(tsn, &data);
            }
            Arrival::Next | Arrival::Ahead | Arrival::Refused => self.inbound.acknowledge_now(),
        }
        self.phase != Phase::Ended
    }

    fn take(&mut self, tsn: u64, data: &DataChunk<'_>) {
        self.inbound.take(tsn);
        self.stats.bytes_received += data.payload.len() as u64;
        if self.reassembly.push(tsn, data).is_err() {
            self.violated("a message is longer than we take");
        }
    }

    /// Hands on what is whole.
    fn deliver(&mut self) {
        while let Some(message) = self.reassembly.pop() {
            self.backlog += message.data.len();
            self.events.push_back(SctpEvent::Message {
                stream: message.stream,
                ppid: message.ppid,
                data: message.data,
            });
        }
        if let Some((streams, answer)) = self.reset.poll_deferred(self.inbound.cumulative()) {
            self.reset_incoming(&streams, &answer);
        }
    }

    fn handle_sack(&mut self, now: Instant, chunk: &Chunk<'_>) {
        let body = chunk.body;
        let (Some(cumulative), Some(window)) = (word(body, 0), word(body, 4)) else { return };
        let (Some(gaps), Some(duplicates)) = (half(body, 8), half(body, 10)) else { return };
        let (gaps, duplicates) = (usize::from(gaps), usize::from(duplicates));
        let Some(blocks) = body.get(12..12 + gaps * 4) else { return };
        let base = super::extend(self.retransmission.cumulative(), cumulative);
        let blocks = blocks
            .chunks_exact(4)
            .filter_map(|block| Some((base + u64::from(half(block, 0)?), base + u64::from(half(block, 2)?))));
        if duplicates > 0 {
            let listed = body.get(12 + gaps * 4..).unwrap_or_default().chunks_exact(4).take(duplicates);
            let listed = listed.filter_map(|tsn| Some(super::extend(base, word(tsn, 0)?)));
            self.retransmission.handle_duplicates(listed);
        }
        self.acknowledged(now, cumulative, blocks, Some(window as usize));
    }

    fn acknowledged(
        &mut self,
        now: Instant,
        cumulative: u32,
        blocks: impl Iterator<Item = (u64, u64)>,
        window: Option<usize>,
    ) {
        if !(self.carries_data() || self.phase == Phase::CookieEchoed) {
            return;
        }
        let cumulative = super::extend(self.retransmission.cumulative(), cumulative);
        let least = self.congestion.least_round_trip();
        let Some(sacked) = self.retransmission.handle_sack(now, cumulative, blocks, least) else { return };
        if let Some(window) = window {
            self.peer_window = window;
        }
        if let Some(round_trip) = sacked.round_trip {
            self.congestion.measured(round_trip);
        }
        let recovering = self.retransmission.is_recovering();
        let acknowledged =
            Acknowledged { bytes: sacked.bytes, flight_before: sacked.flight_before, advanced: sacked.advanced };
        if sacked.bytes > 0 {
            self.congestion.acknowledged(acknowledged, recovering);
        }
        if sacked.probe_repaired && !recovering {
            self.congestion.lost();
        }
        if sacked.bytes > 0 || sacked.advanced || self.retransmission.is_empty() {
            self.rearm(now);
        }
        self.timers.alive(now);
        self.detect_losses(now);
        // RFC 3758 §3.5 C4: a peer that is behind the point is told again, once in a round trip.
        let patience = self.congestion.smoothed_round_trip().unwrap_or_default();
        if self.retransmission.has_forward() && self.forward_told.is_some_and(|at| now > at + patience) {
            self.forward_due = true;
        }
    }

    /// RFC 3758 §3.6, RFC 8260 §2.3.1.
    fn handle_forward(&mut self, chunk: &Chunk<'_>) {
        if !self.carries_data() || (chunk.kind == kind::I_FORWARD_TSN) != self.extensions.interleaving {
            return;
        }
        let Some(point) = word(chunk.body, 0) else { return };
        let point = self.inbound.extend(point);
        // Nobody may have sent so many chunks without an acknowledgement.
        if point > self.inbound.cumulative() + 1_000_000 || !self.inbound.forward(point) {
            return;
        }
        let rest = chunk.body.get(4..).unwrap_or_default();
        if self.extensions.interleaving {
            let skipped = rest
                .chunks_exact(8)
                .filter_map(|entry| Some((half(entry, 0)?, half(entry, 2)? & 1 != 0, word(entry, 4)?)));
            self.reassembly.skip(point, skipped);
        } else {
            let skipped =
                rest.chunks_exact(4).filter_map(|entry| Some((half(entry, 0)?, false, u32::from(half(entry, 2)?))));
            self.reassembly.skip(point, skipped);
        }
        self.deliver();
    }

    /// RFC 6525 §5.2.
    fn handle_re_config(&mut self, now: Instant, chunk: &Chunk<'_>) {
        if !self.carries_data() || !self.extensions.stream_reset {
            return;
        }
        // Messages before the reset are delivered before it.
        self.deliver();
        for (kind, value) in Parameters(chunk.body).take(2) {
            let inbound = &self.inbound;
            match self.reset.handle(kind, value, inbound.cumulative(), |tsn| inbound.extend(tsn)) {
                Effect::None => {}
                Effect::Respond(answer) => self.respond(&answer),
                Effect::Incoming(streams, answer) => self.reset_incoming(&streams, &answer),
                Effect::Asked(streams, answer) => {
                    self.respond(&answer);
                    for stream in streams {
                        self.outbound.end(stream);
                    }
                    self.advance_resets();
                }
                Effect::Outgoing(streams) => {
                    self.timers.reset = None;
                    self.reset_due = false;
                    for stream in streams {
                        if self.outbound.reset(stream) {
                            self.events.push_back(SctpEvent::OutgoingReset { stream: StreamId(stream) });
                        }
                    }
                    self.advance_resets();
                }
                Effect::Again => self.timers.reset = Some(now + self.congestion.timeout()),
            }
        }
    }

    fn reset_incoming(&mut self, streams: &[u16], answer: &[u8]) {
        for stream in self.reassembly.reset(streams) {
            self.events.push_back(SctpEvent::IncomingReset { stream: StreamId(stream) });
        }
        self.respond(answer);
    }

    fn respond(&mut self, answer: &[u8]) {
        debug_assert_eq!(half(answer, 0), Some(parameter::RESET_RESPONSE));
        self.push_control(written(kind::RE_CONFIG, 0, |body| body.extend_from_slice(answer)));
    }
}
