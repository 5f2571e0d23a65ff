//! What is done in SOURCE is done as the program that asks for it, and SOURCE has the last word.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{
    Bed, OTHER, USER, acl_for, as_user, errno, raw, set_mode, test_over_each_policy, truncate,
    wait_until,
};
use compcache_files::WritePolicy;
use compcache_test_support::{filled_file, needs, open_directory};
use rustix::fs::{XattrFlags, statvfs};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A file system of its own.
struct Disk {
    directory: TempDir,
}

impl Disk {
    /// An ext4 file system of 48 MiB, half of it kept for root, in which everybody may write; `None` if it
    /// can't be.
    fn new() -> Option<Disk> {
        if !common::can_mount() || !needs::programs(&["mkfs.ext4", "mount", "umount"]) {
            return None;
        }
        let directory = open_directory();
        let image = directory.path().join("image");
        filled_file(&image, 48 << 20);
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-O", "^has_journal", "-m", "50"])
            .arg(&image)
            .status();
        assert!(made.unwrap().success());
        let disk = Disk { directory };
        fs::create_dir(disk.path()).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .args([&image, &disk.path()])
            .status();
        assert!(mounted.unwrap().success());
        set_mode(&disk.path(), 0o777);
        Some(disk)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// A mount that shows it.
    fn shown(&self, write: WritePolicy) -> Bed {
        let bed = Bed::with(|options, _| {
            options.source = Some(self.path());
            options.write = write;
        });
        bed.unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A failure shows as a mount that is left.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// Writes so many bytes, and makes them last.
fn write(path: &Path, bytes: usize) -> Result<(), i32> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path);
    errno(file.and_then(|file| {
        let chunk = [b'x'; MIB];
        for at in (0..bytes).step_by(MIB) {
            file.write_all_at(&chunk[..MIB.min(bytes - at)], at as u64)?;
        }
        file.sync_all()
    }))
}

const POLICIES: [WritePolicy; 2] = [WritePolicy::Through, WritePolicy::Back];

/// What ext4 keeps for root is not for others; nor for what was written to their files and is kept for a
/// while, whoever wrote it.
#[test]
fn the_reserve_is_roots() {
    for policy in POLICIES {
        let Some(disk) = Disk::new() else {
            return;
        };
        let bed = disk.shown(policy);
        let own = bed.mounted().join("root's");
        let theirs = bed.mounted().join("user's");
        let written = as_user(USER, USER, &[], || write(&theirs, 24 * MIB));
        assert_eq!(written, Err(libc::ENOSPC), "{policy:?}");
        let found = statvfs(disk.path()).unwrap();
        let free = found.f_bfree * found.f_frsize;
        assert!(free > 8 << 20, "{policy:?}: {free} bytes of the reserve");
        assert_eq!(write(&own, 4 * MIB), Ok(()), "{policy:?}");
        let expected = match policy {
            WritePolicy::Through => Ok(()),
            WritePolicy::Back => Err(libc::ENOSPC),
        };
        assert_eq!(write(&theirs, 24 * MIB), expected, "{policy:?}");
        fs::remove_file(theirs).unwrap();
        // The kernel forgets it when it likes to.
        wait_until("nothing to be dirty", || bed.mount().sync().is_ok());
    }
}

/// Rights that are taken away in SOURCE are gone at once, though the kernel still trusts what it knows.
#[test]
fn source_refuses_what_the_kernel_has_not_heard_of() {
    type Act = fn(&Path) -> Result<(), i32>;
    let acts: [(&str, Act); 13] = [
        ("chmod", |at| {
            let mode = fs::Permissions::from_mode(0o4777);
            errno(fs::set_permissions(at.join("file"), mode))
        }),
        ("times", |at| {
            let times = rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec::default(),
                last_modification: rustix::fs::Timespec::default(),
            };
            let none = rustix::fs::AtFlags::empty();
            raw(rustix::fs::utimensat(
                rustix::fs::CWD,
                at.join("file"),
                &times,
                none,
            ))
        }),
        ("truncate", |at| errno(truncate(&at.join("file"), 0))),
        ("open", |at| errno(File::open(at.join("file")).map(drop))),
        ("set an attribute", |at| {
            let none = XattrFlags::empty();
            raw(rustix::fs::setxattr(at.join("file"), "user.b", b"c", none))
        }),
        ("get an attribute", |at| {
            let mut value = [0; 8];
            raw(rustix::fs::getxattr(at.join("file"), "user.a", &mut value[..]).map(drop))
        }),
        ("remove an attribute", |at| {
            raw(rustix::fs::removexattr(at.join("file"), "user.a"))
        }),
        ("make", |at| errno(File::create(at.join("new")).map(drop))),
        ("make a directory", |at| {
            errno(fs::create_dir(at.join("new")))
        }),
        ("make a link", |at| {
            errno(fs::hard_link(at.join("file"), at.join("new")))
        }),
        ("rename", |at| {
            errno(fs::rename(at.join("file"), at.join("new")))
        }),
        ("remove", |at| errno(fs::remove_file(at.join("file")))),
        ("list", |at| errno(fs::read_dir(at).map(drop))),
    ];
    for policy in POLICIES {
        let Some(bed) = Bed::trusting(policy) else {
            return;
        };
        for (name, act) in acts {
            let source = bed.source().join(name);
            fs::create_dir(&source).unwrap();
            let file = source.join("file");
            fs::write(&file, "text").unwrap();
            rustix::fs::setxattr(&file, "user.a", b"b", XattrFlags::empty()).unwrap();
            set_mode(&file, 0o600);
            for path in [&source, &file] {
                chown(path, Some(USER), Some(USER)).unwrap();
            }
            let mounted = bed.mounted().join(name);
            as_user(USER, USER, &[], || {
                mounted.join("file").metadata().unwrap();
                mounted.join("new").metadata().unwrap_err();
            });
            for path in [&source, &file] {
                chown(path, Some(0), Some(0)).unwrap();
            }
            set_mode(&source, 0o711);
            let done = as_user(USER, USER, &[], || act(&mounted));
            assert!(
                matches!(done, Err(libc::EACCES | libc::EPERM)),
                "{policy:?}: {name}: {done:?}"
            );
            let names = fs::read_dir(&source).unwrap();
            let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["file"], "{policy:?}: {name}");
            assert_eq!(fs::read(&file).unwrap(), b"text", "{policy:?}: {name}");
        }
    }
}

