//! Four implementations of the machine: wasmtime as `rialto-exec` runs it, wasmi, steps in Rust,
//! and single steps on the contract. All must end alike.
#![allow(clippy::unwrap_used)]

mod differential;
mod evm;
mod example;
mod float_unit;
mod fuel;
mod module;
mod spec;
mod totality;
mod vectors;

use std::sync::Arc;

use rialto_exec::{Config, Engine, Limits, SharedData};
use rialto_machine::input::Halves;
use rialto_machine::{Lowered, TaskLimits, Tracer, canonicalise, lower};
use rialto_protocol::receipt::Halted;

/// Reads a number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
    })
}

/// The engine that providers use, and the limits of all runs here.
struct Bench {
    engine: Engine,
    limits: Limits,
    _cache: tempfile::TempDir,
}

const SEED: u64 = 7;

impl Bench {
    fn new(fuel: u64, max_pages: u32) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let config = Config {
            cores: 1,
            max_memory_bytes: u64::from(max_pages) << 16,
            ..Config::new(cache.path())
        };
        let limits = Limits { fuel, out_bytes: 1 << 20, max_pages };
        Self { engine: Engine::new(config).unwrap(), limits, _cache: cache }
    }

    fn task_limits(&self) -> TaskLimits {
        self.limits.with_seed(SEED)
    }

    fn tracer(&self, program: &Arc<Lowered>) -> Tracer {
        self.tracer_within(program, self.task_limits())
    }

    fn tracer_within(&self, program: &Arc<Lowered>, limits: TaskLimits) -> Tracer {
        let input = Arc::new(Halves::new(Default::default(), Default::default()));
        Tracer::new(program.clone(), input, limits)
    }

    /// Runs a program on wasmtime and in steps. Returns how it ends, and the lowered program; fails
    /// if the gate refuses it.
    fn run(&self, wasm: &[u8]) -> Result<(Halted, Arc<Lowered>), String> {
        let canonical = canonicalise(wasm).map_err(|error| error.to_string())?;
        let program = Arc::new(lower(&canonical.module));
        assert_eq!(program.parts.root(), canonical.program_root);
        if canonical.min_pages > self.limits.max_pages {
            return Err("more memory than this test gives".into());
        }
        Ok((self.run_with(wasm, &program, self.limits.fuel), program))
    }

    /// Does the same with other fuel; `program` is the lowered `wasm`.
    fn run_with(&self, wasm: &[u8], program: &Arc<Lowered>, fuel: u64) -> Halted {
        let limits = Limits { fuel, ..self.limits };
        let prepared = self.engine.prepare(wasm).unwrap();
        let halted =
            self.engine.run(&prepared, &[], &SharedData::none(), &limits, SEED).unwrap().halted;
        let mut tracer = self.tracer_within(program, TaskLimits { fuel, ..self.task_limits() });
        let steps =
            tracer.finish(program.parts.most_steps(fuel)).expect("a run ends within its bound");
        assert_eq!(tracer.halted(), Some(&halted), "the machine in steps differs from wasmtime");
        let bound =
            (halted.fuel_used(fuel) + 5000).saturating_mul(program.parts.steps_per_fuel.into());
        assert!(steps <= bound, "{steps} steps, bound {bound}");
        halted
    }
}
