//! The kernel's own modules that tests use, with all that they depend on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// What tests may ask for. If a kernel has one built in, or not at all, it is left out.
const WANTED: [&str; 20] = [
    "zram",
    "lz4",
    "lz4hc",
    "lzo",
    "lzo-rle",
    "zstd",
    "loop",
    "brd",
    "null_blk",
    "dm-mod",
    "dm-flakey",
    "dm-delay",
    "ext4",
    "btrfs",
    "xfs",
    "f2fs",
    "nbd",
    "virtio_blk",
    "fuse",
    "ublk_drv",
];

/// A module's contents, and those to load before it.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) contents: Vec<u8>,
    pub(super) needs: Vec<String>,
}

/// Reads the wanted modules beneath a directory (`lib/modules/RELEASE`), those that others need
/// before them.
///
/// # Errors
///
/// A module cannot be read or decompressed.
pub(super) fn read(directory: &Path, busybox: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(directory, &mut files)?;
    let mut modules = Vec::new();
    for name in WANTED {
        add(name, &files, busybox, &mut modules)?;
    }
    Ok(modules)
}

/// All module files, by name.
fn index(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("no modules in {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(same(name), path);
        }
    }
    Ok(())
}

/// The kernel takes `-` and `_` in names for the same.
fn same(name: &str) -> String {
    name.replace('-', "_")
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    busybox: &Path,
    modules: &mut Vec<Module>,
) -> Result<()> {
    let name = same(name);
    let Some(file) = files.get(&name) else {
        return Ok(());
    };
    if modules.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let contents = decompressed(file, busybox)?;
    let mut needs = depends(&contents);
    // Names of algorithms, of which the module that runs on every processor will do.
    needs.extend(before(&contents).into_iter().filter_map(|name| {
        let generic = format!("{name}_generic");
        [name, generic]
            .into_iter()
            .find(|name| files.contains_key(name))
    }));
    for need in &needs {
        add(need, files, busybox, modules)?;
    }
    modules.push(Module {
        name,
        contents,
        needs,
    });
    Ok(())
}

fn decompressed(file: &Path, busybox: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        return command::bytes(Command::new(busybox).args(["xz", "-dc"]).arg(file));
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The modules that a module names in its `.modinfo` as `depends=A,B`.
pub(super) fn depends(contents: &[u8]) -> Vec<String> {
    let values = values(contents, b"depends=");
    let names = values.first().map_or("", String::as_str).split(',');
    names.filter(|name| !name.is_empty()).map(same).collect()
}

/// What a module asks for in its `.modinfo` as `softdep=pre: A crypto-B post: C` without using its
/// functions: A and B.
fn before(contents: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for value in values(contents, b"softdep=") {
        let words = value.split_whitespace().skip_while(|word| *word != "pre:");
        let words = words.skip(1).take_while(|word| *word != "post:");
        names.extend(words.map(|word| same(word.strip_prefix("crypto-").unwrap_or(word))));
    }
    names
}

/// The values of a key (`name=`) in a module's `.modinfo`.
fn values(contents: &[u8], key: &[u8]) -> Vec<String> {
    let starts = contents.windows(key.len()).enumerate();
    starts
        .filter(|(at, window)| *window == key && contents[..*at].last().is_none_or(|&it| it == 0))
        .map(|(at, _)| {
            let value = &contents[at + key.len()..];
            let end = value.iter().position(|&byte| byte == 0).unwrap_or(0);
            String::from_utf8_lossy(&value[..end]).into_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on() {
        assert_eq!(
            depends(b"\x7fELF..license=GPL\0depends=zsmalloc,lz4-hc\0x"),
            ["zsmalloc", "lz4_hc"]
        );
        assert!(depends(b"\x7fELF..license=GPL\0depends=\0x").is_empty());
        assert!(depends(b"\x7fELF").is_empty());
    }

    #[test]
    fn what_a_module_asks_for_without_depending_on_it() {
        assert_eq!(
            before(b"\x7fELF\0softdep=pre: crypto-crc32c b-c post: d\0softdep=post: e\0softdep=pre: f\0"),
            ["crc32c", "b_c", "f"]
        );
        assert!(before(b"\0nosoftdep=pre: a\0").is_empty());
    }

    #[test]
    fn needs_come_before_what_needs_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("kernel")).unwrap();
        fs::write(at("kernel/zram.ko"), "depends=zsmalloc\0").unwrap();
        fs::write(at("zsmalloc.ko"), "depends=\0").unwrap();
        fs::write(at("ext4.ko"), "softdep=pre: crypto-crc32c\0depends=\0").unwrap();
        fs::write(at("crc32c_generic.ko"), "depends=\0").unwrap();
        fs::write(at("other.ko"), "depends=\0").unwrap();
        let modules = read(directory.path(), Path::new("unused")).unwrap();
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["zsmalloc", "zram", "crc32c_generic", "ext4"]);
    }
}
