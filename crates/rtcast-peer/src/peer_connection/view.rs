//! What the handles of a connection see of it, renewed by its shard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use rtcast_proto::connection::{
    Connection, ConnectionEvent, DtlsTransportState, IceGatheringState, PeerConnectionState,
};
use rtcast_proto::data_channel::DataChannelEvent;
use rtcast_proto::ice::{IceCredentials, IceRole, IceTransportState, SelectedPair};
use rtcast_proto::jsep::{Transceiver, TransceiverId};
use rtcast_proto::{IceCandidate, MediaKind, ReceivedFrame, RtpCodec, SessionDescription, SignalingState};
use rtcast_track::MediaStreamTrack;

use super::Inner;
use super::dtmf::{ToneChangeEvent, ToneReceivedEvent};
use super::events::{PeerConnectionEvent, TrackEvent};
use super::handle::Handle;
use super::listeners::{Listener, Listeners};
use super::received_track::{CaptureClock, ReceivedTrack};
use super::sender::RtpSender;
use super::transceiver::RtpTransceiver;
use crate::data_channel::{ConnectionData, DataChannel};
use crate::endpoint::{ConnectionId, Observer, ShardHandle};

/// The state that the getters read, renewed by the shard.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) connection: PeerConnectionState,
    pub(super) ice: IceTransportState,
    pub(super) gathering: IceGatheringState,
    pub(super) signaling: SignalingState,
    pub(super) local: Option<SessionDescription>,
    pub(super) remote: Option<SessionDescription>,
    pub(super) current_local: Option<SessionDescription>,
    pub(super) pending_local: Option<SessionDescription>,
    pub(super) current_remote: Option<SessionDescription>,
    pub(super) pending_remote: Option<SessionDescription>,
    pub(super) can_trickle: Option<bool>,
    pub(super) transceivers: Vec<Transceiver>,
    pub(super) dtls: DtlsTransportState,
    pub(super) failure: Option<String>,
    pub(super) remote_certificate: Option<Arc<[u8]>>,
    pub(super) selected_pair: Option<SelectedPair>,
    pub(super) tones: Vec<Tones>,
    pub(super) ice_role: Option<IceRole>,
    pub(super) ice_parameters: (Option<IceCredentials>, Option<IceCredentials>),
    pub(super) local_candidates: Vec<IceCandidate>,
    pub(super) remote_candidates: Vec<IceCandidate>,
    /// Which of the connection's states the descriptions and transceivers show.
    revision: u64,
}

/// What a sender of sound shows of its tones.
#[derive(Debug, Clone)]
pub(super) struct Tones {
    transceiver: TransceiverId,
    pub(super) can_insert: bool,
    pub(super) buffer: Arc<str>,
}

/// What the handles of a connection see of it, and where its events come in.
pub(crate) struct ConnectionView {
    snapshot: Mutex<Snapshot>,
    listeners: Mutex<Listeners>,
    tracks: Mutex<HashMap<TransceiverId, Arc<ReceivedTrack>>>,
    capture_clock: CaptureClock,
    data: Arc<ConnectionData>,
    origin: (ShardHandle, ConnectionId),
    sender_tracks: Mutex<HashMap<TransceiverId, MediaStreamTrack>>,
    /// The connection's handles, to make those of its parts from.
    connection: OnceLock<Weak<Inner>>,
}

impl ConnectionView {
    pub(super) fn new(shard: ShardHandle, id: ConnectionId) -> Self {
        Self {
            data: Arc::default(),
            origin: (shard, id),
            snapshot: Mutex::default(),
            listeners: Mutex::default(),
            tracks: Mutex::default(),
            capture_clock: CaptureClock::default(),
            sender_tracks: Mutex::default(),
            connection: OnceLock::new(),
        }
    }

    /// The data channels.
    pub(crate) fn data(&self) -> Arc<ConnectionData> {
        Arc::clone(&self.data)
    }

    /// Tells which connection this belongs to; once, before anything happens.
    pub(super) fn set_connection(&self, connection: Weak<Inner>) {
        // It is set where it is made, and nowhere else.
        let _ = self.connection.set(connection);
    }

