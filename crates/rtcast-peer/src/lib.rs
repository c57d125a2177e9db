//! The peer connection with the W3C's names, on tokio.
//!
//! [`PeerConnection`] is the W3C's `RTCPeerConnection`; [`Endpoint`] is the UDP port and the threads that any number of
//! them share; [`Broadcast`] is one encoded stream for all of them.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod data_channel;
mod endpoint;
mod error;
mod peer_connection;
mod random;
mod reachability;
mod socket;

pub use data_channel::{DataChannel, SctpTransport};
pub use endpoint::{Endpoint, EndpointConfig, EndpointStats, Survey};
pub use error::Error;
pub use peer_connection::{
    Configuration, DtlsTransport, DtmfSender, EventStream, IceTransport, PeerConnection, PeerConnectionEvent,
    RtpCapabilities, RtpReceiver, RtpSender, RtpTransceiver, RtpTransceiverInit, ToneChangeEvent, ToneReceivedEvent,
    TrackEvent, TrackOrKind,
};
pub use reachability::{AddressFilter, IceSettings, TcpCandidates};
pub use rtcast_proto::connection::{
    ConnectionStats, ContributingSource, DtlsTransportState, DtmfError, IceCandidateError, IceGatheringState,
    OfferOptions, PeerConnectionState, ReceiverReport, ReceiverStats, RtcpParameters, RtpCodecParameters,
    RtpEncodingParameters, RtpHeaderExtensionParameters, RtpReceiveParameters, RtpSendParameters, SenderReport,
    SenderStats, SynchronizationSource,
};
pub use rtcast_proto::data_channel::{
    DataChannelError, DataChannelInit, DataChannelMessage, DataChannelState, SctpTransportState,
};
pub use rtcast_proto::dtls::{Certificate, DtlsVersion, KeyAlgorithm};
pub use rtcast_proto::ice::{
    IceCredentials, IceRole, IceServer, IceServerError, IceServerErrorKind, IceTransportPolicy, IceTransportState,
    SelectedPair,
};
pub use rtcast_proto::stats::{self, RtcStats, StatsDictionary, StatsReport};
pub use rtcast_proto::{
    Bitrate, Codec, DescriptionError, DescriptionLimits, Direction, Frame, Hint, IceCandidate, JsepConfig, MediaKind,
    MediaTime, Mid, PayloadType, RtpCodec, SdpType, SequenceNumber, SessionDescription, SignalingState, Ssrc, ToJson,
};
pub use rtcast_track::{
    Broadcast, BroadcastId, FrameReader, FrameSink, FrameSource, KeyframeGate, Layer, MediaStreamTrack, NtpTime,
    PacketizedFrame, ReceivedFrame, Rendition, Rotation, Subscription, TrackSource, TrackStateChange, TrackStateStream,
    Upstream,
};
pub use socket::{SocketCapabilities, SocketOptions};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
