//! What the handles of a connection and its shard share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtcast_proto::connection::{Connection, ConnectionEvent, IceGatheringState, PeerConnectionState};
use rtcast_proto::ice::IceTransportState;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::{SessionDescription, SignalingState};
use tokio::sync::broadcast;

use crate::data_channel::ConnectionData;
use crate::endpoint::{ConnectionId, ShardHandle};

use super::events::{PeerConnectionEvent, TrackEvent};
use super::remote_track::{FrameQueue, RemoteTrack};

/// Events that a listener may lag behind before it loses the oldest.
const EVENT_CAPACITY: usize = 32;

/// The state that the getters read, renewed by the shard.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) connection: PeerConnectionState,
    pub(super) ice: IceTransportState,
    pub(super) gathering: IceGatheringState,
    pub(super) signaling: SignalingState,
    pub(super) local: Option<SessionDescription>,
    pub(super) remote: Option<SessionDescription>,
}

/// The meeting point of a connection's handles and its shard.
pub(crate) struct Shared {
    snapshot: Mutex<Snapshot>,
    events: Mutex<Option<broadcast::Sender<PeerConnectionEvent>>>,
    tracks: Mutex<HashMap<TransceiverId, Arc<FrameQueue>>>,
    data: Arc<ConnectionData>,
    origin: (ShardHandle, ConnectionId),
}

impl Shared {
    pub(super) fn new(shard: ShardHandle, id: ConnectionId) -> Self {
        Self {
            data: Arc::default(),
            origin: (shard, id),
            snapshot: Mutex::default(),
            events: Mutex::new(Some(broadcast::Sender::new(EVENT_CAPACITY))),
            tracks: Mutex::default(),
        }
    }

    /// The data channels.
    pub(crate) fn data(&self) -> Arc<ConnectionData> {
        Arc::clone(&self.data)
    }

    pub(super) fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        lock(&self.snapshot)
    }

    /// A receiver of the events from now on; `None` after the end.
    pub(super) fn subscribe(&self) -> Option<broadcast::Receiver<PeerConnectionEvent>> {
        lock(&self.events).as_ref().map(broadcast::Sender::subscribe)
    }

    /// Renews the states; the descriptions only when the exchange of descriptions moved on.
    pub(crate) fn update(&self, connection: &Connection) {
        let mut snapshot = lock(&self.snapshot);
        snapshot.connection = connection.connection_state();
        snapshot.ice = connection.ice_connection_state();
        snapshot.gathering = connection.ice_gathering_state();
        snapshot.signaling = connection.signaling_state();
    }

    /// Renews the descriptions.
    pub(crate) fn update_descriptions(&self, connection: &Connection) {
        let (local, remote) = (connection.local_description(), connection.remote_description());
        let mut snapshot = lock(&self.snapshot);
        snapshot.local = local;
        snapshot.remote = remote;
    }

    /// Passes an event on to whoever listens.
    pub(crate) fn event(&self, event: ConnectionEvent) {
        let event = match event {
            ConnectionEvent::ConnectionStateChange(state) => PeerConnectionEvent::ConnectionStateChange(state),
            ConnectionEvent::IceConnectionStateChange(state) => PeerConnectionEvent::IceConnectionStateChange(state),
            ConnectionEvent::IceGatheringStateChange(state) => PeerConnectionEvent::IceGatheringStateChange(state),
            ConnectionEvent::SignalingStateChange(state) => PeerConnectionEvent::SignalingStateChange(state),
            ConnectionEvent::IceCandidate(candidate) => PeerConnectionEvent::IceCandidate(candidate),
            ConnectionEvent::IceCandidateError(error) => PeerConnectionEvent::IceCandidateError(error),
            ConnectionEvent::NegotiationNeeded => PeerConnectionEvent::NegotiationNeeded,
            ConnectionEvent::Track(track) => {
                let queue = Arc::new(FrameQueue::new(track.kind));
                if let Some(old) = lock(&self.tracks).insert(track.transceiver, Arc::clone(&queue)) {
                    old.close();
                }
                let stream_ids = track.stream_ids.clone();
                PeerConnectionEvent::Track(TrackEvent { track: RemoteTrack::new(track, queue), stream_ids })
            }
            ConnectionEvent::DataChannel(event) => match self.data.handle(event, &self.origin) {
                Some(info) => {
                    let channel = self.incoming_data_channel(info, &self.origin.0, self.origin.1);
                    PeerConnectionEvent::DataChannel(channel)
                }
                None => return,
            },
            ConnectionEvent::TrackMuted(transceiver) => {
                if let Some(queue) = lock(&self.tracks).remove(&transceiver) {
                    queue.close();
                }
                return;
            }
            ConnectionEvent::Frame { transceiver, frame } => {
                if let Some(queue) = lock(&self.tracks).get(&transceiver) {
                    queue.push(frame);
                }
                return;
            }
            _ => return,
        };
        if let Some(events) = &*lock(&self.events) {
            // Nobody need listen.
            let _ = events.send(event);
        }
    }

    /// The connection is gone: streams of events and of frames end.
    pub(crate) fn ended(&self) {
        {
            let mut snapshot = lock(&self.snapshot);
            snapshot.connection = PeerConnectionState::Closed;
            snapshot.ice = IceTransportState::Closed;
            snapshot.signaling = SignalingState::Closed;
        }
        lock(&self.events).take();
        self.data.ended();
        for (_, queue) in lock(&self.tracks).drain() {
            queue.close();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
