//! Proofs that a signed receipt is wrong which need no run and no game: `ICourt.wrongSum` and
//! `ICourt.wrongFuel`.
//!
//! The ends of all tasks determine the receipt's tree. A receipt with another total can be the root
//! of many trees. [`FaultProof::find`] tries those in which a single node is wrong, as many as the
//! tree has nodes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::receipt::{Halted, SumNode, SumTree};

/// Fault of a receipt that a court can find without a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A sum of fuel is wrong, or padding has fuel.
    Sum,
    /// A task's fuel differs from that of its halted state.
    Fuel,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "fuel that does not add up",
            Self::Fuel => "other fuel for a task than it used",
        })
    }
}

/// Proof of a fault, for the court.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // fields are those of `ICourt.sol`
pub enum FaultProof {
    /// `node` is not the sum of its children, or is padding with fuel.
    Sum { node: SumNode, children: [SumNode; 2], place: u32, siblings: Vec<SumNode> },
    /// The leaf of `task` has `fuel`, which differs from the fuel that `halted` used.
    Fuel { task: u32, fuel: u64, halted: Halted, proof: Vec<SumNode> },
}

impl FaultProof {
    /// Finds the fault of a receipt with this root over tasks with these results. Returns `None` if
    /// it is right, or wrong in another way.
    pub fn find(signed: SumNode, results: &[Halted], fuel_limit: u64) -> Option<Self> {
        let tree = SumTree::over(results, fuel_limit);
        let right = tree.root();
        if signed.fuel == right.fuel {
            return None;
        }
        let lie = |node: SumNode| node.fuel.checked_add(signed.fuel)?.checked_sub(right.fuel);
        // From the root down, because the court accepts the topmost wrong sum only.
        (0..tree.height()).rev().find_map(|level| {
            (0..tree.width(level)).find_map(|place| {
                let node = tree.node(level, place)?;
                let siblings = tree.siblings(level, place)?;
                let fuel = lie(node)?;
                let leads = |node: SumNode| SumNode::lead(node, place, &siblings) == Some(signed);
                let padding = u64::from(place) << level >= results.len() as u64;
                if level > 0 || padding {
                    let node = SumNode { fuel, ..node };
                    let children =
                        if level > 0 { tree.children(level, place)? } else { [SumNode::EMPTY; 2] };
                    return leads(node).then(|| Self::Sum {
                        node,
                        children,
                        place,
                        siblings: siblings.clone(),
                    });
                }
                let (halted, fuel) = (*results.get(place as usize)?, u64::try_from(fuel).ok()?);
                leads(SumNode::leaf(halted.hash(), fuel)).then(|| Self::Fuel {
                    task: place,
                    fuel,
                    halted,
                    proof: siblings.clone(),
                })
            })
        })
    }

    /// Returns the kind of the fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Sum { .. } => Fault::Sum,
            Self::Fuel { .. } => Fault::Fuel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{Status, verify_leaf};
    use alloy_primitives::B256;

    const LIMIT: u64 = 1_000;

    fn results(tasks: u64) -> Vec<Halted> {
        let end = |task: u64| Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: B256::with_last_byte(task as u8),
            out_len: 0,
            fuel_left: (LIMIT - 10 - task) as i64,
            digest: 0,
        };
        (0..tasks).map(end).collect()
    }

    /// The root if one node has so much more fuel: a leaf in its hash as well.
    fn root_with(results: &[Halted], level: u32, place: u32, more: u64) -> SumNode {
        let tree = SumTree::over(results, LIMIT);
        let mut node = tree.node(level, place).unwrap();
        node.fuel += u128::from(more);
        if let (0, Some(halted)) = (level, results.get(place as usize)) {
            node = SumNode::leaf(halted.hash(), node.fuel as u64);
        }
        SumNode::lead(node, place, &tree.siblings(level, place).unwrap()).unwrap()
    }

    #[test]
    fn one_lie_is_found_wherever_it_stands() {
        for tasks in [1, 2, 3, 5, 8] {
            let results = results(tasks);
            let tree = SumTree::over(&results, LIMIT);
            assert_eq!(FaultProof::find(tree.root(), &results, LIMIT), None);
            for level in 0..tree.height() {
                for place in 0..tree.width(level) {
                    let signed = root_with(&results, level, place, 7);
                    match FaultProof::find(signed, &results, LIMIT).unwrap() {
                        FaultProof::Sum { node, children, place: at, siblings } => {
                            assert_eq!(
                                (at, siblings.len()),
                                (place, (tree.height() - 1 - level) as usize)
                            );
                            assert_eq!(SumNode::lead(node, at, &siblings), Some(signed));
                            let padding = u64::from(place) << level >= tasks;
                            let adds = SumNode::parent(children[0], children[1]).unwrap();
                            assert!(
                                padding || adds.hash == node.hash && adds.fuel + 7 == node.fuel
                            );
                        }
                        FaultProof::Fuel { task, fuel, halted, proof } => {
                            assert_eq!((level, task), (0, place));
                            assert_eq!(fuel, halted.fuel_used(LIMIT) + 7);
                            assert!(verify_leaf(
                                signed,
                                tasks as u32,
                                task,
                                halted.hash(),
                                fuel,
                                &proof
                            ));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_in_another_way_is_not_found() {
        let results = results(4);
        let root = SumTree::over(&results, LIMIT).root();
        let other = SumNode { hash: B256::repeat_byte(1), ..root };
        assert_eq!(FaultProof::find(other, &results, LIMIT), None);
        let unknown = SumNode { hash: B256::repeat_byte(1), fuel: root.fuel + 1 };
        assert_eq!(FaultProof::find(unknown, &results, LIMIT), None);
        let less = SumNode { fuel: 0, ..root };
        assert!(matches!(
            FaultProof::find(less, &results, LIMIT),
            Some(FaultProof::Sum { place: 0, .. })
        ));
        // The only node of an order of one task is its leaf, and says its fuel itself.
        let (one, lies) =
            (&results[..1], SumNode { fuel: 99, ..SumTree::over(&results[..1], LIMIT).root() });
        assert_eq!(FaultProof::find(lies, one, LIMIT), None);
    }
}
