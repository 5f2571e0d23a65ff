//! A program that is built from nothing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Job, Measured, Setting, Work, passes};
use crate::files::data::{self, crates};
use crate::files::stage::Stage;

/// Memory that the compiler needs for itself, in bytes: it is added to the limit.
const COMPILER: u64 = 320 << 20;

/// `cargo build`, so often again.
#[derive(Debug)]
struct Build {
    again: usize,
    toolchain: Toolchain,
}

/// Programs that are the same wherever the files are: held in memory that does not count, as
/// their 200 MB would be all that is measured.
#[derive(Debug)]
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    library: PathBuf,
}

/// The job.
///
/// # Errors
/// Where there is no cargo, or no crates.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let data = crates::get(setting.store, setting.quick)?;
    let work = Build {
        again: setting.again(2),
        toolchain: Toolchain::find()?,
    };
    Ok(vec![Job {
        copied: true,
        write_back: true,
        limit: Some(setting.limit + COMPILER),
        // The compiler's time, which nobody can shorten, is a large part.
        target: None,
        ..Job::new(setting, "cargo build".into(), data, work)
    }])
}

impl Toolchain {
    fn find() -> Result<Toolchain> {
        let done = Command::new("rustc")
            .args(["--print", "sysroot"])
            .output()
            .context("rustc does not start")?;
        let root = PathBuf::from(String::from_utf8(done.stdout)?.trim());
        let toolchain = Toolchain {
            cargo: root.join("bin/cargo"),
            rustc: root.join("bin/rustc"),
            library: root.join("lib"),
        };
        ensure!(
            toolchain.cargo.exists() && toolchain.rustc.exists(),
            "no cargo in {}",
            root.display()
        );
        Ok(toolchain)
    }

    /// Reads all of it into the page cache, for this process's own cgroup.
    fn warm(&self) -> Result<()> {
        fs::read(&self.cargo)?;
        fs::read(&self.rustc)?;
        let is_target =
            |path: &std::path::Path| path.components().any(|part| part.as_os_str() == "rustlib");
        data::walk(&self.library, &mut |path, _| {
            if !is_target(path)
                || path
                    .extension()
                    .is_some_and(|end| end == "rlib" || end == "so")
            {
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            }
            Ok(true)
        })?;
        Ok(())
    }
}

impl Work for Build {
    fn run(&self, stage: &mut Stage, _round: u64) -> Result<Measured> {
        self.toolchain.warm()?;
        let target = stage.directory().join("target");
        let home = tempfile::tempdir()?;
        let measured = passes(stage, self.again, |stage, _| {
            data::remove(&target)?;
            let mut command = Command::new(&self.toolchain.cargo);
            command
                .args([
                    "build",
                    "--offline",
                    "--quiet",
                    "-j",
                    "1",
                    "--manifest-path",
                ])
                .arg(stage.directory().join("Cargo.toml"))
                .arg("--target-dir")
                .arg(&target)
                .env("RUSTC", &self.toolchain.rustc)
                .env("CARGO_HOME", home.path())
                .env("CARGO_INCREMENTAL", "0")
                .current_dir(stage.directory());
            Ok(stage.run(&mut command)?.seconds)
        })?;
        let built = stage.run(&mut Command::new(target.join("debug/built")))?;
        ensure!(
            built.output == b"built\n",
            "the program that was built is wrong"
        );
        Ok(measured)
    }
}
