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

/// Longest ERC-1271 signature asked about: contract wallets pack owners' signatures, 4 KiB holds sixty.
const MAX_SIGNATURE_BYTES: usize = 4096;
/// What the market gives a contract wallet to check a signature (`SIGNATURE_GAS`): an answer that needs more is a no.
const SIGNATURE_GAS: u64 = 200_000;

/// How to reach a market.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The endpoint.
    pub rpc: Rpc,
    /// The market's address.
    pub market: Address,
    /// Chain id that the endpoint must serve; `None` takes what it serves.
    pub chain_id: Option<u64>,
    /// A transaction is final in a block with this many blocks from it to the newest, both counted; at least 1.
    /// Default 1: right for a chain that mines on demand and never reorganises; on a public chain choose more.
    pub confirmations: u64,
    /// Pause between questions for news; `None`: 25 ms in process, 200 ms on loopback, 2 s otherwise.
    pub poll: Option<Duration>,
    /// Wei per gas that is never exceeded.
    pub max_fee_per_gas_wei: u128,
    /// A transaction unmined for so long is replaced by one with a higher fee.
    pub bump_after: Duration,
    /// Courts that deals may name.
    pub courts: KnownCourts,
}

impl ChainConfig {
    /// Defaults for a market at an endpoint.
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

/// The market's immutable time windows and bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// From a claim to its deadline, seconds.
    pub challenge: u64,
    /// From a late notice or demand to its deadline, seconds.
    pub answer: u64,
    /// After a deal's expiry, in which the provider can still claim, seconds.
    pub grace: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
}

/// What changes while a deal is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealState {
    /// None, open or closed.
    pub status: DealStatus,
    /// Paid to the provider so far, base units.
    pub paid: u128,
    /// Watermark: orders below are settled.
    pub orders: u64,
    /// Open claims.
    pub claims: u16,
    /// Open late notices.
    pub lates: u16,
    /// Open demands and holds.
    pub challenges: u32,
}

/// State of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseState {
    /// None, open or ended.
    pub status: CaseStatus,
    /// Anyone can settle it from then on, unix seconds.
    pub deadline: u64,
    /// The order's place in its deal; 0 for a hold.
    pub seq: u64,
    /// Claim: the fee asked. Late, demand: the bond. Base units.
    pub amount: u128,
}

/// Newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Block number.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Block time, unix seconds.
    pub time: u64,
}

/// Client of one market; clones share one endpoint.
#[derive(Clone)]
pub struct Chain {
    link: Arc<Link>,
    market: Address,
    token: Address,
    windows: Windows,
    domain: Eip712Domain,
}

