// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../Halted.sol";
import { SumNode } from "../SumTree.sol";
import { Ack } from "../types/Ack.sol";
import { Ask } from "../types/Ask.sol";
import { Cancel } from "../types/Cancel.sol";
import { Deal } from "../types/Deal.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";
import { Release } from "../types/Release.sol";
import { Voucher } from "../types/Voucher.sol";

/// What a requester asks of an ask when it opens a deal.
struct Terms {
    /// Signs the requester's orders, cancellations and vouchers.
    address key;
    /// Most the provider can be paid, base units.
    uint128 budget;
    /// When the deal begins: at most `OPENING_TOLERANCE` before the block that opens it, never after it. Price and expiry
    /// follow from this, not from the block, so that the deal's id is known before. Unix seconds.
    uint64 openedAt;
    /// Length of the deal, seconds; it must end after the block that opens it.
    uint32 duration;
    /// Highest price the requester takes, base units per Tfuel.
    uint128 maxPrice;
    /// Chosen by the requester; makes two otherwise equal deals differ.
    uint64 salt;
}

/// None → Open → Closed. Closed is for ever: an id is never used again.
enum DealStatus {
    None,
    Open,
    Closed
}

/// One slot per deal; everything else about it is in the `Deal` that callers supply again.
struct DealState {
    DealStatus status;
    /// Paid to the provider so far, base units, at most the budget.
    uint128 paid;
    /// Watermark: orders with `seq < orders` are settled and can't be claimed, called late or demanded.
    uint48 orders;
    /// Open claims.
    uint16 claims;
    /// Open late notices.
    uint16 lates;
    /// Open demands and open holds of the court. While there is one, no claim and no late notice is settled.
    uint32 holds;
}

/// How a deal ended.
enum Ending {
    /// By a closing voucher.
    Redeemed,
    /// By a release.
    Released,
    /// By time.
    Expired,
    /// By an order that stayed late.
    Late,
    /// By a demand that stayed unanswered: guilty.
    Withheld,
    /// By the court: guilty.
    Slashed
}

/// What a case is about. `subject` and `task` say which one.
enum CaseKind {
    /// Provider: this order's receipt is unpaid. subject = order hash, task = 0.
    Claim,
    /// Requester: this acked order is late. subject = order hash, task = 0.
    Late,
    /// Requester: show me this task's end. subject = receipt hash, task = the task.
    Demand,
    /// Court: a dispute is going on. subject = chosen by the court, task = 0.
    Hold
}

/// None → Open → Ended. Ended is for ever: the same case can't be opened again.
enum CaseStatus {
    None,
    Open,
    Ended
}

/// One slot per case.
struct Case {
    CaseStatus status;
    /// From this time on anyone can settle it, unix seconds.
    uint40 deadline;
    /// The order's place in its deal; 0 for a hold.
    uint64 seq;
    /// Claim: the fee asked. Late, Demand: the requester's bond. Hold: 0. Base units.
    uint128 amount;
}

/// How a case ended.
enum CaseOutcome {
    /// Claim: `amount` was paid to the provider.
    Paid,
    /// Nothing was at stake any more (deal closed, or order below the watermark, or the court let go or let the time
    /// pass): the bond, if any, went back to the requester.
    Void,
    /// The provider showed what was asked and got the bond.
    Answered,
    /// The provider did not: the bond went back to the requester and the deal ended.
    Defaulted
}

