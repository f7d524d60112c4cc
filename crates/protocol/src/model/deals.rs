//! Deals, which are opened from an ask, paid by vouchers and ended once.

use alloy_primitives::Address;

use super::{BURNED, MAX_WATERMARK, Market, ModelError, OPENING_TOLERANCE};
use crate::{
    case::CaseKind,
    court::{BOUNTY_BPS, COMPENSATION_BPS},
    eip712::Typed,
    ids::DealId,
    pricing,
    signing::signed_by,
    types::{Ask, Deal, Release, Voucher, struct_hash},
};

/// Status of a deal. It only moves from `None` to `Open` to `Closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DealStatus {
    /// Never opened.
    #[default]
    None,
    /// Money is locked in it.
    Open,
    /// Over.
    Closed,
}

/// The changing part of a deal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DealState {
    /// Present status.
    pub status: DealStatus,
    /// Amount paid to the provider so far, base units.
    pub paid: u128,
    /// Watermark: orders with a lower `seq` are settled.
    pub orders: u64,
    /// Number of open claims.
    pub claims: u16,
    /// Number of open late notices.
    pub lates: u16,
    /// Number of open demands and holds.
    pub challenges: u32,
}

impl DealState {
    /// Counts one case more or less.
    pub(super) fn count_case(&mut self, kind: CaseKind, more: bool) {
        let step = |count: u32| if more { count + 1 } else { count - 1 };
        let narrow = |count: u16| step(count.into()) as u16;
        match kind {
            CaseKind::Claim => self.claims = narrow(self.claims),
            CaseKind::Late => self.lates = narrow(self.lates),
            CaseKind::Demand | CaseKind::Hold => self.challenges = step(self.challenges),
        }
    }
}

/// The requester's part of a deal's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Key that signs the requester's orders, cancellations and vouchers.
    pub key: Address,
    /// Most that the provider can be paid, base units.
    pub budget: u128,
    /// Start of the deal, Unix seconds: not after the block that opens it, and at most
    /// [`OPENING_TOLERANCE`] before it.
    pub opened_at: u64,
    /// Length of the deal, seconds. It must end after the block that opens it.
    pub duration: u32,
    /// Highest acceptable price, base units per Tfuel.
    pub max_price: u128,
    /// Distinguishes deals with equal terms.
    pub salt: u64,
}

/// Way in which a deal ends, which decides where its money goes.
pub(super) enum Ending {
    /// Collateral and the rest of the budget return to their owners.
    Clean,
    /// The late penalty goes to the requester.
    Late,
    /// The requester gets a share of the collateral; the rest is burned.
    Guilty,
}

impl Market {
    /// Returns the deal that follows from `ask` and `terms`. It does not depend on the block that
    /// opens it.
    ///
    /// # Errors
    /// The error with which the contract would refuse terms that don't match the ask.
    pub fn deal_terms(requester: Address, ask: &Ask, terms: &Terms) -> Result<Deal, ModelError> {
        if ask.key.is_zero() || terms.key.is_zero() {
            return Err(ModelError::NoKey);
        }
        let price = pricing::price_at(ask, terms.opened_at).ok_or(ModelError::AskNotValidNow)?;
        if price > terms.max_price {
            return Err(ModelError::PriceTooHigh);
        }
        if terms.budget < ask.minBudget || terms.budget > ask.maxBudget {
            return Err(ModelError::BudgetOutOfRange);
        }
        if terms.duration == 0 || terms.duration > ask.maxSeconds {
            return Err(ModelError::DurationOutOfRange);
        }
        if ask.latePenaltyBps > pricing::BPS {
            return Err(ModelError::PenaltyTooHigh);
        }
        let share = |amount, bps| pricing::share(amount, bps).ok_or(ModelError::AmountOverflow);
        let collateral = share(terms.budget, ask.collateralBps)?;
        Ok(Deal {
            ask: struct_hash(ask),
            requester,
            provider: ask.provider,
            requesterKey: terms.key,
            providerKey: ask.key,
            budget: terms.budget,
            collateral,
            price,
            taskFee: ask.taskFee,
            latePenalty: share(collateral, ask.latePenaltyBps)?,
            openedAt: terms.opened_at,
            expiry: terms.opened_at.saturating_add(terms.duration.into()),
            court: ask.court,
            salt: terms.salt,
        })
    }

    pub(super) fn open(
        &mut self,
        now: u64,
        sender: Address,
        ask: &Ask,
        signature: &[u8],
        terms: &Terms,
    ) -> Result<(), ModelError> {
        self.check_signature(ask, signature, ask.provider)?;
        let provider = self.account(ask.provider);
        if ask.counter != provider.counter {
            return Err(ModelError::AskCancelled);
        }
        if provider.open >= ask.capacity {
            return Err(ModelError::ProviderFull);
        }
        if terms.opened_at > now || terms.opened_at.saturating_add(OPENING_TOLERANCE) < now {
            return Err(ModelError::OpeningOutOfRange);
        }
        let deal = Self::deal_terms(sender, ask, terms)?;
        if deal.expiry <= now {
            return Err(ModelError::DurationOutOfRange);
        }
        let id = struct_hash(&deal);
        if self.deals.contains_key(&id) {
            return Err(ModelError::DealExists);
        }
        self.accounts.entry(ask.provider).or_default().open += 1;
        self.debit(sender, deal.budget)?;
        self.debit(deal.provider, deal.collateral)?;
        self.deals
            .insert(id, (DealState { status: DealStatus::Open, ..DealState::default() }, deal));
        Ok(())
    }

