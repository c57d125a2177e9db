//! The ICE transport: the agent, and the states that the W3C gives it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

/// How long checks may go on without success before the transport has failed. RFC 8863 §4: 39.5 s of patience with the
/// default timers; browsers use 15 to 30 s.
const CHECKING_PATIENCE: Duration = Duration::from_secs(30);

/// How long a lost connection may stay lost. RFC 7675 §5.1: consent expires after 30 s, of which the agent spends about
/// 20 s before it says that the connection is lost.
const DISCONNECTED_PATIENCE: Duration = Duration::from_secs(10);

/// The letters of fragments and passwords (RFC 8839 §5.4).
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A username fragment with its password (RFC 8839 §5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The fragment; whoever owns the socket finds the connection by it.
    pub username_fragment: String,
    /// The password.
    pub password: String,
}

impl IceCredentials {
    /// Makes credentials from random bytes; `prefix` begins the fragment.
    pub fn from_random(prefix: &str, random: [u8; 32]) -> Self {
        let letters = |bytes: &[u8]| -> String { bytes.iter().map(|byte| letter(*byte)).collect() };
        // RFC 8445 §5.3: at least 24 bits of randomness in the fragment and 128 in the password, 6 bits a letter.
        Self { username_fragment: format!("{prefix}{}", letters(&random[..8])), password: letters(&random[8..]) }
    }
}

fn letter(byte: u8) -> char {
    char::from(ICE_CHARS[usize::from(byte & 63)])
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
/// Call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so; every `handle_`
/// method may make [`poll_transmit`](Self::poll_transmit) yield, and may change [`state`](Self::state) and
/// [`selected_pair`](Self::selected_pair).
pub struct IceTransport {
    agent: IceAgent,
    state: IceTransportState,
    state_since: Option<Instant>,
    selected_pair: Option<SelectedPair>,
    started: bool,
}

impl IceTransport {
    /// An agent with these credentials and no candidates.
    pub fn new(credentials: &IceCredentials) -> Self {
        let mut agent = IceAgent::new(IceCreds {
            ufrag: credentials.username_fragment.clone(),
            pass: credentials.password.clone(),
        });
        // On a fast network the wait between checks is what a viewer sees of it.
        agent.set_timing_advance(Duration::from_millis(5));
        Self { agent, state: IceTransportState::New, state_since: None, selected_pair: None, started: false }
    }

    /// Adds an address of ours.
    ///
    /// # Errors
    /// [`IceError`] for an address that cannot be a candidate, such as the unspecified one.
    pub fn add_local_host(&mut self, address: SocketAddr) -> Result<String, IceError> {
        let candidate = Candidate::host(address, Protocol::Udp)
            .map_err(|error| IceError { candidate: address.to_string(), reason: error.to_string() })?;
        let text = candidate.to_sdp_string();
        self.agent.add_local_candidate(candidate);
        Ok(text)
    }

    /// Sets our role; before the first check.
    pub fn set_role(&mut self, role: IceRole) {
        self.agent.set_controlling(role == IceRole::Controlling);
    }

    /// Sets the peer's credentials, which starts the checks.
    pub fn set_remote_credentials(&mut self, credentials: &IceCredentials) {
        self.agent.set_remote_credentials(IceCreds {
            ufrag: credentials.username_fragment.clone(),
            pass: credentials.password.clone(),
        });
        self.started = true;
    }

    /// Adds an address of the peer from its `candidate` text.
    ///
    /// # Errors
    /// [`IceError`] if it cannot be used here: a name instead of an address, another transport, or a damaged text. The
    /// peer's own checks may still make the pair known.
    pub fn add_remote_candidate(&mut self, text: &str) -> Result<(), IceError> {
        let candidate = Candidate::from_sdp_string(text.trim())
            .map_err(|error| IceError { candidate: text.to_owned(), reason: error.to_string() })?;
        if candidate.proto() != Protocol::Udp {
            let reason = "its transport is not UDP".to_owned();
            return Err(IceError { candidate: text.to_owned(), reason });
        }
        self.agent.add_remote_candidate(candidate);
        Ok(())
    }

    /// Takes a STUN message. Returns whether it was for this agent.
    pub fn handle_packet(&mut self, now: Instant, remote: SocketAddr, local: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(message) = StunMessage::parse(bytes) else { return false };
        let packet = StunPacket { proto: Protocol::Udp, source: remote, destination: local, message };
        let accepted = self.agent.handle_packet(now, packet);
        // The agent acts on what it took only when told the time.
        self.handle_timeout(now);
        accepted
    }

    /// Tells the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == IceTransportState::Closed {
            return;
        }
        self.agent.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::IceConnectionStateChange(state) => self.agent_state(now, state),
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    self.selected_pair = Some(SelectedPair { local: source, remote: destination });
                }
                _ => {}
            }
        }
        let patience = match self.state {
            IceTransportState::Checking => CHECKING_PATIENCE,
            IceTransportState::Disconnected => DISCONNECTED_PATIENCE,
            _ => return,
        };
        if self.state_since.is_some_and(|since| now.saturating_duration_since(since) >= patience) {
            self.set_state(now, IceTransportState::Failed);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if !self.started || matches!(self.state, IceTransportState::Closed | IceTransportState::Failed) {
            return None;
        }
        self.agent.poll_timeout()
    }

    /// The next STUN message to send: from, to, contents.
    pub fn poll_transmit(&mut self) -> Option<(SelectedPair, Vec<u8>)> {
        let transmit = self.agent.poll_transmit()?;
        let pair = SelectedPair { local: transmit.source, remote: transmit.destination };
        Some((pair, transmit.contents.into()))
    }

    /// The state.
    pub const fn state(&self) -> IceTransportState {
        self.state
    }

    /// The pair that media takes, once one is nominated.
    pub const fn selected_pair(&self) -> Option<SelectedPair> {
        self.selected_pair
    }

    /// The round-trip time of the nominated pair's checks.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }

    /// Ends it: nothing is sent or answered any more.
    pub fn close(&mut self) {
        self.state = IceTransportState::Closed;
    }

    fn agent_state(&mut self, now: Instant, state: IceConnectionState) {
        let state = match state {
            IceConnectionState::New => IceTransportState::New,
            IceConnectionState::Checking => IceTransportState::Checking,
            IceConnectionState::Connected => IceTransportState::Connected,
            IceConnectionState::Completed => IceTransportState::Completed,
            // Before the first success the agent calls a lack of pairs a disconnection; it is checking.
            IceConnectionState::Disconnected if self.selected_pair.is_none() => IceTransportState::Checking,
            IceConnectionState::Disconnected => IceTransportState::Disconnected,
        };
        self.set_state(now, state);
    }

    fn set_state(&mut self, now: Instant, state: IceTransportState) {
        if self.state != state {
            self.state = state;
            self.state_since = Some(now);
        }
    }
}

