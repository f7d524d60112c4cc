//! The engine: one wasmtime, its pool of instances, and the programs prepared for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use rialto_machine::{Canonical, Machine, limits::MAX_TABLE_ENTRIES};
use wasmtime::{
    Enabled, InstanceAllocationStrategy, Linker, OptLevel, PoolingAllocationConfig, Strategy,
    WasmFeatures,
};

use crate::wasm::cache::{Cache, Verdict};
use crate::wasm::compile::{About, Compiled, Compilers};
use crate::wasm::host::{self, Host};
use crate::wasm::slots::Slots;
use crate::wasm::tune;
use crate::wasm::underway::Underway;
use crate::wasm::worker::{self, Workers};
use crate::wasm::{Config, Program};
use crate::{CancelFlag, ExecError, PAGE_BYTES};

/// Native stack of a running program: eight times what the injected limit lets its frames hold, so
/// that the injected limit always strikes first.
pub(crate) const NATIVE_STACK_BYTES: usize = 64 << 20;
/// Native stack for the host's own functions, on top of the program's.
pub(crate) const HOST_STACK_BYTES: usize = 1 << 20;
/// Largest native instance (globals, function references of the largest program), bytes.
const MAX_INSTANCE_BYTES: usize = 16 << 20;
/// Memory of a pooled instance that is cleared by writing instead of by the kernel: faster for
/// small tasks.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Prepared programs kept in memory.
const MAX_PREPARED: usize = 16;
/// Most tasks at a time: each takes 4 GiB of address space.
const MAX_CORES: usize = 1024;

/// Runs programs; clones share everything. All methods block.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<Host>,
    cache: Cache,
    prepared: Mutex<VecDeque<(blake3::Hash, Arc<Program>)>>,
    /// Modules that somebody prepares.
    underway: Underway,
    workers: Workers,
    pub(crate) slots: Slots,
    pub(crate) config: Config,
}

impl Engine {
    /// Starts an engine.
    pub fn new(config: Config) -> Result<Self, ExecError> {
        if config.cores == 0 || config.cores > MAX_CORES {
            return Err(ExecError::Config(format!(
                "{} cores, must be 1 to {MAX_CORES}",
                config.cores
            )));
        }
        let wasmtime =
            wasmtime::Engine::new(&wasmtime_config(config.cores, false)).map_err(refused)?;
        let mut linker = Linker::new(&wasmtime);
        host::link(&mut linker).map_err(refused)?;
        let cache = Cache::open(&config.cache_dir, &wasmtime)?;
        let slots = Slots::new(config.cores, config.max_memory_bytes);
        let workers = Workers::new(config.workers);
        let (prepared, underway) = Default::default();
        Ok(Self(Arc::new(Inner {
            wasmtime,
            linker,
            cache,
            prepared,
            underway,
            workers,
            slots,
            config,
        })))
    }

    /// Checks, canonicalises and compiles a program, or takes it from a cache. Seconds for a large
    /// new program.
    pub fn prepare(&self, wasm: &[u8]) -> Result<Arc<Program>, ExecError> {
        self.prepare_unless(wasm, &CancelFlag::new())
    }

