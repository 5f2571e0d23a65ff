//! The processes whose memory is swapped, from their parent's side.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use compcache::cgroup::Group;

use crate::load::memory::Phase;
use crate::load::{self, Reply};
use crate::worker::Worker;

pub(crate) struct Processes(Vec<Worker>);

impl Processes {
    /// Starts `number` of them in a cgroup; they share `pages` and wait.
    pub(crate) fn start(
        group: &Group,
        samples: &Path,
        number: usize,
        pages: usize,
        seed: u64,
    ) -> Result<Processes> {
        let mut all = Processes(Vec::new());
        for at in 0..number as u64 {
            let mut command = load::command(seed * 1000 + at);
            command
                .args(["memory", "--pages", &(pages / number).to_string()])
                .arg("--samples")
                .arg(samples);
            let worker = Worker::start(&mut command)?;
            let pid = worker.pid();
            all.0.push(worker);
            let entered = group.entrance()?.write_all(pid.to_string().as_bytes());
            entered.with_context(|| format!("cannot put process {pid} into the cgroup"))?;
        }
        Ok(all)
    }

    /// Has all of them do a phase, and waits until they have.
    pub(crate) fn work(&mut self, phase: Phase) -> Result<Vec<Reply>> {
        self.0
            .iter_mut()
            .try_for_each(|worker| worker.send(&phase))?;
        self.0.iter_mut().map(Worker::receive).collect()
    }
}
