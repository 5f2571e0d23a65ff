//! Without root: every program says what it needs, and nothing changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use compcache_tests::{Bed, Outcome, binary};

/// Runs one of our programs as the user nobody, from a directory that nobody may read.
fn as_nobody(bed: &Bed, program: &str, arguments: &[&str]) -> Outcome {
    let copy = bed.directory().join(program);
    if !copy.exists() {
        fs::copy(binary(program), &copy).expect("a copy of the program");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(arguments)
        .current_dir("/");
    bed.set_environment(&mut command);
    Outcome::of(&mut command)
}

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
        as_nobody(&bed, "rzscontrol", arguments).refused(&["not allowed", "root"]);
    }
    for arguments in [
        &["status"][..],
        &["swap", "on"],
        &["swap", "off"],
        &["run", "--memory", "64M", "--", "true"],
        &["demo", "--size", "64M"],
    ] {
        as_nobody(&bed, "compcache", arguments).refused(&["root"]);
    }
    as_nobody(&bed, "compcached", &["--num-devices", "1"]).refused(&["need root", "65534"]);
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
        as_nobody(&bed, "compcache", arguments).refused(&["root"]);
    }
    as_nobody(&bed, "compcache", &["status"]).refused(&["no daemon"]);
    as_nobody(&bed, "rzscontrol", &["ramzswap0", "-s"]).refused(&["no daemon"]);
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
    let mode = |path| fs::metadata(path).expect("its mode").permissions().mode() & 0o7777;
    assert_eq!(mode(socket.clone()), 0o600);
    assert_eq!(mode(bed.node(0)) & 0o007, 0);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("its mode");
    as_nobody(&bed, "rzscontrol", &["ramzswap0", "--reset"]).refused(&["root"]);
    assert!(bed.device(0).block_device.is_some());
}
