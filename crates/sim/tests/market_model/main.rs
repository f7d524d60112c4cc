//! The reference model, compared with the bytecode call by call. The same calls at the same times,
//! with invalid ones and boundary times, must be accepted or refused for the same reason and leave
//! the same state.
//!
//! The 12 histories are the same every time; `RIALTO_MODEL_CASES` tries that many new random ones
//! instead.
#![allow(clippy::unwrap_used)]

mod bytecode;
mod games;
mod moves;
mod work;

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use bytecode::Bytecode;
use moves::{ACTORS, Choice, Coverage, Table};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rialto_chain::bindings::IMarket;
use rialto_protocol::{
    model::{BURNED, Call, CaseStatus, DealStatus, Market, Params, court::Rules},
    types::{domain, struct_hash},
};

/// Calls in one history.
const STEPS: usize = 90;
/// Tokens of every actor, base units.
const TOKENS: u128 = 20_000;
const PARAMS: Params =
    Params { challenge_window: 100, answer_window: 40, grace: 50, case_bond: 25 };
const RULES: Rules = Rules {
    base_bond: 101,
    bond_per_tfuel: 5_000_000,
    base_seconds: 90,
    move_seconds: 40,
    fuel_per_second: 1_000_000,
};

fn keys() -> Vec<PrivateKeySigner> {
    (0..ACTORS as u8).map(|n| PrivateKeySigner::from_bytes(&keccak256([n])).unwrap()).collect()
}

/// The contract and the model of a market.
struct Pair {
    real: Bytecode,
    model: Market,
    table: Table,
}

impl Pair {
    fn new() -> Self {
        let real = Bytecode::new(keys(), PARAMS, RULES, TOKENS);
        let domain = domain(real.chain_id(), real.market);
        let tokens: BTreeMap<_, _> = keys().iter().map(|key| (key.address(), TOKENS)).collect();
        let model = Market::new(PARAMS, domain.clone(), tokens);
        let mut this = Self { real, model, table: Table::new(keys(), domain, PARAMS) };
        for actor in 0..ACTORS {
            let call = Call::Deposit { account: this.table.address(actor), amount: TOKENS / 2 };
            let now = this.real.now() + 1;
            this.step(now, actor, &call).unwrap().unwrap();
        }
        this
    }

    fn step(&mut self, now: u64, sender: usize, call: &Call) -> Result<Result<(), String>, String> {
        let expected =
            self.model.apply(now, self.table.address(sender), call).map_err(|e| format!("{e:?}"));
        let got = self.real.execute(now, sender, call);
        if got != expected {
            return Err(format!(
                "at {now}, actor {sender}: model {expected:?}, bytecode {got:?}, call {call:#?}"
            ));
        }
        if let (Ok(()), Call::Open { ask, terms, .. }) = (&got, call) {
            self.table
                .deals
                .push(Market::deal_terms(self.table.address(sender), ask, terms).unwrap());
        }
        Ok(got)
    }

    fn compare(&self) -> Result<(), String> {
        let same = |what: &str, left: String, right: String| {
            if left == right {
                Ok(())
            } else {
                Err(format!("{what}: model {left}, bytecode {right}"))
            }
        };
        let mut owners: Vec<_> = (0..ACTORS).map(|actor| self.table.address(actor)).collect();
        owners.push(BURNED);
        for owner in owners {
            let (model, real) =
                (self.model.account(owner), self.real.read(IMarket::accountCall { owner }));
            same(
                "account",
                format!("{:?}", (model.balance, model.counter, model.open)),
                format!("{:?}", (real.balance, real.counter, real.dealsOpen)),
            )?;
            same(
                "tokens",
                self.model.tokens(owner).to_string(),
                self.real.tokens(owner).to_string(),
            )?;
        }
        same(
            "conservation",
            self.model.owed().to_string(),
            self.real.tokens(self.real.market).to_string(),
        )?;
        for deal in &self.table.deals {
            let id = struct_hash(deal);
            let (model, real) = (
                self.model.deal_state(id),
                self.real.read(IMarket::dealStateCall { deal: id.into() }),
            );
            let model = (
                model.status as u8,
                model.paid,
                model.orders,
                model.claims,
                model.lates,
                model.challenges,
            );
            let real = (
                real.status as u8,
                real.paid,
                real.orders,
                real.claims,
                real.lates,
                real.challenges,
            );
            same("deal", format!("{model:?}"), format!("{real:?}"))?;
        }
        for (owner, spender) in
            (0..ACTORS).flat_map(|owner| (0..ACTORS).map(move |spender| (owner, spender)))
        {
            let (owner, spender) = (self.table.address(owner), self.table.address(spender));
            let real: u128 = self.real.read(IMarket::allowanceCall { owner, spender });
            same("allowance", self.model.allowance(owner, spender).to_string(), real.to_string())?;
        }
        for order in self.table.orders.iter().map(struct_hash) {
            let real: B256 = self.real.read(IMarket::assertedReceiptCall { order: order.into() });
            same(
                "asserted receipt",
                B256::from(self.model.asserted(order).unwrap_or_default()).to_string(),
                real.to_string(),
            )?;
        }
        for (at, case) in &self.table.cases {
            let deal = struct_hash(&self.table.deals[*at]);
            let model = self.model.case(deal, *case);
            let (kind, subject, task) = (case.kind().into(), case.subject(), case.task());
            let call = IMarket::caseStateCall { deal: deal.into(), kind, subject, task };
            let real = self.real.read(call);
            let real = (real.status as u8, real.deadline.to::<u64>(), real.seq, real.amount);
            same(
                "case",
                format!("{:?}", (model.status as u8, model.deadline, model.seq, model.amount)),
                format!("{real:?}"),
            )?;
        }
        Ok(())
    }

