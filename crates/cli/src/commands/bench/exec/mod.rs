//! `rialto bench exec`: what it costs that a program is canonical, metered and stoppable.
//!
//! The same C source four ways: M' on Rialto's engine; the plain module on wasmtime with the same
//! promises by wasmtime's own means (canonical NaNs, stoppable by epochs) but nothing counted; the
//! plain module on wasmtime as it comes, which promises neither; and compiled natively. Times are
//! processor time, the rounds interleaved, so that what else the machine does disturbs all alike.

mod plain;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_client::view;
use rialto_exec::{Config, Engine, Limits, Program, SharedData};
use rialto_machine::input::TaskInput;
use rialto_machine::limits::MAX_FUEL;

use crate::ui::{self, Output, Ui, json_on_lines};
use plain::Plain;

/// Compiled by `cc` at run time, and to the committed wasm by each folder's `build.sh`.
const SOURCES: [Source; 2] = [
    Source {
        name: "kernels",
        c: include_str!("../../../../../../examples/kernels/kernels.c"),
        wasm: include_bytes!("../../../../../../examples/kernels/kernels.wasm"),
        optimise: "-O2",
    },
    Source {
        name: "raytrace",
        c: include_str!("../../../../../../examples/raytrace/raytrace.c"),
        wasm: include_bytes!("../../../../../../examples/raytrace/raytrace.wasm"),
        optimise: "-O2",
    },
];

/// Kernel, its source, its arguments: about half a second each.
const KERNELS: [(&str, usize, &[&str]); 9] = [
    ("raytrace", 1, &["640", "480", "80", "27", "64"]),
    ("collatz", 0, &["collatz", "50"]),
    ("sieve", 0, &["sieve", "16"]),
    ("sha256", 0, &["sha256", "10"]),
    ("matrix", 0, &["matrix", "12"]),
    ("bodies", 0, &["bodies", "25"]),
    ("sort", 0, &["sort", "10"]),
    ("fibonacci", 0, &["fibonacci", "10"]),
    ("interpreter", 0, &["interpreter", "12"]),
];

/// Limits that no kernel comes near.
const LIMITS: Limits = Limits { fuel: MAX_FUEL as u64, out_bytes: 1 << 20, max_pages: 256 };

/// `rialto bench exec`
#[derive(Clone, Debug, Args)]
pub struct Exec {
    /// Rounds of each kernel; the median counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only these kernels, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
}

struct Source {
    name: &'static str,
    c: &'static str,
    wasm: &'static [u8],
    optimise: &'static str,
}

/// One way to run a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Canonical,
    Plain,
    Default,
    Native,
}

const WAYS: [Way; 4] = [Way::Canonical, Way::Plain, Way::Default, Way::Native];

/// Measures and prints. Blocks for about a minute.
pub fn run(args: &Exec, ui: Ui) -> Result<()> {
    let known = |name: &String| KERNELS.iter().any(|(kernel, ..)| kernel == name);
    if let Some(unknown) = args.only.iter().find(|name| !known(name)) {
        let names: Vec<_> = KERNELS.iter().map(|(name, ..)| *name).collect();
        bail!(failure!(
            Usage,
            "C-BCH-001",
            "there is no kernel {unknown}: choose from {}",
            names.join(", ")
        ));
    }
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bench = Bench::new(scratch.path())?;
    let chosen = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let mut results = Vec::new();
    for (name, source, argv) in KERNELS.iter().filter(|(name, ..)| chosen(name)) {
        let result = bench.kernel(name, *source, argv, args.rounds)?;
        if ui.for_people() {
            if results.is_empty() {
                println!("{}", heading());
            }
            println!("{}", result.line());
        }
        results.push(result);
    }
    let vs_plain = mean(&results, Way::Plain);
    let vs_native = mean(&results, Way::Native);
    match ui.output() {
        Output::Json => json_on_lines(&view::BenchExec {
            kernels: results.iter().map(Measured::view).collect(),
            rounds: args.rounds,
            native_compiler: bench.native.as_ref().map(|native| native.compiler.clone()),
            geometric_mean: view::KernelMeans {
                vs_plain,
                vs_default: mean(&results, Way::Default),
                vs_native,
            },
        }),
        Output::Human => {
            println!(
                "geometric mean against plain: {}, against native: {}",
                percent(vs_plain),
                factor(vs_native)
            );
            if bench.native.is_none() {
                println!("no C compiler (cc) here: nothing compiled natively");
            }
        }
    }
    Ok(())
}

struct Bench {
    engine: Engine,
    plain: Plain,
    default: Plain,
    native: Option<Native>,
}

impl Bench {
    fn new(scratch: &Path) -> Result<Self> {
        Ok(Self {
            engine: Engine::new(Config { cores: 1, ..Config::new(scratch.join("cache")) })?,
            plain: Plain::new(
                wasmtime::Config::new()
                    .cranelift_nan_canonicalization(true)
                    .epoch_interruption(true),
            )
            .map_err(by_wasmtime)?,
            default: Plain::new(&wasmtime::Config::new()).map_err(by_wasmtime)?,
            native: Native::compile(scratch)?,
        })
    }

    fn kernel(
        &self,
        name: &'static str,
        source: usize,
        argv: &[&str],
        rounds: u32,
    ) -> Result<Measured> {
        let Source { name: program_name, wasm, .. } = &SOURCES[source];
        let argv: Vec<&str> = [program_name].into_iter().chain(argv).copied().collect();
        let program = self.engine.prepare(wasm)?;
        let plain = self.plain.compile(wasm).map_err(by_wasmtime)?;
        let default = self.default.compile(wasm).map_err(by_wasmtime)?;
        let mut measured = Measured { name, fuel: 0, times: [const { Vec::new() }; 4] };
        for _ in 0..rounds {
            for way in WAYS {
                let before = processor_time()?;
                match way {
                    Way::Canonical => measured.fuel = canonical(&self.engine, &program, &argv)?,
                    Way::Plain => self.plain.run(&plain, &argv).map_err(by_wasmtime)?,
                    Way::Default => self.default.run(&default, &argv).map_err(by_wasmtime)?,
                    Way::Native => match &self.native {
                        Some(native) => native.run(source, &argv[1..])?,
                        None => continue,
                    },
                }
                measured.times[way as usize].push(processor_time()? - before);
            }
        }
        Ok(measured)
    }
}

