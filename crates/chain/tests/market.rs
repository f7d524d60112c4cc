//! A market as its two sides use it, in process and over HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use futures::StreamExt;
use rialto_chain::{
    Chain, ChainError, DealStatus, Ending, FromLog, MarketCall, MarketError, MarketEvent, Mined,
    Rpc, SendError,
};
use rialto_protocol::DealId;
use rialto_protocol::OrderId;
use rialto_protocol::model::Market;
use rialto_protocol::types::{Deal, Voucher};
use serde_json::json;
use support::*;

fn events(mined: &Mined) -> Vec<MarketEvent> {
    mined.logs.iter().filter_map(MarketEvent::decode).collect()
}

fn opened(mined: &Mined) -> Vec<(DealId, Deal)> {
    let found = events(mined).into_iter().filter_map(|event| match event {
        MarketEvent::DealOpened { id, deal } => Some((id, deal)),
        _ => None,
    });
    found.collect()
}

/// Opens two deals in one transaction, pays and closes the first, and checks the events.
async fn whole_life(chain: &Chain) {
    let (requester, provider) = (key("requester"), key("provider"));
    let buys = chain.sender_in_memory(requester.clone()).await.unwrap();
    let sells = chain.sender_in_memory(provider.clone()).await.unwrap();

    let opens = vec![open(chain, 400, 1).await, open(chain, 200, 2).await];
    let foretold = Market::deal_terms(requester.address(), &opens[0].ask, &opens[0].terms).unwrap();
    let mined = soon(buys.send("open", MarketCall::Open(opens))).await.unwrap();
    let deals = opened(&mined);
    assert_eq!(deals.len(), 2);
    let (id, deal) = deals[0].clone();
    assert_eq!(deal_id(&deal), id);
    assert_eq!(deal, foretold, "known before the transaction");
    assert_eq!(chain.account(requester.address()).await.unwrap(), 1000 - 600);
    assert_eq!(chain.account(provider.address()).await.unwrap(), 1000 - 300);
    assert_eq!(chain.deals_open(deal.provider).await.unwrap(), 2);
    assert_eq!(chain.deal_state(id).await.unwrap().status, DealStatus::Open);

    let voucher = Voucher { deal: id, amount: 123, orders: 5, close: true };
    let signature = signed(chain, "requester", &voucher);
    let redeem = MarketCall::Redeem {
        deal: deal.clone(),
        voucher: voucher.clone(),
        signature: signature.clone(),
    };
    let closed = soon(sells.send("redeem", redeem.clone())).await.unwrap();
    assert!(events(&closed).iter().any(|event| matches!(
        event,
        MarketEvent::DealClosed { ending: Ending::Redeemed, paid: 123, to_requester: 277, .. }
    )));
    assert_eq!(chain.account(requester.address()).await.unwrap(), 400 + 277);
    assert_eq!(chain.account(provider.address()).await.unwrap(), 700 + 123 + 200);
    let state = chain.deal_state(id).await.unwrap();
    assert_eq!((state.status, state.paid, state.orders), (DealStatus::Closed, 123, 5));
    println!("gas: open two {}, redeem and close {}", mined.gas_used, closed.gas_used);

    // The same call again is refused with the reason, before it costs anything.
    let error = soon(sells.send("redeem again", redeem)).await.unwrap_err();
    let SendError::Rejected(error) = error else { panic!("{error}") };
    assert_eq!(error.code(), "M-016");
    assert!(matches!(error.market(), Some(MarketError::DealNotOpen(e)) if id == e.deal.into()));

    let seen: Vec<_> = history(chain, mined.block).await;
    let ours: Vec<_> = [events(&mined), events(&closed)].concat();
    assert_eq!(seen, ours);
}

/// Returns all events from a block to the head.
async fn history(chain: &Chain, from: u64) -> Vec<MarketEvent> {
    let head = chain.head().await.unwrap().number;
    let mut stream = chain.events(from);
    let mut seen = Vec::new();
    loop {
        let batch = soon(stream.next()).await.unwrap();
        assert!(batch.removed.is_empty());
        seen.extend(batch.added.into_iter().map(|(_, event)| event));
        if batch.through >= head {
            return seen;
        }
    }
}

#[tokio::test]
async fn a_deal_in_process() {
    let (_dev, _, chain) = market(1000).await;
    whole_life(&chain).await;
}

