//! Deployment of the committed artifacts: the market, its court with the judges of steps, and, for
//! the embedded chain, its test token.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;
use serde::Deserialize;

use crate::bindings::{IToken, Rules};
use crate::chain::{ChainConfig, read};
use crate::court::CourtRules;
use crate::error::{ChainError, SendError};
use crate::eth::CallRequest;
use crate::journal::RawCall;
use crate::link::{Link, reverted};
use crate::rpc::Rpc;
use crate::sender::TxSender;

/// Result of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Token of the market.
    pub token: Address,
    /// Address of the market.
    pub market: Address,
    /// Block of the market's creation, in which its events begin.
    pub block: u64,
    /// Gas of the token's creation; 0 if the token existed before.
    pub token_gas: u64,
    /// Gas of the market's creation.
    pub market_gas: u64,
    /// Court that asks and deals of this market should name.
    pub court: Address,
    /// The court's judge of single steps.
    pub step_unit: Address,
    /// The court's judge of floats.
    pub float_unit: Address,
    /// Gas of the creation of court and judges.
    pub court_gas: u64,
}

/// Parameters of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployParams {
    /// Existing token; `None` deploys the test token, which anyone may mint.
    pub token: Option<Address>,
    /// Time from a claim to its deadline, seconds.
    pub challenge_window: u64,
    /// Time from a late notice or demand to its deadline, seconds.
    pub answer_window: u64,
    /// Time after a deal's expiry in which the provider can still claim, seconds.
    pub grace: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
    /// Parameters of the court.
    pub court: CourtRules,
}

/// Estimated cost of a deployment, and the balance that pays for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployQuote {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas of the test token's creation; `None` if the token exists.
    pub token_gas: Option<u64>,
    /// Gas of the market's creation.
    pub market_gas: u64,
    /// Estimated gas of the creation of court and judges. It follows from their size and the
    /// market's gas, because the court can't be simulated before the market exists.
    pub court_gas: u64,
    /// Current gas price, wei per gas.
    pub gas_price_wei: u128,
    /// Gas money of the account, wei.
    pub balance_wei: U256,
    /// Decimals of the existing token; `None` for the test token.
    pub decimals: Option<u8>,
}

/// Deploys a market with its court, and its token if none is given, from the artifacts that this
/// crate was built with. It keeps no journal, so use it for embedded chains and tests only.
///
/// # Errors
/// A [`SendError`] if a transaction fails; earlier ones may have been mined.
pub async fn deploy(rpc: &Rpc, signer: PrivateKeySigner, params: DeployParams) -> Result<Deployed, SendError> {
    let link = Arc::new(Link::connect(&ChainConfig::new(rpc.clone(), Address::ZERO)).await?);
    send(&TxSender::start(link, signer, None).await?, "", params).await
}

/// Does the same as [`deploy`], with a journal of the account's transactions. After an interruption
/// the same call continues, and if the deployment of this name is complete, it returns the same
/// addresses. The market's address in `at` is ignored.
///
/// # Errors
/// [`SendError::IntentConflict`] if the name belongs to a deployment with other parameters; any
/// other [`SendError`] if a transaction fails.
pub async fn deploy_by(
    at: &ChainConfig,
    signer: PrivateKeySigner,
    params: DeployParams,
    journal: &Path,
    name: &str,
) -> Result<Deployed, SendError> {
    let link = Arc::new(Link::connect(at).await?);
    let sender = TxSender::start(link, signer, Some(journal)).await?;
    let deployed = send(&sender, &format!("deploy-{name}-"), params).await;
    sender.stop().await;
    deployed
}

/// Returns the EIP-155 id of the chain at an endpoint.
pub async fn chain_id(at: &ChainConfig) -> Result<u64, ChainError> {
    Ok(Link::connect(at).await?.chain_id)
}

