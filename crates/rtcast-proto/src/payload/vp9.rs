//! VP9 in RTP, RFC 9628.
//!
//! Sent is the non-flexible mode with a 15-bit picture identifier and no layer indices; a keyframe tells its size and
//! a picture group of one frame in the scalability structure. Read is everything that the descriptor can say; the
//! frames of all spatial layers of a picture are joined.

use bytes::Bytes;

use super::bits::BitReader;
use super::{ColourDescription, Depacketized, PayloadError, equal_length};
use crate::codec::Codec;
use crate::frame::PacketizedFrame;

// RFC 9628 §4.2.
const PICTURE_ID: u8 = 0x80;
const INTER_PICTURE: u8 = 0x40;
const LAYER_INDICES: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
const LONG_PICTURE_ID: u8 = 0x80;
const INTER_LAYER: u8 = 0x01;
const MORE_REFERENCES: u8 = 0x01;

const DESCRIPTOR_LENGTH: usize = 3;

/// Whether a frame, or the first of a superframe, is one at which decoding can start.
pub fn is_keyframe(data: &[u8]) -> bool {
    uncompressed_header(data).is_some()
}

/// Width and height of a keyframe in pixels; `None` for other frames.
pub fn keyframe_size(data: &[u8]) -> Option<(u32, u32)> {
    let (profile, mut reader) = uncompressed_header(data)?;
    color_config(profile, &mut reader)?;
    // VP9 bitstream §6.2.3, frame_size.
    Some((reader.bits(16)? + 1, reader.bits(16)? + 1))
}

/// The bits of a sample (8, 10 or 12) and the colours that a keyframe tells; `None` for other frames.
pub fn keyframe_colour(data: &[u8]) -> Option<(u8, ColourDescription)> {
    let (profile, mut reader) = uncompressed_header(data)?;
    color_config(profile, &mut reader)
}

/// VP9 bitstream §6.2.2 and §7.2.2.
fn color_config(profile: u32, reader: &mut BitReader<'_>) -> Option<(u8, ColourDescription)> {
    let bit_depth = match profile {
        0 | 1 => 8,
        _ => 10 + 2 * u8::from(reader.flag()?),
    };
    const SRGB: u32 = 7;
    let space = reader.bits(3)?;
    let full_range = if space == SRGB {
        if matches!(profile, 1 | 3) {
            reader.flag()?; // reserved_zero
        }
        true
    } else {
        let full_range = reader.flag()?;
        if matches!(profile, 1 | 3) {
            reader.skip(3)?; // subsampling_x, subsampling_y, reserved_zero
        }
        full_range
    };
    // Table of color_space, in the code points of H.273.
    let (primaries, transfer, matrix) = match space {
        1 => (5, 6, 5),
        2 => (1, 1, 1),
        3 => (6, 6, 6),
        4 => (7, 7, 7),
        // Ten and twelve bits of BT.2020; the header does not tell PQ from the standard's own curve.
        5 => (9, ColourDescription::UNSPECIFIED, 9),
        SRGB => (1, 13, 0),
        _ => (ColourDescription::UNSPECIFIED, ColourDescription::UNSPECIFIED, ColourDescription::UNSPECIFIED),
    };
    Some((bit_depth, ColourDescription { primaries, transfer, matrix, full_range: Some(full_range) }))
}

/// The profile of a keyframe and a reader behind its sync code.
fn uncompressed_header(data: &[u8]) -> Option<(u32, BitReader<'_>)> {
    // VP9 bitstream §6.2.
    let mut reader = BitReader::new(data);
    if reader.bits(2)? != 2 {
        return None;
    }
    let profile = u32::from(reader.flag()?) | u32::from(reader.flag()?) << 1;
    if profile == 3 {
        reader.flag()?;
    }
    let show_existing_frame = reader.flag()?;
    let non_key_frame = reader.flag()?;
    reader.skip(2)?; // show_frame, error_resilient_mode
    const SYNC_CODE: u32 = 0x49_83_42;
    (!show_existing_frame && !non_key_frame && reader.bits(24)? == SYNC_CODE).then_some((profile, reader))
}

/// The identifier of the picture that a packet's descriptor bears, of 7 or 15 bits.
pub(super) fn picture_id(payload: &[u8]) -> Option<u16> {
    match *payload {
        [flags, high, low, ..] if flags & PICTURE_ID != 0 && high & LONG_PICTURE_ID != 0 => {
            Some(u16::from_be_bytes([high & !LONG_PICTURE_ID, low]))
        }
        [flags, short, ..] if flags & PICTURE_ID != 0 && short & LONG_PICTURE_ID == 0 => Some(short.into()),
        _ => None,
    }
}

