//! Evidence bundles: everything that was signed in a job, in one file that anybody can check
//! without chain or network.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rialto_protocol::{
    Address, B256, DealId,
    receipt::{Halted, inputs_root},
    signing::signed_by,
    types::{Deal, domain, struct_hash},
};
use rialto_requester::{
    Evidence, JobReport, TaskOutcome,
    core::verify::{ReceiptFault, check_receipt},
};
use serde::{Deserialize, Serialize};

use crate::{
    class::{Class, Classified},
    home::{HomeError, write_private},
};

/// Format: 2 since protocol 2, whose deals name their keys.
const VERSION: u32 = 2;
/// Largest bundle, bytes.
const MAX_BUNDLE_BYTES: u64 = 1 << 30;
/// Most faults that a check lists.
const MAX_FAULTS: usize = 1000;

/// A job's evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Format, 2.
    pub version: u32,
    /// The job.
    pub job: String,
    /// What its user calls it.
    pub name: String,
    /// What was signed, and what the signatures stand for.
    pub evidence: Evidence,
    /// The verified end of every task.
    pub tasks: Vec<Option<Halted>>,
}

/// A bundle of a report, which may have millions of tasks: written as it is read.
#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    job: String,
    name: &'a str,
    evidence: &'a Evidence,
    #[serde(serialize_with = "ends")]
    tasks: &'a [Option<TaskOutcome>],
}

fn ends<S: serde::Serializer>(tasks: &[Option<TaskOutcome>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(tasks.iter().map(|task| task.as_ref().map(|task| task.halted)))
}

/// Writes a report's bundle: what [`Bundle::of`] is, as JSON.
pub(crate) fn write_of(report: &JobReport, to: &mut std::fs::File) -> std::io::Result<()> {
    let JobReport { job, name, evidence, tasks, .. } = report;
    let bundle = Report { version: VERSION, job: job.to_string(), name, evidence, tasks };
    let mut to = std::io::BufWriter::new(to);
    serde_json::to_writer(&mut to, &bundle)?;
    std::io::Write::flush(&mut to)
}

/// Why a bundle can't be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file.
    #[error("[C-BND-001] {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Its contents.
    #[error("[C-BND-002] {path} is no evidence bundle: {why}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It can't be written.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Classified for BundleError {
    fn class(&self) -> Class {
        Class::Failed
    }
}

/// Something in a bundle that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fault {
    /// A stable code.
    pub code: &'static str,
    /// What.
    pub text: String,
}

/// A provider that signed a result other than the verified one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Contradiction {
    /// Who.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub provider: Address,
    /// Task of the job.
    pub task: u32,
    /// H(halted) it signed.
    #[cfg_attr(test, schemars(with = "crate::view::Hash"))]
    pub signed: B256,
    /// H(halted) that was verified.
    #[cfg_attr(test, schemars(with = "crate::view::Hash"))]
    pub verified: B256,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Checked {
    /// Deals.
    pub deals: usize,
    /// Orders, all signed by the requester.
    pub orders: usize,
    /// Acks.
    pub acks: usize,
    /// Receipts, each added up from its results and priced.
    pub receipts: usize,
    /// Vouchers.
    pub vouchers: usize,
    /// Signatures that are not by the key that the deal names.
    pub wrong_signatures: usize,
    /// Tasks with a verified result.
    pub tasks: usize,
    /// … of which at least one provider signed exactly it.
    pub signed: usize,
    /// … and at least two did.
    pub replicated: usize,
    /// Base units that the vouchers promise.
    pub paid: u128,
    /// Base units that the receipts with verified results ask for.
    pub owed: u128,
    /// Who signed something else than what was verified.
    pub contradictions: Vec<Contradiction>,
    /// Whatever is wrong with the bundle itself.
    pub faults: Vec<Fault>,
}

