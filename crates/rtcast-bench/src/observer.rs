//! What server and generator use while the load goes on, second by second.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;

use crate::generator::{Generator, Totals};
use crate::process::{ProcessSample, dropped_datagrams};

const INTERVAL: Duration = Duration::from_secs(1);

/// The samples of a long run are thinned out to at most so many.
const MAX_SAMPLES: usize = 4_096;

/// One second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Viewers that were connected at its end.
    pub viewers: usize,
    /// Cores that the server used, if it is observed.
    pub server_cores: Option<f64>,
    /// The server's resident memory in bytes, if it is observed.
    pub server_memory: Option<u64>,
    /// Cores that the generator used.
    pub generator_cores: Option<f64>,
    /// Datagrams a second that came in.
    pub datagrams_per_second: f64,
}

/// Watches until it is stopped.
pub(crate) struct Observer {
    watching: Arc<AtomicUsize>,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Observer {
    pub(crate) fn start(server: Option<u32>, totals: Arc<Totals>) -> Self {
        let (watching, samples) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let task = tokio::spawn(observe(server, totals, Arc::clone(&watching), Arc::clone(&samples)));
        Self { watching, samples, task }
    }

    /// The count of viewers, kept by whoever makes them.
    pub(crate) fn watching(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.watching)
    }

    pub(crate) fn stop(self) -> Vec<Sample> {
        self.task.abort();
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn observe(
    server: Option<u32>,
    totals: Arc<Totals>,
    watching: Arc<AtomicUsize>,
    samples: Arc<Mutex<Vec<Sample>>>,
) {
    let start = Instant::now();
    let look = || {
        let datagrams = totals.datagrams.load(Ordering::Relaxed);
        (Instant::now(), server.and_then(ProcessSample::of), ProcessSample::own(), datagrams)
    };
    let mut last = look();
    let (mut ticks, mut keep, mut number) = (tokio::time::interval(INTERVAL), 1, 0u64);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = look();
        let seconds = (now.0 - last.0).as_secs_f64();
        let cores = |before: Option<ProcessSample>, after: Option<ProcessSample>| {
            let used = after?.cpu_since(&before?);
            Some(used.as_secs_f64() / seconds)
        };
        let sample = Sample {
            seconds: (now.0 - start).as_secs_f64(),
            viewers: watching.load(Ordering::Relaxed),
            server_cores: cores(last.1, now.1),
            server_memory: now.1.map(|sample| sample.memory),
            generator_cores: cores(last.2, now.2),
            datagrams_per_second: (now.3 - last.3) as f64 / seconds,
        };
        last = now;
        number += 1;
        let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
        if number.is_multiple_of(keep) {
            samples.push(sample);
        }
        if samples.len() >= MAX_SAMPLES {
            let mut place = 0;
            samples.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            keep *= 2;
        }
    }
}

/// What the generator itself used over a time.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct GeneratorCost {
    /// Cores that it used; `None` where the system does not tell.
    pub cores: Option<f64>,
    /// User and system time in microseconds for each datagram that it received.
    pub cpu_us_per_datagram: Option<f64>,
    /// The most that one of its threads used of its core within half a second.
    pub busiest_thread: f64,
    /// Datagrams that came in one receive, in the mean.
    pub datagrams_per_receive: f64,
    /// Datagrams that came and were thrown away because a socket was full.
    pub dropped: u64,
    /// Why the generator, and not the server, may have set the limit; empty if it did not.
    pub limits: Vec<String>,
}

/// The state of the generator at one moment.
pub(crate) struct GeneratorState {
    at: Instant,
    own: Option<ProcessSample>,
    datagrams: u64,
    receives: u64,
    dropped: u64,
}

impl GeneratorState {
    pub(crate) fn of(generator: &Generator) -> Self {
        let totals = generator.totals();
        let ports: HashSet<u16> = generator.ports().into_iter().collect();
        Self {
            at: Instant::now(),
            own: ProcessSample::own(),
            datagrams: totals.datagrams.load(Ordering::Relaxed),
            receives: totals.receives.load(Ordering::Relaxed),
            dropped: dropped_datagrams(&ports),
        }
    }

    /// The cost from this moment to a later one.
    pub(crate) fn until(&self, after: &Self, totals: &Totals) -> GeneratorCost {
        let seconds = (after.at - self.at).as_secs_f64();
        let used = self.own.zip(after.own).map(|(before, after)| after.cpu_since(&before).as_secs_f64());
        let datagrams = after.datagrams.saturating_sub(self.datagrams);
        let receives = after.receives.saturating_sub(self.receives);
        let busiest_thread = totals.busiest.load(Ordering::Relaxed) as f64 / 1e3;
        let dropped = after.dropped.saturating_sub(self.dropped);
        let mut limits = Vec::new();
        if busiest_thread > 0.9 {
            limits.push(format!("a thread of it used {:.0} % of its core", busiest_thread * 100.0));
        }
        if dropped > 0 {
            limits.push(format!("its sockets were full and {dropped} datagrams were dropped there"));
        }
        GeneratorCost {
            cores: used.map(|used| used / seconds),
            cpu_us_per_datagram: used.filter(|_| datagrams > 0).map(|used| used * 1e6 / datagrams as f64),
            busiest_thread,
            datagrams_per_receive: if receives > 0 { datagrams as f64 / receives as f64 } else { 0.0 },
            dropped,
            limits,
        }
    }
}
