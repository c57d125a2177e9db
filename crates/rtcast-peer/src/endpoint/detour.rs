//! Ways to a peer that do not go through the shard's sockets: relays, and TCP connections.
//!
//! Tasks elsewhere carry the datagrams. A connection without detours pays one test for their absence and no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtcast_proto::connection::{Transmit, TransmitBatch};
use rtcast_proto::ice::{SelectedPair, TCP_ACTIVE_PORT};
use tokio::sync::mpsc;

use super::Counters;
use super::command::ShardHandle;
use super::inbound::Inbound;
use super::observer::Companion;
use super::sockets::count;

/// Runs of datagrams that may wait for a detour. When it is full the newest are dropped, as a full socket buffer does.
pub(crate) const DETOUR_CAPACITY: usize = 256;

/// Detours of one connection; a peer that names more addresses than this is not called at the others.
const MAX_DETOURS: usize = 64;

/// Bytes that may wait for a detour: a second of a stream, and no more of one whose peer does not read.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// Bytes that may wait for all detours of an endpoint. Beyond it each has only what a handshake needs.
const MAX_WAITING_BYTES_OF_ALL: usize = 64 << 20;
const LEAST_WAITING_BYTES: usize = 16 << 10;

/// Datagrams on their way to a detour: all of one length but the last.
#[derive(Debug)]
pub(crate) struct DetouredRun {
    pub(crate) destination: SocketAddr,
    pub(crate) contents: Vec<u8>,
    pub(crate) segment_size: usize,
    _weight: Weight,
}

/// Bytes that wait, until this is dropped.
#[derive(Debug)]
struct Weight {
    own: Arc<AtomicUsize>,
    all: Arc<Counters>,
    bytes: usize,
}

impl Weight {
    /// Adds what is to wait, if it may.
    fn add(own: &Arc<AtomicUsize>, all: &Arc<Counters>, bytes: usize) -> Option<Self> {
        let waiting = own.load(Ordering::Relaxed) + bytes;
        let crowded = all.detoured_bytes.load(Ordering::Relaxed) + bytes > MAX_WAITING_BYTES_OF_ALL;
        if waiting > MAX_WAITING_BYTES || (crowded && waiting > LEAST_WAITING_BYTES) {
            return None;
        }
        own.fetch_add(bytes, Ordering::Relaxed);
        all.detoured_bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Self { own: Arc::clone(own), all: Arc::clone(all), bytes })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.own.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.detoured_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What carries datagrams from one of our addresses.
pub(crate) struct Detour {
    /// The address that the agent sends from: a relay's at its server, or that of a TCP candidate.
    pub(crate) local: SocketAddr,
    /// The only peer that it reaches; `None` for any.
    pub(crate) remote: Option<SocketAddr>,
    carrier: mpsc::Sender<DetouredRun>,
    waiting: Arc<AtomicUsize>,
}

/// Those of one connection.
#[derive(Default)]
pub(crate) struct Detours {
    list: Vec<Detour>,
    /// Places in the shard's queue for what comes by TCP connections that were handed in.
    inbound: Option<Inbound>,
    /// Whether TCP connections may be opened to peers.
    pub(crate) tcp: bool,
}

impl Detours {
    /// Places in the queue of this shard for what comes by TCP connections that are handed in.
    pub(crate) fn inbound(&mut self, shard: &ShardHandle) -> Inbound {
        self.inbound.get_or_insert_with(|| shard.inbound()).clone()
    }

    /// Adds one; of two with the same addresses the newer counts.
    pub(crate) fn add(&mut self, detour: Detour) {
        self.remove(detour.local, detour.remote);
        self.list.push(detour);
    }

    pub(crate) fn remove(&mut self, local: SocketAddr, remote: Option<SocketAddr>) {
        self.list.retain(|detour| (detour.local, detour.remote) != (local, remote));
    }

    /// Whether a connection has as many as one peer needs.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_DETOURS
    }

