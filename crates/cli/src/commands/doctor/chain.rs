//! What a market must do.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rialto_chain::{Chain, PrivateKeySigner};
use rialto_client::{MarketConfig, MarketError, view::Check};
use rialto_net::{NetConfig, Node};

use super::{failed, warning, well};
use crate::{
    env::PlaceArgs,
    ui::{coins, count, money, span},
    windows::{Kind, Windows},
};

/// Seconds by which the chain may be ahead of this clock: what providers and requesters bear, and
/// what they hardly do.
const AHEAD_WARNING: u64 = 15;
const AHEAD_FAILED: u64 = 120;
/// Seconds without a block after which a chain counts as standing still, or this clock as ahead.
const BEHIND_WARNING: u64 = 300;
/// Longest answer of an endpoint that is still called quick.
const SLOW: Duration = Duration::from_secs(1);
/// Blocks from the chain's very beginning that nobody should read without need.
const MANY_BLOCKS: u64 = 100_000;
/// Longest wait for a relay.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);

/// All of them, as far as there is a market.
pub async fn checks(place: &PlaceArgs) -> Vec<Check> {
    let market = match place.market() {
        Ok(market) => market,
        Err(error) => {
            let text = format!("{error:#}");
            let unknown = matches!(error.downcast_ref(), Some(MarketError::Unknown { .. }));
            let check = if unknown { warning } else { failed };
            let what_to_do =
                "`rialto up`, or --rpc and --market, or `rialto config init`: then run this again";
            return vec![check("market", "C-DOC-009", text, what_to_do)];
        }
    };
    let mut checks = Vec::new();
    let start = Instant::now();
    match market.connect().await {
        Err(error) => checks.push(failed(
            "market",
            "C-DOC-009",
            error.to_string(),
            "check the URL, the address, and that this machine may reach it",
        )),
        Ok(chain) => {
            checks.push(reached(&market, &chain, start.elapsed()));
            for check in [
                code(&chain).await,
                court(&market, &chain).await,
                windows(&market, &chain).await,
                clock(&chain).await,
                account(place, &market, &chain).await,
            ] {
                checks.push(check.unwrap_or_else(|error| {
                    failed(
                        "market",
                        "C-DOC-009",
                        error.to_string(),
                        "the endpoint answers some questions and not others: try another",
                    )
                }));
            }
            checks.push(first_block(&market, &chain).await);
        }
    }
    checks.push(endpoint(&market).await);
    checks
}

fn reached(market: &MarketConfig, chain: &Chain, took: Duration) -> Check {
    let rpc = format!("{:?}", market.rpc);
    let rpc = rpc.trim_start_matches("Http(").trim_end_matches(')');
    let found = format!(
        "{} on chain {} by {rpc}, {} ms",
        market.market,
        chain.chain_id(),
        took.as_millis()
    );
    if took > SLOW {
        return warning(
            "market",
            "C-DOC-009",
            found,
            "it works, but slowly: an endpoint nearer by serves better",
        );
    }
    well("market", found)
}

async fn code(chain: &Chain) -> Result<Check> {
    Ok(match chain.is_known_code().await? {
        true => well("contract", "the market is the one that this version knows, byte for byte"),
        false => failed(
            "contract",
            "C-DOC-010",
            "the market's code is not the one that this version knows",
            "put no money there until you know whose it is: another version's, or an imitation",
        ),
    })
}

async fn court(market: &MarketConfig, chain: &Chain) -> Result<Check> {
    const NAME: &str = "court";
    let Some(address) = market.court else {
        let what_to_do =
            "market.court in config.toml, if you know it: `rialto provide` names none otherwise";
        return Ok(warning(
            NAME,
            "C-DOC-014",
            "no court of this market is known here".to_owned(),
            what_to_do,
        ));
    };
    Ok(match chain.court(address).await?.is_known_code().await? {
        true => {
            well(NAME, "the court and its judges are those that this version knows, byte for byte")
        }
        false => failed(
            NAME,
            "C-DOC-014",
            "the court's code is not the one that this version knows",
            "name no such court in an ask, and open no deal that does: it could take what is locked there",
        ),
    })
}

/// Windows against what such a chain keeps its users waiting for.
async fn windows(market: &MarketConfig, chain: &Chain) -> Result<Check> {
    const NAME: &str = "windows";
    let (kind, set) = (Kind::of(chain.chain_id()), chain.windows());
    let usual = kind.windows();
    let turn = match market.court {
        Some(court) => chain.court(court).await?.rules().move_seconds.into(),
        None => usual.turn,
    };
    let windows = Windows { challenge: set.challenge, answer: set.answer, grace: set.grace, turn };
    let short: Vec<String> = windows
        .short_turn(kind)
        .into_iter()
        .chain(windows.short(kind))
        .map(|short| short.text)
        .collect();
    Ok(match short.is_empty() {
        true => well(
            NAME,
            format!(
                "for a {}: {} for a turn in court, {} to answer, {} to challenge a claim",
                kind.name(),
                span(turn),
                span(set.answer),
                span(set.challenge)
            ),
        ),
        false => warning(
            NAME,
            "C-DOC-016",
            short.join("; "),
            "use a market with longer windows, or bear it: be connected by more than one way, with a watchtower",
        ),
    })
}

