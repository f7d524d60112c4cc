// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Case, CaseKind, CaseStatus, DealState, DealStatus, IMarket, Terms } from "../../src/interfaces/IMarket.sol";
import { Ack } from "../../src/types/Ack.sol";
import { Ask } from "../../src/types/Ask.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Release } from "../../src/types/Release.sol";
import { Voucher } from "../../src/types/Voucher.sol";
import { Fixture } from "../base/Fixture.sol";
import { vm } from "../base/Vm.sol";

/// Makes any move that the specification allows, in any order, for two providers and two requesters. A move whose
/// precondition holds must not revert (`fail_on_revert`): the preconditions below are the specification once more.
contract Handler is Fixture {
    struct OpenedCase {
        uint256 deal;
        CaseKind kind;
        bytes32 subject;
        uint32 task;
        uint64 seq;
    }

    uint256 constant MAX_DEALS = 8;
    uint64 constant SEQS = 4;
    uint64 constant MAX_HOLD = 30 days;

    /// Two providers, two requesters.
    uint256[4] keys = [PROVIDER_KEY, PROVIDER_KEY + 1, REQUESTER_KEY, REQUESTER_KEY + 1];
    address[4] actors;
    Deal[] public deals;
    OpenedCase[] public cases;
    uint64 time = START;
    /// Highest `paid` seen per deal.
    mapping(uint256 deal => uint128) paidBefore;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 4; ++i) {
            actors[i] = vm.addr(keys[i]);
        }
        fund(actors[1], WEALTH);
        fund(actors[3], WEALTH);
        openDeal(0, 500e6, 1 days);
        openDeal(3, 900e6, 2 hours);
    }

    // ───────────────────────────────────────────── moves ──────────────────────────────────────────────

    /// Small steps, or right to the edge of a deadline: the moment before, at, or after it.
    function pass(uint256 seed, uint64 step) external {
        uint64 edge = time + step % 600;
        if (seed % 3 == 0 && cases.length != 0) edge = caseAt(seed % cases.length).deadline + step % 3 - 1;
        if (seed % 12 == 1) edge = deals[seed % deals.length].expiry + GRACE + step % 3 - 1;
        if (edge > time) vm.warp(time = edge);
    }

    function moveMoney(uint256 actor, uint128 amount) external {
        address owner = actors[actor % 4];
        if (actor % 8 < 4) return fund(owner, amount % WEALTH);
        amount %= balance(owner) / 4 + 1;
        vm.prank(owner);
        market.withdraw(owner, amount);
    }

    function openDeal(uint256 seed, uint128 budget, uint32 duration) public {
        if (deals.length == MAX_DEALS) return;
        uint256 seller = seed % 2;
        Ask memory ask = askOf(seller);
        Terms memory terms = Terms({
            budget: ask.minBudget + budget % 1000e6,
            duration: 1 + duration % 2 days,
            maxPrice: type(uint128).max,
            salt: uint64(deals.length)
        });
        address buyer = actors[2 + seed / 2 % 2];
        if (balance(buyer) < terms.budget || balance(actors[seller]) < terms.budget / 2) return;
        if (market.askUsed(h(ask)) == ask.capacity) return;
        bytes memory signature = sign(keys[seller], h(ask));
        Deal memory deal = aDeal();
        (deal.ask, deal.requester, deal.provider) = (h(ask), buyer, actors[seller]);
        (deal.budget, deal.collateral, deal.latePenalty) =
        (terms.budget, terms.budget / 2, (terms.budget / 2) * 2000 / 10_000);
        (deal.openedAt, deal.expiry, deal.salt) = (time, time + terms.duration, terms.salt);
        vm.prank(buyer);
        vm.assertEq(market.open(ask, signature, terms), h(deal), "deal as predicted");
        deals.push(deal);
    }

    function redeemSome(uint256 seed, uint128 amount, uint64 orders, uint8 last) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found) return;
        Voucher memory voucher = Voucher(h(deal), amount % (deal.budget * 2), orders % (SEQS + 1), last % 16 == 0);
        bytes memory signature = sign(keyOf(deal.requester), h(voucher));
        uint256 others = balancesOfOthers(deal);
        vm.prank(deal.provider);
        market.redeem(deal, voucher, signature);
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    function closeSome(uint256 seed, uint128 amount) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || seed % 16 != 0) return;
        Release memory release = Release(h(deal), amount % (deal.budget * 2));
        bytes memory signature = sign(keyOf(deal.provider), h(release));
        uint256 others = balancesOfOthers(deal);
        vm.prank(deal.requester);
        market.close(deal, release, signature);
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    function claimSome(uint256 seed, uint64 seq) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || time >= deal.expiry + GRACE) return;
        Order memory order = orderOf(deal, seq % SEQS);
        if (order.seq < stateOf(deal).orders || statusOf(deal, CaseKind.Claim, h(order), 0) != CaseStatus.None) return;
        bytes memory signature = sign(keyOf(deal.requester), h(order));
        vm.prank(deal.provider);
        market.claim(deal, order, signature, aReceipt(order));
        remember(CaseKind.Claim, h(order), 0, order.seq);
    }

    function lateSome(uint256 seed, uint64 seq) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || time >= deal.expiry + GRACE || balance(deal.requester) < BOND) return;
        Order memory order = orderOf(deal, seq % SEQS);
        if (order.seq < stateOf(deal).orders || statusOf(deal, CaseKind.Late, h(order), 0) != CaseStatus.None) return;
        if (market.assertedReceipt(h(order)) != 0) return;
        Ack memory ack = Ack(h(order), time);
        bytes memory signature = sign(keyOf(deal.provider), h(ack));
        vm.prank(deal.requester);
        market.late(deal, order, ack, signature);
        remember(CaseKind.Late, h(order), 0, order.seq);
    }

    function demandSome(uint256 seed, uint64 seq, uint32 task) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || !challengeable(deal) || balance(deal.requester) < BOND) return;
        Order memory order = orderOf(deal, seq % SEQS);
        Receipt memory receipt = aReceipt(order);
        task %= 2;
        if (order.seq < stateOf(deal).orders) return;
        if (statusOf(deal, CaseKind.Demand, h(receipt), task) != CaseStatus.None) return;
        bytes memory signature = sign(keyOf(deal.provider), h(receipt));
        vm.prank(deal.requester);
        market.demand(deal, order, receipt, signature, task);
        remember(CaseKind.Demand, h(receipt), task, order.seq);
    }

    function holdSome(uint256 seed, uint64 length) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || !challengeable(deal)) return;
        bytes32 game = bytes32(cases.length);
        vm.prank(court);
        market.hold(deal, game, time + 1 + length % (length % 8 == 0 ? MAX_HOLD : 1 hours));
        remember(CaseKind.Hold, game, 0, 0);
    }

    /// answer, reveal, lift: the move that ends an open case before its deadline.
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
        Receipt memory receipt = aReceipt(order);
        uint128 had = balance(deal.provider);
        vm.prank(deal.provider);
        if (it.kind == CaseKind.Late) market.answer(deal, order, receipt);
        else revealTask(deal, order, receipt, it.task);
        vm.assertEq(balance(deal.provider), had + BOND, "bond goes to the one who answered");
    }

    function settleSome(uint256 seed) external {
        (OpenedCase memory it, Deal memory deal, bool found) = openedCase(seed, true);
        if (!found) return;
        uint256 others = balancesOfOthers(deal);
        market.settle(deal, it.kind, it.subject, it.task);
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    function expireSome(uint256 seed) external {
        for (uint256 i = 0; i < deals.length; ++i) {
            Deal memory deal = deals[(seed % deals.length + i) % deals.length];
            DealState memory state = stateOf(deal);
            if (state.status != DealStatus.Open || state.claims + state.lates + state.holds != 0) continue;
            if (time < deal.expiry + GRACE) continue;
            uint128 had = balance(deal.provider);
            market.expire(deal);
            vm.assertEq(balance(deal.provider), had + deal.collateral, "whole collateral comes back");
            return;
        }
    }

    function slashSome(uint256 seed) external {
        (Deal memory deal, bool found) = openedDeal(seed);
        if (!found || seed % 16 != 0) return;
        (uint128 had, uint128 burned, uint256 others) = (balance(deal.provider), balance(DEAD), balancesOfOthers(deal));
        vm.prank(court);
        market.slash(deal);
        vm.assertEq(balance(deal.provider), had, "a guilty provider gets nothing");
        vm.assertGe(uint256(balance(DEAD) - burned) * 10, uint256(deal.collateral) * 3, "30 % burned");
        vm.assertEq(balancesOfOthers(deal), others, "others' accounts");
    }

    // ───────────────────────────────────────────── checks ─────────────────────────────────────────────

    /// Token balance = Σ accounts + Σ open deals (budget − paid + collateral) + Σ bonds of open cases.
    function checkConservation() external view {
        uint256 sum = balance(DEAD);
        for (uint256 i = 0; i < 4; ++i) {
            sum += balance(actors[i]);
        }
        for (uint256 i = 0; i < deals.length; ++i) {
            DealState memory state = stateOf(deals[i]);
            if (state.status == DealStatus.Open) sum += deals[i].budget - state.paid + deals[i].collateral;
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

    /// The counts in a deal are the numbers of its open cases, the uses of an ask those of its open deals.
    function checkCounts() external view {
        uint16[3][MAX_DEALS] memory counts;
        for (uint256 i = 0; i < cases.length; ++i) {
            if (caseAt(i).status != CaseStatus.Open) continue;
            counts[cases[i].deal][cases[i].kind == CaseKind.Hold ? 2 : uint8(cases[i].kind)] += 1;
        }
        uint32[2] memory used;
        for (uint256 i = 0; i < deals.length; ++i) {
            DealState memory state = stateOf(deals[i]);
            vm.assertTrue(state.status != DealStatus.None, "a deal is never forgotten");
            if (state.status == DealStatus.Open) used[deals[i].provider == actors[0] ? 0 : 1] += 1;
            else counts[i] = [uint16(0), 0, 0];
            vm.assertEq(state.claims, counts[i][0], "claims");
            vm.assertEq(state.lates, counts[i][1], "late notices");
            vm.assertEq(state.holds, counts[i][2], "holds");
        }
        vm.assertEq(market.askUsed(h(askOf(0))), used[0], "uses of the first ask");
        vm.assertEq(market.askUsed(h(askOf(1))), used[1], "uses of the second ask");
    }

    /// Nothing is stuck: when the last deadline has passed, a stranger ends all cases and deals, and everybody withdraws
    /// everything.
    function checkExit() external {
        uint64 last = time;
        for (uint256 i = 0; i < deals.length; ++i) {
            uint64 end = deals[i].expiry + GRACE + CHALLENGE + MAX_HOLD;
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
        for (uint256 i = 0; i < 4; ++i) {
            uint128 all = balance(actors[i]);
            vm.prank(actors[i]);
            market.withdraw(actors[i], all);
        }
        vm.assertEq(token.balanceOf(address(market)), balance(DEAD), "only burned money is left");
    }

    // ───────────────────────────────────────────── helpers ────────────────────────────────────────────

    function settleable(OpenedCase memory it, Deal memory deal) private view returns (bool) {
        DealState memory state = stateOf(deal);
        if (state.status == DealStatus.Closed) return true;
        if (it.kind != CaseKind.Hold && it.seq < state.orders) return true;
        if (time < market.caseState(h(deal), it.kind, it.subject, it.task).deadline) return false;
        if (it.kind == CaseKind.Claim) return state.holds == 0;
        if (it.kind == CaseKind.Late) return state.holds == 0 && state.claims == 0;
        return true;
    }

    function challengeable(Deal memory deal) private view returns (bool) {
        return time < deal.expiry + GRACE + (stateOf(deal).claims == 0 ? 0 : CHALLENGE);
    }

    function revealTask(Deal memory deal, Order memory order, Receipt memory receipt, uint32 task) private {
        market.reveal(
            deal, order, receipt, task, uint64(aLeaf(task).fuel), aHalted(task), siblings(aLeaf(1 - task)), output(task)
        );
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
            found = statusOf(deal, it.kind, it.subject, it.task) == CaseStatus.Open && (!ripe || settleable(it, deal));
        }
    }

    function remember(CaseKind kind, bytes32 subject, uint32 task, uint64 seq) private {
        cases.push(OpenedCase(chosen, kind, subject, task, seq));
    }

    function keyOf(address owner) private view returns (uint256) {
        for (uint256 i = 0; i < 4; ++i) {
            if (actors[i] == owner) return keys[i];
        }
        revert("no such actor");
    }

    function askOf(uint256 seller) private view returns (Ask memory ask) {
        ask = anAsk();
        ask.provider = actors[seller];
        (ask.from, ask.to) = (0, type(uint64).max);
        (ask.priceStart, ask.priceEnd) = (4e6, 4e6);
        ask.capacity = 3;
    }

    function orderOf(Deal memory deal, uint64 seq) private view returns (Order memory order) {
        order = anOrder(seq);
        order.deal = h(deal);
    }

    function stateOf(Deal memory deal) private view returns (DealState memory) {
        return market.dealState(h(deal));
    }

    function statusOf(Deal memory deal, CaseKind kind, bytes32 subject, uint32 task) private view returns (CaseStatus) {
        return market.caseState(h(deal), kind, subject, task).status;
    }

    function caseAt(uint256 i) private view returns (Case memory) {
        return market.caseState(h(deals[cases[i].deal]), cases[i].kind, cases[i].subject, cases[i].task);
    }

    /// Everybody's accounts but those of the deal's parties and the burned money.
    function balancesOfOthers(Deal memory deal) private view returns (uint256 sum) {
        for (uint256 i = 0; i < 4; ++i) {
            if (actors[i] != deal.requester && actors[i] != deal.provider) sum += balance(actors[i]);
        }
    }
}
