//! The gate reads a module and checks that it is valid, allowed and within bounds.
//!
//! It accepts the features that Rust, C and Zig use for `wasm32-wasip1`: the MVP, mutable globals,
//! sign extension, saturating float-to-int, multi-value, `memory.copy` and `memory.fill`, and the
//! long form of `call_indirect`'s table index. Its refusals name the feature, the function and a
//! remedy.

use std::collections::BTreeMap;

use wasmparser::{
    ConstExpr, DataKind, Element, ElementItems, ElementKind, ExternalKind, FuncType,
    FuncValidatorAllocations, KnownCustom, Name, Operator, Parser, Payload, SectionLimited,
    TypeRef, ValType, ValidPayload, Validator, WasmFeatures,
};

use crate::error::GateError;
use crate::v3::body::{self, Body};
use crate::v3::limits::*;
use crate::v3::work::Work;

/// A module that passed the gate.
#[derive(Default)]
pub(crate) struct Module<'a> {
    pub types: Vec<FuncType>,
    pub imports: Vec<Import<'a>>,
    /// Type and body of each defined function.
    pub funcs: Vec<(u32, Body<'a>)>,
    /// Entries of the table: initial, maximum.
    pub table: Option<(u32, Option<u32>)>,
    /// Pages of memory: initial, maximum.
    pub memory: Option<(u32, Option<u32>)>,
    pub globals: Vec<Global>,
    pub exports: BTreeMap<&'a str, (ExternalKind, u32)>,
    pub start: Option<u32>,
    /// Offset in the table, and functions.
    pub elements: Vec<(u32, Vec<u32>)>,
    /// Offset in memory, and bytes.
    pub data: Vec<(u32, &'a [u8])>,
    /// Sum over all functions.
    pub work: Work,
    /// Bytes of its code section.
    pub code_bytes: u64,
}

/// An imported function.
pub(crate) struct Import<'a> {
    pub module: &'a str,
    pub name: &'a str,
    pub ty: u32,
}

/// A global with its initial value.
pub(crate) struct Global {
    pub ty: ValType,
    pub mutable: bool,
    pub init: Const,
}

/// A constant expression. Floats are stored as bits.
#[derive(Clone, Copy)]
pub(crate) enum Const {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

/// Reads and checks a module. `import_cost` returns the extra fuel for calling an import of that
/// name.
pub(crate) fn read<'a>(
    wasm: &'a [u8],
    import_cost: fn(&str) -> u64,
) -> Result<Module<'a>, GateError> {
    check_header(wasm)?;
    Gate::new(wasm, import_cost).run().map_err(|error| named(error, wasm))
}

/// Returns the name of a function of `wasm` for a message: from the name section, or its index.
pub(crate) fn function_name(wasm: &[u8], index: u32) -> String {
    let mut found = None;
    for payload in Parser::new(0).parse_all(wasm).flatten() {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for name in names.into_iter().flatten() {
            if let Name::Function(map) = name {
                found = map
                    .into_iter()
                    .flatten()
                    .find(|naming| naming.index == index)
                    .map(|naming| naming.name);
            }
        }
    }
    match found {
        Some(name) => {
            format!("function `{}` (#{index})", name.chars().take(120).collect::<String>())
        }
        None => format!("function #{index}"),
    }
}

/// A place in a module, for messages.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Module,
    Section(&'static str),
    Function(u32),
}

/// Placeholder of a function's name until [`named`] looks it up, because the name section comes
/// last.
const FUNCTION_MARK: &str = "\0function ";

impl Place {
    fn text(self) -> String {
        match self {
            Self::Module => "the module".into(),
            Self::Section(name) => format!("the {name} section"),
            Self::Function(index) => format!("{FUNCTION_MARK}{index}"),
        }
    }

    pub fn too_large(self, what: &'static str, found: u64, limit: u64) -> GateError {
        GateError::TooLarge { place: self.text(), what, found, limit }
    }

    pub fn too_much_work(
        self,
        what: &'static str,
        found: u64,
        limit: u64,
        for_code: Option<u64>,
    ) -> GateError {
        GateError::TooMuchWork { place: self.text(), what, found, limit, for_code }
    }

    fn feature(self, (feature, fix): (&'static str, &'static str)) -> GateError {
        GateError::Feature { place: self.text(), feature, fix }
    }

    fn at_most(self, what: &'static str, found: u64, limit: u64) -> Result<(), GateError> {
        if found > limit { Err(self.too_large(what, found, limit)) } else { Ok(()) }
    }
}

