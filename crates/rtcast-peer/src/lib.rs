//! The peer connection with the W3C's names, on tokio.

pub use rtcast_proto::{
    Bitrate, Codec, EncodedFrame, MediaKind, MediaTime, Mid, PayloadType, RtpCodec, SequenceNumber, Ssrc,
};
