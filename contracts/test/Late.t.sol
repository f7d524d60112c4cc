// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {
    CaseKind,
    CaseOutcome,
    CaseStatus,
    DealStatus,
    Ending,
    IMarket
} from "../src/market/IMarket.sol";
import { Ack } from "../src/types/Ack.sol";
import { Cancel } from "../src/types/Cancel.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// late, answer, and settle of late notices.
contract LateTest is Fixture {
    Deal deal;
    uint64 constant DUE = START + 600;

    function setUp() public override {
        super.setUp();
        deal = open();
        vm.warp(DUE);
    }

    function test_unansweredEndsTheDeal() public {
        Order memory order = anOrder(0);
        vm.expectEmit(address(market));
        emit IMarket.LateNoticed(h(deal), h(order), 0, DUE + ANSWER, BOND);
        late(deal, order, anAck(order));
        checkCounts(deal, 0, 1, 0);
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL, 0);

        vm.warp(DUE + ANSWER - 1);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.TooEarly.selector, DUE + ANSWER - 1, DUE + ANSWER)
        );
        market.settle(deal, CaseKind.Late, h(order), 0);
        vm.warp(DUE + ANSWER);
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(order), CaseKind.Late, 0, CaseOutcome.Defaulted, BOND);
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(
            h(deal), Ending.Late, 0, BUDGET + LATE_PENALTY, COLLATERAL - LATE_PENALTY, 0
        );
        settle(order);
        checkBalances(WEALTH + LATE_PENALTY, WEALTH - LATE_PENALTY, 0);
        checkAllFree();
    }

    function test_answerGetsTheBond() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        vm.warp(DUE + ANSWER - 1);
        vm.expectEmit(address(market));
        emit IMarket.Answered(h(deal), h(order), aReceipt(order));
        answer(deal, order, aReceipt(order));
        checkCounts(deal, 0, 0, 0);
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL + BOND, 0);
        vm.assertEq(market.assertedReceipt(h(order)), h(aReceipt(order)), "asserted receipt");
        // The receipt that was shown can be claimed; the order is not late any more.
        claim(deal, order, aReceipt(order));
        refuseLate(
            order, abi.encodeWithSelector(IMarket.ReceiptAsserted.selector, h(aReceipt(order)))
        );
    }

    function test_answerWindow() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        vm.warp(DUE + ANSWER);
        refuse(
            provider, abi.encodeWithSelector(IMarket.TooLate.selector, DUE + ANSWER, DUE + ANSWER)
        );
        market.answer(deal, order, aReceipt(order), "");
    }

    function test_answerWithoutNotice() public {
        Order memory order = anOrder(0);
        refuse(
            provider,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Late, h(order), 0, CaseStatus.None
            )
        );
        market.answer(deal, order, aReceipt(order), "");
    }

    function test_answerNeedsTheProvidersWord() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        Receipt memory receipt = aReceipt(order);
        bytes memory reason = abi.encodeWithSelector(
            IMarket.InvalidSignature.selector, providerKey, digest(h(receipt))
        );
        bytes[4] memory wrong = [
            bytes(""),
            byRequester(h(receipt)),
            sign(PROVIDER, h(receipt)),
            byProvider(h(aReceipt(anOrder(1))))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            refuse(i == 0 ? requester : stranger, reason);
            market.answer(deal, order, receipt, wrong[i]);
        }
        bytes memory right = byProvider(h(receipt));
        vm.prank(stranger);
        market.answer(deal, order, receipt, right);
        // It is the provider who gets the bond.
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL + BOND, 0);
        vm.assertEq(balance(stranger), 0, "not whoever sent it");
        vm.assertEq(market.assertedReceipt(h(order)), h(receipt), "asserted receipt");
    }

    function test_answerNeedsAProperReceipt() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        Receipt memory receipt = aReceipt(order);
        receipt.fee += 1;
        refuse(provider, abi.encodeWithSelector(IMarket.WrongFee.selector, FEE + 1, FEE));
        market.answer(deal, order, receipt, "");
        receipt = aReceipt(order);
        receipt.order = bytes32(uint256(1));
        refuse(
            provider, abi.encodeWithSelector(IMarket.WrongOrder.selector, h(order), receipt.order)
        );
        market.answer(deal, order, receipt, "");
    }

    /// What was claimed cannot be answered with something else.
    function test_answerIsTheClaimedReceipt() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        claim(deal, order, aReceipt(order));
        Receipt memory other = aReceipt(order);
        other.root = bytes32(uint256(1));
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.ReceiptConflict.selector, h(aReceipt(order)), h(other))
        );
        market.answer(deal, order, other, "");
        answer(deal, order, aReceipt(order));
    }

    function test_dueWindow() public {
        Order memory order = anOrder(0);
        vm.warp(DUE - 1);
        refuseLate(order, abi.encodeWithSelector(IMarket.TooEarly.selector, DUE - 1, DUE));
        vm.warp(DUE);
        late(deal, order, anAck(order));
    }

    function test_lateWindow() public {
        uint64 end = deal.expiry + GRACE;
        vm.warp(end);
        refuseLate(anOrder(0), abi.encodeWithSelector(IMarket.TooLate.selector, end, end));
        vm.warp(end - 1);
        late(deal, anOrder(0), anAck(anOrder(0)));
    }

    function test_lateIsForTheRequester() public {
        Order memory order = anOrder(0);
        Ack memory ack = anAck(order);
        bytes memory signature = byProvider(h(ack));
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, requester));
        market.late(deal, order, ack, signature);
    }

    function test_ackIsSignedByTheProvider() public {
        Order memory order = anOrder(0);
        Ack memory ack = anAck(order);
        bytes memory signature = byRequester(h(ack));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, providerKey, digest(h(ack)))
        );
        market.late(deal, order, ack, signature);
    }

    function test_ackOfAnotherOrder() public {
        Order memory order = anOrder(0);
        Ack memory ack = anAck(anOrder(1));
        bytes memory signature = byProvider(h(ack));
        refuse(requester, abi.encodeWithSelector(IMarket.WrongOrder.selector, h(order), ack.order));
        market.late(deal, order, ack, signature);
    }

    function test_orderOfAnotherDeal() public {
        Order memory order = anOrder(0);
        order.deal = bytes32(uint256(1));
        refuseLate(order, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(deal), order.deal));
    }

    function test_settledOrderIsNotLate() public {
        redeem(deal, aVoucher(FEE, 1, false));
        refuseLate(anOrder(0), abi.encodeWithSelector(IMarket.OrderSettled.selector, 0, 1));
    }

    function test_claimedOrderIsNotLate() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        refuseLate(
            order, abi.encodeWithSelector(IMarket.ReceiptAsserted.selector, h(aReceipt(order)))
        );
    }

    function test_oneNoticePerOrder() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        refuseLate(
            order, abi.encodeWithSelector(IMarket.CaseExists.selector, CaseKind.Late, h(order), 0)
        );
    }

    function test_bondIsNeeded() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET - BOND + 1);
        refuseLate(
            anOrder(0),
            abi.encodeWithSelector(IMarket.InsufficientBalance.selector, requester, BOND - 1, BOND)
        );
    }

    function test_lateInAClosedDeal() public {
        redeem(deal, aVoucher(0, 0, true));
        refuseLate(
            anOrder(0),
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
    }

    /// The requester signed that the order is settled: the notice is moot and its bond goes back.
    function test_noticeBelowTheWatermarkIsVoid() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        redeem(deal, aVoucher(FEE, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(order), CaseKind.Late, 0, CaseOutcome.Void, BOND);
        settle(order);
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + FEE, 0);
        checkCounts(deal, 0, 0, 0);
    }

    /// Work that was claimed in time is paid before lateness ends the deal.
    function test_lateWaitsForClaims() public {
        Order memory order = anOrder(1);
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        late(deal, order, anAck(order));
        vm.warp(DUE + ANSWER);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 1, 0));
        settle(order);
        vm.warp(DUE + CHALLENGE);
        market.settle(deal, CaseKind.Claim, h(anOrder(0)), 0);
        settle(order);
        checkBalances(WEALTH - FEE + LATE_PENALTY, WEALTH + FEE - LATE_PENALTY, 0);
    }

    /// A provider under judgement is not let go for being late.
    function test_lateWaitsForHolds() public {
        Order memory order = anOrder(0);
        late(deal, order, anAck(order));
        vm.prank(court);
        market.hold(deal, "game", DUE + ANSWER + 10);
        vm.warp(DUE + ANSWER);
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 0, 1, 1));
        settle(order);
        vm.prank(court);
        market.lift(deal, "game");
        settle(order);
    }

    /// The first notice ends the deal; the bonds of the others come back at once.
    function test_bondsOfAClosedDealComeBack() public {
        late(deal, anOrder(0), anAck(anOrder(0)));
        vm.warp(DUE + ANSWER - 1);
        late(deal, anOrder(1), anAck(anOrder(1)));
        vm.warp(DUE + ANSWER);
        settle(anOrder(0));
        settle(anOrder(1));
        checkBalances(WEALTH + LATE_PENALTY, WEALTH - LATE_PENALTY, 0);
        checkAllFree();
    }

    // ── cancelled ──

    function test_excuseStopsTheNotice() public {
        Order memory order = anOrder(0);
        Cancel memory cancel = Cancel(h(order));
        late(deal, order, anAck(order));
        vm.warp(DUE + ANSWER - 1);
        bytes memory signature = byRequester(h(cancel));
        vm.expectEmit(address(market));
        emit IMarket.Excused(h(deal), h(order));
        vm.prank(stranger);
        market.excuse(deal, cancel, signature);
        checkCounts(deal, 0, 0, 0);
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL + BOND, 0);
        vm.assertEq(market.assertedReceipt(h(order)), bytes32(0), "nothing is asserted");
        // Once and for all.
        refuseLate(
            order, abi.encodeWithSelector(IMarket.CaseExists.selector, CaseKind.Late, h(order), 0)
        );
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Late, h(order), 0, CaseStatus.Ended
            )
        );
        market.excuse(deal, cancel, signature);
    }

    function test_excuseNeedsTheRequestersWord() public {
        Order memory order = anOrder(0);
        Cancel memory cancel = Cancel(h(order));
        late(deal, order, anAck(order));
        bytes memory reason = abi.encodeWithSelector(
            IMarket.InvalidSignature.selector, requesterKey, digest(h(cancel))
        );
        bytes[5] memory wrong = [
            bytes(""),
            byProvider(h(cancel)),
            sign(REQUESTER, h(cancel)),
            byRequester(h(Cancel(h(anOrder(1))))),
            byRequester(h(order))
        ];
        for (uint256 i = 0; i < 5; ++i) {
            refuse(provider, reason);
            market.excuse(deal, cancel, wrong[i]);
        }
        // Nor does the requester's own call do without.
        refuse(requester, reason);
        market.excuse(deal, cancel, "");
    }

    function test_excuseWindow() public {
        Order memory order = anOrder(0);
        Cancel memory cancel = Cancel(h(order));
        late(deal, order, anAck(order));
        bytes memory signature = byRequester(h(cancel));
        vm.warp(DUE + ANSWER);
        refuse(
            provider, abi.encodeWithSelector(IMarket.TooLate.selector, DUE + ANSWER, DUE + ANSWER)
        );
        market.excuse(deal, cancel, signature);
    }

    /// A cancellation of one order excuses that order, in the deal that it belongs to.
    function test_excuseOfAnotherOrder() public {
        late(deal, anOrder(0), anAck(anOrder(0)));
        Cancel memory cancel = Cancel(h(anOrder(1)));
        bytes memory signature = byRequester(h(cancel));
        bytes memory none = abi.encodeWithSelector(
            IMarket.CaseNotOpen.selector, CaseKind.Late, h(anOrder(1)), 0, CaseStatus.None
        );
        refuse(provider, none);
        market.excuse(deal, cancel, signature);
        // No notice, nothing to excuse: the bond of another is safe.
        redeem(deal, aVoucher(0, 0, true));
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        market.excuse(deal, cancel, signature);
    }

    /// Claims are counted beside late notices, and the counts don't touch each other.
    function test_excuseLeavesOthersOpen() public {
        late(deal, anOrder(0), anAck(anOrder(0)));
        late(deal, anOrder(1), anAck(anOrder(1)));
        Cancel memory cancel = Cancel(h(anOrder(0)));
        market.excuse(deal, cancel, byRequester(h(cancel)));
        checkCounts(deal, 0, 1, 0);
        vm.warp(DUE + ANSWER);
        settle(anOrder(1));
        checkState(deal, DealStatus.Closed, 0, 0);
    }

    function settle(Order memory order) private {
        market.settle(deal, CaseKind.Late, h(order), 0);
    }

    function refuseLate(Order memory order, bytes memory reason) private {
        bytes memory signature = byProvider(h(anAck(order)));
        refuse(requester, reason);
        market.late(deal, order, anAck(order), signature);
    }
}
