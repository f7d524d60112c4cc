//! The end of a task, and the 32-byte commitment to the results of an order.
//!
//! The commitment is the root of a Merkle-sum tree: every node contains the fuel of the leaves
//! below it, so that one node proves a wrong total (`docs/protocol.md`, *Numbers*).

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{lanes::keccak_many, tree::joined};

/// Most tasks in one order: 2^16.
pub const MAX_ORDER_TASKS: u32 = 1 << 16;

/// Status of a halted task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    /// Returned from its entry point or called `exit`.
    Finished = 0,
    /// Trapped. If the fuel left is negative, it ran out of fuel; other reasons are not
    /// distinguished.
    Trap = 1,
}

/// The halted state of a task. A provider asserts it and a court can check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Halted {
    /// Finished or trapped.
    pub status: Status,
    /// Exit code; 0 if it trapped.
    pub exit_code: u32,
    /// Keccak chain over the output's 32-byte leaves ([`chain_output`]).
    pub out_hash: B256,
    /// Size of the output, bytes.
    pub out_len: u64,
    /// Fuel left; negative if it ran out.
    pub fuel_left: i64,
    /// Reserved system word; always 0 so far.
    pub digest: u64,
}

impl Halted {
    /// Size of [`Halted::encode`], bytes.
    pub const BYTES: usize = 61;

    /// Returns status u8 ‖ exitCode u32 ‖ outHash ‖ outLen u64 ‖ fuelLeft i64 ‖ digest u64,
    /// integers big-endian.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.status as u8;
        bytes[1..5].copy_from_slice(&self.exit_code.to_be_bytes());
        bytes[5..37].copy_from_slice(self.out_hash.as_slice());
        bytes[37..45].copy_from_slice(&self.out_len.to_be_bytes());
        bytes[45..53].copy_from_slice(&self.fuel_left.to_be_bytes());
        bytes[53..].copy_from_slice(&self.digest.to_be_bytes());
        bytes
    }

    /// Returns H(halted) = keccak("rialto-halt" ‖ [`Halted::encode`]).
    pub fn hash(&self) -> B256 {
        keccak256(self.tagged())
    }

    /// Returns H(halted) of each.
    pub fn hashes(all: &[Self]) -> Vec<B256> {
        keccak_many(&all.iter().map(Self::tagged).collect::<Vec<_>>())
    }

    fn tagged(&self) -> [u8; 11 + Self::BYTES] {
        let mut bytes = [0; 11 + Self::BYTES];
        bytes[..11].copy_from_slice(b"rialto-halt");
        bytes[11..].copy_from_slice(&self.encode());
        bytes
    }

    /// Returns the fuel used under a limit; the whole limit if it ran out.
    pub fn fuel_used(&self, fuel_limit: u64) -> u64 {
        fuel_limit - u64::try_from(self.fuel_left).unwrap_or(0).min(fuel_limit)
    }
}

/// Returns the next link of the output chain: keccak(outHash ‖ leaf). The chain starts at zero. The
/// last leaf of a stream is padded with zeros; `outLen` says how many of its bytes count.
pub fn chain_output(out_hash: B256, leaf: &[u8; 32]) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(out_hash.as_slice());
    bytes[32..].copy_from_slice(leaf);
    keccak256(bytes)
}

/// Returns the output hash of a whole stream.
pub fn output_hash(output: &[u8]) -> B256 {
    output.chunks(32).fold(B256::ZERO, |hash, chunk| {
        let mut leaf = [0u8; 32];
        leaf[..chunk.len()].copy_from_slice(chunk);
        chain_output(hash, &leaf)
    })
}

/// Returns the seed of task `index`: the first 8 bytes of keccak(order seed u64 ‖ index u32),
/// big-endian.
pub fn task_seed(order_seed: u64, index: u32) -> u64 {
    let mut bytes = [0u8; 12];
    bytes[..8].copy_from_slice(&order_seed.to_be_bytes());
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    u64::from_be_bytes(keccak256(bytes).0[..8].try_into().expect("a hash has 32 bytes"))
}

