//! Both contracts: the effect of calls on their state, and their events as facts of each core.

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, B256, DealId, GameId,
    court::GameNews,
    model::{
        Call, DealStatus, Market,
        court::{Court, CourtCall, CourtError},
    },
    types::struct_hash,
};
use rialto_provider::core as provider;
use rialto_requester::core as requester;

use crate::compute::Machine;

/// One call of one of the contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A call of the market.
    Market(Call),
    /// A call of the market's court.
    Court(CourtCall),
}

impl Act {
    /// Returns the kind of the transaction, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Market(call) => match call {
                Call::Deposit { .. } => "deposit",
                Call::Withdraw { .. } => "withdraw",
                Call::Announce { .. } => "announce",
                Call::CancelAsks { .. } => "cancel asks",
                Call::Open { .. } => "open",
                Call::Redeem { .. } => "redeem",
                Call::Close { .. } => "close",
                Call::Claim { .. } => "claim",
                Call::Late { .. } => "late",
                Call::Answer { .. } => "answer",
                Call::Excuse { .. } => "excuse",
                Call::Demand { .. } => "demand",
                Call::Reveal { .. } => "reveal",
                Call::Settle { .. } => "settle",
                Call::Expire { .. } => "expire",
                Call::Hold { .. } => "hold",
                Call::Lift { .. } => "lift",
                Call::Slash { .. } => "slash",
                Call::Allow { .. } => "allow",
                Call::Take { .. } => "take",
                Call::Give { .. } => "give",
            },
            Self::Court(call) => match call {
                CourtCall::Accuse { .. } => "accuse",
                CourtCall::Unfold { .. } => "unfold",
                CourtCall::Pick { .. } => "pick",
                CourtCall::Challenge { .. } => "challenge",
                CourtCall::Contradict { .. } => "contradict",
                CourtCall::Delegate { .. } => "delegate",
                CourtCall::Move { .. } => "move",
                CourtCall::Step { .. } => "step",
                CourtCall::Timeout { .. } => "timeout",
                CourtCall::Convict { .. } => "convict",
            },
        }
    }
}

/// One event of a deal.
#[derive(Clone, Debug)]
pub struct Said {
    /// Id of the deal.
    pub deal: DealId,
    /// The event as a fact of the provider's core. That core has a fact for every event.
    pub what: provider::What,
    /// The event as the requester's core takes it, if that core handles it.
    pub heard: Option<requester::What>,
}

/// State of the market and its court.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// State of the market.
    pub market: Market,
    /// State of the one court that deals may name.
    pub court: Court,
}

impl Ledger {
    /// Applies a call at `now`, in Unix seconds, and returns the events.
    ///
    /// # Errors
    /// Returns a code and a reason if the contract refuses the call. The state then stays as it
    /// was.
    pub fn apply(
        &mut self,
        now: u64,
        sender: Address,
        act: &Act,
    ) -> Result<Vec<Said>, (String, String)> {
        let before = self.market.clone();
        let refused = |error: CourtError| match error {
            CourtError::Market(error) => (format!("{error:?}"), format!("{error}")),
            error => (format!("{error:?}"), format!("{error}")),
        };
        let mut said = Vec::new();
        match act {
            Act::Market(call) => {
                self.market.apply(now, sender, call).map_err(|error| refused(error.into()))?;
                self.market_says(&before, sender, call, &mut said);
            }
            Act::Court(call) => {
                let news = self
                    .court
                    .apply(&mut self.market, &Machine, now, sender, call)
                    .map_err(refused)?;
                for (deal, news) in news {
                    let (begun, ended) =
                        (news_begun(&news), matches!(news, GameNews::Ended { .. }));
                    let game = begun.or(news.game());
                    let heard = Some(requester::What::Game(news.clone()));
                    said.push(Said { deal, what: provider::What::Game(news), heard });
                    let Some(game) = game else { continue };
                    if begun.is_some() {
                        let deadline = self.market.case(deal, CaseId::Hold { game }).deadline;
                        let heard = Some(requester::What::Held { game, deadline });
                        said.push(Said {
                            deal,
                            what: opened(CaseId::Hold { game }, 0, deadline),
                            heard,
                        });
                    }
                    let case = |market: &Market| market.case(deal, CaseId::Hold { game }).status;
                    if ended && case(&before) != case(&self.market) {
                        said.push(case_ended(deal, CaseId::Hold { game }, 0));
                    }
                }
            }
        }
        self.closings(&before, act, &mut said);
        Ok(said)
    }

