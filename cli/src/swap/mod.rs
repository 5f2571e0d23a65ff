//! `compcache swap on`, `swap off` and `swap set`.

mod off;

use std::path::{Path, PathBuf};

use compcache_device::ParamsUpdate;
use compcache_host::printable;
use compcached::protocol::{ErrorCode, Request, Response};
use compcached::registry::SwappedOn;
use compcached::size::{Limit, Size};
use compcached::types::{
    BackingEncryption, DriverChoice, PRIORITY, RECOMPRESS_AFTER, RECOMPRESS_CPU,
};

use crate::device_name;
use crate::env::{Places, memory, print, warn};
use crate::error::CliError;

/// The command's name in the message to those who may not do it.
const ON: &str = "compcache swap on";

/// What to try, shown by `--help` and in the man pages.
pub(crate) const EXAMPLES: &str = "\
compcache swap on --size 50%
compcache swap on --size 4G --codec zstd:3
compcache swap on --backing-swap /dev/sda2 --memlimit 512M
compcache swap on --driver user
compcache swap off";

/// Options of `compcache swap`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SwapCommand {
    /// Swap on a ramzswap device
    ///
    /// It is the kernel driver's if that is loaded or can be loaded; otherwise the daemon's,
    /// which is started if none is running. See --driver.
    #[command(after_help = crate::examples(EXAMPLES))]
    On(OnArgs),
    /// Swap off ramzswap devices and free their memory
    #[command(after_help = crate::examples(OFF_EXAMPLES))]
    Off(OffArgs),
    /// Change a device while it is in use
    ///
    /// Pages that the device holds stay as they are, and readable; new ones are compressed with
    /// the new codec. The policy for cold pages changes at once, and so does the memory limit,
    /// which only devices of the kernel driver can change while in use. What is set on a device that
    /// is not initialised applies when it is, which is said.
    #[command(after_help = crate::examples(SET_EXAMPLES))]
    Set(SetArgs),
}

/// What to try with `swap off`.
pub(crate) const OFF_EXAMPLES: &str = "compcache swap off\ncompcache swap off /dev/ramzswap1";

/// What to try with `swap set`.
pub(crate) const SET_EXAMPLES: &str = "\
compcache swap set --codec zstd:3 /dev/ramzswap0
compcache swap set --recompress off /dev/ramzswap0
compcache swap set --memlimit 1G /dev/ramzswap0
compcache swap set --recompress zstd:3 --recompress-after 300 --recompress-cpu 5 /dev/ramzswap0";

/// Options of `compcache swap set`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true, args = ["codec", "memlimit", "recompress", "recompress_after", "recompress_cpu"])]
pub(crate) struct SetArgs {
    /// The device, /dev/ramzswapN or ramzswapN
    #[arg(value_name = "DEVICE")]
    device: String,

    /// Codec for new pages: NAME or NAME:LEVEL, for example lz4, lzo, wks:fast, zstd:3; wkdm is one of
    /// devices in userspace only
    #[arg(short, long, value_name = "CODEC")]
    codec: Option<String>,

    /// Keep at most this much in memory, the rest in the backing swap, if there is one; 0: no limit. Of
    /// a device in use only the kernel driver's can be changed
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memlimit: Option<Limit>,

    #[command(flatten)]
    recompress: RecompressArgs,
}

/// The policy for cold pages.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct RecompressArgs {
    /// Compress cold pages once more with this codec, or `off` [default: zstd:1]
    #[arg(long, value_name = "CODEC|off")]
    recompress: Option<String>,

    #[arg(
        long,
        help = format!(
            "Seconds without access after which a page is cold, from {RECOMPRESS_AFTER} [default: 30]"
        ),
        value_name = "SECONDS",
        allow_hyphen_values = true,
        value_parser = RECOMPRESS_AFTER.parser::<u32>()
    )]
    recompress_after: Option<u32>,

    #[arg(
        long,
        help = format!(
            "Share of one CPU that recompression may use, in per cent, from {RECOMPRESS_CPU}, and only while \
             nothing else wants it [default: 10]"
        ),
        value_name = "PERCENT",
        allow_hyphen_values = true,
        value_parser = RECOMPRESS_CPU.parser::<u32>()
    )]
    recompress_cpu: Option<u32>,
}

impl RecompressArgs {
    /// The parameters that they set.
    fn params(&self) -> ParamsUpdate {
        ParamsUpdate {
            recompress: self.recompress.clone(),
            recompress_after: self.recompress_after,
            recompress_cpu: self.recompress_cpu,
            ..ParamsUpdate::default()
        }
    }
}

/// Options of `compcache swap on`.
#[derive(Debug, clap::Args)]
pub(crate) struct OnArgs {
    /// The device, /dev/ramzswapN or ramzswapN [default: the first one that is not in use]
    #[arg(value_name = "DEVICE")]
    device: Option<String>,

    /// Size before compression: bytes, or with K, M, G, T or % (of RAM)
    /// [default: 25%; with --backing-swap always the size of the backing swap]
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<Size>,

    /// Codec for new pages: NAME or NAME:LEVEL, for example lz4, wks:fast, zstd:3 [default: wks]
    #[arg(short, long, value_name = "CODEC")]
    codec: Option<String>,

