//! The daemon's command line: its options, and how a failed start is reported.

use std::path::PathBuf;

use crate::integer::Numbers;
use crate::role::Role;
use crate::size::{Size, parse_kilobytes};
use crate::swapoff::Room;
use crate::types::{BackingEncryption, Channel, CpuLatencySetting, DeadSlots, DriverChoice};

/// Where the daemon keeps its socket, lock and mounts by default.
pub const DEFAULT_RUNTIME_DIR: &str = "/run/compcache";
/// Where device nodes appear by default.
pub const DEFAULT_DEV_DIR: &str = "/dev";
/// The most devices that one daemon serves.
pub const MAX_DEVICES: u32 = 64;
/// Devices of a daemon that nobody configured, and of a kernel driver that is loaded on demand: each
/// client takes one, and a device that is not initialised costs nothing.
pub const DEFAULT_NUM_DEVICES: u32 = 16;
/// How many devices a daemon may serve.
pub const NUM_DEVICES: Numbers = Numbers::new(1, MAX_DEVICES as i64);
/// The numbers of devices.
pub(crate) const DEVICE_NUMBERS: Numbers = Numbers::new(0, MAX_DEVICES as i64 - 1);

/// Exit status if another daemon has the runtime directory already (`EX_TEMPFAIL` of
/// sysexits.h).
pub const ALREADY_RUNNING: u8 = 75;

/// What stands before the message with which a daemon exits that can't start.
pub const MESSAGE_PREFIX: &str = "compcached: ";

