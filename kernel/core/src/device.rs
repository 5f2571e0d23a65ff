//! The life cycle of a device: parameters, initialised, reset to parameters again.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use compcache_engine::disk::PAGE;
use compcache_engine::fallible::NoMemory;
use compcache_engine::stats::Stats;

use crate::backing::BackingSwap;
use crate::codecs;
use crate::error::Error;
use crate::live::Live;
use crate::params::Params;
use crate::print::{Level, print};
use crate::{fallible, features, sys};

/// Slots may take this share of the memory.
const TABLE_SHARE: u64 = 4;

/// `/dev/ramzswapN`.
#[derive(Debug)]
pub(crate) struct Device {
    number: u32,
    disk: AtomicPtr<sys::Disk>,
    params: UnsafeCell<Params>,
    /// Where a snapshot of the counters is taken: it is too large for a stack.
    stats: UnsafeCell<Box<Stats>>,
    /// What serves requests; null while the device is not initialised. Changed by whoever holds
    /// the control lock.
    live: AtomicPtr<Live>,
    /// Requests that were refused because they were not whole pages of the disk.
    invalid_io: AtomicU64,
}

// SAFETY: `params` and `stats` are reached through `Control` only, whose lock lets one in at a time.
unsafe impl Sync for Device {}

impl Device {
    /// A device without a disk. May sleep.
    pub(crate) fn new(number: u32) -> Result<Self, NoMemory> {
        // SAFETY: a snapshot is made of numbers.
        let stats = unsafe { fallible::zeroed::<Stats>()? };
        Ok(Device {
            number,
            disk: AtomicPtr::new(ptr::null_mut()),
            params: UnsafeCell::new(Params::new()),
            stats: UnsafeCell::new(stats),
            live: AtomicPtr::new(ptr::null_mut()),
            invalid_io: AtomicU64::new(0),
        })
    }

    /// Makes its disk, which nobody sees yet. The device must stay where it is from now on, until
    /// it is dropped. May sleep.
    pub(crate) fn make_disk(&self) -> Result<(), Error<'static>> {
        let mut error = 0;
        let at = ptr::from_ref(self).cast();
        // SAFETY: the device stays for as long as the disk.
        let disk = unsafe { sys::rzk_disk_alloc(self.number, at, &mut error) };
        if disk.is_null() {
            return Err(no_disk(error));
        }
        self.disk.store(disk, Ordering::Release);
        Ok(())
    }

    /// Shows the disk that was made: from now on it may be opened, until the device is dropped. May
    /// sleep.
    pub(crate) fn show_disk(&self) -> Result<(), Error<'static>> {
        // SAFETY: the disk was made, and is shown once.
        match unsafe { sys::rzk_disk_add(self.disk()) } {
            0 => Ok(()),
            error => Err(no_disk(error)),
        }
    }

    /// The device's number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Its disk.
    pub(crate) fn disk(&self) -> *mut sys::Disk {
        self.disk.load(Ordering::Acquire)
    }

    /// What serves requests, while the device is initialised.
    ///
    /// # Safety
    /// The caller must be one whom a reset waits for: it serves a request, frees a slot of a disk
    /// that is swapped on, or holds the control lock.
    #[inline]
    pub(crate) unsafe fn live(&self) -> Option<&Live> {
        // SAFETY: a pointer that is published is to a `Live` that a reset frees after it has waited
        // for all of those.
        unsafe { self.live.load(Ordering::Acquire).as_ref() }
    }

    /// Counts a request that was refused.
    pub(crate) fn count_invalid_io(&self) {
        self.invalid_io.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were refused since the device was initialised.
    pub(crate) fn invalid_io(&self) -> u64 {
        self.invalid_io.load(Ordering::Relaxed)
    }

    /// Takes the control lock. May sleep.
    pub(crate) fn control(&self) -> Control<'_> {
        // SAFETY: the disk is there for as long as anybody can reach the device; unlocked by `drop`.
        unsafe { sys::rzk_disk_lock(self.disk()) };
        Control { device: self }
    }
}

fn no_disk(code: i32) -> Error<'static> {
    Error::Kernel {
        action: "make its disk",
        code: -code,
        remedy: Some("load the module with fewer devices, or free memory"),
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let disk = *self.disk.get_mut();
        if disk.is_null() {
            return;
        }
        // An attribute that is written meanwhile may initialise the device: so they go first.
        // SAFETY: made by `rzk_disk_alloc`. Nobody has it open: the module is going, or was never to be
        // seen.
        unsafe { sys::rzk_disk_del(disk) };
        let mut control = self.control();
        control.end_life();
        drop(control);
        // SAFETY: removed above, freed once.
        unsafe { sys::rzk_disk_put(disk) }
    }
}

/// A device under its control lock; it dereferences to the parameters.
#[derive(Debug)]
pub(crate) struct Control<'a> {
    device: &'a Device,
}

impl Deref for Control<'_> {
    type Target = Params;

    fn deref(&self) -> &Params {
        // SAFETY: the lock is ours.
        unsafe { &*self.device.params.get() }
    }
}

impl DerefMut for Control<'_> {
    fn deref_mut(&mut self) -> &mut Params {
        // SAFETY: the lock is ours, and `self` is borrowed exclusively.
        unsafe { &mut *self.device.params.get() }
    }
}

impl Drop for Control<'_> {
    fn drop(&mut self) {
        // SAFETY: locked by `Device::control`.
        unsafe { sys::rzk_disk_unlock(self.device.disk()) }
    }
}

