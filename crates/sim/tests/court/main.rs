//! Disputes on the real contracts: whole games over a real program, down to the exact step; the
//! flow of money; clocks to the second; moves by third parties; receipts that need no game; the
//! court's events under reorgs.
#![allow(clippy::unwrap_used)]

mod bench;

use alloy_sol_types::{SolCall, sol};
use bench::*;
use rialto_chain::{
    CourtCall, CourtError, CourtEvent, CourtRules, DealStatus, Fault, MarketCall, MoveArgs,
    SendError, Signed, Verdict, WrongFuelArgs, WrongSumArgs,
};
use rialto_machine::play::{Answer, Player, span};
use rialto_protocol::court::{BOUNTY_BPS, COMPENSATION_BPS, Challenge};
use rialto_protocol::fault::FaultProof;
use rialto_protocol::pricing;
use rialto_protocol::receipt::{SumNode, SumTree};
use rialto_protocol::types::{Deal, Move, struct_hash};
use rialto_protocol::{Address, B256, Bytes, GameId, keccak256};
use serde_json::json;

sol! {
    /// A constant of market and court.
    function COMPENSATION_BPS() external view returns (uint32);
    /// A constant of the market.
    function BOUNTY_BPS() external view returns (uint32);
}

#[tokio::test]
async fn market_and_court_share_as_the_protocol_says() {
    let place = Place::new().await;
    let ask = |contract: Address, data: Vec<u8>| -> Bytes {
        let question = json!({ "to": contract, "data": Bytes::from(data) });
        serde_json::from_value(place.control("eth_call", json!([question, "latest"]))).unwrap()
    };
    for contract in [place.deployed.market, place.court.address()] {
        let answer = ask(contract, COMPENSATION_BPSCall {}.abi_encode());
        assert_eq!(COMPENSATION_BPSCall::abi_decode_returns(&answer).unwrap(), COMPENSATION_BPS);
    }
    let answer = ask(place.deployed.market, BOUNTY_BPSCall {}.abi_encode());
    assert_eq!(BOUNTY_BPSCall::abi_decode_returns(&answer).unwrap(), BOUNTY_BPS);
}

/// Returns the leaves of a provider that lies about the task in dispute from some step on.
fn lies(work: &Work, liar: &mut Liar) -> Vec<(B256, u64)> {
    let mut leaves = work.leaves();
    leaves[TASK as usize].0 = liar.hash_at(u64::MAX);
    leaves
}

/// Balances of the market's accounts.
struct Purse {
    requester: u128,
    provider: u128,
    accuser: u128,
    burned: u128,
}

impl Purse {
    async fn look(place: &Place) -> Self {
        Self {
            requester: place.account("requester").await,
            provider: place.account("provider").await,
            accuser: place.account("accuser").await,
            burned: place.burned().await,
        }
    }

    /// Returns the differences since then: requester, provider, accuser, burned.
    async fn since(&self, place: &Place) -> [i128; 4] {
        let now = Self::look(place).await;
        let moved = |now: u128, then: u128| now as i128 - then as i128;
        [
            moved(now.requester, self.requester),
            moved(now.provider, self.provider),
            moved(now.accuser, self.accuser),
            moved(now.burned, self.burned),
        ]
    }
}

/// Returns a stranger's share of the collateral of a provider that it convicted.
fn bounty(collateral: u128) -> i128 {
    pricing::share(collateral, BOUNTY_BPS).unwrap() as i128
}

fn share(amount: u128) -> i128 {
    pricing::share(amount, COMPENSATION_BPS).unwrap() as i128
}

/// Opens a deal, signs a wrong receipt and accuses it. Returns the deal and both sides.
async fn accused(
    place: &Place,
    work: &Work,
    from: u64,
    salt: u64,
    gas: &mut Gas,
) -> (Deal, Liar, Player) {
    let deal = place.deal(salt).await;
    let (mut honest, mut liar) = (work.player(), Liar { player: work.player(), from });
    let leaves = lies(work, &mut liar);
    let signed = work.receipt(place, deal.clone(), &leaves);
    accuse(place, work, signed, &leaves, honest.open(), &format!("accuse {salt}"), gas).await;
    (deal, liar, honest)
}

