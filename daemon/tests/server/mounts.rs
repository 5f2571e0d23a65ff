//! Mounts over the control socket.

use std::thread;

use compcached::Client;
use compcached::protocol::{ErrorCode, MountSettings, MountSpec, Request, Response};
use compcached::server::Outcome;
use compcached::size::Size;
use compcached::types::MountStatus;

use crate::{Running, done, refused, start, start_with, start_within, status};

const MIB: u64 = 1 << 20;

fn mount(path: &str) -> Request {
    let spec = MountSpec {
        source: Some("/source".into()),
        mountpoint: path.into(),
        settings: MountSettings {
            cache: Some(Size::Bytes(8 * MIB)),
            ..MountSettings::default()
        },
    };
    Request::Mount { spec }
}

fn unmount(path: &str, lazy: bool) -> Request {
    let mountpoint = path.into();
    Request::Unmount { mountpoint, lazy }
}

fn mounted(client: &mut Client, path: &str) -> MountStatus {
    match client.request(&mount(path)).unwrap() {
        Response::Mounted { mount, .. } => mount,
        other => panic!("{other:?}"),
    }
}

fn list(client: &mut Client) -> Vec<String> {
    match client.request(&Request::Mounts).unwrap() {
        Response::Mounts { mounts, .. } => mounts.into_iter().map(|m| m.mountpoint).collect(),
        other => panic!("{other:?}"),
    }
}

/// What the mounts of a server did.
fn history(server: &Running) -> Vec<String> {
    server.mounts.with(|m| m.done.clone())
}

