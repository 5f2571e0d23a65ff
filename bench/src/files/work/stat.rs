//! Names and attributes of many files.

use anyhow::{Result, ensure};

use super::job::{Job, Measured, Part, Target, Work, passes};
use crate::files::config::Config;
use crate::files::data::repository;
use crate::files::setup::Setup;

const FILES: u64 = 50_000;

/// `git status`, so often again. The first one finds other inodes than git has noted, and notes
/// these.
#[derive(Debug)]
struct Status {
    again: usize,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let files = if config.quick { FILES / 100 } else { FILES };
    let data = repository::get(config.store, files as usize)?;
    let work = Status {
        again: config.again(5),
    };
    Ok(vec![Job {
        target: Some(Target {
            part: Part::Steady,
            throttled: 1.3,
            unthrottled: 1.3,
        }),
        limit: None,
        throttled: false,
        ..Job::new(config, format!("git status, {files} files"), data, work)
    }])
}

impl Work for Status {
    fn run(&self, setup: &mut Setup, _round: u64) -> Result<Measured> {
        passes(setup, self.again, |setup, _| {
            let ended = setup.run(repository::command(setup.directory()).args([
                "status",
                "--porcelain",
                "--untracked-files=all",
            ]))?;
            ensure!(
                ended.output.is_empty(),
                "git sees changes where there are none"
            );
            Ok(ended.seconds)
        })
    }
}
