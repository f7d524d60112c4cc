//! Offering: one ask at a time, signed again before it ends and whenever it no longer tells the
//! truth.

use alloy_primitives::{Address, B256};
use rialto_protocol::{
    AskId,
    model::OPENING_TOLERANCE,
    pricing::{BPS, price_at},
    types::{Ask, Limits, WASM_3, struct_hash},
};

use super::{AskRow, Core, Effect, Offer, ProviderEvent, Record, Silence, auction::Curve};

/// An ask begins so long before it is signed, for chains whose clock is behind.
const SKEW_SECONDS: u64 = 30;
/// One salt for all asks: of two, nodes keep the one whose window is later.
const SALT: u64 = 0;
/// A new ask is signed when this share of the old one's validity is left.
const RENEW_AT_LAST: u64 = 4;
/// An ask's limits are remembered so long after the last block in which a deal can be opened under
/// it: for a chain that is heard late.
const REMEMBER_SECONDS: u64 = 3600;

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
        let affordable = self.affordable_budget();
        let (now, again) = (self.now, self.config.asks.republish_seconds);
        let fresh = self.market.ask.as_ref().is_some_and(|ask| {
            let renew = ask.to.saturating_sub(ask.from) / RENEW_AT_LAST;
            now.saturating_add(renew) < ask.to
                && ask.maxBudget <= affordable
                && self.still_ours(ask, affordable)
        });
        if !fresh {
            self.sign_again(affordable);
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
            let needed =
                asks.min_budget.saturating_mul(asks.collateral_bps.into()).div_ceil(BPS.into());
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
        self.deals.values().filter(|row| row.chain().open).count() as u32
    }

    /// Whether an ask of the journal says what today's configuration says.
    fn still_ours(&self, ask: &Ask, affordable: u128) -> bool {
        let asks = &self.config.asks;
        let limit = asks.max_budget.min(affordable);
        self.priced_right(ask)
            && (ask.taskFee, ask.minBudget, ask.collateralBps) == (asks.task_fee, asks.min_budget, asks.collateral_bps)
            && (ask.latePenaltyBps, ask.maxSeconds, ask.court)
                == (asks.late_penalty_bps, asks.max_deal_seconds, asks.court)
            && (ask.cores, ask.fuelPerSecond, ask.capacity) == (asks.cores, asks.fuel_per_second, asks.capacity)
            && (ask.provider, ask.key, ask.endpoint)
                == (self.config.provider, self.config.key, self.config.endpoint)
            && (ask.runtime, ask.attributes) == (WASM_3, B256::ZERO)
            && ask.limits == self.config.ask_limits(asks.court)
            // Much more can be backed than is offered.
            && limit / 2 <= ask.maxBudget
    }

    /// The largest budget whose collateral the account holds.
    fn affordable_budget(&self) -> u128 {
        match self.config.asks.collateral_bps {
            0 => u128::MAX,
            bps => self.account.saturating_mul(BPS.into()) / u128::from(bps),
        }
    }

    /// Earlier asks stay valid until they end; `capacity` counts the deals under all of them.
    fn sign_again(&mut self, affordable: u128) {
        let asks = &self.config.asks;
        self.market.asks += 1;
        self.signed_at = Some(self.now);
        // The window orders asks of one salt, newest last.
        let from =
            self.now.saturating_sub(SKEW_SECONDS).max(self.market.asked_from.saturating_add(1));
        self.market.asked_from = from;
        let to = self.now.saturating_add(asks.valid_seconds);
        let Curve { start, end, to } = asks.price.curve(self.market.idle_since, from, self.now, to);
        let ask = Ask {
            provider: self.config.provider,
            key: self.config.key,
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
            capacity: asks.capacity,
            cores: asks.cores,
            fuelPerSecond: asks.fuel_per_second,
            runtime: WASM_3,
            attributes: B256::ZERO,
            court: asks.court,
            counter: self.market.counter,
            salt: SALT,
            limits: self.config.ask_limits(asks.court),
        };
        let capacity = asks.capacity;
        self.remember_ask(&ask);
        self.market.ask = Some(ask);
        self.changed.market = true;
        self.tell(ProviderEvent::AskPublished { price_start: start, price_end: end, capacity, to });
        self.publish();
    }

    /// Deals name their ask by hash; what it promised must still be known when one is opened.
    fn remember_ask(&mut self, ask: &Ask) {
        let (hash, row) = (struct_hash(ask), AskRow { limits: ask.limits.clone(), to: ask.to });
        self.changed.more.push(Record::Ask(hash, row.clone()));
        self.asks.insert(hash, row);
    }

    /// The limits of an ask that a deal was opened under; today's if it is not known any more.
    pub(super) fn limits_of(&self, ask: AskId, court: Address) -> Limits {
        self.asks.get(&ask).map_or_else(|| self.config.ask_limits(court), |row| row.limits.clone())
    }

    /// Forgets asks under which no deal can appear any more. Not soon after a start: then the chain
    /// tells of times gone by.
    pub(super) fn forget_old_asks(&mut self) {
        if self.now < self.started_at.saturating_add(REMEMBER_SECONDS) {
            return;
        }
        let now = self.now;
        let over =
            |row: &AskRow| now >= row.to.saturating_add(OPENING_TOLERANCE + REMEMBER_SECONDS);
        let old: Vec<_> =
            self.asks.iter().filter(|(_, row)| over(row)).map(|(hash, _)| *hash).collect();
        for hash in old {
            self.asks.remove(&hash);
            self.changed.more.push(Record::ForgetAsk(hash));
        }
    }

    fn publish(&mut self) {
        self.published_at = Some(self.now);
        self.effects.extend(self.market.ask.clone().map(Effect::Publish));
    }
}
