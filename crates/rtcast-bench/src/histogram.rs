//! How long things took: counts in buckets, so that a million values cost no more than a hundred.

use std::time::Duration;

/// Each power of two is cut into so many buckets; a quantile is then off by at most a sixteenth.
const PARTS: u64 = 16;
/// A value of 2^27 µs, about two minutes, falls into the last bucket, and so do all above.
const GREATEST_POWER: u64 = 27;
const BUCKETS: usize = ((GREATEST_POWER - 3) * PARTS) as usize;

/// Counts of durations in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Histogram {
    /// Empty until the first value.
    counts: Vec<u32>,
    total: u64,
    most: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let count = &mut self.counts[bucket(micros)];
        *count = count.saturating_add(1);
        self.total += 1;
        self.most = self.most.max(micros);
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The value below which this share of all values lies; zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= rank {
                return Duration::from_micros(upper_end(bucket).min(self.most));
            }
        }
        Duration::from_micros(self.most)
    }

    pub(crate) const fn most(&self) -> Duration {
        Duration::from_micros(self.most)
    }
}

/// Values below 16 have a bucket each; above, the highest bit chooses the sixteen, the four bits below it the bucket.
fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2());
    if power >= GREATEST_POWER {
        return BUCKETS - 1;
    }
    ((power - 3) * PARTS + (micros >> (power - 4)) % PARTS) as usize
}

/// The greatest value of a bucket.
const fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let power = bucket / PARTS + 3;
    ((PARTS + bucket % PARTS + 1) << (power - 4)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_at_most_a_sixteenth_wide() {
        for micros in (0..70_000).chain((1..27).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1])) {
            let end = upper_end(bucket(micros));
            assert!(end >= micros && end - micros <= micros / 16 + 1, "{micros} {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        let mut upper = Histogram::default();
        for milliseconds in 1..=100 {
            let half = if milliseconds <= 50 { &mut histogram } else { &mut upper };
            half.record(Duration::from_millis(milliseconds));
        }
        histogram.add(&upper);
        let near = |share: f64, expected: f64| {
            let value = histogram.quantile(share).as_secs_f64() * 1e3;
            assert!((value / expected - 1.0).abs() < 0.07, "{share}: {value}");
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
        assert_eq!(histogram.quantile(1.0), Duration::from_millis(100));
        assert_eq!(histogram.most(), Duration::from_millis(100));
    }
}
