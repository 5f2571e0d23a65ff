//! The ioctls of compcache 0.6.2, with its numbers, structures, order and errors.
//!
//! | name | number | argument |
//! |---|---|---|
//! | SET_DISKSIZE_KB | 0x40087a00 (0x40047a00 of a 32-bit caller) | the number itself, at an address |
//! | SET_MEMLIMIT_KB | 0x40087a01 (0x40047a01) | as above |
//! | SET_BACKING_SWAP | 0x40807a02 | a path in 128 bytes |
//! | GET_STATS | 0x80f47a03, 0x80fc7a03 (with `notify_free`) | statistics, packed to 4 bytes |
//! | INIT | 0x7a04 | none |
//! | RESET | 0x7a05 | none |
//!
//! A SET after INIT and a second INIT are EBUSY, GET_STATS before INIT is ENOTTY, RESET is EBUSY
//! while somebody else has the device open and does nothing before INIT.

use compcache_engine::disk::{MIN_DISKSIZE, MIN_MEMLIMIT, PAGE, sizes};
use compcache_engine::page::PAGE_SIZE;

use crate::device::{Control, Device};
use crate::error::{Error, no_memory};
use crate::fallible;
use crate::print::{Level, print};
use crate::sys;

const SET_DISKSIZE_KB: u32 = 0x4008_7a00;
const SET_DISKSIZE_KB_32: u32 = 0x4004_7a00;
const SET_MEMLIMIT_KB: u32 = 0x4008_7a01;
const SET_MEMLIMIT_KB_32: u32 = 0x4004_7a01;
const SET_BACKING_SWAP: u32 = 0x4080_7a02;
const GET_STATS: u32 = 0x80f4_7a03;
const GET_STATS_WITH_NOTIFY_FREE: u32 = 0x80fc_7a03;
const INIT: u32 = 0x7a04;
const RESET: u32 = 0x7a05;

/// Bytes of a path, its end included.
pub(crate) const PATH: usize = 128;

/// What an ioctl comes to: done, or an error; `None` for one that is not ours, or not now.
type Answer<'a> = Option<Result<(), Error<'a>>>;

/// Answers an ioctl of a device: 0 or a negative error number. May sleep.
///
/// # Safety
/// `device` is the disk's.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_ioctl(
    device: *const Device,
    command: u32,
    argument: u64,
    _compat: bool,
) -> i32 {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    let mut control = device.control();
    match answer(&mut control, command, argument) {
        None => -sys::ENOTTY,
        Some(Ok(())) => 0,
        Some(Err(error)) => {
            let level = match error {
                Error::NotAdmin | Error::Fault => Level::Refused,
                _ => Level::Error,
            };
            print(level, Some(device.number()), format_args!("{error}"));
            -error.errno()
        }
    }
}

fn answer<'a>(control: &'a mut Control<'_>, command: u32, argument: u64) -> Answer<'a> {
    if !matches!(
        command,
        SET_DISKSIZE_KB
            | SET_DISKSIZE_KB_32
            | SET_MEMLIMIT_KB
            | SET_MEMLIMIT_KB_32
            | SET_BACKING_SWAP
            | GET_STATS
            | GET_STATS_WITH_NOTIFY_FREE
            | INIT
            | RESET
    ) {
        return None;
    }
    if matches!(command, GET_STATS | GET_STATS_WITH_NOTIFY_FREE) {
        let with_notify_free = command == GET_STATS_WITH_NOTIFY_FREE;
        control.live()?;
        return Some(give_stats(control, argument, with_notify_free));
    }
    // SAFETY: may be called anywhere.
    if !unsafe { sys::rzk_capable_sys_admin() } {
        return Some(Err(Error::NotAdmin));
    }
    Some(match command {
        SET_DISKSIZE_KB => read::<8>(argument).and_then(|kb| set_disksize(control, le(kb))),
        SET_DISKSIZE_KB_32 => read::<4>(argument).and_then(|kb| set_disksize(control, le(kb))),
        SET_MEMLIMIT_KB => read::<8>(argument).and_then(|kb| set_memlimit_kb(control, le(kb))),
        SET_MEMLIMIT_KB_32 => read::<4>(argument).and_then(|kb| set_memlimit_kb(control, le(kb))),
        SET_BACKING_SWAP => read::<PATH>(argument).and_then(|path| {
            let end = path.iter().position(|byte| *byte == 0);
            match end {
                Some(end) => set_backing_swap(control, &path[..end]),
                None => Err(Error::PathTooLong { most: PATH - 1 }),
            }
        }),
        INIT => return Some(control.initialise()),
        // The caller has it open.
        _ => control.reset(1),
    })
}

