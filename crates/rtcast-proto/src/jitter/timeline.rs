//! From 32-bit RTP timestamps to a time that begins at zero, does not wrap and never runs backwards.

use std::time::Instant;

use crate::types::MediaTime;

/// How far a timestamp may lie behind the one before and still be of the same time scale, in seconds.
const MOST_BACKWARDS: i64 = 1;
/// How much faster than the clock timestamps may run from one frame to the next, in seconds.
const MOST_AHEAD: i64 = 10;

/// The time scale of one stream.
#[derive(Debug)]
pub(super) struct Timeline {
    rate: u32,
    last: Option<Last>,
    interrupted: bool,
}

#[derive(Debug)]
struct Last {
    timestamp: u32,
    ticks: i64,
    at: Instant,
}

impl Timeline {
    /// A time scale that ticks `rate` times a second and begins with the first frame.
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, last: None, interrupted: false }
    }

    /// The next frame's timestamp has nothing to do with the last one's.
    pub(super) const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// The time of the next frame. Where its timestamp leaps, the time that has passed since the last frame counts.
    pub(super) fn extend(&mut self, now: Instant, timestamp: u32) -> MediaTime {
        let rate = i64::from(self.rate);
        let interrupted = std::mem::take(&mut self.interrupted);
        let last = self.last.get_or_insert(Last { timestamp, ticks: 0, at: now });
        let passed = now.saturating_duration_since(last.at);
        let passed = MediaTime::from(passed).to_ticks(self.rate);
        // RFC 3550 §5.1: the timestamp wraps; the shorter way round is taken.
        let step = i64::from(timestamp.wrapping_sub(last.timestamp).cast_signed());
        if interrupted || step < -MOST_BACKWARDS * rate || step > passed.saturating_add(MOST_AHEAD * rate) {
            last.ticks = last.ticks.saturating_add(passed.max(1));
            last.timestamp = timestamp;
        } else if step > 0 {
            last.ticks = last.ticks.saturating_add(step);
            last.timestamp = timestamp;
        }
        last.at = now;
        MediaTime::from_ticks(last.ticks, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn instant() -> Instant {
        Instant::now()
    }

    fn ticks(timeline: &mut Timeline, now: Instant, timestamp: u32) -> i64 {
        timeline.extend(now, timestamp).to_ticks(90_000)
    }

    #[test]
    fn it_begins_at_zero_and_goes_over_the_wrap() {
        let now = instant();
        let mut timeline = Timeline::new(90_000);
        assert_eq!(ticks(&mut timeline, now, u32::MAX - 2_999), 0);
        assert_eq!(ticks(&mut timeline, now, 0), 3_000);
        assert_eq!(ticks(&mut timeline, now, 3_000), 6_000);
    }

    #[test]
    fn it_never_runs_backwards() {
        let now = instant();
        let mut timeline = Timeline::new(90_000);
        assert_eq!([9_000, 6_000, 12_000].map(|at| ticks(&mut timeline, now, at)), [0, 0, 3_000]);
    }

    #[test]
    fn a_leap_is_replaced_by_the_time_that_passed() {
        let mut now = instant();
        let mut timeline = Timeline::new(90_000);
        ticks(&mut timeline, now, 1_000_000);
        now += Duration::from_millis(100);
        assert_eq!(ticks(&mut timeline, now, 500), 9_000, "back");
        now += Duration::from_millis(100);
        assert_eq!(ticks(&mut timeline, now, 2_000_000_000), 18_000, "ahead");
        assert_eq!(ticks(&mut timeline, now, 0), 18_001, "back at once");
        timeline.interrupt();
        now += Duration::from_millis(10);
        assert_eq!(ticks(&mut timeline, now, 3_000), 18_901, "announced");
        now += Duration::from_secs(60);
        assert_eq!(ticks(&mut timeline, now, 3_000 + 60 * 90_000), 18_901 + 60 * 90_000, "a pause");
    }
}
