//! Single steps of a trace, for people and as proofs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rialto_client::view;
use rialto_machine::{
    Snapshot, Tracer,
    explain::{Place, Step, Touch, Value},
    judge,
};
use rialto_protocol::{Address, B256};

use super::{ReplayCommand, Subject, by_contract};
use crate::{
    env::PlaceArgs,
    exit,
    retrace::{PIECE, ending},
    ui::{Paint, Ui, count, progress::bar, short_hash},
};

/// Shows a step and those around it.
pub(super) async fn show(
    args: &ReplayCommand,
    at: u64,
    subject: &Subject,
    place: &PlaceArgs,
    ui: Ui,
) -> Result<u8> {
    let (replay, around, prove) = (subject.replay.clone(), args.around, args.prove.is_some());
    let (steps, proof) = tokio::task::spawn_blocking(move || {
        let mut tracer = replay.tracer();
        let first = at.saturating_sub(around);
        go(&mut tracer, first);
        let (mut steps, mut proof) = (Vec::new(), Vec::new());
        for position in first..=at.saturating_add(around) {
            if position > at && tracer.halted().is_some() {
                break;
            }
            if prove && position == at {
                let mut here = Snapshot::default();
                tracer.save(&mut here);
                proof = tracer.prove();
                tracer.restore(&here);
            }
            steps.push(told(&mut tracer, position));
        }
        (steps, proof)
    })
    .await?;
    let asked =
        steps.iter().find(|told| told.step == at).context("the step is among those told")?;
    let judged = match &args.prove {
        Some(file) => Some(write_proof(file, asked, &proof, subject, place).await?),
        None => None,
    };
    let paint = Paint::for_stdout();
    let mut out = vec![paint.bold(&subject.name)];
    for told in &steps {
        out.push(if told.step == at { sheet(told, paint) } else { line(told, paint) });
    }
    if let (Some(judged), Some(file)) = (&judged, &args.prove) {
        out.push(format!("  proof          {} bytes, in {}", proof.len(), file.display()));
        out.push(format!("  judged here    {}", paint.good("right")));
        out.push(match judged {
            Ok(unit) => format!("  by contract    {} ({unit})", paint.good("right")),
            Err(why) => format!("  by contract    not asked: {why}"),
        });
    }
    ui.answer(&out.join("\n"), || view::ReplaySteps {
        what: subject.name.clone(),
        program: subject.replay.program.parts.root().into(),
        proof: judged.zip(args.prove.clone()).map(|(judged, file)| view::StepProof {
            file,
            bytes: proof.len(),
            judged: "right".to_owned(),
            contract: judged.as_ref().ok().copied().map(Into::into),
            not_asked: judged.err(),
        }),
        steps,
    });
    Ok(exit::OK)
}

/// Goes to a step, with a bar where that takes a while.
fn go(tracer: &mut Tracer, at: u64) {
    let bar = bar(Some(at), "tracing");
    while tracer.steps() < at {
        tracer.run(at.min(tracer.steps().saturating_add(PIECE)));
        bar.set_position(tracer.steps());
        if tracer.halted().is_some() {
            tracer.run(at);
        }
    }
    bar.finish_and_clear();
}

/// Takes a step, and tells it.
fn told(tracer: &mut Tracer, step: u64) -> view::ReplayStep {
    let state = tracer.hash().into();
    let taken = tracer.explain();
    let halted = tracer.halted().map(ending);
    let (next, fuel_left) = (tracer.hash().into(), tracer.fuel_left());
    match taken {
        None => {
            let (pc, frame, depth) = (0, 0, 0);
            let instruction =
                "none: the run has ended, and this state is followed by itself".into();
            view::ReplayStep {
                step,
                state,
                next,
                pc,
                instruction,
                frame,
                depth,
                fuel_left,
                touches: Vec::new(),
                halted,
            }
        }
        Some(Step { instruction, before, touches, .. }) => view::ReplayStep {
            step,
            state,
            next,
            pc: before.pc,
            instruction: instruction.to_string(),
            frame: before.fp,
            depth: before.depth,
            fuel_left,
            touches: touches.iter().map(|touch| touched(touch, before.fp)).collect(),
            halted,
        },
    }
}

