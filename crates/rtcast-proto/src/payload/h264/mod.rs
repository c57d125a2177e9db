//! H.264 in RTP, RFC 6184.
//!
//! Sent is packetization mode 1: single NAL units, STAP-A for runs of small ones, FU-A for those that exceed a packet; or
//! mode 0, single NAL units alone, for streams that are made of small ones.
//! Read are modes 0 and 1; the interleaved mode (STAP-B, MTAP, FU-B) is refused, since no description that we make or
//! take negotiates it.

use bytes::Bytes;

use super::{Depacketized, PayloadError};
use crate::codec::Codec;
use crate::frame::PacketizedFrame;

mod nal_unit;
mod sequence_parameter_set;
mod slice_header;

pub use nal_unit::{NalUnitType, NalUnits, START_CODE, is_keyframe, nal_units};
pub use sequence_parameter_set::SequenceParameterSet;
pub use slice_header::SliceHeader;

// RFC 6184 §5.2, table 1.
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

const TYPE_MASK: u8 = 0x1f;
const FORBIDDEN_MASK: u8 = 0x80;
const IMPORTANCE_MASK: u8 = 0x60;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

pub(super) fn packetize(data: &[u8], max_payload: usize, packets: &mut PacketizedFrame) -> Result<(), PayloadError> {
    let units = units_to_send(data)?;
    let packets_at_most = units.len() + data.len() / max_payload;
    packets.reserve(data.len() + 2 * packets_at_most, packets_at_most);
    let mut rest = units.as_slice();
    while let Some((unit, following)) = rest.split_first() {
        if unit.len() > max_payload {
            push_fragments(unit, max_payload, packets);
            rest = following;
        } else {
            let (together, following) = rest.split_at(aggregated(rest, max_payload).max(1));
            push_aggregate(together, packets);
            rest = following;
        }
    }
    Ok(())
}

/// Packetization mode 0 (RFC 6184 §6.2): one NAL unit a packet.
pub(super) fn packetize_single(
    data: &[u8],
    max_payload: usize,
    packets: &mut PacketizedFrame,
) -> Result<(), PayloadError> {
    let units = units_to_send(data)?;
    if units.iter().any(|unit| unit.len() > max_payload) {
        return Err(PayloadError::MalformedFrame {
            codec: Codec::H264,
            reason: "a NAL unit is longer than a packet, which packetization mode 0 cannot cut; encode smaller slices",
        });
    }
    packets.reserve(data.len(), units.len());
    units.iter().for_each(|unit| packets.push(&[unit]));
    Ok(())
}

pub(super) fn depacketize(payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    let mut joined = AccessUnit::with_capacity(payloads.iter().map(|payload| payload.len() + 4).sum());
    for payload in payloads {
        let Some((&header, body)) = payload.split_first() else {
            continue;
        };
        match header & TYPE_MASK {
            1..=23 => joined.push_unit(payload)?,
            STAP_A => {
                for unit in aggregate_units(body) {
                    joined.push_unit(unit?)?;
                }
            }
            FU_A => joined.push_fragment(header, body)?,
            STAP_B | MTAP16 | MTAP24 | FU_B => {
                return Err(PayloadError::Unsupported {
                    codec: Codec::H264,
                    what: "the interleaved packetization mode",
                });
            }
            // RFC 6184 §5.2: types 0, 30 and 31 are reserved; a receiver ignores them.
            _ => {}
        }
    }
    joined.finish()
}

/// Whether the payload can be the first of an access unit.
pub(super) fn starts_frame(payload: &[u8]) -> bool {
    first_unit(payload).is_some_and(|(kind, body)| match kind {
        // H.264 §7.3.3: a slice header begins with first_mb_in_slice, whose zero is the single bit 1.
        NalUnitType::Slice | NalUnitType::SliceDataPartitionA | NalUnitType::IdrSlice => {
            body.first().is_some_and(|byte| byte & 0x80 != 0)
        }
        // H.264 §7.4.1.2.3: these begin an access unit, or stand between its beginning and its slices.
        NalUnitType::Sei
        | NalUnitType::SequenceParameterSet
        | NalUnitType::PictureParameterSet
        | NalUnitType::AccessUnitDelimiter => true,
        NalUnitType::Other(kind) => matches!(kind, 14..=18),
        _ => false,
    })
}

