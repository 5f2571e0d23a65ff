//! The backing swap: what is accepted, what is refused and why, and that pages come back.

mod common;

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use common::{Aligned, PAGE, any_page, buffer, can_attach, make_swap_file, tempdir};
use compcache_device::backing_swap::BackingSwap;
use compcache_device::{DeviceError, swap};
use compcache_engine::backing::Transfer;
use compcache_engine::swap_header::SwapHeader;
use compcache_engine::{Backing, Unread};
use compcache_random::Random;

/// Writes a file that is its owner's alone.
fn write(path: &Path, content: impl AsRef<[u8]>) -> File {
    std::fs::write(path, content).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    file
}

fn refusal(path: &Path) -> String {
    BackingSwap::open(path).unwrap_err().to_string()
}

#[test]
fn pages_come_back_whether_aligned_or_not() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 64);
    let backing = BackingSwap::open(&path).unwrap();
    assert_eq!(backing.pages(), 64);
    let mut random = Random::new(1);
    let mut written = buffer();
    for page in written.0.as_chunks_mut().0.iter_mut().skip(1) {
        *page = any_page(&mut random);
    }
    let (pages, _) = written.0.as_chunks::<PAGE>();
    backing.write(1, &pages[1..40]).unwrap();
    // Moved by a byte, the rest is not where direct I/O can use it.
    let moved: Vec<u8> = std::iter::once(0)
        .chain(written.0[40 * PAGE..].to_vec())
        .collect();
    backing.write(40, moved[1..].as_chunks().0).unwrap();

    let mut read = buffer();
    backing.read(1, &mut read.0.as_chunks_mut().0[1..]).unwrap();
    assert!(read.0 == written.0);
    let mut moved = vec![0; 63 * PAGE + 1];
    backing.read(1, moved[1..].as_chunks_mut().0).unwrap();
    assert!(moved[1..] == written.0[PAGE..]);
    let header = SwapHeader::check(&File::open(&path).map(|f| first_page(&f)).unwrap(), 64);
    assert_eq!(header.unwrap().last_page, 63, "the header is left alone");
}

fn first_page(file: &File) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    file.read_exact_at(&mut page, 0).unwrap();
    page
}

#[test]
fn a_failed_transfer_is_reported_with_its_page() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    let backing = BackingSwap::open(&path).unwrap();
    let Aligned(bytes) = &mut *buffer();
    let mut failed_at = |index| match backing.read(index, &mut bytes.as_chunks_mut().0[..1]) {
        Err(Unread::Failed(error)) => error,
        other => panic!("{other:?}"),
    };
    let error = failed_at(10);
    assert_eq!(
        (error.transfer, error.index, error.errno),
        (Transfer::Read, 10, libc::EIO)
    );
    assert_eq!(failed_at(u64::MAX).index, u64::MAX);
    let error = backing
        .write(u64::MAX / 4096, &bytes.as_chunks().0[..1])
        .unwrap_err();
    assert_eq!(error.transfer, Transfer::Write);
}

#[test]
fn what_is_not_a_file_or_partition_is_refused() {
    let dir = tempdir();
    let message = refusal(&dir.path().join("missing"));
    assert!(
        message.contains("missing: opening it failed: No such file"),
        "{message}"
    );
    for path in [dir.path(), Path::new("/dev/null")] {
        let message = refusal(path);
        assert!(
            message.contains("neither a file nor a block device"),
            "{message}"
        );
    }
}

#[test]
fn what_is_not_a_swap_area_is_refused() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    for len in [0, 1, PAGE, 10 * PAGE - 1] {
        write(&path, vec![b'x'; len]);
        let words = format!(
            "backing swap {}: it has {len} bytes, and a swap area has at least 40960 (10 pages)",
            path.display()
        );
        let message = refusal(&path);
        assert!(message.contains(&words), "{message}");
    }
    write(&path, vec![b'x'; 20 * PAGE]);
    let message = refusal(&path);
    assert!(
        message.contains("not a swap area") && message.contains("mkswap"),
        "{message}"
    );
    let mut foreign = vec![0; 20 * PAGE];
    foreign[16374..16384].copy_from_slice(b"SWAPSPACE2");
    write(&path, foreign);
    let message = refusal(&path);
    assert!(message.contains("pages of 16384 bytes"), "{message}");
}

