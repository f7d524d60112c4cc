//! Why a buyer or its host does not run, or refuses.

use rialto_requester::{JobId, RequesterError};

use crate::{
    class::{Class, Classified},
    control::ControlError,
    home::HomeError,
    job::JobFileError,
    market::MarketError,
};

/// Why a host does not run, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The job file.
    #[error(transparent)]
    Job(#[from] JobFileError),
    /// The requester.
    #[error(transparent)]
    Requester(#[from] RequesterError),
    /// The market.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// A folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The endpoint.
    #[error(transparent)]
    Net(#[from] rialto_net::NetError),
    /// The engine.
    #[error(transparent)]
    Exec(#[from] rialto_exec::ExecError),
    /// The chain, asked what something would cost.
    #[error(transparent)]
    Chain(#[from] rialto_chain::SendError),
    /// A task did not run here.
    #[error(transparent)]
    Attempt(#[from] rialto_exec::AttemptError),
    /// Nobody answers where a host should.
    #[error("[C-HST-001] the host of {folder} does not answer: see host.log there")]
    Gone {
        /// Its folder.
        folder: String,
    },
    /// A part of it broke.
    #[error("[C-HST-002] {0}")]
    Broken(String),
    /// A job of another program.
    #[error("[C-HST-003] job {job} was not submitted from a job file")]
    NoFile {
        /// Which.
        job: JobId,
    },
}

impl Classified for HostError {
    fn class(&self) -> Class {
        match self {
            Self::Job(error) => error.class(),
            Self::Requester(error) => error.class(),
            Self::Market(error) => error.class(),
            Self::Home(error) => error.class(),
            Self::Control(error) => error.class(),
            Self::Chain(error) => error.class(),
            Self::Net(_) | Self::Exec(_) | Self::Attempt(_) => Class::Failed,
            Self::Gone { .. } | Self::Broken(_) | Self::NoFile { .. } => Class::Failed,
        }
    }
}
