//! Tracks that the peer sends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rtcast_proto::{EncodedFrame, MediaKind, Mid};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};

/// Frames that wait for a reader: some seconds of either kind.
const CAPACITY: usize = 256;

/// State changes that a listener may lag behind before it loses the oldest.
const STATE_CAPACITY: usize = 16;

/// A track that the peer sends: its frames, encoded. W3C's `MediaStreamTrack` of a receiver.
///
/// It belongs to its receiver for life: muted while the peer sends nothing, ended when the transceiver is stopped or the
/// connection closed. A reader that is slower than the track loses the oldest frames; of pictures it goes on with a
/// keyframe. Clones share the frames: each frame goes to one of them.
#[derive(Debug, Clone)]
pub struct RemoteTrack {
    description: Arc<Description>,
    queue: Arc<FrameQueue>,
}

#[derive(Debug)]
struct Description {
    id: String,
    mid: Option<Mid>,
}

/// What happens to a track, by the W3C's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackStateChange {
    /// `mute`: the peer sends nothing for now.
    Mute,
    /// `unmute`: frames come.
    Unmute,
    /// `ended`: the transceiver was stopped by either side. A closed connection ends its tracks without a word.
    Ended,
}

impl RemoteTrack {
    pub(super) fn new(id: String, kind: MediaKind, mid: Option<Mid>, queue: Arc<FrameQueue>) -> Self {
        debug_assert_eq!(kind, queue.kind);
        Self { description: Arc::new(Description { id, mid }), queue }
    }

    /// The peer's name of the track, or one that was made up before it told one.
    pub fn id(&self) -> &str {
        &self.description.id
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.queue.kind
    }

    /// The m-line that it came with, if it had one when the handle was made.
    pub fn mid(&self) -> Option<&Mid> {
        self.description.mid.as_ref()
    }

    /// Whether nothing comes for now.
    pub fn muted(&self) -> bool {
        !self.queue.lock().flowing
    }

    /// Whether nothing comes any more: W3C's `readyState`.
    pub fn ended(&self) -> bool {
        self.queue.lock().closed
    }

    /// The changes from now on: `mute`, `unmute`, `ended`.
    pub fn state_changes(&self) -> TrackStateStream {
        TrackStateStream { receiver: self.queue.changes() }
    }

    /// Calls `callback` for every change from now on. The callback runs on a task that ends with the track. To be called
    /// within a tokio runtime.
    pub fn on_state_change(&self, mut callback: impl FnMut(TrackStateChange) + Send + 'static) {
        let mut changes = self.state_changes();
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                callback(change);
            }
        });
    }

    /// The next frame, however long the track is muted; `None` once it has ended.
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

/// The changes of a track's state.
#[derive(Debug)]
pub struct TrackStateStream {
    receiver: Option<broadcast::Receiver<TrackStateChange>>,
}

impl TrackStateStream {
    /// The next change; `None` once the track has ended. A listener that lags far behind loses the oldest.
    pub async fn recv(&mut self) -> Option<TrackStateChange> {
        loop {
            match self.receiver.as_mut()?.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The frames between a shard and a reader.
#[derive(Debug)]
pub(super) struct FrameQueue {
    kind: MediaKind,
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<EncodedFrame>,
    /// Frames came since the track was muted last.
    flowing: bool,
    closed: bool,
    dropped: u64,
    /// Gone when the track has ended.
    changes: Option<broadcast::Sender<TrackStateChange>>,
}

impl State {
    fn tell(&self, change: TrackStateChange) {
        if let Some(changes) = &self.changes {
            // Nobody need listen.
            let _ = changes.send(change);
        }
    }
}

enum Popped {
    Frame(EncodedFrame),
    Empty,
    Closed,
}

impl FrameQueue {
    pub(super) fn new(kind: MediaKind) -> Self {
        let state = State {
            frames: VecDeque::new(),
            flowing: false,
            closed: false,
            dropped: 0,
            changes: Some(broadcast::Sender::new(STATE_CAPACITY)),
        };
        Self { kind, state: Mutex::new(state), notify: Notify::new() }
    }

    pub(super) fn push(&self, frame: EncodedFrame) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if !state.flowing {
            state.flowing = true;
            state.tell(TrackStateChange::Unmute);
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

    /// The peer sends nothing for now.
    pub(super) fn mute(&self) {
        let mut state = self.lock();
        if state.flowing && !state.closed {
            state.flowing = false;
            state.tell(TrackStateChange::Mute);
        }
    }

    /// Nothing comes any more; `told` says whether listeners hear of it.
    pub(super) fn close(&self, told: bool) {
        let mut state = self.lock();
        if told && !state.closed {
            state.tell(TrackStateChange::Ended);
        }
        state.closed = true;
        state.flowing = false;
        state.changes = None;
        drop(state);
        self.notify.notify_waiters();
        self.notify.notify_one();
    }

    fn changes(&self) -> Option<broadcast::Receiver<TrackStateChange>> {
        self.lock().changes.as_ref().map(broadcast::Sender::subscribe)
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
            color_space: None,
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
        queue.close(false);
        let rest = std::iter::from_fn(|| matches!(queue.pop(), Popped::Frame(_)).then_some(())).count();
        assert_eq!(rest, CAPACITY - 100);
        assert!(matches!(queue.pop(), Popped::Closed));
    }
}
