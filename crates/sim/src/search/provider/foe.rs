//! Hostile buyers: several accounts with money, their keys, everything that they have received, and
//! every move that they can make with it. Indices count from the newest object, so that the same
//! move refers to the latest object whenever it is made.

mod plays;

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, B256, Bytes, DealId, GameId, OrderId,
    court::{Answer, Challenge, GameNews, GameStory, Question},
    keccak256,
    model::{Call, DealStatus, Terms, court::CourtCall},
    receipt::{Halted, SumTree, inputs_proof, inputs_root},
    types::{Ack, Cancel, Deal, Order, Receipt, Release, Voucher, struct_hash},
    wire::{BlobRef, Payload, Signed, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_provider::core::{Event, Fact, What};

use super::{Street, Weakness};
use crate::{
    check::Broken,
    compute::{self, FUEL_LIMIT, LEVEL, OUT_LIMIT, Trace},
    desk::turn,
    ledger::Act,
    search::yard::{key, sign},
};

pub(super) use plays::{choices, openings, roots, temptations};

/// Number of accounts. The first two buy, and all of them accuse.
const ACCOUNTS: usize = 8;
const BUYERS: usize = 2;

/// Moves of a hostile buyer. Each index is taken modulo the number of candidates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are those of the protocol
pub enum Move {
    Open { who: u8, budget: u8, seconds: u8, back: u8 },
    Order { deal: u8, tasks: u8, fuel: u8, due: u8, seq: u8, starve: bool, slow: bool },
    Serve { order: u8 },
    Again { order: u8 },
    Voucher { deal: u8, pay: u8, upto: u8, close: bool },
    OldVoucher { which: u8 },
    Cancel { order: u8, signed: bool },
    Reject { order: u8, task: u8, times: u8 },
    AskRelease { deal: u8, amount: u8 },
    Hangup { deal: u8 },
    Late { order: u8 },
    Demand { order: u8, task: u8 },
    Close { deal: u8 },
    Excuse { order: u8 },
    Settle { which: u8 },
    Expire { deal: u8 },
    Accuse { order: u8, who: u8, times: u8 },
    Press { game: u8, how: u8 },
    PressAll { how: u8 },
    Timeout { game: u8 },
    Wait,
    Lag { seconds: u8 },
    Restart,
    Break,
    Repair,
}

/// One opened deal.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub id: DealId,
    pub deal: Deal,
    pub who: usize,
}

/// One order that was sent, with the provider's answers to it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub order: Order,
    pub hash: OrderId,
    inputs: Vec<B256>,
    starve: bool,
    slow: bool,
    ack: Option<Signed<Ack>>,
    receipt: Option<Signed<Receipt>>,
    results: Vec<Halted>,
    /// Whether it was cancelled without a signature, as the provider with that defect accepts it.
    unsigned: bool,
}

impl Placed {
    /// Whether it was promised and not delivered.
    pub(super) fn is_owed(&self) -> bool {
        self.ack.is_some() && self.receipt.is_none()
    }
}

/// One dispute that a hostile buyer began.
#[derive(Clone, Debug)]
struct Played {
    id: GameId,
    deal: DealId,
    story: GameStory,
    who: usize,
}

/// All hostile buyers, as one player.
#[derive(Clone, Debug)]
pub struct Foe {
    /// Deals, oldest first.
    pub(super) deals: Vec<Opened>,
    pub(super) orders: Vec<Placed>,
    vouchers: Vec<Signed<Voucher>>,
    releases: BTreeMap<DealId, Signed<Release>>,
    sessions: BTreeMap<DealId, u64>,
    last_session: u64,
    games: Vec<Played>,
    cases: Vec<(DealId, CaseId, u64)>,
    salt: u64,
}

fn name(who: usize) -> String {
    format!("foe {who}")
}

fn account(who: usize) -> Address {
    key(&name(who)).address()
}

/// Returns the element `back` places before the newest one.
fn newest<T>(all: &[T], back: u8) -> Option<&T> {
    if all.is_empty() { None } else { all.get(all.len() - 1 - usize::from(back) % all.len()) }
}

impl Foe {
    pub(super) fn new() -> Self {
        Self {
            deals: Vec::new(),
            orders: Vec::new(),
            vouchers: Vec::new(),
            releases: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            games: Vec::new(),
            cases: Vec::new(),
            salt: 0,
        }
    }

