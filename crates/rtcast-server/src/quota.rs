//! Bounds that hold for each client, and for all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::ClientKey;

/// Nobody gets more than a fourth of what is free then, so that clients who take all they can leave room for others: each
/// leaves four fifths of what it finds.
const SHARE_OF_FREE: usize = 4;
/// So many a client gets as long as there are any: a browser opens six connections.
const LEAST_SHARE: usize = 8;
/// An eighth of the whole is kept for clients who are established, that is, who watch.
const KEPT: usize = 8;

/// Places of one kind. A client may take `each` of them, all together `all`.
#[derive(Debug)]
pub(crate) struct Quota {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only clients who have some: bounded by `all`.
    by_client: HashMap<ClientKey, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The client has as many as it may have.
    Client,
    /// There are none left, or too few to give this client another.
    All,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    quota: Arc<Quota>,
    client: Option<ClientKey>,
}

impl Quota {
    /// At most `each` places for a client, and `all` together.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// Takes a place for a client, `None` for one that stands for many and so is bound by the whole alone.
    pub(crate) fn take(self: &Arc<Self>, client: Option<ClientKey>, established: bool) -> Result<Place, Full> {
        let mut taken = self.taken();
        let kept = if established { 0 } else { self.all / KEPT };
        if taken.all + kept >= self.all {
            return Err(Full::All);
        }
        if let Some(client) = client {
            let own = taken.by_client.get(&client).copied().unwrap_or(0);
            if own >= self.each {
                return Err(Full::Client);
            }
            let share = (self.all - kept - taken.all) / SHARE_OF_FREE;
            if !established && own >= share.max(LEAST_SHARE) {
                return Err(Full::All);
            }
            taken.by_client.insert(client, own + 1);
        }
        taken.all += 1;
        drop(taken);
        Ok(Place { quota: self.clone(), client })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.quota.taken();
        taken.all -= 1;
        if let Some(client) = self.client
            && let Some(own) = taken.by_client.get_mut(&client)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Option<ClientKey> {
        Some(ClientKey::of([10, 0, 0, number].into()))
    }

    #[test]
    fn a_client_is_bound_and_so_are_all() {
        let quota = Quota::new(100, 3);
        let places: Vec<_> = (0..3).map(|_| quota.take(client(1), false).unwrap()).collect();
        assert_eq!(quota.take(client(1), false).unwrap_err(), Full::Client);
        assert_eq!(quota.take(client(1), true).unwrap_err(), Full::Client);
        let other = quota.take(client(2), false).unwrap();
        drop(places);
        assert!(quota.take(client(1), false).is_ok(), "what was given back can be taken again");
        drop(other);
        let taken = quota.taken();
        assert_eq!((taken.all, taken.by_client.len()), (0, 0), "nobody is remembered who has nothing");
    }

    #[test]
    fn the_greedy_leave_room_for_others() {
        let quota = Quota::new(1_000, 1_000);
        let mut places = Vec::new();
        let mut fill = |number: u8| {
            let before = places.len();
            while let Ok(place) = quota.take(client(number), false) {
                places.push(place);
            }
            places.len() - before
        };
        let first = fill(1);
        assert!((170..=180).contains(&first), "{first}");
        for number in 2..=10 {
            assert!(fill(number) >= LEAST_SHARE, "client {number} gets something");
        }
        // From everywhere at once: what is kept for those who watch is left.
        let crowd: Vec<_> = (0..2_000).map_while(|_| quota.take(None, false).ok()).collect();
        assert_eq!(quota.take(client(99), false).unwrap_err(), Full::All);
        assert!(quota.take(client(99), true).is_ok(), "the established have room");
        drop(crowd);
    }
}