/// Slots are told as instructions name them: counted from the frame's first.
fn touched(touch: &Touch, frame: u32) -> view::StepTouch {
    let (place, at) = match touch.what {
        Place::Slot(slot) => ("slot", u64::from(slot.wrapping_sub(frame))),
        Place::Global(index) => ("global", index.into()),
        Place::Memory(address) => ("memory", address),
        Place::Pages => ("pages", 0),
        Place::Table(index) => ("table", index.into()),
        Place::Input(leaf) => ("input", leaf.into()),
        Place::Output(byte) => ("output", byte),
        Place::Call => ("call", 0),
    };
    view::StepTouch {
        place: place.to_owned(),
        at,
        before: text(&touch.before),
        after: text(&touch.after),
        changed: touch.changed(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Nothing => "nothing".into(),
        Value::Word(word) if *word < 10 => word.to_string(),
        Value::Word(word) => format!("{word:#x} ({word})"),
        Value::Bytes(bytes) => alloy_primitives::hex::encode_prefixed(bytes),
        Value::Entry(entry) if entry.ty == 0 => "null".into(),
        Value::Entry(entry) => format!("function at {}, type {}", entry.pc, entry.ty),
        Value::Return { pc, fp } => format!("returns to {pc}, frame at slot {fp}"),
    }
}

fn where_it_is(touched: &view::StepTouch) -> String {
    match (touched.place.as_str(), touched.at) {
        ("slot", at) => format!("s{at}"),
        ("global", 0) => "g0 (fuel)".into(),
        ("global", 1) => "g1 (stack left)".into(),
        ("global", 2) => "g2 (digest)".into(),
        ("global", 3) => "g3 (seed)".into(),
        ("global", at) => format!("g{at}"),
        ("memory", at) => format!("memory {at:#x}"),
        ("table", at) => format!("table entry {at}"),
        ("input", leaf) => format!("input leaf {leaf}"),
        ("output", byte) => format!("output byte {byte}.."),
        ("pages", _) => "pages".into(),
        _ => "innermost call".into(),
    }
}

/// A step among others.
fn line(told: &view::ReplayStep, paint: Paint) -> String {
    let changes: Vec<String> = told
        .touches
        .iter()
        .filter(|touched| touched.changed)
        .map(|touched| format!("{} = {}", where_it_is(touched), touched.after))
        .collect();
    let text = format!(
        "{:>12}  {:>6}  {:<36} {:<40} → {}",
        count(told.step),
        told.pc,
        told.instruction,
        changes.join(", "),
        short_hash(told.next.0)
    );
    paint.dim(&text)
}

/// A step on its own.
fn sheet(told: &view::ReplayStep, paint: Paint) -> String {
    let mut out = vec![format!(
        "{:>12}  {:>6}  {}",
        count(told.step),
        told.pc,
        paint.bold(&told.instruction)
    )];
    let mut row = |name: &str, text: String| out.push(format!("  {name:<14} {text}"));
    row("state before", told.state.0.to_string());
    for touched in &told.touches {
        let change = match touched.changed {
            true => format!("{} → {}", touched.before, touched.after),
            false => touched.before.clone(),
        };
        row(&where_it_is(touched), change);
    }
    row("call depth", format!("{}, frame at slot {}", told.depth, count(told.frame.into())));
    row("fuel left", told.fuel_left.to_string());
    if let Some(halted) = &told.halted {
        row("halted", halted.clone());
    }
    row("state after", told.next.0.to_string());
    out.join("\n")
}

/// Judges a proof and writes it: the contract's judge of steps that agreed, or why none was asked.
async fn write_proof(
    file: &Path,
    told: &view::ReplayStep,
    proof: &[u8],
    subject: &Subject,
    place: &PlaceArgs,
) -> Result<Result<Address, String>> {
    let disagree = |who: &str, said: B256| {
        failure!(
            Failed,
            "C-RPL-006",
            "{who} says that {said} follows step {}, tracing says {}",
            told.step,
            told.next.0
        )
    };
    let said = judge(told.state.0, proof)?;
    ensure!(said == told.next.0, disagree("this machine's judge", said));
    let judged = match by_contract(subject, place, told.state.0, proof).await {
        Ok((unit, said)) => {
            let said = said.with_context(|| {
                format!("the contract {unit} was asked about step {}", told.step)
            })?;
            ensure!(said == told.next.0, disagree(&format!("the contract {unit}"), said));
            Ok(unit)
        }
        Err(why) => Err(why),
    };
    let written = view::WrittenProof {
        program: subject.replay.program.parts.root().into(),
        step: told.step,
        state: told.state,
        next: told.next,
        proof: alloy_primitives::hex::encode_prefixed(proof),
    };
    let text = serde_json::to_vec_pretty(&written)?;
    std::fs::write(file, text)
        .with_context(|| failure!(Failed, "C-HOM-001", "{}", file.display()))?;
    Ok(judged)
}
