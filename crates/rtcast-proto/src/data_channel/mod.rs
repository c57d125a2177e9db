//! Data channels (RFC 8831), and the protocol that opens them (RFC 8832).
//!
//! [`DataChannels`] keeps all channels of one connection over an association of [`sctp`](crate::sctp).

mod channel;
mod dcep;
mod error;
mod incoming;
mod transport;

pub use channel::{DataChannelId, DataChannelInfo, DataChannelInit, DataChannelMessage, DataChannelState};
pub use error::DataChannelError;
pub use transport::{DataChannelEvent, DataChannelStats, DataChannels, SctpTransportState};

/// Takes any bytes as a message of the protocol that opens channels, for tests of robustness: what is read and written
/// again must read the same. Returns whether it could be read.
pub fn dcep_round_trip(bytes: &[u8]) -> bool {
    dcep::round_trip(bytes)
}
