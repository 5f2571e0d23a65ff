//! All that one run needs: a place for files, a cage, and our daemon in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use compcache_engine::PAGE_SIZE;
use compcache_files::status::MountStatus;

use super::cage::Cage;
use super::data::{DataSet, Store};
use super::disk::Disk;
use super::mount::Mount;
use super::place::{Kind, Place};
use super::program::{self, Ended, Running};
use super::throttle::Throttle;
use crate::swap::Turn;
use crate::worker::Worker;

/// What is the same for all runs of a measurement.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// Where data sets are kept.
    pub(crate) store: &'a Store,
    /// The disk that they are on.
    pub(crate) disk: Option<Disk>,
    /// Bytes that the cache of our mount may take.
    pub(crate) cache: u64,
}

/// What is done in a run, beside the work itself.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// The files.
    pub(crate) data: &'a DataSet,
    /// Whether they are written to.
    pub(crate) copied: bool,
    /// Bytes of memory for all who take part; `None` for no limit.
    pub(crate) limit: Option<u64>,
    /// The speed of the disk.
    pub(crate) throttle: Throttle,
}

/// A place for files, a cage, and who works there. Taken down when it is dropped; the fields are
/// dropped in their order.
#[derive(Debug)]
pub(crate) struct Stage {
    mount: Option<Mount>,
    cage: Cage,
    place: Place,
    data: DataSet,
    limit: Option<u64>,
    /// What our mount had done before what is measured last.
    marked: MountStatus,
    _turn: Turn,
}

impl Stage {
    /// Sets it up, with nothing in any cache, when nobody else uses these.
    ///
    /// # Errors
    /// Where something of it cannot be had, or does not fit into the memory that there is.
    pub(crate) fn new(scene: &Scene<'_>, kind: &Kind, setup: &Setup<'_>) -> Result<Stage> {
        let turn = Turn::wait()?;
        let place = Place::new(kind, setup.data, scene.store, setup.copied)?;
        let limit = match setup.limit {
            Some(limit) => Some(remaining(limit, place.memory()?)?),
            None => None,
        };
        let cage = Cage::new(limit, setup.throttle, scene.disk)?;
        let mount = match kind {
            Kind::Ours(policy) => Some(Mount::new(&cage, place.directory(), *policy, scene.cache)?),
            _ => None,
        };
        Ok(Stage {
            mount,
            cage,
            place,
            data: setup.data.clone(),
            limit: setup.limit,
            marked: MountStatus::default(),
            _turn: turn,
        })
    }

    /// The directory to work in.
    pub(crate) fn directory(&self) -> &Path {
        match &self.mount {
            Some(mount) => mount.directory(),
            None => self.place.directory(),
        }
    }

    /// The data set that is there.
    pub(crate) fn data(&self) -> &DataSet {
        &self.data
    }

    /// Bytes of memory for all who take part; `None` for no limit.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// A process in the cage that reads and writes files of the directory.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn hand(&self, seed: u64) -> Result<Worker> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("hand")
            .arg("--directory")
            .arg(self.directory())
            .arg("--sums")
            .arg(self.data.beside("sums"))
            .arg("--seed")
            .arg(seed.to_string());
        self.cage.hold(&mut command)?;
        Worker::start(&mut command)
    }

    /// Runs a program in the cage to its end.
    ///
    /// # Errors
    /// Where it fails, or after Ctrl-C.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Ended> {
        program::run(command, &self.cage)
    }

    /// Starts a program in the cage.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Running> {
        Running::start(command, &self.cage)
    }

    /// Throttles the disk as the run says, or, for a while, does not.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn throttle(&self, on: bool) -> Result<()> {
        self.cage.throttle(on)
    }

    /// Ends whatever a work has left running, which would keep our mount in use.
    ///
    /// # Errors
    /// Where it does not end.
    pub(crate) fn clear(&self) -> Result<()> {
        self.cage.end_others(self.mount.as_ref().map(Mount::server))
    }

    /// What our mount has done and holds; `None` where there is none.
    ///
    /// # Errors
    /// Where the daemon does not answer.
    pub(crate) fn status(&mut self) -> Result<Option<MountStatus>> {
        self.mount.as_mut().map(Mount::status).transpose()
    }

    /// Notes what our mount has done so far: what is worth knowing is what comes after it.
    ///
    /// # Errors
    /// Where the daemon does not answer.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.marked = self.status()?.unwrap_or_default();
        Ok(())
    }

    /// What is worth knowing of our mount at the end of a run; nothing where there is none.
    ///
    /// # Errors
    /// Where the daemon does not answer.
    pub(crate) fn values(&mut self) -> Result<Vec<(String, f64)>> {
        let Some(mount) = &mut self.mount else {
            return Ok(Vec::new());
        };
        let status = mount.status()?;
        let hits = status.hits - self.marked.hits;
        let asked = hits + status.misses - self.marked.misses;
        let compressed = status.compressed_bytes as f64 / (status.pages * PAGE_SIZE as u64) as f64;
        Ok(vec![
            ("asked pages".to_owned(), asked as f64),
            ("hits".to_owned(), hits as f64 / asked as f64),
            (
                "pool MiB".to_owned(),
                status.pool_bytes as f64 / f64::from(1 << 20),
            ),
            ("compressed to".to_owned(), compressed),
            ("daemon CPU s".to_owned(), mount.cpu_s()),
        ])
    }

    /// Bytes of memory that all who take part have now.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub(crate) fn used(&self) -> Result<u64> {
        Ok(self.cage.used()? + self.place.memory()?)
    }

    /// Takes our mount down and gives the directory beneath, where everything written must be.
    ///
    /// # Errors
    /// Where that does not go.
    pub(crate) fn unmount(&mut self) -> Result<PathBuf> {
        if let Some(mount) = self.mount.take() {
            mount.end()?;
        }
        Ok(self.place.directory().to_owned())
    }

    /// Takes all of it down.
    ///
    /// # Errors
    /// Where that does not go, or where there was not enough memory for a process.
    pub(crate) fn end(mut self) -> Result<()> {
        self.unmount()?;
        let killed = self.cage.killed();
        self.cage.remove()?;
        ensure!(
            killed == 0,
            "{killed} processes were ended by the kernel, for lack of memory under the limit"
        );
        Ok(())
    }
}

/// What is left of `limit` for the cage where `taken` is used outside of it.
fn remaining(limit: u64, taken: u64) -> Result<u64> {
    let left = limit.saturating_sub(taken);
    ensure!(
        left >= limit / 8,
        "the compressed files take {} MiB of {} MiB of memory",
        taken >> 20,
        limit >> 20
    );
    Ok(left)
}
