// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../../src/market/IMarket.sol";

/// Tokens with the habits that the market must survive. `mint`, `approve`, `balanceOf` as in
/// `TestToken`.
abstract contract OddToken {
    mapping(address owner => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address, uint256) external pure returns (bool) {
        return true;
    }

    function move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Returns nothing, like USDT.
contract SilentToken is OddToken {
    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        move(from, to, amount);
    }
}

/// Keeps one unit of every transfer.
contract FeeToken is OddToken {
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - 1;
        return true;
    }
}

/// Says no instead of reverting.
contract RefusingToken is OddToken {
    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        move(from, to, amount);
        return true;
    }
}

/// Has more than 2^128 units.
contract HugeToken is OddToken {
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        move(from, to, amount);
        return true;
    }
}

/// Deposits again from inside a deposit.
contract CallingToken is OddToken {
    IMarket private market;
    uint128 private amount;

    function arm(IMarket market_, uint128 amount_) external {
        market = market_;
        amount = amount_;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        if (address(market) != address(0) && from != address(this)) market.deposit(from, amount);
        move(from, to, value);
        return true;
    }
}

/// Its issuer can stop an account from sending and from getting anything.
contract FreezingToken is OddToken {
    mapping(address owner => bool) private frozen;

    error Frozen();

    function freeze(address owner) external {
        frozen[owner] = true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (frozen[msg.sender] || frozen[to]) revert Frozen();
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (frozen[from] || frozen[to]) revert Frozen();
        move(from, to, amount);
        return true;
    }
}

/// Tells one who sends before it moves anything.
contract TellingToken is OddToken {
    address private teller;

    function tell(address owner) external {
        teller = owner;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (from == teller) Spender(from).told();
        move(from, to, amount);
        return true;
    }
}

/// Spends what it was credited for before it has paid.
contract Spender {
    IMarket private immutable MARKET;
    bytes private spend;

    constructor(IMarket market) {
        MARKET = market;
    }

    function run(uint128 amount, bytes calldata spend_) external {
        spend = spend_;
        MARKET.deposit(address(this), amount);
    }

    function told() external {
        (bool ok,) = address(MARKET).call(spend);
        require(ok, "spending failed");
    }
}
