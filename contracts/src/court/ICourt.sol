// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { SumNode } from "../shared/SumTree.sol";
import { Deal } from "../types/Deal.sol";
import { Game } from "../types/Game.sol";
import { Halted } from "../types/Halted.sol";
import { Order } from "../types/Order.sol";
import { Receipt } from "../types/Receipt.sol";

/// What a court is built with.
struct Rules {
    /// The part of an accusation's bond that pays the other side's gas, base units.
    uint128 baseBond;
    /// The part that pays the other side's tracing, base units per Tfuel of the order's fuel limit.
    uint128 bondPerTfuel;
    /// The time to trace a challenged task, besides the time that its fuel takes, seconds.
    uint32 baseSeconds;
    /// The least time that a side has for a move, seconds.
    uint32 moveSeconds;
    /// The fuel that a tracer is expected to trace in a second. The order's fuel limit divided by
    /// this is added to `baseSeconds`.
    uint64 fuelPerSecond;
}

/// What an accuser says of a task: what the run started from, and how it went.
struct Challenge {
    /// The task's inputRoot.
    bytes32 input;
    /// The input's siblings in the tree under `order.inputs`, from the bottom up.
    bytes32[] inputProof;
    /// What the program's and the input's root are hashes of, for `IStepUnit.start`.
    bytes parts;
    /// The state hashes after each sixteenth of the padded run. The last is H(halted), as the
    /// accuser has it.
    bytes32[16] states;
}

/// A node of a receipt's tree whose fuel is wrong.
struct SumFault {
    SumNode node;
    /// The node's children. They are ignored if the node is over padding alone.
    SumNode left;
    SumNode right;
    /// The node's place among the nodes of its level, from the left.
    uint32 place;
    /// The node's siblings, from the node up to the root.
    SumNode[] siblings;
}

/// What a game waits for.
enum Stage {
    /// There is no such game, or it has ended.
    None,
    /// The provider is to show up to four levels of the receipt's tree below the node in dispute.
    Unfold,
    /// The accuser is to say which of the shown nodes is wrong or, if they are leaves, how that
    /// task ran.
    Pick,
    /// Both sides narrow down the run of one task, by turns.
    Run
}

/// Where a game stands.
struct GameState {
    /// The hash of what is in dispute. Unfold: of the node. Pick: of the list of nodes. Run: of the
    /// segment's 17 state hashes.
    bytes32 segment;
    /// Run: how many steps come before the segment.
    uint64 position;
    /// When the turn began, unix seconds.
    uint40 since;
    /// How many seconds each side has left.
    uint32 accuserSeconds;
    uint32 providerSeconds;
    Stage stage;
    /// Unfold, Pick: the height of the node or nodes over the leaves. Run: the segment spans
    /// 16^level steps, with 16^(level − 1) between two of its hashes.
    uint8 level;
    /// Unfold: the node's place among those of its height. Pick: the place of the node above the
    /// nodes. Run: the task.
    uint32 task;
    /// Whether it is the accuser's turn; else it is the provider's.
    bool accusersTurn;
}

/// How a game ended.
enum Verdict {
    /// The court judged a step: the loser had said something else about it.
    Step,
    /// The loser let its time run out.
    Timeout,
    /// A leaf contradicts itself: its fuel is not what its halted state used.
    Fuel
}

/// What was wrong with a receipt that needed no game.
enum Fault {
    /// A sum of fuel is wrong, or padding is not empty.
    Sum,
    /// A leaf's fuel is not what its halted state used.
    Fuel
}

