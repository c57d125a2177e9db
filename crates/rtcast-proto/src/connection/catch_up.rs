//! How fast a viewer is given what it has to catch up with.
//!
//! Nobody knows what the path carries before something was sent over it. So it begins with three times what the stream
//! takes, which is enough to catch up, grows while nothing is lost, and falls to what came through when something is.

use std::time::{Duration, Instant};

use crate::congestion::Pacer;
use crate::frame::PacketizedFrame;

/// How much faster than the stream it begins.
const FIRST_SPEED: u64 = 3;

/// The rate at which it begins at least, in bytes a second: what is known of a path is that it carries a megabit.
const LEAST_FIRST_RATE: u64 = 125_000;

/// The rate that it never exceeds, in bytes a second.
const GREATEST_RATE: u64 = 12_500_000;

/// What leaves without being spread at the beginning: ten packets, as TCP begins (RFC 6928).
const LEAST_BURST: u64 = 12_000;

/// What leaves in one go, as a time; threads with many viewers look at their timers every few milliseconds.
const BURST_TIME_MS: u64 = 15;

/// How long it waits for so much that something leaves in one go, so that many viewers do not wake a thread too often.
const STEP_TIME_MS: u64 = 10;

/// By how many percent the rate grows in an interval without losses, before the first and after it. Faster, the queue in
/// front of a narrow place would be full long before its losses are heard of; so it takes a second and a half to catch up
/// with eight seconds on a wide path.
const GROWTH: u64 = 10;
const GROWTH_AFTER_LOSS: u64 = 3;

/// The least time between two changes of the rate; a round trip, if that is longer.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const GREATEST_INTERVAL: Duration = Duration::from_secs(1);

/// What was learnt of the path is of use for so long.
const MEMORY: Duration = Duration::from_secs(30);

/// What a catch-up has shown of the path: the rate that it ended with after losses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    rate: u64,
    at: Instant,
}

/// The pace of one catch-up.
#[derive(Debug)]
pub(super) struct CatchUp {
    pacer: Pacer,
    rate: u64,
    /// Slower than this it would never end.
    least_rate: u64,
    /// At a higher rate than this, packets were lost.
    ceiling: u64,
    interval_began: Instant,
    /// Packets sent in this interval and in the one before, and those of them that are known to be lost.
    sent: u32,
    sent_before: u32,
    lost: u32,
    /// Losses are of what was sent before the rate fell, until then.
    falls_again_at: Instant,
    lossless: bool,
    next_at: Option<Instant>,
}

impl CatchUp {
    /// A catch-up with a stream that takes so many bytes a second.
    pub(super) fn new(now: Instant, stream_rate: u64, shown: Option<Shown>) -> Self {
        let least_rate = (stream_rate + stream_rate / 20).clamp(1, GREATEST_RATE);
        let recent = shown.filter(|shown| now.saturating_duration_since(shown.at) < MEMORY);
        let first = (stream_rate * FIRST_SPEED).max(LEAST_FIRST_RATE);
        let rate = recent.map_or(first, |shown| shown.rate.min(first)).clamp(least_rate, GREATEST_RATE);
        Self {
            pacer: Pacer::new(rate, burst(rate)),
            rate,
            least_rate,
            ceiling: GREATEST_RATE,
            interval_began: now,
            sent: 0,
            sent_before: 0,
            lost: 0,
            falls_again_at: now,
            lossless: recent.is_none(),
            next_at: None,
        }
    }

    /// What it has shown of the path, if that is less than it could have.
    pub(super) fn shown(&self, now: Instant) -> Option<Shown> {
        (!self.lossless).then_some(Shown { rate: self.rate, at: now })
    }

    /// Whether a packet of that length may leave now; if not, [`next_at`](Self::next_at) says when.
    pub(super) fn admits(&mut self, now: Instant, length: usize) -> bool {
        if self.next_at.is_some_and(|at| at > now) {
            return false;
        }
        self.next_at = None;
        if self.pacer.available(now) >= length {
            return true;
        }
        let step = (self.rate * STEP_TIME_MS / 1_000) as usize;
        self.next_at = Some(now + self.pacer.wait_for(step.max(length)));
        false
    }

    /// A packet has left.
    pub(super) const fn consume(&mut self, length: usize) {
        self.pacer.consume(length);
        self.sent = self.sent.saturating_add(1);
    }

    /// The time has come: whoever sends next finds out by itself whether something may leave.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.next_at = self.next_at.filter(|at| *at > now);
    }

    /// When the next packet may leave, if one waits for that.
    pub(super) const fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Lets the rate grow when an interval has passed without losses.
    pub(super) fn adapt(&mut self, now: Instant, round_trip_time: Option<Duration>) {
        let interval = interval(round_trip_time);
        let since = now.saturating_duration_since(self.interval_began);
        if since < interval {
            return;
        }
        // Nothing is learnt from time in which nothing was sent.
        if self.lost == 0 && self.sent > 0 && now >= self.falls_again_at {
            let by = if self.lossless { GROWTH } else { GROWTH_AFTER_LOSS };
            self.set_rate((self.rate + self.rate * by / 100).min(self.ceiling).max(self.rate));
        }
        self.sent_before = if since < 2 * interval { self.sent } else { 0 };
        self.sent = 0;
        self.lost = 0;
        self.interval_began = now;
    }

    /// So many packets more are known to be lost.
    pub(super) fn handle_loss(&mut self, now: Instant, lost: usize, round_trip_time: Option<Duration>) {
        self.lost = self.lost.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
        // What is known to be lost now was sent a round trip ago.
        let sent = u64::from(self.sent_before.max(self.sent).max(20));
        let lost = u64::from(self.lost).min(sent);
        if lost * 50 > sent {
            self.lossless = false;
        }
        if lost * 20 > sent && now >= self.falls_again_at {
            self.ceiling = self.ceiling.min(self.rate * 9 / 10);
            // What came through, and a little less, so that the queue in front of the narrow place empties. Of the losses
            // most have not been heard of yet.
            let kept = (sent - lost).clamp(sent / 2, sent * 3 / 4);
            self.set_rate(self.rate * kept / sent * 9 / 10);
            self.falls_again_at = now + 2 * interval(round_trip_time);
        }
    }

    fn set_rate(&mut self, rate: u64) {
        self.rate = rate.clamp(self.least_rate, GREATEST_RATE);
        self.pacer.set_rate(self.rate, burst(self.rate));
    }
}