#[test]
fn an_unfit_header_is_refused() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    for (at, value, words) in [
        (1024, 2_u32, "version 2"),
        (
            1028,
            10,
            "truncated: its header names page 10 as the last, but it has only 10 pages",
        ),
        (1028, 0, "no usable page"),
        (1032, 1, "lists 1 bad pages"),
    ] {
        make_swap_file(&path, 10);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&value.to_ne_bytes(), at).unwrap();
        let message = refusal(&path);
        assert!(message.contains(words), "{message}");
    }
    for (pages, words) in [(20, "it has only 19 pages"), (10, "it has 40959 bytes")] {
        make_swap_file(&path, pages);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(u64::from(pages - 1) * PAGE as u64 + 4095)
            .unwrap();
        let message = refusal(&path);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn holes_are_refused_and_reserved_space_is_not() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    let file = write(&path, []);
    file.set_len(64 * PAGE as u64).unwrap();
    file.write_all_at(&SwapHeader::new(63, [0; 16], "").to_page(), 0)
        .unwrap();
    let message = refusal(&path);
    assert!(message.contains("it has a hole at byte 4096"), "{message}");
    if rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::empty(),
        0,
        64 * PAGE as u64,
    )
    .is_ok()
    {
        drop(file);
        BackingSwap::open(&path).unwrap();
    }
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    for mode in [0o644, 0o640, 0o602] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let message = refusal(&path);
        assert!(
            message.contains(&format!("{mode:04o}")) && message.contains("chmod 600"),
            "{message}"
        );
    }
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    drop(BackingSwap::open(&path).unwrap());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let message = refusal(&link);
    assert!(message.contains("symbolic link"), "{message}");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let message = refusal(&path);
        assert!(message.contains("uid 65534"), "{message}");
    }
}

/// Memory has no place on a disk.
#[test]
fn a_file_in_memory_is_refused() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    let message = refusal(&path);
    assert!(message.contains("ext4"), "{message}");
}

#[test]
fn it_is_claimed_as_long_as_it_is_open() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    let link = dir.path().join("link");
    std::fs::hard_link(&path, &link).unwrap();
    let backing = BackingSwap::open(&path).unwrap();
    let error = BackingSwap::open(&link).unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    let message = error.to_string();
    assert!(
        message.contains("in use by another ramzswap device"),
        "{message}"
    );
    drop(backing);

    let other = File::open(&path).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockShared).unwrap();
    let message = refusal(&path);
    assert!(
        message.contains("in use by another program (locked)"),
        "{message}"
    );
    drop(other);
    BackingSwap::open(&path).unwrap();
}

/// Who has opened it before it was root's alone keeps what was allowed then.
#[test]
fn a_file_that_is_open_elsewhere_is_refused() {
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    for writes in [false, true] {
        let open = File::options()
            .read(true)
            .write(writes)
            .open(&path)
            .unwrap();
        let message = refusal(&path);
        assert!(
            message.contains("another program (open there)"),
            "{message}"
        );
        drop(open);
        let backing = BackingSwap::open(&path).unwrap();
        // The look is over: others that open it do not wait.
        drop(File::open(&path).unwrap());
        drop(backing);
    }
}

#[test]
fn an_active_swap_file_is_refused() {
    if !can_attach() {
        return;
    }
    let dir = tempdir();
    let path = dir.path().join("swap");
    make_swap_file(&path, 10);
    swap::on(&path, Some(0), false).unwrap();
    let entry = swap::find(&path).unwrap().expect("it is listed");
    let result = BackingSwap::open(&path);
    swap::off(&path).unwrap();
    assert_eq!(
        (entry.partition, entry.priority, entry.size_bytes),
        (false, 0, 9 * 4096)
    );
    let error = result.unwrap_err();
    assert!(matches!(error, DeviceError::BackingBusy { .. }), "{error}");
    assert!(error.to_string().contains("in use by swapon"), "{error}");
    assert!(swap::find(&path).unwrap().is_none());
    BackingSwap::open(&path).unwrap();
}
