//! How long things took: counts in buckets, so that a million values cost no more than a hundred.

use std::time::Duration;

use hdrhistogram::Histogram as Counts;

/// What is above two minutes, in microseconds, counts as that.
const GREATEST: u64 = 1 << 27;
/// One significant figure: each power of two is cut into sixteen buckets, so that a quantile is off by a sixteenth at most.
const SIGNIFICANT_FIGURES: u8 = 1;

/// Counts of durations in microseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Histogram {
    /// None until the first value: most viewers have no use for it.
    counts: Option<Counts<u32>>,
    most: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.counts().saturating_record(micros);
        self.most = self.most.max(micros);
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        if let Some(counts) = &other.counts {
            self.counts().add(counts).expect("all have the same bounds");
            self.most = self.most.max(other.most);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.counts.is_none()
    }

    /// The value below which this share of all values lies; zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let value = self.counts.as_ref().map_or(0, |counts| counts.value_at_quantile(share));
        // The last bucket holds all that is above it.
        Duration::from_micros(if value >= GREATEST { self.most } else { value.min(self.most) })
    }

    pub(crate) const fn most(&self) -> Duration {
        Duration::from_micros(self.most)
    }

    fn counts(&mut self) -> &mut Counts<u32> {
        self.counts.get_or_insert_with(|| {
            Counts::new_with_bounds(1, GREATEST, SIGNIFICANT_FIGURES).expect("the bounds are in order")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_to_a_sixteenth() {
        for micros in
            (0..70_000).step_by(7).chain((1..27).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
        {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(micros));
            assert_eq!(histogram.quantile(0.5), Duration::from_micros(micros), "never more than the most");
            histogram.record(Duration::from_secs(300));
            let told = histogram.quantile(0.5).as_micros() as u64;
            assert!(told >= micros && told - micros <= micros / 16 + 1, "{micros} {told}");
        }
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
