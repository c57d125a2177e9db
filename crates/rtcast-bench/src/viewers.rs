//! `viewers`: many watch, and what each receives is counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::generator::{Generator, GeneratorConfig, Joined, Seen, ViewerId};
use crate::load::{BenchError, Joining, Load, endpoint};
use crate::observer::{GeneratorState, Observer};
use crate::process::ProcessSample;
use crate::report::{Counted, Report, ServerCost};
use crate::whep::WhepError;

/// Viewers that say goodbye at the same time.
const LEAVING_AT_ONCE: usize = 64;

/// Sets the viewers up, lets them watch, and counts.
///
/// # Errors
/// [`BenchError`] if nothing could be measured. Single viewers that fail are counted in the report.
pub async fn viewers(load: &Load) -> Result<Report, BenchError> {
    let url = endpoint(&load.url)?;
    let observe = |pid: u32| ProcessSample::of(pid).ok_or(BenchError::NoProcess { pid });
    let idle = load.server.map(observe).transpose()?;
    let generator = Generator::start(GeneratorConfig {
        url,
        viewers: load.viewers,
        threads: load.threads,
        verified: load.verified,
        sound: load.sound,
        join_datagrams: load.join_datagrams,
        transport_wide: load.transport_wide,
        private_sockets: load.private_sockets,
    });
    let generator = Arc::new(generator.map_err(BenchError::Start)?);
    let observer = Observer::start(load.server, Arc::clone(generator.totals()));
    let mut crowd = Crowd::new(Arc::clone(&generator), observer.watching());
    crowd.fill(load).await?;
    tokio::time::sleep(load.warm_up).await;

    let joining: Vec<(ViewerId, Seen)> = generator.look().await;
    generator.begin().await;
    // What went on while joining does not tell of the time that counts.
    generator.totals().busiest.store(0, Ordering::Relaxed);
    let watching = crowd.watching.len();
    let stayed: HashSet<ViewerId> = crowd.watching.iter().map(|joined| joined.id).collect();
    let (start, before) = (Instant::now(), GeneratorState::of(&generator));
    let server_before = load.server.map(observe).transpose()?;
    crowd.watch(load).await;
    let server_after = load.server.map(observe).transpose()?;
    let (elapsed, after) = (start.elapsed(), GeneratorState::of(&generator));
    let seen = generator.look().await;

    let server = match (idle, server_before, server_after) {
        (Some(idle), Some(before), Some(after)) => Some(ServerCost::new(&idle, &before, &after, watching, elapsed)),
        _ => None,
    };
    let cost = before.until(&after, generator.totals());
    crowd.empty().await;
    let counted = Counted { joining, seen, left: crowd.left, stayed, setups: crowd.setups };
    Ok(Report::new(load, watching, crowd.failures, elapsed, &counted, cost, server, observer.stop()))
}

/// Those who watch.
struct Crowd {
    generator: Arc<Generator>,
    count: Arc<AtomicUsize>,
    watching: Vec<Joined>,
    joining: JoinSet<Result<Joined, WhepError>>,
    leaving: JoinSet<(ViewerId, Option<Seen>)>,
    left: Vec<(ViewerId, Seen)>,
    setups: Vec<Duration>,
    failures: usize,
    last_error: Option<WhepError>,
    random: u64,
}

impl Crowd {
    fn new(generator: Arc<Generator>, count: Arc<AtomicUsize>) -> Self {
        // Who leaves need not be a secret, only different from run to run.
        let random = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()) << 20 | 1;
        Self {
            generator,
            count,
            watching: Vec::new(),
            joining: JoinSet::new(),
            leaving: JoinSet::new(),
            left: Vec::new(),
            setups: Vec::new(),
            failures: 0,
            last_error: None,
            random,
        }
    }

    /// Lets all come in.
    async fn fill(&mut self, load: &Load) -> Result<(), BenchError> {
        match load.joining {
            Joining::AtOnce(limit) => {
                for _ in 0..load.viewers {
                    while self.joining.len() >= limit.max(1) {
                        self.await_one().await;
                    }
                    self.start_one();
                }
            }
            Joining::Rate(rate) => {
                let mut ticks = tokio::time::interval(interval(rate));
                for _ in 0..load.viewers {
                    ticks.tick().await;
                    self.start_one();
                }
            }
        }
        while !self.joining.is_empty() {
            self.await_one().await;
        }
        match self.last_error.take() {
            Some(error) if self.watching.is_empty() => Err(BenchError::NoViewer(error)),
            _ => Ok(()),
        }
    }

    /// Lets the time pass in which is counted, and viewers leave and come.
    async fn watch(&mut self, load: &Load) {
        let end = tokio::time::sleep(load.duration);
        tokio::pin!(end);
        let mut ticks = tokio::time::interval(interval(load.churn));
        ticks.tick().await;
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = ticks.tick(), if load.churn > 0.0 => self.exchange_one(),
                Some(joined) = self.joining.join_next() => self.count_in(joined.ok()),
                Some(left) = self.leaving.join_next() => self.count_out(left.ok()),
            }
        }
    }

    /// Lets all go.
    async fn empty(&mut self) {
        while !self.joining.is_empty() {
            self.await_one().await;
        }
        while let Some(left) = self.leaving.join_next().await {
            self.count_out(left.ok());
        }
        let (mut leaving, generator) = (JoinSet::new(), &self.generator);
        for joined in self.watching.drain(..) {
            if leaving.len() >= LEAVING_AT_ONCE {
                leaving.join_next().await;
            }
            let generator = Arc::clone(generator);
            leaving.spawn(async move { generator.leave(joined).await });
        }
        while leaving.join_next().await.is_some() {}
    }

    fn start_one(&mut self) {
        let generator = Arc::clone(&self.generator);
        self.joining.spawn(async move { generator.join().await });
    }

    async fn await_one(&mut self) {
        if let Some(joined) = self.joining.join_next().await {
            self.count_in(joined.ok());
        }
    }

    /// `None` if the task panicked, which has said so itself.
    fn count_in(&mut self, joined: Option<Result<Joined, WhepError>>) {
        match joined {
            Some(Ok(joined)) => {
                self.setups.push(joined.after);
                self.watching.push(joined);
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(error)) => {
                self.failures += 1;
                self.last_error = Some(error);
            }
            None => self.failures += 1,
        }
    }

    fn count_out(&mut self, left: Option<(ViewerId, Option<Seen>)>) {
        if let Some((id, Some(seen))) = left {
            self.left.push((id, seen));
        }
    }

    fn exchange_one(&mut self) {
        if self.watching.is_empty() {
            return;
        }
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let place = (self.random % self.watching.len() as u64) as usize;
        let (joined, generator) = (self.watching.swap_remove(place), Arc::clone(&self.generator));
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.leaving.spawn(async move { (joined.id, generator.leave(joined).await) });
        self.start_one();
    }
}

/// The time between two of so many a second.
fn interval(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate.max(1e-6)).unwrap_or(Duration::MAX).max(Duration::from_micros(10))
}