impl Bundle {
    /// A job's evidence.
    pub fn of(report: &JobReport) -> Self {
        let ends = report.tasks.iter().map(|task| task.as_ref().map(|task| task.halted));
        Self {
            version: VERSION,
            job: report.job.to_string(),
            name: report.name.clone(),
            evidence: report.evidence.clone(),
            tasks: ends.collect(),
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// `C-HOM-001`.
    pub fn write(&self, path: &Path) -> Result<(), BundleError> {
        Ok(write_private(path, &serde_json::to_vec(self).expect("plain data"))?)
    }

    /// Reads one.
    ///
    /// # Errors
    /// `C-BND-001`, `C-BND-002`.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let failed = |why: std::io::Error| BundleError::File {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let malformed =
            |why: String| BundleError::Malformed { path: path.display().to_string(), why };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_BUNDLE_BYTES {
            return Err(malformed(format!("larger than {MAX_BUNDLE_BYTES} bytes")));
        }
        let bundle: Self = serde_json::from_slice(&std::fs::read(path).map_err(failed)?)
            .map_err(|why| malformed(why.to_string()))?;
        match bundle.version {
            VERSION => Ok(bundle),
            other => Err(malformed(format!("version {other}; this program knows {VERSION}"))),
        }
    }

    /// Checks all that arithmetic and signatures can check.
    pub fn check(&self) -> Checked {
        let mut found = Checked { deals: self.evidence.deals.len(), ..Checked::default() };
        let domain = domain(self.evidence.chain_id, self.evidence.market);
        let deals: BTreeMap<DealId, &Deal> =
            self.evidence.deals.iter().map(|deal| (struct_hash(deal), deal)).collect();
        let requesters: BTreeSet<Address> =
            self.evidence.deals.iter().map(|deal| deal.requester).collect();
        if requesters.len() > 1 {
            found.fault("C-BND-010", "the deals are of several requesters".into());
        }
        if self.tasks.len() != self.evidence.inputs.len() && !self.tasks.is_empty() {
            found.fault(
                "C-BND-011",
                format!("{} results for {} inputs", self.tasks.len(), self.evidence.inputs.len()),
            );
        }
        let mut votes: Vec<BTreeSet<Address>> = vec![BTreeSet::new(); self.tasks.len()];
        for given in &self.evidence.orders {
            let order = &given.order.value;
            let (name, first) = (struct_hash(order), given.first as usize);
            let Some(deal) = deals.get(&order.deal) else {
                found.fault("C-BND-012", format!("order {name} is of no deal in the bundle"));
                continue;
            };
            found.orders += 1;
            if !signed_by(order, &domain, &given.order.signature, deal.requesterKey) {
                found.wrong_signatures += 1;
            }
            let tasks = first..first.saturating_add(order.tasks as usize);
            if order.program != self.evidence.program {
                found.fault("C-BND-013", format!("order {name} is of another program"));
            }
            match self.evidence.inputs.get(tasks.clone()) {
                Some(inputs) if inputs_root(inputs) == order.inputs => {}
                _ => found.fault("C-BND-014", format!("order {name} is of other inputs")),
            }
            if let Some(ack) = &given.ack {
                found.acks += 1;
                if ack.value.order != name {
                    found.fault(
                        "C-BND-015",
                        format!("an ack beside order {name} is of another order"),
                    );
                }
                if !signed_by(&ack.value, &domain, &ack.signature, deal.providerKey) {
                    found.wrong_signatures += 1;
                }
            }
            let Some(receipt) = &given.receipt else { continue };
            found.receipts += 1;
            if receipt.value.order != name {
                found.fault(
                    "C-BND-016",
                    format!("a receipt beside order {name} is of another order"),
                );
                continue;
            }
            if !signed_by(&receipt.value, &domain, &receipt.signature, deal.providerKey) {
                found.wrong_signatures += 1;
            }
            // A receipt that contradicts itself is evidence against whoever signed it, and proves
            // no result.
            if let Err(why) = check_receipt(deal, order, &receipt.value, &given.results) {
                let who = match why {
                    ReceiptFault::Count { .. } => "lacks its results",
                    _ => "contradicts itself",
                };
                found.fault(
                    "C-BND-017",
                    format!("the receipt of order {name} by {} {who}: {why}", deal.provider),
                );
                continue;
            }
            let mut right = true;
            for (task, signed) in (given.first..).zip(&given.results) {
                match self.tasks.get(task as usize).copied().flatten() {
                    Some(verified) if verified == *signed => {
                        votes[task as usize].insert(deal.provider);
                    }
                    Some(verified) => {
                        right = false;
                        if found.contradictions.len() < MAX_FAULTS {
                            found.contradictions.push(Contradiction {
                                provider: deal.provider,
                                task,
                                signed: signed.hash(),
                                verified: verified.hash(),
                            });
                        }
                    }
                    None => right = false,
                }
            }
            if right {
                found.owed = found.owed.saturating_add(receipt.value.fee);
            }
        }
        for voucher in &self.evidence.vouchers {
            found.vouchers += 1;
            let Some(deal) = deals.get(&voucher.value.deal) else {
                found.fault("C-BND-018", "a voucher is of no deal in the bundle".into());
                continue;
            };
            if voucher.value.amount > deal.budget {
                found.fault(
                    "C-BND-019",
                    format!("the voucher of deal {} is over its budget", voucher.value.deal),
                );
            }
            if !signed_by(&voucher.value, &domain, &voucher.signature, deal.requesterKey) {
                found.wrong_signatures += 1;
            }
            found.paid = found.paid.saturating_add(voucher.value.amount);
        }
        found.tasks = self.tasks.iter().flatten().count();
        found.signed = votes.iter().filter(|votes| !votes.is_empty()).count();
        found.replicated = votes.iter().filter(|votes| votes.len() > 1).count();
        found
    }
}

impl Checked {
    fn fault(&mut self, code: &'static str, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { code, text });
        }
    }

    /// Whether nothing is wrong with the bundle, and every signature is right.
    pub fn holds(&self) -> bool {
        self.faults.is_empty() && self.wrong_signatures == 0
    }
}

#[cfg(test)]
mod tests {
    use rialto_protocol::{
        pricing::order_fee,
        receipt::{Status, SumTree},
        types::{Order, Receipt, Voucher, digest},
        wire::Signed,
    };
    use rialto_requester::OrderEvidence;