#[tokio::test]
async fn a_lie_ends_at_its_very_step_and_the_liar_pays() {
    let place = Place::new().await;
    assert!(place.court.is_known_code().await.unwrap());
    assert_eq!(place.court.rules(), RULES);
    for fuel in
        [0, 1, 999_999_999, 1_000_000_000, 863_399_999_999_999, 900_000_000_000_000, u64::MAX]
    {
        assert_eq!(RULES.allowance(fuel), place.court.allowance(fuel).await.unwrap(), "{fuel}");
    }
    println!(
        "created: market {} gas, court and judges {}",
        place.deployed.market_gas, place.deployed.court_gas
    );
    // The number of levels depends on the fuel limit, not on the run.
    type Of = fn(u64) -> u64;
    let cases: [(u64, Of); 5] = [
        (1_000_000_000, |_| 1),
        (1_000_000_000, |steps| steps / 2 + 12_345),
        (1_000_000_000, |steps| steps),
        (1_000_000_000, |steps| steps + 1_000),
        (1_000_000_000_000, |steps| steps / 3),
    ];
    for (salt, (fuel, from)) in cases.into_iter().enumerate() {
        let work = Work::new(300, fuel);
        let from = from(work.steps);
        let before = Purse::look(&place).await;
        let (mut watch, mut gas) = (Watch::new(&place), Gas::default());
        let (deal, mut liar, mut honest) =
            accused(&place, &work, from, salt as u64, &mut gas).await;
        let bond = place.court.bond_for(fuel).await.unwrap();
        assert_eq!(
            place.account("accuser").await,
            before.accuser - bond,
            "taken from the account, all of it"
        );

        let game = play(&place, &mut watch, &deal, &mut honest, &mut liar, &mut gas).await;
        gas.print(&format!(
            "fuel limit {fuel}, {} steps, a lie from step {from} on, level {}",
            work.steps,
            honest.level()
        ));
        assert_eq!(game.stepped, Some(from - 1), "the step that leads to the first wrong state");
        let end = game.end.unwrap();
        assert_eq!((end.verdict, end.accuser_won, end.slashed), (Verdict::Step, true, true));
        assert_eq!((end.to_accuser, end.to_provider, end.burned), (bond, 0, 0));

        let burned = deal.collateral as i128 - share(deal.collateral);
        assert!(burned * 10 >= deal.collateral as i128 * 3);
        let bounty = bounty(deal.collateral);
        let requester = share(deal.collateral) - bounty;
        assert_eq!(
            before.since(&place).await,
            [requester, -(deal.collateral as i128), bounty, burned]
        );
        assert_eq!(
            place.chain.deal_state(struct_hash(&deal)).await.unwrap().status,
            DealStatus::Closed
        );
        assert!(place.reconciles().await);
    }
}

#[tokio::test]
async fn a_false_accuser_loses_its_bond() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let deal = place.deal(1).await;
    let before = Purse::look(&place).await;
    let (mut watch, mut gas) = (Watch::new(&place), Gas::default());
    let mut liar = Liar { player: work.player(), from: 4_321 };
    let leaves = work.leaves();
    let signed = work.receipt(&place, deal.clone(), &leaves);
    let level = liar.player.level();
    let states = liar.dissect(0, level);
    accuse(&place, &work, signed, &leaves, states, "a lie", &mut gas).await;
    let mut honest = work.player();
    let game = play(&place, &mut watch, &deal, &mut liar, &mut honest, &mut gas).await;
    assert_eq!((game.level, game.accusers_turn, game.end), (1, true, None));

    // There is no step that the accuser could prove.
    for pick in 0..16 {
        let proof = honest.at(game.position + u64::from(pick)).prove();
        assert_eq!(place.refused("accuser", game.step(&deal, pick, proof.clone())).await, "J-010");
        let other = game.step(&deal, (pick + 1) % 16, proof);
        assert_eq!(place.refused("accuser", other).await, "J-014");
    }
    place.at(game.deadline);
    gas.note("timeout", &place.send_court("provider", game.timeout(&deal)).await.unwrap());
    gas.print("a false accusation");
    let end = watch.game(&place).await.end.unwrap();
    let bond = game.game.bond;
    let won = share(bond) as u128;
    assert_eq!((end.verdict, end.accuser_won, end.slashed), (Verdict::Timeout, false, false));
    assert_eq!((end.to_accuser, end.to_provider, end.burned), (0, won, bond - won));
    assert!(end.burned * 10 >= bond * 3, "rounded up");
    assert_eq!(before.since(&place).await, [0, won as i128, -(bond as i128), (bond - won) as i128]);
    let state = place.chain.deal_state(struct_hash(&deal)).await.unwrap();
    assert_eq!((state.status, state.challenges), (DealStatus::Open, 0), "the deal goes on");
}

