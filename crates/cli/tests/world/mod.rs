//! A chain over HTTP whose time a test moves, and a home with the requester's key. With `chain` and
//! `home`.
#![allow(dead_code)] // every test binary uses a part

use rialto_chain::{Chain, Deployed};
use rialto_devchain::{Devchain, Server, serve};
use serde_json::{Value, json};

use crate::{chain, home::Home};

pub struct World {
    pub dev: Devchain,
    pub chain: Chain,
    pub deployed: Deployed,
    pub home: Home,
    pub pass: String,
    pub place: Vec<String>,
    _server: Server,
}

impl World {
    pub async fn new() -> Self {
        let (dev, deployed, chain) = chain::market(10_000_000).await;
        let server = serve(dev.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let home = Home::new();
        let pass = home.secret("pass", "correct horse\n");
        let key = home.secret("key", &format!("{:x}", chain::key("requester").to_bytes()));
        home.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &pass]);
        let place = vec![server.url(), deployed.market.to_string()];
        Self { dev, chain, deployed, home, pass, place, _server: server }
    }

    pub fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let place =
            ["--rpc", &self.place[0], "--market", &self.place[1], "--passphrase-file", &self.pass];
        [&place[..], more].concat()
    }

    pub fn ok(&self, more: &[&str]) -> Value {
        self.home.ok(&self.args(more))
    }

    pub fn fails(&self, more: &[&str]) -> (i32, String) {
        self.home.fails(&self.args(more))
    }

    pub fn pass_time(&self, seconds: u64) {
        chain::control(&self.dev, "evm_increaseTime", json!([seconds]));
        chain::control(&self.dev, "evm_mine", json!([]));
    }
}
