//! Kinds of failures, for those who have to decide by them. Codes and texts are for people.

use rialto_chain::{ChainError, ContractError, SendError};
use rialto_requester::{JobError, RequesterError};
use serde::{Deserialize, Serialize};

/// What kind of failure it is. Exit codes of the command line are made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// None of the others.
    Failed,
    /// What was asked for, a configuration or a job file can't be used.
    Usage,
    /// No market, or no provider for what is asked.
    NoMarket,
    /// The wallet or a key can't be used.
    NoKey,
    /// Not enough money, or the chain refused the transaction.
    NoMoney,
}

/// An error that has a class.
pub trait Classified {
    /// Its class.
    fn class(&self) -> Class;
}

impl Classified for ContractError {
    fn class(&self) -> Class {
        Class::NoMoney
    }
}

impl Classified for ChainError {
    fn class(&self) -> Class {
        match self {
            Self::Contract(error) => error.class(),
            Self::BadRoots(_) | Self::ForeignCourt { .. } => Class::Usage,
            _ => Class::NoMarket,
        }
    }
}

impl Classified for SendError {
    fn class(&self) -> Class {
        match self {
            Self::Rejected(error) => error.class(),
            Self::Chain(error) => error.class(),
            Self::FeeAboveCap { .. } | Self::NoGasMoney { .. } => Class::NoMoney,
            _ => Class::Failed,
        }
    }
}

impl Classified for JobError {
    fn class(&self) -> Class {
        match self {
            Self::NoMatch(_) | Self::Stranded { .. } => Class::NoMarket,
            Self::Tasks { .. }
            | Self::Replicas { .. }
            | Self::FuelLimit
            | Self::Duplicate
            | Self::Name { .. }
            | Self::Rate { .. }
            | Self::NotResumable { .. } => Class::Usage,
            Self::Bonds { .. } => Class::NoMoney,
            Self::Deadline { .. } | Self::Open(_) | Self::Cancelled => Class::Failed,
        }
    }
}

impl Classified for RequesterError {
    fn class(&self) -> Class {
        match self {
            Self::Account { .. } => Class::NoMoney,
            Self::Job(error) => error.class(),
            Self::Chain(error) => error.class(),
            Self::Send(error) => error.class(),
            _ => Class::Failed,
        }
    }
}