/// The fragment of ours that a STUN request names, by which whoever owns the socket finds the connection.
pub fn username_of(datagram: &[u8]) -> Option<&str> {
    // RFC 8489 §5 and §14.3: a binding request, the magic cookie, and a USERNAME attribute of type 6 whose value is our
    // fragment, a colon and the peer's. Read by hand, for it is done before anything else about the datagram is known.
    let (head, mut attributes) = datagram.split_at_checked(20)?;
    if head[..2] != [0, 1] || head[4..8] != [0x21, 0x12, 0xa4, 0x42] {
        return None;
    }
    loop {
        let (kind_and_length, rest) = attributes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([kind_and_length[2], kind_and_length[3]]));
        let value = rest.get(..length)?;
        if kind_and_length[..2] == [0, 6] {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(ours, _)| ours);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (mut left, mut right) = (IceTransport::new(&credentials(1)), IceTransport::new(&credentials(2)));
        left.set_role(IceRole::Controlling);
        right.set_role(IceRole::Controlled);
        left.set_remote_credentials(&credentials(2));
        right.set_remote_credentials(&credentials(1));
        left.add_local_host(address("10.0.0.1:1000")).unwrap();
        let candidate = right.add_local_host(address("10.0.0.2:2000")).unwrap();
        (left, right, candidate)
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
        assert!(error.reason.contains("UDP"), "{error}");
    }
}
