// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Challenge, ICourt } from "../../src/court/ICourt.sol";
import { IMarket } from "../../src/market/IMarket.sol";
import { vm } from "../base/Vm.sol";
import { CourtFixture } from "./CourtFixture.sol";
import { Lie, Trace, Traces } from "./Toy.sol";

/// Accounts that may move for others for a time: watchtowers.
contract DelegatesTest is CourtFixture {
    using Traces for Trace;

    address constant TOWER = address(0x70);

    function setUp() public override {
        super.setUp();
        open();
    }

    function test_delegateSaysSo() public {
        vm.expectEmit(address(theCourt));
        emit ICourt.Delegated(provider, TOWER, START + 5);
        vm.prank(provider);
        theCourt.delegate(TOWER, START + 5);
        vm.assertEq(theCourt.delegateUntil(provider, TOWER), START + 5, "until");
        vm.assertEq(theCourt.delegateUntil(TOWER, provider), 0, "not the other way round");
        vm.prank(provider);
        theCourt.delegate(TOWER, 0);
        vm.assertEq(theCourt.delegateUntil(provider, TOWER), 0, "taken back");
    }

    /// The provider's delegate moves without any signature, before its time is over and not from
    /// then on.
    function test_providersDelegate() public {
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        begin(it, requester);
        vm.prank(provider);
        theCourt.delegate(TOWER, START + 100);
        refuseMove(it, TOWER, START + 100, providerKey);
        refuseMove(it, stranger, START + 99, providerKey);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.providers);
        vm.warp(START + 99);
        vm.prank(TOWER);
        theCourt.move(it.game, pick, it.segment, states, "");
        setSegment(it, it.segment[pick], states);
        // It does not move for the other side.
        refuseMove(it, TOWER, START + 99, requester);
    }

    /// The accuser's delegate picks, challenges and moves.
    function test_accusersDelegate() public {
        Match memory it = prepare(judged(0, 17), 3, Lie.State, 5, Lie.Honest, 0);
        accuse(it, requester);
        vm.prank(requester);
        theCourt.delegate(TOWER, START + 100);
        unfoldOn(it);
        uint32 index = differenceOf(it);
        vm.warp(START + 100);
        refuse(TOWER, abi.encodeWithSelector(IMarket.Unauthorized.selector, TOWER, requester));
        theCourt.pick(it.game, it.nodes, index);
        vm.warp(START + 99);
        vm.prank(TOWER);
        theCourt.pick(it.game, it.nodes, index);
        unfoldOn(it);
        index = differenceOf(it);
        Challenge memory challenge = challengeOf(it);
        vm.warp(START + 100);
        refuse(TOWER, abi.encodeWithSelector(IMarket.Unauthorized.selector, TOWER, requester));
        theCourt.challenge(it.game, it.order, it.nodes, index, challenge);
        vm.warp(START + 99);
        vm.prank(TOWER);
        theCourt.challenge(it.game, it.order, it.nodes, index, challenge);
        setSegment(it, it.accusers.hashAt(0), challenge.states);
        refuseMove(it, TOWER, START + 99, providerKey);
        moveOn(it);
        (uint32 pick, bytes32[16] memory states) = answerOf(it, it.accusers);
        vm.prank(TOWER);
        theCourt.move(it.game, pick, it.segment, states, "");
    }

    /// A delegate of the requester is nobody in a stranger's game, and what it accuses is its own.
    function test_delegateOfSomebodyElse() public {
        vm.prank(requester);
        theCourt.delegate(TOWER, type(uint64).max);
        Match memory it = prepare(0, Lie.State, 5, Lie.Honest, 0);
        accuse(it, stranger);
        unfoldOn(it);
        Challenge memory challenge = challengeOf(it);
        refuse(TOWER, abi.encodeWithSelector(IMarket.Unauthorized.selector, TOWER, stranger));
        theCourt.challenge(it.game, it.order, it.nodes, 0, challenge);
        bytes memory signature = byProvider(h(it.receipt));
        refuse(
            TOWER,
            abi.encodeWithSelector(
                IMarket.AllowanceTooLow.selector, TOWER, address(theCourt), 0, GAME_BOND
            )
        );
        theCourt.accuse(it.deal, it.order, it.receipt, signature);
    }

    function refuseMove(Match memory it, address sender, uint64 time, address key) private {
        (uint32 pick, bytes32[16] memory states) = answerOf(it, turnsTrace(it));
        bytes32 signed = h(moveOf(it, pick, states));
        signed = keccak256(bytes.concat(hex"1901", theCourt.domainSeparator(), signed));
        vm.warp(time);
        refuse(sender, abi.encodeWithSelector(IMarket.InvalidSignature.selector, key, signed));
        theCourt.move(it.game, pick, it.segment, states, "");
    }
}
