//! This program, called once more: for a process of its own that does a part of the work.

use std::ffi::OsStr;
use std::process::Command;

/// The program that calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The daemon, `compcached` or `compcache daemon`.
    Daemon,
    /// Another command of `compcache`.
    Command,
}

impl Program {
    /// A command that runs this very program as the daemon, with options to be added, in `/`.
    pub(crate) fn again(self) -> Command {
        // The link leads to this program even if its file was replaced since.
        let mut command = Command::new("/proc/self/exe");
        if self.is_subcommand(std::env::args_os().nth(1).as_deref()) {
            command.arg("daemon");
        }
        command.current_dir("/");
        command
    }

    /// Whether `daemon` must stand before the daemon's options on this program's command line: in
    /// `compcache`, whose other commands have other options, but not in `compcached`.
    fn is_subcommand(self, first: Option<&OsStr>) -> bool {
        self == Program::Command || first.is_some_and(|word| word == "daemon")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subcommand_is_kept() {
        let daemon = |first: Option<&str>| Program::Daemon.is_subcommand(first.map(OsStr::new));
        assert!(daemon(Some("daemon")));
        assert!(!daemon(Some("--num-devices")));
        assert!(!daemon(None));
        assert!(Program::Command.is_subcommand(Some(OsStr::new("swap"))));
    }
}
