//! The program that every simulated task runs: a pure function of input and random seed. And ways to lie about it.

use rialto_protocol::{
    B256, keccak256,
    receipt::{Halted, Status, output_hash, task_seed},
};

/// Fuel limit of every simulated task.
pub const FUEL_LIMIT: u64 = 4_000_000_000;
/// Output limit of every simulated task, bytes.
pub const OUT_LIMIT: u64 = 4096;
/// Bytes of a simulated task's input: its own root.
pub const INPUT_BYTES: usize = 32;

/// A task's end and its output.
pub type Outcome = (Halted, Vec<u8>);

/// Runs a task. About one in sixteen runs out of fuel.
pub fn run(input: B256, seed: u64) -> Outcome {
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
    if fuel > FUEL_LIMIT {
        return (halted(Status::Trap, 0, &[], -1), Vec::new());
    }
    let output = hash[..usize::from(hash[2]) % 33].repeat(usize::from(hash[3]) % 4);
    (halted(Status::Finished, u32::from(hash[4] % 3), &output, (FUEL_LIMIT - fuel) as i64), output)
}

/// Runs every task of an order.
pub fn run_order(inputs: &[B256], order_seed: u64) -> Vec<Outcome> {
    (0..).zip(inputs).map(|(index, input)| run(*input, task_seed(order_seed, index))).collect()
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
