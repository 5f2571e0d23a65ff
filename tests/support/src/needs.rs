//! What a test needs of the machine. A test asks before it begins, and returns if the answer is
//! no; what was missing has then been output:
//!
//! ```no_run
//! # use compcache_test_support::needs;
//! if !needs::root() || !needs::programs(&["mkfs.ext4"]) {
//!     return;
//! }
//! ```
//!
//! A line that begins with `SKIPPED:` goes to the standard error that the process began with,
//! which the test runner does not keep to itself, and to the file that the environment variable
//! `COMPCACHE_SKIP_LOG` names, for whoever wants to know at the end what did not run. With
//! `COMPCACHE_REQUIRE_ROOT_TESTS=1` the test fails instead.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// With this set to 1, a test that lacks something fails.
const REQUIRE: &str = "COMPCACHE_REQUIRE_ROOT_TESTS";
/// The file to which skips are appended.
const LOG: &str = "COMPCACHE_SKIP_LOG";

/// Whether this is root.
///
/// # Panics
/// If not, and `COMPCACHE_REQUIRE_ROOT_TESTS` is 1.
#[must_use]
pub fn root() -> bool {
    need(rustix::process::geteuid().is_root(), "needs root")
}

/// Whether there is such a device, or other file.
///
/// # Panics
/// As [`root`].
#[must_use]
pub fn file(path: &str) -> bool {
    need(Path::new(path).exists(), &format!("needs {path}"))
}

/// Whether the machine has programs.
///
/// # Panics
/// As [`root`].
#[must_use]
pub fn programs(names: &[&str]) -> bool {
    names
        .iter()
        .all(|name| need(is_on_path(name), &format!("needs {name}")))
}

/// `met`, or else says `why` not.
///
/// # Panics
/// As [`root`].
#[must_use]
pub fn need(met: bool, why: &str) -> bool {
    if !met {
        assert!(!is_required(), "{} {why}, and {REQUIRE} is 1", test());
        say(why);
    }
    met
}

/// `met`, or else says which feature the kernel or the hardware lacks. Nobody can install that, so
/// it is never a failure.
#[must_use]
pub fn kernel(met: bool, feature: &str) -> bool {
    if !met {
        say(&format!("needs a kernel with {feature}"));
    }
    met
}

/// `met`, or else says that the kernel does not let freed swap slots be watched. As [`kernel`].
#[must_use]
pub fn traced_swap(met: bool) -> bool {
    kernel(met, "functions of swap that can be traced")
}

fn is_required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// The test that runs.
fn test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

fn say(why: &str) {
    let line = format!("SKIPPED: {}: {why}\n", test());
    // Not through eprintln!, which the test runner would keep to itself. Each is one write, so
    // that lines of tests that run at once stay whole.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(log) = std::env::var_os(LOG) {
        let file = OpenOptions::new().append(true).create(true).open(&log);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("cannot note a skip in {}: {error}", log.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// A test of this file, run alone with an environment; its standard error and whether it
    /// passed.
    fn run(test: &str, environment: &[(&str, &str)]) -> (String, bool) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", test])
            .env_remove(super::REQUIRE);
        command
            .env_remove(super::LOG)
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        (
            String::from_utf8(output.stderr).unwrap(),
            output.status.success(),
        )
    }

    #[test]
    #[ignore = "the others run it"]
    fn skipping() {
        assert!(!super::programs(&["sh", "no-such-program"]));
    }

    #[test]
    #[ignore = "the others run it"]
    fn lacking() {
        assert!(!super::kernel(false, "wings"));
    }

    #[test]
    fn a_skip_is_seen_and_noted() {
        let log = std::env::temp_dir().join(format!("compcache-skips-{}", std::process::id()));
        let (output, passed) = run(
            "needs::tests::skipping",
            &[(super::LOG, log.to_str().unwrap())],
        );
        let noted = std::fs::read_to_string(&log);
        let _ = std::fs::remove_file(&log);
        let line = "SKIPPED: needs::tests::skipping: needs no-such-program\n";
        assert!(passed && output.contains(line), "{output}");
        assert_eq!(noted.unwrap(), line);
    }

    #[test]
    fn what_is_required_fails_but_for_the_kernels_part() {
        let required = [(super::REQUIRE, "1")];
        assert!(!run("needs::tests::skipping", &required).1);
        let (output, passed) = run("needs::tests::lacking", &required);
        assert!(
            passed && output.contains("tests::lacking: needs a kernel with wings"),
            "{output}"
        );
    }
}
