//! Which job is meant. A name that means nothing, or several jobs, never ends, removes or writes
//! anything.

use anyhow::{Result, bail};
use rialto_client::{Home, Host, JobFolder};
use rialto_requester::{JobId, JobStatus};

use crate::named::MIN_ID;

/// Ids that a refusal lists.
const MAX_LISTED: usize = 5;

/// What is to be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Look at it: of several with one name the newest will do.
    Look,
    /// Do something that can't be taken back.
    Act,
}

/// A job of a host, by its id, the beginning of it, or its name.
pub async fn job(host: &Host, named: &str, what: Use) -> Result<JobStatus> {
    let jobs = host.jobs().await?;
    let known: Vec<(JobId, &str)> = jobs.iter().map(|job| (job.id, job.name.as_str())).collect();
    let at = choose(&known, named, what)?;
    Ok(jobs[at].clone())
}

/// Every ended job of this home, the newest first, as it was written down: whoever's account it
/// was, whichever market.
pub fn ended(home: &Home) -> Vec<(JobFolder, JobStatus)> {
    let known = JobFolder::all(home).into_iter().filter_map(|folder| {
        let status = folder.status().ok().flatten()?;
        Some((folder, status))
    });
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|(_, status)| std::cmp::Reverse((status.submitted, status.id)));
    known
}

/// A job's folder, without a host, a market or a chain.
pub fn folder(home: &Home, named: &str) -> Result<JobFolder> {
    let mut folders: Vec<(JobFolder, JobId, String)> = Vec::new();
    for folder in JobFolder::all(home) {
        let Some(id) = folder.id() else { continue };
        let name = match folder.status() {
            Ok(Some(status)) => status.name,
            _ => {
                let submitted = folder.file().map(|file| file.name);
                submitted.or_else(|| Some(folder.report().ok()??.name)).unwrap_or_default()
            }
        };
        folders.push((folder, id, name));
    }
    let known: Vec<(JobId, &str)> =
        folders.iter().map(|(_, id, name)| (*id, name.as_str())).collect();
    let at = choose(&known, named, Use::Act)?;
    Ok(folders.swap_remove(at).0)
}

/// The place of the one that is meant; the newest come first.
pub fn choose(jobs: &[(JobId, &str)], named: &str, what: Use) -> Result<usize> {
    let said = named.trim();
    let digits = said.to_ascii_lowercase();
    if said.is_empty() {
        bail!(failure!(
            Usage,
            "C-JOB-012",
            "no job was named: write its id, the beginning of it, or its name"
        ));
    }
    if let Some(exact) = jobs.iter().position(|(id, _)| id.to_string() == digits) {
        return Ok(exact);
    }
    let places = |fits: &dyn Fn(JobId, &str) -> bool| -> Vec<usize> {
        jobs.iter()
            .enumerate()
            .filter(|(_, (id, name))| fits(*id, name))
            .map(|(at, _)| at)
            .collect()
    };
    let by_name = places(&|_, name| name == said);
    let begins = places(&|id, _| id.to_string().starts_with(&digits));
    let by_id = if digits.len() < MIN_ID { &[][..] } else { &begins };
    let mut all: Vec<usize> = by_name.iter().chain(by_id).copied().collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [one] => Ok(*one),
        [newest, ..] if what == Use::Look && by_id.is_empty() => Ok(*newest),
        [] if !begins.is_empty() => {
            bail!(failure!(
                Usage,
                "C-JOB-012",
                "no job is called {said}; of an id at least {MIN_ID} digits are needed"
            ))
        }
        [] => {
            bail!(failure!(Usage, "C-JOB-012", "there is no job {said}: `rialto jobs` lists them"))
        }
        several => {
            let ids: Vec<String> =
                several.iter().take(MAX_LISTED).map(|at| jobs[*at].0.to_string()).collect();
            let more = if several.len() > MAX_LISTED { ", …" } else { "" };
            bail!(failure!(
                Usage,
                "C-JOB-011",
                "{said} means {} jobs: {}{more}: write the id",
                several.len(),
                ids.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_job_or_none() {
        let jobs = [
            (JobId(0x3f2a_0000_0000_0001), "pricing"),
            (JobId(0x3f2a_0000_0000_0002), "words"),
            (JobId(0xabcd_0000_0000_0003), "words"),
            (JobId(0xabce_0000_0000_0004), "3f2a"),
            (JobId(0x0000_0000_0000_0005), "abcd"),
            (JobId(0x1234_0000_0000_0006), "two words"),
            (JobId(0x5678_0000_0000_0007), ""),
        ];
        let means = |named: &str, what: Use| match choose(&jobs, named, what) {
            Ok(at) => Ok(jobs[at].0.0 & 0xf),
            Err(why) => Err(crate::exit::code_of(&why.to_string()).unwrap().to_owned()),
        };
        let none = || Err("C-JOB-012".to_owned());
        let several = || Err("C-JOB-011".to_owned());
        let table = [
            ("3f2a000000000001", Ok(1)),
            ("3F2A000000000002", Ok(2)),
            ("0000000000000005", Ok(5)),
            ("pricing", Ok(1)),
            ("two words", Ok(6)),
            (" pricing ", Ok(1)),
            ("1234", Ok(6)),
            ("abce", Ok(4)),
            ("", none()),
            ("  ", none()),
            ("\t\n", none()),
            ("1", none()),
            ("123", none()),
            ("5", none()),
            ("pric", none()),
            ("Pricing", none()),
            ("*", none()),
            ("0x1234", none()),
            ("3f2a", several()),
            ("abcd", several()),
        ];
        for (named, meant) in table {
            assert_eq!(means(named, Use::Act), meant, "{named:?}");
            assert_eq!(means(named, Use::Look), meant, "{named:?}");
        }
        assert_eq!(
            (means("words", Use::Act), means("words", Use::Look)),
            (several(), Ok(2)),
            "to look at, the newest"
        );
        assert!(choose(&jobs[..1], "", Use::Act).is_err(), "not even the only one");
    }
}
