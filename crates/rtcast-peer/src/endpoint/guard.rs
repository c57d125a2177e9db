//! A defect in the work for one connection ends that connection, and is told once and not a thousand times.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::error;

/// One kind of defect is told again after this time, with the number of times that it came meanwhile.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Kinds that are told apart.
const MAX_KINDS: usize = 64;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static DEFECT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where the work went wrong, and the words of the program.
#[derive(Debug)]
pub(super) struct Defect(String);

/// Runs work; a panic in it is returned instead of printed.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Defect> {
    let before = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(|_| Defect(DEFECT.take().unwrap_or_default()))
}

/// Keeps quiet about panics within [`guarded`]; all others go to whatever hook there was.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                others(info);
                return;
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            let words: String = info.payload_as_str().unwrap_or_default().chars().take(200).collect();
            DEFECT.set(Some(format!("{place}: {words}")));
        }));
    });
}

impl Defect {
    /// Writes a line into the log, unless this kind was told a moment ago.
    pub(super) fn tell(&self, connection: Option<u64>) {
        static KINDS: OnceLock<Mutex<Kinds>> = OnceLock::new();
        let kinds = KINDS.get_or_init(Mutex::default);
        let told = kinds.lock().unwrap_or_else(PoisonError::into_inner).count(&self.0, Instant::now());
        if let Some(times) = told {
            error!(connection, defect = %self.0, times, "a connection broke off by a defect in the program and is dropped");
        }
    }
}

/// When each kind was told last, and how often it has come since.
#[derive(Default)]
struct Kinds(HashMap<String, (Instant, u64)>);

impl Kinds {
    /// Counts a defect. Returns how many have come, if that is to be told now.
    fn count(&mut self, defect: &str, now: Instant) -> Option<u64> {
        // What the program says of the input differs from time to time; where it says it does not.
        let kind = defect.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
        if !self.0.contains_key(&kind) && self.0.len() >= MAX_KINDS {
            return None;
        }
        let (told_at, times) = self.0.entry(kind).or_insert((now, 0));
        *times += 1;
        if *times > 1 && now.saturating_duration_since(*told_at) < TOLD_AGAIN {
            return None;
        }
        *told_at = now;
        Some(std::mem::replace(times, 1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_returned_with_its_place_and_the_next_work_runs() {
        install();
        let defect = guarded(|| -> u8 { panic!("of {} kinds", 2) }).unwrap_err();
        assert!(defect.0.contains("guard.rs:") && defect.0.ends_with(": of 2 kinds"), "{}", defect.0);
        assert_eq!(guarded(|| 7).unwrap(), 7);
    }

    #[test]
    fn one_kind_is_told_once_a_minute_with_its_number() {
        let start = Instant::now();
        let mut kinds = Kinds::default();
        assert_eq!(kinds.count("a.rs:7: one", start), Some(1));
        for milliseconds in 0..1_000 {
            assert_eq!(kinds.count("a.rs:7: another", start + Duration::from_millis(milliseconds)), None);
        }
        assert_eq!(kinds.count("a.rs:8: one", start), Some(1));
        assert_eq!(kinds.count("a.rs:7: one", start + TOLD_AGAIN), Some(1_002));
        for kind in 0..1_000 {
            kinds.count(&format!("b.rs:{kind}: x"), start);
        }
        assert!(kinds.0.len() <= MAX_KINDS);
    }
}
