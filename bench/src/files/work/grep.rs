//! grep over a source tree.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Job, Measured, Peers, Setting, Work, passes};
use crate::files::data::tree;
use crate::files::stage::Stage;

/// `grep -r`, so often again.
#[derive(Debug)]
struct Grep {
    again: usize,
}

/// The job.
///
/// # Errors
/// Where there is no program text.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let bytes = if setting.quick {
        setting.limit / 16
    } else {
        setting.limit * 2
    };
    let data = tree::get(setting.store, bytes)?;
    let work = Grep {
        again: setting.again(2),
    };
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..Job::new(setting, "grep -r".into(), data, work)
    }])
}

impl Work for Grep {
    fn run(&self, stage: &mut Stage, _round: u64) -> Result<Measured> {
        let expected = stage.data().beside("expected");
        let expected: usize = fs::read_to_string(&expected)
            .with_context(|| format!("cannot read {}", expected.display()))?
            .parse()?;
        passes(stage, self.again, |stage, _| {
            let mut command = Command::new("grep");
            command
                .args(["-r", "-h", "-a", "-F", tree::PATTERN])
                .arg(stage.directory())
                .env("LC_ALL", "C");
            let ended = stage.run(&mut command)?;
            let lines = ended.output.split(|&byte| byte == b'\n').count() - 1;
            ensure!(
                lines == expected,
                "grep found {lines} lines, not {expected}"
            );
            Ok(ended.seconds)
        })
    }
}
