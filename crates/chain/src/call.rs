//! The calls a client makes, in the protocol's own types.

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

/// A deal to open from a provider's signed ask; the sender is the requester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenArgs {
    /// The offer.
    pub ask: Ask,
    /// The provider's signature over it.
    pub signature: Bytes,
    /// What the requester asks of it. The deal's id follows from ask, terms and sender (`Market::deal_terms`).
    pub terms: Terms,
}

/// A transaction on the market, its token, or a court of it. `IMarket.sol` says what each does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketCall {
    /// Tokens of the sender, approved before, into `account`.
    Deposit {
        /// Account credited.
        account: Address,
        /// Base units.
        amount: u128,
    },
    /// Like `Deposit`, with the sender's permit instead of an approval (`Chain::permit` makes one).
    DepositWithPermit {
        /// Account credited.
        account: Address,
        /// Base units.
        amount: u128,
        /// Unix seconds until which the permit is valid.
        deadline: U256,
        /// The sender's signature over the permit: r ‖ s ‖ v.
        signature: [u8; 65],
    },
    /// From the sender's account to `to`, as tokens.
    Withdraw {
        /// Receiver.
        to: Address,
        /// Base units.
        amount: u128,
    },
    /// Lets `spender` take up to `amount` from the sender's account; `u128::MAX` stays for ever. A court takes bonds so.
    Allow {
        /// A contract that the sender trusts with so much.
        spender: Address,
        /// Base units.
        amount: u128,
    },
    /// From the sender's account to that of `to`.
    Give {
        /// Account credited.
        to: Address,
        /// Base units.
        amount: u128,
    },
    /// Emits where the sender can be reached.
    Announce(Bytes),
    /// Raises the sender's counter: its asks with another counter die.
    CancelAsks {
        /// The new counter.
        counter: u64,
    },
    /// Opens deals, all or none, in one transaction.
    Open(Vec<OpenArgs>),
    /// Provider cashes a voucher.
    Redeem {
        /// The deal's terms.
        deal: Deal,
        /// The requester's payment.
        voucher: Voucher,
        /// The requester's signature over it.
        signature: Bytes,
    },
    /// Requester ends a deal with the provider's release.
    Close {
        /// The deal's terms.
        deal: Deal,
        /// The provider's consent.
        release: Release,
        /// The provider's signature over it.
        signature: Bytes,
    },
    /// Provider asserts an unpaid receipt.
    Claim {
        /// The deal's terms.
        deal: Deal,
        /// The order.
        order: Order,
        /// The requester's signature over the order.
        signature: Bytes,
        /// The provider's result.
        receipt: Receipt,
    },
    /// Requester calls an acked order late.
    Late {
        /// The deal's terms.
        deal: Deal,
        /// The order.
        order: Order,
        /// The provider's promise.
        ack: Ack,
        /// The provider's signature over the ack.
        signature: Bytes,
    },
    /// Anyone answers a late notice with the provider's receipt.
    Answer {
        /// The deal's terms.
        deal: Deal,
        /// The order.
        order: Order,
        /// The result.
        receipt: Receipt,
        /// The provider key's signature over it; not looked at if the sender is the provider.
        signature: Bytes,
    },
    /// Anyone stops a late notice about an order that the requester has cancelled.
    Excuse {
        /// The deal's terms.
        deal: Deal,
        /// The requester's word.
        cancel: Cancel,
        /// The requester key's signature over it.
        signature: Bytes,
    },
    /// Requester demands to see a task's end.
    Demand {
        /// The deal's terms.
        deal: Deal,
        /// The order.
        order: Order,
        /// The provider's receipt.
        receipt: Receipt,
        /// The provider's signature over the receipt.
        signature: Bytes,
        /// Which task.
        task: u32,
    },
    /// Anyone answers a demand.
    Reveal(Box<RevealArgs>),
    /// Anyone ends a case whose time is up.
    Settle {
        /// The deal's terms.
        deal: Deal,
        /// Which.
        case: CaseId,
    },
    /// Anyone ends a deal after expiry and grace.
    Expire {
        /// The deal's terms.
        deal: Deal,
    },
    /// Several calls of the market in one transaction, all or nothing.
    Batch(Vec<MarketCall>),
    /// A call of a court.
    Court {
        /// Its address.
        court: Address,
        /// What is sent to it.
        call: CourtCall,
    },
    /// Lets the market take tokens of the sender.
    Approve {
        /// Base units.
        amount: u128,
    },
    /// Test token only: new tokens for `to`.
    Mint {
        /// Receiver.
        to: Address,
        /// Base units.
        amount: u128,
    },
    /// Tokens of the sender to somebody else.
    TransferToken {
        /// Receiver.
        to: Address,
        /// Base units.
        amount: u128,
    },
    /// Gas money of the sender to somebody else.
    TransferNative {
        /// Receiver.
        to: Address,
        /// Wei.
        wei: u128,
    },
}