/// @title Rialto's court: decides whether a signed receipt is wrong
///
/// @notice This file is the specification. Work is deterministic, so a receipt is right or wrong,
/// and whoever shows on chain that it is wrong wins. Each deal names its court when it opens. A
/// court knows one market and one judge of single steps (`IStepUnit`). It has no owner, and nothing
/// in it can be changed.
///
/// ## What can be wrong
/// | what | how it is shown |
/// |---|---|
/// | a sum of fuels in the receipt's tree, or its padding | `wrongSum`, at once |
/// | a task's fuel, by its own halted state | `wrongFuel`, at once |
/// | how a task ended: status, exit code, output, fuel left | `accuse`: a game |
///
/// All three name a receipt that the provider signed or asserted on chain, for an order of an open
/// deal of this court. The order may be below the deal's watermark, for what was paid can still be
/// wrong. Anyone may accuse.
///
/// ## A game
/// A game begins at the receipt. An accuser needs only what the provider has signed or asserted on
/// chain, even if the provider has delivered nothing. The provider has to show what the receipt's
/// root stands for, or it loses by time.
///
///     accuse      anyone: this receipt is wrong
///     unfold      the provider: the nodes up to four levels below the node in dispute; of a leaf,
///                 H(halted) and fuel
///     pick        the accuser: this node is wrong; then the provider unfolds it
///     challenge   the accuser, at the leaves: this task ended otherwise, and so went its run
///     contradict  anyone, at the leaves: this task used other fuel; then the provider has lost
///
/// The provider can't unfold a receipt whose tree does not add up, has anything in its padding, has
/// more fuel in a leaf than the order allows, or has another height than its tasks need. So a wrong
/// receipt that can be unfolded has a leaf that is wrong: in how its task ended (`challenge`), or
/// in the fuel alone (`contradict`, or `wrongFuel` without a game).
///
/// The run of a task is a chain of states. The court computes s(0) from the order. The last state
/// pads the run to 16^level steps, where level is the smallest even number from 2 to 14 for which
/// that spans the steps that `IStepUnit.start` names.
///
/// Accuser and provider agree on s(0), and disagree on the last state. A *segment* is 17 state
/// hashes at equal distances. Both sides agree on the first hash, and the side to move disputes the
/// last. The first segment is the accuser's, over the whole run.
///
///     move        Pick one sixteenth of the other side's segment: you agree with its begin and not
///                 with its end. Give your own segment over it, with the same begin and another
///                 end. Then it is the other side's turn, one level lower.
///     step        At level 1, two neighbours are one step apart. Prove the step from one of them:
///                 the next hash is not the one that the other side gave.
///
/// A side that tells the truth always has a move: a segment of the other side with a right begin
/// and a wrong end has a first hash that is wrong. A side that lies is left with a step that does
/// not follow, or with no time. A side that disputes a right hash has no step to prove, and loses
/// by time. As the level is even, the last segment is the provider's, so an accuser who is right
/// can end the game by a step. `step`, `unfold` and `contradict` decide by the proof alone, so they
/// need no signature and can't be misused.
///
/// ## Who moves
/// A side's `move` can be sent by its account, by its delegate, or by anyone who has its signature
/// over `Move`: EIP-712 in this court's own domain, by the provider's key of the deal, or by the
/// accuser's account if that is a key. `pick` and `challenge` must be sent by the accuser or its
/// delegate. Anyone can send `unfold`, `contradict`, `step` and `timeout`. A signed move fits one
/// state of one game, for it names the game, the level, and the hash of the segment that it
/// answers. A *delegate* is an account that may move for another until a time that the other has
/// set (`delegate`). It can do nothing else. A watchtower needs no more.
///
/// ## Clocks
/// The accuser starts with `allowance(fuelLimit)` = `baseSeconds` + fuelLimit / `fuelPerSecond`
/// seconds, at least `moveSeconds` and at most `MAX_ALLOWANCE`. The provider has `moveSeconds` for
/// each `unfold`. When a task is challenged, the provider gets the time to trace it, added to what
/// it still has for the tasks that were challenged before, `MAX_ALLOWANCE` in all at most. So games
/// against one provider queue, and no number of them takes away the time for each. A turn uses up
/// the time of the side to move. When a turn begins, its side has at least `moveSeconds`, so no
/// move comes too late to be answered. Windows are half-open: a move counts before the deadline,
/// `timeout` from the deadline on. The market holds the deal for as long as the game can last, and
/// `SETTLE_SECONDS` more, in which somebody has to end a game that ran out.
///
/// ## Money
/// The accuser's bond, `bondFor(fuelLimit)`, comes out of its account in the market, which must
/// have allowed the court to take it.
///
/// | loser | the bond | the deal's collateral |
/// |---|---|---|
/// | accuser | 70 % to the provider, the rest is burned | stays; the hold ends |
/// | provider | back to the accuser | `Market.slash`: 70 % to the requester, the rest is burned |
///
/// After `slash` the requester also has the rest of its budget back. An accuser that is not the
/// requester gets a bounty out of the 70 %: a fifth of the whole collateral, so that strangers have
/// a reason to check. A guilty provider that convicts itself through a stranger of its own saves
/// this fifth, and loses the other four. All money stays in accounts of the market, and the court
/// holds no tokens: a game ends even if nobody can receive any. At least 30 % of the loser's stake
/// is burned, rounded up, so whoever plays both sides loses. One lost game ends the deal, and with
/// it every claim and receipt in it. What the winner said is not thereby right: it is neither paid
/// nor recorded. If the deal has closed meanwhile, a guilty provider loses nothing here, and the
/// accuser gets its bond back. At every moment market.account(court).balance >= Σ bonds of running
/// games. The two are equal unless somebody gives the court money.
///
/// ## Concurrent games
/// Each game has its own bond, clocks and hold. Games over one receipt or one task, by the same or
/// by other accusers, run side by side. They share nothing but the queue of the provider's time: no
/// accuser can spoil another's game by losing its own. A game goes on when its deal has closed;
/// then only the bond is at stake.
///
/// ## Trust and warnings
/// @dev Warning: until the deal has closed a provider must look at the chain at least every
/// `moveSeconds`, and be able to trace every task that it signed within the `allowance` of its fuel
/// limit. Allowances stop at `MAX_ALLOWANCE`, so it should refuse orders whose fuel limit takes
/// longer to trace.
/// @dev Warning: an accuser's own answer must be right, too. An accuser that only knows that the
/// receipt is wrong loses.
/// @dev Warning: a program that was not lowered by the rules may have no first state that anybody
/// can show, or may never halt. Then nobody can accuse over it, or no side has to be right.
/// Providers lower programs themselves and sign nothing else.
interface ICourt {
    // ────────────────────────────────────────── events ───────────────────────────────────────────
    // The logs alone rebuild every game.

