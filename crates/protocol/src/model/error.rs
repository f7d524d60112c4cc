//! Errors of the market: one variant per custom error of `IMarket.sol`.

/// Reason why the market refuses a call. The variants have the names of the contract's errors, and
/// the messages say what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ModelError {
    #[error("only the deal's own party may do this: use the account that the deal names")]
    Unauthorized,
    #[error("the signature is not the other side's: ask for it again, for this chain and market")]
    InvalidSignature,
    #[error("the account has too little: deposit more")]
    InsufficientBalance,
    #[error("the token refused the transfer: check balance and approval")]
    TransferFailed,
    #[error("a counter only rises: use a higher one")]
    CounterNotRaised,
    #[error("the announcement is too long: shorten it")]
    AnnouncementTooLong,
    #[error("the provider has cancelled this ask: wait for a new one")]
    AskCancelled,
    #[error("the ask is not valid at this time: use a current one")]
    AskNotValidNow,
    #[error(
        "the provider has as many deals open as this ask allows: choose another, or wait until one closes"
    )]
    ProviderFull,
    #[error("the deal would begin in the future, or too long ago: sign the terms again")]
    OpeningOutOfRange,
    #[error("a side has no key to sign with")]
    NoKey,
    #[error("the owner has not allowed so much: allow it first")]
    AllowanceTooLow,
    #[error("the budget is outside what the ask allows")]
    BudgetOutOfRange,
    #[error("the duration is outside what the ask allows")]
    DurationOutOfRange,
    #[error("the price is above the limit: raise it, or wait for the curve to fall")]
    PriceTooHigh,
    #[error("the ask's late penalty is above its collateral: choose another")]
    PenaltyTooHigh,
    #[error("an amount does not fit 128 bits")]
    AmountOverflow,
    #[error("this very deal exists: use another salt")]
    DealExists,
    #[error("the deal is not open: it was never opened with these terms, or is over")]
    DealNotOpen,
    #[error("what was signed belongs to another deal")]
    WrongDeal,
    #[error("what was signed belongs to another order")]
    WrongOrder,
    #[error("the order is settled already")]
    OrderSettled,
    #[error("an order has 1 to 65536 tasks")]
    TasksOutOfRange,
    #[error("the order has no such task")]
    NoSuchTask,
    #[error("the receipt states more fuel than the order allows")]
    FuelTooHigh,
    #[error("the receipt's fee is not what price and fuel make")]
    WrongFee,
    #[error("another receipt was asserted for this order")]
    ReceiptConflict,
    #[error("a receipt was asserted for this order: it is not late")]
    ReceiptAsserted,
    #[error("this case was opened before")]
    CaseExists,
    #[error("there is no such open case")]
    CaseNotOpen,
    #[error("it is too early: wait")]
    TooEarly,
    #[error("it is too late")]
    TooLate,
    #[error("open cases of the deal stand in the way: settle them first")]
    DealBusy,
    #[error("a hold ends in the future and within its limit")]
    HoldOutOfRange,
    #[error("the task is not in the receipt")]
    NotInReceipt,
    #[error("the fuel is not what the halted state used")]
    WrongFuel,
    #[error("the output is not the one committed to")]
    WrongOutput,
    #[error("the output has the wrong length")]
    WrongOutputLength,
}
