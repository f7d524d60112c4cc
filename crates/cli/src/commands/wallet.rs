//! `rialto wallet`: accounts, their keys, and their money.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use rialto_chain::{MarketCall, PrivateKeySigner};
use rialto_client::{
    settings::{TOKEN_DECIMALS, base_units},
    view,
};
use rialto_protocol::Address;

use crate::{
    env::PlaceArgs,
    exit,
    transact::{self, Account},
    ui::{Paint, Ui, coins, money},
    windows::TEST_CHAINS,
};

/// A permit to deposit is good for so long, seconds.
const PERMIT_SECONDS: u64 = 3600;

/// Wei of a whole native coin.
const WEI_PER_COIN: u128 = 10u128.pow(18);

/// `rialto wallet`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto wallet create
  rialto wallet import --key-file key.hex        # then remove key.hex
  rialto wallet balance
  rialto wallet deposit 25
  rialto wallet mint 100                         # test chains only: tokens and gas money for trying
  rialto wallet withdraw all --to 0x7099…
  rialto wallet withdraw 10 --explain            # says what would be sent, sends nothing

Keys are kept as Web3 Secret Storage files (version 3) in the home folder's wallet/, which other wallets read, too.")]
pub struct WalletCommand {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create a new account.
    Create,
    /// Import the key of an account that exists.
    Import {
        /// File with the private key in hex, readable by you alone.
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
    /// List all accounts of this wallet.
    List,
    /// Show what the account has: in the market, as tokens, and gas money.
    Balance,
    /// Deposit tokens into the account's balance in the market, from which deals are paid and
    /// backed.
    Deposit(Move),
    /// Make test tokens and gas money for the account; works on test chains only.
    Mint {
        /// Tokens to make, such as 100.
        amount: String,
        /// Gas money that the account has afterwards at least, coins.
        #[arg(long, value_name = "COINS", default_value_t = 10)]
        gas: u32,
    },
    /// Withdraw tokens from the market.
    Withdraw {
        /// How much.
        #[command(flatten)]
        what: Move,
        /// Recipient (default: the account itself).
        #[arg(long, value_name = "ADDRESS")]
        to: Option<Address>,
    },
}

#[derive(Debug, Args)]
struct Move {
    /// Tokens, such as 12.5, or `all`.
    amount: String,
    /// Show what would be sent and what it costs. Nothing is sent.
    #[arg(long)]
    explain: bool,
}

/// Runs one of them.
pub async fn wallet(args: &WalletCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    match &args.what {
        What::Create => add(place, PrivateKeySigner::random(), ui).await?,
        What::Import { key_file } => add(place, rialto_client::read_key(key_file)?, ui).await?,
        What::List => list(place, ui)?,
        What::Balance => balance(place, ui).await?,
        What::Deposit(what) => deposit(Account::new(place).await?, what, ui).await?,
        What::Mint { amount, gas } => mint(Account::new(place).await?, amount, *gas, ui).await?,
        What::Withdraw { what, to } => withdraw(Account::new(place).await?, what, *to, ui).await?,
    }
    Ok(exit::OK)
}

async fn add(place: &PlaceArgs, key: PrivateKeySigner, ui: Ui) -> Result<()> {
    let wallet = place.wallet()?;
    let passphrase = place.new_passphrase()?;
    let (account, path) = tokio::task::spawn_blocking(move || {
        let account = wallet.add(&key, &passphrase)?;
        Ok::<_, anyhow::Error>((account, wallet.path(account)))
    })
    .await??;
    let text = format!(
        "{account}\n  kept in {}: keep a copy, and the passphrase; nobody can restore either",
        path.display()
    );
    ui.answer(&text, || view::AccountMade { account: account.into(), keystore: path.clone() });
    Ok(())
}

fn list(place: &PlaceArgs, ui: Ui) -> Result<()> {
    let accounts = place.wallet()?.accounts()?;
    let lines: Vec<String> = accounts.iter().map(ToString::to_string).collect();
    let text = if lines.is_empty() {
        "no accounts: `rialto wallet create` makes one".into()
    } else {
        lines.join("\n")
    };
    ui.answer(&text, || view::AccountList {
        accounts: accounts.iter().copied().map(Into::into).collect(),
    });
    Ok(())
}

async fn balance(place: &PlaceArgs, ui: Ui) -> Result<()> {
    let market = place.market()?;
    let account = place.whose(&market)?;
    let chain = market.connect().await?;
    let inside = chain.account(account).await?;
    let tokens: u128 = chain.token_balance(account).await?.saturating_to();
    let gas: u128 = chain.native_balance(account).await?.saturating_to();
    let text = format!(
        "{}\n  in the market  {}\n  in the wallet  {}\n  gas money      {}",
        Paint::for_stdout().bold(&account.to_string()),
        money(inside),
        money(tokens),
        coins(gas),
    );
    ui.answer(&text, || view::Balance {
        account: account.into(),
        market: inside.into(),
        tokens: tokens.into(),
        gas_wei: gas.into(),
    });
    Ok(())
}

async fn deposit(account: Account, what: &Move, ui: Ui) -> Result<()> {
    let has: u128 = account.chain.token_balance(account.address).await?.saturating_to();
    let amount = amount(&what.amount, has)?;
    ensure!(
        amount <= has,
        failure!(
            NoMoney,
            "W-013",
            "{} holds {} outside the market: less than {}",
            account.address,
            money(has),
            money(amount)
        )
    );
    let plan = format!(
        "deposit {} from {} into its account in the market, by permit",
        money(amount),
        account.address
    );
    if what.explain {
        // A permit can't be made without the key: what it needs is checked above.
        return account.explain(&[(plan, None)], ui).await;
    }
    let signer = account.signer().await?;
    let call =
        account.chain.permit(&signer, amount, account.chain.now().await? + PERMIT_SECONDS).await?;
    moved(account, signer, "deposit", call, &plan, amount, ui).await
}

/// Funds an account of a test chain: gas money from the node, tokens from the test token.
async fn mint(account: Account, amount: &str, gas: u32, ui: Ui) -> Result<()> {
    let chain_id = account.chain.chain_id();
    ensure!(
        TEST_CHAINS.contains(&chain_id),
        failure!(
            Usage,
            "W-014",
            "chain {chain_id} is not a test chain: get the market's token and gas money from those who have them"
        )
    );
    let amount = self::amount(amount, 0)?;
    // The key is opened first: a wrong passphrase changes nothing.
    let signer = account.signer().await?;
    let wanted = u128::from(gas) * WEI_PER_COIN;
    if account.chain.native_balance(account.address).await?.saturating_to::<u128>() < wanted {
        account.chain.set_native_balance(account.address, wanted).await?;
    }
    let sender = account.sender(signer).await?;
    let plan = format!("mint {} for {}", money(amount), account.address);
    let call = MarketCall::Mint { to: account.address, amount };
    let mined = transact::send(&sender, intent("mint"), call, &plan, ui).await?;
    sender.stop().await;
    let tokens: u128 = account.chain.token_balance(account.address).await?.saturating_to();
    let gas_wei: u128 = account.chain.native_balance(account.address).await?.saturating_to();
    let text = format!(
        "{}\n  in the wallet now {}, gas money {}\n  `rialto wallet deposit {}` puts it into the market",
        transact::told(&mined),
        money(tokens),
        coins(gas_wei),
        tokens / 10u128.pow(TOKEN_DECIMALS),
    );
    ui.answer(&text, || view::Minted {
        amount: amount.into(),
        transaction: mined.tx.into(),
        tokens: tokens.into(),
        gas_wei: gas_wei.into(),
    });
    Ok(())
}

/// Returns a name for a transaction that is sent each time the command is run.
fn intent(name: &str) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{name}-{at}")
}