/// Returns node(l, r) = keccak(l ‖ r).
pub fn node(left: B256, right: B256) -> B256 {
    chain_output(left, &right.0)
}

/// Returns the root of a balanced keccak tree over the tasks' input roots, padded with zeros to a
/// power of two. For one task it is that task's input root.
///
/// # Panics
/// If `inputs` is empty.
pub fn inputs_root(inputs: &[B256]) -> B256 {
    assert!(!inputs.is_empty(), "an order has at least one task");
    let mut level = inputs.to_vec();
    level.resize(inputs.len().next_power_of_two(), B256::ZERO);
    while level.len() > 1 {
        let pairs: Vec<_> = level.chunks(2).map(|pair| joined(pair[0], pair[1])).collect();
        level = keccak_many(&pairs);
    }
    level[0]
}

/// Returns the siblings of a task's input root under [`inputs_root`], from the bottom up.
///
/// # Panics
/// If there is no such task.
pub fn inputs_proof(inputs: &[B256], index: u32) -> Vec<B256> {
    let (mut level, mut at) = (inputs.to_vec(), index as usize);
    assert!(at < level.len(), "there is no such task");
    level.resize(inputs.len().next_power_of_two(), B256::ZERO);
    let mut siblings = Vec::new();
    while level.len() > 1 {
        siblings.push(level[at ^ 1]);
        level = level.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
        at /= 2;
    }
    siblings
}

/// A node of the Merkle-sum tree: its hash and the fuel below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SumNode {
    /// Hash of the leaf or of the children.
    pub hash: B256,
    /// Sum of the fuel of all leaves below.
    pub fuel: u128,
}

impl SumNode {
    /// Padding, without a task and without fuel.
    pub const EMPTY: Self = Self { hash: B256::ZERO, fuel: 0 };

    /// Returns the leaf with the hash keccak(0x00 ‖ H(halted) ‖ fuel u128).
    pub fn leaf(halted: B256, fuel: u64) -> Self {
        Self { hash: keccak256(Self::leaf_bytes(halted, fuel)), fuel: fuel.into() }
    }

    fn leaf_bytes(halted: B256, fuel: u64) -> [u8; 49] {
        let mut bytes = [0u8; 49];
        bytes[1..33].copy_from_slice(halted.as_slice());
        bytes[33..].copy_from_slice(&u128::from(fuel).to_be_bytes());
        bytes
    }

    /// Returns the parent with the hash keccak(0x01 ‖ left hash ‖ left fuel u128 ‖ right hash ‖
    /// right fuel u128); `None` if the fuels overflow.
    pub fn parent(left: Self, right: Self) -> Option<Self> {
        let fuel = left.fuel.checked_add(right.fuel)?;
        Some(Self { hash: Self::parent_hash(left, right), fuel })
    }

    /// Returns the hash of a parent, even if the fuels overflow.
    pub fn parent_hash(left: Self, right: Self) -> B256 {
        keccak256(Self::parent_bytes(left, right))
    }

    /// Returns the root that follows from a node at `place` of its level and its `siblings`; `None`
    /// if the fuels overflow.
    pub fn lead(self, place: u32, siblings: &[Self]) -> Option<Self> {
        siblings.iter().enumerate().try_fold(self, |node, (up, sibling)| {
            if (place >> up) & 1 == 0 {
                Self::parent(node, *sibling)
            } else {
                Self::parent(*sibling, node)
            }
        })
    }

    fn parent_bytes(left: Self, right: Self) -> [u8; 97] {
        let mut bytes = [0u8; 97];
        bytes[0] = 1;
        bytes[1..33].copy_from_slice(left.hash.as_slice());
        bytes[33..49].copy_from_slice(&left.fuel.to_be_bytes());
        bytes[49..81].copy_from_slice(right.hash.as_slice());
        bytes[81..].copy_from_slice(&right.fuel.to_be_bytes());
        bytes
    }
}

