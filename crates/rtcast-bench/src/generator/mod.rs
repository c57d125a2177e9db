//! The viewers: on few threads and few sockets, so that they cost less than the server that they put a load on.
//!
//! Towards a server on this machine, many viewers share a socket: each has a loopback address of its own, by which the
//! server tells them apart, and one system call takes what came for all of them. Towards other machines each viewer has a
//! socket.

mod formats;
mod socket;
mod stream;
mod viewer;
mod window;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Url};
use rtcast_proto::connection::{Connection, ConnectionConfig, WallClock};
use rtcast_proto::dtls::{Certificate, DtlsVersion};
use rtcast_proto::jsep::{JsepConfig, TransceiverInit};
use rtcast_proto::{Direction, MediaKind};
use tokio::sync::oneshot;

pub(crate) use stream::{Delays, StreamCounts};
pub(crate) use viewer::Seen;
pub(crate) use worker::{Totals, ViewerId};

use self::socket::{Socket, address_towards};
use self::viewer::Viewer;
use self::worker::{Command, SocketId, Worker, WorkerHandle};
use crate::whep::{Session, WhepError};

/// How long a viewer waits to be connected, in seconds.
const PATIENCE: u64 = 20;

/// Viewers that share a socket: what comes for them between two receives fits into its buffer.
const VIEWERS_A_SOCKET: usize = 32;

/// Viewers that ask from one address.
const VIEWERS_A_CLIENT: usize = 64;

/// The first loopback address of a viewer; those before it may be the server's.
const FIRST_ADDRESS: u32 = 0x7f00_0002;

/// Seconds from 1900, where NTP's clock starts, to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

/// How viewers are made.
#[derive(Debug, Clone)]
pub(crate) struct GeneratorConfig {
    pub(crate) url: Url,
    /// How many there will be at a time; more may be, on the same sockets.
    pub(crate) viewers: usize,
    pub(crate) threads: usize,
    /// How many of them verify every packet.
    pub(crate) verified: usize,
    pub(crate) sound: bool,
    /// Whether the kernel may join datagrams on their way to us.
    pub(crate) join_datagrams: bool,
    /// Whether feedback on the arrival of all packets is offered.
    pub(crate) transport_wide: bool,
    /// Whether each viewer has a socket of its own even towards this machine.
    pub(crate) private_sockets: bool,
}

/// A viewer that is connected.
pub(crate) struct Joined {
    pub(crate) id: ViewerId,
    /// From the offer to the connection.
    pub(crate) after: std::time::Duration,
    session: Session,
}

/// The threads, and what is needed to make viewers.
pub(crate) struct Generator {
    config: GeneratorConfig,
    /// Towards a server on a loopback address each has an address of its own, so that no limit for one client is met.
    clients: Vec<Client>,
    certificate: Certificate,
    jsep: Arc<JsepConfig>,
    clock: WallClock,
    totals: Arc<Totals>,
    workers: Vec<WorkerHandle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    shared: Vec<SharedSocket>,
    /// Our address towards the server, where sockets are not shared.
    address: IpAddr,
    next_viewer: AtomicU64,
    next_socket: AtomicUsize,
    private_ports: Mutex<Vec<u16>>,
}

struct SharedSocket {
    id: SocketId,
    worker: usize,
    port: u16,
    next_address: AtomicU32,
}

