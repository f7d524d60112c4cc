//! A market's past, read with a word on how far that is.

use std::io::IsTerminal;

use anyhow::Result;
use rialto_chain::{Chain, Courts};
use rialto_client::History;

use crate::ui::Ui;

/// Reads a market's past; on a terminal it tells how far it is, where that takes a while.
pub async fn read(chain: &Chain, first_block: u64, ui: Ui) -> Result<History> {
    read_with(chain, first_block, Courts::default(), ui).await
}

/// The same, with what courts say.
pub async fn read_with(chain: &Chain, first_block: u64, courts: Courts, ui: Ui) -> Result<History> {
    let live = ui.for_people() && std::io::stderr().is_terminal();
    let mut told = None;
    let history = History::read_with(chain, first_block, courts, |percent| {
        if live && told != Some(percent) {
            told = Some(percent);
            eprint!("\rreading the market's past: {percent} %");
        }
    })
    .await;
    if told.is_some() {
        eprint!("\r\x1b[K");
    }
    Ok(history?)
}
