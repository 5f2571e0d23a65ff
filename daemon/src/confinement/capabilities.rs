//! Capabilities (capabilities(7)): which of them each process keeps.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// What devices and the control socket take.
pub(super) const DEVICES: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// What mounts take: they do for root what root could do in SOURCE, and all else as somebody else.
pub(super) const MOUNTS: CapabilitySet = DEVICES
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID);

/// Leaves this thread the capabilities in `effective` to act with, and those in `permitted` to pass on: a
/// program that it executes as root has them again, and those of the bounding set only if it may have more than this
/// thread (`no_new_privs` keeps it from that).
pub(super) fn keep(effective: CapabilitySet, permitted: CapabilitySet) -> io::Result<()> {
    let now = capabilities(None)?;
    let fewer = CapabilitySets {
        effective: now.effective & effective,
        permitted: now.permitted & permitted,
        inheritable: now.inheritable & permitted,
    };
    Ok(set_capabilities(None, fewer)?)
}

/// Takes all but these out of this thread's bounding set, so that nothing that it executes can have them. Without
/// the right to (`CAP_SETPCAP`) the set stays as whoever started this process has made it.
pub(super) fn bound(kept: CapabilitySet) -> io::Result<()> {
    if !capabilities(None)?
        .effective
        .contains(CapabilitySet::SETPCAP)
    {
        return Ok(());
    }
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !kept.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            // The kernel has no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The unit gives both processes one set: what mounts need, neither more nor less.
    #[test]
    fn the_unit_has_what_is_kept() {
        let unit = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../packaging/compcached.service"
        );
        let text = fs::read_to_string(unit).unwrap();
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_"));
        let set: CapabilitySet = names
            .map(|name| CapabilitySet::from_name(name).unwrap_or_else(|| panic!("CAP_{name}")))
            .collect();
        assert_eq!(set, MOUNTS);
    }
}
