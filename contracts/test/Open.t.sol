// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { DealStatus, IMarket, Terms } from "../src/market/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Deal } from "../src/types/Deal.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// open, and every way in which it must fail: one mutation each, exactly the expected error.
contract OpenTest is Fixture {
    function test_openLocksBothSides() public {
        bytes memory signature = bySeller(anAsk());
        Deal memory deal = aDeal();
        vm.expectEmit(address(market));
        emit IMarket.DealOpened(h(deal), requester, provider, deal);
        vm.prank(requester);
        bytes32 id = market.open(anAsk(), signature, someTerms());
        vm.assertEq(id, h(deal), "id is the struct hash");
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL, 0);
        checkState(deal, DealStatus.Open, 0, 0);
        checkCounts(deal, 0, 0, 0);
        vm.assertEq(openDealsOf(provider), 1, "open deals");
    }

    function test_severalInOneTransaction() public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IMarket.open, (ask, bySeller(ask), terms));
        terms.salt = 2;
        calls[1] = abi.encodeCall(IMarket.open, (ask, bySeller(ask), terms));
        vm.prank(requester);
        bytes[] memory results = market.multicall(calls);
        vm.assertEq(abi.decode(results[0], (bytes32)), h(aDeal()), "first id");
        checkBalances(WEALTH - 2 * BUDGET, WEALTH - 2 * COLLATERAL, 0);
    }

    function test_multicallPassesTheErrorOn() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IMarket.cancelAsks, (1));
        calls[1] = abi.encodeCall(IMarket.cancelAsks, (1));
        refuse(requester, abi.encodeWithSelector(IMarket.CounterNotRaised.selector, 1, 1));
        market.multicall(calls);
        (, uint64 counter,) = market.account(requester);
        vm.assertEq(counter, 0, "all or nothing");
    }

    /// A provider that buys from itself moves its own money.
    function test_ownAsk() public {
        Ask memory ask = anAsk();
        bytes memory signature = bySeller(ask);
        vm.prank(provider);
        market.open(ask, signature, someTerms());
        checkBalances(WEALTH, WEALTH - BUDGET - COLLATERAL, 0);
    }

    function test_signature() public {
        Ask memory ask = anAsk();
        bytes memory wrong = byRequester(h(ask));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(ask)))
        );
        market.open(ask, wrong, someTerms());
    }

    /// Nothing in an ask can be changed after it was signed.
    function test_signatureCoversEveryField() public {
        bytes memory signature = bySeller(anAsk());
        for (uint256 field = 1; field < 31; ++field) {
            Ask memory ask = anAsk();
            assembly ("memory-safe") {
                let slot := add(ask, mul(field, 32))
                // The last field is the place of the limits.
                if gt(field, 20) {
                    slot := add(mload(add(ask, 672)), mul(sub(field, 21), 32))
                }
                mstore(slot, xor(mload(slot), 1))
            }
            refuse(
                requester,
                abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(ask)))
            );
            market.open(ask, signature, someTerms());
        }
    }

    function test_counter() public {
        vm.prank(provider);
        market.cancelAsks(1);
        refuseAsk(anAsk(), abi.encodeWithSelector(IMarket.AskCancelled.selector, 1, 0));
        Ask memory ask = anAsk();
        ask.counter = 2;
        refuseAsk(ask, abi.encodeWithSelector(IMarket.AskCancelled.selector, 1, 2));
        ask.counter = 1;
        accept(ask, someTerms());
    }

    function test_askWindow() public {
        Ask memory ask = anAsk();
        for (uint64 i = 0; i < 2; ++i) {
            (ask.from, ask.to) = i == 0 ? (START + 1, START + 2) : (START - 1, START);
            refuseAsk(
                ask,
                abi.encodeWithSelector(IMarket.AskNotValidNow.selector, START, ask.from, ask.to)
            );
        }
        (ask.from, ask.to) = (START, START + 1);
        ask.priceStart = 4e6;
        accept(ask, someTerms());
    }

    function test_budgetRange() public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        terms.budget = ask.minBudget - 1;
        refuseTerms(
            terms,
            abi.encodeWithSelector(IMarket.BudgetOutOfRange.selector, terms.budget, 1e6, 5000e6)
        );
        terms.budget = ask.maxBudget + 1;
        refuseTerms(
            terms,
            abi.encodeWithSelector(IMarket.BudgetOutOfRange.selector, terms.budget, 1e6, 5000e6)
        );
        terms.budget = ask.minBudget;
        accept(ask, terms);
        terms.budget = ask.maxBudget;
        accept(ask, terms);
    }

    function test_durationRange() public {
        Terms memory terms = someTerms();
        terms.duration = 0;
        refuseTerms(terms, abi.encodeWithSelector(IMarket.DurationOutOfRange.selector, 0, 7 days));
        terms.duration = 7 days + 1;
        refuseTerms(
            terms, abi.encodeWithSelector(IMarket.DurationOutOfRange.selector, 7 days + 1, 7 days)
        );
        terms.duration = 1;
        accept(anAsk(), terms);
        terms.duration = 7 days;
        accept(anAsk(), terms);
    }

    function test_priceFollowsTheCurve() public {
        Terms memory terms = someTerms();
        terms.maxPrice = 4e6 - 1;
        refuseTerms(terms, abi.encodeWithSelector(IMarket.PriceTooHigh.selector, 4e6, 4e6 - 1));
        // It is the price of the moment that the terms name, not that of the block.
        vm.warp(START + 1);
        refuseTerms(terms, abi.encodeWithSelector(IMarket.PriceTooHigh.selector, 4e6, 4e6 - 1));
        terms.openedAt = START + 1;
        accept(anAsk(), terms);
    }

    /// A rising price is rounded down, a falling one up.
    function test_priceBetweenItsEnds() public {
        Ask memory ask = anAsk();
        (ask.from, ask.to) = (START - 2, START + 1);
        uint128[2][3] memory ends = [[uint128(2e6), 6e6], [uint128(6e6), 2e6], [uint128(3e6), 3e6]];
        uint128[3] memory prices = [uint128(4_666_666), 3_333_334, 3e6];
        for (uint256 i = 0; i < 3; ++i) {
            (ask.priceStart, ask.priceEnd) = (ends[i][0], ends[i][1]);
            Terms memory terms = someTerms();
            terms.maxPrice = prices[i] - 1;
            bytes memory signature = bySeller(ask);
            refuse(
                requester,
                abi.encodeWithSelector(IMarket.PriceTooHigh.selector, prices[i], terms.maxPrice)
            );
            market.open(ask, signature, terms);
            terms.maxPrice = prices[i];
            accept(ask, terms);
        }
    }

    function test_latePenaltyIsAtMostTheCollateral() public {
        Ask memory ask = anAsk();
        ask.latePenaltyBps = 10_001;
        refuseAsk(ask, abi.encodeWithSelector(IMarket.PenaltyTooHigh.selector, 10_001));
        ask.latePenaltyBps = 10_000;
        accept(ask, someTerms());
    }

    function test_collateralMayExceedTheBudget() public {
        Ask memory ask = anAsk();
        ask.collateralBps = 30_000;
        accept(ask, someTerms());
        vm.assertEq(balance(provider), WEALTH - 3 * BUDGET, "three budgets locked");
        ask.collateralBps = type(uint32).max;
        ask.maxBudget = type(uint128).max;
        Terms memory terms = someTerms();
        terms.budget = type(uint128).max;
        bytes memory signature = bySeller(ask);
        refuse(requester, abi.encodeWithSelector(IMarket.AmountOverflow.selector));
        market.open(ask, signature, terms);
    }

    function test_capacityCountsOpenDeals() public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        Deal memory deal = open();
        for (terms.salt = 1; terms.salt < 3; ++terms.salt) {
            accept(ask, terms);
        }
        refuseTerms(terms, abi.encodeWithSelector(IMarket.ProviderFull.selector, 3, 3));
        redeem(deal, aVoucher(0, 0, true));
        vm.assertEq(openDealsOf(provider), 2, "a closed deal frees its place");
        accept(ask, terms);
    }

    /// Capacity is the account's, however many asks it signs; each ask says how full it may be.
    function test_capacityCountsDealsOfOtherAsks() public {
        Ask memory other = anAsk();
        (other.salt, other.capacity) = (2, 2);
        accept(other, someTerms());
        open();
        refuseAsk(other, abi.encodeWithSelector(IMarket.ProviderFull.selector, 2, 2));
        other.capacity = 0;
        refuseAsk(other, abi.encodeWithSelector(IMarket.ProviderFull.selector, 2, 0));
        Terms memory terms = someTerms();
        terms.salt = 3;
        accept(anAsk(), terms);
        vm.assertEq(openDealsOf(provider), 3, "open deals");
        // Those that it buys don't count.
        vm.assertEq(openDealsOf(requester), 0, "the requester sells nothing");
    }

    // ── the moment that the terms name ──

    function test_openingTolerance() public {
        Ask memory ask = anAsk();
        (ask.from, ask.to) = (0, type(uint64).max);
        (ask.priceStart, ask.priceEnd, ask.capacity) = (4e6, 4e6, 10);
        Terms memory terms = someTerms();
        uint64[5] memory refused = [START - 601, START + 1, START + 600, 0, type(uint64).max];
        for (uint256 i = 0; i < 5; ++i) {
            terms.openedAt = refused[i];
            refuseBoth(
                ask,
                terms,
                abi.encodeWithSelector(
                    IMarket.OpeningOutOfRange.selector, refused[i], START - 600, START
                )
            );
        }
        uint64[4] memory accepted = [START - 600, START - 599, START - 1, START];
        for (uint64 i = 0; i < 4; ++i) {
            (terms.openedAt, terms.salt) = (accepted[i], i);
            accept(ask, terms);
        }
    }

    /// Price, expiry and id follow from ask and terms alone, whichever block it gets into.
    function test_idIsKnownBefore() public {
        bytes32 id = h(aDeal());
        uint256 clean = vm.snapshotState();
        uint64[3] memory blocks = [START, START + 1, START + 600];
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(blocks[i]);
            open();
            checkState(aDeal(), DealStatus.Open, 0, 0);
            vm.assertEq(h(aDeal()), id, "the same id");
            vm.revertToState(clean);
        }
        vm.warp(START + 601);
        refuseTerms(
            someTerms(),
            abi.encodeWithSelector(
                IMarket.OpeningOutOfRange.selector, START, START + 1, START + 601
            )
        );
    }

    /// An ask has to be valid at the moment that the terms name.
    function test_askWindowAtTheNamedMoment() public {
        Ask memory ask = anAsk();
        (ask.from, ask.to) = (START, START + 1);
        ask.priceStart = 4e6;
        Terms memory terms = someTerms();
        vm.warp(START + 600);
        terms.openedAt = START + 1;
        refuseBoth(
            ask,
            terms,
            abi.encodeWithSelector(IMarket.AskNotValidNow.selector, START + 1, START, START + 1)
        );
        terms.openedAt = START;
        accept(ask, terms);
    }

    /// A deal that is over before it is open, by a second.
    function test_dealEndsAfterTheBlock() public {
        Terms memory terms = someTerms();
        terms.duration = 600;
        vm.warp(START + 600);
        refuseTerms(terms, abi.encodeWithSelector(IMarket.DurationOutOfRange.selector, 600, 7 days));
        terms.duration = 601;
        accept(anAsk(), terms);
    }

    /// The longest duration there is: nothing overflows, and the deal ends.
    function test_longestDuration() public {
        Ask memory ask = anAsk();
        ask.maxSeconds = type(uint32).max;
        Terms memory terms = someTerms();
        terms.duration = type(uint32).max;
        accept(ask, terms);
        Deal memory deal = aDeal();
        (deal.ask, deal.expiry) = (h(ask), START + type(uint32).max);
        vm.warp(deal.expiry + GRACE);
        market.expire(deal);
        checkAllFree();
    }

    function test_bothSidesNeedAKey() public {
        Terms memory terms = someTerms();
        terms.key = address(0);
        refuseTerms(terms, abi.encodeWithSelector(IMarket.NoKey.selector));
        Ask memory ask = anAsk();
        ask.key = address(0);
        refuseAsk(ask, abi.encodeWithSelector(IMarket.NoKey.selector));
    }

    /// The key of the deal signs in it, and the account's signs the ask: neither can do what the
    /// other does.
    function test_askIsSignedByTheAccount() public {
        Ask memory ask = anAsk();
        bytes memory wrong = byProvider(h(ask));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(ask)))
        );
        market.open(ask, wrong, someTerms());
    }

    function test_sameDealTwice() public {
        open();
        refuseTerms(someTerms(), abi.encodeWithSelector(IMarket.DealExists.selector, h(aDeal())));
    }

    /// A closed deal leaves a tombstone: its id is never used again, its vouchers can't be
    /// replayed.
    function test_closedDealIsNotReopened() public {
        Deal memory deal = open();
        redeem(deal, aVoucher(FEE, 1, true));
        refuseTerms(someTerms(), abi.encodeWithSelector(IMarket.DealExists.selector, h(deal)));
    }

    function test_requesterNeedsTheBudget() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET + 1);
        refuseTerms(
            someTerms(),
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, requester, BUDGET - 1, BUDGET
            )
        );
    }

    function test_providerNeedsTheCollateral() public {
        vm.prank(provider);
        market.withdraw(provider, WEALTH - COLLATERAL + 1);
        refuseTerms(
            someTerms(),
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, provider, COLLATERAL - 1, COLLATERAL
            )
        );
    }

    function accept(Ask memory ask, Terms memory terms) private {
        bytes memory signature = bySeller(ask);
        vm.prank(requester);
        market.open(ask, signature, terms);
    }

    function refuseAsk(Ask memory ask, bytes memory reason) private {
        bytes memory signature = bySeller(ask);
        refuse(requester, reason);
        market.open(ask, signature, someTerms());
    }

    function refuseBoth(Ask memory ask, Terms memory terms, bytes memory reason) private {
        bytes memory signature = bySeller(ask);
        refuse(requester, reason);
        market.open(ask, signature, terms);
    }

    function refuseTerms(Terms memory terms, bytes memory reason) private {
        bytes memory signature = bySeller(anAsk());
        refuse(requester, reason);
        market.open(anAsk(), signature, terms);
    }
}