    /// Returns all accounts.
    pub fn accounts(&self) -> impl Iterator<Item = Address> + use<> {
        (0..ACCOUNTS).map(account)
    }

    pub(super) fn serves(&self, order: OrderId) -> bool {
        self.orders.iter().any(|placed| placed.hash == order && !placed.starve)
    }

    pub(super) fn is_slow(&self, order: OrderId) -> bool {
        self.orders.iter().any(|placed| placed.hash == order && placed.slow)
    }

    pub(super) fn cancelled_unsigned(&self, order: OrderId) -> bool {
        self.orders.iter().any(|placed| placed.hash == order && placed.unsigned)
    }

    pub(super) fn sessions_end(&mut self) {
        self.sessions.clear();
    }

    pub(super) fn hung_up(&mut self, session: u64) {
        self.sessions.retain(|_, known| *known != session);
    }

    /// Returns the number of disputes over receipts of the provider.
    pub(super) fn games(&self) -> usize {
        self.games.len()
    }

    pub(super) fn game_runs(&self) -> bool {
        self.games.iter().any(|game| game.story.end.is_none())
    }

    /// Returns a dispute in which the provider has missed its deadline.
    pub(super) fn missed_turn(&self, now: u64) -> Option<GameId> {
        let missed = |game: &&Played| {
            let view = &game.story.view;
            game.story.end.is_none() && !view.accusers_turn && now >= view.deadline
        };
        self.games.iter().find(missed).map(|game| game.id)
    }

    /// Returns whether a dispute or a case is open.
    pub(super) fn is_at_law(&self) -> bool {
        self.game_runs() || !self.cases.is_empty()
    }

    /// Records a message of the provider.
    pub(super) fn hear(&mut self, session: u64, message: ToRequester) {
        if !self.sessions.values().any(|known| *known == session) {
            return;
        }
        let placed = |orders: &mut Vec<Placed>, hash: OrderId| {
            orders.iter().position(|placed| placed.hash == hash)
        };
        match message {
            ToRequester::Ack(ack) => {
                if let Some(at) = placed(&mut self.orders, ack.value.order) {
                    self.orders[at].ack = Some(ack);
                }
            }
            ToRequester::Receipt { receipt, results, .. } => {
                if let Some(at) = placed(&mut self.orders, receipt.value.order) {
                    (self.orders[at].receipt, self.orders[at].results) = (Some(receipt), results);
                }
            }
            ToRequester::Release(release) => {
                drop(self.releases.insert(release.value.deal, release))
            }
            ToRequester::Welcome { .. }
            | ToRequester::Refuse { .. }
            | ToRequester::Progress { .. } => {}
        }
    }

    /// Records an event of the chain.
    pub(super) fn learn(&mut self, fact: &Fact) {
        match &fact.what {
            What::CaseOpened { case, deadline, .. } => {
                self.cases.push((fact.deal, *case, *deadline))
            }
            What::CaseEnded { case, .. } => {
                self.cases.retain(|(deal, known, _)| (*deal, *known) != (fact.deal, *case))
            }
            What::Game(GameNews::Accused(view)) => {
                let who = (0..ACCOUNTS).find(|who| account(*who) == view.game.accuser).unwrap_or(0);
                self.games.push(Played {
                    id: struct_hash(&view.game),
                    deal: fact.deal,
                    story: GameStory::new((**view).clone()),
                    who,
                });
            }
            What::Game(news) => {
                let of = |game: &&mut Played| Some(game.id) == news.game();
                if let Some(game) = self.games.iter_mut().find(of) {
                    game.story.learn(news);
                }
            }
            What::Opened(deal) => {
                let who = (0..BUYERS).find(|who| account(*who) == deal.requester).unwrap_or(0);
                self.deals.push(Opened { id: fact.deal, deal: (**deal).clone(), who });
            }
            What::Redeemed { .. } | What::Closed { .. } => {}
        }
    }

    /// Returns all known deadlines.
    pub(super) fn moments(&self) -> Vec<u64> {
        let mut moments: Vec<u64> = self.cases.iter().map(|(.., deadline)| *deadline).collect();
        moments.extend(
            self.games
                .iter()
                .filter(|game| game.story.end.is_none())
                .map(|game| game.story.view.deadline),
        );
        moments.extend(self.orders.iter().map(|placed| placed.order.dueBy));
        moments.extend(
            self.orders.iter().filter_map(|placed| placed.ack.as_ref()).map(|ack| ack.value.dueBy),
        );
        moments
    }

