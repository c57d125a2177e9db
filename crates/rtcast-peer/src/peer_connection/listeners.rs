//! Who listens to a connection's events: each has a queue of its own, which takes memory only while something waits in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use rtcast_proto::connection::StaleCandidates;

use super::events::PeerConnectionEvent;

/// Events that a listener may lag behind before it loses the oldest: a peer may open a thousand data channels at once.
const CAPACITY: usize = 4_096;

/// Everybody who listens to a connection.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    queues: Vec<Weak<Listener>>,
    ended: bool,
}

/// One who listens, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Listener {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<PeerConnectionEvent>,
    ended: bool,
    waker: Option<Waker>,
}

impl Listeners {
    /// Somebody who hears everything from now on; after the end, only that it has come.
    pub(super) fn add(&mut self) -> Arc<Listener> {
        let listener = Arc::new(Listener::default());
        if self.ended {
            listener.lock().ended = true;
        } else {
            self.queues.retain(|queue| queue.strong_count() > 0);
            self.queues.push(Arc::downgrade(&listener));
        }
        listener
    }

    /// Tells everybody.
    pub(super) fn tell(&mut self, event: &PeerConnectionEvent) {
        self.queues.retain(|queue| match queue.upgrade() {
            Some(listener) => {
                listener.push(event.clone());
                true
            }
            None => false,
        });
    }

    /// Takes the candidates with another fragment than this out of the queues.
    pub(super) fn forget_stale_candidates(&self, described: Option<&str>) {
        for listener in self.queues.iter().filter_map(Weak::upgrade) {
            let mut stale = StaleCandidates::new(described);
            listener.lock().events.retain(|event| match event {
                PeerConnectionEvent::IceCandidate(candidate) => !stale.is_stale(candidate.as_ref()),
                _ => true,
            });
        }
    }

    /// Nothing more will happen.
    pub(super) fn end(&mut self) {
        self.ended = true;
        for listener in self.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            let waker = {
                let mut queue = listener.lock();
                queue.ended = true;
                queue.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Listener {
    fn push(&self, event: PeerConnectionEvent) {
        let (waker, _lost) = {
            let mut queue = self.lock();
            let lost = if queue.events.len() >= CAPACITY { queue.events.pop_front() } else { None };
            queue.events.push_back(event);
            (queue.waker.take(), lost)
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// The next event; `None` after the end.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<PeerConnectionEvent>> {
        let mut queue = self.lock();
        if let Some(event) = queue.events.pop_front() {
            if queue.events.is_empty() {
                queue.events = VecDeque::new();
            }
            return Poll::Ready(Some(event));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // What is behind the lock is whole after every statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(listener: &Listener) -> Poll<Option<PeerConnectionEvent>> {
        listener.poll_next(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn every_listener_hears_what_happens_from_its_beginning_to_the_end() {
        let mut listeners = Listeners::default();
        let first = listeners.add();
        listeners.tell(&PeerConnectionEvent::NegotiationNeeded);
        let second = listeners.add();
        listeners.tell(&PeerConnectionEvent::IceCandidate(None));
        listeners.end();
        let late = listeners.add();

        assert!(matches!(poll(&first), Poll::Ready(Some(PeerConnectionEvent::NegotiationNeeded))));
        for listener in [&first, &second] {
            assert!(matches!(poll(listener), Poll::Ready(Some(PeerConnectionEvent::IceCandidate(None)))));
            assert!(matches!(poll(listener), Poll::Ready(None)));
        }
        assert!(matches!(poll(&late), Poll::Ready(None)));
    }

    #[test]
    fn a_listener_that_lags_loses_the_oldest() {
        let mut listeners = Listeners::default();
        let listener = listeners.add();
        listeners.tell(&PeerConnectionEvent::IceCandidate(None));
        (0..CAPACITY).for_each(|_| listeners.tell(&PeerConnectionEvent::NegotiationNeeded));
        assert!(matches!(poll(&listener), Poll::Ready(Some(PeerConnectionEvent::NegotiationNeeded))));
        assert_eq!(listener.lock().events.len(), CAPACITY - 1);
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let mut listeners = Listeners::default();
        drop(listeners.add());
        let _stays = listeners.add();
        listeners.tell(&PeerConnectionEvent::NegotiationNeeded);
        assert_eq!(listeners.queues.len(), 1);
    }
}
