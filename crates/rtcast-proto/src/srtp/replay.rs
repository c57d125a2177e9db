//! The replay window (RFC 3711 §3.3.2).

use crate::types::Ssrc;

/// The window's width in packets. RFC 3711 §3.3.2 asks for at least 64; but where a lost packet is sent again as it was, it
/// comes a round trip or two behind those that followed it, which at some megabits a second are hundreds.
const WIDTH: u64 = 1_024;

/// The bits of the window, and a word more, which is being filled.
const WORDS: usize = WIDTH as usize / 64 + 1;

/// The windows of a peer's streams. They are few, so that a list finds one sooner than a table.
#[derive(Debug, Default)]
pub(super) struct ReplayWindows(Vec<(Ssrc, ReplayWindow)>);

impl ReplayWindows {
    pub(super) fn get(&self, ssrc: Ssrc) -> Option<&ReplayWindow> {
        self.0.iter().find(|(of, _)| *of == ssrc).map(|(_, window)| window)
    }

    pub(super) fn first(&self) -> Option<&ReplayWindow> {
        self.0.first().map(|(_, window)| window)
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Notes an index whose packet has been authenticated.
    pub(super) fn accept(&mut self, ssrc: Ssrc, index: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == ssrc) {
            Some((_, window)) => window.accept(index),
            None => {
                let mut window = ReplayWindow::default();
                window.accept(index);
                self.0.reserve_exact(1);
                self.0.push((ssrc, window));
            }
        }
    }
}

/// Which of the latest indices were seen: a bit for each, in words that are used in turn (RFC 6479).
#[derive(Debug, Clone, Default)]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether a packet of this index may still be accepted.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        let Some(highest) = self.highest.filter(|highest| index <= *highest) else { return true };
        let (word, bit) = place(index);
        highest - index < WIDTH && self.seen[word] & bit == 0
    }

    /// Notes an index whose packet has been authenticated.
    pub(super) fn accept(&mut self, index: u64) {
        let highest = self.highest.unwrap_or(index);
        if index > highest {
            // What those words told is out of the window.
            let passed = (index / 64 - highest / 64).min(WORDS as u64);
            for step in 0..passed {
                self.seen[place(index - 64 * step).0] = 0;
            }
        } else if highest - index >= WIDTH {
            return;
        }
        self.highest = Some(highest.max(index));
        let (word, bit) = place(index);
        self.seen[word] |= bit;
    }
}

/// The word and the bit of an index.
const fn place(index: u64) -> (usize, u64) {
    ((index / 64 % WORDS as u64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_fresh_once_and_within_the_window() {
        let mut window = ReplayWindow::default();
        assert!(window.is_fresh(5));
        window.accept(5);
        assert!(!window.is_fresh(5));
        assert!(window.is_fresh(4));
        window.accept(1_200);
        assert!(!window.is_fresh(176), "older than the window");
        assert!(window.is_fresh(177));
        window.accept(177);
        assert!(!window.is_fresh(177));
        window.accept(9_000);
        assert!(window.is_fresh(8_999) && !window.is_fresh(1_200));
    }

    #[test]
    fn it_knows_what_a_set_of_all_indices_knows() {
        let mut random = 7_u64;
        let mut window = ReplayWindow::default();
        let mut seen = std::collections::HashSet::new();
        let mut highest = 70_000_u64;
        window.accept(highest);
        seen.insert(highest);
        for _ in 0..200_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let step = random >> 33;
            let index = match step % 16 {
                // Mostly what lies around the newest; now and then a leap.
                0 => highest + step % 3_000,
                1..=7 => highest + step % 4,
                _ => highest - step % 1_300,
            };
            let fresh = index > highest || highest - index < WIDTH && !seen.contains(&index);
            assert_eq!(window.is_fresh(index), fresh, "{index} at {highest}");
            if fresh {
                window.accept(index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }
}
