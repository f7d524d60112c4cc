// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Constants } from "../shared/Constants.sol";
import { EIP712 } from "../shared/EIP712.sol";
import { Pricing } from "../shared/Pricing.sol";
import { Signatures } from "../shared/Signatures.sol";
import { SumNode, SumTree } from "../shared/SumTree.sol";
import { Ack } from "../types/Ack.sol";
import { Ask } from "../types/Ask.sol";
import { Cancel } from "../types/Cancel.sol";
import { Deal } from "../types/Deal.sol";
import { Halted, HaltedLib } from "../types/Halted.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";
import { Release } from "../types/Release.sol";
import { Voucher } from "../types/Voucher.sol";
import { Accounts } from "./Accounts.sol";
import { IERC20 } from "./IERC20.sol";
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
} from "./IMarket.sol";

/// @title Rialto's market
/// @notice `IMarket.sol` is the specification. Comments here only say why.
contract Market is Accounts, EIP712 {
    using HaltedLib for Halted;

    // ───────────────────────────────────────── constants ─────────────────────────────────────────

    /// Longest hold of a deal by its court.
    uint64 public constant MAX_HOLD = Constants.MAX_HOLD;
    /// Longest challenge window, answer window and grace: they are added to times without overflow.
    uint64 public constant MAX_WINDOW = 365 days;
    /// Longest time from a deal's `openedAt` to the block that opens it, seconds.
    uint64 public constant OPENING_TOLERANCE = 600;
    /// Share of its collateral that a guilty provider loses to others; the rest is burned.
    uint32 public constant COMPENSATION_BPS = Constants.COMPENSATION_BPS;
    /// Share of the collateral that a stranger who convicts gets, out of the requester's part.
    uint32 public constant BOUNTY_BPS = Constants.BOUNTY_BPS;
    /// Holds burned money.
    address public constant BURNED = Constants.BURNED;
    /// Most tasks in one order.
    uint32 public constant MAX_ORDER_TASKS = Constants.MAX_ORDER_TASKS;
    /// Longest output that `reveal` has to show: about 0.4M gas.
    uint256 public constant MAX_REVEAL_BYTES = 8192;
    /// Most gas that a contract wallet may use to check a signature.
    uint256 public constant SIGNATURE_GAS = Signatures.GAS_LIMIT;

    // ──────────────────────────────────────── immutables ─────────────────────────────────────────

    /// @inheritdoc IMarket
    uint64 public immutable challengeWindow;
    /// @inheritdoc IMarket
    uint64 public immutable answerWindow;
    /// @inheritdoc IMarket
    uint64 public immutable grace;
    /// @inheritdoc IMarket
    uint128 public immutable caseBond;

    // ────────────────────────────────────────── storage ──────────────────────────────────────────

    /// Says which case of which deal.
    struct CaseKey {
        bytes32 deal;
        CaseKind kind;
        bytes32 subject;
        uint32 task;
    }

    mapping(bytes32 deal => DealState) private deals;
    mapping(bytes32 place => Case) private cases;
    /// @inheritdoc IMarket
    mapping(bytes32 order => bytes32 receipt) public assertedReceipt;

    // ──────────────────────────────────────── constructor ────────────────────────────────────────

    constructor(IERC20 token_, uint64 challenge_, uint64 answer_, uint64 grace_, uint128 bond_)
        Accounts(token_)
    {
        if (challenge_ > MAX_WINDOW) revert WindowTooLong(challenge_, MAX_WINDOW);
        if (answer_ > MAX_WINDOW) revert WindowTooLong(answer_, MAX_WINDOW);
        if (grace_ > MAX_WINDOW) revert WindowTooLong(grace_, MAX_WINDOW);
        if (answer_ == 0 || answer_ > challenge_ || answer_ > grace_) {
            revert AnswerWindowOutOfRange(answer_, challenge_, grace_);
        }
        challengeWindow = challenge_;
        answerWindow = answer_;
        grace = grace_;
        caseBond = bond_;
    }

    // ──────────────────────────────────────── requesters ─────────────────────────────────────────

    /// @inheritdoc IMarket
    function open(Ask calldata ask, bytes calldata signature, Terms calldata terms)
        external
        returns (bytes32 id)
    {
        bytes32 askHash = ask.hash();
        bytes32 digest = digestOf(askHash);
        if (!Signatures.isByAccount(ask.provider, digest, signature)) {
            revert InvalidSignature(ask.provider, digest);
        }
        Account storage seller = accounts[ask.provider];
        if (ask.counter != seller.counter) revert AskCancelled(seller.counter, ask.counter);
        if (seller.openDeals >= ask.capacity) revert ProviderFull(seller.openDeals, ask.capacity);
        Deal memory deal = dealFrom(ask, askHash, terms);
        id = deal.hashNew();
        if (deals[id].status != DealStatus.None) revert DealExists(id);

        deals[id].status = DealStatus.Open;
        debit(msg.sender, deal.budget);
        debit(deal.provider, deal.collateral);
        unchecked {
            // The count is below the ask's capacity.
            ++seller.openDeals;
        }
        emit DealOpened(id, msg.sender, deal.provider, deal);
    }

    /// @inheritdoc IMarket
    function close(Deal calldata deal, Release calldata release, bytes calldata signature)
        external
    {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.requester);
        if (release.deal != id) revert WrongDeal(id, release.deal);
        requireSignature(deal.providerKey, release.hash(), signature);

        uint128 owed = pay(deal, state, release.amount);
        emit Redeemed(id, state.paid, state.orders);
        endDeal(deal, id, state, Ending.Released, owed);
    }

    /// @inheritdoc IMarket
    function late(
        Deal calldata deal,
        Order calldata order,
        Ack calldata ack,
        bytes calldata signature
    ) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.requester);
        requireBefore(deal.expiry + grace);
        bytes32 orderHash = requireUnsettled(id, state, order);
        if (ack.order != orderHash) revert WrongOrder(orderHash, ack.order);
        requireNotBefore(ack.dueBy);
        bytes32 asserted = assertedReceipt[orderHash];
        if (asserted != 0) revert ReceiptAsserted(asserted);
        requireSignature(deal.providerKey, ack.hash(), signature);

        debit(msg.sender, caseBond);
        CaseKey memory key = CaseKey(id, CaseKind.Late, orderHash, 0);
        uint64 deadline = openCase(key, state, order.seq, answerWindow, caseBond);
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
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.requester);
        requireChallengeable(deal, state, challengeWindow);
        bytes32 orderHash = requireUnsettled(id, state, order);
        if (task >= order.tasks) revert NoSuchTask(task, order.tasks);
        if (receipt.order != orderHash) revert WrongOrder(orderHash, receipt.order);
        bytes32 receiptHash = receipt.hash();
        if (assertedReceipt[orderHash] != receiptHash) {
            requireSignature(deal.providerKey, receiptHash, signature);
        }

        debit(msg.sender, caseBond);
        CaseKey memory key = CaseKey(id, CaseKind.Demand, receiptHash, task);
        uint64 deadline = openCase(key, state, order.seq, answerWindow, caseBond);
        emit Demanded(id, receiptHash, task, order.seq, deadline, caseBond);
    }

    // ───────────────────────────────────────── providers ─────────────────────────────────────────

    /// @inheritdoc IMarket
    function redeem(Deal calldata deal, Voucher calldata voucher, bytes calldata signature)
        external
    {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        // Anyone else could raise the watermark with a voucher that the provider never took.
        requireCaller(deal.provider);
        if (voucher.deal != id) revert WrongDeal(id, voucher.deal);
        requireSignature(deal.requesterKey, voucher.hash(), signature);

        uint128 owed = pay(deal, state, voucher.amount);
        if (voucher.orders > state.orders) state.orders = toWatermark(voucher.orders);
        emit Redeemed(id, state.paid, state.orders);
        if (voucher.close) return endDeal(deal, id, state, Ending.Redeemed, owed);
        deals[id] = state;
        credit(deal.provider, owed);
    }

    /// @inheritdoc IMarket
    function claim(
        Deal calldata deal,
        Order calldata order,
        bytes calldata signature,
        Receipt calldata receipt
    ) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.provider);
        requireBefore(deal.expiry + grace);
        bytes32 orderHash = requireUnsettled(id, state, order);
        requireSignature(deal.requesterKey, orderHash, signature);

        assertReceipt(deal, order, orderHash, receipt);
        CaseKey memory key = CaseKey(id, CaseKind.Claim, orderHash, 0);
        uint64 deadline = openCase(key, state, order.seq, challengeWindow, receipt.fee);
        emit Claimed(id, orderHash, order.seq, deadline, receipt);
    }

    /// @inheritdoc IMarket
    function answer(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature
    ) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        bytes32 orderHash = order.hash();
        if (msg.sender != deal.provider) {
            requireSignature(deal.providerKey, receipt.hash(), signature);
        }
        assertReceipt(deal, order, orderHash, receipt);
        stopCase(deal, CaseKey(id, CaseKind.Late, orderHash, 0), state);
        emit Answered(id, orderHash, receipt);
    }

    /// @inheritdoc IMarket
    function excuse(Deal calldata deal, Cancel calldata cancel, bytes calldata signature) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireSignature(deal.requesterKey, cancel.hash(), signature);
        stopCase(deal, CaseKey(id, CaseKind.Late, cancel.order, 0), state);
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
        (bytes32 id, DealState memory state) = loadOpen(deal);
        stopCase(deal, CaseKey(id, CaseKind.Demand, receipt.hash(), task), state);
        requireLeaf(order, receipt, task, fuel, halted, proof);
        requireOutput(halted, output);
        extendClaim(id, receipt.order);
        emit Revealed(id, receipt.hash(), task, fuel, halted, proof, output);
    }

    // ────────────────────────────────────────── anyone ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function settle(Deal calldata deal, CaseKind kind, bytes32 subject, uint32 task) external {
        CaseKey memory key = CaseKey(deal.hash(), kind, subject, task);
        // A case exists only for a deal that was opened, so the deal is open or closed.
        Case memory it = endCase(key);
        DealState memory state = deals[key.deal];
        if (state.status == DealStatus.Closed) return returnBond(deal, key, it.amount);
        // A hold is not about an order, so the watermark does not end it.
        if (kind != CaseKind.Hold && it.seq < state.orders) {
            return settleVoid(deal, key, state, it.amount);
        }

        requireNotBefore(it.deadline);
        if (kind == CaseKind.Claim) settleClaim(deal, key, state, it.amount);
        else if (kind == CaseKind.Late) settleLate(deal, key, state, it.amount);
        else if (kind == CaseKind.Demand) settleDefault(deal, key, state, it.amount);
        else settleVoid(deal, key, state, it.amount);
    }

    /// @inheritdoc IMarket
    function expire(Deal calldata deal) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireNotBefore(deal.expiry + grace);
        if (state.claims != 0 || state.lates != 0 || state.challenges != 0) revertBusy(state);
        endDeal(deal, id, state, Ending.Expired, 0);
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

    // ───────────────────────────────────────── the court ─────────────────────────────────────────

    /// @inheritdoc IMarket
    function hold(Deal calldata deal, bytes32 game, uint64 deadline) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.court);
        // A claim that is demanded at the last moment can be shown an `answerWindow` later, and
        // from then on it stays open for another `challengeWindow`.
        requireChallengeable(deal, state, 2 * challengeWindow + answerWindow);
        uint64 time = uint64(block.timestamp);
        if (deadline <= time || deadline > time + MAX_HOLD) {
            revert HoldOutOfRange(deadline, time + 1, time + MAX_HOLD);
        }

        openCase(CaseKey(id, CaseKind.Hold, game, 0), state, 0, deadline - time, 0);
        emit Held(id, game, deadline);
    }

    /// @inheritdoc IMarket
    function lift(Deal calldata deal, bytes32 game) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.court);
        CaseKey memory key = CaseKey(id, CaseKind.Hold, game, 0);
        endCase(key);
        storeOneLess(key, state);
        emit Lifted(id, game);
    }

    /// @inheritdoc IMarket
    function slash(Deal calldata deal, address convictor) external {
        (bytes32 id, DealState memory state) = loadOpen(deal);
        requireCaller(deal.court);
        endDeal(deal, id, state, Ending.Slashed, 0);
        if (convictor == deal.requester) return;
        // A part of what the requester has just got: as much is burned, whoever convicts.
        transfer(deal.requester, convictor, Pricing.share(deal.collateral, BOUNTY_BPS));
    }

    // ─────────────────────────────────────────── views ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function dealState(bytes32 deal) external view returns (DealState memory) {
        return deals[deal];
    }

    /// @inheritdoc IMarket
    function caseState(bytes32 deal, CaseKind kind, bytes32 subject, uint32 task)
        external
        view
        returns (Case memory)
    {
        return cases[placeOf(CaseKey(deal, kind, subject, task))];
    }

    /// @inheritdoc IMarket
    function domainSeparator() public view override(EIP712, IMarket) returns (bytes32) {
        return EIP712.domainSeparator();
    }

    // ───────────────────────────────────── internal: checks ──────────────────────────────────────

    function requireCaller(address required) private view {
        if (msg.sender != required) revert Unauthorized(msg.sender, required);
    }

    function requireNotBefore(uint64 start) private view {
        if (block.timestamp < start) revert TooEarly(uint64(block.timestamp), start);
    }

    function requireBefore(uint64 end) private view {
        if (block.timestamp >= end) revert TooLate(uint64(block.timestamp), end);
    }

    /// Reverts from `expiry + grace` on, or `longer` seconds later while the deal has an open
    /// claim.
    function requireChallengeable(Deal calldata deal, DealState memory state, uint64 longer)
        private
        view
    {
        requireBefore(deal.expiry + grace + (state.claims == 0 ? 0 : longer));
    }

    function requireSignature(address key, bytes32 structHash, bytes calldata signature)
        private
        view
    {
        bytes32 digest = digestOf(structHash);
        if (!Signatures.isByKey(key, digest, signature)) revert InvalidSignature(key, digest);
    }

    /// Returns the id and the state of a deal. Reverts unless the deal is open.
    function loadOpen(Deal calldata deal)
        private
        view
        returns (bytes32 id, DealState memory state)
    {
        id = deal.hash();
        state = deals[id];
        if (state.status != DealStatus.Open) revert DealNotOpen(id, state.status);
    }

    /// Returns an order's hash. Reverts unless it is of this deal and not below its watermark.
    function requireUnsettled(bytes32 id, DealState memory state, Order calldata order)
        private
        pure
        returns (bytes32)
    {
        if (order.deal != id) revert WrongDeal(id, order.deal);
        if (order.tasks == 0 || order.tasks > MAX_ORDER_TASKS) revert TasksOutOfRange(order.tasks);
        if (order.seq < state.orders) revert OrderSettled(order.seq, state.orders);
        return order.hash();
    }

    /// Reverts unless the receipt says so of `task`. The deal needs no check here, for a demand
    /// exists only for receipts of orders of its deal.
    function requireLeaf(
        Order calldata order,
        Receipt calldata receipt,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof
    ) private pure {
        bytes32 orderHash = order.hash();
        if (receipt.order != orderHash) revert WrongOrder(orderHash, receipt.order);
        SumTree.requireLeaf(receipt, order.tasks, task, halted.hash(), fuel, proof);
        uint64 used = halted.fuelUsed(order.fuelLimit);
        if (fuel != used) revert WrongFuel(fuel, used);
    }

    function requireOutput(Halted calldata halted, bytes calldata output) private pure {
        bool isShown = halted.outLen <= MAX_REVEAL_BYTES;
        uint256 length = isShown ? halted.outLen : 0;
        if (output.length != length) revert WrongOutputLength(output.length, halted.outLen);
        if (!isShown) return;
        bytes32 outHash = HaltedLib.outputHash(output);
        if (outHash != halted.outHash) revert WrongOutput(outHash, halted.outHash);
    }

    function revertBusy(DealState memory state) private pure {
        revert DealBusy(state.claims, state.lates, state.challenges);
    }

    /// Returns the deal that the caller opens. It follows from ask and terms alone, so its id is
    /// known before the transaction.
    function dealFrom(Ask calldata ask, bytes32 askHash, Terms calldata terms)
        private
        view
        returns (Deal memory deal)
    {
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

    // ────────────────────────────────────── internal: money ──────────────────────────────────────

    /// Raises `state.paid` to `total`, at most to the budget, and returns by how much. The caller
    /// stores `state` and credits the provider.
    function pay(Deal calldata deal, DealState memory state, uint256 total)
        private
        pure
        returns (uint128 owed)
    {
        uint128 paid = total < deal.budget ? uint128(total) : deal.budget;
        if (paid <= state.paid) return 0;
        owed = paid - state.paid;
        state.paid = paid;
    }

    /// Returns the watermark for that many orders. Nobody can sign as many as the highest one
    /// covers.
    function toWatermark(uint64 orders) private pure returns (uint48) {
        return orders < type(uint48).max ? uint48(orders) : type(uint48).max;
    }

    /// Pays out all money in the deal, and closes it for ever. `owed` is what the provider is paid
    /// besides.
    function endDeal(
        Deal calldata deal,
        bytes32 id,
        DealState memory state,
        Ending ending,
        uint128 owed
    ) private {
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
        (state.claims, state.lates, state.challenges) = (0, 0, 0);
        deals[id] = state;
        credit(deal.requester, toRequester);
        Account storage seller = accounts[deal.provider];
        uint128 balance = seller.balance + owed + toProvider;
        unchecked {
            // The deal was counted when it opened.
            (seller.balance, seller.openDeals, seller.everCredited) =
            (balance, seller.openDeals - 1, true);
        }
        if (burned != 0) credit(BURNED, burned);
        emit DealClosed(id, ending, state.paid, toRequester, toProvider, burned);
    }

    // ────────────────────────────────────── internal: cases ──────────────────────────────────────

    /// Returns where a case is stored: keccak of the key's four words.
    function placeOf(CaseKey memory key) private pure returns (bytes32 place) {
        assembly ("memory-safe") {
            place := keccak256(key, 128)
        }
    }

    /// Opens a case and counts it. `amount` is the fee of a claim, or the bond of a notice or
    /// demand.
    function openCase(
        CaseKey memory key,
        DealState memory state,
        uint64 seq,
        uint64 window,
        uint128 amount
    ) private returns (uint64 deadline) {
        Case storage it = cases[placeOf(key)];
        if (it.status != CaseStatus.None) revert CaseExists(key.kind, key.subject, key.task);
        deadline = uint64(block.timestamp) + window;
        (it.status, it.deadline, it.seq, it.amount) =
        (CaseStatus.Open, uint40(deadline), seq, amount);
        storeOneMore(key, state);
    }

    /// Ends a case. Reverts unless it is open. The caller counts it, or closes its deal.
    function endCase(CaseKey memory key) private returns (Case memory it) {
        bytes32 place = placeOf(key);
        it = cases[place];
        if (it.status != CaseStatus.Open) {
            revert CaseNotOpen(key.kind, key.subject, key.task, it.status);
        }
        cases[place].status = CaseStatus.Ended;
    }

    /// Ends a case that the provider has answered in time, and gives it the bond.
    function stopCase(Deal calldata deal, CaseKey memory key, DealState memory state) private {
        Case memory it = endCase(key);
        requireBefore(it.deadline);
        storeOneLess(key, state);
        credit(deal.provider, it.amount);
    }

    /// Stores the deal's state with one more open case.
    function storeOneMore(CaseKey memory key, DealState memory state) private {
        if (key.kind == CaseKind.Claim) ++state.claims;
        else if (key.kind == CaseKind.Late) ++state.lates;
        else ++state.challenges;
        deals[key.deal] = state;
    }

    /// Stores the deal's state with one open case less.
    function storeOneLess(CaseKey memory key, DealState memory state) private {
        if (key.kind == CaseKind.Claim) --state.claims;
        else if (key.kind == CaseKind.Late) --state.lates;
        else --state.challenges;
        deals[key.deal] = state;
    }

    /// Pays the claim's fee, or as much of it as the budget has left.
    function settleClaim(
        Deal calldata deal,
        CaseKey memory key,
        DealState memory state,
        uint128 fee
    ) private {
        if (state.challenges != 0) revertBusy(state);
        uint128 owed = pay(deal, state, uint256(state.paid) + fee);
        storeOneLess(key, state);
        credit(deal.provider, owed);
        emit CaseSettled(key.deal, key.subject, key.kind, key.task, CaseOutcome.Paid, owed);
    }

    /// Ends the deal. Open claims come first, so that work done before is paid.
    function settleLate(
        Deal calldata deal,
        CaseKey memory key,
        DealState memory state,
        uint128 bond
    ) private {
        if (state.challenges != 0 || state.claims != 0) revertBusy(state);
        settleDefault(deal, key, state, bond);
    }

    /// Ends a case in which nothing is at stake any more.
    function settleVoid(
        Deal calldata deal,
        CaseKey memory key,
        DealState memory state,
        uint128 amount
    ) private {
        storeOneLess(key, state);
        returnBond(deal, key, amount);
    }

    /// Gives the requester its bond back and ends the deal: the provider has not answered.
    function settleDefault(
        Deal calldata deal,
        CaseKey memory key,
        DealState memory state,
        uint128 bond
    ) private {
        credit(deal.requester, bond);
        emit CaseSettled(key.deal, key.subject, key.kind, key.task, CaseOutcome.Defaulted, bond);
        Ending ending = key.kind == CaseKind.Late ? Ending.Late : Ending.Withheld;
        endDeal(deal, key.deal, state, ending, 0);
    }

    /// Gives back the bond of a void case. A claim has none: its amount is an unpaid fee.
    function returnBond(Deal calldata deal, CaseKey memory key, uint128 amount) private {
        uint128 bond = key.kind == CaseKind.Claim ? 0 : amount;
        credit(deal.requester, bond);
        emit CaseSettled(key.deal, key.subject, key.kind, key.task, CaseOutcome.Void, bond);
    }

    /// Keeps the order's claim open for another window: the court can still judge what was shown.
    function extendClaim(bytes32 id, bytes32 orderHash) private {
        Case storage it = cases[placeOf(CaseKey(id, CaseKind.Claim, orderHash, 0))];
        uint64 deadline = uint64(block.timestamp) + challengeWindow;
        if (it.status == CaseStatus.Open && it.deadline < deadline) it.deadline = uint40(deadline);
    }

    /// Records, once and for all, which receipt the provider stands by for this order.
    function assertReceipt(
        Deal calldata deal,
        Order calldata order,
        bytes32 orderHash,
        Receipt calldata receipt
    ) private {
        if (receipt.order != orderHash) {
            revert WrongOrder(orderHash, receipt.order);
        }
        uint128 maxFuel = uint128(order.tasks) * order.fuelLimit;
        if (receipt.fuel > maxFuel) revert FuelTooHigh(receipt.fuel, maxFuel);
        uint128 fee = Pricing.fee(deal.price, deal.taskFee, receipt.fuel, order.tasks);
        if (receipt.fee != fee) revert WrongFee(receipt.fee, fee);
        bytes32 receiptHash = receipt.hash();
        bytes32 asserted = assertedReceipt[orderHash];
        if (asserted != 0 && asserted != receiptHash) {
            revert ReceiptConflict(asserted, receiptHash);
        }
        assertedReceipt[orderHash] = receiptHash;
    }
}
