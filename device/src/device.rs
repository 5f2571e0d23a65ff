//! A ramzswap device: parameters, initialisation, status, reset.
//!
//! # Locks, outermost first
//!
//! | lock | guards | held over |
//! |---|---|---|
//! | `inner` of a device | its parameters, and what serves it | set-up, swap-on, reset; not swap-off |
//! | `CLAIMED` (`backing_swap.rs`) | which backing swaps this process uses | no wait |
//! | `policy` of the recompression | what it does from now on | no wait |
//! | `last` of the failures | the last request that failed, the last report | no wait |
//! | locks of the store | see the engine's `store` | no wait |
//!
//! `CLAIMED`, `policy` and `last` are each held alone or under `inner`, and no other lock under them. No request
//! takes `inner`, nor does any thread for whose end a reset waits: those of the transport, the keeper, the watcher,
//! the recompressor. The seals of an encrypted [backing swap](crate::backing_swap) have no lock.

mod env;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use compcache_engine::disk::PAGE;
use compcache_engine::stats::Stats;
use compcache_engine::{Store, StoreConfig};
use compcache_host::keeper::{Keeper, Wake};
use compcache_host::memory::{LinuxHost, MemfdFrames, MemfdSlots};
use compcache_host::overcommit::StrictOvercommit;
use compcache_host::zswap::ZswapOn;
use parking_lot::Mutex;

pub use env::Env;

use crate::backing_swap::encrypted::{self, Encryption};
use crate::backing_swap::{BackingSwap, resolve};
use crate::disk::{Disk, StoreDisk};
use crate::error::DeviceError;
use crate::freed::{Freeing, Watch};
use crate::node::{self, Node};
use crate::params::{Params, ParamsUpdate, Resolved};
use crate::pool_size;
use crate::recompress::Recompression;
use crate::settings::{BackingEncryption, DeadSlots};
use crate::status::{DeviceStats, DeviceStatus, Driver, State, SwapUse};
use crate::swap;
use crate::swap_device::SwapDevice;
use crate::swapoff::{self, Executor};
use crate::transport::{Attachment, DetachError};
use crate::warning::Warning;

type MemfdDisk = StoreDisk<LinuxHost, MemfdFrames, MemfdSlots>;

/// One ramzswap device. All methods may be called from many threads at once; those that
/// change the device wait for each other.
pub struct Device {
    number: u32,
    env: Arc<Env>,
    /// Outermost of this crate's locks.
    inner: Mutex<Inner>,
}

/// What changes of a device. While the lock is free:
///
/// 1. Once it is active, nothing is in `warned`, and `resolved` is what `params` give.
/// 2. It is active from the end of its initialisation until a reset has detached it.
#[derive(Default)]
struct Inner {
    params: Params,
    /// Warnings that `configure` has given, so that `init` does not repeat them.
    warned: Vec<Warning>,
    active: Option<Active>,
}

/// An initialised device. The fields are dropped in this order: nothing may reach the store
/// after the attachment has gone.
struct Active {
    attachment: Box<dyn Attachment>,
    node: Node,
    watch: Option<Watch>,
    _keeper: Keeper,
    recompression: Recompression,
    disk: Arc<MemfdDisk>,
    resolved: Resolved,
    /// What encrypts the backing swap.
    encryption: Option<Encryption>,
}

impl Active {
    /// What the store counts, with the memory of the encryption among its tables.
    fn stats(&self) -> Stats {
        let mut stats = self.disk.store().stats();
        stats.table_bytes += self.encryption.as_ref().map_or(0, Encryption::bytes);
        stats
    }
}

impl Device {
    /// Device `ramzswap<number>`, not initialised.
    #[must_use]
    pub fn new(number: u32, env: Arc<Env>) -> Self {
        Device {
            number,
            env,
            inner: Mutex::default(),
        }
    }

    fn name(&self) -> String {
        format!("ramzswap{}", self.number)
    }

    fn configure_new(
        &self,
        inner: &mut Inner,
        update: &ParamsUpdate,
    ) -> Result<Vec<Warning>, DeviceError> {
        let params = inner.params.with(update)?;
        let backing = params
            .backing_swap
            .as_deref()
            .map(BackingSwap::open)
            .transpose()?;
        let (_, warnings) = resolve(&params, self.env.ram_bytes, backing.as_ref())?;
        inner.params = params;
        inner.warned.clone_from(&warnings);
        Ok(warnings)
    }

