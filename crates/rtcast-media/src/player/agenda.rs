//! What is to be done at which media time.

use std::collections::BTreeMap;

use rtcast_track::{Frame, MediaTime};

use crate::packet::Packet;

/// The most tasks and bytes that wait; reading ahead stops there.
const TASKS: usize = 4_096;
const BYTES: usize = 64 << 20;

/// One thing to do.
pub(super) enum Task {
    /// Send a frame by the broadcast of this index.
    Send(usize, Frame),
    /// Decode pictures, if anybody wants them.
    DecodeVideo(Packet),
    /// Decode sound, if anybody wants it.
    DecodeAudio(Packet),
    /// The pictures begin anew, or end.
    RewindVideo,
    /// The sound begins anew, or ends.
    RewindAudio,
    /// The source has ended.
    Ended,
}

/// Tasks in the order of their times, and among equals in the order in which they were added.
#[derive(Default)]
pub(super) struct Agenda {
    tasks: BTreeMap<(MediaTime, u64), Task>,
    added: u64,
    bytes: usize,
}

impl Agenda {
    pub(super) fn add(&mut self, time: MediaTime, task: Task) {
        self.bytes += task.bytes();
        self.tasks.insert((time, self.added), task);
        self.added += 1;
    }

    /// When the first task is due.
    pub(super) fn next_time(&self) -> Option<MediaTime> {
        self.tasks.first_key_value().map(|((time, _), _)| *time)
    }

    /// The first task, if it is due by then, and its time.
    pub(super) fn take_due(&mut self, by: MediaTime) -> Option<(MediaTime, Task)> {
        let entry = self.tasks.first_entry().filter(|entry| entry.key().0 <= by)?;
        let ((time, _), task) = entry.remove_entry();
        self.bytes -= task.bytes();
        Some((time, task))
    }

    /// How many tasks wait.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.tasks.len() >= TASKS || self.bytes >= BYTES
    }
}

impl Task {
    fn bytes(&self) -> usize {
        match self {
            Self::Send(_, frame) => frame.data.len(),
            Self::DecodeVideo(packet) | Self::DecodeAudio(packet) => packet.chunk.data.len(),
            Self::RewindVideo | Self::RewindAudio | Self::Ended => 0,
        }
    }
}
