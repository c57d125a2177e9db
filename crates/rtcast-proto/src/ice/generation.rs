//! One generation of ICE: an agent with its credentials, from a restart to the next (RFC 8445 §9).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

use super::candidate::LocalCandidate;
use super::check::{self, CheckMessage, Class};
use super::consent::{Consent, Quiet, Sides};
use super::{IceCredentials, IceError, IceRole, IceTransportState, SelectedPair};
use crate::random::Random;
use crate::sdp;

/// RFC 8863 §4: checks go on for 39.5 s before the transport may fail, whatever became of the candidates known by then.
const CHECKING_PATIENCE: Duration = Duration::from_millis(39_500);

/// At first all pairs are checked every 3 s at least; when more than two checks in a row were in vain, the connection
/// counts as disconnected.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(7);

/// Later the same follows from a consent check that was not answered, nor those of the agent that come after it.
const DISCONNECTED_AFTER_CHECK: Duration = Duration::from_secs(5);

/// How the agent checks pairs: the longest time between two checks of a pair, and how many in vain end it. All but the
/// last are given up a little later than consent expires.
type Checking = (Duration, usize);

/// Before a pair is settled.
const CONNECTING: Checking = (Duration::from_secs(3), 12);

/// When a settled pair is in doubt: five checks in vain, and the connection counts as disconnected.
const SEARCHING: Checking = (Duration::from_secs(1), 34);

/// While a pair is in use and answers: often enough that a NAT keeps the ways of the others.
const RESTING: Checking = (Duration::from_secs(25), 12);

/// While the agent searches, a pair has so long to answer its checks before another may take its place.
const SEARCH_PATIENCE: Duration = Duration::from_secs(2);

/// A pair that has been in use for so long is settled, and the others rest.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// RFC 8445 §5.1.2.1: the type preference of a peer-reflexive candidate.
const PEER_REFLEXIVE_PREFERENCE: u32 = 110;

/// RFC 7675 §5.1: consent expires 30 s after the last answer.
const CONSENT: Duration = Duration::from_secs(30);

/// So many requests that came before the peer's credentials wait in the agent.
const MAX_EARLY_REQUESTS: usize = 100;

/// While the agent searches, a pair from which nothing has come for this long gives way to another one that is alive: the
/// peer's address has changed.
const SILENCE: Duration = Duration::from_millis(3_500);

/// RFC 8445 §6.1.2.5: the limit on pairs, of which these are made from candidates that were told, and the others from
/// checks that came.
const MAX_PAIRS: usize = 100;
const MAX_FORMED_PAIRS: usize = 80;

/// Addresses of the peer that an agent ever learns: it forgets none of them. Whoever moves more often begins anew.
const MAX_REMOTES: usize = 256;

/// The agent writes no longer USERNAME (both fragments and a colon).
const MAX_USERNAME: usize = 128;

/// The longest fragment of a peer that is taken, beside one of ours and the letter that names its owner. RFC 8839 §5.4
/// allows 256 characters.
pub(crate) const MAX_REMOTE_FRAGMENT: usize = MAX_USERNAME - 10;

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
    selected_since: Option<Instant>,
    /// Watches the pair in use, once that is settled; the agent rests meanwhile.
    consent: Option<Box<Consent>>,
    /// When the agent that rests has to be told the time.
    agent_timeout: Option<Instant>,
    /// A consent check that waits to be sent.
    request: Option<Vec<u8>>,
    /// Since when the settled pair is in doubt, and since when the agent searches for that reason.
    in_vain_since: Option<Instant>,
    searching_since: Option<Instant>,
    /// Makes what the peer must not foretell, with a number that never comes again.
    random: Random,
    round_trip_time: Option<Duration>,
    tie_breaker: u64,
    paths: Vec<Path>,
    bases: Vec<(SocketAddr, Protocol)>,
    candidates: Vec<sdp::Candidate>,
    /// Pairs that candidates of both sides make.
    formed: usize,
    /// Addresses that the agent has learnt, and those that it was to forget.
    remotes: usize,
    forgotten: Vec<SocketAddr>,
}

