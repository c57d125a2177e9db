//! Tracks: media in one or more renditions.

mod follower;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rtcast_proto::{Frame, MediaKind, RtpCodec};

use self::follower::Follower;
use crate::broadcast::Broadcast;
use crate::lock;
use crate::reader::FrameReader;
use crate::state::{Changes, TrackStateChange, TrackStateStream};

/// Listeners to the state of one track; of more, the oldest hears nothing any more.
const MAX_LISTENERS: usize = 64;

/// Which track it is, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(u64);

/// Who is told that a track has other renditions than before, or has ended.
pub trait TrackObserver: Send + Sync {
    /// The renditions of the track have changed. Called on the thread that changes them; must not block.
    fn track_changed(&self, track: TrackId);
}

/// Media to send, or that is received: W3C's `MediaStreamTrack`, encoded.
///
/// It offers the same media in one or more renditions, best first. Each sender takes the first one whose codec its peer
/// negotiated; viewers of one rendition share its packets. What a peer sends is a track like any other: it can be read, by
/// any number of readers, and sent on by any connection. Cheap to clone; all clones are one track.
///
/// ```
/// use rtcast_track::{Broadcast, Codec, MediaKind, MediaStreamTrack, RtpCodec};
///
/// let better = Broadcast::new(RtpCodec::new(Codec::Vp9));
/// let compatible = Broadcast::new(RtpCodec::new(Codec::Vp8));
/// let track = MediaStreamTrack::new(MediaKind::Video, vec![better, compatible]).with_id("camera");
/// assert_eq!((track.id(), track.kind()), ("camera", MediaKind::Video));
/// let codecs: Vec<Codec> = track.codecs().into_iter().map(|codec| codec.codec).collect();
/// assert_eq!(codecs, [Codec::Vp9, Codec::Vp8]);
/// ```
#[derive(Clone)]
pub struct MediaStreamTrack {
    name: Arc<str>,
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    id: TrackId,
    kind: MediaKind,
    state: Mutex<State>,
    /// What [`MediaStreamTrack::recv`] reads from.
    reader: Mutex<Option<FrameReader>>,
}

/// What is called for every change of the state.
type Callback = Arc<Mutex<dyn FnMut(TrackStateChange) + Send>>;

struct State {
    renditions: Vec<Broadcast>,
    muted: bool,
    ended: bool,
    observers: Vec<Weak<dyn TrackObserver>>,
    listeners: Vec<Weak<Changes>>,
    callbacks: Vec<Callback>,
}

impl Inner {
    pub(crate) const fn kind(&self) -> MediaKind {
        self.kind
    }

    pub(crate) fn renditions(&self) -> Vec<Broadcast> {
        lock(&self.state).renditions.clone()
    }

    /// Whether nothing comes any more, because its maker has said so or all renditions have ended.
    fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.ended || (!state.renditions.is_empty() && state.renditions.iter().all(Broadcast::is_closed))
    }

    /// Changes the state, then tells the observers.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let observers: Vec<_> = {
            let mut state = lock(&self.state);
            change(&mut state);
            state.observers.retain(|observer| observer.strong_count() > 0);
            state.observers.iter().filter_map(Weak::upgrade).collect()
        };
        for observer in observers {
            observer.track_changed(self.id);
        }
    }

    fn tell(&self, change: TrackStateChange) {
        let (listeners, callbacks) = {
            let mut state = lock(&self.state);
            state.listeners.retain(|listener| listener.strong_count() > 0);
            (state.listeners.clone(), state.callbacks.clone())
        };
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.tell(change);
        }
        for callback in callbacks {
            (*lock(&callback))(change);
        }
    }
}

impl MediaStreamTrack {
    /// A track of that kind with its renditions in the order of preference. Renditions of the other kind are ignored.
    pub fn new(kind: MediaKind, renditions: Vec<Broadcast>) -> Self {
        Self::with_source(kind, renditions, false).0
    }

