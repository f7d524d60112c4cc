//! Two ways to machine code, one meaning; and verdicts.

use super::*;
use crate::ExecError;
use crate::wasm::cache::{Cache, Verdict};
use crate::wasm::compile::{About, Compiled, Compilers, is_quick};

fn example(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../examples/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn quick_code_does_the_same_to_the_unit_of_fuel() {
    let compilers = Compilers::new().unwrap();
    for name in ["tiny/tiny", "guests/work", "guests/crash", "pricing/pricing"] {
        let canonical = rialto_machine::canonicalise(&example(name)).unwrap();
        let limits = Limits { fuel: 20_000_000, max_pages: 1024, ..PLENTY };
        let outcomes: Vec<_> = [false, true]
            .into_iter()
            .map(|quick| {
                let bench = Bench::new();
                let code = compilers.compile_by(&canonical.module, quick).unwrap();
                let program =
                    bench.engine.load(Compiled { about: About::of(&canonical), code }).unwrap();
                bench.engine.run(&program, b"", &SharedData::none(), &limits, 3).unwrap()
            })
            .collect();
        assert_eq!(outcomes[0], outcomes[1], "{name}");
    }
}

#[test]
fn real_programs_get_the_better_code() {
    for name in ["guests/rusty", "kernels/kernels", "raytrace/raytrace", "zopfli/zopfli"] {
        let canonical = rialto_machine::canonicalise(&example(name)).unwrap();
        assert!(!is_quick(canonical.work, canonical.code_bytes), "{name}");
    }
}

#[test]
fn verdicts_are_kept_and_only_ours_are_believed() {
    let bench = Bench::new();
    let folder = bench.dir.path().join("cache");
    let wasm = example("tiny/tiny");
    let name = crate::wasm::engine::name(rialto_machine::Machines::default().current(), &wasm);
    let cache = Cache::open(&folder, bench.engine.wasmtime()).unwrap();
    let said = |verdict: Verdict| {
        cache.judge(&name, &verdict);
        assert_eq!(cache.verdict(&name), Some(verdict));
        bench.engine.prepare(&wasm).unwrap_err()
    };
    assert!(matches!(said(Verdict::Refused("no".into())), ExecError::Refused(why) if why == "no"));
    assert!(matches!(said(Verdict::Failed("no".into())), ExecError::Compile(why) if why == "no"));
    assert!(matches!(said(Verdict::Died("no".into())), ExecError::Worker(why) if why == "no"));
    // A day later the death is forgotten; a verdict under another name or with another bit is none.
    let path = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let path = path.filter(|path| path.file_name().unwrap() != "key").last().unwrap();
    let kept = std::fs::read(&path).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    assert_eq!(cache.verdict(&name), None);
    let other = blake3::hash(b"other");
    cache.judge(&other, &Verdict::Refused("other".into()));
    std::fs::write(&path, &kept[..kept.len() - 1]).unwrap();
    assert_eq!(cache.verdict(&name), None);
    // And so it is prepared after all.
    bench.engine.prepare(&wasm).unwrap();
}
