//! One encoded stream for any number of sinks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rtcast_proto::payload::{Packetizer, PayloadError};
use rtcast_proto::rtp::MAX_PAYLOAD;
use rtcast_proto::{Bitrate, Frame, MediaKind, PacketizedFrame, ReceivedFrame, RtpCodec};
use tracing::debug;

use crate::backlog::Backlog;
use crate::lock;
use crate::rendition::Rendition;
use crate::upstream::{Signal, Upstream};

/// The longest payload that is sent on as it came. With all that may be added the packet has 1,266 bytes, which Ethernet and
/// the usual tunnels carry; of what came in longer packets, smaller ones are made.
const MAX_FORWARDED_PAYLOAD: usize = 1_200;

/// How much of the stream is kept for late joiners: a group of pictures beyond this is not kept, and a late joiner waits
/// for the next keyframe.
const MAX_GROUP_FRAMES: usize = 600;
const MAX_GROUP_BYTES: usize = 16 << 20;

/// Which broadcast a frame belongs to, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BroadcastId(u64);

/// Where the frames of a broadcast go: a shard of the network, a recorder, a relay.
///
/// A recorder of sound, which keeps what it is handed:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Instant;
/// use rtcast_track::{Broadcast, Codec, Frame, FrameSink, MediaTime, PacketizedFrame, RtpCodec};
///
/// #[derive(Default)]
/// struct Recorder(Mutex<Vec<u8>>);
///
/// impl FrameSink for Recorder {
///     fn deliver(&self, _: &Broadcast, frame: &Frame, _: &Arc<PacketizedFrame>) {
///         if let Ok(mut recorded) = self.0.lock() {
///             recorded.extend_from_slice(&frame.data);
///         }
///     }
///     fn ended(&self, _: &Broadcast) {}
/// }
///
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Pcmu));
/// let recorder = Arc::new(Recorder::default());
/// let (subscription, _) = broadcast.subscribe(&(recorder.clone() as Arc<dyn FrameSink>));
/// broadcast.send(&Frame::new(Codec::Pcmu, vec![0xff; 160], MediaTime::ZERO), Instant::now());
/// drop(subscription);
/// assert!(recorder.0.lock().is_ok_and(|recorded| recorded.len() == 160));
/// ```
pub trait FrameSink: Send + Sync {
    /// Takes a frame, and the packets that it was cut into once for all sinks. Called in the order of the frames, on the
    /// thread that sends them; it must never block, nor join or leave a broadcast.
    fn deliver(&self, broadcast: &Broadcast, frame: &Frame, packets: &Arc<PacketizedFrame>);

    /// The broadcast has ended: nothing follows.
    fn ended(&self, broadcast: &Broadcast);
}

/// One encoded stream that any number of sinks may take.
///
/// A frame that goes in is cut into packets once; each sink gets a reference to the same packets. The last group of
/// pictures is kept, so that a late joiner sees a picture at once. Cheap to clone; all clones are one stream.
///
/// ```
/// use std::time::Instant;
/// use rtcast_track::{Broadcast, Codec, Frame, MediaTime, RtpCodec};
///
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
/// for number in 0..3 {
///     let time = MediaTime::from_ticks(number * 3_000, 90_000);
///     let picture = Frame::new(Codec::Vp8, vec![0x10; 2_000], time).with_keyframe(number == 0);
///     broadcast.send(&picture, Instant::now());
/// }
/// assert_eq!(broadcast.group().len(), 3, "what a late joiner is given");
/// broadcast.close();
/// assert!(broadcast.is_closed() && broadcast.group().is_empty());
/// ```
#[derive(Clone)]
pub struct Broadcast {
    inner: Arc<Inner>,
}

struct Inner {
    id: BroadcastId,
    rendition: Rendition,
    signal: Arc<Signal>,
    state: Mutex<State>,
}

/// What is kept for whoever joins late.
enum Kept {
    /// The last group of pictures.
    Group { frames: Vec<Arc<PacketizedFrame>>, bytes: usize },
    /// Nothing: the source makes a keyframe upon request.
    Nothing,
    /// The same, but what comes before the first sink has joined is kept for a reader.
    Opening(Backlog),
}

struct State {
    packetizer: Packetizer,
    kept: Kept,
    sinks: Vec<Sink>,
    /// A frame has been sent.
    started: bool,
    closed: bool,
}

struct Sink {
    sink: Arc<dyn FrameSink>,
    subscriptions: usize,
}

impl Broadcast {
    /// A stream of this rendition, or of this codec, without sinks.
    pub fn new(rendition: impl Into<Rendition>) -> Self {
        Self::build(rendition.into(), Kept::Group { frames: Vec::new(), bytes: 0 })
    }

