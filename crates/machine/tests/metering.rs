//! Metering of fuel and stack is exact, the same at every limit, and never less than the work.
#![allow(clippy::unwrap_used)]

mod host;

use host::{PLENTY, Run, config, run_module, run_wat};
use rialto_machine::canonicalise;
use wasmtime::{Engine, Module};

/// Fuel for entering `run`, which makes one call.
const ENTRY: i64 = 4;
/// Most fuel that a trap forfeits.
const PREPAID: i64 = rialto_machine::limits::PREPAID_FUEL;

fn used(text: &str) -> (i64, Option<i32>) {
    let run = run_wat(text, PLENTY);
    (PLENTY - run.fuel_left, run.exit)
}

fn start(body: &str) -> String {
    format!("(module (memory 1) (func (export \"_start\") {body}))")
}

#[test]
fn costs_are_as_documented() {
    for (body, cost) in [
        ("", 0),
        ("nop (block)", 0),
        ("(drop (i32.const 1))", 2),
        ("(drop (i32.add (i32.const 1) (i32.const 2)))", 4),
        ("(drop (i32.div_u (i32.const 1) (i32.const 2)))", 9),
        ("(drop (i64.rem_s (i64.const 1) (i64.const 2)))", 13),
        ("(drop (f64.sqrt (f64.const 1)))", 8),
        ("(drop (memory.grow (i32.const 1)))", 258),
        // 4 operators, and 1 fuel for each 8 bytes, rounded up
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const 0))", 4),
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const 1))", 5),
        ("(memory.copy (i32.const 0) (i32.const 8) (i32.const 17))", 7),
        // condition and `if`, then the arm that is taken
        ("(if (i32.const 1) (then (drop (i32.const 1))) (else nop))", 5),
        (
            "(if (i32.const 0) (then (drop (i32.const 1))) (else (drop (i32.const 2)) (drop (i32.const 2))))",
            6,
        ),
        ("(if (i32.const 0) (then (drop (i32.const 1))))", 2),
        // a taken br_if skips the operators after it
        ("(block (br_if 0 (i32.const 1)) (drop (i32.const 1))) (drop (i32.const 1))", 4),
        ("(block (br_if 0 (i32.const 0)) (drop (i32.const 1))) (drop (i32.const 1))", 6),
        ("(block (block (br_table 0 1 (i32.const 1))) (drop (i32.const 1)))", 2),
        ("(block (block (br_table 0 1 (i32.const 0))) (drop (i32.const 1)))", 4),
        ("return (drop (i32.const 1))", 1),
    ] {
        assert_eq!(used(&start(body)), (ENTRY + cost, Some(0)), "{body}");
    }
}

#[test]
fn loops_cost_each_turn() {
    let text = |turns: u32, call: &str| {
        format!(
            "(module (memory 1) (func $f) (func (export \"_start\") (local i32) (local.set 0 (i32.const {turns}))
               (loop {call} (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"
        )
    };
    for turns in [1, 2, 1000, 50_000] {
        assert_eq!(used(&text(turns, "")), (ENTRY + 2 + 5 * i64::from(turns), Some(0)));
        // with a call in it, the loop refills by a call, too: it costs the same, plus the call
        assert_eq!(used(&text(turns, "(call $f)")), (ENTRY + 2 + 9 * i64::from(turns), Some(0)));
    }
}

#[test]
fn a_trap_leaves_the_blocks_entered_paid() {
    // The first block is charged exactly; a trap in a later block forfeits the prepaid fuel.
    for (body, cost, prepaid) in [
        ("(drop (i32.const 1)) unreachable (drop (i32.const 1))", 3, 0),
        ("(drop (i32.load (i32.const 65533))) (drop (i32.const 1))", 5, 0),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) (drop (i32.const 1))", 11, 0),
        (
            "(if (i32.const 1) (then (drop (i32.load (i32.const -1))) (drop (i32.const 1)))) (drop (i32.const 1))",
            7,
            PREPAID,
        ),
        // the length is charged before the bounds are checked
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const 80000))", 4 + 10_000, PREPAID),
    ] {
        assert_eq!(used(&start(body)), (ENTRY + cost + prepaid, None), "{body}");
    }
    // trap in a callee: the rest of the caller's block is paid in advance
    let callee =
        "(module (func $f unreachable) (func (export \"_start\") (call $f) (drop (i32.const 1))))";
    assert_eq!(used(callee), (ENTRY + 4 + 2 + 1 + PREPAID, None));
}

