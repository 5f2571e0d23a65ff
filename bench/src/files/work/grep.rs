//! grep over a tree of program text.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::job::{Job, Peers, passes};
use crate::directory::files_below;
use crate::files::config::Config;
use crate::files::data::{DataSet, Store, registry};
use crate::interrupt;

/// Larger files are ignored: they are tables and archives, not text that people wrote.
const MOST_BYTES: u64 = 512 << 10;

/// What is looked for in it: in many of the files, in few lines of each.
const PATTERN: &str = "unsafe impl";

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = config.common.choose(config.limit / 16, config.limit * 2);
    let data = tree(config.store, bytes)?;
    let again = config.again(2);
    let job = Job::new(config, "grep -r".into(), data, move |setup, _| {
        let expected = setup.data.beside("expected");
        let expected: usize = fs::read_to_string(expected)?.parse()?;
        passes(setup, again, |setup, _| {
            let mut command = Command::new("grep");
            command
                .args(["-r", "-h", "-a", "-F", PATTERN])
                .arg(setup.directory())
                .env("LC_ALL", "C");
            let ended = setup.run(&mut command)?;
            let lines = ended.output.split(|&byte| byte == b'\n').count() - 1;
            ensure!(
                lines == expected,
                "grep found {lines} lines, not {expected}"
            );
            Ok(ended.seconds)
        })
    });
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..job
    }])
}

/// A tree whose files take `bytes` in whole pages: copies of the crates of Cargo's registry.
fn tree(store: &Store, bytes: u64) -> Result<DataSet> {
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
