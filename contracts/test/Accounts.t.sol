// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IERC20 } from "../src/interfaces/IERC20.sol";
import { IMarket } from "../src/interfaces/IMarket.sol";
import { Market } from "../src/Market.sol";
import { TestToken } from "../src/test-token/TestToken.sol";
import { Fixture } from "./base/Fixture.sol";
import { CallingToken, FeeToken, HugeToken, RefusingToken, SilentToken } from "./base/Tokens.sol";
import { vm } from "./base/Vm.sol";

/// deposit, depositWithPermit, withdraw, announce, cancelAsks, the constructor.
contract AccountsTest is Fixture {
    uint128 constant AMOUNT = 100e6;

    function test_depositCreditsTheNamedAccount() public {
        token.mint(stranger, AMOUNT);
        vm.prank(stranger);
        token.approve(address(market), AMOUNT);
        vm.expectEmit(address(market));
        emit IMarket.Deposited(requester, stranger, AMOUNT);
        vm.prank(stranger);
        market.deposit(requester, AMOUNT);
        checkBalances(WEALTH + AMOUNT, WEALTH, 0);
        vm.assertEq(token.balanceOf(stranger), 0, "stranger paid");
    }

    function test_depositWithoutApprovalFails() public {
        token.mint(stranger, AMOUNT);
        refuse(stranger, abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        market.deposit(stranger, AMOUNT);
    }

    function test_depositWithPermit() public {
        (uint8 v, bytes32 r, bytes32 s) = permit(AMOUNT, START);
        token.mint(stranger, AMOUNT);
        vm.prank(stranger);
        market.depositWithPermit(stranger, AMOUNT, START, v, r, s);
        vm.assertEq(balance(stranger), AMOUNT, "account");
    }

    /// Somebody else hands in the permit first: the deposit works all the same.
    function test_depositWithUsedPermit() public {
        (uint8 v, bytes32 r, bytes32 s) = permit(AMOUNT, START);
        token.mint(stranger, AMOUNT);
        token.permit(stranger, address(market), AMOUNT, START, v, r, s);
        vm.prank(stranger);
        market.depositWithPermit(stranger, AMOUNT, START, v, r, s);
        vm.assertEq(balance(stranger), AMOUNT, "account");
    }

    /// A permit is only good for its signer: nobody can deposit other people's tokens.
    function test_depositWithForeignPermitFails() public {
        (uint8 v, bytes32 r, bytes32 s) = permit(AMOUNT, START);
        token.mint(stranger, AMOUNT);
        refuse(requester, abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        market.depositWithPermit(requester, AMOUNT, START, v, r, s);
    }

    function test_permitHasADeadline() public {
        (uint8 v, bytes32 r, bytes32 s) = permit(AMOUNT, START);
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(TestToken.PermitExpired.selector, START + 1, START));
        token.permit(stranger, address(market), AMOUNT, START, v, r, s);
    }

    function test_withdraw() public {
        vm.expectEmit(address(market));
        emit IMarket.Withdrawn(requester, stranger, AMOUNT);
        vm.prank(requester);
        market.withdraw(stranger, AMOUNT);
        checkBalances(WEALTH - AMOUNT, WEALTH, 0);
        vm.assertEq(token.balanceOf(stranger), AMOUNT, "tokens");
    }

    function test_withdrawEverythingAndNotMore() public {
        refuse(requester, abi.encodeWithSelector(IMarket.InsufficientBalance.selector, requester, WEALTH, WEALTH + 1));
        market.withdraw(requester, WEALTH + 1);
        vm.prank(requester);
        market.withdraw(requester, WEALTH);
        vm.assertEq(balance(requester), 0, "account");
    }

    function test_announce() public {
        bytes memory endpoint = new bytes(1024);
        vm.expectEmit(address(market));
        emit IMarket.Announced(provider, endpoint);
        vm.prank(provider);
        market.announce(endpoint);
        refuse(provider, abi.encodeWithSelector(IMarket.AnnouncementTooLong.selector, 1025));
        market.announce(new bytes(1025));
    }

    function test_cancelAsksOnlyRaises() public {
        vm.expectEmit(address(market));
        emit IMarket.AsksCancelled(provider, 5);
        vm.prank(provider);
        market.cancelAsks(5);
        (uint128 amount, uint64 counter) = market.account(provider);
        vm.assertEq(counter, 5, "counter");
        vm.assertEq(amount, WEALTH, "balance beside it");
        refuse(provider, abi.encodeWithSelector(IMarket.CounterNotRaised.selector, 5, 5));
        market.cancelAsks(5);
    }

    function test_constructorKeepsItsParametersAndBoundsWindows() public {
        vm.assertEq(market.token(), address(token), "token");
        vm.assertEq(market.challengeWindow(), CHALLENGE, "challengeWindow");
        vm.assertEq(market.answerWindow(), ANSWER, "answerWindow");
        vm.assertEq(market.grace(), GRACE, "grace");
        vm.assertEq(market.caseBond(), BOND, "caseBond");
        uint64 max = 365 days;
        IERC20 any = IERC20(address(token));
        new Market(any, max, max, max, 0);
        bytes memory tooLong = abi.encodeWithSelector(IMarket.WindowTooLong.selector, max + 1, max);
        vm.expectRevert(tooLong);
        new Market(any, max + 1, 0, 0, 0);
        vm.expectRevert(tooLong);
        new Market(any, 0, max + 1, 0, 0);
        vm.expectRevert(tooLong);
        new Market(any, 0, 0, max + 1, 0);
    }

    // ── tokens that are not the plain stablecoin that the market trusts ──

    function test_tokenThatReturnsNothingWorks() public {
        use(address(new SilentToken()));
        fund(stranger, AMOUNT);
        vm.prank(stranger);
        market.withdraw(stranger, AMOUNT);
        vm.assertEq(token.balanceOf(stranger), AMOUNT, "tokens");
    }

    /// A token that does not pay out leaves the account as it was.
    function test_tokenThatSaysNo() public {
        use(address(new RefusingToken()));
        fund(stranger, AMOUNT);
        refuse(stranger, abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        market.withdraw(stranger, AMOUNT);
        vm.assertEq(balance(stranger), AMOUNT, "account");
    }

    function test_feeOnTransferIsRefused() public {
        use(address(new FeeToken()));
        token.mint(address(this), AMOUNT);
        token.approve(address(market), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        market.deposit(stranger, AMOUNT);
    }

    /// A token that calls back cannot have one transfer counted twice.
    function test_depositInsideDepositIsRefused() public {
        CallingToken calling = new CallingToken();
        use(address(calling));
        calling.mint(address(this), 2 * AMOUNT);
        calling.approve(address(market), 2 * AMOUNT);
        calling.mint(address(calling), AMOUNT);
        calling.arm(market, AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        market.deposit(stranger, AMOUNT);
        calling.arm(IMarket(address(0)), 0);
        market.deposit(stranger, AMOUNT);
        vm.assertEq(balance(stranger), AMOUNT, "account");
    }

    /// All money fits 128 bits, so no sum of amounts can overflow.
    function test_moreThan128BitsAreRefused() public {
        use(address(new HugeToken()));
        token.mint(address(this), type(uint256).max);
        token.approve(address(market), type(uint256).max);
        market.deposit(stranger, type(uint128).max);
        vm.expectRevert(abi.encodeWithSelector(IMarket.AmountOverflow.selector));
        market.deposit(requester, 1);
    }

    function use(address token_) private {
        token = TestToken(token_);
        market = deployMarket(token_, CHALLENGE, ANSWER, GRACE, BOND);
    }

    /// The stranger lets the market take `amount`.
    function permit(uint256 amount, uint256 deadline) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typehash, stranger, address(market), amount, 0, deadline));
        return vm.sign(STRANGER_KEY, keccak256(bytes.concat(hex"1901", token.DOMAIN_SEPARATOR(), structHash)));
    }
}
