//! A connection in its shard, and the broadcasts that its senders take part in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::Token;
use rtcast_proto::connection::{Connection, ConnectionEvent, PeerConnectionState};
use rtcast_proto::jsep::TransceiverId;

use super::command::{ConnectionId, ShardHandle};
use super::detour::Detours;
use super::subscription::Subscription;
use super::timers::TimerKey;
use crate::broadcast::BroadcastId;
use crate::network::NetworkHandle;
use crate::peer_connection::Shared;
use crate::track::MediaStreamTrack;

/// The senders of each broadcast.
pub(super) type Viewers = HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>;

/// A connection and what the shard knows of it.
pub(crate) struct Entry {
    pub(crate) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) senders: Vec<SenderEntry>,
    pub(super) retired: Vec<SenderEntry>,
    /// Addresses of the peer that are its own, and whether it has proven that of the one in use.
    pub(super) remotes: Vec<(SocketAddr, bool)>,
    /// Addresses that belong to other connections, whose peers have proven to be there.
    pub(super) claims: Vec<SocketAddr>,
    pub(super) timer: TimerKey,
    pub(super) dirty: bool,
    pub(super) sockets: Vec<Token>,
    /// The names under which the shard finds it.
    pub(super) usernames: Vec<String>,
    /// Ways around the sockets, if it has any.
    pub(crate) detours: Option<Box<Detours>>,
    /// Who looks for candidates and names, if anybody does.
    pub(crate) network: Option<NetworkHandle>,
}

pub(super) struct SenderEntry {
    pub(super) transceiver: TransceiverId,
    track: MediaStreamTrack,
    pub(super) subscription: Option<Subscription>,
}

impl Entry {
    /// What the connection's handles share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sets or takes away the track that a transceiver sends. Frames flow once the connection can carry them.
    pub(crate) fn set_track(&mut self, transceiver: TransceiverId, track: Option<MediaStreamTrack>) {
        self.retired.extend(self.senders.extract_if(.., |sender| sender.transceiver == transceiver));
        self.shared.set_sender_track(transceiver, track.clone());
        if let Some(track) = track {
            self.senders.push(SenderEntry { transceiver, track, subscription: None });
        }
    }
}

pub(super) fn handle_event(
    now: Instant,
    entry: &mut Entry,
    id: ConnectionId,
    event: ConnectionEvent,
    handle: &ShardHandle,
    viewers: &mut Viewers,
) {
    match event {
        ConnectionEvent::SendersChanged | ConnectionEvent::MediaReady => {
            choose_renditions(now, entry, id, handle, viewers);
        }
        ConnectionEvent::KeyframeRequested { transceiver } => {
            let Entry { senders, connection, .. } = entry;
            let sender = senders.iter_mut().find(|sender| sender.transceiver == transceiver);
            if let Some(subscription) = sender.and_then(|sender| sender.subscription.as_mut()) {
                subscription.keyframe_requested(now, connection, transceiver);
            }
        }
        ConnectionEvent::GatheringNeeded { .. }
        | ConnectionEvent::IceGenerationInUse(_)
        | ConnectionEvent::NameToResolve(_) => {
            if let Some(network) = &mut entry.network {
                network.tell(&event);
            }
        }
        ConnectionEvent::IceCandidate(_) => {
            // The description that the application reads has the candidate that it is told of, even if that comes late.
            if entry.network.as_ref().is_some_and(NetworkHandle::is_at_work) {
                entry.shared.update_descriptions(&entry.connection);
            }
            entry.shared.event(event);
        }
        event => entry.shared.event(event),
    }
}

/// Gives every sender the first rendition of its track that its peer can take, and joins it once media can flow.
fn choose_renditions(now: Instant, entry: &mut Entry, id: ConnectionId, handle: &ShardHandle, viewers: &mut Viewers) {
    let ready = entry.connection.selected_pair().is_some()
        && entry.connection.connection_state() == PeerConnectionState::Connected;
    let connection = &mut entry.connection;
    for sender in &mut entry.senders {
        let transceiver = sender.transceiver;
        let chosen = connection.negotiated_sender(transceiver).and_then(|media| {
            sender.track.renditions().iter().find(|rendition| media.send_codec_for(rendition.codec()).is_some())
        });
        let Some(rendition) = chosen.cloned() else {
            connection.select_codec(transceiver, None);
            leave(viewers, id, sender);
            sender.subscription = None;
            continue;
        };
        connection.select_codec(transceiver, Some(rendition.codec()));
        let joined = sender.subscription.as_ref().is_some_and(|joined| joined.broadcast().id() == rendition.id());
        if joined || !ready {
            continue;
        }
        leave(viewers, id, sender);
        sender.subscription = None;
        sender.subscription = Some(Subscription::join(now, &rendition, handle.sink(), connection, transceiver));
        viewers.entry(rendition.id()).or_default().push((id, transceiver));
    }
}

pub(super) fn leave(viewers: &mut Viewers, id: ConnectionId, sender: &SenderEntry) {
    let Some(subscription) = &sender.subscription else { return };
    let broadcast = subscription.broadcast().id();
    if let Some(list) = viewers.get_mut(&broadcast) {
        list.retain(|viewer| *viewer != (id, sender.transceiver));
        if list.is_empty() {
            viewers.remove(&broadcast);
        }
    }
}