/// Bytes of the caller's.
fn read<const N: usize>(from: u64) -> Result<[u8; N], Error<'static>> {
    let mut bytes = [0; N];
    // SAFETY: there is room for as many bytes; the kernel checks the address.
    match unsafe { sys::rzk_copy_from_user(bytes.as_mut_ptr().cast(), from, N) } {
        0 => Ok(bytes),
        _ => Err(Error::Fault),
    }
}

/// A little-endian number of up to eight bytes, as x86 has them.
fn le<const N: usize>(bytes: [u8; N]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn set_disksize(control: &mut Control<'_>, kb: u64) -> Result<(), Error<'static>> {
    let params = control.before_life("change its size")?;
    params.disksize = Some(sizes::size_kb("disksize", kb, MIN_DISKSIZE)?);
    Ok(())
}

fn set_memlimit_kb(control: &mut Control<'_>, kb: u64) -> Result<(), Error<'static>> {
    let params = control.before_life("change its memory limit in this way, or write mem_limit")?;
    params.memlimit = Some(sizes::size_kb("memlimit", kb, MIN_MEMLIMIT)?);
    Ok(())
}

/// Sets the path of the backing swap, which is opened when the device is initialised.
pub(crate) fn set_backing_swap(
    control: &mut Control<'_>,
    path: &[u8],
) -> Result<(), Error<'static>> {
    let params = control.before_life("change its backing swap")?;
    if path.is_empty() {
        return Err(Error::PathEmpty);
    }
    if path.len() >= PATH {
        return Err(Error::PathTooLong { most: PATH - 1 });
    }
    // It is opened again when the device is initialised, by whoever does that, wherever he is.
    if path.first() != Some(&b'/') {
        return Err(Error::PathRelative);
    }
    let mut with_end = [0; PATH];
    with_end[..path.len()].copy_from_slice(path);
    let path = fallible::text(&with_end[..=path.len()]).map_err(no_memory("the path", PAGE))?;
    params.backing_swap = Some(path);
    Ok(())
}

/// Statistics as 0.6.2 has them.
struct Packed {
    bytes: [u8; 252],
    length: usize,
}

impl Packed {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn put64(&mut self, value: u64) {
        self.put(&value.to_ne_bytes());
    }

    fn put32(&mut self, value: u64) {
        self.put(&u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes());
    }
}

fn give_stats(
    control: &mut Control<'_>,
    to: u64,
    with_notify_free: bool,
) -> Result<(), Error<'static>> {
    let Some(live) = control.live() else {
        return Ok(());
    };
    let (memlimit, disksize) = (live.memlimit(), live.store().pages() * PAGE);
    let mut packed = Packed {
        bytes: [0; 252],
        length: 0,
    };
    let mut name = [0; PATH];
    if let Some(path) = &control.backing_swap {
        name[..path.len()].copy_from_slice(path);
    }
    packed.put(&name);
    packed.put64(memlimit);
    packed.put64(disksize);
    let invalid_io = control.device().invalid_io();
    let stats = control.stats();
    packed.put64(stats.reads);
    packed.put64(stats.writes);
    packed.put64(stats.failed_reads);
    packed.put64(stats.failed_writes);
    packed.put64(invalid_io);
    if with_notify_free {
        packed.put64(stats.notify_free);
    }
    let share = |part: u64| (part * 100).checked_div(stats.pages_stored).unwrap_or(0);
    packed.put32(stats.zero_pages);
    packed.put32(share(stats.good_compress));
    packed.put32(share(stats.no_compress));
    packed.put32(stats.pages_stored);
    packed.put32(stats.pool_bytes / PAGE);
    packed.put64(stats.pages_stored * PAGE_SIZE as u64);
    packed.put64(stats.compr_bytes);
    packed.put64(stats.pool_bytes);
    packed.put64(stats.backing_reads);
    packed.put64(stats.backing_writes);
    // SAFETY: as many bytes are there; the kernel checks the address.
    let copied = unsafe { sys::rzk_copy_to_user(to, packed.bytes.as_ptr().cast(), packed.length) };
    match copied {
        0 => Ok(()),
        _ => Err(Error::Fault),
    }
}