fn interval(round_trip_time: Option<Duration>) -> Duration {
    round_trip_time.unwrap_or_default().clamp(LEAST_INTERVAL, GREATEST_INTERVAL)
}

const fn burst(rate: u64) -> u64 {
    let burst = rate * BURST_TIME_MS / 1_000;
    if burst > LEAST_BURST { burst } else { LEAST_BURST }
}

/// The bytes a second that the stream of these frames takes, reckoned over at least one second.
pub(super) fn stream_rate<'a>(frames: impl Iterator<Item = &'a PacketizedFrame>) -> u64 {
    let (mut bytes, mut count, mut ends) = (0, 0, None::<(Instant, Instant)>);
    for frame in frames {
        bytes += frame.payload_bytes() as u64;
        count += 1;
        ends = Some((ends.map_or(frame.captured_at, |(first, _)| first), frame.captured_at));
    }
    let span = ends.map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first));
    // Between two frames lies one interval, of a hundred frames there are ninety-nine.
    let span = span.as_micros() as u64;
    let whole = span + span / (count.max(2) - 1);
    bytes.saturating_mul(1_000_000) / whole.max(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Sends as much as may leave for that time. Returns the bytes.
    fn send(catch_up: &mut CatchUp, from: Instant, milliseconds: u64) -> usize {
        let mut bytes = 0;
        for millisecond in 0..milliseconds {
            let now = from + Duration::from_millis(millisecond);
            catch_up.adapt(now, None);
            while catch_up.admits(now, 1_200) {
                catch_up.consume(1_200);
                bytes += 1_200;
            }
        }
        bytes
    }

    #[test]
    fn it_begins_with_three_times_the_stream_and_grows_while_nothing_is_lost() {
        let start = start();
        let mut catch_up = CatchUp::new(start, 625_000, None);
        let bytes = send(&mut catch_up, start, 100);
        assert!((180_000..230_000).contains(&bytes), "{bytes} in a tenth of a second at 15 Mb/s");
        let bytes = send(&mut catch_up, start + Duration::from_millis(100), 1_000);
        assert!((2_900_000..3_500_000).contains(&bytes), "{bytes} in the second after it");
        send(&mut catch_up, start + Duration::from_millis(1_100), 1_500);
        assert_eq!(catch_up.rate, GREATEST_RATE);
        assert!(catch_up.shown(start).is_none());
    }

    #[test]
    fn it_falls_to_what_comes_through_once_a_round_trip_and_never_below_the_stream() {
        let start = start();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut catch_up = CatchUp::new(start, 625_000, None);
        send(&mut catch_up, start, 150);
        let before = catch_up.rate;
        catch_up.handle_loss(at(150), 60, None);
        assert!(catch_up.rate < before * 8 / 10 && catch_up.rate >= before * 4 / 10, "{} of {before}", catch_up.rate);
        let fallen = catch_up.rate;
        catch_up.handle_loss(at(160), 60, None);
        assert_eq!(catch_up.rate, fallen, "these were sent before it fell");
        for step in 1..50 {
            catch_up.handle_loss(at(150 + 300 * step), 500, None);
        }
        assert_eq!(catch_up.rate, 656_250);
        let shown = catch_up.shown(at(20_000));
        assert_eq!(CatchUp::new(at(21_000), 625_000, shown).rate, 656_250);
        assert_eq!(CatchUp::new(at(60_000), 625_000, shown).rate, 1_875_000, "the path may be another by then");
    }

    #[test]
    fn a_loss_now_and_then_does_not_slow_it_down() {
        let start = start();
        let mut catch_up = CatchUp::new(start, 625_000, None);
        send(&mut catch_up, start, 150);
        let before = catch_up.rate;
        catch_up.handle_loss(start + Duration::from_millis(150), 2, None);
        assert_eq!(catch_up.rate, before);
    }

    #[test]
    fn the_rate_of_a_stream_is_that_of_its_captures() {
        let start = start();
        let frame = |number: u64, bytes: usize| {
            let at = start + Duration::from_millis(40 * number);
            let mut frame = PacketizedFrame::new(Codec::Vp8, 0, false, at, 0);
            frame.push(&[&vec![0; bytes]]);
            frame
        };
        let frames: Vec<_> = (0..50).map(|number| frame(number, 4_000)).collect();
        assert_eq!(stream_rate(frames.iter()), 100_000);
        assert_eq!(stream_rate([frame(0, 4_000)].iter()), 4_000, "of a second at least");
        assert_eq!(stream_rate(std::iter::empty()), 0);
    }
}
