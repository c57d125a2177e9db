//! A load generator for any WHEP server: viewers that count packets, loss, pictures and delays.
//!
//! Each viewer does what a browser does: ICE, DTLS, SRTP, receiver reports, requests for lost packets and for keyframes.
//! All sequence numbers are checked at all viewers; payloads are authenticated and decrypted at as many as is asked for.
//! The generator says what it cost itself, so that a generator at its limit is not taken for a slow server.
//!
//! Where to begin: [`viewers`] runs a [`Load`] and gives a [`Report`], [`setup`] counts how many connections a second a server
//! makes, [`data_channel`] measures data channels between two processes of this machine.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod data_channel;
mod generator;
mod histogram;
mod load;
mod observer;
mod plot;
mod process;
mod report;
mod setup;
mod viewers;
mod whep;

pub use data_channel::{DataChannelBenchError, DataChannelLoad, DataChannelReport, data_channel, respond};
pub use load::{BenchError, Joining, Load};
pub use observer::{GeneratorCost, Sample};
pub use process::ProcessSample;
pub use report::{Distribution, Report, ServerCost, ViewerReport};
pub use setup::{SetupLoad, SetupReport, setup};
pub use viewers::viewers;
pub use whep::WhepError;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
