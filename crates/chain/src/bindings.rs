//! Rust declarations of the interfaces in `contracts/src/` (IMarket.sol, ICourt.sol,
//! IStepUnit.sol), which document every item here. `tests/abi.rs` checks that the two are equal.
#![allow(missing_docs)]
#![allow(clippy::too_many_arguments)] // generated from the ABI

use alloy_sol_types::sol;

sol! {
    #![sol(all_derives)]

    struct Limits {
        uint32 tasks;
        uint32 orders;
        uint64 taskFuel;
        uint64 taskMemory;
        uint64 taskOutput;
        uint64 orderOutput;
        uint64 program;
        uint64 inputs;
        uint64 shared;
        uint128 credit;
    }

    struct Ask {
        address provider;
        address key;
        bytes32 endpoint;
        uint128 priceStart;
        uint128 priceEnd;
        uint64 from;
        uint64 to;
        uint128 taskFee;
        uint128 minBudget;
        uint128 maxBudget;
        uint32 collateralBps;
        uint32 latePenaltyBps;
        uint32 maxSeconds;
        uint32 capacity;
        uint32 cores;
        uint64 fuelPerSecond;
        bytes32 runtime;
        bytes32 attributes;
        address court;
        uint64 counter;
        uint64 salt;
        Limits limits;
    }

    struct Deal {
        bytes32 ask;
        address requester;
        address provider;
        address requesterKey;
        address providerKey;
        uint128 budget;
        uint128 collateral;
        uint128 price;
        uint128 taskFee;
        uint128 latePenalty;
        uint64 openedAt;
        uint64 expiry;
        address court;
        uint64 salt;
    }

    struct Order {
        bytes32 deal;
        uint64 seq;
        bytes32 program;
        bytes32 inputs;
        uint32 tasks;
        uint64 fuelLimit;
        uint64 outLimit;
        uint32 maxPages;
        uint64 seed;
        uint64 dueBy;
    }

    struct Ack {
        bytes32 order;
        uint64 dueBy;
    }

    struct Receipt {
        bytes32 order;
        bytes32 root;
        uint128 fuel;
        uint128 fee;
    }

    struct Cancel {
        bytes32 order;
    }

    struct Voucher {
        bytes32 deal;
        uint128 amount;
        uint64 orders;
        bool close;
    }

    struct Release {
        bytes32 deal;
        uint128 amount;
    }

    struct Halted {
        uint8 status;
        uint32 exitCode;
        bytes32 outHash;
        uint64 outLen;
        int64 fuelLeft;
        uint64 digest;
    }

    struct SumNode {
        bytes32 hash;
        uint128 fuel;
    }

    struct Terms {
        address key;
        uint128 budget;
        uint64 openedAt;
        uint32 duration;
        uint128 maxPrice;
        uint64 salt;
    }

    enum DealStatus {
        None,
        Open,
        Closed
    }

    struct DealState {
        DealStatus status;
        uint128 paid;
        uint48 orders;
        uint16 claims;
        uint16 lates;
        uint32 challenges;
    }

    enum Ending {
        Redeemed,
        Released,
        Expired,
        Late,
        Withheld,
        Slashed
    }

    enum CaseKind {
        Claim,
        Late,
        Demand,
        Hold
    }

    enum CaseStatus {
        None,
        Open,
        Ended
    }

    struct Case {
        CaseStatus status;
        uint40 deadline;
        uint64 seq;
        uint128 amount;
    }

    enum CaseOutcome {
        Paid,
        Void,
        Answered,
        Defaulted
    }

    struct Game {
        bytes32 deal;
        bytes32 order;
        bytes32 receipt;
        address accuser;
        address provider;
        address providerKey;
        uint128 bond;
        uint64 openedAt;
    }

    struct Rules {
        uint128 baseBond;
        uint128 bondPerTfuel;
        uint32 baseSeconds;
        uint32 moveSeconds;
        uint64 fuelPerSecond;
    }

    struct Challenge {
        bytes32 input;
        bytes32[] inputProof;
        bytes parts;
        bytes32[16] states;
    }

    struct SumFault {
        SumNode node;
        SumNode left;
        SumNode right;
        uint32 place;
        SumNode[] siblings;
    }

    enum Stage {
        None,
        Unfold,
        Pick,
        Run
    }

    struct GameState {
        bytes32 segment;
        uint64 position;
        uint40 since;
        uint32 accuserSeconds;
        uint32 providerSeconds;
        Stage stage;
        uint8 level;
        uint32 task;
        bool accusersTurn;
    }

    enum Verdict {
        Step,
        Timeout,
        Fuel
    }

    enum Fault {
        Sum,
        Fuel
    }

    struct Task {
        bytes32 program;
        bytes32 input;
        uint64 seed;
        uint64 fuelLimit;
        uint64 outLimit;
        uint32 maxPages;
    }

    interface IMarket {
        event Deposited(address indexed account, address indexed from, uint128 amount);
        event Withdrawn(address indexed account, address indexed to, uint128 amount);
        event Allowed(address indexed owner, address indexed spender, uint128 amount);
        event Transferred(address indexed from, address indexed to, uint128 amount);
        event Announced(address indexed provider, bytes endpoint);
        event AsksCancelled(address indexed provider, uint64 counter);
        event DealOpened(bytes32 indexed id, address indexed requester, address indexed provider, Deal deal);
        event Redeemed(bytes32 indexed deal, uint128 paid, uint64 orders);
        event DealClosed(
            bytes32 indexed deal, Ending ending, uint128 paid, uint128 toRequester, uint128 toProvider, uint128 burned
        );
        event Claimed(bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, Receipt receipt);
        event LateNoticed(bytes32 indexed deal, bytes32 indexed order, uint64 seq, uint64 deadline, uint128 bond);
        event Answered(bytes32 indexed deal, bytes32 indexed order, Receipt receipt);
        event Excused(bytes32 indexed deal, bytes32 indexed order);
        event Demanded(
            bytes32 indexed deal, bytes32 indexed receipt, uint32 task, uint64 seq, uint64 deadline, uint128 bond
        );
        event Revealed(
            bytes32 indexed deal,
            bytes32 indexed receipt,
            uint32 task,
            uint64 fuel,
            Halted halted,
            SumNode[] proof,
            bytes output
        );
        event Held(bytes32 indexed deal, bytes32 indexed game, uint64 deadline);
        event Lifted(bytes32 indexed deal, bytes32 indexed game);
        event CaseSettled(
            bytes32 indexed deal, bytes32 indexed subject, CaseKind kind, uint32 task, CaseOutcome outcome, uint128 amount
        );

        error Unauthorized(address caller, address required);
        error InvalidSignature(address signer, bytes32 digest);
        error InsufficientBalance(address account, uint128 balance, uint128 needed);
        error TransferFailed(uint128 amount);
        error WindowTooLong(uint64 window, uint64 max);
        error AnswerWindowOutOfRange(uint64 answerWindow, uint64 challengeWindow, uint64 grace);
        error NoToken(address token);
        error AllowanceTooLow(address owner, address spender, uint128 left, uint128 needed);
        error CounterNotRaised(uint64 current, uint64 given);
        error AnnouncementTooLong(uint256 length);
        error AskCancelled(uint64 current, uint64 given);
        error AskNotValidNow(uint64 time, uint64 from, uint64 to);
        error ProviderFull(uint32 open, uint32 capacity);
        error OpeningOutOfRange(uint64 openedAt, uint64 min, uint64 max);
        error NoKey();
        error BudgetOutOfRange(uint128 budget, uint128 min, uint128 max);
        error DurationOutOfRange(uint32 duration, uint32 max);
        error PriceTooHigh(uint128 price, uint128 maxPrice);
        error PenaltyTooHigh(uint32 latePenaltyBps);
        error AmountOverflow();
        error DealExists(bytes32 deal);
        error DealNotOpen(bytes32 deal, DealStatus status);
        error WrongDeal(bytes32 expected, bytes32 given);
        error WrongOrder(bytes32 expected, bytes32 given);
        error OrderSettled(uint64 seq, uint64 orders);
        error TasksOutOfRange(uint32 tasks);
        error NoSuchTask(uint32 task, uint32 tasks);
        error FuelTooHigh(uint128 fuel, uint128 max);
        error WrongFee(uint128 fee, uint128 expected);
        error ReceiptConflict(bytes32 asserted, bytes32 given);
        error ReceiptAsserted(bytes32 asserted);
        error CaseExists(CaseKind kind, bytes32 subject, uint32 task);
        error CaseNotOpen(CaseKind kind, bytes32 subject, uint32 task, CaseStatus status);
        error TooEarly(uint64 time, uint64 from);
        error TooLate(uint64 time, uint64 until);
        error DealBusy(uint16 claims, uint16 lates, uint32 challenges);
        error HoldOutOfRange(uint64 deadline, uint64 min, uint64 max);
        error NotInReceipt(uint32 task);
        error WrongFuel(uint64 fuel, uint64 expected);
        error WrongOutput(bytes32 outHash, bytes32 expected);
        error WrongOutputLength(uint256 length, uint64 expected);

        function deposit(address owner, uint128 amount) external;
        function depositWithPermit(address owner, uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function withdraw(address to, uint128 amount) external;
        function allow(address spender, uint128 amount) external;
        function take(address owner, uint128 amount) external;
        function give(address to, uint128 amount) external;
        function announce(bytes endpoint) external;
        function cancelAsks(uint64 counter) external;
        function redeem(Deal deal, Voucher voucher, bytes signature) external;
        function claim(Deal deal, Order order, bytes signature, Receipt receipt) external;
        function answer(Deal deal, Order order, Receipt receipt, bytes signature) external;
        function excuse(Deal deal, Cancel cancel, bytes signature) external;
        function reveal(
            Deal deal,
            Order order,
            Receipt receipt,
            uint32 task,
            uint64 fuel,
            Halted halted,
            SumNode[] proof,
            bytes output
        ) external;
        function open(Ask ask, bytes signature, Terms terms) external returns (bytes32);
        function close(Deal deal, Release release, bytes signature) external;
        function late(Deal deal, Order order, Ack ack, bytes signature) external;
        function demand(
            Deal deal,
            Order order,
            Receipt receipt,
            bytes signature,
            uint32 task
        ) external;
        function settle(Deal deal, CaseKind kind, bytes32 subject, uint32 task) external;
        function expire(Deal deal) external;
        function multicall(bytes[] calls) external returns (bytes[] results);
        function hold(Deal deal, bytes32 game, uint64 deadline) external;
        function lift(Deal deal, bytes32 game) external;
        function slash(Deal deal, address convictor) external;
        function token() external view returns (address);
        function challengeWindow() external view returns (uint64);
        function answerWindow() external view returns (uint64);
        function grace() external view returns (uint64);
        function caseBond() external view returns (uint128);
        function account(address owner) external view returns (uint128 balance, uint64 counter, uint32 dealsOpen);
        function allowance(address owner, address spender) external view returns (uint128);
        function dealState(bytes32 deal) external view returns (DealState);
        function caseState(bytes32 deal, CaseKind kind, bytes32 subject, uint32 task) external view returns (Case);
        function assertedReceipt(bytes32 order) external view returns (bytes32);
        function domainSeparator() external view returns (bytes32);
    }

    interface ICourt {
        event Accused(
            bytes32 indexed id,
            bytes32 indexed deal,
            address indexed provider,
            Game game,
            Receipt receipt,
            uint32 tasks,
            uint64 deadline
        );
        event Unfolded(bytes32 indexed id, uint32 place, uint8 height, uint64 deadline, SumNode[] nodes);
        event Picked(bytes32 indexed id, uint32 place, uint8 height, uint64 deadline);
        event Challenged(
            bytes32 indexed id, uint32 task, bytes32 halted, uint8 level, uint64 deadline, bytes32[17] segment
        );
        event Delegated(address indexed owner, address indexed to, uint64 time);
        event Moved(
            bytes32 indexed id,
            uint32 part,
            uint64 position,
            uint8 level,
            bool accusersTurn,
            uint64 deadline,
            bytes32[17] segment
        );
        event Stepped(bytes32 indexed id, uint64 position, bytes32 state, bytes32 claimed, bytes32 next);
        event Ended(
            bytes32 indexed id,
            Verdict verdict,
            bool accuserWon,
            bool slashed,
            uint128 toAccuser,
            uint128 toProvider,
            uint128 burned
        );
        event Convicted(bytes32 indexed deal, bytes32 indexed receipt, address indexed provider, Fault fault);

        error RulesOutOfRange();
        error NotInOrder(uint32 task);
        error NoDispute(bytes32 halted);
        error GameExists(bytes32 game);
        error NoGame(bytes32 game);
        error WrongSegment(bytes32 expected, bytes32 given);
        error NoSuchPart(uint32 part);
        error WrongStage(Stage stage);
        error EndsAgree(bytes32 state);
        error WrongLevel(uint8 level);
        error StepIsRight(bytes32 next);
        error SumIsRight();
        error FuelIsRight(uint64 fuel);

        function accuse(Deal deal, Order order, Receipt receipt, bytes signature) external returns (bytes32 id);
        function unfold(Game game, Order order, SumNode[] nodes) external;
        function contradict(
            Deal deal,
            Game game,
            Order order,
            SumNode[] nodes,
            uint32 index,
            Halted halted
        ) external;
        function pick(Game game, SumNode[] nodes, uint32 index) external;
        function challenge(
            Game game,
            Order order,
            SumNode[] nodes,
            uint32 index,
            Challenge it
        ) external;
        function delegate(address to, uint64 time) external;
        function move(
            Game game,
            uint32 part,
            bytes32[17] segment,
            bytes32[16] states,
            bytes signature
        ) external;
        function step(Deal deal, Game game, uint32 part, bytes32[17] segment, bytes proof) external;
        function timeout(Deal deal, Game game) external;
        function wrongSum(
            Deal deal,
            Order order,
            Receipt receipt,
            bytes signature,
            SumFault fault
        ) external;
        function wrongFuel(
            Deal deal,
            Order order,
            Receipt receipt,
            bytes signature,
            uint32 task,
            uint64 fuel,
            Halted halted,
            SumNode[] proof
        ) external;
        function market() external view returns (address);
        function stepUnit() external view returns (address);
        function rules() external view returns (Rules);
        function gameState(bytes32 id) external view returns (GameState);
        function deadline(bytes32 id) external view returns (uint64);
        function bondFor(uint64 fuelLimit) external view returns (uint128);
        function delegateUntil(address owner, address to) external view returns (uint64);
        function allowance(uint64 fuelLimit) external view returns (uint32);
        function domainSeparator() external view returns (bytes32);
    }

    interface IStepUnit {
        error WrongParts(bytes32 expected, bytes32 given);
        error WrongProof();

        function start(Task task, bytes parts) external view returns (bytes32 state, uint64 steps);
        function step(bytes32 state, bytes proof) external view returns (bytes32 next);
    }

    /// Test token of the embedded chain: an ERC-20 with EIP-2612 permits that anyone may mint.
    interface IToken {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        error InsufficientBalance(address owner, uint256 balance, uint256 needed);
        error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);
        error PermitExpired(uint256 time, uint256 deadline);
        error InvalidPermit(address recovered, address owner);
        function name() external view returns (string);
        function symbol() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function transferFrom(address from, address to, uint256 amount) external returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function mint(address to, uint256 amount) external;
    }

    /// Contract wallet (ERC-1271).
    interface IWallet {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}
