//! The shell around the service: what may change between the core's decisions and the world.

use std::fmt::Debug;

use rialto_exec::Outcome;
use rialto_protocol::{
    receipt::Halted,
    types::{Order, Receipt},
};

use crate::core::{Effect, Event, Results};

/// Sees what the core wants done and what work brings, and may change both. Every method of a plain
/// shell changes nothing; a decorator overrides what it alters.
pub trait Shell: Debug + Send + Sync + 'static {
    /// Returns what is done about an effect. Records are always written first, as they are.
    fn effect(&self, effect: Effect) -> Conduct {
        Conduct::Perform(effect)
    }

    /// Returns the results of an order that is not run; `None` if it is.
    fn results(&self, _order: &Order) -> Option<Results> {
        None
    }

    /// Returns how a task of an order ended, before that is kept.
    fn outcome(&self, _order: &Order, _task: u32, outcome: Outcome) -> Outcome {
        outcome
    }

    /// Returns what is signed for a receipt.
    fn receipt(&self, receipt: Receipt) -> Receipt {
        receipt
    }

    /// Returns the end of a task that a game is played for, whatever the run says; `None` if the
    /// run decides. `said` is the end that was signed.
    fn stands_by(&self, _said: &Halted) -> Option<Halted> {
        None
    }
}

/// What is done about an effect.
// There is one at a time, and it is taken apart at once.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Conduct {
    /// This effect is performed.
    Perform(Effect),
    /// Nothing is done, and the core hears this.
    Says(Event),
    /// Nothing is done.
    Nothing,
}

/// The shell of every provider that is started without another.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Shell for Plain {}