    /// The same for a source that makes a keyframe upon request: nothing is kept for late joiners, each counts as a
    /// request for a keyframe instead.
    ///
    /// ```
    /// use rtcast_track::{Broadcast, Codec, RtpCodec};
    ///
    /// let broadcast = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
    /// let upstream = broadcast.upstream();
    /// broadcast.request_keyframe();
    /// assert_eq!(upstream.keyframe_requests(), 1);
    /// ```
    pub fn with_keyframes_on_request(rendition: impl Into<Rendition>) -> Self {
        Self::build(rendition.into(), Kept::Nothing)
    }

    /// The same for what is received: besides, what comes before the first sink has joined waits for it if that is a
    /// reader, up to 256 frames and 8 MiB.
    pub fn received(rendition: impl Into<Rendition>) -> Self {
        let rendition = rendition.into();
        let backlog = Backlog::new(rendition.codec.codec.kind());
        Self::build(rendition, Kept::Opening(backlog))
    }

    fn build(rendition: Rendition, kept: Kept) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let state = State {
            packetizer: Packetizer::of(&rendition.codec, MAX_PAYLOAD),
            kept,
            sinks: Vec::new(),
            started: false,
            closed: false,
        };
        Self {
            inner: Arc::new(Inner {
                id: BroadcastId(NEXT.fetch_add(1, Ordering::Relaxed)),
                rendition,
                signal: Arc::default(),
                state: Mutex::new(state),
            }),
        }
    }

    /// Which one it is.
    pub fn id(&self) -> BroadcastId {
        self.inner.id
    }

    /// What it sends.
    pub fn rendition(&self) -> &Rendition {
        &self.inner.rendition
    }

    /// The codec and its parameters.
    pub fn codec(&self) -> &RtpCodec {
        &self.inner.rendition.codec
    }

    /// Sends a frame to everybody who wants it; `captured_at` is when it was captured or due, from which receivers
    /// align sound and pictures.
    ///
    /// Never blocks: a viewer whose network is slower than the stream loses whole frames, the stream goes on. A frame
    /// that cannot be packetised (of another codec, or empty) is dropped and logged.
    pub fn send(&self, frame: &Frame, captured_at: Instant) {
        self.distribute(frame, |packetizer| packetizer.packetize(frame, captured_at));
    }

    /// Sends on a frame that was received, in the packets that brought it: their payloads are not copied, unless they are
    /// too long for every path. Otherwise as [`send`](Self::send).
    pub fn forward(&self, received: &ReceivedFrame, captured_at: Instant) {
        let cut = |packetizer: &mut Packetizer| packetizer.forward(received, MAX_FORWARDED_PAYLOAD, captured_at);
        self.distribute(&received.frame, cut);
    }

    fn distribute(&self, frame: &Frame, cut: impl FnOnce(&mut Packetizer) -> Result<PacketizedFrame, PayloadError>) {
        let mut state = lock(&self.inner.state);
        if state.closed {
            return;
        }
        let packets = match cut(&mut state.packetizer) {
            Ok(packets) => Arc::new(packets),
            Err(error) => {
                debug!(%error, "a frame was dropped");
                return;
            }
        };
        state.started = true;
        match &mut state.kept {
            Kept::Group { frames, bytes } if frame.codec.kind() == MediaKind::Video => keep(frames, bytes, &packets),
            Kept::Opening(backlog) => drop(backlog.push(frame)),
            Kept::Group { .. } | Kept::Nothing => {}
        }
        for sink in &state.sinks {
            sink.sink.deliver(self, frame, &packets);
        }
    }

    /// What the sinks want of whoever makes the frames.
    pub fn upstream(&self) -> Upstream {
        Upstream::new(Arc::clone(&self.inner.signal))
    }

    /// Joins a sink. Returns the kept group of pictures, which is empty if none is kept; frames sent later reach the sink,
    /// until the subscription is dropped. A sink that has joined more than once gets each frame once.
    pub fn subscribe(&self, sink: &Arc<dyn FrameSink>) -> (Subscription, Vec<Arc<PacketizedFrame>>) {
        self.join(sink, |_, _| ())
    }

    /// Joins a reader, which `prepare` tells whether it is late, and hands what was kept for it.
    pub(crate) fn join(
        &self,
        sink: &Arc<dyn FrameSink>,
        prepare: impl FnOnce(bool, Option<Backlog>),
    ) -> (Subscription, Vec<Arc<PacketizedFrame>>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = {
            let mut state = lock(&self.inner.state);
            let closed = state.closed;
            match state.sinks.iter_mut().find(|known| Arc::ptr_eq(&known.sink, sink)) {
                Some(known) => known.subscriptions += 1,
                None if closed => {}
                None => state.sinks.push(Sink { sink: Arc::clone(sink), subscriptions: 1 }),
            }
            let opening = match &mut state.kept {
                Kept::Opening(backlog) => Some(std::mem::replace(backlog, Backlog::new(MediaKind::Audio))),
                Kept::Group { .. } | Kept::Nothing => None,
            };
            if opening.is_some() {
                state.kept = Kept::Nothing;
            }
            prepare(state.started, opening);
            state.group()
        };
        self.inner.signal.joined();
        (Subscription { broadcast: self.clone(), sink: Arc::clone(sink), id }, group)
    }

    /// Ends the stream; later frames are ignored. Closing twice is fine.
    pub fn close(&self) {
        let sinks = {
            let mut state = lock(&self.inner.state);
            state.closed = true;
            if let Kept::Group { frames, bytes } = &mut state.kept {
                (*frames, *bytes) = (Vec::new(), 0);
            }
            std::mem::take(&mut state.sinks)
        };
        for sink in sinks {
            sink.sink.ended(self);
        }
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        lock(&self.inner.state).closed
    }

    /// Whether somebody who joins now need not wait for a keyframe that comes when it comes.
    pub fn shows_at_once(&self) -> bool {
        let state = lock(&self.inner.state);
        let sound = self.codec().codec.kind() == MediaKind::Audio;
        sound || !state.started || !matches!(&state.kept, Kept::Group { frames, .. } if frames.is_empty())
    }

    /// Whether its source makes a keyframe upon request.
    pub fn makes_keyframes(&self) -> bool {
        !matches!(lock(&self.inner.state).kept, Kept::Group { .. })
    }

    /// The group of pictures that is kept, up to the last frame that was sent; empty if none is.
    pub fn group(&self) -> Vec<Arc<PacketizedFrame>> {
        lock(&self.inner.state).group()
    }

    /// Asks the source for a keyframe, if it can make one: [`Upstream::keyframe_requests`] grows.
    pub fn request_keyframe(&self) {
        self.inner.signal.request_keyframe();
    }

    fn leave(&self, sink: &Arc<dyn FrameSink>, subscription: u64) {
        {
            let mut state = lock(&self.inner.state);
            if let Some(at) = state.sinks.iter().position(|known| Arc::ptr_eq(&known.sink, sink)) {
                let known = &mut state.sinks[at];
                known.subscriptions -= 1;
                if known.subscriptions == 0 {
                    state.sinks.swap_remove(at);
                }
            }
        }
        self.inner.signal.left(subscription);
    }
}

