//! The network around a connection: the servers that it asks for candidates, and the relays that it uses.
//!
//! Each connection has one task, which ends with it. The task waits until the connection asks for something, and starts
//! tasks of its own for whatever takes time; a slow server holds up nothing but its own candidate.

mod lookup;
mod mdns;
mod name_limit;
mod relay;
mod settings;
mod tcp;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtcast_proto::IceCandidate;
use rtcast_proto::connection::{ConnectionEvent, IceCandidateError};
use rtcast_proto::ice::{IceServer, IceServerError, IceServerScheme, IceServerUrl, LocalCandidate, RelayProtocol};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::endpoint::{Companion, ConnectionId, DETOUR_CAPACITY, Detour, DetouredRun, Inbound, ShardHandle};
use name_limit::NameLimit;
use relay::{Relay, RelayConfig, RelayError};
pub use settings::{AddressFilter, IceSettings, TcpCandidates};

/// What a connection may ask for before the task comes to it; restarts in a row ask for no more.
const MAX_REQUESTS: usize = 64;

/// How long relays of an older generation of ICE go on, for a peer that is slower to change than we are.
const LINGER: Duration = Duration::from_secs(10);

/// How long a lookup of a name may take.
const LOOKUP: Duration = Duration::from_secs(5);

/// A server with what it needs to know of us.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: IceServerUrl,
    username: String,
    credential: String,
}

/// Reads all servers, or says what is wrong with the first that cannot be used.
pub(crate) fn parse_servers(servers: &[IceServer]) -> Result<Vec<Server>, IceServerError> {
    let mut parsed = Vec::new();
    for server in servers {
        for url in server.parse()? {
            parsed.push(Server {
                url,
                username: server.username.clone().unwrap_or_default(),
                credential: server.credential.clone().unwrap_or_default(),
            });
        }
    }
    Ok(parsed)
}

/// What the task needs.
pub(crate) struct CompanionConfig {
    pub(crate) id: ConnectionId,
    pub(crate) shard: ShardHandle,
    pub(crate) servers: Vec<Server>,
    /// Places in the shard's queue for what comes by detours.
    pub(crate) inbound: Inbound,
}

/// The connection's side of its task, which starts when the connection first asks for something and ends when this is
/// dropped.
pub(crate) struct CompanionHandle {
    config: Arc<CompanionConfig>,
    runtime: Option<Handle>,
    requests: Option<mpsc::Sender<Request>>,
}

enum Request {
    Gather(u32),
    InUse(u32),
    Resolve(IceCandidate),
    Respond(Vec<(String, IpAddr)>),
    Listen(std::net::TcpListener),
    Connect { local: SocketAddr, remote: SocketAddr, outgoing: mpsc::Receiver<DetouredRun> },
}

impl CompanionHandle {
    /// A handle whose task will run on the runtime that this is called in.
    pub(crate) fn new(config: CompanionConfig) -> Self {
        Self { config: Arc::new(config), runtime: Handle::try_current().ok(), requests: None }
    }

    /// Waits for TCP connections of the peer.
    pub(crate) fn listen(&mut self, listener: std::net::TcpListener) {
        self.request(Request::Listen(listener));
    }

    /// Answers for these names of ours.
    pub(crate) fn respond(&mut self, names: Vec<(String, IpAddr)>) {
        self.request(Request::Respond(names));
    }

    fn request(&mut self, request: Request) {
        let Some(runtime) = &self.runtime else {
            warn!("the connection was made outside of a tokio runtime, so that no servers can be asked");
            return;
        };
        let requests = self.requests.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
            let config = Arc::clone(&self.config);
            let (tasks, listening, resolving) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
            let in_use = watch::Sender::new(0);
            let names = NameLimit::default();
            let network = Network { config, tasks, listening, resolving, names, in_use };
            runtime.spawn(network.run(receiver));
            requests
        });
        if requests.try_send(request).is_err() {
            debug!("a connection asks for more than its task can follow");
        }
    }
}

impl Companion for CompanionHandle {
    fn is_at_work(&self) -> bool {
        self.requests.is_some()
    }

