// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../types/Halted.sol";
import { SumNode } from "../shared/SumTree.sol";
import { Ack } from "../types/Ack.sol";
import { Ask } from "../types/Ask.sol";
import { Cancel } from "../types/Cancel.sol";
import { Deal } from "../types/Deal.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";
import { Release } from "../types/Release.sol";
import { Voucher } from "../types/Voucher.sol";

/// What a requester chooses when it opens a deal from an ask.
struct Terms {
    /// The key that signs the requester's orders, cancellations and vouchers.
    address key;
    /// The most that the provider can be paid, base units.
    uint128 budget;
    /// When the deal begins, unix seconds: at most `OPENING_TOLERANCE` before the block that opens
    /// it, and never after it. Price and expiry follow from this time and not from the block's, so
    /// the deal's id is known before the transaction.
    uint64 openedAt;
    /// The length of the deal, seconds. The deal must end after the block that opens it.
    uint32 duration;
    /// The highest price that the requester accepts, base units per Tfuel.
    uint128 maxPrice;
    /// Makes two otherwise equal deals differ. The requester chooses it.
    uint64 salt;
}

/// None → Open → Closed. A closed deal stays closed: its id is never used again.
enum DealStatus {
    None,
    Open,
    Closed
}

/// What the contract stores of a deal: one slot. Everything else is in the `Deal`, which callers
/// supply with each call.
struct DealState {
    DealStatus status;
    /// What the provider was paid so far, base units: at most the budget.
    uint128 paid;
    /// The watermark: orders with `seq < orders` are settled. Nobody can claim, call late or demand
    /// them.
    uint48 orders;
    /// How many claims are open.
    uint16 claims;
    /// How many late notices are open.
    uint16 lates;
    /// How many demands and holds of the court are open. While there is one, no claim and no late
    /// notice is settled.
    uint32 challenges;
}

/// How a deal ended.
enum Ending {
    /// The provider sent a closing voucher.
    Redeemed,
    /// The requester sent a release.
    Released,
    /// Its time ran out.
    Expired,
    /// The provider did not answer a late notice.
    Late,
    /// The provider did not answer a demand: it is guilty.
    Withheld,
    /// The court convicted the provider.
    Slashed
}

/// What a case is about. `subject` and `task` say which one.
enum CaseKind {
    /// The provider says: this order's receipt is unpaid. subject = order hash, task = 0.
    Claim,
    /// The requester says: this order, which you acknowledged, is late. subject = order hash, task
    /// = 0.
    Late,
    /// The requester says: show me how this task ended. subject = receipt hash, task = the task.
    Demand,
    /// The court says: a dispute is going on. subject = an id that the court chooses, task = 0.
    Hold
}

/// None → Open → Ended. An ended case stays ended: nobody can open it again.
enum CaseStatus {
    None,
    Open,
    Ended
}

/// What the contract stores of a case: one slot.
struct Case {
    CaseStatus status;
    /// From this time on anyone can settle the case, unix seconds.
    uint40 deadline;
    /// The order's place in its deal; 0 for a hold.
    uint64 seq;
    /// Base units. Of a claim: its fee. Of a late notice or demand: the requester's bond. Of a
    /// hold: 0.
    uint128 amount;
}

/// How a case ended.
enum CaseOutcome {
    /// A claim: the provider was paid `amount`.
    Paid,
    /// Nothing was at stake any more: the deal had closed, the order was below the watermark, or a
    /// hold ran out. The requester got its bond back, if there was one.
    Void,
    /// The provider answered in time and got the bond.
    Answered,
    /// The provider did not answer: the requester got its bond back, and the deal ended.
    Defaulted
}

