//! A reader that goes along with the changes of a track's renditions.

use std::sync::{Arc, Mutex, Weak};

use super::{Inner, TrackId, TrackObserver};
use crate::broadcast::Subscription;
use crate::lock;
use crate::reader::{FrameReader, Next, Queue, Reads};

/// Joins the queue to the best rendition of a track, whichever that is.
pub(super) struct Follower {
    queue: Arc<Queue>,
    subscription: Mutex<Option<Subscription>>,
    track: Weak<Inner>,
}

impl Follower {
    /// A reader of the track, and the observer that is to be told of the track's changes.
    pub(super) fn reader(track: &Arc<Inner>) -> (FrameReader, Arc<dyn TrackObserver>) {
        let queue = Queue::new(track.kind(), false);
        let follower =
            Arc::new(Self { queue: Arc::clone(&queue), subscription: Mutex::default(), track: Arc::downgrade(track) });
        let next: Weak<Self> = Arc::downgrade(&follower);
        queue.set_next(next);
        follower.follow();
        (FrameReader::new(queue, Arc::clone(&follower)), follower)
    }

    fn follow(&self) {
        let Some(track) = self.track.upgrade() else { return self.queue.end() };
        let mut left = Vec::new();
        let is_over = {
            let mut subscription = lock(&self.subscription);
            loop {
                if track.is_over() {
                    left.extend(subscription.take());
                    break true;
                }
                let best = track.renditions().into_iter().find(|broadcast| !broadcast.is_closed());
                if best.as_ref() == subscription.as_ref().map(Subscription::broadcast) {
                    break false;
                }
                // The new one is joined before the old one is left, so that nobody is told that nobody wants the track.
                let joined = best.map(|best| self.queue.join(&best));
                left.extend(std::mem::replace(&mut *subscription, joined));
                // It may have ended before it was joined; then it is looked for another.
                if !subscription.as_ref().is_some_and(|subscription| subscription.broadcast().is_closed()) {
                    break false;
                }
            }
        };
        if is_over {
            self.queue.end();
        }
        // Their source may change the track when it hears of it, so nothing is locked here.
        drop(left);
    }
}

impl Next for Follower {
    fn rendition_ended(&self) {
        self.follow();
    }
}

impl Reads for Arc<Follower> {
    fn request_keyframe(&self) {
        if let Some(subscription) = &*lock(&self.subscription) {
            subscription.broadcast().request_keyframe();
        }
    }
}

impl TrackObserver for Follower {
    fn track_changed(&self, _: TrackId) {
        self.follow();
    }
}
