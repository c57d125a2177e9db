//! The peer connection: W3C's `RTCPeerConnection`.

mod events;
mod negotiation;
mod remote_track;
mod shared;
mod transceivers;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtcast_proto::JsepConfig;
use rtcast_proto::connection::{Connection, ConnectionConfig, ConnectionStats};
use tokio::sync::oneshot;

use crate::endpoint::{ConnectionId, Endpoint, Entry, ShardHandle, private_sockets};
use crate::error::Error;
use crate::random;

pub use events::{EventStream, PeerConnectionEvent, TrackEvent};
pub use remote_track::RemoteTrack;
pub(crate) use shared::Shared;
pub use transceivers::{RtpSender, RtpTransceiver};

/// What a peer connection is made from: W3C's `RTCConfiguration`, and the endpoint.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// The endpoint whose port and threads the connection uses. A peer that shares one port among its connections as
    /// well cannot have more than one with this endpoint, for nothing but the two addresses tells them apart. Default:
    /// none; the connection has a socket of its own, on threads that all such connections share.
    pub endpoint: Option<Endpoint>,
    /// The address for the connection's own socket; ignored with an endpoint. Default: a free port on all addresses.
    pub address: Option<SocketAddr>,
    /// The codecs and header extensions. Default: all that are implemented.
    pub jsep: Option<JsepConfig>,
}

impl Configuration {
    /// A configuration on that endpoint.
    pub fn on(endpoint: &Endpoint) -> Self {
        Self { endpoint: Some(endpoint.clone()), ..Self::default() }
    }
}

/// A connection to one peer: W3C's `RTCPeerConnection`.
///
/// Cheap to clone; all clones are one connection, and dropping the last one closes it. All methods may be called from
/// any task.
///
/// ```no_run
/// # async fn example(message: &str) -> Result<String, rtcast_peer::Error> {
/// use rtcast_peer::{Configuration, PeerConnection, SessionDescription, ToJson};
///
/// let pc = PeerConnection::new(Configuration::default()).await?;
/// let offer = SessionDescription::from_json(message)?;
/// pc.set_remote_description(offer).await?;
/// let answer = pc.create_answer().await?;
/// pc.set_local_description(answer).await?;
/// # Ok(
/// pc.local_description().to_json()
/// # )
/// # }
/// ```
#[derive(Clone)]
pub struct PeerConnection {
    inner: Arc<Inner>,
}

struct Inner {
    id: ConnectionId,
    shard: ShardHandle,
    shared: Arc<Shared>,
    /// Keeps the sockets open as long as the connection lives.
    _endpoint: Endpoint,
}

impl PeerConnection {
    /// A new connection without tracks.
    ///
    /// # Errors
    /// [`Error::Io`] if no endpoint was given and none can be bound, [`Error::Closed`] if the endpoint is closed.
    #[expect(clippy::unused_async, reason = "later configurations look up servers before the connection exists")]
    pub async fn new(configuration: Configuration) -> Result<Self, Error> {
        let (endpoint, sockets, addresses) = match configuration.endpoint {
            Some(endpoint) => {
                let addresses = endpoint.addresses().to_vec();
                (endpoint, Vec::new(), addresses)
            }
            None => {
                let address = configuration.address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
                let (sockets, addresses) = private_sockets(address)?;
                (Endpoint::shared()?, sockets, addresses)
            }
        };
        let shard = endpoint.least_loaded().clone();
        let mut connection = Connection::new(ConnectionConfig {
            certificate: endpoint.certificate().clone(),
            dtls_version: endpoint.dtls_version(),
            jsep: configuration.jsep.unwrap_or_default(),
            username_prefix: shard.username_prefix(),
            seed: random::seed(),
            clock: endpoint.clock(),
        });
        for address in addresses {
            connection.add_local_address(address);
        }
        let id = endpoint.next_id();
        let shared = Arc::new(Shared::new());
        if !shard.insert(id, connection, Arc::clone(&shared), sockets) {
            return Err(Error::Closed);
        }
        Ok(Self { inner: Arc::new(Inner { id, shard, shared, _endpoint: endpoint }) })
    }

    /// The counters as they stand: the matter of W3C's `getStats`.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn stats(&self) -> Result<ConnectionStats, Error> {
        self.call(|entry, _| entry.connection.stats()).await
    }

    /// Ends the connection: the peer is told by RTCP BYE and a DTLS alert. Closing twice is fine.
    pub async fn close(&self) {
        // A connection that is gone already is closed.
        let _ = self.call(|entry, now| entry.connection.close(now)).await;
    }

    /// Runs work on the connection's thread and waits for its result.
    async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Entry, Instant) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (reply, result) = oneshot::channel();
        let work = move |entry: &mut Entry, now: Instant| {
            let value = work(entry, now);
            entry.shared().update(&entry.connection);
            // Whoever asked may have stopped waiting.
            let _ = reply.send(value);
        };
        if !self.inner.shard.call(self.inner.id, Box::new(work)) {
            return Err(Error::Closed);
        }
        result.await.map_err(|_| Error::Closed)
    }
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("id", &self.inner.id.0)
            .field("connection_state", &self.connection_state())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shard.call(self.id, Box::new(|entry, now| entry.connection.close(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointConfig;
    use rtcast_proto::connection::PeerConnectionState;

    #[tokio::test]
    async fn a_defect_ends_one_connection_and_no_other() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = EndpointConfig { address, shards: Some(1), ..EndpointConfig::default() };
        let endpoint = Endpoint::bind(config).unwrap();
        let broken = PeerConnection::new(Configuration::on(&endpoint)).await.unwrap();
        let whole = PeerConnection::new(Configuration::on(&endpoint)).await.unwrap();
        let mut events = broken.events();
        let result = broken.call(|_, _| panic!("a defect that this test plays")).await;
        assert!(matches!(result, Err(Error::Closed)));
        assert!(events.recv().await.is_none());
        assert_eq!(broken.connection_state(), PeerConnectionState::Closed);
        assert!(broken.create_offer().await.is_err());
        assert!(whole.create_offer().await.is_ok());
        assert_eq!(endpoint.stats().connections, 1);
    }
}
