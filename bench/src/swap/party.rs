//! The processes whose memory is swapped, from their parent's side.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use compcache::cgroup::Group;

use super::toucher::{Done, Phase};
use crate::worker::Worker;

/// Processes that do each phase together.
pub(crate) struct Party(Vec<Worker>);

impl Party {
    /// Starts `processes` of them in a cgroup; they share `pages` and wait.
    ///
    /// # Errors
    /// Where they do not start.
    pub(crate) fn start(
        group: &Group,
        samples: &Path,
        processes: usize,
        pages: usize,
        seed: u64,
    ) -> Result<Party> {
        let mut party = Party(Vec::new());
        for number in 0..processes {
            let worker = Worker::start(
                Command::new("/proc/self/exe")
                    .arg("toucher")
                    .arg("--samples")
                    .arg(samples)
                    .arg("--pages")
                    .arg((pages / processes).to_string())
                    .arg("--seed")
                    .arg((seed * 1000 + number as u64).to_string()),
            )?;
            let pid = worker.pid();
            party.0.push(worker);
            enter(&mut group.entrance()?, pid)?;
        }
        Ok(party)
    }

    /// Has all of them do a phase, and waits until they have.
    ///
    /// # Errors
    /// Where one of them finds a wrong page or is killed, or after Ctrl-C.
    pub(crate) fn work(&mut self, phase: Phase) -> Result<Vec<Done>> {
        self.0
            .iter_mut()
            .try_for_each(|worker| worker.order(&phase))?;
        self.0.iter_mut().map(Worker::answer).collect()
    }
}

/// Puts a process into a cgroup.
fn enter(entrance: &mut File, pid: u32) -> Result<()> {
    entrance
        .write_all(pid.to_string().as_bytes())
        .with_context(|| format!("cannot put process {pid} into the cgroup"))
}
