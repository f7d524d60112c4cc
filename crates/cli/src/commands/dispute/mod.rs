//! `rialto dispute`: games before a court, by hand.

mod accuse;
mod answer;
mod delegate;
mod tell;

use std::collections::BTreeSet;

use anyhow::Result;
use clap::{Args, Subcommand};
use rialto_chain::{Courts, SendError, Sender};
use rialto_client::{GameTale, History};
use rialto_protocol::Address;

use crate::{
    env::PlaceArgs,
    exit,
    named::{MIN_ID, Unnamed, by_id},
    transact::Account,
    ui::Ui,
};

pub use accuse::AccuseCommand;

/// `rialto dispute`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto dispute                            # games about this account's deals, or in which it is a side
  rialto dispute list --all                 # all games of the market's own court
  rialto dispute show 0x3f2a                # move by move, with gas and money
  rialto dispute accuse 3f2a 7 --explain    # what an accusation of task 7 of job 3f2a would send and lock
  rialto dispute accuse 3f2a 7
  rialto dispute move 0x3f2a                # this account's answer, found by tracing
  rialto dispute timeout 0x3f2a
  rialto dispute delegate 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --until 30d    # a watchtower moves for this account

Requesters and providers that run play by themselves; these commands are for those that don't, and for looking. A game's id
can be its beginning. docs/court.md says how a game goes.")]
pub struct DisputeCommand {
    /// What to do (default: list).
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List games about this account's deals, or in which it is a side.
    List {
        /// All games of the market's own court, whoever plays them.
        #[arg(long)]
        all: bool,
    },
    /// Show one game, move by move.
    Show {
        /// Its id, or the beginning of it.
        game: String,
    },
    /// Accuse a provider of a wrong result. The task is traced here first.
    Accuse(AccuseCommand),
    /// Answer in a game in which it is this account's turn, as accuser or as a provider that does
    /// not run: open or pick nodes of the receipt, challenge a task, narrow its run down, prove a
    /// step. The answer is found by tracing.
    Move(Turn),
    /// End a game in which the time for a turn ran out. Anyone may do so.
    Timeout(Turn),
    /// Let another account, such as a watchtower, move in this account's games for a time, or
    /// revoke that. It gets no other right.
    Delegate(delegate::DelegateCommand),
}

/// A game, and whether something is done in it.
#[derive(Debug, Args)]
pub struct Turn {
    /// Its id, or the beginning of it.
    game: String,
    /// Show what would be sent and what it costs. Nothing is sent.
    #[arg(long)]
    explain: bool,
}

/// Runs one of them.
pub async fn dispute(args: &DisputeCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let account = Account::new(place).await?;
    if let Some(What::Delegate(args)) = &args.what {
        delegate::delegate(&account, args, ui).await?;
        return Ok(exit::OK);
    }
    let own = account.market.court;
    let courts = Courts {
        known: own.into_iter().collect::<BTreeSet<Address>>(),
        ..Courts::of(account.address)
    };
    let history =
        crate::past::read_with(&account.chain, account.market.first_block, courts, ui).await?;
    match args.what.as_ref().unwrap_or(&What::List { all: false }) {
        What::List { all } => tell::list(&account, &history, *all, ui),
        What::Show { game } => tell::show(&account, &history, &find(&history, game)?, ui).await?,
        What::Accuse(args) => accuse::accuse(&account, place, &history, args, ui).await?,
        // Needs no history.
        What::Delegate(_) => {}
        What::Move(turn) => {
            let tale = find(&history, &turn.game)?;
            answer::answer(&account, place, history, tale, turn.explain, ui).await?;
        }
        What::Timeout(turn) => {
            let tale = find(&history, &turn.game)?;
            answer::timeout(&account, history, tale, turn.explain, ui).await?;
        }
    }
    Ok(exit::OK)
}

/// A game by its id or the beginning of it.
fn find(history: &History, named: &str) -> Result<GameTale> {
    by_id(history.games(), |game| game.id, named).map_err(|why| match why {
        Unnamed::NoId => anyhow::Error::new(failure!(
            Usage,
            "C-DSP-001",
            "{named} is no game: an id in hex, or its first {MIN_ID} digits"
        )),
        Unnamed::Nothing => anyhow::Error::new(failure!(
            Usage,
            "C-DSP-002",
            "there is no game {named} here: `rialto dispute list --all` lists the market's own court's"
        )),
        Unnamed::Many(n) => {
            anyhow::Error::new(failure!(Usage, "C-DSP-003", "{n} games begin with {named}: write more of the id"))
        }
    })
}

/// The account's own sender; another command of it may have it.
async fn sender(account: &Account) -> Result<Sender> {
    account.sender(account.signer().await?).await.map_err(|why| {
        match why.downcast_ref::<SendError>() {
            Some(SendError::Journal(_)) => why.context(failure!(
                Failed,
                "C-DSP-017",
                "another command sends with {} now: wait until it is done, and run this again",
                account.address
            )),
            _ => why,
        }
    })
}

/// Reads on until a transaction's events are there.
async fn after(history: &mut History, tx: rialto_protocol::B256) -> Result<()> {
    while !history.has(tx) {
        history.news().await?;
    }
    Ok(())
}
