//! Cheating, for demonstrations and tests: results that are consistent in themselves and wrong, and promises that are not kept.

use rialto_exec::Outcome;
use rialto_protocol::{
    B256, Bytes,
    receipt::{Halted, Status, output_hash},
    types::Receipt,
    wire::Payload,
};

use crate::core::{Call, Effect, Results};

/// How a provider cheats. Which tasks are falsified depends on the order's number and the task's index alone; running a task
/// again to check it is honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every so many tasks, the last byte of the output is another one.
    CorruptOutput {
        /// 1: all tasks.
        every: u32,
    },
    /// Every so many tasks, the fuel is twice what was used (at most the limit).
    OverstateFuel {
        /// 1: all tasks.
        every: u32,
    },
    /// Results are right, and every receipt's total is more than they add up to.
    OverstateTotal,
    /// It runs and claims what it ran, and shows the results to nobody: neither its requester nor the chain.
    Withhold,
    /// It promises every order at once, without looking at it, and runs none.
    Promise,
    /// It runs nothing, says that every task ran out of fuel, which is the dearest that there is, and claims that on chain. It
    /// delivers nothing.
    Invent,
}

impl Fault {
    /// Whether a cheat leaves undone what its core wants.
    pub(crate) fn omits(self, effect: &Effect) -> bool {
        match self {
            Self::Withhold => {
                matches!(effect, Effect::SendReceipt { .. } | Effect::Transact { call: Call::Reveal { .. }, .. })
            }
            Self::Promise => matches!(effect, Effect::Fetch(_) | Effect::Run(_)),
            Self::Invent => matches!(effect, Effect::SendReceipt { .. }),
            Self::CorruptOutput { .. } | Self::OverstateFuel { .. } | Self::OverstateTotal => false,
        }
    }

    fn hits(self, seq: u64, task: u32) -> bool {
        let every = match self {
            Self::CorruptOutput { every } | Self::OverstateFuel { every } => every,
            Self::OverstateTotal | Self::Withhold | Self::Promise | Self::Invent => return false,
        };
        seq.wrapping_add(task.into()).is_multiple_of(every.max(1).into())
    }

    /// Falsifies a receipt before it is signed.
    pub(crate) fn apply_to_receipt(self, receipt: &mut Receipt) {
        if self == Self::OverstateTotal {
            receipt.fuel = receipt.fuel.saturating_mul(2);
        }
    }

    /// Falsifies the outcome of an order's task, if it is one of those.
    pub(crate) fn apply(self, seq: u64, task: u32, fuel_limit: u64, outcome: &mut Outcome) {
        if self.hits(seq, task) {
            self.falsify(fuel_limit, outcome);
        }
    }

    /// What it says of tasks that it never ran.
    pub(crate) fn invented(self, tasks: u32) -> Option<Results> {
        let halted =
            Halted { status: Status::Trap, exit_code: 0, out_hash: B256::ZERO, out_len: 0, fuel_left: -1, digest: 0 };
        (self == Self::Invent)
            .then(|| Results { halted: vec![halted; tasks as usize], outputs: Payload::Inline(Bytes::new()) })
    }

    fn falsify(self, fuel_limit: u64, outcome: &mut Outcome) {
        let halted = &mut outcome.halted;
        match self {
            Self::CorruptOutput { .. } => {
                let mut output = outcome.output.to_vec();
                match output.last_mut() {
                    Some(last) => *last ^= 0xff,
                    None => halted.exit_code ^= 1,
                }
                halted.out_hash = output_hash(&output);
                outcome.output = Bytes::from(output).into();
            }
            Self::OverstateFuel { .. } => {
                let used = halted.fuel_used(fuel_limit).saturating_mul(2).min(fuel_limit);
                halted.fuel_left = i64::try_from(fuel_limit - used).unwrap_or(i64::MAX);
            }
            Self::OverstateTotal | Self::Withhold | Self::Promise | Self::Invent => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::{DealId, OrderId};

    #[test]
    fn lies_are_consistent_and_deterministic() {
        let output = b"hello".to_vec();
        let honest = Outcome {
            halted: Halted {
                status: Status::Finished,
                exit_code: 0,
                out_hash: output_hash(&output),
                out_len: 5,
                fuel_left: 70,
                digest: 0,
            },
            output: output.into(),
            memory_bytes: 0,
        };
        let mut all = vec![honest.clone(); 7];
        for (task, outcome) in (0..).zip(&mut all) {
            Fault::CorruptOutput { every: 3 }.apply(1, task, 100, outcome);
        }
        let wrong: Vec<_> = (0..7).filter(|i| all[*i] != honest).collect();
        assert_eq!(wrong, [2, 5]);
        assert_eq!(all[2].halted.out_hash, output_hash(&all[2].output));
        assert_ne!(all[2].halted.out_hash, B256::ZERO);
        let mut one = honest.clone();
        Fault::OverstateFuel { every: 1 }.apply(9, 0, 100, &mut one);
        assert_eq!((one.halted.fuel_used(100), one.output), (60, honest.output));
    }

    #[test]
    fn cheats_omit_what_they_cheat_about_and_do_the_rest() {
        let hangup = Effect::Hangup { session: 1 };
        let receipt = Receipt { order: OrderId::ZERO, root: B256::ZERO, fuel: 1, fee: 1 };
        let shown = Effect::SendReceipt { session: 1, deal: DealId::ZERO, receipt };
        for fault in [Fault::Withhold, Fault::Promise, Fault::Invent, Fault::CorruptOutput { every: 1 }] {
            assert!(!fault.omits(&hangup));
            assert_eq!(fault.omits(&shown), matches!(fault, Fault::Withhold | Fault::Invent));
            assert_eq!(fault.invented(3).is_some(), fault == Fault::Invent);
        }
        let invented = Fault::Invent.invented(3).map(|results| results.halted).unwrap_or_default();
        assert!(invented.len() == 3 && invented.iter().all(|halted| halted.fuel_used(100) == 100));
    }
}
