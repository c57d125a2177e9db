//! The media bus: encoded frames on their way from one source to any number of sinks.
//!
//! A source sends each [`Frame`] once, to a [`Broadcast`], which is one [`Rendition`] of the media: one codec at one size
//! and bitrate. Whoever wants the frames is a [`FrameSink`]: a shard of the network, a recorder, a relay. What the sinks
//! want flows the other way, through [`Upstream`]: how many there are, requests for keyframes, the bitrate that they can
//! take. A [`MediaStreamTrack`] is the same media in one or more renditions, which come and go while it is sent; what is
//! received is one, as is what a player or a program makes. A [`FrameReader`] is the sink for who would rather wait for
//! frames than be handed them, and yields them as a [`FrameSource`].
//!
//! There is no runtime in here, and nothing that blocks but what says so: a thread of a codec, a shard, a program in
//! another language may stand at either end.
//!
//! Where to begin: who makes frames takes a [`Broadcast`] and sends to it; who wants them takes [`MediaStreamTrack::reader`]
//! or implements [`FrameSink`]. [`TrackSource`] changes a track while it is sent, [`Broadcast::feed`] sends what a
//! [`FrameSource`] yields.
//!
//! ```
//! use std::time::Instant;
//! use rtcast_track::{Broadcast, Codec, Frame, FrameSource, MediaKind, MediaStreamTrack, MediaTime, RtpCodec};
//!
//! let broadcast = Broadcast::new(RtpCodec::new(Codec::Opus));
//! let track = MediaStreamTrack::new(MediaKind::Audio, vec![broadcast.clone()]);
//! let (mut first, mut second) = (track.reader(), track.reader());
//! assert_eq!(broadcast.upstream().demand(), 2);
//!
//! let frame = Frame::new(Codec::Opus, vec![0xfc, 0xff, 0xfe], MediaTime::ZERO);
//! broadcast.send(&frame, Instant::now());
//! assert_eq!(first.try_recv(), Some(frame.clone()));
//! assert_eq!(second.recv_blocking(), Some(frame));
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod backlog;
mod broadcast;
mod reader;
mod rendition;
mod source;
mod state;
mod track;
mod upstream;

pub use broadcast::{Broadcast, BroadcastId, FrameSink, Subscription};
pub use reader::FrameReader;
pub use rendition::Rendition;
pub use rtcast_proto::{
    Bitrate, Codec, ColorSpace, Frame, Hint, KeyframeGate, Layer, MediaKind, MediaTime, NtpTime, PacketizedFrame,
    ReceivedFrame, Rotation, RtpCodec,
};
pub use source::FrameSource;
pub use state::{TrackStateChange, TrackStateStream};
pub use track::{MediaStreamTrack, TrackId, TrackObserver, TrackSource};
pub use upstream::Upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
