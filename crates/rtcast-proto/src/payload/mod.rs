//! RTP payload formats: how a frame becomes packets and how packets become the frame again.
//!
//! One module per payload format. [`Packetizer`] cuts frames, [`depacketize`] joins the payloads of one frame, and the
//! small readers ([`starts_frame`], [`starts_keyframe`], [`is_keyframe`]) tell a receiver where it may begin.
//!
//! Nothing here trusts its input: any bytes give a result or an error.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::time::Instant;

use bytes::Bytes;

use crate::codec::{Codec, RtpCodec};
use crate::frame::{Frame, PacketizedFrame, ReceivedFrame};

pub mod av1;
mod bits;
mod colour;
pub mod h264;
mod sound;
pub mod vp8;
pub mod vp9;

#[cfg(test)]
mod tests;

pub use colour::ColourDescription;

/// The longest frame that is packetised, in bytes.
pub const MAX_FRAME_LENGTH: usize = 64 << 20;

/// The shortest limit of a payload that a [`Packetizer`] works with, in bytes.
pub const MIN_PAYLOAD_LENGTH: usize = 100;

/// Cuts the frames of one track into RTP payloads.
///
/// The payloads of a frame are equally long but for the last, which may be shorter, wherever the format allows it:
/// always for VP8, VP9 and sound, for AV1 but for rare single bytes, and for H.264 within each run of fragments.
///
/// ```
/// use rtcast_proto::payload::{Packetizer, depacketize};
/// use rtcast_proto::{Codec, Frame, MediaTime};
/// # #[expect(clippy::disallowed_methods, reason = "an example needs some instant")]
/// # let now = std::time::Instant::now();
/// let frame = Frame::new(Codec::Vp8, vec![0x10; 3_000], MediaTime::from_micros(33_333)).with_keyframe(true);
/// let packets = Packetizer::new(Codec::Vp8, 1_200).packetize(&frame, now)?;
/// assert_eq!((packets.len(), packets.timestamp), (3, 3_000));
/// let payloads: Vec<&[u8]> = packets.iter().collect();
/// assert_eq!(depacketize(Codec::Vp8, &payloads)?.data, frame.data);
/// # Ok::<(), rtcast_proto::payload::PayloadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Packetizer {
    codec: Codec,
    max_payload: usize,
    single_nal_units: bool,
    picture_id: u16,
    next_packet: u64,
}

impl Packetizer {
    /// A packetizer for a track of this codec whose payloads are at most `max_payload` bytes long, payload descriptors
    /// included. Less than [`MIN_PAYLOAD_LENGTH`] is taken as that.
    pub fn new(codec: Codec, max_payload: usize) -> Self {
        let max_payload = max_payload.max(MIN_PAYLOAD_LENGTH);
        Self { codec, max_payload, single_nal_units: false, picture_id: 0, next_packet: 0 }
    }

    /// The same for a track of this codec with its format parameters: H.264 of packetization mode 0, if they say so, is sent
    /// as single NAL units (RFC 6184 §6.2), and a frame with one that is longer than a payload is refused.
    pub fn of(codec: &RtpCodec, max_payload: usize) -> Self {
        let single_nal_units = codec.codec == Codec::H264 && codec.parameter("packetization-mode") == Some("0");
        Self { single_nal_units, ..Self::new(codec.codec, max_payload) }
    }

