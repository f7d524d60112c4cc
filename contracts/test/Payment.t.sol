// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { DealStatus, Ending, IMarket } from "../src/market/IMarket.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Release } from "../src/types/Release.sol";
import { Voucher } from "../src/types/Voucher.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// redeem, close, expire: the peaceful endings.
contract PaymentTest is Fixture {
    Deal deal;

    function setUp() public override {
        super.setUp();
        deal = open();
    }

    // ── redeem ──

    function test_partialVouchersAreCumulative() public {
        vm.expectEmit(address(market));
        emit IMarket.Redeemed(h(deal), 30e6, 1);
        redeem(deal, aVoucher(30e6, 1, false));
        redeem(deal, aVoucher(100e6, 4, false));
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + 100e6, 0);
        checkState(deal, DealStatus.Open, 100e6, 4);
    }

    function test_olderVoucherChangesNothing() public {
        redeem(deal, aVoucher(100e6, 4, false));
        redeem(deal, aVoucher(30e6, 1, false));
        checkState(deal, DealStatus.Open, 100e6, 4);
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + 100e6, 0);
    }

    function test_closingVoucherReturnsEverything() public {
        redeem(deal, aVoucher(30e6, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.Redeemed(h(deal), FEE, 2);
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Redeemed, FEE, BUDGET - FEE, COLLATERAL, 0);
        redeem(deal, aVoucher(FEE, 2, true));
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
        checkState(deal, DealStatus.Closed, FEE, 2);
        vm.assertEq(openDealsOf(provider), 0, "open deals");
        checkAllFree();
    }

    function test_atMostTheBudget() public {
        redeem(deal, aVoucher(type(uint128).max, type(uint64).max, true));
        checkBalances(WEALTH - BUDGET, WEALTH + BUDGET, 0);
        checkAllFree();
    }

    /// Exits have no window: a voucher is good as long as the deal is open.
    function test_redeemLongAfterExpiry() public {
        vm.warp(deal.expiry + 365 days);
        redeem(deal, aVoucher(FEE, 1, true));
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
    }

    function test_redeemIsForTheProvider() public {
        Voucher memory voucher = aVoucher(0, type(uint64).max, false);
        bytes memory signature = byRequester(h(voucher));
        refuse(
            requester, abi.encodeWithSelector(IMarket.Unauthorized.selector, requester, provider)
        );
        market.redeem(deal, voucher, signature);
    }

    function test_voucherOfAnotherDeal() public {
        Voucher memory voucher = aVoucher(FEE, 1, true);
        voucher.deal = bytes32(uint256(1));
        bytes memory signature = byRequester(h(voucher));
        refuse(provider, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(deal), voucher.deal));
        market.redeem(deal, voucher, signature);
    }

    function test_voucherSignedByTheProvider() public {
        Voucher memory voucher = aVoucher(FEE, 1, true);
        bytes memory signature = byProvider(h(voucher));
        refuse(
            provider,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, requesterKey, digest(h(voucher))
            )
        );
        market.redeem(deal, voucher, signature);
    }

    function test_voucherFieldsAreSigned() public {
        bytes memory signature = byRequester(h(aVoucher(FEE, 1, false)));
        Voucher[3] memory changed =
            [aVoucher(FEE + 1, 1, false), aVoucher(FEE, 2, false), aVoucher(FEE, 1, true)];
        for (uint256 i = 0; i < 3; ++i) {
            refuse(
                provider,
                abi.encodeWithSelector(
                    IMarket.InvalidSignature.selector, requesterKey, digest(h(changed[i]))
                )
            );
            market.redeem(deal, changed[i], signature);
        }
    }

    /// Whoever changes a term supplies another deal, which was never opened.
    function test_termsOfTheDealCantBeChanged() public {
        bytes memory signature = byRequester(h(aVoucher(FEE, 1, true)));
        for (uint256 field = 0; field < 14; ++field) {
            Deal memory changed = aDeal();
            assembly ("memory-safe") {
                let slot := add(changed, mul(field, 32))
                mstore(slot, xor(mload(slot), 1))
            }
            refuse(
                provider,
                abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(changed), DealStatus.None)
            );
            market.redeem(changed, aVoucher(FEE, 1, true), signature);
        }
    }

    function test_redeemAfterClose() public {
        redeem(deal, aVoucher(FEE, 1, true));
        bytes memory signature = byRequester(h(aVoucher(FEE, 1, true)));
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        market.redeem(deal, aVoucher(FEE, 1, true), signature);
    }

    /// The watermark stops at 2^48 − 1, whatever a voucher says, and never falls.
    function test_highestWatermark() public {
        uint48 highest = type(uint48).max;
        uint64[3] memory orders = [uint64(highest) - 1, uint64(highest) + 1, 1];
        uint48[3] memory expected = [highest - 1, highest, highest];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(market));
            emit IMarket.Redeemed(h(deal), FEE, expected[i]);
            redeem(deal, aVoucher(FEE, orders[i], false));
            checkState(deal, DealStatus.Open, FEE, expected[i]);
        }
        Order memory order = anOrder(highest - 1);
        bytes memory signature = byRequester(h(order));
        Receipt memory receipt = aReceipt(order);
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.OrderSettled.selector, order.seq, uint64(highest))
        );
        market.claim(deal, order, signature, receipt);
    }

    // ── close ──

    function test_releaseEndsTheDeal() public {
        redeem(deal, aVoucher(30e6, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.Redeemed(h(deal), FEE, 1);
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Released, FEE, BUDGET - FEE, COLLATERAL, 0);
        close(deal, Release(h(deal), FEE));
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
        checkState(deal, DealStatus.Closed, FEE, 1);
    }

    function test_releaseBelowPaidPaysNothingMore() public {
        redeem(deal, aVoucher(FEE, 1, false));
        close(deal, Release(h(deal), 0));
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
    }

    function test_releasePaysAtMostTheBudget() public {
        close(deal, Release(h(deal), type(uint128).max));
        checkBalances(WEALTH - BUDGET, WEALTH + BUDGET, 0);
    }

    function test_closeIsForTheRequester() public {
        Release memory release = Release(h(deal), BUDGET);
        bytes memory signature = byProvider(h(release));
        refuse(provider, abi.encodeWithSelector(IMarket.Unauthorized.selector, provider, requester));
        market.close(deal, release, signature);
    }

    function test_releaseSignedByTheRequester() public {
        Release memory release = Release(h(deal), 0);
        bytes memory signature = byRequester(h(release));
        refuse(
            requester,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, providerKey, digest(h(release))
            )
        );
        market.close(deal, release, signature);
    }

    function test_releaseOfAnotherDeal() public {
        Release memory release = Release(bytes32(uint256(1)), 0);
        bytes memory signature = byProvider(h(release));
        refuse(requester, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(deal), release.deal));
        market.close(deal, release, signature);
    }

    function test_closeAfterClose() public {
        close(deal, Release(h(deal), 0));
        bytes memory signature = byProvider(h(Release(h(deal), 0)));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        market.close(deal, Release(h(deal), 0), signature);
    }

    // ── expire ──

    function test_expiryWindow() public {
        uint64 exit = deal.expiry + GRACE;
        redeem(deal, aVoucher(FEE, 1, false));
        vm.warp(exit - 1);
        refuse(stranger, abi.encodeWithSelector(IMarket.TooEarly.selector, exit - 1, exit));
        market.expire(deal);
        vm.warp(exit);
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Expired, FEE, BUDGET - FEE, COLLATERAL, 0);
        vm.prank(stranger);
        market.expire(deal);
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        market.expire(deal);
    }

    function test_expiryWaitsForCases() public {
        Order memory order = anOrder(0);
        uint256 clean = vm.snapshotState();
        claim(deal, order, aReceipt(order));
        refuseExpiry(1, 0, 0);
        vm.revertToState(clean);
        vm.warp(order.dueBy);
        late(deal, order, anAck(order));
        refuseExpiry(0, 1, 0);
        vm.revertToState(clean);
        demand(deal, order, aReceipt(order), 0);
        refuseExpiry(0, 0, 1);
    }

    function refuseExpiry(uint16 claims, uint16 lates, uint16 holds) private {
        vm.warp(deal.expiry + GRACE);
        refuse(stranger, abi.encodeWithSelector(IMarket.DealBusy.selector, claims, lates, holds));
        market.expire(deal);
    }
}
