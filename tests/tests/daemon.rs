//! The daemon as a program: what it is started with, how it tells that it is ready, and how it ends.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use compcache_device::ParamsUpdate;
use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, Outcome, Running, until};
use compcached::protocol::{ErrorCode, Request, Response};
use compcached::types::State;
use compcached::{Client, ClientError};

fn size(disksize: u64) -> ParamsUpdate {
    ParamsUpdate {
        disksize: Some(disksize),
        ..ParamsUpdate::default()
    }
}

fn init(device: u32, disksize: u64) -> Request {
    Request::Configure {
        device,
        params: size(disksize),
        init: true,
    }
}

fn swap_on(disksize: u64) -> Request {
    Request::SwapOn {
        device: None,
        params: size(disksize),
        priority: None,
    }
}

#[track_caller]
fn done(client: &mut Client, request: &Request) {
    match client.request(request).unwrap() {
        Response::Done { .. } => {}
        other => panic!("{request:?}: {other:?}"),
    }
}

#[test]
fn swap_off_brings_every_page_back() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&[]);
    let mut client = bed.client();
    match client.request(&swap_on(64 * MIB)).unwrap() {
        Response::SwappedOn {
            device: 0, node, ..
        } => assert_eq!(node, bed.node(0)),
        other => panic!("{other:?}"),
    }
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 32 * MIB, 41);
    hog.fill();
    assert!(bed.device(0).swap.unwrap().used_bytes > 0);
    group.set_limit(64 * MIB);
    done(&mut client, &Request::SwapOff { device: Some(0) });
    assert_eq!(bed.device(0).state, State::New);
    hog.verify();
    drop(hog);
    drop(group);
    done(&mut client, &Request::Shutdown { force: false });
    bed.take_daemon().finish().success();
    bed.assert_nothing_left();
}

#[test]
fn refusals_have_the_codes_of_the_system() {
    let Some(bed) = Bed::with_devices(4) else {
        return;
    };
    let mut client = bed.client();
    done(&mut client, &init(0, 64 * MIB));
    for (device, code) in [(0, ErrorCode::Ebusy), (7, ErrorCode::Enodev)] {
        match client.request(&init(device, 64 * MIB)) {
            Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, code, "{refusal}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The second of two devices fails: the first, swapped on already, goes too.
#[test]
fn a_start_that_fails_leaves_nothing() {
    let Some(bed) = Bed::new() else { return };
    let config = bed.config(
        "num_devices = 2\n[[device]]\nnumber = 0\ndisksize_kb = 32768\nswap_on = true\n\
         [[device]]\nnumber = 1\nmemlimit_kb = 63",
    );
    let out = Outcome::of(bed.command("compcached").args(["--config", &config]));
    assert_eq!(out.code(), 1, "{out}");
    out.refused(&["ramzswap1: memlimit"]);
    bed.assert_nothing_left();
}

#[test]
fn devices_of_the_configuration_come_up_swapped_on() {
    let Some(mut bed) = Bed::new() else { return };
    let config = bed.config(
        "num_devices = 3\n[[device]]\nnumber = 1\ndisksize_kb = 32768\ncodec = \"wkdm\"\n\
         swap_on = true\npriority = 3",
    );
    bed.start(&["--config", &config]);
    let device = bed.device(1);
    assert_eq!(device.swap.unwrap().priority, 3);
    assert_eq!(device.codec, "wkdm");
    bed.stop();
    bed.assert_nothing_left();
}

/// Initialised but not swapped on: nobody loses pages.
#[test]
fn a_crash_is_recovered_from() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&["--disksize_kb", "32768"]);
    let daemon = bed.take_daemon();
    daemon.signal(libc::SIGKILL);
    assert_eq!(daemon.finish().code(), 128 + libc::SIGKILL);
    assert!(bed.runtime_dir().join("control.sock").exists());
    let left = Client::connect_now(&bed.runtime_dir());
    assert!(matches!(left, Err(ClientError::NoDaemon(_))), "{left:?}");

    bed.start(&[]);
    assert_eq!(bed.device(0).state, State::New);
    let node = fs::symlink_metadata(bed.node(0));
    assert!(node.is_err(), "the node was left");
    done(&mut bed.client(), &init(0, 32 * MIB));
    bed.stop();
    bed.assert_nothing_left();
}

#[test]
fn a_detached_daemon_tells_when_it_is_ready() {
    let Some(bed) = Bed::new() else { return };
    let mut command = bed.command("compcached");
    let mut child = command
        .args(["--exit-when-idle", "--detached"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = Vec::new();
    // Ends although the daemon goes on: it has closed its standard output.
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    assert_eq!(output, b"\n");
    let mut client = Client::connect_now(&bed.runtime_dir()).unwrap();
    client.request(&swap_on(32 * MIB)).unwrap();
    done(&mut client, &Request::SwapOff { device: None });
    drop(client);
    assert!(child.wait().unwrap().success());
    bed.assert_nothing_left();
}

#[test]
fn readiness_and_stopping_are_told_to_the_service_manager() {
    let Some(bed) = Bed::new() else { return };
    let path = bed.directory().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = bed.command("compcached");
    let running = Running::start(command.env("NOTIFY_SOCKET", &path));
    assert_eq!(told(), "READY=1\n");
    // Ready means that it answers at once.
    let mut client = Client::connect_now(&bed.runtime_dir()).unwrap();
    done(&mut client, &Request::Shutdown { force: false });
    assert_eq!(told(), "STOPPING=1\n");
    running.finish().success();
}

/// Two daemons with one device directory: neither takes the other's names, and the second one's
/// devices get the numbers that are free.
#[test]
fn two_daemons_share_a_device_directory() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    done(&mut bed.client(), &init(0, 16 * MIB));
    let first = fs::read_link(bed.node(0)).unwrap();
    let runtime_dir = bed.directory().join("second");
    let mut command = bed.command("compcached");
    command
        .args(["--num-devices", "2", "--runtime-dir"])
        .arg(&runtime_dir);
    let second = Running::start(&mut command);
    let mut client = until("the second daemon", || {
        Client::connect_now(&runtime_dir).ok()
    });
    match client.request(&init(0, 16 * MIB)) {
        Err(ClientError::Refused(refusal)) => {
            assert_eq!(refusal.code, ErrorCode::Ebusy, "{refusal}");
            assert!(refusal.message.contains("another daemon's"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    match client.request(&swap_on(16 * MIB)).unwrap() {
        Response::SwappedOn { device, .. } => assert_eq!(device, 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_link(bed.node(0)).unwrap(), first);
    second.signal(libc::SIGTERM);
    assert_eq!(second.finish().code(), 0);
    assert_eq!(fs::read_link(bed.node(0)).unwrap(), first);
    assert!(fs::symlink_metadata(bed.node(1)).is_err());
    bed.stop();
    bed.assert_nothing_left();
}

/// A daemon that does nothing, here as it was stopped, is not waited for for ever.
#[test]
fn a_daemon_that_does_not_answer_is_named() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    bed.daemon().signal(libc::SIGSTOP);
    let status = bed.compcache(&["status"]);
    bed.daemon().signal(libc::SIGCONT);
    let socket = bed.runtime_dir().join("control.sock");
    let socket = socket.display().to_string();
    let waiting = format!("waiting for the daemon at {socket} to answer");
    status.refused(&[&waiting, &socket, "has not answered for 30 s", "kill -CONT"]);
    assert_eq!(status.code(), 1, "{status}");
    bed.compcache(&["status"]).success();
}
