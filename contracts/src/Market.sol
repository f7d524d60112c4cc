// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { EIP712 } from "./EIP712.sol";
import { Halted, HaltedLib } from "./Halted.sol";
import { IERC20 } from "./interfaces/IERC20.sol";
import {
    Case,
    CaseKind,
    CaseOutcome,
    CaseStatus,
    DealState,
    DealStatus,
    Ending,
    IMarket,
    Terms
} from "./interfaces/IMarket.sol";
import { Pricing } from "./Pricing.sol";
import { Signatures } from "./Signatures.sol";
import { SumNode, SumTree } from "./SumTree.sol";
import { Tokens } from "./Tokens.sol";
import { Ack } from "./types/Ack.sol";
import { Ask } from "./types/Ask.sol";
import { Cancel } from "./types/Cancel.sol";
import { Deal } from "./types/Deal.sol";
import { Order } from "./types/Order.sol";
import { Receipt } from "./types/Receipt.sol";
import { Release } from "./types/Release.sol";
import { Voucher } from "./types/Voucher.sol";

/// @title Rialto's market
/// @notice `interfaces/IMarket.sol` is the specification; comments here only say why.
contract Market is IMarket, EIP712 {
    using HaltedLib for Halted;
    using Tokens for IERC20;

    // ─────────────────────────────────────────── constants ────────────────────────────────────────────

    /// Longest hold of the court.
    uint64 public constant MAX_HOLD = 30 days;
    /// Longest challenge window, answer window and grace: they are added to times without overflow.
    uint64 public constant MAX_WINDOW = 365 days;
    /// Longest time from a deal's `openedAt` to the block that opens it, seconds.
    uint64 public constant OPENING_TOLERANCE = 600;
    /// Share of its collateral that a guilty provider loses to others; the rest is burned.
    uint32 public constant COMPENSATION_BPS = 7000;
    /// Part of that share which goes to whoever convicted it, if that was not the deal's requester.
    uint32 public constant BOUNTY_BPS = 2000;
    /// Holds burned money.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;
    /// Most tasks in one order.
    uint32 public constant MAX_ORDER_TASKS = 1 << 16;
    /// Longest announced endpoint, bytes.
    uint256 public constant MAX_ANNOUNCEMENT_BYTES = 1024;
    /// Longest output that `reveal` has to show: about 0.4M gas.
    uint256 public constant MAX_REVEAL_BYTES = 8192;
    /// Most gas that a contract wallet may use to check a signature.
    uint256 public constant SIGNATURE_GAS = Signatures.GAS_LIMIT;

    // ─────────────────────────────────────────── immutables ───────────────────────────────────────────

    IERC20 private immutable TOKEN;
    /// @inheritdoc IMarket
    uint64 public immutable challengeWindow;
    /// @inheritdoc IMarket
    uint64 public immutable answerWindow;
    /// @inheritdoc IMarket
    uint64 public immutable grace;
    /// @inheritdoc IMarket
    uint128 public immutable caseBond;

    // ──────────────────────────────────────────── storage ─────────────────────────────────────────────

    /// One slot: `open` finds the counter where it takes the collateral.
    struct Account {
        uint128 balance;
        uint64 counter;
        /// Deals of this provider that are open.
        uint32 open;
        /// Set with the first credit, so that the slot of an emptied account is not dear to fill again.
        bool kept;
    }

    mapping(address owner => Account) private accounts;
    mapping(bytes32 deal => DealState) private deals;
    mapping(bytes32 caseId => Case) private cases;
    /// @inheritdoc IMarket
    mapping(address owner => mapping(address spender => uint128 amount)) public allowance;
    /// @inheritdoc IMarket
    mapping(bytes32 order => bytes32 receipt) public assertedReceipt;

    // ────────────────────────────────────────── constructor ───────────────────────────────────────────

    constructor(IERC20 token_, uint64 challengeWindow_, uint64 answerWindow_, uint64 grace_, uint128 caseBond_) {
        if (challengeWindow_ > MAX_WINDOW) revert WindowTooLong(challengeWindow_, MAX_WINDOW);
        if (answerWindow_ > MAX_WINDOW) revert WindowTooLong(answerWindow_, MAX_WINDOW);
        if (grace_ > MAX_WINDOW) revert WindowTooLong(grace_, MAX_WINDOW);
        if (answerWindow_ == 0 || answerWindow_ > challengeWindow_ || answerWindow_ > grace_) {
            revert AnswerWindowOutOfRange(answerWindow_, challengeWindow_, grace_);
        }
        if (address(token_).code.length == 0) revert NoToken(address(token_));
        TOKEN = token_;
        challengeWindow = challengeWindow_;
        answerWindow = answerWindow_;
        grace = grace_;
        caseBond = caseBond_;
    }

    // ──────────────────────────────────────────── accounts ────────────────────────────────────────────

    /// @inheritdoc IMarket
    function deposit(address owner, uint128 amount) public {
        credit(owner, amount);
        emit Deposited(owner, msg.sender, amount);
        TOKEN.pull(msg.sender, amount);
    }

    /// @inheritdoc IMarket
    function depositWithPermit(address owner, uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        // Whoever sees the permit can use it up first; that must not stop the deposit.
        try TOKEN.permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        deposit(owner, amount);
    }

    /// @inheritdoc IMarket
    function withdraw(address to, uint128 amount) external {
        debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        TOKEN.push(to, amount);
    }

    /// @inheritdoc IMarket
    function allow(address spender, uint128 amount) external {
        allowance[msg.sender][spender] = amount;
        emit Allowed(msg.sender, spender, amount);
    }

    /// @inheritdoc IMarket
    function take(address owner, uint128 amount) external {
        uint128 left = allowance[owner][msg.sender];
        if (left < amount) revert AllowanceTooLow(owner, msg.sender, left, amount);
        if (left != type(uint128).max) allowance[owner][msg.sender] = left - amount;
        transfer(owner, msg.sender, amount);
    }

    /// @inheritdoc IMarket
    function give(address to, uint128 amount) external {
        transfer(msg.sender, to, amount);
    }

    // ─────────────────────────────────────────── requesters ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function open(Ask calldata ask, bytes calldata signature, Terms calldata terms) external returns (bytes32 id) {
        bytes32 askHash = ask.hash();
        bytes32 digest = digestOf(askHash);
        if (!Signatures.isByAccount(ask.provider, digest, signature)) revert InvalidSignature(ask.provider, digest);
        Account storage seller = accounts[ask.provider];
        if (ask.counter != seller.counter) revert AskCancelled(seller.counter, ask.counter);
        if (seller.open >= ask.capacity) revert ProviderFull(seller.open, ask.capacity);
        Deal memory deal = termsOf(ask, askHash, terms);
        id = deal.hashNew();
        if (deals[id].status != DealStatus.None) revert DealExists(id);

        deals[id].status = DealStatus.Open;
        debit(msg.sender, deal.budget);
        debit(deal.provider, deal.collateral);
        unchecked {
            // Below the ask's capacity.
            ++seller.open;
        }
        emit DealOpened(id, msg.sender, deal.provider, deal);
    }

    /// @inheritdoc IMarket
    function close(Deal calldata deal, Release calldata release, bytes calldata signature) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.requester);
        if (release.deal != id) revert WrongDeal(id, release.deal);
        verify(deal.providerKey, release.hash(), signature);

        uint128 owed = pay(deal, state, release.amount);
        emit Redeemed(id, state.paid, state.orders);
        end(deal, id, state, Ending.Released, owed);
    }

    /// @inheritdoc IMarket
    function late(Deal calldata deal, Order calldata order, Ack calldata ack, bytes calldata signature) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.requester);
        until(deal.expiry + grace);
        bytes32 orderHash = unsettled(id, state, order);
        if (ack.order != orderHash) revert WrongOrder(orderHash, ack.order);
        from(ack.dueBy);
        bytes32 asserted = assertedReceipt[orderHash];
        if (asserted != 0) revert ReceiptAsserted(asserted);
        verify(deal.providerKey, ack.hash(), signature);

        ++state.lates;
        deals[id] = state;
        debit(msg.sender, caseBond);
        uint64 deadline = openCase(id, CaseKind.Late, orderHash, 0, order.seq, answerWindow, caseBond);
        emit LateNoticed(id, orderHash, order.seq, deadline, caseBond);
    }

    /// @inheritdoc IMarket
    function demand(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        uint32 task
    ) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.requester);
        until(deal.expiry + grace + (state.claims == 0 ? 0 : challengeWindow));
        bytes32 orderHash = unsettled(id, state, order);
        if (task >= order.tasks) revert NoSuchTask(task, order.tasks);
        if (receipt.order != orderHash) revert WrongOrder(orderHash, receipt.order);
        bytes32 receiptHash = receipt.hash();
        if (assertedReceipt[orderHash] != receiptHash) verify(deal.providerKey, receiptHash, signature);

        ++state.holds;
        deals[id] = state;
        debit(msg.sender, caseBond);
        uint64 deadline = openCase(id, CaseKind.Demand, receiptHash, task, order.seq, answerWindow, caseBond);
        emit Demanded(id, receiptHash, task, order.seq, deadline, caseBond);
    }

    // ─────────────────────────────────────────── providers ────────────────────────────────────────────

    /// @inheritdoc IMarket
    function announce(bytes calldata endpoint) external {
        if (endpoint.length > MAX_ANNOUNCEMENT_BYTES) revert AnnouncementTooLong(endpoint.length);
        emit Announced(msg.sender, endpoint);
    }

    /// @inheritdoc IMarket
    function cancelAsks(uint64 counter) external {
        uint64 current = accounts[msg.sender].counter;
        if (counter <= current) revert CounterNotRaised(current, counter);
        accounts[msg.sender].counter = counter;
        emit AsksCancelled(msg.sender, counter);
    }

    /// @inheritdoc IMarket
    function redeem(Deal calldata deal, Voucher calldata voucher, bytes calldata signature) external {
        (bytes32 id, DealState memory state) = load(deal);
        // Anyone else could raise the watermark with a voucher that the provider never took.
        only(deal.provider);
        if (voucher.deal != id) revert WrongDeal(id, voucher.deal);
        verify(deal.requesterKey, voucher.hash(), signature);

        uint128 owed = pay(deal, state, voucher.amount);
        if (voucher.orders > state.orders) state.orders = narrow(voucher.orders);
        emit Redeemed(id, state.paid, state.orders);
        if (voucher.close) return end(deal, id, state, Ending.Redeemed, owed);
        deals[id] = state;
        credit(deal.provider, owed);
    }

    /// @inheritdoc IMarket
    function claim(Deal calldata deal, Order calldata order, bytes calldata signature, Receipt calldata receipt)
        external
    {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.provider);
        until(deal.expiry + grace);
        bytes32 orderHash = unsettled(id, state, order);
        verify(deal.requesterKey, orderHash, signature);

        assertReceipt(deal, order, orderHash, receipt);
        ++state.claims;
        deals[id] = state;
        uint64 deadline = openCase(id, CaseKind.Claim, orderHash, 0, order.seq, challengeWindow, receipt.fee);
        emit Claimed(id, orderHash, order.seq, deadline, receipt);
    }

    /// @inheritdoc IMarket
    function answer(Deal calldata deal, Order calldata order, Receipt calldata receipt, bytes calldata signature)
        external
    {
        (bytes32 id, DealState memory state) = load(deal);
        bytes32 orderHash = order.hash();
        if (msg.sender != deal.provider) verify(deal.providerKey, receipt.hash(), signature);
        assertReceipt(deal, order, orderHash, receipt);
        stopLate(deal, id, state, orderHash);
        emit Answered(id, orderHash, receipt);
    }

    /// @inheritdoc IMarket
    function excuse(Deal calldata deal, Cancel calldata cancel, bytes calldata signature) external {
        (bytes32 id, DealState memory state) = load(deal);
        verify(deal.requesterKey, cancel.hash(), signature);
        stopLate(deal, id, state, cancel.order);
        emit Excused(id, cancel.order);
    }

    /// @inheritdoc IMarket
    function reveal(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof,
        bytes calldata output
    ) external {
        (bytes32 id, DealState memory state) = load(deal);
        uint128 bond = stopCase(id, CaseKind.Demand, receipt.hash(), task);
        checkLeaf(order, receipt, task, fuel, halted, proof);
        checkOutput(halted, output);

        --state.holds;
        deals[id] = state;
        credit(deal.provider, bond);
        prolongClaim(id, receipt.order);
        emit Revealed(id, receipt.hash(), task, fuel, halted, proof, output);
    }

    // ───────────────────────────────────────────── anyone ─────────────────────────────────────────────

    /// @inheritdoc IMarket
    function settle(Deal calldata deal, CaseKind kind, bytes32 subject, uint32 task) external {
        bytes32 id = deal.hash();
        // A case exists only for a deal that was opened.
        Case memory it = endCase(id, kind, subject, task);
        DealState memory state = deals[id];
        if (state.status == DealStatus.Closed) return refund(deal, id, kind, subject, task, it.amount);

        bool moot = kind != CaseKind.Hold && it.seq < state.orders;
        if (!moot) {
            from(it.deadline);
            bool waits = state.holds != 0 || (kind == CaseKind.Late && state.claims != 0);
            if (waits && (kind == CaseKind.Claim || kind == CaseKind.Late)) {
                revert DealBusy(state.claims, state.lates, state.holds);
            }
        }
        if (kind == CaseKind.Claim) --state.claims;
        else if (kind == CaseKind.Late) --state.lates;
        else --state.holds;

        if (moot || kind == CaseKind.Hold) {
            deals[id] = state;
            refund(deal, id, kind, subject, task, it.amount);
        } else if (kind == CaseKind.Claim) {
            uint128 owed = pay(deal, state, uint256(state.paid) + it.amount);
            deals[id] = state;
            credit(deal.provider, owed);
            emit CaseSettled(id, subject, kind, task, CaseOutcome.Paid, owed);
        } else {
            credit(deal.requester, it.amount);
            emit CaseSettled(id, subject, kind, task, CaseOutcome.Defaulted, it.amount);
            end(deal, id, state, kind == CaseKind.Late ? Ending.Late : Ending.Withheld, 0);
        }
    }

    /// @inheritdoc IMarket
    function expire(Deal calldata deal) external {
        (bytes32 id, DealState memory state) = load(deal);
        from(deal.expiry + grace);
        if (state.claims != 0 || state.lates != 0 || state.holds != 0) {
            revert DealBusy(state.claims, state.lates, state.holds);
        }
        end(deal, id, state, Ending.Expired, 0);
    }

    /// @inheritdoc IMarket
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory result) = address(this).delegatecall(calls[i]);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 32), mload(result))
                }
            }
            results[i] = result;
        }
    }

    // ──────────────────────────────────────────── the court ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function hold(Deal calldata deal, bytes32 game, uint64 deadline) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.court);
        // Until every claim that is challenged at the last moment has been shown, and its new window is over.
        until(deal.expiry + grace + (state.claims == 0 ? 0 : 2 * challengeWindow + answerWindow));
        uint64 time = uint64(block.timestamp);
        if (deadline <= time || deadline > time + MAX_HOLD) revert HoldOutOfRange(deadline, time + 1, time + MAX_HOLD);

        ++state.holds;
        deals[id] = state;
        openCase(id, CaseKind.Hold, game, 0, 0, deadline - time, 0);
        emit Held(id, game, deadline);
    }

    /// @inheritdoc IMarket
    function lift(Deal calldata deal, bytes32 game) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.court);
        endCase(id, CaseKind.Hold, game, 0);

        --state.holds;
        deals[id] = state;
        emit Lifted(id, game);
    }

    /// @inheritdoc IMarket
    function slash(Deal calldata deal, address convictor) external {
        (bytes32 id, DealState memory state) = load(deal);
        only(deal.court);
        if (convictor == deal.requester) return end(deal, id, state, Ending.Slashed, 0);
        // The bounty is a part of what the requester gets otherwise: it burns no less, whoever convicts.
        uint128 bounty = Pricing.share(deal.collateral, BOUNTY_BPS);
        end(deal, id, state, Ending.Slashed, 0);
        transfer(deal.requester, convictor, bounty);
    }

    // ───────────────────────────────────────────── views ──────────────────────────────────────────────

    /// @inheritdoc IMarket
    function token() external view returns (address) {
        return address(TOKEN);
    }

    /// @inheritdoc IMarket
    function account(address owner) external view returns (uint128 balance, uint64 counter, uint32 dealsOpen) {
        Account storage it = accounts[owner];
        return (it.balance, it.counter, it.open);
    }

    /// @inheritdoc IMarket
    function dealState(bytes32 deal) external view returns (DealState memory) {
        return deals[deal];
    }

    /// @inheritdoc IMarket
    function caseState(bytes32 deal, CaseKind kind, bytes32 subject, uint32 task) external view returns (Case memory) {
        return cases[caseId(deal, kind, subject, task)];
    }

    /// @inheritdoc IMarket
    function domainSeparator() public view override(EIP712, IMarket) returns (bytes32) {
        return EIP712.domainSeparator();
    }

    // ──────────────────────────────────────── internal: checks ────────────────────────────────────────

    /// The caller must be `required`.
    function only(address required) private view {
        if (msg.sender != required) revert Unauthorized(msg.sender, required);
    }

    /// Now is in `[start, …)`.
    function from(uint64 start) private view {
        if (block.timestamp < start) revert TooEarly(uint64(block.timestamp), start);
    }

    /// Now is in `[…, stop)`.
    function until(uint64 stop) private view {
        if (block.timestamp >= stop) revert TooLate(uint64(block.timestamp), stop);
    }

    function verify(address signer, bytes32 structHash, bytes calldata signature) private view {
        bytes32 digest = digestOf(structHash);
        if (!Signatures.isByKey(signer, digest, signature)) revert InvalidSignature(signer, digest);
    }

    /// An open deal's id and state.
    function load(Deal calldata deal) private view returns (bytes32 id, DealState memory state) {
        id = deal.hash();
        state = deals[id];
        if (state.status != DealStatus.Open) revert DealNotOpen(id, state.status);
    }

    /// Hash of an order of this deal that is not below its watermark.
    function unsettled(bytes32 id, DealState memory state, Order calldata order) private pure returns (bytes32) {
        if (order.deal != id) revert WrongDeal(id, order.deal);
        if (order.tasks == 0 || order.tasks > MAX_ORDER_TASKS) revert TasksOutOfRange(order.tasks);
        if (order.seq < state.orders) revert OrderSettled(order.seq, state.orders);
        return order.hash();
    }

    /// The demand was for a receipt of an order of this deal. This must be that order, and the leaf what it says of `task`.
    function checkLeaf(
        Order calldata order,
        Receipt calldata receipt,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof
    ) private pure {
        bytes32 orderHash = order.hash();
        if (receipt.order != orderHash) revert WrongOrder(orderHash, receipt.order);
        SumNode memory leaf = SumTree.leaf(halted.hash(), fuel);
        if (!SumTree.verify(SumNode(receipt.root, receipt.fuel), order.tasks, task, leaf, proof)) {
            revert NotInReceipt(task);
        }
        uint64 used = halted.fuelUsed(order.fuelLimit);
        if (fuel != used) revert WrongFuel(fuel, used);
    }

    function checkOutput(Halted calldata halted, bytes calldata output) private pure {
        bool shown = halted.outLen <= MAX_REVEAL_BYTES;
        if (output.length != (shown ? halted.outLen : 0)) revert WrongOutputLength(output.length, halted.outLen);
        if (!shown) return;
        bytes32 outHash = HaltedLib.outputHash(output);
        if (outHash != halted.outHash) revert WrongOutput(outHash, halted.outHash);
    }

    /// Terms of a deal that the caller opens: a function of ask and terms alone, so that its id is known before.
    function termsOf(Ask calldata ask, bytes32 askHash, Terms calldata terms) private view returns (Deal memory deal) {
        uint64 time = terms.openedAt;
        uint64 now_ = uint64(block.timestamp);
        if (time > now_ || time + OPENING_TOLERANCE < now_) {
            revert OpeningOutOfRange(time, now_ - OPENING_TOLERANCE, now_);
        }
        if (ask.key == address(0) || terms.key == address(0)) revert NoKey();
        uint64 expiry = time + terms.duration;
        uint128 price = Pricing.priceAt(ask, time);
        if (price > terms.maxPrice) revert PriceTooHigh(price, terms.maxPrice);
        if (terms.budget < ask.minBudget || terms.budget > ask.maxBudget) {
            revert BudgetOutOfRange(terms.budget, ask.minBudget, ask.maxBudget);
        }
        if (expiry <= now_ || terms.duration > ask.maxSeconds) {
            revert DurationOutOfRange(terms.duration, ask.maxSeconds);
        }
        if (ask.latePenaltyBps > Pricing.BPS) revert PenaltyTooHigh(ask.latePenaltyBps);
        deal.ask = askHash;
        deal.requester = msg.sender;
        deal.provider = ask.provider;
        deal.requesterKey = terms.key;
        deal.providerKey = ask.key;
        deal.budget = terms.budget;
        deal.collateral = Pricing.share(terms.budget, ask.collateralBps);
        deal.price = price;
        deal.taskFee = ask.taskFee;
        deal.latePenalty = Pricing.share(deal.collateral, ask.latePenaltyBps);
        deal.openedAt = time;
        deal.expiry = expiry;
        deal.court = ask.court;
        deal.salt = terms.salt;
    }

    // ──────────────────────────────────────── internal: money ─────────────────────────────────────────

    function credit(address owner, uint128 amount) private {
        Account storage it = accounts[owner];
        (it.balance, it.kept) = (it.balance + amount, true);
    }

    function debit(address owner, uint128 amount) private {
        uint128 balance = accounts[owner].balance;
        if (balance < amount) revert InsufficientBalance(owner, balance, amount);
        accounts[owner].balance = balance - amount;
    }

    function transfer(address owner, address to, uint128 amount) private {
        debit(owner, amount);
        credit(to, amount);
        emit Transferred(owner, to, amount);
    }

    /// Raises `state.paid` to `total`, at most to the budget. The caller stores `state` and credits the provider.
    function pay(Deal calldata deal, DealState memory state, uint256 total) private pure returns (uint128 owed) {
        uint128 paid = total < deal.budget ? uint128(total) : deal.budget;
        if (paid <= state.paid) return 0;
        owed = paid - state.paid;
        state.paid = paid;
    }

    /// More orders than that can't be signed in any time.
    function narrow(uint64 orders) private pure returns (uint48) {
        return orders < type(uint48).max ? uint48(orders) : type(uint48).max;
    }

    /// Returns everything in the deal and leaves a tombstone. `owed`: what the provider is paid besides.
    function end(Deal calldata deal, bytes32 id, DealState memory state, Ending ending, uint128 owed) private {
        uint128 penalty = 0;
        uint128 burned = 0;
        if (ending == Ending.Late) {
            penalty = deal.latePenalty;
        } else if (ending == Ending.Withheld || ending == Ending.Slashed) {
            penalty = Pricing.share(deal.collateral, COMPENSATION_BPS);
            burned = deal.collateral - penalty;
        }
        uint128 toRequester = deal.budget - state.paid + penalty;
        uint128 toProvider = deal.collateral - penalty - burned;

        state.status = DealStatus.Closed;
        (state.claims, state.lates, state.holds) = (0, 0, 0);
        deals[id] = state;
        credit(deal.requester, toRequester);
        Account storage seller = accounts[deal.provider];
        uint128 balance = seller.balance + owed + toProvider;
        unchecked {
            // It was counted when it opened.
            (seller.balance, seller.open, seller.kept) = (balance, seller.open - 1, true);
        }
        if (burned != 0) credit(BURNED, burned);
        emit DealClosed(id, ending, state.paid, toRequester, toProvider, burned);
    }

    /// Gives a case's bond back. A claim's amount is no money yet.
    function refund(Deal calldata deal, bytes32 id, CaseKind kind, bytes32 subject, uint32 task, uint128 amount)
        private
    {
        if (kind == CaseKind.Claim) amount = 0;
        credit(deal.requester, amount);
        emit CaseSettled(id, subject, kind, task, CaseOutcome.Void, amount);
    }

    // ──────────────────────────────────────── internal: cases ─────────────────────────────────────────

    function caseId(bytes32 id, CaseKind kind, bytes32 subject, uint32 task) private pure returns (bytes32) {
        return keccak256(abi.encode(id, kind, subject, task));
    }

    function openCase(
        bytes32 id,
        CaseKind kind,
        bytes32 subject,
        uint32 task,
        uint64 seq,
        uint64 window,
        uint128 amount
    ) private returns (uint64 deadline) {
        Case storage it = cases[caseId(id, kind, subject, task)];
        if (it.status != CaseStatus.None) revert CaseExists(kind, subject, task);
        deadline = uint64(block.timestamp) + window;
        (it.status, it.deadline, it.seq, it.amount) = (CaseStatus.Open, uint40(deadline), seq, amount);
    }

    /// Ends an open case.
    function endCase(bytes32 id, CaseKind kind, bytes32 subject, uint32 task) private returns (Case memory it) {
        bytes32 key = caseId(id, kind, subject, task);
        it = cases[key];
        if (it.status != CaseStatus.Open) revert CaseNotOpen(kind, subject, task, it.status);
        cases[key].status = CaseStatus.Ended;
    }

    /// Ends an open case before its deadline; returns its bond.
    function stopCase(bytes32 id, CaseKind kind, bytes32 subject, uint32 task) private returns (uint128) {
        Case memory it = endCase(id, kind, subject, task);
        until(it.deadline);
        return it.amount;
    }

    /// Ends a late notice that was answered in time. The provider gets its bond.
    function stopLate(Deal calldata deal, bytes32 id, DealState memory state, bytes32 orderHash) private {
        uint128 bond = stopCase(id, CaseKind.Late, orderHash, 0);
        --state.lates;
        deals[id] = state;
        credit(deal.provider, bond);
    }

    /// What has come to light can be taken to court before its claim, if there is one, is paid.
    function prolongClaim(bytes32 id, bytes32 orderHash) private {
        Case storage it = cases[caseId(id, CaseKind.Claim, orderHash, 0)];
        uint64 deadline = uint64(block.timestamp) + challengeWindow;
        if (it.status == CaseStatus.Open && it.deadline < deadline) it.deadline = uint40(deadline);
    }

    /// Records, once and for all, which receipt the provider stands by for this order.
    function assertReceipt(Deal calldata deal, Order calldata order, bytes32 orderHash, Receipt calldata receipt)
        private
    {
        if (receipt.order != orderHash) revert WrongOrder(orderHash, receipt.order);
        uint128 maxFuel = uint128(order.tasks) * order.fuelLimit;
        if (receipt.fuel > maxFuel) revert FuelTooHigh(receipt.fuel, maxFuel);
        uint128 fee = Pricing.fee(deal.price, deal.taskFee, receipt.fuel, order.tasks);
        if (receipt.fee != fee) revert WrongFee(receipt.fee, fee);
        bytes32 receiptHash = receipt.hash();
        bytes32 asserted = assertedReceipt[orderHash];
        if (asserted != 0 && asserted != receiptHash) revert ReceiptConflict(asserted, receiptHash);
        assertedReceipt[orderHash] = receiptHash;
    }
}