impl Chain {
    /// Connects and checks that the market is there.
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

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.link.chain_id
    }

    /// The market's address.
    pub fn market(&self) -> Address {
        self.market
    }

    /// EIP-712 domain of the market.
    pub fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    /// The market's token.
    pub fn token(&self) -> Address {
        self.token
    }

    /// The market's windows.
    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// Blocks, from its own to the newest, that make a transaction final.
    pub fn confirmations(&self) -> u64 {
        self.link.confirmations
    }

    /// Time of the newest block, unix seconds.
    pub async fn now(&self) -> Result<u64, ChainError> {
        Ok(self.head().await?.time)
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let header = self.link.endpoint.latest().await?;
        Ok(Head { number: header.number(), hash: header.hash, time: header.timestamp() })
    }

    /// Hash of a block by number; `None` if there is none.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        Ok(self.link.endpoint.header(number).await?.map(|header| header.hash))
    }

    /// Time of a block by number, unix seconds; `None` if there is none.
    pub async fn block_time(&self, number: u64) -> Result<Option<u64>, ChainError> {
        Ok(self.link.endpoint.header(number).await?.map(|header| header.timestamp()))
    }

    /// Whether the code at the market's address is the one that this crate was built with, and signs in the right domain.
    pub async fn is_known_code(&self) -> Result<bool, ChainError> {
        let code = self.link.endpoint.code(self.market).await?;
        let domain = self.read(IMarket::domainSeparatorCall {}).await?;
        Ok(crate::deploy::is_market(&code)? && domain == self.domain.separator())
    }

    /// Balance of a market account, base units.
    pub async fn account(&self, owner: Address) -> Result<u128, ChainError> {
        Ok(self.read(IMarket::accountCall { owner }).await?.balance)
    }

    /// A provider's ask counter: asks with another one are dead.
    pub async fn ask_counter(&self, provider: Address) -> Result<u64, ChainError> {
        Ok(self.read(IMarket::accountCall { owner: provider }).await?.counter)
    }

    /// Deals of a provider that are open, under whatever ask.
    pub async fn deals_open(&self, provider: Address) -> Result<u32, ChainError> {
        Ok(self.read(IMarket::accountCall { owner: provider }).await?.dealsOpen)
    }

    /// What `spender` may still take from the market account of `owner`, base units.
    pub async fn allowance(&self, owner: Address, spender: Address) -> Result<u128, ChainError> {
        self.read(IMarket::allowanceCall { owner, spender }).await
    }

    /// State of a deal.
    pub async fn deal_state(&self, deal: DealId) -> Result<DealState, ChainError> {
        let state = self.read(IMarket::dealStateCall { deal: deal.into() }).await?;
        let (claims, lates, challenges) = (state.claims, state.lates, state.challenges);
        Ok(DealState { status: state.status, paid: state.paid, orders: state.orders.to(), claims, lates, challenges })
    }

    /// State of a case.
    pub async fn case(&self, deal: DealId, case: CaseId) -> Result<CaseState, ChainError> {
        let (kind, subject, task) = (case.kind().into(), case.subject(), case.task());
        let case = self.read(IMarket::caseStateCall { deal: deal.into(), kind, subject, task }).await?;
        Ok(CaseState { status: case.status, deadline: case.deadline.to(), seq: case.seq, amount: case.amount })
    }

    /// Hash of the receipt that the provider asserted on chain for an order; `None` if none.
    pub async fn asserted_receipt(&self, order: OrderId) -> Result<Option<ReceiptId>, ChainError> {
        let hash = self.read(IMarket::assertedReceiptCall { order: order.into() }).await?;
        Ok((!hash.is_zero()).then(|| hash.into()))
    }

    /// Tokens held outside the market, base units.
    pub async fn token_balance(&self, owner: Address) -> Result<U256, ChainError> {
        read(&self.link, self.token, IToken::balanceOfCall { owner }).await
    }

    /// Tokens of `owner` that the market may take, base units.
    pub async fn token_allowance(&self, owner: Address) -> Result<U256, ChainError> {
        read(&self.link, self.token, IToken::allowanceCall { owner, spender: self.market }).await
    }

    /// Gas money, wei.
    pub async fn native_balance(&self, owner: Address) -> Result<U256, ChainError> {
        self.link.endpoint.balance(owner).await
    }

    /// Gas that a mined transaction of anybody used; `None` if the endpoint does not know it (yet).
    pub async fn gas_used(&self, tx: B256) -> Result<Option<u64>, ChainError> {
        Ok(self.link.endpoint.receipt(tx).await?.map(|receipt| receipt.gas_used()))
    }

    /// Current price of gas, wei.
    pub async fn gas_price(&self) -> Result<u128, ChainError> {
        self.link.endpoint.gas_price().await
    }

    /// Whether `signer` signed `digest`: by its key, or, where it is a contract, as it says itself (ERC-1271). Only asks are signed
    /// by accounts; everything in a deal is signed by its keys, and checked without the chain.
    pub async fn is_valid_signature(
        &self,
        signer: Address,
        digest: B256,
        signature: &[u8],
    ) -> Result<bool, ChainError> {
        if signing::recover(digest, signature) == Some(signer) {
            return Ok(true);
        }
        if signature.len() > MAX_SIGNATURE_BYTES || self.link.endpoint.code(signer).await?.is_empty() {
            return Ok(false);
        }
        let call = IWallet::isValidSignatureCall { hash: digest, signature: Bytes::copy_from_slice(signature) };
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

    /// A deposit of the signer's tokens into its own account by permit: one transaction, no approval.
    /// `deadline` in unix seconds bounds the permit.
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
        let permit = Permit { owner, spender: self.market, value: U256::from(amount), nonce, deadline };
        let digest = eip712_digest(separator, permit.eip712_hash_struct());
        let signature = signer.sign_hash_sync(&digest).map_err(|e| ChainError::Signer(e.to_string()))?;
        Ok(MarketCall::DepositWithPermit { account: owner, amount, deadline, signature: signature.as_bytes() })
    }

    /// Whether a call would succeed now, sent by `from`; `Err(Contract)` says why not.
    pub async fn simulate(&self, from: Address, call: &MarketCall) -> Result<(), SendError> {
        let raw = call.raw(self.market, self.token)?;
        self.link.eth_call(&CallRequest::by(from, &raw)).await?;
        Ok(())
    }

    /// Gas that a call would use now, sent by `from`; `Err(Contract)` says why it would fail.
    pub async fn estimate(&self, from: Address, call: &MarketCall) -> Result<u64, SendError> {
        self.simulate(from, call).await?;
        let raw = call.raw(self.market, self.token)?;
        Ok(self.link.endpoint.estimate_gas(&CallRequest::by(from, &raw)).await?)
    }

    /// The one sender of a key. Its journal lies at `journal` (a file, created if absent) and belongs to this key on
    /// this chain; what an earlier sender left unfinished in it is resumed at once.
    pub async fn sender(&self, signer: PrivateKeySigner, journal: &Path) -> Result<Sender, SendError> {
        Sender::start(self.clone(), signer, Some(journal)).await
    }

    /// A sender that forgets everything when it ends: for set-up of an embedded chain and tests.
    pub async fn sender_in_memory(&self, signer: PrivateKeySigner) -> Result<Sender, SendError> {
        Sender::start(self.clone(), signer, None).await
    }

    /// A court of this market.
    pub async fn court(&self, address: Address) -> Result<Court, ChainError> {
        Court::connect(self, address).await
    }

    /// Whether there is a court of this market at `address` that this node knows.
    pub async fn is_known_court(&self, address: Address) -> Result<bool, ChainError> {
        Ok(self.court_machine(address).await?.is_some())
    }

    /// Returns the version of the machine that the court at `address` judges by, if it is a court of this
    /// market that this node knows ([`Court::known_code`]). What is no court is none that is known; only an
    /// endpoint that does not answer is an error.
    pub async fn court_machine(&self, address: Address) -> Result<Option<u16>, ChainError> {
        let known = async { Ok(self.court(address).await?.known_code().await?.map(CourtCode::machine)) };
        match known.await {
            Err(error @ ChainError::Unreachable { .. }) => Err(error),
            known => Ok(known.unwrap_or_default()),
        }
    }

    /// The market's events from a block on, under reorgs: see [`EventBatch`](crate::EventBatch). Courts are not heard.
    pub fn events(&self, from_block: u64) -> EventStream {
        self.events_with(from_block, Courts::default())
    }

    /// Like [`Chain::events`], with those of courts in the same order.
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

/// Calls a view and decodes what it returns.
pub(crate) async fn read<C: SolCall>(link: &Link, to: Address, call: C) -> Result<C::Return, ChainError> {
    let answer = link.eth_call(&CallRequest::read(to, call.abi_encode())).await?;
    C::abi_decode_returns(&answer)
        .map_err(|e| ChainError::Malformed { method: "eth_call".into(), cause: format!("{}: {e}", C::SIGNATURE) })
}

fn eip712_digest(separator: B256, struct_hash: B256) -> B256 {
    let mut bytes = Vec::with_capacity(66);
    bytes.extend_from_slice(&[0x19, 0x01]);
    bytes.extend_from_slice(separator.as_slice());
    bytes.extend_from_slice(struct_hash.as_slice());
    alloy_primitives::keccak256(bytes)
}
