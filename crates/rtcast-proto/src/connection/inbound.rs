//! One stream that the peer sends.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ReceiverStats;
use super::stats_report::RemoteSenderReport;
use crate::codec::Codec;
use crate::color::ColorSpace;
use crate::frame::ReceivedFrame;
use crate::jitter::{JitterBuffer, JitterConfig, ReceivedPacket};
use crate::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use crate::rtp::{RtpPacket, extensions};
use crate::types::{MediaTime, NtpTime, SequenceNumber, Ssrc};

pub(super) struct InboundStream {
    ssrc: Ssrc,
    rtx_ssrc: Option<Ssrc>,
    codec: Codec,
    retransmission: bool,
    buffer: JitterBuffer,
    /// Where the buffer's time begins on the track's: later buffers follow a change of codec.
    begins_at: MediaTime,
    last_frame: Option<(MediaTime, Instant)>,
    first_index: Option<u64>,
    highest_index: u64,
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jitter: f64,
    last_transit: Option<f64>,
    base: Option<Instant>,
    last_sender_report: Option<(u32, Instant)>,
    /// A moment by the peer's wall clock and by the clock of its timestamps, by its last report.
    capture_clock: Option<(NtpTime, u32)>,
    /// What the peer told last of the pictures' colours: with a keyframe that may be on its way still.
    told_color_space: Option<ColorSpace>,
    /// What it told with the last keyframe that was handed on.
    color_space: Option<ColorSpace>,
    stats: ReceiverStats,
}

