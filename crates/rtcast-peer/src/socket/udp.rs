//! A UDP socket with segmentation offload where the kernel has it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rtcast_proto::connection::TransmitBatch;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use super::kernel::{self, Message};

/// Space for one receive: as much as the kernel may join of a peer's datagrams.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Receives that one system call may return.
pub(crate) const RECEIVES: usize = quinn_udp::BATCH_SIZE;

/// What is asked of the kernel for the sockets of an endpoint. All of it only makes things faster: what the kernel does not
/// have, or is switched off here, is done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether the kernel may cut one long send into datagrams (UDP GSO). Default: yes.
    pub send_offload: bool,
    /// Whether the kernel may join received datagrams of one peer (UDP GRO). Default: yes.
    pub receive_offload: bool,
    /// Whether each thread has a socket of its own on the common port (`SO_REUSEPORT`). Without it the first thread reads
    /// for all. Default: yes.
    pub reuse_port: bool,
    /// The size of the kernel's buffers, in bytes each way; the system may cap it. Default: 4 MiB.
    pub buffer_size: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { send_offload: true, receive_offload: true, reuse_port: true, buffer_size: 4 << 20 }
    }
}

/// What the kernel can do for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketCapabilities {
    /// Datagrams that one call may send; 1 without segmentation offload.
    pub send_segments: usize,
    /// Datagrams that one receive may join; 1 without receive offload.
    pub receive_segments: usize,
    /// Whether several sockets may have one port.
    pub reuse_port: bool,
    /// The kernel's send buffer in bytes.
    pub send_buffer: usize,
    /// The kernel's receive buffer in bytes.
    pub receive_buffer: usize,
}

/// Less than this for a thread's socket loses packets when many viewers join at once.
const ENOUGH_BUFFER: usize = 1 << 20;

impl SocketCapabilities {
    /// What is missing and what that costs, a line each; empty where nothing is.
    pub fn shortcomings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.send_segments <= 1 {
            lines.push(
                "no UDP segmentation offload (GSO): every packet passes the kernel alone, about three times the CPU"
                    .into(),
            );
        }
        if self.receive_segments <= 1 {
            lines.push("no UDP receive offload (GRO): every packet is received alone, up to three times the CPU for incoming media".into());
        }
        if !self.reuse_port {
            lines.push(
                "no SO_REUSEPORT: one thread receives for all, a hop between cores for each incoming packet".into(),
            );
        }
        for (size, name, option) in
            [(self.send_buffer, "send", "net.core.wmem_max"), (self.receive_buffer, "receive", "net.core.rmem_max")]
        {
            if size < ENOUGH_BUFFER {
                lines.push(format!(
                    "the {name} buffer has {} KiB: bursts lose packets beyond it; raise it with: sysctl -w {option}=4194304",
                    size / 1024
                ));
            }
        }
        lines
    }
}

/// One UDP socket of a shard.
pub(crate) struct UdpSocket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    options: SocketOptions,
}

