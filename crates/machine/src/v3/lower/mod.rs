//! Lowering of M' to a program of the register machine and images of its memory, table and globals.
//! It makes one pass over each function, simple enough to be checked by reading. `docs/machine.md`
//! specifies the result.

mod bulk;
mod function;
mod operators;

use std::collections::{BTreeSet, HashMap};

use alloy_primitives::B256;
use wasmparser::{
    CompositeInnerType, ConstExpr, DataKind, ElementItems, ElementKind, ExternalKind, FuncType,
    FunctionBody, Operator, Parser, Payload, TypeRef,
};

use crate::tree::{self, Tree};
use crate::v3::CANON_VERSION;
use crate::v3::ir::{Entry, GLOBALS_DEPTH, Instruction, MEMORY_DEPTHS, ProgramParts, op};
use function::{Callee, Code};

/// The parts of a module that lowering needs. The module is M', so any fault in it is a defect of
/// this crate, and reading it panics.
#[derive(Default)]
struct Module<'a> {
    types: Vec<FuncType>,
    /// Name and type of imported functions.
    imports: Vec<(&'a str, u32)>,
    /// Type of each function that the module defines.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    table_len: u32,
    pages: u32,
    max_pages: u32,
    /// Bits of the globals' initial values.
    globals: Vec<u64>,
    run: Option<u32>,
    elements: Vec<(u32, Vec<u32>)>,
    data: Vec<(u32, &'a [u8])>,
}

const OWN: &str = "M' is a valid module";

/// Steps for one fuel that metering may add: a block's charge with its refill, counting the stack,
/// and passing both through a call.
const METERING_STEPS: u32 = 64;
/// Steps for one fuel that a helper for bulk memory may add.
const BULK_STEPS: u32 = 128;

/// A lowered program.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// Preimage of the root.
    pub parts: ProgramParts,
    /// Instructions, by `pc`.
    pub code: Vec<Instruction>,
    /// Entries of the table.
    pub table: Vec<Entry>,
    /// Globals before the first step.
    pub globals: Vec<u64>,
    /// Initial content of memory, as offset and bytes; the rest is zero. Later entries overwrite
    /// earlier ones.
    pub data: Vec<(u32, Vec<u8>)>,
    pub(crate) code_tree: Tree,
    pub(crate) table_tree: Tree,
}

/// Lowers M'.
///
/// # Panics
/// If [`crate::canonicalise`] did not make `module`.
pub fn lower(module: &[u8]) -> Lowered {
    lower_as(CANON_VERSION, module)
}

/// Like [`lower`], with a root of this version.
pub(super) fn lower_as(version: u16, module: &[u8]) -> Lowered {
    let module = Module::read(module);
    let mut code = Code::default();
    let numbers = module.numbers();
    let callees = module.callees(&numbers);
    let mut at: Vec<u32> = vec![0; module.imports.len()];
    for (ty, body) in module.functions.iter().zip(&module.bodies) {
        at.push(code.len());
        code.function(&module.types, &numbers, &callees, *ty, body);
    }
    // The table may hold imports, and a call through it needs an instruction to jump to.
    let imports = module.imports.len();
    let in_table =
        module.elements.iter().flat_map(|(_, functions)| functions).map(|index| *index as usize);
    for index in in_table.filter(|index| *index < imports).collect::<BTreeSet<_>>() {
        at[index] = code.len();
        code.host_stub(&callees[index]);
    }
    let bulk = code.uses_bulk();
    if bulk {
        code.helpers();
    }
    let (code, per_operator) = code.finish(&at);

    let mut table = vec![Entry::default(); module.table_len as usize];
    for (offset, functions) in &module.elements {
        for (entry, index) in table[*offset as usize..].iter_mut().zip(functions) {
            *entry = Entry { ty: callees[*index as usize].number, pc: at[*index as usize] };
        }
    }
    let entry = at[module.run.expect(OWN) as usize];
    let data: Vec<_> =
        module.data.iter().map(|(offset, bytes)| (*offset, bytes.to_vec())).collect();
    let leaves = code.len().div_ceil(2);
    let code_tree = Tree::over(tree::depth_for(leaves as u64), leaves, |at| code_leaf(&code, at));
    // A module of fifty bytes may have a table of a million entries. Entries that no segment fills
    // are zero and need no hashing.
    let filled = |(offset, functions): &(u32, Vec<u32>)| {
        (*offset as usize, *offset as usize + functions.len())
    };
    let mut table_tree = Tree::new(tree::depth_for(table.len() as u64));
    table_tree
        .update(&apart(module.elements.iter().map(filled).collect()), |at| table_leaf(&table, at));
    let memory_depth = u32::from(*MEMORY_DEPTHS.start()) + tree::depth_for(module.max_pages.into());
    let parts = ProgramParts {
        version,
        code: code_tree.root(|at| code_leaf(&code, at)),
        table: table_tree.root(|at| table_leaf(&table, at)),
        memory: memory_root(memory_depth, &data),
        globals: globals_tree(&module.globals).root(|at| words_leaf(&module.globals, at)),
        entry,
        pages: module.pages,
        max_pages: module.max_pages,
        table_len: module.table_len,
        steps_per_fuel: METERING_STEPS + per_operator + if bulk { BULK_STEPS } else { 0 },
        code_depth: tree::depth_for(leaves as u64) as u8,
        memory_depth: memory_depth as u8,
        table_depth: tree::depth_for(module.table_len.into()) as u8,
    };
    Lowered { parts, code, table, globals: module.globals, data, code_tree, table_tree }
}

