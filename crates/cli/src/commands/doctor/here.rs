//! What this machine must do, market or not.

use std::{
    net::{Ipv4Addr, UdpSocket},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rialto_client::{Home, view::Check};
use rialto_exec::{Engine, Limits, SharedData};
use rialto_machine::{input::TaskInput, output};

use super::{failed, warning, well};
use crate::{env::hardware::Machine, samples::TINY};

/// Free space below which nothing works for long, and below which providers soon refuse work,
/// bytes.
const SPACE_FAILED: u64 = 256 << 20;
const SPACE_WARNING: u64 = 4 << 30;
/// Open files: what one node needs, and what one with many sessions needs.
const FILES_FAILED: u64 = 256;
const FILES_WARNING: u64 = 4096;
/// Memory below which the largest task that providers take by default does not fit, bytes.
const MEMORY_WARNING: u64 = 1 << 30;
/// Longest wait for a packet to oneself.
const PACKET_PATIENCE: Duration = Duration::from_secs(2);
/// What the tiny program squares, and what it may burn for it.
const NUMBER: u64 = 123_456_789;
const TINY_FUEL: u64 = 1_000_000;

/// The data folder: there or makeable, one's own, not for others.
pub fn home(home: &Home) -> Check {
    const NAME: &str = "home";
    let path = home.path();
    let shown = path.display();
    let Ok(about) = std::fs::metadata(path) else {
        return match nearest(path).map(writable) {
            Some(Ok(())) => well(NAME, format!("{shown} will be made")),
            _ => failed(
                NAME,
                "C-DOC-001",
                format!("{shown} can't be made"),
                "pass --home DIR, or set RIALTO_HOME",
            ),
        };
    };
    if !about.is_dir() {
        return failed(
            NAME,
            "C-DOC-001",
            format!("{shown} is no folder"),
            "pass --home DIR, or move it away",
        );
    }
    if let Err(why) = writable(path) {
        return failed(
            NAME,
            "C-DOC-001",
            format!("{shown}: {why}"),
            "make it yours: `chown`, or pass --home DIR",
        );
    }
    match about.permissions().mode() & 0o077 {
        0 => well(NAME, shown.to_string()),
        open => warning(
            NAME,
            "C-DOC-001",
            format!("{shown} is open to others (mode {:o})", 0o700 | open),
            format!("chmod 700 {shown}"),
        ),
    }
}

/// The first folder above that exists.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|above| above.is_dir())
}

fn writable(folder: &Path) -> std::io::Result<()> {
    tempfile::Builder::new().prefix(".rialto-doctor-").tempfile_in(folder).map(drop)
}

/// Room for programs, blobs and journals.
pub fn space(home: &Home) -> Check {
    const NAME: &str = "space";
    let Some(folder) = nearest(home.path()) else {
        return failed(NAME, "C-DOC-002", "there is no such folder", "pass --home DIR");
    };
    match rustix::fs::statvfs(folder) {
        Err(why) => warning(NAME, "C-DOC-002", format!("unknown: {why}"), "look with `df`"),
        Ok(about) => {
            let free = about.f_bavail.saturating_mul(about.f_frsize);
            let found = format!("{} MiB free in {}", free >> 20, folder.display());
            match free {
                ..SPACE_FAILED => {
                    failed(NAME, "C-DOC-002", found, "make room, or pass --home on another disk")
                }
                SPACE_FAILED..SPACE_WARNING => warning(
                    NAME,
                    "C-DOC-002",
                    found,
                    "make room: programs, inputs and outputs are kept there",
                ),
                _ => well(NAME, found),
            }
        }
    }
}

