//! A requester on a market, for a program of one's own.

pub(crate) mod quote;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rialto_chain::{Chain, PrivateKeySigner};
use rialto_exec::{Engine, Executor};
use rialto_net::Node;
use rialto_protocol::Address;
use rialto_requester::{JobHandle, JobId, Requester, RequesterConfig};

use crate::{
    error::HostError,
    home::{Home, private_dir},
    job::JobFile,
    market::MarketConfig,
};
use quote::Quote;

/// Longest wait for a relay.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);

/// A requester on a market, with its endpoint and executor: what a program of one's own starts to
/// buy.
pub struct Buyer {
    /// Submits, watches, cancels.
    pub requester: Requester,
    /// Runs tasks here: trials, audits.
    pub executor: Arc<dyn Executor>,
    pub(crate) chain: Chain,
    node: Node,
    folder: PathBuf,
    account: Address,
}

impl Buyer {
    /// Starts, or goes on where an earlier one ended.
    ///
    /// # Errors
    /// `C-…`, `R-SVC-…`.
    pub async fn start(
        home: &Home,
        market: &MarketConfig,
        signer: PrivateKeySigner,
    ) -> Result<Self, HostError> {
        let chain = market.connect().await?;
        let account = signer.address();
        let folder = home.requester(chain.chain_id(), market.market, account);
        private_dir(&folder)?;
        let engine = Engine::new(rialto_exec::Config::new(folder.join("programs")))?;
        let executor: Arc<dyn Executor> = engine.into();
        let node = Node::bind(market.net(&folder)?).await?;
        if !node.online(RELAY_PATIENCE).await {
            tracing::warn!("the relay does not answer");
        }
        let config = RequesterConfig {
            first_block: market.first_block,
            ..RequesterConfig::new(&folder, signer)
        };
        let requester =
            Requester::start(config, chain.clone(), node.clone(), executor.clone()).await?;
        Ok(Self { requester, executor, chain, node, folder, account })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its account.
    pub fn account(&self) -> Address {
        self.account
    }

    /// Submits what a job file stands for. The file is kept beside the job.
    ///
    /// # Errors
    /// `C-JOB-…`, `R-…`.
    pub async fn submit(&self, file: &JobFile) -> Result<JobHandle, HostError> {
        let shared = Incoming::new(&self.folder);
        let (path, copy) = (shared.0.clone(), file.clone());
        let mut job = blocking(move || copy.job(&path)).await??;
        job.memo =
            serde_json::to_vec(file).map_err(|why| HostError::Broken(why.to_string()))?.into();
        Ok(self.requester.submit(job).await?)
    }

    /// The job file from which a job was submitted.
    ///
    /// # Errors
    /// `C-HST-003`, `R-SVC-008`.
    pub async fn file(&self, job: JobId) -> Result<JobFile, HostError> {
        let memo = self.requester.memo(job).await?;
        serde_json::from_slice(&memo).map_err(|_| HostError::NoFile { job })
    }

    /// What a job would cost under every policy, and why whom. One task is run here to know its
    /// fuel; nothing is spent.
    ///
    /// # Errors
    /// `C-JOB-…`, `R-…`, `E-…`.
    pub async fn quote(&self, file: &JobFile) -> Result<Quote, HostError> {
        let shared = Incoming::new(&self.folder);
        let (path, copy) = (shared.0.clone(), file.clone());
        let job = blocking(move || copy.sample(&path)).await??;
        quote::quote(self, file, job).await
    }

    /// Ends it in order. Jobs go on with the next start.
    pub async fn stop(self) {
        self.requester.stop().await;
        self.node.close().await;
    }
}

/// The file that a job's shared input is written to until it is submitted.
struct Incoming(PathBuf);

impl Incoming {
    fn new(folder: &Path) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(folder.join(format!("incoming-{}.part", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HostError> {
    tokio::task::spawn_blocking(work).await.map_err(|why| HostError::Broken(why.to_string()))
}
