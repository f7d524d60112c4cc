//! Quotes: what a job would cost, what a cheat would risk, who would be chosen and why not the
//! others. Nothing is spent.

use std::time::{Duration, Instant};

use rialto_chain::{MarketCall, OpenArgs, SendError, Terms};
use rialto_exec::{CancelFlag, SharedData, Task};
use rialto_protocol::{
    Address,
    bounds::{Lack, requester_loss},
    pricing::share,
};
use rialto_requester::{
    Accusable, Content, Job, JobError, JobId, NoMatch, Plan, Policy, PolicyQuote, RequesterError,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    buyer::{Buyer, blocking},
    error::HostError,
    job::{JobFile, JobFileError},
};

/// Longest wait for offers.
const OFFERS: Duration = Duration::from_secs(8);
/// Offers come by gossip: once some are there, so long without a new one is enough.
const SETTLED: Duration = Duration::from_secs(1);
/// Largest program, bytes.
const MAX_PROGRAM_BYTES: u64 = 64 << 20;
/// Cheats whose chance is told: on so many tasks.
const CHEATED: &[u64] = &[1, 10, 100, 1000];

/// One task, run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trial {
    /// Fuel it used.
    pub fuel: u64,
    /// Milliseconds it took.
    pub milliseconds: u64,
    /// "finished", "failed", "trap", "out of fuel".
    pub ending: String,
    /// Its exit code.
    pub exit_code: u32,
    /// Bytes it put out.
    pub out_bytes: u64,
}

/// A policy's price and what it leaves unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyPrice {
    /// The policy.
    pub policy: String,
    /// Whether the job file asks for it.
    pub chosen: bool,
    /// Base units for all providers together, if it can be done.
    pub pay: Option<u128>,
    /// Fuel that this machine burns for it.
    pub own_fuel: u128,
    /// Why it can't be done.
    pub why: Option<String>,
    /// For a cheat on so many tasks: the probability in parts per million that it stays unseen, at
    /// most.
    pub unseen: Vec<(u64, u32)>,
}

/// A provider that would be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Chosen {
    /// Its account.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub provider: Address,
    /// Base units per Tfuel, now.
    pub price: u128,
    /// Base units per task.
    pub task_fee: u128,
    /// Budget that would be locked, base units.
    pub budget: u128,
    /// The provider's own money that would be locked beside it, base units.
    pub collateral: u128,
    /// Length of the deal, seconds.
    pub seconds: u32,
    /// Task runs expected to land there.
    pub share: u64,
    /// The deal's court; zero for none.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub court: Address,
    /// What is missing to take a wrong claim to court, if anything is.
    #[cfg_attr(test, schemars(with = "Option<crate::view::schema::Lack>"))]
    pub lack: Option<Lack>,
    /// The most that can be lost in the deal besides the vouchers for what is accepted, base units
    /// (docs/threat-model.md).
    pub unproven: u128,
}

/// An offer that would not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// Its provider.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub provider: Address,
    /// The constraint.
    pub why: String,
}

/// The transaction that would open the deals, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Opening {
    /// Who would send it.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub account: Address,
    /// Gas that it would use now; none if the contract would refuse it.
    pub gas: Option<u64>,
    /// Why it would be refused.
    pub refused: Option<String>,
    /// Wei per gas, now.
    pub gas_price_wei: u128,
    /// Gas money of the account, wei.
    pub gas_money_wei: u128,
    /// Highest price that is taken, base units per Tfuel, if the job sets one: prices move until it
    /// is sent.
    pub max_price: Option<u128>,
    /// What would stay in the market account, base units: one bond of an accusation for each deal,
    /// those that are open included.
    pub bonds: u128,
}

/// What taking up a job again would buy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// Tasks that are left.
    pub left: u64,
    /// Who would be chosen; nobody if the deals that are open can do what is left.
    pub chosen: Vec<Chosen>,
    /// Expected cost of what the chosen do, base units.
    pub cost: Option<u128>,
    /// Money that would be locked besides what is, base units.
    pub locked: Option<u128>,
    /// Why nobody is found.
    pub no_match: Option<String>,
    /// The budget, what was paid before included, base units.
    pub budget: u128,
    /// What would be sent, if anything.
    pub opening: Option<Opening>,
}

/// What a job would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quote {
    /// Tasks.
    pub tasks: u64,
    /// The first task, run here.
    pub trial: Trial,
    /// Every policy's price; the file's own first.
    pub policies: Vec<PolicyPrice>,
    /// Who would be chosen.
    pub chosen: Vec<Chosen>,
    /// Who would not, by which constraint.
    pub left_out: Vec<LeftOut>,
    /// Expected cost of the job as it is written, base units.
    pub cost: Option<u128>,
    /// Money locked while it runs, base units.
    pub locked: Option<u128>,
    /// Expected seconds.
    pub seconds: Option<u64>,
    /// Why it can't be done as it is written.
    pub no_match: Option<String>,
    /// The budget, base units.
    pub budget: u128,
    /// What would be sent, if it can be done.
    pub opening: Option<Opening>,
}

