// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../market/IMarket.sol";
import { Receipt } from "../types/Receipt.sol";

/// A node of a receipt's Merkle-sum tree: its hash and the fuel of all leaves below it.
struct SumNode {
    bytes32 hash;
    uint128 fuel;
}

/// The Merkle-sum tree over an order's tasks, padded with (0, 0) to a power of two.
/// `crates/protocol/src/receipt.rs` has the same.
library SumTree {
    /// Returns the leaf of a task that ended as `halted` (its hash) and used `fuel`.
    function leaf(bytes32 halted, uint64 fuel) internal pure returns (SumNode memory) {
        return SumNode(keccak256(abi.encodePacked(uint8(0), halted, uint128(fuel))), fuel);
    }

    /// Returns whether `siblings` (bottom up) lead from task `index` of `tasks` to `root`, with
    /// nothing but empty nodes in padding.
    function verify(
        SumNode memory root,
        uint32 tasks,
        uint32 index,
        SumNode memory node,
        SumNode[] calldata siblings
    ) internal pure returns (bool) {
        if (index >= tasks || siblings.length != depth(tasks)) return false;
        SumNode memory empty;
        for (uint256 level = 0; level < siblings.length; ++level) {
            SumNode calldata sibling = siblings[level];
            uint256 place = uint256(index) >> level;
            // The first leaf below the sibling: from `tasks` on there is only padding.
            bool padding = ((place ^ 1) << level) >= tasks;
            if (padding && (sibling.hash != empty.hash || sibling.fuel != 0)) return false;
            if (node.fuel > type(uint128).max - sibling.fuel) return false;
            node.hash = place & 1 == 0
                ? keccak256(
                    abi.encodePacked(uint8(1), node.hash, node.fuel, sibling.hash, sibling.fuel)
                )
                : keccak256(
                    abi.encodePacked(uint8(1), sibling.hash, sibling.fuel, node.hash, node.fuel)
                );
            node.fuel += sibling.fuel;
            empty.hash = parentHash(empty, empty);
        }
        return node.hash == root.hash && node.fuel == root.fuel;
    }

    /// Reverts unless the receipt says that `task` of `tasks` ended as `halted` (its hash) and used
    /// `fuel`.
    function requireLeaf(
        Receipt calldata receipt,
        uint32 tasks,
        uint32 task,
        bytes32 halted,
        uint64 fuel,
        SumNode[] calldata proof
    ) internal pure {
        SumNode memory root = SumNode(receipt.root, receipt.fuel);
        if (!verify(root, tasks, task, leaf(halted, fuel), proof)) {
            revert IMarket.NotInReceipt(task);
        }
    }

    /// Returns the node over 2^n nodes. It overwrites them.
    function fold(SumNode[] memory nodes) internal pure returns (SumNode memory) {
        for (uint256 width = nodes.length; width > 1; width /= 2) {
            for (uint256 i = 0; i < width; i += 2) {
                (SumNode memory l, SumNode memory r) = (nodes[i], nodes[i + 1]);
                nodes[i / 2] = SumNode(parentHash(l, r), l.fuel + r.fuel);
            }
        }
        return nodes[0];
    }

    /// Returns the hash of a node at this height over padding alone. Such a node has no fuel.
    function emptyHash(uint256 height) internal pure returns (bytes32) {
        SumNode memory empty;
        for (uint256 level = 0; level < height; ++level) {
            empty.hash = parentHash(empty, empty);
        }
        return empty.hash;
    }

    /// Returns whether `siblings` (bottom up) lead from a node at `place` of its level to `root`,
    /// with right sums above it.
    function leads(
        SumNode memory root,
        SumNode memory node,
        uint32 place,
        SumNode[] calldata siblings
    ) internal pure returns (bool) {
        for (uint256 level = 0; level < siblings.length; ++level) {
            SumNode memory sibling = siblings[level];
            if (node.fuel > type(uint128).max - sibling.fuel) return false;
            bool left = (uint256(place) >> level) & 1 == 0;
            node = SumNode(
                left ? parentHash(node, sibling) : parentHash(sibling, node),
                node.fuel + sibling.fuel
            );
        }
        return node.hash == root.hash && node.fuel == root.fuel;
    }

    /// Returns the hash of the node over these two.
    function parentHash(SumNode memory l, SumNode memory r) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), l.hash, l.fuel, r.hash, r.fuel));
    }

    /// Returns how many levels are above the leaves: ⌈log2 tasks⌉.
    function depth(uint32 tasks) internal pure returns (uint256 levels) {
        while (uint256(1) << levels < tasks) ++levels;
    }
}
