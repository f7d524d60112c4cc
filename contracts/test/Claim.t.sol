// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { CaseKind, CaseOutcome, CaseStatus, DealStatus, IMarket } from "../src/market/IMarket.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Release } from "../src/types/Release.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// claim, and settle of claims.
contract ClaimTest is Fixture {
    Deal deal;

    function setUp() public override {
        super.setUp();
        deal = open();
    }

    function test_claimIsPaidAfterItsWindow() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        vm.expectEmit(address(market));
        emit IMarket.Claimed(h(deal), h(order), 0, START + CHALLENGE, receipt);
        claim(deal, order, receipt);
        checkCounts(deal, 1, 0, 0);
        vm.assertEq(market.assertedReceipt(h(order)), h(receipt), "asserted receipt");

        vm.warp(START + CHALLENGE - 1);
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.TooEarly.selector, START + CHALLENGE - 1, START + CHALLENGE
            )
        );
        market.settle(deal, CaseKind.Claim, h(order), 0);
        vm.warp(START + CHALLENGE);
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(order), CaseKind.Claim, 0, CaseOutcome.Paid, FEE);
        settle(order);
        checkState(deal, DealStatus.Open, FEE, 0);
        checkCounts(deal, 0, 0, 0);
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + FEE, 0);
    }

    function test_anOrderIsClaimedOnce() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        bytes memory exists =
            abi.encodeWithSelector(IMarket.CaseExists.selector, CaseKind.Claim, h(order), 0);
        refuseClaim(order, aReceipt(order), exists);
        vm.warp(START + CHALLENGE);
        settle(order);
        refuseClaim(order, aReceipt(order), exists);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Claim, h(order), 0, CaseStatus.Ended
            )
        );
        settle(order);
    }

    function test_anOrderHasOneReceipt() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        claim(deal, order, receipt);
        Receipt memory other = aReceipt(order);
        other.root = bytes32(uint256(1));
        refuseClaim(
            order,
            other,
            abi.encodeWithSelector(IMarket.ReceiptConflict.selector, h(receipt), h(other))
        );
    }

    function test_claimsPayAtMostTheBudget() public {
        redeem(deal, aVoucher(BUDGET - 10e6, 0, false));
        for (uint64 seq = 0; seq < 2; ++seq) {
            claim(deal, anOrder(seq), aReceipt(anOrder(seq)));
        }
        vm.warp(START + CHALLENGE);
        settle(anOrder(0));
        checkState(deal, DealStatus.Open, BUDGET, 0);
        settle(anOrder(1));
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + BUDGET, 0);
    }

    /// A claim instead of the voucher that covers it comes to the same total.
    function test_voucherAfterClaimPaysOnlyTheRest() public {
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        vm.warp(START + CHALLENGE);
        settle(anOrder(0));
        redeem(deal, aVoucher(2 * FEE, 2, true));
        checkBalances(WEALTH - 2 * FEE, WEALTH + 2 * FEE, 0);
    }

    /// A voucher that covers the order voids its claim: it is not paid twice.
    function test_claimBelowTheWatermarkIsVoid() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        redeem(deal, aVoucher(FEE, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(order), CaseKind.Claim, 0, CaseOutcome.Void, 0);
        settle(order);
        checkState(deal, DealStatus.Open, FEE, 1);
        checkCounts(deal, 0, 0, 0);
    }

    function test_watermarkBlocksClaims() public {
        redeem(deal, aVoucher(FEE, 2, false));
        refuseClaim(
            anOrder(1),
            aReceipt(anOrder(1)),
            abi.encodeWithSelector(IMarket.OrderSettled.selector, 1, 2)
        );
        claim(deal, anOrder(2), aReceipt(anOrder(2)));
    }

    function test_closingEndsClaims() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        close(deal, Release(h(deal), 0));
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(order), CaseKind.Claim, 0, CaseOutcome.Void, 0);
        settle(order);
        checkBalances(WEALTH, WEALTH, 0);
    }

    function test_claimWindow() public {
        vm.warp(deal.expiry + GRACE);
        refuseClaim(
            anOrder(0),
            aReceipt(anOrder(0)),
            abi.encodeWithSelector(
                IMarket.TooLate.selector, deal.expiry + GRACE, deal.expiry + GRACE
            )
        );
        vm.warp(deal.expiry + GRACE - 1);
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
    }

    function test_claimIsForTheProvider() public {
        Order memory order = anOrder(0);
        bytes memory signature = byRequester(h(order));
        refuse(
            requester, abi.encodeWithSelector(IMarket.Unauthorized.selector, requester, provider)
        );
        market.claim(deal, order, signature, aReceipt(order));
    }

    function test_orderIsSignedByTheRequester() public {
        Order memory order = anOrder(0);
        bytes memory signature = byProvider(h(order));
        refuse(
            provider,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, requesterKey, digest(h(order))
            )
        );
        market.claim(deal, order, signature, aReceipt(order));
    }

    function test_orderOfAnotherDeal() public {
        Order memory order = anOrder(0);
        order.deal = bytes32(uint256(1));
        refuseClaim(
            order,
            aReceipt(order),
            abi.encodeWithSelector(IMarket.WrongDeal.selector, h(deal), order.deal)
        );
    }

    function test_orderHasTasks() public {
        Order memory order = anOrder(0);
        order.tasks = 0;
        refuseClaim(
            order, aReceipt(order), abi.encodeWithSelector(IMarket.TasksOutOfRange.selector, 0)
        );
        order.tasks = (1 << 16) + 1;
        refuseClaim(
            order,
            aReceipt(order),
            abi.encodeWithSelector(IMarket.TasksOutOfRange.selector, (1 << 16) + 1)
        );
        order.tasks = 1 << 16;
        Receipt memory receipt = aReceipt(order);
        receipt.fee = 40e6 + 65536e6;
        claim(deal, order, receipt);
    }

    function test_receiptOfAnotherOrder() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(anOrder(1));
        refuseClaim(
            order,
            receipt,
            abi.encodeWithSelector(IMarket.WrongOrder.selector, h(order), receipt.order)
        );
    }

    function test_fuelWithinTheLimits() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        receipt.fuel = 2 * uint128(FUEL) + 1;
        receipt.fee = 82e6;
        refuseClaim(
            order,
            receipt,
            abi.encodeWithSelector(IMarket.FuelTooHigh.selector, receipt.fuel, 2 * uint128(FUEL))
        );
        receipt.fuel -= 1;
        claim(deal, order, receipt);
    }

    function test_feeIsExact() public {
        Order memory order = anOrder(0);
        for (uint128 i = 0; i < 2; ++i) {
            Receipt memory receipt = aReceipt(order);
            receipt.fee = FEE - 1 + 2 * i;
            refuseClaim(
                order, receipt, abi.encodeWithSelector(IMarket.WrongFee.selector, receipt.fee, FEE)
            );
        }
    }

    function test_claimInAClosedDeal() public {
        redeem(deal, aVoucher(0, 0, true));
        refuseClaim(
            anOrder(0),
            aReceipt(anOrder(0)),
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
    }

    function test_settleOfNothing() public {
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Claim, h(anOrder(0)), 0, CaseStatus.None
            )
        );
        market.settle(deal, CaseKind.Claim, h(anOrder(0)), 0);
    }

    function settle(Order memory order) private {
        market.settle(deal, CaseKind.Claim, h(order), 0);
    }

    function refuseClaim(Order memory order, Receipt memory receipt, bytes memory reason) private {
        bytes memory signature = byRequester(h(order));
        refuse(provider, reason);
        market.claim(deal, order, signature, receipt);
    }
}