    /// The codec of the track.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Cuts one frame, in decoding order.
    ///
    /// Fails for a frame of another codec, an empty or oversized one, and for bytes that are not in the form that
    /// [`Frame`] promises; the state is then as before the call.
    pub fn packetize(&mut self, frame: &Frame, captured_at: Instant) -> Result<PacketizedFrame, PayloadError> {
        if frame.codec != self.codec {
            return Err(PayloadError::WrongCodec { expected: self.codec, actual: frame.codec });
        }
        if frame.data.is_empty() {
            return Err(PayloadError::EmptyFrame { codec: self.codec });
        }
        if frame.data.len() > MAX_FRAME_LENGTH {
            return Err(PayloadError::FrameTooLarge {
                codec: self.codec,
                length: frame.data.len(),
                limit: MAX_FRAME_LENGTH,
            });
        }
        let ticks = frame.timestamp.to_ticks(self.codec.clock_rate());
        let mut packets = PacketizedFrame::new(self.codec, ticks, frame.keyframe, captured_at, self.next_packet);
        packets.color_space = frame.color_space;
        packets.picture_id = matches!(self.codec, Codec::Vp8 | Codec::Vp9).then_some(self.picture_id);
        match self.codec {
            Codec::H264 if self.single_nal_units => {
                h264::packetize_single(&frame.data, self.max_payload, &mut packets)?;
            }
            Codec::H264 => h264::packetize(&frame.data, self.max_payload, &mut packets)?,
            Codec::Vp8 => vp8::packetize(&frame.data, self.picture_id, self.max_payload, &mut packets),
            Codec::Vp9 => vp9::packetize(&frame.data, self.picture_id, self.max_payload, &mut packets),
            Codec::Av1 => av1::packetize(&frame.data, self.max_payload, &mut packets)?,
            Codec::Opus | Codec::Pcmu | Codec::Pcma => {
                sound::packetize(self.codec, &frame.data, self.max_payload, &mut packets)?;
            }
        }
        self.count(&packets);
        Ok(packets)
    }

    /// Takes a frame that was received, to send it on in the packets that brought it, whose payloads are not copied. What
    /// cannot be sent on like that (a payload that is longer than `longest`, something that was added) is cut anew.
    ///
    /// Fails as [`packetize`](Self::packetize) does.
    pub fn forward(
        &mut self,
        received: &ReceivedFrame,
        longest: usize,
        captured_at: Instant,
    ) -> Result<PacketizedFrame, PayloadError> {
        let ReceivedFrame { frame, payloads, .. } = received;
        let is_whole = !payloads.is_empty() && payloads.iter().all(|payload| payload.len() <= longest);
        if frame.codec != self.codec || !is_whole || self.single_nal_units {
            return self.packetize(frame, captured_at);
        }
        let picture_id = match self.codec {
            Codec::Vp8 => payloads.first().and_then(|payload| vp8::picture_id(payload)),
            Codec::Vp9 => payloads.first().and_then(|payload| vp9::picture_id(payload)),
            _ => None,
        };
        let packets = PacketizedFrame::of_payloads(frame, captured_at, self.next_packet, picture_id, payloads.clone());
        self.count(&packets);
        Ok(packets)
    }

    const fn count(&mut self, packets: &PacketizedFrame) {
        // RFC 7741 §4.2, RFC 9628 §4.2: one identifier per picture, wrapping at 15 bits.
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.next_packet += packets.len() as u64;
    }
}

/// A frame put together from its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depacketized {
    /// The bytes, in the form that [`Frame`] says.
    pub data: Bytes,
    /// Whether decoding can start here. Always true for sound.
    pub keyframe: bool,
}

/// Joins the payloads of one frame, all of them and in the order of their sequence numbers.
///
/// Empty payloads, which carry nothing but padding, are left out. Fails if the payloads do not make one whole frame of
/// this codec: a piece is missing, a descriptor is cut off, or the mode is one that is never negotiated here. What it
/// allocates is bounded by a small multiple of what it was given.
///
/// ```
/// use rtcast_proto::Codec;
/// use rtcast_proto::payload::{PayloadError, depacketize};
///
/// // A fragment of H.264 that begins a NAL unit, without the one that ends it.
/// let begun: &[u8] = &[0x7c, 0x85, 1, 2, 3];
/// assert_eq!(depacketize(Codec::H264, &[begun]), Err(PayloadError::Truncated { codec: Codec::H264 }));
/// let ended: &[u8] = &[0x7c, 0x45, 4];
/// let picture = depacketize(Codec::H264, &[begun, ended])?;
/// assert_eq!(&picture.data[..], [0, 0, 0, 1, 0x65, 1, 2, 3, 4]);
/// # Ok::<(), PayloadError>(())
/// ```
pub fn depacketize(codec: Codec, payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    match codec {
        Codec::H264 => h264::depacketize(payloads),
        Codec::Vp8 => vp8::depacketize(payloads),
        Codec::Vp9 => vp9::depacketize(payloads),
        Codec::Av1 => av1::depacketize(payloads),
        Codec::Opus | Codec::Pcmu | Codec::Pcma => sound::depacketize(codec, payloads),
    }
}