    fn activate(
        &self,
        resolved: Resolved,
        backing: Option<BackingSwap>,
        choice: BackingEncryption,
    ) -> Result<(Active, Vec<Warning>), DeviceError> {
        let pages = resolved.disksize / PAGE;
        let sizes = pool_size::for_device(pages, resolved.memlimit, self.env.workers);
        let table_bytes = pages * 8;
        let resident = table_bytes <= self.env.ram_bytes / 16;
        let mut warnings = Vec::new();
        if !resident {
            warnings.push(Warning::SlotTableNotResident { bytes: table_bytes });
        }
        let (backing, encryption) = encrypted::access(backing, choice, self.env.workers)?;
        let frames = MemfdFrames::new("ramzswap pool", sizes.frames)?;
        // What keeps the frames from being locked keeps all else, too: one warning will do.
        let key_locked = encryption.as_ref().map_or(Ok(()), Encryption::locked);
        let locked = frames.locked().and(key_locked);
        warnings.extend(locked.err().map(Warning::from));
        let slots = MemfdSlots::new("ramzswap slot table", pages, resident)?;
        let wake = Arc::new(Wake::default());
        let wake_recompression = Arc::new(Wake::default());
        let store = Store::try_new(
            LinuxHost::new(Arc::clone(&wake), Arc::clone(&wake_recompression)),
            frames,
            slots,
            backing,
            StoreConfig {
                memlimit: resolved.memlimit,
                codec: resolved.codec,
                arenas: sizes.arenas,
                reserve_bytes: sizes.reserve_bytes,
            },
        )?;
        // The reserve is filled before the first write comes.
        while store.keep() {}
        let disk = Arc::new(StoreDisk::new(store, self.env.cpu_latency.clone()));
        self.write_swap_header(&disk, pages)?;
        let kept = Arc::clone(&disk);
        let name = self.name();
        let keep = move || {
            report_failures(&name, &kept, false);
            kept.store().keep()
        };
        let keeper = Keeper::start(&self.name(), wake, keep)
            .map_err(|e| DeviceError::system("start the keeper thread", e, None))?;
        let recompression = Recompression::start(
            &self.name(),
            wake_recompression,
            resolved.recompress,
            Arc::clone(&disk),
        )
        .map_err(|e| DeviceError::system("start the recompressing thread", e, None))?;
        let served: Arc<dyn Disk> = Arc::clone(&disk) as Arc<dyn Disk>;
        let mut attachment = self.env.transport.attach(served, &self.name())?;
        warnings.extend_from_slice(attachment.warnings());
        let node = match Node::make(self.node(), attachment.block_device()) {
            Ok(node) => node,
            Err(error) => {
                if let Err(leftover) = attachment.detach() {
                    tracing::error!(device = %self.name(), "{leftover}");
                }
                return Err(error);
            }
        };
        let watch = self.watch(attachment.block_device(), &disk);
        let active = Active {
            attachment,
            node,
            watch,
            _keeper: keeper,
            recompression,
            disk,
            resolved,
            encryption,
        };
        Ok((active, warnings))
    }

    /// Watches for the slots that the kernel frees, if that is wanted and possible.
    fn watch(&self, block_device: &Path, disk: &Arc<MemfdDisk>) -> Option<Watch> {
        if self.env.dead_slots == DeadSlots::Clusters {
            return None;
        }
        let most_bytes = self.env.ram_bytes / 1024;
        let pages = disk.store().pages();
        let watch = Watch::start(&self.name(), block_device, pages, most_bytes, |dead| {
            disk.revive_in(dead);
            let (disk, dead) = (Arc::clone(disk), Arc::clone(dead));
            move |page| {
                disk.store().discard_if(page, || dead.take(page));
            }
        });
        watch
            .map_err(|error| {
                static WARNED: std::sync::Once = std::sync::Once::new();
                WARNED.call_once(|| {
                    tracing::warn!(
                        "dead swap slots are freed by cluster, not at once, which takes more \
                         memory: {error}"
                    );
                });
            })
            .ok()
    }

