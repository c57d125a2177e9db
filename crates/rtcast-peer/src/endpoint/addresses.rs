//! The addresses of peers that share the sockets of a shard.

use std::collections::HashMap;
use std::net::SocketAddr;

use foldhash::fast::RandomState;
use rtcast_proto::connection::{Connection, Transmit};

use super::command::ConnectionId;
use super::routes::{Claim, Place, Routes};

/// The addresses of one connection: those that are its peer's, with whether it has proven to be there, and those that it
/// claims from others.
pub(super) type Own<'a> = (&'a mut Vec<(SocketAddr, bool)>, &'a mut Vec<SocketAddr>);

/// Addresses that one connection has or claims. Beyond it the oldest that its peer has not proven are given up.
const MAX_OF_ONE: usize = 32;

/// Who sends from which address. Peers choose the keys, for they announce candidates, but not the seed of the hash.
pub(super) type Remotes = HashMap<SocketAddr, ConnectionId, RandomState>;

/// The addresses of a shard, for one of its connections.
pub(super) struct Addresses<'a> {
    pub(super) remotes: &'a mut Remotes,
    pub(super) routes: &'a Routes,
    pub(super) place: Place,
    /// Addresses that the connection took from others, who are to be told.
    pub(super) lost: Vec<(SocketAddr, Place)>,
}

impl Addresses<'_> {
    /// Whoever we send to may answer; STUN responses carry no name to find the connection by. What belongs to another is
    /// only claimed, until the peer has proven to be there.
    pub(super) fn learn<'a>(
        &mut self,
        connection: &Connection,
        (remotes, claims): Own<'_>,
        sent: impl Iterator<Item = Transmit<'a>>,
    ) {
        for transmit in sent {
            let remote = transmit.destination;
            if remotes.iter().any(|(known, _)| *known == remote) || claims.contains(&remote) {
                continue;
            }
            let proven = has_proven(connection, remote);
            if !self.claim(remote, proven) {
                if claims.len() >= MAX_OF_ONE {
                    self.routes.release(claims.remove(0), self.place);
                }
                claims.push(remote);
                continue;
            }
            let oldest = remotes.iter().position(|(_, proven)| !proven).filter(|_| remotes.len() >= MAX_OF_ONE);
            if let Some(at) = oldest {
                self.give_up(remotes.remove(at).0);
            }
            remotes.push((remote, proven));
        }
    }

    /// Takes what the peer has proven meanwhile, or what others have given up.
    pub(super) fn renew(
        &mut self,
        connection: &Connection,
        remotes: &mut Vec<(SocketAddr, bool)>,
        claims: &mut Vec<SocketAddr>,
    ) {
        if !claims.is_empty() {
            claims.retain(|remote| {
                let proven = has_proven(connection, *remote);
                let taken = self.claim(*remote, proven);
                if taken {
                    remotes.push((*remote, proven));
                }
                !taken
            });
        }
        remotes.retain_mut(|(remote, proven)| {
            let now_proven = has_proven(connection, *remote);
            if now_proven == *proven {
                return true;
            }
            *proven = now_proven;
            let stays = self.claim(*remote, now_proven);
            if !stays {
                claims.push(*remote);
            }
            stays
        });
    }

    fn claim(&mut self, remote: SocketAddr, proven: bool) -> bool {
        match self.routes.claim(remote, self.place, proven) {
            Claim::Granted(before) => {
                self.remotes.insert(remote, self.place.1);
                self.lost.extend(before.map(|before| (remote, before)));
                true
            }
            Claim::Refused => false,
        }
    }

    fn give_up(&mut self, remote: SocketAddr) {
        if self.remotes.get(&remote) == Some(&self.place.1) {
            self.remotes.remove(&remote);
        }
        self.routes.release(remote, self.place);
    }
}

/// Whether the peer has proven that the address is its own, and may still be there: it has not gone elsewhere.
fn has_proven(connection: &Connection, remote: SocketAddr) -> bool {
    connection.knows(remote) && connection.selected_pair().is_none_or(|pair| pair.remote == remote)
}
