//! One viewer: a whole connection for ICE and DTLS, and a short way past it for media.
//!
//! Of media packets that are not verified only the header is read, which is not encrypted, and one in 64 is decrypted all the
//! same. Everything else is as a browser does it: receiver reports every second, requests for what is lost, requests for a keyframe until one comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtcast_proto::connection::{
    Attention, Connection, ConnectionEvent, Datagram, PeerConnectionState, TransmitBatch, WallClock,
};
use rtcast_proto::rtcp::{ArrivalLog, RtcpPacket, RtcpWriter, packets};
use rtcast_proto::rtp::{RtpPacket, extensions};
use rtcast_proto::srtp::SrtpError;
use rtcast_proto::{MediaKind, PayloadType, SequenceNumber, SessionDescription, Ssrc};
use tokio::sync::oneshot;

use super::formats::{Formats, Meaning};
use super::stream::{Delays, Stream, StreamCounts};

/// The source in whose name viewers speak, as browsers do that only receive.
pub(crate) const OWN_SSRC: Ssrc = Ssrc(1);

/// Time between receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// More streams than this no server sends to a viewer.
const MAX_STREAMS: usize = 8;

/// The least time between two looks at what is missing.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(5);

/// Time between two reports on the arrival of packets, as browsers have it at most bitrates.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(100);

/// Every so many packets one is decrypted even where packets are not verified. SRTP counts the turns of the sequence
/// numbers, so it must see a packet now and then.
const SAMPLE: u16 = 64;

/// How the setting up of a viewer went.
pub(crate) type Joined = Result<Duration, String>;

/// What a viewer has seen since counting began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) datagram_bytes: u64,
    pub(crate) unauthentic: u64,
    pub(crate) unknown: u64,
    pub(crate) video: StreamCounts,
    pub(crate) sound: StreamCounts,
    pub(crate) delays: Delays,
    /// From the viewer's request to its first whole keyframe.
    pub(crate) first_picture: Option<Duration>,
    /// Why the connection ended by itself, if it did.
    pub(crate) ended: Option<String>,
}

pub(crate) struct Viewer {
    connection: Connection,
    formats: Formats,
    streams: Vec<Stream>,
    verified: bool,
    offered_at: Instant,
    joined: Option<oneshot::Sender<Joined>>,
    /// It is known whether the connection was made.
    settled: bool,
    next_report: Option<Instant>,
    next_feedback: Option<Instant>,
    /// Made with the first packet that has a number of the transport.
    arrivals: Option<Box<ArrivalLog>>,
    next_arrivals: Option<Instant>,
    canonical_name: Arc<str>,
    seen: Seen,
    before: Option<Box<Seen>>,
    pub(crate) scheduled: Option<Instant>,
    pub(crate) dirty: bool,
}

impl Viewer {
    pub(crate) fn new(connection: Connection, offered_at: Instant, verified: bool) -> Self {
        let canonical_name = format!("bench-{}", connection.username_fragments().next().unwrap_or_default());
        Self {
            connection,
            formats: Formats::default(),
            streams: Vec::new(),
            verified,
            offered_at,
            joined: None,
            settled: false,
            next_report: None,
            next_feedback: None,
            arrivals: None,
            next_arrivals: None,
            canonical_name: canonical_name.into(),
            seen: Seen::default(),
            before: None,
            scheduled: None,
            dirty: false,
        }
    }

    /// Takes the server's answer; `joined` hears when media can flow, or that it cannot.
    pub(crate) fn handle_answer(&mut self, now: Instant, answer: &SessionDescription, joined: oneshot::Sender<Joined>) {
        self.formats = Formats::of(answer);
        match self.connection.set_remote_description(now, answer) {
            Ok(()) => self.joined = Some(joined),
            // Whoever joined may have stopped waiting, here and below.
            Err(error) => {
                self.settled = true;
                let _ = joined.send(Err(error.to_string()));
            }
        }
    }

