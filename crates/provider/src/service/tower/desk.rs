//! A tower's files: dossiers that are looked through again and again, and what is written beside
//! them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use alloy_primitives::{Address, Bytes};
use rialto_exec::Executor;
use rialto_protocol::{
    OrderId, ReceiptId,
    signing::signed_by,
    types::{Appointment, Deal, domain, struct_hash},
    wire::Signed,
};
use serde::{Deserialize, Serialize};

use crate::service::{
    dossier::{Dossier, DossierError, ENDING, Found, Inspector, write_whole},
    runner::lock,
};

/// Format of an appointment's file.
const VERSION: u32 = 1;
/// Largest appointment's file, bytes.
const MAX_APPOINTMENT_BYTES: u64 = 64 << 10;
/// Most dossiers that one tower holds.
pub(super) const MAX_DOSSIERS: usize = 65_536;
/// Most deals' folders looked into in one folder.
const MAX_FOLDERS: usize = 100_000;

/// An appointment as it lies beside its dossier: evidence, should the tower fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentFile {
    /// Format, 1.
    pub version: u32,
    /// Chain of the market.
    pub chain_id: u64,
    /// The market, in whose domain it is signed.
    pub market: Address,
    /// The promise.
    pub appointment: Appointment,
    /// By the tower's key.
    pub signature: Bytes,
}

/// Why an appointment is none.
#[derive(Debug, thiserror::Error)]
pub enum AppointmentError {
    /// The file.
    #[error("[P-TWR-010] {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its signature.
    #[error("[P-TWR-011] it is not signed by {tower}")]
    Signature {
        /// Who it says it is of.
        tower: Address,
    },
    /// The dossier beside it.
    #[error("[P-TWR-012] it is of another receipt than the dossier beside it")]
    Dossier,
}

impl AppointmentFile {
    /// One that was signed.
    pub(super) fn new(chain_id: u64, market: Address, signed: Signed<Appointment>) -> Self {
        Self {
            version: VERSION,
            chain_id,
            market,
            appointment: signed.value,
            signature: signed.signature,
        }
    }

    /// Where the one of a dossier lies.
    pub fn beside(dossier: &Path) -> PathBuf {
        beside(dossier, ".appointment.json")
    }

    /// Reads one and checks its signature, and that it is of the dossier beside it, if there is
    /// one.
    ///
    /// # Errors
    /// `P-TWR-010` to `P-TWR-012`.
    pub fn verify(path: &Path) -> Result<Self, AppointmentError> {
        let failed = |why: String| AppointmentError::File { path: path.display().to_string(), why };
        let about = std::fs::metadata(path).map_err(|why| failed(why.to_string()))?;
        if !about.is_file() || about.len() > MAX_APPOINTMENT_BYTES {
            return Err(failed("it is no appointment".into()));
        }
        let bytes = std::fs::read(path).map_err(|why| failed(why.to_string()))?;
        let file: Self = serde_json::from_slice(&bytes)
            .map_err(|why| failed(format!("it is no appointment: {why}")))?;
        if file.version != VERSION {
            return Err(failed(format!("version {}; this program knows {VERSION}", file.version)));
        }
        let tower = file.appointment.tower;
        if !signed_by(
            &file.appointment,
            &domain(file.chain_id, file.market),
            &file.signature,
            tower,
        ) {
            return Err(AppointmentError::Signature { tower });
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".appointment.json"));
        let dossier = name.map(|name| path.with_file_name(format!("{name}{ENDING}")));
        if let Some(dossier) = dossier.and_then(|path| Dossier::read(&path).ok()) {
            let receipt = dossier.done.as_ref().map(|done| struct_hash(&done.receipt.value));
            if receipt != Some(file.appointment.receipt)
                || struct_hash(&dossier.deal) != file.appointment.deal
            {
                return Err(AppointmentError::Dossier);
            }
        }
        Ok(file)
    }
}

fn beside(dossier: &Path, ending: &str) -> PathBuf {
    let name = dossier
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(ENDING));
    dossier.with_file_name(format!("{}{ending}", name.unwrap_or("none")))
}

/// What an audit found before, kept beside the dossier.
#[derive(Serialize, Deserialize)]
struct AuditedFile {
    receipt: ReceiptId,
    right: bool,
}

/// A dossier that is held: what is needed of it without reading it again.
#[derive(Clone, Debug)]
pub(super) struct Slip {
    pub path: PathBuf,
    pub deal: Deal,
    pub order: OrderId,
    pub receipt: Option<ReceiptId>,
    pub cancelled: bool,
    pub audited: Option<bool>,
}

/// Where a file stood when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    size: u64,
}

/// The folders of a tower.
pub(super) struct Desk {
    folders: Vec<PathBuf>,
    inspector: Mutex<Inspector>,
    stamps: Mutex<HashMap<PathBuf, (Stamp, Option<OrderId>)>>,
    slips: Mutex<BTreeMap<OrderId, Slip>>,
    /// Files and folders that something is amiss with that may pass: they are looked at again, and
    /// told of once.
    amiss: Mutex<HashSet<PathBuf>>,
    /// Whether receipts that contradict themselves are wanted.
    audits: bool,
}

/// What a look through the folders brought.
#[derive(Default)]
pub(super) struct Look {
    pub held: Vec<Slip>,
    pub gone: Vec<OrderId>,
    pub refused: Vec<(PathBuf, DossierError)>,
}

impl Desk {
    pub fn new(
        folders: Vec<PathBuf>,
        chain_id: u64,
        market: Address,
        audits: bool,
        executor: Arc<dyn Executor>,
    ) -> Self {
        Self {
            folders,
            inspector: Mutex::new(Inspector::new(chain_id, market, executor)),
            stamps: Mutex::default(),
            slips: Mutex::default(),
            amiss: Mutex::default(),
            audits,
        }
    }

