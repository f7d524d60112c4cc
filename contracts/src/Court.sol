// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { EIP712 } from "./EIP712.sol";
import { Halted, HaltedLib } from "./Halted.sol";
import { Accusation, Fault, GameState, ICourt, Rules, SumFault, Verdict } from "./interfaces/ICourt.sol";
import { IERC20 } from "./interfaces/IERC20.sol";
import { Case, CaseKind, CaseStatus, DealStatus, IMarket } from "./interfaces/IMarket.sol";
import { IStepUnit, Task } from "./interfaces/IStepUnit.sol";
import { Pricing } from "./Pricing.sol";
import { Signatures } from "./Signatures.sol";
import { SumNode, SumTree } from "./SumTree.sol";
import { Tokens } from "./Tokens.sol";
import { Deal } from "./types/Deal.sol";
import { Game } from "./types/Game.sol";
import { Move } from "./types/Move.sol";
import { Order } from "./types/Order.sol";
import { Receipt } from "./types/Receipt.sol";

/// @title Rialto's court
/// @notice `interfaces/ICourt.sol` is the specification; comments here only say why.
contract Court is ICourt, EIP712 {
    using HaltedLib for Halted;
    using Tokens for IERC20;

    // ─────────────────────────────────────────── constants ────────────────────────────────────────────

    /// Parts of a segment.
    uint32 public constant PARTS = 16;
    /// Most levels: 16^14 steps, more than any machine takes.
    uint8 public constant MAX_LEVEL = 14;
    /// Most time that a side has at the start.
    uint32 public constant MAX_ALLOWANCE = 10 days;
    /// Most that `moveSeconds` can be: with the rest, a hold stays within the market's 30 days.
    uint32 public constant MAX_MOVE_SECONDS = 12 hours;
    /// After the last possible deadline the deal is held for so long.
    uint64 public constant SETTLE_SECONDS = 1 days;
    /// Share of a losing accuser's bond that the provider gets; the rest is burned.
    uint32 public constant COMPENSATION_BPS = 7000;
    /// Holds burned money.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;
    /// Most tasks in one order, as in the market.
    uint32 private constant MAX_ORDER_TASKS = 1 << 16;

    // ─────────────────────────────────────────── immutables ───────────────────────────────────────────

    IMarket private immutable MARKET;
    IERC20 private immutable TOKEN;
    IStepUnit private immutable JUDGE;
    uint128 private immutable BASE_BOND;
    uint128 private immutable BOND_PER_TFUEL;
    uint32 private immutable BASE_SECONDS;
    uint32 private immutable MOVE_SECONDS;
    uint64 private immutable FUEL_PER_SECOND;

    // ──────────────────────────────────────────── storage ─────────────────────────────────────────────

    /// Two slots per game, freed when it ends: the segment's hash, and the rest.
    mapping(bytes32 id => GameState) private games;

    // ────────────────────────────────────────── constructor ───────────────────────────────────────────

    constructor(IMarket market_, IStepUnit stepUnit_, Rules memory rules_) {
        if (rules_.moveSeconds == 0 || rules_.moveSeconds > MAX_MOVE_SECONDS || rules_.fuelPerSecond == 0) {
            revert RulesOutOfRange();
        }
        MARKET = market_;
        JUDGE = stepUnit_;
        TOKEN = IERC20(market_.token());
        BASE_BOND = rules_.baseBond;
        BOND_PER_TFUEL = rules_.bondPerTfuel;
        BASE_SECONDS = rules_.baseSeconds;
        MOVE_SECONDS = rules_.moveSeconds;
        FUEL_PER_SECOND = rules_.fuelPerSecond;
        // Bonds come back through accounts of the market.
        TOKEN.allow(address(market_));
    }

    // ───────────────────────────────────────────── games ──────────────────────────────────────────────

    /// @inheritdoc ICourt
    function accuse(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        Accusation calldata it
    ) external returns (bytes32 id) {
        Game memory game;
        (game.deal, game.receipt) = check(deal, order, receipt, signature);
        game.task = it.task;
        game.accuser = msg.sender;
        game.provider = deal.provider;
        game.bond = bondFor(order.fuelLimit);
        game.openedAt = uint64(block.timestamp);
        id = game.hashNew();
        if (games[id].level != 0) revert GameExists(id);
        checkLeaf(order, receipt, it.task, it.halted, it.fuel, it.proof);
        if (it.states[PARTS - 1] == it.halted) revert NoDispute(it.halted);

        (bytes32 first, uint8 level) = start(order, it);
        bytes32[17] memory segment = join(first, it.states);
        uint32 time = allowance(order.fuelLimit);
        games[id] = GameState({
            segment: keccak256(abi.encode(segment)),
            position: 0,
            since: uint40(block.timestamp),
            accuserSeconds: time,
            providerSeconds: time,
            level: level,
            accusersTurn: false
        });
        emit Accused(id, game.deal, game.provider, game, receipt.order, level, uint64(block.timestamp) + time, segment);
        uint64 longest = 2 * time + (uint64(level) + 1) * MOVE_SECONDS + SETTLE_SECONDS;
        MARKET.hold(deal, id, uint64(block.timestamp) + longest);
        TOKEN.pull(msg.sender, game.bond);
    }

    /// @inheritdoc ICourt
    function move(
        Game calldata game,
        uint32 pick,
        bytes32[17] calldata segment,
        bytes32[16] calldata states,
        bytes calldata signature
    ) external {
        (bytes32 id, GameState memory state) = load(game);
        uint32 left = secondsLeft(state);
        checkSegment(state, segment, pick);
        if (state.level == 1) revert WrongLevel(state.level);
        if (states[PARTS - 1] == segment[pick + 1]) revert EndsAgree(segment[pick + 1]);
        bytes32[17] memory answer = join(segment[pick], states);
        Move memory signed = Move(id, state.level, pick, state.segment, keccak256(abi.encode(answer)));
        authorise(state.accusersTurn ? game.accuser : game.provider, signed, signature);

        --state.level;
        state.position += pick * span(state.level);
        state.segment = signed.to;
        turn(state, left);
        games[id] = state;
        emit Moved(id, pick, state.position, state.level, state.accusersTurn, endOfTurn(state), answer);
    }

    /// @inheritdoc ICourt
    function step(
        Deal calldata deal,
        Game calldata game,
        uint32 pick,
        bytes32[17] calldata segment,
        bytes calldata proof
    ) external {
        (bytes32 id, GameState memory state) = load(game);
        secondsLeft(state);
        checkSegment(state, segment, pick);
        if (state.level != 1) revert WrongLevel(state.level);
        bytes32 next = JUDGE.step(segment[pick], proof);
        if (next == segment[pick + 1]) revert StepIsRight(next);

        emit Stepped(id, state.position + pick, segment[pick], segment[pick + 1], next);
        end(deal, game, id, Verdict.Step, state.accusersTurn);
    }

    /// @inheritdoc ICourt
    function timeout(Deal calldata deal, Game calldata game) external {
        (bytes32 id, GameState memory state) = load(game);
        uint64 until = endOfTurn(state);
        if (block.timestamp < until) revert IMarket.TooEarly(uint64(block.timestamp), until);
        end(deal, game, id, Verdict.Timeout, !state.accusersTurn);
    }

    // ────────────────────────────────────────── without a game ────────────────────────────────────────

    /// @inheritdoc ICourt
    function wrongSum(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        SumFault calldata it
    ) external {
        (bytes32 id, bytes32 receiptHash) = check(deal, order, receipt, signature);
        uint256 depth = SumTree.depth(order.tasks);
        uint256 levels = it.siblings.length;
        if (
            levels > depth || uint256(it.place) >> levels != 0
                || !SumTree.leads(SumNode(receipt.root, receipt.fuel), it.node, it.place, it.siblings)
        ) {
            revert IMarket.NotInReceipt(it.place);
        }
        uint256 height = depth - levels;
        bool inPadding = uint256(it.place) << height >= order.tasks && it.node.fuel != 0;
        if (!inPadding) {
            bool adds = uint256(it.left.fuel) + it.right.fuel == it.node.fuel;
            if (height == 0 || adds || SumTree.parentHash(it.left, it.right) != it.node.hash) revert SumIsRight();
        }
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
        (bytes32 id, bytes32 receiptHash) = check(deal, order, receipt, signature);
        checkLeaf(order, receipt, task, halted.hash(), fuel, proof);
        if (fuel == halted.fuelUsed(order.fuelLimit)) revert FuelIsRight(fuel);
        convict(deal, id, receiptHash, Fault.Fuel);
    }

    // ───────────────────────────────────────────── views ──────────────────────────────────────────────

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
        uint256 time = uint256(BASE_SECONDS) + fuelLimit / FUEL_PER_SECOND;
        if (time < MOVE_SECONDS) return MOVE_SECONDS;
        return time < MAX_ALLOWANCE ? uint32(time) : MAX_ALLOWANCE;
    }

    /// @inheritdoc ICourt
    function domainSeparator() public view override(EIP712, ICourt) returns (bytes32) {
        return EIP712.domainSeparator();
    }

    // ──────────────────────────────────────── internal: checks ────────────────────────────────────────

    /// A receipt that binds the provider, for an order of the deal. That the deal is open and this court's, the market says.
    function check(Deal calldata deal, Order calldata order, Receipt calldata receipt, bytes calldata signature)
        private
        view
        returns (bytes32 id, bytes32 receiptHash)
    {
        id = deal.hash();
        if (order.deal != id) revert IMarket.WrongDeal(id, order.deal);
        if (order.tasks == 0 || order.tasks > MAX_ORDER_TASKS) revert IMarket.TasksOutOfRange(order.tasks);
        bytes32 orderHash = order.hash();
        if (receipt.order != orderHash) revert IMarket.WrongOrder(orderHash, receipt.order);
        receiptHash = receipt.hash();
        if (MARKET.assertedReceipt(orderHash) == receiptHash) return (id, receiptHash);
        verify(deal.provider, keccak256(abi.encodePacked(hex"1901", MARKET.domainSeparator(), receiptHash)), signature);
    }

    /// The caller is this side, or has its signature.
    function authorise(address side, Move memory it, bytes calldata signature) private view {
        if (msg.sender != side) verify(side, digestOf(it.hashNew()), signature);
    }

    function verify(address signer, bytes32 digest, bytes calldata signature) private view {
        if (!Signatures.isValid(signer, digest, signature)) revert IMarket.InvalidSignature(signer, digest);
    }

    function checkLeaf(
        Order calldata order,
        Receipt calldata receipt,
        uint32 task,
        bytes32 halted,
        uint64 fuel,
        SumNode[] calldata proof
    ) private pure {
        SumNode memory root = SumNode(receipt.root, receipt.fuel);
        if (!SumTree.verify(root, order.tasks, task, SumTree.leaf(halted, fuel), proof)) {
            revert IMarket.NotInReceipt(task);
        }
    }

    /// First state of the accused task, and how many levels its run takes.
    function start(Order calldata order, Accusation calldata it) private view returns (bytes32 state, uint8 level) {
        checkInput(order, it);
        uint64 steps;
        (state, steps) = JUDGE.start(
            Task({
                program: order.program,
                input: it.input,
                seed: uint64(bytes8(keccak256(abi.encodePacked(order.seed, it.task)))),
                fuelLimit: order.fuelLimit,
                outLimit: order.outLimit,
                maxPages: order.maxPages
            }),
            it.parts
        );
        // Even: then the segment of the last level is the provider's, and an accuser who is right ends the game by a step.
        level = 2;
        while (span(level) < steps && level < MAX_LEVEL) level += 2;
    }

    /// As `inputs_root` in `crates/protocol/src/receipt.rs`. The tree's height is fixed by the tasks, so a node can't pass for
    /// a leaf.
    function checkInput(Order calldata order, Accusation calldata it) private pure {
        bytes32 node = it.input;
        bytes32[] calldata siblings = it.inputProof;
        if (siblings.length != SumTree.depth(order.tasks)) revert NotInOrder(it.task);
        for (uint256 level = 0; level < siblings.length; ++level) {
            bool left = (it.task >> level) & 1 == 0;
            node = left ? keccak256(abi.encode(node, siblings[level])) : keccak256(abi.encode(siblings[level], node));
        }
        if (node != order.inputs) revert NotInOrder(it.task);
    }

    function load(Game calldata game) private view returns (bytes32 id, GameState memory state) {
        id = game.hash();
        state = games[id];
        if (state.level == 0) revert NoGame(id);
    }

    function checkSegment(GameState memory state, bytes32[17] calldata segment, uint32 pick) private pure {
        bytes32 given = keccak256(abi.encode(segment));
        if (given != state.segment) revert WrongSegment(state.segment, given);
        if (pick >= PARTS) revert NoSuchPart(pick);
    }

    /// Steps of a segment of this level.
    function span(uint8 level) private pure returns (uint64) {
        return uint64(1) << (4 * level);
    }

    function join(bytes32 first, bytes32[16] calldata others) private pure returns (bytes32[17] memory segment) {
        segment[0] = first;
        for (uint256 i = 0; i < PARTS; ++i) {
            segment[i + 1] = others[i];
        }
    }

    // ──────────────────────────────────────── internal: clocks ────────────────────────────────────────

    function endOfTurn(GameState memory state) private pure returns (uint64) {
        return uint64(state.since) + (state.accusersTurn ? state.accuserSeconds : state.providerSeconds);
    }

    /// The side that moved keeps what it has left, and the other side's turn begins with at least one move's time.
    function turn(GameState memory state, uint32 left) private view {
        if (state.accusersTurn) {
            state.accuserSeconds = left;
            if (state.providerSeconds < MOVE_SECONDS) state.providerSeconds = MOVE_SECONDS;
        } else {
            state.providerSeconds = left;
            if (state.accuserSeconds < MOVE_SECONDS) state.accuserSeconds = MOVE_SECONDS;
        }
        state.accusersTurn = !state.accusersTurn;
        state.since = uint40(block.timestamp);
    }

    /// What the side to move has left, more than nothing.
    function secondsLeft(GameState memory state) private view returns (uint32) {
        uint64 until = endOfTurn(state);
        if (block.timestamp >= until) revert IMarket.TooLate(uint64(block.timestamp), until);
        return uint32(until - block.timestamp);
    }

    // ──────────────────────────────────────── internal: endings ───────────────────────────────────────

    function end(Deal calldata deal, Game calldata game, bytes32 id, Verdict verdict, bool accuserWon) private {
        bytes32 dealId = deal.hash();
        if (dealId != game.deal) revert IMarket.WrongDeal(game.deal, dealId);
        delete games[id];
        bool open = MARKET.dealState(dealId).status == DealStatus.Open;
        uint128 toProvider = accuserWon ? 0 : Pricing.share(game.bond, COMPENSATION_BPS);
        uint128 toAccuser = accuserWon ? game.bond : 0;
        uint128 burned = game.bond - toAccuser - toProvider;
        emit Ended(id, verdict, accuserWon, accuserWon && open, toAccuser, toProvider, burned);
        if (open && accuserWon) MARKET.slash(deal);
        // A hold that nobody ended in time may have lapsed.
        else if (open && MARKET.caseState(dealId, CaseKind.Hold, id, 0).status == CaseStatus.Open) MARKET.lift(deal, id);
        pay(game.accuser, toAccuser);
        pay(game.provider, toProvider);
        pay(BURNED, burned);
    }

    function pay(address owner, uint128 amount) private {
        if (amount != 0) MARKET.deposit(owner, amount);
    }

    function convict(Deal calldata deal, bytes32 id, bytes32 receiptHash, Fault fault) private {
        emit Convicted(id, receiptHash, deal.provider, fault);
        MARKET.slash(deal);
    }
}