    /// Keep at most this much of it in memory, the rest in the backing swap; without one, pages that
    /// do not fit stay with the kernel, uncompressed; 0: no limit [default: 0; with a backing swap 15% of
    /// RAM, or its size if that is smaller]
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memlimit: Option<Limit>,

    /// A swap area, partition or file, for pages that do not compress or do not fit. Keep it out of
    /// fstab(5), and do not swap it on by hand: of a file behind a device in userspace the kernel
    /// does not refuse that, and what is written there would be overwritten
    #[arg(short, long, value_name = "PATH")]
    backing_swap: Option<PathBuf>,

    /// Encrypt what goes there, with a key that is never stored: `auto` (if it is a file), `on` or
    /// `off`; devices in userspace only [default: auto]
    #[arg(long, value_name = "auto|on|off", value_parser = str::parse::<BackingEncryption>)]
    backing_encryption: Option<BackingEncryption>,

    #[arg(
        short,
        long,
        help = format!(
            "Swap priority, {PRIORITY}; higher ones fill first [default: above every active swap]"
        ),
        value_name = "N",
        allow_hyphen_values = true,
        value_parser = PRIORITY.parser::<i32>()
    )]
    priority: Option<i32>,

    #[command(flatten)]
    recompress: RecompressArgs,
}

/// Options of `compcache swap off`.
#[derive(Debug, clap::Args)]
pub(crate) struct OffArgs {
    /// The device, /dev/ramzswapN or ramzswapN [default: all that are swapped on]
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Those of the daemon, and sizes that do not fit this machine.
pub(crate) fn main(command: &SwapCommand, places: &Places) -> Result<(), CliError> {
    match command {
        SwapCommand::On(args) => on(args, places),
        SwapCommand::Off(args) => off::main(args, places),
        SwapCommand::Set(args) => set(args, places),
    }
}

fn on(args: &OnArgs, places: &Places) -> Result<(), CliError> {
    let ram = memory()?.total;
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let number = device(args.device.as_deref(), places)?;
    let params = ParamsUpdate {
        disksize: args.size.map(|size| size.exactly(ram)).transpose()?,
        memlimit: args.memlimit.map(|limit| limit.exactly(ram)).transpose()?,
        backing_swap: args.backing_swap.as_ref().map(absolute),
        backing_encryption: args.backing_encryption,
        codec: args.codec.clone(),
        ..args.recompress.params()
    };
    if let Some(on) = on_kernel_device(number, &params, args.priority, places)? {
        warn("compcache", &on.warnings);
        return report_on(&on.status.node, on.priority);
    }
    let request = Request::SwapOn {
        device: number,
        params,
        priority: args.priority,
    };
    match places.connect_or_spawn(ON)?.request(&request)? {
        Response::SwappedOn {
            node,
            priority,
            warnings,
            ..
        } => {
            warn("compcache", &warnings);
            report_on(&node, priority)
        }
        _ => Err(CliError::Answer),
    }
}

fn report_on(node: &Path, priority: i32) -> Result<(), CliError> {
    print(&format!(
        "{}: swapped on with priority {priority}\n",
        printable::path(node)
    ))
}

/// Swaps on a device of the kernel driver; `None` if one in userspace is to be taken.
fn on_kernel_device(
    number: Option<u32>,
    params: &ParamsUpdate,
    priority: Option<i32>,
    places: &Places,
) -> Result<Option<SwappedOn>, CliError> {
    let driver = places.driver(true)?;
    let auto = driver.choice == DriverChoice::Auto;
    let elsewhere = auto && number.is_some_and(|number| !places.has_kernel_device(number));
    if !driver.is_kernel() || elsewhere {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        // A daemon's group may use its devices; those of the kernel are root's.
        return if auto {
            Ok(None)
        } else {
            Err(CliError::NotRoot(ON))
        };
    }
    match places.kernel_devices().swap_on(number, params, priority) {
        Err(refusal) if auto && number.is_none() && refusal.code == ErrorCode::Enospc => {
            let text = format!("a device in userspace is used: {}", refusal.message);
            warn("compcache", &[text]);
            Ok(None)
        }
        done => Ok(Some(done?)),
    }
}

fn set(args: &SetArgs, places: &Places) -> Result<(), CliError> {
    let number = device_name::number(&args.device, &places.dev_dir)?;
    let ram = memory()?.total;
    let params = ParamsUpdate {
        codec: args.codec.clone(),
        memlimit: args.memlimit.map(|limit| limit.exactly(ram)).transpose()?,
        ..args.recompress.params()
    };
    if places.is_kernels(number)? {
        let warnings = places.kernel_devices().set(number, &params)?;
        warn("compcache", &warnings);
        return Ok(());
    }
    let request = Request::Set {
        device: number,
        params,
    };
    match places.connect()?.request(&request)? {
        Response::Done { warnings } => {
            warn("compcache", &warnings);
            Ok(())
        }
        _ => Err(CliError::Answer),
    }
}

fn device(name: Option<&str>, places: &Places) -> Result<Option<u32>, CliError> {
    name.map(|name| device_name::number(name, &places.dev_dir))
        .transpose()
}