impl Generation {
    pub(super) fn new(number: u32, credentials: &IceCredentials, secret: [u8; 32], lite: bool) -> Self {
        let mut agent = IceAgent::new(creds(credentials));
        // On a fast network the wait between checks is what a viewer sees of it.
        agent.set_timing_advance(Duration::from_millis(5));
        set_checking(&mut agent, CONNECTING);
        agent.set_max_candidate_pairs(MAX_FORMED_PAIRS);
        agent.set_ice_lite(lite);
        let mut random = Random::stream_of(secret, number);
        let tie_breaker = random.u64();
        agent.set_control_tie_breaker(tie_breaker);
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
            selected_since: None,
            consent: None,
            agent_timeout: None,
            request: None,
            in_vain_since: None,
            searching_since: None,
            random,
            round_trip_time: None,
            tie_breaker,
            paths: Vec::new(),
            bases: Vec::new(),
            candidates: Vec::new(),
            formed: 0,
            remotes: 0,
            forgotten: Vec::new(),
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
        // The agent has pairs to check that it did not have when it began to rest.
        self.agent_timeout = None;
        let of_family = |remote: &is::Candidate| remote.addr().is_ipv4() == added.addr().is_ipv4();
        self.formed += self.agent.remote_candidates().filter(of_family).count();
        let told = local.to_sdp(&added, private)?;
        let base = local.base();
        if !self.bases.contains(&base) {
            self.bases.push(base);
        }
        // Several addresses of ours may stand behind one that the peer is told.
        let same = |known: &sdp::Candidate| {
            (&known.address, known.port, &known.transport, known.typ)
                == (&told.address, told.port, &told.transport, told.typ)
        };
        if local.is_mapped() && self.candidates.iter().any(same) {
            return Ok(Some(told));
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
        self.remote = Some(credentials.clone());
        if self.credentials.username_fragment.len() + 1 + credentials.username_fragment.len() <= MAX_USERNAME {
            self.agent.set_remote_credentials(creds(credentials));
        } else {
            // JSEP refuses such descriptions; nothing can be asked or answered by them.
            self.state = IceTransportState::Failed;
        }
    }

    /// Lets the checks begin.
    pub(super) fn start(&mut self) {
        self.started = true;
    }

    /// Reads a candidate of the peer, if it can be used.
    pub(super) fn read_remote_candidate(text: &str) -> Result<is::Candidate, IceError> {
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
        if text.split_whitespace().nth(1) != Some("1") {
            return refused("RTP and RTCP share one component, so that there is no other");
        }
        let ip = candidate.addr().ip();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0);
        let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        if candidate.addr().port() == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast || mapped {
            return refused("nothing can be sent to its address");
        }
        Ok(candidate)
    }

    /// Takes a candidate of the peer.
    pub(super) fn add_remote_candidate(&mut self, candidate: is::Candidate, text: &str) -> Result<(), IceError> {
        if self.remotes >= MAX_REMOTES {
            let reason = format!("the peer has told and used {MAX_REMOTES} addresses; it has to restart ICE");
            return Err(IceError { candidate: text.to_owned(), reason });
        }
        let of_family = |local: &is::Candidate| local.addr().is_ipv4() == candidate.addr().is_ipv4();
        self.formed += self.agent.local_candidates().filter(of_family).count();
        self.remotes += 1;
        self.agent.add_remote_candidate(candidate);
        self.agent_timeout = None;
        Ok(())
    }

    /// How many pairs may come from checks of the peer.
    pub(super) fn most_heard_pairs(&self) -> usize {
        MAX_PAIRS - self.formed.min(MAX_FORMED_PAIRS)
    }

    /// Whether a message is for this generation and from the peer.
    pub(super) fn accepts(&self, message: &StunMessage<'_>) -> bool {
        self.agent.accepts_message(message)
    }

