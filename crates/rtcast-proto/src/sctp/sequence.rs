//! Sequence numbers that wrap, and sets of them.

use std::collections::VecDeque;

/// Where counting begins, so that no number ever falls below zero.
pub(super) const ORIGIN: u64 = 1 << 32;

/// The number of 64 bits nearest to `reference` whose lowest 32 are `wire`.
pub(super) const fn extend(reference: u64, wire: u32) -> u64 {
    reference.wrapping_add_signed(wire.wrapping_sub(reference as u32).cast_signed() as i64)
}

/// The number of 64 bits nearest to `reference` whose lowest 16 are `wire`.
pub(super) const fn extend16(reference: u64, wire: u16) -> u64 {
    reference.wrapping_add_signed(wire.wrapping_sub(reference as u16).cast_signed() as i64)
}

/// A set of numbers as sorted ranges, both ends included, with a gap between any two.
#[derive(Debug, Default, Clone)]
pub(super) struct RangeSet {
    ranges: VecDeque<(u64, u64)>,
}

impl RangeSet {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < number);
        self.ranges.get(at).is_some_and(|range| range.0 <= number)
    }

    /// Adds a number. Returns `false` if it was there.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if let Some(last) = self.ranges.back_mut()
            && number == last.1 + 1
        {
            last.1 = number;
            return true;
        }
        let mut fresh = false;
        self.insert_range(number, number, |_, _| fresh = true);
        fresh
    }

    /// Adds all numbers from `start` to `end`, and tells the parts that were not there.
    pub(super) fn insert_range(&mut self, start: u64, end: u64, mut fresh: impl FnMut(u64, u64)) {
        let first = self.ranges.partition_point(|range| range.1 + 1 < start);
        let (mut merged, mut next, mut at) = ((start, end), start, first);
        while let Some(&(from, to)) = self.ranges.get(at).filter(|range| range.0 <= end + 1) {
            if next < from {
                fresh(next, from - 1);
            }
            merged = (merged.0.min(from), merged.1.max(to));
            next = next.max(to + 1);
            at += 1;
        }
        if next <= end {
            fresh(next, end);
        }
        if at == first {
            self.ranges.insert(first, merged);
        } else {
            self.ranges[first] = merged;
            if at > first + 1 {
                self.ranges.drain(first + 1..at);
            }
        }
    }

    /// Takes out everything up to `number`.
    pub(super) fn remove_through(&mut self, number: u64) {
        while let Some(front) = self.ranges.front_mut() {
            if front.1 > number {
                front.0 = front.0.max(number + 1);
                return;
            }
            self.ranges.pop_front();
        }
    }

    /// Takes out everything up to `number`, and what follows it without a gap. Returns the last number that is covered.
    pub(super) fn advance(&mut self, mut number: u64) -> u64 {
        while let Some(front) = self.ranges.front_mut() {
            if front.0 > number + 1 {
                break;
            }
            number = number.max(front.1);
            self.ranges.pop_front();
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_extended_to_the_nearest() {
        assert_eq!(extend(ORIGIN, u32::MAX), ORIGIN - 1);
        assert_eq!(extend(ORIGIN + 5, 7), ORIGIN + 7);
        assert_eq!(extend((5 << 32) - 1, 3), (5 << 32) + 3);
        assert_eq!(extend16(ORIGIN, 65_535), ORIGIN - 1);
        assert_eq!(extend16(ORIGIN + 65_534, 2), ORIGIN + 65_538);
    }

    #[test]
    fn a_set_of_ranges_is_a_set() {
        let (mut ranges, mut plain) = (RangeSet::default(), BTreeSet::new());
        let mut seed = 7_u64;
        for _ in 0..4_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = 10 + (seed >> 33) % 500;
            let end = start + (seed >> 60);
            let mut fresh = Vec::new();
            ranges.insert_range(start, end, |from, to| fresh.extend(from..=to));
            let expected: Vec<u64> = (start..=end).filter(|number| plain.insert(*number)).collect();
            assert_eq!(fresh, expected);
            assert!(ranges.contains(start) && ranges.contains(end));
            if (seed >> 40).is_multiple_of(97) {
                (ranges, plain) = (RangeSet::default(), BTreeSet::new());
            }
            let flat: Vec<u64> = ranges.iter().flat_map(|(from, to)| from..=to).collect();
            assert!(flat.iter().eq(plain.iter()));
            let all: Vec<_> = ranges.iter().collect();
            assert!(all.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
        ranges.clear();
        assert!(ranges.insert(20) && ranges.insert(21) && !ranges.insert(20) && ranges.insert(25));
        assert_eq!(ranges.len(), 2);
        ranges.remove_through(20);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(21, 21), (25, 25)]);
        assert_eq!(ranges.advance(20), 21);
        assert_eq!(ranges.advance(22), 22);
        assert_eq!(ranges.advance(30), 30);
        assert!(ranges.is_empty());
    }
}
