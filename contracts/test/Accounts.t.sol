// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../src/market/IMarket.sol";
import { TestToken } from "../src/test-token/TestToken.sol";
import { Fixture } from "./base/Fixture.sol";
import {
    CallingToken,
    FeeToken,
    HugeToken,
    RefusingToken,
    SilentToken,
    Spender,
    TellingToken
} from "./base/Tokens.sol";
import { vm } from "./base/Vm.sol";

interface ILimits {
    function MAX_HOLD() external view returns (uint64);
    function MAX_WINDOW() external view returns (uint64);
    function OPENING_TOLERANCE() external view returns (uint64);
    function COMPENSATION_BPS() external view returns (uint32);
    function BOUNTY_BPS() external view returns (uint32);
    function BURNED() external view returns (address);
    function MAX_ORDER_TASKS() external view returns (uint32);
    function MAX_ANNOUNCEMENT_BYTES() external view returns (uint256);
    function MAX_REVEAL_BYTES() external view returns (uint256);
    function SIGNATURE_GAS() external view returns (uint256);
}

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
        refuse(
            requester,
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, requester, WEALTH, WEALTH + 1
            )
        );
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
        (uint128 amount, uint64 counter, uint32 count) = market.account(provider);
        vm.assertEq(counter, 5, "counter");
        vm.assertEq(amount, WEALTH, "balance beside it");
        vm.assertEq(count, 0, "open deals beside it");
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
        address any = address(token);
        this.deploy(any, max, max, max, 0);
        bytes memory tooLong = abi.encodeWithSelector(IMarket.WindowTooLong.selector, max + 1, max);
        vm.expectRevert(tooLong);
        this.deploy(any, max + 1, 1, 1, 0);
        vm.expectRevert(tooLong);
        this.deploy(any, max, max + 1, max, 0);
        vm.expectRevert(tooLong);
        this.deploy(any, 1, 1, max + 1, 0);
    }

    function deploy(address token_, uint64 challenge, uint64 answering, uint64 grace, uint128 bond)
        external
        returns (IMarket)
    {
        return deployMarket(token_, challenge, answering, grace, bond);
    }

    /// An answer is due within every other window, and takes more than no time.
    function test_answerWindowRange() public {
        address any = address(token);
        uint64[3][3] memory wrong = [[uint64(10), 0, 10], [uint64(9), 10, 10], [uint64(10), 10, 9]];
        for (uint256 i = 0; i < 3; ++i) {
            (uint64 challenge, uint64 answering, uint64 grace) =
                (wrong[i][0], wrong[i][1], wrong[i][2]);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IMarket.AnswerWindowOutOfRange.selector, answering, challenge, grace
                )
            );
            this.deploy(any, challenge, answering, grace, 0);
        }
        this.deploy(any, 10, 10, 10, 0);
        this.deploy(any, 1, 1, 1, 0);
    }

    function test_tokenIsAContract() public {
        vm.expectRevert(abi.encodeWithSelector(IMarket.NoToken.selector, stranger));
        this.deploy(stranger, 1, 1, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.NoToken.selector, address(0)));
        this.deploy(address(0), 1, 1, 1, 0);
    }

    // ── allow, take, give ──

    function test_giveMovesBetweenAccounts() public {
        vm.expectEmit(address(market));
        emit IMarket.Transferred(requester, stranger, AMOUNT);
        vm.prank(requester);
        market.give(stranger, AMOUNT);
        checkBalances(WEALTH - AMOUNT, WEALTH, 0);
        vm.assertEq(balance(stranger), AMOUNT, "account");
        vm.assertEq(token.balanceOf(address(market)), 2 * WEALTH, "no token moved");
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, stranger, AMOUNT, AMOUNT + 1
            )
        );
        market.give(requester, AMOUNT + 1);
        // To itself: nothing is made of it.
        vm.prank(stranger);
        market.give(stranger, AMOUNT);
        vm.assertEq(balance(stranger), AMOUNT, "account");
    }

    function test_takeWhatWasAllowed() public {
        vm.expectEmit(address(market));
        emit IMarket.Allowed(requester, stranger, AMOUNT);
        vm.prank(requester);
        market.allow(stranger, AMOUNT);
        vm.assertEq(market.allowance(requester, stranger), AMOUNT, "allowed");
        vm.expectEmit(address(market));
        emit IMarket.Transferred(requester, stranger, 30e6);
        vm.prank(stranger);
        market.take(requester, 30e6);
        vm.assertEq(market.allowance(requester, stranger), AMOUNT - 30e6, "left");
        vm.assertEq(balance(stranger), 30e6, "account");
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.AllowanceTooLow.selector,
                requester,
                stranger,
                AMOUNT - 30e6,
                AMOUNT - 30e6 + 1
            )
        );
        market.take(requester, AMOUNT - 30e6 + 1);
        vm.prank(stranger);
        market.take(requester, AMOUNT - 30e6);
        checkBalances(WEALTH - AMOUNT, WEALTH, 0);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, requester, stranger, 0, 1)
        );
        market.take(requester, 1);
    }

    /// What is allowed replaces what was; the highest amount stays, one less does not.
    function test_allowanceForEver() public {
        vm.prank(requester);
        market.allow(stranger, AMOUNT);
        vm.prank(requester);
        market.allow(stranger, type(uint128).max);
        vm.prank(stranger);
        market.take(requester, AMOUNT);
        vm.assertEq(market.allowance(requester, stranger), type(uint128).max, "as it was");
        vm.prank(requester);
        market.allow(stranger, type(uint128).max - 1);
        vm.prank(stranger);
        market.take(requester, AMOUNT);
        vm.assertEq(market.allowance(requester, stranger), type(uint128).max - 1 - AMOUNT, "less");
        vm.prank(requester);
        market.allow(stranger, 0);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, requester, stranger, 0, 1)
        );
        market.take(requester, 1);
    }

    /// An allowance is one spender's, of one owner's account, and makes no money.
    function test_takeIsTheSpenders() public {
        vm.prank(requester);
        market.allow(stranger, type(uint128).max);
        refuse(
            provider,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, requester, provider, 0, 1)
        );
        market.take(requester, 1);
        refuse(
            stranger,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, provider, stranger, 0, 1)
        );
        market.take(provider, 1);
        // The other way round.
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.AllowanceTooLow.selector, stranger, requester, 0, 1)
        );
        market.take(stranger, 1);
        refuse(
            stranger,
            abi.encodeWithSelector(
                IMarket.InsufficientBalance.selector, requester, WEALTH, WEALTH + 1
            )
        );
        market.take(requester, WEALTH + 1);
        // Nothing needs no allowance, and moves nothing.
        vm.prank(provider);
        market.take(requester, 0);
        checkBalances(WEALTH, WEALTH, 0);
    }

    /// Money cannot be spent twice within one transaction.
    function test_multicallSpendsOnce() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IMarket.give, (stranger, WEALTH));
        calls[1] = abi.encodeCall(IMarket.withdraw, (requester, 1));
        refuse(
            requester, abi.encodeWithSelector(IMarket.InsufficientBalance.selector, requester, 0, 1)
        );
        market.multicall(calls);
        // Nested, it is still the caller who calls.
        bytes[] memory outer = new bytes[](1);
        calls[1] = abi.encodeCall(IMarket.give, (stranger, 0));
        outer[0] = abi.encodeCall(IMarket.multicall, (calls));
        vm.prank(requester);
        market.multicall(outer);
        vm.assertEq(balance(stranger), WEALTH, "account");
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

    /// A deposit that is withdrawn while it is being paid is no deposit; one that is given away
    /// meanwhile is paid all the same.
    function test_spendingInsideADeposit() public {
        use(address(new TellingToken()));
        fund(requester, WEALTH);
        Spender spender = new Spender(market);
        TellingToken(address(token)).tell(address(spender));
        token.mint(address(spender), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IMarket.TransferFailed.selector, AMOUNT));
        spender.run(AMOUNT, abi.encodeCall(IMarket.withdraw, (address(spender), AMOUNT)));
        spender.run(AMOUNT, abi.encodeCall(IMarket.give, (stranger, AMOUNT)));
        vm.assertEq(balance(stranger), AMOUNT, "account");
        vm.assertEq(token.balanceOf(address(market)), WEALTH + AMOUNT, "paid");
        // What is not there can't be spent, not even for a moment.
        token.mint(address(spender), AMOUNT - 1);
        try spender.run(AMOUNT, abi.encodeCall(IMarket.give, (stranger, AMOUNT))) {
            revert("deposited");
        } catch { }
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
    function permit(uint256 amount, uint256 deadline)
        private
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 typehash = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 structHash =
            keccak256(abi.encode(typehash, stranger, address(market), amount, 0, deadline));
        return vm.sign(
            STRANGER_KEY, keccak256(bytes.concat(hex"1901", token.DOMAIN_SEPARATOR(), structHash))
        );
    }

    /// The limits are those that `IMarket` states.
    function test_limits() public view {
        ILimits limits = ILimits(address(market));
        vm.assertEq(limits.MAX_HOLD(), 30 days, "hold");
        vm.assertEq(limits.MAX_WINDOW(), 365 days, "window");
        vm.assertEq(limits.OPENING_TOLERANCE(), 600, "tolerance");
        vm.assertEq(limits.COMPENSATION_BPS(), 7000, "70 %");
        vm.assertEq(limits.BOUNTY_BPS(), 2000, "20 %");
        vm.assertEq(limits.BURNED(), DEAD, "burned money");
        vm.assertEq(limits.MAX_ORDER_TASKS(), 65_536, "tasks");
        vm.assertEq(limits.MAX_ANNOUNCEMENT_BYTES(), 1024, "announcement");
        vm.assertEq(limits.MAX_REVEAL_BYTES(), 8192, "output");
        vm.assertEq(limits.SIGNATURE_GAS(), 200_000, "gas of a wallet");
    }
}
