//! Verification: is a receipt what it says, do replicas agree, who is wrong. Pure.

use std::collections::BTreeMap;

use rialto_protocol::{
    B256, OrderId,
    fault::FaultProof,
    pricing::order_fee,
    receipt::{Halted, MAX_ORDER_TASKS, SumNode, SumTree, chain_output},
    types::{Deal, Order, Receipt},
};

/// Why a signed receipt is worthless. It contradicts itself or its order, so whoever signed it is
/// at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum ReceiptFault {
    /// Not one result per task.
    #[error("[R-VER-001] {got} results for {tasks} tasks")]
    Count { got: usize, tasks: u32 },
    /// The root is not the tree's over the results.
    #[error("[R-VER-002] the receipt's root is not the results' root")]
    Root,
    /// The sum is wrong.
    #[error("[R-VER-003] the receipt says {said} fuel, the results add up to {sum}")]
    Fuel { said: u128, sum: u128 },
    /// The fee is not what price and fuel make.
    #[error("[R-VER-004] the receipt asks {said}, price and fuel make {fee}")]
    Fee { said: u128, fee: u128 },
    /// A result over the order's limits.
    #[error("[R-VER-005] task {task} is over the order's limits")]
    Limits { task: u32 },
    /// The outputs do not hash to what the results say.
    #[error("[R-VER-006] the output of task {task} is not what its result says")]
    Output { task: u32 },
    /// Not signed by the provider.
    #[error("[R-VER-007] not signed by the provider")]
    Signature,
}

/// A [`ReceiptFault`], without the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as those
pub enum FaultKind {
    Count,
    Root,
    Fuel,
    Fee,
    Limits,
    Output,
    Signature,
}

impl FaultKind {
    const ALL: [Self; 7] = [
        Self::Count,
        Self::Root,
        Self::Fuel,
        Self::Fee,
        Self::Limits,
        Self::Output,
        Self::Signature,
    ];

    /// The kind of this code.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Count => "R-VER-001",
            Self::Root => "R-VER-002",
            Self::Fuel => "R-VER-003",
            Self::Fee => "R-VER-004",
            Self::Limits => "R-VER-005",
            Self::Output => "R-VER-006",
            Self::Signature => "R-VER-007",
        }
    }
}

impl ReceiptFault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Count { .. } => FaultKind::Count,
            Self::Root => FaultKind::Root,
            Self::Fuel { .. } => FaultKind::Fuel,
            Self::Fee { .. } => FaultKind::Fee,
            Self::Limits { .. } => FaultKind::Limits,
            Self::Output { .. } => FaultKind::Output,
            Self::Signature => FaultKind::Signature,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }
}

/// Checks everything about a receipt that arithmetic can check.
pub fn check_receipt(
    deal: &Deal,
    order: &Order,
    receipt: &Receipt,
    results: &[Halted],
) -> Result<(), ReceiptFault> {
    if results.len() != order.tasks as usize || results.is_empty() {
        return Err(ReceiptFault::Count { got: results.len(), tasks: order.tasks });
    }
    let over = |halted: &Halted| {
        halted.out_len > order.outLimit
            || i64::try_from(order.fuelLimit).is_ok_and(|limit| halted.fuel_left > limit)
    };
    if let Some(task) = results.iter().position(over) {
        return Err(ReceiptFault::Limits { task: task as u32 });
    }
    let root = SumTree::over(results, order.fuelLimit).root();
    if root.hash != receipt.root {
        return Err(ReceiptFault::Root);
    }
    if root.fuel != receipt.fuel {
        return Err(ReceiptFault::Fuel { said: receipt.fuel, sum: root.fuel });
    }
    match order_fee(deal, receipt.fuel, order.tasks) {
        Some(fee) if fee == receipt.fee => Ok(()),
        fee => Err(ReceiptFault::Fee { said: receipt.fee, fee: fee.unwrap_or(u128::MAX) }),
    }
}

/// What shows the court that a receipt contradicts the ends of its tasks; none if it does not, or
/// not in a way that can be shown.
pub fn fault_proof(order: &Order, receipt: &Receipt, results: &[Halted]) -> Option<FaultProof> {
    let whole = results.len() == order.tasks as usize
        && !results.is_empty()
        && order.tasks <= MAX_ORDER_TASKS;
    let root = SumNode { hash: receipt.root, fuel: receipt.fuel };
    whole.then(|| FaultProof::find(root, results, order.fuelLimit)).flatten()
}

/// Most that an order can cost, base units.
pub fn worst_fee(deal: &Deal, fuel_limit: u64, tasks: u32) -> u128 {
    order_fee(deal, u128::from(fuel_limit) * u128::from(tasks), tasks).unwrap_or(u128::MAX)
}

