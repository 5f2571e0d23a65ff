//! The programs that tests call, and Debian's packages of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::debian::Archive;

/// A program, Debian's package of it, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) why: &'static str,
}

const fn program(name: &'static str, package: &'static str, why: &'static str) -> Program {
    Program { name, package, why }
}

/// What tests call.
pub(crate) const PROGRAMS: [Program; 18] = [
    program("mkswap", "util-linux", "swap areas"),
    program("unshare", "util-linux", "namespaces of a test's own"),
    program("setpriv", "util-linux", "users without rights"),
    program("losetup", "mount", "loop devices"),
    program("mount", "mount", "mounts"),
    program("fusermount3", "fuse3", "mounts of users without root"),
    program("script", "bsdutils", "keys on a terminal"),
    program("mkfs.ext4", "e2fsprogs", "file systems on our devices"),
    program(
        "mkfs.btrfs",
        "btrfs-progs",
        "a file system that copies on write",
    ),
    program("python3", "python3-minimal", "programs with a large heap"),
    program(
        "gcc",
        "gcc",
        "the virtual machine's guest, pages of a compiler",
    ),
    program("g++", "g++", "pages of a compiler"),
    program("qemu-system-x86_64", "qemu-system-x86", "virtual machines"),
    program("systemd-analyze", "systemd", "the units that are shipped"),
    program("git", "git", "a program on mounts"),
    program("make", "make", "the driver's build, and what refuses it"),
    program("sqlite3", "sqlite3", "a database on mounts"),
    program("pg_ctlcluster", "postgresql", "a database on mounts"),
];

/// The programs that the machine lacks.
pub(crate) fn missing() -> Vec<Program> {
    PROGRAMS
        .into_iter()
        .filter(|program| command::find(program.name).is_none())
        .collect()
}

/// Installs programs' packages. If that would remove an installed package, the program's is
/// unpacked into `state` instead; the result is the directories of such programs, for `PATH`.
///
/// # Errors
///
/// apt fails; nothing is output about root here.
pub(crate) fn install(programs: &[Program], state: &Path) -> Result<Vec<PathBuf>> {
    // PostgreSQL's package would start a database cluster of its own: tests make theirs.
    let clusters = Path::new("/etc/postgresql-common/createcluster.d");
    if programs
        .iter()
        .any(|program| program.package == "postgresql")
    {
        fs::create_dir_all(clusters)?;
        fs::write(clusters.join("tests.conf"), "create_main_cluster = false\n")?;
    }
    eprintln!("fetching the machine's package lists");
    command::output(apt().arg("update"))?;
    let mut packages: Vec<&str> = programs.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let (mut installable, mut unpackable) = (Vec::new(), Vec::new());
    for package in packages {
        let plan = command::output(apt().args(["-s", "install"]).arg(package))?;
        let place = if removals(&plan).is_empty() {
            &mut installable
        } else {
            &mut unpackable
        };
        place.push(package);
    }
    if !installable.is_empty() {
        eprintln!("installing {}", installable.join(", "));
        command::output(apt().args(["-y", "install"]).args(&installable))?;
    }
    if unpackable.is_empty() {
        return Ok(Vec::new());
    }
    let archive = Archive::open(state, machine_release())?;
    eprintln!(
        "unpacking {} in {}: to install would remove what is installed",
        unpackable.join(", "),
        archive.root().display()
    );
    archive.unpack_with_dependencies(&unpackable)?;
    let wanted = programs
        .iter()
        .filter(|program| unpackable.contains(&program.package));
    let names: Vec<&str> = wanted.map(|program| program.name).collect();
    Ok(vec![wrappers(archive.root(), &names, &state.join("bin"))?])
}

/// Scripts that run unpacked programs, alone in a directory: the others of the release must not
/// come before the machine's.
fn wrappers(root: &Path, names: &[&str], directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory)?;
    for name in names {
        let places = ["usr/bin", "bin", "usr/sbin", "sbin"].map(|p| root.join(p).join(name));
        let program = places.into_iter().find(|path| path.exists());
        let program = program.with_context(|| format!("{} has no {name}", root.display()))?;
        // QEMU looks for its parts beside its executable, which is the loader's here.
        let qemu = name.starts_with("qemu-system-");
        let firmware = format!(
            "-L '{0}/usr/share/qemu' -L '{0}/usr/share/seabios'",
            root.display()
        );
        let text = format!(
            "#!/bin/sh\nexport QEMU_MODULE_DIR='{}/usr/lib/x86_64-linux-gnu/qemu'\n\
             exec '{}' {} \"$@\"\n",
            root.display(),
            program.display(),
            if qemu { firmware.as_str() } else { "" },
        );
        let script = directory.join(name);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(directory.to_path_buf())
}

/// The machine's own apt.
fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "--no-install-recommends"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C");
    apt
}

/// The packages that a simulated run of apt would remove.
fn removals(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next())
        .collect()
}

/// Debian's release number, 12 if the machine is another system.
fn machine_release() -> u32 {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_ID="));
    if number.is_some_and(|number| number.trim_matches('"') == "13") {
        13
    } else {
        12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_seen() {
        let plan = "Reading package lists...\n\
            Remv qemu-utils [1:9.2-1]\nInst qemu-system-x86 (1:7.2 Debian [amd64])\n";
        assert_eq!(removals(plan), ["qemu-utils"]);
        assert!(removals("Inst git (1:2.39 Debian [amd64])\n").is_empty());
    }

    #[test]
    fn each_program_stands_once() {
        let mut names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROGRAMS.len());
        assert!(
            PROGRAMS
                .iter()
                .all(|program| !program.package.is_empty() && !program.why.is_empty())
        );
    }

    #[test]
    fn wrappers_run_what_they_wrap() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::copy("/bin/echo", root.path().join("usr/bin/echo")).unwrap();
        let directory = wrappers(root.path(), &["echo"], &root.path().join("bin")).unwrap();
        let output = command::output(Command::new(directory.join("echo")).arg("a b")).unwrap();
        assert_eq!(output, "a b\n");
        assert!(wrappers(root.path(), &["absent"], &root.path().join("bin")).is_err());
    }
}
