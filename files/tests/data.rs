//! What is read and written on the mount and on a bare directory: the same calls, the same bytes.

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use common::{Bed, errno, raw, test_over_each_policy};
use rustix::fs::{FallocateFlags, SeekFrom as RawSeek};
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags};

const PAGE: usize = 4096;

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 7 + i % 251) as u8).collect()
}

fn open(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap()
}

test_over_each_policy!(
    an_open_file_outlives_its_name,
    appending_and_truncating,
    direct_io,
    files_past_four_gibibytes,
    holes_and_data_are_told_apart,
    mapped_files,
    ranges_are_copied_between_files,
    space_is_allocated_and_punched,
    written_bytes_are_on_the_source,
);

/// What was closed or synced is on the source, if there is one.
fn assert_same_bytes_on_source(bed: &Bed, name: &str, bytes: &[u8]) {
    if bed.mount().options().source.is_some() {
        assert!(fs::read(bed.source().join(name)).unwrap() == bytes);
    }
}

/// A number that stands for bytes, for messages that can be read (FNV-1a).
fn digest_of(bytes: &[u8]) -> (usize, u64) {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (bytes.len(), hash)
}

fn digest(path: &Path) -> (usize, u64) {
    digest_of(&fs::read(path).unwrap())
}

fn written_bytes_are_on_the_source(bed: &Bed) {
    let bytes = pattern(3 * PAGE + 123);
    fs::write(bed.mounted().join("f"), &bytes).unwrap();
    assert_same_bytes_on_source(bed, "f", &bytes);
    assert!(fs::read(bed.mounted().join("f")).unwrap() == bytes);
}

fn appending_and_truncating(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        fs::write(&path, pattern(5000)).unwrap();
        let mut one = File::options().append(true).open(&path).unwrap();
        let mut two = File::options().append(true).open(&path).unwrap();
        one.write_all(b"one").unwrap();
        two.write_all(b"two").unwrap();
        one.write_all(b"three").unwrap();
        let appended = fs::read(&path).unwrap();
        one.set_len(4097).unwrap();
        two.write_all(b"end").unwrap();
        let cut = fs::read(&path).unwrap();
        let file = open(&path);
        file.set_len(10_000).unwrap();
        let grown = fs::read(&path).unwrap();
        let negative = raw(rustix::fs::ftruncate(&file, 1 << 63));
        let directory = raw(rustix::fs::open(
            at,
            rustix::fs::OFlags::WRONLY,
            rustix::fs::Mode::empty(),
        ))
        .map(drop);
        let emptied = File::create(&path).unwrap().metadata().unwrap().len();
        let old = file.metadata().unwrap().len();
        let read_only = errno(File::open(&path).unwrap().set_len(0));
        let texts = [appended, cut, grown].map(|bytes| digest_of(&bytes));
        (texts, (negative, directory, emptied, old, read_only))
    });
}

fn direct_io(bed: &Bed) {
    #[repr(C, align(4096))]
    struct Aligned([u8; 4 * PAGE]);
    let path = bed.mounted().join("f");
    let mut buffer = Box::new(Aligned([7; 4 * PAGE]));
    let direct = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .unwrap();
    direct.write_all_at(&buffer.0, 0).unwrap();
    let cached = open(&path);
    cached.write_all_at(b"cached", PAGE as u64).unwrap();
    direct.read_exact_at(&mut buffer.0, 0).unwrap();
    assert_eq!(&buffer.0[PAGE..PAGE + 6], b"cached");
    buffer.0.fill(9);
    direct.write_all_at(&buffer.0[..PAGE], 0).unwrap();
    let mut read = [0; PAGE];
    cached.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(read, [9; PAGE]);
    direct.sync_all().unwrap();
    let expected: Vec<u8> = fs::read(&path).unwrap();
    assert_same_bytes_on_source(bed, "f", &expected);
}

fn holes_and_data_are_told_apart(bed: &Bed) {
    bed.same(|at| {
        let file = open(&at.join("f"));
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[1; PAGE], 256 << 10).unwrap();
        file.sync_all().unwrap();
        let seek = |from| raw(rustix::fs::seek(&file, from));
        [
            seek(RawSeek::Data(0)),
            seek(RawSeek::Hole(0)),
            seek(RawSeek::Hole(256 << 10)),
            seek(RawSeek::Data((256 << 10) + 4096)),
            seek(RawSeek::Data(1 << 20)),
            seek(RawSeek::Hole(1 << 20)),
            seek(RawSeek::End(0)),
        ]
    });
}

fn space_is_allocated_and_punched(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        let file = open(&path);
        file.write_all_at(&pattern(16 * PAGE), 0).unwrap();
        // Into the kernel's cache, where it must not stay.
        let mut before = Vec::new();
        open(&path).read_to_end(&mut before).unwrap();
        let page = PAGE as u64;
        let allocate =
            |mode, offset, length| raw(rustix::fs::fallocate(&file, mode, offset, length));
        let keep = FallocateFlags::KEEP_SIZE;
        let mut seen = Vec::new();
        for (mode, offset, length) in [
            (FallocateFlags::empty(), 0, 20 * page),
            (keep, 30 * page, 10 * page),
            (keep | FallocateFlags::PUNCH_HOLE, page + 10, 2 * page),
            (FallocateFlags::PUNCH_HOLE, 0, page),
            (FallocateFlags::ZERO_RANGE, 5 * page, page / 2),
            (FallocateFlags::ZERO_RANGE | keep, 7 * page, 100 * page),
            (FallocateFlags::empty(), 0, 0),
        ] {
            let done = allocate(mode, offset, length);
            seen.push((done, digest(&path), file.metadata().unwrap().len()));
        }
        seen
    });
}

