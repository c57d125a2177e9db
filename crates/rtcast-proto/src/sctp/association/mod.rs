//! The association: what the chunks do to each other.

mod receive;
mod setup;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::chunk::{cause, kind};
use super::congestion::Congestion;
use super::handshake::Extensions;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::packet::{PacketWriter, put_chunk, put_parameter};
use super::reassembly::Reassembly;
use super::retransmission::RetransmissionQueue;
use super::sequence::{ORIGIN, extend};
use super::stream_reset::StreamReset;
use super::{OutgoingMessage, SctpAssociation, SctpConfig, SctpError, SctpEvent, SctpState, SctpStats, StreamId};
use crate::random::Random;
use timers::Timers;

/// As many streams as there can be, in both directions.
const MOST_STREAMS: u16 = 65_535;

/// Chunks of control, and whole packets, that wait to be sent; more are dropped, for the peer repeats what it asks.
const MOST_CONTROL: usize = 64;

/// Where an association stands (RFC 9260 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Ended,
}

/// An SCTP association.
pub struct Association {
    config: SctpConfig,
    random: Random,
    cookie_key: hmac::Key,
    phase: Phase,
    local_tag: u32,
    local_tsn: u32,
    remote_tag: u32,
    extensions: Extensions,
    /// How many streams the peer takes from us, and sends to us.
    outbound_streams: u16,
    inbound_streams: u16,
    inbound: Inbound,
    reassembly: Reassembly,
    outbound: Outbound,
    retransmission: RetransmissionQueue,
    congestion: Congestion,
    reset: StreamReset,
    timers: Timers,
    /// The room that the peer said it has, and that we said we have.
    peer_window: usize,
    told_window: usize,
    /// Bytes that were handed to the application and that it has not read.
    backlog: usize,
    /// The cookie of the peer, until it is acknowledged.
    cookie: Option<Vec<u8>>,
    cookie_due: bool,
    init_due: bool,
    forward_due: bool,
    /// When the peer was last told of messages that are skipped.
    forward_told: Option<Instant>,
    reset_due: bool,
    probe_due: bool,
    shutdown_due: bool,
    /// Written chunks, and packets with tags of their own.
    control: VecDeque<Vec<u8>>,
    packets: VecDeque<Vec<u8>>,
    events: VecDeque<SctpEvent>,
    began: Option<Instant>,
    stats: SctpStats,
}

