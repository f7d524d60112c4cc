// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IERC20 } from "./IERC20.sol";
import { IMarket } from "./IMarket.sol";

/// Moves tokens in and out. A token may return true or nothing.
library Tokens {
    /// Takes exactly `amount` from `from`. All that the market holds must fit 128 bits. The balance
    /// must rise by this amount alone, so a token that calls back can't make it count twice.
    function pull(IERC20 token, address from, uint128 amount) internal {
        uint256 before = token.balanceOf(address(this));
        move(token, abi.encodeCall(IERC20.transferFrom, (from, address(this), amount)), amount);
        uint256 held = token.balanceOf(address(this));
        if (held != before + amount) revert IMarket.TransferFailed(amount);
        if (held > type(uint128).max) revert IMarket.AmountOverflow();
    }

    /// Sends `amount` to `to`.
    function push(IERC20 token, address to, uint128 amount) internal {
        move(token, abi.encodeCall(IERC20.transfer, (to, amount)), amount);
    }

    function move(IERC20 token, bytes memory call, uint128 amount) private {
        (bool ok, bytes memory result) = address(token).call(call);
        if (!ok || (result.length != 0 && abi.decode(result, (uint256)) != 1)) {
            revert IMarket.TransferFailed(amount);
        }
    }
}