    fn deal(&self, back: u8) -> Option<(Deal, usize)> {
        newest(&self.deals, back).map(|known| (known.deal.clone(), known.who))
    }

    fn terms(&self, id: DealId) -> Option<(Deal, usize)> {
        self.deals.iter().find(|known| known.id == id).map(|known| (known.deal.clone(), known.who))
    }

    fn task(&self, receipt: &Receipt) -> Option<&Placed> {
        self.orders.iter().find(|placed| placed.hash == receipt.order)
    }

    /// Returns an accuser's answer in a dispute, correct or wrong depending on `how`.
    fn pressed(&self, game: &Played, how: u8) -> Option<(usize, CourtCall)> {
        let (deal, _) = self.terms(game.deal)?;
        let view = &game.story.view;
        let placed = self.task(&view.receipt)?;
        let order = placed.order.clone();
        if !view.accusers_turn {
            // Any account may unfold the receipt's tree in the provider's place.
            let Question::Node { height, place } = view.question else { return None };
            let nodes =
                SumTree::over(&placed.results, order.fuelLimit).unfold(height.into(), place)?;
            return (how % 8 == 7)
                .then(|| (game.who, CourtCall::Unfold { game: view.game.clone(), order, nodes }));
        }
        let lying = |task: u32| {
            let right = Trace::of(&order, task, *placed.inputs.get(task as usize)?);
            Some(right.lying(u64::from(how), B256::repeat_byte(how | 1)))
        };
        let answer = match &view.question {
            Question::Node { .. } => return None,
            Question::Nodes { height: 0, nodes, place } => {
                let index = u32::from(how) % (nodes.len() as u32);
                let task = place * nodes.len() as u32 + index;
                let input = *placed.inputs.get(task as usize)?;
                Answer::Challenge(Box::new(Challenge {
                    index,
                    input,
                    input_proof: inputs_proof(&placed.inputs, task),
                    parts: compute::parts(input),
                    states: Box::new(lying(task)?.dissect(0, LEVEL)),
                }))
            }
            Question::Nodes { nodes, .. } => {
                Answer::Pick { index: u32::from(how) % nodes.len() as u32 }
            }
            Question::Run { task, level, position, segment, .. } => {
                match lying(*task)?.answer(*position, *level, segment) {
                    Answer::Nothing if *level > 1 => {
                        let states = Box::new(std::array::from_fn(|at| keccak256([how, at as u8])));
                        Answer::Move { pick: u32::from(how) % 16, states }
                    }
                    answer => answer,
                }
            }
        };
        Some((game.who, turn(deal, order, view, answer)?))
    }
}

