//! Resolving names that end in `.local` (RFC 6762), which browsers give instead of their addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rtcast_proto::ice::{mdns_answers, mdns_query};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tracing::debug;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5_353;

/// When the question is asked, and when it is given up. RFC 6762 §5.2 asks for a second at least between the first two;
/// a name of ICE lives for minutes only, and who waits for it is a person.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// The first address of a name that somebody in our networks answers with.
pub(super) async fn resolve(name: &str) -> Option<IpAddr> {
    let query = mdns_query(name)?;
    // As any responder, on the port of mDNS: some answer to the whole group only.
    let sockets = match sockets(PORT).or_else(|_| sockets(0)) {
        Ok(sockets) => sockets,
        Err(error) => {
            debug!(%error, "a name cannot be asked for by mDNS");
            return None;
        }
    };
    let mut buffer = [0; 9_000];
    for wait in WAITS {
        for socket in &sockets {
            // An interface without multicast cannot carry the question; the others can.
            let _ = socket.send_to(&query, (GROUP, PORT)).await;
        }
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // All sockets get what comes to the group, so that the first hears every answer to it; what comes to one of
            // them alone is heard there.
            let heard = std::future::poll_fn(|context| {
                for socket in &sockets {
                    let mut space = tokio::io::ReadBuf::new(&mut buffer);
                    if let std::task::Poll::Ready(Ok(_)) = socket.poll_recv_from(context, &mut space) {
                        return std::task::Poll::Ready(mdns_answers(space.filled(), name));
                    }
                }
                std::task::Poll::Pending
            });
            match tokio::time::timeout_at(deadline, heard).await {
                Ok(found) => {
                    if let Some(address) = found.first() {
                        return Some(*address);
                    }
                }
                Err(_) => break,
            }
        }
    }
    None
}

/// A socket for each network that we are in.
fn sockets(port: u16) -> io::Result<Vec<UdpSocket>> {
    let interfaces: BTreeSet<Ipv4Addr> = if_addrs::get_if_addrs()?
        .into_iter()
        .filter_map(|interface| match interface.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    let mut sockets = Vec::new();
    for interface in interfaces {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        socket.set_multicast_if_v4(&interface)?;
        // RFC 6762 §11: answers with another TTL are not from our network.
        socket.set_multicast_ttl_v4(255)?;
        if socket.join_multicast_v4(&GROUP, &interface).is_ok() {
            sockets.push(UdpSocket::from_std(socket.into())?);
        }
    }
    Ok(sockets)
}
