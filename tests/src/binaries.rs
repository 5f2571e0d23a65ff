//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of one of the workspace's programs: `compcached`, `compcache` or `rzscontrol`.
///
/// `cargo test` builds the programs of a package only for that package's own tests. So the first
/// call runs `cargo build` for the whole workspace, in the profile and target directory of this
/// test (found by its own path, `TARGET/PROFILE/deps/NAME`); if all is fresh that takes a
/// fraction of a second. With `COMPCACHE_BIN_DIR` set, the programs in that directory are tested
/// instead and nothing is built.
///
/// # Panics
/// If the build fails or the program is not there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let path = DIRECTORY
        .get_or_init(|| {
            take_signals();
            directory()
        })
        .join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// Has this process, and so what it starts, take SIGHUP and SIGINT as one does that a user has started. In
/// a job behind `&` or `nohup` they are ignored, which the tests inherit.
fn take_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT] {
        // SAFETY: no handler is set or replaced: the signal ends this process, as it would have.
        let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
        assert_ne!(before, libc::SIG_ERR, "signal {signal}");
    }
}

/// The path of one of this package's own programs, which Cargo builds beside the tests' directory.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn test_program(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// `TARGET/PROFILE`.
fn profile_directory() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let profile = own.parent().and_then(Path::parent);
    profile
        .expect("a test lies in TARGET/PROFILE/deps")
        .to_owned()
}

fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("COMPCACHE_BIN_DIR") {
        return directory.into();
    }
    let profile = profile_directory();
    let target = profile.parent().expect("PROFILE lies in TARGET");
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--workspace", "--bins", "--target-dir"])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(name) => {
            build.args(["--profile", name]);
        }
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "{build:?} failed");
    profile
}
