//! Generated modules, run four ways: wasmtime, wasmi, in steps, and some of the steps on the
//! contract.
//!
//! `RIALTO_DIFF_MODULES` is the number of modules (default 150), `RIALTO_DIFF_SEED` the first seed
//! (default 1). A failure names its seed, and `RIALTO_DIFF_SEED=… RIALTO_DIFF_MODULES=1 cargo test
//! -p rialto-sim --test machine differential` reproduces it.

use std::sync::Arc;

use arbitrary::Unstructured;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use rialto_machine::input::Halves;
use rialto_machine::{Lowered, canonicalise, judge, start_parts};
use rialto_protocol::receipt::{Halted, Status};
use wasm_encoder::{Function, Instruction as I, MemArg, ValType};
use wasmparser::{Parser, Payload};

use crate::module::Parts;
use crate::{Bench, SEED, evm, number, vectors};

const FUEL: u64 = 60_000;
/// One in this many modules has some steps judged on the contract, and the number of those steps.
const JUDGED_EVERY: u64 = 8;
const JUDGED_STEPS: u64 = 12;

/// Returns settings whose modules the gate accepts.
fn config(rng: &mut StdRng) -> wasm_smith::Config {
    wasm_smith::Config {
        allow_start_export: rng.random(),
        bulk_memory_enabled: rng.random_ratio(1, 4),
        exceptions_enabled: false,
        gc_enabled: false,
        max_imports: 0,
        max_instructions: 60,
        max_memory32_bytes: 3 << 16,
        max_table_elements: 40,
        max_funcs: 8,
        min_funcs: 1,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        extended_const_enabled: false,
        ..Default::default()
    }
}

/// Returns a module with a `_start` that calls every function with edge cases as arguments and
/// spends fuel according to the results.
pub fn module(seed: u64) -> Option<Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; 4096];
    rng.fill_bytes(&mut bytes);
    let wasm =
        wasm_smith::Module::new(config(&mut rng), &mut Unstructured::new(&bytes)).ok()?.to_bytes();
    let (mut types, mut functions, mut memory) = (Vec::new(), Vec::new(), false);
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload.ok()? {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>().ok()?
            }
            Payload::FunctionSection(section) => {
                functions = section.into_iter().collect::<Result<Vec<_>, _>>().ok()?
            }
            Payload::MemorySection(section) => memory = section.count() > 0,
            _ => {}
        }
    }
    const SUM: u32 = 0;
    let mut body = Vec::new();
    for (index, ty) in functions.iter().enumerate() {
        let ty = &types[*ty as usize];
        for param in ty.params() {
            body.push(match param {
                wasmparser::ValType::I32 => vectors::operand(&mut rng, ValType::I32, false),
                wasmparser::ValType::I64 => vectors::operand(&mut rng, ValType::I64, false),
                wasmparser::ValType::F32 => vectors::operand(&mut rng, ValType::F32, false),
                wasmparser::ValType::F64 => vectors::operand(&mut rng, ValType::F64, false),
                _ => return None,
            });
        }
        body.push(I::Call(index as u32));
        for result in ty.results().iter().rev() {
            let ty = match result {
                wasmparser::ValType::I32 => ValType::I32,
                wasmparser::ValType::I64 => ValType::I64,
                wasmparser::ValType::F32 => ValType::F32,
                wasmparser::ValType::F64 => ValType::F64,
                _ => return None,
            };
            vectors::fold(&mut body, ty, SUM);
        }
    }
    if memory {
        let at = MemArg { offset: 0, align: 0, memory_index: 0 };
        for _ in 0..6 {
            let mut place = || I::I32Const((rng.next_u32() % (1 << 14)) as i32);
            body.extend([place(), place(), place()]);
            body.push(if rng.random() {
                I::MemoryCopy { src_mem: 0, dst_mem: 0 }
            } else {
                I::MemoryFill(0)
            });
            body.extend([I::I32Const((rng.next_u32() % (1 << 14)) as i32), I::I64Load(at)]);
            vectors::fold(&mut body, ValType::I64, SUM);
        }
    }
    vectors::burn(&mut body, SUM);
    body.push(I::End);
    let mut start = Function::new([(1, ValType::I64)]);
    body.iter().for_each(|instruction| {
        start.instruction(instruction);
    });
    Some(Parts::read(&wasm).with_start(&start))
}

/// A program on wasmi, whose NaNs are canonical with its feature `deterministic`.
pub struct Wasmi {
    engine: wasmi::Engine,
    module: wasmi::Module,
}

