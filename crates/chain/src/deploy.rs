//! Deployment of the committed artifacts: the market, its court with the judges of steps, and, for
//! the embedded chain, its test token.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;

use crate::bindings::{IToken, Rules};
use crate::chain::{ChainConfig, read};
use crate::court::CourtRules;
use crate::error::{ChainError, SendError};
use crate::eth::CallRequest;
use crate::journal::{Mined, RawCall};
use crate::known::{Code, CourtArtifacts, creation_code, deployed_code};
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
pub async fn deploy(
    rpc: &Rpc,
    signer: PrivateKeySigner,
    params: DeployParams,
) -> Result<Deployed, SendError> {
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
    let market = if params.token.is_some() {
        market
    } else {
        with_a_token(&market, creation_code(MARKET)?.len())
    };
    let market_gas = estimate(market).await?;
    let mut court_bytes = 0;
    let CourtArtifacts { court, step_unit, float_unit } = CourtArtifacts::COMMITTED;
    for text in [float_unit, step_unit, court] {
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

/// Deploys a court with its judges for a market that exists: one of another version of the machine,
/// beside those that are there. It forgets everything when it ends.
pub async fn deploy_court(
    at: &ChainConfig,
    signer: PrivateKeySigner,
    rules: CourtRules,
    artifacts: CourtArtifacts<'_>,
) -> Result<Address, SendError> {
    let link = Arc::new(Link::connect(at).await?);
    let sender = TxSender::start(link, signer, None).await?;
    let made = send_court(&sender, "", at.market, rules, artifacts).await;
    sender.stop().await;
    Ok(made?.court)
}

async fn create(
    sender: &TxSender,
    intent: String,
    data: Vec<u8>,
) -> Result<(Address, Mined), SendError> {
    let call = RawCall { to: None, data: data.into(), value: U256::ZERO };
    let mined = sender.send(intent, call).await?;
    let address =
        mined.created.ok_or_else(|| ChainError::Deploy(format!("{} created nothing", mined.tx)))?;
    Ok((address, mined))
}

struct MadeCourt {
    court: Address,
    step_unit: Address,
    float_unit: Address,
    gas: u64,
}

async fn send_court(
    sender: &TxSender,
    prefix: &str,
    market: Address,
    rules: CourtRules,
    artifacts: CourtArtifacts<'_>,
) -> Result<MadeCourt, SendError> {
    let create = |intent: &str, data| create(sender, format!("{prefix}{intent}"), data);
    let (float_unit, floats) = create("floats", creation_code(artifacts.float_unit)?).await?;
    let (step_unit, steps) =
        create("steps", step_unit_code(artifacts.step_unit, float_unit)?).await?;
    let (court, judged) =
        create("court", court_code(artifacts.court, market, step_unit, rules)?).await?;
    let gas = floats.gas_used.saturating_add(steps.gas_used).saturating_add(judged.gas_used);
    Ok(MadeCourt { court, step_unit, float_unit, gas })
}

async fn send(
    sender: &TxSender,
    prefix: &str,
    params: DeployParams,
) -> Result<Deployed, SendError> {
    let create = |intent: &str, data| create(sender, format!("{prefix}{intent}"), data);
    let (token, token_gas) = match params.token {
        Some(token) => (token, 0),
        None => {
            let (address, mined) = create("token", creation_code(TEST_TOKEN)?).await?;
            (address, mined.gas_used)
        }
    };
    let (market, mined) = create("market", market_code(token, params)?).await?;
    let made = send_court(sender, prefix, market, params.court, CourtArtifacts::COMMITTED).await?;
    Ok(Deployed {
        token,
        market,
        block: mined.block,
        token_gas,
        market_gas: mined.gas_used,
        court: made.court,
        step_unit: made.step_unit,
        float_unit: made.float_unit,
        court_gas: made.gas,
    })
}

const MARKET: &str = include_str!("../../../contracts/artifacts/Market.json");
const TEST_TOKEN: &str = include_str!("../../../contracts/artifacts/TestToken.json");

fn market_code(token: Address, params: DeployParams) -> Result<Vec<u8>, ChainError> {
    let DeployParams { challenge_window, answer_window, grace, case_bond, .. } = params;
    let mut data = creation_code(MARKET)?;
    data.extend((token, challenge_window, answer_window, grace, case_bond).abi_encode_params());
    Ok(data)
}

fn step_unit_code(artifact: &str, float_unit: Address) -> Result<Vec<u8>, ChainError> {
    let mut data = creation_code(artifact)?;
    data.extend((float_unit,).abi_encode_params());
    Ok(data)
}

fn court_code(
    artifact: &str,
    market: Address,
    step_unit: Address,
    rules: CourtRules,
) -> Result<Vec<u8>, ChainError> {
    let rules = Rules {
        baseBond: rules.base_bond,
        bondPerTfuel: rules.bond_per_tfuel,
        baseSeconds: rules.base_seconds,
        moveSeconds: rules.move_seconds,
        fuelPerSecond: rules.fuel_per_second,
    };
    let mut data = creation_code(artifact)?;
    data.extend((market, step_unit, rules).abi_encode_params());
    Ok(data)
}

/// Whether code on chain is the market that this crate was built with: byte for byte, but for its
/// immutables.
pub(crate) fn is_market(code: &[u8]) -> Result<bool, ChainError> {
    Ok(Code::of(&deployed_code(MARKET)?).is(code))
}