impl InboundStream {
    /// A stream whose first frame has the time `begins_at`.
    pub(super) fn new(
        ssrc: Ssrc,
        rtx_ssrc: Option<Ssrc>,
        codec: Codec,
        retransmission: bool,
        begins_at: MediaTime,
    ) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            codec,
            retransmission,
            buffer: buffer(codec, retransmission),
            begins_at,
            last_frame: None,
            first_index: None,
            highest_index: 0,
            received: 0,
            expected_at_report: 0,
            received_at_report: 0,
            jitter: 0.0,
            last_transit: None,
            base: None,
            last_sender_report: None,
            capture_clock: None,
            told_color_space: None,
            color_space: None,
            stats: ReceiverStats { ssrc: Some(ssrc), codec: Some(codec), ..ReceiverStats::default() },
        }
    }

    /// The time that a frame would have that was captured now; `None` before the first.
    pub(super) fn time(&self, now: Instant) -> Option<MediaTime> {
        let (timestamp, at) = self.last_frame?;
        Some(timestamp.offset(now.saturating_duration_since(at).into()))
    }

    /// When the latest packet came.
    pub(super) const fn last_packet_received(&self) -> Option<Instant> {
        self.stats.last_packet_received
    }

    pub(super) const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub(super) const fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx_ssrc
    }

    pub(super) fn handle_packet(&mut self, now: Instant, index: u64, codec: Codec, packet: &RtpPacket<'_>) {
        let in_order = self.first_index.is_none() || index > self.highest_index;
        self.first_index.get_or_insert(index);
        self.highest_index = self.highest_index.max(index);
        self.received += 1;
        if self.codec != codec {
            // The peer changed the codec in mid-stream; what was not whole by now never will be.
            if codec.clock_rate() != self.codec.clock_rate() {
                self.capture_clock = None;
            }
            self.codec = codec;
            self.buffer = buffer(codec, self.retransmission);
            self.stats.codec = Some(codec);
            if let Some(time) = self.time(now) {
                self.begins_at = time;
            }
        }
        self.count(now, packet, packet.payload.len());
        self.stats.payload_type = Some(packet.payload_type);
        if in_order {
            self.note_transit(now, codec, packet.timestamp);
        }
        self.buffer.push(now, received(index, packet, packet.payload));
    }

    /// RFC 3550 §6.4.1 and A.8: the mean deviation of the difference in transit time. What comes out of order may have been
    /// sent again, and tells nothing of the path.
    fn note_transit(&mut self, now: Instant, codec: Codec, timestamp: u32) {
        let base = *self.base.get_or_insert(now);
        let rate = f64::from(codec.clock_rate());
        let arrival = now.saturating_duration_since(base).as_secs_f64() * rate;
        let transit = arrival - f64::from(timestamp);
        if let Some(last) = self.last_transit {
            // A wrap of the timestamp would look like a day's delay.
            let difference = (transit - last).abs();
            if difference < rate * 60.0 {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
        self.last_transit = Some(transit);
        self.stats.jitter = Duration::from_secs_f64(self.jitter / rate);
    }

    /// Takes what a packet tells of the pictures' colours: the last of a keyframe does, by the extension of that number.
    pub(super) fn note_color_space(&mut self, packet: &RtpPacket<'_>, id: Option<u8>) {
        let (true, Some(id), Some((profile, block))) = (packet.marker, id, packet.extension) else { return };
        let value = extensions(profile, block).find_map(|(found, value)| (found == id).then_some(value));
        if let Some(color_space) = value.and_then(ColorSpace::from_bytes) {
            self.told_color_space = Some(color_space);
        }
    }

    /// Takes a packet of a tone, which has a number of the stream and is no frame.
    pub(super) fn handle_event(&mut self, now: Instant, index: u64, packet: &RtpPacket<'_>) {
        self.first_index.get_or_insert(index);
        self.highest_index = self.highest_index.max(index);
        self.received += 1;
        self.count(now, packet, packet.payload.len());
        // To the buffer it is padding: its place is filled, and nothing comes of it.
        self.buffer.push(now, received(index, packet, &[]));
    }

    /// Takes a packet that was sent again, under its original number.
    pub(super) fn handle_retransmission(
        &mut self,
        now: Instant,
        original: SequenceNumber,
        codec: Codec,
        packet: &RtpPacket<'_>,
        payload: &[u8],
    ) {
        self.rtx_ssrc.get_or_insert(packet.ssrc);
        self.count(now, packet, payload.len());
        self.stats.retransmitted_packets_received += 1;
        self.stats.retransmitted_bytes_received += payload.len() as u64;
        if self.codec == codec && self.first_index.is_some() {
            let index = original.extend(self.highest_index);
            self.buffer.push_retransmission(now, received(index, packet, payload));
        }
    }

    pub(super) fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_sender_report = Some((info.middle_ntp(), now));
        self.capture_clock = Some((NtpTime(info.ntp_time), info.rtp_time));
        self.stats.sender_report = Some(RemoteSenderReport {
            packets_sent: info.packet_count,
            bytes_sent: info.octet_count,
            ntp_time: info.ntp_time,
            reports: self.stats.sender_report.map_or(0, |before| before.reports) + 1,
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.buffer.poll_timeout()
    }

    pub(super) fn handle_round_trip_time(&mut self, round_trip_time: Duration) {
        self.buffer.handle_round_trip_time(round_trip_time);
    }

    /// Writes requests for lost packets and for a keyframe.
    pub(super) fn write_feedback(&mut self, now: Instant, sender: Ssrc, rtcp: &mut RtcpWriter) {
        let lost = self.buffer.poll_nack(now);
        if !lost.is_empty() {
            self.stats.nack_count += 1;
            rtcp.nack(sender, self.ssrc, &lost);
        }
        if self.buffer.poll_keyframe_request(now) {
            self.stats.pli_count += 1;
            rtcp.picture_loss_indication(sender, self.ssrc);
        }
    }

    pub(super) fn request_keyframe(&mut self, now: Instant) {
        self.buffer.request_keyframe(now);
    }

    pub(super) fn pop_frame(&mut self, now: Instant) -> Option<ReceivedFrame> {
        let mut received = self.buffer.pop_received(now)?;
        let frame = &mut received.frame;
        // RFC 3550 §6.4.1: a report pairs the media clock with the wall clock.
        frame.captured_at = self.capture_clock.map(|(ntp_time, rtp_time)| {
            let ticks = received.rtp_timestamp.wrapping_sub(rtp_time).cast_signed();
            ntp_time.offset(MediaTime::from_ticks(ticks.into(), self.codec.clock_rate()))
        });
        frame.timestamp = frame.timestamp.offset(self.begins_at);
        if frame.keyframe {
            self.color_space = self.told_color_space;
        }
        frame.color_space = self.color_space;
        self.last_frame = Some((frame.timestamp, now));
        self.stats.frames_received += 1;
        self.stats.key_frames_received += u64::from(frame.keyframe);
        Some(received)
    }

    /// RFC 3550 §6.4.1 and A.3: what was lost since the last report and since the beginning.
    pub(super) fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let first = self.first_index?;
        let expected = self.highest_index - first + 1;
        let (new_expected, new_received) =
            (expected - self.expected_at_report, self.received - self.received_at_report);
        let lost = new_expected.saturating_sub(new_received);
        let fraction_lost = (lost * 256).checked_div(new_expected).unwrap_or(0).min(255) as u8;
        self.expected_at_report = expected;
        self.received_at_report = self.received;
        self.stats.packets_lost = expected as i64 - self.received as i64;
        let (last_sender_report, delay_since_last) = match self.last_sender_report {
            Some((middle, at)) => (middle, (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: self.stats.packets_lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest_index as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            delay_since_last,
        })
    }

    pub(super) const fn stats(&self) -> ReceiverStats {
        ReceiverStats { rtx_ssrc: self.rtx_ssrc, ..self.stats }
    }

    const fn count(&mut self, now: Instant, packet: &RtpPacket<'_>, payload: usize) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload as u64;
        self.stats.header_bytes_received += packet.header_length as u64;
        self.stats.last_packet_received = Some(now);
    }
}

fn received(index: u64, packet: &RtpPacket<'_>, payload: &[u8]) -> ReceivedPacket {
    let (timestamp, marker) = (packet.timestamp, packet.marker);
    ReceivedPacket { index, timestamp, marker, payload: Bytes::copy_from_slice(payload) }
}

fn buffer(codec: Codec, retransmission: bool) -> JitterBuffer {
    JitterBuffer::new(codec, JitterConfig { retransmission, ..JitterConfig::new(codec) })
}