/// What the replicas of a batch add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// No conflict, but fewer votes than the policy demands.
    Wait,
    /// Votes conflict on these tasks; this machine can find out.
    Judge(Vec<u32>),
    /// Votes conflict on these tasks; another provider has to break the tie.
    TieBreak(Vec<u32>),
    /// These voters are wrong, on these tasks. Without them, compare again.
    Wrong(Vec<(OrderId, Vec<(u32, Halted)>)>),
    /// Every task has its result.
    Agreed,
}

/// Compares replicas leaf by leaf. A vote is an order and its results, one per task; all votes are
/// by distinct providers. Two results are equal when all of the halted state is: then hash and fuel
/// are too.
///
/// A verdict (a run on this machine) is final: the machine is deterministic, so what runs here is
/// right even against a majority. Where this machine can't run, a strict majority of at least two
/// decides.
pub fn compare(
    tasks: u32,
    votes: &[(OrderId, &[Halted])],
    verdicts: &BTreeMap<u32, Halted>,
    replicas: u32,
    can_judge: bool,
) -> Comparison {
    let mut wrong: BTreeMap<OrderId, Vec<(u32, Halted)>> = BTreeMap::new();
    let mut open = Vec::new();
    for task in 0..tasks {
        let Some((_, first)) = votes.first() else { break };
        let given = |votes: &&(OrderId, &[Halted])| votes.1[task as usize];
        let right = match verdicts.get(&task) {
            Some(verdict) => Some(*verdict),
            None if votes.iter().all(|vote| given(&vote) == first[task as usize]) => continue,
            None if can_judge => None,
            None => majority(votes.iter().map(|vote| given(&vote))),
        };
        let Some(right) = right else {
            open.push(task);
            continue;
        };
        for vote in votes.iter().filter(|vote| given(vote) != right) {
            wrong.entry(vote.0).or_default().push((task, right));
        }
    }
    if !open.is_empty() {
        return if can_judge { Comparison::Judge(open) } else { Comparison::TieBreak(open) };
    }
    if !wrong.is_empty() {
        return Comparison::Wrong(wrong.into_iter().collect());
    }
    let judged = (0..tasks).all(|task| verdicts.contains_key(&task));
    if votes.len() >= replicas as usize || judged { Comparison::Agreed } else { Comparison::Wait }
}

/// The result that more than half of at least three gave.
fn majority(results: impl Iterator<Item = Halted> + Clone) -> Option<Halted> {
    let all = results.clone().count();
    results.clone().find(|candidate| {
        let votes = results.clone().filter(|other| other == candidate).count();
        votes >= 2 && votes * 2 > all
    })
}

/// Checks a stream of outputs, in pieces of any size, against what the results say of it: every
/// task's length and hash. Holds one leaf.
#[derive(Clone, Debug)]
pub struct OutputCheck<'a> {
    results: &'a [Halted],
    task: usize,
    /// Bytes of the task's output seen.
    seen: u64,
    hash: B256,
    leaf: [u8; 32],
    filled: usize,
}

impl<'a> OutputCheck<'a> {
    /// Begins with the first task's output.
    pub fn new(results: &'a [Halted]) -> Self {
        Self { results, task: 0, seen: 0, hash: B256::ZERO, leaf: [0; 32], filled: 0 }
    }

    /// Bytes of the whole stream; `None` if that is over 2^64 - 1.
    pub fn expected_bytes(results: &[Halted]) -> Option<u64> {
        results.iter().try_fold(0u64, |sum, halted| sum.checked_add(halted.out_len))
    }

