// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// Numbers that market and court must agree on. `rialto_protocol::court` has the shares once more;
/// `crates/sim/tests/court` reads them from the deployed contracts and compares.
library Constants {
    /// Share of a loser's stake that goes to others, in 1/10_000; the rest is burned. The stake is
    /// a guilty provider's collateral, or a losing accuser's bond.
    uint32 internal constant COMPENSATION_BPS = 7000;
    /// Share of a guilty provider's collateral, in 1/10_000, that whoever convicts it gets out of
    /// the requester's compensation, unless the requester convicts it.
    uint32 internal constant BOUNTY_BPS = 2000;
    /// The account that holds burned money: nobody has its key.
    address internal constant BURNED = 0x000000000000000000000000000000000000dEaD;
    /// Most tasks in one order.
    uint32 internal constant MAX_ORDER_TASKS = 1 << 16;
    /// Longest hold of a deal by its court.
    uint64 internal constant MAX_HOLD = 30 days;
}
