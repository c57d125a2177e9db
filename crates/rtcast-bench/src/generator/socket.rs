//! UDP sockets of the generator.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rtcast_proto::connection::Transmit;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

/// Space for one receive: as much as the kernel may join of a sender's datagrams.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// What the kernel may keep for a socket while the generator is busy elsewhere. Beyond what the system allows to
/// everybody it needs privileges; without them it is the system's limit.
const KERNEL_BUFFER: usize = 64 << 20;

pub(crate) struct Socket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Binds. With `join`, the kernel may hand over a whole run of datagrams as one (UDP GRO).
    pub(crate) fn bind(address: SocketAddr, join: bool) -> io::Result<Self> {
        let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !join {
            setsockopt(&socket, sockopt::UdpGroSegment, &false)?;
        }
        let io = mio::net::UdpSocket::from_std(socket.into());
        let local = io.local_addr()?;
        Ok(Self { io, state, local })
    }

    pub(crate) const fn local_address(&self) -> SocketAddr {
        self.local
    }

    pub(crate) const fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.io
    }

    /// Sends datagrams one by one: they are few and short.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let src_ip = self.local.ip().is_unspecified().then(|| transmit.source.ip());
        for contents in transmit.datagrams() {
            let destination = transmit.destination;
            let one = quinn_udp::Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
            self.state.try_send(UdpSockRef::from(&self.io), &one)?;
        }
        Ok(())
    }

    /// Receives what is there, as far as the buffers reach; [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub(crate) fn receive(&self, buffers: &mut Buffers) -> io::Result<()> {
        let mut slices: Vec<IoSliceMut<'_>> = buffers.bytes.iter_mut().map(|bytes| IoSliceMut::new(bytes)).collect();
        buffers.count = 0;
        buffers.count = self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut buffers.meta)?;
        Ok(())
    }
}

/// The buffers of [`Socket::receive`], reused for every call.
pub(crate) struct Buffers {
    bytes: Vec<Box<[u8]>>,
    meta: [RecvMeta; BATCH_SIZE],
    count: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            bytes: (0..BATCH_SIZE).map(|_| vec![0; RECEIVE_BUFFER].into_boxed_slice()).collect(),
            meta: [RecvMeta::default(); BATCH_SIZE],
            count: 0,
        }
    }
}

/// Datagrams that one sender sent to one address of ours, received in one piece.
pub(crate) struct Received<'a> {
    pub(crate) source: SocketAddr,
    /// Our address that was meant, if the system tells.
    pub(crate) destination: Option<IpAddr>,
    bytes: &'a mut [u8],
    stride: usize,
}

impl Received<'_> {
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_mut(self.stride.max(1))
    }
}

impl Buffers {
    pub(crate) fn received(&mut self) -> impl Iterator<Item = Received<'_>> {
        self.meta.iter().zip(&mut self.bytes).take(self.count).map(|(meta, bytes)| Received {
            source: meta.addr,
            destination: meta.dst_ip.map(plain),
            bytes: &mut bytes[..meta.len],
            stride: meta.stride,
        })
    }
}

fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => ip.to_canonical(),
        IpAddr::V4(ip) => IpAddr::V4(ip),
    }
}

/// The address of this machine from which a host is reached, found by the system's routes; nothing is sent.
pub(crate) fn address_towards(host: SocketAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr =
        if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { "::".parse().map_err(io::Error::other)? };
    let socket = std::net::UdpSocket::bind((unspecified, 0))?;
    socket.connect(host)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_has_many_loopback_addresses() {
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for join in [true, false] {
            let socket = Socket::bind("0.0.0.0:0".parse().unwrap(), join).unwrap();
            let port = socket.local_address().port();
            for host in 2..6 {
                sender.send_to(&[host; 9], (Ipv4Addr::new(127, 0, 0, host), port)).unwrap();
            }
            let (mut buffers, mut seen) = (Buffers::default(), Vec::new());
            while seen.len() < 4 {
                match socket.receive(&mut buffers) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => panic!("{error}"),
                }
                for mut received in buffers.received() {
                    assert_eq!(received.source, sender.local_addr().unwrap());
                    let host = received.datagrams().next().unwrap()[0];
                    assert_eq!(received.destination, Some(Ipv4Addr::new(127, 0, 0, host).into()));
                    seen.push(host);
                }
            }
            assert_eq!(seen, [2, 3, 4, 5]);
        }
        assert!(address_towards("127.0.0.1:9".parse().unwrap()).unwrap().is_loopback());
    }
}