pub(crate) async fn quote(buyer: &Buyer, file: &JobFile, mut job: Job) -> Result<Quote, HostError> {
    let trial = trial(buyer, &job).await?;
    job.expected_fuel = Some(trial.fuel);
    heard(buyer, job.min_providers as usize).await?;
    let mut policies = vec![file.verify];
    for policy in [
        Policy::Trust,
        Policy::Audit { rate_ppm: 50_000 },
        Policy::Adaptive { floor_ppm: 20_000 },
        Policy::Replicate { n: 2 },
        Policy::Replicate { n: 3 },
    ] {
        let like =
            |known: &Policy| std::mem::discriminant(known) == std::mem::discriminant(&policy);
        let known = if matches!(policy, Policy::Replicate { .. }) {
            policies.contains(&policy)
        } else {
            policies.iter().any(like)
        };
        if !known {
            policies.push(policy);
        }
    }
    let tasks = job.tasks.len() as u64;
    let cheated = CHEATED.iter().copied().filter(|count| *count <= tasks).collect();
    let quotes = buyer.requester.quotes(&job, policies, cheated).await?;
    let own = quotes.first().ok_or_else(|| HostError::Broken("no quote".into()))?;
    let excluded = own.plan.as_ref().map_or_else(NoMatch::excluded, |plan| &plan.excluded);
    let left_out = excluded
        .iter()
        .map(|left| LeftOut { provider: left.provider, why: left.why.to_string() })
        .collect();
    let plan = own.plan.as_ref().ok();
    let means = Means { runs: job.run_locally, fuel_limit: job.limits.fuel };
    let price_of = |quote: &PolicyQuote| PolicyPrice {
        policy: quote.policy.to_string(),
        chosen: quote.policy == file.verify,
        pay: quote.price.map(|price| price.pay),
        own_fuel: quote.price.map_or(0, |price| price.own_fuel),
        why: quote.plan.as_ref().err().map(ToString::to_string),
        unseen: quote.detection.iter().map(|(count, found)| (*count, 1_000_000 - found)).collect(),
    };
    Ok(Quote {
        opening: opening(buyer, plan, file.max_price, means).await?,
        tasks,
        trial,
        chosen: chosen(plan, means),
        left_out,
        cost: own.price.map(|price| price.pay),
        locked: plan.map(|plan| plan.locked),
        seconds: plan.map(|plan| plan.seconds),
        no_match: own.plan.as_ref().err().map(ToString::to_string),
        budget: file.budget,
        policies: quotes.iter().map(price_of).collect(),
    })
}

/// What taking a job up again would buy, until `within` from now.
pub(crate) async fn resumption(
    buyer: &Buyer,
    job: JobId,
    within: Duration,
    budget: Option<u128>,
) -> Result<Resumption, HostError> {
    let (file, status) = (buyer.file(job).await?, buyer.requester.status(job).await?);
    heard(buyer, file.least.unwrap_or(1) as usize).await?;
    let (plan, no_match) = match buyer.requester.quote_resumed(job, within, budget).await? {
        Ok(plan) => (plan, None),
        Err(why) => (None, Some(why.to_string())),
    };
    let means = Means { runs: file.run_here, fuel_limit: file.fuel };
    Ok(Resumption {
        left: status.progress.tasks.saturating_sub(status.progress.verified),
        chosen: chosen(plan.as_ref(), means),
        cost: plan.as_ref().map(|plan| plan.cost),
        locked: plan.as_ref().map(|plan| plan.locked),
        no_match,
        budget: budget.unwrap_or(file.budget),
        opening: opening(buyer, plan.as_ref(), file.max_price, means).await?,
    })
}

/// What a requester has to take a claim to court.
#[derive(Clone, Copy)]
struct Means {
    /// Whether it runs tasks itself.
    runs: bool,
    /// Of each task.
    fuel_limit: u64,
}

/// Who would be chosen, and what can be lost there. Nothing is opened without the bonds of
/// accusations: they lack nowhere.
fn chosen(plan: Option<&Plan>, means: Means) -> Vec<Chosen> {
    let deals = plan.map(|plan| plan.deals.iter()).into_iter().flatten();
    let chosen = deals.map(|deal| {
        let ask = &deal.offer.ask.value;
        let lack = if ask.court.is_zero() || !deal.offer.known_court {
            Some(Lack::Court)
        } else {
            (!means.runs).then_some(Lack::Runs)
        };
        Chosen {
            provider: ask.provider,
            price: deal.price,
            task_fee: ask.taskFee,
            budget: deal.budget,
            collateral: share(deal.budget, ask.collateralBps).unwrap_or(u128::MAX),
            seconds: deal.seconds,
            share: deal.share,
            court: ask.court,
            lack,
            // Whatever is ordered there may be claimed, up to the budget.
            unproven: requester_loss(deal.budget, 0, deal.budget, lack),
        }
    });
    chosen.collect()
}

