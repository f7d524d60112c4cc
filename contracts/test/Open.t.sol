// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { DealStatus, IMarket, Terms } from "../src/interfaces/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Deal } from "../src/types/Deal.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// open, and every way in which it must fail: one mutation each, exactly the expected error.
contract OpenTest is Fixture {
    function test_openLocksBothSides() public {
        bytes memory signature = byProvider(h(anAsk()));
        Deal memory deal = aDeal();
        vm.expectEmit(address(market));
        emit IMarket.DealOpened(h(deal), requester, provider, deal);
        vm.prank(requester);
        bytes32 id = market.open(anAsk(), signature, someTerms());
        vm.assertEq(id, h(deal), "id is the struct hash");
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL, 0);
        checkState(deal, DealStatus.Open, 0, 0);
        checkCounts(deal, 0, 0, 0);
        vm.assertEq(market.askUsed(deal.ask), 1, "uses of the ask");
    }

    function test_severalInOneTransaction() public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IMarket.open, (ask, byProvider(h(ask)), terms));
        terms.salt = 2;
        calls[1] = abi.encodeCall(IMarket.open, (ask, byProvider(h(ask)), terms));
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
        (, uint64 counter) = market.account(requester);
        vm.assertEq(counter, 0, "all or nothing");
    }

    /// A provider that buys from itself moves its own money.
    function test_ownAsk() public {
        Ask memory ask = anAsk();
        bytes memory signature = byProvider(h(ask));
        vm.prank(provider);
        market.open(ask, signature, someTerms());
        checkBalances(WEALTH, WEALTH - BUDGET - COLLATERAL, 0);
    }

    function test_signature() public {
        Ask memory ask = anAsk();
        bytes memory wrong = byRequester(h(ask));
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(ask))));
        market.open(ask, wrong, someTerms());
    }

    /// Nothing in an ask can be changed after it was signed.
    function test_signatureCoversEveryField() public {
        bytes memory signature = byProvider(h(anAsk()));
        for (uint256 field = 1; field < 19; ++field) {
            Ask memory ask = anAsk();
            assembly ("memory-safe") {
                let slot := add(ask, mul(field, 32))
                mstore(slot, xor(mload(slot), 1))
            }
            refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(ask))));
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
            refuseAsk(ask, abi.encodeWithSelector(IMarket.AskNotValidNow.selector, START, ask.from, ask.to));
        }
        (ask.from, ask.to) = (START, START + 1);
        ask.priceStart = 4e6;
        accept(ask, someTerms());
    }

    function test_budgetRange() public {
        Ask memory ask = anAsk();
        Terms memory terms = someTerms();
        terms.budget = ask.minBudget - 1;
        refuseTerms(terms, abi.encodeWithSelector(IMarket.BudgetOutOfRange.selector, terms.budget, 1e6, 5000e6));
        terms.budget = ask.maxBudget + 1;
        refuseTerms(terms, abi.encodeWithSelector(IMarket.BudgetOutOfRange.selector, terms.budget, 1e6, 5000e6));
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
        refuseTerms(terms, abi.encodeWithSelector(IMarket.DurationOutOfRange.selector, 7 days + 1, 7 days));
        terms.duration = 1;
        accept(anAsk(), terms);
        terms.duration = 7 days;
        accept(anAsk(), terms);
    }

    function test_priceFollowsTheCurve() public {
        Terms memory terms = someTerms();
        terms.maxPrice = 4e6 - 1;
        refuseTerms(terms, abi.encodeWithSelector(IMarket.PriceTooHigh.selector, 4e6, 4e6 - 1));
        vm.warp(START + 1);
        accept(anAsk(), terms);
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
        bytes memory signature = byProvider(h(ask));
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
        refuseTerms(terms, abi.encodeWithSelector(IMarket.AskExhausted.selector, h(ask), 3));
        redeem(deal, aVoucher(0, 0, true));
        vm.assertEq(market.askUsed(h(ask)), 2, "a closed deal frees its place");
        accept(ask, terms);
    }

    function test_sameDealTwice() public {
        open();
        refuseTerms(someTerms(), abi.encodeWithSelector(IMarket.DealExists.selector, h(aDeal())));
    }

    /// A closed deal leaves a tombstone: its id is never used again, its vouchers can't be replayed.
    function test_closedDealIsNotReopened() public {
        Deal memory deal = open();
        redeem(deal, aVoucher(FEE, 1, true));
        refuseTerms(someTerms(), abi.encodeWithSelector(IMarket.DealExists.selector, h(deal)));
    }

    function test_requesterNeedsTheBudget() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET + 1);
        refuseTerms(
            someTerms(), abi.encodeWithSelector(IMarket.InsufficientBalance.selector, requester, BUDGET - 1, BUDGET)
        );
    }

    function test_providerNeedsTheCollateral() public {
        vm.prank(provider);
        market.withdraw(provider, WEALTH - COLLATERAL + 1);
        refuseTerms(
            someTerms(),
            abi.encodeWithSelector(IMarket.InsufficientBalance.selector, provider, COLLATERAL - 1, COLLATERAL)
        );
    }

    function accept(Ask memory ask, Terms memory terms) private {
        bytes memory signature = byProvider(h(ask));
        vm.prank(requester);
        market.open(ask, signature, terms);
    }

    function refuseAsk(Ask memory ask, bytes memory reason) private {
        bytes memory signature = byProvider(h(ask));
        refuse(requester, reason);
        market.open(ask, signature, someTerms());
    }

    function refuseTerms(Terms memory terms, bytes memory reason) private {
        bytes memory signature = byProvider(h(anAsk()));
        refuse(requester, reason);
        market.open(anAsk(), signature, terms);
    }
}