/// Merkle-sum tree over an order's tasks, padded with [`SumNode::EMPTY`] to a power of two.
#[derive(Clone, Debug)]
pub struct SumTree {
    /// H(halted) and fuel of every task, padded with [`SumNode::EMPTY`]. A court is shown these
    /// instead of the leaves.
    ends: Vec<SumNode>,
    /// Levels of the tree, from the leaves up.
    levels: Vec<Vec<SumNode>>,
}

impl SumTree {
    /// Builds the tree over (H(halted), fuel used) per task.
    ///
    /// # Panics
    /// If there are no tasks, or more than [`MAX_ORDER_TASKS`].
    pub fn new(tasks: impl IntoIterator<Item = (B256, u64)>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        assert!(
            !tasks.is_empty() && tasks.len() <= MAX_ORDER_TASKS as usize,
            "task count out of range"
        );
        let bytes: Vec<_> =
            tasks.iter().map(|(halted, fuel)| SumNode::leaf_bytes(*halted, *fuel)).collect();
        let leaf = |(hash, (_, fuel)): (B256, &(B256, u64))| SumNode { hash, fuel: (*fuel).into() };
        let mut level: Vec<_> = keccak_many(&bytes).into_iter().zip(&tasks).map(leaf).collect();
        level.resize(level.len().next_power_of_two(), SumNode::EMPTY);
        let ends =
            tasks.iter().map(|(halted, fuel)| SumNode { hash: *halted, fuel: (*fuel).into() });
        let mut ends: Vec<_> = ends.collect();
        ends.resize(level.len(), SumNode::EMPTY);
        let mut levels = vec![level];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let bytes: Vec<_> =
                level.chunks(2).map(|pair| SumNode::parent_bytes(pair[0], pair[1])).collect();
            // No overflow: 2^16 tasks of 2^64 fuel fit in 2^128.
            let parent = |(hash, pair): (B256, &[SumNode])| SumNode {
                hash,
                fuel: pair[0].fuel + pair[1].fuel,
            };
            let parents =
                keccak_many(&bytes).into_iter().zip(level.chunks(2)).map(parent).collect();
            levels.push(parents);
        }
        Self { ends, levels }
    }

    /// Builds the tree over the results of an order's tasks.
    ///
    /// # Panics
    /// As [`SumTree::new`].
    pub fn over(results: &[Halted], fuel_limit: u64) -> Self {
        let fuels = results.iter().map(|halted| halted.fuel_used(fuel_limit));
        Self::new(Halted::hashes(results).into_iter().zip(fuels))
    }

    /// Returns the root, which is `receipt.root` and `receipt.fuel`.
    pub fn root(&self) -> SumNode {
        self.levels[self.levels.len() - 1][0]
    }

    /// Returns the number of levels, with those of the leaves and the root.
    pub fn height(&self) -> u32 {
        self.levels.len() as u32
    }

    /// Returns the number of nodes of a level; the leaves are level 0.
    pub fn width(&self, level: u32) -> u32 {
        self.levels.get(level as usize).map_or(0, Vec::len) as u32
    }

    /// Returns a node by its level and its place from the left.
    pub fn node(&self, level: u32, place: u32) -> Option<SumNode> {
        self.levels.get(level as usize)?.get(place as usize).copied()
    }

    /// Returns a node's children; `None` for a leaf.
    pub fn children(&self, level: u32, place: u32) -> Option<[SumNode; 2]> {
        let (below, left) = (level.checked_sub(1)?, place.checked_mul(2)?);
        Some([self.node(below, left)?, self.node(below, left + 1)?])
    }

    /// Returns the siblings of a node, from it up to the root; `None` if there is no such node.
    pub fn siblings(&self, level: u32, place: u32) -> Option<Vec<SumNode>> {
        self.node(level, place)?;
        let above = self.levels[level as usize..self.levels.len() - 1].iter().enumerate();
        Some(above.map(|(up, nodes)| nodes[(place as usize >> up) ^ 1]).collect())
    }

    /// Returns the nodes that a court wants to see below a node: those [`unfolded`] levels below
    /// it, from the left; for leaves, H(halted) and fuel. `None` if there is no such node.
    pub fn unfold(&self, height: u32, place: u32) -> Option<Vec<SumNode>> {
        self.node(height, place)?;
        let levels = unfolded(height);
        let below = if height == levels {
            &self.ends
        } else {
            self.levels.get((height - levels) as usize)?
        };
        below.get((place as usize) << levels..((place as usize) + 1) << levels).map(<[_]>::to_vec)
    }

    /// Returns the index of the first node that differs from this tree, among the nodes that the
    /// other side unfolded below a node.
    pub fn first_difference(&self, height: u32, place: u32, nodes: &[SumNode]) -> Option<u32> {
        let ours = self.unfold(height, place)?;
        ours.iter().zip(nodes).position(|(ours, theirs)| ours != theirs).map(|index| index as u32)
    }

    /// Returns the siblings of leaf `index`, from the bottom up; `None` if there is no such leaf.
    pub fn proof(&self, index: u32) -> Option<Vec<SumNode>> {
        self.siblings(0, index)
    }
}

