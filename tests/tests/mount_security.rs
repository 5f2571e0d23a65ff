//! Who sees what of a mount.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use compcache_host::mountinfo;
use compcache_tests::content::{Kind, Page};
use compcache_tests::{
    Bed, Mode, MountBed, Outcome, PAGE, binary, drop_page_cache, needs, wait_until,
};

/// The user and group nobody.
const NOBODY: u32 = 65534;

/// A command of the shell, run by nobody.
fn as_nobody(directory: &Path, text: &str) -> Outcome {
    Outcome::of(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["sh", "-euc", text])
            .current_dir(directory),
    )
}

/// The options that the kernel has of a mount.
fn kernel_options(point: &Path) -> Vec<String> {
    let table = mountinfo::read().expect("the mounts");
    let mount = mountinfo::find(&table, point)
        .unwrap_or_else(|| panic!("{} is not mounted", point.display()));
    [mount.options, mount.super_options]
        .iter()
        .flat_map(|options| options.split(|byte| *byte == b','))
        .map(|option| String::from_utf8_lossy(option).into_owned())
        .collect()
}

/// Other users get what SOURCE gives them, and no more.
#[test]
fn permissions_are_those_of_source() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = MountBed::mounted(mode, &["--cache", "4M", "--allow-other"]) else {
            return;
        };
        let source = bed.source();
        for (name, permissions) in [("private", 0o600), ("shared", 0o644), ("open", 0o666)] {
            fs::write(source.join(name), name).unwrap();
            fs::set_permissions(source.join(name), Permissions::from_mode(permissions)).unwrap();
        }
        for (name, permissions) in [("closed", 0o700), ("everyone", 0o1777)] {
            fs::create_dir(source.join(name)).unwrap();
            fs::set_permissions(source.join(name), Permissions::from_mode(permissions)).unwrap();
            fs::write(source.join(name).join("inside"), "x").unwrap();
        }
        // Root has read all of it, so that it is held.
        for name in ["private", "shared", "open", "closed/inside"] {
            fs::read(bed.point().join(name)).unwrap();
        }
        for text in [
            "cat private",
            "cat closed/inside",
            "ls closed",
            "echo >>shared",
            "echo >new",
            "rm -f shared",
            "rm -f everyone/inside",
            "chmod 777 open",
            "truncate --size=0 shared",
        ] {
            let out = as_nobody(bed.point(), text);
            assert!(!out.status.success(), "{mode:?}: nobody can do this: {out}");
            assert_eq!(
                as_nobody(source, text).status,
                out.status,
                "as in SOURCE: {out}"
            );
        }
        for text in [
            "test \"$(cat shared)\" = shared",
            "echo more >>open",
            "umask 027; echo mine >everyone/mine; mkdir everyone/directory",
            "rm everyone/mine",
            "umask 000; echo mine >everyone/mine; ln -s mine everyone/link",
        ] {
            as_nobody(bed.point(), text).success();
        }
        for name in ["mine", "directory", "link"] {
            let metadata = fs::symlink_metadata(source.join("everyone").join(name)).unwrap();
            assert_eq!(
                (metadata.uid(), metadata.gid()),
                (NOBODY, NOBODY),
                "{mode:?}: {name}"
            );
        }
        let permissions = |name| fs::metadata(source.join(name)).unwrap().mode() & 0o7777;
        assert_eq!(permissions("everyone/mine"), 0o666);
        assert_eq!(permissions("everyone/directory"), 0o750);
        bed.umount();
        assert_eq!(fs::read(source.join("open")).unwrap(), b"openmore\n");
        assert_eq!(fs::read(source.join("private")).unwrap(), b"private");
    }
}

