//! Following a job: a bar and what happens above it; at its end results, report, evidence.

use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget};
use rialto_client::{Classified, Host, Passphrase, view};
use rialto_requester::{JobEvent, JobId, JobReport, Progress};
use tokio::time::{Instant, sleep};

use crate::{
    env::{PlaceArgs, signals},
    exit,
    job::{background, report, results},
    ui::{self, Output, Paint, Ui, count, money, progress::bar_of, short},
};

/// How often news are looked for.
const PAUSE: Duration = Duration::from_millis(60);
/// How often the host is asked whether it is there.
const PULSE: Duration = Duration::from_secs(2);
/// Wrong tasks that are listed one by one.
const MAX_LISTED: usize = 5;

/// What is wanted at a job's end.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Replace files of others in the results' folder.
    pub force: bool,
    /// A task that failed is a failure.
    pub strict: bool,
}

/// Prints what happens.
struct Teller {
    ui: Ui,
    paint: Paint,
    bar: ProgressBar,
}

impl Teller {
    fn new(ui: Ui) -> Self {
        let bar = bar_of(1, "  {bar:40.green/black.dim} {msg}  {elapsed}");
        Self { ui, paint: Paint::for_stdout(), bar }
    }

    fn line(&self, text: &str) {
        if self.ui.for_people() {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    fn tell(&self, event: &JobEvent) {
        let text = match event {
            JobEvent::Progress(progress) => return self.progress(progress),
            JobEvent::Quote { providers, cost, seconds, .. } => {
                format!("  {providers} providers, about {} and {seconds} s", money(*cost))
            }
            JobEvent::DealOpened { provider, price, budget, .. } => {
                format!(
                    "  deal with {} at {} per Tfuel, {} locked",
                    short(*provider),
                    money(*price),
                    money(*budget)
                )
            }
            JobEvent::Excluded(left) => {
                self.paint.dim(&format!("  left out: {} {}", short(left.provider), left.why))
            }
            JobEvent::Mismatch { task, .. } => {
                format!("  {} task {task}", self.paint.bad("results differ on"))
            }
            JobEvent::LocalRun { tasks, .. } => {
                self.paint.dim(&format!("  this machine runs {tasks} tasks itself"))
            }
            JobEvent::Cheater { provider, tasks, .. } => {
                let named: Vec<_> =
                    tasks.iter().take(MAX_LISTED).map(|wrong| wrong.task.to_string()).collect();
                let more = tasks.len().saturating_sub(MAX_LISTED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let caught = self.paint.bad("caught cheating:");
                format!(
                    "  {caught} {} signed wrong results for tasks {}{more}",
                    short(*provider),
                    named.join(", ")
                )
            }
            JobEvent::ProviderDropped { provider, code, why, .. } => {
                format!("  {} gets no more work: [{code}] {why}", short(*provider))
            }
            JobEvent::ProviderBack { provider, .. } => format!("  {} is back", short(*provider)),
            JobEvent::DealClosed { provider, paid, .. } => {
                format!("  {} redeemed {}", short(*provider), money(*paid))
            }
            JobEvent::FalseReceipt { provider, claimed, .. } => format!(
                "  {} claims {} on chain for what this machine found wrong",
                self.paint.bad(&short(*provider)),
                money(*claimed)
            ),
            JobEvent::TreeNarrowed { height, ours, .. } => self.paint.dim(&format!(
                "  {}, {}",
                if *ours {
                    "this side says which is wrong"
                } else {
                    "the provider opens its receipt"
                },
                if *height == 0 {
                    "single tasks".to_owned()
                } else {
                    format!("groups of 2^{height} tasks")
                }
            )),
            JobEvent::TaskChallenged { task, .. } => {
                format!("  this side says that task {task} ended otherwise")
            }
            JobEvent::Accused { provider, first, count: tasks, bond, .. } => {
                let tasks = match tasks {
                    0 | 1 => format!("task {first}"),
                    _ => format!("tasks {first} to {}", first.saturating_add(tasks - 1)),
                };
                format!(
                    "  {} accused in court over {tasks}, bond {}",
                    short(*provider),
                    money(*bond)
                )
            }
            JobEvent::GameMoved { level, position, ours, .. } => self.paint.dim(&format!(
                "  {} the dispute to {} steps from step {}",
                if *ours { "this side narrows" } else { "the provider narrows" },
                count(1 << (4 * u32::from(*level))),
                count(*position)
            )),
            JobEvent::StepJudged { position, .. } => {
                format!("  the court judged step {}", count(*position))
            }
            JobEvent::GameEnded { provider, won, .. } => match won {
                true => format!("  {} {}", short(*provider), self.paint.bad("was found guilty")),
                false => format!("  {} was found innocent", short(*provider)),
            },
            JobEvent::Misstated { provider, fault, .. } => {
                let caught = self.paint.bad("caught cheating:");
                format!("  {caught} {} signed a receipt with {fault}", short(*provider))
            }
            JobEvent::Convicted { provider, compensation, .. } => format!(
                "  {} {} without a game: {} of its collateral come to this account",
                short(*provider),
                self.paint.bad("was found guilty"),
                money(*compensation)
            ),
            JobEvent::Settling { outcome: Ok(()) } => {
                "  all tasks verified; deals are being closed".to_owned()
            }
            JobEvent::Settling { outcome: Err(why) } => {
                format!("  {}", self.paint.bad(&why.to_string()))
            }
            JobEvent::Note { code, text } => self.paint.dim(&format!("  [{code}] {text}")),
            JobEvent::AskHeard { provider, price, .. } => {
                let price = price
                    .map_or("no valid price".into(), |price| format!("{} per Tfuel", money(price)));
                self.paint.dim(&format!("  offer of {}: {price}", short(*provider)))
            }
            JobEvent::OrderSent { .. }
            | JobEvent::TasksDone { .. }
            | JobEvent::TasksVerified { .. }
            | JobEvent::Paid { .. } => return,
        };
        self.line(&text);
    }

    fn progress(&self, progress: &Progress) {
        self.bar.set_length(progress.tasks);
        self.bar.set_position(progress.verified);
        let retried = match progress.retries {
            0 => String::new(),
            n => format!(" · {} retried", count(n)),
        };
        self.bar.set_message(format!(
            "{} done · {} verified · {} paid of {}{retried} · {}",
            count(progress.done),
            count(progress.verified),
            count(progress.paid),
            count(progress.tasks),
            money(progress.spent)
        ));
    }
}

/// Keeps a host alive while somebody watches: a killed one is started again, and its jobs go on.
struct Keeper<'a> {
    host: &'a Host,
    secret: Option<Passphrase>,
    place: &'a PlaceArgs,
    next: Instant,
}

impl Keeper<'_> {
    /// Whether it had to be started again.
    async fn look(&mut self, job: JobId) -> Result<bool> {
        if Instant::now() < self.next {
            return Ok(false);
        }
        self.next = Instant::now() + PULSE;
        if self.host.runs().await?.is_some() || self.host.job(job).ended() {
            return Ok(false);
        }
        if self.secret.is_none()
            && self.place.market()?.local_signer().is_none()
            && self.place.passphrase_file.is_none()
        {
            bail!(failure!(
                Failed,
                "C-HST-001",
                "the background process ended: `rialto jobs logs -f {job}` starts it again, and the job goes on"
            ));
        }
        if self.secret.is_none() && self.place.market()?.local_signer().is_none() {
            self.secret = Some(self.place.passphrase("")?);
        }
        background::start(self.host, self.place, self.secret.as_ref()).await?;
        Ok(true)
    }
}

/// Follows a job to its end. Ctrl-C stops the watching only.
pub async fn until_end(
    host: &Host,
    secret: Option<Passphrase>,
    place: &PlaceArgs,
    id: JobId,
    wishes: Wishes,
    ui: Ui,
) -> Result<u8> {
    let start = Instant::now();
    let teller = Teller::new(ui);
    teller.line(&format!("job {id}"));
    let mut keeper = Keeper { host, secret, place, next: Instant::now() + PULSE };
    let report = tokio::select! {
        report = follow(&mut keeper, &teller, id) => report?,
        () = signals::interrupted() => {
            teller.bar.finish_and_clear();
            eprintln!("\nthe job goes on in the background:\n  rialto jobs logs -f {id}    watch it again\n  rialto jobs cancel {id}     end it; what was accepted is paid");
            return Ok(exit::INTERRUPTED);
        }
    };
    teller.bar.finish_and_clear();
    let Some(file) = host.job(id).file() else {
        bail!(failure!(Usage, "C-JOB-013", "{id} was not submitted from a job file"))
    };
    let written = results::deliver(file, &report, id, wishes.force).await?;
    results::notes(&written);
    report::ending(&report, &written, start.elapsed(), ui);
    Ok(match &report.outcome {
        Ok(()) => results::code(&written, wishes.strict),
        Err(why) => exit::code(why.class()),
    })
}

async fn follow(keeper: &mut Keeper<'_>, teller: &Teller, id: JobId) -> Result<JobReport> {
    let folder = keeper.host.job(id);
    let mut story = folder.follow();
    loop {
        let ended = folder.ended();
        story.news().iter().for_each(|told| teller.tell(&told.event));
        if ended && let Some(report) = folder.report()? {
            return Ok(report);
        }
        if keeper.look(id).await? {
            teller.line("  the background process had ended; it is up again, and the job goes on");
        }
        sleep(PAUSE).await;
    }
}

/// Show what happened in a job.
pub async fn logs(
    host: &Host,
    secret: Option<Passphrase>,
    place: &PlaceArgs,
    id: JobId,
    follow_it: bool,
    ui: Ui,
) -> Result<u8> {
    let folder = host.job(id);
    let mut story = folder.follow();
    let mut keeper = Keeper { host, secret, place, next: Instant::now() + PULSE };
    let teller = Teller::new(Ui::new(Output::Human));
    teller.bar.set_draw_target(ProgressDrawTarget::hidden());
    let (mut last, mut started) = (None, None);
    loop {
        let ended = folder.ended();
        for told in story.news() {
            let began = *started.get_or_insert(told.at);
            if !ui.for_people() {
                ui::json(&view::JobStoryLine { at: told.at, event: told.event });
                continue;
            }
            if let JobEvent::Progress(progress) = told.event {
                last = Some(progress);
                continue;
            }
            print!("{:>6} s", told.at.saturating_sub(began));
            teller.tell(&told.event);
        }
        if ended || !follow_it || ui::unheard() {
            break;
        }
        tokio::select! {
            looked = keeper.look(id) => drop(looked?),
            () = signals::interrupted() => return Ok(exit::INTERRUPTED),
        }
        sleep(PAUSE).await;
    }
    if let (true, Some(progress)) = (ui.for_people(), last) {
        println!(
            "        {} done, {} verified, {} paid of {}; {} retries, {} fail-overs; {}",
            count(progress.done),
            count(progress.verified),
            count(progress.paid),
            count(progress.tasks),
            count(progress.retries),
            count(progress.failovers),
            money(progress.spent)
        );
    }
    Ok(exit::OK)
}
