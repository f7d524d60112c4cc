//! The market in Rust: the rules of `IMarket.sol` over plain maps.
//!
//! It has three uses: tests compare the bytecode with it call by call, the simulator runs on it,
//! and clients predict the effect of a call with it, with a message for people if the call would
//! fail. It knows signatures of plain keys only (no ERC-1271), and a plain token as `IMarket.sol`
//! assumes it.

mod cases;
pub mod court;
mod deals;
mod error;

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, address};
use alloy_sol_types::Eip712Domain;

pub use cases::{CaseState, CaseStatus};
pub use deals::{DealState, DealStatus, Terms};
pub use error::ModelError;

use crate::{
    case::CaseId,
    ids::ReceiptId,
    ids::{DealId, GameId, OrderId},
    receipt::{Halted, SumNode},
    types::{Ack, Ask, Cancel, Deal, Order, Receipt, Release, Voucher},
};

/// Account of burned money. Nobody has its key.
pub const BURNED: Address = address!("000000000000000000000000000000000000dEaD");
/// Most bytes of an announcement.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 1_024;
/// Longest output that a reveal must show, bytes.
pub const MAX_REVEAL_BYTES: u64 = 8_192;
/// Longest hold of a court, seconds.
pub const MAX_HOLD: u64 = 30 * 86_400;
/// Longest time from a deal's `openedAt` to the block that opens it, seconds.
pub const OPENING_TOLERANCE: u64 = 600;
/// Highest watermark: `IMarket.DealState.orders` has 48 bits.
pub const MAX_WATERMARK: u64 = (1 << 48) - 1;

/// Parameters of a market, fixed at deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Seconds from a claim to its deadline.
    pub challenge_window: u64,
    /// Seconds from a late notice or demand to its deadline.
    pub answer_window: u64,
    /// Seconds after a deal's expiry in which cases can still be opened.
    pub grace: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
}

/// State of an account in the market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Deposited money, base units.
    pub balance: u128,
    /// Counter that its asks must have; others are invalid.
    pub counter: u64,
    /// Number of open deals in which it is the provider.
    pub open: u32,
}

/// A call of the market. `IMarket.sol` documents the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Call {
    Deposit { account: Address, amount: u128 },
    Withdraw { to: Address, amount: u128 },
    Announce { endpoint: Bytes },
    CancelAsks { counter: u64 },
    Open { ask: Ask, signature: Bytes, terms: Terms },
    Redeem { deal: Deal, voucher: Voucher, signature: Bytes },
    Close { deal: Deal, release: Release, signature: Bytes },
    Claim { deal: Deal, order: Order, signature: Bytes, receipt: Receipt },
    Late { deal: Deal, order: Order, ack: Ack, signature: Bytes },
    Answer { deal: Deal, order: Order, receipt: Receipt, signature: Bytes },
    Excuse { deal: Deal, cancel: Cancel, signature: Bytes },
    Demand { deal: Deal, order: Order, receipt: Receipt, signature: Bytes, task: u32 },
    Reveal { deal: Deal, order: Order, receipt: Receipt, reveal: Reveal },
    Settle { deal: Deal, case: CaseId },
    Expire { deal: Deal },
    Hold { deal: Deal, game: GameId, until: u64 },
    Lift { deal: Deal, game: GameId },
    Slash { deal: Deal, convictor: Address },
    Allow { spender: Address, amount: u128 },
    Take { owner: Address, amount: u128 },
    Give { to: Address, amount: u128 },
}

/// Proof of one task's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// Index of the task in the order.
    pub task: u32,
    /// Fuel of the leaf.
    pub fuel: u64,
    /// Halted state of the task.
    pub halted: Halted,
    /// Siblings of the leaf, from the bottom up.
    pub proof: Vec<SumNode>,
    /// Whole output; empty if it is longer than [`MAX_REVEAL_BYTES`].
    pub output: Bytes,
}

