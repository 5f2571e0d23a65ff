//! Devices and mounts without a kernel behind them, whose steps a test can make fail or wait.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use compcache_files::MountOptions;
use compcached::backend::{DeviceBackend, MountBackend, Mounted};
use compcached::protocol::{ErrorCode, Refusal};
use compcached::types::{
    DeviceStats, DeviceStatus, Driver, Ending, Loss, MountStatus, ParamsUpdate, State, SwapUse,
};
use parking_lot::{Condvar, Mutex};

/// What a fake device is and how it behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// The parameters set.
    pub(crate) params: ParamsUpdate,
    /// Whether it is initialised.
    pub(crate) ready: bool,
    /// Its priority while swapped on.
    pub(crate) swap: Option<i32>,
    /// The kernel driver has its name.
    pub(crate) taken: bool,
    /// Makes `init` fail.
    pub(crate) fail_init: bool,
    /// Makes `reset` fail.
    pub(crate) fail_reset: bool,
    /// Makes `swap_on` fail.
    pub(crate) fail_swap_on: bool,
    /// Makes `swap_off` fail with ENOMEM.
    pub(crate) fail_swap_off: bool,
    /// Makes `swap_off` wait until this is false again.
    pub(crate) hold_swap_off: bool,
    /// Number of swap-offs that are waiting.
    pub(crate) waiting: u32,
}

/// A fake device; clones are the same device.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    number: u32,
    inner: Arc<(Mutex<Model>, Condvar)>,
}

impl Fake {
    /// A new device.
    pub(crate) fn new(number: u32) -> Fake {
        Fake {
            number,
            ..Fake::default()
        }
    }

    /// The device now.
    pub(crate) fn model(&self) -> Model {
        self.inner.0.lock().clone()
    }

    /// Changes the device or its behaviour.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.inner.0.lock());
        self.inner.1.notify_all();
    }

    /// Waits until the device is as `condition` says.
    pub(crate) fn wait_for(&self, condition: impl Fn(&Model) -> bool) {
        let mut model = self.inner.0.lock();
        while !condition(&model) {
            let limit = std::time::Duration::from_secs(600);
            let waited = self.inner.1.wait_for(&mut model, limit);
            assert!(!waited.timed_out(), "never came: {model:?}");
        }
    }

    fn change<T>(&self, f: impl FnOnce(&mut Model) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let result = f(&mut self.inner.0.lock());
        self.inner.1.notify_all();
        result
    }
}

fn refuse<T>(code: ErrorCode, message: &str) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

impl DeviceBackend for Fake {
    fn number(&self) -> u32 {
        self.number
    }

    fn obstacle(&self) -> Option<Refusal> {
        let refusal = || Refusal::new(ErrorCode::Ebusy, "it is a device of the kernel driver");
        self.model().taken.then(refusal)
    }

