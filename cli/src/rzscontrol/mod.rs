//! `rzscontrol`: the control program of the original ramzswap, with its options word for word.

pub mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use compcache_device::kernel_device::control::Control;
use compcache_device::status::State;
use compcache_device::{DeviceStatus, KernelDevice, ParamsUpdate, SwapDevice as _};
use compcached::Client;
use compcached::protocol::{Request, Response};
use compcached::size::parse_kilobytes;

use crate::device_name;
use crate::env::{Places, print, warn};
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
    /// uncompressed. [default: none; with a backing swap 15% of RAM, or its size if that is smaller]
    #[arg(short = 'm', long = "memlimit_kb", value_name = "N", value_parser = parse_kilobytes,
          allow_negative_numbers = true)]
    memlimit_kb: Option<u64>,

    /// Make the disk N kB large, before compression
    ///
    /// [default: 25% of RAM; with --backing_swap always the size of the backing swap]
    #[arg(short = 'd', long = "disksize_kb", value_name = "N", value_parser = parse_kilobytes,
          allow_negative_numbers = true)]
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
            eprintln!("{NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, places: &Places) -> Result<(), CliError> {
    let device = device_name::number(&args.device, &places.dev_dir)?;
    let say = |text: &str| {
        if args.verbose {
            eprintln!("{NAME}: {}: {text}", args.device);
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
        let control = Control::open(&device)?;
        if configures {
            // Among all that set up its devices: several steps, all or none.
            let _lock = places.kernel.lock()?;
            warn(NAME, &control.configure(&params, args.init)?);
            say(configured);
        }
        if args.reset {
            control.reset()?;
            say("reset");
        }
        return match args.stats {
            true => print(&kernel_stats(args, &device, &control)?),
            false => Ok(()),
        };
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
