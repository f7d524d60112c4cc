// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { ICourt, Rules, Verdict } from "../../src/court/ICourt.sol";
import { CaseKind, DealStatus, IMarket } from "../../src/market/IMarket.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Who pays whom, several games at once, and what the court does when its deal is over.
contract BondsTest is CourtFixture {
    using Traces for Trace;

    function setUp() public override {
        super.setUp();
        open();
    }

    function test_bondFor() public view {
        vm.assertEq(theCourt.bondFor(0), BASE_BOND, "base");
        vm.assertEq(theCourt.bondFor(FUEL), GAME_BOND, "fuel");
        vm.assertEq(theCourt.bondFor(1e6 - 1), BASE_BOND, "rounded down");
        vm.assertEq(theCourt.bondFor(1e6), BASE_BOND + 1, "one unit");
    }

    /// Whatever the bond, at least 30 % of it is burned and nothing stays in the court.
    function test_losingAccuserBurnsAtLeast30Percent(uint64 base) public {
        theCourt = deployCourt(Rules(uint128(base), 0, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND));
        court = address(theCourt);
        open();
        purse(requester);
        fund(requester, base);
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        begin(it, requester);
        moveOn(it);
        (uint128 had, uint128 burned) = (balance(provider), balance(DEAD));
        timeoutOf(it);
        uint256 fire = balance(DEAD) - burned;
        vm.assertGe(fire * 10, uint256(base) * 3, "burned");
        vm.assertEq(uint256(balance(provider)) - had + fire, base, "all of it");
        vm.assertEq(bonds(), 0, "no bonds");
    }

    function test_bondLessCourt() public {
        theCourt = deployCourt(Rules(0, 0, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND));
        court = address(theCourt);
        open();
        vm.prank(requester);
        market.allow(address(theCourt), 0);
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Timeout, true, true, 0, 0, 0);
        timeoutOf(it);
    }

    // ── sock puppets ──

    /// A provider that accuses itself and loses as the accuser pays the fire.
    function test_puppetAccuserLoses() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Noise, 1);
        uint256 had = uint256(balance(stranger)) + balance(provider);
        begin(it, stranger);
        moveOn(it);
        timeoutOf(it);
        vm.assertEq(
            uint256(balance(stranger)) + balance(provider), had - 9e6, "30 % of the bond is gone"
        );
        checkState(it.deal, DealStatus.Open, 0, 0);
    }

    /// Provider, requester and accuser in one hand: a conviction costs 30 % of the collateral.
    function test_puppetsAllThree() public {
        Match memory it = prepare(0, Lie.State, 3, Lie.Honest, 0);
        uint256 had = uint256(balance(stranger)) + balance(provider) + balance(requester) + BUDGET
            + COLLATERAL;
        begin(it, stranger);
        timeoutOf(it);
        uint256 have = uint256(balance(stranger)) + balance(provider) + balance(requester);
        vm.assertEq(have, had - 150e6, "30 % of the collateral is gone");
    }

    /// A provider that is about to be convicted can't save its collateral by convicting itself
    /// first, nor by winning against its puppet.
    function test_puppetsCantShield() public {
        Match memory puppets = prepare(0, Lie.State, 5, Lie.Noise, 1);
        Match memory real = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(puppets, stranger);
        begin(real, requester);
        moveOn(puppets);
        moveOn(real);
        vm.warp(START + MOVE_SECONDS);
        while (stateOf(real).level > 1) moveOn(real);
        // The puppet gives up: the receipt stands against it, and against it alone.
        timeoutOf(puppets);
        checkState(real.deal, DealStatus.Open, 0, 0);
        checkCounts(real.deal, 0, 0, 1);
        // The requester had to move meanwhile; its own clock was as long.
        checkOver(puppets);
    }

    // ── several at once ──

    /// Three accusers of one task, and one of the other: each has its own end.
    function test_severalAccusers() public {
        address third = vm.addr(0x333);
        purse(third);
        Match memory right = prepare(0, Lie.State, 5, Lie.Honest, 0);
        Match memory wrong = prepare(0, Lie.State, 5, Lie.Noise, 1);
        Match memory alsoRight = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(right, requester);
        begin(wrong, stranger);
        begin(alsoRight, third);
        vm.assertEq(bonds(), 3 * GAME_BOND, "three bonds");
        checkCounts(right.deal, 0, 0, 3);

        // The one who is wrong loses, and spoils nothing.
        moveOn(wrong);
        moveOn(right);
        moveOn(alsoRight);
        vm.warp(START + 100);
        playToLastLevel(right);
        playToLastLevel(alsoRight);
        uint128 had = balance(provider);
        moveAllOf(wrong);
        uint64 until = theCourt.deadline(wrong.id);
        vm.assertLe(until, theCourt.deadline(right.id) + ALLOWANCE, "clocks are their own");

        stepOn(right);
        checkState(right.deal, DealStatus.Closed, 0, 0);
        checkBalances(RICH + 350e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(bonds(), 2 * GAME_BOND, "two bonds");

        // The deal is over; what is left are the bonds.
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(alsoRight.id, Verdict.Step, true, false, GAME_BOND, 0, 0);
        stepOn(alsoRight);
        vm.assertEq(balance(third), PURSE, "the other accuser's bond is back");
        vm.warp(until);
        theCourt.timeout(wrong.deal, wrong.game);
        vm.assertEq(bonds(), 0, "no bonds");
        vm.assertEq(balance(provider), had + 21e6, "won against the one who was wrong");
        vm.assertEq(balance(DEAD), 150e6 + 9e6, "burned");
        vm.assertEq(balance(requester), RICH + 350e6, "the requester is paid once");
    }

    function moveAllOf(Match memory it) private {
        while (stateOf(it).level > 1) moveOn(it);
    }

    /// A lost game kills every claim of the deal.
    function test_oneLostGameKillsTheReceipt() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        claim(it.deal, it.order, it.receipt);
        begin(it, requester);
        vm.warp(START + CHALLENGE);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 1));
        market.settle(it.deal, CaseKind.Claim, h(it.order), 0);
        timeoutOf(it);
        market.settle(it.deal, CaseKind.Claim, h(it.order), 0);
        checkBalances(RICH + 350e6, WEALTH - COLLATERAL, 150e6);
        market.settle(it.deal, CaseKind.Hold, it.id, 0);
        checkNoBonds();
    }

    /// A won game lets the claim go on.
    function test_aWonGameLetsTheClaimGoOn() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        claim(it.deal, it.order, it.receipt);
        begin(it, requester);
        moveOn(it);
        timeoutOf(it);
        market.settle(it.deal, CaseKind.Claim, h(it.order), 0);
        checkState(it.deal, DealStatus.Open, it.receipt.fee, 0);
    }

    // ── when the deal is over before the game ──

    function test_dealClosedBeforeTheVerdict() public {
        Match memory guilty = prepare(0, Lie.State, 5, Lie.Honest, 0);
        Match memory innocent = prepare(1, Lie.Honest, 0, Lie.State, 5);
        begin(guilty, requester);
        begin(innocent, stranger);
        moveOn(innocent);
        redeem(guilty.deal, aVoucher(0, 0, true));
        vm.warp(theCourt.deadline(guilty.id));
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(guilty.id, Verdict.Timeout, true, false, GAME_BOND, 0, 0);
        theCourt.timeout(guilty.deal, guilty.game);
        timeoutOf(innocent);
        checkBalances(RICH, WEALTH + 21e6, 9e6);
        vm.assertEq(bonds(), 0, "no bonds");
    }

    /// Nobody ended the game in time, and the hold lapsed: the game can still be ended.
    function test_holdLapsedBeforeTheVerdict() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        begin(it, requester);
        moveOn(it);
        uint64 lapse = market.caseState(it.game.deal, CaseKind.Hold, it.id, 0).deadline;
        vm.warp(lapse - 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, lapse - 1, lapse));
        market.settle(it.deal, CaseKind.Hold, it.id, 0);
        vm.warp(lapse);
        market.settle(it.deal, CaseKind.Hold, it.id, 0);
        theCourt.timeout(it.deal, it.game);
        checkBalances(RICH - BUDGET - GAME_BOND, WEALTH - COLLATERAL + 21e6, 9e6);
        checkState(it.deal, DealStatus.Open, 0, 0);
    }

    /// The logs say where every unit of a bond went.
    function test_endedSaysWhereTheBondWent() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        begin(it, requester);
        moveOn(it);
        vm.warp(theCourt.deadline(it.id));
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Timeout, false, false, 0, 21e6, 9e6);
        vm.expectEmit(address(market));
        emit IMarket.Lifted(it.game.deal, it.id);
        vm.expectEmit(address(market));
        emit IMarket.Transferred(address(theCourt), provider, 21e6);
        vm.expectEmit(address(market));
        emit IMarket.Transferred(address(theCourt), DEAD, 9e6);
        theCourt.timeout(it.deal, it.game);
    }
}
