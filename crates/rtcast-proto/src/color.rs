//! What the numbers of a picture mean as colours, and the header extension that tells a receiver.
//!
//! The code points are those of ITU-T H.273 (ISO/IEC 23091-2), as the bitstreams of all video codecs and the `colr` and
//! `Colour` elements of containers have them.

/// The URI of the header extension for a picture's colour space
/// (<https://webrtc.googlesource.com/src/+/refs/heads/main/docs/native-code/rtp-hdrext/color-space>).
pub const COLOR_SPACE_EXTENSION: &str = "http://www.webrtc.org/experiments/rtp-hdrext/color-space";

/// The length of the extension's value without metadata for high dynamic range, in bytes.
pub const COLOR_SPACE_LENGTH: usize = 4;

/// The length of the extension's value with metadata for high dynamic range, in bytes.
pub const COLOR_SPACE_LENGTH_WITH_HDR: usize = 28;

/// The colours of red, green, blue and white: `ColourPrimaries` of H.273 §8.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColorPrimaries(pub u8);

impl ColorPrimaries {
    /// High definition.
    pub const BT709: Self = Self(1);
    /// Not told.
    pub const UNSPECIFIED: Self = Self(2);
    /// Standard definition of 625 lines (PAL, SECAM).
    pub const BT470BG: Self = Self(5);
    /// Standard definition of 525 lines (NTSC).
    pub const SMPTE170M: Self = Self(6);
    /// Wide gamut, for ultra high definition.
    pub const BT2020: Self = Self(9);
    /// Display P3.
    pub const SMPTE432: Self = Self(12);

    const fn is_known(self) -> bool {
        matches!(self.0, 1 | 2 | 4..=12 | 22)
    }
}

/// How light becomes numbers: `TransferCharacteristics` of H.273 §8.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferCharacteristics(pub u8);

impl TransferCharacteristics {
    /// High definition.
    pub const BT709: Self = Self(1);
    /// Not told.
    pub const UNSPECIFIED: Self = Self(2);
    /// Standard definition.
    pub const SMPTE170M: Self = Self(6);
    /// Proportional to light.
    pub const LINEAR: Self = Self(8);
    /// Computer graphics: sRGB.
    pub const IEC61966_2_1: Self = Self(13);
    /// Ultra high definition of 10 bits, not of high dynamic range.
    pub const BT2020_10: Self = Self(14);
    /// The same of 12 bits.
    pub const BT2020_12: Self = Self(15);
    /// Perceptual quantisation (PQ), of high dynamic range.
    pub const SMPTE2084: Self = Self(16);
    /// Hybrid log-gamma (HLG), of high dynamic range.
    pub const ARIB_STD_B67: Self = Self(18);

    const fn is_known(self) -> bool {
        matches!(self.0, 1 | 2 | 4..=18)
    }
}

/// How luma and chroma are made of red, green and blue: `MatrixCoefficients` of H.273 §8.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixCoefficients(pub u8);

impl MatrixCoefficients {
    /// Green, blue and red as they are.
    pub const RGB: Self = Self(0);
    /// High definition.
    pub const BT709: Self = Self(1);
    /// Not told.
    pub const UNSPECIFIED: Self = Self(2);
    /// Standard definition of 625 lines; the same numbers as [`SMPTE170M`](Self::SMPTE170M).
    pub const BT470BG: Self = Self(5);
    /// Standard definition of 525 lines.
    pub const SMPTE170M: Self = Self(6);
    /// Ultra high definition, of non-constant luminance.
    pub const BT2020_NCL: Self = Self(9);

    const fn is_known(self) -> bool {
        matches!(self.0, 0..=2 | 4..=14)
    }
}

/// Which numbers stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorRange {
    /// Not told; decoders take it as limited.
    #[default]
    Unspecified,
    /// 16 to 235 of 8 bits for luma, 16 to 240 for chroma.
    Limited,
    /// All numbers.
    Full,
    /// As transfer and matrix say.
    Derived,
}

/// Where a chroma sample lies between its luma samples, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChromaSiting {
    /// Not told.
    #[default]
    Unspecified,
    /// On a luma sample.
    Collocated,
    /// In the middle between two.
    Half,
}

/// A colour by its coordinates in CIE 1931 xy, in units of 1/50,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Chromaticity {
    /// The first coordinate.
    pub x: u16,
    /// The second coordinate.
    pub y: u16,
}

