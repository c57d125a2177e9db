//! What all requests of a server share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rtcast::Endpoint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::error::ServerError;
use crate::event::{ServerEvent, ViewerId};
use crate::message::ErrorObject;
use crate::server::ServerStats;
use crate::stream::{Stream, check_name};
use crate::whep::Session;

/// How many events an observer may lag behind before it misses the oldest.
const EVENTS: usize = 1024;

/// The state of a server.
pub(crate) struct Shared {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: broadcast::Sender<ServerEvent>,
    pub(crate) stopping: watch::Sender<bool>,
    streams: RwLock<BTreeMap<Arc<str>, Arc<Stream>>>,
    /// The viewers whose connection stands, with the stream that each watches.
    members: Mutex<HashMap<ViewerId, Arc<str>>>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    places: Arc<Semaphore>,
    capacity: usize,
    last_viewer: AtomicU64,
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
        for stream in lock(&self.members).values() {
            *viewers.entry(stream.clone()).or_default() += 1;
        }
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |(name, stream): (&Arc<str>, &Arc<Stream>)| {
            (name.clone(), stream.clone(), viewers.get(name).copied().unwrap_or(0))
        };
        streams.iter().map(entry).collect()
    }

    /// A place for one more viewer.
    ///
    /// # Errors
    /// Why there is none: all are taken, the server is stopping, or it cannot keep up with the viewers it has.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, ErrorObject> {
        let refuse = |message: &str, hint: &str| ErrorObject::new("QuotaExceededError", message, hint);
        // Whoever is admitted to an overloaded server takes from those who watch already.
        if self.endpoint.is_overloaded() {
            return Err(refuse("the server cannot keep up with the viewers it has", "try again in a few seconds"));
        }
        self.places
            .clone()
            .try_acquire_owned()
            .map_err(|_| refuse("the server has as many viewers as it may have", "try again when one has left"))
    }

    pub(crate) fn next_viewer(&self) -> ViewerId {
        ViewerId(self.last_viewer.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn join(&self, id: ViewerId, stream: Arc<str>) {
        lock(&self.members).insert(id, stream);
    }

    pub(crate) fn part(&self, id: ViewerId) {
        lock(&self.members).remove(&id);
    }

    pub(crate) fn viewers(&self) -> usize {
        lock(&self.members).len()
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
        let survey = self.endpoint.survey().await;
        ServerStats::new(self.viewers(), &survey, &self.endpoint.stats())
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
