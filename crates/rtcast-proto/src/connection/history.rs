//! What was sent lately, to be sent again when it is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frame::PacketizedFrame;

/// How long a receiver waits for a packet. Browsers ask for a keyframe after three seconds without a picture; what comes
/// later is of no use.
const USABLE: Duration = Duration::from_secs(3);

/// A keyframe that left so long ago was received or has been asked for; nobody goes back behind it.
const SUPERSEDED: Duration = Duration::from_secs(1);

/// Frames kept at most. What is kept belongs to all viewers of a stream in common: for one more of them that is 80 KiB of
/// references, and in all the frames between the oldest that a viewer is being sent and the newest.
const MAX_FRAMES: usize = 2_048;

/// A list that had to be longer than that gives memory back.
const LONG: usize = 512;

/// A frame that was sent, with what its packets had.
#[derive(Debug)]
pub(super) struct SentFrame {
    pub(super) frame: Arc<PacketizedFrame>,
    pub(super) first_sequence: u64,
    /// When its first packet left.
    pub(super) sent_at: Instant,
    pub(super) timestamp: u32,
    pub(super) with_mid: bool,
}

/// The same, looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) frame: &'a PacketizedFrame,
    pub(super) first_sequence: u64,
    pub(super) sent_at: Instant,
    pub(super) timestamp: u32,
    pub(super) with_mid: bool,
}

impl SentFrame {
    fn view(&self) -> Sent<'_> {
        let Self { frame, first_sequence, sent_at, timestamp, with_mid } = self;
        let (first_sequence, sent_at) = (*first_sequence, *sent_at);
        Sent { frame, first_sequence, sent_at, timestamp: *timestamp, with_mid: *with_mid }
    }
}

/// The frames of the last three seconds; while a viewer catches up, and three seconds on, all that it was sent in that.
#[derive(Debug, Default)]
pub(super) struct History {
    frames: VecDeque<SentFrame>,
    keep_until: Option<Instant>,
    /// The first packet of the newest keyframe, and when its last packet left.
    keyframe: Option<(u64, Instant)>,
}

impl History {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A catch-up goes on: everything that is here stays until it has ended and beyond.
    pub(super) fn keep(&mut self, now: Instant) {
        self.keep_until = Some(now + USABLE);
    }

    /// Takes a frame whose last packet has just left.
    pub(super) fn push(&mut self, now: Instant, sent: SentFrame) {
        if sent.frame.keyframe {
            self.keyframe = Some((sent.first_sequence, now));
        }
        if self.keep_until.is_none_or(|until| until <= now) {
            let old = |sent: &SentFrame| now.saturating_duration_since(sent.sent_at) > USABLE;
            while self.frames.front().is_some_and(old) {
                self.frames.pop_front();
            }
            if self.frames.capacity() > LONG && self.frames.len() < LONG / 4 {
                self.frames.shrink_to(LONG / 2);
            }
        }
        if self.frames.len() >= MAX_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(sent);
    }

    /// The frame of a packet, and which of its packets that is.
    pub(super) fn find(&self, index: u64) -> Option<(Sent<'_>, usize)> {
        let after = self.frames.partition_point(|sent| sent.first_sequence <= index);
        let sent = self.frames.get(after.checked_sub(1)?)?;
        let packet = usize::try_from(index - sent.first_sequence).ok()?;
        (packet < sent.frame.len()).then_some((sent.view(), packet))
    }

    /// Whether a receiver can still use a frame that it missed.
    pub(super) fn is_of_use(&self, now: Instant, sent: Sent<'_>) -> bool {
        let young = now.saturating_duration_since(sent.sent_at) <= USABLE;
        let kept = self.keep_until.is_some_and(|until| until > now);
        let superseded = self
            .keyframe
            .is_some_and(|(first, at)| sent.first_sequence < first && now.saturating_duration_since(at) > SUPERSEDED);
        (young || kept) && !superseded
    }

    /// The bytes a second that the stream takes: of the last second, or of all that is here if that is more. Of a stream that
    /// has just begun, a quarter of a second tells.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let (mut recent, mut all) = (0, 0);
        for sent in self.frames.iter().rev() {
            let bytes = sent.frame.payload_bytes() as u64;
            all += bytes;
            if now.saturating_duration_since(sent.sent_at) <= Duration::from_secs(1) {
                recent += bytes;
            }
        }
        let oldest = self.frames.front().map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent.sent_at));
        recent.max(all * 1_000 / (oldest.as_millis() as u64).max(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    struct Sender {
        start: Instant,
        history: History,
        sequence: u64,
    }

    impl Sender {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
        fn new() -> Self {
            Self { start: Instant::now(), history: History::default(), sequence: 0 }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// Sends a frame of two packets and 2,000 bytes. Returns the number of the first.
        fn send(&mut self, milliseconds: u64, keyframe: bool) -> u64 {
            let now = self.at(milliseconds);
            let mut frame = PacketizedFrame::new(Codec::Vp8, 0, keyframe, now, 0);
            frame.push(&[&[0; 1_000]]);
            frame.push(&[&[0; 1_000]]);
            let first_sequence = self.sequence;
            self.sequence += 2;
            let frame = Arc::new(frame);
            self.history.push(now, SentFrame { frame, first_sequence, sent_at: now, timestamp: 0, with_mid: false });
            first_sequence
        }

        fn usable(&self, milliseconds: u64, index: u64) -> bool {
            self.history.find(index).is_some_and(|(sent, _)| self.history.is_of_use(self.at(milliseconds), sent))
        }
    }

    #[test]
    fn what_is_older_than_a_receiver_waits_is_gone() {
        let mut sender = Sender::new();
        for frame in 0..300 {
            sender.send(frame * 33, frame == 0);
        }
        let now = 299 * 33;
        assert!(sender.usable(now, 599) && sender.usable(now, 2 * (300 - 90)));
        assert!(!sender.usable(now, 2 * (300 - 93)));
        assert!(sender.history.frames.len() <= 92, "{}", sender.history.frames.len());
        assert!(
            (58_000..=64_000).contains(&sender.history.rate(sender.at(now))),
            "{}",
            sender.history.rate(sender.at(now))
        );
    }

    #[test]
    fn nobody_goes_back_behind_a_keyframe() {
        let mut sender = Sender::new();
        let lost = sender.send(0, true);
        sender.send(500, true);
        assert!(sender.usable(1_400, lost));
        assert!(!sender.usable(1_600, lost));
        assert!(sender.usable(1_600, lost + 2));
    }

    #[test]
    fn a_catch_up_is_kept_whole_and_memory_is_given_back_after_it() {
        let mut sender = Sender::new();
        for frame in 0..1_500 {
            sender.history.keep(sender.at(frame * 10));
            sender.send(frame * 10, frame == 0);
        }
        assert!(sender.usable(15_000, 0), "after fifteen seconds");
        for frame in 0..5_000 {
            sender.history.keep(sender.at(15_000 + frame));
            sender.send(15_000 + frame, false);
        }
        assert_eq!(sender.history.frames.len(), MAX_FRAMES);
        for frame in 0..300 {
            sender.send(20_000 + frame * 33, false);
        }
        assert!(sender.history.frames.len() <= 92 && sender.history.frames.capacity() <= LONG);
    }
}
