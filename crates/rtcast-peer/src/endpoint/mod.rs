//! The endpoint: one UDP port for any number of connections, on a few threads.

mod addresses;
mod command;
mod configuration;
mod detour;
mod entry;
mod feed;
mod guard;
mod inbound;
mod observer;
mod outlet;
mod overload;
mod rest;
mod routes;
mod shard;
mod sockets;
mod statistics;
mod survey;
#[cfg(test)]
mod tests;
mod timers;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtcast_proto::connection::WallClock;
use rtcast_proto::dtls::{Certificate, DtlsVersion};
use rtcast_proto::ice::{CheckPace, TCP_ACTIVE_PORT};
use tracing::info;

use crate::socket::{SocketCapabilities, SocketOptions, UdpSocket, host_addresses, without_loopback};
pub(crate) use command::{ConnectionId, ShardHandle, shard_of};
pub use configuration::EndpointConfig;
pub(crate) use detour::{DETOUR_CAPACITY, Detour, DetouredRun};
pub(crate) use entry::Entry;
pub(crate) use inbound::Inbound;
pub(crate) use observer::{Companion, Observer};
use routes::Routes;
use shard::Shard;
use statistics::Counters;
pub use statistics::EndpointStats;
pub use survey::Survey;

/// More shards than this would not find their letter in the ICE username fragment.
const MAX_SHARDS: usize = 64;

/// Seconds from 1900, where NTP's clock starts, to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

/// One UDP port that any number of peer connections share. Cheap to clone; when the last clone and the last connection
/// are gone, its threads end.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<ShardHandle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    addresses: Vec<SocketAddr>,
    public_addresses: Vec<IpAddr>,
    local: Option<SocketAddr>,
    certificate: Certificate,
    dtls_version: DtlsVersion,
    clock: WallClock,
    capabilities: SocketCapabilities,
    counters: Arc<Counters>,
    next_id: AtomicU64,
    check_pace: Arc<CheckPace>,
    /// The TCP port that peers are told of.
    tcp_port: OnceLock<u16>,
}

impl Endpoint {
    /// Binds the sockets and starts the threads.
    ///
    /// # Errors
    /// What the system says, such as [`io::ErrorKind::AddrInUse`].
    pub fn bind(config: EndpointConfig) -> io::Result<Self> {
        // A port that somebody else has must be noticed, which sharing would hide: the first socket is bound alone.
        let local = UdpSocket::bind(config.address, false, config.socket)?.local_address();
        Self::start(config, Some(local))
    }

