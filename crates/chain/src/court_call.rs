//! What can be sent to a court, in the protocol's own types. `ICourt.sol` says what each does.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use rialto_protocol::court::{Challenge, Segment};
use rialto_protocol::receipt::{Halted, SumNode};
use rialto_protocol::types::{Deal, Game, Order, Receipt};

use crate::bindings::{self, ICourt};

/// A transaction on a court. Sent as [`MarketCall::Court`](crate::MarketCall::Court).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtCall {
    /// Says that a receipt is wrong; the sender's bond is taken from its account in the market, which must have allowed it to the
    /// court. [`Sender::accuse`](crate::Sender::accuse) sees to that.
    Accuse {
        /// What is wrong.
        signed: Box<Signed>,
    },
    /// Provider, or anyone: opens the node in dispute.
    Unfold {
        /// The game.
        game: Box<Game>,
        /// The order that it is about.
        order: Box<Order>,
        /// The nodes below it, from the left; of leaves, H(halted) and fuel.
        nodes: Vec<SumNode>,
    },
    /// Accuser: one of the nodes is wrong.
    Pick {
        /// The game.
        game: Box<Game>,
        /// The nodes that were shown.
        nodes: Vec<SumNode>,
        /// Which of them.
        index: u32,
    },
    /// Accuser: one of the leaves is wrong, as its task ended otherwise.
    Challenge {
        /// The game.
        game: Box<Game>,
        /// The order that it is about.
        order: Box<Order>,
        /// The leaves that were shown.
        nodes: Vec<SumNode>,
        /// Which of them, and how its task went.
        challenge: Box<Challenge>,
    },
    /// Ends a game at a leaf whose task ended so, but used another fuel.
    Contradict {
        /// The deal's terms.
        deal: Box<Deal>,
        /// The game.
        game: Box<Game>,
        /// The order that it is about.
        order: Box<Order>,
        /// The leaves that were shown.
        nodes: Vec<SumNode>,
        /// Which of them.
        index: u32,
        /// How its task ended.
        halted: Halted,
    },
    /// Answers a segment, above level 1.
    Move(Box<MoveArgs>),
    /// Ends a game at level 1: a step of the segment is wrong.
    Step(Box<StepArgs>),
    /// Ends a game whose turn has run out.
    Timeout {
        /// The deal's terms.
        deal: Box<Deal>,
        /// The game.
        game: Box<Game>,
    },
    /// Ends a deal whose receipt does not add up.
    WrongSum(Box<WrongSumArgs>),
    /// Ends a deal whose receipt counts a task's fuel wrong.
    WrongFuel(Box<WrongFuelArgs>),
    /// Lets another account move for the sender, in games alone.
    Delegate {
        /// Who may.
        to: Address,
        /// Before this time, unix seconds; a time that has passed ends it.
        until: u64,
    },
}

/// A receipt, and what binds its provider to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The deal's terms.
    pub deal: Deal,
    /// The order.
    pub order: Order,
    /// The provider's receipt.
    pub receipt: Receipt,
    /// The provider's signature over it, in the market's domain; may be empty if the provider asserted it on chain.
    pub signature: Bytes,
}

/// One side's answer to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveArgs {
    /// The game.
    pub game: Game,
    /// Which sixteenth of the segment is disputed.
    pub pick: u32,
    /// The segment in dispute.
    pub segment: Segment,
    /// State hashes after each sixteenth of the part.
    pub states: [B256; 16],
    /// The side's signature over the `Move`, in the court's domain; empty if the sender is that side.
    pub signature: Bytes,
}

/// What shows that a step of a segment is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepArgs {
    /// The deal's terms.
    pub deal: Deal,
    /// The game.
    pub game: Game,
    /// Which step of the segment.
    pub pick: u32,
    /// The segment in dispute.
    pub segment: Segment,
    /// For `IStepUnit.step`.
    pub proof: Bytes,
}

/// A node of a receipt's tree that can't be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSumArgs {
    /// What is wrong.
    pub signed: Signed,
    /// The node.
    pub node: SumNode,
    /// Its children; looked at only if the node is not over padding alone.
    pub children: [SumNode; 2],
    /// Its place among the nodes of its level, from the left.
    pub place: u32,
    /// Its siblings, from it up to the root.
    pub siblings: Vec<SumNode>,
}

/// A leaf whose fuel is not what its halted state used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFuelArgs {
    /// What is wrong.
    pub signed: Signed,
    /// Which task.
    pub task: u32,
    /// The leaf's fuel.
    pub fuel: u64,
    /// How the task ended, by the leaf.
    pub halted: Halted,
    /// The leaf's siblings from the bottom up.
    pub proof: Vec<SumNode>,
}

impl CourtCall {
    /// Data of the transaction.
    pub(crate) fn data(&self) -> Vec<u8> {
        match self {
            CourtCall::Accuse { signed } => signed.accusation(),
            CourtCall::Unfold { game, order, nodes: shown } => {
                ICourt::unfoldCall { game: (&**game).into(), order: (&**order).into(), nodes: nodes(shown) }
                    .abi_encode()
            }
            CourtCall::Pick { game, nodes: shown, index } => {
                ICourt::pickCall { game: (&**game).into(), nodes: nodes(shown), index: *index }.abi_encode()
            }
            CourtCall::Challenge { game, order, nodes: shown, challenge } => ICourt::challengeCall {
                game: (&**game).into(),
                order: (&**order).into(),
                nodes: nodes(shown),
                index: challenge.index,
                it: (&**challenge).into(),
            }
            .abi_encode(),
            CourtCall::Contradict { deal, game, order, nodes: shown, index, halted } => ICourt::contradictCall {
                deal: (&**deal).into(),
                game: (&**game).into(),
                order: (&**order).into(),
                nodes: nodes(shown),
                index: *index,
                halted: halted.into(),
            }
            .abi_encode(),
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
            CourtCall::Delegate { to, until } => ICourt::delegateCall { to: *to, time: *until }.abi_encode(),
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
