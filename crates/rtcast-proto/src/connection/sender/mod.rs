//! The sending half of a transceiver: from packetised frames to protected packets, with retransmission.

mod repair;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catch_up::{CatchUp, Shown, stream_rate};
use super::departure::Departure;
use super::extensions::{PacketExtensions, SendExtensions};
use super::history::{History, Sent, SentFrame};
use super::retransmission::Retransmissions;
use crate::codec::Codec;
use crate::color::ColorSpace;
use crate::frame::{KeyframeGate, PacketizedFrame};
use crate::random::Random;
use crate::rtcp::{ReportBlock, SenderInfo};
use crate::rtp::{FIXED_HEADER_LENGTH, write_header};
use crate::types::{MediaKind, PayloadType, SequenceNumber, Ssrc};

/// Frames that wait for the socket, and their bytes; the frames are shared with the stream's other viewers. What comes on
/// top is dropped up to the next keyframe.
const MAX_QUEUED_FRAMES: usize = 1_024;
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// Frames that have waited so long when a keyframe comes are left out: the viewer goes on from the keyframe.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// What negotiation settled for a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendEncoding {
    pub(super) codec: Codec,
    pub(super) payload_type: PayloadType,
    pub(super) rtx_payload_type: Option<PayloadType>,
    /// Whether the peer asks for lost packets.
    pub(super) nack: bool,
}

/// Counters of a sender, as W3C's `RTCOutboundRtpStreamStats` and `RTCRemoteInboundRtpStreamStats` name them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SenderStats {
    /// Packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Payload bytes sent, retransmissions included, without headers.
    pub bytes_sent: u64,
    /// Header bytes sent, extensions included.
    pub header_bytes_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets_sent: u64,
    /// Payload bytes sent again.
    pub retransmitted_bytes_sent: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Keyframes among them.
    pub key_frames_sent: u64,
    /// Frames dropped because the socket could not keep up.
    pub frames_dropped: u64,
    /// Requests for lost packets received.
    pub nack_count: u64,
    /// Picture loss indications received.
    pub pli_count: u64,
    /// Full intra requests received.
    pub fir_count: u64,
    /// Packets that the peer says were lost since the beginning.
    pub packets_lost: i64,
    /// The share lost between the peer's last two reports, 0 to 1.
    pub fraction_lost: f64,
    /// Reports of the peer on this stream.
    pub reports_received: u64,
    /// The round-trip time by the peer's last report.
    pub round_trip_time: Option<Duration>,
    /// The sum of all round-trip times.
    pub total_round_trip_time: Duration,
    /// How many there were.
    pub round_trip_time_measurements: u64,
    /// The peer's interarrival jitter.
    pub jitter: Duration,
}

struct QueuedFrame {
    frame: Arc<PacketizedFrame>,
    /// By the frame's own time, which reports go by.
    own_timestamp: u32,
    /// What its packets bear.
    timestamp: u32,
    next: usize,
    first_sequence: u64,
    /// When its first packet left, once that has.
    sent_at: Option<Instant>,
    with_mid: bool,
    catching_up: bool,
    /// The payload type and marker of a packet that is no frame.
    event: Option<(PayloadType, bool)>,
}

/// Why writing into a batch stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Everything is written.
    Done,
    /// The batch must be sent first.
    BatchFull,
    /// The pacer must fill first; the next packet has so many bytes.
    Paced(usize),
    /// What the viewer catches up with is being spread; [`RtpSender::poll_timeout`] says when it goes on.
    CatchingUp,
}

