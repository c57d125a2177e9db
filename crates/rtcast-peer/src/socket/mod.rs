//! Sockets: the only place that touches them.

mod addresses;
mod interfaces;
mod kernel;
mod udp;

pub(crate) use addresses::{host_addresses, without_loopback};
pub(crate) use udp::{Position, RECEIVES, ReceivedDatagrams, UdpSocket};
pub use udp::{SocketCapabilities, SocketOptions};
