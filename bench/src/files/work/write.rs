//! Writes that must be on the disk.

use anyhow::{Result, ensure};

use super::{Job, Measured, Setting, Work};
use crate::files::data::corpus;
use crate::files::hand;
use crate::files::orders::{Done, Order};
use crate::files::stage::Stage;

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
/// Where the files cannot be made.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(setting.store, corpus::FILE_BYTES)?;
    let work = Writes {
        pages: setting.scaled(setting.limit / 4096 / 2),
        overwrites: setting.scaled(4000),
    };
    Ok(vec![Job {
        copied: true,
        write_back: true,
        target: None,
        ..Job::new(setting, "write, fsync".into(), data, work)
    }])
}

impl Work for Writes {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let mut hand = stage.hand(round)?;
        let mut order = |order: &Order| -> Result<Done> {
            hand.order(order)?;
            hand.answer()
        };
        let first = order(&Order::Write {
            path: stage.directory().join(FILE),
            pages: self.pages,
        })?;
        let steady = order(&Order::Overwrite {
            writes: self.overwrites,
            sync_every: SYNC_EVERY,
        })?;
        drop(hand);
        let values = stage.values()?;
        let beneath = stage.unmount()?.join(FILE);
        ensure!(
            hand::sum_of_file(&beneath)? == steady.written,
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
