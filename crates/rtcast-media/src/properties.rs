//! How pictures are meant to be shown: what containers and bitstreams say of them beside the pictures themselves.

pub use rtcast_proto::payload::ColourDescription;

/// How the pictures of a stream are meant to be shown. By default nothing is said: square samples, upright, shown as
/// they come, in whatever colours a player assumes.
///
/// Standard definition that is to be shown wide:
///
/// ```
/// use rtcast_media::PictureProperties;
///
/// let wide = PictureProperties { sample_aspect_ratio: Some((64, 45)), ..PictureProperties::default() };
/// assert_eq!(wide.display_size(720, 576), (1_024, 576));
/// assert!(wide.orientation.is_upright() && !wide.is_interlaced());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureProperties {
    /// Width and height of a sample, in lowest terms, neither 0; `None` if nothing is said, which means square.
    pub sample_aspect_ratio: Option<(u32, u32)>,
    /// How the decoded picture is to be turned before it is shown.
    pub orientation: Orientation,
    /// Whether the pictures are made of two fields.
    pub field_order: FieldOrder,
    /// The colours.
    pub colour: ColourDescription,
    /// The bits of a sample, 0 if nothing is said.
    pub bit_depth: u8,
    /// The light of high dynamic range, as far as it is said.
    pub light: LightLevels,
}

/// Mirrored first, left for right, and then turned to the right by so many quarters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Orientation {
    /// Left and right are exchanged.
    pub mirrored: bool,
    /// Clockwise, 0 to 3.
    pub quarter_turns: u8,
}

/// Whether pictures are made of two fields, and which of them is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FieldOrder {
    /// Nothing is said.
    #[default]
    Unknown,
    /// Pictures are whole.
    Progressive,
    /// The field of the first row is shown first.
    TopFirst,
    /// The field of the second row is shown first.
    BottomFirst,
    /// Two fields whose order is not said.
    Interlaced,
}

/// How bright the pictures of high dynamic range are, in candela per square metre; 0 where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LightLevels {
    /// The brightest that the display could show on which the pictures were made (SMPTE ST 2086).
    pub mastering_maximum: u32,
    /// The brightest sample, MaxCLL (CTA-861.3).
    pub content_maximum: u32,
    /// The brightest average of a picture, MaxFALL (CTA-861.3).
    pub average_maximum: u32,
}

impl PictureProperties {
    /// What is said here, and by `other` where nothing is said here: the container's word before the bitstream's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let either = |first: u32, second: u32| if first == 0 { second } else { first };
        Self {
            sample_aspect_ratio: self.sample_aspect_ratio.or(other.sample_aspect_ratio),
            orientation: if self.orientation.is_upright() { other.orientation } else { self.orientation },
            field_order: if self.field_order == FieldOrder::Unknown { other.field_order } else { self.field_order },
            colour: self.colour.or(other.colour),
            bit_depth: if self.bit_depth == 0 { other.bit_depth } else { self.bit_depth },
            light: LightLevels {
                mastering_maximum: either(self.light.mastering_maximum, other.light.mastering_maximum),
                content_maximum: either(self.light.content_maximum, other.light.content_maximum),
                average_maximum: either(self.light.average_maximum, other.light.average_maximum),
            },
        }
    }

    /// The size in square pixels at which pictures of this size are to be shown, upright: samples that are wide make
    /// the picture wider, those that are high make it higher.
    pub fn display_size(&self, width: u32, height: u32) -> (u32, u32) {
        let (across, down) = self.sample_aspect_ratio.unwrap_or((1, 1));
        let stretch = |size: u32, by: u32, to: u32| {
            let stretched = (u64::from(size) * u64::from(by) + u64::from(to / 2)) / u64::from(to.max(1));
            u32::try_from(stretched).unwrap_or(u32::MAX)
        };
        let (width, height) = if across >= down {
            (stretch(width, across, down), height)
        } else {
            (width, stretch(height, down, across))
        };
        if self.orientation.quarter_turns % 2 == 1 { (height, width) } else { (width, height) }
    }

    /// Whether pictures must be made whole before they are shown.
    pub const fn is_interlaced(&self) -> bool {
        matches!(self.field_order, FieldOrder::TopFirst | FieldOrder::BottomFirst | FieldOrder::Interlaced)
    }
}