/// Returns leaf `at` of the code tree, which holds two instructions.
pub(crate) fn code_leaf(code: &[Instruction], at: usize) -> B256 {
    let half = |at: usize| code.get(at).copied().unwrap_or_default().encode();
    B256::from_slice(&[half(2 * at), half(2 * at + 1)].concat())
}

pub(crate) fn table_leaf(table: &[Entry], at: usize) -> B256 {
    table.get(at).map(|entry| entry.leaf()).unwrap_or_default()
}

/// Returns leaf `at` of a tree over words, which holds four, big-endian.
pub(crate) fn words_leaf(words: &[u64], at: usize) -> B256 {
    let mut leaf = B256::ZERO;
    for (bytes, word) in leaf.chunks_exact_mut(8).zip(words.iter().skip(4 * at)) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    leaf
}

pub(crate) fn globals_tree(globals: &[u64]) -> Tree {
    Tree::over(GLOBALS_DEPTH.into(), globals.len().div_ceil(4), |at| words_leaf(globals, at))
}

fn memory_root(depth: u32, data: &[(u32, Vec<u8>)]) -> B256 {
    let image = Image::new(data);
    tree::sparse_root(depth, &image.ranges, |at| image.leaf(at))
}

/// The initial content of memory without the zeros, because data may lie anywhere in 4 GiB.
struct Image {
    /// Ranges of leaves that hold data, sorted and disjoint.
    ranges: Vec<(usize, usize)>,
    /// Start of each range in `bytes`.
    starts: Vec<usize>,
    bytes: Vec<u8>,
}

impl Image {
    fn new(data: &[(u32, Vec<u8>)]) -> Self {
        let ranges = data_leaves(data);
        let mut end = 0;
        let mut starts = Vec::with_capacity(ranges.len());
        for (first, past) in &ranges {
            starts.push(end);
            end += (past - first) * 32;
        }
        let mut image = Self { ranges, starts, bytes: vec![0; end] };
        for (offset, bytes) in data.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let start = image.place(*offset as usize / 32) + *offset as usize % 32;
            image.bytes[start..][..bytes.len()].copy_from_slice(bytes);
        }
        image
    }

    /// Returns the start of a leaf in `bytes`.
    fn place(&self, leaf: usize) -> usize {
        let range = self.ranges.partition_point(|(first, _)| *first <= leaf) - 1;
        self.starts[range] + (leaf - self.ranges[range].0) * 32
    }

    fn leaf(&self, at: usize) -> B256 {
        B256::from_slice(&self.bytes[self.place(at)..][..32])
    }
}

