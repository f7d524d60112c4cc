//! Conditions that must hold during a whole run, and conditions that must hold at its end.

use rialto_protocol::{DealId, model::DealStatus, receipt::task_seed, types::Deal};
use rialto_provider::core::What;
use rialto_requester::core::{Phase, Policy, State};

use crate::{
    check::Broken,
    compute,
    options::{Manner, Temper},
    world::{DEPOSIT, World},
};

fn rule(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl World {
    /// Checks that money is conserved.
    pub(crate) fn money_is_conserved(&self) -> Result<(), Broken> {
        let nodes =
            self.sellers.iter().map(|s| s.account).chain(self.buyers.iter().map(|b| b.account));
        let outside: u128 =
            nodes.clone().map(|account| self.chain.ledger.market.tokens(account)).sum();
        let (owed, total) = (self.chain.ledger.market.owed(), DEPOSIT * nodes.count() as u128);
        rule(outside + owed == total, || {
            format!("{outside} outside and {owed} in the market are not {total}")
        })
    }

    /// Checks that the earnings that sellers report never decrease.
    pub(crate) fn watch_earnings(&mut self) {
        for (index, seller) in self.sellers.iter_mut().enumerate() {
            let Some(core) = &seller.core else { continue };
            for (id, deal) in core.status().deals {
                let before = seller.earned.insert(id, deal.earned).unwrap_or(0);
                if deal.earned < before {
                    let broken = format!(
                        "seller {index} earned {before} in {id}, and now only {}",
                        deal.earned
                    );
                    self.broken.get_or_insert(broken);
                }
            }
        }
    }

    /// Returns whether every job is reported whose buyer has not left.
    pub(crate) fn all_reported(&self) -> bool {
        self.buyers.iter().enumerate().all(|(index, buyer)| {
            let reported = |id| {
                let job = buyer.core.as_ref().and_then(|core| core.state().jobs.get(&id));
                job.is_some_and(|job| matches!(job.phase, Phase::Reported { .. }))
            };
            buyer.vanished
                || (0..self.options.buyers[index].jobs.len()).all(|job| reported(buyer.job_id(job)))
        })
    }

    /// Returns whether nobody will end the deal: its buyer has left, and its seller never redeems.
    /// Any account could still end it.
    fn nobodys(&self, deal: &Deal) -> bool {
        let gone =
            self.buyers.iter().any(|buyer| buyer.vanished && buyer.account == deal.requester);
        let sleeps = |(index, account): (usize, rialto_protocol::Address)| {
            account == deal.provider && self.options.sellers[index].temper == Temper::Sleeps
        };
        gone && self.sellers.iter().map(|seller| seller.account).enumerate().any(sleeps)
    }

    /// Returns the id and the terms of every opened deal that no reorg has removed.
    fn deals(&self) -> impl Iterator<Item = (DealId, &Deal)> {
        let logs = self.chain.blocks.iter().flat_map(|block| &block.logs);
        logs.filter_map(|log| match &log.fact.what {
            What::Opened(deal) => Some((log.fact.deal, &**deal)),
            _ => None,
        })
    }

    /// Returns the deals that are open and that some node will end.
    fn unended(&self) -> impl Iterator<Item = (DealId, &Deal)> {
        let open = |id| self.chain.ledger.market.deal_state(id).status == DealStatus::Open;
        self.deals().filter(move |(id, deal)| open(*id) && !self.nobodys(deal))
    }

    /// Returns whether every job is reported, every deal closed and every dispute over.
    pub(crate) fn converged(&self) -> bool {
        let buyers = self
            .buyers
            .iter()
            .all(|b| b.vanished || b.core.as_ref().is_some_and(|core| core.idle()));
        let sleeps = |index: usize| self.options.sellers[index].temper == Temper::Sleeps;
        let idle = |(index, seller): (usize, &crate::seller::Seller)| {
            seller.core.as_ref().is_some_and(|core| sleeps(index) || core.idle())
        };
        let sellers = self.sellers.iter().enumerate().all(idle);
        buyers && sellers && self.all_reported() && self.unended().next().is_none() && !self.plays()
    }

    /// Returns whether a dispute is still open that some node will end.
    fn plays(&self) -> bool {
        self.chain.ledger.court.games().next().is_some()
    }

    /// Describes what is still open.
    pub(crate) fn unfinished(&self) -> Broken {
        let mut left = Vec::new();
        for (id, deal) in self.unended() {
            let seller = self.sellers.iter().position(|s| s.account == deal.provider);
            let buyer = self.buyers.iter().position(|b| b.account == deal.requester);
            left.push(format!("deal {id} of buyer {buyer:?} with seller {seller:?} is open"));
        }
        for (index, buyer) in self.buyers.iter().enumerate().filter(|(_, buyer)| !buyer.vanished) {
            let state = buyer.state();
            let open =
                state.jobs.iter().filter(|(_, job)| !matches!(job.phase, Phase::Reported { .. }));
            left.extend(
                open.map(|(id, job)| format!("job {id} of buyer {index}: {:?}", job.phase)),
            );
            let unclosed = state.deals.iter().filter(|(_, deal)| deal.closed.is_none());
            left.extend(unclosed.map(|(id, _)| format!("buyer {index} takes deal {id} for open")));
        }
        for (index, seller) in self.sellers.iter().enumerate() {
            if !seller.core.as_ref().is_some_and(|core| core.idle()) {
                left.push(format!(
                    "seller {index} is not idle: {:?}",
                    seller.core.as_ref().map(|core| core.status())
                ));
            }
        }
        format!("it does not come to an end: {left:#?}")
    }

    /// Checks the conditions at the end of a run.
    pub(crate) fn verdict(&self) -> Result<(), Broken> {
        for (id, deal) in self.deals() {
            self.judge_deal(id, deal)?;
            self.judge_trouble(id, deal)?;
        }
        self.judge_accounts()?;
        for (index, buyer) in self.buyers.iter().enumerate() {
            let state = buyer.state();
            self.judge_payments(index, &state)?;
            if !buyer.vanished {
                self.judge_jobs(index, &state)?;
            }
        }
        Ok(())
    }

    fn judge_deal(&self, id: DealId, deal: &Deal) -> Result<(), Broken> {
        let (paid, delivered) =
            (self.chain.ledger.market.deal_state(id).paid, self.signed.delivered(id));
        rule(paid <= deal.budget, || {
            format!("deal {id} paid {paid} of a budget of {}", deal.budget)
        })?;
        rule(paid <= delivered, || {
            format!("deal {id} paid {paid}, but only {delivered} was ever delivered")
        })?;
        let Some(index) = self.sellers.iter().position(|seller| seller.account == deal.provider)
        else {
            return Err(format!("deal {id} is with a stranger"));
        };
        let options = &self.options.sellers[index];
        if !options.temper.honest() {
            return Ok(());
        }
        let earned = self.sellers[index].earned.get(&id).copied().unwrap_or(0);
        // A seller may leave sums that are not worth a transaction: the rest of a voucher, and
        // small claims.
        let orders = 1 + self
            .buyers
            .iter()
            .map(|b| b.state().deals.get(&id).map_or(0, |d| d.orders.len()))
            .sum::<usize>();
        let crumbs = options.tx_worth * orders as u128;
        rule(paid + crumbs >= earned, || {
            format!("honest seller {index} earned {earned} in deal {id} and was paid {paid}")
        })
    }

    /// Checks that no honest node has lost more than it agreed to.
    fn judge_accounts(&self) -> Result<(), Broken> {
        let paid = |of: &dyn Fn(&Deal) -> bool| -> u128 {
            let deals = self.deals().filter(|(_, deal)| of(deal));
            deals.map(|(id, _)| self.chain.ledger.market.deal_state(id).paid).sum()
        };
        for (index, seller) in self.sellers.iter().enumerate() {
            let (has, paid) = (
                self.chain.ledger.market.account(seller.account).balance,
                paid(&|d| d.provider == seller.account),
            );
            let honest = self.options.sellers[index].temper.honest();
            rule(!honest || has >= DEPOSIT + paid, || {
                format!(
                    "honest seller {index} was paid {paid}, but has {has}: its collateral was taken"
                )
            })?;
        }
        for (index, buyer) in self.buyers.iter().enumerate() {
            let (has, paid) = (
                self.chain.ledger.market.account(buyer.account).balance,
                paid(&|d| d.requester == buyer.account),
            );
            let honest = self.options.buyers[index].manner == Manner::Honest;
            let bonds = self.bonds_given(|deal| deal.requester == buyer.account);
            rule(!honest || has + paid + bonds >= DEPOSIT, || {
                format!("honest buyer {index} paid {paid} and {bonds} in bonds, but has {has}")
            })?;
        }
        Ok(())
    }

    /// Returns the bonds that sellers received for answering cases in time.
    fn bonds_given(&self, of: impl Fn(&Deal) -> bool) -> u128 {
        let logs = self.chain.blocks.iter().flat_map(|block| &block.logs);
        let answered = logs
            .filter(|log| matches!(log.kind, "answer" | "reveal" | "excuse"))
            .map(|log| log.fact.deal);
        let deals: std::collections::BTreeMap<_, _> = self.deals().collect();
        let ours = answered.filter(|id| deals.get(id).is_some_and(|deal| of(deal))).count();
        ours as u128 * self.options.params.case_bond
    }

    /// Checks the loss of an honest buyer in a deal whose seller misbehaved: it is bounded, and the
    /// buyer has not paid for results that were never shown.
    fn judge_trouble(&self, id: DealId, deal: &Deal) -> Result<(), Broken> {
        let Some(buyer) = self.buyers.iter().position(|b| b.account == deal.requester) else {
            return Ok(());
        };
        if self.options.buyers[buyer].manner != Manner::Honest {
            return Ok(());
        }
        let claims = self
            .chain
            .blocks
            .iter()
            .flat_map(|block| &block.logs)
            .filter(|log| log.fact.deal == id);
        let claimed: u128 = claims
            .filter_map(|log| match &log.heard {
                Some(rialto_requester::core::What::Claimed { receipt, .. }) => Some(receipt.fee),
                _ => None,
            })
            .sum();
        let bond = self.options.params.case_bond;
        let bonds = self.bonds_given(|other| other == deal);
        rule(bonds <= claimed + 2 * bond, || {
            format!("{bonds} in bonds went to the seller of {id}, which claimed {claimed}")
        })?;
        let seller = self.sellers.iter().position(|s| s.account == deal.provider);
        let temper = seller.map(|seller| self.options.sellers[seller].temper);
        let paid = self.chain.ledger.market.deal_state(id).paid;
        rule(temper != Some(Temper::Withholds) || paid == 0, || {
            format!("{paid} was paid in {id} for work that nobody has seen")
        })?;
        rule(temper != Some(Temper::Overbills) || paid == 0, || {
            format!("{paid} was paid in {id} for receipts that do not add up")
        })
    }

    fn liars(&self) -> usize {
        self.options.sellers.iter().filter(|seller| seller.temper.lies()).count()
    }

    /// Returns whether the verification policy can detect wrong results in this run.
    fn can_tell(&self, policy: Policy) -> bool {
        let all = matches!(policy, Policy::Audit { rate_ppm: 1_000_000 }) || policy.replicas() >= 2;
        self.liars() == 0 || (all && self.liars() == 1)
    }

    /// Checks that vouchers add up to the accepted orders, and that accepted results are correct.
    fn judge_payments(&self, index: usize, state: &State) -> Result<(), Broken> {
        for (id, deal) in &state.deals {
            let accepted =
                deal.orders.iter().filter(|order| self.buyers[index].accepted.contains(*order));
            let mut worth = 0;
            for order in accepted.filter_map(|order| state.orders.get(order)) {
                worth += order.receipt.as_ref().map_or(0, |receipt| receipt.value.fee);
                let job = &state.jobs[&order.job];
                let (spec, first) = (&job.spec, job.batches[order.batch as usize].first as usize);
                let inputs = &spec.inputs[first..first + order.order.tasks as usize];
                let right = compute::run_order(inputs, &order.order);
                let same = right.iter().map(|(halted, _)| halted).eq(&order.results);
                rule(same || !self.can_tell(spec.policy), || {
                    format!(
                        "buyer {index} accepts wrong results in deal {id}, order {}",
                        order.order.seq
                    )
                })?;
            }
            let promised = self.signed.promised(*id);
            rule(promised <= worth, || {
                format!("buyer {index} signs {promised} for {worth} in deal {id}")
            })?;
        }
        Ok(())
    }

    fn judge_jobs(&self, index: usize, state: &State) -> Result<(), Broken> {
        for (id, job) in &state.jobs {
            let Phase::Reported { outcome: Ok(()), .. } = &job.phase else { continue };
            let Some(core) = &self.buyers[index].core else { continue };
            let summary = core.summary(*id);
            for (task, result) in summary.tasks.iter().enumerate() {
                let Some(result) = result else {
                    return Err(format!(
                        "job {id} of buyer {index} is done, but task {task} has no result"
                    ));
                };
                let right =
                    compute::run(job.spec.inputs[task], self.seed_of(state, *id, task as u32));
                rule(right.0 == result.halted || !self.can_tell(job.spec.policy), || {
                    format!("job {id} of buyer {index} reports a wrong result for task {task}")
                })?;
            }
        }
        Ok(())
    }

    fn seed_of(&self, state: &State, id: rialto_requester::core::JobId, task: u32) -> u64 {
        let job = &state.jobs[&id];
        let batch = job
            .batches
            .iter()
            .find(|batch| (batch.first..batch.first + batch.count).contains(&task));
        batch.map_or(0, |batch| task_seed(job.spec.batch_seed(batch.first), task - batch.first))
    }

    /// Returns the hash of everything that happened in the run.
    pub fn fingerprint(&self) -> u64 {
        self.history.value()
    }
}
