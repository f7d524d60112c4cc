//! The client of one market on one chain.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
use rialto_protocol::{DealId, OrderId, ReceiptId, case::CaseId, signing, types};

use crate::bindings::{CaseStatus, DealStatus, IMarket, IToken, IWallet};
use crate::call::MarketCall;
use crate::court::Court;
use crate::error::{ChainError, SendError};
use crate::eth::CallRequest;
use crate::follow::{Courts, EventStream, Follower};
use crate::known::{CourtCode, KnownCourts};
use crate::link::Link;
use crate::rpc::Rpc;
use crate::sender::Sender;

/// Longest ERC-1271 signature that is checked, bytes. A contract wallet concatenates its owners'
/// signatures, and 4 KiB are enough for sixty.
const MAX_SIGNATURE_BYTES: usize = 4096;
/// Gas that the market gives a contract wallet to check a signature (`SIGNATURE_GAS`). If a wallet
/// needs more, the signature is invalid.
const SIGNATURE_GAS: u64 = 200_000;

/// Configuration of a market's client.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// RPC endpoint of the chain.
    pub rpc: Rpc,
    /// Address of the market.
    pub market: Address,
    /// Chain id that the endpoint must serve, or `None` for any.
    pub chain_id: Option<u64>,
    /// Number of blocks, from a transaction's own block to the newest one and both counted, that
    /// make the transaction final; at least 1. The default of 1 is right for a chain that mines on
    /// demand and never reorganises. Choose more on a public chain.
    pub confirmations: u64,
    /// Interval between two polls. `None` means 25 ms in process, 200 ms on loopback and 2 s
    /// otherwise.
    pub poll: Option<Duration>,
    /// Highest fee per gas, wei.
    pub max_fee_per_gas_wei: u128,
    /// Time after which an unmined transaction is replaced by one with a higher fee.
    pub bump_after: Duration,
    /// Courts that deals may name.
    pub courts: KnownCourts,
}

impl ChainConfig {
    /// Returns the default configuration for a market at an endpoint.
    pub fn new(rpc: Rpc, market: Address) -> ChainConfig {
        ChainConfig {
            rpc,
            market,
            chain_id: None,
            confirmations: 1,
            poll: None,
            max_fee_per_gas_wei: 500_000_000_000,
            bump_after: Duration::from_secs(30),
            courts: KnownCourts::default(),
        }
    }
}

/// Time windows and bond of a market. They never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Seconds from a claim to its deadline.
    pub challenge: u64,
    /// Seconds from a late notice or demand to its deadline.
    pub answer: u64,
    /// Seconds after a deal's expiry in which the provider can still claim.
    pub grace: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
}

/// State of a deal: everything that changes while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealState {
    /// Whether the deal is unknown, open or closed.
    pub status: DealStatus,
    /// Sum paid to the provider so far, base units.
    pub paid: u128,
    /// Watermark: orders with a lower number are settled.
    pub orders: u64,
    /// Number of open claims.
    pub claims: u16,
    /// Number of open late notices.
    pub lates: u16,
    /// Number of open demands and holds.
    pub challenges: u32,
}

/// State of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseState {
    /// Whether the case is unknown, open or ended.
    pub status: CaseStatus,
    /// Time from which anyone can settle it, Unix seconds.
    pub deadline: u64,
    /// Number of the order in its deal; 0 for a hold.
    pub seq: u64,
    /// Base units: the claimed fee of a claim, or the bond of a late notice or demand.
    pub amount: u128,
}

/// One block, as the newest of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the block.
    pub number: u64,
    /// Hash of the block.
    pub hash: B256,
    /// Time of the block, Unix seconds.
    pub time: u64,
}

/// Client of one market. Clones share one endpoint.
#[derive(Clone)]
pub struct Chain {
    link: Arc<Link>,
    market: Address,
    token: Address,
    windows: Windows,
    domain: Eip712Domain,
}