/// @title Rialto's market: a bank for deals between one requester and one provider
///
/// @notice This file is the specification. Anyone who has money in an account of the market can
/// open a deal from a provider's signed ask. A deal is opened once and closed once. Its jobs and
/// tasks are messages between the two parties (docs/protocol.md). The chain hears of them only when
/// somebody wants money: by a voucher or, in trouble, by a case.
///
/// ## Money
/// All amounts are integers, in base units of one ERC-20 token that this contract holds. At every
/// moment
///
///     token.balanceOf(market) >= Σ accounts + Σ over open deals (budget − paid + collateral)
///                                + Σ bonds of open cases
///
/// The two are equal unless somebody sends tokens here without `deposit`; nobody can ever withdraw
/// those. Burned money is credited to the account of 0x…dEaD, which has no key.
///
/// ## A deal
/// `open` moves `budget` from the requester's account and `collateral` from the provider's account
/// into the deal. Every later call supplies the `Deal` again. Its struct hash is the deal's id, so
/// a wrong `Deal` is simply not an open deal (`DealNotOpen`). While the deal is open, only `paid`,
/// `orders` and the counts of open cases change. Every ending returns all the money at once:
///
/// | ending | by, when | provider gets | requester gets | burned |
/// |---|---|---|---|---|
/// | Redeemed | provider, any time, closing voucher | owed + collateral | rest of budget | |
/// | Released | requester, any time, release | owed + collateral | rest of budget | |
/// | Expired | anyone, from `expiry + grace`, no open case | collateral | rest of budget | |
/// | Late | anyone: `settle` of a late notice | collateral − penalty | rest of budget + penalty | |
/// | Withheld | anyone: `settle` of a demand | | rest of budget + 70 % of collateral | 30 % |
/// | Slashed | the deal's court, any time | | as Withheld, less the bounty | 30 % |
///
/// "Owed" is the part of the signed amount that exceeds `paid`, and never more than the budget has
/// left. The 70 % are rounded down, so at least 30 % of what a guilty provider loses is burned. A
/// provider that plays its own requester and convicts itself loses that much for nothing. A
/// conviction takes nothing that backs another deal. A stranger who convicts a provider gets a
/// bounty of 20 % of the collateral, out of the 70 %.
///
/// ## Cases
/// A case is opened while the deal is open. There is at most one of each (kind, subject, task),
/// ever. Windows are half-open: the provider can answer before the deadline, and anyone can settle
/// from the deadline on.
///
/// | case | who opens it, when | what stops it | `settle` after the deadline |
/// |---|---|---|---|
/// | Claim | provider, before `expiry + grace` | | pays the fee, as far as the budget goes |
/// | Late | requester, `ack.dueBy` to `expiry + grace` | `answer`, `excuse` | ends the deal: Late |
/// | Demand | requester, see below | `reveal` | ends the deal: Withheld |
/// | Hold | the deal's court, see below | `lift` | ends the hold, and nothing else |
///
/// Claims, late notices and demands are about orders with `seq >= orders`.
/// Late notices and demands cost the requester a bond. An answer in time gives it to the provider,
/// and `settle` gives it back.
///
/// A case is void once its order is below the watermark or its deal has closed in another way. Then
/// `settle` gives the bond back, whatever the deadline is. The watermark does not end a hold.
///
/// Demands and holds can be opened before `expiry + grace`. While the deal has an open claim,
/// demands can be opened for a `challengeWindow` longer, and holds for 2 `challengeWindow` +
/// `answerWindow` longer. So every claim can be demanded in the whole of its window. After each
/// `reveal` of its receipt a claim stays open for another `challengeWindow`, in which the court can
/// judge what was shown.
///
/// While a demand or hold is open, no claim and no late notice can be settled (`DealBusy`): a
/// guilty provider can't be paid or let go meanwhile. An unanswered late notice waits for open
/// claims, so that work done before is paid.
///
/// The deadline of a claim is `challengeWindow` after it was opened, that of a late notice or
/// demand `answerWindow` after. The court sets a hold's deadline, at most `MAX_HOLD` later. Hence
/// anyone can end every open deal by time alone, at the latest at `expiry + grace + 2
/// challengeWindow + answerWindow + MAX_HOLD`: settle the demands and holds, then the claims, then
/// the late notices; then, if the deal is still open, `expire` it. The constructor refuses an
/// `answerWindow` that is zero, or longer than `challengeWindow` or `grace`.
///
/// ## Limits
/// `MAX_ORDER_TASKS`: 2^16 tasks in an order. `MAX_REVEAL_BYTES`: 8192 bytes of revealed output.
/// `MAX_ANNOUNCEMENT_BYTES`: 1024. `MAX_HOLD`: 30 days. `MAX_WINDOW`: 365 days for each window that
/// the constructor is given. `SIGNATURE_GAS`: 200,000.
///
/// ## Signatures
/// EIP-712, under the domain that `eip712Domain` states; 65 bytes r ‖ s ‖ v with low s, and v 27 or
/// 28. The provider's account signs asks. It may be a contract (ERC-1271, with at most
/// `SIGNATURE_GAS` gas). Two keys that are pinned when a deal opens sign everything in it: nobody
/// can take back what such a key has signed.
///
/// ## Trust and warnings
/// @dev Warning: the token must be a plain stablecoin: it takes no fee on transfers, it does not
/// rebase, and it tells the truth about balances. `deposit` refuses to credit what did not arrive.
/// If the token's issuer freezes the market, all money in it is frozen.
/// @dev Warning: a deal whose court is zero has no judge. Its provider can claim any receipt for an
/// order that it has, and the requester can only `demand`. The requester risks `fee(price, taskFee,
/// tasks · fuelLimit, tasks)` with each order, and the budget in all.
/// @dev Warning: the court of a deal can end it against the provider at any time, and can delay its
/// claims by `MAX_HOLD` with each hold. Both sides chose the court, and nobody can change it.
/// Nobody else has any power over a deal. The market has no owner.
/// @dev Warning: sign a voucher only for orders below its watermark. If a voucher pays for an order
/// at or above its watermark, the provider can claim that order afterwards and be paid twice. A
/// provider should refuse a voucher whose watermark covers an order that its amount does not pay,
/// redeem its best voucher before it claims, and claim before `expiry + grace`.
/// @dev Warning: a provider that is called late must `answer` even if it has claimed the order
/// since. It must be able to `reveal` every task of an unsettled order until the deal has closed.
/// It has `answerWindow` for either, so it must look at the chain at least that often.
/// @dev Warning: an ack says that the provider has all it needs. A provider that acknowledges an
/// order before its inputs have arrived can be called late even if the requester never sends them.
/// @dev Warning: a provider loses what it has not redeemed or claimed when its deal ends, also when
/// the deal ends as Late, Withheld or Slashed.
/// @dev Warning: an ask is open to everybody. Anyone who opens a deal of the smallest budget ties
/// up that deal's collateral and one place of the ask's capacity until `expiry + grace`.
/// `minBudget`, `maxSeconds` and `capacity` bound the harm.
/// @dev Warning: the requester chooses the moment, within the last `OPENING_TOLERANCE`, whose price
/// it pays. It can open a deal that long after its ask has expired. Only `cancelAsks` ends an ask
/// at once.
/// @dev Warning: anyone can copy a pending `ICourt.wrongSum` or `ICourt.wrongFuel`, send it first,
/// and get the bounty. Nobody can take over a game.
/// @dev Warning: an account that is a contract can stop confirming its asks. Deals that it opened
/// stay open.
/// @dev Warning: the holder of a deal's key can sign for its side until the deal has closed.
/// @dev Warning: the spender of an allowance can move that much out of the account. Allow only
/// contracts that you know, such as the deal's court for bonds.
/// @dev Warning: a deal can have at most 2^16 − 1 open claims and 2^16 − 1 open late notices, which
/// only its own sides can open, and 2^32 − 1 open demands and holds, which cost a bond each.
/// @dev Warning: a closing voucher and a release end a deal whatever cases are open. Sign neither
/// while you want a judgement.
/// @dev Warning: of a task's output longer than `MAX_REVEAL_BYTES` only the hash and the length are
/// revealed.
interface IMarket {
    // ────────────────────────────────────────── events ───────────────────────────────────────────
    // The logs alone rebuild the state: each event says between which accounts it moves money.

