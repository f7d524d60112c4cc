//! A provider is upgraded to another version of the machine while deals are open. The other version
//! is artificial: the rules of version 3 under another number, with a court of its own on the
//! chain.

use alloy_primitives::{Address, B256};
use rialto_chain::{CourtArtifacts, CourtCall, Courts, EventStream, MarketCall, Signed};
use rialto_machine::{CANON_VERSION, Machine, Machines, play::span, v3};
use rialto_protocol::{GameId, types::Order};

use crate::{
    games::{Court, WORDS, accused},
    place::{Place, Requester, soon},
};

const NEW_VERSION: u16 = 9;
static NEW: v3::Rules = v3::Rules::numbered(NEW_VERSION);
static MACHINES: [&dyn Machine; 2] = [&NEW, &v3::RULES];
/// States of a challenge are wrong from this one on.
const WRONG_FROM: usize = 3;

/// The judge of steps, with another number in both places of its code that hold CANON_VERSION:
/// where it hashes a program's root, and where it makes a task's first state.
fn renumbered_step_unit() -> String {
    let places = [("600360f01b", "600960f01b"), ("6003906088", "6009906088")];
    let mut artifact: serde_json::Value =
        serde_json::from_str(CourtArtifacts::COMMITTED.step_unit).unwrap();
    for field in ["bytecode", "deployedBytecode"] {
        let mut code = artifact[field].as_str().unwrap().to_owned();
        for (from, to) in places {
            assert_eq!(
                code.matches(from).count(),
                1,
                "StepUnit was compiled to other code: find {from} anew"
            );
            code = code.replace(from, to);
        }
        artifact[field] = code.into();
    }
    artifact.to_string()
}

/// A false accusation is brought before a court. The provider answers it with the truth about the
/// run, under the rules that the order was signed under.
async fn is_defended(
    place: &Place,
    (requester, court): (&Requester, Address),
    (signed, order): (Signed, &Order),
    (known, events): (&mut Court, &mut EventStream),
) -> GameId {
    let at_court = |call| MarketCall::Court { court, call };
    let before = known.shown.len();
    let accusation = CourtCall::Accuse { signed: Box::new(signed) };
    requester.sends(&format!("accuse-{before}"), at_court(accusation)).await;
    let earlier: Vec<_> = known.games.keys().copied().collect();
    known.hear(events, |court| court.shown.len() > before).await;
    let id = *known.games.keys().find(|id| !earlier.contains(id)).unwrap();
    let mut states = place.player(order, &WORDS, 1).open();
    states[WRONG_FROM..].fill(B256::repeat_byte(9));
    let call = CourtCall::Challenge {
        game: Box::new(known.games[&id].clone()),
        order: Box::new(order.clone()),
        nodes: known.shown[&id].clone(),
        challenge: Box::new(place.challenge(&WORDS, 1, states)),
    };
    requester.sends(&format!("challenge-{before}"), at_court(call)).await;
    known.hear(events, |court| court.moved.contains_key(&id)).await;
    let (level, position, segment, accusers_turn) = known.moved[&id];
    let mut player = place.player(order, &WORDS, 1);
    assert!(accusers_turn && level + 1 == player.level());
    assert_eq!(position, WRONG_FROM as u64 * span(level));
    assert_eq!(segment[0], player.hash_at(position));
    assert_eq!(segment[1..], player.dissect(position, level));
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_receipts_are_defended_while_new_work_runs_under_the_new_rules() {
    let mut place = Place::new().await;
    let (provider, mut requester, old_order, old_signed) = accused(&place).await;
    let old_court = place.court;
    soon(provider.stop()).await;

    let step_unit = renumbered_step_unit();
    let artifacts = CourtArtifacts { step_unit: &step_unit, ..CourtArtifacts::COMMITTED };
    let unknown = place.chain.clone();
    place.upgrade(Machines::new(&MACHINES), artifacts).await;
    let new_court = place.court;
    for (court, version) in [(old_court, CANON_VERSION), (new_court, NEW_VERSION)] {
        assert_eq!(soon(place.chain.court_machine(court)).await.unwrap(), Some(version));
    }
    assert_eq!(
        soon(unknown.court_machine(new_court)).await.unwrap(),
        None,
        "not before the upgrade"
    );

    // A new deal names the new court, and its work runs under the new rules.
    let provider = place.provider(|config| config.asks.court = new_court).await;
    requester.connect(&place).await;
    requester.open_before(&place, 1_000_000, new_court).await;
    requester.hello().await;
    let new_order = requester.order(&place, 0, &WORDS).await;
    let (receipt, results, _) = requester.signed_receipt(&new_order).await;
    assert_eq!(
        (place.version(&old_order), place.version(&new_order)),
        (CANON_VERSION, NEW_VERSION)
    );
    let honest = place.run(&new_order, &WORDS);
    assert!(honest.iter().map(|outcome| &outcome.halted).eq(&results));

    // Receipts of both are defended, each before its own court.
    let new_signed = Signed {
        deal: requester.deal.clone(),
        order: new_order.clone(),
        receipt: receipt.value,
        signature: receipt.signature,
    };
    requester.sends("allow-new", MarketCall::Allow { spender: new_court, amount: u128::MAX }).await;
    let courts = Courts { known: [old_court, new_court].into(), parties: Default::default() };
    let (mut known, mut events) = (Court::default(), place.chain.events_with(0, courts));
    let said = (&mut known, &mut events);
    let first = is_defended(&place, (&requester, old_court), (old_signed, &old_order), said).await;
    let said = (&mut known, &mut events);
    let second = is_defended(&place, (&requester, new_court), (new_signed, &new_order), said).await;
    place.later(20 * 24 * 3600);
    known.hear(&mut events, |court| court.ended.len() == 2).await;
    for game in [first, second] {
        assert!(!known.ended[&game].0, "the accuser lost");
    }
    soon(provider.stop()).await;
}
