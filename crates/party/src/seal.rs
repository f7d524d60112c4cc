//! Signatures of one account over the structs of a market.

use alloy_primitives::Bytes;
use alloy_signer::SignerSync;
use alloy_sol_types::Eip712Domain;
use rialto_chain::PrivateKeySigner;
use rialto_protocol::{eip712::Typed, types::digest, wire::Signed};

/// The key of an account and the market that its signatures are for.
#[derive(Clone)]
pub struct Seal {
    signer: PrivateKeySigner,
    domain: Eip712Domain,
}

/// The key cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SealError(String);

impl Seal {
    /// Signs with `signer` for the market of `domain`.
    pub fn new(signer: PrivateKeySigner, domain: Eip712Domain) -> Self {
        Self { signer, domain }
    }

    /// Returns `value` with its signature. The same value gives the same signature.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign<T: Typed>(&self, value: T) -> Result<Signed<T>, SealError> {
        let signature = self.signer.sign_hash_sync(&digest(&value, &self.domain));
        let signature = signature.map_err(|error| SealError(error.to_string()))?;
        Ok(Signed { value, signature: Bytes::from(signature.as_bytes().to_vec()) })
    }
}
