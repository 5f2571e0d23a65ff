//! The daemon does all its work with what the shipped unit leaves it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::process::Command;

use compcache_tests::content::Kind;
use compcache_tests::{
    Bed, Cgroup, Hog, MIB, NOBODY, Outcome, Sandbox, Unit, mounts_under, needs, packaged, stats,
    wait_until,
};

const SERVICE: &str = "compcached.service";

/// What makes systemd give a service its own mount namespace (systemd.exec(5)): nobody else would see
/// the daemon's mounts, nor the loop driver its files.
const OWN_MOUNTS: [&str; 38] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "CacheDirectory",
    "DynamicUser",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "ImportCredential",
    "InaccessiblePaths",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "LogNamespace",
    "LogsDirectory",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NetworkNamespacePath",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivatePIDs",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "RootImage",
    "TemporaryFileSystem",
];
/// What would keep the daemon from a backing swap, or programs from set-user-id files on mounts.
const OTHERS_NEED: [&str; 5] = [
    "DeviceAllow",
    "DevicePolicy",
    "ProtectClock",
    "RestrictFileSystems",
    "RestrictSUIDSGID",
];

#[test]
fn its_mounts_are_for_all() {
    let unit = Unit::shipped(SERVICE);
    let wrong: Vec<&str> = unit
        .keys()
        .filter(|key| OWN_MOUNTS.contains(key) || OTHERS_NEED.contains(key))
        .collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_it_may_not_is_said() {
    let unit = Unit::shipped(SERVICE);
    for (key, value) in [
        ("LimitCORE", "0"),
        ("UMask", "0077"),
        ("IPAddressDeny", "any"),
        ("KeyringMode", "private"),
        ("NoNewPrivileges", "yes"),
        ("LockPersonality", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX"),
        ("RestrictNamespaces", "yes"),
        ("RestrictRealtime", "yes"),
        ("SystemCallArchitectures", "native"),
        // The daemon holds pages: it must not be ended for a system call.
        ("SystemCallErrorNumber", "EPERM"),
    ] {
        assert_eq!(unit.values(key).collect::<Vec<_>>(), [value], "{key}");
    }
    // Below these it would complain, or hold fewer files.
    for (key, least) in [("TasksMax", 4096), ("LimitNOFILE", 4096)] {
        let value: u64 = unit.values(key).next().expect(key).parse().expect(key);
        assert!(value >= least, "{key}={value}");
    }
}

/// Each capability stands alone, below what it is for.
#[test]
fn each_capability_has_its_reason() {
    let text = fs::read_to_string(packaged(SERVICE)).expect("the unit");
    let lines: Vec<&str> = text.lines().collect();
    let mut seen = 0;
    for (n, line) in lines.iter().enumerate() {
        let Some(names) = line.strip_prefix("CapabilityBoundingSet=") else {
            continue;
        };
        assert_eq!(names.split_whitespace().count(), 1, "{line}");
        assert!(n > 0 && lines[n - 1].starts_with('#'), "{line}");
        seen += 1;
    }
    assert!(seen > 0, "a set");
    assert!(!text.contains("AmbientCapabilities"), "root needs none");
}

/// The daemon's warnings so far, without their times.
fn warnings(log: &str) -> Vec<String> {
    let text = |line: &str| {
        let at = [" WARN ", " ERROR "]
            .into_iter()
            .find_map(|level| line.find(level));
        at.map(|at| line[at..].to_owned())
    };
    log.lines().filter_map(text).collect()
}

/// A device and a mount do all that they can do; gives the daemon's warnings.
fn work(bed: &mut Bed) -> Vec<String> {
    let on = "swap on --size 96M --driver user --recompress-after 1";
    let on: Vec<&str> = on.split(' ').collect();
    bed.compcache(&on).success();
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 32 * MIB, 17);
    hog.fill();
    hog.verify();
    // By an idle task, which is an ordinary one while it holds a slot.
    wait_until("cold pages to be recompressed", || {
        stats(bed, 0).recompressed > 0
    });
    hog.verify();
    bed.compcache(&["status"]).success();

    let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
    for directory in [&source, &point] {
        fs::create_dir(directory).expect("a directory");
        fs::set_permissions(directory, Permissions::from_mode(0o1777)).expect("its mode");
    }
    let paths = [
        source.to_str().expect("UTF-8"),
        point.to_str().expect("UTF-8"),
    ];
    bed.compcache(&[&["mount", "--write-back", "--cache", "8M"], &paths[..]].concat())
        .success();
    mount_work(bed);
    bed.compcache(&["umount", paths[1]]).success();
    let ram = ["mount", "--ram", "--size", "8M", "--cache", "8M", paths[1]];
    bed.compcache(&ram).success();
    fs::write(point.join("file"), "text").expect("a file");
    bed.compcache(&["umount", paths[1]]).success();
    assert_eq!(mounts_under(bed.directory()).len(), 1, "the device's");
    for name in ["nobodys", "roots", "null"] {
        fs::remove_file(source.join(name)).expect("on the source");
    }
    for directory in [source, point] {
        fs::remove_dir(directory).expect("an empty directory");
    }

    group.set_limit(96 * MIB);
    bed.compcache(&["swap", "off"]).success();
    hog.verify();
    drop(hog);
    drop(group);
    let daemon = bed.take_daemon();
    daemon.signal(libc::SIGTERM);
    let outcome = daemon.finish();
    let found = warnings(&outcome.stderr);
    outcome.success();
    bed.assert_nothing_left();
    found
}

/// Files of root and of another user, with all that takes a right.
fn mount_work(bed: &Bed) {
    let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
    let mut nobody = Command::new("setpriv");
    nobody
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .args(["--clear-groups", "sh", "-euc"])
        .arg(
            "umask 077; echo text >nobodys; chmod 400 nobodys; touch -d 2001-02-03 nobodys
             test \"$(cat nobodys)\" = text; mkdir directory; ln nobodys directory/link
             mv directory/link link; rm link; rmdir directory",
        )
        .current_dir(&point);
    Outcome::of(&mut nobody).success();
    let made = fs::metadata(source.join("nobodys")).expect("the file");
    let owner = (made.uid(), made.gid(), made.mode() & 0o7777);
    assert_eq!(owner, (NOBODY, NOBODY, 0o400));

    let file = point.join("roots");
    fs::write(&file, "text").expect("a file");
    // A capability of files, which only root gives.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&file, "security.capability", &capability, none).expect("setcap");
    chown(&file, Some(1), Some(2)).expect("chown");
    fs::set_permissions(&file, Permissions::from_mode(0o6755)).expect("chmod");
    rustix::fs::setxattr(&file, "trusted.compcache", b"x", none).expect("setxattr");
    let made = fs::metadata(source.join("roots")).expect("the file");
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o7777),
        (1, 2, 0o6755)
    );
    let null = rustix::fs::makedev(1, 3);
    let device = rustix::fs::FileType::CharacterDevice;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, point.join("null"), device, mode, null).expect("mknod");
    let made = fs::metadata(source.join("null")).expect("the device");
    assert!(made.file_type().is_char_device());
}

