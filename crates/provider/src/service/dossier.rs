//! Dossiers: all that defends one receipt, or lets anybody check it, in files that can be carried
//! to a watchtower.
//!
//! A folder holds a folder for each deal, named by its id; in it lie a file for each order,
//! `ORDER.dossier.json`, and in `parts/` program, inputs, shared input and outputs by their BLAKE3
//! hash, which the orders of the deal share. Files are written as a whole or not at all. What is
//! read was written by somebody else: it is bounded, and nothing of it is believed before it was
//! checked.

use std::{
    collections::{HashMap, HashSet},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes};
use rialto_exec::{Executor, map_file};
use rialto_machine::input::{Half, MAX_HALF_BYTES};
use rialto_protocol::{
    DealId, OrderId,
    fault::FaultProof,
    model::MAX_REVEAL_BYTES,
    pricing::order_fee,
    receipt::{Halted, MAX_ORDER_TASKS, SumNode, SumTree, output_hash},
    signing::signed_by,
    types::{Ack, Cancel, Deal, Order, Receipt, domain, struct_hash},
    wire::Signed,
};
use serde::{Deserialize, Serialize};

use super::runner::{checked_inputs, half_of};

/// Format.
const VERSION: u32 = 1;
/// Largest dossier without its parts, bytes: 2^16 tasks take about 16 MiB.
const MAX_DOSSIER_BYTES: u64 = 64 << 20;
/// Largest program, or inputs of one order, bytes: both are held in memory.
const MAX_LOADED_BYTES: u64 = 1 << 30;
/// What a dossier's name ends with.
pub(crate) const ENDING: &str = ".dossier.json";
/// Program roots and shared inputs that are remembered.
const MAX_REMEMBERED: usize = 1024;

/// All that defends one receipt, or answers for a cancelled order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dossier {
    /// Format, 1.
    pub version: u32,
    /// Chain of the market.
    pub chain_id: u64,
    /// The market.
    pub market: Address,
    /// The deal's terms.
    pub deal: Deal,
    /// Signed by the requester's key.
    pub order: Signed<Order>,
    /// Signed by the provider's key.
    pub ack: Option<Signed<Ack>>,
    /// Signed by the requester's key: the order need not be done.
    pub cancel: Option<Signed<Cancel>>,
    /// What was done, once it was.
    pub done: Option<Done>,
}

/// The receipt, and all that shows it to be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Signed by the provider's key.
    pub receipt: Signed<Receipt>,
    /// How every task ended, in order.
    pub results: Vec<Halted>,
    /// The program, as it came.
    pub program: Part,
    /// The input that all tasks share.
    pub shared: Option<Part>,
    /// The tasks' own inputs, as they came.
    pub inputs: Part,
    /// Outputs that a reveal shows, of at most 8 KiB each, one after the other in the order of the
    /// tasks; larger ones are left out.
    pub outputs: Part,
}

/// A file beside the dossier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// BLAKE3 of the content: its name.
    pub hash: B256,
    /// Bytes.
    pub size: u64,
}

