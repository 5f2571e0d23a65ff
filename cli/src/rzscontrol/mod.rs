//! `rzscontrol`: the control program of the original ramzswap, with its options word for word.

pub mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use compcache_device::kernel_device::control::Control;
use compcache_device::status::State;
use compcache_device::{DeviceStatus, KernelDevice, ParamsUpdate, SwapDevice as _, Warning};
use compcached::Client;
use compcached::protocol::{Request, Response};
use compcached::size::parse_kilobytes;

use crate::device_name;
use crate::env::{Places, complain, print, warn};
use crate::error::CliError;

const NAME: &str = "rzscontrol";

/// What to try, shown by `--help` and in the man page.
pub const EXAMPLES: &str = "\
rzscontrol /dev/ramzswap0 --disksize_kb=1048576 --init
rzscontrol /dev/ramzswap0 --backing_swap=/dev/sda2 --memlimit_kb=262144 --init
rzscontrol /dev/ramzswap0 --stats
rzscontrol /dev/ramzswap0 --reset";

/// The options word for word as the original had them.
const USAGE: &str = "rzscontrol DEVICE [-b|--backing_swap=PATH] [-m|--memlimit_kb=N] \
    [-d|--disksize_kb=N] [-i|--init] [-r|--reset] [-s|--stats] [-v|--verbose] [-h|--help]";

/// Sets up ramzswap devices: swap disks whose pages are compressed and kept in memory
///
/// Parameters are set while the device is not initialised, in one call or several; --init then
/// initialises it, and swapon(8) puts it to use. --reset takes the device back and frees all its
/// memory. The devices are those of the kernel driver, ramzswap.ko, if it has one of that number;
/// the others are served by compcached(8), which must be running.
#[derive(Debug, Parser)]
#[command(name = NAME, version, override_usage = USAGE)]
#[command(after_help = crate::examples(EXAMPLES))]
#[command(group = clap::ArgGroup::new("action").multiple(true).required(true)
    .args(["backing_swap", "memlimit_kb", "disksize_kb", "init", "reset", "stats"]))]
struct Args {
    /// The device: /dev/ramzswapN or ramzswapN
    #[arg(value_name = "DEVICE")]
    device: String,

    /// Send pages that do not compress, or do not fit, to this swap area: a partition or a file
    ///
    /// It must be made by mkswap(8) and not be in use. The disk then has the size of the backing
    /// swap. A file must be root's alone (chmod 600) and be written in place: on ext4 or xfs, or on
    /// btrfs with `chattr +C`, without holes, compression and snapshots. A file for the kernel driver must be on ext2, ext3, ext4 or xfs and be filled with dd,
    /// not truncate or fallocate, and its path may have up to 127 bytes.
    #[arg(short = 'b', long = "backing_swap", value_name = "PATH")]
    backing_swap: Option<PathBuf>,

    /// Keep at most N kB of pages in memory, the rest in the backing swap
    ///
    /// Without a backing swap, pages that do not fit are refused, and stay with the kernel,
    /// uncompressed. 0 is refused, as by the driver's call: leave it out for no limit. [default: none;
    /// with a backing swap 15% of RAM, or its size if that is smaller]
    #[arg(short = 'm', long = "memlimit_kb", value_name = "N", value_parser = parse_kilobytes,
          allow_hyphen_values = true)]
    memlimit_kb: Option<u64>,

    /// Make the disk N kB large, before compression
    ///
    /// [default: 25% of RAM; with --backing_swap always the size of the backing swap]
    #[arg(short = 'd', long = "disksize_kb", value_name = "N", value_parser = parse_kilobytes,
          allow_hyphen_values = true)]
    disksize_kb: Option<u64>,

    /// Initialise the device; its parameters are fixed from then on
    #[arg(short = 'i', long, conflicts_with = "reset")]
    init: bool,

    /// Take the device back to its state before --init; refused while it is used as swap
    #[arg(short = 'r', long, conflicts_with_all = ["backing_swap", "memlimit_kb", "disksize_kb", "stats"])]
    reset: bool,

    /// Show the device's statistics
    #[arg(short = 's', long)]
    stats: bool,

    /// Report what is done, and show more statistics after those of --stats
    #[arg(short = 'v', long)]
    verbose: bool,
}

impl Args {
    fn params(&self) -> ParamsUpdate {
        ParamsUpdate {
            disksize: self.disksize_kb,
            memlimit: self.memlimit_kb,
            backing_swap: self.backing_swap.as_deref().map(absolute),
            ..ParamsUpdate::default()
        }
    }
}

