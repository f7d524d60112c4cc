// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IERC20 } from "./IERC20.sol";
import { IMarket } from "./IMarket.sol";
import { Tokens } from "./Tokens.sol";

/// @title The market's accounts: who has how much, and what others may take of it
/// @notice `IMarket.sol` is the specification. Comments here only say why.
abstract contract Accounts is IMarket {
    using Tokens for IERC20;

    /// Longest announced endpoint, bytes.
    uint256 public constant MAX_ANNOUNCEMENT_BYTES = 1024;
    IERC20 private immutable TOKEN;

    /// One slot: `open` finds the counter where it takes the collateral.
    struct Account {
        uint128 balance;
        uint64 counter;
        /// Open deals in which the account is the provider.
        uint32 openDeals;
        /// Set by the first credit, so that the slot of an emptied account never becomes zero: a
        /// slot that is zero costs more gas to fill.
        bool everCredited;
    }

    mapping(address owner => Account) internal accounts;
    /// @inheritdoc IMarket
    mapping(address owner => mapping(address spender => uint128 amount)) public allowance;

    constructor(IERC20 token_) {
        if (address(token_).code.length == 0) revert NoToken(address(token_));
        TOKEN = token_;
    }

    // ─────────────────────────────────────────── money ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function deposit(address owner, uint128 amount) public {
        credit(owner, amount);
        emit Deposited(owner, msg.sender, amount);
        TOKEN.pull(msg.sender, amount);
    }

    /// @inheritdoc IMarket
    function depositWithPermit(
        address owner,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        // Anybody who sees the permit can use it up first. That must not stop the deposit.
        try TOKEN.permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        deposit(owner, amount);
    }

    /// @inheritdoc IMarket
    function withdraw(address to, uint128 amount) external {
        debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        TOKEN.push(to, amount);
    }

    /// @inheritdoc IMarket
    function allow(address spender, uint128 amount) external {
        allowance[msg.sender][spender] = amount;
        emit Allowed(msg.sender, spender, amount);
    }

    /// @inheritdoc IMarket
    function take(address owner, uint128 amount) external {
        uint128 left = allowance[owner][msg.sender];
        if (left < amount) revert AllowanceTooLow(owner, msg.sender, left, amount);
        if (left != type(uint128).max) allowance[owner][msg.sender] = left - amount;
        transfer(owner, msg.sender, amount);
    }

    /// @inheritdoc IMarket
    function give(address to, uint128 amount) external {
        transfer(msg.sender, to, amount);
    }

    // ───────────────────────────────────────── providers ─────────────────────────────────────────

    /// @inheritdoc IMarket
    function announce(bytes calldata endpoint) external {
        if (endpoint.length > MAX_ANNOUNCEMENT_BYTES) revert AnnouncementTooLong(endpoint.length);
        emit Announced(msg.sender, endpoint);
    }

    /// @inheritdoc IMarket
    function cancelAsks(uint64 counter) external {
        uint64 current = accounts[msg.sender].counter;
        if (counter <= current) revert CounterNotRaised(current, counter);
        accounts[msg.sender].counter = counter;
        emit AsksCancelled(msg.sender, counter);
    }

    // ─────────────────────────────────────────── views ───────────────────────────────────────────

    /// @inheritdoc IMarket
    function token() external view returns (address) {
        return address(TOKEN);
    }

    /// @inheritdoc IMarket
    function account(address owner)
        external
        view
        returns (uint128 balance, uint64 counter, uint32 dealsOpen)
    {
        Account storage it = accounts[owner];
        return (it.balance, it.counter, it.openDeals);
    }

    // ───────────────────────────────────────── internal ──────────────────────────────────────────

    function credit(address owner, uint128 amount) internal {
        Account storage it = accounts[owner];
        (it.balance, it.everCredited) = (it.balance + amount, true);
    }

    function debit(address owner, uint128 amount) internal {
        uint128 balance = accounts[owner].balance;
        if (balance < amount) revert InsufficientBalance(owner, balance, amount);
        accounts[owner].balance = balance - amount;
    }

    function transfer(address owner, address to, uint128 amount) internal {
        debit(owner, amount);
        credit(to, amount);
        emit Transferred(owner, to, amount);
    }
}
