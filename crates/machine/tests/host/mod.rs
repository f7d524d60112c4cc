//! A minimal host: four functions on wasmtime.
#![allow(dead_code)]

use std::sync::Arc;

use rialto_machine::input::{Halves, SharedInput, TaskInput, inlen};
use rialto_machine::output::{Outputs, parse};
use rialto_machine::{Canonical, TaskLimits, Tracer, canonicalise, lower};
use rialto_protocol::receipt::{Halted, Status, output_hash};
use wasmtime::{Caller, Config, Engine, Error, Linker, Module, Store, Val};

/// Enough fuel for every test that should not run out of it.
pub const PLENTY: i64 = 20_000_000_000;
const SEED: u64 = 7;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Exit code; `None` if the run trapped.
    pub exit: Option<i32>,
    pub fuel_left: i64,
    pub stack_left: i64,
    pub stream: Vec<u8>,
}

impl Run {
    pub fn halted(&self) -> Halted {
        Halted {
            status: if self.exit.is_some() { Status::Finished } else { Status::Trap },
            exit_code: self.exit.unwrap_or_default() as u32,
            out_hash: output_hash(&self.stream),
            out_len: self.stream.len() as u64,
            fuel_left: self.fuel_left,
            digest: 0,
        }
    }

    pub fn outputs(&self) -> Outputs {
        parse(&self.stream).unwrap()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.outputs().stdout).unwrap()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.outputs().stderr).unwrap()
    }
}

struct State {
    task: Vec<u8>,
    shared: Vec<u8>,
    out: Vec<u8>,
    exit: Option<i32>,
}

pub fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_nan_canonicalization(true).async_stack_size(96 << 20).max_wasm_stack(64 << 20);
    config.wasm_branch_hinting(true);
    config
}

/// Runs M' on a thread whose stack is large enough for the injected limit, and step by step. Both
/// runs must end alike.
pub fn run(program: &Canonical, task: &TaskInput, shared: &SharedInput, fuel: i64) -> Run {
    let (module, task, shared) =
        (program.module.clone(), task.encode().unwrap(), shared.encode().unwrap());
    let traced = trace(program, &task, &shared, fuel);
    let thread = std::thread::Builder::new().stack_size(96 << 20);
    let run = thread.spawn(move || run_here(&module, task, shared, fuel)).unwrap().join().unwrap();
    assert_eq!(traced, run.halted(), "the machine in steps differs from wasmtime");
    run
}

/// Returns how the run ends in steps.
fn trace(program: &Canonical, task: &[u8], shared: &[u8], fuel: i64) -> Halted {
    let lowered = Arc::new(lower(&program.module));
    assert_eq!(lowered.parts.root(), program.program_root);
    let most = lowered.parts.most_steps(fuel as u64);
    let input = Arc::new(Halves::new(task.to_vec().into(), shared.to_vec().into()));
    let limits = TaskLimits { seed: SEED, fuel: fuel as u64, out: u64::MAX, pages: u32::MAX };
    let mut tracer = Tracer::new(lowered.clone(), input, limits);
    let steps = tracer.finish(most).expect("a run ends within its bound");
    let halted = *tracer.halted().unwrap();
    let per_fuel = lowered.parts.steps_per_fuel;
    let bound = (halted.fuel_used(fuel as u64) + 5000).saturating_mul(per_fuel.into());
    assert!(steps <= bound, "{steps} steps with {halted:?} and {per_fuel} steps for one fuel");
    halted
}

fn run_here(module: &[u8], task: Vec<u8>, shared: Vec<u8>, fuel: i64) -> Run {
    let engine = Engine::new(&config()).unwrap();
    let module = Module::new(&engine, module).unwrap();
    run_module(&engine, &module, task, shared, fuel)
}

pub fn run_module(
    engine: &Engine,
    module: &Module,
    task: Vec<u8>,
    shared: Vec<u8>,
    fuel: i64,
) -> Run {
    let mut store = Store::new(engine, State { task, shared, out: Vec::new(), exit: None });
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("rialto", "inlen", |caller: Caller<'_, State>| {
            inlen(caller.data().task.len() as u64, caller.data().shared.len() as u64)
        })
        .unwrap();
    linker
        .func_wrap(
            "rialto",
            "in32",
            |caller: Caller<'_, State>, index: i32| -> Result<(i64, i64, i64, i64), Error> {
                let index = index as u32 as usize;
                let state = caller.data();
                let (half, at) = match index >> 26 {
                    0 => (&state.task, index),
                    1 => (&state.shared, index & ((1 << 26) - 1)),
                    _ => return Err(Error::msg("no such leaf")),
                };
                let mut leaf = [0; 32];
                let bytes = half.get(at * 32..).unwrap_or_default();
                let bytes = &bytes[..bytes.len().min(32)];
                leaf[..bytes.len()].copy_from_slice(bytes);
                let word = |i: usize| i64::from_le_bytes(leaf[i * 8..][..8].try_into().unwrap());
                Ok((word(0), word(1), word(2), word(3)))
            },
        )
        .unwrap();
    linker
        .func_wrap(
            "rialto",
            "out32",
            |mut caller: Caller<'_, State>, a: i64, b: i64, c: i64, d: i64, n: i32| {
                let out = &mut caller.data_mut().out;
                assert!(
                    (1..=32).contains(&n) && out.len().is_multiple_of(32),
                    "only the last leaf may be partial"
                );
                let leaf: Vec<u8> =
                    [a, b, c, d].iter().flat_map(|word| word.to_le_bytes()).collect();
                assert!(leaf[n as usize..].iter().all(|byte| *byte == 0));
                out.extend_from_slice(&leaf[..n as usize]);
            },
        )
        .unwrap();
    linker
        .func_wrap(
            "rialto",
            "exit",
            |mut caller: Caller<'_, State>, code: i32| -> Result<(), Error> {
                caller.data_mut().exit = Some(code);
                Err(Error::msg("exit"))
            },
        )
        .unwrap();
    let instance = linker.instantiate(&mut store, module).unwrap();
    let global = |store: &mut Store<State>, name| instance.get_global(store, name).unwrap();
    global(&mut store, "fuel").set(&mut store, Val::I64(fuel)).unwrap();
    global(&mut store, "seed").set(&mut store, Val::I64(SEED as i64)).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let result = run.call(&mut store, ());
    let exit = if result.is_ok() { Some(0) } else { store.data().exit };
    if let Err(error) = &result {
        let native = matches!(error.downcast_ref(), Some(wasmtime::Trap::StackOverflow));
        assert!(!native, "the native stack ended before the injected limit");
    }
    let value = |store: &mut Store<State>, name| global(store, name).get(&mut *store).unwrap_i64();
    Run {
        exit,
        fuel_left: value(&mut store, "fuel"),
        stack_left: value(&mut store, "stackLeft"),
        stream: store.into_data().out,
    }
}

/// Runs WebAssembly text without input.
pub fn run_wat(text: &str, fuel: i64) -> Run {
    let program = canonicalise(&wat::parse_str(text).unwrap()).unwrap();
    run(&program, &TaskInput::default(), &SharedInput::default(), fuel)
}

/// A committed guest.
pub fn guest(name: &str) -> Canonical {
    let path = format!("{}/../../examples/guests/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    canonicalise(&std::fs::read(path).unwrap()).unwrap()
}

/// A task with arguments only.
pub fn args(args: &[&str]) -> TaskInput {
    TaskInput {
        argv: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        ..Default::default()
    }
}
