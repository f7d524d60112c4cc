//! Which market, and as whom: flags first, then `config.toml`, then the market of a running `rialto
//! up`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use rialto_chain::{Chain, ChainConfig, ChainError, PrivateKeySigner, Rpc};
use rialto_net::NetConfig;
use rialto_protocol::{Address, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    class::{Class, Classified},
    home::{Home, HomeError, endpoint_secret, write_private},
    settings::{Section, Settings, SettingsError},
};

/// The commented configuration that `rialto config init` writes.
pub const TEMPLATE: &str = include_str!("config.toml");
/// Every key of `config.toml`.
const SHAPE: &[Section] = &[
    ("market", &["rpc", "rpc_ca", "address", "first_block", "court", "confirmations"]),
    ("net", &["bind", "relay", "external"]),
    ("wallet", &["account"]),
];
/// What a running local market writes down.
const LOCAL_FACTS: &str = "market.json";
/// The same for another home folder on this machine: what its config.toml needs.
const LOCAL_CONFIG: &str = "market.toml";
/// The local market's account that buys.
pub const LOCAL_REQUESTER: &str = "requester";

/// Why no market is to be had.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// `config.toml` can't be used.
    #[error("{file}: {why}")]
    Settings {
        /// The file.
        file: String,
        /// Why.
        why: SettingsError,
    },
    /// Neither flags nor configuration nor a local market.
    #[error(
        "[C-MKT-001] which market? Start one on this machine with `rialto up`, or pass --rpc and --market, or set them in {config}"
    )]
    Unknown {
        /// Where they could be set.
        config: String,
    },
    /// Half of it.
    #[error(
        "[C-MKT-002] {missing} is missing: a market is an RPC endpoint (--rpc) and an address on its chain (--market)"
    )]
    Half {
        /// Which half.
        missing: &'static str,
    },
    /// Not a URL. It is not repeated: URLs hold API keys.
    #[error("[C-MKT-003] the RPC endpoint is not a URL such as https://rpc.example.org")]
    NoUrl,
    /// The chain can't be asked.
    #[error("[C-MKT-004] the market can't be reached{hint}: {why}")]
    Unreachable {
        /// What may help.
        hint: &'static str,
        /// Why.
        why: ChainError,
    },
    /// The facts of the local market can't be read.
    #[error(
        "[C-MKT-005] {file} can't be read: stop the local market, and start it again with `rialto up`"
    )]
    LocalFacts {
        /// The file.
        file: String,
    },
    /// The root certificates can't be read.
    #[error("[C-MKT-006] market.rpc_ca: {file} can't be read: {why}")]
    Roots {
        /// The file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// A folder can't be used.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Classified for MarketError {
    fn class(&self) -> Class {
        match self {
            Self::Settings { .. } | Self::Half { .. } | Self::NoUrl | Self::Roots { .. } => {
                Class::Usage
            }
            Self::Unknown { .. } | Self::Unreachable { .. } | Self::LocalFacts { .. } => {
                Class::NoMarket
            }
            Self::Home(error) => error.class(),
        }
    }
}

/// What was chosen on the command line.
#[derive(Clone, Debug, Default)]
pub struct MarketChoice {
    /// JSON-RPC endpoint.
    pub rpc: Option<String>,
    /// The market's address.
    pub market: Option<Address>,
    /// Whose account.
    pub account: Option<Address>,
}

/// What a local market tells others on this machine. A file of it outlives the market: connecting
/// tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LocalFacts {
    /// JSON-RPC endpoint on loopback.
    pub rpc: String,
    /// Chain id.
    pub chain_id: u64,
    /// The market.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub market: Address,
    /// Its token.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub token: Address,
    /// Block in which it was created.
    pub first_block: u64,
    /// The court that was deployed with it; `None` by an older version.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<crate::view::Account>"))]
    pub court: Option<Address>,
    /// The account that buys, funded; its key is [`local_key`] of [`LOCAL_REQUESTER`].
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub requester: Address,
    /// The process.
    pub pid: u32,
}

