//! Why the gate refuses a module.

use thiserror::Error;

/// Why a module is not accepted. Every variant has a stable code, shown first in its message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GateError {
    /// The bytes are not a core WebAssembly module.
    #[error("[M-GATE-001] not a WebAssembly module: {detail}")]
    NotAModule {
        /// What was found instead, or where reading stopped.
        detail: String,
    },
    /// The module doesn't pass WebAssembly's own validation.
    #[error("[M-GATE-002] {place} is not valid WebAssembly: {detail}")]
    Invalid {
        /// The function or section.
        place: String,
        /// The validator's message.
        detail: String,
    },
    /// The module uses a part of WebAssembly that the machine leaves out.
    #[error("[M-GATE-003] {place} uses {feature}, which this machine doesn't run: {fix}")]
    Feature {
        /// The function or section.
        place: String,
        /// The feature's name.
        feature: &'static str,
        /// What to do about it.
        fix: &'static str,
    },
    /// Something is larger than the machine's bounds.
    #[error("[M-GATE-004] {place} has {found} {what}; the machine takes at most {limit}")]
    TooLarge {
        /// The function or section.
        place: String,
        /// What is counted, with its unit.
        what: &'static str,
        /// How much there is; a lower bound if counting stopped early.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// An import that isn't a function of WASI preview 1.
    #[error("[M-GATE-005] the module imports `{module}.{name}`, which no machine provides: {fix}")]
    ForeignImport {
        /// Module name of the import.
        module: String,
        /// Field name of the import.
        name: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// A WASI import with a signature that WASI doesn't give it.
    #[error(
        "[M-GATE-006] the module imports WASI's `{name}` with a wrong signature; rebuild it with a current wasi-libc"
    )]
    WrongSignature {
        /// Name of the WASI function.
        name: String,
    },
    /// No entry point.
    #[error("[M-GATE-007] {detail}: {fix}")]
    NoEntry {
        /// What is missing.
        detail: &'static str,
        /// What to do about it.
        fix: &'static str,
    },
    /// A data or element segment that doesn't fit into the initial memory or table.
    #[error("[M-GATE-008] {kind} segment {index} lies outside the initial {of}")]
    SegmentOutside {
        /// "data" or "element".
        kind: &'static str,
        /// Index of the segment.
        index: usize,
        /// "memory" or "table".
        of: &'static str,
    },
    /// Compiling it would take too long or too much memory.
    #[error(
        "[M-GATE-009] {}: compilers take time and memory by them. Build with optimisation (-O2), or split the function",
        match for_code {
            None => format!("{place} has {found} {what}; the machine takes at most {limit} in one"),
            Some(bytes) => format!(
                "the module has {found} {what}, most of them in {place}; the machine takes at most {limit} with {bytes} bytes \
                 of code"
            ),
        }
    )]
    TooMuchWork {
        /// The function that has most of it.
        place: String,
        /// What is counted.
        what: &'static str,
        /// How much there is; a lower bound if counting stopped early.
        found: u64,
        /// How much there may be.
        limit: u64,
        /// Of the whole module: bytes of its code, by which it is limited.
        for_code: Option<u64>,
    },
}

impl GateError {
    /// The stable code, such as `M-GATE-003`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAModule { .. } => "M-GATE-001",
            Self::Invalid { .. } => "M-GATE-002",
            Self::Feature { .. } => "M-GATE-003",
            Self::TooLarge { .. } => "M-GATE-004",
            Self::ForeignImport { .. } => "M-GATE-005",
            Self::WrongSignature { .. } => "M-GATE-006",
            Self::NoEntry { .. } => "M-GATE-007",
            Self::SegmentOutside { .. } => "M-GATE-008",
            Self::TooMuchWork { .. } => "M-GATE-009",
        }
    }
}
