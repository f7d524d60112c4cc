// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {
    Case,
    CaseKind,
    CaseOutcome,
    CaseStatus,
    DealState,
    DealStatus,
    Ending,
    IMarket
} from "../src/market/IMarket.sol";
import { Cancel } from "../src/types/Cancel.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Release } from "../src/types/Release.sol";
import { Fixture } from "./base/Fixture.sol";
import { Vm, vm } from "./base/Vm.sol";

/// Rebuilds accounts, deals and ask uses from the logs alone, and compares them with the contract.
contract LogsTest is Fixture {
    mapping(address owner => uint128) balances;
    mapping(address owner => uint64) counters;
    mapping(bytes32 deal => Deal) terms;
    mapping(bytes32 deal => DealState) states;
    mapping(address provider => uint32) used;
    mapping(address owner => mapping(address spender => uint128)) allowances;
    mapping(bytes32 caseKey => uint128) bonds;

    /// Each ending sets up its own market, with the recorder on.
    function setUp() public override { }

    function test_everyEndingCanBeReplayed() public {
        uint256 start = vm.snapshotState();
        for (uint256 ending = 0; ending < 6; ++ending) {
            vm.recordLogs();
            Fixture.setUp();
            Deal memory deal = open();
            redeem(deal, aVoucher(10e6, 1, false));
            vm.prank(provider);
            market.cancelAsks(1);
            // A paid claim, an answered, a cancelled and an unanswered late notice, an answered
            // demand.
            Order memory order = anOrder(1);
            claim(deal, order, aReceipt(order));
            vm.warp(START + 600);
            late(deal, anOrder(2), anAck(anOrder(2)));
            answer(deal, anOrder(2), aReceipt(anOrder(2)));
            late(deal, anOrder(4), anAck(anOrder(4)));
            market.excuse(deal, Cancel(h(anOrder(4))), byRequester(h(Cancel(h(anOrder(4))))));
            demand(deal, order, aReceipt(order), 0);
            reveal(deal, order, aReceipt(order), 0);
            vm.prank(court);
            market.hold(deal, "game", START + 601);
            vm.prank(court);
            market.lift(deal, "game");
            vm.warp(START + 600 + CHALLENGE);
            market.settle(deal, CaseKind.Claim, h(order), 0);
            late(deal, anOrder(3), anAck(anOrder(3)));
            if (ending == uint256(Ending.Withheld)) demand(deal, order, aReceipt(order), 1);
            endBy(deal, Ending(ending));
            if (ending != uint256(Ending.Late) && ending != uint256(Ending.Expired)) {
                market.settle(deal, CaseKind.Late, h(anOrder(3)), 0);
            }
            vm.prank(requester);
            market.withdraw(stranger, 7);
            vm.prank(requester);
            market.allow(stranger, 50);
            vm.prank(requester);
            market.give(stranger, 8);
            replay();
            compare(deal);
            vm.revertToState(start);
        }
    }

    function endBy(Deal memory deal, Ending ending) private {
        if (ending == Ending.Redeemed) return redeem(deal, aVoucher(100e6, 3, true));
        if (ending == Ending.Released) return close(deal, Release(h(deal), 200e6));
        if (ending == Ending.Slashed) {
            vm.prank(court);
            return market.slash(deal, stranger);
        }
        if (ending == Ending.Expired) {
            answer(deal, anOrder(3), aReceipt(anOrder(3)));
            vm.warp(deal.expiry + GRACE);
            return market.expire(deal);
        }
        vm.warp(START + 600 + CHALLENGE + ANSWER);
        if (ending == Ending.Late) market.settle(deal, CaseKind.Late, h(anOrder(3)), 0);
        else market.settle(deal, CaseKind.Demand, h(aReceipt(anOrder(1))), 1);
    }

    function replay() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(market)) absorb(logs[i]);
        }
    }

    function absorb(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        bytes32 id = log.topics[1];
        address owner = address(uint160(uint256(id)));
        Deal storage deal = terms[id];
        DealState storage state = states[id];
        if (topic == IMarket.Deposited.selector) {
            balances[owner] += abi.decode(log.data, (uint128));
        } else if (topic == IMarket.Withdrawn.selector) {
            balances[owner] -= abi.decode(log.data, (uint128));
        } else if (topic == IMarket.Allowed.selector) {
            allowances[owner][address(uint160(uint256(log.topics[2])))] =
                abi.decode(log.data, (uint128));
        } else if (topic == IMarket.Transferred.selector) {
            transferred(
                owner, address(uint160(uint256(log.topics[2]))), abi.decode(log.data, (uint128))
            );
        } else if (topic == IMarket.AsksCancelled.selector) {
            counters[owner] = abi.decode(log.data, (uint64));
        } else if (topic == IMarket.DealOpened.selector) {
            terms[id] = abi.decode(log.data, (Deal));
            state.status = DealStatus.Open;
            balances[deal.requester] -= deal.budget;
            balances[deal.provider] -= deal.collateral;
            used[deal.provider] += 1;
        } else if (topic == IMarket.Redeemed.selector) {
            (uint128 paid, uint64 orders) = abi.decode(log.data, (uint128, uint64));
            balances[deal.provider] += paid - state.paid;
            (state.paid, state.orders) = (paid, uint48(orders));
        } else if (topic == IMarket.DealClosed.selector) {
            (, uint128 paid, uint128 toRequester, uint128 toProvider, uint128 burned) =
                abi.decode(log.data, (Ending, uint128, uint128, uint128, uint128));
            vm.assertEq(paid, state.paid, "final paid");
            balances[deal.requester] += toRequester;
            balances[deal.provider] += toProvider;
            balances[DEAD] += burned;
            used[deal.provider] -= 1;
            (state.status, state.claims, state.lates, state.challenges) =
            (DealStatus.Closed, 0, 0, 0);
        } else if (topic == IMarket.Claimed.selector) {
            state.claims += 1;
        } else if (topic == IMarket.LateNoticed.selector) {
            (,, uint128 bond) = abi.decode(log.data, (uint64, uint64, uint128));
            balances[deal.requester] -= bond;
            bonds[log.topics[2]] = bond;
            state.lates += 1;
        } else if (topic == IMarket.Answered.selector || topic == IMarket.Excused.selector) {
            balances[deal.provider] += bonds[log.topics[2]];
            state.lates -= 1;
        } else if (topic == IMarket.Demanded.selector) {
            (uint32 task,,, uint128 bond) = abi.decode(log.data, (uint32, uint64, uint64, uint128));
            balances[deal.requester] -= bond;
            bonds[keccak256(abi.encode(log.topics[2], task))] = bond;
            state.challenges += 1;
        } else if (topic == IMarket.Revealed.selector) {
            uint32 task = abi.decode(log.data, (uint32));
            balances[deal.provider] += bonds[keccak256(abi.encode(log.topics[2], task))];
            state.challenges -= 1;
        } else if (topic == IMarket.Held.selector) {
            state.challenges += 1;
        } else if (topic == IMarket.Lifted.selector) {
            state.challenges -= 1;
        } else {
            vm.assertEq(topic, IMarket.CaseSettled.selector, "no other log");
            settled(log, deal, state);
        }
    }

    function transferred(address owner, address to, uint128 amount) private {
        balances[owner] -= amount;
        balances[to] += amount;
    }

    function settled(Vm.Log memory log, Deal storage deal, DealState storage state) private {
        (CaseKind kind,, CaseOutcome outcome, uint128 amount) =
            abi.decode(log.data, (CaseKind, uint32, CaseOutcome, uint128));
        if (outcome == CaseOutcome.Paid) {
            balances[deal.provider] += amount;
            state.paid += amount;
        } else {
            balances[deal.requester] += amount;
        }
        if (state.status == DealStatus.Closed) return;
        if (kind == CaseKind.Claim) state.claims -= 1;
        else if (kind == CaseKind.Late) state.lates -= 1;
        else state.challenges -= 1;
    }

    function compare(Deal memory deal) private view {
        address[4] memory owners = [requester, provider, stranger, DEAD];
        for (uint256 i = 0; i < 4; ++i) {
            (uint128 amount, uint64 counter, uint32 count) = market.account(owners[i]);
            vm.assertEq(balances[owners[i]], amount, "balance");
            vm.assertEq(counters[owners[i]], counter, "counter");
            vm.assertEq(used[owners[i]], count, "open deals");
        }
        bytes32 id = h(deal);
        vm.assertEq(h(terms[id]), id, "terms");
        vm.assertEq(
            keccak256(abi.encode(states[id])), keccak256(abi.encode(market.dealState(id))), "state"
        );
        vm.assertEq(allowances[requester][stranger], 50, "allowance");
    }
}
