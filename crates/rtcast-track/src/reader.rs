//! A sink for who would rather wait for frames than be handed them.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener, Listener};
use rtcast_proto::{Frame, MediaKind, PacketizedFrame};

use crate::backlog::Backlog;
use crate::broadcast::{Broadcast, FrameSink, Subscription};
use crate::lock;
use crate::source::FrameSource;

/// Who looks for what follows when a broadcast has ended.
pub(crate) trait Next: Send + Sync {
    fn rendition_ended(&self);
}

/// The frames between a broadcast and a reader.
pub(crate) struct Queue {
    kind: MediaKind,
    state: Mutex<State>,
    event: Event,
    next: OnceLock<Weak<dyn Next>>,
}

struct State {
    backlog: Backlog,
    /// Nothing follows from the broadcast that is read now; with a track, another may come.
    ended: bool,
    /// Whether it ends with its broadcast.
    of_broadcast: bool,
}

impl Queue {
    /// An empty queue, which ends with the broadcast that it has joined, or only when it is told to.
    pub(crate) fn new(kind: MediaKind, of_broadcast: bool) -> Arc<Self> {
        let state = State { backlog: Backlog::new(kind), ended: false, of_broadcast };
        Arc::new(Self { kind, state: Mutex::new(state), event: Event::new(), next: OnceLock::new() })
    }

    /// Says who looks for what follows; once.
    pub(crate) fn set_next(&self, next: Weak<dyn Next>) {
        // It is set where the queue is made, and nowhere else.
        let _ = self.next.set(next);
    }

    /// Joins a broadcast, whose frames follow those that are here.
    pub(crate) fn join(self: &Arc<Self>, broadcast: &Broadcast) -> Subscription {
        let sink = Arc::clone(self) as Arc<dyn FrameSink>;
        let makes_keyframes = broadcast.makes_keyframes();
        let mut late = false;
        let prepare = |started, opening: Option<Backlog>| {
            let backlog = &mut lock(&self.state).backlog;
            match opening {
                Some(opening) => {
                    backlog.append(&opening);
                    late = backlog.needs_keyframe();
                }
                None if started && makes_keyframes => {
                    backlog.wait_for_keyframe();
                    late = backlog.needs_keyframe();
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

    /// Nothing follows.
    pub(crate) fn end(&self) {
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
        if lock(&self.state).of_broadcast {
            self.end();
        } else if let Some(next) = self.next.get().and_then(Weak::upgrade) {
            next.rendition_ended();
        }
    }
}

/// Reads the frames of a track or of a broadcast.
///
/// Frames that are not read wait, up to 256 of them and 8 MiB; then the oldest are lost, of pictures up to a keyframe.
/// What is read counts as demand until the reader is dropped.
///
/// ```
/// use std::time::Instant;
/// use rtcast_track::{Broadcast, Codec, Frame, MediaTime, RtpCodec};
///
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Opus));
/// let mut reader = broadcast.subscribe_frames();
/// let sound = Frame::new(Codec::Opus, vec![0xfc, 0xff, 0xfe], MediaTime::ZERO);
/// broadcast.send(&sound, Instant::now());
/// broadcast.close();
/// assert_eq!(reader.recv_blocking(), Some(sound));
/// assert_eq!(reader.recv_blocking(), None, "it has ended");
/// ```
pub struct FrameReader {
    queue: Arc<Queue>,
    reads: Box<dyn Reads>,
    listener: Option<EventListener>,
}

/// What a reader reads, for as long as it does.
pub(crate) trait Reads: Send + Sync {
    fn request_keyframe(&self);
}

impl Reads for Subscription {
    fn request_keyframe(&self) {
        self.broadcast().request_keyframe();
    }
}

impl Broadcast {
    /// The frames as they are sent from now on, for whoever records or inspects them in this process. Counts as demand
    /// until it is dropped.
    pub fn subscribe_frames(&self) -> FrameReader {
        let queue = Queue::new(self.codec().codec.kind(), true);
        let subscription = queue.join(self);
        if self.is_closed() {
            queue.end();
        }
        FrameReader::new(queue, subscription)
    }
}

impl FrameReader {
    /// Reads what `reads` brings to the queue.
    pub(crate) fn new(queue: Arc<Queue>, reads: impl Reads + 'static) -> Self {
        Self { queue, reads: Box::new(reads), listener: None }
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.queue.kind
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
        lock(&self.queue.state).backlog.dropped()
    }

    /// Asks the source for a keyframe.
    pub fn request_keyframe(&self) {
        self.reads.request_keyframe();
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
        self.queue.kind
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
        f.debug_struct("FrameReader").field("kind", &self.queue.kind).finish_non_exhaustive()
    }
}
