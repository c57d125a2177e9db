//! What was sent and is not acknowledged (RFC 9260 §6.2, §6.3, §7.2; RFC 3758 §3.5).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::chunk::{DATA_HEADER, FLAG_BEGIN, FLAG_END, FLAG_UNORDERED};
use super::rack::{Rack, Sending};
use super::sequence::RangeSet;

/// A selective acknowledgement names what it has by offsets of 16 bits from the cumulative number; more than this is
/// never outstanding, in chunks.
const MAX_OUTSTANDING: usize = 60_000;

/// A piece of a message, as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    pub(super) stream: u16,
    /// The message's sequence number or identifier on its stream.
    pub(super) number: u32,
    pub(super) fragment: u32,
    pub(super) ppid: u32,
    pub(super) flags: u8,
    pub(super) data: Bytes,
    /// Unique in the association.
    pub(super) message: u64,
    pub(super) max_retransmits: Option<u16>,
    pub(super) expires: Option<Instant>,
}

impl Fragment {
    /// What it counts in windows.
    fn cost(&self) -> usize {
        self.data.len() + DATA_HEADER
    }

    fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Lost,
    Acknowledged,
    Abandoned,
}

#[derive(Debug)]
struct Sent {
    fragment: Fragment,
    at: Instant,
    transmissions: u32,
    state: State,
    settled: bool,
}

/// What an acknowledgement brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sacked {
    /// Bytes that were acknowledged for the first time.
    pub(super) bytes: usize,
    /// Whether the cumulative number went on.
    pub(super) advanced: bool,
    /// How long the latest piece took that was sent only once.
    pub(super) round_trip: Option<Duration>,
    /// Bytes in flight before.
    pub(super) flight_before: usize,
    /// Whether it shows that a probe has repaired a loss.
    pub(super) probe_repaired: bool,
}

/// A piece that was sent again to ask what the peer has.
#[derive(Debug, Clone, Copy)]
struct Probe {
    tsn: u64,
    /// The number after the last that was sent by then.
    end: u64,
}

/// What is to be told about messages that are skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) point: u64,
    /// By stream and whether they are unordered, the last skipped message.
    pub(super) skipped: Vec<(u16, bool, u32)>,
}

#[derive(Debug)]
pub(super) struct RetransmissionQueue {
    sent: VecDeque<Sent>,
    /// The number of the first in `sent`.
    first: u64,
    acknowledged: RangeSet,
    lost: VecDeque<u64>,
    flight: usize,
    outstanding: usize,
    rack: Rack,
    recovery: Option<u64>,
    probe: Option<Probe>,
    forward_point: u64,
    /// Messages that were given up: stream and message. To be told to the queue of what is not sent yet.
    abandoned: Vec<(u16, u64)>,
    settled: Vec<(u16, usize)>,
    retransmitted: u64,
}

impl RetransmissionQueue {
    pub(super) fn new(first: u64) -> Self {
        Self {
            sent: VecDeque::new(),
            first,
            acknowledged: RangeSet::default(),
            lost: VecDeque::new(),
            flight: 0,
            outstanding: 0,
            rack: Rack::default(),
            recovery: None,
            probe: None,
            forward_point: first - 1,
            abandoned: Vec::new(),
            settled: Vec::new(),
            retransmitted: 0,
        }
    }

    pub(super) fn next_tsn(&self) -> u64 {
        self.first + self.sent.len() as u64
    }

    /// The last number that the peer has acknowledged with all before it.
    pub(super) const fn cumulative(&self) -> u64 {
        self.first - 1
    }

    pub(super) const fn flight(&self) -> usize {
        self.flight
    }