/// Whether the payload brings a sequence parameter set, with which our keyframes and every browser's begin.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((&header, body)) = payload.split_first() else {
        return false;
    };
    match header & TYPE_MASK {
        STAP_A => aggregate_units(body)
            .map_while(Result::ok)
            .any(|unit| NalUnitType::of(unit) == Some(NalUnitType::SequenceParameterSet)),
        _ => first_unit(payload).is_some_and(|(kind, _)| kind == NalUnitType::SequenceParameterSet),
    }
}

/// The type of the first NAL unit that begins in this payload, and the unit's bytes after its header.
fn first_unit(payload: &[u8]) -> Option<(NalUnitType, &[u8])> {
    let (&header, body) = payload.split_first()?;
    match header & TYPE_MASK {
        STAP_A => {
            let unit = aggregate_units(body).next()?.ok()?;
            Some((NalUnitType::of(unit)?, unit.get(1..)?))
        }
        FU_A => {
            let (&fragment_header, body) = body.split_first()?;
            (fragment_header & FU_START != 0).then_some((NalUnitType::of(&[fragment_header])?, body))
        }
        STAP_B | MTAP16 | MTAP24 | FU_B => None,
        _ => Some((NalUnitType::of(payload)?, body)),
    }
}

fn units_to_send(data: &[u8]) -> Result<Vec<&[u8]>, PayloadError> {
    let malformed = |reason| PayloadError::MalformedFrame { codec: Codec::H264, reason };
    let leading_zeros = data.iter().take_while(|byte| **byte == 0).count();
    if leading_zeros < 2 || data.get(leading_zeros) != Some(&1) {
        return Err(malformed("it does not begin with a start code; Annex B is expected, not length prefixes (avcC)"));
    }
    // RFC 6184 leaves access unit delimiters to the sender; the marker bit says the same.
    let units: Vec<&[u8]> =
        nal_units(data).filter(|unit| NalUnitType::of(unit) != Some(NalUnitType::AccessUnitDelimiter)).collect();
    // Such a header would be read as an aggregate or a fragment.
    if units.iter().any(|unit| !matches!(head_of(unit) & TYPE_MASK, 1..=23)) {
        return Err(malformed("a NAL unit has a type that RTP reserves for itself (0 or 24 to 31)"));
    }
    if units.is_empty() { Err(malformed("it has no NAL unit but a delimiter")) } else { Ok(units) }
}

/// The header octet of a unit, 0 of an empty one.
fn head_of(unit: &[u8]) -> u8 {
    unit.first().copied().unwrap_or_default()
}

/// How many of the first units fit one STAP-A of this length.
fn aggregated(units: &[&[u8]], max_payload: usize) -> usize {
    let mut length = 1;
    units
        .iter()
        .take_while(|unit| {
            length += 2 + unit.len();
            length <= max_payload && unit.len() <= usize::from(u16::MAX)
        })
        .count()
}

fn push_aggregate(units: &[&[u8]], packets: &mut PacketizedFrame) {
    if let [unit] = units {
        packets.push(&[unit]);
        return;
    }
    // RFC 6184 §5.7: F is set if any unit's is, NRI is the highest of them.
    let header = units.iter().fold(STAP_A, |header, unit| {
        let head = head_of(unit);
        let importance = (header & IMPORTANCE_MASK).max(head & IMPORTANCE_MASK);
        (header | head) & FORBIDDEN_MASK | importance | STAP_A
    });
    let header = [header];
    let lengths: Vec<[u8; 2]> = units.iter().map(|unit| (unit.len() as u16).to_be_bytes()).collect();
    let mut pieces: Vec<&[u8]> = vec![&header];
    for (unit, length) in units.iter().zip(&lengths) {
        pieces.extend([length.as_slice(), unit]);
    }
    packets.push(&pieces);
}

