//! What ICE may use of this machine's network, beyond what the W3C names.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rtcast_proto::ice::{Announced, LocalCandidate};

use crate::endpoint::{Endpoint, bind_all, host_candidates};
use crate::random;
use crate::socket::{SocketOptions, UdpSocket, without_loopback};

/// Decides by its IP address whether an address of this machine may be used.
pub type AddressFilter = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Which TCP candidates a connection has (RFC 6544).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TcpCandidates {
    /// None.
    #[default]
    None,
    /// Those that connect to a peer that waits, as browsers do.
    Active,
    /// Those that connect, and a port on which the connection waits.
    ActiveAndPassive,
}

/// What ICE may use of this machine's network. The default uses all addresses as they are.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct IceSettings {
    /// Whether to be a lite agent, which only answers (RFC 8445 §2.5): for servers that every peer can reach. Default: no.
    pub lite: bool,
    /// Whether loopback addresses are used even where there are others; for a connection's own socket, see
    /// [`EndpointConfig::loopback`](crate::EndpointConfig::loopback) for shared ones. Default: no.
    pub loopback: bool,
    /// The network interfaces whose addresses are used, for a connection's own socket; see
    /// [`EndpointConfig::interfaces`](crate::EndpointConfig::interfaces) for shared ones. Default: all that others can reach.
    pub interfaces: Vec<String>,
    /// Which of those addresses may be used. Default: all.
    pub address_filter: Option<AddressFilter>,
    /// Which TCP candidates there are. Default: none.
    pub tcp: TcpCandidates,
    /// The ports for a connection's own socket. Default: any that is free.
    pub port_range: Option<RangeInclusive<u16>>,
    /// What peers are told instead of an address of this machine, where a NAT maps the whole address to a public one, with
    /// the same ports. Default: nothing.
    pub address_mapping: BTreeMap<IpAddr, IpAddr>,
    /// What peers are told instead of all addresses of this machine, the first of each family, but for loopback ones and
    /// those that [`address_mapping`](Self::address_mapping) names: where a NAT in front of it is reached, with the same
    /// ports. Default: what the endpoint's [`public_addresses`](crate::EndpointConfig::public_addresses) say.
    pub public_addresses: Vec<IpAddr>,
    /// Whether peers are told random names that end in `.local` instead of the addresses of this machine, as browsers do it
    /// (draft-ietf-mmusic-mdns-ice-candidates): only peers in the same networks can find out what they stand for. What
    /// [`address_mapping`](Self::address_mapping) names is told as that says. The names are answered for by mDNS as long as
    /// the connection lives; it must be made within a tokio runtime. Default: no.
    pub mdns_candidates: bool,
}

impl IceSettings {
    /// Those addresses that may be used.
    pub(crate) fn filter(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        match &self.address_filter {
            Some(filter) => addresses.iter().copied().filter(|address| filter(address.ip())).collect(),
            None => addresses.to_vec(),
        }
    }

    /// The address of a NAT that stands for this one.
    pub(crate) fn mapped(&self, ip: IpAddr) -> Option<IpAddr> {
        let public = || self.public_addresses.iter().find(|public| public.is_ipv4() == ip.is_ipv4());
        self.address_mapping.get(&ip).or_else(|| public().filter(|_| !ip.is_loopback())).copied()
    }

