//! One port for HTTP by TCP and for media by UDP.

use std::io;
use std::net::SocketAddr;

use rtcast::{Endpoint, EndpointConfig};
use tokio::net::TcpListener;

use crate::error::ServerError;

/// How many ports after the one asked for are tried.
const FURTHER_PORTS: u16 = 100;

/// Opens the TCP and the UDP port of one number: the one asked for, else the next that is free for both. `media` says how
/// the UDP port works.
pub(crate) async fn listen(
    address: SocketAddr,
    media: &EndpointConfig,
) -> Result<(TcpListener, Endpoint), ServerError> {
    for step in 0..=FURTHER_PORTS {
        let mut attempt = address;
        if address.port() != 0 {
            let Some(port) = address.port().checked_add(step) else { break };
            attempt.set_port(port);
        }
        let listener = match TcpListener::bind(attempt).await {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(error) => return Err(ServerError::Bind { address: attempt, error }),
        };
        let local = listener.local_addr().map_err(|error| ServerError::Bind { address: attempt, error })?;
        match Endpoint::bind(EndpointConfig { address: local, ..media.clone() }) {
            Ok(endpoint) => return Ok((listener, endpoint)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ServerError::Interface(error)),
            Err(error) => return Err(ServerError::Endpoint { address: local, error }),
        }
    }
    Err(ServerError::PortsTaken { address, tried: FURTHER_PORTS })
}
