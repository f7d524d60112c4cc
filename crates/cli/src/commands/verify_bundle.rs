//! `rialto verify-bundle`: checks a job's evidence without chain or network.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use rialto_client::{Bundle, Checked, view};

use crate::{
    exit,
    program::{read_program, refused},
    ui::{Paint, Ui, count, money, short},
};

/// Contradictions and faults that are listed one by one.
const MAX_LISTED: usize = 10;

/// `rialto verify-bundle`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto verify-bundle results/bundle.json
  rialto verify-bundle results/bundle.json --program prog.wasm   # … and that this is the program that was run

Exit code: 0 if everything holds, 1 if something does not.")]
pub struct VerifyBundle {
    /// The bundle.
    pub bundle: PathBuf,
    /// The program that is said to have been run.
    #[arg(long, value_name = "WASM")]
    pub program: Option<PathBuf>,
}

/// Checks it.
pub fn verify_bundle(args: &VerifyBundle, ui: Ui) -> Result<u8> {
    let bundle = Bundle::read(&args.bundle)?;
    let found = bundle.check();
    let program = match &args.program {
        None => None,
        Some(path) => {
            let canonical = rialto_machine::canonicalise(&read_program(path)?)
                .with_context(|| refused(path))?;
            Some(canonical.program_root == bundle.evidence.program)
        }
    };
    let holds = found.holds() && program != Some(false);
    ui.answer(&text(&bundle, &found, program, holds), || view::BundleChecked {
        holds,
        job: bundle.job.clone(),
        chain_id: bundle.evidence.chain_id,
        market: bundle.evidence.market.into(),
        program: bundle.evidence.program.into(),
        program_matches: program,
        checked: found.clone(),
    });
    Ok(if holds { exit::OK } else { exit::FAILED })
}

fn text(bundle: &Bundle, found: &Checked, program: Option<bool>, holds: bool) -> String {
    let paint = Paint::for_stdout();
    let mut out = vec![
        format!("job {}  {}", bundle.job, bundle.name),
        format!("  market {} on chain {}", bundle.evidence.market, bundle.evidence.chain_id),
        format!(
            "  program {}{}",
            bundle.evidence.program,
            match program {
                None => "",
                Some(true) => ", and that is the given file",
                Some(false) => ", and the given file is another one",
            }
        ),
        format!(
            "  {} deals, {} orders, {} acks, {} receipts, {} vouchers",
            found.deals, found.orders, found.acks, found.receipts, found.vouchers
        ),
        format!(
            "  {} of {} tasks have a verified result; of {} a provider signed exactly it, of {} several did",
            count(found.tasks as u64),
            count(bundle.tasks.len() as u64),
            count(found.signed as u64),
            count(found.replicated as u64)
        ),
        format!(
            "  receipts with verified results ask for {}; vouchers promise {}",
            money(found.owed),
            money(found.paid)
        ),
    ];
    for lie in found.contradictions.iter().take(MAX_LISTED) {
        out.push(paint.bad(&format!(
            "  {} signed {} for task {}; verified is {}",
            short(lie.provider),
            lie.signed,
            lie.task,
            lie.verified
        )));
    }
    if found.wrong_signatures > 0 {
        out.push(paint.bad(&format!(
            "  {} signatures are not by the keys that the deals name",
            found.wrong_signatures
        )));
    }
    out.extend(
        found
            .faults
            .iter()
            .take(MAX_LISTED)
            .map(|fault| paint.bad(&format!("  [{}] {}", fault.code, fault.text))),
    );
    out.push(if holds {
        paint.good("everything holds")
    } else {
        paint.bad("not everything holds")
    });
    out.join("\n")
}
