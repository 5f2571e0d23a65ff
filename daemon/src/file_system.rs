//! The real mounts.

use std::path::Path;
use std::sync::Arc;

use compcache_files::{FilesError, Hooks, Mount, MountOptions, RequestHook};

use crate::backend::{MountBackend, Mounted};
use crate::mounts::{dead, paths};
use crate::protocol::{ErrorCode, Refusal};
use crate::types::{CpuLatency, Ending, Loss, MountStatus};

/// Makes mounts of this process.
#[derive(Default)]
pub struct FileSystem {
    cpu_latency: Option<Arc<CpuLatency>>,
    /// Mount on top of what is dead, as kernels before 6.5 want it.
    on_top: bool,
}

impl FileSystem {
    /// Mounts whose requests are reported to `cpu_latency`.
    #[must_use]
    pub fn new(cpu_latency: Option<Arc<CpuLatency>>) -> FileSystem {
        FileSystem {
            cpu_latency,
            on_top: false,
        }
    }
}

impl MountBackend for FileSystem {
    fn start(
        &self,
        options: MountOptions,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn Mounted>, Refusal> {
        let (source, mountpoint) = paths::check(options.source.as_deref(), &options.mountpoint)?;
        if mountpoint != options.mountpoint || source != options.source {
            // The table of mounts knows them by their paths.
            let message = format!(
                "{} or its source is a path through a symbolic link: give {}",
                options.mountpoint.display(),
                mountpoint.display()
            );
            return Err(Refusal::new(ErrorCode::Einval, message));
        }
        let stuck = |e| {
            let message = format!(
                "{}: a mount whose daemon is gone cannot be removed: {e}; try `umount -l`",
                mountpoint.display()
            );
            Refusal::new(ErrorCode::Ebusy, message)
        };
        // One covers the directory until the new mount does.
        let dead = dead::clean_but_one(&mountpoint).map_err(stuck)?;
        let on_end: Box<dyn FnOnce() + Send> = match dead {
            Some(_) => {
                let path = mountpoint.clone();
                Box::new(move || {
                    uncover(&path);
                    on_end();
                })
            }
            None => on_end,
        };
        let latency = self.cpu_latency.clone();
        let on_request =
            latency.map(|latency| -> RequestHook { Arc::new(move || latency.request()) });
        let hooks = Hooks {
            on_end: Some(on_end),
            on_request,
            dead,
            on_top: self.on_top,
            ..Hooks::default()
        };
        let mount = Mount::start(options, hooks)?;
        if let Some(number) = dead {
            // By its number: nothing here asks whether a mount is dead that this process may serve. Whoever is killed while
            // it waits for an answer of its own never ends.
            dead::remove_one(&mountpoint, number).map_err(stuck)?;
        }
        Ok(Box::new(mount))
    }
}

/// Removes the dead mount that one at `path` had to be made on top of.
fn uncover(path: &Path) {
    if let Err(e) = dead::clean(path) {
        tracing::error!(
            "{}: a dead mount beneath the one that was unmounted cannot be removed: {e}; try `umount -l`",
            path.display()
        );
    }
}

impl Mounted for Mount {
    fn status(&self) -> MountStatus {
        Mount::status(self)
    }

    fn sync(&self) -> Result<(), Refusal> {
        Ok(Mount::sync(self)?)
    }

    fn unmount(&self, lazy: bool) -> Result<(), Refusal> {
        Mount::unmount(self, lazy)?;
        uncover(&self.options().mountpoint);
        Ok(())
    }

    fn end(&self) -> Ending {
        let ending = Mount::end(self);
        uncover(&self.options().mountpoint);
        ending
    }

    fn loss(&self) -> Option<Arc<Loss>> {
        Mount::loss(self)
    }
}

impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Refusal {
        let code = match &error {
            FilesError::System { source, .. } => source
                .raw_os_error()
                .map_or(ErrorCode::Eio, ErrorCode::from_errno),
            FilesError::Memory { .. } => ErrorCode::Enomem,
            FilesError::Invalid(_) | FilesError::Moved(_) => ErrorCode::Einval,
            FilesError::Busy(_) | FilesError::Covered(_) => ErrorCode::Ebusy,
        };
        Refusal::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use compcache_test_support::{mount_dead, needs, wait_until};
    use rustix::mount::UnmountFlags;

    use super::*;
    use crate::mounts::plan::{self, Environment};
    use crate::protocol::MountSpec;

    /// Who ends a mount, and how.
    type End = fn(&Path, &dyn Mounted);

    /// Whoever unmounts the new one sees the directory, as if nothing had been dead there.
    #[test]
    fn what_was_dead_goes_before_the_mount_or_with_it() {
        if !needs::root() || !needs::file("/dev/fuse") {
            return;
        }
        let by_us: End = |_, mounted| mounted.unmount(false).unwrap();
        let at_the_end: End = |_, mounted| assert_eq!(mounted.end(), Ending::Unmounted);
        let by_others: End = |point, _| {
            wait_until("umount", || {
                rustix::mount::unmount(point, UnmountFlags::empty()).is_ok()
            });
        };
        let _others = dead::tests::among_others();
        for on_top in [false, true] {
            for end in [by_us, at_the_end, by_others] {
                let dir = tempfile::tempdir().unwrap();
                let top = dir.path().canonicalize().unwrap();
                let [source, point] = ["source", "point"].map(|name| top.join(name));
                for path in [&source, &point] {
                    fs::create_dir(path).unwrap();
                }
                fs::write(source.join("file"), "").unwrap();
                fs::write(point.join("beneath"), "").unwrap();
                for _ in 0..3 {
                    mount_dead(&point, dead::KIND, libc::S_IFDIR);
                }
                let spec = MountSpec {
                    source: Some(source),
                    mountpoint: point.clone(),
                    ..MountSpec::default()
                };
                let (options, _) = plan::options(&spec, Environment::of_this_process()).unwrap();
                let (ended, end_told) = mpsc::channel();
                let file_system = FileSystem {
                    on_top,
                    ..FileSystem::default()
                };
                let on_end = Box::new(move || ended.send(()).unwrap());
                let mounted = file_system.start(options, on_end).unwrap();
                assert!(point.join("file").exists());
                end(&point, &*mounted);
                end_told.recv_timeout(Duration::from_secs(600)).unwrap();
                assert!(point.join("beneath").exists());
            }
        }
    }
}
