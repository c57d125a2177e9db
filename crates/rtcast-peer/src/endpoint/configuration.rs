//! What an endpoint is made from.

use std::net::{IpAddr, SocketAddr};

use rtcast_proto::dtls::{Certificate, DtlsVersion};

use crate::socket::SocketOptions;

/// What an endpoint is made from.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The address to bind. With an unspecified address (`0.0.0.0` or `[::]`) all addresses of the machine become
    /// candidates; `0.0.0.0` binds IPv6 as well, on the same port, if the machine has it. Port 0 takes a free one.
    /// Default: `0.0.0.0:0`.
    pub address: SocketAddr,
    /// How many threads share the connections; `None` for one per core. Default: `None`.
    pub shards: Option<usize>,
    /// Whether loopback addresses are candidates even where there are others. Default: no.
    pub loopback: bool,
    /// The network interfaces whose addresses become candidates, when an unspecified address is bound. Default: none are
    /// named, and all count that are up, but for bridges that lead nowhere but to containers and virtual machines on this
    /// machine.
    pub interfaces: Vec<String>,
    /// The addresses at which a NAT in front of this machine is reached, which maps their ports one to one: peers are told
    /// the first of each family instead of this machine's own addresses, but for loopback ones. Default: none.
    pub public_addresses: Vec<IpAddr>,
    /// What is asked of the kernel. Default: all that makes it faster.
    pub socket: SocketOptions,
    /// The certificate of all connections; `None` makes one. Default: `None`.
    pub certificate: Option<Certificate>,
    /// The versions of DTLS to speak. Default: 1.2.
    pub dtls_version: DtlsVersion,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            shards: None,
            loopback: false,
            interfaces: Vec::new(),
            public_addresses: Vec::new(),
            socket: SocketOptions::default(),
            certificate: None,
            dtls_version: DtlsVersion::V1_2,
        }
    }
}
