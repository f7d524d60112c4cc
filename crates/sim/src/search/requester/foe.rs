//! Hostile sellers: several accounts with money, their keys, everything that they have received,
//! and every move that they can make with it. Each seller has an automatic behaviour (`Manner`)
//! that can be changed at any time; everything else is a move. Indices count from the newest
//! object.

mod plays;
mod said;

use std::collections::{BTreeMap, BTreeSet};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, B256, Bytes, DealId, GameId, OrderId, ReceiptId,
    court::{Answer, GameNews, GameStory, Question},
    keccak256,
    model::{Call, DealStatus, MAX_REVEAL_BYTES, Reveal, court::CourtCall},
    pricing,
    receipt::{Halted, Status, SumNode, unfolded},
    types::{Ack, Ask, Deal, Limits, Order, Receipt, Release, Voucher, WASM_3, struct_hash},
    wire::{AskGossip, BlobRef, Payload, PeerAddr, Signed, ToRequester, WIRE_VERSION},
};
use rialto_provider::core::{self as provider, What};
use rialto_requester::core::{Event, JobId, Offer, Outgoing};

use super::{Alley, Opened, house::input};
use crate::{
    check::Broken,
    compute::{self, FUEL_LIMIT, OUT_LIMIT, Trace},
    desk::turn,
    ledger::Act,
    search::yard::{COURT, key, sign},
};

pub(super) use plays::{choices, openings, roots, temptations};
use said::{Said, said};

/// Number of accounts. The first three sell, and all of them accuse.
const ACCOUNTS: usize = 5;
const SELLERS: usize = 3;

/// Moves of a hostile seller. Each index is taken modulo the number of candidates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are those of the protocol
pub enum Move {
    Offer {
        who: u8,
        cheap: bool,
    },
    Job {
        how: u8,
    },
    Manner {
        who: u8,
        calls: bool,
        acks: bool,
        delivers: u8,
    },
    Ack {
        order: u8,
        due: u8,
    },
    Deliver {
        order: u8,
        how: u8,
    },
    Refuse {
        order: u8,
        code: u8,
    },
    Release {
        deal: u8,
        amount: u8,
    },
    Hangup {
        deal: u8,
    },
    Redeem {
        deal: u8,
        which: u8,
    },
    Claim {
        order: u8,
        how: u8,
    },
    Answer {
        order: u8,
        how: u8,
    },
    Reveal {
        which: u8,
    },
    Settle {
        which: u8,
    },
    Expire {
        deal: u8,
    },
    Play {
        game: u8,
        how: u8,
    },
    Timeout {
        game: u8,
    },
    Accuse {
        order: u8,
        who: u8,
    },
    Wait,
    Lag {
        seconds: u8,
    },
    Restart,
    Weary {
        on: bool,
    },
    /// The requester's owner withdraws money, and leaves only what a job would lock and one or two
    /// bonds, or one unit less.
    Poor {
        bonds: u8,
        less: bool,
    },
}

/// Automatic behaviour of a seller.
#[derive(Clone, Copy, Debug)]
struct Manner {
    calls: bool,
    acks: bool,
    delivers: u8,
}

/// One order that was received.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub order: Order,
    pub hash: OrderId,
    signature: Bytes,
    pub(super) inputs: Vec<B256>,
    ack: Option<Signed<Ack>>,
    /// Receipts made for the order, by the way in which they are wrong.
    said: BTreeMap<u8, Said>,
}

impl Ordered {
    /// Returns the id of the order's deal.
    pub fn deal(&self) -> DealId {
        self.order.deal
    }
}

#[derive(Clone, Debug)]
struct Played {
    id: GameId,
    deal: DealId,
    story: GameStory,
}

/// All hostile sellers, as one player.
#[derive(Clone, Debug)]
pub struct Foe {
    pub(super) deals: Vec<Opened>,
    pub(super) orders: Vec<Ordered>,
    vouchers: Vec<Signed<Voucher>>,
    sessions: BTreeSet<DealId>,
    manners: [Manner; SELLERS],
    games: Vec<Played>,
    cases: Vec<(DealId, CaseId, u64)>,
    salt: u64,
    stopped: bool,
}

fn name(who: usize) -> String {
    format!("seller {who}")
}

fn account(who: usize) -> Address {
    key(&name(who)).address()
}

