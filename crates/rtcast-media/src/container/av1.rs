//! AV1 temporal units as containers hold them, turned into the form of the wire.

use super::fields::Fields;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Longer than any sequence header is; it goes out with every keyframe.
const LONGEST_HEADER: usize = 4_096;

/// One open bitstream unit without its size field.
struct Unit<'a> {
    kind: u8,
    extension: Option<u8>,
    payload: &'a [u8],
}

/// Rewrites a temporal unit: every OBU with its size field, no delimiters, tile lists or padding, and a sequence
/// header first in a keyframe. The sequence header that the unit brings is remembered in `sequence_header`.
pub(crate) fn to_wire(sample: &[u8], sequence_header: &mut Vec<u8>, keyframe: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(sample.len() + 16);
    let mut has_header = false;
    for unit in units(sample) {
        match unit.kind {
            TEMPORAL_DELIMITER | TILE_LIST | PADDING => continue,
            SEQUENCE_HEADER if unit.payload.len() <= LONGEST_HEADER => {
                has_header = true;
                sequence_header.clear();
                unit.write_to(sequence_header);
            }
            _ => {}
        }
        unit.write_to(&mut out);
    }
    if keyframe && !has_header && !sequence_header.is_empty() {
        let mut with_header = sequence_header.clone();
        with_header.extend_from_slice(&out);
        return with_header;
    }
    out
}

/// The sequence header in av1C's body (AV1 in ISOBMFF §2.3), with its size field; empty if there is none.
pub(crate) fn configuration_header(av1c: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in units(av1c.get(4..).unwrap_or_default()).filter(|unit| unit.kind == SEQUENCE_HEADER) {
        unit.write_to(&mut out);
    }
    out
}

/// The profile in the first sequence header of these OBUs.
pub(crate) fn profile(bytes: &[u8]) -> Option<u8> {
    let header = units(bytes).find(|unit| unit.kind == SEQUENCE_HEADER)?;
    header.payload.first().map(|byte| byte >> 5)
}

/// A person's name of a profile: AV1 annex A.2.
pub(crate) fn codec_name(profile: u8) -> String {
    match profile {
        0 => "AV1 Main".into(),
        1 => "AV1 High".into(),
        2 => "AV1 Professional".into(),
        other => format!("AV1 profile {other}"),
    }
}

/// The OBUs of a temporal unit; ends at the first that is broken.
fn units(sample: &[u8]) -> impl Iterator<Item = Unit<'_>> {
    let mut fields = Fields::new(sample);
    std::iter::from_fn(move || {
        let header = fields.u8()?;
        if header & 0x80 != 0 {
            return None;
        }
        let extension = if header & 4 != 0 { Some(fields.u8()?) } else { None };
        let length = if header & 2 != 0 { leb128(&mut fields)? } else { fields.rest().len() };
        let payload = fields.take(length)?;
        Some(Unit { kind: header >> 3 & 0xf, extension, payload })
    })
}

impl Unit<'_> {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.push(self.kind << 3 | u8::from(self.extension.is_some()) << 2 | 2);
        out.extend(self.extension);
        let mut length = self.payload.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(self.payload);
    }
}

/// AV1 §4.10.5: at most eight bytes, and the value fits in 32 bits.
fn leb128(fields: &mut Fields<'_>) -> Option<usize> {
    let mut value = 0u64;
    for index in 0..8 {
        let byte = fields.u8()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_go_and_the_last_unit_gets_its_size() {
        let mut header = Vec::new();
        // A temporal delimiter, a sequence header, a frame without a size field.
        let sample = [0x12, 0, 0x0a, 1, 0x20, 0x30, 0x10, 7];
        assert_eq!(profile(&sample), Some(1));
        assert_eq!(to_wire(&sample, &mut header, true), [0x0a, 1, 0x20, 0x32, 2, 0x10, 7]);
        assert_eq!(header, [0x0a, 1, 0x20]);
        assert_eq!(to_wire(&[0x30, 0x10], &mut header, true), [0x0a, 1, 0x20, 0x32, 1, 0x10]);
        assert_eq!(to_wire(&[0x30, 0x30], &mut header, false), [0x32, 1, 0x30]);
    }

    #[test]
    fn a_length_past_the_end_ends_the_unit() {
        assert!(to_wire(&[0x32, 0xff, 0xff, 0x03, 1], &mut Vec::new(), false).is_empty());
    }
}
