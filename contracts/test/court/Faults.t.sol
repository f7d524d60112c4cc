// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { Fault, ICourt, SumFault } from "../../src/court/ICourt.sol";
import { DealStatus, Ending, IMarket } from "../../src/market/IMarket.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";

/// What is wrong with a receipt on its face: sums, padding, and fuel that its own halted state
/// contradicts.
contract FaultsTest is CourtFixture {
    Deal deal;
    Order order;

    function setUp() public override {
        super.setUp();
        deal = open();
        order = judged(0);
        order.tasks = 5;
    }

    /// Levels of an honest tree over five tasks of 1 to 5 Tfuel, padded to eight.
    function tree() private pure returns (SumNode[][] memory levels) {
        levels = new SumNode[][](4);
        levels[0] = new SumNode[](8);
        for (uint256 i = 0; i < 5; ++i) {
            levels[0][i] = leaf(keccak256(abi.encode("halted", i)), uint64((i + 1) * 1e12));
        }
        for (uint256 level = 1; level < 4; ++level) {
            levels[level] = new SumNode[](8 >> level);
            grow(levels, level);
        }
    }

    function grow(SumNode[][] memory levels, uint256 level) private pure {
        for (uint256 i = 0; i < levels[level].length; ++i) {
            levels[level][i] = join(levels[level - 1][2 * i], levels[level - 1][2 * i + 1]);
        }
    }

    /// The same tree, but `node`'s fuel is so much more than it should be, and all above follows
    /// from that.
    function treeWith(uint256 level, uint256 place, uint128 more)
        private
        pure
        returns (SumNode[][] memory levels)
    {
        levels = tree();
        levels[level][place].fuel += more;
        for (uint256 above = level + 1; above < 4; ++above) {
            grow(levels, above);
        }
    }

    function receiptOver(SumNode[][] memory levels) private view returns (Receipt memory) {
        return Receipt(h(order), levels[3][0].hash, levels[3][0].fuel, 0);
    }

    function faultAt(SumNode[][] memory levels, uint256 level, uint256 place)
        private
        pure
        returns (SumFault memory it)
    {
        it.node = levels[level][place];
        it.place = uint32(place);
        if (level > 0) {
            (it.left, it.right) = (levels[level - 1][2 * place], levels[level - 1][2 * place + 1]);
        }
        it.siblings = new SumNode[](3 - level);
        for (uint256 above = level; above < 3; ++above) {
            it.siblings[above - level] = levels[above][(place >> (above - level)) ^ 1];
        }
    }

    function convict(Receipt memory receipt, SumFault memory it) private {
        bytes memory signature = byProvider(h(receipt));
        vm.prank(stranger);
        theCourt.wrongSum(deal, order, receipt, signature, it);
    }

    function refuseFault(Receipt memory receipt, SumFault memory it, bytes memory reason) private {
        bytes memory signature = byProvider(h(receipt));
        refuse(stranger, reason);
        theCourt.wrongSum(deal, order, receipt, signature, it);
    }

    /// Wherever the fuel is overstated or understated, by however little.
    function test_wrongSumAnywhere(uint8 level, uint8 place, bool less) public {
        level = 1 + level % 3;
        place %= uint8(8 >> level);
        SumNode[][] memory levels = treeWith(level, place, 0);
        if (less && levels[level][place].fuel == 0) less = false;
        levels[level][place].fuel =
            less ? levels[level][place].fuel - 1 : levels[level][place].fuel + 1;
        for (uint256 above = level + 1; above < 4; ++above) {
            grow(levels, above);
        }
        Receipt memory receipt = receiptOver(levels);
        vm.expectEmit(address(theCourt));
        emit ICourt.Convicted(h(deal), h(receipt), provider, Fault.Sum);
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Slashed, 0, BUDGET + 350e6, 0, 150e6);
        convict(receipt, faultAt(levels, level, place));
        // It was a stranger who showed it: a fifth of the collateral is its bounty.
        checkBalances(RICH + 250e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(balance(stranger), PURSE + 100e6, "bounty");
        checkNoBonds();
    }

    /// The receipt's own total, its tree being right.
    function test_wrongTotal() public {
        SumNode[][] memory levels = tree();
        Receipt memory receipt = receiptOver(levels);
        receipt.fuel += 1;
        levels[3][0].fuel += 1;
        convict(receipt, faultAt(levels, 3, 0));
        checkState(deal, DealStatus.Closed, 0, 0);
    }

    /// Sums that don't fit 128 bits are no sums.
    function test_sumThatOverflows() public {
        SumNode[][] memory levels = tree();
        (levels[2][0].fuel, levels[2][1].fuel) = (type(uint128).max, 2);
        bytes32 root = keccak256(
            bytes.concat(
                bytes1(0x01),
                levels[2][0].hash,
                bytes16(levels[2][0].fuel),
                levels[2][1].hash,
                bytes16(levels[2][1].fuel)
            )
        );
        levels[3][0] = SumNode(root, 1);
        convict(receiptOver(levels), faultAt(levels, 3, 0));
        checkState(deal, DealStatus.Closed, 0, 0);
    }

    /// In the first node of the padding, too.
    function test_fuelInPadding() public {
        uint256[3] memory levelOf = [uint256(0), 0, 1];
        uint256[3] memory placeOf = [uint256(5), 7, 3];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 id = vm.snapshotState();
            (uint256 level, uint256 place) = (levelOf[i], placeOf[i]);
            SumNode[][] memory levels = treeWith(level, place, 1);
            SumFault memory it = faultAt(levels, level, place);
            // Children are not looked at.
            (it.left, it.right) = (SumNode(0, 0), SumNode(0, 0));
            convict(receiptOver(levels), it);
            checkState(deal, DealStatus.Closed, 0, 0);
            vm.revertToState(id);
        }
    }

    /// Padding without fuel, but not empty either.
    function test_hashInPadding() public {
        for (uint256 level = 0; level < 2; ++level) {
            uint256 id = vm.snapshotState();
            uint256 place = level == 0 ? 7 : 3;
            SumNode[][] memory levels = tree();
            levels[level][place].hash = keccak256("padding");
            for (uint256 above = level + 1; above < 4; ++above) {
                grow(levels, above);
            }
            SumFault memory it = faultAt(levels, level, place);
            (it.left, it.right) = (SumNode(0, 0), SumNode(0, 0));
            convict(receiptOver(levels), it);
            checkState(deal, DealStatus.Closed, 0, 0);
            vm.revertToState(id);
        }
    }

    /// By the requester itself: no bounty.
    function test_requesterConvicts() public {
        SumNode[][] memory levels = treeWith(1, 1, 1);
        Receipt memory receipt = receiptOver(levels);
        bytes memory signature = byProvider(h(receipt));
        vm.prank(requester);
        theCourt.wrongSum(deal, order, receipt, signature, faultAt(levels, 1, 1));
        checkBalances(RICH + 350e6, WEALTH - COLLATERAL, 150e6);
    }

    /// No node of an honest receipt can be accused.
    function test_honestTreeStands(uint8 level, uint8 place, uint128 fuel) public {
        level %= 4;
        place %= uint8(8 >> level);
        SumNode[][] memory levels = tree();
        Receipt memory receipt = receiptOver(levels);
        SumFault memory it = faultAt(levels, level, place);
        bytes memory fine = abi.encodeWithSelector(ICourt.SumIsRight.selector);
        refuseFault(receipt, it, fine);
        // Other children.
        it.left.fuel ^= fuel | 1;
        refuseFault(receipt, it, fine);
        // Another fuel for the node: not in the tree.
        it = faultAt(levels, level, place);
        it.node.fuel ^= fuel | 1;
        refuseFault(receipt, it, abi.encodeWithSelector(IMarket.NotInReceipt.selector, place));
    }

    function test_faultsThatAreNotInTheTree() public {
        SumNode[][] memory levels = treeWith(1, 1, 1);
        Receipt memory receipt = receiptOver(levels);
        SumFault memory it = faultAt(levels, 1, 1);
        it.place = 0;
        refuseFault(receipt, it, abi.encodeWithSelector(IMarket.NotInReceipt.selector, 0));
        // The same path, with a place that would make it padding.
        it.place = 1 + 4;
        refuseFault(receipt, it, abi.encodeWithSelector(IMarket.NotInReceipt.selector, 5));
        it = faultAt(levels, 1, 1);
        it.siblings = new SumNode[](4);
        refuseFault(receipt, it, abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1));
        // A wrong node below a wrong node: the sums above it must be right.
        levels = treeWith(1, 1, 1);
        levels[2][0].fuel += 1;
        grow(levels, 3);
        receipt = receiptOver(levels);
        refuseFault(
            receipt, faultAt(levels, 1, 1), abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1)
        );
        convict(receipt, faultAt(levels, 2, 0));
    }

    /// Sums above the node that don't fit 128 bits are in no receipt.
    function test_siblingsThatOverflow() public {
        SumNode[][] memory levels = treeWith(1, 1, 1);
        SumFault memory it = faultAt(levels, 1, 1);
        it.siblings[0].fuel = type(uint128).max;
        refuseFault(
            receiptOver(levels), it, abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1)
        );
    }

    /// A leaf is no node: its two halves are not children.
    function test_leafIsNoNode() public {
        SumNode[][] memory levels = tree();
        SumFault memory it = faultAt(levels, 0, 2);
        (it.left, it.right) = (levels[0][0], levels[0][1]);
        refuseFault(receiptOver(levels), it, abi.encodeWithSelector(ICourt.SumIsRight.selector));
    }

    function test_faultNeedsTheProvidersWordAndTheCourt() public {
        SumNode[][] memory levels = treeWith(1, 1, 1);
        Receipt memory receipt = receiptOver(levels);
        SumFault memory it = faultAt(levels, 1, 1);
        bytes memory signature = byRequester(h(receipt));
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, providerKey, digest(h(receipt))
            )
        );
        theCourt.wrongSum(deal, order, receipt, signature, it);
        signature = byProvider(h(receipt));
        redeem(deal, aVoucher(0, 0, true));
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
        theCourt.wrongSum(deal, order, receipt, signature, it);
    }

    // ── fuel ──

    function haltedWith(int64 left) private pure returns (Halted memory halted) {
        halted.fuelLeft = left;
    }

    /// A receipt whose task 1 of 2 has this leaf.
    function receiptWith(Halted memory halted, uint64 fuel) private view returns (Receipt memory) {
        SumNode memory root = join(aLeaf(0), leaf(h(halted), fuel));
        return Receipt(h(order), root.hash, root.fuel, 0);
    }

    function test_wrongFuel() public {
        order.tasks = 2;
        Halted memory halted = haltedWith(int64(FUEL) - 1000);
        uint64[4] memory fuels = [uint64(999), 1000, 1001, FUEL];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 id = vm.snapshotState();
            Receipt memory receipt = receiptWith(halted, fuels[i]);
            bytes memory signature = byProvider(h(receipt));
            if (fuels[i] == 1000) {
                refuse(stranger, abi.encodeWithSelector(ICourt.FuelIsRight.selector, 1000));
            } else {
                vm.expectEmit(address(theCourt));
                emit ICourt.Convicted(h(deal), h(receipt), provider, Fault.Fuel);
                vm.prank(stranger);
            }
            theCourt.wrongFuel(
                deal, order, receipt, signature, 1, fuels[i], halted, siblings(aLeaf(0))
            );
            checkState(deal, fuels[i] == 1000 ? DealStatus.Open : DealStatus.Closed, 0, 0);
            vm.revertToState(id);
        }
    }

    /// Out of fuel: all of it was used.
    function test_fuelOfARunThatRanOut() public {
        order.tasks = 2;
        Halted memory halted = haltedWith(-3);
        Receipt memory receipt = receiptWith(halted, FUEL);
        bytes memory signature = byProvider(h(receipt));
        vm.expectRevert(abi.encodeWithSelector(ICourt.FuelIsRight.selector, FUEL));
        theCourt.wrongFuel(deal, order, receipt, signature, 1, FUEL, halted, siblings(aLeaf(0)));
        // Another halted state is not the leaf's.
        halted.fuelLeft = 5;
        vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1));
        theCourt.wrongFuel(deal, order, receipt, signature, 1, FUEL, halted, siblings(aLeaf(0)));
    }
}
