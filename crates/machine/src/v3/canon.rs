//! Assembles M' from the program, the WASI functions that it uses, `run`, and the system globals.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, ConstExpr, DataSection, ElementSection, Elements,
    EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType, Ieee32,
    Ieee64, ImportSection, Instruction, MemorySection, MemoryType, RefType, TableSection,
    TableType, ValType,
};
use wasmparser::{ExternalKind, FuncType};

use crate::error::GateError;
use crate::v3::calls::Shape;
use crate::v3::cost;
use crate::v3::emit::{self, Callee, Emitted, FUEL, Mapping, STACK_LEFT, Types, val_type};
use crate::v3::gate::{self, Const, Global, Module, Place};
use crate::v3::limits::*;
use crate::v3::lower::lower_as;
use crate::v3::work::Work;
use crate::v3::{calls, wasi};

/// Version of all rules that make M' from a module. It is part of the program's root.
pub const CANON_VERSION: u16 = 3;

/// The system globals. They are the first globals of M', in this order.
static SYSTEM: [(&str, Global); 4] = [
    ("fuel", Global::i64(0)),
    ("stackLeft", Global::i64(STACK_BUDGET_SLOTS as i64)),
    ("digest", Global::i64(0)),
    ("seed", Global::i64(0)),
];
const SEED: u32 = 3;

/// A program that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// M', the module that engines run.
    pub module: Vec<u8>,
    /// Root over the lowered M' ([`crate::v3::ir::ProgramParts::root`]), by which orders name the
    /// program.
    pub program_root: B256,
    /// Pages of memory that the program starts with.
    pub min_pages: u32,
    /// Most pages of memory that it can grow to.
    pub max_pages: u32,
    /// Work that it takes to compile the module.
    pub work: Work,
    /// Bytes of the code section of the module that it was made from.
    pub code_bytes: u64,
}

/// Checks a module and returns M'. The same bytes always give the same M'.
///
/// # Errors
/// The first [`GateError`] that the gate finds; [`GateError::NoEntry`] if the module has no
/// `_start`.
pub fn canonicalise(wasm: &[u8]) -> Result<Canonical, GateError> {
    canonicalise_as(CANON_VERSION, wasm)
}

/// Like [`canonicalise`], with a root of this version.
pub(super) fn canonicalise_as(version: u16, wasm: &[u8]) -> Result<Canonical, GateError> {
    let guest = gate::read(wasm, |_| 0)?;
    let entry = entry(&guest)?;
    let linked = Linked::new(&guest)?;
    let globals = linked.globals.len() as u64;
    if globals > u64::from(MAX_GLOBALS) {
        let injected = globals - guest.globals.len() as u64;
        let limit = u64::from(MAX_GLOBALS) - injected;
        return Err(Place::Module.too_large("globals", guest.globals.len() as u64, limit));
    }
    let (min_pages, max_pages) = guest.memory.unwrap_or((0, Some(0)));
    let max_pages = max_pages.unwrap_or(MAX_MEMORY_PAGES).min(MAX_MEMORY_PAGES);
    let module = linked.encode(entry, min_pages, max_pages);
    let program_root = lower_as(version, &module).parts.root();
    Ok(Canonical {
        module,
        program_root,
        min_pages,
        max_pages,
        work: guest.work,
        code_bytes: guest.code_bytes,
    })
}

/// Returns the index of the function to run: `_start`, of type () → ().
fn entry(guest: &Module<'_>) -> Result<u32, GateError> {
    let no_entry = |detail, fix| Err(GateError::NoEntry { detail, fix });
    let Some((ExternalKind::Func, index)) = guest.exports.get("_start") else {
        return if guest.exports.contains_key("_initialize") {
            no_entry(
                "the module is a library (a WASI reactor), not a program",
                "build it as a command: with a `main`, and without -mexec-model=reactor or crate-type cdylib",
            )
        } else {
            no_entry(
                "the module exports no `_start` function",
                "build a program with a `main` for wasm32-wasip1 (C: zig cc -target wasm32-wasi; Rust: a binary crate)",
            )
        };
    };
    let ty = match guest.imports.get(*index as usize) {
        Some(import) => import.ty,
        None => guest.funcs[*index as usize - guest.imports.len()].0,
    };
    if guest.types[ty as usize] == FuncType::new([], []) {
        Ok(*index)
    } else {
        no_entry(
            "`_start` takes parameters or returns a value",
            "export a `_start` of type () -> ()",
        )
    }
}