/// Returns what a deployment would cost `account` now. Sends nothing.
///
/// # Errors
/// [`ChainError::NoToken`] if the given token does not exist, [`ChainError::Contract`] if a
/// creation would revert.
pub async fn quote_deployment(
    at: &ChainConfig,
    account: Address,
    params: DeployParams,
) -> Result<DeployQuote, ChainError> {
    let link = Link::connect(at).await?;
    let estimate = async |data: Vec<u8>| {
        let call = RawCall { to: None, data: data.into(), value: U256::ZERO };
        let request = CallRequest::by(account, &call);
        link.endpoint.estimate_gas(&request).await.map_err(reverted)
    };
    let (token_gas, decimals) = match params.token {
        None => (Some(estimate(creation_code(TEST_TOKEN)?).await?), None),
        Some(token) => {
            if link.endpoint.code(token).await?.is_empty() {
                return Err(ChainError::NoToken { token, chain_id: link.chain_id });
            }
            (None, Some(read(&link, token, IToken::decimalsCall {}).await?))
        }
    };
    let market = market_code(params.token.unwrap_or_default(), params)?;
    let market_bytes = market.len() as u64;
    let market = if params.token.is_some() { market } else { with_a_token(&market, creation_code(MARKET)?.len()) };
    let market_gas = estimate(market).await?;
    let mut court_bytes = 0;
    for text in [FLOAT_UNIT, STEP_UNIT, COURT] {
        court_bytes += creation_code(text)?.len() as u64;
    }
    Ok(DeployQuote {
        chain_id: link.chain_id,
        token_gas,
        market_gas,
        court_gas: market_gas.saturating_mul(court_bytes) / market_bytes.max(1),
        gas_price_wei: link.endpoint.gas_price().await?,
        balance_wei: link.endpoint.balance(account).await?,
        decimals,
    })
}

/// Returns creation code for an estimate: it first creates a contract, then puts that address into
/// the creation code of the market, at `argument`. This is needed because a market refuses a token
/// without code, and the test token does not exist yet. It costs the market's own creation and some
/// 40,000 gas.
fn with_a_token(market: &[u8], argument: usize) -> Vec<u8> {
    let three = |number: usize| [(number >> 16) as u8, (number >> 8) as u8, number as u8];
    let ([l0, l1, l2], [a0, a1, a2]) = (three(market.len()), three(argument));
    #[rustfmt::skip]
    let head = [
        // A contract of one byte: create(0, 28, 4) of `return(0, 1)`.
        0x63, 0x60, 0x01, 0x5f, 0xf3, 0x5f, 0x52, 0x60, 0x04, 0x60, 0x1c, 0x5f, 0xf0,
        // codecopy(0, 48, length); mstore(argument, address)
        0x62, l0, l1, l2, 0x60, 48, 0x5f, 0x39, 0x62, a0, a1, a2, 0x52,
        // create(0, 0, length)
        0x62, l0, l1, l2, 0x5f, 0x5f, 0xf0,
        // If the creation failed, revert with its reason; else return nothing.
        0x80, 0x60, 44, 0x57, 0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xfd, 0x5b, 0x5f, 0x5f, 0xf3,
    ];
    [&head[..], market].concat()
}

async fn send(sender: &TxSender, prefix: &str, params: DeployParams) -> Result<Deployed, SendError> {
    let create = async |intent: &str, data: Vec<u8>| {
        let call = RawCall { to: None, data: data.into(), value: U256::ZERO };
        let mined = sender.send(format!("{prefix}{intent}"), call).await?;
        let address = mined.created.ok_or_else(|| ChainError::Deploy(format!("{} created nothing", mined.tx)))?;
        Ok::<_, SendError>((address, mined))
    };
    let (token, token_gas) = match params.token {
        Some(token) => (token, 0),
        None => {
            let (address, mined) = create("token", creation_code(TEST_TOKEN)?).await?;
            (address, mined.gas_used)
        }
    };
    let (market, mined) = create("market", market_code(token, params)?).await?;
    let (float_unit, floats) = create("floats", creation_code(FLOAT_UNIT)?).await?;
    let (step_unit, steps) = create("steps", step_unit_code(float_unit)?).await?;
    let (court, judged) = create("court", court_code(market, step_unit, params.court)?).await?;
    Ok(Deployed {
        token,
        market,
        block: mined.block,
        token_gas,
        market_gas: mined.gas_used,
        court,
        step_unit,
        float_unit,
        court_gas: floats.gas_used.saturating_add(steps.gas_used).saturating_add(judged.gas_used),
    })
}

const COURT: &str = include_str!("../../../contracts/artifacts/Court.json");
const FLOAT_UNIT: &str = include_str!("../../../contracts/artifacts/FloatUnit.json");
const STEP_UNIT: &str = include_str!("../../../contracts/artifacts/StepUnit.json");
const MARKET: &str = include_str!("../../../contracts/artifacts/Market.json");
const TEST_TOKEN: &str = include_str!("../../../contracts/artifacts/TestToken.json");

