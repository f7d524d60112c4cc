//! Running tasks: one, or an order's over all cores.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rialto_machine::input::MAX_HALF_BYTES;
use rialto_machine::limits::MAX_FUEL;
use rialto_protocol::receipt::{Halted, MAX_ORDER_TASKS, Status, task_seed};
use wasmtime::{Extern, Global, Instance, Store, Trap, Val};

use crate::wasm::engine::{HOST_STACK_BYTES, Inner, NATIVE_STACK_BYTES};
use crate::wasm::host::{Host, Stop, Watch};
use crate::wasm::{Engine, Program};
use crate::{AttemptError, CancelFlag, Limits, Outcome, PAGE_BYTES, SharedData};

impl Engine {
    /// Whether this host can run tasks of `program` under `limits` at all: what a provider asks
    /// before it accepts.
    pub fn check(&self, program: &Program, limits: &Limits) -> Result<(), AttemptError> {
        self.inner().slots.check(memory_limit(program, limits)?)
    }

    /// Runs one task.
    pub fn run(
        &self,
        program: &Program,
        task_input: &[u8],
        shared: &SharedData,
        limits: &Limits,
        seed: u64,
    ) -> Result<Outcome, AttemptError> {
        self.run_until(program, task_input, shared, limits, seed, &CancelFlag::new())
    }

