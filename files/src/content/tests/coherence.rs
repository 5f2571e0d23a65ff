//! SOURCE changes beneath, and through the mount.

use std::os::unix::fs::FileExt as _;

use super::*;

/// Makes the cache hold a file's pages.
fn warm(contents: &Contents, file: &Opened, size: usize) {
    contents.shared.cache.set_reclaiming(true);
    for _ in 0..2 {
        file.read(0, size).unwrap();
    }
    let hits = contents.shared.cache.stats().counts.hits;
    file.read(0, size).unwrap();
    assert_eq!(
        contents.shared.cache.stats().counts.hits - hits,
        (size / 4096) as u64
    );
}

#[test]
fn what_changed_beneath_is_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    let file = open(&contents, &path);
    warm(&contents, &file, 40_960);
    let stamp = stamp_of(&file.source).unwrap();
    assert!(file.content.revalidate(stamp), "nothing has changed");
    file.source.write_all_at(&some_bytes(2, 100), 5000).unwrap();
    // What the clock of the file system does not show, a later time does.
    file.source
        .set_modified(std::time::SystemTime::now() + Duration::from_secs(1))
        .unwrap();
    let stamp = stamp_of(&file.source).unwrap();
    assert!(!file.content.revalidate(stamp));
    assert!(file.content.revalidate(stamp), "now it is known");
    let got = file.read(0, 40_960).unwrap();
    assert!(got[5000..5100] == some_bytes(2, 100) && got[..5000] == some_bytes(1, 40_960)[..5000]);
    let mut status = MountStatus::default();
    contents.status(&mut status);
    assert_eq!(status.invalidated, 1);
}

#[test]
fn what_was_read_before_a_change_was_seen_is_not_taken_in_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 4096)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    let file = open(&contents, &path);
    contents.shared.cache.set_reclaiming(true);
    // From the disk, so that it is slow enough to be admitted; but before it is, right after the
    // answer, the change is seen.
    file.source.sync_all().unwrap();
    source::drop_behind(&file.source, 0, 0);
    file.content.read(&file.source, 0, 4096, |data| {
        assert!(data.unwrap() == some_bytes(1, 4096));
        file.source.write_all_at(&some_bytes(2, 4096), 0).unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(1);
        file.source.set_modified(later).unwrap();
        assert!(!file.content.revalidate(stamp_of(&file.source).unwrap()));
    });
    assert_eq!(contents.shared.cache.stats().counts.admitted, 0);
    assert!(file.read(0, 4096).unwrap() == some_bytes(2, 4096));
}

#[test]
fn what_is_written_through_the_mount_stays_valid() {
    for mode in [Mode::Through, Mode::Back] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
        let contents = Contents::untuned(&options(directory.path(), mode));
        let file = open(&contents, &path);
        warm(&contents, &file, 40_960);
        file.write(8192, &some_bytes(3, 4096)).unwrap();
        file.content.flush(&file.reported).unwrap();
        let stamp = stamp_of(&file.source).unwrap();
        assert!(file.content.revalidate(stamp), "{mode:?}");
        let hits = contents.shared.cache.stats().counts.hits;
        file.read(0, 8192).unwrap();
        assert_eq!(
            contents.shared.cache.stats().counts.hits - hits,
            2,
            "{mode:?}"
        );
        assert!(file.read(8192, 4096).unwrap() == some_bytes(3, 4096));
    }
}

#[test]
fn a_file_cut_beneath_ends_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    let file = open(&contents, &path);
    file.source.set_len(10_000).unwrap();
    assert!(file.read(0, 40_960).unwrap() == some_bytes(1, 40_960)[..10_000]);
    assert!(file.read(12_288, 4096).unwrap().is_empty());
}

#[test]
fn a_file_that_grew_beneath_is_read_to_its_new_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 100)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    let file = open(&contents, &path);
    file.source.write_all_at(&some_bytes(1, 20_000), 0).unwrap();
    let stamp = stamp_of(&file.source).unwrap();
    file.content.revalidate(stamp);
    assert!(file.read(0, 32_768).unwrap() == some_bytes(1, 20_000));
}

#[test]
fn dirty_pages_outlive_a_change_beneath() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 40_960)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Back));
    let file = open(&contents, &path);
    file.write(4096, &some_bytes(5, 4096)).unwrap();
    file.source.write_all_at(&some_bytes(6, 40_960), 0).unwrap();
    file.source
        .set_modified(std::time::SystemTime::now() + Duration::from_secs(1))
        .unwrap();
    assert!(!file.content.revalidate(stamp_of(&file.source).unwrap()));
    assert!(file.read(4096, 4096).unwrap() == some_bytes(5, 4096));
    assert!(file.read(0, 4096).unwrap() == some_bytes(6, 40_960)[..4096]);
    contents.sync().unwrap();
    assert!(std::fs::read(&path).unwrap()[4096..8192] == some_bytes(5, 4096));
}

#[test]
fn of_a_slow_source_more_is_read_than_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, some_bytes(1, 70_000)).unwrap();
    let contents = Contents::untuned(&options(directory.path(), Mode::Through));
    let cache = &contents.shared.cache;
    let file = open(&contents, &path);
    cache.set_reclaiming(true);
    // The first time it may come too fast to be worth it.
    let twice = |at: u64| (0..2).for_each(|_| drop(file.read(at, 4096).unwrap()));
    twice(4096 * 3);
    assert_eq!(cache.stats().counts.admitted, 1, "SOURCE is fast");
    // Now it is slow.
    contents.shared.tuner.record_miss(Duration::from_secs(1), 1);
    twice(4096 * 5);
    assert_eq!(
        cache.stats().counts.admitted,
        5,
        "pages 4 to 7, but not those before page 3"
    );
    // The last block ends with the file.
    twice(4096 * 17);
    assert_eq!(cache.stats().counts.admitted, 7);
    assert!(file.read(4096 * 16, 9000).unwrap() == some_bytes(1, 70_000)[65_536..]);
    let before = cache.stats();
    assert!(file.read(4096 * 4, 4096 * 4).unwrap() == some_bytes(1, 70_000)[16_384..32_768]);
    let after = cache.stats();
    assert_eq!(
        (after.counts.hits - before.counts.hits, after.counts.misses),
        (4, before.counts.misses)
    );
}