pub(super) struct RtpSender {
    pub(super) ssrc: Ssrc,
    pub(super) rtx_ssrc: Ssrc,
    encoding: Option<SendEncoding>,
    extensions: SendExtensions,
    /// Whether packets name their m-line.
    mid_needed: bool,
    next_sequence: u64,
    timestamp_offset: u32,
    /// The next frame begins another timeline, which is to go on where the last one is.
    new_timeline: bool,
    /// A tone goes instead of sound.
    interrupted: bool,
    /// The last frame that was queued: when it was captured, and its timestamp.
    last_queued: Option<(Instant, u32)>,
    rtx_sequence: u64,
    queue: VecDeque<QueuedFrame>,
    /// Of sound, every frame is a keyframe.
    gate: KeyframeGate,
    queued_bytes: usize,
    catch_up: Option<Box<CatchUp>>,
    /// What the last catch-up has shown of the path.
    shown: Option<Shown>,
    /// The timestamp of the last packet, once there was a catch-up.
    last_timestamp: Option<u32>,
    history: History,
    /// There once the peer has asked for something.
    retransmissions: Option<Box<Retransmissions>>,
    /// The packet up to which losses were counted.
    losses_counted: u64,
    last_frame: Option<(Instant, u32, u32)>,
    packets: u32,
    octets: u32,
    stats: SenderStats,
    reports_sent: VecDeque<(u32, Instant)>,
    /// How many packets the last report told of.
    packets_reported: u32,
}

