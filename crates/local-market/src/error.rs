//! Why a local market does not start or go on.

use std::{error::Error, path::PathBuf};

/// Why a local market does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum LocalMarketError {
    /// A folder can't be made or read.
    #[error("[C-HOM-001] {} can't be created or read", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder holds something already.
    #[error("[C-DEM-002] {} is not empty: every market starts in a folder of its own", path.display())]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// The file that says where the contracts are can't be read.
    #[error("[C-UP-005] {} is damaged, or an older version's: `rialto down --wipe` begins anew", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The contracts are not those of this version.
    #[error("[C-UP-005] the market in {} is an older version's: `rialto down --wipe` begins anew", folder.display())]
    Older {
        /// Where the market is.
        folder: PathBuf,
    },
    /// The embedded chain refused a request.
    #[error("the embedded chain refused: {0}")]
    Chain(String),
    /// A part did not start or answer.
    #[error("{what}")]
    Part {
        /// Which part failed.
        what: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A transaction was not sent.
    #[error(transparent)]
    Send(#[from] rialto_chain::SendError),
    /// The chain was not read.
    #[error(transparent)]
    Read(#[from] rialto_chain::ChainError),
    /// A file was not written.
    #[error(transparent)]
    Home(#[from] rialto_client::HomeError),
    /// A provider did not start.
    #[error(transparent)]
    Provider(#[from] rialto_provider::ProviderError),
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, LocalMarketError>;

/// Says which part failed.
pub(crate) trait Step<T> {
    /// The value, or an error that says which part failed.
    fn step(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Step<T> for std::result::Result<T, E> {
    fn step(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| LocalMarketError::Part { what: what.into(), source: source.into() })
    }
}
