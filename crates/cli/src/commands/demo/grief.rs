//! `rialto demo --cheat grief`: a requester that means harm, and a provider that does as it says.
//!
//! The griefer speaks the protocol by hand, because no shipped client would say what it says. It
//! works with one provider like anybody else, is paid-up for what it got, and then tries to take it
//! all back and the collateral with it: it cancels an order and calls it late, rejects right
//! results a hundred times, and has puppets accuse a right receipt all at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use alloy_signer::SignerSync;
use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use rialto_chain::{
    CourtCall, CourtEvent, Courts, MarketCall, MarketEvent, OpenArgs, PrivateKeySigner, Sender,
    Terms,
};
use rialto_client::{local_key, view};
use rialto_local_market::{Folder, LocalMarket, ProviderPlan, Setting, bind, initial_deposit};
use rialto_machine::{
    canonicalise,
    input::{Half, Halves, input_roots},
    lower, start_parts,
};
use rialto_net::{Node, SessionReceiver, SessionSender};
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    Address, B256, Bytes, DealId, GameId,
    court::{Challenge, PARTS},
    keccak256,
    model::{BURNED, Market},
    receipt::{SumNode, inputs_proof, inputs_root},
    types::{Ack, Cancel, Deal, Game, Order, Receipt, Voucher, digest, struct_hash},
    wire::{BlobRef, Payload, Signed, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_requester::core::Offer;

use super::Demo;
use super::{MAX_PAGES, Measured, OUT_LIMIT, measure, picture::Picture, task_input};
use crate::{
    samples::RAYTRACE,
    ui::{self, Paint, Ui, json_on_lines},
};
use rialto_provider::{Money, Price};

/// The griefer's account, by name.
const GRIEFER: &str = "griefer";
/// Accounts that accuse for it.
const PUPPETS: usize = 8;
/// Tiles of its first order.
const TILES: u32 = 2;
/// Rejections of right results.
const REJECTIONS: u32 = 100;
/// A tile may use so many times the fuel that was measured.
const FUEL_MARGIN: u64 = 4;
/// What it locks in its deal, base units.
const BUDGET: u128 = 50_000_000;
/// Length of its deal, and time for an order, seconds.
const DEAL_SECONDS: u32 = 1800;
const ORDER_SECONDS: u64 = 120;
/// Longest wait for anything that the provider has to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// Both sides take times of the chain so much later.
const SKEW_SECONDS: u64 = 3;

/// What is told, in plain words.
struct Teller {
    told: bool,
    paint: Paint,
}

impl Teller {
    fn line(&self, text: &str) {
        if self.told {
            println!("{text}");
        }
    }

    fn heading(&self, text: &str) {
        self.line("");
        self.line(&self.paint.bold(text));
    }

    fn quiet(&self, text: &str) {
        self.line(&self.paint.dim(text));
    }
}

/// The griefer: an account, an endpoint, a deal.
struct Griefer<'a> {
    market: &'a LocalMarket,
    signer: PrivateKeySigner,
    sender: Sender,
    node: Node,
    offer: Offer,
    deal: Deal,
    outbox: SessionSender<ToProvider>,
    inbox: SessionReceiver<ToRequester>,
    program: BlobRef,
    /// Inputs of all tiles of the picture.
    tiles: Vec<Bytes>,
    fuel_limit: u64,
    seen: Vec<MarketEvent>,
    events: futures::stream::BoxStream<'a, rialto_chain::EventBatch>,
}

