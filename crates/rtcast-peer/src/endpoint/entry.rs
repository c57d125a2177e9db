//! A connection in its shard, and the broadcasts that its senders take part in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::Token;
use rtcast_proto::connection::{Connection, ConnectionEvent, PeerConnectionState};
use rtcast_proto::jsep::TransceiverId;
use rtcast_track::{Broadcast, BroadcastId, MediaStreamTrack, Subscription, TrackId, TrackObserver};

use super::command::{ConnectionId, ShardHandle};
use super::detour::Detours;
use super::feed::Feed;
use super::observer::{Companion, Observer};
use super::timers::TimerKey;

/// The senders of each broadcast.
pub(super) type Viewers = HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>;

/// A connection and what the shard knows of it.
pub(crate) struct Entry {
    pub(crate) connection: Connection,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) senders: Vec<SenderEntry>,
    pub(super) retired: Vec<SenderEntry>,
    /// Addresses of the peer that are its own, and whether it has proven that of the one in use.
    pub(super) remotes: Vec<(SocketAddr, bool)>,
    /// Addresses that belong to other connections, whose peers have proven to be there.
    pub(super) claims: Vec<SocketAddr>,
    pub(super) timer: TimerKey,
    /// Its shard and its name there.
    pub(super) place: (ShardHandle, ConnectionId),
    /// A track that it sends has other renditions than before.
    pub(super) tracks_changed: bool,
    pub(super) dirty: bool,
    pub(super) sockets: Vec<Token>,
    /// The names under which the shard finds it.
    pub(super) usernames: Vec<String>,
    /// Ways around the sockets, if it has any.
    pub(crate) detours: Option<Box<Detours>>,
    /// Who looks for candidates and names, if anybody does.
    pub(crate) companion: Option<Box<dyn Companion>>,
}

pub(super) struct SenderEntry {
    pub(super) transceiver: TransceiverId,
    track: MediaStreamTrack,
    _observer: Arc<dyn TrackObserver>,
    pub(super) feed: Option<Feed>,
    /// The rendition for which another stands in, because what is kept of it has no beginning.
    /// It counts as a viewer, so that the frames come here.
    awaited: Option<Subscription>,
}

/// Brings to a connection that a track of its senders has other renditions.
struct TrackWatch((ShardHandle, ConnectionId));

impl TrackObserver for TrackWatch {
    fn track_changed(&self, _: TrackId) {
        let (shard, id) = &self.0;
        shard.call(*id, Box::new(|entry, _| entry.tracks_changed = true));
    }
}

impl SenderEntry {
    /// A broadcast that it took, or waited for, has ended.
    pub(super) fn broadcast_ended(&mut self, broadcast: BroadcastId) {
        self.feed.take_if(|feed| feed.broadcast().id() == broadcast);
        self.awaited.take_if(|awaited| awaited.broadcast().id() == broadcast);
    }

    /// Whether it waits for a keyframe of this broadcast, while another stands in.
    pub(super) fn awaits(&self, broadcast: BroadcastId) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.broadcast().id() == broadcast)
    }
}

impl Entry {
    /// Whoever holds handles on the connection.
    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// Sets or takes away the track that a transceiver sends. Frames flow once the connection can carry them.
    pub(crate) fn set_track(&mut self, transceiver: TransceiverId, track: Option<MediaStreamTrack>) {
        self.retired.extend(self.senders.extract_if(.., |sender| sender.transceiver == transceiver));
        self.observer.track_replaced(transceiver, track.clone());
        if let Some(track) = track {
            let observer: Arc<dyn TrackObserver> = Arc::new(TrackWatch(self.place.clone()));
            track.observe(&observer);
            self.senders.push(SenderEntry { transceiver, track, _observer: observer, feed: None, awaited: None });
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
            if let Some(feed) = sender.and_then(|sender| sender.feed.as_mut()) {
                feed.keyframe_requested(now, connection, transceiver);
            }
        }
        ConnectionEvent::Frame { transceiver, frame } => {
            let Entry { observer, connection, .. } = entry;
            observer.frame(now, transceiver, &frame, &mut || connection.receive_codec(transceiver).cloned());
        }
        ConnectionEvent::GatheringNeeded { .. }
        | ConnectionEvent::IceGenerationInUse(_)
        | ConnectionEvent::NameToResolve(_) => {
            if let Some(companion) = &mut entry.companion {
                companion.tell(&event);
            }
        }
        ConnectionEvent::IceCandidate(_) => {
            // The description that the application reads has the candidate that it is told of, even if that comes late.
            if entry.companion.as_ref().is_some_and(|companion| companion.is_at_work()) {
                entry.observer.descriptions_updated(&entry.connection);
            }
            Arc::clone(&entry.observer).event(event);
        }
        event => Arc::clone(&entry.observer).event(event),
    }
}

