//! ECDSA signatures over EIP-712 digests: 65 bytes r ‖ s ‖ v, v ∈ {27, 28}, low s only (EIP-2).
//!
//! Contract wallets (ERC-1271) check their signatures themselves, on chain; the chain client asks
//! them.

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::Eip712Domain;

use crate::{eip712::Typed, types::digest};

/// Returns the account that made a 65-byte signature over `digest`; `None` if the signature is
/// malformed or malleable.
pub fn recover(digest: B256, signature: &[u8]) -> Option<Address> {
    let raw: &[u8; 65] = signature.try_into().ok()?;
    if !matches!(raw[64], 27 | 28) {
        return None;
    }
    let parsed = Signature::from_raw_array(raw).ok()?;
    if parsed.normalize_s().is_some() {
        return None;
    }
    parsed.recover_address_from_prehash(&digest).ok()
}

/// Returns whether `signer` signed `value` under `domain` with a plain key.
pub fn signed_by<T: Typed>(
    value: &T,
    domain: &Eip712Domain,
    signature: &[u8],
    signer: Address,
) -> bool {
    recover(digest(value, domain), signature) == Some(signer)
}
