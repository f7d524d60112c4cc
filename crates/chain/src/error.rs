//! Errors between a client and its chain. Every message starts with a stable code (docs/codes.md).

use alloy_primitives::{Address, B256};

use crate::contract_error::ContractError;

/// JSON-RPC error object of a node's answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcFault {
    /// JSON-RPC error code; 3 is an execution revert.
    pub code: i64,
    /// Message of the node.
    pub message: String,
    /// Additional data of the node. For code 3 it is the revert data as a hex string.
    pub data: Option<serde_json::Value>,
}

/// Failure of a read, a deployment or the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There was no usable answer after all retries.
    #[error(
        "[C-001] the chain endpoint gave no answer to {method} after {attempts} attempts: {cause}"
    )]
    Unreachable {
        /// Called JSON-RPC method.
        method: String,
        /// Number of calls made.
        attempts: u32,
        /// Failure of the last attempt.
        cause: String,
    },
    /// The node answered with an error.
    #[error("[C-002] the chain endpoint refused {method}: {fault}")]
    Refused {
        /// Called JSON-RPC method.
        method: String,
        /// Error object of the node.
        fault: RpcFault,
    },
    /// The answer does not have the form that Ethereum JSON-RPC defines.
    #[error("[C-003] the chain endpoint answered {method} with something unreadable: {cause}")]
    Malformed {
        /// Called JSON-RPC method.
        method: String,
        /// Part that could not be decoded, and why.
        cause: String,
    },
    /// The contract call would revert.
    #[error("{0}")]
    Contract(#[from] ContractError),
    /// There is no contract code at the configured market address.
    #[error(
        "[C-005] no contract at {market} on chain {chain_id}: check the market address and the RPC URL"
    )]
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
    /// The URL or the TLS configuration cannot be used.
    #[error("[C-007] cannot use the RPC URL: {0}")]
    BadEndpoint(String),
    /// The root certificates cannot be used.
    #[error("[C-011] the file of root certificates (rpc_ca) can't be used: {0}; PEM is needed")]
    BadRoots(String),
    /// There is no contract code at the address of a market's token.
    #[error(
        "[C-010] no contract at {token} on chain {chain_id}: a market needs a token that exists"
    )]
    NoToken {
        /// Given address.
        token: Address,
        /// Chain that the endpoint serves.
        chain_id: u64,
    },
    /// There is no contract code at the address of a court.
    #[error("[C-012] no contract at {court} on chain {chain_id}: check the court's address")]
    NoCourt {
        /// Given address.
        court: Address,
        /// Chain that the endpoint serves.
        chain_id: u64,
    },
    /// The court belongs to another market.
    #[error(
        "[C-013] {court} is a court of the market {market}, not of this one: check the court's address"
    )]
    ForeignCourt {
        /// Given address.
        court: Address,
        /// Market that the court belongs to.
        market: Address,
    },
    /// A local key could not sign.
    #[error("[C-008] the key could not sign: {0}")]
    Signer(String),
    /// A deployment failed, or was not mined in time.
    #[error("[C-009] deployment failed: {0}")]
    Deploy(String),
}

/// Failure of a transaction: it was not sent, or it did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The simulated call reverted. Nothing was sent, and nothing was paid.
    #[error("{0}")]
    Rejected(ContractError),
    /// The transaction is final but reverted. Gas was paid, and nothing else happened.
    #[error("[S-002] transaction {tx} reverted in block {block}{}", .cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Reverted {
        /// Transaction hash.
        tx: B256,
        /// Number of its block.
        block: u64,
        /// Reason, if the node could still give it.
        cause: Option<ContractError>,
    },
    /// The intent was used before for another call.
    #[error("[S-003] intent {0:?} already stands for a different call: use a new intent key")]
    IntentConflict(String),
    /// The journal cannot be opened, read or written.
    #[error("[S-004] sender journal: {0}")]
    Journal(String),
    /// The endpoint failed before anything was sent.
    #[error("{0}")]
    Chain(ChainError),
    /// Gas costs more than the configured maximum.
    #[error(
        "[S-006] gas costs {price_wei} wei, above the cap of {cap_wei} wei: raise `max_fee_per_gas_wei` or wait"
    )]
    FeeAboveCap {
        /// Necessary fee per gas, wei.
        price_wei: u128,
        /// Configured maximum, wei.
        cap_wei: u128,
    },
    /// The account cannot pay for the gas.
    #[error(
        "[S-007] {account} holds {balance_wei} wei, the transaction may cost {needed_wei} wei: fund the account"
    )]
    NoGasMoney {
        /// Account that sends.
        account: Address,
        /// Balance of the account, wei.
        balance_wei: u128,
        /// Highest possible cost of gas and value, wei.
        needed_wei: u128,
    },
    /// The transaction is not mined after all fee bumps. The sender keeps watching it. Send the
    /// same intent again to continue waiting.
    #[error(
        "[S-008] transaction {tx} (nonce {nonce}) is not mined after every fee bump: its fate is still open"
    )]
    Stuck {
        /// Hash of the last replacement.
        tx: B256,
        /// Nonce of the transaction.
        nonce: u64,
    },
    /// The sender was stopped. The next sender with the same journal resumes what was persisted.
    #[error("[S-009] the sender is stopped")]
    Stopped,
    /// Too many calls are waiting already.
    #[error("[S-010] {waiting} calls wait for this key already")]
    Busy {
        /// Number of waiting calls.
        waiting: usize,
    },
    /// The journal was written for another key or chain.
    #[error("[S-011] the journal belongs to {0}: use one journal per key and chain")]
    ForeignJournal(String),
    /// The call data or the intent's name is too long.
    #[error("[S-012] {what} has {bytes} bytes, above the limit of {limit}")]
    TooLarge {
        /// Name of what is too long.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// Largest allowed size in bytes.
        limit: usize,
    },
    /// The batch has a call that is not one of the market. The market itself executes a batch, so
    /// that calls of the token and plain transfers cannot be part of it.
    #[error(
        "[S-013] only calls of the market can be batched: send the token call or transfer on its own"
    )]
    NotBatchable,
    /// The accuser's market account cannot pay the bond of an accusation. Nothing was sent.
    #[error(
        "[S-014] an accusation takes a bond of {bond} base units, the market account of {account} holds {balance}: \
         deposit {} more", .bond.saturating_sub(*.balance)
    )]
    BondMissing {
        /// Account of the accuser.
        account: Address,
        /// Balance of its market account, base units.
        balance: u128,
        /// Necessary bond, base units.
        bond: u128,
    },
    /// The call would leave less in the market account than has to stay there. Nothing was sent.
    #[error(
        "[S-015] the call takes {takes} base units, and {keeps} have to stay; the market account of {account} holds \
         {balance}: deposit {} more", .takes.saturating_add(*.keeps).saturating_sub(*.balance)
    )]
    KeepsTooLittle {
        /// Owner of the account.
        account: Address,
        /// Balance of the market account, base units.
        balance: u128,
        /// Sum that the call takes, base units.
        takes: u128,
        /// Sum that has to stay, base units.
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
