//! What a connection tells.

use super::state::{IceGatheringState, PeerConnectionState};
use crate::data_channel::DataChannelEvent;
use crate::frame::EncodedFrame;
use crate::ice::IceTransportState;
use crate::jsep::{RemoteTrack, SignalingState, TransceiverId};
use crate::sdp::IceCandidate;

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
    /// `negotiationneeded`.
    NegotiationNeeded,
    /// `track`: the peer began to send.
    Track(RemoteTrack),
    /// The peer stopped sending on this transceiver, by a new description or by a goodbye.
    TrackMuted(TransceiverId),
    /// Negotiation settled or changed what our senders may send.
    SendersChanged,
    /// Media can flow from now on.
    MediaReady,
    /// The peer, or our own queue, needs a keyframe of what this sender sends.
    KeyframeRequested {
        /// The sender's transceiver.
        transceiver: TransceiverId,
    },
    /// Something happened to a data channel.
    DataChannel(DataChannelEvent),
    /// A frame that the peer sent.
    Frame {
        /// The receiver's transceiver.
        transceiver: TransceiverId,
        /// The frame.
        frame: EncodedFrame,
    },
}