    /// The same, and what its maker changes it by: renditions come and go, it is muted and it ends.
    pub fn with_source(kind: MediaKind, renditions: Vec<Broadcast>, muted: bool) -> (Self, TrackSource) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let renditions = renditions.into_iter().filter(|broadcast| broadcast.codec().codec.kind() == kind).collect();
        let state = State {
            renditions,
            muted,
            ended: false,
            observers: Vec::new(),
            listeners: Vec::new(),
            callbacks: Vec::new(),
        };
        let inner = Arc::new(Inner {
            id: TrackId(NEXT.fetch_add(1, Ordering::Relaxed)),
            kind,
            state: Mutex::new(state),
            reader: Mutex::default(),
        });
        let track = Self { name: uuid().into(), inner: Arc::clone(&inner) };
        (track, TrackSource { inner })
    }

    /// The identifier, unique to the track, as it stands in `a=msid`; of what is received, the peer's name of it.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// The same track under another identifier: what is received bears the peer's.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        Self { name: id.into(), inner: Arc::clone(&self.inner) }
    }

    /// Which track it is, for a [`TrackObserver`].
    pub fn track_id(&self) -> TrackId {
        self.inner.id
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// The renditions that there are now, best first. Of what is received there is none before something has come.
    pub fn renditions(&self) -> Vec<Broadcast> {
        self.inner.renditions()
    }

    /// The codecs of the renditions, best first.
    pub fn codecs(&self) -> Vec<RtpCodec> {
        lock(&self.inner.state).renditions.iter().map(|broadcast| broadcast.codec().clone()).collect()
    }

    /// Whether nothing comes for now. A received track is, until something has come.
    pub fn muted(&self) -> bool {
        lock(&self.inner.state).muted
    }

    /// Whether nothing comes any more: W3C's `readyState`.
    pub fn ended(&self) -> bool {
        self.inner.is_over()
    }

    /// The changes from now on that a [`TrackSource`] makes: `mute`, `unmute`, `ended`. Of a track without one, whose end is
    /// that of its broadcasts, readers and [`ended`](Self::ended) tell.
    pub fn state_changes(&self) -> TrackStateStream {
        let changes = Arc::new(Changes::default());
        let mut state = lock(&self.inner.state);
        if state.ended {
            changes.end();
        } else {
            state.listeners.retain(|listener| listener.strong_count() > 0);
            if state.listeners.len() >= MAX_LISTENERS {
                state.listeners.remove(0);
            }
            state.listeners.push(Arc::downgrade(&changes));
        }
        drop(state);
        TrackStateStream::new(changes)
    }

    /// Calls `callback` for every change from now on, on the thread that makes it; it must neither block nor change the
    /// track.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use rtcast_track::{MediaKind, MediaStreamTrack, TrackStateChange};
    ///
    /// let (track, source) = MediaStreamTrack::with_source(MediaKind::Video, Vec::new(), false);
    /// let (sender, changes) = mpsc::channel();
    /// track.on_state_change(move |change| drop(sender.send(change)));
    /// source.set_muted(true);
    /// source.end(true);
    /// assert_eq!(changes.iter().collect::<Vec<_>>(), [TrackStateChange::Mute, TrackStateChange::Ended]);
    /// ```
    pub fn on_state_change(&self, callback: impl FnMut(TrackStateChange) + Send + 'static) {
        let mut state = lock(&self.inner.state);
        if !state.ended {
            state.callbacks.push(Arc::new(Mutex::new(callback)));
        }
    }

    /// Reads the frames from now on, of the best rendition that there is at a time. Each reader gets all of them.
    pub fn reader(&self) -> FrameReader {
        let (reader, observer) = Follower::reader(&self.inner);
        self.observe(&observer);
        // It may have changed before it was observed.
        observer.track_changed(self.inner.id);
        reader
    }

    /// The next frame, however long the track is muted; `None` once it has ended. All calls of this share one reader: of
    /// several that wait, each gets another frame.
    pub async fn recv(&self) -> Option<Frame> {
        loop {
            let next = {
                let mut reader = lock(&self.inner.reader);
                reader.get_or_insert_with(|| self.reader()).next_or_listener()
            };
            match next {
                Ok(next) => return next,
                Err(listener) => listener.await,
            }
        }
    }

    /// How many frames were lost because [`recv`](Self::recv) was not called often enough.
    pub fn frames_dropped(&self) -> u64 {
        lock(&self.inner.reader).as_ref().map_or(0, FrameReader::frames_dropped)
    }

    /// Tells an observer of changes of the renditions from now on, as long as somebody else holds it.
    pub fn observe(&self, observer: &Arc<dyn TrackObserver>) {
        let mut state = lock(&self.inner.state);
        // Thousands of senders may observe one track, so those that are gone are looked for as seldom as room is made.
        if state.observers.len() == state.observers.capacity() {
            state.observers.retain(|known| known.strong_count() > 0);
        }
        state.observers.push(Arc::downgrade(observer));
    }
}

impl PartialEq for MediaStreamTrack {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for MediaStreamTrack {}

impl fmt::Debug for MediaStreamTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStreamTrack")
            .field("id", &self.name)
            .field("kind", &self.inner.kind)
            .field("renditions", &self.renditions())
            .finish()
    }
}