#[test]
fn mounts_come_are_listed_and_go() {
    let server = start(1);
    let mut client = server.client();
    let mount = mounted(&mut client, "/b");
    assert_eq!((mount.source.as_str(), mount.limit), ("/source", 8 * MIB));
    mounted(&mut client, "/a");
    assert_eq!(list(&mut client), ["/a", "/b"]);
    done(&mut client, Request::Sync { mountpoint: None });
    let one = Some("/b".into());
    done(&mut client, Request::Sync { mountpoint: one });
    done(&mut client, unmount("/b", false));
    assert_eq!(list(&mut client), ["/a"]);
    assert_eq!(
        server.mounts.with(|m| m.done.split_off(0)),
        [
            "mount /b",
            "mount /a",
            "sync /a",
            "sync /b",
            "sync /b",
            "unmount /b",
        ]
    );
    let mounts = server.mounts.clone();
    assert_eq!(server.end(), Outcome::Clean);
    assert_eq!(mounts.with(|m| m.done.clone()), ["unmount /a"]);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    for (request, code, word) in [
        (mount("/a"), ErrorCode::Ebusy, "already a compcache mount"),
        (
            unmount("/b", false),
            ErrorCode::Enoent,
            "/b is not a compcache mount",
        ),
        (
            Request::Sync {
                mountpoint: Some("/b".into()),
            },
            ErrorCode::Enoent,
            "/b is not a compcache mount",
        ),
    ] {
        let refusal = refused(&mut client, request);
        assert_eq!(refusal.code, code);
        assert!(refusal.message.contains(word), "{refusal}");
    }
    let spec = MountSpec {
        mountpoint: "/b".into(),
        ..MountSpec::default()
    };
    let refusal = refused(&mut client, Request::Mount { spec });
    assert!(refusal.message.contains("--size"), "{refusal}");
    server.mounts.with(|m| m.fail_mount = true);
    let refusal = refused(&mut client, mount("/b"));
    assert_eq!(refusal.code, ErrorCode::Eio);
    server.mounts.with(|m| m.fail_mount = false);
    assert_eq!(list(&mut client), ["/a"]);
    mounted(&mut client, "/b");
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn a_mount_in_use_stays_unless_it_is_taken_lazily() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.busy.insert("/a".into()));
    assert_eq!(
        refused(&mut client, unmount("/a", false)).code,
        ErrorCode::Ebusy
    );
    assert_eq!(list(&mut client), ["/a"]);
    done(&mut client, unmount("/a", true));
    assert_eq!(list(&mut client), [""; 0]);
    assert_eq!(history(&server), ["mount /a", "detach /a"]);
    // Another one can come while the first is still in use.
    server.mounts.with(|m| m.busy.clear());
    mounted(&mut client, "/a");
    done(&mut client, unmount("/a", false));
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn slow_mounts_and_unmounts_hold_up_nobody() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server
        .mounts
        .with(|m| (m.hold_mount, m.hold_unmount) = (true, true));
    let (mut first, mut second) = (server.client(), server.client());
    let coming = thread::spawn(move || mounted(&mut first, "/b"));
    let going = thread::spawn(move || done(&mut second, unmount("/a", false)));
    server.mounts.wait_for(|m| m.waiting == 2);
    assert_eq!(list(&mut client), ["/a"]);
    assert_eq!(refused(&mut client, mount("/b")).code, ErrorCode::Ebusy);
    assert_eq!(
        refused(&mut client, unmount("/b", false)).code,
        ErrorCode::Enoent
    );
    status(&mut client);
    server
        .mounts
        .with(|m| (m.hold_mount, m.hold_unmount) = (false, false));
    coming.join().unwrap();
    going.join().unwrap();
    assert_eq!(list(&mut client), ["/b"]);
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn two_unmounts_at_once_are_one() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.hold_unmount = true);
    let mut other = server.client();
    let first = thread::spawn(move || done(&mut other, unmount("/a", false)));
    server.mounts.wait_for(|m| m.waiting == 1);
    let mut other = server.client();
    let second = thread::spawn(move || refused(&mut other, unmount("/a", false)));
    server.mounts.with(|m| m.hold_unmount = false);
    first.join().unwrap();
    assert_eq!(second.join().unwrap().code, ErrorCode::Enoent);
    assert_eq!(history(&server), ["mount /a", "unmount /a"]);
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn what_somebody_else_unmounts_is_forgotten() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    mounted(&mut client, "/b");
    server.mounts.end("/a");
    // At once, and not only when the server has looked after it.
    mounted(&mut client, "/a");
    server.mounts.end("/b");
    server
        .mounts
        .wait_for(|m| m.done.contains(&"sync /b".into()));
    done(&mut client, unmount("/a", false));
    let history = history(&server);
    assert_eq!(
        history[..4],
        ["mount /a", "mount /b", "sync /a", "mount /a"]
    );
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn an_idle_server_stays_for_its_mounts_and_ends_when_they_are_gone() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    let mut client = server.client();
    mounted(&mut client, "/a");
    drop(client);
    let mut client = server.client();
    assert_eq!(list(&mut client), ["/a"]);
    drop(client);
    let mounts = server.mounts.clone();
    mounts.end("/a");
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn an_idle_server_stays_for_a_mount_that_is_out_of_the_tree_but_in_use() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.busy.insert("/a".into()));
    done(&mut client, unmount("/a", true));
    let refusal = refused(&mut client, Request::Shutdown { force: false });
    assert!(refusal.message.contains("unmounted lazily"), "{refusal}");
    drop(client);
    assert_eq!(list(&mut server.client()), [""; 0]);
    server.mounts.end("/a");
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn a_client_cannot_end_a_server_whose_mounts_are_in_use() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.busy.insert("/a".into()));
    let refusal = refused(&mut client, Request::Shutdown { force: false });
    assert_eq!(refusal.code, ErrorCode::Ebusy);
    // It goes on as before.
    mounted(&mut client, "/b");
    let warnings = done(&mut client, Request::Shutdown { force: true });
    assert!(warnings[0].contains("/a: was in use"), "{warnings:?}");
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn a_signal_takes_mounts_in_use_out_of_the_tree() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    mounted(&mut client, "/b");
    server.mounts.with(|m| m.busy.insert("/a".into()));
    let mounts = server.mounts.clone();
    assert_eq!(server.end(), Outcome::Clean);
    let history = mounts.with(|m| m.done.clone());
    // Both at once; and what was written meanwhile is not lost.
    let mut first = history[2..4].to_vec();
    first.sort();
    assert_eq!(first, ["detach /a", "unmount /b"]);
    assert_eq!(history[4..], ["detach /a"]);
}

