//! What an endpoint counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Totals of all connections of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointStats {
    /// Connections that are not closed.
    pub connections: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes sent, without UDP and IP headers.
    pub bytes_sent: u64,
    /// System calls that it took.
    pub send_calls: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Datagrams that the socket refused because its buffer was full or the path was gone.
    pub send_errors: u64,
    /// Frames that a thread dropped for all its viewers because it could not keep up.
    pub frames_dropped: u64,
    /// How long the last frame had waited before its first viewer was served, on the slowest thread.
    pub lag: Duration,
    /// Whether frames were dropped within the last five seconds.
    pub overloaded: bool,
}

/// How long after the last dropped frame an endpoint counts as overloaded.
const OVERLOAD_LASTS: Duration = Duration::from_secs(5);

/// What the shards of an endpoint count together.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    /// When a frame was last dropped, in milliseconds after the start and one more; 0 if never.
    last_dropped: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) send_calls: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) send_errors: AtomicU64,
    pub(crate) frames_dropped: AtomicU64,
    /// Bytes that wait for detours.
    pub(super) detoured_bytes: AtomicUsize,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            last_dropped: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            datagrams_sent: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            send_calls: AtomicU64::new(0),
            datagrams_received: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            frames_dropped: AtomicU64::new(0),
            detoured_bytes: AtomicUsize::new(0),
        }
    }

    /// Notes frames that were dropped because a thread could not keep up.
    pub(crate) fn frames_dropped(&self, frames: usize, now: Instant) {
        if frames > 0 {
            self.frames_dropped.fetch_add(frames as u64, Ordering::Relaxed);
            let milliseconds = now.saturating_duration_since(self.started).as_millis() as u64;
            self.last_dropped.store(milliseconds + 1, Ordering::Relaxed);
        }
    }

    /// Whether frames were dropped a short while ago.
    pub(super) fn overloaded(&self, now: Instant) -> bool {
        match self.last_dropped.load(Ordering::Relaxed) {
            0 => false,
            last => now.saturating_duration_since(self.started) < Duration::from_millis(last) + OVERLOAD_LASTS,
        }
    }

    /// What was counted, with the lag of the slowest thread.
    pub(super) fn totals(&self, lag: Duration, now: Instant) -> EndpointStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointStats {
            connections: load(&self.connections),
            datagrams_sent: load(&self.datagrams_sent),
            bytes_sent: load(&self.bytes_sent),
            send_calls: load(&self.send_calls),
            datagrams_received: load(&self.datagrams_received),
            bytes_received: load(&self.bytes_received),
            send_errors: load(&self.send_errors),
            frames_dropped: load(&self.frames_dropped),
            lag,
            overloaded: self.overloaded(now),
        }
    }
}
