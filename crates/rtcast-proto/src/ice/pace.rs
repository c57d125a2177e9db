//! The pace of checks of all agents of a program (RFC 8445 §14).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Turns at which checks to unknown addresses may leave, one every 5 ms, for all agents that share it.
///
/// RFC 8445 §14.2: no two checks leave within 5 ms. It counts for addresses of which a peer has only spoken; whoever has
/// been heard from, or has answered, is no stranger, and a crowd that joins does not wait for each other.
#[derive(Debug)]
pub struct CheckPace {
    start: Instant,
    /// The next free turn, in microseconds after the start.
    next: AtomicU64,
}

impl CheckPace {
    /// The time between two turns.
    pub const INTERVAL: Duration = Duration::from_millis(5);

    /// How far ahead turns are given away. Whoever finds none sends nothing; agents repeat their checks.
    pub const AHEAD: Duration = Duration::from_millis(500);

    /// All turns are free.
    pub const fn new(now: Instant) -> Self {
        Self { start: now, next: AtomicU64::new(0) }
    }

    /// Takes the next free turn.
    pub(super) fn take_turn(&self, now: Instant) -> Option<Instant> {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let now = micros(now.saturating_duration_since(self.start));
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next <= now + micros(Self::AHEAD)).then(|| next.max(now) + micros(Self::INTERVAL))
        });
        taken.ok().map(|next| self.start + Duration::from_micros(next.max(now)))
    }

    /// Gives back a turn that is not needed any more.
    pub(super) fn give_back(&self) {
        let interval = u64::try_from(Self::INTERVAL.as_micros()).unwrap_or(u64::MAX);
        let earlier = |next: u64| Some(next.saturating_sub(interval));
        // The closure never refuses.
        let _ = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_five_milliseconds_apart_and_end_half_a_second_ahead() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
        let start = Instant::now();
        let pace = CheckPace::new(start);
        let now = start + Duration::from_secs(9);
        let turns: Vec<Instant> = std::iter::from_fn(|| pace.take_turn(now)).collect();
        assert_eq!(turns.len(), 101);
        assert_eq!(turns[0], now);
        assert!(turns.windows(2).all(|turns| turns[1] - turns[0] == CheckPace::INTERVAL));
        let later = now + Duration::from_millis(20);
        assert_eq!(std::iter::from_fn(|| pace.take_turn(later)).count(), 4);
        pace.give_back();
        assert!(pace.take_turn(later).is_some() && pace.take_turn(later).is_none());
    }
}
