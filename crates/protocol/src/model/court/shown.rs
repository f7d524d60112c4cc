//! Checks of the data that a call shows to the court, and the 32-byte commitments to the subject of
//! a dispute.

use alloy_primitives::{Address, B256, U256, keccak256};

use super::{CourtError, GameState};
use crate::{
    court::{Challenge, PARTS, Segment},
    fault::FaultProof,
    ids::DealId,
    model::{Market, ModelError},
    receipt::{MAX_ORDER_TASKS, SumNode, node, verify_leaf},
    signing::recover,
    types::{Deal, Game, Order, Receipt, struct_hash},
};

/// Checks that a receipt binds the provider and belongs to an order of the deal. Returns the deal's
/// id.
pub(super) fn check(
    market: &Market,
    deal: &Deal,
    order: &Order,
    receipt: &Receipt,
    signature: &[u8],
) -> Result<DealId, CourtError> {
    let id = struct_hash(deal);
    if order.deal != id {
        return Err(ModelError::WrongDeal.into());
    }
    if order.tasks == 0 || order.tasks > MAX_ORDER_TASKS {
        return Err(ModelError::TasksOutOfRange.into());
    }
    let order_hash = struct_hash(order);
    if receipt.order != order_hash {
        return Err(ModelError::WrongOrder.into());
    }
    if market.asserted(order_hash) != Some(struct_hash(receipt)) {
        market.check_signature(receipt, signature, deal.providerKey)?;
    }
    Ok(id)
}

pub(super) fn verify(signer: Address, digest: B256, signature: &[u8]) -> Result<(), CourtError> {
    if recover(digest, signature) == Some(signer) {
        Ok(())
    } else {
        Err(ModelError::InvalidSignature.into())
    }
}

/// Checks a proof that needs no game: the topmost wrong sum, or a leaf's wrong fuel.
pub(super) fn convicting(
    order: &Order,
    receipt: &Receipt,
    proof: &FaultProof,
) -> Result<(), CourtError> {
    let root = SumNode { hash: receipt.root, fuel: receipt.fuel };
    match proof {
        FaultProof::Sum { node, children: [left, right], place, siblings } => {
            let depth = usize::from(height_of(order.tasks));
            let placed = siblings.len() <= depth && u64::from(*place) >> siblings.len() == 0;
            if !placed || node.lead(*place, siblings) != Some(root) {
                return Err(ModelError::NotInReceipt.into());
            }
            let height = depth - siblings.len();
            let padding = u64::from(*place) << height >= u64::from(order.tasks);
            if padding && (node.fuel != 0 || node.hash != empty_hash(height)) {
                return Ok(());
            }
            let sum = U256::from(left.fuel) + U256::from(right.fuel);
            let wrong = height > 0
                && sum != U256::from(node.fuel)
                && SumNode::parent_hash(*left, *right) == node.hash;
            if wrong { Ok(()) } else { Err(CourtError::SumIsRight) }
        }
        FaultProof::Fuel { task, fuel, halted, proof } => {
            if !verify_leaf(root, order.tasks, *task, halted.hash(), *fuel, proof) {
                return Err(ModelError::NotInReceipt.into());
            }
            if *fuel == halted.fuel_used(order.fuelLimit) {
                Err(CourtError::FuelIsRight)
            } else {
                Ok(())
            }
        }
    }
}

pub(super) fn ordered(game: &Game, order: &Order) -> Result<(), CourtError> {
    if struct_hash(order) == game.order { Ok(()) } else { Err(ModelError::WrongOrder.into()) }
}

/// Checks that the nodes are those that were shown, and that the index is one of them.
pub(super) fn check_nodes(
    state: &GameState,
    nodes: &[SumNode],
    index: u32,
) -> Result<(), CourtError> {
    if hash_of_nodes(nodes) != state.segment {
        return Err(CourtError::WrongSegment);
    }
    if index as usize >= nodes.len() { Err(CourtError::NoSuchPart) } else { Ok(()) }
}

