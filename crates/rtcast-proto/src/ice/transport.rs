//! The ICE transport: one or more generations of the agent, and the states that the W3C gives it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use is::stun::StunMessage;

use super::IceCredentials;
use super::Quiet;
use super::candidate::LocalCandidate;
use super::generation::Generation;
use super::pace::CheckPace;
use super::sources::{Admission, Sending, Sources};
use super::username::username_of;
use crate::sdp;

/// Restarts that overlap. Who restarts again and again before one succeeds loses those in between.
const MAX_GENERATIONS: usize = 4;

/// Checks whose answers are waited for. Older ones are given up.
const MAX_ASKED: usize = 128;

/// Checks that wait for their turn.
const MAX_HELD: usize = 100;

/// How long an answer is worth anything.
const ANSWER_LASTS: Duration = Duration::from_secs(40);

/// A check that was sent.
struct Asked {
    transaction: [u8; 12],
    remote: SocketAddr,
    at: Instant,
}

/// A candidate that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ICE candidate `{candidate}` cannot be used: {reason}")]
pub struct IceError {
    /// The candidate's text.
    pub candidate: String,
    /// Why.
    pub reason: String,
}

/// Who nominates (RFC 8445 §6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceRole {
    /// Nominates the pair.
    Controlling,
    /// Follows.
    Controlled,
}

/// W3C's `RTCIceTransportPolicy`: which of our addresses may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IceTransportPolicy {
    /// All.
    #[default]
    All,
    /// Only relayed ones, so that the peer does not learn where we are.
    Relay,
}

/// W3C's `RTCIceTransportState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IceTransportState {
    /// No checks yet.
    #[default]
    New,
    /// Checks go on, none has succeeded.
    Checking,
    /// A pair works; checks may go on.
    Connected,
    /// A pair works, and nothing is left to check.
    Completed,
    /// No answer for a while; it may come back.
    Disconnected,
    /// No pair works.
    Failed,
    /// Ended by us.
    Closed,
}

impl IceTransportState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Completed => "completed",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

/// The pair of addresses that media takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedPair {
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// The ICE agent of a connection.
///
/// After a restart there are two generations: the old one carries media and answers checks until the new one has found a
/// pair, or until the restart is taken back.
///
/// Call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so; every `handle_`
/// method may make [`poll_transmit`](Self::poll_transmit) yield, and may change [`state`](Self::state) and
/// [`selected_pair`](Self::selected_pair).
pub struct IceTransport {
    /// The oldest one is in use; there is always one.
    generations: Vec<Generation>,
    next_number: u32,
    locals: Vec<LocalCandidate>,
    policy: IceTransportPolicy,
    lite: bool,
    closed: bool,
    secret: [u8; 32],
    sources: Sources,
    asked: VecDeque<Asked>,
    /// Checks that leave at that time, the first in front.
    held: VecDeque<(Instant, SelectedPair, Vec<u8>)>,
    /// When it was last told the time.
    now: Option<Instant>,
}

impl IceTransport {
    /// An agent with these credentials and no candidates. From the secret, which nobody else may know, it makes what the peer
    /// must not foretell.
    pub fn new(credentials: &IceCredentials, secret: [u8; 32]) -> Self {
        Self {
            generations: vec![Generation::new(0, credentials, secret, false)],
            next_number: 1,
            locals: Vec::new(),
            policy: IceTransportPolicy::All,
            lite: false,
            closed: false,
            secret,
            sources: Sources::default(),
            asked: VecDeque::new(),
            held: VecDeque::new(),
            now: None,
        }
    }

    /// Shares the pace of checks with other agents. Default: a pace of its own.
    pub fn set_pace(&mut self, pace: Arc<CheckPace>) {
        self.sources.set_pace(pace);
    }

    /// Whether the peer has answered a check from this address, so that it is its own.
    pub fn is_proven(&self, remote: SocketAddr) -> bool {
        self.sources.is_proven(remote)
    }

    /// Whether the peer has answered a check from this address by UDP, so that what else comes from there is its own. A TCP
    /// connection proves nothing about UDP ports.
    pub(crate) fn is_proven_by_udp(&self, remote: SocketAddr) -> bool {
        self.sources.is_proven_by_udp(remote)
    }

