//! The addresses under which this machine can be reached.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::interfaces::interface_addresses;

/// Host candidates for a socket: its own address, or those of the machine that others can reach if it is bound to the
/// unspecified address; if interfaces are named, theirs.
///
/// See [`without_loopback`] for what of it is used.
pub(crate) fn host_addresses(bound: SocketAddr, interfaces: &[String]) -> io::Result<Vec<SocketAddr>> {
    if !bound.ip().is_unspecified() {
        if !interfaces.is_empty() && !interface_addresses(interfaces)?.contains(&bound.ip()) {
            let problem = format!("{} is no address of the network interfaces {interfaces:?}", bound.ip());
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        }
        return Ok(vec![bound]);
    }
    let mut addresses = match interface_addresses(interfaces) {
        // A system that does not tell its interfaces is reached by what it is asked at.
        Err(_) if interfaces.is_empty() => Vec::new(),
        addresses => addresses?,
    };
    addresses.retain(|ip| ip.is_ipv4() == bound.is_ipv4() && is_usable(*ip));
    addresses.sort_by_key(|ip| (ip.is_loopback(), *ip));
    addresses.dedup();
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect())
}

/// RFC 8445 §5.1.1.1: loopback addresses are left out, unless the socket is bound to one, or nothing else is there: a
/// machine without a network still talks to itself.
pub(crate) fn without_loopback(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        addresses.retain(|address| !address.ip().is_loopback());
    }
    addresses
}

/// RFC 8445 §5.1.1.1 leaves out deprecated and link-local IPv6 addresses; they need a zone that SDP cannot carry.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !is_link_local(ip) && ip.to_ipv4_mapped().is_none(),
    }
}

const fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_stands_for_itself_and_the_unspecified_one_for_all() {
        let bound: SocketAddr = "127.0.0.1:5".parse().unwrap();
        assert_eq!(host_addresses(bound, &[]).unwrap(), [bound]);
        let all = host_addresses("0.0.0.0:7".parse().unwrap(), &[]).unwrap();
        assert!(all.contains(&"127.0.0.1:7".parse().unwrap()), "{all:?}");
        assert!(all.iter().all(|address| address.is_ipv4() && address.port() == 7));
    }

    #[test]
    fn loopback_is_used_where_there_is_nothing_else() {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let both = addresses(&["10.0.0.1:1", "127.0.0.1:1", "[::1]:1"]);
        assert_eq!(without_loopback(both), addresses(&["10.0.0.1:1"]));
        let alone = addresses(&["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(without_loopback(alone.clone()), alone);
    }
}
