//! A compiled program and the exports that the host touches.

use alloy_primitives::B256;
use wasmtime::{ExternType, InstancePre, Linker, Module, ModuleExport, ValType};

use crate::ExecError;
use crate::wasm::compile::About;
use crate::wasm::host::Host;

/// A program that is ready to run; made by [`crate::wasm::Engine::prepare`].
pub struct Program {
    root: B256,
    min_pages: u32,
    max_pages: u32,
    pub(crate) linked: InstancePre<Host>,
    pub(crate) exports: Exports,
}

/// Where to find what the host reads and writes.
pub(crate) struct Exports {
    pub(crate) run: ModuleExport,
    pub(crate) fuel: ModuleExport,
    pub(crate) seed: ModuleExport,
    pub(crate) digest: ModuleExport,
}

impl Program {
    pub(crate) fn link(
        about: About,
        module: &Module,
        linker: &Linker<Host>,
    ) -> Result<Self, ExecError> {
        let exports = Exports {
            run: export(module, "run", |ty| {
                ty.func().is_some_and(|func| func.params().len() == 0 && func.results().len() == 0)
            })?,
            fuel: export(module, "fuel", is_i64_variable)?,
            seed: export(module, "seed", is_i64_variable)?,
            digest: export(module, "digest", is_i64_variable)?,
        };
        let linked = linker
            .instantiate_pre(module)
            .map_err(|error| ExecError::NotCanonical(error.to_string()))?;
        let About { root, min_pages, max_pages } = about;
        Ok(Self { root, min_pages, max_pages, linked, exports })
    }

    /// What an order names it by.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// Pages it starts with.
    pub fn min_pages(&self) -> u32 {
        self.min_pages
    }

    /// Most pages it can grow to by its own declaration.
    pub fn max_pages(&self) -> u32 {
        self.max_pages
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("root", &self.root).finish_non_exhaustive()
    }
}

fn is_i64_variable(ty: &ExternType) -> bool {
    ty.global().is_some_and(|global| {
        matches!(global.content(), ValType::I64) && global.mutability() == wasmtime::Mutability::Var
    })
}

fn export(
    module: &Module,
    name: &str,
    fits: impl Fn(&ExternType) -> bool,
) -> Result<ModuleExport, ExecError> {
    module
        .get_export(name)
        .filter(fits)
        .and_then(|_| module.get_export_index(name))
        .ok_or_else(|| ExecError::NotCanonical(format!("it has no proper export `{name}`")))
}