    fn configure(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if m.ready {
                return refuse(ErrorCode::Ebusy, "initialised: reset it first");
            }
            if params.disksize == Some(0) {
                return refuse(ErrorCode::Einval, "disksize 0 is refused");
            }
            m.params.disksize = params.disksize.or(m.params.disksize);
            m.params.codec = params.codec.clone().or(m.params.codec.take());
            Ok(Vec::new())
        })
    }

    fn init(&self) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if m.ready {
                return refuse(ErrorCode::Ebusy, "initialised already: reset it first");
            }
            if m.fail_init {
                return refuse(ErrorCode::Enospc, "no free loop device");
            }
            m.ready = true;
            Ok(vec!["a warning of init".into()])
        })
    }

    fn reset(&self) -> Result<(), Refusal> {
        self.change(|m| {
            if m.swap.is_some() {
                return refuse(ErrorCode::Ebusy, "swapped on: swapoff first");
            }
            if m.fail_reset {
                return refuse(ErrorCode::Ebusy, "its block device is held");
            }
            m.ready = false;
            m.params = ParamsUpdate::default();
            Ok(())
        })
    }

    fn set(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        self.change(|m| {
            if params.codec.as_deref() == Some("gzip") {
                return refuse(ErrorCode::Einval, "unknown codec 'gzip'");
            }
            m.params = params.clone().or(m.params.clone());
            Ok(Vec::new())
        })
    }

    fn status(&self) -> DeviceStatus {
        let m = self.model();
        DeviceStatus {
            number: self.number,
            driver: Driver::User,
            state: if m.ready { State::Ready } else { State::New },
            node: PathBuf::from(format!("/dev/ramzswap{}", self.number)),
            block_device: m
                .ready
                .then(|| PathBuf::from(format!("/dev/loop{}", self.number))),
            transport: m.ready.then(|| "fake".to_owned()),
            error: None,
            dead_slots: None,
            swap: m.swap.map(|priority| SwapUse {
                priority,
                used_bytes: 0,
                size_bytes: 4096,
            }),
            disksize: m.params.disksize.unwrap_or(0),
            memlimit: None,
            backing_swap: None,
            backing_encryption: None,
            codec: m
                .params
                .codec
                .clone()
                .unwrap_or_else(|| "wks:balanced".to_owned()),
            recompress: m
                .params
                .recompress
                .clone()
                .unwrap_or_else(|| "off".to_owned()),
            recompress_after: 30,
            recompress_cpu: 10,
            params: m.params,
            stats: DeviceStats::default(),
        }
    }

    fn memory(&self) -> u64 {
        4096
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal> {
        self.change(|m| {
            if !m.ready || m.fail_swap_on {
                return refuse(ErrorCode::Eperm, "swapon failed");
            }
            let priority = priority.unwrap_or(7);
            m.swap = Some(priority);
            Ok(priority)
        })
    }

    fn swap_off(&self) -> Result<(), Refusal> {
        self.set(|m| m.waiting += 1);
        self.wait_for(|m| !m.hold_swap_off);
        self.change(|m| {
            m.waiting -= 1;
            if m.fail_swap_off {
                return refuse(
                    ErrorCode::Enomem,
                    "swapoff failed: its pages do not fit back",
                );
            }
            m.swap = None;
            Ok(())
        })
    }
}

/// What fake mounts do.
#[derive(Debug, Default)]
pub(crate) struct MountModel {
    /// Makes the next mounts wait until this is false again.
    pub(crate) hold_mount: bool,
    /// Makes unmounts wait until this is false again.
    pub(crate) hold_unmount: bool,
    /// Number of mounts and unmounts that are waiting.
    pub(crate) waiting: u32,
    /// Makes `start` fail.
    pub(crate) fail_mount: bool,
    /// Paths of mounts that are in use.
    pub(crate) busy: BTreeSet<PathBuf>,
    /// Makes `unmount` wait, as for a source that does not answer; `end` gives up.
    pub(crate) hang: bool,
    /// Makes pages be dirty for ever.
    pub(crate) fail_sync: bool,
    /// What was done, in order: `mount`, `sync`, `unmount`, `detach`, `give up` and the path.
    pub(crate) done: Vec<String>,
    /// What to call when a mount is over.
    pub(crate) on_end: BTreeMap<PathBuf, OnEnd>,
    /// Bytes that the last mount could take of its budget when it was made.
    pub(crate) share: u64,
}

pub(crate) struct OnEnd(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnEnd")
    }
}

/// Makes fake mounts; clones make the same ones.
#[derive(Clone, Default)]
pub(crate) struct FakeMounts(Arc<(Mutex<MountModel>, Condvar)>);

struct FakeMount {
    options: MountOptions,
    mounts: FakeMounts,
}