test_over_each_policy!(
    groups_count,
    a_program_need_not_be_readable,
    a_file_that_only_takes,
    a_descriptor_outlives_rights,
);

fn groups_count(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o770);
        chown(at, Some(0), Some(OTHER)).unwrap();
        set_mode(at, 0o2770);
        fs::write(at.join("f"), "x").unwrap();
        set_mode(&at.join("f"), 0o660);
        let mut seen = Vec::new();
        for groups in [&[][..], &[7, OTHER][..]] {
            seen.push(as_user(USER, USER, groups, || {
                let change = File::options().append(true).open(at.join("f"));
                let made = errno(File::create(at.join("new")).map(drop));
                let bits = fs::Permissions::from_mode(0o2770);
                let bits = errno(fs::set_permissions(at.join("new"), bits));
                let given = errno(chown(at.join("new"), None, Some(7)));
                let list = errno(fs::read_dir(at).map(Iterator::count));
                let removed = errno(fs::remove_file(at.join("new")));
                let opened = errno(change.map(drop));
                format!("{opened:?} {made:?} {bits:?} {given:?} {list:?} {removed:?}")
            }));
        }
        seen
    });
}

fn a_program_need_not_be_readable(bed: &Bed) {
    let program = fs::canonicalize("/bin/true").unwrap();
    bed.same(|at| {
        set_mode(at, 0o755);
        let path = at.join("program");
        fs::copy(&program, &path).unwrap();
        [0o711, 0o700, 0o744, 0o755].map(|mode| {
            set_mode(&path, mode);
            as_user(USER, USER, &[], || {
                let ran = errno(Command::new(&path).status().map(|status| status.success()));
                (ran, errno(fs::read(&path).map(|bytes| bytes.len())))
            })
        })
    });
}

/// Nobody but its owner may read what others add to it.
fn a_file_that_only_takes(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o755);
        let path = at.join("f");
        fs::write(&path, "some text").unwrap();
        set_mode(&path, 0o622);
        as_user(USER, USER, &[], || {
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(b"more", 5).unwrap();
            file.write_all_at(b"end", 5000).unwrap();
            assert_eq!(errno(File::open(&path).map(drop)), Err(libc::EACCES));
        });
        fs::read(&path).unwrap()
    });
}

/// What is open stays usable, whatever the mode has become.
fn a_descriptor_outlives_rights(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o777);
        let path = at.join("f");
        as_user(USER, USER, &[], || {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            let file = file.unwrap();
            set_mode(&path, 0o000);
            file.write_all_at(b"0123456789", 0).unwrap();
            file.set_len(5).unwrap();
            let mut bytes = [0; 5];
            file.read_exact_at(&mut bytes, 0).unwrap();
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 8).unwrap();
            file.sync_all().unwrap();
            let again = errno(File::open(&path).map(drop));
            (bytes, again, file.metadata().unwrap().len())
        })
    });
}

/// An ACL that denies holds at the next open, though neither mode nor owner tell of it, and somebody else
/// has the file open.
#[test]
fn an_acl_that_was_set_beneath_holds_at_once() {
    for policy in POLICIES {
        let Some(bed) = Bed::trusting(policy) else {
            return;
        };
        let (source, mounted) = (bed.source().join("f"), bed.mounted().join("f"));
        fs::write(&source, "text").unwrap();
        let set = |permissions| {
            let acl = acl_for(USER, permissions);
            let none = XattrFlags::empty();
            rustix::fs::setxattr(&source, "system.posix_acl_access", &acl, none).unwrap();
        };
        set(6);
        let open = |write| {
            as_user(USER, USER, &[], || {
                let file = File::options().read(true).write(write).open(&mounted);
                errno(file.map(drop))
            })
        };
        let held = File::options()
            .read(true)
            .write(true)
            .open(&mounted)
            .unwrap();
        assert_eq!(open(true), Ok(()), "{policy:?}");
        set(4);
        assert_eq!(open(true), Err(libc::EACCES), "{policy:?}");
        assert_eq!(open(false), Ok(()), "{policy:?}");
        set(0);
        assert_eq!(open(false), Err(libc::EACCES), "{policy:?}");
        drop(held);
        assert_eq!(open(false), Err(libc::EACCES), "{policy:?}");
    }
}
