//! Errors of contracts, as a stable code and a sentence that says what to do.

use alloy_primitives::{Bytes, hex};
use alloy_sol_types::{Panic, Revert, SolError, SolInterface};

pub use crate::bindings::ICourt::ICourtErrors as CourtError;
pub use crate::bindings::IMarket::IMarketErrors as MarketError;
pub use crate::bindings::IStepUnit::IStepUnitErrors as StepUnitError;
use crate::bindings::{CaseStatus, DealStatus, Stage};

/// Longest revert text of a foreign contract that a message repeats.
const MAX_REASON_CHARS: usize = 200;
/// Most revert data kept.
const MAX_DATA_BYTES: usize = 4096;

/// A revert of the market, its token, or a court.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError {
    data: Bytes,
}

impl std::error::Error for ContractError {}

impl std::fmt::Display for ContractError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.code(), self.message())
    }
}

impl ContractError {
    /// Creates an error from revert data.
    pub fn decode(data: &[u8]) -> ContractError {
        ContractError { data: Bytes::copy_from_slice(&data[..data.len().min(MAX_DATA_BYTES)]) }
    }

    /// Returns the revert data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the market's typed error; `None` if another contract (such as the token) reverted.
    pub fn market(&self) -> Option<MarketError> {
        MarketError::abi_decode_validate(&self.data).ok()
    }

    /// Returns a court's typed error. Courts also revert with errors of [`ContractError::market`]
    /// and [`ContractError::step_unit`].
    pub fn court(&self) -> Option<CourtError> {
        CourtError::abi_decode_validate(&self.data).ok()
    }

    /// Returns the typed error of a court's judge of steps.
    pub fn step_unit(&self) -> Option<StepUnitError> {
        StepUnitError::abi_decode_validate(&self.data).ok()
    }

    /// Returns the stable code: `M-…` for the market's own errors, `J-…` for those of a court and
    /// its judge, `M-000` for all others.
    pub fn code(&self) -> &'static str {
        use MarketError as E;
        match self.market() {
            None => self.court_code(),
            Some(E::Unauthorized(_)) => "M-001",
            Some(E::InvalidSignature(_)) => "M-002",
            Some(E::InsufficientBalance(_)) => "M-003",
            Some(E::TransferFailed(_)) => "M-004",
            Some(E::CounterNotRaised(_)) => "M-005",
            Some(E::AnnouncementTooLong(_)) => "M-006",
            Some(E::AskCancelled(_)) => "M-007",
            Some(E::AskNotValidNow(_)) => "M-008",
            Some(E::ProviderFull(_)) => "M-009",
            Some(E::BudgetOutOfRange(_)) => "M-010",
            Some(E::DurationOutOfRange(_)) => "M-011",
            Some(E::PriceTooHigh(_)) => "M-012",
            Some(E::PenaltyTooHigh(_)) => "M-013",
            Some(E::AmountOverflow(_)) => "M-014",
            Some(E::DealExists(_)) => "M-015",
            Some(E::DealNotOpen(_)) => "M-016",
            Some(E::WrongDeal(_)) => "M-017",
            Some(E::WrongOrder(_)) => "M-018",
            Some(E::OrderSettled(_)) => "M-019",
            Some(E::TasksOutOfRange(_)) => "M-020",
            Some(E::NoSuchTask(_)) => "M-021",
            Some(E::FuelTooHigh(_)) => "M-022",
            Some(E::WrongFee(_)) => "M-023",
            Some(E::ReceiptConflict(_)) => "M-024",
            Some(E::ReceiptAsserted(_)) => "M-025",
            Some(E::CaseExists(_)) => "M-026",
            Some(E::CaseNotOpen(_)) => "M-027",
            Some(E::TooEarly(_)) => "M-028",
            Some(E::TooLate(_)) => "M-029",
            Some(E::DealBusy(_)) => "M-030",
            Some(E::HoldOutOfRange(_)) => "M-031",
            Some(E::NotInReceipt(_)) => "M-032",
            Some(E::WrongFuel(_)) => "M-033",
            Some(E::WrongOutput(_)) => "M-034",
            Some(E::WrongOutputLength(_)) => "M-035",
            Some(E::WindowTooLong(_)) => "M-036",
            Some(E::AnswerWindowOutOfRange(_)) => "M-037",
            Some(E::NoToken(_)) => "M-038",
            Some(E::AllowanceTooLow(_)) => "M-039",
            Some(E::OpeningOutOfRange(_)) => "M-040",
            Some(E::NoKey(_)) => "M-041",
        }
    }

    fn court_code(&self) -> &'static str {
        use CourtError as E;
        match (self.court(), self.step_unit()) {
            (None, None) => "M-000",
            (Some(E::RulesOutOfRange(_)), _) => "J-001",
            (Some(E::NotInOrder(_)), _) => "J-002",
            (Some(E::NoDispute(_)), _) => "J-003",
            (Some(E::GameExists(_)), _) => "J-004",
            (Some(E::NoGame(_)), _) => "J-005",
            (Some(E::WrongSegment(_)), _) => "J-006",
            (Some(E::NoSuchPart(_)), _) => "J-007",
            (Some(E::EndsAgree(_)), _) => "J-008",
            (Some(E::WrongLevel(_)), _) => "J-009",
            (Some(E::StepIsRight(_)), _) => "J-010",
            (Some(E::SumIsRight(_)), _) => "J-011",
            (Some(E::FuelIsRight(_)), _) => "J-012",
            (Some(E::WrongStage(_)), _) => "J-015",
            (None, Some(StepUnitError::WrongParts(_))) => "J-013",
            (None, Some(StepUnitError::WrongProof(_))) => "J-014",
        }
    }

    /// Returns a sentence that says what happened and what to do.
    pub fn message(&self) -> String {
        match (self.market(), self.court(), self.step_unit()) {
            (Some(error), ..) => market_message(&error),
            (_, Some(error), _) => court_message(&error),
            (.., Some(error)) => step_unit_message(&error),
            (None, None, None) => self.foreign_message(),
        }
    }

    fn foreign_message(&self) -> String {
        if self.data.is_empty() {
            return "the contract reverted without a reason: check the contract address and the token approval".into();
        }
        if let Ok(Revert { reason }) = Revert::abi_decode(&self.data) {
            let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
            return format!("the contract reverted: {reason}");
        }
        if let Ok(panic) = Panic::abi_decode(&self.data) {
            return format!(
                "the contract failed an internal check ({panic}): report this as a bug"
            );
        }
        let head = hex::encode_prefixed(&self.data[..self.data.len().min(4)]);
        format!("a contract that was called reverted with {head}: check token balance and approval")
    }
}

