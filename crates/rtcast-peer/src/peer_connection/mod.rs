//! The peer connection: W3C's `RTCPeerConnection`.

mod capabilities;
mod configuration;
mod data_channels;
mod dtmf;
mod events;
mod handle;
mod listeners;
mod negotiation;
mod received_track;
mod receiver;
mod sender;
mod stats;
mod tracks;
mod transceiver;
mod transports;
mod view;

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rtcast_proto::JsepConfig;
use rtcast_proto::connection::{Connection, ConnectionConfig, ConnectionStats, IceOptions};
use rtcast_proto::dtls::{Certificate, KeyAlgorithm};
use rtcast_proto::ice::{IceServer, IceTransportPolicy, LocalCandidate, TCP_ACTIVE_PORT};
use tokio::sync::oneshot;

use crate::endpoint::{ConnectionId, Endpoint, Entry, ShardHandle};
use crate::error::Error;
use crate::random;
use crate::reachability::{CompanionConfig, CompanionHandle, IceSettings, Server, TcpCandidates, parse_servers};

pub use capabilities::RtpCapabilities;
pub use dtmf::{DtmfSender, ToneChangeEvent, ToneReceivedEvent};
pub use events::{EventStream, PeerConnectionEvent, TrackEvent};
pub use receiver::RtpReceiver;
pub use sender::RtpSender;
pub use tracks::{RtpTransceiverInit, TrackOrKind};
pub use transceiver::RtpTransceiver;
pub use transports::{DtlsTransport, IceTransport};
pub(crate) use view::ConnectionView;

/// What a peer connection is made from: W3C's `RTCConfiguration`, and the endpoint.
///
/// ```
/// use rtcast_peer::{Configuration, IceServer, IceTransportPolicy};
///
/// let mut configuration = Configuration::default();
/// configuration.ice_servers.push(IceServer::stun("stun:stun.example.org"));
/// configuration.ice_servers.push(IceServer::turn("turn:turn.example.org?transport=tcp", "alice", "secret"));
/// configuration.ice_transport_policy = IceTransportPolicy::Relay;
/// assert!(configuration.ice_servers.iter().all(|server| server.parse().is_ok()));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// The endpoint whose port and threads the connection uses. A peer that shares one port among its connections as
    /// well cannot have more than one with this endpoint, for nothing but the two addresses tells them apart. Default:
    /// none; the connection has a socket of its own, on threads that all such connections share.
    pub endpoint: Option<Endpoint>,
    /// The address for the connection's own socket; ignored with an endpoint. Default: a free port on all addresses.
    pub address: Option<SocketAddr>,
    /// The codecs and header extensions, and whether there are data channels; connections may share one. Default: all that
    /// are implemented.
    pub jsep: Option<Arc<JsepConfig>>,
    /// STUN and TURN servers: W3C's `iceServers`. Default: none.
    pub ice_servers: Vec<IceServer>,
    /// Which of our addresses may be used: W3C's `iceTransportPolicy`. Default: all.
    pub ice_transport_policy: IceTransportPolicy,
    /// What the W3C says nothing of.
    pub ice: IceSettings,
    /// The certificate. Default: the endpoint's.
    pub certificate: Option<Certificate>,
}

impl Configuration {
    /// A configuration on that endpoint.
    ///
    /// All connections of an endpoint have the port that it has bound:
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Endpoint, EndpointConfig, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let address = ([127, 0, 0, 1], 0).into();
    /// let endpoint = Endpoint::bind(EndpointConfig { address, shards: Some(1), ..EndpointConfig::default() })?;
    /// for _viewer in 0..2 {
    ///     let pc = PeerConnection::new(Configuration::on(&endpoint)).await?;
    ///     pc.create_data_channel("chat", Default::default()).await?;
    ///     pc.set_local_description(None).await?;
    ///     let candidate = format!("127.0.0.1 {} typ host", endpoint.local_address().port());
    ///     assert!(pc.local_description().is_some_and(|offer| offer.sdp().contains(&candidate)));
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
    view: Arc<ConnectionView>,
    configuration: Mutex<Configuration>,
    /// Keeps the sockets open as long as the connection lives.
    _endpoint: Endpoint,
}

