//! Waiting for a condition, with a deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Far more than needed: the machine may be
/// busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(600);
/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value, and gives that.
///
/// # Panics
/// If it has not after [`DEADLINE`]; the message names `what`.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    until_or(DEADLINE, &mut condition).unwrap_or_else(|| panic!("waited too long for {what}"))
}

/// Waits until something holds.
///
/// # Panics
/// As [`until`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

/// Waits until `condition` gives a value; `None` if it has not after `patience`.
pub fn until_or<T>(patience: Duration, condition: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() > patience {
            return None;
        }
        thread::sleep(PERIOD);
    }
}

/// Sets a flag when it is dropped, so that threads which look at it end even if the one that
/// they wait for panics.
#[derive(Debug)]
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
