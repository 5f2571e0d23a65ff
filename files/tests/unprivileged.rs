//! Mounts of one's own, without root.

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use common::{as_user, can_mount, options, unmount};
use compcache_files::{FilesError, Hooks, Mount, WritePolicy};
use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// `nobody`: fusermount3 wants a user that has a name.
const NOBODY: u32 = 65_534;

/// Runs `act` as a user without rights in a directory of theirs, in a namespace of mounts where
/// everybody may open `/dev/fuse`, as on most systems.
fn without_root(act: impl FnOnce(&Path) + Send) {
    if !can_mount() {
        return;
    }
    if !compcache_test_support::needs::programs(&["fusermount3"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = directory.path().join("home");
    for path in [home.clone(), home.join("source"), home.join("mounted")] {
        fs::create_dir(&path).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let device = directory.path().join("fuse");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: the thread parts with the others' mounts and working directory; no
            // descriptor is touched.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS).unwrap() };
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let mode = Mode::from_bits_retain(0o666);
            let number = makedev(10, 229);
            rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, mode, number).unwrap();
            fs::set_permissions(&device, fs::Permissions::from_mode(0o666)).unwrap();
            mount_bind(&device, "/dev/fuse").unwrap();
            as_user(NOBODY, NOBODY, &[], || act(&home));
        });
        thread.join().unwrap();
    });
}

fn start(home: &Path, source: bool, write: WritePolicy) -> Mount {
    let source = source.then(|| home.join("source"));
    let mut options = options(source, home.join("mounted"));
    options.allow_other = false;
    options.flags.clear();
    options.write = write;
    Mount::start(options, Hooks::default()).unwrap()
}

/// What any file system does.
fn exercise(at: &Path) {
    let path = at.join("f");
    fs::write(&path, "text").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o200)).unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b" and more").unwrap();
    drop(file);
    let refused = File::open(&path).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "text and more");
    fs::create_dir(at.join("d")).unwrap();
    fs::hard_link(&path, at.join("d/g")).unwrap();
    fs::rename(&path, at.join("d/f")).unwrap();
    fs::remove_file(at.join("d/f")).unwrap();
    assert_eq!(fs::read_to_string(at.join("d/g")).unwrap(), "text and more");
    let refused = chown(at.join("d/g"), Some(0), None).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
}

#[test]
fn a_directory_of_ones_own() {
    without_root(|home| {
        for write in [WritePolicy::Through, WritePolicy::Back] {
            let mount = start(home, true, write);
            let mounted = home.join("mounted");
            exercise(&mounted);
            let open = File::open(mounted.join("d/g")).unwrap();
            let busy = mount.unmount(false);
            assert!(matches!(busy, Err(FilesError::Busy(_))), "{busy:?}");
            drop(open);
            unmount(&mount);
            let kept = fs::read_to_string(home.join("source/d/g")).unwrap();
            assert_eq!(kept, "text and more");
            fs::remove_dir_all(home.join("source/d")).unwrap();
        }
    });
}

#[test]
fn memory_of_ones_own() {
    without_root(|home| {
        let mount = start(home, false, WritePolicy::Through);
        exercise(&home.join("mounted"));
        mount.unmount(true).unwrap();
        common::wait_until("its end", || mount.ended());
    });
}

#[test]
fn what_only_root_may_is_refused() {
    without_root(|home| {
        let refusal = |mountpoint: &str, flag: Option<&str>, allow_other| {
            let mut options = options(Some(home.join("source")), home.join(mountpoint));
            options.flags = flag.into_iter().map(str::to_owned).collect();
            options.allow_other = allow_other;
            let refused = Mount::start(options, Hooks::default());
            refused.map(drop).unwrap_err().to_string()
        };
        let suid = refusal("mounted", Some("suid"), false);
        assert!(suid.contains("suid") && suid.contains("root"), "{suid}");
        fs::create_dir(home.join("source/inside")).unwrap();
        let inside = refusal("source/inside", None, false);
        assert!(inside.contains("would contain itself"), "{inside}");
        let configured = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
        if !configured
            .lines()
            .any(|line| line.trim() == "user_allow_other")
        {
            let others = refusal("mounted", None, true);
            assert!(others.contains("user_allow_other"), "{others}");
        }
    });
}