/// Returns the ranges of memory leaves that hold data, sorted and disjoint.
pub(crate) fn data_leaves(data: &[(u32, Vec<u8>)]) -> Vec<(usize, usize)> {
    let leaves = |(offset, bytes): &(u32, Vec<u8>)| {
        (*offset as usize / 32, (*offset as usize + bytes.len()).div_ceil(32))
    };
    apart(data.iter().filter(|(_, bytes)| !bytes.is_empty()).map(leaves).collect())
}

/// Sorts ranges and merges those that touch each other.
fn apart(mut ranges: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    ranges.sort_unstable();
    let mut apart: Vec<(usize, usize)> = Vec::new();
    for (first, end) in ranges {
        match apart.last_mut() {
            Some(last) if first <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((first, end)),
        }
    }
    apart
}

impl<'a> Module<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.expect(OWN) {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group.expect(OWN).into_types() {
                            let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                                panic!("{OWN}")
                            };
                            module.types.push(ty);
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.expect(OWN);
                        let TypeRef::Func(ty) = import.ty else { panic!("{OWN}") };
                        module.imports.push((import.name, ty));
                    }
                }
                Payload::FunctionSection(section) => {
                    module.functions = section.into_iter().collect::<Result<_, _>>().expect(OWN);
                }
                Payload::TableSection(section) => {
                    let table = section.into_iter().next().expect(OWN).expect(OWN);
                    module.table_len = table.ty.initial as u32;
                }
                Payload::MemorySection(section) => {
                    let memory = section.into_iter().next().expect(OWN).expect(OWN);
                    module.pages = memory.initial as u32;
                    module.max_pages = memory.maximum.expect(OWN) as u32;
                }
                Payload::GlobalSection(section) => {
                    module.globals = section
                        .into_iter()
                        .map(|global| constant(&global.expect(OWN).init_expr))
                        .collect();
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.expect(OWN);
                        if export.kind == ExternalKind::Func && export.name == "run" {
                            module.run = Some(export.index);
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element.expect(OWN);
                        let ElementKind::Active { offset_expr, .. } = &element.kind else {
                            panic!("{OWN}")
                        };
                        let ElementItems::Functions(functions) = element.items else {
                            panic!("{OWN}")
                        };
                        let functions = functions.into_iter().collect::<Result<_, _>>().expect(OWN);
                        module.elements.push((constant(offset_expr) as u32, functions));
                    }
                }
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data.expect(OWN);
                        let DataKind::Active { offset_expr, .. } = &data.kind else {
                            panic!("{OWN}")
                        };
                        module.data.push((constant(offset_expr) as u32, data.data));
                    }
                }
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                _ => {}
            }
        }
        module
    }

    /// Returns the number of each type, from 1; equal types have one number.
    fn numbers(&self) -> Vec<u32> {
        let mut known = HashMap::new();
        self.types
            .iter()
            .map(|ty| {
                let next = known.len() as u32 + 1;
                *known.entry(ty).or_insert(next)
            })
            .collect()
    }

    /// Returns each function as a callee, by index.
    fn callees(&self, numbers: &[u32]) -> Vec<Callee<'a>> {
        let imported = self.imports.iter().map(|(name, ty)| (Some(*name), *ty));
        let own = self.functions.iter().map(|ty| (None, *ty));
        let callee = |(host, ty): (Option<&'a str>, u32)| {
            let signature = &self.types[ty as usize];
            let (params, results) =
                (signature.params().len() as u32, signature.results().len() as u32);
            Callee { host, params, results, number: numbers[ty as usize] }
        };
        imported.chain(own).map(callee).collect()
    }
}

/// Returns the bits of a constant.
fn constant(expr: &ConstExpr<'_>) -> u64 {
    match expr.get_operators_reader().read().expect(OWN) {
        Operator::I32Const { value } => u64::from(value as u32),
        Operator::I64Const { value } => value as u64,
        Operator::F32Const { value } => value.bits().into(),
        Operator::F64Const { value } => value.bits(),
        _ => panic!("{OWN}"),
    }
}

/// Returns the operation of the host function of this name.
fn host(name: &str) -> u8 {
    match name {
        "inlen" => op::INLEN,
        "in32" => op::IN32,
        "out32" => op::OUT32,
        "exit" => op::EXIT,
        _ => panic!("{OWN}"),
    }
}
