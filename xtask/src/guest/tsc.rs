//! The frequency of the time-stamp counter.
//!
//! The emulator hands a guest the machine's own counter. A kernel measures it against an emulated timer, which
//! fails while the machine is busy, and then may boot no further; so it is told.

/// In kHz; `None` if it is not known.
#[cfg(target_arch = "x86_64")]
pub(super) fn frequency_khz() -> Option<u64> {
    use std::time::Duration;

    let start = reading();
    std::thread::sleep(Duration::from_millis(50));
    let end = reading();
    let nanoseconds = end.0.duration_since(start.0).as_nanos();
    let ticks = u128::from(end.1.checked_sub(start.1)?);
    u64::try_from(ticks * 1_000_000 / nanoseconds.max(1)).ok()
}

/// As above; the counter of other machines is another.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn frequency_khz() -> Option<u64> {
    None
}

/// The time and the counter, as close to each other as a busy machine allows.
#[cfg(target_arch = "x86_64")]
fn reading() -> (std::time::Instant, u64) {
    use std::time::Instant;

    const TRIES: usize = 20;
    let tries = (0..TRIES).map(|_| {
        let before = Instant::now();
        // SAFETY: each x86-64 processor has the instruction, which reads a counter and nothing else.
        // Linux forbids it to those only who asked for that (PR_SET_TSC).
        let counter = unsafe { std::arch::x86_64::_rdtsc() };
        (before.elapsed(), (before, counter))
    });
    tries.min_by_key(|(took, _)| *took).expect("it was tried").1
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let (first, second) = (frequency_khz().unwrap(), frequency_khz().unwrap());
        assert!(first > 100_000, "{first} kHz");
        assert!(
            first.abs_diff(second) < first / 100,
            "{first}, {second} kHz"
        );
    }
}
