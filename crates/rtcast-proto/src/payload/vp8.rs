//! VP8 in RTP, RFC 7741.
//!
//! Sent is a descriptor of four octets with a 15-bit picture identifier; a frame's partitions are not told apart, so
//! every packet but the first continues partition 0, as browsers send it.

use bytes::Bytes;

use super::{Depacketized, PayloadError, equal_length};
use crate::codec::Codec;
use crate::frame::PacketizedFrame;

// RFC 7741 §4.2.
const EXTENDED: u8 = 0x80;
const START_OF_PARTITION: u8 = 0x10;
const PARTITION_MASK: u8 = 0x07;
const PICTURE_ID: u8 = 0x80;
const TL0PICIDX: u8 = 0x40;
const TEMPORAL_LAYER: u8 = 0x20;
const KEY_INDEX: u8 = 0x10;
const LONG_PICTURE_ID: u8 = 0x80;

const DESCRIPTOR_LENGTH: usize = 4;

/// Whether a frame is one at which decoding can start.
pub fn is_keyframe(data: &[u8]) -> bool {
    // RFC 6386 §9.1: the lowest bit of the frame tag is 0 for a key frame.
    data.first().is_some_and(|byte| byte & 1 == 0)
}

/// Width and height of a keyframe in pixels; `None` for other frames.
pub fn keyframe_size(data: &[u8]) -> Option<(u32, u32)> {
    // RFC 6386 §9.1: a tag of three bytes, a start code of three, then two sizes of 14 bits under two bits of scaling.
    let &[tag, _, _, 0x9d, 0x01, 0x2a, width_low, width_high, height_low, height_high] = data.first_chunk::<10>()?
    else {
        return None;
    };
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then(|| (size(width_low, width_high), size(height_low, height_high)))
}

pub(super) fn packetize(data: &[u8], picture_id: u16, max_payload: usize, packets: &mut PacketizedFrame) {
    let length = equal_length(data.len(), max_payload - DESCRIPTOR_LENGTH);
    let count = data.len().div_ceil(length);
    packets.reserve(data.len() + count * DESCRIPTOR_LENGTH, count);
    let [high, low] = (picture_id & 0x7fff).to_be_bytes();
    for (index, piece) in data.chunks(length).enumerate() {
        let start = if index == 0 { START_OF_PARTITION } else { 0 };
        packets.push(&[&[EXTENDED | start, PICTURE_ID, LONG_PICTURE_ID | high, low], piece]);
    }
}

pub(super) fn depacketize(payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    let mut data = Vec::with_capacity(payloads.iter().map(|payload| payload.len()).sum());
    let mut first = true;
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        let (starts, piece) = split_descriptor(payload)
            .ok_or(PayloadError::MalformedPayload { codec: Codec::Vp8, reason: "the descriptor is cut off" })?;
        if starts != first {
            let reason =
                if first { "the first packet does not start a frame" } else { "a frame starts within another" };
            return Err(PayloadError::MalformedPayload { codec: Codec::Vp8, reason });
        }
        first = false;
        data.extend_from_slice(piece);
    }
    if data.is_empty() {
        return Err(PayloadError::MalformedPayload { codec: Codec::Vp8, reason: "no data in any packet of the frame" });
    }
    let keyframe = is_keyframe(&data);
    Ok(Depacketized { data: Bytes::from(data), keyframe })
}

pub(super) fn starts_frame(payload: &[u8]) -> bool {
    split_descriptor(payload).is_some_and(|(starts, _)| starts)
}

pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    split_descriptor(payload).is_some_and(|(starts, piece)| starts && is_keyframe(piece))
}

/// The identifier of the picture that a packet's descriptor bears, of 7 or 15 bits.
pub(super) fn picture_id(payload: &[u8]) -> Option<u16> {
    let (required, rest) = take(payload)?;
    let (extensions, rest) = take(rest).filter(|_| required & EXTENDED != 0)?;
    let (high, rest) = take(rest).filter(|_| extensions & PICTURE_ID != 0)?;
    if high & LONG_PICTURE_ID == 0 {
        return Some(high.into());
    }
    let (low, _) = take(rest)?;
    Some(u16::from_be_bytes([high & !LONG_PICTURE_ID, low]))
}

/// Whether the packet starts a frame (S is set for partition 0), and what follows its descriptor.
fn split_descriptor(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (&required, mut rest) = payload.split_first()?;
    if required & EXTENDED != 0 {
        let extensions;
        (extensions, rest) = take(rest)?;
        if extensions & PICTURE_ID != 0 {
            let identifier;
            (identifier, rest) = take(rest)?;
            if identifier & LONG_PICTURE_ID != 0 {
                (_, rest) = take(rest)?;
            }
        }
        if extensions & TL0PICIDX != 0 {
            (_, rest) = take(rest)?;
        }
        if extensions & (TEMPORAL_LAYER | KEY_INDEX) != 0 {
            (_, rest) = take(rest)?;
        }
    }
    Some((required & START_OF_PARTITION != 0 && required & PARTITION_MASK == 0, rest))
}

fn take(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
