// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { GameState, ICourt, Verdict } from "../../src/court/ICourt.sol";
import { CaseKind, DealStatus, IMarket } from "../../src/market/IMarket.sol";
import { IStepUnit } from "../../src/machine/IStepUnit.sol";
import { Move } from "../../src/types/Move.sol";
import { vm } from "../base/Vm.sol";
import { KeyWallet } from "../base/Wallets.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Games from accusation to verdict, and every move that must be refused.
contract GamesTest is CourtFixture {
    using Traces for Trace;

    function setUp() public override {
        super.setUp();
        open();
    }

    // ── who is right wins ──

    /// However and wherever the provider lies, the game ends at exactly that step.
    function test_wrongReceiptIsConvicted(uint8 kind, uint64 since) public {
        Lie lie = Lie(1 + kind % 5);
        since = 1 + since % (lie == Lie.Early ? END : END + 1);
        Match memory it = prepare(0, lie, since, Lie.Honest, 0);
        begin(it, requester);
        playToLastLevel(it);
        uint64 wrong = it.providers.wrongFrom;
        // The step before the first wrong state.
        GameState memory state = stateOf(it);
        vm.assertTrue(state.accusersTurn, "the accuser has the last word");
        vm.assertEq(state.position + pickOf(it, it.accusers), wrong - 1, "the disputed step");
        vm.expectEmit(address(theCourt));
        emit ICourt.Stepped(
            it.id,
            wrong - 1,
            it.accusers.hashAt(wrong - 1),
            it.providers.hashAt(wrong),
            it.accusers.hashAt(wrong)
        );
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Step, true, true, GAME_BOND, 0, 0);
        stepOn(it);
        checkOver(it);
        checkState(it.deal, DealStatus.Closed, 0, 0);
        checkBalances(RICH + 350e6, WEALTH - COLLATERAL, 150e6);
        checkNoBonds();
    }

    /// However the accuser lies, an honest provider wins and is paid.
    function test_wrongAccusationLoses(uint8 kind, uint64 since) public {
        Lie lie = Lie(1 + kind % 5);
        since = 1 + since % (lie == Lie.Early ? END : END + 1);
        Match memory it = prepare(0, Lie.Honest, 0, lie, since);
        begin(it, requester);
        playToLastLevel(it);
        refuseTheStep(it);
        timeoutOf(it);
        checkOver(it);
        checkState(it.deal, DealStatus.Open, 0, 0);
        checkCounts(it.deal, 0, 0, 0);
        checkBalances(RICH - BUDGET - GAME_BOND, WEALTH - COLLATERAL + 21e6, 9e6);
        vm.assertEq(bonds(), 0, "no bonds");
    }

    /// The side to move has nothing to prove: whatever part it picks, the step is as the other
    /// said, or its own proof is of another state.
    function refuseTheStep(Match memory it) private {
        GameState memory state = stateOf(it);
        Trace memory right = state.accusersTurn ? it.providers : it.accusers;
        for (uint32 pick = 0; pick < 16; ++pick) {
            bytes memory proof = right.proof(state.position + pick);
            vm.expectRevert(
                abi.encodeWithSelector(ICourt.StepIsRight.selector, it.segment[pick + 1])
            );
            theCourt.step(it.deal, it.game, pick, it.segment, proof);
        }
    }

    /// A longer program, so that several levels narrow something down.
    function test_longRun() public {
        end = 5000;
        Match memory it = prepare(0, Lie.State, 4321, Lie.Honest, 0);
        begin(it, requester);
        playToLastLevel(it);
        stepOrTimeout(it);
        checkState(it.deal, DealStatus.Closed, 0, 0);
    }

    /// The winner's own answer is nowhere: two liars, and the one who keeps playing wins, but
    /// nobody is paid for work.
    function test_twoLiars() public {
        Match memory it = prepare(0, Lie.State, 7, Lie.State, 9);
        begin(it, stranger);
        playToLastLevel(it);
        stepOrTimeout(it);
        checkState(it.deal, DealStatus.Closed, 0, 0);
        vm.assertEq(market.assertedReceipt(h(it.order)), bytes32(0), "nothing is asserted");
    }

    function stepOrTimeout(Match memory it) private {
        Trace memory trace = turnsTrace(it);
        GameState memory state = stateOf(it);
        uint32 pick = pickOf(it, trace);
        try theCourt.step(
            it.deal, it.game, pick, it.segment, trace.proof(state.position + pick)
        ) { }
        catch {
            timeoutOf(it);
        }
    }

    // ── accusations that are refused ──

    function test_accusationNeedsTheProvidersWord() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        bytes[3] memory wrong =
            [bytes(""), byRequester(h(it.receipt)), sign(PROVIDER, h(it.receipt))];
        for (uint256 i = 0; i < 3; ++i) {
            refuse(
                requester,
                abi.encodeWithSelector(
                    IMarket.InvalidSignature.selector, providerKey, digest(h(it.receipt))
                )
            );
            theCourt.accuse(it.deal, it.order, it.receipt, wrong[i]);
        }
        // Asserted on chain: no signature needed.
        claim(it.deal, it.order, it.receipt);
        vm.prank(stranger);
        theCourt.accuse(it.deal, it.order, it.receipt, "");
        // But of that receipt alone.
        it.receipt.root = keccak256("other");
        refuse(
            requester,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, providerKey, digest(h(it.receipt))
            )
        );
        theCourt.accuse(it.deal, it.order, it.receipt, "");
    }

    /// What the provider answered a late notice with is its word as well.
    function test_accusationOfAnAnswer() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        vm.warp(START + 600);
        late(it.deal, it.order, anAck(it.order));
        answer(it.deal, it.order, it.receipt);
        vm.prank(stranger);
        theCourt.accuse(it.deal, it.order, it.receipt, "");
        checkCounts(it.deal, 0, 0, 1);
    }

    function test_accusationNeedsTheDealsOrder() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        it.deal.salt = 99;
        refuseAccusation(
            it, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(it.deal), it.order.deal)
        );
        it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        it.order.seed = 99;
        refuseAccusation(
            it, abi.encodeWithSelector(IMarket.WrongOrder.selector, h(it.order), it.receipt.order)
        );
        it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        it.order.tasks = 0;
        refuseAccusation(it, abi.encodeWithSelector(IMarket.TasksOutOfRange.selector, 0));
        it.order.tasks = (1 << 16) + 1;
        refuseAccusation(
            it, abi.encodeWithSelector(IMarket.TasksOutOfRange.selector, (1 << 16) + 1)
        );
    }

    function test_accusationNeedsAnOpenDealOfThisCourt() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        redeem(it.deal, aVoucher(0, 0, true));
        refuseAccusation(
            it, abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(it.deal), DealStatus.Closed)
        );

        court = stranger;
        Match memory other = prepare(0, Lie.State, 5, Lie.Honest, 0);
        open();
        refuseAccusation(
            other,
            abi.encodeWithSelector(IMarket.Unauthorized.selector, address(theCourt), stranger)
        );
    }

    function test_accusationWindow() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        uint64 until = it.deal.expiry + GRACE;
        vm.warp(until);
        refuseAccusation(it, abi.encodeWithSelector(IMarket.TooLate.selector, until, until));
        vm.warp(until - 1);
        accuse(it, requester);
    }

    /// A claim made at the last moment, demanded at the last moment, shown at the last moment:
    /// there is a whole window to accuse it, and nobody can settle it or let the deal expire before
    /// that is over.
    function test_accusationWindowWithAClaim() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        uint64 last = it.deal.expiry + GRACE;
        vm.warp(last - 1);
        claim(it.deal, it.order, it.receipt);
        vm.warp(last + CHALLENGE - 1);
        demand(it.deal, it.order, it.receipt, 0);
        vm.warp(last + CHALLENGE + ANSWER - 2);
        showTask0(it);
        uint64 ripe = last + 2 * CHALLENGE + ANSWER - 2;
        vm.warp(ripe - 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TooEarly.selector, ripe - 1, ripe));
        market.settle(it.deal, CaseKind.Claim, h(it.order), 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 0));
        market.expire(it.deal);
        accuse(it, requester);
        vm.warp(ripe);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 1));
        market.settle(it.deal, CaseKind.Claim, h(it.order), 0);
        timeoutOf(it);
        checkState(it.deal, DealStatus.Closed, 0, 0);
    }

    function showTask0(Match memory it) private {
        Halted memory halted = it.providers.halted;
        uint64 fuel = uint64(it.providersEnds[0].fuel);
        // The toy has no output.
        market.reveal(
            it.deal,
            it.order,
            it.receipt,
            0,
            fuel,
            halted,
            proofOf(it.order, it.providersEnds, 0),
            ""
        );
    }

    function test_accusationNeedsABond() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        vm.prank(requester);
        market.allow(address(theCourt), GAME_BOND - 1);
        refuseAccusation(
            it,
            abi.encodeWithSelector(
                IMarket.AllowanceTooLow.selector,
                requester,
                address(theCourt),
                GAME_BOND - 1,
                GAME_BOND
            )
        );
        vm.prank(requester);
        market.allow(address(theCourt), GAME_BOND);
        uint128 had = balance(requester);
        vm.prank(requester);
        market.give(stranger, had - GAME_BOND + 1);
        refuseAccusation(
            it,
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, requester, GAME_BOND - 1, GAME_BOND
            )
        );
        vm.prank(stranger);
        market.give(requester, 1);
        accuse(it, requester);
        vm.assertEq(bonds(), GAME_BOND, "bond is locked");
        vm.assertEq(balance(requester), 0, "exactly the bond");
    }

    function test_onceABlock() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(it, requester);
        refuseAccusation(it, abi.encodeWithSelector(ICourt.GameExists.selector, it.id));
        // Another accuser's game is another.
        accuse(it, stranger);
        bytes32 first = it.id;
        vm.warp(START + 1);
        accuse(it, requester);
        vm.assertTrue(it.id != first, "another game");
        checkCounts(it.deal, 0, 0, 3);
    }

    /// What was settled by a voucher can still be wrong.
    function test_accusationBelowTheWatermark() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        redeem(it.deal, aVoucher(FEE, 1, false));
        accuse(it, requester);
        timeoutOf(it);
        checkBalances(RICH - FEE + 350e6, WEALTH + FEE - COLLATERAL, 150e6);
    }

    /// The logs say all that is needed to play.
    function test_accusedSaysEverything() public {
        Match memory it = prepare(judged(0, 300), 17, Lie.State, 5, Lie.Honest, 0);
        it.game = gameOf(it, requester);
        bytes memory signature = byProvider(h(it.receipt));
        vm.expectEmit(address(theCourt));
        emit ICourt.Accused(
            h(it.game), h(it.deal), provider, it.game, it.receipt, 300, START + MOVE_SECONDS
        );
        vm.prank(requester);
        theCourt.accuse(it.deal, it.order, it.receipt, signature);
    }

    function refuseAccusation(Match memory it, bytes memory reason) private {
        bytes memory signature = byProvider(h(it.receipt));
        refuse(requester, reason);
        theCourt.accuse(it.deal, it.order, it.receipt, signature);
    }

    // ── moves that are refused ──

    function test_movesThatAreRefused() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);

        bytes32[17] memory other = copyOf(it.segment);
        other[3] = keccak256("other");
        refuse(
            provider,
            abi.encodeWithSelector(
                ICourt.WrongSegment.selector,
                keccak256(abi.encode(it.segment)),
                keccak256(abi.encode(other))
            )
        );
        theCourt.move(it.game, pick, other, states, "");

        refuse(provider, abi.encodeWithSelector(ICourt.NoSuchPart.selector, 16));
        theCourt.move(it.game, 16, it.segment, states, "");

        states[15] = it.segment[pick + 1];
        refuse(provider, abi.encodeWithSelector(ICourt.EndsAgree.selector, states[15]));
        theCourt.move(it.game, pick, it.segment, states, "");

        bytes memory proof = it.providers.proof(0);
        vm.expectRevert(abi.encodeWithSelector(ICourt.WrongLevel.selector, LEVELS));
        theCourt.step(it.deal, it.game, 0, it.segment, proof);

        it.game.bond += 1;
        (pick, states) = answerOf(it, it.providers);
        refuse(provider, abi.encodeWithSelector(ICourt.NoGame.selector, h(it.game)));
        theCourt.move(it.game, pick, it.segment, states, "");
    }

    /// Whichever part is disputed, it must end otherwise than the other side says.
    function test_endsThatAgree() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        while (stateOf(it).level > 2) {
            moveOn(it);
        }
        (, bytes32[16] memory states) = answerOf(it, it.providers);
        vm.assertTrue(it.segment[1] != it.segment[2], "the parts end otherwise");
        states[15] = it.segment[1];
        refuse(provider, abi.encodeWithSelector(ICourt.EndsAgree.selector, it.segment[1]));
        theCourt.move(it.game, 0, it.segment, states, "");
    }

    function test_stepsThatAreRefused() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        playToLastLevel(it);
        GameState memory state = stateOf(it);
        uint32 pick = pickOf(it, turnsTrace(it));
        bytes memory proof = turnsTrace(it).proof(state.position + pick);

        refuse(provider, abi.encodeWithSelector(ICourt.WrongLevel.selector, 1));
        theCourt.move(it.game, pick, it.segment, it.accusers.statesOf(0, 1), "");
        vm.expectRevert(abi.encodeWithSelector(ICourt.NoSuchPart.selector, 16));
        theCourt.step(it.deal, it.game, 16, it.segment, proof);
        bytes memory otherProof = turnsTrace(it).proof(state.position + pick + 1);
        vm.expectRevert(abi.encodeWithSelector(IStepUnit.WrongProof.selector));
        theCourt.step(it.deal, it.game, pick, it.segment, otherProof);
        bytes32[17] memory other = copyOf(it.segment);
        other[pick + 1] = keccak256("other");
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourt.WrongSegment.selector,
                keccak256(abi.encode(it.segment)),
                keccak256(abi.encode(other))
            )
        );
        theCourt.step(it.deal, it.game, pick, other, proof);

        // Somebody else's deal.
        bytes32 id = h(it.deal);
        it.deal.salt += 1;
        vm.warp(theCourt.deadline(it.id));
        vm.expectRevert(abi.encodeWithSelector(IMarket.WrongDeal.selector, id, h(it.deal)));
        theCourt.timeout(it.deal, it.game);
        it.deal.salt -= 1;
        theCourt.timeout(it.deal, it.game);
        vm.expectRevert(abi.encodeWithSelector(ICourt.NoGame.selector, it.id));
        theCourt.timeout(it.deal, it.game);
    }

    // ── moves by others ──

    function test_anyoneSendsASignedMove() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        for (bool accusers = false; stateOf(it).level > 1; accusers = !accusers) {
            (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
            Move memory signed = moveOf(it, pick, states);
            bytes memory signature = signMove(accusers ? REQUESTER : PROVIDER_KEY, signed);
            vm.prank(stranger);
            theCourt.move(it.game, pick, it.segment, states, signature);
            setSegment(it, it.segment[pick], states);
        }
    }

    function test_aMoveNeedsItsSide() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);
        Move memory right = moveOf(it, pick, states);
        // The other side, a stranger, and signatures of something else.
        refuseMove(it, requester, pick, states, "");
        refuseMove(it, stranger, pick, states, signMove(REQUESTER, right));
        refuseMove(it, stranger, pick, states, signMove(PROVIDER, right));
        for (uint256 i = 0; i < 5; ++i) {
            Move memory wrong = moveOf(it, pick, states);
            if (i == 0) wrong.game = keccak256("other");
            if (i == 1) wrong.level -= 1;
            if (i == 2) wrong.pick += 1;
            if (i == 3) wrong.from = keccak256("other");
            if (i == 4) wrong.to = keccak256("other");
            refuseMove(it, stranger, pick, states, signMove(PROVIDER_KEY, wrong));
        }
        // In the market's domain.
        refuseMove(it, stranger, pick, states, byProvider(h(right)));
        vm.prank(stranger);
        theCourt.move(it.game, pick, it.segment, states, signMove(PROVIDER_KEY, right));
    }

    /// A signature can't be used again: the segment has changed.
    function test_aSignedMoveFitsOnce() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);
        bytes memory signature = signMove(PROVIDER_KEY, moveOf(it, pick, states));
        bytes32[17] memory old = copyOf(it.segment);
        theCourt.move(it.game, pick, old, states, signature);
        bytes32 now_ = theCourt.gameState(it.id).segment;
        vm.expectRevert(
            abi.encodeWithSelector(ICourt.WrongSegment.selector, now_, keccak256(abi.encode(old)))
        );
        theCourt.move(it.game, pick, old, states, signature);
    }

    /// A contract accuses and moves by its own calls; no signature stands for it, whatever it says
    /// of one.
    function test_walletAsAccuser() public {
        address wallet = address(new KeyWallet(requester));
        purse(wallet);
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, wallet);
        moveOn(it);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.accusers);
        refuseMove(it, stranger, pick, states, signMove(REQUESTER, moveOf(it, pick, states)));
        playToLastLevel(it);
        stepOn(it);
        checkOver(it);
        vm.assertEq(balance(wallet), PURSE + 100e6, "bond and bounty");
    }

    function copyOf(bytes32[17] memory segment) private pure returns (bytes32[17] memory) {
        return abi.decode(abi.encode(segment), (bytes32[17]));
    }

    function refuseMove(
        Match memory it,
        address sender,
        uint32 pick,
        bytes32[16] memory states,
        bytes memory signature
    ) private {
        bytes32 signed = h(moveOf(it, pick, states));
        signed = keccak256(bytes.concat(hex"1901", theCourt.domainSeparator(), signed));
        address side = accuserToMove(it) ? it.game.accuser : it.game.providerKey;
        refuse(sender, abi.encodeWithSelector(IMarket.InvalidSignature.selector, side, signed));
        theCourt.move(it.game, pick, it.segment, states, signature);
    }
}
