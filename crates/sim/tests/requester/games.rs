//! Receipts in court: cheaters are convicted and honest providers defended, while both sides crash
//! in the middle.

use std::sync::Arc;

use futures::StreamExt;
use rialto_chain::{Chain, CourtCall, Courts, Games, MarketCall, Signed};
use rialto_faults::Fault;
use rialto_machine::{
    canonicalise, input::Halves, input::SharedInput, input::TaskInput, lower, start_parts,
};
use rialto_protocol::{
    court::{Answer, COMPENSATION_BPS, Challenge, GameNews, GameStory, Question},
    keccak256,
    pricing::share,
    receipt::inputs_proof,
    types::{Deal, struct_hash},
};
use rialto_provider::ProviderEvent;
use rialto_requester::{Job, JobEvent, Policy, ProviderStatus};

use crate::place::{DEPOSIT, Place, SQUARE, key, soon, squares};

/// Returns the shared input of a job: one MiB, or `RIALTO_SHARED_MIB`.
fn shared() -> Vec<u8> {
    let mib: usize = std::env::var("RIALTO_SHARED_MIB").map_or(1, |mib| mib.parse().unwrap());
    SharedInput { files: vec![("large.bin".into(), vec![7; mib << 20])] }.encode().unwrap()
}

/// Waits until the game about a deal has come `far` enough, and returns it.
async fn watch(
    chain: &Chain,
    from: u64,
    deal: &Deal,
    far: impl Fn(&GameStory) -> bool,
) -> GameStory {
    let courts = Courts { known: [deal.court].into(), ..Courts::default() };
    let (mut games, mut story) = (Games::default(), None::<GameStory>);
    games.add_deal(struct_hash(deal), deal);
    let mut events = chain.events_with(from, courts);
    loop {
        let batch = soon(events.next()).await.unwrap();
        for (_, event) in &batch.added {
            match (games.news(event), &mut story) {
                (Some((_, GameNews::Accused(view))), story) => *story = Some(GameStory::new(*view)),
                (Some((_, news)), Some(story)) => drop(story.learn(&news)),
                _ => {}
            }
        }
        if let Some(story) = story.as_ref().filter(|story| far(story)) {
            return story.clone();
        }
    }
}

