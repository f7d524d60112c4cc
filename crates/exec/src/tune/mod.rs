//! M' → what wasmtime compiles: the same results, faster, and interruptible. Nobody but this engine sees it; M' stays
//! what orders name. The compiler's own means for both were measured and cost too much:
//!
//! 1. Every float operation must turn NaNs into the canonical one. Cranelift can do that behind every single
//!    operation, on its critical path: float code took three times as long. But the bits of a NaN can only be *seen* where they
//!    are stored, reinterpreted, negated and so on, so only there are they made canonical (`function`).
//! 2. A run must be stoppable. Epoch checks at every turn of a loop made tight loops half as slow again. But M' writes its fuel
//!    every few thousand operators at the latest; so each write of it is followed by a comparison with a mark, and
//!    below it a tick, which sets the next mark and asks the host (`host::Host::memory_growing`). It is done on the spot:
//!    calling a function for it made the byte sieve half as slow again, hardly ever though it was called.
//!
//! `tests/tune.rs` compares with Cranelift's own canonicalisation on generated programs.

mod function;

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, ConstExpr, Encode, GlobalType, Instruction, Module, RawSection, ValType,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, Chunk, FuncToValidate, FuncValidatorAllocations, FunctionBody, KnownCustom,
    Parser, Payload, TypeRef, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::ExecError;

/// Changes whenever the same M' may come out differently: compiled programs are cached under it.
pub(crate) const VERSION: u32 = 2;

/// What M' uses of WebAssembly: the gate's features.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY);

/// The global of M' that holds the fuel.
const FUEL: u32 = 0;
/// Fuel between two ticks: well under 10 ms of almost any code.
const TICK_FUEL: i64 = 1 << 20;

type Result<T> = std::result::Result<T, ExecError>;

/// Rewrites M'. Fails only if it is not valid WebAssembly of [`FEATURES`] with the parts that every M' has.
pub(crate) fn tune(module: &[u8]) -> Result<Vec<u8>> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut rest = module;
    let mut tuner = Tuner::default();
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
            unreachable!("all bytes are there")
        };
        let valid = validator.payload(&payload)?;
        match &payload {
            Payload::End(_) => return Ok(tuner.out.finish()),
            Payload::Version { .. } => {}
            Payload::CodeSectionStart { count, .. } => tuner.expected = *count,
            Payload::CodeSectionEntry(body) => {
                let ValidPayload::Func(function, _) = valid else { unreachable!("it is a function") };
                tuner.function(function, body, &mut allocations)?;
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    tuner.section(other, id, &rest[consumed - range.len()..consumed])?;
                }
            }
        }
        rest = &rest[consumed..];
    }
}

#[derive(Default)]
struct Tuner {
    out: Module,
    code: CodeSection,
    /// Functions whose bodies are still to come.
    expected: u32,
    imports: u32,
    globals: u32,
    /// Per function the `if`s that are hardly ever taken, by offset: M' has them marked.
    marked: BTreeMap<u32, BTreeSet<u32>>,
    hints: BranchHints,
}

impl Tuner {
    /// Copies a section; to the globals it adds the mark.
    fn section(&mut self, payload: &Payload<'_>, id: u8, data: &[u8]) -> Result<()> {
        let mut added = Vec::new();
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    self.imports += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::GlobalSection(globals) => {
                self.globals = globals.count();
                GlobalType { val_type: ValType::I64, mutable: true, shared: false }.encode(&mut added);
                ConstExpr::i64_const(i64::MAX).encode(&mut added);
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::BranchHints(hints) = custom.as_known() {
                    for function in hints {
                        let function = function?;
                        let offsets = function
                            .hints
                            .into_iter()
                            .map(|hint| Ok(hint?.func_offset))
                            .collect::<wasmparser::Result<_>>()?;
                        self.marked.insert(function.func, offsets);
                    }
                }
                return Ok(()); // nothing else in them matters to a run
            }
            _ => {}
        }
        let data = if added.is_empty() { data.to_vec() } else { append(data, &added)? };
        self.out.section(&RawSection { id, data: &data });
        Ok(())
    }

    fn function(
        &mut self,
        validator: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: &mut FuncValidatorAllocations,
    ) -> Result<()> {
        let index = self.imports + self.code.len();
        if self.globals == 0 {
            return Err(lacks("globals"));
        }
        let around = function::Around { mark: self.globals, marked: self.marked.remove(&index).unwrap_or_default() };
        let (function, unlikely) = function::tune(validator, body, &around, allocations)?;
        self.code.function(&function);
        if !unlikely.is_empty() {
            let hint = |at: &u32| BranchHint { branch_func_offset: *at, branch_hint_value: 0 };
            self.hints.function_hints(index, unlikely.iter().map(hint));
        }
        self.expected -= 1;
        if self.expected == 0 {
            self.out.section(&self.hints);
            self.out.section(&std::mem::take(&mut self.code));
        }
        Ok(())
    }
}

/// `mark = max(fuel − TICK_FUEL, 0)`, and a growth of memory beyond anything possible: it has no effect but that the host is asked.
fn tick(mark: u32) -> [Instruction<'static>; 12] {
    [
        Instruction::GlobalGet(FUEL),
        Instruction::I64Const(TICK_FUEL),
        Instruction::I64Sub,
        Instruction::I64Const(0),
        Instruction::GlobalGet(FUEL),
        Instruction::I64Const(TICK_FUEL),
        Instruction::I64GtS,
        Instruction::Select,
        Instruction::GlobalSet(mark),
        Instruction::I32Const(-1),
        Instruction::MemoryGrow(0),
        Instruction::Drop,
    ]
}

/// A section of `count` entries with one more.
fn append(data: &[u8], entry: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(data, 0);
    let count = reader.read_var_u32()?;
    let mut longer = Vec::with_capacity(data.len() + entry.len() + 1);
    (count + 1).encode(&mut longer);
    longer.extend_from_slice(&data[reader.original_position()..]);
    longer.extend_from_slice(entry);
    Ok(longer)
}

fn lacks(what: &str) -> ExecError {
    ExecError::NotCanonical(format!("it has no {what}"))
}

impl From<BinaryReaderError> for ExecError {
    fn from(error: BinaryReaderError) -> Self {
        Self::NotCanonical(error.to_string())
    }
}
