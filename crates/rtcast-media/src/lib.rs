//! Sources, containers and codecs: everything between a file and an encoded frame.
//!
//! Where to begin: [`MediaPlayer`] opens a file, or whatever else [`Source`] names, and plays it as tracks for any number of
//! viewers. It is made of what also stands by itself: [`container`] tells what a source is and reads its [`Packet`]s, each
//! stream of which a [`StreamInfo`] describes; [`plan`] says what is passed through and what is encoded anew; [`codec`]
//! has the encoders and decoders, which speak [`raw`] pictures and sound; [`pattern`] is a source that needs no file. What
//! goes wrong is a [`MediaError`].
//!
//! ```
//! # #[cfg(feature = "vpx")] {
//! use rtcast_media::pattern::PatternOptions;
//! use rtcast_media::{CodecPolicy, MediaPlayer};
//! use rtcast_track::Codec;
//!
//! let options = PatternOptions { width: 320, height: 180, frame_rate: 30 };
//! let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).test_pattern(options)?;
//! let picture = player.video()?.reader().recv_blocking().ok_or("it has ended")?;
//! assert!(picture.codec == Codec::Vp8 && picture.keyframe);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
