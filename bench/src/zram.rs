//! zram devices of our own.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use compcache_engine::PAGE_SIZE;
use compcache_host::proc;
use fs_err::{self as fs, File};

use crate::held::Held;
use crate::machine;
use crate::report::complain;

const CONTROL: &str = "/sys/class/zram-control";

/// What zram keeps for each page of a device beside its pool: `struct zram_table_entry` of
/// `drivers/block/zram/zram_drv.h` on a 64-bit machine (a handle, and flags with a lock).
const TABLE_ENTRY: u64 = 16;

/// A zram device; reset and, if it was added, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Zram {
    name: String,
    added: bool,
    /// The algorithm of a device that was there before.
    before: Option<String>,
    pages: u64,
}

impl Zram {
    /// A device of `bytes`, whole pages, that compresses with `algorithm`.
    pub(crate) fn new(algorithm: &str, bytes: u64) -> Result<Zram> {
        let zram = Zram::unset(bytes.div_ceil(PAGE_SIZE as u64))?;
        zram.set("comp_algorithm", algorithm)?;
        zram.set("disksize", &bytes.to_string())?;
        Ok(zram)
    }

    /// A device that has no size yet: a new one, or zram0 if none can be added.
    fn unset(pages: u64) -> Result<Zram> {
        if Path::new(CONTROL).join("hot_add").exists() {
            let mut number = [0; 16];
            let path = Path::new(CONTROL).join("hot_add");
            // One read: each of them may add a device.
            let length = File::open(path)?.read(&mut number)?;
            let number = String::from_utf8_lossy(&number[..length]);
            return Ok(Zram {
                name: format!("zram{}", number.trim()),
                added: true,
                before: None,
                pages,
            });
        }
        let found = |file: &str| Path::new("/sys/block/zram0").join(file);
        let Some(size) = proc::number_in(&found("disksize")) else {
            bail!("this kernel has no zram (modprobe zram)");
        };
        if size != 0 {
            bail!("zram0 is in use, and this kernel can add no other zram device");
        }
        Ok(Zram {
            name: "zram0".into(),
            before: chosen(&fs::read_to_string(found("comp_algorithm"))?).map(str::to_owned),
            added: false,
            pages,
        })
    }

    pub(crate) fn node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// What it holds now, from its `mm_stat` (the kernel's
    /// `Documentation/admin-guide/blockdev/zram.rst`).
    pub(crate) fn held(&self) -> Result<Held> {
        let stat = proc::read(&self.file("mm_stat"))?;
        let mut numbers = proc::words(&stat).map_while(proc::number);
        let mut next = || numbers.next().context("mm_stat is too short");
        let (original, compressed, pool) = (next()?, next()?, next()?);
        Ok(Held {
            original,
            compressed,
            pool,
            all: pool + self.pages * TABLE_ENTRY,
        })
    }

    /// Has it compact its memory, which it never does of itself.
    pub(crate) fn compact(&self) -> Result<()> {
        self.set("compact", "1")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/sys/block").join(&self.name).join(name)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        fs::write(self.file(name), value).with_context(|| format!("{name} cannot be {value}"))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let mut result = self.set("reset", "1");
        if let Some(before) = &self.before {
            result = result.and(self.set("comp_algorithm", before));
        }
        if self.added {
            let number = self.name.trim_start_matches("zram");
            let removed = fs::write(Path::new(CONTROL).join("hot_remove"), number);
            result = result.and(removed.with_context(|| format!("cannot remove {}", self.name)));
        }
        complain(result);
    }
}

/// The algorithms that this kernel's zram has, its default first.
fn algorithms() -> Result<Vec<String>> {
    let zram = Zram::unset(0)?;
    let list = fs::read_to_string(zram.file("comp_algorithm"))?;
    let names = list
        .split_whitespace()
        .map(|name| name.trim_matches(['[', ']']));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_by_key(|name| Some(name.as_str()) != chosen(&list));
    Ok(names)
}

/// The same for a comparison, which goes without zram if there is none or this process may not make
/// devices: then it says so on standard error.
pub(crate) fn algorithms_for(subject: &str) -> Vec<String> {
    machine::need_root(subject)
        .and_then(|()| algorithms())
        .unwrap_or_else(|error| {
            eprintln!("zram: left out, {error:#}");
            Vec::new()
        })
}

/// The name in brackets of `[lzo-rle] lzo lz4`.
fn chosen(list: &str) -> Option<&str> {
    let mut names = list.split_whitespace();
    names.find_map(|name| name.strip_prefix('[')?.strip_suffix(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_algorithm_is_in_brackets() {
        assert_eq!(chosen("lzo [lz4] zstd\n"), Some("lz4"));
        assert_eq!(chosen("\n"), None);
    }
}
