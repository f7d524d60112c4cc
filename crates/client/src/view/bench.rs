//! What `rialto bench` measures.

use std::collections::BTreeMap;

use serde::Serialize;

/// Middle, last percent and worst of many measurements.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchSpread {
    /// Half of them took at most so long.
    pub p50_micros: f64,
    /// 99 of 100 took at most so long.
    pub p99_micros: f64,
    /// The longest.
    pub max_micros: f64,
}

/// One kernel, run in several ways.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Kernel {
    /// Its name.
    pub kernel: String,
    /// Its fuel.
    pub fuel: u64,
    /// As a canonical program.
    pub canonical_seconds: Option<f64>,
    /// As a plain module in wasmtime.
    pub plain_seconds: Option<f64>,
    /// The same with wasmtime's own settings.
    pub default_seconds: Option<f64>,
    /// Compiled natively.
    pub native_seconds: Option<f64>,
    /// How many times longer the canonical program takes than the plain one.
    pub vs_plain: Option<f64>,
    /// Than with wasmtime's own settings.
    pub vs_default: Option<f64>,
    /// Than natively.
    pub vs_native: Option<f64>,
    /// How far the slowest round is from the fastest.
    pub spread: f64,
}

/// Geometric means over all kernels.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelMeans {
    /// Against plain modules.
    pub vs_plain: Option<f64>,
    /// Against wasmtime's own settings.
    pub vs_default: Option<f64>,
    /// Against native code.
    pub vs_native: Option<f64>,
}

/// `rialto bench exec`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchExec {
    /// Every kernel.
    pub kernels: Vec<Kernel>,
    /// Rounds of each.
    pub rounds: u32,
    /// The C compiler, if there is one.
    pub native_compiler: Option<String>,
    /// Over all kernels.
    pub geometric_mean: KernelMeans,
}

/// `rialto bench idle`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchIdle {
    /// How long it was watched.
    pub seconds: u64,
    /// Of one core.
    pub cpu_share: f64,
    /// Processor time.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How much that grew.
    pub grown_bytes: i64,
    /// Open files.
    pub open_files: usize,
    /// Threads.
    pub threads: usize,
    /// How often a thread woke up.
    pub wakeups_per_second: f64,
}

/// `rialto bench latency`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchLatency {
    /// Jobs that count.
    pub jobs: u32,
    /// From handing in to the verified result.
    pub first_task: BenchSpread,
    /// From the order to the verified result.
    pub from_order: BenchSpread,
    /// The first job, which opened the deal.
    pub deal_opened_too_micros: f64,
    /// The steps in between.
    pub steps: BTreeMap<String, BenchSpread>,
}

/// A kind of job in `rialto bench match`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchJob {
    /// Its name.
    pub job: String,
    /// Providers that it needs.
    pub k: u32,
    /// Deals that were found.
    pub found: usize,
    /// By the index, by the clock.
    pub index: BenchSpread,
    /// By the index, processor time.
    pub index_processor: BenchSpread,
    /// By looking at all asks.
    pub scan_millis: Option<f64>,
}

/// `rialto bench match`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchMatch {
    /// Asks in the book.
    pub asks: u32,
    /// Memory of an ask.
    pub bytes_per_ask: u64,
    /// Time to insert one.
    pub insert_micros: f64,
    /// Longest time of a second's turn.
    pub turn_millis: f64,
    /// Queries of each kind.
    pub queries: u32,
    /// Every kind of job.
    pub jobs: Vec<BenchJob>,
}

/// A way to move bytes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchTransfer {
    /// In the middle.
    pub mb_per_second: f64,
    /// The slowest.
    pub slowest: f64,
    /// The fastest.
    pub fastest: f64,
    /// Processor time of both sides.
    pub cpu_seconds_per_gb: f64,
}

/// `rialto bench net`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchNet {
    /// Size of a transfer.
    pub mib: u32,
    /// Transfers of each kind.
    pub rounds: u32,
    /// A checked blob.
    pub blob: BenchTransfer,
    /// A bare QUIC stream with the same windows.
    pub stream: BenchTransfer,
    /// A bare QUIC stream with larger windows.
    pub stream_wide: BenchTransfer,
    /// A blob's speed in bare streams.
    pub blob_to_stream: f64,
    /// And in those with larger windows.
    pub blob_to_stream_wide: f64,
}

/// `rialto bench tasks`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchTasks {
    /// Tasks.
    pub tasks: u32,
    /// From order to voucher.
    pub tasks_per_second: f64,
    /// How results were checked.
    pub policy: String,
    /// Providers.
    pub providers: u32,
    /// From the first order to the closing voucher.
    pub seconds: f64,
    /// To hand the job in.
    pub submit_seconds: f64,
    /// To open the deals.
    pub open_seconds: f64,
    /// Processor time of all sides for a task.
    pub cpu_micros_per_task: f64,
    /// Resident memory at the end.
    pub memory_bytes: u64,
    /// Cores of this machine.
    pub cores: usize,
}

/// Rialto's own speed in `rialto bench compare`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OwnRate {
    /// From order to voucher.
    pub tasks_per_second: f64,
    /// And with handing in.
    pub with_handing_in: f64,
}

/// Another system in `rialto bench compare`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum BenchOther {
    /// It is not here.
    Missing {
        /// Always true.
        missing: bool,
        /// How to install it.
        install: String,
    },
    /// It was measured.
    Measured {
        /// Its version.
        version: String,
        /// Tasks a second.
        tasks_per_second: f64,
        /// Half of single tasks took at most so long.
        latency_p50_micros: f64,
        /// 99 of 100 took at most so long.
        latency_p99_micros: f64,
        /// How many times as fast Rialto is.
        rialto_is_times_as_fast: f64,
        /// The same with handing in.
        with_handing_in: f64,
    },
}

/// `rialto bench compare`
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchCompare {
    /// Tasks on each.
    pub tasks: u32,
    /// Rialto's own speed.
    pub rialto: OwnRate,
    /// The others, by name.
    pub others: BTreeMap<String, BenchOther>,
}
