//! A watchtower's core: what it does, and when.

#![allow(clippy::unwrap_used)]

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, B256, GameId, OrderId, ReceiptId,
    court::{Answer, BOUNTY_BPS, GameEnd, GameNews, GameView, PARTS, Question},
    pricing::share,
    types::{Deal, Game, Receipt, struct_hash},
};
use rialto_provider::core::{
    Fact, LogId, Outcome, What,
    tower::{Deed, Held, Tower, TowerEffect, TowerEvent, TowerInput, TowerRules},
};

const ORDER: OrderId = OrderId::repeat_byte(1);
const RECEIPT: ReceiptId = ReceiptId::repeat_byte(2);
const ME: Address = Address::repeat_byte(3);
const PROVIDER: Address = Address::repeat_byte(4);
const COURT: Address = Address::repeat_byte(5);
const LIAR: Address = Address::repeat_byte(6);

fn deal() -> Deal {
    Deal { provider: PROVIDER, court: COURT, collateral: 1_003, expiry: 10_000, ..Deal::default() }
}

struct World {
    tower: Tower,
    now: u64,
    index: u64,
    told: Vec<TowerEvent>,
    deeds: Vec<(String, Deed)>,
    plays: Vec<(GameId, u8)>,
    audits: usize,
}

impl World {
    fn new(audits: bool) -> Self {
        let rules = TowerRules {
            account: ME,
            defends: !audits,
            audits,
            looks_only: false,
            after: 50,
            grace_seconds: 100,
        };
        let (tower, told, deeds, plays) = (Tower::new(rules), Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { tower, now: 1_000, index: 0, told, deeds, plays, audits: 0 };
        let held = Held {
            deal: deal(),
            order: ORDER,
            receipt: Some(RECEIPT),
            cancelled: false,
            audited: None,
        };
        world.feed(TowerInput::Held(Box::new(held)));
        world.feed(TowerInput::Started { from_block: 0 });
        world.learn(What::Opened(Box::new(deal())));
        world
    }

    fn feed(&mut self, input: TowerInput) {
        for effect in self.tower.handle(self.now, input) {
            match effect {
                TowerEffect::Tell(event) => self.told.push(event),
                TowerEffect::Act { intent, deed } => self.deeds.push((intent, *deed)),
                TowerEffect::Play { view, .. } => {
                    self.plays.push((struct_hash(&view.game), view.turn()))
                }
                TowerEffect::Audit { .. } => self.audits += 1,
                TowerEffect::ForgetTrace { .. } => {}
            }
        }
    }

    fn learn(&mut self, what: What) -> LogId {
        self.index += 1;
        let at =
            LogId { block: self.index, index: 0, hash: B256::with_last_byte(self.index as u8) };
        let added = vec![Fact { at, deal: struct_hash(&deal()), what }];
        self.feed(TowerInput::Chain { removed: Vec::new(), added, caught_up: true });
        at
    }

    fn at(&mut self, now: u64) {
        self.now = now;
        self.feed(TowerInput::Tick);
    }

    fn opened(&mut self, case: CaseId, deadline: u64) -> LogId {
        self.learn(What::CaseOpened { case, seq: 0, deadline })
    }

    fn accused(&mut self, accuser: Address, deadline: u64) -> GameId {
        let deal = struct_hash(&deal());
        let game = Game {
            deal,
            order: ORDER,
            receipt: RECEIPT,
            accuser,
            provider: PROVIDER,
            bond: 10,
            ..Game::default()
        };
        let id = struct_hash(&game);
        self.learn(What::Game(GameNews::Accused(Box::new(GameView::begun(
            game,
            Receipt::default(),
            2,
            deadline,
        )))));
        id
    }

    fn challenged(&mut self, game: GameId, deadline: u64) {
        self.learn(What::Game(GameNews::Unfolded {
            game,
            place: 0,
            height: 0,
            deadline,
            nodes: Vec::new(),
        }));
        let segment = Box::new([B256::ZERO; PARTS + 1]);
        let news =
            GameNews::Challenged { game, task: 0, halted: B256::ZERO, level: 4, deadline, segment };
        self.learn(What::Game(news));
    }

    fn taken(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds).into_iter().map(|(_, deed)| deed).collect()
    }
}