    /// Gives the disk a ready swap header, as `mkswap` would.
    fn write_swap_header(&self, disk: &MemfdDisk, pages: u64) -> Result<(), DeviceError> {
        let failed = |e: std::io::Error| DeviceError::system("write the swap header", e, None);
        let header = swap::fresh_header(pages, &self.name()).map_err(failed)?;
        disk.write(&mut disk.worker()?, 0, &header.to_page())
            .map_err(|e| failed(std::io::Error::from_raw_os_error(e.errno())))
    }

    fn busy(&self, reason: &str) -> DeviceError {
        DeviceError::Busy {
            number: self.number,
            reason: reason.to_owned(),
        }
    }

    fn check_served(&self, active: &Active) -> Result<(), DeviceError> {
        if active.attachment.is_served() {
            return Ok(());
        }
        Err(DeviceError::NotServed {
            number: self.number,
        })
    }

    fn not_initialised(&self) -> DeviceError {
        DeviceError::NotInitialised {
            number: self.number,
        }
    }

    /// The use of the device as swap, by the kernel's table.
    fn swap_use(&self, active: &Active) -> Result<Option<SwapUse>, DeviceError> {
        let entry =
            swap::find(active.attachment.block_device()).map_err(swap::errors::unreadable)?;
        Ok(entry.map(SwapUse::from))
    }
}

impl SwapDevice for Device {
    fn number(&self) -> u32 {
        self.number
    }

    fn node(&self) -> PathBuf {
        self.env.dev_dir.join(self.name())
    }

    fn hidden_by(&self) -> Option<PathBuf> {
        if self.is_ready() {
            return None;
        }
        node::leads_to(&self.node())
    }

    fn is_ready(&self) -> bool {
        self.inner.lock().active.is_some()
    }

