//! The server: what it streams, where it listens, and how it stops.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtcast::{EndpointConfig, EndpointStats, IceServer, SocketCapabilities, SocketOptions, Survey};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accept::Acceptor;
use crate::client::{AddressPrefix, TrustedProxies};
use crate::error::ServerError;
use crate::event::ServerEvent;
use crate::files;
use crate::links::links;
use crate::listen::listen;
use crate::origin::{Admission, AllowedHost, AllowedOrigin};
use crate::router::router;
use crate::state::{ServerState, Settings};
use crate::stream::Stream;
use crate::time::TimeLimits;

/// How long each step of stopping may take; together they stay below a second.
const FAREWELL: Duration = Duration::from_millis(500);
const ENDPOINT_CLOSE: Duration = Duration::from_millis(250);
const HTTP_CLOSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it stops it at once; [`Server::shutdown`] says goodbye to the viewers first.
///
/// ```
/// use rtcast::{Broadcast, Codec, MediaKind, MediaStreamTrack, RtpCodec};
/// use rtcast_server::{Server, Stream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let track = MediaStreamTrack::new(MediaKind::Audio, vec![Broadcast::new(RtpCodec::new(Codec::Opus))]);
/// let server = Server::builder()
///     .stream("radio", Stream::new().title("A radio").track(track.clone()))
///     .bind("127.0.0.1:0".parse()?)
///     .await?;
/// println!("http://{}/radio", server.local_address());
///
/// server.add_stream("again", Stream::new().track(track))?;
/// assert!(server.remove_stream("again") && server.viewers() == 0);
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    shared: Arc<ServerState>,
    local_address: SocketAddr,
    notes: Vec<String>,
    task: JoinHandle<()>,
}

/// Totals since the start, and the state of the network to those who watch now.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Viewers whose connection stands.
    pub viewers: usize,
    /// RTP packets sent to all viewers, those who are gone included.
    pub packets_sent: u64,
    /// Bytes of RTP payload in these packets, without headers.
    pub bytes_sent: u64,
    /// Encoded video frames in these packets.
    pub frames_sent: u64,
    /// Packets among these that were sent again.
    pub retransmitted_packets_sent: u64,
    /// The share of packets that the viewers lately reported lost, 0.0 to 1.0, the mean of all their streams.
    pub fraction_lost: f64,
    /// The median of the viewers' round-trip times, `None` before the first report.
    pub round_trip_time: Option<Duration>,
    /// Frames that were dropped for all viewers of a thread because it could not keep up.
    pub frames_dropped: u64,
    /// Frames that single viewers were not sent because their own network was too slow.
    pub viewer_frames_dropped: u64,
    /// Datagrams that the system refused to send.
    pub send_errors: u64,
    /// How long the last frame had waited before its first viewer was served.
    pub lag: Duration,
    /// Whether the server could not keep up lately. It admits no further viewers until it can.
    pub overloaded: bool,
}

impl ServerStats {
    pub(crate) fn new(viewers: usize, survey: &Survey, endpoint: &EndpointStats) -> Self {
        Self {
            viewers,
            packets_sent: survey.packets_sent,
            bytes_sent: survey.bytes_sent,
            frames_sent: survey.frames_sent,
            retransmitted_packets_sent: survey.retransmitted_packets_sent,
            fraction_lost: survey.fraction_lost,
            round_trip_time: survey.round_trip_times.get(survey.round_trip_times.len() / 2).copied(),
            frames_dropped: endpoint.frames_dropped,
            viewer_frames_dropped: survey.frames_dropped,
            send_errors: endpoint.send_errors,
            lag: endpoint.lag,
            overloaded: endpoint.overloaded,
        }
    }
}

