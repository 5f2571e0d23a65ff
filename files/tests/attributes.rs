//! Attributes on the mount and on a bare directory: the same calls, the same results.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use common::{Bed, errno, raw, test_over_each_policy};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags};

test_over_each_policy!(
    modes_and_owners,
    times_to_the_nanosecond,
    extended_attributes,
    everything_can_be_made_durable,
);

fn modes_and_owners(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        fs::write(&path, "x").unwrap();
        fs::create_dir(at.join("d")).unwrap();
        symlink("f", at.join("l")).unwrap();
        let look = |name: &str| {
            let found = at.join(name).symlink_metadata().unwrap();
            let size = if found.is_dir() { 0 } else { found.size() };
            (found.mode(), found.uid(), found.gid(), size)
        };
        let mut seen = Vec::new();
        for mode in [0o6755, 0o000, 0o1777, 0o2640] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fs::set_permissions(at.join("d"), fs::Permissions::from_mode(mode)).unwrap();
            seen.push((look("f"), look("d")));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
        std::os::unix::fs::chown(&path, Some(7), None).unwrap();
        seen.push((look("f"), look("d")));
        std::os::unix::fs::lchown(at.join("l"), None, Some(9)).unwrap();
        std::os::unix::fs::chown(at.join("d"), Some(1), Some(2)).unwrap();
        seen.push((look("l"), look("d")));
        seen
    });
}

fn times_to_the_nanosecond(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        fs::write(&path, "x").unwrap();
        symlink("f", at.join("l")).unwrap();
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let set = |path, last_access, last_modification, flags| {
            let times = Timestamps {
                last_access,
                last_modification,
            };
            raw(rustix::fs::utimensat(CWD, path, &times, flags))
        };
        let look = |name: &str| {
            let found = at.join(name).symlink_metadata().unwrap();
            let (access, change) = (found.atime(), found.mtime());
            (access, found.atime_nsec(), change, found.mtime_nsec())
        };
        let mut seen = Vec::new();
        for (access, change) in [
            (time(1, 123_456_789), time(1_700_000_000, 999_999_999)),
            (time(-2, 300_000_001), time(-1, 500_000_000)),
            (time(0, UTIME_OMIT), time(4_000_000_000, 1)),
            (time(5, 6), time(0, UTIME_OMIT)),
            (time(0, 2_000_000_000), time(0, 0)),
        ] {
            let done = set(path.clone(), access, change, AtFlags::empty());
            seen.push((done, look("f")));
        }
        let link = set(
            at.join("l"),
            time(8, 9),
            time(10, 11),
            AtFlags::SYMLINK_NOFOLLOW,
        );
        let now = set(
            path.clone(),
            time(0, UTIME_NOW),
            time(0, UTIME_NOW),
            AtFlags::empty(),
        );
        let set_now = path.metadata().unwrap().mtime() > 1_700_000_000;
        (seen, link, look("l"), now, set_now)
    });
}

fn extended_attributes(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        fs::write(&path, "x").unwrap();
        fs::create_dir(at.join("d")).unwrap();
        symlink("f", at.join("l")).unwrap();
        let get = |name: &str, room: usize| {
            let mut value = vec![0; room];
            let length = raw(rustix::fs::lgetxattr(&path, name, &mut value[..]));
            length.map(|length| {
                value.truncate(length);
                (length, value)
            })
        };
        let set = |file: &str, name: &str, value: &[u8], flags| {
            raw(rustix::fs::lsetxattr(at.join(file), name, value, flags))
        };
        let none = XattrFlags::empty();
        let long = vec![3; 3000];
        let sets = [
            set("f", "user.a", b"one", none),
            set("f", "user.a", b"two", XattrFlags::CREATE),
            set("f", "user.b", b"two", XattrFlags::REPLACE),
            set("f", "user.empty", b"", none),
            set("f", "trusted.t", b"root", none),
            set("f", "security.x", b"y", none),
            set("f", "nonsense", b"y", none),
            set("f", "user.long", &long, none),
            set("d", "user.d", b"dir", none),
            set("l", "user.l", b"link", none),
            set("l", "trusted.l", b"link", none),
        ];
        let gets = [
            get("user.a", 100),
            get("user.a", 2),
            get("user.a", 0).map(|(length, _)| (length, vec![])),
            get("user.none", 100),
            get("user.empty", 100),
            get("user.long", 4000),
            get("trusted.t", 10),
        ];
        let names = |file: &str| {
            let mut names = vec![0; 1000];
            let length = rustix::fs::llistxattr(at.join(file), &mut names[..]).unwrap();
            let mut names: Vec<_> = names[..length]
                .split(|&byte| byte == 0)
                .map(<[u8]>::to_vec)
                .collect();
            names.sort();
            names
        };
        let removed = raw(rustix::fs::lremovexattr(&path, "user.a"));
        let again = raw(rustix::fs::lremovexattr(&path, "user.a"));
        (
            sets,
            gets,
            names("f"),
            names("l"),
            names("d"),
            removed,
            again,
        )
    });
}

#[test]
fn the_file_system_has_the_size_of_the_source() {
    let Some(bed) = Bed::new() else {
        return;
    };
    bed.same(|at| {
        let found = rustix::fs::statvfs(at).unwrap();
        (
            found.f_blocks,
            found.f_bsize,
            found.f_frsize,
            found.f_files,
            found.f_namemax,
        )
    });
}

fn everything_can_be_made_durable(bed: &Bed) {
    bed.same(|at| {
        fs::write(at.join("f"), "x").unwrap();
        let file = File::options().write(true).open(at.join("f")).unwrap();
        let read = File::open(at.join("f")).unwrap();
        let directory = File::open(at).unwrap();
        [
            errno(file.sync_all()),
            errno(file.sync_data()),
            errno(read.sync_all()),
            errno(directory.sync_all()),
            errno(directory.sync_data()),
        ]
    });
}

#[test]
fn inode_numbers_are_those_of_the_source() {
    let Some(bed) = Bed::new() else {
        return;
    };
    fs::write(bed.mounted().join("f"), "x").unwrap();
    fs::create_dir(bed.mounted().join("d")).unwrap();
    for name in ["f", "d", "."] {
        let number = |at: std::path::PathBuf| at.join(name).metadata().unwrap().ino();
        assert_eq!(number(bed.mounted()), number(bed.source()), "{name}");
    }
    let listed = |at: std::path::PathBuf| {
        let mut all: Vec<_> = fs::read_dir(at)
            .unwrap()
            .map(|entry| std::os::unix::fs::DirEntryExt::ino(&entry.unwrap()))
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(listed(bed.mounted()), listed(bed.source()));
}