/// What the pictures of a high dynamic range were mastered on, and how bright they become (SMPTE ST 2086, CTA-861.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HdrMetadata {
    /// The brightest that the mastering display shows, in cd/m².
    pub luminance_max: u16,
    /// The darkest that the mastering display shows, in units of 1/10,000 cd/m².
    pub luminance_min: u16,
    /// The red of the mastering display.
    pub primary_red: Chromaticity,
    /// The green of the mastering display.
    pub primary_green: Chromaticity,
    /// The blue of the mastering display.
    pub primary_blue: Chromaticity,
    /// The white of the mastering display.
    pub white_point: Chromaticity,
    /// The brightest sample of all pictures, in cd/m²; 0 if it is not known.
    pub max_content_light_level: u16,
    /// The brightest average of a picture, in cd/m²; 0 if it is not known.
    pub max_frame_average_light_level: u16,
}

/// What the numbers of a picture mean as colours.
///
/// ```
/// use rtcast_proto::{ColorRange, ColorSpace, MatrixCoefficients};
///
/// let colors = ColorSpace { range: ColorRange::Full, ..ColorSpace::BT709 };
/// let value = colors.to_bytes();
/// assert_eq!(value, [1, 1, 1, 0x20]);
/// assert_eq!(ColorSpace::from_bytes(&value), Some(colors));
/// assert_eq!(ColorSpace::BT601.matrix, MatrixCoefficients::SMPTE170M);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColorSpace {
    /// The colours of red, green, blue and white.
    pub primaries: ColorPrimaries,
    /// How light becomes numbers.
    pub transfer: TransferCharacteristics,
    /// How luma and chroma are made of red, green and blue.
    pub matrix: MatrixCoefficients,
    /// Which numbers stand for black and white.
    pub range: ColorRange,
    /// Where chroma samples lie across.
    pub chroma_siting_horizontal: ChromaSiting,
    /// Where chroma samples lie down.
    pub chroma_siting_vertical: ChromaSiting,
    /// More about pictures of a high dynamic range, if it is known.
    pub hdr: Option<HdrMetadata>,
}

impl ColorSpace {
    /// High definition: BT.709, limited range.
    pub const BT709: Self = Self::new(
        ColorPrimaries::BT709,
        TransferCharacteristics::BT709,
        MatrixCoefficients::BT709,
        ColorRange::Limited,
    );

    /// Standard definition of 525 lines: BT.601, limited range.
    pub const BT601: Self = Self::new(
        ColorPrimaries::SMPTE170M,
        TransferCharacteristics::SMPTE170M,
        MatrixCoefficients::SMPTE170M,
        ColorRange::Limited,
    );

    /// A colour space whose chroma siting is not told, without metadata.
    pub const fn new(
        primaries: ColorPrimaries,
        transfer: TransferCharacteristics,
        matrix: MatrixCoefficients,
        range: ColorRange,
    ) -> Self {
        Self {
            primaries,
            transfer,
            matrix,
            range,
            chroma_siting_horizontal: ChromaSiting::Unspecified,
            chroma_siting_vertical: ChromaSiting::Unspecified,
            hdr: None,
        }
    }

    /// The extension's value without metadata for high dynamic range. Code points that receivers may not know, for which
    /// they would drop the whole value, are written as unspecified.
    pub fn to_bytes(&self) -> [u8; COLOR_SPACE_LENGTH] {
        let primaries = if self.primaries.is_known() { self.primaries } else { ColorPrimaries::UNSPECIFIED };
        let transfer = if self.transfer.is_known() { self.transfer } else { TransferCharacteristics::UNSPECIFIED };
        let matrix = if self.matrix.is_known() { self.matrix } else { MatrixCoefficients::UNSPECIFIED };
        let range = match self.range {
            ColorRange::Unspecified => 0,
            ColorRange::Limited => 1,
            ColorRange::Full => 2,
            ColorRange::Derived => 3,
        };
        let siting = |siting| match siting {
            ChromaSiting::Unspecified => 0,
            ChromaSiting::Collocated => 1,
            ChromaSiting::Half => 2,
        };
        let last = range << 4 | siting(self.chroma_siting_horizontal) << 2 | siting(self.chroma_siting_vertical);
        [primaries.0, transfer.0, matrix.0, last]
    }