    /// Bytes in flight, and those that wait to be sent again.
    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub(super) const fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) const fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < MAX_OUTSTANDING
    }

    /// Takes a piece that is sent for the first time. Returns its number.
    pub(super) fn push(&mut self, now: Instant, fragment: Fragment) -> u64 {
        let tsn = self.next_tsn();
        self.flight += fragment.cost();
        self.outstanding += fragment.cost();
        self.rack.sent(Sending { tsn, transmission: 1, at: now });
        self.sent.push_back(Sent { fragment, at: now, transmissions: 1, state: State::InFlight, settled: false });
        tsn
    }

    /// Takes a number for a piece that is never sent, so that what was sent before it of its message can be skipped.
    pub(super) fn push_abandoned(&mut self, now: Instant, fragment: Fragment) {
        self.sent.push_back(Sent { fragment, at: now, transmissions: 1, state: State::Abandoned, settled: true });
    }

    pub(super) fn fragment(&self, tsn: u64) -> Option<&Fragment> {
        self.entry(tsn).map(|sent| &sent.fragment)
    }

    /// The next piece to send again.
    pub(super) fn next_lost(&mut self, now: Instant) -> Option<u64> {
        while let Some(&tsn) = self.lost.front() {
            match self.entry(tsn) {
                Some(sent) if sent.state == State::Lost && sent.fragment.expired(now) => self.abandon_at(tsn),
                Some(sent) if sent.state == State::Lost => return Some(tsn),
                _ => {}
            }
            self.lost.pop_front();
        }
        None
    }

    /// The last piece in flight, for a probe.
    pub(super) fn last_in_flight(&self) -> Option<u64> {
        let back = self.sent.iter().rev().take(64).position(|sent| sent.state == State::InFlight)?;
        Some(self.next_tsn() - 1 - back as u64)
    }

    /// Notes that a piece was sent again.
    pub(super) fn sent_again(&mut self, now: Instant, tsn: u64) {
        let Some(sent) = self.index(tsn).and_then(|at| self.sent.get_mut(at)) else { return };
        if sent.state == State::Lost {
            sent.state = State::InFlight;
            self.flight += sent.fragment.cost();
        }
        sent.at = now;
        sent.transmissions += 1;
        self.retransmitted += 1;
        self.rack.sent(Sending { tsn, transmission: sent.transmissions, at: now });
        if self.lost.front() == Some(&tsn) {
            self.lost.pop_front();
        }
    }

    /// Notes that a piece is sent again as a probe.
    pub(super) fn begin_probe(&mut self, tsn: u64) {
        self.probe = Some(Probe { tsn, end: self.next_tsn() });
    }

    /// Takes an acknowledgement: everything up to `cumulative`, and the ranges in `blocks`. `None` if it is out of date or
    /// acknowledges what was never sent.
    pub(super) fn handle_sack(
        &mut self,
        now: Instant,
        cumulative: u64,
        blocks: impl Iterator<Item = (u64, u64)>,
        least: Option<Duration>,
    ) -> Option<Sacked> {
        let next = self.next_tsn();
        if cumulative < self.cumulative() || cumulative >= next {
            return None;
        }
        let mut sacked =
            Sacked { flight_before: self.flight, advanced: cumulative > self.cumulative(), ..Sacked::default() };
        let mut latest: Option<(Instant, Duration)> = None;
        while self.first <= cumulative {
            self.acknowledge(now, self.first, least, &mut sacked, &mut latest);
            self.sent.pop_front();
            self.first += 1;
        }
        let mut acknowledged = std::mem::take(&mut self.acknowledged);
        acknowledged.remove_through(cumulative);
        for (start, end) in blocks {
            if start > cumulative && start <= end && end < next {
                acknowledged.insert_range(start, end, |from, to| {
                    for tsn in from..=to {
                        self.acknowledge(now, tsn, least, &mut sacked, &mut latest);
                    }
                });
            }
        }
        self.acknowledged = acknowledged;
        sacked.round_trip = latest.map(|(_, took)| took);
        if self.recovery.is_some_and(|end| cumulative >= end) {
            self.recovery = None;
            self.rack.recovered();
        }
        // RFC 8985 §7.4.2: what was sent after the probe has arrived, and the peer had nothing twice: without the probe it
        // would not have the piece.
        sacked.probe_repaired = self.probe.take_if(|probe| cumulative >= probe.end).is_some();
        Some(sacked)
    }

    /// The peer has had these more than once.
    pub(super) fn handle_duplicates(&mut self, mut tsns: impl Iterator<Item = u64>) {
        self.rack.duplicate();
        if self.probe.is_some_and(|probe| tsns.any(|tsn| tsn == probe.tsn)) {
            self.probe = None;
        }
    }

    /// Finds what was lost by now. Returns whether that begins a new recovery, and when to look again.
    pub(super) fn detect_losses(
        &mut self,
        now: Instant,
        least: Option<Duration>,
        smoothed: Option<Duration>,
    ) -> (bool, Option<Instant>) {
        let mut rack = std::mem::take(&mut self.rack);
        let mut lost = Vec::new();
        let live = |sending: &Sending| {
            self.entry(sending.tsn)
                .is_some_and(|sent| sent.state == State::InFlight && sent.transmissions == sending.transmission)
        };
        let again = rack.detect(now, self.recovery.is_some(), least, smoothed, live, |tsn| lost.push(tsn));
        self.rack = rack;
        let begins = !lost.is_empty() && self.recovery.is_none();
        for tsn in lost {
            self.lose(now, tsn);
        }
        if begins {
            // The window shrinks once for all that was lost.
            self.probe = None;
            self.recovery = Some(self.next_tsn() - 1);
        }
        (begins, again)
    }

    /// Nothing was heard for a whole timeout: everything counts as lost. `again` says that it is not the first in a row;
    /// then what the peer said it has beyond the cumulative number counts no more (RFC 9260 §6.2.1: it may renege).
    pub(super) fn handle_timeout(&mut self, now: Instant, again: bool) {
        self.recovery = None;
        self.probe = None;
        self.rack.clear();
        self.lost.clear();
        if again {
            self.acknowledged.clear();
        }
        for tsn in self.first..self.next_tsn() {
            let Some(sent) = self.index(tsn).and_then(|at| self.sent.get_mut(at)) else { break };
            match sent.state {
                State::InFlight => self.lose(now, tsn),
                State::Lost => self.lost.push_back(tsn),
                State::Acknowledged if again => {
                    sent.state = State::Lost;
                    self.outstanding += sent.fragment.cost();
                    self.lost.push_back(tsn);
                }
                State::Acknowledged | State::Abandoned => {}
            }
        }
    }

    /// Gives a message up that was sent in part.
    pub(super) fn abandon_message(&mut self, message: u64) {
        let last = self.sent.iter().rposition(|sent| sent.fragment.message == message);
        if let Some(at) = last {
            self.abandon_at(self.first + at as u64);
        }
    }

    /// Messages that were given up since the last call: stream and message.
    pub(super) fn take_abandoned(&mut self) -> Vec<(u16, u64)> {
        std::mem::take(&mut self.abandoned)
    }

    /// Bytes that were acknowledged or given up since the last call, by stream.
    pub(super) fn drain_settled(&mut self) -> std::vec::Drain<'_, (u16, usize)> {
        self.settled.drain(..)
    }

    /// Moves on the point up to where the peer need not wait any more (RFC 3758 §3.5 C1 and C2). Returns whether it moved.
    pub(super) fn advance_forward(&mut self) -> bool {
        let before = self.forward_point.max(self.cumulative());
        let mut at = before;
        self.forward_point = before;
        while let Some(sent) = self.entry(at + 1) {
            at += 1;
            match sent.state {
                State::Abandoned => self.forward_point = at,
                State::Acknowledged => {}
                State::InFlight | State::Lost => break,
            }
        }
        self.forward_point > before
    }

    /// Whether the peer still has to be told of messages that are skipped.
    pub(super) fn has_forward(&self) -> bool {
        self.forward_point > self.cumulative()
    }

    /// What is to be told about messages that are skipped, on at most `most` streams.
    pub(super) fn forward(&self, most: usize) -> Option<Forward> {
        let mut skipped = BTreeMap::new();
        let mut point = self.cumulative();
        for (tsn, sent) in (self.first..=self.forward_point).zip(&self.sent) {
            if sent.state == State::Abandoned {
                let key = (sent.fragment.stream, sent.fragment.flags & FLAG_UNORDERED != 0);
                if skipped.len() >= most && !skipped.contains_key(&key) {
                    break;
                }
                skipped.insert(key, sent.fragment.number);
                point = tsn;
            }
        }
        let skipped = skipped.into_iter().map(|((stream, unordered), number)| (stream, unordered, number)).collect();
        (point > self.cumulative()).then_some(Forward { point, skipped })
    }

    fn index(&self, tsn: u64) -> Option<usize> {
        usize::try_from(tsn.checked_sub(self.first)?).ok()
    }

    fn entry(&self, tsn: u64) -> Option<&Sent> {
        self.sent.get(self.index(tsn)?)
    }

    fn acknowledge(
        &mut self,
        now: Instant,
        tsn: u64,
        least: Option<Duration>,
        sacked: &mut Sacked,
        latest: &mut Option<(Instant, Duration)>,
    ) {
        let Some(sent) = self.index(tsn).and_then(|at| self.sent.get_mut(at)) else { return };
        let cost = sent.fragment.cost();
        match sent.state {
            State::Acknowledged | State::Abandoned => return,
            State::InFlight => self.flight -= cost,
            State::Lost => {}
        }
        self.outstanding -= cost;
        sacked.bytes += cost;
        sent.state = State::Acknowledged;
        settle(&mut self.settled, sent);
        let again = sent.transmissions > 1;
        if !again && latest.is_none_or(|(at, _)| sent.at >= at) {
            // RFC 9260 §6.3.1 C5: what was sent again tells nothing about the time that it took.
            *latest = Some((sent.at, now.saturating_duration_since(sent.at)));
        }
        self.rack.arrived(now, tsn, sent.at, again, least);
    }

    fn lose(&mut self, now: Instant, tsn: u64) {
        let Some(sent) = self.index(tsn).and_then(|at| self.sent.get_mut(at)) else { return };
        if sent.state != State::InFlight {
            return;
        }
        sent.state = State::Lost;
        self.flight -= sent.fragment.cost();
        let spent = sent.fragment.max_retransmits.is_some_and(|most| sent.transmissions > u32::from(most));
        if spent || sent.fragment.expired(now) {
            self.abandon_at(tsn);
        } else {
            self.lost.push_back(tsn);
        }
    }

    /// Gives up the message that this piece belongs to: all its pieces that are not acknowledged.
    fn abandon_at(&mut self, tsn: u64) {
        let Some(at) = self.index(tsn).filter(|at| *at < self.sent.len()) else { return };
        let (stream, message) = (self.sent[at].fragment.stream, self.sent[at].fragment.message);
        let mut complete = false;
        for place in (0..=at).rev() {
            if self.abandon_one(place, message) & FLAG_BEGIN != 0 {
                break;
            }
        }
        for place in at..self.sent.len() {
            if self.abandon_one(place, message) & FLAG_END != 0 {
                complete = true;
                break;
            }
        }
        if !complete {
            self.abandoned.push((stream, message));
        }
    }

    /// Gives up one piece if it is of that message. Returns its flags, or none if it is of another.
    fn abandon_one(&mut self, place: usize, message: u64) -> u8 {
        let Some(sent) = self.sent.get_mut(place).filter(|sent| sent.fragment.message == message) else { return 0 };
        let cost = sent.fragment.cost();
        match sent.state {
            State::InFlight => {
                self.flight -= cost;
                self.outstanding -= cost;
            }
            State::Lost => self.outstanding -= cost,
            State::Acknowledged | State::Abandoned => {}
        }
        // RFC 3758 §3.5 A3: a message is given up as a whole, whatever of it has arrived.
        sent.state = State::Abandoned;
        settle(&mut self.settled, sent);
        sent.fragment.flags
    }
}

fn settle(settled: &mut Vec<(u16, usize)>, sent: &mut Sent) {
    if std::mem::replace(&mut sent.settled, true) {
        return;
    }
    let (stream, bytes) = (sent.fragment.stream, sent.fragment.data.len());
    match settled.last_mut() {
        Some(last) if last.0 == stream => last.1 += bytes,
        _ => settled.push((stream, bytes)),
    }
}
