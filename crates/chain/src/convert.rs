//! Conversions between the two versions of the signed structs: those of `rialto_protocol` (hashing,
//! signing) and those of the bindings (calls, events). Struct literals without `..` on both sides
//! keep the fields equal.

use rialto_protocol::case::CaseKind;
use rialto_protocol::court::Challenge;
use rialto_protocol::model::Terms;
use rialto_protocol::receipt::{Halted, Status, SumNode};
use rialto_protocol::types as protocol;

use crate::bindings;

macro_rules! same {
    ($($name:ident { $($field:ident),* $(,)? })*) => { $(
        impl From<&protocol::$name> for bindings::$name {
            fn from(value: &protocol::$name) -> Self {
                bindings::$name { $($field: value.$field.into()),* }
            }
        }
        impl From<&bindings::$name> for protocol::$name {
            fn from(value: &bindings::$name) -> Self {
                protocol::$name { $($field: value.$field.into()),* }
            }
        }
    )* };
}

same! {
    Limits { tasks, orders, taskFuel, taskMemory, taskOutput, orderOutput, program, inputs, shared, credit }
    Deal {
        ask, requester, provider, requesterKey, providerKey, budget, collateral, price, taskFee, latePenalty, openedAt,
        expiry, court, salt,
    }
    Order { deal, seq, program, inputs, tasks, fuelLimit, outLimit, maxPages, seed, dueBy }
    Ack { order, dueBy }
    Receipt { order, root, fuel, fee }
    Cancel { order }
    Voucher { deal, amount, orders, close }
    Release { deal, amount }
    Game { deal, order, receipt, accuser, provider, providerKey, bond, openedAt }
}

/// The limits in an ask need a conversion of their own.
macro_rules! ask {
    ($from:ident -> $to:ident { $($field:ident),* $(,)? }) => {
        impl From<&$from::Ask> for $to::Ask {
            fn from(value: &$from::Ask) -> Self {
                $to::Ask { limits: (&value.limits).into(), $($field: value.$field.into()),* }
            }
        }
    };
    ({ $($field:ident),* $(,)? }) => {
        ask!(protocol -> bindings { $($field),* });
        ask!(bindings -> protocol { $($field),* });
    };
}

ask!({
    provider, key, endpoint, priceStart, priceEnd, from, to, taskFee, minBudget, maxBudget, collateralBps,
    latePenaltyBps, maxSeconds, capacity, cores, fuelPerSecond, runtime, attributes, court, counter, salt,
});

impl From<CaseKind> for bindings::CaseKind {
    fn from(kind: CaseKind) -> Self {
        match kind {
            CaseKind::Claim => Self::Claim,
            CaseKind::Late => Self::Late,
            CaseKind::Demand => Self::Demand,
            CaseKind::Hold => Self::Hold,
        }
    }
}

/// A sol! enum has one variant more: numbers that this build does not know.
macro_rules! known {
    ($($from:ident -> $to:path { $($name:ident),* })*) => { $(
        impl bindings::$from {
            /// None of a value that this build does not know.
            pub(crate) fn known(self) -> Option<$to> {
                use $to as To;
                match self {
                    $(Self::$name => Some(To::$name),)*
                    Self::__Invalid => None,
                }
            }
        }
    )* };
}

known! {
    CaseKind -> rialto_protocol::case::CaseKind { Claim, Late, Demand, Hold }
    CaseOutcome -> rialto_protocol::event::CaseOutcome { Paid, Void, Answered, Defaulted }
    Ending -> rialto_protocol::event::Ending { Redeemed, Released, Expired, Late, Withheld, Slashed }
    Verdict -> rialto_protocol::court::Verdict { Step, Timeout, Fuel }
    Fault -> rialto_protocol::fault::Fault { Sum, Fuel }
}

impl From<&Terms> for bindings::Terms {
    fn from(terms: &Terms) -> Self {
        let Terms { key, budget, opened_at, duration, max_price, salt } = *terms;
        Self { key, budget, openedAt: opened_at, duration, maxPrice: max_price, salt }
    }
}

impl From<&bindings::SumNode> for SumNode {
    fn from(node: &bindings::SumNode) -> Self {
        Self { hash: node.hash, fuel: node.fuel }
    }
}

impl From<&Challenge> for bindings::Challenge {
    fn from(it: &Challenge) -> Self {
        Self {
            input: it.input,
            inputProof: it.input_proof.clone(),
            parts: it.parts.clone(),
            states: *it.states,
        }
    }
}

impl From<&SumNode> for bindings::SumNode {
    fn from(node: &SumNode) -> Self {
        Self { hash: node.hash, fuel: node.fuel }
    }
}

impl From<&Halted> for bindings::Halted {
    fn from(halted: &Halted) -> Self {
        Self {
            status: halted.status as u8,
            exitCode: halted.exit_code,
            outHash: halted.out_hash,
            outLen: halted.out_len,
            fuelLeft: halted.fuel_left,
            digest: halted.digest,
        }
    }
}

impl From<&bindings::Halted> for Halted {
    fn from(halted: &bindings::Halted) -> Self {
        Self {
            status: if halted.status == 0 { Status::Finished } else { Status::Trap },
            exit_code: halted.exitCode,
            out_hash: halted.outHash,
            out_len: halted.outLen,
            fuel_left: halted.fuelLeft,
            digest: halted.digest,
        }
    }
}
