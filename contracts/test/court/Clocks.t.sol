// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { GameState, ICourt, Rules, Verdict } from "../../src/interfaces/ICourt.sol";
import { CaseKind, IMarket } from "../../src/interfaces/IMarket.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Allowances, deadlines at −1, 0, +1, the time of a last-second move, and how long a deal is held.
contract ClocksTest is CourtFixture {
    using Traces for Trace;

    function setUp() public override {
        super.setUp();
        open();
    }

    function begin() private returns (Match memory game) {
        game = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(game, requester);
    }

    function test_allowance() public view {
        vm.assertEq(theCourt.allowance(0), BASE_SECONDS, "base");
        vm.assertEq(theCourt.allowance(FUEL), ALLOWANCE, "fuel");
        vm.assertEq(theCourt.allowance(FUEL_PER_SECOND - 1), BASE_SECONDS, "rounded down");
        vm.assertEq(theCourt.allowance(FUEL_PER_SECOND), BASE_SECONDS + 1, "one second");
        uint64 most = uint64(10 days - BASE_SECONDS) * FUEL_PER_SECOND;
        vm.assertEq(theCourt.allowance(most - 1), 10 days - 1, "just below the limit");
        vm.assertEq(theCourt.allowance(most), 10 days, "the limit");
        vm.assertEq(theCourt.allowance(type(uint64).max), 10 days, "beyond it");
    }

    /// A court of little base time still gives one move's time.
    function test_allowanceIsAtLeastAMove() public {
        ICourt hasty = deployCourt(Rules(0, 0, 0, 77, 1e10));
        vm.assertEq(hasty.allowance(0), 77, "one move");
        vm.assertEq(hasty.allowance(76e10), 77, "one move");
        vm.assertEq(hasty.allowance(78e10), 78, "fuel");
    }

    function test_rules() public {
        bytes memory reason = abi.encodeWithSelector(ICourt.RulesOutOfRange.selector);
        Rules[3] memory wrong = [Rules(0, 0, 0, 0, 1), Rules(0, 0, 0, 12 hours + 1, 1), Rules(0, 0, 0, 12 hours, 0)];
        for (uint256 i = 0; i < 3; ++i) {
            try this.deploy(wrong[i]) {
                revert("deployed");
            } catch (bytes memory given) {
                vm.assertEq(given, reason, "reason");
            }
        }
        Rules memory rules = Rules(1, 2, 3, 12 hours, 5);
        ICourt strict = this.deploy(rules);
        vm.assertEq(keccak256(abi.encode(strict.rules())), keccak256(abi.encode(rules)), "rules");
        vm.assertEq(strict.market(), address(market), "market");
        vm.assertEq(strict.stepUnit(), address(machine), "judge");
    }

    function deploy(Rules memory rules) external returns (ICourt) {
        return deployCourt(rules);
    }

    /// The provider's first turn, then the accuser's: the last second counts, the deadline does not.
    function test_moveWindow() public {
        Match memory game = begin();
        uint64 until = START + ALLOWANCE;
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(theCourt.deadline(game.id), until, "deadline");
            for (uint64 late = 0; late < 2; ++late) {
                vm.warp(until + late);
                refuseMove(game, abi.encodeWithSelector(IMarket.TooLate.selector, until + late, until));
            }
            vm.warp(until - 1);
            vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, until - 1, until));
            theCourt.timeout(game.deal, game.game);
            moveOn(game);
            until = until - 1 + ALLOWANCE;
        }
        // Both have used up all but a second; from now on every turn has the time of one move.
        until = until - ALLOWANCE + MOVE_SECONDS;
        while (theCourt.gameState(game.id).level > 1) {
            vm.assertEq(theCourt.deadline(game.id), until, "deadline");
            vm.warp(until);
            refuseMove(game, abi.encodeWithSelector(IMarket.TooLate.selector, until, until));
            vm.warp(until - 1);
            moveOn(game);
            until = until - 1 + MOVE_SECONDS;
        }
    }

    function test_stepWindow() public {
        Match memory game = begin();
        playToLastLevel(game);
        uint64 until = theCourt.deadline(game.id);
        for (uint64 late = 0; late < 2; ++late) {
            vm.warp(until + late);
            GameState memory state = theCourt.gameState(game.id);
            uint32 pick = pickOf(game, game.accusers);
            bytes memory proof = game.accusers.proof(state.position + pick);
            vm.expectRevert(abi.encodeWithSelector(IMarket.TooLate.selector, until + late, until));
            theCourt.step(game.deal, game.game, pick, game.segment, proof);
        }
        vm.warp(until - 1);
        stepOn(game);
        checkOver(game);
    }

    function test_timeoutWindow() public {
        Match memory game = begin();
        uint64 until = theCourt.deadline(game.id);
        vm.warp(until - 1);
        refuse(stranger, abi.encodeWithSelector(IMarket.TooEarly.selector, until - 1, until));
        theCourt.timeout(game.deal, game.game);
        vm.warp(until);
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(game.id, Verdict.Timeout, true, true, GAME_BOND, 0, 0);
        vm.prank(stranger);
        theCourt.timeout(game.deal, game.game);
        checkOver(game);
    }

    /// A side's time runs in its own turns only.
    function test_eachClockRunsInItsTurn() public {
        Match memory game = begin();
        uint64 time = START;
        uint32[2] memory left = [ALLOWANCE, ALLOWANCE];
        uint32[4] memory used = [uint32(1000), 10, 2000, 4500];
        for (uint256 i = 0; i < 4; ++i) {
            time += used[i];
            vm.warp(time);
            moveOn(game);
            left[i % 2] -= used[i];
            uint256 next = (i + 1) % 2;
            if (left[next] < MOVE_SECONDS) left[next] = MOVE_SECONDS;
            GameState memory state = theCourt.gameState(game.id);
            vm.assertEq(state.providerSeconds, left[0], "provider's clock");
            vm.assertEq(state.accuserSeconds, left[1], "accuser's clock");
            vm.assertEq(state.since, time, "begin of the turn");
            vm.assertEq(theCourt.deadline(game.id), time + left[next], "deadline");
        }
        // 90 seconds were left of the accuser's time.
        vm.assertEq(theCourt.gameState(game.id).accuserSeconds, 90, "not topped up before its turn");
        moveOn(game);
        vm.assertEq(theCourt.gameState(game.id).accuserSeconds, MOVE_SECONDS, "topped up in its turn");
    }

    /// However slowly both sides play, the game is over while the market still holds the deal.
    function test_theHoldOutlastsTheSlowestGame() public {
        Match memory game = begin();
        uint64 longest = START + 2 * ALLOWANCE + (uint64(LEVELS) + 1) * MOVE_SECONDS;
        vm.assertEq(
            market.caseState(game.game.deal, CaseKind.Hold, game.id, 0).deadline, longest + 1 days, "hold's deadline"
        );
        while (theCourt.gameState(game.id).level > 1) {
            vm.warp(theCourt.deadline(game.id) - 1);
            moveOn(game);
        }
        vm.assertLe(theCourt.deadline(game.id), longest, "longest game");
        timeoutOf(game);
        checkOver(game);
    }

    /// The longest holds that any rules can lead to are within what the market allows.
    function test_theLongestHold() public {
        theCourt = deployCourt(Rules(BASE_BOND, 0, type(uint32).max, 12 hours, 1));
        court = address(theCourt);
        purse(requester);
        fuelLimit = type(uint64).max >> 2;
        open();
        Match memory game = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(game, requester);
        vm.assertEq(theCourt.gameState(game.id).level, 14, "the highest level");
        uint64 until = START + 20 days + 15 * 12 hours + 1 days;
        vm.assertEq(market.caseState(game.game.deal, CaseKind.Hold, game.id, 0).deadline, until, "hold's deadline");
        vm.assertLe(until, START + 30 days, "the market's limit");
    }

    /// Levels fit the steps.
    function test_levels() public {
        token.mint(requester, 1e12);
        uint64[6] memory steps = [uint64(1), 256, 257, 65536, 65537, 1 << 56];
        uint8[6] memory levels = [2, 2, 4, 4, 6, 14];
        for (uint64 i = 0; i < 6; ++i) {
            fuelLimit = steps[i];
            end = 0;
            Match memory game = prepare(i, Lie.State, 1, Lie.Honest, 0);
            accuse(game, requester);
            vm.assertEq(theCourt.gameState(game.id).level, levels[i], "level");
        }
    }

    function refuseMove(Match memory game, bytes memory reason) private {
        (uint32 pick, bytes32[16] memory states) = answerOf(game, turnsTrace(game));
        refuse(accuserToMove(game) ? requester : provider, reason);
        theCourt.move(game.game, pick, game.segment, states, "");
    }
}
