//! What users without rights may do on the mount, and on a bare directory: the same.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use common::{Bed, OTHER, USER, acl_for, as_user, errno, raw, set_mode, test_over_each_policy};
use compcache_files::WritePolicy;
use rustix::fs::{CWD, Mode, XattrFlags};

fn look(path: &Path) -> (u32, u32, u32) {
    let found = path.symlink_metadata().unwrap();
    (found.mode(), found.uid(), found.gid())
}

fn set_acl(path: &Path, name: &str, value: &[u8]) -> Result<(), i32> {
    let name = format!("system.posix_acl_{name}");
    raw(rustix::fs::setxattr(path, name, value, XattrFlags::empty()))
}

fn get_acl(path: &Path, name: &str) -> Result<Vec<u8>, i32> {
    let mut value = vec![0; 256];
    let name = format!("system.posix_acl_{name}");
    let length = raw(rustix::fs::getxattr(path, name, &mut value[..]))?;
    value.truncate(length);
    Ok(value)
}

test_over_each_policy!(
    permissions_are_enforced,
    what_is_made_belongs_to_its_maker,
    the_umask_and_default_acls_count,
    acls_are_enforced,
    an_acl_from_outside_the_group_clears_set_group_id,
    sticky_directories_protect,
    writers_clear_set_user_id,
    a_capability_outlives_the_write_before_it,
);

fn permissions_are_enforced(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o755);
        for (name, mode, owner) in [
            ("secret", 0o600, 0),
            ("public", 0o644, 0),
            ("own", 0o400, USER),
            ("group", 0o060, 0),
        ] {
            fs::write(at.join(name), "x").unwrap();
            chown(at.join(name), Some(owner), Some(OTHER)).unwrap();
            set_mode(&at.join(name), mode);
        }
        fs::create_dir(at.join("closed")).unwrap();
        fs::write(at.join("closed/f"), "x").unwrap();
        set_mode(&at.join("closed"), 0o700);
        as_user(USER, USER, &[OTHER], || {
            let mut seen = Vec::new();
            for name in ["secret", "public", "own", "group", "closed/f", "nothing"] {
                let path = at.join(name);
                seen.push(errno(fs::read(&path).map(drop)));
                seen.push(errno(File::options().write(true).open(&path).map(drop)));
                seen.push(errno(fs::set_permissions(
                    &path,
                    fs::Permissions::from_mode(0o666),
                )));
                seen.push(errno(chown(&path, Some(USER), None)));
                seen.push(errno(fs::remove_file(&path)));
                seen.push(errno(fs::rename(&path, at.join("x"))));
            }
            seen.push(errno(fs::write(at.join("new"), "x")));
            seen.push(errno(fs::create_dir(at.join("new"))));
            seen.push(errno(fs::read_dir(at.join("closed")).map(drop)));
            let device = rustix::fs::FileType::CharacterDevice;
            seen.push(raw(rustix::fs::mknodat(
                CWD,
                at.join("device"),
                device,
                Mode::empty(),
                0,
            )));
            let trusted = rustix::fs::getxattr(at.join("public"), "trusted.x", &mut [0; 8][..]);
            seen.push(raw(trusted).map(drop));
            seen
        })
    });
}

fn what_is_made_belongs_to_its_maker(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o777);
        let shared = at.join("shared");
        fs::create_dir(&shared).unwrap();
        chown(&shared, None, Some(OTHER)).unwrap();
        set_mode(&shared, 0o2777);
        as_user(USER, USER, &[], || {
            let mut seen = Vec::new();
            for directory in [at, &shared] {
                let path = |name: &str| directory.join(name);
                fs::write(path("file"), "x").unwrap();
                fs::create_dir(path("directory")).unwrap();
                std::os::unix::fs::symlink("x", path("link")).unwrap();
                let mode = Mode::from_bits_retain(0o6777);
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(CWD, path("fifo"), fifo, mode, 0).unwrap();
                let how = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                let made = rustix::fs::open(path("program"), how, mode).unwrap();
                rustix::io::write(&made, b"text").unwrap();
                let how = how | rustix::fs::OFlags::EXCL;
                let read_only = Mode::from_bits_retain(0o444);
                let made = rustix::fs::open(path("read-only"), how, read_only).unwrap();
                rustix::io::write(&made, b"text").unwrap();
                for name in ["file", "directory", "link", "fifo", "program", "read-only"] {
                    seen.push(look(&path(name)));
                }
            }
            seen
        })
    });
}

