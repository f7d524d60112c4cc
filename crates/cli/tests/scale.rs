//! Large jobs, by the shipped binary in processes of its own: what is computed is right, and the
//! peaks of memory do not grow with the size of the work. Small sizes always; those that are
//! promised where `RIALTO_SCALE` is set.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod home;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use home::Home;
use serde_json::Value;

const TINY: &[u8] = include_bytes!("../../../examples/tiny/tiny.wasm");
const MIB: u64 = 1 << 20;
/// How often a market is listened to until all its providers are heard.
const LISTENS: u32 = 20;
/// One of so many words of an output is looked at: their hashes were compared before.
const STRIDE: usize = 61;
/// How often processes are looked at. The kernel keeps their peaks: only the last moments of a
/// process can be missed.
const LOOK: Duration = Duration::from_millis(50);

/// The promised size where it is asked for, which takes minutes and has the machine to itself;
/// otherwise one of seconds.
fn size<T>(promised: T, small: T) -> (T, Option<MutexGuard<'static, ()>>) {
    static ALONE: Mutex<()> = Mutex::new(());
    if std::env::var_os("RIALTO_SCALE").is_some() {
        return (promised, Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    println!("a small size: RIALTO_SCALE is not set");
    (small, None)
}

/// The most memory that processes of a home took, bytes, by command: `up` is chain and providers,
/// `host` the requester, `run` who writes the results.
type Peaks = BTreeMap<String, u64>;

/// Does something, and watches the home's processes meanwhile.
fn watched<T>(home: &Home, work: impl FnOnce() -> T) -> (T, Peaks) {
    let folder = home.0.path().to_str().unwrap();
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let watching = scope.spawn(move || {
            let mut peaks = Peaks::new();
            while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                look(folder, &mut peaks);
            }
            look(folder, &mut peaks);
            peaks
        });
        let done = work();
        drop(stop);
        (done, watching.join().unwrap())
    })
}

fn look(folder: &str, peaks: &mut Peaks) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        // What is no process, or none any more, has no such file.
        let Ok(line) = std::fs::read_to_string(entry.path().join("cmdline")) else { continue };
        let words = line.split('\0').skip_while(|word| *word != folder);
        let Some(command) = words.skip(1).find(|word| ["up", "host", "run"].contains(word)) else {
            continue;
        };
        let Some(peak) = peak(&entry.path()) else { continue };
        let known = peaks.entry(command.to_owned()).or_default();
        *known = peak.max(*known);
    }
}

/// The most memory that a process ever took, bytes.
fn peak(process: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// A job file, and a folder of the same name for its results.
fn job(home: &Home, name: &str, program: &[u8], more: &str) -> (String, PathBuf) {
    let at = |file: String| home.0.path().join(file);
    let program_file = at(format!("{name}.wasm"));
    std::fs::write(&program_file, program).unwrap();
    let text = format!(
        "name = \"{name}\"\nprogram = {program_file:?}\nseed = 1\ndeadline = \"2 h\"\n{more}"
    );
    let file = at(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    (file.to_str().unwrap().to_owned(), at(name.to_owned()))
}

/// Runs a job to its end; every task has to be verified and to have ended well.
fn run(home: &Home, file: &str, results: &Path, tasks: u64) -> (Value, Peaks) {
    let (done, peaks) =
        watched(home, || home.ok(&["run", file, "--to", results.to_str().unwrap()]));
    let mib: Vec<_> =
        peaks.iter().map(|(name, peak)| format!("{name} {} MiB", peak / MIB)).collect();
    println!("{tasks} tasks in {} s: {}", done["seconds"], mib.join(", "));
    let expected = (&Value::Bool(true), &Value::from(tasks), &Value::from(0));
    assert_eq!((&done["done"], &done["verified"], &done["results"]["failed"]), expected, "{done}");
    (done, peaks)
}

fn at_most(peaks: &Peaks, name: &str, mib: u64) {
    let peak = peaks[name] / MIB;
    assert!(peak <= mib, "{name} took {peak} MiB, at most {mib} are expected");
}

#[test]
fn large_outputs() {
    let ((mib, tasks), _alone) = size((100, 12), (1, 128));
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "1"]);
    let program = wat::parse_str(include_str!("scale/pour.wat")).unwrap();
    let more = format!(
        "stdin = \"{mib} {{n}}\"\nbudget = 100\nverify = \"trust\"\n[tasks]\nrange = \"0..{tasks}\"\n[limits]\nfuel = \"4 Gfuel\"\nmemory = \"2 MiB\"\noutput = \"{} MiB\"\n",
        mib + 1
    );
    let (file, results) = job(&home, "pour", &program, &more);
    let (_, peaks) = run(&home, &file, &results, tasks);
    for task in 0..tasks {
        let output = std::fs::read(results.join(format!("{task}.out"))).unwrap();
        assert_eq!(output.len() as u64, mib * MIB);
        let right = |(word, at): (&[u8], u64)| word == (task << 32 | at).to_le_bytes();
        assert!(output.chunks_exact(8).zip(0..).step_by(STRIDE).all(right), "task {task}");
    }
    // A task's output for each core is in memory, never an order's.
    at_most(&peaks, "up", 160 + 4 * mib);
    at_most(&peaks, "host", 150 + 4 * mib);
}