    /// `account` += amount.
    event Deposited(address indexed account, address indexed from, uint128 amount);
    /// `account` −= amount.
    event Withdrawn(address indexed account, address indexed to, uint128 amount);
    /// `spender` may take up to `amount` from the account of `owner`.
    event Allowed(address indexed owner, address indexed spender, uint128 amount);
    /// Account of `from` −= amount, account of `to` += amount.
    event Transferred(address indexed from, address indexed to, uint128 amount);
    /// Where a provider can be reached, encoded as in docs/protocol.md. Nobody checks it.
    event Announced(address indexed provider, bytes endpoint);
    /// Asks of `provider` with another counter can't be opened any more.
    event AsksCancelled(address indexed provider, uint64 counter);
    /// Requester's account −= budget, provider's account −= collateral, provider's open deals += 1.
    event DealOpened(
        bytes32 indexed id, address indexed requester, address indexed provider, Deal deal
    );
    /// Provider's account += new `paid` − old `paid`. Both are the new values.
    event Redeemed(bytes32 indexed deal, uint128 paid, uint64 orders);
    /// Requester's account += toRequester, provider's account += toProvider, account of 0x…dEaD +=
    /// burned, provider's open deals −= 1. A `Redeemed` before it has moved what the last signature
    /// still owed. `paid` is the final value.
    event DealClosed(
        bytes32 indexed deal,
        Ending ending,
        uint128 paid,
        uint128 toRequester,
        uint128 toProvider,
        uint128 burned
    );
    /// A claim was opened for `receipt.fee`.
    event Claimed(
        bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, Receipt receipt
    );
    /// A late notice was opened. Requester's account −= bond.
    event LateNoticed(
        bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, uint128 bond
    );
    /// The late notice was answered. Provider's account += its bond.
    event Answered(bytes32 indexed deal, bytes32 indexed order, Receipt receipt);
    /// The late notice was wrong: the requester had cancelled the order. Provider's account += its
    /// bond.
    event Excused(bytes32 indexed deal, bytes32 indexed order);
    /// A demand was opened. Requester's account −= bond.
    event Demanded(
        bytes32 indexed deal,
        bytes32 indexed receipt,
        uint32 task,
        uint64 seq,
        uint64 deadline,
        uint128 bond
    );
    /// The demand was answered. Provider's account += its bond. `proof` has the leaf's siblings
    /// from the bottom up. `output` is empty if it is longer than `MAX_REVEAL_BYTES`. An open claim
    /// of this order stays open for at least a `challengeWindow` from now.
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
    /// The court ended a hold.
    event Lifted(bytes32 indexed deal, bytes32 indexed game);
    /// `settle` ended a case. Paid: provider's account += amount, and the deal's `paid` += amount.
    /// Void, Defaulted: requester's account += amount, which is the bond, or 0 for claims and
    /// holds. After Defaulted the deal closes.
    event CaseSettled(
        bytes32 indexed deal,
        bytes32 indexed subject,
        CaseKind kind,
        uint32 task,
        CaseOutcome outcome,
        uint128 amount
    );