fn named(mut error: GateError, wasm: &[u8]) -> GateError {
    if let GateError::Invalid { place, .. }
    | GateError::Feature { place, .. }
    | GateError::TooLarge { place, .. }
    | GateError::TooMuchWork { place, .. } = &mut error
        && let Some(index) = place.strip_prefix(FUNCTION_MARK).and_then(|index| index.parse().ok())
    {
        *place = function_name(wasm, index);
    }
    error
}

/// Converts an error of the reader or the validator into one with a code.
pub(crate) fn reject<T>(result: wasmparser::Result<T>, place: Place) -> Result<T, GateError> {
    result.map_err(|error| match error.missing_wasm_feature() {
        Some(missing) => place.feature(explain(missing)),
        None => GateError::Invalid { place: place.text(), detail: error.to_string() },
    })
}

const ACCEPTED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::FLOATS);

const REFERENCES: (&str, &str) = (
    "reference types (tables or references changed at run time)",
    "build without them: -mno-reference-types, or for Rust -C target-feature=-reference-types",
);
const BULK: (&str, &str) = (
    "bulk memory beyond memory.copy and memory.fill (passive segments, table operations)",
    "build for one thread (no -pthread, no shared memory) and without a bundler that compresses data segments",
);

/// Returns name and remedy of an unsupported feature.
fn explain(missing: WasmFeatures) -> (&'static str, &'static str) {
    let table: [(WasmFeatures, (&str, &str)); 14] = [
        (
            WasmFeatures::RELAXED_SIMD,
            ("relaxed SIMD", "build without -mrelaxed-simd: its results differ between machines"),
        ),
        (
            WasmFeatures::SIMD,
            ("SIMD", "build without -msimd128, or for Rust without -C target-feature=+simd128"),
        ),
        (
            WasmFeatures::THREADS | WasmFeatures::SHARED_EVERYTHING_THREADS,
            (
                "threads or atomics",
                "build for one thread: target wasm32-wasip1, no -pthread, no -matomics",
            ),
        ),
        (
            WasmFeatures::TAIL_CALL,
            ("tail calls", "build without -mtail-call, or for Rust without +tail-call"),
        ),
        (
            WasmFeatures::EXCEPTIONS | WasmFeatures::LEGACY_EXCEPTIONS,
            (
                "exceptions",
                "build with -fno-exceptions -fno-wasm-exceptions, or for Rust with -C panic=abort",
            ),
        ),
        (WasmFeatures::MEMORY64, ("64-bit memory", "build for wasm32, not wasm64")),
        (
            WasmFeatures::MULTI_MEMORY,
            ("several memories", "build with one memory: -mno-multimemory"),
        ),
        (
            WasmFeatures::GC,
            ("garbage collected types", "use a toolchain that targets plain wasm32-wasip1"),
        ),
        (
            WasmFeatures::FUNCTION_REFERENCES,
            ("typed function references", "use a toolchain that targets plain wasm32-wasip1"),
        ),
        (
            WasmFeatures::EXTENDED_CONST,
            (
                "extended constant expressions",
                "build without -fPIC and -mextended-const: link one static module",
            ),
        ),
        (WasmFeatures::WIDE_ARITHMETIC, ("wide arithmetic", "build without -mwide-arithmetic")),
        (WasmFeatures::CUSTOM_PAGE_SIZES, ("custom page sizes", "build with 64 KiB pages")),
        (WasmFeatures::REFERENCE_TYPES, REFERENCES),
        (WasmFeatures::BULK_MEMORY, BULK),
    ];
    let found = table.into_iter().find(|(features, _)| features.intersects(missing));
    found.map_or(
        ("an unsupported WebAssembly feature", "build for plain wasm32-wasip1"),
        |(_, text)| text,
    )
}

fn check_header(wasm: &[u8]) -> Result<(), GateError> {
    let not = |detail: &str| Err(GateError::NotAModule { detail: detail.into() });
    if wasm.len() > MAX_MODULE_BYTES {
        return Err(Place::Module.too_large("bytes", wasm.len() as u64, MAX_MODULE_BYTES as u64));
    }
    match wasm.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => {
            not("it is a component (wasip2); build it as a core module for wasm32-wasip1")
        }
        Some([0, b'a', b's', b'm', ..]) => not("its binary version is unknown"),
        _ if wasm.starts_with(b"(module") => not("it is WebAssembly text; assemble it first"),
        _ => not("it doesn't start with `\\0asm`"),
    }
}