    /// Takes the next piece; fails with the first task whose output is wrong.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ReceiptFault> {
        self.close_full_tasks()?;
        while !bytes.is_empty() {
            let Some(halted) = self.results.get(self.task) else {
                return Err(ReceiptFault::Output {
                    task: self.results.len().saturating_sub(1) as u32,
                });
            };
            let left = halted.out_len - self.seen;
            let take =
                bytes.len().min(32 - self.filled).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.leaf[self.filled..self.filled + take].copy_from_slice(&bytes[..take]);
            self.filled += take;
            self.seen += take as u64;
            bytes = &bytes[take..];
            if self.filled == 32 {
                self.close_leaf();
            }
            self.close_full_tasks()?;
        }
        Ok(())
    }

    /// Ends the stream.
    pub fn finish(mut self) -> Result<(), ReceiptFault> {
        self.close_full_tasks()?;
        if self.task == self.results.len() {
            Ok(())
        } else {
            Err(ReceiptFault::Output { task: self.task as u32 })
        }
    }

    fn close_leaf(&mut self) {
        self.hash = chain_output(self.hash, &self.leaf);
        self.leaf = [0; 32];
        self.filled = 0;
    }

    fn close_full_tasks(&mut self) -> Result<(), ReceiptFault> {
        while self.results.get(self.task).is_some_and(|halted| halted.out_len == self.seen) {
            if self.filled > 0 {
                self.close_leaf();
            }
            if self.hash != self.results[self.task].out_hash {
                return Err(ReceiptFault::Output { task: self.task as u32 });
            }
            (self.task, self.seen, self.hash) = (self.task + 1, 0, B256::ZERO);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rialto_protocol::receipt::{Status, output_hash};

    use super::*;

    fn halted(output: &[u8], fuel_left: i64) -> Halted {
        let out_len = output.len() as u64;
        Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: output_hash(output),
            out_len,
            fuel_left,
            digest: 0,
        }
    }

    fn name(n: u8) -> OrderId {
        OrderId::repeat_byte(n)
    }

    #[test]
    fn agreement_takes_as_many_votes_as_the_policy_demands() {
        let good = [halted(b"a", 1), halted(b"b", 2)];
        let none = BTreeMap::new();
        assert_eq!(compare(2, &[(name(1), &good)], &none, 1, true), Comparison::Agreed);
        assert_eq!(compare(2, &[(name(1), &good)], &none, 2, true), Comparison::Wait);
        assert_eq!(
            compare(2, &[(name(1), &good), (name(2), &good)], &none, 2, true),
            Comparison::Agreed
        );
        assert_eq!(compare(2, &[], &none, 1, true), Comparison::Wait);
    }

    #[test]
    fn a_mismatch_names_its_tasks_and_a_verdict_names_the_wrong_even_in_majority() {
        let good = [halted(b"a", 1), halted(b"b", 2)];
        let bad = [halted(b"a", 1), halted(b"X", 2)];
        let votes: [(OrderId, &[Halted]); 3] = [(name(1), &good), (name(2), &bad), (name(3), &bad)];
        let none = BTreeMap::new();
        assert_eq!(compare(2, &votes, &none, 2, true), Comparison::Judge(vec![1]));
        assert_eq!(compare(2, &votes[..2], &none, 2, false), Comparison::TieBreak(vec![1]));
        assert_eq!(
            compare(2, &votes, &none, 2, false),
            Comparison::Wrong(vec![(name(1), vec![(1, bad[1])])]),
            "without a judge the majority is taken for right"
        );
        let verdict = BTreeMap::from([(1, good[1])]);
        let wrong = vec![(name(2), vec![(1, good[1])]), (name(3), vec![(1, good[1])])];
        assert_eq!(compare(2, &votes, &verdict, 2, true), Comparison::Wrong(wrong));
        assert_eq!(compare(2, &votes[..1], &verdict, 2, true), Comparison::Wait);
        let all = BTreeMap::from([(0, good[0]), (1, good[1])]);
        assert_eq!(
            compare(2, &votes[..1], &all, 2, true),
            Comparison::Agreed,
            "a full local run is a vote"
        );
        assert_eq!(compare(2, &[], &all, 2, true), Comparison::Agreed);
    }

    #[test]
    fn a_difference_in_fuel_alone_is_a_mismatch() {
        let (less, more) = ([halted(b"a", 1)], [halted(b"a", 2)]);
        let votes: [(OrderId, &[Halted]); 2] = [(name(1), &less), (name(2), &more)];
        assert_eq!(compare(1, &votes, &BTreeMap::new(), 2, true), Comparison::Judge(vec![0]));
    }

    proptest! {
        #[test]
        fn outputs_pass_in_pieces_of_any_size_and_no_flipped_byte_does(
            outputs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..6),
            piece in 1usize..70,
            flip: proptest::sample::Index,
        ) {
            let results: Vec<_> = outputs.iter().map(|output| halted(output, 0)).collect();
            let mut stream = outputs.concat();
            let check = |stream: &[u8]| {
                let mut check = OutputCheck::new(&results);
                stream.chunks(piece).try_for_each(|bytes| check.feed(bytes)).and_then(|()| check.finish())
            };
            prop_assert_eq!(check(&stream), Ok(()));
            prop_assert_eq!(OutputCheck::expected_bytes(&results), Some(stream.len() as u64));
            stream.push(0);
            prop_assert!(check(&stream).is_err());
            stream.pop();
            if !stream.is_empty() {
                prop_assert!(check(&stream[..stream.len() - 1]).is_err());
                let at = flip.index(stream.len());
                stream[at] ^= 1;
                prop_assert!(check(&stream).is_err());
            }
        }
    }
}
