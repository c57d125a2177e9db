//! The parts of sender and receiver reports.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use crate::types::Ssrc;

/// What a sender says of its stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall-clock time as 32.32 fixed-point seconds since 1900.
    pub ntp_time: u64,
    /// The same moment on the stream's RTP clock.
    pub rtp_time: u32,
    /// Packets sent so far.
    pub packet_count: u32,
    /// Payload octets sent so far.
    pub octet_count: u32,
}

impl SenderInfo {
    /// The middle 32 bits of the NTP time, which reports echo.
    pub const fn middle_ntp(&self) -> u32 {
        (self.ntp_time >> 16) as u32
    }
}

/// What a receiver says of one stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream reported on.
    pub ssrc: Ssrc,
    /// The share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, 24 bits, negative if duplicates outnumber the lost.
    pub cumulative_lost: i32,
    /// The highest sequence number, extended by the count of wraps.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP time, 0 if there was none.
    pub last_sender_report: u32,
    /// The time since that report in 1/65536 seconds.
    pub delay_since_last: u32,
}

impl ReportBlock {
    pub(super) const LENGTH: usize = 24;

    pub(super) fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let mut words = bytes.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word));
        let [ssrc, lost, highest_sequence, jitter, last_sender_report, delay_since_last] =
            std::array::from_fn(|_| words.next().unwrap_or_default());
        Self {
            ssrc: Ssrc(ssrc),
            fraction_lost: (lost >> 24) as u8,
            // 24 bits, two's complement: shifted up and back so that the sign extends.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_sequence,
            jitter,
            last_sender_report,
            delay_since_last,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        out.extend(self.ssrc.0.to_be_bytes());
        out.extend((u32::from(self.fraction_lost) << 24 | lost.cast_unsigned() & 0xff_ffff).to_be_bytes());
        out.extend(self.highest_sequence.to_be_bytes());
        out.extend(self.jitter.to_be_bytes());
        out.extend(self.last_sender_report.to_be_bytes());
        out.extend(self.delay_since_last.to_be_bytes());
    }
}