/// What changes a track, for whoever makes its media. Dropping it changes nothing.
///
/// ```
/// use rtcast_track::{Broadcast, Codec, MediaKind, MediaStreamTrack, RtpCodec};
///
/// let (track, source) = MediaStreamTrack::with_source(MediaKind::Audio, Vec::new(), true);
/// assert!(track.muted() && track.renditions().is_empty());
/// source.add_rendition(Broadcast::new(RtpCodec::new(Codec::Opus)));
/// source.set_muted(false);
/// assert!(!track.muted() && track.renditions().len() == 1);
/// source.end(true);
/// assert!(track.ended());
/// ```
pub struct TrackSource {
    inner: Arc<Inner>,
}

impl TrackSource {
    /// Offers another rendition, behind those that there are. One of the other kind, or that is there, is ignored.
    pub fn add_rendition(&self, rendition: Broadcast) {
        if rendition.codec().codec.kind() == self.inner.kind {
            self.inner.change(|state| {
                if !state.renditions.contains(&rendition) {
                    state.renditions.push(rendition);
                }
            });
        }
    }

    /// Takes a rendition back and ends it; those who had it are given another, if there is one that they can take.
    pub fn remove_rendition(&self, rendition: &Broadcast) {
        self.inner.change(|state| state.renditions.retain(|known| known != rendition));
        rendition.close();
    }

    /// The renditions that there are now.
    pub fn renditions(&self) -> Vec<Broadcast> {
        self.inner.renditions()
    }

    /// Mutes the track, or says that something comes again.
    pub fn set_muted(&self, muted: bool) {
        let changed = {
            let mut state = lock(&self.inner.state);
            !state.ended && std::mem::replace(&mut state.muted, muted) != muted
        };
        if changed {
            self.inner.tell(if muted { TrackStateChange::Mute } else { TrackStateChange::Unmute });
        }
    }

    /// Ends the track and its renditions; `told` says whether listeners hear of it. Ending twice is fine.
    pub fn end(&self, told: bool) {
        let (mut renditions, mut listeners, mut callbacks) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = false;
        self.inner.change(|state| {
            ends = !std::mem::replace(&mut state.ended, true);
            state.muted = true;
            renditions = std::mem::take(&mut state.renditions);
            listeners = std::mem::take(&mut state.listeners);
            callbacks = std::mem::take(&mut state.callbacks);
        });
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            if told {
                listener.tell(TrackStateChange::Ended);
            }
            listener.end();
        }
        for callback in callbacks.iter().filter(|_| told && ends) {
            (*lock(callback))(TrackStateChange::Ended);
        }
        for rendition in renditions {
            rendition.close();
        }
    }
}

impl fmt::Debug for TrackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackSource").field("track", &self.inner.id).finish_non_exhaustive()
    }
}

