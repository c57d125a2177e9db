//! A frame before and after packetisation.

use std::time::Instant;

use bytes::Bytes;

use crate::codec::Codec;
use crate::color::ColorSpace;
use crate::types::{MediaKind, MediaTime, NtpTime};

/// One encoded picture, or one packet of encoded sound.
///
/// The bytes have one form per codec, so that what leaves a receiver equals what entered the sender:
/// - H.264: Annex B, each NAL unit behind a four-byte start code, no access unit delimiter; parameter sets stand
///   before every keyframe.
/// - AV1: one temporal unit in the low-overhead format, each OBU with its size field, no temporal delimiter.
/// - VP8, VP9, Opus, G.711: the frame as the codec makes it.
///
/// It is made by [`Frame::new`] and the methods that begin with `with_`:
///
/// ```
/// use rtcast_proto::{Codec, Frame, MediaTime};
///
/// let picture = Frame::new(Codec::Vp8, vec![0x10, 2, 0], MediaTime::ZERO).with_keyframe(true);
/// assert!(picture.keyframe && picture.duration.is_none());
/// let sound = Frame::new(Codec::Opus, vec![0xfc], MediaTime::ZERO).with_duration(MediaTime::from_micros(20_000));
/// assert!(sound.keyframe, "decoding can start at any packet of sound");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The codec of the bytes.
    pub codec: Codec,
    /// The bytes, in the form said above.
    pub data: Bytes,
    /// When to present it, on the track's clock; it never runs backwards within a track.
    pub timestamp: MediaTime,
    /// How long it is presented, if that is known.
    pub duration: Option<MediaTime>,
    /// Whether decoding can start here. Always true for sound.
    pub keyframe: bool,
    /// When it was captured, by the wall clock of whoever captured it, if that is known. Of what was received it is
    /// reckoned from the peer's reports (RFC 3550 §6.4.1), so it is the same for all tracks of one peer.
    pub captured_at: Option<NtpTime>,
    /// Its place among the layers of its stream.
    pub layer: Layer,
    /// What the picture's numbers mean as colours, if that is known. Peers that take the header extension for it are told
    /// with each keyframe; without it they go by the bitstream or guess. What was received bears what the peer told last.
    pub color_space: Option<ColorSpace>,
    /// By how much the picture is to be turned to stand upright, where that has changed since the frame before.
    pub rotation: Option<Rotation>,
}

impl Frame {
    /// A frame of these bytes that is due at that time: of sound a keyframe, of pictures none; nothing else is known.
    pub fn new(codec: Codec, data: impl Into<Bytes>, timestamp: MediaTime) -> Self {
        Self {
            codec,
            data: data.into(),
            timestamp,
            duration: None,
            keyframe: codec.kind() == MediaKind::Audio,
            captured_at: None,
            layer: Layer::default(),
            color_space: None,
            rotation: None,
        }
    }

    /// The same with that word on whether decoding can start here.
    #[must_use]
    pub const fn with_keyframe(mut self, keyframe: bool) -> Self {
        self.keyframe = keyframe;
        self
    }

    /// The same with other bytes.
    #[must_use]
    pub fn with_data(self, data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..self }
    }

    /// The same at another time on the track's clock.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: MediaTime) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// The same presented for that long.
    #[must_use]
    pub fn with_duration(self, duration: impl Into<Option<MediaTime>>) -> Self {
        Self { duration: duration.into(), ..self }
    }

    /// The same captured at that time of the wall clock.
    #[must_use]
    pub fn with_captured_at(self, captured_at: impl Into<Option<NtpTime>>) -> Self {
        Self { captured_at: captured_at.into(), ..self }
    }

    /// The same in that layer.
    #[must_use]
    pub const fn with_layer(mut self, layer: Layer) -> Self {
        self.layer = layer;
        self
    }

    /// The same with these colours.
    #[must_use]
    pub fn with_color_space(self, color_space: impl Into<Option<ColorSpace>>) -> Self {
        Self { color_space: color_space.into(), ..self }
    }

    /// The same to be turned so, from this frame on.
    #[must_use]
    pub fn with_rotation(self, rotation: impl Into<Option<Rotation>>) -> Self {
        Self { rotation: rotation.into(), ..self }
    }
}

