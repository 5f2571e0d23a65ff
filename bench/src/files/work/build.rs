//! A program that is built from nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::job::{Job, Measured, Work, passes};
use crate::files::config::Config;
use crate::files::data::crates;
use crate::files::setup::Setup;
use crate::{directory, process};

/// Memory that the compiler needs for itself, in bytes: it is added to the limit.
const COMPILER: u64 = 320 << 20;

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

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = crates::get(config.store, config.quick)?;
    let work = Build {
        again: config.again(2),
        toolchain: Toolchain::find()?,
    };
    Ok(vec![Job {
        copied: true,
        write_back: true,
        limit: Some(config.limit + COMPILER),
        // The compiler's time, which nobody can shorten, is a large part.
        target: None,
        ..Job::new(config, "cargo build".into(), data, work)
    }])
}

impl Toolchain {
    fn find() -> Result<Toolchain> {
        let printed = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let root = PathBuf::from(String::from_utf8(printed)?.trim());
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
        let is_target = |path: &Path| path.components().any(|part| part.as_os_str() == "rustlib");
        for (path, _) in directory::files_below(&self.library) {
            let end = path.extension();
            if !is_target(&path) || end.is_some_and(|end| end == "rlib" || end == "so") {
                fs::read(path)?;
            }
        }
        Ok(())
    }
}

impl Work for Build {
    fn run(&self, setup: &mut Setup, _round: u64) -> Result<Measured> {
        self.toolchain.warm()?;
        let target = setup.directory().join("target");
        let home = tempfile::tempdir()?;
        let measured = passes(setup, self.again, |setup, _| {
            directory::remove(&target)?;
            let mut command = Command::new(&self.toolchain.cargo);
            command
                .args(["build", "--offline", "--quiet", "-j1"])
                .arg("--manifest-path")
                .arg(setup.directory().join("Cargo.toml"))
                .arg("--target-dir")
                .arg(&target)
                .env("RUSTC", &self.toolchain.rustc)
                .env("CARGO_HOME", home.path())
                .env("CARGO_INCREMENTAL", "0")
                .current_dir(setup.directory());
            Ok(setup.run(&mut command)?.seconds)
        })?;
        let built = setup.run(&mut Command::new(target.join("debug/built")))?;
        ensure!(
            built.output == b"built\n",
            "the program that was built is wrong"
        );
        Ok(measured)
    }
}
