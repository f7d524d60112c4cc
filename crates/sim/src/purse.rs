//! The part of a requester's service that needs no clock: the conversion of calls to transactions,
//! and the traces of its own tasks.

use rialto_protocol::{
    B256, Bytes,
    model::{
        Call as MarketCall, Terms,
        court::{CourtCall, Rules},
    },
    receipt::inputs_proof,
};
use rialto_requester::core::{
    Accusable, Accusables, Call, Conviction, FirstSegment, Trace as Question, Traced, Transacted,
};

use crate::{
    compute::{self, Trace},
    desk::turn,
    ledger::Act,
};

/// Returns the sum of the bonds of all possible accusations, base units.
pub fn bonds(rules: &Rules, accusables: &Accusables) -> u128 {
    let bond = |(one, count): (&Accusable, &u32)| {
        rules.bond_for(one.fuel_limit).unwrap_or(u128::MAX).saturating_mul((*count).into())
    };
    accusables.iter().map(bond).fold(0, u128::saturating_add)
}

/// Checks that an account with the balance `holds` can pay `takes` for a call and still keep
/// `bonds`. If the balance does not even cover the call, the market refuses it instead.
pub fn keeps(holds: u128, takes: u128, bonds: u128) -> Result<(), Transacted> {
    let short = takes > 0 && holds >= takes && holds < takes.saturating_add(bonds);
    if short { Err(Transacted::Short { holds, takes, bonds }) } else { Ok(()) }
}

/// Converts a call of the core to the calls of one transaction, or returns `None` if it needs none.
pub fn acts(call: Call) -> Option<Vec<Act>> {
    let market = |call| Some(vec![Act::Market(call)]);
    let court = |call| Some(vec![Act::Court(call)]);
    match call {
        Call::Open(terms) => {
            let open = |it: rialto_requester::core::Terms| {
                let terms = Terms {
                    key: it.deal.requesterKey,
                    budget: it.deal.budget,
                    opened_at: it.deal.openedAt,
                    duration: it.seconds(),
                    max_price: it.max_price,
                    salt: it.deal.salt,
                };
                let (ask, signature) = (it.offer.ask.value, it.offer.ask.signature);
                Act::Market(MarketCall::Open { ask, signature, terms })
            };
            Some(terms.into_iter().map(open).collect())
        }
        Call::Close { deal, release } => {
            market(MarketCall::Close { deal, release: release.value, signature: release.signature })
        }
        Call::Expire { deal } => market(MarketCall::Expire { deal }),
        Call::Late { deal, order, ack } => {
            market(MarketCall::Late { deal, order, ack: ack.value, signature: ack.signature })
        }
        // The provider has claimed this receipt on chain, so the market does not check its
        // signature.
        Call::Demand { deal, order, receipt, task } => {
            market(MarketCall::Demand { deal, order, receipt, signature: Bytes::new(), task })
        }
        Call::Settle { deal, case } => market(MarketCall::Settle { deal, case }),
        Call::Accuse(accusation) => {
            let (receipt, signature) = (accusation.receipt.value, accusation.receipt.signature);
            court(CourtCall::Accuse {
                deal: accusation.deal,
                order: accusation.order,
                receipt,
                signature,
            })
        }
        Call::Play { deal, order, view, answer } => court(turn(deal, *order, &view, *answer)?),
        Call::Timeout { deal, game } => court(CourtCall::Timeout { deal, game: *game }),
        Call::Convict(conviction) => {
            let Conviction { deal, order, receipt, proof } = *conviction;
            court(CourtCall::Convict {
                deal,
                order,
                receipt: receipt.value,
                signature: receipt.signature,
                proof,
            })
        }
    }
}

/// Returns what the trace of a task finds. `inputs` are the inputs of its order.
pub fn traced(question: &Question, inputs: &[B256]) -> Option<Traced> {
    let input = *inputs.get(question.task as usize)?;
    let trace = Trace::of(&question.order, question.task, input);
    Some(match &question.segment {
        Some((level, position, segment)) => {
            Traced::Answer(trace.answer(*position, *level, segment))
        }
        None => Traced::First(Box::new(FirstSegment {
            input,
            input_proof: inputs_proof(inputs, question.task),
            parts: compute::parts(input),
            states: Box::new(trace.open()),
        })),
    })
}