    fn configure(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError> {
        let mut inner = self.inner.lock();
        if inner.active.is_some() {
            return Err(DeviceError::AlreadyInitialised {
                number: self.number,
                action: "change its parameters",
            });
        }
        self.configure_new(&mut inner, update)
    }

    fn init(&self) -> Result<Vec<Warning>, DeviceError> {
        let mut inner = self.inner.lock();
        if inner.active.is_some() {
            return Err(DeviceError::AlreadyInitialised {
                number: self.number,
                action: "initialise it again",
            });
        }
        let backing = inner
            .params
            .backing_swap
            .as_deref()
            .map(BackingSwap::open)
            .transpose()?;
        let ram_bytes = self.env.ram_bytes;
        let (resolved, mut warnings) = resolve(&inner.params, ram_bytes, backing.as_ref())?;
        warnings.retain(|w| !inner.warned.contains(w));
        let choice = inner.params.backing_encryption.unwrap_or_default();
        let (active, more) = self.activate(resolved, backing, choice)?;
        warnings.extend(more);
        warnings.extend(StrictOvercommit::now().map(Warning::from));
        warnings.extend(ZswapOn::now().map(Warning::from));
        inner.active = Some(active);
        inner.warned.clear();
        for warning in &warnings {
            tracing::warn!(device = %self.name(), "{warning}");
        }
        tracing::info!(
            device = %self.name(),
            disksize = resolved.disksize,
            memlimit = resolved.memlimit,
            codec = %resolved.codec,
            "initialised"
        );
        Ok(warnings)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        let mut inner = self.inner.lock();
        let Some(active) = &mut inner.active else {
            *inner = Inner::default();
            return Ok(());
        };
        if self.swap_use(active)?.is_some() {
            return Err(self.busy("it is swapped on; swapoff first"));
        }
        let detached = match active.attachment.detach() {
            Err(DetachError::Busy) => {
                return Err(self.busy(
                    "its block device is swapped on, mounted or otherwise held; free it first",
                ));
            }
            Err(DetachError::Leftover(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        let unlinked = active.node.remove();
        report_failures(&self.name(), &active.disk, true);
        *inner = Inner::default();
        tracing::info!(device = %self.name(), "reset");
        detached.and(unlinked)
    }

    fn set(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError> {
        let mut inner = self.inner.lock();
        let Inner { params, active, .. } = &mut *inner;
        let Some(active) = active else {
            let mut warnings = self.configure_new(&mut inner, update)?;
            warnings.push(Warning::NotInUse {
                number: self.number,
            });
            return Ok(warnings);
        };
        if !update.is_live() {
            return Err(DeviceError::AlreadyInitialised {
                number: self.number,
                action: "change its size, its memory limit, its backing swap or how that is encrypted",
            });
        }
        *params = params.with(update)?;
        let (codec, recompress) = (params.codec.unwrap_or_default(), params.recompress());
        active.disk.store().set_codec(codec);
        active.recompression.set(recompress);
        active.resolved.codec = codec;
        active.resolved.recompress = recompress;
        Ok(Vec::new())
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, DeviceError> {
        let inner = self.inner.lock();
        let active = inner.active.as_ref().ok_or(self.not_initialised())?;
        if self.swap_use(active)?.is_some() {
            return Err(self.busy("it is swapped on already"));
        }
        self.check_served(active)?;
        let priority = swap::on_above_all(active.attachment.block_device(), priority, true)
            .map_err(|e| swap::errors::refused(&self.name(), e))?;
        tracing::info!(device = %self.name(), priority, "swapped on");
        Ok(priority)
    }

    fn swap_off(&self, executor: &Executor<'_>) -> Result<(), DeviceError> {
        let block_device = match &self.inner.lock().active {
            Some(active) => active.attachment.block_device().to_owned(),
            None => return Ok(()),
        };
        // Without the lock: the status must be there to see while pages come back.
        swapoff::swap_off(self.number, &block_device, executor)
    }

    fn status(&self) -> DeviceStatus {
        let inner = self.inner.lock();
        let active = inner.active.as_ref();
        let swap = active.and_then(|active| {
            self.swap_use(active).unwrap_or_else(|error| {
                tracing::warn!(device = %self.name(), "{error}");
                None
            })
        });
        let params = &inner.params;
        let recompress = params.recompress();
        DeviceStatus {
            number: self.number,
            driver: Driver::User,
            state: if active.is_some() {
                State::Ready
            } else {
                State::New
            },
            node: self.node(),
            error: active
                .and_then(|active| self.check_served(active).err())
                .map(|error| error.to_string()),
            block_device: active.map(|a| a.attachment.block_device().to_owned()),
            transport: active.map(|a| a.attachment.transport().to_owned()),
            dead_slots: active.map(|a| match a.watch {
                Some(_) => Freeing::AtOnce,
                None => Freeing::ByCluster,
            }),
            swap,
            params: params.to_update(),
            disksize: active.map_or(params.disksize.unwrap_or(0), |a| a.resolved.disksize),
            memlimit: active
                .map_or(params.memlimit, |a| a.resolved.memlimit)
                .filter(|bytes| *bytes > 0),
            backing_swap: params.backing_swap.clone(),
            backing_encryption: active.filter(|_| params.backing_swap.is_some()).map(|a| {
                a.encryption
                    .as_ref()
                    .map_or("off", Encryption::name)
                    .to_owned()
            }),
            codec: active
                .map_or(params.codec.unwrap_or_default(), |a| a.resolved.codec)
                .to_string(),
            recompress: recompress.codec.to_string(),
            recompress_after: recompress.after_seconds,
            recompress_cpu: recompress.cpu_percent,
            stats: active.map_or_else(DeviceStats::default, |a| {
                let cpu_ns = a.recompression.cpu_ns();
                DeviceStats {
                    store: a.stats(),
                    invalid_io: a.disk.invalid_io(),
                    recompress_cpu_ns: cpu_ns,
                }
            }),
        }
    }

    fn memory(&self) -> u64 {
        self.inner
            .lock()
            .active
            .as_ref()
            .map_or(0, |active| active.stats().memory_bytes())
    }
}

/// Logs requests that failed, unless others were logged shortly before and there is a later chance.
fn report_failures(device: &str, disk: &MemfdDisk, no_later_chance: bool) {
    if let Some(report) = disk.failures().report(Instant::now(), no_later_chance) {
        tracing::error!(device, "{report}");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.reset() {
            tracing::error!("{error}");
            // While it is in use it must be served as long as the process lives.
            std::mem::forget(self.inner.get_mut().active.take());
        }
    }
}
