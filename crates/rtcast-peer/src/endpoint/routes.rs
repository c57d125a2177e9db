//! Which shard owns which peer address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

/// Addresses remembered; beyond it the table starts anew, and what is still in use is learned again from its next STUN
/// message.
const MAX_ROUTES: usize = 1 << 17;

/// The kernel spreads peers over the sockets of a port by its own hash, so a datagram may come to a shard that does not
/// own its connection. This table says who does; each shard keeps what it has asked.
#[derive(Debug, Default)]
pub(super) struct Routes {
    owners: RwLock<HashMap<SocketAddr, usize>>,
}

impl Routes {
    pub(super) fn owner(&self, remote: SocketAddr) -> Option<usize> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner).get(&remote).copied()
    }

    pub(super) fn learn(&self, remote: SocketAddr, shard: usize) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= MAX_ROUTES {
            owners.clear();
        }
        owners.insert(remote, shard);
    }

    pub(super) fn forget(&self, remote: SocketAddr) {
        self.owners.write().unwrap_or_else(PoisonError::into_inner).remove(&remote);
    }
}
