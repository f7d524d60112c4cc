//! Cost of metering: CPU time of M' against that of the plain module, both on wasmtime. It asserts
//! nothing: `cargo test -p rialto-machine --test overhead -- --ignored --nocapture`
#![allow(clippy::unwrap_used)]

mod host;

use std::time::Duration;

use rialto_machine::canonicalise;
use wasmtime::{Engine, Module, Store};

const ROUNDS: usize = 7;

/// Returns the CPU time of this thread, which depends less on other load than the clock does.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = cpu_time();
    work();
    cpu_time() - start
}

#[test]
#[ignore = "a measurement"]
fn overhead() {
    let engine = Engine::new(&host::config()).unwrap();
    println!("{:>8} {:>9} {:>9} {:>9} {:>14}", "kernel", "plain ms", "M' ms", "overhead", "fuel");
    let only = std::env::var("KERNEL").ok();
    for kernel in ["hash", "sum", "sieve", "matrix", "fib", "sort", "fractal"] {
        if only.as_ref().is_some_and(|only| only != kernel) {
            continue;
        }
        let wasm =
            std::fs::read(format!("{}/tests/overhead/{kernel}.wasm", env!("CARGO_MANIFEST_DIR")))
                .unwrap();
        let plain = Module::new(&engine, &wasm).unwrap();
        let metered = Module::new(&engine, canonicalise(&wasm).unwrap().module).unwrap();
        let (mut best_plain, mut best_metered, mut fuel) = (Duration::MAX, Duration::MAX, 0);
        for _ in 0..ROUNDS {
            let mut store = Store::new(&engine, ());
            let start = wasmtime::Instance::new(&mut store, &plain, &[])
                .unwrap()
                .get_func(&mut store, "_start")
                .unwrap();
            best_plain = best_plain.min(timed(|| start.call(&mut store, &[], &mut []).unwrap()));
            best_metered = best_metered.min(timed(|| {
                let run = host::run_module(&engine, &metered, vec![], vec![], host::PLENTY);
                assert_eq!(run.exit, Some(0));
                fuel = host::PLENTY - run.fuel_left;
            }));
        }
        let (plain, metered) = (best_plain.as_secs_f64(), best_metered.as_secs_f64());
        let overhead = 100.0 * (metered / plain - 1.0);
        println!(
            "{kernel:>8} {:>9.1} {:>9.1} {overhead:>8.1}% {fuel:>14}",
            plain * 1e3,
            metered * 1e3
        );
    }
}
