//! The beginning of a slice header, H.264 §7.3.3.

use super::NalUnitType;
use super::sequence_parameter_set::{SequenceParameterSet, without_emulation_prevention};
use crate::payload::bits::BitReader;

/// More than the fields that are read can take.
const LONGEST: usize = 40;

/// The fields of a slice header that tell where a picture begins and when it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHeader {
    /// `first_mb_in_slice`: 0 in the first slice of a picture.
    pub first_macroblock: u32,
    /// `frame_num`.
    pub frame_num: u32,
    /// `Some` for a field: whether it is the bottom one.
    pub bottom_field: Option<bool>,
    /// `pic_order_cnt_lsb`; 0 unless `pic_order_cnt_type` is 0.
    pub pic_order_cnt_lsb: u32,
}

impl SliceHeader {
    /// Reads a NAL unit of type 1, 2 or 5 from its header octet on; `None` if it is another, or broken.
    pub fn parse(unit: &[u8], set: &SequenceParameterSet) -> Option<Self> {
        let is_idr = match NalUnitType::of(unit)? {
            NalUnitType::IdrSlice => true,
            NalUnitType::Slice | NalUnitType::SliceDataPartitionA => false,
            _ => return None,
        };
        let payload = without_emulation_prevention(unit.get(1..unit.len().min(LONGEST))?);
        let mut reader = BitReader::new(&payload);
        let first_macroblock = reader.unsigned_golomb()?;
        reader.unsigned_golomb()?; // slice_type
        reader.unsigned_golomb()?; // pic_parameter_set_id
        if set.separate_colour_planes {
            reader.skip(2)?; // colour_plane_id
        }
        let frame_num = reader.bits(set.frame_num_bits)?;
        let is_field = !set.frame_macroblocks_only && reader.flag()?;
        let bottom_field = if is_field { Some(reader.flag()?) } else { None };
        if is_idr {
            reader.unsigned_golomb()?; // idr_pic_id
        }
        let pic_order_cnt_lsb = reader.bits(set.pic_order_cnt_bits)?;
        Some(Self { first_macroblock, frame_num, bottom_field, pic_order_cnt_lsb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_frame_and_of_a_field() {
        let set = SequenceParameterSet::parse(&[0x67, 66, 0xc0, 30, 0xfb, 0x80]);
        let mut set = set.unwrap_or_else(|| panic!("a parameter set of 16 by 16"));
        (set.frame_num_bits, set.pic_order_cnt_bits, set.frame_macroblocks_only) = (4, 4, true);
        // first_mb 0, slice_type 0, parameter set 0, frame_num 5, idr_pic_id 0, count 6.
        let header = SliceHeader::parse(&[0x65, 0b1110_1011, 0b0110_1000], &set).unwrap();
        assert_eq!((header.first_macroblock, header.frame_num, header.pic_order_cnt_lsb), (0, 5, 6));
        set.frame_macroblocks_only = false;
        // The same of a bottom field that is no IDR picture, with first_mb 1.
        let header = SliceHeader::parse(&[0x41, 0b0101_1010, 0b1110_1101], &set).unwrap();
        assert_eq!((header.first_macroblock, header.bottom_field, header.pic_order_cnt_lsb), (1, Some(true), 6));
        assert_eq!(SliceHeader::parse(&[0x67, 0xff, 0xff], &set), None);
        assert_eq!(SliceHeader::parse(&[0x41, 0b0101_1010], &set), None);
    }
}
