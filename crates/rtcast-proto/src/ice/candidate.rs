//! Our own addresses, as the agent and as the peer see them.

use std::net::{IpAddr, SocketAddr};

use is::Protocol;

use super::IceError;
use crate::sdp;

/// How the peer is told of an address of ours that it cannot or should not see as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// The address that a NAT in front of us maps it to, one to one.
    Address(SocketAddr),
    /// A name that ends in `.local` and stands for the address in our own network.
    Name(String),
}

/// An address of ours at which a peer can perhaps reach us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalCandidate {
    /// A UDP socket of this machine.
    Host {
        /// Its address.
        address: SocketAddr,
        /// What the peer is told instead, if not the address.
        announced: Option<Announced>,
    },
    /// A TCP socket of this machine that waits for peers (RFC 6544 §4.5).
    TcpPassive {
        /// Its address.
        address: SocketAddr,
        /// What the peer is told instead, if not the address.
        announced: Option<Announced>,
    },
    /// An address from which TCP connections to waiting peers are opened (RFC 6544 §4.5).
    TcpActive {
        /// The address; the port is chosen when a connection is opened.
        ip: IpAddr,
        /// What the peer is told instead, if not the address; its port means nothing.
        announced: Option<Announced>,
    },
    /// What a STUN server sees of a UDP socket.
    ServerReflexive {
        /// What it sees.
        address: SocketAddr,
        /// The socket.
        base: SocketAddr,
    },
    /// What a TURN server relays for us.
    Relayed {
        /// The address at the server.
        address: SocketAddr,
        /// Our address as the server sees it.
        mapped: SocketAddr,
        /// How we reach the server; the more it costs, the later the candidate is tried.
        over: RelayProtocol,
    },
}

/// How a TURN server is reached: W3C's `RTCIceServerTransportProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl RelayProtocol {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// RFC 6544 §4.5: the port of a candidate that only connects.
pub const TCP_ACTIVE_PORT: u16 = 9;

impl LocalCandidate {
    /// A UDP socket that is announced as it is.
    pub const fn host(address: SocketAddr) -> Self {
        Self::Host { address, announced: None }
    }

    /// The protocol between the peer and this address, and the address that the agent sends from.
    pub(super) const fn base(&self) -> (SocketAddr, Protocol) {
        match self {
            Self::Host { address, .. } | Self::Relayed { address, .. } => (*address, Protocol::Udp),
            Self::ServerReflexive { base, .. } => (*base, Protocol::Udp),
            Self::TcpPassive { address, .. } => (*address, Protocol::Tcp),
            Self::TcpActive { ip, .. } => (SocketAddr::new(*ip, TCP_ACTIVE_PORT), Protocol::Tcp),
        }
    }

    /// Whether only a relay stands behind it, so that the peer learns nothing of where we are.
    pub const fn is_relayed(&self) -> bool {
        matches!(self, Self::Relayed { .. })
    }

    pub(super) fn to_agent(&self, position: usize) -> Result<is::Candidate, IceError> {
        let candidate = match self {
            Self::Host { address, .. } => is::Candidate::host(*address, Protocol::Udp),
            Self::TcpPassive { address, .. } => tcp(*address, 4, "passive"),
            Self::TcpActive { ip, .. } => tcp(SocketAddr::new(*ip, TCP_ACTIVE_PORT), 6, "active"),
            Self::ServerReflexive { address, base } => is::Candidate::server_reflexive(*address, *base, Protocol::Udp),
            Self::Relayed { address, over, .. } => relayed(*address, *over, position),
        };
        candidate.map_err(|error| IceError { candidate: format!("{:?}", self.base().0), reason: error.to_string() })
    }

    /// The candidate as the peer is told of it. With `private`, nothing in it but the candidate's own address.
    pub(super) fn to_sdp(&self, agent: &is::Candidate, private: bool) -> Result<sdp::Candidate, IceError> {
        let text = agent.to_sdp_string();
        let mut candidate: sdp::Candidate = text
            .parse()
            .map_err(|error: sdp::DescriptionError| IceError { candidate: text.clone(), reason: error.to_string() })?;
        candidate.extensions.retain(|(name, _)| name != "ufrag");
        let related = match self {
            Self::ServerReflexive { base, .. } => Some(*base),
            Self::Relayed { mapped, .. } => Some(*mapped),
            _ => None,
        };
        // RFC 8839 §5.1: where the related address must stay unknown, the unspecified one and port 9 stand for it; browsers
        // write port 0.
        if let Some(related) = related.filter(|_| !private) {
            candidate.related_address = Some(related.ip().to_string());
            candidate.related_port = Some(related.port());
        }
        // RFC 8445 §5.1.1.2: a relay always has a related address.
        if self.is_relayed() && candidate.related_address.is_none() {
            let unspecified = if agent.addr().is_ipv4() { "0.0.0.0" } else { "::" };
            candidate.related_address = Some(unspecified.to_owned());
            candidate.related_port = Some(0);
        }
        match self.announced() {
            Some(Announced::Address(address)) => {
                candidate.address = address.ip().to_string();
                if !matches!(self, Self::TcpActive { .. }) {
                    candidate.port = address.port();
                }
            }
            Some(Announced::Name(name)) => candidate.address.clone_from(name),
            None => {}
        }
        Ok(candidate)
    }

    /// Whether the peer is told a name, so that it is not to see the address elsewhere either.
    pub(super) const fn is_hidden(&self) -> bool {
        matches!(self.announced(), Some(Announced::Name(_)))
    }

    /// Whether the peer is told another address, that of a NAT in front of us.
    pub(super) const fn is_mapped(&self) -> bool {
        matches!(self.announced(), Some(Announced::Address(_)))
    }

    const fn announced(&self) -> Option<&Announced> {
        match self {
            Self::Host { announced, .. } | Self::TcpPassive { announced, .. } | Self::TcpActive { announced, .. } => {
                announced.as_ref()
            }
            Self::ServerReflexive { .. } | Self::Relayed { .. } => None,
        }
    }
}

/// A TCP address in the agent's form. RFC 6544 §4.2: below UDP, and active before passive.
fn tcp(address: SocketAddr, direction: u32, tcp_type: &str) -> Result<is::Candidate, is::IceError> {
    let local_preference = (direction << 13) | 8_191;
    let priority = (90 << 24) | (local_preference << 8) | 255;
    let foundation = if address.is_ipv4() { 4 } else { 6 };
    let (ip, port) = (address.ip(), address.port());
    is::Candidate::from_sdp_string(&format!(
        "candidate:tcp{foundation} 1 tcp {priority} {ip} {port} typ host tcptype {tcp_type}"
    ))
}

/// A relay in the agent's form. RFC 8445 §5.1.2.1: the type comes last of all; among relays, what costs less comes first,
/// and `position` tells apart those that cost the same.
fn relayed(address: SocketAddr, over: RelayProtocol, position: usize) -> Result<is::Candidate, is::IceError> {
    let rank = match over {
        RelayProtocol::Udp => 2,
        RelayProtocol::Tcp => 1,
        RelayProtocol::Tls => 0,
    };
    let local_preference = 16_383 - u32::try_from(position).unwrap_or(0).min(16_000);
    let priority = (rank << 24) | (local_preference << 8) | 255;
    let (ip, port) = (address.ip(), address.port());
    is::Candidate::from_sdp_string(&format!("candidate:relay{position} 1 udp {priority} {ip} {port} typ relay"))
}
