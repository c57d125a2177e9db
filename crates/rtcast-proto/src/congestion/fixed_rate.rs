//! A controller that learns nothing: media leaves at one rate at most.

use std::time::{Duration, Instant};

use super::{CongestionController, Feedback, Pacer, SentPacket};
use crate::types::Bitrate;

/// What a connection may send at once, in bytes, so that the peer's socket buffer holds it. An ordinary frame leaves whole.
const BURST: u64 = 128 * 1024;

/// Target and pace are one number that does not change, whatever the peer reports. Default: 100 Mb/s, at which only what
/// exceeds a burst of 128 KiB is spread at all.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rtcast_proto::congestion::{CongestionController, FixedRate, SentPacket};
/// use rtcast_proto::{Bitrate, Ssrc};
///
/// let start = Instant::now();
/// let mut controller = FixedRate::new(Bitrate::from_kbps(8_000));
/// let burst = controller.budget(start);
/// controller.handle_sent(start, SentPacket::new(Ssrc(1), burst));
/// assert_eq!(controller.budget(start), 0);
/// assert_eq!(controller.budget(start + Duration::from_millis(10)), 10_000);
/// ```
#[derive(Debug, Clone)]
pub struct FixedRate {
    rate: Bitrate,
    pacer: Pacer,
}

impl FixedRate {
    /// That rate, and at least 8 b/s.
    pub fn new(rate: Bitrate) -> Self {
        let rate = rate.max(Bitrate::from_bps(8));
        Self { rate, pacer: Pacer::new(rate.as_bps() / 8, BURST) }
    }
}

impl Default for FixedRate {
    fn default() -> Self {
        Self::new(Bitrate::from_bps(100_000_000))
    }
}

impl CongestionController for FixedRate {
    fn budget(&mut self, now: Instant) -> usize {
        self.pacer.available(now)
    }

    fn wait_for(&self, bytes: usize) -> Duration {
        self.pacer.wait_for(bytes)
    }

    fn handle_sent(&mut self, _now: Instant, packet: SentPacket) {
        self.pacer.consume(packet.bytes);
    }

    fn handle_feedback(&mut self, _now: Instant, _feedback: Feedback<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn target_bitrate(&self) -> Bitrate {
        self.rate
    }

    fn pacing_rate(&self) -> Bitrate {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Ssrc;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut controller = FixedRate::new(Bitrate::from_bps(8_000_000));
        assert_eq!(controller.budget(start), 131_072);
        for _ in 0..128 {
            controller.handle_sent(start, SentPacket::new(Ssrc(1), 1_024));
        }
        assert_eq!(controller.budget(start), 0);
        assert_eq!(controller.wait_for(1_000), Duration::from_millis(1));
        assert_eq!(controller.budget(start + Duration::from_millis(50)), 50_000);
        assert_eq!(controller.budget(start + Duration::from_secs(5)), 131_072);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn no_report_changes_it() {
        let mut controller = FixedRate::default();
        let before = (controller.target_bitrate(), controller.pacing_rate());
        assert_eq!(before.0, Bitrate::from_bps(100_000_000));
        controller.handle_feedback(Instant::now(), Feedback::MaximumBitrate(Bitrate::from_bps(50_000)));
        assert_eq!((controller.target_bitrate(), controller.pacing_rate()), before);
        assert_eq!(controller.poll_timeout(), None);
    }

    #[test]
    fn a_rate_of_nothing_does_not_divide_by_nothing() {
        let controller = FixedRate::new(Bitrate::from_bps(0));
        assert_eq!(controller.target_bitrate(), Bitrate::from_bps(8));
        assert_eq!(controller.wait_for(1_000), Duration::ZERO, "the burst is there");
    }
}