/// The place of a frame among the layers of a scalable stream (W3C webrtc-svc). A stream that is not has one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Layer {
    /// The spatial layer, from 0, the smallest picture.
    pub spatial: u8,
    /// The temporal layer, from 0, the lowest frame rate.
    pub temporal: u8,
    /// Whether no other frame is predicted from this one, so that it can be left out by itself.
    pub discardable: bool,
}

/// By how much a picture is to be turned clockwise to stand upright (3GPP TS 26.114 §7.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// By 90 degrees.
    Clockwise90,
    /// By 180 degrees.
    Clockwise180,
    /// By 270 degrees.
    Clockwise270,
}

/// Lets nothing pass until the next keyframe, for whoever has just joined a stream or lost a part of it.
///
/// ```
/// use rtcast_proto::{KeyframeGate, MediaKind};
///
/// let mut gate = KeyframeGate::closed(MediaKind::Video);
/// assert!(!gate.admits(false) && gate.admits(true) && gate.admits(false));
/// assert!(gate.close() && !gate.close(), "only the first time asks for a keyframe");
/// assert!(KeyframeGate::closed(MediaKind::Audio).admits(false), "sound can be decoded from anywhere");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyframeGate {
    kind: MediaKind,
    open: bool,
}

impl KeyframeGate {
    /// A gate that opens with the next keyframe; for sound it is always open.
    pub fn closed(kind: MediaKind) -> Self {
        Self { kind, open: kind == MediaKind::Audio }
    }

    /// A gate through which everything passes until it is closed.
    pub const fn opened(kind: MediaKind) -> Self {
        Self { kind, open: true }
    }

    /// Whether a frame may pass. A keyframe opens the gate.
    pub const fn admits(&mut self, keyframe: bool) -> bool {
        self.open |= keyframe;
        self.open
    }

    /// Closes the gate after a loss. Returns whether it was open, so that a keyframe is asked for once; the gate of sound
    /// stays open.
    pub fn close(&mut self) -> bool {
        let closes = self.open && self.kind == MediaKind::Video;
        self.open &= !closes;
        closes
    }

    /// Opens the gate: what follows can be decoded.
    pub const fn open(&mut self) {
        self.open = true;
    }

    /// Whether it is open.
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

/// A frame as it was received: put together, and in the packets that brought it.
///
/// Received in its packets, it is sent on in the same ones, uncopied:
///
/// ```
/// use std::time::Instant;
/// use rtcast_proto::payload::Packetizer;
/// use rtcast_proto::{Codec, Frame, MediaTime, ReceivedFrame};
///
/// let frame = Frame::new(Codec::Opus, vec![0xfc, 0xff, 0xfe], MediaTime::ZERO);
/// let received = ReceivedFrame { payloads: vec![frame.data.clone()], frame, rtp_timestamp: 960 };
/// let sent = Packetizer::new(Codec::Opus, 1_200).forward(&received, 1_200, Instant::now())?;
/// assert!(std::ptr::eq(sent.payload(0).unwrap(), &*received.payloads[0]));
/// # Ok::<(), rtcast_proto::payload::PayloadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// The frame.
    pub frame: Frame,
    /// The timestamp of its packets.
    pub rtp_timestamp: u32,
    /// The payloads of its packets in order, if they alone make the frame: then it can be sent on in them. Empty where
    /// something had to be added, such as parameter sets that came with an earlier keyframe.
    pub payloads: Vec<Bytes>,
}

