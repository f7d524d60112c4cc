//! Writing dossiers while a provider works: as receipts are signed, for whoever carries them to a
//! watchtower. It never holds the core up: what could not be written is tried again, and what a
//! crash left out is written at the next start.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use rialto_party::Seal;
use rialto_protocol::{
    DealId, OrderId,
    model::MAX_REVEAL_BYTES,
    types::Deal,
    wire::{BlobRef, Payload},
};
use tokio::sync::{Notify, broadcast};

use super::{
    dossier::{Done, Dossier, DossierError, Part, deal_folder, write_part},
    error::ProviderError,
    journal::{Journal, blocking},
    runner::lock,
    shell::Shell,
};
use crate::core::{OrderRow, ProviderEvent, Results};

/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_secs(20);

/// The desk where orders wait to be written down.
#[derive(Clone)]
pub(crate) struct Handover(Arc<Desk>);

struct Desk {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    orders: BTreeMap<OrderId, (OrderRow, Deal)>,
    over: BTreeSet<DealId>,
}

/// Everything that writing takes.
pub(crate) struct Writer {
    pub journal: Journal,
    pub blobs: rialto_net::Blobs,
    pub seal: Seal,
    pub shell: Arc<dyn Shell>,
    pub chain_id: u64,
    pub market: Address,
    pub provider: Address,
    pub events: broadcast::Sender<ProviderEvent>,
}

impl Handover {
    pub fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Desk { folder, waiting: Mutex::default(), news: Notify::new() }))
    }

    /// An order that changed; only what can be answered for it counts.
    pub fn order(&self, hash: OrderId, row: &OrderRow, deal: &Deal) {
        if row.state.receipt().is_none() && row.cancel.is_none() {
            return;
        }
        lock(&self.0.waiting).orders.insert(hash, (row.clone(), deal.clone()));
        self.0.news.notify_one();
    }

    /// A deal that is over, and no game goes on.
    pub fn over(&self, deal: DealId) {
        let mut waiting = lock(&self.0.waiting);
        waiting.orders.retain(|_, (row, _)| row.order.value.deal != deal);
        waiting.over.insert(deal);
        self.0.news.notify_one();
    }

    /// Writes and removes for ever. `kept`: deals whose dossiers stay at the start.
    pub async fn work(self, writer: Arc<Writer>, kept: BTreeSet<DealId>) {
        let (desk, keeper) = (self.0.clone(), writer.clone());
        report(blocking(move || Ok(keeper.clean(&desk.folder, &kept))).await, None, &writer.events);
        loop {
            let Waiting { orders, over } = std::mem::take(&mut *lock(&self.0.waiting));
            if orders.is_empty() && over.is_empty() {
                self.0.news.notified().await;
                continue;
            }
            for deal in over {
                let folder = deal_folder(&self.0.folder, deal);
                report(blocking(move || Ok(remove(&folder))).await, None, &writer.events);
            }
            let mut failed = BTreeMap::new();
            for (hash, (row, deal)) in orders {
                let (writer, desk) = (writer.clone(), self.0.clone());
                let (events, again) = (writer.events.clone(), (row.clone(), deal.clone()));
                let written =
                    blocking(move || Ok(writer.write(&desk.folder, hash, &row, deal))).await;
                if !report(written, Some(hash), &events) {
                    failed.insert(hash, again);
                }
            }
            if !failed.is_empty() {
                tokio::time::sleep(RETRY).await;
                let mut waiting = lock(&self.0.waiting);
                for (hash, (row, deal)) in failed {
                    // What came meanwhile is newer.
                    if !waiting.over.contains(&row.order.value.deal) {
                        waiting.orders.entry(hash).or_insert((row, deal));
                    }
                }
            }
        }
    }
}

/// Whether it went well; people are told if not.
fn report(
    done: Result<Result<(), DossierError>, ProviderError>,
    order: Option<OrderId>,
    events: &broadcast::Sender<ProviderEvent>,
) -> bool {
    let why = match done {
        Ok(Ok(())) => return true,
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    tracing::error!(?order, why, "dossier not written");
    let _ = events.send(ProviderEvent::DossierFails { order, why });
    false
}

fn remove(folder: &Path) -> Result<(), DossierError> {
    match std::fs::remove_dir_all(folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(DossierError::file(folder)(why))
        }
        _ => Ok(()),
    }
}

