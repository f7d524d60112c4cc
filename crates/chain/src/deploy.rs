//! Deploys the committed artifacts: the market, and for the embedded chain its test token.

use std::sync::Arc;

use alloy_primitives::{Address, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;
use serde::Deserialize;

use crate::chain::ChainConfig;
use crate::error::{ChainError, SendError};
use crate::journal::RawCall;
use crate::link::Link;
use crate::rpc::Rpc;
use crate::sender::TxSender;

/// What was deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The market's token.
    pub token: Address,
    /// The market.
    pub market: Address,
    /// Block that holds the market's creation: where its events begin.
    pub block: u64,
    /// Gas of the token's creation; 0 if it was there before.
    pub token_gas: u64,
    /// Gas of the market's creation.
    pub market_gas: u64,
}

/// What to deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployParams {
    /// An existing token; `None` deploys the mintable test token.
    pub token: Option<Address>,
    /// From a claim to its deadline, seconds.
    pub challenge_window: u64,
    /// From a late notice or demand to its deadline, seconds.
    pub answer_window: u64,
    /// After a deal's expiry, in which the provider can still claim, seconds.
    pub grace: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
}

/// Deploys a market, and its token where none is given, from the artifacts this crate was built with.
pub async fn deploy(rpc: &Rpc, signer: PrivateKeySigner, params: DeployParams) -> Result<Deployed, SendError> {
    let link = Arc::new(Link::connect(&ChainConfig::new(rpc.clone(), Address::ZERO)).await?);
    let sender = TxSender::start(link, signer, None).await?;
    let create = async |intent: &str, artifact: &str, args: Vec<u8>| {
        let mut data = creation_code(artifact)?;
        data.extend(args);
        let mined = sender.send(intent.into(), RawCall { to: None, data: data.into(), value: U256::ZERO }).await?;
        let address = mined.created.ok_or_else(|| ChainError::Deploy(format!("{} created nothing", mined.tx)))?;
        Ok::<_, SendError>((address, mined))
    };
    let (token, token_gas) = match params.token {
        Some(token) => (token, 0),
        None => {
            let (address, mined) = create("token", TEST_TOKEN, Vec::new()).await?;
            (address, mined.gas_used)
        }
    };
    let DeployParams { challenge_window, answer_window, grace, case_bond, .. } = params;
    let args = (token, challenge_window, answer_window, grace, case_bond).abi_encode_params();
    let (market, mined) = create("market", MARKET, args).await?;
    Ok(Deployed { token, market, block: mined.block, token_gas, market_gas: mined.gas_used })
}

const MARKET: &str = include_str!("../../../contracts/artifacts/Market.json");
const TEST_TOKEN: &str = include_str!("../../../contracts/artifacts/TestToken.json");

fn creation_code(artifact: &str) -> Result<Vec<u8>, SendError> {
    #[derive(Deserialize)]
    struct Artifact<'a> {
        bytecode: &'a str,
    }
    let broken = |e: &dyn std::fmt::Display| SendError::from(ChainError::Deploy(format!("artifact: {e}")));
    let artifact: Artifact<'_> = serde_json::from_str(artifact).map_err(|e| broken(&e))?;
    hex::decode(artifact.bytecode).map_err(|e| broken(&e))
}
