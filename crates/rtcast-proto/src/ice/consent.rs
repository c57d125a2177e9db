//! Consent on the pair in use (RFC 7675), while ICE has nothing else to find out.

use std::time::{Duration, Instant};

use super::IceRole;
use super::SelectedPair;
use super::check::{self, CheckRequest, Transaction};

/// RFC 7675 §5.1: checks are 5 s apart on average, each 0.8 to 1.2 times that.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long an answer is waited for, before it is asked what has become of all the pairs.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a STUN message of a settled pair came to, which changes nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// The peer asked, and this is the answer.
    Answer(SelectedPair, Vec<u8>),
    /// The peer gave its consent anew.
    Consented,
}

/// Asks the peer of one pair for its consent, again and again.
pub(super) struct Consent {
    pub(super) pair: SelectedPair,
    priority: u32,
    checks: u32,
    next: Instant,
    /// The check that waits for its answer.
    open: Option<(Transaction, Instant)>,
    patience: Duration,
}

impl Consent {
    /// Begins, one interval from now. `priority` is what a peer would give an unknown address of ours.
    pub(super) fn new(
        now: Instant,
        pair: SelectedPair,
        priority: u32,
        round_trip_time: Option<Duration>,
        password: &str,
    ) -> Self {
        // Connections that begin together do not check together for ever.
        let first = check::derive(password, b"first check", 0);
        let mut consent = Self { pair, priority, checks: 0, next: now, open: None, patience: PATIENCE };
        consent.next = now + interval(&first);
        consent.patience = round_trip_time.map_or(PATIENCE, |time| (time * 2).clamp(PATIENCE, PATIENCE * 3));
        consent
    }

    /// When it has to be told the time.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.open.map_or(self.next, |(_, sent_at)| sent_at + self.patience)
    }

    /// When the check was sent for which no answer has come in time, if there is one.
    pub(super) fn in_vain_since(&self, now: Instant) -> Option<Instant> {
        self.open.map(|(_, sent_at)| sent_at).filter(|sent_at| *sent_at + self.patience <= now)
    }

    /// The next check, if it is due.
    pub(super) fn check(
        &mut self,
        now: Instant,
        usernames: (&str, &str),
        role: IceRole,
        tie_breaker: u64,
        passwords: (&str, &str),
    ) -> Option<Vec<u8>> {
        if self.open.is_some() || self.next > now {
            return None;
        }
        let (theirs, ours) = passwords;
        self.checks = self.checks.wrapping_add(1);
        // RFC 8489 §5: nobody who is not on the path may foretell it.
        let random = check::derive(ours, b"consent", self.checks);
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&random[..12]);
        self.open = Some((transaction, now));
        self.next = now + interval(&random);
        let priority = self.priority;
        Some(CheckRequest { transaction, usernames, priority, role, tie_breaker, password: theirs }.write())
    }

    /// Has the next check go out at once.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.next = self.next.min(now);
    }

    /// Whether a check waits for its answer.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether this names the check that waits.
    pub(super) fn awaits(&self, transaction: &Transaction) -> bool {
        self.open.is_some_and(|(open, _)| open == *transaction)
    }

    /// The answer has come. Returns how long it took.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let (_, sent_at) = self.open.take()?;
        let round_trip_time = now.saturating_duration_since(sent_at);
        self.patience = (round_trip_time * 2).clamp(PATIENCE, PATIENCE * 3);
        Some(round_trip_time)
    }
}

/// The time to the next check, by the last of these bytes.
fn interval(random: &[u8; 20]) -> Duration {
    let part = f64::from(u16::from_be_bytes([random[18], random[19]])) / f64::from(u16::MAX);
    INTERVAL.mul_f64(0.4f64.mul_add(part, 0.8))
}
