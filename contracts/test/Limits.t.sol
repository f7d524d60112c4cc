// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../src/market/IMarket.sol";
import { Pricing } from "../src/shared/Pricing.sol";
import { SumNode, SumTree } from "../src/shared/SumTree.sol";
import { vm } from "./base/Vm.sol";

/// Calls the shared libraries as a contract does.
contract Shared {
    function share(uint128 amount, uint32 bps) external pure returns (uint128) {
        return Pricing.share(amount, bps);
    }

    function fee(uint128 price, uint128 taskFee, uint128 fuel, uint32 tasks)
        external
        pure
        returns (uint128)
    {
        return Pricing.fee(price, taskFee, fuel, tasks);
    }

    function verify(
        SumNode memory root,
        uint32 tasks,
        uint32 index,
        SumNode memory node,
        SumNode[] calldata siblings
    ) external pure returns (bool) {
        return SumTree.verify(root, tasks, index, node, siblings);
    }

    function leads(
        SumNode memory root,
        SumNode memory node,
        uint32 place,
        SumNode[] calldata siblings
    ) external pure returns (bool) {
        return SumTree.leads(root, node, place, siblings);
    }
}

/// Shared arithmetic where 128 bits end.
contract LimitsTest {
    uint128 constant MOST = type(uint128).max;
    Shared shared = new Shared();

    function test_amountsOf128Bits() public {
        vm.assertEq(shared.share(MOST, 10_000), MOST, "the whole");
        vm.assertEq(shared.fee(MOST, 0, 10 ** 12, 1), MOST, "the dearest order");
        vm.expectRevert(abi.encodeWithSelector(IMarket.AmountOverflow.selector));
        shared.fee(MOST, 1, 10 ** 12, 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.AmountOverflow.selector));
        shared.share(MOST, 10_001);
    }

    function test_sumsOf128Bits() public view {
        SumNode memory left = SumNode("left", MOST - 7);
        SumNode[] memory siblings = new SumNode[](1);
        siblings[0] = SumNode("right", 7);
        bytes32 hash = keccak256(
            abi.encodePacked(uint8(1), left.hash, left.fuel, siblings[0].hash, siblings[0].fuel)
        );
        vm.assertTrue(shared.verify(SumNode(hash, MOST), 2, 0, left, siblings), "the largest sum");
        vm.assertTrue(shared.leads(SumNode(hash, MOST), left, 0, siblings), "from a node, too");
        siblings[0].fuel = 8;
        hash = keccak256(
            abi.encodePacked(uint8(1), left.hash, left.fuel, siblings[0].hash, siblings[0].fuel)
        );
        vm.assertFalse(shared.verify(SumNode(hash, 0), 2, 0, left, siblings), "one more");
        vm.assertFalse(shared.leads(SumNode(hash, 0), left, 0, siblings), "from a node, too");
    }

    /// In a tree of one task the root is its leaf: the task has to be the first all the same.
    function test_thereIsNoTaskBehindTheLast() public view {
        SumNode memory only = SumNode("only", 1);
        vm.assertTrue(shared.verify(only, 1, 0, only, new SumNode[](0)), "the first");
        vm.assertFalse(shared.verify(only, 1, 1, only, new SumNode[](0)), "the second");
    }
}
