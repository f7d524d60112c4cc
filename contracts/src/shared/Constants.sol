// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// The numbers that market and court must agree on. `rialto_protocol::court` repeats the
/// shares, and `crates/sim/tests/court` compares them with those of the deployed contracts.
library Constants {
    /// Share of a loser's stake that goes to others, in 1/10_000; the rest is burned. The stake is
    /// a guilty provider's collateral, or a losing accuser's bond.
    uint32 internal constant COMPENSATION_BPS = 7000;
    /// The bounty: the share of a guilty provider's collateral, in 1/10_000, that goes to a
    /// stranger who convicts it. It comes out of the requester's compensation.
    uint32 internal constant BOUNTY_BPS = 2000;
    /// The account that holds burned money: nobody has its key.
    address internal constant BURNED = 0x000000000000000000000000000000000000dEaD;
    /// Most tasks in one order.
    uint32 internal constant MAX_ORDER_TASKS = 1 << 16;
    /// Longest hold of a deal by its court.
    uint64 internal constant MAX_HOLD = 30 days;
}