/// @title Rialto's market: a bank for deals between one requester and one provider
///
/// @notice This file is the specification. Anyone with tokens in their account can open a deal from a provider's signed
/// ask. A deal is opened once and closed once; the jobs and tasks in it are messages between the two parties
/// (docs/protocol.md). The chain only hears of them when somebody wants money: by a voucher, or, in trouble, by a case.
///
/// ## Money
/// Integer base units of one ERC-20 token, held by this contract. At every moment
///
///     token.balanceOf(market) >= Σ accounts + Σ over open deals (budget − paid + collateral) + Σ bonds of open cases
///
/// with equality but for tokens sent here without `deposit`, which nobody can ever withdraw. Burned money is credited to
/// the account of 0x…dEaD, which has no key.
///
/// ## A deal
/// `open` moves `budget` from the requester's account and `collateral` from the provider's into the deal. Every later call
/// supplies the `Deal` again; its struct hash is the id, so a wrong one is simply not an open deal (`DealNotOpen`).
/// While it is open, only `paid`, `orders` and the counts of open cases change. Every ending returns all of it at once:
///
/// | ending | by, when | provider gets | requester gets | burned |
/// |---|---|---|---|---|
/// | Redeemed | provider, any time, closing voucher | owed + collateral | rest of the budget | |
/// | Released | requester, any time, release | owed + collateral | rest of the budget | |
/// | Expired | anyone, from `expiry + grace`, no open case | collateral | rest of the budget | |
/// | Late | anyone, `settle` of an unanswered late notice | collateral − latePenalty | rest of the budget + latePenalty | |
/// | Withheld | anyone, `settle` of an unanswered demand | | rest of the budget + 70 % of the collateral | 30 % of the collateral |
/// | Slashed | the deal's court, any time | | rest of the budget + 70 % of the collateral, less the bounty | 30 % of the collateral |
///
/// "Owed" is what the signed amount exceeds `paid` by, and never more than the budget has left. The 70 % are rounded down,
/// so at least 30 % of all that a guilty provider loses is burned: a provider that plays its own requester and convicts
/// itself loses that much for nothing, and a conviction takes nothing that backs another deal. Whoever convicts a provider
/// without being the deal's requester gets a bounty of 20 % of the collateral out of those 70 %.
///
/// ## Cases
/// Opened while the deal is open; at most one of each (kind, subject, task), ever. Windows are half-open: the provider can
/// answer before the deadline, anyone can settle from the deadline on.
///
/// | case | opened by, when | stops it | settled from the deadline on |
/// |---|---|---|---|
/// | Claim | provider, before `expiry + grace`, on an order with `seq >= orders` | | fee is paid (no more than the budget has left) |
/// | Late | requester with a bond, from `ack.dueBy` and before `expiry + grace` | `answer`, `excuse` | bond back, deal ends: Late |
/// | Demand | requester with a bond, see below | `reveal` | bond back, deal ends: Withheld |
/// | Hold | the deal's court, see below | `lift` | nothing, the hold is over |
///
/// A case whose order has fallen below the watermark, or whose deal has closed by another way, is void: from then on
/// `settle` gives the bond back, whatever the deadline. A hold does not depend on the watermark.
/// Demands and holds may come before `expiry + grace`. While a claim is open demands may come until `challengeWindow` later,
/// and holds until 2 `challengeWindow` + `answerWindow` later: every claim can be demanded in the whole of its window, and
/// after each `reveal` of its receipt it stays open for a `challengeWindow`, in which what was shown can be taken to court.
/// While a demand or hold is open no claim and no late notice can be settled (`DealBusy`): a guilty provider can't be paid or
/// let go meanwhile. An unanswered late notice waits for open claims, so that work done before is paid.
/// Deadlines: Claim `challengeWindow`, Late and Demand `answerWindow`, Hold as the court says but at most `MAX_HOLD`.
/// Hence every open deal can be ended by anyone, by time alone, at the latest at
/// `expiry + grace + 2 challengeWindow + answerWindow + MAX_HOLD`: settle the demands and holds, then the claims, then the late
/// notices; then, if it is still open, `expire`.
/// The constructor takes no `answerWindow` that is zero or longer than `challengeWindow` or `grace`.
///
/// ## Limits
/// `MAX_ORDER_TASKS` 2^16 tasks an order; `MAX_REVEAL_BYTES` 8192 bytes of revealed output; `MAX_ANNOUNCEMENT_BYTES` 1024;
/// `MAX_HOLD` 30 days; `MAX_WINDOW` 365 days for each window given to the constructor; `SIGNATURE_GAS` 200,000.
///
/// ## Signatures
/// EIP-712 under the domain that `eip712Domain` states. 65 bytes r ‖ s ‖ v with low s and v 27 or 28. Asks are signed by the
/// provider's account, which may be a contract (ERC-1271, with at most `SIGNATURE_GAS` gas). Everything in a deal is signed by
/// the two keys that are pinned when it opens: nobody can take back what such a key has signed.
///
/// ## Trust and warnings
/// @dev Warning: the token is trusted to be a plain stablecoin: no fee on transfer, no rebasing, no hooks that lie about
/// balances. `deposit` refuses to credit what did not arrive. If the token's issuer freezes the market, money is frozen.
/// @dev Warning: a deal whose court is zero has no judge. A provider can then claim any receipt for an order that it holds,
/// and the requester's remedy is only `demand`. Its risk per order is `fee(price, taskFee, tasks · fuelLimit, tasks)`, and
/// the budget in all.
/// @dev Warning: the court of a deal can end it against the provider at any time, and hold up its claims for `MAX_HOLD`
/// each time. Both sides chose it; nobody can change it; nobody else has any power over a deal. There is no owner.
/// @dev Warning: a voucher must only pay for orders below its watermark. One that pays for an order at or above it can be
/// followed by a claim of that order, and pays it twice. A provider should refuse a voucher whose watermark covers an
/// order that the amount does not pay, redeem its best voucher before it claims, and claim before `expiry + grace`.
/// @dev Warning: a provider that is called late must `answer` even if it has claimed the order since, and must be able to
/// `reveal` every task of an unsettled order until the deal has closed.
/// Both have `answerWindow` for it: a provider must see the chain at least that often.
/// @dev Warning: an ack says that the provider has all it needs. One that is given before the inputs have arrived can be
/// called late though the requester never sends them.
/// @dev Warning: what was not redeemed or claimed when a deal ends is lost, also when it ends as Late, Withheld or Slashed.
/// @dev Warning: an ask is open to everybody. Who opens a deal of the smallest budget ties up its collateral and one place
/// of the ask's capacity until `expiry + grace`; `minBudget`, `maxSeconds` and `capacity` bound the harm.
/// @dev Warning: the requester chooses the moment within the last `OPENING_TOLERANCE` whose price it takes, and can open a deal
/// so long after its ask was last valid. Only `cancelAsks` ends an ask at once.
/// @dev Warning: who shows a fault of a receipt (`ICourt.wrongSum`, `wrongFuel`) can be overtaken by somebody who copies it, and
/// then gets the bounty. Nobody can overtake a game.
/// @dev Warning: an account that is a contract can take its asks back by its word; what it opened stays open.
/// @dev Warning: who holds a deal's key can sign for its side until the deal has closed.
/// @dev Warning: an allowance lets its spender move that much of an account. Give one only to contracts that you know, such as
/// the deal's court for bonds.
/// @dev Warning: a deal counts at most 2^16 - 1 open claims and as many late notices, both of its own sides, and 2^32 - 1 demands
/// and holds, which cost a bond each.
/// @dev Warning: a closing voucher and a release end a deal whatever cases are open. Sign none while you want a judgement.
/// @dev Warning: a task's output longer than `MAX_REVEAL_BYTES` is only revealed as its hash and length.
interface IMarket {
    // ───────────────────────────────────────────── events ─────────────────────────────────────────────
    // The logs alone rebuild the state: each says which accounts it moves money between.

