//! One stream that the peer sends.

use std::time::{Duration, Instant};

use super::ReceiverStats;
use crate::codec::Codec;
use crate::frame::EncodedFrame;
use crate::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use crate::rtp::RtpPacket;
use crate::types::{SequenceNumber, Ssrc};

pub(super) struct InboundStream {
    ssrc: Ssrc,
    rtx_ssrc: Option<Ssrc>,
    first_index: Option<u64>,
    highest_index: u64,
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jitter: f64,
    last_transit: Option<f64>,
    base: Option<Instant>,
    last_sender_report: Option<(u32, Instant)>,
    stats: ReceiverStats,
}

impl InboundStream {
    pub(super) fn new(ssrc: Ssrc, rtx_ssrc: Option<Ssrc>, codec: Codec, _nack: bool) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            first_index: None,
            highest_index: 0,
            received: 0,
            expected_at_report: 0,
            received_at_report: 0,
            jitter: 0.0,
            last_transit: None,
            base: None,
            last_sender_report: None,
            stats: ReceiverStats { ssrc: Some(ssrc), codec: Some(codec), ..ReceiverStats::default() },
        }
    }

    pub(super) const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub(super) const fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx_ssrc
    }

    pub(super) fn handle_packet(&mut self, now: Instant, index: u64, codec: Codec, packet: &RtpPacket<'_>) {
        self.first_index.get_or_insert(index);
        self.highest_index = self.highest_index.max(index);
        self.received += 1;
        self.stats.codec = Some(codec);
        self.count(packet.payload.len());
        // RFC 3550 §6.4.1 and A.8: the mean deviation of the difference in transit time.
        let base = *self.base.get_or_insert(now);
        let rate = f64::from(codec.clock_rate());
        let arrival = now.saturating_duration_since(base).as_secs_f64() * rate;
        let transit = arrival - f64::from(packet.timestamp);
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

    pub(super) fn handle_retransmission(
        &mut self,
        _now: Instant,
        _original: SequenceNumber,
        _codec: Codec,
        _packet: &RtpPacket<'_>,
        payload: &[u8],
    ) {
        self.count(payload.len());
        self.stats.retransmitted_packets_received += 1;
    }

    pub(super) fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_sender_report = Some((info.middle_ntp(), now));
    }

    pub(super) fn handle_timeout(&mut self, _now: Instant) {}

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub(super) fn write_feedback(&mut self, _now: Instant, _sender: Ssrc, _rtcp: &mut RtcpWriter) {}

    pub(super) fn pop_frame(&mut self) -> Option<EncodedFrame> {
        None
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
        self.stats
    }

    const fn count(&mut self, payload: usize) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload as u64;
    }
}