/// wasmtime's errors are no standard ones without its `anyhow` feature.
fn by_wasmtime(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("wasmtime: {error:#}")
}

/// Runs M' as providers do; the fuel it used.
fn canonical(engine: &Engine, program: &Program, argv: &[&str]) -> Result<u64> {
    let argv = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let input = TaskInput { argv, ..Default::default() }.encode()?;
    let halted = engine.run(program, &input, &SharedData::none(), &LIMITS, 0)?.halted;
    ensure!(halted.exit_code == 0, "a kernel failed");
    Ok(halted.fuel_used(LIMITS.fuel))
}

/// The sources compiled for this machine.
struct Native {
    compiler: String,
    programs: Vec<PathBuf>,
}

impl Native {
    /// None where there is no C compiler.
    fn compile(scratch: &Path) -> Result<Option<Self>> {
        let Ok(version) = Command::new("cc").arg("--version").output() else { return Ok(None) };
        let compiler =
            String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
        let mut programs = Vec::new();
        for source in &SOURCES {
            let (c, program) =
                (scratch.join(format!("{}.c", source.name)), scratch.join(source.name));
            std::fs::write(&c, source.c).context("cannot write a kernel's source")?;
            let status = Command::new("cc")
                .args([source.optimise, "-std=c11", "-D_GNU_SOURCE", "-ffp-contract=off", "-o"])
                .args([program.as_path(), c.as_path()])
                .arg("-lm")
                .stderr(Stdio::null())
                .status()?;
            ensure!(status.success(), "cc does not compile {}.c", source.name);
            programs.push(program);
        }
        Ok(Some(Self { compiler, programs }))
    }

    fn run(&self, source: usize, args: &[&str]) -> Result<()> {
        let status =
            Command::new(&self.programs[source]).args(args).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "a native kernel failed");
        Ok(())
    }
}

/// Processor time that this process has spent, and the children that it waited for.
fn processor_time() -> Result<Duration> {
    const TICKS_PER_SECOND: u64 = 100; // the kernel's unit for userspace
    let stat = std::fs::read_to_string("/proc/self/stat")
        .context("processor time is in /proc, which is Linux's")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.map(|ticks| ticks.parse().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND)))
}

struct Measured {
    name: &'static str,
    fuel: u64,
    /// Of each way, in the order of [`WAYS`].
    times: [Vec<Duration>; 4],
}

impl Measured {
    /// Median seconds; none if it did not run that way.
    fn seconds(&self, way: Way) -> Option<f64> {
        let mut times = self.times[way as usize].clone();
        times.sort();
        Some(times.get(times.len() / 2)?.as_secs_f64())
    }

    /// How many times longer M' takes.
    fn ratio(&self, way: Way) -> Option<f64> {
        Some(self.seconds(Way::Canonical)? / self.seconds(way)?.max(1e-9))
    }

    /// How far the slowest round of M' is from the fastest.
    fn spread(&self) -> f64 {
        let times = &self.times[Way::Canonical as usize];
        let ends = times.iter().min().zip(times.iter().max());
        ends.map_or(0.0, |(least, most)| most.as_secs_f64() / least.as_secs_f64().max(1e-9) - 1.0)
    }

    fn view(&self) -> view::Kernel {
        view::Kernel {
            kernel: self.name.to_owned(),
            fuel: self.fuel,
            canonical_seconds: self.seconds(Way::Canonical),
            plain_seconds: self.seconds(Way::Plain),
            default_seconds: self.seconds(Way::Default),
            native_seconds: self.seconds(Way::Native),
            vs_plain: self.ratio(Way::Plain),
            vs_default: self.ratio(Way::Default),
            vs_native: self.ratio(Way::Native),
            spread: self.spread(),
        }
    }

    fn line(&self) -> String {
        let seconds = |way| self.seconds(way).map_or("-".into(), |seconds| format!("{seconds:.2}"));
        format!(
            "{:<12} {:>14} {:>9} {:>8} {:>8} {:>8} {:>7.0}% {:>9} {:>9} {:>9}",
            self.name,
            ui::fuel(self.fuel.into()),
            seconds(Way::Canonical),
            seconds(Way::Plain),
            seconds(Way::Default),
            seconds(Way::Native),
            self.spread() * 100.0,
            percent(self.ratio(Way::Plain)),
            percent(self.ratio(Way::Default)),
            factor(self.ratio(Way::Native)),
        )
    }
}

fn heading() -> String {
    format!(
        "{:<12} {:>14} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "kernel",
        "fuel",
        "rialto s",
        "plain s",
        "dflt s",
        "cc -O2 s",
        "spread",
        "vs plain",
        "vs dflt",
        "vs native"
    )
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or("-".into(), |ratio| format!("{:+.0} %", (ratio - 1.0) * 100.0))
}

fn factor(ratio: Option<f64>) -> String {
    ratio.map_or("-".into(), |ratio| format!("{ratio:.2}×"))
}

/// Geometric mean of the ratios.
fn mean(results: &[Measured], way: Way) -> Option<f64> {
    let logs: Vec<f64> =
        results.iter().filter_map(|result| Some(result.ratio(way)?.ln())).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}
