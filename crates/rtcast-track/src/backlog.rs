//! Frames that wait to be read.

use std::collections::VecDeque;

use rtcast_proto::{Frame, KeyframeGate, MediaKind};

/// What may wait for a reader.
const MAX_FRAMES: usize = 256;
const MAX_BYTES: usize = 8 << 20;

/// Frames that wait for a reader, some seconds of either kind.
#[derive(Debug)]
pub(crate) struct Backlog {
    kind: MediaKind,
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Closed when a part was lost and no keyframe has come since.
    gate: KeyframeGate,
    dropped: u64,
}

impl Backlog {
    pub(crate) const fn new(kind: MediaKind) -> Self {
        Self { kind, frames: VecDeque::new(), bytes: 0, gate: KeyframeGate::opened(kind), dropped: 0 }
    }

    /// Takes a frame; of what is too much, the oldest goes. Returns whether a keyframe is needed.
    pub(crate) fn push(&mut self, frame: &Frame) -> bool {
        if !self.gate.admits(frame.keyframe) {
            self.dropped += 1;
            return false;
        }
        self.frames.push_back(frame.clone());
        self.bytes += frame.data.len();
        let mut lost = false;
        while self.frames.len() > MAX_FRAMES || (self.bytes > MAX_BYTES && self.frames.len() > 1) {
            // What is left must be decodable: pictures go up to the next keyframe, or altogether.
            let from = match self.kind {
                MediaKind::Audio => 1,
                MediaKind::Video => {
                    let next = self.frames.iter().skip(1).position(|frame| frame.keyframe);
                    next.map_or(self.frames.len(), |position| position + 1)
                }
            };
            for frame in self.frames.drain(..from) {
                self.bytes -= frame.data.len();
                self.dropped += 1;
            }
            lost |= self.frames.is_empty() && self.gate.close();
        }
        lost
    }

    /// Takes what was kept elsewhere.
    pub(crate) fn append(&mut self, other: &Self) {
        self.dropped += other.dropped;
        for frame in &other.frames {
            // Whether a keyframe is missing is asked when all are here.
            let _ = self.push(frame);
        }
        if !other.gate.is_open() {
            self.gate.close();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.data.len();
        Some(frame)
    }

    /// Nothing that comes before the next keyframe is of use.
    pub(crate) fn wait_for_keyframe(&mut self) {
        self.gate.close();
    }

    /// Whether only a keyframe is taken next.
    pub(crate) const fn needs_keyframe(&self) -> bool {
        !self.gate.is_open()
    }

    /// How many frames were lost.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_proto::{Codec, MediaTime};

    fn frame(number: usize, length: usize) -> Frame {
        let data = vec![number as u8; length];
        Frame::new(Codec::Vp8, data, MediaTime::from_micros(number as i64)).with_keyframe(number.is_multiple_of(100))
    }

    #[test]
    fn a_slow_reader_goes_on_with_a_keyframe() {
        let mut backlog = Backlog::new(MediaKind::Video);
        for number in 0..=MAX_FRAMES {
            backlog.push(&frame(number, 1));
        }
        let first = backlog.pop().unwrap();
        assert!(first.keyframe);
        assert_eq!(first.timestamp, MediaTime::from_micros(100));
        assert_eq!(backlog.dropped, 100);
        assert_eq!(std::iter::from_fn(|| backlog.pop()).count(), MAX_FRAMES - 100);
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_a_lost_group_asks_for_a_keyframe_once() {
        let mut backlog = Backlog::new(MediaKind::Video);
        let needed: Vec<usize> = (1..30).filter(|number| backlog.push(&frame(*number, 1 << 20))).collect();
        assert_eq!(needed, [9]);
        assert!(backlog.frames.is_empty());
        assert!(!backlog.push(&frame(100, 1 << 20)));
        assert_eq!((backlog.frames.len(), backlog.bytes, backlog.dropped), (1, 1 << 20, 29));
    }
}
