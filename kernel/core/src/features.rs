//! What the kernel has, and what of it is used; the module says it when it is loaded.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::sys;

/// Which devices are synchronous ones.
const NEVER: u32 = 0;
const ALWAYS: u32 = 1;
const UNLESS_BACKING: u32 = 2;

/// What the kernel and the processor have.
static FEATURES: AtomicU32 = AtomicU32::new(0);
/// [`NEVER`], [`ALWAYS`] or [`UNLESS_BACKING`].
static SYNCHRONOUS: AtomicU32 = AtomicU32::new(NEVER);
static DEBUG: AtomicBool = AtomicBool::new(false);

/// What the kernel and the processor have (`sys::HAS_…`), and whether pages may be damaged for a test.
pub(crate) fn set(features: u32, debug: bool) {
    FEATURES.store(features, Relaxed);
    DEBUG.store(debug, Relaxed);
}

/// Whether the kernel tells which swap slots are freed.
pub(crate) fn has_free_notify() -> bool {
    FEATURES.load(Relaxed) & sys::HAS_FREE_NOTIFY != 0
}

/// Takes in the parameter, if it was set.
pub(crate) fn choose_synchronous(features: u32, parameter: Option<bool>) {
    let choice = match parameter {
        _ if features & sys::HAS_SYNCHRONOUS == 0 => NEVER,
        None => UNLESS_BACKING,
        Some(true) => ALWAYS,
        Some(false) => NEVER,
    };
    SYNCHRONOUS.store(choice, Relaxed);
}

/// Whether devices are synchronous ones: as the parameter says, or else those without a backing swap, for
/// whose disk the kernel would wait at each page that it writes.
pub(crate) fn is_synchronous(has_backing: bool) -> bool {
    match SYNCHRONOUS.load(Relaxed) {
        UNLESS_BACKING => !has_backing,
        choice => choice == ALWAYS,
    }
}

/// Whether pages may be damaged for a test.
pub(crate) fn is_debugged() -> bool {
    DEBUG.load(Relaxed)
}
