//! What this machine has, and how fast it is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rialto_exec::{CancelFlag, Engine, Limits, SharedData};
use rialto_machine::{
    TaskLimits, Tracer, canonicalise,
    input::{Halves, TaskInput},
    lower,
};
use serde::{Deserialize, Serialize};

use crate::samples::RAYTRACE;

/// Share of the memory that is lent to tasks: the rest is for this process, the system and its
/// caches.
const MEMORY_SHARE: (u64, u64) = (3, 4);
/// How long the measured run should take: long enough that starting up doesn't count.
const MEASURE_FOR: Duration = Duration::from_secs(2);
/// Fuel of the run that is traced to measure how fast that goes: about a second.
const TRACED_FUEL: u64 = 200_000_000;
/// Light paths per pixel of the first, short run.
const FIRST_SAMPLES: u32 = 1;
/// Most light paths per pixel: what the program takes.
const MAX_SAMPLES: u32 = 4096;

/// Resources to sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Tasks at a time.
    pub cores: u32,
    /// Memory of all tasks, bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// What is here, cgroup limits included (the standard library counts cores by affinity and
    /// quota).
    pub fn detect() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let total = meminfo().into_iter().chain(cgroup_memory()).min().unwrap_or(2 << 30);
        Self { cores, memory_bytes: total / MEMORY_SHARE.1 * MEMORY_SHARE.0 }
    }
}

/// Memory of the machine, bytes.
fn meminfo() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The tightest memory limit of the groups this process is in, both versions.
fn cgroup_memory() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limits_of(&groups, &|path| std::fs::read_to_string(path).ok())
}

/// `read`: contents of a file, if it is there.
fn limits_of(groups: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut tightest = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A group is limited by everything above it. Inside a container its own path may not be
        // visible: the root is.
        for part in Path::new(group.trim_start_matches('/')).ancestors() {
            let limit = read(&PathBuf::from(root).join(part).join(file))
                .and_then(|text| text.trim().parse().ok());
            tightest = tightest.into_iter().chain(limit).min();
        }
    }
    tightest
}

/// A measurement, kept for machines like this one.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    machine: String,
    fuel_per_second: u64,
}

/// Fuel per second of one core while all of them work: from `cache`, or measured within a few
/// seconds.
pub fn speed(engine: &Engine, cores: u32, cache: &Path) -> Result<u64> {
    measured(cores, cache, || measure(engine, cores))
}

/// Fuel per second that a task is traced at, on one core: from `cache`, or measured within a few
/// seconds.
pub fn tracing(cache: &Path) -> Result<u64> {
    measured(1, cache, measure_tracing)
}

fn measured(cores: u32, cache: &Path, measure: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let machine = fingerprint(cores)?;
    let known =
        std::fs::read(cache).ok().and_then(|text| serde_json::from_slice::<Known>(&text).ok());
    if let Some(known) = known.filter(|known| known.machine == machine) {
        return Ok(known.fuel_per_second);
    }
    let fuel_per_second = measure()?;
    let text = serde_json::to_vec_pretty(&Known { machine, fuel_per_second })?;
    std::fs::write(cache, text).with_context(|| format!("{} can't be written", cache.display()))?;
    Ok(fuel_per_second)
}

/// Processor, cores, version, and the kernel's root, which changes with the rules of metering: when
/// one does, it is measured again.
fn fingerprint(cores: u32) -> Result<String> {
    let root = rialto_machine::canonicalise(RAYTRACE)?.program_root;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    let model = model.map_or("?", |(_, name)| name);
    Ok(format!("{model}, {cores} cores, rialto {}, kernel {root}", env!("CARGO_PKG_VERSION")))
}

/// The path tracer, canonical as on the market, on every core at once.
fn measure(engine: &Engine, cores: u32) -> Result<u64> {
    let program = engine.prepare(RAYTRACE)?;
    let run = |samples: u32| -> Result<(u64, f64)> {
        let argv = ["raytrace", "64", "64", "64", "0", &samples.to_string()];
        let argv = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let input: Bytes = TaskInput { argv, ..TaskInput::default() }.encode()?.into();
        let limits = Limits { fuel: 1 << 50, out_bytes: 1 << 20, max_pages: 256 };
        let inputs = vec![input; cores as usize];
        let started = Instant::now();
        let cancel = CancelFlag::new();
        let done = engine.run_batch(
            &program,
            &inputs,
            &SharedData::none(),
            &limits,
            0,
            &cancel,
            &|_| {},
        )?;
        let seconds = started.elapsed().as_secs_f64().max(1e-6);
        Ok((done.iter().map(|outcome| outcome.halted.fuel_used(limits.fuel)).sum(), seconds))
    };
    let (_, first) = run(FIRST_SAMPLES)?;
    let samples = (MEASURE_FOR.as_secs_f64() / first * f64::from(FIRST_SAMPLES)) as u32;
    let (fuel, seconds) = run(samples.clamp(FIRST_SAMPLES, MAX_SAMPLES))?;
    Ok(((fuel as f64 / seconds / f64::from(cores.max(1))) as u64).max(1))
}

/// The path tracer, step by step until it has used its fuel.
fn measure_tracing() -> Result<u64> {
    let program = Arc::new(lower(&canonicalise(RAYTRACE)?.module));
    let argv = ["raytrace", "64", "64", "64", "0", &MAX_SAMPLES.to_string()];
    let argv = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let input = TaskInput { argv, ..TaskInput::default() }.encode()?;
    let input = Arc::new(Halves::new(input.into(), Default::default()));
    let limits = TaskLimits { seed: 0, fuel: TRACED_FUEL, out: 1 << 20, pages: 256 };
    let mut tracer = Tracer::new(program, input, limits);
    let started = Instant::now();
    let steps = tracer.finish(u64::MAX);
    ensure!(steps.is_some(), "the path tracer did not end");
    Ok(((TRACED_FUEL as f64 / started.elapsed().as_secs_f64().max(1e-6)) as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let files = |path: &Path| match path.to_str()? {
            "/sys/fs/cgroup/a/b/memory.max" => Some("max\n".into()),
            "/sys/fs/cgroup/a/memory.max" => Some("2000\n".into()),
            "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => Some("1000".into()),
            _ => None,
        };
        assert_eq!(limits_of("0::/a/b\n", &files), Some(2000));
        assert_eq!(limits_of("5:cpu,memory:/x\n0::/a/b", &files), Some(1000));
        assert_eq!(limits_of("0::/\n1:name=x:/y\nnonsense", &files), None);
    }

    #[test]
    fn something_is_here() {
        let here = Machine::detect();
        assert!(here.cores >= 1 && here.memory_bytes > 1 << 20, "{here:?}");
    }
}
