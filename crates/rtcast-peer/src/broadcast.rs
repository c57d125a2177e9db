//! One encoded stream for any number of viewers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rtcast_proto::payload::Packetizer;
use rtcast_proto::{EncodedFrame, MediaKind, PacketizedFrame, RtpCodec};
use tokio::sync::{broadcast, watch};
use tracing::debug;

/// What header extensions may take of a packet: the head of their block (4 bytes), the number by which a transport counts
/// its packets (3), the colour space on a keyframe's last packet (5), and the name of the m-line, up to 7 characters (8).
const HEADER_EXTENSIONS: usize = 20;

/// The longest payload: 1,200 bytes of UDP, which every path carries, less RTP header, header extensions, authentication
/// tag and the two bytes by which a retransmission grows.
const MAX_PAYLOAD: usize = 1_200 - 12 - HEADER_EXTENSIONS - 16 - 2;

/// How much of the stream is kept for late joiners: a group of pictures beyond this is not kept, and a late joiner waits
/// for the next keyframe.
const MAX_GROUP_FRAMES: usize = 600;
const MAX_GROUP_BYTES: usize = 16 << 20;

/// Frames that a local listener may lag behind before it loses the oldest.
const LISTENER_CAPACITY: usize = 256;

/// Which broadcast a frame belongs to, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BroadcastId(u64);

/// Where frames go: a shard of the network.
pub(crate) trait FrameSink: Send + Sync {
    /// Takes a frame; never blocks.
    fn deliver(&self, broadcast: BroadcastId, frame: &Arc<PacketizedFrame>);

    /// The broadcast has ended.
    fn ended(&self, broadcast: BroadcastId);
}

/// One encoded stream that any number of senders may send.
///
/// A frame that goes in is cut into packets once; each shard of the network with a viewer gets a reference to the same
/// packets. The last group of pictures is kept, so that a late joiner sees a picture at once. Cheap to clone; all clones
/// are one stream.
#[derive(Clone)]
pub struct Broadcast {
    inner: Arc<Inner>,
}

struct Inner {
    id: BroadcastId,
    codec: RtpCodec,
    state: Mutex<State>,
    demand: watch::Sender<usize>,
    keyframe_requests: watch::Sender<u64>,
    listeners: broadcast::Sender<EncodedFrame>,
}

struct State {
    packetizer: Packetizer,
    keeps_group: bool,
    group: Vec<Arc<PacketizedFrame>>,
    group_bytes: usize,
    sinks: Vec<Sink>,
    /// A frame has been sent.
    started: bool,
    closed: bool,
}

struct Sink {
    sink: Arc<dyn FrameSink>,
    subscribers: usize,
}

impl Broadcast {
    /// A stream of this codec without viewers.
    pub fn new(codec: RtpCodec) -> Self {
        Self::build(codec, true)
    }

    /// The same for a source that makes a keyframe upon request: nothing is kept for late joiners, each counts as a
    /// request for a keyframe instead.
    pub fn with_keyframes_on_request(codec: RtpCodec) -> Self {
        Self::build(codec, false)
    }

    fn build(codec: RtpCodec, keeps_group: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let state = State {
            packetizer: Packetizer::of(&codec, MAX_PAYLOAD),
            keeps_group,
            group: Vec::new(),
            group_bytes: 0,
            sinks: Vec::new(),
            started: false,
            closed: false,
        };
        Self {
            inner: Arc::new(Inner {
                id: BroadcastId(NEXT.fetch_add(1, Ordering::Relaxed)),
                codec,
                state: Mutex::new(state),
                demand: watch::Sender::new(0),
                keyframe_requests: watch::Sender::new(0),
                listeners: broadcast::Sender::new(LISTENER_CAPACITY),
            }),
        }
    }

    /// The codec and its parameters.
    pub fn codec(&self) -> &RtpCodec {
        &self.inner.codec
    }

