//! The one stage between decoder and encoders: what a source says of how its pictures are to be shown is done to them
//! here, so that encoders and viewers get whole, upright pictures of square pixels in the one form that every receiver
//! takes for granted.
//!
//! That form is BT.601's matrix in limited range. Nothing else is safe: some receivers know no other, whatever the
//! bitstream or a header extension says, and viewers share what is encoded.

mod colour;
mod light;
mod shape;

use rtcast_proto::{ColorPrimaries, ColorRange, ColorSpace, MatrixCoefficients, TransferCharacteristics};

use self::colour::{Matrix, Recolour};
use self::light::LightTable;
use crate::plan::encoded_size;
use crate::properties::{ColourDescription, PictureProperties};
use crate::raw::VideoFrame;

/// Pictures of fewer rows than this are standard definition where nothing is said, as browsers guess for files.
const HIGH_DEFINITION_ROWS: u32 = 720;

/// Makes pictures of one stream what encoders take.
pub(crate) struct Converter {
    properties: PictureProperties,
    /// What is done to the colours of pictures of so many rows, which decide where nothing is said.
    colours: Option<(u32, Colours)>,
}

enum Colours {
    /// They are right as they are.
    Keep,
    /// Another matrix or range: the same light.
    Matrix(Recolour),
    /// Another light: high dynamic range, or primaries that a display does not have.
    Light(Box<LightTable>),
}

impl Converter {
    pub(crate) const fn new(properties: PictureProperties) -> Self {
        Self { properties, colours: None }
    }

    /// The picture as it is to be encoded; `None` if its size is not possible.
    pub(crate) fn convert(&mut self, picture: &VideoFrame) -> Option<VideoFrame> {
        let rows = picture.height();
        let mut picture = picture.clone();
        if self.properties.is_interlaced() {
            picture = shape::deinterlaced(&picture, self.properties.field_order)?;
        }
        // What it is turned by comes last, so that the fewer pixels are turned.
        let orientation = self.properties.orientation;
        let (width, height) = self.properties.display_size(picture.width(), picture.height());
        let (width, height) = encoded_size(width, height);
        let (width, height) = if orientation.quarter_turns % 2 == 1 { (height, width) } else { (width, height) };
        picture = shape::oriented(&picture.scaled(width, height)?, orientation)?;
        if self.colours.as_ref().is_none_or(|(known, _)| *known != rows) {
            self.colours = Some((rows, Colours::of(&self.properties, rows)));
        }
        let converted = match &self.colours {
            Some((_, Colours::Matrix(recolour))) => recolour.apply(&picture),
            Some((_, Colours::Light(table))) => table.apply(&picture),
            _ => Some(picture),
        };
        converted.map(|picture| picture.with_color_space(encoded_color_space(&self.properties, rows)))
    }
}

impl Colours {
    fn of(properties: &PictureProperties, rows: u32) -> Self {
        let colour = completed(properties.colour, rows);
        let full_range = colour.full_range == Some(true);
        let matrix = Matrix::of(colour.matrix);
        if light::is_needed(colour) {
            return Self::Light(Box::new(LightTable::new(colour, properties.light)));
        }
        Recolour::to_limited_601(matrix, full_range).map_or(Self::Keep, Self::Matrix)
    }
}

/// What the colours of a stream are, the guesses filled in: those of browsers, which go by the number of rows.
fn completed(said: ColourDescription, rows: u32) -> ColourDescription {
    const WIDE: u8 = ColorPrimaries::BT2020.0;
    let wide = said.primaries == WIDE || matches!(said.matrix, 9 | 10) || matches!(said.transfer, 16 | 18);
    // Of high definition and of BT.2020, the code points of primaries and matrix are the same.
    let guess = match said.matrix {
        _ if wide => ColourDescription { primaries: WIDE, transfer: 14, matrix: 9, full_range: None },
        1 => BT709,
        5 | 6 => BT601,
        _ if said.primaries == BT709.primaries || rows >= HIGH_DEFINITION_ROWS => BT709,
        _ => BT601,
    };
    said.or(guess)
}

const BT709: ColourDescription = ColourDescription { primaries: 1, transfer: 1, matrix: 1, full_range: None };
const BT601: ColourDescription = ColourDescription { primaries: 6, transfer: 6, matrix: 6, full_range: None };

