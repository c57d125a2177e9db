//! Sources, containers and codecs: everything between a file and an encoded frame.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod codec;
pub mod container;
mod convert;
pub mod error;
pub mod lane;
pub mod packet;
pub mod pattern;
pub mod plan;
pub mod player;
pub mod properties;
pub mod raw;

pub use container::Source;
pub use error::MediaError;
pub use lane::{LaneSettings, VideoLane};
pub use packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
pub use plan::{CodecPolicy, Plan};
pub use player::{MediaPlayer, PlayerBuilder, SourceInfo};
pub use properties::PictureProperties;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
