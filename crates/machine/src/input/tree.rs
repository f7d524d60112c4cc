//! The keccak tree over a half, with fixed depth, raw 32-byte leaves, and zeros past the end.

use std::ops::Range;

use alloy_primitives::B256;
use rialto_protocol::receipt::node;
use rialto_protocol::tree::{join, roots};

use super::{HALF_DEPTH, Half, InputError};
use crate::tree::zero;

const DEPTH: usize = HALF_DEPTH as usize;
/// Depth of the blocks that [`open`] hashes at a time: 128 KiB.
const BLOCK_DEPTH: usize = 12;
const BLOCK_BYTES: usize = 32 << BLOCK_DEPTH;

/// Computes the root of a half from its bytes in order, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct HalfHasher {
    /// Complete left subtrees that wait for their right sibling, by depth.
    pending: [Option<B256>; DEPTH + 1],
    leaf: [u8; 32],
    /// Bytes hashed so far.
    len: u64,
}

impl HalfHasher {
    /// Appends bytes.
    ///
    /// # Panics
    /// If there are more than [`super::MAX_HALF_BYTES`] in all.
    pub fn update(&mut self, mut bytes: &[u8]) {
        assert!(
            self.len + bytes.len() as u64 <= super::MAX_HALF_BYTES,
            "a half holds at most 2 GiB"
        );
        while !bytes.is_empty() {
            let filled = (self.len % 32) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(32 - filled));
            self.leaf[filled..filled + now.len()].copy_from_slice(now);
            self.len += now.len() as u64;
            bytes = rest;
            if self.len.is_multiple_of(32) {
                self.push_leaf();
            }
        }
    }

    /// Appends zeros up to `len` bytes in all; does nothing if there are already as many.
    pub fn pad_to(&mut self, len: u64) {
        while self.len < len {
            self.update(&[0; 32][..(len - self.len).min(32) as usize]);
        }
    }

    /// Returns root and size of the half.
    pub fn finish(self) -> Half {
        Half { bytes: self.len, root: self.root() }
    }

    fn root(mut self) -> B256 {
        if !self.len.is_multiple_of(32) {
            self.push_leaf();
        }
        if let Some(full) = self.pending[DEPTH] {
            return full;
        }
        let mut root = B256::ZERO;
        for level in 0..DEPTH {
            root = match self.pending[level] {
                Some(left) => node(left, root),
                None => node(root, zero(level)),
            };
        }
        root
    }

    fn push_leaf(&mut self) {
        let mut hash = B256::from(std::mem::take(&mut self.leaf));
        let mut level = 0;
        while let Some(left) = self.pending[level].take() {
            hash = node(left, hash);
            level += 1;
        }
        self.pending[level] = Some(hash);
    }
}

/// A leaf of a half, with the siblings on its path to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Bytes of the leaf.
    pub leaf: B256,
    /// Siblings, from the leaf's own upwards.
    pub siblings: Vec<B256>,
}

/// Opens leaf `index` of a half. Takes the time of hashing the half, and memory for one block and
/// the roots of all blocks.
///
/// # Errors
/// [`InputError::NoSuchLeaf`] if the index or the half is too large.
pub fn open(bytes: &[u8], index: u64) -> Result<Opening, InputError> {
    if index >> HALF_DEPTH != 0 || bytes.len() as u64 > super::MAX_HALF_BYTES {
        return Err(InputError::NoSuchLeaf { index });
    }
    let (block, at) = (index as usize >> BLOCK_DEPTH, index as usize & ((1 << BLOCK_DEPTH) - 1));
    let blocks: Vec<&[u8]> = bytes.chunks(BLOCK_BYTES).collect();
    let leaves: Vec<B256> = blocks
        .get(block)
        .map_or_else(Vec::new, |block| block.chunks(32).map(B256::right_padding_from).collect());
    let leaf = leaves.get(at).copied().unwrap_or_default();
    let mut siblings = climb(leaves, at, 0..BLOCK_DEPTH);
    siblings.extend(climb(roots(BLOCK_DEPTH as u32, &blocks), block, BLOCK_DEPTH..DEPTH));
    Ok(Opening { leaf, siblings })
}