    /// Starts the threads, on a port of their own or without one.
    fn start(config: EndpointConfig, local: Option<SocketAddr>) -> io::Result<Self> {
        guard::install();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = config.shards.unwrap_or(cores).clamp(1, MAX_SHARDS);
        let counters = Arc::new(Counters::new());
        let routes = Arc::new(Routes::default());
        let mut handles: Vec<ShardHandle> = Vec::with_capacity(count);
        let mut shards = Vec::with_capacity(count);
        let sockets = match local {
            Some(local) => bind_for_shards(local, count, config.socket)?,
            None => (0..count).map(|_| Vec::new()).collect(),
        };
        let first = sockets.first().map_or(&[][..], |sockets| sockets);
        let capabilities = first.first().map(UdpSocket::capabilities);
        let mut addresses = host_candidates(first, &config.interfaces)?;
        for (index, sockets) in sockets.into_iter().enumerate() {
            // Without sockets of their own on the port, the others send by the first one's, which reads for all.
            let reads = index == 0 || capabilities.is_none_or(|capabilities| capabilities.reuse_port);
            let (shard, handle) = Shard::new(index, sockets, reads, Arc::clone(&counters), Arc::clone(&routes))?;
            handles.push(handle);
            shards.push(shard);
        }
        if !config.loopback && config.interfaces.is_empty() {
            addresses = without_loopback(addresses);
        }
        let threads = shards
            .into_iter()
            .enumerate()
            .map(|(index, shard)| {
                let peers = handles.clone();
                thread::Builder::new().name(format!("rtcast-shard-{index}")).spawn(move || shard.run(&peers))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let certificate = match config.certificate {
            Some(certificate) => certificate,
            None => Certificate::generate().map_err(io::Error::other)?,
        };
        let capabilities = capabilities.unwrap_or(SocketCapabilities {
            send_segments: 1,
            receive_segments: 1,
            reuse_port: false,
            send_buffer: 0,
            receive_buffer: 0,
        });
        info!(?local, shards = count, ?capabilities, "endpoint started");
        Ok(Self {
            inner: Arc::new(Inner {
                shards: handles,
                threads: Mutex::new(threads),
                addresses,
                public_addresses: config.public_addresses,
                local,
                certificate,
                dtls_version: config.dtls_version,
                clock: wall_clock(),
                capabilities,
                counters,
                next_id: AtomicU64::new(1),
                check_pace: Arc::new(CheckPace::new(Instant::now())),
                tcp_port: OnceLock::new(),
            }),
        })
    }

    /// The threads of connections that are given no endpoint and have sockets of their own: started at the first use, and
    /// kept as long as somebody uses them.
    ///
    /// # Errors
    /// What the system says of the threads.
    pub(crate) fn shared() -> io::Result<Self> {
        static SHARED: OnceLock<Mutex<std::sync::Weak<Inner>>> = OnceLock::new();
        let slot = SHARED.get_or_init(Mutex::default);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = slot.upgrade() {
            return Ok(Self { inner });
        }
        let endpoint = Self::start(EndpointConfig::default(), None)?;
        *slot = Arc::downgrade(&endpoint.inner);
        Ok(endpoint)
    }

    /// The address that is bound; its port is the one in all candidates.
    pub fn local_address(&self) -> SocketAddr {
        // Only the threads of connections with sockets of their own have none, and they are not handed out.
        self.inner.local.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// What the kernel can do for the sockets.
    pub fn capabilities(&self) -> SocketCapabilities {
        self.inner.capabilities
    }

    /// From now on, tells the peers of new connections that TCP on this port leads here as well (RFC 6544), for networks
    /// that let no UDP through. Whoever listens there hands the connections to [`accept_tcp`](Self::accept_tcp); it may be
    /// the port of something else, such as HTTP, for what comes here begins with a byte below 6. Only the first call counts.
    /// Connections with [`IceSettings::mdns_candidates`](crate::IceSettings::mdns_candidates) do not tell it.
    pub fn announce_tcp(&self, port: u16) {
        // A later call changes nothing, as the documentation says.
        let _ = self.inner.tcp_port.set(port);
    }

    /// The port that stands for TCP within: an address alone tells what it belongs to, and that of UDP may be the same.
    pub(crate) fn tcp_base(&self) -> u16 {
        const USUAL: u16 = TCP_ACTIVE_PORT + 1;
        if self.local_address().port() == USUAL { USUAL + 1 } else { USUAL }
    }

    /// The TCP port that peers are told of.
    pub(crate) fn announced_tcp_port(&self) -> Option<u16> {
        self.inner.tcp_port.get().copied()
    }

    /// The threads.
    pub(crate) fn shard_handles(&self) -> &[ShardHandle] {
        &self.inner.shards
    }

    /// The number of threads.
    pub fn shards(&self) -> usize {
        self.inner.shards.len()
    }

    /// Totals of all connections.
    pub fn stats(&self) -> EndpointStats {
        let lag = self.inner.shards.iter().map(ShardHandle::lag).max().unwrap_or_default();
        self.inner.counters.totals(lag, Instant::now())
    }

    /// What all connections have been sent, and how they fare. One question to each thread, however many there are.
    pub async fn survey(&self) -> Survey {
        let asked: Vec<_> = self.inner.shards.iter().map(ShardHandle::survey).collect();
        let mut parts = Vec::with_capacity(asked.len());
        for part in asked {
            // A thread that has stopped has nothing to tell.
            parts.extend(part.await);
        }
        Survey::sum(parts)
    }

    /// Whether frames were dropped within the last five seconds because a thread could not keep up. Whoever admits
    /// viewers does well to refuse further ones.
    pub fn is_overloaded(&self) -> bool {
        self.inner.counters.overloaded(Instant::now())
    }

    /// Says goodbye to all peers, closes the sockets and ends the threads. Closing twice is fine.
    pub async fn close(&self) {
        for shard in &self.inner.shards {
            shard.stop();
        }
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || join(threads));
        // The threads end at once; should one hang, the caller does not hang with it.
        let _ = tokio::time::timeout(Duration::from_secs(1), joined).await;
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.inner.certificate
    }

    /// Whether both are clones of one endpoint.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn dtls_version(&self) -> DtlsVersion {
        self.inner.dtls_version
    }

    /// The pace of ICE's checks, which all connections share.
    pub(crate) fn check_pace(&self) -> Arc<CheckPace> {
        Arc::clone(&self.inner.check_pace)
    }

    pub(crate) fn clock(&self) -> WallClock {
        self.inner.clock
    }

    /// What peers are told instead of this machine's own addresses.
    pub(crate) fn public_addresses(&self) -> &[IpAddr] {
        &self.inner.public_addresses
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.inner.addresses
    }

    pub(crate) fn next_id(&self) -> ConnectionId {
        ConnectionId(self.inner.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// The shard with the fewest connections.
    pub(crate) fn least_loaded(&self) -> &ShardHandle {
        // There is at least one shard.
        self.inner.shards.iter().min_by_key(|shard| shard.load()).unwrap_or(&self.inner.shards[0])
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.inner.local).field("shards", &self.inner.shards.len()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for shard in &self.shards {
            shard.stop();
        }
        let threads = std::mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner));
        // The last handle may be dropped on a shard's own thread, which cannot wait for itself.
        let own = thread::current().id();
        join(threads.into_iter().filter(|thread| thread.thread().id() != own).collect());
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A thread that panicked has said so itself.
        let _ = thread.join();
    }
}

/// The addresses under which these sockets can be reached.
pub(crate) fn host_candidates(sockets: &[UdpSocket], interfaces: &[String]) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for socket in sockets {
        addresses.extend(host_addresses(socket.local_address(), interfaces)?);
    }
    Ok(addresses)
}

