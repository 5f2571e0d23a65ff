//! A program of some crates that is built from nothing, without a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::job::{Job, passes};
use crate::files::config::Config;
use crate::files::data::{DataSet, Store, registry};
use crate::{directory, process};

/// Memory that the compiler needs for itself, in bytes: it is added to the limit.
const COMPILER: u64 = 320 << 20;

/// Crates that need no other ones, and no program before they are built.
const CRATES: [&str; 8] = [
    "itoa",
    "strsim",
    "cfg-if",
    "smallvec",
    "memchr",
    "regex-syntax",
    "aho-corasick",
    "hashbrown",
];

/// The smallest of them, for a quick run.
const SMALL: usize = 3;

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = sources(config.store, config.common.quick)?;
    let (again, toolchain) = (config.again(2), Toolchain::find()?);
    let job = Job::new(config, "cargo build".into(), data, move |setup, _| {
        toolchain.warm()?;
        let target = setup.directory().join("target");
        let home = tempfile::tempdir()?;
        let measured = passes(setup, again, |setup, _| {
            directory::remove(&target)?;
            let mut command = Command::new(&toolchain.cargo);
            command
                .args(["build", "--offline", "--quiet", "-j1"])
                .arg("--manifest-path")
                .arg(setup.directory().join("Cargo.toml"))
                .arg("--target-dir")
                .arg(&target)
                .env("RUSTC", &toolchain.rustc)
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
    });
    Ok(vec![Job {
        copied: true,
        write_back: true,
        limit: Some(config.limit + COMPILER),
        // The compiler's time, which nobody can shorten, is a large part.
        target: None,
        ..job
    }])
}

/// Programs that are the same wherever the files are: held in memory that does not count, as
/// their 200 MB would be all that is measured.
#[derive(Debug)]
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    library: PathBuf,
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

/// A program that uses those crates of Cargo's registry that are there, 3 at least; `small` ones
/// only if that is asked for.
fn sources(store: &Store, small: bool) -> Result<DataSet> {
    let (name, crates) = if small {
        ("crates-small", &CRATES[..SMALL])
    } else {
        ("crates", &CRATES[..])
    };
    store.get(name, |set| {
        let registry = registry()?;
        let mut dependencies = String::new();
        let mut found = Vec::new();
        for &name in crates {
            let Some(path) = newest(&registry, name)? else {
                continue;
            };
            let to = set.source().join(name);
            fs::create_dir(&to)?;
            directory::copy(&path, &to)?;
            dependencies +=
                &format!("{name} = {{ path = \"{name}\", default-features = false }}\n");
            found.push(name);
        }
        ensure!(
            found.len() >= SMALL,
            "too few of the crates {} are there",
            crates.join(", ")
        );
        // Members of a workspace would need all that their tests need.
        let manifest = format!(
            "[package]\nname = \"built\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n\
             [dependencies]\n{dependencies}\n[workspace]\nexclude = {found:?}\n"
        );
        fs::write(set.source().join("Cargo.toml"), manifest)?;
        fs::create_dir(set.source().join("src"))?;
        let program = "fn main() {\n    println!(\"built\");\n}\n";
        Ok(fs::write(set.source().join("src/main.rs"), program)?)
    })
}

/// The directory `NAME-VERSION` that comes last.
fn newest(registry: &Path, name: &str) -> Result<Option<PathBuf>> {
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let paths = fs::read_dir(registry)?.flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let directory = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = directory.strip_prefix(name);
        rest.and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(is_version)
    };
    Ok(paths.filter(is_one).max())
}