    /// Takes out of the batch what goes by a detour, and leaves the rest to the sockets.
    pub(super) fn divert(
        &mut self,
        batch: &mut TransmitBatch,
        counters: &Arc<Counters>,
        mut companion: Option<&mut (dyn Companion + 'static)>,
    ) {
        if !self.tcp && !batch.iter().any(|transmit| self.list.iter().any(|detour| detour.carries(&transmit))) {
            return;
        }
        let mut rest = Vec::new();
        for transmit in batch.iter() {
            if self.tcp
                && transmit.source.port() == TCP_ACTIVE_PORT
                && self.list.len() < MAX_DETOURS
                && !self.list.iter().any(|detour| detour.carries(&transmit))
                && let Some(companion) = &mut companion
            {
                let (carrier, outgoing) = mpsc::channel(DETOUR_CAPACITY);
                self.list.push(Detour::new(transmit.source, Some(transmit.destination), carrier));
                companion.connect(transmit.source, transmit.destination, outgoing);
            }
            let Some(detour) = self.list.iter().find(|detour| detour.carries(&transmit)) else {
                let pair = SelectedPair { local: transmit.source, remote: transmit.destination };
                rest.push((pair, transmit.contents.to_vec(), transmit.segment_size));
                continue;
            };
            let sent = Weight::add(&detour.waiting, counters, transmit.contents.len()).is_some_and(|weight| {
                let (destination, segment_size) = (transmit.destination, transmit.segment_size);
                let contents = transmit.contents.to_vec();
                detour.carrier.try_send(DetouredRun { destination, contents, segment_size, _weight: weight }).is_ok()
            });
            if sent {
                count(&counters.datagrams_sent, transmit.datagrams().len());
                count(&counters.bytes_sent, transmit.contents.len());
            } else {
                count(&counters.send_errors, transmit.datagrams().len());
            }
        }
        batch.clear();
        for (pair, contents, segment_size) in rest {
            // It was in the batch a moment ago, so there is space.
            for datagram in contents.chunks(segment_size.max(1)) {
                let _ = batch.push(pair, datagram);
            }
        }
    }
}

impl Detour {
    /// A detour from that address of ours to that peer, or to any.
    pub(crate) fn new(local: SocketAddr, remote: Option<SocketAddr>, carrier: mpsc::Sender<DetouredRun>) -> Self {
        Self { local, remote, carrier, waiting: Arc::default() }
    }

    fn carries(&self, transmit: &Transmit<'_>) -> bool {
        self.local == transmit.source && self.remote.is_none_or(|remote| remote == transmit.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_peer_that_does_not_read_is_bounded_in_bytes() {
        let counters = Arc::new(Counters::new());
        let (local, remote) = ("192.0.2.1:10".parse().unwrap(), "192.0.2.2:20".parse().unwrap());
        let detours = |count: usize| {
            let with_receiver = |_| {
                let (carrier, outgoing) = mpsc::channel(DETOUR_CAPACITY);
                let mut detours = Detours::default();
                detours.add(Detour::new(local, Some(remote), carrier));
                (detours, outgoing)
            };
            (0..count).map(with_receiver).collect::<Vec<_>>()
        };
        let mut batch = TransmitBatch::default();
        let mut send = |detours: &mut Detours| {
            for _ in 0..40 {
                assert!(batch.push(SelectedPair { local, remote }, &[7; 1_000]));
            }
            detours.divert(&mut batch, &counters, None);
            assert!(batch.is_empty());
        };
        let mut crowd = detours(100);
        for (detours, _) in &mut crowd {
            for _ in 0..50 {
                send(detours);
            }
        }
        let waiting: Vec<usize> = crowd.iter().map(|(one, _)| one.list[0].waiting.load(Ordering::Relaxed)).collect();
        assert!(waiting.iter().all(|bytes| *bytes <= MAX_WAITING_BYTES), "{waiting:?}");
        assert!(waiting.iter().sum::<usize>() <= MAX_WAITING_BYTES_OF_ALL + 100 * LEAST_WAITING_BYTES);
        assert!(waiting[0] > MAX_WAITING_BYTES / 2, "one alone has a second of a stream");
        drop(crowd);
        assert_eq!(counters.detoured_bytes.load(Ordering::Relaxed), 0);
    }
}
