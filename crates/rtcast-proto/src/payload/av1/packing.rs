//! How OBU elements are laid into packets of one length.

use std::ops::Range;

use super::obu::leb128_length;

/// The most elements that the W field can count.
const MOST_COUNTED: usize = 3;

/// The elements of one packet, as ranges of the stripped temporal unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) elements: Vec<Range<usize>>,
    /// Z: the first element continues an OBU.
    pub(super) continues: bool,
    /// Y: the last element is continued in the next packet.
    pub(super) continued: bool,
}

impl Packet {
    /// W: the number of elements, or 0 if each has its length before it.
    pub(super) fn count_field(&self) -> u8 {
        if self.elements.len() <= MOST_COUNTED { self.elements.len() as u8 } else { 0 }
    }
}

/// Lays OBUs, given as ranges without gaps between them, into payloads of at most a given length.
#[derive(Debug)]
pub(super) struct Packing<'a> {
    obus: &'a [Range<usize>],
    length: usize,
    /// The OBU that is not yet sent whole.
    current: usize,
    /// How much of it is sent.
    sent: usize,
}

impl<'a> Packing<'a> {
    /// `length` counts the aggregation header and must leave room for more than a length field and a byte.
    pub(super) fn new(obus: &'a [Range<usize>], length: usize) -> Self {
        Self { obus, length, current: 0, sent: 0 }
    }

    fn rest(&self, index: usize) -> Option<Range<usize>> {
        let obu = self.obus.get(index)?;
        let sent = if index == self.current { self.sent } else { 0 };
        Some(obu.start + sent..obu.end)
    }
}

impl Iterator for Packing<'_> {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        self.rest(self.current)?;
        let continues = self.sent > 0;
        let mut room = self.length - 1;
        // First every OBU that fits whole with its length before it and leaves room for a beginning of the next.
        let mut elements = Vec::new();
        let mut index = self.current;
        while let Some(rest) = self.rest(index).filter(|_| index + 1 < self.obus.len()) {
            let needed = leb128_length(rest.len()) + rest.len();
            if needed >= room {
                break;
            }
            room -= needed;
            elements.push(rest);
            index += 1;
        }
        // Then one more element, which has no length if there are few enough.
        let rest = self.rest(index)?;
        let counted = elements.len() < MOST_COUNTED;
        let space = if counted { room } else { longest_with_length(room) };
        let taken = rest.len().min(space);
        if taken == 0 {
            // Only a length would fit; the packet ends here, a byte short.
            (self.current, self.sent) = (index, 0);
            return Some(Packet { elements, continues, continued: false });
        }
        let continued = taken < rest.len();
        let sent_before = if index == self.current { self.sent } else { 0 };
        elements.push(rest.start..rest.start + taken);
        (self.current, self.sent) = if continued { (index, sent_before + taken) } else { (index + 1, 0) };
        Some(Packet { elements, continues, continued })
    }
}

/// The least payload length that needs no more packets than the greatest allowed one, so that the last packet is not
/// much shorter than the others.
pub(super) fn equal_length(obus: &[Range<usize>], max_payload: usize) -> usize {
    let count = |length| Packing::new(obus, length).count();
    let packets = count(max_payload);
    let bytes: usize = obus.iter().map(ExactSizeIterator::len).sum();
    // At least a header octet and the share of the bytes; lengths between elements add a little.
    let least = bytes.div_ceil(packets) + 1;
    (least..least + 8).find(|length| *length <= max_payload && count(*length) == packets).unwrap_or(max_payload)
}

/// The most bytes that fit so much room together with their own length.
fn longest_with_length(room: usize) -> usize {
    (1..=5).map(|field| room.saturating_sub(field)).find(|length| leb128_length(*length) + length <= room).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(lengths: &[usize]) -> Vec<Range<usize>> {
        let mut start = 0;
        lengths
            .iter()
            .map(|length| {
                start += length;
                start - length..start
            })
            .collect()
    }

    fn size(packet: &Packet) -> usize {
        let last = packet.elements.len() - 1;
        let with_length = |(index, element): (usize, &Range<usize>)| {
            let field = if index < last || packet.count_field() == 0 { leb128_length(element.len()) } else { 0 };
            field + element.len()
        };
        1 + packet.elements.iter().enumerate().map(with_length).sum::<usize>()
    }

    #[test]
    fn every_byte_goes_once_in_order_and_no_packet_is_too_long() {
        for lengths in [&[1][..], &[2_000], &[10, 5_000], &[10, 3, 900], &[3; 50], &[98, 98, 98], &[97, 1, 300, 1, 1]] {
            for limit in 100..240 {
                let obus = ranges(lengths);
                let packets: Vec<Packet> = Packing::new(&obus, limit).collect();
                let mut next = 0;
                let mut continued = false;
                for packet in &packets {
                    assert!(size(packet) <= limit, "{lengths:?} {limit}");
                    assert_eq!(packet.continues, continued);
                    continued = packet.continued;
                    for element in &packet.elements {
                        assert_eq!(element.start, next);
                        assert!(!element.is_empty());
                        next = element.end;
                    }
                    let ends_obu = obus.iter().any(|obu| obu.end == next);
                    assert_eq!(packet.continued, !ends_obu);
                }
                assert_eq!(next, lengths.iter().sum::<usize>());
                assert!(!continued);
            }
        }
    }

    #[test]
    fn a_sequence_header_and_a_frame_make_packets_of_one_length() {
        for frame in [1_000, 1_187, 1_188, 1_189, 5_000, 50_000, 123_457] {
            let obus = ranges(&[11, frame]);
            let length = equal_length(&obus, 1_200);
            let sizes: Vec<usize> = Packing::new(&obus, length).map(|packet| size(&packet)).collect();
            let (last, others) = sizes.split_last().unwrap();
            assert!(others.iter().all(|size| *size == others[0]), "{sizes:?}");
            assert!(others.first().is_none_or(|size| last <= size && *size <= 1_200), "{sizes:?}");
            assert!(others.len() < 2 || *last > 1_200 / 2, "{sizes:?}");
        }
    }
}
