// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Challenge, Rules, SumFault } from "../../src/court/ICourt.sol";
import { IStepUnit, Task } from "../../src/machine/IStepUnit.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { bar, note, noteGas, vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Toy, Trace, Traces } from "./Toy.sol";

/// A toy whose start and step take as much gas as the real judge's at the dearest, by
/// `snapshots/StepUnit.json`.
contract HeavyToy is IStepUnit {
    IStepUnit private immutable TOY = new Toy();

    function start(Task calldata task, bytes calldata parts)
        external
        view
        returns (bytes32 state, uint64 steps)
    {
        uint256 until = gasleft() - 5_630;
        (state, steps) = TOY.start(task, parts);
        while (gasleft() > until) { }
    }

    function step(bytes32 state, bytes calldata proof) external view returns (bytes32 next) {
        uint256 until = gasleft() - 31_914;
        next = TOY.step(state, proof);
        while (gasleft() > until) { }
    }
}

/// Gas of whole transactions of the court, as in test/Gas.t.sol; `snapshots/Court.json` has the
/// numbers. The toy machine's start and step are next to nothing, but for `test_wholeGame`. It is
/// not the first game of the court, whose account has had a bond before; but the first of the
/// provider.
///
/// Each call is a transaction of its own.
/// forge-config: default.isolate = true
contract CourtGasTest is CourtFixture {
    using Traces for Trace;

    string constant GROUP = "Court";
    uint256 private total;
    /// Moves are written down in one test only, as each has one number.
    bool private recording;

    function setUp() public override {
        super.setUp();
        fund(address(theCourt), 1);
        open();
    }

    /// A run of 2^42 steps of one of two tasks, played to the end by both sides, with as much to
    /// read as the real judge asks for: 256 bytes that say what the program is, and 3,489 bytes
    /// that prove the dearest step in 64 MiB of memory.
    function test_wholeGame() public {
        machine = new HeavyToy();
        theCourt = deployCourt(
            Rules(BASE_BOND, BOND_PER_TFUEL, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND)
        );
        court = address(theCourt);
        fund(address(theCourt), 1);
        purse(requester);
        open();
        recording = true;
        fuelLimit = 1 << 42;
        padding = new bytes(256 - 32);
        fill(padding);
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        vm.assertEq(stateOf(it).level, 12, "levels");
        uint256 moves = 0;
        for (; stateOf(it).level > 1; ++moves) {
            moveOn(it);
        }
        vm.assertEq(moves, 11, "moves");
        uint32 part = pickOf(it, it.accusers);
        bytes memory proof = it.accusers.proof(stateOf(it).position + part);
        bytes memory rest = new bytes(3489 - proof.length);
        fill(rest);
        theCourt.step(it.deal, it.game, part, it.segment, bytes.concat(proof, rest));
        written("step, with 3,489 bytes of proof");
        note(GROUP, "whole game, 2^42 steps, 2 tasks", total);
        bar(total, 1_300_000, "the whole dispute");
    }

    function fill(bytes memory list) private pure {
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = 0xff;
        }
    }

    /// The opening of the receipt's tree, of the largest order there is: four times sixteen nodes.
    function test_largestOrder() public {
        // A tree of which only what is opened exists.
        Match memory it;
        it.deal = aDeal();
        it.order = judged(0);
        it.order.tasks = 65_536;
        it.providers = traceOf(it.order, 0, Lie.State, 5);
        it.accusers = honest(it.order, 0);
        SumNode[][4] memory rows;
        SumNode memory node = endOf(it.providers);
        bytes32[] memory proof = new bytes32[](16);
        bytes32 inputs = inputOf(0);
        for (uint256 row = 0; row < 4; ++row) {
            rows[row] = new SumNode[](16);
            rows[row][0] = node;
            for (uint256 i = 1; i < 16; ++i) {
                rows[row][i] = SumNode(keccak256(abi.encode(row, i)), 1e12);
            }
            node = over(rows[row], row == 0);
        }
        for (uint256 i = 0; i < 16; ++i) {
            proof[i] = keccak256(abi.encode("input", i));
            inputs = keccak256(abi.encode(inputs, proof[i]));
        }
        it.order.inputs = inputs;
        it.receipt = Receipt(h(it.order), node.hash, node.fuel, 0);
        accuse(it, requester);
        for (uint256 row = 4; row > 0; --row) {
            theCourt.unfold(it.game, it.order, rows[row - 1]);
            written("unfold, 16 nodes");
            if (row == 1) break;
            vm.prank(requester);
            theCourt.pick(it.game, rows[row - 1], 0);
            written("pick of 16");
        }
        Challenge memory challenge =
            Challenge(inputOf(0), proof, parts(), it.accusers.statesOf(0, 16 ** 11));
        vm.prank(requester);
        theCourt.challenge(it.game, it.order, rows[0], 0, challenge);
        written("challenge, 65536 tasks");
        note(GROUP, "accuse to challenge, 65536 tasks", total);
    }

    /// The node over sixteen; over ends, if they are leaves.
    function over(SumNode[] memory nodes, bool ends) private pure returns (SumNode memory) {
        SumNode[] memory row = copyOf(nodes);
        for (uint256 i = 0; i < row.length; ++i) {
            if (ends) row[i] = leaf(row[i].hash, uint64(row[i].fuel));
        }
        for (uint256 width = row.length; width > 1; width /= 2) {
            for (uint256 i = 0; i < width / 2; ++i) {
                row[i] = join(row[2 * i], row[2 * i + 1]);
            }
        }
        return row[0];
    }

    function test_contradict() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        it.providersEnds[0].fuel += 1;
        it.receipt = receiptOver(it.order, it.providersEnds);
        accuse(it, requester);
        unfoldOn(it);
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.providers.halted);
        written("contradict");
    }

    function test_delegate() public {
        vm.prank(provider);
        theCourt.delegate(stranger, START + 1);
        written("delegate");
    }

    function test_signedMove() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);
        bytes memory signature = signMove(PROVIDER_KEY, moveOf(it, pick, states));
        vm.prank(stranger);
        theCourt.move(it.game, pick, it.segment, states, signature);
        written("move, sent by another");
    }

    function test_timeouts() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.State, 5);
        begin(it, requester);
        moveOn(it);
        timeoutOf(it);
        written("timeout, accuser lost");
        it = prepare(1, Lie.State, 5, Lie.Honest, 0);
        accuse(it, requester);
        timeoutOf(it);
        written("timeout, provider convicted");
    }

    function test_wrongSum() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        SumFault memory fault;
        (fault.left, fault.right) = (leafOf(it.providers), leafOf(honest(it.order, 1)));
        it.receipt.fuel += 1;
        fault.node = SumNode(it.receipt.root, it.receipt.fuel);
        bytes memory signature = byProvider(h(it.receipt));
        theCourt.wrongSum(it.deal, it.order, it.receipt, signature, fault);
        written("wrongSum, 2 tasks");
    }

    function test_wrongFuel() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        uint64 fuel = uint64(leafOf(it.providers).fuel) + 1;
        SumNode memory other = leafOf(honest(it.order, 1));
        SumNode memory root = join(leaf(h(it.providers.halted), fuel), other);
        Receipt memory receipt = Receipt(h(it.order), root.hash, root.fuel, 0);
        bytes memory signature = byProvider(h(receipt));
        theCourt.wrongFuel(
            it.deal, it.order, receipt, signature, 0, fuel, it.providers.halted, siblings(other)
        );
        written("wrongFuel, 2 tasks");
    }

    function test_size() public {
        note("Size", "Court", address(theCourt).code.length);
        bar(address(theCourt).code.length, 24_575, "EIP-170");
    }

    function played(string memory what) internal override {
        total += recording ? noteGas(GROUP, what) : vm.lastCallGas().gasTotalUsed;
    }

    function written(string memory what) private {
        total += noteGas(GROUP, what);
    }
}
