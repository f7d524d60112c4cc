// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Pricing } from "../../src/shared/Pricing.sol";
import { Ask } from "../../src/types/Ask.sol";

/// Proven for all inputs by halmos (scripts/prove.sh): prices, fees and shares.
contract PricingProofs {
    uint256 private constant MAX = type(uint128).max;

    function priceOf(Ask calldata ask, uint64 time) external pure returns (uint128) {
        return Pricing.priceAt(ask, time);
    }

    function feeOf(uint128 price, uint128 taskFee, uint128 fuel, uint32 tasks)
        external
        pure
        returns (uint128)
    {
        return Pricing.fee(price, taskFee, fuel, tasks);
    }

    function shareOf(uint128 amount, uint32 bps) external pure returns (uint128) {
        return Pricing.share(amount, bps);
    }

    /// Within its window a price is there, and between the two ends; outside there is none.
    function check_priceIsBetweenItsEnds(
        uint128 start,
        uint128 end,
        uint64 from,
        uint64 to,
        uint64 time
    ) external view {
        Ask memory ask;
        (ask.priceStart, ask.priceEnd, ask.from, ask.to) = (start, end, from, to);
        try this.priceOf(ask, time) returns (uint128 price) {
            assert(time >= from && time < to);
            assert(start < end ? price >= start && price <= end : price <= start && price >= end);
            if (time == from) assert(price == start);
        } catch {
            assert(time < from || time >= to);
        }
    }

    /// A fee is ⌊price · fuel / 10^12⌋ + taskFee · tasks if that fits 128 bits, and else refused.
    function check_feeIsExact(uint128 price, uint128 taskFee, uint128 fuel, uint32 tasks)
        external
        view
    {
        uint256 product = uint256(price) * fuel;
        try this.feeOf(price, taskFee, fuel, tasks) returns (uint128 fee) {
            uint256 ofFuel = uint256(fee) - uint256(taskFee) * tasks;
            assert(ofFuel * 1e12 <= product && product - ofFuel * 1e12 < 1e12);
        } catch {
            assert(product / 1e12 + uint256(taskFee) * tasks > MAX);
        }
    }

    /// A share of at most 10,000 basis points is there and at most the whole; what is left of 7,000
    /// is at least three tenths.
    function check_sharesNeverExceed(uint128 amount, uint32 bps) external view {
        if (bps > 10_000) return;
        uint128 share = this.shareOf(amount, bps);
        assert(share <= amount);
        uint256 product = uint256(amount) * bps;
        assert(uint256(share) * 10_000 <= product && product - uint256(share) * 10_000 < 10_000);
    }

    /// At least 30 % burns, and the bounty is at most what the requester gets.
    function check_threeTenthsBurn(uint128 collateral) external view {
        uint128 compensation = this.shareOf(collateral, 7000);
        assert(uint256(collateral - compensation) * 10 >= uint256(collateral) * 3);
        assert(this.shareOf(collateral, 2000) <= compensation);
    }
}
