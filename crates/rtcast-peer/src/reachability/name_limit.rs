//! How many names of a peer are looked up.

use std::time::{Duration, Instant};

/// Names that are looked up for one generation of ICE: browsers give one for each of their networks.
const MAX_NAMES: usize = 4;

/// The same in any such time, however often the peer restarts ICE.
const TIME: Duration = Duration::from_secs(15);

/// What a connection has looked up.
#[derive(Debug, Default)]
pub(super) struct NameLimit {
    generation: u32,
    of_generation: usize,
    lately: Vec<Instant>,
}

impl NameLimit {
    /// Whether one more is looked up now, which is counted.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        self.lately.retain(|at| now.saturating_duration_since(*at) < TIME);
        let admitted = self.of_generation < MAX_NAMES && self.lately.len() < MAX_NAMES;
        if admitted {
            self.of_generation += 1;
            self.lately.push(now);
        }
        admitted
    }

    /// This generation of ICE is in use: the peer has restarted it, and may have new names.
    pub(super) const fn restarted(&mut self, generation: u32) {
        if generation != self.generation {
            self.generation = generation;
            self.of_generation = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_four_and_a_restart_gives_four_more_in_their_time() {
        let mut names = NameLimit::default();
        let start = Instant::now();
        let admitted = |names: &mut NameLimit, seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..100).filter(|_| names.admits(now)).count()
        };
        assert_eq!(admitted(&mut names, 0), 4);
        assert_eq!(admitted(&mut names, 3_600), 0, "no more without a restart");
        names.restarted(0);
        assert_eq!(admitted(&mut names, 3_600), 0);
        names.restarted(1);
        assert_eq!(admitted(&mut names, 3_601), 4);
        names.restarted(2);
        assert_eq!(admitted(&mut names, 3_602), 0, "not so soon");
        assert_eq!(admitted(&mut names, 3_616), 4);
    }
}