/// Keystores that nobody else can read.
pub fn keys(home: &Home) -> Check {
    const NAME: &str = "keys";
    let folder = home.wallet();
    let Ok(about) = std::fs::metadata(&folder) else {
        return well(
            NAME,
            "no wallet yet: `rialto wallet create` makes one; the local market needs none",
        );
    };
    let mut open = Vec::new();
    if about.permissions().mode() & 0o077 != 0 {
        open.push((folder.clone(), "700"));
    }
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        count += 1;
        if entry.metadata().is_ok_and(|about| about.mode() & 0o077 != 0) {
            open.push((path, "600"));
        }
    }
    match open.first() {
        None => well(NAME, format!("{count} accounts in {}", folder.display())),
        Some((path, mode)) => failed(
            NAME,
            "C-DOC-003",
            format!("{} can be read by others ({} such)", path.display(), open.len()),
            format!("chmod {mode} {}", path.display()),
        ),
    }
}

/// Sockets, sessions and journals are open files.
pub fn open_files() -> Check {
    const NAME: &str = "files";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match soft_limit(&limits) {
        None => warning(
            NAME,
            "C-DOC-004",
            "the limit of open files is unknown",
            "look with `ulimit -n`",
        ),
        Some(limit) => {
            let found = format!("{limit} may be open at once");
            let more = "ulimit -n 16384 (a service: LimitNOFILE=16384)";
            match limit {
                ..FILES_FAILED => failed(NAME, "C-DOC-004", found, more),
                FILES_FAILED..FILES_WARNING => warning(NAME, "C-DOC-004", found, more),
                u64::MAX => well(NAME, "any number may be open at once"),
                _ => well(NAME, found),
            }
        }
    }
}

/// Of `/proc/self/limits`, the soft limit of open files.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Cores, and what the compiler of programs likes to have.
pub fn processor() -> Check {
    const NAME: &str = "processor";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (there, missing) = features();
    let found = format!("{cores} cores, {}, {}", std::env::consts::ARCH, there.join(" "));
    if !matches!(std::env::consts::ARCH, "x86_64" | "aarch64") {
        return failed(
            NAME,
            "C-DOC-005",
            found,
            "programs are compiled for x86_64 and aarch64 only",
        );
    }
    match missing.is_empty() {
        true => well(NAME, found),
        false => warning(
            NAME,
            "C-DOC-005",
            format!("{found}; without {}", missing.join(" ")),
            "programs run, but slower: some instructions become calls; a virtual machine may hide what the processor has",
        ),
    }
}

