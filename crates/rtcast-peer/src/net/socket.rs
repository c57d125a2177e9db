//! A UDP socket with segmentation offload where the kernel has it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rtcast_proto::connection::Transmit;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

/// Space for one receive: as much as the kernel may join of a peer's datagrams.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Receives that one system call may return.
const RECEIVES: usize = 8;

/// The kernel's buffers hold what comes in or goes out while the thread is busy with all its viewers.
const KERNEL_BUFFER: usize = 4 << 20;

/// What the kernel can do for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketCapabilities {
    /// Datagrams that one call may send; 1 without segmentation offload.
    pub send_segments: usize,
    /// Datagrams that one receive may join; 1 without receive offload.
    pub receive_segments: usize,
    /// The kernel's send buffer in bytes.
    pub send_buffer: usize,
    /// The kernel's receive buffer in bytes.
    pub receive_buffer: usize,
}

/// One UDP socket of a shard.
pub(crate) struct UdpSocket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    segmentation: bool,
}

impl UdpSocket {
    /// Binds; `shared` lets several sockets have one port, among which the kernel spreads the peers.
    pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            #[cfg(unix)]
            socket.set_reuse_port(true)?;
        }
        // The system caps these silently; smaller buffers cost losses under load, no more.
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let io = mio::net::UdpSocket::from_std(socket.into());
        let local = io.local_addr()?;
        Ok(Self { io, state, local, segmentation: true })
    }

    pub(crate) const fn local_address(&self) -> SocketAddr {
        self.local
    }

    pub(crate) const fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.io
    }

    /// Sends one packet at a time even where the kernel could do more.
    pub(crate) const fn disable_segmentation(&mut self) {
        self.segmentation = false;
    }

    pub(crate) fn capabilities(&self) -> SocketCapabilities {
        let socket = self.reference();
        SocketCapabilities {
            send_segments: if self.segmentation { self.state.max_gso_segments() } else { 1 },
            receive_segments: self.state.gro_segments(),
            send_buffer: self.state.send_buffer_size(socket).unwrap_or(0),
            receive_buffer: self.state.recv_buffer_size(self.reference()).unwrap_or(0),
        }
    }

    /// Sends a run of datagrams, in one call where the kernel segments. Returns how many system calls it took.
    ///
    /// # Errors
    /// What the system says of the first datagram that it refuses; the rest of the run is not sent.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) -> io::Result<usize> {
        let source_ip = (!self.local.ip().is_unspecified()).then_some(()).map_or(Some(transmit.source.ip()), |()| None);
        let whole = transmit.contents.len() <= transmit.segment_size;
        if whole || (self.segmentation && self.state.max_gso_segments() > 1) {
            let segment_size = (!whole).then_some(transmit.segment_size);
            match self.send_one(transmit.destination, source_ip, transmit.contents, segment_size) {
                // The path or the driver takes no segments: the state has noted it, and the datagrams go one by one.
                Err(error) if !whole && is_refusal(&error) => debug!(%error, "the kernel refused to segment"),
                result => return result.map(|()| 1),
            }
        }
        let mut calls = 0;
        for datagram in transmit.datagrams() {
            self.send_one(transmit.destination, source_ip, datagram, None)?;
            calls += 1;
        }
        Ok(calls)
    }

    fn send_one(
        &self,
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip };
        self.state.try_send(self.reference(), &transmit)
    }

    /// Receives what is there, at most a few joined datagrams of several peers.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub(crate) fn receive(&self, buffers: &mut ReceivedDatagrams) -> io::Result<()> {
        let mut slices = buffers.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        buffers.count = 0;
        buffers.count = self.state.recv(self.reference(), &mut slices, &mut buffers.meta)?;
        Ok(())
    }

    fn reference(&self) -> UdpSockRef<'_> {
        UdpSockRef::from(&self.io)
    }
}

fn is_refusal(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    const EINVAL: i32 = 22;
    const EMSGSIZE: i32 = 90;
    matches!(error.raw_os_error(), Some(EIO | EINVAL | EMSGSIZE))
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// The buffers of [`UdpSocket::receive`], reused for every call.
pub(crate) struct ReceivedDatagrams {
    buffers: [Box<[u8]>; RECEIVES],
    meta: [RecvMeta; RECEIVES],
    count: usize,
}

impl Default for ReceivedDatagrams {
    fn default() -> Self {
        Self {
            buffers: std::array::from_fn(|_| vec![0; RECEIVE_BUFFER].into_boxed_slice()),
            meta: [RecvMeta::default(); RECEIVES],
            count: 0,
        }
    }
}

impl ReceivedDatagrams {
    /// Calls `each` with the sender, our address that was meant, if the system tells, and the datagram.
    pub(crate) fn for_each(&mut self, mut each: impl FnMut(SocketAddr, Option<IpAddr>, &mut [u8])) {
        for (meta, buffer) in self.meta.iter().zip(&mut self.buffers).take(self.count) {
            let Some(bytes) = buffer.get_mut(..meta.len) else { continue };
            for datagram in bytes.chunks_mut(meta.stride.max(1)) {
                each(meta.addr, meta.dst_ip, datagram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_all(socket: &UdpSocket, expected: usize) -> Vec<Vec<u8>> {
        let mut received = ReceivedDatagrams::default();
        let mut all = Vec::new();
        for _ in 0..2_000 {
            match socket.receive(&mut received) {
                Ok(()) => received.for_each(|_, _, datagram| all.push(datagram.to_vec())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            if all.len() >= expected {
                break;
            }
        }
        all
    }

    #[test]
    fn a_run_arrives_as_its_datagrams_with_and_without_segmentation() {
        for segmentation in [true, false] {
            let mut sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
            let receiver = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
            if !segmentation {
                sender.disable_segmentation();
            }
            let contents: Vec<u8> = (0..10u8).flat_map(|number| vec![number; 1_000]).chain(vec![10; 300]).collect();
            let transmit = Transmit {
                source: sender.local_address(),
                destination: receiver.local_address(),
                contents: &contents,
                segment_size: 1_000,
            };
            let calls = sender.send(&transmit).unwrap();
            if !segmentation {
                assert_eq!(calls, 11);
            }
            let datagrams = receive_all(&receiver, 11);
            assert_eq!(datagrams.len(), 11);
            assert!(
                datagrams
                    .iter()
                    .enumerate()
                    .all(|(number, datagram)| datagram.iter().all(|byte| *byte == number as u8))
            );
            assert_eq!(datagrams[10].len(), 300);
        }
    }
}
