//! `rialto provide --explain`: what selling sends, announces and risks. No key is opened, nothing
//! is sent.

use anyhow::{Context, Result};
use bytes::Bytes;
use rialto_chain::{Chain, MarketCall, PrivateKeySigner};
use rialto_client::{MarketConfig, view};
use rialto_net::{NetConfig, Node};
use rialto_protocol::{Address, bounds, pricing::share, wire::PeerAddr};
use rialto_provider::{AskConfig, worth};

use crate::{
    env::selling::Selling,
    exit,
    ui::{Paint, Ui, coins, money, span},
};

/// Where a provider would be found, and what it has.
struct Facts {
    account: Address,
    /// Where it would be reached: the port of an endpoint is chosen when it starts.
    peer: PeerAddr,
    /// Gas of announcing that.
    announce_gas: u64,
    gas_price_wei: u128,
    gas_money_wei: u128,
    /// Free money in the market, base units.
    deposit: u128,
}

/// Says what `rialto provide` with the same flags would do.
pub async fn explain(
    market: &MarketConfig,
    account: Address,
    selling: &Selling,
    ui: Ui,
) -> Result<u8> {
    let chain = market.connect().await?;
    let facts = facts(market, &chain, account).await?;
    let court = super::court(&chain, selling.court.or(market.court)).await?;
    let court = court.map_or(Address::ZERO, |court| court.address());
    let asks = &selling.asks;
    let [least, most] = [asks.min_budget, asks.max_budget]
        .map(|budget| share(budget, asks.collateral_bps).unwrap_or(u128::MAX));
    let lost = bounds::provider_loss(selling.money.credit_window, asks.max_budget);
    let text = text(&facts, asks, [least, most], lost, court, market, chain.chain_id());
    ui.answer(&text, || view::SellingPlan {
        account: facts.account.into(),
        market: market.market.into(),
        chain_id: chain.chain_id(),
        sent: false,
        announce: view::Announcement { endpoint: facts.peer.clone(), gas: facts.announce_gas },
        gas_price_wei: facts.gas_price_wei.into(),
        gas_wei: facts.gas_money_wei.into(),
        deposit: facts.deposit.into(),
        collateral: view::Range { smallest: least.into(), largest: most.into() },
        most_lost: view::MostLostSelling {
            deal: lost.into(),
            redemptions: bounds::redemptions(asks.max_deal_seconds.into()),
        },
        court: court.into(),
        capacity: asks.capacity,
        redeem_gas: worth::REDEEM_GAS,
        claim_gas: worth::CLAIM_GAS,
    });
    Ok(exit::OK)
}

async fn facts(market: &MarketConfig, chain: &Chain, account: Address) -> Result<Facts> {
    let scratch = tempfile::Builder::new().prefix("rialto-").tempdir()?;
    let mut bind = market.listens();
    // The real port may be in use, by this very provider.
    bind.set_port(0);
    let node = Node::bind(NetConfig {
        secret: *PrivateKeySigner::random().to_bytes(),
        bind,
        port_file: None,
        relay: market.relay.clone(),
        external: market.external.clone(),
        blob_dir: scratch.path().to_owned(),
        limits: rialto_net::Limits::default(),
    })
    .await?;
    let peer = node.addr();
    node.close().await;
    let announcement =
        Bytes::from(postcard::to_stdvec(&peer).context("the address can't be encoded")?);
    Ok(Facts {
        account,
        announce_gas: chain.estimate(account, &MarketCall::Announce(announcement.into())).await?,
        peer,
        gas_price_wei: chain.gas_price().await?,
        gas_money_wei: chain.native_balance(account).await?.saturating_to(),
        deposit: chain.account(account).await?,
    })
}

fn text(
    facts: &Facts,
    asks: &AskConfig,
    [least, most]: [u128; 2],
    lost: u128,
    court: Address,
    market: &MarketConfig,
    chain_id: u64,
) -> String {
    let cost = |gas: u64| {
        format!("about {gas} gas: {} coins", coins(u128::from(gas) * facts.gas_price_wei))
    };
    let addresses: Vec<String> =
        facts.peer.direct.iter().map(|addr| addr.ip().to_string()).collect();
    let relay =
        market.relay.as_ref().map_or_else(String::new, |relay| format!(" and the relay {relay}"));
    let backed = facts.deposit.checked_div(least).unwrap_or(asks.capacity.into());
    let mut out = vec![
        format!("{} {} on chain {chain_id}", Paint::for_stdout().bold("would sell on market"), market.market),
        format!("  as {}, which has {} coins of gas money", facts.account, coins(facts.gas_money_wei)),
        "would send one transaction, unless this address was announced before:".to_owned(),
        format!(
            "  announce for everybody to see where it is reached: {}{relay} ({})",
            addresses.join(", "),
            cost(facts.announce_gas)
        ),
        "would gossip, signed, and free of charge:".to_owned(),
        format!(
            "  asks for {} deals at once of {} to {}, {}, {} per task; each valid for {}",
            asks.capacity,
            money(asks.min_budget),
            money(asks.max_budget),
            super::price(asks.price),
            money(asks.task_fee),
            span(asks.valid_seconds)
        ),
        match court.is_zero() {
            true => "  disputes are decided by nobody: no court is named".to_owned(),
            false => {
                format!("  disputes are decided by the court {court}: who loses one there loses the deal's collateral")
            }
        },
        "would deposit nothing. Who opens a deal locks collateral out of what this account has in the market:"
            .to_owned(),
        format!(
            "  {} to {} a deal, of {} there; {} for late work",
            money(least),
            money(most),
            money(facts.deposit),
            match asks.late_penalty_bps {
                0 => "nothing is lost".to_owned(),
                bps => format!("{} % of it are lost", f64::from(bps) / 100.0),
            }
        ),
    ];
    out.push(
        "what an honest provider can lose, whatever others do, is in each deal at most".into(),
    );
    out.push(format!(
        "  {} of work that is delivered and unpaid (the credit window), and the gas of {} redemptions in the longest deal",
        money(lost),
        bounds::redemptions(asks.max_deal_seconds.into())
    ));
    out.push("  never its collateral, nor a penalty: it answers, reveals and defends itself while it runs".into());
    if backed == 0 {
        out.push(
            "  [P-OFR-003] that backs no deal: nothing would be offered; `rialto wallet deposit`"
                .into(),
        );
    }
    out.push("may send later, only where it is worth its gas:".into());
    out.push(format!(
        "  redemptions: when a deal ends, when something is opened against it, and when much is unredeemed ({})",
        cost(worth::REDEEM_GAS)
    ));
    out.push(format!("  a claim for an order that is not paid ({})", cost(worth::CLAIM_GAS)));
    out.push("nothing was sent".into());
    out.join("\n")
}
