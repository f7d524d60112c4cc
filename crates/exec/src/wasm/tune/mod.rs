//! M' → what wasmtime compiles: the same results, faster, and interruptible. Nobody but this engine
//! sees it; M' stays what orders name. The compiler's own means for both were measured and cost too
//! much:
//!
//! 1. Every float operation must turn NaNs into the canonical one. Cranelift can do that behind
//!    every single operation, on its critical path: float code took three times as long. But the
//!    bits of a NaN can only be *seen* where they are stored, reinterpreted, negated and so on, so
//!    only there are they made canonical (`function`).
//! 2. A run must be stoppable. Epoch checks at every turn of a loop made tight loops half as slow
//!    again. But M' writes its fuel every few thousand operators at the latest; so each write of it
//!    is followed by a comparison with a mark, and below it a tick, which sets the next mark and
//!    asks the host (`host::Host::memory_growing`). It is done on the spot: calling a function for
//!    it made the byte sieve half as slow again, hardly ever though it was called.
//! 3. What is hardly ever done must not cost registers. Cranelift moves constants out of loops, and
//!    out of a second loop's refills they are not moved back: loops kept zero and [`PREPAID_FUEL`]
//!    in registers, and their own values in memory. So what is hardly ever done reads its constants
//!    from globals.
//!
//! `tests/tune.rs` compares with Cranelift's own canonicalisation on generated programs.

mod function;

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, ConstExpr, Encode, GlobalType, Instruction, Module,
    RawSection, ValType,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, Chunk, FuncToValidate, FuncValidatorAllocations, FunctionBody,
    KnownCustom, Parser, Payload, TypeRef, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
};

use rialto_machine::limits::PREPAID_FUEL;

use crate::ExecError;

/// Changes whenever the same M' may come out differently: compiled programs are cached under it.
pub(crate) const VERSION: u32 = 3;

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

/// What code that is hardly ever run reads from globals, behind the mark.
const RARE: [i64; 3] = [0, PREPAID_FUEL, TICK_FUEL];

type Result<T> = std::result::Result<T, ExecError>;

/// The globals that are added to those of M'.
#[derive(Clone, Copy)]
struct Added {
    /// Below it the host is asked.
    mark: u32,
}

impl Added {
    /// All of them: mutable, so that the compiler takes none for a constant.
    const VALUES: [i64; 1 + RARE.len()] = [i64::MAX, RARE[0], RARE[1], RARE[2]];

    /// The global that holds one of [`RARE`].
    fn rare(self, value: i64) -> Option<u32> {
        RARE.iter().position(|rare| *rare == value).map(|at| self.mark + 1 + at as u32)
    }

    /// One of [`RARE`], where it is hardly ever needed.
    fn constant(self, value: i64) -> Instruction<'static> {
        self.rare(value).map_or(Instruction::I64Const(value), Instruction::GlobalGet)
    }
}

/// Rewrites M'. Fails only if it is not valid WebAssembly of [`FEATURES`] with the parts that every
/// M' has.
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
                let ValidPayload::Func(function, _) = valid else {
                    unreachable!("it is a function")
                };
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
    /// Copies a section; to the globals it adds its own.
    fn section(&mut self, payload: &Payload<'_>, id: u8, data: &[u8]) -> Result<()> {
        let (mut added, mut count) = (Vec::new(), 0);
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    self.imports += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::GlobalSection(globals) => {
                self.globals = globals.count();
                for value in Added::VALUES {
                    GlobalType { val_type: ValType::I64, mutable: true, shared: false }
                        .encode(&mut added);
                    ConstExpr::i64_const(value).encode(&mut added);
                    count += 1;
                }
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
        let data = if added.is_empty() { data.to_vec() } else { append(data, &added, count)? };
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
        let around = function::Around {
            added: Added { mark: self.globals },
            marked: self.marked.remove(&index).unwrap_or_default(),
        };
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

/// `mark = max(fuel − TICK_FUEL, 0)`, and a growth of memory beyond anything possible: it has no
/// effect but that the host is asked.
fn tick(added: Added) -> [Instruction<'static>; 15] {
    [
        Instruction::GlobalGet(FUEL),
        added.constant(TICK_FUEL),
        Instruction::I64Sub,
        added.constant(0),
        Instruction::GlobalGet(FUEL),
        added.constant(TICK_FUEL),
        Instruction::I64GtS,
        Instruction::Select,
        Instruction::GlobalSet(added.mark),
        // all ones
        added.constant(0),
        Instruction::I32WrapI64,
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::MemoryGrow(0),
        Instruction::Drop,
    ]
}

/// A section with so many more entries.
fn append(data: &[u8], entries: &[u8], more: u32) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(data, 0);
    let count = reader.read_var_u32()?;
    let mut longer = Vec::with_capacity(data.len() + entries.len() + 1);
    (count + more).encode(&mut longer);
    longer.extend_from_slice(&data[reader.original_position()..]);
    longer.extend_from_slice(entries);
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