/// What opening a plan's deals would take now, if it has any.
async fn opening(
    buyer: &Buyer,
    plan: Option<&Plan>,
    max_price: Option<u128>,
    means: Means,
) -> Result<Option<Opening>, HostError> {
    let Some(plan) = plan.filter(|plan| !plan.deals.is_empty()) else { return Ok(None) };
    let (chain, account) = (&buyer.chain, buyer.account());
    let opened_at = chain.now().await.map_err(SendError::from)?;
    let args = (0..).zip(&plan.deals).map(|(salt, deal)| OpenArgs {
        ask: deal.offer.ask.value.clone(),
        signature: deal.offer.ask.signature.clone(),
        terms: Terms {
            key: account,
            budget: deal.budget,
            opened_at,
            duration: deal.seconds,
            max_price: max_price.unwrap_or(u128::MAX),
            salt,
        },
    });
    let estimate = chain.estimate(account, &MarketCall::Open(args.collect())).await;
    let gas_price_wei = chain.gas_price().await.map_err(SendError::from)?;
    let gas_money_wei =
        chain.native_balance(account).await.map_err(SendError::from)?.saturating_to();
    let accusable = plan.deals.iter().filter_map(|deal| {
        let court = deal.offer.ask.value.court;
        let asked = means.runs && !court.is_zero() && deal.offer.known_court;
        asked.then_some(Accusable { court, fuel_limit: means.fuel_limit })
    });
    let bonds = buyer.requester.bonds(accusable).await?;
    let holds = chain.account(account).await.map_err(SendError::from)?;
    let (gas, refused) = match estimate {
        Ok(_) if holds < plan.locked.saturating_add(bonds) => {
            (None, Some(JobError::Bonds { holds, takes: plan.locked, bonds }.to_string()))
        }
        Ok(gas) => (Some(gas), None),
        Err(why) => (None, Some(why.to_string())),
    };
    Ok(Some(Opening { account, gas, refused, gas_price_wei, gas_money_wei, max_price, bonds }))
}

/// Waits until offers are there, and no more come.
async fn heard(buyer: &Buyer, wanted: usize) -> Result<(), RequesterError> {
    let start = Instant::now();
    let (mut known, mut changed) = (0, Instant::now());
    while start.elapsed() < OFFERS {
        let now = buyer.requester.offers().await?.len();
        if now != known {
            (known, changed) = (now, Instant::now());
        }
        let settled = changed.elapsed() > SETTLED;
        if settled && (known >= wanted || (known > 0 && changed.elapsed() > 3 * SETTLED)) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn trial(buyer: &Buyer, job: &Job) -> Result<Trial, HostError> {
    let (executor, program, shared) =
        (buyer.executor.clone(), job.program.clone(), job.shared.clone());
    let (task, limits, seed) = (job.tasks[0].clone(), job.limits, job.seed.unwrap_or(0));
    blocking(move || {
        let wasm = match program {
            Content::Bytes(bytes) => bytes,
            Content::File(path) => {
                let failed = |why: std::io::Error| JobFileError::File {
                    path: path.display().to_string(),
                    why: why.to_string(),
                };
                let size = std::fs::metadata(&path).map_err(failed)?.len();
                if size > MAX_PROGRAM_BYTES {
                    return Err(
                        failed(std::io::Error::other("larger than a program may be")).into()
                    );
                }
                std::fs::read(&path).map_err(failed)?.into()
            }
        };
        let shared = match shared {
            None => SharedData::none(),
            Some(Content::Bytes(bytes)) => SharedData::bytes(bytes),
            Some(Content::File(path)) => SharedData::file(&path).map_err(|why| {
                JobFileError::File { path: path.display().to_string(), why: why.to_string() }
            })?,
        };
        let program = executor.prepare(&wasm, &CancelFlag::new())?;
        let start = Instant::now();
        let task = Task { input: &task, shared: &shared, limits, seed };
        let outcome = program.run(&task, &CancelFlag::new())?;
        Ok(Trial {
            fuel: outcome.halted.fuel_used(limits.fuel),
            milliseconds: start.elapsed().as_millis() as u64,
            ending: crate::job::ending(&outcome.halted).to_owned(),
            exit_code: outcome.halted.exit_code,
            out_bytes: outcome.halted.out_len,
        })
    })
    .await?
}
