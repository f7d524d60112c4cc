//! What can go wrong before and during an attempt. Nothing here is ever a result.

use std::time::Duration;

/// Failures of the engine itself and of preparing a program.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The configuration makes no sense or this host cannot run it.
    #[error("[X-CFG-001] this host cannot run the engine: {0}")]
    Config(String),
    /// The program was refused by the gate.
    #[error("[X-PRG-001] {0}")]
    Gate(#[from] rialto_machine::GateError),
    /// The program was refused by the gate, in a worker or before: what it said.
    #[error("[X-PRG-001] {0}")]
    Refused(String),
    /// The canonical module has not the shape that every canonical module has.
    #[error("[X-PRG-002] not a canonical program: {0}")]
    NotCanonical(String),
    /// The compiler refused the program.
    #[error("[X-PRG-003] the program does not compile: {0}")]
    Compile(String),
    /// Workers died of the program: it would take more memory or time than it may, or the compiler
    /// has a defect.
    #[error("[X-PRG-004] compiling the program ended the process that did it: {0}")]
    Worker(String),
    /// The caller cancelled it.
    #[error("[X-PRG-005] preparing the program was cancelled")]
    Cancelled,
    /// This host can't start a process to compile in; it may later.
    #[error("[X-PRG-006] cannot start a process to compile in: {0}")]
    Start(std::io::Error),
    /// A court was asked for where there is none.
    #[error("[X-PRG-007] no court can judge a run of this program")]
    NoCourt,
    /// The program is not the one that was signed.
    #[error(
        "[X-PRG-008] the program has not the root {root} under any rules that this version knows"
    )]
    OtherProgram {
        /// The root that was signed.
        root: alloy_primitives::B256,
    },
    /// The cache folder cannot be used.
    #[error("[X-CCH-001] the cache folder {path}: {source}")]
    Cache {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// This host could not run the task to its end: never a result, and nobody else's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// The caller cancelled it.
    #[error("[X-RUN-001] cancelled")]
    Cancelled,
    /// The local safety stop.
    #[error("[X-RUN-002] stopped after {0:?} of wall time")]
    WallTime(Duration),
    /// The task may use more memory than this host lends to one.
    #[error("[X-RUN-003] the task may use {needed} bytes of memory, this host lends {lent}")]
    Memory {
        /// Bytes the task may use.
        needed: u64,
        /// Bytes this host lends.
        lent: u64,
    },
    /// The system refused memory that was promised to the task.
    #[error("[X-RUN-004] the system refused memory: {0}")]
    OutOfMemory(String),
    /// The program starts with more pages than the order allows.
    #[error("[X-RUN-005] the program starts with {needed} pages, the limit is {limit}")]
    StartPages {
        /// Pages the program starts with.
        needed: u32,
        /// Pages the order allows.
        limit: u32,
    },
    /// An input is larger than its half of the input tree.
    #[error("[X-RUN-006] an input half of {0} bytes is too large")]
    InputTooLarge(u64),
    /// The shared input could not be read.
    #[error("[X-RUN-007] cannot read the shared input: {0}")]
    SharedInput(String),
    /// The native stack ended before the program's own limit did: a defect of this engine.
    #[error("[X-RUN-008] native stack exhausted")]
    NativeStack,
    /// No run can be given that much fuel.
    #[error("[X-RUN-009] the fuel limit {0} is above {max}", max = rialto_machine::limits::MAX_FUEL)]
    FuelLimit(u64),
    /// Anything else wasmtime reports that is not a trap of the program.
    #[error("[X-RUN-010] engine: {0}")]
    Engine(String),
    /// Whoever took the outcomes could not keep one.
    #[error("[X-RUN-011] cannot keep a task's output: {0}")]
    Output(String),
}
