// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../Halted.sol";
import { SumNode } from "../SumTree.sol";
import { Deal } from "../types/Deal.sol";
import { Game } from "../types/Game.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";

/// What a court is built with.
struct Rules {
    /// Bond of an accusation, base units: pays the other side's gas.
    uint128 baseBond;
    /// And per Tfuel of the order's fuel limit: pays the other side's tracing.
    uint128 bondPerTfuel;
    /// Each side's time at the start, seconds.
    uint32 baseSeconds;
    /// Each side has at least so long for every move, seconds.
    uint32 moveSeconds;
    /// Fuel that a tracer is expected to trace in a second: the order's fuel limit over this is added to `baseSeconds`.
    uint64 fuelPerSecond;
}

/// An accuser's first move: which leaf of the receipt is wrong, what the task started from, and what came after that.
struct Accusation {
    uint32 task;
    /// The leaf's fuel.
    uint64 fuel;
    /// The leaf's H(halted): the provider's word.
    bytes32 halted;
    /// The leaf's siblings in the receipt's tree, from the bottom up.
    SumNode[] proof;
    /// The task's inputRoot.
    bytes32 input;
    /// Its siblings in the tree under `order.inputs`, from the bottom up.
    bytes32[] inputProof;
    /// What the program's and the input's root are hashes of, for `IStepUnit.start`.
    bytes parts;
    /// State hashes after each sixteenth of the padded run; the last is the accuser's own H(halted).
    bytes32[16] states;
}

/// One node of a receipt's tree that can't be right.
struct SumFault {
    SumNode node;
    /// Its children; looked at only if the node is not over padding alone.
    SumNode left;
    SumNode right;
    /// The node's place among the nodes of its level, from the left.
    uint32 place;
    /// The node's siblings, from it up to the root.
    SumNode[] siblings;
}

/// Where a game stands; level 0 if there is none (any more).
struct GameState {
    /// Hash of the 17 state hashes of the segment in dispute: keccak of their concatenation.
    bytes32 segment;
    /// Steps before the segment.
    uint64 position;
    /// Begin of the turn, unix seconds.
    uint40 since;
    /// Seconds that each side has left.
    uint32 accuserSeconds;
    uint32 providerSeconds;
    /// The segment spans 16^level steps, 16^(level − 1) between two of its hashes.
    uint8 level;
    /// Whether the accuser is to move; else the provider.
    bool accusersTurn;
}

/// How a game ended.
enum Verdict {
    /// A step was judged: what the other side had said about it was wrong.
    Step,
    /// One side let its time run out.
    Timeout
}

/// What was wrong with a receipt that needed no game.
enum Fault {
    /// A sum of fuel, or fuel in padding.
    Sum,
    /// A leaf's fuel is not what its halted state used.
    Fuel
}