impl UdpSocket {
    /// Binds; `shared` lets several sockets have one port, among which the kernel spreads the peers.
    pub(crate) fn bind(address: SocketAddr, shared: bool, options: SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            #[cfg(unix)]
            socket.set_reuse_port(true)?;
        }
        // The system caps these silently; smaller buffers cost losses under load, no more.
        let _ = socket.set_send_buffer_size(options.buffer_size);
        let _ = socket.set_recv_buffer_size(options.buffer_size);
        socket.bind(&address.into())?;
        Self::wrap(socket, options)
    }

    /// A second handle to the same socket, for another thread to send by.
    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        Self::wrap(Socket::from(self.io.as_fd().try_clone_to_owned()?), self.options)
    }

    fn wrap(socket: Socket, options: SocketOptions) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        #[cfg(target_os = "linux")]
        if !options.receive_offload {
            kernel::set_receive_offload(socket.as_fd(), false)?;
        }
        // The state asks for them, and nobody here reads them.
        #[cfg(target_os = "linux")]
        if let Err(error) = kernel::set_receive_timestamps(socket.as_fd(), false) {
            debug!(%error, "the kernel goes on to note when datagrams come");
        }
        let io = mio::net::UdpSocket::from_std(socket.into());
        let local = io.local_addr()?;
        Ok(Self { io, state, local, options })
    }

    pub(crate) const fn local_address(&self) -> SocketAddr {
        self.local
    }

    pub(crate) const fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.io
    }

    pub(crate) fn capabilities(&self) -> SocketCapabilities {
        SocketCapabilities {
            send_segments: if self.options.send_offload { self.state.max_gso_segments() } else { 1 },
            receive_segments: if self.options.receive_offload { self.state.gro_segments() } else { 1 },
            reuse_port: self.options.reuse_port,
            send_buffer: self.state.send_buffer_size(self.reference()).unwrap_or(0),
            receive_buffer: self.state.recv_buffer_size(self.reference()).unwrap_or(0),
        }
    }

    /// Sends from `position` on what leaves by this socket and fits into one system call, and moves the position behind
    /// what left.
    ///
    /// # Errors
    /// What the system says of the datagrams at the position, which stays there. A refusal to segment is no error: then
    /// the run goes datagram by datagram.
    pub(crate) fn send(&self, batch: &TransmitBatch, position: &mut Position) -> io::Result<Sent> {
        let mut messages = Messages { socket: self, batch, position: *position, segments: self.segments() };
        #[cfg(target_os = "linux")]
        let taken = kernel::send_messages(self.io.as_fd(), messages.clone());
        #[cfg(not(target_os = "linux"))]
        let taken = messages.clone().next().map_or(Ok(0), |message| self.send_alone(&message).map(|()| 1));
        match taken {
            Ok(taken) => {
                let mut sent = Sent::default();
                for message in messages.by_ref().take(taken) {
                    sent.count(&message);
                }
                *position = messages.position;
                Ok(sent)
            }
            Err(error) if is_refusal(&error) => match messages.next() {
                Some(message) if message.segment_size.is_some() => self.send_cut(&message, batch, position),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Sends the rest of a run that the kernel would not segment, datagram by datagram.
    fn send_cut(&self, run: &Message<'_>, batch: &TransmitBatch, position: &mut Position) -> io::Result<Sent> {
        let mut sent = Sent::default();
        // Once more as a whole, by way of the state, which notes what the driver cannot do.
        match self.send_alone(run) {
            Ok(()) => {
                sent.count(run);
                position.skip();
            }
            Err(error) => {
                debug!(%error, destination = %run.destination, "the kernel refused to segment");
                let this = position.run;
                let mut messages = Messages { socket: self, batch, position: *position, segments: false };
                while messages.position.run == this
                    && let Some(message) = messages.next()
                {
                    self.send_alone(&message)?;
                    sent.count(&message);
                    *position = messages.position;
                }
            }
        }
        Ok(sent)
    }

    fn send_alone(&self, message: &Message<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: message.destination,
            ecn: None,
            contents: message.contents,
            segment_size: message.segment_size.map(usize::from),
            src_ip: message.source,
        };
        self.state.try_send(self.reference(), &transmit)
    }

    /// Waits until the socket takes more to send, at most so long. Returns whether it does.
    pub(crate) fn wait_writable(&self, limit: Duration) -> bool {
        kernel::wait_writable(self.io.as_fd(), limit)
    }

    fn segments(&self) -> bool {
        self.options.send_offload && self.state.max_gso_segments() > 1
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

/// How far a batch has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The run.
    pub(crate) run: usize,
    /// The bytes of it that have left.
    offset: usize,
}

impl Position {
    /// Passes over the rest of the run.
    pub(crate) const fn skip(&mut self) {
        self.run += 1;
        self.offset = 0;
    }
}

/// What one system call sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

impl Sent {
    fn count(&mut self, message: &Message<'_>) {
        let size = message.segment_size.map_or(message.contents.len(), usize::from);
        self.datagrams += message.contents.len().div_ceil(size.max(1));
        self.bytes += message.contents.len();
    }
}

/// The messages of a batch from a position on, up to the first that leaves by another socket: whole runs where the kernel
/// segments, else single datagrams.
#[derive(Clone)]
struct Messages<'a> {
    socket: &'a UdpSocket,
    batch: &'a TransmitBatch,
    position: Position,
    segments: bool,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let run = self.batch.run(self.position.run)?;
        let local = self.socket.local;
        if run.source.port() != local.port() || run.source.is_ipv4() != local.is_ipv4() {
            return None;
        }
        let rest = run.contents.get(self.position.offset..).unwrap_or_default();
        let single = rest.len() <= run.segment_size;
        let contents = if single || self.segments { rest } else { &rest[..run.segment_size] };
        self.position.offset += contents.len();
        if self.position.offset >= run.contents.len() {
            self.position.skip();
        }
        Some(Message {
            destination: run.destination,
            source: local.ip().is_unspecified().then(|| run.source.ip()),
            contents,
            segment_size: if single || !self.segments { None } else { u16::try_from(run.segment_size).ok() },
        })
    }
}