fn the_umask_and_default_acls_count(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o777);
        let plain = at.join("plain");
        let ruled = at.join("ruled");
        for directory in [&plain, &ruled] {
            fs::create_dir(directory).unwrap();
            set_mode(directory, 0o777);
        }
        let set = set_acl(&ruled, "default", &acl_for(OTHER, 5));
        let made = as_user(USER, USER, &[], || {
            // SAFETY: the thread parts with the others' umask and working directory only.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS).unwrap() };
            let mut seen = Vec::new();
            for umask in [0, 0o027, 0o077] {
                rustix::process::umask(Mode::from_bits_retain(umask));
                for directory in [&plain, &ruled] {
                    let file = directory.join(format!("file{umask}"));
                    fs::write(&file, "x").unwrap();
                    let below = directory.join(format!("directory{umask}"));
                    fs::create_dir(&below).unwrap();
                    seen.push((look(&file), get_acl(&file, "access")));
                    seen.push((look(&below), get_acl(&below, "default")));
                }
            }
            seen
        });
        (set, made)
    });
}

fn acls_are_enforced(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o755);
        let path = at.join("f");
        fs::write(&path, "x").unwrap();
        set_mode(&path, 0o600);
        let try_it = |uid| {
            as_user(uid, uid, &[], || {
                let read = errno(fs::read(&path).map(drop));
                let write = errno(File::options().write(true).open(&path).map(drop));
                (read, write, set_acl(&path, "access", &acl_for(uid, 7)))
            })
        };
        let before = try_it(USER);
        let set = set_acl(&path, "access", &acl_for(USER, 4));
        let after = (
            try_it(USER),
            try_it(OTHER),
            look(&path),
            get_acl(&path, "access"),
        );
        set_mode(&path, 0o600);
        let masked = (try_it(USER), get_acl(&path, "access"));
        let removed = raw(rustix::fs::removexattr(&path, "system.posix_acl_access"));
        let bad = set_acl(&path, "access", b"nonsense");
        (before, set, after, masked, removed, bad, try_it(USER))
    });
}

fn an_acl_from_outside_the_group_clears_set_group_id(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o755);
        let path = at.join("f");
        [
            (USER, vec![]),
            (OTHER, vec![]),
            (USER, vec![7, OTHER]),
            (0, vec![]),
        ]
        .map(|(uid, groups)| {
            fs::write(&path, "x").unwrap();
            chown(&path, Some(uid), Some(OTHER)).unwrap();
            set_mode(&path, 0o2755);
            let set = as_user(uid, uid, &groups, || {
                set_acl(&path, "access", &acl_for(USER, 4))
            });
            let seen = (set, look(&path));
            fs::remove_file(&path).unwrap();
            seen
        })
    });
}

fn sticky_directories_protect(bed: &Bed) {
    bed.same(|at| {
        set_mode(at, 0o1777);
        as_user(OTHER, OTHER, &[], || {
            fs::write(at.join("theirs"), "x").unwrap();
            fs::create_dir(at.join("directory")).unwrap();
        });
        as_user(USER, USER, &[], || {
            fs::write(at.join("own"), "x").unwrap();
            [
                errno(fs::remove_file(at.join("theirs"))),
                errno(fs::remove_dir(at.join("directory"))),
                errno(fs::rename(at.join("theirs"), at.join("mine"))),
                errno(fs::rename(at.join("own"), at.join("theirs"))),
                errno(fs::rename(at.join("own"), at.join("mine"))),
                errno(fs::remove_file(at.join("mine"))),
            ]
        })
    });
}

