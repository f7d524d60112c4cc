//! Speed of lowering and tracing. It prints times and asserts nothing about them: `cargo test
//! --release -p rialto-machine --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rialto_machine::input::Halves;
use rialto_machine::{TaskLimits, Tracer, canonicalise, lower};

/// Arithmetic, memory, branches and calls, as compilers write them.
fn function(index: usize) -> String {
    format!(
        "(func $f{index} (param $a i32) (param $b i64) (result i64) (local $i i32) (local $s i64)
            (local.set $i (i32.const 8))
            (loop $l
                (local.set $s (i64.add (local.get $s) (i64.mul (local.get $b) (i64.const {}))))
                (if (i32.lt_u (i32.and (local.get $a) (i32.const 1023)) (local.get $i))
                    (then (i64.store offset=16 (i32.and (local.get $a) (i32.const 4095)) (local.get $s)))
                    (else (local.set $s (i64.xor (local.get $s)
                        (i64.load offset=8 (i32.and (local.get $a) (i32.const 2047)))))))
                (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 1664525)) (i32.const 1013904223)))
                (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (i64.rotl (local.get $s) (i64.const {})))",
        3 + 2 * index,
        index % 64
    )
}

fn module(functions: usize, turns: u32) -> Vec<u8> {
    let mut text = "(module (memory (export \"memory\") 1)".to_owned();
    (0..functions).for_each(|index| text.push_str(&function(index)));
    let _ = write!(
        text,
        "(func (export \"_start\") (local $i i32) (local $s i64) (local.set $i (i32.const {turns}))
            (loop $l (local.set $s (call $f0 (local.get $i) (i64.xor (local.get $s) (i64.const 7))))
                (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))"
    );
    wat::parse_str(text).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures"]
fn lowering_and_tracing() {
    let wasm = module(7500, 1);
    let canonical = canonicalise(&wasm).unwrap().module;
    let mut code = 0;
    let times = (0..5).map(|_| {
        let begin = Instant::now();
        code = lower(&canonical).code.len();
        begin.elapsed()
    });
    let time = median(times.collect());
    println!(
        "a module of {} bytes, {} canonical: lowered in {} ms to {code} instructions",
        wasm.len(),
        canonical.len(),
        time.as_millis()
    );
    let begin = Instant::now();
    canonicalise(&wasm).unwrap();
    println!("canonicalised, its root included, in {} ms", begin.elapsed().as_millis());

    let program = Arc::new(lower(&canonicalise(&module(1, 500_000)).unwrap().module));
    let input = Arc::new(Halves::new(Default::default(), Default::default()));
    let limits = TaskLimits { seed: 1, fuel: 1 << 40, out: 1 << 20, pages: 16 };
    let mut steps = 0;
    let times = (0..5).map(|_| {
        let mut tracer = Tracer::new(program.clone(), input.clone(), limits);
        let begin = Instant::now();
        steps = tracer.finish(u64::MAX).unwrap();
        begin.elapsed()
    });
    let time = median(times.collect());
    println!(
        "{steps} steps in {} ms: {} million a second",
        time.as_millis(),
        steps as u128 / time.as_micros()
    );
}