impl Generator {
    /// Binds the sockets and starts the threads.
    pub(crate) fn start(config: GeneratorConfig) -> io::Result<Self> {
        let server = resolve(&config.url)?;
        let address = address_towards(server)?;
        // Whoever is reached from its own address is this machine.
        let local = server.ip().is_loopback() || server.ip() == address;
        let private = config.private_sockets || !local || !address.is_ipv4();
        let certificate = Certificate::generate().map_err(io::Error::other)?;
        let (clock, totals) = (wall_clock(), Arc::new(Totals::default()));
        let jsep = JsepConfig::default();
        let jsep = if config.transport_wide { jsep.with_transport_wide_feedback() } else { jsep };
        let mut generator = Self {
            clients: clients(server, config.viewers)?,
            certificate,
            jsep: Arc::new(jsep),
            clock,
            totals,
            workers: Vec::new(),
            threads: Mutex::new(Vec::new()),
            shared: Vec::new(),
            address: if local && address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { address },
            next_viewer: AtomicU64::new(0),
            next_socket: AtomicUsize::new(0),
            private_ports: Mutex::new(Vec::new()),
            config,
        };
        for index in 0..generator.config.threads.max(1) {
            let (worker, handle) = Worker::new(clock, Arc::clone(&generator.totals), private)?;
            let thread = thread::Builder::new().name(format!("rtcast-bench-{index}")).spawn(move || worker.run())?;
            generator.workers.push(handle);
            generator.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        if !private {
            for _ in 0..generator.config.viewers.div_ceil(VIEWERS_A_SOCKET).max(generator.workers.len()) {
                let socket = Socket::bind((Ipv4Addr::UNSPECIFIED, 0).into(), generator.config.join_datagrams)?;
                let port = socket.local_address().port();
                let (id, worker) = generator.add_socket(socket)?;
                generator.shared.push(SharedSocket { id, worker, port, next_address: AtomicU32::new(FIRST_ADDRESS) });
            }
        }
        Ok(generator)
    }

    pub(crate) const fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// The ports of all sockets, by which the system's counters of drops are found.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let private = self.private_ports.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.iter().map(|shared| shared.port).chain(private.iter().copied()).collect()
    }

    /// Asks for the stream and waits until media can flow.
    pub(crate) async fn join(&self) -> Result<Joined, WhepError> {
        let number = self.next_viewer.fetch_add(1, Ordering::Relaxed);
        let id = ViewerId(number);
        let (socket, worker, address) = self.place(number)?;
        let mut connection = Connection::new(ConnectionConfig {
            certificate: self.certificate.clone(),
            dtls_version: DtlsVersion::V1_2,
            jsep: Arc::clone(&self.jsep),
            username_prefix: String::new(),
            seed: seed()?,
            clock: self.clock,
        });
        connection.add_local_address(address);
        let receive = || TransceiverInit { direction: Direction::Recvonly, ..TransceiverInit::default() };
        connection.add_transceiver(MediaKind::Video, receive());
        if self.config.sound {
            connection.add_transceiver(MediaKind::Audio, receive());
        }
        connection.set_local_description(Instant::now(), None)?;
        let offer = connection.local_description();
        let offer = offer.as_ref().map(|offer| offer.sdp().to_owned()).unwrap_or_default();
        let offered_at = Instant::now();
        let verified = (number as usize) < self.config.verified;
        let viewer = Box::new(Viewer::new(connection, offered_at, verified));
        let worker = &self.workers[worker];
        // The server's first check may come before its answer does, and must find the viewer.
        worker.send(Command::Join { id, socket, address, viewer });
        let joined = async {
            let client = self.clients[number as usize % self.clients.len()].clone();
            let (session, answer) = Session::open(client, self.config.url.clone(), &offer).await?;
            let (joined, after) = oneshot::channel();
            worker.send(Command::Answer { id, answer: Box::new(answer), joined });
            let wait = tokio::time::timeout(std::time::Duration::from_secs(PATIENCE), after).await;
            let error = match wait {
                Ok(Ok(Ok(after))) => return Ok(Joined { id, after, session }),
                Ok(Ok(Err(reason))) => WhepError::Failed(reason),
                Ok(Err(_)) => WhepError::Failed("the viewer is gone".to_owned()),
                Err(_) => WhepError::TimedOut(PATIENCE),
            };
            session.close().await;
            Err(error)
        };
        let joined = joined.await;
        if joined.is_err() {
            let (seen, _) = oneshot::channel();
            worker.send(Command::Leave { id, seen });
        }
        joined
    }

