//! Many tasks, few slots: nothing is left of one task in the next, and nobody can tell the cores
//! apart.

use std::sync::Mutex;

use bytes::Bytes;
use rialto_protocol::receipt::task_seed;

use super::*;

/// Writes what it finds of memory, a global and its size, then changes all of it.
const DIRTY: &str = "
    (call $write (i64.or (i64.or (i64.load (i32.const 2000)) (i64.load (i32.const 60000)))
                 (i64.or (i64.shl (global.get $own) (i64.const 8)) (i64.extend_i32_u (memory.size)))))
    (drop (memory.grow (i32.const 9)))
    (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 655360))
    (global.set $own (i64.const -1))
    (global.set $stack (i64.const -1))";

#[test]
fn nothing_leaks_from_task_to_task() {
    let bench = Bench::new();
    let inputs = vec![Bytes::new(); 200];
    let dirty = bench.program(DIRTY);
    let other = bench.program(&format!("{DIRTY} (call $exit (i32.const 1))"));
    for _ in 0..3 {
        for program in [&dirty, &other] {
            let run = |cancel| {
                bench.engine.run_batch(
                    program,
                    &inputs,
                    &SharedData::none(),
                    &PLENTY,
                    0,
                    &cancel,
                    &|_| {},
                )
            };
            for outcome in run(CancelFlag::new()).unwrap() {
                assert_eq!(word(&outcome), 5 << 8 | 1);
            }
        }
    }
}

/// A number from the seed and the input, after some work.
const WORK: &str = "
    (call $out32 (global.get $seed) (call $in32 (i32.const 0)) drop (i32.const 32))
    (local.set $n (global.get $seed))
    (loop $again
        (local.set $n (i64.add (i64.mul (local.get $n) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
        (global.set $fuel (i64.sub (global.get $fuel) (i64.const 1)))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
    (call $write (local.get $n))";

#[test]
fn a_batch_is_its_tasks_one_by_one_on_any_engine() {
    let inputs: Vec<Bytes> = (0..40u8).map(|i| Bytes::from(vec![i; 40])).collect();
    let shared = SharedData::none();
    let batch = |cores| {
        let bench = Bench::with(|config| config.cores = cores);
        let progress = Mutex::new(Vec::new());
        let note = |done| progress.lock().unwrap().push(done);
        let program = bench.program(WORK);
        let outcomes = bench
            .engine
            .run_batch(&program, &inputs, &shared, &PLENTY, 77, &CancelFlag::new(), &note)
            .unwrap();
        let mut progress = progress.into_inner().unwrap();
        progress.sort_unstable();
        assert_eq!(progress, (1..=40).collect::<Vec<u32>>());
        outcomes
    };
    let (one, many) = (batch(1), batch(7));
    assert_eq!(one, many);
    let bench = Bench::new();
    let program = bench.program(WORK);
    for (i, (input, outcome)) in inputs.iter().zip(&one).enumerate() {
        let alone =
            bench.engine.run(&program, input, &shared, &PLENTY, task_seed(77, i as u32)).unwrap();
        assert_eq!(&alone, outcome);
        assert_eq!(alone.halted.fuel_left, PLENTY.fuel as i64 - 5000);
    }
    assert_ne!(one[0].halted.hash(), one[1].halted.hash());
}

#[test]
fn the_first_failed_attempt_ends_the_batch() {
    let bench = Bench::new();
    let program = bench.program(
        "(loop $again (global.set $fuel (i64.sub (global.get $fuel) (i64.const 1)))
            (br_if $again (i64.eqz (call $in32 (i32.const 0)) drop drop drop)))
        (drop (call $recurse (i64.const 0)))",
    );
    // task 1 exhausts the stack, the others run forever
    let mut inputs = vec![Bytes::new(); 10];
    inputs[1] = Bytes::from_static(&[1; 32]);
    let result = bench.engine.run_batch(
        &program,
        &inputs,
        &SharedData::none(),
        &PLENTY,
        0,
        &CancelFlag::new(),
        &|_| {},
    );
    assert_eq!(result, Err(AttemptError::NativeStack));
}

#[test]
fn batches_share_cores_and_memory() {
    let bench = Bench::with(|config| {
        config.cores = 3;
        config.max_memory_bytes = 16 * crate::PAGE_BYTES; // one task at a time
    });
    let program = bench.program(WORK);
    let inputs = vec![Bytes::new(); 20];
    let run = || {
        bench.engine.run_batch(
            &program,
            &inputs,
            &SharedData::none(),
            &PLENTY,
            1,
            &CancelFlag::new(),
            &|_| {},
        )
    };
    std::thread::scope(|scope| {
        let batches: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        let first = run().unwrap();
        for batch in batches {
            assert_eq!(batch.join().unwrap().unwrap(), first);
        }
    });
}

#[test]
fn an_empty_batch_is_empty() {
    let bench = Bench::new();
    let outcomes = bench.engine.run_batch(
        &bench.program(""),
        &[],
        &SharedData::none(),
        &PLENTY,
        0,
        &CancelFlag::new(),
        &|_| {},
    );
    assert_eq!(outcomes, Ok(vec![]));
}
