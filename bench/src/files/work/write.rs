//! Writes that must be on the disk.

use anyhow::{Result, ensure};

use super::job::{Job, Measured};
use crate::file_set;
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::load;
use crate::load::Reply;
use crate::load::files::Request;

const FILE: &str = "written";

const SYNC_EVERY: u64 = 16;

/// A file that is written in order, and then here and there.
pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(config.store, file_set::FILE_BYTES)?;
    let pages = config.scaled(config.limit / 4096 / 2);
    let overwrites = config.scaled(4000);
    let job = Job::new(config, "write, fsync".into(), data, move |setup, round| {
        let mut worker = setup.worker(round)?;
        let mut request = |request: &Request| worker.call::<Reply>(request);
        let first = request(&Request::Write {
            path: setup.directory().join(FILE),
            pages,
        })?;
        let steady = request(&Request::Overwrite {
            writes: overwrites,
            sync_every: SYNC_EVERY,
        })?;
        drop(worker);
        let values = setup.values()?;
        let beneath = setup.unmount()?.join(FILE);
        ensure!(
            load::files::sum_of_file(&beneath)? == steady.written,
            "what was written is not in {}",
            beneath.display()
        );
        Ok(Measured {
            first_s: first.seconds,
            steady_s: steady.seconds,
            values,
            ..Measured::default()
        })
    });
    Ok(vec![Job {
        copied: true,
        write_back: true,
        target: None,
        ..job
    }])
}
