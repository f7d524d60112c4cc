//! Plain wasmtime, to compare with: a module as its compiler made it, with the little of WASI that
//! the kernels use.

use wasmtime::{Caller, Extern, Linker, Memory, Module, Result, Store};

/// Far more epochs than anybody counts.
const NO_DEADLINE: u64 = 1 << 40;

/// Plain wasmtime with the little of WASI that the kernels use.
pub struct Plain {
    engine: wasmtime::Engine,
    linker: Linker<Vec<String>>,
}

impl Plain {
    /// An engine of this configuration.
    pub fn new(config: &wasmtime::Config) -> Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let mut linker: Linker<Vec<String>> = Linker::new(&engine);
        let wasi = "wasi_snapshot_preview1";
        linker.func_wrap(
            wasi,
            "args_sizes_get",
            |mut caller: Caller<'_, Vec<String>>, count: u32, bytes: u32| {
                let sizes = [
                    caller.data().len() as u32,
                    caller.data().iter().map(|arg| arg.len() as u32 + 1).sum(),
                ];
                for (at, value) in [count, bytes].into_iter().zip(sizes) {
                    write(&mut caller, at, &value.to_le_bytes());
                }
                0
            },
        )?;
        linker.func_wrap(
            wasi,
            "args_get",
            |mut caller: Caller<'_, Vec<String>>, mut argv: u32, mut text: u32| {
                for arg in caller.data().clone() {
                    write(&mut caller, argv, &text.to_le_bytes());
                    write(&mut caller, text, format!("{arg}\0").as_bytes());
                    (argv, text) = (argv + 4, text + arg.len() as u32 + 1);
                }
                0
            },
        )?;
        linker.func_wrap(
            wasi,
            "fd_write",
            |mut caller: Caller<'_, Vec<String>>, _: u32, vectors: u32, count: u32, at: u32| {
                let memory = memory(&mut caller);
                let length = |i: u32| {
                    let at = (vectors + 8 * i + 4) as usize;
                    memory.data(&caller)[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
                };
                let written: u32 = (0..count).map(length).sum();
                write(&mut caller, at, &written.to_le_bytes());
                0
            },
        )?;
        linker.func_wrap(
            wasi,
            "fd_fdstat_get",
            |mut caller: Caller<'_, Vec<String>>, _: u32, at: u32| {
                write(
                    &mut caller,
                    at,
                    &[
                        2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                        0, 0, 0,
                    ],
                );
                0
            },
        )?;
        linker.func_wrap(wasi, "fd_seek", |_: u32, _: i64, _: u32, _: u32| 29)?;
        linker.func_wrap(wasi, "fd_close", |_: u32| 0)?;
        linker.func_wrap(wasi, "proc_exit", |code: u32| -> Result<()> {
            wasmtime::bail!("exit {code}")
        })?;
        Ok(Self { engine, linker })
    }

    /// Compiles a module as it is.
    pub fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Module::new(&self.engine, wasm)
    }

    /// Runs its `_start` with these arguments.
    pub fn run(&self, module: &Module, argv: &[&str]) -> Result<()> {
        let mut store = Store::new(&self.engine, argv.iter().map(|arg| arg.to_string()).collect());
        store.set_epoch_deadline(NO_DEADLINE);
        let instance = self.linker.instantiate(&mut store, module)?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
    }
}

fn memory(caller: &mut Caller<'_, Vec<String>>) -> Memory {
    caller
        .get_export("memory")
        .and_then(Extern::into_memory)
        .expect("every kernel exports its memory")
}

fn write(caller: &mut Caller<'_, Vec<String>>, at: u32, bytes: &[u8]) {
    memory(caller)
        .write(caller, at as usize, bytes)
        .expect("a kernel passes addresses inside its memory");
}