    /// `account` += amount.
    event Deposited(address indexed account, address indexed from, uint128 amount);
    /// `account` −= amount.
    event Withdrawn(address indexed account, address indexed to, uint128 amount);
    /// `spender` may take up to `amount` from the account of `owner`.
    event Allowed(address indexed owner, address indexed spender, uint128 amount);
    /// Account of `from` −= amount, account of `to` += amount.
    event Transferred(address indexed from, address indexed to, uint128 amount);
    /// Where a provider can be reached; encoding as in docs/protocol.md. Anyone can say anything here.
    event Announced(address indexed provider, bytes endpoint);
    /// Every ask of `provider` with another counter is dead.
    event AsksCancelled(address indexed provider, uint64 counter);
    /// Requester's account −= budget, provider's account −= collateral; the provider's open deals += 1.
    event DealOpened(bytes32 indexed id, address indexed requester, address indexed provider, Deal deal);
    /// Provider's account += new `paid` − old `paid`. Both are the new values.
    event Redeemed(bytes32 indexed deal, uint128 paid, uint64 orders);
    /// Requester's account += toRequester, provider's += toProvider, 0x…dEaD's += burned; the provider's open deals −= 1.
    /// What the last signature still owed was moved by the `Redeemed` before it. `paid` is the final value.
    event DealClosed(
        bytes32 indexed deal, Ending ending, uint128 paid, uint128 toRequester, uint128 toProvider, uint128 burned
    );
    /// A claim was opened for `receipt.fee`.
    event Claimed(bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, Receipt receipt);
    /// A late notice was opened. Requester's account −= bond.
    event LateNoticed(bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, uint128 bond);
    /// The late notice was answered. Provider's account += its bond.
    event Answered(bytes32 indexed deal, bytes32 indexed order, Receipt receipt);
    /// The late notice was void: the order was cancelled. Provider's account += its bond.
    event Excused(bytes32 indexed deal, bytes32 indexed order);
    /// A demand was opened. Requester's account −= bond.
    event Demanded(
        bytes32 indexed deal, bytes32 indexed receipt, uint32 task, uint64 seq, uint64 deadline, uint128 bond
    );
    /// The demand was answered. Provider's account += its bond. `proof`: the leaf's siblings from the bottom up. `output` is empty
    /// if longer than `MAX_REVEAL_BYTES`. An open claim of this receipt stays open for `challengeWindow` from here at least.
    event Revealed(
        bytes32 indexed deal,
        bytes32 indexed receipt,
        uint32 task,
        uint64 fuel,
        Halted halted,
        SumNode[] proof,
        bytes output
    );
    /// A hold was opened.
    event Held(bytes32 indexed deal, bytes32 indexed game, uint64 deadline);
    /// A hold was ended by the court.
    event Lifted(bytes32 indexed deal, bytes32 indexed game);
    /// A case ended by `settle`. Paid: provider's account += amount and the deal's `paid` += amount.
    /// Void, Defaulted: requester's account += amount (the bond; 0 for claims and holds); after Defaulted the deal closes.
    event CaseSettled(
        bytes32 indexed deal, bytes32 indexed subject, CaseKind kind, uint32 task, CaseOutcome outcome, uint128 amount
    );

