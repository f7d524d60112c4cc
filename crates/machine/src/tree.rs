//! A keccak tree of fixed depth over leaves of 32 bytes, which can be updated in part. It keeps the
//! nodes of a prefix; everything past that is zero. The owner keeps the leaves, because memory,
//! stack and code already are leaves.

use alloy_primitives::B256;
use rialto_protocol::receipt::node;
use rialto_protocol::tree::join;
pub(crate) use rialto_protocol::tree::zero;

/// Returns the depth of the smallest tree with this many leaves.
pub(crate) fn depth_for(leaves: u64) -> u32 {
    leaves.max(1).next_power_of_two().ilog2()
}

/// Returns leaf `index` of some bytes, with zeros past the end.
pub(crate) fn leaf_of(bytes: &[u8], index: usize) -> B256 {
    let start = (index * 32).min(bytes.len());
    B256::right_padding_from(&bytes[start..bytes.len().min(start + 32)])
}

/// Nodes that are hashed in one call, in parallel lanes.
const SIDE_BY_SIDE: usize = 1024;

/// The inner nodes of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// `levels[k]` holds the nodes of height k + 1, from the left; the others are zero.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// Creates a tree whose leaves are all zero.
    pub fn new(depth: u32) -> Self {
        Self { levels: vec![Vec::new(); depth as usize] }
    }

    /// Creates a tree over the leaves `0..count`.
    pub fn over(depth: u32, count: usize, leaf: impl Fn(usize) -> B256) -> Self {
        let mut tree = Self::new(depth);
        tree.update(&[(0, count)], leaf);
        tree
    }

    pub fn root(&self, leaf: impl Fn(usize) -> B256) -> B256 {
        match self.levels.last() {
            Some(top) => top.first().copied().unwrap_or_else(|| zero(self.levels.len())),
            None => leaf(0),
        }
    }

    /// Updates the leaves that may have changed, given as ranges (first, past the last), sorted and
    /// disjoint.
    pub fn update(&mut self, changed: &[(usize, usize)], leaf: impl Fn(usize) -> B256) {
        let mut ranges: Vec<(usize, usize)> =
            changed.iter().copied().filter(|(first, end)| first < end).collect();
        for height in 0..self.levels.len() {
            let (below, here) = self.levels.split_at_mut(height);
            let below = below.last();
            let child = |at: usize| match below {
                None => leaf(at),
                Some(nodes) => nodes.get(at).copied().unwrap_or_else(|| zero(height)),
            };
            let here = &mut here[0];
            let mut done = 0;
            for (first, end) in &mut ranges {
                (*first, *end) = ((*first / 2).max(done), end.div_ceil(2));
                done = *end;
                if here.len() < *end {
                    here.resize(*end, zero(height + 1));
                }
                for start in (*first..*end).step_by(SIDE_BY_SIDE) {
                    let some = start..(start + SIDE_BY_SIDE).min(*end);
                    let nodes = join(some.clone().map(|at| (child(2 * at), child(2 * at + 1))));
                    here[some].copy_from_slice(&nodes);
                }
            }
            ranges.retain(|(first, end)| first < end);
        }
    }

    /// Returns the siblings of a leaf, from the bottom up.
    pub fn siblings(&self, index: usize, leaf: impl Fn(usize) -> B256) -> Vec<B256> {
        let mut at = index;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for height in 0..self.levels.len() {
            siblings.push(match height.checked_sub(1) {
                None => leaf(at ^ 1),
                Some(below) => {
                    self.levels[below].get(at ^ 1).copied().unwrap_or_else(|| zero(height))
                }
            });
            at /= 2;
        }
        siblings
    }
}

/// Returns the root over leaves in ranges (first, past the last), sorted and disjoint; all others
/// are zero. Unlike a [`Tree`] it takes memory only for the leaves in the ranges, wherever they
/// are.
pub(crate) fn sparse_root(
    depth: u32,
    ranges: &[(usize, usize)],
    leaf: impl Fn(usize) -> B256,
) -> B256 {
    let leaves = ranges.iter().flat_map(|(first, end)| *first..*end);
    let mut nodes: Vec<(usize, B256)> = leaves.map(|at| (at, leaf(at))).collect();
    for height in 0..depth as usize {
        let mut pairs = Vec::with_capacity(nodes.len());
        let mut rest = nodes.iter().peekable();
        while let Some((at, node)) = rest.next() {
            let pair = match rest.next_if(|(next, _)| at % 2 == 0 && *next == at + 1) {
                Some((_, right)) => (*node, *right),
                None if at % 2 == 0 => (*node, zero(height)),
                None => (zero(height), *node),
            };
            pairs.push((at / 2, pair));
        }
        nodes = Vec::with_capacity(pairs.len());
        for some in pairs.chunks(SIDE_BY_SIDE) {
            let joined = join(some.iter().map(|(_, pair)| *pair));
            nodes.extend(some.iter().map(|(at, _)| *at).zip(joined));
        }
    }
    nodes.first().map_or_else(|| zero(depth as usize), |(_, root)| *root)
}

/// Returns the root that follows from a leaf and its siblings.
pub(crate) fn fold(leaf: B256, index: u32, siblings: impl IntoIterator<Item = B256>) -> B256 {
    let mut at = index;
    siblings.into_iter().fold(leaf, |here, sibling| {
        let joined = if at & 1 == 0 { node(here, sibling) } else { node(sibling, here) };
        at >>= 1;
        joined
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn updates_give_the_tree_of_the_new_leaves(
            depth in 0u32..7,
            steps in proptest::collection::vec(proptest::collection::btree_map(0usize..64, any::<[u8; 32]>(), 1..9), 1..5),
        ) {
            let count = 1 << depth;
            let mut leaves = vec![B256::ZERO; count];
            let mut tree = Tree::new(depth);
            for step in steps {
                let changed: std::collections::BTreeMap<usize, [u8; 32]> = step.into_iter().map(|(at, leaf)| (at % count, leaf)).collect();
                let ranges: Vec<_> = changed.keys().map(|at| (*at, at + 1)).collect();
                changed.iter().for_each(|(at, leaf)| leaves[*at] = B256::from(*leaf));
                tree.update(&ranges, |at| leaves[at]);
                let mut level = leaves.clone();
                while level.len() > 1 {
                    level = level.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
                }
                prop_assert_eq!(tree.root(|at| leaves[at]), level[0]);
                let used: Vec<_> = (0..count).filter(|at| leaves[*at] != B256::ZERO).map(|at| (at, at + 1)).collect();
                prop_assert_eq!(sparse_root(depth, &used, |at| leaves[at]), level[0]);
                for at in 0..count {
                    let siblings = tree.siblings(at, |at| leaves[at]);
                    prop_assert_eq!(fold(leaves[at], at as u32, siblings), level[0]);
                }
            }
        }
    }
}
