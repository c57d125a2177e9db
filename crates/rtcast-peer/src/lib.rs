//! The peer connection with the W3C's names, on tokio.
#![forbid(unsafe_code)]

mod broadcast;
mod random;
mod track;

pub use broadcast::{Broadcast, FrameSubscription};
pub use rtcast_proto::{
    Bitrate, Codec, EncodedFrame, MediaKind, MediaTime, Mid, PayloadType, RtpCodec, SequenceNumber, Ssrc,
};
pub use track::MediaStreamTrack;