#[tokio::test]
async fn windows_close_to_the_second() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let mut watch = Watch::new(&place);
    let mut gas = Gas::default();

    // The provider's turn.
    let (deal, mut liar, mut honest) = accused(&place, &work, 500, 1, &mut gas).await;
    let game = watch.game(&place).await;
    let Answer::Move { pick, states } = liar.answer(0, game.level, &game.segment) else { panic!() };
    let reply = CourtCall::Move(Box::new(game.call(pick, &states)));
    place.at(game.deadline - 1);
    assert_eq!(place.refused("stranger", game.timeout(&deal)).await, "M-028");
    assert!(place.possible("provider", &reply).await);
    for time in [game.deadline, game.deadline + 1] {
        place.at(time);
        assert_eq!(place.refused("provider", reply.clone()).await, "M-029");
        assert!(place.possible("stranger", &game.timeout(&deal)).await);
    }
    let before = Purse::look(&place).await;
    let mined = place.send_court("stranger", game.timeout(&deal)).await.unwrap();
    println!("timeout of a provider: {} gas", mined.gas_used);
    let end = watch.game(&place).await.end.unwrap();
    assert_eq!((end.verdict, end.accuser_won, end.slashed), (Verdict::Timeout, true, true));
    let [requester, provider, accuser, burned] = before.since(&place).await;
    let bounty = bounty(deal.collateral);
    assert_eq!(requester, BUDGET as i128 + share(deal.collateral) - bounty);
    assert_eq!((provider, accuser), (0, game.game.bond as i128 + bounty));
    assert_eq!(burned, deal.collateral as i128 - share(deal.collateral));
    assert_eq!(place.refused("stranger", game.timeout(&deal)).await, "J-005");

    // The accuser's turn, after a move in the last second: it still has the whole time of a move.
    let (deal, mut liar, _) = accused(&place, &work, 500, 2, &mut gas).await;
    let game = watch.game(&place).await;
    let Answer::Move { pick, states } = liar.answer(0, game.level, &game.segment) else { panic!() };
    place.at(game.deadline - 1);
    let left = place.court.game(game.id).await.unwrap().unwrap().accuser_seconds;
    assert!(left <= RULES.base_seconds && left > RULES.base_seconds - 10, "{left}");
    place
        .send_court("provider", CourtCall::Move(Box::new(game.call(pick, &states))))
        .await
        .unwrap();
    let game = watch.game(&place).await;
    assert!(game.accusers_turn);
    assert_eq!(
        game.deadline,
        place.chain.now().await.unwrap() + u64::from(left),
        "untouched meanwhile"
    );
    let Answer::Move { pick, states } = honest.answer(game.position, game.level, &game.segment)
    else {
        panic!()
    };
    let reply = CourtCall::Move(Box::new(game.call(pick, &states)));
    place.at(game.deadline - 1);
    assert_eq!(place.refused("stranger", game.timeout(&deal)).await, "M-028");
    place.send_court("accuser", reply).await.unwrap();
    // The provider used all but a second of its time; a turn still lasts the time of a move at
    // least.
    let game = watch.game(&place).await;
    assert_eq!(game.deadline, place.chain.now().await.unwrap() + u64::from(RULES.move_seconds));
    let Answer::Move { pick, states } = liar.answer(game.position, game.level, &game.segment)
    else {
        panic!()
    };
    place
        .send_court("provider", CourtCall::Move(Box::new(game.call(pick, &states))))
        .await
        .unwrap();
    let game = watch.game(&place).await;
    place.at(game.deadline);
    place.send_court("stranger", game.timeout(&deal)).await.unwrap();
    let end = watch.game(&place).await.end.unwrap();
    assert_eq!(
        (end.verdict, end.accuser_won, end.slashed),
        (Verdict::Timeout, false, false),
        "the right one slept"
    );
}