impl Street {
    /// Makes a move, if it is possible.
    pub(super) fn make(&mut self, what: &Move) -> Result<(), Broken> {
        self.yard.tell(|| format!("foe: {what:?}"));
        match *what {
            Move::Open { who, budget, seconds, back } => self.open(who, budget, seconds, back),
            Move::Order { deal, .. } => match self.foe.deal(deal) {
                Some((deal, _)) => self.place_order(&deal, what),
                None => Ok(()),
            },
            Move::Serve { order } => {
                let served = newest(&self.foe.orders, order).map(|placed| placed.hash);
                let Some(hash) = served else { return Ok(()) };
                for placed in self.foe.orders.iter_mut().filter(|placed| placed.hash == hash) {
                    placed.starve = false;
                }
                self.serve(hash);
                Ok(())
            }
            Move::Again { order } => {
                let Some(placed) = newest(&self.foe.orders, order).cloned() else { return Ok(()) };
                self.send_order(&placed)
            }
            Move::Voucher { deal, pay, upto, close } => self.pay(deal, pay, upto, close),
            Move::OldVoucher { which } => match newest(&self.foe.vouchers, which).cloned() {
                Some(voucher) => self.send(voucher.value.deal, ToProvider::Voucher(voucher)),
                None => Ok(()),
            },
            Move::Cancel { order, signed } => self.cancel(order, signed),
            Move::Reject { order, task, times } => {
                let Some(placed) = newest(&self.foe.orders, order).cloned() else { return Ok(()) };
                for more in 0..=u32::from(times % 16) {
                    let task = (u32::from(task) + more) % placed.order.tasks.max(1);
                    let message =
                        ToProvider::Reject { order: placed.hash, task, expected: B256::ZERO };
                    self.rejection(&message);
                    self.send(placed.order.deal, message)?;
                }
                Ok(())
            }
            Move::AskRelease { deal, amount } => {
                let Some((deal, _)) = self.foe.deal(deal) else { return Ok(()) };
                let id = struct_hash(&deal);
                let fees = self.fees(id);
                let amount = [0, fees, deal.budget, fees + 1][usize::from(amount) % 4];
                if self.releases_easily(id, amount) {
                    let release = sign(&self.shop.key, Release { deal: id, amount });
                    self.foe.releases.insert(id, release);
                    return Ok(());
                }
                self.send(id, ToProvider::AskRelease { amount })
            }
            Move::Hangup { deal } => {
                let Some((deal, _)) = self.foe.deal(deal) else { return Ok(()) };
                match self.foe.sessions.remove(&struct_hash(&deal)) {
                    Some(session) => self.feed(Event::Disconnected { session }),
                    None => Ok(()),
                }
            }
            Move::Wait => Ok(()),
            Move::Lag { seconds } => {
                self.shop.lag = u64::from(seconds % 21);
                Ok(())
            }
            Move::Restart => self.restart(),
            Move::Break => {
                (self.shop.broken, self.shop.failed) = (true, true);
                Ok(())
            }
            Move::Repair => {
                self.shop.broken = false;
                Ok(())
            }
            _ => match self.on_chain(what) {
                Some(calls) => calls
                    .into_iter()
                    .try_for_each(|(who, act)| self.call(account(who), &act).map(drop)),
                None => Ok(()),
            },
        }
    }

    /// Returns the calls of a move, each with its account, if the move consists of calls.
    fn on_chain(&self, what: &Move) -> Option<Vec<(usize, Act)>> {
        let foe = &self.foe;
        let market = |who: usize, call: Call| Some(vec![(who, Act::Market(call))]);
        match *what {
            Move::Late { order } => {
                let placed = newest(&foe.orders, order)?;
                let ((deal, who), ack) = (foe.terms(placed.order.deal)?, placed.ack.clone()?);
                let order = placed.order.clone();
                market(who, Call::Late { deal, order, ack: ack.value, signature: ack.signature })
            }
            Move::Demand { order, task } => {
                let placed = newest(&foe.orders, order)?;
                let ((deal, who), receipt) =
                    (foe.terms(placed.order.deal)?, placed.receipt.clone()?);
                let task = u32::from(task) % placed.order.tasks;
                let (order, signature) = (placed.order.clone(), receipt.signature);
                market(who, Call::Demand { deal, order, receipt: receipt.value, signature, task })
            }
            Move::Close { deal } => {
                let (deal, who) = foe.deal(deal)?;
                let release = foe.releases.get(&struct_hash(&deal))?.clone();
                market(
                    who,
                    Call::Close { deal, release: release.value, signature: release.signature },
                )
            }
            Move::Excuse { order } => {
                let placed = newest(&foe.orders, order)?;
                let (deal, who) = foe.terms(placed.order.deal)?;
                let cancel = sign(&key(&name(who)), Cancel { order: placed.hash });
                market(
                    who,
                    Call::Excuse { deal, cancel: cancel.value, signature: cancel.signature },
                )
            }
            Move::Settle { which } => {
                let (deal, case, _) = newest(&foe.cases, which)?;
                let (deal, who) = foe.terms(*deal)?;
                market(who, Call::Settle { deal, case: *case })
            }
            Move::Expire { deal } => {
                let (deal, who) = foe.deal(deal)?;
                market(who, Call::Expire { deal })
            }
            Move::Accuse { order, who, times } => {
                let placed = newest(&foe.orders, order)?;
                let ((deal, _), receipt) = (foe.terms(placed.order.deal)?, placed.receipt.clone()?);
                let accuse = |more: usize| {
                    let (order, signature) = (placed.order.clone(), receipt.signature.clone());
                    let call = CourtCall::Accuse {
                        deal: deal.clone(),
                        order,
                        receipt: receipt.value.clone(),
                        signature,
                    };
                    ((usize::from(who) + more) % ACCOUNTS, Act::Court(call))
                };
                Some((0..=usize::from(times) % ACCOUNTS).map(accuse).collect())
            }
            Move::Press { game, how } => {
                let running: Vec<_> =
                    foe.games.iter().filter(|game| game.story.end.is_none()).collect();
                let (who, call) = foe.pressed(newest(&running, game)?, how)?;
                Some(vec![(who, Act::Court(call))])
            }
            Move::PressAll { how } => {
                let running = foe.games.iter().filter(|game| game.story.end.is_none());
                // Each dispute gets another `how`, so that each is about another task.
                let all = (how..=255)
                    .chain(0..how)
                    .zip(running)
                    .filter_map(|(how, game)| foe.pressed(game, how));
                Some(all.map(|(who, call)| (who, Act::Court(call))).collect())
            }
            Move::Timeout { game } => {
                let running: Vec<_> =
                    foe.games.iter().filter(|game| game.story.end.is_none()).collect();
                let game = newest(&running, game)?;
                let (deal, _) = foe.terms(game.deal)?;
                let call = CourtCall::Timeout { deal, game: game.story.view.game.clone() };
                Some(vec![(game.who, Act::Court(call))])
            }
            _ => None,
        }
    }

