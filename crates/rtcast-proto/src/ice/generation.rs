//! One generation of ICE: an agent with its credentials, from a restart to the next (RFC 8445 §9).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

use super::candidate::LocalCandidate;
use super::{IceCredentials, IceError, IceRole, IceTransportState, SelectedPair};
use crate::sdp;

/// RFC 8863 §4: checks go on for 39.5 s before the transport may fail, whatever became of the candidates known by then.
const CHECKING_PATIENCE: Duration = Duration::from_millis(39_500);

/// A pair in use is checked every 3 s at least; when more than two checks in a row were in vain, the connection counts as
/// disconnected.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(7);

/// RFC 7675 §5.1: consent expires 30 s after the last answer.
const CONSENT: Duration = Duration::from_secs(30);

/// So many requests that came before the peer's credentials wait in the agent.
const MAX_EARLY_REQUESTS: usize = 100;

/// So many checks in vain end a pair: by the agent's intervals, a little later than consent.
const CHECKS_IN_VAIN: usize = 12;

/// A pair from which nothing has come for this long gives way to another one that is alive: the peer's address has
/// changed. Both sides check every pair more often than that.
const SILENCE: Duration = Duration::from_millis(3_500);

/// Paths that are watched. More pairs than these are not told apart, and none of them is preferred when one falls silent.
const MAX_PATHS: usize = 32;

/// A pair of addresses and what was last heard on it.
struct Path {
    pair: SelectedPair,
    /// When anything authentic came.
    heard: Instant,
    /// When a check of ours was last answered.
    answered: Option<Instant>,
    /// Whether the controlling peer ever nominated it.
    nominated: bool,
}

pub(super) struct Generation {
    agent: IceAgent,
    pub(super) number: u32,
    pub(super) credentials: IceCredentials,
    pub(super) remote: Option<IceCredentials>,
    /// Whether the exchange that began it has yet to end, so that a rollback takes it back.
    pub(super) pending: bool,
    started: bool,
    lite: bool,
    state: IceTransportState,
    state_since: Option<Instant>,
    selected: Option<SelectedPair>,
    paths: Vec<Path>,
    bases: Vec<(SocketAddr, Protocol)>,
    candidates: Vec<sdp::Candidate>,
}

