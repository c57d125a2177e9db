//! Which of a peer's requests for a keyframe are told, and when.
//!
//! Receivers repeat their requests until they are answered, and a hostile one never stops. Each is told at once if none was
//! lately; else one is held for all of them until it is time. After an answer that takes a while, a group of pictures sent
//! once more, that time grows with each further request, so that an answer can come to its end.

use std::time::{Duration, Instant};

/// The time between two requests that are told.
const PAUSE: Duration = Duration::from_millis(200);

/// The time after a catch-up has begun, the first and the longest.
const FIRST_PAUSE_OF_CATCH_UP: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// After so long without a request the time is the first again.
const CALM: Duration = Duration::from_secs(10);

/// A request that was not repeated for so long, while lost packets were sent again, is settled.
const SETTLED: Duration = Duration::from_millis(600);

#[derive(Debug, Default)]
pub(super) struct KeyframeRequests {
    /// When one was told, or a catch-up began.
    last: Option<Instant>,
    pause: Duration,
    /// When the last of those came that are held.
    held: Option<Instant>,
    /// When packets were last sent again.
    repaired: Option<Instant>,
    /// The number of the last full intra request.
    full_intra: Option<u8>,
}

impl KeyframeRequests {
    /// Takes a request. Returns whether it is to be told now.
    pub(super) fn handle_request(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.pause) {
            self.held = Some(now);
            return false;
        }
        self.tell(now);
        true
    }

    /// Takes a full intra request with its number. RFC 5104 §4.3.1.2: one with the number of the last is its repetition,
    /// which needs no answer of its own.
    pub(super) fn handle_full_intra(&mut self, now: Instant, number: u8) -> bool {
        let new = self.full_intra.replace(number) != Some(number);
        (new || self.held.is_some()) && self.handle_request(now)
    }

    /// A request is wanted on our own account; it is told by [`handle_timeout`](Self::handle_timeout).
    pub(super) fn hold(&mut self, now: Instant) {
        self.held = Some(now);
        // What was sent again before is no answer to it.
        self.repaired = None;
    }

    /// The viewer is being given a group of pictures from `now` on, be it asked for or not.
    pub(super) fn catch_up_began(&mut self, now: Instant) {
        let again = self.last.is_some_and(|last| now.saturating_duration_since(last) < CALM);
        let longer = if again { self.pause * 2 } else { Duration::ZERO };
        self.pause = longer.clamp(FIRST_PAUSE_OF_CATCH_UP, LONGEST_PAUSE);
        self.last = Some(now);
        self.held = None;
    }

    /// Lost packets were sent again.
    pub(super) const fn packets_repaired(&mut self, now: Instant) {
        self.repaired = Some(now);
    }

    /// When a held request is to be told.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held?;
        Some(self.last.map_or(held, |last| last + self.pause))
    }

    /// Returns whether a held request is to be told now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return false;
        }
        let held = self.held.take().unwrap_or(now);
        let repaired = self.repaired.is_some_and(|at| at >= held);
        if repaired && now.saturating_duration_since(held) >= SETTLED {
            return false;
        }
        self.tell(now);
        true
    }

    fn tell(&mut self, now: Instant) {
        let calm = self.last.is_none_or(|last| now.saturating_duration_since(last) >= CALM);
        if calm || self.pause.is_zero() {
            self.pause = PAUSE;
        }
        self.last = Some(now);
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Requests every millisecond for so many seconds, each told one answered by a catch-up or by a keyframe.
    fn storm(catch_ups: bool, seconds: u64) -> usize {
        let start = start();
        let mut requests = KeyframeRequests::default();
        let mut told = 0;
        for millisecond in 0..seconds * 1_000 {
            let now = start + Duration::from_millis(millisecond);
            if requests.handle_timeout(now) || requests.handle_request(now) {
                told += 1;
                if catch_ups {
                    requests.catch_up_began(now);
                }
            }
        }
        told
    }

    #[test]
    fn a_storm_is_told_in_its_time() {
        assert_eq!(storm(false, 10), 50);
        // After 0, 1, 3 and 7 seconds, and then every four.
        assert_eq!(storm(true, 20), 7);
    }

    #[test]
    fn what_is_held_is_told_once_and_not_if_it_has_settled_itself() {
        let start = start();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut requests = KeyframeRequests::default();
        requests.catch_up_began(start);
        assert!(!requests.handle_request(at(500)));
        assert_eq!(requests.poll_timeout(), Some(at(1_000)));
        assert!(!requests.handle_timeout(at(999)));
        assert!(requests.handle_timeout(at(1_000)));
        assert_eq!(requests.poll_timeout(), None);

        requests.catch_up_began(at(1_000));
        assert!(!requests.handle_request(at(1_100)));
        requests.packets_repaired(at(1_200));
        assert!(!requests.handle_timeout(at(3_000)));
        assert_eq!(requests.poll_timeout(), None);

        // After a time of calm all is as it was at first.
        assert!(requests.handle_request(at(20_000)));
        requests.catch_up_began(at(20_000));
        assert_eq!(requests.pause, LONGEST_PAUSE.min(FIRST_PAUSE_OF_CATCH_UP));
    }

    #[test]
    fn a_repeated_full_intra_request_is_no_new_one() {
        let start = start();
        let mut requests = KeyframeRequests::default();
        assert!(requests.handle_full_intra(start, 7));
        let later = start + Duration::from_secs(1);
        assert!(!requests.handle_full_intra(later, 7));
        assert!(requests.handle_full_intra(later, 8));
    }
}