/// Returns the number of levels that one answer in court opens below a node at this height: at most
/// four, which are 16 nodes (`ICourt.unfold`).
pub const fn unfolded(height: u32) -> u32 {
    if height < 4 { height } else { 4 }
}

/// Returns whether `siblings` lead from the leaf at `index` to `root`, in a tree over `tasks`
/// tasks.
pub fn verify_leaf(
    root: SumNode,
    tasks: u32,
    index: u32,
    halted: B256,
    fuel: u64,
    siblings: &[SumNode],
) -> bool {
    if index >= tasks
        || tasks > MAX_ORDER_TASKS
        || siblings.len() != tasks.next_power_of_two().ilog2() as usize
    {
        return false;
    }
    let mut at = index;
    let mut here = SumNode::leaf(halted, fuel);
    let mut empty = SumNode::EMPTY;
    for (level, sibling) in siblings.iter().enumerate() {
        // If the first leaf below the sibling is not a task, all leaves below it are padding.
        if u64::from(at ^ 1) << level >= u64::from(tasks) && *sibling != empty {
            return false;
        }
        let joined = if at & 1 == 0 {
            SumNode::parent(here, *sibling)
        } else {
            SumNode::parent(*sibling, here)
        };
        let Some(joined) = joined else { return false };
        here = joined;
        at /= 2;
        let Some(above) = SumNode::parent(empty, empty) else { return false };
        empty = above;
    }
    here == root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_leaf_proves_itself_and_nothing_else(fuels in proptest::collection::vec(any::<u64>(), 1..40), pick: u32, other: u64) {
            let leaves: Vec<_> = fuels.iter().enumerate().map(|(i, fuel)| (keccak256([i as u8]), *fuel)).collect();
            let tree = SumTree::new(leaves.iter().copied());
            let tasks = fuels.len() as u32;
            let index = pick % tasks;
            let proof = tree.proof(index).unwrap();
            let (halted, fuel) = leaves[index as usize];
            prop_assert_eq!(tree.root().fuel, fuels.iter().map(|f| u128::from(*f)).sum::<u128>());
            prop_assert!(verify_leaf(tree.root(), tasks, index, halted, fuel, &proof));
            prop_assert!(other == fuel || !verify_leaf(tree.root(), tasks, index, halted, other, &proof));
            prop_assert!(tasks == 1 || !verify_leaf(tree.root(), tasks, (index + 1) % tasks, halted, fuel, &proof));
        }
    }

    #[test]
    fn fuel_used_is_bounded_by_the_limit() {
        let halted = |fuel_left| Halted {
            status: Status::Trap,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len: 0,
            fuel_left,
            digest: 0,
        };
        assert_eq!(halted(-5).fuel_used(10), 10);
        assert_eq!(halted(0).fuel_used(10), 10);
        assert_eq!(halted(4).fuel_used(10), 6);
        assert_eq!(halted(40).fuel_used(10), 0);
    }
}
