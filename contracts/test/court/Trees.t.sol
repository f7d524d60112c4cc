// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { Challenge, GameState, ICourt, Stage, Verdict } from "../../src/court/ICourt.sol";
import { DealStatus, IMarket } from "../../src/market/IMarket.sol";
import { IStepUnit } from "../../src/machine/IStepUnit.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// From the receipt's root down to one task: unfold, pick, challenge, contradict.
contract TreesTest is CourtFixture {
    using Traces for Trace;

    uint32[7] private SIZES = [uint32(1), 2, 3, 5, 16, 17, 300];

    function setUp() public override {
        super.setUp();
        // Runs are short here: it is about how many there are.
        end = 6;
        open();
    }

    // ── who is right finds the leaf, and wins ──

    /// From nothing but a signed root, whatever the number of tasks and wherever the wrong one is.
    /// forge-config: default.fuzz.runs = 64
    function test_wrongLeafIsFound(uint256 size, uint32 task, uint8 kind) public {
        Order memory order = judged(0, SIZES[size % 7]);
        task %= order.tasks;
        Match memory it = prepare(order, task, Lie(1 + kind % 5), 1 + kind % end, Lie.Honest, 0);
        accuse(it, requester);
        uint256 turns = 0;
        for (; stateOf(it).stage != Stage.Run; ++turns) {
            GameState memory before = stateOf(it);
            vm.assertEq(uint8(before.stage), before.accusersTurn ? 2 : 1, "whose turn it is");
            moveOn(it);
        }
        uint8 height = heightOf(order.tasks);
        vm.assertEq(turns, height <= 4 ? 2 : 2 * ((uint256(height) + 3) / 4), "turns");
        vm.assertEq(stateOf(it).task, task, "the task that is wrong");
        playToLastLevel(it);
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Step, true, true, GAME_BOND, 0, 0);
        stepOn(it);
        checkOver(it);
        checkBalances(RICH + 350e6, WEALTH - COLLATERAL, 150e6);
        checkNoBonds();
    }

    /// Only the fuel is wrong, in a tree that adds up: whoever knows how the task ended can say so,
    /// and the accuser has won.
    /// forge-config: default.fuzz.runs = 64
    function test_wrongFuelIsFound(uint256 size, uint32 task, bool less) public {
        Order memory order = judged(0, SIZES[size % 7]);
        task %= order.tasks;
        Match memory it = prepare(order, task, Lie.Honest, 0, Lie.Honest, 0);
        it.providersEnds[task].fuel =
            less ? it.providersEnds[task].fuel - 1 : it.providersEnds[task].fuel + 1;
        it.receipt = receiptOver(order, it.providersEnds);
        accuse(it, stranger);
        toTheLeaves(it);
        uint32 index = differenceOf(it);
        vm.assertEq(stateOf(it).task * it.nodes.length + index, task, "the task that is wrong");
        // It ended as the provider says: there is no run to play over.
        Challenge memory challenge = challengeOf(it);
        refuse(stranger, abi.encodeWithSelector(ICourt.NoDispute.selector, h(it.accusers.halted)));
        theCourt.challenge(it.game, order, it.nodes, index, challenge);
        vm.expectEmit(address(theCourt));
        emit ICourt.Ended(it.id, Verdict.Fuel, true, true, GAME_BOND, 0, 0);
        vm.prank(provider);
        theCourt.contradict(it.deal, it.game, order, it.nodes, index, it.accusers.halted);
        checkOver(it);
        checkBalances(RICH + 250e6, WEALTH - COLLATERAL, 150e6);
        vm.assertEq(balance(stranger), PURSE + 100e6, "bond and bounty");
    }

    // ── an honest provider can always unfold ──

    /// Wherever the accuser leads it, in padding too, the provider has what is asked for; the
    /// accuser ends up with nothing.
    /// forge-config: default.fuzz.runs = 64
    function test_honestTreeUnfoldsEverywhere(uint256 size, uint256 path) public {
        Order memory order = judged(0, SIZES[size % 7]);
        Match memory it = prepare(order, 0, Lie.Honest, 0, Lie.Honest, 0);
        accuse(it, requester);
        unfoldOn(it);
        while (stateOf(it).level != 0) {
            vm.prank(requester);
            theCourt.pick(it.game, it.nodes, uint32(path % it.nodes.length));
            path /= it.nodes.length;
            unfoldOn(it);
        }
        uint32 first = stateOf(it).task * uint32(it.nodes.length);
        for (uint32 i = 0; i < it.nodes.length; ++i) {
            Challenge memory challenge;
            challenge.states[15] = keccak256("another end");
            if (first + i >= order.tasks) {
                refuse(
                    requester,
                    abi.encodeWithSelector(IMarket.NoSuchTask.selector, first + i, order.tasks)
                );
                theCourt.challenge(it.game, order, it.nodes, i, challenge);
            } else {
                Halted memory halted = honest(order, first + i).halted;
                vm.expectRevert(
                    abi.encodeWithSelector(ICourt.FuelIsRight.selector, it.nodes[i].fuel)
                );
                theCourt.contradict(it.deal, it.game, order, it.nodes, i, halted);
            }
        }
        timeoutOf(it);
        checkBalances(RICH - BUDGET - GAME_BOND, WEALTH - COLLATERAL + 21e6, 9e6);
        checkState(it.deal, DealStatus.Open, 0, 0);
        checkCounts(it.deal, 0, 0, 0);
    }

    // ── what can't be unfolded ──

    /// A root that stands for nothing: there is nothing to show, and time decides.
    function test_madeUpRoot() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 clean = vm.snapshotState();
            Match memory it = prepare(judged(0, SIZES[i]), 0, Lie.Honest, 0, Lie.Honest, 0);
            it.receipt.root = keccak256("made up");
            accuse(it, requester);
            refuseUnfold(it, below(it.order, it.providersEnds, stateOf(it).level, 0));
            timeoutOf(it);
            checkState(it.deal, DealStatus.Closed, 0, 0);
            vm.revertToState(clean);
        }
    }

    /// The right tree, and a total that is another: by one, to either side.
    function test_wrongTotal() public {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 clean = vm.snapshotState();
            Match memory it = prepare(judged(0, SIZES[i]), 0, Lie.Honest, 0, Lie.Honest, 0);
            it.receipt.fuel = i % 2 == 0 ? it.receipt.fuel - 1 : it.receipt.fuel + 1;
            accuse(it, requester);
            SumNode[] memory nodes = below(it.order, it.providersEnds, stateOf(it).level, 0);
            refuseUnfold(it, nodes);
            nodes[0].fuel = i % 2 == 0 ? nodes[0].fuel - 1 : nodes[0].fuel + 1;
            refuseUnfold(it, nodes);
            vm.revertToState(clean);
        }
    }

    /// Nothing but the tree's own nodes will do, and exactly as many as there are.
    function test_nothingElseUnfolds(uint256 size, uint256 index, uint256 bits) public {
        Match memory it = prepare(judged(0, SIZES[size % 7]), 0, Lie.Honest, 0, Lie.Honest, 0);
        accuse(it, requester);
        SumNode[] memory right = below(it.order, it.providersEnds, stateOf(it).level, 0);
        SumNode[] memory wrong = copyOf(right);
        index %= right.length;
        wrong[index].hash ^= bytes32(bits | 1);
        refuseUnfold(it, wrong);
        wrong = copyOf(right);
        wrong[index].fuel ^= uint64(bits >> 200 | 1);
        refuseUnfold(it, wrong);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 length = [right.length / 2, right.length + 1, 2 * right.length][i];
            wrong = new SumNode[](length);
            for (uint256 j = 0; j < length && j < right.length; ++j) {
                wrong[j] = right[j];
            }
            refuseUnfold(it, wrong);
        }
        if (right.length > 1) {
            wrong = copyOf(right);
            (wrong[0], wrong[1]) = (right[1], right[0]);
            refuseUnfold(it, wrong);
        }
        vm.prank(stranger);
        theCourt.unfold(it.game, it.order, right);
    }

    /// A leaf with more fuel than the order allows adds up, and can't be shown all the same; one
    /// with all of it can.
    function test_moreFuelThanTheOrderAllows() public {
        for (uint128 i = 0; i < 2; ++i) {
            uint256 clean = vm.snapshotState();
            Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
            it.providersEnds[1].fuel = FUEL + i;
            it.receipt = receiptOver(it.order, it.providersEnds);
            accuse(it, requester);
            if (i == 1) vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 1));
            theCourt.unfold(it.game, it.order, it.providersEnds);
            vm.revertToState(clean);
        }
    }

    /// Something in padding, be it fuel or a hash, in a leaf or in a node over nothing but padding.
    function test_padding() public {
        SumNode[2] memory dirt = [SumNode(keccak256("padding"), 0), SumNode(0, 1)];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 clean = vm.snapshotState();
            // Three tasks: the fourth leaf is padding.
            Match memory it = prepare(judged(0, 3), 0, Lie.Honest, 0, Lie.Honest, 0);
            SumNode[][] memory tree = treeOf(it.order, it.providersEnds);
            SumNode memory root = join(tree[1][0], join(tree[0][2], dirt[i]));
            (it.receipt.root, it.receipt.fuel) = (root.hash, root.fuel);
            accuse(it, requester);
            it.providersEnds[3] = dirt[i];
            vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 3));
            theCourt.unfold(it.game, it.order, it.providersEnds);
            vm.revertToState(clean);

            // Seventeen: of the sixteen nodes over two leaves, those from the tenth on are over
            // padding.
            it = prepare(judged(0, 17), 0, Lie.Honest, 0, Lie.Honest, 0);
            SumNode[] memory nodes = below(it.order, it.providersEnds, 5, 0);
            nodes[12] = dirt[i];
            root = over(nodes);
            (it.receipt.root, it.receipt.fuel) = (root.hash, root.fuel);
            accuse(it, requester);
            theCourt.unfold(it.game, it.order, nodes);
            vm.prank(requester);
            theCourt.pick(it.game, nodes, 12);
            vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 12));
            theCourt.unfold(it.game, it.order, new SumNode[](2));
            timeoutOf(it);
            checkState(it.deal, DealStatus.Closed, 0, 0);
            vm.revertToState(clean);
        }
    }

    /// A tree over more leaves than the order has tasks, or over fewer: its nodes are no leaves,
    /// its leaves no nodes.
    function test_treeOfAnotherHeight() public {
        uint32[2] memory sizes = [uint32(2), 5];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 clean = vm.snapshotState();
            Order memory order = judged(0, 3);
            Order memory other = judged(0, sizes[i]);
            Match memory it = prepare(other, 0, Lie.Honest, 0, Lie.Honest, 0);
            SumNode[][] memory tree = treeOf(other, it.providersEnds);
            it.order = order;
            it.receipt.order = h(order);
            accuse(it, requester);
            vm.assertEq(stateOf(it).level, 2, "the order's height");
            refuseUnfold(it, it.providersEnds);
            refuseUnfold(it, tree[tree.length - 1]);
            SumNode[] memory four = new SumNode[](4);
            for (uint256 j = 0; j < 4; ++j) {
                four[j] = i == 0 ? it.providersEnds[j % 2] : tree[1][j];
            }
            refuseUnfold(it, four);
            vm.revertToState(clean);
        }
    }

    /// Sums that don't fit 128 bits are no sums.
    function test_sumsThatOverflow() public {
        Match memory it = prepare(judged(0, 17), 0, Lie.Honest, 0, Lie.Honest, 0);
        SumNode[] memory nodes = below(it.order, it.providersEnds, 5, 0);
        // All the sums above wrap around to those of the honest tree.
        (nodes[0].fuel, nodes[1].fuel) = (nodes[0].fuel + nodes[1].fuel + 1, type(uint128).max);
        it.receipt.root = wrapping(nodes).hash;
        accuse(it, requester);
        refuseUnfold(it, nodes);
    }

    function wrapping(SumNode[] memory nodes) private pure returns (SumNode memory) {
        SumNode[] memory row = copyOf(nodes);
        for (uint256 width = row.length; width > 1; width /= 2) {
            for (uint256 i = 0; i < width / 2; ++i) {
                (SumNode memory l, SumNode memory r) = (row[2 * i], row[2 * i + 1]);
                bytes32 hash = keccak256(
                    bytes.concat(bytes1(0x01), l.hash, bytes16(l.fuel), r.hash, bytes16(r.fuel))
                );
                unchecked {
                    row[i] = SumNode(hash, l.fuel + r.fuel);
                }
            }
        }
        return row[0];
    }

    function over(SumNode[] memory nodes) private pure returns (SumNode memory) {
        SumNode[] memory row = copyOf(nodes);
        for (uint256 width = row.length; width > 1; width /= 2) {
            for (uint256 i = 0; i < width / 2; ++i) {
                row[i] = join(row[2 * i], row[2 * i + 1]);
            }
        }
        return row[0];
    }

    function refuseUnfold(Match memory it, SumNode[] memory nodes) private {
        GameState memory before = stateOf(it);
        vm.prank(provider);
        try theCourt.unfold(it.game, it.order, nodes) {
            revert("unfolded");
        } catch (bytes memory reason) {
            // Not in the receipt, or a sum that overflows.
            bytes4 why = bytes4(reason);
            vm.assertTrue(
                why == IMarket.NotInReceipt.selector || why == bytes4(0x4e487b71), "reason"
            );
        }
        vm.assertEq(keccak256(abi.encode(stateOf(it))), keccak256(abi.encode(before)), "as it was");
    }

    // ── who may do what, and when ──

    /// Each stage takes its own moves and no others.
    function test_wrongStage() public {
        Match memory it = prepare(judged(0, 17), 3, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        for (uint256 stage = 1; stage <= 3; ++stage) {
            while (uint256(uint8(stateOf(it).stage)) != stage) moveOn(it);
            bytes memory reason = abi.encodeWithSelector(ICourt.WrongStage.selector, Stage(stage));
            if (stage != 1) {
                vm.expectRevert(reason);
                theCourt.unfold(it.game, it.order, it.providersEnds);
            }
            if (stage != 2) {
                refuse(requester, reason);
                theCourt.pick(it.game, it.nodes, 0);
                Challenge memory challenge = challengeOf(it);
                refuse(requester, reason);
                theCourt.challenge(it.game, it.order, it.nodes, 0, challenge);
                vm.expectRevert(reason);
                theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.accusers.halted);
            }
            if (stage != 3) {
                bytes32[16] memory states;
                refuse(stage == 1 ? provider : requester, reason);
                theCourt.move(it.game, 0, it.segment, states, "");
                vm.expectRevert(reason);
                theCourt.step(it.deal, it.game, 0, it.segment, "");
            }
        }
    }

    function test_gameThatIsNotThere() public {
        Match memory it = prepare(0, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        unfoldOn(it);
        it.game.bond += 1;
        bytes memory reason = abi.encodeWithSelector(ICourt.NoGame.selector, h(it.game));
        vm.expectRevert(reason);
        theCourt.unfold(it.game, it.order, it.nodes);
        refuse(requester, reason);
        theCourt.pick(it.game, it.nodes, 0);
        Challenge memory challenge = challengeOf(it);
        refuse(requester, reason);
        theCourt.challenge(it.game, it.order, it.nodes, 0, challenge);
        vm.expectRevert(reason);
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.accusers.halted);
        vm.expectRevert(reason);
        theCourt.timeout(it.deal, it.game);
    }

    function test_wrongOrder() public {
        Match memory it = prepare(0, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        Order memory other = judged(1);
        bytes memory reason =
            abi.encodeWithSelector(IMarket.WrongOrder.selector, h(it.order), h(other));
        vm.expectRevert(reason);
        theCourt.unfold(it.game, other, it.providersEnds);
        unfoldOn(it);
        Challenge memory challenge = challengeOf(it);
        refuse(requester, reason);
        theCourt.challenge(it.game, other, it.nodes, 0, challenge);
        vm.expectRevert(reason);
        theCourt.contradict(it.deal, it.game, other, it.nodes, 0, it.accusers.halted);
    }

    /// Nobody picks for the accuser: not the provider, which would pick a right node, nor a
    /// stranger, nor the requester.
    function test_picksAreTheAccusers() public {
        Match memory it = prepare(judged(0, 17), 3, Lie.State, 2, Lie.Honest, 0);
        accuse(it, stranger);
        unfoldOn(it);
        address[2] memory others = [provider, requester];
        for (uint256 i = 0; i < 2; ++i) {
            refuse(
                others[i],
                abi.encodeWithSelector(IMarket.Unauthorized.selector, others[i], stranger)
            );
            theCourt.pick(it.game, it.nodes, 0);
        }
        pickOn(it);
        unfoldOn(it);
        Challenge memory challenge = challengeOf(it);
        for (uint256 i = 0; i < 2; ++i) {
            refuse(
                others[i],
                abi.encodeWithSelector(IMarket.Unauthorized.selector, others[i], stranger)
            );
            theCourt.challenge(it.game, it.order, it.nodes, 1, challenge);
        }
        pickOn(it);
        vm.assertEq(uint8(stateOf(it).stage), uint8(Stage.Run), "challenged");
    }

    function test_picksThatAreRefused() public {
        Match memory it = prepare(judged(0, 17), 3, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        unfoldOn(it);
        SumNode[] memory other = copyOf(it.nodes);
        other[7].fuel += 1;
        bytes memory wrong = abi.encodeWithSelector(
            ICourt.WrongSegment.selector,
            keccak256(abi.encode(it.nodes)),
            keccak256(abi.encode(other))
        );
        refuse(requester, wrong);
        theCourt.pick(it.game, other, 1);
        refuse(requester, abi.encodeWithSelector(ICourt.NoSuchPart.selector, 16));
        theCourt.pick(it.game, it.nodes, 16);
        // Over the leaves there is nothing to challenge, or to contradict.
        Challenge memory challenge = challengeOf(it);
        bytes memory level = abi.encodeWithSelector(ICourt.WrongLevel.selector, 1);
        refuse(requester, level);
        theCourt.challenge(it.game, it.order, it.nodes, 1, challenge);
        vm.expectRevert(level);
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 1, it.accusers.halted);

        pickOn(it);
        unfoldOn(it);
        // At the leaves there is nothing to pick.
        refuse(requester, abi.encodeWithSelector(ICourt.WrongLevel.selector, 0));
        theCourt.pick(it.game, it.nodes, 1);
        other = copyOf(it.nodes);
        other[0].fuel += 1;
        wrong = abi.encodeWithSelector(
            ICourt.WrongSegment.selector,
            keccak256(abi.encode(it.nodes)),
            keccak256(abi.encode(other))
        );
        refuse(requester, wrong);
        theCourt.challenge(it.game, it.order, other, 1, challenge);
        vm.expectRevert(wrong);
        theCourt.contradict(it.deal, it.game, it.order, other, 0, it.accusers.halted);
        refuse(requester, abi.encodeWithSelector(ICourt.NoSuchPart.selector, 2));
        theCourt.challenge(it.game, it.order, it.nodes, 2, challenge);
        vm.expectRevert(abi.encodeWithSelector(ICourt.NoSuchPart.selector, 2));
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 2, it.accusers.halted);
    }

    function test_challengesThatAreRefused() public {
        Match memory it = prepare(judged(0, 3), 2, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        unfoldOn(it);
        Challenge memory right = challengeOf(it);

        Challenge memory wrong = challengeOf(it);
        wrong.states[15] = it.nodes[2].hash;
        refuseChallenge(
            it, 2, wrong, abi.encodeWithSelector(ICourt.NoDispute.selector, it.nodes[2].hash)
        );
        // Padding is nobody's task.
        refuseChallenge(it, 3, right, abi.encodeWithSelector(IMarket.NoSuchTask.selector, 3, 3));
        // The input of another task, another path, a path that is too short or too long, and a node
        // for a leaf.
        bytes memory input = abi.encodeWithSelector(ICourt.NotInOrder.selector, 2);
        refuseChallenge(it, 1, right, abi.encodeWithSelector(ICourt.NotInOrder.selector, 1));
        wrong = challengeOf(it);
        wrong.input = inputOf(1);
        refuseChallenge(it, 2, wrong, input);
        wrong = challengeOf(it);
        wrong.inputProof[1] = keccak256("other");
        refuseChallenge(it, 2, wrong, input);
        wrong.inputProof = new bytes32[](3);
        refuseChallenge(it, 2, wrong, input);
        wrong.inputProof = new bytes32[](1);
        wrong.inputProof[0] = right.inputProof[1];
        wrong.input = keccak256(abi.encode(inputOf(2), bytes32(0)));
        refuseChallenge(it, 2, wrong, input);
        (wrong.input, wrong.inputProof) = (it.order.inputs, new bytes32[](0));
        refuseChallenge(it, 2, wrong, input);
        wrong = challengeOf(it);
        wrong.parts = abi.encode(end + 1);
        refuseChallenge(
            it,
            2,
            wrong,
            abi.encodeWithSelector(
                IStepUnit.WrongParts.selector, it.order.program, keccak256(wrong.parts)
            )
        );
        vm.prank(requester);
        theCourt.challenge(it.game, it.order, it.nodes, 2, right);
    }

    function refuseChallenge(
        Match memory it,
        uint32 index,
        Challenge memory challenge,
        bytes memory reason
    ) private {
        refuse(requester, reason);
        theCourt.challenge(it.game, it.order, it.nodes, index, challenge);
    }

    function test_contradictionsThatAreRefused() public {
        Match memory it = prepare(0, Lie.Honest, 0, Lie.Honest, 0);
        it.providersEnds[0].fuel += 1;
        it.receipt = receiptOver(it.order, it.providersEnds);
        accuse(it, requester);
        unfoldOn(it);
        // What is right is no contradiction, and another end is not what the leaf says.
        Halted memory other = honest(it.order, 1).halted;
        vm.expectRevert(abi.encodeWithSelector(ICourt.FuelIsRight.selector, it.nodes[1].fuel));
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 1, other);
        vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 0));
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, other);
        it.deal.salt += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IMarket.WrongDeal.selector, it.game.deal, h(it.deal))
        );
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.accusers.halted);
        it.deal.salt -= 1;
        uint64 until = theCourt.deadline(it.id);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TooLate.selector, until, until));
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.accusers.halted);
        vm.warp(until - 1);
        theCourt.contradict(it.deal, it.game, it.order, it.nodes, 0, it.accusers.halted);
        checkOver(it);
    }

    /// An end that is not the leaf's, far from the tree's left edge.
    function test_contradictionOfAnotherLeaf() public {
        Match memory it = prepare(judged(0, 33), 21, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        unfoldOn(it);
        pickOn(it);
        unfoldOn(it);
        Halted memory other = honest(it.order, 0).halted;
        for (uint32 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarket.NotInReceipt.selector, 20 + i));
            theCourt.contradict(it.deal, it.game, it.order, it.nodes, i, other);
        }
    }

    /// The logs say all that is needed to play.
    function test_logs() public {
        Match memory it = prepare(judged(0, 17), 3, Lie.State, 2, Lie.Honest, 0);
        accuse(it, requester);
        vm.warp(START + 10);
        it.nodes = below(it.order, it.providersEnds, 5, 0);
        vm.expectEmit(address(theCourt));
        emit ICourt.Unfolded(it.id, 0, 1, START + 10 + ALLOWANCE, it.nodes);
        unfoldOn(it);
        vm.warp(START + 30);
        vm.expectEmit(address(theCourt));
        emit ICourt.Picked(it.id, 1, 1, START + 30 + MOVE_SECONDS);
        pickOn(it);
        vm.warp(START + 60);
        SumNode[] memory nodes = below(it.order, it.providersEnds, 1, 1);
        vm.expectEmit(address(theCourt));
        emit ICourt.Unfolded(it.id, 1, 0, START + 60 + ALLOWANCE - 20, nodes);
        unfoldOn(it);
        vm.warp(START + 100);
        Challenge memory challenge = challengeOf(it);
        setSegment(it, it.accusers.hashAt(0), challenge.states);
        vm.expectEmit(address(theCourt));
        emit ICourt.Challenged(
            it.id, 3, h(it.providers.halted), LEVELS, START + 100 + ALLOWANCE, it.segment
        );
        pickOn(it);
        GameState memory state = stateOf(it);
        vm.assertEq(
            state.accuserSeconds, ALLOWANCE - 20 - 40, "the accuser's time ran in its turns"
        );
        vm.assertEq(state.position, 0, "from the begin");
    }

    function toTheLeaves(Match memory it) private {
        unfoldOn(it);
        while (stateOf(it).level != 0) {
            pickOn(it);
            unfoldOn(it);
        }
    }
}
