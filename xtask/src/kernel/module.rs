//! The module for one kernel: the shim compiled by gcc with the kernel's headers, linked with the
//! Rust objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::headers;
use super::objects::Objects;
use crate::debian::{Release, State};
use crate::{command, workspace};

/// Builds the module for each kernel; those for kernels of different Debian releases at once, since
/// packages of one are fetched and unpacked one after the other.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_all(
    state: &State,
    releases: &[Release],
    objects: &Objects,
) -> Result<Vec<(Release, PathBuf)>> {
    let debians: BTreeSet<Option<u32>> = releases.iter().map(|release| release.debian).collect();
    let build_of = |debian: Option<u32>| -> Result<BTreeMap<&str, PathBuf>> {
        let of_one = releases.iter().filter(|release| release.debian == debian);
        of_one
            .map(|release| Ok((&*release.name, build(state, release, objects)?)))
            .collect()
    };
    let built = std::thread::scope(|scope| {
        let threads: Vec<_> = debians
            .into_iter()
            .map(|debian| scope.spawn(move || build_of(debian)))
            .collect();
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().expect("a build's thread");
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let modules: BTreeMap<&str, PathBuf> = built.into_iter().flatten().collect();
    let with_module = |release: &Release| (release.clone(), modules[&*release.name].clone());
    Ok(releases.iter().map(with_module).collect())
}

/// Builds `target/kernel/RELEASE/ramzswap.ko`. Objects that are up to date stay.
///
/// # Errors
///
/// The headers cannot be fetched, or the module does not build.
pub(crate) fn build(state: &State, release: &Release, objects: &Objects) -> Result<PathBuf> {
    let start = Instant::now();
    let headers = headers::headers(state, release)?;
    let out = workspace::kernel_target().join(&release.name);
    let build = out.join("build");
    fs::create_dir_all(&build)?;
    copy_changed(&workspace::root().join("kernel/shim"), &build)?;
    for object in [&objects.core, &objects.simd] {
        let name = object.file_name().context("an object has a name")?;
        copy_file(object, &build.join(name))?;
    }
    let mut make = Command::new(state.program("make", &["make"])?);
    make.arg("-C")
        .arg(&headers.directory)
        .arg(format!("M={}", build.display()))
        .arg("CONFIG_DEBUG_INFO_BTF_MODULES=")
        .arg("modules");
    if let Some(tools) = &headers.tools {
        let path = std::env::var("PATH").unwrap_or_default();
        make.env("PATH", format!("{}:{path}", tools.display()));
    }
    // What the cargo that started us tells its jobs is not for this make.
    make.env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("CARGO_MAKEFLAGS");
    command::logged(&mut make, &out.join("build.log"))
        .with_context(|| format!("cannot build the module for {}", release.name))?;
    let module = out.join("ramzswap.ko");
    fs::copy(build.join("ramzswap.ko"), &module)
        .with_context(|| format!("the build for {} left no ramzswap.ko", release.name))?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{:<34} {} ({seconds:.1} s)", release.name, module.display());
    Ok(module)
}

/// Copies a directory's files whose contents are not there yet.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    let entries = from
        .read_dir()
        .with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&copy)?;
            copy_changed(&source, &copy)?;
        } else {
            copy_file(&source, &copy)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).ok().as_ref() != Some(&new) {
        fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use compcache_test_support::needs;

    use super::*;

    /// What `make` says of the Kbuild in a kernel's configuration.
    fn kbuild(configuration: &str) -> String {
        let shim = workspace::root().join("kernel/shim");
        let output = Command::new("make")
            .arg("-n")
            .arg("-f")
            .arg(shim.join("Kbuild"))
            .arg(format!("src={}", shim.display()))
            .args(["obj=/none", configuration])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn kernels_that_the_driver_cannot_serve_are_refused_by_kbuild_and_dkms() {
        if !needs::programs(&["make"]) {
            return;
        }
        let dkms = fs::read_to_string(workspace::root().join("kernel/dkms/dkms.conf.in")).unwrap();
        for option in ["CONFIG_CFI", "CONFIG_CFI_CLANG", "CONFIG_PREEMPT_RT"] {
            let message = kbuild(&format!("{option}=y"));
            let shown = option.trim_end_matches("_CLANG");
            assert!(
                message.contains("ramzswap: this ") && message.contains(shown),
                "{option}: {message}"
            );
            assert!(dkms.contains(&format!("!{option}")), "{option}");
        }
        let message = kbuild("CONFIG_SMP=y");
        assert!(!message.contains("ramzswap: this "), "{message}");
    }

    #[test]
    fn copies_follow_changes_and_directories() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("probes")).unwrap();
        fs::write(from.path().join("probes/a.c"), "1").unwrap();
        copy_changed(from.path(), to.path()).unwrap();
        fs::write(from.path().join("probes/a.c"), "2").unwrap();
        copy_changed(from.path(), to.path()).unwrap();
        assert_eq!(
            fs::read_to_string(to.path().join("probes/a.c")).unwrap(),
            "2"
        );
    }
}
