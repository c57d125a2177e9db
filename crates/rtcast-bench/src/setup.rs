//! `setup`: connections are made and ended, one after the other and many at a time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::generator::{Generator, GeneratorConfig};
use crate::load::{BenchError, default_threads, endpoint};
use crate::observer::{GeneratorCost, GeneratorState};
use crate::process::ProcessSample;
use crate::report::{Distribution, milliseconds};
use crate::whep::WhepError;

/// What to do.
#[derive(Debug, Clone)]
pub struct SetupLoad {
    /// The WHEP endpoint.
    pub url: String,
    /// How many connections, in each of the two ways.
    pub connections: usize,
    /// How many at a time, in the second way. Default: 16.
    pub at_once: usize,
    /// How many begin in a second at most, in the second way. Default: as many as the server takes.
    pub rate: Option<f64>,
    /// The generator's threads. Default: one for every two cores.
    pub threads: usize,
    /// The process of the server, if it runs on this machine and its cost is to be measured. Default: none.
    pub server: Option<u32>,
}

impl SetupLoad {
    /// A load with the defaults.
    pub fn new(url: impl Into<String>, connections: usize) -> Self {
        Self { url: url.into(), connections, at_once: 16, rate: None, threads: default_threads(), server: None }
    }
}

/// One way of setting up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetupPass {
    /// Connections that were made.
    pub connected: usize,
    /// Connections that were not.
    pub failed: usize,
    /// Seconds that it took.
    pub seconds: f64,
    /// Connections a second.
    pub per_second: f64,
    /// Milliseconds from the offer to the connection.
    pub connect_ms: Distribution,
    /// Milliseconds of CPU that the server used for each, the end and what was streamed included.
    pub server_cpu_ms: Option<f64>,
    /// Milliseconds of CPU that the generator used for each.
    pub generator_cpu_ms: Option<f64>,
    /// What the generator used.
    pub generator: GeneratorCost,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetupReport {
    /// One after the other.
    pub sequential: SetupPass,
    /// Many at a time.
    pub parallel: SetupPass,
}

impl SetupReport {
    /// Connections that were not made, in both ways.
    pub const fn failed(&self) -> usize {
        self.sequential.failed + self.parallel.failed
    }
}

/// Makes connections and ends each as soon as it stands.
///
/// # Errors
/// [`BenchError`] if nothing could be measured.
pub async fn setup(load: &SetupLoad) -> Result<SetupReport, BenchError> {
    let url = endpoint(&load.url)?;
    let generator = Generator::start(GeneratorConfig {
        url,
        viewers: load.connections,
        threads: load.threads,
        verified: 0,
        sound: true,
        join_datagrams: true,
        transport_wide: true,
        private_sockets: false,
    });
    let generator = Arc::new(generator.map_err(BenchError::Start)?);
    let sequential = pass(load, &generator, 1, None).await?;
    let parallel = pass(load, &generator, load.at_once.max(1), load.rate).await?;
    Ok(SetupReport { sequential, parallel })
}

async fn pass(
    load: &SetupLoad,
    generator: &Arc<Generator>,
    at_once: usize,
    rate: Option<f64>,
) -> Result<SetupPass, BenchError> {
    let observe = |pid: u32| ProcessSample::of(pid).ok_or(BenchError::NoProcess { pid });
    let server_before = load.server.map(observe).transpose()?;
    let (start, before) = (Instant::now(), GeneratorState::of(generator));
    let own_before = ProcessSample::own();
    let mut pace = rate.map(|rate| tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.01))));
    let mut running: JoinSet<Result<Duration, WhepError>> = JoinSet::new();
    let (mut times, mut failed, mut last_error) = (Vec::new(), 0, None);
    for started in 0..=load.connections {
        let last = started == load.connections;
        while !running.is_empty() && (last || running.len() >= at_once) {
            match running.join_next().await {
                Some(Ok(Ok(time))) => times.push(time),
                Some(Ok(Err(error))) => {
                    failed += 1;
                    last_error = Some(error);
                }
                // A task that panicked has said so itself.
                Some(Err(_)) => failed += 1,
                None => {}
            }
        }
        if last {
            break;
        }
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let generator = Arc::clone(generator);
        running.spawn(async move {
            let joined = generator.join().await?;
            let after = joined.after;
            generator.leave(joined).await;
            Ok(after)
        });
    }
    if let Some(error) = last_error
        && times.is_empty()
    {
        return Err(BenchError::NoViewer(error));
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = GeneratorState::of(generator);
    let server_after = load.server.map(observe).transpose()?;
    let each = |before: Option<ProcessSample>, after: Option<ProcessSample>| {
        Some(milliseconds(after?.cpu_since(&before?)) / times.len().max(1) as f64)
    };
    Ok(SetupPass {
        connected: times.len(),
        failed,
        seconds,
        per_second: times.len() as f64 / seconds,
        server_cpu_ms: each(server_before, server_after),
        generator_cpu_ms: each(own_before, ProcessSample::own()),
        generator: before.until(&after, generator.totals()),
        connect_ms: Distribution::of_times(times),
    })
}

impl fmt::Display for SetupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut column = |name: &str, of: &dyn Fn(&SetupPass) -> String| {
            writeln!(f, "{name:<24}{:>14}{:>14}", of(&self.sequential), of(&self.parallel))
        };
        let number = |value: Option<f64>| value.map_or_else(|| "not told".to_owned(), |value| format!("{value:.2}"));
        column("", &|pass| if std::ptr::eq(pass, &self.parallel) { "at a time" } else { "one by one" }.to_owned())?;
        column("connected", &|pass| pass.connected.to_string())?;
        column("failed", &|pass| pass.failed.to_string())?;
        column("a second", &|pass| format!("{:.1}", pass.per_second))?;
        column("median, ms", &|pass| format!("{:.1}", pass.connect_ms.median))?;
        column("99 %, ms", &|pass| format!("{:.1}", pass.connect_ms.p99))?;
        column("most, ms", &|pass| format!("{:.1}", pass.connect_ms.most))?;
        column("server's CPU each, ms", &|pass| number(pass.server_cpu_ms))?;
        column("generator's, ms", &|pass| number(pass.generator_cpu_ms))?;
        for limit in self.sequential.generator.limits.iter().chain(&self.parallel.generator.limits) {
            writeln!(f, "note: the generator was at its limit: {limit}")?;
        }
        Ok(())
    }
}
