//! Mounts as a whole: made, refused, ended, limited.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use common::{Bed, can_mount, options, unmount, wait_until};
use compcache_files::{FilesError, Hooks, Mount, Writes};
use compcache_host::mountinfo;
use compcache_test_support::mount_dead;
use rustix::mount::UnmountFlags;

/// What the mount table says of what is mounted at `path`: source, type, options.
fn table(path: &Path) -> Option<(PathBuf, String, Vec<String>)> {
    let table = mountinfo::read().unwrap();
    let mount = mountinfo::find(&table, path)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let options = [mount.options, mount.super_options]
        .into_iter()
        .flat_map(|options| options.split(|byte| *byte == b','))
        .map(text)
        .collect();
    Some((mount.source, text(mount.fstype), options))
}

#[test]
fn a_plain_umount_is_noticed() {
    let (ended, end) = mpsc::channel();
    let Some(bed) = Bed::with(|_, hooks| {
        hooks.on_end = Some(Box::new(move || ended.send(()).unwrap()));
    }) else {
        return;
    };
    fs::write(bed.mounted().join("f"), "x").unwrap();
    assert!(!bed.mount().ended());
    wait_until("umount", || {
        let done = Command::new("umount").arg(bed.mounted()).output().unwrap();
        done.status.success()
    });
    end.recv_timeout(Duration::from_secs(600)).unwrap();
    assert!(bed.mount().ended());
    assert!(bed.mount().unmount(false).is_ok(), "nothing is left to do");
    assert!(!bed.mounted().join("f").exists());
    assert!(end.try_recv().is_err(), "it ends once");
}

#[test]
fn what_is_in_use_stays() {
    let Some(bed) = Bed::new() else {
        return;
    };
    let path = bed.mounted().join("f");
    fs::write(&path, "text").unwrap();
    let file = File::open(&path).unwrap();
    let refused = bed.mount().unmount(false);
    assert!(matches!(refused, Err(FilesError::Busy(_))), "{refused:?}");
    assert!(!bed.mount().ended());
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    // A lazy one disappears, and ends with its last user.
    bed.mount().unmount(true).unwrap();
    assert_eq!(table(&bed.mounted()), None);
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"text");
    drop(file);
    wait_until("its end", || bed.mount().ended());
}

#[test]
fn the_mount_table_tells_what_it_is() {
    let Some(bed) = Bed::with(|options, _| {
        options.flags = vec!["ro".into(), "noexec".into()];
    }) else {
        return;
    };
    let (source, kind, flags) = table(&bed.mounted()).unwrap();
    assert_eq!(source, bed.source());
    assert_eq!(kind, "fuse.compcache");
    for flag in [
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "default_permissions",
        "allow_other",
    ] {
        assert!(flags.iter().any(|f| f == flag), "{flag} in {flags:?}");
    }
    let refused = fs::write(bed.mounted().join("f"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    let status = bed.mount().status();
    assert_eq!(Path::new(&status.source), bed.source());
    assert_eq!(Path::new(&status.mountpoint), bed.mounted());
    assert_eq!(status.write, Writes::Through);
    assert!(status.inodes >= 1);
}

/// A bed whose mount takes the place of a dead one, whose number it gives; `on_top` as before Linux 6.5.
fn in_place_of_a_dead_one(on_top: bool) -> Option<(Bed, u64)> {
    let mut number = 0;
    let bed = Bed::with(|options, hooks| {
        let (source, point) = (options.source.as_ref().unwrap(), &options.mountpoint);
        fs::write(source.join("file"), "").unwrap();
        fs::write(point.join("beneath"), "").unwrap();
        mount_dead(point, "fuse.compcache", libc::S_IFDIR);
        let table = mountinfo::read().unwrap();
        number = mountinfo::find(&table, point).unwrap().id;
        (hooks.dead, hooks.on_top) = (Some(number), on_top);
    })?;
    Some((bed, number))
}

/// The numbers of the mounts at a path, the lowest first.
fn stack(path: &Path) -> Vec<u64> {
    let table = mountinfo::read().unwrap();
    let all: Vec<_> = mountinfo::parse(&table)
        .filter(|mount| mount.mountpoint == path)
        .map(|mount| (mount.id, mount.parent))
        .collect();
    let is_lowest = |(_, parent): &&(u64, u64)| all.iter().all(|(id, _)| id != parent);
    let lowest = all.iter().find(is_lowest).map(|(id, _)| *id);
    std::iter::successors(lowest, |below| {
        let above = all.iter().find(|(_, parent)| parent == below);
        above.map(|(id, _)| *id)
    })
    .collect()
}

#[track_caller]
fn assert_dead(path: &Path) {
    let error = fs::read_dir(path).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN), "{error}");
}