impl PartialEq for Broadcast {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }
}

impl Eq for Broadcast {}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("id", &self.inner.id.0)
            .field("rendition", &self.inner.rendition)
            .field("demand", &self.inner.signal.demand())
            .finish()
    }
}

impl State {
    fn group(&self) -> Vec<Arc<PacketizedFrame>> {
        match &self.kept {
            Kept::Group { frames, .. } => frames.clone(),
            Kept::Nothing | Kept::Opening(_) => Vec::new(),
        }
    }
}

fn keep(frames: &mut Vec<Arc<PacketizedFrame>>, bytes: &mut usize, packets: &Arc<PacketizedFrame>) {
    if packets.keyframe {
        frames.clear();
        *bytes = 0;
    } else if frames.is_empty() {
        return;
    }
    *bytes += packets.payload_bytes();
    if frames.len() >= MAX_GROUP_FRAMES || *bytes > MAX_GROUP_BYTES {
        (*frames, *bytes) = (Vec::new(), 0);
        return;
    }
    frames.push(Arc::clone(packets));
}

/// A sink's place in a broadcast, which it leaves when this is dropped.
///
/// ```
/// use std::sync::Arc;
/// use rtcast_track::{Bitrate, Broadcast, Codec, Frame, FrameSink, PacketizedFrame, RtpCodec};
/// # struct Nowhere;
/// # impl FrameSink for Nowhere {
/// #     fn deliver(&self, _: &Broadcast, _: &Frame, _: &Arc<PacketizedFrame>) {}
/// #     fn ended(&self, _: &Broadcast) {}
/// # }
///
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
/// let sink: Arc<dyn FrameSink> = Arc::new(Nowhere);
/// let (subscription, _) = broadcast.subscribe(&sink);
/// subscription.wish_bitrate(Some(Bitrate::from_kbps(500)));
/// assert!(broadcast.upstream().wished_bitrates().is_some());
/// drop(subscription);
/// assert_eq!((broadcast.upstream().demand(), broadcast.upstream().wished_bitrates()), (0, None));
/// ```
pub struct Subscription {
    broadcast: Broadcast,
    sink: Arc<dyn FrameSink>,
    id: u64,
}

