//! Under which addresses this machine is reached.

use std::net::{IpAddr, SocketAddr};

/// The addresses of the page, the best one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Those that other machines reach, empty if it listens on loopback only.
    pub(crate) network: Vec<String>,
    /// That for this machine, if it listens for it.
    pub(crate) local: Option<String>,
}

impl Addresses {
    /// The addresses of a server that listens there.
    pub(crate) fn of(listening: SocketAddr) -> Self {
        let port = listening.port();
        let url = |ip: IpAddr| format!("http://{}", SocketAddr::new(ip, port));
        if listening.ip().is_loopback() {
            return Self { network: Vec::new(), local: Some(url(listening.ip())) };
        }
        if !listening.ip().is_unspecified() {
            return Self { network: vec![url(listening.ip())], local: None };
        }
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let found = interfaces.iter().map(|interface| (interface.name.as_str(), interface.ip()));
        let network = reachable(found, listening.is_ipv6()).into_iter().map(url).collect();
        Self { network, local: Some(format!("http://localhost:{port}")) }
    }

    /// The one to show to a program.
    pub(crate) fn best(&self) -> &str {
        self.network.first().or(self.local.as_ref()).map_or("", String::as_str)
    }
}

/// The addresses that another machine may reach: IPv4 first, those of containers and virtual machines last.
fn reachable<'a>(interfaces: impl Iterator<Item = (&'a str, IpAddr)>, with_ipv6: bool) -> Vec<IpAddr> {
    let mut found: Vec<_> = interfaces
        .filter(|(_, ip)| match ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => with_ipv6 && !ip.is_loopback() && !ip.is_unicast_link_local(),
        })
        .map(|(name, ip)| {
            let inner = ["docker", "br-", "veth", "virbr", "cni", "podman", "lxc"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            (inner, ip.is_ipv6(), ip)
        })
        .collect();
    found.sort_by_key(|&(inner, ipv6, _)| (inner, ipv6));
    found.into_iter().map(|(_, _, ip)| ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lan_comes_before_containers_and_loopback_never() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let interfaces = [
            ("lo", ip("127.0.0.1")),
            ("docker0", ip("172.17.0.1")),
            ("wlan0", ip("2001:db8::1")),
            ("wlan0", ip("fe80::1")),
            ("wlan0", ip("192.168.1.20")),
            ("eth9", ip("169.254.3.4")),
        ];
        let expected = [ip("192.168.1.20"), ip("2001:db8::1"), ip("172.17.0.1")];
        assert_eq!(reachable(interfaces.into_iter(), true), expected);
        assert_eq!(reachable(interfaces.into_iter(), false), [expected[0], expected[2]]);
    }

    #[test]
    fn loopback_is_for_this_machine_only() {
        let addresses = Addresses::of("127.0.0.1:8080".parse().unwrap());
        assert_eq!(addresses, Addresses { network: vec![], local: Some("http://127.0.0.1:8080".into()) });
        assert_eq!(Addresses::of("[::1]:80".parse().unwrap()).best(), "http://[::1]:80");
    }
}
