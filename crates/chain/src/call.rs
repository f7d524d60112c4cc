//! Calls that a client sends, in the protocol's own types.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use rialto_protocol::case::CaseId;
use rialto_protocol::model::Terms;
use rialto_protocol::receipt::{Halted, SumNode};
use rialto_protocol::types::{Ack, Ask, Cancel, Deal, Order, Receipt, Release, Voucher};

use crate::bindings::{IMarket, IToken};
use crate::court_call::{CourtCall, nodes};
use crate::error::SendError;
use crate::journal::RawCall;

/// One deal to open from a provider's signed ask. The sender is the requester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenArgs {
    /// The provider's ask.
    pub ask: Ask,
    /// The provider's signature over the ask.
    pub signature: Bytes,
    /// Terms that the requester chose. Ask, terms and sender determine the deal's id
    /// (`Market::deal_terms`).
    pub terms: Terms,
}

/// One transaction of the market, its token or one of its courts. `IMarket.sol` specifies each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketCall {
    /// Moves tokens that the sender approved before into `account`.
    Deposit {
        /// Account that receives the sum.
        account: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Does the same as `Deposit`, with the sender's permit instead of an approval. `Chain::permit`
    /// makes one.
    DepositWithPermit {
        /// Account that receives the sum.
        account: Address,
        /// Sum in base units.
        amount: u128,
        /// End of the permit, Unix seconds.
        deadline: U256,
        /// The sender's signature over the permit: r ‖ s ‖ v.
        signature: [u8; 65],
    },
    /// Pays out tokens from the sender's account to `to`.
    Withdraw {
        /// Address that receives them.
        to: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Allows `spender` to take up to `amount` from the sender's account, or any sum for ever with
    /// `u128::MAX`. Courts take bonds this way.
    Allow {
        /// Contract that may take the sum.
        spender: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Moves a sum from the sender's account to that of `to`.
    Give {
        /// Account that receives the sum.
        to: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Emits an event with the endpoint at which the sender can be reached.
    Announce(Bytes),
    /// Raises the sender's counter, which revokes its asks with another counter.
    CancelAsks {
        /// New counter.
        counter: u64,
    },
    /// Opens several deals in one transaction, all or none.
    Open(Vec<OpenArgs>),
    /// The provider redeems a voucher.
    Redeem {
        /// Terms of the deal.
        deal: Deal,
        /// Voucher of the requester.
        voucher: Voucher,
        /// The requester's signature over the voucher.
        signature: Bytes,
    },
    /// The requester closes a deal with the provider's release.
    Close {
        /// Terms of the deal.
        deal: Deal,
        /// Release of the provider.
        release: Release,
        /// The provider's signature over the release.
        signature: Bytes,
    },
    /// The provider claims the fee of an unpaid receipt.
    Claim {
        /// Terms of the deal.
        deal: Deal,
        /// Order that the call is about.
        order: Order,
        /// The requester's signature over the order.
        signature: Bytes,
        /// Receipt of the provider.
        receipt: Receipt,
    },
    /// The requester sends a late notice for an acked order.
    Late {
        /// Terms of the deal.
        deal: Deal,
        /// Order that the call is about.
        order: Order,
        /// Ack of the provider.
        ack: Ack,
        /// The provider's signature over the ack.
        signature: Bytes,
    },
    /// Anyone answers a late notice with the provider's receipt.
    Answer {
        /// Terms of the deal.
        deal: Deal,
        /// Order that the call is about.
        order: Order,
        /// Receipt of the provider.
        receipt: Receipt,
        /// Signature of the provider's key over the receipt. It is not checked if the sender is the
        /// provider.
        signature: Bytes,
    },
    /// Anyone ends a late notice for an order that the requester has cancelled.
    Excuse {
        /// Terms of the deal.
        deal: Deal,
        /// Cancellation of the requester.
        cancel: Cancel,
        /// Signature of the requester's key over the cancellation.
        signature: Bytes,
    },
    /// The requester demands a task's halted state.
    Demand {
        /// Terms of the deal.
        deal: Deal,
        /// Order that the call is about.
        order: Order,
        /// Receipt of the provider.
        receipt: Receipt,
        /// The provider's signature over the receipt.
        signature: Bytes,
        /// Index of the task in the order.
        task: u32,
    },
    /// Anyone answers a demand.
    Reveal(Box<RevealArgs>),
    /// Anyone ends a case whose time has passed.
    Settle {
        /// Terms of the deal.
        deal: Deal,
        /// Id of the case.
        case: CaseId,
    },
    /// Anyone ends a deal after its expiry and the grace period.
    Expire {
        /// Terms of the deal.
        deal: Deal,
    },
    /// Executes several calls of the market in one transaction, all or none.
    Batch(Vec<MarketCall>),
    /// Calls a court.
    Court {
        /// Address of the court.
        court: Address,
        /// Call of the court.
        call: CourtCall,
    },
    /// Allows the market to take tokens of the sender.
    Approve {
        /// Sum in base units.
        amount: u128,
    },
    /// Mints tokens for `to`; only the test token can.
    Mint {
        /// Address that receives them.
        to: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Transfers tokens of the sender.
    TransferToken {
        /// Address that receives them.
        to: Address,
        /// Sum in base units.
        amount: u128,
    },
    /// Transfers native currency of the sender, which pays for gas.
    TransferNative {
        /// Address that receives them.
        to: Address,
        /// Sum in wei.
        wei: u128,
    },
}

/// Answer to a demand: everything that reveals a task's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealArgs {
    /// Terms of the deal.
    pub deal: Deal,
    /// Order that the call is about.
    pub order: Order,
    /// Receipt that the demand is about.
    pub receipt: Receipt,
    /// Index of the task in the order.
    pub task: u32,
    /// Fuel that the task used.
    pub fuel: u64,
    /// Halted state of the task.
    pub halted: Halted,
    /// Siblings of the leaf, from the bottom up.
    pub proof: Vec<SumNode>,
    /// Output of the task, or empty if it is longer than the contract's limit.
    pub output: Bytes,
}

impl MarketCall {
    /// Returns target, data and value of the transaction.
    pub(crate) fn raw(&self, market: Address, token: Address) -> Result<RawCall, SendError> {
        let on = |to: Address, data: Vec<u8>| RawCall {
            to: Some(to),
            data: data.into(),
            value: U256::ZERO,
        };
        Ok(match self {
            MarketCall::Approve { amount } => on(
                token,
                IToken::approveCall { spender: market, amount: U256::from(*amount) }.abi_encode(),
            ),
            MarketCall::Court { court, call } => on(*court, call.data()),
            MarketCall::Mint { to, amount } => {
                on(token, IToken::mintCall { to: *to, amount: U256::from(*amount) }.abi_encode())
            }
            MarketCall::TransferToken { to, amount } => on(
                token,
                IToken::transferCall { to: *to, amount: U256::from(*amount) }.abi_encode(),
            ),
            MarketCall::TransferNative { to, wei } => {
                RawCall { to: Some(*to), data: Bytes::new(), value: U256::from(*wei) }
            }
            call => on(market, call.market_data()?),
        })
    }

    /// Returns the call data for the market. Fails for a call of another contract inside a batch.
    fn market_data(&self) -> Result<Vec<u8>, SendError> {
        Ok(match self {
            MarketCall::Deposit { account, amount } => {
                IMarket::depositCall { owner: *account, amount: *amount }.abi_encode()
            }
            MarketCall::DepositWithPermit { account, amount, deadline, signature } => {
                IMarket::depositWithPermitCall {
                    owner: *account,
                    amount: *amount,
                    deadline: *deadline,
                    v: signature[64],
                    r: B256::from_slice(&signature[..32]),
                    s: B256::from_slice(&signature[32..64]),
                }
                .abi_encode()
            }
            MarketCall::Withdraw { to, amount } => {
                IMarket::withdrawCall { to: *to, amount: *amount }.abi_encode()
            }
            MarketCall::Allow { spender, amount } => {
                IMarket::allowCall { spender: *spender, amount: *amount }.abi_encode()
            }
            MarketCall::Give { to, amount } => {
                IMarket::giveCall { to: *to, amount: *amount }.abi_encode()
            }
            MarketCall::Announce(endpoint) => {
                IMarket::announceCall { endpoint: endpoint.clone() }.abi_encode()
            }
            MarketCall::CancelAsks { counter } => {
                IMarket::cancelAsksCall { counter: *counter }.abi_encode()
            }
            MarketCall::Open(opens) => match opens.as_slice() {
                [open] => open.data(),
                opens => multicall(opens.iter().map(OpenArgs::data).collect()),
            },
            MarketCall::Redeem { deal, voucher, signature } => IMarket::redeemCall {
                deal: deal.into(),
                voucher: voucher.into(),
                signature: signature.clone(),
            }
            .abi_encode(),
            MarketCall::Close { deal, release, signature } => IMarket::closeCall {
                deal: deal.into(),
                release: release.into(),
                signature: signature.clone(),
            }
            .abi_encode(),
            MarketCall::Claim { deal, order, signature, receipt } => IMarket::claimCall {
                deal: deal.into(),
                order: order.into(),
                signature: signature.clone(),
                receipt: receipt.into(),
            }
            .abi_encode(),
            MarketCall::Late { deal, order, ack, signature } => IMarket::lateCall {
                deal: deal.into(),
                order: order.into(),
                ack: ack.into(),
                signature: signature.clone(),
            }
            .abi_encode(),
            MarketCall::Answer { deal, order, receipt, signature } => IMarket::answerCall {
                deal: deal.into(),
                order: order.into(),
                receipt: receipt.into(),
                signature: signature.clone(),
            }
            .abi_encode(),
            MarketCall::Excuse { deal, cancel, signature } => IMarket::excuseCall {
                deal: deal.into(),
                cancel: cancel.into(),
                signature: signature.clone(),
            }
            .abi_encode(),
            MarketCall::Demand { deal, order, receipt, signature, task } => IMarket::demandCall {
                deal: deal.into(),
                order: order.into(),
                receipt: receipt.into(),
                signature: signature.clone(),
                task: *task,
            }
            .abi_encode(),
            MarketCall::Reveal(args) => args.data(),
            MarketCall::Settle { deal, case } => IMarket::settleCall {
                deal: deal.into(),
                kind: case.kind().into(),
                subject: case.subject(),
                task: case.task(),
            }
            .abi_encode(),
            MarketCall::Expire { deal } => IMarket::expireCall { deal: deal.into() }.abi_encode(),
            MarketCall::Batch(calls) => {
                multicall(calls.iter().map(MarketCall::market_data).collect::<Result<Vec<_>, _>>()?)
            }
            MarketCall::Court { .. }
            | MarketCall::Approve { .. }
            | MarketCall::Mint { .. }
            | MarketCall::TransferToken { .. }
            | MarketCall::TransferNative { .. } => return Err(SendError::NotBatchable),
        })
    }
}

impl OpenArgs {
    fn data(&self) -> Vec<u8> {
        IMarket::openCall {
            ask: (&self.ask).into(),
            signature: self.signature.clone(),
            terms: (&self.terms).into(),
        }
        .abi_encode()
    }
}

impl RevealArgs {
    fn data(&self) -> Vec<u8> {
        IMarket::revealCall {
            deal: (&self.deal).into(),
            order: (&self.order).into(),
            receipt: (&self.receipt).into(),
            task: self.task,
            fuel: self.fuel,
            halted: (&self.halted).into(),
            proof: nodes(&self.proof),
            output: self.output.clone(),
        }
        .abi_encode()
    }
}

fn multicall(calls: Vec<Vec<u8>>) -> Vec<u8> {
    IMarket::multicallCall { calls: calls.into_iter().map(Bytes::from).collect() }.abi_encode()
}
