//! A daemon keeps nothing of what its starter happened to have.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use compcache_host::proc;
use compcache_tests::{
    Bed, Cgroup, MIB, Outcome, Running, binary, limits, proc_file, status_word, until, wait_until,
};
use compcached::Client;

/// What a limit of a daemon may be.
enum Wanted {
    Unlimited,
    AtLeast(u64),
    None,
    /// It does not matter here.
    Any,
}

/// Each limit that Linux has, as /proc/PID/limits calls it.
const LIMITS: [(&str, Wanted); 16] = [
    ("Max cpu time", Wanted::Unlimited),
    ("Max file size", Wanted::Unlimited),
    ("Max data size", Wanted::Unlimited),
    ("Max stack size", Wanted::AtLeast(8 << 20)),
    // What a daemon holds is everybody's memory.
    ("Max core file size", Wanted::None),
    // Of no effect since Linux 2.4.30.
    ("Max resident set", Wanted::Any),
    ("Max processes", Wanted::AtLeast(4096)),
    ("Max open files", Wanted::AtLeast(4096)),
    // Root locks as much as it likes (CAP_IPC_LOCK).
    ("Max locked memory", Wanted::Any),
    ("Max address space", Wanted::Unlimited),
    // Not used: locks are those of the sources' file systems, which the caller's limit bounds.
    ("Max file locks", Wanted::Any),
    ("Max pending signals", Wanted::AtLeast(4096)),
    // Neither POSIX message queues nor priorities are used.
    ("Max msgqueue size", Wanted::Any),
    ("Max nice priority", Wanted::Any),
    ("Max realtime priority", Wanted::Any),
    ("Max realtime timeout", Wanted::Unlimited),
];

/// ioprio_set(2) and ioprio_get(2): of one process; the idle class.
const ONE_PROCESS: libc::c_int = 1;
const IDLE_CLASS: libc::c_int = 3 << 13;

fn check(done: libc::c_int) -> io::Result<()> {
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether this process may raise hard limits (CAP_SYS_RESOURCE): root in a container may not.
fn may_raise() -> bool {
    const SYS_RESOURCE: u32 = 24;
    let mask = u64::from_str_radix(&status_word(std::process::id(), "CapEff"), 16);
    mask.expect("a mask") >> SYS_RESOURCE & 1 == 1
}

fn block_all_signals() -> io::Result<()> {
    // SAFETY: a set is filled and read; both calls may be made between fork and exec.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null_mut(),
        ))
    }
}

/// Burdens a program with all that a daemon is not to keep.
fn burden(command: &mut Command, held: &fs::File) {
    let held = held.as_raw_fd();
    let hard_too = may_raise();
    let change = move || {
        for (resource, soft, hard) in [
            (libc::RLIMIT_FSIZE, 1000 << 10, 1000 << 10),
            (libc::RLIMIT_CPU, 1000, 1000),
            (libc::RLIMIT_STACK, 256 << 10, 1 << 20),
            (libc::RLIMIT_NOFILE, 100, 100),
            (libc::RLIMIT_DATA, 1 << 33, 1 << 33),
            (libc::RLIMIT_AS, 1 << 34, 1 << 34),
            (libc::RLIMIT_NPROC, 2000, 2000),
            (libc::RLIMIT_SIGPENDING, 100, 100),
            (libc::RLIMIT_RTTIME, 1000, 1000),
        ] {
            let mut limit = libc::rlimit {
                rlim_cur: soft,
                rlim_max: hard,
            };
            // SAFETY: each call reads or fills one structure.
            unsafe {
                if !hard_too {
                    check(libc::getrlimit(resource, &raw mut limit))?;
                    limit.rlim_cur = soft;
                }
                check(libc::setrlimit(resource, &raw const limit))?;
            }
        }
        block_all_signals()?;
        // SAFETY: system calls that may be made between fork and exec; each reads or fills what it
        // is given, and changes the new process only.
        unsafe {
            for signal in [libc::SIGHUP, libc::SIGCHLD, libc::SIGUSR1, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_IGN);
            }
            check(libc::dup2(held, 50))?;
            check(libc::setpriority(libc::PRIO_PROCESS, 0, 5))?;
            let mut first: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut first);
            check(libc::sched_setaffinity(
                0,
                size_of_val(&first),
                &raw const first,
            ))?;
            let none = libc::sched_param { sched_priority: 0 };
            check(libc::sched_setscheduler(
                0,
                libc::SCHED_BATCH,
                &raw const none,
            ))?;
            let done = libc::syscall(libc::SYS_ioprio_set, ONE_PROCESS, 0, IDLE_CLASS);
            check(done as libc::c_int)
        }
    };
    // SAFETY: the closure only makes system calls, as its comments argue.
    unsafe { command.pre_exec(change) };
}

