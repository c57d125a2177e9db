//! Writing compound packets.

use super::report::{ReportBlock, SenderInfo};
use super::transport_feedback::TransportFeedback;
use super::{
    APPLICATION_LAYER, FULL_INTRA, GENERIC_NACK, GOODBYE, PAYLOAD_FEEDBACK, PICTURE_LOSS, RECEIVER_REPORT,
    SENDER_REPORT, SOURCE_DESCRIPTION, TRANSPORT_FEEDBACK, TRANSPORT_WIDE,
};
use crate::types::{Bitrate, Ssrc};

/// Report blocks, streams and chunks are counted in five bits.
const MAX_COUNT: usize = 31;

/// Builds a compound packet, one packet after the other.
///
/// RFC 3550 §6.1 wants a report first and a source description after it; reduced-size packets (RFC 5506) need not.
///
/// ```
/// use rtcast_proto::Ssrc;
/// use rtcast_proto::rtcp::{RtcpPacket, RtcpWriter, packets};
///
/// let mut compound = RtcpWriter::default();
/// compound.receiver_report(Ssrc(1), &[]);
/// compound.nack(Ssrc(1), Ssrc(2), &[7, 9]);
/// let last = packets(compound.bytes()).last().transpose()?;
/// assert_eq!(last, Some(RtcpPacket::Nack { media: Ssrc(2), lost: vec![7, 9] }));
/// # Ok::<(), rtcast_proto::rtcp::RtcpError>(())
/// ```
#[derive(Debug, Default)]
pub struct RtcpWriter {
    bytes: Vec<u8>,
}

impl RtcpWriter {
    /// The bytes written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Starts anew, keeping the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// A sender report with at most 31 report blocks; further ones are left out.
    pub fn sender_report(&mut self, ssrc: Ssrc, info: &SenderInfo, reports: &[ReportBlock]) {
        let reports = &reports[..reports.len().min(MAX_COUNT)];
        self.packet(SENDER_REPORT, reports.len() as u8, |out| {
            out.extend(ssrc.0.to_be_bytes());
            out.extend(info.ntp_time.to_be_bytes());
            out.extend(info.rtp_time.to_be_bytes());
            out.extend(info.packet_count.to_be_bytes());
            out.extend(info.octet_count.to_be_bytes());
            reports.iter().for_each(|report| report.write(out));
        });
    }

    /// A receiver report with at most 31 report blocks; further ones are left out.
    pub fn receiver_report(&mut self, ssrc: Ssrc, reports: &[ReportBlock]) {
        let reports = &reports[..reports.len().min(MAX_COUNT)];
        self.packet(RECEIVER_REPORT, reports.len() as u8, |out| {
            out.extend(ssrc.0.to_be_bytes());
            reports.iter().for_each(|report| report.write(out));
        });
    }

    /// The canonical name of a stream; cut to 255 bytes.
    pub fn source_description(&mut self, ssrc: Ssrc, canonical_name: &str) {
        let name = &canonical_name.as_bytes()[..canonical_name.len().min(255)];
        self.packet(SOURCE_DESCRIPTION, 1, |out| {
            let start = out.len();
            out.extend(ssrc.0.to_be_bytes());
            out.extend([1, name.len() as u8]);
            out.extend(name);
            out.push(0);
            out.resize(start + (out.len() - start).next_multiple_of(4), 0);
        });
    }

    /// The end of at most 31 streams.
    pub fn goodbye(&mut self, ssrcs: &[Ssrc]) {
        let ssrcs = &ssrcs[..ssrcs.len().min(MAX_COUNT)];
        self.packet(GOODBYE, ssrcs.len() as u8, |out| {
            ssrcs.iter().for_each(|ssrc| out.extend(ssrc.0.to_be_bytes()));
        });
    }

