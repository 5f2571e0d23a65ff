//! All that one run needs: a place for files, a cgroup, and our daemon in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use compcache_engine::PAGE_SIZE;
use compcache_files::status::MountStatus;

use super::cgroup::Cgroup;
use super::config::Config;
use super::data::DataSet;
use super::mount::Mount;
use super::place::{Backend, Place};
use super::throttle::Throttle;
use crate::load;
use crate::machine::MachineLock;
use crate::process::{self, Ended};
use crate::worker::Worker;

#[derive(Debug)]
pub(crate) struct Conditions<'a> {
    pub(crate) data: &'a DataSet,
    pub(crate) copied: bool,
    /// Bytes of memory for all processes; `None` for no limit.
    pub(crate) limit: Option<u64>,
    pub(crate) throttle: Throttle,
}

/// A place for files, a cgroup, and who works there. Taken down when it is dropped; the fields are
/// dropped in their order.
#[derive(Debug)]
pub(crate) struct Setup {
    mount: Option<Mount>,
    pub(crate) cgroup: Cgroup,
    place: Place,
    pub(crate) data: DataSet,
    /// Bytes of memory for all processes; `None` for no limit.
    pub(crate) limit: Option<u64>,
    /// What our mount had done before what is measured last.
    marked: MountStatus,
    _lock: MachineLock,
}

impl Setup {
    /// Sets it up, with nothing in any cache, when nobody else uses these.
    pub(crate) fn new(
        config: &Config<'_>,
        backend: &Backend,
        of: &Conditions<'_>,
    ) -> Result<Setup> {
        let lock = MachineLock::take()?;
        let place = Place::new(backend, of.data, config.store, of.copied)?;
        let taken = place.memory()?;
        let limit = of.limit.map(|limit| remaining(limit, taken)).transpose()?;
        let cgroup = Cgroup::new(limit, of.throttle, config.disk)?;
        let mount = match backend {
            Backend::Ours(policy) => {
                let source = place.directory();
                Some(Mount::new(&cgroup, source, *policy, config.cache)?)
            }
            _ => None,
        };
        Ok(Setup {
            mount,
            cgroup,
            place,
            data: of.data.clone(),
            limit: of.limit,
            marked: MountStatus::default(),
            _lock: lock,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        match &self.mount {
            Some(mount) => mount.directory(),
            None => self.place.directory(),
        }
    }

    /// A process in the cgroup that reads and writes files of the directory.
    pub(crate) fn worker(&self, seed: u64) -> Result<Worker> {
        let mut command = load::command(seed);
        command
            .args(["files", "--directory"])
            .arg(self.directory())
            .arg("--sums")
            .arg(self.data.beside("sums"));
        self.cgroup.hold(&mut command)?;
        Worker::start(&mut command)
    }

    /// Runs a program in the cgroup to its end.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Ended> {
        self.cgroup.hold(command)?;
        process::run(command)
    }

    /// Ends whatever a workload has left running, which would keep our mount in use.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let servers = self.mount.as_mut().map(Mount::servers).transpose()?;
        self.cgroup
            .end_others(servers.as_ref().map_or(&[], |servers| servers))
    }

    /// What our mount has done and holds; `None` if there is none.
    pub(crate) fn status(&mut self) -> Result<Option<MountStatus>> {
        self.mount.as_mut().map(Mount::status).transpose()
    }

    /// Does something with the disk as fast as it is.
    pub(crate) fn unthrottled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.cgroup.throttle(false)?;
        let done = work()?;
        self.cgroup.throttle(true)?;
        Ok(done)
    }

    /// Notes what our mount has done so far: what is worth knowing is what comes after it.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.marked = self.status()?.unwrap_or_default();
        Ok(())
    }

    /// What is worth knowing of our mount at the end of a run; nothing if there is none.
    pub(crate) fn values(&mut self) -> Result<Vec<(String, f64)>> {
        let Some(mount) = &mut self.mount else {
            return Ok(Vec::new());
        };
        let status = mount.status()?;
        let hits = status.counts.hits - self.marked.counts.hits;
        let lookups = hits + status.counts.misses - self.marked.counts.misses;
        let compressed = status.compressed_bytes as f64 / (status.pages * PAGE_SIZE as u64) as f64;
        let pool_mib = status.pool_bytes as f64 / f64::from(1 << 20);
        Ok(vec![
            ("lookups".to_owned(), lookups as f64),
            ("hits".to_owned(), hits as f64 / lookups as f64),
            ("pool MiB".to_owned(), pool_mib),
            ("compressed to".to_owned(), compressed),
            ("daemon CPU s".to_owned(), mount.cpu_s()?),
        ])
    }

    /// Bytes of memory that all processes have now.
    pub(crate) fn used(&self) -> Result<u64> {
        Ok(self.cgroup.used()? + self.place.memory()?)
    }

    /// Takes our mount down and gives the directory beneath, where everything written must be.
    pub(crate) fn unmount(&mut self) -> Result<PathBuf> {
        if let Some(mount) = self.mount.take() {
            mount.end()?;
        }
        Ok(self.place.directory().to_owned())
    }

    pub(crate) fn end(mut self) -> Result<()> {
        self.unmount()?;
        let killed = self.cgroup.killed();
        self.cgroup.remove()?;
        ensure!(
            killed == 0,
            "{killed} processes were ended by the kernel, for lack of memory under the limit"
        );
        Ok(())
    }
}

/// What is left of `limit` for the cgroup if `taken` is used outside of it.
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
