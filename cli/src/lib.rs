//! The command line of compcache: the programs `compcache` and `rzscontrol`.
//!
//! Both speak to the daemon through [`compcached::Client`]. `compcache` can also be the daemon
//! (`compcache daemon`, hidden), so that one binary is enough for `compcache demo` and
//! `compcache run`.

pub mod cgroup;
mod child;
pub mod command;
mod demo;
mod device_name;
mod env;
mod error;
mod hog;
mod lease;
mod man;
pub mod random;
mod run;
pub mod rzscontrol;
mod signals;
mod size;
mod status;
mod swap;
#[cfg(test)]
mod testing;

/// The examples as `--help` shows them.
fn examples(lines: &str) -> String {
    let mut out = "Examples:".to_owned();
    for line in lines.lines() {
        out.push_str("\n  ");
        out.push_str(line);
    }
    out
}
