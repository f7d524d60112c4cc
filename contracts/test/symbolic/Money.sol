// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { CaseKind, CaseStatus, DealStatus } from "../../src/market/IMarket.sol";
import { IERC20 } from "../../src/market/IERC20.sol";
import { Market } from "../../src/market/Market.sol";
import { Deal, DEAL_TYPEHASH } from "../../src/types/Deal.sol";
import { vm } from "../base/Vm.sol";

/// Proven for all inputs by halmos (scripts/prove.sh): whatever a deal's amounts, its state and its
/// parties' accounts, each way to end it and each case that is settled moves exactly the money that
/// is in it, and a stranger's call lowers nobody's account.
///
/// States are written to storage as they can be: what has come into the market fits 128 bits, and a
/// deal has paid at most its budget.
contract MoneyProofs {
    address private constant REQUESTER = address(0x1001);
    address private constant PROVIDER = address(0x1002);
    address private constant COURT = address(0x1003);
    address private constant STRANGER = address(0x1004);
    address private constant DEAD = 0x000000000000000000000000000000000000dEaD;
    uint64 private constant EXPIRY = 1_000_000;
    uint64 private constant GRACE = 100;
    bytes32 private constant SUBJECT = "subject";

    Market private market;
    Deal private deal;

    function setUp() public {
        // Any contract will do: no token moves.
        market = new Market(IERC20(address(this)), 100, 50, GRACE, 5);
        (deal.requester, deal.provider, deal.court) = (REQUESTER, PROVIDER, COURT);
        (deal.openedAt, deal.expiry) = (1, EXPIRY);
        (deal.requesterKey, deal.providerKey) = (address(0x2001), address(0x2002));
    }

    struct Amounts {
        uint128 budget;
        uint128 collateral;
        uint128 penalty;
        uint128 paid;
        uint128 requesters;
        uint128 providers;
        uint128 strangers;
        uint128 dead;
        /// Of the case that is open: its bond, or the fee that is claimed.
        uint128 amount;
    }

    /// Puts a deal of these amounts there, with one open case of this kind.
    function put(Amounts memory it, CaseKind kind, uint64 seq, uint48 orders)
        private
        returns (Deal memory terms)
    {
        vm.assume(it.paid <= it.budget && it.penalty <= it.collateral);
        uint256 sum =
            uint256(it.budget) + it.collateral + it.requesters + it.providers + it.strangers;
        sum += uint256(it.dead) + (kind == CaseKind.Late || kind == CaseKind.Demand ? it.amount : 0);
        vm.assume(sum <= type(uint128).max);
        (deal.budget, deal.collateral, deal.latePenalty) = (it.budget, it.collateral, it.penalty);
        terms = deal;
        bytes32 id = keccak256(abi.encode(DEAL_TYPEHASH, terms));
        uint256 counts =
            kind == CaseKind.Claim ? 1 << 184 : kind == CaseKind.Late ? 1 << 200 : 1 << 216;
        if (it.amount == type(uint128).max) counts = 0;
        uint256 state =
            uint256(DealStatus.Open) | uint256(it.paid) << 8 | uint256(orders) << 136 | counts;
        vm.store(address(market), keccak256(abi.encode(id, uint256(2))), bytes32(state));
        account(REQUESTER, it.requesters, 0);
        account(PROVIDER, it.providers, 1);
        account(STRANGER, it.strangers, 0);
        account(DEAD, it.dead, 0);
        bytes32 key = keccak256(abi.encode(id, kind, SUBJECT, uint32(0)));
        uint256 opened = uint256(CaseStatus.Open) | uint256(EXPIRY) << 8 | uint256(seq) << 48
            | uint256(it.amount) << 112;
        vm.store(address(market), keccak256(abi.encode(key, uint256(3))), bytes32(opened));
    }

    function account(address owner, uint128 amount, uint32 open) private {
        bytes32 slot = keccak256(abi.encode(owner, uint256(0)));
        vm.store(address(market), slot, bytes32(uint256(amount) | uint256(open) << 192));
    }

    function balance(address owner) private view returns (uint256 amount) {
        (amount,,) = market.account(owner);
    }

    function total() private view returns (uint256) {
        return balance(REQUESTER) + balance(PROVIDER) + balance(STRANGER) + balance(DEAD);
    }

    function had(Amounts memory it) private pure returns (uint256) {
        return uint256(it.requesters) + it.providers + it.strangers + it.dead;
    }

    /// The court convicts, by the requester's proof or a stranger's.
    function check_slashMovesWhatIsThere(Amounts memory it, bool byStranger) external {
        Deal memory terms = put(it, CaseKind.Hold, 0, 0);
        vm.prank(COURT);
        market.slash(terms, byStranger ? STRANGER : REQUESTER);
        assert(total() == had(it) + it.budget - it.paid + it.collateral);
        assert(balance(PROVIDER) == it.providers);
        assert(balance(REQUESTER) >= it.requesters && balance(STRANGER) >= it.strangers);
        assert((balance(DEAD) - it.dead) * 10 >= uint256(it.collateral) * 3);
        assert(
            market.dealState(keccak256(abi.encode(DEAL_TYPEHASH, terms))).status
                == DealStatus.Closed
        );
    }

    function check_expireMovesWhatIsThere(Amounts memory it, uint64 time) external {
        vm.assume(time < 1 << 39);
        it.amount = type(uint128).max;
        vm.assume(it.paid <= it.budget);
        Deal memory terms = put(it, CaseKind.Hold, 0, 0);
        vm.warp(time);
        vm.prank(STRANGER);
        try market.expire(terms) {
            assert(time >= EXPIRY + GRACE);
            assert(balance(REQUESTER) == uint256(it.requesters) + it.budget - it.paid);
            assert(balance(PROVIDER) == uint256(it.providers) + it.collateral);
            assert(balance(STRANGER) == it.strangers && balance(DEAD) == it.dead);
        } catch {
            assert(time < EXPIRY + GRACE);
        }
    }

    /// A claim, by a stranger, below the watermark or not.
    function check_settleOfAClaim(Amounts memory it, uint64 time, uint64 seq, uint48 orders)
        external
    {
        vm.assume(time < 1 << 39 && it.amount < type(uint128).max);
        Deal memory terms = put(it, CaseKind.Claim, seq, orders);
        vm.warp(time);
        vm.prank(STRANGER);
        try market.settle(terms, CaseKind.Claim, SUBJECT, 0) {
            uint128 left = it.budget - it.paid;
            uint128 owed = seq < orders ? 0 : it.amount < left ? it.amount : left;
            assert(time >= EXPIRY || seq < orders);
            assert(balance(PROVIDER) == uint256(it.providers) + owed);
            assert(balance(REQUESTER) == it.requesters && balance(STRANGER) == it.strangers);
            assert(balance(DEAD) == it.dead);
            assert(
                market.dealState(keccak256(abi.encode(DEAL_TYPEHASH, terms))).paid == it.paid + owed
            );
        } catch {
            assert(time < EXPIRY && seq >= orders);
        }
    }

    /// A late notice or a demand, by a stranger, below the watermark or not.
    function check_settleOfANotice(
        Amounts memory it,
        bool demanded,
        uint64 time,
        uint64 seq,
        uint48 orders
    ) external {
        vm.assume(time < 1 << 39 && it.amount < type(uint128).max);
        CaseKind kind = demanded ? CaseKind.Demand : CaseKind.Late;
        Deal memory terms = put(it, kind, seq, orders);
        vm.warp(time);
        vm.prank(STRANGER);
        try market.settle(terms, kind, SUBJECT, 0) {
            assert(time >= EXPIRY || seq < orders);
            uint256 ended = seq < orders ? 0 : uint256(it.budget) - it.paid + it.collateral;
            assert(total() == had(it) + it.amount + ended);
            assert(balance(REQUESTER) >= uint256(it.requesters) + it.amount);
            assert(balance(PROVIDER) >= it.providers && balance(STRANGER) == it.strangers);
            if (demanded && seq >= orders) {
                assert((balance(DEAD) - it.dead) * 10 >= uint256(it.collateral) * 3);
            } else {
                assert(balance(DEAD) == it.dead);
            }
        } catch {
            assert(time < EXPIRY && seq >= orders);
        }
    }

    /// give and take move what they say, and no more than was there and allowed.
    function check_giveAndTake(Amounts memory it, uint128 amount, uint128 allowed, bool taking)
        external
    {
        put(it, CaseKind.Hold, 0, 0);
        vm.prank(REQUESTER);
        market.allow(STRANGER, allowed);
        vm.prank(taking ? STRANGER : REQUESTER);
        bytes memory call = taking
            ? abi.encodeCall(market.take, (REQUESTER, amount))
            : abi.encodeCall(market.give, (STRANGER, amount));
        (bool ok,) = address(market).call(call);
        assert(ok == (amount <= it.requesters && (!taking || amount <= allowed)));
        uint256 moved = ok ? amount : 0;
        assert(
            balance(REQUESTER) == it.requesters - moved && balance(STRANGER) == it.strangers + moved
        );
        assert(balance(PROVIDER) == it.providers && balance(DEAD) == it.dead);
        if (ok && taking && allowed != type(uint128).max) {
            assert(market.allowance(REQUESTER, STRANGER) == allowed - amount);
        }
    }
}