/// The signals of a mask, without the two that the C library keeps for itself and cannot be asked to
/// change.
fn signals(pid: u32, key: &str) -> Vec<i32> {
    let mask = u64::from_str_radix(&status_word(pid, key), 16).expect("a mask");
    let own = 32..=33;
    let all = (1..=64).filter(|n| !own.contains(n));
    all.filter(|n| mask >> (n - 1) & 1 == 1).collect()
}

/// The C library blocks all signals while it starts a thread.
fn wait_for_no_blocked_signal(pid: u32) {
    wait_until("no signal to be blocked", || {
        signals(pid, "SigBlk").is_empty()
    });
}

/// The fields of /proc/PID/stat by their numbers in proc(5), from 3 on.
fn stat(pid: u32, number: usize) -> String {
    let text = proc_file(pid, "stat");
    let mut fields = proc::stat_fields(&text).expect("fields");
    let field = fields.nth(number - 3).expect("a field");
    String::from_utf8_lossy(field).into_owned()
}

fn assert_limits(pid: u32) {
    let limits = limits(pid);
    for limit in &limits {
        let known = LIMITS.iter().find(|(name, _)| *name == limit.name);
        let (_, wanted) = known.unwrap_or_else(|| panic!("an unknown limit: {limit:?}"));
        let right = match wanted {
            Wanted::Any => true,
            Wanted::Unlimited => limit.soft == "unlimited",
            Wanted::None => limit.soft == "0" && limit.hard == "0",
            Wanted::AtLeast(least) => {
                limit.soft == "unlimited" || limit.soft.parse::<u64>().expect("a number") >= *least
            }
        };
        assert!(right, "{limit:?}");
    }
    assert_eq!(limits.len(), LIMITS.len());
}

#[test]
fn a_daemon_that_a_command_starts_has_nothing_of_the_command() {
    let Some(bed) = Bed::new() else { return };
    let group = Cgroup::new(96 * MIB);
    let held = tempfile::tempfile().expect("a file");
    let on_bed = |arguments: &[&str]| {
        let mut command = group.command(&binary("compcache"));
        bed.set_environment(&mut command);
        command.args(arguments);
        burden(&mut command, &held);
        command
    };
    let on = ["swap", "on", "--size", "64M", "--driver", "user"];
    Outcome::of(&mut on_bed(&on)).success();
    let (daemon, _) = bed.status();
    let pid = daemon.pid;
    let kept = daemon
        .warnings
        .iter()
        .find(|text| text.contains("whoever started"));
    assert_eq!(kept, None);

    wait_for_no_blocked_signal(pid);
    let ignored = [libc::SIGHUP, libc::SIGPIPE, libc::SIGXFSZ];
    assert_eq!(signals(pid, "SigIgn"), ignored);
    assert_limits(pid);
    assert_eq!((stat(pid, 19), stat(pid, 41)), ("0".into(), "0".into()));
    assert_eq!(
        status_word(pid, "Cpus_allowed_list"),
        status_word(1, "Cpus_allowed_list")
    );
    // SAFETY: takes numbers only.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, ONE_PROCESS, pid) };
    assert_ne!(priority as libc::c_int >> 13, IDLE_CLASS >> 13);
    let own = String::from_utf8_lossy(&proc_file(pid, "cgroup")).into_owned();
    assert!(!own.contains("compcache-test"), "{own}");
    let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("descriptors")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| target.contains("(deleted)") && !target.starts_with("/memfd:"))
        .collect();
    assert_eq!(open, [""; 0]);

    Outcome::of(&mut on_bed(&["swap", "off"])).success();
    drop(group);
    bed.assert_nothing_left();
}

#[test]
fn an_ignored_hangup_stays_ignored_and_a_blocked_sigterm_ends_the_daemon() {
    let Some(bed) = Bed::new() else { return };
    let mut command = bed.command("compcached");
    command.args(["--num-devices", "1"]);
    // SAFETY: as in `burden`.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            block_all_signals()
        })
    };
    let daemon = Running::start(&mut command);
    until("the daemon's socket", || {
        Client::connect_now(&bed.runtime_dir()).ok()
    });
    wait_for_no_blocked_signal(daemon.pid());
    assert!(signals(daemon.pid(), "SigIgn").contains(&libc::SIGHUP));
    daemon.signal(libc::SIGHUP);
    assert_eq!(bed.status().0.pid, daemon.pid());
    daemon.signal(libc::SIGTERM);
    daemon.finish().success();
    bed.assert_nothing_left();
}

#[test]
fn a_limit_that_would_kill_the_daemon_is_refused_by_name() {
    let Some(bed) = Bed::new() else { return };
    let mut command = Command::new(bed.copy_of("compcached"));
    bed.set_environment(&mut command);
    command.uid(65534).gid(65534).current_dir("/");
    // SAFETY: as in `burden`.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 100,
                rlim_max: 100,
            };
            check(libc::setrlimit(libc::RLIMIT_CPU, &raw const limit))
        })
    };
    let outcome = Outcome::of(&mut command);
    outcome.refused(&[
        "CPU time in seconds",
        "ulimit -t",
        "100",
        "start it without",
    ]);
}