#[tokio::test]
async fn anybody_can_send_a_signed_move_and_no_other() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let (mut watch, mut gas) = (Watch::new(&place), Gas::default());
    let (deal, mut liar, mut honest) = accused(&place, &work, 777, 1, &mut gas).await;
    let game = watch.game(&place).await;
    let Answer::Move { pick, states } = liar.answer(0, game.level, &game.segment) else { panic!() };
    let terms = game.terms(pick, &states);
    let with = |name: &str, terms: &Move| {
        let signature = signed(name, terms, place.court.domain());
        CourtCall::Move(Box::new(MoveArgs { signature, ..game.call(pick, &states) }))
    };
    let unsigned = CourtCall::Move(Box::new(game.call(pick, &states)));
    assert_eq!(place.refused("stranger", unsigned.clone()).await, "M-002");
    assert_eq!(place.refused("accuser", unsigned).await, "M-002");
    assert_eq!(place.refused("stranger", with("accuser", &terms)).await, "M-002", "not its turn");
    for wrong in [
        Move { pick: pick ^ 1, ..terms.clone() },
        Move { level: terms.level - 1, ..terms.clone() },
        Move { game: GameId::ZERO, ..terms.clone() },
        Move { from: B256::ZERO, ..terms.clone() },
        Move { to: B256::ZERO, ..terms.clone() },
    ] {
        assert_eq!(place.refused("stranger", with("provider", &wrong)).await, "M-002");
    }
    let elsewhere = signed("provider", &terms, place.chain.domain());
    let elsewhere =
        CourtCall::Move(Box::new(MoveArgs { signature: elsewhere, ..game.call(pick, &states) }));
    assert_eq!(place.refused("stranger", elsewhere).await, "M-002", "signed for the market");

    let call = with("provider", &terms);
    let mined = place.send_court("stranger", call.clone()).await.unwrap();
    println!("a move by a third party: {} gas", mined.gas_used);
    assert_eq!(
        place.refused("stranger", call).await,
        "J-006",
        "a signed move fits one state of one game"
    );

    // Moves that the rules refuse.
    let game = watch.game(&place).await;
    let Answer::Move { pick, states } = honest.answer(game.position, game.level, &game.segment)
    else {
        panic!()
    };
    let refused = async |change: &dyn Fn(&mut MoveArgs)| {
        let mut args = game.call(pick, &states);
        change(&mut args);
        place.refused("accuser", CourtCall::Move(Box::new(args))).await
    };
    assert_eq!(refused(&|args| args.pick = 16).await, "J-007");
    assert_eq!(refused(&|args| args.states[15] = game.segment[pick as usize + 1]).await, "J-008");
    assert_eq!(refused(&|args| args.segment[3] = B256::ZERO).await, "J-006");
    assert_eq!(refused(&|args| args.game.bond += 1).await, "J-005");
    assert_eq!(
        place.refused("accuser", game.step(&deal, 0, honest.at(game.position).prove())).await,
        "J-009"
    );
}

