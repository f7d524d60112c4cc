//! Transactions of a watchtower: what each deed sends, made from its dossier.

use super::*;

/// What shows a receipt to be wrong without a game.
pub(super) fn contradiction(dossier: &Dossier) -> Option<FaultProof> {
    let done = dossier.done.as_ref()?;
    let root = SumNode { hash: done.receipt.value.root, fuel: done.receipt.value.fuel };
    FaultProof::find(root, &done.results, dossier.order.value.fuelLimit)
}

/// Sends one; what it cost, or how it ended and why.
pub(super) async fn act(
    works: &Works,
    sender: &Sender,
    chain: &Chain,
    intent: &str,
    deed: Deed,
) -> Result<u128, (Outcome, Unable)> {
    let sent = match deed {
        Deed::Timeout { deal, game } => {
            let call =
                MarketCall::Court { court: deal.court, call: CourtCall::Timeout { deal, game } };
            sender.send(intent, call).await
        }
        Deed::Answer { order }
        | Deed::Excuse { order }
        | Deed::Reveal { order, .. }
        | Deed::Play { order, .. }
        | Deed::Accuse { order } => {
            let desk = works.desk.clone();
            let read = move || desk.dossier(order).map_err(|why| Refusal::Attempt(why.to_string()));
            let unsent = |why: String| (Outcome::Unsent, Unable::from(why));
            let (dossier, path) = crate::service::runner::compute(read)
                .await
                .map_err(|why| unsent(why.to_string()))?;
            if matches!(deed, Deed::Accuse { .. }) {
                accuse(sender, chain, intent, dossier).await?
            } else {
                let call = call_of(deed, dossier, &path).map_err(unsent)?;
                sender.send(intent, call).await
            }
        }
    };
    match sent {
        Ok(mined) => {
            tracing::info!(intent, tx = %mined.tx, gas = mined.gas_used, "transaction mined");
            Ok(mined.fee_wei)
        }
        Err(error) => Err((facts::outcome_of(&error), error.to_string().into())),
    }
}

pub(super) fn call_of(
    deed: Deed,
    dossier: Dossier,
    path: &std::path::Path,
) -> Result<MarketCall, String> {
    let Dossier { deal, order, cancel, done, .. } = dossier;
    let order = order.value;
    if let Deed::Excuse { .. } = deed {
        let cancel = cancel.ok_or("the dossier has no cancellation any more")?;
        return Ok(MarketCall::Excuse { deal, cancel: cancel.value, signature: cancel.signature });
    }
    let done = done.ok_or("the dossier has no receipt any more")?;
    Ok(match deed {
        Deed::Answer { .. } => {
            let rialto_protocol::wire::Signed { value: receipt, signature } = done.receipt;
            MarketCall::Answer { deal, order, receipt, signature }
        }
        Deed::Reveal { task, .. } => {
            let output: Bytes = done
                .output(task, path)
                .map_err(|why| why.to_string())?
                .ok_or("there is no such task")?;
            let reveal = facts::Reveal { deal, order, receipt: done.receipt.value, task };
            reveal.over(&done.results, output).ok_or("there is no such task")?
        }
        Deed::Play { view, answer, .. } => {
            let court = deal.court;
            let call =
                CourtCall::answer(deal, order, &view, answer).ok_or("that answers nothing")?;
            MarketCall::Court { court, call }
        }
        _ => return Err("that is nothing to be sent".into()),
    })
}

/// Shows a receipt to be wrong, or accuses it.
pub(super) async fn accuse(
    sender: &Sender,
    chain: &Chain,
    intent: &str,
    dossier: Dossier,
) -> Result<Result<rialto_chain::Mined, SendError>, (Outcome, Unable)> {
    let proof = contradiction(&dossier);
    let Dossier { deal, order, done, .. } = dossier;
    let done = done.ok_or_else(|| {
        (Outcome::Unsent, "the dossier has no receipt any more".to_owned().into())
    })?;
    let rialto_protocol::wire::Signed { value: receipt, signature } = done.receipt;
    let court = deal.court;
    let signed = Signed { deal, order: order.value, receipt, signature };
    if let Some(proof) = proof {
        let call = MarketCall::Court { court, call: CourtCall::convict(signed, proof) };
        return Ok(sender.send(intent, call).await);
    }
    let court =
        chain.court(court).await.map_err(|why| (Outcome::Unsent, why.to_string().into()))?;
    match sender.accuse(intent, &court, signed).await {
        Err(SendError::BondMissing { account, balance, bond }) => Err((
            Outcome::Unsent,
            Unable::Bond(format!(
                "[P-TWR-006] an accusation locks a bond of {bond} base units, and {account} has {balance} in the market: deposit {} more",
                bond.saturating_sub(balance)
            )),
        )),
        sent => Ok(sent),
    }
}
