//! Compares the court and the market with their models, and brings everything to its end.

use super::*;

impl Courts {
    pub(super) fn compare(&self) -> Result<(), String> {
        let same = |what: &str, left: String, right: String| {
            if left == right {
                Ok(())
            } else {
                Err(format!("{what}: model {left}, bytecode {right}"))
            }
        };
        for game in &self.games {
            let id = struct_hash(&game.story.view.game);
            let real = self.pair.real.read_court(ICourt::gameStateCall { id: id.into() });
            let model = self.court.game(id).map(|it| {
                let clocks = (it.since, it.accuser_seconds, it.provider_seconds);
                (
                    it.segment,
                    it.position,
                    clocks,
                    it.stage as u8,
                    it.level,
                    it.task,
                    it.accusers_turn,
                )
            });
            let clocks = (real.since.to::<u64>(), real.accuserSeconds, real.providerSeconds);
            let stage = real.stage as u8;
            let there = (
                real.segment,
                real.position,
                clocks,
                stage,
                real.level,
                real.task,
                real.accusersTurn,
            );
            same("game", format!("{model:?}"), format!("{:?}", (stage != 0).then_some(there)))?;
            let deadline = self.court.game(id).map_or(0, |it| it.deadline());
            same(
                "deadline",
                deadline.to_string(),
                self.pair.real.read_court(ICourt::deadlineCall { id: id.into() }).to_string(),
            )?;
            if deadline != 0 {
                same(
                    "what the events say",
                    game.story.view.deadline.to_string(),
                    deadline.to_string(),
                )?;
            }
        }
        let owners = (0..ACTORS)
            .map(|actor| self.pair.table.address(actor))
            .chain([BURNED, self.court.address()]);
        for owner in owners {
            let real = self.pair.real.read(IMarket::accountCall { owner }).balance;
            same("account", self.pair.model.account(owner).balance.to_string(), real.to_string())?;
        }
        for id in self.deals.iter().map(struct_hash) {
            let (model, real) = (
                self.pair.model.deal_state(id),
                self.pair.real.read(IMarket::dealStateCall { deal: id.into() }),
            );
            let model = (model.status as u8, model.paid, model.claims, model.challenges);
            same(
                "deal",
                format!("{model:?}"),
                format!("{:?}", (real.status as u8, real.paid, real.claims, real.challenges)),
            )?;
        }
        let bonds: u128 = self
            .games
            .iter()
            .filter(|game| game.story.end.is_none())
            .map(|it| it.story.view.game.bond)
            .sum();
        same(
            "bonds",
            bonds.to_string(),
            self.pair.model.account(self.court.address()).balance.to_string(),
        )
    }

    /// Checks that anyone can end every game after all deadlines.
    pub(super) fn everything_ends(&mut self) -> Result<(), String> {
        for at in 0..self.games.len() {
            while self.games[at].story.end.is_none() {
                let now = self.now().max(self.games[at].story.view.deadline) + 1;
                let deal = self.deal_of(self.games[at].signed);
                let game = self.games[at].story.view.game.clone();
                self.perform(now, STRANGER, Act::Court(CourtCall::Timeout { deal, game }))?;
            }
        }
        let held = |id| self.pair.model.deal_state(id);
        let free = self
            .deals
            .iter()
            .map(struct_hash)
            .map(held)
            .all(|it| it.status == DealStatus::Closed || it.challenges == 0);
        if free { Ok(()) } else { Err("a deal is held by no game".into()) }
    }
}
