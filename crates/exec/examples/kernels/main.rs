//! What metering costs: M' on Rialto's engine against the plain module on wasmtime.
//!
//!     cargo run -p rialto-exec --example kernels [name...]
//!
//! Two baselines: `plain` is wasmtime that gives the same promises by its own means (canonical NaNs, stoppable by
//! epochs) but counts nothing; `default` is wasmtime as it comes, which promises neither. Times are processor time, the least
//! of several interleaved rounds; the spread is how far apart the rounds were.

use std::time::Duration;

use rialto_exec::{Config, Engine, Limits, Program, SharedData};
use rialto_machine::input::TaskInput;
use rialto_machine::limits::MAX_FUEL;
use wasmtime::{Caller, Extern, Linker, Memory, Module, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KERNELS: &[u8] = include_bytes!("kernels.wasm");
const RAYTRACE: &[u8] = include_bytes!("../../../../examples/raytrace/raytrace.wasm");
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let mut cases: Vec<(&[u8], Vec<&str>)> = vec![(RAYTRACE, vec!["raytrace", "640", "480", "80", "27", "64"])];
    for (name, rounds) in [
        ("collatz", "50"),
        ("sieve", "16"),
        ("sha256", "10"),
        ("matrix", "12"),
        ("bodies", "25"),
        ("sort", "10"),
        ("fibonacci", "13"),
        ("interpreter", "12"),
    ] {
        cases.push((KERNELS, vec!["kernels", name, rounds]));
    }
    let cache = tempfile::tempdir()?;
    let engine = Engine::new(Config { cores: 1, ..Config::new(cache.path()) })?;
    let same = Plain::new(wasmtime::Config::new().cranelift_nan_canonicalization(true).epoch_interruption(true))?;
    let default = Plain::new(&wasmtime::Config::new())?;
    println!(
        "{:<12} {:>12} {:>8} {:>8} {:>8} {:>7} {:>9} {:>10}",
        "kernel", "fuel", "M' s", "plain s", "dflt s", "spread", "vs plain", "vs default"
    );
    let mut ratios = Vec::new();
    let only: Vec<String> = std::env::args().skip(1).collect();
    cases.retain(|(_, argv)| only.is_empty() || only.iter().any(|name| argv.contains(&name.as_str())));
    for (wasm, argv) in cases {
        let program = engine.prepare(wasm)?;
        let (same_module, default_module) = (same.compile(wasm)?, default.compile(wasm)?);
        let mut times = [const { Vec::new() }; 3];
        let mut fuel = 0;
        for _ in 0..ROUNDS {
            times[0].push(timed(|| metered(&engine, &program, &argv).map(|used| fuel = used))?);
            times[1].push(timed(|| same.run(&same_module, &argv))?);
            times[2].push(timed(|| default.run(&default_module, &argv))?);
        }
        let least = |at: usize| times[at].iter().min().map_or(0.0, Duration::as_secs_f64);
        let most = |at: usize| times[at].iter().max().map_or(0.0, Duration::as_secs_f64);
        let spread = (0..3).map(|at| most(at) / least(at) - 1.0).fold(0.0, f64::max);
        let (plain, from_default) = (least(0) / least(1) - 1.0, least(0) / least(2) - 1.0);
        let name = if argv[0] == "kernels" { argv[1] } else { argv[0] };
        println!(
            "{name:<12} {fuel:>12} {:>8.2} {:>8.2} {:>8.2} {:>6.0}% {:>8.1}% {:>9.1}%",
            least(0),
            least(1),
            least(2),
            spread * 100.0,
            plain * 100.0,
            from_default * 100.0
        );
        ratios.push((plain, from_default));
    }
    let mean = |pick: fn(&(f64, f64)) -> f64| {
        let logs: f64 = ratios.iter().map(|ratio| (1.0 + pick(ratio)).ln()).sum();
        ((logs / ratios.len() as f64).exp() - 1.0) * 100.0
    };
    println!(
        "geometric mean: {:.1} % against plain (bar: 25 %), {:.1} % against default",
        mean(|r| r.0),
        mean(|r| r.1)
    );
    Ok(())
}

