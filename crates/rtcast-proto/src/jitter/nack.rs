//! Which lost packets to ask for again, and when: the receiver's side of RFC 4585 §6.2.1.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most packets that are missed at a time; beyond that the oldest are forgotten.
const MOST_MISSING: usize = 1_000;
/// How often one packet is asked for.
const MOST_REQUESTS: u8 = 10;
/// How many later packets show that one is lost and not just late.
const REORDERING_PACKETS: u64 = 3;
/// How long a packet may be late, if not so many came after it; and how long at most, where packets are seen to be late.
const REORDERING_TIME: Duration = Duration::from_millis(10);
const GREATEST_REORDERING_TIME: Duration = Duration::from_millis(50);
/// The least time between two requests for the same packet.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);
/// The greatest time between two requests for the same packet.
const GREATEST_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the sequence numbers of one stream and asks for those that are missing.
///
/// A packet is asked for when three later ones have come, or one and 10 ms have passed; then again after one and a
/// quarter round-trip times, but not sooner than 20 ms, ten times in all. Where packets come late that were asked for in
/// vain, they are waited for as long as that takes, up to 50 ms, however many come meanwhile (as RFC 8985 §6.2 has it for
/// TCP). At most 1,000 are missed at a time.
#[derive(Debug)]
pub struct NackGenerator {
    /// In the order of their indices.
    missing: VecDeque<Missing>,
    /// The index after the highest that came.
    next: Option<u64>,
    interval: Duration,
    /// How long packets are waited for, once some have come late.
    reordering: Option<Duration>,
}

#[derive(Debug)]
struct Missing {
    index: u64,
    /// When a later one came.
    since: Instant,
    due: Instant,
    requests: u8,
}

impl NackGenerator {
    /// A generator for a stream of which nothing has come. A round-trip time of 100 ms is assumed.
    pub const fn new() -> Self {
        Self { missing: VecDeque::new(), next: None, interval: Duration::from_millis(125), reordering: None }
    }

    /// Takes the extended sequence number of a packet that came, be it the first time or sent again.
    pub fn handle_packet(&mut self, now: Instant, index: u64) {
        let next = *self.next.get_or_insert(index);
        if index < next {
            if let Ok(position) = self.missing.binary_search_by_key(&index, |missing| missing.index) {
                self.missing.remove(position).inspect(|missing| self.came_late(now, missing));
            }
            return;
        }
        let first = next.max(index.saturating_sub(MOST_MISSING as u64));
        for missing in first..index {
            if self.missing.len() >= MOST_MISSING {
                self.missing.pop_front();
            }
            let due = now + self.reordering.unwrap_or(REORDERING_TIME);
            self.missing.push_back(Missing { index: missing, since: now, due, requests: 0 });
        }
        self.next = Some(index.saturating_add(1));
        for missing in self.missing.iter_mut().rev() {
            if missing.requests > 0 || missing.due <= now {
                break;
            }
            if index - missing.index >= REORDERING_PACKETS && self.reordering.is_none() {
                missing.due = now;
            }
        }
    }

    /// Learns from a packet that was asked for and came sooner than an answer can: it was only late.
    fn came_late(&mut self, now: Instant, missing: &Missing) {
        let Some(asked) = (missing.requests > 0).then(|| missing.due.checked_sub(self.interval)).flatten() else {
            return;
        };
        // The interval is a quarter more than a round trip.
        if missing.requests == 1 && now.saturating_duration_since(asked) < self.interval * 3 / 5 {
            let late = now.saturating_duration_since(missing.since) * 5 / 4;
            let longest = self.reordering.unwrap_or(REORDERING_TIME).max(late);
            self.reordering = Some(longest.min(GREATEST_REORDERING_TIME));
        }
    }