    fn tell(&mut self, event: &ConnectionEvent) {
        let request = match event {
            ConnectionEvent::GatheringNeeded { generation } => Request::Gather(*generation),
            ConnectionEvent::IceGenerationInUse(generation) if self.requests.is_some() => Request::InUse(*generation),
            ConnectionEvent::NameToResolve(candidate) => Request::Resolve(candidate.clone()),
            _ => return,
        };
        self.request(request);
    }

    fn connect(&mut self, local: SocketAddr, remote: SocketAddr, outgoing: mpsc::Receiver<DetouredRun>) {
        self.request(Request::Connect { local, remote, outgoing });
    }
}

struct Network {
    config: Arc<CompanionConfig>,
    tasks: JoinSet<()>,
    /// Ends with the connection, whatever goes on.
    listening: JoinSet<()>,
    resolving: JoinSet<()>,
    names: NameLimit,
    in_use: watch::Sender<u32>,
}

impl Network {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Gather(generation)) => self.gather(generation),
                    Some(Request::InUse(generation)) => {
                        self.names.restarted(generation);
                        self.in_use.send_replace(generation);
                    }
                    Some(Request::Resolve(candidate)) => self.resolve(candidate),
                    Some(Request::Respond(names)) => drop(self.listening.spawn(mdns::respond(names))),
                    Some(Request::Listen(listener)) => {
                        self.listening.spawn(tcp::listen(Arc::clone(&self.config), listener));
                    }
                    Some(Request::Connect { local, remote, outgoing }) => {
                        self.tasks.spawn(tcp::open(Arc::clone(&self.config), local, remote, outgoing));
                    }
                    None => break,
                },
                Some(_) = self.tasks.join_next() => {}
                Some(_) = self.resolving.join_next() => {}
            }
        }
        // The relays' senders are gone with the connection; they say goodbye to their servers and end.
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(1), ending).await.is_err() {
            self.tasks.abort_all();
        }
    }

    fn resolve(&mut self, candidate: IceCandidate) {
        if !self.names.admits(Instant::now()) {
            debug!("the peer gives more names than are looked up");
            return;
        }
        self.resolving.spawn(resolve(Arc::clone(&self.config), candidate));
    }

    fn gather(&mut self, generation: u32) {
        let mut searches = JoinSet::new();
        for server in self.config.servers.clone() {
            let (config, in_use) = (Arc::clone(&self.config), self.in_use.subscribe());
            searches.spawn(async move { ask(config, server, generation, in_use).await });
        }
        let config = Arc::clone(&self.config);
        self.tasks.spawn(async move {
            let mut relays = JoinSet::new();
            while let Some(found) = searches.join_next().await {
                if let Ok(Some(relaying)) = found {
                    relays.spawn(relaying);
                }
            }
            config.with(move |connection, now| connection.finish_gathering(now, generation));
            while relays.join_next().await.is_some() {}
        });
    }
}

impl CompanionConfig {
    /// Runs work on the connection; if it is gone, nothing happens.
    fn with(&self, work: impl FnOnce(&mut rtcast_proto::connection::Connection, Instant) + Send + 'static) {
        self.shard.call(
            self.id,
            Box::new(move |entry, now| {
                work(&mut entry.connection, now);
                entry.observer().descriptions_updated(&entry.connection);
            }),
        );
    }

    fn fail(&self, generation: u32, server: &Server, error: RelayError) {
        info!(url = server.url.url, code = error.code, reason = error.text, "an ICE server was of no use");
        let error = IceCandidateError {
            address: error.local,
            url: server.url.url.clone(),
            error_code: error.code,
            error_text: error.text,
        };
        self.with(move |connection, _| connection.fail_gathering(generation, error));
    }
}

/// Looks up the name in a candidate of the peer. A name that nobody answers to is left alone: the peer's own checks may
/// make its address known.
async fn resolve(config: Arc<CompanionConfig>, candidate: IceCandidate) {
    let Ok(Some(parsed)) = candidate.parsed() else { return };
    let Some(address) = lookup::resolve(&parsed.address).await else {
        debug!(name = parsed.address, "nobody knows the peer's name");
        return;
    };
    config.with(move |connection, now| {
        if let Err(error) = connection.add_resolved_candidate(now, &candidate, address) {
            debug!(%error, "a candidate with a name was not taken");
        }
    });
}

