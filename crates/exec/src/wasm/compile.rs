//! From a user's module to machine code: the part that an untrusted program can make long, so it is
//! done in a worker.

use alloy_primitives::B256;
use rialto_machine::{Canonical, Machine, Work};
use wasmtime::RegallocAlgorithm;

use crate::ExecError;
use crate::wasm::engine::wasmtime_config;
use crate::wasm::tune::tune;

/// Chains of values ([`Work::chains`]) for which the better register allocator is always used, and
/// so many more for each byte of code; and values that meet. Its time goes by them: some seconds
/// for so many. The other one's does not, but its code is slower, so it is used for the very large
/// functions of compilers and the like, and for what is made to take long.
const MAX_CHAINS: u64 = 20_000_000;
const MAX_CHAINS_PER_BYTE: u64 = 200;
const MAX_MOVES: u64 = 32_000;
const BYTES_PER_MOVE: u64 = 2;

/// A program's identity and its machine code.
pub(crate) struct Compiled {
    pub(crate) about: About,
    /// What [`wasmtime::Engine::precompile_module`] returned.
    pub(crate) code: Vec<u8>,
}

/// What is known of a program without its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) root: B256,
    pub(crate) min_pages: u32,
    pub(crate) max_pages: u32,
}

impl About {
    pub(crate) const BYTES: usize = 40;

    pub(crate) fn of(canonical: &Canonical) -> Self {
        let Canonical { program_root: root, min_pages, max_pages, .. } = *canonical;
        Self { root, min_pages, max_pages }
    }

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(self.root.as_slice());
        bytes[32..36].copy_from_slice(&self.min_pages.to_be_bytes());
        bytes[36..].copy_from_slice(&self.max_pages.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let pages = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self { root: B256::from_slice(&bytes[..32]), min_pages: pages(32), max_pages: pages(36) }
    }
}

/// The compilers: the same code in meaning, and either's is taken by the engine that runs it.
pub(crate) struct Compilers {
    best: wasmtime::Engine,
    quick: wasmtime::Engine,
}

impl Compilers {
    pub(crate) fn new() -> Result<Self, ExecError> {
        let engine = |algorithm| {
            let mut config = wasmtime_config(1, false);
            config.cranelift_regalloc_algorithm(algorithm);
            wasmtime::Engine::new(&config).map_err(|error| ExecError::Config(format!("{error:#}")))
        };
        Ok(Self {
            best: engine(RegallocAlgorithm::Backtracking)?,
            quick: engine(RegallocAlgorithm::SinglePass)?,
        })
    }

    /// Checks, canonicalises and compiles.
    pub(crate) fn compile(
        &self,
        machine: &dyn Machine,
        wasm: &[u8],
    ) -> Result<Compiled, ExecError> {
        let canonical = machine.canonicalise(wasm)?;
        Ok(Compiled { about: About::of(&canonical), code: self.compile_canonical(&canonical)? })
    }

    pub(crate) fn compile_canonical(&self, canonical: &Canonical) -> Result<Vec<u8>, ExecError> {
        self.compile_by(&canonical.module, is_quick(canonical.work, canonical.code_bytes))
    }

    /// Compiles M', for slower code in time that never goes by the square of anything if `quick`.
    pub(crate) fn compile_by(&self, module: &[u8], quick: bool) -> Result<Vec<u8>, ExecError> {
        let engine = if quick { &self.quick } else { &self.best };
        engine
            .precompile_module(&tune(module)?)
            .map_err(|error| ExecError::Compile(format!("{error:#}")))
    }
}

pub(crate) fn is_quick(work: Work, code_bytes: u64) -> bool {
    work.chains > MAX_CHAINS + MAX_CHAINS_PER_BYTE * code_bytes
        || work.moves > MAX_MOVES + code_bytes / BYTES_PER_MOVE
}
