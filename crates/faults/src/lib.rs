//! Providers that misbehave, for demonstrations and tests: results that are consistent in
//! themselves and wrong, and promises that are not kept. A [`Fault`] is a shell around an honest
//! provider.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

use rialto_exec::Outcome;
use rialto_protocol::{
    B256, Bytes,
    receipt::{Halted, Status, output_hash},
    types::{Order, Receipt},
    wire::Payload,
};

use rialto_provider::{
    Conduct, Shell,
    core::{Call, Effect, Event, Results},
};

/// How a provider cheats. Which tasks are falsified depends on the order's number and the task's
/// index alone; running a task again to check it is honest.
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
    /// It runs and claims what it ran, and shows the results to nobody: neither its requester nor
    /// the chain.
    Withhold,
    /// It promises every order at once, without looking at it, and runs none.
    Promise,
    /// It runs nothing, says that every task ran out of fuel, which is the dearest that there is,
    /// and claims that on chain. It delivers nothing.
    Invent,
}

impl Shell for Fault {
    fn effect(&self, effect: Effect) -> Conduct {
        match (self, effect) {
            (Self::Withhold | Self::Invent, Effect::SendReceipt { .. })
            | (Self::Withhold, Effect::Transact { call: Call::Reveal { .. }, .. })
            | (Self::Promise, Effect::Run(_)) => Conduct::Nothing,
            // The core takes the fetch for done, and waits for everything else.
            (Self::Promise, Effect::Fetch(work)) => {
                Conduct::Says(Event::Fetched { order: work.hash, result: Ok(()) })
            }
            (_, effect) => Conduct::Perform(effect),
        }
    }

    /// What it says of tasks that it never ran.
    fn results(&self, order: &Order) -> Option<Results> {
        let halted = Halted {
            status: Status::Trap,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len: 0,
            fuel_left: -1,
            digest: 0,
        };
        (*self == Self::Invent).then(|| Results {
            halted: vec![halted; order.tasks as usize],
            outputs: Payload::Inline(Bytes::new()),
        })
    }

    fn outcome(&self, order: &Order, task: u32, mut outcome: Outcome) -> Outcome {
        if self.hits(order.seq, task) {
            self.falsify(order.fuelLimit, &mut outcome);
        }
        outcome
    }

    fn receipt(&self, mut receipt: Receipt) -> Receipt {
        if *self == Self::OverstateTotal {
            receipt.fuel = receipt.fuel.saturating_mul(2);
        }
        receipt
    }

    /// It stands by what it said.
    fn stands_by(&self, said: &Halted) -> Option<Halted> {
        Some(*said)
    }
}

impl Fault {
    fn hits(self, seq: u64, task: u32) -> bool {
        let every = match self {
            Self::CorruptOutput { every } | Self::OverstateFuel { every } => every,
            Self::OverstateTotal | Self::Withhold | Self::Promise | Self::Invent => return false,
        };
        seq.wrapping_add(task.into()).is_multiple_of(every.max(1).into())
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

    fn order(seq: u64) -> Order {
        Order { seq, tasks: 3, fuelLimit: 100, ..Order::default() }
    }

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
            *outcome = Fault::CorruptOutput { every: 3 }.outcome(&order(1), task, outcome.clone());
        }
        let wrong: Vec<_> = (0..7).filter(|i| all[*i] != honest).collect();
        assert_eq!(wrong, [2, 5]);
        assert_eq!(all[2].halted.out_hash, output_hash(&all[2].output));
        assert_ne!(all[2].halted.out_hash, B256::ZERO);
        let one = Fault::OverstateFuel { every: 1 }.outcome(&order(9), 0, honest.clone());
        assert_eq!((one.halted.fuel_used(100), one.output), (60, honest.output));
    }

    #[test]
    fn cheats_omit_what_they_cheat_about_and_do_the_rest() {
        let performed = |done: Conduct| matches!(done, Conduct::Perform(_));
        let receipt = Receipt { fuel: 1, ..Receipt::default() };
        let shown = || Effect::SendReceipt {
            session: 1,
            deal: Default::default(),
            receipt: receipt.clone(),
        };
        for fault in
            [Fault::Withhold, Fault::Promise, Fault::Invent, Fault::CorruptOutput { every: 1 }]
        {
            assert!(performed(fault.effect(Effect::Hangup { session: 1 })));
            let omits = matches!(fault, Fault::Withhold | Fault::Invent);
            assert_eq!(performed(fault.effect(shown())), !omits);
            assert_eq!(fault.results(&order(0)).is_some(), fault == Fault::Invent);
            assert_eq!(fault.receipt(receipt.clone()), receipt);
        }
        assert_eq!(Fault::OverstateTotal.receipt(receipt).fuel, 2);
        let invented =
            Fault::Invent.results(&order(0)).map(|results| results.halted).unwrap_or_default();
        assert!(invented.len() == 3 && invented.iter().all(|halted| halted.fuel_used(100) == 100));
    }
}
