//! How much may wait for a shard of what comes by detours: TCP connections and relays.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What may wait of one connection, in pieces of [`PIECE`] bytes.
const MAX_OF_ONE: usize = 64;

/// What may wait of all connections of a shard.
const MAX_OF_ALL: usize = 1_024;

/// A datagram takes a place for each piece of so many bytes that it has begun.
const PIECE: usize = 2_048;

/// Places in the queue of a shard for what comes by the detours of one connection. A TCP connection is not read while
/// there are none; what a relay brings meanwhile is dropped, as a full socket buffer does.
#[derive(Clone)]
pub(crate) struct Inbound {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// A place that is taken, until this is dropped.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The places of all connections of a shard.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_OF_ALL))
}

impl Inbound {
    pub(super) fn new(all: &Arc<Semaphore>) -> Self {
        Self { own: Arc::new(Semaphore::new(MAX_OF_ONE)), all: Arc::clone(all) }
    }

    /// Waits for a place. Whoever waits longest is served first.
    pub(crate) async fn wait(&self, bytes: usize) -> Option<Place> {
        // Neither is ever closed.
        let own = Arc::clone(&self.own).acquire_many_owned(pieces(bytes)).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(pieces(bytes)).await.ok()?;
        Some(Place { _own: own, _all: all })
    }

    /// Takes a place, if there is one.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Place> {
        let own = Arc::clone(&self.own).try_acquire_many_owned(pieces(bytes)).ok()?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(pieces(bytes)).ok()?;
        Some(Place { _own: own, _all: all })
    }
}

/// A frame of RFC 4571 has 64 KiB at most, which is half of what one connection may have.
fn pieces(bytes: usize) -> u32 {
    u32::try_from((bytes / PIECE + 1).min(MAX_OF_ONE)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_has_its_share_and_all_have_theirs() {
        let all = places();
        let one = Inbound::new(&all);
        let taken: Vec<Place> = std::iter::from_fn(|| one.try_take(1_200)).collect();
        assert_eq!(taken.len(), MAX_OF_ONE);
        let other = Inbound::new(&all);
        assert!(other.try_take(1_200).is_some(), "another connection has places of its own");
        drop(taken);
        let long: Vec<Place> = std::iter::from_fn(|| one.try_take(65_535)).collect();
        assert_eq!(long.len(), 2, "long datagrams count for what they weigh");
        drop(long);
        let crowd: Vec<Inbound> = (0..100).map(|_| Inbound::new(&all)).collect();
        let taken: usize =
            crowd.iter().map(|one| std::iter::from_fn(|| one.try_take(100)).map(std::mem::forget).count()).sum();
        assert_eq!(taken, MAX_OF_ALL);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_a_place_is_free() {
        let inbound = Inbound::new(&places());
        let mut taken: Vec<Place> = std::iter::from_fn(|| inbound.try_take(1)).collect();
        let waiting = tokio::spawn({
            let inbound = inbound.clone();
            async move { inbound.wait(1).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        taken.pop();
        assert!(waiting.await.unwrap());
    }
}
