//! The header extensions of the packets that a sender sends.

use crate::color::{COLOR_SPACE_EXTENSION, COLOR_SPACE_LENGTH_WITH_HDR, ColorSpace};
use crate::jsep::{MID_EXTENSION, NegotiatedMedia};
use crate::rtp::FIXED_HEADER_LENGTH;

/// The profiles of RFC 8285 §4.2 and §4.3.
const ONE_BYTE_PROFILE: u16 = 0xbede;
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The longest value that the one-byte form carries.
const MAX_VALUE: usize = 16;

/// The longest block: in the two-byte form a mid, and a colour space with its metadata.
const MAX_BLOCK: usize = 4 + (2 + MAX_VALUE) + (2 + COLOR_SPACE_LENGTH_WITH_HDR);

/// What a packet may have of header, payload and extensions: 1,200 bytes, less the longest authentication tag and the two
/// bytes by which a retransmission grows.
const MAX_PACKET: usize = 1_200 - 16 - 2;

/// What negotiation settled of the extensions that a sender writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SendExtensions {
    /// The number of the extension that names the m-line, and the name.
    mid: Option<(u8, Box<[u8]>)>,
    color_space: Option<u8>,
    /// Whether a packet may have the two-byte form while others have the one-byte form (RFC 8285 §4.1.2).
    mixed: bool,
}

/// A block of extensions, made for one packet.
pub(super) struct Block {
    bytes: [u8; MAX_BLOCK],
    length: usize,
}

impl Block {
    /// The block with its head; empty if there is no extension.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl SendExtensions {
    /// What both sides agreed on. What the one-byte form cannot carry is left out (RFC 8285 §4.2: a number of 1 to 14, a
    /// value of 1 to 16 bytes).
    pub(super) fn negotiated(media: &NegotiatedMedia) -> Self {
        let number = |uri: &str| media.send_extension(uri).filter(|id| (1..=14).contains(id));
        let mid = media.mid.as_str().as_bytes();
        let fits = (1..=MAX_VALUE).contains(&mid.len());
        Self {
            mid: number(MID_EXTENSION).filter(|_| fits).map(|id| (id, mid.into())),
            color_space: number(COLOR_SPACE_EXTENSION),
            mixed: media.extmap_allow_mixed,
        }
    }

    /// The block for a packet with a payload of that length. The same arguments make the same block, which a packet that
    /// is sent again in its own stream depends on.
    pub(super) fn block(&self, with_mid: bool, color_space: Option<&ColorSpace>, payload: usize) -> Block {
        let mut block = Block { bytes: [0; MAX_BLOCK], length: 0 };
        let mid = self.mid.as_ref().filter(|_| with_mid).map(|(id, value)| (*id, &value[..]));
        let color_space = self.color_space.zip(color_space);
        if mid.is_none() && color_space.is_none() {
            return block;
        }
        let rich = color_space.filter(|_| self.mixed).and_then(|(id, space)| Some((id, space.to_bytes_with_hdr()?)));
        if let Some((id, value)) = &rich {
            block.write(TWO_BYTE_PROFILE, [mid, Some((*id, &value[..]))]);
            if FIXED_HEADER_LENGTH + block.length + payload <= MAX_PACKET {
                return block;
            }
        }
        // The metadata does not fit, is not there or cannot be told; the rest of it can.
        let value = color_space.map(|(id, space)| (id, space.to_bytes()));
        block.write(ONE_BYTE_PROFILE, [mid, value.as_ref().map(|(id, value)| (*id, &value[..]))]);
        block
    }
}

impl Block {
    fn write(&mut self, profile: u16, elements: [Option<(u8, &[u8])>; 2]) {
        let mut length = 4;
        self.bytes = [0; MAX_BLOCK];
        for (id, value) in elements.into_iter().flatten() {
            if profile == ONE_BYTE_PROFILE {
                self.bytes[length] = id << 4 | (value.len() - 1) as u8;
                length += 1;
            } else {
                self.bytes[length] = id;
                self.bytes[length + 1] = value.len() as u8;
                length += 2;
            }
            self.bytes[length..length + value.len()].copy_from_slice(value);
            length += value.len();
        }
        self.length = length.next_multiple_of(4);
        let words = (self.length / 4 - 1) as u16;
        self.bytes[..2].copy_from_slice(&profile.to_be_bytes());
        self.bytes[2..4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::HdrMetadata;
    use crate::rtp::extensions;

    fn elements(block: &Block) -> Vec<(u8, Vec<u8>)> {
        let bytes = block.bytes();
        assert_eq!(bytes.len(), 4 + 4 * usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
        let profile = u16::from_be_bytes([bytes[0], bytes[1]]);
        extensions(profile, &bytes[4..]).map(|(id, value)| (id, value.to_vec())).collect()
    }

    #[test]
    fn a_packet_has_what_it_needs_and_no_more() {
        let all = SendExtensions { mid: Some((4, (*b"video-0").into())), color_space: Some(8), mixed: true };
        assert!(all.block(false, None, 1_000).bytes().is_empty());
        assert!(SendExtensions::default().block(true, Some(&ColorSpace::BT709), 1_000).bytes().is_empty());
        let mid = (4, b"video-0".to_vec());
        let color_space = (8, vec![1, 1, 1, 0x10]);
        assert_eq!(elements(&all.block(true, None, 1_000)), std::slice::from_ref(&mid));
        let block = all.block(true, Some(&ColorSpace::BT709), 1_000);
        assert_eq!(elements(&block), [mid, color_space.clone()]);
        // With the three bytes of a transport-wide number it is what senders of media leave room for.
        assert_eq!(block.bytes().len(), 20);
        assert_eq!(elements(&all.block(false, Some(&ColorSpace::BT709), 1_000)), [color_space]);
    }

    #[test]
    fn metadata_of_high_dynamic_range_goes_where_the_peer_takes_it_and_it_fits() {
        let hdr = HdrMetadata { luminance_max: 1_000, ..HdrMetadata::default() };
        let color_space = ColorSpace { hdr: Some(hdr), ..ColorSpace::BT709 };
        let mixed = SendExtensions { mid: Some((4, (*b"0123456789abcdef").into())), color_space: Some(8), mixed: true };
        let lengths = |block: Block| elements(&block).iter().map(|(_, value)| value.len()).collect::<Vec<_>>();
        assert_eq!(lengths(mixed.block(true, Some(&color_space), 500)), [16, 28]);
        assert_eq!(lengths(mixed.block(true, Some(&color_space), 1_150)), [16, 4]);
        let plain = SendExtensions { mixed: false, ..mixed };
        assert_eq!(lengths(plain.block(true, Some(&color_space), 500)), [16, 4]);
    }
}
