//! Letting another account move in one's games: a watchtower.

use anyhow::{Context, Result, ensure};
use clap::Args;
use rialto_chain::{CourtCall, MarketCall};
use rialto_client::view;
use rialto_protocol::Address;

use super::sender;
use crate::{
    transact::{self, Account},
    ui::{Ui, time},
};

/// `rialto dispute delegate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto dispute delegate 0x7099… --until 30d --explain
  rialto dispute delegate 0x7099… --until 30d
  rialto dispute delegate 0x7099… --revoke

A delegate sends moves of a run, and an accuser's picks and challenges, in games of this account before that court, and can do nothing
else: it can't spend, sign, accuse or give up. Late notices, demands and openings need no leave: anybody may answer them.")]
pub struct DelegateCommand {
    /// Who may move.
    tower: Address,
    /// For how long from now, such as 30d; a later call replaces it.
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds, required_unless_present = "revoke")]
    until: Option<u64>,
    /// Take it back at once.
    #[arg(long, conflicts_with = "until")]
    revoke: bool,
    /// The court (default: the one that was deployed with the market).
    #[arg(long, value_name = "ADDRESS")]
    court: Option<Address>,
    /// Show what would be sent and what it costs. Nothing is sent.
    #[arg(long)]
    explain: bool,
}

/// Sends it.
pub(super) async fn delegate(account: &Account, args: &DelegateCommand, ui: Ui) -> Result<()> {
    let named = args.court.or(account.market.court);
    let named = named.context(failure!(
        Usage,
        "C-DSP-020",
        "which court? The market's configuration names none: --court ADDRESS"
    ))?;
    let court = account.chain.court(named).await?;
    ensure!(
        args.tower != account.address,
        failure!(Usage, "C-DSP-021", "{} moves for itself anyway", account.address)
    );
    let until = match args.until {
        Some(seconds) if !args.revoke => account.chain.now().await?.saturating_add(seconds),
        _ => 0,
    };
    let call = MarketCall::Court {
        court: court.address(),
        call: CourtCall::Delegate { to: args.tower, until },
    };
    let plan = match until {
        0 => {
            format!(
                "take back from {} the leave to move for {} before the court {named}",
                args.tower, account.address
            )
        }
        _ => format!(
            "let {} move in games of {} before the court {named} until {} UTC, and nothing else",
            args.tower,
            account.address,
            time(until)
        ),
    };
    if args.explain {
        return account.explain(&[(plan, Some(call))], ui).await;
    }
    let sender = sender(account).await?;
    // A new name each time: the same leave may be given, taken back and given again.
    let head = account.chain.head().await?;
    let intent = format!("delegate-{:x}-{until}-{}", args.tower, head.number);
    let mined = transact::send(&sender, intent, call, &plan, ui).await?;
    sender.stop().await;
    ui.answer(&transact::told(&mined), || view::Delegated {
        delegate: args.tower.into(),
        owner: account.address.into(),
        court: named.into(),
        until,
        transaction: mined.tx.into(),
        block: mined.block,
        gas_used: mined.gas_used,
    });
    Ok(())
}
