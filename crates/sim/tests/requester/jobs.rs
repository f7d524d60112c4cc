//! Jobs that outlive the process that submitted them.

use std::time::Duration;

use rialto_requester::{Job, JobError, JobPhase, Policy};

use crate::place::{Place, is_square, soon, squares};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_names_reports_and_results_survive_a_restart() {
    let place = Place::new(&[None, None]).await;
    let requester = place.requester(|_| ()).await;
    let job = Job { name: "squares".into(), policy: Policy::Replicate { n: 2 }, ..squares(40) };
    let handle = soon(requester.submit(job)).await.unwrap();
    let id = handle.id();
    let report = soon(handle.wait()).await.unwrap();
    assert_eq!(report.outcome, Ok(()));
    soon(requester.stop()).await;

    let requester = place.requester(|_| ()).await;
    let jobs = soon(requester.jobs()).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        (jobs[0].id, jobs[0].name.as_str(), jobs[0].phase),
        (id, "squares", JobPhase::Ended)
    );
    assert_eq!((jobs[0].progress.verified, jobs[0].progress.paid), (40, 40));
    let again = soon(soon(requester.job(id)).await.unwrap().wait()).await.unwrap();
    assert_eq!(
        (again.requester_paid, &again.providers, &again.tasks),
        (report.requester_paid, &report.providers, &report.tasks)
    );
    for (n, task) in (0..).zip(&again.tasks) {
        assert!(is_square(&task.as_ref().unwrap().output.read().unwrap(), n));
    }
    assert!(
        matches!(requester.resume(id, Duration::from_secs(60), None).await.unwrap_err().to_string(), text if text.contains("R-JOB-006"))
    );
    assert!(soon(requester.remove(id)).await.unwrap());
    soon(requester.stop()).await;
    assert!(place.reconciles().await);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_is_resumed_by_another_process_and_nothing_is_run_twice() {
    let place = Place::new(&[None, None]).await;
    let requester = place.requester(|_| ()).await;
    let handle =
        soon(requester.submit(Job { policy: Policy::Trust, ..squares(6_000) })).await.unwrap();
    let id = handle.id();
    let mut events = handle.events();
    while let Some(event) = soon(events.next()).await {
        if matches!(event, rialto_requester::JobEvent::Progress(progress) if progress.verified > 200)
        {
            break;
        }
    }
    soon(requester.cancel(id)).await.unwrap();
    let report = soon(handle.wait()).await.unwrap();
    assert_eq!(report.outcome, Err(JobError::Cancelled));
    let verified = report.progress.verified;
    assert!(verified > 200 && verified < 6_000);
    soon(requester.stop()).await;

    let requester = place.requester(|_| ()).await;
    let handle = soon(requester.resume(id, Duration::from_secs(600), None)).await.unwrap();
    assert_eq!(soon(requester.status(id)).await.unwrap().phase, JobPhase::Running);
    let report = soon(handle.wait()).await.unwrap();
    assert_eq!(report.outcome, Ok(()));
    for (n, task) in (0..).zip(&report.tasks) {
        assert!(is_square(&task.as_ref().unwrap().output.read().unwrap(), n));
    }
    let runs: u64 = report.providers.iter().map(|provider| provider.tasks).sum();
    assert!(runs < 6_000 + 1_500, "{runs} runs: what was verified stayed verified");
    soon(requester.stop()).await;
    assert!(place.reconciles().await);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_job_costs_no_transaction_even_after_a_restart() {
    let place = Place::new(&[None, None]).await;
    let keep = |config: &mut rialto_requester::RequesterConfig| config.patience.idle = 600;
    let job = || Job { policy: Policy::Replicate { n: 2 }, min_providers: 2, ..squares(20) };
    let requester = place.requester(keep).await;
    let first = soon(soon(requester.submit(job())).await.unwrap().wait()).await.unwrap();
    assert_eq!((first.outcome.clone(), first.transactions.len()), (Ok(()), 1));
    soon(requester.stop()).await;
    let requester = place.requester(keep).await;
    let second = soon(soon(requester.submit(job())).await.unwrap().wait()).await.unwrap();
    assert_eq!((second.outcome.clone(), second.transactions.len()), (Ok(()), 0));
    let of = |report: &rialto_requester::JobReport| {
        report.providers.iter().map(|p| p.deal).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(of(&first), of(&second), "the same deals");
    assert!(
        first.requester_paid >= 120 && second.requester_paid >= 120,
        "at least the task fees, each its own"
    );
    assert!(second.requester_paid < 2 * 120, "not the first job's as well");
    assert!(second.providers.iter().all(|provider| provider.tasks == 20), "only its own tasks");
    soon(requester.stop()).await;
    place.stop().await;
}