    /// Whether something authentic has come from this address, or from somebody who has put it in front.
    pub(crate) fn is_heard(&self, remote: SocketAddr) -> bool {
        self.sources.is_heard(remote)
    }

    /// Makes it a lite agent, which answers checks and makes none (RFC 8445 §2.5); before anything else.
    pub fn set_lite(&mut self, lite: bool) {
        self.lite = lite;
        let credentials = self.newest().credentials.clone();
        self.generations = vec![Generation::new(0, &credentials, self.secret, lite)];
    }

    /// Whether it is a lite agent.
    pub const fn is_lite(&self) -> bool {
        self.lite
    }

    /// Restricts the addresses of ours that may be used; before they are added.
    pub const fn set_policy(&mut self, policy: IceTransportPolicy) {
        self.policy = policy;
    }

    /// Which addresses of ours may be used.
    pub const fn policy(&self) -> IceTransportPolicy {
        self.policy
    }

    /// Adds an address of ours to the newest generation; host addresses stay for those that follow. Returns how the peer
    /// is to be told of it, `None` if it is known already or the policy forbids it.
    ///
    /// # Errors
    /// [`IceError`] for an address that cannot be a candidate, such as the unspecified one.
    pub fn add_local(&mut self, local: LocalCandidate) -> Result<Option<sdp::Candidate>, IceError> {
        // W3C webrtc §4.2.5: with the policy `relay` only relayed candidates are used.
        if self.policy == IceTransportPolicy::Relay && !local.is_relayed() {
            return Ok(None);
        }
        // draft-ietf-mmusic-mdns-ice-candidates §3.1.2.2: what hides behind a name does not stand in other candidates.
        let private = self.policy == IceTransportPolicy::Relay || self.locals.iter().any(LocalCandidate::is_hidden);
        let told = self.newest_mut().add_local(&local, private)?;
        let lasting = !matches!(local, LocalCandidate::ServerReflexive { .. } | LocalCandidate::Relayed { .. });
        if lasting && told.is_some() {
            self.locals.push(local);
        }
        Ok(told)
    }

    /// Our UDP sockets that may be used.
    pub(crate) fn udp_hosts(&self) -> impl Iterator<Item = SocketAddr> {
        self.locals.iter().filter_map(|local| match local {
            LocalCandidate::Host { address, .. } => Some(*address),
            _ => None,
        })
    }

    /// The candidates of the generation with this fragment of ours, as the peer is told of them.
    pub fn candidates(&self, username_fragment: &str) -> &[sdp::Candidate] {
        let generation = self.generations.iter().find(|generation| generation.is_named(username_fragment));
        generation.map_or(&[], Generation::candidates)
    }

    /// Our fragments by which the peer may name this agent now: more than one during a restart.
    pub fn username_fragments(&self) -> impl Iterator<Item = &str> {
        self.generations.iter().map(|generation| generation.credentials.username_fragment.as_str())
    }

    /// The credentials of the newest generation.
    pub fn credentials(&self) -> &IceCredentials {
        &self.newest().credentials
    }

    /// The number of the generation that media takes, counted from 0.
    pub fn generation_in_use(&self) -> u32 {
        self.generations.first().map_or(0, |generation| generation.number)
    }

    /// The number of the newest generation.
    pub fn newest_generation(&self) -> u32 {
        self.newest().number
    }

    /// Begins a restart with new credentials of ours (RFC 8445 §9): a new generation with all host addresses, which
    /// waits for the peer's credentials and for [`start`](Self::start). Everything else goes on as before.
    ///
    /// It can be taken back by [`abandon_restart`](Self::abandon_restart) until
    /// [`settle_restart`](Self::settle_restart).
    pub fn restart(&mut self, credentials: &IceCredentials) {
        self.abandon_restart();
        if self.generations.len() >= MAX_GENERATIONS {
            self.generations.remove(1);
        }
        let mut generation = Generation::new(self.next_number, credentials, self.secret, self.lite);
        self.next_number += 1;
        generation.pending = true;
        // RFC 8445 §9: the agents keep their roles.
        generation.set_role(self.newest().role());
        for local in &self.locals {
            // They were accepted once.
            let _ = generation.add_local(local, false);
        }
        self.generations.push(generation);
    }

