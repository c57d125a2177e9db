//! How pictures are to be shown, as the boxes of a sample entry and of a track's header say.

use super::super::fields::Fields;
use super::boxes::{children, find};
use crate::properties::{ColourDescription, FieldOrder, Orientation, PictureProperties, ratio};

/// What the boxes of a visual sample entry say of how its pictures are to be shown.
pub(super) fn properties(boxes: &[u8]) -> PictureProperties {
    let mut picture = PictureProperties::default();
    // ISO/IEC 14496-12 §12.1.4: horizontal and vertical spacing.
    let spacing = find(boxes, b"pasp").and_then(|body| {
        let mut fields = Fields::new(body);
        Some((fields.u32()?, fields.u32()?))
    });
    picture.sample_aspect_ratio = spacing.and_then(|(across, down)| ratio(across.into(), down.into()));
    for (_, body) in children(boxes).filter(|(kind, _)| kind == b"colr") {
        picture.colour = colour(body).unwrap_or_default().or(picture.colour);
    }
    if let Some((bit_depth, colour)) = find(boxes, b"vpcC").and_then(vp_configuration) {
        picture.bit_depth = bit_depth;
        picture.colour = picture.colour.or(colour);
    }
    // QuickTime File Format, "Field handling": fields of a frame, and their order.
    if let Some([count, detail]) = find(boxes, b"fiel").and_then(|body| Fields::new(body).array()) {
        picture.field_order = match (count, detail) {
            (1, _) => FieldOrder::Progressive,
            (2, 1 | 14) => FieldOrder::TopFirst,
            (2, 6 | 9) => FieldOrder::BottomFirst,
            (2, _) => FieldOrder::Interlaced,
            _ => FieldOrder::Unknown,
        };
    }
    // ISO/IEC 14496-12 §12.1.6 and §12.1.7: in ten thousandths of a candela per square metre, and in whole ones.
    if let Some(maximum) = find(boxes, b"mdcv").and_then(|body| Fields::new(body.get(16..)?).u32()) {
        picture.light.mastering_maximum = maximum.div_ceil(10_000);
    }
    if let Some([a, b, c, d]) = find(boxes, b"clli").and_then(|body| Fields::new(body).array()) {
        picture.light.content_maximum = u16::from_be_bytes([a, b]).into();
        picture.light.average_maximum = u16::from_be_bytes([c, d]).into();
    }
    picture
}

/// ISO/IEC 14496-12 §12.1.5, and `nclc` of QuickTime, which has no range.
fn colour(body: &[u8]) -> Option<ColourDescription> {
    let mut fields = Fields::new(body);
    let kind = fields.array::<4>()?;
    if &kind != b"nclx" && &kind != b"nclc" {
        return None;
    }
    let mut point = || fields.u16().map(|point| u8::try_from(point).unwrap_or(ColourDescription::UNSPECIFIED));
    let (primaries, transfer, matrix) = (point()?, point()?, point()?);
    let full_range = if &kind == b"nclx" { fields.u8().map(|flags| flags & 0x80 != 0) } else { None };
    Some(ColourDescription::from_code_points(primaries, transfer, matrix, full_range))
}

/// VP Codec ISO Media File Format Binding §3.
fn vp_configuration(body: &[u8]) -> Option<(u8, ColourDescription)> {
    let mut fields = Fields::new(body);
    fields.skip(6)?;
    let [packed, primaries, transfer, matrix] = fields.array()?;
    let full_range = Some(packed & 1 != 0);
    Some((packed >> 4, ColourDescription::from_code_points(primaries, transfer, matrix, full_range)))
}

/// What a track's header says of how it is to be shown: its orientation, and the ratio of its width to its height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Presentation {
    pub(super) orientation: Orientation,
    /// Width and height in 65,536ths of a pixel, 0 if nothing is said.
    size: (u32, u32),
}

impl Presentation {
    /// ISO/IEC 14496-12 §8.3.2, from the matrix on.
    pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let mut number = || fields.u32().map(|number| i64::from(number.cast_signed()));
        let (a, b, _, c, d) = (number()?, number()?, number()?, number()?, number()?);
        fields.skip(16)?;
        Some(Self { orientation: Orientation::from_matrix([a, b, c, d]), size: (fields.u32()?, fields.u32()?) })
    }

    /// The shape of a sample that this presentation gives pictures of that size, unless it is square.
    pub(super) fn sample_aspect_ratio(&self, width: u32, height: u32) -> Option<(u32, u32)> {
        let (across, down) = (u64::from(self.size.0) * u64::from(height), u64::from(self.size.1) * u64::from(width));
        // A size that was rounded to whole pixels says nothing of its samples.
        let rounding = u64::from(width.max(height)) << 16;
        if across.abs_diff(down) <= rounding { None } else { ratio(across, down) }
    }
}