    /// A request for lost packets, whose sequence numbers ascend.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, lost: &[u16]) {
        self.packet(TRANSPORT_FEEDBACK, GENERIC_NACK, |out| {
            out.extend(sender.0.to_be_bytes());
            out.extend(media.0.to_be_bytes());
            let mut rest = lost;
            while let Some((&first, mut tail)) = rest.split_first() {
                let mut mask = 0u16;
                while let Some((&next, after)) = tail.split_first() {
                    let distance = next.wrapping_sub(first);
                    if !(1..=16).contains(&distance) {
                        break;
                    }
                    mask |= 1 << (distance - 1);
                    tail = after;
                }
                out.extend(first.to_be_bytes());
                out.extend(mask.to_be_bytes());
                rest = tail;
            }
        });
    }

    /// When packets arrived; of more than 65,535, the first.
    pub fn transport_feedback(&mut self, sender: Ssrc, feedback: &TransportFeedback) {
        self.packet(TRANSPORT_FEEDBACK, TRANSPORT_WIDE, |out| {
            out.extend(sender.0.to_be_bytes());
            out.extend(feedback.media.0.to_be_bytes());
            feedback.write(out);
        });
    }

    /// A picture loss indication.
    pub fn picture_loss_indication(&mut self, sender: Ssrc, media: Ssrc) {
        self.packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, |out| {
            out.extend(sender.0.to_be_bytes());
            out.extend(media.0.to_be_bytes());
        });
    }

    /// A full intra request; `command` grows by one with each new request and stays for repetitions.
    pub fn full_intra_request(&mut self, sender: Ssrc, media: Ssrc, command: u8) {
        self.packet(PAYLOAD_FEEDBACK, FULL_INTRA, |out| {
            out.extend(sender.0.to_be_bytes());
            out.extend([0; 4]);
            out.extend(media.0.to_be_bytes());
            out.extend([command, 0, 0, 0]);
        });
    }

    /// A receiver's estimate for at most 255 streams.
    pub fn receiver_estimated_maximum_bitrate(&mut self, sender: Ssrc, bitrate: Bitrate, ssrcs: &[Ssrc]) {
        let ssrcs = &ssrcs[..ssrcs.len().min(255)];
        let mut exponent = 0;
        while bitrate.as_bps() >> exponent > 0x3_ffff {
            exponent += 1;
        }
        let mantissa = (bitrate.as_bps() >> exponent) as u32;
        self.packet(PAYLOAD_FEEDBACK, APPLICATION_LAYER, |out| {
            out.extend(sender.0.to_be_bytes());
            out.extend([0; 4]);
            out.extend(b"REMB");
            out.extend(((ssrcs.len() as u32) << 24 | exponent << 18 | mantissa).to_be_bytes());
            ssrcs.iter().for_each(|ssrc| out.extend(ssrc.0.to_be_bytes()));
        });
    }

    fn packet(&mut self, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0x80 | count, packet_type, 0, 0]);
        body(&mut self.bytes);
        let words = ((self.bytes.len() - start) / 4 - 1) as u16;
        self.bytes[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpPacket, packets};

    #[test]
    fn everything_written_is_read_back() {
        let info = SenderInfo { ntp_time: 0x0102_0304_0506_0708, rtp_time: 9, packet_count: 10, octet_count: 11 };
        let report = ReportBlock {
            ssrc: Ssrc(5),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_sequence: 70_000,
            jitter: 12,
            last_sender_report: 13,
            delay_since_last: 14,
        };
        let mut writer = RtcpWriter::default();
        writer.sender_report(Ssrc(1), &info, &[report]);
        writer.receiver_report(Ssrc(2), &[report, report]);
        for name in ["a", "ab", "abc", "abcd", "abcde"] {
            writer.source_description(Ssrc(1), name);
        }
        writer.nack(Ssrc(1), Ssrc(5), &[65_534, 65_535, 0, 14, 15, 400]);
        writer.picture_loss_indication(Ssrc(1), Ssrc(5));
        writer.full_intra_request(Ssrc(1), Ssrc(5), 200);
        writer.receiver_estimated_maximum_bitrate(Ssrc(1), Bitrate::from_kbps(2_500), &[Ssrc(5), Ssrc(6)]);
        writer.goodbye(&[Ssrc(1), Ssrc(2)]);
        let read: Vec<_> = packets(writer.bytes()).collect::<Result<_, _>>().unwrap();
        let named = |name: &str| RtcpPacket::SourceDescription { names: vec![(Ssrc(1), name.to_owned())] };
        let RtcpPacket::ReceiverEstimatedMaximumBitrate { bitrate, ssrcs } = &read[10] else { panic!("{read:?}") };
        assert!((2_499_990..=2_500_000).contains(&bitrate.as_bps()), "{bitrate:?}");
        assert_eq!(ssrcs, &[Ssrc(5), Ssrc(6)]);
        assert_eq!(
            read[..10],
            [
                RtcpPacket::SenderReport { ssrc: Ssrc(1), info, reports: vec![report] },
                RtcpPacket::ReceiverReport { ssrc: Ssrc(2), reports: vec![report, report] },
                named("a"),
                named("ab"),
                named("abc"),
                named("abcd"),
                named("abcde"),
                RtcpPacket::Nack { media: Ssrc(5), lost: vec![65_534, 65_535, 0, 14, 15, 400] },
                RtcpPacket::PictureLossIndication { media: Ssrc(5) },
                RtcpPacket::FullIntraRequest { requests: vec![(Ssrc(5), 200)] },
            ]
        );
        assert_eq!(read[11], RtcpPacket::Goodbye { ssrcs: vec![Ssrc(1), Ssrc(2)] });
    }
}
