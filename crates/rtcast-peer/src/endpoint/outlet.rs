//! What a connection has to send, on its way to the sockets or around them.

use std::sync::Arc;
use std::time::Instant;

use rtcast_proto::connection::{Connection, TransmitBatch};

use super::Counters;
use super::addresses::Own;
use super::entry::Entry;
use super::sockets::{Sockets, send};

/// What a shard sends by.
pub(super) struct Outlet {
    pub(super) sockets: Sockets,
    pub(super) batch: TransmitBatch,
    pub(super) counters: Arc<Counters>,
}

impl Outlet {
    /// Takes all that a connection has to send. What goes by sockets is in the batch afterwards, or was sent where it did
    /// not fit; the rest has taken its detour. `seen` is shown each part while it is in the batch, which begins with the
    /// run of that number.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        entry: &mut Entry,
        mut seen: impl FnMut(&Connection, Own<'_>, &TransmitBatch, usize),
    ) {
        let Entry { connection, detours, companion, remotes, claims, .. } = entry;
        if let Some(detours) = detours {
            // A batch is diverted whole, so it holds nothing of others.
            self.flush();
            loop {
                let done = connection.poll_transmit(now, &mut self.batch);
                detours.divert(&mut self.batch, &self.counters, companion.as_deref_mut());
                seen(connection, (remotes, claims), &self.batch, 0);
                self.flush();
                if done {
                    return;
                }
            }
        }
        let mut before = self.batch.runs();
        loop {
            let done = connection.poll_transmit(now, &mut self.batch);
            seen(connection, (remotes, claims), &self.batch, before);
            if done {
                return;
            }
            self.flush();
            before = 0;
        }
    }

    /// Sends what is in the batch.
    pub(super) fn flush(&mut self) {
        send(&self.sockets, &mut self.batch, &self.counters);
    }
}
