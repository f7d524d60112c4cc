//! The part of a provider's service that needs no clock: its disk, and the conversion of calls to
//! transactions with data that only the disk has.

use std::collections::BTreeMap;

use rialto_protocol::{
    B256, Bytes, OrderId,
    court::{Answer, GameView, Question},
    model::{Call as MarketCall, MAX_REVEAL_BYTES, Reveal, court::CourtCall},
    receipt::{SumTree, inputs_root},
    types::{Deal, Order, Receipt},
    wire::{BlobRef, Payload},
};
use rialto_provider::core::{Call, Record, Results, journal::Key};

use crate::{
    compute::{self, INPUT_BYTES, Trace},
    ledger::Act,
};

/// Disk of one provider.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    rows: BTreeMap<Key, Vec<u8>>,
    /// Outputs that are sent as blobs.
    pub blobs: BTreeMap<BlobRef, Bytes>,
}

impl Desk {
    /// Writes a row. Returns the bytes that were written.
    pub fn write(&mut self, record: &Record) -> Vec<u8> {
        let mut written = Vec::new();
        for (key, value) in record.writes() {
            match value {
                Some(value) => {
                    written.extend_from_slice(&value);
                    self.rows.insert(key, value);
                }
                None => drop(self.rows.remove(&key)),
            }
        }
        written
    }

    /// Returns the rows that a core is restored from.
    pub fn rows(&self) -> Vec<Record> {
        let rows = self.rows.range(..Key::bulk()).map(|(_, bytes)| Record::read(bytes));
        rows.map(|row| row.expect("what was written can be read")).collect()
    }

    fn read(&self, key: &Key) -> Option<Record> {
        self.rows.get(key).map(|bytes| Record::read(bytes).expect("what was written can be read"))
    }

    /// Returns the results of an order, if it has run.
    pub fn results(&self, order: OrderId) -> Option<Results> {
        match self.read(&Key::results(order)) {
            Some(Record::Results(_, results)) => Some(results),
            _ => None,
        }
    }

    /// Returns the inputs of an order, if they match its signed root.
    pub fn inputs(&self, order: &Order, hash: OrderId) -> Option<Vec<B256>> {
        let Some(Record::Inputs(_, Payload::Inline(bytes))) = self.read(&Key::inputs(hash)) else {
            return None;
        };
        let inputs: Vec<_> = bytes.chunks_exact(INPUT_BYTES).map(B256::from_slice).collect();
        (inputs.len() == order.tasks as usize && inputs_root(&inputs) == order.inputs)
            .then_some(inputs)
    }

    fn outputs(&self, results: &Results) -> Option<Bytes> {
        match &results.outputs {
            Payload::Inline(bytes) => Some(bytes.clone()),
            Payload::Blob(blob) => self.blobs.get(blob).cloned(),
        }
    }

    /// Returns the data that reveals a task on chain.
    pub fn reveal(&self, order: &Order, receipt: &Receipt, task: u32) -> Option<Reveal> {
        let results = self.results(receipt.order)?;
        let outputs = self.outputs(&results)?;
        let at = task as usize;
        let halted = *results.halted.get(at)?;
        let proof = SumTree::over(&results.halted, order.fuelLimit).proof(task)?;
        let from = results.halted[..at].iter().map(|h| h.out_len as usize).sum::<usize>();
        let shown = if halted.out_len > MAX_REVEAL_BYTES { 0 } else { halted.out_len as usize };
        let output = Bytes::copy_from_slice(outputs.get(from..from + shown)?);
        Some(Reveal { task, fuel: halted.fuel_used(order.fuelLimit), halted, proof, output })
    }