    /// A game began. Court's account += game.bond, accuser's account −= game.bond. Until `deadline`
    /// the provider has to unfold the root of `receipt`, which is over `tasks` tasks.
    event Accused(
        bytes32 indexed id,
        bytes32 indexed deal,
        address indexed provider,
        Game game,
        Receipt receipt,
        uint32 tasks,
        uint64 deadline
    );
    /// The node at `place` was opened. `nodes` are those below it, `height` levels over the leaves;
    /// at height 0 the hash of each is H(halted). Until `deadline` the accuser has to pick one.
    event Unfolded(
        bytes32 indexed id, uint32 place, uint8 height, uint64 deadline, SumNode[] nodes
    );
    /// The accuser says that the node at `place` is wrong. Until `deadline` the provider has to
    /// unfold it.
    event Picked(bytes32 indexed id, uint32 place, uint8 height, uint64 deadline);
    /// The accuser says that `task` did not end as `halted`, which is the provider's word.
    /// `segment` is the accuser's own, over the whole run of 16^level steps. Until `deadline` the
    /// provider has to move.
    event Challenged(
        bytes32 indexed id,
        uint32 task,
        bytes32 halted,
        uint8 level,
        uint64 deadline,
        bytes32[17] segment
    );
    /// `to` may move for `owner` before `time`.
    event Delegated(address indexed owner, address indexed to, uint64 time);
    /// One segment answered another. `position` and `level` are those of the new one. Until
    /// `deadline` the accuser has to move if it is its turn, and else the provider.
    event Moved(
        bytes32 indexed id,
        uint32 part,
        uint64 position,
        uint8 level,
        bool accusersTurn,
        uint64 deadline,
        bytes32[17] segment
    );
    /// The court judged the step at `position`: `next` follows from `state`, and not `claimed`.
    /// `Ended` comes next.
    event Stepped(
        bytes32 indexed id, uint64 position, bytes32 state, bytes32 claimed, bytes32 next
    );
    /// A game ended. Court's account −= all three amounts, which went to the accounts of accuser,
    /// provider and 0x…dEaD. `slashed`: the deal ended with the game.
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
    event Convicted(
        bytes32 indexed deal, bytes32 indexed receipt, address indexed provider, Fault fault
    );

    // ────────────────────────────────────────── errors ───────────────────────────────────────────
    // The court also uses these errors of IMarket: WrongDeal, WrongOrder, TasksOutOfRange,
    // InvalidSignature, NotInReceipt, TooEarly, TooLate, Unauthorized, NoSuchTask, AllowanceTooLow,
    // InsufficientBalance.

    /// `moveSeconds` or `fuelPerSecond` given to the constructor is zero or too large.
    error RulesOutOfRange();
    /// The input root is not that of the task in the order.
    error NotInOrder(uint32 task);
    /// The accuser says the same as the provider.
    error NoDispute(bytes32 halted);
    /// The same accuser made the same accusation in this block.
    error GameExists(bytes32 game);
    /// There is no such game, or it has ended.
    error NoGame(bytes32 game);
    /// The segment is not the one in dispute.
    error WrongSegment(bytes32 expected, bytes32 given);
    /// There is no such part of the segment, or no such node to pick.
    error NoSuchPart(uint32 part);
    /// The game waits for something else.
    error WrongStage(Stage stage);
    /// The new segment ends as the old one does, so nothing is in dispute.
    error EndsAgree(bytes32 state);
    /// It is not the level for this: `move` needs one above 1 and `step` needs 1; `pick` needs
    /// nodes above the leaves and `challenge` needs leaves.
    error WrongLevel(uint8 level);
    /// The step is as the other side said.
    error StepIsRight(bytes32 next);
    /// The node's fuel is the sum of its children's, and the node is not wrong padding; or these
    /// are not its children.
    error SumIsRight();
    /// The leaf has the fuel that its halted state used.
    error FuelIsRight(uint64 fuel);