    pub(super) fn redeem(
        &mut self,
        sender: Address,
        deal: &Deal,
        voucher: &Voucher,
        signature: &[u8],
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.provider)?;
        if voucher.deal != id {
            return Err(ModelError::WrongDeal);
        }
        self.check_signature(voucher, signature, deal.requesterKey)?;
        self.pay_up_to(id, deal, voucher.amount)?;
        let state = self.state(id);
        state.orders = state.orders.max(voucher.orders.min(MAX_WATERMARK));
        if voucher.close { self.end(id, deal, Ending::Clean) } else { Ok(()) }
    }

    pub(super) fn close(
        &mut self,
        sender: Address,
        deal: &Deal,
        release: &Release,
        signature: &[u8],
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.requester)?;
        if release.deal != id {
            return Err(ModelError::WrongDeal);
        }
        self.check_signature(release, signature, deal.providerKey)?;
        self.pay_up_to(id, deal, release.amount)?;
        self.end(id, deal, Ending::Clean)
    }

    pub(super) fn expire(&mut self, now: u64, deal: &Deal) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        if now < deal.expiry + self.params.grace {
            return Err(ModelError::TooEarly);
        }
        let state = self.state(id);
        if (state.claims, state.lates, state.challenges) != (0, 0, 0) {
            return Err(ModelError::DealBusy);
        }
        self.end(id, deal, Ending::Clean)
    }

    pub(super) fn slash(
        &mut self,
        sender: Address,
        deal: &Deal,
        convictor: Address,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.court)?;
        self.end(id, deal, Ending::Guilty)?;
        if convictor == deal.requester {
            return Ok(());
        }
        let bounty =
            pricing::share(deal.collateral, BOUNTY_BPS).ok_or(ModelError::AmountOverflow)?;
        self.transfer(deal.requester, convictor, bounty)
    }

    /// Raises `paid` to a signed cumulative amount, within the budget. A lower amount changes
    /// nothing.
    fn pay_up_to(&mut self, id: DealId, deal: &Deal, amount: u128) -> Result<(), ModelError> {
        let paid = self.state(id).paid;
        self.pay(id, deal, amount.saturating_sub(paid)).map(|_| ())
    }

    /// Pays the provider as much of `amount` as the budget has left, and returns it.
    pub(super) fn pay(
        &mut self,
        id: DealId,
        deal: &Deal,
        amount: u128,
    ) -> Result<u128, ModelError> {
        let state = self.state(id);
        let amount = amount.min(deal.budget - state.paid);
        state.paid += amount;
        self.credit(deal.provider, amount)?;
        Ok(amount)
    }

    /// Ends a deal and distributes all money that is locked in it.
    pub(super) fn end(
        &mut self,
        id: DealId,
        deal: &Deal,
        ending: Ending,
    ) -> Result<(), ModelError> {
        let state = self.state(id);
        state.status = DealStatus::Closed;
        (state.claims, state.lates, state.challenges) = (0, 0, 0);
        let rest = deal.budget - state.paid;
        let compensation = match ending {
            Ending::Clean => 0,
            Ending::Late => deal.latePenalty,
            Ending::Guilty => pricing::share(deal.collateral, COMPENSATION_BPS)
                .ok_or(ModelError::AmountOverflow)?,
        };
        let kept = deal.collateral - compensation;
        let (provider, burned) =
            if matches!(ending, Ending::Guilty) { (0, kept) } else { (kept, 0) };
        self.credit(deal.requester, rest + compensation)?;
        self.credit(deal.provider, provider)?;
        self.credit(BURNED, burned)?;
        self.accounts.entry(deal.provider).or_default().open -= 1;
        Ok(())
    }

    /// Returns the id of a deal, which must be open.
    pub(super) fn open_deal(&self, deal: &Deal) -> Result<DealId, ModelError> {
        let id = struct_hash(deal);
        if self.deal_state(id).status == DealStatus::Open {
            Ok(id)
        } else {
            Err(ModelError::DealNotOpen)
        }
    }

    pub(super) fn state(&mut self, id: DealId) -> &mut DealState {
        &mut self.deals.get_mut(&id).expect("callers look a deal up before they change it").0
    }

    pub(super) fn check_signature<T: Typed>(
        &self,
        value: &T,
        signature: &[u8],
        signer: Address,
    ) -> Result<(), ModelError> {
        if signed_by(value, &self.domain, signature, signer) {
            Ok(())
        } else {
            Err(ModelError::InvalidSignature)
        }
    }
}

/// Refuses every sender but `required`.
pub(super) fn only(sender: Address, required: Address) -> Result<(), ModelError> {
    if sender == required { Ok(()) } else { Err(ModelError::Unauthorized) }
}
