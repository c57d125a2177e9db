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
    /// The codecs and header extensions, and whether there are data channels. Default: all that are implemented.
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
            jsep: configuration.jsep.unwrap_or_else(|| JsepConfig::default().with_data_channels()),
            username_prefix: shard.username_prefix(),
            seed: random::seed(),
            clock: endpoint.clock(),
        });
        for address in addresses {
            connection.add_local_address(address);
        }
        let id = endpoint.next_id();
        let shared = Arc::new(Shared::new(shard.clone(), id));
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

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Where the connection lives.
    pub(crate) fn origin(&self) -> (ShardHandle, ConnectionId) {
        (self.inner.shard.clone(), self.inner.id)
    }

    /// Runs work on the connection's thread and waits for its result.
    pub(crate) async fn call<R: Send + 'static>(
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_shard_that_hangs_drops_whole_frames_and_goes_on_at_a_keyframe() {
        use crate::{Broadcast, MediaStreamTrack, PeerConnectionEvent};
        use rtcast_proto::{Codec, EncodedFrame, MediaKind, MediaTime, RtpCodec};
        use std::time::Duration;

        const KEYFRAME_EVERY: u32 = 20;
        let frame = |number: u32| {
            let keyframe = number.is_multiple_of(KEYFRAME_EVERY);
            let mut data = vec![0; 5_000];
            data[..10].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2]);
            data[10..14].copy_from_slice(&number.to_be_bytes());
            let timestamp = MediaTime::from_ticks(i64::from(number) * 900, 90_000);
            EncodedFrame { codec: Codec::Vp8, data: data.into(), timestamp, keyframe }
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = EndpointConfig { address, shards: Some(1), ..EndpointConfig::default() };
        let server = Endpoint::bind(config).unwrap();
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let sender = PeerConnection::new(Configuration::on(&server)).await.unwrap();
        sender.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await.unwrap();
        let viewer =
            PeerConnection::new(Configuration { address: Some(address), ..Configuration::default() }).await.unwrap();
        let mut events = viewer.events();
        let offer = sender.create_offer().await.unwrap();
        sender.set_local_description(offer).await.unwrap();
        viewer.set_remote_description(sender.local_description().unwrap()).await.unwrap();
        let answer = viewer.create_answer().await.unwrap();
        viewer.set_local_description(answer).await.unwrap();
        sender.set_remote_description(viewer.local_description().unwrap()).await.unwrap();
        let sending = broadcast.clone();
        let feeder = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            for number in 0.. {
                ticks.tick().await;
                sending.send(&frame(number), Instant::now());
            }
        });
        let track = loop {
            if let Some(PeerConnectionEvent::Track(event)) = events.recv().await {
                break event.track;
            }
        };
        let mut numbers = Vec::new();
        let mut hung = false;
        let limit = Duration::from_secs(30);
        while !hung || numbers.len() < 150 {
            let received = tokio::time::timeout(limit, track.recv()).await.expect("a frame").expect("a track");
            numbers.push(u32::from_be_bytes(received.data[10..14].try_into().unwrap()));
            if numbers.len() == 30 {
                // What a processor that is too slow does, all at once.
                sender.call(|_, _| std::thread::sleep(Duration::from_millis(900))).await.unwrap();
                hung = true;
            }
        }
        feeder.abort();
        let gaps: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
        assert_eq!(gaps.len(), 1, "{numbers:?}");
        assert!(gaps[0][1] > gaps[0][0] && gaps[0][1].is_multiple_of(KEYFRAME_EVERY), "{gaps:?}");
        let stats = server.stats();
        assert!(stats.frames_dropped > 0, "{stats:?}");
        assert!(stats.overloaded && server.is_overloaded(), "{stats:?}");
        assert!(stats.lag < Duration::from_millis(500), "the delay does not stay: {stats:?}");
        assert_eq!(server.survey().await.frames_dropped, 0, "no viewer was slow");
    }
}
