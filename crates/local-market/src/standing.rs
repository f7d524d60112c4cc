//! A market that outlives its process.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use rialto_chain::{Chain, Deployed, MarketCall, Sender};
use rialto_client::{LOCAL_REQUESTER, LocalFacts, local_key, write_private};
use rialto_devchain::{Server, serve};
use rialto_protocol::Address;
use serde::{Deserialize, Serialize};

use crate::{
    CASE_BOND, DEPOSIT, LocalProvider, ProviderPlan, connect, deploy_contracts,
    error::{LocalMarketError, Result, Step},
    local_rpc, open_chain, start_provider,
};

/// Most providers: so many accounts have gas money from the first block on.
pub const MAX_PROVIDERS: u32 = 64;

/// A market that outlives its process: whatever ran on its folder before goes on.
pub struct Standing {
    /// Reads of the chain.
    pub chain: Chain,
    /// What was deployed.
    pub deployed: Deployed,
    /// The chain's endpoint.
    pub server: Server,
    providers: Vec<LocalProvider>,
    folder: PathBuf,
}

/// What is written down once the contracts are there. Without it they are deployed anew, which
/// leaves only unused ones behind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Deployment {
    token: Address,
    market: Address,
    block: u64,
    court: Address,
    step_unit: Address,
    float_unit: Address,
    /// Port of the endpoint, taken again if it is free.
    port: u16,
}

impl Standing {
    /// Brings up what is in a folder, or begins it.
    pub async fn start(
        folder: &Path,
        plans: &[ProviderPlan],
        fuel_per_second: u64,
    ) -> Result<Self> {
        let admin = local_key("admin");
        let names: Vec<String> = (1..=MAX_PROVIDERS).map(|n| format!("provider-{n}")).collect();
        let mut accounts = vec![admin.address(), local_key(LOCAL_REQUESTER).address()];
        accounts.extend(names.iter().map(|name| local_key(name).address()));
        let devchain = open_chain(folder, &accounts)?;
        let rpc = local_rpc(devchain.clone());
        let file = folder.join("deployment.json");
        let known: Option<Deployment> = match std::fs::read(&file) {
            Ok(bytes) => {
                let damaged = |source| LocalMarketError::Damaged { file: file.clone(), source };
                Some(serde_json::from_slice(&bytes).map_err(damaged)?)
            }
            Err(_) => None,
        };
        let port = known.map_or(0, |known| known.port);
        let server = match serve(devchain.clone(), (Ipv4Addr::LOCALHOST, port).into()).await {
            Ok(server) => server,
            Err(_) => {
                let any = serve(devchain, (Ipv4Addr::LOCALHOST, 0).into()).await;
                any.step("the chain's endpoint did not start")?
            }
        };
        let deployed = match known {
            Some(Deployment { token, market, block, court, step_unit, float_unit, .. }) => {
                let (token_gas, market_gas, court_gas) = (0, 0, 0);
                Deployed {
                    token,
                    market,
                    block,
                    token_gas,
                    market_gas,
                    court,
                    step_unit,
                    float_unit,
                    court_gas,
                }
            }
            None => deploy_contracts(&rpc, &admin, CASE_BOND).await?,
        };
        let Deployed { token, market, block, court, step_unit, float_unit, .. } = deployed;
        let now = Deployment {
            token,
            market,
            block,
            court,
            step_unit,
            float_unit,
            port: server.addr().port(),
        };
        write_private(&file, &serde_json::to_vec_pretty(&now).expect("plain data"))?;
        let chain = connect(&rpc, market).await?;
        if !(chain.is_known_code().await? && chain.is_known_court(court).await?) {
            return Err(LocalMarketError::Older { folder: folder.to_owned() });
        }
        // Each account once: the intent's name says which.
        let sender = chain.sender(admin.clone(), &folder.join("admin.redb")).await?;
        for account in &accounts[1..=plans.len() + 1] {
            fund_once(&sender, admin.address(), *account)
                .await
                .step("the accounts were not funded")?;
        }
        sender.stop().await;
        let mut providers: Vec<LocalProvider> = Vec::with_capacity(plans.len());
        for (name, plan) in names.iter().zip(plans) {
            let bootstrap = providers.first().map(|first| first.peer.clone()).into_iter().collect();
            let home = folder.join(name);
            let provider =
                start_provider(&rpc, &deployed, name, &home, plan, bootstrap, fuel_per_second)
                    .await;
            providers.push(provider.step(format!("{name} did not start"))?);
        }
        Ok(Self { chain, deployed, server, providers, folder: folder.to_owned() })
    }

    /// What other processes have to know of it: [`LocalFacts::write`] tells those of a home folder.
    pub fn facts(&self) -> LocalFacts {
        LocalFacts {
            rpc: self.server.url(),
            chain_id: self.chain.chain_id(),
            market: self.deployed.market,
            token: self.deployed.token,
            first_block: self.deployed.block,
            court: Some(self.deployed.court),
            requester: local_key(LOCAL_REQUESTER).address(),
            pid: std::process::id(),
        }
    }

    /// Gives an account the deposit that every account starts with; once, however often it is
    /// called.
    ///
    /// # Errors
    /// The chain refused a transaction.
    pub async fn fund(&self, account: Address) -> Result<()> {
        let admin = local_key("admin");
        let sender = self.chain.sender(admin.clone(), &self.folder.join("admin.redb")).await?;
        let funded = fund_once(&sender, admin.address(), account).await;
        sender.stop().await;
        funded
    }

    /// Ends it in order.
    pub async fn stop(self) {
        for mut provider in self.providers {
            provider.stop().await;
        }
        self.server.shutdown().await;
    }
}

/// Mints test tokens and deposits them, once per account however often this is called.
async fn fund_once(sender: &Sender, admin: Address, account: Address) -> Result<()> {
    let step = |step: &str| format!("{step}-{account:x}");
    sender.send(step("mint"), MarketCall::Mint { to: admin, amount: DEPOSIT }).await?;
    sender.send(step("approve"), MarketCall::Approve { amount: DEPOSIT }).await?;
    sender.send(step("deposit"), MarketCall::Deposit { account, amount: DEPOSIT }).await?;
    Ok(())
}
