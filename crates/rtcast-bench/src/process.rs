//! What processes, threads and sockets used, as Linux tells it.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// The kernel counts CPU time in ticks of a hundredth of a second, on every architecture that Linux runs on today.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSample {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
}

impl ProcessSample {
    /// Of this process; `None` where there is no `/proc`.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Of any process.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::parse(&stat, &status)
    }

    /// The CPU time used since an earlier sample.
    pub fn cpu_since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything; fields 14 and 15 are the times.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u32>().ok();
        let cpu = TICK * ticks()?.saturating_add(ticks()?);
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { cpu, memory: kilobytes * 1024 })
    }
}

/// The CPU time of the calling thread; `None` where the system does not tell.
pub(crate) fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// How many datagrams the kernel threw away because these ports' sockets were full.
pub(crate) fn dropped_datagrams(ports: &HashSet<u16>) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .map(|table| table.lines().skip(1).filter_map(|line| dropped_at(line, ports)).sum::<u64>())
        .sum()
}

fn dropped_at(line: &str, ports: &HashSet<u16>) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let port = fields.nth(1)?.rsplit_once(':')?.1;
    let port = u16::from_str_radix(port, 16).ok()?;
    if ports.contains(&port) { fields.last()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 100";
        let sample = ProcessSample::parse(stat, "Name:\ta\nVmRSS:\t   2048 kB\n").unwrap();
        assert_eq!(sample, ProcessSample { cpu: Duration::from_secs(2), memory: 2 << 20 });
        assert_eq!(ProcessSample::parse("7 (a", ""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_there() {
        assert!(ProcessSample::own().unwrap().memory > 1 << 20);
        assert_eq!(ProcessSample::of(u32::MAX), None);
    }

    #[test]
    fn a_socket_s_drops_stand_at_the_end_of_its_line() {
        let line = " 7: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0 12";
        assert_eq!(dropped_at(line, &HashSet::from([8080])), Some(12));
        assert_eq!(dropped_at(line, &HashSet::from([8081])), None);
        assert_eq!(dropped_at("  sl  local_address", &HashSet::from([8081])), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_s_time_goes_on() {
        let before = thread_cpu().unwrap();
        let mut sum = 0u64;
        while thread_cpu().unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu().unwrap() > before);
    }
}
