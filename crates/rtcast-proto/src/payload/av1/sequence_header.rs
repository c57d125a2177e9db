//! What a player needs of a sequence header, AV1 specification §5.5.

use super::obu::{ObuType, obus};
use crate::payload::bits::BitReader;
use crate::payload::colour::ColourDescription;

/// The fields of a sequence header that decide how a stream can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// The largest width of a frame, in luma samples.
    pub width: u32,
    /// The largest height of a frame, in luma samples.
    pub height: u32,
    /// The bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// There is brightness alone.
    pub monochrome: bool,
    /// The colours.
    pub colour: ColourDescription,
}

impl SequenceHeader {
    /// Reads the first sequence header of a temporal unit in the low-overhead format; `None` if there is none, or a
    /// broken one.
    pub fn find(data: &[u8]) -> Option<Self> {
        let header = obus(data).map_while(Result::ok).find(|obu| obu.kind() == ObuType::SequenceHeader)?;
        Self::parse(header.payload())
    }

    /// Reads the payload of an OBU of this kind.
    fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = BitReader::new(payload);
        let reader = &mut reader;
        let profile = reader.bits(3)? as u8;
        reader.flag()?; // still_picture
        let reduced = reader.flag()?;
        if reduced {
            reader.skip(5)?; // seq_level_idx
        } else {
            skip_operating_points(reader)?;
        }
        let (width_bits, height_bits) = (reader.bits(4)? + 1, reader.bits(4)? + 1);
        let (width, height) = (reader.bits(width_bits)? + 1, reader.bits(height_bits)? + 1);
        if !reduced && reader.flag()? {
            reader.skip(4 + 3)?; // lengths of frame identifiers
        }
        reader.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !reduced {
            skip_tools(reader)?;
        }
        reader.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        // §5.5.2, color_config.
        let high = reader.flag()?;
        let bit_depth = match (profile, high) {
            (2, true) => 10 + 2 * u8::from(reader.flag()?),
            (_, true) => 10,
            (_, false) => 8,
        };
        let monochrome = profile != 1 && reader.flag()?;
        let mut colour = ColourDescription::default();
        if reader.flag()? {
            let (primaries, transfer, matrix) = (reader.bits(8)? as u8, reader.bits(8)? as u8, reader.bits(8)? as u8);
            colour = ColourDescription::from_code_points(primaries, transfer, matrix, None);
        }
        const SRGB: (u8, u8, u8) = (1, 13, 0);
        let is_rgb = !monochrome && (colour.primaries, colour.transfer, colour.matrix) == SRGB;
        colour.full_range = Some(is_rgb || reader.flag()?);
        Some(Self { profile, width, height, bit_depth, monochrome, colour })
    }
}

/// Passes timing_info, decoder_model_info and the operating points.
fn skip_operating_points(reader: &mut BitReader<'_>) -> Option<()> {
    let mut delay_bits = None;
    if reader.flag()? {
        reader.skip(64)?; // num_units_in_display_tick, time_scale
        if reader.flag()? {
            skip_unsigned(reader)?; // num_ticks_per_picture_minus_1
        }
        if reader.flag()? {
            delay_bits = Some(reader.bits(5)? + 1);
            reader.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = reader.flag()?;
    let count = reader.bits(5)? + 1;
    for _ in 0..count {
        reader.skip(12)?; // operating_point_idc
        if reader.bits(5)? > 7 {
            reader.flag()?; // seq_tier
        }
        if let Some(bits) = delay_bits
            && reader.flag()?
        {
            reader.skip(2 * bits + 1)?;
        }
        if has_display_delay && reader.flag()? {
            reader.skip(4)?;
        }
    }
    Some(())
}

/// Passes the coding tools that stand between the superblocks and the filters.
fn skip_tools(reader: &mut BitReader<'_>) -> Option<()> {
    reader.skip(4)?; // interintra and masked compounds, warped motion, dual filter
    let has_order_hint = reader.flag()?;
    if has_order_hint {
        reader.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    let chosen_per_frame = reader.flag()?; // seq_choose_screen_content_tools
    if (chosen_per_frame || reader.flag()?) && !reader.flag()? {
        reader.flag()?; // seq_force_integer_mv
    }
    if has_order_hint { reader.skip(3) } else { Some(()) }
}

/// AV1 §4.10.3, uvlc.
fn skip_unsigned(reader: &mut BitReader<'_>) -> Option<()> {
    let mut zeros = 0;
    while !reader.flag()? {
        zeros += 1;
        if zeros >= 32 {
            return Some(());
        }
    }
    reader.skip(zeros)
}
