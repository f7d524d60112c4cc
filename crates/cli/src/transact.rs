//! Transactions that a command sends with the wallet's own key: what would be sent is told first,
//! and what became of it.

use std::io::IsTerminal;

use anyhow::{Context, Result, ensure};
use rialto_chain::{Chain, MarketCall, Mined, PrivateKeySigner, SendError, Sender};
use rialto_client::{MarketConfig, view};
use rialto_protocol::Address;
use serde::Serialize;

use crate::{
    env::PlaceArgs,
    ui::{Ui, coins},
};

/// Transactions for one thing that may revert, all commands together: each is simulated first, so
/// that only races cost gas.
const MAX_REVERTS: u32 = 16;

/// An account on a market, whose key sends.
pub struct Account {
    /// Which market.
    pub market: MarketConfig,
    /// Its chain.
    pub chain: Chain,
    /// Its address.
    pub address: Address,
    place: PlaceArgs,
}

impl Account {
    /// Finds market and account; no key is opened.
    pub async fn new(place: &PlaceArgs) -> Result<Self> {
        let market = place.market()?;
        let address = place.whose(&market)?;
        Ok(Self { chain: market.connect().await?, market, address, place: place.clone() })
    }

    /// The account's key.
    pub async fn signer(&self) -> Result<PrivateKeySigner> {
        self.place.signer(&self.market).await
    }

    /// Tells what would be sent and what it costs, one transaction a line; sends nothing. A call
    /// that can't be made without the key has no cost yet.
    pub async fn explain(&self, plans: &[(String, Option<MarketCall>)], ui: Ui) -> Result<()> {
        let mut costs = Vec::new();
        for (plan, call) in plans {
            let gas = match call {
                Some(call) => Some(self.chain.estimate(self.address, call).await?),
                None => None,
            };
            costs.push((plan.as_str(), gas));
        }
        let price = self.chain.gas_price().await?;
        let to = format!("to the market {} on chain {}", self.market.market, self.chain.chain_id());
        let (market, chain_id) = (self.market.market.into(), self.chain.chain_id());
        let shown = |plan| view::TransactionPlan { to: market, chain_id, plan };
        explain(&to, &costs, price, shown, ui);
        Ok(())
    }

    /// The sender of this account, by a journal of its own: a crash in the middle is taken up by
    /// the next command, and nothing is sent twice.
    pub async fn sender(&self, signer: PrivateKeySigner) -> Result<Sender> {
        let journal = journal(&self.place, self.chain.chain_id(), self.address)?;
        Ok(self.chain.sender(signer, &journal).await?)
    }
}

/// The journal of an account's own transactions on a chain.
pub fn journal(place: &PlaceArgs, chain_id: u64, account: Address) -> Result<std::path::PathBuf> {
    let folder = place.home()?.wallet();
    rialto_client::private_dir(&folder)?;
    Ok(folder.join(format!("{chain_id}-{account:x}.redb")))
}

/// Tells what would be sent: every transaction with its gas, if that is known. `shown` adds for
/// programs where to.
pub fn explain<T: Serialize>(
    to: &str,
    plans: &[(&str, Option<u64>)],
    price_wei: u128,
    shown: impl FnOnce(view::Plan) -> T,
    ui: Ui,
) {
    let line = |(plan, gas): &(&str, Option<u64>)| {
        let cost = gas.map_or_else(String::new, |gas| {
            format!(", about {gas} gas: {} coins", coins(u128::from(gas) * price_wei))
        });
        format!("\n  {plan}{cost}")
    };
    let count = match plans.len() {
        0 => "would send no transaction".to_owned(),
        1 => "would send one transaction".to_owned(),
        n => format!("would send {n} transactions"),
    };
    let lines: String = plans.iter().map(line).collect();
    let text = format!("{count} {to}:{lines}\nat {price_wei} wei per gas; nothing was sent");
    ui.answer(&text, || {
        let first = plans.first();
        let planned = |(plan, gas): &(&str, Option<u64>)| view::PlannedTransaction {
            explain: (*plan).to_owned(),
            gas: *gas,
        };
        shown(view::Plan {
            explain: first.map(|(plan, _)| (*plan).to_owned()),
            gas: first.and_then(|(_, gas)| *gas),
            transactions: plans.iter().map(planned).collect(),
            gas_price_wei: price_wei.into(),
            sent: false,
        })
    });
}

/// Sends one, and waits until it is final. `intent` names it once and for all.
pub async fn send(
    sender: &Sender,
    intent: String,
    call: MarketCall,
    plan: &str,
    ui: Ui,
) -> Result<Mined> {
    if ui.for_people() {
        eprintln!("sending: {plan}");
    }
    sender.send(intent, call).await.with_context(|| format!("could not {plan}"))
}

/// Sends what is to happen once, whoever asks how often: a command that was killed is waited for by
/// the next. What was mined and reverted, because something came in between, is sent again if it
/// would succeed now.
pub async fn once(
    sender: &Sender,
    what: &str,
    call: MarketCall,
    plan: &str,
    ui: Ui,
) -> Result<Mined> {
    if ui.for_people() {
        eprintln!("sending: {plan}");
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        match sender.send(format!("{what}-{attempt}"), call.clone()).await {
            Err(SendError::Reverted { .. }) if attempt < MAX_REVERTS => {}
            outcome => return outcome.with_context(|| format!("could not {plan}")),
        }
    }
}

/// Asks before something is sent that can't be taken back.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    ensure!(
        std::io::stdin().is_terminal(),
        failure!(
            Usage,
            "C-DSP-010",
            "nobody is there to say yes: look with --explain, then pass --yes"
        )
    );
    eprint!("{question} [y/N] ");
    let mut said = String::new();
    std::io::stdin().read_line(&mut said)?;
    ensure!(
        matches!(said.trim(), "y" | "Y" | "yes"),
        failure!(Usage, "C-DSP-010", "not confirmed: nothing was sent")
    );
    Ok(())
}

/// What became of a transaction.
pub fn told(mined: &Mined) -> String {
    format!("done in block {}: transaction {}, {} gas", mined.block, mined.tx, mined.gas_used)
}
