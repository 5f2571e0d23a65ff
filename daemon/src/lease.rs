//! Leases: a device that is swapped on for as long as programs want it.
//!
//! All holders share one device. The first one brings it up, the last one takes it down; a
//! holder that dies is noticed because its connection ends.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::protocol::{ErrorCode, Refusal};
use crate::registry::{Registry, SwappedOn};
use crate::types::ParamsUpdate;

/// The leased device, if there is one, and who holds it.
#[derive(Debug, Default)]
pub struct Leases {
    leased: Mutex<Leased>,
    /// As `Leased::holders`, to be read while a swap-off holds the lock.
    count: AtomicU32,
}

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
    /// Number of holders.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds a holder. Every call that succeeds needs one [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`Registry::swap_on`].
    pub fn take(&self, registry: &Registry, params: &ParamsUpdate) -> Result<SwappedOn, Refusal> {
        let mut leased = self.leased.lock();
        if let Some(swapped_on) = shared(&leased, registry, params)? {
            self.set_holders(&mut leased, |n| n + 1);
            return Ok(swapped_on);
        }
        let swapped_on = registry.swap_on(None, params, None)?;
        leased.device = Some(swapped_on.status.number);
        self.set_holders(&mut leased, |n| n + 1);
        Ok(swapped_on)
    }

    /// Takes a holder away; after the last one the device is swapped off and reset.
    ///
    /// # Errors
    /// Those of the swap-off. The holder is gone all the same; the device stays, and the next
    /// holder, [`retire_orphan`](Self::retire_orphan) or [`swap_off`](Self::swap_off) finds it.
    pub fn release(&self, registry: &Registry) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        self.set_holders(&mut leased, |n| n.saturating_sub(1));
        match leased.device {
            Some(number) if leased.holders == 0 => {
                registry.retire(number)?;
                leased.device = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a device stays swapped on although its last holder is gone: its pages did not
    /// fit back. A holder that was killed is often gone before its program's memory is free.
    #[must_use]
    pub fn has_orphan(&self) -> bool {
        // Where somebody is at it right now, the next look is early enough.
        self.leased
            .try_lock()
            .is_some_and(|leased| leased.is_orphan())
    }

    /// Swaps off and resets the device that [`has_orphan`](Self::has_orphan) tells of.
    ///
    /// # Errors
    /// Those of the swap-off; the device stays.
    pub fn retire_orphan(&self, registry: &Registry) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        if let (true, Some(number)) = (leased.is_orphan(), leased.device) {
            registry.retire(number)?;
            leased.device = None;
        }
        Ok(())
    }

    /// Swaps a device off and resets it, unless it is leased.
    ///
    /// # Errors
    /// `EBUSY` where it has holders; those of [`Registry::swap_off`].
    pub fn swap_off(&self, registry: &Registry, number: u32) -> Result<(), Refusal> {
        let mut leased = self.leased.lock();
        if leased.device != Some(number) {
            drop(leased);
            return registry.swap_off(number);
        }
        if leased.holders > 0 {
            let message = format!(
                "ramzswap{number} is leased by {} program(s) that run on it (`compcache run`): \
                 it is swapped off when the last of them ends",
                leased.holders
            );
            return Err(Refusal::new(ErrorCode::Ebusy, message));
        }
        registry.swap_off(number)?;
        leased.device = None;
        Ok(())
    }

    fn set_holders(&self, leased: &mut Leased, change: impl FnOnce(u32) -> u32) {
        leased.holders = change(leased.holders);
        self.count.store(leased.holders, Ordering::Relaxed);
    }
}

/// The leased device, where there is one and it is still swapped on. One that somebody else
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
