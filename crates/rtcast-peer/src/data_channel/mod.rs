//! Data channels: W3C's `RTCDataChannel`.

mod handle;
mod shared;

pub use handle::{DataChannel, SctpTransport};
pub(crate) use shared::ConnectionData;