fn is_refusal(error: &io::Error) -> bool {
    // The numbers are the system's: EMSGSIZE is 90 on Linux and 40 on macOS.
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
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
    /// Who sent what there is, in its order.
    pub(crate) fn senders(&self) -> impl Iterator<Item = SocketAddr> {
        self.meta.iter().take(self.count).map(|meta| meta.addr)
    }

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
    use rtcast_proto::ice::SelectedPair;

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

    fn send_all(socket: &UdpSocket, batch: &TransmitBatch) -> (Sent, usize) {
        let (mut all, mut calls, mut position) = (Sent::default(), 0, Position::default());
        while position.run < batch.runs() {
            let sent = socket.send(batch, &mut position).unwrap();
            all.datagrams += sent.datagrams;
            all.bytes += sent.bytes;
            calls += 1;
        }
        (all, calls)
    }

    #[test]
    fn runs_arrive_as_their_datagrams_with_and_without_segmentation() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // A machine without IPv6 has two addresses fewer.
            if UdpSocket::bind(address.parse().unwrap(), false, SocketOptions::default()).is_err() {
                continue;
            }
            for segmentation in [true, false] {
                let options = SocketOptions { send_offload: segmentation, ..SocketOptions::default() };
                let sender = UdpSocket::bind(address.parse().unwrap(), false, options).unwrap();
                let loopback = if sender.local_address().is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let loopback: SocketAddr = loopback.parse().unwrap();
                let receivers = [(); 3].map(|()| UdpSocket::bind(loopback, false, SocketOptions::default()).unwrap());
                let source = SocketAddr::new(loopback.ip(), sender.local_address().port());
                let mut batch = TransmitBatch::default();
                for receiver in &receivers {
                    let pair = SelectedPair { local: source, remote: receiver.local_address() };
                    for number in 0..10_u8 {
                        assert!(batch.push(pair, &[number; 1_000]));
                    }
                    assert!(batch.push(pair, &[10; 300]));
                }
                let (sent, calls) = send_all(&sender, &batch);
                assert_eq!(sent, Sent { datagrams: 33, bytes: 3 * 10_300 });
                assert!(calls <= if cfg!(not(target_os = "linux")) { 33 } else { 2 }, "{calls} calls");
                for receiver in &receivers {
                    let datagrams = receive_all(receiver, 11);
                    assert_eq!(datagrams.len(), 11);
                    for (number, datagram) in datagrams.iter().enumerate() {
                        assert!(datagram.iter().all(|byte| *byte == number as u8));
                    }
                    assert_eq!(datagrams[10].len(), 300);
                }
            }
        }
    }

    #[test]
    fn a_batch_for_several_sockets_stops_at_the_first_run_of_another() {
        let bind = |()| UdpSocket::bind("127.0.0.1:0".parse().unwrap(), false, SocketOptions::default()).unwrap();
        let [first, second, receiver] = [(); 3].map(bind);
        let mut batch = TransmitBatch::default();
        for local in [&first, &first, &second].map(UdpSocket::local_address) {
            assert!(batch.push(SelectedPair { local, remote: receiver.local_address() }, b"x"));
            assert!(batch.push(SelectedPair { local, remote: receiver.local_address() }, b"longer"));
        }
        let mut position = Position::default();
        first.send(&batch, &mut position).unwrap();
        assert_eq!(batch.run(position.run).unwrap().source, second.local_address());
        while position.run < batch.runs() {
            second.send(&batch, &mut position).unwrap();
        }
        assert_eq!(receive_all(&receiver, 6).len(), 6);
        assert!(second.wait_writable(Duration::ZERO));
    }
}