fn market_message(error: &MarketError) -> String {
    use MarketError as E;
    match error {
        E::Unauthorized(e) => {
            format!("only {} may do this, not {}: use that account's key", e.required, e.caller)
        }
        E::InvalidSignature(e) => {
            format!(
                "the signature over {} is not by {}: ask that party to sign again",
                e.digest, e.signer
            )
        }
        E::InsufficientBalance(e) => format!(
            "the market account of {} holds {} base units, {} are needed: deposit {} more",
            e.account,
            e.balance,
            e.needed,
            e.needed.saturating_sub(e.balance)
        ),
        E::TransferFailed(e) => {
            format!(
                "the token did not move {} base units: check balance and approval, then deposit again",
                e.amount
            )
        }
        E::CounterNotRaised(e) => {
            format!(
                "the counter is {} already, {} is not above it: use {}",
                e.current,
                e.given,
                e.current.saturating_add(1)
            )
        }
        E::AnnouncementTooLong(e) => {
            format!("the announcement has {} bytes: announce fewer addresses", e.length)
        }
        E::AskCancelled(e) => {
            format!(
                "the provider cancelled this ask (counter {}, ask has {}): pick another ask",
                e.current, e.given
            )
        }
        E::AskNotValidNow(e) => {
            format!(
                "the ask is valid from {} until {}, now is {}: pick another ask",
                e.from, e.to, e.time
            )
        }
        E::ProviderFull(e) => format!(
            "the provider has {} deals open, and this ask allows {}: pick another ask, or wait until one closes",
            e.open, e.capacity
        ),
        E::BudgetOutOfRange(e) => {
            format!(
                "the budget {} is outside the ask's {} to {}: change the budget",
                e.budget, e.min, e.max
            )
        }
        E::DurationOutOfRange(e) => {
            format!(
                "the deal would last {} s, the ask allows 1 to {} s: change the duration",
                e.duration, e.max
            )
        }
        E::PriceTooHigh(e) => {
            format!(
                "the price is {} now, above the limit of {}: raise the limit or wait",
                e.price, e.maxPrice
            )
        }
        E::PenaltyTooHigh(e) => {
            format!(
                "the ask's late penalty of {} basis points is above 10000: pick another ask",
                e.latePenaltyBps
            )
        }
        E::AmountOverflow(_) => "an amount does not fit 128 bits: use smaller numbers".into(),
        E::DealExists(e) => format!("deal {} exists already: use another salt", e.deal),
        E::DealNotOpen(e) => match e.status {
            DealStatus::Closed => format!("deal {} is closed: nothing is left to do in it", e.deal),
            _ => format!(
                "deal {} was never opened: supply the terms exactly as its DealOpened event has them",
                e.deal
            ),
        },
        E::WrongDeal(e) => {
            format!("the signed message is for deal {}, not {}", e.given, e.expected)
        }
        E::WrongOrder(e) => {
            format!("the signed message is for order {}, not {}", e.given, e.expected)
        }
        E::OrderSettled(e) => {
            format!(
                "order {} is settled: orders below {} are paid by the last voucher",
                e.seq, e.orders
            )
        }
        E::TasksOutOfRange(e) => format!("an order can't have {} tasks: split it", e.tasks),
        E::NoSuchTask(e) => format!("the order has {} tasks, there is no task {}", e.tasks, e.task),
        E::FuelTooHigh(e) => {
            format!("the receipt's fuel {} is above the order's limit of {}", e.fuel, e.max)
        }
        E::WrongFee(e) => {
            format!("the receipt's fee is {}, deal and fuel make {}", e.fee, e.expected)
        }
        E::ReceiptConflict(e) => {
            format!("the provider asserted receipt {} on chain before, not {}", e.asserted, e.given)
        }
        E::ReceiptAsserted(e) => {
            format!(
                "the provider asserted receipt {} on chain: the order is not late any more",
                e.asserted
            )
        }
        E::CaseExists(e) => {
            format!("this case about {} (task {}) was opened before", e.subject, e.task)
        }
        E::CaseNotOpen(e) => match e.status {
            CaseStatus::Ended => {
                format!("the case about {} (task {}) has ended", e.subject, e.task)
            }
            _ => format!("there is no case about {} (task {})", e.subject, e.task),
        },
        E::TooEarly(e) => {
            format!(
                "possible from {} on, now is {}: wait {} s",
                e.from,
                e.time,
                e.from.saturating_sub(e.time)
            )
        }
        E::TooLate(e) => {
            format!("possible until {}, now is {}: the window has closed", e.until, e.time)
        }
        E::DealBusy(e) => format!(
            "open cases stand in the way ({} claims, {} late notices, {} demands or holds): settle them first",
            e.claims, e.lates, e.challenges
        ),
        E::HoldOutOfRange(e) => {
            format!("a hold until {} is outside {} to {}", e.deadline, e.min, e.max)
        }
        E::NotInReceipt(e) => {
            format!("task {} with this end is not in the receipt: check leaf and proof", e.task)
        }
        E::WrongFuel(e) => {
            format!("the leaf's fuel is {}, the halted state used {}", e.fuel, e.expected)
        }
        E::WrongOutput(e) => {
            format!("the output hashes to {}, the halted state says {}", e.outHash, e.expected)
        }
        E::WrongOutputLength(e) => {
            format!("the output has {} bytes, expected {}", e.length, e.expected)
        }
        E::WindowTooLong(e) => {
            format!(
                "a window of {} s is above the limit of {} s: choose a shorter one",
                e.window, e.max
            )
        }
        E::AnswerWindowOutOfRange(e) => format!(
            "an answer window of {} s is not within 1 s and both the challenge window ({} s) and the grace ({} s)",
            e.answerWindow, e.challengeWindow, e.grace
        ),
        E::NoToken(e) => {
            format!("there is no contract at {}: a market needs a token that exists", e.token)
        }
        E::AllowanceTooLow(e) => format!(
            "{} may take {} base units from the market account of {}, {} are needed: allow it more",
            e.spender, e.left, e.owner, e.needed
        ),
        E::OpeningOutOfRange(e) => format!(
            "the deal's terms begin at {}, outside {} to {}: sign new terms, and look at this machine's clock",
            e.openedAt, e.min, e.max
        ),
        E::NoKey(_) => "ask and terms must each name a key that signs: set it".into(),
    }
}

