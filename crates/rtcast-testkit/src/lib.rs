//! A simulated pair of peers with a fake clock and an emulated network, for the tests of rtcast.
//!
//! Nothing here waits or opens a socket: an hour of a call takes as long as its work.
#![forbid(unsafe_code)]

mod frames;
mod network;
mod pair;
mod stream;

pub use frames::vp8_frame;
pub use network::{Bottleneck, Link, Network, Random};
pub use pair::{Pair, Peer, Side};
pub use stream::{Stream, StreamShape};
