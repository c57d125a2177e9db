//! Fields made whole, and pictures turned upright.

use crate::properties::{FieldOrder, Orientation};
use crate::raw::VideoFrame;

/// So far a row may be off both its neighbours before it counts as of another moment.
const COMB: u8 = 8;

/// One picture of two fields: the first field stays, of the second what does not fit between the rows of the first is
/// made anew from them. What does not move keeps all its rows.
pub(super) fn deinterlaced(picture: &VideoFrame, order: FieldOrder) -> Option<VideoFrame> {
    let kept = usize::from(order == FieldOrder::BottomFirst);
    let (width, half) = (picture.width() as usize, picture.chroma_width() as usize);
    let mut data = Vec::with_capacity(picture.data().len());
    for (plane, columns) in [(picture.y(), width), (picture.u(), half), (picture.v(), half)] {
        let rows = plane.len() / columns;
        let line = |row: usize| &plane[row * columns..][..columns];
        for row in 0..rows {
            if row % 2 == kept || rows < 2 {
                data.extend_from_slice(line(row));
                continue;
            }
            let above = line(if row == 0 { 1 } else { row - 1 });
            let below = line(if row + 1 == rows { row - 1 } else { row + 1 });
            data.extend(line(row).iter().zip(above).zip(below).map(|((own, above), below)| {
                let (low, high) = (above.min(below).saturating_sub(COMB), above.max(below).saturating_add(COMB));
                if (low..=high).contains(own) { *own } else { above.midpoint(*below) }
            }));
        }
    }
    VideoFrame::new(data.into(), picture.width(), picture.height(), picture.timestamp())
}

/// The picture as it is to be seen: mirrored first, then turned.
pub(super) fn oriented(picture: &VideoFrame, orientation: Orientation) -> Option<VideoFrame> {
    if orientation.is_upright() {
        return Some(picture.clone());
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut data = Vec::with_capacity(picture.data().len());
    turn(picture.y(), (width, height), orientation, &mut data);
    turn(picture.u(), (half_width, half_height), orientation, &mut data);
    turn(picture.v(), (half_width, half_height), orientation, &mut data);
    let (width, height) = (picture.width(), picture.height());
    let (width, height) = if orientation.quarter_turns % 2 == 1 { (height, width) } else { (width, height) };
    VideoFrame::new(data.into(), width, height, picture.timestamp())
}

fn turn(plane: &[u8], (width, height): (usize, usize), orientation: Orientation, target: &mut Vec<u8>) {
    let column = |x: usize| if orientation.mirrored { width - 1 - x } else { x };
    match orientation.quarter_turns % 4 {
        0 => {
            for line in plane.chunks_exact(width) {
                target.extend(line.iter().rev());
            }
        }
        // Turned to the right, the leftmost column becomes the top row, read from below.
        1 => {
            for x in (0..width).map(column) {
                target.extend((0..height).rev().map(|y| plane[y * width + x]));
            }
        }
        2 => {
            for y in (0..height).rev() {
                target.extend((0..width).rev().map(|x| plane[y * width + column(x)]));
            }
        }
        _ => {
            for x in (0..width).rev().map(column) {
                target.extend((0..height).map(|y| plane[y * width + x]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_of_a_small_plane() {
        // 1 2 3 over 4 5 6.
        let plane = [1, 2, 3, 4, 5, 6];
        for (mirrored, quarter_turns, expected) in [
            (true, 0, [3, 2, 1, 6, 5, 4]),
            (false, 1, [4, 1, 5, 2, 6, 3]),
            (false, 2, [6, 5, 4, 3, 2, 1]),
            (false, 3, [3, 6, 2, 5, 1, 4]),
            (true, 1, [6, 3, 5, 2, 4, 1]),
            (true, 2, [4, 5, 6, 1, 2, 3]),
            (true, 3, [1, 4, 2, 5, 3, 6]),
        ] {
            let mut turned = Vec::new();
            turn(&plane, (3, 2), Orientation { mirrored, quarter_turns }, &mut turned);
            assert_eq!(turned, expected, "{mirrored} {quarter_turns}");
        }
    }
}