    fn open(&mut self, who: u8, budget: u8, seconds: u8, back: u8) -> Result<(), Broken> {
        let Some(ask) = self.shop.ask.clone() else { return Ok(()) };
        let who = usize::from(who) % BUYERS;
        self.foe.salt += 1;
        let terms = Terms {
            key: account(who),
            budget: [60_000, 20_000, 5_000, 1_000][usize::from(budget) % 4],
            opened_at: self.yard.now - [0, 1, 599, 600][usize::from(back) % 4],
            duration: [1_800, 3_600, 900, 601][usize::from(seconds) % 4],
            max_price: ask.value.priceStart,
            salt: self.foe.salt,
        };
        let call = Call::Open { ask: ask.value, signature: ask.signature, terms };
        self.call(account(who), &Act::Market(call)).map(drop)
    }

    fn place_order(&mut self, deal: &Deal, what: &Move) -> Result<(), Broken> {
        let Move::Order { tasks, fuel, due, seq, starve, slow, .. } = *what else { return Ok(()) };
        let id = struct_hash(deal);
        let placed = self.foe.orders.iter().filter(|placed| placed.order.deal == id);
        let next = placed.map(|placed| placed.order.seq + 1).max().unwrap_or(0);
        let seq = match seq % 6 {
            4 => next.saturating_sub(1),
            5 => next + 1,
            _ => next,
        };
        let tasks = [2, 4, 1, 3, 4, 5][usize::from(tasks) % 6];
        let inputs: Vec<B256> = (0..tasks)
            .map(|task| keccak256([id.as_slice(), &seq.to_be_bytes(), &[task as u8]].concat()))
            .collect();
        let fuel_limit =
            [FUEL_LIMIT, 300_000_000, FUEL_LIMIT / 2, FUEL_LIMIT + 1][usize::from(fuel) % 4];
        let due_by = match due % 4 {
            0 => self.yard.now + 200,
            1 => self.yard.now + 15,
            2 => self.yard.now + 600,
            _ => deal.expiry - 31,
        };
        let order = Order {
            deal: id,
            seq,
            program: B256::repeat_byte(0x50),
            inputs: inputs_root(&inputs),
            tasks,
            fuelLimit: fuel_limit,
            outLimit: OUT_LIMIT,
            maxPages: 16,
            seed: seq,
            dueBy: due_by,
        };
        let hash = struct_hash(&order);
        let placed = Placed {
            order,
            hash,
            inputs,
            starve,
            slow,
            ack: None,
            receipt: None,
            results: Vec::new(),
            unsigned: false,
        };
        if !self.foe.orders.iter().any(|known| known.hash == hash) {
            self.foe.orders.push(placed.clone());
        }
        self.books.orders += 1;
        self.send_order(&placed)
    }

    fn send_order(&mut self, placed: &Placed) -> Result<(), Broken> {
        let Some((_, who)) = self.foe.terms(placed.order.deal) else { return Ok(()) };
        let inputs: Vec<u8> = placed.inputs.iter().flat_map(|input| input.0).collect();
        let message = ToProvider::Order {
            order: sign(&key(&name(who)), placed.order.clone()),
            program: BlobRef { hash: [0x50; 32], size: 1_000 },
            shared: None,
            inputs: Payload::Inline(inputs.into()),
        };
        self.send(placed.order.deal, message)
    }

