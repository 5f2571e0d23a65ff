//! Changes of SOURCE beneath the mount, and changes through it: what programs see of them.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use common::{Bed, wait_until};

fn read_at(file: &File, length: usize) -> String {
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    String::from_utf8(bytes).unwrap()
}

/// A bed that counts the READs of the kernel.
fn counting(revalidate: Duration, strict: bool) -> Option<(Bed, Arc<AtomicU64>)> {
    let reads = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&reads);
    let bed = Bed::with(|options, hooks| {
        options.revalidate = revalidate;
        options.strict = strict;
        hooks.on_request = Some(Arc::new(move || {
            counter.fetch_add(1, Relaxed);
        }));
    })?;
    Some((bed, reads))
}

#[test]
fn an_open_sees_what_changed_beneath() {
    let hour = Duration::from_secs(3600);
    let Some((bed, _)) = counting(hour, false) else {
        return;
    };
    let (mounted, source) = (bed.mounted().join("f"), bed.source().join("f"));
    fs::write(&mounted, "first").unwrap();
    for text in ["other", "longer than before", "short", ""] {
        fs::write(&source, text).unwrap();
        // What the kernel knows of it is good for a second: the open alone tells.
        let file = File::open(&mounted).unwrap();
        assert_eq!(read_at(&file, 100), text);
    }
    // The same size and the same modification time: the change time tells.
    fs::write(&source, "aaaa").unwrap();
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "aaaa");
    let time = source.metadata().unwrap().modified().unwrap();
    fs::write(&source, "bbbb").unwrap();
    File::options()
        .write(true)
        .open(&source)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(read_at(&File::open(&mounted).unwrap(), 4), "bbbb");
}

#[test]
fn names_and_attributes_follow_in_time() {
    let Some((bed, _)) = counting(Duration::ZERO, false) else {
        return;
    };
    let (mounted, source) = (bed.mounted().join("f"), bed.source().join("f"));
    assert!(!mounted.exists());
    fs::write(&source, "x").unwrap();
    assert!(mounted.exists());
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(mounted.metadata().unwrap().mode() & 0o777, 0o600);
    fs::rename(&source, bed.source().join("g")).unwrap();
    assert!(!mounted.exists());
    assert!(bed.mounted().join("g").exists());
    fs::create_dir(&source).unwrap();
    assert!(mounted.is_dir());
    fs::remove_dir(&source).unwrap();
    fs::write(&source, "another").unwrap();
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "another");
}

#[test]
fn what_is_stale_is_dropped_while_it_is_open() {
    let Some((bed, _)) = counting(Duration::ZERO, false) else {
        return;
    };
    let (mounted, source) = (bed.mounted().join("f"), bed.source().join("f"));
    fs::write(&source, "before").unwrap();
    let file = File::open(&mounted).unwrap();
    assert_eq!(read_at(&file, 6), "before");
    fs::write(&source, "after!").unwrap();
    // Asking for attributes is what shows it; the pages are dropped a moment later.
    wait_until("the new bytes", || {
        mounted.metadata().unwrap();
        read_at(&file, 6) == "after!"
    });
}

#[test]
fn strict_mounts_see_changes_at_once() {
    let hour = Duration::from_secs(3600);
    let Some((bed, _)) = counting(hour, true) else {
        return;
    };
    let (mounted, source) = (bed.mounted().join("f"), bed.source().join("f"));
    assert!(!mounted.exists());
    fs::write(&source, "number 0").unwrap();
    let file = File::open(&mounted).unwrap();
    for i in 0..10 {
        let text = format!("number {i}");
        fs::write(&source, &text).unwrap();
        assert_eq!(read_at(&file, 100), text);
        assert_eq!(mounted.metadata().unwrap().len(), text.len() as u64);
    }
    fs::remove_file(&source).unwrap();
    assert!(!mounted.exists());
}

#[test]
fn what_did_not_change_is_read_once() {
    let hour = Duration::from_secs(3600);
    let Some((bed, reads)) = counting(hour, false) else {
        return;
    };
    let path = bed.mounted().join("f");
    fs::write(bed.source().join("f"), vec![1; 100_000]).unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 100_000);
    let first = reads.load(Relaxed);
    assert!(first > 0);
    // Neither opening it again nor anything that leaves its bytes alone costs a READ.
    let again = |path: &std::path::Path| assert_eq!(fs::read(path).unwrap().len(), 100_000);
    again(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    again(&path);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    drop(file);
    again(&path);
    fs::hard_link(&path, bed.mounted().join("g")).unwrap();
    again(&path);
    fs::remove_file(bed.mounted().join("g")).unwrap();
    again(&path);
    fs::rename(&path, bed.mounted().join("h")).unwrap();
    let path = bed.mounted().join("h");
    again(&path);
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "user.x", b"y", none).unwrap();
    again(&path);
    assert_eq!(reads.load(Relaxed), first);
}

#[test]
fn reading_leaves_access_times_alone() {
    let hour = Duration::from_secs(3600);
    let Some((bed, _)) = counting(hour, false) else {
        return;
    };
    let source = bed.source().join("f");
    fs::write(&source, "x").unwrap();
    let times = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    File::options()
        .write(true)
        .open(&source)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(fs::read_to_string(bed.mounted().join("f")).unwrap(), "x");
    assert_eq!(source.metadata().unwrap().atime(), 0);
}