fn signer(who: usize) -> PrivateKeySigner {
    key(&name(who))
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
            sessions: BTreeSet::new(),
            manners: [Manner { calls: true, acks: true, delivers: 0 }; SELLERS],
            games: Vec::new(),
            cases: Vec::new(),
            salt: 0,
            stopped: false,
        }
    }

    /// Returns all accounts.
    pub fn accounts(&self) -> impl Iterator<Item = Address> + use<> {
        (0..ACCOUNTS).map(account)
    }

    /// Stops all automatic behaviour.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(super) fn takes_calls(&self, deal: DealId) -> bool {
        let known = self.deals.iter().find(|known| known.id == deal);
        !self.stopped && known.is_some_and(|known| self.manners[known.who].calls)
    }

    pub(super) fn connected(&mut self, deal: DealId) {
        self.sessions.insert(deal);
    }

    pub(super) fn hung_up(&mut self, deal: DealId) {
        self.sessions.remove(&deal);
    }

    pub(super) fn sessions_end(&mut self) {
        self.sessions.clear();
    }

    fn game_runs(&self) -> bool {
        self.games.iter().any(|game| game.story.end.is_none())
    }

    /// Returns whether this account began the dispute.
    pub(super) fn is_game_of(&self, game: GameId, account: Address) -> bool {
        self.games.iter().any(|known| known.id == game && known.story.view.game.accuser == account)
    }

    /// Returns the receipt with this struct hash.
    pub(super) fn receipt(&self, hash: ReceiptId) -> Option<&Receipt> {
        self.under(hash).map(|(_, said)| &said.receipt)
    }

    /// Returns whether this account has a bond in an open dispute.
    pub(super) fn is_played_by(&self, account: Address) -> bool {
        self.games
            .iter()
            .any(|game| game.story.end.is_none() && game.story.view.game.accuser == account)
    }

    pub(super) fn games(&self) -> usize {
        self.games.len()
    }

    /// Returns whether a dispute or a case is open.
    pub(super) fn is_at_law(&self) -> bool {
        self.game_runs() || !self.cases.is_empty()
    }

    /// Returns the open cases, each with its deadline.
    pub(super) fn cases(&self) -> &[(DealId, CaseId, u64)] {
        &self.cases
    }

    /// Records an event of the chain.
    pub(super) fn learn(&mut self, fact: &provider::Fact) {
        match &fact.what {
            What::Opened(deal) => {
                if let Some(who) = (0..SELLERS).find(|who| account(*who) == deal.provider) {
                    self.deals.push(Opened::new(deal, who));
                }
            }
            What::CaseOpened { case, deadline, .. } => {
                self.cases.push((fact.deal, *case, *deadline))
            }
            What::CaseEnded { case, .. } => {
                self.cases.retain(|(deal, known, _)| (*deal, *known) != (fact.deal, *case))
            }
            What::Closed { .. } => {
                self.cases.retain(|(deal, case, _)| *deal != fact.deal || case.kind().bonded());
            }
            What::Game(GameNews::Accused(view)) => {
                let id = struct_hash(&view.game);
                self.games.push(Played {
                    id,
                    deal: fact.deal,
                    story: GameStory::new((**view).clone()),
                });
            }
            What::Game(news) => {
                if let Some(game) = self.games.iter_mut().find(|game| Some(game.id) == news.game())
                {
                    game.story.learn(news);
                }
            }
            What::Redeemed { .. } => {}
        }
    }

    pub(super) fn moments(&self) -> Vec<u64> {
        let mut moments: Vec<u64> = self.cases.iter().map(|(.., deadline)| *deadline).collect();
        moments.extend(
            self.games
                .iter()
                .filter(|game| game.story.end.is_none())
                .map(|game| game.story.view.deadline),
        );
        moments
            .extend(self.orders.iter().filter_map(|it| it.ack.as_ref()).map(|ack| ack.value.dueBy));
        moments
    }

    fn known(&self, deal: DealId) -> Option<&Opened> {
        self.deals.iter().find(|known| known.id == deal)
    }

    /// Returns the receipt that `how` makes for an order, and keeps it.
    fn say(&mut self, hash: OrderId, how: u8) -> Option<Said> {
        let known = self
            .deals
            .iter()
            .find(|known| self.orders.iter().any(|it| it.hash == hash && it.deal() == known.id));
        let deal = known?.deal.clone();
        let ordered = self.orders.iter_mut().find(|it| it.hash == hash)?;
        let how = how % 8;
        if !ordered.said.contains_key(&how) {
            let new = said(&deal, &ordered.order, hash, &ordered.inputs, how);
            ordered.said.insert(how, new);
        }
        ordered.said.get(&how).cloned()
    }

    /// Returns the order and the results of a receipt.
    fn under(&self, receipt: ReceiptId) -> Option<(&Ordered, &Said)> {
        let all = self.orders.iter().flat_map(|it| it.said.values().map(move |said| (it, said)));
        all.into_iter().find(|(_, said)| struct_hash(&said.receipt) == receipt)
    }

    /// Returns the accused side's answer in a dispute.
    fn turn_in(&self, game: &Played, how: u8) -> Option<CourtCall> {
        let known = self.known(game.deal)?;
        let view = &game.story.view;
        let (ordered, said) = self.under(view.game.receipt)?;
        if view.accusers_turn {
            return None;
        }
        let answer = match &view.question {
            Question::Node { height, place } => {
                Answer::Unfold { nodes: said.unfold(*height, *place)? }
            }
            Question::Run { task, level, position, segment, .. } => {
                let right = Trace::of(&ordered.order, *task, *ordered.inputs.get(*task as usize)?);
                let lying =
                    right.lying(u64::from(how) * 16 + 1, said.halted.get(*task as usize)?.hash());
                match lying.answer(*position, *level, segment) {
                    Answer::Nothing if *level > 1 => {
                        let states = Box::new(std::array::from_fn(|at| keccak256([how, at as u8])));
                        Answer::Move { pick: u32::from(how) % 16, states }
                    }
                    answer => answer,
                }
            }
            Question::Nodes { .. } => return None,
        };
        turn(known.deal.clone(), ordered.order.clone(), view, answer)
    }
}

