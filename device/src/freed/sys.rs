//! The system call `bpf(2)`: maps, programs, and where they are attached
//! (`include/uapi/linux/bpf.h`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use compcache_host::Mapping;
use rustix::mm::ProtFlags;

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;

const TYPE_ARRAY: u32 = 2;
const TYPE_RINGBUF: u32 = 27;
const F_MMAPABLE: u32 = 1 << 10;
const PROG_TRACING: u32 = 26;
const TRACE_FENTRY: u32 = 24;

/// Under which the program is offered: as all of this crate under the MIT licence, and also
/// under the GPL, which the kernel asks of programs that read its structures.
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";

/// Bytes for what the kernel's verifier says of a program that it refuses.
const LOG_BYTES: usize = 1 << 20;

/// For `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// For `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    padding: u32,
}

/// For `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Default)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

const _: () = assert!(
    size_of::<MapCreate>() == 44
        && size_of::<ProgLoad>() == 120
        && size_of::<RawTracepointOpen>() == 16,
    "as the kernel has it"
);

/// Calls `bpf(2)` for a command that returns a file descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` is a structure that belongs to the command, without pointers but those
    // to memory that its maker keeps until this returns; the kernel reads no more than its size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us, with close-on-exec.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn name(of: &str) -> [u8; 16] {
    let mut name = [0; 16];
    // The last byte stays zero.
    for (to, from) in name[..15].iter_mut().zip(of.bytes()) {
        *to = from;
    }
    name
}

/// Loads a program that is to run at the entry of the kernel's function whose type has this
/// number. On failure, the second part is the verifier's last line, if there is one.
pub(super) fn load(code: &[u64], function: u32) -> Result<OwnedFd, (io::Error, Option<String>)> {
    let mut attributes = ProgLoad {
        prog_type: PROG_TRACING,
        insn_cnt: code.len() as u32,
        insns: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        prog_name: name("ramzswap_freed"),
        expected_attach_type: TRACE_FENTRY,
        attach_btf_id: function,
        ..Default::default()
    };
    let error = match bpf(PROG_LOAD, &attributes) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    let mut log = vec![0_u8; LOG_BYTES];
    attributes.log_level = 1;
    attributes.log_size = LOG_BYTES as u32;
    attributes.log_buf = log.as_mut_ptr() as u64;
    match bpf(PROG_LOAD, &attributes) {
        Ok(program) => Ok(program),
        Err(_) => {
            let text = String::from_utf8_lossy(&log);
            let text = text.trim_end_matches('\0').trim_end();
            // Below what went wrong stands only how far the verifier came.
            let log = text.lines().rfind(|line| !line.starts_with("processed "));
            Err((
                error,
                log.filter(|line| !line.is_empty()).map(str::to_owned),
            ))
        }
    }
}

/// Attaches a program where it was loaded for. It is detached when the descriptor is closed.
pub(super) fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    bpf(
        RAW_TRACEPOINT_OPEN,
        &RawTracepointOpen {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            ..Default::default()
        },
    )
}

/// The words of a map that is mapped into our memory.
fn words(of: &Mapping) -> &[AtomicU64] {
    // SAFETY: the mapping is aligned to a page, this long, and lives as long as the reference. We
    // and the kernel access it by atomic operations on words of 64 bits; what is mapped for
    // reading only is only loaded here.
    unsafe { std::slice::from_raw_parts(of.base().as_ptr().cast(), of.len() / 8) }
}

/// An array of 64-bit words that programs and this process share.
pub(super) struct Array {
    map: OwnedFd,
    mapping: Mapping,
}

impl Array {
    /// So many words of zeros, at least one. All of their memory is there from now on.
    pub(super) fn new(words: u32) -> io::Result<Self> {
        let map = bpf(
            MAP_CREATE,
            &MapCreate {
                map_type: TYPE_ARRAY,
                key_size: 4,
                value_size: 8,
                max_entries: words,
                map_flags: F_MMAPABLE,
                map_name: name("ramzswap_dead"),
                ..Default::default()
            },
        )?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let mapping = Mapping::shared(&map, 0, words as usize * 8, prot)?;
        Ok(Array { map, mapping })
    }

    /// The map, for programs.
    pub(super) fn fd(&self) -> i32 {
        self.map.as_raw_fd()
    }
}

impl AsRef<[AtomicU64]> for Array {
    fn as_ref(&self) -> &[AtomicU64] {
        words(&self.mapping)
    }
}

/// A ring buffer, by which a program wakes us. What it writes is of no interest.
pub(super) struct Ring {
    map: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
}

impl Ring {
    /// The smallest ring that there is: one page.
    pub(super) fn new() -> io::Result<Self> {
        let page = rustix::param::page_size();
        let map = bpf(
            MAP_CREATE,
            &MapCreate {
                map_type: TYPE_RINGBUF,
                max_entries: page as u32,
                map_name: name("ramzswap_wake"),
                ..Default::default()
            },
        )?;
        // Two pages, each with a position in its first word: ours, then the kernel's.
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let consumer = Mapping::shared(&map, 0, page, prot)?;
        let producer = Mapping::shared(&map, page as u64, page, ProtFlags::READ)?;
        Ok(Ring {
            map,
            consumer,
            producer,
        })
    }

    /// Readable, as `poll(2)` has it, while there is something in the ring.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// Throws away all that is in the ring.
    pub(super) fn clear(&self) {
        let written = words(&self.producer)[0].load(Ordering::Acquire);
        words(&self.consumer)[0].store(written, Ordering::Release);
    }
}