    /// The extension's value with metadata for high dynamic range; `None` without such metadata. It takes the two-byte
    /// form of header extensions.
    pub fn to_bytes_with_hdr(&self) -> Option<[u8; COLOR_SPACE_LENGTH_WITH_HDR]> {
        let hdr = self.hdr?;
        let mut bytes = [0; COLOR_SPACE_LENGTH_WITH_HDR];
        let (head, tail) = bytes.split_at_mut(COLOR_SPACE_LENGTH);
        head.copy_from_slice(&self.to_bytes());
        let [red, green] = [hdr.primary_red, hdr.primary_green];
        let [blue, white] = [hdr.primary_blue, hdr.white_point];
        let levels = [hdr.max_content_light_level, hdr.max_frame_average_light_level];
        let luminance = [hdr.luminance_max, hdr.luminance_min];
        let colors = [red.x, red.y, green.x, green.y, blue.x, blue.y, white.x, white.y];
        let values = luminance.into_iter().chain(colors).chain(levels);
        for (place, value) in tail.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            *place = value.to_be_bytes();
        }
        Some(bytes)
    }

    /// Reads the extension's value, of either length; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[primaries, transfer, matrix, last], rest) = bytes.split_first_chunk()?;
        let hdr = match rest.len() {
            0 => None,
            24 => {
                let mut values = rest.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
                let luminance_max = values.next()?;
                let luminance_min = values.next()?;
                let mut color = || Some(Chromaticity { x: values.next()?, y: values.next()? });
                let (primary_red, primary_green) = (color()?, color()?);
                let (primary_blue, white_point) = (color()?, color()?);
                Some(HdrMetadata {
                    luminance_max,
                    luminance_min,
                    primary_red,
                    primary_green,
                    primary_blue,
                    white_point,
                    max_content_light_level: values.next()?,
                    max_frame_average_light_level: values.next()?,
                })
            }
            _ => return None,
        };
        let siting = |bits: u8| match bits & 3 {
            1 => ChromaSiting::Collocated,
            2 => ChromaSiting::Half,
            _ => ChromaSiting::Unspecified,
        };
        Some(Self {
            primaries: ColorPrimaries(primaries),
            transfer: TransferCharacteristics(transfer),
            matrix: MatrixCoefficients(matrix),
            range: match last >> 4 & 3 {
                1 => ColorRange::Limited,
                2 => ColorRange::Full,
                3 => ColorRange::Derived,
                _ => ColorRange::Unspecified,
            },
            chroma_siting_horizontal: siting(last >> 2),
            chroma_siting_vertical: siting(last),
            hdr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_has_the_layout_of_its_document() {
        let color_space = ColorSpace {
            chroma_siting_horizontal: ChromaSiting::Collocated,
            chroma_siting_vertical: ChromaSiting::Half,
            range: ColorRange::Full,
            ..ColorSpace::BT601
        };
        assert_eq!(color_space.to_bytes(), [6, 6, 6, 0b0010_0110]);
        assert_eq!(ColorSpace::from_bytes(&[6, 6, 6, 0b0010_0110]), Some(color_space));
        assert_eq!(ColorSpace::BT709.to_bytes(), [1, 1, 1, 0x10]);
        assert_eq!(ColorSpace::BT709.to_bytes_with_hdr(), None);
    }

    #[test]
    fn metadata_comes_back_as_written_and_other_lengths_are_refused() {
        let hdr = HdrMetadata {
            luminance_max: 1_000,
            luminance_min: 50,
            primary_red: Chromaticity { x: 34_000, y: 16_000 },
            primary_green: Chromaticity { x: 13_250, y: 34_500 },
            primary_blue: Chromaticity { x: 7_500, y: 3_000 },
            white_point: Chromaticity { x: 15_635, y: 16_450 },
            max_content_light_level: 900,
            max_frame_average_light_level: 400,
        };
        let color_space = ColorSpace {
            hdr: Some(hdr),
            ..ColorSpace::new(
                ColorPrimaries::BT2020,
                TransferCharacteristics::SMPTE2084,
                MatrixCoefficients::BT2020_NCL,
                ColorRange::Limited,
            )
        };
        let bytes = color_space.to_bytes_with_hdr().unwrap();
        assert_eq!(bytes[..8], [9, 16, 9, 0x10, 0x03, 0xe8, 0, 50]);
        assert_eq!(ColorSpace::from_bytes(&bytes), Some(color_space));
        for length in (0..40).filter(|length| ![4, 28].contains(length)) {
            assert_eq!(ColorSpace::from_bytes(&[1; 40][..length]), None, "{length}");
        }
    }

    #[test]
    fn what_receivers_do_not_know_is_written_as_unspecified() {
        let strange = ColorSpace::new(
            ColorPrimaries(3),
            TransferCharacteristics(99),
            MatrixCoefficients(200),
            ColorRange::Unspecified,
        );
        assert_eq!(strange.to_bytes(), [2, 2, 2, 0]);
    }
}