/// A random name (RFC 9562 §5.4), which need not be secret.
fn uuid() -> String {
    let [high, low] = [0_u8, 1].map(|half| RandomState::new().hash_one(half));
    let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low << 16 >> 16
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use rtcast_proto::{Codec, MediaTime};
    use std::time::Instant;

    fn sound(number: u8) -> Frame {
        Frame::new(Codec::Opus, vec![number], MediaTime::from_micros(i64::from(number) * 20_000))
    }

    fn broadcast() -> Broadcast {
        Broadcast::received(RtpCodec::new(Codec::Opus))
    }

    #[test]
    fn a_reader_goes_along_when_renditions_come_and_go() {
        let (track, source) = MediaStreamTrack::with_source(MediaKind::Audio, Vec::new(), true);
        let mut reader = track.reader();
        let (first, second) = (broadcast(), broadcast());
        first.send(&sound(0), Instant::now());
        source.add_rendition(first.clone());
        source.add_rendition(Broadcast::new(RtpCodec::new(Codec::Vp8)));
        first.send(&sound(1), Instant::now());
        source.add_rendition(second.clone());
        second.send(&sound(2), Instant::now());
        source.remove_rendition(&first);
        assert!(first.is_closed());
        second.send(&sound(3), Instant::now());
        let numbers: Vec<u8> = std::iter::from_fn(|| reader.try_recv()).map(|frame| frame.data[0]).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(second.upstream().demand(), 1);
        source.end(true);
        assert_eq!(reader.recv_blocking(), None);
        assert!(track.ended() && second.is_closed());
    }

    #[test]
    fn what_comes_before_the_first_reader_waits_for_it() {
        let opening = broadcast();
        let track = MediaStreamTrack::new(MediaKind::Audio, vec![opening.clone()]);
        (0..3).for_each(|number| opening.send(&sound(number), Instant::now()));
        assert_eq!(block_on(track.recv()), Some(sound(0)));
        let mut late = track.reader();
        opening.send(&sound(3), Instant::now());
        assert_eq!(late.try_recv(), Some(sound(3)));
        for number in 1..4 {
            assert_eq!(block_on(track.recv()), Some(sound(number)));
        }
        opening.close();
        assert!(track.ended());
    }

    #[test]
    fn listeners_hear_of_each_change_once() {
        let (track, source) = MediaStreamTrack::with_source(MediaKind::Video, Vec::new(), true);
        let mut changes = track.state_changes();
        let heard = Arc::new(Mutex::new(Vec::new()));
        track.on_state_change({
            let heard = Arc::clone(&heard);
            move |change| heard.lock().unwrap().push(change)
        });
        source.set_muted(true);
        source.set_muted(false);
        source.set_muted(false);
        source.end(true);
        source.end(true);
        source.set_muted(false);
        let expected = [TrackStateChange::Unmute, TrackStateChange::Ended];
        assert_eq!(*heard.lock().unwrap(), expected);
        for change in expected {
            assert_eq!(block_on(changes.recv()), Some(change));
        }
        assert_eq!(block_on(changes.recv()), None);
        assert_eq!(block_on(track.state_changes().recv()), None);
        assert_eq!(block_on(track.recv()), None);
    }

    #[test]
    fn a_source_feeds_a_broadcast_and_hears_of_requests() {
        let origin = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Opus));
        let relayed = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Opus));
        let (mut source, mut reader) = (origin.subscribe_frames(), relayed.subscribe_frames());
        origin.send(&sound(7), Instant::now());
        let feeding = std::thread::spawn({
            let relayed = relayed.clone();
            move || block_on(relayed.feed(&mut source))
        });
        assert_eq!(reader.recv_blocking(), Some(sound(7)));
        reader.request_keyframe();
        block_on(origin.upstream().wait_for(|upstream| upstream.keyframe_requests() > 0));
        origin.close();
        feeding.join().unwrap();
    }

    #[test]
    fn names_are_uuids_and_differ() {
        let [first, second] = [(); 2].map(|()| MediaStreamTrack::new(MediaKind::Audio, Vec::new()));
        assert_ne!(first.id(), second.id());
        let name = first.id().as_bytes();
        assert_eq!((name.len(), name[14], name[8]), (36, b'4', b'-'));
        assert!(b"89ab".contains(&name[19]));
        assert_eq!(first.with_id("film"), first);
    }

    #[test]
    fn a_reader_goes_on_when_the_rendition_that_it_reads_ends_and_ends_with_the_last() {
        let (first, second) = (broadcast(), broadcast());
        let track = MediaStreamTrack::new(MediaKind::Audio, vec![first.clone(), second.clone()]);
        let mut reader = track.reader();
        first.send(&sound(1), Instant::now());
        first.close();
        assert_eq!(second.upstream().demand(), 1);
        second.send(&sound(2), Instant::now());
        assert_eq!([reader.recv_blocking(), reader.recv_blocking()], [Some(sound(1)), Some(sound(2))]);
        second.close();
        assert_eq!(reader.recv_blocking(), None);
        assert!(track.ended());
        assert_eq!(track.reader().recv_blocking(), None, "nor does one that comes later");
    }

    #[test]
    fn a_reader_that_comes_when_too_much_has_waited_asks_for_a_keyframe() {
        let received = Broadcast::received(RtpCodec::new(Codec::Vp8));
        let track = MediaStreamTrack::new(MediaKind::Video, vec![received.clone()]);
        let picture = |number: i64| {
            let head = if number == 0 { 0x10 } else { 0x11 };
            let data = vec![head, 2, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2, 7];
            Frame::new(Codec::Vp8, data, MediaTime::from_ticks(number, 30)).with_keyframe(number == 0)
        };
        (0..300).for_each(|number| received.send(&picture(number), Instant::now()));
        let mut reader = track.reader();
        assert_eq!(received.upstream().keyframe_requests(), 1);
        received.send(&picture(300), Instant::now());
        assert_eq!(reader.try_recv(), None);
        received.send(&picture(0), Instant::now());
        assert_eq!(reader.try_recv(), Some(picture(0)));
    }

    #[test]
    fn whoever_hears_of_the_end_finds_it_so_and_once() {
        let (track, source) = MediaStreamTrack::with_source(MediaKind::Video, Vec::new(), false);
        let heard = Arc::new(AtomicU64::new(0));
        track.on_state_change({
            let (track, heard) = (track.clone(), Arc::clone(&heard));
            move |change| {
                assert!(change == TrackStateChange::Ended && track.ended());
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
        source.end(true);
        source.end(true);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }
}
