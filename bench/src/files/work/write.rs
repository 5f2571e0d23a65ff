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

/// The file that is written.
const FILE: &str = "written";

/// Overwritten pages between two fsync(2).
const SYNC_EVERY: u64 = 16;

/// A file that is written in order, and then here and there.
#[derive(Debug)]
struct Writes {
    /// Pages of the file.
    pages: u64,
    /// Pages that are overwritten.
    overwrites: u64,
}

/// The job.
///
/// # Errors
/// If the files cannot be made.
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
