// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Challenge, GameState, ICourt, Rules, Stage, Verdict } from "../../src/court/ICourt.sol";
import { CaseKind, DealStatus, IMarket } from "../../src/market/IMarket.sol";
import { Ask } from "../../src/types/Ask.sol";
import { Deal } from "../../src/types/Deal.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

interface ICourtLimits {
    function PARTS() external view returns (uint32);
    function MAX_LEVEL() external view returns (uint8);
    function MAX_ALLOWANCE() external view returns (uint32);
    function MAX_MOVE_SECONDS() external view returns (uint32);
    function SETTLE_SECONDS() external view returns (uint64);
    function COMPENSATION_BPS() external view returns (uint32);
    function BURNED() external view returns (address);
}

/// Allowances, deadlines at −1, 0, +1, the time of a last-second move, the queue of a provider's
/// time, and how long a deal is held.
contract ClocksTest is CourtFixture {
    using Traces for Trace;

    function setUp() public override {
        super.setUp();
        open();
    }

    /// A game that has come down to a run, all in one second.
    function started() private returns (Match memory game) {
        game = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(game, requester);
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
        Rules[3] memory wrong =
            [Rules(0, 0, 0, 0, 1), Rules(0, 0, 0, 8 hours + 1, 1), Rules(0, 0, 0, 8 hours, 0)];
        for (uint256 i = 0; i < 3; ++i) {
            try this.deploy(wrong[i]) {
                revert("deployed");
            } catch (bytes memory given) {
                vm.assertEq(given, reason, "reason");
            }
        }
        Rules memory rules = Rules(1, 2, 3, 8 hours, 5);
        ICourt strict = this.deploy(rules);
        vm.assertEq(keccak256(abi.encode(strict.rules())), keccak256(abi.encode(rules)), "rules");
        vm.assertEq(strict.market(), address(market), "market");
        vm.assertEq(strict.stepUnit(), address(machine), "judge");
    }

    function deploy(Rules memory rules) external returns (ICourt) {
        return deployCourt(rules);
    }

    // ── windows ──

    /// Down the tree: the last second counts, the deadline does not. The provider has a move's time
    /// for each unfolding, the accuser its allowance for all of its turns.
    function test_treeWindows() public {
        Match memory game = prepare(judged(0, 17), 3, Lie.State, 5, Lie.Honest, 0);
        accuse(game, requester);
        uint64 until = START + MOVE_SECONDS;
        for (uint256 turn = 0; stateOf(game).stage != Stage.Run; ++turn) {
            vm.assertEq(theCourt.deadline(game.id), until, "deadline");
            for (uint64 late = 0; late < 2; ++late) {
                vm.warp(until + late);
                refuseTreeMove(
                    game, abi.encodeWithSelector(IMarket.TooLate.selector, until + late, until)
                );
            }
            vm.warp(until - 1);
            vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, until - 1, until));
            theCourt.timeout(game.deal, game.game);
            moveOn(game);
            until = until - 1 + (turn == 0 || turn == 3 ? ALLOWANCE : MOVE_SECONDS);
        }
        // The accuser has used up all of its time but a second, and now the provider has the time
        // to trace.
        vm.assertEq(stateOf(game).accuserSeconds, 1, "accuser");
        vm.assertEq(theCourt.deadline(game.id), until, "deadline");
    }

    function refuseTreeMove(Match memory game, bytes memory reason) private {
        GameState memory state = stateOf(game);
        if (state.stage == Stage.Unfold) {
            SumNode[] memory nodes = below(game.order, game.providersEnds, state.level, state.task);
            vm.expectRevert(reason);
            theCourt.unfold(game.game, game.order, nodes);
        } else if (state.level != 0) {
            refuse(requester, reason);
            theCourt.pick(game.game, game.nodes, 0);
        } else {
            Challenge memory challenge = challengeOf(game);
            refuse(requester, reason);
            theCourt.challenge(game.game, game.order, game.nodes, 0, challenge);
        }
    }

    /// The provider's first turn in a run, then the accuser's: the last second counts, the deadline
    /// does not.
    function test_moveWindow() public {
        Match memory game = started();
        uint64 until = START + ALLOWANCE;
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(theCourt.deadline(game.id), until, "deadline");
            for (uint64 late = 0; late < 2; ++late) {
                vm.warp(until + late);
                refuseMove(
                    game, abi.encodeWithSelector(IMarket.TooLate.selector, until + late, until)
                );
            }
            vm.warp(until - 1);
            vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, until - 1, until));
            theCourt.timeout(game.deal, game.game);
            moveOn(game);
            until = until - 1 + ALLOWANCE;
        }
        // Both have used up all but a second; from now on every turn has the time of one move.
        until = until - ALLOWANCE + MOVE_SECONDS;
        while (stateOf(game).level > 1) {
            vm.assertEq(theCourt.deadline(game.id), until, "deadline");
            vm.warp(until);
            refuseMove(game, abi.encodeWithSelector(IMarket.TooLate.selector, until, until));
            vm.warp(until - 1);
            moveOn(game);
            until = until - 1 + MOVE_SECONDS;
        }
    }

    function test_stepWindow() public {
        Match memory game = started();
        playToLastLevel(game);
        uint64 until = theCourt.deadline(game.id);
        for (uint64 late = 0; late < 2; ++late) {
            vm.warp(until + late);
            GameState memory state = stateOf(game);
            uint32 pick = pickOf(game, game.accusers);
            bytes memory proof = game.accusers.proof(state.position + pick);
            vm.expectRevert(abi.encodeWithSelector(IMarket.TooLate.selector, until + late, until));
            theCourt.step(game.deal, game.game, pick, game.segment, proof);
        }
        vm.warp(until - 1);
        stepOn(game);
        checkOver(game);
    }

    /// Whose turn it is loses, in each of the stages: the provider when it is to unfold or to move,
    /// the accuser when it is to pick or to move.
    function test_timeoutWindow() public {
        for (uint256 turns = 0; turns < 6; ++turns) {
            uint256 clean = vm.snapshotState();
            Match memory game = prepare(judged(0, 17), 3, Lie.State, 5, Lie.Honest, 0);
            accuse(game, requester);
            for (uint256 i = 0; i < turns; ++i) {
                moveOn(game);
            }
            uint64 until = theCourt.deadline(game.id);
            vm.warp(until - 1);
            refuse(stranger, abi.encodeWithSelector(IMarket.TooEarly.selector, until - 1, until));
            theCourt.timeout(game.deal, game.game);
            vm.warp(until);
            bool guilty = turns % 2 == 0;
            vm.expectEmit(address(theCourt));
            emit ICourt.Ended(
                game.id,
                Verdict.Timeout,
                guilty,
                guilty,
                guilty ? GAME_BOND : 0,
                guilty ? 0 : 21e6,
                guilty ? 0 : 9e6
            );
            vm.prank(stranger);
            theCourt.timeout(game.deal, game.game);
            checkOver(game);
            vm.revertToState(clean);
        }
    }

    /// A side's time runs in its own turns only.
    function test_eachClockRunsInItsTurn() public {
        Match memory game = started();
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
            GameState memory state = stateOf(game);
            vm.assertEq(state.providerSeconds, left[0], "provider's clock");
            vm.assertEq(state.accuserSeconds, left[1], "accuser's clock");
            vm.assertEq(state.since, time, "begin of the turn");
            vm.assertEq(theCourt.deadline(game.id), time + left[next], "deadline");
        }
        // 90 seconds were left of the accuser's time.
        vm.assertEq(stateOf(game).accuserSeconds, 90, "not topped up before its turn");
        moveOn(game);
        vm.assertEq(stateOf(game).accuserSeconds, MOVE_SECONDS, "topped up in its turn");
    }

    // ── the queue of a provider's time ──

    function providersSeconds(Match memory game) private view returns (uint32) {
        return stateOf(game).providerSeconds;
    }

    function challenged(uint64 seq, address accuser) private returns (Match memory game) {
        game = prepare(seq, Lie.Honest, 0, Lie.State, 5);
        begin(game, accuser);
    }

    /// Each game gets the time of those before it and its own: over one receipt or several, by one
    /// accuser or several. What was given before stays as it is.
    function test_gamesQueue() public {
        Match memory first = challenged(0, requester);
        Match memory second = challenged(0, stranger);
        Match memory third = challenged(1, requester);
        vm.assertEq(providersSeconds(first), ALLOWANCE, "first");
        vm.assertEq(providersSeconds(second), 2 * ALLOWANCE, "second");
        vm.assertEq(providersSeconds(third), 3 * ALLOWANCE, "third");
        // When time passes the queue gets shorter.
        vm.warp(START + 1000);
        Match memory fourth = challenged(2, stranger);
        vm.assertEq(providersSeconds(fourth), 4 * ALLOWANCE - 1000, "fourth");
        // A second after the end of the queue, and at it, there is nothing to wait for.
        vm.warp(START + 4 * ALLOWANCE);
        vm.assertEq(providersSeconds(challenged(3, requester)), ALLOWANCE, "alone");
        vm.warp(START + 5 * ALLOWANCE + 1);
        vm.assertEq(providersSeconds(challenged(3, stranger)), ALLOWANCE, "alone again");
    }

    /// Accusations that are not brought to a task take no place in the queue.
    function test_onlyTasksQueue() public {
        for (uint64 i = 0; i < 3; ++i) {
            accuse(prepare(i, Lie.Honest, 0, Lie.Honest, 0), stranger);
        }
        vm.assertEq(providersSeconds(challenged(3, requester)), ALLOWANCE, "first in the queue");
    }

    /// Across deals, and for each provider by itself.
    function test_queueIsTheProviders() public {
        challenged(0, requester);
        uint256 key = 0x0DE;
        fund(vm.addr(key), WEALTH);
        Ask memory ask = anAsk();
        ask.provider = vm.addr(key);
        bytes memory signature = sign(key, h(ask));
        vm.prank(requester);
        market.open(ask, signature, someTerms());
        Match memory other = prepare(0, Lie.Honest, 0, Lie.State, 5);
        (other.deal.ask, other.deal.provider) = (h(ask), vm.addr(key));
        other.order.deal = h(other.deal);
        other.receipt.order = h(other.order);
        begin(other, requester);
        vm.assertEq(providersSeconds(other), ALLOWANCE, "its own queue");
        vm.assertEq(providersSeconds(challenged(1, requester)), 2 * ALLOWANCE, "the first one's");
    }

    /// Ten days are the most, and no task, whatever its fuel limit, takes more out of the time of
    /// later games than it was given.
    function test_queueHasAnEnd() public {
        fuelLimit = uint64(10 days) * FUEL_PER_SECOND;
        runLevels = 14;
        vm.assertEq(providersSeconds(challenged(0, requester)), 10 days, "the most");
        fuelLimit = FUEL;
        runLevels = LEVELS;
        vm.assertEq(providersSeconds(challenged(1, requester)), 10 days, "the most");
        vm.warp(START + 2 * ALLOWANCE);
        vm.assertEq(providersSeconds(challenged(2, requester)), 10 days - ALLOWANCE, "behind both");
        vm.warp(START + 1 days);
        vm.assertEq(
            providersSeconds(challenged(3, requester)), 9 days + 2 * ALLOWANCE, "behind all three"
        );
    }

    /// A court with little base time: each has a move's time at least, and the queue counts what it
    /// takes to trace.
    function test_queueOfShortTasks() public {
        theCourt = deployCourt(Rules(BASE_BOND, 0, 0, 600, 1e11));
        court = address(theCourt);
        open();
        purse(requester);
        purse(stranger);
        uint32[8] memory expected = [uint32(600), 600, 600, 600, 600, 600, 700, 800];
        for (uint64 i = 0; i < 8; ++i) {
            vm.assertEq(
                providersSeconds(challenged(i, requester)),
                expected[i],
                "100 seconds each, 600 at least"
            );
        }
    }

    // ── how long a deal is held ──

    /// However slowly both sides play, and whatever is queued before, the game is over while the
    /// market still holds the deal.
    function test_theHoldOutlastsTheSlowestGame() public {
        fuelLimit = uint64(10 days) * FUEL_PER_SECOND;
        runLevels = 14;
        end = 3;
        uint32[5] memory sizes = [uint32(1), 3, 16, 17, 300];
        uint64[5] memory turns = [uint64(17), 19, 19, 21, 23];
        for (uint64 i = 0; i < 5; ++i) {
            uint256 clean = vm.snapshotState();
            Match memory game = prepare(judged(i, sizes[i]), 0, Lie.State, 1, Lie.Honest, 0);
            accuse(game, requester);
            uint64 held = market.caseState(game.game.deal, CaseKind.Hold, game.id, 0).deadline;
            vm.assertEq(held, START + 20 days + turns[i] * MOVE_SECONDS + 1 days, "hold's deadline");
            while (stateOf(game).stage != Stage.Run || stateOf(game).level > 1) {
                vm.warp(theCourt.deadline(game.id) - 1);
                moveOn(game);
            }
            vm.assertEq(providersSeconds(game) < MOVE_SECONDS ? 1 : 0, 1, "slow indeed");
            vm.assertLe(theCourt.deadline(game.id) + 1 days, held, "a day is left to end it");
            timeoutOf(game);
            checkOver(game);
            vm.revertToState(clean);
        }
    }

    /// The longest holds that any rules can lead to are within what the market allows.
    function test_theLongestHold() public {
        theCourt = deployCourt(Rules(BASE_BOND, 0, type(uint32).max, 8 hours, 1));
        court = address(theCourt);
        purse(requester);
        open();
        Match memory game = prepare(0, Lie.State, 5, Lie.Honest, 0);
        game.order.tasks = 1 << 16;
        game.receipt.order = h(game.order);
        accuse(game, requester);
        uint64 until = START + 20 days + 25 * 8 hours + 1 days;
        vm.assertEq(
            market.caseState(game.game.deal, CaseKind.Hold, game.id, 0).deadline,
            until,
            "hold's deadline"
        );
        vm.assertLe(until, START + 30 days, "the market's limit");
    }

    /// Levels fit the steps, and none is above 14: no judge can name a run that has no game.
    function test_levels() public {
        fund(requester, 1e14);
        uint64[8] memory steps =
            [uint64(1), 256, 257, 65536, 65537, 1 << 56, (1 << 56) + 1, type(uint64).max];
        uint8[8] memory levels = [2, 2, 4, 4, 6, 14, 14, 14];
        for (uint64 i = 0; i < 8; ++i) {
            fuelLimit = steps[i];
            end = 0;
            Match memory game = prepare(i, Lie.State, 1, Lie.Honest, 0);
            begin(game, requester);
            vm.assertEq(stateOf(game).level, levels[i], "level");
        }
    }

    // ── games that go on when their deal is over ──

    /// All of it is played after the deal was closed: who is right still gets its bond, or the
    /// other's.
    function test_gamesGoOnAfterTheDeal() public {
        Match memory guilty = prepare(judged(0, 17), 3, Lie.State, 5, Lie.Honest, 0);
        Match memory innocent = prepare(judged(1, 17), 3, Lie.Honest, 0, Lie.State, 5);
        accuse(guilty, requester);
        accuse(innocent, stranger);
        Deal memory deal = guilty.deal;
        redeem(deal, aVoucher(0, 0, true));
        playToLastLevel(guilty);
        playToLastLevel(innocent);
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(guilty.id, Verdict.Step, true, false, GAME_BOND, 0, 0);
        stepOn(guilty);
        timeoutOf(innocent);
        checkBalances(RICH, WEALTH + 21e6, 9e6);
        checkState(deal, DealStatus.Closed, 0, 0);
        vm.assertEq(balance(stranger), PURSE - GAME_BOND, "lost");
        vm.assertEq(bonds(), 0, "no bonds");
    }

    function refuseMove(Match memory game, bytes memory reason) private {
        (uint32 pick, bytes32[16] memory states) = answerOf(game, turnsTrace(game));
        refuse(accuserToMove(game) ? requester : provider, reason);
        theCourt.move(game.game, pick, game.segment, states, "");
    }

    /// The limits are those that the other tests and docs/court.md name.
    function test_limits() public view {
        ICourtLimits limits = ICourtLimits(address(theCourt));
        vm.assertEq(limits.PARTS(), 16, "parts");
        vm.assertEq(limits.MAX_LEVEL(), 14, "levels");
        vm.assertEq(limits.MAX_ALLOWANCE(), 10 days, "allowance");
        vm.assertEq(limits.MAX_MOVE_SECONDS(), 8 hours, "move");
        vm.assertEq(limits.SETTLE_SECONDS(), 1 days, "time to end a game");
        vm.assertEq(limits.COMPENSATION_BPS(), 7000, "70 %");
        vm.assertEq(limits.BURNED(), DEAD, "burned money");
    }
}
