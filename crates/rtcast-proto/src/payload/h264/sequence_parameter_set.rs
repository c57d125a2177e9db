//! What a player needs of a sequence parameter set, H.264 §7.3.2.1.1 and Annex E.

use crate::payload::bits::BitReader;
use crate::payload::colour::ColourDescription;

/// The fields of a sequence parameter set that decide whether and how a stream can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceParameterSet {
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High, and others.
    pub profile_idc: u8,
    /// The octet of the constraint flags, `constraint_set0_flag` in its highest bit.
    pub constraint_flags: u8,
    /// `level_idc`: ten times the level, so 31 for 3.1.
    pub level_idc: u8,
    /// The width of the picture after cropping, in luma samples.
    pub width: u32,
    /// The height of the picture after cropping, in luma samples.
    pub height: u32,
    /// `pic_order_cnt_type`: with 2, pictures are shown in the order in which they are decoded.
    pub pic_order_cnt_type: u8,
    /// The bits of `frame_num` in a slice header, 4 to 16.
    pub frame_num_bits: u32,
    /// The bits of `pic_order_cnt_lsb` in a slice header, 4 to 16; 0 unless `pic_order_cnt_type` is 0.
    pub pic_order_cnt_bits: u32,
    /// `frame_mbs_only_flag`: no picture is a field.
    pub frame_macroblocks_only: bool,
    /// `separate_colour_plane_flag`.
    pub separate_colour_planes: bool,
    /// `num_units_in_tick` and `time_scale`, neither 0, if the timing information is present: a frame lasts twice the
    /// one by the other, in seconds.
    pub timing: Option<(u32, u32)>,
    /// `max_num_reorder_frames`, if the bitstream restriction is present.
    pub max_num_reorder_frames: Option<u32>,
    /// The bits of a luma sample, 8 to 14.
    pub bit_depth: u8,
    /// Width and height of a sample, neither 0, if the aspect ratio is told.
    pub sample_aspect_ratio: Option<(u32, u32)>,
    /// The colours, as far as they are told.
    pub colour: ColourDescription,
}