impl Inner {
    /// Gives the connection what it needs besides the shard's sockets: whoever looks for candidates, listens and answers
    /// for names.
    fn equip(
        &self,
        servers: Vec<Server>,
        listener: Option<TcpListener>,
        names: Vec<(String, IpAddr)>,
        opens_tcp: bool,
    ) {
        let (id, shard, inbound) = (self.id, self.shard.clone(), self.shard.inbound());
        let mut companion = CompanionHandle::new(CompanionConfig { id, shard, servers, inbound });
        if let Some(listener) = listener {
            companion.listen(listener);
        }
        if !names.is_empty() {
            companion.respond(names);
        }
        let equip = move |entry: &mut Entry, _| {
            entry.companion = Some(Box::new(companion));
            if opens_tcp {
                entry.detours.get_or_insert_default().tcp = true;
            }
        };
        self.shard.call(id, Box::new(equip));
    }
}

/// The certificate, unless it has expired (W3C webrtc-pc §4.4.1.1, step 4).
fn unexpired(certificate: Certificate) -> Result<Certificate, Error> {
    if certificate.expires() > SystemTime::now() {
        return Ok(certificate);
    }
    Err(Error::InvalidAccess {
        problem: "the certificate of the configuration has expired".to_owned(),
        hint: "make a new one, such as by `PeerConnection::generate_certificate`",
    })
}

impl PeerConnection {
    /// A new connection without tracks.
    ///
    /// # Errors
    /// [`Error::IceServer`] if an ICE server's URL or credentials are not in order, [`Error::Io`] if no endpoint was
    /// given and none can be bound, [`Error::Closed`] if the endpoint is closed.
    #[expect(clippy::unused_async, reason = "it must be called within a tokio runtime")]
    pub async fn new(mut configuration: Configuration) -> Result<Self, Error> {
        let servers = parse_servers(&configuration.ice_servers)?;
        let kept = configuration.clone();
        let (endpoint, sockets, addresses) = match configuration.endpoint {
            Some(endpoint) => {
                let addresses = configuration.ice.filter(endpoint.addresses());
                if configuration.ice.public_addresses.is_empty() {
                    configuration.ice.public_addresses = endpoint.public_addresses().to_vec();
                }
                (endpoint, Vec::new(), addresses)
            }
            None => {
                let address = configuration.address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
                let (sockets, addresses) = configuration.ice.private_sockets(address)?;
                (Endpoint::shared()?, sockets, addresses)
            }
        };
        let shard = endpoint.least_loaded().clone();
        let mut connection = Connection::new(ConnectionConfig {
            certificate: configuration.certificate.map_or_else(|| Ok(endpoint.certificate().clone()), unexpired)?,
            dtls_version: endpoint.dtls_version(),
            jsep: configuration.jsep.unwrap_or_else(default_jsep),
            username_prefix: shard.username_prefix(),
            seed: random::seed(),
            clock: endpoint.clock(),
        });
        connection.set_check_pace(endpoint.check_pace());
        let options = IceOptions {
            transport_policy: configuration.ice_transport_policy,
            lite: configuration.ice.lite,
            servers: !servers.is_empty(),
        };
        connection.set_ice_options(options, u8::try_from(shard.index()).unwrap_or(0));
        let listener = match (configuration.ice.tcp, addresses.first()) {
            (TcpCandidates::ActiveAndPassive, Some(first)) => {
                let any: IpAddr = if first.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
                let ip = if addresses.len() == 1 { first.ip() } else { any };
                Some(configuration.ice.bind_tcp(SocketAddr::new(ip, 0), &addresses)?)
            }
            _ => None,
        };
        let mut names = Vec::new();
        let shared_tcp = configuration.ice.shared_tcp_candidates(&endpoint, &addresses);
        let tcp = tcp_candidates(&configuration.ice, &addresses, listener.as_ref(), &mut names);
        for address in addresses {
            let announced = configuration.ice.announced(address, &mut names);
            connection.add_host(LocalCandidate::Host { address, announced });
        }
        tcp.into_iter().chain(shared_tcp).for_each(|local| connection.add_host(local));
        let id = endpoint.next_id();
        let view = Arc::new(ConnectionView::new(shard.clone(), id));
        let stored = Mutex::new(kept);
        let inner = Arc::new(Inner { id, shard, view: Arc::clone(&view), configuration: stored, _endpoint: endpoint });
        view.set_connection(Arc::downgrade(&inner));
        if !inner.shard.insert(id, connection, view, sockets) {
            return Err(Error::Closed);
        }
        if configuration.ice_transport_policy == IceTransportPolicy::Relay {
            names.clear();
        }
        let opens_tcp = configuration.ice.tcp != TcpCandidates::None;
        inner.equip(servers, listener, names, opens_tcp);
        Ok(Self { inner })
    }

