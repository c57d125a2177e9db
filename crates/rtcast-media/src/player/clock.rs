//! The one clock by which pictures and sound are sent. It stands while nobody watches.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rtcast_track::MediaTime;

/// Media time against the time of the process; shared by the threads of a player.
pub(super) struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The media time at `running_since`, or at which the clock stands.
    position: MediaTime,
    running_since: Option<Instant>,
    stopped: bool,
}

impl Clock {
    /// A clock that stands at zero.
    pub(super) const fn new() -> Self {
        let state = State { position: MediaTime::ZERO, running_since: None, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Runs on from where it stands.
    pub(super) fn start(&self, now: Instant) {
        let mut state = self.lock();
        if state.running_since.is_none() {
            state.running_since = Some(now);
            self.changed.notify_all();
        }
    }

    /// Stands still.
    pub(super) fn pause(&self, now: Instant) {
        let mut state = self.lock();
        state.position = state.position(now);
        state.running_since = None;
        self.changed.notify_all();
    }

    /// Sets the clock back, when the source fell behind: everything is due so much later.
    pub(super) fn delay(&self, by: MediaTime) {
        let mut state = self.lock();
        state.position = state.position.since(by);
        self.changed.notify_all();
    }

    /// Lets every waiting thread go, for good.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// The media time now.
    pub(super) fn position(&self, now: Instant) -> MediaTime {
        self.lock().position(now)
    }

    /// When a media time is, or was, reached; `None` while the clock stands.
    pub(super) fn due(&self, time: MediaTime) -> Option<Instant> {
        self.lock().due(time)
    }

    /// Blocks until a media time is reached and returns that instant; `None` once the clock was stopped.
    pub(super) fn wait_until(&self, time: MediaTime) -> Option<Instant> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            state = match state.due(time) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Some(due);
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and every state is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn position(&self, now: Instant) -> MediaTime {
        let run = self.running_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.position.offset(run.into())
    }

    fn due(&self, time: MediaTime) -> Option<Instant> {
        let since = self.running_since?;
        let ahead = time.since(self.position);
        Some(if ahead < MediaTime::ZERO {
            since.checked_sub(self.position.since(time).to_duration()).unwrap_or(since)
        } else {
            since.checked_add(ahead.to_duration()).unwrap_or(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const fn milliseconds(count: i64) -> MediaTime {
        MediaTime::from_micros(count * 1_000)
    }

    #[test]
    fn it_goes_on_where_it_stood() {
        let clock = Clock::new();
        let start = Instant::now();
        let at = |count: u64| start + Duration::from_millis(count);
        assert_eq!(clock.due(milliseconds(5)), None);
        clock.start(at(100));
        clock.start(at(150)); // it runs already
        assert_eq!(clock.position(at(300)), milliseconds(200));
        assert_eq!(clock.due(milliseconds(250)), Some(at(350)));
        clock.pause(at(400));
        assert_eq!(clock.position(at(9_000)), milliseconds(300));
        clock.start(at(10_000));
        assert_eq!(clock.due(milliseconds(310)), Some(at(10_010)));
        assert_eq!(clock.due(milliseconds(290)), Some(at(9_990)));
        clock.delay(milliseconds(50));
        assert_eq!(clock.due(milliseconds(310)), Some(at(10_060)));
        assert_eq!(clock.position(at(10_060)), milliseconds(310));
    }

    #[test]
    fn waiting_ends_at_the_time_or_when_stopped() {
        let clock = Arc::new(Clock::new());
        let start = Instant::now();
        clock.start(start);
        assert_eq!(clock.wait_until(milliseconds(30)), Some(start + Duration::from_millis(30)));
        assert!(start.elapsed() >= Duration::from_millis(30));
        clock.pause(Instant::now());
        let waiting = thread::spawn({
            let clock = Arc::clone(&clock);
            move || clock.wait_until(milliseconds(60_000))
        });
        clock.stop();
        assert_eq!(waiting.join().expect("no panic"), None);
    }
}