impl Alley {
    /// Handles a message of the requester.
    pub(super) fn foe_hears(
        &mut self,
        deal: DealId,
        message: Outgoing,
        key: &PrivateKeySigner,
    ) -> Result<(), Broken> {
        let Some(known) = self.foe.known(deal).cloned() else { return Ok(()) };
        let manner = self.foe.manners[known.who];
        match message {
            Outgoing::Hello(_) => {
                let next_seq = self.foe.orders.iter().filter(|it| it.deal() == deal).count() as u64;
                let paid = self
                    .foe
                    .vouchers
                    .iter()
                    .rev()
                    .find(|it| it.value.deal == deal)
                    .map_or(0, |it| it.value.amount);
                self.tell_later(
                    deal,
                    ToRequester::Welcome { version: WIRE_VERSION, next_seq, paid },
                )
            }
            Outgoing::Order { job, first, order } => {
                let hash = struct_hash(&order);
                let inputs: Vec<B256> =
                    (first..first + order.tasks).map(|task| input(JobId(job.0), task)).collect();
                let signature = sign(key, order.clone()).signature;
                if !self.foe.orders.iter().any(|it| it.hash == hash) {
                    let said = BTreeMap::new();
                    self.foe.orders.push(Ordered {
                        order: order.clone(),
                        hash,
                        signature,
                        inputs,
                        ack: None,
                        said,
                    });
                }
                if manner.acks {
                    self.acknowledge(hash, 0)?;
                }
                if manner.delivers < 8 {
                    self.deliver(hash, manner.delivers)?;
                }
                Ok(())
            }
            Outgoing::Voucher(voucher) => {
                self.foe.vouchers.push(sign(key, voucher));
                Ok(())
            }
            Outgoing::Reject { .. } | Outgoing::Cancel(_) | Outgoing::AskRelease { .. } => Ok(()),
        }
    }

    /// Schedules a seller's message. It arrives a second later, if a session is open then.
    fn tell_later(&mut self, deal: DealId, message: ToRequester) -> Result<(), Broken> {
        if self.foe.sessions.contains(&deal) && !self.foe.stopped {
            self.books.messages_in += 1;
            self.house.hear_message(self.yard.now + 1, Event::Message { deal, message });
        }
        Ok(())
    }

    fn acknowledge(&mut self, hash: OrderId, due: u8) -> Result<(), Broken> {
        let now = self.yard.now;
        let Some(at) = self.foe.orders.iter().position(|it| it.hash == hash) else { return Ok(()) };
        let deal = self.foe.orders[at].deal();
        let Some(who) = self.foe.known(deal).map(|known| known.who) else { return Ok(()) };
        let due_by =
            [self.foe.orders[at].order.dueBy, now, now + 60, u64::MAX][usize::from(due) % 4];
        let ack = sign(&signer(who), Ack { order: hash, dueBy: due_by });
        self.foe.orders[at].ack = Some(ack.clone());
        self.tell_later(deal, ToRequester::Ack(ack))
    }

