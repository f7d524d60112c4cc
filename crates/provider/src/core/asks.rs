//! Offering: one ask at a time, signed again before it ends and whenever it no longer tells the truth.

use rialto_protocol::{
    pricing::{BPS, price_at},
    types::Ask,
};

use super::{Core, Effect, Offer, OnChain, ProviderEvent, Silence, auction::Curve};

/// An ask begins so long before it is signed, for chains whose clock is behind.
const SKEW_SECONDS: u64 = 30;
/// One salt for all asks: of two, nodes keep the one whose window is later.
const SALT: u64 = 0;
/// A new ask is signed when this share of the old one's validity is left.
const RENEW_AT_LAST: u64 = 4;

impl Core {
    pub(super) fn account_changed(&mut self, account: u128, counter: u64) {
        self.account = account;
        if self.market.counter != counter {
            self.market.counter = counter;
            self.market.ask = None;
            self.changed.market = true;
        }
    }

    /// Keeps an ask on offer while there is room and collateral for another deal.
    pub(super) fn offer(&mut self) {
        match self.silence() {
            None => self.told_low = false,
            Some(Silence::LowBalance { account, needed }) => {
                if !std::mem::replace(&mut self.told_low, true) {
                    self.tell(ProviderEvent::LowBalance { account, needed });
                }
                return;
            }
            Some(Silence::Draining | Silence::Full { .. }) => return,
        }
        let (room, affordable) =
            (self.config.asks.capacity.saturating_sub(self.open_deals()), self.affordable_budget());
        let (now, again) = (self.now, self.config.asks.republish_seconds);
        let fresh = self.market.ask.as_ref().is_some_and(|ask| {
            let renew = ask.to.saturating_sub(ask.from) / RENEW_AT_LAST;
            now.saturating_add(renew) < ask.to && ask.maxBudget <= affordable && self.still_ours(ask, affordable)
        });
        if !fresh {
            self.sign_again(room, affordable);
        } else if self.published_at.is_none_or(|at| now >= at.saturating_add(again)) {
            self.publish();
        }
    }

    /// Why nothing new is offered.
    pub(super) fn silence(&self) -> Option<Silence> {
        let (asks, account, open) = (&self.config.asks, self.account, self.open_deals());
        if self.draining {
            Some(Silence::Draining)
        } else if open >= asks.capacity {
            Some(Silence::Full { open })
        } else if self.affordable_budget() < asks.min_budget {
            let needed = asks.min_budget.saturating_mul(asks.collateral_bps.into()).div_ceil(BPS.into());
            Some(Silence::LowBalance { account, needed })
        } else {
            None
        }
    }

    /// The ask that is out and valid.
    pub(super) fn offered(&self) -> Option<Offer> {
        let ask = self.market.ask.as_ref()?;
        Some(Offer {
            price: price_at(ask, self.now)?,
            price_end: ask.priceEnd,
            to: ask.to,
            capacity: ask.capacity,
            min_budget: ask.minBudget,
            max_budget: ask.maxBudget,
        })
    }

    fn open_deals(&self) -> u32 {
        self.deals.values().filter(|row| OnChain::of(&row.facts).open).count() as u32
    }

    /// Whether an ask of the journal says what today's configuration says.
    fn still_ours(&self, ask: &Ask, affordable: u128) -> bool {
        let asks = &self.config.asks;
        let limit = asks.max_budget.min(affordable);
        self.priced_right(ask)
            && (ask.taskFee, ask.minBudget, ask.collateralBps) == (asks.task_fee, asks.min_budget, asks.collateral_bps)
            && (ask.latePenaltyBps, ask.maxSeconds, ask.court)
                == (asks.late_penalty_bps, asks.max_deal_seconds, asks.court)
            && (ask.cores, ask.fuelPerSecond, ask.maxMemory) == (asks.cores, asks.fuel_per_second, self.max_memory())
            && (ask.provider, ask.endpoint) == (self.config.provider, self.config.endpoint)
            // Much more can be backed than is offered.
            && limit / 2 <= ask.maxBudget
    }

    fn max_memory(&self) -> u64 {
        u64::from(self.config.limits.task_pages) << 16
    }

    /// The largest budget whose collateral the account holds.
    fn affordable_budget(&self) -> u128 {
        match self.config.asks.collateral_bps {
            0 => u128::MAX,
            bps => self.account.saturating_mul(BPS.into()) / u128::from(bps),
        }
    }

    /// Earlier asks stay valid until they end, so for a while more deals than `capacity` can come; a
    /// deal is only room in a queue, and admission decides on the work.
    fn sign_again(&mut self, room: u32, affordable: u128) {
        let asks = &self.config.asks;
        self.market.asks += 1;
        self.signed_at = Some(self.now);
        // The window orders asks of one salt, newest last.
        let from = self.now.saturating_sub(SKEW_SECONDS).max(self.market.asked_from.saturating_add(1));
        self.market.asked_from = from;
        let to = self.now.saturating_add(asks.valid_seconds);
        let Curve { start, end, to } = asks.price.curve(self.market.idle_since, from, self.now, to);
        let ask = Ask {
            provider: self.config.provider,
            endpoint: self.config.endpoint,
            priceStart: start,
            priceEnd: end,
            from,
            to,
            taskFee: asks.task_fee,
            minBudget: asks.min_budget,
            maxBudget: asks.max_budget.min(affordable),
            collateralBps: asks.collateral_bps,
            latePenaltyBps: asks.late_penalty_bps,
            maxSeconds: asks.max_deal_seconds,
            capacity: room,
            cores: asks.cores,
            fuelPerSecond: asks.fuel_per_second,
            maxMemory: self.max_memory(),
            court: asks.court,
            counter: self.market.counter,
            salt: SALT,
        };
        self.market.ask = Some(ask);
        self.changed.market = true;
        self.tell(ProviderEvent::AskPublished { price_start: start, price_end: end, capacity: room, to });
        self.publish();
    }

    fn publish(&mut self) {
        self.published_at = Some(self.now);
        self.effects.extend(self.market.ask.clone().map(Effect::Publish));
    }
}
