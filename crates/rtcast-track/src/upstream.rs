//! What the sinks of a broadcast want of its source.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use event_listener::{Event, EventListener, Listener};
use rtcast_proto::Bitrate;

use crate::lock;

/// What the sinks of a [`Broadcast`](crate::Broadcast) want, for whoever makes its frames. Each handle notices changes by
/// itself; a clone begins with what the original has noticed.
///
/// A thread that encodes only while somebody wants to see it:
///
/// ```
/// use std::thread;
/// use std::time::{Duration, Instant};
/// use rtcast_track::{Broadcast, Codec, Frame, MediaTime, RtpCodec};
///
/// let broadcast = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
/// let mut reader = broadcast.subscribe_frames();
/// let encoder = thread::spawn(move || {
///     let mut upstream = broadcast.upstream();
///     while upstream.demand() > 0 {
///         let picture = Frame::new(Codec::Vp8, vec![0x10; 100], MediaTime::ZERO).with_keyframe(true);
///         broadcast.send(&picture, Instant::now());
///         upstream.wait_timeout(Duration::from_millis(40));
///     }
/// });
/// assert!(reader.recv_blocking().is_some());
/// drop(reader);
/// assert!(encoder.join().is_ok());
/// ```
pub struct Upstream {
    signal: Arc<Signal>,
    seen: u64,
    listener: Option<EventListener>,
}

impl Upstream {
    pub(crate) fn new(signal: Arc<Signal>) -> Self {
        let seen = signal.version.load(Ordering::Acquire);
        Self { signal, seen, listener: None }
    }

    /// How many connected senders and other sinks want the frames now. At zero nobody would notice if nothing were
    /// encoded.
    pub fn demand(&self) -> usize {
        self.signal.demand.load(Ordering::Relaxed)
    }

    /// How many sinks have joined so far. It grows even if one leaves for each that comes.
    pub fn joins(&self) -> u64 {
        self.signal.joins.load(Ordering::Relaxed)
    }

    /// A count that grows whenever somebody needs a keyframe: after a loss, or upon joining where none is kept. Several
    /// requests may arrive as one change.
    pub fn keyframe_requests(&self) -> u64 {
        self.signal.keyframe_requests.load(Ordering::Relaxed)
    }

    /// The lowest and the highest bitrate that a sink wishes for; `None` if none has a wish.
    pub fn wished_bitrates(&self) -> Option<(Bitrate, Bitrate)> {
        let wishes = lock(&self.signal.wishes);
        let bitrates = || wishes.iter().map(|(_, bitrate)| *bitrate);
        Some((bitrates().min()?, bitrates().max()?))
    }

    /// Whether something has changed since this was asked last, or since a change was waited for.
    pub fn has_changed(&mut self) -> bool {
        let version = self.signal.version.load(Ordering::Acquire);
        let changed = version != self.seen;
        self.seen = version;
        changed
    }

    /// Waits for a change: of the demand, of the wishes, or a request for a keyframe.
    pub async fn changed(&mut self) {
        poll_fn(|context| self.poll_changed(context)).await;
    }

    /// The same for who polls by hand.
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.has_changed() {
                self.listener = None;
                return Poll::Ready(());
            }
            match &mut self.listener {
                // What changes between the look above and this is seen by the next look.
                None => self.listener = Some(self.signal.changed.listen()),
                Some(listener) => {
                    ready!(Pin::new(listener).poll(context));
                    self.listener = None;
                }
            }
        }
    }

    /// Waits until a condition is true, looked at now and with each change.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        while !condition(self) {
            self.changed().await;
        }
    }

    /// Blocks until something changes or the time is over. Returns whether something has changed.
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let listener = self.signal.changed.listen();
            if self.has_changed() {
                return true;
            }
            let Some(deadline) = deadline else {
                listener.wait();
                continue;
            };
            if listener.wait_deadline(deadline).is_none() {
                return self.has_changed();
            }
        }
    }

    /// Calls `observer` with what is wanted after each change from now on, on the thread that makes it, as long as the
    /// broadcast is there. It must not block, nor call the broadcast or its track, which may be locked; it should not hold
    /// them either, for they would never go.
    pub fn observe(&self, observer: impl Fn(&Self) + Send + Sync + 'static) {
        lock(&self.signal.observers).push(Arc::new(observer));
    }
}

impl Clone for Upstream {
    fn clone(&self) -> Self {
        Self { signal: Arc::clone(&self.signal), seen: self.seen, listener: None }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("demand", &self.demand())
            .field("joins", &self.joins())
            .field("keyframe_requests", &self.keyframe_requests())
            .field("wished_bitrates", &self.wished_bitrates())
            .finish()
    }
}

