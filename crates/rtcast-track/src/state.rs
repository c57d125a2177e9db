//! What happens to a track.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener};

use crate::lock;

/// State changes that a listener may lag behind before it loses the oldest.
const CAPACITY: usize = 16;

/// What happens to a track, by the W3C's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackStateChange {
    /// `mute`: nothing comes for now.
    Mute,
    /// `unmute`: frames come.
    Unmute,
    /// `ended`: nothing will come any more. A closed connection ends its tracks without a word.
    Ended,
}

/// The changes of a track's state.
#[derive(Debug)]
pub struct TrackStateStream {
    changes: Arc<Changes>,
    listener: Option<EventListener>,
}

impl TrackStateStream {
    pub(crate) const fn new(changes: Arc<Changes>) -> Self {
        Self { changes, listener: None }
    }

    /// The next change; `None` once the track has ended. A listener that lags far behind loses the oldest.
    pub async fn recv(&mut self) -> Option<TrackStateChange> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The same for who polls by hand.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<TrackStateChange>> {
        loop {
            {
                let mut queue = lock(&self.changes.queue);
                let change = queue.waiting.pop_front();
                if change.is_some() || queue.ended {
                    return Poll::Ready(change);
                }
            }
            match &mut self.listener {
                None => self.listener = Some(self.changes.event.listen()),
                Some(listener) => {
                    ready!(Pin::new(listener).poll(context));
                    self.listener = None;
                }
            }
        }
    }
}

/// The changes that one listener has not heard of.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    queue: Mutex<Queue>,
    event: Event,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<TrackStateChange>,
    ended: bool,
}

impl Changes {
    pub(crate) fn tell(&self, change: TrackStateChange) {
        {
            let mut queue = lock(&self.queue);
            if queue.waiting.len() >= CAPACITY {
                queue.waiting.pop_front();
            }
            queue.waiting.push_back(change);
        }
        self.event.notify(usize::MAX);
    }

    /// No change follows.
    pub(crate) fn end(&self) {
        lock(&self.queue).ended = true;
        self.event.notify(usize::MAX);
    }
}
