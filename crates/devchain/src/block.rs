//! Blocks: their stored form, their assembly, and their form for clients.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Eip658Value, Header, Receipt, ReceiptEnvelope,
    ReceiptWithBloom, Transaction as _, TxEnvelope, TxReceipt, TxType,
    proofs::{calculate_receipt_root, calculate_transaction_root},
    transaction::{Recovered, TransactionInfo},
};
use alloy_eips::{calc_next_block_base_fee, eip1559::BaseFeeParams, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B256, Bloom, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_rpc_types_eth as rpc;
use revm::{
    context::BlockEnv,
    context_interface::{block::BlobExcessGasAndPrice, result::ExecutionResult},
};

use crate::state::Changes;

/// A block's header with its hash and the end of the state journal after it.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct Head {
    pub hash: B256,
    pub journal_end: u64,
    pub header: Header,
}

impl Head {
    pub fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// Returns the base fee of the next block, by EIP-1559 from the gas that this block used. The
    /// first block after genesis has the configured base fee.
    pub fn next_base_fee(&self) -> u64 {
        let header = &self.header;
        if header.number == 0 {
            return self.base_fee();
        }
        calc_next_block_base_fee(
            header.gas_used,
            header.gas_limit,
            self.base_fee(),
            BaseFeeParams::ethereum(),
        )
    }

    /// Returns the environment in which this block ran.
    pub fn env(&self) -> BlockEnv {
        block_env(&self.header)
    }

    pub fn to_rpc(&self) -> rpc::Header {
        let size = alloy_rlp::encode(&self.header).len();
        rpc::Header {
            hash: self.hash,
            inner: self.header.clone(),
            total_difficulty: None,
            size: Some(U256::from(size)),
        }
    }
}

/// A transaction in a block, with its effects.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub(crate) struct Included {
    pub transaction: TxEnvelope,
    pub sender: Address,
    pub receipt: ReceiptEnvelope,
    pub gas_used: u64,
    pub created: Option<Address>,
}

fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: 1,
        }),
        slot_num: 0,
    }
}

/// A block that is being assembled.
pub(crate) struct Draft {
    header: Header,
    parent_state: B256,
    body: Vec<Included>,
}

impl Draft {
    /// Begins the first block of a chain.
    pub fn genesis(timestamp: u64, gas_limit: u64, base_fee: u64) -> Self {
        Self {
            header: empty_header(0, timestamp, gas_limit, base_fee),
            parent_state: B256::ZERO,
            body: Vec::new(),
        }
    }

    /// Begins the block after `parent`. `forks` makes its randomness, and thus its hash, differ
    /// from those of all earlier blocks with this number.
    pub fn after(parent: &Head, timestamp: u64, gas_limit: u64, base_fee: u64, forks: u64) -> Self {
        let mut header = empty_header(parent.header.number + 1, timestamp, gas_limit, base_fee);
        header.parent_hash = parent.hash;
        header.mix_hash = keccak256([parent.hash.as_slice(), &forks.to_be_bytes()].concat());
        Self { header, parent_state: parent.header.state_root, body: Vec::new() }
    }

    pub fn env(&self) -> BlockEnv {
        block_env(&self.header)
    }

    pub fn gas_left(&self) -> u64 {
        self.header.gas_limit - self.header.gas_used
    }

    /// Adds a transaction that was executed.
    pub fn push(&mut self, transaction: Recovered<TxEnvelope>, result: ExecutionResult) {
        let (transaction, sender) = transaction.into_parts();
        let gas_used = result.tx_gas_used();
        self.header.gas_used += gas_used;
        let created = result
            .is_success()
            .then(|| transaction.is_create().then(|| sender.create(transaction.nonce())));
        let receipt = Receipt {
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: self.header.gas_used,
            // A failed transaction emits no logs.
            logs: if result.is_success() { result.into_logs() } else { Vec::new() },
        };
        let receipt = envelope(transaction.tx_type(), receipt.with_bloom());
        self.header.logs_bloom.accrue_bloom(receipt.logs_bloom());
        self.body.push(Included {
            transaction,
            sender,
            receipt,
            gas_used,
            created: created.flatten(),
        });
    }

