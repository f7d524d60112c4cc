//! Accusing by hand: from a stored receipt, after tracing the task here.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_chain::{
    Court, CourtCall, CourtEvent, DealStatus, FromLog, MarketCall, Mined, SendError,
};
use rialto_client::{History, SignedTask, signed_tasks, view};
use rialto_protocol::{Address, GameId, receipt::Halted};

use super::sender;
use crate::{
    env::PlaceArgs,
    retrace::{alike, ended_job, ending, task_of, traced},
    transact::{self, Account},
    ui::{Ui, bare, money, span},
};

/// An accusation that reverted, because something came in between, is tried again so often.
const MAX_REVERTS: u32 = 8;

/// `rialto dispute accuse`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto dispute accuse 3f2a 7 --explain      # traces the task; says what would be sent and locked
  rialto dispute accuse 3f2a 7                # asks before it sends
  rialto dispute accuse pricing 0 --provider 0x7099… --yes

An accusation is of a whole receipt, and locks a bond; the provider has to open it, down to the task that is wrong. Who accuses a
right receipt loses the bond; who accuses a wrong one has to answer every turn in time, or loses it, too.")]
pub struct AccuseCommand {
    /// An ended job: its id, the beginning of it, or its name.
    job: String,
    /// Which task, from 0 on.
    task: u32,
    /// Provider, if several signed a result (default: the first with a wrong result).
    #[arg(long, value_name = "ADDRESS")]
    provider: Option<Address>,
    /// Show what would be sent and locked. Nothing is sent.
    #[arg(long)]
    explain: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    /// Accuse although tracing gives the signed result. The accuser then loses its bond.
    #[arg(long)]
    force: bool,
}

/// What is accused, and what tracing found.
struct Charge {
    signed: SignedTask,
    theirs: Halted,
    ours: Halted,
    steps: u64,
}

impl Charge {
    fn is_wrong(&self) -> bool {
        self.theirs.hash() != self.ours.hash()
    }

    /// What tracing found, for people.
    fn told(&self) -> String {
        let provider = self.signed.provider();
        match self.is_wrong() {
            true => format!(
                "{provider} signed {}: {}; tracing gives {}: {}, after {} steps",
                self.theirs.hash(),
                ending(&self.theirs),
                self.ours.hash(),
                ending(&self.ours),
                self.steps
            ),
            false => format!(
                "{provider} signed what tracing gives: {}, after {} steps",
                self.ours.hash(),
                self.steps
            ),
        }
    }
}

/// Traces, and accuses.
pub(super) async fn accuse(
    account: &Account,
    place: &PlaceArgs,
    history: &History,
    args: &AccuseCommand,
    ui: Ui,
) -> Result<()> {
    let charge = charge(account, place, args).await?;
    ensure!(
        charge.is_wrong() || args.force,
        failure!(
            Failed,
            "C-DSP-006",
            "{}. Accusing it would lose the bond (--force does it all the same)",
            charge.told()
        )
    );
    let (signed, deal) = (&charge.signed, &charge.signed.deal);
    let games = history.games();
    let ours = |game: &&rialto_client::GameTale| {
        let view = &game.story.view;
        game.is_open()
            && view.game.order == signed.order_hash()
            && view.game.accuser == account.address
    };
    if let Some(game) = games.iter().find(ours) {
        bail!(failure!(
            Failed,
            "C-DSP-011",
            "{} accused it already: rialto dispute show {}",
            account.address,
            game.id
        ));
    }
    let state = account.chain.deal_state(signed.order.order.value.deal).await?;
    ensure!(
        state.status == DealStatus::Open,
        failure!(
            Failed,
            "C-DSP-005",
            "{}. But the deal {} is not open any more: there is no collateral left in it to lose",
            charge.told(),
            signed.order.order.value.deal
        )
    );
    ensure!(
        !deal.court.is_zero(),
        failure!(Failed, "C-DSP-007", "the deal names no court: nobody can be accused")
    );
    let court = account.chain.court(deal.court).await?;
    ensure!(
        court.is_known_code().await?,
        failure!(
            Failed,
            "C-DSP-007",
            "the court {} is not of the code that this program knows: it is given no money",
            deal.court
        )
    );
    let money_needed = Bond::look(account, &court, signed.order.order.value.fuelLimit).await?;
    let accusation =
        signed.accusation().context(failure!(Failed, "C-DSP-004", "the receipt is not whole"))?;
    if args.explain {
        return explain(account, &court, &charge, &money_needed, accusation, ui).await;
    }
    if ui.for_people() {
        println!("{}", charge.told());
    }
    if !charge.is_wrong() {
        eprintln!(
            "warning: the result is right, and the bond of {} will be lost",
            money(money_needed.bond)
        );
    }
    let question = format!(
        "Accuse {} before the court {} and lock a bond of {}? Every turn has to be answered in time.",
        signed.provider(),
        court.address(),
        money(money_needed.bond)
    );
    transact::confirm(&question, args.yes)?;
    let mined = send(account, &court, &charge, accusation).await?;
    told(account, place, &court, &charge, &mined, ui).await
}

