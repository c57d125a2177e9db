//! What all requests of a server share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures_util::future::join_all;
use rtcast::{ConnectionStats, Endpoint, PeerConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::error::ServerError;
use crate::event::{ServerEvent, ViewerId};
use crate::server::ServerStats;
use crate::stream::{Stream, check_name};
use crate::whep::Session;

/// How many events an observer may lag behind before it misses the oldest.
const EVENTS: usize = 1024;

/// A viewer whose connection stands.
pub(crate) struct Member {
    pub(crate) stream: Arc<str>,
    pub(crate) connection: PeerConnection,
    /// What it had been sent when it was last asked.
    pub(crate) last: ConnectionStats,
}

/// The state of a server.
pub(crate) struct Shared {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: broadcast::Sender<ServerEvent>,
    pub(crate) stopping: watch::Sender<bool>,
    streams: RwLock<BTreeMap<Arc<str>, Arc<Stream>>>,
    members: Mutex<HashMap<ViewerId, Member>>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    places: Arc<Semaphore>,
    capacity: usize,
    last_viewer: AtomicU64,
    gone: Mutex<ServerStats>,
}

impl Shared {
    pub(crate) fn new(endpoint: Endpoint, capacity: usize) -> Self {
        let capacity = capacity.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Self {
            endpoint,
            events: broadcast::Sender::new(EVENTS),
            stopping: watch::Sender::new(false),
            streams: RwLock::default(),
            members: Mutex::default(),
            sessions: Mutex::default(),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            last_viewer: AtomicU64::new(0),
            gone: Mutex::default(),
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
        let mut viewers: HashMap<Arc<str>, usize> = HashMap::new();
        for member in lock(&self.members).values() {
            *viewers.entry(member.stream.clone()).or_default() += 1;
        }
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |(name, stream): (&Arc<str>, &Arc<Stream>)| {
            (name.clone(), stream.clone(), viewers.get(name).copied().unwrap_or(0))
        };
        streams.iter().map(entry).collect()
    }

    /// A place for one more viewer; `None` if all are taken or the server is stopping.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    pub(crate) fn next_viewer(&self) -> ViewerId {
        ViewerId(self.last_viewer.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn join(&self, id: ViewerId, member: Member) {
        lock(&self.members).insert(id, member);
    }

    /// Takes a viewer off the list and adds what it was sent to the totals.
    pub(crate) fn part(&self, id: ViewerId) {
        let member = lock(&self.members).remove(&id);
        if let Some(member) = member {
            lock(&self.gone).add(&member.last);
        }
    }

    pub(crate) fn viewers(&self) -> usize {
        lock(&self.members).len()
    }

    /// Asks one viewer's connection what it was sent, and keeps the answer for when it cannot be asked any more.
    pub(crate) async fn refresh(&self, id: ViewerId, connection: &PeerConnection) {
        let Ok(stats) = connection.stats().await else { return };
        if let Some(member) = lock(&self.members).get_mut(&id) {
            member.last = stats;
        }
    }

    pub(crate) fn tell(&self, event: ServerEvent) {
        // No observer is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn insert_session(&self, token: String, session: Arc<Session>) {
        lock(&self.sessions).insert(token, session);
    }

    pub(crate) fn session(&self, token: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(token).cloned()
    }

    pub(crate) fn remove_session(&self, token: &str) {
        lock(&self.sessions).remove(token);
    }

    /// Totals since the start, and the state of the network to those who watch now.
    pub(crate) async fn stats(&self) -> ServerStats {
        let connections: Vec<_> =
            lock(&self.members).iter().map(|(id, member)| (*id, member.connection.clone())).collect();
        join_all(connections.iter().map(|(id, connection)| self.refresh(*id, connection))).await;
        let members = lock(&self.members);
        let mut stats = lock(&self.gone).clone();
        let mut round_trips = Vec::with_capacity(members.len());
        let (mut lost, mut senders) = (0.0, 0_u32);
        for member in members.values() {
            stats.add(&member.last);
            round_trips.extend(member.last.round_trip_time);
            for sender in &member.last.senders {
                lost += sender.stats.fraction_lost;
                senders += 1;
            }
        }
        stats.viewers = members.len();
        stats.fraction_lost = if senders == 0 { 0.0 } else { lost / f64::from(senders) };
        round_trips.sort_unstable();
        stats.round_trip_time = round_trips.get(round_trips.len() / 2).copied();
        stats
    }

    /// Waits until every viewer has left. No further one is admitted.
    pub(crate) async fn empty(&self) {
        let _all = self.places.acquire_many(self.capacity as u32).await;
        self.places.close();
    }
}

/// Waits until the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is no less of a stop.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
