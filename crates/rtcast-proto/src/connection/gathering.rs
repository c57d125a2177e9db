//! Our candidates: how they are found, told to the application and written into descriptions (RFC 8838, W3C webrtc §5.6).

use std::net::SocketAddr;
use std::time::Instant;

use tracing::debug;

use super::state::IceGatheringState;
use super::{Connection, ConnectionEvent};
use crate::ice::{IceCredentials, IceRole, IceTransportPolicy, LocalCandidate};
use crate::sdp::{Candidate, CandidateType, DescriptionError, IceCandidate};

/// How ICE is to work; set before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IceOptions {
    /// Which of our addresses may be used.
    pub transport_policy: IceTransportPolicy,
    /// Whether we are a lite agent, for servers that everybody can reach (RFC 8445 §2.5).
    pub lite: bool,
    /// Whether the owner looks for more candidates than the addresses that it adds, with STUN and TURN servers: it is then
    /// told by [`ConnectionEvent::GatheringNeeded`] when to begin, and ends it with [`Connection::finish_gathering`].
    pub servers: bool,
}

/// Why a candidate could not be gathered: W3C's `RTCPeerConnectionIceErrorEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCandidateError {
    /// Our address that was used, if it may be told.
    pub address: Option<SocketAddr>,
    /// The server, as it was configured.
    pub url: String,
    /// A STUN error code from 300 to 699, or 701 if the server could not be reached.
    pub error_code: u16,
    /// The server's words, or ours.
    pub error_text: String,
}

/// Finds in a queue of events the candidates that no description goes with any more, and the end of them.
#[derive(Debug)]
pub struct StaleCandidates<'a> {
    described: Option<&'a str>,
    found: bool,
}

impl<'a> StaleCandidates<'a> {
    /// For the fragment of [`Connection::described_fragment`].
    pub const fn new(described: Option<&'a str>) -> Self {
        Self { described, found: false }
    }

