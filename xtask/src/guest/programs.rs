//! The programs of a guest: the C programs of `kernel/guest/programs`, and our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// Our own programs, by package.
const OURS: [(&str, &str); 3] = [
    ("compcache", "compcache"),
    ("compcache", "rzscontrol"),
    ("compcached", "compcached"),
];

/// A file for the guest.
#[derive(Debug)]
pub(super) struct File {
    /// Where in the guest.
    pub(super) path: String,
    pub(super) contents: Vec<u8>,
}

/// Compiles each C file of a directory: `NAME` for 64 bits, and `NAME-32` for 32 if `libraries32`
/// says where the unpacked libraries for that are.
///
/// # Errors
///
/// gcc fails.
pub(super) fn compiled(
    sources: &Path,
    out: &Path,
    libraries32: Option<&Path>,
) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let Ok(entries) = sources.read_dir() else {
        return Ok(files);
    };
    fs::create_dir_all(out)?;
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    entries.sort();
    for source in entries {
        let name = source
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.push(compile(&source, &out.join(&name), &name, &[])?);
        if let Some(root) = libraries32 {
            let name = format!("{name}-32");
            files.push(compile(&source, &out.join(&name), &name, &flags32(root)?)?);
        }
    }
    Ok(files)
}

fn compile(source: &Path, out: &Path, name: &str, flags: &[String]) -> Result<File> {
    let mut gcc = Command::new("gcc");
    gcc.args([
        "-O2", "-g0", "-Wall", "-Wextra", "-static", "-pthread", "-o",
    ]);
    command::output(gcc.arg(out).arg(source).args(flags))
        .with_context(|| format!("cannot compile {}", source.display()))?;
    Ok(File {
        path: format!("bin/{name}"),
        contents: fs::read(out)?,
    })
}

/// The C library for 32 bits of an unpacked release.
fn flags32(root: &Path) -> Result<Vec<String>> {
    let root = root.display();
    let gcc = format!("{root}/usr/lib/gcc/x86_64-linux-gnu/12/32");
    Ok(vec![
        "-m32".into(),
        format!("-B{root}/usr/lib32/"),
        format!("-L{root}/usr/lib32"),
        format!("-B{gcc}/"),
        format!("-L{gcc}"),
        "-isystem".into(),
        format!("{root}/usr/include"),
        "-isystem".into(),
        format!("{root}/usr/include/x86_64-linux-gnu"),
    ])
}

/// Our release binaries, built now and stripped into `out`, with the libraries that they are linked
/// with.
///
/// # Errors
///
/// They do not build.
pub(super) fn ours(out: &Path) -> Result<Vec<File>> {
    let packages: BTreeSet<&str> = OURS.iter().map(|(package, _)| *package).collect();
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--release"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    fs::create_dir_all(out)?;
    eprintln!("building compcache, rzscontrol and compcached");
    command::run(&mut cargo)?;
    let mut files = Vec::new();
    let mut libraries = BTreeSet::new();
    for (_, program) in OURS {
        let path = workspace::target().join("release").join(program);
        // A guest's file system is half of its memory, which may be little.
        let stripped = out.join(program);
        command::output(Command::new("strip").arg("-o").args([&stripped, &path]))
            .with_context(|| format!("cannot strip {}", path.display()))?;
        let contents = fs::read(&stripped)?;
        files.push(File {
            path: format!("bin/{program}"),
            contents,
        });
        libraries.extend(shared_libraries(&path)?);
    }
    for library in libraries {
        let contents = fs::read(&library)?;
        files.push(File {
            path: library.display().to_string(),
            contents,
        });
    }
    Ok(files)
}

/// What `ldd` says that a program loads.
fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    Ok(libraries_in(&command::output(
        Command::new("ldd").arg(program),
    )?))
}

fn libraries_in(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let word = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(word))
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let paths = libraries_in(text);
        assert_eq!(
            paths,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn without_sources_there_are_no_programs() {
        let nowhere = Path::new("/no/such/directory");
        assert!(compiled(nowhere, nowhere, None).unwrap().is_empty());
    }
}
