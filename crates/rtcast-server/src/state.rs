//! What all requests of a server share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::HeaderValue;
use rtcast::Endpoint;
use rtcast::signaling::RemoteError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::Instant;

use crate::client::{Client, ClientKey, TrustedProxies};
use crate::error::ServerError;
use crate::event::{ServerEvent, ViewerId};
use crate::origin::Admission;
use crate::quota::{Full, Place, Quota};
use crate::server::ServerStats;
use crate::stream::{Stream, check_name};
use crate::time::TimeLimits;
use crate::whep::Session;

/// How many events an observer may lag behind before it misses the oldest.
const EVENTS: usize = 1024;
/// How many viewers may be on their way to a connection, all together.
const PENDING: usize = 4_096;
/// How long a session that has ended by itself is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_SESSIONS: usize = 4_096;

/// What a server is set up with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// How many viewers may watch.
    pub(crate) viewers: usize,
    /// How many connections may be open.
    pub(crate) connections: usize,
    /// How many of them for one client.
    pub(crate) connections_each: usize,
    /// How many viewers of one client may be on their way to a connection.
    pub(crate) pending_each: usize,
    pub(crate) limits: TimeLimits,
    pub(crate) proxies: TrustedProxies,
    pub(crate) admission: Admission,
    /// STUN and TURN servers for viewers, as RFC 9725 §4.6 tells them.
    pub(crate) links: Vec<HeaderValue>,
}

/// The state of a server.
pub(crate) struct ServerState {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: broadcast::Sender<ServerEvent>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) limits: TimeLimits,
    pub(crate) proxies: TrustedProxies,
    pub(crate) admission: Admission,
    pub(crate) links: Vec<HeaderValue>,
    /// TCP connections by the address that they come from.
    pub(crate) connections: Arc<Quota>,
    /// Requests and WebSockets that come through a trusted proxy, by the client that it names.
    pub(crate) forwarded: Arc<Quota>,
    /// Descriptions that are being read, each on a thread of its own: those that serve others are left alone.
    pub(crate) readers: Arc<Semaphore>,
    streams: RwLock<BTreeMap<Arc<str>, Arc<Stream>>>,
    members: Mutex<Members>,
    sessions: Mutex<Sessions>,
    /// Viewers between their offer and their connection.
    pending: Arc<Quota>,
    /// Viewers whose connection stands.
    places: Arc<Semaphore>,
    capacity: usize,
    /// All viewers, so that a server that stops can wait for them.
    presence: Arc<Semaphore>,
    last_viewer: AtomicU64,
    measured: tokio::sync::Mutex<Option<Measured>>,
}

/// The viewers whose connection stands.
#[derive(Default)]
struct Members {
    /// With the stream that each watches, and where it comes from.
    viewers: HashMap<ViewerId, (Arc<str>, ClientKey)>,
    /// How many come from one place.
    by_client: HashMap<ClientKey, usize>,
    /// How many watch one stream.
    by_stream: HashMap<Arc<str>, usize>,
}

/// Takes one off a count, which is forgotten when nothing is left.
fn take_off<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The last figures, and what they cost.
struct Measured {
    stats: ServerStats,
    at: Instant,
    took: Duration,
}

/// The viewers who came by WHEP.
#[derive(Default)]
struct Sessions {
    live: HashMap<String, Arc<Session>>,
    /// Sessions whose connection has ended a while ago, the oldest first: their end may be asked for still.
    ended: VecDeque<(Instant, String)>,
    /// Their tokens, with why the connection failed where that is worth telling.
    remembered: HashMap<String, Option<String>>,
}

impl Sessions {
    fn remember(&mut self, token: &str, failure: Option<String>) {
        let now = Instant::now();
        while self.ended.len() >= REMEMBERED_SESSIONS
            || self.ended.front().is_some_and(|(at, _)| now.duration_since(*at) > REMEMBERED)
        {
            let Some((_, token)) = self.ended.pop_front() else { break };
            self.remembered.remove(&token);
        }
        self.ended.push_back((now, token.to_owned()));
        self.remembered.insert(token.to_owned(), failure);
    }
}

/// Leave to make a connection.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) pending: Place,
    pub(crate) presence: OwnedSemaphorePermit,
}

impl ServerState {
    pub(crate) fn new(endpoint: Endpoint, settings: Settings) -> Self {
        let Settings { viewers, connections, connections_each, pending_each, limits, proxies, admission, links } =
            settings;
        let capacity = viewers.min((u32::MAX as usize).min(Semaphore::MAX_PERMITS) - PENDING);
        // One of two processors is left to those who watch.
        let readers = available_parallelism().map_or(1, |count| count.get().div_ceil(2));
        Self {
            endpoint,
            events: broadcast::Sender::new(EVENTS),
            stopping: watch::Sender::new(false),
            limits,
            proxies,
            admission,
            links,
            connections: Quota::new(connections, connections_each),
            forwarded: Quota::new(connections, connections_each),
            readers: Arc::new(Semaphore::new(readers)),
            streams: RwLock::default(),
            members: Mutex::default(),
            sessions: Mutex::default(),
            pending: Quota::new(PENDING, pending_each),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            presence: Arc::new(Semaphore::new(capacity + PENDING)),
            last_viewer: AtomicU64::new(0),
            measured: tokio::sync::Mutex::default(),
        }
    }

    /// Adds a stream.
    pub(crate) fn add_stream(&self, name: &str, stream: Stream) -> Result<(), ServerError> {
        check_name(name)?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(name) {
            return Err(ServerError::DuplicateName { name: name.into() });
        }
        streams.insert(name.into(), Arc::new(stream));
        Ok(())
    }

