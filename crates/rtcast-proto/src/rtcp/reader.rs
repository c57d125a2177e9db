//! Reading compound packets.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use super::report::{ReportBlock, SenderInfo};
use super::transport_feedback::TransportFeedback;
use super::{
    APPLICATION_LAYER, FULL_INTRA, GENERIC_NACK, GOODBYE, PAYLOAD_FEEDBACK, PICTURE_LOSS, RECEIVER_REPORT,
    SENDER_REPORT, SOURCE_DESCRIPTION, TRANSPORT_FEEDBACK, TRANSPORT_WIDE,
};
use crate::types::{Bitrate, Ssrc};

/// Why bytes are no RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The packet ends before its length says.
    #[error("the RTCP packet ends before its length says")]
    Truncated,
    /// The version is not 2.
    #[error("RTCP version {0} where 2 was expected")]
    Version(u8),
    /// The contents do not fit the packet type.
    #[error("RTCP packet of type {0} with contents that do not fit it")]
    Contents(u8),
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpPacket {
    /// Sender report.
    SenderReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it sent.
        info: SenderInfo,
        /// What it received.
        reports: Vec<ReportBlock>,
    },
    /// Receiver report.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it received.
        reports: Vec<ReportBlock>,
    },
    /// Canonical names of streams, of the source description's items.
    SourceDescription {
        /// Stream and canonical name.
        names: Vec<(Ssrc, String)>,
    },
    /// Streams that end.
    Goodbye {
        /// The streams.
        ssrcs: Vec<Ssrc>,
    },
    /// Packets that are missing (RFC 4585 §6.2.1).
    Nack {
        /// The stream that misses them.
        media: Ssrc,
        /// Their sequence numbers.
        lost: Vec<u16>,
    },
    /// A picture cannot be decoded (RFC 4585 §6.3.1).
    PictureLossIndication {
        /// The stream.
        media: Ssrc,
    },
    /// A keyframe is demanded (RFC 5104 §4.3.1).
    FullIntraRequest {
        /// Stream and command sequence number.
        requests: Vec<(Ssrc, u8)>,
    },
    /// The receiver's estimate of the bitrate that the path carries (draft-alvestrand-rmcat-remb).
    ReceiverEstimatedMaximumBitrate {
        /// The estimate for all streams together.
        bitrate: Bitrate,
        /// The streams.
        ssrcs: Vec<Ssrc>,
    },
    /// When the packets of the transport arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportFeedback(TransportFeedback),
    /// A packet of another type.
    Other {
        /// Its packet type.
        packet_type: u8,
    },
}

/// The packets of a compound, in order; ends after the first error.
pub fn packets(bytes: &[u8]) -> impl Iterator<Item = Result<RtcpPacket, RtcpError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let result = read_one(&mut rest);
        if result.is_err() {
            rest = &[];
        }
        Some(result)
    })
}

fn read_one(rest: &mut &[u8]) -> Result<RtcpPacket, RtcpError> {
    let head: &[u8; 4] = rest.first_chunk().ok_or(RtcpError::Truncated)?;
    let version = head[0] >> 6;
    if version != 2 {
        return Err(RtcpError::Version(version));
    }
    let (padded, count, packet_type) = (head[0] & 0x20 != 0, head[0] & 0x1f, head[1]);
    let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    let behind_head = rest.get(head.len()..).unwrap_or_default();
    let (mut body, tail) = behind_head.split_at_checked(length).ok_or(RtcpError::Truncated)?;
    *rest = tail;
    if padded {
        let padding = usize::from(*body.last().ok_or(RtcpError::Contents(packet_type))?);
        let kept = body.len().checked_sub(padding).filter(|_| padding > 0);
        body = kept.and_then(|kept| body.get(..kept)).ok_or(RtcpError::Contents(packet_type))?;
    }
    read_body(packet_type, count, body).ok_or(RtcpError::Contents(packet_type))
}

