//! WebRTC streaming in Rust, under one roof: the peer connection with the W3C's names, media from files, and signalling.
//!
//! Where to begin: the [`prelude`] has what most programs name. [`PeerConnection`], tracks, data channels and statistics are
//! those of `rtcast-peer`, all of which stands at the root; [`MediaPlayer`] and what belongs to it come from `rtcast-media`,
//! which is whole under [`media`]; [`signaling`] brings offers, answers and candidates over a WebSocket. A server with a page
//! for browsers is `rtcast-server`.
//!
//! ```no_run
//! use rtcast::prelude::*;
//!
//! # async fn example(websocket_message: String) -> Result<String, Box<dyn std::error::Error>> {
//! let player = MediaPlayer::open("foo.mp4").await?;
//! let pc = PeerConnection::new(Configuration::default()).await?;
//! pc.add_track(player.video()?).await?;
//! let offer = SessionDescription::from_json(&websocket_message)?;
//! pc.set_remote_description(offer).await?;
//! pc.set_local_description(None).await?;
//! # Ok(
//! pc.local_description().to_json()
//! # )
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod signaling;

pub use rtcast_media as media;
pub use rtcast_media::{CodecPolicy, MediaError, MediaPlayer, Plan, PlayerBuilder, SourceInfo};
pub use rtcast_peer::*;

/// What most programs name.
pub mod prelude {
    pub use crate::{
        Configuration, Frame, IceCandidate, MediaKind, MediaPlayer, MediaStreamTrack, PeerConnection,
        PeerConnectionEvent, SessionDescription, ToJson,
    };
}

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