/// Whether a packet with this payload can be the first of a frame. Where the format leaves it open, the answer is yes.
pub fn starts_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::starts_frame(payload),
        Codec::Vp8 => vp8::starts_frame(payload),
        Codec::Vp9 => vp9::starts_frame(payload),
        Codec::Av1 => av1::starts_frame(payload),
        Codec::Opus | Codec::Pcmu | Codec::Pcma => !payload.is_empty(),
    }
}

/// Whether a packet with this payload is surely the first that matters of a frame at which decoding can start.
///
/// For H.264 that is the packet with the sequence parameter set: a keyframe without one is not recognised by a single
/// packet.
pub fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::starts_keyframe(payload),
        Codec::Vp8 => vp8::starts_keyframe(payload),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
        Codec::Opus | Codec::Pcmu | Codec::Pcma => !payload.is_empty(),
    }
}

/// Whether decoding can start at a frame, as its own bytes say. Always true for sound.
///
/// ```
/// use rtcast_proto::Codec;
/// use rtcast_proto::payload::is_keyframe;
///
/// assert!(is_keyframe(Codec::Vp8, &[0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0xe0, 1]));
/// assert!(!is_keyframe(Codec::Vp8, &[0x11, 2, 0]));
/// assert!(is_keyframe(Codec::Opus, &[0xfc]));
/// ```
pub fn is_keyframe(codec: Codec, data: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::is_keyframe(data),
        Codec::Vp8 => vp8::is_keyframe(data),
        Codec::Vp9 => vp9::is_keyframe(data),
        Codec::Av1 => av1::is_keyframe(data),
        Codec::Opus | Codec::Pcmu | Codec::Pcma => true,
    }
}

/// Why a frame could not be cut, or payloads not be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The frame is of another codec than the packetizer.
    #[error("a frame of {actual} was given to a packetizer for {expected}; make one packetizer for each track")]
    WrongCodec {
        /// The codec of the packetizer.
        expected: Codec,
        /// The codec of the frame.
        actual: Codec,
    },
    /// The frame has no bytes.
    #[error("the {codec} frame is empty; leave out what the encoder skipped")]
    EmptyFrame {
        /// The codec of the frame.
        codec: Codec,
    },
    /// The frame has more bytes than can be sent.
    #[error("the {codec} frame has {length} bytes, but at most {limit} can be sent; encode it smaller")]
    FrameTooLarge {
        /// The codec of the frame.
        codec: Codec,
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// The frame to send is not in the form that [`Frame`] promises.
    #[error("the {codec} frame cannot be sent: {reason}")]
    MalformedFrame {
        /// The codec of the frame.
        codec: Codec,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The peer's payloads break the payload format, or a packet between them is missing.
    #[error("the peer's {codec} packets make no frame: {reason}")]
    MalformedPayload {
        /// The codec of the payloads.
        codec: Codec,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The payloads end within the frame.
    #[error("the peer's {codec} packets end before the frame does")]
    Truncated {
        /// The codec of the payloads.
        codec: Codec,
    },
    /// The peer used a part of the payload format that was not negotiated.
    #[error("the peer's {codec} packets use {what}, which was not negotiated")]
    Unsupported {
        /// The codec of the payloads.
        codec: Codec,
        /// The part of the format.
        what: &'static str,
    },
}

/// The length that cuts `total` bytes into the fewest pieces of at most `most` bytes, all equal but for a shorter last.
fn equal_length(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most).max(1)).max(1)
}
