//! The service on a real (embedded) chain, network and engine; the requester is written out by
//! hand.
#![allow(clippy::unwrap_used)]

mod games;
mod place;
mod upgrade;

use std::time::Duration;

use place::{Place, Requester, soon};
use rialto_chain::{CaseStatus, DealStatus, MarketCall};
use rialto_exec::Outcome;
use rialto_protocol::case::CaseId;
use rialto_protocol::{
    B256,
    receipt::SumTree,
    types::{Order, struct_hash},
    wire::{ToProvider, ToRequester},
};
use rialto_provider::{ProviderEvent, Shell, Verdict};
use tokio::sync::broadcast::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sells_work_and_is_paid_with_two_transactions() {
    let place = Place::new().await;
    let provider = place.provider(|_| {}).await;
    let mut watch = provider.events();
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    assert_eq!(requester.hello().await, (0, 0));

    let order = requester.order(&place, 0, &["one", "two", "three"]).await;
    let (receipt, results, outputs) = requester.receipt(&order).await;
    let honest = place.run(&order, &["one", "two", "three"]);
    assert_eq!(results, honest.iter().map(|outcome| outcome.halted).collect::<Vec<_>>());
    assert_eq!(
        outputs,
        honest.iter().flat_map(|outcome| outcome.output.to_vec()).collect::<Vec<_>>()
    );
    let tree = SumTree::new(
        results.iter().map(|halted| (halted.hash(), halted.fuel_used(order.fuelLimit))),
    );
    assert_eq!((receipt.root, receipt.fuel), (tree.root().hash, tree.root().fuel));
    assert!(receipt.fee > 0);

    requester.pay(receipt.fee, 1, true).await;
    soon(async {
        loop {
            match watch.recv().await.unwrap() {
                ProviderEvent::DealClosed { paid, lost, .. } => {
                    break assert_eq!((paid, lost), (receipt.fee, 0));
                }
                _ => continue,
            }
        }
    })
    .await;
    let state = place.chain.deal_state(struct_hash(&requester.deal)).await.unwrap();
    assert_eq!((state.status, state.paid), (DealStatus::Closed, receipt.fee));
    soon(provider.drain()).await.unwrap();
    assert!(soon(provider.status()).await.unwrap().draining);
    soon(provider.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_enough_to_defend_an_order() {
    let place = Place::new().await;
    let provider = place.provider(|_| {}).await;
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(&place, 0, &["one", "two"]).await;
    let (receipt, results, outputs) = requester.signed_receipt(&order).await;
    let id = struct_hash(&requester.deal);
    assert_eq!(provider.delivered(id).await.unwrap(), [struct_hash(&order)]);
    let evidence = provider.evidence(struct_hash(&order)).await.unwrap().unwrap();
    assert_eq!((&evidence.deal, &evidence.order.value), (&requester.deal, &order));
    assert_eq!((evidence.receipt, evidence.ack), (Some(receipt), requester.ack.clone()));
    let kept = evidence.results.unwrap();
    assert_eq!(
        (kept.halted, kept.outputs),
        (results, rialto_protocol::wire::Payload::Inline(outputs.into()))
    );
    assert!(
        provider.evidence(B256::from(id).into()).await.unwrap().is_none(),
        "no order of that name"
    );
    soon(provider.stop()).await;
}

/// Says another exit code of every other task than it ran to.
#[derive(Debug)]
struct Cheat;

impl Shell for Cheat {
    fn outcome(&self, _: &Order, task: u32, mut outcome: Outcome) -> Outcome {
        outcome.halted.exit_code ^= u32::from(task.is_multiple_of(2));
        outcome
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheat_that_is_caught_takes_the_smaller_payment() {
    let place = Place::new().await;
    let provider = place.misbehaving(Cheat).await;
    let mut watch = provider.events();
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(&place, 0, &["a", "b", "c"]).await;
    let (receipt, results, _) = requester.receipt(&order).await;
    let honest = place.run(&order, &["a", "b", "c"]);
    let wrong: Vec<u32> =
        (0..3).filter(|i| results[*i as usize] != honest[*i as usize].halted).collect();
    assert_eq!(wrong, [0, 2]);
    let expected = honest[2].halted.hash();
    requester.say(&ToProvider::Reject { order: receipt.order, task: 2, expected }).await;
    requester.pay(0, 1, true).await;
    let verdict = soon(async {
        loop {
            if let ProviderEvent::Rejected { task: 2, verdict, .. } = watch.recv().await.unwrap() {
                break verdict;
            }
        }
    })
    .await;
    assert_eq!(verdict, Verdict::Differs);
    soon(async {
        while !matches!(watch.recv().await.unwrap(), ProviderEvent::DealClosed { paid: 0, .. }) {}
    })
    .await;
    soon(provider.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_nothing() {
    let place = Place::new().await;
    let provider = place.provider(|_| {}).await;
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(&place, 0, &["again"]).await;
    let (receipt, results, _) = requester.receipt(&order).await;
    soon(provider.stop()).await;

    // The same data folder and endpoint, a new process as far as anybody can tell.
    let provider = place.provider(|_| {}).await;
    requester.connect(&place).await;
    assert_eq!(requester.hello().await, (1, 0));
    let (same, again, _) = requester.receipt(&order).await;
    assert_eq!((same, again), (receipt.clone(), results));
    let next = requester.order(&place, 1, &["more"]).await;
    let (more, _, _) = requester.receipt(&next).await;
    requester.pay(receipt.fee + more.fee, 2, false).await;
    let wait = async {
        while provider.status().await.unwrap().deals[&struct_hash(&requester.deal)].voucher
            != receipt.fee + more.fee
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(wait).await;
    soon(provider.drain()).await.unwrap();
    let state = place.chain.deal_state(struct_hash(&requester.deal)).await.unwrap();
    assert_eq!(state.paid, receipt.fee + more.fee, "draining turns the voucher into money");
    soon(provider.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_signed_is_refused_with_a_code() {
    let place = Place::new().await;
    let provider = place.provider(|_| {}).await;
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    // Inputs that are not those of the order; a program that is none.
    for (code, spoil) in [("P-ADM-014", 0), ("P-ADM-015", 1)] {
        requester.spoiled_order(&place, spoil).await;
        let refusal = soon(async {
            loop {
                if let ToRequester::Refuse { code, .. } = requester.session.recv().await.unwrap() {
                    break code;
                }
            }
        })
        .await;
        assert_eq!(refusal, code);
    }
    // And the provider still works.
    let order = requester.order(&place, 2, &["fine"]).await;
    requester.receipt(&order).await;
    soon(provider.stop()).await;
}

/// Waits until the provider says something.
async fn hears(watch: &mut Receiver<ProviderEvent>, wanted: impl Fn(&ProviderEvent) -> bool) {
    soon(async { while !wanted(&watch.recv().await.unwrap()) {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unpaid_work_is_claimed_from_the_contract() {
    let place = Place::new().await;
    let provider = place.provider(|config| config.money.claim_after_seconds = 1).await;
    let mut watch = provider.events();
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let first = requester.order(&place, 0, &["paid"]).await;
    let (paid, _, _) = requester.receipt(&first).await;
    requester.pay(paid.fee, 1, false).await;
    let second = requester.order(&place, 1, &["not paid", "either"]).await;
    let (unpaid, _, _) = requester.receipt(&second).await;
    // First the voucher, then the claim; paid when the challenge window is over.
    hears(
        &mut watch,
        |event| matches!(event, ProviderEvent::Redeemed { paid: p, .. } if *p == paid.fee),
    )
    .await;
    let id = struct_hash(&requester.deal);
    let order = struct_hash(&second);
    soon(async {
        while place.chain.case(id, CaseId::Claim { order }).await.unwrap().status
            != CaseStatus::Open
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    place.later(601);
    let all = paid.fee + unpaid.fee;
    hears(
        &mut watch,
        |event| matches!(event, ProviderEvent::Redeemed { paid, .. } if *paid == all),
    )
    .await;
    // The deal's time passes, and the provider takes its collateral home.
    place.later(3600 + 1200);
    hears(
        &mut watch,
        |event| matches!(event, ProviderEvent::DealClosed { paid, lost: 0, .. } if *paid == all),
    )
    .await;
    soon(provider.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_notices_and_demands_are_answered_on_chain() {
    let place = Place::new().await;
    let provider = place.provider(|config| config.money.claim_after_seconds = 100_000).await;
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(&place, 0, &["a", "b", "c"]).await;
    let (receipt, _, _) = requester.signed_receipt(&order).await;
    let (deal, ack) = (requester.deal.clone(), requester.ack.clone().unwrap());
    let id = struct_hash(&deal);
    let ended = async |case| {
        soon(async {
            while place.chain.case(id, case).await.unwrap().status != CaseStatus::Ended {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    place.later(place::DUE_SECONDS);
    let late = MarketCall::Late {
        deal: deal.clone(),
        order: order.clone(),
        ack: ack.value,
        signature: ack.signature,
    };
    requester.sends("late", late).await;
    ended(CaseId::Late { order: struct_hash(&order) }).await;
    let demand = MarketCall::Demand {
        deal: deal.clone(),
        order,
        receipt: receipt.value.clone(),
        signature: receipt.signature,
        task: 1,
    };
    requester.sends("demand", demand).await;
    ended(CaseId::Demand { receipt: struct_hash(&receipt.value), task: 1 }).await;
    let state = place.chain.deal_state(id).await.unwrap();
    assert_eq!(state.status, DealStatus::Open, "nobody was found guilty");
    soon(provider.stop()).await;
}
