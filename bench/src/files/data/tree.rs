//! A tree of program text.

use std::path::Path;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::{DataSet, Store, registry};
use crate::directory::files_below;
use crate::interrupt;

/// Larger files are ignored: they are tables and archives, not text that people wrote.
const MOST_BYTES: u64 = 512 << 10;

/// What is looked for in it: in many of the files, in few lines of each.
pub(crate) const PATTERN: &str = "unsafe impl";

/// A tree whose files take `bytes` in whole pages: copies of the crates of Cargo's registry.
pub(crate) fn get(store: &Store, bytes: u64) -> Result<DataSet> {
    store.get(&format!("tree-{}M", bytes >> 20), |set| {
        let registry = registry()?;
        let mut done = 0;
        for copy in 1.. {
            let (before, top) = (done, set.source().join(format!("copy-{copy}")));
            for (path, length) in files_below(&registry) {
                interrupt::check()?;
                if length <= MOST_BYTES && done < bytes {
                    let copied = top.join(path.strip_prefix(&registry)?);
                    fs::create_dir_all(copied.parent().unwrap_or(&top))?;
                    fs::copy(path, copied)?;
                    done += length.next_multiple_of(4096);
                }
            }
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

/// How many lines have the pattern in them.
fn count(directory: &Path) -> Result<usize> {
    let mut lines = 0;
    for (path, _) in files_below(directory) {
        let bytes = fs::read(path)?;
        let has_pattern = |line: &[u8]| {
            line.windows(PATTERN.len())
                .any(|part| part == PATTERN.as_bytes())
        };
        lines += bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| has_pattern(line))
            .count();
    }
    Ok(lines)
}
