//! What a receiver notes for transport-wide feedback.

use std::collections::VecDeque;
use std::time::Instant;

use super::transport_feedback::{ARRIVAL_TICK_US, TransportFeedback};
use crate::types::{SequenceNumber, Ssrc};

/// Packets that wait to be reported; of more, the oldest are not reported.
const MAX_PACKETS: usize = 4_096;

/// Packets in one report, so that it stays below the size of a datagram.
const MAX_REPORTED: usize = 400;

/// When the packets of a transport arrived that were not reported yet.
#[derive(Debug)]
pub struct ArrivalLog {
    start: Instant,
    /// The number of the first packet that was not reported, counted on over the turns of the 16 bits.
    base: Option<u64>,
    arrivals: VecDeque<Option<Instant>>,
    count: u8,
}

impl ArrivalLog {
    /// An empty log; `start` is the zero of its clock.
    pub fn new(start: Instant) -> Self {
        Self { start, base: None, arrivals: VecDeque::new(), count: 0 }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Notes a packet. One that was reported as missing before is not reported again, and one that came twice counts
    /// as it came first.
    pub fn record(&mut self, now: Instant, number: SequenceNumber) {
        let base = *self.base.get_or_insert(1 << 16 | u64::from(number.0));
        // The number nearest to the one that is expected next.
        let expected = base + self.arrivals.len() as u64;
        let offset = number.0.wrapping_sub(expected as u16) as i16;
        let Some(place) = expected.checked_add_signed(offset.into()).and_then(|number| number.checked_sub(base)) else {
            return;
        };
        let place = place as usize;
        if place >= self.arrivals.len() {
            self.arrivals.resize(place + 1, None);
        }
        self.arrivals[place].get_or_insert(now);
        let excess = self.arrivals.len().saturating_sub(MAX_PACKETS);
        self.arrivals.drain(..excess);
        self.base = Some(base + excess as u64);
    }

    /// Takes the next report, if there is something to report. What does not fit into one comes with the next.
    pub fn report(&mut self, media: Ssrc) -> Option<TransportFeedback> {
        let base = self.base?;
        let ticks =
            |at: &Instant| (at.saturating_duration_since(self.start).as_micros() / u128::from(ARRIVAL_TICK_US)) as i64;
        let first = self.arrivals.iter().flatten().next().map(ticks)?;
        let reference = first / 256;
        let mut time = reference * 256;
        let mut arrivals = Vec::new();
        for arrival in self.arrivals.iter().take(MAX_REPORTED) {
            let Some(at) = arrival else {
                arrivals.push(None);
                continue;
            };
            // A pause that two bytes cannot tell begins another report.
            let Ok(delta) = i16::try_from(ticks(at) - time) else { break };
            time = ticks(at);
            arrivals.push(Some(delta));
        }
        // What follows the last arrival may still come.
        while arrivals.last().is_some_and(Option::is_none) && arrivals.len() == self.arrivals.len() {
            arrivals.pop();
        }
        self.arrivals.drain(..arrivals.len());
        self.base = Some(base + arrivals.len() as u64);
        let count = self.count;
        self.count = count.wrapping_add(1);
        // The clock wraps with its 24 bits.
        let reference_time = (reference as i32) << 8 >> 8;
        Some(TransportFeedback { media, base: SequenceNumber(base as u16), reference_time, count, arrivals })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn times(feedback: &TransportFeedback) -> Vec<Option<i64>> {
        feedback.arrival_times().map(|time| time.map(|ticks| ticks / 4)).collect()
    }

    #[test]
    fn arrivals_are_reported_once_and_gaps_with_them() {
        let start = start();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut log = ArrivalLog::new(start);
        assert!(log.report(Ssrc(1)).is_none());
        log.record(at(1_000), SequenceNumber(65_534));
        log.record(at(1_003), SequenceNumber(0));
        log.record(at(1_002), SequenceNumber(65_535));
        log.record(at(1_020), SequenceNumber(3));
        log.record(at(1_021), SequenceNumber(3));
        let first = log.report(Ssrc(1)).unwrap();
        assert_eq!((first.base, first.count), (SequenceNumber(65_534), 0));
        assert_eq!(times(&first), [Some(1_000), Some(1_002), Some(1_003), None, None, Some(1_020)]);
        assert!(log.is_empty() && log.report(Ssrc(1)).is_none());

        log.record(at(1_050), SequenceNumber(2));
        assert!(log.is_empty(), "it was reported missing");
        log.record(at(1_060), SequenceNumber(4));
        let second = log.report(Ssrc(1)).unwrap();
        assert_eq!((second.base, second.count, times(&second)), (SequenceNumber(4), 1, vec![Some(1_060)]));
    }

    #[test]
    fn a_long_pause_begins_another_report() {
        let start = start();
        let mut log = ArrivalLog::new(start);
        log.record(start, SequenceNumber(7));
        log.record(start + Duration::from_secs(60), SequenceNumber(8));
        let reports: Vec<_> = std::iter::from_fn(|| log.report(Ssrc(1))).collect();
        assert_eq!(reports.iter().map(times).collect::<Vec<_>>(), [vec![Some(0)], vec![Some(60_000)]]);
        assert_eq!(reports[1].base, SequenceNumber(8));
    }

    #[test]
    fn what_is_never_asked_for_takes_no_memory_without_end() {
        let start = start();
        let mut log = ArrivalLog::new(start);
        for number in 0..200_000u32 {
            log.record(start, SequenceNumber(number as u16));
            assert!(log.arrivals.len() <= MAX_PACKETS);
        }
        log.record(start, SequenceNumber((200_000u32 + 30_000) as u16));
        assert_eq!(log.arrivals.len(), MAX_PACKETS);
        let reported: usize = std::iter::from_fn(|| log.report(Ssrc(1))).map(|report| report.arrivals.len()).sum();
        assert_eq!(reported, MAX_PACKETS);
    }
}