#[test]
fn the_provider_has_its_part_of_the_time() {
    let mut world = World::new(false);
    world.opened(CaseId::Late { order: ORDER }, 2_000);
    world.opened(CaseId::Demand { receipt: RECEIPT, task: 1 }, 1_400);
    world.at(1_199);
    assert_eq!(world.taken(), []);
    world.at(1_200);
    assert_eq!(
        world.taken(),
        [Deed::Reveal { order: ORDER, task: 1 }],
        "the earlier deadline comes first"
    );
    // The provider answers by itself: nothing is sent.
    world.learn(What::CaseEnded { case: CaseId::Late { order: ORDER }, paid: 0 });
    world.at(1_600);
    assert_eq!(world.taken(), []);
    let acts: Vec<_> = world
        .told
        .iter()
        .filter_map(|event| match event {
            TowerEvent::Threatened { what, acts_at, .. } => Some((*what, *acts_at)),
            _ => None,
        })
        .collect();
    assert_eq!(acts, [("answer", 1_500), ("reveal", 1_200)]);
}

#[test]
fn what_is_void_foreign_or_too_late_is_not_answered() {
    let mut world = World::new(false);
    world.opened(CaseId::Late { order: OrderId::repeat_byte(9) }, 2_000);
    world.opened(CaseId::Demand { receipt: ReceiptId::repeat_byte(9), task: 0 }, 2_000);
    world.opened(CaseId::Late { order: ORDER }, 1_500);
    world.learn(What::Redeemed { paid: 1, orders: 1 });
    world.at(1_400);
    assert_eq!(world.taken(), [], "below the watermark");
    let mut world = World::new(false);
    world.opened(CaseId::Late { order: ORDER }, 1_500);
    world.at(1_500);
    assert_eq!(world.taken(), []);
}

#[test]
fn a_failed_transaction_is_sent_again_and_one_that_a_reorg_took_back_too() {
    let mut world = World::new(false);
    let at = world.opened(CaseId::Late { order: ORDER }, 2_000);
    world.at(1_500);
    let (first, _) = world.deeds[0].clone();
    world.feed(TowerInput::Acted { intent: first.clone(), outcome: Outcome::Unsent, why: None });
    world.at(1_505);
    assert_eq!(world.deeds[1].0, first, "not known to be mined: the same name");
    world.feed(TowerInput::Acted { intent: first.clone(), outcome: Outcome::Reverted, why: None });
    world.at(1_520);
    let (second, _) = world.deeds[2].clone();
    assert_ne!(second, first);
    world.feed(TowerInput::Acted {
        intent: second.clone(),
        outcome: Outcome::Mined { fee_wei: 1 },
        why: None,
    });
    let ended = world.learn(What::CaseEnded { case: CaseId::Late { order: ORDER }, paid: 0 });
    world.at(1_700);
    assert_eq!(world.deeds.len(), 3);
    assert!(world.tower.idle());
    world.feed(TowerInput::Chain { removed: vec![ended], added: Vec::new(), caught_up: true });
    assert!(!world.tower.idle());
    world.at(1_900);
    assert_eq!(world.deeds.len(), 4, "answered again");
    world.feed(TowerInput::Chain { removed: vec![at], added: Vec::new(), caught_up: true });
    assert_eq!(world.deeds.len(), 4);
}

#[test]
fn openings_need_no_leave_and_moves_do() {
    let mut world = World::new(false);
    let game = world.accused(LIAR, 1_100);
    assert_eq!(world.plays, [(game, 102)], "the answer is looked for at once");
    let nodes = Vec::new();
    world.feed(TowerInput::Played { game, turn: 102, result: Ok(Answer::Unfold { nodes }) });
    world.at(1_050);
    assert!(matches!(world.taken()[..], [Deed::Play { answer: Answer::Unfold { .. }, .. }]));
    world.challenged(game, 2_050);
    assert_eq!(world.plays.len(), 2);
    let answer = Answer::Move { pick: 0, states: Box::new([B256::ZERO; PARTS]) };
    world.feed(TowerInput::Played { game, turn: 4, result: Ok(answer) });
    world.at(1_600);
    world.at(1_601);
    assert_eq!(world.taken(), []);
    let warned =
        world.told.iter().filter(|event| matches!(event, TowerEvent::Unauthorised { .. })).count();
    assert_eq!(warned, 1, "once a turn");
    world.feed(TowerInput::Authority { court: COURT, provider: PROVIDER, until: 1_601 });
    assert_eq!(world.taken(), [], "it has ended");
    world.feed(TowerInput::Authority { court: COURT, provider: PROVIDER, until: 5_000 });
    let [Deed::Play { view, .. }] = &world.taken()[..] else { panic!("{:?}", world.told) };
    assert!(matches!(view.question, Question::Run { level: 4, .. }));
}

