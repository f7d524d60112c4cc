//! What can go wrong between a client and its chain. Every message starts with a stable code.

use alloy_primitives::{Address, B256};

use crate::contract_error::ContractError;

/// The JSON-RPC error object a node answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcFault {
    /// JSON-RPC error code; 3 is an execution revert.
    pub code: i64,
    /// The node's own words.
    pub message: String,
    /// Extra data: revert data as a hex string, for code 3.
    pub data: Option<serde_json::Value>,
}

/// A read, a deployment or the connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No usable answer after every retry.
    #[error("[C-001] the chain endpoint gave no answer to {method} after {attempts} attempts: {cause}")]
    Unreachable {
        /// JSON-RPC method.
        method: String,
        /// Calls made.
        attempts: u32,
        /// What the last attempt met.
        cause: String,
    },
    /// The node answered with an error.
    #[error("[C-002] the chain endpoint refused {method}: {fault}")]
    Refused {
        /// JSON-RPC method.
        method: String,
        /// The node's error object.
        fault: RpcFault,
    },
    /// The answer does not have the shape that Ethereum JSON-RPC promises.
    #[error("[C-003] the chain endpoint answered {method} with something unreadable: {cause}")]
    Malformed {
        /// JSON-RPC method.
        method: String,
        /// What could not be read.
        cause: String,
    },
    /// The contract call would revert.
    #[error("{0}")]
    Contract(#[from] ContractError),
    /// No contract code at the configured market address.
    #[error("[C-005] no contract at {market} on chain {chain_id}: check the market address and the RPC URL")]
    NoMarket {
        /// Configured address.
        market: Address,
        /// Chain that the endpoint serves.
        chain_id: u64,
    },
    /// The endpoint serves another chain than configured.
    #[error("[C-006] the endpoint serves chain {found}, configured is chain {expected}")]
    WrongChain {
        /// Configured chain id.
        expected: u64,
        /// Served chain id.
        found: u64,
    },
    /// The URL or TLS set-up cannot be used.
    #[error("[C-007] cannot use the RPC URL: {0}")]
    BadEndpoint(String),
    /// The root certificates cannot be used.
    #[error("[C-011] the file of root certificates (rpc_ca) can't be used: {0}; PEM is needed")]
    BadRoots(String),
    /// No contract code at the address of a market's token.
    #[error("[C-010] no contract at {token} on chain {chain_id}: a market needs a token that exists")]
    NoToken {
        /// Given address.
        token: Address,
        /// Chain that the endpoint serves.
        chain_id: u64,
    },
    /// No contract code at the address of a court.
    #[error("[C-012] no contract at {court} on chain {chain_id}: check the court's address")]
    NoCourt {
        /// Given address.
        court: Address,
        /// Chain that the endpoint serves.
        chain_id: u64,
    },
    /// The court judges another market's deals.
    #[error("[C-013] {court} is a court of the market {market}, not of this one: check the court's address")]
    ForeignCourt {
        /// Given address.
        court: Address,
        /// The market it knows.
        market: Address,
    },
    /// A local key could not sign.
    #[error("[C-008] the key could not sign: {0}")]
    Signer(String),
    /// A deployment was mined but failed or did not appear in time.
    #[error("[C-009] deployment failed: {0}")]
    Deploy(String),
}

/// A transaction was not sent, or its outcome is not success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The simulation reverted: nothing was sent, nothing was paid.
    #[error("{0}")]
    Rejected(ContractError),
    /// Mined and final, but reverted: gas was paid, nothing else happened.
    #[error("[S-002] transaction {tx} reverted in block {block}{}", .cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Reverted {
        /// Transaction hash.
        tx: B256,
        /// Block that holds it.
        block: u64,
        /// Why, where the node could still tell.
        cause: Option<ContractError>,
    },
    /// The same intent was used before for another call.
    #[error("[S-003] intent {0:?} already stands for a different call: use a new intent key")]
    IntentConflict(String),
    /// The journal cannot be opened, read or written.
    #[error("[S-004] sender journal: {0}")]
    Journal(String),
    /// The endpoint failed before anything was sent.
    #[error("{0}")]
    Chain(ChainError),
    /// Gas costs more than the configured cap.
    #[error("[S-006] gas costs {price_wei} wei, above the cap of {cap_wei} wei: raise `max_fee_per_gas_wei` or wait")]
    FeeAboveCap {
        /// Fee per gas that would be needed, wei.
        price_wei: u128,
        /// Configured cap, wei.
        cap_wei: u128,
    },
    /// The account cannot pay for gas.
    #[error("[S-007] {account} holds {balance_wei} wei, the transaction may cost {needed_wei} wei: fund the account")]
    NoGasMoney {
        /// The sending account.
        account: Address,
        /// What it holds, wei.
        balance_wei: u128,
        /// Most that gas and value may cost, wei.
        needed_wei: u128,
    },
    /// Still not mined after every fee bump. The sender keeps watching: send the same intent again to wait on.
    #[error("[S-008] transaction {tx} (nonce {nonce}) is not mined after every fee bump: its fate is still open")]
    Stuck {
        /// Hash of the last replacement.
        tx: B256,
        /// Its nonce.
        nonce: u64,
    },
    /// The sender was stopped. What was persisted is resumed by the next sender on the same journal.
    #[error("[S-009] the sender is stopped")]
    Stopped,
    /// Too many calls wait already.
    #[error("[S-010] {waiting} calls wait for this key already")]
    Busy {
        /// Calls waiting.
        waiting: usize,
    },
    /// The journal was written for another key or chain.
    #[error("[S-011] the journal belongs to {0}: use one journal per key and chain")]
    ForeignJournal(String),
    /// Call data or intent key beyond what a transaction may carry.
    #[error("[S-012] {what} has {bytes} bytes, above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A batch runs inside the market: calls of the token or plain transfers can't be part of it.
    #[error("[S-013] only calls of the market can be batched: send the token call or transfer on its own")]
    NotBatchable,
    /// The accuser's account in the market can't pay the bond of an accusation; nothing was sent.
    #[error(
        "[S-014] an accusation takes a bond of {bond} base units, the market account of {account} holds {balance}: \
         deposit {} more", .bond.saturating_sub(*.balance)
    )]
    BondMissing {
        /// The accuser.
        account: Address,
        /// What its account in the market holds, base units.
        balance: u128,
        /// What is needed, base units.
        bond: u128,
    },
    /// The call would leave less in the market account than has to stay there; nothing was sent.
    #[error(
        "[S-015] the call takes {takes} base units, and {keeps} have to stay; the market account of {account} holds \
         {balance}: deposit {} more", .takes.saturating_add(*.keeps).saturating_sub(*.balance)
    )]
    KeepsTooLittle {
        /// Whose account.
        account: Address,
        /// What it holds in the market, base units.
        balance: u128,
        /// What the call takes, base units.
        takes: u128,
        /// What has to stay, base units.
        keeps: u128,
    },
}

impl From<ChainError> for SendError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Contract(error) => SendError::Rejected(error),
            error => SendError::Chain(error),
        }
    }
}
