//! `rialto watch`: a watchtower for providers that sleep, and a stranger's audit.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use rialto_chain::Chain;
use rialto_client::view;
use rialto_exec::Engine;
use rialto_protocol::OrderId;
use rialto_provider::{AppointmentFile, TowerConfig, TowerEvent, Unable, Watchtower};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    env::{PlaceArgs, hardware::Machine, signals},
    exit,
    ui::{Paint, Ui, money, short_hash, time},
};

/// How often it is looked whether nothing is left to do.
const LOOK: Duration = Duration::from_millis(500);

/// `rialto watch`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  rialto watch /srv/dossiers --account 0x7099…      # defends what `rialto provide --watchtower` writes there
  rialto watch /srv/dossiers --after 25             # a quarter of the provider's time is the provider's own
  rialto watch --audit /srv/dossiers --explain      # runs all tasks again; says what accusing would lock and earn
  rialto watch --audit /srv/dossiers                # and accuses what is wrong, from this account
  rialto watch verify DEAL/ORDER.appointment.json   # is this tower's promise signed, and by whom?

Late notices, demands and openings are answered without anybody's leave; moves need the provider's (`rialto dispute delegate`). Without it no
appointment is signed. Ctrl-C or SIGTERM ends it; the next start goes on. Exit code with --once: 1 if a dossier was refused, or a receipt
was found wrong."
)]
pub struct Watch {
    #[command(subcommand)]
    what: Option<What>,
    /// Folders of dossiers. They are read again and again.
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Run the tasks again instead of defending. Wrong receipts are accused, and games played to
    /// the end.
    #[arg(long)]
    audit: bool,
    /// With --audit: show what would be accused, what that locks and earns, and end. Nothing is
    /// sent.
    #[arg(long, requires = "audit")]
    explain: bool,
    /// End once all dossiers were read and nothing is left to do.
    #[arg(long)]
    once: bool,
    /// Answer after this share of the provider's time, per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=95))]
    after: u64,
    /// Cores for tracing and running (default: what this machine has).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    cores: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check an appointment: who signed it, for which receipt, until when. Needs no chain.
    Verify {
        /// The file, beside its dossier or alone.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Watches until told to stop.
pub async fn watch(args: &Watch, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    if let Some(What::Verify { file }) = &args.what {
        return verify(file, ui);
    }
    ensure!(
        !args.folders.is_empty(),
        failure!(
            Usage,
            "C-WCH-001",
            "which folders of dossiers? `rialto watch --help` has examples"
        )
    );
    let market = place.market()?;
    let account = place.whose(&market)?;
    let signer = if args.explain { None } else { Some(place.signer(&market).await?) };
    let (home, chain) = (place.home()?, market.connect().await?);
    let folder = home.tower(chain.chain_id(), market.market, account);
    rialto_client::private_dir(&folder)?;
    let here = Machine::detect();
    let cores = args.cores.unwrap_or(here.cores);
    let mut exec = rialto_exec::Config::new(folder.join("programs"));
    (exec.cores, exec.max_memory_bytes) = (cores as usize, here.memory_bytes);
    let config = TowerConfig {
        data_dir: folder,
        account,
        signer,
        folders: args.folders.clone(),
        defends: !args.audit,
        audits: args.audit,
        looks_only: args.explain,
        after: args.after,
        cores,
        first_block: market.first_block,
    };
    let started = Watchtower::start(config, chain.clone(), Engine::new(exec)?).await;
    let (tower, mut events) =
        started.with_context(|| format!("the tower of {account} did not start"))?;
    let what = if args.audit { "auditing" } else { "watching" };
    let text =
        format!("{what} for market {} on chain {} as {account}", market.market, chain.chain_id());
    ui.answer(&text, || view::WatchStarted {
        event: "started",
        account: account.into(),
        market: market.market.into(),
        chain_id: chain.chain_id(),
        audit: args.audit,
        after: args.after,
        folders: args.folders.clone(),
    });
    let mut report = Report { ui, refused: false, wrong: Vec::new(), stuck: None };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let once = args.once || args.explain;
    let interrupted = signals::interrupted();
    tokio::pin!(interrupted);
    let done = loop {
        tokio::select! {
            () = &mut interrupted => break false,
            event = events.recv() => match event {
                Some(event) => report.tell(&event),
                None => bail!(failure!(Failed, "P-SVC-007", "the tower has stopped: see the log (--log info)")),
            },
            _ = looks.tick(), if once => {
                let standing = tower.standing().await.context(failure!(Failed, "P-SVC-007", "the tower has stopped"))?;
                if standing.idle {
                    break true;
                }
            }
        }
        // Nobody will deposit while it waits.
        if once && let Some(why) = report.stuck.take() {
            tower.stop().await;
            let text = why.trim_start_matches("[P-TWR-006] ");
            bail!(failure!(NoMoney, "P-TWR-006", "{text}"));
        }
    };
    while let Ok(event) = events.try_recv() {
        report.tell(&event);
    }
    if args.explain {
        report.explain(&tower, &chain).await?;
    }
    tower.stop().await;
    if !done {
        ui.answer("left: the next start goes on from here", || view::State { event: "left" });
        return Ok(exit::OK);
    }
    Ok(if report.refused || !report.wrong.is_empty() { exit::FAILED } else { exit::OK })
}

/// What was seen, told as it comes.
struct Report {
    ui: Ui,
    refused: bool,
    wrong: Vec<OrderId>,
    /// What keeps it from accusing.
    stuck: Option<String>,
}

impl Report {
    fn tell(&mut self, event: &TowerEvent) {
        match event {
            TowerEvent::Refused { .. } => self.refused = true,
            TowerEvent::Audited { order, right: false, .. } => self.wrong.push(*order),
            TowerEvent::ActionFails { why: Unable::Bond(text), .. } => {
                self.stuck = Some(text.clone());
            }
            _ => {}
        }
        self.ui.answer_with(|| sentence(event), event);
    }

    /// What accusing would lock and earn.
    async fn explain(&self, tower: &Watchtower, chain: &Chain) -> Result<()> {
        for order in &self.wrong {
            let found = tower.prospect(chain, *order).await?;
            let text = match found.bond {
                0 => format!(
                    "the receipt of order {order} by {} contradicts itself: showing that needs no bond, and would earn {}",
                    found.provider,
                    money(found.reward)
                ),
                bond => format!(
                    "accusing the receipt of order {order} by {} would lock a bond of {} (this account has {}), and winning would earn {}",
                    found.provider,
                    money(bond),
                    money(found.balance),
                    money(found.reward)
                ),
            };
            let value = view::Prospect {
                event: "prospect",
                deal: found.deal.into(),
                order: (*order).into(),
                provider: found.provider.into(),
                bond: found.bond,
                balance: found.balance,
                reward: found.reward,
            };
            self.ui.answer_with(|| text, &value);
        }
        Ok(())
    }
}

fn sentence(event: &TowerEvent) -> String {
    let paint = Paint::for_stdout();
    match event {
        TowerEvent::Took { order, provider, until, .. } => match until {
            Some(until) => format!(
                "defends order {} of {provider} until {} UTC",
                short_hash(*order),
                time(*until)
            ),
            None => format!(
                "answers for order {} of {provider} what it may; no appointment",
                short_hash(*order)
            ),
        },
        TowerEvent::Refused { path, why, .. } => paint.bad(&format!("not taken: {path}: {why}")),
        TowerEvent::Unauthorised { why, .. } => paint.bad(&format!("warning: {why}")),
        TowerEvent::Threatened { order, what, until, acts_at, .. } => format!(
            "{what} due for order {} until {} UTC; this tower acts at {}",
            short_hash(*order),
            time(*until),
            time(*acts_at)
        ),
        TowerEvent::Acted { what, order, .. } => {
            paint.good(&format!("sent {what} for order {}", short_hash(*order)))
        }
        TowerEvent::ActionFails { what, order, why } => paint.bad(&format!(
            "{what} for order {} failed and is tried again: {why}",
            short_hash(*order)
        )),
        TowerEvent::Hopeless { game, order } => paint.bad(&format!(
            "game {} can't be won: what the receipt of order {} says is not what its tasks give",
            short_hash(*game),
            short_hash(*order)
        )),
        TowerEvent::Accused { game, order, bond, .. } => {
            format!(
                "accused order {} with a bond of {}: game {game}",
                short_hash(*order),
                money(*bond)
            )
        }
        TowerEvent::GameEnded { game, won, received, bounty, .. } => {
            let text = format!(
                "game {} {}: {} of the bond, {} for the conviction",
                short_hash(*game),
                if *won { "won" } else { "lost" },
                money(*received),
                money(*bounty)
            );
            if *won { paint.good(&text) } else { paint.bad(&text) }
        }
        TowerEvent::Convicted { receipt, fault, .. } => {
            format!(
                "receipt {} was shown to be wrong without a game: {fault}",
                short_hash(*receipt)
            )
        }
        TowerEvent::Audited { order, right: true, .. } => {
            format!("order {} is right", short_hash(*order))
        }
        TowerEvent::Audited { order, right: false, .. } => paint
            .bad(&format!("order {} is wrong: its tasks give something else", short_hash(*order))),
        TowerEvent::AuditFails { order, why } => {
            paint.bad(&format!("order {} could not be run again here: {why}", short_hash(*order)))
        }
    }
}

/// Checks an appointment.
fn verify(file: &std::path::Path, ui: Ui) -> Result<u8> {
    let found = AppointmentFile::verify(file)?;
    let it = &found.appointment;
    let text = format!(
        "signed by {}\n  market   {} on chain {}\n  deal     {}\n  receipt  {}\n  until    {} UTC: what is opened against it before then, this tower answers",
        it.tower,
        found.market,
        found.chain_id,
        it.deal,
        it.receipt,
        time(it.until)
    );
    ui.answer(&text, || view::Appointment {
        signed: true,
        tower: it.tower.into(),
        market: found.market.into(),
        chain_id: found.chain_id,
        deal: it.deal.into(),
        receipt: it.receipt.into(),
        until: it.until,
    });
    Ok(exit::OK)
}
