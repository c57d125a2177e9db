//! What a connection tells.

use std::time::Duration;

use super::DtlsTransportState;
use super::gathering::IceCandidateError;
use super::state::{IceGatheringState, PeerConnectionState};
use crate::data_channel::DataChannelEvent;
use crate::frame::ReceivedFrame;
use crate::ice::{IceTransportState, SelectedPair};
use crate::jsep::{RemoteTrack, SignalingState, TransceiverId};
use crate::sdp::IceCandidate;
use crate::types::Bitrate;

/// Something that happened to a connection. The variants that the W3C knows bear its names.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// `connectionstatechange`.
    ConnectionStateChange(PeerConnectionState),
    /// `iceconnectionstatechange`.
    IceConnectionStateChange(IceTransportState),
    /// `icegatheringstatechange`.
    IceGatheringStateChange(IceGatheringState),
    /// `signalingstatechange`.
    SignalingStateChange(SignalingState),
    /// `icecandidate`; `None` after the last one.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`.
    IceCandidateError(IceCandidateError),
    /// Candidates beyond our own addresses are to be looked for, if [`IceOptions::servers`](super::IceOptions::servers)
    /// says so.
    GatheringNeeded {
        /// The generation that they are for.
        generation: u32,
    },
    /// The peer named an address that must be resolved by mDNS first: resolve it and pass it to
    /// [`Connection::add_resolved_candidate`](super::Connection::add_resolved_candidate).
    NameToResolve(IceCandidate),
    /// The fragments by which the peer names this connection are others than before.
    UsernameFragmentsChanged,
    /// Media takes the path of this generation of ICE from now on; what served older ones may end soon.
    IceGenerationInUse(u32),
    /// `selectedcandidatepairchange` of the ICE transport: media takes these addresses from now on, or has none.
    SelectedCandidatePairChange(Option<SelectedPair>),
    /// `statechange` of the DTLS transport.
    DtlsTransportStateChange(DtlsTransportState),
    /// `negotiationneeded`.
    NegotiationNeeded,
    /// `track`: the peer began to send.
    Track(RemoteTrack),
    /// The peer stopped sending on this transceiver, by a new description or by a goodbye.
    TrackMuted(TransceiverId),
    /// The transceiver is stopped for good: the track that it received has ended.
    TransceiverStopped(TransceiverId),
    /// Negotiation, or the application, settled or changed what our senders may send.
    SendersChanged,
    /// Media can flow from now on.
    MediaReady,
    /// What all media should take together is another than before, by the
    /// [congestion controller](crate::congestion::CongestionController): whoever encodes is to aim at it.
    TargetBitrateChanged {
        /// The new target.
        bitrate: Bitrate,
    },
    /// The peer, or our own queue, needs a keyframe of what this sender sends.
    KeyframeRequested {
        /// The sender's transceiver.
        transceiver: TransceiverId,
    },
    /// `tonechange`: a sender began this tone, or waits at a comma; `None` after the last.
    ToneChange {
        /// The sender's transceiver.
        transceiver: TransceiverId,
        /// 0 to 9, A to D, # or *, or a comma.
        tone: Option<char>,
    },
    /// The peer sent a tone, which has ended.
    ToneReceived {
        /// The receiver's transceiver.
        transceiver: TransceiverId,
        /// 0 to 9, A to D, # or *.
        tone: char,
        /// How long it lasted.
        duration: Duration,
    },
    /// Something happened to a data channel.
    DataChannel(DataChannelEvent),
    /// A frame that the peer sent.
    Frame {
        /// The receiver's transceiver.
        transceiver: TransceiverId,
        /// The frame, and the packets that brought it.
        frame: ReceivedFrame,
    },
}
