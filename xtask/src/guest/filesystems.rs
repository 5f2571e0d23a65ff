//! File systems for the tests of swap files: empty ones, made here, because the guest has no
//! programs for that. They are nearly all zeros, and next to nothing when compressed.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::programs;
use crate::command;
use crate::debian::State;

/// A kind, and the program that makes it.
struct Kind {
    name: &'static str,
    package: &'static str,
    /// MiB: as few as it can do with, for the guest unpacks them.
    size: u64,
    arguments: &'static [&'static str],
}

/// With these, which its own tests set, mkfs.xfs makes file systems below 300 MB.
const SMALL_XFS: [&str; 3] = ["TEST_DIR", "TEST_DEV", "QA_CHECK_FS"];

const KINDS: [Kind; 4] = [
    Kind {
        name: "ext4",
        package: "e2fsprogs",
        size: 32,
        arguments: &["-F", "-q", "-b", "4096", "-E", "lazy_itable_init=1"],
    },
    Kind {
        name: "xfs",
        package: "xfsprogs",
        size: 48,
        arguments: &["-q"],
    },
    Kind {
        name: "btrfs",
        package: "btrfs-progs",
        size: 112,
        arguments: &["-q", "-m", "single"],
    },
    Kind {
        name: "f2fs",
        package: "f2fs-tools",
        size: 96,
        arguments: &["-q", "-t", "0"],
    },
];

/// `filesystems/NAME.gz` for each kind.
///
/// # Errors
///
/// A program cannot be fetched, or fails.
pub(super) fn images(state: &State, busybox: &Path, out: &Path) -> Result<Vec<programs::File>> {
    fs::create_dir_all(out)?;
    KINDS
        .iter()
        .map(|kind| {
            let contents = image(state, busybox, kind, &out.join(kind.name))
                .with_context(|| format!("no image of {}", kind.name))?;
            Ok(programs::File {
                path: format!("filesystems/{}.gz", kind.name),
                contents,
            })
        })
        .collect()
}

fn image(state: &State, busybox: &Path, kind: &Kind, path: &Path) -> Result<Vec<u8>> {
    let program = state.unpacked_program(12, &format!("mkfs.{}", kind.name), &[kind.package])?;
    let _ = fs::remove_file(path);
    File::create(path)?.set_len(kind.size << 20)?;
    let mut make = Command::new(program);
    make.args(kind.arguments).arg(path);
    for variable in SMALL_XFS {
        make.env(variable, "1");
    }
    command::output(&mut make)?;
    let compressed = command::bytes(Command::new(busybox).args(["gzip", "-c"]).arg(path))?;
    fs::remove_file(path)?;
    Ok(compressed)
}
