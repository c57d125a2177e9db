//! Pictures whose light no ordinary display can show: high dynamic range and wide primaries, mapped by a table.

use rtcast_proto::{ColorPrimaries, TransferCharacteristics};

use super::colour::{Matrix, limited, normalized};
use crate::properties::{ColourDescription, LightLevels};
use crate::raw::VideoFrame;

/// The brightness of paper, which an ordinary display shows as its brightest white: ITU-R BT.2408 §2.2.
const PAPER: f64 = 203.0;
/// The brightest that pictures are taken to be if they do not tell: what most are mastered for.
const USUAL_PEAK: f64 = 1_000.0;

/// The table's points along luma and along each colour difference.
const LUMA_POINTS: usize = 65;
const COLOUR_POINTS: usize = 33;
/// The distance of two points, as a power of two.
const LUMA_STEP: u32 = 2;
const COLOUR_STEP: u32 = 3;
/// The fractional bits of the table's numbers.
const FRACTION: u32 = 6;

/// Whether pictures of these colours need more than another matrix.
pub(super) fn is_needed(colour: ColourDescription) -> bool {
    let high_range = [TransferCharacteristics::SMPTE2084.0, TransferCharacteristics::ARIB_STD_B67.0];
    high_range.contains(&colour.transfer) || wide_primaries(colour.primaries).is_some()
}

/// For every luma and colour difference, in steps, what they become in BT.601's numbers.
pub(super) struct LightTable {
    /// Y, Cb and Cr, luma changing fastest.
    points: Vec<[u16; 3]>,
}

impl LightTable {
    pub(super) fn new(colour: ColourDescription, light: LightLevels) -> Self {
        let mapping = Mapping::new(colour, light);
        let mut points = Vec::with_capacity(COLOUR_POINTS * COLOUR_POINTS * LUMA_POINTS);
        for cb in 0..COLOUR_POINTS {
            for cr in 0..COLOUR_POINTS {
                for y in 0..LUMA_POINTS {
                    let numbers = [y << LUMA_STEP, cb << COLOUR_STEP, cr << COLOUR_STEP].map(|number| number as f64);
                    let scale = f64::from(1 << FRACTION);
                    points.push(mapping.apply(numbers).map(|number| (number * scale).round() as u16));
                }
            }
        }
        Self { points }
    }

    pub(super) fn apply(&self, picture: &VideoFrame) -> Option<VideoFrame> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let half = picture.chroma_width() as usize;
        let (luma, u, v) = (picture.y(), picture.u(), picture.v());
        let mut data = vec![0; picture.data().len()];
        let (new_luma, new_colour) = data.split_at_mut(luma.len());
        let (new_u, new_v) = new_colour.split_at_mut(u.len());
        for row in 0..height.div_ceil(2) {
            for column in 0..half {
                let at = row * half + column;
                let corners = Corners::of(u[at], v[at]);
                let (mut sum, mut count) = (0_u32, 0_u32);
                for y in 2 * row..height.min(2 * row + 2) {
                    for x in 2 * column..width.min(2 * column + 2) {
                        let old = luma[y * width + x];
                        new_luma[y * width + x] = self.interpolate(&corners, old.into(), 0);
                        sum += u32::from(old);
                        count += 1;
                    }
                }
                let mean = (sum + count / 2) / count;
                new_u[at] = self.interpolate(&corners, mean, 1);
                new_v[at] = self.interpolate(&corners, mean, 2);
            }
        }
        VideoFrame::new(data.into(), picture.width(), picture.height(), picture.timestamp())
    }

    fn interpolate(&self, corners: &Corners, luma: u32, part: usize) -> u8 {
        let (index, down) = ((luma >> LUMA_STEP) as usize, luma & ((1 << LUMA_STEP) - 1));
        let up = (1 << LUMA_STEP) - down;
        let mut sum = 0;
        for (start, weight) in corners.places {
            let [low, high] = [self.points[start + index][part], self.points[start + index + 1][part]].map(u32::from);
            sum += weight * (low * up + high * down);
        }
        let shift = FRACTION + LUMA_STEP + 2 * COLOUR_STEP;
        ((sum + (1 << (shift - 1))) >> shift).min(255) as u8
    }
}

/// The four columns of the table around a pair of colour differences, and what each weighs.
struct Corners {
    places: [(usize, u32); 4],
}

impl Corners {
    fn of(cb: u8, cr: u8) -> Self {
        let split = |value: u8| {
            let weight = u32::from(value) & ((1 << COLOUR_STEP) - 1);
            (usize::from(value >> COLOUR_STEP), weight, (1 << COLOUR_STEP) - weight)
        };
        let ((b, b_far, b_near), (r, r_far, r_near)) = (split(cb), split(cr));
        let start = |b: usize, r: usize| (b * COLOUR_POINTS + r) * LUMA_POINTS;
        Self {
            places: [
                (start(b, r), b_near * r_near),
                (start(b, r + 1), b_near * r_far),
                (start(b + 1, r), b_far * r_near),
                (start(b + 1, r + 1), b_far * r_far),
            ],
        }
    }
}

/// From numbers to light and back.
struct Mapping {
    matrix: Matrix,
    full_range: bool,
    transfer: u8,
    primaries: Option<[[f64; 3]; 3]>,
    /// The brightest of the pictures, in candela per square metre.
    peak: f64,
}