impl LocalFacts {
    /// What the local market of a home says, if there ever was one.
    ///
    /// # Errors
    /// `C-MKT-005`.
    pub fn read(home: &Home) -> Result<Option<Self>, MarketError> {
        let file = home.local().join(LOCAL_FACTS);
        let damaged = || MarketError::LocalFacts { file: file.display().to_string() };
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(damaged()),
        }
    }

    /// Writes them down.
    ///
    /// # Errors
    /// `C-HOM-001`.
    pub fn write(&self, home: &Home) -> Result<(), MarketError> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        write_private(&Self::config(home), self.config_text().as_bytes())?;
        Ok(write_private(&home.local().join(LOCAL_FACTS), &text)?)
    }

    /// Returns the file with which another home folder on this machine joins the local market of
    /// `home`: copied there as config.toml.
    pub fn config(home: &Home) -> PathBuf {
        home.local().join(LOCAL_CONFIG)
    }

    fn config_text(&self) -> String {
        let court = self.court.map_or_else(String::new, |court| format!("court = \"{court}\"\n"));
        format!(
            "# The market of `rialto up` on this machine: copy this file to another home folder, as config.toml.\n\
             # `rialto up` writes it anew at each start, because the port may be another.\n\
             [market]\nrpc = \"{}\"\naddress = \"{}\"\n{court}first_block = {}\nconfirmations = 1\n",
            self.rpc, self.market, self.first_block
        )
    }

    /// Forgets them: the market is down.
    pub fn remove(home: &Home) {
        let _ = std::fs::remove_file(home.local().join(LOCAL_FACTS));
        let _ = std::fs::remove_file(Self::config(home));
    }
}

/// Keys of the embedded chain are public, like those of every test chain: they hold nothing of
/// value.
pub fn local_key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(format!("rialto embedded account {name}")))
        .expect("a hash is below the group order but for one in 2^128")
}

/// A market, and how to be on it.
#[derive(Clone, Debug)]
pub struct MarketConfig {
    /// The chain's endpoint.
    pub rpc: Rpc,
    /// The market's address.
    pub market: Address,
    /// Block in which it was created.
    pub first_block: u64,
    /// The court that was deployed with it, as far as known: what asks name unless told otherwise.
    pub court: Option<Address>,
    /// Blocks that make a transaction final.
    pub confirmations: u64,
    /// Whose account, if chosen.
    pub account: Option<Address>,
    /// Where to listen, if said: see [`MarketConfig::listens`].
    pub bind: Option<SocketAddr>,
    /// Whether the chain is on this machine.
    pub near: bool,
    /// Home relay.
    pub relay: Option<String>,
    /// Addresses to tell others besides those found.
    pub external: Vec<SocketAddr>,
    /// Set if it is the market of this machine's `rialto up`.
    pub local: Option<LocalFacts>,
}

impl MarketConfig {
    /// Finds out which market is meant.
    ///
    /// # Errors
    /// `C-CFG-…`, `C-MKT-001` to `C-MKT-003`, `C-MKT-005`, `C-MKT-006`.
    pub fn find(home: &Home, choice: &MarketChoice) -> Result<Self, MarketError> {
        Self::read(home, choice, true)
    }

    /// Finds out which chain is meant, for what makes a market or looks at the chain alone: without
    /// an address of one, it is zero.
    ///
    /// # Errors
    /// Like [`MarketConfig::find`].
    pub fn find_chain(home: &Home, choice: &MarketChoice) -> Result<Self, MarketError> {
        Self::read(home, choice, false)
    }