impl Subscription {
    /// The broadcast.
    pub const fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// Says which bitrate the sink could do with, or that it has no wish; its wish ends with the subscription.
    pub fn wish_bitrate(&self, bitrate: Option<Bitrate>) {
        self.broadcast.inner.signal.wish(self.id, bitrate);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broadcast.leave(&self.sink, self.id);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("broadcast", &self.broadcast).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_proto::{Codec, MediaTime};

    #[derive(Default)]
    struct Counter(Mutex<Vec<u64>>);

    impl FrameSink for Counter {
        fn deliver(&self, _: &Broadcast, _: &Frame, packets: &Arc<PacketizedFrame>) {
            self.0.lock().unwrap().push(packets.first_packet);
        }

        fn ended(&self, _: &Broadcast) {
            self.0.lock().unwrap().push(u64::MAX);
        }
    }

    fn frame(keyframe: bool) -> Frame {
        // A VP8 frame tag: the lowest bit is clear for a keyframe.
        let mut data = vec![if keyframe { 0x10 } else { 0x11 }; 3_000];
        data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
        Frame::new(Codec::Vp8, data, MediaTime::ZERO).with_keyframe(keyframe)
    }

    #[test]
    fn a_late_joiner_gets_the_group_and_every_sink_one_reference() {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        for keyframe in [false, true, false, true, false] {
            broadcast.send(&frame(keyframe), Instant::now());
        }
        let counter = Arc::new(Counter::default());
        let sink: Arc<dyn FrameSink> = counter.clone();
        let (first, group) = broadcast.subscribe(&sink);
        assert_eq!(group.iter().map(|frame| frame.keyframe).collect::<Vec<_>>(), [true, false]);
        let _second = broadcast.subscribe(&sink);
        assert_eq!(broadcast.upstream().demand(), 2);
        broadcast.send(&frame(false), Instant::now());
        drop(first);
        assert_eq!(broadcast.upstream().demand(), 1);
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
        assert!(broadcast.subscribe(&sink).1.is_empty());
    }

    #[test]
    fn a_wish_reaches_the_source_and_ends_with_the_subscription() {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let sink: Arc<dyn FrameSink> = Arc::new(Counter::default());
        let (subscription, _) = broadcast.subscribe(&sink);
        subscription.wish_bitrate(Some(Bitrate::from_kbps(700)));
        let wished = Bitrate::from_kbps(700);
        assert_eq!(broadcast.upstream().wished_bitrates(), Some((wished, wished)));
        drop(subscription);
        assert_eq!(broadcast.upstream().wished_bitrates(), None);
    }

    #[test]
    fn what_was_received_is_sent_on_in_its_packets() {
        let now = Instant::now();
        let frame = frame(true);
        let origin = Packetizer::new(Codec::Vp8, 900).packetize(&frame, now).unwrap();
        let payloads: Vec<_> = origin.iter().map(|payload| payload.to_vec().into()).collect();
        let received = ReceivedFrame { frame: frame.clone(), rtp_timestamp: 0, payloads };
        let broadcast = Broadcast::received(RtpCodec::new(Codec::Vp8));
        struct Same(ReceivedFrame, Mutex<Vec<bool>>);
        impl FrameSink for Same {
            fn deliver(&self, _: &Broadcast, frame: &Frame, packets: &Arc<PacketizedFrame>) {
                let same = packets.iter().zip(&self.0.payloads).all(|(sent, came)| std::ptr::eq(sent, &**came));
                self.1.lock().unwrap().push(same && *frame == self.0.frame && packets.picture_id == Some(0));
            }
            fn ended(&self, _: &Broadcast) {}
        }
        let sink = Arc::new(Same(received.clone(), Mutex::default()));
        let _joined = broadcast.subscribe(&(sink.clone() as Arc<dyn FrameSink>));
        broadcast.forward(&received, now);
        assert_eq!(*sink.1.lock().unwrap(), [true]);
        // What was completed, or is too long, is cut anew.
        broadcast.forward(&ReceivedFrame { payloads: Vec::new(), ..received.clone() }, now);
        let long = vec![[&origin.iter().next().unwrap()[..4], &frame.data].concat().into()];
        broadcast.forward(&ReceivedFrame { payloads: long, ..received }, now);
        assert_eq!(*sink.1.lock().unwrap(), [true, false, false]);
    }
}