impl Server {
    /// A server to be set up.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            streams: Vec::new(),
            viewers: 10_000,
            media: EndpointConfig::default(),
            media_over_tcp: false,
            connections_each: 512,
            pending_each: 256,
            limits: TimeLimits::default(),
            proxies: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            ice_servers: Vec::new(),
        }
    }

    /// Where it listens, by TCP for HTTP and by UDP for media. The port may be a later one than asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What the kernel can do for the media sockets; [`SocketCapabilities::shortcomings`] says what is missing.
    pub fn capabilities(&self) -> SocketCapabilities {
        self.shared.endpoint.capabilities()
    }

    /// What a person should know about this machine: that so few files may be open that TCP connections are fewer than they
    /// could be. Empty where all is well.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many viewers' connections stand.
    pub fn viewers(&self) -> usize {
        self.shared.viewers()
    }

    /// What happens to the viewers from now on. An observer that lags more than 1,024 events behind misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<ServerEvent> {
        self.shared.events.subscribe()
    }

    /// Totals since the start, and the state of the network to those who watch now.
    pub async fn stats(&self) -> ServerStats {
        self.shared.stats().await
    }

    /// Adds a stream while the server runs.
    ///
    /// # Errors
    /// [`ServerError::Name`] and [`ServerError::DuplicateName`].
    pub fn add_stream(&self, name: &str, stream: Stream) -> Result<(), ServerError> {
        self.shared.add_stream(name, stream)
    }

    /// Takes a stream off the list; those who watch it go on. Returns whether there was one of that name.
    pub fn remove_stream(&self, name: &str) -> bool {
        self.shared.remove_stream(name)
    }

    /// Says goodbye to every viewer, by signalling, RTCP BYE and the close of DTLS, and stops. Ends within a second.
    pub async fn shutdown(mut self) {
        self.shared.stopping.send_replace(true);
        if timeout(FAREWELL, self.shared.empty()).await.is_err() {
            tracing::warn!("some viewers did not take the farewell in time");
        }
        if timeout(ENDPOINT_CLOSE, self.shared.endpoint.close()).await.is_err() {
            tracing::warn!("the media endpoint did not close in time");
        }
        let _ = timeout(HTTP_CLOSE, &mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
        self.task.abort();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_address", &self.local_address).finish_non_exhaustive()
    }
}

/// Sets up a [`Server`].
///
/// Behind a proxy on the same machine, for pages of one other site:
///
/// ```
/// use rtcast_server::Server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Server::builder()
///     .viewers(200)
///     .allow_host("cam.example.org".parse()?)
///     .allow_origin("https://www.example.org".parse()?)
///     .trusted_proxy("127.0.0.1".parse()?);
/// # drop(builder);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerBuilder {
    streams: Vec<(String, Stream)>,
    viewers: usize,
    media: EndpointConfig,
    media_over_tcp: bool,
    connections_each: usize,
    pending_each: usize,
    limits: TimeLimits,
    proxies: Vec<AddressPrefix>,
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
    ice_servers: Vec<IceServer>,
}