impl FakeMounts {
    /// Looks at what they did, or changes what they do.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut MountModel) -> T) -> T {
        let result = f(&mut self.0.0.lock());
        self.0.1.notify_all();
        result
    }

    /// Waits until they are as `condition` says.
    pub(crate) fn wait_for(&self, condition: impl Fn(&MountModel) -> bool) {
        let mut model = self.0.0.lock();
        while !condition(&model) {
            let limit = std::time::Duration::from_secs(600);
            let waited = self.0.1.wait_for(&mut model, limit);
            assert!(!waited.timed_out(), "never came: {model:?}");
        }
    }

    /// Plays somebody else who unmounts, or who closes the last file of a mount in use.
    pub(crate) fn end(&self, path: &str) {
        let OnEnd(callback) = self.with(|m| m.on_end.remove(&PathBuf::from(path)).unwrap());
        callback();
    }
}

impl MountBackend for FakeMounts {
    fn start(
        &self,
        options: MountOptions,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn Mounted>, Refusal> {
        let path = options.mountpoint.clone();
        let budget = options.budget.clone().unwrap();
        let share = budget.share(options.limits.cache);
        self.with(|m| (m.waiting, m.share) = (m.waiting + 1, share));
        self.wait_for(|m| !m.hold_mount);
        self.with(|m| {
            m.waiting -= 1;
            if m.fail_mount {
                return refuse(ErrorCode::Eio, "the source does not answer");
            }
            m.done.push(format!("mount {}", path.display()));
            m.on_end.insert(path, OnEnd(on_end));
            Ok(())
        })?;
        Ok(Box::new(FakeMount {
            options,
            mounts: self.clone(),
        }))
    }
}

impl FakeMount {
    fn did(&self, model: &mut MountModel, what: &str) {
        let path = self.options.mountpoint.display();
        model.done.push(format!("{what} {path}"));
    }
}

impl Mounted for FakeMount {
    fn status(&self) -> MountStatus {
        let text = |path: &PathBuf| path.display().to_string();
        MountStatus {
            source: self.options.source.as_ref().map(text).unwrap_or_default(),
            mountpoint: text(&self.options.mountpoint),
            limit: self.options.limits.cache,
            ..MountStatus::default()
        }
    }

    fn sync(&self) -> Result<(), Refusal> {
        self.mounts.with(|m| {
            self.did(m, "sync");
            if m.fail_sync {
                return refuse(ErrorCode::Eio, "cannot write to the source");
            }
            Ok(())
        })
    }

    fn unmount(&self, lazy: bool) -> Result<(), Refusal> {
        self.mounts.with(|m| m.waiting += 1);
        self.mounts.wait_for(|m| !m.hold_unmount && !m.hang);
        let over = self.mounts.with(|m| {
            m.waiting -= 1;
            if m.fail_sync {
                return refuse(ErrorCode::Eio, "cannot write to the source");
            }
            let busy = m.busy.contains(&self.options.mountpoint);
            if busy && !lazy {
                return refuse(ErrorCode::Ebusy, "in use");
            }
            self.did(m, if lazy { "detach" } else { "unmount" });
            let over = m.on_end.remove(&self.options.mountpoint);
            if busy {
                m.on_end
                    .extend(over.map(|callback| (self.options.mountpoint.clone(), callback)));
                return Ok(None);
            }
            Ok(over)
        })?;
        if let Some(OnEnd(callback)) = over {
            callback();
        }
        Ok(())
    }

    fn end(&self) -> Ending {
        let ended = if self.mounts.with(|m| m.hang) {
            refuse(ErrorCode::Eio, "the source does not answer")
        } else {
            self.unmount(false)
        };
        match ended {
            Ok(()) => return Ending::Unmounted,
            Err(refusal) if refusal.code == ErrorCode::Ebusy => {}
            Err(refusal) => {
                self.mounts.with(|m| self.did(m, "give up"));
                return Ending::GivenUp(Arc::new(Loss {
                    mountpoint: self.options.mountpoint.clone(),
                    reason: refusal.message,
                    files: 1,
                    bytes: 4096,
                }));
            }
        }
        self.unmount(true).expect("a mount in use");
        Ending::Detached
    }

    fn loss(&self) -> Option<Arc<Loss>> {
        None
    }
}
