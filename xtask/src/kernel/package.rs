//! `cargo xtask kernel package`: the package that builds the module by DKMS.
//!
//! It carries the shim's sources and the two Rust objects. The machine that installs it compiles
//! the one and links the other, with gcc and the headers of its kernels alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use super::kernels::Place;
use super::objects::{self, Objects};
use crate::{command, workspace};

/// The version of the package: that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args)]
pub(crate) struct Package {
    #[command(flatten)]
    place: Place,
}

/// A template, where it goes in the package, and its mode.
const TEMPLATES: [(&str, &str, u32); 5] = [
    ("kernel/dkms/control.in", "DEBIAN/control", 0o644),
    ("kernel/dkms/postinst.in", "DEBIAN/postinst", 0o755),
    ("kernel/dkms/prerm.in", "DEBIAN/prerm", 0o755),
    (
        "kernel/dkms/copyright",
        "usr/share/doc/ramzswap-dkms/copyright",
        0o644,
    ),
    (
        "kernel/dkms/ramzswap.4.in",
        "usr/share/man/man4/ramzswap.4",
        0o644,
    ),
];

/// Builds `target/kernel/ramzswap-dkms_VERSION_all.deb`.
///
/// # Errors
///
/// The Rust objects do not build, or `dpkg-deb` fails.
pub(crate) fn run(package: &Package) -> Result<()> {
    let objects = objects::build(&package.place.open()?)?;
    let root = workspace::kernel_target().join("package");
    let _ = fs::remove_dir_all(&root);
    stage(&root, &objects)?;
    let file = workspace::kernel_target().join(format!("ramzswap-dkms_{VERSION}_all.deb"));
    command::output(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args([&root, &file]),
    )?;
    println!("{}", file.display());
    Ok(())
}

/// Lays out the package's files below `root`.
fn stage(root: &Path, objects: &Objects) -> Result<()> {
    let project = workspace::root();
    for (name, place, mode) in TEMPLATES {
        put(&root.join(place), &filled(&project.join(name))?, mode)?;
    }
    let sources = root.join(format!("usr/src/ramzswap-{VERSION}"));
    let shim = project.join("kernel/shim");
    for file in files_below(&shim)? {
        let place = sources.join(file.strip_prefix(&shim)?);
        put(&place, &fs::read(&file)?, 0o644)?;
    }
    for object in [&objects.core, &objects.simd] {
        let name = object.file_name().context("an object has a name")?;
        put(&sources.join(name), &fs::read(object)?, 0o644)?;
    }
    let conf = filled(&project.join("kernel/dkms/dkms.conf.in"))?;
    put(&sources.join("dkms.conf"), &conf, 0o644)
}

/// A template with the version put in.
fn filled(template: &Path) -> Result<Vec<u8>> {
    let text = fs::read_to_string(template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    Ok(text.replace("@VERSION@", VERSION).into_bytes())
}

fn put(place: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let parent = place.parent().context("a file is in a directory")?;
    fs::create_dir_all(parent)?;
    fs::write(place, contents).with_context(|| format!("cannot write {}", place.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The files of a directory and of those below it.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = directory
        .read_dir()
        .with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_and_their_places_are_the_packages() {
        let root = workspace::root();
        for (name, place, _) in TEMPLATES {
            let text = String::from_utf8(filled(&root.join(name)).unwrap()).unwrap();
            assert!(
                !text.contains('@') || name.ends_with("control.in"),
                "{place}: {text}"
            );
            assert!(!text.contains("@VERSION@"), "{place}");
        }
        let conf =
            String::from_utf8(filled(&root.join("kernel/dkms/dkms.conf.in")).unwrap()).unwrap();
        assert!(conf.contains(&format!("PACKAGE_VERSION=\"{VERSION}\"")));
    }

    #[test]
    fn files_of_directories_below_are_found() {
        let directory = tempfile::tempdir().unwrap();
        put(&directory.path().join("a/b"), b"1", 0o644).unwrap();
        put(&directory.path().join("c"), b"2", 0o600).unwrap();
        let mut found = files_below(directory.path()).unwrap();
        found.sort();
        assert_eq!(
            found,
            [directory.path().join("a/b"), directory.path().join("c")]
        );
        let mode = fs::metadata(&found[1]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
