//! Names that end in `.local` (RFC 6762), which stand for addresses that a web page, or a peer elsewhere, is not to see:
//! those of peers are looked up elsewhere, ours are answered for (draft-ietf-mmusic-mdns-ice-candidates).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use rtcast_proto::ice::{mdns_announcement, mdns_response};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tracing::debug;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
pub(super) const PORT: u16 = 5_353;

/// The longest message of mDNS (RFC 6762 §17).
pub(super) const MAX_MESSAGE: usize = 9_000;

/// Between the two announcements of a name (RFC 6762 §8.3).
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// Answers whoever in our networks asks for one of these names, until it is dropped.
pub(super) async fn respond(names: Vec<(String, IpAddr)>) {
    let networks = match networks(PORT) {
        Ok(networks) => networks,
        Err(error) => {
            debug!(%error, "names of ours cannot be answered for by mDNS");
            return;
        }
    };
    let announcement = mdns_announcement(&names);
    // RFC 6762 §8.1: that nobody else has the name need not be found out, for it is random.
    for pause in [ANNOUNCE_AGAIN, Duration::MAX] {
        for network in &networks {
            network.tell(&announcement).await;
        }
        let answering = answer(&networks, &names);
        if tokio::time::timeout(pause, answering).await.is_ok() {
            return;
        }
    }
}

async fn answer(networks: &[Network], names: &[(String, IpAddr)]) {
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let (network, source, length) = receive(networks, &mut buffer).await;
        let Some(response) = mdns_response(&buffer[..length], names, source.port() == PORT) else { continue };
        if response.unicast {
            // Whoever has gone does not miss it.
            let _ = network.socket.send_to(&response.message, source).await;
            continue;
        }
        // All of our sockets hear a question to the group, so this one need not be that of the network it came from.
        for network in networks {
            network.tell(&response.message).await;
        }
    }
}

/// The next message, from whom it comes, and a socket that can answer. All sockets of a family get what comes to the
/// group, so that the first hears everything; what comes to one of them alone is heard there.
pub(super) async fn receive<'a>(networks: &'a [Network], buffer: &mut [u8]) -> (&'a Network, SocketAddr, usize) {
    std::future::poll_fn(|context| {
        for network in networks {
            let mut space = ReadBuf::new(buffer);
            if let Poll::Ready(Ok(source)) = network.socket.poll_recv_from(context, &mut space) {
                return Poll::Ready((network, source, space.filled().len()));
            }
        }
        Poll::Pending
    })
    .await
}

/// A network that we are in, in one family of addresses.
pub(super) struct Network {
    socket: UdpSocket,
    group: SocketAddr,
}

impl Network {
    pub(super) async fn tell(&self, message: &[u8]) {
        // An interface without multicast cannot carry the message; the others can.
        let _ = self.socket.send_to(message, self.group).await;
    }
}

/// All networks that can carry mDNS.
pub(super) fn networks(port: u16) -> io::Result<Vec<Network>> {
    let mut v4 = BTreeSet::new();
    let mut v6 = BTreeSet::new();
    for interface in if_addrs::get_if_addrs()? {
        match interface.ip() {
            IpAddr::V4(ip) => drop(v4.insert(ip)),
            IpAddr::V6(_) => v6.extend(interface.index),
        }
    }
    let mut networks = Vec::new();
    let mut failure = None;
    let joined = v4.into_iter().map(|interface| join_v4(interface, port));
    for network in joined.chain(v6.into_iter().map(|interface| join_v6(interface, port))) {
        match network {
            Ok(network) => networks.push(network),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if networks.is_empty() => Err(error),
        _ => Ok(networks),
    }
}

fn join_v4(interface: Ipv4Addr, port: u16) -> io::Result<Network> {
    let socket = shared_socket(Domain::IPV4)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.set_multicast_if_v4(&interface)?;
    // RFC 6762 §11: answers with another TTL are not from our network.
    socket.set_multicast_ttl_v4(255)?;
    socket.join_multicast_v4(&GROUP_V4, &interface)?;
    Ok(Network { socket: UdpSocket::from_std(socket.into())?, group: SocketAddr::from((GROUP_V4, PORT)) })
}

fn join_v6(interface: u32, port: u16) -> io::Result<Network> {
    let socket = shared_socket(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.set_multicast_if_v6(interface)?;
    socket.set_multicast_hops_v6(255)?;
    socket.join_multicast_v6(&GROUP_V6, interface)?;
    Ok(Network { socket: UdpSocket::from_std(socket.into())?, group: SocketAddr::from((GROUP_V6, PORT)) })
}

/// A socket on a port that others on this machine have as well.
fn shared_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
