//! Reads of a court, and the EIP-712 domain of its moves.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, sol};
use rialto_protocol::{GameId, court::Segment, types};

use crate::bindings::{ICourt, IMarket, IStepUnit, Stage};
use crate::chain::{Chain, read};
use crate::error::ChainError;
use crate::known::CourtCode;
use crate::link::Link;

sol! {
    /// Function of the step unit, in addition to `IStepUnit`, that returns the address of its float
    /// unit.
    interface IFloats {
        function floatUnit() external view returns (address);
    }
}

/// Longest time that a side gets at the start, seconds (`Court.MAX_ALLOWANCE`).
const MAX_ALLOWANCE: u32 = 10 * 86_400;

/// Rules of a court. They never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourtRules {
    /// Fixed part of an accusation's bond, base units.
    pub base_bond: u128,
    /// Further bond per Tfuel of the order's fuel limit, base units.
    pub bond_per_tfuel: u128,
    /// Fixed part of the time for one task, seconds.
    pub base_seconds: u32,
    /// Shortest time that a side has for each move, 1 to 28,800 seconds.
    pub move_seconds: u32,
    /// Expected speed of a tracer, in fuel per second; at least 1. The order's fuel limit divided
    /// by it is added to `base_seconds`.
    pub fuel_per_second: u64,
}

impl Default for CourtRules {
    /// Returns rules for a public chain and a token with six decimals that is worth a dollar. A
    /// bond of 5 tokens pays the gas of a dozen moves on a rollup. A side can miss the chain for
    /// six hours without a loss, as during an outage of a rollup's sequencer.
    fn default() -> Self {
        Self {
            base_bond: 5_000_000,
            bond_per_tfuel: 2_000_000,
            base_seconds: 600,
            move_seconds: 21_600,
            fuel_per_second: 20_000_000,
        }
    }
}

impl CourtRules {
    /// Returns the time in seconds for one task of this fuel limit if no other task waits. The
    /// contract computes the same.
    pub fn allowance(&self, fuel_limit: u64) -> u32 {
        let tracing = fuel_limit / self.fuel_per_second.max(1);
        let time =
            u32::try_from(tracing.saturating_add(self.base_seconds.into())).unwrap_or(u32::MAX);
        time.min(MAX_ALLOWANCE).max(self.move_seconds)
    }

    /// Returns the largest fuel limit that can be traced within its allowance at this speed.
    pub fn most_fuel(&self, fuel_per_second: u64) -> u64 {
        let fits = |fuel: u64| {
            u128::from(fuel) <= u128::from(self.allowance(fuel)) * u128::from(fuel_per_second)
        };
        // An allowance is linear in the fuel up to its maximum, so that the fitting limits are an
        // interval from zero: a binary search finds its end.
        let (mut most, mut over) = (0, u64::MAX);
        while over - most > 1 {
            let middle = most + (over - most) / 2;
            (most, over) = if fits(middle) { (middle, over) } else { (most, middle) };
        }
        most
    }
}

/// Kind of the move that a dispute waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GameStage {
    /// The provider opens a node of the receipt's tree.
    Unfold,
    /// The accuser picks one of the nodes, or challenges a task.
    Pick,
    /// Both sides in turn narrow down the run of a task.
    Run,
}

/// State of a dispute on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GameStanding {
    /// Kind of the next move.
    pub stage: GameStage,
    /// Hash of the disputed object: the node, the list of nodes, or the segment ([`segment_hash`]).
    pub segment: B256,
    /// In a run: number of steps before the segment.
    pub position: u64,
    /// In the tree: number of levels above the leaves. In a run: the segment spans 16^level steps.
    pub level: u8,
    /// At `Unfold`: index of the node among those of its height. At `Pick`: index of the parent of
    /// the nodes. At `Run`: the task.
    pub task: u32,
    /// Whether the accuser has to move; otherwise the provider has to.
    pub accusers_turn: bool,
    /// Start of the turn, Unix seconds.
    pub since: u64,
    /// Remaining time of the accuser, seconds. In its own turn it counts from `since`.
    pub accuser_seconds: u32,
    /// Remaining time of the provider, seconds. In its own turn it counts from `since`.
    pub provider_seconds: u32,
}

impl GameStanding {
    /// Returns the end of the turn, Unix seconds. A move is valid before it, a timeout from it on.
    pub fn deadline(&self) -> u64 {
        self.since
            + u64::from(if self.accusers_turn {
                self.accuser_seconds
            } else {
                self.provider_seconds
            })
    }
}

/// Client of one court of a market. Clones share the market's endpoint.
#[derive(Clone)]
pub struct Court {
    link: Arc<Link>,
    address: Address,
    market: Address,
    step_unit: Address,
    rules: CourtRules,
    domain: Eip712Domain,
}