    // ────────────────────────────────────────── errors ───────────────────────────────────────────

    /// Only `required` may do this.
    error Unauthorized(address caller, address required);
    /// `signer` did not sign `digest`. Keys sign by ECDSA; the account of an ask may also answer by
    /// ERC-1271.
    error InvalidSignature(address signer, bytes32 digest);
    /// The account has too little.
    error InsufficientBalance(address account, uint128 balance, uint128 needed);
    /// The token refused the transfer, or moved another amount.
    error TransferFailed(uint128 amount);
    /// A window given to the constructor is longer than `MAX_WINDOW`.
    error WindowTooLong(uint64 window, uint64 max);
    /// The answer window given to the constructor is zero, or longer than one of the others.
    error AnswerWindowOutOfRange(uint64 answerWindow, uint64 challengeWindow, uint64 grace);
    /// There is no contract at the token's address.
    error NoToken(address token);
    /// The owner allowed the spender less.
    error AllowanceTooLow(address owner, address spender, uint128 left, uint128 needed);
    /// A counter can only be raised.
    error CounterNotRaised(uint64 current, uint64 given);
    /// An announcement has at most `MAX_ANNOUNCEMENT_BYTES`.
    error AnnouncementTooLong(uint256 length);
    /// The ask's counter is not the provider's.
    error AskCancelled(uint64 current, uint64 given);
    /// The ask is valid in `[from, to)` only.
    error AskNotValidNow(uint64 time, uint64 from, uint64 to);
    /// The provider has as many deals open as this ask allows.
    error ProviderFull(uint32 open, uint32 capacity);
    /// The deal's time is not within [min, max].
    error OpeningOutOfRange(uint64 openedAt, uint64 min, uint64 max);
    /// The ask's key or the requester's key is zero.
    error NoKey();
    /// The budget is not within [min, max], the ask's limits.
    error BudgetOutOfRange(uint128 budget, uint128 min, uint128 max);
    /// The deal would be over before it begins, or is longer than the ask's `maxSeconds`.
    error DurationOutOfRange(uint32 duration, uint32 max);
    /// The ask's price at this time is above the requester's limit.
    error PriceTooHigh(uint128 price, uint128 maxPrice);
    /// The penalty is more than 10_000 basis points.
    error PenaltyTooHigh(uint32 latePenaltyBps);
    /// A product does not fit 128 bits.
    error AmountOverflow();
    /// The same requester opened the same deal before: use another salt.
    error DealExists(bytes32 deal);
    /// The deal was never opened (None), or is over (Closed). If None: supply exactly the terms of
    /// `DealOpened`.
    error DealNotOpen(bytes32 deal, DealStatus status);
    /// The signed struct is of another deal.
    error WrongDeal(bytes32 expected, bytes32 given);
    /// The signed struct is of another order.
    error WrongOrder(bytes32 expected, bytes32 given);
    /// The order is below the watermark.
    error OrderSettled(uint64 seq, uint64 orders);
    /// An order has 1 to `MAX_ORDER_TASKS` tasks.
    error TasksOutOfRange(uint32 tasks);
    /// The order has no such task.
    error NoSuchTask(uint32 task, uint32 tasks);
    /// The receipt has more fuel than the order allows.
    error FuelTooHigh(uint128 fuel, uint128 max);
    /// The receipt's fee is not the one that follows from the deal's prices.
    error WrongFee(uint128 fee, uint128 expected);
    /// The provider has asserted another receipt for this order on chain.
    error ReceiptConflict(bytes32 asserted, bytes32 given);
    /// The provider has asserted a receipt for this order on chain, so the order is not late.
    error ReceiptAsserted(bytes32 asserted);
    /// This case was opened before.
    error CaseExists(CaseKind kind, bytes32 subject, uint32 task);
    /// There is no such case (None), or it has ended (Ended).
    error CaseNotOpen(CaseKind kind, bytes32 subject, uint32 task, CaseStatus status);
    /// It is too early: the window is `[from, …)`.
    error TooEarly(uint64 time, uint64 from);
    /// It is too late: the window is `[…, until)`.
    error TooLate(uint64 time, uint64 until);
    /// The deal has open cases that come first.
    error DealBusy(uint16 claims, uint16 lates, uint32 challenges);
    /// A hold must end in the future, and within `MAX_HOLD`.
    error HoldOutOfRange(uint64 deadline, uint64 min, uint64 max);
    /// The leaf is not in the receipt's tree, or padding in the proof carries fuel.
    error NotInReceipt(uint32 task);
    /// The leaf's fuel is not what the halted state used of the order's limit.
    error WrongFuel(uint64 fuel, uint64 expected);
    /// The output is not the one that the halted state commits to.
    error WrongOutput(bytes32 outHash, bytes32 expected);
    /// The output's length is not `outLen`, or not zero for one longer than `MAX_REVEAL_BYTES`.
    error WrongOutputLength(uint256 length, uint64 expected);