    use super::*;
    use alloy_signer_local::PrivateKeySigner as Key;

    fn key(n: u8) -> Key {
        Key::from_bytes(&B256::repeat_byte(n)).unwrap()
    }

    fn halted(fuel_left: i64) -> Halted {
        Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len: 0,
            fuel_left,
            digest: 0,
        }
    }

    fn bundle() -> Bundle {
        let (chain_id, market) = (7, Address::repeat_byte(9));
        let domain = domain(chain_id, market);
        let inputs = vec![B256::repeat_byte(1), B256::repeat_byte(2)];
        let mut evidence = Evidence {
            chain_id,
            market,
            program: B256::repeat_byte(3),
            inputs,
            ..Evidence::default()
        };
        fn sign<T: rialto_protocol::eip712::Typed + Clone>(
            key: &Key,
            value: T,
            domain: &alloy_sol_types::Eip712Domain,
        ) -> Signed<T> {
            let signature =
                alloy_signer::SignerSync::sign_hash_sync(key, &digest(&value, domain)).unwrap();
            Signed { value, signature: signature.as_bytes().to_vec().into() }
        }
        for (n, results) in [(1u8, vec![halted(60), halted(70)]), (2, vec![halted(60), halted(71)])]
        {
            let deal = Deal {
                // Accounts may be contracts: what is signed is signed by the keys.
                requester: Address::repeat_byte(0x99),
                provider: Address::repeat_byte(n),
                requesterKey: key(9).address(),
                providerKey: key(n).address(),
                budget: 1_000_000,
                price: 1_000_000_000_000,
                taskFee: 5,
                salt: n.into(),
                ..Deal::default()
            };
            let order = Order {
                deal: struct_hash(&deal),
                program: evidence.program,
                inputs: inputs_root(&evidence.inputs),
                tasks: 2,
                fuelLimit: 100,
                outLimit: 10,
                maxPages: 1,
                ..Order::default()
            };
            let tree =
                SumTree::new(results.iter().map(|end| (end.hash(), end.fuel_used(100)))).root();
            let fee = order_fee(&deal, tree.fuel, 2).unwrap();
            let receipt =
                Receipt { order: struct_hash(&order), root: tree.hash, fuel: tree.fuel, fee };
            let voucher = Voucher { deal: order.deal, amount: fee, ..Voucher::default() };
            evidence.vouchers.push(sign(&key(9), voucher, &domain));
            evidence.orders.push(OrderEvidence {
                first: 0,
                order: sign(&key(9), order, &domain),
                ack: None,
                receipt: Some(sign(&key(n), receipt, &domain)),
                results,
            });
            evidence.deals.push(deal);
        }
        Bundle {
            version: VERSION,
            job: "1".into(),
            name: "x".into(),
            evidence,
            tasks: vec![Some(halted(60)), Some(halted(70))],
        }
    }

    #[test]
    fn what_holds_holds_and_who_lied_is_named() {
        let found = bundle().check();
        assert!(found.holds(), "{found:?}");
        assert_eq!((found.orders, found.receipts, found.signed, found.replicated), (2, 2, 2, 1));
        assert_eq!(found.contradictions.len(), 1);
        assert_eq!(
            (found.contradictions[0].provider, found.contradictions[0].task),
            (Address::repeat_byte(2), 1)
        );
        assert!(found.owed > 0 && found.paid > found.owed);
    }

    #[test]
    fn what_is_changed_is_found() {
        let broken = |change: fn(&mut Bundle)| {
            let mut bundle = bundle();
            change(&mut bundle);
            let found = bundle.check();
            assert!(!found.holds());
            (found.faults.first().map(|fault| fault.code), found.wrong_signatures)
        };
        assert_eq!(
            broken(|b| b.evidence.orders[0].results[0].fuel_left = 1),
            (Some("C-BND-017"), 0)
        );
        assert_eq!(broken(|b| b.evidence.inputs[1] = B256::ZERO), (Some("C-BND-014"), 0));
        assert_eq!(broken(|b| b.evidence.program = B256::ZERO), (Some("C-BND-013"), 0));
        assert_eq!(broken(|b| b.evidence.chain_id = 8).1, 6, "no signature holds on another chain");
        assert_eq!(broken(|b| b.evidence.vouchers[0].value.amount += 1), (None, 1));
        assert_eq!(
            broken(|b| b.evidence.vouchers[0].value.amount = u128::MAX).0,
            Some("C-BND-019")
        );
        assert_eq!(broken(|b| b.evidence.deals[0].price += 1).0, Some("C-BND-012"));
        assert_eq!(broken(|b| b.tasks.truncate(1)).0, Some("C-BND-011"));
    }

    #[test]
    fn it_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        bundle().write(&path).unwrap();
        assert_eq!(Bundle::read(&path).unwrap(), bundle());
        std::fs::write(&path, "{}").unwrap();
        assert!(Bundle::read(&path).unwrap_err().to_string().starts_with("[C-BND-002]"));
        assert!(
            Bundle::read(folder.path().join("none").as_path())
                .unwrap_err()
                .to_string()
                .starts_with("[C-BND-001]")
        );
    }
}