impl Court {
    /// Checks that there is a court of this market at the address, and reads its rules.
    pub(crate) async fn connect(chain: &Chain, address: Address) -> Result<Court, ChainError> {
        let link = chain.link().clone();
        if link.endpoint.code(address).await?.is_empty() {
            return Err(ChainError::NoCourt { court: address, chain_id: link.chain_id });
        }
        let (market, step_unit, rules) = futures::try_join!(
            read(&link, address, ICourt::marketCall {}),
            read(&link, address, ICourt::stepUnitCall {}),
            read(&link, address, ICourt::rulesCall {}),
        )?;
        if market != chain.market() {
            return Err(ChainError::ForeignCourt { court: address, market });
        }
        let rules = CourtRules {
            base_bond: rules.baseBond,
            bond_per_tfuel: rules.bondPerTfuel,
            base_seconds: rules.baseSeconds,
            move_seconds: rules.moveSeconds,
            fuel_per_second: rules.fuelPerSecond,
        };
        let domain = types::domain(link.chain_id, address);
        Ok(Court { link, address, market, step_unit, rules, domain })
    }

    /// Returns the court's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Returns the market whose deals the court judges.
    pub fn market(&self) -> Address {
        self.market
    }

    /// Returns the address of the step unit, which verifies single steps.
    pub fn step_unit(&self) -> Address {
        self.step_unit
    }

    /// Returns the court's rules.
    pub fn rules(&self) -> CourtRules {
        self.rules
    }

    /// Returns the EIP-712 domain in which moves are signed.
    pub fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    /// Returns whether this node knows the court; see [`Court::known_code`].
    pub async fn is_known_code(&self) -> Result<bool, ChainError> {
        Ok(self.known_code().await?.is_some())
    }

    /// Returns the known court whose code, step unit and float unit equal those of this court, or
    /// `None` if the node knows none. A provider should name no other court, and a requester should
    /// accept no ask that does.
    pub async fn known_code(&self) -> Result<Option<&CourtCode>, ChainError> {
        let endpoint = &self.link.endpoint;
        let (court, unit) =
            futures::try_join!(endpoint.code(self.address), endpoint.code(self.step_unit))?;
        if !self.link.courts.has_step_unit(&unit) {
            // A contract that is no step unit may have no function that returns a float unit.
            return Ok(None);
        }
        let floats = read(&self.link, self.step_unit, IFloats::floatUnitCall {}).await?;
        let domain = self.read(ICourt::domainSeparatorCall {}).await?;
        let known = self.link.courts.find(&court, &unit, &endpoint.code(floats).await?);
        Ok(known.filter(|_| domain == self.domain.separator()))
    }

    /// Returns the state that follows `state` according to the step unit, given a proof of the
    /// step. This is a read and no transaction.
    pub async fn judge_step(&self, state: B256, proof: Bytes) -> Result<B256, ChainError> {
        read(&self.link, self.step_unit, IStepUnit::stepCall { state, proof }).await
    }

    /// Returns the state of a dispute, or `None` if it does not exist or has ended.
    pub async fn game(&self, id: GameId) -> Result<Option<GameStanding>, ChainError> {
        let state = self.read(ICourt::gameStateCall { id: id.into() }).await?;
        let stage = match state.stage {
            Stage::Unfold => GameStage::Unfold,
            Stage::Pick => GameStage::Pick,
            Stage::Run => GameStage::Run,
            _ => return Ok(None),
        };
        Ok(Some(GameStanding {
            stage,
            segment: state.segment,
            position: state.position,
            level: state.level,
            task: state.task,
            accusers_turn: state.accusersTurn,
            since: state.since.to(),
            accuser_seconds: state.accuserSeconds,
            provider_seconds: state.providerSeconds,
        }))
    }

    /// Returns the end of the current turn in Unix seconds, or `None` if there is no such dispute.
    pub async fn deadline(&self, id: GameId) -> Result<Option<u64>, ChainError> {
        let deadline = self.read(ICourt::deadlineCall { id: id.into() }).await?;
        Ok((deadline != 0).then_some(deadline))
    }

    /// Returns the bond of an accusation over an order with this fuel limit, base units.
    pub async fn bond_for(&self, fuel_limit: u64) -> Result<u128, ChainError> {
        self.read(ICourt::bondForCall { fuelLimit: fuel_limit }).await
    }

    /// Returns the time in seconds for one task of this fuel limit if no other task waits.
    pub async fn allowance(&self, fuel_limit: u64) -> Result<u32, ChainError> {
        self.read(ICourt::allowanceCall { fuelLimit: fuel_limit }).await
    }

    /// Returns the sum that the court may still take as bonds from the market account of `owner`,
    /// base units.
    pub async fn allowed(&self, owner: Address) -> Result<u128, ChainError> {
        read(&self.link, self.market, IMarket::allowanceCall { owner, spender: self.address }).await
    }

    /// Returns the time in Unix seconds until which `to` may move for `owner`, or 0 if it may not.
    pub async fn delegate_until(&self, owner: Address, to: Address) -> Result<u64, ChainError> {
        self.read(ICourt::delegateUntilCall { owner, to }).await
    }

    async fn read<C: SolCall>(&self, call: C) -> Result<C::Return, ChainError> {
        read(&self.link, self.address, call).await
    }
}

/// Returns the hash of a segment that moves sign: Keccak-256 of its 17 state hashes.
pub fn segment_hash(segment: &Segment) -> B256 {
    keccak256(segment.concat())
}
