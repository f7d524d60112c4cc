// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Court } from "../../src/Court.sol";
import { Halted } from "../../src/Halted.sol";
import { Accusation, GameState, ICourt, Rules } from "../../src/interfaces/ICourt.sol";
import { IMarket } from "../../src/interfaces/IMarket.sol";
import { IStepUnit, Task } from "../../src/interfaces/IStepUnit.sol";
import { SumNode } from "../../src/SumTree.sol";
import { Deal } from "../../src/types/Deal.sol";
import { Game, GAME_TYPEHASH } from "../../src/types/Game.sol";
import { Move, MOVE_TYPEHASH } from "../../src/types/Move.sol";
import { Order } from "../../src/types/Order.sol";
import { Receipt } from "../../src/types/Receipt.sol";
import { Fixture } from "../base/Fixture.sol";
import { Vm, vm } from "../base/Vm.sol";
import { Lie, Toy, ToyLib, ToyState, Trace, Traces } from "./Toy.sol";

/// A market with a court whose machine is a toy, and both sides as players.
///
/// An order has two tasks. The provider's receipt is what its trace of each says; the accuser has a trace of its own.
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
    uint8 constant LEVELS = 12;
    uint128 constant PURSE = 1000e6;

    ICourt theCourt;
    IStepUnit machine;
    uint64 end = END;
    uint64 fuelLimit = FUEL;

    function setUp() public virtual override {
        super.setUp();
        machine = new Toy();
        theCourt = deployCourt(Rules(BASE_BOND, BOND_PER_TFUEL, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND));
        court = address(theCourt);
        purse(requester);
        purse(stranger);
    }

    /// Tokens that the court may take as bonds.
    function purse(address owner) internal {
        token.mint(owner, PURSE);
        vm.prank(owner);
        token.approve(address(theCourt), type(uint256).max);
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
        return abi.encode(end);
    }

    function inputOf(uint32 task) internal pure returns (bytes32) {
        return keccak256(abi.encode("input", task));
    }

    function judged(uint64 seq) internal view returns (Order memory order) {
        order = anOrder(seq);
        order.program = keccak256(parts());
        order.fuelLimit = fuelLimit;
        order.inputs = keccak256(abi.encode(inputOf(0), inputOf(1)));
    }

    function taskOf(Order memory order, uint32 task) internal pure returns (Task memory) {
        bytes32 seed = keccak256(abi.encodePacked(order.seed, task));
        return Task(order.program, inputOf(task), uint64(bytes8(seed)), order.fuelLimit, order.outLimit, order.maxPages);
    }

    /// What somebody says of a task who lies like this from step `since` on.
    function traceOf(Order memory order, uint32 task, Lie lie, uint64 since) internal view returns (Trace memory) {
        return Traces.make(ToyLib.first(taskOf(order, task), end), lie, since);
    }

    function honest(Order memory order, uint32 task) internal view returns (Trace memory) {
        return traceOf(order, task, Lie.Honest, 0);
    }

    function leafOf(Trace memory trace) internal view returns (SumNode memory) {
        int64 left = trace.halted.fuelLeft;
        return leaf(h(trace.halted), uint64(int64(fuelLimit) - left));
    }

    /// The receipt of a provider that says this of the two tasks.
    function receiptOf(Order memory order, Trace memory first, Trace memory second)
        internal
        view
        returns (Receipt memory)
    {
        SumNode memory root = join(leafOf(first), leafOf(second));
        uint128 fee = uint128(uint256(4e6) * root.fuel / 1e12) + 2e6;
        return Receipt(h(order), root.hash, root.fuel, fee);
    }

    // ── moves ──

    /// Everything about one game that a test needs.
    struct Match {
        Deal deal;
        Order order;
        Receipt receipt;
        Game game;
        bytes32 id;
        Trace accusers;
        Trace providers;
        bytes32[17] segment;
        Accusation accusation;
    }

    /// A deal with a receipt in which the provider says this of task 0, and an accusation ready to be sent.
    function prepare(uint64 seq, Lie providersLie, uint64 providersAt, Lie accusersLie, uint64 accusersAt)
        internal
        view
        returns (Match memory it)
    {
        it.deal = aDeal();
        it.order = judged(seq);
        it.providers = traceOf(it.order, 0, providersLie, providersAt);
        it.accusers = traceOf(it.order, 0, accusersLie, accusersAt);
        Trace memory other = honest(it.order, 1);
        it.receipt = receiptOf(it.order, it.providers, other);
        it.accusation.task = 0;
        it.accusation.fuel = uint64(leafOf(it.providers).fuel);
        it.accusation.halted = h(it.providers.halted);
        it.accusation.proof = siblings(leafOf(other));
        it.accusation.input = inputOf(0);
        it.accusation.inputProof = new bytes32[](1);
        it.accusation.inputProof[0] = inputOf(1);
        it.accusation.parts = parts();
        it.accusation.states = it.accusers.statesOf(0, 16 ** (LEVELS - 1));
    }

    function accuse(Match memory it, address accuser) internal {
        bytes memory signature = byProvider(h(it.receipt));
        vm.prank(accuser);
        it.id = theCourt.accuse(it.deal, it.order, it.receipt, signature, it.accusation);
        accused();
        it.game = Game({
            deal: h(it.deal),
            receipt: h(it.receipt),
            task: it.accusation.task,
            accuser: accuser,
            provider: it.deal.provider,
            bond: theCourt.bondFor(it.order.fuelLimit),
            openedAt: uint64(block.timestamp)
        });
        vm.assertEq(it.id, h(it.game), "game id");
        setSegment(it, it.accusers.hashAt(0), it.accusation.states);
    }

    /// Right after the call.
    function accused() internal virtual { }

    function accuserToMove(Match memory it) internal view returns (bool) {
        return theCourt.gameState(it.id).accusersTurn;
    }

    function setSegment(Match memory it, bytes32 first, bytes32[16] memory states) internal pure {
        it.segment[0] = first;
        for (uint256 i = 0; i < 16; ++i) {
            it.segment[i + 1] = states[i];
        }
    }

    /// The part that a side with this trace disputes first.
    function pickOf(Match memory it, Trace memory trace) internal view returns (uint32 pick) {
        GameState memory state = theCourt.gameState(it.id);
        uint256 part = 16 ** (state.level - 1);
        while (pick < 15 && trace.hashAt(state.position + (pick + 1) * part) == it.segment[pick + 1]) ++pick;
    }

    /// What a side with this trace answers.
    function answerOf(Match memory it, Trace memory trace)
        internal
        view
        returns (uint32 pick, bytes32[16] memory states)
    {
        GameState memory state = theCourt.gameState(it.id);
        uint256 part = 16 ** (state.level - 1);
        pick = pickOf(it, trace);
        states = trace.statesOf(state.position + pick * part, part / 16);
    }

    function turnsTrace(Match memory it) internal view returns (Trace memory) {
        return theCourt.gameState(it.id).accusersTurn ? it.accusers : it.providers;
    }

    /// The side whose turn it is moves as its trace says.
    function moveOn(Match memory it) internal {
        bool accusers = theCourt.gameState(it.id).accusersTurn;
        (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
        vm.prank(accusers ? it.game.accuser : it.game.provider);
        theCourt.move(it.game, pick, it.segment, states, "");
        setSegment(it, it.segment[pick], states);
    }

    function playToLastLevel(Match memory it) internal {
        while (theCourt.gameState(it.id).level > 1) moveOn(it);
    }

    /// Proves the step that the side to move disputes. Sent by a stranger: nobody has to be anybody.
    function stepOn(Match memory it) internal {
        GameState memory state = theCourt.gameState(it.id);
        uint32 pick = pickOf(it, turnsTrace(it));
        bytes memory proof = turnsTrace(it).proof(state.position + pick);
        vm.prank(stranger);
        theCourt.step(it.deal, it.game, pick, it.segment, proof);
    }

    function timeoutOf(Match memory it) internal {
        vm.warp(theCourt.deadline(it.id));
        theCourt.timeout(it.deal, it.game);
    }

    /// What a side signs so that others can send its move.
    function moveOf(Match memory it, uint32 pick, bytes32[16] memory states) internal view returns (Move memory) {
        bytes memory to = abi.encode(it.segment[pick], states);
        return Move(it.id, theCourt.gameState(it.id).level, pick, keccak256(abi.encode(it.segment)), keccak256(to));
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

    function bonds() internal view returns (uint256) {
        return token.balanceOf(address(theCourt));
    }

    function checkOver(Match memory it) internal view {
        GameState memory state = theCourt.gameState(it.id);
        vm.assertEq(state.level, 0, "game is over");
        vm.assertEq(state.segment, bytes32(0), "slot is free");
        vm.assertEq(theCourt.deadline(it.id), 0, "no deadline");
    }

    /// Nothing is in the court, and all of the market's money is in accounts.
    function checkNoBonds() internal view {
        vm.assertEq(bonds(), 0, "no bonds");
        checkAllFree();
    }
}
