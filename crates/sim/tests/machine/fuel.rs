//! Fuel is the same on wasmtime, on wasmi and in steps, whether a run ends by a trap at any
//! instruction or runs out of fuel at any block.
//!
//! `RIALTO_FUEL_MODULES` is the number of generated modules, besides the one below (default 1).
//! `RIALTO_FUEL_STEP` is the distance between the tried fuel limits, besides those around each
//! refill (default 7).

use std::ops::Range;
use std::sync::Arc;

use rialto_machine::{canonicalise, lower};
use rialto_protocol::receipt::Status;
use wasm_encoder::{CodeSection, Module, RawSection};
use wasmparser::{Parser, Payload};

use crate::differential::{Wasmi, module};
use crate::{Bench, number};

const FUEL: u64 = 60_000;
const PREPAID: u64 = rialto_machine::limits::PREPAID_FUEL as u64;

/// A program with loops with and without calls, the table, bulk memory, floats, early returns with
/// values, and recursion.
const VARIED: &str = r#"(module
  (memory 1) (table 2 funcref) (elem (i32.const 0) $double $square)
  (type $unary (func (param i32) (result i32)))
  (global $turns (mut i64) (i64.const 0))
  (func $double (type $unary) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (type $unary) (i32.mul (local.get 0) (local.get 0)))
  (func $find (param i32) (result i32) (local i32)
    (loop
      (if (i32.eq (local.get 1) (local.get 0)) (then (return (i32.add (local.get 1) (i32.const 100)))))
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 1) (i32.const 40))))
    (i32.const 7))
  (func $pair (param i32) (result i32 f64 i64) (local $n i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1) (f64.const 2) (i64.const 3))))
    (block (br_if 1 (i32.const 5) (f64.const 6) (i64.const 7) (i32.eq (local.get 0) (i32.const 1))) drop drop drop)
    (loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get 0))))
    (local.get $n) (f64.sqrt (f64.convert_i32_u (local.get $n))) (i64.const 9))
  (func $factorial (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (i32.mul (local.get 0) (call $factorial (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "_start") (local i32)
    (loop
      (global.set $turns (i64.add (global.get $turns) (i64.const 1)))
      (drop (call_indirect (type $unary) (local.get 0) (i32.and (local.get 0) (i32.const 1))))
      (memory.fill (i32.const 100) (i32.const 1) (call $find (local.get 0)))
      (memory.copy (i32.const 300) (i32.const 100) (i32.const 50))
      (call $pair (i32.add (local.get 0) (i32.const 1))) drop drop drop
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 5))))
    (block (block (block (br_table 0 1 2 (i32.const 1))) (drop (call $factorial (i32.const 9)))) (drop (call $factorial (i32.const 6))))
    (drop (i32.load (memory.grow (i32.const 0))))
    (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 900))))
    (drop (call $find (i32.const 99)))))"#;

/// Returns the program above, and generated ones that run for some time.
fn corpus(bench: &Bench) -> Vec<Vec<u8>> {
    let more = number("RIALTO_FUEL_MODULES", 1) as usize;
    let gets_somewhere = |wasm: &Vec<u8>| {
        let ended = bench.run(wasm).map(|(halted, _)| (halted.status, halted.fuel_used(FUEL)));
        matches!(ended, Ok((Status::Finished, 100..=9000)))
    };
    let generated = (1..).filter_map(module).filter(gets_somewhere).take(more);
    let text = wast::parser::ParseBuffer::new(VARIED).unwrap();
    let varied = wast::parser::parse::<wast::Wat>(&text).unwrap().encode().unwrap();
    [varied].into_iter().chain(generated).collect()
}

/// Returns the position of each operator of each body.
fn operators(wasm: &[u8]) -> Vec<usize> {
    let bodies = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    bodies
        .flat_map(|body| body.get_operators_reader().unwrap().into_iter_with_offsets())
        .map(|operator| operator.unwrap().1)
        .collect()
}

/// Returns the module with `unreachable` in front of the operator at `at`.
fn with_trap(wasm: &[u8], at: usize) -> Vec<u8> {
    let (mut out, mut code) = (Module::new(), CodeSection::new());
    let body = |range: Range<usize>| match range.contains(&at) {
        true => [&wasm[range.start..at], &[0], &wasm[at..range.end]].concat(),
        false => wasm[range].to_vec(),
    };
    let mut left = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::CodeSectionStart { count, .. } => left = count,
            Payload::CodeSectionEntry(entry) => {
                code.raw(&body(entry.range()));
                left -= 1;
                if left == 0 {
                    out.section(&code);
                }
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    out.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    out.finish()
}

#[test]
fn a_trap_anywhere_leaves_the_same_fuel() {
    let bench = Bench::new(FUEL, 16);
    let (mut tried, mut trapped) = (0, 0);
    for (which, wasm) in corpus(&bench).iter().enumerate() {
        for at in operators(wasm) {
            let wasm = with_trap(wasm, at);
            let (halted, _) = bench.run(&wasm).unwrap();
            assert_eq!(
                Wasmi::new(&wasm).run(FUEL, bench.limits.max_pages),
                halted,
                "module {which}, trap at {at}"
            );
            tried += 1;
            trapped += usize::from(halted.status == Status::Trap);
        }
    }
    println!("{tried} modules with a trap, {trapped} ran into it");
    assert!(trapped * 3 > tried && tried > 150, "{trapped} of {tried}");
}

#[test]
fn running_out_anywhere_leaves_the_same_fuel() {
    let bench = Bench::new(FUEL, 16);
    let step = number("RIALTO_FUEL_STEP", 7);
    let mut left = std::collections::BTreeSet::new();
    for (which, wasm) in corpus(&bench).iter().enumerate() {
        let program = Arc::new(lower(&canonicalise(wasm).unwrap().module));
        let (halted, _) = bench.run(wasm).unwrap();
        let needed = halted.fuel_used(FUEL);
        let (wasmi, mut tried) = (Wasmi::new(wasm), 0);
        let around = |limit: u64| (needed - limit) % PREPAID < 4 || limit % PREPAID < 4;
        for limit in
            (0..=needed).filter(|limit| limit % step == 0 || needed - limit < 40 || around(*limit))
        {
            let halted = bench.run_with(wasm, &program, limit);
            assert_eq!(
                wasmi.run(limit, bench.limits.max_pages),
                halted,
                "module {which}, {limit} of {needed} fuel"
            );
            assert_eq!(
                halted.status == Status::Finished,
                limit == needed,
                "{limit} of {needed}: {halted:?}"
            );
            left.insert(halted.fuel_left);
            tried += 1;
        }
        println!("module {which} needs {needed} fuel: {tried} limits tried");
    }
    assert!(left.len() > 10, "runs end at different blocks");
}
