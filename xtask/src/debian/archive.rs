//! The packages of one Debian release, and the directory into which they are unpacked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::{foreign, sources};
use crate::command;

/// How long a package list is good for.
const LISTS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Debian's releases by number, as we use them.
const RELEASES: [(u32, &str); 2] = [(12, "bookworm"), (13, "trixie")];

/// One Debian release: its package lists, its downloads, and `root`, where packages lie unpacked.
#[derive(Debug)]
pub(crate) struct Archive {
    number: u32,
    directory: PathBuf,
    root: PathBuf,
}

impl Archive {
    /// The archive of Debian `number` (12 or 13), in `state`/debian`number`.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, the machine has no Debian sources, or its lists cannot be
    /// fetched.
    pub(crate) fn open(state: &Path, number: u32) -> Result<Self> {
        let directory = state.join(format!("debian{number}"));
        let archive = Self {
            number,
            root: directory.join("root"),
            directory,
        };
        for name in [
            "root",
            "packages",
            "done",
            "lists/partial",
            "cache/archives/partial",
        ] {
            let path = archive.directory.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let _lock = archive.lock()?;
        archive.write_sources()?;
        archive.update()?;
        Ok(archive)
    }

    /// Where its packages lie unpacked.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// 12, 13, …
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The names of all packages that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// apt failed.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = command::output(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(String::from).collect())
    }

