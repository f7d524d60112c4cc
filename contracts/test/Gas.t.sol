// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket, Terms } from "../src/interfaces/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Deal } from "../src/types/Deal.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// forge-config: default.isolate = true
contract GasTest is Fixture {
    string constant GROUP = "Market";

    function test_open() public {
        bytes memory signature = byProvider(h(anAsk()));
        vm.prank(requester);
        market.open(anAsk(), signature, someTerms());
        vm.assertLe(vm.snapshotGasLastCall(GROUP, "open"), 110_000, "open");
    }
    function test_redeem() public {
        Deal memory deal = open();
        redeem(deal, aVoucher(FEE, 1, true));
        vm.assertLe(vm.snapshotGasLastCall(GROUP, "redeem_close"), 70_000, "redeem");
    }
}
