// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { CaseKind, CaseStatus, IMarket, Terms } from "../src/market/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Cancel } from "../src/types/Cancel.sol";
import { Deal } from "../src/types/Deal.sol";
import { Order } from "../src/types/Order.sol";
import { Release } from "../src/types/Release.sol";
import { Voucher } from "../src/types/Voucher.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";
import {
    BurningWallet,
    CutAnswerWallet,
    EnteringWallet,
    FlipWallet,
    HugeAnswerWallet,
    KeyWallet,
    NoWallet,
    ShortAnswerWallet
} from "./base/Wallets.sol";

interface IEIP5267 {
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}

/// Who may sign how: keys, contract wallets, malleability, gas cap, reentrancy, the domain.
contract SignaturesTest is Fixture {
    uint256 constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    // ── keys ──

    /// The other signature that the curve allows for the same message is not accepted.
    function test_highS() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER, digest(h(anAsk())));
        refuseOpen(bytes.concat(r, bytes32(ORDER - uint256(s)), bytes1(v == 27 ? 28 : 27)));
    }

    function test_recoveryIdIs27Or28() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER, digest(h(anAsk())));
        refuseOpen(bytes.concat(r, s, bytes1(v - 27)));
        refuseOpen(bytes.concat(r, s, bytes1(v + 2)));
    }

    function test_lengthIs65() public {
        bytes memory signature = bySeller(anAsk());
        refuseOpen(bytes.concat(signature, hex"00"));
        assembly ("memory-safe") {
            mstore(signature, 64)
        }
        refuseOpen(signature);
        refuseOpen("");
    }

    /// A signature from which nobody can be recovered does not make the zero address a signer.
    function test_zeroAddressSignsNothing() public {
        Ask memory ask = anAsk();
        ask.provider = address(0);
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, address(0), digest(h(ask)))
        );
        market.open(ask, new bytes(65), someTerms());
        bytes memory noPoint = bytes.concat(bytes32(ORDER), bytes32(uint256(1)), bytes1(uint8(27)));
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, address(0), digest(h(ask)))
        );
        market.open(ask, noPoint, someTerms());
    }

    /// A malformed signature names nobody, whatever key the deal has.
    function test_malformedSignatureNamesNobody() public {
        Terms memory terms = someTerms();
        terms.key = address(1);
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, terms);
        Deal memory deal = aDeal();
        deal.requesterKey = address(1);
        Voucher memory voucher = voucherOf(deal);
        bytes32 one = bytes32(uint256(1));
        bytes[4] memory malformed = [
            bytes(""),
            bytes.concat(bytes32(ORDER), one, bytes1(uint8(27))),
            bytes.concat(one, bytes32(type(uint256).max), bytes1(uint8(27))),
            bytes.concat(one, one, bytes1(uint8(29)))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            refuse(
                provider,
                abi.encodeWithSelector(
                    IMarket.InvalidSignature.selector, address(1), digest(h(voucher))
                )
            );
            market.redeem(deal, voucher, malformed[i]);
        }
    }

    // ── contract wallets ──

    function test_walletAsProvider() public {
        KeyWallet wallet = new KeyWallet(provider);
        fund(address(wallet), WEALTH);
        openFrom(address(wallet), byProviderFor(address(wallet)));
        vm.assertEq(balance(address(wallet)), WEALTH - COLLATERAL, "collateral of the wallet");
    }

    function test_walletAsRequester() public {
        KeyWallet wallet = new KeyWallet(requester);
        fund(address(wallet), WEALTH);
        bytes memory signature = bySeller(anAsk());
        vm.prank(address(wallet));
        market.open(anAsk(), signature, someTerms());
        Deal memory deal = aDeal();
        deal.requester = address(wallet);
        redeem(deal, voucherOf(deal));
        vm.assertEq(balance(address(wallet)), WEALTH - FEE, "rest of the budget");
    }

    function test_walletThatSaysNo() public {
        KeyWallet wallet = new KeyWallet(stranger);
        refuseWallet(address(wallet));
    }

    /// A plain contract, one that burns all gas, one that answers as much as it can pay for: each
    /// is a no, not a trap.
    function test_hostileWallets() public {
        address[3] memory wallets = [
            address(new NoWallet()), address(new BurningWallet()), address(new HugeAnswerWallet())
        ];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 gas = gasleft();
            refuseWallet(wallets[i]);
            vm.assertLe(gas - gasleft(), 1_000_000, "gas");
        }
    }

    /// With no key's signature to look at, nothing lies where the answer is read that could
    /// complete a short one.
    function test_shortYesIsNo() public {
        refuseYesOf(address(new ShortAnswerWallet()));
        refuseYesOf(address(new CutAnswerWallet()));
    }

    function refuseYesOf(address wallet) private {
        Ask memory ask = anAskOf(wallet);
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, ask.provider, digest(h(ask)))
        );
        market.open(ask, "", someTerms());
    }

    /// A wallet that answers with more than a word still answers.
    function test_longYesIsYes() public {
        KeyWallet wallet = new KeyWallet(provider);
        wallet.pad(1000);
        fund(address(wallet), WEALTH);
        openFrom(address(wallet), byProviderFor(address(wallet)));
    }

    /// Signatures are checked by static calls, so a wallet can't enter the market from inside one.
    function test_walletThatReenters() public {
        EnteringWallet wallet = new EnteringWallet(market);
        fund(address(wallet), WEALTH);
        refuseWallet(address(wallet));
        vm.assertEq(balance(address(wallet)), WEALTH, "nothing left");
    }

    // ── the domain ──

    function test_domainSaysWhatItIs() public view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        ) = IEIP5267(address(market)).eip712Domain();
        vm.assertEq(uint8(fields), 0x0f, "fields");
        vm.assertEq(name, "Rialto", "name");
        vm.assertEq(version, "2", "version");
        vm.assertEq(chainId, block.chainid, "chain id");
        vm.assertEq(verifyingContract, address(market), "verifying contract");
        vm.assertEq(salt, bytes32(0), "salt");
        vm.assertEq(extensions.length, 0, "extensions");
        bytes32 typehash = keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        );
        bytes32 separator = keccak256(
            abi.encode(
                typehash, keccak256("Rialto"), keccak256("2"), block.chainid, address(market)
            )
        );
        vm.assertEq(market.domainSeparator(), separator, "separator");
    }

    function test_domainFollowsAFork() public {
        bytes memory signature = bySeller(anAsk());
        bytes32 here = market.domainSeparator();
        vm.chainId(777);
        vm.assertTrue(market.domainSeparator() != here, "separator");
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(anAsk())))
        );
        market.open(anAsk(), signature, someTerms());
        open();
    }

    function test_signatureForAnotherMarket() public {
        IMarket other = market;
        bytes memory signature = bySeller(anAsk());
        market = deployMarket(address(token), CHALLENGE, ANSWER, GRACE, BOND);
        refuseOpen(signature);
        market = other;
        openFrom(provider, signature);
    }

    // ── keys pinned when a deal opens ──

    /// Both accounts are contracts that sign, and then say no to everything. What was promised in
    /// the deal is not theirs to take back: each side gets all that the other's key has signed.
    function test_walletsThatTakeBackTheirWord() public {
        FlipWallet seller = new FlipWallet(provider);
        FlipWallet buyer = new FlipWallet(requester);
        fund(address(seller), WEALTH);
        fund(address(buyer), WEALTH);
        Ask memory ask = anAskOf(address(seller));
        bytes memory signature = bySeller(ask);
        vm.prank(address(buyer));
        market.open(ask, signature, someTerms());
        Deal memory deal = aDeal();
        (deal.ask, deal.requester, deal.provider) = (h(ask), address(buyer), address(seller));
        Order[4] memory orders;
        for (uint64 i = 0; i < 4; ++i) {
            orders[i] = anOrder(i);
            orders[i].deal = h(deal);
        }
        seller.flip();
        buyer.flip();

        // The ask is its account's word: it takes it back.
        Terms memory terms = someTerms();
        terms.salt = 2;
        refuse(
            address(buyer),
            abi.encodeWithSelector(
                IMarket.InvalidSignature.selector, address(seller), digest(h(ask))
            )
        );
        market.open(ask, signature, terms);

        // An order and its claim, an ack, a cancellation, receipts, vouchers, a release.
        bytes memory word = byRequester(h(orders[0]));
        vm.prank(address(seller));
        market.claim(deal, orders[0], word, aReceipt(orders[0]));
        vm.warp(START + 600);
        for (uint256 i = 1; i < 3; ++i) {
            word = byProvider(h(anAck(orders[i])));
            vm.prank(address(buyer));
            market.late(deal, orders[i], anAck(orders[i]), word);
        }
        market.answer(deal, orders[1], aReceipt(orders[1]), byProvider(h(aReceipt(orders[1]))));
        market.excuse(deal, Cancel(h(orders[2])), byRequester(h(Cancel(h(orders[2])))));
        word = byProvider(h(aReceipt(orders[3])));
        vm.prank(address(buyer));
        market.demand(deal, orders[3], aReceipt(orders[3]), word, 0);
        Voucher memory voucher = Voucher(h(deal), 100e6, 1, false);
        word = byRequester(h(voucher));
        vm.prank(address(seller));
        market.redeem(deal, voucher, word);
        vm.assertEq(
            balance(address(seller)), WEALTH - COLLATERAL + 100e6 + 2 * BOND, "paid by the voucher"
        );
        Release memory release = Release(h(deal), 200e6);
        word = byProvider(h(release));
        vm.prank(address(buyer));
        market.close(deal, release, word);
        vm.assertEq(balance(address(seller)), WEALTH + 200e6 + 2 * BOND, "paid by the release");
    }

    /// In a deal the account's own signature is nobody's, whether it is a key or a contract that
    /// says yes to it.
    function test_accountsSignNothingInADeal() public {
        KeyWallet wallet = new KeyWallet(requester);
        fund(address(wallet), WEALTH);
        bytes memory signature = bySeller(anAsk());
        vm.prank(address(wallet));
        market.open(anAsk(), signature, someTerms());
        Deal memory deal = aDeal();
        deal.requester = address(wallet);
        Order memory order = anOrder(0);
        order.deal = h(deal);
        vm.warp(START + 600);

        bytes memory word = sign(REQUESTER, h(voucherOf(deal)));
        refuseKey(provider, requesterKey, h(voucherOf(deal)));
        market.redeem(deal, voucherOf(deal), word);
        word = sign(REQUESTER, h(order));
        refuseKey(provider, requesterKey, h(order));
        market.claim(deal, order, word, aReceipt(order));
        word = sign(PROVIDER, h(anAck(order)));
        refuseKey(address(wallet), providerKey, h(anAck(order)));
        market.late(deal, order, anAck(order), word);
        word = sign(PROVIDER, h(aReceipt(order)));
        refuseKey(address(wallet), providerKey, h(aReceipt(order)));
        market.demand(deal, order, aReceipt(order), word, 0);
        Release memory release = Release(h(deal), 0);
        word = sign(PROVIDER, h(release));
        refuseKey(address(wallet), providerKey, h(release));
        market.close(deal, release, word);
    }

    /// A key that is a contract's address signs nothing: no contract is asked in a deal.
    function test_aKeyIsNoContract() public {
        KeyWallet wallet = new KeyWallet(requester);
        Terms memory terms = someTerms();
        terms.key = address(wallet);
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, terms);
        Deal memory deal = aDeal();
        deal.requesterKey = address(wallet);
        bytes memory word = sign(REQUESTER, h(voucherOf(deal)));
        refuseKey(provider, address(wallet), h(voucherOf(deal)));
        market.redeem(deal, voucherOf(deal), word);
    }

    /// The accounts' own keys, as services use them by default, and one key for everything.
    function test_keysMayBeTheAccounts() public {
        Ask memory ask = anAsk();
        ask.key = requester;
        Terms memory terms = someTerms();
        terms.key = requester;
        bytes memory signature = bySeller(ask);
        vm.prank(requester);
        market.open(ask, signature, terms);
        Deal memory deal = aDeal();
        (deal.ask, deal.requesterKey, deal.providerKey) = (h(ask), requester, requester);
        bytes memory word = sign(REQUESTER, h(voucherOf(deal)));
        vm.prank(provider);
        market.redeem(deal, voucherOf(deal), word);
        checkBalances(WEALTH - FEE, WEALTH + FEE, 0);
    }

    /// The vouchers of one deal are worth nothing in another of the same keys.
    function test_wordsAreOfOneDeal() public {
        open();
        Terms memory terms = someTerms();
        terms.salt = 2;
        bytes memory signature = bySeller(anAsk());
        vm.prank(requester);
        market.open(anAsk(), signature, terms);
        Deal memory other = aDeal();
        other.salt = 2;
        Order memory order = anOrder(0);
        bytes memory word = byRequester(h(order));
        refuse(provider, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(other), h(aDeal())));
        market.claim(other, order, word, aReceipt(order));
        word = byRequester(h(aVoucher(FEE, 1, true)));
        refuse(provider, abi.encodeWithSelector(IMarket.WrongDeal.selector, h(other), h(aDeal())));
        market.redeem(other, aVoucher(FEE, 1, true), word);
        // Late in both: cancelled in one.
        vm.warp(START + 600);
        Order memory twin = anOrder(0);
        twin.deal = h(other);
        late(aDeal(), order, anAck(order));
        late(other, twin, anAck(twin));
        word = byRequester(h(Cancel(h(order))));
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarket.CaseNotOpen.selector, CaseKind.Late, h(order), 0, CaseStatus.None
            )
        );
        market.excuse(other, Cancel(h(order)), word);
        market.excuse(aDeal(), Cancel(h(order)), word);
    }

    function refuseKey(address sender, address key, bytes32 structHash) private {
        refuse(
            sender,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, key, digest(structHash))
        );
    }

    function anAskOf(address owner) private view returns (Ask memory ask) {
        ask = anAsk();
        ask.provider = owner;
    }

    function byProviderFor(address wallet) private view returns (bytes memory) {
        return bySeller(anAskOf(wallet));
    }

    function openFrom(address owner, bytes memory signature) private {
        vm.prank(requester);
        market.open(anAskOf(owner), signature, someTerms());
    }

    function refuseWallet(address wallet) private {
        Ask memory ask = anAskOf(wallet);
        bytes memory signature = bySeller(ask);
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, wallet, digest(h(ask)))
        );
        market.open(ask, signature, someTerms());
    }

    function refuseOpen(bytes memory signature) private {
        refuse(
            requester,
            abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(anAsk())))
        );
        market.open(anAsk(), signature, someTerms());
    }

    function voucherOf(Deal memory deal) private view returns (Voucher memory voucher) {
        voucher = aVoucher(FEE, 1, true);
        voucher.deal = h(deal);
    }
}
