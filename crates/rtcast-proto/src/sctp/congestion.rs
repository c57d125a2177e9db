//! The congestion window, the round-trip time and the timeout that follows from it (RFC 9260 §6.3, §7).

use std::time::Duration;

/// Where the timeout begins and between what it stays. RFC 9260 §16 recommends 1 s at first and at least; over DTLS
/// between browsers these are the usual values.
const RTO_INITIAL: Duration = Duration::from_millis(500);
const RTO_MIN: Duration = Duration::from_millis(400);
const RTO_MAX: Duration = Duration::from_secs(10);

/// The timer's granularity (RFC 9260 §6.3.1: G).
const GRANULARITY: Duration = Duration::from_millis(1);

/// The window at the beginning, in packets (RFC 6928 §2, which RFC 9260 §7.2.1 halves).
const INITIAL_WINDOW: usize = 10;

/// More than this is never in flight.
const MAX_WINDOW: usize = 16 << 20;

/// What an acknowledgement brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// Bytes that it acknowledged first.
    pub(super) bytes: usize,
    /// Bytes that were in flight before it.
    pub(super) flight_before: usize,
    /// Whether the cumulative number went on.
    pub(super) advanced: bool,
}

#[derive(Debug)]
pub(super) struct Congestion {
    mtu: usize,
    window: usize,
    threshold: usize,
    partial: usize,
    smoothed: Option<Duration>,
    variation: Duration,
    least: Option<Duration>,
    timeout: Duration,
    backoff: u32,
}

impl Congestion {
    pub(super) const fn new(mtu: usize) -> Self {
        Self {
            mtu,
            window: INITIAL_WINDOW * mtu,
            threshold: MAX_WINDOW,
            partial: 0,
            smoothed: None,
            variation: Duration::ZERO,
            least: None,
            timeout: RTO_INITIAL,
            backoff: 0,
        }
    }

    pub(super) const fn window(&self) -> usize {
        self.window
    }

    pub(super) const fn smoothed_round_trip(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The least round-trip time that was ever measured.
    pub(super) const fn least_round_trip(&self) -> Option<Duration> {
        self.least
    }

    /// How often the timeout has run out in a row.
    pub(super) const fn backoff(&self) -> u32 {
        self.backoff
    }

    /// The retransmission timeout, doubled for each time it ran out in a row.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.saturating_mul(1 << self.backoff.min(8)).min(RTO_MAX)
    }

    /// RFC 9260 §6.3.1.
    pub(super) fn measured(&mut self, round_trip: Duration) {
        self.least = Some(self.least.map_or(round_trip, |least| least.min(round_trip)));
        let smoothed = match self.smoothed {
            None => {
                self.variation = round_trip / 2;
                round_trip
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(round_trip)) / 4;
                (smoothed * 7 + round_trip) / 8
            }
        };
        self.smoothed = Some(smoothed);
        self.timeout = (smoothed + (self.variation * 4).max(GRANULARITY)).clamp(RTO_MIN, RTO_MAX);
        self.backoff = 0;
    }

    /// RFC 9260 §7.2.1 and §7.2.2: the window opens while it is used to the full and nothing was lost.
    pub(super) fn acknowledged(&mut self, acknowledged: Acknowledged, recovering: bool) {
        if acknowledged.advanced {
            self.backoff = 0;
        }
        let full = acknowledged.flight_before + self.mtu > self.window;
        if recovering || !full {
            return;
        }
        if self.window <= self.threshold {
            // RFC 9260 §7.2.1 counts whole bytes where the sender spreads its packets, as an acknowledgement per batch
            // would otherwise open the window by a packet only.
            self.window += acknowledged.bytes;
        } else {
            self.partial += acknowledged.bytes;
            if self.partial >= self.window {
                self.partial -= self.window;
                self.window += self.mtu;
            }
        }
        self.window = self.window.min(MAX_WINDOW);
    }

    /// RFC 9260 §7.2.3: something was lost, and others came through.
    pub(super) fn lost(&mut self) {
        self.threshold = (self.window / 2).max(4 * self.mtu);
        self.window = self.threshold;
        self.partial = 0;
    }

    /// RFC 9260 §7.2.3: nothing came through for a whole timeout.
    pub(super) fn timed_out(&mut self) {
        if self.backoff == 0 {
            self.threshold = (self.window / 2).max(4 * self.mtu);
        }
        self.window = self.mtu;
        self.partial = 0;
        self.backoff += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(bytes: usize, flight_before: usize) -> Acknowledged {
        Acknowledged { bytes, flight_before, advanced: true }
    }

    #[test]
    fn the_window_opens_closes_and_opens_again() {
        let mut congestion = Congestion::new(1_000);
        congestion.acknowledged(acknowledged(5_000, 3_000), false);
        assert_eq!(congestion.window(), 10_000, "not used to the full");
        congestion.acknowledged(acknowledged(10_000, 10_000), false);
        assert_eq!(congestion.window(), 20_000, "slow start doubles it");
        congestion.lost();
        assert_eq!(congestion.window(), 10_000);
        congestion.acknowledged(acknowledged(10_000, 10_000), true);
        assert_eq!(congestion.window(), 10_000, "not while something lost is repaired");
        congestion.acknowledged(acknowledged(10_000, 10_000), false);
        assert_eq!(congestion.window(), 20_000, "at the threshold it is still slow start");
        congestion.acknowledged(acknowledged(19_000, 20_000), false);
        assert_eq!(congestion.window(), 20_000);
        congestion.acknowledged(acknowledged(1_000, 20_000), false);
        assert_eq!(congestion.window(), 21_000, "a packet for each window");
        congestion.timed_out();
        assert_eq!(congestion.window(), 1_000);
    }

    #[test]
    fn the_timeout_follows_the_round_trip_and_doubles() {
        let mut congestion = Congestion::new(1_000);
        assert_eq!(congestion.timeout(), RTO_INITIAL);
        congestion.measured(Duration::from_millis(300));
        assert_eq!(congestion.timeout(), Duration::from_millis(900));
        congestion.timed_out();
        congestion.timed_out();
        assert_eq!(congestion.timeout(), Duration::from_millis(3_600));
        for _ in 0..100 {
            congestion.measured(Duration::from_millis(20));
        }
        assert_eq!(congestion.timeout(), RTO_MIN);
        for _ in 0..20 {
            congestion.timed_out();
        }
        assert_eq!(congestion.timeout(), RTO_MAX);
    }
}
