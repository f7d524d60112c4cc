//! What went to court: the instruction that decided, what it cost, who got what.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result};
use futures::StreamExt;
use rialto_chain::{CourtEvent, Courts, MarketEvent};
use rialto_client::view;
use rialto_local_market::LocalMarket;
use rialto_machine::{TaskLimits, canonicalise, input::Halves, lower, play::Player};
use rialto_protocol::{B256, court::Verdict};
use rialto_requester::{Dispute, JobReport};

use super::{picture::Picture, task_input};
use crate::{
    samples::RAYTRACE,
    ui::{self, Paint},
};

/// A dispute, and what the chain says of it.
pub struct Case {
    /// As the requester knows it.
    pub dispute: Dispute,
    /// The instruction that was judged, for people.
    pub instruction: Option<String>,
    /// Gas of the judged step, and of all transactions of the game.
    step_gas: Option<u64>,
    gas_total: u64,
}

/// Every dispute of a job.
pub async fn cases(
    market: &LocalMarket,
    report: &JobReport,
    picture: &Picture,
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for dispute in &report.disputes {
        let (step_gas, gas_total) = gas(market, dispute).await?;
        let instruction = match &dispute.step {
            Some(step) => Some(instruction(report, dispute, picture, step.position).await?),
            None => None,
        };
        cases.push(Case { dispute: dispute.clone(), instruction, step_gas, gas_total });
    }
    Ok(cases)
}

/// Gas of the transaction that judged, and of all.
async fn gas(market: &LocalMarket, dispute: &Dispute) -> Result<(Option<u64>, u64)> {
    let courts = Courts { known: BTreeSet::from([dispute.court]), parties: BTreeSet::new() };
    let head = market.chain.head().await?.number;
    let mut events = market.chain.events_with(market.deployed.block, courts);
    let (mut all, mut judged): (BTreeSet<B256>, Option<B256>) = Default::default();
    while let Some(batch) = events.next().await {
        for (meta, event) in &batch.added {
            let MarketEvent::Court { event, .. } = event else { continue };
            if event.game() != Some(dispute.game) {
                continue;
            }
            all.insert(meta.tx);
            if let CourtEvent::Stepped { .. } = event {
                judged = Some(meta.tx);
            }
        }
        if batch.through >= head {
            break;
        }
    }
    let mut total = 0;
    let mut step = None;
    for tx in all {
        let used =
            market.chain.gas_used(tx).await?.context("a transaction of the game is not known")?;
        total += used;
        if judged == Some(tx) {
            step = Some(used);
        }
    }
    Ok((step, total))
}

/// The instruction at a step of a tile's run.
async fn instruction(
    report: &JobReport,
    dispute: &Dispute,
    picture: &Picture,
    position: u64,
) -> Result<String> {
    let disputed = dispute.task.context("no task was disputed")?;
    let evidence = report.evidence.orders.iter().find(|order| {
        let tasks = order.first..order.first + order.order.value.tasks;
        order.order.value.deal == dispute.deal && tasks.contains(&disputed)
    });
    let order = &evidence.context("the disputed order is not in the evidence")?;
    let (first, order) = (order.first, order.order.value.clone());
    let input = task_input(picture, disputed)?;
    let task = disputed - first;
    tokio::task::spawn_blocking(move || {
        let program = Arc::new(lower(&canonicalise(RAYTRACE)?.module));
        let input = Arc::new(Halves::new(input.into(), Default::default()));
        let mut player = Player::new(program, input, TaskLimits::of(&order, task));
        let next = player.at(position).next();
        Ok(next.map_or("halted".to_owned(), |(pc, instruction)| format!("{pc}: {instruction}")))
    })
    .await?
}

impl Case {
    fn winner(&self) -> &'static str {
        match self.dispute.end {
            Some(end) if end.accuser_won => "requester",
            Some(_) => "provider",
            None => "open",
        }
    }

    pub fn print(&self, paint: &Paint, provider: &str) {
        println!("\n{}", paint.bold("The case"));
        let Dispute { task, moves, compensation, burned, bond, .. } = &self.dispute;
        let about = task.map_or_else(|| "a receipt".to_owned(), |task| format!("tile {task}"));
        println!("  requester against {provider}, about {about}: won by the {}", self.winner());
        if let (Some(instruction), Some(step)) = (&self.instruction, &self.dispute.step) {
            println!(
                "  decided by       step {}, instruction {instruction}",
                ui::count(step.position)
            );
        }
        println!(
            "  gas              {} in all, for the accusation, {moves} turns and the step{}",
            ui::count(self.gas_total),
            self.step_gas.map_or(String::new(), |gas| format!(" ({} of it)", ui::count(gas)))
        );
        println!(
            "  collateral       {} to the requester, {} burned; the bond of {} came back",
            ui::money(*compensation),
            ui::money(*burned),
            ui::money(*bond)
        );
    }

    pub fn view(&self) -> view::DemoDispute {
        let dispute = &self.dispute;
        let kind = match dispute.end {
            Some(end) => match end.verdict {
                Verdict::Step => "step",
                Verdict::Timeout => "timeout",
                Verdict::Fuel => "fuel",
            },
            None => "open",
        };
        view::DemoDispute {
            game: Some(dispute.game.into()),
            task: dispute.task,
            kind: kind.to_owned(),
            provider: dispute.provider.into(),
            moves: dispute.moves,
            position: dispute.step.map(|step| step.position),
            instruction: self.instruction.clone(),
            claimed: dispute.step.map(|step| step.claimed.into()),
            right: dispute.step.map(|step| step.next.into()),
            step_gas: self.step_gas,
            gas_total: self.gas_total,
            calls: None,
            winner: self.winner().to_owned(),
            slashed: (dispute.compensation + dispute.burned).into(),
            burned: dispute.burned.into(),
            requester_compensated: dispute.compensation.into(),
        }
    }
}
