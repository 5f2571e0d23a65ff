//! Devices by number, the daemon's or the kernel driver's, and the operations that take more than one step.
//!
//! Each device has a lock of its own that its changes take in turn. Nobody waits for one while
//! holding another, and [`Registry::statuses`] takes none: a swap-off that lasts minutes holds
//! up nobody but those who want to change the same device.

use std::sync::atomic::{AtomicBool, Ordering};

use compcache_device::kernel::{Lock, MAX_DEVICES as MAX_KERNEL_DEVICES, Root};
use parking_lot::{Mutex, MutexGuard};

use crate::backend::DeviceBackend;
use crate::protocol::{ErrorCode, Refusal};
use crate::types::{DeviceStatus, PRIORITY, ParamsUpdate, State};

/// A device that was swapped on.
#[derive(Clone, Debug)]
pub struct SwappedOn {
    /// The device then.
    pub status: DeviceStatus,
    /// Its priority.
    pub priority: i32,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// All devices of a daemon, or of the kernel driver.
pub struct Registry {
    devices: Vec<Entry>,
    /// Where the kernel driver is, if they are its devices. Other processes set them up, too.
    kernel: Option<Root>,
    /// Set while the daemon takes its devices down: no change by clients any more.
    closing: AtomicBool,
}

struct Entry {
    number: u32,
    backend: Box<dyn DeviceBackend>,
    /// Taken after [`Registry::lock`] and a lease's lock, before the backend's own.
    changing: Mutex<()>,
    /// It was swapped on here, and not reset since. Changed by who holds `changing`.
    swapped_on: AtomicBool,
}

/// One device, and the right to change it.
struct Changing<'a> {
    backend: &'a dyn DeviceBackend,
    swapped_on: &'a AtomicBool,
    _guard: MutexGuard<'a, ()>,
}

impl Registry {
    /// A registry of these devices of this process.
    #[must_use]
    pub fn new(devices: Vec<Box<dyn DeviceBackend>>) -> Registry {
        Registry::of(None, devices)
    }

    /// A registry of these devices of the kernel driver.
    #[must_use]
    pub fn of_kernel(root: Root, devices: Vec<Box<dyn DeviceBackend>>) -> Registry {
        Registry::of(Some(root), devices)
    }

    fn of(kernel: Option<Root>, devices: Vec<Box<dyn DeviceBackend>>) -> Registry {
        let entry = |backend: Box<dyn DeviceBackend>| Entry {
            number: backend.number(),
            backend,
            changing: Mutex::new(()),
            swapped_on: AtomicBool::new(false),
        };
        Registry {
            devices: devices.into_iter().map(entry).collect(),
            kernel,
            closing: AtomicBool::new(false),
        }
    }

    /// Number of devices, initialised or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether it has no device at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// One device's state, or all.
    ///
    /// # Errors
    /// `ENODEV` for a number out of range.
    pub fn statuses(&self, number: Option<u32>) -> Result<Vec<DeviceStatus>, Refusal> {
        match number {
            Some(number) => {
                let backend = &self.entry(number)?.backend;
                backend.obstacle().map_or(Ok(()), Err)?;
                Ok(vec![backend.status()])
            }
            None => Ok(self.present().map(|d| d.backend.status()).collect()),
        }
    }

    /// The devices that there are now.
    fn present(&self) -> impl Iterator<Item = &Entry> {
        self.devices
            .iter()
            .filter(|d| d.backend.obstacle().is_none())
    }

    /// Whether any device is initialised.
    #[must_use]
    pub fn any_ready(&self) -> bool {
        self.devices
            .iter()
            .any(|d| d.backend.status().state == State::Ready)
    }

