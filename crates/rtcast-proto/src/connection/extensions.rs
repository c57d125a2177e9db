//! The header extensions of the packets that a sender sends: the one place that knows what each of them takes, for which
//! peer and which packet it is written.

use crate::color::{COLOR_SPACE_EXTENSION, COLOR_SPACE_LENGTH_WITH_HDR, ColorSpace};
use crate::jsep::{
    ABS_SEND_TIME_EXTENSION, DEPENDENCY_DESCRIPTOR_EXTENSION, MID_EXTENSION, NegotiatedMedia,
    TRANSPORT_WIDE_CC_EXTENSION,
};
use crate::rtp::{ABS_SEND_TIME_LENGTH, FIXED_HEADER_LENGTH, MAX_PLAIN_PACKET, TRANSPORT_SEQUENCE_NUMBER_LENGTH};

/// The profiles of RFC 8285 §4.2 and §4.3.
const ONE_BYTE_PROFILE: u16 = 0xbede;
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The longest value that the one-byte form carries.
const MAX_VALUE: usize = 16;

/// The longest dependency descriptor that is written: one with the template structure of three spatial and three temporal
/// layers.
const MAX_DEPENDENCY_DESCRIPTOR: usize = 128;

/// The longest block: everything in the two-byte form, the colour space with its metadata, in whole words.
const MAX_BLOCK: usize = (4
    + (2 + MAX_VALUE)
    + (2 + TRANSPORT_SEQUENCE_NUMBER_LENGTH)
    + (2 + ABS_SEND_TIME_LENGTH)
    + (2 + MAX_DEPENDENCY_DESCRIPTOR)
    + (2 + COLOR_SPACE_LENGTH_WITH_HDR))
    .next_multiple_of(4);

/// What negotiation settled of the extensions that a sender writes: their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SendExtensions {
    /// The number of the extension that names the m-line, and the name.
    mid: Option<(u8, Box<[u8]>)>,
    transport_sequence_number: Option<u8>,
    abs_send_time: Option<u8>,
    dependency_descriptor: Option<u8>,
    color_space: Option<u8>,
    /// Whether a packet may have the two-byte form while others have the one-byte form (RFC 8285 §4.1.2).
    mixed: bool,
}

/// What one packet has to tell; of that, its peer is told what was negotiated.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PacketExtensions<'a> {
    /// Whether it names its m-line.
    pub(super) mid: bool,
    /// What is another with each sending, if it leaves now.
    pub(super) stamp: Option<Stamp>,
    /// How its frame depends on others, as the extension has it.
    pub(super) dependency_descriptor: Option<&'a [u8]>,
    /// The colours of its picture.
    pub(super) color_space: Option<&'a ColorSpace>,
}

/// What is another with each sending of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Counts the packets of the transport.
    pub(super) transport_sequence_number: u16,
    /// The wall-clock time of sending, as 32.32 fixed-point seconds.
    pub(super) ntp_time: u64,
}

/// A block of extensions, made for one packet.
pub(super) struct Block {
    bytes: [u8; MAX_BLOCK],
    length: usize,
}

type Element<'a> = Option<(u8, &'a [u8])>;

impl SendExtensions {
    /// What both sides agreed on. What the one-byte form cannot carry is left out (RFC 8285 §4.2: a number of 1 to 14, a
    /// value of 1 to 16 bytes).
    ///
    /// Where `repeats`, packets are sent again in their own stream and must be the very same: one key stream must not
    /// protect two texts. Then nothing is written that changes with each sending.
    pub(super) fn negotiated(media: &NegotiatedMedia, repeats: bool) -> Self {
        let number = |uri: &str| media.send_extension(uri).filter(|id| (1..=14).contains(id));
        let mid = media.mid.as_str().as_bytes();
        let fits = (1..=MAX_VALUE).contains(&mid.len());
        Self {
            mid: number(MID_EXTENSION).filter(|_| fits).map(|id| (id, mid.into())),
            transport_sequence_number: number(TRANSPORT_WIDE_CC_EXTENSION).filter(|_| !repeats),
            abs_send_time: number(ABS_SEND_TIME_EXTENSION).filter(|_| !repeats),
            dependency_descriptor: number(DEPENDENCY_DESCRIPTOR_EXTENSION),
            color_space: number(COLOR_SPACE_EXTENSION),
            mixed: media.extmap_allow_mixed,
        }
    }

    /// Whether packets have a [`Stamp`].
    pub(super) const fn stamped(&self) -> bool {
        self.transport_sequence_number.is_some() || self.abs_send_time.is_some()
    }

    /// Whether packets have a number of the transport.
    pub(super) const fn numbered(&self) -> bool {
        self.transport_sequence_number.is_some()
    }