    /// Adds the events of the deals that the call closed.
    fn closings(&self, before: &Market, act: &Act, said: &mut Vec<Said>) {
        let deal = match act {
            Act::Market(
                Call::Redeem { deal, .. }
                | Call::Close { deal, .. }
                | Call::Settle { deal, .. }
                | Call::Expire { deal }
                | Call::Slash { deal, .. },
            )
            | Act::Court(
                CourtCall::Step { deal, .. }
                | CourtCall::Timeout { deal, .. }
                | CourtCall::Convict { deal, .. },
            ) => struct_hash(deal),
            _ => return,
        };
        let (was, is) = (before.deal_state(deal), self.market.deal_state(deal));
        if was.status == DealStatus::Open && is.status == DealStatus::Closed {
            let tx =
                requester::TxNote { kind: act.kind().into(), tx: B256::ZERO, gas: None, deals: 1 };
            let heard = Some(requester::What::Closed { paid: is.paid, tx });
            said.push(Said { deal, what: provider::What::Closed { paid: is.paid }, heard });
        }
    }

    /// Adds the events of a call of the market, derived from the state that it changed.
    fn market_says(&self, before: &Market, sender: Address, call: &Call, said: &mut Vec<Said>) {
        use requester::What as Heard;
        let market = &self.market;
        let state = |deal: DealId, case| {
            let state = market.case(deal, case);
            (state.seq, state.deadline)
        };
        let one = match call {
            Call::Open { ask, terms, .. } => {
                let Ok(deal) = Market::deal_terms(sender, ask, terms) else { return };
                Said {
                    deal: struct_hash(&deal),
                    what: provider::What::Opened(Box::new(deal)),
                    heard: None,
                }
            }
            Call::Redeem { deal, .. } => {
                let deal = struct_hash(deal);
                let state = market.deal_state(deal);
                let (paid, orders) = (state.paid, state.orders);
                let heard = Some(Heard::Redeemed { paid, orders });
                Said { deal, what: provider::What::Redeemed { paid, orders }, heard }
            }
            Call::Claim { deal, order, receipt, .. } => {
                let (deal, order, receipt) =
                    (struct_hash(deal), struct_hash(order), receipt.clone());
                let case = CaseId::Claim { order };
                let (seq, deadline) = state(deal, case);
                let heard = Some(Heard::Claimed { order, seq, deadline, receipt });
                Said { deal, what: opened(case, seq, deadline), heard }
            }
            Call::Late { deal, order, .. } => {
                let (deal, order) = (struct_hash(deal), struct_hash(order));
                let case = CaseId::Late { order };
                let (seq, deadline) = state(deal, case);
                let heard = Some(Heard::LateNoticed { order, seq, deadline });
                Said { deal, what: opened(case, seq, deadline), heard }
            }
            Call::Demand { deal, receipt, task, .. } => {
                let (deal, receipt, task) = (struct_hash(deal), struct_hash(receipt), *task);
                let case = CaseId::Demand { receipt, task };
                let (seq, deadline) = state(deal, case);
                let heard = Some(Heard::Demanded { receipt, task, seq, deadline });
                Said { deal, what: opened(case, seq, deadline), heard }
            }
            Call::Answer { deal, order, receipt, .. } => {
                let order = struct_hash(order);
                let heard = Some(Heard::Answered { order, receipt: receipt.clone() });
                Said { heard, ..case_ended(struct_hash(deal), CaseId::Late { order }, 0) }
            }
            Call::Excuse { deal, cancel, .. } => {
                case_ended(struct_hash(deal), CaseId::Late { order: cancel.order }, 0)
            }
            Call::Reveal { deal, receipt, reveal, .. } => {
                let (deal, task, halted) = (struct_hash(deal), reveal.task, reveal.halted);
                let until = market.case(deal, CaseId::Claim { order: receipt.order }).deadline;
                let receipt = struct_hash(receipt);
                let heard = Some(Heard::Revealed { receipt, task, halted, until });
                Said { heard, ..case_ended(deal, CaseId::Demand { receipt, task }, 0) }
            }
            Call::Settle { deal, case } => {
                let deal = struct_hash(deal);
                let paid = market.deal_state(deal).paid - before.deal_state(deal).paid;
                case_ended(deal, *case, paid)
            }
            _ => return,
        };
        said.push(one);
    }
}

fn news_begun(news: &GameNews) -> Option<GameId> {
    if let GameNews::Accused(view) = news { Some(struct_hash(&view.game)) } else { None }
}

fn opened(case: CaseId, seq: u64, deadline: u64) -> provider::What {
    provider::What::CaseOpened { case, seq, deadline }
}

fn case_ended(deal: DealId, case: CaseId, paid: u128) -> Said {
    let what = provider::What::CaseEnded { case, paid };
    Said { deal, what, heard: Some(requester::What::Ended { case, paid }) }
}