#[test]
fn a_client_does_not_lose_what_cannot_be_written_out() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.fail_sync = true);
    let refusal = refused(&mut client, Request::Shutdown { force: false });
    assert_eq!(refusal.code, ErrorCode::Eio);
    assert_eq!(list(&mut client), ["/a"]);
    let refusal = refused(&mut client, Request::Sync { mountpoint: None });
    assert_eq!(refusal.code, ErrorCode::Eio);
    server.mounts.with(|m| m.fail_sync = false);
    assert_eq!(server.end(), Outcome::Clean);
}

/// The mount is given up, and the status says so; what is on a device never is.
#[test]
fn a_signal_gives_up_a_mount_that_cannot_be_written_out_but_no_device() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    client.request(&crate::swap_on(None)).unwrap();
    server.devices[0].set(|model| model.fail_swap_off = true);
    server
        .mounts
        .with(|m| (m.fail_sync, m.hold_unmount) = (true, true));
    let mut other = server.client();
    server.handle.terminate("a first signal");
    server.mounts.wait_for(|m| m.waiting == 1);
    let (daemon, _) = status(&mut other);
    let ending = "/a: has to end, and has 0B left to write out";
    assert!(
        daemon.warnings.iter().any(|w| w.contains(ending)),
        "{daemon:?}"
    );
    server.mounts.with(|m| m.hold_unmount = false);
    server
        .mounts
        .wait_for(|m| m.done.contains(&"give up /a".into()));
    // Once the server has noted it.
    while !list(&mut other).is_empty() {
        thread::yield_now();
    }
    let lost = "/a: given up: cannot write to the source; 4096 bytes of 1 file";
    let told = |client: &mut Client| {
        let (daemon, _) = status(client);
        daemon.warnings.iter().any(|w| w.contains(lost))
    };
    while !told(&mut other) {
        thread::yield_now();
    }
    assert!(server.devices[0].model().swap.is_some());
    server.devices[0].set(|model| model.fail_swap_off = false);
    assert_eq!(server.end(), Outcome::Lost);
}

/// A client that waits for a source which does not answer keeps nobody's signal waiting.
#[test]
fn a_signal_ends_a_server_whose_client_waits_for_a_source() {
    let server = start(1);
    let mut client = server.client();
    mounted(&mut client, "/a");
    server.mounts.with(|m| m.hang = true);
    // Nobody waits for it: its connection ends with the process.
    thread::spawn(move || client.request(&Request::Shutdown { force: false }));
    server.mounts.wait_for(|m| m.waiting == 1);
    assert_eq!(server.end(), Outcome::Lost);
}

#[test]
fn mounts_get_what_devices_leave_of_the_limit() {
    let server = start_within(2, Some(4 * MIB), |_| {});
    let mut client = server.client();
    mounted(&mut client, "/a");
    // Two fake devices take a page each, and the mount may have 8 MiB.
    assert_eq!(server.mounts.with(|m| m.share), 4 * MIB - 8192);
    match client.request(&Request::Mounts).unwrap() {
        Response::Mounts { memory_limit, .. } => assert_eq!(memory_limit, Some(4 * MIB)),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn a_daemon_without_devices_says_why() {
    let server = start(0);
    let mut client = server.client();
    mounted(&mut client, "/a");
    for request in [crate::swap_on(None), crate::init(0), crate::lease()] {
        let refusal = refused(&mut client, request);
        assert!(refusal.message.contains("not started by root"), "{refusal}");
    }
    assert_eq!(server.end(), Outcome::Clean);
}