pub(super) fn packetize(data: &[u8], picture_id: u16, max_payload: usize, packets: &mut PacketizedFrame) {
    let keyframe = is_keyframe(data);
    let structure = if keyframe { scalability_structure(data) } else { Vec::new() };
    // The structure lengthens the first descriptor, so it takes its part of the first packet.
    let total = data.len() + structure.len();
    let length = equal_length(total, max_payload - DESCRIPTOR_LENGTH);
    let count = total.div_ceil(length);
    packets.reserve(total + count * DESCRIPTOR_LENGTH, count);
    let [high, low] = (picture_id & 0x7fff).to_be_bytes();
    let (first, rest) = data.split_at(data.len().min(length - structure.len()));
    let pieces = std::iter::once(first).chain(rest.chunks(length));
    for (index, piece) in pieces.enumerate() {
        let mut flags = PICTURE_ID;
        flags |= if keyframe { 0 } else { INTER_PICTURE };
        flags |= if index == 0 { BEGIN } else { 0 };
        flags |= if index + 1 == count { END } else { 0 };
        flags |= if index == 0 && !structure.is_empty() { STRUCTURE } else { 0 };
        let extra = if index == 0 { structure.as_slice() } else { &[] };
        packets.push(&[&[flags, LONG_PICTURE_ID | high, low], extra, piece]);
    }
}

/// RFC 9628 §4.2.1: one spatial layer of this size, a picture group of one frame that refers to the one before.
fn scalability_structure(data: &[u8]) -> Vec<u8> {
    const SIZE_PRESENT: u8 = 0x10;
    const GROUP_PRESENT: u8 = 0x08;
    const ONE_REFERENCE: u8 = 0x04;
    let (size_flag, size) = match keyframe_size(data) {
        Some((width, height)) => {
            // 65,536 does not fit the field; then the size is left out.
            match (u16::try_from(width), u16::try_from(height)) {
                (Ok(width), Ok(height)) => (SIZE_PRESENT, [width.to_be_bytes(), height.to_be_bytes()].concat()),
                _ => (0, Vec::new()),
            }
        }
        None => (0, Vec::new()),
    };
    let mut structure = vec![size_flag | GROUP_PRESENT];
    structure.extend(size);
    structure.extend([1, ONE_REFERENCE, 1]);
    structure
}

pub(super) fn depacketize(payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    let malformed = |reason| PayloadError::MalformedPayload { codec: Codec::Vp9, reason };
    let mut data = Vec::with_capacity(payloads.iter().map(|payload| payload.len()).sum());
    let mut within_layer = false;
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        let descriptor = Descriptor::parse(payload).ok_or_else(|| malformed("the descriptor is cut off"))?;
        if descriptor.begins() == within_layer {
            return Err(malformed(if within_layer {
                "a layer frame begins within another"
            } else {
                "a packet continues no layer frame"
            }));
        }
        within_layer = descriptor.flags & END == 0;
        data.extend_from_slice(descriptor.data);
    }
    if within_layer {
        return Err(PayloadError::Truncated { codec: Codec::Vp9 });
    }
    if data.is_empty() {
        return Err(malformed("no data in any packet of the frame"));
    }
    let keyframe = is_keyframe(&data);
    Ok(Depacketized { data: Bytes::from(data), keyframe })
}

pub(super) fn starts_frame(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| descriptor.begins() && !descriptor.inter_layer)
}

pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    starts_frame(payload) && payload.first().is_some_and(|flags| flags & INTER_PICTURE == 0)
}

struct Descriptor<'a> {
    flags: u8,
    /// D: the layer frame is predicted from the spatial layer below it in the same picture.
    inter_layer: bool,
    data: &'a [u8],
}

impl<'a> Descriptor<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Octets(payload);
        let flags = reader.octet()?;
        if flags & PICTURE_ID != 0 && reader.octet()? & LONG_PICTURE_ID != 0 {
            reader.octet()?;
        }
        let mut inter_layer = false;
        if flags & LAYER_INDICES != 0 {
            inter_layer = reader.octet()? & INTER_LAYER != 0;
            if flags & FLEXIBLE == 0 {
                reader.octet()?; // TL0PICIDX
            }
        }
        if flags & FLEXIBLE != 0 && flags & INTER_PICTURE != 0 {
            // RFC 9628 §4.2: up to three reference indices.
            for _ in 0..3 {
                if reader.octet()? & MORE_REFERENCES == 0 {
                    break;
                }
            }
        }
        if flags & STRUCTURE != 0 {
            reader.skip_structure()?;
        }
        Some(Self { flags, inter_layer, data: reader.0 })
    }

    const fn begins(&self) -> bool {
        self.flags & BEGIN != 0
    }
}

struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn skip_structure(&mut self) -> Option<()> {
        // RFC 9628 §4.2.1.
        let header = self.octet()?;
        let layers = usize::from(header >> 5) + 1;
        if header & 0x10 != 0 {
            self.skip(layers * 4)?;
        }
        if header & 0x08 != 0 {
            for _ in 0..self.octet()? {
                let references = self.octet()? >> 2 & 3;
                self.skip(usize::from(references))?;
            }
        }
        Some(())
    }
}