/// Fills in a snapshot of a device's counters.
fn read_stats(live: &Live, stats: &mut Stats) {
    live.store().read_stats(stats);
    // A write that was tried again is one write, which did not fail.
    let retried = live.retried.load(Ordering::Relaxed);
    stats.failed_writes = stats.failed_writes.saturating_sub(retried);
    stats.writes = stats.writes.saturating_sub(retried);
    // So is a read, which failed, of one page that is corrupt.
    let read_again = live.read_again.load(Ordering::Relaxed);
    stats.reads = stats.reads.saturating_sub(read_again);
    stats.failed_reads = stats.failed_reads.saturating_sub(read_again);
    stats.corrupt = stats.corrupt.saturating_sub(read_again);
}

impl Control<'_> {
    /// The device.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// What serves requests, while the device is initialised.
    pub(crate) fn live(&self) -> Option<&Live> {
        // SAFETY: the control lock is ours.
        unsafe { self.device.live() }
    }

    /// A snapshot of the counters; zeros before the device is initialised.
    pub(crate) fn stats(&mut self) -> &Stats {
        // SAFETY: the lock is ours, and `self` is borrowed exclusively.
        let stats = unsafe { &mut **self.device.stats.get() };
        match self.live() {
            Some(live) => read_stats(live, stats),
            None => *stats = Stats::default(),
        }
        stats
    }

    /// The parameters, to change what can be changed before a life only.
    ///
    /// # Errors
    /// [`Error::Initialised`]; `action` says what for.
    pub(crate) fn before_life(
        &mut self,
        action: &'static str,
    ) -> Result<&mut Params, Error<'static>> {
        match self.live() {
            Some(_) => Err(Error::Initialised { action }),
            None => Ok(self),
        }
    }

    /// Initialises the device. May sleep.
    pub(crate) fn initialise(&mut self) -> Result<(), Error<'_>> {
        if self.live().is_some() {
            return Err(Error::Initialised {
                action: "initialise it again",
            });
        }
        let number = self.device.number;
        let params: &Params = self;
        let backing = match &params.backing_swap {
            Some(path) => Some(BackingSwap::open(number, path)?),
            None => None,
        };
        let size = backing.as_ref().map(|backing| backing.pages() * PAGE);
        // SAFETY: may be called anywhere.
        let ram = unsafe { sys::rzk_totalram_bytes() };
        let resolved = params.sizes().resolve(ram, size, |warning| {
            print(Level::Warning, Some(number), format_args!("{warning}"));
        })?;
        let table = resolved.disksize / PAGE * 8;
        if table > ram / TABLE_SHARE {
            return Err(Error::TableTooLarge {
                disksize: resolved.disksize,
                table,
                ram,
            });
        }
        let synchronous = features::is_synchronous(backing.is_some());
        // SAFETY: the disk is there, and has no size: nothing is under way.
        let code = unsafe { sys::rzk_disk_set_synchronous(self.device.disk(), synchronous) };
        if code != 0 {
            return Err(Error::Kernel {
                action: "choose how the kernel swaps on it",
                code: -code,
                remedy: None,
            });
        }
        let live = Live::start(number, params, resolved, backing)?;
        print(
            Level::Info,
            Some(number),
            format_args!(
                "initialised: disk of {} kB, codec {}{}",
                resolved.disksize / 1024,
                params.codec,
                if codecs::uses_vector() { " (AVX2)" } else { "" },
            ),
        );
        self.device.invalid_io.store(0, Ordering::Relaxed);
        self.device
            .live
            .store(Box::into_raw(live), Ordering::Release);
        // SAFETY: the disk is there.
        unsafe { sys::rzk_disk_set_capacity(self.device.disk(), resolved.disksize) };
        Ok(())
    }

    /// Resets the device, which `own_openers` of the caller's have open: what it holds is lost,
    /// and its parameters are those of a new one. May sleep.
    pub(crate) fn reset(&mut self, own_openers: u32) -> Result<(), Error<'static>> {
        if self.live().is_some() {
            let disk = self.device.disk();
            // SAFETY: the disk is there; unclaimed below.
            if unsafe { sys::rzk_disk_claim(disk, own_openers) } != 0 {
                return Err(Error::Held);
            }
            // SAFETY: the disk is there, and what its page cache has is written while it can be.
            unsafe { sys::rzk_disk_invalidate(disk) };
            self.end_life();
            // SAFETY: claimed above.
            unsafe { sys::rzk_disk_unclaim(disk) };
            print(Level::Info, Some(self.device.number), format_args!("reset"));
        }
        **self = Params::new();
        Ok(())
    }

    /// Takes apart what serves requests, once those that had begun have ended.
    fn end_life(&mut self) {
        let live = self.device.live.swap(ptr::null_mut(), Ordering::AcqRel);
        let Some(live) = NonNull::new(live) else {
            return;
        };
        // SAFETY: the disk is there; a `Live` that was published stays until here.
        unsafe {
            sys::rzk_disk_set_capacity(self.device.disk(), 0);
            sys::rzk_disk_drain(self.device.disk());
            while live.as_ref().deferred.load(Ordering::Acquire) != 0 {
                sys::rzk_usleep();
            }
        }
        // SAFETY: it is the box that was published. Nobody begins to use it since the pointer is
        // gone, and who had begun has ended: requests were waited for, and slots are freed of a
        // disk that is swapped on only, which is open then.
        drop(unsafe { Box::from_raw(live.as_ptr()) });
    }
}
