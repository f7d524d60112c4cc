//! What this process has used so far, from `/proc`: CPU time is the one number that a busy neighbour hardly changes.

use std::time::Duration;

/// Clock ticks a second in `/proc`: fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Fields of `/proc/self/stat` after the name in parentheses, from 0: user time, then system time.
const USER_FIELD: usize = 11;
/// Of `/proc/self/status`: memory in use.
const MEMORY_FIELD: &str = "VmRSS:";

/// User and system time of all threads of this process; zero where there is no `/proc`.
pub fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(USER_FIELD).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Resident memory, bytes; 0 where there is no `/proc`.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(MEMORY_FIELD));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
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
        }
    }
}
