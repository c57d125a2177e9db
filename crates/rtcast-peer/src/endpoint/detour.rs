//! Ways to a peer that do not go through the shard's sockets: relays, and TCP connections.
//!
//! Tasks elsewhere carry the datagrams. A connection without detours pays one test for their absence and no more.

use std::net::SocketAddr;

use rtcast_proto::connection::{Transmit, TransmitBatch};
use rtcast_proto::ice::{SelectedPair, TCP_ACTIVE_PORT};
use tokio::sync::mpsc;

use super::Counters;
use super::sockets::count;
use crate::network::NetworkHandle;

/// Runs of datagrams that may wait for a detour. When it is full the newest are dropped, as a full socket buffer does.
pub(crate) const DETOUR_CAPACITY: usize = 256;

/// Detours of one connection; a peer that names more addresses than this is not called at the others.
const MAX_DETOURS: usize = 64;

/// Datagrams on their way to a detour: all of one length but the last.
#[derive(Debug)]
pub(crate) struct DetouredRun {
    pub(crate) destination: SocketAddr,
    pub(crate) contents: Vec<u8>,
    pub(crate) segment_size: usize,
}

/// What carries datagrams from one of our addresses.
pub(crate) struct Detour {
    /// The address that the agent sends from: a relay's at its server, or that of a TCP candidate.
    pub(crate) local: SocketAddr,
    /// The only peer that it reaches; `None` for any.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) carrier: mpsc::Sender<DetouredRun>,
}

/// Those of one connection.
#[derive(Default)]
pub(crate) struct Detours {
    list: Vec<Detour>,
    /// Whether TCP connections may be opened to peers.
    pub(crate) tcp: bool,
}

impl Detours {
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
        counters: &Counters,
        mut network: Option<&mut NetworkHandle>,
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
                && let Some(network) = &mut network
            {
                let (carrier, outgoing) = mpsc::channel(DETOUR_CAPACITY);
                self.list.push(Detour { local: transmit.source, remote: Some(transmit.destination), carrier });
                network.connect(transmit.source, transmit.destination, outgoing);
            }
            let contents = transmit.contents.to_vec();
            let Some(detour) = self.list.iter().find(|detour| detour.carries(&transmit)) else {
                let pair = SelectedPair { local: transmit.source, remote: transmit.destination };
                rest.push((pair, contents, transmit.segment_size));
                continue;
            };
            let run = DetouredRun { destination: transmit.destination, contents, segment_size: transmit.segment_size };
            if detour.carrier.try_send(run).is_ok() {
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
    fn carries(&self, transmit: &Transmit<'_>) -> bool {
        self.local == transmit.source && self.remote.is_none_or(|remote| remote == transmit.destination)
    }
}