/// Runs it. Exit code 0 only if the griefer paid for all of it, and the provider lost nothing.
pub async fn grief(args: &Demo, ui: Ui) -> Result<u8> {
    let started = Instant::now();
    let teller = Teller { told: ui.for_people(), paint: Paint::for_stdout() };
    let picture = Picture {
        width: super::WIDTH,
        height: super::HEIGHT,
        tile: super::TILE,
        samples: args.samples,
    };
    teller.line(&teller.paint.bold("Rialto: a requester that means harm, and an honest provider."));
    teller.quiet("  compiling the ray tracer and measuring one tile …");
    let folder = Folder::new(args.data.as_deref())?;
    let home = folder.path().to_owned();
    let Measured { fuel, fuel_per_second } =
        tokio::task::spawn_blocking(move || measure(&home, picture)).await??;
    let puppets: Vec<String> = (1..=PUPPETS).map(|n| format!("puppet-{n}")).collect();
    let guests = std::iter::once(GRIEFER.to_owned()).chain(puppets.iter().cloned()).collect();
    // Two tiles cost less than a transaction anywhere else; here every base unit is to be seen.
    let money = Money { tx_worth: 0, ..Money::default() };
    let plan = ProviderPlan { money, ..ProviderPlan::honest(Price::Constant(150_000), 20) };
    let setting = Setting { guests, ..Setting::default() };
    let market = LocalMarket::start_with(folder, &[plan], fuel_per_second, setting).await?;
    let home = market.folder().join(GRIEFER);
    let mut griefer =
        Griefer::arrive(&market, &home, picture, fuel.saturating_mul(FUEL_MARGIN)).await?;

    teller.heading("Business as usual");
    let first = griefer.order(0, TILES as usize).await?;
    let (ack, receipt, nodes) = griefer.delivered(&first).await?;
    let fee = receipt.value.fee;
    let voucher = Voucher { deal: griefer.id(), amount: fee, orders: 1, close: false };
    griefer.say(&ToProvider::Voucher(griefer.sign(voucher)?)).await?;
    teller.line(&format!(
        "  the provider computes {TILES} tiles; the griefer signs a voucher for {}",
        ui::money(fee)
    ));
    drop(ack);

    teller
        .heading("It cancels an order and calls it late: the vouchers would be lost with the deal");
    let second = griefer.order(1, griefer.tiles.len()).await?;
    let ack = griefer.acked(&second).await?;
    let cancel = griefer.sign(Cancel { order: struct_hash(&second.value) })?;
    let unsigned = Signed { value: cancel.value.clone(), signature: Bytes::new() };
    griefer.say(&ToProvider::Cancel(unsigned)).await?;
    let refusal = griefer.refused().await?;
    teller
        .line(&format!("  a cancellation without a signature: the provider works on [{refusal}]"));
    griefer.say(&ToProvider::Cancel(cancel)).await?;
    teller.line("  a signed one: the provider stops, and keeps it");
    griefer.pass_until(ack.value.dueBy + SKEW_SECONDS).await?;
    let bond = market.chain.windows().case_bond;
    griefer.call_late(&second, &ack).await?;
    teller.line(&format!("  the griefer calls it late: bond {}", ui::money(bond)));
    griefer
        .until(|event| matches!(event, MarketEvent::Excused { .. }))
        .await
        .context("nobody showed the cancellation")?;
    teller.line("  the provider shows the cancellation, and the bond is its own");
    griefer
        .until(|event| matches!(event, MarketEvent::Redeemed { .. }))
        .await
        .context("the voucher was not redeemed")?;
    teller.line(&format!(
        "  it redeemed its voucher the moment it was called late: {}",
        ui::money(fee)
    ));

    teller.heading("It rejects right results, to keep the provider busy");
    for n in 0..REJECTIONS {
        let order = struct_hash(&first.value);
        griefer
            .say(&ToProvider::Reject { order, task: n % TILES, expected: B256::repeat_byte(7) })
            .await?;
    }
    teller.line(&format!(
        "  {REJECTIONS} rejections: the provider runs again what has been paid for, after everything else"
    ));

    teller.heading("Its puppets accuse a right receipt, all at once");
    let court = market.chain.court(market.deployed.court).await?;
    let game_bond = court.bond_for(griefer.fuel_limit).await?;
    let games = griefer.accuse(&puppets, &first.value, &receipt).await?;
    teller.line(&format!(
        "  {} accusations at once, each with a bond of {}",
        games.len(),
        ui::money(game_bond)
    ));
    griefer.unfolded(&games).await.context("the provider did not show its results")?;
    teller.line("  the provider shows in each what its receipt stands for");
    griefer.challenge(&puppets, &first.value, &games, &nodes).await?;
    teller.line("  the puppets make up how the first tile went: the provider has to narrow it down in each game");
    griefer.answered(&games).await.context("the provider did not answer in every game")?;
    teller.line("  it traces the tile once, and answers in every game in time");
    let turn = griefer.last_deadline(&games);
    griefer.pass_until(turn + SKEW_SECONDS).await?;
    teller.quiet("  the puppets have nothing to say, and their time passes");
    griefer.ended(&games).await.context("the games do not end")?;
    teller.line("  the provider ends every game: 70 % of each bond is its own, the rest burns");

    teller.heading("The end");
    let end = griefer.deal.expiry + market.chain.windows().grace + SKEW_SECONDS;
    griefer.pass_until(end).await?;
    griefer
        .until(|event| matches!(event, MarketEvent::DealClosed { .. }))
        .await
        .context("the deal does not expire")?;
    teller.line("  the deal expires: collateral and the rest of the budget go home");

    let outcome = Outcome::read(&market, &puppets, fee, bond, game_bond).await?;
    outcome.tell(&teller);
    if !ui.for_people() {
        json_on_lines(&outcome.view(started.elapsed()));
    }
    griefer.leave().await;
    market.stop().await;
    Ok(u8::from(!outcome.is_good()))
}

