//! Tracks that the peer sends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rtcast_proto::jsep::RemoteTrack as RemoteTrackDescription;
use rtcast_proto::{EncodedFrame, MediaKind, Mid};
use tokio::sync::Notify;

/// Frames that wait for a reader: some seconds of either kind.
const CAPACITY: usize = 256;

/// A track that the peer sends: its frames, encoded.
///
/// A reader that is slower than the track loses the oldest frames; of pictures it goes on with a keyframe. Clones share
/// the frames: each frame goes to one of them.
#[derive(Debug, Clone)]
pub struct RemoteTrack {
    description: Arc<RemoteTrackDescription>,
    queue: Arc<FrameQueue>,
}

impl RemoteTrack {
    pub(super) fn new(description: RemoteTrackDescription, queue: Arc<FrameQueue>) -> Self {
        Self { description: Arc::new(description), queue }
    }

    /// The peer's name of the track.
    pub fn id(&self) -> &str {
        &self.description.track_id
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.description.kind
    }

    /// The m-line that it came with.
    pub fn mid(&self) -> &Mid {
        &self.description.mid
    }

    /// The next frame; `None` once the peer has stopped sending or the connection is closed.
    pub async fn recv(&self) -> Option<EncodedFrame> {
        loop {
            let notified = self.queue.notify.notified();
            match self.queue.pop() {
                Popped::Frame(frame) => return Some(frame),
                Popped::Closed => return None,
                Popped::Empty => notified.await,
            }
        }
    }

    /// How many frames were lost because the reader was too slow.
    pub fn frames_dropped(&self) -> u64 {
        self.queue.lock().dropped
    }
}

/// The frames between a shard and a reader.
#[derive(Debug)]
pub(super) struct FrameQueue {
    kind: MediaKind,
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<EncodedFrame>,
    closed: bool,
    dropped: u64,
}

enum Popped {
    Frame(EncodedFrame),
    Empty,
    Closed,
}

impl FrameQueue {
    pub(super) fn new(kind: MediaKind) -> Self {
        Self { kind, state: Mutex::default(), notify: Notify::new() }
    }

    pub(super) fn push(&self, frame: EncodedFrame) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.frames.push_back(frame);
        if state.frames.len() > CAPACITY {
            // What is left must be decodable: pictures go up to the next keyframe, or altogether.
            let from = match self.kind {
                MediaKind::Audio => 1,
                MediaKind::Video => {
                    let next = state.frames.iter().skip(1).position(|frame| frame.keyframe);
                    next.map_or(state.frames.len(), |position| position + 1)
                }
            };
            state.frames.drain(..from);
            state.dropped += from as u64;
        }
        drop(state);
        self.notify.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.notify.notify_waiters();
        self.notify.notify_one();
    }

    fn pop(&self) -> Popped {
        let mut state = self.lock();
        match state.frames.pop_front() {
            Some(frame) => Popped::Frame(frame),
            None if state.closed => Popped::Closed,
            None => Popped::Empty,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_proto::{Codec, MediaTime};

    fn frame(number: usize) -> EncodedFrame {
        EncodedFrame {
            codec: Codec::Vp8,
            data: vec![number as u8].into(),
            timestamp: MediaTime::from_micros(number as i64),
            keyframe: number.is_multiple_of(100),
        }
    }

    #[test]
    fn a_slow_reader_goes_on_with_a_keyframe() {
        let queue = FrameQueue::new(MediaKind::Video);
        (0..=CAPACITY).for_each(|number| queue.push(frame(number)));
        let Popped::Frame(first) = queue.pop() else { panic!("a frame") };
        assert!(first.keyframe);
        assert_eq!(first.timestamp, MediaTime::from_micros(100));
        assert_eq!(queue.lock().dropped, 100);
        queue.close();
        let rest = std::iter::from_fn(|| matches!(queue.pop(), Popped::Frame(_)).then_some(())).count();
        assert_eq!(rest, CAPACITY - 100);
        assert!(matches!(queue.pop(), Popped::Closed));
    }
}
