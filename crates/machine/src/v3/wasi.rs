//! WASI preview 1, which is injected into every program that imports it.
//!
//! `wasi/polyfill.wasm` is compiled from `wasi/polyfill.c` (see `wasi/README.md`). Its functions
//! are metered like the program's own, read and write the program's memory directly, and keep all
//! their state in globals that the program can't name.

use std::sync::OnceLock;

use wasmparser::{ExternalKind, FuncType};

use crate::error::GateError;
use crate::v3::cost;
use crate::v3::gate::{self, Import, Module};

static POLYFILL: &[u8] = include_bytes!("../../wasi/polyfill.wasm");

/// Module name of WASI preview 1's imports.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";
/// Exports of the polyfill that are not WASI functions. They run before and after the program.
pub(crate) const INIT: &str = "rialto_init";
pub(crate) const FLUSH: &str = "rialto_flush";

/// Returns the polyfill, read through the same gate as any program.
pub(crate) fn polyfill() -> &'static Module<'static> {
    static MODULE: OnceLock<Module<'static>> = OnceLock::new();
    MODULE.get_or_init(|| {
        gate::read(POLYFILL, cost::import).expect("the committed polyfill passes the gate")
    })
}

/// Returns the index, in the polyfill, of an exported function.
pub(crate) fn function(name: &str) -> Option<u32> {
    match polyfill().exports.get(name) {
        Some((ExternalKind::Func, index)) => Some(*index),
        _ => None,
    }
}

/// Returns the polyfill's function for a program's import.
pub(crate) fn resolve(import: &Import<'_>, ty: &FuncType) -> Result<u32, GateError> {
    let Some(index) = function(import.name)
        .filter(|_| import.module == WASI && !import.name.starts_with("rialto_"))
    else {
        let fix = match import.module {
            WASI => "this is no function of WASI preview 1; rebuild with a current wasi-libc",
            "wasi_unstable" => "it was built for WASI preview 0; rebuild it for wasm32-wasip1",
            "wasi" => "threads are not available; build for wasm32-wasip1 without -pthread",
            "rialto" => "the machine's own imports are reserved; use WASI preview 1",
            "env" => {
                "the symbol was undefined when linking; link its library, and don't pass --allow-undefined"
            }
            _ => {
                "only WASI preview 1 (wasi_snapshot_preview1) can be imported; build for wasm32-wasip1"
            }
        };
        return Err(GateError::ForeignImport {
            module: import.module.chars().take(64).collect(),
            name: import.name.chars().take(64).collect(),
            fix,
        });
    };
    if function_type(index) != ty {
        return Err(GateError::WrongSignature { name: import.name.into() });
    }
    Ok(index)
}

fn function_type(index: u32) -> &'static FuncType {
    let module = polyfill();
    let ty = match module.imports.get(index as usize) {
        Some(import) => import.ty,
        None => module.funcs[index as usize - module.imports.len()].0,
    };
    &module.types[ty as usize]
}
