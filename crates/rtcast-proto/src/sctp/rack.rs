//! Finding losses by time (RFC 8985): a piece is lost once one that was sent sufficiently later has arrived.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Reordering beyond this many quarters of the least round-trip time counts as loss in any case.
const MAX_MULTIPLIER: u32 = 16;

/// Losses that were repaired before the window for reordering shrinks again (RFC 8985 §6.2 step 4).
const PERSISTENCE: u32 = 16;

/// One sending of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) tsn: u64,
    pub(super) transmission: u32,
    pub(super) at: Instant,
}

/// The sendings in the order of their time, and what the latest arrival says of the earlier ones.
#[derive(Debug, Default)]
pub(super) struct Rack {
    order: VecDeque<Sending>,
    /// The latest sending that has arrived, and how long it took.
    latest: Option<(Instant, u64, Duration)>,
    highest: u64,
    reordered: bool,
    multiplier: u32,
    persistence: u32,
}

impl Rack {
    pub(super) fn sent(&mut self, sending: Sending) {
        self.order.push_back(sending);
    }

    /// A piece has arrived; `again` says that it was sent more than once, so that nobody knows which one arrived.
    pub(super) fn arrived(&mut self, now: Instant, tsn: u64, at: Instant, again: bool, least: Option<Duration>) {
        let took = now.saturating_duration_since(at);
        if again {
            // RFC 8985 §6.2 step 2: what comes sooner than any path allows was the earlier one.
            if least.is_some_and(|least| took < least) {
                return;
            }
        } else if tsn < self.highest {
            self.reordered = true;
        }
        self.highest = self.highest.max(tsn);
        if self.latest.is_none_or(|(latest, last, _)| (at, tsn) > (latest, last)) {
            self.latest = Some((at, tsn, took));
        }
    }

    /// The peer has had something twice: it was taken for lost too soon.
    pub(super) fn duplicate(&mut self) {
        self.multiplier = (self.multiplier.max(1) + 1).min(MAX_MULTIPLIER);
        self.persistence = PERSISTENCE;
    }

    /// A loss was repaired altogether.
    pub(super) fn recovered(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            self.multiplier = 1;
        }
    }

    /// Tells what is lost, in the order of sending; `live` says whether a sending is still the last of its piece and
    /// without an answer. Returns when to ask again, if something may be lost by then.
    pub(super) fn detect(
        &mut self,
        now: Instant,
        recovering: bool,
        least: Option<Duration>,
        smoothed: Option<Duration>,
        live: impl Fn(&Sending) -> bool,
        mut lost: impl FnMut(u64),
    ) -> Option<Instant> {
        // RFC 8985 §6.2 step 4: without any sign of reordering nothing is waited for once a loss is certain.
        let window = match (self.reordered, recovering) {
            (false, true) => Duration::ZERO,
            _ => (least.unwrap_or_default() / 4 * self.multiplier.max(1)).min(smoothed.unwrap_or_default()),
        };
        while let Some(&first) = self.order.front() {
            if !live(&first) {
                self.order.pop_front();
                continue;
            }
            let (at, tsn, took) = self.latest?;
            if (first.at, first.tsn) >= (at, tsn) {
                return None;
            }
            let deadline = first.at + took + window;
            if deadline > now {
                return Some(deadline);
            }
            self.order.pop_front();
            lost(first.tsn);
        }
        None
    }

    /// Forgets all sendings, after a timeout has declared everything lost.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.latest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn what_was_overtaken_by_enough_is_lost() {
        let start = Instant::now();
        let ms = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut rack = Rack::default();
        for tsn in 1..=4 {
            rack.sent(Sending { tsn, transmission: 1, at: ms(tsn) });
        }
        let least = Some(Duration::from_millis(40));
        let mut lost = Vec::new();
        assert_eq!(rack.detect(ms(50), false, least, least, |_| true, |tsn| lost.push(tsn)), None);
        rack.arrived(ms(44), 4, ms(4), false, least);
        let live = |sending: &Sending| sending.tsn != 4;
        // The first is due at 1 + 40 + 10 ms.
        assert_eq!(rack.detect(ms(50), false, least, least, live, |tsn| lost.push(tsn)), Some(ms(51)));
        assert_eq!(rack.detect(ms(52), false, least, least, live, |tsn| lost.push(tsn)), Some(ms(53)));
        assert_eq!(lost, [1, 2]);
        assert_eq!(rack.detect(ms(52), true, least, least, live, |tsn| lost.push(tsn)), None, "no window in recovery");
        assert_eq!(lost, [1, 2, 3]);
    }
}