    /// Makes a certificate on the curve P-256 that is valid for so long, at most a year: W3C's `generateCertificate`.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use rtcast_peer::{Configuration, PeerConnection};
    ///
    /// let certificate = PeerConnection::generate_certificate(Duration::from_secs(7 * 24 * 60 * 60))?;
    /// assert!(certificate.expires() > SystemTime::now());
    /// println!("a=fingerprint:{}", certificate.fingerprint());
    /// let mut configuration = Configuration::default();
    /// configuration.certificate = Some(certificate);
    /// # Ok::<(), rtcast_peer::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Certificate`] if the system has no randomness.
    pub fn generate_certificate(lifetime: Duration) -> Result<Certificate, Error> {
        Self::generate_certificate_with(KeyAlgorithm::default(), lifetime)
    }

    /// The same with a key of another kind, such as RSA: W3C's `generateCertificate` with its `keygenAlgorithm`.
    ///
    /// It computes for as long as [`KeyAlgorithm`] says, on the calling thread.
    ///
    /// # Errors
    /// [`Error::Certificate`] if the system has no randomness.
    pub fn generate_certificate_with(algorithm: KeyAlgorithm, lifetime: Duration) -> Result<Certificate, Error> {
        Ok(Certificate::generate_with(algorithm, SystemTime::now(), lifetime)?)
    }

    /// The counters as they stand, in structures of our own; [`get_stats`](Self::get_stats) gives the W3C's.
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

    pub(crate) fn view(&self) -> &ConnectionView {
        &self.inner.view
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
            entry.observer().updated(&entry.connection);
            // Whoever asked may have stopped waiting.
            let _ = reply.send(value);
        };
        if !self.inner.shard.call(self.inner.id, Box::new(work)) {
            return Err(Error::Closed);
        }
        result.await.map_err(|_| Error::Closed)
    }
}