/// A frame cut into RTP payloads, once for all viewers.
///
/// What was cut here lies in one buffer, and the payloads but for the last are equally long wherever the payload format
/// lets them be, so that the kernel can segment one long buffer into all packets of the frame. What was received and is
/// sent on stays in the buffers that it came in.
///
/// ```
/// use std::time::Instant;
/// use rtcast_proto::{Codec, PacketizedFrame};
///
/// let mut packets = PacketizedFrame::new(Codec::Vp8, 3_000, true, Instant::now(), 0);
/// packets.push(&[b"descriptor", b"picture"]);
/// packets.push(&[b"more"]);
/// assert_eq!((packets.len(), packets.payload_bytes()), (2, 21));
/// assert_eq!(packets.payload(1), Some(&b"more"[..]));
/// ```
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
    /// The identifier of the picture that its payload descriptors bear (RFC 7741 §4.2, RFC 9628 §4.2), if they do.
    pub picture_id: Option<u16>,
    payloads: Payloads,
}

/// Where the payloads of a frame lie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Payloads {
    /// In one buffer; where each ends.
    Joined { bytes: Vec<u8>, ends: Vec<u32> },
    /// Each by itself, as it came.
    Apart(Vec<Bytes>),
}

impl PacketizedFrame {
    /// An empty frame to which payloads are pushed; `first_packet` counts the track's packets before it.
    pub const fn new(codec: Codec, timestamp: i64, keyframe: bool, captured_at: Instant, first_packet: u64) -> Self {
        Self {
            codec,
            timestamp,
            keyframe,
            captured_at,
            first_packet,
            color_space: None,
            picture_id: None,
            payloads: Payloads::Joined { bytes: Vec::new(), ends: Vec::new() },
        }
    }

    /// A frame in the packets that brought it, to be sent on: no payload is copied.
    pub(crate) fn of_payloads(
        frame: &Frame,
        captured_at: Instant,
        first_packet: u64,
        picture_id: Option<u16>,
        payloads: Vec<Bytes>,
    ) -> Self {
        let timestamp = frame.timestamp.to_ticks(frame.codec.clock_rate());
        Self {
            color_space: frame.color_space,
            picture_id,
            payloads: Payloads::Apart(payloads),
            ..Self::new(frame.codec, timestamp, frame.keyframe, captured_at, first_packet)
        }
    }

    /// Appends a payload made of the given pieces, in order.
    pub fn push(&mut self, pieces: &[&[u8]]) {
        match &mut self.payloads {
            Payloads::Joined { bytes, ends } => {
                for piece in pieces {
                    bytes.extend_from_slice(piece);
                }
                ends.push(bytes.len() as u32);
            }
            Payloads::Apart(payloads) => payloads.push(pieces.concat().into()),
        }
    }

    /// Room for so many more bytes and packets without growing.
    pub fn reserve(&mut self, more_bytes: usize, packets: usize) {
        match &mut self.payloads {
            Payloads::Joined { bytes, ends } => {
                bytes.reserve(more_bytes);
                ends.reserve(packets);
            }
            Payloads::Apart(payloads) => payloads.reserve(packets),
        }
    }

    /// The number of packets.
    pub const fn len(&self) -> usize {
        match &self.payloads {
            Payloads::Joined { ends, .. } => ends.len(),
            Payloads::Apart(payloads) => payloads.len(),
        }
    }

    /// Whether there is no packet.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all payloads.
    pub fn payload_bytes(&self) -> usize {
        match &self.payloads {
            Payloads::Joined { bytes, .. } => bytes.len(),
            Payloads::Apart(payloads) => payloads.iter().map(Bytes::len).sum(),
        }
    }

    /// The payload of one packet; `None` past the end.
    pub fn payload(&self, index: usize) -> Option<&[u8]> {
        match &self.payloads {
            Payloads::Joined { bytes, ends } => {
                let end = *ends.get(index)? as usize;
                let start = index.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |start| *start as usize);
                bytes.get(start..end)
            }
            Payloads::Apart(payloads) => payloads.get(index).map(AsRef::as_ref),
        }
    }

    /// All payloads in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.payload(index).unwrap_or_default())
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
