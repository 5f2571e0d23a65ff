//! Names and attributes of many files: git's status of a repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use compcache_random::Random;
use fs_err as fs;

use super::job::{Job, Target, passes};
use crate::files::config::Config;
use crate::files::data::{DataSet, Store};
use crate::{interrupt, process};

const FILES: u64 = 50_000;
const OF_DIRECTORY: u64 = 50;

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let files = config.common.choose(FILES / 100, FILES);
    let data = repository(config.store, files)?;
    let again = config.again(5);
    let name = format!("git status, {files} files");
    // The first one finds other inodes than git has noted, and notes these.
    let job = Job::new(config, name, data, move |setup, _| {
        passes(setup, again, |setup, _| {
            let mut command = git(setup.directory());
            command.args(["status", "--porcelain", "--untracked-files=all"]);
            let ended = setup.run(&mut command)?;
            ensure!(
                ended.output.is_empty(),
                "git sees changes where there are none"
            );
            Ok(ended.seconds)
        })
    });
    Ok(vec![Job {
        target: Some(Target::steady(1.3)),
        limit: None,
        throttled: false,
        ..job
    }])
}

/// A git repository of so many files, all committed.
fn repository(store: &Store, files: u64) -> Result<DataSet> {
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
            process::output(git(&top).args(arguments))?;
        }
        Ok(())
    })
}

/// git in a directory, whoever owns it, and whatever is configured on this machine.
fn git(directory: &Path) -> Command {
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