/// State of the market, and of the tokens outside it.
#[derive(Clone, Debug)]
pub struct Market {
    params: Params,
    domain: Eip712Domain,
    tokens: BTreeMap<Address, u128>,
    accounts: BTreeMap<Address, Account>,
    deals: BTreeMap<DealId, (DealState, Deal)>,
    allowances: BTreeMap<(Address, Address), u128>,
    cases: BTreeMap<(DealId, CaseId), CaseState>,
    asserted: BTreeMap<OrderId, ReceiptId>,
}

impl Market {
    /// Creates an empty market. `tokens` are the accounts' balances outside the market, all of them
    /// approved.
    pub fn new(params: Params, domain: Eip712Domain, tokens: BTreeMap<Address, u128>) -> Self {
        Self {
            params,
            domain,
            tokens,
            accounts: BTreeMap::new(),
            deals: BTreeMap::new(),
            allowances: BTreeMap::new(),
            cases: BTreeMap::new(),
            asserted: BTreeMap::new(),
        }
    }

    /// Applies a call at `now` (Unix seconds).
    ///
    /// # Errors
    /// The error with which the contract would revert. Nothing has changed then.
    pub fn apply(&mut self, now: u64, sender: Address, call: &Call) -> Result<(), ModelError> {
        let mut next = self.clone();
        next.dispatch(now, sender, call)?;
        *self = next;
        Ok(())
    }

    fn dispatch(&mut self, now: u64, sender: Address, call: &Call) -> Result<(), ModelError> {
        match call {
            Call::Deposit { account, amount } => self.deposit(sender, *account, *amount),
            Call::Withdraw { to, amount } => self.withdraw(sender, *to, *amount),
            Call::Announce { endpoint } if endpoint.len() > MAX_ANNOUNCEMENT_BYTES => {
                Err(ModelError::AnnouncementTooLong)
            }
            Call::Announce { .. } => Ok(()),
            Call::CancelAsks { counter } => {
                let account = self.accounts.entry(sender).or_default();
                if *counter <= account.counter {
                    return Err(ModelError::CounterNotRaised);
                }
                account.counter = *counter;
                Ok(())
            }
            Call::Open { ask, signature, terms } => self.open(now, sender, ask, signature, terms),
            Call::Redeem { deal, voucher, signature } => {
                self.redeem(sender, deal, voucher, signature)
            }
            Call::Close { deal, release, signature } => {
                self.close(sender, deal, release, signature)
            }
            Call::Claim { deal, order, signature, receipt } => {
                self.claim(now, sender, deal, order, signature, receipt)
            }
            Call::Late { deal, order, ack, signature } => {
                self.late(now, sender, deal, order, ack, signature)
            }
            Call::Answer { deal, order, receipt, signature } => {
                self.answer(now, sender, deal, order, receipt, signature)
            }
            Call::Excuse { deal, cancel, signature } => self.excuse(now, deal, cancel, signature),
            Call::Demand { deal, order, receipt, signature, task } => {
                self.demand(now, sender, deal, order, receipt, signature, *task)
            }
            Call::Reveal { deal, order, receipt, reveal } => {
                self.reveal(now, deal, order, receipt, reveal)
            }
            Call::Settle { deal, case } => self.settle(now, deal, *case),
            Call::Expire { deal } => self.expire(now, deal),
            Call::Hold { deal, game, until } => self.hold(now, sender, deal, *game, *until),
            Call::Lift { deal, game } => self.lift(sender, deal, *game),
            Call::Slash { deal, convictor } => self.slash(sender, deal, *convictor),
            Call::Allow { spender, amount } => {
                self.allowances.insert((sender, *spender), *amount);
                Ok(())
            }
            Call::Take { owner, amount } => self.take(sender, *owner, *amount),
            Call::Give { to, amount } => self.transfer(sender, *to, *amount),
        }
    }

