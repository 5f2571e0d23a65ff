//! grep over a source tree.

use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::job::{Job, Measured, Peers, Work, passes};
use crate::files::config::Config;
use crate::files::data::tree;
use crate::files::setup::Setup;

#[derive(Debug)]
struct Grep {
    again: usize,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = if config.quick {
        config.limit / 16
    } else {
        config.limit * 2
    };
    let data = tree::get(config.store, bytes)?;
    let work = Grep {
        again: config.again(2),
    };
    Ok(vec![Job {
        peers: Peers::TmpfsAndZram,
        ..Job::new(config, "grep -r".into(), data, work)
    }])
}

impl Work for Grep {
    fn run(&self, setup: &mut Setup, _round: u64) -> Result<Measured> {
        let expected = setup.data.beside("expected");
        let expected: usize = fs::read_to_string(expected)?.parse()?;
        passes(setup, self.again, |setup, _| {
            let mut command = Command::new("grep");
            command
                .args(["-r", "-h", "-a", "-F", tree::PATTERN])
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
    }
}