    /// Takes a measured round-trip time.
    pub fn handle_round_trip_time(&mut self, round_trip: Duration) {
        // A quarter more, so that the answer to the first request has come before the second is made.
        self.interval = (round_trip.min(GREATEST_INTERVAL) * 5 / 4).clamp(LEAST_INTERVAL, GREATEST_INTERVAL);
    }

    /// Forgets what is missing before an index, because nobody waits for it any more.
    pub fn give_up_before(&mut self, index: u64) {
        while self.missing.front().is_some_and(|missing| missing.index < index) {
            self.missing.pop_front();
        }
    }

    /// Forgets everything, because the sender has begun anew.
    pub fn reset(&mut self) {
        self.missing.clear();
        self.next = None;
        self.reordering = None;
    }

    /// The sequence numbers to ask for now, in their order; often none.
    pub fn poll(&mut self, now: Instant) -> Vec<u16> {
        let mut numbers = Vec::new();
        for missing in self.missing.iter_mut().filter(|missing| missing.due <= now) {
            numbers.push(missing.index as u16);
            missing.requests += 1;
            missing.due = now + self.interval;
        }
        if !numbers.is_empty() {
            self.missing.retain(|missing| missing.requests < MOST_REQUESTS);
        }
        numbers
    }

    /// When [`poll`](Self::poll) will have something to say.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due).min()
    }
}

impl Default for NackGenerator {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn instant() -> Instant {
        Instant::now()
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_packet_that_is_only_late_is_not_asked_for() {
        let now = instant();
        let mut nack = NackGenerator::new();
        for index in [65_535, 65_537, 65_538] {
            nack.handle_packet(now, index);
        }
        assert!(nack.poll(now).is_empty());
        assert_eq!(nack.poll_timeout(), Some(now + milliseconds(10)));
        nack.handle_packet(now, 65_536);
        assert_eq!(nack.poll_timeout(), None);
    }

    #[test]
    fn a_lost_packet_is_asked_for_every_round_trip_until_it_comes() {
        let start = instant();
        let mut nack = NackGenerator::new();
        nack.handle_round_trip_time(milliseconds(40));
        nack.handle_packet(start, 65_534);
        nack.handle_packet(start, 65_537);
        nack.handle_packet(start, 65_538);
        nack.handle_packet(start, 65_539);
        assert_eq!(nack.poll(start), [65_535, 0], "three came after the second gap too");
        assert_eq!(nack.poll_timeout(), Some(start + milliseconds(50)));
        assert!(nack.poll(start + milliseconds(49)).is_empty());
        assert_eq!(nack.poll(start + milliseconds(50)), [65_535, 0]);
        nack.handle_packet(start + milliseconds(60), 65_535);
        assert_eq!(nack.poll(start + milliseconds(100)), [0]);
        nack.give_up_before(65_540);
        assert_eq!(nack.poll_timeout(), None);
    }

    #[test]
    fn a_packet_that_never_comes_is_asked_for_ten_times() {
        let mut now = instant();
        let mut nack = NackGenerator::new();
        nack.handle_round_trip_time(milliseconds(1));
        nack.handle_packet(now, 1);
        nack.handle_packet(now, 3);
        let mut asked = 0;
        while let Some(due) = nack.poll_timeout() {
            assert!(asked == 0 || due - now == milliseconds(20));
            now = due;
            asked += nack.poll(now).len();
        }
        assert_eq!(asked, 10);
    }

    #[test]
    fn what_is_missing_is_bounded() {
        let now = instant();
        let mut nack = NackGenerator::new();
        nack.handle_packet(now, 0);
        for index in [u64::MAX / 2, u64::MAX - 9_000, u64::MAX - 5_000, u64::MAX - 4_400, u64::MAX, 17] {
            nack.handle_packet(now, index);
            assert!(nack.missing.len() <= MOST_MISSING);
        }
        assert!(nack.missing.iter().is_sorted_by_key(|missing| missing.index));
        nack.reset();
        nack.handle_packet(now, 5);
        assert_eq!(nack.poll_timeout(), None);
    }
}
