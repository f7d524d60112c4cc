//! How a job stands.

use rialto_client::view;
use rialto_requester::{JobPhase, JobStatus};

/// How a job stands, in a word or two.
pub fn standing(job: &JobStatus) -> String {
    match (&job.phase, &job.outcome) {
        (JobPhase::Running, _) if job.waits.is_some() => "waits for providers".into(),
        (JobPhase::Running, _) => "running".into(),
        (JobPhase::Settling, Some(Ok(()))) => "settling".into(),
        (JobPhase::Ended, Some(Ok(()))) => "done".into(),
        (_, Some(Err(why))) => why.to_string(),
        (_, None) => "ended".into(),
    }
}

/// A job for programs.
pub fn view_of(job: &JobStatus) -> view::Job {
    view::Job {
        job: job.id.to_string(),
        name: job.name.clone(),
        standing: standing(job),
        phase: format!("{:?}", job.phase).to_lowercase(),
        done: matches!(job.outcome, Some(Ok(()))),
        submitted: job.submitted,
        deadline: job.deadline,
        ended: job.ended,
        policy: job.policy.to_string(),
        budget: job.budget.into(),
        spent: job.progress.spent.into(),
        tasks: job.progress.tasks,
        verified: job.progress.verified,
        paid: job.progress.paid,
        retries: job.progress.retries,
        failovers: job.progress.failovers,
        deals: job.deals,
        waits: job.waits.as_ref().map(ToString::to_string),
    }
}
