// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { CourtHandler } from "./CourtHandler.sol";

/// Games in any order, with the real market. A longer search: raise the numbers below.
/// forge-config: default.invariant.runs = 24
contract CourtInvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    bool public IS_TEST = true;
    CourtHandler private handler;

    function setUp() public {
        handler = new CourtHandler();
        handler.setUp();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[12] memory moves = [
            CourtHandler.pass.selector,
            CourtHandler.accuseSome.selector,
            CourtHandler.timeoutSome.selector,
            CourtHandler.redeemSome.selector,
            CourtHandler.settleHold.selector,
            CourtHandler.claimSome.selector,
            CourtHandler.lateSome.selector,
            CourtHandler.demandSome.selector,
            CourtHandler.stopSome.selector,
            CourtHandler.settleSome.selector,
            CourtHandler.playSome.selector,
            CourtHandler.playOn.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](moves.length));
        for (uint256 i = 0; i < moves.length; ++i) {
            targets[0].selectors[i] = moves[i];
        }
    }

    function invariant_court() public view {
        handler.checkMoney();
        handler.checkHolds();
    }

    /// Runs after the last move of every sequence.
    function afterInvariant() public {
        handler.checkExit();
    }
}
