//! The packets that are held, in the order of their sequence numbers, with the places of those that are missing.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// The place of one packet.
#[derive(Debug)]
pub(super) enum Slot {
    /// It has not come; a later one did at this time.
    Missing { since: Instant },
    /// It has come.
    Present(Packet),
}

/// A packet in its place.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Bytes,
}

/// What is at the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing, or the beginning of a frame whose end has not come.
    Open,
    /// Packets that make a whole frame, as far as its end goes.
    Whole {
        /// Their number.
        length: usize,
    },
    /// Packets without the end of a frame, then places of missing ones.
    Gap {
        /// The number of packets before the gap.
        length: usize,
        /// When the first of them was missed.
        since: Instant,
    },
}

/// A run of places from a first index on. The last place is never that of a missing packet.
#[derive(Debug)]
pub(super) struct Window {
    /// Each packet is a frame of its own.
    single: bool,
    start: Option<u64>,
    slots: VecDeque<Slot>,
    bytes: usize,
    /// Packets that end a frame by their marker, or by being alone in it.
    frames: usize,
    /// Nothing was taken yet.
    untouched: bool,
    front: Front,
    /// The places at the front that were looked at, and belong to one frame without its end.
    scanned: usize,
    /// The timestamp of that frame.
    timestamp: Option<u32>,
}

impl Window {
    pub(super) const fn new(single: bool) -> Self {
        Self {
            single,
            start: None,
            slots: VecDeque::new(),
            bytes: 0,
            frames: 0,
            untouched: true,
            front: Front::Open,
            scanned: 0,
            timestamp: None,
        }
    }

    /// The index of the first place; `None` before the first packet.
    pub(super) const fn start(&self) -> Option<u64> {
        self.start
    }

    /// The index after the last place.
    pub(super) fn end(&self) -> u64 {
        self.start.unwrap_or_default().saturating_add(self.slots.len() as u64)
    }

