//! How pictures are to be shown: RFC 9559 §5.1.4.1.28, the master element Video.

use super::ebml::{children, float, unsigned};
use crate::properties::{ColourDescription, FieldOrder, LightLevels, Orientation, PictureProperties, ratio};

/// What a Video element says of how its pictures are to be shown.
pub(super) fn properties(video: &[u8]) -> PictureProperties {
    let mut picture = PictureProperties::default();
    let (mut width, mut height, mut cropped_width, mut cropped_height) = (0, 0, 0u64, 0u64);
    let (mut display_width, mut display_height, mut display_unit) = (0, 0, 0);
    let (mut flag_interlaced, mut field_order) = (0, 2);
    for (id, body) in children(video) {
        match id {
            0xb0 => width = unsigned(body),
            0xba => height = unsigned(body),
            0x54b0 => display_width = unsigned(body),
            0x54ba => display_height = unsigned(body),
            0x54b2 => display_unit = unsigned(body),
            0x54cc | 0x54dd => cropped_width = cropped_width.saturating_add(unsigned(body)),
            0x54aa | 0x54bb => cropped_height = cropped_height.saturating_add(unsigned(body)),
            0x9a => flag_interlaced = unsigned(body),
            0x9d => field_order = unsigned(body),
            0x55b0 => (picture.colour, picture.bit_depth, picture.light) = colour(body),
            0x7670 => {
                let roll = children(body).find(|(id, _)| *id == 0x7675).and_then(|(_, body)| float(body));
                // ProjectionPoseRoll is counter-clockwise.
                picture.orientation = Orientation::from_degrees(-roll.unwrap_or(0.0));
            }
            _ => {}
        }
    }
    // DisplayUnit: 4 is "unknown"; the others are in some unit of length, or a ratio, alike for both sides.
    if display_unit < 4 && display_width > 0 && display_height > 0 {
        let (width, height) = (width.saturating_sub(cropped_width), height.saturating_sub(cropped_height));
        if display_unit == 0 && display_width.abs_diff(width) <= 1 && display_height.abs_diff(height) <= 1 {
            picture.sample_aspect_ratio = Some((1, 1));
        } else if let (Some(across), Some(down)) =
            (display_width.checked_mul(height), display_height.checked_mul(width))
        {
            picture.sample_aspect_ratio = ratio(across, down);
        }
    }
    picture.field_order = match (flag_interlaced, field_order) {
        (2, _) => FieldOrder::Progressive,
        (1, 1 | 14) => FieldOrder::TopFirst,
        (1, 6 | 9) => FieldOrder::BottomFirst,
        (1, _) => FieldOrder::Interlaced,
        _ => FieldOrder::Unknown,
    };
    picture
}

/// Colours, bits of a sample, and light: RFC 9559 §5.1.4.1.28.16.
fn colour(body: &[u8]) -> (ColourDescription, u8, LightLevels) {
    let (mut primaries, mut transfer, mut matrix, mut range, mut bits) = (2, 2, 2, 0, 0);
    let mut light = LightLevels::default();
    let point = |body: &[u8]| u8::try_from(unsigned(body)).unwrap_or(ColourDescription::UNSPECIFIED);
    let candela = |body: &[u8]| u32::try_from(unsigned(body)).unwrap_or(0);
    for (id, body) in children(body) {
        match id {
            0x55b1 => matrix = point(body),
            0x55b2 => bits = u8::try_from(unsigned(body)).unwrap_or(0),
            0x55b9 => range = unsigned(body),
            0x55ba => transfer = point(body),
            0x55bb => primaries = point(body),
            0x55bc => light.content_maximum = candela(body),
            0x55bd => light.average_maximum = candela(body),
            0x55d0 => {
                let maximum = children(body).find(|(id, _)| *id == 0x55d9).and_then(|(_, body)| float(body));
                light.mastering_maximum = maximum.map_or(0, |maximum| maximum.round() as u32);
            }
            _ => {}
        }
    }
    let full_range = match range {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    };
    (ColourDescription::from_code_points(primaries, transfer, matrix, full_range), bits, light)
}
