// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import {
    Case,
    CaseKind,
    CaseStatus,
    DealState,
    DealStatus,
    IMarket,
    Terms
} from "../../src/market/IMarket.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { Ack } from "../../src/types/Ack.sol";
import { Ask } from "../../src/types/Ask.sol";
import { Cancel } from "../../src/types/Cancel.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Release } from "../../src/types/Release.sol";
import { Voucher } from "../../src/types/Voucher.sol";
import { Fixture } from "../base/Fixture.sol";
import { vm } from "../base/Vm.sol";
import { FlipWallet, NoWallet } from "../base/Wallets.sol";

/// Makes any move that the specification allows, in any order, for two providers and two
/// requesters. A move whose precondition holds must not revert (`fail_on_revert`): the
/// preconditions below are the specification once more.
///
/// One provider and one requester, or all accounts, are contracts that change their minds. Orders
/// have 1, 2, 3 and 5 tasks; one in three receipts is made up, and can't be shown.
contract Handler is Fixture {
    struct OpenedCase {
        uint256 deal;
        CaseKind kind;
        bytes32 subject;
        uint32 task;
        uint64 seq;
        /// Which receipt it is about.
        uint256 version;
    }

    uint256 constant MAX_DEALS = 8;
    uint64 constant SEQS = 4;
    uint64 constant MAX_HOLD = 30 days;
    /// Two providers, two requesters, a stranger, and whoever may take what is allowed.
    uint256 constant ACTORS = 6;

    /// Whether all accounts are contracts; else one provider and one requester are.
    bool private immutable ONLY_CONTRACTS;
    /// Of the accounts, or of the contracts' owners.
    uint256[4] accountKeys = [PROVIDER, PROVIDER + 1, REQUESTER, REQUESTER + 1];
    /// What each signs with in its deals.
    uint256[4] keys = [PROVIDER_KEY, PROVIDER_KEY + 100, REQUESTER_KEY, REQUESTER_KEY + 100];
    address[ACTORS] actors;
    /// Whether a contract says yes.
    bool[4] agrees = [true, true, true, true];
    Deal[] private deals;
    OpenedCase[] private cases;
    uint64 time = START;
    /// Highest `paid` seen per deal.
    mapping(uint256 deal => uint128) paidBefore;

    constructor(bool onlyContracts) {
        ONLY_CONTRACTS = onlyContracts;
    }

    function setUp() public override {
        super.setUp();
        (actors[0], actors[2], actors[4]) = (provider, requester, stranger);
        actors[1] = address(new FlipWallet(vm.addr(accountKeys[1])));
        actors[3] = address(new FlipWallet(vm.addr(accountKeys[3])));
        actors[5] = address(0x5BE);
        if (ONLY_CONTRACTS) {
            (actors[4], actors[5]) = (address(new NoWallet()), address(new NoWallet()));
            replace(0);
            replace(2);
        }
        fund(actors[1], WEALTH);
        fund(actors[3], WEALTH);
        openDeal(0, 500e6, 1 days, 0);
        openDeal(3, 900e6, 2 hours, 600);
    }

    // ─────────────────────────────────────────── moves ───────────────────────────────────────────

    /// A contract of the same owner takes the place of an account that is a key.
    function replace(uint256 who) private {
        address key = actors[who];
        actors[who] = address(new FlipWallet(key));
        vm.prank(key);
        market.give(actors[who], WEALTH);
    }

    /// Small steps, or right to the edge of a deadline: the moment before, at, or after it.
    function pass(uint256 seed, uint64 step) external {
        uint64 edge = time + step % 600;
        if (seed % 3 == 0 && cases.length != 0) {
            edge = caseAt(seed % cases.length).deadline + step % 3 - 1;
        }
        if (seed % 12 == 1) edge = deals[seed % deals.length].expiry + GRACE + step % 3 - 1;
        if (edge > time) vm.warp(time = edge);
    }

    function moveMoney(uint256 seed, uint128 amount) external {
        address owner = actors[seed % ACTORS];
        address other = actors[seed / 8 % ACTORS];
        uint256 way = seed / 64 % 5;
        if (way == 0) return fund(owner, amount % WEALTH);
        amount %= balance(owner) / 4 + 1;
        uint256 others = balancesBut(owner, other);
        uint256 pair = uint256(balance(owner)) + (other == owner ? 0 : balance(other));
        if (way == 1) {
            vm.prank(owner);
            market.withdraw(other, amount);
            vm.assertEq(
                balance(owner) + (other == owner ? 0 : balance(other)), pair - amount, "withdrawn"
            );
        } else if (way == 2) {
            vm.prank(owner);
            market.give(other, amount);
            vm.assertEq(balance(owner) + (other == owner ? 0 : balance(other)), pair, "given");
        } else if (way == 3) {
            vm.prank(owner);
            market.allow(other, seed % 7 == 0 ? type(uint128).max : amount);
        } else {
            uint128 left = market.allowance(owner, other);
            if (amount > left) amount = left;
            vm.prank(other);
            market.take(owner, amount);
            bool forEver = left == type(uint128).max;
            vm.assertEq(market.allowance(owner, other), forEver ? left : left - amount, "allowance");
        }
        vm.assertEq(balancesBut(owner, other), others, "others' accounts");
    }

    /// A contract changes its mind about everything that it ever signed.
    function flip(uint256 seed) external {
        uint256 who = ONLY_CONTRACTS ? seed % 4 : seed % 2 == 0 ? 1 : 3;
        FlipWallet(actors[who]).flip();
        agrees[who] = !agrees[who];
    }

    function openDeal(uint256 seed, uint128 budget, uint32 duration, uint64 ago) public {
        if (deals.length == MAX_DEALS) return;
        uint256 seller = seed % 2;
        uint256 buyer = 2 + seed / 2 % 2;
        Ask memory ask = askOf(seller);
        Terms memory terms = Terms({
            key: vm.addr(keys[buyer]),
            budget: ask.minBudget + budget % 1000e6,
            openedAt: time - ago % 601,
            duration: 601 + duration % 2 days,
            maxPrice: type(uint128).max,
            salt: uint64(deals.length)
        });
        if (balance(actors[buyer]) < terms.budget || balance(actors[seller]) < terms.budget / 2) {
            return;
        }
        if (openDealsOf(actors[seller]) == ask.capacity) return;
        bytes memory signature = sign(accountKeys[seller], h(ask));
        if (!agrees[seller]) {
            refuse(
                actors[buyer],
                abi.encodeWithSelector(
                    IMarket.InvalidSignature.selector, actors[seller], digest(h(ask))
                )
            );
            market.open(ask, signature, terms);
            return;
        }
        Deal memory deal = aDeal();
        (deal.ask, deal.requester, deal.provider) = (h(ask), actors[buyer], actors[seller]);
        (deal.requesterKey, deal.providerKey) = (terms.key, ask.key);
        (deal.budget, deal.collateral, deal.latePenalty) =
        (terms.budget, terms.budget / 2, (terms.budget / 2) * 2000 / 10_000);
        (deal.openedAt, deal.expiry, deal.salt) =
        (terms.openedAt, terms.openedAt + terms.duration, terms.salt);
        vm.prank(actors[buyer]);
        vm.assertEq(market.open(ask, signature, terms), h(deal), "deal as predicted");
        deals.push(deal);
    }

    function redeemSome(uint256 seed, uint128 amount, uint64 orders, uint8 last) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found) return;
        Voucher memory voucher =
            Voucher(h(deal), amount % (deal.budget * 2), orders % (SEQS + 1), last % 16 == 0);
        bytes memory signature = sign(requestersKey(deal), h(voucher));
        uint256 others = balancesOfOthers(deal);
        vm.prank(deal.provider);
        market.redeem(deal, voucher, signature);
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    function closeSome(uint256 seed, uint128 amount) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || seed % 16 != 0) return;
        Release memory release = Release(h(deal), amount % (deal.budget * 2));
        bytes memory signature = sign(providersKey(deal), h(release));
        uint256 others = balancesOfOthers(deal);
        vm.prank(deal.requester);
        market.close(deal, release, signature);
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    function claimSome(uint256 seed, uint64 seq) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || time >= deal.expiry + GRACE) return;
        Order memory order = orderOf(deal, seq % SEQS);
        if (
            order.seq < stateOf(deal).orders
                || statusOf(deal, CaseKind.Claim, h(order), 0) != CaseStatus.None
        ) return;
        bytes memory signature = sign(requestersKey(deal), h(order));
        (uint256 version, Receipt memory receipt) = assertable(order, seed / 256);
        vm.prank(deal.provider);
        market.claim(deal, order, signature, receipt);
        remember(CaseKind.Claim, h(order), 0, order.seq, version);
    }

    function lateSome(uint256 seed, uint64 seq) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || time >= deal.expiry + GRACE || balance(deal.requester) < BOND) return;
        Order memory order = orderOf(deal, seq % SEQS);
        if (
            order.seq < stateOf(deal).orders
                || statusOf(deal, CaseKind.Late, h(order), 0) != CaseStatus.None
        ) return;
        if (market.assertedReceipt(h(order)) != 0) return;
        Ack memory ack = Ack(h(order), time);
        bytes memory signature = sign(providersKey(deal), h(ack));
        vm.prank(deal.requester);
        market.late(deal, order, ack, signature);
        remember(CaseKind.Late, h(order), 0, order.seq, 0);
    }

    function demandSome(uint256 seed, uint64 seq, uint32 task) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        uint64 end = deal.expiry + GRACE + (found && stateOf(deal).claims != 0 ? CHALLENGE : 0);
        if (!found || time >= end || balance(deal.requester) < BOND) return;
        Order memory order = orderOf(deal, seq % SEQS);
        uint256 version = seed / 256 % 3;
        Receipt memory receipt = receiptOf(order, version);
        task %= order.tasks;
        if (order.seq < stateOf(deal).orders) return;
        if (statusOf(deal, CaseKind.Demand, h(receipt), task) != CaseStatus.None) return;
        bytes memory signature = sign(providersKey(deal), h(receipt));
        if (market.assertedReceipt(h(order)) == h(receipt)) signature = "";
        vm.prank(deal.requester);
        market.demand(deal, order, receipt, signature, task);
        remember(CaseKind.Demand, h(receipt), task, order.seq, version);
    }

    function holdSome(uint256 seed, uint64 length) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        uint64 more = found && stateOf(deal).claims != 0 ? 2 * CHALLENGE + ANSWER : 0;
        if (!found || time >= deal.expiry + GRACE + more) return;
        bytes32 game = bytes32(cases.length);
        vm.prank(court);
        market.hold(deal, game, time + 1 + length % (length % 8 == 0 ? MAX_HOLD : 1 hours));
        remember(CaseKind.Hold, game, 0, 0, 0);
    }

    /// answer, excuse, reveal, lift: the move that ends an open case before its deadline, by the
    /// provider or by a stranger.
    function stopSome(uint256 seed) external {
        (OpenedCase memory it, Deal memory deal, bool found) = openedCase(seed, false);
        if (!found || stateOf(deal).status != DealStatus.Open) return;
        Case memory state = market.caseState(h(deal), it.kind, it.subject, it.task);
        if (it.kind == CaseKind.Hold) {
            vm.prank(court);
            return market.lift(deal, it.subject);
        }
        if (time >= state.deadline || it.kind == CaseKind.Claim) return;
        Order memory order = orderOf(deal, it.seq);
        address sender = seed / 16 % 2 == 0 ? deal.provider : stranger;
        uint128 had = balance(deal.provider);
        uint256 others = balancesBut(deal.provider, deal.provider);
        if (it.kind == CaseKind.Demand) {
            if (!showTask(deal, order, it, sender)) return;
        } else if (seed / 32 % 2 == 0) {
            (, Receipt memory receipt) = assertable(order, seed / 256);
            bytes memory signature =
                sender == stranger ? sign(providersKey(deal), h(receipt)) : bytes("");
            vm.prank(sender);
            market.answer(deal, order, receipt, signature);
        } else {
            bytes memory signature = sign(requestersKey(deal), h(Cancel(h(order))));
            vm.prank(sender);
            market.excuse(deal, Cancel(h(order)), signature);
        }
        vm.assertEq(balance(deal.provider), had + BOND, "bond goes to the one who answered");
        vm.assertEq(balancesBut(deal.provider, deal.provider), others, "others' accounts");
    }

    /// What a reveal brings to light stays in reach of the court for a whole window; what was made
    /// up can't be shown.
    function showTask(Deal memory deal, Order memory order, OpenedCase memory it, address sender)
        private
        returns (bool)
    {
        bytes memory call = abi.encodeCall(
            IMarket.reveal,
            (
                deal,
                order,
                receiptOf(order, it.version),
                it.task,
                uint64(fuelOf(it.task)),
                haltedOf(it.task),
                proofOf(order, endsOf(order), it.task),
                output(it.task)
            )
        );
        if (it.version != 0) {
            vm.prank(sender);
            (bool ok,) = address(market).call(call);
            vm.assertFalse(ok, "a made-up receipt was shown");
            return false;
        }
        bytes[] memory calls = new bytes[](2);
        calls[0] = call;
        calls[1] = abi.encodeCall(IMarket.settle, (deal, CaseKind.Claim, h(order), 0));
        bool claimed = statusOf(deal, CaseKind.Claim, h(order), 0) == CaseStatus.Open;
        if (claimed && order.seq >= stateOf(deal).orders) {
            vm.prank(sender);
            try market.multicall(calls) {
                revert("shown and settled at once");
            } catch { }
        }
        assembly ("memory-safe") {
            mstore(calls, 1)
        }
        vm.prank(sender);
        market.multicall(calls);
        Case memory claim_ = market.caseState(h(deal), CaseKind.Claim, h(order), 0);
        if (claimed) vm.assertGe(claim_.deadline, time + CHALLENGE, "a whole window");
        return true;
    }

    function settleSome(uint256 seed) external {
        (OpenedCase memory it, Deal memory deal, bool found) = openedCase(seed, true);
        if (!found) return;
        uint128[ACTORS] memory had = allBalances();
        vm.prank(stranger);
        market.settle(deal, it.kind, it.subject, it.task);
        checkNobodyHasLess(had);
    }

    /// Several things in one transaction, as one who is stopped from nothing: redeem, then claim,
    /// then withdraw.
    function severalAtOnce(uint256 seed, uint128 amount, uint64 seq) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || time >= deal.expiry + GRACE) return;
        Voucher memory voucher = Voucher(h(deal), amount % deal.budget, 1, false);
        Order memory order = orderOf(deal, 1 + seq % (SEQS - 1));
        if (
            order.seq < stateOf(deal).orders
                || statusOf(deal, CaseKind.Claim, h(order), 0) != CaseStatus.None
        ) return;
        (uint256 version, Receipt memory receipt) = assertable(order, seed / 256);
        bytes[] memory calls = new bytes[](4);
        calls[0] =
            abi.encodeCall(IMarket.redeem, (deal, voucher, sign(requestersKey(deal), h(voucher))));
        calls[1] = abi.encodeCall(
            IMarket.claim, (deal, order, sign(requestersKey(deal), h(order)), receipt)
        );
        calls[2] = abi.encodeCall(IMarket.withdraw, (deal.provider, balance(deal.provider) / 8));
        calls[3] = abi.encodeCall(IMarket.give, (deal.provider, balance(deal.provider) / 8));
        vm.prank(deal.provider);
        market.multicall(calls);
        remember(CaseKind.Claim, h(order), 0, order.seq, version);
    }

    function expireSome(uint256 seed) external {
        for (uint256 i = 0; i < deals.length; ++i) {
            Deal memory deal = deals[(seed % deals.length + i) % deals.length];
            DealState memory state = stateOf(deal);
            if (
                state.status != DealStatus.Open
                    || state.claims + state.lates + state.challenges != 0
            ) continue;
            if (time < deal.expiry + GRACE) continue;
            uint128 had = balance(deal.provider);
            uint128[ACTORS] memory all = allBalances();
            vm.prank(stranger);
            market.expire(deal);
            vm.assertEq(
                balance(deal.provider), had + deal.collateral, "whole collateral comes back"
            );
            checkNobodyHasLess(all);
            return;
        }
    }

    function slashSome(uint256 seed) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || seed % 16 != 0) return;
        address convictor = actors[seed / 16 % ACTORS];
        uint128[ACTORS] memory had = allBalances();
        (uint128 hadProvider, uint128 burned) = (balance(deal.provider), balance(DEAD));
        (uint128 hadConvictor, uint128 paid) = (balance(convictor), stateOf(deal).paid);
        vm.prank(court);
        market.slash(deal, convictor);
        checkNobodyHasLess(had);
        uint128 bounty = convictor == deal.requester ? 0 : deal.collateral / 5;
        if (convictor != deal.provider) {
            vm.assertEq(balance(deal.provider), hadProvider, "the guilty get nothing");
        }
        if (bounty != 0) vm.assertEq(balance(convictor), hadConvictor + bounty, "bounty");
        vm.assertGe(
            uint256(balance(DEAD) - burned) * 10, uint256(deal.collateral) * 3, "30 % burned"
        );
        vm.assertEq(stateOf(deal).paid, paid, "nothing is paid");
    }

    // ────────────────────────────────────────── checks ───────────────────────────────────────────

    /// Token balance = Σ accounts + Σ open deals (budget − paid + collateral) + Σ bonds of open
    /// cases.
    function checkConservation() external view {
        uint256 sum = balance(DEAD);
        for (uint256 i = 0; i < ACTORS; ++i) {
            sum += balance(actors[i]);
        }
        for (uint256 i = 0; i < deals.length; ++i) {
            DealState memory state = stateOf(deals[i]);
            if (state.status == DealStatus.Open) {
                sum += deals[i].budget - state.paid + deals[i].collateral;
            }
        }
        for (uint256 i = 0; i < cases.length; ++i) {
            Case memory it = caseAt(i);
            if (it.status != CaseStatus.Open || cases[i].kind == CaseKind.Claim) continue;
            sum += it.amount;
        }
        vm.assertEq(token.balanceOf(address(market)), sum, "conservation");
    }

    /// No deal pays more than its budget, or takes back what it paid.
    function checkPaid() external {
        for (uint256 i = 0; i < deals.length; ++i) {
            uint128 paid = stateOf(deals[i]).paid;
            vm.assertLe(paid, deals[i].budget, "paid within the budget");
            vm.assertGe(paid, paidBefore[i], "paid only rises");
            paidBefore[i] = paid;
        }
    }

    /// The counts in a deal are the numbers of its open cases, that in an account the number of its
    /// open deals.
    function checkCounts() external view {
        uint32[3][MAX_DEALS] memory counts;
        for (uint256 i = 0; i < cases.length; ++i) {
            if (caseAt(i).status != CaseStatus.Open) continue;
            counts[cases[i].deal][cases[i].kind == CaseKind.Hold ? 2 : uint8(cases[i].kind)] += 1;
        }
        uint32[2] memory running;
        for (uint256 i = 0; i < deals.length; ++i) {
            DealState memory state = stateOf(deals[i]);
            vm.assertTrue(state.status != DealStatus.None, "a deal is never forgotten");
            if (state.status == DealStatus.Open) {
                running[deals[i].provider == actors[0] ? 0 : 1] += 1;
            } else {
                counts[i] = [uint32(0), 0, 0];
            }
            vm.assertEq(state.claims, counts[i][0], "claims");
            vm.assertEq(state.lates, counts[i][1], "late notices");
            vm.assertEq(state.challenges, counts[i][2], "challenges");
        }
        vm.assertEq(openDealsOf(actors[0]), running[0], "open deals of the first provider");
        vm.assertEq(openDealsOf(actors[1]), running[1], "open deals of the second provider");
    }

    /// Nothing is stuck: when the last deadline has passed, a stranger ends all cases and deals,
    /// and everybody withdraws everything.
    function checkExit() external {
        uint64 last = time;
        for (uint256 i = 0; i < deals.length; ++i) {
            uint64 end = deals[i].expiry + GRACE + 2 * CHALLENGE + ANSWER + MAX_HOLD;
            if (end > last) last = end;
        }
        vm.warp(time = last);
        CaseKind[4] memory kinds = [CaseKind.Hold, CaseKind.Demand, CaseKind.Claim, CaseKind.Late];
        for (uint256 k = 0; k < 4; ++k) {
            for (uint256 i = 0; i < cases.length; ++i) {
                if (cases[i].kind != kinds[k] || caseAt(i).status != CaseStatus.Open) continue;
                market.settle(deals[cases[i].deal], cases[i].kind, cases[i].subject, cases[i].task);
            }
        }
        for (uint256 i = 0; i < deals.length; ++i) {
            if (stateOf(deals[i]).status == DealStatus.Open) market.expire(deals[i]);
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            uint128 all = balance(actors[i]);
            vm.prank(actors[i]);
            market.withdraw(actors[i], all);
        }
        vm.assertEq(token.balanceOf(address(market)), balance(DEAD), "only burned money is left");
    }

    // ────────────────────────────────────── what was worked ──────────────────────────────────────

    function haltedOf(uint32 task) private pure returns (Halted memory halted) {
        halted = aHalted(task % 2);
        halted.exitCode = task;
    }

    function output(uint32 task) internal pure override returns (bytes memory) {
        return super.output(task % 2);
    }

    function fuelOf(uint32 task) private pure returns (uint128) {
        return task % 2 == 0 ? 4e12 : 6e12;
    }

    function endsOf(Order memory order) private pure returns (SumNode[] memory ends) {
        ends = new SumNode[](uint256(1) << heightOf(order.tasks));
        for (uint32 i = 0; i < order.tasks; ++i) {
            ends[i] = SumNode(h(haltedOf(i)), fuelOf(i));
        }
    }

    /// The right one; or a root that stands for nothing; or a total that is not the sum.
    function receiptOf(Order memory order, uint256 version)
        private
        pure
        returns (Receipt memory receipt)
    {
        SumNode[][] memory tree = treeOf(order, endsOf(order));
        SumNode memory root = tree[tree.length - 1][0];
        if (version == 1) root.hash = keccak256(abi.encode("made up", order));
        if (version == 2) root.fuel -= 1e12;
        uint128 fee = uint128(uint256(4e6) * root.fuel / 1e12) + order.tasks * 1e6;
        return Receipt(h(order), root.hash, root.fuel, fee);
    }

    /// The receipt that the provider has asserted for this order, or else some version of it.
    function assertable(Order memory order, uint256 seed)
        private
        view
        returns (uint256 version, Receipt memory receipt)
    {
        bytes32 asserted = market.assertedReceipt(h(order));
        for (version = 0; version < 3; ++version) {
            receipt = receiptOf(order, version);
            if (h(receipt) == asserted) return (version, receipt);
        }
        version = seed % 3;
        receipt = receiptOf(order, version);
    }

    function orderOf(Deal memory deal, uint64 seq) private pure returns (Order memory order) {
        order.deal = h(deal);
        order.seq = seq;
        order.tasks = [uint32(1), 2, 3, 5][seq % 4];
        order.fuelLimit = FUEL;
    }

    // ────────────────────────────────────────── helpers ──────────────────────────────────────────

    function settleable(OpenedCase memory it, Deal memory deal) private view returns (bool) {
        DealState memory state = stateOf(deal);
        if (state.status == DealStatus.Closed) return true;
        if (it.kind != CaseKind.Hold && it.seq < state.orders) return true;
        if (time < market.caseState(h(deal), it.kind, it.subject, it.task).deadline) return false;
        if (it.kind == CaseKind.Claim) return state.challenges == 0;
        if (it.kind == CaseKind.Late) return state.challenges == 0 && state.claims == 0;
        return true;
    }

    uint256 private chosen;

    function openedDeal(uint256 seed) private returns (Deal memory deal, bool found) {
        // The first open one from a random place on.
        for (uint256 i = 0; i < deals.length && !found; ++i) {
            chosen = (seed % deals.length + i) % deals.length;
            deal = deals[chosen];
            found = stateOf(deal).status == DealStatus.Open;
        }
    }

    /// The first open one from a random place on; if asked for, one that can be settled now.
    function openedCase(uint256 seed, bool ripe)
        private
        view
        returns (OpenedCase memory it, Deal memory deal, bool found)
    {
        for (uint256 i = 0; i < cases.length && !found; ++i) {
            it = cases[(seed % cases.length + i) % cases.length];
            deal = deals[it.deal];
            found = statusOf(deal, it.kind, it.subject, it.task) == CaseStatus.Open
                && (!ripe || settleable(it, deal));
        }
    }

    function remember(CaseKind kind, bytes32 subject, uint32 task, uint64 seq, uint256 version)
        private
    {
        cases.push(OpenedCase(chosen, kind, subject, task, seq, version));
    }

    function providersKey(Deal memory deal) private view returns (uint256) {
        return keys[deal.provider == actors[0] ? 0 : 1];
    }

    function requestersKey(Deal memory deal) private view returns (uint256) {
        return keys[deal.requester == actors[2] ? 2 : 3];
    }

    function askOf(uint256 seller) private view returns (Ask memory ask) {
        ask = anAsk();
        (ask.provider, ask.key) = (actors[seller], vm.addr(keys[seller]));
        (ask.from, ask.to) = (0, type(uint64).max);
        (ask.priceStart, ask.priceEnd) = (4e6, 4e6);
        ask.capacity = 3;
    }

    function stateOf(Deal memory deal) private view returns (DealState memory) {
        return market.dealState(h(deal));
    }

    function statusOf(Deal memory deal, CaseKind kind, bytes32 subject, uint32 task)
        private
        view
        returns (CaseStatus)
    {
        return market.caseState(h(deal), kind, subject, task).status;
    }

    function caseAt(uint256 i) private view returns (Case memory) {
        return
            market.caseState(
                h(deals[cases[i].deal]), cases[i].kind, cases[i].subject, cases[i].task
            );
    }

    function allBalances() private view returns (uint128[ACTORS] memory all) {
        for (uint256 i = 0; i < ACTORS; ++i) {
            all[i] = balance(actors[i]);
        }
    }

    /// A stranger's call lowers nobody's account.
    function checkNobodyHasLess(uint128[ACTORS] memory had) private view {
        for (uint256 i = 0; i < ACTORS; ++i) {
            vm.assertGe(balance(actors[i]), had[i], "a stranger's call lowers nobody's account");
        }
    }

    /// Everybody's accounts but those of the deal's parties and the burned money.
    function balancesOfOthers(Deal memory deal) private view returns (uint256) {
        return balancesBut(deal.requester, deal.provider);
    }

    function balancesBut(address one, address other) private view returns (uint256 sum) {
        for (uint256 i = 0; i < ACTORS; ++i) {
            if (actors[i] != one && actors[i] != other) sum += balance(actors[i]);
        }
    }
}
