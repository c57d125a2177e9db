//! Frames that look like a codec's, with contents that can be recognised.

use rtcast_proto::{Codec, Frame, MediaTime};

/// A VP8 frame of `length` bytes, at least 10, at 30 frames a second; `number` shapes its bytes and its time.
pub fn vp8_frame(number: u64, length: usize, keyframe: bool) -> Frame {
    let mut data: Vec<u8> =
        (0..length.max(10) as u64).map(|at| (at.wrapping_mul(7) ^ number.wrapping_mul(131)) as u8).collect();
    // RFC 6386 §9.1: the lowest bit of the tag is clear for a keyframe, whose start code and size follow.
    data[..3].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0]);
    data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
    Frame::new(Codec::Vp8, data, MediaTime::from_ticks(number as i64 * 3_000, 90_000)).with_keyframe(keyframe)
}
