//! Without root: every program says what it needs, and nothing changes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use compcache_host::proc;
use compcache_tests::{Bed, NOBODY, Outcome, binary, needs, packaged};
use compcached::args::DEFAULT_RUNTIME_DIR;

#[test]
fn with_a_daemon_of_root() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let before = bed.device(0);
    for arguments in [
        &["ramzswap0", "--init"][..],
        &["ramzswap0", "--stats"],
        &["ramzswap0", "--reset"],
        &["ramzswap0", "--disksize_kb=65536"],
    ] {
        bed.as_nobody("rzscontrol", arguments)
            .refused(&["not allowed", "root"]);
    }
    for arguments in [
        &["status"][..],
        &["swap", "on"],
        &["swap", "off"],
        &["run", "--memory", "64M", "--", "true"],
        &["demo", "--size", "64M"],
    ] {
        bed.as_nobody("compcache", arguments).refused(&["root"]);
    }
    bed.as_nobody("compcached", &["--num-devices", "1"])
        .refused(&["need root", "65534"]);
    assert_eq!(bed.device(0), before);
}

#[test]
fn without_a_daemon() {
    let Some(bed) = Bed::new() else { return };
    for arguments in [
        &["swap", "on"][..],
        &["run", "--memory", "64M", "--", "true"],
        &["demo"],
    ] {
        bed.as_nobody("compcache", arguments).refused(&["root"]);
    }
    bed.as_nobody("compcache", &["status"])
        .refused(&["no daemon"]);
    bed.as_nobody("rzscontrol", &["ramzswap0", "-s"])
        .refused(&["no daemon"]);
    let daemon = bed.as_nobody("compcached", &["--num-devices", "1"]);
    daemon.refused(&[
        "compcached: --num-devices: swap devices need root",
        "uid 65534",
    ]);
    assert_eq!(daemon.code(), 1, "{daemon}");
    bed.assert_nothing_left();
}

/// A connection that comes past the socket's mode is refused by the daemon itself, and the files
/// that hold pages are for root alone.
#[test]
fn what_the_daemon_keeps_is_private() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.rzscontrol(&["ramzswap0", "--disksize_kb=65536", "--init"])
        .success();
    let socket = bed.runtime_dir().join("control.sock");
    assert_eq!(socket_rights(&bed), (0o600, 0, 0));
    let node = fs::metadata(bed.node(0)).expect("its mode");
    assert_eq!(node.mode() & 0o007, 0);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("its mode");
    bed.as_nobody("rzscontrol", &["ramzswap0", "--reset"])
        .refused(&["only root may control this daemon"]);
    assert!(bed.device(0).block_device.is_some());
}

/// Somebody has made the runtime directory before, with a link in place of the log, which is begun again when it is
/// long.
#[test]
fn a_log_that_is_a_link_is_left_alone() {
    const LENGTH: usize = 2 << 20;
    let Some(bed) = Bed::new() else { return };
    let victim = bed.directory().join("victim");
    fs::write(&victim, vec![7; LENGTH]).expect("a file");
    let directory = bed.runtime_dir();
    let log = directory.join("compcached.log");
    fs::create_dir(&directory).expect("a directory");
    symlink(&victim, &log).expect("a link");
    lchown(&log, Some(NOBODY), None).expect("its owner");
    lchown(&directory, Some(NOBODY), None).expect("its owner");
    let swap_on = || bed.compcache(&["swap", "on", "--driver", "user", "--size", "64M"]);
    let path = directory.display().to_string();
    swap_on().refused(&[&path, "is not yours", "uid 65534", "--runtime-dir"]);
    // The same in a directory that is root's by now.
    lchown(&directory, Some(0), None).expect("its owner");
    let path = log.display().to_string();
    swap_on().refused(&[&path, "is a symbolic link", "uid 65534", "remove it"]);
    assert_eq!(
        fs::metadata(&victim).expect("the file").len(),
        LENGTH as u64
    );
    fs::remove_file(&log).expect("to remove it");
}