async fn withdraw(account: Account, what: &Move, to: Option<Address>, ui: Ui) -> Result<()> {
    let has = account.chain.account(account.address).await?;
    let amount = amount(&what.amount, has)?;
    let to = to.unwrap_or(account.address);
    ensure!(
        amount <= has,
        failure!(
            NoMoney,
            "W-013",
            "{} has {} in the market that is not locked in deals: less than {}",
            account.address,
            money(has),
            money(amount)
        )
    );
    let plan = format!("withdraw {} of {} from the market to {to}", money(amount), account.address);
    let call = MarketCall::Withdraw { to, amount };
    if what.explain {
        return account.explain(&[(plan, Some(call))], ui).await;
    }
    let signer = account.signer().await?;
    moved(account, signer, "withdraw", call, &plan, amount, ui).await
}

/// Moves money, and tells what became of it.
async fn moved(
    account: Account,
    signer: PrivateKeySigner,
    name: &str,
    call: MarketCall,
    plan: &str,
    amount: u128,
    ui: Ui,
) -> Result<()> {
    let sender = account.sender(signer).await?;
    let mined = transact::send(&sender, intent(name), call, plan, ui).await?;
    sender.stop().await;
    let now = account.chain.account(account.address).await?;
    let text = format!("{}\n  in the market now {}", transact::told(&mined), money(now));
    ui.answer(&text, || view::Moved {
        done: name.to_owned(),
        amount: amount.into(),
        transaction: mined.tx.into(),
        block: mined.block,
        gas_used: mined.gas_used,
        fee_wei: mined.fee_wei.into(),
        market: now.into(),
    });
    Ok(())
}

fn amount(text: &str, all: u128) -> Result<u128> {
    let amount = match text {
        "all" => all,
        text => match base_units(text) {
            Ok(amount) => amount,
            Err(why) => bail!(failure!(Usage, "C-CFG-006", "{text}: {why}")),
        },
    };
    ensure!(amount > 0, failure!(Usage, "C-CFG-006", "{text}: nothing to move"));
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_tokens() {
        assert_eq!(amount("1.5", 0).unwrap(), 1_500_000);
        assert_eq!(amount("all", 7).unwrap(), 7);
        assert!(amount("all", 0).is_err() && amount("-1", 9).is_err());
    }
}
