// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import {
    Case,
    CaseKind,
    CaseStatus,
    DealState,
    DealStatus,
    IMarket,
    Terms
} from "../../src/market/IMarket.sol";
import { Market } from "../../src/market/Market.sol";
import { IERC20 } from "../../src/market/IERC20.sol";
import { SumNode } from "../../src/shared/SumTree.sol";
import { TestToken } from "../../src/test-token/TestToken.sol";
import { Ack, ACK_TYPEHASH } from "../../src/types/Ack.sol";
import { Ask, ASK_TYPEHASH } from "../../src/types/Ask.sol";
import { Cancel, CANCEL_TYPEHASH } from "../../src/types/Cancel.sol";
import { Deal, DEAL_TYPEHASH } from "../../src/types/Deal.sol";
import { LIMITS_TYPEHASH } from "../../src/types/Limits.sol";
import { Order, ORDER_TYPEHASH } from "../../src/types/Order.sol";
import { Receipt, RECEIPT_TYPEHASH } from "../../src/types/Receipt.sol";
import { Release, RELEASE_TYPEHASH } from "../../src/types/Release.sol";
import { Voucher, VOUCHER_TYPEHASH } from "../../src/types/Voucher.sol";
import { vm } from "./Vm.sol";

/// A market with a provider and a requester that both have money, and everything they sign.
///
/// The market is built from source, or, with `RIALTO_ARTIFACT=true`, from the committed bytecode
/// that is shipped.
abstract contract Fixture {
    bool public IS_TEST = true;

    uint64 constant START = 1_800_000_000;
    uint64 constant CHALLENGE = 3600;
    uint64 constant ANSWER = 1800;
    uint64 constant GRACE = 7200;
    uint128 constant BOND = 5e6;
    uint128 constant WEALTH = 10_000e6;
    uint128 constant BUDGET = 1000e6;
    uint128 constant COLLATERAL = 500e6;
    uint128 constant LATE_PENALTY = 100e6;
    uint32 constant DURATION = 1 days;
    uint128 constant FEE = 42e6;
    uint64 constant FUEL = 10e12;
    address constant DEAD = 0x000000000000000000000000000000000000dEaD;

    /// Accounts. What is signed in a deal is signed by other keys than theirs, so that every test
    /// tells the two apart.
    uint256 constant PROVIDER = 0xA11CE;
    uint256 constant REQUESTER = 0xB0B;
    uint256 constant STRANGER_KEY = 0x57A;
    address immutable provider = vm.addr(PROVIDER);
    address immutable requester = vm.addr(REQUESTER);
    address immutable stranger = vm.addr(STRANGER_KEY);
    /// The deals' keys.
    uint256 constant PROVIDER_KEY = 0x516A;
    uint256 constant REQUESTER_KEY = 0x516B;
    address immutable providerKey = vm.addr(PROVIDER_KEY);
    address immutable requesterKey = vm.addr(REQUESTER_KEY);
    /// Stands where a court would.
    address court = address(0xC0427);

    TestToken token;
    IMarket market;

    function setUp() public virtual {
        vm.warp(START);
        token = new TestToken();
        market = deployMarket(address(token), CHALLENGE, ANSWER, GRACE, BOND);
        fund(requester, WEALTH);
        fund(provider, WEALTH);
    }

    function deployMarket(
        address token_,
        uint64 challenge,
        uint64 answering,
        uint64 grace,
        uint128 bond
    ) internal returns (IMarket deployed) {
        if (!vm.envOr("RIALTO_ARTIFACT", false)) {
            return new Market(IERC20(token_), challenge, answering, grace, bond);
        }
        bytes memory code = vm.parseJsonBytes(vm.readFile("artifacts/Market.json"), ".bytecode");
        bytes memory init =
            abi.encodePacked(code, abi.encode(token_, challenge, answering, grace, bond));
        assembly ("memory-safe") {
            deployed := create(0, add(init, 32), mload(init))
            if iszero(deployed) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    /// Gives `owner` tokens in its account.
    function fund(address owner, uint128 amount) internal {
        token.mint(address(this), amount);
        token.approve(address(market), amount);
        market.deposit(owner, amount);
    }

    // ── what the parties sign ──

    function anAsk() internal view returns (Ask memory ask) {
        ask.provider = provider;
        ask.key = providerKey;
        ask.endpoint = keccak256("endpoint");
        ask.priceStart = 6e6;
        ask.priceEnd = 2e6;
        ask.from = START - 1000;
        ask.to = START + 1000;
        ask.taskFee = 1e6;
        ask.minBudget = 1e6;
        ask.maxBudget = 5000e6;
        ask.collateralBps = 5000;
        ask.latePenaltyBps = 2000;
        ask.maxSeconds = 7 days;
        ask.capacity = 3;
        ask.cores = 16;
        ask.fuelPerSecond = 1e9;
        ask.runtime = "wasm/3";
        ask.court = court;
        ask.salt = 0x5a17;
        ask.limits.tasks = 100;
        ask.limits.taskFuel = FUEL;
        ask.limits.credit = BUDGET;
    }

    function someTerms() internal view returns (Terms memory) {
        return Terms({
            key: requesterKey,
            budget: BUDGET,
            openedAt: START,
            duration: DURATION,
            maxPrice: 4e6,
            salt: 0xdea1
        });
    }

    /// Price in the middle of the curve: 4e6 per Tfuel.
    function aDeal() internal view returns (Deal memory) {
        return Deal({
            ask: h(anAsk()),
            requester: requester,
            provider: provider,
            requesterKey: requesterKey,
            providerKey: providerKey,
            budget: BUDGET,
            collateral: COLLATERAL,
            price: 4e6,
            taskFee: 1e6,
            latePenalty: LATE_PENALTY,
            openedAt: START,
            expiry: START + DURATION,
            court: court,
            salt: 0xdea1
        });
    }

    function anOrder(uint64 seq) internal view returns (Order memory order) {
        order.deal = h(aDeal());
        order.seq = seq;
        order.program = keccak256("program");
        order.inputs = keccak256("inputs");
        order.tasks = 2;
        order.fuelLimit = FUEL;
        order.outLimit = 1 << 20;
        order.maxPages = 256;
        order.seed = 7;
        order.dueBy = START + 600;
    }

    function anAck(Order memory order) internal pure returns (Ack memory) {
        return Ack({ order: h(order), dueBy: order.dueBy });
    }

    /// 10 Tfuel at 4e6 and two tasks at 1e6.
    function aReceipt(Order memory order) internal pure returns (Receipt memory) {
        SumNode memory root = join(aLeaf(0), aLeaf(1));
        return Receipt({ order: h(order), root: root.hash, fuel: root.fuel, fee: FEE });
    }

    function aVoucher(uint128 amount, uint64 orders, bool last)
        internal
        view
        returns (Voucher memory)
    {
        return Voucher({ deal: h(aDeal()), amount: amount, orders: orders, close: last });
    }

    // ── what the tasks of an order came to: task 0 used 4 Tfuel, task 1 used 6 Tfuel ──

    function output(uint32 task) internal pure virtual returns (bytes memory) {
        return task == 0 ? bytes("forty characters of output, or some more") : bytes("");
    }

    function aHalted(uint32 task) internal pure returns (Halted memory halted) {
        bytes memory out = output(task);
        halted.outLen = uint64(out.length);
        // The reference: pad to whole leaves and chain.
        for (uint256 i = 0; i < out.length; i += 32) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(add(out, 32), i))
            }
            if (out.length - i < 32) {
                word &= bytes32(type(uint256).max << (8 * (32 - (out.length - i))));
            }
            halted.outHash = keccak256(bytes.concat(halted.outHash, word));
        }
        halted.fuelLeft = task == 0 ? int64(6e12) : int64(4e12);
    }

    function aLeaf(uint32 task) internal pure returns (SumNode memory) {
        return leaf(h(aHalted(task)), task == 0 ? uint64(4e12) : uint64(6e12));
    }

    function leaf(bytes32 halted, uint64 fuel) internal pure returns (SumNode memory) {
        return SumNode(keccak256(bytes.concat(bytes1(0), halted, bytes16(uint128(fuel)))), fuel);
    }

    function join(SumNode memory l, SumNode memory r) internal pure returns (SumNode memory) {
        return SumNode(
            keccak256(bytes.concat(bytes1(0x01), l.hash, bytes16(l.fuel), r.hash, bytes16(r.fuel))),
            l.fuel + r.fuel
        );
    }

    function siblings(SumNode memory node) internal pure returns (SumNode[] memory proof) {
        proof = new SumNode[](1);
        proof[0] = node;
    }

    // ── receipts' trees ──

    function heightOf(uint32 tasks) internal pure returns (uint8 height) {
        while (uint256(1) << height < tasks) ++height;
    }

    /// The tree over these ends: from the leaves up.
    function treeOf(Order memory order, SumNode[] memory ends)
        internal
        pure
        returns (SumNode[][] memory levels)
    {
        levels = new SumNode[][](heightOf(order.tasks) + 1);
        levels[0] = new SumNode[](ends.length);
        for (uint256 i = 0; i < order.tasks; ++i) {
            levels[0][i] = leaf(ends[i].hash, uint64(ends[i].fuel));
        }
        for (uint256 level = 1; level < levels.length; ++level) {
            levels[level] = new SumNode[](ends.length >> level);
            for (uint256 i = 0; i < levels[level].length; ++i) {
                levels[level][i] = join(levels[level - 1][2 * i], levels[level - 1][2 * i + 1]);
            }
        }
    }

    /// Siblings of a leaf, from the bottom up.
    function proofOf(Order memory order, SumNode[] memory ends, uint32 task)
        internal
        pure
        returns (SumNode[] memory proof)
    {
        SumNode[][] memory levels = treeOf(order, ends);
        proof = new SumNode[](levels.length - 1);
        for (uint256 up = 0; up < proof.length; ++up) {
            proof[up] = levels[up][(task >> up) ^ 1];
        }
    }

    function copyOf(SumNode[] memory nodes) internal pure returns (SumNode[] memory) {
        return abi.decode(abi.encode(nodes), (SumNode[]));
    }

    // ── struct hashes, said again: the sources hash calldata ──

    function h(Ask memory it) internal pure returns (bytes32) {
        bytes memory words = abi.encode(it);
        // All but the ten words of the limits, which are the last.
        uint256 length = words.length - 10 * 32;
        assembly ("memory-safe") {
            mstore(words, length)
        }
        return keccak256(
            bytes.concat(ASK_TYPEHASH, words, keccak256(abi.encode(LIMITS_TYPEHASH, it.limits)))
        );
    }

    function h(Deal memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(DEAL_TYPEHASH, it));
    }

    function h(Order memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_TYPEHASH, it));
    }

    function h(Ack memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(ACK_TYPEHASH, it));
    }

    function h(Receipt memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, it));
    }

    function h(Voucher memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, it));
    }

    function h(Release memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(RELEASE_TYPEHASH, it));
    }

    function h(Cancel memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode(CANCEL_TYPEHASH, it));
    }

    function h(Halted memory it) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                "rialto-halt",
                bytes1(it.status),
                bytes4(it.exitCode),
                it.outHash,
                bytes8(it.outLen),
                bytes8(uint64(it.fuelLeft)),
                bytes8(it.digest)
            )
        );
    }

    // ── signatures ──

    function digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(bytes.concat(hex"1901", market.domainSeparator(), structHash));
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest(structHash));
        return bytes.concat(r, s, bytes1(v));
    }

    /// The account's signature of an ask.
    function bySeller(Ask memory ask) internal view returns (bytes memory) {
        return sign(PROVIDER, h(ask));
    }

    function byProvider(bytes32 structHash) internal view returns (bytes memory) {
        return sign(PROVIDER_KEY, structHash);
    }

    function byRequester(bytes32 structHash) internal view returns (bytes memory) {
        return sign(REQUESTER_KEY, structHash);
    }

    // ── the parties' moves ──

    function open() internal returns (Deal memory deal) {
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, someTerms());
        return aDeal();
    }

    function redeem(Deal memory deal, Voucher memory voucher) internal {
        bytes memory signature = byRequester(h(voucher));
        vm.prank(provider);
        market.redeem(deal, voucher, signature);
    }

    function close(Deal memory deal, Release memory release) internal {
        bytes memory signature = byProvider(h(release));
        vm.prank(requester);
        market.close(deal, release, signature);
    }

    function claim(Deal memory deal, Order memory order, Receipt memory receipt) internal {
        bytes memory signature = byRequester(h(order));
        vm.prank(provider);
        market.claim(deal, order, signature, receipt);
    }

    function late(Deal memory deal, Order memory order, Ack memory ack) internal {
        bytes memory signature = byProvider(h(ack));
        vm.prank(requester);
        market.late(deal, order, ack, signature);
    }

    function answer(Deal memory deal, Order memory order, Receipt memory receipt) internal {
        vm.prank(provider);
        market.answer(deal, order, receipt, "");
    }

    function demand(Deal memory deal, Order memory order, Receipt memory receipt, uint32 task)
        internal
    {
        bytes memory signature = byProvider(h(receipt));
        vm.prank(requester);
        market.demand(deal, order, receipt, signature, task);
    }

    function reveal(Deal memory deal, Order memory order, Receipt memory receipt, uint32 task)
        internal
    {
        vm.prank(provider);
        market.reveal(
            deal,
            order,
            receipt,
            task,
            uint64(aLeaf(task).fuel),
            aHalted(task),
            siblings(aLeaf(1 - task)),
            output(task)
        );
    }

    // ── looking ──

    function balance(address owner) internal view returns (uint128 amount) {
        (amount,,) = market.account(owner);
    }

    function checkBalances(uint128 ofRequester, uint128 ofProvider, uint128 burned) internal view {
        vm.assertEq(balance(requester), ofRequester, "requester's account");
        vm.assertEq(balance(provider), ofProvider, "provider's account");
        vm.assertEq(balance(DEAD), burned, "burned");
    }

    /// All locked money is back in accounts.
    function checkAllFree() internal view {
        uint256 sum =
            uint256(balance(requester)) + balance(provider) + balance(DEAD) + balance(stranger);
        vm.assertEq(sum, token.balanceOf(address(market)), "conservation");
    }

    function checkState(Deal memory deal, DealStatus status, uint128 paid, uint64 orders)
        internal
        view
    {
        DealState memory state = market.dealState(h(deal));
        vm.assertEq(uint8(state.status), uint8(status), "deal status");
        vm.assertEq(state.paid, paid, "deal paid");
        vm.assertEq(state.orders, orders, "deal watermark");
    }

    /// Deals of this provider that are open.
    function openDealsOf(address owner) internal view returns (uint32 count) {
        (,, count) = market.account(owner);
    }

    function checkCounts(Deal memory deal, uint16 claims, uint16 lates, uint32 holds)
        internal
        view
    {
        DealState memory state = market.dealState(h(deal));
        vm.assertEq(state.claims, claims, "open claims");
        vm.assertEq(state.lates, lates, "open late notices");
        vm.assertEq(state.challenges, holds, "open challenges");
    }

    function checkCase(
        Deal memory deal,
        CaseKind kind,
        bytes32 subject,
        uint32 task,
        CaseStatus status
    ) internal view {
        Case memory it = market.caseState(h(deal), kind, subject, task);
        vm.assertEq(uint8(it.status), uint8(status), "case status");
    }

    /// The next call by `sender` must fail with exactly this.
    function refuse(address sender, bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(sender);
    }
}
