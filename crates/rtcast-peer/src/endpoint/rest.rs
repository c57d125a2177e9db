//! How long a shard rests between two looks at its sockets and timers.
//!
//! With thousands of connections something small comes all the time: a report, a consent check, a timer. Woken up by each,
//! the thread would spend most of its time on falling asleep; so it lets them gather for a moment, the longer the more
//! connections there are. Frames and calls wake it up all the same.

use std::time::Duration;

/// So many connections make a shard rest for a millisecond, the finest that the system's poll can wait for.
const CONNECTIONS_A_MILLISECOND: usize = 500;

/// The longest rest, in milliseconds. Round-trip times to a shard that is so full grow by that at most.
const LONGEST: usize = 4;

/// How long a shard of so many connections rests.
pub(super) const fn rest(connections: usize) -> Duration {
    let milliseconds = connections / CONNECTIONS_A_MILLISECOND;
    Duration::from_millis(if milliseconds < LONGEST { milliseconds } else { LONGEST } as u64)
}
