//! Who a request comes from, also behind a proxy.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;

/// The header in which proxies tell whom they speak for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a connection came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Where a request came from: what its connection says, or a trusted proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// With port 0 if a proxy told the address alone.
    pub(crate) address: SocketAddr,
    /// Whether a trusted proxy stands in between.
    pub(crate) forwarded: bool,
}

impl Client {
    /// By which its places are counted.
    pub(crate) fn key(self) -> ClientKey {
        ClientKey::of(self.address.ip())
    }
}

/// What counts as one client: an IPv4 address, or the 64-bit prefix that an IPv6 host may choose its addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(IpAddr);

impl ClientKey {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))),
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// An address, or all that begin with the same bits, as `10.0.0.0/8`.
///
/// ```
/// use rtcast_server::AddressPrefix;
///
/// let network: AddressPrefix = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()) && !network.contains([192, 0, 2, 7].into()));
/// assert!("10.0.0.0/64".parse::<AddressPrefix>().is_err());
/// # Ok::<(), rtcast_server::AddressPrefixError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPrefix {
    address: IpAddr,
    bits: u8,
}

impl AddressPrefix {
    /// Whether an address begins with these bits. An IPv4 address in the form of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = |ours: u128, theirs: u128, length: u32| {
            // A shift by the whole length is none of Rust's.
            (ours ^ theirs).checked_shr(length - u32::from(self.bits)).unwrap_or(0) != 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => !differ(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => !differ(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

/// Something is neither an address nor a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address and no prefix; write one such as 127.0.0.1, ::1 or 10.0.0.0/8")]
pub struct AddressPrefixError {
    text: String,
}

impl FromStr for AddressPrefix {
    type Err = AddressPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || AddressPrefixError { text: text.chars().take(100).collect() };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.parse::<IpAddr>().map_err(|_| refuse())?.to_canonical();
        let length = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(length), str::parse).map_err(|_| refuse())?;
        if bits > length { Err(refuse()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The proxies whose word counts.
#[derive(Debug, Default)]
pub(crate) struct TrustedProxies(Vec<AddressPrefix>);

impl TrustedProxies {
    pub(crate) fn new(proxies: Vec<AddressPrefix>) -> Self {
        Self(proxies)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|prefix| prefix.contains(address))
    }

    /// Where a request came from. Each proxy adds the address that it was asked from, so the last entry that no trusted
    /// proxy stands behind is the client; whatever stands before it is the client's own word. An entry that is no address
    /// ends the search at the proxy that told it.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        let mut client = Client { address: peer, forwarded: false };
        if !self.contains(peer.ip()) {
            return client;
        }
        let told = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
        for entry in told.iter().rev().flat_map(|value| value.rsplit(',')) {
            let Some(address) = entry_address(entry.trim()) else { break };
            client = Client { address, forwarded: true };
            if !self.contains(address.ip()) {
                break;
            }
        }
        client
    }
}

/// The address of an entry, which may have a port.
fn entry_address(entry: &str) -> Option<SocketAddr> {
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip.to_canonical(), 0));
    let bare = || ip(entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry));
    bare().or_else(|| {
        entry.parse::<SocketAddr>().ok().map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> AddressPrefix {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_contain_what_begins_with_their_bits() {
        for (text, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
        ] {
            assert!(prefix(text).contains(ip(inside)), "{inside} in {text}");
            assert!(!prefix(text).contains(ip(outside)), "{outside} in {text}");
        }
        assert!(prefix("10.0.0.0/8").contains(ip("::ffff:10.1.1.1")));
        for wrong in ["", "localhost", "10.0.0.0/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4:80"] {
            assert!(wrong.parse::<AddressPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_ipv6_client_is_its_prefix() {
        assert_eq!(ClientKey::of(ip("2001:db8::1")), ClientKey::of(ip("2001:db8::ffff:2")));
        assert_ne!(ClientKey::of(ip("2001:db8::1")), ClientKey::of(ip("2001:db8:0:1::1")));
        assert_eq!(ClientKey::of(ip("::ffff:1.2.3.4")), ClientKey::of(ip("1.2.3.4")));
        assert_ne!(ClientKey::of(ip("1.2.3.4")), ClientKey::of(ip("1.2.3.5")));
    }

    #[test]
    fn only_a_trusted_proxy_tells_who_the_client_is() {
        let proxies = TrustedProxies::new(vec![prefix("127.0.0.1"), prefix("10.0.0.0/8")]);
        let client = |peer: &str, told: &[&str]| {
            let headers: HeaderMap =
                told.iter().map(|value| (FORWARDED_FOR.parse().unwrap(), value.parse().unwrap())).collect();
            let client = proxies.client(format!("{peer}:5000").parse().unwrap(), &headers);
            (client.address.ip().to_string(), client.forwarded)
        };
        let told = |address: &str| (address.to_owned(), true);
        let seen = |address: &str| (address.to_owned(), false);
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), seen("192.0.2.1"), "a stranger's word does not count");
        assert_eq!(client("127.0.0.1", &[]), seen("127.0.0.1"));
        assert_eq!(client("127.0.0.1", &["203.0.113.9"]), told("203.0.113.9"));
        assert_eq!(client("127.0.0.1", &["198.51.100.1, 203.0.113.9"]), told("203.0.113.9"), "the client's own word");
        assert_eq!(client("127.0.0.1", &["203.0.113.9, 10.1.2.3"]), told("203.0.113.9"), "through two proxies");
        assert_eq!(client("127.0.0.1", &["203.0.113.9", "10.1.2.3"]), told("203.0.113.9"), "in two lines");
        assert_eq!(client("127.0.0.1", &["10.9.9.9, 10.1.2.3"]), told("10.9.9.9"), "a client among the proxies");
        assert_eq!(client("127.0.0.1", &["nonsense"]), seen("127.0.0.1"));
        assert_eq!(client("127.0.0.1", &["203.0.113.9, unknown, 10.1.2.3"]), told("10.1.2.3"));
        assert_eq!(client("127.0.0.1", &["203.0.113.9:4711"]), told("203.0.113.9"));
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]:4711"]), told("2001:db8::1"));
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]"]), told("2001:db8::1"));
        assert_eq!(client("127.0.0.1", &["2001:db8::1"]), told("2001:db8::1"));
    }
}
