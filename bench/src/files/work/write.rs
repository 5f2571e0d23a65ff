//! Writes that must be on the disk.

use anyhow::{Result, ensure};

use super::job::{Job, Measured, Work};
use crate::file_set;
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::files::setup::Setup;
use crate::load;
use crate::load::Reply;
use crate::load::files::Request;

const FILE: &str = "written";

const SYNC_EVERY: u64 = 16;

/// A file that is written in order, and then here and there.
#[derive(Debug)]
struct Writes {
    pages: u64,
    overwrites: u64,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(config.store, file_set::FILE_BYTES)?;
    let work = Writes {
        pages: config.scaled(config.limit / 4096 / 2),
        overwrites: config.scaled(4000),
    };
    Ok(vec![Job {
        copied: true,
        write_back: true,
        target: None,
        ..Job::new(config, "write, fsync".into(), data, work)
    }])
}

impl Work for Writes {
    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let mut worker = setup.worker(round)?;
        let mut request = |request: &Request| worker.call::<Reply>(request);
        let first = request(&Request::Write {
            path: setup.directory().join(FILE),
            pages: self.pages,
        })?;
        let steady = request(&Request::Overwrite {
            writes: self.overwrites,
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
    }
}
