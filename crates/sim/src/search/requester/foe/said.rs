//! What the provider under search says of an order: a receipt, true or false, and the tree under
//! it.

use super::*;

/// One receipt, correct or wrong, with the results under its root.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) receipt: Receipt,
    pub(super) halted: Vec<Halted>,
    pub(super) outputs: Vec<u8>,
    /// Hash of the halted state and fuel of every leaf, padding included.
    pub(super) ends: Vec<SumNode>,
}

/// Returns the halted state of a task that ran out of fuel, which has the highest fee.
fn dead() -> Halted {
    Halted {
        status: Status::Trap,
        exit_code: 0,
        out_hash: B256::ZERO,
        out_len: 0,
        fuel_left: -1,
        digest: 0,
    }
}

/// Makes a receipt of an order, correct or wrong depending on `how`.
pub(super) fn said(deal: &Deal, order: &Order, hash: OrderId, inputs: &[B256], how: u8) -> Said {
    let outcomes = compute::run_order(inputs, order);
    let mut halted: Vec<_> = outcomes.iter().map(|(halted, _)| *halted).collect();
    let mut outputs: Vec<u8> =
        outcomes.iter().flat_map(|(_, output)| output.iter().copied()).collect();
    match how % 8 {
        1 => (halted, outputs) = (vec![dead(); inputs.len()], Vec::new()),
        2 => halted[0].exit_code += 1,
        3 => {
            let last = halted.len() - 1;
            halted[last] = Halted { fuel_left: halted[last].fuel_left.min(1), ..halted[last] };
        }
        _ => {}
    }
    let mut ends: Vec<_> = halted
        .iter()
        .map(|end| SumNode { hash: end.hash(), fuel: end.fuel_used(order.fuelLimit).into() })
        .collect();
    ends.resize(ends.len().next_power_of_two(), SumNode::EMPTY);
    let mut more = 0;
    match how % 8 {
        4 => ends[0].fuel = order.fuelLimit.into(),
        5 => more = u128::from(order.fuelLimit),
        6 => {
            *ends.last_mut().expect("an order has tasks") =
                SumNode { hash: B256::repeat_byte(3), fuel: 1_000_000_000 }
        }
        _ => {}
    }
    let root = level(&ends, ends.len().ilog2())[0];
    let most = u128::from(order.fuelLimit) * u128::from(order.tasks);
    let fuel = (root.fuel + more).min(most);
    let fee = pricing::order_fee(deal, fuel, order.tasks).unwrap_or(0);
    Said { receipt: Receipt { order: hash, root: root.hash, fuel, fee }, halted, outputs, ends }
}

/// Returns the nodes of a receipt's tree at this height.
fn level(ends: &[SumNode], height: u32) -> Vec<SumNode> {
    let leaf = |end: &SumNode| {
        if *end == SumNode::EMPTY { *end } else { SumNode::leaf(end.hash, end.fuel as u64) }
    };
    let mut nodes: Vec<_> = ends.iter().map(leaf).collect();
    for _ in 0..height {
        nodes = nodes.chunks(2).filter_map(|pair| SumNode::parent(pair[0], pair[1])).collect();
    }
    nodes
}

impl Said {
    pub(super) fn unfold(&self, height: u8, place: u32) -> Option<Vec<SumNode>> {
        let levels = unfolded(height.into());
        let below = u32::from(height) - levels;
        let all = if below == 0 { self.ends.clone() } else { level(&self.ends, below) };
        let first = (place << levels) as usize;
        all.get(first..first + (1 << levels)).map(<[_]>::to_vec)
    }

    /// Returns the data that reveals a task on chain, if the receipt can be revealed.
    pub(super) fn reveal(&self, task: u32) -> Option<Reveal> {
        let at = task as usize;
        let halted = *self.halted.get(at)?;
        let siblings = (0..self.ends.len().ilog2()).map(|height| {
            let nodes = level(&self.ends, height);
            nodes[(at >> height) ^ 1]
        });
        let from: usize = self.halted[..at].iter().map(|halted| halted.out_len as usize).sum();
        let shown = if halted.out_len > MAX_REVEAL_BYTES { 0 } else { halted.out_len as usize };
        let output = self.outputs.get(from..from + shown)?.to_vec().into();
        let fuel = self.ends.get(at)?.fuel as u64;
        Some(Reveal { task, fuel, halted, proof: siblings.collect(), output })
    }
}
