//! Reads of a court, and what is signed in it.

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
    /// Beside `IStepUnit`: where it has its floats from.
    interface IFloats {
        function floatUnit() external view returns (address);
    }
}

/// Most time that a side has at the start, seconds (`Court.MAX_ALLOWANCE`).
const MAX_ALLOWANCE: u32 = 10 * 86_400;

/// What a court is built with; immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourtRules {
    /// Bond of an accusation, base units.
    pub base_bond: u128,
    /// And per Tfuel of the order's fuel limit, base units.
    pub bond_per_tfuel: u128,
    /// Time for one task that was challenged alone, seconds.
    pub base_seconds: u32,
    /// Each side has at least so long for every move, seconds; 1 to 28,800.
    pub move_seconds: u32,
    /// Fuel that a tracer is expected to trace in a second; at least 1. The order's fuel limit over this is added to `base_seconds`.
    pub fuel_per_second: u64,
}

impl Default for CourtRules {
    /// For a public chain and a token of six decimals that is worth a dollar: a bond of 5 pays the gas of a dozen moves on a
    /// rollup, and a side that misses the chain for six hours, as a rollup's sequencer may, loses nothing.
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
    /// Time for one task of this fuel limit, if no other is waiting, seconds, as the contract computes it.
    pub fn allowance(&self, fuel_limit: u64) -> u32 {
        let tracing = fuel_limit / self.fuel_per_second.max(1);
        let time = u32::try_from(tracing.saturating_add(self.base_seconds.into())).unwrap_or(u32::MAX);
        time.min(MAX_ALLOWANCE).max(self.move_seconds)
    }

    /// Largest fuel limit that is gone through within its allowance at so much fuel a second.
    pub fn most_fuel(&self, fuel_per_second: u64) -> u64 {
        let fits = |fuel: u64| u128::from(fuel) <= u128::from(self.allowance(fuel)) * u128::from(fuel_per_second);
        // An allowance grows with the fuel, in a line up to its end: what fits, fits up to one place.
        let (mut most, mut over) = (0, u64::MAX);
        while over - most > 1 {
            let middle = most + (over - most) / 2;
            (most, over) = if fits(middle) { (middle, over) } else { (most, middle) };
        }
        most
    }
}

/// What a game waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GameStage {
    /// The provider opens a node of the receipt's tree.
    Unfold,
    /// The accuser picks one of the nodes, or challenges a task.
    Pick,
    /// Both by turns narrow down the run of a task.
    Run,
}

/// Where a game stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GameStanding {
    /// What the game waits for.
    pub stage: GameStage,
    /// Hash of what is in dispute: the node, the list of nodes, or the segment ([`segment_hash`]).
    pub segment: B256,
    /// Run: steps before the segment.
    pub position: u64,
    /// Unfold, Pick: levels over the leaves. Run: the segment spans 16^level steps.
    pub level: u8,
    /// Unfold: the node's place among those of its height. Pick: that of the node over the nodes. Run: the task.
    pub task: u32,
    /// Whether the accuser is to move; else the provider.
    pub accusers_turn: bool,
    /// Begin of the turn, unix seconds.
    pub since: u64,
    /// What the accuser has left, seconds; of its own turn, counted from `since`.
    pub accuser_seconds: u32,
    /// What the provider has left, seconds; of its own turn, counted from `since`.
    pub provider_seconds: u32,
}

impl GameStanding {
    /// End of the turn, unix seconds: a move counts before it, a timeout from it on.
    pub fn deadline(&self) -> u64 {
        self.since + u64::from(if self.accusers_turn { self.accuser_seconds } else { self.provider_seconds })
    }
}

/// A court of a market; clones share the market's endpoint.
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
    /// Checks that a court of this market is there.
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

    /// The court's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The market whose deals it judges.
    pub fn market(&self) -> Address {
        self.market
    }

    /// The judge of its single steps.
    pub fn step_unit(&self) -> Address {
        self.step_unit
    }

    /// What it was built with.
    pub fn rules(&self) -> CourtRules {
        self.rules
    }

    /// EIP-712 domain in which moves are signed.
    pub fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    /// Whether the court is known: see [`Court::known_code`].
    pub async fn is_known_code(&self) -> Result<bool, ChainError> {
        Ok(self.known_code().await?.is_some())
    }

    /// Returns which of the courts that this node knows has the code of this one, its judge of steps and
    /// its judge of floats. A provider should name no other court, and a requester take no ask that does.
    pub async fn known_code(&self) -> Result<Option<&CourtCode>, ChainError> {
        let endpoint = &self.link.endpoint;
        let (court, unit) = futures::try_join!(endpoint.code(self.address), endpoint.code(self.step_unit))?;
        if !self.link.courts.has_step_unit(&unit) {
            // What is no judge of steps may have no judge of floats to ask about.
            return Ok(None);
        }
        let floats = read(&self.link, self.step_unit, IFloats::floatUnitCall {}).await?;
        let domain = self.read(ICourt::domainSeparatorCall {}).await?;
        let known = self.link.courts.find(&court, &unit, &endpoint.code(floats).await?);
        Ok(known.filter(|_| domain == self.domain.separator()))
    }

    /// What its judge of steps says follows a state, by a proof of the step: a question, not a transaction.
    pub async fn judge_step(&self, state: B256, proof: Bytes) -> Result<B256, ChainError> {
        read(&self.link, self.step_unit, IStepUnit::stepCall { state, proof }).await
    }

    /// Where a game stands; `None` if there is none (any more).
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

    /// End of the current turn, unix seconds; `None` if there is no such game.
    pub async fn deadline(&self, id: GameId) -> Result<Option<u64>, ChainError> {
        let deadline = self.read(ICourt::deadlineCall { id: id.into() }).await?;
        Ok((deadline != 0).then_some(deadline))
    }

    /// Bond of an accusation over an order with this fuel limit, base units.
    pub async fn bond_for(&self, fuel_limit: u64) -> Result<u128, ChainError> {
        self.read(ICourt::bondForCall { fuelLimit: fuel_limit }).await
    }

    /// Time for one task of this fuel limit, if no other is waiting, seconds.
    pub async fn allowance(&self, fuel_limit: u64) -> Result<u32, ChainError> {
        self.read(ICourt::allowanceCall { fuelLimit: fuel_limit }).await
    }

    /// What the court may still take from the market account of `owner`, base units: bonds of accusations.
    pub async fn allowed(&self, owner: Address) -> Result<u128, ChainError> {
        read(&self.link, self.market, IMarket::allowanceCall { owner, spender: self.address }).await
    }

    /// Until when `to` may move for `owner`, unix seconds; 0 if never.
    pub async fn delegate_until(&self, owner: Address, to: Address) -> Result<u64, ChainError> {
        self.read(ICourt::delegateUntilCall { owner, to }).await
    }

    async fn read<C: SolCall>(&self, call: C) -> Result<C::Return, ChainError> {
        read(&self.link, self.address, call).await
    }
}

/// Hash of a segment, as moves sign it: keccak of its 17 state hashes.
pub fn segment_hash(segment: &Segment) -> B256 {
    keccak256(segment.concat())
}