/// Why a dossier can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DossierError {
    /// A file or folder.
    #[error("[P-DOS-001] {path}: {why}")]
    File {
        /// Which one.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Not a dossier, or one of another version.
    #[error("[P-DOS-002] it is no dossier: {0}")]
    Malformed(String),
    /// Of another market.
    #[error("[P-DOS-003] it is of the market {market} on chain {chain_id}")]
    Foreign {
        /// Chain.
        chain_id: u64,
        /// Market.
        market: Address,
    },
    /// Something in it that its signature, or what it belongs to, does not fit.
    #[error("[P-DOS-004] {what} is not what it should be: {why}")]
    Signature {
        /// Order, ack, cancellation or receipt.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The results are not those that the receipt is of.
    #[error("[P-DOS-005] the receipt is not of these results: {0}")]
    Results(&'static str),
    /// A part that is not there, or is another.
    #[error("[P-DOS-006] its {what} {hash} is not there as it should be: {why}")]
    Part {
        /// Which.
        what: &'static str,
        /// By its name.
        hash: B256,
        /// What is wrong with it.
        why: String,
    },
    /// Program or inputs are not the order's.
    #[error("[P-DOS-007] its {what} is not what the order names: {why}")]
    Root {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing in it answers anything.
    #[error("[P-DOS-008] it has neither a receipt nor a cancellation: there is nothing to defend")]
    Empty,
}

impl DossierError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |why| Self::File { path, why: why.to_string() }
    }
}

impl Dossier {
    /// One without anything done.
    pub(crate) fn new(chain_id: u64, market: Address, deal: Deal, order: Signed<Order>) -> Self {
        Self {
            version: VERSION,
            chain_id,
            market,
            deal,
            order,
            ack: None,
            cancel: None,
            done: None,
        }
    }

    /// The order's struct hash: its name.
    pub fn name(&self) -> OrderId {
        struct_hash(&self.order.value)
    }

    /// Where one lies in a folder of dossiers.
    pub fn path(folder: &Path, deal: DealId, order: OrderId) -> PathBuf {
        deal_folder(folder, deal).join(format!("{order}{ENDING}"))
    }

    /// Reads one; nothing of it is checked.
    ///
    /// # Errors
    /// `P-DOS-001`, `P-DOS-002`.
    pub fn read(path: &Path) -> Result<Self, DossierError> {
        let bytes = read_bounded(path, MAX_DOSSIER_BYTES)?;
        let dossier: Self = serde_json::from_slice(&bytes)
            .map_err(|why| DossierError::Malformed(why.to_string()))?;
        match dossier.version {
            VERSION => Ok(dossier),
            other => Err(DossierError::Malformed(format!(
                "version {other}; this program knows {VERSION}"
            ))),
        }
    }

    /// Writes it into a folder of dossiers, where its parts are.
    ///
    /// # Errors
    /// `P-DOS-001`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, DossierError> {
        let path = Self::path(folder, self.order.value.deal, self.name());
        let bytes =
            serde_json::to_vec(self).map_err(|why| DossierError::Malformed(why.to_string()))?;
        write_whole(&path, &bytes)?;
        Ok(path)
    }
}

impl Part {
    /// Where it lies beside a dossier.
    pub fn path(&self, dossier: &Path) -> PathBuf {
        parts_of(dossier.parent().unwrap_or(Path::new("."))).join(format!("{:x}", self.hash))
    }

    /// Its bytes.
    ///
    /// # Errors
    /// `P-DOS-001`.
    pub(crate) fn load(&self, dossier: &Path) -> Result<Vec<u8>, DossierError> {
        read_bounded(&self.path(dossier), self.size.min(MAX_LOADED_BYTES))
    }

    /// Its bytes, mapped.
    pub(crate) fn map(&self, dossier: &Path) -> Result<bytes::Bytes, DossierError> {
        let path = self.path(dossier);
        map_file(&path).map_err(DossierError::file(&path))
    }
}

/// A deal's folder within a folder of dossiers.
pub(crate) fn deal_folder(folder: &Path, deal: DealId) -> PathBuf {
    folder.join(deal.to_string())
}

/// Where a deal's parts lie.
pub(crate) fn parts_of(deal_folder: &Path) -> PathBuf {
    deal_folder.join("parts")
}

/// Writes a file as a whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DossierError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let new = path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(DossierError::file(path))
}

fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, DossierError> {
    let read = || {
        let file = std::fs::File::open(path)?;
        // A pipe or a device would have no end.
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(DossierError::file(path))?;
    if bytes.len() as u64 > most {
        return Err(DossierError::Malformed(format!(
            "{} has more than {most} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Checks dossiers of one market, and remembers what was costly to find out.
pub struct Inspector {
    chain_id: u64,
    market: Address,
    executor: Arc<dyn Executor>,
    /// Signed root of the program of this BLAKE3: one that was checked.
    programs: HashMap<B256, B256>,
    halves: HashMap<B256, Half>,
    /// Parts that were read and are what they should be.
    whole: HashSet<PathBuf>,
}

/// What a dossier turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Everything fits.
    Whole,
    /// The receipt contradicts its own results: a court is shown that, or, where there is nothing,
    /// the receipt can't be unfolded before it.
    Contradiction(Option<Box<FaultProof>>),
}

impl Inspector {
    /// For dossiers of this market.
    pub fn new(chain_id: u64, market: Address, executor: Arc<dyn Executor>) -> Self {
        let (programs, halves, whole) = Default::default();
        Self { chain_id, market, executor, programs, halves, whole }
    }

    /// Checks signatures, hashes and roots of a dossier that was read from `path`. Slow.
    ///
    /// # Errors
    /// `P-DOS-001` to `P-DOS-008`.
    pub fn check(&mut self, dossier: &Dossier, path: &Path) -> Result<Found, DossierError> {
        let Dossier { chain_id, market, deal, order, ack, cancel, done, .. } = dossier;
        if (*chain_id, *market) != (self.chain_id, self.market) {
            return Err(DossierError::Foreign { chain_id: *chain_id, market: *market });
        }
        let (domain, name) = (domain(*chain_id, *market), dossier.name());
        let wrong = |what, why| Err(DossierError::Signature { what, why });
        if order.value.deal != struct_hash(deal) {
            return wrong("the order", "it is of another deal");
        }
        let named =
            path.file_name().and_then(|file| file.to_str()) == Some(&format!("{name}{ENDING}"));
        let folder = path.parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
        if !named || folder != Some(&order.value.deal.to_string()) {
            return wrong("its name", "a dossier lies in DEAL/ORDER.dossier.json");
        }
        if !signed_by(&order.value, &domain, &order.signature, deal.requesterKey) {
            return wrong("the order", "it is not signed by the requester's key");
        }
        if let Some(ack) = ack
            && (ack.value.order != name
                || !signed_by(&ack.value, &domain, &ack.signature, deal.providerKey))
        {
            return wrong("the ack", "it is of another order, or not signed by the provider's key");
        }
        if let Some(cancel) = cancel
            && (cancel.value.order != name
                || !signed_by(&cancel.value, &domain, &cancel.signature, deal.requesterKey))
        {
            return wrong(
                "the cancellation",
                "it is of another order, or not signed by the requester's key",
            );
        }
        let Some(done) = done else {
            return if cancel.is_some() { Ok(Found::Whole) } else { Err(DossierError::Empty) };
        };
        let receipt = &done.receipt;
        if receipt.value.order != name
            || !signed_by(&receipt.value, &domain, &receipt.signature, deal.providerKey)
        {
            return wrong(
                "the receipt",
                "it is of another order, or not signed by the provider's key",
            );
        }
        let found = results_found(deal, &order.value, done)?;
        self.check_parts(&order.value, done, path)?;
        Ok(found)
    }

    fn check_parts(&mut self, order: &Order, done: &Done, path: &Path) -> Result<(), DossierError> {
        let wrong = |what, why| Err(DossierError::Root { what, why });
        self.is_whole(done.program, "program", MAX_LOADED_BYTES, path)?;
        if self.programs.get(&done.program.hash) != Some(&order.program) {
            let wasm = done.program.load(path)?;
            let named = self.executor.identify(&wasm, order.program);
            named.map_err(|why| DossierError::Root { what: "program", why: why.to_string() })?;
            keep(&mut self.programs, done.program.hash, order.program);
        }
        let shared = match done.shared {
            None => Half::of(&[]),
            Some(part) => {
                self.is_whole(part, "shared input", MAX_HALF_BYTES, path)?;
                match self.halves.get(&part.hash) {
                    Some(half) => *half,
                    None => {
                        let file = part.path(path);
                        let half = half_of(&file).map_err(DossierError::file(&file))?;
                        keep(&mut self.halves, part.hash, half);
                        half
                    }
                }
            }
        };
        self.is_whole(done.inputs, "inputs", MAX_LOADED_BYTES, path)?;
        let inputs = done.inputs.load(path)?;
        if let Err(why) = checked_inputs(&inputs, order.tasks, shared, order.inputs) {
            return wrong("inputs", why.to_string());
        }
        self.is_whole(
            done.outputs,
            "outputs",
            MAX_REVEAL_BYTES * u64::from(MAX_ORDER_TASKS),
            path,
        )?;
        check_outputs(done, path)
    }

    /// Whether a part is there, of its size and hash.
    fn is_whole(
        &mut self,
        part: Part,
        what: &'static str,
        most: u64,
        dossier: &Path,
    ) -> Result<(), DossierError> {
        let path = part.path(dossier);
        let wrong = |why: String| DossierError::Part { what, hash: part.hash, why };
        let about = std::fs::metadata(&path).map_err(|why| wrong(why.to_string()))?;
        if !about.is_file() || about.len() != part.size || part.size > most {
            return Err(wrong(format!(
                "{} bytes are needed, {} are there, {most} are the most",
                part.size,
                about.len()
            )));
        }
        if self.whole.contains(&path) {
            return Ok(());
        }
        let mut file = std::fs::File::open(&path).map_err(|why| wrong(why.to_string()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(|why| wrong(why.to_string()))?;
        if B256::from(*hasher.finalize().as_bytes()) != part.hash {
            return Err(wrong("it has another content".into()));
        }
        if self.whole.len() >= MAX_REMEMBERED {
            self.whole.clear();
        }
        self.whole.insert(path);
        Ok(())
    }
}

fn keep<V>(map: &mut HashMap<B256, V>, key: B256, value: V) {
    if map.len() >= MAX_REMEMBERED {
        map.clear();
    }
    map.insert(key, value);
}

/// Whether a receipt is of these results.
fn results_found(deal: &Deal, order: &Order, done: &Done) -> Result<Found, DossierError> {
    let Done { receipt, results, .. } = done;
    if results.is_empty()
        || results.len() > MAX_ORDER_TASKS as usize
        || results.len() != order.tasks as usize
    {
        return Err(DossierError::Results("there are more or fewer than the order has tasks"));
    }
    let signed = SumNode { hash: receipt.value.root, fuel: receipt.value.fuel };
    let right = SumTree::over(results, order.fuelLimit).root();
    if right != signed {
        return match FaultProof::find(signed, results, order.fuelLimit) {
            Some(proof) => Ok(Found::Contradiction(Some(Box::new(proof)))),
            // One hash stands for one sum.
            None if right.hash == signed.hash => Ok(Found::Contradiction(None)),
            None => Err(DossierError::Results("their root or their fuel is another")),
        };
    }
    if order_fee(deal, signed.fuel, order.tasks) != Some(receipt.value.fee) {
        return Err(DossierError::Results("its fee is not what the deal's price makes of it"));
    }
    Ok(Found::Whole)
}

/// Bytes of a task's output that a dossier holds.
fn shown_bytes(halted: &Halted) -> u64 {
    if halted.out_len > MAX_REVEAL_BYTES { 0 } else { halted.out_len }
}

fn check_outputs(done: &Done, path: &Path) -> Result<(), DossierError> {
    let all = done.outputs.map(path)?;
    let wrong = |why: &str| DossierError::Part {
        what: "outputs",
        hash: done.outputs.hash,
        why: why.into(),
    };
    let mut left: &[u8] = &all;
    for halted in &done.results {
        let size = shown_bytes(halted);
        let (output, rest) =
            left.split_at_checked(size as usize).ok_or_else(|| wrong("an output is missing"))?;
        left = rest;
        if halted.out_len <= MAX_REVEAL_BYTES && output_hash(output) != halted.out_hash {
            return Err(wrong("an output is not what its task's end says"));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(wrong("there is more than the tasks have")) }
}

impl Done {
    /// What a reveal shows of a task's output: nothing of one that is too large. `None` if there is
    /// no such task.
    ///
    /// # Errors
    /// `P-DOS-001`.
    pub(crate) fn output(&self, task: u32, dossier: &Path) -> Result<Option<Bytes>, DossierError> {
        let Some((before, from)) = self.results.split_at_checked(task as usize) else {
            return Ok(None);
        };
        let Some(halted) = from.first() else { return Ok(None) };
        let offset: u64 = before.iter().map(shown_bytes).sum();
        let all = self.outputs.map(dossier)?;
        let (offset, size) = (offset as usize, shown_bytes(halted) as usize);
        Ok(all.get(offset..offset.saturating_add(size)).map(Bytes::copy_from_slice))
    }
}

/// Writes a part of a deal unless it is there, from where its bytes come, and tells its name.
pub(crate) fn write_part(
    deal_folder: &Path,
    known: Option<Part>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<Part, DossierError> {
    let folder = parts_of(deal_folder);
    let place = |part: &Part| folder.join(format!("{:x}", part.hash));
    if let Some(part) = known
        && std::fs::metadata(place(&part)).is_ok_and(|about| about.len() == part.size)
    {
        return Ok(part);
    }
    let new = folder.join("new");
    let made = || {
        std::fs::create_dir_all(&folder)?;
        let mut out = Hashing {
            file: std::io::BufWriter::new(std::fs::File::create(&new)?),
            hasher: blake3::Hasher::new(),
            size: 0,
        };
        write(&mut out)?;
        let Hashing { file, hasher, size } = out;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let part = Part { hash: B256::from(*hasher.finalize().as_bytes()), size };
        if known.is_some_and(|known| known != part) {
            return Err(std::io::Error::other("it is not what it should be"));
        }
        std::fs::rename(&new, place(&part))?;
        std::fs::File::open(&folder)?.sync_all()?;
        Ok(part)
    };
    made().map_err(DossierError::file(&folder))
}

/// Counts and hashes what is written.
struct Hashing<W> {
    file: W,
    hasher: blake3::Hasher,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
