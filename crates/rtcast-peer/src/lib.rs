//! The peer connection with the W3C's names, on tokio.
//!
//! [`PeerConnection`] is the W3C's `RTCPeerConnection`; [`Endpoint`] is the UDP port and the threads that any number of
//! them share; [`Broadcast`] is one encoded stream for all of them.
//!
//! Where to begin: [`PeerConnection::new`] with a [`Configuration`], to which [`PeerConnection::add_track`] and
//! [`PeerConnection::create_data_channel`] give something to say. Descriptions and candidates go to the peer by whatever
//! signalling there is; what happens is told by [`PeerConnection::events`], or by the callbacks whose names begin with `on_`.
//! A received track is a [`MediaStreamTrack`] like one's own. What goes wrong is an [`Error`], which has the W3C's name and a
//! [`Hint`]. Everything is called within a tokio runtime; the media does not pass through it, but through threads of its own.
//!
//! Two connections of one program, and a message between them:
//!
//! ```
//! use rtcast_peer::{Configuration, DataChannelMessage, PeerConnection, PeerConnectionEvent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut configuration = Configuration::default();
//! configuration.address = Some(([127, 0, 0, 1], 0).into());
//! let caller = PeerConnection::new(configuration.clone()).await?;
//! let callee = PeerConnection::new(configuration).await?;
//! let mut events = callee.events();
//! let channel = caller.create_data_channel("chat", Default::default()).await?;
//!
//! caller.set_local_description(None).await?;
//! callee.set_remote_description(caller.local_description().ok_or("no offer")?).await?;
//! callee.set_local_description(None).await?;
//! caller.set_remote_description(callee.local_description().ok_or("no answer")?).await?;
//!
//! channel.opened().await?;
//! channel.send_text("hello").await?;
//! while let Some(event) = events.recv().await {
//!     if let PeerConnectionEvent::DataChannel(channel) = event {
//!         assert_eq!(channel.recv().await, Some(DataChannelMessage::Text("hello".to_owned())));
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
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
