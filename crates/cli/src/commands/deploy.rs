//! `rialto deploy`: a market on any EVM chain.

use anyhow::{Result, bail, ensure};
use clap::Args;
use rialto_chain::{
    ChainError, CourtError, CourtRules, DeployParams, Deployed, MarketError, PrivateKeySigner, Rpc,
    SendError,
};
use rialto_client::{MarketConfig, settings::TOKEN_DECIMALS, view};
use rialto_local_market::CHAIN_ID;
use rialto_protocol::Address;

use crate::{
    env::PlaceArgs,
    exit, transact,
    ui::{Paint, Ui, coins, money},
    windows::{Kind, Short, Windows},
};

/// Longest name of a deployment.
const MAX_NAME: usize = 64;

/// `rialto deploy`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto deploy --rpc https://rpc.example.org --token 0x0b2C… --explain    # says what would be sent, sends nothing
  rialto deploy --rpc https://rpc.example.org --token 0x0b2C…
  rialto deploy --rpc http://127.0.0.1:8545 --test-token                   # an embedded chain, or anvil

The market is immutable: token, windows and bond are for ever, and nobody owns it, you neither. Killed in the middle, the same
command goes on; run again, it tells the same addresses. Another market on the same chain needs another --name.")]
pub struct Deploy {
    /// The market's one token: an ERC-20 with permits (EIP-2612) and six decimals, such as a
    /// stablecoin.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "test_token")]
    pub token: Option<Address>,
    /// Deploy a token that anybody may mint, for trying. Only on chain 31337.
    #[arg(long, conflicts_with = "token")]
    pub test_token: bool,
    /// What kind of chain it is, which says how long windows should be (default: by the chain's id;
    /// one that is not known is taken for a rollup).
    #[arg(long, value_name = "KIND", value_enum)]
    pub kind: Option<Kind>,
    /// From a claim until it is paid unless disputed (default: 3 d on a rollup, 2 d on layer 1, 30
    /// min on a test chain).
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds)]
    pub challenge: Option<u64>,
    /// To answer a late notice or a demand (default: 2 d on a rollup, 1 d on layer 1, 10 min on a
    /// test chain; no longer than
    /// --challenge and --grace).
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds)]
    pub answer: Option<u64>,
    /// After a deal's expiry, in which the provider can still redeem and claim (default: 2 d on a
    /// rollup, 1 d on layer 1, 10 min on a test chain).
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds)]
    pub grace: Option<u64>,
    /// Bond of a late notice or demand, tokens: should cover the gas of answering one.
    #[arg(long, value_name = "AMOUNT", default_value = "1", value_parser = crate::env::values::amount)]
    pub bond: u128,
    /// The court's time for a turn of a dispute, at least; at most 8 h (default: 8 h on a rollup, 6
    /// h on layer 1, 5 min on a test chain).
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds)]
    pub court_move: Option<u64>,
    /// Take turns that are shorter than the chain may be out of reach.
    #[arg(long)]
    pub short_turns: bool,
    /// Each side's time in a dispute besides what tracing takes.
    #[arg(long, value_name = "TIME", default_value = "10 min", value_parser = crate::env::values::seconds)]
    pub court_base: u64,
    /// Bond of an accusation, tokens: should cover the gas of a dozen moves.
    #[arg(long, value_name = "AMOUNT", default_value = "5", value_parser = crate::env::values::amount)]
    pub court_bond: u128,
    /// And per Tfuel of the order's fuel limit, tokens: should cover tracing so much.
    #[arg(long, value_name = "AMOUNT", default_value = "2", value_parser = crate::env::values::amount)]
    pub court_bond_per_tfuel: u128,
    /// What the deployment is called in this wallet: the same name goes on where it was.
    #[arg(long, value_name = "NAME", default_value = "market")]
    pub name: String,
    /// Show what would be sent and what it costs. Nothing is sent.
    #[arg(long)]
    pub explain: bool,
}