    /// Bytes of memory that all devices take: pools and tables.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.devices.iter().map(|d| d.backend.memory()).sum()
    }

    /// Sets parameters, and initialises the device if `init`; gives warnings.
    ///
    /// # Errors
    /// The device then has the state and the parameters that it had before.
    pub fn configure(
        &self,
        number: u32,
        params: &ParamsUpdate,
        init: bool,
    ) -> Result<Vec<String>, Refusal> {
        let _lock = self.lock()?;
        self.change(number)?.configure(params, init)
    }

    /// Takes a device back to new.
    ///
    /// # Errors
    /// `EBUSY` while it is swapped on or open.
    pub fn reset(&self, number: u32) -> Result<(), Refusal> {
        self.change(number)?.reset()
    }

    /// Changes parameters of a device that may be in use; gives warnings.
    ///
    /// # Errors
    /// `EINVAL` for a bad value, `EBUSY` for a parameter that cannot be changed in use. Nothing
    /// is changed then.
    pub fn set(&self, number: u32, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        let _lock = self.lock()?;
        self.change(number)?.backend.set(params)
    }

    /// Initialises a device if it is not yet, and swaps on it. `None` chooses the first
    /// device that is not initialised and that nobody is changing, one without parameters
    /// before one that somebody gave some.
    ///
    /// # Errors
    /// The device then has the state and the parameters that it had before.
    pub fn swap_on(
        &self,
        number: Option<u32>,
        params: &ParamsUpdate,
        priority: Option<i32>,
    ) -> Result<SwappedOn, Refusal> {
        if let Some(p) = priority.filter(|p| !PRIORITY.contains(*p)) {
            let message = format!("priority {p} is out of range: give one from {PRIORITY}");
            return Err(Refusal::new(ErrorCode::Einval, message));
        }
        let _lock = self.lock()?;
        match number {
            Some(number) => self.change(number)?.swap_on(params, priority),
            None => self.first_free()?.swap_on(params, priority),
        }
    }

    /// Swaps a device off and resets it.
    ///
    /// # Errors
    /// `EINVAL` if it is not swapped on; those of the swap-off, and it stays on.
    pub fn swap_off(&self, number: u32) -> Result<(), Refusal> {
        let device = self.change(number)?;
        if device.backend.status().swap.is_none() {
            let message = format!(
                "ramzswap{number} is not swapped on: to forget what it holds, use \
                 `rzscontrol /dev/ramzswap{number} --reset`"
            );
            return Err(Refusal::new(ErrorCode::Einval, message));
        }
        device.retire()
    }

    /// Swaps a device off if it is swapped on, and resets it. Works while closing too.
    ///
    /// # Errors
    /// Those of the swap-off, and it stays on.
    pub fn retire(&self, number: u32) -> Result<(), Refusal> {
        self.entry(number)?.lock().retire()
    }

    /// Resets a device that was swapped on here, and that somebody else has swapped off since. Waits for who
    /// is changing it. `again`: it could not be reset before.
    pub fn give_back(&self, number: u32, again: bool) -> ResetOutcome {
        match self.entry(number) {
            Ok(device) if device.backend.obstacle().is_none() => device.lock().give_back(again),
            _ => ResetOutcome::No,
        }
    }

    /// The numbers of all devices.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.devices.iter().map(|device| device.number)
    }

    /// Takes down every device, and lets clients change none from here on.
    ///
    /// # Errors
    /// One refusal for each device that is still up, by number. Clients may then change devices
    /// again.
    pub fn close(&self) -> Result<(), Vec<(u32, Refusal)>> {
        self.closing.store(true, Ordering::SeqCst);
        let failed: Vec<_> = self
            .present()
            .filter_map(|d| d.lock().retire().err().map(|e| (d.number, e)))
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        self.closing.store(false, Ordering::SeqCst);
        Err(failed)
    }

    /// The right to set up devices, among the processes that may.
    fn lock(&self) -> Result<Option<Lock>, Refusal> {
        Ok(self.kernel.as_ref().map(Root::lock).transpose()?)
    }

    fn entry(&self, number: u32) -> Result<&Entry, Refusal> {
        let found = self.devices.iter().find(|d| d.number == number);
        found.ok_or_else(|| {
            let numbers: Vec<_> = self.present().map(|d| d.number).collect();
            let range = match numbers.as_slice() {
                _ if self.devices.is_empty() => return no_devices(),
                [] => "none".to_owned(),
                [one] => format!("1 (ramzswap{one})"),
                [first, .., last] => {
                    format!("{} (ramzswap{first} to ramzswap{last})", numbers.len())
                }
            };
            let message = match self.kernel {
                None => format!(
                    "no such device: ramzswap{number}; this daemon has {range}: start it with a \
                     larger --num-devices (num_devices in /etc/compcache.toml)"
                ),
                Some(_) => format!(
                    "no such device: ramzswap{number}; the kernel driver has {range}, and never \
                     more than {MAX_KERNEL_DEVICES}"
                ),
            };
            Refusal::new(ErrorCode::Enodev, message)
        })
    }

    /// Waits for the right to change a device.
    fn change(&self, number: u32) -> Result<Changing<'_>, Refusal> {
        let device = self.entry(number)?.lock();
        self.refuse_if_closing()?;
        device.backend.obstacle().map_or(Ok(device), Err)
    }

    fn first_free(&self) -> Result<Changing<'_>, Refusal> {
        self.refuse_if_closing()?;
        if self.devices.is_empty() {
            return Err(no_devices());
        }
        let (mut second_best, mut locked) = (None, Vec::new());
        for entry in self.present() {
            let Some(guard) = entry.changing.try_lock() else {
                locked.push(entry);
                continue;
            };
            let device = entry.held_by(guard);
            let status = device.backend.status();
            if status.state != State::New {
                continue;
            }
            if status.params == ParamsUpdate::default() {
                return Ok(device);
            }
            second_best.get_or_insert(device);
        }
        // Whoever has the lock of one that is not swapped on has it for a moment: to look whether it was given
        // back, to set it up or to reset it.
        let mut briefly = locked
            .into_iter()
            .filter(|entry| entry.backend.status().swap.is_none())
            .map(Entry::lock);
        let free = second_best
            .or_else(|| briefly.find(|device| device.backend.status().state == State::New));
        free.ok_or_else(|| {
            let count = self.present().count();
            if count == 0
                && self.kernel.is_none()
                && let Some(obstacle) = self.devices.iter().find_map(|d| d.backend.obstacle())
            {
                return obstacle;
            }
            let or_reset = self.present().find(|d| d.backend.status().swap.is_none());
            let or_reset = or_reset.map_or_else(String::new, |d| {
                format!(
                    ", reset one that is initialised and not swapped on (`rzscontrol /dev/ramzswap{} --reset`)",
                    d.number
                )
            });
            let message = match self.kernel {
                None => format!(
                    "all devices of this daemon are in use ({count}): swap one off{or_reset}, or start the \
                     daemon with a larger --num-devices (num_devices in /etc/compcache.toml)"
                ),
                Some(_) => format!(
                    "all devices of the kernel driver are in use ({count}): swap one off{or_reset}, or load \
                     the driver with a larger num_devices"
                ),
            };
            Refusal::new(ErrorCode::Enospc, message)
        })
    }

    fn refuse_if_closing(&self) -> Result<(), Refusal> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Refusal::closing());
        }
        Ok(())
    }
}

