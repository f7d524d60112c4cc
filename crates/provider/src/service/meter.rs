//! How busy the cores are, over the last minute, hour and day; and what this process takes of the
//! machine.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Windows, in milliseconds per piece: 60 pieces of a second, 60 of a minute, 24 of an hour.
const WINDOWS: [(u64, usize); 3] = [(1_000, 60), (60_000, 60), (3_600_000, 24)];

/// Core time over the last minute, hour and day, milliseconds: all cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Last 60 seconds.
    pub minute: u64,
    /// Last 60 minutes.
    pub hour: u64,
    /// Last 24 hours.
    pub day: u64,
    /// Since the start, milliseconds of time: what a longer window can't hold yet.
    pub running_for: u64,
}

/// Adds up time × cores.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    cores: u32,
    at: u64,
    rings: [Ring; 3],
    unreported: u64,
}

#[derive(Debug, Default)]
struct Ring {
    /// (piece number, core-milliseconds), oldest first.
    pieces: VecDeque<(u64, u64)>,
}

impl Ring {
    fn add(&mut self, piece: u64, amount: u64) {
        match self.pieces.back_mut() {
            Some((last, sum)) if *last == piece => *sum += amount,
            _ => self.pieces.push_back((piece, amount)),
        }
    }

    /// Forgets pieces that lie wholly before a time.
    fn keep(&mut self, since: u64, size: u64) {
        while self.pieces.front().is_some_and(|(piece, _)| (piece + 1) * size <= since) {
            self.pieces.pop_front();
        }
    }
}

impl Meter {
    /// From `millis` after the start on, so many cores are busy.
    pub fn note(&mut self, millis: u64, cores: u32) {
        let (mut from, to) = (self.at, millis.max(self.at));
        if self.cores > 0 && to > from {
            self.unreported += (to - from) * u64::from(self.cores);
            // Nothing older than the longest window matters.
            from = from.max(to.saturating_sub(WINDOWS[2].0 * WINDOWS[2].1 as u64));
            for (ring, (piece, count)) in self.rings.iter_mut().zip(WINDOWS) {
                let mut at = from.max(to.saturating_sub(piece * count as u64));
                while at < to {
                    let end = to.min((at / piece + 1) * piece);
                    ring.add(at / piece, (end - at) * u64::from(self.cores));
                    at = end;
                }
            }
        }
        (self.at, self.cores) = (to, cores);
        for (ring, (piece, count)) in self.rings.iter_mut().zip(WINDOWS) {
            ring.keep(to.saturating_sub(piece * count as u64), piece);
        }
    }

    /// Core time since this was asked last, milliseconds.
    pub fn unreported(&mut self) -> u64 {
        std::mem::take(&mut self.unreported)
    }

    /// As of the last note.
    pub fn usage(&self) -> Usage {
        let sum = |ring: &Ring| ring.pieces.iter().map(|(_, sum)| sum).sum();
        let [minute, hour, day] = &self.rings;
        Usage { minute: sum(minute), hour: sum(hour), day: sum(day), running_for: self.at }
    }
}

/// What this process takes of the machine. Zeros where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Memory in use, bytes.
    pub resident_bytes: u64,
    /// Processor time since the start of the process, milliseconds.
    pub cpu_millis: u64,
    /// Open files and sockets.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
}

/// Linux counts processor time in hundredths of a second for every program.
const MILLIS_PER_CLOCK_TICK: u64 = 10;
/// Size of a page in `/proc`; the same on all machines that are served.
const PAGE_BYTES: u64 = 4096;

impl Footprint {
    /// As it is now.
    pub fn now() -> Self {
        let number = |text: &str, field: usize| {
            text.split_whitespace().nth(field).and_then(|n| n.parse::<u64>().ok())
        };
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold spaces; what follows does not.
        let stat = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let cpu = number(stat, 11).unwrap_or(0) + number(stat, 12).unwrap_or(0);
        let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        Self {
            resident_bytes: number(&memory, 1).unwrap_or(0) * PAGE_BYTES,
            cpu_millis: cpu * MILLIS_PER_CLOCK_TICK,
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            threads: number(stat, 17).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_they_say() {
        let mut meter = Meter::default();
        meter.note(0, 2);
        meter.note(30_000, 0);
        assert_eq!(
            meter.usage(),
            Usage { minute: 60_000, hour: 60_000, day: 60_000, running_for: 30_000 }
        );
        meter.note(70_500, 1);
        // Seconds 10 to 29 are left of the minute.
        assert_eq!(meter.usage().minute, 40_000);
        assert_eq!(meter.unreported(), 60_000);
        meter.note(71_000, 0);
        assert_eq!((meter.usage().minute, meter.unreported()), (38_500, 500));
        meter.note(3_600_000 * 30, 0);
        assert_eq!(meter.usage(), Usage { running_for: 3_600_000 * 30, ..Usage::default() });
    }

    #[test]
    fn a_long_time_at_once_stays_within_the_windows() {
        let mut meter = Meter::default();
        meter.note(0, 4);
        meter.note(3_600_000 * 50, 4);
        let usage = meter.usage();
        assert_eq!(
            (usage.minute, usage.hour, usage.day),
            (4 * 60_000, 4 * 3_600_000, 4 * 24 * 3_600_000)
        );
        assert!(meter.rings.iter().all(|ring| ring.pieces.len() <= 61));
    }

    #[test]
    fn this_process_has_a_size() {
        if std::path::Path::new("/proc/self/stat").exists() {
            let now = Footprint::now();
            assert!(now.resident_bytes > 0 && now.open_files > 0 && now.threads > 0, "{now:?}");
        }
    }
}
