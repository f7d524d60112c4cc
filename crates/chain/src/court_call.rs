//! What can be sent to a court, in the protocol's own types. `ICourt.sol` says what each does.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use rialto_protocol::receipt::{Halted, SumNode};
use rialto_protocol::types::{Deal, Game, Order, Receipt};

use crate::bindings::{self, ICourt, IToken};

/// State hashes of a segment: its begin, and the ends of its sixteen parts.
pub type Segment = [B256; 17];

/// A transaction on a court. Sent as [`MarketCall::Court`](crate::MarketCall::Court).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtCall {
    /// Lets the court take tokens of the sender: an accusation's bond. [`Sender::accuse`](crate::Sender::accuse) does it.
    Approve {
        /// Base units.
        amount: u128,
    },
    /// Accuses a receipt of being wrong about one task; the sender's bond is locked.
    Accuse(Box<AccuseArgs>),
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

/// An accuser's first move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccuseArgs {
    /// What is wrong.
    pub signed: Signed,
    /// About which task.
    pub task: u32,
    /// The leaf's fuel.
    pub fuel: u64,
    /// The leaf's H(halted).
    pub halted: B256,
    /// The leaf's siblings from the bottom up.
    pub proof: Vec<SumNode>,
    /// The task's inputRoot.
    pub input: B256,
    /// Its siblings under `order.inputs` from the bottom up.
    pub input_proof: Vec<B256>,
    /// What the program's and the input's root are hashes of.
    pub parts: Bytes,
    /// The accuser's state hashes after each sixteenth of the padded run.
    pub states: [B256; 16],
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
    /// Target and data of the transaction.
    pub(crate) fn target(&self, court: Address, token: Address) -> (Address, Vec<u8>) {
        let data = match self {
            CourtCall::Approve { amount } => {
                let call = IToken::approveCall { spender: court, amount: U256::from(*amount) };
                return (token, call.abi_encode());
            }
            CourtCall::Accuse(args) => args.data(),
            CourtCall::Move(args) => ICourt::moveCall {
                game: (&args.game).into(),
                pick: args.pick,
                segment: args.segment,
                states: args.states,
                signature: args.signature.clone(),
            }
            .abi_encode(),
            CourtCall::Step(args) => ICourt::stepCall {
                deal: (&args.deal).into(),
                game: (&args.game).into(),
                pick: args.pick,
                segment: args.segment,
                proof: args.proof.clone(),
            }
            .abi_encode(),
            CourtCall::Timeout { deal, game } => {
                ICourt::timeoutCall { deal: (&**deal).into(), game: (&**game).into() }.abi_encode()
            }
            CourtCall::WrongSum(args) => args.data(),
            CourtCall::WrongFuel(args) => args.data(),
        };
        (court, data)
    }
}

impl AccuseArgs {
    fn data(&self) -> Vec<u8> {
        let Signed { deal, order, receipt, signature } = &self.signed;
        ICourt::accuseCall {
            deal: deal.into(),
            order: order.into(),
            receipt: receipt.into(),
            signature: signature.clone(),
            accusation: bindings::Accusation {
                task: self.task,
                fuel: self.fuel,
                halted: self.halted,
                proof: nodes(&self.proof),
                input: self.input,
                inputProof: self.input_proof.clone(),
                parts: self.parts.clone(),
                states: self.states,
            },
        }
        .abi_encode()
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
