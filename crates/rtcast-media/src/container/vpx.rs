//! What the first bytes of VP8 and VP9 frames tell.

/// Whether a VP8 frame is a key frame: RFC 6386 §9.1.
pub(crate) fn vp8_is_keyframe(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// The size in a VP8 key frame: RFC 6386 §9.1.
pub(crate) fn vp8_size(frame: &[u8]) -> Option<(u32, u32)> {
    let header = frame.get(..10)?;
    if !vp8_is_keyframe(frame) || header[3..6] != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let size = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((size(header[6], header[7]), size(header[8], header[9])))
}

/// The profile and whether it is a key frame, from a VP9 frame's uncompressed header: VP9 §6.2.
pub(crate) fn vp9_header(frame: &[u8]) -> Option<(u8, bool)> {
    let byte = *frame.first()?;
    if byte >> 6 != 2 {
        return None;
    }
    let profile = (byte >> 5 & 1) | (byte >> 3 & 2);
    // Profile 3 has one reserved bit more before show_existing_frame and frame_type.
    let shift = if profile == 3 { 1 } else { 2 };
    let show_existing = byte >> (shift + 1) & 1 == 1;
    let key = byte >> shift & 1 == 0;
    Some((profile, !show_existing && key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp9_headers_are_read() {
        assert_eq!(vp9_header(&[0x82]), Some((0, true)));
        assert_eq!(vp9_header(&[0x86]), Some((0, false)));
        assert_eq!(vp9_header(&[0x8a]), Some((0, false)));
        assert_eq!(vp9_header(&[0x92]), Some((2, true)));
        assert_eq!(vp9_header(&[0x00]), None);
    }

    #[test]
    fn vp8_key_frames_tell_their_size() {
        let frame = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        assert_eq!(vp8_size(&frame), Some((640, 360)));
        assert_eq!(vp8_size(&frame[..9]), None);
    }
}