    // ───────────────────────────────────────── accounts ──────────────────────────────────────────
    // Each function says who may call it and until when, what it changes, and what it costs the
    // caller besides gas. A function that fails changes nothing.

    /// Adds `amount` to the account of `owner`. Anyone may call it, at any time. It costs the
    /// caller `amount` tokens, which the caller must have approved.
    function deposit(address owner, uint128 amount) external;

    /// Does what `deposit` does, with the caller's EIP-2612 permit as the approval. A permit that
    /// fails is ignored, for somebody else may have used it already: the transfer decides.
    function depositWithPermit(
        address owner,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// Sends `amount` tokens to `to`. Anyone may call it, at any time, and nothing can stop it. It
    /// costs `amount` of the caller's account.
    function withdraw(address to, uint128 amount) external;

    /// Lets `spender` take up to `amount` from the caller's account, instead of what was allowed
    /// before. The highest `amount` is never used up. Anyone may call it, at any time. It costs
    /// nothing by itself.
    function allow(address spender, uint128 amount) external;

    /// Moves `amount` from the account of `owner` to the caller's. Anyone may call it whom the
    /// owner allowed that much, at any time. It uses up that much of the allowance.
    function take(address owner, uint128 amount) external;

    /// Moves `amount` from the caller's account to the account of `to`. Anyone may call it, at any
    /// time.
    function give(address to, uint128 amount) external;

    // ───────────────────────────────────────── providers ─────────────────────────────────────────

    /// Emits where the caller can be reached, at most `MAX_ANNOUNCEMENT_BYTES`. Anyone may call it,
    /// at any time. It changes nothing on chain.
    function announce(bytes calldata endpoint) external;

    /// Raises the caller's counter: nobody can open its asks with another counter any more. Anyone
    /// may call it, at any time. Deals that are open stay open.
    function cancelAsks(uint64 counter) external;

    /// Pays the provider what the requester's voucher exceeds `paid` by, as far as the budget goes,
    /// and raises the watermark to `voucher.orders` if that is higher. An older voucher changes
    /// nothing. A voucher with `close` also ends the deal: Redeemed. The deal's provider may call
    /// it while the deal is open. It costs nothing.
    function redeem(Deal calldata deal, Voucher calldata voucher, bytes calldata signature) external;

    /// Opens a claim for the fee of `receipt`, and asserts the receipt on chain. The deal's
    /// provider may call it before `expiry + grace`, for an order with `seq >= orders` that the
    /// requester's key has signed. The receipt needs no signature, for the provider sends it. It
    /// costs nothing, but a wrong receipt can cost the whole collateral.
    function claim(
        Deal calldata deal,
        Order calldata order,
        bytes calldata signature,
        Receipt calldata receipt
    ) external;

    /// Ends a late notice: asserts the order's receipt on chain, and gives the notice's bond to the
    /// provider. Anyone may call it before the notice's deadline. `signature` is that of the
    /// provider's key over the receipt; it is ignored if the provider calls. It costs nothing, but
    /// a wrong receipt can cost the provider the whole collateral.
    function answer(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature
    ) external;

    /// Ends a late notice by the requester's signature under the order's cancellation, and gives
    /// the notice's bond to the provider. Anyone may call it before the notice's deadline. It costs
    /// nothing.
    function excuse(Deal calldata deal, Cancel calldata cancel, bytes calldata signature) external;

    /// Ends a demand by showing how `task` of `receipt` ended, gives the demand's bond to the
    /// provider, and keeps an open claim of the order open for at least a `challengeWindow` more.
    /// Anyone may call it before the demand's deadline. (`halted`, `fuel`) must be the task's leaf;
    /// `proof` has the leaf's siblings from the bottom up, and those over padding alone are empty.
    /// `fuel` must be what `halted` used of the order's limit. `output` is the whole output, or
    /// empty if that is longer than `MAX_REVEAL_BYTES`. It costs nothing.
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

    // ──────────────────────────────────────── requesters ─────────────────────────────────────────

    /// Opens a deal from a provider's signed ask, and returns its id. Anyone may call it while the
    /// ask is valid, and becomes the requester. It costs the caller's account the budget and the
    /// provider's account the collateral, until the deal ends.
    function open(Ask calldata ask, bytes calldata signature, Terms calldata terms)
        external
        returns (bytes32);

    /// Pays the provider what its release exceeds `paid` by, as far as the budget goes, and ends
    /// the deal: Released. The deal's requester may call it while the deal is open.
    function close(Deal calldata deal, Release calldata release, bytes calldata signature) external;

    /// Opens a late notice about an order that the provider has acknowledged. The deal's requester
    /// may call it from `ack.dueBy` on and before `expiry + grace`, for an order with `seq >=
    /// orders` of which no receipt was asserted on chain. It costs a bond of `caseBond`, which the
    /// requester gets back unless the provider answers or is excused in time.
    function late(
        Deal calldata deal,
        Order calldata order,
        Ack calldata ack,
        bytes calldata signature
    ) external;

    /// Opens a demand to show `task` of a receipt that the provider's key has signed, or that was
    /// asserted on chain; then `signature` is ignored. The deal's requester may call it before
    /// `expiry + grace`, or a `challengeWindow` longer while the deal has an open claim, for an
    /// order with `seq >= orders`. It costs a bond of `caseBond`, which the requester gets back
    /// unless the provider reveals the task in time.
    function demand(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        uint32 task
    ) external;

    // ────────────────────────────────────────── anyone ───────────────────────────────────────────

    /// Ends a case as the table above says. Anyone may call it from the case's deadline on, and at
    /// any time once the case is void. It costs nothing.
    function settle(Deal calldata deal, CaseKind kind, bytes32 subject, uint32 task) external;

    /// Ends a deal that has no open cases: Expired. Anyone may call it from `expiry + grace` on. It
    /// costs nothing.
    function expire(Deal calldata deal) external;

    /// Calls this contract once for each element, as the caller. If one call fails, all of them do.
    /// Anyone may call it, at any time. It costs what its calls cost.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    // ───────────────────────────────────────── the court ─────────────────────────────────────────

    /// Opens a hold until `deadline`: a dispute that the court calls `game` is going on. The deal's
    /// court may call it before `expiry + grace`, or 2 `challengeWindow` + `answerWindow` longer
    /// while the deal has an open claim. It costs nothing here; the court takes bonds of its own.
    function hold(Deal calldata deal, bytes32 game, uint64 deadline) external;

    /// Ends a hold: the court did not find the provider guilty in this game. The deal's court may
    /// call it while the deal is open. It costs nothing.
    function lift(Deal calldata deal, bytes32 game) external;

    /// Ends the deal: Slashed. The provider is guilty, as `convictor` has shown, and loses its
    /// collateral; the convictor gets the bounty unless it is the requester. The deal's court may
    /// call it while the deal is open. It costs nothing.
    function slash(Deal calldata deal, address convictor) external;

    // ─────────────────────────────────────────── views ───────────────────────────────────────────

    /// The token that all amounts are in.
    function token() external view returns (address);
    /// The seconds from a claim to its deadline.
    function challengeWindow() external view returns (uint64);
    /// The seconds from a late notice or demand to its deadline.
    function answerWindow() external view returns (uint64);
    /// The seconds after a deal's expiry in which the provider can still claim.
    function grace() external view returns (uint64);
    /// The bond of a late notice or demand, base units.
    function caseBond() external view returns (uint128);
    /// An account's balance in base units, its ask counter, and the number of open deals in which
    /// it is the provider.
    function account(address owner)
        external
        view
        returns (uint128 balance, uint64 counter, uint32 dealsOpen);
    /// What `spender` may still take from the account of `owner`, base units.
    function allowance(address owner, address spender) external view returns (uint128);
    /// What is stored of a deal.
    function dealState(bytes32 deal) external view returns (DealState memory);
    /// What is stored of a case.
    function caseState(bytes32 deal, CaseKind kind, bytes32 subject, uint32 task)
        external
        view
        returns (Case memory);
    /// The hash of the receipt that the provider asserted on chain for an order; zero if there is
    /// none. Both are struct hashes.
    function assertedReceipt(bytes32 order) external view returns (bytes32);
    /// The EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
}
