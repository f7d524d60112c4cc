//! An account's money in a market, movement by movement, for those who keep books. From the
//! market's events alone: whoever adds them up has the balance that the contract says.

use std::collections::BTreeMap;

use rialto_chain::{CaseOutcome, LogMeta, MarketEvent};
use rialto_protocol::case::CaseId;
use rialto_protocol::{Address, B256, DealId, types::Deal};
use serde::Serialize;

use crate::history::{History, HistoryError};

/// One movement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Movement {
    /// Block.
    pub block: u64,
    /// Transaction.
    #[cfg_attr(test, schemars(with = "crate::view::Hash"))]
    pub tx: B256,
    /// What happened.
    pub what: What,
    /// The deal that it is about.
    #[cfg_attr(test, schemars(with = "Option<crate::view::Hash>"))]
    pub deal: Option<DealId>,
    /// Who stands on the other side.
    #[cfg_attr(test, schemars(with = "Option<crate::view::Account>"))]
    pub with: Option<Address>,
    /// Change of what is free, base units.
    pub free: i128,
    /// Change of what is bound in deals and bonds, base units. What was gained or spent is the sum
    /// of both.
    pub bound: i128,
    /// What is free afterwards, base units.
    pub balance: u128,
    /// What is bound afterwards, base units.
    pub locked: u128,
}

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Tokens came in.
    Deposit,
    /// Tokens went out.
    Withdrawal,
    /// It came from another account: what a court gives back of a bond, a provider's share of an
    /// accuser's, a bounty.
    Received,
    /// It went to another account: to a court as the bond of an accusation, to whoever convicted a
    /// provider.
    Given,
    /// A deal was opened: a requester's budget is bound.
    Budget,
    /// A deal was opened: a provider's collateral is bound.
    Collateral,
    /// A voucher was redeemed, or a claim paid.
    Payment,
    /// A deal was closed: what was left in it came back; to an injured requester more than that, to
    /// a guilty provider less.
    Closed,
    /// The bond of a late notice or a demand was given.
    Bond,
    /// Such a bond came back.
    BondBack,
    /// The provider answered, and has the bond.
    BondPaid,
}

impl What {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            What::Deposit => "deposit",
            What::Withdrawal => "withdrawal",
            What::Received => "received",
            What::Given => "given",
            What::Budget => "budget",
            What::Collateral => "collateral",
            What::Payment => "payment",
            What::Closed => "closed",
            What::Bond => "bond",
            What::BondBack => "bond_back",
            What::BondPaid => "bond_paid",
        }
    }
}

/// A deal of the account.
struct Known<'a> {
    deal: &'a Deal,
    paid: u128,
    /// Bonds of its open cases, by what they are about.
    bonds: Vec<(CaseId, u128)>,
}

impl Known<'_> {
    /// Takes a case's bond, if there is one.
    fn take(&mut self, case: CaseId) -> Option<u128> {
        let at = self.bonds.iter().position(|(known, _)| *known == case)?;
        Some(self.bonds.swap_remove(at).1)
    }
}

/// The movements so far.
struct Ledger {
    account: Address,
    balance: i128,
    locked: i128,
    movements: Vec<Movement>,
}

impl History {
    /// Every movement of an account's money, the oldest first. The bond of an accusation is given
    /// to the court's account, and what comes back is received from it.
    ///
    /// # Errors
    /// `C-HIS-003` if the events don't add up: some are missing.
    pub fn ledger(&self, account: Address) -> Result<Vec<Movement>, HistoryError> {
        let mut ledger = Ledger { account, balance: 0, locked: 0, movements: Vec::new() };
        let mut deals: BTreeMap<DealId, Known<'_>> = BTreeMap::new();
        for (meta, event) in &self.events {
            if let MarketEvent::DealOpened { id, deal } = event
                && [deal.requester, deal.provider].contains(&account)
            {
                deals.insert(*id, Known { deal, paid: 0, bonds: Vec::new() });
            }
            let known = event.deal().and_then(|id| deals.get_mut(&id).map(|known| (id, known)));
            ledger.tell(meta, event, known).ok_or(HistoryError::Missing)?;
        }
        Ok(ledger.movements)
    }
}

