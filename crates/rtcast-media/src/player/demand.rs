//! Who wants something, and how the player's thread waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use rtcast_track::{Broadcast, Upstream};

/// The demand for each of a player's broadcasts, in their order.
pub(super) struct Demand {
    upstreams: Vec<Upstream>,
}

impl Demand {
    pub(super) fn new(broadcasts: &[Broadcast]) -> Self {
        Self { upstreams: broadcasts.iter().map(Broadcast::upstream).collect() }
    }

    /// Whether anybody wants this one now.
    pub(super) fn is_wanted(&self, index: usize) -> bool {
        self.upstreams.get(index).is_some_and(|upstream| upstream.demand() > 0)
    }

    /// Whether anybody wants any of them now.
    pub(super) fn is_any_wanted(&self) -> bool {
        (0..self.upstreams.len()).any(|index| self.is_wanted(index))
    }

    /// Blocks until a demand changes, the time has come, or the thread is unparked with one of the flags set; `arrived`
    /// is cleared then.
    pub(super) fn wait(&mut self, until: Option<Instant>, stop: &AtomicBool, arrived: &AtomicBool) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if stop.load(Ordering::Acquire) || arrived.swap(false, Ordering::AcqRel) {
                return;
            }
            // All are asked, so that each wakes this thread.
            let changed =
                self.upstreams.iter_mut().filter_map(|one| one.poll_changed(&mut context).is_ready().then_some(()));
            if changed.count() > 0 {
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