    // ─────────────────────────────────────────── games ───────────────────────────────────────────

    /// Starts a game: `receipt` is wrong. Returns the game's id. Anyone may call it while the
    /// market lets the deal be held. It opens a hold of the deal. It costs a bond of
    /// `bondFor(order.fuelLimit)`, which the accuser gets back if it wins; it must have allowed the
    /// court to take it. `signature` is that of the provider's key over the receipt, in the
    /// market's domain; it is ignored if the provider asserted the receipt on chain.
    function accuse(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature
    ) external returns (bytes32 id);

    /// Shows the 2^min(4, height) nodes below the node in dispute, from the left, and gives the
    /// turn to the accuser. Anyone may call it before the provider's deadline. Of a leaf, `hash` is
    /// H(halted); leaves over padding are empty. It costs nothing.
    function unfold(Game calldata game, Order calldata order, SumNode[] memory nodes) external;

    /// Says that nodes[index] is wrong, and gives the turn to the provider. The accuser or its
    /// delegate may call it before the accuser's deadline, above the leaves. It costs nothing.
    function pick(Game calldata game, SumNode[] calldata nodes, uint32 index) external;

    /// Says that the task of nodes[index] ended otherwise, and gives the turn to the provider, with
    /// time to trace the task. The accuser or its delegate may call it before the accuser's
    /// deadline, at the leaves. `run.states` must not end as nodes[index] does. It costs nothing.
    function challenge(
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Challenge calldata run
    ) external;

    /// Ends the game against the provider: `halted` is how the task of nodes[index] ended, as the
    /// provider says, and it used other fuel than nodes[index] says. Anyone may call it before the
    /// accuser's deadline, at the leaves. It costs nothing.
    function contradict(
        Deal calldata deal,
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Halted calldata halted
    ) external;

    /// Lets `to` move for the caller before `time`, unix seconds, instead of what was set before; a
    /// time that has passed ends it. Anyone may call it, at any time. It costs nothing.
    function delegate(address to, uint64 time) external;

    /// Answers `segment` at `part`, and gives the turn to the other side, one level lower. The part
    /// begins at segment[part] and ends at segment[part + 1]. The new segment is that begin
    /// followed by `states`, which must not end as the part does. The side to move may call it
    /// before its deadline, above level 1. So may its delegate, and anyone with the side's
    /// `signature` over `Move`. It costs nothing.
    function move(
        Game calldata game,
        uint32 part,
        bytes32[17] calldata segment,
        bytes32[16] calldata states,
        bytes calldata signature
    ) external;

    /// Ends the game against the side that gave `segment`: segment[part + 1] does not follow from
    /// segment[part]. Anyone may call it before the deadline, at level 1. It costs nothing.
    function step(
        Deal calldata deal,
        Game calldata game,
        uint32 part,
        bytes32[17] calldata segment,
        bytes calldata proof
    ) external;

    /// Ends the game against the side whose turn it is. Anyone may call it from the deadline on. It
    /// costs nothing.
    function timeout(Deal calldata deal, Game calldata game) external;

    // ────────────────────────────────────── without a game ───────────────────────────────────────

    /// Ends the deal: Slashed. `fault.node` is in the receipt's tree, and its fuel is not its
    /// children's sum, or it is padding and not empty. The sums above it must be right, so take the
    /// topmost node that is wrong. Anyone may call it while the deal is open. It costs nothing. The
    /// caller gets the bounty unless it is the requester.
    function wrongSum(
        Deal calldata deal,
        Order calldata order,
        Receipt calldata receipt,
        bytes calldata signature,
        SumFault calldata fault
    ) external;

    /// Ends the deal: Slashed. The leaf of `task` has `fuel`, which is not what `halted` used of
    /// the order's limit. Anyone may call it while the deal is open. It costs nothing. The caller
    /// gets the bounty unless it is the requester.
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

    // ─────────────────────────────────────────── views ───────────────────────────────────────────

    /// The market whose deals it judges.
    function market() external view returns (address);
    /// The judge of single steps that it asks.
    function stepUnit() external view returns (address);
    /// What the court was built with.
    function rules() external view returns (Rules memory);
    /// Where a game stands.
    function gameState(bytes32 id) external view returns (GameState memory);
    /// When the current turn ends, unix seconds; 0 if there is no such game.
    function deadline(bytes32 id) external view returns (uint64);
    /// The bond of an accusation over an order with this fuel limit, base units.
    function bondFor(uint64 fuelLimit) external view returns (uint128);
    /// Until when `to` may move for `owner`, unix seconds.
    function delegateUntil(address owner, address to) external view returns (uint64);
    /// The time for one task of this fuel limit if no other is waiting, seconds.
    function allowance(uint64 fuelLimit) external view returns (uint32);
    /// The EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
}
