//! What must be so on this machine.

use anyhow::{Result, ensure};

/// Whether this process may change the machine's swap and block devices.
///
/// # Errors
/// Where it may not.
pub(crate) fn need_root(subject: &str) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "`{subject}` makes block devices, mounts or cgroups: run it as root"
    );
    Ok(())
}
