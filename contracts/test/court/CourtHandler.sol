// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { GameState } from "../../src/interfaces/ICourt.sol";
import { Case, CaseKind, CaseStatus, DealState, DealStatus, Terms } from "../../src/interfaces/IMarket.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Voucher } from "../../src/types/Voucher.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Plays any number of games over three deals, in any order, at the edges of every deadline. Who tells the truth always has a
/// legal move, and none of them may revert (`fail_on_revert`).
contract CourtHandler is CourtFixture {
    using Traces for Trace;

    uint256 constant MAX_GAMES = 10;
    uint256 constant DEALS = 3;
    uint64 constant SEQS = 2;

    Deal[] public deals;
    /// `Match`, encoded.
    bytes[] private games;
    uint64 private time = START;

    function setUp() public override {
        super.setUp();
        bytes memory signature = byProvider(h(anAsk()));
        for (uint64 i = 0; i < DEALS; ++i) {
            Terms memory terms = someTerms();
            terms.salt = i;
            vm.prank(requester);
            market.open(anAsk(), signature, terms);
            Deal memory deal = aDeal();
            deal.salt = i;
            deals.push(deal);
        }
    }

    // ───────────────────────────────────────────── moves ──────────────────────────────────────────────

    /// Small steps, or right to the edge of a deadline: the moment before, at, or after it.
    function pass(uint256 seed, uint64 step) external {
        uint64 edge = time + step % 300;
        if (seed % 4 == 0 && games.length != 0) {
            edge = theCourt.deadline(gameAt(seed / 4 % games.length).id) + step % 3;
            if (edge != 0) --edge;
        }
        if (edge > time && edge < START + 10 * DURATION) vm.warp(time = edge);
    }

    function accuseSome(uint256 seed, uint64 since) external {
        if (games.length == MAX_GAMES) return;
        Deal memory deal = deals[seed % DEALS];
        if (market.dealState(h(deal)).status != DealStatus.Open || time >= deal.expiry + GRACE) return;
        // One of the two is honest, or none.
        Lie providers = Lie(seed / 4 % 6);
        Lie accusers = providers != Lie.Honest && seed % 8 < 6 ? Lie.Honest : Lie(1 + seed / 32 % 5);
        since = 1 + since % END;
        Match memory it = prepare(uint64(seed / 256 % SEQS), providers, since, accusers, since);
        if (it.accusation.states[15] == it.accusation.halted) return;
        it.deal = deal;
        it.order.deal = h(deal);
        it.receipt.order = h(it.order);
        address accuser = seed / 512 % 2 == 0 ? requester : stranger;
        if (token.balanceOf(accuser) < GAME_BOND) return;
        for (uint256 i = 0; i < games.length; ++i) {
            Match memory other = gameAt(i);
            bool same = other.game.receipt == h(it.receipt) && other.game.deal == h(deal);
            if (same && other.game.accuser == accuser && other.game.openedAt == time) return;
        }
        accuse(it, accuser);
        games.push(abi.encode(it));
    }

    /// Several moves of one game.
    function playOn(uint256 seed) external {
        for (uint256 i = 0; i < 6; ++i) {
            playSome(seed);
        }
    }

    /// The side to move does what its trace says.
    function playSome(uint256 seed) public {
        (Match memory it, uint256 place, bool found) = runningGame(seed);
        if (!found || time >= theCourt.deadline(it.id)) return;
        GameState memory state = theCourt.gameState(it.id);
        bool isHonest = turnsTrace(it).wrongFrom == type(uint64).max;
        if (state.level > 1) {
            (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
            if (states[15] == it.segment[pick + 1]) {
                vm.assertFalse(isHonest, "who tells the truth has a move");
                return;
            }
            moveOn(it);
            games[place] = abi.encode(it);
        } else if (isHonest) {
            bool accusers = state.accusersTurn;
            stepOn(it);
            vm.assertTrue(accusers, "the last segment is the provider's");
            checkOver(it);
        }
    }

    function timeoutSome(uint256 seed) external {
        (Match memory it,, bool found) = runningGame(seed);
        if (!found || time < theCourt.deadline(it.id)) return;
        bool accusers = theCourt.gameState(it.id).accusersTurn;
        uint128 burned = balance(DEAD);
        bool isOpen = market.dealState(h(it.deal)).status == DealStatus.Open;
        vm.prank(stranger);
        theCourt.timeout(it.deal, it.game);
        uint256 stake = accusers ? GAME_BOND : isOpen ? it.deal.collateral : 0;
        vm.assertGe(uint256(balance(DEAD) - burned) * 10, stake * 3, "30 % of the loser's stake is burned");
        checkOver(it);
    }

    /// A closing voucher ends the deal whatever games are running.
    function closeSome(uint256 seed) external {
        Deal memory deal = deals[seed % DEALS];
        if (seed % 32 > 2 || market.dealState(h(deal)).status != DealStatus.Open) return;
        Voucher memory voucher = Voucher(h(deal), 1e6, 1, true);
        redeem(deal, voucher);
    }

    /// A hold that lapsed before its game was ended.
    function settleSome(uint256 seed) external {
        if (games.length == 0) return;
        Match memory it = gameAt(seed % games.length);
        Case memory held = market.caseState(h(it.deal), CaseKind.Hold, it.id, 0);
        bool isOpen = market.dealState(h(it.deal)).status == DealStatus.Open;
        if (held.status != CaseStatus.Open || isOpen && time < held.deadline) return;
        market.settle(it.deal, CaseKind.Hold, it.id, 0);
    }

    // ───────────────────────────────────────────── checks ─────────────────────────────────────────────

    /// The court has the bonds of the running games and nothing else; the market has all the rest.
    function checkMoney() external view {
        uint256 running = 0;
        for (uint256 i = 0; i < games.length; ++i) {
            if (theCourt.gameState(gameAt(i).id).level != 0) ++running;
        }
        vm.assertEq(bonds(), running * GAME_BOND, "bonds of the running games");
        uint256 sum = uint256(balance(requester)) + balance(provider) + balance(DEAD) + balance(stranger);
        for (uint256 i = 0; i < DEALS; ++i) {
            DealState memory state = market.dealState(h(deals[i]));
            if (state.status == DealStatus.Open) sum += deals[i].budget - state.paid + deals[i].collateral;
        }
        vm.assertEq(token.balanceOf(address(market)), sum, "conservation");
    }

    /// While a game runs in an open deal, its hold is open or lapsed; when it is over, it is not open.
    function checkHolds() external view {
        for (uint256 i = 0; i < games.length; ++i) {
            Match memory it = gameAt(i);
            if (market.dealState(h(it.deal)).status != DealStatus.Open) continue;
            Case memory held = market.caseState(h(it.deal), CaseKind.Hold, it.id, 0);
            bool running = theCourt.gameState(it.id).level != 0;
            if (!running) vm.assertTrue(held.status == CaseStatus.Ended, "no game, no hold");
            else vm.assertTrue(held.status == CaseStatus.Open || time >= held.deadline, "a game holds its deal");
        }
    }

    /// When the last clock has run out a stranger ends every game, and no bond is left.
    function checkExit() external {
        vm.warp(START + 20 * DURATION);
        for (uint256 i = 0; i < games.length; ++i) {
            Match memory it = gameAt(i);
            if (theCourt.gameState(it.id).level != 0) theCourt.timeout(it.deal, it.game);
        }
        vm.assertEq(bonds(), 0, "no bonds");
        for (uint256 i = 0; i < DEALS; ++i) {
            if (market.dealState(h(deals[i])).status == DealStatus.Open) market.expire(deals[i]);
        }
        checkAllFree();
    }

    // ───────────────────────────────────────────── helpers ────────────────────────────────────────────

    function gameAt(uint256 place) private view returns (Match memory) {
        return abi.decode(games[place], (Match));
    }

    /// The first running one from a random place on.
    function runningGame(uint256 seed) private view returns (Match memory it, uint256 place, bool found) {
        for (uint256 i = 0; i < games.length && !found; ++i) {
            place = (seed % games.length + i) % games.length;
            it = gameAt(place);
            found = theCourt.gameState(it.id).level != 0;
        }
    }
}
