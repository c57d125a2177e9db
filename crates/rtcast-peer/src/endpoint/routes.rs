//! Which connection, and so which shard, owns which address of a peer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::command::ConnectionId;

/// Addresses remembered. When they are so many, only those are added that a connection has proven, of which each has one.
const MAX_ROUTES: usize = 1 << 17;

/// Connections that would have an address if they could prove it; the oldest gives way.
const MAX_CLAIMANTS: usize = 8;

/// A connection and its shard.
pub(super) type Place = (usize, ConnectionId);

/// What became of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The address is the connection's. The other one had it before and is to be told, if it lives on another shard.
    Granted(Option<Place>),
    /// It stays with another connection, whose peer has proven to be there.
    Refused,
}

#[derive(Debug)]
struct Route {
    owner: Place,
    proven: bool,
    claimants: Vec<Place>,
}

/// The kernel spreads peers over the sockets of a port by its own hash, so a datagram may come to a shard that does not
/// own its connection. This table says who does; each shard keeps what it has asked.
///
/// A peer may send in the name of any address. So an address that a peer has proven to be its own, by answering a check
/// from there, stays with its connection until the peer of another has done the same (RFC 8445 §7.2.5.2, RFC 7675 §5.1).
/// Of two that have, the newer has it: a peer that has begun anew. Answers to checks name no connection, and so those from
/// such an address go to whoever may wait for one.
#[derive(Debug, Default)]
pub(super) struct Routes {
    owners: RwLock<HashMap<SocketAddr, Route>>,
    /// Claimants of all addresses.
    contested: AtomicUsize,
}

impl Routes {
    /// The shard whose connection an address belongs to.
    pub(super) fn owner(&self, remote: SocketAddr) -> Option<usize> {
        self.read().get(&remote).map(|route| route.owner.0)
    }

    /// Whether any address is claimed by a connection that does not own it. Costs next to nothing.
    pub(super) fn are_contested(&self) -> bool {
        self.contested.load(Ordering::Relaxed) > 0
    }

    /// Those who claim an address and do not own it.
    pub(super) fn claimants(&self, remote: SocketAddr) -> Vec<Place> {
        self.read().get(&remote).map(|route| route.claimants.clone()).unwrap_or_default()
    }

    /// Claims an address for a connection, which has proven that it is its peer's or has not.
    pub(super) fn claim(&self, remote: SocketAddr, place: Place, proven: bool) -> Claim {
        let mut owners = self.write();
        let full = owners.len() >= MAX_ROUTES;
        let Some(route) = owners.get_mut(&remote) else {
            if !full || proven {
                owners.insert(remote, Route { owner: place, proven, claimants: Vec::new() });
            }
            return Claim::Granted(None);
        };
        if route.owner == place {
            route.proven = proven;
            return Claim::Granted(None);
        }
        let known = route.claimants.iter().position(|claimant| *claimant == place);
        if proven && (!route.proven || route.owner.1 < place.1) {
            let before = std::mem::replace(&mut route.owner, place);
            route.proven = true;
            match known {
                Some(at) => route.claimants[at] = before,
                None => self.add_claimant(route, before),
            }
            return Claim::Granted(Some(before));
        }
        if known.is_none() {
            self.add_claimant(route, place);
        }
        Claim::Refused
    }

    /// A connection has no more to do with an address. Returns those who may claim it anew.
    pub(super) fn release(&self, remote: SocketAddr, place: Place) -> Vec<Place> {
        let mut owners = self.write();
        let Some(route) = owners.get_mut(&remote) else { return Vec::new() };
        if route.owner != place {
            if let Some(at) = route.claimants.iter().position(|claimant| *claimant == place) {
                route.claimants.remove(at);
                self.contested.fetch_sub(1, Ordering::Relaxed);
            }
            return Vec::new();
        }
        let claimants = owners.remove(&remote).map(|route| route.claimants).unwrap_or_default();
        self.contested.fetch_sub(claimants.len(), Ordering::Relaxed);
        claimants
    }

    fn add_claimant(&self, route: &mut Route, place: Place) {
        if route.claimants.len() >= MAX_CLAIMANTS {
            route.claimants.remove(0);
        } else {
            self.contested.fetch_add(1, Ordering::Relaxed);
        }
        route.claimants.push(place);
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<SocketAddr, Route>> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SocketAddr, Route>> {
        self.owners.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Place = (0, ConnectionId(1));
    const NEW: Place = (1, ConnectionId(2));

    #[test]
    fn a_proven_address_stays_until_another_has_proven_it() {
        let address = "192.0.2.1:7".parse().unwrap();
        let routes = Routes::default();
        assert_eq!(routes.claim(address, OLD, false), Claim::Granted(None));
        assert_eq!(routes.claim(address, NEW, false), Claim::Refused, "neither has proven it");
        assert_eq!(routes.claim(address, OLD, true), Claim::Granted(None));
        assert_eq!(routes.claim(address, NEW, false), Claim::Refused);
        assert_eq!((routes.owner(address), routes.claimants(address)), (Some(0), vec![NEW]));
        assert_eq!(routes.claim(address, NEW, true), Claim::Granted(Some(OLD)));
        assert_eq!(routes.claim(address, OLD, true), Claim::Refused, "the newer has it");
        assert_eq!(routes.release(address, NEW), [OLD], "who may claim it is told when it is free");
        assert!(!routes.are_contested());
        assert_eq!(routes.claim(address, OLD, true), Claim::Granted(None));
    }

    #[test]
    fn claims_are_few_and_forgotten_with_their_connections() {
        let address = "192.0.2.1:7".parse().unwrap();
        let routes = Routes::default();
        routes.claim(address, OLD, true);
        for number in 0..100 {
            routes.claim(address, (0, ConnectionId(100 + number)), false);
        }
        assert_eq!(routes.claimants(address).len(), MAX_CLAIMANTS);
        for number in 0..100 {
            routes.release(address, (0, ConnectionId(100 + number)));
        }
        assert!(!routes.are_contested());
        assert_eq!(routes.owner(address), Some(0));
    }
}