/// The path for the daemon, whose working directory is another.
fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The clap command of `rzscontrol`, from which help, man page and completions are made.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// The program `rzscontrol`.
#[must_use]
pub fn main() -> ExitCode {
    compcached::distrust_environment();
    compcached::reset_sigchld();
    let args = Args::parse();
    match run(&args, &Places::new(None, None)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(NAME, &error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, places: &Places) -> Result<(), CliError> {
    let device = device_name::number(&args.device, &places.dev_dir)?;
    let say = |text: &str| {
        if args.verbose {
            complain(NAME, &format_args!("{}: {text}", args.device));
        }
    };
    let params = args.params();
    let configures = args.init || params != ParamsUpdate::default();
    let configured = if args.init {
        "initialised"
    } else {
        "parameters set"
    };
    if places.has_kernel_device(device) {
        let device = KernelDevice::new(device, places.kernel.clone());
        let params = configures.then_some(&params);
        let (warnings, stats) = control(args, params, &device, places)?;
        warn(NAME, &warnings);
        if configures {
            say(configured);
        }
        if args.reset {
            say("reset");
        }
        return stats.map_or(Ok(()), |stats| print(&stats?));
    }
    let mut client = places.connect()?;
    if configures {
        let init = args.init;
        let request = Request::Configure {
            device,
            params,
            init,
        };
        done(&mut client, &request)?;
        say(configured);
    }
    if args.reset {
        done(&mut client, &Request::Reset { device })?;
        say("reset");
    }
    if args.stats {
        let status = status(&mut client, device)?;
        if status.state != State::Ready {
            return Err(CliError::NotInitialised(args.device.clone()));
        }
        let mut text = stats::format(&status);
        if args.verbose {
            text.push_str(&stats::format_more(&status));
        }
        print(&text)?;
    }
    Ok(())
}

/// What [`control`] comes to: warnings, and the statistics if they are wanted.
type Controlled = (Vec<Warning>, Option<Result<String, CliError>>);

/// Does what is wanted of a device of the kernel driver. Nothing is printed meanwhile: whoever reads it may
/// be slow, and others wait.
fn control(
    args: &Args,
    params: Option<&ParamsUpdate>,
    device: &KernelDevice,
    places: &Places,
) -> Result<Controlled, CliError> {
    // Among all that set up its devices. Taken before the node is opened and kept until it is closed: while
    // it is open, nobody else can reset the device. Whoever only reads need not be allowed to take it.
    let _lock = match params.is_some() || args.reset {
        true => Some(places.kernel.lock()?),
        false => places.kernel.lock().ok(),
    };
    let control = Control::open(device)?;
    let warnings = match params {
        // Several steps, all or none.
        Some(params) => control.configure(params, args.init)?,
        None => Vec::new(),
    };
    if args.reset {
        control.reset()?;
    }
    let stats = args.stats.then(|| kernel_stats(args, device, &control));
    Ok((warnings, stats))
}

/// The statistics of a device of the kernel driver.
fn kernel_stats(
    args: &Args,
    device: &KernelDevice,
    control: &Control<'_>,
) -> Result<String, CliError> {
    let Some(answer) = control.stats()? else {
        return Err(CliError::NotInitialised(args.device.clone()));
    };
    let mut text = stats::format_ioctl(&answer);
    if args.verbose {
        text.push_str(&stats::format_more(&device.status()));
    }
    Ok(text)
}

fn done(client: &mut Client, request: &Request) -> Result<(), CliError> {
    match client.request(request)? {
        Response::Done { warnings } => {
            warn(NAME, &warnings);
            Ok(())
        }
        _ => Err(CliError::Answer),
    }
}

fn status(client: &mut Client, device: u32) -> Result<DeviceStatus, CliError> {
    match client.request(&Request::Status {
        device: Some(device),
    })? {
        Response::Status { devices, .. } => devices
            .into_iter()
            .find(|d| d.number == device)
            .ok_or(CliError::Answer),
        _ => Err(CliError::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_device::kernel::Root;
    use compcache_host::proc;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    use std::path::Path;
    use std::thread;

    /// Whether somebody waits for a lock of a file, by the kernel's table.
    fn is_waited_for(file: &Path) -> bool {
        let inode = format!(":{}", std::fs::metadata(file).unwrap().ino());
        let locks = proc::read(Path::new("/proc/locks")).unwrap();
        // 1: -> FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
        proc::lines(&locks).any(|lock| {
            let words: Vec<&[u8]> = proc::words(lock).collect();
            words.get(1) == Some(&&b"->"[..])
                && words.iter().any(|word| word.ends_with(inode.as_bytes()))
        })
    }

    /// The node is a pipe, which knows whether it is open: nobody may write who has no reader.
    fn is_open(pipe: &Path) -> bool {
        let writer = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(pipe);
        writer.is_ok()
    }

    #[test]
    fn a_device_is_opened_by_who_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::below(dir.path(), "6.1.0-test");
        std::fs::create_dir_all(root.sys.join("module/ramzswap")).unwrap();
        std::fs::create_dir_all(root.sys.join("block/ramzswap0")).unwrap();
        std::fs::create_dir_all(&root.dev).unwrap();
        let node = root.node(0);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &node, fifo, 0o600.into(), 0).unwrap();
        let mut places = Places::new(Some(dir.path().join("none")), Some(root.dev.clone()));
        places.kernel = root.clone();
        for action in ["--init", "--disksize_kb=1024", "--reset", "--stats"] {
            let lock = root.lock().unwrap();
            let args = Args::parse_from([NAME, "ramzswap0", action]);
            let others = places.clone();
            let other = thread::spawn(move || run(&args, &others).map_err(|e| e.to_string()));
            let file = root.run.join("compcache/kernel.lock");
            while !is_waited_for(&file) && !other.is_finished() {
                thread::yield_now();
            }
            assert!(!other.is_finished(), "{action} did not wait for the lock");
            assert!(!is_open(&node), "{action} has opened the device meanwhile");
            drop(lock);
            // It is no device, and so knows none of the calls.
            other.join().unwrap().unwrap_err();
        }
    }
}