    /// A check that asks whether the peer is where it says.
    pub(super) fn question(&mut self) -> Option<Vec<u8>> {
        let theirs = self.remote.as_ref()?;
        let request = check::CheckRequest {
            transaction: self.random.bytes(),
            usernames: (&theirs.username_fragment, &self.credentials.username_fragment),
            priority: PEER_REFLEXIVE_PREFERENCE << 24,
            role: IceRole::Controlled,
            tie_breaker: self.tie_breaker,
            password: &theirs.password,
        };
        Some(request.write())
    }

    /// Whether the peer has written this answer to a check.
    pub(super) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let message = CheckMessage::parse(bytes).filter(|message| message.class == Class::Success);
        message.is_some_and(|message| self.remote.as_ref().is_some_and(|theirs| message.verify(&theirs.password)))
    }

    /// Makes an address known from which an authentic request has come. Returns `false` if that is not possible.
    pub(super) fn meet(&mut self, remote: SocketAddr, local: SocketAddr, priority: Option<u32>) -> bool {
        if self.remotes >= MAX_REMOTES {
            return false;
        }
        self.remotes += 1;
        if self.forgotten.contains(&remote) {
            // The agent does not take up again by itself what it was to forget.
            let proto = if self.protocol_of(local) == Protocol::Tcp { "tcp" } else { "udp" };
            let (ip, port, priority) = (remote.ip(), remote.port(), priority.unwrap_or(1));
            let text = format!("candidate:again 1 {proto} {priority} {ip} {port} typ prflx");
            if let Ok(candidate) = is::Candidate::from_sdp_string(&text) {
                self.agent.add_remote_candidate(candidate);
            }
        }
        true
    }

    /// Forgets an address of the peer.
    pub(super) fn forget(&mut self, remote: SocketAddr) {
        let known: Vec<is::Candidate> =
            self.agent.remote_candidates().filter(|candidate| candidate.addr() == remote).collect();
        if known.is_empty() {
            return;
        }
        for candidate in &known {
            self.agent.invalidate_candidate(candidate);
        }
        self.forgotten.push(remote);
        self.paths.retain(|path| path.pair.remote != remote);
    }

    /// Whether an address of ours is one of UDP.
    pub(super) fn is_udp(&self, local: SocketAddr) -> bool {
        self.protocol_of(local) == Protocol::Udp
    }

    fn protocol_of(&self, local: SocketAddr) -> Protocol {
        self.bases.iter().find(|(base, _)| *base == local).map_or(Protocol::Udp, |(_, proto)| *proto)
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
        let proto = self.protocol_of(local);
        let packet = StunPacket { proto, source: remote, destination: local, message };
        if !self.agent.handle_packet(now, packet) {
            return false;
        }
        let pair = SelectedPair { local, remote };
        self.note(now, pair, answer, nominated);
        if self.selected != Some(pair) && !answer {
            // The peer tries another way; if on this one nothing comes, that is to be known soon.
            if self.consent.is_some() && self.selected_is_silent(now) {
                self.search(now);
            } else if let Some(consent) = &mut self.consent {
                consent.hasten(now);
            }
        }
        // The agent acts on what it took only when told the time.
        if self.is_active() {
            self.drive_agent(now);
        }
        true
    }

    /// Takes what comes again and again on a settled pair and changes nothing. Everything else is left to
    /// [`handle_packet`](Self::handle_packet).
    pub(super) fn handle_quietly(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
    ) -> Option<Quiet> {
        let pair = SelectedPair { local, remote };
        let consent = self.consent.as_mut().filter(|consent| consent.pair == pair)?;
        let theirs = self.remote.as_ref()?;
        let message = CheckMessage::parse(bytes)?;
        let path = self.paths.iter_mut().find(|path| path.pair == pair)?;
        let controlling = self.agent.controlling();
        match message.class {
            Class::Request => {
                // RFC 8445 §7.3: it must name both sides; a conflict of roles and a nomination are the agent's business.
                let (our_name, their_name) = (&self.credentials.username_fragment, &theirs.username_fragment);
                let named = message.username.is_some_and(|name| {
                    name.strip_prefix(our_name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"))
                        == Some(their_name.as_bytes())
                });
                let role = if controlling { IceRole::Controlled } else { IceRole::Controlling };
                let usual = message.role == Some(role) && (!message.nominates || (path.nominated && !controlling));
                if !named || !usual || !message.has_priority || !message.verify(&self.credentials.password) {
                    return None;
                }
                path.heard = now;
                let answer = check::success_response(&message.transaction, remote, &self.credentials.password);
                Some(Quiet::Answer(pair, answer))
            }
            Class::Success => {
                if !consent.awaits(&message.transaction) || !message.verify(&theirs.password) {
                    return None;
                }
                self.round_trip_time = consent.answered(now);
                path.heard = now;
                path.answered = Some(now);
                Some(Quiet::Consented)
            }
            Class::Error => None,
        }
    }

    /// Has the pair in use checked at once if media comes from another address than its own. Returns whether it does.
    pub(super) fn heard_from(&mut self, now: Instant, remote: SocketAddr) -> bool {
        match &mut self.consent {
            Some(consent) if consent.pair.remote != remote => consent.hasten(now),
            _ => false,
        }
    }

    /// Tells the time. Returns whether anything but a consent check can have come of it.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if !self.is_active() {
            return false;
        }
        if let Some(since) = self.consent.as_ref().and_then(|consent| consent.in_vain_since(now)) {
            self.search(now);
            self.in_vain_since = Some(since);
        }
        if let (Some(consent), Some(theirs)) = (&mut self.consent, &self.remote) {
            if consent.is_due(now) {
                let role = if self.agent.controlling() { IceRole::Controlling } else { IceRole::Controlled };
                let sides = Sides { theirs, ours: &self.credentials, role, tie_breaker: self.tie_breaker };
                let random = self.random.bytes();
                self.request = Some(consent.check(now, &sides, &random));
            }
            if self.agent_timeout.is_some_and(|at| at > now) {
                return false;
            }
        }
        self.drive_agent(now);
        true
    }

    /// See [`Connection::warm`](crate::connection::Connection::warm).
    pub(super) fn warm(&self) -> usize {
        let first = |text: &str| text.as_bytes().first().map_or(0, |byte| usize::from(*byte));
        let names = |of: &IceCredentials| first(&of.password) + first(&of.username_fragment);
        let theirs = self.remote.as_ref().map_or(0, names);
        let paths = self.paths.first().map_or(0, |path| usize::from(path.nominated));
        let consent = self.consent.as_ref().map_or(0, |consent| usize::from(consent.is_open()));
        let state = usize::from(self.selected.is_some()) + usize::from(self.agent_timeout.is_some());
        theirs + names(&self.credentials) + paths + consent + state
    }

    fn is_active(&self) -> bool {
        self.started && self.state != IceTransportState::Failed
    }

    fn drive_agent(&mut self, now: Instant) {
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
        if self.consent.is_none() && self.leave_silent_pair(now) {
            self.agent.handle_timeout(now);
            self.take_events(now);
        }
        self.watch_consent(now);
        self.settle(now);
        self.agent_timeout = self.consent.as_ref().and_then(|_| self.agent.poll_timeout());
    }

    /// Lets the agent rest, once the pair in use is settled: from then on only its consent is asked for.
    fn settle(&mut self, now: Instant) {
        let (Some(pair), Some(since)) = (self.selected, self.selected_since) else { return };
        let works = matches!(self.state, IceTransportState::Connected | IceTransportState::Completed);
        let settled = now.saturating_duration_since(since) >= SETTLED_AFTER && self.in_vain_since.is_none();
        if self.consent.is_some() || self.lite || !works || !settled {
            return;
        }
        let Some(local) = self.agent.local_candidates().find(|candidate| candidate.addr() == pair.local) else {
            return;
        };
        let priority = local.prio() & 0x00ff_ffff | PEER_REFLEXIVE_PREFERENCE << 24;
        set_checking(&mut self.agent, RESTING);
        let random = self.random.bytes();
        self.consent = Some(Box::new(Consent::new(now, pair, priority, self.round_trip_time(), &random)));
    }

    /// Has the agent check all pairs again: the one in use is in doubt.
    fn search(&mut self, now: Instant) {
        self.consent = None;
        self.in_vain_since = Some(now);
        self.searching_since = Some(now);
        set_checking(&mut self.agent, SEARCHING);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        if !self.is_active() {
            return None;
        }
        let consent = self.consent.as_ref().map(|consent| consent.poll_timeout());
        let doubt = self.in_vain_since.filter(|_| self.state != IceTransportState::Disconnected);
        let disconnected = doubt.map(|since| since + DISCONNECTED_AFTER_CHECK);
        let known = self.agent_timeout.filter(|_| consent.is_some());
        let agent = known.or_else(|| self.agent.poll_timeout());
        agent.into_iter().chain(consent).chain(disconnected).min()
    }

    /// A consent check that is due.
    pub(super) fn poll_consent(&mut self) -> Option<(SelectedPair, Vec<u8>)> {
        self.request.take().and_then(|request| Some((self.selected?, request)))
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
        self.round_trip_time.or_else(|| self.agent.nominated_pair_rtt())
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::IceConnectionStateChange(state) => self.agent_state(now, state),
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    let pair = SelectedPair { local: source, remote: destination };
                    if self.selected != Some(pair) {
                        self.select(now, pair);
                    }
                    if !self.paths.iter().any(|path| path.pair == pair) {
                        self.note(now, pair, true, true);
                    }
                }
                _ => {}
            }
        }
    }

    fn select(&mut self, now: Instant, pair: SelectedPair) {
        self.selected = Some(pair);
        self.selected_since = Some(now);
        self.round_trip_time = None;
        self.in_vain_since = None;
        self.searching_since = None;
        self.consent = None;
        set_checking(&mut self.agent, CONNECTING);
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
            if self.selected == Some(pair) {
                self.in_vain_since = None;
                self.searching_since = None;
                // From now on the agent's own checks tell.
                self.round_trip_time = None;
            }
        }
    }

    fn selected_is_silent(&self, now: Instant) -> bool {
        let path = self.paths.iter().find(|path| Some(path.pair) == self.selected);
        path.is_some_and(|path| now.saturating_duration_since(path.heard) >= SILENCE)
    }

    /// Turns from a pair on which nothing comes any more to one that is alive, as when a NAT has given the peer another
    /// address. The agent alone would hold on to the old one until consent expires.
    fn leave_silent_pair(&mut self, now: Instant) -> bool {
        let silent = |path: &Path| now.saturating_duration_since(path.heard) >= SILENCE;
        let Some(selected) = self.selected else { return false };
        let searched = self.searching_since.is_none_or(|at| now.saturating_duration_since(at) >= SEARCH_PATIENCE);
        if !searched || !self.selected_is_silent(now) {
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
        // A pair that was just chosen has its whole time before it, however long ago it was checked.
        let last = last.or(self.state_since).max(self.selected_since);
        let lost = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let in_doubt = match self.in_vain_since {
            Some(since) => now.saturating_duration_since(since) >= DISCONNECTED_AFTER_CHECK,
            None => self.consent.is_none() && lost >= DISCONNECTED_AFTER,
        };
        if lost >= CONSENT {
            self.set_state(now, State::Failed);
            self.selected = None;
            self.consent = None;
        } else if in_doubt {
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

fn set_checking(agent: &mut IceAgent, (interval, in_vain): Checking) {
    agent.set_max_stun_rto(interval);
    agent.set_max_stun_retransmits(in_vain);
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.username_fragment.clone(), pass: credentials.password.clone() }
}