    /// Undoes the extension of a claim's deadline by a reveal. Tests use it to find out which
    /// attacks the extension prevents.
    #[doc(hidden)]
    pub fn forget_new_deadline(&mut self, deal: DealId, order: OrderId, deadline: u64) {
        if let Some(claim) = self.cases.get_mut(&(deal, CaseId::Claim { order })) {
            claim.deadline = claim.deadline.min(deadline);
        }
    }

    /// Returns the account of `owner`.
    pub fn account(&self, owner: Address) -> Account {
        self.accounts.get(&owner).copied().unwrap_or_default()
    }

    /// Returns the tokens that `owner` has outside the market.
    pub fn tokens(&self, owner: Address) -> u128 {
        self.tokens.get(&owner).copied().unwrap_or_default()
    }

    /// Returns the state of a deal.
    pub fn deal_state(&self, id: DealId) -> DealState {
        self.deals.get(&id).map(|(state, _)| *state).unwrap_or_default()
    }

    /// Returns the amount that `spender` may still take from `owner`, base units.
    pub fn allowance(&self, owner: Address, spender: Address) -> u128 {
        self.allowances.get(&(owner, spender)).copied().unwrap_or_default()
    }

    /// Returns the state of a case.
    pub fn case(&self, deal: DealId, case: CaseId) -> CaseState {
        self.cases.get(&(deal, case)).copied().unwrap_or_default()
    }

    /// Returns the id of the receipt that the provider asserted on chain for an order.
    pub fn asserted(&self, order: OrderId) -> Option<ReceiptId> {
        self.asserted.get(&order).copied()
    }

    /// Returns the sum of the market's debts: accounts, open deals, bonds. It equals the market's
    /// tokens.
    pub fn owed(&self) -> u128 {
        let accounts: u128 = self.accounts.values().map(|a| a.balance).sum();
        let deals: u128 = self
            .deals
            .values()
            .filter(|(state, _)| state.status == DealStatus::Open)
            .map(|(state, deal)| deal.budget - state.paid + deal.collateral)
            .sum();
        let bonds: u128 = self
            .cases
            .iter()
            .filter(|((_, id), case)| id.kind().bonded() && case.status == CaseStatus::Open)
            .map(|(_, case)| case.amount)
            .sum();
        accounts + deals + bonds
    }

    fn deposit(
        &mut self,
        sender: Address,
        account: Address,
        amount: u128,
    ) -> Result<(), ModelError> {
        let tokens = self.tokens.entry(sender).or_default();
        *tokens = tokens.checked_sub(amount).ok_or(ModelError::TransferFailed)?;
        self.credit(account, amount)
    }

    fn withdraw(&mut self, sender: Address, to: Address, amount: u128) -> Result<(), ModelError> {
        self.debit(sender, amount)?;
        *self.tokens.entry(to).or_default() += amount;
        Ok(())
    }

    fn take(&mut self, sender: Address, owner: Address, amount: u128) -> Result<(), ModelError> {
        let allowed = self.allowances.entry((owner, sender)).or_default();
        let left = allowed.checked_sub(amount).ok_or(ModelError::AllowanceTooLow)?;
        if *allowed != u128::MAX {
            *allowed = left;
        }
        self.transfer(owner, sender, amount)
    }

    fn transfer(&mut self, from: Address, to: Address, amount: u128) -> Result<(), ModelError> {
        self.debit(from, amount)?;
        self.credit(to, amount)
    }

    fn credit(&mut self, account: Address, amount: u128) -> Result<(), ModelError> {
        let balance = &mut self.accounts.entry(account).or_default().balance;
        *balance = balance.checked_add(amount).ok_or(ModelError::AmountOverflow)?;
        Ok(())
    }

    fn debit(&mut self, account: Address, amount: u128) -> Result<(), ModelError> {
        let balance = &mut self.accounts.entry(account).or_default().balance;
        *balance = balance.checked_sub(amount).ok_or(ModelError::InsufficientBalance)?;
        Ok(())
    }
}