    fn deliver(&mut self, hash: OrderId, how: u8) -> Result<(), Broken> {
        let Some(said) = self.foe.say(hash, how) else { return Ok(()) };
        let Some(ordered) = self.foe.orders.iter().find(|it| it.hash == hash) else {
            return Ok(());
        };
        let deal = ordered.deal();
        let Some(who) = self.foe.known(deal).map(|known| known.who) else { return Ok(()) };
        let receipt = sign(&signer(who), said.receipt);
        let outputs = match how % 8 {
            7 => Payload::Blob(BlobRef { hash: [7; 32], size: said.outputs.len() as u64 }),
            _ => Payload::Inline(said.outputs.into()),
        };
        self.tell_later(deal, ToRequester::Receipt { receipt, results: said.halted, outputs })
    }

    /// Makes a move, if it is possible.
    pub(super) fn make(&mut self, what: &Move) -> Result<(), Broken> {
        self.yard.tell(|| format!("foe: {what:?}"));
        match *what {
            Move::Offer { who, cheap } => self.offer(who, cheap),
            Move::Job { how } => self.submit(how),
            Move::Manner { who, calls, acks, delivers } => {
                self.foe.manners[usize::from(who) % SELLERS] =
                    Manner { calls, acks, delivers: delivers % 12 };
                Ok(())
            }
            Move::Ack { order, due } => match newest(&self.foe.orders, order).map(|it| it.hash) {
                Some(hash) => self.acknowledge(hash, due),
                None => Ok(()),
            },
            Move::Deliver { order, how } => match newest(&self.foe.orders, order).map(|it| it.hash)
            {
                Some(hash) => self.deliver(hash, how),
                None => Ok(()),
            },
            Move::Refuse { order, code } => {
                let Some((deal, hash)) =
                    newest(&self.foe.orders, order).map(|it| (it.deal(), it.hash))
                else {
                    return Ok(());
                };
                let code = ["P-ADM-011", "P-ADM-001", "P-SES-002", "P-RUN-001"]
                    [usize::from(code) % 4]
                    .to_string();
                self.tell_later(
                    deal,
                    ToRequester::Refuse { order: Some(hash), code, detail: String::new() },
                )
            }
            Move::Release { deal, amount } => {
                let Some(known) = newest(&self.foe.deals, deal).cloned() else { return Ok(()) };
                let amount = [0, known.deal.budget, 1_000][usize::from(amount) % 3];
                let release = sign(&signer(known.who), Release { deal: known.id, amount });
                self.tell_later(known.id, ToRequester::Release(release))
            }
            Move::Hangup { deal } => {
                let Some(id) = newest(&self.foe.deals, deal).map(|known| known.id) else {
                    return Ok(());
                };
                match self.foe.sessions.remove(&id) {
                    true => self.feed(Event::Disconnected { deal: id, why: "lost".into() }),
                    false => Ok(()),
                }
            }
            Move::Wait => Ok(()),
            Move::Lag { seconds } => {
                self.house.lag = u64::from(seconds % 21);
                Ok(())
            }
            Move::Restart => self.restart(),
            Move::Weary { on } => {
                self.house.weary = on;
                self.house.was_weary |= on;
                Ok(())
            }
            Move::Poor { bonds, less } => self.impoverish(bonds, less),
            _ => match self.on_chain(what) {
                Some((who, act)) => self.call(account(who), &[act]).map(drop),
                None => Ok(()),
            },
        }
    }

