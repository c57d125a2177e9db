//! The times of a source that is played once or over and over, as one line that rises.

use std::collections::BTreeMap;

use rtcast_track::MediaTime;

use crate::packet::Packet;

/// What a packet that tells no duration counts for, at the end of a pass.
const UNKNOWN_DURATION: MediaTime = MediaTime::from_micros(33_333);
/// No packet is presented longer, whatever it says.
const LONGEST_DURATION: MediaTime = JUMP_AHEAD;
/// The least that a pass takes, so that a source of a single packet does not spin.
const SHORTEST_PASS: MediaTime = MediaTime::from_micros(100_000);

/// A packet that lies this much after or before the one ahead of it in its stream is taken for damaged or for a new
/// beginning, and follows at once. It is none if another stream has come as far meanwhile (a slide that stands for
/// minutes while somebody talks), or if the source says that it is so long.
const JUMP_AHEAD: MediaTime = MediaTime::from_micros(60_000_000);
const JUMP_BACK: MediaTime = MediaTime::from_micros(-2_000_000);
/// Streams that are this near to each other go together.
const TOGETHER: MediaTime = MediaTime::from_micros(10_000_000);

/// Moves each pass of the source behind the one before, pictures and sound by the same amount: the length of the
/// longest stream.
#[derive(Default)]
pub(super) struct Timeline {
    /// The source's time of what is presented first; it becomes zero.
    start: Option<MediaTime>,
    /// What this pass is moved by.
    offset: MediaTime,
    /// Where the last thing presented in this pass ends, moved.
    end: MediaTime,
    /// How long the source says that a pass takes.
    duration: Option<MediaTime>,
    streams: BTreeMap<usize, Stream>,
}

/// One stream in one pass.
#[derive(Default)]
struct Stream {
    /// What its packets are moved by in addition, since times have jumped.
    correction: MediaTime,
    /// The decoding time of the last packet, moved, and its duration.
    last: Option<(MediaTime, MediaTime)>,
}

impl Timeline {
    /// A line for a source that says that it is so long.
    pub(super) fn new(duration: Option<MediaTime>) -> Self {
        Self { duration, ..Self::default() }
    }

    /// Moves a packet to its place.
    pub(super) fn place(&mut self, packet: &mut Packet) {
        if !packet.chunk.discard && self.start.is_none() {
            self.start = Some(packet.chunk.timestamp);
        }
        let shift = self.offset.since(self.start.unwrap_or_default());
        let duration = if packet.chunk.duration > MediaTime::ZERO { packet.chunk.duration } else { UNKNOWN_DURATION };
        let others = self.streams.iter().filter(|(index, _)| **index != packet.stream);
        let others_end = others.filter_map(|(_, stream)| stream.last).map(|(last, _)| last).max();
        let stream = self.streams.entry(packet.stream).or_default();
        if let Some((last, duration)) = stream.last {
            let moved = packet.dts.offset(shift).offset(stream.correction);
            let step = moved.since(last);
            let is_expected = others_end.is_some_and(|end| moved.since(end) < TOGETHER)
                || self.duration.is_some_and(|duration| moved.since(self.offset) <= duration);
            if (step > JUMP_AHEAD && !is_expected) || step < JUMP_BACK {
                tracing::warn!(stream = packet.stream, seconds = step.as_secs_f64(), "times jump in the source");
                stream.correction = stream.correction.since(step).offset(duration);
            }
        }
        let shift = shift.offset(stream.correction);
        packet.chunk.timestamp = packet.chunk.timestamp.offset(shift);
        packet.dts = packet.dts.offset(shift);
        stream.last = Some((packet.dts, duration.min(LONGEST_DURATION)));
        if !packet.chunk.discard {
            self.end = self.end.max(packet.chunk.timestamp.offset(duration.min(LONGEST_DURATION)));
        }
    }

    /// Where this pass begins.
    pub(super) const fn pass_start(&self) -> MediaTime {
        self.offset
    }

    /// Where the last thing presented so far ends.
    pub(super) const fn end(&self) -> MediaTime {
        self.end
    }

