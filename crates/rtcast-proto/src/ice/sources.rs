//! The peer's addresses: which of them it has proven to be its own, and what may be sent to the others.
//!
//! A peer may name any address, and may send from any, in the name of somebody else. So nothing but checks goes to an
//! address before it has answered one, and of those only a few: this agent is no weapon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::CheckPace;
use super::{IceError, SelectedPair};

/// Addresses that have not answered a check yet; of those that were heard from the oldest gives way to the next.
pub(super) const MAX_UNPROVEN: usize = 20;

/// Addresses that have. The oldest that is not in use gives way.
const MAX_PROVEN: usize = 16;

/// A pair on which nothing has come for so long has been given up by the agent.
const PAIR_LASTS: Duration = Duration::from_secs(40);

/// Addresses that were heard from for the first time: so many at once, and one more a second.
const MAX_NEW: u32 = 20;

/// Checks to an address from which nothing has come.
const MAX_CHECKS: u32 = 12;

/// Checks to all such addresses of a session: so many at once, and one more a second. They weigh no more than three times
/// what a description weighs that names all these addresses.
const MAX_CHECKS_OF_ALL: u32 = 150;

/// What goes to an unproven address is at most so many times what came from there.
const AMPLIFICATION: u64 = 3;

/// What is to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// It leaves.
    Now,
    /// It leaves then, for there are others before it.
    At(Instant),
    /// It may not be sent.
    Never,
}

/// What is to become of a request from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is taken.
    Taken,
    /// It is taken, and this address is forgotten for it.
    Instead(SocketAddr),
    /// There were too many.
    Refused,
}

struct Source {
    address: SocketAddr,
    /// The peer has named it in a candidate.
    signalled: bool,
    proven: bool,
    /// It was proven by UDP, and not by a TCP connection, whose ports are others.
    by_udp: bool,
    /// Bytes from there that were authentic, and bytes that went there before it was proven.
    received: u64,
    sent: u64,
    checks: u32,
}

impl Source {
    const fn new(address: SocketAddr, signalled: bool) -> Self {
        Self { address, signalled, proven: false, by_udp: false, received: 0, sent: 0, checks: 0 }
    }
}

/// So many at once, and one more a second.
struct Allowance {
    left: u32,
    most: u32,
    since: Option<Instant>,
}

impl Allowance {
    const fn new(most: u32) -> Self {
        Self { left: most, most, since: None }
    }

    /// Whether there is one.
    fn is_left(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            self.left = self.left.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX)).min(self.most);
            self.since = Some(since + Duration::from_secs(seconds));
        }
        self.left > 0
    }

    const fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// The peer's addresses, in the order in which they became known.
pub(super) struct Sources {
    list: Vec<Source>,
    heard_pairs: Vec<(SelectedPair, Instant)>,
    new: Allowance,
    checks: Allowance,
    pace: Option<Arc<CheckPace>>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            heard_pairs: Vec::new(),
            new: Allowance::new(MAX_NEW),
            checks: Allowance::new(MAX_CHECKS_OF_ALL),
            pace: None,
        }
    }
}

impl Sources {
    pub(super) fn set_pace(&mut self, pace: Arc<CheckPace>) {
        self.pace = Some(pace);
    }

    /// Whether the peer has answered a check from there by UDP.
    pub(super) fn is_proven_by_udp(&self, address: SocketAddr) -> bool {
        self.find(address).is_some_and(|source| source.by_udp)
    }

    /// Whether the peer has answered a check from there.
    pub(super) fn is_proven(&self, address: SocketAddr) -> bool {
        self.find(address).is_some_and(|source| source.proven)
    }

    /// Whether the peer has sent something authentic from there.
    pub(super) fn is_heard(&self, address: SocketAddr) -> bool {
        self.find(address).is_some_and(|source| source.proven || source.received > 0)
    }

    /// Whether the peer has named it or sent something authentic from there.
    pub(super) fn is_known(&self, address: SocketAddr) -> bool {
        self.find(address).is_some()
    }

    /// Takes an address that the peer has named.
    pub(super) fn signal(&mut self, address: SocketAddr, text: &str) -> Result<(), IceError> {
        if let Some(source) = self.find_mut(address) {
            source.signalled = true;
            return Ok(());
        }
        if self.unproven() >= MAX_UNPROVEN {
            let reason = format!("{MAX_UNPROVEN} addresses of the peer have yet to answer a check");
            return Err(IceError { candidate: text.to_owned(), reason });
        }
        self.list.push(Source::new(address, true));
        Ok(())
    }

