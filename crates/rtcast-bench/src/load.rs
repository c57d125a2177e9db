//! What to do, and why it could not be done.

use std::time::Duration;

use reqwest::Url;

use crate::whep::WhepError;

/// How viewers come in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Joining {
    /// So many are being set up at any time, until all are there.
    AtOnce(usize),
    /// So many a second begin, however long each takes.
    Rate(f64),
}

/// A load of viewers.
#[derive(Debug, Clone)]
pub struct Load {
    /// The WHEP endpoint, such as `http://localhost:8080/foo/whep`.
    pub url: String,
    /// How many viewers.
    pub viewers: usize,
    /// For how long they are counted.
    pub duration: Duration,
    /// The time between the last viewer's arrival and the beginning of counting. Default: 2 s.
    pub warm_up: Duration,
    /// How they come in. Default: 16 at once.
    pub joining: Joining,
    /// So many viewers a second leave, chosen at random, and as many come, while counting goes on. Default: none.
    pub churn: f64,
    /// How many viewers authenticate and decrypt every packet; the others read headers. Default: one.
    pub verified: usize,
    /// Whether sound is asked for. Default: yes.
    pub sound: bool,
    /// The generator's threads. Default: one for every two cores.
    pub threads: usize,
    /// Whether the kernel may hand over a run of datagrams in one piece (UDP GRO). Without it the generator costs more,
    /// and so does a sender on the same machine that has the kernel segment. Default: yes.
    pub join_datagrams: bool,
    /// Whether viewers offer transport-wide feedback, as browsers do: a server that takes the offer is told ten times a
    /// second when its packets arrived. Default: yes.
    pub transport_wide: bool,
    /// Whether each viewer has a socket of its own, even towards a server on this machine. Default: no.
    pub private_sockets: bool,
    /// The process of the server, if it runs on this machine and its cost is to be measured. Default: none.
    pub server: Option<u32>,
    /// Whether the report names every viewer. Default: no.
    pub each: bool,
}

impl Load {
    /// A load with the defaults.
    pub fn new(url: impl Into<String>, viewers: usize, duration: Duration) -> Self {
        Self {
            url: url.into(),
            viewers,
            duration,
            warm_up: Duration::from_secs(2),
            joining: Joining::AtOnce(16),
            churn: 0.0,
            verified: 1,
            sound: true,
            threads: default_threads(),
            join_datagrams: true,
            transport_wide: true,
            private_sockets: false,
            server: None,
            each: false,
        }
    }
}

/// Half of the cores are the server's.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1)
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
    /// The generator could not start.
    #[error("the generator cannot start: {0}; check the server's name, and the limit of open files")]
    Start(std::io::Error),
}

pub(crate) fn endpoint(text: &str) -> Result<Url, BenchError> {
    let wrong = || BenchError::Url { url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| wrong())?;
    if url.scheme() == "http" && url.has_host() { Ok(url) } else { Err(wrong()) }
}