impl RtpSender {
    pub(super) fn new(random: &mut Random, ssrc: Ssrc, rtx_ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            encoding: None,
            extensions: SendExtensions::default(),
            mid_needed: true,
            // RFC 3550 §5.1: a random start; below 2^15, so that a receiver does not mistake a first loss for a wrap.
            next_sequence: u64::from(random.u32() & 0x7fff),
            timestamp_offset: random.u32(),
            new_timeline: false,
            interrupted: false,
            last_queued: None,
            rtx_sequence: u64::from(random.u32() & 0x7fff),
            queue: VecDeque::new(),
            gate: KeyframeGate::opened(MediaKind::Video),
            queued_bytes: 0,
            catch_up: None,
            shown: None,
            last_timestamp: None,
            history: History::default(),
            retransmissions: None,
            losses_counted: 0,
            last_frame: None,
            packets: 0,
            octets: 0,
            stats: SenderStats::default(),
            reports_sent: VecDeque::new(),
            packets_reported: 0,
        }
    }

    /// Sets what negotiation settled.
    pub(super) fn set_encoding(&mut self, encoding: Option<SendEncoding>, extensions: SendExtensions) {
        if self.encoding != encoding {
            self.stop();
        }
        if self.extensions != extensions {
            // Packets already sent were signed with the old block and could not be repeated with the new one.
            self.forget_sent();
            self.extensions = extensions;
            self.mid_needed = true;
        }
        self.encoding = encoding;
    }

    fn forget_sent(&mut self) {
        self.history.clear();
        if let Some(retransmissions) = &mut self.retransmissions {
            retransmissions.clear();
        }
    }

    pub(super) const fn encoding(&self) -> Option<&SendEncoding> {
        self.encoding.as_ref()
    }

    pub(super) const fn stats(&self) -> &SenderStats {
        &self.stats
    }

    /// Queues a frame; `timestamp` is its time in RTP ticks, usually the frame's own. Returns whether a keyframe is
    /// needed because frames were dropped.
    pub(super) fn enqueue(&mut self, frame: &Arc<PacketizedFrame>, timestamp: i64) -> bool {
        if !self.takes(frame) {
            return false;
        }
        let bytes = frame.payload_bytes();
        if self.queue.len() >= MAX_QUEUED_FRAMES || self.queued_bytes + bytes > MAX_QUEUED_BYTES {
            // The viewer is slower than the stream. A frame of which packets have left is finished; of the others only
            // what follows the next keyframe is of use.
            self.stats.frames_dropped += self.drop_waiting() as u64;
            self.gate.close();
        }
        if frame.keyframe && frame.codec.kind() == MediaKind::Video && self.is_behind(frame) {
            // What the viewer is still owed leads to a picture that is older than this one.
            self.drop_waiting();
        }
        if !self.gate.admits(frame.keyframe) {
            self.stats.frames_dropped += 1;
            return true;
        }
        self.push_frame(frame, timestamp, self.catch_up.is_some());
        false
    }

    /// Queues frames that were captured before now, beginning with a keyframe, in the place of all that waits: the viewer
    /// is given them as fast as the path seems to carry, with timestamps that go on from those sent so far, and then goes
    /// on with the stream. Returns whether it is so.
    pub(super) fn catch_up(&mut self, now: Instant, frames: &[Arc<PacketizedFrame>]) -> bool {
        let bytes = frames.iter().map(|frame| frame.payload_bytes()).sum::<usize>();
        let fits = frames.len() < MAX_QUEUED_FRAMES && bytes <= MAX_QUEUED_BYTES;
        let decodable = frames.first().is_some_and(|first| first.keyframe);
        if !(fits && decodable && frames.iter().all(|frame| self.takes(frame))) {
            return false;
        }
        self.drop_waiting();
        if let Some(retransmissions) = &mut self.retransmissions {
            retransmissions.clear();
        }
        self.gate.open();
        self.end_catch_up(now);
        let rate = stream_rate(frames.iter().map(|frame| &**frame));
        self.catch_up = Some(Box::new(CatchUp::new(now, rate, self.shown)));
        self.last_timestamp = self.last_timestamp.or(self.last_queued.map(|(_, timestamp)| timestamp));
        for frame in frames {
            self.push_frame(frame, frame.timestamp, true);
        }
        true
    }

    /// Whether this is a frame that may be sent now.
    fn takes(&self, frame: &PacketizedFrame) -> bool {
        let encoded = self.encoding.as_ref().is_some_and(|encoding| encoding.codec == frame.codec);
        encoded && !frame.is_empty() && !self.interrupted
    }

    /// Whether frames wait that were captured long before this one.
    fn is_behind(&self, frame: &PacketizedFrame) -> bool {
        let Some(waiting) = self.queue.iter().find(|queued| queued.next == 0) else { return false };
        let behind = frame.captured_at.saturating_duration_since(waiting.frame.captured_at);
        waiting.event.is_none() && (self.catch_up.is_some() || behind > MAX_WAIT)
    }

    /// Drops all frames of which no packet has left. Returns how many there were.
    fn drop_waiting(&mut self) -> usize {
        let keep = usize::from(self.queue.front().is_some_and(|queued| queued.next > 0));
        let dropped = self.queue.len() - keep;
        self.queue.truncate(keep);
        self.queued_bytes = self.queue.front().map_or(0, |queued| queued.frame.payload_bytes());
        dropped
    }

    fn push_frame(&mut self, frame: &Arc<PacketizedFrame>, timestamp: i64, catching_up: bool) {
        if std::mem::take(&mut self.new_timeline) {
            self.join_timeline(frame, timestamp, catching_up);
        }
        let timestamp = self.timestamp_offset.wrapping_add(timestamp as u32);
        self.last_queued = Some((frame.captured_at, timestamp));
        self.queued_bytes += frame.payload_bytes();
        let queued = QueuedFrame::new(Arc::clone(frame), timestamp, self.next_sequence);
        self.queue.push_back(QueuedFrame { catching_up, ..queued });
    }

    /// Whether frames are left out from now on, because a tone goes instead.
    pub(super) const fn set_interrupted(&mut self, interrupted: bool) {
        self.interrupted = interrupted;
    }

    /// The RTP timestamp of a moment, and the ticks to the second; what is sent later goes on from there.
    pub(super) fn begin_event(&mut self, at: Instant) -> (u32, u32) {
        let rate = self.encoding.as_ref().map_or(8_000, |encoding| encoding.codec.clock_rate());
        let timestamp = match self.last_queued {
            Some((captured_at, timestamp)) => {
                let since = at.saturating_duration_since(captured_at).as_secs_f64();
                timestamp.wrapping_add((since * f64::from(rate)) as u32)
            }
            None => {
                // Nothing was sent yet: the time of the track joins this one when it comes.
                self.new_timeline = true;
                self.last_queued = Some((at, self.timestamp_offset));
                self.timestamp_offset
            }
        };
        (timestamp, rate)
    }

    /// Queues a packet of a telephone event that began at `began`, which is at `timestamp`.
    pub(super) fn enqueue_event(
        &mut self,
        began: Instant,
        payload_type: PayloadType,
        marker: bool,
        timestamp: u32,
        payload: [u8; 4],
    ) {
        let Some(encoding) = &self.encoding else { return };
        let mut packet = PacketizedFrame::new(encoding.codec, 0, false, began, 0);
        packet.push(&[&payload]);
        self.queued_bytes += packet.payload_bytes();
        let queued = QueuedFrame::new(Arc::new(packet), timestamp, self.next_sequence);
        self.queue.push_back(QueuedFrame { event: Some((payload_type, marker)), ..queued });
    }

    /// Another track follows, with a time of its own: its timestamps go on from those sent so far.
    pub(super) const fn begin_timeline(&mut self) {
        self.new_timeline = true;
    }

    /// Moves the offset so that the frame lies as far behind the last one as it was captured later, but behind it. What a
    /// viewer catches up with was captured before; its timestamps are set when it leaves.
    fn join_timeline(&mut self, frame: &PacketizedFrame, timestamp: i64, catching_up: bool) {
        let Some((captured_at, last)) = self.last_queued else { return };
        let rate = frame.codec.clock_rate();
        let elapsed = ticks(frame.captured_at.saturating_duration_since(captured_at), rate);
        let earlier = ticks(captured_at.saturating_duration_since(frame.captured_at), rate);
        let by_capture = last.wrapping_add(elapsed).wrapping_sub(earlier).wrapping_sub(timestamp as u32);
        let by_order = last.wrapping_add(rate / 1_000).wrapping_sub(timestamp as u32);
        let later = by_capture.wrapping_sub(by_order).cast_signed() >= 0;
        self.timestamp_offset = if later || catching_up { by_capture } else { by_order };
    }

    /// Whether nothing was sent since the last report.
    pub(super) const fn rests(&self) -> bool {
        self.packets == self.packets_reported
    }

    /// See [`Connection::warm`](super::Connection::warm).
    pub(super) fn warm(&self) -> usize {
        let reports = self.reports_sent.front().map_or(0, |(middle, _)| *middle as usize);
        let queues = self.queue.len().wrapping_add(self.ssrc.0 as usize);
        queues.wrapping_add(reports).wrapping_add(self.stats.reports_received as usize)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.retransmissions.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Tells the time, when [`poll_timeout`](Self::poll_timeout) asked for it.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.handle_timeout(now);
        }
    }

    /// Nothing is sent any more.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.catch_up = None;
        self.forget_sent();
    }

    /// Whether the viewer is behind the stream and being given what it missed.
    pub(super) const fn catches_up(&self) -> bool {
        self.catch_up.is_some()
    }

    /// When what the viewer catches up with goes on, if it waits for that.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.catch_up.as_ref()?.next_at()
    }

    /// Writes waiting packets until nothing is left, the batch is full or the budget is spent; `measured` is the round-trip
    /// time by ICE.
    pub(super) fn poll_transmit(&mut self, measured: Option<Duration>, departure: &mut Departure<'_>) -> Stopped {
        let Some(encoding) = self.encoding.clone() else { return Stopped::Done };
        let now = departure.now;
        let stopped = self.retransmit(&encoding, departure);
        if stopped != Stopped::Done {
            return stopped;
        }
        let round_trips = self.round_trips(measured);
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.adapt(now, round_trips.latest);
            self.history.keep(now);
        }
        let overhead = departure.srtp.profile().rtp_overhead();
        while let Some(queued) = self.queue.front_mut() {
            if queued.next == 0 {
                queued.first_sequence = self.next_sequence;
                queued.with_mid = self.mid_needed;
                queued.timestamp = queued.timestamp_at(now, self.last_timestamp);
            }
            let count = queued.frame.len();
            let mut told = PacketExtensions { mid: queued.with_mid, ..PacketExtensions::default() };
            let plain = self.extensions.block(&told, 0);
            while let Some(payload) = queued.frame.payload(queued.next) {
                told.color_space = color_space(&queued.frame, queued.next);
                told.stamp = self.extensions.stamped().then(|| departure.stamp());
                let own = told.color_space.is_some() || told.stamp.is_some();
                let own = own.then(|| self.extensions.block(&told, payload.len()));
                let extension = own.as_ref().unwrap_or(&plain).bytes();
                let header_length = FIXED_HEADER_LENGTH + extension.len();
                let length = header_length + payload.len() + overhead;
                if let Some(stopped) = held_back(departure, &mut self.catch_up, length) {
                    return stopped;
                }
                let Some(space) = departure.batch.reserve(length) else { return Stopped::BatchFull };
                if queued.next == 0 {
                    queued.sent_at = Some(now);
                    if queued.event.is_none() && (queued.catching_up || self.last_timestamp.is_some()) {
                        self.last_timestamp = Some(queued.timestamp);
                    }
                }
                let index = self.next_sequence;
                let last = queued.next + 1 == count && encoding.codec.kind() == MediaKind::Video;
                let (payload_type, marker) = queued.event.unwrap_or((encoding.payload_type, last));
                let sequence_number = SequenceNumber(index as u16);
                write_header(space, marker, payload_type, sequence_number, queued.timestamp, self.ssrc, extension);
                if departure.srtp.protect_rtp(self.ssrc, index, header_length, payload, space).is_err() {
                    // The space was made to measure and the key is valid, so this cannot happen; skipping the packet
                    // leaves a gap that the receiver handles like a loss.
                    debug_assert!(false, "a packet could not be protected");
                } else {
                    departure.commit(self.ssrc, length, self.extensions.numbered());
                    if let Some(catch_up) = &mut self.catch_up {
                        catch_up.consume(length);
                    }
                }
                self.next_sequence += 1;
                queued.next += 1;
                self.packets = self.packets.wrapping_add(1);
                self.octets = self.octets.wrapping_add(payload.len() as u32);
                self.stats.packets_sent += 1;
                self.stats.bytes_sent += payload.len() as u64;
                self.stats.header_bytes_sent += header_length as u64;
            }
            if let Some(done) = self.queue.pop_front() {
                self.finish(now, done);
            }
        }
        self.end_catch_up(now);
        Stopped::Done
    }

    /// Notes that a keyframe was asked for by a picture loss indication or a full intra request.
    pub(super) const fn count_keyframe_request(&mut self, full_intra: bool) {
        if full_intra {
            self.stats.fir_count += 1;
        } else {
            self.stats.pli_count += 1;
        }
    }

    /// Takes the peer's report on this stream.
    pub(super) fn handle_report(&mut self, now: Instant, report: &ReportBlock) {
        // The peer has seen the stream and knows its m-line, so packets need not name it any more (RFC 9143 §9.2).
        self.mid_needed = false;
        self.stats.reports_received += 1;
        self.stats.packets_lost = i64::from(report.cumulative_lost);
        self.stats.fraction_lost = f64::from(report.fraction_lost) / 256.0;
        if let Some(encoding) = &self.encoding {
            self.stats.jitter =
                Duration::from_secs_f64(f64::from(report.jitter) / f64::from(encoding.codec.clock_rate()));
        }
        // RFC 3550 §6.4.1: the time since our report left, less the time the peer held it.
        let sent = self.reports_sent.iter().find(|(middle, _)| *middle == report.last_sender_report);
        if let Some((_, at)) = sent.filter(|_| report.last_sender_report != 0) {
            let held = Duration::from_secs_f64(f64::from(report.delay_since_last) / 65_536.0);
            let time = now.saturating_duration_since(*at).saturating_sub(held);
            self.stats.round_trip_time = Some(time);
            self.stats.total_round_trip_time = self.stats.total_round_trip_time.saturating_add(time);
            self.stats.round_trip_time_measurements += 1;
        }
    }

    /// The sender information for a report now, whose wall-clock time is `ntp_time`; `None` before the first frame.
    pub(super) fn report(&mut self, now: Instant, ntp_time: u64) -> Option<SenderInfo> {
        let (captured_at, timestamp, rate) = self.last_frame?;
        // The RTP clock at this moment, reckoned from the last frame's capture.
        let since =
            if now >= captured_at { (now - captured_at).as_secs_f64() } else { -(captured_at - now).as_secs_f64() };
        let ticks = (since * f64::from(rate)) as i64;
        let info = SenderInfo {
            ntp_time,
            rtp_time: timestamp.wrapping_add(ticks as u32),
            packet_count: self.packets,
            octet_count: self.octets,
        };
        if self.reports_sent.len() >= 8 {
            self.reports_sent.pop_front();
        }
        self.reports_sent.push_back((info.middle_ntp(), now));
        self.packets_reported = self.packets;
        Some(info)
    }

    fn finish(&mut self, now: Instant, done: QueuedFrame) {
        self.stats.frames_sent += u64::from(done.event.is_none());
        self.stats.key_frames_sent += u64::from(done.frame.keyframe);
        self.queued_bytes = self.queued_bytes.saturating_sub(done.frame.payload_bytes());
        self.last_frame = Some((done.frame.captured_at, done.own_timestamp, done.frame.codec.clock_rate()));
        // An event is told by several packets, and what comes late is of no use.
        let kept = self.encoding.as_ref().is_some_and(|encoding| encoding.nack) && done.event.is_none();
        if kept && let Some(sent_at) = done.sent_at {
            let QueuedFrame { frame, first_sequence, timestamp, with_mid, .. } = done;
            self.history.push(now, SentFrame { frame, first_sequence, sent_at, timestamp, with_mid });
        }
    }

    /// Ends the catch-up, if there is one: its viewer is where all are.
    fn end_catch_up(&mut self, now: Instant) {
        if let Some(catch_up) = self.catch_up.take() {
            self.shown = catch_up.shown(now);
        }
    }
}

