//! The guest's root file system: busybox, modules, programs, and a script.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::newc::Archive;
use super::script::Script;
use super::{filesystems, modules, programs};
use crate::debian::{Release, State};
use crate::workspace;

const INIT: &str = include_str!("init.sh");
const LOAD: &str = include_str!("load.sh");

/// A kernel, and the part of its root file system that all tests share.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) base: PathBuf,
}

/// Whether a guest gets compcache, rzscontrol and compcached, which take a while to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    With,
    Without,
}

/// Makes what all scripts share: `module` is ours, if there is one.
///
/// # Errors
///
/// Something cannot be fetched, compiled or read.
pub(crate) fn base(
    state: &State,
    release: &Release,
    kernel: PathBuf,
    modules_in: &Path,
    module: Option<&Path>,
    ours: Ours,
) -> Result<Image> {
    let busybox = busybox(state)?;
    let mut archive = Archive::default();
    archive.directory("dev");
    archive.file("bin/busybox", 0o755, &fs::read(&busybox)?);
    archive.link("bin/sh", "busybox");
    let e2fsck = state.unpacked_program(12, "e2fsck.static", &["e2fsck-static"])?;
    archive.file("bin/e2fsck", 0o755, &fs::read(&e2fsck)?);
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/load", 0o755, LOAD.as_bytes());
    for module in modules::read(modules_in, &busybox)? {
        add_module(&mut archive, &module.name, &module.contents, &module.needs);
    }
    let builtin = modules_in.join("modules.builtin");
    archive.file(
        "mod/builtin",
        0o644,
        &fs::read(&builtin).with_context(|| format!("cannot read {}", builtin.display()))?,
    );
    if let Some(path) = module {
        let contents = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        add_module(
            &mut archive,
            "ramzswap",
            &contents,
            &modules::depends(&contents),
        );
    }
    let guest = workspace::root().join("kernel/guest");
    let compiled = workspace::kernel_target().join("guest");
    let root32 = libraries32(state)?;
    let mut files = programs::compiled(&guest.join("programs"), &compiled, root32.as_deref())?;
    if ours == Ours::With {
        files.extend(programs::ours(&compiled)?);
    }
    for file in files {
        archive.file(&file.path, 0o755, &file.contents);
    }
    for file in filesystems::images(state, &busybox, &compiled)? {
        archive.file(&file.path, 0o644, &file.contents);
    }
    if let Ok(library) = fs::read(guest.join("lib.sh")) {
        archive.file("lib.sh", 0o644, &library);
    }
    let name = match ours {
        Ours::With => "guest.cpio",
        Ours::Without => "guest-without.cpio",
    };
    let base = workspace::kernel_target().join(&release.name).join(name);
    fs::create_dir_all(base.parent().context("a file is in a directory")?)?;
    fs::write(&base, archive.finish())?;
    Ok(Image { kernel, base })
}

/// The whole root file system for one script, with more files by path.
///
/// # Errors
///
/// The shared part cannot be read.
pub(crate) fn with_script(
    image: &Image,
    script: &Script,
    files: &[(String, Vec<u8>)],
    out: &Path,
) -> Result<()> {
    let mut archive = Archive::default();
    archive.file("test.sh", 0o755, script.text.as_bytes());
    for (path, contents) in files {
        archive.file(path, 0o644, contents);
    }
    let mut bytes = fs::read(&image.base)?;
    bytes.extend(archive.finish());
    fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))
}

fn add_module(archive: &mut Archive, name: &str, contents: &[u8], needs: &[String]) {
    archive.file(&format!("mod/{name}.ko"), 0o644, contents);
    archive.file(
        &format!("mod/{name}.needs"),
        0o644,
        needs.join("\n").as_bytes(),
    );
}

/// A busybox without shared libraries. That of the machine may have some.
fn busybox(state: &State) -> Result<PathBuf> {
    let archive = state.debian(12)?;
    archive.unpack(&["busybox-static".into()])?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| archive.root().join(place));
    places
        .into_iter()
        .find(|path| path.exists())
        .context("busybox-static has no busybox")
}

/// Debian's C library for 32-bit programs, if there are programs at all.
fn libraries32(state: &State) -> Result<Option<PathBuf>> {
    if !workspace::root().join("kernel/guest/programs").exists() {
        return Ok(None);
    }
    let archive = state.debian(12)?;
    let packages = [
        "libc6-dev-i386",
        "libc6-dev",
        "linux-libc-dev",
        "libc6-i386",
        "lib32gcc-12-dev",
    ];
    archive.unpack(&packages.map(String::from))?;
    Ok(Some(archive.root().to_path_buf()))
}
