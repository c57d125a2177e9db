//! AV1 in RTP, the Alliance for Open Media's "RTP Payload Format For AV1", version 1.0.
//!
//! A packet carries OBU elements: OBUs, or pieces of them, without their size fields. Sent are full packets, so that
//! all packets of a frame but the last are equally long; where three elements do not say all, every element has its
//! length before it.

use bytes::Bytes;

use super::{Depacketized, PayloadError};
use crate::codec::Codec;
use crate::frame::PacketizedFrame;

mod obu;
mod packing;
mod sequence_header;

pub use obu::{Obu, ObuType, is_keyframe, obus};
use obu::{read_leb128, write_leb128};
pub use sequence_header::SequenceHeader;

// §4.4, the aggregation header.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const ELEMENT_COUNT_SHIFT: u8 = 4;
const ELEMENT_COUNT_MASK: u8 = 3;
const NEW_SEQUENCE: u8 = 0x08;

pub(super) fn packetize(data: &[u8], max_payload: usize, packets: &mut PacketizedFrame) -> Result<(), PayloadError> {
    let mut elements = Vec::new();
    let mut stripped = Vec::with_capacity(data.len());
    let mut new_sequence = false;
    for obu in obus(data) {
        let obu = obu.map_err(|reason| PayloadError::MalformedFrame { codec: Codec::Av1, reason })?;
        // §5: "The temporal delimiter OBU … SHOULD be removed", a tile list must not be sent.
        if matches!(obu.kind(), ObuType::TemporalDelimiter | ObuType::TileList) {
            continue;
        }
        new_sequence |= obu.kind() == ObuType::SequenceHeader;
        let start = stripped.len();
        obu.write_without_size(&mut stripped);
        elements.push(start..stripped.len());
    }
    if elements.is_empty() {
        return Err(PayloadError::MalformedFrame { codec: Codec::Av1, reason: "it has no OBU but a delimiter" });
    }
    let length = packing::equal_length(&elements, max_payload);
    let mut first = true;
    for packet in packing::Packing::new(&elements, length) {
        // §4.4: N marks the first packet of a coded video sequence.
        let new_sequence = if first && new_sequence { NEW_SEQUENCE } else { 0 };
        first = false;
        let continues = if packet.continues { CONTINUES } else { 0 };
        let continued = if packet.continued { CONTINUED } else { 0 };
        let header = continues | continued | packet.count_field() << ELEMENT_COUNT_SHIFT | new_sequence;
        let mut payload = Vec::with_capacity(length);
        payload.push(header);
        let last = packet.elements.len() - 1;
        for (index, element) in packet.elements.iter().enumerate() {
            if index < last || packet.count_field() == 0 {
                write_leb128(element.len(), &mut payload);
            }
            payload.extend_from_slice(stripped.get(element.clone()).unwrap_or_default());
        }
        packets.push(&[&payload]);
    }
    Ok(())
}

pub(super) fn depacketize(payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    let mut data = Vec::with_capacity(payloads.iter().map(|payload| payload.len() + 4).sum());
    // The OBU whose pieces are arriving; it outlives its packet only if the packet says so.
    let mut pending = Vec::new();
    let mut continued = false;
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        let mut elements = Elements::parse(payload)?;
        if elements.continues != continued {
            return Err(malformed(if continued {
                "a packet does not continue the OBU of the one before"
            } else {
                "a packet continues an OBU of which the beginning is missing"
            }));
        }
        continued = elements.continued;
        while let Some(element) = elements.next()? {
            pending.extend_from_slice(element);
            if !(elements.is_done() && continued) {
                append_obu(&pending, &mut data)?;
                pending.clear();
            }
        }
    }
    if continued {
        return Err(PayloadError::Truncated { codec: Codec::Av1 });
    }
    if data.is_empty() {
        return Err(malformed("no OBU in any packet of the frame"));
    }
    let keyframe = is_keyframe(&data);
    Ok(Depacketized { data: Bytes::from(data), keyframe })
}

pub(super) fn starts_frame(payload: &[u8]) -> bool {
    payload.first().is_some_and(|header| header & CONTINUES == 0)
}

pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    if !starts_frame(payload) {
        return false;
    }
    let new_sequence = payload.first().is_some_and(|header| header & NEW_SEQUENCE != 0);
    let first = Elements::parse(payload).and_then(|mut elements| elements.next());
    new_sequence || matches!(first, Ok(Some(element)) if ObuType::of(element) == Some(ObuType::SequenceHeader))
}

/// Appends an OBU that came whole, with a size field whether or not it came with one.
fn append_obu(bytes: &[u8], data: &mut Vec<u8>) -> Result<(), PayloadError> {
    if bytes.is_empty() {
        // §4.4 allows an element of length zero nowhere, but nothing is lost by it.
        return Ok(());
    }
    let obu = Obu::parse_element(bytes).map_err(malformed)?;
    // §5: a receiver must not get delimiters, and ignores them.
    if !matches!(obu.kind(), ObuType::TemporalDelimiter | ObuType::TileList) {
        obu.write_with_size(data);
    }
    Ok(())
}

fn malformed(reason: &'static str) -> PayloadError {
    PayloadError::MalformedPayload { codec: Codec::Av1, reason }
}

/// The OBU elements of one payload.
struct Elements<'a> {
    continues: bool,
    continued: bool,
    rest: &'a [u8],
    /// How many elements are still to come; `None` if each has a length and they go on to the end.
    remaining: Option<u8>,
}

impl<'a> Elements<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let (&header, rest) = payload.split_first().ok_or_else(|| malformed("the packet is empty"))?;
        let count = header >> ELEMENT_COUNT_SHIFT & ELEMENT_COUNT_MASK;
        Ok(Self {
            continues: header & CONTINUES != 0,
            continued: header & CONTINUED != 0,
            rest,
            remaining: (count > 0).then_some(count),
        })
    }

    fn next(&mut self) -> Result<Option<&'a [u8]>, PayloadError> {
        match &mut self.remaining {
            Some(0) => return Ok(None),
            // §4.4: the last of W elements has no length.
            Some(remaining @ 1) => {
                *remaining = 0;
                return Ok(Some(std::mem::take(&mut self.rest)));
            }
            Some(remaining) => *remaining -= 1,
            None if self.rest.is_empty() => return Ok(None),
            None => {}
        }
        let too_long = || malformed("the length of an OBU element goes past the packet's end");
        let (length, rest) = read_leb128(self.rest).ok_or_else(too_long)?;
        let (element, rest) = rest.split_at_checked(length).ok_or_else(too_long)?;
        self.rest = rest;
        Ok(Some(element))
    }

    /// Whether the element taken last was the last of the packet.
    const fn is_done(&self) -> bool {
        match self.remaining {
            Some(remaining) => remaining == 0,
            None => self.rest.is_empty(),
        }
    }
}