    /// Returns the call of a move with its account, if the move is a call.
    fn on_chain(&mut self, what: &Move) -> Option<(usize, Act)> {
        let market = |who: usize, call: Call| Some((who, Act::Market(call)));
        match *what {
            Move::Redeem { deal, which } => {
                let known = newest(&self.foe.deals, deal)?;
                let of: Vec<_> =
                    self.foe.vouchers.iter().filter(|it| it.value.deal == known.id).collect();
                let voucher = (*newest(&of, which)?).clone();
                let call = Call::Redeem {
                    deal: known.deal.clone(),
                    voucher: voucher.value,
                    signature: voucher.signature,
                };
                market(known.who, call)
            }
            Move::Claim { order, how } => {
                let ordered = newest(&self.foe.orders, order)?;
                let (hash, order, signature) =
                    (ordered.hash, ordered.order.clone(), ordered.signature.clone());
                let known = self.foe.known(order.deal)?.clone();
                let said = self.foe.say(hash, how)?;
                market(
                    known.who,
                    Call::Claim { deal: known.deal, order, signature, receipt: said.receipt },
                )
            }
            Move::Answer { order, how } => {
                let ordered = newest(&self.foe.orders, order)?;
                let (hash, order) = (ordered.hash, ordered.order.clone());
                let known = self.foe.known(order.deal)?.clone();
                let receipt = self.foe.say(hash, how)?.receipt;
                market(
                    known.who,
                    Call::Answer { deal: known.deal, order, receipt, signature: Bytes::new() },
                )
            }
            Move::Reveal { which } => {
                let demand = |(deal, case, _): &(DealId, CaseId, u64)| match *case {
                    CaseId::Demand { receipt, task } => Some((*deal, receipt, task)),
                    _ => None,
                };
                let demands: Vec<_> = self.foe.cases.iter().filter_map(demand).collect();
                let (deal, receipt, task) = newest(&demands, which)?;
                let known = self.foe.known(*deal)?;
                let (ordered, said) = self.foe.under(*receipt)?;
                let reveal = said.reveal(*task)?;
                let (order, receipt) = (ordered.order.clone(), said.receipt.clone());
                market(known.who, Call::Reveal { deal: known.deal.clone(), order, receipt, reveal })
            }
            Move::Settle { which } => {
                let (deal, case, _) = newest(&self.foe.cases, which)?;
                let known = self.foe.known(*deal)?;
                market(known.who, Call::Settle { deal: known.deal.clone(), case: *case })
            }
            Move::Expire { deal } => {
                let known = newest(&self.foe.deals, deal)?;
                market(known.who, Call::Expire { deal: known.deal.clone() })
            }
            Move::Play { game, how } => {
                let running: Vec<_> =
                    self.foe.games.iter().filter(|game| game.story.end.is_none()).collect();
                let game = newest(&running, game)?;
                let who = self.foe.known(game.deal)?.who;
                Some((who, Act::Court(self.foe.turn_in(game, how)?)))
            }
            Move::Timeout { game } => {
                let running: Vec<_> =
                    self.foe.games.iter().filter(|game| game.story.end.is_none()).collect();
                let game = newest(&running, game)?;
                let known = self.foe.known(game.deal)?;
                let call = CourtCall::Timeout {
                    deal: known.deal.clone(),
                    game: game.story.view.game.clone(),
                };
                Some((known.who, Act::Court(call)))
            }
            Move::Accuse { order, who } => {
                let ordered = newest(&self.foe.orders, order)?;
                let known = self.foe.known(ordered.deal())?;
                let said = ordered.said.values().next()?;
                let signed = sign(&signer(known.who), said.receipt.clone());
                let call = CourtCall::Accuse {
                    deal: known.deal.clone(),
                    order: ordered.order.clone(),
                    receipt: signed.value,
                    signature: signed.signature,
                };
                Some((usize::from(who) % ACCOUNTS, Act::Court(call)))
            }
            _ => None,
        }
    }

    fn offer(&mut self, who: u8, cheap: bool) -> Result<(), Broken> {
        let who = usize::from(who) % SELLERS;
        self.foe.salt += 1;
        let now = self.yard.now;
        let price = if cheap { 500_000 } else { 1_000_000 };
        let ask = Ask {
            provider: account(who),
            key: account(who),
            endpoint: keccak256(name(who)),
            priceStart: price,
            priceEnd: price,
            from: now.saturating_sub(30),
            to: now + 3_600,
            minBudget: 1,
            maxBudget: 1_000_000,
            collateralBps: 3_000,
            latePenaltyBps: 2_000,
            maxSeconds: 7_200,
            capacity: 9,
            cores: 1,
            fuelPerSecond: 500_000_000,
            runtime: WASM_3,
            court: COURT,
            salt: self.foe.salt,
            limits: Limits {
                tasks: 2,
                orders: 4,
                taskFuel: FUEL_LIMIT,
                taskMemory: 1 << 30,
                taskOutput: OUT_LIMIT,
                orderOutput: 1 << 20,
                program: 1 << 20,
                inputs: 1 << 20,
                shared: 1 << 20,
                credit: 1_000_000,
            },
            ..Ask::default()
        };
        let peer = PeerAddr { endpoint: ask.endpoint, direct: Vec::new(), relay: None };
        let gossip = AskGossip { ask: sign(&signer(who), ask), peer };
        let deposit = self.yard.ledger.market.account(account(who)).balance;
        self.feed(Event::Heard(Offer::new(gossip, deposit, true)))
    }

    /// Returns whether a deal is open.
    pub(super) fn is_open(&self, deal: DealId) -> bool {
        self.yard.ledger.market.deal_state(deal).status == DealStatus::Open
    }
}

impl Foe {
    /// Returns everything that the sellers know and can use, for the state's hash.
    pub(super) fn knowledge(&self) -> impl std::fmt::Debug + '_ {
        (
            &self.deals,
            &self.orders,
            &self.vouchers,
            &self.sessions,
            &self.manners,
            &self.games,
            &self.cases,
        )
    }
}