impl Mapping {
    fn new(colour: ColourDescription, light: LightLevels) -> Self {
        let told = if light.content_maximum > 0 { light.content_maximum } else { light.mastering_maximum };
        let peak = if told > 0 { f64::from(told).clamp(PAPER, 10_000.0) } else { USUAL_PEAK };
        Self {
            matrix: Matrix::of(colour.matrix),
            full_range: colour.full_range == Some(true),
            transfer: colour.transfer,
            primaries: wide_primaries(colour.primaries),
            peak,
        }
    }

    fn apply(&self, numbers: [f64; 3]) -> [f64; 3] {
        let coded = self.matrix.to_rgb(normalized(numbers, self.full_range)).map(|value| value.clamp(0.0, 1.0));
        let mut light = match TransferCharacteristics(self.transfer) {
            TransferCharacteristics::SMPTE2084 => self.shown(coded.map(perceptual_to_light)),
            TransferCharacteristics::ARIB_STD_B67 => self.shown(hybrid_to_light(coded)),
            // The curve of displays: ITU-R BT.1886 with a black of 0 is a power of 2.4; browsers take 2.2.
            _ => coded.map(|value| value.powf(2.2)),
        };
        if let Some(primaries) = &self.primaries {
            let mixed = |row: &[f64; 3]| row.iter().zip(light).map(|(factor, part)| factor * part).sum::<f64>();
            light = [mixed(&primaries[0]), mixed(&primaries[1]), mixed(&primaries[2])];
        }
        let shown = light.map(|part| part.clamp(0.0, 1.0).powf(1.0 / 2.2));
        limited(Matrix::BT601.to_ycbcr(shown)).map(|number| number.clamp(0.0, 255.0))
    }

    /// Light in candela per square metre as an ordinary display shows it, 1 its brightest. The brightest of the three
    /// parts decides, and all are lowered alike, so that hues stay.
    fn shown(&self, light: [f64; 3]) -> [f64; 3] {
        let brightest = light.into_iter().fold(0.0, f64::max);
        if brightest <= 0.0 {
            return [0.0; 3];
        }
        let ratio = tone_mapped(brightest, self.peak) / brightest / PAPER;
        light.map(|part| part * ratio)
    }
}

/// ITU-R BT.2390 §5.4: bends the upper part of the range, as the eye sees it, from the pictures' peak down to the
/// display's.
fn tone_mapped(light: f64, peak: f64) -> f64 {
    let whole = light_to_perceptual(peak);
    let target = light_to_perceptual(PAPER) / whole;
    let value = (light_to_perceptual(light) / whole).min(1.0);
    let knee = 1.5 * target - 0.5;
    let bent = if value <= knee || knee >= 1.0 {
        value
    } else {
        let t = (value - knee) / (1.0 - knee);
        let (squared, cubed) = (t * t, t * t * t);
        (2.0 * cubed - 3.0 * squared + 1.0) * knee
            + (cubed - 2.0 * squared + t) * (1.0 - knee)
            + (3.0 * squared - 2.0 * cubed) * target
    };
    perceptual_to_light(bent * whole)
}

/// SMPTE ST 2084: the constants of PQ.
const M1: f64 = 2_610.0 / 16_384.0;
const M2: f64 = 2_523.0 / 4_096.0 * 128.0;
const C1: f64 = 3_424.0 / 4_096.0;
const C2: f64 = 2_413.0 / 4_096.0 * 32.0;
const C3: f64 = 2_392.0 / 4_096.0 * 32.0;

fn perceptual_to_light(code: f64) -> f64 {
    let root = code.max(0.0).powf(1.0 / M2);
    10_000.0 * ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
}

fn light_to_perceptual(light: f64) -> f64 {
    let power = (light.max(0.0) / 10_000.0).powf(M1);
    ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
}

/// ITU-R BT.2100 table 5: the curve of HLG undone, and the system's gamma of a display of 1,000 candela per square metre.
fn hybrid_to_light(code: [f64; 3]) -> [f64; 3] {
    const A: f64 = 0.178_832_77;
    const B: f64 = 0.284_668_92;
    const C: f64 = 0.559_910_73;
    let scene = code.map(|value| if value <= 0.5 { value * value / 3.0 } else { (((value - C) / A).exp() + B) / 12.0 });
    let luminance = 0.262_7 * scene[0] + 0.678 * scene[1] + 0.059_3 * scene[2];
    scene.map(|part| 1_000.0 * luminance.powf(0.2) * part)
}

/// The light of red, green and blue of these primaries in that of BT.709's; `None` for those that are much the same.
const fn wide_primaries(code_point: u8) -> Option<[[f64; 3]; 3]> {
    match ColorPrimaries(code_point) {
        // ITU-R BT.2087-0 §4.
        ColorPrimaries::BT2020 => {
            Some([[1.660_5, -0.587_6, -0.072_8], [-0.124_6, 1.132_9, -0.008_3], [-0.018_2, -0.100_6, 1.118_7]])
        }
        // P3, with the white of displays and of cinemas.
        ColorPrimaries(11) | ColorPrimaries::SMPTE432 => {
            Some([[1.224_9, -0.224_9, 0.0], [-0.042_1, 1.042_1, 0.0], [-0.019_6, -0.078_6, 1.098_3]])
        }
        _ => None,
    }
}