    /// Ends a viewer. Returns what it saw.
    pub(crate) async fn leave(&self, joined: Joined) -> Option<Seen> {
        let (seen, last) = oneshot::channel();
        self.worker_of(joined.id).send(Command::Leave { id: joined.id, seen });
        // The server's goodbye, which the end of the session brings about, must not look as if it had thrown us out.
        let seen = last.await.ok().flatten();
        joined.session.close().await;
        seen
    }

    /// From now on, all viewers count anew.
    pub(crate) async fn begin(&self) {
        for worker in &self.workers {
            let (done, waits) = oneshot::channel();
            worker.send(Command::Begin { done });
            // A worker that has ended counts nothing.
            let _ = waits.await;
        }
    }

    /// What all viewers have seen.
    pub(crate) async fn look(&self) -> Vec<(ViewerId, Seen)> {
        let mut all = Vec::new();
        for worker in &self.workers {
            let (seen, waits) = oneshot::channel();
            worker.send(Command::Look { seen });
            all.extend(waits.await.unwrap_or_default());
        }
        all.sort_by_key(|(id, _)| *id);
        all
    }

    fn worker_of(&self, id: ViewerId) -> &WorkerHandle {
        let worker = match self.shared.len() {
            0 => id.0 as usize % self.workers.len(),
            sockets => self.shared[id.0 as usize % sockets].worker,
        };
        &self.workers[worker]
    }

    /// Where a viewer lives: its socket, that one's thread, and its address.
    fn place(&self, number: u64) -> io::Result<(SocketId, usize, SocketAddr)> {
        if self.shared.is_empty() {
            let socket = Socket::bind((self.address, 0).into(), self.config.join_datagrams)?;
            let address = socket.local_address();
            self.private_ports.lock().unwrap_or_else(PoisonError::into_inner).push(address.port());
            let id = SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed));
            let worker = number as usize % self.workers.len();
            self.workers[worker].send(Command::Socket { id, socket });
            return Ok((id, worker, address));
        }
        let shared = &self.shared[number as usize % self.shared.len()];
        // An address is not used twice, so that nobody takes a new viewer for one that has left.
        let host = shared.next_address.fetch_add(1, Ordering::Relaxed);
        Ok((shared.id, shared.worker, SocketAddr::from((Ipv4Addr::from_bits(host), shared.port))))
    }

    fn add_socket(&self, socket: Socket) -> io::Result<(SocketId, usize)> {
        let id = SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed));
        let worker = id.0 % self.workers.len();
        if self.workers[worker].send(Command::Socket { id, socket }) {
            Ok((id, worker))
        } else {
            Err(io::Error::other("a thread of the generator has ended"))
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.send(Command::Stop);
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// As many clients as the viewers need: servers limit what comes from one address. Only on the loopback network there are
/// more than one.
fn clients(server: SocketAddr, viewers: usize) -> io::Result<Vec<Client>> {
    let client = |address: Option<IpAddr>| {
        let builder = Client::builder().pool_max_idle_per_host(16).local_address(address);
        builder.build().map_err(io::Error::other)
    };
    // Elsewhere than on Linux most addresses of the loopback network must be given to an interface first.
    if !cfg!(target_os = "linux") || !matches!(server.ip(), IpAddr::V4(address) if address.is_loopback()) {
        return Ok(vec![client(None)?]);
    }
    let first = FIRST_ADDRESS;
    (0..viewers.div_ceil(VIEWERS_A_CLIENT).max(1) as u32)
        .map(|number| client(Some(Ipv4Addr::from_bits(first + number).into())))
        .collect()
}

fn resolve(url: &Url) -> io::Result<SocketAddr> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let addresses: Vec<_> = (host, url.port_or_known_default().unwrap_or(80)).to_socket_addrs()?.collect();
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    address.copied().ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

fn seed() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn wall_clock() -> WallClock {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    WallClock { instant: Instant::now(), ntp_time: (since.as_secs() + NTP_OFFSET) << 32 | fraction }
}
