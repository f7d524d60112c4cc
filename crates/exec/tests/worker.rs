//! Compiling in workers: what they can't do, what happens when they die, and what just passes the
//! gate is compiled within their limits. A binary of its own, because workers are the binary that
//! starts them.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // the machine's own tests use the rest
#[path = "../../machine/tests/bombs/make.rs"]
mod make;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rialto_exec::{CancelFlag, Config, Engine, ExecError, Limits, SharedData, worker};

const LIMITS: Limits = Limits { fuel: 1 << 40, out_bytes: 1 << 20, max_pages: 1024 };

const TESTS: [(&str, fn()); 6] = [
    ("everything_is_kept_from_a_worker", everything_is_kept_from_a_worker),
    (
        "a_program_compiled_in_a_worker_does_what_it_does",
        a_program_compiled_in_a_worker_does_what_it_does,
    ),
    ("a_bomb_is_refused_and_stays_so", a_bomb_is_refused_and_stays_so),
    (
        "whoever_waits_can_stop_and_the_worker_is_gone",
        whoever_waits_can_stop_and_the_worker_is_gone,
    ),
    ("a_worker_that_is_killed_costs_one_attempt", a_worker_that_is_killed_costs_one_attempt),
    (
        "what_just_passes_is_compiled_within_the_limits",
        what_just_passes_is_compiled_within_the_limits,
    ),
];

fn main() {
    worker::main_if_worker(std::env::args_os());
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            print!("test {name} ... ");
            test();
            println!("ok");
        }
    }
}

fn engine(dir: &Path) -> Engine {
    Engine::new(Config { cores: 1, workers: 2, ..Config::new(dir) }).unwrap()
}

fn example(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../examples/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A module that is accepted and takes many seconds to compile.
fn slow() -> Vec<u8> {
    let (_, most, make) = make::KINDS.into_iter().find(|(name, ..)| *name == "branches").unwrap();
    make(most)
}

/// Processes that this one started and that are still there.
fn children() -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(listed.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Waits for a worker to come.
fn child() -> u32 {
    loop {
        if let Some(pid) = children().first() {
            return *pid;
        }
        sleep(Duration::from_millis(2));
    }
}

fn everything_is_kept_from_a_worker() {
    let found = worker::protections();
    assert_eq!(found.len(), 6, "{found:?}");
    // All of them are tried, or what the system said is shown; where the tests run, it has them
    // all.
    assert!(found.iter().all(|protection| protection.holds), "{found:#?}");
}

fn a_program_compiled_in_a_worker_does_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("cache"));
    for name in ["tiny/tiny", "guests/work", "words/words"] {
        let wasm = example(name);
        let program = engine.prepare(&wasm).unwrap();
        assert_eq!(
            program.root(),
            rialto_machine::canonicalise(&wasm).unwrap().program_root,
            "{name}"
        );
        let outcome = engine.run(&program, b"", &SharedData::none(), &LIMITS, 5).unwrap();
        // Another engine takes it from the disk, without a worker.
        let again = self::engine(&dir.path().join("cache"));
        let program = again.prepare(&wasm).unwrap();
        assert_eq!(
            again.run(&program, b"", &SharedData::none(), &LIMITS, 5).unwrap(),
            outcome,
            "{name}"
        );
    }
    assert!(children().is_empty());
}

fn a_bomb_is_refused_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_, most, make) = make::KINDS[0];
    let bomb = make(most + 1);
    let refused = |engine: &Engine| match engine.prepare(&bomb).unwrap_err() {
        ExecError::Refused(why) => why,
        other => panic!("{other}"),
    };
    let first = refused(&engine(dir.path()));
    assert!(first.contains("[M-GATE-009] ") && first.contains("function #1"), "{first}");
    // A start later it is known: the second engine finds the verdict of the first.
    let verdicts = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(refused(&engine(dir.path())), first);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), verdicts);
}

fn whoever_waits_can_stop_and_the_worker_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (wasm, cancel, other, ended) =
        (slow(), CancelFlag::new(), CancelFlag::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let result = engine.prepare_unless(&wasm, &cancel);
            ended.store(true, Ordering::SeqCst);
            result
        });
        child();
        // Somebody else's program isn't held up by it.
        engine.prepare(&example("tiny/tiny")).unwrap();
        assert!(!ended.load(Ordering::SeqCst), "the slow one is slower than the small one");
        // A second one who brings the same can stop waiting, too.
        let second = scope.spawn(|| engine.prepare_unless(&wasm, &other));
        other.cancel();
        assert!(matches!(second.join().unwrap(), Err(ExecError::Cancelled)));
        cancel.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(ExecError::Cancelled)));
    });
    assert!(children().is_empty());
}

fn a_worker_that_is_killed_costs_one_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let wasm = slow();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.prepare(&wasm));
        let mut killed = 0;
        for _ in 0..2 {
            let pid = loop {
                let pid = child();
                if pid != killed {
                    break pid;
                }
            };
            killed = pid;
            kill(pid);
        }
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, ExecError::Worker(_)), "{error}");
    });
    // It is not begun again, not by another engine either.
    let error = self::engine(dir.path()).prepare(&wasm).unwrap_err();
    assert!(matches!(error, ExecError::Worker(_)), "{error}");
    // One death of two is the host's business.
    let wasm = example("raytrace/raytrace");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.prepare(&wasm));
        let pid = child();
        kill(pid);
        waiting.join().unwrap().unwrap();
    });
}

/// The limits of a worker are what docs/machine.md states: none of these is killed. Those with a
/// megabyte of code are left out.
fn what_just_passes_is_compiled_within_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    for (kind, most, make) in make::KINDS {
        let wasm = make(most);
        if wasm.len() < 50_000 {
            engine.prepare(&wasm).unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
    }
}
