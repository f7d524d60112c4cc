//! Compiled code to bytes and back, under a seal. The only `unsafe` here is one call.
//!
//! # Why it is sound
//! `Module::deserialize` runs machine code that it is handed, so it may only be handed bytes that
//! `Module::serialize` returned. [`open`] hands it bytes only after their BLAKE3 MAC was checked, under a random 32-byte key
//! that [`seal`] alone uses, and `seal` only ever takes what `serialize` returned. The key never leaves its file (mode
//! 0600, in a folder that nobody else can write: see `cache`). So a file that was damaged, cut, renamed, or brought from
//! elsewhere never gets past the MAC. Whoever can read the key runs as this user already and needs no cache to run code.
//! Bytes of another wasmtime, another configuration or another processor are `serialize`'s too; wasmtime
//! itself refuses those safely (and the entry's name differs in the first place).
#![allow(unsafe_code)]

use wasmtime::{Engine, Module};

/// Bytes of a MAC.
const MAC_BYTES: usize = 32;

/// The secret under which this user's artifacts are sealed.
pub(crate) struct SealKey(pub(crate) [u8; 32]);

/// Compiled code under a seal that is only good for the name `entry`. `None` if wasmtime can't serialise it.
pub(crate) fn seal(module: &Module, key: &SealKey, entry: &blake3::Hash) -> Option<Vec<u8>> {
    let code = module.serialize().ok()?;
    let mut sealed = mac(key, entry, &code).as_bytes().to_vec();
    sealed.extend_from_slice(&code);
    Some(sealed)
}

/// The module in `sealed`; `None` if the seal is broken or wasmtime refuses it.
pub(crate) fn open(engine: &Engine, key: &SealKey, entry: &blake3::Hash, sealed: &[u8]) -> Option<Module> {
    let (seal, code) = sealed.split_first_chunk::<MAC_BYTES>()?;
    if mac(key, entry, code) != *seal {
        return None;
    }
    // SAFETY: `code` is unchanged since `Module::serialize` returned it: only `seal` makes a MAC under
    // this key, and the comparison above is of whole MACs (see the module's documentation).
    unsafe { Module::deserialize(engine, code) }.ok()
}

fn mac(key: &SealKey, entry: &blake3::Hash, code: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(entry.as_bytes());
    hasher.update(code);
    hasher.finalize()
}