/// Asks one server. Returns what is to be run as long as its relay is needed.
async fn ask(
    config: Arc<CompanionConfig>,
    server: Server,
    generation: u32,
    in_use: watch::Receiver<u32>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let lookup = tokio::net::lookup_host((server.url.host.as_str(), server.url.port));
    let found: Vec<SocketAddr> = match tokio::time::timeout(LOOKUP, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            let text = format!("the server's name cannot be looked up: {error}");
            config.fail(generation, &server, RelayError { code: 701, text, local: None });
            return None;
        }
        Err(_) => {
            let text = "the server's name was not looked up in time".to_owned();
            config.fail(generation, &server, RelayError { code: 701, text, local: None });
            return None;
        }
    };
    // IPv4 and IPv6 are different networks, each with an address of ours to find; of one family one address is enough.
    let of_family = |v4: bool| found.iter().copied().find(|address| address.is_ipv4() == v4);
    let addresses: Vec<SocketAddr> = [of_family(true), of_family(false)].into_iter().flatten().collect();
    if matches!(server.url.scheme, IceServerScheme::Stun | IceServerScheme::Turn(RelayProtocol::Udp)) {
        // A TURN server answers binding requests as well.
        let (url, addresses) = (server.url.url.clone(), addresses.clone());
        config.with(move |connection, now| {
            for address in addresses {
                connection.add_stun_server(now, generation, &url, address);
            }
        });
    }
    let IceServerScheme::Turn(protocol) = server.url.scheme else { return None };
    let mut failure = None;
    for address in addresses {
        let relay = RelayConfig {
            protocol,
            server: address,
            host: &server.url.host,
            username: &server.username,
            credential: &server.credential,
        };
        match Relay::allocate(&relay).await {
            Ok(relay) => return Some(serve(config, relay, protocol, generation, in_use)),
            Err(error) => failure = Some(error),
        }
    }
    if let Some(error) = failure {
        config.fail(generation, &server, error);
    }
    None
}

/// Gives a relay to the connection. Returns what runs it until the connection has no use for it.
fn serve(
    config: Arc<CompanionConfig>,
    relay: Relay,
    protocol: RelayProtocol,
    generation: u32,
    in_use: watch::Receiver<u32>,
) -> impl Future<Output = ()> + Send + 'static {
    let (carrier, outgoing) = mpsc::channel::<DetouredRun>(DETOUR_CAPACITY);
    let (address, local) = (relay.relayed, relay.local());
    config.shard.call(
        config.id,
        Box::new(move |entry, now| {
            let detours = entry.detours.get_or_insert_default();
            detours.add(Detour::new(address, None, carrier));
            let candidate = LocalCandidate::Relayed { address, mapped: local, over: protocol };
            entry.connection.add_gathered(now, generation, candidate);
            entry.observer().descriptions_updated(&entry.connection);
        }),
    );
    carry(config, relay, outgoing, generation, in_use)
}

async fn carry(
    config: Arc<CompanionConfig>,
    relay: Relay,
    outgoing: mpsc::Receiver<DetouredRun>,
    generation: u32,
    mut in_use: watch::Receiver<u32>,
) {
    let address = relay.relayed;
    let receiver = Arc::clone(&config);
    let relaying = relay.run(outgoing, move |peer, datagram| {
        // Without a place it is dropped, as the newest of a full socket buffer is.
        if let Some(place) = receiver.inbound.try_take(datagram.len()) {
            receiver.shard.detoured(receiver.id, peer, address, datagram, place);
        }
    });
    let superseded = async {
        // An error means that the connection is gone, and with it the carrier.
        if in_use.wait_for(|in_use| *in_use > generation).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LINGER).await;
    };
    let remove = |config: &CompanionConfig| {
        config.shard.call(
            config.id,
            Box::new(move |entry, _| {
                if let Some(detours) = &mut entry.detours {
                    detours.remove(address, None);
                }
            }),
        );
    };
    tokio::pin!(relaying);
    tokio::select! {
        ended = &mut relaying => {
            if let Err(error) = ended {
                info!(%error, relay = %address, "a relay has ended");
            }
            remove(&config);
        }
        () = superseded => {
            // Without a carrier the relay says goodbye to its server.
            remove(&config);
            let _ = tokio::time::timeout(Duration::from_secs(2), relaying).await;
        }
    }
}
