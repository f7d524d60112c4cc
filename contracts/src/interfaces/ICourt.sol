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
    /// Time for one task that was challenged alone, seconds.
    uint32 baseSeconds;
    /// Each side has at least so long for every move, seconds.
    uint32 moveSeconds;
    /// Fuel that a tracer is expected to trace in a second: the order's fuel limit over this is added to `baseSeconds`.
    uint64 fuelPerSecond;
}

/// An accuser's word on a task: what it started from, and what came after that.
struct Challenge {
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

/// What a game waits for.
enum Stage {
    /// There is no such game (any more).
    None,
    /// Provider: open up to four levels of the receipt's tree below the node in dispute.
    Unfold,
    /// Accuser: say which of the nodes is wrong; of a leaf, how its task really went.
    Pick,
    /// Both by turns: narrow down the run of one task.
    Run
}

/// Where a game stands.
struct GameState {
    /// keccak of what is in dispute. Unfold: the node. Pick: the list of nodes. Run: the segment's 17 state hashes.
    bytes32 segment;
    /// Run: steps before the segment.
    uint64 position;
    /// Begin of the turn, unix seconds.
    uint40 since;
    /// Seconds that each side has left.
    uint32 accuserSeconds;
    uint32 providerSeconds;
    Stage stage;
    /// Unfold, Pick: height of the node, or nodes, over the leaves. Run: the segment spans 16^level steps, 16^(level − 1)
    /// between two of its hashes.
    uint8 level;
    /// Unfold: the node's place among those of its height. Pick: that of the node over the nodes. Run: the task.
    uint32 task;
    /// Whether the accuser is to move; else the provider.
    bool accusersTurn;
}

/// How a game ended.
enum Verdict {
    /// A step was judged: what the other side had said about it was wrong.
    Step,
    /// One side let its time run out.
    Timeout,
    /// A leaf was shown to contradict itself: its fuel is not what its halted state used.
    Fuel
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
/// It begins at the receipt: an accuser needs nothing but what the provider has signed or asserted on chain, whether or not
/// anything was delivered. What the receipt's root stands for the provider has to show, or it loses by time.
///
///     accuse     this receipt is wrong
///     unfold     the provider: the nodes up to four levels below the node in dispute. Of leaves it shows H(halted) and fuel
///     pick       the accuser: this node is wrong; then the provider unfolds it
///     challenge  the accuser, when the nodes are leaves: this task ended otherwise, and here is the begin of how it went
///     contradict anyone, when the nodes are leaves: this task ended so, but with another fuel. The provider has lost
///
/// A receipt whose tree does not add up, that has fuel or anything else in its padding, more fuel in a leaf than the order
/// allows, or another height than its tasks need, can't be unfolded. So a wrong receipt has a leaf that is wrong: in how its
/// task ended (`challenge`), or in the fuel alone (`contradict`; without a game, `wrongFuel`).
///
/// The run of a task is a chain of states, s(0) computed here from the order, padded by its last state to 16^level steps, the
/// smallest even level from 2 to 14 that spans the steps which `IStepUnit.start` names.
/// Accuser and provider agree on s(0) and differ on the last one. A *segment* is 17 state hashes at equal distances; the first
/// is agreed, the last is disputed by the side whose turn it is. The first segment is the accuser's, over the whole run.
///
///     move     pick one sixteenth of the other's segment whose begin you agree with and whose end you don't, and give your
///              own segment over it: the same begin, another end. Then it is the other side's turn; one level less
///     step     at level 1, when two neighbours are one step apart: prove the step from one; the next hash is another
///
/// Who tells the truth can always go on: its begin is right and its own end too, so a segment of the other side with a right
/// begin and a wrong end has a first wrong hash. Who does not is left with a step that does not follow, or with no time.
/// A side that disputes a right hash has no step to prove and loses by time. As the level is even, the last segment is the
/// provider's: an accuser who is right ends a game that is played to its end by a step, whenever it likes.
/// `step`, `unfold` and `contradict` decide by the proof alone, so they need no signature and can't be misused.
///
/// ## Who moves
/// Moves of a run are made by the side's account, by its delegate, or by anyone with its signature over `Move` (EIP-712 in this
/// court's own domain; by the provider's key of the deal, or the accuser's account if that is a key). `pick` and `challenge`
/// by the accuser or its delegate. `unfold`, `contradict`, `step` and `timeout` by anyone. A signed move fits one state of one
/// game: game, level and the hash of the segment that it answers are in it.
/// A *delegate* is an account that may move for another until a time that the other has set (`delegate`). It can do nothing
/// else: a watchtower needs no more.
///
/// ## Clocks
/// The accuser starts with `allowance(fuelLimit)` = `baseSeconds` + fuelLimit / `fuelPerSecond` seconds, at least
/// `moveSeconds`, at most `MAX_ALLOWANCE`. The provider has `moveSeconds` for each `unfold`. When a task is challenged, it
/// gets the time to trace it, and before that the time that it was given for all tasks challenged before: games against one
/// provider queue, and no number of them takes away the time for each; but `MAX_ALLOWANCE` is the most.
/// A turn uses up the time of the side to move. When a turn begins, its side has at least `moveSeconds`: no move of the other
/// side can come too late to be answered. Windows are half-open: a move counts before the deadline, `timeout` from it on.
/// As long as a game can last the market holds the deal, plus `SETTLE_SECONDS` in which somebody has to end a game that ran out.
///
/// ## Money
/// The accuser's bond, `bondFor(fuelLimit)`, is taken from its account in the market, which must have allowed it to the court.
///
/// | loser | the bond | the deal's collateral |
/// |---|---|---|
/// | accuser | 70 % to the provider, rest burned | stays, hold lifted |
/// | provider | back to the accuser | `Market.slash`: 70 % to the requester, rest burned, and the rest of the budget back |
///
/// An accuser that is not the requester gets a bounty out of the 70 %: a fifth of the whole collateral. So strangers have a
/// reason to check. A guilty provider that is quick enough to convict itself, by a stranger of its own, saves this fifth and
/// loses the other four.
/// All of it stays in accounts of the market, and the court holds no tokens: nobody has to be able to receive any for a game
/// to end. At least 30 % of the loser's stake is burned, rounded up, so one who plays both sides loses.
/// One lost game ends the deal, and with it every claim and receipt in it. What the winner said is not thereby right: it is
/// neither paid nor recorded. If the deal has closed meanwhile, a guilty provider loses nothing here and the bond goes back.
/// At every moment: market.account(court).balance >= Σ bonds of running games, with equality but for what others give it.
///
/// ## Concurrent games
/// Each has its own bond, clocks and hold. Games over one receipt, or one task, by the same or other accusers, run side by side
/// and know nothing of each other but the queue of the provider's time: no accuser can spoil another's game by losing its own.
/// A game goes on when its deal has been closed; what is left to win is the bond.
///
/// ## Trust and warnings
/// @dev Warning: a provider must see the chain at least every `moveSeconds`, and be able to trace every task that it signed
/// within `allowance` of its fuel limit until the deal has closed. It should refuse orders whose fuel limit makes that too long:
/// allowances stop at `MAX_ALLOWANCE`.
/// @dev Warning: an accuser's own answer has to be right as well. One that only knows that the receipt is wrong loses.
/// @dev Warning: a program that was not made by the rules may have no first state that can be shown, or never halt. Nobody can
/// accuse over it, or nobody has to be right. Providers lower programs themselves and sign nothing else.
interface ICourt {
    // ───────────────────────────────────────────── events ─────────────────────────────────────────────
    // The logs alone rebuild every game.

