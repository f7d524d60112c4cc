//! Reasons for which the gate refuses a module.

use thiserror::Error;

/// Reason for which a module is refused. Every variant has a stable code, which begins its message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GateError {
    /// The bytes are not a core WebAssembly module.
    #[error("[M-GATE-001] not a WebAssembly module: {detail}")]
    NotAModule {
        /// Format that was found instead, or the position at which reading stopped.
        detail: String,
    },
    /// The module doesn't pass WebAssembly's own validation.
    #[error("[M-GATE-002] {place} is not valid WebAssembly: {detail}")]
    Invalid {
        /// Function or section at fault.
        place: String,
        /// The validator's message.
        detail: String,
    },
    /// The module uses a part of WebAssembly that the machine does not support.
    #[error("[M-GATE-003] {place} uses {feature}, which this machine doesn't run: {fix}")]
    Feature {
        /// Function or section at fault.
        place: String,
        /// Name of the feature.
        feature: &'static str,
        /// Remedy.
        fix: &'static str,
    },
    /// Something is larger than the machine's bounds.
    #[error("[M-GATE-004] {place} has {found} {what}; the machine takes at most {limit}")]
    TooLarge {
        /// Function or section at fault.
        place: String,
        /// Name of the counted things, with their unit.
        what: &'static str,
        /// Amount found; a lower bound if counting stopped early.
        found: u64,
        /// Largest accepted amount.
        limit: u64,
    },
    /// An import that isn't a function of WASI preview 1.
    #[error("[M-GATE-005] the module imports `{module}.{name}`, which no machine provides: {fix}")]
    ForeignImport {
        /// Module name of the import.
        module: String,
        /// Field name of the import.
        name: String,
        /// Remedy.
        fix: &'static str,
    },
    /// A WASI import has another signature than in WASI.
    #[error(
        "[M-GATE-006] the module imports WASI's `{name}` with a wrong signature; rebuild it with a current wasi-libc"
    )]
    WrongSignature {
        /// Name of the WASI function.
        name: String,
    },
    /// The module has no entry point.
    #[error("[M-GATE-007] {detail}: {fix}")]
    NoEntry {
        /// What is missing.
        detail: &'static str,
        /// Remedy.
        fix: &'static str,
    },
    /// A data or element segment doesn't fit into the initial memory or table.
    #[error("[M-GATE-008] {kind} segment {index} lies outside the initial {of}")]
    SegmentOutside {
        /// "data" or "element".
        kind: &'static str,
        /// Index of the segment.
        index: usize,
        /// "memory" or "table".
        of: &'static str,
    },
    /// Compiling the module would take too long or too much memory.
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
        /// Function that has the largest share.
        place: String,
        /// Name of the counted things.
        what: &'static str,
        /// Amount found; a lower bound if counting stopped early.
        found: u64,
        /// Largest accepted amount.
        limit: u64,
        /// Bytes of the module's code, if the limit is that of the whole module; it grows with
        /// them.
        for_code: Option<u64>,
    },
}

impl GateError {
    /// Returns the stable code, such as `M-GATE-003`.
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
