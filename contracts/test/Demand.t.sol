// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../src/types/Halted.sol";
import {
    CaseKind,
    CaseOutcome,
    CaseStatus,
    DealStatus,
    Ending,
    IMarket
} from "../src/market/IMarket.sol";
import { SumNode } from "../src/shared/SumTree.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// demand, reveal, and settle of demands.
contract DemandTest is Fixture {
    Deal deal;
    uint128 constant COMPENSATION = 350e6;
    uint128 constant BURN = 150e6;

    function setUp() public override {
        super.setUp();
        deal = open();
    }

    function test_unansweredIsGuilty() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        vm.expectEmit(address(market));
        emit IMarket.Demanded(h(deal), h(receipt), 1, 0, START + ANSWER, BOND);
        demand(deal, anOrder(0), receipt, 1);
        checkCounts(deal, 0, 0, 1);
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL, 0);

        vm.warp(START + ANSWER - 1);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.TooEarly.selector, START + ANSWER - 1, START + ANSWER)
        );
        market.settle(deal, CaseKind.Demand, h(receipt), 1);
        vm.warp(START + ANSWER);
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(
            h(deal), h(receipt), CaseKind.Demand, 1, CaseOutcome.Defaulted, BOND
        );
        vm.expectEmit(address(market));
        emit IMarket.DealClosed(h(deal), Ending.Withheld, 0, BUDGET + COMPENSATION, 0, BURN);
        settle(receipt, 1);
        checkBalances(WEALTH + COMPENSATION, WEALTH - COLLATERAL, BURN);
        checkAllFree();
    }

    function test_revealGetsTheBond() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        demand(deal, order, receipt, 0);
        demand(deal, order, receipt, 1);
        vm.warp(START + ANSWER - 1);
        vm.expectEmit(address(market));
        emit IMarket.Revealed(
            h(deal), h(receipt), 0, 4e12, aHalted(0), siblings(aLeaf(1)), output(0)
        );
        reveal(deal, order, receipt, 0);
        reveal(deal, order, receipt, 1);
        checkCounts(deal, 0, 0, 0);
        checkBalances(WEALTH - BUDGET - 2 * BOND, WEALTH - COLLATERAL + 2 * BOND, 0);
    }

    function test_revealWindow() public {
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
        vm.warp(START + ANSWER);
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.TooLate.selector, START + ANSWER, START + ANSWER)
        );
        revealTask0(aHalted(0), aLeaf(1), output(0));
    }

    // ── what reveal refuses ──

    /// Anyone can show it, a watchtower or the requester itself; the provider gets the bond.
    function test_anyoneReveals() public {
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
        vm.prank(stranger);
        revealTask0(aHalted(0), aLeaf(1), output(0));
        checkBalances(WEALTH - BUDGET - BOND, WEALTH - COLLATERAL + BOND, 0);
        vm.assertEq(balance(stranger), 0, "not whoever sent it");
        checkCounts(deal, 0, 0, 0);
    }

    function test_revealWithoutDemand() public {
        bytes32 receipt = h(aReceipt(anOrder(0)));
        refuse(
            provider,
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Demand, receipt, 0, CaseStatus.None
            )
        );
        revealTask0(aHalted(0), aLeaf(1), output(0));
    }

    function test_revealOfAnotherOrder() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        demand(deal, anOrder(0), receipt, 0);
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.WrongOrder.selector, h(anOrder(1)), receipt.order)
        );
        market.reveal(deal, anOrder(1), receipt, 0, 4e12, aHalted(0), siblings(aLeaf(1)), output(0));
    }

    function test_revealOfAnotherLeaf() public {
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
        bytes memory reason = abi.encodeWithSelector(IMarket.NotInReceipt.selector, 0);
        refuse(provider, reason);
        revealTask0(aHalted(1), aLeaf(1), "");
        Halted memory halted = aHalted(0);
        halted.exitCode = 1;
        refuse(provider, reason);
        revealTask0(halted, aLeaf(1), output(0));
        refuse(provider, reason);
        revealTask0(aHalted(0), aLeaf(0), output(0));
    }

    /// Neighbours can't be swapped: the index decides the side.
    function test_revealOnTheWrongSide() public {
        Order memory order = anOrder(0);
        demand(deal, order, aReceipt(order), 1);
        refuse(provider, abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1));
        market.reveal(
            deal, order, aReceipt(order), 1, 4e12, aHalted(0), siblings(aLeaf(1)), output(0)
        );
    }

    function test_fuelIsWhatTheTaskUsed() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        // The provider says 5 Tfuel where the halted state says 4.
        SumNode memory root = join(leaf(h(aHalted(0)), 5e12), aLeaf(1));
        (receipt.root, receipt.fuel, receipt.fee) = (root.hash, root.fuel, FEE + 4e6);
        demand(deal, order, receipt, 0);
        refuse(provider, abi.encodeWithSelector(IMarket.WrongFuel.selector, 5e12, 4e12));
        market.reveal(deal, order, receipt, 0, 5e12, aHalted(0), siblings(aLeaf(1)), output(0));
    }

    /// To the last unit; all of it when it ran out, and none of it when more is left than there
    /// was.
    function test_fuelThatIsLeft() public {
        Order memory order = anOrder(0);
        order.tasks = 1;
        int64 limit = int64(FUEL);
        int64[5] memory left = [int64(1), 0, -1, limit, limit + 1];
        uint64[5] memory used = [FUEL - 1, FUEL, FUEL, 0, 0];
        for (uint256 i = 0; i < 5; ++i) {
            Halted memory halted = aHalted(0);
            halted.fuelLeft = left[i];
            SumNode memory root = leaf(h(halted), used[i]);
            Receipt memory receipt = Receipt(h(order), root.hash, root.fuel, 0);
            demand(deal, order, receipt, 0);
            market.reveal(deal, order, receipt, 0, used[i], halted, new SumNode[](0), output(0));
        }
    }

    /// A total that is not the sum of its parts can't be revealed, whatever task is asked for.
    function test_wrongTotalCantBeRevealed() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        receipt.fuel += 1e12;
        for (uint32 task = 0; task < 2; ++task) {
            demand(deal, order, receipt, task);
            refuse(provider, abi.encodeWithSelector(IMarket.NotInReceipt.selector, task));
            market.reveal(
                deal,
                order,
                receipt,
                task,
                uint64(aLeaf(task).fuel),
                aHalted(task),
                siblings(aLeaf(1 - task)),
                output(task)
            );
        }
    }

    function test_outputIsWhole() public {
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
        bytes memory part = output(0);
        uint256 whole = part.length;
        assembly ("memory-safe") {
            mstore(part, sub(whole, 1))
        }
        refuse(
            provider, abi.encodeWithSelector(IMarket.WrongOutputLength.selector, whole - 1, whole)
        );
        revealTask0(aHalted(0), aLeaf(1), part);
        bytes memory other = output(0);
        other[whole - 1] = "!";
        bytes32 hash = keccak256(
            bytes.concat(
                keccak256(bytes.concat(bytes32(0), "forty characters of output, or s")),
                bytes32("ome mor!")
            )
        );
        refuse(
            provider, abi.encodeWithSelector(IMarket.WrongOutput.selector, hash, aHalted(0).outHash)
        );
        revealTask0(aHalted(0), aLeaf(1), other);
    }

    function test_outputUpToABound() public {
        Order memory order = anOrder(0);
        order.tasks = 1;
        for (uint64 i = 0; i < 2; ++i) {
            order.seq = i;
            Halted memory halted;
            bytes memory out = new bytes(8192);
            halted.outLen = uint64(out.length) + i;
            for (uint256 at_ = 0; at_ < halted.outLen; at_ += 32) {
                halted.outHash = keccak256(bytes.concat(halted.outHash, bytes32(0)));
            }
            halted.fuelLeft = int64(FUEL);
            Receipt memory receipt = Receipt(h(order), leaf(h(halted), 0).hash, 0, 1e6);
            demand(deal, order, receipt, 0);
            if (i == 1) {
                refuse(
                    provider, abi.encodeWithSelector(IMarket.WrongOutputLength.selector, 8192, 8193)
                );
                market.reveal(deal, order, receipt, 0, 0, halted, new SumNode[](0), out);
                out = "";
            }
            vm.prank(provider);
            market.reveal(deal, order, receipt, 0, 0, halted, new SumNode[](0), out);
        }
    }

    function test_revealOnce() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        demand(deal, order, receipt, 0);
        reveal(deal, order, receipt, 0);
        bytes memory ended = abi.encodeWithSelector(
            IMarket.CaseNotOpen.selector, CaseKind.Demand, h(receipt), 0, CaseStatus.Ended
        );
        refuse(provider, ended);
        revealTask0(aHalted(0), aLeaf(1), output(0));
        refuse(stranger, ended);
        market.settle(deal, CaseKind.Demand, h(receipt), 0);
        refuseDemand(
            order,
            receipt,
            0,
            abi.encodeWithSelector(IMarket.CaseExists.selector, CaseKind.Demand, h(receipt), 0)
        );
    }

    // ── what demand refuses ──

    function test_demandIsForTheRequester() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        bytes memory signature = byProvider(h(receipt));
        refuse(stranger, abi.encodeWithSelector(IMarket.Unauthorized.selector, stranger, requester));
        market.demand(deal, anOrder(0), receipt, signature, 0);
    }

    function test_receiptIsSignedByTheProvider() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        bytes memory signature = byRequester(h(receipt));
        refuse(
            requester,
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, providerKey, digest(h(receipt))
            )
        );
        market.demand(deal, anOrder(0), receipt, signature, 0);
    }

    /// What the provider said on chain needs no signature; what it did not say, does.
    function test_claimedReceiptNeedsNoSignature() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        Receipt memory other = aReceipt(order);
        other.root = bytes32(uint256(1));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, providerKey, digest(h(other)))
        );
        market.demand(deal, order, other, "", 0);
        vm.prank(requester);
        market.demand(deal, order, aReceipt(order), "", 0);
    }

    function test_taskInTheOrder() public {
        Order memory order = anOrder(0);
        refuseDemand(
            order, aReceipt(order), 2, abi.encodeWithSelector(IMarket.NoSuchTask.selector, 2, 2)
        );
    }

    function test_orderOfAnotherDeal() public {
        Order memory order = anOrder(0);
        order.deal = bytes32(uint256(1));
        refuseDemand(
            order,
            aReceipt(order),
            0,
            abi.encodeWithSelector(IMarket.WrongDeal.selector, h(deal), order.deal)
        );
    }

    function test_receiptOfAnotherOrder() public {
        Receipt memory receipt = aReceipt(anOrder(1));
        refuseDemand(
            anOrder(0),
            receipt,
            0,
            abi.encodeWithSelector(IMarket.WrongOrder.selector, h(anOrder(0)), receipt.order)
        );
    }

    function test_settledOrderIsNotShown() public {
        redeem(deal, aVoucher(FEE, 1, false));
        refuseDemand(
            anOrder(0),
            aReceipt(anOrder(0)),
            0,
            abi.encodeWithSelector(IMarket.OrderSettled.selector, 0, 1)
        );
    }

    function test_bondIsNeeded() public {
        vm.prank(requester);
        market.withdraw(requester, WEALTH - BUDGET - BOND + 1);
        refuseDemand(
            anOrder(0),
            aReceipt(anOrder(0)),
            0,
            abi.encodeWithSelector(IMarket.InsufficientBalance.selector, requester, BOND - 1, BOND)
        );
    }

    function test_demandWindowWithoutClaims() public {
        uint64 end = deal.expiry + GRACE;
        vm.warp(end);
        refuseDemand(
            anOrder(0),
            aReceipt(anOrder(0)),
            0,
            abi.encodeWithSelector(IMarket.TooLate.selector, end, end)
        );
        vm.warp(end - 1);
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
    }

    /// Even the last claim can be challenged in the whole of its window.
    function test_demandWindowWithClaims() public {
        uint64 end = deal.expiry + GRACE + CHALLENGE;
        vm.warp(deal.expiry + GRACE - 1);
        claim(deal, anOrder(0), aReceipt(anOrder(0)));
        vm.warp(end);
        refuseDemand(
            anOrder(0),
            aReceipt(anOrder(0)),
            0,
            abi.encodeWithSelector(IMarket.TooLate.selector, end, end)
        );
        vm.warp(end - 1);
        demand(deal, anOrder(0), aReceipt(anOrder(0)), 0);
    }

    function test_demandInAClosedDeal() public {
        redeem(deal, aVoucher(0, 0, true));
        refuseDemand(
            anOrder(0),
            aReceipt(anOrder(0)),
            0,
            abi.encodeWithSelector(IMarket.DealNotOpen.selector, h(deal), DealStatus.Closed)
        );
    }

    // ── together with other cases ──

    /// A claim is not paid while it is challenged, and not at all if the provider is guilty.
    function test_demandHoldsClaims() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        vm.warp(START + CHALLENGE - 1);
        demand(deal, order, aReceipt(order), 0);
        vm.warp(START + CHALLENGE);
        refuse(stranger, abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 1));
        market.settle(deal, CaseKind.Claim, h(order), 0);
        vm.warp(START + CHALLENGE - 1 + ANSWER);
        settle(aReceipt(order), 0);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        checkBalances(WEALTH + COMPENSATION, WEALTH - COLLATERAL, BURN);
        checkAllFree();
    }

    function test_revealLetsTheClaimGoOn() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        demand(deal, order, aReceipt(order), 0);
        reveal(deal, order, aReceipt(order), 0);
        vm.warp(START + CHALLENGE);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        checkState(deal, DealStatus.Open, FEE, 0);
    }

    /// What came to light late in a claim's window can be taken to court for a whole window more.
    function test_revealExtendsTheClaim() public {
        Order memory order = anOrder(0);
        claim(deal, order, aReceipt(order));
        claim(deal, anOrder(1), aReceipt(anOrder(1)));
        vm.warp(START + CHALLENGE - 1);
        demand(deal, order, aReceipt(order), 0);
        uint64 revealed = START + CHALLENGE - 1 + ANSWER - 1;
        vm.warp(revealed);
        reveal(deal, order, aReceipt(order), 0);
        for (uint64 i = 0; i < 2; ++i) {
            vm.warp(revealed + i * (CHALLENGE - 1));
            vm.expectRevert(
                abi.encodeWithSelector(
                    IMarket.TooEarly.selector, block.timestamp, revealed + CHALLENGE
                )
            );
            market.settle(deal, CaseKind.Claim, h(order), 0);
        }
        // The claim of another order is as it was.
        market.settle(deal, CaseKind.Claim, h(anOrder(1)), 0);
        vm.warp(revealed + CHALLENGE);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        checkState(deal, DealStatus.Open, 2 * FEE, 0);
    }

    /// A claim that is younger than the reveal keeps its window, to the second.
    function test_revealNeverShortensAClaim() public {
        Order memory order = anOrder(0);
        demand(deal, order, aReceipt(order), 0);
        claim(deal, order, aReceipt(order));
        reveal(deal, order, aReceipt(order), 0);
        vm.assertEq(
            market.caseState(h(deal), CaseKind.Claim, h(order), 0).deadline,
            START + CHALLENGE,
            "as it was"
        );
        demand(deal, order, aReceipt(order), 1);
        vm.warp(START + 1);
        reveal(deal, order, aReceipt(order), 1);
        vm.assertEq(
            market.caseState(h(deal), CaseKind.Claim, h(order), 0).deadline,
            START + 1 + CHALLENGE,
            "later"
        );
    }

    /// A claim that has been paid is not opened again, nor is one made where there is none.
    function test_revealOpensNoClaim() public {
        Order memory order = anOrder(0);
        Receipt memory receipt = aReceipt(order);
        demand(deal, order, receipt, 0);
        reveal(deal, order, receipt, 0);
        checkCase(deal, CaseKind.Claim, h(order), 0, CaseStatus.None);
        vm.assertEq(market.caseState(h(deal), CaseKind.Claim, h(order), 0).deadline, 0, "none");
        claim(deal, order, receipt);
        vm.warp(START + CHALLENGE);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        demand(deal, order, receipt, 1);
        reveal(deal, order, receipt, 1);
        checkCase(deal, CaseKind.Claim, h(order), 0, CaseStatus.Ended);
        checkCounts(deal, 0, 0, 0);
    }

    /// The longest that a claim can be drawn out: demanded and shown at the last moment of
    /// everything.
    function test_claimIsPaidInTheEnd() public {
        Order memory order = anOrder(0);
        uint64 last = deal.expiry + GRACE;
        vm.warp(last - 1);
        claim(deal, order, aReceipt(order));
        vm.warp(last + CHALLENGE - 1);
        demand(deal, order, aReceipt(order), 0);
        vm.warp(last + CHALLENGE + ANSWER - 2);
        reveal(deal, order, aReceipt(order), 0);
        refuseDemand(
            order,
            aReceipt(order),
            1,
            abi.encodeWithSelector(IMarket.TooLate.selector, block.timestamp, last + CHALLENGE)
        );
        vm.expectRevert(abi.encodeWithSelector(IMarket.DealBusy.selector, 1, 0, 0));
        market.expire(deal);
        vm.warp(last + 2 * CHALLENGE + ANSWER - 2);
        market.settle(deal, CaseKind.Claim, h(order), 0);
        market.expire(deal);
        checkBalances(WEALTH - FEE - BOND, WEALTH + FEE + BOND, 0);
        checkAllFree();
    }

    /// Padding is empty, or nothing can be shown.
    function test_paddingIsEmpty() public {
        Order memory order = anOrder(0);
        order.tasks = 3;
        SumNode[3] memory padding = [SumNode(0, 0), SumNode(keccak256("padding"), 0), SumNode(0, 1)];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 clean = vm.snapshotState();
            SumNode[] memory proof = new SumNode[](2);
            (proof[0], proof[1]) = (padding[i], join(aLeaf(0), aLeaf(1)));
            SumNode memory root = join(proof[1], join(aLeaf(0), padding[i]));
            Receipt memory receipt = Receipt(h(order), root.hash, root.fuel, 0);
            demand(deal, order, receipt, 2);
            if (i != 0) vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 2));
            market.reveal(deal, order, receipt, 2, 4e12, aHalted(0), proof, output(0));
            vm.revertToState(clean);
        }
    }

    /// The same of padding higher up: of five tasks the last has an empty node beside its parent.
    function test_paddingHigherUpIsEmpty() public {
        Order memory order = anOrder(0);
        order.tasks = 5;
        SumNode memory pair = join(aLeaf(0), aLeaf(1));
        SumNode memory empty = join(SumNode(0, 0), SumNode(0, 0));
        SumNode[3] memory padding = [empty, pair, SumNode(empty.hash, 1)];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 clean = vm.snapshotState();
            SumNode[] memory proof = new SumNode[](3);
            (proof[0], proof[1], proof[2]) = (SumNode(0, 0), padding[i], join(pair, pair));
            SumNode memory root = join(proof[2], join(join(aLeaf(0), proof[0]), padding[i]));
            Receipt memory receipt = Receipt(h(order), root.hash, root.fuel, 0);
            demand(deal, order, receipt, 4);
            if (i != 0) vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 4));
            market.reveal(deal, order, receipt, 4, 4e12, aHalted(0), proof, output(0));
            vm.revertToState(clean);
        }
    }

    /// The tree is as high as its tasks need, or nothing can be shown.
    function test_treeOfAnotherHeight() public {
        Order memory order = anOrder(0);
        SumNode memory empty = join(SumNode(0, 0), SumNode(0, 0));
        SumNode memory root = join(join(aLeaf(0), aLeaf(1)), empty);
        SumNode[] memory proof = new SumNode[](2);
        (proof[0], proof[1]) = (aLeaf(1), empty);
        refuseReveal(order, root, proof);
        refuseReveal(order, aLeaf(0), new SumNode[](0));
    }

    /// A sum that does not fit 128 bits is in no receipt.
    function test_fuelThatOverflows() public {
        SumNode memory sibling = SumNode(keccak256("sibling"), type(uint128).max);
        bytes32 root = keccak256(
            bytes.concat(
                bytes1(0x01),
                aLeaf(0).hash,
                bytes16(uint128(4e12)),
                sibling.hash,
                bytes16(sibling.fuel)
            )
        );
        refuseReveal(anOrder(0), SumNode(root, 4e12 - 1), siblings(sibling));
    }

    function refuseReveal(Order memory order, SumNode memory root, SumNode[] memory proof) private {
        Receipt memory receipt = Receipt(h(order), root.hash, root.fuel, 0);
        demand(deal, order, receipt, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 0));
        market.reveal(deal, order, receipt, 0, 4e12, aHalted(0), proof, output(0));
    }

    function test_demandBelowTheWatermarkIsVoid() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        demand(deal, anOrder(0), receipt, 0);
        redeem(deal, aVoucher(FEE, 1, false));
        vm.expectEmit(address(market));
        emit IMarket.CaseSettled(h(deal), h(receipt), CaseKind.Demand, 0, CaseOutcome.Void, BOND);
        settle(receipt, 0);
        checkBalances(WEALTH - BUDGET, WEALTH - COLLATERAL + FEE, 0);
        checkCounts(deal, 0, 0, 0);
    }

    function test_closingVoucherEndsADemand() public {
        Receipt memory receipt = aReceipt(anOrder(0));
        demand(deal, anOrder(0), receipt, 0);
        redeem(deal, aVoucher(FEE, 0, true));
        settle(receipt, 0);
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
        checkAllFree();
    }

    function settle(Receipt memory receipt, uint32 task) private {
        market.settle(deal, CaseKind.Demand, h(receipt), task);
    }

    function revealTask0(Halted memory halted, SumNode memory sibling, bytes memory out) private {
        Order memory order = anOrder(0);
        market.reveal(deal, order, aReceipt(order), 0, 4e12, halted, siblings(sibling), out);
    }

    function refuseDemand(
        Order memory order,
        Receipt memory receipt,
        uint32 task,
        bytes memory reason
    ) private {
        bytes memory signature = byProvider(h(receipt));
        refuse(requester, reason);
        market.demand(deal, order, receipt, signature, task);
    }
}