impl QueuedFrame {
    const fn new(frame: Arc<PacketizedFrame>, timestamp: u32, first_sequence: u64) -> Self {
        Self {
            frame,
            own_timestamp: timestamp,
            timestamp,
            next: 0,
            first_sequence,
            sent_at: None,
            with_mid: false,
            catching_up: false,
            event: None,
        }
    }

    /// The timestamp of a frame whose first packet leaves now. What a viewer catches up with bears the time at which it
    /// leaves, so that it is shown when it comes and what follows lies behind it; `last` is what went before.
    fn timestamp_at(&self, now: Instant, last: Option<u32>) -> u32 {
        let rate = self.frame.codec.clock_rate();
        let late = now.saturating_duration_since(self.frame.captured_at);
        let timestamp = self.own_timestamp.wrapping_add(if self.catching_up { ticks(late, rate) } else { 0 });
        match last {
            Some(before) if self.event.is_none() => {
                // By less than a second: a source whose time jumps back has its own reasons.
                let back = before.wrapping_sub(timestamp).cast_signed();
                let runs_back = (0..rate.cast_signed()).contains(&back);
                if runs_back { before.wrapping_add(rate / 1_000) } else { timestamp }
            }
            _ => timestamp,
        }
    }

    fn view(&self) -> Option<Sent<'_>> {
        Some(Sent {
            frame: &self.frame,
            first_sequence: self.first_sequence,
            sent_at: self.sent_at?,
            timestamp: self.timestamp,
            with_mid: self.with_mid,
        })
    }
}

