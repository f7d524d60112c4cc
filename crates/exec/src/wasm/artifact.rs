//! Compiled code to bytes and back, under a seal. The only `unsafe` here is one call.
//!
//! # Why it is sound
//! `Module::deserialize` runs machine code that it is handed, so it may only be handed bytes that
//! `Engine::precompile_module` returned. [`open`] hands it bytes only after their BLAKE3 MAC was
//! checked, under a random 32-byte key that [`seal`] alone uses, and `seal` only ever takes what
//! `precompile_module` returned, here or in a worker: a process of this very binary that says so
//! over a pipe that only it holds (see `worker`). A worker that a hostile module took over by a
//! defect of the compiler could say something else; so could such a defect in this process. The key
//! never leaves its file (mode 0600, in a folder that nobody else can write: see `cache`). So a
//! file that was damaged, cut, renamed, or brought from elsewhere never gets past the MAC. Whoever
//! can read the key runs as this user already and needs no cache to run code. Bytes of another
//! wasmtime, another configuration or another processor are `serialize`'s too; wasmtime itself
//! refuses those safely (and the entry's name differs in the first place).
#![allow(unsafe_code)]

use wasmtime::{Engine, Module};

/// Bytes of a MAC.
const MAC_BYTES: usize = 32;

/// The secret under which this user's artifacts are sealed.
pub(crate) struct SealKey(pub(crate) [u8; 32]);

/// Compiled code, or something else that is believed, under a seal that is only good for the name
/// `entry`.
pub(crate) fn seal(code: &[u8], key: &SealKey, entry: &blake3::Hash) -> Vec<u8> {
    [mac(key, entry, code).as_bytes(), code].concat()
}

/// What is under an unbroken seal.
pub(crate) fn unseal<'a>(
    key: &SealKey,
    entry: &blake3::Hash,
    sealed: &'a [u8],
) -> Option<&'a [u8]> {
    let (seal, code) = sealed.split_first_chunk::<MAC_BYTES>()?;
    (mac(key, entry, code) == *seal).then_some(code)
}

/// The module in `sealed`; `None` if the seal is broken or wasmtime refuses it.
pub(crate) fn open(
    engine: &Engine,
    key: &SealKey,
    entry: &blake3::Hash,
    sealed: &[u8],
) -> Option<Module> {
    let code = unseal(key, entry, sealed)?;
    // SAFETY: `code` is unchanged since `Engine::precompile_module` returned it: only `seal` makes
    // a MAC under this key and the name of a program's entry, and the comparison is of whole MACs
    // (see the module's documentation).
    unsafe { Module::deserialize(engine, code) }.ok()
}

fn mac(key: &SealKey, entry: &blake3::Hash, code: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(entry.as_bytes());
    hasher.update(code);
    hasher.finalize()
}
