//! The sending half of a transceiver: from packetised frames to protected packets, with retransmission.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::TransmitBatch;
use super::extensions::SendExtensions;
use super::random::Random;
use crate::codec::Codec;
use crate::color::ColorSpace;
use crate::frame::PacketizedFrame;
use crate::ice::SelectedPair;
use crate::rtcp::{ReportBlock, SenderInfo};
use crate::rtp::{FIXED_HEADER_LENGTH, write_header};
use crate::srtp::SrtpSession;
use crate::types::{MediaKind, PayloadType, SequenceNumber, Ssrc};

/// Frames that wait for the socket. What comes on top is dropped up to the next keyframe.
const MAX_QUEUED_FRAMES: usize = 1_024;

/// Frames kept for retransmission, two seconds of pictures; they are shared with all other viewers, so that only the
/// reference costs.
const MAX_SENT_FRAMES: usize = 64;

/// Retransmissions that wait; further requests are ignored, the peer repeats them.
const MAX_RETRANSMISSIONS: usize = 1_024;

/// A packet is not retransmitted twice within this time.
const RETRANSMISSION_PAUSE: Duration = Duration::from_millis(10);

/// The longest payload that a retransmission can carry.
const MAX_RETRANSMITTED_PAYLOAD: usize = 1_498;

/// What negotiation settled for a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendEncoding {
    pub(super) codec: Codec,
    pub(super) payload_type: PayloadType,
    pub(super) rtx_payload_type: Option<PayloadType>,
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
    timestamp: u32,
    next: usize,
    first_sequence: u64,
    with_mid: bool,
    /// The payload type and marker of a packet that is no frame.
    event: Option<(PayloadType, bool)>,
}