fn push_fragments(unit: &[u8], max_payload: usize, packets: &mut PacketizedFrame) {
    // RFC 6184 §5.8: the unit's header octet is not sent, its fields go into the indicator and the FU header.
    let Some((head, body)) = unit.split_first() else { return };
    let indicator = head & (FORBIDDEN_MASK | IMPORTANCE_MASK) | FU_A;
    let kind = head & TYPE_MASK;
    let count = body.len().div_ceil(max_payload - 2);
    let length = body.len().div_ceil(count);
    let last = body.len().div_ceil(length) - 1;
    for (index, fragment) in body.chunks(length).enumerate() {
        let start = if index == 0 { FU_START } else { 0 };
        let end = if index == last { FU_END } else { 0 };
        packets.push(&[&[indicator, start | end | kind], fragment]);
    }
}

/// The units inside a STAP-A whose header octet was taken off.
fn aggregate_units(mut body: &[u8]) -> impl Iterator<Item = Result<&[u8], PayloadError>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let unit = body.split_first_chunk::<2>().and_then(|(length, rest)| {
            let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            body = rest;
            (!unit.is_empty()).then_some(unit)
        });
        if unit.is_none() {
            body = &[];
        }
        Some(unit.ok_or_else(|| malformed("a length in a STAP-A is zero or goes past the packet's end")))
    })
}

fn malformed(reason: &'static str) -> PayloadError {
    PayloadError::MalformedPayload { codec: Codec::H264, reason }
}

/// The access unit as it grows.
struct AccessUnit {
    data: Vec<u8>,
    keyframe: bool,
    /// The type of the NAL unit whose fragments are arriving.
    fragmented: Option<u8>,
}

impl AccessUnit {
    fn with_capacity(capacity: usize) -> Self {
        Self { data: Vec::with_capacity(capacity), keyframe: false, fragmented: None }
    }

    fn push_unit(&mut self, unit: &[u8]) -> Result<(), PayloadError> {
        if self.fragmented.is_some() {
            return Err(malformed("a NAL unit begins before the last fragment of the one before"));
        }
        match unit.first().map(|header| header & TYPE_MASK) {
            Some(1..=23) => {}
            _ => return Err(malformed("an aggregate holds another aggregate, a fragment or a reserved type")),
        }
        match NalUnitType::of(unit) {
            Some(NalUnitType::AccessUnitDelimiter) => return Ok(()),
            Some(NalUnitType::IdrSlice) => self.keyframe = true,
            _ => {}
        }
        self.data.extend_from_slice(&START_CODE);
        self.data.extend_from_slice(unit);
        Ok(())
    }

    fn push_fragment(&mut self, indicator: u8, body: &[u8]) -> Result<(), PayloadError> {
        let Some((&header, fragment)) = body.split_first() else {
            return Err(malformed("a fragment without its header"));
        };
        let kind = header & TYPE_MASK;
        if header & FU_START != 0 {
            self.push_unit(&[indicator & (FORBIDDEN_MASK | IMPORTANCE_MASK) | kind])?;
        } else if self.fragmented != Some(kind) {
            return Err(malformed("a fragment without the one before"));
        }
        self.data.extend_from_slice(fragment);
        self.fragmented = (header & FU_END == 0).then_some(kind);
        Ok(())
    }

    fn finish(self) -> Result<Depacketized, PayloadError> {
        if self.fragmented.is_some() {
            return Err(PayloadError::Truncated { codec: Codec::H264 });
        }
        if self.data.is_empty() {
            return Err(malformed("no NAL unit in any packet of the frame"));
        }
        Ok(Depacketized { data: Bytes::from(self.data), keyframe: self.keyframe })
    }
}