    /// Looks for what is new, changed or gone. Slow where there is much.
    pub fn look(&self) -> Look {
        let (mut look, mut there) = (Look::default(), HashMap::new());
        for folder in &self.folders {
            match std::fs::read_dir(folder) {
                Ok(entries) => {
                    let deals = entries
                        .flatten()
                        .filter(|entry| is_hash(&entry.file_name().to_string_lossy()));
                    for deal in deals.take(MAX_FOLDERS) {
                        files(&deal.path(), &mut there);
                    }
                }
                Err(why) => {
                    if lock(&self.amiss).insert(folder.clone()) {
                        look.refused.push((folder.clone(), DossierError::file(folder)(why)));
                    }
                }
            }
        }
        let known = lock(&self.stamps).clone();
        for (path, (_, order)) in &known {
            if !there.contains_key(path) {
                lock(&self.stamps).remove(path);
                let ours = order.filter(|order| {
                    lock(&self.slips).get(order).is_some_and(|slip| slip.path == *path)
                });
                if let Some(order) = ours {
                    lock(&self.slips).remove(&order);
                    look.gone.push(order);
                }
            }
        }
        for (path, stamp) in there {
            if known.get(&path).is_some_and(|(old, _)| *old == stamp) {
                continue;
            }
            let order = match self.check(&path) {
                Ok(slip) => {
                    lock(&self.amiss).remove(&path);
                    lock(&self.slips).insert(slip.order, slip.clone());
                    look.held.push(slip.clone());
                    Some(slip.order)
                }
                // Its parts may still be under way.
                Err(why @ (DossierError::File { .. } | DossierError::Part { .. })) => {
                    if lock(&self.amiss).insert(path.clone()) {
                        look.refused.push((path, why));
                    }
                    continue;
                }
                Err(why) => {
                    look.refused.push((path.clone(), why));
                    None
                }
            };
            lock(&self.stamps).insert(path, (stamp, order));
        }
        look
    }

    /// One that could not be taken now: the next look brings it again.
    pub fn again(&self, slip: &Slip) {
        lock(&self.stamps).remove(&slip.path);
        lock(&self.slips).remove(&slip.order);
    }

    fn check(&self, path: &Path) -> Result<Slip, DossierError> {
        if lock(&self.slips).len() >= MAX_DOSSIERS {
            return Err(DossierError::Malformed(format!(
                "{MAX_DOSSIERS} are held already, the most that a tower takes"
            )));
        }
        let dossier = Dossier::read(path)?;
        let found = lock(&self.inspector).check(&dossier, path)?;
        if found != Found::Whole && !self.audits {
            return Err(DossierError::Results(
                "the receipt contradicts itself: it can't be defended",
            ));
        }
        let receipt = dossier.done.as_ref().map(|done| struct_hash(&done.receipt.value));
        let audited = std::fs::read(beside(path, ".audited.json")).ok();
        let audited = audited.and_then(|bytes| serde_json::from_slice::<AuditedFile>(&bytes).ok());
        Ok(Slip {
            path: path.to_owned(),
            order: dossier.name(),
            receipt,
            cancelled: dossier.cancel.is_some(),
            audited: audited
                .filter(|known| Some(known.receipt) == receipt)
                .map(|known| known.right),
            deal: dossier.deal,
        })
    }

    /// A dossier that is held, read again.
    pub fn dossier(&self, order: OrderId) -> Result<(Dossier, PathBuf), DossierError> {
        let path = lock(&self.slips).get(&order).map(|slip| slip.path.clone());
        let path =
            path.ok_or_else(|| DossierError::Malformed(format!("there is none of order {order}")))?;
        let dossier = Dossier::read(&path)?;
        // It may have been written anew since it was checked: what is sent is checked by the
        // contracts, and who is asked is this order.
        if dossier.name() != order {
            return Err(DossierError::Malformed("it is of another order now".into()));
        }
        Ok((dossier, path))
    }

    /// Every dossier that is held.
    pub fn slips(&self) -> Vec<Slip> {
        lock(&self.slips).values().cloned().collect()
    }

    /// Keeps what an audit found.
    pub fn audited(&self, order: OrderId, right: bool) -> Result<(), DossierError> {
        let slip = lock(&self.slips).get(&order).cloned();
        let Some((slip, receipt)) =
            slip.and_then(|slip| slip.receipt.map(|receipt| (slip, receipt)))
        else {
            return Ok(());
        };
        let bytes = serde_json::to_vec(&AuditedFile { receipt, right }).unwrap_or_default();
        write_whole(&beside(&slip.path, ".audited.json"), &bytes)
    }

    /// Writes an appointment beside its dossier.
    pub fn appoint(&self, slip: &Slip, file: &AppointmentFile) -> Result<(), DossierError> {
        let bytes = serde_json::to_vec_pretty(file).unwrap_or_default();
        write_whole(&AppointmentFile::beside(&slip.path), &bytes)
    }
}

fn is_hash(name: &str) -> bool {
    name.parse::<OrderId>().is_ok()
}

/// Dossiers in a deal's folder.
fn files(folder: &Path, found: &mut HashMap<PathBuf, Stamp>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if found.len() >= 2 * MAX_DOSSIERS {
            return;
        }
        let path = entry.path();
        if let Ok(about) = std::fs::metadata(&path)
            && path.to_string_lossy().ends_with(ENDING)
        {
            found.insert(path, Stamp { written: about.modified().ok(), size: about.len() });
        }
    }
}