impl<'a> Griefer<'a> {
    /// Opens a deal with the provider, and a session in it.
    async fn arrive(
        market: &'a LocalMarket,
        home: &std::path::Path,
        picture: Picture,
        fuel_limit: u64,
    ) -> Result<Griefer<'a>> {
        let signer = local_key(GRIEFER);
        let sender = market.chain.sender_in_memory(signer.clone()).await?;
        let offer = heard(market).await?;
        let node = bind(GRIEFER, home).await?;
        let program = node.blobs().put_bytes(RAYTRACE).await?;
        node.blobs().allow(offer.peer.endpoint, program)?;
        let opened_at = offer.ask.value.from.max(market.chain.now().await?.saturating_sub(30));
        let terms = Terms {
            key: signer.address(),
            budget: BUDGET,
            opened_at,
            duration: DEAL_SECONDS,
            max_price: u128::MAX,
            salt: 1,
        };
        let deal = Market::deal_terms(signer.address(), &offer.ask.value, &terms)?;
        let Signed { value: ask, signature } = offer.ask.clone();
        sender.send("open", MarketCall::Open(vec![OpenArgs { ask, signature, terms }])).await?;
        let courts =
            Courts { known: BTreeSet::from([market.deployed.court]), parties: BTreeSet::new() };
        let events = market.chain.events_with(market.deployed.block, courts).boxed();
        let session = node.connect(&offer.peer).await?;
        let (mut outbox, inbox) = session.split();
        outbox.send(&ToProvider::Hello { version: WIRE_VERSION, deal: deal.clone() }).await?;
        let tiles = (0..picture.tiles())
            .map(|tile| Ok(Bytes::from(task_input(&picture, tile)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut griefer = Griefer {
            market,
            signer,
            sender,
            node,
            offer,
            deal,
            outbox,
            inbox,
            program,
            tiles,
            fuel_limit,
            seen: Vec::new(),
            events,
        };
        griefer
            .hear(|message| matches!(message, ToRequester::Welcome { .. }).then_some(()))
            .await?;
        Ok(griefer)
    }

    fn id(&self) -> DealId {
        struct_hash(&self.deal)
    }

    fn sign<T: Typed>(&self, value: T) -> Result<Signed<T>> {
        let signature = self.signer.sign_hash_sync(&digest(&value, self.market.chain.domain()))?;
        Ok(Signed { value, signature: Bytes::from(signature.as_bytes().to_vec()) })
    }

    async fn say(&mut self, message: &ToProvider) -> Result<()> {
        Ok(self.outbox.send(message).await?)
    }

    /// Waits for a message.
    async fn hear<T>(&mut self, mut wanted: impl FnMut(ToRequester) -> Option<T>) -> Result<T> {
        let heard = async {
            while let Some(message) = self.inbox.recv().await {
                if let Some(found) = wanted(message) {
                    return Ok(found);
                }
            }
            bail!("the provider hung up")
        };
        tokio::time::timeout(PATIENCE, heard).await.context("the provider says nothing")?
    }

    /// Sends an order of the first so many tiles.
    async fn order(&mut self, seq: u64, tiles: usize) -> Result<Signed<Order>> {
        let tiles = self.tiles.get(..tiles).context("the picture has fewer tiles")?;
        let order = Order {
            deal: self.id(),
            seq,
            program: lower(&canonicalise(RAYTRACE)?.module).parts.root(),
            inputs: inputs_root(&input_roots(tiles, Half::of(&[]))),
            tasks: tiles.len() as u32,
            fuelLimit: self.fuel_limit,
            outLimit: OUT_LIMIT,
            maxPages: MAX_PAGES,
            seed: 0,
            dueBy: self.market.chain.now().await? + ORDER_SECONDS,
        };
        let inputs = Payload::Inline(postcard::to_stdvec(&tiles)?.into());
        let (order, program, shared) = (self.sign(order)?, self.program, None);
        self.say(&ToProvider::Order { order: order.clone(), program, shared, inputs }).await?;
        Ok(order)
    }

    async fn acked(&mut self, order: &Signed<Order>) -> Result<Signed<Ack>> {
        let name = struct_hash(&order.value);
        self.hear(|message| match message {
            ToRequester::Ack(ack) if ack.value.order == name => Some(ack),
            _ => None,
        })
        .await
    }

    /// The promise, the receipt, and what stands below its root.
    async fn delivered(
        &mut self,
        order: &Signed<Order>,
    ) -> Result<(Signed<Ack>, Signed<Receipt>, Vec<SumNode>)> {
        let ack = self.acked(order).await?;
        let (name, limit) = (struct_hash(&order.value), order.value.fuelLimit);
        let found = self.hear(|message| match message {
            ToRequester::Receipt { receipt, results, .. } if receipt.value.order == name => {
                let node = |halted: &rialto_protocol::receipt::Halted| SumNode {
                    hash: halted.hash(),
                    fuel: halted.fuel_used(limit).into(),
                };
                Some((receipt, results.iter().map(node).collect()))
            }
            _ => None,
        });
        let (receipt, nodes) = found.await?;
        Ok((ack, receipt, nodes))
    }

    /// Code of the next refusal.
    async fn refused(&mut self) -> Result<String> {
        self.hear(|message| match message {
            ToRequester::Refuse { code, .. } => Some(code),
            _ => None,
        })
        .await
    }

    async fn call_late(&mut self, order: &Signed<Order>, ack: &Signed<Ack>) -> Result<()> {
        let (deal, order) = (self.deal.clone(), order.value.clone());
        let (ack, signature) = (ack.value.clone(), ack.signature.clone());
        self.sender.send("late", MarketCall::Late { deal, order, ack, signature }).await?;
        Ok(())
    }

    /// Lets the chain's time pass.
    async fn pass_until(&mut self, then: u64) -> Result<()> {
        let now = self.market.chain.now().await?;
        Ok(self.market.let_pass(then.saturating_sub(now).max(1))?)
    }

    /// Takes in what the chain says until it is `enough`.
    async fn watch(&mut self, mut enough: impl FnMut(&[MarketEvent]) -> bool) -> Result<()> {
        let began = Instant::now();
        while !enough(&self.seen) {
            ensure!(began.elapsed() < PATIENCE, "nothing happens on the chain");
            let Ok(batch) = tokio::time::timeout(Duration::from_secs(1), self.events.next()).await
            else {
                continue;
            };
            let batch = batch.context("the chain's events ended")?;
            self.seen.extend(batch.added.into_iter().map(|(_, event)| event));
        }
        Ok(())
    }

    async fn until(&mut self, wanted: impl Fn(&MarketEvent) -> bool) -> Result<()> {
        self.watch(|seen| seen.iter().any(&wanted)).await
    }

    /// Every puppet accuses the receipt; returns the games.
    async fn accuse(
        &mut self,
        puppets: &[String],
        order: &Order,
        receipt: &Signed<Receipt>,
    ) -> Result<Vec<Game>> {
        let court = self.market.chain.court(self.market.deployed.court).await?;
        let accusations = puppets.iter().map(|name| {
            let (chain, court) = (self.market.chain.clone(), court.clone());
            let (deal, order, receipt) = (self.deal.clone(), order.clone(), receipt.clone());
            async move {
                let sender = chain.sender_in_memory(local_key(name)).await?;
                let Signed { value: receipt, signature } = receipt;
                let signed = rialto_chain::Signed { deal, order, receipt, signature };
                sender.accuse("accuse", &court, signed).await?;
                anyhow::Ok(())
            }
        });
        futures::future::try_join_all(accusations).await?;
        let count = puppets.len();
        let begun = |event: &MarketEvent| match event {
            MarketEvent::Court { event: CourtEvent::Accused(accused), .. } => {
                Some(accused.game.clone())
            }
            _ => None,
        };
        self.watch(|seen| seen.iter().filter_map(begun).count() == count).await?;
        Ok(self.seen.iter().filter_map(begun).collect())
    }

    /// Waits until something of a kind was said about every game.
    async fn in_all(&mut self, games: &[Game], wanted: impl Fn(&CourtEvent) -> bool) -> Result<()> {
        let games: BTreeSet<GameId> = games.iter().map(struct_hash).collect();
        self.watch(|seen| {
            let said = seen.iter().filter_map(|event| match event {
                MarketEvent::Court { event, .. } if wanted(event) => event.game(),
                _ => None,
            });
            games.is_subset(&said.collect())
        })
        .await
    }

    async fn unfolded(&mut self, games: &[Game]) -> Result<()> {
        self.in_all(games, |event| matches!(event, CourtEvent::Unfolded { .. })).await
    }

    async fn answered(&mut self, games: &[Game]) -> Result<()> {
        self.in_all(games, |event| matches!(event, CourtEvent::Moved(moved) if moved.accusers_turn))
            .await
    }

    async fn ended(&mut self, games: &[Game]) -> Result<()> {
        self.in_all(games, |event| matches!(event, CourtEvent::Ended(end) if !end.accuser_won))
            .await
    }

    /// End of the last puppet's turn.
    fn last_deadline(&self, games: &[Game]) -> u64 {
        let games: BTreeSet<GameId> = games.iter().map(struct_hash).collect();
        let deadline = |event: &MarketEvent| match event {
            MarketEvent::Court { event: CourtEvent::Moved(moved), .. }
                if games.contains(&moved.id) =>
            {
                Some(moved.deadline)
            }
            _ => None,
        };
        self.seen.iter().filter_map(deadline).max().unwrap_or(0)
    }

    /// Every puppet says of the first tile that it went otherwise: with states that it made up.
    async fn challenge(
        &self,
        puppets: &[String],
        order: &Order,
        games: &[Game],
        nodes: &[SumNode],
    ) -> Result<()> {
        let program = lower(&canonicalise(RAYTRACE)?.module);
        let roots = input_roots(&self.tiles[..TILES as usize], Half::of(&[]));
        let halves = Halves::new(self.tiles[0].clone(), Bytes::new());
        let parts: Bytes = start_parts(&program, &halves).into();
        let keys: BTreeMap<Address, PrivateKeySigner> =
            puppets.iter().map(|name| local_key(name)).map(|key| (key.address(), key)).collect();
        let challenges = games.iter().enumerate().map(|(n, game)| {
            let states = std::array::from_fn(|i| keccak256([n as u8, i as u8]));
            let states: Box<[B256; PARTS]> = Box::new(states);
            let (input, input_proof) = (roots[0], inputs_proof(&roots, 0));
            let challenge =
                Challenge { index: 0, input, input_proof, parts: parts.clone(), states };
            let call = CourtCall::Challenge {
                game: Box::new(game.clone()),
                order: Box::new(order.clone()),
                nodes: nodes.to_vec(),
                challenge: Box::new(challenge),
            };
            let call = MarketCall::Court { court: self.market.deployed.court, call };
            let (chain, key) = (self.market.chain.clone(), keys.get(&game.accuser).cloned());
            async move {
                let sender = chain.sender_in_memory(key.context("a stranger accuses")?).await?;
                sender.send("challenge", call).await?;
                anyhow::Ok(())
            }
        });
        futures::future::try_join_all(challenges).await?;
        Ok(())
    }

    async fn leave(self) {
        self.sender.stop().await;
        self.node.blobs().revoke(self.offer.peer.endpoint, self.program);
        self.node.close().await;
    }
}

/// The provider's offer, once it is heard.
async fn heard(market: &LocalMarket) -> Result<Offer> {
    let began = Instant::now();
    loop {
        if let Some(offer) = market.requester.offers().await?.into_iter().next() {
            return Ok(offer);
        }
        ensure!(began.elapsed() < PATIENCE, "no offer was heard");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Who has what in the end, base units.
struct Outcome {
    provider: u128,
    griefer: u128,
    puppets: u128,
    puppet_count: u128,
    burned: u128,
    fee: u128,
    bond: u128,
    game_bond: u128,
    reconciled: bool,
}

impl Outcome {
    async fn read(
        market: &LocalMarket,
        puppets: &[String],
        fee: u128,
        bond: u128,
        game_bond: u128,
    ) -> Result<Self> {
        let account = |address: Address| market.chain.account(address);
        let mut all = 0;
        for name in puppets {
            all += account(local_key(name).address()).await?;
        }
        let provider = market.providers.first().context("there is a provider")?.address;
        Ok(Self {
            provider: account(provider).await?,
            griefer: account(local_key(GRIEFER).address()).await?,
            puppets: all,
            puppet_count: puppets.len() as u128,
            burned: account(BURNED).await?,
            fee,
            bond,
            game_bond,
            reconciled: market.reconciles().await?,
        })
    }

    /// Of each lost bond, what the provider gets: 70 %, rounded down.
    fn compensation(&self) -> u128 {
        self.game_bond * 7 / 10
    }

    /// Exactly: the provider has its fee, the late notice's bond and 70 % of every accusation's;
    /// the griefer and its puppets paid.
    fn is_good(&self) -> bool {
        let (start, games) = (initial_deposit(), self.puppet_count);
        self.provider == start + self.fee + self.bond + games * self.compensation()
            && self.griefer == start - self.fee - self.bond
            && self.puppets == games * (start - self.game_bond)
            && self.burned == games * (self.game_bond - self.compensation())
            && self.reconciled
    }

    fn tell(&self, teller: &Teller) {
        let money = ui::money;
        let start = initial_deposit();
        teller.heading("Every balance");
        teller.line(&format!(
            "  provider   {}: {} for its work, and {} for the trouble",
            money(self.provider),
            money(self.fee),
            money(self.provider.saturating_sub(start + self.fee))
        ));
        teller.line(&format!(
            "  griefer    {}: it paid {} for its tiles, and its bond",
            money(self.griefer),
            money(self.fee)
        ));
        let lost = (self.puppet_count * start).saturating_sub(self.puppets);
        teller.line(&format!(
            "  puppets    {} together: they lost {}",
            money(self.puppets),
            money(lost)
        ));
        teller.line(&format!("  burned     {}", money(self.burned)));
        let verdict = if self.is_good() {
            teller
                .paint
                .good("✓ every balance is exact to the base unit; the provider lost nothing")
        } else {
            teller.paint.bad("✗ the balances are not what the rules say")
        };
        teller.line(&format!("\n  {verdict}"));
    }

    fn view(&self, wall: Duration) -> view::DemoGrief {
        view::DemoGrief {
            cheat: "grief",
            ok: self.is_good(),
            balances_reconciled: self.reconciled,
            provider: self.provider.into(),
            griefer: self.griefer.into(),
            puppets: self.puppets.into(),
            burned: self.burned.into(),
            fee: self.fee.into(),
            late_bond: self.bond.into(),
            accusation_bond: self.game_bond.into(),
            accusations: self.puppet_count as u64,
            rejections: REJECTIONS,
            seconds: wall.as_secs_f64(),
        }
    }
}
