//! `cargo xtask kernel …`: the module for Debian's kernels.

mod bench;
mod check;
mod gates;
mod headers;
mod kernels;
mod module;
mod objects;
mod package;
mod pages;
mod promises;
mod test;
mod values;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::debian::{Release, State};
use crate::workspace;
use kernels::{Kernels, Place};

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Builds target/kernel/RELEASE/ramzswap.ko
    Build(Build),
    /// Looks for what a kernel must not be given in the objects and modules, which it builds
    Check(Build),
    /// Builds the two objects of the module that are made from Rust, and prints where they are
    Objects(OnlyObjects),
    /// Boots kernels in QEMU and runs the guest tests with the module
    Test(test::Test),
    /// Counts the instructions of the driver and of zram in one guest
    Bench(bench::Bench),
    /// Builds the Debian package that builds the module by DKMS
    Package(package::Package),
}

#[derive(Args)]
pub(crate) struct Build {
    #[command(flatten)]
    kernels: Kernels,
}

#[derive(Args)]
pub(crate) struct OnlyObjects {
    #[command(flatten)]
    place: Place,

    /// For a kernel with KASAN, which checks their accesses to memory; no other loads them
    #[arg(long)]
    kasan: bool,
}

/// Waits until no other of these tasks builds in the same directory; the file is locked until it is
/// closed.
fn alone() -> Result<File> {
    let directory = workspace::kernel_target();
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another `cargo xtask kernel` in this checkout");
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Runs a task; the status is that of a script if one was given.
///
/// # Errors
///
/// Something could not be fetched, built or started.
pub(crate) fn run(task: Task) -> Result<ExitCode> {
    let _alone = alone()?;
    match task {
        Task::Build(build) => {
            let state = build.kernels.state()?;
            build_all(&state, &build.kernels.releases(&state, kernels::RUNNING)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Check(build) => {
            let state = build.kernels.state()?;
            let releases = build.kernels.releases(&state, kernels::DEFAULT)?;
            let (objects, modules) = build_all(&state, &releases)?;
            check::run(&objects, &modules)
        }
        Task::Objects(only) => {
            let state = only.place.open()?;
            let built = if only.kasan {
                objects::build_for_kasan(&state)?
            } else {
                objects::build(&state)?
            };
            println!("{}\n{}", built.core.display(), built.simd.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Test(test) => test::run(&test),
        Task::Bench(bench) => bench::run(&bench),
        Task::Package(package) => {
            package::run(&package)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Builds the objects, and the module for each kernel.
fn build_all(
    state: &State,
    releases: &[Release],
) -> Result<(objects::Objects, Vec<(Release, PathBuf)>)> {
    let objects = objects::build(state)?;
    let modules = module::build_all(state, releases, &objects)?;
    Ok((objects, modules))
}
