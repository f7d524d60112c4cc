// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { GameState, ICourt, Rules, Stage, SumFault, Verdict } from "../../src/court/ICourt.sol";
import { Case, CaseKind, CaseStatus, DealStatus, IMarket } from "../../src/market/IMarket.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { TestToken } from "../../src/test-token/TestToken.sol";
import { Cancel } from "../../src/types/Cancel.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Release } from "../../src/types/Release.sol";
import { Voucher } from "../../src/types/Voucher.sol";
import { FreezingToken } from "../base/Tokens.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// What an adversary could take under protocol 1 (F1, F2, F5, A1 and their kin), and what one would
/// try next: each shown to fail.
contract AttacksTest is CourtFixture {
    using Traces for Trace;

    // ── claims of work that was never done ──

    /// The provider never ran anything: every leaf is "ran out of fuel".
    function madeUp(Order memory order)
        private
        pure
        returns (Receipt memory, Halted memory halted, SumNode[] memory ends)
    {
        (halted.status, halted.fuelLeft) = (1, -1);
        ends = new SumNode[](2);
        (ends[0], ends[1]) = (SumNode(h(halted), FUEL), SumNode(h(halted), FUEL));
        return (receiptOver(order, ends), halted, ends);
    }

    /// F1. A claim of an order that was never delivered, its worst fee, each demand answered by a
    /// made-up leaf. Nothing came over the network, so there is no signature: what stands on chain
    /// is enough, and the provider loses all.
    function test_madeUpClaimLoses() public {
        Deal memory deal = open();
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        Halted memory dead;
        (it.receipt, dead, it.providersEnds) = madeUp(it.order);
        claim(deal, it.order, it.receipt);
        vm.warp(START + CHALLENGE / 2);
        for (uint32 task = 0; task < 2; ++task) {
            demand(deal, it.order, it.receipt, task);
            SumNode[] memory proof = proofOf(it.order, it.providersEnds, task);
            market.reveal(deal, it.order, it.receipt, task, FUEL, dead, proof, "");
        }
        it.game = gameOf(it, requester);
        vm.prank(requester);
        it.id = theCourt.accuse(deal, it.order, it.receipt, "");
        vm.warp(block.timestamp + 10);
        // The provider can unfold what it made up, and then it has to show a run that ends like
        // that.
        unfoldOn(it);
        pickOn(it);
        vm.assertEq(uint8(stateOf(it).stage), uint8(Stage.Run), "it has to show a run");
        vm.warp(START + 2 * CHALLENGE);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 1));
        market.settle(deal, CaseKind.Claim, h(it.order), 0);
        timeoutOf(it);
        checkState(deal, DealStatus.Closed, 0, 0);
        // Two bonds went for the demands.
        checkBalances(RICH + 350e6 - 2 * BOND, WEALTH - COLLATERAL + 2 * BOND, 150e6);
        market.settle(deal, CaseKind.Claim, h(it.order), 0);
        checkNoBonds();
    }

    /// F1, without any demand: the root that was asserted is enough, whatever it stands for.
    function test_madeUpRootLoses() public {
        Deal memory deal = open();
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        it.receipt.root = keccak256("nothing");
        claim(deal, it.order, it.receipt);
        vm.warp(START + CHALLENGE - 1);
        it.game = gameOf(it, stranger);
        vm.prank(stranger);
        it.id = theCourt.accuse(deal, it.order, it.receipt, "");
        timeoutOf(it);
        checkBalances(RICH + 250e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(balance(stranger), PURSE + 100e6, "a stranger is paid for it");
    }

    /// F5. A demand made in the claim's window, answered after it: reveal and settle in one
    /// transaction.
    function test_revealAndSettleAtOnce() public {
        Deal memory deal = open();
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        claim(deal, it.order, it.receipt);
        vm.warp(START + CHALLENGE - 1);
        demand(deal, it.order, it.receipt, 0);
        uint64 revealed = START + CHALLENGE - 1 + ANSWER - 1;
        vm.warp(revealed);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            IMarket.reveal,
            (
                deal,
                it.order,
                it.receipt,
                0,
                uint64(it.providersEnds[0].fuel),
                it.providers.halted,
                proofOf(it.order, it.providersEnds, 0),
                ""
            )
        );
        calls[1] = abi.encodeCall(IMarket.settle, (deal, CaseKind.Claim, h(it.order), 0));
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.TooEarly.selector, revealed, revealed + CHALLENGE)
        );
        market.multicall(calls);
        // Nor with what ends a deal without waiting.
        calls[1] = abi.encodeCall(IMarket.expire, (deal));
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.TooEarly.selector, revealed, deal.expiry + GRACE)
        );
        market.multicall(calls);
        calls[1] = calls[0];
        refuse(
            provider,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Demand, h(it.receipt), 0, CaseStatus.Ended
            )
        );
        market.multicall(calls);

        bytes[] memory one = new bytes[](1);
        one[0] = calls[0];
        market.multicall(one);
        vm.warp(revealed + CHALLENGE - 1);
        begin(it, requester);
        playToLastLevel(it);
        stepOn(it);
        vm.assertEq(market.dealState(h(deal)).paid, 0, "nothing was paid");
    }

    // ── many games at once ──

    /// F2. Forty games in one block over one honest receipt. The provider can trace one task in the
    /// time that the court gives for one, and no faster: it answers all of them, and wins forty
    /// bonds.
    function test_manyGames() public {
        open();
        uint256 games = 40;
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Noise, 1);
        Match[] memory all = new Match[](games);
        for (uint256 i = 0; i < games; ++i) {
            address accuser = address(uint160(0x1000 + i));
            purse(accuser);
            all[i] = abi.decode(abi.encode(it), (Match));
            begin(all[i], accuser);
            vm.assertEq(
                theCourt.deadline(all[i].id), START + (i + 1) * ALLOWANCE, "a clock of its own"
            );
        }
        uint128 had = balance(provider);
        for (uint256 i = 0; i < games; ++i) {
            vm.warp(START + (i + 1) * ALLOWANCE - 1);
            moveOn(all[i]);
        }
        for (uint256 i = 0; i < games; ++i) {
            uint64 until = theCourt.deadline(all[i].id);
            if (block.timestamp < until) vm.warp(until);
            theCourt.timeout(it.deal, all[i].game);
        }
        checkState(it.deal, DealStatus.Open, 0, 0);
        checkCounts(it.deal, 0, 0, 0);
        vm.assertEq(balance(provider) - had, games * 21e6, "forty bonds");
        vm.assertEq(bonds(), 0, "no bonds");
    }

    /// Once one is lost the others are not: whoever plays on wins the other bonds.
    function test_oneLostGameLosesNoOther() public {
        open();
        Match memory lost = prepare(0, Lie.Honest, 0, Lie.Noise, 1);
        Match memory other = prepare(1, Lie.Honest, 0, Lie.Noise, 1);
        begin(lost, requester);
        begin(other, stranger);
        timeoutOf(lost);
        checkState(lost.deal, DealStatus.Closed, 0, 0);
        uint128 had = balance(provider);
        moveOn(other);
        timeoutOf(other);
        vm.assertEq(balance(provider) - had, 21e6, "the other's bond");
    }

    // ── late notices ──

    /// A1. Vouchers in the provider's drawer, one acked order late. It has the whole answer window
    /// to redeem, and then the notice takes the penalty and no more; an order that was cancelled by
    /// signature is not late at all.
    function test_lateTakesNoVoucher() public {
        Deal memory deal = open();
        Order memory order = anOrder(7);
        vm.warp(order.dueBy);
        late(deal, order, anAck(order));
        vm.warp(order.dueBy + ANSWER - 1);
        uint256 clean = vm.snapshotState();
        redeem(deal, aVoucher(900e6, 5, false));
        vm.warp(order.dueBy + ANSWER);
        market.settle(deal, CaseKind.Late, h(order), 0);
        checkBalances(RICH - 900e6 + LATE_PENALTY, WEALTH + 900e6 - LATE_PENALTY, 0);

        vm.revertToState(clean);
        bytes[] memory calls = new bytes[](2);
        Cancel memory cancel = Cancel(h(order));
        calls[0] = abi.encodeCall(IMarket.excuse, (deal, cancel, byRequester(h(cancel))));
        calls[1] = abi.encodeCall(
            IMarket.redeem,
            (deal, aVoucher(900e6, 5, false), byRequester(h(aVoucher(900e6, 5, false))))
        );
        vm.prank(provider);
        market.multicall(calls);
        checkState(deal, DealStatus.Open, 900e6, 5);
        checkCounts(deal, 0, 0, 0);
    }

    // ── puppets ──

    /// Nothing that a puppet does first stands in the way of an accuser who is right: not its
    /// games, won or lost, over the same receipt in the same block, not their holds, not its place
    /// in the queue.
    function test_puppetsBlockNobody() public {
        open();
        Match memory real = prepare(0, Lie.State, 5, Lie.Honest, 0);
        claim(real.deal, real.order, real.receipt);
        for (uint256 i = 0; i < 5; ++i) {
            address puppet = address(uint160(0x2000 + i));
            purse(puppet);
            Match memory it = prepare(0, Lie.State, 5, Lie.Noise, 1);
            begin(it, puppet);
            moveOn(it);
            // Some are lost at once, some go on.
            if (i % 2 == 0) timeoutOf(it);
        }
        begin(real, requester);
        GameState memory state = stateOf(real);
        vm.assertLe(state.providerSeconds, 10 days, "the most that the provider can get");
        Case memory held = market.caseState(real.game.deal, CaseKind.Hold, real.id, 0);
        vm.assertGe(held.deadline, block.timestamp + 10 days, "held for longer");
        playToLastLevel(real);
        stepOn(real);
        checkState(real.deal, DealStatus.Closed, 0, 0);
    }

    /// Provider, requester and accuser in one hand, each way to convict: less than before, by the
    /// fire.
    function test_bountyIsNoProfit() public {
        uint256 clean = vm.snapshotState();
        for (uint256 way = 0; way < 3; ++way) {
            Deal memory deal = open();
            uint256 had = together() + BUDGET + COLLATERAL;
            Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
            if (way == 0) {
                accuse(it, stranger);
                timeoutOf(it);
            } else if (way == 1) {
                it.receipt.fuel += 1;
                SumFault memory fault;
                SumNode[][] memory tree = treeOf(it.order, it.providersEnds);
                (fault.left, fault.right) = (tree[0][0], tree[0][1]);
                fault.node = SumNode(it.receipt.root, it.receipt.fuel);
                bytes memory word = byProvider(h(it.receipt));
                vm.prank(stranger);
                theCourt.wrongSum(deal, it.order, it.receipt, word, fault);
            } else {
                it.providersEnds[0].fuel -= 1;
                it.receipt = receiptOver(it.order, it.providersEnds);
                bytes memory word = byProvider(h(it.receipt));
                SumNode[] memory proof = proofOf(it.order, it.providersEnds, 0);
                uint64 fuel = uint64(it.providersEnds[0].fuel);
                vm.prank(stranger);
                theCourt.wrongFuel(
                    deal, it.order, it.receipt, word, 0, fuel, it.providers.halted, proof
                );
            }
            vm.assertEq(balance(stranger), PURSE + 100e6, "bounty");
            vm.assertEq(had - together(), 150e6, "30 % of the collateral is gone");
            vm.revertToState(clean);
        }
    }

    function together() private view returns (uint256) {
        return uint256(balance(stranger)) + balance(provider) + balance(requester);
    }

    /// A guilty provider that convicts itself first, by a puppet, saves the bounty of a fifth; the
    /// requester gets the rest of the budget and half of the collateral all the same.
    function test_selfConvictionStillCosts() public {
        open();
        Match memory real = prepare(0, Lie.State, 5, Lie.Honest, 0);
        Match memory puppets = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(real, requester);
        accuse(puppets, stranger);
        timeoutOf(puppets);
        vm.assertEq(
            balance(stranger) + balance(provider),
            PURSE + WEALTH - COLLATERAL + 100e6,
            "four fifths are lost"
        );
        theCourt.timeout(real.deal, real.game);
        checkBalances(RICH + 250e6, WEALTH - COLLATERAL, 150e6);
    }

    // ── third parties ──

    /// Whatever a stranger sends, with whatever of the deal's signatures it has seen, nobody's
    /// account gets less by it, but what the two sides have agreed to lose by their own doing.
    function test_strangersLowerNobody() public {
        Deal memory deal = open();
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        bytes memory receiptWord = byProvider(h(it.receipt));
        Voucher memory voucher = aVoucher(0, type(uint64).max, true);
        bytes memory voucherWord = byRequester(h(voucher));
        Release memory release = Release(h(deal), BUDGET);
        bytes memory releaseWord = byProvider(h(release));
        bytes memory orderWord = byRequester(h(it.order));
        bytes memory ackWord = byProvider(h(anAck(it.order)));
        vm.warp(START + 600);

        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, provider));
        market.redeem(deal, voucher, voucherWord);
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, requester));
        market.close(deal, release, releaseWord);
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, provider));
        market.claim(deal, it.order, orderWord, it.receipt);
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, requester));
        market.late(deal, it.order, anAck(it.order), ackWord);
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, requester));
        market.demand(deal, it.order, it.receipt, receiptWord, 0);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, address(theCourt))
        );
        market.slash(deal, stranger);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, address(theCourt))
        );
        market.hold(deal, "game", START + 1000);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, address(theCourt))
        );
        market.lift(deal, "game");
        // Through multicall it is a stranger still, and no account is the market's.
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IMarket.take, (requester, 1));
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, requester, stranger, 0, 1)
        );
        market.multicall(calls);
        // The court takes bonds from its caller alone, though others have allowed it too.
        (uint128 ofRequester, uint128 ofProvider) = (balance(requester), balance(provider));
        accuse(it, stranger);
        vm.assertEq(balance(stranger), PURSE - GAME_BOND, "its own bond");
        vm.assertEq(balance(requester), ofRequester, "requester");
        vm.assertEq(balance(provider), ofProvider, "provider");
    }

    // ── tokens ──

    /// An issuer that freezes the court can't stop a verdict: no token moves in one.
    function test_frozenCourtConvicts() public {
        FreezingToken freezing = new FreezingToken();
        token = TestToken(address(freezing));
        market = deployMarket(address(token), CHALLENGE, ANSWER, GRACE, BOND);
        theCourt = deployCourt(
            Rules(BASE_BOND, BOND_PER_TFUEL, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND)
        );
        court = address(theCourt);
        fund(provider, WEALTH);
        fund(requester, WEALTH);
        purse(requester);
        purse(stranger);
        open();
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        freezing.freeze(address(theCourt));
        freezing.freeze(provider);
        freezing.freeze(stranger);
        accuse(it, stranger);
        timeoutOf(it);
        checkState(it.deal, DealStatus.Closed, 0, 0);
        checkBalances(RICH + 250e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(balance(stranger), PURSE + 100e6, "bond and bounty");
        vm.prank(requester);
        market.withdraw(requester, RICH + 250e6);
    }

    /// What others give to the court's account is nobody's bond, and in nobody's way.
    function test_giftsToTheCourt() public {
        open();
        vm.prank(requester);
        market.give(address(theCourt), 7);
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        begin(it, requester);
        vm.assertEq(bonds(), GAME_BOND + 7, "bond and gift");
        moveOn(it);
        vm.warp(theCourt.deadline(it.id));
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Timeout, false, false, 0, 21e6, 9e6);
        theCourt.timeout(it.deal, it.game);
        vm.assertEq(bonds(), 7, "the gift stays");
    }
}
