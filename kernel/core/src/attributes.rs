//! The attributes of a device under `/sys/block/ramzswapN/`: what each shows, and what may be
//! written to it when.

use core::fmt::{self, Write};

use compcache_engine::codec::{CodecId, CodecSpec, Codecs};
use compcache_engine::disk::{AFTER_SECONDS, CPU_PERCENT, MIN_DISKSIZE, MIN_MEMLIMIT, PAGE, sizes};

use crate::backing::BackingSwap;
use crate::codecs::{self, KernelCodecs};
use crate::device::{Control, Device};
use crate::error::Error;
use crate::live::Live;
use crate::params::Recompress;
use crate::print::{Level, print};
use crate::text::{self, Writer};
use crate::{features, ioctl, stats, sys, zstd};

/// An attribute, by the number that the kernel's side gives it (`kernel/shim/control.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Disksize,
    Initstate,
    Reset,
    MemLimit,
    CompAlgorithm,
    BackingDev,
    MmStat,
    IoStat,
    BdStat,
    RecompressAlgorithm,
    RecompressAfter,
    RecompressCpu,
    Latency,
    ChecksumFailures,
    Stats,
    Features,
    DebugFlip,
}

/// All of them, in the order of their numbers.
const ATTRIBUTES: [Attribute; 17] = [
    Attribute::Disksize,
    Attribute::Initstate,
    Attribute::Reset,
    Attribute::MemLimit,
    Attribute::CompAlgorithm,
    Attribute::BackingDev,
    Attribute::MmStat,
    Attribute::IoStat,
    Attribute::BdStat,
    Attribute::RecompressAlgorithm,
    Attribute::RecompressAfter,
    Attribute::RecompressCpu,
    Attribute::Latency,
    Attribute::ChecksumFailures,
    Attribute::Stats,
    Attribute::Features,
    Attribute::DebugFlip,
];

impl Attribute {
    fn of(number: u32) -> Option<Attribute> {
        ATTRIBUTES.get(number as usize).copied()
    }
}

/// Whether an attribute is to be seen.
#[unsafe(no_mangle)]
extern "C" fn rz_attribute_visible(number: u32) -> bool {
    Attribute::of(number) != Some(Attribute::DebugFlip) || features::is_debugged()
}

/// Writes what an attribute says into a buffer, and returns its length. May sleep.
///
/// # Safety
/// `device` is the disk's, and the buffer has `room` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_attribute_show(
    device: *const Device,
    number: u32,
    buffer: *mut u8,
    room: usize,
) -> isize {
    // SAFETY: by this function's contract; a device lives longer than its disk.
    let (device, room) = unsafe { (&*device, core::slice::from_raw_parts_mut(buffer, room)) };
    let mut out = Writer::new(room);
    if let Some(attribute) = Attribute::of(number) {
        // The writer never fails.
        let _ = show(&mut device.control(), attribute, &mut out);
    }
    out.length() as isize
}

/// Takes what a user wrote to an attribute: returns its length, or a negative error number with a
/// line in the log. May sleep.
///
/// # Safety
/// `device` is the disk's, and the text has `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_attribute_store(
    device: *const Device,
    number: u32,
    text: *const u8,
    length: usize,
) -> isize {
    // SAFETY: by this function's contract; a device lives longer than its disk.
    let (device, bytes) = unsafe { (&*device, core::slice::from_raw_parts(text, length)) };
    let mut control = device.control();
    // What is no text is refused as that, whatever it is.
    let value = core::str::from_utf8(bytes).unwrap_or("\u{fffd}").trim();
    let outcome = match Attribute::of(number) {
        Some(Attribute::BackingDev) => store_backing_swap(&mut control, line(bytes)),
        Some(attribute) => store(&mut control, attribute, value),
        None => Ok(()),
    };
    match outcome {
        Ok(()) => length as isize,
        Err(error) => {
            if !matches!(error, Error::Reported { .. }) {
                print(Level::Error, Some(device.number()), format_args!("{error}"));
            }
            -(error.errno() as isize)
        }
    }
}

fn recompress(control: &Control<'_>) -> Recompress {
    control
        .live()
        .map_or(control.recompress, |live| live.policy.get())
}

