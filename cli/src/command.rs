//! The command line of `compcache`.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use compcached::DaemonArgs;
use compcached::types::DriverChoice;

use crate::{demo, mount, run, status, swap, umount};

/// What to try, shown by `--help` and in the man page.
pub(crate) const EXAMPLES: &str = "\
compcache demo
compcache swap on --size 50%
compcache status
compcache run --memory 512M -- make -j8
compcache swap off
compcache mount /mnt/nas /mnt/fast
compcache umount /mnt/fast";

/// What to try with `completions`.
pub(crate) const COMPLETIONS_EXAMPLES: &str =
    "compcache completions bash > /etc/bash_completion.d/compcache";

/// Compressed memory: swapped pages and the files of slow directories, compressed in RAM
///
/// A page that is swapped out to a ramzswap device is compressed to about a third and stays in
/// memory, so that programs can use more memory than the machine has. This needs root. A directory
/// that is mounted serves its files faster: what the kernel evicts from its page cache stays
/// compressed in memory. This works for every user, wherever FUSE does.
#[derive(Debug, Parser)]
#[command(name = "compcache", version, after_help = crate::examples(EXAMPLES))]
pub(crate) struct Args {
    /// Directory of the daemon's control socket [default: /run/compcache; for mounts without root
    /// $XDG_RUNTIME_DIR/compcache or /tmp/compcache-UID]
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "PATH",
        env = "COMPCACHE_RUNTIME_DIR",
        hide_env_values = true
    )]
    pub(crate) runtime_dir: Option<PathBuf>,

    /// Directory of device nodes [default: /dev]
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "PATH",
        env = "COMPCACHE_DEV_DIR",
        hide_env_values = true
    )]
    pub(crate) dev_dir: Option<PathBuf>,

    /// What serves swap devices: `kernel` (the kernel driver, ramzswap.ko), `user` (the daemon), or
    /// `auto` (the kernel driver if it is loaded or can be) [default: auto]
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "NAME",
        env = "COMPCACHE_DRIVER",
        hide_env_values = true,
        value_parser = str::parse::<DriverChoice>
    )]
    pub(crate) driver: Option<DriverChoice>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Swap on and off ramzswap devices, and change them
    #[command(subcommand, after_help = crate::examples(swap::EXAMPLES))]
    Swap(swap::SwapCommand),

    /// Show a directory with its files' pages kept compressed in memory, or list such mounts
    ///
    /// What the kernel evicts from its page cache stays compressed in memory, so that files that do
    /// not fit into RAM need not be read from SOURCE again. Starts a daemon if none is running; without
    /// root one of the user's own, which needs fusermount3.
    #[command(after_help = crate::examples(mount::EXAMPLES))]
    Mount(mount::MountArgs),

    /// Write out dirty pages, and unmount
    #[command(after_help = crate::examples(umount::UMOUNT_EXAMPLES))]
    Umount(umount::UmountArgs),

    /// Write dirty pages of mounts out to their sources
    ///
    /// The kernel does not pass sync(2) to file systems like this one: with --write-back, sync(1)
    /// leaves pages dirty, and this does not.
    #[command(after_help = crate::examples(umount::SYNC_EXAMPLES))]
    Sync(umount::SyncArgs),

    /// Show the driver, the daemon, devices and mounts
    ///
    /// The first line says which driver is used for swap devices and, unless that was chosen, why.
    /// For devices, NAME is the device's node, BLOCK the block device behind it (of the kernel driver
    /// the node itself); SIZE is what it holds when
    /// full, DATA what it holds now (pages of zeros included) and COMPR its compressed size; TOTAL
    /// is the memory that the device takes, slot table and reserve included; RATIO is that of the
    /// compressed pages; SWAP is what the kernel has in use there, and PRIO the swap priority.
    ///
    /// For mounts, WRITE is the write policy; LIMIT is the most memory that the mount may
    /// take, POOL what it takes, its index included; PAGES is what it holds, before compression;
    /// RATIO is that of these pages; HIT is the share of accesses that were hits; DIRTY
    /// is what is not written out yet. Control characters in a name are shown as \xHH; --json gives names as
    /// they are.
    #[command(after_help = crate::examples(status::EXAMPLES))]
    Status(status::StatusArgs),

    /// Run a program with limited memory whose overflow goes to compressed swap
    ///
    /// The program runs in a memory cgroup of its own, in this terminal and process group. It gets
    /// the signals that are sent to compcache, and compcache exits with its exit status. A swap
    /// device is there for as long as the program runs. When it has ended, what it saved is
    /// printed to standard error.
    #[command(after_help = crate::examples(run::EXAMPLES))]
    Run(run::RunArgs),

    /// Show on this machine that it works: a program that needs twice its memory
    ///
    /// Runs a built-in program with enough memory, then with half of it and compressed swap for
    /// the rest, verifies every page that it wrote and compares. Leaves the machine as it was,
    /// even when interrupted.
    #[command(after_help = crate::examples(demo::EXAMPLES))]
    Demo(demo::DemoArgs),

    /// Print the completions of `compcache` and `rzscontrol` for a shell
    #[command(after_help = crate::examples(COMPLETIONS_EXAMPLES))]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Be the daemon
    #[command(hide = true)]
    Daemon(DaemonArgs),

    /// Write the man pages
    #[command(hide = true)]
    Man {
        /// Directory to write them to
        #[arg(long, value_name = "PATH")]
        dir: PathBuf,
    },

    /// Be the demo's program
    #[command(hide = true)]
    Hog {
        /// Bytes of memory
        #[arg(long, value_name = "N")]
        size: u64,
        /// What its content is made from
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
}

/// The clap command of `compcache`, from which help, man pages and completions are made.
pub(crate) fn command() -> clap::Command {
    Args::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        command().debug_assert();
        crate::rzscontrol::command().debug_assert();
    }

    #[test]
    fn every_command_that_is_shown_has_examples() {
        let command = command();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let nested: Vec<_> = sub.get_subcommands().collect();
            for leaf in if nested.is_empty() { vec![sub] } else { nested } {
                assert!(leaf.get_after_help().is_some(), "{}", leaf.get_name());
            }
        }
    }
}
