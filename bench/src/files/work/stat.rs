//! Names and attributes of many files.

use anyhow::{Result, ensure};

use super::{Job, Measured, Part, Setting, Target, Work, passes};
use crate::files::data::repository;
use crate::files::stage::Stage;

/// Files of the repository.
const FILES: u64 = 50_000;

/// `git status`, so often again. The first one finds other inodes than git has noted, and notes
/// these.
#[derive(Debug)]
struct Status {
    again: usize,
}

/// The job.
///
/// # Errors
/// Where there is no git.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let files = if setting.quick { FILES / 100 } else { FILES };
    let data = repository::get(setting.store, files as usize)?;
    let work = Status {
        again: setting.again(5),
    };
    Ok(vec![Job {
        target: Some(Target {
            part: Part::Steady,
            throttled: 1.3,
            unthrottled: 1.3,
        }),
        limit: None,
        throttled: false,
        ..Job::new(setting, format!("git status, {files} files"), data, work)
    }])
}

impl Work for Status {
    fn run(&self, stage: &mut Stage, _round: u64) -> Result<Measured> {
        passes(stage, self.again, |stage, _| {
            let ended = stage.run(repository::command(stage.directory()).args([
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
