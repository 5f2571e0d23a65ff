//! The command line of compcache: the programs `compcache`, `mount.compcache` and `rzscontrol`.
//!
//! Devices of the kernel driver they set up themselves, by the daemon's rules
//! ([`compcached::kernel`]); for all else they speak to the daemon through [`compcached::Client`].
//! `compcache` can also be the daemon (`compcache daemon`, hidden), and `mount.compcache`, when it is
//! called by that name, so that one binary is enough for everything but `rzscontrol`.

pub mod cgroup;
mod child;
pub mod columns;
mod command;
#[cfg(test)]
mod defaults;
mod demo;
mod device_name;
mod driver;
mod env;
mod error;
mod hog;
mod lease;
mod left_behind;
mod man;
mod mount;
pub mod program;
mod progress;
mod run;
pub mod rzscontrol;
mod signals;
mod status;
mod swap;
#[cfg(test)]
mod testing;
mod umount;

/// The examples as `--help` shows them.
fn examples(lines: &str) -> String {
    let mut out = "Examples:".to_owned();
    for line in lines.lines() {
        out.push_str("\n  ");
        out.push_str(line);
    }
    out
}
