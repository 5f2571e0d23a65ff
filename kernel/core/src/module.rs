//! The module: its parameters, and the devices that live as long as it does.

use alloc::boxed::Box;
use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use compcache_engine::codec::CodecSpec;
use compcache_engine::cpu::Cpu;
use compcache_engine::disk::sizes::SizeError;
use compcache_engine::disk::{MIN_DISKSIZE, MIN_MEMLIMIT, PAGE, sizes};
use compcache_engine::fallible::{boxed, try_collect};

use crate::codecs::{self, KernelCodecs};
use crate::device::Device;
use crate::error::{Error, no_memory};
use crate::print::{Level, print};
use crate::sys::{self, Parameters};
use crate::{features, ioctl, zstd};

/// Devices of a module, at most.
const MOST_DEVICES: u64 = 32;

/// The devices; a pointer to a box.
static DEVICES: AtomicPtr<Box<[Device]>> = AtomicPtr::new(ptr::null_mut());

/// Starts the module: 0, or a negative error number with a line in the log. May sleep.
///
/// # Safety
/// The strings of `parameters` end with a 0, or are null.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_init(parameters: *const Parameters) -> i32 {
    // SAFETY: by this function's contract.
    let started = unsafe { start(&*parameters) };
    match started {
        Ok(()) => 0,
        Err((number, code)) => {
            stop();
            if let Some(number) = number {
                let what = format_args!("the module is not loaded: its parameters cannot be met");
                print(Level::Error, Some(number), what);
            }
            -code
        }
    }
}

/// Ends the module, when no device is open. May sleep.
#[unsafe(no_mangle)]
extern "C" fn rz_exit() {
    stop();
}

fn stop() {
    let devices = DEVICES.swap(ptr::null_mut(), Relaxed);
    if !devices.is_null() {
        // SAFETY: it is the box that `start` made. The kernel unloads a module of which no device
        // is open, and lets nobody open one meanwhile.
        drop(unsafe { Box::from_raw(devices) });
    }
    zstd::stop();
}

/// Prints an error about a device or the module, and makes it a code.
fn refused(number: Option<u32>, error: Error<'_>) -> (Option<u32>, i32) {
    print(Level::Error, number, format_args!("{error}"));
    (number, error.errno())
}

/// # Safety
/// As for [`rz_init`].
unsafe fn start(parameters: &Parameters) -> Result<(), (Option<u32>, i32)> {
    let module = |error| refused(None, error);
    // SAFETY: may be called anywhere.
    let features = unsafe { sys::rzk_features() };
    if parameters.num_devices == 0 || parameters.num_devices > MOST_DEVICES {
        return Err(module(Error::NumDevices {
            value: parameters.num_devices,
        }));
    }
    let set = parameters.set & sys::SET_SYNCHRONOUS != 0;
    features::choose_synchronous(features, set.then_some(parameters.synchronous != 0));
    features::set(features, parameters.debug != 0);
    codecs::use_vector(parameters.simd != 0 && features & sys::HAS_AVX2 != 0);
    if features & sys::HAS_CRC32 != 0 {
        // SAFETY: the processor has SSE 4.2.
        unsafe { Cpu::BASELINE.with_sse42() }.announce();
    }
    if features & sys::HAS_ZSTD != 0 {
        zstd::start().map_err(|error| module(no_memory("zstd", 256 << 10)(error)))?;
    }
    // SAFETY: by this function's contract.
    if let Some(codec) = unsafe { text(parameters.codec) } {
        let spec = core::str::from_utf8(codec.to_bytes()).unwrap_or_default();
        let spec = CodecSpec::parse_in::<KernelCodecs>(spec.trim())
            .map_err(|error| module(Error::UnknownCodec(error)))?;
        codecs::set_default(spec);
    }
    let count = parameters.num_devices as usize;
    let devices = try_collect(count, |number| Device::new(number as u32))
        .and_then(boxed)
        .map_err(|error| module(no_memory("the devices", PAGE)(error)))?;
    let devices = Box::into_raw(devices);
    DEVICES.store(devices, Relaxed);
    // SAFETY: the box stays until `stop`.
    let devices = unsafe { &*devices };
    for device in devices {
        device
            .make_disk()
            .map_err(|error| refused(Some(device.number()), error))?;
    }
    // All that parameters can make fail comes before the first disk is shown: a disk may be opened
    // at once, by udev for one, and the kernel frees a module that fails to start whoever has it open.
    // SAFETY: by this function's contract.
    unsafe { initialise_first(&devices[0], parameters) }.map_err(|code| (Some(0), code))?;
    let shown = show(devices)?;
    print(
        Level::Info,
        None,
        format_args!(
            "{shown} device{}, codec {}, vector code: {}, zstd: {}, freed slots: {}",
            if shown == 1 { "" } else { "s" },
            codecs::default_codec(),
            if codecs::uses_vector() {
                "AVX2"
            } else {
                "none"
            },
            if zstd::is_there() {
                "the kernel's"
            } else {
                "none"
            },
            if features::has_free_notify() {
                "notified by the kernel"
            } else {
                "by discard only: use swapon --discard"
            },
        ),
    );
    Ok(())
}