/// What the next test relies on.
#[test]
fn the_sandbox_confines() {
    if !needs::root() || !needs::programs(&["unshare", "chroot", "chrt"]) {
        return;
    }
    let Some(sandbox) = Sandbox::of(&Unit::shipped(SERVICE)) else {
        return;
    };
    let run = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        sandbox.confine(command.args(&words[1..]));
        Outcome::of(&mut command)
    };
    run(&["true"]).success();
    for refused in [
        &["unshare", "--mount", "true"][..],
        &["chrt", "--fifo", "1", "true"],
        &["chroot", "/", "true"],
    ] {
        assert_eq!(run(refused).code(), 128 + libc::SIGSYS, "{refused:?}");
    }
    const SYS_MODULE: u64 = 1 << 16;
    const SYS_ADMIN: u64 = 1 << 21;
    let text = run(&["sed", "-n", "s/^CapEff:\t//p", "/proc/self/status"]).success();
    let mask = u64::from_str_radix(text.trim(), 16).expect("a mask");
    assert_eq!(mask & (SYS_ADMIN | SYS_MODULE), SYS_ADMIN, "{text}");
}

#[test]
fn it_does_all_its_work_with_the_units_capabilities_and_system_calls() {
    let Some(mut bed) = Bed::new() else { return };
    let Some(sandbox) = Sandbox::of(&Unit::shipped(SERVICE)) else {
        return;
    };
    bed.start(&[]);
    let free = work(&mut bed);
    let mut command = bed.command("compcached");
    sandbox.confine(&mut command);
    bed.start_by(&mut command);
    assert_eq!(work(&mut bed), free);
}
