//! How the providers of a test world answer, by their manner.

use super::*;

impl World {
    pub(super) fn receive(&mut self, deal: DealId, message: Outgoing) {
        let actor = self.actors.get_mut(&self.market[&deal].provider).unwrap();
        if !actor.up {
            return;
        }
        self.sent.push(message.clone());
        match message {
            Outgoing::Hello(terms) => {
                assert_eq!(struct_hash(&terms), deal);
                let of_deal = |order: &OrderId| {
                    actor.orders.get(order).is_some_and(|(order, _)| order.deal == deal)
                };
                for (order, _) in actor.receipts.iter().filter(|(order, _)| of_deal(order)) {
                    // It does not wait to be through with them.
                    if let Some((_, Some((at, _)))) = actor.ledger.get_mut(order) {
                        *at = (*at).min(self.now);
                    }
                }
                let receipts: Vec<_> = actor
                    .receipts
                    .iter()
                    .filter(|(o, _)| of_deal(o))
                    .map(|(_, r)| r.clone())
                    .collect();
                let welcome = ToRequester::Welcome {
                    version: WIRE_VERSION,
                    next_seq: actor.next_seq.get(&deal).copied().unwrap_or(0),
                    paid: actor.paid.get(&deal).copied().unwrap_or(0),
                };
                self.reply(deal, 0, welcome);
                receipts.into_iter().for_each(|receipt| self.reply(deal, 0, receipt));
            }
            Outgoing::Order { job, first, order } => self.order(deal, job, first, order),
            Outgoing::Voucher(voucher) => {
                let before = actor.paid.insert(deal, voucher.amount);
                assert!(
                    before.is_none_or(|before| voucher.amount >= before),
                    "vouchers are cumulative"
                );
                if voucher.close
                    && !matches!(
                        actor.manner,
                        Manner::Releases | Manner::Sleeps | Manner::Silent | Manner::Promises
                    )
                {
                    self.close(deal, voucher.amount, "redeem");
                }
            }
            Outgoing::Reject { order, task, .. } => actor.rejected.push((order, task)),
            Outgoing::Cancel(Cancel { order }) => {
                actor.orders.remove(&order);
                // What is delivered already is owed all the same.
                if actor
                    .ledger
                    .get(&order)
                    .is_some_and(|(_, done)| done.is_none_or(|(at, _)| at > self.now))
                {
                    actor.ledger.remove(&order);
                }
            }
            Outgoing::AskRelease { amount } => {
                if actor.manner == Manner::Releases {
                    let release = sign(actor.n, Release { deal, amount });
                    self.reply(deal, 0, ToRequester::Release(release));
                }
            }
        }
    }

    fn order(&mut self, deal: DealId, job: JobId, first: u32, order: Order) {
        let name = struct_hash(&order);
        let spec = self.core.state().jobs[&job].spec.clone();
        let terms = self.market[&deal].clone();
        let actor = self.actors.get_mut(&terms.provider).unwrap();
        let next = actor.next_seq.entry(deal).or_insert(0);
        assert!(order.seq <= *next, "no gaps");
        *next = (*next).max(order.seq + 1);
        actor.orders.insert(name, (order.clone(), first));
        actor.seen += 1;
        let n = actor.n;
        self.check_limits(deal, &spec, first, &order);
        let actor = self.actors.get_mut(&terms.provider).unwrap();
        if matches!(&actor.manner, Manner::Refuses(_))
            || matches!(actor.manner, Manner::Small(most) if order.tasks > most)
        {
            actor.ledger.remove(&name);
        }
        match actor.manner.clone() {
            Manner::Silent => return,
            Manner::Promises => {
                let ack = sign(n, Ack { order: name, dueBy: order.dueBy });
                return self.reply(deal, 0, ToRequester::Ack(ack));
            }
            Manner::Dies(after) if actor.seen >= after => {
                actor.up = false;
                return self.post(1, Event::Disconnected { deal, why: "reset".into() });
            }
            Manner::Refuses(code) => {
                let refuse = ToRequester::Refuse {
                    order: Some(name),
                    code: code.into(),
                    detail: String::new(),
                };
                return self.reply(deal, 0, refuse);
            }
            Manner::Small(most) if order.tasks > most => {
                let code = "P-ADM-005".into();
                return self.reply(
                    deal,
                    0,
                    ToRequester::Refuse { order: Some(name), code, detail: String::new() },
                );
            }
            _ => {}
        }
        let begin = self.now.max(actor.busy_until);
        let slow = if let Manner::Slow(seconds) = actor.manner { seconds } else { 0 };
        actor.busy_until = begin + u64::from(order.tasks).div_ceil(2) + slow;
        let delay = actor.busy_until - self.now;
        let receipt = receipt(n, &actor.manner, &terms, &order, first, &spec);
        if let (ToRequester::Receipt { receipt, .. }, Some(entry)) =
            (&receipt, actor.ledger.get_mut(&name))
        {
            entry.1 = Some((actor.busy_until, receipt.value.fee));
        }
        actor.receipts.insert(name, receipt.clone());
        self.reply(deal, 0, ToRequester::Ack(sign(n, Ack { order: name, dueBy: order.dueBy })));
        self.reply(deal, delay, receipt);
    }
}
