//! NAL units in the byte stream format, H.264 Annex B.

/// The start code that stands before every NAL unit of an [`Frame`](crate::Frame).
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What a NAL unit holds, H.264 §7.4.1, table 7-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalUnitType {
    /// A slice of a picture at which decoding cannot start (1).
    Slice,
    /// The first partition of a slice in three parts (2).
    SliceDataPartitionA,
    /// A slice of a picture at which decoding can start (5).
    IdrSlice,
    /// Supplemental enhancement information (6).
    Sei,
    /// A sequence parameter set (7).
    SequenceParameterSet,
    /// A picture parameter set (8).
    PictureParameterSet,
    /// An access unit delimiter (9).
    AccessUnitDelimiter,
    /// The end of a coded video sequence (10).
    EndOfSequence,
    /// The end of the stream (11).
    EndOfStream,
    /// Bytes without meaning that keep a bitrate up (12).
    FillerData,
    /// Any other type, by its number from 0 to 31.
    Other(u8),
}

impl NalUnitType {
    /// The type of a NAL unit that begins with its header octet; `None` if it is empty.
    pub fn of(unit: &[u8]) -> Option<Self> {
        Some(match unit.first()? & 0x1f {
            1 => Self::Slice,
            2 => Self::SliceDataPartitionA,
            5 => Self::IdrSlice,
            6 => Self::Sei,
            7 => Self::SequenceParameterSet,
            8 => Self::PictureParameterSet,
            9 => Self::AccessUnitDelimiter,
            10 => Self::EndOfSequence,
            11 => Self::EndOfStream,
            12 => Self::FillerData,
            other => Self::Other(other),
        })
    }
}

/// The NAL units of a byte stream, each from its header octet, without start code and without zeros after it.
///
/// Start codes of three and of four bytes are taken. Bytes before the first start code and empty units are left out.
///
/// ```
/// use rtcast_proto::payload::h264::{NalUnitType, nal_units};
/// let kinds: Vec<_> = nal_units(&[0, 0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68, 0xce]).filter_map(NalUnitType::of).collect();
/// assert_eq!(kinds, [NalUnitType::SequenceParameterSet, NalUnitType::PictureParameterSet]);
/// ```
pub fn nal_units(data: &[u8]) -> NalUnits<'_> {
    NalUnits { rest: find_start_code(data).and_then(|at| data.get(at + 3..)) }
}

/// The iterator of [`nal_units`].
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    /// What follows a start code.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let data = self.rest.take()?;
            let unit = match find_start_code(data) {
                Some(at) => {
                    self.rest = data.get(at + 3..);
                    data.get(..at)?
                }
                None => data,
            };
            // H.264 §7.4.1: the last byte of a NAL unit is never zero; zeros after it belong to the byte stream.
            if let Some(last) = unit.iter().rposition(|byte| *byte != 0) {
                return unit.get(..=last);
            }
        }
    }
}

/// Whether an access unit in Annex B is one at which decoding can start.
pub fn is_keyframe(data: &[u8]) -> bool {
    nal_units(data).any(|unit| NalUnitType::of(unit) == Some(NalUnitType::IdrSlice))
}

/// Where the next three-byte start code is; the zero before it, in a four-byte one, counts to what is before.
fn find_start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&[first, second, third]) = data.get(at..at + 3) {
        if third > 1 {
            at += 3;
        } else if (first, second, third) == (0, 0, 1) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(data: &[u8]) -> Vec<&[u8]> {
        nal_units(data).collect()
    }

    #[test]
    fn both_start_codes_and_zeros_between_units() {
        assert_eq!(units(&[0, 0, 0, 1, 1, 2, 0, 0, 1, 3, 0, 0, 0, 0, 0, 1, 4, 0]), [&[1, 2][..], &[3], &[4]]);
    }

    #[test]
    fn what_is_no_byte_stream_has_no_units() {
        assert!(units(&[]).is_empty());
        assert!(units(&[0, 0, 1]).is_empty());
        assert!(units(&[0, 0, 2, 0, 1]).is_empty());
        assert!(units(&[0, 0, 1, 0, 0, 1, 0]).is_empty());
        assert_eq!(units(&[9, 0, 1, 0, 0, 1, 7]), [&[7]]);
    }

    #[test]
    fn emulation_prevention_stays_inside_the_unit() {
        assert_eq!(units(&[0, 0, 1, 0x65, 0, 0, 3, 1, 0x80]), [&[0x65, 0, 0, 3, 1, 0x80]]);
    }
}