struct SentFrame {
    frame: Arc<PacketizedFrame>,
    timestamp: u32,
    first_sequence: u64,
    with_mid: bool,
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
    waiting_for_keyframe: bool,
    sent: VecDeque<SentFrame>,
    retransmissions: VecDeque<u64>,
    /// When a packet was last sent again, `None` while it waits for that: a repeated request costs no more than a look-up.
    requested: HashMap<u64, Option<Instant>>,
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
            waiting_for_keyframe: false,
            sent: VecDeque::new(),
            retransmissions: VecDeque::new(),
            requested: HashMap::new(),
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
            self.queue.clear();
            self.sent.clear();
            self.retransmissions.clear();
            self.requested.clear();
        }
        if self.extensions != extensions {
            // Packets already sent were signed with the old block and could not be repeated with the new one.
            self.sent.clear();
            self.retransmissions.clear();
            self.requested.clear();
            self.extensions = extensions;
            self.mid_needed = true;
        }
        self.encoding = encoding;
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
        if self.encoding.as_ref().is_none_or(|encoding| encoding.codec != frame.codec) || frame.is_empty() {
            return false;
        }
        if self.interrupted {
            return false;
        }
        if self.queue.len() >= MAX_QUEUED_FRAMES {
            // The viewer is slower than the stream. A frame of which packets have left is finished; of the others only
            // what follows the next keyframe is of use.
            let keep = usize::from(self.queue.front().is_some_and(|queued| queued.next > 0));
            self.stats.frames_dropped += (self.queue.len() - keep) as u64;
            self.queue.truncate(keep);
            self.waiting_for_keyframe = true;
        }
        if self.waiting_for_keyframe {
            if !frame.keyframe {
                self.stats.frames_dropped += 1;
                return true;
            }
            self.waiting_for_keyframe = false;
        }
        if std::mem::take(&mut self.new_timeline) {
            self.join_timeline(frame, timestamp);
        }
        let timestamp = self.timestamp_offset.wrapping_add(timestamp as u32);
        self.last_queued = Some((frame.captured_at, timestamp));
        self.queue.push_back(QueuedFrame {
            frame: Arc::clone(frame),
            timestamp,
            next: 0,
            first_sequence: self.next_sequence,
            with_mid: false,
            event: None,
        });
        false
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
        self.queue.push_back(QueuedFrame {
            frame: Arc::new(packet),
            timestamp,
            next: 0,
            first_sequence: self.next_sequence,
            with_mid: false,
            event: Some((payload_type, marker)),
        });
    }

    /// Another track follows, with a time of its own: its timestamps go on from those sent so far.
    pub(super) const fn begin_timeline(&mut self) {
        self.new_timeline = true;
    }

    /// Moves the offset so that the frame lies as far behind the last one as it was captured later, but behind it.
    fn join_timeline(&mut self, frame: &PacketizedFrame, timestamp: i64) {
        let Some((captured_at, last)) = self.last_queued else { return };
        let rate = frame.codec.clock_rate();
        let elapsed = frame.captured_at.saturating_duration_since(captured_at).as_secs_f64() * f64::from(rate);
        let by_capture = last.wrapping_add(elapsed as u32).wrapping_sub(frame.timestamp as u32);
        // What a joiner catches up with bears other times than its own; a millisecond is the least that lies between.
        let by_order = last.wrapping_add(rate / 1_000).wrapping_sub(timestamp as u32);
        let later = by_capture.wrapping_sub(by_order).cast_signed() >= 0;
        self.timestamp_offset = if later { by_capture } else { by_order };
    }

    /// Whether nothing was sent since the last report.
    pub(super) const fn rests(&self) -> bool {
        self.packets == self.packets_reported
    }

    /// See [`Connection::warm`](super::Connection::warm).
    pub(super) fn warm(&self) -> usize {
        let reports = self.reports_sent.front().map_or(0, |(middle, _)| *middle as usize);
        let queues = (self.queue.len() + self.retransmissions.len()).wrapping_add(self.ssrc.0 as usize);
        queues.wrapping_add(reports).wrapping_add(self.stats.reports_received as usize)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.retransmissions.is_empty()
    }

    /// Writes waiting packets until nothing is left, the batch is full or `budget` bytes are spent. The budget is
    /// lowered by what was written.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        pair: SelectedPair,
        srtp: &SrtpSession,
        batch: &mut TransmitBatch,
        budget: &mut usize,
    ) -> Stopped {
        let Some(encoding) = self.encoding.clone() else { return Stopped::Done };
        let stopped = self.retransmit(now, &encoding, pair, srtp, batch, budget);
        if stopped != Stopped::Done {
            return stopped;
        }
        let overhead = srtp.profile().rtp_overhead();
        while let Some(queued) = self.queue.front_mut() {
            if queued.next == 0 {
                queued.first_sequence = self.next_sequence;
                queued.with_mid = self.mid_needed;
            }
            let count = queued.frame.len();
            while let Some(payload) = queued.frame.payload(queued.next) {
                let color_space = color_space(&queued.frame, queued.next);
                let block = self.extensions.block(queued.with_mid, color_space, payload.len());
                let extension = block.bytes();
                let header_length = FIXED_HEADER_LENGTH + extension.len();
                let length = header_length + payload.len() + overhead;
                if *budget < length {
                    return Stopped::Paced(length);
                }
                let Some(space) = batch.reserve(length) else { return Stopped::BatchFull };
                let index = self.next_sequence;
                let last = queued.next + 1 == count && encoding.codec.kind() == MediaKind::Video;
                let (payload_type, marker) = queued.event.unwrap_or((encoding.payload_type, last));
                let sequence_number = SequenceNumber(index as u16);
                write_header(space, marker, payload_type, sequence_number, queued.timestamp, self.ssrc, extension);
                if srtp.protect_rtp(self.ssrc, index, header_length, payload, space).is_err() {
                    // The space was made to measure and the key is valid, so this cannot happen; skipping the packet
                    // leaves a gap that the receiver handles like a loss.
                    debug_assert!(false, "a packet could not be protected");
                } else {
                    batch.commit(pair, length);
                    *budget -= length;
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
                self.finish(done);
            }
        }
        Stopped::Done
    }

    /// Notes a request for lost packets.
    pub(super) fn handle_nack(&mut self, now: Instant, lost: &[u16]) {
        self.stats.nack_count += 1;
        let pausing = |at| now.saturating_duration_since(at) < RETRANSMISSION_PAUSE;
        if self.requested.len() > 2 * MAX_RETRANSMISSIONS {
            self.requested.retain(|_, at| at.is_none_or(pausing));
        }
        for &number in lost {
            if self.retransmissions.len() >= MAX_RETRANSMISSIONS {
                break;
            }
            let index = SequenceNumber(number).extend(self.next_sequence);
            let recent = self.requested.get(&index).is_some_and(|at| at.is_none_or(pausing));
            if !recent && self.find_sent(index).is_some() {
                self.requested.insert(index, None);
                self.retransmissions.push_back(index);
            }
        }
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
        // The peer has seen the stream and knows its m-line, so packets need not name it any more (RFC 8843 §9.2).
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

    fn finish(&mut self, done: QueuedFrame) {
        self.stats.frames_sent += u64::from(done.event.is_none());
        self.stats.key_frames_sent += u64::from(done.frame.keyframe);
        self.last_frame = Some((done.frame.captured_at, done.timestamp, done.frame.codec.clock_rate()));
        if done.event.is_some() {
            // Each is told by several packets, and what comes late is of no use.
            return;
        }
        if self.sent.len() >= MAX_SENT_FRAMES {
            self.sent.pop_front();
        }
        self.sent.push_back(SentFrame {
            frame: done.frame,
            timestamp: done.timestamp,
            first_sequence: done.first_sequence,
            with_mid: done.with_mid,
        });
    }

    fn find_sent(&self, index: u64) -> Option<(&SentFrame, usize)> {
        let after = self.sent.partition_point(|sent| sent.first_sequence <= index);
        let sent = self.sent.get(after.checked_sub(1)?)?;
        let packet = usize::try_from(index - sent.first_sequence).ok()?;
        (packet < sent.frame.len()).then_some((sent, packet))
    }

    fn retransmit(
        &mut self,
        now: Instant,
        encoding: &SendEncoding,
        pair: SelectedPair,
        srtp: &SrtpSession,
        batch: &mut TransmitBatch,
        budget: &mut usize,
    ) -> Stopped {
        let overhead = srtp.profile().rtp_overhead();
        while let Some(&index) = self.retransmissions.front() {
            if let Some((sent, packet)) = self.find_sent(index)
                && let Some(payload) = sent.frame.payload(packet)
                && payload.len() <= MAX_RETRANSMITTED_PAYLOAD
            {
                let marker = packet + 1 == sent.frame.len() && encoding.codec.kind() == MediaKind::Video;
                let block = self.extensions.block(sent.with_mid, color_space(&sent.frame, packet), payload.len());
                let extension = block.bytes();
                let header_length = FIXED_HEADER_LENGTH + extension.len();
                // RFC 4588 §4: a stream of its own whose payload begins with the original sequence number. Without it
                // the very same packet goes again, header and all, so that no key stream is used for two texts.
                let (payload_type, ssrc, sequence, prefix) = match encoding.rtx_payload_type {
                    Some(payload_type) => (payload_type, self.rtx_ssrc, self.rtx_sequence, 2),
                    None => (encoding.payload_type, self.ssrc, index, 0),
                };
                let mut body = [0; MAX_RETRANSMITTED_PAYLOAD + 2];
                body[..2].copy_from_slice(&(index as u16).to_be_bytes());
                body[prefix..prefix + payload.len()].copy_from_slice(payload);
                let body = &body[..prefix + payload.len()];
                let length = header_length + body.len() + overhead;
                if *budget < length {
                    return Stopped::Paced(length);
                }
                let Some(space) = batch.reserve(length) else { return Stopped::BatchFull };
                let number = SequenceNumber(sequence as u16);
                write_header(space, marker, payload_type, number, sent.timestamp, ssrc, extension);
                if srtp.protect_rtp(ssrc, sequence, header_length, body, space).is_ok() {
                    batch.commit(pair, length);
                    *budget -= length;
                    self.stats.packets_sent += 1;
                    self.stats.bytes_sent += body.len() as u64;
                    self.stats.header_bytes_sent += header_length as u64;
                    self.stats.retransmitted_packets_sent += 1;
                    self.stats.retransmitted_bytes_sent += body.len() as u64;
                }
                if prefix != 0 {
                    self.rtx_sequence += 1;
                }
            }
            self.requested.insert(index, Some(now));
            self.retransmissions.pop_front();
        }
        Stopped::Done
    }
}

/// What a packet tells of the colours: the last one of a keyframe does.
fn color_space(frame: &PacketizedFrame, packet: usize) -> Option<&ColorSpace> {
    frame.color_space.as_ref().filter(|_| frame.keyframe && packet + 1 == frame.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::EncodedFrame;
    use crate::payload::Packetizer;
    use crate::srtp::SrtpProfile;
    use crate::types::MediaTime;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn a_packet_that_is_asked_for_a_thousand_times_goes_once_and_again_after_a_pause() {
        let now = Instant::now();
        let srtp = SrtpSession::new(SrtpProfile::AeadAes128Gcm, &[7; 56], true).unwrap();
        let pair = SelectedPair { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into() };
        let mut sender = RtpSender::new(&mut Random::new([1; 32]), Ssrc(1), Ssrc(2));
        let (payload_type, rtx) = (PayloadType::new(96), Some(PayloadType::new(97)));
        let encoding = SendEncoding { codec: Codec::Vp8, payload_type, rtx_payload_type: rtx };
        sender.set_encoding(Some(encoding), SendExtensions::default());
        let data = vec![0x10; 5_000].into();
        let frame =
            EncodedFrame { codec: Codec::Vp8, data, timestamp: MediaTime::ZERO, keyframe: true, color_space: None };
        let packets = Arc::new(Packetizer::new(Codec::Vp8, 1_160).packetize(&frame, now).unwrap());
        let mut batch = TransmitBatch::default();
        let mut sent = |sender: &mut RtpSender, now| {
            batch.clear();
            assert_eq!(sender.poll_transmit(now, pair, &srtp, &mut batch, &mut 1_000_000), Stopped::Done);
            batch.len()
        };
        assert!(!sender.enqueue(&packets, 0));
        assert_eq!(sent(&mut sender, now), 5);
        let first = (sender.next_sequence - 5) as u16;
        // Everything that 16 bits can name: five of it were sent.
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for _ in 0..20 {
            sender.handle_nack(now, &all);
            sender.handle_nack(now, &vec![first; 1_000]);
        }
        assert_eq!(sent(&mut sender, now), 5);
        sender.handle_nack(now + RETRANSMISSION_PAUSE / 2, &[first]);
        assert_eq!(sent(&mut sender, now + RETRANSMISSION_PAUSE / 2), 0);
        sender.handle_nack(now + RETRANSMISSION_PAUSE, &[first, first]);
        assert_eq!(sent(&mut sender, now + RETRANSMISSION_PAUSE), 1);
        assert_eq!(sender.stats().retransmitted_packets_sent, 6);
    }
}