/// The sockets of all shards on one port: each its own where the system lets several share a port, else all the same.
fn bind_for_shards(local: SocketAddr, count: usize, mut options: SocketOptions) -> io::Result<Vec<Vec<UdpSocket>>> {
    let first = match bind_all(local, options.reuse_port && count > 1, options) {
        // A system that does not know the option says so here; a port that is taken stays taken.
        Err(error) if options.reuse_port && count > 1 && error.kind() != io::ErrorKind::AddrInUse => {
            options.reuse_port = false;
            bind_all(local, false, options)?
        }
        bound => bound?,
    };
    let mut all = vec![first];
    for _ in 1..count {
        let sockets = if options.reuse_port {
            bind_all(local, true, options)?
        } else {
            all[0].iter().map(UdpSocket::duplicate).collect::<io::Result<_>>()?
        };
        all.push(sockets);
    }
    Ok(all)
}

/// The sockets of one shard: the address, and for `0.0.0.0` the same port on IPv6 where the machine has it.
pub(crate) fn bind_all(local: SocketAddr, shared: bool, options: SocketOptions) -> io::Result<Vec<UdpSocket>> {
    let mut sockets = vec![UdpSocket::bind(local, shared, options)?];
    if local.is_ipv4() && local.ip().is_unspecified() {
        let address = SocketAddr::from(([0u16; 8], sockets[0].local_address().port()));
        sockets.extend(UdpSocket::bind(address, shared, options));
    }
    Ok(sockets)
}

fn wall_clock() -> WallClock {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    WallClock { instant: Instant::now(), ntp_time: (since.as_secs() + NTP_OFFSET) << 32 | fraction }
}
