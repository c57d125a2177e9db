//! What a load came to.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::Load;
use crate::process::ProcessSample;
use crate::viewer::Counted;

/// The least, the middle and the most of a figure over all viewers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Distribution {
    /// The least.
    pub least: f64,
    /// The median.
    pub median: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The most.
    pub most: f64,
}

impl Distribution {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
            values.get(place).copied().unwrap_or_default()
        };
        Self { least: at(0.0), median: at(0.5), p99: at(0.99), most: at(1.0) }
    }
}

/// What the server's process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCost {
    /// User and system time in milliseconds, for one viewer and one second.
    pub cpu_ms_per_viewer_second: f64,
    /// How many such viewers would fill one core.
    pub viewers_per_core: f64,
    /// By how much resident memory grew for each viewer, in bytes.
    pub memory_per_viewer: f64,
    /// Resident memory at the end, in bytes.
    pub memory: u64,
}

impl ServerCost {
    pub(crate) fn new(
        idle: &ProcessSample,
        before: &ProcessSample,
        after: &ProcessSample,
        viewers: usize,
        elapsed: Duration,
    ) -> Self {
        let viewers = viewers.max(1) as f64;
        let cpu = after.cpu_since(before).as_secs_f64() * 1e3 / (viewers * elapsed.as_secs_f64());
        Self {
            cpu_ms_per_viewer_second: cpu,
            viewers_per_core: if cpu > 0.0 { 1e3 / cpu } else { 0.0 },
            memory_per_viewer: after.memory.saturating_sub(idle.memory) as f64 / viewers,
            memory: after.memory,
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Viewers that were asked for.
    pub viewers: usize,
    /// Viewers that did not come in.
    pub failed: usize,
    /// Seconds that were counted.
    pub seconds: f64,
    /// Packets received by all viewers.
    pub packets: u64,
    /// Payload bits per second and viewer.
    pub bits_per_second: f64,
    /// Packets that never came to some viewer.
    pub lost: i64,
    /// Packets that came again after they were asked for.
    pub retransmitted: u64,
    /// Requests for a keyframe.
    pub keyframe_requests: u64,
    /// Whole pictures per viewer.
    pub pictures: Distribution,
    /// Packets of sound per viewer.
    pub sounds: Distribution,
    /// Milliseconds from a viewer's request to its first whole picture.
    pub first_picture_ms: Distribution,
    /// The share of one core that the generator itself used; `None` where it cannot be told.
    pub generator_cores: Option<f64>,
    /// Whether the generator was so busy that it, not the server, may set the limit.
    pub generator_limited: bool,
    /// What the server used, if it was observed.
    pub server: Option<ServerCost>,
}

impl Report {
    #[expect(clippy::too_many_arguments, reason = "one call, from where all of it was measured")]
    pub(crate) fn new(
        load: &Load,
        before: &[Counted],
        after: &[Counted],
        first_pictures: &[Duration],
        failed: usize,
        elapsed: Duration,
        own: Option<Duration>,
        server: Option<ServerCost>,
    ) -> Self {
        let pairs = || before.iter().zip(after);
        let sum = |of: fn(&Counted) -> u64| pairs().map(|(before, after)| of(after).saturating_sub(of(before))).sum();
        let spread = |of: fn(&Counted) -> u64| {
            Distribution::of(pairs().map(|(before, after)| of(after).saturating_sub(of(before)) as f64).collect())
        };
        let viewers = before.len().max(1) as f64;
        let bytes: u64 = sum(|counted| counted.bytes);
        let generator_cores = own.map(|cpu| cpu.as_secs_f64() / elapsed.as_secs_f64());
        Self {
            viewers: load.viewers,
            failed,
            seconds: elapsed.as_secs_f64(),
            packets: sum(|counted| counted.packets),
            bits_per_second: bytes as f64 * 8.0 / (viewers * elapsed.as_secs_f64()),
            lost: pairs().map(|(before, after)| after.lost - before.lost).sum(),
            retransmitted: sum(|counted| counted.retransmitted),
            keyframe_requests: sum(|counted| counted.keyframe_requests),
            pictures: spread(|counted| counted.pictures),
            sounds: spread(|counted| counted.sounds),
            first_picture_ms: Distribution::of(first_pictures.iter().map(|time| time.as_secs_f64() * 1e3).collect()),
            generator_cores,
            generator_limited: generator_cores.is_some_and(|cores| cores > 0.9),
            server,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |spread: &Distribution| {
            format!("{:.0} / {:.0} / {:.0} / {:.0}", spread.least, spread.median, spread.p99, spread.most)
        };
        let connected = self.viewers - self.failed;
        writeln!(f, "viewers          {connected} of {} for {:.1} s", self.viewers, self.seconds)?;
        writeln!(f, "received         {} packets, {:.2} Mb/s a viewer", self.packets, self.bits_per_second / 1e6)?;
        writeln!(f, "lost             {} packets, {} came again", self.lost, self.retransmitted)?;
        writeln!(f, "keyframes asked  {}", self.keyframe_requests)?;
        writeln!(f, "                 least / median / 99 % / most, per viewer")?;
        writeln!(f, "pictures         {}", spread(&self.pictures))?;
        writeln!(f, "sound packets    {}", spread(&self.sounds))?;
        writeln!(f, "first picture    {} ms", spread(&self.first_picture_ms))?;
        if let Some(cores) = self.generator_cores {
            writeln!(f, "this generator   {:.0} % of a core", cores * 100.0)?;
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "server           {:.3} ms of CPU a viewer-second, {:.0} viewers a core",
                server.cpu_ms_per_viewer_second, server.viewers_per_core
            )?;
            writeln!(
                f,
                "                 {:.1} KiB of memory a viewer, {:.1} MiB in all",
                server.memory_per_viewer / 1024.0,
                server.memory as f64 / 1024.0 / 1024.0
            )?;
        }
        if self.generator_limited {
            writeln!(
                f,
                "note             the generator was at its limit: use fewer viewers, or generators on other machines"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_has_its_ends_and_its_middle() {
        let spread = Distribution::of((1..=101).rev().map(f64::from).collect());
        assert_eq!((spread.least, spread.median, spread.p99, spread.most), (1.0, 51.0, 100.0, 101.0));
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }
}
