//! The pace of checks of all agents of a program (RFC 8445 §14).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Turns at which checks to unknown addresses may leave, one every 5 ms, for all agents that share it.
///
/// RFC 8445 §14.2: no two checks leave within 5 ms. It counts for addresses of which a peer has only spoken; whoever has
/// been heard from, or has answered, is no stranger, and a crowd that joins does not wait for each other.
#[derive(Debug)]
pub struct CheckPace {
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    /// The first that was never given away.
    next: Instant,
    /// Those that were given back, no more than lie ahead.
    returned: BTreeSet<Instant>,
}

impl CheckPace {
    /// The time between two turns.
    pub const INTERVAL: Duration = Duration::from_millis(5);

    /// How far ahead turns are given away. Whoever finds none sends nothing; agents repeat their checks.
    pub const AHEAD: Duration = Duration::from_millis(500);

    /// All turns are free.
    pub const fn new(now: Instant) -> Self {
        Self { turns: Mutex::new(Turns { next: now, returned: BTreeSet::new() }) }
    }

    /// Takes the next free turn.
    pub(super) fn take_turn(&self, now: Instant) -> Option<Instant> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.returned = turns.returned.split_off(&now);
        if let Some(turn) = turns.returned.pop_first() {
            return Some(turn);
        }
        let turn = turns.next.max(now);
        if turn > now + Self::AHEAD {
            return None;
        }
        turns.next = turn + Self::INTERVAL;
        Some(turn)
    }

    /// Gives back a turn that was taken and is not needed any more.
    pub(super) fn give_back(&self, turn: Instant) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).returned.insert(turn);
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
        // What is given back is had once more, as long as it lies ahead.
        let given = [turns[3], turns[50], turns[70]];
        given.iter().for_each(|turn| pace.give_back(*turn));
        assert_eq!(pace.take_turn(later), Some(turns[50]));
        assert_eq!(pace.take_turn(later), Some(turns[70]));
        assert_eq!(pace.take_turn(later), None);
    }
}
