//! Programs: checked, run, and traced.

use std::path::PathBuf;

use serde::Serialize;

use super::{Account, Decimal, Hash};

/// Memory of a program in pages of 64 KiB.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pages {
    /// At its start.
    pub min: u32,
    /// At most.
    pub max: u32,
}

/// A run of a program on this machine.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trial {
    /// `finished`, `failed`, `out of fuel` or `trapped`.
    pub ending: String,
    /// Its exit code.
    pub exit_code: u32,
    /// Fuel that it used.
    pub fuel: u64,
    /// Fuel that it could use.
    pub fuel_limit: u64,
    /// Memory at its end.
    pub memory_bytes: u64,
    /// Time to compile it.
    pub compile_milliseconds: u64,
    /// Time to run it.
    pub milliseconds: u64,
    /// Length of its standard output.
    pub stdout_bytes: usize,
    /// Length of its standard error.
    pub stderr_bytes: usize,
    /// Files that it created.
    pub files: usize,
    /// Hash of its output.
    pub out_hash: Hash,
    /// Last lines of standard error, if it failed.
    pub said: Vec<String>,
}

/// A program that the machine takes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProgramCheck {
    /// What orders name.
    pub program_root: Hash,
    /// Version of the rules it was made canonical by.
    pub canon_version: u16,
    /// Size of the program.
    pub bytes: usize,
    /// Size of the canonical program.
    pub canonical_bytes: usize,
    /// Its memory.
    pub memory_pages: Pages,
    /// With `--run`: what a run took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Trial>,
}

/// A file that a program created.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProgramFile {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: usize,
}

/// A program that was run on a market.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProgramRun {
    /// Its exit code.
    pub exit_code: u32,
    /// `finished` or `trap`.
    pub status: String,
    /// Whether it trapped because its fuel was used up.
    pub out_of_fuel: bool,
    /// Standard output; bytes that are no text are escaped.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Files that it created.
    pub files: Vec<ProgramFile>,
    /// Hash of its output.
    pub out_hash: Hash,
    /// Fuel that it used.
    pub fuel: u64,
    /// Providers whose results are equal.
    pub replicas: u32,
    /// What it cost, base units.
    pub paid: Decimal,
    /// Transactions on chain.
    pub transactions: usize,
}

/// What a provider signed about a task that was traced.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplayedResult {
    /// The provider.
    pub provider: Account,
    /// Its deal.
    pub deal: Hash,
    /// H(halted) that it signed; none if it signed nothing.
    pub signed: Option<Hash>,
    /// Whether tracing gives the same; none if the runs differ.
    pub equal: Option<bool>,
}

/// A task that was traced to its end.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Replay {
    /// The task or program.
    pub what: String,
    /// Root of the program.
    pub program: Hash,
    /// Steps of the run.
    pub steps: u64,
    /// Steps for each fuel.
    pub steps_per_fuel: f64,
    /// Fuel that it used.
    pub fuel: u64,
    /// Fuel that was left; negative if it ran out.
    pub fuel_left: i64,
    /// `finished` or `trap`.
    pub status: String,
    /// Its exit code.
    pub exit_code: u32,
    /// Hash of its output.
    pub out_hash: Hash,
    /// Size of its output.
    pub out_bytes: u64,
    /// H(halted), which a leaf of a receipt is made of.
    pub halted: Hash,
    /// A game about it spans 16^level steps.
    pub level: u8,
    /// What providers signed.
    pub signed: Vec<ReplayedResult>,
    /// Whether all that can be compared is equal.
    pub right: bool,
}

/// Something that a step reads or writes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepTouch {
    /// `slot`, `global`, `memory`, `pages`, `table`, `input`, `output` or `call`.
    pub place: String,
    /// Which one.
    pub at: u64,
    /// Value before the step.
    pub before: String,
    /// Value after it.
    pub after: String,
    /// Whether they differ.
    pub changed: bool,
}

/// A step of a run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplayStep {
    /// Steps before it.
    pub step: u64,
    /// State before it.
    pub state: Hash,
    /// State after it.
    pub next: Hash,
    /// Place of the instruction.
    pub pc: u32,
    /// The instruction.
    pub instruction: String,
    /// First slot of its frame.
    pub frame: u32,
    /// Depth of the call.
    pub depth: u32,
    /// Fuel left after it.
    pub fuel_left: i64,
    /// What it reads and writes.
    pub touches: Vec<StepTouch>,
    /// How the run ended with this step, or before it.
    pub halted: Option<String>,
}

/// A proof of a step, as it was judged.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepProof {
    /// Where it was written.
    pub file: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Always `right`: a wrong one is an error.
    pub judged: String,
    /// The contract that agreed.
    pub contract: Option<Account>,
    /// Why no contract was asked.
    pub not_asked: Option<String>,
}

/// Steps of a run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplaySteps {
    /// The task or program.
    pub what: String,
    /// Root of the program.
    pub program: Hash,
    /// The step that was asked for, and those around it.
    pub steps: Vec<ReplayStep>,
    /// With `--prove`: the proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<StepProof>,
}

/// The file that `rialto replay --prove` writes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenProof {
    /// Root of the program.
    pub program: Hash,
    /// Steps before it.
    pub step: u64,
    /// State before it.
    pub state: Hash,
    /// State after it.
    pub next: Hash,
    /// The proof in hex.
    pub proof: String,
}