#[test]
fn a_new_mount_is_beneath_a_dead_one_until_that_goes() {
    let Some((bed, dead)) = in_place_of_a_dead_one(false) else {
        return;
    };
    let point = bed.mounted();
    // Before Linux 6.5 it is on top.
    if stack(&point).last() == Some(&dead) {
        assert_eq!(stack(&point).len(), 2);
        assert_dead(&point);
        rustix::mount::unmount(&point, UnmountFlags::DETACH).unwrap();
        assert_eq!(stack(&point).len(), 1);
        assert!(point.join("file").exists());
        unmount(bed.mount());
        assert!(point.join("beneath").exists());
    }
    while !stack(&point).is_empty() {
        rustix::mount::unmount(&point, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn before_linux_6_5_a_new_mount_is_on_top_of_a_dead_one() {
    let Some((bed, dead)) = in_place_of_a_dead_one(true) else {
        return;
    };
    let point = bed.mounted();
    assert_eq!((stack(&point).len(), stack(&point)[0]), (2, dead));
    assert!(point.join("file").exists());
    unmount(bed.mount());
    assert_eq!(stack(&point), [dead]);
    assert_dead(&point);
    rustix::mount::unmount(&point, UnmountFlags::DETACH).unwrap();
    assert!(point.join("beneath").exists());
}

/// Somebody may remove the dead one first.
#[test]
fn a_dead_mount_that_is_gone_keeps_none_from_its_place() {
    let Some(bed) = Bed::with(|_, hooks| hooks.dead = Some(u64::MAX)) else {
        return;
    };
    assert_eq!(stack(&bed.mounted()).len(), 1);
    fs::write(bed.mounted().join("f"), "x").unwrap();
}

#[test]
fn what_is_mounted_below_the_source_is_not_shown() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("inside")).unwrap();
    fs::write(directory.path().join("inside/f"), "x").unwrap();
    // The mount itself would be below its source.
    let inside = options(
        Some(directory.path().to_owned()),
        directory.path().join("inside"),
    );
    let mount = Mount::start(inside, Hooks::default()).unwrap();
    let seen = directory.path().join("inside/inside/f");
    assert_eq!(fs::read_to_string(seen).unwrap(), "x");
    unmount(&mount);
    // Over its own source.
    let over = options(
        Some(directory.path().to_owned()),
        directory.path().to_owned(),
    );
    let mount = Mount::start(over, Hooks::default()).unwrap();
    fs::write(directory.path().join("g"), "y").unwrap();
    unmount(&mount);
    assert_eq!(fs::read_to_string(directory.path().join("g")).unwrap(), "y");
}

#[test]
fn what_can_not_be_mounted_is_refused() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("f"), "x").unwrap();
    let start = |source: PathBuf, mountpoint: PathBuf, flag: Option<&str>| {
        let mut options = options(Some(source), mountpoint);
        options.flags = flag.into_iter().map(str::to_owned).collect();
        Mount::start(options, Hooks::default())
            .unwrap_err()
            .to_string()
    };
    let missing = start(at("nothing"), at("d"), None);
    assert!(missing.contains("nothing"), "{missing}");
    let nowhere = start(at("d"), at("nowhere"), None);
    assert!(
        nowhere.contains("nowhere") && nowhere.contains("mkdir"),
        "{nowhere}"
    );
    let file = start(at("f"), at("d"), None);
    assert!(file.contains("/f"), "{file}");
    let on_file = start(at("d"), at("f"), None);
    assert!(on_file.contains("/f"), "{on_file}");
    let flag = start(at("d"), at("d"), Some("sideways"));
    assert!(flag.contains("sideways"), "{flag}");
    assert_eq!(table(&at("d")), None);
}

/// Whoever may write to a directory above puts a link in place of one that was looked at.
#[test]
fn paths_through_links_are_refused() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["victim/d", "d"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    std::os::unix::fs::symlink("victim", at("link")).unwrap();
    for (source, mountpoint) in [
        (Some(at("d")), at("link/d")),
        (None, at("link/d")),
        (None, at("link")),
        (Some(at("link/d")), at("d")),
    ] {
        let mut options = options(source, mountpoint);
        options.size = Some(1 << 20);
        let refused = Mount::start(options, Hooks::default());
        let refused = refused
            .map(|mount| unmount(&mount))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("link") && refused.contains("no symbolic link"),
            "{refused}"
        );
    }
}

