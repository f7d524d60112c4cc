//! Where a provider sells: the market, its account, its folder.

use std::{
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_chain::{Chain, ChainConfig, PrivateKeySigner, Rpc};
use rialto_protocol::Address;

/// Longest key file, bytes.
const MAX_KEY_BYTES: u64 = 256;

/// Which market, whose account, which folder.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The chain: JSON-RPC endpoint of any EVM chain.
    #[arg(long, value_name = "URL", required_unless_present = "init")]
    pub rpc: Option<String>,
    /// The market's address on it.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "init")]
    pub market: Option<Address>,
    /// Block in which the market was created: where its events begin.
    #[arg(long, value_name = "BLOCK", default_value_t = 0)]
    pub first_block: u64,
    /// Blocks that make a transaction final.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub confirmations: u64,
    /// File with the account's private key in hex, readable by you alone (mode 0600).
    #[arg(long, value_name = "FILE", required_unless_present = "init")]
    pub key: Option<PathBuf>,
    /// Where providers keep journals, blobs and sockets (default: $RIALTO_HOME, or ~/.local/share/rialto).
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// How others reach this provider.
#[derive(Clone, Debug, Args)]
pub struct NetArgs {
    /// Address to listen on. Behind a NAT any port will do: see --relay.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:0")]
    pub bind: SocketAddr,
    /// A relay through which requesters reach this provider when they can't directly, such as https://relay.example.org.
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// Address to tell others besides those found, such as a forwarded port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub external: Vec<SocketAddr>,
}

/// A place, found.
pub struct Place {
    /// The key.
    pub signer: PrivateKeySigner,
    /// The market.
    pub chain: Chain,
    /// This provider's folder on this market.
    pub folder: PathBuf,
    /// Settings and what is the same for all markets.
    pub home: PathBuf,
}

impl PlaceArgs {
    /// Connects.
    pub async fn find(&self) -> Result<Place> {
        let home = home(self.home.as_deref())?;
        let (Some(rpc), Some(market), Some(key)) = (&self.rpc, self.market, &self.key) else {
            bail!("[P-CFG-005] --rpc, --market and --key say where to sell and as whom");
        };
        let signer = read_key(key)?;
        // A URL may hold an API key: it is not repeated.
        let url = rpc.parse().context("[P-CFG-005] --rpc is not a URL")?;
        let config = ChainConfig { confirmations: self.confirmations, ..ChainConfig::new(Rpc::Http(url), market) };
        let chain = Chain::connect(config).await?;
        let folder = folder(&home, chain.chain_id(), market, signer.address());
        private_dir(&folder)?;
        Ok(Place { signer, chain, folder, home })
    }
}

/// The folder of everything.
pub fn home(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given.map(Path::to_owned).or_else(|| std::env::var_os("RIALTO_HOME").map(PathBuf::from)) {
        return Ok(given);
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    Ok(data.or(own).context("[P-CFG-006] no home folder: pass --home")?.join("rialto"))
}

/// A provider's folder.
pub fn folder(home: &Path, chain_id: u64, market: Address, account: Address) -> PathBuf {
    home.join("provider").join(format!("{chain_id}-{market:x}-{account:x}"))
}

/// A folder that nobody else may look into.
pub fn private_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("[P-CFG-006] {} can't be created", path.display()))
}

/// Reads a private key that nobody else may read.
fn read_key(path: &Path) -> Result<PrivateKeySigner> {
    let file = std::fs::metadata(path).with_context(|| format!("[P-KEY-001] {}", path.display()))?;
    let mode = file.permissions().mode();
    ensure!(mode & 0o077 == 0, "[P-KEY-002] {} can be read by others: chmod 600 it", path.display());
    ensure!(file.len() <= MAX_KEY_BYTES, "[P-KEY-003] {} is no key in hex", path.display());
    match std::fs::read_to_string(path)?.trim().parse() {
        Ok(signer) => Ok(signer),
        // The text is a secret: it is not repeated.
        Err(_) => bail!("[P-KEY-003] {} is no key in hex", path.display()),
    }
}

/// The endpoint's own key: made once, kept in the folder. It holds no money; it is what requesters know this provider by.
pub fn endpoint_secret(folder: &Path) -> Result<[u8; 32]> {
    let path = folder.join("endpoint.key");
    match std::fs::read(&path) {
        Ok(bytes) => bytes.try_into().ok().with_context(|| format!("[P-KEY-003] {} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = *PrivateKeySigner::random().to_bytes();
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
            std::io::Write::write_all(&mut file, &secret)?;
            file.sync_all()?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("[P-KEY-001] {}", path.display())),
    }
}