    /// Asks whether an authentic request may be taken on this pair, of which there may be `most`. An address that is new
    /// takes the place of the oldest unproven one, if there are too many.
    pub(super) fn admit(&mut self, now: Instant, pair: SelectedPair, most: usize, in_use: &[SocketAddr]) -> Admission {
        if let Some((_, at)) = self.heard_pairs.iter_mut().find(|(heard, _)| *heard == pair) {
            *at = now;
            return Admission::Taken;
        }
        if self.heard_pairs.len() >= most {
            self.heard_pairs.retain(|(_, at)| now.saturating_duration_since(*at) < PAIR_LASTS);
        }
        let full = self.heard_pairs.len() >= most;
        if self.find(pair.remote).is_some() {
            if full {
                return Admission::Refused;
            }
            self.heard_pairs.push((pair, now));
            return Admission::Taken;
        }
        if !self.new.is_left(now) {
            return Admission::Refused;
        }
        self.new.take();
        let mut admission = Admission::Taken;
        if full || self.unproven() >= MAX_UNPROVEN {
            let heard = |address| self.heard_pairs.iter().any(|(pair, _)| pair.remote == address);
            let idle = |source: &&Source| !source.proven && !in_use.contains(&source.address);
            let oldest = self.list.iter().filter(idle).find(|source| !full || heard(source.address));
            let Some(oldest) = oldest.map(|source| source.address) else { return Admission::Refused };
            self.forget(oldest);
            admission = Admission::Instead(oldest);
        }
        self.heard_pairs.push((pair, now));
        self.list.push(Source::new(pair.remote, false));
        admission
    }

    /// Something authentic has come from there.
    pub(super) fn received(&mut self, address: SocketAddr, bytes: usize) {
        if let Some(source) = self.find_mut(address) {
            source.received += bytes as u64;
        }
    }

    /// A check was answered from there. Returns an address that is forgotten for it.
    pub(super) fn prove(&mut self, address: SocketAddr, by_udp: bool, in_use: &[SocketAddr]) -> Option<SocketAddr> {
        let source = self.find_mut(address)?;
        source.by_udp |= by_udp;
        if std::mem::replace(&mut source.proven, true) {
            return None;
        }
        if self.list.iter().filter(|source| source.proven).count() <= MAX_PROVEN {
            return None;
        }
        let idle = |source: &&Source| source.proven && source.address != address && !in_use.contains(&source.address);
        let oldest = self.list.iter().find(idle)?.address;
        self.forget(oldest);
        Some(oldest)
    }

    /// Asks for a message to be sent.
    pub(super) fn send(&mut self, now: Instant, address: SocketAddr, bytes: usize, check: bool) -> Sending {
        let Some(source) = self.list.iter_mut().find(|source| source.address == address) else {
            return Sending::Never;
        };
        if source.proven {
            return Sending::Now;
        }
        if source.sent + bytes as u64 <= source.received * AMPLIFICATION {
            source.sent += bytes as u64;
            return Sending::Now;
        }
        if !check || !source.signalled || source.checks >= MAX_CHECKS || !self.checks.is_left(now) {
            return Sending::Never;
        }
        let turn = self.pace.as_ref().map_or(Some(now), |pace| pace.take_turn(now));
        let Some(at) = turn else { return Sending::Never };
        self.checks.take();
        source.checks += 1;
        if at <= now { Sending::Now } else { Sending::At(at) }
    }

    /// Whether a check need not wait for its turn, which is given back: its address has been heard from meanwhile.
    pub(super) fn needs_no_turn(&mut self, turn: Instant, address: SocketAddr, bytes: usize) -> bool {
        let Some(source) = self.find_mut(address) else { return false };
        let within = source.sent + bytes as u64 <= source.received * AMPLIFICATION;
        if !source.proven && !within {
            return false;
        }
        source.sent += bytes as u64;
        if let Some(pace) = &self.pace {
            pace.give_back(turn);
        }
        true
    }

    fn forget(&mut self, address: SocketAddr) {
        self.list.retain(|source| source.address != address);
        self.heard_pairs.retain(|(pair, _)| pair.remote != address);
    }

    fn unproven(&self) -> usize {
        self.list.iter().filter(|source| !source.proven).count()
    }

    fn find(&self, address: SocketAddr) -> Option<&Source> {
        self.list.iter().find(|source| source.address == address)
    }

    fn find_mut(&mut self, address: SocketAddr) -> Option<&mut Source> {
        self.list.iter_mut().find(|source| source.address == address)
    }
}