impl Writer {
    /// Removes this provider's dossiers of deals that are over. Others may use the folder, too:
    /// theirs stay.
    fn clean(&self, folder: &Path, kept: &BTreeSet<DealId>) -> Result<(), DossierError> {
        std::fs::create_dir_all(folder).map_err(DossierError::file(folder))?;
        let entries = std::fs::read_dir(folder).map_err(DossierError::file(folder))?;
        for entry in entries.flatten() {
            let deal = entry.file_name().to_str().and_then(|name| name.parse::<DealId>().ok());
            if deal.is_some_and(|deal| !kept.contains(&deal)) && self.is_ours(&entry.path()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn is_ours(&self, deal_folder: &Path) -> bool {
        let files = std::fs::read_dir(deal_folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let mut dossiers =
            files.filter(|path| path.to_string_lossy().ends_with(super::dossier::ENDING));
        dossiers.next().and_then(|path| Dossier::read(&path).ok()).is_some_and(|dossier| {
            (dossier.chain_id, dossier.market, dossier.deal.provider)
                == (self.chain_id, self.market, self.provider)
        })
    }

    /// Writes an order's dossier, unless it is there.
    fn write(
        &self,
        folder: &Path,
        hash: OrderId,
        row: &OrderRow,
        deal: Deal,
    ) -> Result<(), DossierError> {
        let failed = |why: ProviderError| DossierError::Malformed(why.to_string());
        let mut dossier = Dossier::new(self.chain_id, self.market, deal, row.order.clone());
        dossier.ack = row
            .state
            .ack()
            .cloned()
            .map(|ack| self.seal.sign(ack))
            .transpose()
            .map_err(|why| failed(why.into()))?;
        dossier.cancel = row.cancel.clone();
        let place = Dossier::path(folder, row.order.value.deal, hash);
        let there = Dossier::read(&place).ok();
        if let Some(receipt) = row.state.receipt().cloned() {
            let receipt = self.shell.receipt(receipt);
            let receipt = self.seal.sign(receipt).map_err(|why| failed(why.into()))?;
            dossier.done = match there.as_ref().and_then(|there| there.done.clone()) {
                Some(done) if done.receipt == receipt => Some(done),
                _ => {
                    let folder = deal_folder(folder, row.order.value.deal);
                    let results = self.journal.results(hash).map_err(failed)?;
                    let inputs = match self.journal.inputs(hash).map_err(failed)? {
                        Payload::Inline(bytes) => {
                            write_part(&folder, None, |out| out.write_all(&bytes))?
                        }
                        Payload::Blob(blob) => self.copy(&folder, blob)?,
                    };
                    Some(Done {
                        receipt,
                        program: self.copy(&folder, row.program)?,
                        shared: row.shared.map(|blob| self.copy(&folder, blob)).transpose()?,
                        inputs,
                        outputs: self.outputs(&folder, &results)?,
                        results: results.halted,
                    })
                }
            };
        }
        if there.as_ref() != Some(&dossier) {
            dossier.write(folder)?;
        }
        Ok(())
    }

    /// Copied, not linked: whoever may write there can't change what the provider itself runs.
    fn copy(&self, folder: &Path, blob: BlobRef) -> Result<Part, DossierError> {
        let part = Part { hash: B256::from(blob.hash), size: blob.size };
        write_part(folder, Some(part), |mut out| {
            let held = self
                .blobs
                .get(blob)
                .ok_or_else(|| std::io::Error::other("the blob is not in the store"))?;
            std::io::copy(&mut File::open(held.path())?, &mut out).map(drop)
        })
    }

    /// Outputs that are small enough to be revealed.
    fn outputs(&self, folder: &Path, results: &Results) -> Result<Part, DossierError> {
        write_part(folder, None, |out| {
            let held = match &results.outputs {
                Payload::Inline(_) => None,
                Payload::Blob(blob) => {
                    let gone = || std::io::Error::other("the outputs are not in the store");
                    Some(self.blobs.get(*blob).ok_or_else(gone)?)
                }
            };
            let mut file = held.as_ref().map(|held| File::open(held.path())).transpose()?;
            let mut offset = 0u64;
            for halted in &results.halted {
                let size = halted.out_len;
                if size <= MAX_REVEAL_BYTES {
                    match (&results.outputs, &mut file) {
                        (_, Some(file)) => {
                            file.seek(SeekFrom::Start(offset))?;
                            let mut bytes = vec![0; size as usize];
                            file.read_exact(&mut bytes)?;
                            out.write_all(&bytes)?;
                        }
                        (Payload::Inline(all), None) => {
                            let from = offset as usize;
                            let part = all.get(from..from.saturating_add(size as usize));
                            out.write_all(part.ok_or(std::io::ErrorKind::UnexpectedEof)?)?;
                        }
                        (Payload::Blob(_), None) => {}
                    }
                }
                offset = offset.saturating_add(size);
            }
            Ok(())
        })
    }
}
