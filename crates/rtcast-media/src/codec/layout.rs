//! Decoded pictures of any depth and sampling, made 8 bits and 4:2:0.

use rtcast_track::MediaTime;

use crate::raw::{Plane, VideoFrame};

/// How a decoder holds its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The bits of a sample, 8 to 16.
    pub(super) bit_depth: u32,
    /// A sample takes two bytes, in the machine's order; strides are in bytes all the same.
    pub(super) wide: bool,
    /// The colour planes have half the columns.
    pub(super) halved_across: bool,
    /// The colour planes have half the rows.
    pub(super) halved_down: bool,
}

impl Layout {
    /// The picture, copied: deeper samples are rounded to 8 bits, colour samples that fall together become their mean.
    /// `None` if a plane is too short, or the size is one that no picture can have.
    pub(super) fn picture(
        self,
        planes: [Plane<'_>; 3],
        width: u32,
        height: u32,
        timestamp: MediaTime,
    ) -> Option<VideoFrame> {
        if !self.wide && self.halved_across && self.halved_down {
            return VideoFrame::from_planes(planes, width, height, timestamp);
        }
        let (width_, height_) = (width as usize, height as usize);
        let mut data = Vec::with_capacity(VideoFrame::byte_length(width, height)?);
        for (index, plane) in planes.into_iter().enumerate() {
            let is_luma = index == 0;
            let (columns, rows) = if is_luma { (width_, height_) } else { (width_.div_ceil(2), height_.div_ceil(2)) };
            let across = if is_luma || self.halved_across { 1 } else { 2 };
            let down = if is_luma || self.halved_down { 1 } else { 2 };
            self.reduce(plane, (columns, rows), (across, down), (width_, height_), &mut data)?;
        }
        VideoFrame::new(data.into(), width, height, timestamp)
    }

    /// Appends a plane of so many columns and rows, each the mean of `across` times `down` samples.
    fn reduce(
        self,
        plane: Plane<'_>,
        (columns, rows): (usize, usize),
        (across, down): (usize, usize),
        (width, height): (usize, usize),
        target: &mut Vec<u8>,
    ) -> Option<()> {
        // Where a plane that is not halved has an odd size, its last sample stands alone.
        let (last_column, last_row) = if across * down == 1 {
            (columns - 1, rows - 1)
        } else {
            (width.min(columns * across) - 1, height.min(rows * down) - 1)
        };
        let shift = self.bit_depth.clamp(8, 16) - 8;
        let count = (across * down) as u32;
        let divisor = count << shift;
        let bytes = if self.wide { 2 } else { 1 };
        for row in 0..rows {
            let mut lines = [&plane.data[..0]; 2];
            for (step, line) in lines.iter_mut().enumerate().take(down) {
                let start = (row * down + step).min(last_row).checked_mul(plane.stride)?;
                *line = plane.data.get(start..)?.get(..(last_column + 1) * bytes)?;
            }
            let sample = |line: &[u8], at: usize| {
                let at = at.min(last_column);
                if self.wide {
                    u32::from(u16::from_ne_bytes([line[2 * at], line[2 * at + 1]]))
                } else {
                    u32::from(line[at])
                }
            };
            target.extend((0..columns).map(|column| {
                let mut sum = divisor / 2;
                for line in &lines[..down] {
                    for step in 0..across {
                        sum += sample(line, column * across + step);
                    }
                }
                (sum / divisor).min(255) as u8
            }));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }

    #[test]
    fn ten_bits_of_422_become_eight_of_420() {
        // Three columns, two rows; 940 is white.
        let (y, u, v) =
            (wide(&[64, 940, 502, 0, 64, 1_023, 940, 0]), wide(&[512, 100, 514, 102]), wide(&[0, 4, 8, 12]));
        let planes = [Plane { data: &y, stride: 8 }, Plane { data: &u, stride: 4 }, Plane { data: &v, stride: 4 }];
        let layout = Layout { bit_depth: 10, wide: true, halved_across: true, halved_down: false };
        let picture = layout.picture(planes, 3, 2, MediaTime::ZERO).expect("a picture");
        assert_eq!(picture.y(), [16, 235, 126, 16, 255, 235]);
        assert_eq!((picture.u(), picture.v()), (&[128, 25][..], &[1, 2][..]));
    }

    #[test]
    fn eight_bits_of_444_keep_their_lone_last_sample() {
        let y = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let u = [10, 20, 30, 30, 40, 50, 90, 70, 60];
        let planes = [&y[..], &u, &u].map(|data| Plane { data, stride: 3 });
        let layout = Layout { bit_depth: 8, wide: false, halved_across: false, halved_down: false };
        let picture = layout.picture(planes, 3, 3, MediaTime::ZERO).expect("a picture");
        assert_eq!((picture.y(), picture.u()), (&y[..], &[25, 40, 80, 60][..]));
        let short = planes.map(|plane| Plane { data: &plane.data[..8], ..plane });
        assert_eq!(layout.picture(short, 3, 3, MediaTime::ZERO), None);
    }
}
