//! The RTP header, read in place and written into a buffer.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use crate::types::{PayloadType, SequenceNumber, Ssrc};

/// The length of an RTP header without contributing sources and extensions.
pub const FIXED_HEADER_LENGTH: usize = 12;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The packet ends before its header does.
    #[error("the packet of {length} bytes ends inside its RTP header")]
    Truncated {
        /// The length of the packet.
        length: usize,
    },
    /// The version is not 2.
    #[error("RTP version {0} where 2 was expected")]
    Version(u8),
    /// The padding is longer than the payload.
    #[error("RTP padding of {0} bytes is longer than the payload")]
    Padding(u8),
}

/// An RTP packet, viewed in its bytes.
///
/// ```
/// use rtcast_proto::rtp::{RtpPacket, write_header};
/// use rtcast_proto::{PayloadType, SequenceNumber, Ssrc};
///
/// let mut bytes = [0; 15];
/// let length = write_header(&mut bytes, true, PayloadType::new(96), SequenceNumber(7), 3_000, Ssrc(1), &[]);
/// bytes[length..].copy_from_slice(b"abc");
/// let packet = RtpPacket::parse(&bytes)?;
/// assert_eq!((packet.sequence_number, packet.payload), (SequenceNumber(7), &b"abc"[..]));
/// # Ok::<(), rtcast_proto::rtp::RtpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Whether this packet ends a frame, for the payload formats used here.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence_number: SequenceNumber,
    /// The media timestamp.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: Ssrc,
    /// The contributing sources, four bytes each.
    pub csrc: &'a [u8],
    /// The profile of the extension block and its bytes, if there is one.
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload without padding.
    pub payload: &'a [u8],
    /// The length of the header with everything before the payload.
    pub header_length: usize,
}

impl<'a> RtpPacket<'a> {
    /// Reads a packet whose payload is in the clear.
    ///
    /// # Errors
    /// [`RtpError`] if the bytes are no RTP packet; nothing else is assumed of them.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let mut packet = Self::parse_header(bytes)?;
        if bytes.first().is_some_and(|first| first & 0x20 != 0) {
            // RFC 3550 §5.1: the last octet of the padding counts the octets to be ignored, itself included.
            let padding = *packet.payload.last().ok_or(RtpError::Padding(0))?;
            let length = packet.payload.len().checked_sub(usize::from(padding)).filter(|_| padding > 0);
            let payload = length.and_then(|length| packet.payload.get(..length));
            packet.payload = payload.ok_or(RtpError::Padding(padding))?;
        }
        Ok(packet)
    }

    /// Reads the header only: `payload` is everything behind it, still encrypted and padded.
    ///
    /// # Errors
    /// [`RtpError`] if the header is not whole.
    pub fn parse_header(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let truncated = RtpError::Truncated { length: bytes.len() };
        let fixed: &[u8; FIXED_HEADER_LENGTH] = bytes.first_chunk().ok_or(truncated)?;
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(RtpError::Version(version));
        }
        let mut offset = FIXED_HEADER_LENGTH + 4 * usize::from(fixed[0] & 0x0f);
        let csrc = bytes.get(FIXED_HEADER_LENGTH..offset).ok_or(truncated)?;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let head: &[u8; 4] = bytes.get(offset..).and_then(<[u8]>::first_chunk).ok_or(truncated)?;
            let profile = u16::from_be_bytes([head[0], head[1]]);
            let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            offset += 4;
            let body = bytes.get(offset..offset + length).ok_or(truncated)?;
            extension = Some((profile, body));
            offset += length;
        }
        let payload = bytes.get(offset..).ok_or(truncated)?;
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: PayloadType::new(fixed[1]),
            sequence_number: SequenceNumber(u16::from_be_bytes([fixed[2], fixed[3]])),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
            csrc,
            extension,
            payload,
            header_length: offset,
        })
    }

    /// The sources that a mixer made this of, at most 15.
    pub fn contributors(&self) -> impl Iterator<Item = Ssrc> {
        let words = self.csrc.as_chunks::<4>().0.iter();
        words.map(|word| Ssrc(u32::from_be_bytes(*word)))
    }
}

/// Writes a header into `out`: the fixed part, then `extension`, a block made by
/// [`ExtensionWriter`](super::ExtensionWriter) or nothing. Returns its length; `out` must have room for it.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the caller has room for the header, as it must")]
pub fn write_header(
    out: &mut [u8],
    marker: bool,
    payload_type: PayloadType,
    sequence_number: SequenceNumber,
    timestamp: u32,
    ssrc: Ssrc,
    extension: &[u8],
) -> usize {
    out[0] = if extension.is_empty() { 0x80 } else { 0x90 };
    out[1] = payload_type.value() | if marker { 0x80 } else { 0 };
    out[2..4].copy_from_slice(&sequence_number.0.to_be_bytes());
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    let length = FIXED_HEADER_LENGTH + extension.len();
    out[FIXED_HEADER_LENGTH..length].copy_from_slice(extension);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut bytes = [0; 20];
        let length = write_header(
            &mut bytes,
            true,
            PayloadType::new(96),
            SequenceNumber(65_535),
            0xdead_beef,
            Ssrc(7),
            &[0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0],
        );
        assert_eq!(length, 20);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert!(packet.marker);
        assert_eq!(packet.payload_type.value(), 96);
        assert_eq!(packet.sequence_number.0, 65_535);
        assert_eq!(packet.timestamp, 0xdead_beef);
        assert_eq!(packet.ssrc, Ssrc(7));
        assert_eq!(packet.extension, Some((0xbede, &bytes[16..20])));
        assert!(packet.payload.is_empty());
    }

    #[test]
    fn contributing_sources_and_padding_are_skipped() {
        let mut bytes = vec![0xa2, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0; 8]);
        bytes.extend([b'a', b'b', 0, 0, 3]);
        assert_eq!(RtpPacket::parse(&bytes).unwrap().payload, b"ab");
        *bytes.last_mut().unwrap() = 6;
        assert_eq!(RtpPacket::parse(&bytes), Err(RtpError::Padding(6)));
        *bytes.last_mut().unwrap() = 0;
        assert_eq!(RtpPacket::parse(&bytes), Err(RtpError::Padding(0)));
    }

    #[test]
    fn every_truncation_is_refused() {
        let mut bytes = vec![0x91, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 0xbe, 0xde, 0, 2];
        bytes.extend([0; 8]);
        assert!(RtpPacket::parse(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert_eq!(RtpPacket::parse(&bytes[..length]), Err(RtpError::Truncated { length }));
        }
    }
}
