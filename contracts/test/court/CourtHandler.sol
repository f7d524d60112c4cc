// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { GameState, Stage } from "../../src/court/ICourt.sol";
import {
    Case,
    CaseKind,
    CaseStatus,
    DealState,
    DealStatus,
    Terms
} from "../../src/market/IMarket.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { Ack } from "../../src/types/Ack.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Voucher } from "../../src/types/Voucher.sol";
import { vm } from "../base/Vm.sol";
import { FlipWallet } from "../base/Wallets.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Plays any number of games over three deals, in any order, at the edges of every deadline, with
/// claims, late notices and demands in the same deals. Who tells the truth always has a legal move,
/// and none of them may revert (`fail_on_revert`).
///
/// Orders have 1, 2, 3, 5 and 17 tasks. Accusers are the requester, a stranger, and a contract that
/// has changed its mind; a watchtower moves for all of them and for the provider.
contract CourtHandler is CourtFixture {
    using Traces for Trace;

    uint256 constant MAX_GAMES = 10;
    uint256 constant DEALS = 3;
    uint64 constant SEQS = 5;
    address constant TOWER = address(0x70);

    struct OpenedCase {
        uint256 deal;
        CaseKind kind;
        bytes32 subject;
        uint32 task;
        uint64 seq;
        /// What the receipt says.
        Lie lie;
        uint64 since;
    }

    Deal[] private deals;
    OpenedCase[] private cases;
    /// `Match`, encoded.
    bytes[] private games;
    address[3] private accusers;
    uint64 private time = START;

    function setUp() public override {
        super.setUp();
        end = 4;
        FlipWallet wallet = new FlipWallet(vm.addr(0x3A11E7));
        wallet.flip();
        accusers = [requester, stranger, address(wallet)];
        purse(address(wallet));
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(accusers[i]);
            theCourt.delegate(TOWER, type(uint64).max);
        }
        vm.prank(provider);
        theCourt.delegate(TOWER, type(uint64).max);
        bytes memory signature = bySeller(anAsk());
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

    // ─────────────────────────────────────────── moves ───────────────────────────────────────────

    /// Small steps, or right to the edge of a deadline: the moment before, at, or after it.
    function pass(uint256 seed, uint64 step) external {
        uint64 edge = time + step % 300;
        if (seed % 4 == 0 && games.length != 0) {
            edge = theCourt.deadline(gameAt(seed / 4 % games.length).id) + step % 3;
            if (edge != 0) --edge;
        }
        if (seed % 8 == 1 && cases.length != 0) {
            edge = caseAt(seed / 8 % cases.length).deadline + step % 3 - 1;
        }
        if (edge > time && edge < START + 10 * DURATION) vm.warp(time = edge);
    }

    function accuseSome(uint256 seed, uint64 since) external {
        if (games.length == MAX_GAMES) return;
        Deal memory deal = deals[seed % DEALS];
        if (!isOpen(deal)) return;
        uint64 more = market.dealState(h(deal)).claims != 0 ? 2 * CHALLENGE + ANSWER : 0;
        if (time >= deal.expiry + GRACE + more) return;
        // One of the two is honest, or none.
        Lie lie = Lie(seed / 4 % 6);
        Lie accusersLie = lie != Lie.Honest && seed % 8 < 6 ? Lie.Honest : Lie(1 + seed / 32 % 5);
        since = 1 + since % end;
        Order memory order = orderOf(deal, uint64(seed / 256 % SEQS));
        Match memory it =
            prepare(order, uint32(seed / 4096 % order.tasks), lie, since, accusersLie, since);
        it.deal = deal;
        if (h(it.accusersEnds[it.task]) == h(it.providersEnds[it.task])) return;
        address accuser = accusers[seed / 512 % 3];
        if (balance(accuser) < GAME_BOND) return;
        it.game = gameOf(it, accuser);
        for (uint256 i = 0; i < games.length; ++i) {
            if (gameAt(i).id == h(it.game)) return;
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

    /// The side to move does what its trees and traces say; or its watchtower does, or for an
    /// unfolding anybody.
    function playSome(uint256 seed) public {
        (Match memory it, uint256 place, bool found) = runningGame(seed);
        if (!found || time >= theCourt.deadline(it.id)) return;
        GameState memory state = stateOf(it);
        if (state.stage != Stage.Run) {
            moveOn(it);
            games[place] = abi.encode(it);
            return;
        }
        bool isHonest = turnsTrace(it).wrongFrom == type(uint64).max;
        if (state.level > 1) {
            (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
            if (states[15] == it.segment[pick + 1]) {
                vm.assertFalse(isHonest, "who tells the truth has a move");
                return;
            }
            if (seed % 3 == 0) {
                vm.prank(TOWER);
                theCourt.move(it.game, pick, it.segment, states, "");
                setSegment(it, it.segment[pick], states);
            } else {
                moveOn(it);
            }
            games[place] = abi.encode(it);
        } else if (isHonest) {
            vm.assertTrue(state.accusersTurn, "the last segment is the provider's");
            stepOn(it);
            checkOver(it);
        } else {
            cheat(it, state);
        }
    }

    /// A liar's proofs of whatever step: they are refused, or the other side has lied as well.
    function cheat(Match memory it, GameState memory state) private {
        for (uint32 part = 0; part < 16; ++part) {
            bytes memory proof = it.accusers.proof(state.position + part);
            (bool ok,) = address(theCourt)
                .call(abi.encodeCall(theCourt.step, (it.deal, it.game, part, it.segment, proof)));
            if (!ok) continue;
            vm.assertTrue(
                it.providers.wrongFrom != type(uint64).max, "an honest provider was convicted"
            );
            return;
        }
    }

    function timeoutSome(uint256 seed) external {
        (Match memory it,, bool found) = runningGame(seed);
        if (!found || time < theCourt.deadline(it.id)) return;
        bool accusersTurn = accuserToMove(it);
        uint128 burned = balance(DEAD);
        bool open_ = isOpen(it.deal);
        vm.prank(stranger);
        theCourt.timeout(it.deal, it.game);
        uint256 stake = accusersTurn ? GAME_BOND : open_ ? it.deal.collateral : 0;
        vm.assertGe(
            uint256(balance(DEAD) - burned) * 10, stake * 3, "30 % of the loser's stake is burned"
        );
        checkOver(it);
    }

    /// A voucher; a closing one ends the deal whatever games are running.
    function redeemSome(uint256 seed, uint64 orders) external {
        Deal memory deal = deals[seed % DEALS];
        if (!isOpen(deal)) return;
        redeem(deal, Voucher(h(deal), uint128(seed % 100e6), orders % 3, seed % 64 < 2));
    }

    /// A hold that lapsed before its game was ended.
    function settleHold(uint256 seed) external {
        if (games.length == 0) return;
        Match memory it = gameAt(seed % games.length);
        Case memory held = market.caseState(h(it.deal), CaseKind.Hold, it.id, 0);
        if (held.status != CaseStatus.Open || isOpen(it.deal) && time < held.deadline) return;
        market.settle(it.deal, CaseKind.Hold, it.id, 0);
    }

    // ── claims, late notices and demands, in the same deals ──

    function claimSome(uint256 seed, uint64 since) external {
        (Deal memory deal, Order memory order, Receipt memory receipt, OpenedCase memory it) =
            some(seed, since);
        if (
            !isOpen(deal) || time >= deal.expiry + GRACE
                || order.seq < market.dealState(h(deal)).orders
        ) return;
        bytes32 asserted = market.assertedReceipt(h(order));
        if (asserted != 0 && asserted != h(receipt)) return;
        if (market.caseState(h(deal), CaseKind.Claim, h(order), 0).status != CaseStatus.None) {
            return;
        }
        claim(deal, order, receipt);
        (it.kind, it.subject, it.task) = (CaseKind.Claim, h(order), 0);
        cases.push(it);
    }

    function lateSome(uint256 seed) external {
        (Deal memory deal, Order memory order,, OpenedCase memory it) = some(seed, 0);
        if (
            !isOpen(deal) || time >= deal.expiry + GRACE
                || order.seq < market.dealState(h(deal)).orders
        ) return;
        if (market.assertedReceipt(h(order)) != 0 || balance(requester) < BOND) return;
        if (market.caseState(h(deal), CaseKind.Late, h(order), 0).status != CaseStatus.None) {
            return;
        }
        late(deal, order, Ack(h(order), time));
        (it.kind, it.subject, it.task) = (CaseKind.Late, h(order), 0);
        cases.push(it);
    }

    function demandSome(uint256 seed, uint64 since) external {
        (Deal memory deal, Order memory order, Receipt memory receipt, OpenedCase memory it) =
            some(seed, since);
        DealState memory state = market.dealState(h(deal));
        if (!isOpen(deal) || time >= deal.expiry + GRACE + (state.claims != 0 ? CHALLENGE : 0)) {
            return;
        }
        if (order.seq < state.orders || balance(requester) < BOND) return;
        (it.kind, it.subject) = (CaseKind.Demand, h(receipt));
        if (
            market.caseState(h(deal), CaseKind.Demand, h(receipt), it.task).status
                != CaseStatus.None
        ) return;
        demand(deal, order, receipt, it.task);
        cases.push(it);
    }

    /// reveal or answer. A lie is revealed as it was told: that is what a game is for.
    function stopSome(uint256 seed) external {
        if (cases.length == 0) return;
        OpenedCase memory it = cases[seed % cases.length];
        Deal memory deal = deals[it.deal];
        Case memory state = market.caseState(h(deal), it.kind, it.subject, it.task);
        if (!isOpen(deal) || state.status != CaseStatus.Open || time >= state.deadline) return;
        Order memory order = orderOf(deal, it.seq);
        Trace memory trace = traceOf(order, it.task, it.lie, it.since);
        SumNode[] memory ends = endsOf(order, it.task, trace);
        Receipt memory receipt = receiptOver(order, ends);
        if (it.kind == CaseKind.Late) {
            bytes32 asserted = market.assertedReceipt(h(order));
            if (asserted == 0 || asserted == h(receipt)) answer(deal, order, receipt);
        } else if (it.kind == CaseKind.Demand) {
            // Noise is said to have 99 bytes of output, which nobody can show.
            if (it.lie == Lie.Noise) return;
            SumNode[] memory proof = proofOf(order, ends, it.task);
            market.reveal(
                deal, order, receipt, it.task, uint64(ends[it.task].fuel), trace.halted, proof, ""
            );
            Case memory claimed = market.caseState(h(deal), CaseKind.Claim, h(order), 0);
            bool inReach = claimed.status != CaseStatus.Open || claimed.deadline >= time + CHALLENGE;
            vm.assertTrue(inReach, "what was shown stays in reach of the court");
        }
    }

    function settleSome(uint256 seed) external {
        if (cases.length == 0) return;
        OpenedCase memory it = cases[seed % cases.length];
        Deal memory deal = deals[it.deal];
        DealState memory state = market.dealState(h(deal));
        Case memory open_ = market.caseState(h(deal), it.kind, it.subject, it.task);
        if (open_.status != CaseStatus.Open) return;
        if (state.status == DealStatus.Open && it.seq >= state.orders) {
            if (time < open_.deadline) return;
            if (it.kind != CaseKind.Demand && state.challenges != 0) return;
            if (it.kind == CaseKind.Late && state.claims != 0) return;
        }
        vm.prank(stranger);
        market.settle(deal, it.kind, it.subject, it.task);
    }

    // ────────────────────────────────────────── checks ───────────────────────────────────────────

    /// The court's account has the bonds of the running games and nothing else; the market has all
    /// the rest.
    function checkMoney() external view {
        uint256 running = 0;
        for (uint256 i = 0; i < games.length; ++i) {
            if (theCourt.gameState(gameAt(i).id).stage != Stage.None) ++running;
        }
        vm.assertEq(bonds(), running * GAME_BOND, "bonds of the running games");
        vm.assertEq(token.balanceOf(address(theCourt)), 0, "no tokens");
        uint256 sum = accounts();
        for (uint256 i = 0; i < DEALS; ++i) {
            DealState memory state = market.dealState(h(deals[i]));
            if (state.status == DealStatus.Open) {
                sum += deals[i].budget - state.paid + deals[i].collateral;
            }
        }
        for (uint256 i = 0; i < cases.length; ++i) {
            Case memory it = caseAt(i);
            if (it.status == CaseStatus.Open && cases[i].kind != CaseKind.Claim) sum += it.amount;
        }
        vm.assertEq(token.balanceOf(address(market)), sum, "conservation");
    }

    function accounts() private view returns (uint256 sum) {
        sum = uint256(balance(provider)) + balance(DEAD) + balance(TOWER) + bonds();
        for (uint256 i = 0; i < 3; ++i) {
            sum += balance(accusers[i]);
        }
    }

    /// While a game runs in an open deal, its hold is open or lapsed; when it is over, it is not
    /// open.
    function checkHolds() external view {
        for (uint256 i = 0; i < games.length; ++i) {
            Match memory it = gameAt(i);
            if (!isOpen(it.deal)) continue;
            Case memory held = market.caseState(h(it.deal), CaseKind.Hold, it.id, 0);
            bool running = theCourt.gameState(it.id).stage != Stage.None;
            if (!running) {
                vm.assertTrue(held.status == CaseStatus.Ended, "no game, no hold");
            } else {
                vm.assertTrue(
                    held.status == CaseStatus.Open || time >= held.deadline, "a game holds its deal"
                );
            }
        }
    }

    /// When the last clock has run out a stranger ends every game, case and deal, and no bond is
    /// left.
    function checkExit() external {
        vm.warp(START + 40 * DURATION);
        for (uint256 i = 0; i < games.length; ++i) {
            Match memory it = gameAt(i);
            if (theCourt.gameState(it.id).stage != Stage.None) theCourt.timeout(it.deal, it.game);
        }
        vm.assertEq(bonds(), 0, "no bonds");
        CaseKind[3] memory kinds = [CaseKind.Demand, CaseKind.Claim, CaseKind.Late];
        for (uint256 k = 0; k < 3; ++k) {
            for (uint256 i = 0; i < cases.length; ++i) {
                if (cases[i].kind != kinds[k] || caseAt(i).status != CaseStatus.Open) continue;
                market.settle(deals[cases[i].deal], cases[i].kind, cases[i].subject, cases[i].task);
            }
        }
        for (uint256 i = 0; i < DEALS; ++i) {
            if (isOpen(deals[i])) market.expire(deals[i]);
        }
        vm.assertEq(token.balanceOf(address(market)), accounts(), "all money is in accounts");
    }

    // ────────────────────────────────────────── helpers ──────────────────────────────────────────

    function orderOf(Deal memory deal, uint64 seq) private view returns (Order memory order) {
        order = judged(seq, [uint32(1), 2, 3, 5, 17][seq % SEQS]);
        order.deal = h(deal);
    }

    /// A deal, an order of it, a receipt that may be a lie, and a case yet without a kind.
    function some(uint256 seed, uint64 since)
        private
        view
        returns (Deal memory deal, Order memory order, Receipt memory receipt, OpenedCase memory it)
    {
        it.deal = seed % DEALS;
        deal = deals[it.deal];
        it.seq = uint64(seed / 256 % SEQS);
        order = orderOf(deal, it.seq);
        it.task = uint32(seed / 4096 % order.tasks);
        it.lie = Lie(seed / 4 % 6);
        it.since = 1 + since % end;
        receipt =
            receiptOver(order, endsOf(order, it.task, traceOf(order, it.task, it.lie, it.since)));
    }

    function isOpen(Deal memory deal) private view returns (bool) {
        return market.dealState(h(deal)).status == DealStatus.Open;
    }

    function caseAt(uint256 i) private view returns (Case memory) {
        return
            market.caseState(
                h(deals[cases[i].deal]), cases[i].kind, cases[i].subject, cases[i].task
            );
    }

    function gameAt(uint256 place) private view returns (Match memory) {
        return abi.decode(games[place], (Match));
    }

    /// The first running one from a random place on.
    function runningGame(uint256 seed)
        private
        view
        returns (Match memory it, uint256 place, bool found)
    {
        for (uint256 i = 0; i < games.length && !found; ++i) {
            place = (seed % games.length + i) % games.length;
            it = gameAt(place);
            found = theCourt.gameState(it.id).stage != Stage.None;
        }
    }
}