impl Deploy {
    fn params(&self, kind: Kind) -> DeployParams {
        let usual = kind.windows();
        let (challenge, grace) =
            (self.challenge.unwrap_or(usual.challenge), self.grace.unwrap_or(usual.grace));
        // The contract takes no longer one.
        let answer = self.answer.unwrap_or(usual.answer.min(challenge).min(grace));
        DeployParams {
            token: self.token,
            challenge_window: challenge,
            answer_window: answer,
            grace,
            case_bond: self.bond,
            court: CourtRules {
                base_bond: self.court_bond,
                bond_per_tfuel: self.court_bond_per_tfuel,
                // Above 2^32 − 1 s the contract says no, too.
                base_seconds: u32::try_from(self.court_base).unwrap_or(u32::MAX),
                move_seconds: u32::try_from(self.court_move.unwrap_or(usual.turn))
                    .unwrap_or(u32::MAX),
                ..CourtRules::default()
            },
        }
    }
}

/// Deploys, or says what it would.
pub async fn deploy(args: &Deploy, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    ensure!(
        !args.name.is_empty() && args.name.len() <= MAX_NAME && args.name.chars().all(fits),
        failure!(
            Usage,
            "C-DPL-001",
            "--name {}: at most {MAX_NAME} letters, digits and dashes",
            args.name
        )
    );
    let on = place.chain()?;
    let account = place.whose(&on)?;
    let kind = match args.kind {
        Some(kind) => kind,
        None => Kind::of(rialto_chain::chain_id(&on.chain()).await?),
    };
    let params = args.params(kind);
    let quote =
        rialto_chain::quote_deployment(&on.chain(), account, params).await.map_err(flagged)?;
    ensure!(
        args.token.is_some() || quote.chain_id == CHAIN_ID,
        failure!(
            Usage,
            "C-DPL-002",
            "--test-token on chain {}: anybody could mint it; name a token with --token",
            quote.chain_id
        )
    );
    if let Some(decimals) = quote.decimals {
        ensure!(
            u32::from(decimals) == TOKEN_DECIMALS,
            failure!(
                Usage,
                "C-DPL-003",
                "the token {} has {decimals} decimals: amounts are written with {TOKEN_DECIMALS} everywhere",
                args.token.unwrap_or_default()
            )
        );
    }
    let windows = Windows::of(&params);
    let short_turn = windows.short_turn(kind);
    let short: Vec<Short> = windows
        .short(kind)
        .into_iter()
        .chain(short_turn.clone().filter(|_| args.short_turns))
        .collect();
    for short in &short {
        eprintln!("warning: [{}] {}", short.code, short.text);
    }
    if let Some(Short { code, text }) = short_turn.filter(|_| !args.short_turns) {
        bail!(
            "[{code}] {text}; a court is for ever: --court-move, or --short-turns if that is meant"
        );
    }
    if args.explain {
        explain(args, kind, &params, &short, account, &quote, ui);
        return Ok(exit::OK);
    }
    let signer = place.signer(&on).await?;
    if ui.for_people() {
        let (told, chain) = (told_windows(&params), quote.chain_id);
        eprintln!(
            "deploying to chain {chain} by {account}: {told}\nkilled in the middle, the same command goes on"
        );
    }
    let journal = transact::journal(place, quote.chain_id, account)?;
    let deployed = send(args, params, &on, signer, &journal).await?;
    told(&on, place, quote.chain_id, &deployed, ui);
    Ok(exit::OK)
}

async fn send(
    args: &Deploy,
    params: DeployParams,
    on: &MarketConfig,
    signer: PrivateKeySigner,
    journal: &std::path::Path,
) -> Result<Deployed> {
    match rialto_chain::deploy_by(&on.chain(), signer, params, journal, &args.name).await {
        Err(SendError::IntentConflict(_)) => bail!(failure!(
            Usage,
            "C-DPL-004",
            "this wallet deployed another market as \"{0}\" here: give the same parameters to go on with it, or --name for another one",
            args.name
        )),
        Err(SendError::Rejected(error)) => Err(flagged(ChainError::Contract(error))),
        other => Ok(other?),
    }
}

/// With the flags that a refusal is about.
fn flagged(error: ChainError) -> anyhow::Error {
    let ChainError::Contract(refused) = &error else { return error.into() };
    match (refused.market(), refused.court()) {
        (Some(MarketError::WindowTooLong(_) | MarketError::AnswerWindowOutOfRange(_)), _) => {
            anyhow::Error::from(refused.clone())
                .context("choose other --challenge, --answer, --grace")
        }
        (_, Some(CourtError::RulesOutOfRange(_))) => {
            anyhow::Error::from(refused.clone()).context("choose another --court-move")
        }
        _ => refused.clone().into(),
    }
}