fn ranges_are_copied_between_files(bed: &Bed) {
    bed.same(|at| {
        let (from, to) = (open(&at.join("from")), open(&at.join("to")));
        from.write_all_at(&pattern(10 * PAGE), 0).unwrap();
        to.write_all_at(&[1; 10 * PAGE], 0).unwrap();
        let mut old = vec![0; 10 * PAGE];
        to.read_exact_at(&mut old, 0).unwrap();
        let copy = |mut a: u64, mut b: u64, length| {
            raw(rustix::fs::copy_file_range(
                &from,
                Some(&mut a),
                &to,
                Some(&mut b),
                length,
            ))
        };
        let copied = [
            copy(0, 0, PAGE),
            copy(100, 5000, 3 * PAGE + 1),
            copy(9 * PAGE as u64, 9 * PAGE as u64, 1 << 20),
            copy(100 * PAGE as u64, 0, 1),
        ];
        let mut new = vec![0; 10 * PAGE];
        to.read_exact_at(&mut new, 0).unwrap();
        let std = errno(fs::copy(at.join("from"), at.join("copy")));
        (copied, digest_of(&new), std, digest(&at.join("copy")))
    });
}

fn files_past_four_gibibytes(bed: &Bed) {
    bed.same(|at| {
        let mut file = open(&at.join("f"));
        let place = (5 << 30) + 17;
        file.write_all_at(b"far away", place).unwrap();
        file.seek(SeekFrom::Start(place + 4)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let mut hole = [1; 64];
        file.read_exact_at(&mut hole, place - 100).unwrap();
        let map = map(&file, MapFlags::SHARED, 5 << 30);
        let mapped = map[17..25].to_vec();
        unmap(map);
        (text, hole, mapped, file.metadata().unwrap().len())
    });
}

fn an_open_file_outlives_its_name(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        let mut file = open(&path);
        file.write_all(b"still").unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b" here").unwrap();
        let links = file.metadata().unwrap().nlink();
        file.set_len(8).unwrap();
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_bits_retain(0o600)).unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        // Its number may be used again at once.
        fs::write(&path, "another").unwrap();
        let other = fs::read_to_string(&path).unwrap();
        let replaced = open(&path);
        fs::write(at.join("g"), "third").unwrap();
        fs::rename(at.join("g"), &path).unwrap();
        let mut kept = [0; 7];
        replaced.read_exact_at(&mut kept, 0).unwrap();
        (links, text, other, kept, fs::read_to_string(&path).unwrap())
    });
}

fn map(file: &File, flags: MapFlags, offset: u64) -> &'static mut [u8] {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping of two pages at an address of the kernel's choice; the callers keep
    // within it, and use it no more after `unmap`.
    unsafe {
        let at =
            rustix::mm::mmap(std::ptr::null_mut(), 2 * PAGE, access, flags, file, offset).unwrap();
        std::slice::from_raw_parts_mut(at.cast(), 2 * PAGE)
    }
}

fn unmap(map: &'static mut [u8]) {
    // SAFETY: `map` made this mapping, and nobody uses it any more.
    unsafe { rustix::mm::munmap(map.as_mut_ptr().cast(), map.len()).unwrap() };
}

fn mapped_files(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        let file = open(&path);
        file.write_all_at(&pattern(2 * PAGE), 0).unwrap();
        let shared = map(&file, MapFlags::SHARED, 0);
        let private = map(&file, MapFlags::PRIVATE, 0);
        private[10] = 1;
        shared[20..26].copy_from_slice(b"shared");
        let through_private = private[20..26].to_vec();
        let before = fs::read(&path).unwrap();
        file.write_all_at(b"written", 30).unwrap();
        let written = shared[30..37].to_vec();
        // SAFETY: the range is the mapping's own.
        unsafe {
            rustix::mm::msync(shared.as_mut_ptr().cast(), shared.len(), MsyncFlags::SYNC).unwrap();
        }
        shared[40] = 2;
        unmap(shared);
        unmap(private);
        file.sync_all().unwrap();
        (through_private, digest_of(&before), written, digest(&path))
    });
    let bytes = fs::read(bed.mounted().join("f")).unwrap();
    assert_same_bytes_on_source(bed, "f", &bytes);
}

#[test]
fn a_long_copy_is_made_in_pieces() {
    let Some(bed) = Bed::new() else {
        return;
    };
    let at = bed.mounted();
    let (from, to) = (open(&at.join("from")), open(&at.join("to")));
    let bytes = pattern(9 << 20);
    from.write_all_at(&bytes, 0).unwrap();
    let (mut from_offset, mut to_offset) = (0, 0);
    let mut copied = Vec::new();
    while to_offset < bytes.len() as u64 {
        let piece = rustix::fs::copy_file_range(
            &from,
            Some(&mut from_offset),
            &to,
            Some(&mut to_offset),
            bytes.len(),
        );
        copied.push(piece.unwrap());
    }
    assert_eq!(copied, [4 << 20, 4 << 20, 1 << 20]);
    assert!(fs::read(at.join("to")).unwrap() == bytes);
}