impl SequenceParameterSet {
    /// Reads a NAL unit of type 7 from its header octet on; `None` if it is another, or broken.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let (&header, rest) = unit.split_first()?;
        if header & 0x1f != 7 {
            return None;
        }
        let payload = without_emulation_prevention(rest);
        let mut reader = BitReader::new(&payload);
        let profile_idc = reader.bits(8)? as u8;
        let constraint_flags = reader.bits(8)? as u8;
        let level_idc = reader.bits(8)? as u8;
        reader.unsigned_golomb()?; // seq_parameter_set_id
        let chroma = if has_chroma_format(profile_idc) { chroma_format(&mut reader)? } else { ChromaFormat::YUV_420 };
        let frame_num_bits = reader.unsigned_golomb().filter(|bits| *bits <= 12)? + 4;
        let (pic_order_cnt_type, pic_order_cnt_bits) = picture_order_count(&mut reader)?;
        reader.unsigned_golomb()?; // max_num_ref_frames
        reader.flag()?; // gaps_in_frame_num_value_allowed_flag
        let width_in_macroblocks = u64::from(reader.unsigned_golomb()?) + 1;
        let height_in_map_units = u64::from(reader.unsigned_golomb()?) + 1;
        let frame_macroblocks_only = reader.flag()?;
        if !frame_macroblocks_only {
            reader.flag()?; // mb_adaptive_frame_field_flag
        }
        reader.flag()?; // direct_8x8_inference_flag
        let fields = if frame_macroblocks_only { 1 } else { 2 };
        let (mut cropped_width, mut cropped_height) = (0, 0);
        if reader.flag()? {
            let [left, right, top, bottom] = four(|| reader.unsigned_golomb().map(u64::from))?;
            cropped_width = (left + right) * chroma.crop_unit_width();
            cropped_height = (top + bottom) * chroma.crop_unit_height() * fields;
        }
        let size = |whole: u64, cropped: u64| u32::try_from(whole.checked_sub(cropped)?).ok().filter(|size| *size > 0);
        // The usability information may be cut off; what stands before it is good all the same.
        let mut usability = Usability::default();
        let _ = usability.read(&mut reader);
        Some(Self {
            profile_idc,
            constraint_flags,
            level_idc,
            width: size(width_in_macroblocks * 16, cropped_width)?,
            height: size(height_in_map_units * 16 * fields, cropped_height)?,
            pic_order_cnt_type,
            frame_num_bits,
            pic_order_cnt_bits,
            frame_macroblocks_only,
            separate_colour_planes: chroma.separate_planes,
            timing: usability.timing,
            max_num_reorder_frames: usability.max_num_reorder_frames,
            bit_depth: chroma.bit_depth,
            sample_aspect_ratio: usability.sample_aspect_ratio,
            colour: usability.colour,
        })
    }

    /// The `profile-level-id` of RFC 6184 §8.1: six hexadecimal digits.
    pub fn profile_level_id(&self) -> String {
        format!("{:02x}{:02x}{:02x}", self.profile_idc, self.constraint_flags, self.level_idc)
    }

    /// Whether pictures may be decoded in another order than they are shown, as far as the parameter set tells.
    ///
    /// `Some(false)`: surely not. `Some(true)`: the stream says that they may. `None`: it says nothing, so the
    /// timestamps must be looked at.
    pub fn reorders_pictures(&self) -> Option<bool> {
        match (self.max_num_reorder_frames, self.pic_order_cnt_type) {
            // H.264 §8.2.1.3: type 2 cannot have two consecutive non-reference pictures, nor reordering.
            (Some(0), _) | (_, 2) => Some(false),
            (Some(_), _) => Some(true),
            // H.264 §A.2.1: Baseline has no B slices, and no encoder reorders P pictures.
            (None, _) if self.profile_idc == 66 => Some(false),
            (None, _) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct ChromaFormat {
    idc: u32,
    separate_planes: bool,
    bit_depth: u8,
}

impl ChromaFormat {
    const YUV_420: Self = Self { idc: 1, separate_planes: false, bit_depth: 8 };

    // H.264 table 6-1 and equations 7-19 to 7-22.
    fn crop_unit_width(self) -> u64 {
        if !self.separate_planes && matches!(self.idc, 1 | 2) { 2 } else { 1 }
    }

    fn crop_unit_height(self) -> u64 {
        if !self.separate_planes && self.idc == 1 { 2 } else { 1 }
    }
}

pub(super) fn without_emulation_prevention(data: &[u8]) -> Vec<u8> {
    // H.264 §7.4.1: 00 00 03 stands for 00 00.
    let mut clean = Vec::with_capacity(data.len());
    let mut zeros = 0;
    for &byte in data {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        clean.push(byte);
    }
    clean
}

fn has_chroma_format(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 134 | 135 | 138 | 139)
}

fn chroma_format(reader: &mut BitReader<'_>) -> Option<ChromaFormat> {
    let idc = reader.unsigned_golomb().filter(|idc| *idc <= 3)?;
    let separate_planes = idc == 3 && reader.flag()?;
    let bit_depth = reader.unsigned_golomb().filter(|more| *more <= 6)? as u8 + 8;
    reader.unsigned_golomb()?; // bit_depth_chroma_minus8
    reader.flag()?; // qpprime_y_zero_transform_bypass_flag
    if reader.flag()? {
        let lists = if idc == 3 { 12 } else { 8 };
        for list in 0..lists {
            if reader.flag()? {
                skip_scaling_list(reader, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(ChromaFormat { idc, separate_planes, bit_depth })
}

fn skip_scaling_list(reader: &mut BitReader<'_>, size: usize) -> Option<()> {
    // H.264 §7.3.2.1.1.1.
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + reader.signed_golomb()? + 256).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// `pic_order_cnt_type`, and for type 0 the bits of its count in slice headers.
fn picture_order_count(reader: &mut BitReader<'_>) -> Option<(u8, u32)> {
    let kind = reader.unsigned_golomb().filter(|kind| *kind <= 2)?;
    let mut bits = 0;
    match kind {
        0 => bits = reader.unsigned_golomb().filter(|bits| *bits <= 12)? + 4,
        1 => {
            reader.flag()?; // delta_pic_order_always_zero_flag
            reader.signed_golomb()?; // offset_for_non_ref_pic
            reader.signed_golomb()?; // offset_for_top_to_bottom_field
            let cycle = reader.unsigned_golomb().filter(|count| *count <= 255)?;
            (0..cycle).try_for_each(|_| reader.signed_golomb().map(drop))?;
        }
        _ => {}
    }
    Some((kind as u8, bits))
}

/// What is read of the video usability information, H.264 §E.1.1.
#[derive(Default)]
struct Usability {
    timing: Option<(u32, u32)>,
    max_num_reorder_frames: Option<u32>,
    sample_aspect_ratio: Option<(u32, u32)>,
    colour: ColourDescription,
}

impl Usability {
    /// Reads as far as the information goes; `None` where it ends.
    fn read(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        if !reader.flag()? {
            return None;
        }
        if reader.flag()? {
            // aspect_ratio_info_present_flag; 255 is Extended_SAR.
            let (width, height) = match reader.bits(8)? {
                255 => (reader.bits(16)?, reader.bits(16)?),
                known => ASPECT_RATIOS.get(known as usize).copied().unwrap_or((0, 0)),
            };
            self.sample_aspect_ratio = (width > 0 && height > 0).then_some((width, height));
        }
        if reader.flag()? {
            reader.flag()?; // overscan
        }
        if reader.flag()? {
            reader.skip(3)?; // video_format
            self.colour.full_range = Some(reader.flag()?);
            if reader.flag()? {
                let mut point = || reader.bits(8).map(|point| point as u8);
                let (primaries, transfer, matrix) = (point()?, point()?, point()?);
                self.colour = ColourDescription::from_code_points(primaries, transfer, matrix, self.colour.full_range);
            }
        }
        if reader.flag()? {
            reader.unsigned_golomb()?; // chroma_sample_loc_type_top_field
            reader.unsigned_golomb()?; // chroma_sample_loc_type_bottom_field
        }
        if reader.flag()? {
            let (units_in_tick, time_scale) = (reader.bits(32)?, reader.bits(32)?);
            reader.flag()?; // fixed_frame_rate_flag
            self.timing = (units_in_tick > 0 && time_scale > 0).then_some((units_in_tick, time_scale));
        }
        let nal_parameters = reader.flag()?;
        if nal_parameters {
            skip_hypothetical_reference_decoder(reader)?;
        }
        let vcl_parameters = reader.flag()?;
        if vcl_parameters {
            skip_hypothetical_reference_decoder(reader)?;
        }
        if nal_parameters || vcl_parameters {
            reader.flag()?; // low_delay_hrd_flag
        }
        reader.flag()?; // pic_struct_present_flag
        if !reader.flag()? {
            return None;
        }
        reader.flag()?; // motion_vectors_over_pic_boundaries_flag
        four(|| reader.unsigned_golomb())?;
        self.max_num_reorder_frames = Some(reader.unsigned_golomb()?);
        Some(())
    }
}

/// H.264 table E-1, from 0 (unspecified).
const ASPECT_RATIOS: [(u32, u32); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

fn skip_hypothetical_reference_decoder(reader: &mut BitReader<'_>) -> Option<()> {
    let count = reader.unsigned_golomb().filter(|count| *count <= 31)? + 1;
    reader.skip(8)?;
    for _ in 0..count {
        reader.unsigned_golomb()?;
        reader.unsigned_golomb()?;
        reader.flag()?;
    }
    reader.skip(20)
}

fn four<T: Default + Copy>(mut read: impl FnMut() -> Option<T>) -> Option<[T; 4]> {
    let mut values = [T::default(); 4];
    for value in &mut values {
        *value = read()?;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    const X264_HIGH_WITHOUT_B: &str = "67640028acb200f0044fcb8088000003000800000301e078c19240";
    const X264_HIGH_WITH_B: &str = "67640028acd940780227e5c044000003000400000300f03c60c658";
    const X264_BASELINE: &str = "6742c028d900780227e5c044000003000400000300f03c60c920";

    #[test]
    fn parameter_sets_of_x264() {
        for (hex, id, reorder) in [
            (X264_HIGH_WITHOUT_B, "640028", Some(0)),
            (X264_HIGH_WITH_B, "640028", Some(2)),
            (X264_BASELINE, "42c028", Some(0)),
        ] {
            let set = SequenceParameterSet::parse(&unit(hex)).unwrap();
            assert_eq!(set.profile_level_id(), id);
            assert_eq!((set.width, set.height), (1920, 1080));
            assert_eq!((set.timing, set.frame_macroblocks_only), (Some((1, 60)), true));
            assert_eq!(set.max_num_reorder_frames, reorder);
            assert_eq!(set.reorders_pictures(), Some(reorder != Some(0)));
        }
    }

    #[test]
    fn every_cut_of_a_good_unit_is_refused_or_read_without_the_restriction() {
        let whole = unit(X264_HIGH_WITHOUT_B);
        for length in 0..whole.len() {
            if let Some(set) = SequenceParameterSet::parse(&whole[..length]) {
                assert_eq!((set.width, set.height), (1920, 1080), "{length}");
            }
        }
        assert_eq!(SequenceParameterSet::parse(&whole[..6]), None);
        assert_eq!(SequenceParameterSet::parse(&whole[..13]).unwrap().max_num_reorder_frames, None);
    }

    #[test]
    fn another_unit_is_refused() {
        assert_eq!(SequenceParameterSet::parse(&[0x68, 0xce, 0x3c, 0x80]), None);
        assert_eq!(SequenceParameterSet::parse(&[]), None);
    }
}