fn told_windows(params: &DeployParams) -> String {
    use crate::ui::span;
    format!(
        "claims are paid after {}, notices and demands answered within {}, {} of grace, bond {}",
        span(params.challenge_window),
        span(params.answer_window),
        span(params.grace),
        money(params.case_bond)
    )
}

fn turns(rules: &CourtRules) -> String {
    use crate::ui::span;
    format!(
        "{} for a turn, {} besides tracing, bond {} and {} per Tfuel",
        span(rules.move_seconds.into()),
        span(rules.base_seconds.into()),
        money(rules.base_bond),
        money(rules.bond_per_tfuel)
    )
}

fn explain(
    args: &Deploy,
    kind: Kind,
    params: &DeployParams,
    short: &[Short],
    account: Address,
    quote: &rialto_chain::DeployQuote,
    ui: Ui,
) {
    let market = format!("create the market: {}", told_windows(params));
    let court = format!("create its court, in three parts: {}", turns(&params.court));
    let mut plans = Vec::new();
    plans.extend(
        quote.token_gas.map(|gas| ("create a test token that anybody may mint", Some(gas))),
    );
    plans.push((market.as_str(), Some(quote.market_gas)));
    plans.push((court.as_str(), Some(quote.court_gas)));
    let to = format!(
        "to chain {} ({}) by {account}, which has {} coins of gas money",
        quote.chain_id,
        kind.name(),
        coins(quote.balance_wei.saturating_to())
    );
    let shown = |plan| view::DeployPlan {
        chain_id: quote.chain_id,
        account: account.into(),
        token: args.token.map(Into::into),
        balance_wei: quote.balance_wei.saturating_to::<u128>().into(),
        kind: kind.word().to_owned(),
        short: short.iter().map(Short::view).collect(),
        challenge_seconds: params.challenge_window,
        answer_seconds: params.answer_window,
        grace_seconds: params.grace,
        bond: params.case_bond.into(),
        court_move_seconds: params.court.move_seconds,
        court_base_seconds: params.court.base_seconds,
        court_bond: params.court.base_bond.into(),
        court_bond_per_tfuel: params.court.bond_per_tfuel.into(),
        plan,
    };
    transact::explain(&to, &plans, quote.gas_price_wei, shown, ui);
}

fn told(on: &MarketConfig, place: &PlaceArgs, chain_id: u64, deployed: &Deployed, ui: Ui) {
    // A provider's URL may hold a key in its path: that is not repeated.
    let (rpc, note) = match &on.rpc {
        Rpc::Http(url) | Rpc::Private { url, .. } if url.path() == "/" && url.query().is_none() => {
            (url.origin().ascii_serialization(), "")
        }
        Rpc::Http(url) | Rpc::Private { url, .. } => {
            (format!("{}/…", url.origin().ascii_serialization()), "   # as you wrote it")
        }
        Rpc::Local(_) => (String::new(), ""),
    };
    let file = place.home().map(|home| home.config().display().to_string()).unwrap_or_default();
    let text = format!(
        "{}\n  market  {}\n  court   {}\n  token   {}\n  chain   {chain_id}, block {}\n  gas     {}\n\nlines for {file}, everybody's who is to use it:\n[market]\nrpc = \"{rpc}\"{note}\naddress = \"{}\"\nfirst_block = {}\ncourt = \"{}\"",
        Paint::for_stdout().bold("the market is there"),
        deployed.market,
        deployed.court,
        deployed.token,
        deployed.block,
        deployed.token_gas + deployed.market_gas + deployed.court_gas,
        deployed.market,
        deployed.block,
        deployed.court,
    );
    ui.answer(&text, || view::Deployed {
        market: deployed.market.into(),
        token: deployed.token.into(),
        chain_id,
        first_block: deployed.block,
        court: deployed.court.into(),
        step_unit: deployed.step_unit.into(),
        float_unit: deployed.float_unit.into(),
        market_gas: deployed.market_gas,
        token_gas: deployed.token_gas,
        court_gas: deployed.court_gas,
    });
}