/// Of a program that runs as root for another user, that user's environment steers nothing.
#[test]
fn a_set_user_id_program_ignores_the_environment() {
    let Some(bed) = Bed::new() else { return };
    for (program, arguments) in [
        ("compcache", &["status"][..]),
        ("rzscontrol", &["ramzswap0", "--stats"]),
        // As the daemon calls itself: no daemon starts.
        ("compcached", &["--swapoff", "/dev/null"]),
    ] {
        let copy = bed.copy_of(program);
        // Here it is read, and refused as it stands.
        let mut command = Command::new(&copy);
        command.args(arguments).env("COMPCACHE_DRIVER", "nonsense");
        bed.set_environment(command.env("COMPCACHE_TRANSPORT", "nonsense"));
        let read = Outcome::of(&mut command);
        let says = |out: &Outcome| {
            let directory = bed.directory().display().to_string();
            out.stderr.contains("nonsense") || out.stderr.contains(&directory)
        };
        assert!(says(&read), "{read}");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("its mode");
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .arg("--clear-groups")
            .arg(&copy)
            .args(arguments)
            .env("COMPCACHE_DRIVER", "nonsense")
            .env("COMPCACHE_TRANSPORT", "nonsense")
            .current_dir("/");
        bed.set_environment(&mut command);
        let ignored = Outcome::of(&mut command);
        assert!(!says(&ignored), "{ignored}");
    }
}

/// udev gives every disk to a group. The shipped rule is for loop devices whose file is where a daemon with
/// the runtime directory of the unit has its devices.
#[test]
fn udev_is_told_to_leave_the_device_to_root() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.rzscontrol(&["ramzswap0", "--disksize_kb=65536", "--init"])
        .success();
    let device = bed.device(0).block_device.expect("a block device");
    let name = device.file_name().expect("a name").to_str().expect("UTF-8");
    let file = format!("/sys/block/{name}/loop/backing_file");
    let file = proc::read(Path::new(&file)).expect("a loop device");
    let file = Path::new(OsStr::from_bytes(file.trim_ascii()));
    assert_eq!(file, bed.runtime_dir().join("ramzswap0"));

    let rules = fs::read_to_string(packaged("60-compcache.rules")).expect("the rules");
    let ours = format!("ATTR{{loop/backing_file}}==\"{DEFAULT_RUNTIME_DIR}/ramzswap*\"");
    for kernel in ["loop[0-9]*", "ramzswap[0-9]*"] {
        let kernel = format!("KERNEL==\"{kernel}\"");
        let rule = rules.lines().find(|line| {
            line.contains(&kernel) && line.contains("MODE=\"0600\"") && !line.starts_with('#')
        });
        let rule = rule.unwrap_or_else(|| panic!("no rule for {kernel}"));
        assert!(rule.contains("OWNER=\"root\", GROUP=\"root\""), "{rule}");
        assert_eq!(rule.contains(&ours), kernel.contains("loop"), "{rule}");
    }
}

/// Mode, owner and group of the daemon's socket.
fn socket_rights(bed: &Bed) -> (u32, u32, u32) {
    let socket = fs::metadata(bed.runtime_dir().join("control.sock")).expect("the socket");
    (socket.mode() & 0o7777, socket.uid(), socket.gid())
}

#[test]
fn only_root_and_the_group_may_speak() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&[]);
    assert_eq!(socket_rights(&bed), (0o600, 0, 0));
    bed.as_nobody("compcache", &["status"])
        .refused(&["not allowed", "as root"]);
    bed.stop();

    let config = bed.config(format!("group = \"{NOBODY}\""));
    bed.start(&["--config", &config]);
    assert_eq!(socket_rights(&bed), (0o660, 0, NOBODY));
    bed.as_nobody("compcache", &["status"]).success();
}

/// A service of the system's resolver that knows one group, as LDAP's would.
const DIRECTORY: &str = r#"
#include <grp.h>
#include <nss.h>
#include <string.h>

enum nss_status _nss_directory_getgrnam_r(const char *name, struct group *found, char *buffer,
                                          size_t size, int *error)
{
    static char *nobody[1];

    if (strcmp(name, "from-a-directory"))
        return NSS_STATUS_NOTFOUND;
    *found = (struct group){ "from-a-directory", "x", 54321, nobody };
    return NSS_STATUS_SUCCESS;
}
"#;

#[test]
fn a_group_that_only_a_directory_has_counts() {
    if !needs::programs(&["gcc"]) {
        return;
    }
    let Some(mut bed) = Bed::new() else { return };
    let path = |name: &str| bed.directory().join(name);
    fs::write(path("directory.c"), DIRECTORY).expect("a source");
    fs::write(path("nsswitch.conf"), "group: files directory\n").expect("a file");
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", "-o"])
        .args([path("libnss_directory.so.2"), path("directory.c")]);
    Outcome::of(&mut gcc).success();

    // Nobody else sees the mount.
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc/nsswitch.conf && exec \"$@\"")
        .arg(path("nsswitch.conf"))
        .arg(binary("compcached"))
        .args(["--config", &bed.config("group = \"from-a-directory\"")])
        .env("LD_LIBRARY_PATH", bed.directory());
    bed.set_environment(&mut command);
    bed.start_by(&mut command);
    assert_eq!(socket_rights(&bed), (0o660, 0, 54321));
}
