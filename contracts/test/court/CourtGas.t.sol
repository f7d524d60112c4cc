// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { SumFault } from "../../src/interfaces/ICourt.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { SumNode } from "../../src/SumTree.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Gas of whole transactions of the court, as in test/Gas.t.sol; `snapshots/Court.json` has the numbers. The toy machine's
/// start and step are next to nothing: what the real judge adds is measured with it.
///
/// Each call is a transaction of its own.
/// forge-config: default.isolate = true
contract CourtGasTest is CourtFixture {
    using Traces for Trace;

    string constant GROUP = "Court";
    uint256 private accuseGas;

    function setUp() public override {
        super.setUp();
        open();
    }

    /// A run of 2^42 steps, played to the end by both sides: the court's share of a whole dispute.
    function test_wholeGame() public {
        fuelLimit = 1 << 42;
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        it.accusation.states = it.accusers.statesOf(0, 16 ** 11);
        accuse(it, requester);
        uint256 gas = accuseGas;
        vm.assertEq(theCourt.gameState(it.id).level, 12, "levels");
        uint256 moves = 0;
        for (; theCourt.gameState(it.id).level > 1; ++moves) {
            moveOn(it);
            gas += snapshot(moves == 0 ? "move, first of a side" : "move");
        }
        vm.assertEq(moves, 11, "moves");
        stepOn(it);
        gas += snapshot("step, provider convicted");
        vm.snapshotValue(GROUP, "whole game, 2^42 steps, without the judge", gas);
        vm.assertLe(gas, 1_130_000, "with 170,000 for the judge, the whole dispute is within 1.3M");
    }

    function test_signedMove() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(it, requester);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);
        bytes memory signature = signMove(PROVIDER_KEY, moveOf(it, pick, states));
        vm.prank(stranger);
        theCourt.move(it.game, pick, it.segment, states, signature);
        snapshot("move, sent by another");
    }

    function test_timeouts() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        accuse(it, requester);
        moveOn(it);
        timeoutOf(it);
        snapshot("timeout, accuser lost");
        it = prepare(1, Lie.State, 5, Lie.Honest, 0);
        accuse(it, requester);
        timeoutOf(it);
        snapshot("timeout, provider convicted");
    }

    function test_wrongSum() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        SumFault memory fault;
        (fault.left, fault.right) = (leafOf(it.providers), leafOf(honest(it.order, 1)));
        it.receipt.fuel += 1;
        fault.node = SumNode(it.receipt.root, it.receipt.fuel);
        bytes memory signature = byProvider(h(it.receipt));
        theCourt.wrongSum(it.deal, it.order, it.receipt, signature, fault);
        snapshot("wrongSum, 2 tasks");
    }

    function test_wrongFuel() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        uint64 fuel = uint64(leafOf(it.providers).fuel) + 1;
        SumNode memory other = leafOf(honest(it.order, 1));
        SumNode memory root = join(leaf(h(it.providers.halted), fuel), other);
        Receipt memory receipt = Receipt(h(it.order), root.hash, root.fuel, 0);
        bytes memory signature = byProvider(h(receipt));
        theCourt.wrongFuel(it.deal, it.order, receipt, signature, 0, fuel, it.providers.halted, siblings(other));
        snapshot("wrongFuel, 2 tasks");
    }

    function test_size() public {
        vm.snapshotValue("Size", "Court", address(theCourt).code.length);
        vm.assertLe(address(theCourt).code.length, 24_575, "EIP-170");
    }

    function accused() internal override {
        accuseGas = snapshot("accuse");
    }

    function snapshot(string memory name) private returns (uint256) {
        return vm.snapshotGasLastCall(GROUP, name);
    }
}
