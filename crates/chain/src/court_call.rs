//! Calls of a court, in the protocol's own types. `ICourt.sol` specifies each.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use rialto_protocol::court::{Challenge, Segment};
use rialto_protocol::receipt::{Halted, SumNode};
use rialto_protocol::types::{Deal, Game, Order, Receipt};

use crate::bindings::{self, ICourt};

/// One transaction of a court. It is sent as [`MarketCall::Court`](crate::MarketCall::Court).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtCall {
    /// Accuses a receipt of being wrong. The court takes the bond from the sender's market account,
    /// so the sender must have allowed it to. [`Sender::accuse`](crate::Sender::accuse) does both.
    Accuse {
        /// The accused receipt.
        signed: Box<Signed>,
    },
    /// Opens the disputed node. The provider's move, but anyone may send it.
    Unfold {
        /// Dispute that the move belongs to.
        game: Box<Game>,
        /// Order that the dispute is about.
        order: Box<Order>,
        /// Nodes below the disputed one, from the left. For leaves, H(halted) and fuel.
        nodes: Vec<SumNode>,
    },
    /// The accuser says that one of the nodes is wrong.
    Pick {
        /// Dispute that the move belongs to.
        game: Box<Game>,
        /// Nodes that the provider opened.
        nodes: Vec<SumNode>,
        /// Index of the wrong one.
        index: u32,
    },
    /// The accuser says that one of the leaves is wrong, because its task ended in another state.
    Challenge {
        /// Dispute that the move belongs to.
        game: Box<Game>,
        /// Order that the dispute is about.
        order: Box<Order>,
        /// Leaves that the provider opened.
        nodes: Vec<SumNode>,
        /// The wrong leaf, and the accuser's run of its task.
        challenge: Box<Challenge>,
    },
    /// Ends a dispute at a leaf with the correct halted state but a wrong fuel.
    Contradict {
        /// Terms of the deal.
        deal: Box<Deal>,
        /// Dispute that the move belongs to.
        game: Box<Game>,
        /// Order that the dispute is about.
        order: Box<Order>,
        /// Leaves that the provider opened.
        nodes: Vec<SumNode>,
        /// Index of the wrong one.
        index: u32,
        /// Halted state of its task.
        halted: Halted,
    },
    /// Answers a segment above level 1.
    Move(Box<MoveArgs>),
    /// Ends a dispute at level 1 with the proof that a step of the segment is wrong.
    Step(Box<StepArgs>),
    /// Ends a dispute in which the side to move has no time left.
    Timeout {
        /// Terms of the deal.
        deal: Box<Deal>,
        /// Dispute that the move belongs to.
        game: Box<Game>,
    },
    /// Proves that a receipt's tree does not add up, which ends the deal.
    WrongSum(Box<WrongSumArgs>),
    /// Proves that a receipt states a wrong fuel for a task, which ends the deal.
    WrongFuel(Box<WrongFuelArgs>),
    /// Allows another account to make the sender's moves in disputes, and nothing else.
    Delegate {
        /// Account that may move.
        to: Address,
        /// End of the permission, Unix seconds. A time in the past revokes it.
        until: u64,
    },
}

/// One receipt, with everything that binds its provider to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Terms of the deal.
    pub deal: Deal,
    /// Order that the receipt answers.
    pub order: Order,
    /// Receipt of the provider.
    pub receipt: Receipt,
    /// The provider's signature over the receipt, in the market's domain. It may be empty if the
    /// provider asserted the receipt on chain.
    pub signature: Bytes,
}

/// Answer of one side to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveArgs {
    /// Dispute that the move belongs to.
    pub game: Game,
    /// Index of the sixteenth of the segment that is disputed.
    pub pick: u32,
    /// The disputed segment.
    pub segment: Segment,
    /// State hashes after each sixteenth of that part.
    pub states: [B256; 16],
    /// The side's signature over the `Move`, in the court's domain. It is empty if the sender is
    /// that side.
    pub signature: Bytes,
}

/// Proof that a step of a segment is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepArgs {
    /// Terms of the deal.
    pub deal: Deal,
    /// Dispute that the move belongs to.
    pub game: Game,
    /// Index of the step in the segment.
    pub pick: u32,
    /// The disputed segment.
    pub segment: Segment,
    /// Proof of the step, for `IStepUnit.step`.
    pub proof: Bytes,
}

