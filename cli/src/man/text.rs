//! What the man pages say beyond the options.

use super::extra::Extra;
use crate::{command, demo, run, rzscontrol, status, swap};

/// Description of compcached(8).
pub(super) const DAEMON: &str = "\
Serves ramzswap devices: swap disks whose pages are compressed and kept in memory; and mounts: \
directories whose files' pages are kept compressed in memory.

A page that the kernel swaps out to /dev/ramzswapN is compressed and kept in this process's \
memory; one that does not compress, or does not fit, goes to the backing swap, if the device has \
one. Devices are set up by the configuration, by rzscontrol(1) and by compcache(1). Mounts are made \
by the configuration, by compcache-mount(1) and by mount(8); see mount.compcache(8). With \
--memory-limit both share one limit: swapped pages come first, mounts take what they leave.

If it is not started by root it has no devices, only mounts, and does not read \
/etc/compcache.toml.

It inherits nothing from its starter: it closes inherited descriptors, unblocks all signals, and \
lifts limits of resources as far as it may. If a limit would kill it later (CPU time) and cannot be lifted, it \
does not start. SIGHUP and SIGINT stay ignored if they were, as under nohup(1). One that a command has started \
also takes ordinary priorities and all CPUs, and leaves the command's cgroups; for those that it cannot leave there is a \
warning in the log and in compcache-status(1).

While a device is used as swap the daemon must not exit: any program that touches a page that is \
there would be killed. It therefore locks its memory, asks the kernel not to make it wait for memory \
that it must itself free, and not to kill it when memory is short. If the kernel refuses \
one of these, a warning is logged.

It holds other programs' memory. So it leaves no core dump, neither in a file nor for a program that collects them: \
its limit and its filter for them, core(5), are 0, and it is not dumpable. Files below /proc/PID belong to \
root, and only root may attach a debugger.";

pub(super) const EXIT_STATUS: &str = "\
0\tDone.

1\tFailed; the reason is on standard error, and nothing was changed.

2\tThe command line is wrong.";

const STATUS_EXIT: &str = "\
0\tThe daemon runs, or the kernel driver is used.

1\tNeither, or there is no such device or mount, or this user lacks permission. With --json a \
document whose daemon is null is printed in the first case.

2\tThe command line is wrong.";

const RUN_EXIT: &str = "\
125\tcompcache itself failed, for example because it may not create a cgroup.

126\tThe command was found and could not be executed.

127\tThe command was not found.

128 + N\tThe command was killed by signal N.

otherwise\tThe exit status of the command.";

const DEMO_EXIT: &str = "\
0\tEvery page held what was written to it.

1\tA page did not, or the demo failed; the reason is on standard error.

2\tThe command line is wrong.

128 + N\tStopped by signal N; 130 for Ctrl-C. The machine is as it was before.";

const ENVIRONMENT: &str = "\
All of these are ignored by a program that runs with rights that its starter lacks, by a set-user-id bit \
or file capabilities.

COMPCACHE_RUNTIME_DIR\tDirectory of the daemon's control socket, instead of /run/compcache and of \
what users without root have.

XDG_RUNTIME_DIR\tWhere the daemon of a user without root has its directory, compcache.

COMPCACHE_DEV_DIR\tDirectory of device nodes, instead of /dev. Another one has devices in userspace \
only.

COMPCACHE_DRIVER\tauto, kernel or user, like --driver, which overrides it. Ignored by rzscontrol, which takes the driver whose \
device has the name.";

pub(super) const FILES: &str = "\
/dev/ramzswapN\tThe devices: block devices of the kernel driver, or links to the block devices that the \
daemon serves.

/sys/block/ramzswapN\tAttributes of the kernel driver's devices.