#[tokio::test]
async fn what_no_accusation_is_refused() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let deal = place.deal(1).await;
    let (mut honest, mut liar) = (work.player(), Liar { player: work.player(), from: 99 });
    let leaves = lies(&work, &mut liar);
    let right = work.receipt(&place, deal.clone(), &leaves);
    let order = right.order.clone();
    let accuse = |signed: &Signed| CourtCall::Accuse { signed: Box::new(signed.clone()) };
    assert_eq!(place.refused("accuser", accuse(&right)).await, "M-039", "no bond may be taken");
    let allow = MarketCall::Allow { spender: place.court.address(), amount: u128::MAX };
    place.send("accuser", allow).await.unwrap();
    assert!(place.possible("accuser", &accuse(&right)).await);
    let refused = async |change: &dyn Fn(&mut Signed)| {
        let mut signed = right.clone();
        change(&mut signed);
        place.refused("accuser", accuse(&signed)).await
    };
    assert_eq!(refused(&|signed| signed.signature = Bytes::new()).await, "M-002");
    assert_eq!(refused(&|signed| signed.receipt.root = B256::ZERO).await, "M-002");
    assert_eq!(refused(&|signed| signed.order.seq += 1).await, "M-018");
    let call = place.in_court(accuse(&right));
    let first = place.send("accuser", call.clone()).await.unwrap();
    // A game's id contains its time: in the next second it is another game, with a bond of its own.
    assert_eq!(place.refused("accuser", accuse(&right)).await, "J-004");
    place.at(place.chain.now().await.unwrap() + 1);
    let second = place.send("accuser", call).await.unwrap();
    assert_ne!(first.tx, second.tx);
    let mut watch = Watch::new(&place);
    let games: Vec<_> =
        watch.all(&place).await.iter().filter_map(|(_, event)| event.game()).collect();
    assert_eq!(games.len(), 2);
    assert_eq!(place.chain.deal_state(struct_hash(&deal)).await.unwrap().challenges, 2);

    // The provider can show only the nodes of the signed receipt.
    let game = watch.game(&place).await;
    let mut wrong = leaves.clone();
    wrong[0].1 += 1;
    assert_eq!(place.refused("provider", game.unfold(&order, &wrong)).await, "M-032");
    let other = rialto_protocol::types::Order { seq: 7, ..order.clone() };
    assert_eq!(place.refused("provider", game.unfold(&other, &leaves)).await, "M-018");
    let early = game.challenge(&order, work.challenge(honest.open()));
    assert_eq!(place.refused("accuser", early).await, "J-015", "nothing to pick from yet");
    place.send_court("stranger", game.unfold(&order, &leaves)).await.unwrap();

    // A challenge must give another end, of the ordered task.
    let game = watch.game(&place).await;
    let right = work.challenge(honest.open());
    let refused = async |change: &dyn Fn(&mut Challenge)| {
        let mut challenge = right.clone();
        change(&mut challenge);
        place.refused("accuser", game.challenge(&order, challenge)).await
    };
    assert!(place.possible("accuser", &game.challenge(&order, right.clone())).await);
    assert_eq!(place.refused("stranger", game.challenge(&order, right.clone())).await, "M-001");
    assert_eq!(refused(&|it| it.states[15] = leaves[TASK as usize].0).await, "J-003");
    assert_eq!(refused(&|it| it.index = 4).await, "J-007");
    assert_eq!(refused(&|it| it.index = 3).await, "M-021", "padding is no task");
    assert_eq!(refused(&|it| it.input = B256::ZERO).await, "J-002");
    assert_eq!(refused(&|it| it.input_proof.truncate(1)).await, "J-002");
    for at in [0, 150, 151, 190, 446] {
        let mut parts = right.parts.to_vec();
        parts[at] ^= 1;
        assert_eq!(refused(&|it| it.parts = parts.clone().into()).await, "J-013", "byte {at}");
    }
    let pick = CourtCall::Pick {
        game: Box::new(game.game.clone()),
        nodes: game.nodes.clone(),
        index: TASK,
    };
    assert_eq!(place.refused("accuser", pick).await, "J-009", "leaves are challenged");
    // A delegate may move until its time has passed.
    let until = place.chain.now().await.unwrap() + 30;
    place
        .send_court("accuser", CourtCall::Delegate { to: address("stranger"), until })
        .await
        .unwrap();
    assert!(place.possible("stranger", &game.challenge(&order, right.clone())).await);
    place.at(until);
    assert_eq!(place.refused("stranger", game.challenge(&order, right.clone())).await, "M-001");
}