/// Proof that a node of a receipt's tree is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSumArgs {
    /// The wrong receipt.
    pub signed: Signed,
    /// The wrong node.
    pub node: SumNode,
    /// Children of the node. They are not checked if the node has only padding below it.
    pub children: [SumNode; 2],
    /// Index of the node in its level, from the left.
    pub place: u32,
    /// Siblings of the node, from it up to the root.
    pub siblings: Vec<SumNode>,
}

/// Proof that a leaf's fuel does not follow from its halted state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFuelArgs {
    /// The wrong receipt.
    pub signed: Signed,
    /// Index of the task in the order.
    pub task: u32,
    /// Fuel that the leaf states.
    pub fuel: u64,
    /// Halted state that the leaf states.
    pub halted: Halted,
    /// Siblings of the leaf, from the bottom up.
    pub proof: Vec<SumNode>,
}

impl CourtCall {
    /// Returns the call data of the transaction.
    pub(crate) fn data(&self) -> Vec<u8> {
        match self {
            CourtCall::Accuse { signed } => signed.accusation(),
            CourtCall::Unfold { game, order, nodes: shown } => ICourt::unfoldCall {
                game: (&**game).into(),
                order: (&**order).into(),
                nodes: nodes(shown),
            }
            .abi_encode(),
            CourtCall::Pick { game, nodes: shown, index } => {
                ICourt::pickCall { game: (&**game).into(), nodes: nodes(shown), index: *index }
                    .abi_encode()
            }
            CourtCall::Challenge { game, order, nodes: shown, challenge } => {
                ICourt::challengeCall {
                    game: (&**game).into(),
                    order: (&**order).into(),
                    nodes: nodes(shown),
                    index: challenge.index,
                    it: (&**challenge).into(),
                }
                .abi_encode()
            }
            CourtCall::Contradict { deal, game, order, nodes: shown, index, halted } => {
                ICourt::contradictCall {
                    deal: (&**deal).into(),
                    game: (&**game).into(),
                    order: (&**order).into(),
                    nodes: nodes(shown),
                    index: *index,
                    halted: halted.into(),
                }
                .abi_encode()
            }
            CourtCall::Move(args) => ICourt::moveCall {
                game: (&args.game).into(),
                part: args.pick,
                segment: args.segment,
                states: args.states,
                signature: args.signature.clone(),
            }
            .abi_encode(),
            CourtCall::Step(args) => ICourt::stepCall {
                deal: (&args.deal).into(),
                game: (&args.game).into(),
                part: args.pick,
                segment: args.segment,
                proof: args.proof.clone(),
            }
            .abi_encode(),
            CourtCall::Timeout { deal, game } => {
                ICourt::timeoutCall { deal: (&**deal).into(), game: (&**game).into() }.abi_encode()
            }
            CourtCall::WrongSum(args) => args.data(),
            CourtCall::WrongFuel(args) => args.data(),
            CourtCall::Delegate { to, until } => {
                ICourt::delegateCall { to: *to, time: *until }.abi_encode()
            }
        }
    }
}

impl Signed {
    fn accusation(&self) -> Vec<u8> {
        let Signed { deal, order, receipt, signature } = self;
        let (deal, order, receipt) = (deal.into(), order.into(), receipt.into());
        ICourt::accuseCall { deal, order, receipt, signature: signature.clone() }.abi_encode()
    }
}

impl WrongSumArgs {
    fn data(&self) -> Vec<u8> {
        let Signed { deal, order, receipt, signature } = &self.signed;
        let [left, right] = &self.children;
        ICourt::wrongSumCall {
            deal: deal.into(),
            order: order.into(),
            receipt: receipt.into(),
            signature: signature.clone(),
            fault: bindings::SumFault {
                node: (&self.node).into(),
                left: left.into(),
                right: right.into(),
                place: self.place,
                siblings: nodes(&self.siblings),
            },
        }
        .abi_encode()
    }
}

impl WrongFuelArgs {
    fn data(&self) -> Vec<u8> {
        let Signed { deal, order, receipt, signature } = &self.signed;
        ICourt::wrongFuelCall {
            deal: deal.into(),
            order: order.into(),
            receipt: receipt.into(),
            signature: signature.clone(),
            task: self.task,
            fuel: self.fuel,
            halted: (&self.halted).into(),
            proof: nodes(&self.proof),
        }
        .abi_encode()
    }
}

pub(crate) fn nodes(nodes: &[SumNode]) -> Vec<bindings::SumNode> {
    nodes.iter().map(bindings::SumNode::from).collect()
}