/// The modules that become M', and the mapping of their indices.
struct Linked<'a> {
    guest: &'a Module<'a>,
    guest_map: Mapping<'a>,
    /// The WASI polyfill, unless the program imports nothing.
    wasi: Option<Wasi>,
    globals: Vec<&'a Global>,
}

struct Wasi {
    module: &'static Module<'static>,
    map: Mapping<'static>,
    used: BTreeSet<u32>,
}

impl<'a> Linked<'a> {
    fn new(guest: &'a Module<'a>) -> Result<Self, GateError> {
        let mut globals: Vec<&Global> = SYSTEM.iter().map(|(_, global)| global).collect();
        let in_table: BTreeSet<u32> =
            guest.elements.iter().flat_map(|(_, functions)| functions.iter().copied()).collect();
        let types = &guest.types;
        if guest.imports.is_empty() {
            let shapes = calls::shapes(guest, &[], &in_table);
            let funcs: Vec<_> =
                (0..).zip(shapes).map(|(index, shape)| Callee { index, shape }).collect();
            let (refill, globals_map) = (funcs.len() as u32, place_guest(guest, &mut globals));
            let guest_map = Mapping { types, globals: globals_map, funcs, refill };
            return Ok(Self { guest, guest_map, wasi: None, globals });
        }
        let module = wasi::polyfill();
        let resolve =
            |import: &gate::Import<'_>| wasi::resolve(import, &guest.types[import.ty as usize]);
        let resolved = guest.imports.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let used = reachable(module, resolved.iter().copied());

        // The function indices of M' are, in this order: host imports, the program's functions, the
        // polyfill's, `refill`, `run`.
        let hosts = used.range(..module.imports.len() as u32).count() as u32;
        let refill = used.len() as u32 + guest.funcs.len() as u32;
        let host_shapes: Vec<_> =
            module.imports.iter().map(|import| Shape::host(import.name)).collect();
        let wasi_in_table =
            in_table.iter().filter_map(|index| resolved.get(*index as usize).copied()).collect();
        let wasi_shapes = calls::shapes(module, &host_shapes, &wasi_in_table);
        let mut wasi_funcs: Vec<_> =
            wasi_shapes.into_iter().map(|shape| Callee { index: u32::MAX, shape }).collect();
        let (mut host, mut next) = (0, hosts + guest.funcs.len() as u32);
        for index in &used {
            let to = if (*index as usize) < module.imports.len() { &mut host } else { &mut next };
            wasi_funcs[*index as usize].index = *to;
            *to += 1;
        }
        let mut funcs: Vec<_> = resolved.iter().map(|index| wasi_funcs[*index as usize]).collect();
        let import_shapes: Vec<_> = funcs.iter().map(|callee| callee.shape).collect();
        let own = calls::shapes(guest, &import_shapes, &in_table).split_off(guest.imports.len());
        funcs.extend((hosts..).zip(own).map(|(index, shape)| Callee { index, shape }));

        let wasi_globals = place_wasi(module, &mut globals);
        let guest_globals = place_guest(guest, &mut globals);
        let guest_map = Mapping { types, globals: guest_globals, funcs, refill };
        let map =
            Mapping { types: &module.types, globals: wasi_globals, funcs: wasi_funcs, refill };
        Ok(Self { guest, guest_map, wasi: Some(Wasi { module, map, used }), globals })
    }

