//! Keccak trees of fixed depth over raw 32-byte leaves, with zeros past the end;
//! `rialto_machine::input` uses them for the halves of an input. This module computes many roots at
//! once, so that the small inputs of an order are hashed in parallel lanes.

use std::sync::OnceLock;

use alloy_primitives::B256;

use crate::{lanes::keccak_many, receipt::node};

/// Greatest depth of a tree.
const MAX_DEPTH: usize = 32;
/// Depth of the subtrees in which a large input is hashed, 128 KiB of input each.
const BLOCK_DEPTH: usize = 12;
/// Leaves that are hashed together: few enough that the nodes of a level stay in the processor's
/// cache.
const MAX_LEAVES: usize = 1 << BLOCK_DEPTH;
const LEAF_BYTES: usize = 32;

/// Returns the root of an all-zero subtree of each depth.
fn zeros() -> &'static [B256; MAX_DEPTH + 1] {
    static ZEROS: OnceLock<[B256; MAX_DEPTH + 1]> = OnceLock::new();
    ZEROS.get_or_init(|| {
        let mut zeros = [B256::ZERO; MAX_DEPTH + 1];
        for level in 0..MAX_DEPTH {
            zeros[level + 1] = node(zeros[level], zeros[level]);
        }
        zeros
    })
}

/// Returns the root of an all-zero tree of this depth: `Z0 = 0`, `Z(i+1) = node(Zi, Zi)`.
///
/// # Panics
/// If the depth is over 32.
pub fn zero(depth: usize) -> B256 {
    zeros()[depth]
}

/// Returns the roots of the trees of `depth` over these inputs.
///
/// # Panics
/// If an input has more than 2^`depth` leaves, or `depth` is over 32.
pub fn roots<T: AsRef<[u8]>>(depth: u32, inputs: &[T]) -> Vec<B256> {
    let depth = depth as usize;
    let mut roots = Vec::with_capacity(inputs.len());
    let mut row = Row::default();
    for input in inputs {
        let input = input.as_ref();
        let leaves = input.len().div_ceil(LEAF_BYTES);
        assert!(leaves as u64 <= 1 << depth, "more leaves than the tree has");
        if row.nodes.len() + leaves > MAX_LEAVES {
            roots.append(&mut std::mem::take(&mut row).raise(0, depth));
        }
        if leaves <= MAX_LEAVES {
            row.push(input.chunks(LEAF_BYTES).map(B256::right_padding_from));
        } else {
            roots.push(large(depth, input));
        }
    }
    roots.append(&mut row.raise(0, depth));
    roots
}

/// Returns node(left, right) of each pair.
pub fn join(pairs: impl IntoIterator<Item = (B256, B256)>) -> Vec<B256> {
    keccak_many(&pairs.into_iter().map(|(left, right)| joined(left, right)).collect::<Vec<_>>())
}

/// Returns the root over an input of many blocks, block by block.
fn large(depth: usize, input: &[u8]) -> B256 {
    let mut blocks = Row::default();
    blocks.push(input.chunks(LEAF_BYTES << BLOCK_DEPTH).flat_map(|block| {
        let mut row = Row::default();
        row.push(block.chunks(LEAF_BYTES).map(B256::right_padding_from));
        row.raise(0, BLOCK_DEPTH)
    }));
    blocks.raise(BLOCK_DEPTH, depth)[0]
}

/// The nodes of one level of several trees, one tree after the other.
#[derive(Default)]
struct Row {
    nodes: Vec<B256>,
    /// Number of nodes of each tree.
    counts: Vec<usize>,
}

impl Row {
    fn push(&mut self, nodes: impl Iterator<Item = B256>) {
        let before = self.nodes.len();
        self.nodes.extend(nodes);
        self.counts.push(self.nodes.len() - before);
    }

    /// Returns the roots, by hashing from one level up to another, at which each tree has one node.
    fn raise(mut self, from: usize, to: usize) -> Vec<B256> {
        let mut pairs = Vec::with_capacity(self.nodes.len());
        for zero in &zeros()[from..to] {
            pairs.clear();
            let mut rest = self.nodes.as_slice();
            for count in &mut self.counts {
                let (own, others) = rest.split_at(*count);
                pairs.extend(
                    own.chunks(2)
                        .map(|pair| joined(pair[0], pair.get(1).copied().unwrap_or(*zero))),
                );
                (rest, *count) = (others, count.div_ceil(2));
            }
            self.nodes = keccak_many(&pairs);
        }
        let mut nodes = self.nodes.into_iter();
        let root = |count| {
            if count == 0 {
                zeros()[to]
            } else {
                nodes.next().expect("one node is left of each tree")
            }
        };
        self.counts.into_iter().map(root).collect()
    }
}

/// Returns the preimage of node(l, r).
pub(crate) fn joined(left: B256, right: B256) -> [u8; 2 * LEAF_BYTES] {
    let mut bytes = [0; 2 * LEAF_BYTES];
    bytes[..LEAF_BYTES].copy_from_slice(left.as_slice());
    bytes[LEAF_BYTES..].copy_from_slice(right.as_slice());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition.
    fn slow(depth: usize, input: &[u8]) -> B256 {
        let mut level: Vec<_> = input.chunks(LEAF_BYTES).map(B256::right_padding_from).collect();
        for zero in &zeros()[..depth] {
            level = level
                .chunks(2)
                .map(|pair| node(pair[0], pair.get(1).copied().unwrap_or(*zero)))
                .collect();
        }
        level.first().copied().unwrap_or(zeros()[depth])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn many_trees_are_as_one(inputs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let expected: Vec<_> = inputs.iter().map(|input| slow(26, input)).collect();
            prop_assert_eq!(roots(26, &inputs), expected);
        }
    }

    #[test]
    fn large_inputs_are_hashed_in_blocks() {
        let block = LEAF_BYTES << BLOCK_DEPTH;
        for bytes in [block - 1, block, block + 1, 3 * block, 3 * block + 77] {
            let input: Vec<u8> = (0..bytes).map(|i| ((i * i) >> 3) as u8).collect();
            let inputs = [b"small".as_slice(), &input, b"", b"another"];
            assert_eq!(roots(26, &inputs), inputs.map(|input| slow(26, input)), "{bytes}");
        }
        assert_eq!(roots(26, &[[0u8; 0]; 0]), Vec::<B256>::new());
        assert_eq!(roots(0, &[[7u8; 32]]), [B256::repeat_byte(7)]);
    }
}
