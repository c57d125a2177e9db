//! What the first byte of a VP9 frame tells.

/// The profile in a VP9 frame's uncompressed header: VP9 §6.2.
pub(crate) fn vp9_profile(frame: &[u8]) -> Option<u8> {
    let byte = *frame.first()?;
    (byte >> 6 == 2).then_some((byte >> 5 & 1) | (byte >> 3 & 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_their_low_bit_first() {
        assert_eq!(
            [0x82, 0xa2, 0x92, 0xb2, 0x02].map(|byte| vp9_profile(&[byte])),
            [Some(0), Some(1), Some(2), Some(3), None]
        );
    }
}
