//! The HTTP face of rtcast: the player page, WebSocket signalling and WHEP on one TCP port, all media on the UDP port of the
//! same number.
//!
//! Where to begin: a [`Stream`] is what is shown under one name, [`Server::builder`] takes streams and limits and binds the
//! port, [`Server`] runs until it is dropped or [shut down](Server::shutdown). Who comes and goes is told by
//! [`Server::events`], how all of it fares by [`Server::stats`]. [`AllowedHost`], [`AllowedOrigin`] and [`AddressPrefix`] say
//! whose requests are served.
//!
//! ```no_run
//! # async fn example(video: rtcast::MediaStreamTrack) -> Result<(), Box<dyn std::error::Error>> {
//! use rtcast_server::{Server, Stream};
//!
//! let server = Server::builder().stream("foo", Stream::new().track(video)).bind("0.0.0.0:8080".parse()?).await?;
//! println!("http://localhost:{}/foo", server.local_address().port());
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod accept;
mod client;
mod connection;
mod error;
mod event;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod links;
mod listen;
mod message_pace;
mod metrics;
mod negotiation;
mod origin;
mod pages;
mod problem;
mod quota;
mod router;
mod sdpfrag;
mod server;
mod state;
mod stream;
mod text;
mod time;
mod viewer;
mod websocket;
mod whep;

pub use client::{AddressPrefix, AddressPrefixError};
pub use error::ServerError;
pub use event::{LeaveReason, ServerEvent, Signalling, ViewerId};
pub use origin::{AllowedError, AllowedHost, AllowedOrigin, OriginName};
pub use server::{Server, ServerBuilder, ServerStats};
pub use stream::{Stream, name_of};
pub use text::printable;
pub use time::TimeLimits;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
