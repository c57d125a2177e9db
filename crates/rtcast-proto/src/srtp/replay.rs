//! The replay window (RFC 3711 §3.3.2).

use crate::types::Ssrc;

/// The window's width in packets; RFC 3711 §3.3.2 asks for at least 64.
const WIDTH: u64 = 128;

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

/// Which of the latest indices were seen.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    seen: u128,
}

impl ReplayWindow {
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether a packet of this index may still be accepted.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let age = highest - index;
                age < WIDTH && self.seen & (1 << age) == 0
            }
            _ => true,
        }
    }

    /// Notes an index whose packet has been authenticated.
    pub(super) fn accept(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                let age = highest - index;
                if age < WIDTH {
                    self.seen |= 1 << age;
                }
            }
            Some(highest) => {
                let ahead = index - highest;
                self.seen = if ahead < WIDTH { self.seen << ahead | 1 } else { 1 };
                self.highest = Some(index);
            }
            None => {
                self.seen = 1;
                self.highest = Some(index);
            }
        }
    }
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
        window.accept(200);
        assert!(!window.is_fresh(72), "older than the window");
        assert!(window.is_fresh(73));
        window.accept(73);
        assert!(!window.is_fresh(73));
        window.accept(1_000);
        assert!(window.is_fresh(999) && !window.is_fresh(200));
    }
}
