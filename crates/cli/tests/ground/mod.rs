//! A market on anvil, brought up as its users would: deployed, funded and sold on by the shipped
//! binary, each in a home of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use rialto_chain::{Chain, ChainConfig, MarketCall, PrivateKeySigner, Rpc};
use rialto_protocol::{U256, keccak256};

use crate::{anvil, home::Home};

/// Gas money of every account, wei.
const GAS_MONEY: u128 = 10u128.pow(19);
/// What every account deposits, base units.
const DEPOSIT: u128 = 1_000_000_000;

/// The market and its providers, ended when dropped.
pub struct Ground {
    /// Homes of the providers.
    pub providers: Vec<Home>,
    processes: Vec<Child>,
    _anvil: anvil::Process,
}

impl Ground {
    /// A market with so many providers; `home` gets a configuration, and an account with money.
    pub fn on_anvil(binary: &Path, home: &Home, providers: usize) -> Self {
        let anvil = anvil::Process::start(binary, &["--accounts", "1", "--block-time", "1"]);
        let rpc = format!("http://{}", anvil.addr);
        let key = given_key(home, "requester", &anvil);
        let deployed = home.ok(&[
            "--rpc",
            &rpc,
            "deploy",
            "--test-token",
            "--challenge",
            "2 min",
            "--grace",
            "1 min",
        ]);
        let market = deployed["market"].as_str().unwrap();
        let court = deployed["court"].as_str().unwrap();
        let configuration = format!(
            "[market]\nrpc = \"{rpc}\"\naddress = \"{market}\"\ncourt = \"{court}\"\nfirst_block = {}\n",
            deployed["first_block"]
        );
        let homes: Vec<Home> = (0..providers).map(|_| Home::new()).collect();
        let mut keys = vec![key];
        keys.extend(
            homes
                .iter()
                .zip(0..)
                .map(|(home, n)| given_key(home, &format!("provider {n}"), &anvil)),
        );
        mint(&rpc, market, &keys);
        for home in homes.iter().chain([home]) {
            std::fs::write(home.0.path().join("config.toml"), &configuration).unwrap();
            home.ok(&["wallet", "deposit", "all"]);
        }
        let processes = homes.iter().zip(0..).map(|(home, n)| sells(home, n)).collect();
        Self { providers: homes, processes, _anvil: anvil }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What an account has in the market, base units.
pub fn balance(home: &Home) -> u128 {
    home.ok(&["wallet", "balance"])["market"].as_str().unwrap().parse().unwrap()
}

/// Puts a key with gas money into a home's wallet.
fn given_key(home: &Home, name: &str, anvil: &anvil::Process) -> PrivateKeySigner {
    let key = PrivateKeySigner::from_bytes(&keccak256(name)).unwrap();
    anvil.fund(key.address(), U256::from(GAS_MONEY));
    home.locked("correct horse");
    let file = home.secret("key", &format!("{:x}", key.to_bytes()));
    home.ok(&["wallet", "import", "--key-file", &file]);
    key
}

/// Test tokens for everybody.
fn mint(rpc: &str, market: &str, keys: &[PrivateKeySigner]) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let at = ChainConfig::new(Rpc::Http(rpc.parse().unwrap()), market.parse().unwrap());
        let sender =
            Chain::connect(at).await.unwrap().sender_in_memory(keys[0].clone()).await.unwrap();
        for key in keys {
            let call = MarketCall::Mint { to: key.address(), amount: DEPOSIT };
            sender.send(format!("mint-{}", key.address()), call).await.unwrap();
        }
        sender.stop().await;
    });
}

/// A provider; each next one asks a little more.
fn sells(home: &Home, n: u32) -> Child {
    let settings = format!(
        "[price]\nfuel = 0.1{n}\ntask_fee = 0.00001\n[machine]\nfuel_per_second = 400000000\n"
    );
    std::fs::write(home.0.path().join("provider.toml"), settings).unwrap();
    let mut command = home.command(&["provide", "--cores", "1", "--memory", "1024"]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("\"ask_published\"")),
        "a provider ended before it sold anything"
    );
    // Read on, or it blocks once the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    child
}