/// Whoever may no longer open a file or list a directory in SOURCE cannot do so through the mount once
/// more, though the kernel still trusts what it knows of them.
#[test]
fn rights_that_are_taken_away_beneath_are_gone_at_the_next_open() {
    for mode in Mode::WITH_SOURCE {
        let options = ["--cache", "4M", "--allow-other", "--revalidate", "3600"];
        let Some(bed) = MountBed::mounted(mode, &options) else {
            return;
        };
        let source = bed.source();
        fs::write(source.join("file"), "content").unwrap();
        fs::create_dir(source.join("directory")).unwrap();
        let set = |name, mode| {
            fs::set_permissions(source.join(name), Permissions::from_mode(mode)).unwrap();
        };
        for (name, open, closed) in [("file", 0o644, 0o600), ("directory", 0o755, 0o700)] {
            let text = format!("exec 3<{name}");
            let opens = || as_nobody(bed.point(), &text).status.success();
            set(name, open);
            wait_until("rights that were given to be seen", opens);
            set(name, closed);
            assert!(!opens(), "{mode:?}: {name} was opened without rights");
            chown(source.join(name), Some(NOBODY), None).unwrap();
            wait_until("a new owner to be seen", opens);
            chown(source.join(name), Some(0), None).unwrap();
            assert!(!opens(), "{mode:?}: {name} was opened by who owned it");
        }
        bed.umount();
    }
}

/// Writing to a file takes its set-user-ID bit away, as it does in SOURCE.
#[test]
fn set_user_id_does_not_outlive_a_write() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = MountBed::mounted(mode, &["--cache", "4M", "--allow-other"]) else {
            return;
        };
        let path = bed.source().join("program");
        fs::write(&path, "old").unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
        as_nobody(bed.point(), "echo new >>program").success();
        for path in [&path, &bed.point().join("program")] {
            assert_eq!(
                fs::metadata(path).unwrap().mode() & 0o7777,
                0o755,
                "{mode:?}"
            );
        }
        bed.umount();
    }
}