#[tokio::test]
async fn a_deal_over_http() {
    let (dev, deployed, _) = market(1000).await;
    let server = rialto_devchain::serve(dev, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", server.addr()).parse().unwrap();
    let chain = connect(Rpc::Http(url), deployed.market).await;
    whole_life(&chain).await;
}

#[tokio::test]
async fn reads_say_what_the_chain_says() {
    let (_dev, deployed, chain) = market(1000).await;
    let provider = key("provider").address();
    assert_eq!(chain.token(), deployed.token);
    assert_eq!(chain.chain_id(), 31_337);
    let windows = chain.windows();
    assert_eq!(
        (windows.challenge, windows.answer, windows.grace, windows.case_bond),
        (600, 300, 1200, 5)
    );
    assert_eq!(chain.token_balance(provider).await.unwrap(), U256::ZERO);
    assert_eq!(chain.token_balance(chain.market()).await.unwrap(), U256::from(2000));
    assert!(chain.native_balance(provider).await.unwrap() > U256::ZERO);
    assert!(chain.gas_price().await.unwrap() > 0);
    assert_eq!(chain.ask_counter(provider).await.unwrap(), 0);
    assert_eq!(chain.asserted_receipt(OrderId::ZERO).await.unwrap(), None);

    let sender = chain.sender_in_memory(key("provider")).await.unwrap();
    soon(sender.send("cancel", MarketCall::CancelAsks { counter: 4 })).await.unwrap();
    assert_eq!(chain.ask_counter(provider).await.unwrap(), 4);
    soon(sender.send("out", MarketCall::Withdraw { to: provider, amount: 600 })).await.unwrap();
    soon(sender.send("approve", MarketCall::Approve { amount: 250 })).await.unwrap();
    assert_eq!(chain.token_allowance(provider).await.unwrap(), U256::from(250));
    soon(sender.send("back", MarketCall::Deposit { account: provider, amount: 250 }))
        .await
        .unwrap();
    assert_eq!(chain.account(provider).await.unwrap(), 650);
    let batch = MarketCall::Batch(vec![
        MarketCall::Announce(Bytes::from_static(b"here")),
        MarketCall::Withdraw { to: Address::repeat_byte(9), amount: 50 },
    ]);
    let mined = soon(sender.send("batch", batch)).await.unwrap();
    assert_eq!(events(&mined).len(), 2);
    assert_eq!(chain.token_balance(Address::repeat_byte(9)).await.unwrap(), U256::from(50));
    let other = Address::repeat_byte(8);
    let gift = MarketCall::Batch(vec![
        MarketCall::Give { to: other, amount: 30 },
        MarketCall::Allow { spender: other, amount: 7 },
    ]);
    let mined = soon(sender.send("gift", gift)).await.unwrap();
    let told = [
        MarketEvent::Transferred { from: provider, to: other, amount: 30 },
        MarketEvent::Allowed { owner: provider, spender: other, amount: 7 },
    ];
    assert_eq!(events(&mined), told);
    assert_eq!(
        (chain.account(other).await.unwrap(), chain.allowance(provider, other).await.unwrap()),
        (30, 7)
    );
    let mixed = MarketCall::Batch(vec![MarketCall::Approve { amount: 1 }]);
    assert_eq!(soon(sender.send("mixed", mixed)).await.unwrap_err(), SendError::NotBatchable);
}

#[tokio::test]
async fn a_refused_call_costs_nothing_and_explains_itself() {
    let (dev, _, chain) = market(1000).await;
    let sender = chain.sender_in_memory(key("requester")).await.unwrap();
    let before = nonce(&dev, "requester");
    let refused = |error: SendError| match error {
        SendError::Rejected(error) => error,
        error => panic!("{error}"),
    };

    let too_much = open(&chain, 1500, 1).await;
    let error =
        refused(soon(sender.send("1", MarketCall::Open(vec![too_much]))).await.unwrap_err());
    assert_eq!(error.code(), "M-003");
    assert!(error.to_string().contains("deposit 500 more"), "{error}");

    let mut forged = open(&chain, 100, 1).await;
    forged.ask.priceStart = 1;
    let error = refused(soon(sender.send("2", MarketCall::Open(vec![forged]))).await.unwrap_err());
    assert_eq!(error.code(), "M-002");

    let mut cheap = open(&chain, 100, 1).await;
    cheap.terms.max_price = 999;
    let error =
        refused(soon(sender.send("3", MarketCall::Open(vec![cheap.clone()]))).await.unwrap_err());
    assert_eq!(error.code(), "M-012");
    // The reason is also available from inside a multicall.
    let good = open(&chain, 100, 2).await;
    let error =
        refused(soon(sender.send("4", MarketCall::Open(vec![good, cheap]))).await.unwrap_err());
    assert_eq!(error.code(), "M-012");

    assert_eq!(nonce(&dev, "requester"), before);
    assert_eq!(chain.account(key("requester").address()).await.unwrap(), 1000);
}

#[tokio::test]
async fn an_account_without_gas_money_is_told_so() {
    let (_dev, _, chain) = market(1000).await;
    let sender = chain.sender_in_memory(key("poor")).await.unwrap();
    let error = soon(sender.send("x", MarketCall::CancelAsks { counter: 1 })).await.unwrap_err();
    assert!(matches!(error, SendError::NoGasMoney { balance_wei: 0, .. }), "{error}");
    // Another account sends gas money.
    let rich = chain.sender_in_memory(key("deployer")).await.unwrap();
    let help = MarketCall::TransferNative { to: key("poor").address(), wei: 10u128.pow(17) };
    soon(rich.send("help", help)).await.unwrap();
    soon(sender.send("x", MarketCall::CancelAsks { counter: 1 })).await.unwrap();
}

#[tokio::test]
async fn signatures_of_keys_and_of_contract_wallets() {
    let (dev, _, chain) = market(1000).await;
    let voucher = Voucher { deal: DealId::ZERO, amount: 1, orders: 0, close: false };
    let digest = rialto_protocol::types::digest(&voucher, chain.domain());
    let signature = signed(&chain, "requester", &voucher);
    assert!(
        chain.is_valid_signature(key("requester").address(), digest, &signature).await.unwrap()
    );
    assert!(
        !chain.is_valid_signature(key("provider").address(), digest, &signature).await.unwrap()
    );

    // A wallet that accepts one digest: compares calldata[4..36] and returns the magic word, or
    // reverts.
    let wallet = Address::repeat_byte(0x55);
    let mut code = vec![0x60, 0x04, 0x35, 0x7f];
    code.extend_from_slice(digest.as_slice());
    code.extend_from_slice(&[0x14, 0x60, 0x2c, 0x57, 0x5f, 0x5f, 0xfd, 0x5b]);
    let jump = code.len() - 1;
    code[38] = jump as u8;
    code.extend_from_slice(&[
        0x63, 0x16, 0x26, 0xba, 0x7e, 0x60, 0xe0, 0x1b, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3,
    ]);
    control(&dev, "anvil_setCode", json!([wallet, Bytes::from(code)]));
    assert!(chain.is_valid_signature(wallet, digest, b"any").await.unwrap());
    assert!(!chain.is_valid_signature(wallet, keccak256("other"), b"any").await.unwrap());
    assert!(!chain.is_valid_signature(wallet, digest, &[0; 10_000]).await.unwrap());
    assert!(!chain.is_valid_signature(chain.token(), digest, b"any").await.unwrap());
}

#[tokio::test]
async fn a_wrong_address_or_chain_is_named() {
    let (dev, deployed, _) = market(1000).await;
    let nowhere = Chain::connect(config(local(&dev), Address::repeat_byte(3))).await.err().unwrap();
    assert!(matches!(nowhere, ChainError::NoMarket { chain_id: 31_337, .. }), "{nowhere}");
    let cfg =
        rialto_chain::ChainConfig { chain_id: Some(1), ..config(local(&dev), deployed.market) };
    let wrong = Chain::connect(cfg).await.err().unwrap();
    assert_eq!(wrong, ChainError::WrongChain { expected: 1, found: 31_337 });
    let scheme = Rpc::Http("ftp://127.0.0.1".parse().unwrap());
    let wrong = Chain::connect(config(scheme, deployed.market)).await.err().unwrap();
    assert!(matches!(wrong, ChainError::BadEndpoint(_)), "{wrong}");
}

#[tokio::test]
async fn what_has_to_stay_in_the_account_is_not_spent() {
    let (_dev, _, chain) = market(1000).await;
    let buys = chain.sender_in_memory(key("requester")).await.unwrap();
    let account = buys.account();
    let call = |opens| MarketCall::Open(vec![opens]);
    let first = call(open(&chain, 400, 1).await);
    let short = soon(buys.send_keeping("first", first.clone(), 400, 601)).await.unwrap_err();
    assert_eq!(short, SendError::KeepsTooLittle { account, balance: 1000, takes: 400, keeps: 601 });
    assert!(short.to_string().contains("deposit 1 more"), "{short}");
    soon(buys.send_keeping("first", first.clone(), 400, 600)).await.unwrap();
    assert_eq!(chain.account(account).await.unwrap(), 600);
    soon(buys.send_keeping("first", first, 400, 600))
        .await
        .expect("what was sent is not judged again");

    // Of two at a time the second sees what the first took.
    let (one, other) = (call(open(&chain, 300, 2).await), call(open(&chain, 300, 3).await));
    let both = tokio::join!(
        soon(buys.send_keeping("one", one, 300, 200)),
        soon(buys.send_keeping("other", other, 300, 200))
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_eq!(chain.account(account).await.unwrap(), 300);
    let dear = call(open(&chain, 400, 4).await);
    match soon(buys.send_keeping("dear", dear, 400, 1)).await.unwrap_err() {
        SendError::Rejected(error) => {
            assert!(matches!(error.market(), Some(MarketError::InsufficientBalance(_))))
        }
        error => panic!("the market says what is not there at all: {error}"),
    }
}