    /// Checks that after all deadlines anyone can end everything, and no money stays locked.
    fn everybody_gets_out(&mut self) -> Result<(), String> {
        let longest = PARAMS.grace + 2 * PARAMS.challenge_window + PARAMS.answer_window;
        let mut now = self.real.now();
        let ends = self.table.deals.iter().map(|deal| deal.expiry + longest);
        let holds =
            self.table.cases.iter().map(|(at, case)| {
                self.model.case(struct_hash(&self.table.deals[*at]), *case).deadline
            });
        now = ends.chain(holds).max().unwrap_or(now).max(now);
        for kind in [2, 3, 0, 1] {
            for (at, which) in self.table.cases.clone() {
                let deal = self.table.deals[at].clone();
                let case = self.model.case(struct_hash(&deal), which);
                if which.kind() as u8 == kind && case.status == CaseStatus::Open {
                    now += 1;
                    self.step(now, 0, &Call::Settle { deal, case: which })??;
                }
            }
        }
        for deal in self.table.deals.clone() {
            if self.model.deal_state(struct_hash(&deal)).status == DealStatus::Open {
                now += 1;
                self.step(now, 0, &Call::Expire { deal })??;
            }
        }
        for actor in 0..ACTORS {
            let to = self.table.address(actor);
            let amount = self.model.account(to).balance;
            now += 1;
            self.step(now, actor, &Call::Withdraw { to, amount })??;
        }
        self.compare()?;
        let left = self.real.tokens(self.real.market);
        let burned = U256::from(self.model.account(BURNED).balance);
        if left == burned {
            Ok(())
        } else {
            Err(format!("{left} base units are stuck, {burned} of them burned"))
        }
    }
}

fn history(choices: &[Choice], coverage: &mut Coverage) -> Result<(), String> {
    let mut pair = Pair::new();
    for choice in choices {
        let now = pair.table.time(pair.real.now() + 1, choice, &pair.model);
        let (sender, call) = pair.table.call(now, choice, &pair.model);
        let outcome = pair.step(now, sender, &call)?;
        coverage.count(&call, &outcome);
    }
    pair.compare()?;
    pair.everybody_gets_out()
}

#[test]
fn model_and_bytecode_agree() {
    let cases: Option<u32> = std::env::var("RIALTO_MODEL_CASES").ok().and_then(|n| n.parse().ok());
    let coverage = std::cell::RefCell::new(Coverage::default());
    let config = Config {
        cases: cases.unwrap_or(12),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner = match cases {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&moves::choices(STEPS), |choices| {
        history(&choices, &mut coverage.borrow_mut()).map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(why, choices)) = &outcome {
        panic!("{why}\nafter {choices:?}");
    }
    outcome.unwrap();
    let coverage = coverage.into_inner();
    println!("{:#?}", coverage.0);
    for call in [
        "Deposit", "Withdraw", "Open", "Redeem", "Close", "Claim", "Late", "Answer", "Demand",
        "Settle", "Expire", "Hold", "Allow", "Take", "Give", "Excuse", "Reveal", "Slash", "Lift",
    ] {
        assert!(coverage.0.contains_key(call), "no {call} went through: the moves are too weak");
    }
}
