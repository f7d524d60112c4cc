//! The disk cache: warm when it may be, never trusted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::wasm::cache::{Cache, MAX_ARTIFACTS};

fn engine() -> wasmtime::Engine {
    wasmtime::Engine::default()
}

fn compile(engine: &wasmtime::Engine, text: &str) -> Vec<u8> {
    engine.precompile_module(&wat::parse_str(text).unwrap()).unwrap()
}

/// The only artifact in a folder.
fn artifact(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap() != "key");
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn root(byte: u8) -> alloy_primitives::B256 {
    alloy_primitives::B256::repeat_byte(byte)
}

#[test]
fn a_stored_program_is_found_by_every_process_of_this_user() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let cache = Cache::open(dir.path(), &engine).unwrap();
    assert!(cache.load(&engine, root(1)).is_none());
    cache.store(&engine, root(1), &compile(&engine, "(module (func (export \"f\")))"));
    let again = Cache::open(dir.path(), &engine).unwrap();
    assert!(again.load(&engine, root(1)).unwrap().get_export("f").is_some());
    assert!(again.load(&engine, root(2)).is_none());
}

#[test]
fn many_small_programs_make_way() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let cache = Cache::open(dir.path(), &engine).unwrap();
    for n in 0..MAX_ARTIFACTS + 10 {
        fs::write(dir.path().join(n.to_string()), "").unwrap();
    }
    cache.store(&engine, root(1), &compile(&engine, "(module (func (export \"f\")))"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        MAX_ARTIFACTS + 1,
        "the key is among them"
    );
    assert!(cache.load(&engine, root(1)).is_some());
}

#[test]
fn damage_anywhere_is_noticed_and_removed() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let cache = Cache::open(dir.path(), &engine).unwrap();
    let module = compile(&engine, "(module (func (export \"f\") (result i32) i32.const 5))");
    cache.store(&engine, root(1), &module);
    let good = fs::read(artifact(dir.path())).unwrap();
    let cut = |len| good[..len].to_vec();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let longer = [good.as_slice(), &[0]].concat();
    for bad in [
        cut(0),
        cut(31),
        cut(32),
        cut(good.len() - 1),
        flipped(0),
        flipped(40),
        flipped(good.len() - 1),
        longer,
    ] {
        cache.store(&engine, root(1), &module);
        let path = artifact(dir.path());
        fs::write(&path, bad).unwrap();
        assert!(cache.load(&engine, root(1)).is_none());
        assert!(!path.exists());
    }
}

#[test]
fn a_program_under_another_programs_name_is_refused() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let cache = Cache::open(dir.path(), &engine).unwrap();
    cache.store(&engine, root(1), &compile(&engine, "(module)"));
    let one = artifact(dir.path());
    fs::remove_file(&one).unwrap();
    cache.store(&engine, root(2), &compile(&engine, "(module (func (export \"f\")))"));
    fs::rename(artifact(dir.path()), &one).unwrap();
    assert!(cache.load(&engine, root(1)).is_none());
}

#[test]
fn artifacts_of_another_key_or_configuration_are_not_used() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let store = || {
        Cache::open(dir.path(), &engine).unwrap().store(
            &engine,
            root(1),
            &compile(&engine, "(module)"),
        )
    };
    store();
    let other = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
    assert!(Cache::open(dir.path(), &other).unwrap().load(&other, root(1)).is_none());
    for spoil in [
        |key: &Path| fs::remove_file(key).unwrap(),
        |key: &Path| fs::write(key, "short").unwrap(),
        |key: &Path| fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap(),
    ] {
        store();
        spoil(&dir.path().join("key"));
        assert!(Cache::open(dir.path(), &engine).unwrap().load(&engine, root(1)).is_none());
    }
}

#[test]
fn the_folder_is_made_private() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    Cache::open(dir.path(), &engine()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.path()), mode(&dir.path().join("key"))), (0o700, 0o600));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(
        Cache::open(&dir.path().join("file"), &engine()),
        Err(crate::ExecError::Cache { .. })
    ));
}

#[test]
fn engines_that_start_together_agree_on_a_key_and_on_results() {
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let engine = Engine::new(Config { cores: 1, ..Config::new(dir.path()) }).unwrap();
        let program = engine.prepare_canonical(&canonical("(call $write (i64.const 6))")).unwrap();
        word(&engine.run(&program, b"", &SharedData::none(), &PLENTY, 0).unwrap())
    };
    std::thread::scope(|scope| {
        let engines: Vec<_> = (0..6).map(|_| scope.spawn(run)).collect();
        assert!(engines.into_iter().all(|engine| engine.join().unwrap() == 6));
    });
    artifact(dir.path());
}

#[test]
fn a_damaged_file_costs_a_compilation_and_nothing_else() {
    let bench = Bench::new();
    let body = "(call $write (i64.const 4))";
    assert_eq!(word(&bench.outcome(body)), 4);
    let path = artifact(&bench.dir.path().join("cache"));
    let good = fs::read(&path).unwrap();
    fs::write(&path, vec![0x90; good.len()]).unwrap();
    assert_eq!(word(&bench.outcome(body)), 4);
    assert_eq!(artifact(&bench.dir.path().join("cache")), path);
    assert_ne!(fs::read(&path).unwrap()[..32], [0x90; 32]);
}
