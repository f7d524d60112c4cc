//! Version 3 of the machine. Its rules, structures, roots and bytes never change: a new rule needs
//! a new version, in a folder of its own.

mod body;
mod calls;
mod canon;
mod cost;
mod emit;
pub mod explain;
pub mod float;
mod gate;
pub mod ir;
pub mod limits;
mod lower;
pub mod play;
mod prove;
pub mod step;
mod trace;
mod wasi;
mod work;

pub use canon::{CANON_VERSION, Canonical, canonicalise};
pub use lower::{Lowered, lower};
pub use prove::{WrongProof, judge};
pub use trace::{Snapshot, TaskLimits, Tracer, start_parts};
pub use work::Work;

use crate::error::GateError;

/// Rules of version 3.
pub static RULES: Rules = Rules { version: CANON_VERSION };

/// These rules with a version number, which is part of the root of every program and every state.
#[derive(Debug)]
pub struct Rules {
    version: u16,
}

impl Rules {
    /// Returns these rules with another number, for tests that need a second version of the
    /// machine.
    #[doc(hidden)]
    pub const fn numbered(version: u16) -> Self {
        Self { version }
    }

    pub(crate) fn number(&self) -> u16 {
        self.version
    }

    pub(crate) fn canonicalise(&self, wasm: &[u8]) -> Result<Canonical, GateError> {
        canon::canonicalise_as(self.version, wasm)
    }

    pub(crate) fn lower(&self, canonical: &Canonical) -> Lowered {
        lower::lower_as(self.version, &canonical.module)
    }
}