    /// Begins another pass.
    pub(super) fn next_pass(&mut self) {
        self.streams.clear();
        self.offset = self.end.max(self.offset.offset(SHORTEST_PASS));
    }

    /// Whether anything has been presented yet.
    pub(super) const fn has_started(&self) -> bool {
        self.start.is_some()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::packet::EncodedChunk;

    fn packet(stream: usize, pts: i64, duration: i64, discard: bool) -> Packet {
        let time = |milliseconds: i64| MediaTime::from_micros(milliseconds * 1_000);
        let (pts, duration) = (time(pts), time(duration));
        Packet::new(stream, EncodedChunk::new(Bytes::new(), pts).with_duration(duration).with_discard(discard))
    }

    #[test]
    fn passes_follow_each_other_by_the_length_of_the_longest_stream() {
        let mut timeline = Timeline::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            // Sound with priming; pictures that start at 500 ms and end 5 ms before the sound.
            for (stream, pts, duration, discard) in
                [(1, 477, 23, true), (0, 500, 40, false), (1, 500, 25, false), (0, 540, 40, false), (1, 525, 60, false)]
            {
                let mut packet = packet(stream, pts, duration, discard);
                timeline.place(&mut packet);
                if !discard {
                    seen.push((stream, packet.chunk.timestamp.as_nanos() / 1_000_000));
                }
            }
            timeline.next_pass();
        }
        // One pass takes 85 ms, less than the shortest that is allowed, which is 100 ms.
        let first = [(0, 0), (1, 0), (0, 40), (1, 25)];
        let expected = [0, 100, 200].map(|offset| first.map(|(stream, time)| (stream, time + offset))).concat();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_pass_is_as_long_as_its_longest_stream() {
        let mut timeline = Timeline::default();
        for pass in 0..3 {
            assert_eq!(timeline.pass_start(), MediaTime::from_micros(pass * 1_025_000));
            timeline.place(&mut packet(0, 0, 1_000, false));
            timeline.place(&mut packet(1, 0, 1_025, false));
            timeline.next_pass();
        }
    }

    #[test]
    fn a_slide_may_stand_for_minutes() {
        // While the sound goes on.
        let mut timeline = Timeline::default();
        let place = |timeline: &mut Timeline, stream, pts| {
            let mut packet = packet(stream, pts, 40, false);
            timeline.place(&mut packet);
            packet.chunk.timestamp.as_nanos() / 1_000_000
        };
        assert_eq!(place(&mut timeline, 0, 0), 0);
        for second in 0..=70 {
            assert_eq!(place(&mut timeline, 1, second * 1_000), second * 1_000);
        }
        assert_eq!(place(&mut timeline, 0, 70_000), 70_000);
        assert_eq!(place(&mut timeline, 1, 71_000), 71_000);
        // Without sound, if the source says that it is so long; and again in the next pass.
        let mut timeline = Timeline::new(Some(MediaTime::from_micros(210_000_000)));
        for pass in 0..2 {
            let start = pass * 140_040;
            for slide in [0, 70_000, 140_000] {
                assert_eq!(place(&mut timeline, 0, slide), start + slide);
            }
            timeline.next_pass();
        }
        assert_eq!(place(&mut timeline, 0, 0), 280_080);
        assert_eq!(place(&mut timeline, 0, 400_000), 280_120, "this is beyond its end");
    }

    #[test]
    fn times_that_jump_are_taken_together() {
        let mut timeline = Timeline::default();
        let mut place = |stream, pts| {
            let mut packet = packet(stream, pts, 40, false);
            timeline.place(&mut packet);
            packet.chunk.timestamp.as_nanos() / 1_000_000
        };
        assert_eq!(place(0, 0), 0);
        assert_eq!(place(1, 0), 0);
        assert_eq!(place(0, 3_600_000), 40);
        assert_eq!(place(1, 40), 40);
        assert_eq!(place(1, 3_600_040), 80);
        assert_eq!(place(0, 3_600_040), 80);
        assert_eq!(place(0, 100), 120);
        assert_eq!(place(0, 4_000_000_000_000), 160);
        assert_eq!(place(0, -4_000_000_000_000), 200);
        assert_eq!(place(0, -3_999_999_999_960), 240);
    }
}
