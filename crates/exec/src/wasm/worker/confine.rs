//! What a worker gives up before it reads anything: memory and processor time beyond its limits,
//! files, the network, other processes, and all system calls but those that computing and answering
//! take. What a system lacks is said, not hidden.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::reply::PROTECTIONS;

/// Something that keeps an untrusted program from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// What it is.
    pub name: &'static str,
    /// Whether this host has it.
    pub holds: bool,
    /// What it is made of, or why there is none.
    pub why: String,
}

/// The results of confining.
pub(super) struct Confined {
    memory: Result<(), String>,
    cpu: Result<(), String>,
    landlock: Result<String, String>,
    filter: Result<(), String>,
}

/// Confines this process for good: `memory` bytes, `cpu` seconds.
pub(super) fn confine(memory: u64, cpu: u64) -> Confined {
    let limit = |resource, most: u64| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| error.to_string())
    };
    // Data, not address space: room that is only reserved takes no memory.
    let memory = limit(Resource::Data, memory);
    let cpu = limit(Resource::Cpu, cpu);
    for (resource, most) in [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, 16)] {
        let _ = limit(resource, most);
    }
    system::end_with_parent();
    let landlock = system::landlock();
    let filter = system::filter();
    Confined { memory, cpu, landlock, filter }
}

/// Tries what must not work.
pub(super) fn probe(confined: Confined) -> Vec<Protection> {
    let said = |result: Result<(), String>, with: &str| match result {
        Ok(()) => (true, with.to_owned()),
        Err(why) => (false, why),
    };
    let (Ok(why) | Err(why)) = confined.landlock;
    let denied = |works: bool, what: &str| {
        if works {
            (false, format!("{what} works; landlock: {why}"))
        } else {
            (true, format!("tried; landlock: {why}"))
        }
    };
    let files = std::fs::File::open("/").is_ok() || std::fs::read_dir("/proc/self").is_ok();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").is_ok();
    let filtered = said(confined.filter, "seccomp");
    let found = [
        (true, String::from("started for one program")),
        said(confined.memory.and_then(|()| refused_memory()), "RLIMIT_DATA, tried"),
        said(confined.cpu, "RLIMIT_CPU"),
        denied(files, "opening a file"),
        denied(udp || tcp, "a socket"),
        filtered,
    ];
    PROTECTIONS
        .iter()
        .zip(found)
        .map(|(name, (holds, why))| Protection { name, holds, why })
        .collect()
}

/// More memory than the limit can't be had.
fn refused_memory() -> Result<(), String> {
    let more = super::MEMORY_BYTES as usize + (1 << 20);
    match Vec::<u8>::new().try_reserve_exact(more) {
        Ok(()) => Err("RLIMIT_DATA is set, and more memory can be had all the same".into()),
        Err(_) => Ok(()),
    }
}

#[cfg(target_os = "linux")]
mod system {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
        RulesetStatus, Scope,
    };
    use rustix::process::{Signal, set_parent_process_death_signal};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };

    /// A worker whose parent is gone has nobody to answer.
    pub(super) fn end_with_parent() {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }

    /// No file, no TCP, no abstract socket and no signal outside: a ruleset without a rule. How
    /// much of it the kernel knows.
    pub(super) fn landlock() -> Result<String, String> {
        let said = |error: landlock::RulesetError| error.to_string();
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V6))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V6)))
            .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
            .and_then(|rules| rules.create())
            .and_then(|rules| rules.restrict_self())
            .map_err(said)?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok("all of it".into()),
            RulesetStatus::PartiallyEnforced => Ok("in part: this kernel is older".into()),
            RulesetStatus::NotEnforced => Err("this kernel has none".into()),
        }
    }

    /// System calls that computing and answering take; all others fail. Pages of code can't be
    /// made.
    pub(super) fn filter() -> Result<(), String> {
        let program = program().map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())
    }

    fn program() -> Result<BpfProgram, seccompiler::BackendError> {
        let free = [
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_close,
            libc::SYS_lseek,
            libc::SYS_fstat,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            libc::SYS_brk,
            libc::SYS_futex,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_restart_syscall,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_getpid,
            libc::SYS_gettid,
            libc::SYS_sched_yield,
            libc::SYS_sched_getaffinity,
            libc::SYS_getrandom,
            libc::SYS_clock_gettime,
            libc::SYS_clock_nanosleep,
            libc::SYS_membarrier,
        ];
        let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
            free.into_iter().map(|call| (call, Vec::new())).collect();
        let code = u64::from(libc::PROT_EXEC as u32);
        let no_code =
            SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(code), 0)?;
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![SeccompRule::new(vec![no_code.clone()])?]);
        }
        // `abort` sends itself a signal; nobody else gets one.
        let own = u64::from(std::process::id());
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
        rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]);
        let architecture = std::env::consts::ARCH.try_into()?;
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)?.try_into()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn end_with_parent() {}

    pub(super) fn landlock() -> Result<String, String> {
        Err("Linux only".into())
    }

    pub(super) fn filter() -> Result<(), String> {
        Err("Linux only".into())
    }
}
