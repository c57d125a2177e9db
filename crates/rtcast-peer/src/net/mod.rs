//! Sockets: the only place that touches them.

mod addresses;
mod interfaces;
mod kernel;
mod socket;

pub(crate) use addresses::{host_addresses, without_loopback};
pub(crate) use socket::{Position, RECEIVES, ReceivedDatagrams, UdpSocket};
pub use socket::{SocketCapabilities, SocketOptions};
