//! A sink for who would rather wait for frames than be handed them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener, Listener};
use rtcast_proto::{Frame, KeyframeGate, MediaKind, PacketizedFrame};

use crate::broadcast::{Broadcast, FrameSink, Subscription};
use crate::lock;
use crate::source::FrameSource;
use crate::track::{Inner as Track, TrackId, TrackObserver};

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
    fn append(&mut self, other: &Self) {
        self.dropped += other.dropped;
        for frame in &other.frames {
            // The source has been asked if a keyframe is missing there.
            let _ = self.push(frame);
        }
        if !other.gate.is_open() {
            self.gate.close();
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.data.len();
        Some(frame)
    }
}

/// The frames between a broadcast and a reader.
pub(crate) struct Queue {
    state: Mutex<State>,
    event: Event,
}

struct State {
    backlog: Backlog,
    /// Nothing follows from the broadcast that is read now; with a track, another may come.
    ended: bool,
    /// Whether it ends with its broadcast.
    of_broadcast: bool,
}

impl Queue {
    fn new(kind: MediaKind, of_broadcast: bool) -> Arc<Self> {
        let state = State { backlog: Backlog::new(kind), ended: false, of_broadcast };
        Arc::new(Self { state: Mutex::new(state), event: Event::new() })
    }

    fn join(self: &Arc<Self>, broadcast: &Broadcast) -> Subscription {
        let sink = Arc::clone(self) as Arc<dyn FrameSink>;
        let makes_keyframes = broadcast.makes_keyframes();
        let mut late = false;
        let prepare = |started, opening: Option<Backlog>| {
            let backlog = &mut lock(&self.state).backlog;
            match opening {
                Some(opening) => backlog.append(&opening),
                None if started && makes_keyframes => {
                    backlog.gate.close();
                    late = !backlog.gate.is_open();
                }
                None => {}
            }
        };
        let subscription = broadcast.join(&sink, prepare).0;
        if late {
            broadcast.request_keyframe();
        }
        subscription
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.event.notify(usize::MAX);
    }
}

impl FrameSink for Queue {
    fn deliver(&self, broadcast: &Broadcast, frame: &Frame, _: &Arc<PacketizedFrame>) {
        if lock(&self.state).backlog.push(frame) {
            broadcast.request_keyframe();
        }
        self.event.notify(usize::MAX);
    }

    fn ended(&self, _: &Broadcast) {
        let of_broadcast = lock(&self.state).of_broadcast;
        if of_broadcast {
            self.end();
        }
    }
}

/// Joins the queue to the best rendition of a track, whichever that is.
pub(crate) struct Follower {
    queue: Arc<Queue>,
    subscription: Mutex<Option<Subscription>>,
    track: Weak<Track>,
}

impl Follower {
    fn follow(&self) {
        let Some(track) = self.track.upgrade() else { return self.queue.end() };
        let mut subscription = lock(&self.subscription);
        if track.ended() {
            *subscription = None;
            drop(subscription);
            return self.queue.end();
        }
        let best = track.renditions().into_iter().find(|broadcast| !broadcast.is_closed());
        if best.as_ref() != subscription.as_ref().map(Subscription::broadcast) {
            // The new one is joined before the old one is left, so that nobody is told that nobody wants the track.
            let joined = best.map(|best| self.queue.join(&best));
            *subscription = joined;
        }
    }
}

impl TrackObserver for Follower {
    fn track_changed(&self, _: TrackId) {
        self.follow();
    }
}

/// Reads the frames of a track or of a broadcast.
///
/// Frames that are not read wait, up to 256 of them and 8 MiB; then the oldest are lost, of pictures up to a keyframe.
/// What is read counts as demand until the reader is dropped.
pub struct FrameReader {
    kind: MediaKind,
    queue: Arc<Queue>,
    reads: Reads,
    listener: Option<EventListener>,
}

enum Reads {
    Broadcast(Subscription),
    Track(Arc<Follower>),
}

impl FrameReader {
    pub(crate) fn of_broadcast(broadcast: &Broadcast) -> Self {
        let kind = broadcast.codec().codec.kind();
        let queue = Queue::new(kind, true);
        let subscription = queue.join(broadcast);
        if broadcast.is_closed() {
            queue.end();
        }
        Self { kind, queue, reads: Reads::Broadcast(subscription), listener: None }
    }

    /// A reader that goes along with the changes of a track's renditions, and the observer that is to be told of them.
    pub(crate) fn of_track(track: &Arc<Track>) -> (Self, Arc<Follower>) {
        let (kind, queue) = (track.kind(), Queue::new(track.kind(), false));
        let follower = Arc::new(Follower {
            queue: Arc::clone(&queue),
            subscription: Mutex::default(),
            track: Arc::downgrade(track),
        });
        follower.follow();
        (Self { kind, queue, reads: Reads::Track(Arc::clone(&follower)), listener: None }, follower)
    }

    /// Sound or pictures.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The next frame; `None` once the track or broadcast has ended.
    pub async fn recv(&mut self) -> Option<Frame> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The same for who polls by hand.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        loop {
            if let Some(next) = self.next() {
                self.listener = None;
                return Poll::Ready(next);
            }
            match &mut self.listener {
                // What comes between the look above and this is seen by the next look.
                None => self.listener = Some(self.queue.event.listen()),
                Some(listener) => {
                    ready!(Pin::new(listener).poll(context));
                    self.listener = None;
                }
            }
        }
    }

    /// Blocks until the next frame has come; `None` once the track or broadcast has ended.
    pub fn recv_blocking(&mut self) -> Option<Frame> {
        loop {
            let listener = self.queue.event.listen();
            if let Some(next) = self.next() {
                return next;
            }
            listener.wait();
        }
    }

    /// The next frame, if it has come.
    pub fn try_recv(&mut self) -> Option<Frame> {
        lock(&self.queue.state).backlog.pop()
    }

    /// How many frames were lost because they were not read.
    pub fn frames_dropped(&self) -> u64 {
        lock(&self.queue.state).backlog.dropped
    }

    /// Asks the source for a keyframe.
    pub fn request_keyframe(&self) {
        match &self.reads {
            Reads::Broadcast(subscription) => subscription.broadcast().request_keyframe(),
            Reads::Track(follower) => {
                if let Some(subscription) = &*lock(&follower.subscription) {
                    subscription.broadcast().request_keyframe();
                }
            }
        }
    }

    /// The next frame or the end, or what to wait for before asking again.
    pub(crate) fn next_or_listener(&self) -> Result<Option<Frame>, EventListener> {
        let listener = self.queue.event.listen();
        self.next().ok_or(listener)
    }

    /// The next frame or the end, if either has come.
    fn next(&self) -> Option<Option<Frame>> {
        let mut state = lock(&self.queue.state);
        let frame = state.backlog.pop();
        (frame.is_some() || state.ended).then_some(frame)
    }
}

impl FrameSource for FrameReader {
    fn kind(&self) -> MediaKind {
        self.kind
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.poll_recv(context)
    }

    fn request_keyframe(&self) {
        Self::request_keyframe(self);
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("kind", &self.kind).finish_non_exhaustive()
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
