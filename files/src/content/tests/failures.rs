//! SOURCE fails, or is full.

use super::*;

/// The file opened once more, whose writes fail with EBADF: it is open for reading only.
fn unwritable(file: &Opened, path: &Path) -> Opened {
    Opened {
        source: Arc::new(File::open(path).unwrap()),
        content: Arc::clone(&file.content),
        reported: file.content.opened(),
    }
}

#[test]
fn what_cannot_be_written_out_is_kept_and_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Back));
    let good = open(&contents, &path);
    let other = open(&contents, &path);
    let bad = unwritable(&good, &path);
    bad.write(4096, &some_bytes(2, 4096)).unwrap();
    let failed = bad.content.flush(&bad.reported);
    assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EBADF));
    assert!(contents.sync().is_err(), "it was tried again");
    assert!(
        bad.read(4096, 4096).unwrap() == some_bytes(2, 4096),
        "it is kept"
    );
    assert_eq!(contents.shared.write_back.pages(), 1);
    assert!(
        good.content.flush(&other.reported).is_err(),
        "others are told"
    );
    let mut status = MountStatus::default();
    contents.status(&mut status);
    assert_eq!(status.write_errors, 3);
    contents.forget(key_of(&good.source));
    assert_eq!(contents.shared.write_back.pages(), 0);
    assert!(contents.shared.write_back.files.lock().is_empty());
}

#[test]
fn a_file_is_cut_whose_pages_cannot_be_written_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Back));
    let good = open(&contents, &path);
    let bad = unwritable(&good, &path);
    bad.write(4096, &some_bytes(2, 8192)).unwrap();
    let cut = good.truncate(8000).unwrap_err();
    assert_eq!(
        cut.raw_os_error(),
        Some(libc::EBADF),
        "a part of page 1 stays"
    );
    assert_eq!(contents.shared.write_back.pages(), 2);
    good.truncate(4096).unwrap();
    assert_eq!(contents.shared.write_back.pages(), 0);
    contents.sync().unwrap();
    assert!(good.read(0, 8192).unwrap() == some_bytes(1, 40_960)[..4096]);
    assert_eq!(std::fs::read(&path).unwrap(), some_bytes(1, 40_960)[..4096]);
}

#[test]
fn the_flusher_knows_the_pages_of_a_write_that_failed_midway() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 1 << 20)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Back));
    let good = open(&contents, &path);
    let bad = unwritable(&good, &path);
    let failed = bad.write(0, &some_bytes(2, 1 << 20));
    assert_eq!(
        failed.unwrap_err().raw_os_error(),
        Some(libc::EBADF),
        "more than the cache holds"
    );
    let write_back = &contents.shared.write_back;
    assert!(write_back.pages() > 0, "some were kept");
    assert!(write_back.files.lock().contains_key(&key_of(&good.source)));
    assert!(contents.sync().is_err(), "they are written out, too");
}

#[test]
fn memory_that_is_full_is_no_space() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path(), Mode::Memory);
    options.size = Some(1 << 20);
    let contents = Contents::untuned(&options);
    let file = open(&contents, &directory.path().join("file"));
    file.write(0, &some_bytes(1, 1 << 20)).unwrap();
    let full = file.write(1 << 20, &some_bytes(1, 4096));
    assert_eq!(full.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    file.write(4096, &some_bytes(2, 4096)).unwrap();
    file.truncate(8192).unwrap();
    file.write(1 << 20, &some_bytes(1, 4096)).unwrap();
    assert!(
        file.read(8192, 4096).unwrap().iter().all(|b| *b == 0),
        "a hole"
    );
}

#[test]
fn a_read_that_fails_takes_nothing_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    contents.shared.cache.set_reclaiming(true);
    let file = open(&contents, &path);
    let write_only = Opened {
        source: Arc::new(File::options().write(true).open(&path).unwrap()),
        content: Arc::clone(&file.content),
        reported: Reported::default(),
    };
    assert!(write_only.read(0, 4096).is_err());
    assert_eq!(contents.shared.cache.stats().counts.admitted, 0);
    assert!(file.read(0, 4096).unwrap() == some_bytes(1, 40_960)[..4096]);
}
