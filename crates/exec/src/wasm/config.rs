//! How an engine is set up.

use std::path::PathBuf;
use std::time::Duration;

use rialto_machine::Machines;

/// What this host lends. Nothing here changes a result.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of compiled programs; created with mode 0700 if missing. Several processes may share
    /// it.
    pub cache_dir: PathBuf,
    /// Tasks that run at the same time.
    pub cores: usize,
    /// Memory of all running tasks together, bytes; also the most that one task may be promised.
    pub max_memory_bytes: u64,
    /// Safety stop: wall time of one task. Fuel bounds every run; a provider must be able to burn
    /// all that it promises to within this.
    pub max_wall: Duration,
    /// Programs that are compiled at the same time, each in a worker.
    pub workers: usize,
    /// Versions of the machine that programs may be signed under.
    pub machines: Machines,
}

impl Config {
    /// All cores, 1 GiB for tasks, a day a task, half as many workers as cores.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache_dir: cache_dir.into(),
            cores,
            workers: cores.div_ceil(2).max(2),
            machines: Machines::default(),
            max_memory_bytes: 1 << 30,
            max_wall: Duration::from_secs(24 * 3600),
        }
    }
}