#[test]
fn a_large_shared_input() {
    let ((mib, tasks), _alone) = size((1024, 4), (96, 2));
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "2"]);
    let program = wat::parse_str(include_str!("scale/sum.wat")).unwrap();
    let data = home.0.path().join("data");
    let sum = write_words(&data, mib);
    let more = format!(
        "budget = 100\nverify = {{ replicas = 2 }}\n[tasks]\nrange = \"0..{tasks}\"\n[inputs]\ndata = {data:?}\n[limits]\nfuel = \"10 Gfuel\"\nmemory = \"2 MiB\"\n[output]\nstdout = \"stream\"\n"
    );
    let (file, results) = job(&home, "sum", &program, &more);
    let (_, peaks) = run(&home, &file, &results, tasks);
    let sums = std::fs::read(results.join("stdout.txt")).unwrap();
    assert_eq!(sums, sum.to_le_bytes().repeat(tasks as usize));
    at_most(&peaks, "up", 500);
}

/// Writes a file of words that all differ; their sum.
fn write_words(path: &Path, mib: u64) -> u64 {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let (mut word, mut sum) = (1u64, 0u64);
    for _ in 0..mib {
        let mut piece = Vec::with_capacity(MIB as usize);
        for _ in 0..MIB / 8 {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum = sum.wrapping_add(word);
            piece.extend_from_slice(&word.to_le_bytes());
        }
        file.write_all(&piece).unwrap();
    }
    sum
}

/// Tasks that square their number's text, and their results looked at.
fn squares(home: &Home, tasks: u64, replicas: u64, providers: u64) -> (Value, Peaks) {
    let more = format!(
        "stdin = \"{{task}}\"\nbudget = 1000\nverify = {{ replicas = {replicas} }}\n[tasks]\nrange = \"0..{tasks}\"\n[limits]\nfuel = \"1 Mfuel\"\nmemory = \"4 MiB\"\noutput = \"4 KiB\"\n[output]\nstdout = \"stream\"\n[providers]\nleast = {providers}\nmost = {providers}\n"
    );
    let (file, results) = job(home, "squares", TINY, &more);
    let done = run(home, &file, &results, tasks);
    let squares = std::fs::read(results.join("stdout.txt")).unwrap();
    let expected = (0..tasks).flat_map(|task| {
        let (number, mut text) = (task.to_string(), [0; 8]);
        text[..number.len()].copy_from_slice(number.as_bytes());
        let number = u64::from_le_bytes(text);
        number.wrapping_mul(number).to_le_bytes()
    });
    assert!(squares.iter().copied().eq(expected));
    done
}

#[test]
fn many_tasks() {
    let (tasks, _alone) = size(100_000, 4_000);
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "2"]);
    let (_, peaks) = squares(&home, tasks, 2, 2);
    at_most(&peaks, "up", 300);
    // Names, inputs and results of all tasks are in the requester's memory, about 2.5 KB each.
    at_most(&peaks, "host", 150 + tasks * 4 / 1024);
}

#[test]
fn many_providers() {
    let ((providers, tasks), _alone) = size((50, 20_000), (8, 800));
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", &providers.to_string()]);
    // A busy machine may need a while until all are heard.
    let heard = || home.ok(&["market"])["asks"].as_array().map_or(0, Vec::len);
    let all = (0..LISTENS).any(|_| heard() >= providers as usize);
    assert!(all, "{} of {providers} providers are heard", heard());
    let (done, peaks) = squares(&home, tasks, 2, providers);
    assert_eq!(done["providers"].as_array().map(Vec::len), Some(providers as usize), "{done}");
    at_most(&peaks, "up", 150 + 10 * providers);
}