    // ───────────────────────────────────────────── errors ─────────────────────────────────────────────

    /// The caller is not the one who may do this.
    error Unauthorized(address caller, address required);
    /// Not a signature of `signer` over `digest`: of a key ECDSA; of an ask's account ERC-1271 as well.
    error InvalidSignature(address signer, bytes32 digest);
    /// The account has too little.
    error InsufficientBalance(address account, uint128 balance, uint128 needed);
    /// The token moved another amount than asked, or said no.
    error TransferFailed(uint128 amount);
    /// A window given to the constructor is longer than `MAX_WINDOW`.
    error WindowTooLong(uint64 window, uint64 max);
    /// The answer window given to the constructor is zero, or longer than one of the others.
    error AnswerWindowOutOfRange(uint64 answerWindow, uint64 challengeWindow, uint64 grace);
    /// There is no contract where the token should be.
    error NoToken(address token);
    /// The owner allowed less.
    error AllowanceTooLow(address owner, address spender, uint128 left, uint128 needed);
    /// A counter only rises.
    error CounterNotRaised(uint64 current, uint64 given);
    /// An announcement has at most `MAX_ANNOUNCEMENT_BYTES`.
    error AnnouncementTooLong(uint256 length);
    /// The ask's counter is not the provider's.
    error AskCancelled(uint64 current, uint64 given);
    /// Outside `[from, to)`.
    error AskNotValidNow(uint64 time, uint64 from, uint64 to);
    /// The provider has as many deals open as this ask allows.
    error ProviderFull(uint32 open, uint32 capacity);
    /// The deal's time is not within [min, max].
    error OpeningOutOfRange(uint64 openedAt, uint64 min, uint64 max);
    /// A side has no key to sign with.
    error NoKey();
    /// Outside `[minBudget, maxBudget]`.
    error BudgetOutOfRange(uint128 budget, uint128 min, uint128 max);
    /// Over before it begins, or longer than `maxSeconds`.
    error DurationOutOfRange(uint32 duration, uint32 max);
    /// The curve is above the requester's limit at this moment.
    error PriceTooHigh(uint128 price, uint128 maxPrice);
    /// More than 10_000 basis points.
    error PenaltyTooHigh(uint32 latePenaltyBps);
    /// A product does not fit 128 bits.
    error AmountOverflow();
    /// The same requester opened the same deal before: use another salt.
    error DealExists(bytes32 deal);
    /// Never opened (None: are the supplied terms exactly those of `DealOpened`?) or over (Closed).
    error DealNotOpen(bytes32 deal, DealStatus status);
    /// The signed struct is of another deal.
    error WrongDeal(bytes32 expected, bytes32 given);
    /// The signed struct is of another order.
    error WrongOrder(bytes32 expected, bytes32 given);
    /// The order is below the watermark.
    error OrderSettled(uint64 seq, uint64 orders);
    /// An order has 1 to `MAX_ORDER_TASKS` tasks.
    error TasksOutOfRange(uint32 tasks);
    /// No such task in the order.
    error NoSuchTask(uint32 task, uint32 tasks);
    /// More fuel than the order's limits allow.
    error FuelTooHigh(uint128 fuel, uint128 max);
    /// The receipt's fee is not what deal and fuel make.
    error WrongFee(uint128 fee, uint128 expected);
    /// The provider has asserted another receipt for this order on chain.
    error ReceiptConflict(bytes32 asserted, bytes32 given);
    /// The provider has asserted a receipt for this order on chain: it is not late any more.
    error ReceiptAsserted(bytes32 asserted);
    /// This case was opened before.
    error CaseExists(CaseKind kind, bytes32 subject, uint32 task);
    /// No such case, or it has ended.
    error CaseNotOpen(CaseKind kind, bytes32 subject, uint32 task, CaseStatus status);
    /// Before the window `[from, …)`.
    error TooEarly(uint64 time, uint64 from);
    /// After the window `[…, until)`.
    error TooLate(uint64 time, uint64 until);
    /// Open cases of the deal stand in the way.
    error DealBusy(uint16 claims, uint16 lates, uint32 holds);
    /// A hold ends in the future, and within `MAX_HOLD`.
    error HoldOutOfRange(uint64 deadline, uint64 min, uint64 max);
    /// The leaf is not in the receipt's tree, or padding in the proof carries fuel.
    error NotInReceipt(uint32 task);
    /// The leaf's fuel is not what the halted state used of the order's limit.
    error WrongFuel(uint64 fuel, uint64 expected);
    /// The output is not the one that the halted state commits to.
    error WrongOutput(bytes32 outHash, bytes32 expected);
    /// The output's length is not `outLen`, or not zero for one longer than `MAX_REVEAL_BYTES`.
    error WrongOutputLength(uint256 length, uint64 expected);