/// Shows the disks, one after the other, and returns how many there are. Once there is one, the module
/// stays, with as many as could be had: the first may be in use already.
fn show(devices: &[Device]) -> Result<usize, (Option<u32>, i32)> {
    for (shown, device) in devices.iter().enumerate() {
        if let Err(error) = device.show_disk() {
            let failed = refused(Some(device.number()), error);
            return if shown == 0 { Err(failed) } else { Ok(shown) };
        }
    }
    Ok(devices.len())
}

/// Initialises device 0 if a parameter of it was set.
///
/// # Safety
/// As for [`rz_init`].
unsafe fn initialise_first(device: &Device, parameters: &Parameters) -> Result<(), i32> {
    let refused = |error: Error<'_>| refused(Some(device.number()), error).1;
    let size = |error: SizeError| refused(error.into());
    let has = |bit| parameters.set & bit != 0;
    if !(has(sys::SET_BACKING) || has(sys::SET_MEMLIMIT) || has(sys::SET_DISKSIZE)) {
        return Ok(());
    }
    let mut control = device.control();
    // SAFETY: by this function's contract.
    if let Some(path) = unsafe { text(parameters.backing_swap) } {
        ioctl::set_backing_swap(&mut control, path.to_bytes()).map_err(refused)?;
    }
    if has(sys::SET_MEMLIMIT) {
        let bytes =
            sizes::size_kb("memlimit", parameters.memlimit_kb, MIN_MEMLIMIT).map_err(size)?;
        control.memlimit = Some(bytes);
    }
    if has(sys::SET_DISKSIZE) {
        let bytes =
            sizes::size_kb("disksize", parameters.disksize_kb, MIN_DISKSIZE).map_err(size)?;
        control.disksize = Some(bytes);
    }
    control.initialise().map_err(refused)
}

/// # Safety
/// `text` ends with a 0 and stays, or is null.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: by this function's contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

#[cfg(test)]
mod tests {
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::sys::mock::{self, FAIL_IN, LOG, MADE, MOST_SHOWN, SHOWN};

    fn load(num_devices: u64, disksize_kb: Option<u64>) -> i32 {
        let parameters = Parameters {
            num_devices,
            disksize_kb: disksize_kb.unwrap_or(0),
            memlimit_kb: 0,
            backing_swap: ptr::null(),
            codec: ptr::null(),
            synchronous: 1,
            simd: 1,
            debug: 0,
            set: disksize_kb.map_or(0, |_| sys::SET_DISKSIZE),
        };
        // SAFETY: the strings are null.
        unsafe { rz_init(&parameters) }
    }

    fn logged(what: &str) -> bool {
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().any(|line| line.contains(what))
    }

    #[test]
    fn what_parameters_make_fail_fails_before_a_disk_is_seen() {
        let _alone = mock::alone();
        let before = MADE.load(SeqCst);
        for bad in [39, 1 << 34] {
            assert!(load(4, Some(bad)) < 0, "{bad}");
            assert_eq!(SHOWN.load(SeqCst), 0, "{bad}");
            assert_eq!(MADE.load(SeqCst), before, "{bad}");
        }
        assert!(logged("the module is not loaded"));
        assert_eq!(load(4, Some(1024)), 0);
        assert_eq!(SHOWN.load(SeqCst), 4);
        rz_exit();
        assert_eq!(MADE.load(SeqCst), before);
    }

    #[test]
    fn a_module_without_memory_is_not_loaded_and_leaves_nothing() {
        let _alone = mock::alone();
        let before = MADE.load(SeqCst);
        for after in 0.. {
            FAIL_IN.store(after, SeqCst);
            let loaded = load(2, None);
            let failed = FAIL_IN.swap(i64::MAX, SeqCst) < 0;
            if loaded == 0 {
                rz_exit();
            } else {
                assert_eq!(loaded, -sys::ENOMEM, "allocation {after}");
                assert_eq!(SHOWN.load(SeqCst), 0, "allocation {after}");
            }
            assert_eq!(MADE.load(SeqCst), before, "allocation {after}");
            if !failed {
                assert!(after > 0, "nothing was allocated");
                break;
            }
        }
        assert!(logged("cannot make its disk (error 12)"));
    }

    #[test]
    fn a_module_with_a_disk_that_is_seen_stays() {
        let _alone = mock::alone();
        let before = MADE.load(SeqCst);
        MOST_SHOWN.store(0, SeqCst);
        assert_eq!(load(4, Some(1024)), -sys::ENOMEM);
        assert_eq!(MADE.load(SeqCst), before);
        MOST_SHOWN.store(2, SeqCst);
        assert_eq!(load(4, Some(1024)), 0);
        assert!(logged("ramzswap2: cannot make its disk (error 12)"));
        assert!(logged("ramzswap: 2 devices"));
        assert!(MADE.load(SeqCst) > before);
        rz_exit();
        assert_eq!(MADE.load(SeqCst), before);
    }
}