    /// The track that a transceiver receives.
    pub(super) fn received_track(&self, id: TransceiverId, kind: MediaKind) -> Arc<ReceivedTrack> {
        let mut tracks = lock(&self.tracks);
        if let Some(track) = tracks.get(&id) {
            return Arc::clone(track);
        }
        // Looked at under the lock by which tracks end, so that none is kept that nobody would end.
        let live = lock(&self.snapshot).transceivers.iter().any(|t| t.id() == id && !t.stopping() && !t.stopped());
        let track = Arc::new(ReceivedTrack::new(kind, self.origin.0.clone(), self.origin.1, id));
        if live {
            tracks.insert(id, Arc::clone(&track));
        } else {
            track.end(false);
        }
        track
    }

    /// The track that a transceiver sends.
    pub(super) fn sender_track(&self, id: TransceiverId) -> Option<MediaStreamTrack> {
        lock(&self.sender_tracks).get(&id).cloned()
    }

    /// The tones of a sender of sound.
    pub(super) fn tones(&self, id: TransceiverId) -> Option<Tones> {
        lock(&self.snapshot).tones.iter().find(|tones| tones.transceiver == id).cloned()
    }

    pub(super) fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        lock(&self.snapshot)
    }

    /// Somebody who hears of the events from now on.
    pub(super) fn listen(&self) -> Arc<Listener> {
        lock(&self.listeners).add()
    }

    fn handle(self: &Arc<Self>, transceiver: TransceiverId, kind: MediaKind) -> Handle {
        let connection = self.connection.get().cloned().unwrap_or_default();
        Handle::new(connection, Arc::clone(self), transceiver, kind)
    }
}

impl Observer for ConnectionView {
    fn updated(&self, connection: &Connection) {
        if lock(&self.snapshot).revision != connection.revision() {
            self.descriptions_updated(connection);
        }
        let mut snapshot = lock(&self.snapshot);
        let dtls = connection.dtls_state();
        if snapshot.dtls != dtls {
            snapshot.dtls = dtls;
            snapshot.failure = connection.failure().map(str::to_owned);
            snapshot.remote_certificate = connection.remote_certificate().cloned();
        }
        if connection.ice_candidate_counts() != (snapshot.local_candidates.len(), snapshot.remote_candidates.len()) {
            snapshot.local_candidates = connection.local_ice_candidates();
            snapshot.remote_candidates = connection.remote_ice_candidates();
        }
        snapshot.ice_role = connection.ice_role();
        snapshot.selected_pair = connection.selected_pair();
        let sound = connection.transceivers().iter().filter(|transceiver| transceiver.kind() == MediaKind::Audio);
        snapshot.tones.clear();
        snapshot.tones.extend(sound.map(|transceiver| Tones {
            transceiver: transceiver.id(),
            can_insert: connection.can_insert_dtmf(transceiver.id()),
            buffer: connection.tone_buffer(transceiver.id()),
        }));
        snapshot.connection = connection.connection_state();
        snapshot.ice = connection.ice_connection_state();
        snapshot.gathering = connection.ice_gathering_state();
        snapshot.signaling = connection.signaling_state();
    }

    fn descriptions_updated(&self, connection: &Connection) {
        let (local, remote) = (connection.local_description(), connection.remote_description());
        let pending = connection.pending_local_description().is_some();
        let transceivers = connection.transceivers().to_vec();
        let parameters = (connection.local_ice_parameters().cloned(), connection.remote_ice_parameters().cloned());
        let (local_candidates, remote_candidates) =
            (connection.local_ice_candidates(), connection.remote_ice_candidates());
        let mut snapshot = lock(&self.snapshot);
        snapshot.ice_parameters = parameters;
        snapshot.local_candidates = local_candidates;
        snapshot.remote_candidates = remote_candidates;
        snapshot.pending_local = if pending { local.clone() } else { None };
        // Of the two, only the description in front gets the candidates that are found later.
        snapshot.current_local = if pending { connection.current_local_description().cloned() } else { local.clone() };
        snapshot.current_remote = connection.current_remote_description().cloned();
        snapshot.pending_remote = connection.pending_remote_description().cloned();
        snapshot.can_trickle = connection.can_trickle_ice_candidates();
        snapshot.local = local;
        snapshot.remote = remote;
        snapshot.transceivers = transceivers;
        snapshot.revision = connection.revision();
    }

    fn candidates_withdrawn(&self, connection: &Connection) {
        // An application that hears of a candidate may send it, whatever description it has sent before.
        lock(&self.listeners).forget_stale_candidates(connection.described_fragment());
    }