#[test]
fn an_accuser_whose_time_is_up_is_timed_out_after_the_provider_could_have() {
    let mut world = World::new(false);
    let game = world.accused(LIAR, 1_100);
    world.learn(What::Game(GameNews::Unfolded {
        game,
        place: 0,
        height: 0,
        deadline: 1_300,
        nodes: Vec::new(),
    }));
    world.at(1_331);
    assert_eq!(world.taken(), []);
    world.at(1_332);
    assert!(matches!(&world.taken()[..], [Deed::Timeout { .. }]));
    let verdict = GameEnd {
        verdict: rialto_protocol::court::Verdict::Timeout,
        accuser_won: false,
        slashed: false,
        to_accuser: 0,
        to_provider: 7,
        burned: 3,
    };
    world.learn(What::Game(GameNews::Ended { game, verdict }));
    let last = world.told.last().unwrap();
    assert!(
        matches!(last, TowerEvent::GameEnded { won: true, received: 7, bounty: 0, .. }),
        "{last:?}"
    );
}

#[test]
fn a_wrong_receipt_is_hopeless_to_defend() {
    let mut world = World::new(false);
    let game = world.accused(LIAR, 1_100);
    world.feed(TowerInput::Played { game, turn: 102, result: Ok(Answer::Nothing) });
    world.at(1_099);
    assert_eq!(world.taken(), []);
    assert!(world.told.contains(&TowerEvent::Hopeless { game, order: ORDER }));
}

#[test]
fn an_audit_accuses_what_is_wrong_once_and_plays_at_once() {
    let mut world = World::new(true);
    assert_eq!(world.audits, 1);
    world.opened(CaseId::Late { order: ORDER }, 2_000);
    world.at(1_999);
    assert_eq!(world.taken(), [], "it defends nobody");
    world.feed(TowerInput::Audited { order: ORDER, result: Ok(false) });
    assert_eq!(world.taken(), [Deed::Accuse { order: ORDER }]);
    let game = world.accused(ME, 2_500);
    world.at(2_400);
    assert_eq!((world.taken(), world.plays.len()), (vec![], 0), "the provider's turn");
    world.learn(What::Game(GameNews::Unfolded {
        game,
        place: 0,
        height: 0,
        deadline: 3_000,
        nodes: Vec::new(),
    }));
    world.feed(TowerInput::Played { game, turn: 101, result: Ok(Answer::Pick { index: 1 }) });
    assert!(matches!(&world.taken()[..], [Deed::Play { answer: Answer::Pick { index: 1 }, .. }]));
    world.learn(What::Game(GameNews::Ended {
        game,
        verdict: GameEnd {
            verdict: rialto_protocol::court::Verdict::Step,
            accuser_won: true,
            slashed: true,
            to_accuser: 10,
            to_provider: 0,
            burned: 0,
        },
    }));
    world.learn(What::Closed { paid: 0 });
    let bounty = share(deal().collateral, BOUNTY_BPS).unwrap();
    assert_eq!(bounty, 200);
    let ended =
        TowerEvent::GameEnded { deal: struct_hash(&deal()), game, won: true, received: 10, bounty };
    assert!(world.told.contains(&ended), "{:?}", world.told);
    world.at(9_000);
    assert_eq!(world.taken(), []);
    assert!(world.tower.idle() && world.tower.found_wrong());
}

#[test]
fn an_audit_that_finds_a_receipt_right_or_finds_nothing_accuses_nobody() {
    let mut world = World::new(true);
    world.feed(TowerInput::Audited { order: ORDER, result: Err("no memory".into()) });
    assert_eq!(world.audits, 1);
    world.at(1_300);
    assert_eq!(world.audits, 2, "again after a while");
    world.feed(TowerInput::Audited { order: ORDER, result: Ok(true) });
    world.at(5_000);
    assert_eq!((world.taken(), world.audits), (vec![], 2));
    let mut late = World::new(true);
    late.now = 10_100;
    late.feed(TowerInput::Audited { order: ORDER, result: Ok(false) });
    assert_eq!(late.taken(), [], "the court takes no accusation any more");
}