    fn encode(&self, entry: u32, min_pages: u32, max_pages: u32) -> Vec<u8> {
        let mut types = Types::default();
        let mut imports = ImportSection::new();
        let mut functions = FunctionSection::new();
        let mut code = Vec::new();
        push_functions(&mut types, &mut functions, &mut code, self.guest, &self.guest_map, |_| {
            true
        });
        if let Some(Wasi { module, map, used }) = &self.wasi {
            for (index, import) in (0..).zip(&module.imports) {
                if used.contains(&index) {
                    let ty = types.function(&module.types[import.ty as usize], Shape::default());
                    imports.import(import.module, import.name, EntityType::Function(ty));
                }
            }
            push_functions(&mut types, &mut functions, &mut code, module, map, |index| {
                used.contains(&index)
            });
        }
        functions.function(types.index(vec![ValType::I64], vec![ValType::I64]));
        code.push(emit::refill());
        let run = imports.len() + functions.len();
        functions.function(types.index(Vec::new(), Vec::new()));
        code.push(self.run(entry));

        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: min_pages.into(),
            maximum: Some(max_pages.into()),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, run);
        exports.export("memory", ExportKind::Memory, 0);
        for (index, (name, _)) in (0..).zip(&SYSTEM) {
            exports.export(name, ExportKind::Global, index);
        }

        let mut out = wasm_encoder::Module::new();
        out.section(&types.section);
        out.section(&imports);
        out.section(&functions);
        if let Some((minimum, maximum)) = self.guest.table {
            let mut tables = TableSection::new();
            tables.table(TableType {
                element_type: RefType::FUNCREF,
                table64: false,
                minimum: minimum.into(),
                maximum: maximum.map(u64::from),
                shared: false,
            });
            out.section(&tables);
        }
        out.section(&memories);
        out.section(&self.globals());
        out.section(&exports);
        out.section(&self.elements());
        out.section(&hints(imports.len(), &code));
        out.section(&code.iter().fold(CodeSection::new(), |mut section, emitted| {
            section.function(&emitted.function);
            section
        }));
        out.section(&self.data());
        out.finish()
    }

    /// Returns `run`, which calls the polyfill's start, the module's start function, `_start`, and
    /// the polyfill's end.
    fn run(&self, entry: u32) -> Emitted {
        let polyfill = |name| {
            let Wasi { map, .. } = self.wasi.as_ref()?;
            Some(
                map.funcs
                    [wasi::function(name).expect("the committed polyfill exports it") as usize],
            )
        };
        let guest = |index: u32| self.guest_map.funcs[index as usize];
        let calls = [
            polyfill(wasi::INIT),
            self.guest.start.map(guest),
            Some(guest(entry)),
            polyfill(wasi::FLUSH),
        ];
        let calls: Vec<_> = calls.into_iter().flatten().collect();
        let prepaid = 0;
        let mut run = Emitted::new(vec![(1, ValType::I64)]);
        run.charge(calls.iter().map(|callee| cost::CALL + callee.shape.entry.unwrap_or(0)).sum());
        for Callee { index, shape } in calls {
            if shape.fuel {
                run.put(&[Instruction::LocalGet(prepaid)]);
            }
            if shape.stack {
                run.put(&[Instruction::GlobalGet(STACK_LEFT)]);
            }
            run.put(&[Instruction::Call(index)]);
            if shape.fuel {
                run.put(&[Instruction::LocalSet(prepaid)]);
            }
        }
        run.put(&[
            Instruction::GlobalGet(FUEL),
            Instruction::LocalGet(prepaid),
            Instruction::I64Add,
        ]);
        run.put(&[Instruction::GlobalSet(FUEL), Instruction::End]);
        run
    }

    fn globals(&self) -> GlobalSection {
        let mut section = GlobalSection::new();
        for global in &self.globals {
            let ty = GlobalType {
                val_type: val_type(global.ty),
                mutable: global.mutable,
                shared: false,
            };
            section.global(ty, &global.init.expr());
        }
        section
    }

    fn elements(&self) -> ElementSection {
        let mut section = ElementSection::new();
        for (offset, functions) in &self.guest.elements {
            let functions: Vec<u32> =
                functions.iter().map(|index| self.guest_map.funcs[*index as usize].index).collect();
            section.active(
                None,
                &ConstExpr::i32_const(*offset as i32),
                Elements::Functions(functions.into()),
            );
        }
        section
    }

    fn data(&self) -> DataSection {
        let mut section = DataSection::new();
        for (offset, bytes) in &self.guest.data {
            section.active(0, &ConstExpr::i32_const(*offset as i32), bytes.iter().copied());
        }
        section
    }
}