/// @title Rialto's court: decides whether a signed receipt is wrong
///
/// @notice This file is the specification. Work is deterministic, so a receipt is right or wrong; who can show it on chain wins,
/// whoever they are. Deals name their court when they open. A court knows one market and one judge of single steps
/// (`IStepUnit`), has no owner, and nothing in it can be changed.
///
/// ## What can be wrong
/// | what | how it is shown |
/// |---|---|
/// | a sum of fuels in the receipt's tree, or fuel in its padding | `wrongSum`, at once |
/// | a task's fuel, as its own halted state says | `wrongFuel`, at once |
/// | how a task ended: status, exit code, output, fuel left | `accuse`: a game |
///
/// All three name a receipt that the provider signed, or asserted on chain, for an order of an open deal of this court. The
/// order may be below the deal's watermark: what was paid can still be wrong. Anyone may accuse.
///
/// ## A game
/// The run of a task is a chain of states, s(0) computed here from the order, padded by its last state to 16^level steps, the
/// smallest even level from 2 to 14 that spans the steps which `IStepUnit.start` names.
/// Accuser and provider agree on s(0) and differ on the last one. A *segment* is 17 state hashes at equal distances; the first
/// is agreed, the last is disputed by the side whose turn it is.
///
///     accuse   the accuser's segment over the whole run; its last hash is not the provider's
///     move     pick one sixteenth of the other's segment whose begin you agree with and whose end you don't, and give your
///              own segment over it: the same begin, another end. Then it is the other side's turn; one level less
///     step     at level 1, when two neighbours are one step apart: prove the step from one; the next hash is another
///
/// Who tells the truth can always go on: its begin is right and its own end too, so a segment of the other side with a right
/// begin and a wrong end has a first wrong hash. Who does not is left with a step that does not follow, or with no time.
/// A side that disputes a right hash has no step to prove and loses by time. As the level is even, the last segment is the
/// provider's: an accuser who is right ends a game that is played to its end by a step, whenever it likes.
/// `step` decides by the proof alone, so it needs no signature and can't be misused: a proof of the contrary is refused.
///
/// ## Who moves
/// Moves are made by the side's account or by anyone with its signature over `Move` (EIP-712 in this court's own domain; ERC-1271
/// as in the market). `step` and `timeout` by anyone. A signed move fits one state of one game: game, level and the hash of
/// the segment that it answers are in it.
///
/// ## Clocks
/// Each side starts with `allowance(fuelLimit)` = `baseSeconds` + fuelLimit / `fuelPerSecond` seconds, at most
/// `MAX_ALLOWANCE`. A turn uses up the time of the side to move. When a turn begins, its side has at least
/// `moveSeconds`: no move of the other side can come too late to be answered. Windows are half-open: a move counts
/// before the deadline, `timeout` from it on. A game lasts at most 2 · allowance + (levels + 1) · moveSeconds, and so long the
/// market holds the deal, plus `SETTLE_SECONDS` in which somebody has to end a game that ran out.
///
/// ## Money
/// The accuser locks `bondFor(fuelLimit)` of the market's token, which it must have approved for the court.
///
/// | loser | the bond | the deal's collateral |
/// |---|---|---|
/// | accuser | 70 % to the provider, rest burned | stays, hold lifted |
/// | provider | back to the accuser | `Market.slash`: 70 % to the requester, rest burned, and the rest of the budget back |
///
/// All of it ends in accounts of the market, where its owner can withdraw it: nobody has to be able to receive tokens for a game
/// to end. At least 30 % of the loser's stake is burned, rounded up, so one who plays both sides loses. The stake of a
/// provider is what collateral it has in the deal; nobody but the requester is paid from it.
/// One lost game ends the deal, and with it every claim and receipt in it. What the winner said is not thereby right: it is
/// neither paid nor recorded. If the deal has closed meanwhile, a guilty provider loses nothing here and the bond goes back.
/// At every moment: token.balanceOf(court) >= Σ bonds of running games, with equality but for tokens sent here.
///
/// ## Concurrent games
/// Each has its own bond, clocks and hold. Games over one receipt, or one task, by the same or other accusers, run side by side
/// and know nothing of each other: no accuser can spoil another's game by losing its own. A game goes on when its deal has
/// been closed; what is left to win is the bond.
///
/// ## Trust and warnings
/// @dev Warning: a provider must see the chain at least every `moveSeconds`, and be able to trace every task that it signed
/// within `allowance` of its fuel limit until the deal has closed. It should refuse orders whose fuel limit makes that too long:
/// allowances stop at `MAX_ALLOWANCE`.
/// @dev Warning: an accuser's own answer has to be right as well. One that only knows that the receipt is wrong loses.
/// @dev Warning: a program that was not made by the rules may have no first state that can be shown, or never halt. Nobody can
/// accuse over it, or nobody has to be right. Providers lower programs themselves and sign nothing else.
/// @dev Warning: a receipt whose tree has another height than its tasks need has no leaves that can be shown. The remedy is
/// `Market.demand`.
/// @dev Warning: a deal counts at most 2^16 − 1 open demands and holds. To fill them takes as many bonds at once.
interface ICourt {
    // ───────────────────────────────────────────── events ─────────────────────────────────────────────
    // The logs alone rebuild every game.

    /// A game began. Court += game.bond, from the accuser. It is the provider's turn, until `deadline`.
    event Accused(
        bytes32 indexed id,
        bytes32 indexed deal,
        address indexed provider,
        Game game,
        bytes32 order,
        uint8 level,
        uint64 deadline,
        bytes32[17] segment
    );
    /// A segment was answered by another. `position`, `level`: of the new one. Until `deadline` the accuser, or else the provider,
    /// is to move.
    event Moved(
        bytes32 indexed id,
        uint32 pick,
        uint64 position,
        uint8 level,
        bool accusersTurn,
        uint64 deadline,
        bytes32[17] segment
    );
    /// The step at `position` was judged: from `state` follows `next`, and not `claimed`. An `Ended` comes with it.
    event Stepped(bytes32 indexed id, uint64 position, bytes32 state, bytes32 claimed, bytes32 next);
    /// A game ended. Court −= all three, which went to accounts of accuser, provider and 0x…dEaD in the market.
    /// `slashed`: the deal ended with it.
    event Ended(
        bytes32 indexed id,
        Verdict verdict,
        bool accuserWon,
        bool slashed,
        uint128 toAccuser,
        uint128 toProvider,
        uint128 burned
    );
    /// A receipt was shown to be wrong without a game. The deal ended with it.
    event Convicted(bytes32 indexed deal, bytes32 indexed receipt, address indexed provider, Fault fault);