#[tokio::test]
async fn wrong_totals_and_fuels_need_no_game() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let mut watch = Watch::new(&place);

    // The root has more fuel than its children.
    let deal = place.deal(1).await;
    let before = Purse::look(&place).await;
    let leaves = work.leaves();
    let leaf = |task: usize| SumNode::leaf(leaves[task].0, leaves[task].1);
    let children = [
        SumNode::parent(leaf(0), leaf(1)).unwrap(),
        SumNode::parent(leaf(2), SumNode::EMPTY).unwrap(),
    ];
    let right = SumNode::parent(children[0], children[1]).unwrap();
    let node = SumNode { fuel: right.fuel + 1, ..right };
    let signed = sign_receipt(&place, deal.clone(), work.order(&deal), node);
    let wrong = WrongSumArgs { signed, node, children, place: 0, siblings: vec![] };
    let inner = WrongSumArgs {
        node: children[0],
        children: [leaf(0), leaf(1)],
        siblings: vec![children[1]],
        ..wrong.clone()
    };
    let call = |args: WrongSumArgs| CourtCall::WrongSum(Box::new(args));
    let found = FaultProof::find(node, &work.ends, 100_000_000).unwrap();
    assert_eq!(
        CourtCall::convict(wrong.signed.clone(), found),
        call(wrong.clone()),
        "as a requester finds it"
    );
    assert_eq!(
        place.refused("stranger", call(inner)).await,
        "M-032",
        "the sums above it must be right"
    );
    let honest = sign_receipt(&place, deal.clone(), work.order(&deal), right);
    let right = WrongSumArgs { signed: honest, node: right, ..wrong.clone() };
    assert_eq!(place.refused("stranger", call(right)).await, "J-011");
    let mined = place.send_court("stranger", call(wrong.clone())).await.unwrap();
    println!("wrongSum: {} gas", mined.gas_used);
    convicted(&place, &mut watch, &deal, &before, Fault::Sum).await;
    assert_eq!(place.refused("stranger", call(wrong)).await, "M-016");

    // A leaf's fuel differs from that of its halted state.
    let deal = place.deal(2).await;
    let before = Purse::look(&place).await;
    let mut leaves = work.leaves();
    leaves[TASK as usize].1 += 5;
    let tree = SumTree::new(leaves.iter().copied());
    let signed = work.receipt(&place, deal.clone(), &leaves);
    let args = |task: u32| {
        CourtCall::WrongFuel(Box::new(WrongFuelArgs {
            signed: signed.clone(),
            task,
            fuel: leaves[task as usize].1,
            halted: work.ends[task as usize],
            proof: tree.proof(task).unwrap(),
        }))
    };
    assert_eq!(place.refused("stranger", args(0)).await, "J-012");
    let found = FaultProof::find(tree.root(), &work.ends, 100_000_000).unwrap();
    assert_eq!(CourtCall::convict(signed.clone(), found), args(TASK), "as a requester finds it");
    let mined = place.send_court("stranger", args(TASK)).await.unwrap();
    println!("wrongFuel: {} gas", mined.gas_used);
    convicted(&place, &mut watch, &deal, &before, Fault::Fuel).await;
    assert!(place.reconciles().await);
}

async fn convicted(place: &Place, watch: &mut Watch, deal: &Deal, before: &Purse, fault: Fault) {
    let last = watch.all(place).await.last().cloned().unwrap();
    let CourtEvent::Convicted { deal: id, provider, fault: found, .. } = last.1 else { panic!() };
    assert_eq!((last.0, id), (place.court.address(), struct_hash(deal)));
    assert_eq!((provider, found), (deal.provider, fault));
    let lost = deal.collateral as i128;
    let [requester, provider, accuser, burned] = before.since(place).await;
    // A stranger convicts the provider.
    let requester = requester + bounty(deal.collateral);
    assert_eq!(
        (requester, burned),
        (BUDGET as i128 + share(deal.collateral), lost - share(deal.collateral))
    );
    assert_eq!((provider, accuser), (0, 0));
}