/// Returns the siblings on the path upwards from node `at` of a level, one for each height.
fn climb(mut level: Vec<B256>, mut at: usize, heights: Range<usize>) -> Vec<B256> {
    let up = heights.map(|height| {
        let or_zero = |node: Option<&B256>| node.copied().unwrap_or_else(|| zero(height));
        let sibling = or_zero(level.get(at ^ 1));
        level = join(level.chunks(2).map(|pair| (pair[0], or_zero(pair.get(1)))));
        at >>= 1;
        sibling
    });
    up.collect()
}

/// Returns whether an opening proves leaf `index` of the half with this root.
pub fn verify_opening(root: B256, index: u64, opening: &Opening) -> bool {
    let fold = |hash, (level, sibling): (usize, &B256)| {
        if index >> level & 1 == 0 { node(hash, *sibling) } else { node(*sibling, hash) }
    };
    index >> HALF_DEPTH == 0
        && opening.siblings.len() == DEPTH
        && opening.siblings.iter().enumerate().fold(opening.leaf, fold) == root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Computes the root by definition: hashes every level, padded with zero subtrees.
    fn naive(bytes: &[u8]) -> B256 {
        let mut level: Vec<B256> = bytes.chunks(32).map(B256::right_padding_from).collect();
        for level_zero in (0..DEPTH).map(zero) {
            if level.len() % 2 == 1 {
                level.push(level_zero);
            }
            level = level.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
            if level.is_empty() {
                level.push(node(level_zero, level_zero));
            }
        }
        level[0]
    }

    fn root(bytes: &[u8]) -> B256 {
        Half::of(bytes).root
    }

    #[test]
    fn empty_is_the_zero_tree() {
        assert_eq!(root(b""), zero(DEPTH));
        assert_eq!(root(&[0; 100]), zero(DEPTH));
    }

    #[test]
    fn a_half_of_many_blocks_opens_everywhere() {
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 77).map(|i| ((i * i) >> 3) as u8).collect();
        let (root, leaves) = (root(&bytes), bytes.len().div_ceil(32) as u64);
        assert_eq!(root, naive(&bytes));
        let block = 1 << BLOCK_DEPTH;
        for index in [
            0,
            block - 1,
            block,
            2 * block + 5,
            leaves - 1,
            leaves,
            5 * block,
            (1 << HALF_DEPTH) - 1,
        ] {
            let opening = open(&bytes, index).unwrap();
            let start = (index as usize * 32).min(bytes.len());
            assert_eq!(
                opening.leaf,
                B256::right_padding_from(&bytes[start..bytes.len().min(start + 32)])
            );
            assert!(verify_opening(root, index, &opening), "leaf {index}");
        }
        assert_eq!(
            open(&bytes, 1 << HALF_DEPTH),
            Err(InputError::NoSuchLeaf { index: 1 << HALF_DEPTH })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn roots_and_openings(bytes in proptest::collection::vec(any::<u8>(), 1..900), cut in any::<prop::sample::Index>(), index in 0u64..40) {
            let expected = naive(&bytes);
            prop_assert_eq!(root(&bytes), expected);
            let (left, right) = bytes.split_at(cut.index(bytes.len()));
            let mut hasher = HalfHasher::default();
            hasher.update(left);
            hasher.update(right);
            prop_assert_eq!(hasher.finish().root, expected);

            let opening = open(&bytes, index).unwrap();
            prop_assert!(verify_opening(expected, index, &opening));
            prop_assert!(!verify_opening(expected, index ^ 1, &opening) || bytes.len() as u64 <= index.min(index ^ 1) * 32);
            let mut forged = opening;
            forged.leaf.0[0] ^= 1;
            prop_assert!(!verify_opening(expected, index, &forged));
        }
    }
}
