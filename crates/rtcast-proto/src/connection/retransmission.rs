//! Which lost packets are sent again, and when.
//!
//! A request costs no more than a look-up; a packet goes again once in a round trip; and all of it together stays below a
//! share of the stream. So neither a path that carries less than the stream nor a hostile peer gets more out of a sender
//! than that.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Retransmissions that wait for the socket; further requests are ignored, the peer repeats them.
const MAX_WAITING: usize = 1_024;

/// Packets of which it is known when they were last sent again; while there are so many that went within a round trip,
/// further requests are ignored.
const MAX_REMEMBERED: usize = 4_096;

/// The round-trip time that is assumed until one was measured, the value of other implementations.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);

/// A packet is not sent again twice within this time, however short a round trip is.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// The parts of a second in which bytes are counted.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_millis(100);

/// What waits to be sent again, and what was.
#[derive(Debug)]
pub(super) struct Retransmissions {
    waiting: VecDeque<u64>,
    /// When a packet was last sent again, `None` while it waits for that.
    sent: HashMap<u64, Option<Instant>>,
    began: Instant,
    /// The bytes granted in the parts of the last second; the part that has begun comes on top of a whole second.
    granted: [u32; SLOTS + 1],
    slot: u64,
}

impl Retransmissions {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), sent: HashMap::new(), began: now, granted: [0; SLOTS + 1], slot: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what waits; what was granted in the last second stays counted.
    pub(super) fn clear(&mut self) {
        while let Some(index) = self.waiting.pop_front() {
            self.sent.remove(&index);
        }
    }

    /// Takes a request: `lost` are the indices of packets that can be sent again, with their lengths. `allowance` is what
    /// may be granted in a second, in bytes. Returns how many packets were granted.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        round_trip_time: Option<Duration>,
        allowance: usize,
        lost: impl Iterator<Item = (u64, usize)>,
    ) -> usize {
        let pause = round_trip_time.unwrap_or(ASSUMED_ROUND_TRIP).max(LEAST_PAUSE);
        let pausing = |at: Instant| now.saturating_duration_since(at) < pause;
        if self.sent.len() + MAX_WAITING > MAX_REMEMBERED {
            self.sent.retain(|_, at| at.is_none_or(pausing));
        }
        self.turn(now);
        let used: u64 = self.granted.iter().map(|bytes| u64::from(*bytes)).sum();
        let mut left = allowance.saturating_sub(usize::try_from(used).unwrap_or(usize::MAX));
        let mut granted = 0;
        for (index, length) in lost {
            if self.waiting.len() >= MAX_WAITING || self.sent.len() >= MAX_REMEMBERED || left < length {
                break;
            }
            if self.sent.get(&index).is_some_and(|at| at.is_none_or(pausing)) {
                continue;
            }
            granted += 1;
            left -= length;
            let part = (self.slot % self.granted.len() as u64) as usize;
            self.granted[part] = self.granted[part].saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
            self.sent.insert(index, None);
            self.waiting.push_back(index);
        }
        granted
    }

    /// The packet to be sent again first.
    pub(super) fn front(&self) -> Option<u64> {
        self.waiting.front().copied()
    }

    /// The first was sent, or cannot be.
    pub(super) fn pop(&mut self, now: Instant) {
        if let Some(index) = self.waiting.pop_front() {
            self.sent.insert(index, Some(now));
        }
    }

    /// Empties the parts of the second that have passed.
    fn turn(&mut self, now: Instant) {
        let slot = (now.saturating_duration_since(self.began).as_millis() / SLOT.as_millis()) as u64;
        let passed = slot.saturating_sub(self.slot).min(self.granted.len() as u64);
        for step in 1..=passed {
            let part = ((self.slot + step) % self.granted.len() as u64) as usize;
            self.granted[part] = 0;
        }
        self.slot = self.slot.max(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn send_all(retransmissions: &mut Retransmissions, now: Instant) -> usize {
        let mut count = 0;
        while retransmissions.front().is_some() {
            retransmissions.pop(now);
            count += 1;
        }
        count
    }

    #[test]
    fn no_second_has_more_than_the_allowance_however_much_is_asked_for() {
        let start = start();
        let mut retransmissions = Retransmissions::new(start);
        let mut sent = Vec::new();
        for millisecond in (0..5_000).step_by(7) {
            let now = start + Duration::from_millis(millisecond);
            let lost = (0..500).map(|index| (millisecond * 1_000 + index, 1_000));
            let granted = retransmissions.handle_request(now, None, 50_000, lost);
            assert_eq!(granted, send_all(&mut retransmissions, now));
            sent.push((millisecond, granted));
        }
        for from in 0..4_000 {
            let within = sent.iter().filter(|(at, _)| (from..from + 1_000).contains(at));
            let packets: usize = within.map(|(_, packets)| packets).sum();
            assert!(packets <= 50, "{packets} in the second from {from} ms");
        }
        let all: usize = sent.iter().map(|(_, packets)| packets).sum();
        assert!(all >= 200, "{all} in five seconds");
    }

    #[test]
    fn a_packet_goes_again_once_in_a_round_trip() {
        let start = start();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut retransmissions = Retransmissions::new(start);
        let round_trip = Some(Duration::from_millis(300));
        let mut sent = Vec::new();
        for millisecond in 0..1_000 {
            let lost = std::iter::repeat_n((7, 1_000), 50);
            retransmissions.handle_request(at(millisecond), round_trip, 1_000_000, lost);
            if send_all(&mut retransmissions, at(millisecond)) > 0 {
                sent.push(millisecond);
            }
        }
        assert_eq!(sent, [0, 300, 600, 900]);
    }

    #[test]
    fn memory_is_bounded_whatever_is_asked_for() {
        let start = start();
        let mut retransmissions = Retransmissions::new(start);
        for round in 0..20 {
            let now = start + Duration::from_millis(round);
            retransmissions.handle_request(now, None, usize::MAX, (0..65_536).map(|index| (index + round * 65_536, 1)));
            assert!(retransmissions.waiting.len() <= MAX_WAITING);
            send_all(&mut retransmissions, now);
            assert!(retransmissions.sent.len() <= MAX_REMEMBERED, "{}", retransmissions.sent.len());
        }
    }
}