#[test]
fn a_trap_forfeits_what_was_prepaid_once_however_many_functions_are_open() {
    let text = "(module (func $r (param i32) (local i32)
        (loop (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 9))))
        (if (i32.eqz (local.get 0)) (then unreachable)) (call $r (i32.sub (local.get 0) (i32.const 1))))
      (func (export \"_start\") (call $r (i32.const 100))))";
    let exact = ENTRY + 1 + 4 + 101 * (9 * 7 + 3) + 100 * 7 + 1;
    let (cost, exit) = used(text);
    assert_eq!(exit, None);
    assert!((exact..=exact + PREPAID).contains(&cost), "{cost} for {exact}");
}

#[test]
fn a_trap_in_a_tight_loop_forfeits_what_was_prepaid_and_no_more() {
    // Loads walk out of memory after 16,384 turns of 8 fuel.
    let body = "(local i32) (loop (drop (i32.load (local.get 0))) (local.set 0 (i32.add (local.get 0) (i32.const 4))) (br 0))";
    let (cost, exit) = used(&start(body));
    let exact = ENTRY + 16_385 * 8;
    assert_eq!(exit, None);
    assert!((exact..=exact + PREPAID).contains(&cost), "{cost} for {exact}");
    assert_eq!(used(&start(body)), (cost, exit));
}

/// A program with loops with and without calls, tables, bulk memory, output, and early returns with
/// values.
const VARIED: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory 1) (table 3 funcref) (elem (i32.const 0) $double $square $write)
  (data (i32.const 16) "\20\00\00\00\05\00\00\00") (data (i32.const 32) "hello")
  (type $unary (func (param i32) (result i32)))
  (func $double (type $unary) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (type $unary) (i32.mul (local.get 0) (local.get 0)))
  (func $find (param i32) (result i32) (local i32)
    (loop
      (if (i32.eq (local.get 1) (local.get 0)) (then (return (i32.add (local.get 1) (i32.const 100)))))
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 1) (i32.const 40))))
    (i32.const 7))
  (type $four (func (param i32 i32 i32 i32) (result i32)))
  (func $pair (param i32) (result i32 f64 i64) (local $n i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1) (f64.const 2) (i64.const 3))))
    (block (br_if 1 (i32.const 5) (f64.const 6) (i64.const 7) (i32.eq (local.get 0) (i32.const 1))) drop drop drop)
    (loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get 0))))
    (local.get $n) (f64.const 0) (i64.const 9))
  (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
  (func $fact (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (i32.mul (local.get 0) (call $fact (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "_start") (local i32)
    (loop
      (drop (call_indirect (type $unary) (local.get 0) (i32.and (local.get 0) (i32.const 1))))
      (memory.fill (i32.const 100) (i32.const 1) (call $find (local.get 0)))
      (call $pair (call $leaf (i32.sub (local.get 0) (i32.const 2)))) drop drop drop
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 5))))
    (block (block (block (br_table 0 1 2 (i32.const 1))) (drop (call $fact (i32.const 9)))) (drop (call $fact (i32.const 6))))
    (drop (call $find (i32.const 99)))
    (drop (call_indirect (type $four) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 2)))))"#;

#[test]
fn every_fuel_limit_ends_the_run_the_same_way() {
    let engine = Engine::new(&config()).unwrap();
    let module =
        Module::new(&engine, canonicalise(&wat::parse_str(VARIED).unwrap()).unwrap().module)
            .unwrap();
    let run = |fuel: i64| -> Run { run_module(&engine, &module, vec![], vec![], fuel) };
    let free = run(PLENTY);
    assert_eq!((free.exit, free.outputs().stdout.as_slice()), (Some(0), b"hello".as_slice()));
    let needed = PLENTY - free.fuel_left;
    assert!((2_000..20_000).contains(&needed), "{needed}");
    for fuel in (0..needed).step_by(7).chain(needed - 300..needed) {
        let short = run(fuel);
        assert!(short.exit.is_none() && short.fuel_left < 0, "{fuel} of {needed}: {short:?}");
        assert!(free.stream.starts_with(&short.stream));
        if fuel % 5 == 0 {
            assert_eq!(run(fuel), short);
        }
    }
    for spare in [0, 1, 4095, 4096, 100_000] {
        let enough = run(needed + spare);
        assert_eq!((enough.exit, enough.fuel_left), (Some(0), spare));
        assert_eq!(enough.stream, free.stream);
        assert_eq!(enough.stack_left, free.stack_left, "every frame was given back");
    }
}

fn recursion(params: usize, locals: usize, call: &str) -> String {
    let args: String = (0..params).map(|i| format!("(local.get {i})")).collect();
    // All locals are live across the call.
    let live: String = (params..params + locals)
        .map(|i| format!("(local.set {i} (i64.add (local.get 0) (i64.const {i})))"))
        .collect();
    let sum: String =
        (params..params + locals).map(|i| format!("(local.get {i}) i64.add")).collect();
    let call = call.replace("ARGS", &args);
    format!(
        "(module (type $f (func (param{}) (result i64))) (table 1 funcref) (elem (i32.const 0) $r)
           (global $depth (mut i64) (i64.const 0)) (memory 1)
           (func $r (type $f) (local{}) {live}
             (global.set $depth (i64.add (global.get $depth) (i64.const 1)))
             (i64.store (i32.const 0) (global.get $depth)) {call} {sum})
           (func (export \"_start\") (drop (call $r {}))))",
        " i64".repeat(params),
        " i64".repeat(locals),
        "(i64.const 1)".repeat(params),
    )
}

#[test]
fn recursion_ends_at_the_injected_limit() {
    // `run_module` fails if the native stack ends first.
    for (params, locals) in [(1, 0), (1, 12), (1, 500), (900, 0), (1, 15_000)] {
        for call in ["(call $r ARGS)", "(call_indirect (type $f) ARGS (i32.const 0))"] {
            let run = run_wat(&recursion(params, locals, call), PLENTY);
            assert!(
                run.exit.is_none() && run.stack_left < 0 && run.fuel_left > 0,
                "{params} {locals}: {run:?}"
            );
        }
    }
}

#[test]
fn sibling_and_shallow_calls_cost_no_stack() {
    let text = "(module (func $leaf) (func $r (param i32) (call $leaf)
        (if (local.get 0) (then (call $r (i32.sub (local.get 0) (i32.const 1))) (call $leaf) (call $r (i32.const 0)))))
      (func (export \"_start\") (call $r (i32.const 50000)) (call $r (i32.const 50000))))";
    let run = run_wat(text, PLENTY);
    assert_eq!(run.exit, Some(0));
    assert_eq!(run.stack_left, i64::from(rialto_machine::limits::STACK_BUDGET_SLOTS));
}
