//! The sockets of a shard: those that its connections share, and those that single connections own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};
use rtcast_proto::connection::TransmitBatch;
use tracing::{debug, warn};

use super::Counters;
use super::command::ConnectionId;
use crate::socket::{Position, UdpSocket};

/// How long a full socket may hold up the shard at a time. What has not left by then is dropped; the frames that wait
/// meanwhile are dropped whole, once they are late.
const SEND_PATIENCE: Duration = Duration::from_millis(100);

/// A socket and, if it is not shared, its connection.
type Slot = (UdpSocket, Option<ConnectionId>);

pub(super) struct Sockets {
    /// Shared ones first, in the order in which they were given.
    slots: HashMap<Token, Slot>,
    /// By port and whether it is IPv4.
    by_port: HashMap<(u16, bool), Token>,
    next: usize,
}

impl Sockets {
    /// Takes the shared sockets, to read and send by them or, where another shard reads, to send only.
    pub(super) fn new(poll: &Poll, shared: Vec<UdpSocket>, reads: bool) -> io::Result<Self> {
        let mut sockets = Self { slots: HashMap::new(), by_port: HashMap::new(), next: 0 };
        for socket in shared {
            sockets.insert(reads.then_some(poll), socket, None)?;
        }
        Ok(sockets)
    }

    /// Registers a socket of one connection.
    pub(super) fn add(&mut self, poll: &Poll, socket: UdpSocket, owner: ConnectionId) -> Option<Token> {
        self.insert(Some(poll), socket, Some(owner))
            .inspect_err(|error| warn!(%error, "a socket cannot be polled, its connection goes without"))
            .ok()
    }

    pub(super) fn get(&self, token: Token) -> Option<(&UdpSocket, Option<ConnectionId>)> {
        self.slots.get(&token).map(|(socket, owner)| (socket, *owner))
    }

    /// The socket that has this address.
    pub(super) fn for_source(&self, source: SocketAddr) -> Option<&UdpSocket> {
        let token = self.by_port.get(&(source.port(), source.is_ipv4()))?;
        self.slots.get(token).map(|(socket, _)| socket)
    }

    /// Has the poll report again what is still waiting.
    pub(super) fn poll_again(&mut self, poll: &Poll, token: Token) {
        let Some((socket, _)) = self.slots.get_mut(&token) else { return };
        if let Err(error) = poll.registry().reregister(socket.source(), token, Interest::READABLE) {
            warn!(%error, "a socket cannot be polled any more");
        }
    }

    pub(super) fn remove(&mut self, poll: &Poll, token: Token) {
        let Some((mut socket, _)) = self.slots.remove(&token) else { return };
        let local = socket.local_address();
        self.by_port.remove(&(local.port(), local.is_ipv4()));
        // The socket is closed next, which ends its registration in any case.
        let _ = poll.registry().deregister(socket.source());
    }

    fn insert(&mut self, poll: Option<&Poll>, mut socket: UdpSocket, owner: Option<ConnectionId>) -> io::Result<Token> {
        let token = Token(self.next);
        self.next += 1;
        if let Some(poll) = poll {
            poll.registry().register(socket.source(), token, Interest::READABLE)?;
        }
        let local = socket.local_address();
        self.by_port.insert((local.port(), local.is_ipv4()), token);
        self.slots.insert(token, (socket, owner));
        Ok(token)
    }
}

/// Sends the batch and empties it.
pub(super) fn send(sockets: &Sockets, batch: &mut TransmitBatch, counters: &Counters) {
    let (mut datagrams, mut bytes, mut calls, mut errors) = (0, 0, 0, 0);
    let mut position = Position::default();
    let mut give_up_at = None;
    while let Some(run) = batch.run(position.run) {
        let Some(socket) = sockets.for_source(run.source) else {
            errors += run.datagrams().len();
            position.skip();
            continue;
        };
        calls += 1;
        match socket.send(batch, &mut position) {
            Ok(sent) => {
                datagrams += sent.datagrams;
                bytes += sent.bytes;
            }
            // The socket's buffer is full: the network is slower than what is to be sent. Waiting lets it empty, and
            // meanwhile frames are dropped whole before they come here.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let now = Instant::now();
                let give_up_at = *give_up_at.get_or_insert(now + SEND_PATIENCE);
                if !socket.wait_writable(give_up_at.saturating_duration_since(now)) {
                    errors += batch.iter().skip(position.run).map(|run| run.datagrams().len()).sum::<usize>();
                    break;
                }
            }
            // The path is gone. What is lost here is repaired like any other loss.
            Err(error) => {
                debug!(%error, destination = %run.destination, "a run of datagrams was not sent");
                errors += run.datagrams().len();
                position.skip();
            }
        }
    }
    batch.clear();
    count(&counters.datagrams_sent, datagrams);
    count(&counters.bytes_sent, bytes);
    count(&counters.send_calls, calls);
    count(&counters.send_errors, errors);
}

pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
