//! `cargo xtask test`: what tests need, all tests, and what did not run.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::packages::{self, Program};
use crate::{command, workspace};

#[derive(Args)]
pub(crate) struct Test {
    /// Passes though tests were skipped, and installs nothing
    #[arg(long)]
    allow_skips: bool,

    /// For `cargo test --workspace`: other options, names of tests
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Tests that may be skipped, as a whole or in part, if the kernel or the hardware lacks what no
/// package gives. A name that ends in `::` is a module's, one that begins so a test's over each transport. They are
/// named at the end, and are no failure.
const EXCUSED: [(&str, &str); 8] = [
    // Each test of a device, over the other transport.
    ("uring::", "FUSE over io_uring"),
    ("::every_second_page_is_freed_without_swapoff", WATCHED),
    ("::a_swap_file_on_the_disk_is_left_alone", WATCHED),
    ("::pages_that_come_and_go_keep_their_content", WATCHED),
    ("freed::tests::this_kernel_takes_the_program", WATCHED),
    (
        "freed::tests::this_kernels_types_are_read",
        "a description of its types",
    ),
    (
        "a_busy_device_bounds_it_and_an_idle_one_does_not",
        "a cpuidle driver",
    ),
    ("files_that_are_copied_on_write_are_refused", "Btrfs"),
];
const WATCHED: &str = "functions of swap that can be traced";

/// What has tests of its own outside of the workspace, in the same target directory: the fuzz
/// targets, and the core of the kernel driver on a kernel made of a few functions.
const OTHER_WORKSPACES: [&[&str]; 2] = [
    &["fuzz/Cargo.toml", "--no-default-features"],
    &["kernel/core/Cargo.toml"],
];

/// The file that tests append their skips to (the crate `compcache-test-support`).
const SKIP_LOG: &str = "COMPCACHE_SKIP_LOG";

/// Runs the tests.
///
/// # Errors
///
/// What is missing cannot be installed. Tests that fail are no error, but a status.
pub(crate) fn run(test: &Test) -> Result<ExitCode> {
    let directory = workspace::target().join("xtask");
    let missing = packages::missing();
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !missing.is_empty() && !test.allow_skips {
        if !is_root()? {
            eprintln!("{}", advice(&missing));
            return Ok(ExitCode::FAILURE);
        }
        let unpacked = packages::install(&missing, &directory.join("packages"))?;
        let all = unpacked.into_iter().chain(std::env::split_paths(&path));
        path = std::env::join_paths(all.collect::<Vec<_>>())?;
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let log = directory.join("skipped");
    fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    let workspace_passed = passes(&["--workspace"], &test.arguments, &log, &path)?;
    let mut others_passed = true;
    if test.arguments.is_empty() {
        for other in OTHER_WORKSPACES {
            let what = [&["--manifest-path"], other].concat();
            others_passed &= passes(&what, &[], &log, &path)?;
        }
    }
    let skipped = fs::read_to_string(&log).context("the tests' skips")?;
    let excused = report(&skipped);
    if !workspace_passed || !others_passed {
        return Ok(ExitCode::FAILURE);
    }
    if !excused && !test.allow_skips {
        eprintln!("xtask: tests were skipped; --allow-skips passes anyway");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn passes(what: &[&str], arguments: &[OsString], log: &Path, path: &OsString) -> Result<bool> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    cargo.args(what).args(arguments);
    cargo.arg("--target-dir").arg(workspace::target());
    cargo
        .env(SKIP_LOG, log)
        .env("PATH", path)
        .env_remove("CARGO_TARGET_DIR");
    let status = cargo.status().context("cannot start cargo")?;
    Ok(status.success())
}

/// Names the tests that did not run. Whether all of them lack what nobody can install.
fn report(skipped: &str) -> bool {
    let (excused, other): (Vec<&str>, Vec<&str>) =
        skipped.lines().partition(|line| is_excused(line));
    for (what, lines) in [
        ("that this machine cannot run", &excused),
        ("skipped", &other),
    ] {
        if !lines.is_empty() {
            println!("\n{} tests {what}:", lines.len());
            lines
                .iter()
                .for_each(|line| println!("    {}", line.trim_start_matches("SKIPPED: ")));
        }
    }
    other.is_empty()
}

/// Whether a line of the log is that of a test of [`EXCUSED`], for its reason.
fn is_excused(line: &str) -> bool {
    let skip = line.strip_prefix("SKIPPED: ");
    let Some((test, feature)) = skip.and_then(|skip| skip.split_once(": needs a kernel with "))
    else {
        return false;
    };
    EXCUSED.iter().any(|&(name, reason)| {
        let is_named = if name.starts_with("::") {
            test.ends_with(name)
        } else if name.ends_with("::") {
            test.starts_with(name)
        } else {
            test == name
        };
        is_named && feature == reason
    })
}

fn advice(missing: &[Program]) -> String {
    let mut text = String::from("xtask: tests need programs that are not installed:\n");
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    for program in missing {
        let Program { name, package, why } = program;
        text += &format!("    {name:<20} {package:<18} {why}\n");
    }
    text += &format!(
        "As root: apt-get install {}\nor run this as root; or give --allow-skips.",
        packages.join(" ")
    );
    text
}

fn is_root() -> Result<bool> {
    Ok(command::output(Command::new("id").arg("-u"))?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_told_apart() {
        assert!(report(""));
        let uring = "SKIPPED: uring::a: needs a kernel with FUSE over io_uring\n";
        assert!(report(uring));
        let watched = "SKIPPED: classic::a_swap_file_on_the_disk_is_left_alone: \
                       needs a kernel with functions of swap that can be traced\n";
        assert!(report(watched));
        for other in [
            "SKIPPED: a: needs a kernel with FUSE over io_uring\n",
            "SKIPPED: uring::a: needs a kernel with wings\n",
            "SKIPPED: uring::a: needs git\n",
            "SKIPPED: classic::a: needs a kernel with functions of swap that can be traced\n",
            "SKIPPED: a_busy_device_bounds_it_and_an_idle_one_does_not_2: needs a kernel with a cpuidle driver\n",
        ] {
            assert!(!report(&format!("{uring}{other}")), "{other}");
        }
    }

    #[test]
    fn advice_names_programs_and_packages() {
        let git = packages::PROGRAMS
            .iter()
            .find(|program| program.name == "git")
            .unwrap();
        let text = advice(&[*git]);
        assert!(
            text.contains("apt-get install git\n") && text.contains("--allow-skips"),
            "{text}"
        );
    }
}