/// Appends the program's globals and returns their new indices.
fn place_guest<'a>(guest: &'a Module<'a>, globals: &mut Vec<&'a Global>) -> Vec<u32> {
    let first = globals.len() as u32;
    globals.extend(&guest.globals);
    (first..globals.len() as u32).collect()
}

/// Appends the polyfill's globals and returns their new indices. `seed` is a system global. The
/// linker's stack pointer (the only i32) is left out, because the polyfill uses no stack in memory.
fn place_wasi(module: &'static Module<'static>, globals: &mut Vec<&Global>) -> Vec<u32> {
    let seed = module.exports.get("seed").map(|(_, index)| *index);
    let place = |(index, global): (u32, &'static Global)| match global.ty {
        _ if Some(index) == seed => SEED,
        wasmparser::ValType::I64 => {
            globals.push(global);
            globals.len() as u32 - 1
        }
        _ => u32::MAX,
    };
    (0..).zip(&module.globals).map(place).collect()
}

/// Returns branch hints. They advise engines on layout and never change the meaning of a module.
fn hints(first: u32, code: &[Emitted]) -> BranchHints {
    let mut section = BranchHints::new();
    for (function, emitted) in
        (first..).zip(code).filter(|(_, emitted)| !emitted.unlikely.is_empty())
    {
        let unlikely = |at: &u32| BranchHint { branch_func_offset: *at, branch_hint_value: 0 };
        section.function_hints(function, emitted.unlikely.iter().map(unlikely));
    }
    section
}

fn push_functions(
    types: &mut Types,
    functions: &mut FunctionSection,
    code: &mut Vec<Emitted>,
    module: &Module<'_>,
    map: &Mapping<'_>,
    used: impl Fn(u32) -> bool,
) {
    for (index, (ty, body)) in (module.imports.len() as u32..).zip(&module.funcs) {
        if used(index) {
            let (ty, shape) = (&module.types[*ty as usize], map.funcs[index as usize].shape);
            functions.function(types.function(ty, shape));
            code.push(emit::function(body, ty, shape, map, types));
        }
    }
}

/// Returns the functions of the polyfill that the program needs: its imports, the functions that
/// run before and after it, and all their callees.
fn reachable(module: &Module<'_>, roots: impl Iterator<Item = u32>) -> BTreeSet<u32> {
    let always = [wasi::INIT, wasi::FLUSH]
        .map(|name| wasi::function(name).expect("the committed polyfill exports it"));
    let mut used = BTreeSet::new();
    let mut queue: Vec<u32> = roots.chain(always).collect();
    while let Some(index) = queue.pop() {
        if used.insert(index)
            && let Some((_, body)) =
                (index as usize).checked_sub(module.imports.len()).map(|at| &module.funcs[at])
        {
            queue.extend(&body.callees);
        }
    }
    used
}

impl Global {
    const fn i64(value: i64) -> Self {
        Self { ty: wasmparser::ValType::I64, mutable: true, init: Const::I64(value) }
    }
}

impl Const {
    fn expr(self) -> ConstExpr {
        match self {
            Self::I32(value) => ConstExpr::i32_const(value),
            Self::I64(value) => ConstExpr::i64_const(value),
            Self::F32(bits) => ConstExpr::f32_const(Ieee32::new(bits)),
            Self::F64(bits) => ConstExpr::f64_const(Ieee64::new(bits)),
        }
    }
}
