//! A load generator for any WHEP server: viewers that count packets, loss and frames.
//!
//! Each viewer is a whole peer connection with a socket of its own: ICE, DTLS, SRTP, requests for lost packets. All run
//! in one process, which says what it cost itself, so that a generator at its limit is not taken for a slow server.
#![forbid(unsafe_code)]

mod process;
mod report;
mod viewer;
mod whep;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use process::ProcessSample;
pub use report::{Distribution, Report, ServerCost};
use viewer::{Counted, Viewer};
pub use whep::WhepError;

/// Viewers that are set up at the same time.
const SETUP_AT_ONCE: usize = 16;

/// What to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// The WHEP endpoint, such as `http://localhost:8080/foo/whep`.
    pub url: String,
    /// How many viewers.
    pub viewers: usize,
    /// For how long they watch, once all are connected.
    pub duration: Duration,
    /// The process of the server, if it runs on this machine and its cost is to be measured.
    pub server: Option<u32>,
}

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No viewer at all came in.
    #[error("no viewer could connect: {0}")]
    NoViewer(WhepError),
    /// The address is not one of HTTP.
    #[error("{url:?} is not the address of a WHEP endpoint; it begins with http:// and usually ends with /whep")]
    Url {
        /// What was given.
        url: String,
    },
    /// The server's process cannot be observed.
    #[error("process {pid} cannot be observed; give the process id of a server on this machine")]
    NoProcess {
        /// The process id.
        pid: u32,
    },
}

/// Sets the viewers up, lets them watch, and counts.
///
/// # Errors
/// [`BenchError`] if nothing could be measured. Single viewers that fail are counted in the report.
pub async fn viewers(load: &Load) -> Result<Report, BenchError> {
    if !load.url.starts_with("http://") {
        return Err(BenchError::Url { url: load.url.clone() });
    }
    let observe = |pid: u32| ProcessSample::of(pid).ok_or(BenchError::NoProcess { pid });
    let idle = load.server.map(observe).transpose()?;
    let (watching, failures) = set_up(load).await?;

    let (own, server) = (ProcessSample::own(), load.server.map(observe).transpose()?);
    let start = Instant::now();
    let mut before: Vec<Counted> = Vec::with_capacity(watching.len());
    for viewer in &watching {
        before.push(viewer.counted().await);
    }
    tokio::time::sleep(load.duration).await;
    let mut after = Vec::with_capacity(watching.len());
    for viewer in &watching {
        after.push(viewer.counted().await);
    }
    let elapsed = start.elapsed();
    let own = own.zip(ProcessSample::own()).map(|(before, after)| after.cpu_since(&before));
    let cost = match (idle, server, load.server.map(observe).transpose()?) {
        (Some(idle), Some(before), Some(after)) => {
            Some(ServerCost::new(&idle, &before, &after, watching.len(), elapsed))
        }
        _ => None,
    };
    let pictures: Vec<Duration> = watching.iter().filter_map(Viewer::first_picture).collect();
    for viewer in watching {
        viewer.leave().await;
    }
    Ok(Report::new(load, &before, &after, &pictures, failures, elapsed, own, cost))
}

/// Connects all viewers, a few at a time. Returns those that came in, and how many did not.
async fn set_up(load: &Load) -> Result<(Vec<Viewer>, usize), BenchError> {
    let client = reqwest::Client::new();
    let mut joining = JoinSet::new();
    let mut watching = Vec::with_capacity(load.viewers);
    let mut failures = 0;
    let mut last_error = None;
    let mut started = 0;
    loop {
        while started < load.viewers && joining.len() < SETUP_AT_ONCE {
            joining.spawn(Viewer::join(client.clone(), load.url.clone()));
            started += 1;
        }
        match joining.join_next().await {
            Some(Ok(Ok(viewer))) => watching.push(viewer),
            Some(Ok(Err(error))) => {
                failures += 1;
                last_error = Some(error);
            }
            // A task that panicked has said so itself.
            Some(Err(_)) => failures += 1,
            None => break,
        }
    }
    match last_error {
        Some(error) if watching.is_empty() => Err(BenchError::NoViewer(error)),
        _ => Ok((watching, failures)),
    }
}