    /// Returns the provider's answer in a dispute. It comes from the signed results or, for a task
    /// that the provider ran, from a trace.
    pub fn answer(&self, order: &Order, view: &GameView) -> Option<Answer> {
        let results = self.results(view.receipt.order)?;
        match &view.question {
            Question::Node { height, place } => {
                let tree = SumTree::over(&results.halted, order.fuelLimit);
                Some(Answer::Unfold { nodes: tree.unfold((*height).into(), *place)? })
            }
            Question::Nodes { .. } => None,
            Question::Run { task, level, position, segment, .. } => {
                let inputs = self.inputs(order, view.receipt.order)?;
                let (right, said) = (
                    Trace::of(order, *task, *inputs.get(*task as usize)?),
                    results.halted.get(*task as usize)?,
                );
                // A provider that signed a wrong result defends it to the end.
                let trace = if right.ends_as(said) { right } else { right.lying(1, said.hash()) };
                Some(trace.answer(*position, *level, segment))
            }
        }
    }

    /// Returns the fuel that a task of an order used. Tracing takes time in proportion to it.
    pub fn fuel(&self, order: &Order, hash: OrderId, task: u32) -> u64 {
        let results = self.results(hash);
        let halted = results.and_then(|results| results.halted.get(task as usize).copied());
        halted.map_or(order.fuelLimit, |halted| halted.fuel_used(order.fuelLimit))
    }

    /// Converts a call of the core to a transaction, or returns `None` if the disk lacks data for
    /// it.
    pub fn act(&self, call: Call) -> Option<Act> {
        Some(Act::Market(match call {
            Call::Redeem { deal, voucher } => MarketCall::Redeem {
                deal: *deal,
                voucher: voucher.value,
                signature: voucher.signature,
            },
            Call::Claim { deal, order, receipt } => MarketCall::Claim {
                deal: *deal,
                order: order.value,
                signature: order.signature,
                receipt,
            },
            Call::Answer { deal, order, receipt } => {
                MarketCall::Answer { deal: *deal, order: *order, receipt, signature: Bytes::new() }
            }
            Call::Excuse { deal, cancel } => MarketCall::Excuse {
                deal: *deal,
                cancel: cancel.value,
                signature: cancel.signature,
            },
            Call::Settle { deal, case } => MarketCall::Settle { deal: *deal, case },
            Call::Expire { deal } => MarketCall::Expire { deal: *deal },
            Call::Reveal { deal, order, receipt, task } => {
                let reveal = self.reveal(&order, &receipt, task)?;
                MarketCall::Reveal { deal: *deal, order: *order, receipt, reveal }
            }
            Call::Play { deal, order, view, answer } => {
                return turn(*deal, *order, &view, *answer).map(Act::Court);
            }
            Call::Timeout { deal, game } => {
                return Some(Act::Court(CourtCall::Timeout { deal: *deal, game: *game }));
            }
        }))
    }
}

/// Converts a side's answer in a dispute to a call, or returns `None` if the answer does not fit
/// the question.
pub fn turn(deal: Deal, order: Order, view: &GameView, answer: Answer) -> Option<CourtCall> {
    let game = view.game.clone();
    Some(match (&view.question, answer) {
        (Question::Node { .. }, Answer::Unfold { nodes }) => {
            CourtCall::Unfold { game, order, nodes }
        }
        (Question::Nodes { nodes, .. }, Answer::Pick { index }) => {
            CourtCall::Pick { game, nodes: nodes.clone(), index }
        }
        (Question::Nodes { nodes, .. }, Answer::Challenge(challenge)) => {
            CourtCall::Challenge { game, order, nodes: nodes.clone(), challenge: *challenge }
        }
        (Question::Nodes { nodes, .. }, Answer::Contradict { index, halted }) => {
            CourtCall::Contradict { deal, game, order, nodes: nodes.clone(), index, halted }
        }
        (Question::Run { segment, .. }, Answer::Move { pick, states }) => CourtCall::Move {
            game,
            part: pick,
            segment: segment.clone(),
            states,
            signature: Bytes::new(),
        },
        (Question::Run { segment, .. }, Answer::Step { pick, proof }) => CourtCall::Step {
            deal,
            game,
            part: pick,
            segment: segment.clone(),
            proof: proof.into(),
        },
        _ => return None,
    })
}

/// Converts the outcomes of an order to results.
pub fn results(outcomes: &[compute::Outcome], outputs: Payload) -> Results {
    Results { halted: outcomes.iter().map(|(halted, _)| *halted).collect(), outputs }
}
