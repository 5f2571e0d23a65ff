//! Files of one size with what files hold: objects, program text, records.

use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use compcache_engine::PAGE_SIZE;
use compcache_random::Random;
use fs_err::{self as fs, File};

use super::{DataSet, Store, registry};
use crate::directory::files_in;
use crate::file_set::{FILE_BYTES, names};
use crate::{interrupt, sums};

/// Bytes that are taken from each kind of content in turn.
const BLOCK: usize = 128 << 10;

/// Larger files are ignored: they are archives and libraries of debug information.
const MOST_BYTES: u64 = 64 << 20;

const WORDS: [&str; 16] = [
    "page", "swap", "memory", "chunk", "frame", "slot", "device", "codec", "pool", "kernel",
    "active", "inactive", "pending", "done", "failed", "unknown",
];

/// A data set of files with `bytes` in all (whole files, rounded up). What is needed of it by
/// several is on the disk once: the files are hard links to a common set.
pub(crate) fn get(store: &Store, bytes: u64) -> Result<DataSet> {
    let files = bytes.div_ceil(FILE_BYTES);
    store.get(&format!("corpus-{}M", (files * FILE_BYTES) >> 20), |set| {
        let common = store.directory().join("corpus");
        fs::create_dir_all(&common)?;
        fill(&common, files as usize)?;
        let mut table = BufWriter::new(File::create(set.beside("sums"))?);
        for path in names(&common)?.iter().take(files as usize) {
            interrupt::check()?;
            let name = path.file_name().context("a file without a name")?;
            fs::hard_link(path, set.source().join(name))?;
            let bytes = fs::read(path)?;
            for page in bytes.chunks(PAGE_SIZE) {
                table.write_all(&sums::of(page).to_le_bytes())?;
            }
        }
        table.flush()?;
        Ok(())
    })
}

/// Makes sure that the first `files` files are there. The content of each depends on its number
/// and on what the machine has, not on how many there are.
fn fill(directory: &Path, files: usize) -> Result<()> {
    let missing = |number: &usize| !directory.join(name(*number)).exists();
    let Some(first) = (0..files).find(missing) else {
        return Ok(());
    };
    let mut objects = Concatenated::new(objects());
    let mut texts = Concatenated::new(texts());
    for number in 0..files {
        interrupt::check()?;
        let mut content = Vec::with_capacity(FILE_BYTES as usize);
        let mut records = Records::new(number as u64);
        while content.len() < FILE_BYTES as usize {
            objects.take(&mut content, BLOCK)?;
            texts.take(&mut content, BLOCK)?;
            records.take(&mut content, BLOCK);
        }
        content.truncate(FILE_BYTES as usize);
        if number >= first {
            let unfinished = directory.with_extension("unfinished");
            fs::write(&unfinished, &content)?;
            fs::rename(&unfinished, directory.join(name(number)))?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("{number:04}.bin")
}

fn objects() -> Vec<PathBuf> {
    let is_object = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.starts_with("/usr/bin") || name.contains(".so")
    };
    let bytes = PAGE_SIZE as u64..=MOST_BYTES;
    files_in(["/usr/lib", "/usr/bin"], bytes, is_object).collect()
}

fn texts() -> Vec<PathBuf> {
    let is_text = |path: &Path| {
        let end = path.extension().unwrap_or_default();
        ["rs", "c", "h", "md", "toml"]
            .iter()
            .any(|known| end == *known)
    };
    let places = registry().into_iter().chain(["/usr/include".into()]);
    files_in(places, 0..=MOST_BYTES, is_text).collect()
}

/// Files laid end to end, from the first again after the last.
struct Concatenated {
    paths: Vec<PathBuf>,
    next: usize,
    open: Option<File>,
}

impl Concatenated {
    fn new(paths: Vec<PathBuf>) -> Self {
        Concatenated {
            paths,
            next: 0,
            open: None,
        }
    }

    /// Adds up to `bytes` to `out`; nothing if there are no files. Files that cannot be read
    /// are ignored.
    fn take(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<()> {
        let mut left = bytes as u64;
        let mut tried = 0;
        while left > 0 && tried <= self.paths.len() {
            let Some(file) = &mut self.open else {
                let Some(path) = self.paths.get(self.next) else {
                    return Ok(());
                };
                self.next = (self.next + 1) % self.paths.len();
                self.open = File::open(path).ok();
                tried += 1;
                continue;
            };
            match file.take(left).read_to_end(out) {
                Ok(length) if length > 0 => left -= length as u64,
                _ => self.open = None,
            }
        }
        Ok(())
    }
}

/// Records as services log them, in JSON and as comma-separated values.
struct Records {
    random: Random,
    number: u64,
}

impl Records {
    fn new(seed: u64) -> Self {
        Records {
            random: Random::new(seed),
            number: seed * 1_000_000,
        }
    }

    fn take(&mut self, out: &mut Vec<u8>, bytes: usize) {
        let end = out.len() + bytes;
        while out.len() < end {
            self.number += 1;
            let (number, token) = (self.number, self.random.next_u64());
            let word = |of: u64| WORDS[(of % 16) as usize];
            let (first, second) = (word(token >> 8), word(token >> 16));
            let amount = (token >> 24) % 1_000_000;
            let line = if number / 512 % 2 == 0 {
                format!(
                    "{{\"id\":{number},\"session\":\"{token:016x}\",\"state\":\"{first}\",\
                     \"name\":\"{second}-{}\",\"amount\":{}.{:02},\"retries\":{}}}\n",
                    token % 5000,
                    amount / 100,
                    amount % 100,
                    token % 4,
                )
            } else {
                format!(
                    "{number},{first},{second} {},{}.{:02},2026-0{}-1{}T0{}:{:02}:{:02}Z\n",
                    token % 5000,
                    amount / 100,
                    amount % 100,
                    token % 9 + 1,
                    token % 10,
                    token % 7,
                    token % 60,
                    amount % 60,
                )
            };
            out.extend_from_slice(line.as_bytes());
        }
        out.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_set::PAGES_OF_FILE;

    #[test]
    fn a_set_has_the_files_and_their_checksums_and_shares_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let small = get(&store, FILE_BYTES).unwrap();
        let large = get(&store, FILE_BYTES + 1).unwrap();
        let files = names(&large.source()).unwrap();
        assert_eq!(files.len(), 2);
        let sums = fs::read(large.beside("sums")).unwrap();
        assert_eq!(sums.len(), 2 * PAGES_OF_FILE * 8);
        assert_eq!(
            fs::read(small.beside("sums")).unwrap(),
            sums[..sums.len() / 2]
        );
        let second = fs::read(&files[1]).unwrap();
        assert_eq!(second.len() as u64, FILE_BYTES);
        assert_eq!(
            sums[PAGES_OF_FILE * 8..][..8],
            sums::of(&second[..PAGE_SIZE]).to_le_bytes()
        );
        let first = |set: &DataSet| fs::metadata(names(&set.source()).unwrap().remove(0)).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(first(&small).ino(), first(&large).ino());
    }
}