    /// A game began. Court's account += game.bond, accuser's −= it. The provider has to unfold the root of `receipt`, over so many
    /// `tasks`, until `deadline`.
    event Accused(
        bytes32 indexed id,
        bytes32 indexed deal,
        address indexed provider,
        Game game,
        Receipt receipt,
        uint32 tasks,
        uint64 deadline
    );
    /// The node at `place` was opened: `nodes` are those below it, `height` levels over the leaves. At height 0 the hash of each
    /// is H(halted). The accuser is to pick one until `deadline`.
    event Unfolded(bytes32 indexed id, uint32 place, uint8 height, uint64 deadline, SumNode[] nodes);
    /// The accuser says that the node at `place` is wrong. The provider has to unfold it until `deadline`.
    event Picked(bytes32 indexed id, uint32 place, uint8 height, uint64 deadline);
    /// The accuser says that `task` did not end as `halted`, the provider's word; `segment` is its own over the whole run of 16^level
    /// steps. The provider is to move until `deadline`.
    event Challenged(
        bytes32 indexed id, uint32 task, bytes32 halted, uint8 level, uint64 deadline, bytes32[17] segment
    );
    /// `to` may move for `owner` before `time`.
    event Delegated(address indexed owner, address indexed to, uint64 time);
    /// A segment was answered by another. `position`, `level`: of the new one. Until `deadline` the accuser, or else the provider,
    /// is to move.
    event Moved(
        bytes32 indexed id,
        uint32 part,
        uint64 position,
        uint8 level,
        bool accusersTurn,
        uint64 deadline,
        bytes32[17] segment
    );
    /// The step at `position` was judged: from `state` follows `next`, and not `claimed`. An `Ended` comes with it.
    event Stepped(bytes32 indexed id, uint64 position, bytes32 state, bytes32 claimed, bytes32 next);
    /// A game ended. Court's account −= all three, which went to those of accuser, provider and 0x…dEaD.
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
    // TooLate, Unauthorized, NoSuchTask, AllowanceTooLow, InsufficientBalance.

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
    /// There is no such part or node to pick from.
    error NoSuchPart(uint32 part);
    /// The game waits for something else.
    error WrongStage(Stage stage);
    /// The new segment ends as the old one: nothing is in dispute.
    error EndsAgree(bytes32 state);
    /// `move` at level 1 (then `step` is due), or `step` above it; `pick` of a leaf, or `challenge` of no leaf.
    error WrongLevel(uint8 level);
    /// The step is as the other side said.
    error StepIsRight(bytes32 next);
    /// The node's fuel is what its children's is, and not in padding; or the children are not its.
    error SumIsRight();
    /// The leaf's fuel is what its halted state used.
    error FuelIsRight(uint64 fuel);