/// The TCP candidates of these addresses.
fn tcp_candidates(
    settings: &IceSettings,
    addresses: &[SocketAddr],
    listener: Option<&TcpListener>,
    names: &mut Vec<(String, IpAddr)>,
) -> Vec<LocalCandidate> {
    let bound = listener.and_then(|listener| listener.local_addr().ok());
    let mut ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    ips.dedup();
    let mut candidates = Vec::new();
    for ip in ips {
        if let Some(bound) = bound.filter(|bound| bound.is_ipv4() == ip.is_ipv4()) {
            let address = SocketAddr::new(ip, bound.port());
            candidates.push(LocalCandidate::TcpPassive { address, announced: settings.announced(address, names) });
        }
        if settings.tcp != TcpCandidates::None {
            let announced = settings.announced(SocketAddr::new(ip, TCP_ACTIVE_PORT), names);
            candidates.push(LocalCandidate::TcpActive { ip, announced });
        }
    }
    candidates
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

/// What all connections can do that were not told otherwise; they share it.
fn default_jsep() -> Arc<JsepConfig> {
    static CONFIG: OnceLock<Arc<JsepConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(JsepConfig::default().with_data_channels())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointConfig;
    use crate::{Broadcast, MediaStreamTrack, PeerConnectionEvent};
    use rtcast_proto::connection::{Datagram, PeerConnectionState};
    use rtcast_proto::rtcp::RtcpWriter;
    use rtcast_proto::{Codec, Frame, MediaKind, MediaTime, RtpCodec, Ssrc};
    use std::time::Duration;

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

    /// A picture that tells its number.
    fn frame(number: u32, keyframe: bool) -> Frame {
        let mut data = vec![0; 5_000];
        data[..10].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2]);
        data[10..14].copy_from_slice(&number.to_be_bytes());
        let timestamp = MediaTime::from_ticks(i64::from(number) * 900, 90_000);
        Frame::new(Codec::Vp8, data, timestamp).with_keyframe(keyframe)
    }

    async fn next_number(track: &MediaStreamTrack) -> u32 {
        let limit = Duration::from_secs(30);
        let received = tokio::time::timeout(limit, track.recv()).await.expect("a frame").expect("a track");
        u32::from_be_bytes(received.data[10..14].try_into().unwrap())
    }

    /// A server with a broadcast, what sends it, its viewer, and the track there.
    async fn watched(broadcast: &Broadcast) -> (Endpoint, PeerConnection, PeerConnection, MediaStreamTrack) {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = EndpointConfig { address, shards: Some(1), ..EndpointConfig::default() };
        let server = Endpoint::bind(config).unwrap();
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
        let track = loop {
            if let Some(PeerConnectionEvent::Track(event)) = events.recv().await {
                break event.track;
            }
        };
        (server, sender, viewer, track)
    }

    /// Sends a picture every ten milliseconds.
    fn feed(broadcast: &Broadcast, keyframe_every: u32) -> tokio::task::JoinHandle<()> {
        let sending = broadcast.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            for number in 0.. {
                ticks.tick().await;
                sending.send(&frame(number, number.is_multiple_of(keyframe_every)), Instant::now());
            }
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_for_a_keyframe_is_answered_from_the_group_that_is_kept() {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let (_server, sender, viewer, track) = watched(&broadcast).await;
        // Fewer pictures than are kept, and no second keyframe.
        let sending = broadcast.clone();
        let send = move |numbers: std::ops::Range<u32>| {
            numbers.for_each(|number| sending.send(&frame(number, number == 0), Instant::now()));
        };
        broadcast.upstream().wait_for(|upstream| upstream.demand() > 0).await;
        send(0..20);
        for number in 0..20 {
            assert_eq!(next_number(&track).await, number);
        }
        let asked = broadcast.upstream().keyframe_requests();
        // The viewer asks by the means of its connection, more than once.
        let ssrc = sender
            .call(|entry, _| {
                let transceiver = entry.connection.transceivers()[0].id();
                entry.connection.negotiated_sender(transceiver).unwrap().ssrc
            })
            .await
            .unwrap();
        let mut request = viewer
            .call(move |entry, _| {
                let mut rtcp = RtcpWriter::default();
                rtcp.receiver_report(Ssrc(1), &[]);
                rtcp.picture_loss_indication(Ssrc(1), ssrc);
                rtcp.picture_loss_indication(Ssrc(1), ssrc);
                let mut protected = Vec::new();
                entry.connection.srtp_mut().unwrap().protect_rtcp(rtcp.bytes(), &mut protected).unwrap();
                protected
            })
            .await
            .unwrap();
        sender
            .call(move |entry, now| {
                let pair = entry.connection.selected_pair().unwrap();
                let datagram = Datagram { source: pair.remote, destination: pair.local, contents: &mut request };
                let _ = entry.connection.handle_input(now, datagram);
            })
            .await
            .unwrap();
        send(20..25);
        // From the keyframe again, once, and then on with the stream; the request may be seen to a little later than what
        // was sent meanwhile.
        let mut numbers = Vec::new();
        while !numbers.contains(&0) || numbers.last() != Some(&24) {
            numbers.push(next_number(&track).await);
        }
        let again = numbers.iter().position(|number| *number == 0).unwrap_or_default();
        assert!(numbers[again..].iter().copied().eq(0..25), "{numbers:?}");
        assert_eq!(broadcast.upstream().keyframe_requests(), asked, "the source need not make one");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_shard_that_hangs_drops_whole_frames_and_goes_on_at_a_keyframe() {
        const KEYFRAME_EVERY: u32 = 20;
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let (server, sender, _viewer, track) = watched(&broadcast).await;
        let feeder = feed(&broadcast, KEYFRAME_EVERY);
        let mut numbers = Vec::new();
        let mut hung = false;
        while !hung || numbers.len() < 150 {
            numbers.push(next_number(&track).await);
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
