//! Choice of a seller's moves: any move, a deliberate attacker's moves in the current state, and
//! every move of a small world.

use rialto_protocol::{B256, case::CaseKind};

use super::{Alley, Move};
use crate::{
    random::Random,
    search::{Play, Temptation, When, another_like, at_edge, waits, yard::PARAMS},
};

impl Move {
    /// Draws any move.
    pub fn draw(random: &mut Random) -> Self {
        let byte = |random: &mut Random| random.bits() as u8;
        let small = |random: &mut Random| random.pick(&[0, 0, 0, 1, 1, 2, 3]);
        match random.within(0..=39) {
            0..=1 => Self::Offer { who: byte(random), cheap: random.percent(30) },
            2..=3 => Self::Job { how: random.pick(&[0, 0, 0, 1, 2, 3]) },
            4..=7 => Self::Manner {
                who: byte(random),
                calls: random.percent(85),
                acks: random.percent(80),
                delivers: random.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]),
            },
            8..=9 => Self::Ack { order: small(random), due: byte(random) },
            10..=12 => Self::Deliver { order: small(random), how: byte(random) },
            13 => Self::Refuse { order: small(random), code: byte(random) },
            14 => Self::Release { deal: small(random), amount: byte(random) },
            15 => Self::Hangup { deal: small(random) },
            16..=17 => Self::Redeem { deal: small(random), which: small(random) },
            18..=22 => Self::Claim { order: small(random), how: byte(random) },
            23 => Self::Answer { order: small(random), how: byte(random) },
            24..=25 => Self::Reveal { which: small(random) },
            26..=28 => Self::Settle { which: small(random) },
            29 => Self::Expire { deal: small(random) },
            30..=31 => Self::Play { game: small(random), how: byte(random) },
            32 => Self::Timeout { game: small(random) },
            33 => Self::Accuse { order: small(random), who: byte(random) },
            34 => Self::Lag { seconds: random.pick(&[0, 1, 5, 20]) },
            35 => Self::Restart,
            36 => Self::Wait,
            37 => Self::Poor { bonds: random.pick(&[0, 1]), less: random.percent(50) },
            _ => Self::Weary { on: random.percent(60) },
        }
    }

    /// Returns the same move with one changed field.
    pub fn vary(&self, random: &mut Random) -> Self {
        another_like(self, || Self::draw(random))
    }
}

/// Returns sequences of honest trade, each up to another point.
pub(in crate::search) fn openings() -> Vec<Vec<Play<Move>>> {
    let now = |what: Move| Play { when: When::Now, what };
    let offers = || (0..2).map(|who| now(Move::Offer { who, cheap: false }));
    let job = |how| now(Move::Job { how });
    let manner = |who, delivers| now(Move::Manner { who, calls: true, acks: true, delivers });
    let begun = |manners: [u8; 2]| {
        let manners = (0..).zip(manners).map(|(who, delivers)| manner(who, delivers));
        offers().chain(manners).chain([job(0)]).collect::<Vec<_>>()
    };
    let poor = |bonds, less| {
        let poor = Move::Poor { bonds, less };
        let manners = (0..2).map(|who| manner(who, 8));
        offers().chain(manners).chain([now(poor), job(0)]).collect::<Vec<_>>()
    };
    vec![
        begun([0, 0]),
        begun([0, 8]),
        begun([8, 8]),
        begun([2, 0]),
        // Requesters that cannot run tasks, and requesters with little money.
        std::iter::once(now(Move::Weary { on: true })).chain(begun([8, 8])).collect(),
        poor(1, false),
        poor(1, true),
    ]
}

