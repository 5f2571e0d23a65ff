//! Makes programs of an unpacked release run on a machine with another C library.
//!
//! The dynamic loader of the machine would load the machine's C library, which may be older than
//! what the program was linked against. So each dynamic executable is moved aside, and a script
//! in its place runs it by the loader of its own release, with the libraries of its own release.
//! `argv[0]` stays the script's name, from which gcc, for one, finds its parts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const LOADER: &str = "ld-linux-x86-64.so.2";

/// Directories with programs that we run, and those of libraries.
const PROGRAMS: [&str; 6] = [
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "usr/libexec/gcc",
    "usr/lib/gcc",
];
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// Wraps each program beneath `root` that is not yet.
///
/// # Errors
///
/// A file cannot be read or written.
pub(super) fn adapt(root: &Path) -> Result<()> {
    PROGRAMS
        .iter()
        .try_for_each(|directory| adapt_directory(root, &root.join(directory)))
}

/// Wraps each program in one directory beneath `root`, and beneath that.
///
/// # Errors
///
/// As [`adapt`].
pub(super) fn adapt_directory(root: &Path, directory: &Path) -> Result<()> {
    let Ok(entries) = directory.read_dir() else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            adapt_directory(root, &path)?;
        } else if kind.is_file() && is_program(&path)? {
            wrap(root, &path).with_context(|| format!("cannot wrap {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a file is an executable ELF file with an interpreter, not itself moved aside.
fn is_program(path: &Path) -> Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let executable = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
    if !executable || name.starts_with('.') || name.contains(".so") {
        return Ok(false);
    }
    let bytes = fs::read(path)?;
    let start = &bytes[..bytes.len().min(4096)];
    Ok(bytes.starts_with(b"\x7fELF")
        && start
            .windows(LOADER.len())
            .any(|window| window == LOADER.as_bytes()))
}

fn wrap(root: &Path, path: &Path) -> Result<()> {
    let name = path
        .file_name()
        .context("a program has a name")?
        .to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.program"));
    let libraries = LIBRARIES.map(|directory| root.join(directory).display().to_string());
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' --argv0 \"$0\" '{}' \"$@\"\n",
        loader(root)?.display(),
        libraries.join(":"),
        aside.display(),
    );
    fs::rename(path, aside)?;
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn loader(root: &Path) -> Result<PathBuf> {
    let places = [
        "usr/lib64",
        "lib64",
        "usr/lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu",
    ];
    let mut files = places.iter().map(|place| root.join(place).join(LOADER));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{} has no {LOADER}", root.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_program_runs_and_stays_wrapped_once() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("usr/bin")).unwrap();
        fs::create_dir_all(path("lib64")).unwrap();
        fs::copy(Path::new("/lib64").join(LOADER), path("lib64").join(LOADER)).unwrap();
        std::os::unix::fs::symlink("/usr/lib", path("usr/lib")).unwrap();
        fs::copy("/bin/sh", path("usr/bin/sh")).unwrap();
        adapt_directory(root.path(), &path("usr/bin")).unwrap();
        adapt_directory(root.path(), &path("usr/bin")).unwrap();
        assert!(fs::read(path("usr/bin/sh")).unwrap().starts_with(b"#!"));
        let mut shell = std::process::Command::new(path("usr/bin/sh"));
        let output = crate::command::output(shell.args(["-c", "echo $0"])).unwrap();
        assert_eq!(output.trim(), path("usr/bin/sh").display().to_string());
    }
}