/// Makes the requester wait as long as a game may take.
fn patient(config: &mut rialto_requester::RequesterConfig) {
    config.patience.settle = 600;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheater_is_convicted_though_both_sides_die_in_the_middle() {
    let mut place = Place::in_court(&[None, Some(Fault::CorruptOutput { every: 7 }), None]).await;
    let cheater = place.sellers[1].address;
    let requester = place.requester(patient).await;
    let job = Job {
        policy: Policy::Replicate { n: 2 },
        min_providers: 3,
        max_providers: 3,
        ..squares(40)
    };
    let handle = soon(requester.submit(job)).await.unwrap();
    let id = handle.id();
    let mut events = handle.events();
    loop {
        match soon(events.next()).await.expect("the game begins before the report") {
            JobEvent::GameMoved { ours: true, .. } => break,
            JobEvent::GameEnded { .. } => panic!("over before anybody could die"),
            _ => {}
        }
    }
    soon(requester.stop()).await;
    place.restart(1, async {}).await;

    let requester = place.requester(patient).await;
    let report = soon(soon(requester.job(id)).await.unwrap().wait()).await.unwrap();
    assert_eq!(report.outcome, Ok(()));
    let [dispute] = report.disputes.as_slice() else { panic!("{:?}", report.disputes) };
    let end = dispute.end.unwrap();
    assert!(
        end.accuser_won && end.slashed && end.verdict == rialto_protocol::court::Verdict::Step,
        "{dispute:?}"
    );
    assert_eq!((dispute.provider, end.to_accuser, end.burned), (cheater, dispute.bond, 0));
    assert!(dispute.step.is_some());
    let deal = report.evidence.deals.iter().find(|deal| deal.provider == cheater).unwrap();
    assert_eq!(dispute.compensation, share(deal.collateral, COMPENSATION_BPS).unwrap());
    assert_eq!(dispute.compensation + dispute.burned, deal.collateral);
    let guilty = report.providers.iter().find(|provider| provider.provider == cheater).unwrap();
    assert_eq!((&guilty.status, guilty.earned), (&ProviderStatus::Cheated, 0));
    let account = |address| place.chain.account(address);
    assert_eq!(soon(account(cheater)).await.unwrap(), DEPOSIT - deal.collateral);
    let buyer = soon(account(key("buyer").address())).await.unwrap();
    assert_eq!(buyer, DEPOSIT - report.requester_paid + dispute.compensation);
    soon(requester.stop()).await;
    assert!(place.reconciles().await);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_provider_wins_and_is_paid_for_it() {
    let place = Place::in_court(&[None]).await;
    let requester = place.requester(|config| config.patience.idle = 100_000).await;
    let shared = shared();
    let job = Job { policy: Policy::Trust, shared: Some(shared.clone().into()), ..squares(6) };
    let handle = soon(requester.submit(job)).await.unwrap();
    let report = soon(handle.wait()).await.unwrap();
    let (deal, order) = (&report.evidence.deals[0], &report.evidence.orders[0]);
    let receipt = order.receipt.clone().unwrap();

    // A stranger says that the first task ended otherwise.
    let accuser = place.chain.sender_in_memory(key("stranger")).await.unwrap();
    let funder = place.chain.sender_in_memory(key("deployer")).await.unwrap();
    let (to, wei, amount) = (key("stranger").address(), 10u128.pow(18), 100_000_000);
    soon(funder.send("gas", MarketCall::TransferNative { to, wei })).await.unwrap();
    soon(funder.send("mint", MarketCall::Mint { to, amount })).await.unwrap();
    let permit = place.chain.permit(&key("stranger"), amount, u64::MAX).await.unwrap();
    soon(accuser.send("deposit", permit)).await.unwrap();
    let stdin = 0u64.to_le_bytes().to_vec();
    let task = TaskInput { stdin, ..TaskInput::default() }.encode().unwrap();
    let input = Halves::new(task.into(), shared.into());
    let program = Arc::new(lower(&canonicalise(SQUARE).unwrap().module));
    let (inputs, limit) = (&report.evidence.inputs, order.order.value.fuelLimit);
    assert_eq!(input.root(), inputs[0]);
    let court = soon(place.chain.court(deal.court)).await.unwrap();
    let (order, receipt, signature) = (order.order.value.clone(), receipt.value, receipt.signature);
    let signed = Signed { deal: deal.clone(), order: order.clone(), receipt, signature };
    let mut watching = place.sellers[0].service.events();
    soon(accuser.accuse("accuse", &court, signed)).await.unwrap();
    // The provider shows the leaves, and the stranger challenges one of them.
    let unfolded =
        |story: &GameStory| matches!(story.view.question, Question::Nodes { height: 0, .. });
    let view = watch(&place.chain, place.deployed.block, deal, unfolded).await.view;
    let challenge = Challenge {
        index: 0,
        input: inputs[0],
        input_proof: inputs_proof(&inputs[..order.tasks as usize], 0),
        parts: start_parts(&program, &input).into(),
        states: Box::new(std::array::from_fn(|at| keccak256([at as u8]))),
    };
    let answer = Answer::Challenge(Box::new(challenge));
    let call = CourtCall::answer(deal.clone(), order, &view, answer).unwrap();
    soon(accuser.send("challenge", MarketCall::Court { court: deal.court, call })).await.unwrap();
    let answered = |story: &GameStory| {
        story.view.accusers_turn
            && matches!(story.view.question, Question::Run { level, .. } if level % 2 == 1)
    };
    watch(&place.chain, place.deployed.block, deal, answered).await;
    // The accuser has no true move.
    place.wait(30_000);
    let bond = soon(court.bond_for(limit)).await.unwrap();
    loop {
        if let ProviderEvent::GameEnded { won, received, lost, .. } =
            soon(watching.recv()).await.unwrap()
        {
            assert_eq!((won, received, lost), (true, share(bond, COMPENSATION_BPS).unwrap(), 0));
            break;
        }
    }
    soon(accuser.stop()).await;
    soon(funder.stop()).await;
    soon(requester.stop()).await;
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_does_not_add_up_costs_its_provider_the_collateral_without_a_game() {
    let place = Place::in_court(&[Some(Fault::OverstateTotal), None]).await;
    let cheater = place.sellers[0].address;
    let requester = place.requester(patient).await;
    let mut watching = place.sellers[0].service.events();
    let job = Job {
        policy: Policy::Replicate { n: 2 },
        min_providers: 2,
        max_providers: 2,
        ..squares(20)
    };
    let handle = soon(requester.submit(job)).await.unwrap();
    let mut events = handle.events();
    let (mut said, mut won) = (None, None);
    while let Some(event) = soon(events.next()).await {
        match event {
            JobEvent::Misstated { provider, fault, .. } => said = Some((provider, fault)),
            JobEvent::Convicted { provider, fault, compensation, .. } => {
                won = Some((provider, fault, compensation))
            }
            JobEvent::Accused { .. } => panic!("no game is needed"),
            _ => {}
        }
        if won.is_some() {
            break;
        }
    }
    let report = soon(handle.wait()).await.unwrap();
    assert_eq!(report.outcome, Ok(()));
    let deal = report.evidence.deals.iter().find(|deal| deal.provider == cheater).unwrap();
    let compensation = share(deal.collateral, COMPENSATION_BPS).unwrap();
    assert_eq!(said, Some((cheater, rialto_protocol::fault::Fault::Sum)));
    assert_eq!(won, Some((cheater, rialto_protocol::fault::Fault::Sum, compensation)));
    let sold = report.providers.iter().find(|provider| provider.provider == cheater).unwrap();
    assert_eq!((&sold.status, sold.earned), (&ProviderStatus::Cheated, 0));
    loop {
        if let ProviderEvent::Convicted { lost, .. } = soon(watching.recv()).await.unwrap() {
            assert_eq!(lost, deal.collateral);
            break;
        }
    }
    soon(requester.stop()).await;
    assert!(place.reconciles().await);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_before_a_court_of_unknown_code_is_left_out_unless_nothing_is_checked() {
    let unknown = rialto_protocol::Address::repeat_byte(7);
    let place = Place::with(&[None, None], |config| {
        if config.data_dir.ends_with("seller 1") {
            config.asks.court = unknown;
        }
    })
    .await;
    let requester = place.requester(|_| ()).await;
    let heard = async {
        while requester.offers().await.unwrap().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(heard).await;
    let quote = async |policy| {
        requester.quote(&Job { policy, min_providers: 2, ..squares(20) }).await.unwrap().unwrap()
    };
    let plan = quote(Policy::Audit { rate_ppm: 1_000_000 }).await;
    let left: Vec<_> = plan.excluded.iter().map(|left| (left.provider, left.why.code())).collect();
    assert_eq!(left, [(place.sellers[1].address, "R-MAT-016")]);
    assert_eq!(plan.deals.len(), 1);
    assert_eq!(quote(Policy::Trust).await.deals.len(), 2);
    soon(requester.stop()).await;
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_computed_is_claimed_and_taken_to_court_by_what_stands_on_chain() {
    let place =
        Place::in_court_with(&[Some(Fault::Invent)], |config| config.money.claim_after_seconds = 2)
            .await;
    let cheat = place.sellers[0].address;
    let requester = place.requester(patient).await;
    let job = Job { policy: Policy::Trust, min_providers: 1, max_providers: 1, ..squares(40) };
    let handle = soon(requester.submit(job)).await.unwrap();
    let mut events = handle.events();
    let (mut claimed, mut challenged) = (None, false);
    while let Some(event) = soon(events.next()).await {
        match event {
            JobEvent::FalseReceipt { provider, claimed: asked, right, .. } => {
                assert_eq!(provider, cheat);
                assert!(right.unwrap() < asked, "{right:?} of {asked}");
                claimed = Some(asked);
            }
            JobEvent::TaskChallenged { .. } => challenged = true,
            JobEvent::GameEnded { won, .. } => assert!(won),
            _ => {}
        }
    }
    assert!(claimed.is_some() && challenged);
    let report = soon(handle.wait()).await.unwrap();
    let [dispute] = report.disputes.as_slice() else { panic!("{:?}", report.disputes) };
    let end = dispute.end.unwrap();
    assert!(end.accuser_won && end.slashed, "{dispute:?}");
    assert_eq!((report.requester_paid, end.to_accuser), (0, dispute.bond));
    let deal = &report.evidence.deals[0];
    assert_eq!(soon(place.chain.account(cheat)).await.unwrap(), DEPOSIT - deal.collateral);
    let buyer = soon(place.chain.account(key("buyer").address())).await.unwrap();
    assert_eq!(buyer, DEPOSIT + share(deal.collateral, COMPENSATION_BPS).unwrap());
    assert!(soon(requester.exposures()).await.unwrap().is_empty());
    soon(requester.stop()).await;
    assert!(place.reconciles().await);
    place.stop().await;
}