fn read_body(packet_type: u8, count: u8, mut body: &[u8]) -> Option<RtcpPacket> {
    let body = &mut body;
    Some(match (packet_type, count) {
        (SENDER_REPORT, _) => {
            let ssrc = take_ssrc(body)?;
            let ntp_time = u64::from(take_word(body)?) << 32 | u64::from(take_word(body)?);
            let info = SenderInfo {
                ntp_time,
                rtp_time: take_word(body)?,
                packet_count: take_word(body)?,
                octet_count: take_word(body)?,
            };
            RtcpPacket::SenderReport { ssrc, info, reports: take_reports(body, count)? }
        }
        (RECEIVER_REPORT, _) => {
            let ssrc = take_ssrc(body)?;
            RtcpPacket::ReceiverReport { ssrc, reports: take_reports(body, count)? }
        }
        (SOURCE_DESCRIPTION, _) => RtcpPacket::SourceDescription { names: take_names(body, count)? },
        (GOODBYE, _) => RtcpPacket::Goodbye { ssrcs: (0..count).map(|_| take_ssrc(body)).collect::<Option<_>>()? },
        (TRANSPORT_FEEDBACK, GENERIC_NACK) => {
            let _sender = take_ssrc(body)?;
            let media = take_ssrc(body)?;
            let mut lost = Vec::with_capacity(body.len() / 2);
            while let Some(word) = take_word(body) {
                // RFC 4585 §6.2.1: a packet identifier and a bitmask of the sixteen that follow it.
                let first = (word >> 16) as u16;
                lost.push(first);
                lost.extend((0..16).filter(|bit| word & 1 << bit != 0).map(|bit| first.wrapping_add(bit + 1)));
            }
            RtcpPacket::Nack { media, lost }
        }
        (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) => {
            let _sender = take_ssrc(body)?;
            let media = take_ssrc(body)?;
            RtcpPacket::TransportFeedback(TransportFeedback::read(media, body)?)
        }
        (PAYLOAD_FEEDBACK, PICTURE_LOSS) => {
            let _sender = take_ssrc(body)?;
            RtcpPacket::PictureLossIndication { media: take_ssrc(body)? }
        }
        (PAYLOAD_FEEDBACK, FULL_INTRA) => {
            let _sender = take_ssrc(body)?;
            let _unused = take_ssrc(body)?;
            let mut requests = Vec::with_capacity(body.len() / 8);
            while !body.is_empty() {
                requests.push((take_ssrc(body)?, (take_word(body)? >> 24) as u8));
            }
            RtcpPacket::FullIntraRequest { requests }
        }
        (PAYLOAD_FEEDBACK, APPLICATION_LAYER) => {
            let _sender = take_ssrc(body)?;
            let _unused = take_ssrc(body)?;
            if take_word(body) != Some(u32::from_be_bytes(*b"REMB")) {
                return Some(RtcpPacket::Other { packet_type });
            }
            let word = take_word(body)?;
            let (streams, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
            let bps = mantissa.checked_shl(exponent).filter(|bps| bps >> exponent == mantissa).unwrap_or(u64::MAX);
            let ssrcs = (0..streams).map(|_| take_ssrc(body)).collect::<Option<_>>()?;
            RtcpPacket::ReceiverEstimatedMaximumBitrate { bitrate: Bitrate::from_bps(bps), ssrcs }
        }
        _ => RtcpPacket::Other { packet_type },
    })
}

fn take_word(body: &mut &[u8]) -> Option<u32> {
    let (word, tail) = body.split_first_chunk()?;
    *body = tail;
    Some(u32::from_be_bytes(*word))
}

fn take_ssrc(body: &mut &[u8]) -> Option<Ssrc> {
    take_word(body).map(Ssrc)
}

fn take_reports(body: &mut &[u8], count: u8) -> Option<Vec<ReportBlock>> {
    (0..count)
        .map(|_| {
            let (block, tail) = body.split_first_chunk()?;
            *body = tail;
            Some(ReportBlock::read(block))
        })
        .collect()
}

fn take_names(body: &mut &[u8], count: u8) -> Option<Vec<(Ssrc, String)>> {
    const END: u8 = 0;
    const CNAME: u8 = 1;
    let whole = body.len();
    let mut names = Vec::new();
    for _ in 0..count {
        let ssrc = take_ssrc(body)?;
        loop {
            let (&item, tail) = body.split_first()?;
            *body = tail;
            if item == END {
                // RFC 3550 §6.5: each chunk ends at a word.
                let misaligned = (whole - body.len()) % 4;
                let padding = if misaligned == 0 { 0 } else { 4 - misaligned };
                *body = body.get(padding..)?;
                break;
            }
            let (&length, tail) = body.split_first()?;
            let (text, tail) = tail.split_at_checked(usize::from(length))?;
            *body = tail;
            if item == CNAME {
                names.push((ssrc, String::from_utf8_lossy(text).into_owned()));
            }
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nack_names_the_packet_and_those_of_its_mask() {
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0x80, 0x01];
        let all: Vec<_> = packets(&bytes).collect();
        assert_eq!(all, [Ok(RtcpPacket::Nack { media: Ssrc(2), lost: vec![65_535, 0, 15] })]);
    }

    #[test]
    fn an_absurd_estimate_saturates() {
        let mut bytes = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend(b"REMB");
        bytes.extend([1, 0xff, 0xff, 0xff, 0, 0, 0, 9]);
        let all: Vec<_> = packets(&bytes).collect();
        let bitrate = Bitrate::from_bps(u64::MAX);
        assert_eq!(all, [Ok(RtcpPacket::ReceiverEstimatedMaximumBitrate { bitrate, ssrcs: vec![Ssrc(9)] })]);
    }

    #[test]
    fn a_report_that_ends_early_is_refused() {
        let bytes = [0x81, 201, 0, 1, 0, 0, 0, 1];
        assert_eq!(packets(&bytes).collect::<Vec<_>>(), [Err(RtcpError::Contents(201))]);
        assert_eq!(packets(&bytes[..7]).collect::<Vec<_>>(), [Err(RtcpError::Truncated)]);
    }
}
