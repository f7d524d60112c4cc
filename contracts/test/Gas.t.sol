// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { CaseKind, IMarket, Terms } from "../src/market/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Cancel } from "../src/types/Cancel.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Release } from "../src/types/Release.sol";
import { Voucher } from "../src/types/Voucher.sol";
import { Fixture } from "./base/Fixture.sol";
import { bar, note, noteGas, vm } from "./base/Vm.sol";

/// Gas of whole transactions: base fee, calldata (with the floor of EIP-7623), execution, refunds.
/// `snapshots/Market.json` holds the numbers; run with `RIALTO_ARTIFACT=true` so that they are
/// those of the shipped bytecode.
///
/// Each call is a transaction of its own.
/// forge-config: default.isolate = true
contract GasTest is Fixture {
    string constant GROUP = "Market";
    uint256 constant OTHER = 0x07E4;

    function setUp() public override {
        super.setUp();
        fund(vm.addr(OTHER), WEALTH);
    }

    /// The dearest case: the first deal that the provider ever has.
    function test_open() public {
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, someTerms());
        uint256 gas = snapshot("open, first deal of a provider");
        bar(gas, 83_000, "open");

        Terms memory terms = someTerms();
        terms.salt = 2;
        vm.prank(requester);
        market.open(anAsk(), signature, terms);
        snapshot("open, another deal");
    }

    /// Several providers in one transaction, fresh asks all: what each further one adds.
    function test_openFurther() public {
        uint256[3] memory gas;
        for (uint256 count = 1; count <= 2; ++count) {
            bytes[] memory calls = new bytes[](count);
            for (uint256 i = 0; i < count; ++i) {
                Ask memory ask = anAsk();
                ask.salt = uint64(uint256(keccak256(abi.encode(count, i))));
                ask.provider = i == 0 ? provider : vm.addr(OTHER);
                bytes memory signature = sign(i == 0 ? PROVIDER : OTHER, h(ask));
                calls[i] = abi.encodeCall(IMarket.open, (ask, signature, someTerms()));
            }
            vm.prank(requester);
            market.multicall(calls);
            gas[count] = snapshot(count == 1 ? "multicall, 1 open" : "multicall, 2 opens");
        }
        note(GROUP, "open, each further one", gas[2] - gas[1]);
        bar(gas[2] - gas[1], 60_000, "each further open");
    }

    function test_redeem() public {
        Deal memory deal = open();
        redeemBy(deal, aVoucher(FEE, 1, false));
        snapshot("redeem, partial");
        redeemBy(deal, aVoucher(2 * FEE, 2, true));
        bar(snapshot("redeem, closing"), 55_200, "redeem that closes");
    }

    /// All that a deal costs, whatever number of jobs and tasks it carries.
    function test_wholeDeal() public {
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, someTerms());
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        redeemBy(aDeal(), aVoucher(FEE, 1000, true));
        gas += vm.lastCallGas().gasTotalUsed;
        note(GROUP, "whole deal", gas);
        bar(gas, 140_000, "whole deal");
    }

    /// The dearest case: the requester's account was emptied by the deal, the provider's too.
    function test_wholeDealOfEmptyAccounts() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET);
        vm.prank(provider);
        market.withdraw(provider, WEALTH - COLLATERAL);
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, someTerms());
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        redeemBy(aDeal(), aVoucher(FEE, 1000, true));
        uint256 closing = snapshot("redeem, closing, empty accounts");
        note(GROUP, "whole deal, empty accounts", gas + closing);
        bar(gas + closing, 140_000, "whole deal");
    }

    function test_close() public {
        Release memory release = Release(h(open()), FEE);
        bytes memory signature = byProvider(h(release));
        vm.prank(requester);
        market.close(aDeal(), release, signature);
        snapshot("close");
    }

    function test_expire() public {
        Deal memory deal = open();
        vm.warp(deal.expiry + GRACE);
        market.expire(deal);
        snapshot("expire");
    }

    function test_claim() public {
        Deal memory deal = open();
        Order memory order = anOrder(0);
        bytes memory signature = byRequester(h(order));
        Receipt memory receipt = aReceipt(order);
        vm.prank(provider);
        market.claim(deal, order, signature, receipt);
        snapshot("claim");
        vm.warp(START + CHALLENGE);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        snapshot("settle, claim");
    }

    function test_late() public {
        Deal memory deal = open();
        vm.warp(START + 600);
        for (uint64 seq = 0; seq < 3; ++seq) {
            Order memory order = anOrder(seq);
            bytes memory signature = byProvider(h(anAck(order)));
            vm.prank(requester);
            market.late(deal, order, anAck(order), signature);
        }
        snapshot("late");
        Receipt memory receipt = aReceipt(anOrder(0));
        vm.prank(provider);
        market.answer(deal, anOrder(0), receipt, "");
        snapshot("answer");
        Cancel memory cancel = Cancel(h(anOrder(2)));
        market.excuse(deal, cancel, byRequester(h(cancel)));
        snapshot("excuse");
        vm.warp(START + 600 + ANSWER);
        market.settle(deal, CaseKind.Late, h(anOrder(1)), 0);
        snapshot("settle, late");
    }

    function test_demand() public {
        Deal memory deal = open();
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        bytes memory signature = byProvider(h(receipt));
        for (uint32 task = 0; task < 2; ++task) {
            vm.prank(requester);
            market.demand(deal, order, receipt, signature, task);
        }
        snapshot("demand");
        reveal(deal, order, receipt, 0);
        snapshot("reveal");
        vm.warp(START + ANSWER);
        market.settle(deal, CaseKind.Demand, h(receipt), 1);
        snapshot("settle, demand");
    }

    function test_court() public {
        Deal memory deal = open();
        vm.prank(court);
        market.hold(deal, "game", START + 1);
        snapshot("hold");
        vm.prank(court);
        market.slash(deal, requester);
        snapshot("slash");
        Terms memory terms = someTerms();
        terms.salt = 2;
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, terms);
        deal.salt = 2;
        vm.prank(court);
        market.slash(deal, stranger);
        snapshot("slash, with a bounty");
    }

    function test_accounts() public {
        token.mint(requester, 2);
        vm.prank(requester);
        token.approve(address(market), 2);
        vm.prank(requester);
        market.deposit(requester, 1);
        snapshot("deposit");
        vm.prank(requester);
        market.withdraw(requester, 1);
        snapshot("withdraw");
        vm.prank(provider);
        market.cancelAsks(1);
        snapshot("cancelAsks");
        vm.prank(requester);
        market.allow(provider, 10);
        snapshot("allow");
        vm.prank(provider);
        market.take(requester, 1);
        snapshot("take");
        vm.prank(provider);
        market.give(requester, 1);
        snapshot("give");
    }

    function test_size() public {
        note("Size", "Market", address(market).code.length);
        bar(address(market).code.length, 24_575, "EIP-170");
    }

    function redeemBy(Deal memory deal, Voucher memory voucher) private {
        bytes memory signature = byRequester(h(voucher));
        vm.prank(provider);
        market.redeem(deal, voucher, signature);
    }

    function snapshot(string memory name) private returns (uint256) {
        return noteGas(GROUP, name);
    }
}