/// Finds what was signed about the task, and traces it.
async fn charge(account: &Account, place: &PlaceArgs, args: &AccuseCommand) -> Result<Charge> {
    let (folder, report) = ended_job(place, &args.job)?;
    let (chain_id, market) = (report.evidence.chain_id, report.evidence.market);
    ensure!(
        (chain_id, market) == (account.chain.chain_id(), account.chain.market()),
        failure!(
            Usage,
            "C-DSP-008",
            "the job was bought on the market {market} of chain {chain_id}: choose that one (--rpc, --market)"
        )
    );
    let mut all = signed_tasks(&report, args.task)?;
    all.retain(|one| {
        one.halted().is_some() && args.provider.is_none_or(|provider| provider == one.provider())
    });
    let mut found: Option<Charge> = None;
    let mut known: Vec<(SignedTask, Halted, u64)> = Vec::new();
    for signed in all {
        let Some(theirs) = signed.halted().copied() else { continue };
        let (ours, steps) = match known.iter().find(|(other, ..)| alike(other, &signed)) {
            Some((_, ours, steps)) => (*ours, *steps),
            None => {
                let replay = task_of(&folder, &signed).await?;
                let (steps, ours) =
                    traced(&replay, Some(theirs.fuel_used(replay.limits.fuel))).await?;
                known.push((signed.clone(), ours, steps));
                (ours, steps)
            }
        };
        let charge = Charge { signed, theirs, ours, steps };
        if charge.is_wrong() {
            return Ok(charge);
        }
        found.get_or_insert(charge);
    }
    let whose = args.provider.map_or(String::new(), |provider| format!(" by {provider}"));
    found.with_context(|| {
        failure!(
            Failed,
            "C-DSP-004",
            "there is no signed result{whose} of task {} in that job",
            args.task
        )
    })
}

/// What the bond takes.
struct Bond {
    bond: u128,
    /// Whether the court has to be allowed to take bonds first.
    allow: bool,
    /// Time of the accuser, seconds.
    allowance: u32,
    /// Least time of a turn, seconds.
    turn: u32,
}

impl Bond {
    async fn look(account: &Account, court: &Court, fuel_limit: u64) -> Result<Self> {
        let (chain, account) = (&account.chain, account.address);
        let (bond, inside) = (court.bond_for(fuel_limit).await?, chain.account(account).await?);
        ensure!(
            inside >= bond,
            failure!(
                NoMoney,
                "C-DSP-009",
                "an accusation needs a bond of {}; {account} has {} in the market: `rialto wallet deposit {}`",
                money(bond),
                money(inside),
                bare(bond - inside)
            )
        );
        let allow = court.allowed(account).await? < bond;
        let allowance = court.allowance(fuel_limit).await?;
        Ok(Self { bond, allow, allowance, turn: court.rules().move_seconds })
    }
}

async fn explain(
    account: &Account,
    court: &Court,
    charge: &Charge,
    needed: &Bond,
    accusation: rialto_chain::Signed,
    ui: Ui,
) -> Result<()> {
    let mut plans = Vec::new();
    if needed.allow {
        let call = MarketCall::Allow { spender: court.address(), amount: u128::MAX };
        plans.push((
            format!("let the court {} take bonds from this account in the market", court.address()),
            Some(call),
        ));
    }
    let ready = plans.is_empty();
    let call = MarketCall::Court {
        court: court.address(),
        call: CourtCall::Accuse { signed: Box::new(accusation) },
    };
    plans.push((
        format!(
            "accuse the receipt of {} because of task {}, and lock a bond of {}: it comes back if the game is won, with 70 % of the collateral of {} for the requester; this side has {} in all, and at least {} for every turn",
            charge.signed.provider(),
            charge.signed.task,
            money(needed.bond),
            money(charge.signed.deal.collateral),
            span(needed.allowance.into()),
            span(needed.turn.into())
        ),
        ready.then_some(call),
    ));
    if ui.for_people() {
        println!("{}", charge.told());
    }
    account.explain(&plans, ui).await
}

async fn send(
    account: &Account,
    court: &Court,
    charge: &Charge,
    accusation: rialto_chain::Signed,
) -> Result<Mined> {
    let sender = sender(account).await?;
    let name = format!("accuse-{:x}", charge.signed.order_hash());
    let mut attempt = 0;
    let mined = loop {
        attempt += 1;
        match sender.accuse(format!("{name}-{attempt}"), court, accusation.clone()).await {
            Err(SendError::Reverted { .. }) if attempt < MAX_REVERTS => {}
            outcome => {
                break outcome
                    .with_context(|| format!("could not accuse {}", charge.signed.provider()))?;
            }
        }
    };
    sender.stop().await;
    Ok(mined)
}

/// The game that an accusation began.
fn game_of(court: Address, mined: &Mined) -> Option<(GameId, u64)> {
    mined.logs.iter().filter(|log| log.address == court).find_map(|log| {
        match CourtEvent::decode(log) {
            Some(CourtEvent::Accused(accused)) => Some((accused.id, accused.deadline)),
            _ => None,
        }
    })
}

async fn told(
    account: &Account,
    place: &PlaceArgs,
    court: &Court,
    charge: &Charge,
    mined: &Mined,
    ui: Ui,
) -> Result<()> {
    let (game, deadline) =
        game_of(court.address(), mined).context("the accusation began no game")?;
    let left = deadline.saturating_sub(account.chain.now().await?);
    // A requester that runs and knows the order plays by itself; two answers to one turn do no
    // harm.
    let hosted = crate::job::background::place_of(place).await?.0.runs().await?.is_some();
    let next = match hosted {
        true => "the background process answers while it runs; ".to_owned(),
        false => "`rialto jobs` starts a background process that answers; ".to_owned(),
    };
    let text = format!(
        "{}\n  game {game}: the provider has {} to open its receipt\n  {next}rialto dispute show {:.10} shows it, rialto dispute move {:.10} answers",
        transact::told(mined),
        span(left),
        game.to_string(),
        game.to_string(),
    );
    ui.answer(&text, || view::Accused {
        game: game.into(),
        provider: charge.signed.provider().into(),
        task: charge.signed.task,
        wrong: charge.is_wrong(),
        transaction: mined.tx.into(),
        block: mined.block,
        gas_used: mined.gas_used,
        deadline,
        hosted,
    });
    Ok(())
}