#[tokio::test]
async fn a_reorg_takes_a_move_back_and_the_game_goes_on() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let (mut watch, mut gas) = (Watch::new(&place), Gas::default());
    let (deal, mut liar, mut honest) = accused(&place, &work, 1_000, 1, &mut gas).await;
    let begun = watch.game(&place).await;
    let Answer::Move { pick, states } = liar.answer(0, begun.level, &begun.segment) else {
        panic!()
    };
    // A move whose sender forgets it, so that it disappears with its block.
    let careless = place.chain.sender_in_memory(key("provider")).await.unwrap();
    let call = place.in_court(CourtCall::Move(Box::new(begun.call(pick, &states))));
    soon(careless.send("move", call)).await.unwrap();
    soon(careless.stop()).await;
    assert_eq!(watch.game(&place).await.level, begun.level - 1);
    place.control("anvil_rollback", json!([1]));
    place.control("evm_mine", json!([]));
    let again = watch.game(&place).await;
    assert_eq!((again.level, again.segment), (begun.level, begun.segment));
    // Another move replaces it, with another pick.
    let other: [B256; 16] = std::array::from_fn(|part| keccak256([part as u8]));
    place.send_court("provider", CourtCall::Move(Box::new(again.call(15, &other)))).await.unwrap();
    let moved = watch.game(&place).await;
    assert_eq!((moved.level, moved.position), (begun.level - 1, 15 * span(begun.level - 1)));
    assert_eq!(moved.segment[1..], other);
    let game = play(&place, &mut watch, &deal, &mut honest, &mut liar, &mut gas).await;
    assert!(game.end.is_none_or(|end| end.accuser_won), "nonsense does not win");
}

#[tokio::test]
async fn only_courts_of_ones_own_deals_are_heard() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let mut gas = Gas::default();
    let (deal, ..) = accused(&place, &work, 1_000, 1, &mut gas).await;
    let heard = async |courts: rialto_chain::Courts| {
        let mut events = place.chain.events_with(place.deployed.block, courts);
        let (head, mut heard) = (place.chain.head().await.unwrap().number, 0);
        loop {
            let batch = soon(futures::StreamExt::next(&mut events)).await.unwrap();
            heard += batch
                .added
                .iter()
                .filter(|(_, event)| matches!(event, rialto_chain::MarketEvent::Court { .. }))
                .count();
            if batch.through == head {
                return heard;
            }
        }
    };
    let of = |name: &str| rialto_chain::Courts::of(address(name));
    assert_eq!(heard(rialto_chain::Courts::default()).await, 0);
    assert_eq!(heard(of("accuser")).await, 0, "no party of a deal");
    // The events are `Accused`, `Unfolded` and `Challenged`.
    assert_eq!(heard(of("requester")).await, 3);
    assert_eq!(heard(of("provider")).await, 3);
    let known = rialto_chain::Courts { known: [deal.court].into(), ..Default::default() };
    assert_eq!(heard(known).await, 3);
    // The events are now old history, which is read by ranges of blocks.
    place.control("anvil_mine", json!([300]));
    assert_eq!(heard(of("provider")).await, 3);

    let error = place.chain.court(address("stranger")).await.err().unwrap();
    assert!(error.to_string().starts_with("[C-012]"), "{error}");
}

#[tokio::test]
async fn an_error_explains_itself() {
    let place = Place::new().await;
    let work = Work::new(50, 100_000_000);
    let mut watch = Watch::new(&place);
    let mut gas = Gas::default();
    let (deal, ..) = accused(&place, &work, 1_000, 1, &mut gas).await;
    let game = watch.game(&place).await;
    let mut unknown = game.timeout(&deal);
    if let CourtCall::Timeout { game, .. } = &mut unknown {
        game.openedAt += 9;
    }
    let Err(SendError::Rejected(error)) = place.send_court("stranger", unknown).await else {
        panic!()
    };
    assert!(matches!(error.court(), Some(CourtError::NoGame(_))));
    assert!(error.to_string().starts_with("[J-005] there is no game 0x"), "{error}");
}

#[test]
fn what_is_traced_in_time_follows_from_speed_and_clocks() {
    let rules =
        CourtRules { base_seconds: 60, move_seconds: 10, fuel_per_second: 1_000_000, ..RULES };
    // Half as fast as the clock: the 60 seconds at the start must make up for it, and only whole
    // ones count.
    assert_eq!(rules.most_fuel(500_000), 59_500_000);
    // Faster than the clock: only the longest allowance is a limit.
    assert_eq!(rules.most_fuel(2_000_000), 10 * 86_400 * 2_000_000);
    assert_eq!(rules.most_fuel(0), 0);
    for speed in [1, 77, 499_999, 999_999, 1_000_001, 1 << 40] {
        let most = rules.most_fuel(speed);
        let fits =
            |fuel: u64| u128::from(fuel) <= u128::from(rules.allowance(fuel)) * u128::from(speed);
        assert!(fits(most) && !fits(most + 1), "{speed}: {most}");
    }
}
