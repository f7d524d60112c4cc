//! What a provider says while it sells: lines, a status line on a terminal, or one JSON object a
//! line.

use std::fmt::LowerHex;
use std::io::{IsTerminal, Write};

use rialto_client::view;
use rialto_net::Node;
use rialto_provider::{AskConfig, Limits, ProviderEvent, Report};
use serde::Serialize;

use super::Place;
use crate::ui::{self, Output, Paint, Ui};

/// Says things on stdout.
pub struct Teller {
    ui: Ui,
    paint: Paint,
    /// Draw a status line.
    live: bool,
    drawn: bool,
}

/// Prints a line in either form.
pub fn line(ui: Ui, text: &str, value: &impl Serialize) {
    print_either(ui, text, || json_of(value));
}

fn json_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data, its keys are texts")
}

fn print_either(ui: Ui, text: &str, json: impl FnOnce() -> String) {
    match ui.output() {
        Output::Human => ui::say(format_args!("{text}\n")),
        Output::Json => ui::raw(format!("{}\n", rialto_client::escape::json(&json())).as_bytes()),
    }
}

impl Teller {
    pub fn new(ui: Ui) -> Self {
        let live = ui.for_people() && std::io::stdout().is_terminal();
        Self { ui, paint: Paint::for_stdout(), live, drawn: false }
    }

    /// Whether a status line is to be drawn.
    pub fn wants_line(&self) -> bool {
        self.live
    }

    pub fn say(&mut self, text: &str, value: &impl Serialize) {
        self.print(text, || json_of(value));
    }

    fn print(&mut self, text: &str, json: impl FnOnce() -> String) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stdout(), "\r\x1b[K");
        }
        print_either(self.ui, text, json);
    }

    pub fn warn(&mut self, code: &str, text: &str) {
        let shown = format!("{} [{code}] {text}", self.paint.bad("warning"));
        self.say(
            &shown,
            &view::SellingWarning {
                event: "warning",
                code: code.to_owned(),
                detail: text.to_owned(),
            },
        );
    }

    pub fn opening(
        &mut self,
        place: &Place,
        node: &Node,
        asks: &AskConfig,
        limits: &Limits,
        memory_bytes: u64,
    ) {
        let addr = node.addr();
        let task_fuel = limits.task_fuel.min(limits.traced_fuel);
        let text = format!(
            "{}\n  account   {}\n  market    {} on chain {}\n  folder    {}\n  endpoint  {}{}\n  sells     {} cores at {} per second each, {} MiB of memory, tasks of up to {}\n  price     {}, {} per task",
            self.paint.bold("selling compute"),
            place.signer.address(),
            place.chain.market(),
            place.chain.chain_id(),
            place.folder.display(),
            addr.endpoint,
            addr.relay.as_ref().map_or_else(String::new, |relay| format!(" through {relay}")),
            asks.cores,
            ui::fuel(asks.fuel_per_second.into()),
            memory_bytes >> 20,
            ui::fuel(task_fuel.into()),
            super::price(asks.price),
            ui::money(asks.task_fee),
        );
        let value = view::SellingStarted {
            event: "started",
            account: place.signer.address().into(),
            market: place.chain.market().into(),
            chain_id: place.chain.chain_id(),
            folder: place.folder.clone(),
            endpoint: addr.endpoint.into(),
            direct: addr.direct.clone(),
            relay: addr.relay.clone(),
            cores: asks.cores,
            fuel_per_second: asks.fuel_per_second,
            memory_bytes,
            task_fuel,
        };
        self.say(&text, &value);
    }

    pub fn tell(&mut self, event: &ProviderEvent) {
        let text = sentence(event);
        let text = match event {
            ProviderEvent::Redeemed { .. } | ProviderEvent::Paid { .. } => self.paint.good(&text),
            ProviderEvent::LowBalance { .. }
            | ProviderEvent::LowGas { .. }
            | ProviderEvent::TransactionFails { .. }
            | ProviderEvent::DossierFails { .. }
            | ProviderEvent::Refused { .. } => self.paint.bad(&text),
            _ => text,
        };
        self.print(&text, || json_of(event));
    }

    pub fn missed(&mut self, count: u64) {
        self.say(
            &format!("… {count} events not shown"),
            &view::MissedEvents { event: "missed", count },
        );
    }

    pub fn draw(&mut self, report: &Report) {
        let status = &report.status;
        let open = status.deals.values().filter(|deal| deal.open).count();
        let text = format!(
            "{}/{} cores busy · {open} deals · {} running, {} waiting · earned today {} · paid {} · {} peers",
            status.cores.0,
            status.cores.1,
            status.running,
            status.waiting,
            ui::money(status.ledger.today.earned),
            ui::money(status.ledger.today.paid),
            report.peers,
        );
        let mut out = std::io::stdout();
        let _ = write!(out, "\r\x1b[K{}", self.paint.dim(&text));
        let _ = out.flush();
        self.drawn = true;
    }

    pub fn closing(&mut self, report: Option<&Report>) {
        let Some(report) = report else { return };
        let ledger = &report.status.ledger;
        let text = format!(
            "ended: earned {} in all, {} of it arrived on chain; gas {} wei",
            ui::money(ledger.total.earned),
            ui::money(ledger.total.paid),
            ledger.total.gas_wei
        );
        self.say(
            &text,
            &view::SellingEnded {
                event: "ended",
                earned: ledger.total.earned.into(),
                paid: ledger.total.paid.into(),
                gas_wei: ledger.total.gas_wei.into(),
            },
        );
    }
}