    /// Takes back a restart whose exchange of descriptions has not ended.
    pub fn abandon_restart(&mut self) {
        if self.generations.len() > 1 && self.newest().pending {
            self.generations.pop();
        }
    }

    /// The exchange of descriptions has ended: the restart is not taken back any more.
    pub fn settle_restart(&mut self) {
        self.newest_mut().pending = false;
    }

    /// Sets our role; before the first check.
    pub fn set_role(&mut self, role: IceRole) {
        self.newest_mut().set_role(role);
    }

    /// Our role now.
    pub fn role(&self) -> IceRole {
        self.newest().role()
    }

    /// The peer's credentials of the newest generation, once they are known.
    pub fn remote_credentials(&self) -> Option<&IceCredentials> {
        self.newest().remote.as_ref()
    }

    /// Sets the peer's credentials for the newest generation.
    pub fn set_remote_credentials(&mut self, credentials: &IceCredentials) {
        self.newest_mut().set_remote_credentials(credentials);
    }

    /// Lets the checks of the newest generation begin.
    pub fn start(&mut self) {
        self.newest_mut().start();
    }

    /// Adds an address of the peer from its `candidate` text.
    ///
    /// # Errors
    /// [`IceError`] if it cannot be used here: a name instead of an address, another transport, or a damaged text. The
    /// peer's own checks may still make the pair known.
    pub fn add_remote_candidate(&mut self, text: &str) -> Result<(), IceError> {
        // While a restart of ours waits for its answer, the peer still speaks of the generation before.
        let waiting = self.generations.len() > 1 && self.newest().remote.is_none();
        let at = self.generations.len() - if waiting { 2 } else { 1 };
        let candidate = Generation::read_remote_candidate(text)?;
        self.sources.signal(candidate.addr(), text)?;
        self.generations[at].add_remote_candidate(candidate, text)
    }

    /// Takes a STUN message. Returns whether it was for this agent.
    pub fn handle_packet(&mut self, now: Instant, remote: SocketAddr, local: SocketAddr, bytes: &[u8]) -> bool {
        if self.closed {
            return false;
        }
        self.now = Some(now);
        let Ok(message) = StunMessage::parse(bytes) else { return false };
        let name = username_of(bytes);
        if name.is_none() && !self.has_asked(remote, bytes) {
            return false;
        }
        if name.is_none() && self.lite {
            let meant = self.generations.iter().any(|generation| generation.is_answered_by(bytes));
            if meant {
                self.prove(remote, local);
            }
            return meant;
        }
        for at in 0..self.generations.len() {
            let generation = &self.generations[at];
            if name.is_some_and(|name| !generation.is_named(name)) || !generation.accepts(&message) {
                continue;
            }
            if name.is_some() && !self.admit(now, at, SelectedPair { local, remote }, message.prio()) {
                return false;
            }
            if self.generations[at].handle_packet(now, remote, local, message) {
                self.sources.received(remote, bytes.len());
                self.let_go(now, remote);
                if message.is_successful_binding_response() {
                    self.prove(remote, local);
                }
                if self.lite {
                    self.question(now, at);
                }
                self.promote();
                return true;
            }
        }
        false
    }

    /// Whether this answers a check of ours to where it comes from.
    fn has_asked(&mut self, remote: SocketAddr, bytes: &[u8]) -> bool {
        let transaction = bytes.get(8..20);
        let asked = self.asked.iter().position(|asked| transaction == Some(&asked.transaction[..]));
        // RFC 8445 §7.2.5.2.1: an answer that comes from elsewhere than the check was sent to is none. It would have others
        // answer for an address.
        asked.is_some_and(|at| self.asked[at].remote == remote)
    }

    /// Asks the address that the peer has nominated whether it is the peer's. RFC 8445 §2.5: a lite agent makes no checks to
    /// find its way; but without this one anybody could have it send media to anywhere.
    fn question(&mut self, now: Instant, at: usize) {
        let Some(pair) = self.generations[at].selected() else { return };
        if self.sources.is_proven(pair.remote) {
            return;
        }
        let Some(check) = self.generations[at].question() else { return };
        if self.sources.send(now, pair.remote, check.len(), true) == Sending::Now {
            self.note_asked(now, pair.remote, &check);
            self.hold(now, pair, check);
        }
    }