type Observer = Arc<dyn Fn(&Upstream) + Send + Sync>;

/// What a broadcast and the handles of its source share.
#[derive(Default)]
pub(crate) struct Signal {
    version: AtomicU64,
    demand: AtomicUsize,
    joins: AtomicU64,
    keyframe_requests: AtomicU64,
    /// The bitrate that a subscription wishes for, by its number.
    wishes: Mutex<Vec<(u64, Bitrate)>>,
    changed: Event,
    observers: Mutex<Vec<Observer>>,
}

impl Signal {
    pub(crate) fn joined(self: &Arc<Self>) {
        self.demand.fetch_add(1, Ordering::Relaxed);
        self.joins.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn left(self: &Arc<Self>, subscription: u64) {
        self.demand.fetch_sub(1, Ordering::Relaxed);
        lock(&self.wishes).retain(|(of, _)| *of != subscription);
        self.tell();
    }

    pub(crate) fn request_keyframe(self: &Arc<Self>) {
        self.keyframe_requests.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn wish(self: &Arc<Self>, subscription: u64, bitrate: Option<Bitrate>) {
        {
            let mut wishes = lock(&self.wishes);
            wishes.retain(|(of, _)| *of != subscription);
            wishes.extend(bitrate.map(|bitrate| (subscription, bitrate)));
        }
        self.tell();
    }

    pub(crate) fn demand(&self) -> usize {
        self.demand.load(Ordering::Relaxed)
    }

    fn tell(self: &Arc<Self>) {
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify(usize::MAX);
        let observers = lock(&self.observers).clone();
        if !observers.is_empty() {
            let upstream = Upstream::new(Arc::clone(self));
            observers.iter().for_each(|observer| observer(&upstream));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_handle_notices_each_change_once() {
        let signal = Arc::new(Signal::default());
        let mut upstream = Upstream::new(Arc::clone(&signal));
        assert!(!upstream.has_changed());
        signal.joined();
        let mut other = upstream.clone();
        assert!(upstream.has_changed() && !upstream.has_changed());
        assert!(other.has_changed());
        assert_eq!((upstream.demand(), upstream.joins()), (1, 1));
        signal.left(0);
        signal.joined();
        assert_eq!((upstream.demand(), upstream.joins()), (1, 2));
    }

    #[test]
    fn wishes_end_with_who_had_them() {
        let signal = Arc::new(Signal::default());
        let upstream = Upstream::new(Arc::clone(&signal));
        assert_eq!(upstream.wished_bitrates(), None);
        for (subscription, kbps) in [(1, 900), (2, 300), (3, 500), (1, 800)] {
            signal.wish(subscription, Some(Bitrate::from_kbps(kbps)));
        }
        assert_eq!(upstream.wished_bitrates(), Some((Bitrate::from_kbps(300), Bitrate::from_kbps(800))));
        signal.left(2);
        signal.wish(1, None);
        assert_eq!(upstream.wished_bitrates(), Some((Bitrate::from_kbps(500), Bitrate::from_kbps(500))));
    }

    #[test]
    fn a_thread_and_a_task_are_woken() {
        let signal = Arc::new(Signal::default());
        let (mut blocking, mut polled) = (Upstream::new(Arc::clone(&signal)), Upstream::new(Arc::clone(&signal)));
        assert!(!blocking.wait_timeout(Duration::ZERO));
        let blocked = thread::spawn(move || blocking.wait_timeout(Duration::from_secs(60)));
        let task =
            thread::spawn(move || futures_lite::future::block_on(polled.wait_for(|up| up.keyframe_requests() == 2)));
        let counted = Arc::new(AtomicUsize::new(0));
        Upstream::new(Arc::clone(&signal)).observe({
            let counted = Arc::clone(&counted);
            move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        signal.request_keyframe();
        signal.request_keyframe();
        assert!(blocked.join().unwrap());
        task.join().unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn all_observers_are_told_and_go_with_the_broadcast() {
        let signal = Arc::new(Signal::default());
        let told = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let told = Arc::clone(&told);
            Upstream::new(Arc::clone(&signal)).observe(move |upstream| {
                told.fetch_add(upstream.demand(), Ordering::Relaxed);
            });
        }
        signal.joined();
        assert_eq!(told.load(Ordering::Relaxed), 2);
        drop(signal);
        assert_eq!(Arc::strong_count(&told), 1, "nothing holds the observers any more");
    }
}