    fn pay(&mut self, deal: u8, pay: u8, upto: u8, close: bool) -> Result<(), Broken> {
        let Some((deal, who)) = self.foe.deal(deal) else { return Ok(()) };
        let id = struct_hash(&deal);
        let fees = self.fees(id);
        let of_deal = |placed: &&Placed| placed.order.deal == id;
        let sent = self
            .foe
            .orders
            .iter()
            .filter(of_deal)
            .map(|placed| placed.order.seq + 1)
            .max()
            .unwrap_or(0);
        let done = |placed: &Placed| placed.receipt.is_some();
        let delivered = self
            .foe
            .orders
            .iter()
            .filter(of_deal)
            .take_while(|placed| done(placed))
            .map(|it| it.order.seq + 1)
            .max();
        let amount = [fees, 0, fees / 2, fees + 1, deal.budget, fees.saturating_sub(1)]
            [usize::from(pay) % 6];
        let orders = [delivered.unwrap_or(0), 0, sent, sent + 1][usize::from(upto) % 4];
        let voucher = sign(&key(&name(who)), Voucher { deal: id, amount, orders, close });
        self.foe.vouchers.push(voucher.clone());
        self.send(id, ToProvider::Voucher(voucher))
    }

    /// Returns the fees of all receipts that were received in a deal.
    fn fees(&self, deal: DealId) -> u128 {
        let of_deal = self.foe.orders.iter().filter(|placed| placed.order.deal == deal);
        of_deal.filter_map(|placed| placed.receipt.as_ref()).map(|receipt| receipt.value.fee).sum()
    }

    fn cancel(&mut self, order: u8, signed: bool) -> Result<(), Broken> {
        let Some(placed) = newest(&self.foe.orders, order).cloned() else { return Ok(()) };
        let Some((_, who)) = self.foe.terms(placed.order.deal) else { return Ok(()) };
        let mut cancel = sign(&key(&name(who)), Cancel { order: placed.hash });
        if !signed {
            // To simulate the defect, the message is signed, but the provider never sends the
            // signature to the chain.
            if self.weak(Weakness::UnsignedCancel) {
                self.foe
                    .orders
                    .iter_mut()
                    .filter(|it| it.hash == placed.hash)
                    .for_each(|it| it.unsigned = true);
            } else {
                cancel.signature = Bytes::new();
            }
        }
        self.send(placed.order.deal, ToProvider::Cancel(cancel))
    }

    /// Sends a message on the deal's session. If there is none, it first dials and sends a hello.
    fn send(&mut self, deal: DealId, message: ToProvider) -> Result<(), Broken> {
        let session = match self.foe.sessions.get(&deal) {
            Some(session) => *session,
            None => {
                let Some((terms, who)) = self.foe.terms(deal) else { return Ok(()) };
                self.foe.last_session += 1;
                let session = self.foe.last_session;
                self.foe.sessions.insert(deal, session);
                self.feed(Event::Connected { session, peer: keccak256(name(who)) })?;
                let hello = ToProvider::Hello { version: WIRE_VERSION, deal: terms };
                self.deliver(session, hello)?;
                session
            }
        };
        self.deliver(session, message)
    }

    fn deliver(&mut self, session: u64, message: ToProvider) -> Result<(), Broken> {
        self.books.messages_in += 1;
        self.feed(Event::Message { session, message: Box::new(message) })
    }

    /// Returns whether a deal is open.
    pub(super) fn is_open(&self, deal: DealId) -> bool {
        self.yard.ledger.market.deal_state(deal).status == DealStatus::Open
    }
}

/// Returns the number of distinct tasks in these orders.
pub(super) fn distinct_tasks(orders: &[Placed]) -> usize {
    let tasks: BTreeSet<_> = orders
        .iter()
        .flat_map(|placed| (0..placed.order.tasks).map(|task| (placed.hash, task)))
        .collect();
    tasks.len()
}

impl Foe {
    /// Returns everything that the buyers know and can use, for the state's hash.
    pub(super) fn knowledge(&self) -> impl std::fmt::Debug + '_ {
        (
            &self.deals,
            &self.orders,
            &self.vouchers,
            &self.releases,
            self.sessions.len(),
            &self.games,
            &self.cases,
        )
    }
}