    /// Whether something that is no check may be sent to an address: a lite agent's nominated address may be anybody's.
    pub(crate) fn may_send(&mut self, now: Instant, remote: SocketAddr, bytes: usize) -> bool {
        !self.lite || self.sources.send(now, remote, bytes, false) == Sending::Now
    }

    /// Something other than STUN that the peer may have sent has come from there.
    pub(crate) fn received(&mut self, remote: SocketAddr, bytes: usize) {
        if self.lite {
            self.sources.received(remote, bytes);
        }
    }

    /// The pair that media takes, unless its address may be that of somebody else, as it may be for a lite agent.
    pub(crate) fn proven_pair(&self) -> Option<SelectedPair> {
        self.selected_pair().filter(|pair| !self.lite || self.sources.is_proven(pair.remote))
    }

    /// Takes a request from that pair, unless there were too many.
    fn admit(&mut self, now: Instant, at: usize, pair: SelectedPair, priority: Option<u32>) -> bool {
        let known = self.sources.is_known(pair.remote);
        let most = self.generations[at].most_heard_pairs();
        let gone = match self.sources.admit(now, pair, most, &self.remotes_in_use()) {
            Admission::Taken => None,
            Admission::Instead(gone) => Some(gone),
            Admission::Refused => return false,
        };
        if let Some(gone) = gone {
            self.forget(gone);
        }
        known || self.generations[at].meet(pair.remote, pair.local, priority)
    }

    fn prove(&mut self, remote: SocketAddr, local: SocketAddr) {
        let by_udp = self.newest().is_udp(local);
        if !self.sources.is_proven_by_udp(remote)
            && let Some(gone) = self.sources.prove(remote, by_udp, &self.remotes_in_use())
        {
            self.forget(gone);
        }
    }

    /// Lets checks leave that wait for their turn: who has been heard from is no stranger, and a crowd that joins does not
    /// wait for each other.
    fn let_go(&mut self, now: Instant, remote: SocketAddr) {
        let Self { held, sources, .. } = self;
        for (at, pair, bytes) in held.iter_mut().filter(|(at, pair, _)| *at > now && pair.remote == remote) {
            if sources.needs_no_turn(*at, pair.remote, bytes.len()) {
                *at = now;
            }
        }
        held.make_contiguous().sort_by_key(|(at, ..)| *at);
    }

    /// Keeps a check until its time.
    fn hold(&mut self, at: Instant, pair: SelectedPair, check: Vec<u8>) {
        let behind = self.held.partition_point(|(other, ..)| *other <= at);
        self.held.insert(behind, (at, pair, check));
    }

    fn forget(&mut self, remote: SocketAddr) {
        self.generations.iter_mut().for_each(|generation| generation.forget(remote));
        self.held.retain(|(_, pair, _)| pair.remote != remote);
    }

    fn remotes_in_use(&self) -> Vec<SocketAddr> {
        self.generations.iter().filter_map(|generation| Some(generation.selected()?.remote)).collect()
    }

    /// Takes a STUN message, if it is one of those that come again and again and change nothing. What is left is for
    /// [`handle_packet`](Self::handle_packet).
    pub(crate) fn handle_quietly(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
    ) -> Option<Quiet> {
        if self.closed {
            return None;
        }
        self.now = Some(now);
        // During a restart each knows what is for it, by names and transactions.
        self.generations.iter_mut().find_map(|generation| generation.handle_quietly(now, remote, local, bytes))
    }

    /// Authentic media has come from this address. Returns whether it is another than that of the pair in use, so that the
    /// pair is now checked.
    pub(crate) fn heard_from(&mut self, now: Instant, remote: SocketAddr) -> bool {
        self.generations.first_mut().is_some_and(|generation| generation.heard_from(now, remote))
    }