/// Why a packet of that length must not leave now, if it must not. What is sent again has its share of a catch-up's pace: on
/// top of it, it would only be lost as well.
fn held_back(departure: &Departure<'_>, catch_up: &mut Option<Box<CatchUp>>, length: usize) -> Option<Stopped> {
    if !departure.admits(length) {
        return Some(Stopped::Paced(length));
    }
    let admitted = catch_up.as_mut().is_none_or(|catch_up| catch_up.admits(departure.now, length));
    (!admitted).then_some(Stopped::CatchingUp)
}

/// A time in ticks of an RTP clock.
fn ticks(time: Duration, rate: u32) -> u32 {
    (time.as_secs_f64() * f64::from(rate)) as u64 as u32
}

/// What a packet tells of the colours: the last one of a keyframe does.
fn color_space(frame: &PacketizedFrame, packet: usize) -> Option<&ColorSpace> {
    frame.color_space.as_ref().filter(|_| frame.keyframe && packet + 1 == frame.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::departure::Congestion;
    use crate::connection::{TransmitBatch, WallClock};
    use crate::frame::Frame;
    use crate::ice::SelectedPair;
    use crate::payload::Packetizer;
    use crate::srtp::{SrtpProfile, SrtpSession};
    use crate::types::MediaTime;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn a_packet_that_is_asked_for_a_thousand_times_goes_once_and_again_after_a_pause() {
        let now = Instant::now();
        let srtp = SrtpSession::new(SrtpProfile::AeadAes128Gcm, &[7; 56], true).unwrap();
        let pair = SelectedPair { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into() };
        let mut sender = RtpSender::new(&mut Random::new([1; 32]), Ssrc(1), Ssrc(2));
        let (payload_type, rtx) = (PayloadType::new(96), Some(PayloadType::new(97)));
        let encoding = SendEncoding { codec: Codec::Vp8, payload_type, rtx_payload_type: rtx, nack: true };
        sender.set_encoding(Some(encoding), SendExtensions::default());
        let data = vec![0x10; 5_000];
        let frame = Frame::new(Codec::Vp8, data, MediaTime::ZERO).with_keyframe(true);
        let packets = Arc::new(Packetizer::new(Codec::Vp8, 1_160).packetize(&frame, now).unwrap());
        let mut batch = TransmitBatch::default();
        let clock = WallClock { instant: now, ntp_time: 0 };
        let mut sent = |sender: &mut RtpSender, now| {
            batch.clear();
            let mut congestion = Congestion::default();
            let mut departure = Departure::new(now, pair, &srtp, &mut batch, &mut congestion, clock);
            assert_eq!(sender.poll_transmit(None, &mut departure), Stopped::Done);
            batch.len()
        };
        assert!(!sender.enqueue(&packets, 0));
        assert_eq!(sent(&mut sender, now), 5);
        let first = (sender.next_sequence - 5) as u16;
        // Everything that 16 bits can name: five of it were sent.
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for _ in 0..20 {
            sender.handle_nack(now, None, &all);
            sender.handle_nack(now, None, &vec![first; 1_000]);
        }
        assert_eq!(sent(&mut sender, now), 5);
        // While no round trip was measured, a tenth of a second counts as one.
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        sender.handle_nack(at(99), None, &[first]);
        assert_eq!(sent(&mut sender, at(99)), 0);
        sender.handle_nack(at(100), None, &[first, first]);
        assert_eq!(sent(&mut sender, at(100)), 1);
        assert_eq!(sender.stats().retransmitted_packets_sent, 6);
        let round_trip = Some(Duration::from_millis(250));
        sender.handle_nack(at(340), round_trip, &[first]);
        assert_eq!(sent(&mut sender, at(340)), 0);
        sender.handle_nack(at(350), round_trip, &[first]);
        assert_eq!(sent(&mut sender, at(350)), 1);
        sender.handle_nack(at(3_001), round_trip, &[first]);
        assert_eq!(sent(&mut sender, at(3_001)), 0, "nobody waits for it any more");
    }
}
