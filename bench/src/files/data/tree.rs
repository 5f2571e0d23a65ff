//! A tree of program text.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{DataSet, Store, registry, walk};
use crate::interrupt;

/// Larger files are passed over: they are tables and archives, not text that people wrote.
const MOST_BYTES: u64 = 512 << 10;

/// What is looked for in it: in many of the files, in few lines of each.
pub(crate) const PATTERN: &str = "unsafe impl";

/// A tree whose files take `bytes` in whole pages: copies of the crates of Cargo's registry.
///
/// # Errors
/// Where there are none, or after Ctrl-C.
pub(crate) fn get(store: &Store, bytes: u64) -> Result<DataSet> {
    store.get(&format!("tree-{}M", bytes >> 20), |set| {
        let registry = registry()?;
        let mut done = 0;
        for copy in 1.. {
            let (before, top) = (done, set.source().join(format!("copy-{copy}")));
            walk(&registry, &mut |path, length| {
                interrupt::check()?;
                if length <= MOST_BYTES {
                    place(path, &top.join(path.strip_prefix(&registry)?))?;
                    done += length.next_multiple_of(4096);
                }
                Ok(done < bytes)
            })?;
            ensure!(done > before, "no text in {}", registry.display());
            if done >= bytes {
                break;
            }
        }
        let expected = count(&set.source())?;
        fs::write(set.beside("expected"), expected.to_string())?;
        Ok(())
    })
}

fn place(path: &Path, copied: &Path) -> Result<()> {
    let parent = copied.parent().context("a file without a directory")?;
    fs::create_dir_all(parent)?;
    fs::copy(path, copied).with_context(|| format!("cannot copy {}", path.display()))?;
    Ok(())
}

/// How many lines have the pattern in them.
fn count(directory: &Path) -> Result<usize> {
    let mut lines = 0;
    walk(directory, &mut |path, _| {
        let bytes = fs::read(path)?;
        let pattern = PATTERN.as_bytes();
        lines += bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| line.windows(pattern.len()).any(|part| part == pattern))
            .count();
        Ok(true)
    })?;
    Ok(lines)
}
