//! A repository of many files.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use compcache_random::Random;
use fs_err as fs;

use super::{DataSet, Store};
use crate::{interrupt, process};

const OF_DIRECTORY: usize = 50;

/// A git repository of so many files, all committed.
pub(crate) fn get(store: &Store, files: usize) -> Result<DataSet> {
    store.get(&format!("repository-{files}"), |set| {
        let top = set.source();
        let mut random = Random::new(5);
        for number in 0..files {
            let directory = number / OF_DIRECTORY;
            let directory = top.join(format!("part-{}/module-{directory}", directory / 20));
            if number % OF_DIRECTORY == 0 {
                interrupt::check()?;
                fs::create_dir_all(&directory)?;
            }
            let lines = random.below(8) + 1;
            let text: String = (0..lines)
                .map(|line| format!("pub const LINE_{line}: u64 = {};\n", random.next_u64()))
                .collect();
            let path = directory.join(format!("file-{number}.rs"));
            fs::write(path, text)?;
        }
        for arguments in [
            &["init", "-q"][..],
            &["add", "."],
            &["-c", "gc.auto=0", "commit", "-q", "-m", "All files"],
        ] {
            process::output(command(&top).args(arguments))?;
        }
        Ok(())
    })
}

/// git in a directory, whoever owns it, and whatever is configured on this machine.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(directory)
        .args(["-c", "safe.directory=*", "-c", "user.name=bench"])
        .args(["-c", "user.email=bench@example.invalid"])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    command
}
