//! Sockets: the only place that touches them.

mod addresses;
mod socket;

pub(crate) use addresses::host_addresses;
pub use socket::SocketCapabilities;
pub(crate) use socket::{ReceivedDatagrams, UdpSocket};