pub(super) fn check_segment(
    state: &GameState,
    segment: &Segment,
    part: u32,
) -> Result<(), CourtError> {
    if hash_of_segment(segment) != state.segment {
        return Err(CourtError::WrongSegment);
    }
    if part as usize >= PARTS { Err(CourtError::NoSuchPart) } else { Ok(()) }
}

pub(super) fn seconds_left(state: &GameState, now: u64) -> Result<u32, CourtError> {
    match state.deadline().checked_sub(now) {
        None | Some(0) => Err(ModelError::TooLate.into()),
        Some(left) => Ok(left as u32),
    }
}

/// Checks that the input root is that of the task in the order.
pub(super) fn check_input(order: &Order, task: u32, it: &Challenge) -> Result<(), CourtError> {
    let top = it.input_proof.iter().enumerate().fold(it.input, |below, (level, sibling)| {
        if (task >> level) & 1 == 0 { node(below, *sibling) } else { node(*sibling, below) }
    });
    let fits = it.input_proof.len() == usize::from(height_of(order.tasks)) && top == order.inputs;
    if fits { Ok(()) } else { Err(CourtError::NotInOrder) }
}

/// Returns the leaves of the receipt's tree from H(halted) and fuel.
pub(super) fn hash_leaves(
    order: &Order,
    first: u32,
    nodes: &[SumNode],
) -> Result<Vec<SumNode>, CourtError> {
    let leaf = |(task, node): (u32, &SumNode)| {
        if task >= order.tasks {
            return (*node == SumNode::EMPTY).then_some(*node);
        }
        let fuel = u64::try_from(node.fuel).ok().filter(|fuel| *fuel <= order.fuelLimit)?;
        Some(SumNode::leaf(node.hash, fuel))
    };
    let leaves: Option<Vec<_>> = (first..).zip(nodes).map(leaf).collect();
    leaves.ok_or_else(|| ModelError::NotInReceipt.into())
}

pub(super) fn fold(mut nodes: Vec<SumNode>) -> Option<SumNode> {
    while nodes.len() > 1 {
        nodes =
            nodes.chunks(2).map(|pair| SumNode::parent(pair[0], pair[1])).collect::<Option<_>>()?;
    }
    nodes.first().copied()
}

pub(super) fn empty_hash(height: usize) -> B256 {
    (0..height).fold(B256::ZERO, |hash, _| {
        let empty = SumNode { hash, fuel: 0 };
        SumNode::parent_hash(empty, empty)
    })
}

/// Returns the number of levels of a receipt's tree above its leaves.
pub(super) fn height_of(tasks: u32) -> u8 {
    tasks.max(1).next_power_of_two().ilog2() as u8
}

/// Returns the number of steps of a segment of this level.
pub(super) fn span(level: u8) -> u64 {
    1 << (4 * level)
}

pub(super) fn join(first: B256, states: &[B256; PARTS]) -> Segment {
    std::array::from_fn(|at| if at == 0 { first } else { states[at - 1] })
}

/// Returns the keccak hash of a segment's 17 state hashes, as a `Move` contains it.
pub(super) fn hash_of_segment(segment: &Segment) -> B256 {
    keccak256(segment.concat())
}

/// Returns `keccak256(abi.encode(node))`.
pub(super) fn hash_of_node(it: &SumNode) -> B256 {
    keccak256(words(it))
}

/// Returns `keccak256(abi.encode(nodes))`.
pub(super) fn hash_of_nodes(nodes: &[SumNode]) -> B256 {
    let word = |number: usize| U256::from(number).to_be_bytes::<32>();
    let mut bytes = [word(32), word(nodes.len())].concat();
    bytes.extend(nodes.iter().flat_map(words));
    keccak256(bytes)
}

pub(super) fn words(it: &SumNode) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(it.hash.as_slice());
    bytes[48..].copy_from_slice(&it.fuel.to_be_bytes());
    bytes
}