/// Gives every sender the first rendition of its track that its peer can take, and joins it once media can flow. Where
/// that one could show nothing before its next keyframe, one that makes keyframes on request stands in until then.
pub(super) fn choose_renditions(
    now: Instant,
    entry: &mut Entry,
    id: ConnectionId,
    handle: &ShardHandle,
    viewers: &mut Viewers,
) {
    let ready = entry.connection.selected_pair().is_some()
        && entry.connection.connection_state() == PeerConnectionState::Connected;
    let connection = &mut entry.connection;
    for sender in &mut entry.senders {
        let transceiver = sender.transceiver;
        let joined = sender.feed.as_ref().map(|feed| feed.broadcast().id());
        let negotiated = connection.negotiated_sender(transceiver);
        let takes = |rendition: &&Broadcast| {
            let media = negotiated.as_ref().filter(|_| !rendition.is_closed());
            media.is_some_and(|media| media.send_codec_for(rendition.codec()).is_some())
        };
        let renditions = sender.track.renditions();
        let Some(best) = renditions.iter().find(takes).cloned() else {
            connection.select_codec(transceiver, None);
            leave(viewers, id, sender);
            (sender.feed, sender.awaited) = (None, None);
            continue;
        };
        let waits = joined != Some(best.id()) && !best.shows_at_once();
        let makes_keyframes = |rendition: &&Broadcast| takes(rendition) && rendition.makes_keyframes();
        let stand_in = renditions.iter().filter(|_| waits).find(makes_keyframes).cloned();
        let rendition = stand_in.as_ref().unwrap_or(&best);
        connection.select_codec(transceiver, Some(rendition.codec()));
        if !ready {
            continue;
        }
        if joined != Some(rendition.id()) {
            leave(viewers, id, sender);
            (sender.feed, sender.awaited) = (None, None);
            sender.feed = Some(Feed::join(now, rendition, &handle.sink(), connection, transceiver));
            viewers.entry(rendition.id()).or_default().push((id, transceiver));
        }
        let awaited = stand_in.is_some().then_some(&best);
        if awaited != sender.awaited.as_ref().map(Subscription::broadcast) {
            if let Some(before) = sender.awaited.take() {
                forget(viewers, before.broadcast().id(), (id, transceiver));
            }
            if let Some(awaited) = awaited {
                sender.awaited = Some(awaited.subscribe(&handle.sink()).0);
                viewers.entry(awaited.id()).or_default().push((id, transceiver));
            }
        }
    }
}

pub(super) fn leave(viewers: &mut Viewers, id: ConnectionId, sender: &SenderEntry) {
    let joined = sender.feed.as_ref().map(|feed| feed.broadcast().id());
    let awaited = sender.awaited.as_ref().map(|awaited| awaited.broadcast().id());
    for broadcast in joined.into_iter().chain(awaited) {
        forget(viewers, broadcast, (id, sender.transceiver));
    }
}

/// Takes a sender out of those of a broadcast.
fn forget(viewers: &mut Viewers, broadcast: BroadcastId, sender: (ConnectionId, TransceiverId)) {
    if let Some(list) = viewers.get_mut(&broadcast) {
        list.retain(|viewer| *viewer != sender);
        if list.is_empty() {
            viewers.remove(&broadcast);
        }
    }
}