impl Generation {
    pub(super) fn new(number: u32, credentials: &IceCredentials, lite: bool) -> Self {
        let mut agent = IceAgent::new(creds(credentials));
        // On a fast network the wait between checks is what a viewer sees of it.
        agent.set_timing_advance(Duration::from_millis(5));
        agent.set_max_stun_retransmits(CHECKS_IN_VAIN);
        agent.set_ice_lite(lite);
        Self {
            agent,
            number,
            credentials: credentials.clone(),
            remote: None,
            pending: false,
            started: false,
            lite,
            state: IceTransportState::New,
            state_since: None,
            selected: None,
            paths: Vec::new(),
            bases: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Adds an address of ours. Returns how the peer is told of it, or `None` if it is nothing new.
    pub(super) fn add_local(
        &mut self,
        local: &LocalCandidate,
        private: bool,
    ) -> Result<Option<sdp::Candidate>, IceError> {
        let candidate = local.to_agent(self.bases.len())?;
        let Some(added) = self.agent.add_local_candidate(candidate).cloned() else { return Ok(None) };
        let told = local.to_sdp(&added, private)?;
        let base = local.base();
        if !self.bases.contains(&base) {
            self.bases.push(base);
        }
        self.candidates.push(told.clone());
        Ok(Some(told))
    }

    /// What the peer was told or will be told.
    pub(super) fn candidates(&self) -> &[sdp::Candidate] {
        &self.candidates
    }

    pub(super) fn set_role(&mut self, role: IceRole) {
        self.agent.set_controlling(role == IceRole::Controlling);
    }

    pub(super) fn role(&self) -> IceRole {
        if self.agent.controlling() { IceRole::Controlling } else { IceRole::Controlled }
    }

    pub(super) fn set_remote_credentials(&mut self, credentials: &IceCredentials) {
        self.agent.set_remote_credentials(creds(credentials));
        self.remote = Some(credentials.clone());
    }

    /// Lets the checks begin.
    pub(super) fn start(&mut self) {
        self.started = true;
    }

    pub(super) fn add_remote_candidate(&mut self, text: &str) -> Result<(), IceError> {
        let refused = |reason: &str| Err(IceError { candidate: text.to_owned(), reason: reason.to_owned() });
        let candidate = is::Candidate::from_sdp_string(text.trim())
            .map_err(|error| IceError { candidate: text.to_owned(), reason: error.to_string() })?;
        match candidate.proto() {
            Protocol::Udp => {}
            // RFC 6544 §6.2: an active candidate connects to our passive ones, which makes it known.
            Protocol::Tcp if candidate.tcptype().is_some_and(|kind| kind.to_string() == "passive") => {}
            Protocol::Tcp => return refused("only a passive TCP candidate can be connected to"),
            _ => return refused("its transport is neither UDP nor TCP"),
        }
        if candidate.addr().port() == 0 || candidate.addr().ip().is_unspecified() {
            return refused("nothing can be sent to its address");
        }
        self.agent.add_remote_candidate(candidate);
        Ok(())
    }

    /// Whether a request that names this fragment of ours is for this generation.
    pub(super) fn is_named(&self, username_fragment: &str) -> bool {
        self.credentials.username_fragment == username_fragment
    }

    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: SocketAddr,
        message: StunMessage<'_>,
    ) -> bool {
        let (answer, nominated) = (message.is_successful_binding_response(), message.use_candidate());
        let proto = self.bases.iter().find(|(base, _)| *base == local).map_or(Protocol::Udp, |(_, proto)| *proto);
        let packet = StunPacket { proto, source: remote, destination: local, message };
        if !self.agent.handle_packet(now, packet) {
            return false;
        }
        self.note(now, SelectedPair { local, remote }, answer, nominated);
        // The agent acts on what it took only when told the time.
        self.handle_timeout(now);
        true
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.started || self.state == IceTransportState::Failed {
            return;
        }
        self.agent.handle_timeout(now);
        // Requests that came before the peer's credentials wait in the agent. It answers one a call and asks for no further
        // call until all are answered, which without this would wait for the peer to repeat itself.
        for _ in 0..MAX_EARLY_REQUESTS {
            if self.agent.poll_timeout().is_some() {
                break;
            }
            self.agent.handle_timeout(now);
        }
        self.take_events(now);
        if self.leave_silent_pair(now) {
            self.agent.handle_timeout(now);
            self.take_events(now);
        }
        self.watch_consent(now);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        if !self.started || self.state == IceTransportState::Failed {
            return None;
        }
        self.agent.poll_timeout()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<(SelectedPair, Vec<u8>)> {
        let transmit = self.agent.poll_transmit()?;
        let pair = SelectedPair { local: transmit.source, remote: transmit.destination };
        Some((pair, transmit.contents.into()))
    }

    pub(super) const fn state(&self) -> IceTransportState {
        self.state
    }

    pub(super) const fn selected(&self) -> Option<SelectedPair> {
        self.selected
    }

    pub(super) fn round_trip_time(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::IceConnectionStateChange(state) => self.agent_state(now, state),
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    let pair = SelectedPair { local: source, remote: destination };
                    self.selected = Some(pair);
                    if !self.paths.iter().any(|path| path.pair == pair) {
                        self.note(now, pair, true, true);
                    }
                }
                _ => {}
            }
        }
    }

    fn agent_state(&mut self, now: Instant, state: IceConnectionState) {
        let state = match state {
            IceConnectionState::New => IceTransportState::New,
            IceConnectionState::Connected => IceTransportState::Connected,
            IceConnectionState::Completed => IceTransportState::Completed,
            // Before the first success the agent calls a lack of pairs a disconnection; it is checking. After it, a search
            // for another pair is a disconnection.
            IceConnectionState::Checking | IceConnectionState::Disconnected if self.selected.is_none() => {
                IceTransportState::Checking
            }
            IceConnectionState::Checking | IceConnectionState::Disconnected => IceTransportState::Disconnected,
        };
        self.set_state(now, state);
    }

    fn set_state(&mut self, now: Instant, state: IceTransportState) {
        if self.state != state {
            self.state = state;
            self.state_since = Some(now);
        }
    }

    fn note(&mut self, now: Instant, pair: SelectedPair, answer: bool, nominated: bool) {
        let at = match self.paths.iter().position(|path| path.pair == pair) {
            Some(at) => at,
            None if self.paths.len() < MAX_PATHS => {
                self.paths.push(Path { pair, heard: now, answered: None, nominated: false });
                self.paths.len() - 1
            }
            None => return,
        };
        let path = &mut self.paths[at];
        path.heard = now;
        path.nominated |= nominated;
        if answer {
            path.answered = Some(now);
        }
    }

    /// Turns from a pair on which nothing comes any more to one that is alive, as when a NAT has given the peer another
    /// address. The agent alone would hold on to the old one until consent expires.
    fn leave_silent_pair(&mut self, now: Instant) -> bool {
        let silent = |path: &Path| now.saturating_duration_since(path.heard) >= SILENCE;
        let Some(selected) = self.selected else { return false };
        let Some(old) = self.paths.iter().find(|path| path.pair == selected) else { return false };
        if !silent(old) {
            return false;
        }
        // RFC 8445 §8: the controlled side takes only what was nominated.
        let controlling = self.agent.controlling();
        let alive = |path: &&Path| path.answered.is_some() && !silent(path) && (controlling || path.nominated);
        let Some(new) = self.paths.iter().find(alive).map(|path| path.pair) else { return false };
        let dead = if new.remote == selected.remote { selected.local } else { selected.remote };
        let mut known: Box<dyn Iterator<Item = is::Candidate>> = if new.remote == selected.remote {
            Box::new(self.agent.local_candidates())
        } else {
            Box::new(self.agent.remote_candidates())
        };
        let candidate = known.find(|candidate| candidate.addr() == dead);
        drop(known);
        self.paths.retain(|path| path.pair != selected);
        candidate.is_some_and(|candidate| self.agent.invalidate_candidate(&candidate))
    }

    fn watch_consent(&mut self, now: Instant) {
        use IceTransportState as State;
        if self.state == State::Checking {
            if self.state_since.is_some_and(|since| now.saturating_duration_since(since) >= CHECKING_PATIENCE) {
                self.set_state(now, State::Failed);
            }
            return;
        }
        let Some(selected) = self.selected else { return };
        let path = self.paths.iter().find(|path| path.pair == selected);
        // A lite agent asks for nothing; the peer's requests are all that it hears (RFC 7675 §5.1 is met by the peer).
        let last = path.and_then(|path| if self.lite { Some(path.heard) } else { path.answered.or(Some(path.heard)) });
        let lost = last.or(self.state_since).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if lost >= CONSENT {
            self.set_state(now, State::Failed);
            self.selected = None;
        } else if lost >= DISCONNECTED_AFTER {
            if matches!(self.state, State::Connected | State::Completed) {
                self.set_state(now, State::Disconnected);
            }
        } else if self.state == State::Disconnected {
            match self.agent.state() {
                IceConnectionState::Connected => self.set_state(now, State::Connected),
                IceConnectionState::Completed => self.set_state(now, State::Completed),
                _ => {}
            }
        }
    }
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.username_fragment.clone(), pass: credentials.password.clone() }
}