/// Code of a contract, as this crate was built with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    bytecode: &'a str,
    deployed_bytecode: &'a str,
}

fn artifact(text: &str, code: impl Fn(Artifact<'_>) -> &str) -> Result<Vec<u8>, ChainError> {
    let broken = |e: &dyn std::fmt::Display| ChainError::Deploy(format!("artifact: {e}"));
    let artifact: Artifact<'_> = serde_json::from_str(text).map_err(|e| broken(&e))?;
    hex::decode(code(artifact)).map_err(|e| broken(&e))
}

fn creation_code(text: &str) -> Result<Vec<u8>, ChainError> {
    artifact(text, |artifact| artifact.bytecode)
}

fn market_code(token: Address, params: DeployParams) -> Result<Vec<u8>, ChainError> {
    let DeployParams { challenge_window, answer_window, grace, case_bond, .. } = params;
    let mut data = creation_code(MARKET)?;
    data.extend((token, challenge_window, answer_window, grace, case_bond).abi_encode_params());
    Ok(data)
}

fn step_unit_code(float_unit: Address) -> Result<Vec<u8>, ChainError> {
    let mut data = creation_code(STEP_UNIT)?;
    data.extend((float_unit,).abi_encode_params());
    Ok(data)
}

fn court_code(market: Address, step_unit: Address, rules: CourtRules) -> Result<Vec<u8>, ChainError> {
    let rules = Rules {
        baseBond: rules.base_bond,
        bondPerTfuel: rules.bond_per_tfuel,
        baseSeconds: rules.base_seconds,
        moveSeconds: rules.move_seconds,
        fuelPerSecond: rules.fuel_per_second,
    };
    let mut data = creation_code(COURT)?;
    data.extend((market, step_unit, rules).abi_encode_params());
    Ok(data)
}

/// Comparisons of code on chain with the artifacts of this crate: byte for byte, except for
/// immutables.
pub(crate) mod is_ours {
    use super::{COURT, FLOAT_UNIT, MARKET, STEP_UNIT, artifact, same_but_for_immutables};
    use crate::error::ChainError;

    fn same(text: &str, code: &[u8]) -> Result<bool, ChainError> {
        Ok(same_but_for_immutables(&artifact(text, |artifact| artifact.deployed_bytecode)?, code))
    }

    pub(crate) fn market(code: &[u8]) -> Result<bool, ChainError> {
        same(MARKET, code)
    }

    pub(crate) fn court(code: &[u8]) -> Result<bool, ChainError> {
        same(COURT, code)
    }

    pub(crate) fn step_unit(code: &[u8]) -> Result<bool, ChainError> {
        same(STEP_UNIT, code)
    }

    pub(crate) fn float_unit(code: &[u8]) -> Result<bool, ChainError> {
        same(FLOAT_UNIT, code)
    }
}

/// Returns whether two codes are equal except for immutables. The compiler leaves 32 zero bytes
/// after a PUSH32 for an immutable's value.
fn same_but_for_immutables(ours: &[u8], theirs: &[u8]) -> bool {
    const PUSH32: u8 = 0x7f;
    let is_hole = |at: usize| ours[at] == PUSH32 && ours.get(at + 1..at + 33).is_some_and(|hole| hole == [0; 32]);
    if ours.len() != theirs.len() {
        return false;
    }
    let mut at = 0;
    while at < ours.len() {
        if ours[at] != theirs[at] {
            return false;
        }
        at += if is_hole(at) { 33 } else { 1 };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immutables_may_differ_and_nothing_else() {
        let ours = [&[1, 0x7f][..], &[0; 32], &[2]].concat();
        let with = |value: u8, last: u8| [&[1, 0x7f][..], &[value; 32], &[last]].concat();
        assert!(same_but_for_immutables(&ours, &with(0, 2)) && same_but_for_immutables(&ours, &with(9, 2)));
        assert!(!same_but_for_immutables(&ours, &with(9, 3)));
        assert!(!same_but_for_immutables(&ours, &ours[1..]));
        let mut other = ours.clone();
        other[0] = 9;
        assert!(!same_but_for_immutables(&ours, &other));
        assert!(!same_but_for_immutables(&[0x7f, 0], &[0x7f, 1]), "no hole at the end");
    }
}
