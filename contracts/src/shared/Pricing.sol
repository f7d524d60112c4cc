// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../market/IMarket.sol";
import { Ask } from "../types/Ask.sol";

/// Prices and fees. `crates/protocol/src/pricing.rs` computes the same.
library Pricing {
    /// Fuel in one Tfuel.
    uint256 internal constant TFUEL = 1e12;
    /// Basis points in one.
    uint256 internal constant BPS = 10_000;

    /// Returns the price of an ask at `time` in `[from, to)`, base units per Tfuel. The distance
    /// travelled is rounded down: a falling price is rounded up, a rising one down.
    function priceAt(Ask calldata ask, uint64 time) internal pure returns (uint128) {
        if (time < ask.from || time >= ask.to) {
            revert IMarket.AskNotValidNow(time, ask.from, ask.to);
        }
        uint256 start = ask.priceStart;
        uint256 end = ask.priceEnd;
        uint256 elapsed = time - ask.from;
        uint256 length = ask.to - ask.from;
        // Between the two 128-bit ends, so it fits.
        return uint128(
            end < start
                ? start - (start - end) * elapsed / length
                : start + (end - start) * elapsed / length
        );
    }

    /// Returns ⌊price · fuel / 10^12⌋ + taskFee · tasks, base units. Reverts if that exceeds 128
    /// bits.
    function fee(uint128 price, uint128 taskFee, uint128 fuel, uint32 tasks)
        internal
        pure
        returns (uint128)
    {
        return narrow(uint256(price) * fuel / TFUEL + uint256(taskFee) * tasks);
    }

    /// Returns ⌊amount · bps / 10_000⌋. Reverts if that exceeds 128 bits.
    function share(uint128 amount, uint32 bps) internal pure returns (uint128) {
        return narrow(uint256(amount) * bps / BPS);
    }

    function narrow(uint256 amount) private pure returns (uint128) {
        if (amount > type(uint128).max) revert IMarket.AmountOverflow();
        return uint128(amount);
    }
}