fn court_message(error: &CourtError) -> String {
    use CourtError as E;
    match error {
        E::RulesOutOfRange(_) => {
            "a court needs 1 to 28800 seconds for a move and some fuel per second: change the rules"
                .into()
        }
        E::NotInOrder(e) => {
            format!("the input is not that of task {} in the order: check input and proof", e.task)
        }
        E::NoDispute(e) => format!(
            "both sides say that the task ended as {}: there is nothing to accuse",
            e.halted
        ),
        E::GameExists(e) => {
            format!("game {} was begun in this very second: this is the same accusation", e.game)
        }
        E::NoGame(e) => {
            format!("there is no game {}, or it has ended: look for its Ended event", e.game)
        }
        E::WrongSegment(e) => {
            format!(
                "the segment in dispute hashes to {}, not to {}: somebody moved, read again",
                e.expected, e.given
            )
        }
        E::NoSuchPart(e) => {
            format!("there is no part or node {} to pick: segments have 16 parts", e.part)
        }
        E::WrongStage(e) => match e.stage {
            Stage::Unfold => {
                "the game waits for the provider to open a node of its receipt (unfold)".into()
            }
            Stage::Pick => {
                "the game waits for the accuser to pick a node or to challenge a task".into()
            }
            Stage::Run => "the game is about the run of one task: move, or step at level 1".into(),
            _ => "there is no such game (any more)".into(),
        },
        E::EndsAgree(e) => format!(
            "both sides say {} at the part's end: pick a part whose end is disputed",
            e.state
        ),
        E::WrongLevel(e) => match e.level {
            0 => "the nodes are the receipt's leaves: challenge the task that is wrong".into(),
            1 => "the segment is down to single steps: prove the wrong one (step)".into(),
            level => format!(
                "the dispute is at level {level}: steps are judged at level 1, tasks challenged at 0"
            ),
        },
        E::StepIsRight(e) => {
            format!(
                "from this state follows {}, as the other side said: another step is wrong",
                e.next
            )
        }
        E::SumIsRight(_) => {
            "this node's fuel is its children's, and not in padding: look for another node".into()
        }
        E::FuelIsRight(e) => {
            format!("the leaf's fuel of {} is what its end says: dispute the end (accuse)", e.fuel)
        }
    }
}