    /// Tells the time. Returns whether anything but a message to send can have come of it.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.closed {
            return false;
        }
        self.now = Some(now);
        let mut changed = false;
        for generation in &mut self.generations {
            changed |= generation.handle_timeout(now);
        }
        if changed {
            self.promote();
        }
        changed
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let held = self.held.front().map(|(at, ..)| *at);
        self.generations.iter_mut().filter_map(Generation::poll_timeout).chain(held).min()
    }

    /// The next STUN message to send: from, to, contents.
    pub fn poll_transmit(&mut self) -> Option<(SelectedPair, Vec<u8>)> {
        if let Some(consent) = self.generations.iter_mut().find_map(Generation::poll_consent) {
            return Some(consent);
        }
        // Whatever there is to send came of a call that told the time.
        let now = self.now?;
        while let Some((pair, bytes)) = self.generations.iter_mut().find_map(Generation::poll_transmit) {
            let check = bytes.get(..2) == Some(&[0, 1]);
            let sending = self.sources.send(now, pair.remote, bytes.len(), check);
            if check && sending != Sending::Never {
                self.note_asked(now, pair.remote, &bytes);
            }
            match sending {
                Sending::Now => return Some((pair, bytes)),
                Sending::At(at) if self.held.len() < MAX_HELD => self.hold(at, pair, bytes),
                Sending::At(_) | Sending::Never => {}
            }
        }
        let due = self.held.front().is_some_and(|(at, ..)| *at <= now);
        self.held.pop_front_if(|_| due).map(|(_, pair, bytes)| (pair, bytes))
    }

    fn note_asked(&mut self, now: Instant, remote: SocketAddr, check: &[u8]) {
        let old = |asked: &Asked| now.saturating_duration_since(asked.at) >= ANSWER_LASTS;
        while self.asked.len() >= MAX_ASKED || self.asked.front().is_some_and(old) {
            self.asked.pop_front();
        }
        if self.asked.len() < 4 {
            // A connection at rest asks seldom, and there may be thousands.
            self.asked.shrink_to(8);
        }
        if let Some(Ok(transaction)) = check.get(8..20).map(TryInto::try_into) {
            self.asked.push_back(Asked { transaction, remote, at: now });
        }
    }

    /// The state.
    pub fn state(&self) -> IceTransportState {
        use IceTransportState as State;
        if self.closed {
            return State::Closed;
        }
        let old = self.generations.first().map_or(State::New, Generation::state);
        let started = self.generations.iter().skip(1).rev().map(Generation::state).find(|state| *state != State::New);
        match (old, started) {
            (state, None) => state,
            // W3C webrtc §5.6.3: a restart leads from completed to connected, and what works goes on working.
            (State::Connected | State::Completed, Some(_)) => State::Connected,
            (_, Some(state)) => state,
        }
    }

    /// The pair that media takes, once one is nominated; none any more when consent has expired.
    pub fn selected_pair(&self) -> Option<SelectedPair> {
        self.generations.first().and_then(Generation::selected)
    }

    /// The round-trip time of the nominated pair's checks.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.generations.first().and_then(Generation::round_trip_time)
    }

    /// See [`Connection::warm`](crate::connection::Connection::warm).
    pub(crate) fn warm(&self) -> usize {
        self.generations.first().map_or(0, Generation::warm) + usize::from(self.closed)
    }

    /// Whether it was ended.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends it: nothing is sent or answered any more.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// RFC 8445 §9: once a generation has found a pair, media takes it, and those before it end.
    fn promote(&mut self) {
        let newer = self.generations.iter().skip(1).rposition(|generation| generation.selected().is_some());
        if let Some(position) = newer {
            self.generations.drain(..=position);
        }
    }

    fn newest(&self) -> &Generation {
        // There is always one.
        &self.generations[self.generations.len() - 1]
    }

    fn newest_mut(&mut self) -> &mut Generation {
        let last = self.generations.len() - 1;
        &mut self.generations[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ice::Announced;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn credentials(seed: u8) -> IceCredentials {
        IceCredentials::from_random("", [seed; 32])
    }

    /// Moves messages between two agents until both are connected or the time is up.
    fn run(left: &mut IceTransport, right: &mut IceTransport, start: Instant) -> Option<Duration> {
        let mut now = start;
        for agent in [&mut *left, &mut *right] {
            agent.handle_timeout(now);
        }
        while now < start + Duration::from_secs(40) {
            let mut idle = true;
            while let Some((pair, bytes)) = left.poll_transmit() {
                idle = false;
                right.handle_packet(now, pair.local, pair.remote, &bytes);
            }
            while let Some((pair, bytes)) = right.poll_transmit() {
                idle = false;
                left.handle_packet(now, pair.local, pair.remote, &bytes);
            }
            if left.selected_pair().is_some() && right.selected_pair().is_some() {
                return Some(now - start);
            }
            if idle {
                let next = [left.poll_timeout(), right.poll_timeout()].into_iter().flatten().min()?;
                now = next.max(now + Duration::from_millis(1));
                left.handle_timeout(now);
                right.handle_timeout(now);
            }
        }
        None
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn agents() -> (IceTransport, IceTransport, String) {
        let (mut left, mut right) =
            (IceTransport::new(&credentials(1), [1; 32]), IceTransport::new(&credentials(2), [2; 32]));
        left.set_role(IceRole::Controlling);
        right.set_role(IceRole::Controlled);
        left.set_remote_credentials(&credentials(2));
        right.set_remote_credentials(&credentials(1));
        left.start();
        right.start();
        left.add_local(LocalCandidate::host(address("10.0.0.1:1000"))).unwrap();
        let candidate = right.add_local(LocalCandidate::host(address("10.0.0.2:2000"))).unwrap().unwrap();
        (left, right, candidate.to_string())
    }

    #[test]
    fn two_hosts_connect_at_once_when_only_one_side_knows_the_other() {
        let (mut left, mut right, candidate) = agents();
        left.add_remote_candidate(&candidate).unwrap();
        let took = run(&mut left, &mut right, start()).expect("connected");
        assert!(took < Duration::from_millis(60), "{took:?}");
        assert_eq!(right.selected_pair().unwrap().remote, address("10.0.0.1:1000"));
    }

    #[test]
    fn an_address_that_stands_for_several_is_told_once() {
        let mut agent = IceTransport::new(&credentials(1), [1; 32]);
        let announced = Some(Announced::Address(address("203.0.113.7:1000")));
        for local in ["10.0.0.1:1000", "10.0.1.1:1000"] {
            agent.add_local(LocalCandidate::Host { address: address(local), announced: announced.clone() }).unwrap();
        }
        let told = agent.candidates(&credentials(1).username_fragment);
        assert!(told.len() == 1 && told[0].address == "203.0.113.7", "{told:?}");
        assert_eq!(agent.udp_hosts().count(), 2);
    }

    #[test]
    fn a_request_names_the_fragment_of_its_receiver() {
        let (mut left, right, candidate) = agents();
        left.add_remote_candidate(&candidate).unwrap();
        left.handle_timeout(start());
        let (_, request) = left.poll_transmit().unwrap();
        assert_eq!(username_of(&request), Some(credentials(2).username_fragment.as_str()));
        assert_eq!(username_of(&request[..40]), None);
        drop(right);
    }

    #[test]
    fn checks_without_an_answer_fail_in_the_end() {
        let (mut left, _right, candidate) = agents();
        left.add_remote_candidate(&candidate).unwrap();
        let mut now = start();
        let end = now + Duration::from_secs(60);
        while now < end && left.state() != IceTransportState::Failed {
            left.handle_timeout(now);
            while left.poll_transmit().is_some() {}
            now += Duration::from_millis(50);
        }
        assert_eq!(left.state(), IceTransportState::Failed);
        assert_eq!(left.poll_timeout(), None);
    }

    #[test]
    fn names_and_damaged_candidates_are_refused_with_their_text() {
        let (mut left, ..) = agents();
        for text in ["candidate:1 1 udp 1 abc.local 5 typ host", "candidate:", "x", ""] {
            let error = left.add_remote_candidate(text).unwrap_err();
            assert_eq!(error.candidate, text);
        }
        let error = left.add_remote_candidate("candidate:1 1 tcp 1 1.2.3.4 9 typ host tcptype active").unwrap_err();
        assert!(error.reason.contains("passive"), "{error}");
    }
}