    /// Runs one task, unless it is cancelled before its end.
    pub fn run_until(
        &self,
        program: &Program,
        task_input: &[u8],
        shared: &SharedData,
        limits: &Limits,
        seed: u64,
        cancel: &CancelFlag,
    ) -> Result<Outcome, AttemptError> {
        let task = Bytes::copy_from_slice(task_input);
        let watch = Watch {
            cancel: [cancel.clone(), CancelFlag::new()],
            max_wall: self.inner().config.max_wall,
        };
        std::thread::scope(|scope| {
            let run = || self.inner().run_in_slot(program, task, shared, limits, seed, &watch);
            spawn(scope, run)?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs task `i` of an order on `inputs[i]` with seed `task_seed(order_seed, i)`, over all
    /// cores. `progress` is told the number of tasks done so far. The first attempt that fails ends
    /// the others.
    #[allow(clippy::too_many_arguments)]
    pub fn run_batch(
        &self,
        program: &Program,
        inputs: &[Bytes],
        shared: &SharedData,
        limits: &Limits,
        order_seed: u64,
        cancel: &CancelFlag,
        progress: &(dyn Fn(u32) + Sync),
    ) -> Result<Vec<Outcome>, AttemptError> {
        let outcomes = Mutex::new(vec![None; inputs.len()]);
        let done = AtomicU32::new(0);
        self.run_each(program, inputs, shared, limits, order_seed, cancel, &|task, outcome| {
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[task as usize] = Some(outcome);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        })?;
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(outcomes
            .into_iter()
            .map(|outcome| outcome.expect("every task of the batch ended"))
            .collect())
    }

    /// Like [`Engine::run_batch`], but hands every outcome to `done` at once, in any order and from
    /// several threads, so that a caller need not hold all outputs. If it can't take one, that ends
    /// the others.
    #[allow(clippy::too_many_arguments)]
    pub fn run_each(
        &self,
        program: &Program,
        inputs: &[Bytes],
        shared: &SharedData,
        limits: &Limits,
        order_seed: u64,
        cancel: &CancelFlag,
        done: &(dyn Fn(u32, Outcome) -> Result<(), AttemptError> + Sync),
    ) -> Result<(), AttemptError> {
        assert!(inputs.len() <= MAX_ORDER_TASKS as usize, "more tasks than an order can have");
        let tasks = inputs.len() as u32;
        let failed = CancelFlag::new();
        let failure = Mutex::new(None);
        let next = AtomicU32::new(0);
        let watch = Watch {
            cancel: [cancel.clone(), failed.clone()],
            max_wall: self.inner().config.max_wall,
        };
        let work = || {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                let (input, seed) = (inputs[task as usize].clone(), task_seed(order_seed, task));
                let ended = self.inner().run_in_slot(program, input, shared, limits, seed, &watch);
                if let Err(error) = ended.and_then(|outcome| done(task, outcome)) {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    failed.cancel();
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.inner().config.cores.min(inputs.len()) {
                spawn(scope, work)?;
            }
            Ok(())
        })?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// A thread with stack enough for any program.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<std::thread::ScopedJoinHandle<'scope, T>, AttemptError> {
    std::thread::Builder::new()
        .name("rialto-exec".into())
        .stack_size(NATIVE_STACK_BYTES + HOST_STACK_BYTES)
        .spawn_scoped(scope, work)
        .map_err(|error| AttemptError::Engine(error.to_string()))
}

/// Bytes of memory that the program and the order both allow.
fn memory_limit(program: &Program, limits: &Limits) -> Result<u64, AttemptError> {
    if limits.max_pages < program.min_pages() {
        return Err(AttemptError::StartPages {
            needed: program.min_pages(),
            limit: limits.max_pages,
        });
    }
    Ok(u64::from(limits.max_pages.min(program.max_pages())) * PAGE_BYTES)
}

impl Inner {
    /// Waits for a core and for all the memory the task may use, then runs it.
    fn run_in_slot(
        &self,
        program: &Program,
        task: Bytes,
        shared: &SharedData,
        limits: &Limits,
        seed: u64,
        watch: &Watch,
    ) -> Result<Outcome, AttemptError> {
        if limits.fuel > MAX_FUEL as u64 {
            return Err(AttemptError::FuelLimit(limits.fuel));
        }
        let largest = shared.len().max(task.len() as u64);
        if largest > MAX_HALF_BYTES {
            return Err(AttemptError::InputTooLarge(largest));
        }
        let memory = memory_limit(program, limits)?;
        let _slot = self.slots.take(memory, watch)?;
        run(
            program,
            Host::new(task, shared.clone(), limits, memory, watch.clone()),
            limits.fuel,
            seed,
        )
    }
}

/// Runs a task to its end in a fresh instance.
fn run(program: &Program, host: Host, fuel: u64, seed: u64) -> Result<Outcome, AttemptError> {
    let mut store =
        Store::try_new(program.linked.module().engine(), host).map_err(engine_failed)?;
    store.limiter(|host| host);
    let instance = program.linked.instantiate(&mut store).map_err(engine_failed)?;
    let exports = &program.exports;
    let run = export(&instance, &mut store, &exports.run)
        .into_func()
        .and_then(|run| run.typed::<(), ()>(&store).ok());
    let run = run.expect("checked when the program was linked");
    let mut global = |export_of: &wasmtime::ModuleExport| -> Global {
        export(&instance, &mut store, export_of)
            .into_global()
            .expect("checked when the program was linked")
    };
    let (fuel_left, seed_of, digest) =
        (global(&exports.fuel), global(&exports.seed), global(&exports.digest));
    fuel_left.set(&mut store, Val::I64(fuel as i64)).map_err(engine_failed)?;
    seed_of.set(&mut store, Val::I64(seed as i64)).map_err(engine_failed)?;

    let returned = run.call(&mut store, ());
    let (status, exit_code) = match (returned, store.data_mut().take_stop()) {
        (Ok(()), None) => (Status::Finished, 0),
        (_, Some(Stop::Exit(code))) => (Status::Finished, code),
        (_, Some(Stop::Trap)) => (Status::Trap, 0),
        (_, Some(Stop::Attempt(error))) => return Err(error),
        (Err(error), None) => own_trap(&error).map(|()| (Status::Trap, 0))?,
    };
    let fuel_left = fuel_left.get(&mut store).unwrap_i64();
    let digest = digest.get(&mut store).unwrap_i64() as u64;
    let memory_bytes = store.data().memory();
    let (output, out_hash) = store.into_data().into_output();
    let halted =
        Halted { status, exit_code, out_hash, out_len: output.len() as u64, fuel_left, digest };
    Ok(Outcome { halted, output, memory_bytes })
}

/// Whether the program trapped by its own doing, as it would everywhere.
fn own_trap(error: &wasmtime::Error) -> Result<(), AttemptError> {
    match error.downcast_ref::<Trap>() {
        Some(
            Trap::MemoryOutOfBounds
            | Trap::TableOutOfBounds
            | Trap::IndirectCallToNull
            | Trap::BadSignature
            | Trap::IntegerOverflow
            | Trap::IntegerDivisionByZero
            | Trap::BadConversionToInteger
            | Trap::UnreachableCodeReached,
        ) => Ok(()),
        Some(Trap::StackOverflow) => Err(AttemptError::NativeStack),
        _ => Err(AttemptError::Engine(format!("{error:#}"))),
    }
}

fn export(instance: &Instance, store: &mut Store<Host>, export: &wasmtime::ModuleExport) -> Extern {
    instance.get_module_export(store, export).expect("an export of this very module")
}

fn engine_failed(error: wasmtime::Error) -> AttemptError {
    AttemptError::Engine(format!("{error:#}"))
}