    fn event(self: Arc<Self>, event: ConnectionEvent) {
        let event = match event {
            ConnectionEvent::ConnectionStateChange(state) => PeerConnectionEvent::ConnectionStateChange(state),
            ConnectionEvent::IceConnectionStateChange(state) => PeerConnectionEvent::IceConnectionStateChange(state),
            ConnectionEvent::IceGatheringStateChange(state) => PeerConnectionEvent::IceGatheringStateChange(state),
            ConnectionEvent::SignalingStateChange(state) => PeerConnectionEvent::SignalingStateChange(state),
            ConnectionEvent::IceCandidate(candidate) => PeerConnectionEvent::IceCandidate(candidate),
            ConnectionEvent::IceCandidateError(error) => PeerConnectionEvent::IceCandidateError(error),
            ConnectionEvent::NegotiationNeeded => PeerConnectionEvent::NegotiationNeeded,
            ConnectionEvent::SelectedCandidatePairChange(pair) => {
                PeerConnectionEvent::SelectedCandidatePairChange(pair)
            }
            ConnectionEvent::DtlsTransportStateChange(state) => PeerConnectionEvent::DtlsTransportStateChange(state),
            ConnectionEvent::Track(track) => {
                let received = self.received_track(track.transceiver, track.kind);
                let handle = self.handle(track.transceiver, track.kind);
                PeerConnectionEvent::Track(TrackEvent {
                    track: received.named(&track.track_id),
                    stream_ids: track.stream_ids,
                    transceiver: RtpTransceiver::new(handle),
                })
            }
            ConnectionEvent::ToneChange { transceiver, tone } => {
                let sender = RtpSender::new(self.handle(transceiver, MediaKind::Audio));
                PeerConnectionEvent::ToneChange(ToneChangeEvent { sender, tone })
            }
            ConnectionEvent::ToneReceived { transceiver, tone, duration } => {
                let transceiver = RtpTransceiver::new(self.handle(transceiver, MediaKind::Audio));
                PeerConnectionEvent::ToneReceived(ToneReceivedEvent { transceiver, tone, duration })
            }
            ConnectionEvent::DataChannel(DataChannelEvent::Transport(state)) => {
                PeerConnectionEvent::SctpTransportStateChange(state)
            }
            ConnectionEvent::DataChannel(event) => match self.data.handle(event, &self.origin) {
                Some(info) => {
                    let channel = DataChannel::new(&self.data, info, &self.origin);
                    PeerConnectionEvent::DataChannel(channel)
                }
                None => return,
            },
            ConnectionEvent::TrackMuted(transceiver) => {
                let track = lock(&self.tracks).get(&transceiver).cloned();
                if let Some(track) = track {
                    track.mute();
                }
                return;
            }
            ConnectionEvent::TransceiverStopped(transceiver) => {
                self.track_replaced(transceiver, None);
                let track = lock(&self.tracks).remove(&transceiver);
                if let Some(track) = track {
                    track.end(true);
                }
                return;
            }
            _ => return,
        };
        lock(&self.listeners).tell(&event);
    }

    fn frame(
        &self,
        now: Instant,
        id: TransceiverId,
        frame: &ReceivedFrame,
        codec: &mut dyn FnMut() -> Option<RtpCodec>,
    ) {
        let track = lock(&self.tracks).get(&id).cloned();
        if let Some(track) = track {
            track.push(now, &self.capture_clock, frame, codec);
        }
    }

    fn track_replaced(&self, id: TransceiverId, track: Option<MediaStreamTrack>) {
        let mut tracks = lock(&self.sender_tracks);
        match track {
            Some(track) => tracks.insert(id, track),
            None => tracks.remove(&id),
        };
    }

    fn ended(&self) {
        {
            let mut snapshot = lock(&self.snapshot);
            snapshot.connection = PeerConnectionState::Closed;
            snapshot.ice = IceTransportState::Closed;
            snapshot.signaling = SignalingState::Closed;
            snapshot.dtls = DtlsTransportState::Closed;
            snapshot.transceivers.clear();
            snapshot.tones.clear();
        }
        lock(&self.listeners).end();
        self.data.ended();
        let tracks: Vec<_> = lock(&self.tracks).drain().collect();
        for (_, track) in tracks {
            track.end(false);
        }
        lock(&self.sender_tracks).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