impl Orientation {
    /// Whether there is nothing to be turned.
    pub const fn is_upright(self) -> bool {
        !self.mirrored && self.quarter_turns.is_multiple_of(4)
    }

    /// The orientation that a matrix means, of which `a` and `b` say where a step to the right leads (right and down),
    /// `c` and `d` where a step down leads. What is no turn by quarters counts as the nearest.
    pub(crate) fn from_matrix([a, b, c, d]: [i64; 4]) -> Self {
        let determinant = i128::from(a) * i128::from(d) - i128::from(b) * i128::from(c);
        if determinant == 0 {
            return Self::default();
        }
        let mirrored = determinant < 0;
        // Where a step to the right leads once the mirror is undone.
        let (right, down) = if mirrored { (-i128::from(a), -i128::from(b)) } else { (a.into(), b.into()) };
        let quarter_turns = match (right.abs() >= down.abs(), right > 0, down > 0) {
            (true, true, _) => 0,
            (false, _, true) => 1,
            (true, false, _) => 2,
            (false, _, false) => 3,
        };
        Self { mirrored, quarter_turns }
    }

    /// The orientation of a turn to the right by so many degrees, to the nearest quarter.
    pub(crate) fn from_degrees(clockwise: f64) -> Self {
        let quarters = (clockwise / 90.0).round().rem_euclid(4.0);
        Self { mirrored: false, quarter_turns: if quarters.is_finite() { quarters as u8 % 4 } else { 0 } }
    }
}

/// A ratio in lowest terms; `None` if a side is 0, or if it is so far from 1 that it can only be damage.
pub(crate) fn ratio(width: u64, height: u64) -> Option<(u32, u32)> {
    let (mut a, mut b) = (width, height);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let (width, height) = (width.checked_div(a)?, height.checked_div(a)?);
    const FURTHEST: u64 = 100;
    let believable = width > 0 && height > 0 && width / height < FURTHEST && height / width < FURTHEST;
    believable.then_some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_square_pixels() {
        let wide = PictureProperties { sample_aspect_ratio: ratio(128, 90), ..PictureProperties::default() };
        assert_eq!(wide.sample_aspect_ratio, Some((64, 45)));
        assert_eq!(wide.display_size(720, 576), (1_024, 576));
        let orientation = Orientation { mirrored: false, quarter_turns: 3 };
        assert_eq!(PictureProperties { orientation, ..wide }.display_size(720, 576), (576, 1_024));
        let high = PictureProperties { sample_aspect_ratio: ratio(1, 2), ..wide };
        assert_eq!(high.display_size(100, 50), (100, 100));
        assert_eq!(PictureProperties::default().display_size(7, 5), (7, 5));
        assert_eq!((ratio(0, 1), ratio(1, 0), ratio(1 << 40, 1)), (None, None, None));
    }

    #[test]
    fn matrices_are_turns_and_mirrors() {
        for (matrix, mirrored, quarter_turns) in [
            ([1, 0, 0, 1], false, 0),
            ([0, 1, -1, 0], false, 1),
            ([-1, 0, 0, -1], false, 2),
            ([0, -1, 1, 0], false, 3),
            ([-1, 0, 0, 1], true, 0),
            ([0, -1, -1, 0], true, 1),
            ([1, 0, 0, -1], true, 2),
            ([0, 1, 1, 0], true, 3),
            ([0, 0, 0, 0], false, 0),
            ([i64::MIN, 0, 0, i64::MIN], false, 2),
        ] {
            assert_eq!(Orientation::from_matrix(matrix), Orientation { mirrored, quarter_turns }, "{matrix:?}");
        }
        assert_eq!(Orientation::from_degrees(-90.0).quarter_turns, 3);
        assert_eq!(Orientation::from_degrees(f64::NAN).quarter_turns, 0);
    }

    #[test]
    fn the_first_word_counts() {
        let colour = |primaries, full_range| ColourDescription { primaries, full_range, ..Default::default() };
        let container = PictureProperties { colour: colour(9, None), bit_depth: 10, ..Default::default() };
        let bitstream = PictureProperties { colour: colour(1, Some(true)), bit_depth: 8, ..Default::default() };
        let expected = PictureProperties { colour: colour(9, Some(true)), bit_depth: 10, ..Default::default() };
        assert_eq!(container.or(bitstream), expected);
    }
}
