//! What the head of an Opus stream says: RFC 7845 §5.1.

use crate::packet::StreamInfo;

/// The largest packet that is sent as it is. RFC 7587 §4.2: a packet is one payload, which must fit in one datagram; this
/// leaves room for headers in the 1,200 bytes that every path carries.
pub(crate) const LARGEST_PACKET: usize = 1_100;

/// What a decoder must know of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpusHead {
    /// The channel mapping family: 0 is one stream of one or two channels.
    pub(crate) family: u8,
    /// The streams in each packet, and how many of them are stereo.
    pub(crate) streams: u8,
    pub(crate) coupled: u8,
    /// Which decoded channel each channel of the output is.
    pub(crate) mapping: Vec<u8>,
    /// By how much the sound is to be louder, in 256ths of a decibel.
    pub(crate) gain: i16,
}

impl OpusHead {
    /// The head of a stream, by its `extradata`; without one it is plain stereo.
    pub(crate) fn of(stream: &StreamInfo) -> Self {
        Self::parse(&stream.extradata).unwrap_or(Self {
            family: 0,
            streams: 1,
            coupled: 1,
            mapping: vec![0, 1],
            gain: 0,
        })
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let body = head.strip_prefix(b"OpusHead")?;
        // The version is one byte, the pre-skip two, the rate of the input four.
        let (channels, gain, family) =
            (*body.get(1)?, i16::from_le_bytes([*body.get(8)?, *body.get(9)?]), *body.get(10)?);
        if family == 0 {
            return Some(Self {
                family,
                streams: 1,
                coupled: channels.saturating_sub(1).min(1),
                mapping: vec![0, 1],
                gain,
            });
        }
        let (streams, coupled) = (*body.get(11)?, *body.get(12)?);
        let mapping = body.get(13..13 + usize::from(channels))?.to_vec();
        Some(Self { family, streams, coupled, mapping, gain })
    }

    /// Why a packet of the stream is no packet of RFC 7587, which has one or two channels and no head.
    pub(crate) fn obstacle(&self) -> Option<String> {
        let plain = self.family == 0 || (self.streams == 1 && self.mapping.len() <= 2);
        match (plain, self.gain) {
            (false, _) => Some(format!("has {} channels in {} streams", self.mapping.len(), self.streams)),
            (true, 0) => None,
            (true, gain) => Some(format!("is to be played {:+.1} dB louder", f64::from(gain) / 256.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(rest: &[u8]) -> Vec<u8> {
        [&b"OpusHead\x01"[..], rest].concat()
    }

    #[test]
    fn heads_say_what_can_be_sent_as_it_is() {
        let stereo = OpusHead::parse(&head(&[2, 0, 1, 0x80, 0xbb, 0, 0, 0, 0, 0])).expect("a head");
        assert_eq!((stereo.family, stereo.obstacle()), (0, None));
        let loud = OpusHead::parse(&head(&[2, 0, 1, 0x80, 0xbb, 0, 0, 0, 6, 0])).expect("a head");
        assert_eq!(loud.obstacle().expect("an obstacle"), "is to be played +6.0 dB louder");
        let surround = [6, 0, 1, 0x80, 0xbb, 0, 0, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5];
        let parsed = OpusHead::parse(&head(&surround)).expect("a head");
        assert_eq!((parsed.streams, parsed.coupled, &parsed.mapping[..]), (4, 2, &[0, 4, 1, 2, 3, 5][..]));
        assert_eq!(parsed.obstacle().expect("an obstacle"), "has 6 channels in 4 streams");
        for length in 0..surround.len() {
            assert_eq!(OpusHead::parse(&head(&surround[..length])), None, "{length}");
        }
    }
}