    /// Sends a frame to everybody who wants it; `captured_at` is when it was captured or due, from which receivers
    /// align sound and pictures.
    ///
    /// Never blocks: a viewer whose network is slower than the stream loses whole frames, the stream goes on. A frame
    /// that cannot be packetised (of another codec, or empty) is dropped and logged.
    pub fn send(&self, frame: &EncodedFrame, captured_at: Instant) {
        if self.inner.listeners.receiver_count() > 0 {
            // An error means that the last listener has just left.
            let _ = self.inner.listeners.send(frame.clone());
        }
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let packets = match state.packetizer.packetize(frame, captured_at) {
            Ok(packets) => Arc::new(packets),
            Err(error) => {
                debug!(%error, "a frame was dropped");
                return;
            }
        };
        state.started = true;
        if state.keeps_group && self.inner.codec.codec.kind() == MediaKind::Video {
            state.keep(&packets);
        }
        for sink in &state.sinks {
            sink.sink.deliver(self.inner.id, &packets);
        }
    }

    /// How many connected senders and local listeners want the stream now. At zero nobody would notice if nothing were
    /// encoded.
    pub fn demand(&self) -> watch::Receiver<usize> {
        self.inner.demand.subscribe()
    }

    /// A count that grows whenever a viewer needs a keyframe: after loss, or when it joins and none is kept. Several
    /// requests may arrive as one change.
    pub fn keyframe_requests(&self) -> watch::Receiver<u64> {
        self.inner.keyframe_requests.subscribe()
    }

    /// The frames as they are sent, for whoever records or inspects them in this process. A listener that lags behind
    /// loses the oldest. Counts as demand until it is dropped.
    pub fn subscribe_frames(&self) -> FrameSubscription {
        let receiver = self.inner.listeners.subscribe();
        self.inner.demand.send_modify(|demand| *demand += 1);
        FrameSubscription { receiver, broadcast: self.clone() }
    }

