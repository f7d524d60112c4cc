//! Chain events as facts, and calls as transactions.

use rialto_chain::{
    CaseOutcome, CourtCall, Games, LogMeta, MarketCall, MarketEvent, RevealArgs, SendError,
};
use rialto_protocol::{
    Bytes,
    case::CaseId,
    model::MAX_REVEAL_BYTES,
    receipt::{Halted, SumTree},
    types::{Deal, Order, Receipt},
};

use crate::core::{Call, Fact, LogId, Outcome, Results, What};

/// Where a log stands.
pub(crate) fn log_id(meta: &LogMeta) -> LogId {
    LogId { block: meta.block, index: meta.index, hash: meta.block_hash }
}

/// What an event says about a deal; `None` if nothing that a provider needs.
pub(crate) fn fact(meta: &LogMeta, event: &MarketEvent, games: &mut Games) -> Option<Fact> {
    if let Some((deal, news)) = games.news(event) {
        return Some(Fact { at: log_id(meta), deal, what: What::Game(news) });
    }
    let deal = event.deal()?;
    let opened =
        |case, seq: &u64, deadline: &u64| What::CaseOpened { case, seq: *seq, deadline: *deadline };
    let ended = |case, paid| What::CaseEnded { case, paid };
    let what = match event {
        MarketEvent::DealOpened { id, deal } => {
            games.add_deal(*id, deal);
            What::Opened(Box::new(deal.clone()))
        }
        MarketEvent::Redeemed { paid, orders, .. } => {
            What::Redeemed { paid: *paid, orders: *orders }
        }
        MarketEvent::DealClosed { paid, .. } => What::Closed { paid: *paid },
        MarketEvent::Claimed { order, seq, deadline, .. } => {
            opened(CaseId::Claim { order: *order }, seq, deadline)
        }
        MarketEvent::LateNoticed { order, seq, deadline, .. } => {
            opened(CaseId::Late { order: *order }, seq, deadline)
        }
        MarketEvent::Demanded { receipt, task, seq, deadline, .. } => {
            opened(CaseId::Demand { receipt: *receipt, task: *task }, seq, deadline)
        }
        MarketEvent::Held { game, deadline, .. } => {
            opened(CaseId::Hold { game: *game }, &0, deadline)
        }
        MarketEvent::Answered { order, .. } | MarketEvent::Excused { order, .. } => {
            ended(CaseId::Late { order: *order }, 0)
        }
        MarketEvent::Revealed { receipt, task, .. } => {
            ended(CaseId::Demand { receipt: *receipt, task: *task }, 0)
        }
        MarketEvent::Lifted { game, .. } => ended(CaseId::Hold { game: *game }, 0),
        MarketEvent::CaseSettled { case, outcome, amount, .. } => {
            let paid = if *outcome == CaseOutcome::Paid { *amount } else { 0 };
            ended(*case, paid)
        }
        MarketEvent::Deposited { .. }
        | MarketEvent::Withdrawn { .. }
        | MarketEvent::Allowed { .. }
        | MarketEvent::Transferred { .. }
        | MarketEvent::Announced { .. }
        | MarketEvent::AsksCancelled { .. }
        | MarketEvent::Court { .. } => return None,
    };
    Some(Fact { at: log_id(meta), deal, what })
}

/// The transaction of a call that needs nothing from the journal; a reveal does. An error without
/// one: there is nothing to send.
pub(crate) fn market_call(call: Call) -> Result<MarketCall, Option<Box<Reveal>>> {
    Ok(match call {
        Call::Redeem { deal, voucher } => {
            MarketCall::Redeem { deal: *deal, voucher: voucher.value, signature: voucher.signature }
        }
        Call::Claim { deal, order, receipt } => MarketCall::Claim {
            deal: *deal,
            order: order.value,
            signature: order.signature,
            receipt,
        },
        // We are the provider: it needs no signature.
        Call::Answer { deal, order, receipt } => {
            MarketCall::Answer { deal: *deal, order: *order, receipt, signature: Bytes::new() }
        }
        Call::Excuse { deal, cancel } => {
            MarketCall::Excuse { deal: *deal, cancel: cancel.value, signature: cancel.signature }
        }
        Call::Settle { deal, case } => MarketCall::Settle { deal: *deal, case },
        Call::Expire { deal } => MarketCall::Expire { deal: *deal },
        Call::Play { deal, order, view, answer } => {
            let court = deal.court;
            MarketCall::Court {
                court,
                call: CourtCall::answer(*deal, *order, &view, *answer).ok_or(None)?,
            }
        }
        Call::Timeout { deal, game } => {
            MarketCall::Court { court: deal.court, call: CourtCall::Timeout { deal, game } }
        }
        Call::Reveal { deal, order, receipt, task } => {
            return Err(Some(Box::new(Reveal { deal: *deal, order: *order, receipt, task })));
        }
    })
}