    // ───────────────────────────────────────────── games ──────────────────────────────────────────────

    /// Anyone, with a bond, while the market lets the deal be held: the receipt is wrong. `signature` is the provider's key's over
    /// the receipt, in the market's domain; not looked at if the provider asserted the receipt on chain. Returns the game's id.
    function accuse(Deal calldata deal, Order calldata order, Receipt calldata receipt, bytes calldata signature)
        external
        returns (bytes32 id);

    /// Anyone, before the provider's deadline: the 2^min(4, height) nodes below the node in dispute, from the left. Of leaves,
    /// `hash` is H(halted); those over padding are empty.
    function unfold(Game calldata game, Order calldata order, SumNode[] memory nodes) external;

    /// The accuser, before its deadline, above the leaves: nodes[index] is wrong.
    function pick(Game calldata game, SumNode[] calldata nodes, uint32 index) external;

    /// The accuser, before its deadline, at the leaves: nodes[index] is wrong. `it.states` must not end as it does.
    function challenge(
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Challenge calldata it
    ) external;

    /// Anyone, before the accuser's deadline, at the leaves: `halted` is how nodes[index] says that its task ended, and it used
    /// another fuel than nodes[index] says. The provider loses.
    function contradict(
        Deal calldata deal,
        Game calldata game,
        Order calldata order,
        SumNode[] calldata nodes,
        uint32 index,
        Halted calldata halted
    ) external;

    /// Lets `to` move for the caller before `time`, unix seconds; a time that has passed ends it.
    function delegate(address to, uint64 time) external;

    /// The side whose turn it is, before its deadline, above level 1: answers `segment` at `part` by its own: begin and end of
    /// the part are segment[part] and segment[part + 1]; the new segment is the same begin and `states`, whose last must not
    /// be the same end. `signature`: over `Move`, if the caller is not that side or its delegate.
    function move(
        Game calldata game,
        uint32 part,
        bytes32[17] calldata segment,
        bytes32[16] calldata states,
        bytes calldata signature
    ) external;

    /// Anyone, before the deadline, at level 1: from segment[part] does not follow segment[part + 1]. Who gave the segment loses.
    function step(
        Deal calldata deal,
        Game calldata game,
        uint32 part,
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
    /// Until when `to` may move for `owner`, unix seconds.
    function delegateUntil(address owner, address to) external view returns (uint64);
    /// Time for one task of this fuel limit, if no other is waiting, seconds.
    function allowance(uint64 fuelLimit) external view returns (uint32);
    /// EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
}
