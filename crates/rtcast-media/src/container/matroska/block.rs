//! Blocks and their lacing: RFC 9559 §10.

use super::super::fields::Fields;
use super::ebml::{signed_vint, vint};

/// A SimpleBlock, or the Block in a BlockGroup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) track: u64,
    /// Relative to the cluster's, in ticks of the segment.
    pub(super) timestamp: i16,
    /// Only a SimpleBlock says so.
    pub(super) keyframe: bool,
    pub(super) frames: Vec<&'a [u8]>,
}

impl<'a> Block<'a> {
    /// Reads a block; `None` if it is damaged.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let track = vint(&mut fields)?;
        let timestamp = fields.u16()?.cast_signed();
        let flags = fields.u8()?;
        let frames = match flags >> 1 & 3 {
            0 => vec![fields.rest()],
            1 => laced(&mut fields, xiph_sizes)?,
            3 => laced(&mut fields, ebml_sizes)?,
            _ => {
                let count = usize::from(fields.u8()?) + 1;
                let rest = fields.rest();
                if !rest.len().is_multiple_of(count) || rest.is_empty() {
                    return None;
                }
                rest.chunks_exact(rest.len() / count).collect()
            }
        };
        Some(Self { track, timestamp, keyframe: flags & 0x80 != 0, frames })
    }
}

/// The frames of a lace whose sizes, but for the last, stand at its head.
fn laced<'a>(
    fields: &mut Fields<'a>,
    sizes: impl Fn(&mut Fields<'a>, usize) -> Option<Vec<usize>>,
) -> Option<Vec<&'a [u8]>> {
    let count = usize::from(fields.u8()?) + 1;
    let sizes = sizes(fields, count - 1)?;
    let mut frames = sizes.into_iter().map(|size| fields.take(size)).collect::<Option<Vec<_>>>()?;
    frames.push(fields.rest());
    Some(frames)
}

/// RFC 9559 §10.3.2.
fn xiph_sizes(fields: &mut Fields<'_>, count: usize) -> Option<Vec<usize>> {
    let size = |_| {
        let mut size = 0;
        loop {
            let byte = fields.u8()?;
            size += usize::from(byte);
            if byte != 255 {
                return Some(size);
            }
        }
    };
    (0..count).map(size).collect()
}

/// RFC 9559 §10.3.3: the first size, then the differences.
fn ebml_sizes(fields: &mut Fields<'_>, count: usize) -> Option<Vec<usize>> {
    let mut size = 0i64;
    let next = |index| {
        size = if index == 0 { vint(fields)?.cast_signed() } else { size.checked_add(signed_vint(fields)?)? };
        usize::try_from(size).ok()
    };
    (0..count).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lacing_gives_the_frames() {
        let frames: [&[u8]; 3] = [b"aa", b"b", b"cccc"];
        let blocks: [&[u8]; 2] = [
            b"\x81\x00\x05\x02\x02\x02\x01aabcccc",
            // 2, then 1 - 2 = -1, which is 62 with the bias.
            b"\x81\x00\x05\x06\x02\x82\xbeaabcccc",
        ];
        for block in blocks {
            let block = Block::parse(block).unwrap();
            assert_eq!((block.track, block.timestamp, block.keyframe), (1, 5, false));
            assert_eq!(block.frames, frames);
        }
        assert_eq!(Block::parse(b"\x81\xff\xff\x84\x01abcd").unwrap().frames, [&b"ab"[..], b"cd"]);
        assert_eq!(Block::parse(b"\x82\xff\xff\x80x").unwrap().timestamp, -1);
    }

    #[test]
    fn broken_laces_are_refused() {
        for block in [&b"\x81\0\0\x02\x05\xff"[..], b"\x81\0\0\x06\x01\x88ab", b"\x81\0\0\x04\x02ab", b"\x81\0"] {
            assert_eq!(Block::parse(block), None);
        }
    }
}