impl Chain {
    /// Connects to the endpoint and checks that there is a contract at the market's address.
    ///
    /// # Errors
    /// [`ChainError::NoMarket`] if there is no contract, [`ChainError::WrongChain`] if the endpoint
    /// serves another chain, or the failure of the endpoint.
    pub async fn connect(cfg: ChainConfig) -> Result<Chain, ChainError> {
        let market = cfg.market;
        let link = Arc::new(Link::connect(&cfg).await?);
        if link.endpoint.code(market).await?.is_empty() {
            return Err(ChainError::NoMarket { market, chain_id: link.chain_id });
        }
        let (token, challenge, answer, grace, case_bond) = futures::try_join!(
            read(&link, market, IMarket::tokenCall {}),
            read(&link, market, IMarket::challengeWindowCall {}),
            read(&link, market, IMarket::answerWindowCall {}),
            read(&link, market, IMarket::graceCall {}),
            read(&link, market, IMarket::caseBondCall {}),
        )?;
        let domain = types::domain(link.chain_id, market);
        let windows = Windows { challenge, answer, grace, case_bond };
        Ok(Chain { link, market, token, windows, domain })
    }

    /// Returns the EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.link.chain_id
    }

    /// Returns the market's address.
    pub fn market(&self) -> Address {
        self.market
    }

    /// Returns the EIP-712 domain of the market.
    pub fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    /// Returns the address of the market's token.
    pub fn token(&self) -> Address {
        self.token
    }

    /// Returns the market's windows.
    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// Returns the number of blocks that make a transaction final; see
    /// [`ChainConfig::confirmations`].
    pub fn confirmations(&self) -> u64 {
        self.link.confirmations
    }

    /// Returns the time of the newest block, Unix seconds.
    pub async fn now(&self) -> Result<u64, ChainError> {
        Ok(self.head().await?.time)
    }

    /// Returns the newest block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let header = self.link.endpoint.latest().await?;
        Ok(Head { number: header.number(), hash: header.hash, time: header.timestamp() })
    }

    /// Returns the hash of the block with this number, or `None` if there is none.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        Ok(self.link.endpoint.header(number).await?.map(|header| header.hash))
    }

    /// Returns the time of the block with this number in Unix seconds, or `None` if there is none.
    pub async fn block_time(&self, number: u64) -> Result<Option<u64>, ChainError> {
        Ok(self.link.endpoint.header(number).await?.map(|header| header.timestamp()))
    }

    /// Returns whether the market's code is the one that this crate was built with, and whether it
    /// uses the expected EIP-712 domain.
    pub async fn is_known_code(&self) -> Result<bool, ChainError> {
        let code = self.link.endpoint.code(self.market).await?;
        let domain = self.read(IMarket::domainSeparatorCall {}).await?;
        Ok(crate::deploy::is_market(&code)? && domain == self.domain.separator())
    }

    /// Returns the balance of a market account, base units.
    pub async fn account(&self, owner: Address) -> Result<u128, ChainError> {
        Ok(self.read(IMarket::accountCall { owner }).await?.balance)
    }

    /// Returns a provider's ask counter. Asks with another counter are revoked.
    pub async fn ask_counter(&self, provider: Address) -> Result<u64, ChainError> {
        Ok(self.read(IMarket::accountCall { owner: provider }).await?.counter)
    }

    /// Returns the number of a provider's open deals, under all of its asks.
    pub async fn deals_open(&self, provider: Address) -> Result<u32, ChainError> {
        Ok(self.read(IMarket::accountCall { owner: provider }).await?.dealsOpen)
    }

    /// Returns the sum that `spender` may still take from the market account of `owner`, base
    /// units.
    pub async fn allowance(&self, owner: Address, spender: Address) -> Result<u128, ChainError> {
        self.read(IMarket::allowanceCall { owner, spender }).await
    }

    /// Returns the state of a deal.
    pub async fn deal_state(&self, deal: DealId) -> Result<DealState, ChainError> {
        let state = self.read(IMarket::dealStateCall { deal: deal.into() }).await?;
        let (claims, lates, challenges) = (state.claims, state.lates, state.challenges);
        Ok(DealState {
            status: state.status,
            paid: state.paid,
            orders: state.orders.to(),
            claims,
            lates,
            challenges,
        })
    }

    /// State of a case.
    pub async fn case(&self, deal: DealId, case: CaseId) -> Result<CaseState, ChainError> {
        let (kind, subject, task) = (case.kind().into(), case.subject(), case.task());
        let case =
            self.read(IMarket::caseStateCall { deal: deal.into(), kind, subject, task }).await?;
        Ok(CaseState {
            status: case.status,
            deadline: case.deadline.to(),
            seq: case.seq,
            amount: case.amount,
        })
    }

    /// Returns the id of the receipt that the provider asserted on chain for an order, if it did.
    pub async fn asserted_receipt(&self, order: OrderId) -> Result<Option<ReceiptId>, ChainError> {
        let hash = self.read(IMarket::assertedReceiptCall { order: order.into() }).await?;
        Ok((!hash.is_zero()).then(|| hash.into()))
    }

    /// Returns the tokens that `owner` has outside of the market, base units.
    pub async fn token_balance(&self, owner: Address) -> Result<U256, ChainError> {
        read(&self.link, self.token, IToken::balanceOfCall { owner }).await
    }

    /// Returns the sum of tokens that the market may take from `owner`, base units.
    pub async fn token_allowance(&self, owner: Address) -> Result<U256, ChainError> {
        read(&self.link, self.token, IToken::allowanceCall { owner, spender: self.market }).await
    }

    /// Returns the native balance, which pays for gas, in wei.
    pub async fn native_balance(&self, owner: Address) -> Result<U256, ChainError> {
        self.link.endpoint.balance(owner).await
    }

    /// Sets an account's gas money, in wei. Works on test chains only: the embedded chain, anvil.
    ///
    /// # Errors
    /// [`ChainError::Refused`] from a node that does not know `anvil_setBalance`.
    pub async fn set_native_balance(&self, owner: Address, wei: u128) -> Result<(), ChainError> {
        self.link.endpoint.set_balance(owner, U256::from(wei)).await
    }

    /// Returns the gas that a mined transaction used, or `None` if the endpoint does not know the
    /// transaction (yet).
    pub async fn gas_used(&self, tx: B256) -> Result<Option<u64>, ChainError> {
        Ok(self.link.endpoint.receipt(tx).await?.map(|receipt| receipt.gas_used()))
    }

    /// Returns the current price of gas, wei.
    pub async fn gas_price(&self) -> Result<u128, ChainError> {
        self.link.endpoint.gas_price().await
    }

    /// Returns whether `signer` signed `digest`: with its key or, if it is a contract, according to
    /// that contract (ERC-1271). Only asks are signed by accounts. Everything in a deal is signed
    /// by the deal's keys and checked without the chain.
    pub async fn is_valid_signature(
        &self,
        signer: Address,
        digest: B256,
        signature: &[u8],
    ) -> Result<bool, ChainError> {
        if signing::recover(digest, signature) == Some(signer) {
            return Ok(true);
        }
        if signature.len() > MAX_SIGNATURE_BYTES
            || self.link.endpoint.code(signer).await?.is_empty()
        {
            return Ok(false);
        }
        let call = IWallet::isValidSignatureCall {
            hash: digest,
            signature: Bytes::copy_from_slice(signature),
        };
        let mut request = CallRequest::read(signer, call.abi_encode());
        request.gas = Some(request.intrinsic_gas() + SIGNATURE_GAS);
        match self.link.endpoint.eth_call(&request, None).await {
            Ok(answer) => Ok(answer.len() >= 32
                && answer[..4] == IWallet::isValidSignatureCall::SELECTOR
                && answer[4..32] == [0; 28]),
            Err(ChainError::Refused { fault, .. }) if fault.revert_data().is_some() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Returns a deposit of the signer's tokens into its own market account by permit, which needs
    /// one transaction and no approval. The permit ends at `deadline`, in Unix seconds.
    pub async fn permit(
        &self,
        signer: &PrivateKeySigner,
        amount: u128,
        deadline: u64,
    ) -> Result<MarketCall, ChainError> {
        sol! {
            struct Permit {
                address owner;
                address spender;
                uint256 value;
                uint256 nonce;
                uint256 deadline;
            }
        }
        let owner = signer.address();
        let (nonce, separator) = futures::try_join!(
            read(&self.link, self.token, IToken::noncesCall { owner }),
            read(&self.link, self.token, IToken::DOMAIN_SEPARATORCall {}),
        )?;
        let deadline = U256::from(deadline);
        let permit =
            Permit { owner, spender: self.market, value: U256::from(amount), nonce, deadline };
        let digest = eip712_digest(separator, permit.eip712_hash_struct());
        let signature =
            signer.sign_hash_sync(&digest).map_err(|e| ChainError::Signer(e.to_string()))?;
        Ok(MarketCall::DepositWithPermit {
            account: owner,
            amount,
            deadline,
            signature: signature.as_bytes(),
        })
    }

    /// Simulates a call that `from` would send now.
    ///
    /// # Errors
    /// [`ChainError::Contract`] says why the call would revert.
    pub async fn simulate(&self, from: Address, call: &MarketCall) -> Result<(), SendError> {
        let raw = call.raw(self.market, self.token)?;
        self.link.eth_call(&CallRequest::by(from, &raw)).await?;
        Ok(())
    }

    /// Returns the gas of a call that `from` would send now.
    ///
    /// # Errors
    /// [`ChainError::Contract`] says why the call would revert.
    pub async fn estimate(&self, from: Address, call: &MarketCall) -> Result<u64, SendError> {
        self.simulate(from, call).await?;
        let raw = call.raw(self.market, self.token)?;
        Ok(self.link.endpoint.estimate_gas(&CallRequest::by(from, &raw)).await?)
    }

    /// Returns the sender of a key; there must be only one. `journal` is its file, which is created
    /// if it does not exist. The journal belongs to this key on this chain. The sender resumes at
    /// once what an earlier sender left unfinished in it.
    ///
    /// # Errors
    /// [`SendError::Journal`] if the file cannot be used, [`SendError::ForeignJournal`] if it
    /// belongs to another key or chain, or the failure of the endpoint.
    pub async fn sender(
        &self,
        signer: PrivateKeySigner,
        journal: &Path,
    ) -> Result<Sender, SendError> {
        Sender::start(self.clone(), signer, Some(journal)).await
    }

    /// Returns a sender without a file, which forgets everything when it ends. It is for the set-up
    /// of an embedded chain and for tests.
    pub async fn sender_in_memory(&self, signer: PrivateKeySigner) -> Result<Sender, SendError> {
        Sender::start(self.clone(), signer, None).await
    }

    /// Returns a client of a court of this market.
    ///
    /// # Errors
    /// [`ChainError::NoCourt`] if there is no contract, [`ChainError::ForeignCourt`] if the court
    /// belongs to another market, or the failure of the endpoint.
    pub async fn court(&self, address: Address) -> Result<Court, ChainError> {
        Court::connect(self, address).await
    }

    /// Returns whether the address is a court of this market that this node knows.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if the endpoint does not answer.
    pub async fn is_known_court(&self, address: Address) -> Result<bool, ChainError> {
        Ok(self.court_machine(address).await?.is_some())
    }

    /// Returns the machine version of the court at `address`, or `None` if the address is no court
    /// of this market that this node knows ([`Court::known_code`]).
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if the endpoint does not answer.
    pub async fn court_machine(&self, address: Address) -> Result<Option<u16>, ChainError> {
        let known =
            async { Ok(self.court(address).await?.known_code().await?.map(CourtCode::machine)) };
        match known.await {
            Err(error @ ChainError::Unreachable { .. }) => Err(error),
            known => Ok(known.unwrap_or_default()),
        }
    }

    /// Returns the market's events from a block on, without those of courts. An
    /// [`EventBatch`](crate::EventBatch) also tells which events a reorg removed.
    pub fn events(&self, from_block: u64) -> EventStream {
        self.events_with(from_block, Courts::default())
    }

    /// Returns the events of the market and of these courts, in one order; see [`Chain::events`].
    pub fn events_with(&self, from_block: u64, courts: Courts) -> EventStream {
        Follower::new(self.link.clone(), self.market, from_block, courts).stream()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) async fn read<C: SolCall>(&self, call: C) -> Result<C::Return, ChainError> {
        read(&self.link, self.market, call).await
    }
}

/// Calls a view and decodes its result.
pub(crate) async fn read<C: SolCall>(
    link: &Link,
    to: Address,
    call: C,
) -> Result<C::Return, ChainError> {
    let answer = link.eth_call(&CallRequest::read(to, call.abi_encode())).await?;
    C::abi_decode_returns(&answer).map_err(|e| ChainError::Malformed {
        method: "eth_call".into(),
        cause: format!("{}: {e}", C::SIGNATURE),
    })
}

fn eip712_digest(separator: B256, struct_hash: B256) -> B256 {
    let mut bytes = Vec::with_capacity(66);
    bytes.extend_from_slice(&[0x19, 0x01]);
    bytes.extend_from_slice(separator.as_slice());
    bytes.extend_from_slice(struct_hash.as_slice());
    alloy_primitives::keccak256(bytes)
}
