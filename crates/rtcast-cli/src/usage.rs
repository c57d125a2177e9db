//! How much of a processor this process uses.

use std::time::Instant;

use rtcast_bench::ProcessSample;

/// Measures the use of processors from one call to the next.
#[derive(Debug)]
pub(crate) struct Usage {
    last: Option<(Instant, ProcessSample)>,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self { last: ProcessSample::own().map(|sample| (Instant::now(), sample)) }
    }

    /// Percent of one processor since the last call; `None` where the system does not tell.
    pub(crate) fn percent(&mut self) -> Option<f64> {
        let (at, before) = self.last?;
        let now = (Instant::now(), ProcessSample::own()?);
        self.last = Some(now);
        let seconds = now.0.duration_since(at).as_secs_f64();
        (seconds > 0.0).then(|| now.1.cpu_since(&before).as_secs_f64() / seconds * 100.0)
    }
}
