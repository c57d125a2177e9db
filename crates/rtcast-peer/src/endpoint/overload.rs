//! What a shard does when it cannot keep up with its streams.
//!
//! The policy: a frame that has waited too long is dropped whole, for all viewers of the shard alike, and with it all that
//! cannot be decoded without it. What is kept begins at the newest keyframe, if that is young enough; without one the
//! viewers wait for the next. Sound is dropped up to what is young enough. So the delay stays bounded, nobody is preferred,
//! and a shard that has caught up goes on with everybody at the next keyframe.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rtcast_proto::MediaKind;

use super::command::Command;
use rtcast_track::BroadcastId;

/// How long a frame may wait for its shard before the shard counts as overloaded.
pub(super) const MAX_LAG: Duration = Duration::from_millis(250);

/// How old the newest keyframe may be for what follows it to be sent all the same.
const MAX_KEYFRAME_LAG: Duration = Duration::from_millis(500);

/// The longest that other work keeps frames waiting for the sake of its share.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Shares a shard's time between frames, which overtake all other work, and that work.
///
/// After frames have been sent, everything else gets a quarter of the time that they took before the next may overtake it.
/// So a shard whose frames fill all its time still answers consent checks, handshakes and reports.
pub(super) struct Share {
    served_at: Instant,
    pause: Duration,
}

impl Share {
    pub(super) fn new(now: Instant) -> Self {
        Self { served_at: now, pause: Duration::ZERO }
    }

    /// Whether frames may overtake other work.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.served_at) >= self.pause
    }

    /// Frames have been sent between two points in time.
    pub(super) fn served(&mut self, from: Instant, until: Instant) {
        self.served_at = until;
        self.pause = (until.saturating_duration_since(from) / 4).min(MAX_PAUSE);
    }
}

/// Whether the next command is a frame that has waited too long.
pub(super) fn is_late(commands: &VecDeque<Command>, now: Instant) -> bool {
    matches!(commands.front(), Some(Command::Frame { queued_at, .. }) if lag(*queued_at, now) > MAX_LAG)
}

/// Drops frames by the policy. Returns how many.
pub(super) fn shed(commands: &mut VecDeque<Command>, now: Instant) -> usize {
    // Where each broadcast's newest keyframe stands, if it is young enough.
    let mut keyframes: HashMap<BroadcastId, usize> = HashMap::new();
    for (place, command) in commands.iter().enumerate() {
        if let Command::Frame { broadcast, frame, queued_at } = command
            && frame.keyframe
            && frame.codec.kind() == MediaKind::Video
            && lag(*queued_at, now) <= MAX_KEYFRAME_LAG
        {
            keyframes.insert(*broadcast, place);
        }
    }
    let before = commands.len();
    let mut place = 0;
    commands.retain(|command| {
        let here = place;
        place += 1;
        let Command::Frame { broadcast, frame, queued_at } = command else { return true };
        match frame.codec.kind() {
            MediaKind::Video => keyframes.get(broadcast).is_some_and(|first| here >= *first),
            MediaKind::Audio => lag(*queued_at, now) <= MAX_LAG,
        }
    });
    before - commands.len()
}

pub(super) fn lag(queued_at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(queued_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_proto::{Codec, PacketizedFrame, RtpCodec};
    use rtcast_track::Broadcast;
    use std::sync::Arc;

    #[test]
    fn other_work_gets_its_share() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut share = Share::new(start);
        assert!(share.is_due(start));

        share.served(start, at(40));
        assert!(!share.is_due(at(49)), "a quarter of 40 ms has not passed");
        assert!(share.is_due(at(50)));

        share.served(at(50), at(1050));
        assert!(!share.is_due(at(1069)));
        assert!(share.is_due(at(1070)), "frames do not wait for a quarter of a second");
    }

    struct Queue {
        start: Instant,
        commands: VecDeque<Command>,
    }

    impl Queue {
        fn new() -> Self {
            Self { start: Instant::now(), commands: VecDeque::new() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// Queues a frame whose packet index is the time at which it was queued.
        fn push(&mut self, broadcast: &Broadcast, milliseconds: u64, keyframe: bool) {
            let queued_at = self.at(milliseconds);
            let frame = PacketizedFrame::new(broadcast.codec().codec, 0, keyframe, queued_at, milliseconds);
            self.commands.push_back(Command::Frame { broadcast: broadcast.id(), frame: Arc::new(frame), queued_at });
        }

        fn kept(&self) -> Vec<u64> {
            let times = self.commands.iter().map(|command| match command {
                Command::Frame { frame, .. } => frame.first_packet,
                _ => u64::MAX,
            });
            times.collect()
        }
    }

    #[test]
    fn what_is_kept_begins_at_the_newest_young_keyframe() {
        let video = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let mut queue = Queue::new();
        for (at, keyframe) in [(0, true), (33, false), (66, true), (99, false), (132, true), (165, false)] {
            queue.push(&video, at, keyframe);
        }
        assert!(!is_late(&queue.commands, queue.at(250)));
        let now = queue.at(300);
        assert!(is_late(&queue.commands, now));
        assert_eq!(shed(&mut queue.commands, now), 4);
        assert_eq!(queue.kept(), [132, 165]);
        let now = queue.at(700);
        assert_eq!(shed(&mut queue.commands, now), 2, "a keyframe that old would only carry the delay on");
    }

    #[test]
    fn streams_are_judged_each_for_itself_and_other_work_is_never_dropped() {
        let [first, second] = [(); 2].map(|()| Broadcast::new(RtpCodec::new(Codec::Vp8)));
        let sound = Broadcast::new(RtpCodec::new(Codec::Opus));
        let mut queue = Queue::new();
        queue.push(&first, 0, false);
        queue.push(&sound, 1, true);
        queue.commands.push_back(Command::Stop);
        queue.push(&second, 50, true);
        queue.push(&first, 60, false);
        queue.push(&sound, 200, true);
        let now = queue.at(300);
        assert_eq!(shed(&mut queue.commands, now), 3);
        assert_eq!(queue.kept(), [u64::MAX, 50, 200]);
    }
}
