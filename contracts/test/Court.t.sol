// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {
    CaseKind,
    CaseOutcome,
    CaseStatus,
    DealStatus,
    Ending,
    DealState,
    IMarket,
    Terms
} from "../src/market/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Deal } from "../src/types/Deal.sol";
import { Fixture } from "./base/Fixture.sol";
import { Vm, vm } from "./base/Vm.sol";

/// hold, lift, slash, and settle of holds. A plain address stands where the court will.
contract CourtTest is Fixture {
    Deal deal;
    bytes32 constant GAME = "game";
    uint64 constant MAX_HOLD = 30 days;

    function setUp() public override {
        super.setUp();
        deal = open();
    }

    function test_slash() public {
        redeem(deal, aVoucher(FEE, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Slashed, FEE, BUDGET - FEE + 350e6, 0, 150e6);
        vm.prank(court);
        market.slash(deal, requester);
        checkBalances(WEALTH - FEE + 350e6, WEALTH + FEE - COLLATERAL, 150e6);
        checkState(deal, DealStatus.Closed, FEE, 1);
        checkAllFree();
    }

    /// A requester that convicts has its 70 % already: no part of them moves.
    function test_requesterThatConvictsGetsNoBountyOfItself() public {
        vm.recordLogs();
        vm.prank(court);
        market.slash(deal, requester);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            vm.assertTrue(logs[i].topics[0] != IMarket.Transferred.selector, "nothing moves");
        }
    }

    /// At least 30 % of whatever the guilty side loses is burned: rounding favours the fire.
    function test_slashBurnsAtLeast30Percent(uint128 budget) public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        terms.budget = uint128(ask.minBudget + budget % (ask.maxBudget - ask.minBudget));
        bytes memory signature = bySeller(ask);
        vm.prank(requester);
        market.open(ask, signature, terms);
        Deal memory other = aDeal();
        other.budget = terms.budget;
        other.collateral = terms.budget / 2;
        other.latePenalty = other.collateral / 5;
        uint256 had =
            uint256(balance(requester)) + balance(provider) + other.budget + other.collateral;
        vm.prank(court);
        market.slash(other, requester);
        vm.assertGe(uint256(balance(DEAD)) * 10, uint256(other.collateral) * 3, "burned");
        vm.assertLe(
            uint256(balance(requester)) + balance(provider),
            had - balance(DEAD),
            "both together only lose"
        );
    }

    function test_onlyTheDealsCourt() public {
        address[3] memory others = [requester, provider, stranger];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory reason =
                abi.encodeWithSelector(IMarket.Unauthorized.selector, others[i], court);
            refuse(others[i], reason);
            market.slash(deal, requester);
            refuse(others[i], reason);
            market.hold(deal, GAME, START + 1);
            refuse(others[i], reason);
            market.lift(deal, GAME);
        }
    }

    /// A court can't be repointed: another one makes another deal.
    function test_courtIsPinned() public {
        Deal memory repointed = aDeal();
        repointed.court = stranger;
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(repointed), DealStatus.None)
        );
        market.slash(repointed, requester);
    }

    function test_noCourtNoSlash() public {
        Ask memory ask = anAsk();
        ask.court = address(0);
        bytes memory signature = bySeller(ask);
        vm.prank(requester);
        market.open(ask, signature, someTerms());
        Deal memory other = aDeal();
        (other.ask, other.court) = (h(ask), address(0));
        refuse(court, abi.encodeWithSelector(IMarket.Unauthorized.selector, court, address(0)));
        market.slash(other, requester);
    }

    function test_slashAfterClose() public {
        redeem(deal, aVoucher(0, 0, true));
        refuse(
            court, abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        market.slash(deal, requester);
    }

    function test_slashVoidsOtherCases() public {
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        vm.warp(START + 600);
        late(deal, anOrder(1), anAck(anOrder(1)));
        vm.prank(court);
        market.slash(deal, requester);
        market.settle(deal, CaseKind.Claim, h(anOrder(0)), 0);
        market.settle(deal, CaseKind.Late, h(anOrder(1)), 0);
        checkBalances(WEALTH + 350e6, WEALTH - COLLATERAL, 150e6);
        checkAllFree();
    }

    // ── holds ──

    function test_holdStopsClaimsUntilItIsLifted() public {
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        vm.expectEmit(address(market));
        emit IMarket.Held(h(deal), GAME, START + MAX_HOLD);
        hold(START + MAX_HOLD);
        checkCounts(deal, 1, 0, 1);
        vm.warp(START + CHALLENGE);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 1));
        market.settle(deal, CaseKind.Claim, h(anOrder(0)), 0);
        vm.expectEmit(address(market));
        emit IMarket.Lifted(h(deal), GAME);
        vm.prank(court);
        market.lift(deal, GAME);
        market.settle(deal, CaseKind.Claim, h(anOrder(0)), 0);
        checkState(deal, DealStatus.Open, FEE, 0);
    }

    function test_holdLapses() public {
        hold(START + 100);
        vm.warp(START + 99);
        refuse(stranger, abi.encodeWithSelector(IMarket.TooEarly.selector, START + 99, START + 100));
        market.settle(deal, CaseKind.Hold, GAME, 0);
        vm.warp(START + 100);
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), GAME, CaseKind.Hold, 0, CaseOutcome.Void, 0);
        vm.prank(stranger);
        market.settle(deal, CaseKind.Hold, GAME, 0);
        checkCounts(deal, 0, 0, 0);
        refuse(
            court,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Hold, GAME, 0, CaseStatus.Ended
            )
        );
        market.lift(deal, GAME);
    }

    /// The watermark is the parties' business: it does not void a hold.
    function test_holdStaysAboveVouchers() public {
        hold(START + 100);
        redeem(deal, aVoucher(FEE, 9, false));
        vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, START, START + 100));
        market.settle(deal, CaseKind.Hold, GAME, 0);
    }

    function test_holdRange() public {
        refuse(
            court,
            abi.encodeWithSelector(
                IMarket.HoldOutOfRange.selector, START, START + 1, START + MAX_HOLD
            )
        );
        market.hold(deal, GAME, START);
        refuse(
            court,
            abi.encodeWithSelector(
                IMarket.HoldOutOfRange.selector, START + MAX_HOLD + 1, START + 1, START + MAX_HOLD
            )
        );
        market.hold(deal, GAME, START + MAX_HOLD + 1);
        hold(START + 1);
        refuse(court, abi.encodeWithSelector(IMarket.CaseExists.selector, CaseKind.Hold, GAME, 0));
        market.hold(deal, GAME, START + 1);
    }

    function test_holdWindow() public {
        uint64 end = deal.expiry + GRACE;
        vm.warp(end);
        refuse(court, abi.encodeWithSelector(IMarket.TooLate.selector, end, end));
        market.hold(deal, GAME, end + 1);
        vm.warp(end - 1);
        hold(end + 1);
    }

    /// While a claim is open, a game can begin in the whole of the longest window that this claim
    /// can have.
    function test_holdWindowWithClaims() public {
        uint64 end = deal.expiry + GRACE;
        vm.warp(end - 1);
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        end += 2 * CHALLENGE + ANSWER;
        vm.warp(end);
        refuse(court, abi.encodeWithSelector(IMarket.TooLate.selector, end, end));
        market.hold(deal, GAME, end + 1);
        vm.warp(end - 1);
        hold(end + 1);
        checkCounts(deal, 1, 0, 1);
    }

    /// The place of `Market.deals` in storage.
    uint256 constant DEALS_SLOT = 2;

    /// The counter has room for more than 2^16 holds.
    function test_manyHolds() public {
        DealState memory state = market.dealState(h(deal));
        state.challenges = type(uint16).max;
        vm.assertEq(state.challenges, 65535, "fits");
        bytes32 slot = keccak256(abi.encode(h(deal), DEALS_SLOT));
        uint256 word = uint256(vm.load(address(market), slot));
        vm.store(address(market), slot, bytes32(word | uint256(65535) << 216));
        checkCounts(deal, 0, 0, 65535);
        hold(START + 1);
        checkCounts(deal, 0, 0, 65536);
    }

    // ── the bounty ──

    /// A stranger that convicts gets a fifth of the collateral out of the requester's part; the
    /// fire gets no less.
    function test_bounty() public {
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Slashed, 0, BUDGET + 350e6, 0, 150e6);
        vm.expectEmit(address(market));
        emit IMarket.Transferred(requester, stranger, 100e6);
        vm.prank(court);
        market.slash(deal, stranger);
        checkBalances(WEALTH + 250e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(balance(stranger), 100e6, "bounty");
        checkAllFree();
    }

    /// The requester's account need not have anything: the bounty is out of what it has just got.
    function test_bountyOfAnEmptyRequester() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET);
        redeem(deal, aVoucher(BUDGET, 1, false));
        vm.prank(court);
        market.slash(deal, stranger);
        checkBalances(250e6, WEALTH - COLLATERAL + BUDGET, 150e6);
    }

    /// A provider that convicts itself saves the bounty, and loses four fifths.
    function test_bountyToTheProvider() public {
        vm.prank(court);
        market.slash(deal, provider);
        checkBalances(WEALTH + 250e6, WEALTH - COLLATERAL + 100e6, 150e6);
    }

    /// Rounded: whatever the collateral, the bounty is at most the compensation.
    function test_bountyOfSmallCollaterals(uint64 budget, address convictor) public {
        vm.assume(convictor != DEAD && convictor != requester && convictor != provider);
        Ask memory ask = anAsk();
        (ask.minBudget, ask.collateralBps) = (0, 1);
        Terms memory terms = someTerms();
        terms.budget = budget % 200_000;
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET - terms.budget);
        bytes memory signature = bySeller(ask);
        vm.prank(requester);
        bytes32 id = market.open(ask, signature, terms);
        Deal memory other = aDeal();
        (other.ask, other.budget, other.collateral) = (h(ask), terms.budget, terms.budget / 10_000);
        other.latePenalty = other.collateral * 2000 / 10_000;
        vm.assertEq(id, h(other), "deal");
        vm.prank(court);
        market.slash(other, convictor);
        vm.assertEq(balance(convictor), other.collateral / 5, "bounty");
        vm.assertGe(uint256(balance(DEAD)) * 10, uint256(other.collateral) * 3, "burned");
        uint256 sum = uint256(balance(DEAD)) + balance(requester) + balance(convictor);
        vm.assertEq(sum, uint256(other.budget) + other.collateral, "all of it");
    }

    function test_holdStopsExpiry() public {
        hold(START + MAX_HOLD);
        vm.warp(deal.expiry + GRACE);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 0, 0, 1));
        market.expire(deal);
        vm.prank(court);
        market.slash(deal, requester);
        market.settle(deal, CaseKind.Hold, GAME, 0);
        checkBalances(WEALTH + 350e6, WEALTH - COLLATERAL, 150e6);
    }

    function hold(uint64 deadline) private {
        vm.prank(court);
        market.hold(deal, GAME, deadline);
    }
}
