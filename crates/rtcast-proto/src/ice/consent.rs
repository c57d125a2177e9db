//! Consent on the pair in use (RFC 7675), while ICE has nothing else to find out.

use std::time::{Duration, Instant};

use super::check::{CheckRequest, Transaction};
use super::{IceCredentials, IceRole, SelectedPair};

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
    next: Instant,
    sent_at: Option<Instant>,
    /// The check that waits for its answer.
    open: Option<(Transaction, Instant)>,
    patience: Duration,
}

/// What a check says of both sides.
pub(super) struct Sides<'a> {
    pub(super) theirs: &'a IceCredentials,
    pub(super) ours: &'a IceCredentials,
    pub(super) role: IceRole,
    pub(super) tie_breaker: u64,
}

impl Consent {
    /// Begins, one interval from now, by `random`: connections that begin together do not check together for ever.
    /// `priority` is what a peer would give an unknown address of ours.
    pub(super) fn new(
        now: Instant,
        pair: SelectedPair,
        priority: u32,
        round_trip_time: Option<Duration>,
        random: &[u8; 20],
    ) -> Self {
        let patience = round_trip_time.map_or(PATIENCE, patience);
        Self { pair, priority, next: now + interval(random), sent_at: None, open: None, patience }
    }

    /// When it has to be told the time.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.open.map_or(self.next, |(_, sent_at)| sent_at + self.patience)
    }

    /// When the check was sent for which no answer has come in time, if there is one.
    pub(super) fn in_vain_since(&self, now: Instant) -> Option<Instant> {
        self.open.map(|(_, sent_at)| sent_at).filter(|sent_at| *sent_at + self.patience <= now)
    }

    /// Whether the next check is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.open.is_none() && self.next <= now
    }

    /// The next check. Its name comes from `random`, which nobody foretells and which never comes again: by RFC 7675 §5.1 not
    /// even the peer may name a check that it has not received.
    pub(super) fn check(&mut self, now: Instant, sides: &Sides<'_>, random: &[u8; 20]) -> Vec<u8> {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&random[..12]);
        self.open = Some((transaction, now));
        self.sent_at = Some(now);
        self.next = now + interval(random);
        let request = CheckRequest {
            transaction,
            usernames: (&sides.theirs.username_fragment, &sides.ours.username_fragment),
            priority: self.priority,
            role: sides.role,
            tie_breaker: sides.tie_breaker,
            password: &sides.theirs.password,
        };
        request.write()
    }

    /// Has the next check go out at once, unless the last one went just now. Returns whether it does.
    pub(super) fn hasten(&mut self, now: Instant) -> bool {
        let rested = self.sent_at.is_none_or(|at| now.saturating_duration_since(at) >= PATIENCE);
        let hastens = rested && self.open.is_none() && self.next > now;
        if hastens {
            self.next = now;
        }
        hastens
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
        self.patience = patience(round_trip_time);
        Some(round_trip_time)
    }
}

fn patience(round_trip_time: Duration) -> Duration {
    (round_trip_time * 2).clamp(PATIENCE, PATIENCE * 3)
}

/// The time to the next check, by the last of these bytes.
fn interval(random: &[u8; 20]) -> Duration {
    let part = f64::from(u16::from_be_bytes([random[18], random[19]])) / f64::from(u16::MAX);
    INTERVAL.mul_f64(0.4f64.mul_add(part, 0.8))
}