    /// The newest version of a package, and the packages that it depends on, first alternatives
    /// only. `None` if there is no such package.
    pub(crate) fn show(&self, package: &str) -> Option<(String, Vec<String>)> {
        let arguments = ["show", "--no-all-versions", package];
        let text = command::output(self.apt("apt-cache").args(arguments)).ok()?;
        let field = |name: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
        };
        let depends = field("Depends").unwrap_or("");
        let first = |one: &str| {
            Some(
                one.split_whitespace()
                    .next()?
                    .split(':')
                    .next()?
                    .to_string(),
            )
        };
        Some((
            field("Version")?.to_string(),
            depends.split(',').filter_map(first).collect(),
        ))
    }

    /// Unpacks packages, and nothing that they depend on.
    ///
    /// # Errors
    ///
    /// There is no such package, or it cannot be fetched or unpacked.
    pub(crate) fn unpack(&self, packages: &[String]) -> Result<()> {
        let mut versions = Vec::new();
        for package in packages {
            let Some((version, _)) = self.show(package) else {
                bail!("Debian {} has no package {package}", self.number);
            };
            versions.push(format!("{package}={version}"));
        }
        self.unpack_versions(&versions)
    }

    /// Unpacks packages with all that they depend on, as if nothing were installed, and makes
    /// their programs run with the libraries beside them.
    ///
    /// # Errors
    ///
    /// As [`unpack`](Self::unpack), or apt finds no set of packages that fits.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str]) -> Result<()> {
        let stamp = self.directory.join("done").join(packages.join("+"));
        if stamp.exists() {
            return Ok(());
        }
        let empty = self.directory.join("nothing-installed");
        fs::write(&empty, "")?;
        let plan = command::output(
            self.apt("apt-get")
                .arg("-o")
                .arg(format!("Dir::State::status={}", empty.display()))
                .args(["-s", "install", "--no-install-recommends"])
                .args(packages),
        )?;
        self.unpack_versions(&planned(&plan))?;
        let _lock = self.lock()?;
        foreign::adapt(&self.root)?;
        fs::write(stamp, "")?;
        Ok(())
    }

    /// Makes all programs in a directory of the root run with the libraries in the root.
    ///
    /// # Errors
    ///
    /// A program cannot be read or written.
    pub(crate) fn adapt(&self, directory: &Path) -> Result<()> {
        let _lock = self.lock()?;
        foreign::adapt_directory(&self.root, directory)
    }

    /// Unpacks `NAME=VERSION`s that are not unpacked yet.
    fn unpack_versions(&self, packages: &[String]) -> Result<()> {
        let _lock = self.lock()?;
        let mark = |package: &str| self.directory.join("done").join(package.replace('/', "_"));
        let missing: BTreeSet<&String> = packages.iter().filter(|p| !mark(p).exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let first = missing.first().expect("not empty");
        let others = missing.len() - 1;
        let more = if others > 0 {
            format!(" and {others} more")
        } else {
            String::new()
        };
        eprintln!("fetching Debian {}'s {first}{more}", self.number);
        let downloads = self.directory.join("packages");
        command::output(
            self.apt("apt-get")
                .current_dir(&downloads)
                .arg("download")
                .args(&missing),
        )?;
        for package in missing {
            let file = downloaded(&downloads, package)?;
            command::output(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&file)
                    .arg(&self.root),
            )?;
            fs::remove_file(&file)?;
            fs::write(mark(package), "")?;
        }
        Ok(())
    }

    /// One of apt's programs over this archive alone.
    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let directory = self.directory.display();
        for option in [
            format!("Dir::Etc::sourcelist={directory}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            format!("Dir::State::lists={directory}/lists"),
            format!("Dir::State::extended_states={directory}/extended_states"),
            format!("Dir::Cache={directory}/cache"),
            // Images for containers switch these off, and each question then reads all lists again.
            "Dir::Cache::pkgcache=pkgcache.bin".into(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Debug::NoLocking=true".into(),
        ] {
            apt.arg("-o").arg(option);
        }
        apt.env("LC_ALL", "C");
        apt
    }

    /// Kernels come from the release, from its updates and backports, and from security.
    fn write_sources(&self) -> Result<()> {
        let Some((_, name)) = RELEASES.iter().find(|(number, _)| *number == self.number) else {
            bail!(
                "Debian {} is unknown here: 12 and 13 are known",
                self.number
            );
        };
        let mirrors = sources::mirrors(Path::new("/etc/apt"))?;
        let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        let mut text = String::new();
        for suite in ["", "-updates", "-backports"] {
            text += &format!("deb {keys} {} {name}{suite} main\n", mirrors.main);
        }
        if let Some(security) = mirrors.security {
            text += &format!("deb {keys} {security} {name}-security main\n");
        }
        let file = self.directory.join("sources.list");
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            fs::write(&file, text)?;
            let _ = fs::remove_file(self.directory.join("updated"));
        }
        Ok(())
    }

    fn update(&self) -> Result<()> {
        let stamp = self.directory.join("updated");
        let written = fs::metadata(&stamp).and_then(|data| data.modified());
        let age = written
            .ok()
            .and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age < LISTS_KEPT) {
            return Ok(());
        }
        eprintln!("fetching Debian {}'s package lists", self.number);
        command::output(self.apt("apt-get").arg("update"))?;
        fs::write(stamp, "")?;
        Ok(())
    }

    /// Held while the directory is changed; another run waits.
    fn lock(&self) -> Result<File> {
        let file = File::create(self.directory.join("lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// The file of `NAME=VERSION` among the downloads.
fn downloaded(directory: &Path, package: &str) -> Result<PathBuf> {
    let (name, version) = package.split_once('=').unwrap_or((package, ""));
    let start = format!("{name}_{}_", version.replace(':', "%3a"));
    let found = directory
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(&start))
        });
    found.with_context(|| format!("apt has not left {start}*.deb in {}", directory.display()))
}

/// The packages that `apt-get -s install` would install, as `NAME=VERSION`.
fn planned(plan: &str) -> Vec<String> {
    let one = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let version = rest.split_once('(')?.1.split(' ').next()?;
        Some(format!("{name}={version}"))
    };
    plan.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read() {
        let plan = "Reading package lists...\n\
            Inst gcc-14-base (14.2.0-19 Debian:13.1/stable [amd64])\n\
            Inst libc6 [2.36-9] (2.41-12 Debian:13.1/stable [amd64]) []\n\
            Conf libc6 (2.41-12 Debian:13.1/stable [amd64])\n";
        assert_eq!(planned(plan), ["gcc-14-base=14.2.0-19", "libc6=2.41-12"]);
    }

    #[test]
    fn a_download_is_found_by_name_and_version() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory
                .path()
                .join("busybox-static_1%3a1.35.0-4_amd64.deb"),
            "",
        )
        .unwrap();
        let found = downloaded(directory.path(), "busybox-static=1:1.35.0-4").unwrap();
        assert!(found.ends_with("busybox-static_1%3a1.35.0-4_amd64.deb"));
        assert!(downloaded(directory.path(), "busybox=1:1.35.0-4").is_err());
    }
}
