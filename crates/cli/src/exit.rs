//! Exit codes: the same for the same kind of failure, whatever the command.

use std::fmt;

use rialto_chain::{ChainError, ContractError, SendError};
use rialto_client::{
    BookError, BundleError, Class, Classified, HistoryError, HomeError, HostError, MarketError,
    ReplayError, WalletError, control::ControlError, job::JobFileError, settings::SettingsError,
};
use rialto_local_market::LocalMarketError;
use rialto_requester::{JobError, RequesterError};

/// All went well.
pub const OK: u8 = 0;
/// Failed in a way that no other code names.
pub const FAILED: u8 = 1;
/// The command line, a configuration or a job file can't be used (clap's own code, too).
pub const USAGE: u8 = 2;
/// No market, or no provider for what is asked.
pub const NO_MARKET: u8 = 3;
/// The wallet or a key can't be used.
pub const NO_KEY: u8 = 4;
/// Not enough money, or the chain refused the transaction.
pub const NO_MONEY: u8 = 5;
/// The background process could not take its files: another one holds them still.
pub const BUSY: u8 = 75;
/// `run`: the program ran out of fuel.
pub const OUT_OF_FUEL: u8 = 124;
/// `run`: Rialto itself failed; the program's own codes are below.
pub const RUN_FAILED: u8 = 125;
/// `run`: the program trapped.
pub const TRAPPED: u8 = 126;
/// Ended by Ctrl-C, as shells count it.
pub const INTERRUPTED: u8 = 130;

/// A failure of the command line itself.
#[derive(Debug)]
pub struct Failure {
    class: Class,
    /// Stable code (docs/codes.md).
    code: &'static str,
    text: String,
}

impl Failure {
    /// With a text that says what to do.
    pub fn new(class: Class, code: &'static str, text: String) -> Self {
        Self { class, code, text }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.text)
    }
}

impl std::error::Error for Failure {}

/// The code that an exit ends with.
pub fn code(class: Class) -> u8 {
    match class {
        Class::Failed => FAILED,
        Class::Usage => USAGE,
        Class::NoMarket => NO_MARKET,
        Class::NoKey => NO_KEY,
        Class::NoMoney => NO_MONEY,
    }
}

/// A background process that ended when it should have started. It said why, and its exit code
/// tells the class.
#[derive(Debug)]
pub struct NotStarted {
    class: Class,
    said: String,
}

impl NotStarted {
    /// `exit` is the process's exit code, `said` the end of its log.
    pub fn new(exit: Option<i32>, said: String) -> Self {
        let classes = [Class::Usage, Class::NoMarket, Class::NoKey, Class::NoMoney];
        let class = classes.into_iter().find(|class| exit == Some(code(*class).into()));
        Self { class: class.unwrap_or(Class::Failed), said }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the background process did not start: {}", self.said)
    }
}

impl std::error::Error for NotStarted {}

/// The class of an error: of the outermost cause that has one.
pub fn class(error: &anyhow::Error) -> Class {
    // A failure may be the context of another error, which is found this way only.
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.class;
    }
    error.chain().find_map(class_of).unwrap_or(Class::Failed)
}

/// The class of a cause; none if another cause has to tell.
fn class_of(cause: &(dyn std::error::Error + 'static)) -> Option<Class> {
    fn of<T: Classified + std::error::Error + 'static>(
        cause: &(dyn std::error::Error + 'static),
    ) -> Option<Class> {
        cause.downcast_ref::<T>().map(Classified::class)
    }
    let known = [
        of::<HostError>,
        of::<MarketError>,
        of::<WalletError>,
        of::<HomeError>,
        of::<JobFileError>,
        of::<SettingsError>,
        of::<HistoryError>,
        of::<BookError>,
        of::<BundleError>,
        of::<ReplayError>,
        of::<ControlError>,
        of::<RequesterError>,
        of::<JobError>,
        of::<ChainError>,
        of::<SendError>,
        of::<ContractError>,
    ];
    if let Some(NotStarted { class, .. }) = cause.downcast_ref() {
        return Some(*class);
    }
    if let Some(error) = cause.downcast_ref::<LocalMarketError>() {
        return match error {
            LocalMarketError::NotEmpty { .. } => Some(Class::Usage),
            LocalMarketError::Send(error) => Some(error.class()),
            LocalMarketError::Read(error) => Some(error.class()),
            _ => None,
        };
    }
    known.iter().find_map(|of| of(cause))
}

/// The code in an error's text, such as `C-MKT-001`, for those who look it up.
pub fn code_of(text: &str) -> Option<&str> {
    let code = text.split_once('[')?.1.split_once(']')?.0;
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    (code.contains('-') && code.len() <= 16 && code.chars().all(fits)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_end_with_what_is_documented() {
        let ends = |error: anyhow::Error| code(class(&error.context("something else")));
        assert_eq!(ends(MarketError::NoUrl.into()), USAGE);
        assert_eq!(ends(HostError::Market(MarketError::NoUrl).into()), USAGE);
        assert_eq!(ends(WalletError::Empty.into()), NO_KEY);
        let silent =
            ChainError::Unreachable { method: String::new(), attempts: 1, cause: String::new() };
        assert_eq!(ends(silent.into()), NO_MARKET);
        assert_eq!(ends(ContractError::decode(&[]).into()), NO_MONEY);
        assert_eq!(ends(SendError::Rejected(ContractError::decode(&[])).into()), NO_MONEY);
        assert_eq!(ends(RequesterError::Job(JobError::NoMatch(String::new())).into()), NO_MARKET);
        assert_eq!(ends(anyhow::anyhow!("[C-MKT-002] a text decides nothing")), FAILED);
        assert_eq!(ends(NotStarted::new(Some(NO_KEY.into()), String::new()).into()), NO_KEY);
        assert_eq!(ends(NotStarted::new(None, String::new()).into()), FAILED, "killed");
        let failed = anyhow::Error::from(WalletError::Empty);
        let usage = failed.context(Failure::new(Class::Usage, "C-JOB-003", String::new()));
        assert_eq!(ends(usage), USAGE, "the outermost decides");
    }

    #[test]
    fn codes_are_read_for_people() {
        assert_eq!(code_of("x: [S-007] no gas"), Some("S-007"));
        assert_eq!(code_of("[0] [a-b]"), None);
        let failure = Failure::new(Class::Usage, "C-JOB-003", "of its own".into());
        assert_eq!(code_of(&failure.to_string()), Some("C-JOB-003"));
    }
}