/// Returns the moves of a deliberate attacker in the current state, with their weights: moves that
/// claim what is not due, take money that can be taken, or wait, at the deadlines. The search
/// extends sequences by these.
pub(in crate::search) fn temptations(alley: &Alley) -> Vec<Temptation<Move>> {
    let (foe, now, moments) = (&alley.foe, alley.yard.now, alley.moments());
    let mut all = waits(Move::Wait);
    let mut add =
        |weight: u32, when: When, what: Move| all.push((weight, vec![Play { when, what }]));
    let edge = |at: u64, shift: i8| at_edge(&moments, at, shift);
    if foe.deals.is_empty() {
        (0..2).for_each(|who| add(2, When::Now, Move::Offer { who, cheap: false }));
        add(3, When::Now, Move::Job { how: 0 });
    }
    for (order, known) in (0..).zip(foe.orders.iter().rev().take(6)) {
        let Some(deal) = foe.known(known.deal()).filter(|deal| alley.is_open(deal.id)) else {
            continue;
        };
        let case = |kind| {
            foe.cases
                .iter()
                .any(|(_, case, _)| case.kind() == kind && case.subject() == B256::from(known.hash))
        };
        if !case(CaseKind::Claim) {
            [0, 1, 2, 5].into_iter().for_each(|how| add(1, When::Now, Move::Claim { order, how }));
            add(1, edge(deal.deal.expiry, 1), Move::Claim { order, how: 1 });
            add(1, edge(deal.deal.expiry + PARAMS.grace, -1), Move::Claim { order, how: 1 });
        }
        if case(CaseKind::Late) {
            add(2, When::Now, Move::Answer { order, how: 1 });
        }
        if !known.said.is_empty() {
            add(1, When::Now, Move::Accuse { order, who: 4 });
        }
        [0, 1, 2].into_iter().for_each(|how| add(1, When::Now, Move::Deliver { order, how }));
    }
    for (which, (.., deadline)) in (0..).zip(foe.cases.iter().rev().take(6)) {
        [0, 1].into_iter().for_each(|shift| add(3, edge(*deadline, shift), Move::Settle { which }));
    }
    let demands =
        foe.cases.iter().rev().filter(|(_, case, _)| case.kind() == CaseKind::Demand).take(4);
    for (which, (.., deadline)) in (0..).zip(demands) {
        add(1, When::Now, Move::Reveal { which });
        add(3, edge(*deadline, -1), Move::Reveal { which });
    }
    for (deal, known) in (0..).zip(foe.deals.iter().rev().take(3)) {
        if alley.is_open(known.id) {
            add(1, When::Now, Move::Redeem { deal, which: 0 });
            add(1, When::Now, Move::Redeem { deal, which: 1 });
            add(1, When::Now, Move::Release { deal, amount: 1 });
            add(1, edge(known.deal.expiry + PARAMS.grace, 0), Move::Expire { deal });
        }
    }
    let running: Vec<_> = foe.games.iter().rev().filter(|game| game.story.end.is_none()).collect();
    for (game, played) in (0..).zip(running.iter().take(4)) {
        add(1, edge(played.story.view.deadline, 0), Move::Timeout { game });
        if !played.story.view.accusers_turn {
            add(2, When::Now, Move::Play { game, how: (now % 256) as u8 });
        }
    }
    add(1, When::Now, Move::Restart);
    add(1, When::Now, Move::Lag { seconds: 20 });
    add(1, When::Now, Move::Weary { on: !alley.house.weary });
    // Whole claims: opened, then left alone or revealed at the last moment, and settled.
    let window = u16::try_from(PARAMS.challenge_window).unwrap_or(u16::MAX);
    let later = |seconds, what| Play { when: When::Later(seconds), what };
    for order in 0..foe.orders.len().min(4) as u8 {
        for how in [1, 2] {
            let claim = later(0, Move::Claim { order, how });
            all.push((1, vec![claim.clone(), later(window, Move::Settle { which: 0 })]));
            let shown = later(window + 1, Move::Reveal { which: 0 });
            all.push((1, vec![claim, shown, later(0, Move::Settle { which: 0 })]));
        }
    }
    if foe.orders.len() > 1 {
        let claims = [0, 1].map(|order| later(0, Move::Claim { order, how: 1 }));
        let settled =
            [later(window + 20, Move::Settle { which: 0 }), later(0, Move::Settle { which: 1 })];
        all.push((3, claims.into_iter().chain(settled).collect()));
    }
    all
}

/// Returns every move of a small world: one seller, a job of four tasks, one second account of the
/// seller's, at the edges of every time window.
pub(in crate::search) fn choices(alley: &Alley) -> Vec<Play<Move>> {
    let foe = &alley.foe;
    let mut all = Vec::new();
    let mut now = |what: Move| all.push(Play { when: When::Now, what });
    for order in 0..foe.orders.len().min(2) as u8 {
        for how in [0, 1, 2, 4, 5] {
            now(Move::Claim { order, how });
        }
        now(Move::Deliver { order, how: 0 });
        now(Move::Deliver { order, how: 2 });
        now(Move::Answer { order, how: 1 });
        now(Move::Accuse { order, who: 4 });
    }
    now(Move::Redeem { deal: 0, which: 0 });
    now(Move::Redeem { deal: 0, which: 1 });
    now(Move::Release { deal: 0, amount: 1 });
    now(Move::Settle { which: 0 });
    now(Move::Expire { deal: 0 });
    if foe.game_runs() {
        now(Move::Play { game: 0, how: 0 });
        now(Move::Timeout { game: 0 });
    }
    for (which, shift) in [(0, -1), (0, 0), (0, 1), (1, 0)] {
        all.push(Play { when: When::Edge { which, shift }, what: Move::Wait });
    }
    all.push(Play { when: When::Later(20), what: Move::Wait });
    all
}

/// Returns the states in which small worlds begin: orders are acked, or delivered and paid.
pub(in crate::search) fn roots() -> Vec<Vec<Play<Move>>> {
    let now = |what: Move| Play { when: When::Now, what };
    let begun = |delivers| {
        vec![
            now(Move::Offer { who: 0, cheap: false }),
            now(Move::Manner { who: 0, calls: true, acks: true, delivers }),
            now(Move::Job { how: 0 }),
            Play { when: When::Later(60), what: Move::Wait },
        ]
    };
    vec![begun(8), begun(0)]
}