fn show(control: &mut Control<'_>, attribute: Attribute, out: &mut Writer<'_>) -> fmt::Result {
    match attribute {
        Attribute::Disksize => {
            let (live, set) = (control.live(), control.disksize.unwrap_or(0));
            writeln!(
                out,
                "{}",
                live.map_or(set, |live| live.store().pages() * PAGE)
            )
        }
        Attribute::Initstate => writeln!(out, "{}", u32::from(control.live().is_some())),
        Attribute::MemLimit => {
            let (live, set) = (control.live(), control.memlimit.unwrap_or(0));
            writeln!(out, "{}", live.map_or(set, Live::memlimit))
        }
        Attribute::CompAlgorithm => show_codecs(control, out),
        Attribute::BackingDev => {
            let path = control.backing_swap.as_deref().unwrap_or(b"none\0");
            let path = path.strip_suffix(b"\0").unwrap_or(path);
            out.put(path);
            writeln!(out)
        }
        Attribute::MmStat => stats::mm_stat(control, out),
        Attribute::IoStat => stats::io_stat(control, out),
        Attribute::BdStat => stats::bd_stat(control, out),
        Attribute::RecompressAlgorithm => match recompress(control).codec {
            Some(codec) => writeln!(out, "{codec}"),
            None => writeln!(out, "off"),
        },
        Attribute::RecompressAfter => writeln!(out, "{}", recompress(control).after_seconds),
        Attribute::RecompressCpu => writeln!(out, "{}", recompress(control).cpu_percent),
        Attribute::Latency => stats::latency(control, out),
        Attribute::ChecksumFailures => stats::checksum_failures(control, out),
        Attribute::Stats => stats::all(control, out),
        Attribute::Features => writeln!(
            out,
            "simd={} free_notify={} synchronous={} zstd={} version={}",
            if codecs::uses_vector() {
                "avx2"
            } else {
                "none"
            },
            u32::from(features::has_free_notify()),
            u32::from(features::is_synchronous(control.backing_swap.is_some())),
            u32::from(zstd::is_there()),
            env!("CARGO_PKG_VERSION"),
        ),
        // Only written.
        Attribute::Reset | Attribute::DebugFlip => Ok(()),
    }
}

/// The codecs that can be chosen, the one for new pages in brackets.
fn show_codecs(control: &Control<'_>, out: &mut Writer<'_>) -> fmt::Result {
    let now = control
        .live()
        .map_or(control.codec, |live| live.store().codec());
    let mut between = "";
    let mut one = |spec: CodecSpec, name: &str| {
        let written = if spec == now {
            write!(out, "{between}[{name}]")
        } else if spec.id() == now.id() && spec.id() == CodecId::Zstd {
            // At another level than its name alone means.
            write!(out, "{between}[{now}]")
        } else {
            write!(out, "{between}{name}")
        };
        between = " ";
        written
    };
    for id in KernelCodecs::selectable() {
        if id == CodecId::Wks {
            one(CodecSpec::WKS_FAST, "wks:fast")?;
            one(CodecSpec::WKS_BALANCED, "wks:balanced")?;
        } else if let Ok(spec) = CodecSpec::new_in::<KernelCodecs>(id) {
            one(spec, id.name())?;
        }
    }
    writeln!(out)
}