/// A reveal that still lacks the task's end, proof and output.
pub(crate) struct Reveal {
    pub deal: Deal,
    pub order: Order,
    pub receipt: Receipt,
    pub task: u32,
}

impl Reveal {
    /// Where its output is among all tasks' outputs: offset and size. What is too large for the
    /// chain is not shown.
    pub fn shown(&self, results: &Results) -> Option<(u64, usize)> {
        let (before, from) = results.halted.split_at_checked(self.task as usize)?;
        let size = from.first()?.out_len;
        let shown = if size > MAX_REVEAL_BYTES { 0 } else { usize::try_from(size).ok()? };
        Some((before.iter().map(|halted| halted.out_len).sum(), shown))
    }

    /// With what the journal holds, and the output that is shown. `None` if they don't fit the
    /// order.
    pub fn with(self, results: &Results, output: Bytes) -> Option<MarketCall> {
        self.over(&results.halted, output)
    }

    /// Like [`Reveal::with`], from the ends of all tasks.
    pub fn over(self, ends: &[Halted], output: Bytes) -> Option<MarketCall> {
        let Self { deal, order, receipt, task } = self;
        let limit = order.fuelLimit;
        let halted = *ends.get(task as usize)?;
        let proof = SumTree::over(ends, limit).proof(task)?;
        let fuel = halted.fuel_used(limit);
        Some(MarketCall::Reveal(Box::new(RevealArgs {
            deal,
            order,
            receipt,
            task,
            fuel,
            halted,
            proof,
            output,
        })))
    }
}

/// How a transaction that was not mined is to be taken. What the chain can't decide now is tried
/// again under the same intent; everything else needs a new one.
pub(crate) fn outcome_of(error: &SendError) -> Outcome {
    match error {
        SendError::Chain(_)
        | SendError::FeeAboveCap { .. }
        | SendError::NoGasMoney { .. }
        | SendError::Stuck { .. }
        | SendError::Stopped
        | SendError::Busy { .. } => Outcome::Unsent,
        _ => Outcome::Reverted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::{
        B256,
        receipt::{Status, SumNode, verify_leaf},
        wire::Payload,
    };
    use rialto_protocol::{DealId, OrderId};

    fn halted(out_len: u64) -> Halted {
        Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len,
            fuel_left: 1,
            digest: 0,
        }
    }

    #[test]
    fn a_reveal_shows_the_right_task() {
        let deal = Deal::default();
        let order = Order {
            deal: DealId::ZERO,
            seq: 0,
            program: B256::ZERO,
            inputs: B256::ZERO,
            tasks: 3,
            fuelLimit: 10,
            outLimit: 10,
            maxPages: 1,
            seed: 0,
            dueBy: 0,
        };
        let receipt = Receipt { order: OrderId::ZERO, root: B256::ZERO, fuel: 0, fee: 0 };
        let results = Results {
            halted: vec![halted(2), halted(3), halted(MAX_REVEAL_BYTES + 1)],
            outputs: Payload::Inline(Bytes::new()),
        };
        let root = SumTree::new(results.halted.iter().map(|h| (h.hash(), 9))).root();
        let reveal = |task| Reveal {
            deal: deal.clone(),
            order: order.clone(),
            receipt: receipt.clone(),
            task,
        };
        for (task, shown) in [(0, (0, 2)), (1, (2, 3)), (2, (5, 0))] {
            assert_eq!(reveal(task).shown(&results), Some(shown));
            let Some(MarketCall::Reveal(args)) =
                reveal(task).with(&results, Bytes::from_static(b"x"))
            else {
                panic!()
            };
            assert_eq!((args.output.as_ref(), args.fuel), (b"x".as_slice(), 9));
            let proof: Vec<SumNode> = args.proof;
            assert!(verify_leaf(root, 3, task, args.halted.hash(), args.fuel, &proof));
        }
        assert!(
            reveal(3).shown(&results).is_none() && reveal(3).with(&results, Bytes::new()).is_none()
        );
    }
}
