// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Court } from "../../src/court/Court.sol";
import { Challenge, GameState, ICourt, Rules, Stage } from "../../src/court/ICourt.sol";
import { IStepUnit, Task } from "../../src/machine/IStepUnit.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Game, GAME_TYPEHASH } from "../../src/types/Game.sol";
import { Move, MOVE_TYPEHASH } from "../../src/types/Move.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Fixture } from "../base/Fixture.sol";
import { vm } from "../base/Vm.sol";
import { Lie, Toy, ToyLib, ToyState, Trace, Traces } from "./Toy.sol";

/// A market with a court whose machine is a toy, and both sides as players.
///
/// The provider's receipt is what its traces of the tasks say; the accuser has a trace of its own
/// of one of them.
abstract contract CourtFixture is Fixture {
    using Traces for Trace;

    uint128 constant BASE_BOND = 20e6;
    uint128 constant BOND_PER_TFUEL = 1e6;
    /// `FUEL` is 10 Tfuel.
    uint128 constant GAME_BOND = 30e6;
    uint32 constant BASE_SECONDS = 3600;
    uint32 constant MOVE_SECONDS = 600;
    uint64 constant FUEL_PER_SECOND = 1e10;
    uint32 constant ALLOWANCE = 4600;
    uint64 constant END = 40;
    /// Of a run of `FUEL` steps.
    uint8 constant LEVELS = 12;
    uint128 constant PURSE = 1000e6;
    /// What the requester has when its deal is not open.
    uint128 constant RICH = WEALTH + PURSE;

    ICourt theCourt;
    IStepUnit machine;
    uint64 end = END;
    uint64 fuelLimit = FUEL;
    uint8 runLevels = LEVELS;
    /// What a real program's parts have besides.
    bytes padding;

    function setUp() public virtual override {
        super.setUp();
        machine = new Toy();
        theCourt = deployCourt(
            Rules(BASE_BOND, BOND_PER_TFUEL, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND)
        );
        court = address(theCourt);
        purse(requester);
        purse(stranger);
    }

    /// Money of which the court may take bonds.
    function purse(address owner) internal {
        fund(owner, PURSE);
        vm.prank(owner);
        market.allow(address(theCourt), type(uint128).max);
    }

    function deployCourt(Rules memory rules) internal returns (ICourt deployed) {
        if (!vm.envOr("RIALTO_ARTIFACT", false)) return new Court(market, machine, rules);
        bytes memory code = vm.parseJsonBytes(vm.readFile("artifacts/Court.json"), ".bytecode");
        bytes memory init = abi.encodePacked(code, abi.encode(market, machine, rules));
        assembly ("memory-safe") {
            deployed := create(0, add(init, 32), mload(init))
            if iszero(deployed) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    // ── what is judged ──

    function parts() internal view returns (bytes memory) {
        return bytes.concat(abi.encode(end), padding);
    }

    function inputOf(uint32 task) internal pure returns (bytes32) {
        return keccak256(abi.encode("input", task));
    }

    function judged(uint64 seq) internal view returns (Order memory) {
        return judged(seq, 2);
    }

    function judged(uint64 seq, uint32 tasks) internal view returns (Order memory order) {
        order = anOrder(seq);
        order.tasks = tasks;
        order.program = keccak256(parts());
        order.fuelLimit = fuelLimit;
        (order.inputs,) = inputTree(tasks, 0);
    }

    /// Root over the input roots of so many tasks, and the siblings of one of them.
    function inputTree(uint32 tasks, uint32 task)
        internal
        pure
        returns (bytes32 root, bytes32[] memory proof)
    {
        uint8 height = heightOf(tasks);
        bytes32[] memory level = new bytes32[](uint256(1) << height);
        for (uint32 i = 0; i < tasks; ++i) {
            level[i] = inputOf(i);
        }
        proof = new bytes32[](height);
        for (uint256 up = 0; up < height; ++up) {
            proof[up] = level[(task >> up) ^ 1];
            for (uint256 i = 0; i < level.length >> (up + 1); ++i) {
                level[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
        }
        root = level[0];
    }

    function taskOf(Order memory order, uint32 task) internal pure returns (Task memory) {
        bytes32 seed = keccak256(abi.encodePacked(order.seed, task));
        return Task(
            order.program,
            inputOf(task),
            uint64(bytes8(seed)),
            order.fuelLimit,
            order.outLimit,
            order.maxPages
        );
    }

    /// What somebody says of a task who lies like this from step `since` on.
    function traceOf(Order memory order, uint32 task, Lie lie, uint64 since)
        internal
        view
        returns (Trace memory)
    {
        return Traces.make(ToyLib.first(taskOf(order, task), end), lie, since);
    }

    function honest(Order memory order, uint32 task) internal view returns (Trace memory) {
        return traceOf(order, task, Lie.Honest, 0);
    }

    // ── receipts ──

    /// H(halted) and fuel, as a side says that the task ended.
    function endOf(Trace memory trace) internal view returns (SumNode memory) {
        return SumNode(h(trace.halted), uint64(int64(fuelLimit) - trace.halted.fuelLeft));
    }

    function leafOf(Trace memory trace) internal view returns (SumNode memory) {
        SumNode memory it = endOf(trace);
        return leaf(it.hash, uint64(it.fuel));
    }

    /// The ends of all tasks of an order, padded with nothing to a power of two: honest ones, but
    /// for `task`.
    function endsOf(Order memory order, uint32 task, Trace memory trace)
        internal
        view
        returns (SumNode[] memory ends)
    {
        ends = new SumNode[](uint256(1) << heightOf(order.tasks));
        for (uint32 i = 0; i < order.tasks; ++i) {
            ends[i] = endOf(i == task ? trace : honest(order, i));
        }
    }

    function receiptOver(Order memory order, SumNode[] memory ends)
        internal
        pure
        returns (Receipt memory)
    {
        SumNode[][] memory levels = treeOf(order, ends);
        SumNode memory root = levels[levels.length - 1][0];
        return Receipt(h(order), root.hash, root.fuel, feeOf(order, root.fuel));
    }

    function feeOf(Order memory order, uint128 fuel) internal pure returns (uint128) {
        return uint128(uint256(4e6) * fuel / 1e12) + order.tasks * 1e6;
    }

    /// What a side shows below a node: the nodes up to four levels further down; of leaves, the
    /// ends.
    function below(Order memory order, SumNode[] memory ends, uint8 height, uint32 place)
        internal
        pure
        returns (SumNode[] memory nodes)
    {
        uint8 levels = height < 4 ? height : 4;
        SumNode[][] memory tree = treeOf(order, ends);
        SumNode[] memory level = levels == height ? ends : tree[height - levels];
        nodes = new SumNode[](uint256(1) << levels);
        for (uint256 i = 0; i < nodes.length; ++i) {
            nodes[i] = level[(uint256(place) << levels) + i];
        }
    }

    // ── moves ──

    /// Everything about one game that a test needs.
    struct Match {
        Deal deal;
        Order order;
        Receipt receipt;
        Game game;
        bytes32 id;
        /// The task of which the sides say different things, and what they say.
        uint32 task;
        Trace accusers;
        Trace providers;
        /// The ends of all tasks, as they say.
        SumNode[] accusersEnds;
        SumNode[] providersEnds;
        /// What was unfolded last.
        SumNode[] nodes;
        bytes32[17] segment;
    }

    /// A deal with a receipt in which the provider says this of task 0 of 2, and an accuser who
    /// says that.
    function prepare(
        uint64 seq,
        Lie providersLie,
        uint64 providersAt,
        Lie accusersLie,
        uint64 accusersAt
    ) internal view returns (Match memory) {
        return prepare(judged(seq), 0, providersLie, providersAt, accusersLie, accusersAt);
    }

    function prepare(
        Order memory order,
        uint32 task,
        Lie providersLie,
        uint64 providersAt,
        Lie accusersLie,
        uint64 accusersAt
    ) internal view returns (Match memory it) {
        it.deal = aDeal();
        it.order = order;
        it.task = task;
        it.providers = traceOf(order, task, providersLie, providersAt);
        it.accusers = traceOf(order, task, accusersLie, accusersAt);
        it.providersEnds = endsOf(order, task, it.providers);
        it.accusersEnds = copyOf(it.providersEnds);
        it.accusersEnds[task] = endOf(it.accusers);
        it.receipt = receiptOver(order, it.providersEnds);
    }

    /// The game that an accusation now begins.
    function gameOf(Match memory it, address accuser) internal view returns (Game memory) {
        return Game({
            deal: h(it.deal),
            order: h(it.order),
            receipt: h(it.receipt),
            accuser: accuser,
            provider: it.deal.provider,
            providerKey: it.deal.providerKey,
            bond: theCourt.bondFor(it.order.fuelLimit),
            openedAt: uint64(block.timestamp)
        });
    }

    function accuse(Match memory it, address accuser) internal {
        bytes memory signature = byProvider(h(it.receipt));
        it.game = gameOf(it, accuser);
        vm.prank(accuser);
        it.id = theCourt.accuse(it.deal, it.order, it.receipt, signature);
        played("accuse");
        vm.assertEq(it.id, h(it.game), "game id");
    }

    /// Accuses, and plays on to the task's run.
    function begin(Match memory it, address accuser) internal {
        accuse(it, accuser);
        playToRun(it);
    }

    /// Right after a call.
    function played(string memory what) internal virtual { }

    function stateOf(Match memory it) internal view returns (GameState memory) {
        return theCourt.gameState(it.id);
    }

    function isOver(Match memory it) internal view returns (bool) {
        return stateOf(it).stage == Stage.None;
    }

    function accuserToMove(Match memory it) internal view returns (bool) {
        return stateOf(it).accusersTurn;
    }

    function setSegment(Match memory it, bytes32 first, bytes32[16] memory states) internal pure {
        it.segment[0] = first;
        for (uint256 i = 0; i < 16; ++i) {
            it.segment[i + 1] = states[i];
        }
    }

    /// Unfolds the node in dispute, as the provider's tree has it. Anyone can.
    function unfoldOn(Match memory it) internal {
        GameState memory state = stateOf(it);
        it.nodes = below(it.order, it.providersEnds, state.level, state.task);
        vm.prank(it.game.provider);
        theCourt.unfold(it.game, it.order, it.nodes);
        played("unfold");
    }

    /// The first of the nodes shown that is not as the accuser has it; their number if there is
    /// none.
    function differenceOf(Match memory it) internal view returns (uint32 index) {
        GameState memory state = stateOf(it);
        uint8 height = state.level;
        while (uint256(1) << (height - state.level) < it.nodes.length) ++height;
        SumNode[] memory ours = below(it.order, it.accusersEnds, height, state.task);
        while (index < ours.length && h(ours[index]) == h(it.nodes[index])) ++index;
    }

    function challengeOf(Match memory it) internal view returns (Challenge memory it_) {
        it_.input = inputOf(it.task);
        (, it_.inputProof) = inputTree(it.order.tasks, it.task);
        it_.parts = parts();
        it_.states = it.accusers.statesOf(0, 16 ** (runLevels - 1));
    }

    /// The accuser picks the node that is wrong, or challenges the leaf.
    function pickOn(Match memory it) internal {
        GameState memory state = stateOf(it);
        uint32 index = differenceOf(it);
        if (state.level != 0) {
            vm.prank(it.game.accuser);
            theCourt.pick(it.game, it.nodes, index);
            return played("pick");
        }
        Challenge memory challenge = challengeOf(it);
        vm.prank(it.game.accuser);
        theCourt.challenge(it.game, it.order, it.nodes, index, challenge);
        played("challenge");
        setSegment(it, it.accusers.hashAt(0), challenge.states);
    }

    function playToRun(Match memory it) internal {
        while (stateOf(it).stage != Stage.Run) moveOn(it);
    }

    /// The part that a side with this trace disputes first.
    function pickOf(Match memory it, Trace memory trace) internal view returns (uint32 pick) {
        GameState memory state = stateOf(it);
        uint256 part = 16 ** (state.level - 1);
        while (
            pick < 15 && trace.hashAt(state.position + (pick + 1) * part) == it.segment[pick + 1]
        ) {
            ++pick;
        }
    }

    /// What a side with this trace answers.
    function answerOf(Match memory it, Trace memory trace)
        internal
        view
        returns (uint32 pick, bytes32[16] memory states)
    {
        GameState memory state = stateOf(it);
        uint256 part = 16 ** (state.level - 1);
        pick = pickOf(it, trace);
        states = trace.statesOf(state.position + pick * part, part / 16);
    }

    function turnsTrace(Match memory it) internal view returns (Trace memory) {
        return accuserToMove(it) ? it.accusers : it.providers;
    }

    /// The side whose turn it is does what its tree and its trace say.
    function moveOn(Match memory it) internal {
        Stage stage = stateOf(it).stage;
        if (stage == Stage.Unfold) return unfoldOn(it);
        if (stage == Stage.Pick) return pickOn(it);
        bool accusers = accuserToMove(it);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
        vm.prank(accusers ? it.game.accuser : it.game.provider);
        theCourt.move(it.game, pick, it.segment, states, "");
        played("move");
        setSegment(it, it.segment[pick], states);
    }

    function playToLastLevel(Match memory it) internal {
        playToRun(it);
        while (stateOf(it).level > 1) moveOn(it);
    }

    /// Proves the step that the side to move disputes. Sent by a stranger: nobody has to be
    /// anybody.
    function stepOn(Match memory it) internal {
        GameState memory state = stateOf(it);
        uint32 pick = pickOf(it, turnsTrace(it));
        bytes memory proof = turnsTrace(it).proof(state.position + pick);
        vm.prank(stranger);
        theCourt.step(it.deal, it.game, pick, it.segment, proof);
        played("step");
    }

    function timeoutOf(Match memory it) internal {
        vm.warp(theCourt.deadline(it.id));
        theCourt.timeout(it.deal, it.game);
        played("timeout");
    }

    /// What a side signs so that others can send its move.
    function moveOf(Match memory it, uint32 pick, bytes32[16] memory states)
        internal
        view
        returns (Move memory)
    {
        bytes memory to = abi.encode(it.segment[pick], states);
        return
            Move(it.id, stateOf(it).level, pick, keccak256(abi.encode(it.segment)), keccak256(to));
    }

    // ── looking ──

    function h(Game memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(GAME_TYPEHASH, it));
    }

    function h(Move memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(MOVE_TYPEHASH, it));
    }

    function signMove(uint256 key, Move memory it) internal view returns (bytes memory) {
        bytes32 signed = keccak256(bytes.concat(hex"1901", theCourt.domainSeparator(), h(it)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, signed);
        return bytes.concat(r, s, bytes1(v));
    }

    function h(SumNode memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(it));
    }

    /// All that the court has.
    function bonds() internal view returns (uint256) {
        return balance(address(theCourt));
    }

    function checkOver(Match memory it) internal view {
        GameState memory state = theCourt.gameState(it.id);
        vm.assertEq(uint8(state.stage), 0, "game is over");
        vm.assertEq(state.segment, bytes32(0), "slot is free");
        vm.assertEq(keccak256(abi.encode(state)), keccak256(new bytes(9 * 32)), "all of it");
        vm.assertEq(theCourt.deadline(it.id), 0, "no deadline");
    }

    /// The court has nothing, and all of the market's money is in accounts.
    function checkNoBonds() internal view {
        vm.assertEq(bonds(), 0, "no bonds");
        checkAllFree();
    }
}
