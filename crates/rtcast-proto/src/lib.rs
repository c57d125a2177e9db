//! The core of rtcast: WebRTC as state machines.
//!
//! Nothing here opens a socket, reads a clock, starts a thread or draws its own randomness, but for the making of
//! certificates and, with the feature `openssl`, that library: time and random seeds are arguments, so that a whole call,
//! with loss and delay, runs in a test without a sleep. The shell that talks to the operating system is `rtcast-peer`.
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