    /// The number of places.
    pub(super) fn length(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether nothing was taken yet, so that the stream may still begin earlier.
    pub(super) const fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// The payload bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of frames held of which the end has come.
    pub(super) const fn frames(&self) -> usize {
        self.frames
    }

    /// What is at the front.
    pub(super) const fn front(&self) -> Front {
        self.front
    }

    /// How many places lie before an index.
    pub(super) fn distance_to(&self, index: u64) -> usize {
        let distance = index.saturating_sub(self.start.unwrap_or(index));
        usize::try_from(distance).map_or(self.slots.len(), |distance| distance.min(self.slots.len()))
    }

    /// How many packets in a row are missing at the front, after so many that are there.
    pub(super) fn missing_after(&self, length: usize) -> usize {
        self.slots.iter().skip(length).take_while(|slot| matches!(slot, Slot::Missing { .. })).count()
    }

    /// Whether the packet of this index is here.
    pub(super) fn contains(&self, index: u64) -> bool {
        let Some(offset) = self.start.and_then(|start| index.checked_sub(start)) else {
            return false;
        };
        let slot = usize::try_from(offset).ok().and_then(|offset| self.slots.get(offset));
        matches!(slot, Some(Slot::Present(_)))
    }

    /// The index of the first packet of which this is true.
    pub(super) fn find(&self, mut is_sought: impl FnMut(&Packet) -> bool) -> Option<u64> {
        let offset = self.slots.iter().position(|slot| match slot {
            Slot::Missing { .. } => false,
            Slot::Present(packet) => is_sought(packet),
        })?;
        self.start.map(|start| start + offset as u64)
    }

    /// Puts a packet into its place, which must not be taken; the caller has seen to it that the span stays bounded.
    pub(super) fn insert(&mut self, now: Instant, index: u64, packet: Packet) {
        self.bytes += packet.payload.len();
        self.frames += usize::from(self.ends_frame(&packet));
        let start = *self.start.get_or_insert(index);
        if index < start {
            for _ in index + 1..start {
                self.slots.push_front(Slot::Missing { since: now });
            }
            self.slots.push_front(Slot::Present(packet));
            self.start = Some(index);
            self.rescan();
            return;
        }
        let offset = (index - start) as usize;
        while self.slots.len() < offset {
            self.slots.push_back(Slot::Missing { since: now });
        }
        match self.slots.get_mut(offset) {
            Some(slot) => *slot = Slot::Present(packet),
            None => self.slots.push_back(Slot::Present(packet)),
        }
        self.scan();
    }

    /// Takes so many places off the front, or all if there are fewer, and packets of padding that follow.
    pub(super) fn take_front(&mut self, length: usize) -> Vec<Slot> {
        let mut taken: Vec<Slot> = self.slots.drain(..length.min(self.slots.len())).collect();
        while let Some(Slot::Present(packet)) = self.slots.front() {
            if !packet.payload.is_empty() {
                break;
            }
            taken.extend(self.slots.pop_front());
        }
        for slot in &taken {
            if let Slot::Present(packet) = slot {
                self.bytes -= packet.payload.len();
                self.frames -= usize::from(self.ends_frame(packet));
            }
        }
        self.start = self.start.map(|start| start + taken.len() as u64);
        self.untouched = false;
        self.rescan();
        taken
    }

    fn ends_frame(&self, packet: &Packet) -> bool {
        self.single || packet.marker
    }

    fn rescan(&mut self) {
        self.scanned = 0;
        self.timestamp = None;
        self.scan();
    }

    /// Goes on with looking for the end of the frame at the front, from where it was left.
    fn scan(&mut self) {
        loop {
            let Some(slot) = self.slots.get(self.scanned) else {
                self.front = Front::Open;
                return;
            };
            let packet = match slot {
                Slot::Present(packet) => packet,
                Slot::Missing { since } => {
                    let since = *since;
                    self.front = Front::Gap { length: self.scanned, since };
                    return;
                }
            };
            let differs = self.timestamp.is_some_and(|timestamp| timestamp != packet.timestamp);
            if packet.payload.is_empty() && (differs || !packet.marker) && !self.single {
                self.scanned += 1;
                continue;
            }
            if differs {
                self.front = Front::Whole { length: self.scanned };
                return;
            }
            if self.single || packet.marker {
                self.front = Front::Whole { length: self.scanned + 1 };
                return;
            }
            self.timestamp = Some(packet.timestamp);
            self.scanned += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, marker: bool, length: usize) -> Packet {
        Packet { timestamp, marker, payload: vec![1; length].into() }
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn instant() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_frame_ends_at_its_marker_or_before_another_timestamp() {
        let now = instant();
        let mut window = Window::new(false);
        assert_eq!(window.front(), Front::Open);
        window.insert(now, 10, packet(1, false, 3));
        assert_eq!(window.front(), Front::Open);
        window.insert(now, 12, packet(2, true, 3));
        assert_eq!(window.front(), Front::Gap { length: 1, since: now });
        window.insert(now, 11, packet(1, false, 0));
        assert_eq!(window.front(), Front::Whole { length: 2 });
        assert_eq!(window.take_front(2).len(), 2);
        assert_eq!((window.start(), window.front()), (Some(12), Front::Whole { length: 1 }));
        assert_eq!((window.bytes(), window.frames(), window.end()), (3, 1, 13));
    }

    #[test]
    fn the_stream_may_begin_before_the_first_that_came() {
        let now = instant();
        let mut window = Window::new(true);
        window.insert(now, 10, packet(3, false, 1));
        window.insert(now, 8, packet(1, false, 1));
        assert_eq!((window.start(), window.length()), (Some(8), 3));
        assert_eq!(window.front(), Front::Whole { length: 1 });
        window.take_front(1);
        assert_eq!(window.front(), Front::Gap { length: 0, since: now });
        assert!(!window.is_untouched());
    }

    #[test]
    fn what_is_taken_is_no_longer_counted() {
        let now = instant();
        let mut window = Window::new(false);
        for index in 0..6 {
            window.insert(now, index * 2, packet(index as u32, true, 100));
        }
        assert_eq!((window.bytes(), window.frames(), window.length()), (600, 6, 11));
        window.take_front(20);
        assert_eq!((window.bytes(), window.frames(), window.length(), window.start()), (0, 0, 0, Some(11)));
    }
}
