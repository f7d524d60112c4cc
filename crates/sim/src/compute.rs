//! The program that every simulated task runs: a pure function of input, random seed and fuel
//! limit. This module also divides a run into steps for the court, and falsifies results and steps.

use rialto_protocol::{
    B256, Bytes,
    court::{Answer, PARTS, Segment},
    keccak256,
    model::court::{Judge, JudgedTask},
    receipt::{Halted, Status, output_hash, task_seed},
    types::Order,
};

/// Fuel limit of the usual simulated task. Hostile orders may use another one.
pub const FUEL_LIMIT: u64 = 4_000_000_000;
/// Output limit of every simulated task, in bytes.
pub const OUT_LIMIT: u64 = 4096;
/// Size in bytes of a simulated task's input, which is its own root.
pub const INPUT_BYTES: usize = 32;
/// Most steps of a run. A dispute over it therefore begins at level 4.
pub const MOST_STEPS: u64 = 1 << 12;
/// Level at which a dispute over a run begins.
pub const LEVEL: u8 = 4;

/// Halted state and output of a task.
pub type Outcome = (Halted, Vec<u8>);

/// Runs a task. About one task in sixteen exhausts the usual fuel limit.
pub fn run_within(input: B256, seed: u64, fuel_limit: u64) -> Outcome {
    let hash = keccak256([input.as_slice(), &seed.to_be_bytes()].concat());
    let fuel = 200_000_000 + u64::from(u16::from_be_bytes([hash[0], hash[1]])) * 62_000;
    let halted = |status, exit_code, output: &[u8], fuel_left| Halted {
        status,
        exit_code,
        out_hash: output_hash(output),
        out_len: output.len() as u64,
        fuel_left,
        digest: 0,
    };
    if fuel > fuel_limit {
        return (halted(Status::Trap, 0, &[], -1), Vec::new());
    }
    let output = hash[..usize::from(hash[2]) % 33].repeat(usize::from(hash[3]) % 4);
    let left = i64::try_from(fuel_limit - fuel).unwrap_or(i64::MAX);
    (halted(Status::Finished, u32::from(hash[4] % 3), &output, left), output)
}

/// Runs a task with the usual fuel limit.
pub fn run(input: B256, seed: u64) -> Outcome {
    run_within(input, seed, FUEL_LIMIT)
}

/// Runs every task of an order. Returns the outcomes in order of the tasks.
pub fn run_order(inputs: &[B256], order: &Order) -> Vec<Outcome> {
    let run = |(index, input): (u32, &B256)| {
        run_within(*input, task_seed(order.seed, index), order.fuelLimit)
    };
    (0..).zip(inputs).map(run).collect()
}

/// Step-by-step trace of one task, as a player of a dispute computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    input: B256,
    seed: u64,
    fuel_limit: u64,
    end: B256,
    /// First step at which the trace is falsified, if it is.
    lies_from: u64,
}

impl Trace {
    /// Returns the correct trace of a task of an order.
    pub fn of(order: &Order, task: u32, input: B256) -> Self {
        Self::new(input, task_seed(order.seed, task), order.fuelLimit)
    }

    fn new(input: B256, seed: u64, fuel_limit: u64) -> Self {
        let end = run_within(input, seed, fuel_limit).0.hash();
        Self { input, seed, fuel_limit, end, lies_from: u64::MAX }
    }

    /// Falsifies the trace from step `from` on, so that it ends with the state hash `end`.
    pub fn lying(self, from: u64, end: B256) -> Self {
        Self { lies_from: from, end, ..self }
    }

    /// Returns whether the trace ends with this halted state.
    pub fn ends_as(&self, halted: &Halted) -> bool {
        self.end == halted.hash()
    }

    /// Returns the number of steps until the task has halted.
    fn steps(&self) -> u64 {
        1 + u64::from(u16::from_be_bytes([self.input[0], self.input[1]])) % (MOST_STEPS - 1)
    }

    /// Returns the hash of the state after `position` steps.
    pub fn hash_at(&self, position: u64) -> B256 {
        if position >= self.steps() {
            return self.end;
        }
        let lie = [u8::from(position >= self.lies_from)];
        let numbers = [self.seed, self.fuel_limit, position].map(u64::to_be_bytes).concat();
        keccak256([self.input.as_slice(), &numbers, &lie].concat())
    }

    /// Returns the state hashes after each sixteenth of the segment that begins at `position`.
    pub fn dissect(&self, position: u64, level: u8) -> [B256; PARTS] {
        std::array::from_fn(|part| self.hash_at(position + (part as u64 + 1) * span(level - 1)))
    }

    /// Returns the accuser's first segment.
    pub fn open(&self) -> [B256; PARTS] {
        self.dissect(0, LEVEL)
    }