/// A mount gives no rights by set-user-ID programs and device nodes, unless root wants that.
#[test]
fn no_set_user_id_and_no_devices() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "4M", "--allow-other"]) else {
        return;
    };
    let path = bed.source().join("id");
    let id = Outcome::of(Command::new("sh").args(["-c", "command -v id"])).success();
    fs::copy(id.trim(), &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
    Outcome::of(
        Command::new("mknod")
            .arg("-m666")
            .arg(bed.source().join("zero"))
            .args(["c", "1", "5"]),
    )
    .success();
    let options = kernel_options(bed.point());
    for wanted in ["nosuid", "nodev", "default_permissions", "allow_other"] {
        assert!(
            options.iter().any(|option| option == wanted),
            "{wanted}: {options:?}"
        );
    }
    assert_eq!(as_nobody(bed.point(), "./id -u").success().trim(), "65534");
    as_nobody(bed.point(), "head -c 1 zero").refused(&["zero"]);
    bed.umount();
    bed.mount(
        Mode::Through,
        &["--cache", "4M", "--allow-other", "-o", "suid,dev"],
    );
    assert_eq!(as_nobody(bed.point(), "./id -u").success().trim(), "0");
    as_nobody(bed.point(), "head -c 1 zero").success();
    bed.umount();
    bed.mount(
        Mode::Through,
        &["--cache", "4M", "--allow-other", "-o", "ro,noexec"],
    );
    as_nobody(bed.point(), "./id -u").refused(&["ermission denied"]);
    let error = fs::write(bed.point().join("new"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    bed.umount();
}

#[test]
fn without_allow_other() {
    for mode in Mode::ALL {
        let size: &[&str] = match mode {
            Mode::Ram => &["--size", "64M", "--no-allow-other"],
            _ => &["--cache", "4M", "--no-allow-other"],
        };
        let Some(bed) = MountBed::mounted(mode, size) else {
            return;
        };
        fs::write(bed.point().join("file"), "for root").unwrap();
        fs::set_permissions(bed.point(), Permissions::from_mode(0o777)).unwrap();
        let point = bed.point().display();
        for text in [
            format!("cat {point}/file"),
            format!("ls {point}"),
            format!("stat {point}/file"),
        ] {
            as_nobody(Path::new("/"), &text).refused(&["ermission denied"]);
        }
        assert_eq!(fs::read(bed.point().join("file")).unwrap(), b"for root");
        bed.umount();
    }
}

/// A user without root has a daemon and a mount of their own, which not even root sees into.
#[test]
fn private_mount_of_a_user() {
    if !needs::programs(&["fusermount3"]) {
        return;
    }
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let home = bed.directory().join("home");
    for directory in [
        home.clone(),
        home.join("run"),
        home.join("source"),
        home.join("point"),
    ] {
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = bed.directory().join("compcache");
    fs::copy(binary("compcache"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    // Some machines keep /dev/fuse for root. So all of this has a mount table of its own, in
    // which everybody may open it.
    let text = r#"
        mknod -m 666 ../fuse c 10 229
        mount --bind ../fuse /dev/fuse
        own() {
            env -u COMPCACHE_RUNTIME_DIR XDG_RUNTIME_DIR="$PWD/run" \
                setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
        }
        own "$COMPCACHE" mount --cache 4M source point >&2
        own sh -euc 'echo mine >point/file'
        test "$(cat source/file)" = mine
        if ls point; then echo 'root sees into it'; exit 1; fi
        if "$COMPCACHE" status --json | grep "$PWD/point"; then echo 'in the daemon of root'; exit 1; fi
        own "$COMPCACHE" status --json | grep -q "$PWD/point"
        pid=$(own "$COMPCACHE" status --json | tr -d ' ,' | sed -n 's/^"mount_pid"://p')
        own sh -c "kill -KILL $pid"
        # Its process is started again, by the daemon of that user.
        until test "$(own cat point/file 2>&1)" = mine; do sleep 0.1; done
        own "$COMPCACHE" umount point >&2
        if grep "$PWD/point" /proc/self/mountinfo; then echo 'still mounted'; exit 1; fi
        own "$COMPCACHE" mount --ram --size 16M point >&2
        own sh -euc 'echo mine >point/file; cat point/file'
        own "$COMPCACHE" umount point >&2
    "#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-euc", text])
        .env("COMPCACHE", &program)
        .current_dir(&home);
    bed.set_environment(&mut command);
    let out = Outcome::of(&mut command).success();
    assert_eq!(out, "mine\n");
}

/// Memory that other files' pages lay in is never shown: what was not written is zeros.
#[test]
fn freed_pages_are_not_shown() {
    for mode in Mode::ALL {
        let size: &[&str] = match mode {
            Mode::Ram => &["--size", "128M"],
            _ => &["--cache", "4M"],
        };
        let Some(bed) = MountBed::mounted(mode, size) else {
            return;
        };
        let secret = bed.point().join("secret");
        for round in 0..3 {
            let mut page = Page::zeros();
            let mut bytes = Vec::new();
            for index in 0..1024 {
                Kind::Mixed.fill(&mut page, 77, index, round);
                bytes.extend_from_slice(page.bytes());
            }
            fs::write(&secret, &bytes).unwrap();
            let file = File::open(&secret).unwrap();
            file.sync_all().unwrap();
            drop_page_cache(&file);
            assert!(fs::read(&secret).unwrap() == bytes);
            drop(file);
            fs::remove_file(&secret).unwrap();
            let path = bed.point().join("sparse");
            let file = File::create_new(&path).unwrap();
            file.write_all_at(b"x", 100).unwrap();
            file.write_all_at(b"y", 1000 * PAGE + 1).unwrap();
            rustix::fs::fallocate(
                &file,
                rustix::fs::FallocateFlags::empty(),
                1500 * PAGE,
                100 * PAGE,
            )
            .unwrap();
            file.set_len(2000 * PAGE + 5).unwrap();
            file.set_len(50).unwrap();
            file.set_len(2000 * PAGE + 5).unwrap();
            file.sync_all().unwrap();
            drop_page_cache(&file);
            let found = fs::read(&path).unwrap();
            assert_eq!(found.len() as u64, 2000 * PAGE + 5);
            // What was written lies past the 50 bytes that were kept, and came back as zeros.
            let shown = found.iter().position(|byte| *byte != 0);
            assert_eq!(shown, None, "{mode:?}: bytes that nobody wrote");
            fs::remove_file(&path).unwrap();
        }
        bed.umount();
    }
}
