//! How much of a processor this process uses.

use std::time::Instant;

/// Linux counts a process's time in hundredths of a second, on every architecture that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures the use of processors from one call to the next.
#[derive(Debug)]
pub(crate) struct Usage {
    last: Option<(Instant, u64)>,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self { last: ticks().map(|ticks| (Instant::now(), ticks)) }
    }

    /// Percent of one processor since the last call; `None` where the system does not tell.
    pub(crate) fn percent(&mut self) -> Option<f64> {
        let (at, before) = self.last?;
        let now = (Instant::now(), ticks()?);
        self.last = Some(now);
        let seconds = now.0.duration_since(at).as_secs_f64();
        (seconds > 0.0).then(|| now.1.saturating_sub(before) as f64 / TICKS_PER_SECOND / seconds * 100.0)
    }
}

/// User and system time of the process so far.
fn ticks() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 14 and 15 of proc(5)'s `stat`; the name before them may hold anything, but ends with the last parenthesis.
fn parse(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_confuses_nobody() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 5 0 100 0 0";
        assert_eq!(parse(stat), Some(300));
        assert_eq!(parse(""), None);
    }
}
