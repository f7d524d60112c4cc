//! What a process has used so far, from `/proc`: CPU time is the one number that a busy neighbour
//! hardly changes.

use std::{fs, time::Duration};

/// Clock ticks a second in `/proc`: fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Fields of `/proc/PID/stat` after the name in parentheses, from 0: user time, then system time.
const USER_FIELD: usize = 11;
/// Of `/proc/PID/status`: memory in use, and how often a thread fell asleep.
const MEMORY_FIELD: &str = "VmRSS:";
const SLEEPS_FIELD: &str = "voluntary_ctxt_switches:";

/// What a process uses; zeros where there is no `/proc`, or no such process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub memory: u64,
    /// Open files and sockets.
    pub files: usize,
    /// Threads.
    pub threads: usize,
    /// Times that one of today's threads fell asleep, and so woke up.
    pub switches: u64,
}

/// A process by its number.
pub fn of(pid: u32) -> Usage {
    let dir = format!("/proc/{pid}");
    let count = |name: &str| fs::read_dir(format!("{dir}/{name}")).map_or(0, Iterator::count);
    let threads = fs::read_dir(format!("{dir}/task")).into_iter().flatten().flatten();
    Usage {
        cpu: cpu_of(&dir),
        memory: memory_of(&dir),
        files: count("fd"),
        threads: count("task"),
        switches: threads
            .filter_map(|thread| status(&thread.path().to_string_lossy(), SLEEPS_FIELD))
            .sum(),
    }
}

/// User and system time of all threads of this process; zero where there is no `/proc`.
pub fn cpu() -> Duration {
    cpu_of("/proc/self")
}

/// Processor time of this thread, to some microseconds; zero where there is no `/proc`. On a busy
/// machine the clock counts what others do meanwhile, this does not.
pub fn thread_cpu() -> Duration {
    // The kernel brings the count up to date when a thread goes to sleep.
    std::thread::sleep(Duration::from_nanos(1));
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0),
    )
}

/// Resident memory of this process, bytes; 0 where there is no `/proc`.
pub fn memory() -> u64 {
    memory_of("/proc/self")
}

fn cpu_of(dir: &str) -> Duration {
    let stat = fs::read_to_string(format!("{dir}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 =
        fields.skip(USER_FIELD).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

fn memory_of(dir: &str) -> u64 {
    status(dir, MEMORY_FIELD).unwrap_or(0) * 1024
}

fn status(dir: &str, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("{dir}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        if std::path::Path::new("/proc/self/stat").exists() {
            assert!(memory() > 0);
            let started = std::time::Instant::now();
            while started.elapsed() < Duration::from_millis(60) {}
            assert!(cpu() > Duration::ZERO);
            let usage = of(std::process::id());
            assert!(usage.files > 0 && usage.threads > 0 && usage.memory > 0);
        }
    }
}
