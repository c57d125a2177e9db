//! What a load came to.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::Load;
use crate::generator::{Delays, Seen, StreamCounts, ViewerId};
use crate::histogram::Histogram;
use crate::observer::{GeneratorCost, Sample};
use crate::plot::curve;
use crate::process::ProcessSample;

/// The least, the middle and the most of a figure over all viewers, or over all pictures of all viewers.
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
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
            values.get(place).copied().unwrap_or_default()
        };
        Self { least: at(0.0), median: at(0.5), p99: at(0.99), most: at(1.0) }
    }

    pub(crate) fn of_times(times: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(times.into_iter().map(milliseconds).collect())
    }

    fn of_histogram(histogram: &Histogram) -> Option<Self> {
        let at = |share| milliseconds(histogram.quantile(share));
        (!histogram.is_empty()).then(|| Self {
            least: at(0.0),
            median: at(0.5),
            p99: at(0.99),
            most: milliseconds(histogram.most()),
        })
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
        let cpu = milliseconds(after.cpu_since(before)) / (viewers * elapsed.as_secs_f64());
        Self {
            cpu_ms_per_viewer_second: cpu,
            viewers_per_core: if cpu > 0.0 { 1e3 / cpu } else { 0.0 },
            memory_per_viewer: after.memory.saturating_sub(idle.memory) as f64 / viewers,
            memory: after.memory,
        }
    }
}

/// What one viewer saw while counting went on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewerReport {
    /// Its number, in the order of joining.
    pub viewer: u64,
    /// Packets received.
    pub packets: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after they were missed.
    pub retransmitted: u64,
    /// Whole pictures.
    pub pictures: u64,
    /// Pictures of which something was lost.
    pub broken_pictures: u64,
    /// Pictures that the sender left out, as far as the timestamps of a source of constant rate tell.
    pub skipped_pictures: u64,
    /// Packets of sound.
    pub sounds: u64,
    /// Milliseconds from its request to its first whole keyframe.
    pub first_picture_ms: Option<f64>,
    /// Milliseconds from capture to the last packet of a picture, as the sender's reports tell.
    pub delay_ms: Option<Distribution>,
    /// Why it was disconnected, if it was.
    pub ended: Option<String>,
}

