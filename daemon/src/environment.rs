//! The environment of a program that runs with more rights than whoever has started it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Where programs are looked for then.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that only say how text looks.
const HARMLESS: [&[u8]; 5] = [b"COLUMNS", b"LANG", b"LANGUAGE", b"NO_COLOR", b"TERM"];

/// Removes what the starter could steer this program by, if it runs with rights that the starter lacks: a
/// set-user-id or set-group-id program, or one with file capabilities (as secure_getenv(3)). All of
/// `COMPCACHE_*` goes, and directories; `PATH` becomes the system's. To be called first of all,
/// before another thread is started.
pub fn distrust_environment() {
    if !has_more_rights() {
        return;
    }
    let names: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in names.iter().filter(|name| !is_harmless(name)) {
        // SAFETY: the program has no other thread yet, which could read the environment.
        unsafe { std::env::remove_var(name) };
    }
    // SAFETY: as above.
    unsafe { std::env::set_var("PATH", PATH) };
}

fn has_more_rights() -> bool {
    // SAFETY: the call reads what the kernel has given this process at its start.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    secure
        || rustix::process::geteuid() != rustix::process::getuid()
        || rustix::process::getegid() != rustix::process::getgid()
}

fn is_harmless(name: &OsStr) -> bool {
    let name = name.as_bytes();
    HARMLESS.contains(&name) || name.starts_with(b"LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_program_is_not_harmless() {
        for name in ["TERM", "LANG", "LC_ALL"] {
            assert!(is_harmless(OsStr::new(name)), "{name}");
        }
        for name in [
            "COMPCACHE_DEV_DIR",
            "PATH",
            "XDG_RUNTIME_DIR",
            "TMPDIR",
            "NOTIFY_SOCKET",
        ] {
            assert!(!is_harmless(OsStr::new(name)), "{name}");
        }
    }
}
