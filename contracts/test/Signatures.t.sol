// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket, Terms } from "../src/interfaces/IMarket.sol";
import { Ask } from "../src/types/Ask.sol";
import { Deal } from "../src/types/Deal.sol";
import { Voucher } from "../src/types/Voucher.sol";
import { Fixture } from "./base/Fixture.sol";
import { vm } from "./base/Vm.sol";
import {
    BurningWallet,
    EnteringWallet,
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
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER_KEY, digest(h(anAsk())));
        refuseOpen(bytes.concat(r, bytes32(ORDER - uint256(s)), bytes1(v == 27 ? 28 : 27)));
    }

    function test_recoveryIdIs27Or28() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER_KEY, digest(h(anAsk())));
        refuseOpen(bytes.concat(r, s, bytes1(v - 27)));
        refuseOpen(bytes.concat(r, s, bytes1(v + 2)));
    }

    function test_lengthIs65() public {
        bytes memory signature = byProvider(h(anAsk()));
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
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, address(0), digest(h(ask))));
        market.open(ask, new bytes(65), someTerms());
        bytes memory noPoint = bytes.concat(bytes32(ORDER), bytes32(uint256(1)), bytes1(uint8(27)));
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, address(0), digest(h(ask))));
        market.open(ask, noPoint, someTerms());
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
        bytes memory signature = byProvider(h(anAsk()));
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

    /// A plain contract, one that burns all gas, one that answers as much as it can pay for: each is a no, not a trap.
    function test_hostileWallets() public {
        address[3] memory wallets =
            [address(new NoWallet()), address(new BurningWallet()), address(new HugeAnswerWallet())];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 gas = gasleft();
            refuseWallet(wallets[i]);
            vm.assertLe(gas - gasleft(), 1_000_000, "gas");
        }
    }

    /// With no key's signature to look at, nothing lies where the answer is read that could complete a short one.
    function test_shortYesIsNo() public {
        Ask memory ask = anAskOf(address(new ShortAnswerWallet()));
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, ask.provider, digest(h(ask))));
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
        vm.assertEq(version, "1", "version");
        vm.assertEq(chainId, block.chainid, "chain id");
        vm.assertEq(verifyingContract, address(market), "verifying contract");
        vm.assertEq(salt, bytes32(0), "salt");
        vm.assertEq(extensions.length, 0, "extensions");
        bytes32 typehash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 separator =
            keccak256(abi.encode(typehash, keccak256("Rialto"), keccak256("1"), block.chainid, address(market)));
        vm.assertEq(market.domainSeparator(), separator, "separator");
    }

    function test_domainFollowsAFork() public {
        bytes memory signature = byProvider(h(anAsk()));
        bytes32 here = market.domainSeparator();
        vm.chainId(777);
        vm.assertTrue(market.domainSeparator() != here, "separator");
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(anAsk()))));
        market.open(anAsk(), signature, someTerms());
        open();
    }

    function test_signatureForAnotherMarket() public {
        IMarket other = market;
        bytes memory signature = byProvider(h(anAsk()));
        market = deployMarket(address(token), CHALLENGE, ANSWER, GRACE, BOND);
        refuseOpen(signature);
        market = other;
        openFrom(provider, signature);
    }

    function anAskOf(address owner) private view returns (Ask memory ask) {
        ask = anAsk();
        ask.provider = owner;
    }

    function byProviderFor(address wallet) private view returns (bytes memory) {
        return byProvider(h(anAskOf(wallet)));
    }

    function openFrom(address owner, bytes memory signature) private {
        vm.prank(requester);
        market.open(anAskOf(owner), signature, someTerms());
    }

    function refuseWallet(address wallet) private {
        Ask memory ask = anAskOf(wallet);
        bytes memory signature = byProvider(h(ask));
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, wallet, digest(h(ask))));
        market.open(ask, signature, someTerms());
    }

    function refuseOpen(bytes memory signature) private {
        refuse(requester, abi.encodeWithSelector(IMarket.InvalidSignature.selector, provider, digest(h(anAsk()))));
        market.open(anAsk(), signature, someTerms());
    }

    function voucherOf(Deal memory deal) private view returns (Voucher memory voucher) {
        voucher = aVoucher(FEE, 1, true);
        voucher.deal = h(deal);
    }
}