    /// Like [`Engine::prepare`], until `cancel` is raised: then it returns within milliseconds, and
    /// the worker is killed. What is compiled in this process, because its binary has no workers,
    /// can't be stopped.
    pub fn prepare_unless(
        &self,
        wasm: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Arc<Program>, ExecError> {
        self.prepare_under(self.0.config.machines.current(), wasm, cancel)
    }

    /// Like [`Engine::prepare_unless`], under the rules by which the program's root is `root`.
    pub fn prepare_root(
        &self,
        wasm: &[u8],
        root: B256,
        cancel: &CancelFlag,
    ) -> Result<Arc<Program>, ExecError> {
        let (mut refused, mut taken) = (None, false);
        for machine in self.0.config.machines.all() {
            match self.prepare_under(machine, wasm, cancel) {
                Ok(program) if program.root() == root => return Ok(program),
                Ok(_) => taken = true,
                // Another version may take it.
                Err(why @ (ExecError::Gate(_) | ExecError::Refused(_))) => {
                    refused.get_or_insert(why);
                }
                Err(why) => return Err(why),
            }
        }
        Err(refused.filter(|_| !taken).unwrap_or(ExecError::OtherProgram { root }))
    }

    fn prepare_under(
        &self,
        machine: &'static dyn Machine,
        wasm: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Arc<Program>, ExecError> {
        let name = name(machine, wasm);
        if let Some(program) = self.prepared(&name) {
            return Ok(program);
        }
        // Nobody compiles what another just does; whoever brings something else isn't held up by
        // it.
        let _alone = self.0.underway.enter(name, cancel)?;
        if let Some(program) = self.prepared(&name) {
            return Ok(program);
        }
        let program = Arc::new(self.judged(machine, &name, wasm, cancel)?);
        let mut prepared = self.lock_prepared();
        prepared.push_front((name, program.clone()));
        prepared.truncate(MAX_PREPARED);
        Ok(program)
    }

    /// What this host lends.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// By what is known of it, or else by compiling it.
    fn judged(
        &self,
        machine: &'static dyn Machine,
        name: &blake3::Hash,
        wasm: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Program, ExecError> {
        let Inner { wasmtime, linker, cache, workers, .. } = &*self.0;
        match cache.verdict(name) {
            Some(Verdict::Program(about)) => {
                if let Some(module) = cache.load(wasmtime, about.root) {
                    return Program::link(about, &module, linker);
                }
            }
            Some(Verdict::Refused(why)) => return Err(ExecError::Refused(why)),
            Some(Verdict::Failed(why)) => return Err(ExecError::Compile(why)),
            Some(Verdict::Died(why)) => return Err(ExecError::Worker(why)),
            None => {}
        }
        let turn = workers.turn(cancel)?;
        worker::warn_if_not_installed();
        if !worker::is_installed() {
            return self.prepare_canonical(&machine.canonicalise(wasm)?);
        }
        let compiled = worker::compile(machine.version(), wasm, cancel);
        drop(turn);
        let verdict = match &compiled {
            Ok(compiled) => Verdict::Program(compiled.about),
            Err(ExecError::Refused(why)) => Verdict::Refused(why.clone()),
            Err(ExecError::Compile(why)) => Verdict::Failed(why.clone()),
            Err(ExecError::Worker(why)) => Verdict::Died(why.clone()),
            Err(_) => return compiled.and_then(|compiled| self.load(compiled)),
        };
        cache.judge(name, &verdict);
        compiled.and_then(|compiled| self.load(compiled))
    }

    /// Takes over what a compiler has just made.
    pub(crate) fn load(&self, Compiled { about, code }: Compiled) -> Result<Program, ExecError> {
        let Inner { wasmtime, linker, cache, .. } = &*self.0;
        let module = cache.store(wasmtime, about.root, &code);
        let module = module
            .ok_or_else(|| ExecError::Compile("the compiled program can't be loaded".into()))?;
        Program::link(about, &module, linker)
    }

    /// Compiles M' in this process, or takes it from the disk.
    pub(crate) fn prepare_canonical(&self, canonical: &Canonical) -> Result<Program, ExecError> {
        let Inner { wasmtime, linker, cache, .. } = &*self.0;
        let about = About::of(canonical);
        match cache.load(wasmtime, about.root) {
            Some(module) => Program::link(about, &module, linker),
            None => {
                let code = Compilers::new()?.compile_canonical(canonical)?;
                self.load(Compiled { about, code })
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Finds a program and moves it to the front.
    fn prepared(&self, name: &blake3::Hash) -> Option<Arc<Program>> {
        let mut prepared = self.lock_prepared();
        let at = prepared.iter().position(|(other, _)| other == name)?;
        let found = prepared.remove(at)?;
        let program = found.1.clone();
        prepared.push_front(found);
        Some(program)
    }

    fn lock_prepared(&self) -> MutexGuard<'_, VecDeque<(blake3::Hash, Arc<Program>)>> {
        self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// What a module is known by: its bytes, and the rules that it is prepared under.
pub(crate) fn name(machine: &dyn Machine, wasm: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(&machine.version().to_be_bytes()).update(wasm).finalize()
}

fn refused(error: wasmtime::Error) -> ExecError {
    ExecError::Config(format!("{error:#}"))
}

/// What decides results is here and in `tune`: the features of M', and no limit that strikes before
/// the program's own. NaNs are `tune`'s; `canonical_nans` makes Cranelift do it, for comparison.
pub(crate) fn wasmtime_config(cores: usize, canonical_nans: bool) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    // exactly what M' uses
    config.wasm_features(WasmFeatures::all(), false).wasm_features(tune::FEATURES, true);
    config.cranelift_nan_canonicalization(canonical_nans);
    config
        .async_stack_size(NATIVE_STACK_BYTES + HOST_STACK_BYTES)
        .max_wasm_stack(NATIVE_STACK_BYTES);
    // speed
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_branch_hinting(true);
    config.memory_reservation(1 << 32).memory_init_cow(true).allocation_strategy(pool(cores));
    // nothing that nobody reads
    config.concurrency_support(false).wasm_backtrace_max_frames(None).generate_address_map(false);
    config.native_unwind_info(false).debug_info(false);
    config
}

/// As many instances as tasks at a time, each with the most that M' can declare.
fn pool(cores: usize) -> InstanceAllocationStrategy {
    let count = cores as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(count)
        .total_memories(count)
        .total_tables(count)
        .max_unused_warm_slots(count);
    pool.max_memory_size((PAGE_BYTES << 16) as usize).table_elements(MAX_TABLE_ENTRIES as usize);
    pool.max_core_instance_size(MAX_INSTANCE_BYTES);
    pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES).table_keep_resident(KEEP_RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}