    /// The block for a packet with a payload of that length. The same arguments make the same block, which a packet that
    /// is sent again in its own stream depends on.
    pub(super) fn block(&self, packet: &PacketExtensions<'_>, payload: usize) -> Block {
        let mut block = Block { bytes: [0; MAX_BLOCK], length: 0 };
        let mid = self.mid.as_ref().filter(|_| packet.mid).map(|(id, value)| (*id, &value[..]));
        let number = packet.stamp.map(|stamp| stamp.transport_sequence_number.to_be_bytes());
        let number = self.transport_sequence_number.zip(number.as_ref().map(|bytes| &bytes[..]));
        // Six bits of seconds and eighteen of their fraction.
        let time = packet.stamp.map(|stamp| ((stamp.ntp_time >> 14) as u32).to_be_bytes());
        let time = self.abs_send_time.zip(time.as_ref().and_then(|bytes| bytes.get(1..)));
        let descriptor = self.dependency_descriptor.zip(packet.dependency_descriptor);
        let descriptor = descriptor.filter(|(_, value)| (1..=MAX_DEPENDENCY_DESCRIPTOR).contains(&value.len()));
        let color_space = self.color_space.zip(packet.color_space);
        if [mid, number, time, descriptor].iter().all(Option::is_none) && color_space.is_none() {
            return block;
        }
        let plain = color_space.map(|(id, space)| (id, space.to_bytes()));
        let plain = plain.as_ref().map(|(id, value)| (*id, &value[..]));
        let rich = color_space.and_then(|(id, space)| Some((id, space.to_bytes_with_hdr()?)));
        let rich = rich.as_ref().map(|(id, value)| (*id, &value[..]));
        let long = descriptor.is_some_and(|(_, value)| value.len() > MAX_VALUE);
        if self.mixed && (rich.is_some() || long) {
            // What is most of use and fits: everything, else one of the two long ones.
            let both = (descriptor, rich.or(plain));
            let choices = [both, (descriptor, plain), (None, both.1)];
            for (descriptor, color_space) in choices.into_iter().take(if long { 3 } else { 1 }) {
                block.write(TWO_BYTE_PROFILE, [mid, number, time, descriptor, color_space]);
                if FIXED_HEADER_LENGTH + block.length + payload <= MAX_PLAIN_PACKET {
                    return block;
                }
            }
        }
        // What is long does not fit, is not there or cannot be told; the rest can.
        block.write(ONE_BYTE_PROFILE, [mid, number, time, descriptor.filter(|_| !long), plain]);
        block
    }
}

