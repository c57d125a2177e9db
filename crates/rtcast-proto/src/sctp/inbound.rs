//! Which chunks came, and what is said about them (RFC 9260 §6.2, §6.7).

use std::time::{Duration, Instant};

use super::sequence::{RangeSet, extend};

/// How long an acknowledgement may wait for data to go with. RFC 9260 §6.2 allows 200 ms.
const DELAY: Duration = Duration::from_millis(20);

/// Numbers further ahead cannot be named in an acknowledgement.
const MOST_AHEAD: u64 = 65_000;

/// Gaps that are remembered; whatever would make more is dropped.
const MOST_GAPS: usize = 1_000;

/// Repetitions that an acknowledgement tells of.
const MOST_DUPLICATES: usize = 16;

/// How soon to acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    By(Instant),
    Now,
}

/// The numbers of the chunks that came.
#[derive(Debug)]
pub(super) struct Inbound {
    cumulative: u64,
    ahead: RangeSet,
    duplicates: Vec<u32>,
    due: Due,
    packets: u32,
}

/// What a number is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one.
    Next,
    /// Beyond a gap.
    Ahead,
    /// It came before.
    Duplicate,
    /// Too far ahead, or beyond too many gaps.
    Refused,
}

impl Inbound {
    /// Nothing has come; the first will be `first`.
    pub(super) fn new(first: u64) -> Self {
        Self {
            cumulative: first - 1,
            ahead: RangeSet::default(),
            duplicates: Vec::new(),
            due: Due::Nothing,
            packets: 0,
        }
    }

    /// The last number up to which all came.
    pub(super) const fn cumulative(&self) -> u64 {
        self.cumulative
    }

    /// Whether something came beyond what is missing.
    pub(super) fn has_gaps(&self) -> bool {
        !self.ahead.is_empty()
    }

    pub(super) const fn extend(&self, wire: u32) -> u64 {
        extend(self.cumulative, wire)
    }

    /// What taking this number would mean; changes nothing.
    pub(super) fn judge(&self, tsn: u64) -> Arrival {
        if tsn <= self.cumulative || self.ahead.contains(tsn) {
            Arrival::Duplicate
        } else if tsn == self.cumulative + 1 {
            Arrival::Next
        } else if tsn > self.cumulative + MOST_AHEAD || self.ahead.len() >= MOST_GAPS {
            Arrival::Refused
        } else {
            Arrival::Ahead
        }
    }

    /// Takes a number that is new.
    pub(super) fn take(&mut self, tsn: u64) {
        if tsn == self.cumulative + 1 {
            self.cumulative = if self.ahead.is_empty() { tsn } else { self.ahead.advance(tsn) };
        } else {
            self.ahead.insert(tsn);
        }
    }

    /// Remembers a repetition, which is told at once (RFC 9260 §6.2).
    pub(super) fn duplicate(&mut self, tsn: u64) {
        if self.duplicates.len() < MOST_DUPLICATES {
            self.duplicates.push(tsn as u32);
        }
        self.due = Due::Now;
    }

    /// The peer will not send what is missing up to this number. Returns whether that is news.
    pub(super) fn forward(&mut self, tsn: u64) -> bool {
        let news = tsn > self.cumulative;
        if news {
            self.cumulative = self.ahead.advance(tsn);
        }
        self.due = Due::Now;
        news
    }

    /// A packet with data has been taken: RFC 9260 §6.2 and §6.7 say how soon it is acknowledged.
    pub(super) fn packet_done(&mut self, now: Instant, immediate: bool) {
        self.packets += 1;
        if immediate || self.packets >= 2 || !self.ahead.is_empty() {
            self.due = Due::Now;
        } else if self.due == Due::Nothing {
            self.due = Due::By(now + DELAY);
        }
    }

    /// Acknowledge with the next packet, whatever else it holds.
    pub(super) const fn acknowledge_now(&mut self) {
        self.due = Due::Now;
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.due {
            Due::By(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.due = Due::Now;
        }
    }

    /// Whether a packet must go out for the acknowledgement alone.
    pub(super) fn is_due(&self) -> bool {
        self.due == Due::Now
    }

    /// Whether an acknowledgement should go with whatever is sent.
    pub(super) fn is_pending(&self) -> bool {
        self.due != Due::Nothing
    }

    /// Writes the body of a SACK of at most `room` bytes (RFC 9260 §3.3.4).
    pub(super) fn write(&mut self, body: &mut Vec<u8>, window: u32, room: usize) {
        body.extend_from_slice(&(self.cumulative as u32).to_be_bytes());
        body.extend_from_slice(&window.to_be_bytes());
        let most = room.saturating_sub(12) / 4;
        let duplicates = self.duplicates.len().min(most / 2);
        let gaps = self.ahead.len().min(most - duplicates);
        body.extend_from_slice(&(gaps as u16).to_be_bytes());
        body.extend_from_slice(&(duplicates as u16).to_be_bytes());
        for (start, end) in self.ahead.iter().take(gaps) {
            for number in [start, end] {
                body.extend_from_slice(&((number - self.cumulative) as u16).to_be_bytes());
            }
        }
        for duplicate in self.duplicates.drain(..).take(duplicates) {
            body.extend_from_slice(&duplicate.to_be_bytes());
        }
        self.due = Due::Nothing;
        self.packets = 0;
    }
}