impl Association {
    /// An association that is not started. The seed must be unpredictable, and different for each.
    pub fn new(config: SctpConfig, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let cookie_key = hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>());
        let (local_tag, local_tsn) = (random.u32().max(1), random.u32());
        Self {
            cookie_key,
            phase: Phase::New,
            local_tag,
            local_tsn,
            remote_tag: 0,
            extensions: Extensions::default(),
            outbound_streams: 0,
            inbound_streams: 0,
            inbound: Inbound::new(ORIGIN),
            reassembly: Reassembly::new(false, config.max_receive_message_size),
            outbound: Outbound::default(),
            retransmission: RetransmissionQueue::new(extend(ORIGIN, local_tsn)),
            congestion: Congestion::new(config.max_packet_size),
            reset: StreamReset::new(local_tsn, 0),
            timers: Timers::default(),
            peer_window: 0,
            told_window: config.receive_buffer,
            backlog: 0,
            cookie: None,
            cookie_due: false,
            init_due: false,
            forward_due: false,
            forward_told: None,
            reset_due: false,
            probe_due: false,
            shutdown_due: false,
            control: VecDeque::new(),
            packets: VecDeque::new(),
            events: VecDeque::new(),
            began: None,
            stats: SctpStats::default(),
            config,
            random,
        }
    }

    /// Whether user data may come and go.
    const fn carries_data(&self) -> bool {
        matches!(
            self.phase,
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent | Phase::ShutdownReceived
        )
    }

    const fn own_extensions(&self) -> Extensions {
        Extensions {
            forward_tsn: true,
            stream_reset: true,
            interleaving: self.config.interleaving,
            zero_checksum: self.config.zero_checksum,
        }
    }

    /// Our receiver window (RFC 9260 §6.2). Too little to be of use is nothing (RFC 1122 §4.2.3.3).
    const fn window(&self) -> usize {
        let room = self.config.receive_buffer.saturating_sub(self.reassembly.buffered() + self.backlog);
        if room < self.config.max_packet_size { 0 } else { room }
    }

    fn push_control(&mut self, chunk: Vec<u8>) {
        if self.control.len() < MOST_CONTROL && chunk.len() <= self.config.max_packet_size - 32 {
            self.control.push_back(chunk);
        }
    }

    /// Queues a packet of one chunk with a tag of its own.
    fn push_packet(&mut self, tag: u32, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) {
        if self.packets.len() >= MOST_CONTROL {
            return;
        }
        let mut bytes = Vec::new();
        let ports = (self.config.local_port, self.config.remote_port);
        let mut writer = PacketWriter::new(&mut bytes, usize::MAX, ports, tag);
        writer.chunk(kind, flags, body);
        writer.finish(true);
        self.packets.push_back(bytes);
    }

    /// Ends it because the peer broke a rule (RFC 9260 §3.3.10.13).
    fn violated(&mut self, what: &str) {
        let mut value = Vec::new();
        put_parameter(&mut value, cause::PROTOCOL_VIOLATION, what.as_bytes());
        self.push_packet(self.remote_tag, kind::ABORT, 0, |body| body.extend_from_slice(&value));
        self.end(Some(format!("the peer broke a rule of SCTP: {what}")));
    }

    fn end(&mut self, reason: Option<String>) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        self.timers = Timers::default();
        self.control.clear();
        self.outbound = Outbound::default();
        self.retransmission = RetransmissionQueue::new(ORIGIN);
        self.reassembly = Reassembly::default();
        (self.init_due, self.cookie_due, self.forward_due) = (false, false, false);
        (self.reset_due, self.probe_due, self.shutdown_due) = (false, false, false);
        self.events.push_back(SctpEvent::Closed { reason });
    }

    /// Milliseconds since the first time that was told.
    fn elapsed(&self, now: Instant) -> u64 {
        let began = self.began.unwrap_or(now);
        now.saturating_duration_since(began).as_millis() as u64
    }

    /// Tells the streams what was acknowledged or given up, and asks for what follows from it.
    fn settle(&mut self, now: Instant) {
        for (stream, message) in self.retransmission.take_abandoned() {
            if let Some(rest) = self.outbound.abandon(stream, message) {
                self.retransmission.push_abandoned(now, rest);
            }
        }
        for (stream, bytes) in self.outbound.take_settled() {
            self.settled(stream, bytes);
        }
        let mut settled: Vec<(u16, usize)> = Vec::new();
        for (stream, bytes) in self.retransmission.drain_settled() {
            match settled.last_mut() {
                Some(last) if last.0 == stream => last.1 += bytes,
                _ => settled.push((stream, bytes)),
            }
        }
        for (stream, bytes) in settled {
            self.settled(stream, bytes);
        }
        if self.extensions.forward_tsn && self.retransmission.advance_forward() {
            self.forward_due = true;
        }
        self.advance_resets();
        self.advance_shutdown(now);
    }

    fn settled(&mut self, stream: u16, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.outbound.settle(stream, bytes);
        self.events.push_back(SctpEvent::Settled { stream: StreamId(stream), bytes });
    }

    /// Asks for the reset of streams that have nothing left, if no other request is on its way.
    fn advance_resets(&mut self) {
        if self.phase != Phase::Established || !self.outbound.has_ended() || self.reset.is_outstanding() {
            return;
        }
        if !self.extensions.stream_reset {
            // A peer that knows no resets never hears of the end of a stream.
            for stream in self.outbound.take_ended(usize::MAX) {
                self.outbound.reset(stream);
                let stream = StreamId(stream);
                self.events.push_back(SctpEvent::OutgoingReset { stream });
                self.events.push_back(SctpEvent::IncomingReset { stream });
            }
            return;
        }
        let streams = self.outbound.take_ended(StreamReset::most_streams());
        let last = self.retransmission.next_tsn() - 1;
        self.reset.request(streams, last as u32);
        self.reset_due = true;
    }

    fn advance_shutdown(&mut self, now: Instant) {
        if !self.retransmission.is_empty() || !self.outbound.is_empty() {
            return;
        }
        match self.phase {
            Phase::ShutdownPending => self.phase = Phase::ShutdownSent,
            Phase::ShutdownReceived => self.phase = Phase::ShutdownAckSent,
            _ => return,
        }
        self.shutdown_due = true;
        self.timers.start_handshake(now, self.congestion.timeout());
    }
}

