//! System calls that mounts never make, denied by a filter (seccomp(2)): they fail with EPERM.
//!
//! What is denied is listed, not what is allowed: a mount makes most calls of files that there are, on SOURCE, and
//! a call that the C library begins to use must not become an I/O error of somebody's program. The unit
//! has a list of what is allowed.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, sock_filter,
};

/// What a denied call answers.
const ERROR: u32 = libc::EPERM.unsigned_abs();

/// The calls, with why they are there.
pub(super) const DENIED: [(&str, &[libc::c_long]); 8] = [
    (
        "other programs are started by the daemon",
        &[libc::SYS_execve, libc::SYS_execveat],
    ),
    (
        "other processes are not looked into, nor ended",
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_send_signal,
            libc::SYS_kill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
        ],
    ),
    (
        "nothing is put into the kernel, nor traced",
        &[
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
        ],
    ),
    (
        "swap is the daemon's",
        &[libc::SYS_swapon, libc::SYS_swapoff],
    ),
    (
        "the machine is not administered",
        &[
            libc::SYS_reboot,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_adjtimex,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
            libc::SYS_acct,
            libc::SYS_syslog,
            libc::SYS_vhangup,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
        ],
    ),
    (
        "mounts are made where the daemon is",
        &[libc::SYS_chroot, libc::SYS_pivot_root, libc::SYS_setns],
    ),
    (
        "keys are others'",
        &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl],
    ),
    (
        "what is asked for by io_uring passes no filter",
        &[
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ],
    ),
];

/// From here on, for good, those calls fail for this thread and all that it starts.
pub(super) fn deny() -> io::Result<()> {
    for program in [by_number()?, of_another_abi()] {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// The filter of the calls that are denied always, or with certain arguments.
fn by_number() -> io::Result<BpfProgram> {
    let denied = DENIED.iter().flat_map(|(_, calls)| *calls);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        denied.map(|call| (*call, Vec::new())).collect();
    let unless = |argument, value: libc::c_int| -> Result<_, seccompiler::BackendError> {
        let value = u64::from(value.unsigned_abs());
        let is_other =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)?;
        Ok(vec![SeccompRule::new(vec![is_other])?])
    };
    let conditions = || {
        // A thread has a umask of its own, but no namespace.
        Ok([
            (libc::SYS_unshare, unless(0, libc::CLONE_FS)?),
            // Not the network.
            (libc::SYS_socket, unless(0, libc::AF_UNIX)?),
        ])
    };
    rules.extend(conditions().map_err(seccomp_error)?);
    let architecture = std::env::consts::ARCH.try_into().map_err(seccomp_error)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(ERROR),
        architecture,
    );
    filter.and_then(BpfProgram::try_from).map_err(seccomp_error)
}

fn seccomp_error(error: seccompiler::BackendError) -> io::Error {
    io::Error::other(error)
}

/// Denies the calls of x32, which are those of x86-64 with another number (`__X32_SYSCALL_BIT`,
/// asm/unistd.h). On other architectures no call has such a number.
fn of_another_abi() -> BpfProgram {
    const X32: u32 = 1 << 30;
    let [load, compare, answer] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ]
    .map(|code| u16::try_from(code).unwrap_or_default());
    let instruction = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    vec![
        // The number is the first field of `struct seccomp_data`.
        instruction(load, 0, 0, 0),
        instruction(compare, X32, 0, 1),
        instruction(answer, libc::SECCOMP_RET_ERRNO | ERROR, 0, 0),
        instruction(answer, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What a call answers that has these arguments: 0, or the error's number.
    fn call(number: libc::c_long, argument: libc::c_long) -> i32 {
        // SAFETY: no call of the tests below has a pointer, or changes more than this thread.
        match unsafe { libc::syscall(number, argument, 0, 0) } {
            -1 => io::Error::last_os_error().raw_os_error().unwrap(),
            _ => 0,
        }
    }

    /// In a thread of its own, which the filter ends with.
    #[test]
    fn what_is_denied_fails_and_the_rest_does_not() {
        let filtered = || {
            deny().unwrap();
            for (why, calls) in DENIED {
                for number in calls {
                    // Those that would do something even with such arguments are not tried.
                    if ![libc::SYS_vhangup, libc::SYS_reboot].contains(number) {
                        assert_eq!(call(*number, -1), libc::EPERM, "{why}: {number}");
                    }
                }
            }
            for namespace in [libc::CLONE_NEWNS, libc::CLONE_FS | libc::CLONE_NEWUSER] {
                assert_eq!(call(libc::SYS_unshare, namespace.into()), libc::EPERM);
            }
            assert_eq!(call(libc::SYS_unshare, libc::CLONE_FS.into()), 0);
            for family in [libc::AF_INET, libc::AF_NETLINK, libc::AF_PACKET] {
                assert_eq!(call(libc::SYS_socket, family.into()), libc::EPERM);
            }
            // Sockets have no such type.
            assert_eq!(
                call(libc::SYS_socket, libc::AF_UNIX.into()),
                libc::ESOCKTNOSUPPORT
            );
            assert_eq!(call(libc::SYS_getpid | 1 << 30, 0), libc::EPERM);
            assert_eq!(call(libc::SYS_getpid, 0), 0);
        };
        thread::spawn(filtered).join().unwrap();
    }
}
