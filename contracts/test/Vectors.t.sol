// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted, HaltedLib } from "../src/types/Halted.sol";
import { IMarket } from "../src/market/IMarket.sol";
import { Pricing } from "../src/shared/Pricing.sol";
import { SumNode, SumTree } from "../src/shared/SumTree.sol";
import { Ack } from "../src/types/Ack.sol";
import { Ask } from "../src/types/Ask.sol";
import { Cancel } from "../src/types/Cancel.sol";
import { Deal } from "../src/types/Deal.sol";
import { Game } from "../src/types/Game.sol";
import { Limits } from "../src/types/Limits.sol";
import { Move } from "../src/types/Move.sol";
import { Order } from "../src/types/Order.sol";
import { Receipt } from "../src/types/Receipt.sol";
import { Release } from "../src/types/Release.sol";
import { Voucher } from "../src/types/Voucher.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";

/// The sources' own functions on calldata.
contract Sources {
    function askHash(Ask calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function dealHash(Deal calldata it) external pure returns (bytes32) {
        vm.assertEq(it.hash(), it.hashNew(), "calldata and memory");
        return it.hash();
    }

    function limitsHash(Limits calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function cancelHash(Cancel calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function orderHash(Order calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function ackHash(Ack calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function receiptHash(Receipt calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function voucherHash(Voucher calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function releaseHash(Release calldata it) external pure returns (bytes32) {
        return it.hash();
    }

    function gameHash(Game calldata it) external pure returns (bytes32) {
        vm.assertEq(it.hash(), it.hashNew(), "calldata and memory");
        return it.hash();
    }

    function moveHash(Move calldata it) external pure returns (bytes32) {
        vm.assertEq(it.hash(), it.hashNew(), "calldata and memory");
        return it.hash();
    }

    function priceAt(Ask calldata ask, uint64 time) external pure returns (uint128) {
        return Pricing.priceAt(ask, time);
    }

    function fee(uint128 price, uint128 taskFee, uint128 fuel, uint32 tasks)
        external
        pure
        returns (uint128)
    {
        return Pricing.fee(price, taskFee, fuel, tasks);
    }

    function share(uint128 amount, uint32 bps) external pure returns (uint128) {
        return Pricing.share(amount, bps);
    }

    function haltedHash(Halted calldata it) external pure returns (bytes32) {
        return HaltedLib.hash(it);
    }

    function fuelUsed(Halted calldata it, uint64 fuelLimit) external pure returns (uint64) {
        return HaltedLib.fuelUsed(it, fuelLimit);
    }

    function outputHash(bytes calldata out) external pure returns (bytes32) {
        return HaltedLib.outputHash(out);
    }

    function verify(
        SumNode calldata root,
        uint32 tasks,
        uint32 index,
        bytes32 halted,
        uint64 fuel,
        SumNode[] calldata proof
    ) external pure returns (bool) {
        return SumTree.verify(root, tasks, index, SumTree.leaf(halted, fuel), proof);
    }
}

/// vectors/*.json, which the Rust crates check too. The sources' results must be those in the
/// files.
contract VectorsTest is Fixture {
    Sources sources = new Sources();
    string json;

    // ── eip712.json ──

    function test_eip712() public {
        json = vm.readFile("vectors/eip712.json");
        address at_ = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.chainId(vm.parseJsonUint(json, ".domain.chainId"));
        vm.etch(at_, address(market).code);
        bytes32 separator = IMarket(at_).domainSeparator();
        vm.assertEq(separator, b32(".separator"), "separator");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("vectors", count)); ++count) {
            string memory vector = item("vectors", count);
            bytes32 structHash = hashOf(string.concat(vector, ".value"), text(vector, ".type"));
            vm.assertEq(structHash, b32(string.concat(vector, ".structHash")), vector);
            bytes32 signed = keccak256(bytes.concat(hex"1901", separator, structHash));
            vm.assertEq(signed, b32(string.concat(vector, ".digest")), vector);
        }
        vm.assertEq(count, 33, "three of each of eleven structs");
    }

    function hashOf(string memory value, string memory name) private view returns (bytes32) {
        bytes32 kind = keccak256(bytes(name));
        if (kind == keccak256("Ask")) return sources.askHash(parseAsk(value));
        if (kind == keccak256("Limits")) return sources.limitsHash(parseLimits(value));
        if (kind == keccak256("Cancel")) return sources.cancelHash(Cancel(b32(value, ".order")));
        if (kind == keccak256("Deal")) return sources.dealHash(parseDeal(value));
        if (kind == keccak256("Order")) return sources.orderHash(parseOrder(value));
        if (kind == keccak256("Ack")) {
            return sources.ackHash(Ack(b32(value, ".order"), uint64(num(value, ".dueBy"))));
        }
        if (kind == keccak256("Receipt")) {
            return sources.receiptHash(
                Receipt(
                    b32(value, ".order"),
                    b32(value, ".root"),
                    uint128(num(value, ".fuel")),
                    uint128(num(value, ".fee"))
                )
            );
        }
        if (kind == keccak256("Voucher")) {
            bool last = vm.parseJsonBool(json, string.concat(value, ".close"));
            return sources.voucherHash(
                Voucher(
                    b32(value, ".deal"),
                    uint128(num(value, ".amount")),
                    uint64(num(value, ".orders")),
                    last
                )
            );
        }
        if (kind == keccak256("Game")) return sources.gameHash(parseGame(value));
        if (kind == keccak256("Move")) {
            return sources.moveHash(
                Move(
                    b32(value, ".game"),
                    uint32(num(value, ".level")),
                    uint32(num(value, ".pick")),
                    b32(value, ".from"),
                    b32(value, ".to")
                )
            );
        }
        vm.assertEq(name, "Release", "type");
        return sources.releaseHash(Release(b32(value, ".deal"), uint128(num(value, ".amount"))));
    }

    function parseGame(string memory value) private view returns (Game memory game) {
        game.deal = b32(value, ".deal");
        game.order = b32(value, ".order");
        game.receipt = b32(value, ".receipt");
        game.accuser = addressAt(value, ".accuser");
        game.provider = addressAt(value, ".provider");
        game.providerKey = addressAt(value, ".providerKey");
        game.bond = uint128(num(value, ".bond"));
        game.openedAt = uint64(num(value, ".openedAt"));
    }

    function parseAsk(string memory value) private view returns (Ask memory ask) {
        ask.provider = addressAt(value, ".provider");
        ask.key = addressAt(value, ".key");
        ask.endpoint = b32(value, ".endpoint");
        ask.priceStart = uint128(num(value, ".priceStart"));
        ask.priceEnd = uint128(num(value, ".priceEnd"));
        ask.from = uint64(num(value, ".from"));
        ask.to = uint64(num(value, ".to"));
        ask.taskFee = uint128(num(value, ".taskFee"));
        ask.minBudget = uint128(num(value, ".minBudget"));
        ask.maxBudget = uint128(num(value, ".maxBudget"));
        ask.collateralBps = uint32(num(value, ".collateralBps"));
        ask.latePenaltyBps = uint32(num(value, ".latePenaltyBps"));
        ask.maxSeconds = uint32(num(value, ".maxSeconds"));
        ask.capacity = uint32(num(value, ".capacity"));
        ask.cores = uint32(num(value, ".cores"));
        ask.fuelPerSecond = uint64(num(value, ".fuelPerSecond"));
        ask.runtime = b32(value, ".runtime");
        ask.attributes = b32(value, ".attributes");
        ask.court = addressAt(value, ".court");
        ask.counter = uint64(num(value, ".counter"));
        ask.salt = uint64(num(value, ".salt"));
        ask.limits = parseLimits(string.concat(value, ".limits"));
    }

    function parseLimits(string memory value) private view returns (Limits memory limits) {
        limits.tasks = uint32(num(value, ".tasks"));
        limits.orders = uint32(num(value, ".orders"));
        limits.taskFuel = uint64(num(value, ".taskFuel"));
        limits.taskMemory = uint64(num(value, ".taskMemory"));
        limits.taskOutput = uint64(num(value, ".taskOutput"));
        limits.orderOutput = uint64(num(value, ".orderOutput"));
        limits.program = uint64(num(value, ".program"));
        limits.inputs = uint64(num(value, ".inputs"));
        limits.shared = uint64(num(value, ".shared"));
        limits.credit = uint128(num(value, ".credit"));
    }

    function parseDeal(string memory value) private view returns (Deal memory deal) {
        deal.ask = b32(value, ".ask");
        deal.requester = addressAt(value, ".requester");
        deal.provider = addressAt(value, ".provider");
        deal.requesterKey = addressAt(value, ".requesterKey");
        deal.providerKey = addressAt(value, ".providerKey");
        deal.budget = uint128(num(value, ".budget"));
        deal.collateral = uint128(num(value, ".collateral"));
        deal.price = uint128(num(value, ".price"));
        deal.taskFee = uint128(num(value, ".taskFee"));
        deal.latePenalty = uint128(num(value, ".latePenalty"));
        deal.openedAt = uint64(num(value, ".openedAt"));
        deal.expiry = uint64(num(value, ".expiry"));
        deal.court = addressAt(value, ".court");
        deal.salt = uint64(num(value, ".salt"));
    }

    function parseOrder(string memory value) private view returns (Order memory order) {
        order.deal = b32(value, ".deal");
        order.seq = uint64(num(value, ".seq"));
        order.program = b32(value, ".program");
        order.inputs = b32(value, ".inputs");
        order.tasks = uint32(num(value, ".tasks"));
        order.fuelLimit = uint64(num(value, ".fuelLimit"));
        order.outLimit = uint64(num(value, ".outLimit"));
        order.maxPages = uint32(num(value, ".maxPages"));
        order.seed = uint64(num(value, ".seed"));
        order.dueBy = uint64(num(value, ".dueBy"));
    }

    // ── pricing.json ──

    function test_price() public {
        json = vm.readFile("vectors/pricing.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("price", count)); ++count) {
            string memory it = item("price", count);
            Ask memory ask;
            ask.priceStart = uint128(num(it, ".priceStart"));
            ask.priceEnd = uint128(num(it, ".priceEnd"));
            (ask.from, ask.to) = (uint64(num(it, ".from")), uint64(num(it, ".to")));
            uint64 time = uint64(num(it, ".time"));
            if (has(it, ".result")) {
                vm.assertEq(sources.priceAt(ask, time), num(it, ".result"), it);
            } else {
                vm.expectRevert(
                    abi.encodeWithSelector(IMarket.AskNotValidNow.selector, time, ask.from, ask.to)
                );
                sources.priceAt(ask, time);
            }
        }
        vm.assertGe(count, 100, "vectors");
    }

    function test_fee() public {
        json = vm.readFile("vectors/pricing.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("fee", count)); ++count) {
            string memory it = item("fee", count);
            (uint128 price, uint128 taskFee) =
                (uint128(num(it, ".price")), uint128(num(it, ".taskFee")));
            (uint128 fuel, uint32 tasks) = (uint128(num(it, ".fuel")), uint32(num(it, ".tasks")));
            if (has(it, ".result")) {
                vm.assertEq(sources.fee(price, taskFee, fuel, tasks), num(it, ".result"), it);
            } else {
                vm.expectRevert(abi.encodeWithSelector(IMarket.AmountOverflow.selector));
                sources.fee(price, taskFee, fuel, tasks);
            }
        }
        vm.assertGe(count, 10, "vectors");
    }

    function test_share() public {
        json = vm.readFile("vectors/pricing.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("share", count)); ++count) {
            string memory it = item("share", count);
            (uint128 amount, uint32 bps) = (uint128(num(it, ".amount")), uint32(num(it, ".bps")));
            if (has(it, ".result")) {
                vm.assertEq(sources.share(amount, bps), num(it, ".result"), it);
            } else {
                vm.expectRevert(abi.encodeWithSelector(IMarket.AmountOverflow.selector));
                sources.share(amount, bps);
            }
        }
        vm.assertGe(count, 40, "vectors");
    }

    // ── receipt.json ──

    function test_outputs() public {
        json = vm.readFile("vectors/receipt.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("outputs", count)); ++count) {
            string memory it = item("outputs", count);
            bytes memory out = vm.parseJsonBytes(json, string.concat(it, ".output"));
            vm.assertEq(sources.outputHash(out), b32(it, ".outHash"), it);
        }
        vm.assertEq(count, 7, "vectors");
    }

    function test_halted() public {
        json = vm.readFile("vectors/receipt.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("halted", count)); ++count) {
            string memory it = item("halted", count);
            Halted memory halted = Halted({
                status: uint8(num(it, ".status")),
                exitCode: uint32(num(it, ".exitCode")),
                outHash: b32(it, ".outHash"),
                outLen: uint64(num(it, ".outLen")),
                fuelLeft: int64(vm.parseJsonInt(json, string.concat(it, ".fuelLeft"))),
                digest: uint64(num(it, ".digest"))
            });
            vm.assertEq(sources.haltedHash(halted), b32(it, ".hash"), it);
            vm.assertEq(
                sources.fuelUsed(halted, uint64(num(it, ".fuelLimit"))), num(it, ".fuelUsed"), it
            );
        }
        vm.assertEq(count, 5, "vectors");
    }

    function test_trees() public {
        json = vm.readFile("vectors/receipt.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("trees", count)); ++count) {
            string memory it = item("trees", count);
            uint32 tasks = 0;
            while (vm.keyExistsJson(json, item(it, "tasks", tasks))) ++tasks;
            for (uint32 i = 0; i < tasks; ++i) {
                string memory task = item(it, "tasks", i);
                bool yes = sources.verify(
                    node(string.concat(it, ".root")),
                    tasks,
                    i,
                    b32(task, ".halted"),
                    uint64(num(task, ".fuel")),
                    nodes(item(it, "proofs", i))
                );
                vm.assertTrue(yes, task);
            }
        }
        vm.assertEq(count, 9, "vectors");
    }

    function test_refusedProofs() public {
        json = vm.readFile("vectors/receipt.json");
        uint256 count = 0;
        for (; vm.keyExistsJson(json, item("refused", count)); ++count) {
            string memory it = item("refused", count);
            bool yes = sources.verify(
                node(string.concat(it, ".root")),
                uint32(num(it, ".tasks")),
                uint32(num(it, ".index")),
                b32(it, ".halted"),
                uint64(num(it, ".fuel")),
                nodes(string.concat(it, ".siblings"))
            );
            vm.assertFalse(yes, text(it, ".why"));
        }
        vm.assertEq(count, 16, "vectors");
    }

    // ── reading ──

    function nodes(string memory path) private view returns (SumNode[] memory list) {
        uint256 length = 0;
        while (vm.keyExistsJson(json, string.concat(path, "[", vm.toString(length), "]"))) ++length;
        list = new SumNode[](length);
        for (uint256 i = 0; i < length; ++i) {
            list[i] = node(string.concat(path, "[", vm.toString(i), "]"));
        }
    }

    function node(string memory path) private view returns (SumNode memory) {
        return SumNode(b32(path, ".hash"), uint128(num(path, ".fuel")));
    }

    function item(string memory list, uint256 i) private pure returns (string memory) {
        return item("", list, i);
    }

    function item(string memory path, string memory list, uint256 i)
        private
        pure
        returns (string memory)
    {
        return string.concat(path, ".", list, "[", vm.toString(i), "]");
    }

    function has(string memory path, string memory field) private view returns (bool) {
        return vm.keyExistsJson(json, string.concat(path, field));
    }

    function num(string memory path, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, field));
    }

    function text(string memory path, string memory field) private view returns (string memory) {
        return vm.parseJsonString(json, string.concat(path, field));
    }

    function addressAt(string memory path, string memory field) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(path, field));
    }

    function b32(string memory path) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, path);
    }

    function b32(string memory path, string memory field) private view returns (bytes32) {
        return b32(string.concat(path, field));
    }
}