fn store<'a>(
    control: &'a mut Control<'_>,
    attribute: Attribute,
    value: &'a str,
) -> Result<(), Error<'a>> {
    // SAFETY: may be called anywhere.
    if !unsafe { sys::rzk_capable_sys_admin() } {
        return Err(Error::NotAdmin);
    }
    match attribute {
        Attribute::Disksize => {
            control.before_life("change its size")?;
            let bytes = size("disksize", value)?;
            let before = control
                .disksize
                .replace(sizes::size("disksize", bytes, MIN_DISKSIZE)?);
            if let Err(code) = initialise(control) {
                control.disksize = before;
                return Err(code);
            }
            Ok(())
        }
        Attribute::Reset if value == "1" => control.reset(0),
        Attribute::Reset => Err(Error::ResetWord { value }),
        Attribute::MemLimit => set_mem_limit(control, size("mem_limit", value)?),
        Attribute::CompAlgorithm => {
            let spec = CodecSpec::parse_in::<KernelCodecs>(value).map_err(Error::UnknownCodec)?;
            if let Some(live) = control.live() {
                live.store().set_codec(spec);
            }
            control.codec = spec;
            Ok(())
        }
        Attribute::RecompressAlgorithm => {
            let codec = match value {
                "off" => None,
                codec => Some(
                    CodecSpec::parse_in::<KernelCodecs>(codec).map_err(Error::UnknownColdCodec)?,
                ),
            };
            set_recompress(control, |policy| policy.codec = codec);
            Ok(())
        }
        Attribute::RecompressAfter => {
            let value = number("recompress_after", value, "seconds, 1 to 86400")?;
            let seconds = u32::try_from(value)
                .ok()
                .filter(|n| AFTER_SECONDS.contains(n));
            let seconds = seconds.ok_or(Error::After { value })?;
            set_recompress(control, |policy| policy.after_seconds = seconds);
            Ok(())
        }
        Attribute::RecompressCpu => {
            let value = number("recompress_cpu", value, "per cent of one CPU, 1 to 100")?;
            let percent = u32::try_from(value)
                .ok()
                .filter(|n| CPU_PERCENT.contains(n));
            let percent = percent.ok_or(Error::Cpu { value })?;
            set_recompress(control, |policy| policy.cpu_percent = percent);
            Ok(())
        }
        Attribute::DebugFlip => {
            let index = number("debug_flip", value, "the index of a page")?;
            let live = control.live().ok_or(Error::NotInitialised {
                remedy: "write its disksize",
            })?;
            if live.store().flip_bit(index) {
                return Ok(());
            }
            Err(Error::NoChunk { index })
        }
        // Only read, or stored by `store_backing_swap`.
        _ => Ok(()),
    }
}

/// What a user wrote, byte for byte: without the newline that ends it, and without a 0 and what is
/// behind it. A path may begin and end with white space, and need not be text.
fn line(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or(bytes);
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

fn store_backing_swap<'a>(control: &mut Control<'_>, path: &[u8]) -> Result<(), Error<'a>> {
    // SAFETY: may be called anywhere.
    if !unsafe { sys::rzk_capable_sys_admin() } {
        return Err(Error::NotAdmin);
    }
    if path == b"none" {
        control
            .before_life("take its backing swap away")?
            .backing_swap = None;
        return Ok(());
    }
    let before = control.backing_swap.take();
    let outcome = try_backing_swap(control, path);
    if outcome.is_err() {
        control.backing_swap = before;
    }
    outcome
}

/// Sets the backing swap, if it can be one now. It is closed again until the device is initialised.
fn try_backing_swap<'a>(control: &mut Control<'_>, value: &[u8]) -> Result<(), Error<'a>> {
    ioctl::set_backing_swap(control, value)?;
    let number = control.device().number();
    let path = control.backing_swap.as_deref().unwrap_or_default();
    BackingSwap::open(number, path).map(drop).map_err(|error| {
        print(Level::Error, Some(number), format_args!("{error}"));
        Error::Reported {
            code: error.errno(),
        }
    })
}

fn initialise<'a>(control: &mut Control<'_>) -> Result<(), Error<'a>> {
    let number = control.device().number();
    control.initialise().map_err(|error| {
        print(Level::Error, Some(number), format_args!("{error}"));
        Error::Reported {
            code: error.errno(),
        }
    })
}

fn size<'a>(what: &'static str, value: &'a str) -> Result<u64, Error<'a>> {
    text::size(value).ok_or(Error::NoSize { what, value })
}

fn number<'a>(what: &'static str, value: &'a str, wanted: &'static str) -> Result<u64, Error<'a>> {
    text::number(value).ok_or(Error::NoNumber {
        what,
        value,
        wanted,
    })
}

fn set_mem_limit(control: &mut Control<'_>, bytes: u64) -> Result<(), Error<'static>> {
    let memlimit = match bytes {
        0 => None,
        bytes => Some(sizes::size("mem_limit", bytes, MIN_MEMLIMIT)?),
    };
    if let Some(live) = control.live() {
        let disksize = live.store().pages() * PAGE;
        if let Some(memlimit) = memlimit.filter(|_| live.backing().is_some()) {
            sizes::limit_fits(memlimit, disksize)?;
        }
        live.set_memlimit(memlimit);
    }
    control.memlimit = memlimit;
    Ok(())
}

fn set_recompress(control: &mut Control<'_>, change: impl FnOnce(&mut Recompress)) {
    change(&mut control.recompress);
    let policy = control.recompress;
    if let Some(live) = control.live() {
        live.policy.set(policy);
        live.store().host().cold.wake();
    }
}