/etc/compcache.toml, /etc/compcache.toml.d/*.toml\tConfiguration. The key driver says what serves swap \
devices: \"auto\", \"kernel\" or \"user\".

/run/compcache/control.sock\tThe daemon's control socket.

/run/compcache/compcached.log\tLog of a daemon that was started by compcache because none was running.

$XDG_RUNTIME_DIR/compcache, /tmp/compcache-UID\tInstead of /run/compcache for mounts of users \
without root.";

const DAEMON_FILES: &str = "\
/etc/compcache.toml, /etc/compcache.toml.d/*.toml\tConfiguration; a later file wins key by key. \
Unknown keys are errors.

/run/compcache/control.sock\tControl socket, mode 0600 unless the configuration names a group (key group). \
Its members may then do what root may: mount any directory anywhere, and give any partition, and any swap file of \
root's, to a device as backing swap. Name only a group of administrators.

/run/compcache/compcached.lock\tHeld while the daemon runs; a second one refuses to start.

/run/compcache/mounts.lock\tHeld by the process of the mounts: that of a daemon that was killed writes out first.

/dev/ramzswapN\tThe devices, links to the block devices behind them.";

const DAEMON_SIGNALS: &str = "\
SIGTERM, SIGINT, SIGHUP\tWrite out and unmount every mount (one in use is detached anyway, and the log says so), swap off every device, which brings its pages back into memory, reset \
all, exit. Dirty pages that SOURCE does not take within --give-up-after (see compcache-mount(1)) are given up: the \
log says which. If swapped pages do not fit, the daemon stays and says so in its log: stop programs or add other \
swap; it tries again by itself. Only with --force does it exit at the second signal anyway, and the \
pages are lost. Under systemd it asks for time until its devices are off, so that TimeoutStopSec= does not end it before. Mounts are \
served by a process of their own (compcached --worker mounts), which these signals do not end: the daemon does. A \
thread that waits in the kernel for a SOURCE that does not answer keeps that process until SOURCE answers, but not the \
daemon; a new one can start beside it.";

const DAEMON_EXIT: &str = "\
0\tIt was asked to exit, and did.

1\tIt could not start, for example because another daemon runs or the configuration is wrong, or it has ended \
and pages were lost; the reason is in the log.

2\tThe command line is wrong.";

const RZSCONTROL_STATS: &str = "\
--stats prints one line for each of these: the label, a colon, a tab, and the value right-aligned \
in 8 columns. Sizes are in kB of 1024 bytes.

BackingSwap\tThe backing swap; only with one.

DiskSize\tSize of the disk, before compression.

MemLimit\tMemory limit for pages, if there is one.

NumReads, NumWrites\tPages read and written since --init.

FailedReads, FailedWrites\tPages whose read or write failed. Those after one in the same request are not tried.

InvalidIO\tRequests refused because they were not whole pages of the disk.

NotifyFree\tPages that the kernel has freed.

ZeroPages\tPages of zeros, which take no memory.

GoodCompress\tShare of the stored pages that compressed to half a page or less.

NoCompress\tShare of the stored pages that did not compress to 7/8 of a page (3/4 with a backing swap) and \
are kept as they are.

PagesStored\tPages kept in memory, pages of one repeated word not counted.

PagesUsed\tMemUsedTotal in pages.

OrigDataSize\tSize of the stored pages before compression.

ComprDataSize\tTheir size after compression.

MemUsedTotal\tMemory that they take, with overhead and the reserve of free memory.

BDevNumReads, BDevNumWrites\tPages read from and written to the backing swap; only with one.

With --verbose more lines of the same form follow.";

const JSON: &str = "\
The document is an object with the keys driver, daemon, memory_limit, devices and mounts. Keys may be \
added in later versions; none is removed or changes its meaning. Sizes are in bytes.

driver\tAn object: choice (\"auto\", \"kernel\" or \"user\"), used (\"kernel\", \"user\", or null if \
the kernel driver was chosen and cannot be used), kernel (a text: the kernel driver's state and features, or \
why it is not used).

daemon\tnull if no daemon runs, else an object: version, pid, mount_pid \
(null, or the process that serves the mounts), num_devices, leases (programs \
that hold a device: compcache run and demo), kernel_lease (null, or an object with device and holders: \
the device of the kernel driver that is held for such programs), uptime_seconds, warnings (texts).

memory_limit\tnull, or the most bytes that devices and mounts may take together.

mounts\tAn array of objects, one a mount, in the order of their paths: source (\"\" for files in \
memory), mountpoint, write (\"through\", \"back\" or \"ram\"), codec, limit and target (bytes that the \
cache may take and wants to take now); of what is held now: pool_bytes, index_bytes, pages, \
active_pages, compressed_bytes, dirty_pages, shadows (of pages that are not held), files, inodes; \
counters since it was mounted: hits, misses, refaults, admitted, bypassed, evicted, writes, \
written_back (pages), write_errors, corrupt, invalidated (files that changed on SOURCE).

devices\tAn array of objects, one a device, in the order of their numbers: number, driver (\"kernel\" \
or \"user\"), state (\"new\" or \"ready\"), node, error (null, or why a device that is ready does not \
work), block_device, transport, dead_slots (\"at once\" or \"by cluster\": when the \
memory of freed swap slots is freed), swap (null, or an object with priority, used_bytes, \
size_bytes), params (what was set), disksize, memlimit, backing_swap, \
backing_encryption (\"aes-256-gcm\", \"chacha20-poly1305\" or \"off\"; null without a backing swap), codec, recompress, \
recompress_after (seconds), recompress_cpu (per cent), stats.

stats\tAn object of a device's counters since --init: reads, writes, failed_reads, failed_writes, invalid_io, \
notify_free, corrupt, backing_reads, backing_writes, evacuated, evacuated_bytes, reserve_misses, \
recompressed, recompress_saved (bytes), recompress_no_gain (pages), recompress_cpu_ns, \
no_compress_since (pages stored as they are), pool_bytes_max (the most that pool_bytes ever was); of \
what is held now: zero_pages, same_pages, pages_stored, good_compress, no_compress, backing_pages \
(pages), compr_bytes, pool_bytes, reserve_bytes, table_bytes; codecs, an array of objects with codec, pages, \
bytes; and store_latency and load_latency, arrays in which element i counts pages that took \
2^i up to 2^(i+1) ns.";

const RUN_NOTES: &str = "\
The cgroup is made below the nearest cgroup that allows it: in version 2 one whose \
cgroup.subtree_control has the memory controller, in version 1 compcache's own. It is named \
compcache-run-PID. Processes that the command leaves behind are ended with it.

SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP and SIGCONT are \
passed on to the command, unless the terminal has sent them, since it then sends them to the command too. \
When the command is stopped, compcache stops with it.

The kernel keeps a page that it has swapped in on the device too, for as long as less than half of \
all swap is used. A smaller --size therefore takes less memory, and more time.

The swap device is the kernel driver's if that is loaded or can be, otherwise one in userspace; \
see --driver. Either way a daemon, started if none is running, holds it for as long as the command runs.

If zswap is on (/sys/module/zswap/parameters/enabled) it compresses pages first, and the device gets only what \
zswap rejects or writes back; a warning says so.

If compcache is killed by SIGKILL, the swap device goes and the command stays with its limit alone: \
the kernel may then kill it for lack of memory.";

const SWAP_NOTES: &str = "\
Devices of the kernel driver, ramzswap.ko, need no daemon. swap on loads it if it is installed for this \
kernel and not loaded yet, with 16 devices unless num_devices in /etc/compcache.toml or modprobe.d(5) says \
how many. If it is not installed, or has no free device, a device in userspace is used: swap on then starts a \
daemon if none is running, which exits when its last device was swapped off. compcache status says which \
driver is used, and why. A device that is given by name is the kernel driver's if that has one of this number.

swap on initialises the device if necessary. swap off brings all pages back into memory. If they do not \
fit, the device stays in use: stop programs or add other swap, then try again. A device in userspace that was \
swapped on by swap on, and off by swapoff(8), is reset as by swap off.

With vm.overcommit_memory=2 (sysctl(8)) the memory of a device in userspace counts towards CommitLimit of \
/proc/meminfo. Once that is used up, writes to the device fail, although memory is free, and the kernel \
keeps the pages. swap on and compcache status warn of that setting and say what is left.";

/// What the pages of `compcache swap` and of what sets devices up and takes them down have after the options.
const SWAP_PARTS: &[(&str, &str)] = &[
    ("NOTES", SWAP_NOTES),
    ("EXIT STATUS", EXIT_STATUS),
    ("FILES", FILES),
];

pub(super) const EXTRA: &[Extra] = &[
    Extra {
        name: "compcache",
        section: "1",
        parts: &[
            ("EXIT STATUS", EXIT_STATUS),
            ("ENVIRONMENT", ENVIRONMENT),
            ("FILES", FILES),
        ],
        examples: command::EXAMPLES,
        see_also: &[
            "compcache-demo(1)",
            "compcache-mount(1)",
            "compcache-run(1)",
            "compcache-status(1)",
            "compcache-swap(1)",
            "rzscontrol(1)",
            "compcached(8)",
            "swapon(8)",
        ],
    },
    Extra {
        name: "compcache-swap",
        section: "1",
        parts: SWAP_PARTS,
        examples: swap::EXAMPLES,
        see_also: &[
            "compcache-swap-on(1)",
            "compcache-swap-off(1)",
            "compcache-swap-set(1)",
            "compcache(1)",
            "swapon(8)",
        ],
    },
    Extra {
        name: "compcache-swap-on",
        section: "1",
        parts: SWAP_PARTS,
        examples: swap::EXAMPLES,
        see_also: &[
            "compcache-swap-off(1)",
            "compcache(1)",
            "compcached(8)",
            "swapon(8)",
        ],
    },
    Extra {
        name: "compcache-swap-off",
        section: "1",
        parts: SWAP_PARTS,
        examples: swap::OFF_EXAMPLES,
        see_also: &[
            "compcache-swap-on(1)",
            "compcache(1)",
            "compcached(8)",
            "swapoff(8)",
        ],
    },
    Extra {
        name: "compcache-swap-set",
        section: "1",
        parts: &[("EXIT STATUS", EXIT_STATUS), ("FILES", FILES)],
        examples: swap::SET_EXAMPLES,
        see_also: &[
            "compcache-swap-on(1)",
            "compcache-status(1)",
            "compcache(1)",
            "compcached(8)",
        ],
    },
    Extra {
        name: "compcache-status",
        section: "1",
        parts: &[
            ("JSON", JSON),
            ("EXIT STATUS", STATUS_EXIT),
            ("FILES", FILES),
        ],
        examples: status::EXAMPLES,
        see_also: &[
            "compcache(1)",
            "rzscontrol(1)",
            "compcached(8)",
            "swapon(8)",
        ],
    },
    Extra {
        name: "compcache-run",
        section: "1",
        parts: &[
            ("NOTES", RUN_NOTES),
            ("EXIT STATUS", RUN_EXIT),
            ("FILES", FILES),
        ],
        examples: run::EXAMPLES,
        see_also: &[
            "compcache(1)",
            "compcached(8)",
            "cgroups(7)",
            "systemd-run(1)",
        ],
    },
    Extra {
        name: "compcache-demo",
        section: "1",
        parts: &[("EXIT STATUS", DEMO_EXIT), ("FILES", FILES)],
        examples: demo::EXAMPLES,
        see_also: &["compcache(1)", "compcache-run(1)", "cgroups(7)"],
    },
    Extra {
        name: "compcache-completions",
        section: "1",
        parts: &[("EXIT STATUS", EXIT_STATUS)],
        examples: command::COMPLETIONS_EXAMPLES,
        see_also: &["compcache(1)"],
    },
    Extra {
        name: "rzscontrol",
        section: "1",
        parts: &[
            ("STATISTICS", RZSCONTROL_STATS),
            ("EXIT STATUS", EXIT_STATUS),
            ("ENVIRONMENT", ENVIRONMENT),
            ("FILES", FILES),
        ],
        examples: rzscontrol::EXAMPLES,
        see_also: &["compcache(1)", "compcached(8)", "mkswap(8)", "swapon(8)"],
    },
    Extra {
        name: "compcached",
        section: "8",
        parts: &[
            ("SIGNALS", DAEMON_SIGNALS),
            ("EXIT STATUS", DAEMON_EXIT),
            ("ENVIRONMENT", ENVIRONMENT),
            ("FILES", DAEMON_FILES),
        ],
        examples: "\
compcached --num-devices 4
compcached --disksize_kb=1048576
compcached --backing_swap=/dev/sda2 --memlimit_kb=262144
systemctl enable --now compcached",
        see_also: &[
            "compcache(1)",
            "mount.compcache(8)",
            "rzscontrol(1)",
            "swapon(8)",
            "systemd(1)",
        ],
    },
];