/// What viewers are told of the colours of a stream that is passed through, of so many rows.
pub(crate) fn passed_through_color_space(said: ColourDescription, rows: u32) -> ColorSpace {
    let colour = completed(said, rows);
    let range = if colour.full_range == Some(true) { ColorRange::Full } else { ColorRange::Limited };
    ColorSpace::new(
        ColorPrimaries(colour.primaries),
        TransferCharacteristics(colour.transfer),
        MatrixCoefficients(colour.matrix),
        range,
    )
}

/// What viewers are told of the colours of what [`Converter`] makes.
fn encoded_color_space(properties: &PictureProperties, rows: u32) -> ColorSpace {
    let colour = completed(properties.colour, rows);
    let standard = !light::is_needed(colour) && matches!(colour.primaries, 4..=7);
    let (primaries, transfer) = if standard {
        (ColorPrimaries(colour.primaries), TransferCharacteristics::SMPTE170M)
    } else {
        (ColorPrimaries::BT709, TransferCharacteristics::BT709)
    };
    ColorSpace::new(primaries, transfer, MatrixCoefficients::SMPTE170M, ColorRange::Limited)
}

#[cfg(test)]
mod tests {
    use rtcast_track::MediaTime;

    use super::*;
    use crate::properties::{FieldOrder, LightLevels, Orientation, ratio};

    fn flat(width: u32, height: u32, [y, u, v]: [u8; 3]) -> VideoFrame {
        let chroma = (width.div_ceil(2) * height.div_ceil(2)) as usize;
        let data = [vec![y; (width * height) as usize], vec![u; chroma], vec![v; chroma]].concat();
        VideoFrame::new(data.into(), width, height, MediaTime::ZERO).expect("a legal size")
    }

    fn colour(primaries: u8, transfer: u8, matrix: u8, full_range: Option<bool>) -> PictureProperties {
        let colour = ColourDescription { primaries, transfer, matrix, full_range };
        PictureProperties { colour, ..PictureProperties::default() }
    }

    /// What a receiver shows of the middle of a picture: red, green and blue by BT.601.
    fn shown(picture: &VideoFrame) -> [i32; 3] {
        let middle = (picture.height() / 2 * picture.width() + picture.width() / 2) as usize;
        let chroma = (picture.height() / 4 * picture.chroma_width() + picture.width() / 4) as usize;
        let y = (f64::from(picture.y()[middle]) - 16.0) / 219.0 * 255.0;
        let [u, v] = [picture.u()[chroma], picture.v()[chroma]].map(|c| (f64::from(c) - 128.0) / 224.0 * 255.0);
        [y + 1.402 * v, y - 0.344_14 * u - 0.714_14 * v, y + 1.772 * u].map(|value| value.round() as i32)
    }

    fn converted(properties: PictureProperties, picture: &VideoFrame) -> VideoFrame {
        Converter::new(properties).convert(picture).expect("a picture")
    }

    #[test]
    fn colours_stay_what_they_are_whatever_they_are_made_of() {
        // 200, 50, 50 in each form, and grey.
        for (properties, red, grey) in [
            (colour(1, 1, 1, Some(false)), [86, 113, 194], [126, 128, 128]),
            (colour(1, 13, 1, Some(true)), [82, 111, 203], [128, 128, 128]),
            (colour(6, 6, 6, None), [97, 106, 194], [126, 128, 128]),
            (colour(2, 2, 5, Some(true)), [95, 103, 203], [128, 128, 128]),
            (colour(2, 2, 2, None), [97, 106, 194], [126, 128, 128]),
        ] {
            let picture = converted(properties, &flat(64, 48, red));
            let seen = shown(&picture);
            assert!(seen.iter().zip([200, 50, 50]).all(|(a, b)| (a - b).abs() <= 2), "{properties:?}: {seen:?}");
            assert_eq!(picture.color_space().matrix, MatrixCoefficients::SMPTE170M);
            assert_eq!(picture.color_space().range, ColorRange::Limited);
            let seen = shown(&converted(properties, &flat(64, 48, grey)));
            assert!(seen.iter().all(|value| (value - 128).abs() <= 2), "{properties:?}: {seen:?}");
        }
        // Nothing is said, but it is of high definition.
        let seen = shown(&converted(PictureProperties::default(), &flat(1_280, 720, [86, 113, 194])));
        assert!(seen.iter().zip([200, 50, 50]).all(|(a, b)| (a - b).abs() <= 2), "{seen:?}");
    }