    /// What peers are told instead of this address, if anything; a name that it needs is added to `names`.
    pub(crate) fn announced(&self, address: SocketAddr, names: &mut Vec<(String, IpAddr)>) -> Option<Announced> {
        let ip = address.ip();
        if let Some(mapped) = self.mapped(ip) {
            return Some(Announced::Address(SocketAddr::new(mapped, address.port())));
        }
        if !self.mdns_candidates {
            return None;
        }
        let known = names.iter().find(|(_, known)| *known == ip).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let name = format!("{}.local", random::uuid());
            names.push((name.clone(), ip));
            name
        });
        Some(Announced::Name(name))
    }

    /// Binds a TCP port to wait on: not the number of a UDP port of ours, for an address alone tells what it belongs to.
    pub(crate) fn bind_tcp(&self, address: SocketAddr, taken: &[SocketAddr]) -> io::Result<TcpListener> {
        let mut rejected = Vec::new();
        loop {
            let listener = self.bind_in_range(SocketAddr::new(address.ip(), 0), |address| {
                let listener = TcpListener::bind(address)?;
                let port = listener.local_addr()?.port();
                match taken.iter().any(|taken| taken.port() == port) {
                    true if self.port_range.is_some() => Err(io::ErrorKind::AddrInUse.into()),
                    _ => Ok(listener),
                }
            })?;
            let port = listener.local_addr()?.port();
            if !taken.iter().any(|taken| taken.port() == port) {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            // Held until another one is found, so that the system does not offer it again.
            rejected.push(listener);
        }
    }

    /// Sockets for one connection alone, and the addresses under which they can be reached.
    pub(crate) fn private_sockets(&self, address: SocketAddr) -> io::Result<(Vec<UdpSocket>, Vec<SocketAddr>)> {
        let sockets = self.bind_in_range(address, |address| bind_all(address, false, SocketOptions::default()))?;
        let bound = host_candidates(&sockets, &self.interfaces)?;
        let usable = if self.loopback || !self.interfaces.is_empty() { bound } else { without_loopback(bound) };
        Ok((sockets, self.filter(&usable)))
    }

    /// The TCP candidates of the port that an endpoint shares, for these addresses.
    pub(crate) fn shared_tcp_candidates(&self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Vec<LocalCandidate> {
        let Some(port) = endpoint.announced_tcp_port().filter(|_| !self.mdns_candidates) else { return Vec::new() };
        let candidates = addresses.iter().map(|address| {
            let told = self.mapped(address.ip()).unwrap_or_else(|| address.ip());
            LocalCandidate::TcpPassive {
                address: SocketAddr::new(address.ip(), endpoint.tcp_base()),
                announced: Some(Announced::Address(SocketAddr::new(told, port))),
            }
        });
        candidates.collect()
    }

    /// Binds the first free port of the range, or whatever `address` says if there is none.
    pub(crate) fn bind_in_range<T>(
        &self,
        address: SocketAddr,
        mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(range) = self.port_range.clone().filter(|_| address.port() == 0) else { return bind(address) };
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the range of ports is empty");
        for port in range.filter(|port| *port != 0) {
            match bind(SocketAddr::new(address.ip(), port)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                result => return result,
            }
        }
        Err(last)
    }
}

impl fmt::Debug for IceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceSettings")
            .field("lite", &self.lite)
            .field("loopback", &self.loopback)
            .field("interfaces", &self.interfaces)
            .field("public_addresses", &self.public_addresses)
            .field("address_filter", &self.address_filter.is_some())
            .field("tcp", &self.tcp)
            .field("port_range", &self.port_range)
            .field("address_mapping", &self.address_mapping)
            .field("mdns_candidates", &self.mdns_candidates)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_stand_for_all_of_their_family_but_loopback() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let settings = IceSettings {
            public_addresses: vec![ip("203.0.113.7"), ip("2001:db8::7")],
            address_mapping: BTreeMap::from([(ip("10.0.0.9"), ip("198.51.100.1"))]),
            ..IceSettings::default()
        };
        let told = |address: &str| settings.announced(address.parse().unwrap(), &mut Vec::new());
        let expected = |address: &str| Some(Announced::Address(address.parse().unwrap()));
        assert_eq!(told("10.0.0.1:5000"), expected("203.0.113.7:5000"));
        assert_eq!(told("[fd00::1]:5000"), expected("[2001:db8::7]:5000"));
        assert_eq!(told("10.0.0.9:5000"), expected("198.51.100.1:5000"), "what is named alone comes first");
        assert_eq!(told("127.0.0.1:5000"), None);
    }
}