    /// Returns the answer to a segment.
    pub fn answer(&self, position: u64, level: u8, segment: &Segment) -> Answer {
        let part = span(level - 1);
        if self.hash_at(position) != segment[0] {
            return Answer::Nothing;
        }
        let wrong =
            |pick: &u64| self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1];
        match (0..PARTS as u64).find(wrong) {
            None => Answer::Nothing,
            Some(pick) if level == 1 => {
                Answer::Step { pick: pick as u32, proof: self.prove(position + pick) }
            }
            Some(pick) => {
                let states = Box::new(self.dissect(position + pick * part, level - 1));
                Answer::Move { pick: pick as u32, states }
            }
        }
    }

    /// Returns the proof of the step at `position`.
    pub fn prove(&self, position: u64) -> Vec<u8> {
        let numbers = [self.seed, self.fuel_limit, position].map(u64::to_be_bytes).concat();
        [self.input.as_slice(), &numbers].concat()
    }
}

/// Returns the number of steps in a segment of this level.
fn span(level: u8) -> u64 {
    1 << (4 * level)
}

/// Returns the parts of the program and the input that a challenge reveals.
pub fn parts(input: B256) -> Bytes {
    Bytes::copy_from_slice(input.as_slice())
}

/// Verifier of single steps.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Judge for Machine {
    fn start(&self, task: &JudgedTask, parts: &[u8]) -> Option<(B256, u64)> {
        let trace = Trace::new(task.input, task.seed, task.fuel_limit);
        (parts == task.input.as_slice()).then(|| (trace.hash_at(0), MOST_STEPS))
    }

    fn step(&self, state: B256, proof: &[u8]) -> Option<B256> {
        let (input, numbers) = proof.split_at_checked(INPUT_BYTES)?;
        let number =
            |at: usize| Some(u64::from_be_bytes(numbers.get(8 * at..8 * at + 8)?.try_into().ok()?));
        let (seed, fuel_limit, position) = (number(0)?, number(1)?, number(2)?);
        let trace = Trace::new(B256::from_slice(input), seed, fuel_limit);
        (trace.hash_at(position) == state).then(|| trace.hash_at(position.saturating_add(1)))
    }
}

/// Way of falsifying results. Which tasks are falsified depends only on the order and the task, as
/// with the provider's own `Fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The output of every n-th task is replaced.
    Output(u64),
    /// Every n-th task is said to have used all of its fuel.
    Fuel(u64),
}

impl Lie {
    /// Falsifies the outcomes of an order. The same order always gets the same falsified outcomes.
    pub fn apply(self, seq: u64, outcomes: &mut [Outcome]) {
        let (Self::Output(every) | Self::Fuel(every)) = self;
        for (task, (halted, output)) in (0u64..).zip(outcomes) {
            if !(seq + task).is_multiple_of(every) {
                continue;
            }
            match self {
                Self::Output(_) => {
                    output.push(0x58);
                    (halted.out_hash, halted.out_len) = (output_hash(output), output.len() as u64);
                }
                Self::Fuel(_) => halted.fuel_left = halted.fuel_left.min(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::receipt::inputs_root;

    /// The honest side wins every dispute over a simulated task, whether it accuses or answers.
    #[test]
    fn games_over_simulated_tasks_end_at_the_step_that_is_wrong() {
        for seed in 0..40u64 {
            let input = keccak256(seed.to_be_bytes());
            let order = Order {
                seed,
                fuelLimit: FUEL_LIMIT,
                inputs: inputs_root(&[input]),
                ..Order::default()
            };
            let right = Trace::of(&order, 0, input);
            let wrong = right.lying(1 + seed * 97 % right.steps(), B256::repeat_byte(9));
            let join = |first: B256, states: [B256; PARTS]| -> Segment {
                std::array::from_fn(|at| if at == 0 { first } else { states[at - 1] })
            };
            let mut segment = join(right.hash_at(0), right.open());
            let (mut position, mut level) = (0, LEVEL);
            while level > 1 {
                let side = if level % 2 == 0 { &wrong } else { &right };
                let Answer::Move { pick, states } = side.answer(position, level, &segment) else {
                    panic!("{seed}")
                };
                level -= 1;
                position += u64::from(pick) * span(level);
                segment = join(segment[pick as usize], *states);
            }
            let Answer::Step { pick, proof } = right.answer(position, 1, &segment) else {
                panic!("{seed}")
            };
            let next = Machine.step(segment[pick as usize], &proof);
            assert_eq!(next, Some(right.hash_at(position + u64::from(pick) + 1)));
            assert_ne!(next, Some(segment[pick as usize + 1]), "{seed}");
            let honest = Machine.step(segment[0], &right.prove(position + 1));
            assert!(honest.is_none(), "a proof is of one state");
        }
    }
}