    #[test]
    fn what_is_right_already_is_not_touched() {
        let picture = flat(64, 48, [97, 106, 194]);
        let kept = converted(colour(6, 6, 6, Some(false)), &picture);
        assert_eq!(kept.data().as_ptr(), picture.data().as_ptr(), "the pixels are shared");
        assert_eq!(kept.color_space(), ColorSpace::BT601);
    }

    #[test]
    fn high_dynamic_range_is_mapped_to_what_a_display_shows() {
        let light = LightLevels { mastering_maximum: 1_000, ..LightLevels::default() };
        // Grey of PQ in limited range: 16 + 219 times the code of 26, 203 and 1,000 candela per square metre.
        let pq = PictureProperties { light, ..colour(9, 16, 9, Some(false)) };
        let grey = |properties, y| shown(&converted(properties, &flat(64, 48, [y, 128, 128])));
        let levels = [99, 143, 181].map(|y| grey(pq, y)[1]);
        assert!((85..=110).contains(&levels[0]), "a dark grey: {levels:?}");
        assert!((215..=240).contains(&levels[1]), "paper: {levels:?}");
        assert!((250..=256).contains(&levels[2]), "a lamp: {levels:?}");
        // HLG: 75 % is paper (ITU-R BT.2408).
        let paper = grey(colour(9, 18, 9, Some(false)), 180)[1];
        assert!((215..=240).contains(&paper), "paper: {paper}");
        // A red of BT.2020 that BT.709 does not have becomes its brightest, without turning into another hue.
        let red = shown(&converted(colour(9, 14, 9, Some(false)), &flat(64, 48, [74, 96, 240])));
        assert!(red[0] > 240 && red[1] < 30 && red[2] < 30, "{red:?}");
        assert_eq!(encoded_color_space(&pq, 720).primaries, ColorPrimaries::BT709);
    }

    #[test]
    fn pixels_become_square_and_pictures_upright() {
        let wide = PictureProperties { sample_aspect_ratio: ratio(64, 45), ..colour(6, 6, 6, None) };
        let picture = converted(wide, &flat(720, 576, [97, 106, 194]));
        assert_eq!((picture.width(), picture.height()), (1_024, 576));
        let turned = PictureProperties { orientation: Orientation { mirrored: false, quarter_turns: 1 }, ..wide };
        let picture = converted(turned, &flat(720, 576, [97, 106, 194]));
        assert_eq!((picture.width(), picture.height()), (576, 1_024));
    }

    #[test]
    fn fields_become_one_picture() {
        // The second field is of another moment.
        let data: Vec<u8> = (0..64 * 48).map(|at| if at / 64 % 2 == 0 { 50 } else { 200 }).collect();
        let data = [data, vec![128; 2 * 32 * 24]].concat();
        let combed = VideoFrame::new(data.into(), 64, 48, MediaTime::ZERO).expect("a legal size");
        for (field_order, expected) in [(FieldOrder::TopFirst, 50), (FieldOrder::BottomFirst, 200)] {
            let properties = PictureProperties { field_order, ..colour(6, 6, 6, None) };
            assert!(converted(properties, &combed).y().iter().all(|value| *value == expected), "{field_order:?}");
        }
    }

    #[test]
    fn guesses_are_those_of_browsers() {
        let guessed = |said, rows| {
            let color_space = passed_through_color_space(said, rows);
            [color_space.primaries.0, color_space.transfer.0, color_space.matrix.0]
        };
        let nothing = ColourDescription::default();
        assert_eq!(guessed(nothing, 576), [6, 6, 6]);
        assert_eq!(guessed(nothing, 720), [1, 1, 1]);
        assert_eq!(guessed(ColourDescription { primaries: 1, ..nothing }, 480), [1, 1, 1]);
        assert_eq!(guessed(ColourDescription { transfer: 16, ..nothing }, 480), [9, 16, 9]);
        assert_eq!(guessed(ColourDescription { matrix: 5, ..nothing }, 1_080), [6, 6, 5]);
    }
}