    fn read(home: &Home, choice: &MarketChoice, whole: bool) -> Result<Self, MarketError> {
        let file = home.config();
        let settings = |why| MarketError::Settings { file: file.display().to_string(), why };
        let config = Settings::read(&file, SHAPE).map_err(settings)?;
        let text = |section, key| {
            config.text(section, key).map(|text| text.map(str::to_owned)).map_err(settings)
        };
        let address =
            |section, key| config.parsed::<Address>(section, key, "an address").map_err(settings);
        let number = |key, least, most| config.number("market", key, least, most).map_err(settings);

        let rpc = choice.rpc.clone().or(text("market", "rpc")?);
        let configured = address("market", "address")?;
        let market = choice.market.or(configured);
        let account = choice.account.or(address("wallet", "account")?);
        let (rpc, market, local) = match (rpc, market) {
            (Some(rpc), Some(market)) => (rpc, market, None),
            (None, Some(_)) => return Err(MarketError::Half { missing: "the RPC endpoint" }),
            (Some(rpc), None) if !whole => (rpc, Address::ZERO, None),
            (Some(_), None) => return Err(MarketError::Half { missing: "the market's address" }),
            (None, None) => match LocalFacts::read(home)? {
                Some(local) => (local.rpc.clone(), local.market, Some(local)),
                None => return Err(MarketError::Unknown { config: file.display().to_string() }),
            },
        };
        // It belongs to the market of the same file, and to no other.
        let court = address("market", "court")?.filter(|_| configured == Some(market));
        let first_block = number("first_block", 0, u64::MAX >> 1)?;
        Ok(Self {
            near: is_loopback(&rpc),
            rpc: endpoint(&rpc, home, text("market", "rpc_ca")?)?,
            market,
            first_block: local.as_ref().map(|local| local.first_block).or(first_block).unwrap_or(0),
            court: local.as_ref().map_or(court, |local| local.court),
            confirmations: number("confirmations", 1, 10_000)?.unwrap_or(1),
            account,
            bind: config
                .parsed("net", "bind", "an address and a port, such as 0.0.0.0:4433")
                .map_err(settings)?,
            relay: text("net", "relay")?,
            external: config
                .list("net", "external", "addresses with ports, such as 203.0.113.7:4433")
                .map_err(settings)?
                .unwrap_or_default(),
            local,
        })
    }

    /// How the chain is reached.
    pub fn chain(&self) -> ChainConfig {
        ChainConfig {
            confirmations: self.confirmations,
            ..ChainConfig::new(self.rpc.clone(), self.market)
        }
    }

    /// Connects to the chain, and checks that the market is there.
    ///
    /// # Errors
    /// `C-MKT-004`.
    pub async fn connect(&self) -> Result<Chain, MarketError> {
        let config = self.chain();
        let hint = if self.local.is_some() {
            ": the local market does not run (`rialto up` starts it)"
        } else {
            ""
        };
        Chain::connect(config).await.map_err(|why| MarketError::Unreachable { hint, why })
    }

    /// The key of the local market's requester, if that is who is meant.
    pub fn local_signer(&self) -> Option<PrivateKeySigner> {
        let local = self.local.as_ref()?;
        (self.account.is_none() || self.account == Some(local.requester))
            .then(|| local_key(LOCAL_REQUESTER))
    }

    /// Where to listen: what was said; else loopback for a market on this machine, which has nobody
    /// outside; else everywhere.
    pub fn listens(&self) -> SocketAddr {
        let alone = self.near && self.relay.is_none() && self.external.is_empty();
        self.bind
            .unwrap_or((if alone { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED }, 0).into())
    }

    /// The endpoint of a requester or provider with this folder.
    ///
    /// # Errors
    /// `C-HOM-001`.
    pub fn net(&self, folder: &Path) -> Result<NetConfig, MarketError> {
        Ok(NetConfig {
            secret: endpoint_secret(folder)?,
            bind: self.listens(),
            port_file: Some(folder.join("port")),
            relay: self.relay.clone(),
            external: self.external.clone(),
            blob_dir: folder.join("blobs"),
            limits: rialto_net::Limits::default(),
        })
    }
}

/// Largest file of root certificates, bytes: a system's whole store is a quarter of it.
const MAX_ROOTS_BYTES: u64 = 1 << 20;

/// The endpoint at a URL; over `https://` with the roots of one's own, if there are any. A relative
/// file lies in the home.
fn endpoint(url: &str, home: &Home, roots: Option<String>) -> Result<Rpc, MarketError> {
    let rpc = Rpc::Http(url.parse().map_err(|_| MarketError::NoUrl)?);
    match (rpc, roots) {
        (Rpc::Http(url), Some(file)) if url.scheme() == "https" => {
            let file = home.path().join(file);
            let failed = |why: String| MarketError::Roots { file: file.display().to_string(), why };
            let size = std::fs::metadata(&file).map_err(|why| failed(why.to_string()))?.len();
            if size > MAX_ROOTS_BYTES {
                return Err(failed("it is too large".into()));
            }
            let roots = std::fs::read(&file).map_err(|why| failed(why.to_string()))?.into();
            Ok(Rpc::Private { url, roots })
        }
        (rpc, _) => Ok(rpc),
    }
}