/// What a provider shows of a demanded task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealArgs {
    /// The deal's terms.
    pub deal: Deal,
    /// The order.
    pub order: Order,
    /// The receipt demanded from.
    pub receipt: Receipt,
    /// Which task.
    pub task: u32,
    /// Fuel it used.
    pub fuel: u64,
    /// How it ended.
    pub halted: Halted,
    /// Siblings from the bottom up.
    pub proof: Vec<SumNode>,
    /// The output, or nothing if it is above the contract's bound.
    pub output: Bytes,
}

impl MarketCall {
    /// Target, data and value of the transaction.
    pub(crate) fn raw(&self, market: Address, token: Address) -> Result<RawCall, SendError> {
        let on = |to: Address, data: Vec<u8>| RawCall { to: Some(to), data: data.into(), value: U256::ZERO };
        Ok(match self {
            MarketCall::Approve { amount } => {
                on(token, IToken::approveCall { spender: market, amount: U256::from(*amount) }.abi_encode())
            }
            MarketCall::Court { court, call } => on(*court, call.data()),
            MarketCall::Mint { to, amount } => {
                on(token, IToken::mintCall { to: *to, amount: U256::from(*amount) }.abi_encode())
            }
            MarketCall::TransferToken { to, amount } => {
                on(token, IToken::transferCall { to: *to, amount: U256::from(*amount) }.abi_encode())
            }
            MarketCall::TransferNative { to, wei } => {
                RawCall { to: Some(*to), data: Bytes::new(), value: U256::from(*wei) }
            }
            call => on(market, call.market_data()?),
        })
    }

    /// Call data for the market; an error for a call of another contract inside a batch.
    fn market_data(&self) -> Result<Vec<u8>, SendError> {
        Ok(match self {
            MarketCall::Deposit { account, amount } => {
                IMarket::depositCall { owner: *account, amount: *amount }.abi_encode()
            }
            MarketCall::DepositWithPermit { account, amount, deadline, signature } => IMarket::depositWithPermitCall {
                owner: *account,
                amount: *amount,
                deadline: *deadline,
                v: signature[64],
                r: B256::from_slice(&signature[..32]),
                s: B256::from_slice(&signature[32..64]),
            }
            .abi_encode(),
            MarketCall::Withdraw { to, amount } => IMarket::withdrawCall { to: *to, amount: *amount }.abi_encode(),
            MarketCall::Allow { spender, amount } => {
                IMarket::allowCall { spender: *spender, amount: *amount }.abi_encode()
            }
            MarketCall::Give { to, amount } => IMarket::giveCall { to: *to, amount: *amount }.abi_encode(),
            MarketCall::Announce(endpoint) => IMarket::announceCall { endpoint: endpoint.clone() }.abi_encode(),
            MarketCall::CancelAsks { counter } => IMarket::cancelAsksCall { counter: *counter }.abi_encode(),
            MarketCall::Open(opens) => match opens.as_slice() {
                [open] => open.data(),
                opens => multicall(opens.iter().map(OpenArgs::data).collect()),
            },
            MarketCall::Redeem { deal, voucher, signature } => {
                IMarket::redeemCall { deal: deal.into(), voucher: voucher.into(), signature: signature.clone() }
                    .abi_encode()
            }
            MarketCall::Close { deal, release, signature } => {
                IMarket::closeCall { deal: deal.into(), release: release.into(), signature: signature.clone() }
                    .abi_encode()
            }
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
            MarketCall::Excuse { deal, cancel, signature } => {
                IMarket::excuseCall { deal: deal.into(), cancel: cancel.into(), signature: signature.clone() }
                    .abi_encode()
            }
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
        IMarket::openCall { ask: (&self.ask).into(), signature: self.signature.clone(), terms: (&self.terms).into() }
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
