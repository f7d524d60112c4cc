//! Real programs, unchanged, on the whole engine: C, Rust and the path tracer.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use rialto_exec::{
    AttemptError, CancelFlag, Config, Engine, ExecError, Limits, Outcome, SharedData,
};
use rialto_machine::input::{SharedInput, TaskInput};
use rialto_machine::output::{Outputs, parse};
use rialto_protocol::receipt::{Status, output_hash};

const PLENTY: Limits = Limits { fuel: 20_000_000_000, out_bytes: 1 << 24, max_pages: 8192 };

/// One engine and its cache folder for all tests.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<(Engine, tempfile::TempDir)> = OnceLock::new();
    &ENGINE.get_or_init(new_engine).0
}

fn new_engine() -> (Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Engine::new(Config { cores: 2, ..Config::new(dir.path()) }).unwrap(), dir)
}

fn wasm(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)).unwrap()
}

fn args(args: &[&str]) -> TaskInput {
    TaskInput {
        argv: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        ..Default::default()
    }
}

fn run(path: &str, input: &TaskInput, limits: &Limits) -> Outcome {
    let program = engine().prepare(&wasm(path)).unwrap();
    engine().run(&program, &input.encode().unwrap(), &SharedData::none(), limits, 7).unwrap()
}

fn outputs(outcome: &Outcome) -> Outputs {
    assert_eq!(outcome.halted.out_hash, output_hash(&outcome.output));
    assert_eq!(outcome.halted.out_len, outcome.output.len() as u64);
    parse(&outcome.output).unwrap()
}

#[test]
fn a_picture_is_the_same_however_it_is_cut_and_wherever_it_is_made() {
    let tile =
        |size: &str, index: u32| args(&["raytrace", "48", "32", size, &index.to_string(), "4"]);
    let inputs: Vec<Bytes> =
        (0..6).map(|index| tile("16", index).encode().unwrap().into()).collect();
    let batch = |engine: &Engine| {
        let program = engine.prepare(&wasm("raytrace/raytrace.wasm")).unwrap();
        engine
            .run_batch(
                &program,
                &inputs,
                &SharedData::none(),
                &PLENTY,
                1,
                &CancelFlag::new(),
                &|_| {},
            )
            .unwrap()
    };
    let tiles = batch(engine());
    let (other, _dir) = new_engine();
    assert_eq!(tiles, batch(&other));
    let mut picture = vec![0; 48 * 32 * 3];
    for (index, outcome) in tiles.iter().enumerate() {
        let pixels = outputs(outcome).stdout;
        for (y, row) in pixels.chunks(16 * 3).enumerate() {
            let at = ((index / 3 * 16 + y) * 48 + index % 3 * 16) * 3;
            picture[at..at + row.len()].copy_from_slice(row);
        }
    }
    let whole = run("raytrace/raytrace.wasm", &tile("48", 0), &PLENTY);
    assert_eq!(outputs(&whole).stdout, picture);
    assert_eq!((whole.halted.status, whole.halted.exit_code), (Status::Finished, 0));
}

#[test]
fn exit_codes_and_streams_arrive() {
    let mut input = args(&["surroundings", "42"]);
    input.stdin = b"a line\n".to_vec();
    let outcome = run("guests/surroundings.wasm", &input, &PLENTY);
    assert_eq!((outcome.halted.status, outcome.halted.exit_code), (Status::Finished, 42));
    let outputs = outputs(&outcome);
    assert!(String::from_utf8(outputs.stdout).unwrap().contains("line 1: a line\n"));
    assert_eq!(outputs.stderr, b"bye\n");
    let panic = run("guests/rusty.wasm", &args(&["rusty", "panic"]), &PLENTY);
    assert_eq!(panic.halted.status, Status::Trap);
}

#[test]
fn every_fuel_limit_ends_where_it_must() {
    let input = args(&["surroundings"]);
    let limited =
        |fuel: u64| run("guests/surroundings.wasm", &input, &Limits { fuel, ..PLENTY }).halted;
    let enough = limited(PLENTY.fuel);
    let used = enough.fuel_used(PLENTY.fuel);
    let some = (0..60).chain((60..used).step_by(used as usize / 60)).chain(used - 20..used);
    for limit in some {
        let halted = limited(limit);
        assert_eq!((halted.status, halted.exit_code), (Status::Trap, 0), "limit {limit} of {used}");
        assert!(halted.fuel_left < 0, "limit {limit} of {used}");
        assert_eq!(halted.fuel_used(limit), limit);
    }
    for more in [0, 1, 1000] {
        let halted = limited(used + more);
        assert_eq!(
            (halted.status, halted.fuel_left, halted.out_hash),
            (Status::Finished, more as i64, enough.out_hash)
        );
    }
}

