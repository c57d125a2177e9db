//! The core of rtcast: WebRTC as state machines.
//!
//! Nothing here opens a socket, reads a clock, starts a thread or draws its own randomness, but for the making of
//! certificates and, with the feature `openssl`, that library: time and random seeds are arguments, so that a whole call,
//! with loss and delay, runs in a test without a sleep. The shell that talks to the operating system is `rtcast-peer`.
//!
//! Where to begin: [`connection::Connection`] is a whole peer connection, driven by five verbs. It joins what also stands by
//! itself: [`sdp`] reads and writes descriptions and [`jsep`] negotiates them; [`ice`] finds a path, [`dtls`] and [`srtp`]
//! protect it; [`payload`] cuts a [`Frame`] into packets and joins them, [`jitter`] puts what was received in order,
//! [`rtp`] and [`rtcp`] are the formats, and [`congestion`] says how fast media leaves; [`data_channel`] stands on [`sctp`].
//! [`stats`] are the W3C's statistics. The words that all of them share, [`Codec`], [`MediaTime`], [`Bitrate`] and others,
//! stand at the root, and so does [`Hint`], which errors tell their remedy by.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod base64;
pub mod codec;
pub mod color;
pub mod congestion;
pub mod connection;
pub mod data_channel;
pub mod dtls;
pub mod frame;
mod hint;
pub mod ice;
pub mod jitter;
pub mod jsep;
pub mod payload;
pub mod random;
pub mod rtcp;
pub mod rtp;
pub mod sctp;
pub mod sdp;
pub mod srtp;
pub mod stats;
mod stun;
pub mod types;

pub use codec::{Codec, RtpCodec};
pub use color::{ColorPrimaries, ColorRange, ColorSpace, MatrixCoefficients, TransferCharacteristics};
pub use frame::{Frame, KeyframeGate, Layer, PacketizedFrame, ReceivedFrame, Rotation};
pub use hint::Hint;
pub use jsep::{Jsep, JsepConfig, LocalTransport, SignalingState};
pub use sdp::{
    Candidate, DescriptionError, DescriptionLimits, Direction, IceCandidate, SdpType, SessionDescription, ToJson,
};
pub use types::{Bitrate, MediaKind, MediaTime, Mid, NtpTime, PayloadType, Rid, SequenceNumber, Ssrc};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
