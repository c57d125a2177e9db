//! How fast a connection's packets may leave: a bucket of bytes that fills with time.

use std::time::{Duration, Instant};

/// Spreads bursts. An ordinary frame fits the bucket and leaves at once; what a late joiner must catch up with does not.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    bytes_per_second: u64,
    burst: u64,
    level: u64,
    updated: Option<Instant>,
}

impl Pacer {
    /// A bucket of `burst` bytes, full at first, that takes `bytes_per_second`.
    pub(crate) const fn new(bytes_per_second: u64, burst: u64) -> Self {
        Self { bytes_per_second, burst, level: burst, updated: None }
    }

    /// Goes on with another rate and brim.
    pub(crate) const fn set_rate(&mut self, bytes_per_second: u64, burst: u64) {
        self.bytes_per_second = bytes_per_second;
        self.burst = burst;
    }

    /// The bytes that may leave now.
    pub(crate) fn available(&mut self, now: Instant) -> usize {
        let updated = *self.updated.get_or_insert(now);
        let elapsed = now.saturating_duration_since(updated);
        let grown = (elapsed.as_micros() as u64).saturating_mul(self.bytes_per_second) / 1_000_000;
        if grown > 0 || self.level == self.burst {
            self.level = self.level.saturating_add(grown).min(self.burst);
            self.updated = Some(now);
        }
        self.level as usize
    }

    /// Takes bytes that have left.
    pub(crate) const fn consume(&mut self, bytes: usize) {
        self.level = self.level.saturating_sub(bytes as u64);
    }

    /// How long until `bytes` may leave.
    pub(crate) fn wait_for(&self, bytes: usize) -> Duration {
        let missing = (bytes as u64).min(self.burst).saturating_sub(self.level);
        Duration::from_micros((missing * 1_000_000).div_ceil(self.bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn a_spent_bucket_fills_at_its_rate_and_not_over_its_brim() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000_000, 10_000);
        assert_eq!(pacer.available(start), 10_000);
        pacer.consume(10_000);
        assert_eq!(pacer.available(start), 0);
        assert_eq!(pacer.wait_for(1_000), Duration::from_millis(1));
        assert_eq!(pacer.available(start + Duration::from_millis(3)), 3_000);
        assert_eq!(pacer.available(start + Duration::from_secs(9)), 10_000);
    }
}