/// What lies over a mount is not taken away in its place, nor what has its path by now.
#[test]
fn only_the_mount_itself_is_unmounted() {
    let Some(bed) = Bed::new() else {
        return;
    };
    let tmpfs = |path: &Path| {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("test", path, "tmpfs", flags, None).unwrap();
    };
    let kind = |path: &Path| table(path).map(|(_, kind, _)| kind);
    let take = |path: &Path| rustix::mount::unmount(path, rustix::mount::UnmountFlags::empty());
    tmpfs(&bed.mounted());
    for lazy in [false, true] {
        let refused = bed.mount().unmount(lazy).unwrap_err().to_string();
        assert!(
            refused.contains("another file system is mounted over"),
            "{refused}"
        );
    }
    take(&bed.mounted()).unwrap();
    assert_eq!(kind(&bed.mounted()).as_deref(), Some("fuse.compcache"));

    // The directory above has another name, and another mount the path.
    let above = bed.mounted().parent().unwrap().to_owned();
    let aside = above.with_extension("aside");
    fs::rename(&above, &aside).unwrap();
    fs::create_dir_all(bed.mounted()).unwrap();
    tmpfs(&bed.mounted());
    bed.mount().unmount(false).unwrap();
    let left = (kind(&bed.mounted()), kind(&aside.join("mounted")));
    take(&bed.mounted()).unwrap();
    fs::remove_dir_all(&above).unwrap();
    fs::rename(&aside, &above).unwrap();
    assert_eq!(left, (Some("tmpfs".to_owned()), None));
}

#[test]
fn few_inodes_are_known_at_once() {
    few_inodes(false);
}

#[test]
fn few_inodes_are_known_to_old_kernels() {
    few_inodes(true);
}

fn few_inodes(by_name: bool) {
    const MOST: usize = 500;
    let Some(bed) = Bed::with(|_, hooks| {
        hooks.most_inodes = Some(MOST);
        hooks.drop_by_name = by_name;
    }) else {
        return;
    };
    for i in 0..20 {
        let directory = bed.source().join(format!("d{i}"));
        fs::create_dir(&directory).unwrap();
        for j in 0..200 {
            File::create(directory.join(format!("f{j}"))).unwrap();
        }
    }
    let used = bed.mounted().join("d0/f0");
    let open = File::open(&used).unwrap();
    let number = open.metadata().unwrap().ino();
    let mut count = 0;
    for directory in fs::read_dir(bed.mounted()).unwrap() {
        for file in fs::read_dir(directory.unwrap().path()).unwrap() {
            file.unwrap().metadata().unwrap();
            count += 1;
        }
        wait_until("few inodes", || bed.mount().status().inodes <= MOST as u64);
    }
    assert_eq!(count, 4_000);
    // What is in use is not forgotten.
    assert_eq!(used.metadata().unwrap().ino(), number);
    drop(open);
}

#[test]
fn a_mount_in_memory_is_a_file_system() {
    let Some(bed) = Bed::with(|options, _| {
        options.source = None;
        options.size = Some(64 << 20);
        options.revalidate = Duration::ZERO;
    }) else {
        return;
    };
    assert_eq!(bed.mount().status().write, Writes::Ram);
    let size = rustix::fs::statvfs(bed.mounted()).unwrap();
    assert_eq!(size.f_blocks * size.f_frsize, 64 << 20);
    assert_eq!(bed.mounted().metadata().unwrap().mode() & 0o7777, 0o1777);
    bed.same(|at| {
        fs::create_dir(at.join("d")).unwrap();
        fs::write(at.join("d/f"), vec![3; 100_000]).unwrap();
        fs::rename(at.join("d/f"), at.join("g")).unwrap();
        let file = File::options().write(true).open(at.join("g")).unwrap();
        file.set_len(50_000).unwrap();
        file.write_all_at(b"end", 60_000).unwrap();
        let allocated =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 70_000);
        let copied = fs::copy(at.join("g"), at.join("h")).unwrap();
        let text = fs::read(at.join("h")).unwrap();
        let text = (
            text.len(),
            text.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
        );
        fs::remove_file(at.join("g")).unwrap();
        let left: Vec<_> = fs::read_dir(at)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "g")
            .collect();
        (allocated, copied, text, left.len())
    });
}
