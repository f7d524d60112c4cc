//! Choice of a buyer's moves: any move, a deliberate attacker's moves in the current state, and
//! every move of a small world.

use rialto_protocol::B256;

use super::{Move, Street};
use crate::{
    random::Random,
    search::{Play, Temptation, When, another_like, at_edge, waits, yard::PARAMS},
};

impl Move {
    /// Draws any move.
    pub fn draw(random: &mut Random) -> Self {
        let byte = |random: &mut Random| random.bits() as u8;
        // Small numbers choose the newest object and the most usual value.
        let small = |random: &mut Random| random.pick(&[0, 0, 0, 1, 1, 2, 3]);
        match random.within(0..=40) {
            0..=2 => Self::Open {
                who: byte(random),
                budget: small(random),
                seconds: small(random),
                back: small(random),
            },
            3..=7 => Self::Order {
                deal: small(random),
                tasks: byte(random),
                fuel: small(random),
                due: byte(random),
                seq: byte(random),
                starve: random.percent(15),
                slow: random.percent(20),
            },
            8 => Self::Serve { order: small(random) },
            9 => Self::Again { order: small(random) },
            10..=13 => Self::Voucher {
                deal: small(random),
                pay: random.pick(&[0, 0, 0, 1, 2, 3, 4, 5]),
                upto: random.pick(&[0, 0, 0, 1, 2, 3]),
                close: random.percent(30),
            },
            14 => Self::OldVoucher { which: byte(random) },
            15..=16 => Self::Cancel { order: small(random), signed: random.percent(50) },
            17..=18 => Self::Reject {
                order: small(random),
                task: byte(random),
                times: random.pick(&[0, 0, 3, 15]),
            },
            19..=20 => {
                Self::AskRelease { deal: small(random), amount: random.pick(&[0, 1, 1, 2, 3]) }
            }
            21 => Self::Hangup { deal: small(random) },
            22..=23 => Self::Late { order: small(random) },
            24 => Self::Demand { order: small(random), task: byte(random) },
            25 => Self::Close { deal: small(random) },
            26 => Self::Excuse { order: small(random) },
            27 => Self::Settle { which: small(random) },
            28 => Self::Expire { deal: small(random) },
            29..=30 => Self::Accuse {
                order: small(random),
                who: byte(random),
                times: random.pick(&[0, 0, 1, 3, 7]),
            },
            31..=32 => Self::Press { game: small(random), how: byte(random) },
            33 => Self::PressAll { how: byte(random) },
            34 => Self::Timeout { game: small(random) },
            35 => Self::Lag { seconds: random.pick(&[0, 1, 5, 20]) },
            36 => Self::Restart,
            37 => Self::Break,
            38 => Self::Repair,
            _ => Self::Wait,
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
    let later = |seconds: u16, what: Move| Play { when: When::Later(seconds), what };
    let open = now(Move::Open { who: 0, budget: 0, seconds: 0, back: 0 });
    let order = |tasks: u8| {
        later(
            5,
            Move::Order { deal: 0, tasks, fuel: 0, due: 0, seq: 0, starve: false, slow: false },
        )
    };
    let paid = later(150, Move::Voucher { deal: 0, pay: 0, upto: 0, close: false });
    let closed = later(150, Move::Voucher { deal: 0, pay: 0, upto: 0, close: true });
    let accused = later(150, Move::Accuse { order: 0, who: 0, times: 0 });
    let slow =
        now(Move::Order { deal: 0, tasks: 1, fuel: 0, due: 0, seq: 0, starve: false, slow: true });
    let often = |order| now(Move::Accuse { order, who: 0, times: 7 });
    let answered = || later(2, Move::Wait);
    let much =
        vec![open.clone(), order(1), paid.clone(), order(1), paid.clone(), order(1), paid.clone()];
    let mut fails = much.clone();
    fails.push(now(Move::Break));
    let busy = (0..4)
        .flat_map(|who| [now(Move::Open { who, budget: 0, seconds: 0, back: 0 }), slow.clone()]);
    vec![
        vec![open.clone(), order(0), answered()],
        vec![open.clone(), order(0), paid.clone()],
        vec![open.clone(), order(0), paid.clone(), order(1), answered()],
        much,
        // The provider's machine fails while much of its work is unpaid.
        fails,
        vec![open.clone(), order(1), accused.clone()],
        vec![open.clone(), order(1), paid, order(1), accused, often(1), often(0)],
        vec![open, order(0), closed],
        busy.chain([answered()]).collect(),
    ]
}

/// Returns the moves of a deliberate attacker in the current state, with their weights: moves that
/// break a promise, take money that can be taken, or wait, at the deadlines. The search extends
/// sequences by these.
pub(in crate::search) fn temptations(street: &Street) -> Vec<Temptation<Move>> {
    let (foe, now, moments) = (&street.foe, street.yard.now, street.moments());
    let mut all = waits(Move::Wait);
    let mut add = |weight: u32, when: When, what: Move| {
        let answered = matches!(what, Move::Order { .. })
            .then_some(Play { when: When::Later(2), what: Move::Wait });
        all.push((weight, std::iter::once(Play { when, what }).chain(answered).collect()));
    };
    let edge = |at: u64| at_edge(&moments, at, 0);
    let recent =
        || (0..).zip(foe.deals.iter().rev().take(4)).filter(|(_, known)| street.is_open(known.id));
    if recent().count() < 4 {
        (0..2)
            .for_each(|who| add(1, When::Now, Move::Open { who, budget: 0, seconds: 0, back: 0 }));
    }
    for (deal, known) in recent() {
        for (tasks, slow) in [(1, true), (0, false)] {
            // The provider has answered it by the time of the next move.
            add(
                2,
                When::Now,
                Move::Order { deal, tasks, fuel: 0, due: 0, seq: 0, starve: false, slow },
            );
        }
        add(1, When::Later(150), Move::Voucher { deal, pay: 0, upto: 0, close: false });
        add(1, When::Now, Move::Voucher { deal, pay: 0, upto: 0, close: true });
        add(2, When::Now, Move::AskRelease { deal, amount: 1 });
        if foe.releases.contains_key(&known.id) {
            add(3, When::Now, Move::Close { deal });
        }
        add(1, edge(known.deal.expiry + PARAMS.grace), Move::Expire { deal });
    }
    for (order, placed) in (0..).zip(foe.orders.iter().rev().take(8)) {
        if !street.is_open(placed.order.deal) {
            continue;
        }
        let called = foe.cases.iter().any(|(_, case, _)| case.subject() == B256::from(placed.hash));
        if let Some(ack) = placed.ack.as_ref().filter(|_| !called && placed.receipt.is_none()) {
            add(6, edge(ack.value.dueBy.max(placed.order.dueBy)), Move::Late { order });
            add(1, When::Now, Move::Cancel { order, signed: true });
            add(1, When::Now, Move::Cancel { order, signed: false });
        }
        if placed.receipt.is_some() {
            add(1, When::Now, Move::Demand { order, task: 0 });
            add(1, When::Now, Move::Reject { order, task: 0, times: 15 });
            add(1, When::Now, Move::Accuse { order, who: 2, times: 0 });
            add(1, When::Now, Move::Accuse { order, who: 0, times: 7 });
        }
    }
    for (which, (.., deadline)) in (0..).zip(foe.cases.iter().rev().take(6)) {
        add(6, edge(*deadline), Move::Settle { which });
    }
    let running: Vec<_> = foe.games.iter().rev().filter(|game| game.story.end.is_none()).collect();
    if running.iter().any(|game| game.story.view.accusers_turn) {
        add(3, When::Now, Move::Press { game: 0, how: (now % 256) as u8 });
        add(5, When::Now, Move::PressAll { how: (now % 256) as u8 });
    }
    for (game, played) in (0..).zip(running.iter().take(4)) {
        add(1, edge(played.story.view.deadline), Move::Timeout { game });
    }
    add(3, When::Now, if street.shop.broken { Move::Repair } else { Move::Break });
    add(1, When::Now, Move::Restart);
    add(1, When::Now, Move::Lag { seconds: 20 });
    // Whole cases: opened, then left alone for the whole answer window.
    let windows = u16::try_from(PARAMS.answer_window).unwrap_or(u16::MAX);
    let mut case = |weight: u32, when: When, what: Move| {
        let settle = Play { when: When::Later(windows), what: Move::Settle { which: 0 } };
        all.push((weight, vec![Play { when, what }, settle]));
    };
    for (order, placed) in (0..).zip(foe.orders.iter().rev().take(4)) {
        match &placed.ack {
            Some(ack) if placed.receipt.is_none() => {
                case(6, edge(ack.value.dueBy.max(placed.order.dueBy)), Move::Late { order });
            }
            _ if placed.receipt.is_some() => case(2, When::Now, Move::Demand { order, task: 0 }),
            _ => {}
        }
    }
    if foe.orders.iter().any(|placed| placed.receipt.is_some()) {
        let press =
            |seconds, how| Play { when: When::Later(seconds), what: Move::PressAll { how } };
        let accuse =
            |order| Play { when: When::Now, what: Move::Accuse { order, who: 0, times: 7 } };
        let wait = Play { when: When::Later(windows), what: Move::Wait };
        all.push((4, vec![accuse(0), accuse(1), press(20, 0), press(20, 0), wait]));
    }
    all
}

/// Returns every move of a small world: one deal, two orders of two tasks, one accuser, at the
/// edges of every time window.
pub(in crate::search) fn choices(street: &Street) -> Vec<Play<Move>> {
    let foe = &street.foe;
    let mut all = Vec::new();
    let mut now = |what: Move| all.push(Play { when: When::Now, what });
    if foe.orders.len() < 2 {
        now(Move::Order { deal: 0, tasks: 0, fuel: 0, due: 0, seq: 0, starve: false, slow: true });
    }
    for order in 0..foe.orders.len() as u8 {
        now(Move::Late { order });
        now(Move::Demand { order, task: 0 });
        now(Move::Accuse { order, who: 2, times: 0 });
        now(Move::Cancel { order, signed: true });
        now(Move::Cancel { order, signed: false });
        now(Move::Reject { order, task: 0, times: 1 });
    }
    for (pay, upto, close) in [(0, 0, false), (0, 0, true), (2, 2, false), (1, 2, true)] {
        now(Move::Voucher { deal: 0, pay, upto, close });
    }
    now(Move::AskRelease { deal: 0, amount: 1 });
    now(Move::Close { deal: 0 });
    now(Move::Settle { which: 0 });
    now(Move::Expire { deal: 0 });
    if foe.game_runs() {
        for how in [0, 1] {
            now(Move::Press { game: 0, how });
        }
        now(Move::Timeout { game: 0 });
    }
    for (which, shift) in [(0, -1), (0, 0), (0, 1), (1, 0)] {
        all.push(Play { when: When::Edge { which, shift }, what: Move::Wait });
    }
    all.push(Play { when: When::Later(20), what: Move::Wait });
    all
}

/// Returns the states in which small worlds begin: an order is sent; it is acked; it is delivered;
/// it is paid, and another one is acked.
pub(in crate::search) fn roots() -> Vec<Vec<Play<Move>>> {
    let order =
        Move::Order { deal: 0, tasks: 0, fuel: 0, due: 0, seq: 0, starve: false, slow: true };
    let open =
        Play { when: When::Now, what: Move::Open { who: 0, budget: 0, seconds: 2, back: 0 } };
    let ordered = Play { when: When::Later(5), what: order };
    let later = |seconds, what| Play { when: When::Later(seconds), what };
    let promised = vec![open, ordered.clone(), later(2, Move::Wait)];
    let mut delivered = promised.clone();
    delivered.push(later(200, Move::Wait));
    let mut again = delivered.clone();
    again.extend([
        later(0, Move::Voucher { deal: 0, pay: 0, upto: 0, close: false }),
        ordered,
        later(2, Move::Wait),
    ]);
    vec![promised, delivered, again]
}
