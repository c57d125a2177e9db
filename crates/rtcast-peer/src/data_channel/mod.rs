//! Data channels: W3C's `RTCDataChannel`.

mod handle;
mod state;

pub use handle::{DataChannel, SctpTransport};
pub(crate) use state::ConnectionData;
