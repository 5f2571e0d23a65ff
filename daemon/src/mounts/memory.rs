//! How much memory this process can have.

use compcache_host::cgroup::Hierarchies;
use compcache_host::proc;

/// The machine's memory or, if that is less, the limit of a memory cgroup that this process is
/// in; in bytes. Limits that can't be read are none.
#[must_use]
pub fn available() -> u64 {
    let ram = proc::ram_bytes();
    Hierarchies::of_this_process()
        .limit()
        .map_or(ram, |limit| limit.min(ram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some() {
        assert!(available() > 1 << 20);
    }
}