impl Block {
    /// The block with its head; empty if there is no extension.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn write(&mut self, profile: u16, elements: [Element<'_>; 5]) {
        let mut length = 4;
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
        self.length = if length > 4 { length.next_multiple_of(4) } else { 0 };
        self.bytes[length..self.length.max(length)].fill(0);
        let words = (self.length / 4).saturating_sub(1) as u16;
        self.bytes[..2].copy_from_slice(&profile.to_be_bytes());
        self.bytes[2..4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::HdrMetadata;
    use crate::rtp::{
        BUDGETED_DEPENDENCY_DESCRIPTOR, BUDGETED_MID, HEADER_EXTENSIONS, MAX_PACKET, MAX_PAYLOAD, extensions,
    };

    fn elements(block: &Block) -> Vec<(u8, Vec<u8>)> {
        let bytes = block.bytes();
        assert_eq!(bytes.len(), 4 + 4 * usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
        let profile = u16::from_be_bytes([bytes[0], bytes[1]]);
        extensions(profile, &bytes[4..]).map(|(id, value)| (id, value.to_vec())).collect()
    }

    fn tells(mid: bool, color_space: Option<&ColorSpace>) -> PacketExtensions<'_> {
        PacketExtensions { mid, color_space, ..PacketExtensions::default() }
    }

    fn negotiated(mid: &[u8]) -> SendExtensions {
        SendExtensions {
            mid: Some((4, mid.into())),
            transport_sequence_number: Some(3),
            abs_send_time: Some(2),
            dependency_descriptor: Some(9),
            color_space: Some(8),
            mixed: true,
        }
    }

    #[test]
    fn a_packet_has_what_it_needs_and_no_more() {
        let mid = Some((4, (*b"video-0").into()));
        let all = SendExtensions { mid, color_space: Some(8), mixed: true, ..SendExtensions::default() };
        assert!(all.block(&tells(false, None), 1_000).bytes().is_empty());
        assert!(SendExtensions::default().block(&tells(true, Some(&ColorSpace::BT709)), 1_000).bytes().is_empty());
        let mid = (4, b"video-0".to_vec());
        let color_space = (8, vec![1, 1, 1, 0x10]);
        assert_eq!(elements(&all.block(&tells(true, None), 1_000)), std::slice::from_ref(&mid));
        let block = all.block(&tells(true, Some(&ColorSpace::BT709)), 1_000);
        assert_eq!(elements(&block), [mid, color_space.clone()]);
        // With the three bytes of a transport-wide number it is still as long.
        assert_eq!(block.bytes().len(), 20);
        assert_eq!(elements(&all.block(&tells(false, Some(&ColorSpace::BT709)), 1_000)), [color_space]);
    }

    #[test]
    fn metadata_of_high_dynamic_range_goes_where_the_peer_takes_it_and_it_fits() {
        let hdr = HdrMetadata { luminance_max: 1_000, ..HdrMetadata::default() };
        let color_space = ColorSpace { hdr: Some(hdr), ..ColorSpace::BT709 };
        let mid = Some((4, (*b"0123456789abcdef").into()));
        let mixed = SendExtensions { mid, color_space: Some(8), mixed: true, ..SendExtensions::default() };
        let lengths = |block: Block| elements(&block).iter().map(|(_, value)| value.len()).collect::<Vec<_>>();
        assert_eq!(lengths(mixed.block(&tells(true, Some(&color_space)), 500)), [16, 28]);
        assert_eq!(lengths(mixed.block(&tells(true, Some(&color_space)), 1_150)), [16, 4]);
        let plain = SendExtensions { mixed: false, ..mixed };
        assert_eq!(lengths(plain.block(&tells(true, Some(&color_space)), 500)), [16, 4]);
    }

    #[test]
    fn the_longest_payload_leaves_room_for_all_that_may_be_negotiated() {
        let stamp = Some(Stamp { transport_sequence_number: 0x1234, ntp_time: 0x0000_0025_8000_0000 });
        let hdr = ColorSpace { hdr: Some(HdrMetadata::default()), ..ColorSpace::BT709 };
        let descriptor = [7; BUDGETED_DEPENDENCY_DESCRIPTOR];
        for (space, mixed) in [(&ColorSpace::BT709, false), (&hdr, false), (&hdr, true)] {
            let extensions = SendExtensions { mixed, ..negotiated(&[b'm'; BUDGETED_MID]) };
            let packet = PacketExtensions {
                mid: true,
                stamp,
                dependency_descriptor: Some(&descriptor),
                color_space: Some(space),
            };
            let block = extensions.block(&packet, MAX_PAYLOAD);
            assert_eq!(block.bytes().len(), HEADER_EXTENSIONS);
            // 0x25 seconds and a half: 100101 in six bits, then 10 and sixteen zeros.
            let time = vec![0b1001_0110, 0, 0];
            let all = [(4, vec![b'm'; BUDGETED_MID]), (3, vec![0x12, 0x34]), (2, time), (9, descriptor.to_vec())];
            assert_eq!(elements(&block)[..4], all);
            assert_eq!(elements(&block)[4].1.len(), 4);
            // The tag of AES-GCM, and the original number in a retransmission.
            assert!(FIXED_HEADER_LENGTH + block.bytes().len() + MAX_PAYLOAD + 16 + 2 <= MAX_PACKET);
        }
        assert_eq!((HEADER_EXTENSIONS, MAX_PAYLOAD), (36, 1_134));
    }

    #[test]
    fn a_long_descriptor_takes_the_two_byte_form_if_the_peer_does_and_it_fits() {
        let descriptor = [7; 90];
        let packet = PacketExtensions { dependency_descriptor: Some(&descriptor), ..tells(true, None) };
        let lengths = |block: &Block| elements(block).iter().map(|(_, value)| value.len()).collect::<Vec<_>>();
        let extensions = negotiated(b"0");
        assert_eq!(lengths(&extensions.block(&packet, 1_000)), [1, 90]);
        assert_eq!(lengths(&extensions.block(&packet, MAX_PAYLOAD)), [1]);
        let plain = SendExtensions { mixed: false, ..extensions };
        assert_eq!(lengths(&plain.block(&packet, 1_000)), [1]);
        let hdr = ColorSpace { hdr: Some(HdrMetadata::default()), ..ColorSpace::BT709 };
        let everything = PacketExtensions { color_space: Some(&hdr), ..packet };
        assert_eq!(lengths(&negotiated(b"0").block(&everything, 1_000)), [1, 90, 28]);
        assert_eq!(lengths(&negotiated(b"0").block(&everything, 1_060)), [1, 90, 4]);
        assert_eq!(lengths(&negotiated(b"0").block(&everything, 1_120)), [1, 28]);
    }

    #[test]
    fn the_longest_values_fit_the_block() {
        let descriptor = [7; MAX_DEPENDENCY_DESCRIPTOR];
        let hdr = ColorSpace { hdr: Some(HdrMetadata::default()), ..ColorSpace::BT709 };
        let stamp = Some(Stamp { transport_sequence_number: 1, ntp_time: 1 });
        let packet =
            PacketExtensions { mid: true, stamp, dependency_descriptor: Some(&descriptor), color_space: Some(&hdr) };
        let block = negotiated(&[b'm'; MAX_VALUE]).block(&packet, 500);
        assert_eq!(elements(&block).len(), 5);
        let longer = [7; MAX_DEPENDENCY_DESCRIPTOR + 1];
        let packet = PacketExtensions { dependency_descriptor: Some(&longer), ..packet };
        assert_eq!(elements(&negotiated(b"0").block(&packet, 500)).len(), 4, "it is left out, not cut");
    }
}