async fn clock(chain: &Chain) -> Result<Check> {
    const NAME: &str = "clock";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(skew(NAME, now, chain.now().await?))
}

fn skew(name: &'static str, now: u64, chain: u64) -> Check {
    let set = "set this machine's clock (timedatectl set-ntp true)";
    match (chain.saturating_sub(now), now.saturating_sub(chain)) {
        (AHEAD_FAILED.., _) => failed(
            name,
            "C-DOC-011",
            format!("the chain is {} ahead of it", span(chain - now)),
            set,
        ),
        (AHEAD_WARNING.., _) => warning(
            name,
            "C-DOC-011",
            format!("the chain is {} ahead of it", span(chain - now)),
            set,
        ),
        (_, BEHIND_WARNING..) => warning(
            name,
            "C-DOC-011",
            format!("the newest block is {} old", span(now - chain)),
            format!("the chain stands still, or the clock is ahead: {set}"),
        ),
        (_, behind) => well(name, format!("the newest block is {} old", span(behind))),
    }
}

/// Every start reads the market's events from its first block on.
async fn first_block(market: &MarketConfig, chain: &Chain) -> Check {
    const NAME: &str = "past";
    let first = market.first_block;
    let head = match chain.head().await {
        Ok(head) => head.number,
        Err(error) => {
            return failed(
                NAME,
                "C-DOC-015",
                error.to_string(),
                "run it again, or try another endpoint",
            );
        }
    };
    let blocks = head.saturating_sub(first);
    let found = format!("{} blocks to read, from block {first} on", count(blocks));
    if first > head {
        let found = format!("the market's first block is said to be {first}, the newest is {head}");
        return failed(
            NAME,
            "C-DOC-015",
            found,
            "correct `first_block` under [market] in config.toml",
        );
    }
    if first == 0 && blocks > MANY_BLOCKS {
        let what_to_do = "set `first_block` under [market] in config.toml: `rialto deploy` printed it, a block explorer shows it";
        return warning(NAME, "C-DOC-015", found, what_to_do);
    }
    well(NAME, found)
}

async fn account(place: &PlaceArgs, market: &MarketConfig, chain: &Chain) -> Result<Check> {
    const NAME: &str = "account";
    let account = match place.whose(market) {
        Ok(account) => account,
        Err(error) => {
            return Ok(warning(
                NAME,
                "C-DOC-012",
                format!("{error:#}"),
                "needed to buy and to sell, not to look",
            ));
        }
    };
    let gas: u128 = chain.native_balance(account).await?.saturating_to();
    let inside = chain.account(account).await?;
    let found =
        format!("{account}: {} in the market, {} coins of gas money", money(inside), coins(gas));
    Ok(match (gas, inside) {
        (0, _) => {
            warning(NAME, "C-DOC-012", found, "send it gas money: it can't send transactions")
        }
        (_, 0) => warning(
            NAME,
            "C-DOC-012",
            found,
            "`rialto wallet deposit`: deals are paid and backed from there",
        ),
        _ => well(NAME, found),
    })
}

/// An endpoint is bound as commands would, and the relay, if there is one, answers.
async fn endpoint(market: &MarketConfig) -> Check {
    const NAME: &str = "endpoint";
    match bound(market).await {
        Ok((node, true)) => {
            let found = format!("listens on {}", market.listens());
            node.close().await;
            well(
                NAME,
                market
                    .relay
                    .as_ref()
                    .map_or(found.clone(), |relay| format!("{found}, through {relay}")),
            )
        }
        Ok((node, false)) => {
            node.close().await;
            let relay = market.relay.clone().unwrap_or_default();
            failed(
                NAME,
                "C-DOC-013",
                format!("the relay {relay} does not answer"),
                "check its URL, and that outgoing TCP to it is allowed",
            )
        }
        // A fixed port may be held by one's own provider.
        Err(error) if market.listens().port() != 0 => warning(
            NAME,
            "C-DOC-013",
            format!("{error:#}"),
            "if it is not your own provider that listens there, choose another `bind` under [net] in config.toml",
        ),
        Err(error) => failed(
            NAME,
            "C-DOC-013",
            format!("{error:#}"),
            "choose another `bind` under [net] in config.toml",
        ),
    }
}

async fn bound(market: &MarketConfig) -> Result<(Node, bool)> {
    let scratch = tempfile::Builder::new().prefix("rialto-").tempdir()?;
    let node = Node::bind(NetConfig {
        secret: *PrivateKeySigner::random().to_bytes(),
        bind: market.listens(),
        port_file: None,
        relay: market.relay.clone(),
        external: Vec::new(),
        blob_dir: scratch.path().to_owned(),
        limits: rialto_net::Limits::default(),
    })
    .await?;
    let online = node.online(RELAY_PATIENCE).await;
    Ok((node, online))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_client::view::CheckState;

    #[test]
    fn a_clock_may_be_off_by_a_little() {
        let state = |now, chain| skew("clock", now, chain).state;
        assert_eq!([state(1000, 1000), state(1000, 1014), state(1299, 1000)], [CheckState::Ok; 3]);
        assert_eq!([state(1000, 1015), state(1300, 1000)], [CheckState::Warning; 2]);
        assert_eq!(state(1000, 1120), CheckState::Failed);
    }
}
