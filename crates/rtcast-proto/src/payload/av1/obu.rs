//! Open bitstream units, AV1 specification §5.3 to §5.9 as far as headers need it.

use crate::payload::bits::BitReader;

const EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// What an OBU holds, AV1 specification §6.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObuType {
    /// The parameters of a coded video sequence (1).
    SequenceHeader,
    /// The mark between temporal units (2).
    TemporalDelimiter,
    /// The header of a frame (3).
    FrameHeader,
    /// Tiles of a frame (4).
    TileGroup,
    /// Metadata (5).
    Metadata,
    /// A frame's header with its tiles (6).
    Frame,
    /// A copy of a frame's header (7).
    RedundantFrameHeader,
    /// Tiles of large-scale coding (8).
    TileList,
    /// Bytes without meaning (15).
    Padding,
    /// Any other type, by its number from 0 to 15.
    Other(u8),
}

impl ObuType {
    /// The type of an OBU that begins with its header octet; `None` if there is no octet.
    pub fn of(obu: &[u8]) -> Option<Self> {
        Some(match obu.first()? >> 3 & 0x0f {
            1 => Self::SequenceHeader,
            2 => Self::TemporalDelimiter,
            3 => Self::FrameHeader,
            4 => Self::TileGroup,
            5 => Self::Metadata,
            6 => Self::Frame,
            7 => Self::RedundantFrameHeader,
            8 => Self::TileList,
            15 => Self::Padding,
            other => Self::Other(other),
        })
    }
}

/// One OBU, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    kind: ObuType,
    header: u8,
    extension: Option<u8>,
    payload: &'a [u8],
}

impl<'a> Obu<'a> {
    /// What it holds.
    pub const fn kind(&self) -> ObuType {
        self.kind
    }

    /// The bytes after header, extension and size field.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Appends the OBU with a size field of the least length.
    pub(super) fn write_with_size(&self, data: &mut Vec<u8>) {
        data.push(self.header | HAS_SIZE);
        data.extend(self.extension);
        write_leb128(self.payload.len(), data);
        data.extend_from_slice(self.payload);
    }

    /// Appends the OBU without a size field.
    pub(super) fn write_without_size(&self, data: &mut Vec<u8>) {
        data.push(self.header & !HAS_SIZE);
        data.extend(self.extension);
        data.extend_from_slice(self.payload);
    }

    /// Takes the OBU that fills these bytes; its size field may be missing.
    pub(super) fn parse_element(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (obu, rest) = Self::parse(bytes, true)?;
        if rest.is_empty() { Ok(obu) } else { Err("an OBU is shorter than the element that holds it") }
    }

    /// Takes one OBU off the front; without a size field it goes to the end, if that is allowed.
    fn parse(bytes: &'a [u8], size_optional: bool) -> Result<(Self, &'a [u8]), &'static str> {
        // AV1 specification §5.3.2.
        let (&header, mut rest) = bytes.split_first().ok_or("an OBU is empty")?;
        if header & 0x80 != 0 {
            return Err("the forbidden bit of an OBU is set; it is damaged or not AV1");
        }
        let mut extension = None;
        if header & EXTENSION != 0 {
            let (&octet, after) = rest.split_first().ok_or("an OBU ends within its header")?;
            (extension, rest) = (Some(octet), after);
        }
        let length = if header & HAS_SIZE != 0 {
            let (length, after) = read_leb128(rest).ok_or("the size of an OBU is no leb128 number")?;
            rest = after;
            length
        } else if size_optional {
            rest.len()
        } else {
            return Err("an OBU has no size field; the low-overhead format with sizes is expected");
        };
        let (payload, rest) = rest.split_at_checked(length).ok_or("the size of an OBU goes past the end")?;
        let kind = ObuType::of(bytes).ok_or("an OBU is empty")?;
        Ok((Self { kind, header, extension, payload }, rest))
    }
}

/// The OBUs of a temporal unit in the low-overhead format, each with its size field; ends after the first error, which
/// says what is wrong.
pub fn obus(data: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, &'static str>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let result = Obu::parse(rest, false);
        rest = result.map_or(&[], |(_, after)| after);
        Some(result.map(|(obu, _)| obu))
    })
}

/// Whether a temporal unit is one at which decoding can start: a sequence header and then a key frame.
pub fn is_keyframe(data: &[u8]) -> bool {
    let mut still_picture = None;
    for obu in obus(data).map_while(Result::ok) {
        match obu.kind() {
            ObuType::SequenceHeader => still_picture = has_reduced_still_picture_header(obu.payload()),
            ObuType::Frame | ObuType::FrameHeader => {
                return still_picture.is_some_and(|still| still || is_key_frame_header(obu.payload()));
            }
            _ => {}
        }
    }
    false
}

/// AV1 specification §5.5.1.
fn has_reduced_still_picture_header(payload: &[u8]) -> Option<bool> {
    let mut reader = BitReader::new(payload);
    reader.skip(4)?; // seq_profile, still_picture
    reader.flag()
}

/// AV1 specification §5.9.2: neither an existing frame shown again, nor any type but KEY_FRAME, which is 0.
fn is_key_frame_header(payload: &[u8]) -> bool {
    payload.first().is_some_and(|byte| byte & 0xe0 == 0)
}

/// A number as AV1 specification §4.10.5 writes it, and what follows it; `None` beyond 32 bits or past the end.
pub(super) fn read_leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in data.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7f) << (index * 7);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, data.get(index + 1..)?));
        }
    }
    None
}

pub(super) fn write_leb128(mut value: usize, data: &mut Vec<u8>) {
    while value >= 0x80 {
        data.push(value as u8 | 0x80);
        value >>= 7;
    }
    data.push(value as u8);
}

/// The number of bytes that [`write_leb128`] needs.
pub(super) const fn leb128_length(mut value: usize) -> usize {
    let mut length = 1;
    while value >= 0x80 {
        value >>= 7;
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leb128_numbers_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 0xffff_ffff] {
            let mut data = Vec::new();
            write_leb128(value, &mut data);
            assert_eq!(data.len(), leb128_length(value));
            data.push(7);
            assert_eq!(read_leb128(&data), Some((value, &[7][..])));
        }
    }

    #[test]
    fn leb128_numbers_that_end_early_or_are_too_large_are_refused() {
        assert_eq!(read_leb128(&[]), None);
        assert_eq!(read_leb128(&[0x80, 0x80]), None);
        assert_eq!(read_leb128(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(read_leb128(&[0x80; 9]), None);
        assert_eq!(read_leb128(&[0x81, 0x80, 0x00, 9]), Some((1, &[9][..])));
    }

    #[test]
    fn obus_end_after_the_first_error() {
        let mut iterator = obus(&[0x12, 0x00, 0x0a, 0x05, 0x00]);
        assert_eq!(iterator.next().unwrap().unwrap().kind(), ObuType::TemporalDelimiter);
        assert!(iterator.next().unwrap().is_err());
        assert!(iterator.next().is_none());
        assert!(obus(&[0x08, 0x00]).next().unwrap().is_err(), "no size field");
        assert!(obus(&[0x8a, 0x00]).next().unwrap().is_err(), "forbidden bit");
    }
}
