//! Requests of the kernel to the one-file file system of a device.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use compcache_device::disk::{Disk, StoreDisk};
use compcache_device::transport::Offline;
use compcache_engine::host::heap::{HeapFrames, HeapSlots};
use compcache_engine::{BackingAccess, CodecSpec, PAGE_SIZE, Page, Store, StoreConfig};
use compcache_host::memory::LinuxHost;

/// Pages of the disk.
const PAGES: usize = 64;

/// Bytes before a request's arguments.
pub(crate) const HEADER: usize = 40;
/// Bytes of the arguments of READ, WRITE and FALLOCATE that are looked at, with padding.
pub(crate) const ARGUMENTS: usize = 40;

pub(crate) const READ: u32 = 15;
pub(crate) const WRITE: u32 = 16;
pub(crate) const FALLOCATE: u32 = 43;
/// Keep the size, and punch a hole.
pub(crate) const PUNCH: u32 = 3;

thread_local! {
    /// One worker and its disk, kept from input to input as a daemon does.
    static WORKER: RefCell<Offline> = RefCell::new(Offline::new(&disk()).unwrap());
}

fn disk() -> Arc<dyn Disk> {
    let store = Store::try_new(
        LinuxHost::new(Arc::default(), Arc::default()),
        HeapFrames::new(16),
        HeapSlots::new(PAGES),
        BackingAccess::None,
        StoreConfig {
            memlimit: None,
            codec: CodecSpec::LZ4,
            arenas: 1,
            reserve_bytes: 1 << 19,
        },
    );
    let store = store.unwrap();
    store.keep();
    Arc::new(StoreDisk::new(store, None))
}

/// A request of an operation, with an argument of offset and length as READ, WRITE and FALLOCATE have
/// it, and data.
pub(crate) fn request(opcode: u32, unique: u64, offset: u64, size: u64, data: &[u8]) -> Vec<u8> {
    let mut request = vec![0; HEADER + ARGUMENTS];
    let len = (request.len() + data.len()) as u32;
    request[..4].copy_from_slice(&len.to_le_bytes());
    request[4..8].copy_from_slice(&opcode.to_le_bytes());
    request[8..16].copy_from_slice(&unique.to_le_bytes());
    request[16] = 1;
    request[HEADER + 8..][..8].copy_from_slice(&offset.to_le_bytes());
    request[HEADER + 16..][..8].copy_from_slice(&size.to_le_bytes());
    if opcode == FALLOCATE {
        request[HEADER + 24..][..4].copy_from_slice(&PUNCH.to_le_bytes());
    }
    request.extend(data);
    request
}

/// A number of a request or reply; 0 behind its end, as the server takes it.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(from) = bytes.get(at..at + len) {
        number[..len].copy_from_slice(from);
    }
    u64::from_le_bytes(number)
}

/// Any requests, one after the other: two bytes of its length before each. Every reply is well-formed
/// and of its request, and what was written and not freed is what is read.
pub fn fuse_requests(data: &[u8]) {
    WORKER.with_borrow_mut(|worker| {
        let whole = request(FALLOCATE, 1, 0, (PAGES * PAGE_SIZE) as u64, &[]);
        let reply = worker.answer(&whole).expect("FALLOCATE has a reply");
        assert_eq!(number(&reply, 4, 4), 0, "the disk cannot be emptied");
        let mut held = HashMap::new();
        let mut left = data;
        while let Some((len, rest)) = left.split_first_chunk() {
            let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
            let (request, rest) = rest.split_at(len);
            let reply = worker.answer(request);
            check(request, reply.as_deref(), &mut held);
            left = rest;
        }
    });
}

/// Holds a reply against the pages that the disk holds, `held`, and changes these as the request did.
fn check(request: &[u8], reply: Option<&[u8]>, held: &mut HashMap<u64, Page>) {
    let Some(reply) = reply else { return };
    assert!(request.len() >= HEADER, "a reply to no request");
    assert_eq!(number(reply, 0, 4), reply.len() as u64, "a reply's length");
    assert_eq!(
        number(reply, 8, 8),
        number(request, 8, 8),
        "a reply's request"
    );
    let error = number(reply, 4, 4) as u32 as i32;
    assert!((-4095..=0).contains(&error), "error {error}");
    if error != 0 {
        assert_eq!(reply.len(), 16, "an error with data");
        return;
    }
    let offset = number(request, HEADER + 8, 8);
    let first = offset / PAGE_SIZE as u64;
    let pages = |bytes: u64| {
        let end = offset.checked_add(bytes).expect("a request behind the end");
        assert!(end <= (PAGES * PAGE_SIZE) as u64 && bytes.is_multiple_of(PAGE_SIZE as u64));
        first..first + bytes / PAGE_SIZE as u64
    };
    match number(request, 4, 4) as u32 {
        READ => {
            let size = number(request, HEADER + 16, 4);
            let (read, _) = reply[16..].as_chunks::<PAGE_SIZE>();
            assert_eq!(read.len() as u64, size / PAGE_SIZE as u64);
            for (index, page) in pages(size).zip(read) {
                let wanted = held.get(&index).unwrap_or(&[0; PAGE_SIZE]);
                assert!(page == wanted, "page {index} is another one");
            }
        }
        WRITE => {
            let written = request.get(HEADER + ARGUMENTS..).unwrap_or_default();
            let (written, _) = written.as_chunks::<PAGE_SIZE>();
            let range = pages(number(request, HEADER + 16, 4));
            assert_eq!(written.len() as u64, range.end - range.start);
            held.extend(range.zip(written.iter().copied()));
        }
        FALLOCATE => {
            for index in pages(number(request, HEADER + 16, 8)) {
                held.remove(&index);
            }
        }
        _ => {}
    }
}