struct Gate<'a> {
    wasm: &'a [u8],
    validator: Validator,
    allocs: FuncValidatorAllocations,
    import_cost: fn(&str) -> u64,
    import_costs: Vec<u64>,
    types_of_funcs: Vec<u32>,
    module: Module<'a>,
}

impl<'a> Gate<'a> {
    fn new(wasm: &'a [u8], import_cost: fn(&str) -> u64) -> Self {
        Self {
            wasm,
            validator: Validator::new_with_features(ACCEPTED),
            allocs: FuncValidatorAllocations::default(),
            import_cost,
            import_costs: Vec::new(),
            types_of_funcs: Vec::new(),
            module: Module::default(),
        }
    }

    fn run(mut self) -> Result<Module<'a>, GateError> {
        for payload in Parser::new(0).parse_all(self.wasm) {
            let payload = reject(payload, Place::Module)?;
            self.bound(&payload)?;
            let place = Place::Section(section_name(&payload));
            match reject(self.validator.payload(&payload), place)? {
                ValidPayload::Func(func, code) => {
                    let ty = self.types_of_funcs[self.module.funcs.len()];
                    let results = self.module.types[ty as usize].results().len();
                    let body =
                        body::read(func, code, results, &self.import_costs, &mut self.allocs)?;
                    self.module.work += body.work;
                    self.module.funcs.push((ty, body));
                    self.bound_work()?;
                }
                _ => self.take(payload, place)?,
            }
        }
        Ok(self.module)
    }

    /// Checks the counts of a section, before anything of it is read.
    fn bound(&self, payload: &Payload<'a>) -> Result<(), GateError> {
        fn count<T>(section: &SectionLimited<'_, T>) -> u64 {
            section.count().into()
        }
        let module = Place::Module;
        match payload {
            Payload::TypeSection(section) => {
                module.at_most("types", count(section), MAX_TYPES.into())
            }
            Payload::ImportSection(section) => {
                module.at_most("imports", count(section), MAX_FUNCTIONS.into())
            }
            Payload::FunctionSection(section) => {
                module.at_most("functions", count(section), MAX_FUNCTIONS.into())
            }
            Payload::GlobalSection(section) => {
                module.at_most("globals", count(section), MAX_GLOBALS.into())
            }
            Payload::ExportSection(section) => {
                module.at_most("exports", count(section), MAX_EXPORTS.into())
            }
            Payload::ElementSection(section) => {
                module.at_most("element segments", count(section), MAX_SEGMENTS.into())
            }
            Payload::DataSection(section) => {
                module.at_most("data segments", count(section), MAX_SEGMENTS.into())
            }
            Payload::TableSection(section) if count(section) > 1 => {
                Err(Place::Section("table").feature(REFERENCES))
            }
            Payload::MemorySection(section) if count(section) > 1 => {
                Err(Place::Section("memory").feature(explain(WasmFeatures::MULTI_MEMORY)))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the functions read so far do not exceed the work that the whole module may have.
    fn bound_work(&self) -> Result<(), GateError> {
        let Module { work, code_bytes, funcs, imports, .. } = &self.module;
        let Some((what, found, limit)) = work.beyond(MAX_WORK.and(*code_bytes, MAX_WORK_PER_BYTE))
        else {
            return Ok(());
        };
        // The message names the function that has the largest share.
        let most = funcs
            .iter()
            .enumerate()
            .max_by_key(|(_, (_, body))| body.work.sum(what))
            .map_or(0, |(at, _)| at);
        Err(Place::Function((imports.len() + most) as u32).too_much_work(
            what,
            found,
            limit,
            Some(*code_bytes),
        ))
    }

    fn take(&mut self, payload: Payload<'a>, place: Place) -> Result<(), GateError> {
        let module = &mut self.module;
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = reject(ty, place)?;
                    place.at_most(
                        "parameters or results of one type",
                        arity(&ty) as u64,
                        MAX_ARITY as u64,
                    )?;
                    module.types.push(ty);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = reject(import, place)?;
                    let TypeRef::Func(ty) = import.ty else {
                        return Err(GateError::ForeignImport {
                            module: import.module.into(),
                            name: import.name.into(),
                            fix: "only functions can be imported; define memory, tables and globals in the module",
                        });
                    };
                    self.import_costs.push((self.import_cost)(import.name));
                    module.imports.push(Import { module: import.module, name: import.name, ty });
                }
            }
            Payload::FunctionSection(section) => {
                let all = u64::from(section.count()) + module.imports.len() as u64;
                Place::Module.at_most("functions", all, MAX_FUNCTIONS.into())?;
                self.types_of_funcs = section
                    .into_iter()
                    .collect::<Result<_, _>>()
                    .map_err(|e| invalid(place, &e))?;
            }
            Payload::TableSection(section) => {
                for table in section {
                    let ty = reject(table, place)?.ty;
                    place.at_most("table entries", ty.initial, MAX_TABLE_ENTRIES)?;
                    let maximum = ty.maximum.map(|most| most.min(MAX_TABLE_ENTRIES) as u32);
                    module.table = Some((ty.initial as u32, maximum));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let ty = reject(memory, place)?;
                    module.memory = Some((ty.initial as u32, ty.maximum.map(|most| most as u32)));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = reject(global, place)?;
                    let init = constant(&global.init_expr, place)?;
                    module.globals.push(Global {
                        ty: global.ty.content_type,
                        mutable: global.ty.mutable,
                        init,
                    });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = reject(export, place)?;
                    module.exports.insert(export.name, (export.kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => module.start = Some(func),
            Payload::CodeSectionStart { size, .. } => module.code_bytes = size.into(),
            Payload::ElementSection(section) => {
                for (index, element) in section.into_iter().enumerate() {
                    let element = self.element(index, reject(element, place)?, place)?;
                    self.module.elements.push(element);
                }
            }
            Payload::DataSection(section) => {
                for (index, data) in section.into_iter().enumerate() {
                    let data = reject(data, place)?;
                    let DataKind::Active { offset_expr, .. } = data.kind else {
                        return Err(place.feature(BULK));
                    };
                    let offset = offset(&offset_expr, place)?;
                    let bytes = module.memory.map_or(0, |(pages, _)| u64::from(pages) << 16);
                    if u64::from(offset) + data.data.len() as u64 > bytes {
                        return Err(GateError::SegmentOutside {
                            kind: "data",
                            index,
                            of: "memory",
                        });
                    }
                    module.data.push((offset, data.data));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn element(
        &self,
        index: usize,
        element: Element<'a>,
        place: Place,
    ) -> Result<(u32, Vec<u32>), GateError> {
        let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(functions)) =
            (element.kind, element.items)
        else {
            return Err(place.feature(REFERENCES));
        };
        let offset = offset(&offset_expr, place)?;
        let entries = self.module.table.map_or(0, |(entries, _)| u64::from(entries));
        if u64::from(offset) + u64::from(functions.count()) > entries {
            return Err(GateError::SegmentOutside { kind: "element", index, of: "table" });
        }
        let functions = functions
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(place, &error))?;
        Ok((offset, functions))
    }
}

fn arity(ty: &FuncType) -> usize {
    ty.params().len().max(ty.results().len())
}

fn invalid(place: Place, error: &wasmparser::Error) -> GateError {
    GateError::Invalid { place: place.text(), detail: error.to_string() }
}

/// Returns the constant of an expression. The validator has made sure that it is a single constant,
/// not an imported global, an extended constant or a reference.
fn constant(expr: &ConstExpr<'_>, place: Place) -> Result<Const, GateError> {
    match reject(expr.get_operators_reader().read(), place)? {
        Operator::I32Const { value } => Ok(Const::I32(value)),
        Operator::I64Const { value } => Ok(Const::I64(value)),
        Operator::F32Const { value } => Ok(Const::F32(value.bits())),
        Operator::F64Const { value } => Ok(Const::F64(value.bits())),
        _ => Err(place.feature(explain(WasmFeatures::EXTENDED_CONST))),
    }
}

fn offset(expr: &ConstExpr<'_>, place: Place) -> Result<u32, GateError> {
    match constant(expr, place)? {
        Const::I32(value) => Ok(value as u32),
        _ => Err(place.feature(explain(WasmFeatures::MEMORY64))),
    }
}

fn section_name(payload: &Payload<'_>) -> &'static str {
    match payload {
        Payload::TypeSection(_) => "type",
        Payload::ImportSection(_) => "import",
        Payload::FunctionSection(_) => "function",
        Payload::TableSection(_) => "table",
        Payload::MemorySection(_) => "memory",
        Payload::TagSection(_) => "tag",
        Payload::GlobalSection(_) => "global",
        Payload::ExportSection(_) => "export",
        Payload::StartSection { .. } => "start",
        Payload::ElementSection(_) => "element",
        Payload::DataCountSection { .. } => "data count",
        Payload::DataSection(_) => "data",
        Payload::CodeSectionStart { .. } | Payload::CodeSectionEntry(_) => "code",
        _ => "custom",
    }
}