/// What `compcached` and the hidden `compcache daemon` take. An option that is given here
/// overrides the configuration files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DaemonArgs {
    /// Number of devices; `None`: as configured.
    #[arg(long = "num-devices", alias = "num_devices", value_name = "N",
          help = format!(
              "Number of devices: /dev/ramzswap0 up to /dev/ramzswap(N-1), from {NUM_DEVICES} \
               [default: {DEFAULT_NUM_DEVICES}; none if it is not started by root]"
          ),
          value_parser = NUM_DEVICES.parser::<u32>())]
    pub num_devices: Option<u32>,

    /// Initialise device 0 with this disk size in kB [default: 25% of RAM]
    #[arg(long = "disksize_kb", alias = "disksize-kb", value_name = "N",
          value_parser = parse_kilobytes, allow_hyphen_values = true)]
    pub disksize: Option<u64>,

    /// Initialise device 0 with this memory limit in kB [default: none; with a backing swap 15% of
    /// RAM, or its size if that is smaller]
    #[arg(long = "memlimit_kb", alias = "memlimit-kb", value_name = "N",
          value_parser = parse_kilobytes, allow_hyphen_values = true)]
    pub memlimit: Option<u64>,

    /// Initialise device 0 with this file or partition, a swap area, as its backing swap
    #[arg(long = "backing_swap", alias = "backing-swap", value_name = "PATH")]
    pub backing_swap: Option<PathBuf>,

    /// Initialise device 0 with this encryption of its backing swap, under a key that is never
    /// stored: `auto` (a file is encrypted, a partition is not), `on` or `off` [default: auto]
    #[arg(long = "backing_encryption", alias = "backing-encryption", value_name = "NAME",
          value_parser = str::parse::<BackingEncryption>)]
    pub backing_encryption: Option<BackingEncryption>,

    /// Initialise device 0 with this codec, `NAME` or `NAME:LEVEL`
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,

    /// Most memory for swap devices and mounts together: bytes, or with K, M, G, T or % (of
    /// RAM). Swapped pages come first; mounts take what they leave [default: no limit but their
    /// own]
    #[arg(long = "memory-limit", value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_limit: Option<Size>,

    /// Read this file instead of /etc/compcache.toml, with its drop-ins in PATH.d/*.toml. A
    /// daemon that is not root's reads no other
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// Directory of the control socket, the lock file and the devices' mounts [default:
    /// /run/compcache; not as root $XDG_RUNTIME_DIR/compcache or /tmp/compcache-UID]
    #[arg(
        long = "runtime-dir",
        value_name = "PATH",
        env = "COMPCACHE_RUNTIME_DIR"
    )]
    pub runtime_dir: Option<PathBuf>,

    /// Directory where device nodes appear [default: /dev]
    #[arg(long = "dev-dir", value_name = "PATH", env = "COMPCACHE_DEV_DIR")]
    pub dev_dir: Option<PathBuf>,

    /// What serves the devices of the configuration: `kernel` (the kernel driver, ramzswap.ko),
    /// `user` (this daemon), or `auto` (the kernel driver if it is loaded or can be) [default:
    /// auto]
    #[arg(long, value_name = "NAME", env = "COMPCACHE_DRIVER",
          hide_env_values = true, value_parser = str::parse::<DriverChoice>)]
    pub driver: Option<DriverChoice>,

    /// How the kernel hands requests to this daemon: `fuse` (reads and writes of /dev/fuse,
    /// any kernel), `fuse-uring` (io_uring, Linux 6.14 and later; switches on the kernel's
    /// enable_uring while a device is initialised), or `auto` (io_uring if enable_uring is
    /// on) [default: auto]
    #[arg(long, value_name = "NAME", env = "COMPCACHE_TRANSPORT",
          hide_env_values = true, value_parser = str::parse::<Channel>)]
    pub transport: Option<Channel>,

    /// How many microseconds idle CPUs may take to wake while a device is busy: `auto` (0 in a
    /// virtual machine that can poll, elsewhere 2), a number (0: idle CPUs poll), or `off`
    /// (as the system has it) [default: auto]
    #[arg(long = "cpu-latency", value_name = "US", env = "COMPCACHE_CPU_LATENCY",
          hide_env_values = true, value_parser = str::parse::<CpuLatencySetting>)]
    pub cpu_latency: Option<CpuLatencySetting>,

    /// When the memory of swapped pages that are no longer needed is freed: `auto` (at once,
    /// if the kernel can be traced by BPF programs, otherwise by cluster), or `clusters`
    /// (when the kernel discards 512 of them together) [default: auto]
    #[arg(long = "dead-slots", value_name = "NAME", env = "COMPCACHE_DEAD_SLOTS",
          hide_env_values = true, value_parser = str::parse::<DeadSlots>)]
    pub dead_slots: Option<DeadSlots>,

    /// Log more: once for debug, twice for trace
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// On a second SIGTERM exit even if pages could not be swapped back in. LOSES DATA: processes
    /// whose pages are on a device are killed when they touch them
    #[arg(long)]
    pub force: bool,

    /// Exit once no device is initialised, nothing mounted and no client connected
    #[arg(long, hide = true)]
    pub exit_when_idle: bool,

    /// Start a new session, and write a byte to standard output and close it when ready
    #[arg(long, hide = true)]
    pub detached: bool,

    /// Swap this block device off and exit; how the daemon calls itself
    #[arg(long, hide = true, value_name = "PATH", conflicts_with_all = ["detached", "config"])]
    pub swapoff: Option<PathBuf>,

    /// Be a process of the daemon's that does a part of its work; how the daemon calls itself
    #[arg(long, hide = true, value_name = "ROLE", conflicts_with_all = ["detached", "config", "swapoff"])]
    pub worker: Option<Role>,

    /// Swap it off whether or not its pages fit into memory: nobody can read them
    #[arg(long, hide = true, requires = "swapoff")]
    pub lost: bool,
}

impl DaemonArgs {
    /// Whether a swap-off needs room.
    pub(crate) fn room(&self) -> Room {
        match self.lost {
            true => Room::NotNeeded,
            false => Room::Needed,
        }
    }

    /// Whether any of the parameters that initialise device 0 was given.
    #[must_use]
    pub fn initialises_device(&self) -> bool {
        self.disksize.is_some()
            || self.memlimit.is_some()
            || self.backing_swap.is_some()
            || self.backing_encryption.is_some()
            || self.codec.is_some()
    }
}
