//! A frame before and after packetisation.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use crate::codec::Codec;
use crate::color::ColorSpace;
use crate::types::MediaTime;

/// One encoded picture, or one packet of encoded sound.
///
/// The bytes have one form per codec, so that what leaves a receiver equals what entered the sender:
/// - H.264: Annex B, each NAL unit behind a four-byte start code, no access unit delimiter; parameter sets stand
///   before every keyframe.
/// - AV1: one temporal unit in the low-overhead format, each OBU with its size field, no temporal delimiter.
/// - VP8, VP9, Opus, G.711: the frame as the codec makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The codec of the bytes.
    pub codec: Codec,
    /// The bytes, in the form said above.
    pub data: Bytes,
    /// When to present it, on the track's clock; it never runs backwards within a track.
    pub timestamp: MediaTime,
    /// Whether decoding can start here. Always true for sound.
    pub keyframe: bool,
    /// What the picture's numbers mean as colours, if that is known. Peers that take the header extension for it are told
    /// with each keyframe; without it they go by the bitstream or guess. What was received bears what the peer told last.
    pub color_space: Option<ColorSpace>,
}

/// A frame cut into RTP payloads, once for all viewers.
///
/// All payloads lie in one buffer and, but for the last, are equally long wherever the payload format lets them be, so
/// that the kernel can segment one long buffer into all packets of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketizedFrame {
    /// The codec.
    pub codec: Codec,
    /// When to present it, in ticks of the codec's RTP clock from the start of the track, not wrapped.
    pub timestamp: i64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// When it was captured or due, by the clock of the process.
    pub captured_at: Instant,
    /// The running index of its first packet in the track.
    pub first_packet: u64,
    /// What the picture's numbers mean as colours, if that is known.
    pub color_space: Option<ColorSpace>,
    payloads: Vec<u8>,
    ends: Vec<u32>,
}

impl PacketizedFrame {
    /// An empty frame to which payloads are pushed; `first_packet` counts the track's packets before it.
    pub fn new(codec: Codec, timestamp: i64, keyframe: bool, captured_at: Instant, first_packet: u64) -> Self {
        Self {
            codec,
            timestamp,
            keyframe,
            captured_at,
            first_packet,
            color_space: None,
            payloads: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Appends a payload made of the given pieces, in order.
    pub fn push(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.payloads.extend_from_slice(piece);
        }
        self.ends.push(self.payloads.len() as u32);
    }

    /// Room for so many more bytes and packets without growing.
    pub fn reserve(&mut self, bytes: usize, packets: usize) {
        self.payloads.reserve(bytes);
        self.ends.reserve(packets);
    }

    /// The number of packets.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all payloads.
    pub fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }

    /// The payload of one packet; `None` past the end.
    pub fn payload(&self, index: usize) -> Option<&[u8]> {
        let range = self.range(index)?;
        self.payloads.get(range)
    }

    /// All payloads in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.payload(index).unwrap_or_default())
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn instant() -> Instant {
        Instant::now()
    }

    #[test]
    fn payloads_come_back_as_they_were_pushed() {
        let mut frame = PacketizedFrame::new(Codec::Vp8, 3_000, true, instant(), 9);
        frame.push(&[b"ab", b"c"]);
        frame.push(&[b""]);
        frame.push(&[b"de"]);
        assert_eq!(frame.iter().collect::<Vec<_>>(), [&b"abc"[..], b"", b"de"]);
        assert_eq!(frame.payload(3), None);
        assert_eq!(frame.payload_bytes(), 5);
    }
}
