//! The worker's side: confined before it reads a byte that a stranger wrote.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::confine::{confine, probe};
use super::reply::Reply;
use super::{MAX_REPLY_BYTES, PROBE};
use crate::ExecError;
use crate::wasm::compile::Compilers;
use rialto_machine::limits::MAX_MODULE_BYTES;

/// Exit status of a worker that cannot even begin.
const CANNOT_BEGIN: i32 = 3;

/// Reads, answers and ends the process.
pub(super) fn run(arguments: &[String]) -> ! {
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let reply = match (arguments, numbers.as_slice()) {
        ([word], _) if word == PROBE => {
            // As large as for any module.
            let confined = confine(super::MEMORY_BYTES, super::CPU_SECONDS);
            Reply::Probe(probe(confined))
        }
        ([_, _, _], [memory, cpu, version]) => {
            // What the compilers have to read of the system they read now.
            let Ok(compilers) = Compilers::new() else { std::process::exit(CANNOT_BEGIN) };
            confine(*memory, *cpu);
            // A panic is one answer among others; what it says goes nowhere else.
            std::panic::set_hook(Box::new(|_| {}));
            catch_unwind(AssertUnwindSafe(|| compile(&compilers, *version))).unwrap_or_else(
                |panic| Reply::Failed(format!("the compiler panicked: {}", said(&*panic))),
            )
        }
        _ => std::process::exit(CANNOT_BEGIN),
    };
    let bytes = reply.encode();
    let fits = (bytes.len() as u64) < MAX_REPLY_BYTES;
    let written = fits
        && std::io::stdout()
            .lock()
            .write_all(&bytes)
            .and_then(|()| std::io::stdout().flush())
            .is_ok();
    std::process::exit(if written { 0 } else { CANNOT_BEGIN })
}

fn compile(compilers: &Compilers, version: u64) -> Reply {
    let machine = u16::try_from(version).ok().and_then(rialto_machine::version);
    let Some(machine) = machine else {
        return Reply::Failed(format!("no machine of version {version} is known"));
    };
    let Some(wasm) = module() else { std::process::exit(CANNOT_BEGIN) };
    match compilers.compile(machine, &wasm) {
        Ok(compiled) => Reply::Compiled(compiled),
        Err(ExecError::Gate(error)) => Reply::Refused(error.to_string()),
        Err(ExecError::Compile(why)) => Reply::Failed(why),
        Err(other) => Reply::Failed(other.to_string()),
    }
}

/// The module on stdin; none if the parent did not send all of it.
fn module() -> Option<Vec<u8>> {
    let mut stdin = std::io::stdin().lock();
    let mut len = [0; 8];
    stdin.read_exact(&mut len).ok()?;
    let len = u64::from_be_bytes(len);
    // One byte more than is accepted is enough to be refused by.
    let mut wasm = Vec::new();
    stdin.take(len.min(MAX_MODULE_BYTES as u64 + 1)).read_to_end(&mut wasm).ok()?;
    (wasm.len() as u64 == len || wasm.len() > MAX_MODULE_BYTES).then_some(wasm)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".into())
}
