//! Being another user.

/// Does something as a user without rights, who is in these groups. Only a thread of its own
/// becomes that user.
///
/// # Panics
/// If this is not root, or `act` panics.
pub fn as_user<T: Send>(uid: u32, gid: u32, groups: &[u32], act: impl FnOnce() -> T + Send) -> T {
    let become_user = || {
        // SAFETY: the system calls change the calling thread alone (unlike libc's functions of
        // these names), which ends after `act`; the list of groups lives until the call returns.
        unsafe {
            assert_eq!(
                libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
                0
            );
            assert_eq!(libc::syscall(libc::SYS_setresgid, gid, gid, gid), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, uid, uid, uid), 0);
        }
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user();
            act()
        });
        thread.join().expect("what the user does")
    })
}
