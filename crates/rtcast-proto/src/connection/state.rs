//! The states that the W3C gives a connection.

use std::sync::Arc;
use std::time::Instant;

use super::{Connection, ConnectionEvent, DtlsTransportState};
use crate::ice::{IceTransportState, SelectedPair};
use crate::jsep::SignalingState;

/// W3C's `RTCPeerConnectionState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PeerConnectionState {
    /// Nothing has begun.
    #[default]
    New,
    /// ICE or DTLS is at work.
    Connecting,
    /// Media can flow.
    Connected,
    /// The peer has not answered for a while; it may come back.
    Disconnected,
    /// ICE or DTLS failed.
    Failed,
    /// Ended by us, or by the peer's DTLS alert.
    Closed,
}

impl PeerConnectionState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl std::fmt::Display for PeerConnectionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// W3C's `RTCIceGatheringState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IceGatheringState {
    /// Nothing was gathered.
    #[default]
    New,
    /// Candidates may still be found.
    Gathering,
    /// All candidates are known.
    Complete,
}

impl IceGatheringState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gathering => "gathering",
            Self::Complete => "complete",
        }
    }
}

/// What was last told, so that only changes are.
#[derive(Debug, Default)]
pub(super) struct Observed {
    connection: PeerConnectionState,
    ice: IceTransportState,
    pub(super) signaling: SignalingState,
    pub(super) gathering: IceGatheringState,
    media_ready: bool,
    generations: (u32, u32),
    dtls: DtlsTransportState,
    pair: Option<SelectedPair>,
    pair_changes: u64,
}

impl Observed {
    /// How often the addresses that media takes changed, the first time included.
    pub(super) const fn pair_changes(&self) -> u64 {
        self.pair_changes
    }
}

impl Connection {
    /// W3C's `connectionState`.
    pub fn connection_state(&self) -> PeerConnectionState {
        use DtlsTransportState as Dtls;
        use IceTransportState as Ice;
        if self.closing {
            return PeerConnectionState::Closed;
        }
        // W3C webrtc §4.3.3: failed, then disconnected, then new, then connected, else connecting. A transport that the
        // peer closed carries nothing any more.
        match (self.ice_connection_state(), self.transport.dtls_state()) {
            (Ice::Failed, _) | (_, Dtls::Failed) => PeerConnectionState::Failed,
            (_, Dtls::Closed) | (Ice::Closed, _) => PeerConnectionState::Closed,
            (Ice::Disconnected, _) => PeerConnectionState::Disconnected,
            (Ice::New, Dtls::New) => PeerConnectionState::New,
            (Ice::Connected | Ice::Completed, Dtls::Connected) => PeerConnectionState::Connected,
            _ => PeerConnectionState::Connecting,
        }
    }

    /// W3C's `iceConnectionState`.
    pub fn ice_connection_state(&self) -> IceTransportState {
        if self.closing { IceTransportState::Closed } else { self.transport.ice.state() }
    }

    /// W3C's `state` of the DTLS transport.
    pub const fn dtls_state(&self) -> DtlsTransportState {
        self.transport.dtls_state()
    }

    /// The peer's certificate in DER, once it proved to be the announced one.
    pub const fn remote_certificate(&self) -> Option<&Arc<[u8]>> {
        self.transport.remote_certificate()
    }

    /// W3C's `iceGatheringState`.
    pub const fn ice_gathering_state(&self) -> IceGatheringState {
        self.observed.gathering
    }

    /// W3C's `signalingState`.
    pub const fn signaling_state(&self) -> SignalingState {
        self.jsep.signaling_state()
    }

    /// Why the connection failed, if it did and the reason is known.
    pub fn failure(&self) -> Option<&str> {
        self.transport.failure()
    }

    /// Tells the changes that a call has brought.
    pub(super) fn after(&mut self, now: Instant) {
        self.drive_gathering();
        let generations = (self.transport.ice.generation_in_use(), self.transport.ice.newest_generation());
        if self.observed.generations != generations {
            self.events.push_back(ConnectionEvent::UsernameFragmentsChanged);
            if self.observed.generations.0 != generations.0 {
                self.events.push_back(ConnectionEvent::IceGenerationInUse(generations.0));
            }
            self.observed.generations = generations;
        }
        let signaling = self.signaling_state();
        if self.observed.signaling != signaling {
            self.observed.signaling = signaling;
            // W3C webrtc §4.4.1.5: closing fires no events.
            if !self.closing {
                self.events.push_back(ConnectionEvent::SignalingStateChange(signaling));
            }
        }
        let ice = self.ice_connection_state();
        if self.observed.ice != ice {
            self.observed.ice = ice;
            self.events.push_back(ConnectionEvent::IceConnectionStateChange(ice));
        }
        let pair = self.transport.ice.selected_pair();
        if self.observed.pair != pair {
            self.observed.pair = pair;
            self.observed.pair_changes += 1;
            self.events.push_back(ConnectionEvent::SelectedCandidatePairChange(pair));
        }
        let dtls = self.dtls_state();
        if self.observed.dtls != dtls {
            self.observed.dtls = dtls;
            self.events.push_back(ConnectionEvent::DtlsTransportStateChange(dtls));
        }
        let ready = self.transport.media_pair().is_some();
        if ready && !self.observed.media_ready {
            self.observed.media_ready = true;
            self.next_report.get_or_insert(now + super::REPORT_INTERVAL);
            self.events.push_back(ConnectionEvent::MediaReady);
        }
        let connection = self.connection_state();
        if self.observed.connection != connection {
            self.observed.connection = connection;
            self.events.push_back(ConnectionEvent::ConnectionStateChange(connection));
        }
    }
}