impl Ledger {
    /// `None` if it can't be.
    fn tell(
        &mut self,
        meta: &LogMeta,
        event: &MarketEvent,
        known: Option<(DealId, &mut Known<'_>)>,
    ) -> Option<()> {
        let me = self.account;
        match event {
            MarketEvent::Deposited { account, from, amount } if *account == me => {
                return self.enter(meta, What::Deposit, None, Some(*from), plus(*amount)?, 0);
            }
            MarketEvent::Withdrawn { account, to, amount } if *account == me => {
                return self.enter(meta, What::Withdrawal, None, Some(*to), minus(*amount)?, 0);
            }
            MarketEvent::Transferred { from, to, amount } if from != to => {
                if *from == me {
                    return self.enter(meta, What::Given, None, Some(*to), minus(*amount)?, 0);
                }
                if *to == me {
                    return self.enter(meta, What::Received, None, Some(*from), plus(*amount)?, 0);
                }
            }
            _ => {}
        }
        let Some((id, known)) = known else { return Some(()) };
        let deal = known.deal;
        // Somebody who deals with himself is both.
        let sides = [(deal.requester, deal.provider, true), (deal.provider, deal.requester, false)];
        let paid = known.paid;
        let bond = match *event {
            MarketEvent::Answered { order, .. } | MarketEvent::Excused { order, .. } => {
                known.take(CaseId::Late { order })?
            }
            MarketEvent::Revealed { receipt, task, .. } => {
                known.take(CaseId::Demand { receipt, task })?
            }
            MarketEvent::CaseSettled { case, .. } => known.take(case).unwrap_or(0),
            _ => 0,
        };
        match event {
            MarketEvent::LateNoticed { order, bond, .. } => {
                known.bonds.push((CaseId::Late { order: *order }, *bond))
            }
            MarketEvent::Demanded { receipt, task, bond, .. } => {
                known.bonds.push((CaseId::Demand { receipt: *receipt, task: *task }, *bond));
            }
            MarketEvent::Redeemed { paid, .. } => known.paid = *paid,
            MarketEvent::CaseSettled { outcome: CaseOutcome::Paid, amount, .. } => {
                known.paid = known.paid.checked_add(*amount)?;
            }
            _ => {}
        }
        let payment = known.paid.checked_sub(paid)?;
        for (_, other, requests) in sides.into_iter().filter(|(side, ..)| *side == me) {
            let (what, free, bound) = match event {
                MarketEvent::DealOpened { deal, .. } if requests => {
                    (What::Budget, minus(deal.budget)?, plus(deal.budget)?)
                }
                MarketEvent::DealOpened { deal, .. } => {
                    (What::Collateral, minus(deal.collateral)?, plus(deal.collateral)?)
                }
                MarketEvent::Redeemed { .. } | MarketEvent::CaseSettled { .. } if payment > 0 => {
                    match requests {
                        true => (What::Payment, 0, minus(payment)?),
                        false => (What::Payment, plus(payment)?, 0),
                    }
                }
                MarketEvent::LateNoticed { bond, .. } | MarketEvent::Demanded { bond, .. }
                    if requests =>
                {
                    (What::Bond, minus(*bond)?, plus(*bond)?)
                }
                MarketEvent::Answered { .. }
                | MarketEvent::Excused { .. }
                | MarketEvent::Revealed { .. } => match requests {
                    true => (What::BondPaid, 0, minus(bond)?),
                    false => (What::BondPaid, plus(bond)?, 0),
                },
                MarketEvent::CaseSettled { .. } if requests => {
                    (What::BondBack, plus(bond)?, minus(bond)?)
                }
                MarketEvent::DealClosed { to_requester, .. } if requests => (
                    What::Closed,
                    plus(*to_requester)?,
                    minus(deal.budget.checked_sub(known.paid)?)?,
                ),
                MarketEvent::DealClosed { to_provider, .. } => {
                    (What::Closed, plus(*to_provider)?, minus(deal.collateral)?)
                }
                _ => continue,
            };
            self.enter(meta, what, Some(id), Some(other), free, bound)?;
        }
        Some(())
    }

    /// Writes a movement down, if anything moved.
    fn enter(
        &mut self,
        meta: &LogMeta,
        what: What,
        deal: Option<DealId>,
        with: Option<Address>,
        free: i128,
        bound: i128,
    ) -> Option<()> {
        if (free, bound) == (0, 0) {
            return Some(());
        }
        self.balance = self.balance.checked_add(free)?;
        self.locked = self.locked.checked_add(bound)?;
        let (balance, locked) =
            (u128::try_from(self.balance).ok()?, u128::try_from(self.locked).ok()?);
        let LogMeta { block, tx, .. } = *meta;
        self.movements.push(Movement { block, tx, what, deal, with, free, bound, balance, locked });
        Some(())
    }
}

fn plus(amount: u128) -> Option<i128> {
    i128::try_from(amount).ok()
}

fn minus(amount: u128) -> Option<i128> {
    plus(amount).map(std::ops::Neg::neg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::OrderId;
    use rialto_protocol::types::Receipt;

    const ME: Address = Address::repeat_byte(1);
    const OTHER: Address = Address::repeat_byte(2);
    const DEAL: DealId = DealId::repeat_byte(3);
    const ORDER: OrderId = OrderId::repeat_byte(4);

    fn settled(case: CaseId, outcome: CaseOutcome, amount: u128) -> MarketEvent {
        MarketEvent::CaseSettled { deal: DEAL, case, outcome, amount }
    }

    /// A deal in which a claim is paid, one late notice answered, another not: `end` with what each
    /// side gets.
    fn story(to_requester: u128, to_provider: u128) -> Vec<MarketEvent> {
        let deal =
            Deal { requester: ME, provider: OTHER, budget: 100, collateral: 50, ..Deal::default() };
        let late =
            |order| MarketEvent::LateNoticed { deal: DEAL, order, seq: 0, deadline: 9, bond: 5 };
        let (receipt, answered) = (Receipt::default(), OrderId::repeat_byte(5));
        vec![
            MarketEvent::Deposited { account: ME, from: ME, amount: 200 },
            MarketEvent::Deposited { account: OTHER, from: OTHER, amount: 60 },
            MarketEvent::DealOpened { id: DEAL, deal },
            MarketEvent::Redeemed { deal: DEAL, paid: 30, orders: 1 },
            late(ORDER),
            late(answered),
            MarketEvent::Answered { deal: DEAL, order: answered, receipt: receipt.clone() },
            MarketEvent::Claimed { deal: DEAL, order: ORDER, seq: 1, deadline: 9, receipt },
            settled(CaseId::Claim { order: ORDER }, CaseOutcome::Paid, 8),
            settled(CaseId::Late { order: ORDER }, CaseOutcome::Defaulted, 5),
            MarketEvent::DealClosed {
                deal: DEAL,
                ending: rialto_chain::Ending::Late,
                paid: 38,
                to_requester,
                to_provider,
                burned: 0,
            },
            MarketEvent::Withdrawn { account: ME, to: OTHER, amount: 7 },
        ]
    }

    #[test]
    fn what_goes_from_account_to_account_is_in_both_books() {
        let court = Address::repeat_byte(9);
        let excused = OrderId::repeat_byte(7);
        let mut events = story(72, 40);
        let notice =
            MarketEvent::LateNoticed { deal: DEAL, order: excused, seq: 3, deadline: 9, bond: 5 };
        events.splice(10..10, [notice, MarketEvent::Excused { deal: DEAL, order: excused }]);
        events.extend([
            MarketEvent::Transferred { from: ME, to: court, amount: 20 },
            MarketEvent::Transferred { from: court, to: OTHER, amount: 14 },
            MarketEvent::Transferred { from: ME, to: ME, amount: 3 },
            MarketEvent::Transferred { from: court, to: Address::ZERO, amount: 6 },
        ]);
        let (mine, balance, locked) = ends(events.clone(), ME);
        assert_eq!(mine.last(), Some(&(What::Given, -20, 0)));
        assert_eq!((balance, locked), (160 - 5 - 20, 0));
        let (theirs, balance, _) = ends(events, OTHER);
        assert_eq!(theirs.last(), Some(&(What::Received, 14, 0)));
        assert_eq!(balance, 93 + 5 + 14);
    }

    fn ends(events: Vec<MarketEvent>, account: Address) -> (Vec<(What, i128, i128)>, u128, u128) {
        let ledger = crate::history::tests::history(events).ledger(account).unwrap();
        let last = ledger.last().unwrap();
        let (balance, locked) = (last.balance, last.locked);
        (ledger.iter().map(|one| (one.what, one.free, one.bound)).collect(), balance, locked)
    }

    #[test]
    fn both_sides_books_add_up() {
        let (mine, balance, locked) = ends(story(72, 40), ME);
        let expected = [
            (What::Deposit, 200, 0),
            (What::Budget, -100, 100),
            (What::Payment, 0, -30),
            (What::Bond, -5, 5),
            (What::Bond, -5, 5),
            (What::BondPaid, 0, -5),
            (What::Payment, 0, -8),
            (What::BondBack, 5, -5),
            (What::Closed, 72, -62),
            (What::Withdrawal, -7, 0),
        ];
        assert_eq!(mine, expected);
        assert_eq!((balance, locked), (160, 0));
        let (theirs, balance, locked) = ends(story(72, 40), OTHER);
        let expected = [
            (What::Deposit, 60, 0),
            (What::Collateral, -50, 50),
            (What::Payment, 30, 0),
            (What::BondPaid, 5, 0),
            (What::Payment, 8, 0),
            (What::Closed, 40, -50),
        ];
        assert_eq!(theirs, expected);
        assert_eq!((balance, locked), (93, 0));
    }

    #[test]
    fn events_that_are_missing_are_noticed() {
        let mut events = story(72, 40);
        events.remove(0);
        assert!(crate::history::tests::history(events).ledger(ME).is_err());
        assert_eq!(
            crate::history::tests::history(story(72, 40)).ledger(Address::ZERO).unwrap(),
            []
        );
    }
}