/// Features that are used where they are: those here, and those missing.
#[cfg(target_arch = "x86_64")]
fn features() -> (Vec<&'static str>, Vec<&'static str>) {
    let all = [
        ("sse4.1", std::arch::is_x86_feature_detected!("sse4.1")),
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("popcnt", std::arch::is_x86_feature_detected!("popcnt")),
        ("lzcnt", std::arch::is_x86_feature_detected!("lzcnt")),
        ("bmi1", std::arch::is_x86_feature_detected!("bmi1")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
    ];
    let (there, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, is)| *is);
    let names = |list: Vec<(&'static str, bool)>| list.into_iter().map(|(name, _)| name).collect();
    (names(there), names(missing))
}

/// Elsewhere the baseline has what is needed.
#[cfg(not(target_arch = "x86_64"))]
fn features() -> (Vec<&'static str>, Vec<&'static str>) {
    (Vec::new(), Vec::new())
}

/// Memory that would be lent to tasks.
pub fn memory() -> Check {
    const NAME: &str = "memory";
    let Machine { memory_bytes, .. } = Machine::detect();
    let found = format!("{} MiB for tasks", memory_bytes >> 20);
    match memory_bytes {
        ..MEMORY_WARNING => warning(
            NAME,
            "C-DOC-006",
            found,
            "tasks that need a whole GiB can't run here; give it more, or look at its cgroup",
        ),
        _ => well(NAME, found),
    }
}

/// A program is compiled, run, and right.
pub fn engine() -> Check {
    const NAME: &str = "engine";
    match square() {
        Ok((compiled, ran)) => well(
            NAME,
            format!(
                "a tiny program compiled in {} ms, ran in {} µs, and is right",
                compiled.as_millis(),
                ran.as_micros()
            ),
        ),
        Err(why) => failed(
            NAME,
            "C-DOC-007",
            format!("{why:#}"),
            "programs can't run here: a noexec or full temporary folder, or a system that forbids memory to become code",
        ),
    }
}

fn square() -> Result<(Duration, Duration)> {
    let cache = tempfile::Builder::new().prefix("rialto-").tempdir()?;
    let engine = Engine::new(rialto_exec::Config::new(cache.path()))?;
    let start = Instant::now();
    let program = engine.prepare(TINY)?;
    let compiled = start.elapsed();
    let task = TaskInput {
        argv: vec![b"tiny".to_vec()],
        stdin: NUMBER.to_le_bytes().to_vec(),
        ..TaskInput::default()
    };
    let limits = Limits { fuel: TINY_FUEL, out_bytes: 1 << 10, max_pages: 64 };
    let start = Instant::now();
    let outcome = engine.run(&program, &task.encode()?, &SharedData::none(), &limits, 0)?;
    let ran = start.elapsed();
    let stdout = output::parse(&outcome.output).context("the output is malformed")?.stdout;
    ensure!(
        stdout == (NUMBER * NUMBER).to_le_bytes(),
        "the square of {NUMBER} came out as {stdout:?}"
    );
    Ok((compiled, ran))
}

/// QUIC is UDP: a packet to oneself arrives.
pub fn loopback() -> Check {
    const NAME: &str = "udp";
    let there_and_back = || -> std::io::Result<u16> {
        let (one, two) = (
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        );
        two.set_read_timeout(Some(PACKET_PATIENCE))?;
        one.send_to(b"rialto", two.local_addr()?)?;
        let mut bytes = [0; 16];
        let (length, from) = two.recv_from(&mut bytes)?;
        if &bytes[..length] != b"rialto" || from != one.local_addr()? {
            return Err(std::io::Error::other("another packet came"));
        }
        Ok(from.port())
    };
    match there_and_back() {
        Ok(_) => well(NAME, "a packet on loopback arrives"),
        Err(why) => failed(
            NAME,
            "C-DOC-008",
            format!("no packet on loopback: {why}"),
            "bring the loopback interface up, and let local firewalls pass UDP",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_client::view::CheckState;

    #[test]
    fn this_machine_runs_programs() {
        assert_eq!(engine().state, CheckState::Ok, "{:?}", engine());
        assert_eq!(loopback().state, CheckState::Ok);
        assert_ne!(processor().state, CheckState::Failed);
    }

    #[test]
    fn folders_and_keys_of_others_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let own = Home::new(folder.path());
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
        };
        mode(folder.path(), 0o700);
        assert_eq!(
            (home(&own).state, keys(&own).state, space(&own).state == CheckState::Failed),
            (CheckState::Ok, CheckState::Ok, false)
        );
        mode(folder.path(), 0o755);
        assert_eq!(home(&own).state, CheckState::Warning);
        let wallet = own.wallet();
        std::fs::create_dir(&wallet).unwrap();
        mode(&wallet, 0o700);
        std::fs::write(wallet.join("a.json"), "{}").unwrap();
        mode(&wallet.join("a.json"), 0o640);
        let found = keys(&own);
        assert_eq!(found.state, CheckState::Failed);
        assert!(found.what_to_do.unwrap().starts_with("chmod 600 "));
        assert_eq!(
            home(&Home::new(folder.path().join("new/one"))).state,
            CheckState::Ok,
            "it can be made"
        );
        assert_eq!(
            home(&Home::new(wallet.join("a.json"))).state,
            CheckState::Failed,
            "it is a file"
        );
    }

    #[test]
    fn the_soft_limit_counts() {
        let text = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(soft_limit(""), None);
    }
}
