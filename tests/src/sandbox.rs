//! What a unit of systemd leaves a program of root's capabilities and of the kernel's system calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use compcache_test_support::needs;

use crate::outcome::Outcome;
use crate::unit::Unit;

/// Capabilities by their numbers, capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The number of the processor's system calls, linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where `struct seccomp_data` has the number of the call, the architecture, and the lower halves of the
/// first two arguments (of a little-endian processor).
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const FIRST_AT: u32 = 16;
const SECOND_AT: u32 = 24;

/// The flags of unshare(2) and clone(2) that make namespaces, but for that of time, which is another thing
/// to clone(2).
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// prctl(2): no memory becomes executable that was writable, Linux 6.3.
const PR_SET_MDWE: libc::c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// The most instructions of a filter, `BPF_MAXINSNS`.
const MOST: usize = 4096;

/// Capabilities and system calls; what is missing is refused, or ends the program. So do namespaces,
/// realtime policies and (from Linux 6.3 on) memory that becomes executable, if the unit restricts
/// them.
#[derive(Clone)]
pub struct Sandbox {
    dropped: Vec<usize>,
    filter: Vec<libc::sock_filter>,
    no_new_code: bool,
}

impl Sandbox {
    /// That of a unit; `None`, after saying so, if this machine can't tell its system calls' names.
    ///
    /// # Panics
    /// If the unit names a capability, a system call or a group of them that is not known.
    #[must_use]
    pub fn of(unit: &Unit) -> Option<Sandbox> {
        if !needs::programs(&["systemd-analyze", "gcc"]) {
            return None;
        }
        let kept: BTreeSet<&str> = unit.words("CapabilityBoundingSet").collect();
        let unknown: Vec<_> = kept
            .iter()
            .filter(|name| !CAPABILITIES.contains(name))
            .collect();
        assert!(unknown.is_empty(), "unknown capabilities: {unknown:?}");
        let dropped = (0..CAPABILITIES.len())
            .filter(|n| !kept.contains(CAPABILITIES[*n]))
            .collect();
        let is_set = |key| unit.values(key).any(|value| value == "yes");
        let filter = filter(
            &allowed(unit),
            is_set("RestrictNamespaces"),
            is_set("RestrictRealtime"),
        );
        Some(Sandbox {
            dropped,
            filter,
            no_new_code: is_set("MemoryDenyWriteExecute"),
        })
    }

    /// Has a program run within it.
    pub fn confine(&self, command: &mut Command) {
        let Sandbox {
            dropped,
            filter,
            no_new_code,
        } = self.clone();
        let confine = move || {
            for capability in &dropped {
                // A kernel that does not know it does not have it.
                // SAFETY: takes numbers only, and changes the new process alone.
                if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability) } != 0 {
                    let error = io::Error::last_os_error();
                    if error.raw_os_error() != Some(libc::EINVAL) {
                        return Err(error);
                    }
                }
            }
            if no_new_code {
                let none: libc::c_ulong = 0;
                // A kernel that does not know it goes without.
                // SAFETY: takes numbers only, and changes the new process alone.
                unsafe { libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, none, none, none) };
            }
            let program = libc::sock_fprog {
                // At most `MOST`.
                len: filter.len() as u16,
                filter: filter.as_ptr().cast_mut(),
            };
            // SAFETY: the calls read the program, which lives until they return, and change the new
            // process alone.
            unsafe {
                if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                    || libc::prctl(
                        libc::PR_SET_SECCOMP,
                        libc::SECCOMP_MODE_FILTER,
                        &raw const program,
                    ) != 0
                {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls alone, and frees nothing.
        unsafe { command.pre_exec(confine) };
    }
}

/// The system calls that a unit allows, by name.
fn allowed(unit: &Unit) -> BTreeSet<String> {
    let mut command = Command::new("systemd-analyze");
    let groups = Outcome::of(command.args(["syscall-filter", "--no-pager"])).success();
    let groups = groups_of(&groups);
    let mut names = BTreeSet::new();
    expand("@default", &groups, &mut names);
    for value in unit.values("SystemCallFilter") {
        let mut listed = BTreeSet::new();
        for word in value.trim_start_matches('~').split_whitespace() {
            expand(word, &groups, &mut listed);
        }
        if value.starts_with('~') {
            names.retain(|name| !listed.contains(name));
        } else {
            names.append(&mut listed);
        }
    }
    names
}

/// Groups of system calls as systemd-analyze prints them: each name at the beginning of a line, and what
/// is in it indented.
fn groups_of(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            current = Some(word);
        } else if let Some(group) = current {
            groups.entry(group).or_default().push(word);
        }
    }
    groups
}

fn expand(word: &str, groups: &BTreeMap<&str, Vec<&str>>, names: &mut BTreeSet<String>) {
    if !word.starts_with('@') {
        names.insert(word.to_owned());
        return;
    }
    let members = groups.get(word);
    for member in members.unwrap_or_else(|| panic!("no group {word}")) {
        expand(member, groups, names);
    }
}

/// Numbers of system calls by the C library's header.
fn numbers() -> BTreeMap<String, u32> {
    let mut command = Command::new("gcc");
    let arguments = [
        "-E",
        "-dM",
        "-include",
        "sys/syscall.h",
        "-x",
        "c",
        "/dev/null",
    ];
    let text = Outcome::of(command.args(arguments)).success();
    let number = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(number).collect()
}

/// A filter that ends the process at any call that is not among these, and at one that asks for a
/// namespace or a realtime policy, if these are refused.
fn filter(names: &BTreeSet<String>, namespaces: bool, realtime: bool) -> Vec<libc::sock_filter> {
    let numbers = numbers();
    assert!(
        numbers.contains_key("read"),
        "the header has no system calls"
    );
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let give = |what| step(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    // The next step if it is this, otherwise the one after.
    let is = |value| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, value);
    let isnt = |value| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, value);
    let mut steps = vec![
        load(ARCHITECTURE_AT),
        isnt(ARCHITECTURE),
        give(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_AT),
    ];
    let has_any = |bits| step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, bits);
    // Of a call: loads an argument, ends the process if one of the tests is true, and allows the rest.
    let restrict = |call: &str, at, tests: &[libc::sock_filter]| {
        let after = u8::try_from(2 + 2 * tests.len()).expect("a short jump");
        let mut part = vec![is(numbers[call]), load(at)];
        part[0].jf = after;
        for test in tests {
            part.extend([*test, give(libc::SECCOMP_RET_KILL_PROCESS)]);
        }
        part.push(give(libc::SECCOMP_RET_ALLOW));
        part
    };
    if namespaces {
        steps.extend(restrict("unshare", FIRST_AT, &[has_any(NAMESPACES)]));
        steps.extend(restrict("clone", FIRST_AT, &[has_any(NAMESPACES)]));
        // Its flags are in memory: the C library takes clone then.
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        steps.extend([is(numbers["clone3"]), give(refused)]);
    }
    if realtime {
        let policies = [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE];
        let tests = policies.map(|policy| is(policy as u32));
        steps.extend(restrict("sched_setscheduler", SECOND_AT, &tests));
    }
    for number in names.iter().filter_map(|name| numbers.get(name)) {
        steps.extend([is(*number), give(libc::SECCOMP_RET_ALLOW)]);
    }
    steps.push(give(libc::SECCOMP_RET_KILL_PROCESS));
    assert!(steps.len() <= MOST, "{} instructions", steps.len());
    steps
}