impl ViewerReport {
    fn new(id: ViewerId, seen: &Seen) -> Self {
        Self {
            viewer: id.0,
            packets: seen.video.packets + seen.sound.packets,
            lost: seen.video.settled.lost + seen.sound.settled.lost,
            retransmitted: seen.video.repaired,
            pictures: seen.video.settled.whole,
            broken_pictures: seen.video.settled.broken,
            skipped_pictures: seen.video.skipped,
            sounds: seen.sound.settled.whole,
            first_picture_ms: seen.first_picture.map(milliseconds),
            delay_ms: Distribution::of_histogram(&seen.delays.by_report),
            ended: seen.ended.clone(),
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Viewers that were asked for.
    pub viewers: usize,
    /// Viewers that watched when counting began.
    pub watching: usize,
    /// Viewers that did not come in.
    pub failed: usize,
    /// Viewers that left and were replaced while counting went on.
    pub exchanged: usize,
    /// Viewers that the server, or the network, disconnected.
    pub disconnected: usize,
    /// Why, and how many for each reason.
    pub reasons: BTreeMap<String, usize>,
    /// Viewers that authenticated every packet.
    pub verified: usize,
    /// Seconds that were counted.
    pub seconds: f64,
    /// Packets received by all viewers.
    pub packets: u64,
    /// Payload bits per second and viewer.
    pub bits_per_second: f64,
    /// Packets that never came to some viewer.
    pub lost: u64,
    /// The same, before counting began.
    pub lost_while_joining: u64,
    /// Packets that came after they were missed.
    pub retransmitted: u64,
    /// Packets that came twice, or after they were given up.
    pub duplicates: u64,
    /// Packets that failed authentication, of those that were verified.
    pub unauthentic: u64,
    /// Packets of no known stream.
    pub unknown: u64,
    /// Requests for lost packets.
    pub nacks: u64,
    /// Requests for a keyframe.
    pub keyframe_requests: u64,
    /// Whole pictures per viewer, of those that stayed.
    pub pictures: Distribution,
    /// Pictures of which something was lost, at all viewers.
    pub broken_pictures: u64,
    /// Pictures that the sender left out at some viewer, as far as the timestamps of a source of constant rate tell.
    pub skipped_pictures: u64,
    /// Whether every viewer received every picture whole.
    pub every_picture: bool,
    /// Packets of sound per viewer, of those that stayed.
    pub sounds: Distribution,
    /// Milliseconds from a viewer's offer to its connection.
    pub setup_ms: Distribution,
    /// Milliseconds from a viewer's offer to its first whole keyframe.
    pub first_picture_ms: Distribution,
    /// Viewers that have seen no whole keyframe.
    pub without_picture: usize,
    /// Milliseconds from capture to the last packet of a picture, over all pictures: by the sender's reports, and so only
    /// as good as the common clock; `None` without reports.
    pub delay_ms: Option<Distribution>,
    /// The same above the least of each viewer, for which no common clock is needed.
    pub delay_above_least_ms: Option<Distribution>,
    /// Milliseconds between the last packets of two pictures.
    pub pause_ms: Option<Distribution>,
    /// What the generator used.
    pub generator: GeneratorCost,
    /// Whether the generator, not the server, may have set the limit.
    pub generator_limited: bool,
    /// What the server used, if it was observed.
    pub server: Option<ServerCost>,
    /// Second by second, from the first viewer on.
    pub timeline: Vec<Sample>,
    /// Every viewer that was there at the end, if asked for.
    pub each: Option<Vec<ViewerReport>>,
}

/// What the viewers saw.
pub(crate) struct Counted {
    /// Until counting began.
    pub(crate) joining: Vec<(ViewerId, Seen)>,
    /// Those that were there at the end.
    pub(crate) seen: Vec<(ViewerId, Seen)>,
    /// Those that left before.
    pub(crate) left: Vec<(ViewerId, Seen)>,
    /// Those that were there when counting began.
    pub(crate) stayed: HashSet<ViewerId>,
    pub(crate) setups: Vec<Duration>,
}

impl Report {
    #[expect(clippy::too_many_arguments, reason = "one call, from where all of it was measured")]
    pub(crate) fn new(
        load: &Load,
        watching: usize,
        failed: usize,
        elapsed: Duration,
        counted: &Counted,
        generator: GeneratorCost,
        server: Option<ServerCost>,
        timeline: Vec<Sample>,
    ) -> Self {
        let all = || counted.seen.iter().chain(&counted.left).map(|(_, seen)| seen);
        let sum = |of: fn(&StreamCounts) -> u64| all().map(|seen| of(&seen.video) + of(&seen.sound)).sum::<u64>();
        let stayed = || counted.seen.iter().filter(|(id, _)| counted.stayed.contains(id)).map(|(_, seen)| seen);
        let spread = |of: fn(&Seen) -> u64| Distribution::of(stayed().map(|seen| of(seen) as f64).collect());
        let mut delays = Delays::default();
        all().for_each(|seen| delays.add(&seen.delays));
        let broken_pictures = all().map(|seen| seen.video.settled.broken).sum();
        let skipped_pictures = all().map(|seen| seen.video.skipped).sum();
        let lost = sum(|counts| counts.settled.lost);
        let disconnected = all().filter(|seen| seen.ended.is_some()).count();
        let mut reasons = BTreeMap::new();
        for reason in all().filter_map(|seen| seen.ended.clone()) {
            *reasons.entry(reason).or_insert(0) += 1;
        }
        let pictures = spread(|seen| seen.video.settled.whole);
        let seconds = elapsed.as_secs_f64();
        let bytes = sum(|counts| counts.payload_bytes);
        Self {
            viewers: load.viewers,
            watching,
            failed,
            exchanged: counted.left.len(),
            disconnected,
            reasons,
            verified: load.verified.min(load.viewers),
            seconds,
            packets: sum(|counts| counts.packets),
            bits_per_second: bytes as f64 * 8.0 / (watching.max(1) as f64 * seconds),
            lost,
            lost_while_joining: counted
                .joining
                .iter()
                .map(|(_, seen)| seen.video.settled.lost + seen.sound.settled.lost)
                .sum(),
            retransmitted: sum(|counts| counts.repaired),
            duplicates: sum(|counts| counts.duplicates),
            unauthentic: all().map(|seen| seen.unauthentic).sum(),
            unknown: all().map(|seen| seen.unknown).sum(),
            nacks: sum(|counts| counts.nacks),
            keyframe_requests: sum(|counts| counts.keyframe_requests),
            pictures,
            broken_pictures,
            skipped_pictures,
            every_picture: lost == 0
                && broken_pictures == 0
                && skipped_pictures == 0
                && disconnected == 0
                && pictures.least > 0.0
                // Those on their way at either end of the time are counted at some viewers only.
                && pictures.most - pictures.least <= 2.0,
            sounds: spread(|seen| seen.sound.settled.whole),
            setup_ms: Distribution::of_times(counted.setups.iter().copied()),
            first_picture_ms: Distribution::of_times(all().filter_map(|seen| seen.first_picture)),
            without_picture: stayed().filter(|seen| seen.first_picture.is_none()).count(),
            delay_ms: Distribution::of_histogram(&delays.by_report),
            delay_above_least_ms: Distribution::of_histogram(&delays.over_least),
            pause_ms: Distribution::of_histogram(&delays.pause),
            generator_limited: !generator.limits.is_empty(),
            generator,
            server,
            timeline,
            each: load.each.then(|| counted.seen.iter().map(|(id, seen)| ViewerReport::new(*id, seen)).collect()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |spread: &Distribution| {
            format!("{:.0} / {:.0} / {:.0} / {:.0}", spread.least, spread.median, spread.p99, spread.most)
        };
        let fine = |spread: &Option<Distribution>| match spread {
            Some(spread) => {
                format!("{:.1} / {:.1} / {:.1} / {:.1} ms", spread.least, spread.median, spread.p99, spread.most)
            }
            None => "not told".to_owned(),
        };
        writeln!(f, "viewers          {} of {} for {:.1} s", self.watching, self.viewers, self.seconds)?;
        if self.exchanged > 0 {
            writeln!(f, "                 {} left, and others came", self.exchanged)?;
        }
        if self.disconnected > 0 {
            writeln!(f, "                 {} were disconnected", self.disconnected)?;
        }
        for (reason, count) in &self.reasons {
            writeln!(f, "                 {count}: {reason}")?;
        }
        writeln!(f, "received         {} packets, {:.2} Mb/s a viewer", self.packets, self.bits_per_second / 1e6)?;
        writeln!(
            f,
            "lost             {} packets, {} while joining; {} came again",
            self.lost, self.lost_while_joining, self.retransmitted
        )?;
        writeln!(
            f,
            "pictures lost    {} broken, {} left out by the sender",
            self.broken_pictures, self.skipped_pictures
        )?;
        writeln!(
            f,
            "verified         every packet at {} viewers, {} failed; one in 64 at the others",
            self.verified, self.unauthentic
        )?;
        writeln!(f, "asked for        {} times lost packets, {} times a keyframe", self.nacks, self.keyframe_requests)?;
        writeln!(f, "                 least / median / 99 % / most")?;
        writeln!(f, "pictures         {}", spread(&self.pictures))?;
        writeln!(f, "sound packets    {}", spread(&self.sounds))?;
        writeln!(f, "connected after  {} ms", spread(&self.setup_ms))?;
        writeln!(f, "first picture    {} ms", spread(&self.first_picture_ms))?;
        if self.without_picture > 0 {
            writeln!(f, "                 {} viewers have seen none", self.without_picture)?;
        }
        writeln!(f, "delay            {}", fine(&self.delay_ms))?;
        writeln!(f, "  above least    {}", fine(&self.delay_above_least_ms))?;
        writeln!(f, "between pictures {}", fine(&self.pause_ms))?;
        let generator = &self.generator;
        if let (Some(cores), Some(each)) = (generator.cores, generator.cpu_us_per_datagram) {
            writeln!(f, "this generator   {:.0} % of a core, {each:.2} µs a packet", cores * 100.0)?;
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
        for limit in &generator.limits {
            writeln!(f, "note             the generator was at its limit: {limit}")?;
            writeln!(f, "                 use fewer viewers, more threads, or generators on other machines")?;
        }
        let over_time = |of: fn(&Sample) -> Option<f64>| self.timeline.iter().filter_map(of).collect::<Vec<_>>();
        let viewers = over_time(|sample| Some(sample.viewers as f64));
        write!(f, "{}", curve("viewers over time", &viewers, |value| format!("{value:.0}")))?;
        let cores = over_time(|sample| sample.server_cores.map(|cores| cores * 100.0));
        write!(f, "{}", curve("server's CPU, % of a core", &cores, |value| format!("{value:.0} %")))?;
        let memory = over_time(|sample| sample.server_memory.map(|bytes| bytes as f64 / 1024.0 / 1024.0));
        write!(f, "{}", curve("server's memory", &memory, |value| format!("{value:.0} MiB")))
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
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