/// Processor time that this whole process spends on `work`: what else the machine does hardly disturbs it.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let spent = || -> Result<Duration> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
        Ok(Duration::from_millis(ticks * 10))
    };
    let before = spent()?;
    work()?;
    Ok(spent()? - before)
}

fn metered(engine: &Engine, program: &Program, argv: &[&str]) -> Result<u64> {
    let argv = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let input = TaskInput { argv, ..Default::default() }.encode()?;
    let limits = Limits { fuel: MAX_FUEL as u64, out_bytes: 1 << 20, max_pages: 256 };
    let halted = engine.run(program, &input, &SharedData::none(), &limits, 0)?.halted;
    assert_eq!(halted.exit_code, 0);
    Ok(halted.fuel_used(limits.fuel))
}

/// Plain wasmtime with the little of WASI that the kernels use.
struct Plain {
    engine: wasmtime::Engine,
    linker: Linker<Vec<String>>,
}

impl Plain {
    fn new(config: &wasmtime::Config) -> Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let mut linker: Linker<Vec<String>> = Linker::new(&engine);
        let wasi = "wasi_snapshot_preview1";
        linker.func_wrap(wasi, "args_sizes_get", |mut caller: Caller<'_, Vec<String>>, count: u32, bytes: u32| {
            let sizes = [caller.data().len() as u32, caller.data().iter().map(|arg| arg.len() as u32 + 1).sum()];
            for (at, value) in [count, bytes].into_iter().zip(sizes) {
                write(&mut caller, at, &value.to_le_bytes());
            }
            0
        })?;
        linker.func_wrap(wasi, "args_get", |mut caller: Caller<'_, Vec<String>>, mut argv: u32, mut text: u32| {
            for arg in caller.data().clone() {
                write(&mut caller, argv, &text.to_le_bytes());
                write(&mut caller, text, format!("{arg}\0").as_bytes());
                (argv, text) = (argv + 4, text + arg.len() as u32 + 1);
            }
            0
        })?;
        linker.func_wrap(
            wasi,
            "fd_write",
            |mut caller: Caller<'_, Vec<String>>, _: u32, vectors: u32, count: u32, at: u32| {
                let memory = memory(&mut caller);
                let length = |i: u32| {
                    let at = (vectors + 8 * i + 4) as usize;
                    memory.data(&caller)[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
                };
                let written: u32 = (0..count).map(length).sum();
                write(&mut caller, at, &written.to_le_bytes());
                0
            },
        )?;
        linker.func_wrap(wasi, "fd_fdstat_get", |mut caller: Caller<'_, Vec<String>>, _: u32, at: u32| {
            write(
                &mut caller,
                at,
                &[2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            );
            0
        })?;
        linker.func_wrap(wasi, "fd_seek", |_: u32, _: i64, _: u32, _: u32| 29)?;
        linker.func_wrap(wasi, "fd_close", |_: u32| 0)?;
        linker.func_wrap(wasi, "proc_exit", |code: u32| -> wasmtime::Result<()> { wasmtime::bail!("exit {code}") })?;
        Ok(Self { engine, linker })
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&self.engine, wasm)?)
    }

    fn run(&self, module: &Module, argv: &[&str]) -> Result<()> {
        let mut store = Store::new(&self.engine, argv.iter().map(|arg| arg.to_string()).collect());
        store.set_epoch_deadline(1 << 40);
        let instance = self.linker.instantiate(&mut store, module)?;
        Ok(instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?)
    }
}

fn memory(caller: &mut Caller<'_, Vec<String>>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).expect("every kernel exports its memory")
}

fn write(caller: &mut Caller<'_, Vec<String>>, at: u32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).expect("a kernel passes addresses inside its memory");
}
