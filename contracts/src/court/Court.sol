// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Case, CaseKind, CaseStatus, DealStatus, IMarket } from "../market/IMarket.sol";
import { IStepUnit, Task } from "../machine/IStepUnit.sol";
import { Constants } from "../shared/Constants.sol";
import { EIP712 } from "../shared/EIP712.sol";
import { Pricing } from "../shared/Pricing.sol";
import { Signatures } from "../shared/Signatures.sol";
import { SumNode, SumTree } from "../shared/SumTree.sol";
import { Deal } from "../types/Deal.sol";
import { Game } from "../types/Game.sol";
import { Halted, HaltedLib } from "../types/Halted.sol";
import { Move } from "../types/Move.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";
import { Challenge, Fault, GameState, ICourt, Rules, Stage, SumFault, Verdict } from "./ICourt.sol";

/// @title Rialto's court
/// @notice `ICourt.sol` is the specification. Comments here only say why.
contract Court is ICourt, EIP712 {
    using HaltedLib for Halted;

    // ───────────────────────────────────────── constants ─────────────────────────────────────────

    /// Parts of a segment.
    uint32 public constant PARTS = 16;
    /// Most levels: 16^14 steps, more than any machine takes.
    uint8 public constant MAX_LEVEL = 14;
    /// Most time that a side has at the start.
    uint32 public constant MAX_ALLOWANCE = 10 days;
    /// Most that `moveSeconds` can be: then no game needs a longer hold than the market allows.
    uint32 public constant MAX_MOVE_SECONDS = 8 hours;
    /// How long the deal is held after the last possible deadline.
    uint64 public constant SETTLE_SECONDS = 1 days;
    /// Share of a losing accuser's bond that the provider gets; the rest is burned.
    uint32 public constant COMPENSATION_BPS = Constants.COMPENSATION_BPS;
    /// Holds burned money.
    address public constant BURNED = Constants.BURNED;
    /// Levels of a receipt's tree that one answer opens: 16 nodes.
    uint8 private constant UNFOLD_LEVELS = 4;

    // ──────────────────────────────────────── immutables ─────────────────────────────────────────

    IMarket private immutable MARKET;
    IStepUnit private immutable JUDGE;
    uint128 private immutable BASE_BOND;
    uint128 private immutable BOND_PER_TFUEL;
    uint32 private immutable BASE_SECONDS;
    uint32 private immutable MOVE_SECONDS;
    uint64 private immutable FUEL_PER_SECOND;

    // ────────────────────────────────────────── storage ──────────────────────────────────────────

    /// Two slots per game, freed when it ends: the segment's hash, and the rest.
    mapping(bytes32 id => GameState) private games;
    /// Until when a provider is given time to trace the tasks that were challenged, one after the
    /// other.
    mapping(address provider => uint256 time) private busyUntil;
    /// @inheritdoc ICourt
    mapping(address owner => mapping(address delegate => uint64 time)) public delegateUntil;

    // ──────────────────────────────────────── constructor ────────────────────────────────────────

    constructor(IMarket market_, IStepUnit stepUnit_, Rules memory rules_) {
        if (
            rules_.moveSeconds == 0 || rules_.moveSeconds > MAX_MOVE_SECONDS
                || rules_.fuelPerSecond == 0
        ) {
            revert RulesOutOfRange();
        }
        MARKET = market_;
        JUDGE = stepUnit_;
        BASE_BOND = rules_.baseBond;
        BOND_PER_TFUEL = rules_.bondPerTfuel;
        BASE_SECONDS = rules_.baseSeconds;
        MOVE_SECONDS = rules_.moveSeconds;
        FUEL_PER_SECOND = rules_.fuelPerSecond;
    }

    // ─────────────────────────────────────────── games ───────────────────────────────────────────

    /// @inheritdoc ICourt
    function accuse(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature
    ) external returns (bytes32 id) {
        Game memory game;
        (game.deal, game.receipt) = requireReceipt(deal, order, receipt, signature);
        game.order = receipt.order;
        game.accuser = msg.sender;
        game.provider = deal.provider;
        game.providerKey = deal.providerKey;
        game.bond = bondFor(order.fuelLimit);
        game.openedAt = uint64(block.timestamp);
        id = game.hashNew();
        if (games[id].stage != Stage.None) revert GameExists(id);

        uint8 height = uint8(SumTree.depth(order.tasks));
        uint32 time = allowance(order.fuelLimit);
        games[id] = GameState({
            segment: hashOf(SumNode(receipt.root, receipt.fuel)),
            position: 0,
            since: uint40(block.timestamp),
            accuserSeconds: time,
            providerSeconds: MOVE_SECONDS,
            stage: Stage.Unfold,
            level: height,
            task: 0,
            accusersTurn: false
        });
        emit Accused(
            id,
            game.deal,
            game.provider,
            game,
            receipt,
            order.tasks,
            uint64(block.timestamp) + MOVE_SECONDS
        );
        // Two turns open four levels of the receipt's tree. Then comes the longest run that there
        // can be.
        uint64 turns = 2 * ((uint64(height) + UNFOLD_LEVELS - 1) / UNFOLD_LEVELS) + MAX_LEVEL + 3;
        uint64 longest = uint64(time) + MAX_ALLOWANCE + turns * MOVE_SECONDS + SETTLE_SECONDS;
        MARKET.hold(deal, id, uint64(block.timestamp) + longest);
        MARKET.take(msg.sender, game.bond);
    }

    /// @inheritdoc ICourt
    function unfold(Game calldata game, Order calldata order, SumNode[] memory nodes) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Unfold);
        uint32 left = requireSecondsLeft(state);
        requireOrder(game, order);
        uint8 levels = state.level < UNFOLD_LEVELS ? state.level : UNFOLD_LEVELS;
        if (nodes.length != uint256(1) << levels) revert IMarket.NotInReceipt(state.task);
        bytes32 node = state.segment;
        state.level -= levels;
        state.segment = keccak256(abi.encode(nodes));
        state.stage = Stage.Pick;
        passTurn(id, state, left);
        // The event comes first, for the nodes are folded in place.
        emit Unfolded(id, state.task, state.level, endOfTurn(state), nodes);
        if (state.level == 0) hashLeaves(order, state.task << levels, nodes);
        if (hashOf(SumTree.fold(nodes)) != node) revert IMarket.NotInReceipt(state.task);
    }

    /// @inheritdoc ICourt
    function pick(Game calldata game, SumNode[] calldata nodes, uint32 index) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Pick);
        uint32 left = requirePick(game, state, nodes, index);
        if (state.level == 0) revert WrongLevel(state.level);
        state.task = state.task * uint32(nodes.length) + index;
        state.segment = hashOf(nodes[index]);
        state.stage = Stage.Unfold;
        passTurn(id, state, left);
        emit Picked(id, state.task, state.level, endOfTurn(state));
    }

    /// @inheritdoc ICourt
    function challenge(
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Challenge calldata run
    ) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Pick);
        uint32 left = requirePick(game, state, nodes, index);
        if (state.level != 0) revert WrongLevel(state.level);
        requireOrder(game, order);
        state.task = state.task * uint32(nodes.length) + index;
        if (state.task >= order.tasks) revert IMarket.NoSuchTask(state.task, order.tasks);
        if (run.states[PARTS - 1] == nodes[index].hash) revert NoDispute(nodes[index].hash);

        bytes32 first;
        (first, state.level) = startRun(order, state.task, run);
        bytes32[17] memory segment = segmentOf(first, run.states);
        state.segment = hashOf(segment);
        state.stage = Stage.Run;
        state.providerSeconds = queueTrace(game.provider, order.fuelLimit);
        passTurn(id, state, left);
        emit Challenged(id, state.task, nodes[index].hash, state.level, endOfTurn(state), segment);
    }

    /// @inheritdoc ICourt
    function contradict(
        Deal calldata deal,
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Halted calldata halted
    ) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Pick);
        requireSecondsLeft(state);
        requireNodes(state, nodes, index);
        if (state.level != 0) revert WrongLevel(state.level);
        requireOrder(game, order);
        if (halted.hash() != nodes[index].hash) {
            revert IMarket.NotInReceipt(state.task * uint32(nodes.length) + index);
        }
        uint64 used = halted.fuelUsed(order.fuelLimit);
        if (nodes[index].fuel == used) revert FuelIsRight(used);
        endGame(deal, game, id, Verdict.Fuel, true);
    }

    /// @inheritdoc ICourt
    function delegate(address to, uint64 time) external {
        delegateUntil[msg.sender][to] = time;
        emit Delegated(msg.sender, to, time);
    }

    /// @inheritdoc ICourt
    function move(
        Game calldata game,
        uint32 part,
        bytes32[17] calldata segment,
        bytes32[16] calldata states,
        bytes calldata signature
    ) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Run);
        uint32 left = requireSecondsLeft(state);
        requireSegment(state, segment, part);
        if (state.level == 1) revert WrongLevel(state.level);
        if (states[PARTS - 1] == segment[part + 1]) revert EndsAgree(segment[part + 1]);
        bytes32[17] memory answer = segmentOf(segment[part], states);
        bytes32 to = hashOf(answer);
        if (!mayMoveFor(state.accusersTurn ? game.accuser : game.provider)) {
            address key = state.accusersTurn ? game.accuser : game.providerKey;
            requireSignature(key, Move(id, state.level, part, state.segment, to), signature);
        }

        --state.level;
        state.position += part * stepsOf(state.level);
        state.segment = to;
        passTurn(id, state, left);
        emit Moved(
            id, part, state.position, state.level, state.accusersTurn, endOfTurn(state), answer
        );
    }

    /// @inheritdoc ICourt
    function step(
        Deal calldata deal,
        Game calldata game,
        uint32 part,
        bytes32[17] calldata segment,
        bytes calldata proof
    ) external {
        (bytes32 id, GameState memory state) = loadGame(game, Stage.Run);
        requireSecondsLeft(state);
        requireSegment(state, segment, part);
        if (state.level != 1) revert WrongLevel(state.level);
        bytes32 next = JUDGE.step(segment[part], proof);
        if (next == segment[part + 1]) revert StepIsRight(next);

        emit Stepped(id, state.position + part, segment[part], segment[part + 1], next);
        endGame(deal, game, id, Verdict.Step, state.accusersTurn);
    }

    /// @inheritdoc ICourt
    function timeout(Deal calldata deal, Game calldata game) external {
        bytes32 id = game.hash();
        GameState memory state = games[id];
        if (state.stage == Stage.None) revert NoGame(id);
        uint64 end = endOfTurn(state);
        if (block.timestamp < end) revert IMarket.TooEarly(uint64(block.timestamp), end);
        endGame(deal, game, id, Verdict.Timeout, !state.accusersTurn);
    }

    // ────────────────────────────────────── without a game ───────────────────────────────────────

    /// @inheritdoc ICourt
    function wrongSum(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        SumFault calldata fault
    ) external {
        (bytes32 id, bytes32 receiptHash) = requireReceipt(deal, order, receipt, signature);
        requireWrongSum(SumNode(receipt.root, receipt.fuel), order.tasks, fault);
        convict(deal, id, receiptHash, Fault.Sum);
    }

    /// @inheritdoc ICourt
    function wrongFuel(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof
    ) external {
        (bytes32 id, bytes32 receiptHash) = requireReceipt(deal, order, receipt, signature);
        SumTree.requireLeaf(receipt, order.tasks, task, halted.hash(), fuel, proof);
        if (fuel == halted.fuelUsed(order.fuelLimit)) revert FuelIsRight(fuel);
        convict(deal, id, receiptHash, Fault.Fuel);
    }

    // ─────────────────────────────────────────── views ───────────────────────────────────────────

    /// @inheritdoc ICourt
    function market() external view returns (address) {
        return address(MARKET);
    }

    /// @inheritdoc ICourt
    function stepUnit() external view returns (address) {
        return address(JUDGE);
    }

    /// @inheritdoc ICourt
    function rules() external view returns (Rules memory) {
        return Rules(BASE_BOND, BOND_PER_TFUEL, BASE_SECONDS, MOVE_SECONDS, FUEL_PER_SECOND);
    }

    /// @inheritdoc ICourt
    function gameState(bytes32 id) external view returns (GameState memory) {
        return games[id];
    }

    /// @inheritdoc ICourt
    function deadline(bytes32 id) external view returns (uint64) {
        return endOfTurn(games[id]);
    }

    /// @inheritdoc ICourt
    function bondFor(uint64 fuelLimit) public view returns (uint128) {
        return Pricing.fee(BOND_PER_TFUEL, BASE_BOND, fuelLimit, 1);
    }

    /// @inheritdoc ICourt
    function allowance(uint64 fuelLimit) public view returns (uint32) {
        return clampAllowance(traceSeconds(fuelLimit));
    }

    /// @inheritdoc ICourt
    function domainSeparator() public view override(EIP712, ICourt) returns (bytes32) {
        return EIP712.domainSeparator();
    }

    // ───────────────────────────────────── internal: checks ──────────────────────────────────────

    /// Reverts unless the receipt binds the provider and is for an order of the deal. The market
    /// checks that the deal is open and that this court is its court.
    function requireReceipt(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature
    ) private view returns (bytes32 id, bytes32 receiptHash) {
        id = deal.hash();
        if (order.deal != id) revert IMarket.WrongDeal(id, order.deal);
        if (order.tasks == 0 || order.tasks > Constants.MAX_ORDER_TASKS) {
            revert IMarket.TasksOutOfRange(order.tasks);
        }
        bytes32 orderHash = order.hash();
        if (receipt.order != orderHash) revert IMarket.WrongOrder(orderHash, receipt.order);
        receiptHash = receipt.hash();
        bytes32 digest = digestUnder(MARKET.domainSeparator(), receiptHash);
        if (Signatures.isByKey(deal.providerKey, digest, signature)) return (id, receiptHash);
        if (MARKET.assertedReceipt(orderHash) != receiptHash) {
            revert IMarket.InvalidSignature(deal.providerKey, digest);
        }
    }

    /// Returns whether the caller is the account of a side, or its delegate.
    function mayMoveFor(address side) private view returns (bool) {
        return msg.sender == side || block.timestamp < delegateUntil[side][msg.sender];
    }

    function requireSignature(address key, Move memory signed, bytes calldata signature)
        private
        view
    {
        bytes32 digest = digestOf(signed.hashNew());
        if (!Signatures.isByKey(key, digest, signature)) {
            revert IMarket.InvalidSignature(key, digest);
        }
    }

    /// Reverts unless the order is the game's.
    function requireOrder(Game calldata game, Order calldata order) private pure {
        bytes32 orderHash = order.hash();
        if (orderHash != game.order) revert IMarket.WrongOrder(game.order, orderHash);
    }

    /// Reverts unless the accuser picks in time one of the nodes that the provider has shown.
    /// Returns how many seconds the accuser has left.
    function requirePick(
        Game calldata game,
        GameState memory state,
        SumNode[] calldata nodes,
        uint32 index
    ) private view returns (uint32 left) {
        left = requireSecondsLeft(state);
        if (!mayMoveFor(game.accuser)) revert IMarket.Unauthorized(msg.sender, game.accuser);
        requireNodes(state, nodes, index);
    }

    function requireNodes(GameState memory state, SumNode[] calldata nodes, uint32 index)
        private
        pure
    {
        bytes32 given = keccak256(abi.encode(nodes));
        if (given != state.segment) revert WrongSegment(state.segment, given);
        if (index >= nodes.length) revert NoSuchPart(index);
    }

    /// Replaces H(halted) and fuel of each task, as the provider has shown them, by the leaf that
    /// they hash to. Reverts if a task uses more fuel than the order allows, or if padding is not
    /// empty.
    function hashLeaves(Order calldata order, uint32 first, SumNode[] memory leaves) private pure {
        for (uint256 i = 0; i < leaves.length; ++i) {
            SumNode memory it = leaves[i];
            if (first + i >= order.tasks) {
                if (it.hash != 0 || it.fuel != 0) revert IMarket.NotInReceipt(uint32(first + i));
                continue;
            }
            if (it.fuel > order.fuelLimit) revert IMarket.NotInReceipt(uint32(first + i));
            leaves[i] = SumTree.leaf(it.hash, uint64(it.fuel));
        }
    }

    function hashOf(SumNode memory node) private pure returns (bytes32) {
        return keccak256(abi.encode(node));
    }

    /// Reverts unless the node of the fault is in the receipt's tree and can't be right.
    function requireWrongSum(SumNode memory root, uint32 tasks, SumFault calldata fault)
        private
        pure
    {
        uint256 depth = SumTree.depth(tasks);
        uint256 levels = fault.siblings.length;
        if (
            levels > depth || uint256(fault.place) >> levels != 0
                || !SumTree.leads(root, fault.node, fault.place, fault.siblings)
        ) {
            revert IMarket.NotInReceipt(fault.place);
        }
        uint256 height = depth - levels;
        bool isWrongPadding = uint256(fault.place) << height >= tasks
            && (fault.node.fuel != 0 || fault.node.hash != SumTree.emptyHash(height));
        if (isWrongPadding) return;
        bool adds = uint256(fault.left.fuel) + fault.right.fuel == fault.node.fuel;
        if (height == 0 || adds || SumTree.parentHash(fault.left, fault.right) != fault.node.hash) {
            revert SumIsRight();
        }
    }

    /// Returns the first state of the accused task, and how many levels its run takes.
    function startRun(Order calldata order, uint32 task, Challenge calldata run)
        private
        view
        returns (bytes32 state, uint8 level)
    {
        requireInput(order, task, run);
        uint64 steps;
        (state, steps) = JUDGE.start(
            Task({
                program: order.program,
                input: run.input,
                seed: uint64(bytes8(keccak256(abi.encodePacked(order.seed, task)))),
                fuelLimit: order.fuelLimit,
                outLimit: order.outLimit,
                maxPages: order.maxPages
            }),
            run.parts
        );
        // The level is even, so the last segment is the provider's, and an accuser who is right
        // ends the game by a step.
        level = 2;
        while (stepsOf(level) < steps && level < MAX_LEVEL) level += 2;
    }

    /// Reverts unless the input is the task's in the order; `inputs_root` in
    /// `crates/protocol/src/receipt.rs` is the same. The number of tasks fixes the tree's height,
    /// so a node can't pass for a leaf.
    function requireInput(Order calldata order, uint32 task, Challenge calldata run) private pure {
        bytes32 node = run.input;
        bytes32[] calldata siblings = run.inputProof;
        if (siblings.length != SumTree.depth(order.tasks)) revert NotInOrder(task);
        for (uint256 level = 0; level < siblings.length; ++level) {
            bool left = (task >> level) & 1 == 0;
            node = left
                ? keccak256(abi.encode(node, siblings[level]))
                : keccak256(abi.encode(siblings[level], node));
        }
        if (node != order.inputs) revert NotInOrder(task);
    }

    /// Returns the id and the state of a game. Reverts unless it waits for a move of this stage.
    function loadGame(Game calldata game, Stage stage)
        private
        view
        returns (bytes32 id, GameState memory state)
    {
        id = game.hash();
        state = games[id];
        if (state.stage == Stage.None) revert NoGame(id);
        if (state.stage != stage) revert WrongStage(state.stage);
    }

    function requireSegment(GameState memory state, bytes32[17] calldata segment, uint32 part)
        private
        pure
    {
        bytes32 given;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, segment, 544)
            given := keccak256(free, 544)
        }
        if (given != state.segment) revert WrongSegment(state.segment, given);
        if (part >= PARTS) revert NoSuchPart(part);
    }

    /// Returns how many steps a segment of this level spans.
    function stepsOf(uint8 level) private pure returns (uint64) {
        return uint64(1) << (4 * level);
    }

    function segmentOf(bytes32 first, bytes32[16] calldata others)
        private
        pure
        returns (bytes32[17] memory segment)
    {
        assembly ("memory-safe") {
            mstore(segment, first)
            calldatacopy(add(segment, 32), others, 512)
        }
    }

    function hashOf(bytes32[17] memory segment) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(segment, 544)
        }
    }

    // ───────────────────────────────────── internal: clocks ──────────────────────────────────────

    function endOfTurn(GameState memory state) private pure returns (uint64) {
        return
            uint64(state.since)
                + (state.accusersTurn ? state.accuserSeconds : state.providerSeconds);
    }

    /// Gives the turn to the other side, and stores the game. The side that has moved keeps the
    /// `left` seconds; the other side starts its turn with the time for one move at least.
    function passTurn(bytes32 id, GameState memory state, uint32 left) private {
        if (state.accusersTurn) {
            state.accuserSeconds = left;
            if (state.providerSeconds < MOVE_SECONDS) state.providerSeconds = MOVE_SECONDS;
        } else {
            state.providerSeconds = left;
            if (state.accuserSeconds < MOVE_SECONDS) state.accuserSeconds = MOVE_SECONDS;
        }
        state.accusersTurn = !state.accusersTurn;
        state.since = uint40(block.timestamp);
        games[id] = state;
    }

    /// Returns how long it takes to trace a task of this fuel limit, seconds.
    function traceSeconds(uint64 fuelLimit) private view returns (uint256) {
        return uint256(BASE_SECONDS) + fuelLimit / FUEL_PER_SECOND;
    }

    function clampAllowance(uint256 time) private view returns (uint32) {
        if (time < MOVE_SECONDS) return MOVE_SECONDS;
        return time < MAX_ALLOWANCE ? uint32(time) : MAX_ALLOWANCE;
    }

    /// Queues one more task that the provider has to trace behind those before it. Returns how many
    /// seconds it has for all of them.
    function queueTrace(address provider, uint64 fuelLimit) private returns (uint32) {
        uint256 free = busyUntil[provider];
        if (free < block.timestamp) free = block.timestamp;
        uint256 end = free + traceSeconds(fuelLimit);
        // No task takes more of the queue than the longest allowance: else one task of an absurd
        // fuel limit would slow down all games to come.
        uint256 latest = block.timestamp + MAX_ALLOWANCE;
        if (end > latest) end = latest;
        busyUntil[provider] = end;
        return clampAllowance(end - block.timestamp);
    }

    /// Returns how many seconds the side to move has left: at least one.
    function requireSecondsLeft(GameState memory state) private view returns (uint32) {
        uint64 end = endOfTurn(state);
        if (block.timestamp >= end) revert IMarket.TooLate(uint64(block.timestamp), end);
        return uint32(end - block.timestamp);
    }

    // ───────────────────────────────────── internal: endings ─────────────────────────────────────

    /// Ends a game for good: the deal ends too if the accuser won, and else its hold; the bond goes
    /// where it belongs.
    function endGame(
        Deal calldata deal,
        Game calldata game,
        bytes32 id,
        Verdict verdict,
        bool accuserWon
    ) private {
        bytes32 dealId = deal.hash();
        if (dealId != game.deal) revert IMarket.WrongDeal(game.deal, dealId);
        delete games[id];
        bool open = MARKET.dealState(dealId).status == DealStatus.Open;
        uint128 toProvider = accuserWon ? 0 : Pricing.share(game.bond, COMPENSATION_BPS);
        uint128 toAccuser = accuserWon ? game.bond : 0;
        uint128 burned = game.bond - toAccuser - toProvider;
        emit Ended(id, verdict, accuserWon, accuserWon && open, toAccuser, toProvider, burned);
        if (open && accuserWon) MARKET.slash(deal, game.accuser);
        else if (open && isHeld(dealId, id)) MARKET.lift(deal, id);
        give(game.accuser, toAccuser);
        give(game.provider, toProvider);
        give(BURNED, burned);
    }

    /// Returns whether the game still holds its deal: anybody can settle a hold that has run out.
    function isHeld(bytes32 dealId, bytes32 id) private view returns (bool) {
        return MARKET.caseState(dealId, CaseKind.Hold, id, 0).status == CaseStatus.Open;
    }

    function give(address owner, uint128 amount) private {
        if (amount != 0) MARKET.give(owner, amount);
    }

    function convict(Deal calldata deal, bytes32 id, bytes32 receiptHash, Fault fault) private {
        emit Convicted(id, receiptHash, deal.provider, fault);
        MARKET.slash(deal, msg.sender);
    }
}