    // ──────────────────────────────────────────── accounts ────────────────────────────────────────────

    /// Moves `amount` tokens of the caller, which must have approved them, into the account of `owner`.
    function deposit(address owner, uint128 amount) external;

    /// `deposit` with the caller's EIP-2612 permit. A permit that fails (or was used by somebody else already) is ignored:
    /// the transfer decides.
    function depositWithPermit(address owner, uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// Moves `amount` from the caller's account to `to`, as tokens. Nothing can stop it.
    function withdraw(address to, uint128 amount) external;

    /// Lets `spender` take up to `amount` from the caller's account; replaces what was allowed before. The highest amount there
    /// is stays for ever.
    function allow(address spender, uint128 amount) external;

    /// Moves `amount` from the account of `owner`, which must have allowed it, to the caller's.
    function take(address owner, uint128 amount) external;

    /// Moves `amount` from the caller's account to that of `to`.
    function give(address to, uint128 amount) external;

    // ──────────────────────────────────────────── providers ───────────────────────────────────────────

    /// Emits where the caller can be reached, at most `MAX_ANNOUNCEMENT_BYTES`.
    function announce(bytes calldata endpoint) external;

    /// Raises the caller's counter: asks with any other counter can't be opened any more. Open deals stay.
    function cancelAsks(uint64 counter) external;

    /// Provider. Pays what the requester's voucher exceeds `paid` by, up to the budget, and raises the watermark to
    /// `voucher.orders` if that is higher. An older voucher changes nothing. With `voucher.close` the deal ends: Redeemed.
    function redeem(Deal calldata deal, Voucher calldata voucher, bytes calldata signature) external;

    /// Provider, before `expiry + grace`. Asserts `receipt` for a requester-signed order with `seq >= orders`, and claims
    /// its fee. The receipt needs no signature: the provider sends it.
    function claim(Deal calldata deal, Order calldata order, bytes calldata signature, Receipt calldata receipt)
        external;

    /// Anyone, before the late notice's deadline: asserts the receipt. `signature`: of the provider's key over the receipt; not
    /// looked at if the provider calls. The provider gets the bond.
    function answer(Deal calldata deal, Order calldata order, Receipt calldata receipt, bytes calldata signature)
        external;

    /// Anyone, before the late notice's deadline: the order was cancelled, as the requester's key has signed. The provider gets
    /// the bond.
    function excuse(Deal calldata deal, Cancel calldata cancel, bytes calldata signature) external;

    /// Anyone, before the demand's deadline. Shows task `task` of `receipt`: that (`halted`, `fuel`) is its leaf (`proof`:
    /// siblings from the bottom up; those over padding alone are empty), that `fuel` is what `halted` used of the order's
    /// limit, and the whole output if it has at most `MAX_REVEAL_BYTES` (else `output` is empty). The provider gets the bond.
    function reveal(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof,
        bytes calldata output
    ) external;

    // ─────────────────────────────────────────── requesters ───────────────────────────────────────────

    /// Opens a deal from a provider's signed ask; the caller is the requester. Returns the deal's id.
    function open(Ask calldata ask, bytes calldata signature, Terms calldata terms) external returns (bytes32);

    /// Requester. Pays what the provider's release exceeds `paid` by, up to the budget. The deal ends: Released.
    function close(Deal calldata deal, Release calldata release, bytes calldata signature) external;

    /// Requester, from `ack.dueBy` and before `expiry + grace`, with a bond of `caseBond` from its account. The provider's
    /// ack names an order with `seq >= orders` for which no receipt was asserted on chain.
    function late(Deal calldata deal, Order calldata order, Ack calldata ack, bytes calldata signature) external;

    /// Requester, with a bond of `caseBond` from its account. The receipt is signed by the provider (or was asserted by it
    /// on chain: then `signature` is not looked at) for an order with `seq >= orders`.
    /// Before `expiry + grace`, or with an open claim in the deal before `expiry + grace + challengeWindow`.
    function demand(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        uint32 task
    ) external;

    // ───────────────────────────────────────────── anyone ─────────────────────────────────────────────

    /// Ends a case, from its deadline on or when its deal has closed.
    function settle(Deal calldata deal, CaseKind kind, bytes32 subject, uint32 task) external;

    /// Ends a deal without open cases, from `expiry + grace` on: Expired.
    function expire(Deal calldata deal) external;

    /// Calls this contract once per element, as the caller. All or nothing.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    // ──────────────────────────────────────────── the court ───────────────────────────────────────────

    /// The deal's court. A dispute named `game` is going on, until `deadline` at most. Before `expiry + grace`, or with an open
    /// claim in the deal until 2 `challengeWindow` + `answerWindow` later.
    function hold(Deal calldata deal, bytes32 game, uint64 deadline) external;

    /// The deal's court. Ends a hold: the provider was not found guilty in this game.
    function lift(Deal calldata deal, bytes32 game) external;

    /// The deal's court, while the deal is open. The provider is guilty, as `convictor` has shown: the deal ends: Slashed.
    function slash(Deal calldata deal, address convictor) external;

    // ───────────────────────────────────────────── views ──────────────────────────────────────────────

    /// The one token.
    function token() external view returns (address);
    /// Seconds from a claim to its deadline.
    function challengeWindow() external view returns (uint64);
    /// Seconds from a late notice or demand to its deadline.
    function answerWindow() external view returns (uint64);
    /// Seconds after a deal's expiry in which the provider can still claim.
    function grace() external view returns (uint64);
    /// Bond of a late notice or demand, base units.
    function caseBond() external view returns (uint128);
    /// Balance in base units, ask counter and number of open deals (as their provider) of an account.
    function account(address owner) external view returns (uint128 balance, uint64 counter, uint32 dealsOpen);
    /// What `spender` may still take from the account of `owner`, base units.
    function allowance(address owner, address spender) external view returns (uint128);
    /// State of a deal.
    function dealState(bytes32 deal) external view returns (DealState memory);
    /// State of a case.
    function caseState(bytes32 deal, CaseKind kind, bytes32 subject, uint32 task) external view returns (Case memory);
    /// Hash of the receipt that the provider asserted on chain for an order (by struct hash); zero if none.
    function assertedReceipt(bytes32 order) external view returns (bytes32);
    /// EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
}