    /// Takes a stream off the list; those who watch it stay.
    pub(crate) fn remove_stream(&self, name: &str) -> bool {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// The stream of a name, with the name as it is kept.
    pub(crate) fn stream(&self, name: &str) -> Option<(Arc<str>, Arc<Stream>)> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get_key_value(name).map(|(name, stream)| (name.clone(), stream.clone()))
    }

    /// All streams with the number of their viewers, by name.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, Arc<Stream>, usize)> {
        let viewers = lock(&self.members).by_stream.clone();
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |(name, stream): (&Arc<str>, &Arc<Stream>)| {
            (name.clone(), stream.clone(), viewers.get(name).copied().unwrap_or(0))
        };
        streams.iter().map(entry).collect()
    }

    /// Leave for one more viewer to make its connection.
    ///
    /// # Errors
    /// Why there is none: all places are taken, too many are on their way, the server is stopping, or it cannot keep up
    /// with the viewers it has.
    pub(crate) fn admit(&self, client: Client) -> Result<Ticket, RemoteError> {
        // Whoever is admitted to an overloaded server takes from those who watch already.
        if self.endpoint.is_overloaded() {
            return Err(refusal("the server cannot keep up with the viewers it has", "try again in a few seconds"));
        }
        if self.places.available_permits() == 0 {
            return Err(full());
        }
        let established = self.watches(client.key());
        let pending = self.pending.take(Some(client.key()), established).map_err(|reason| match reason {
            Full::Client => refusal(
                "too many viewers from your address are on their way to a connection",
                "wait until some of them are connected, or try again in half a minute",
            ),
            Full::All => refusal("too many viewers are on their way to a connection", "try again in half a minute"),
        })?;
        let presence = self.presence.clone().try_acquire_owned().map_err(|_| full())?;
        Ok(Ticket { pending, presence })
    }

    /// A place among those who watch, for a viewer whose connection stands.
    ///
    /// # Errors
    /// Others have taken the last one meanwhile.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, RemoteError> {
        self.places.clone().try_acquire_owned().map_err(|_| full())
    }

    pub(crate) fn next_viewer(&self) -> ViewerId {
        ViewerId(self.last_viewer.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn join(&self, id: ViewerId, stream: Arc<str>, client: ClientKey) {
        let mut members = lock(&self.members);
        *members.by_stream.entry(stream.clone()).or_default() += 1;
        members.viewers.insert(id, (stream, client));
        *members.by_client.entry(client).or_default() += 1;
    }

    pub(crate) fn part(&self, id: ViewerId) {
        let mut members = lock(&self.members);
        let Some((stream, client)) = members.viewers.remove(&id) else { return };
        take_off(&mut members.by_client, &client);
        take_off(&mut members.by_stream, &stream);
    }

    pub(crate) fn viewers(&self) -> usize {
        lock(&self.members).viewers.len()
    }

    /// Whether somebody watches from there.
    pub(crate) fn watches(&self, client: ClientKey) -> bool {
        lock(&self.members).by_client.contains_key(&client)
    }

    pub(crate) fn tell(&self, event: ServerEvent) {
        // No observer is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn insert_session(&self, token: String, session: Arc<Session>) {
        lock(&self.sessions).live.insert(token, session);
    }

    pub(crate) fn session(&self, token: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).live.get(token).cloned()
    }

    /// Removes a session that its viewer has ended.
    pub(crate) fn remove_session(&self, token: &str) {
        lock(&self.sessions).live.remove(token);
    }

    /// Removes a session whose connection has ended, and remembers it for a while, with the reason if it failed for one.
    pub(crate) fn session_ended(&self, token: &str, failure: Option<String>) {
        let mut sessions = lock(&self.sessions);
        if sessions.live.remove(token).is_some() {
            sessions.remember(token, failure);
        }
    }

    /// Why the connection of a session failed a while ago, if that is known.
    pub(crate) fn session_failure(&self, token: &str) -> Option<String> {
        lock(&self.sessions).remembered.get(token).cloned().flatten()
    }

    /// Whether there was such a session a while ago; it is forgotten now.
    pub(crate) fn forget_session(&self, token: &str) -> bool {
        lock(&self.sessions).remembered.remove(token).is_some()
    }

    /// Totals since the start, and the state of the network to those who watch now.
    pub(crate) async fn stats(&self) -> ServerStats {
        let survey = self.endpoint.survey().await;
        ServerStats::new(self.viewers(), &survey, &self.endpoint.stats())
    }

    /// As [`stats`](Self::stats), for whoever asks over the network: however often that is, at most a tenth of the time goes
    /// into looking at every viewer.
    pub(crate) async fn public_stats(&self) -> ServerStats {
        let mut measured = self.measured.lock().await;
        if let Some(measured) = &*measured
            && measured.at.elapsed() < 9 * measured.took
        {
            return measured.stats.clone();
        }
        let began = Instant::now();
        let stats = self.stats().await;
        *measured = Some(Measured { stats: stats.clone(), at: Instant::now(), took: began.elapsed() });
        stats
    }

    /// Waits until every viewer has left. No further one is admitted.
    pub(crate) async fn empty(&self) {
        let _all = self.presence.acquire_many((self.capacity + PENDING) as u32).await;
        self.presence.close();
    }
}

fn refusal(message: &str, hint: &str) -> RemoteError {
    RemoteError::new("QuotaExceededError", message, hint)
}

fn full() -> RemoteError {
    refusal("the server has as many viewers as it may have", "try again when one has left")
}

/// Waits until the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is no less of a stop.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