    /// Ends the stream; later frames are ignored. Closing twice is fine.
    pub fn close(&self) {
        let sinks = {
            let mut state = self.lock();
            state.closed = true;
            state.group = Vec::new();
            std::mem::take(&mut state.sinks)
        };
        for sink in sinks {
            sink.sink.ended(self.inner.id);
        }
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether somebody who joins now need not wait for a keyframe that comes when it comes.
    pub(crate) fn shows_at_once(&self) -> bool {
        let state = self.lock();
        let sound = self.inner.codec.codec.kind() == MediaKind::Audio;
        sound || !state.started || !state.keeps_group || !state.group.is_empty()
    }

    /// Whether its source makes a keyframe upon request.
    pub(crate) fn makes_keyframes(&self) -> bool {
        !self.lock().keeps_group
    }

    pub(crate) fn id(&self) -> BroadcastId {
        self.inner.id
    }

    /// Adds a viewer behind this sink. Returns the kept group of pictures; frames sent later reach the sink.
    pub(crate) fn subscribe(&self, sink: &Arc<dyn FrameSink>) -> Vec<Arc<PacketizedFrame>> {
        let group = {
            let mut state = self.lock();
            let closed = state.closed;
            match state.sinks.iter_mut().find(|known| Arc::ptr_eq(&known.sink, sink)) {
                Some(known) => known.subscribers += 1,
                None if closed => {}
                None => state.sinks.push(Sink { sink: Arc::clone(sink), subscribers: 1 }),
            }
            state.group.clone()
        };
        self.inner.demand.send_modify(|demand| *demand += 1);
        group
    }

    /// The group of pictures that is kept, up to the last frame that was sent; empty if none is.
    pub(crate) fn group(&self) -> Vec<Arc<PacketizedFrame>> {
        self.lock().group.clone()
    }

    /// Takes back one [`subscribe`](Self::subscribe).
    pub(crate) fn unsubscribe(&self, sink: &Arc<dyn FrameSink>) {
        {
            let mut state = self.lock();
            if let Some(at) = state.sinks.iter().position(|known| Arc::ptr_eq(&known.sink, sink)) {
                state.sinks[at].subscribers -= 1;
                if state.sinks[at].subscribers == 0 {
                    state.sinks.swap_remove(at);
                }
            }
        }
        self.inner.demand.send_modify(|demand| *demand = demand.saturating_sub(1));
    }

    pub(crate) fn request_keyframe(&self) {
        self.inner.keyframe_requests.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the list of viewers usable.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("id", &self.inner.id.0)
            .field("codec", &self.inner.codec)
            .field("demand", &*self.inner.demand.borrow())
            .finish()
    }
}

impl State {
    fn keep(&mut self, packets: &Arc<PacketizedFrame>) {
        if packets.keyframe {
            self.group.clear();
            self.group_bytes = 0;
        } else if self.group.is_empty() {
            return;
        }
        self.group_bytes += packets.payload_bytes();
        if self.group.len() >= MAX_GROUP_FRAMES || self.group_bytes > MAX_GROUP_BYTES {
            self.group = Vec::new();
            self.group_bytes = 0;
            return;
        }
        self.group.push(Arc::clone(packets));
    }
}

/// A local listener to a [`Broadcast`].
#[derive(Debug)]
pub struct FrameSubscription {
    receiver: broadcast::Receiver<EncodedFrame>,
    broadcast: Broadcast,
}

impl FrameSubscription {
    /// The next frame; `None` once the broadcast is gone. Frames lost by lagging are skipped.
    pub async fn recv(&mut self) -> Option<EncodedFrame> {
        loop {
            match self.receiver.recv().await {
                Ok(frame) => return Some(frame),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for FrameSubscription {
    fn drop(&mut self) {
        self.broadcast.inner.demand.send_modify(|demand| *demand = demand.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_proto::{Codec, MediaTime};

    #[derive(Default)]
    struct Counter(Mutex<Vec<u64>>);

    impl FrameSink for Counter {
        fn deliver(&self, _: BroadcastId, frame: &Arc<PacketizedFrame>) {
            self.0.lock().unwrap().push(frame.first_packet);
        }

        fn ended(&self, _: BroadcastId) {
            self.0.lock().unwrap().push(u64::MAX);
        }
    }

    fn frame(keyframe: bool) -> EncodedFrame {
        // A VP8 frame tag: the lowest bit is clear for a keyframe.
        let mut data = vec![if keyframe { 0x10 } else { 0x11 }; 3_000];
        data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
        EncodedFrame { codec: Codec::Vp8, data: data.into(), timestamp: MediaTime::ZERO, keyframe, color_space: None }
    }

    #[test]
    fn a_late_joiner_gets_the_group_and_every_sink_one_reference() {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        for keyframe in [false, true, false, true, false] {
            broadcast.send(&frame(keyframe), Instant::now());
        }
        let counter = Arc::new(Counter::default());
        let sink: Arc<dyn FrameSink> = counter.clone();
        let group = broadcast.subscribe(&sink);
        assert_eq!(group.iter().map(|frame| frame.keyframe).collect::<Vec<_>>(), [true, false]);
        broadcast.subscribe(&sink);
        assert_eq!(*broadcast.demand().borrow(), 2);
        broadcast.send(&frame(false), Instant::now());
        broadcast.unsubscribe(&sink);
        broadcast.send(&frame(false), Instant::now());
        broadcast.close();
        broadcast.close();
        assert_eq!(*counter.0.lock().unwrap(), [15, 18, u64::MAX]);
    }

    #[test]
    fn nothing_is_kept_where_keyframes_come_on_request() {
        let broadcast = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
        broadcast.send(&frame(true), Instant::now());
        let sink: Arc<dyn FrameSink> = Arc::new(Counter::default());
        assert!(broadcast.subscribe(&sink).is_empty());
    }

    #[tokio::test]
    async fn a_listener_counts_as_demand_and_gets_the_frames() {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let mut listener = broadcast.subscribe_frames();
        assert_eq!(*broadcast.demand().borrow(), 1);
        broadcast.send(&frame(true), Instant::now());
        assert_eq!(listener.recv().await, Some(frame(true)));
        drop(listener);
        assert_eq!(*broadcast.demand().borrow(), 0);
    }
}