fn step_unit_message(error: &StepUnitError) -> String {
    match error {
        StepUnitError::WrongParts(e) => {
            format!(
                "the parts hash to {}, the task names {}: use the order's program and input",
                e.given, e.expected
            )
        }
        StepUnitError::WrongProof(_) => {
            "the proof does not hash to the state: prove from the segment's state".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::IMarket;

    #[test]
    fn decodes_the_market_and_says_what_to_do() {
        let raw =
            IMarket::InsufficientBalance { account: Default::default(), balance: 3, needed: 10 }
                .abi_encode();
        let error = ContractError::decode(&raw);
        assert_eq!(error.code(), "M-003");
        assert!(error.to_string().ends_with("deposit 7 more"), "{error}");
        assert!(matches!(error.market(), Some(MarketError::InsufficientBalance(_))));
    }

    #[test]
    fn every_error_has_its_own_code() {
        let all =
            [MarketError::SELECTORS, CourtError::SELECTORS, StepUnitError::SELECTORS].concat();
        let mut codes: Vec<_> = all
            .iter()
            .map(|selector| {
                let mut data = selector.to_vec();
                data.resize(4 + 32 * 4, 0);
                ContractError::decode(&data).code()
            })
            .collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
        assert!(!codes.contains(&"M-000"));
    }

    #[test]
    fn decodes_a_court_and_its_judge() {
        let error =
            ContractError::decode(&crate::bindings::ICourt::WrongLevel { level: 1 }.abi_encode());
        assert_eq!(error.code(), "J-009");
        assert!(error.to_string().ends_with("prove the wrong one (step)"), "{error}");
        assert!(
            matches!(error.court(), Some(CourtError::WrongLevel(_))) && error.market().is_none()
        );
        let error = ContractError::decode(&crate::bindings::IStepUnit::WrongProof {}.abi_encode());
        assert_eq!(error.code(), "J-014");
        assert!(matches!(error.step_unit(), Some(StepUnitError::WrongProof(_))));
    }

    #[test]
    fn foreign_reverts_stay_readable_and_bounded() {
        let text = Revert::from("x".repeat(10_000)).abi_encode();
        assert!(ContractError::decode(&text).to_string().len() < 300);
        assert_eq!(ContractError::decode(&[]).code(), "M-000");
        assert!(ContractError::decode(&[1, 2, 3, 4, 5]).to_string().contains("0x01020304"));
        assert_eq!(ContractError::decode(&[7; 100_000]).data().len(), MAX_DATA_BYTES);
    }
}
