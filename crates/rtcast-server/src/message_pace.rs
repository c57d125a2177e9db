//! How fast a viewer's messages are read.

use std::time::Duration;

use tokio::time::Instant;

/// Messages that are read at once: an offer with all its candidates, several times over.
const BURST: u32 = 200;

/// The time between two messages on the average. Perfect negotiation at its wildest, with both sides offering all the time
/// and telling each candidate, stays below a third of that.
const INTERVAL: Duration = Duration::from_millis(20);

/// The pace of one WebSocket, by the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug)]
pub(crate) struct MessagePace {
    /// When all that was read would have been, had it come at the average.
    paid_until: Instant,
}

impl MessagePace {
    /// Nothing was read.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { paid_until: now }
    }

    /// When the next message may be read.
    pub(crate) fn ready_at(&self) -> Instant {
        self.paid_until.checked_sub(INTERVAL * BURST).unwrap_or(self.paid_until)
    }

    /// One was read.
    pub(crate) fn count(&mut self, now: Instant) {
        self.paid_until = self.paid_until.max(now) + INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_a_flood_at_its_pace() {
        let start = Instant::now() + Duration::from_secs(3_600);
        let mut pace = MessagePace::new(start);
        let mut read = 0;
        let mut burst = 0;
        for millisecond in 0..10_000 {
            let now = start + Duration::from_millis(millisecond);
            while pace.ready_at() <= now {
                pace.count(now);
                read += 1;
            }
            burst = if millisecond == 0 { read } else { burst };
        }
        assert_eq!(burst, 201);
        assert!((695..=702).contains(&read), "{read} in ten seconds");
    }
}