    /// Completes the block and returns it.
    ///
    /// Nobody proves state against this chain, so the state root is not the root of a trie. It
    /// commits to the parent's root and to all writes of this block.
    pub fn seal(mut self, changes: &Changes) -> (Head, Vec<Included>) {
        let written = keccak256(alloy_rlp::encode(&changes.writes));
        self.header.state_root =
            keccak256([self.parent_state.as_slice(), written.as_slice()].concat());
        if !self.body.is_empty() {
            let transactions: Vec<_> =
                self.body.iter().map(|included| &included.transaction).collect();
            let receipts: Vec<_> = self.body.iter().map(|included| &included.receipt).collect();
            self.header.transactions_root = calculate_transaction_root(&transactions);
            self.header.receipts_root = calculate_receipt_root(&receipts);
        }
        (Head { hash: self.header.hash_slow(), journal_end: 0, header: self.header }, self.body)
    }
}

fn empty_header(number: u64, timestamp: u64, gas_limit: u64, base_fee: u64) -> Header {
    Header {
        number,
        timestamp,
        gas_limit,
        base_fee_per_gas: Some(base_fee),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        logs_bloom: Bloom::ZERO,
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

fn envelope<T>(kind: TxType, receipt: ReceiptWithBloom<Receipt<T>>) -> ReceiptEnvelope<T> {
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}

/// Returns transaction `position` of a block in its form for clients.
pub(crate) fn rpc_transaction(head: &Head, position: u64, included: Included) -> rpc::Transaction {
    let info = TransactionInfo {
        hash: Some(*included.transaction.tx_hash()),
        index: Some(position),
        block_hash: Some(head.hash),
        block_number: Some(head.header.number),
        base_fee: Some(head.base_fee()),
        block_timestamp: Some(head.header.timestamp),
    };
    rpc::Transaction::from_transaction(
        Recovered::new_unchecked(included.transaction, included.sender),
        info,
    )
}

/// Returns the receipt of transaction `position` of a block in its form for clients. It takes the
/// whole body, because receipts number their logs within the block.
pub(crate) fn rpc_receipt(
    head: &Head,
    body: &[Included],
    position: usize,
) -> Option<rpc::TransactionReceipt> {
    let included = body.get(position)?;
    let transaction = &included.transaction;
    let logs = rpc_logs(head, body, |at| at == position);
    let receipt = Receipt {
        status: included.receipt.status_or_post_state(),
        cumulative_gas_used: included.receipt.cumulative_gas_used(),
        logs,
    };
    let receipt = ReceiptWithBloom { receipt, logs_bloom: *included.receipt.logs_bloom() };
    Some(rpc::TransactionReceipt {
        inner: envelope(transaction.tx_type(), receipt),
        transaction_hash: *transaction.tx_hash(),
        transaction_index: Some(position as u64),
        block_hash: Some(head.hash),
        block_number: Some(head.header.number),
        gas_used: included.gas_used,
        effective_gas_price: transaction.effective_gas_price(Some(head.base_fee())),
        blob_gas_used: None,
        blob_gas_price: None,
        from: included.sender,
        to: transaction.to(),
        contract_address: included.created,
    })
}

/// Returns the logs of a block's transactions at `wanted` positions, in their form for clients.
pub(crate) fn rpc_logs(
    head: &Head,
    body: &[Included],
    wanted: impl Fn(usize) -> bool,
) -> Vec<rpc::Log> {
    let mut index = 0;
    let mut logs = Vec::new();
    for (position, included) in body.iter().enumerate() {
        for log in included.receipt.logs() {
            if wanted(position) {
                logs.push(rpc::Log {
                    inner: log.clone(),
                    block_hash: Some(head.hash),
                    block_number: Some(head.header.number),
                    block_timestamp: Some(head.header.timestamp),
                    transaction_hash: Some(*included.transaction.tx_hash()),
                    transaction_index: Some(position as u64),
                    log_index: Some(index),
                    removed: false,
                });
            }
            index += 1;
        }
    }
    logs
}