    /// Whether this event is out of date; to be asked of each [`ConnectionEvent::IceCandidate`] in the order of the queue.
    pub fn is_stale(&mut self, candidate: Option<&IceCandidate>) -> bool {
        match candidate {
            Some(candidate) => {
                let stale = candidate.username_fragment.as_deref() != self.described;
                self.found = stale;
                stale
            }
            // The end of those that went before.
            None => std::mem::take(&mut self.found),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Gathering {
    options: IceOptions,
    owner: u8,
    /// The generation that is gathered for, once gathering began.
    generation: Option<u32>,
    /// How many of its candidates were told.
    told: usize,
    /// Whether the owner still looks for some.
    searching: bool,
    complete: bool,
}

impl Connection {
    /// Sets how ICE works; before addresses are added. `owner` marks questions to STUN servers, so that whoever shares a
    /// socket among connections finds the right thread (see [`binding_owner`](crate::ice::binding_owner)).
    pub fn set_ice_options(&mut self, options: IceOptions, owner: u8) {
        self.gathering.options = options;
        self.gathering.owner = owner;
        self.transport.ice.set_policy(options.transport_policy);
        if options.lite {
            self.transport.ice.set_lite(true);
        }
    }

    /// Adds an address of ours as a host candidate. Addresses that cannot be candidates are left out.
    pub fn add_local_address(&mut self, address: SocketAddr) {
        self.add_host(LocalCandidate::host(address));
    }

    /// Adds an address of this machine, before gathering begins. What cannot be a candidate is left out.
    pub fn add_host(&mut self, local: LocalCandidate) {
        if let Err(error) = self.transport.ice.add_local(local) {
            debug!(%error, "an address was left out");
        }
    }

    /// Adds a candidate that the owner found for that generation; ignored if there is a newer one by now.
    pub fn add_gathered(&mut self, now: Instant, generation: u32, local: LocalCandidate) {
        if self.gathering.generation != Some(generation) || self.gathering.complete {
            return;
        }
        if let Err(error) = self.transport.ice.add_local(local) {
            debug!(%error, "a candidate was left out");
        }
        self.tell_gathered();
        self.transport.handle_timeout(now);
        self.after(now);
    }

    /// Asks a STUN server for the addresses that it sees of our sockets, for that generation.
    pub fn add_stun_server(&mut self, now: Instant, generation: u32, url: &str, server: SocketAddr) {
        let hidden = self.gathering.options.transport_policy == IceTransportPolicy::Relay;
        if self.gathering.generation != Some(generation) || self.gathering.complete || hidden {
            return;
        }
        let bases: Vec<SocketAddr> = self.transport.ice.udp_hosts().collect();
        for base in bases {
            if base.is_ipv4() == server.is_ipv4() && base.ip().is_loopback() == server.ip().is_loopback() {
                let mut random: [u8; 9] = self.random.bytes();
                random[0] = self.gathering.owner;
                self.transport.bindings.ask(now, url, server, base, random);
            }
        }
        self.transport.handle_timeout(now);
        self.after(now);
    }

    /// Whether this datagram answers a question of this connection to a STUN server.
    pub fn expects_binding(&self, datagram: &[u8]) -> bool {
        self.transport.bindings.expects(datagram)
    }

    /// Tells the application that a candidate of that generation could not be gathered.
    pub fn fail_gathering(&mut self, generation: u32, error: IceCandidateError) {
        if self.gathering.generation == Some(generation) && !self.gathering.complete {
            self.events.push_back(ConnectionEvent::IceCandidateError(error));
        }
    }

    /// The owner looks for no more candidates of that generation.
    pub fn finish_gathering(&mut self, now: Instant, generation: u32) {
        if self.gathering.generation == Some(generation) {
            self.gathering.searching = false;
            self.drive_gathering();
            self.after(now);
        }
    }

    /// Takes what STUN servers answered, and ends the gathering if nothing is left to wait for.
    pub(super) fn drive_gathering(&mut self) {
        if self.gathering.complete || self.gathering.generation.is_none() {
            return;
        }
        while let Some(outcome) = self.transport.bindings.poll_outcome() {
            match outcome.result {
                Ok(address) => {
                    let local = LocalCandidate::ServerReflexive { address, base: outcome.base };
                    if let Err(error) = self.transport.ice.add_local(local) {
                        debug!(%error, "what a STUN server saw was left out");
                    }
                }
                Err((error_code, error_text)) => {
                    self.events.push_back(ConnectionEvent::IceCandidateError(IceCandidateError {
                        address: Some(outcome.base),
                        url: outcome.url,
                        error_code,
                        error_text,
                    }));
                }
            }
        }
        self.tell_gathered();
        if !self.gathering.searching && !self.transport.bindings.is_open() {
            self.gathering.complete = true;
            self.observed.gathering = IceGatheringState::Complete;
            self.events.push_back(ConnectionEvent::IceCandidate(None));
            self.events.push_back(ConnectionEvent::IceGatheringStateChange(IceGatheringState::Complete));
        }
    }

    /// Begins to gather for the newest generation, once it stands in a local description.
    pub(super) fn begin_gathering(&mut self) {
        let newest = self.transport.ice.newest_generation();
        if self.gathering.generation == Some(newest) || self.jsep.candidate_section().is_none() {
            return;
        }
        if self.gathering.generation.is_some_and(|abandoned| abandoned > newest) {
            // A restart was taken back. The peer knows the candidates of the generation before it.
            let told = self.transport.ice.candidates(&self.transport.ice.credentials().username_fragment).len();
            self.gathering = Gathering { generation: Some(newest), told, searching: false, ..self.gathering };
            self.transport.bindings.clear();
            self.drive_gathering();
            return;
        }
        let searching = self.gathering.options.servers;
        self.gathering = Gathering { generation: Some(newest), told: 0, searching, complete: false, ..self.gathering };
        self.transport.bindings.clear();
        self.observed.gathering = IceGatheringState::Gathering;
        self.events.push_back(ConnectionEvent::IceGatheringStateChange(IceGatheringState::Gathering));
        if searching {
            self.events.push_back(ConnectionEvent::GatheringNeeded { generation: newest });
        }
        self.drive_gathering();
    }

    /// Whether every candidate that goes with this fragment is known.
    pub(super) fn is_gathered(&self, username_fragment: &str) -> bool {
        if !self.gathering.options.servers {
            return true;
        }
        self.gathering.complete && self.transport.ice.credentials().username_fragment == username_fragment
    }

    /// Our candidates for a description with this fragment; before the restart that brings it, those that every
    /// generation has.
    pub(super) fn candidates_for(&self, username_fragment: &str) -> Vec<Candidate> {
        let ice = &self.transport.ice;
        if ice.username_fragments().any(|known| known == username_fragment) {
            return ice.candidates(username_fragment).to_vec();
        }
        let newest = ice.candidates(&ice.credentials().username_fragment);
        newest.iter().filter(|candidate| candidate.typ == CandidateType::Host).cloned().collect()
    }

    /// Takes a candidate of the peer with a name, once the name is resolved.
    ///
    /// # Errors
    /// As [`add_ice_candidate`](Self::add_ice_candidate).
    pub fn add_resolved_candidate(
        &mut self,
        now: Instant,
        candidate: &IceCandidate,
        address: std::net::IpAddr,
    ) -> Result<(), DescriptionError> {
        let Some(mut parsed) = candidate.parsed()? else { return Ok(()) };
        parsed.address = address.to_string();
        self.add_ice_candidate(now, &IceCandidate { candidate: parsed.to_string(), ..candidate.clone() })
    }

    /// Our side of ICE now: W3C's `role`; `None` before the first description, which settles it.
    pub fn ice_role(&self) -> Option<IceRole> {
        let settled = self.jsep.local_fragment().is_some() || self.jsep.remote_description().is_some();
        settled.then(|| self.transport.ice.role())
    }

    /// W3C's `getLocalParameters`: our credentials of the newest generation, once a description tells them.
    pub fn local_ice_parameters(&self) -> Option<&IceCredentials> {
        let credentials = self.transport.ice.credentials();
        (self.jsep.local_fragment() == Some(credentials.username_fragment.as_str())).then_some(credentials)
    }

    /// W3C's `getRemoteParameters`: the peer's credentials of the newest generation, once they are negotiated.
    pub fn remote_ice_parameters(&self) -> Option<&IceCredentials> {
        self.transport.ice.remote_credentials()
    }

    /// W3C's `getLocalCandidates`: those that were told to the application, in their order.
    pub fn local_ice_candidates(&self) -> Vec<IceCandidate> {
        self.told_candidates(0..self.gathering.told)
    }

    /// How many [`local_ice_candidates`](Self::local_ice_candidates) and [`remote_ice_candidates`](Self::remote_ice_candidates)
    /// there are.
    pub const fn ice_candidate_counts(&self) -> (usize, usize) {
        (self.gathering.told, self.remote_candidates.len())
    }

    /// W3C's `getRemoteCandidates`: those that the peer told, in their order; at most 64 in 24 KiB are kept.
    pub fn remote_ice_candidates(&self) -> Vec<IceCandidate> {
        let told = self.remote_candidates.iter().map(|candidate| IceCandidate {
            candidate: candidate.to_string(),
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: candidate.extension("ufrag").map(str::to_owned),
        });
        told.collect()
    }

    /// The ICE user name fragment of the local description that stands, pending or else current. Candidates with another
    /// are of no use to the peer: it has not got the description that they go with, or that was taken back.
    pub fn described_fragment(&self) -> Option<&str> {
        self.jsep.local_fragment()
    }

    /// W3C webrtc-pc §4.4.1.5: what was not told yet when another description was set is told only if it goes with that;
    /// what a rollback took back is not told at all.
    pub(super) fn forget_stale_candidates(&mut self) {
        let described = self.jsep.local_fragment();
        let mut stale = StaleCandidates::new(described);
        self.events.retain(|event| match event {
            ConnectionEvent::IceCandidate(candidate) => !stale.is_stale(candidate.as_ref()),
            _ => true,
        });
    }

    fn tell_gathered(&mut self) {
        let newest = &self.transport.ice.credentials().username_fragment;
        // A restart of the peer's has begun before our answer says so, and one of ours may have been taken back: then there
        // is no description yet, or none any more, that these candidates go with.
        if self.gathering.generation != Some(self.transport.ice.newest_generation())
            || self.jsep.local_fragment() != Some(newest.as_str())
        {
            return;
        }
        let known = self.transport.ice.candidates(&self.transport.ice.credentials().username_fragment).len();
        let told = self.told_candidates(self.gathering.told..known);
        self.events.extend(told.into_iter().map(|candidate| ConnectionEvent::IceCandidate(Some(candidate))));
        self.gathering.told = known;
    }

    /// These of our candidates, as the application is told of them.
    fn told_candidates(&self, range: std::ops::Range<usize>) -> Vec<IceCandidate> {
        let fragment = &self.transport.ice.credentials().username_fragment;
        let (media_line, mid) = self.jsep.candidate_section().unwrap_or_default();
        let media_line = u16::try_from(media_line).unwrap_or_default();
        let candidates = self.transport.ice.candidates(fragment).get(range).unwrap_or_default();
        let told = candidates.iter().cloned().map(|mut candidate| {
            // Peers that see the text alone learn from it which generation it belongs to (RFC 8838 §10).
            candidate.extensions.push(("ufrag".to_owned(), fragment.clone()));
            IceCandidate {
                candidate: candidate.to_string(),
                sdp_mid: mid.as_ref().map(ToString::to_string),
                sdp_m_line_index: Some(media_line),
                username_fragment: Some(fragment.clone()),
            }
        });
        told.collect()
    }
}
