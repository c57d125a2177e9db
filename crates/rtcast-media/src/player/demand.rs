//! Who wants something, and how the player's thread waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use rtcast_peer::Broadcast;
use tokio::sync::watch;

/// The demand for each of a player's broadcasts, in their order.
pub(super) struct Demand {
    receivers: Vec<watch::Receiver<usize>>,
}

impl Demand {
    pub(super) fn new(broadcasts: &[Broadcast]) -> Self {
        Self { receivers: broadcasts.iter().map(Broadcast::demand).collect() }
    }

    /// Whether anybody wants this one now.
    pub(super) fn is_wanted(&self, index: usize) -> bool {
        self.receivers.get(index).is_some_and(|receiver| *receiver.borrow() > 0)
    }

    /// Whether anybody wants any of them now.
    pub(super) fn is_any_wanted(&self) -> bool {
        (0..self.receivers.len()).any(|index| self.is_wanted(index))
    }

    /// Blocks until a demand changes, the time has come, or the thread is unparked with one of the flags set; `arrived`
    /// is cleared then.
    pub(super) fn wait(&mut self, until: Option<Instant>, stop: &AtomicBool, arrived: &AtomicBool) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut changes: Vec<Pin<Box<_>>> =
            self.receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
        loop {
            if stop.load(Ordering::Acquire) || arrived.swap(false, Ordering::AcqRel) {
                return;
            }
            let mut changed = false;
            changes.retain_mut(|change| match change.as_mut().poll(&mut context) {
                Poll::Pending => true,
                // A broadcast that is gone will never be wanted again, so its change is not waited for.
                Poll::Ready(result) => {
                    changed |= result.is_ok();
                    false
                }
            });
            if changed {
                return;
            }
            match until {
                None => thread::park(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
