//! Leases: a device that is swapped on for as long as programs want it.
//!
//! All holders share one device. The first one brings it up, the last one takes it down; a
//! holder that dies is noticed because its connection ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::protocol::{ErrorCode, Refusal};
use crate::registry::{Registry, ResetOutcome, SwappedOn};
use crate::types::ParamsUpdate;

/// Stands for no device.
const NONE: u32 = u32::MAX;

/// The leased device of a registry, if there is one, and who holds it.
pub struct Leases {
    registry: Arc<Registry>,
    /// Held over swap-on and swap-off, outside of all locks of the registry.
    leased: Mutex<Leased>,
    /// As `Leased::holders`, to be read while a swap-off holds the lock.
    count: AtomicU32,
    /// As `Leased::device`, likewise; [`NONE`] if there is none.
    number: AtomicU32,
}

/// Who holds the leased device. While the lock is free:
///
/// 1. [`Leases::count`] and [`Leases::device`] give the same.
/// 2. Without holders, `device` is an orphan. There may be holders without one: others have swapped it off.
#[derive(Debug, Default)]
struct Leased {
    device: Option<u32>,
    holders: u32,
}

impl Leased {
    fn is_orphan(&self) -> bool {
        self.device.is_some() && self.holders == 0
    }
}

impl Leases {
    /// Leases of devices of this registry.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Leases {
        Leases {
            registry,
            leased: Mutex::default(),
            count: AtomicU32::new(0),
            number: AtomicU32::new(NONE),
        }
    }

    /// The devices of which one is leased.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Number of holders.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// The leased device's number, if there is one. Does not wait for a swap-off.
    #[must_use]
    pub fn device(&self) -> Option<u32> {
        Some(self.number.load(Ordering::Relaxed)).filter(|number| *number != NONE)
    }

    /// Adds a holder. Every call that succeeds needs one [`release`](Self::release). A device that is made
    /// for it has `default_size` bytes, if `params` names no size.
    ///
    /// # Errors
    /// Those of [`Registry::swap_on`].
    pub fn take(
        &self,
        params: &ParamsUpdate,
        default_size: Option<u64>,
    ) -> Result<SwappedOn, Refusal> {
        let mut leased = self.leased.lock();
        let swapped_on = match shared(&leased, &self.registry, params)? {
            Some(swapped_on) => swapped_on,
            None => {
                let params = ParamsUpdate {
                    disksize: params.disksize.or(default_size),
                    ..params.clone()
                };
                self.registry.swap_on(None, &params, None)?
            }
        };
        let number = swapped_on.status.number;
        self.change(&mut leased, Some(number), |n| n + 1);
        Ok(swapped_on)
    }

    /// Takes a holder away; after the last one the device is swapped off and reset.
    ///
    /// # Errors
    /// Those of the swap-off. The holder is gone anyway; the device stays, and the next
    /// holder, [`retire_orphan`](Self::retire_orphan) or [`swap_off`](Self::swap_off) finds it.
    pub fn release(&self) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        let device = leased.device;
        self.change(&mut leased, device, |n| n.saturating_sub(1));
        self.retire_if_orphan(&mut leased)
    }

    /// Whether a device stays swapped on although its last holder is gone: its pages did not
    /// fit back. A holder that was killed is often gone before its program's memory is free.
    #[must_use]
    pub fn has_orphan(&self) -> bool {
        // If it is being swapped off right now, the next look is early enough.
        self.leased
            .try_lock()
            .is_some_and(|leased| leased.is_orphan())
    }

    /// Swaps off and resets the device that [`has_orphan`](Self::has_orphan) reports.
    ///
    /// # Errors
    /// Those of the swap-off; the device stays.
    pub fn retire_orphan(&self) -> Result<(), Refusal> {
        self.retire_if_orphan(&mut self.leased.lock())
    }

    fn retire_if_orphan(&self, leased: &mut Leased) -> Result<(), Refusal> {
        if let (true, Some(number)) = (leased.is_orphan(), leased.device) {
            self.registry.retire(number)?;
            self.change(leased, None, |n| n);
        }
        Ok(())
    }

    /// Resets the devices that were swapped on here, and that somebody else has swapped off since. Who
    /// leases one goes on without. Waits for those who are changing a device. Returns whether one could not
    /// be reset yet; `again`: so it was before.
    pub fn give_back(&self, again: bool) -> bool {
        // The lock of the leased one may be held by a swap-off for long.
        let leased = self.device();
        let mut kept = false;
        for number in self.registry.numbers() {
            if Some(number) != leased {
                kept |= self.registry.give_back(number, again) == ResetOutcome::Kept;
            }
        }
        let mut leased = self.leased.lock();
        if let Some(number) = leased.device {
            match self.registry.give_back(number, again) {
                ResetOutcome::No => {}
                ResetOutcome::Reset => self.change(&mut leased, None, |n| n),
                ResetOutcome::Kept => kept = true,
            }
        }
        kept
    }

    /// Swaps off and resets the leased device, whoever holds it: the end of the daemon.
    ///
    /// # Errors
    /// Those of the swap-off; the device stays.
    pub fn close(&self) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        if let Some(number) = leased.device {
            self.registry.retire(number)?;
            self.change(&mut leased, None, |n| n);
        }
        Ok(())
    }

    /// Swaps a device off and resets it, unless it is leased.
    ///
    /// # Errors
    /// `EBUSY` if it has holders; those of [`Registry::swap_off`].
    pub fn swap_off(&self, number: u32) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        if leased.device != Some(number) {
            drop(leased);
            return self.registry.swap_off(number);
        }
        if leased.holders > 0 {
            return Err(in_use(number, leased.holders));
        }
        self.registry.swap_off(number)?;
        self.change(&mut leased, None, |n| n);
        Ok(())
    }

    fn change(&self, leased: &mut Leased, device: Option<u32>, holders: impl FnOnce(u32) -> u32) {
        leased.device = device;
        leased.holders = holders(leased.holders);
        self.count.store(leased.holders, Ordering::Relaxed);
        self.number.store(device.unwrap_or(NONE), Ordering::Relaxed);
    }
}

/// Why a device that `holders` programs lease is not swapped off by others.
#[must_use]
pub fn in_use(number: u32, holders: u32) -> Refusal {
    let message = match holders {
        0 => format!(
            "ramzswap{number} was leased by programs that have ended (`compcache run`): the daemon \
             swaps it off as soon as its pages fit back into memory; stop programs or add other swap"
        ),
        _ => format!(
            "ramzswap{number} is leased by {holders} program(s) that run on it (`compcache run`): \
             it is swapped off when the last of them ends"
        ),
    };
    Refusal::new(ErrorCode::Ebusy, message)
}

/// The leased device, if there is one and it is still swapped on. One that somebody else
/// has swapped off is theirs from then on.
fn shared(
    leased: &Leased,
    registry: &Registry,
    params: &ParamsUpdate,
) -> Result<Option<SwappedOn>, Refusal> {
    let Some(number) = leased.device else {
        return Ok(None);
    };
    let Some(status) = registry.statuses(Some(number))?.pop() else {
        return Ok(None);
    };
    let Some(swap) = &status.swap else {
        return Ok(None);
    };
    let priority = swap.priority;
    let mut warnings = Vec::new();
    if *params != ParamsUpdate::default() {
        warnings.push(format!(
            "the parameters given are not used: ramzswap{number} is shared with programs that \
             run on it already"
        ));
    }
    Ok(Some(SwappedOn {
        status,
        priority,
        warnings,
    }))
}
