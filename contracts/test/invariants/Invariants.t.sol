// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Handler } from "./Handler.sol";

/// What holds after any sequence of moves. More: FOUNDRY_INVARIANT_RUNS=1000
/// FOUNDRY_INVARIANT_DEPTH=200.
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    bool public IS_TEST = true;
    Handler private handler;

    function onlyContracts() internal pure virtual returns (bool) {
        return false;
    }

    function setUp() public {
        handler = new Handler(onlyContracts());
        handler.setUp();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[15] memory moves = [
            Handler.pass.selector,
            Handler.moveMoney.selector,
            Handler.openDeal.selector,
            Handler.flip.selector,
            Handler.severalAtOnce.selector,
            Handler.redeemSome.selector,
            Handler.closeSome.selector,
            Handler.claimSome.selector,
            Handler.lateSome.selector,
            Handler.demandSome.selector,
            Handler.holdSome.selector,
            Handler.stopSome.selector,
            Handler.settleSome.selector,
            Handler.expireSome.selector,
            Handler.slashSome.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](moves.length));
        for (uint256 i = 0; i < moves.length; ++i) {
            targets[0].selectors[i] = moves[i];
        }
    }

    function invariant_market() public {
        handler.checkConservation();
        handler.checkPaid();
        handler.checkCounts();
    }

    /// Runs after the last move of every sequence.
    function afterInvariant() public {
        handler.checkExit();
    }
}

/// The same where no account is a key.
contract ContractsInvariantsTest is InvariantsTest {
    function onlyContracts() internal pure override returns (bool) {
        return true;
    }
}
