//! The program that every simulated task runs: a pure function of input, random seed and fuel limit. What its run looks like in
//! steps, for the court; and ways to lie about either.

use rialto_protocol::{
    B256, Bytes,
    court::{Answer, PARTS, Segment},
    keccak256,
    model::court::{Judge, JudgedTask},
    receipt::{Halted, Status, output_hash, task_seed},
    types::Order,
};

/// Fuel limit of every simulated task, but where somebody means mischief.
pub const FUEL_LIMIT: u64 = 4_000_000_000;
/// Output limit of every simulated task, bytes.
pub const OUT_LIMIT: u64 = 4096;
/// Bytes of a simulated task's input: its own root.
pub const INPUT_BYTES: usize = 32;
/// Most steps of a run: games over it begin at level 4.
pub const MOST_STEPS: u64 = 1 << 12;
/// Level that a game over a run begins at.
pub const LEVEL: u8 = 4;

/// A task's end and its output.
pub type Outcome = (Halted, Vec<u8>);

/// Runs a task. About one in sixteen runs out of the usual fuel.
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

/// Runs a task under the usual limit.
pub fn run(input: B256, seed: u64) -> Outcome {
    run_within(input, seed, FUEL_LIMIT)
}

/// Runs every task of an order.
pub fn run_order(inputs: &[B256], order: &Order) -> Vec<Outcome> {
    let run = |(index, input): (u32, &B256)| run_within(*input, task_seed(order.seed, index), order.fuelLimit);
    (0..).zip(inputs).map(run).collect()
}

/// A task, as whoever plays over it looks at its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    input: B256,
    seed: u64,
    fuel_limit: u64,
    end: B256,
    /// From this step on it says something else.
    lies_from: u64,
}

impl Trace {
    /// The run of a task of an order.
    pub fn of(order: &Order, task: u32, input: B256) -> Self {
        Self::new(input, task_seed(order.seed, task), order.fuelLimit)
    }

    fn new(input: B256, seed: u64, fuel_limit: u64) -> Self {
        let end = run_within(input, seed, fuel_limit).0.hash();
        Self { input, seed, fuel_limit, end, lies_from: u64::MAX }
    }

    /// Tells the truth up to a step, and from there on that it ends so.
    pub fn lying(self, from: u64, end: B256) -> Self {
        Self { lies_from: from, end, ..self }
    }

    /// Whether this is how it ends.
    pub fn ends_as(&self, halted: &Halted) -> bool {
        self.end == halted.hash()
    }

    /// Steps until it has halted.
    fn steps(&self) -> u64 {
        1 + u64::from(u16::from_be_bytes([self.input[0], self.input[1]])) % (MOST_STEPS - 1)
    }

    /// Hash of the state after so many steps.
    pub fn hash_at(&self, position: u64) -> B256 {
        if position >= self.steps() {
            return self.end;
        }
        let lie = [u8::from(position >= self.lies_from)];
        let numbers = [self.seed, self.fuel_limit, position].map(u64::to_be_bytes).concat();
        keccak256([self.input.as_slice(), &numbers, &lie].concat())
    }

    /// State hashes after each sixteenth of the segment that begins at `position`.
    pub fn dissect(&self, position: u64, level: u8) -> [B256; PARTS] {
        std::array::from_fn(|part| self.hash_at(position + (part as u64 + 1) * span(level - 1)))
    }

    /// An accuser's first segment.
    pub fn open(&self) -> [B256; PARTS] {
        self.dissect(0, LEVEL)
    }

    /// The answer to a segment.
    pub fn answer(&self, position: u64, level: u8, segment: &Segment) -> Answer {
        let part = span(level - 1);
        if self.hash_at(position) != segment[0] {
            return Answer::Nothing;
        }
        let wrong = |pick: &u64| self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1];
        match (0..PARTS as u64).find(wrong) {
            None => Answer::Nothing,
            Some(pick) if level == 1 => Answer::Step { pick: pick as u32, proof: self.prove(position + pick) },
            Some(pick) => {
                let states = Box::new(self.dissect(position + pick * part, level - 1));
                Answer::Move { pick: pick as u32, states }
            }
        }
    }

    /// The proof of a step.
    pub fn prove(&self, position: u64) -> Vec<u8> {
        let numbers = [self.seed, self.fuel_limit, position].map(u64::to_be_bytes).concat();
        [self.input.as_slice(), &numbers].concat()
    }
}

/// Steps of a segment of this level.
fn span(level: u8) -> u64 {
    1 << (4 * level)
}

/// What a challenge shows of program and input.
pub fn parts(input: B256) -> Bytes {
    Bytes::copy_from_slice(input.as_slice())
}

/// Judge of single steps.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Judge for Machine {
    fn start(&self, task: &JudgedTask, parts: &[u8]) -> Option<(B256, u64)> {
        let trace = Trace::new(task.input, task.seed, task.fuel_limit);
        (parts == task.input.as_slice()).then(|| (trace.hash_at(0), MOST_STEPS))
    }

    fn step(&self, state: B256, proof: &[u8]) -> Option<B256> {
        let (input, numbers) = proof.split_at_checked(INPUT_BYTES)?;
        let number = |at: usize| Some(u64::from_be_bytes(numbers.get(8 * at..8 * at + 8)?.try_into().ok()?));
        let (seed, fuel_limit, position) = (number(0)?, number(1)?, number(2)?);
        let trace = Trace::new(B256::from_slice(input), seed, fuel_limit);
        (trace.hash_at(position) == state).then(|| trace.hash_at(position.saturating_add(1)))
    }
}

/// How a cheater falsifies results. Which ones depends on order and task alone, as in the provider's own `Fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every so many tasks, the output is another one.
    Output(u64),
    /// Every so many tasks, all the fuel is said to be used.
    Fuel(u64),
}

impl Lie {
    /// Falsifies an order's outcomes, consistently.
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

    /// Whoever tells the truth wins a game over a simulated task, whichever side it is on.
    #[test]
    fn games_over_simulated_tasks_end_at_the_step_that_is_wrong() {
        for seed in 0..40u64 {
            let input = keccak256(seed.to_be_bytes());
            let order = Order { seed, fuelLimit: FUEL_LIMIT, inputs: inputs_root(&[input]), ..Order::default() };
            let right = Trace::of(&order, 0, input);
            let wrong = right.lying(1 + seed * 97 % right.steps(), B256::repeat_byte(9));
            let join = |first: B256, states: [B256; PARTS]| -> Segment {
                std::array::from_fn(|at| if at == 0 { first } else { states[at - 1] })
            };
            let mut segment = join(right.hash_at(0), right.open());
            let (mut position, mut level) = (0, LEVEL);
            while level > 1 {
                let side = if level % 2 == 0 { &wrong } else { &right };
                let Answer::Move { pick, states } = side.answer(position, level, &segment) else { panic!("{seed}") };
                level -= 1;
                position += u64::from(pick) * span(level);
                segment = join(segment[pick as usize], *states);
            }
            let Answer::Step { pick, proof } = right.answer(position, 1, &segment) else { panic!("{seed}") };
            let next = Machine.step(segment[pick as usize], &proof);
            assert_eq!(next, Some(right.hash_at(position + u64::from(pick) + 1)));
            assert_ne!(next, Some(segment[pick as usize + 1]), "{seed}");
            let honest = Machine.step(segment[0], &right.prove(position + 1));
            assert!(honest.is_none(), "a proof is of one state");
        }
    }
}
