//! The matrix and range of a picture's numbers, changed without changing the light that they mean.

use crate::raw::VideoFrame;

/// How much red and blue count in luma: `KR` and `KB` of ITU-T H.273 §8.3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix {
    pub(super) red: f64,
    pub(super) blue: f64,
}

impl Matrix {
    pub(super) const BT601: Self = Self { red: 0.299, blue: 0.114 };

    /// The matrix of a code point of H.273 table 4; what cannot be made of two weights counts as BT.601.
    pub(super) const fn of(code_point: u8) -> Self {
        match code_point {
            1 => Self { red: 0.212_6, blue: 0.072_2 },
            4 => Self { red: 0.30, blue: 0.11 },
            7 => Self { red: 0.212, blue: 0.087 },
            9 | 10 => Self { red: 0.262_7, blue: 0.059_3 },
            _ => Self::BT601,
        }
    }

    const fn green(self) -> f64 {
        1.0 - self.red - self.blue
    }

    /// Red, green and blue, each 0 to 1, of luma 0 to 1 and colour differences -0.5 to 0.5.
    pub(super) fn to_rgb(self, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
        let red = y + 2.0 * (1.0 - self.red) * cr;
        let blue = y + 2.0 * (1.0 - self.blue) * cb;
        [red, (y - self.red * red - self.blue * blue) / self.green(), blue]
    }

    /// The inverse of [`to_rgb`](Self::to_rgb).
    pub(super) fn to_ycbcr(self, [red, green, blue]: [f64; 3]) -> [f64; 3] {
        let y = self.red * red + self.green() * green + self.blue * blue;
        [y, (blue - y) / (2.0 * (1.0 - self.blue)), (red - y) / (2.0 * (1.0 - self.red))]
    }
}

/// The numbers of 8 bits, made 0 to 1 and -0.5 to 0.5.
pub(super) fn normalized([y, cb, cr]: [f64; 3], full_range: bool) -> [f64; 3] {
    let (black, luma, chroma) = if full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    [(y - black) / luma, (cb - 128.0) / chroma, (cr - 128.0) / chroma]
}

/// The numbers of 8 bits in limited range.
pub(super) fn limited([y, cb, cr]: [f64; 3]) -> [f64; 3] {
    [16.0 + 219.0 * y, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr]
}

/// The fractional bits of a factor.
const FRACTION: u32 = 14;

/// A change of matrix and range. Both matrices make grey of equal red, green and blue, so that luma gains something of
/// the colour differences, and these nothing of luma: everything is done at the resolution at which it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recolour {
    /// The factor of luma, and of both colour differences in it, then what is added.
    luma: [i32; 4],
    blue: [i32; 3],
    red: [i32; 3],
}

impl Recolour {
    /// To BT.601 in limited range; `None` if that is what the numbers are in.
    pub(super) fn to_limited_601(from: Matrix, full_range: bool) -> Option<Self> {
        if from == Matrix::BT601 && !full_range {
            return None;
        }
        let convert = |numbers: [f64; 3]| limited(Matrix::BT601.to_ycbcr(from.to_rgb(normalized(numbers, full_range))));
        // The conversion is affine: its factors are its differences.
        let origin = convert([0.0; 3]);
        let step = |index: usize| {
            let mut numbers = [0.0; 3];
            numbers[index] = 1.0;
            let there = convert(numbers);
            [0, 1, 2].map(|part| there[part] - origin[part])
        };
        let (y, cb, cr) = (step(0), step(1), step(2));
        let fixed = |value: f64| (value * f64::from(1 << FRACTION)).round() as i32;
        // With a half, so that the shift rounds.
        let added = |value: f64| fixed(value + 0.5);
        Some(Self {
            luma: [fixed(y[0]), fixed(cb[0]), fixed(cr[0]), added(origin[0])],
            blue: [fixed(cb[1]), fixed(cr[1]), added(origin[1])],
            red: [fixed(cb[2]), fixed(cr[2]), added(origin[2])],
        })
    }

    /// The picture in the other numbers.
    pub(super) fn apply(&self, picture: &VideoFrame) -> Option<VideoFrame> {
        let (width, half) = (picture.width() as usize, picture.chroma_width() as usize);
        let (u, v) = (picture.u(), picture.v());
        let mut data = Vec::with_capacity(picture.data().len());
        let [factor, of_blue, of_red, added] = self.luma;
        let mut colour = vec![0_i32; width];
        for (row, line) in picture.y().chunks_exact(width).enumerate() {
            if row % 2 == 0 {
                let start = row / 2 * half;
                for ((pair, cb), cr) in colour.chunks_mut(2).zip(&u[start..start + half]).zip(&v[start..start + half]) {
                    pair.fill(of_blue * i32::from(*cb) + of_red * i32::from(*cr) + added);
                }
            }
            data.extend(line.iter().zip(&colour).map(|(y, colour)| number(factor * i32::from(*y) + colour)));
        }
        for [of_blue, of_red, added] in [self.blue, self.red] {
            let pairs = u.iter().zip(v);
            data.extend(pairs.map(|(cb, cr)| number(of_blue * i32::from(*cb) + of_red * i32::from(*cr) + added)));
        }
        VideoFrame::new(data.into(), picture.width(), picture.height(), picture.timestamp())
    }
}

/// A fixed-point number as a byte.
fn number(value: i32) -> u8 {
    (value >> FRACTION).clamp(0, 255) as u8
}