/// The first eight digits of an id.
fn id(id: &impl LowerHex) -> String {
    format!("{id:x}").chars().take(8).collect()
}

fn sentence(event: &ProviderEvent) -> String {
    match event {
        ProviderEvent::AskPublished { price_start, price_end, capacity, .. }
            if price_start == price_end =>
        {
            format!("offering {capacity} deals at {} per Tfuel", ui::money(*price_start))
        }
        ProviderEvent::AskPublished { price_start, price_end, capacity, .. } => format!(
            "offering {capacity} deals at {} falling to {} per Tfuel",
            ui::money(*price_start),
            ui::money(*price_end)
        ),
        ProviderEvent::LowBalance { account, needed } => format!(
            "[P-OFR-003] nothing is offered: the account in the market holds {}, the smallest deal needs {}: deposit",
            ui::money(*account),
            ui::money(*needed)
        ),
        ProviderEvent::LowGas { balance_wei, wanted_wei } => {
            format!(
                "[P-GAS-001] gas money is low: {balance_wei} wei, {wanted_wei} are comfortable: send some to the account"
            )
        }
        ProviderEvent::DealOpened { deal, requester, budget, price } => format!(
            "deal {} opened by {requester}: budget {}, {} per Tfuel",
            id(deal),
            ui::money(*budget),
            ui::money(*price)
        ),
        ProviderEvent::OrderAccepted { deal, order, tasks } => {
            format!("deal {}: order {} of {tasks} tasks accepted", id(deal), id(order))
        }
        ProviderEvent::Refused { why, .. } => format!("refused: {why}"),
        ProviderEvent::Progress { order, done } => {
            format!("order {}: {done} tasks done", id(order))
        }
        ProviderEvent::TasksDone { deal, order, tasks, fuel, fee } => format!(
            "deal {}: order {} done: {tasks} tasks, {}, {}",
            id(deal),
            id(order),
            ui::fuel(*fuel),
            ui::money(*fee)
        ),
        ProviderEvent::Paid { deal, amount, more } => {
            format!("deal {}: voucher for {} (+{})", id(deal), ui::money(*amount), ui::money(*more))
        }
        ProviderEvent::Rejected { deal, task, verdict, .. } => {
            format!("deal {}: task {task} was rejected; running it again: {verdict:?}", id(deal))
        }
        ProviderEvent::Redeemed { deal, paid } => {
            format!("deal {}: {} arrived on chain", id(deal), ui::money(*paid))
        }
        ProviderEvent::CaseOpened { deal, case } => {
            format!("deal {}: a case was opened: {:?}", id(deal), case.kind())
        }
        ProviderEvent::Accused { deal, game, order, until } => format!(
            "deal {}: accused in court of the receipt for order {} (game {}): answering until second {until}",
            id(deal),
            id(order),
            id(game)
        ),
        ProviderEvent::GameMoved { game, task: Some(task), turn, .. } => {
            format!("game {}: about task {task}, turn {turn}", id(game))
        }
        ProviderEvent::GameMoved { game, task: None, .. } => {
            format!("game {}: about the receipt's tree", id(game))
        }
        ProviderEvent::GameEnded { deal, game, won: true, received, .. } => {
            format!("deal {}: game {} won, {} received", id(deal), id(game), ui::money(*received))
        }
        ProviderEvent::GameEnded { deal, game, won: false, lost, .. } => {
            format!(
                "deal {}: game {} lost, and {} of collateral",
                id(deal),
                id(game),
                ui::money(*lost)
            )
        }
        ProviderEvent::Convicted { deal, lost, .. } => format!(
            "deal {}: a receipt whose fuel does not add up was shown to the court: {} of collateral lost",
            id(deal),
            ui::money(*lost)
        ),
        ProviderEvent::DealClosed { deal, paid, lost } => {
            format!(
                "deal {} closed: {} paid, {} lost",
                id(deal),
                ui::money(*paid),
                ui::money(*lost)
            )
        }
        ProviderEvent::DossierFails { order, why } => match order {
            Some(order) => format!(
                "the dossier of order {order} could not be written, and is tried again: {why}"
            ),
            None => format!("dossiers of deals that are over could not be removed: {why}"),
        },
        ProviderEvent::TransactionFails { deal, intent } => {
            format!(
                "[P-GAS-002] deal {}: the transaction {intent} keeps failing: see the log (--log info)",
                id(deal)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::DealId;

    #[test]
    fn events_read_well() {
        let deal = DealId::repeat_byte(0xab);
        let paid = ProviderEvent::Redeemed { deal, paid: 1_500_000 };
        assert_eq!(sentence(&paid), "deal abababab: 1.500000 tUSD arrived on chain");
        let whole =
            serde_json::to_string(&ProviderEvent::DealClosed { deal, paid: u128::MAX, lost: 0 })
                .unwrap();
        assert!(whole.starts_with(r#"{"event":"deal_closed","deal":"0xab"#), "{whole}");
        assert!(whole.ends_with(&format!(r#""paid":{},"lost":0}}"#, u128::MAX)), "{whole}");
    }
}