impl Wasmi {
    pub fn new(wasm: &[u8]) -> Self {
        let mut config = wasmi::Config::default();
        config.set_max_recursion_depth(1 << 20).set_max_stack_height(1 << 30);
        let engine = wasmi::Engine::new(&config);
        let module = wasmi::Module::new(&engine, canonicalise(wasm).unwrap().module).unwrap();
        Self { engine, module }
    }

    /// Returns how the program ends.
    pub fn run(&self, fuel: u64, pages: u32) -> Halted {
        struct Host(wasmi::StoreLimits);
        let limits = wasmi::StoreLimitsBuilder::new().memory_size((pages as usize) << 16).build();
        let mut store = wasmi::Store::new(&self.engine, Host(limits));
        store.limiter(|host| &mut host.0);
        let instance = wasmi::Linker::<Host>::new(&self.engine)
            .instantiate_and_start(&mut store, &self.module)
            .unwrap();
        let global = |name: &str| instance.get_global(&store, name).unwrap();
        let (fuel_global, seed, digest) = (global("fuel"), global("seed"), global("digest"));
        fuel_global.set(&mut store, wasmi::Val::I64(fuel as i64)).unwrap();
        seed.set(&mut store, wasmi::Val::I64(SEED as i64)).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        let result = run.call(&mut store, ());
        let word = |global: wasmi::Global| global.get(&store).i64().unwrap();
        Halted {
            status: if result.is_ok() { Status::Finished } else { Status::Trap },
            exit_code: 0,
            out_hash: Default::default(),
            out_len: 0,
            fuel_left: word(fuel_global),
            digest: word(digest) as u64,
        }
    }
}

fn judge_some(
    bench: &Bench,
    program: &Arc<Lowered>,
    chain: &mut evm::Judge,
    rng: &mut StdRng,
) -> u64 {
    let steps = bench.tracer(program).finish(u64::MAX).unwrap();
    let mut picks: Vec<u64> =
        (0..JUDGED_STEPS).map(|_| rng.random_range(0..steps)).chain([steps - 1, steps]).collect();
    picks.sort_unstable();
    picks.dedup();
    let mut tracer = bench.tracer(program);
    let input = Halves::new(Default::default(), Default::default());
    let limits = bench.task_limits();
    let task = evm::Task {
        program: program.parts.root(),
        input: input.root(),
        seed: limits.seed,
        fuelLimit: limits.fuel,
        outLimit: limits.out,
        maxPages: limits.pages,
    };
    let (begin, most) = chain.start(task, start_parts(program, &input)).unwrap();
    assert_eq!(
        (begin, most),
        (tracer.hash(), program.parts.most_steps(limits.fuel)),
        "the contract begins elsewhere"
    );
    for pick in &picks {
        tracer.run(*pick);
        let instruction = tracer.next();
        let state = tracer.hash();
        let proof = tracer.prove();
        let next = tracer.hash();
        assert_eq!(judge(state, &proof), Ok(next), "step {pick}: {instruction:?}");
        assert_eq!(
            chain.step(state, proof).unwrap().0,
            next,
            "step {pick} on the contract: {instruction:?}"
        );
    }
    picks.len() as u64
}

#[test]
fn generated_modules_end_alike_everywhere() {
    let (first, count) = (number("RIALTO_DIFF_SEED", 1), number("RIALTO_DIFF_MODULES", 150));
    let bench = Bench::new(FUEL, 64);
    let mut chain = evm::Judge::new();
    let (mut ran, mut finished, mut out_of_fuel, mut judged) = (0u64, 0u64, 0u64, 0u64);
    for seed in first.. {
        if ran == count {
            break;
        }
        assert!(seed - first < 100 * count, "too few modules are taken");
        let Some(wasm) = module(seed) else { continue };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Ok((halted, program)) = bench.run(&wasm) else { return None };
            assert_eq!(
                Wasmi::new(&wasm).run(FUEL, bench.limits.max_pages),
                halted,
                "wasmi differs"
            );
            let mut rng = StdRng::seed_from_u64(seed);
            let judged = if seed % JUDGED_EVERY == 0 {
                judge_some(&bench, &program, &mut chain, &mut rng)
            } else {
                0
            };
            Some((halted, judged))
        }));
        let Ok(outcome) = outcome else {
            panic!("RIALTO_DIFF_SEED={seed} RIALTO_DIFF_MODULES=1 reproduces this")
        };
        let Some((halted, steps)) = outcome else { continue };
        ran += 1;
        judged += steps;
        finished += u64::from(halted.status == Status::Finished);
        out_of_fuel += u64::from(halted.fuel_left < 0);
    }
    println!(
        "{ran} modules: {finished} finished, {out_of_fuel} ran out of fuel, {} trapped; {judged} steps judged",
        ran - finished - out_of_fuel
    );
    assert!(count < 100 || finished * 10 > ran, "most modules should get somewhere");
}