    // ───────────────────────────────────────────── errors ─────────────────────────────────────────────
    // And those of IMarket that it uses: WrongDeal, WrongOrder, TasksOutOfRange, InvalidSignature, NotInReceipt, TooEarly,
    // TooLate, TransferFailed.

    /// `moveSeconds` or `fuelPerSecond` given to the constructor is zero or too large.
    error RulesOutOfRange();
    /// The input root is not the task's in the order.
    error NotInOrder(uint32 task);
    /// The accuser says what the provider says.
    error NoDispute(bytes32 halted);
    /// The same accusation was made in the same block.
    error GameExists(bytes32 game);
    /// There is no such game, or it has ended.
    error NoGame(bytes32 game);
    /// The segment is not the one in dispute.
    error WrongSegment(bytes32 expected, bytes32 given);
    /// There are 16 parts to pick from.
    error NoSuchPart(uint32 pick);
    /// The new segment ends as the old one: nothing is in dispute.
    error EndsAgree(bytes32 state);
    /// `move` at level 1 (then `step` is due), or `step` above it.
    error WrongLevel(uint8 level);
    /// The step is as the other side said.
    error StepIsRight(bytes32 next);
    /// The node's fuel is what its children's is, and not in padding; or the children are not its.
    error SumIsRight();
    /// The leaf's fuel is what its halted state used.
    error FuelIsRight(uint64 fuel);

    // ───────────────────────────────────────────── games ──────────────────────────────────────────────

    /// Anyone, with a bond, while the market lets the deal be held: the receipt is wrong about one task. `signature` is the
    /// provider's over the receipt, in the market's domain; not looked at if the provider asserted the receipt on chain.
    /// Returns the game's id.
    function accuse(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        Accusation calldata accusation
    ) external returns (bytes32 id);

    /// The side whose turn it is, before its deadline, above level 1: answers `segment` at part `pick` by its own: begin and end of
    /// the part are segment[pick] and segment[pick + 1]; the new segment is the same begin and `states`, whose last must not
    /// be the same end. `signature`: over `Move`, if the caller is not that side.
    function move(
        Game calldata game,
        uint32 pick,
        bytes32[17] calldata segment,
        bytes32[16] calldata states,
        bytes calldata signature
    ) external;

    /// Anyone, before the deadline, at level 1: from segment[pick] does not follow segment[pick + 1]. Who gave the segment loses.
    function step(
        Deal calldata deal,
        Game calldata game,
        uint32 pick,
        bytes32[17] calldata segment,
        bytes calldata proof
    ) external;

    /// Anyone, from the deadline on: the side whose turn it is loses.
    function timeout(Deal calldata deal, Game calldata game) external;

    // ────────────────────────────────────────── without a game ────────────────────────────────────────

    /// Anyone, while the deal is open: `fault.node` is in the receipt's tree and can't be right. Take the topmost wrong one: the
    /// sums above it must be right. Ends the deal: Slashed.
    function wrongSum(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        SumFault calldata fault
    ) external;

    /// Anyone, while the deal is open: the leaf of `task` has `fuel`, which is not what `halted` used of the order's limit. Ends
    /// the deal: Slashed.
    function wrongFuel(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        uint32 task,
        uint64 fuel,
        Halted calldata halted,
        SumNode[] calldata proof
    ) external;

    // ───────────────────────────────────────────── views ──────────────────────────────────────────────

    /// The market whose deals it judges.
    function market() external view returns (address);
    /// The judge of single steps.
    function stepUnit() external view returns (address);
    /// What it was built with.
    function rules() external view returns (Rules memory);
    /// Where a game stands.
    function gameState(bytes32 id) external view returns (GameState memory);
    /// End of the current turn, unix seconds; 0 if there is no such game.
    function deadline(bytes32 id) external view returns (uint64);
    /// Bond of an accusation over an order with this fuel limit, base units.
    function bondFor(uint64 fuelLimit) external view returns (uint128);
    /// Each side's time at the start over an order with this fuel limit, seconds.
    function allowance(uint64 fuelLimit) external view returns (uint32);
    /// EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
}