fn writers_clear_set_user_id(bed: &Bed) {
    type Act = fn(&Path);
    let acts: [(&str, Act); 8] = [
        ("write", |path| {
            let file = File::options().write(true).open(path).unwrap();
            rustix::io::write(&file, b"y").unwrap();
        }),
        ("truncate", |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(1)
                .unwrap();
        }),
        ("extend", |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(100)
                .unwrap();
        }),
        ("open and truncate", |path| {
            File::options()
                .write(true)
                .truncate(true)
                .open(path)
                .unwrap();
        }),
        ("allocate", |path| {
            let file = File::options().write(true).open(path).unwrap();
            let mode = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, mode, 0, 8192).unwrap();
        }),
        ("copy", |path| {
            let from = File::open(path.with_file_name("data")).unwrap();
            let file = File::options().write(true).open(path).unwrap();
            rustix::fs::copy_file_range(&from, None, &file, None, 3).unwrap();
        }),
        ("read", |path| {
            fs::read(path).unwrap();
        }),
        ("times", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
        }),
    ];
    bed.same(|at| {
        set_mode(at, 0o777);
        fs::write(at.join("data"), "data").unwrap();
        let path = at.join("f");
        let mut seen = Vec::new();
        for mode in [0o6777, 0o2767, 0o4777] {
            for (name, act) in acts {
                for uid in [0, USER] {
                    fs::write(&path, "text").unwrap();
                    chown(&path, Some(USER), Some(USER)).unwrap();
                    set_mode(&path, mode);
                    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    let none = XattrFlags::empty();
                    rustix::fs::setxattr(&path, "security.capability", &capability, none).unwrap();
                    as_user(uid, uid, &[], || act(&path));
                    let mut value = [0; 20];
                    let capable =
                        rustix::fs::getxattr(&path, "security.capability", &mut value[..]);
                    seen.push((name, uid, format!("{:o}", look(&path).0), raw(capable)));
                }
            }
            fs::write(&path, "text").unwrap();
            set_mode(&path, mode);
            chown(&path, Some(OTHER), None).unwrap();
            seen.push(("chown", 0, format!("{:o}", look(&path).0), Ok(0)));
            fs::remove_file(&path).unwrap();
        }
        seen
    });
}

fn a_capability_outlives_the_write_before_it(bed: &Bed) {
    bed.same(|at| {
        let path = at.join("f");
        let file = File::create(&path).unwrap();
        rustix::io::write(&file, b"program").unwrap();
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let none = XattrFlags::empty();
        rustix::fs::setxattr(&path, "security.capability", &capability, none).unwrap();
        set_mode(&path, 0o6755);
        file.sync_all().unwrap();
        drop(file);
        let mut value = [0; 20];
        let capable = rustix::fs::getxattr(&path, "security.capability", &mut value[..]);
        (raw(capable), look(&path))
    });
}

#[test]
fn without_allow_other_nobody_else_gets_in() {
    let Some(bed) = Bed::with(|options, _| options.allow_other = false) else {
        return;
    };
    fs::write(bed.mounted().join("f"), "x").unwrap();
    set_mode(&bed.mounted(), 0o777);
    let refused = as_user(USER, USER, &[], || {
        errno(fs::read(bed.mounted().join("f")).map(drop))
    });
    assert_eq!(refused, Err(libc::EACCES));
}

#[test]
fn a_file_made_beneath_is_not_opened_unchecked() {
    let Some(bed) = Bed::trusting(WritePolicy::Through) else {
        return;
    };
    set_mode(&bed.mounted(), 0o777);
    let (mounted, source) = (bed.mounted().join("f"), bed.source().join("f"));
    // The kernel believes that there is none.
    assert!(!mounted.exists());
    fs::write(&source, "secret").unwrap();
    set_mode(&source, 0o600);
    let opened = as_user(USER, USER, &[], || {
        errno(
            File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&mounted)
                .map(drop),
        )
    });
    assert_eq!(opened, Err(libc::EACCES));
    assert_eq!(fs::read_to_string(&source).unwrap(), "secret");
}