impl SctpAssociation for Association {
    fn connect(&mut self, now: Instant) {
        if self.phase != Phase::New {
            return;
        }
        self.began.get_or_insert(now);
        self.phase = Phase::CookieWait;
        self.init_due = true;
        self.timers.start_handshake(now, self.congestion.timeout());
    }

    fn handle_input(&mut self, now: Instant, packet: &[u8]) {
        self.began.get_or_insert(now);
        self.handle_packet(now, packet);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.fire(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.inbound.deadline()].into_iter().flatten().min()
    }

    fn poll_transmit(&mut self, now: Instant, packet: &mut Vec<u8>) -> bool {
        let written = self.write_packet(now, packet);
        self.stats.packets_sent += u64::from(written);
        written
    }

    fn poll_event(&mut self) -> Option<SctpEvent> {
        self.events.pop_front()
    }

    fn send(&mut self, now: Instant, message: OutgoingMessage) -> Result<(), SctpError> {
        if !matches!(self.phase, Phase::New | Phase::CookieWait | Phase::CookieEchoed | Phase::Established) {
            return Err(SctpError::Closed);
        }
        if message.data.is_empty() {
            return Err(SctpError::Empty);
        }
        let limit = if self.outbound_streams == 0 { MOST_STREAMS } else { self.outbound_streams };
        if message.stream.0 >= limit {
            return Err(SctpError::NoSuchStream { stream: message.stream, limit });
        }
        let buffered = self.outbound.buffered();
        if buffered > 0 && buffered + message.data.len() > self.config.send_buffer {
            return Err(SctpError::BufferFull { buffered, limit: self.config.send_buffer });
        }
        self.outbound.push(now, message);
        Ok(())
    }

    fn reset_stream(&mut self, stream: StreamId) {
        if self.phase == Phase::Ended {
            return;
        }
        self.outbound.end(stream.0);
        self.advance_resets();
    }

    fn assume_reset(&mut self, stream: StreamId) {
        self.outbound.reset(stream.0);
    }

    fn consumed(&mut self, bytes: usize) {
        self.backlog = self.backlog.saturating_sub(bytes);
        // RFC 1122 §4.2.3.3: only a window that has grown by much is worth telling.
        let step = self.config.receive_buffer / 4;
        if self.carries_data() && self.told_window < step && self.window() >= self.told_window + step {
            self.inbound.acknowledge_now();
        }
    }

    fn abort(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        if !matches!(self.phase, Phase::New | Phase::CookieWait | Phase::Ended) {
            let mut value = Vec::new();
            put_parameter(&mut value, cause::USER_INITIATED, &[]);
            self.push_packet(self.remote_tag, kind::ABORT, 0, |body| body.extend_from_slice(&value));
        }
        self.end(None);
    }

    fn shutdown(&mut self, now: Instant) {
        match self.phase {
            Phase::Established => self.phase = Phase::ShutdownPending,
            Phase::New | Phase::CookieWait | Phase::CookieEchoed => return self.abort(now),
            _ => return,
        }
        self.advance_shutdown(now);
    }

    fn state(&self) -> SctpState {
        match self.phase {
            Phase::New => SctpState::New,
            Phase::CookieWait | Phase::CookieEchoed => SctpState::Connecting,
            Phase::Ended => SctpState::Closed,
            _ => SctpState::Connected,
        }
    }

    fn max_streams(&self) -> Option<u16> {
        (self.outbound_streams > 0).then(|| self.outbound_streams.min(self.inbound_streams))
    }

    fn stats(&self) -> SctpStats {
        SctpStats {
            chunks_retransmitted: self.retransmission.retransmitted(),
            round_trip_time: self.congestion.smoothed_round_trip(),
            congestion_window: self.congestion.window(),
            bytes_in_flight: self.retransmission.flight(),
            peer_receive_window: self.peer_window,
            ..self.stats
        }
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("phase", &self.phase)
            .field("buffered", &self.outbound.buffered())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A chunk on its own, padded.
fn written(kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_chunk(&mut bytes, kind, flags, body);
    bytes
}

/// The time after which a probe asks about the last pieces (RFC 8985 §7.2), at least.
const LEAST_PROBE: Duration = Duration::from_millis(10);
