//! How much memory this process can have.

use compcache_host::cgroup::Hierarchies;

/// The machine's memory or, if that is less, the limit of a memory cgroup that this process is
/// in; in bytes. Limits that can't be read are none.
#[must_use]
pub fn available() -> u64 {
    let info = rustix::system::sysinfo();
    let ram = u64::from(info.mem_unit).saturating_mul(info.totalram as u64);
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