fn no_devices() -> Refusal {
    let message = "this daemon has no swap devices, because it was not started by root: swap \
                   devices need root; run this as root";
    Refusal::new(ErrorCode::Enodev, message)
}

impl Entry {
    fn lock(&self) -> Changing<'_> {
        self.held_by(self.changing.lock())
    }

    fn held_by<'a>(&'a self, guard: MutexGuard<'a, ()>) -> Changing<'a> {
        Changing {
            backend: &*self.backend,
            swapped_on: &self.swapped_on,
            _guard: guard,
        }
    }
}

/// What became of a device that may have been swapped off by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetOutcome {
    /// It was not.
    No,
    /// It is reset.
    Reset,
    /// It cannot be reset yet.
    Kept,
}

impl Changing<'_> {
    fn configure(&self, params: &ParamsUpdate, init: bool) -> Result<Vec<String>, Refusal> {
        let before = self.backend.status();
        let mut warnings = self.backend.configure(params)?;
        if init {
            match self.backend.init() {
                Ok(more) => warnings.extend(more),
                Err(refusal) => {
                    self.restore(&before);
                    return Err(refusal);
                }
            }
        }
        Ok(warnings)
    }

    fn swap_on(&self, params: &ParamsUpdate, priority: Option<i32>) -> Result<SwappedOn, Refusal> {
        let before = self.backend.status();
        let number = before.number;
        if before.swap.is_some() {
            let message = format!("ramzswap{number} is already swapped on: swap it off first");
            return Err(Refusal::new(ErrorCode::Ebusy, message));
        }
        let new = before.state == State::New;
        let warnings = if new || *params != ParamsUpdate::default() {
            self.configure(params, new)?
        } else {
            Vec::new()
        };
        match self.backend.swap_on(priority) {
            Ok(priority) => {
                self.swapped_on.store(true, Ordering::Relaxed);
                Ok(SwappedOn {
                    status: self.backend.status(),
                    priority,
                    warnings,
                })
            }
            Err(refusal) => {
                if new {
                    self.restore(&before);
                }
                Err(refusal)
            }
        }
    }

    /// Takes a device that was new before back to that.
    fn restore(&self, before: &DeviceStatus) {
        if before.state != State::New {
            return;
        }
        let undone = self
            .backend
            .reset()
            .and_then(|()| self.backend.configure(&before.params).map(drop));
        if let Err(e) = undone {
            tracing::error!(
                "ramzswap{}: could not undo a failed change: {e}",
                before.number
            );
        }
    }

    fn retire(&self) -> Result<(), Refusal> {
        if self.backend.status().swap.is_some() {
            self.backend.swap_off()?;
        }
        self.reset()
    }

    fn reset(&self) -> Result<(), Refusal> {
        self.backend.reset()?;
        self.swapped_on.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, again: bool) -> ResetOutcome {
        let status = self.backend.status();
        let gone = status.state == State::Ready && status.swap.is_none();
        if !gone || !self.swapped_on.load(Ordering::Relaxed) {
            return ResetOutcome::No;
        }
        let number = status.number;
        match self.reset() {
            Ok(()) => {
                tracing::info!("ramzswap{number} was swapped off by another process: reset");
                ResetOutcome::Reset
            }
            Err(refusal) => {
                // At first that is to be expected: the kernel lets go of the block device only when that
                // process has returned from swapoff(2).
                if again {
                    tracing::warn!(
                        "ramzswap{number} was swapped off by another process, and keeps its memory: \
                         {refusal}"
                    );
                }
                ResetOutcome::Kept
            }
        }
    }
}