    /// Takes a datagram. Returns whether the connection has to be looked after, which media in order does not need.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        clock: &WallClock,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &mut [u8],
    ) -> bool {
        // RFC 7983 §7 and RFC 5761 §4: the first byte tells media, the second RTCP from RTP.
        match *datagram {
            [128..=191, 192..=223, ..] => {
                self.handle_rtcp(now, datagram);
                false
            }
            [128..=191, ..] => self.handle_rtp(now, clock, datagram),
            _ => {
                let datagram = Datagram { source, destination, contents: datagram };
                self.connection.handle_input(now, datagram) != Attention::Nothing
            }
        }
    }

    fn handle_rtp(&mut self, now: Instant, clock: &WallClock, datagram: &mut [u8]) -> bool {
        self.seen.datagram_bytes += datagram.len() as u64;
        let Ok(header) = RtpPacket::parse_header(datagram) else {
            self.seen.unknown += 1;
            return false;
        };
        let Some(meaning) = self.formats.meaning(header.payload_type) else {
            self.seen.unknown += 1;
            return false;
        };
        let (ssrc, header_length) = (header.ssrc, header.header_length);
        let number = self.formats.transport_wide().and_then(|id| {
            let (profile, block) = header.extension?;
            let (_, value) = extensions(profile, block).find(|(extension, _)| *extension == id)?;
            value.first_chunk().map(|number| SequenceNumber(u16::from_be_bytes(*number)))
        });
        let at = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        let wants_payload = match at {
            Some(at) => self.streams[at].wants_payload(),
            None => true,
        };
        let sampled = header.sequence_number.0.is_multiple_of(SAMPLE);
        let mut plain = self.verified || wants_payload || sampled;
        let mut length = datagram.len();
        let Some(srtp) = self.connection.srtp_mut() else { return false };
        let overhead = header_length + srtp.profile().rtp_overhead();
        if plain {
            match srtp.unprotect_rtp(datagram) {
                Ok((_, plain)) => length = plain,
                // Its sequence number shows it as a duplicate too.
                Err(SrtpError::Replay) => plain = false,
                Err(_) => {
                    self.seen.unauthentic += 1;
                    return false;
                }
            }
        }
        let payload_length = datagram.len().saturating_sub(overhead);
        let bytes = &datagram[..length];
        let packet = if plain { RtpPacket::parse(bytes) } else { RtpPacket::parse_header(bytes) };
        let Ok(packet) = packet else {
            self.seen.unknown += 1;
            return false;
        };
        let urgent = match (meaning, at) {
            (Meaning::Retransmission { of }, _) => {
                self.handle_retransmission(now, of, &packet);
                false
            }
            (Meaning::Media { .. }, Some(at)) => {
                self.streams[at].handle_packet(now, clock, &packet, payload_length, plain)
            }
            (Meaning::Media { codec, retransmission }, None) => {
                if self.streams.len() >= MAX_STREAMS {
                    self.seen.unknown += 1;
                    return false;
                }
                self.streams.push(Stream::new(now, &packet, codec, retransmission));
                self.streams
                    .last_mut()
                    .is_some_and(|stream| stream.handle_packet(now, clock, &packet, payload_length, plain))
            }
        };
        let first_arrival = number.is_some_and(|number| self.record_arrival(now, number));
        first_arrival || urgent && self.next_feedback.is_none()
    }

    /// Notes a packet for transport-wide feedback. Returns whether the next report is due from now on.
    fn record_arrival(&mut self, now: Instant, number: SequenceNumber) -> bool {
        self.arrivals.get_or_insert_with(|| Box::new(ArrivalLog::new(now))).record(now, number);
        let first = self.next_arrivals.is_none();
        self.next_arrivals.get_or_insert(now + ARRIVAL_INTERVAL);
        first
    }

    /// RFC 4588 §4: the original sequence number stands before the original payload, and is encrypted with it.
    fn handle_retransmission(&mut self, now: Instant, of: PayloadType, packet: &RtpPacket<'_>) {
        let Some(original) = packet.payload.first_chunk() else { return };
        let original = SequenceNumber(u16::from_be_bytes(*original));
        let Some(Meaning::Media { codec, .. }) = self.formats.meaning(of) else { return };
        if let Some(stream) = self.streams.iter_mut().rev().find(|stream| stream.kind() == codec.kind()) {
            stream.handle_retransmission(now, original, packet);
        }
    }

    fn handle_rtcp(&mut self, now: Instant, datagram: &mut [u8]) {
        let Some(srtp) = self.connection.srtp_mut() else { return };
        let Ok(length) = srtp.unprotect_rtcp(datagram) else {
            self.seen.unauthentic += 1;
            return;
        };
        for packet in packets(&datagram[..length]).map_while(Result::ok) {
            if let RtcpPacket::SenderReport { ssrc, info, .. } = packet
                && let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc)
            {
                stream.handle_sender_report(now, info);
            }
        }
    }

    /// Tells the time, when [`poll_timeout`](Self::poll_timeout) asked for it.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            // It is looked after in any case.
            let _ = self.connection.handle_timeout(now);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`drive`](Self::drive) next.
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        [self.connection.poll_timeout(), self.next_report, self.next_feedback, self.next_arrivals]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due and writes what is to be sent. Returns `false` if the batch is full: then this is called again
    /// when it was sent.
    pub(crate) fn drive(&mut self, now: Instant, rtcp: &mut RtcpWriter, batch: &mut TransmitBatch) -> bool {
        while let Some(event) = self.connection.poll_event() {
            if let ConnectionEvent::ConnectionStateChange(state) = event {
                self.handle_state(now, state);
            }
        }
        self.write_rtcp(now, rtcp, batch);
        self.connection.poll_transmit(now, batch)
    }

    /// Whether somebody waits for it to be connected.
    pub(crate) const fn is_connecting(&self) -> bool {
        !self.settled
    }

    fn handle_state(&mut self, now: Instant, state: PeerConnectionState) {
        let outcome = match state {
            PeerConnectionState::Connected => {
                self.next_report.get_or_insert(now + REPORT_INTERVAL);
                Ok(now - self.offered_at)
            }
            PeerConnectionState::Failed | PeerConnectionState::Closed => {
                let reason = self.connection.failure().unwrap_or(state.as_str()).to_owned();
                self.seen.ended.get_or_insert_with(|| reason.clone());
                self.next_report = None;
                Err(reason)
            }
            _ => return,
        };
        self.settled = true;
        if let Some(joined) = self.joined.take() {
            let _ = joined.send(outcome);
        }
    }

    fn write_rtcp(&mut self, now: Instant, rtcp: &mut RtcpWriter, batch: &mut TransmitBatch) {
        let report = self.next_report.is_some_and(|at| at <= now);
        rtcp.clear();
        // RFC 3550 §6.1: a compound begins with a report, and a regular one names its source.
        if report {
            self.next_report = Some(now + REPORT_INTERVAL);
            let blocks: Vec<_> = self.streams.iter_mut().map(|stream| stream.report_block(now)).collect();
            rtcp.receiver_report(OWN_SSRC, &blocks);
            rtcp.source_description(OWN_SSRC, &self.canonical_name);
        } else {
            rtcp.receiver_report(OWN_SSRC, &[]);
        }
        let without_feedback = rtcp.bytes().len();
        if self.next_feedback.is_none_or(|at| at <= now) {
            for stream in &mut self.streams {
                stream.write_feedback(now, rtcp);
            }
        }
        if self.next_arrivals.is_some_and(|at| at <= now)
            && let Some(arrivals) = &mut self.arrivals
        {
            let media = self.streams.first().map_or(OWN_SSRC, |stream| stream.ssrc);
            while let Some(feedback) = arrivals.report(media) {
                rtcp.transport_feedback(OWN_SSRC, &feedback);
            }
            self.next_arrivals = None;
        }
        let due = self.streams.iter().filter_map(Stream::poll_timeout).min();
        self.next_feedback = due.map(|at| at.max(now + FEEDBACK_INTERVAL));
        if !report && rtcp.bytes().len() == without_feedback {
            return;
        }
        let Some(pair) = self.connection.selected_pair() else { return };
        let Some(srtp) = self.connection.srtp_mut() else { return };
        let mut protected = Vec::with_capacity(rtcp.bytes().len() + srtp.profile().rtcp_overhead());
        if srtp.protect_rtcp(rtcp.bytes(), &mut protected).is_ok() {
            // A report that finds the batch full is left out, as if it were lost.
            batch.push(pair, &protected);
        }
    }

    /// From now on, counts begin anew.
    pub(crate) fn begin(&mut self) {
        for stream in &mut self.streams {
            stream.clear_delays();
        }
        self.before = Some(Box::new(self.total()));
    }

    /// What was seen since [`begin`](Self::begin), or since the start.
    pub(crate) fn seen(&self) -> Seen {
        let total = self.total();
        let Some(before) = &self.before else { return total };
        Seen {
            datagram_bytes: total.datagram_bytes - before.datagram_bytes,
            video: total.video.since(&before.video),
            sound: total.sound.since(&before.sound),
            ..total
        }
    }

    fn total(&self) -> Seen {
        let mut seen = self.seen.clone();
        for stream in &self.streams {
            match stream.kind() {
                MediaKind::Video => {
                    seen.video.add(&stream.counts());
                    seen.delays.add(stream.delays());
                    seen.first_picture = stream.first_picture().map(|at| at.saturating_duration_since(self.offered_at));
                }
                MediaKind::Audio => seen.sound.add(&stream.counts()),
            }
        }
        seen
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.connection.close(now);
        self.next_report = None;
        self.next_feedback = None;
        self.next_arrivals = None;
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        self.connection.poll_transmit(now, batch)
    }
}