/// Whether a URL names this machine.
fn is_loopback(url: &str) -> bool {
    let host =
        url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_before_configuration_before_the_local_market() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let find = |choice: &MarketChoice| MarketConfig::find(&home, choice);
        let none = MarketChoice::default();
        assert!(find(&none).unwrap_err().to_string().starts_with("[C-MKT-001]"));

        crate::home::private_dir(&home.local()).unwrap();
        let facts = LocalFacts {
            rpc: "http://127.0.0.1:1".into(),
            chain_id: 31_337,
            market: Address::repeat_byte(1),
            token: Address::repeat_byte(2),
            first_block: 3,
            court: Some(Address::repeat_byte(9)),
            requester: local_key(LOCAL_REQUESTER).address(),
            pid: 4,
        };
        facts.write(&home).unwrap();
        let found = find(&none).unwrap();
        assert_eq!(
            (found.market, found.first_block, found.local.as_ref()),
            (facts.market, 3, Some(&facts))
        );
        assert_eq!(found.court, facts.court);
        assert!(found.listens().ip().is_loopback());
        assert_eq!(found.local_signer().unwrap().address(), facts.requester);
        let other = MarketChoice { account: Some(Address::ZERO), ..none.clone() };
        assert!(find(&other).unwrap().local_signer().is_none());

        let text = format!(
            "[market]\nrpc = \"https://x.example\"\naddress = \"{}\"\n",
            Address::repeat_byte(5)
        );
        std::fs::write(home.config(), &text).unwrap();
        let found = find(&none).unwrap();
        assert_eq!((found.market, found.local.is_none()), (Address::repeat_byte(5), true));
        assert!(found.listens().ip().is_unspecified());
        let flags = MarketChoice { market: Some(Address::repeat_byte(6)), ..none.clone() };
        assert_eq!(find(&flags).unwrap().market, Address::repeat_byte(6));
        std::fs::write(home.config(), format!("{text}court = \"{}\"\n", Address::repeat_byte(7)))
            .unwrap();
        assert_eq!(find(&none).unwrap().court, Some(Address::repeat_byte(7)));
        assert_eq!(find(&flags).unwrap().court, None, "another market's");

        std::fs::write(home.config(), text.replace("rpc =", "rpc_ca = \"ca.pem\"\nrpc =")).unwrap();
        assert!(find(&none).unwrap_err().to_string().starts_with("[C-MKT-006]"));
        std::fs::write(folder.path().join("ca.pem"), "roots").unwrap();
        assert!(
            matches!(find(&none).unwrap().rpc, Rpc::Private { roots, .. } if *roots == *b"roots")
        );
        let plain = MarketChoice { rpc: Some("http://x.example".into()), ..none.clone() };
        assert!(matches!(find(&plain).unwrap().rpc, Rpc::Http(_)), "nothing to check");

        std::fs::write(home.config(), "[market]\nrpc = \"https://x.example\"").unwrap();
        let chain = MarketConfig::find_chain(&home, &none).unwrap();
        assert_eq!((chain.market, chain.local), (Address::ZERO, None));
        assert!(find(&none).unwrap_err().to_string().starts_with("[C-MKT-002]"));
        let flags = MarketChoice { rpc: Some("not a url".into()), ..flags };
        let error = find(&flags).unwrap_err().to_string();
        assert!(error.starts_with("[C-MKT-003]") && !error.contains("not a url"), "{error}");
        std::fs::write(home.config(), "[market]\nrcp = 1").unwrap();
        assert!(find(&none).unwrap_err().to_string().contains("did you mean `rpc`"));
    }

    #[test]
    fn the_template_holds_every_key() {
        assert!(Settings::parse(TEMPLATE, SHAPE).is_ok());
        let bare: Vec<&str> = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                    rest
                }
                _ => line,
            })
            .collect();
        let all = Settings::parse(&bare.join("\n"), SHAPE).unwrap();
        for (section, keys) in SHAPE {
            assert!(keys.iter().all(|key| all.get(section, key).is_some()), "{section}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for near in ["http://127.0.0.1:8545", "http://localhost/x", "https://[::1]:1/"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "https://rpc.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost@example.org",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