#[test]
fn bad_ends_are_traps_and_the_same_everywhere() {
    let (other, _dir) = new_engine();
    let programs = [engine(), &other]
        .map(|engine| (engine, engine.prepare(&wasm("guests/crash.wasm")).unwrap()));
    let limits = Limits { fuel: 50_000_000, ..PLENTY };
    for (how, out_of_fuel) in [
        ("recurse", false),
        ("loop", true),
        ("abort", false),
        ("divide", false),
        ("wild", false),
        ("call", false),
    ] {
        let input = args(&["crash", how]).encode().unwrap();
        let ends = programs.each_ref().map(|(engine, program)| {
            engine.run(program, &input, &SharedData::none(), &limits, 0).unwrap()
        });
        assert_eq!(ends[0], ends[1], "{how}");
        let halted = ends[0].halted;
        assert_eq!((halted.status, halted.fuel_left < 0), (Status::Trap, out_of_fuel), "{how}");
        assert!(parse(&ends[0].output).unwrap().stderr.starts_with(b"about to "));
    }
}

#[test]
fn too_little_memory_is_the_programs_to_notice() {
    let work = |max_pages| {
        run("guests/work.wasm", &args(&["work"]), &Limits { max_pages, ..PLENTY }).halted
    };
    assert_eq!((work(8192).status, work(8192).exit_code), (Status::Finished, 0));
    // malloc returns null: the same end under the same limit, everywhere
    let little = work(400);
    assert_eq!((little.status, little.exit_code), (Status::Finished, 2));
    let program = engine().prepare(&wasm("guests/work.wasm")).unwrap();
    let below = Limits { max_pages: program.min_pages() - 1, ..PLENTY };
    let refused = engine().run(&program, b"", &SharedData::none(), &below, 0);
    assert!(matches!(refused, Err(AttemptError::StartPages { .. })));
}

#[test]
fn a_shared_file_is_the_same_from_disk_and_from_memory() {
    let file = |path: &str, bytes: &[u8]| (path.to_owned(), bytes.to_vec());
    let big: Vec<u8> = (0..400_000u32).flat_map(|i| i.wrapping_mul(i).to_le_bytes()).collect();
    let shared = SharedInput {
        files: vec![file("data/shared.txt", b"of the job"), file("data/big.bin", &big)],
    };
    let shared = shared.encode().unwrap();
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(&shared).unwrap();
    let mut input = args(&["rusty", "3"]);
    input.files = vec![file("data/task.txt", b"of the task")];
    let program = engine().prepare(&wasm("guests/rusty.wasm")).unwrap();
    let run = |data: SharedData| {
        engine().run(&program, &input.encode().unwrap(), &data, &PLENTY, 0).unwrap()
    };
    let from_disk = run(SharedData::file(on_disk.path()).unwrap());
    assert_eq!(from_disk, run(SharedData::bytes(shared.into())));
    assert_eq!(from_disk.halted.exit_code, 3);
    let outputs = outputs(&from_disk);
    assert!(String::from_utf8(outputs.stdout).unwrap().contains("e job\n"));
    assert!(
        outputs.files.iter().any(|(path, bytes)| path == "out/a/b/file" && bytes == b"from rust")
    );
}

#[test]
fn preparing_twice_gives_the_same_program_and_a_new_process_the_same_root() {
    let bytes = wasm("guests/surroundings.wasm");
    let dir = tempfile::tempdir().unwrap();
    let open = || Engine::new(Config { cores: 1, ..Config::new(dir.path()) }).unwrap();
    let first = open();
    let program = first.prepare(&bytes).unwrap();
    assert!(std::sync::Arc::ptr_eq(&program, &first.prepare(&bytes).unwrap()));
    assert_eq!(program.root(), rialto_machine::canonicalise(&bytes).unwrap().program_root);
    let artifacts = || std::fs::read_dir(dir.path()).unwrap().count();
    let before = artifacts();
    let again = open();
    assert_eq!(again.prepare(&bytes).unwrap().root(), program.root());
    assert_eq!(artifacts(), before);
}

#[test]
fn what_the_gate_refuses_is_refused_with_its_code() {
    for bad in [b"".as_slice(), b"hello", b"\0asm\x01\0\0\0"] {
        let error = engine().prepare(bad).unwrap_err();
        assert!(matches!(error, ExecError::Gate(_)));
        assert!(error.to_string().starts_with("[X-PRG-001] [M-GATE-"), "{error}");
    }
}