impl ServerBuilder {
    /// Adds a stream under a name, which is its path: letters, digits, `-`, `_` and `.`, at most 64.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>, stream: Stream) -> Self {
        self.streams.push((name.into(), stream));
        self
    }

    /// How many viewers may watch at a time, 10,000 by default. Further ones are refused: by WHEP with 503 and
    /// `Retry-After`, over the WebSocket with a `QuotaExceededError`. So they are while the server is overloaded.
    #[must_use]
    pub fn viewers(mut self, limit: usize) -> Self {
        self.viewers = limit;
        self
    }

    /// How many threads carry media. Default: as many as the endpoint finds right for this machine.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.media.shards = Some(shards);
        self
    }

    /// What is asked of the kernel for the media sockets. Default: all that makes it faster.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.media.socket = options;
        self
    }

    /// Lets media go over TCP as well, on the same port as HTTP, for viewers whose networks let no UDP through (RFC 6544).
    /// Browsers open such a connection even where UDP works, so that each viewer costs one, and up to 4,096 may stand.
    /// Default: no.
    #[must_use]
    pub const fn media_over_tcp(mut self, enabled: bool) -> Self {
        self.media_over_tcp = enabled;
        self
    }

    /// The network interfaces whose addresses viewers are told for media. Default: all that others can reach, see
    /// [`EndpointConfig::interfaces`].
    #[must_use]
    pub fn interfaces(mut self, names: Vec<String>) -> Self {
        self.media.interfaces = names;
        self
    }

    /// The addresses at which a NAT in front of this machine is reached, which viewers are told for media instead of this
    /// machine's own; it must map the port to the same one. Default: none.
    #[must_use]
    pub fn public_addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.media.public_addresses = addresses;
        self
    }

    /// How many TCP connections one client may have open, 512 by default: an IPv4 address, or a 64-bit prefix of IPv6.
    /// Further ones are closed. All together there are 16,384, or fewer if the system lets fewer files be open.
    #[must_use]
    pub const fn connections_per_address(mut self, limit: usize) -> Self {
        self.connections_each = limit;
        self
    }

    /// How many viewers of one client may be between their offer and their connection, 256 by default. Further ones are
    /// refused as by [`viewers`](Self::viewers). All together there are 4,096.
    #[must_use]
    pub const fn pending_per_address(mut self, limit: usize) -> Self {
        self.pending_each = limit;
        self
    }

    /// How long clients may take.
    #[must_use]
    pub const fn time_limits(mut self, limits: TimeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes a client's address from the header `X-Forwarded-For` of requests that come from here, and from nowhere else. The
    /// connections of a proxy are bounded by those of all, its clients one by one. May be called for each proxy.
    #[must_use]
    pub fn trusted_proxy(mut self, proxy: AddressPrefix) -> Self {
        self.proxies.push(proxy);
        self
    }

    /// Answers to a further name. Without it the server answers to its addresses, to `localhost` and to the names of this
    /// machine alone, so that no web page reaches it under a name of its own (DNS rebinding).
    #[must_use]
    pub fn allow_host(mut self, host: AllowedHost) -> Self {
        self.hosts.push(host);
        self
    }

    /// Lets the pages of a further origin use the server, and show its pages in frames. Without it only pages of the same
    /// host and port may.
    #[must_use]
    pub fn allow_origin(mut self, origin: AllowedOrigin) -> Self {
        self.origins.push(origin);
        self
    }

    /// Tells viewers by WHEP of STUN and TURN servers that they may use (RFC 9725 §4.6), their credentials included.
    #[must_use]
    pub fn ice_server(mut self, server: IceServer) -> Self {
        self.ice_servers.push(server);
        self
    }

    /// Listens and serves. If the port is taken, by TCP or UDP, the next one that is free for both is used; port 0 is any
    /// free one. Raises the number of files that this process may have open, as far as the system lets it.
    ///
    /// # Errors
    /// Every variant of [`ServerError`].
    pub async fn bind(self, address: SocketAddr) -> Result<Server, ServerError> {
        let links = links(&self.ice_servers)?;
        let files = files::raise();
        let (listener, endpoint) = listen(address, &self.media).await?;
        let local_address = listener.local_addr().map_err(|error| ServerError::Bind { address, error })?;
        let media = self.media_over_tcp.then(|| endpoint.clone());
        if let Some(endpoint) = &media {
            endpoint.announce_tcp(local_address.port());
        }
        let settings = Settings {
            viewers: self.viewers,
            connections: files.connections,
            connections_each: self.connections_each,
            pending_each: self.pending_each,
            limits: self.limits,
            proxies: TrustedProxies::new(self.proxies),
            admission: Admission::new(self.hosts, self.origins),
            links,
        };
        let shared = Arc::new(ServerState::new(endpoint, settings));
        for (name, stream) in self.streams {
            shared.add_stream(&name, stream)?;
        }
        let acceptor = Acceptor { listener, router: router(shared.clone()), shared: shared.clone(), media };
        let task = tokio::spawn(acceptor.run());
        Ok(Server { shared, local_address, notes: files.note.into_iter().collect(), task })
    }
}
