//! Creation of a transaction: simulation, gas, fees and signature.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;

use crate::contract_error::ContractError;
use crate::error::{ChainError, SendError};
use crate::eth::CallRequest;
use crate::journal::{Attempt, RawCall};
use crate::link::{Link, reverted};

/// Gas added to an estimate, percent: a transaction in between may warm or cool a slot.
const GAS_MARGIN_PERCENT: u64 = 20;
/// Gas of the cheapest transaction.
const MIN_GAS: u64 = 21_000;
/// Tip if the node does not suggest one, wei.
const FALLBACK_TIP_WEI: u128 = 1_000_000_000;
/// Each replacement raises both fees by this fraction, an eighth. Nodes require a tenth.
const BUMP_DIVISOR: u128 = 8;

/// EIP-1559 fees, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
}

impl Fees {
    /// Returns the fees that are needed now, with room for the base fee to double.
    pub(crate) async fn now(link: &Link) -> Result<Fees, SendError> {
        let (head, tip) = futures::join!(link.endpoint.latest(), link.endpoint.tip());
        let tip = match tip {
            Err(ChainError::Refused { .. }) => FALLBACK_TIP_WEI,
            tip => tip?,
        };
        let base = head?.base_fee();
        let cap = link.max_fee;
        if base.saturating_add(tip) > cap {
            return Err(SendError::FeeAboveCap {
                price_wei: base.saturating_add(tip),
                cap_wei: cap,
            });
        }
        Ok(Fees { max_fee: base.saturating_mul(2).saturating_add(tip).min(cap), tip })
    }

    /// Returns fees that replace `old` in every mempool; `None` if they are above the cap.
    pub(crate) fn bumped(self, old: &Attempt, cap: u128) -> Option<Fees> {
        let raised = |fee: u128| fee.saturating_add(fee / BUMP_DIVISOR).saturating_add(1);
        let max_fee = self.max_fee.max(raised(old.max_fee));
        let tip = self.tip.max(raised(old.tip)).min(max_fee);
        (max_fee <= cap && tip > old.tip).then_some(Fees { max_fee, tip })
    }
}

/// Returns the gas limit of a call. Fails with the reason if the call would not succeed now.
pub(crate) async fn gas_limit(
    link: &Link,
    from: Address,
    call: &RawCall,
) -> Result<u64, SendError> {
    let request = CallRequest::by(from, call);
    let fault = match link.endpoint.estimate_gas(&request).await {
        Ok(gas) => return Ok(gas.saturating_add(gas.saturating_mul(GAS_MARGIN_PERCENT) / 100)),
        Err(ChainError::Refused { fault, .. }) => fault,
        Err(error) => return Err(error.into()),
    };
    if let Some(data) = fault.revert_data() {
        if data.is_empty() {
            // Some nodes give the reason only to eth_call.
            link.eth_call(&request).await?;
        }
        return Err(SendError::Rejected(ContractError::decode(&data)));
    }
    let text = fault.message.to_ascii_lowercase();
    if text.contains("insufficient")
        || text.contains("exceeds allowance")
        || text.contains("lack of funds")
    {
        return Err(match check_funds(link, from, MIN_GAS, 1, call).await {
            Err(error) => error,
            Ok(()) => ChainError::Refused { method: "eth_estimateGas".into(), fault }.into(),
        });
    }
    Err(reverted(ChainError::Refused { method: "eth_estimateGas".into(), fault }).into())
}

/// Checks that the account can pay for the worst case.
pub(crate) async fn check_funds(
    link: &Link,
    account: Address,
    gas_limit: u64,
    max_fee: u128,
    call: &RawCall,
) -> Result<(), SendError> {
    let needed =
        call.value.saturating_add(U256::from(gas_limit).saturating_mul(U256::from(max_fee)));
    let balance = link.endpoint.balance(account).await?;
    if balance >= needed {
        return Ok(());
    }
    let (balance_wei, needed_wei) = (balance.saturating_to(), needed.saturating_to());
    Err(SendError::NoGasMoney { account, balance_wei, needed_wei })
}

/// Signs a transaction.
pub(crate) fn sign(
    signer: &PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
    gas_limit: u64,
    fees: Fees,
    call: &RawCall,
) -> Result<Attempt, SendError> {
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.tip,
        to: call.to.map_or(TxKind::Create, TxKind::Call),
        value: call.value,
        access_list: Default::default(),
        input: call.data.clone(),
    };
    let signature = signer
        .sign_hash_sync(&tx.signature_hash())
        .map_err(|e| ChainError::Signer(e.to_string()))?;
    let signed = TxEnvelope::from(tx.into_signed(signature));
    let (tx, raw) = (*signed.tx_hash(), Bytes::from(signed.encoded_2718()));
    Ok(Attempt { tx, raw, max_fee: fees.max_fee, tip: fees.tip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_raises_both_fees_and_respects_the_cap() {
        let old = Attempt { tx: Default::default(), raw: Bytes::new(), max_fee: 100, tip: 8 };
        let now = Fees { max_fee: 50, tip: 2 };
        assert_eq!(now.bumped(&old, 1_000), Some(Fees { max_fee: 113, tip: 10 }));
        assert_eq!(
            Fees { max_fee: 300, tip: 20 }.bumped(&old, 1_000),
            Some(Fees { max_fee: 300, tip: 20 })
        );
        assert_eq!(now.bumped(&old, 112), None);
        let zero = Attempt { max_fee: 0, tip: 0, ..old };
        assert_eq!(
            Fees { max_fee: 0, tip: 0 }.bumped(&zero, 10),
            Some(Fees { max_fee: 1, tip: 1 })
        );
    }
}
