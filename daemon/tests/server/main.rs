//! The server over a real socket, with devices that need no kernel and no root.

mod fake;
mod mounts;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use compcache_test_support::SetAtEnd;
use compcached::backend::DeviceBackend;
use compcached::client::{Client, ClientError};
use compcached::mounts::Mounts;
use compcached::protocol::{self, DaemonStatus, ErrorCode, Refusal, Request, Response};
use compcached::registry::Registry;
use compcached::runtime_dir::{RuntimeDir, SOCKET_NAME};
use compcached::server::access::Access;
use compcached::server::admission::{MAX_CONNECTIONS, MAX_OF_USER};
use compcached::server::{Handle, Options, Outcome, Server};
use compcached::types::{DeviceStatus, Driver, ParamsUpdate, State};
use fake::{Fake, FakeMounts};

/// A server in a thread, over a runtime directory of its own.
struct Running {
    dir: tempfile::TempDir,
    devices: Vec<Fake>,
    /// The one device of the kernel driver.
    kernel: Fake,
    mounts: FakeMounts,
    handle: Handle,
    thread: JoinHandle<Outcome>,
}

fn start(count: u32) -> Running {
    start_with(count, |_| {})
}

fn start_with(count: u32, change: impl FnOnce(&mut Options)) -> Running {
    start_within(count, None, change)
}

/// A server with a limit for devices and mounts together.
fn start_within(
    count: u32,
    memory_limit: Option<u64>,
    change: impl FnOnce(&mut Options),
) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let devices: Vec<Fake> = (0..count).map(Fake::new).collect();
    let backends = devices
        .iter()
        .cloned()
        .map(|d| Box::new(d) as Box<dyn DeviceBackend>);
    let registry = Arc::new(Registry::new(backends.collect()));
    let fakes = FakeMounts::default();
    let swap = {
        let registry = registry.clone();
        Arc::new(move || registry.memory())
    };
    let mounts = Mounts::new(Box::new(fakes.clone()), memory_limit, swap).unwrap();
    let mounts = Arc::new(mounts);
    let mut options = Options {
        access: Access::new(None),
        exit_when_idle: false,
        force: false,
        warnings: vec!["a warning of the start".into()],
    };
    change(&mut options);
    let runtime = RuntimeDir::claim(dir.path()).unwrap();
    let (listener, name) = runtime.listen(None).unwrap();
    let kernel = Fake::new(0);
    let of_kernel = Arc::new(Registry::new(vec![Box::new(kernel.clone())]));
    let server = Server::new(listener, registry, of_kernel, mounts, options);
    let handle = server.handle();
    let thread = thread::spawn(move || {
        let outcome = server.run().unwrap();
        drop((name, runtime));
        outcome
    });
    Running {
        dir,
        devices,
        kernel,
        mounts: fakes,
        handle,
        thread,
    }
}

impl Running {
    fn client(&self) -> Client {
        Client::connect(self.dir.path()).unwrap()
    }

    fn raw(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join(SOCKET_NAME)).unwrap()
    }

    fn end(self) -> Outcome {
        self.handle.terminate("the test ends");
        self.thread.join().unwrap()
    }
}

fn done(client: &mut Client, request: Request) -> Vec<String> {
    match client.request(&request).unwrap() {
        Response::Done { warnings } => warnings,
        other => panic!("{request:?}: {other:?}"),
    }
}

fn refused(client: &mut Client, request: Request) -> Refusal {
    match client.request(&request) {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("{request:?}: {other:?}"),
    }
}

fn status(client: &mut Client) -> (DaemonStatus, Vec<DeviceStatus>) {
    match client.request(&Request::Status { device: None }).unwrap() {
        Response::Status { daemon, devices } => (daemon, devices),
        other => panic!("{other:?}"),
    }
}

fn set(device: u32, codec: &str) -> Request {
    let params = ParamsUpdate {
        codec: Some(codec.into()),
        ..Default::default()
    };
    Request::Set { device, params }
}

fn params(disksize: u64) -> ParamsUpdate {
    ParamsUpdate {
        disksize: Some(disksize),
        ..ParamsUpdate::default()
    }
}

fn configure(device: u32, disksize: u64, init: bool) -> Request {
    Request::Configure {
        device,
        params: params(disksize),
        init,
    }
}

fn init(device: u32) -> Request {
    Request::Configure {
        device,
        params: ParamsUpdate::default(),
        init: true,
    }
}

fn swap_on(device: Option<u32>) -> Request {
    Request::SwapOn {
        device,
        params: ParamsUpdate::default(),
        priority: None,
    }
}

fn lease() -> Request {
    Request::Lease {
        params: ParamsUpdate::default(),
        default_size: None,
        driver: Driver::User,
    }
}

#[test]
fn a_device_from_new_to_swapped_on_and_back() {
    let server = start(4);
    let mut client = server.client();
    let (daemon, devices) = status(&mut client);
    assert_eq!(daemon.pid, std::process::id());
    assert_eq!(daemon.num_devices, 4);
    assert_eq!(daemon.warnings, ["a warning of the start"]);
    assert_eq!(
        devices.iter().map(|d| d.number).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );

    assert_eq!(done(&mut client, configure(1, 4096, false)), [""; 0]);
    assert_eq!(done(&mut client, init(1)), ["a warning of init"]);
    done(&mut client, set(1, "zstd"));
    match client.request(&swap_on(Some(1))).unwrap() {
        Response::SwappedOn {
            device: 1,
            priority: 7,
            node,
            ..
        } => {
            assert_eq!(node, Path::new("/dev/ramzswap1"));
        }
        other => panic!("{other:?}"),
    }
    let (_, devices) = status(&mut client);
    assert_eq!(devices[1].state, State::Ready);
    assert_eq!(devices[1].disksize, 4096);
    assert_eq!(devices[1].codec, "zstd");
    assert!(devices[1].swap.is_some());
    done(&mut client, Request::SwapOff { device: Some(1) });
    assert_eq!(status(&mut client).1[1].state, State::New);
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn bad_requests_have_codes_and_remedies() {
    let server = start(4);
    let mut client = server.client();
    let cases = [
        (
            Request::Status { device: Some(7) },
            ErrorCode::Enodev,
            "ramzswap7; this daemon has 4",
        ),
        (
            init(4),
            ErrorCode::Enodev,
            "(ramzswap0 to ramzswap3): start it with a larger --num-devices",
        ),
        (
            Request::Reset { device: u32::MAX },
            ErrorCode::Enodev,
            "no such device",
        ),
        (swap_on(Some(9)), ErrorCode::Enodev, "no such device"),
        (
            Request::SwapOff { device: Some(9) },
            ErrorCode::Enodev,
            "no such device",
        ),
        (configure(0, 0, true), ErrorCode::Einval, "disksize 0"),
        (set(0, "gzip"), ErrorCode::Einval, "gzip"),
        (
            Request::SwapOff { device: Some(0) },
            ErrorCode::Einval,
            "not swapped on",
        ),
        (
            Request::SwapOn {
                device: None,
                params: params(1),
                priority: Some(-1),
            },
            ErrorCode::Einval,
            "0 to 32767",
        ),
        (
            Request::SwapOn {
                device: None,
                params: params(1),
                priority: Some(32768),
            },
            ErrorCode::Einval,
            "32768",
        ),
    ];
    for (request, code, words) in cases {
        let refusal = refused(&mut client, request.clone());
        assert_eq!(refusal.code, code, "{request:?}");
        assert!(refusal.message.contains(words), "{request:?}: {refusal}");
    }
    assert!(
        status(&mut client)
            .1
            .iter()
            .all(|d| d.state == State::New && d.params.is_empty())
    );

    done(&mut client, init(0));
    for request in [init(0), configure(0, 4096, false), configure(0, 4096, true)] {
        assert_eq!(refused(&mut client, request).code, ErrorCode::Ebusy);
    }
    client.request(&swap_on(Some(0))).unwrap();
    for request in [
        Request::Reset { device: 0 },
        swap_on(Some(0)),
        configure(0, 1, true),
    ] {
        assert_eq!(refused(&mut client, request).code, ErrorCode::Ebusy);
    }
    assert_eq!(
        server.devices[0].model().swap,
        Some(7),
        "nothing was changed"
    );
}

#[test]
fn a_configuration_that_fails_changes_nothing() {
    let server = start(1);
    let mut client = server.client();
    done(&mut client, configure(0, 8192, false));
    server.devices[0].set(|m| m.fail_init = true);
    assert_eq!(
        refused(&mut client, configure(0, 4096, true)).code,
        ErrorCode::Enospc
    );
    let model = server.devices[0].model();
    assert!(!model.ready);
    assert_eq!(model.params, params(8192));

    server.devices[0].set(|m| (m.fail_init, m.fail_swap_on) = (false, true));
    let request = Request::SwapOn {
        device: None,
        params: params(4096),
        priority: None,
    };
    assert_eq!(refused(&mut client, request).code, ErrorCode::Eperm);
    let model = server.devices[0].model();
    assert!(!model.ready);
    assert_eq!(model.params, params(8192));

    // A device that was ready before stays so.
    done(&mut client, init(0));
    refused(&mut client, swap_on(Some(0)));
    assert!(server.devices[0].model().ready);
}

#[test]
fn swap_on_without_a_number_takes_the_first_untouched_device() {
    let server = start(3);
    let mut client = server.client();
    done(&mut client, configure(0, 8192, false));
    let mut taken = Vec::new();
    for _ in 0..3 {
        match client.request(&swap_on(None)).unwrap() {
            Response::SwappedOn { device, .. } => taken.push(device),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, [1, 2, 0]);
    let refusal = refused(&mut client, swap_on(None));
    assert_eq!(refusal.code, ErrorCode::Enospc);
    assert!(refusal.message.contains("--num-devices"), "{refusal}");
    assert_eq!(
        done(&mut client, Request::SwapOff { device: None }),
        [""; 0]
    );
    assert!(server.devices.iter().all(|d| !d.model().ready));
    assert_eq!(
        done(&mut client, Request::SwapOff { device: None }),
        ["no device was swapped on"]
    );
}

#[test]
fn a_long_swap_off_holds_up_nobody_else() {
    let server = start(2);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    server.devices[0].set(|m| m.hold_swap_off = true);
    let mut other = server.client();
    let slow = thread::spawn(move || done(&mut other, Request::SwapOff { device: Some(0) }));
    server.devices[0].wait_for(|m| m.waiting == 1);

    assert!(status(&mut client).1[0].swap.is_some());
    client.request(&swap_on(Some(1))).unwrap();
    done(&mut client, Request::SwapOff { device: Some(1) });
    // The same device is changed in turn: a reset waits, and finds it reset already.
    let mut third = server.client();
    let waiting = thread::spawn(move || done(&mut third, Request::Reset { device: 0 }));

    server.devices[0].set(|m| m.hold_swap_off = false);
    slow.join().unwrap();
    waiting.join().unwrap();
    assert!(!server.devices[0].model().ready);
}

#[test]
fn leases_share_a_device_until_the_last_ends() {
    let server = start(2);
    let (mut first, mut second, mut watcher) = (server.client(), server.client(), server.client());
    let device = |response| match response {
        Response::SwappedOn {
            device, warnings, ..
        } => (device, warnings),
        other => panic!("{other:?}"),
    };
    let request = Request::Lease {
        params: params(4096),
        default_size: None,
        driver: Driver::User,
    };
    assert_eq!(
        device(first.request(&request).unwrap()),
        (0, vec!["a warning of init".into()])
    );
    let (number, warnings) = device(second.request(&request).unwrap());
    assert_eq!(number, 0);
    assert!(warnings[0].contains("not used"), "{warnings:?}");
    assert_eq!(status(&mut watcher).0.leases, 2);
    assert_eq!(refused(&mut first, lease()).code, ErrorCode::Ebusy);

    let refusal = refused(&mut watcher, Request::SwapOff { device: Some(0) });
    assert_eq!(refusal.code, ErrorCode::Ebusy);
    assert!(refusal.message.contains("leased by 2"), "{refusal}");
    let warnings = done(&mut watcher, Request::SwapOff { device: None });
    assert!(warnings[0].contains("leased by 2"), "{warnings:?}");

    // One ends by a request, the other because its connection does.
    done(&mut first, Request::Release);
    done(&mut first, Request::Release);
    assert_eq!(status(&mut watcher).0.leases, 1);
    assert!(server.devices[0].model().swap.is_some());
    drop(second);
    server.devices[0].wait_for(|m| m.swap.is_none() && !m.ready);
    assert_eq!(server.end(), Outcome::Clean);
}

/// `compcache run` has a size of its own if the user names none: that is no parameter which is not used.
#[test]
fn the_size_that_nobody_chose_is_for_a_new_device_only() {
    let server = start(2);
    let (mut first, mut second) = (server.client(), server.client());
    let warnings = |client: &mut Client, size| {
        let request = Request::Lease {
            params: ParamsUpdate::default(),
            default_size: Some(size),
            driver: Driver::User,
        };
        match client.request(&request).unwrap() {
            Response::SwappedOn { warnings, .. } => warnings,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(warnings(&mut first, 4096), ["a warning of init"]);
    let size = status(&mut first).1[0].params.disksize;
    assert_eq!(size, Some(4096));
    assert_eq!(warnings(&mut second, 8192), [""; 0]);
}

#[test]
fn a_lease_whose_swap_off_fails_leaves_the_device_to_the_next() {
    let server = start(2);
    let (mut first, mut second) = (server.client(), server.client());
    first.request(&lease()).unwrap();
    server.devices[0].set(|m| m.fail_swap_off = true);
    assert_eq!(
        refused(&mut first, Request::Release).code,
        ErrorCode::Enomem
    );
    assert!(server.devices[0].model().swap.is_some());
    match second.request(&lease()).unwrap() {
        Response::SwappedOn { device: 0, .. } => {}
        other => panic!("{other:?}"),
    }
    server.devices[0].set(|m| m.fail_swap_off = false);
    done(&mut second, Request::Release);
    assert!(!server.devices[0].model().ready);
}

fn kernel_lease() -> Request {
    Request::Lease {
        params: ParamsUpdate::default(),
        default_size: None,
        driver: Driver::Kernel,
    }
}

#[test]
fn a_lease_of_a_kernel_device_ends_with_its_connection() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    let (mut holder, mut watcher) = (server.client(), server.client());
    holder.request(&kernel_lease()).unwrap();
    assert!(server.kernel.model().swap.is_some());
    assert!(!server.devices[0].model().ready, "that is another device");
    let (daemon, devices) = status(&mut watcher);
    assert_eq!(daemon.leases, 1);
    let lease = daemon.kernel_lease.unwrap();
    assert_eq!((lease.device, lease.holders), (0, 1));
    assert_eq!(devices.len(), 1, "kernel devices are not the daemon's");
    // Its pages do not fit back at first: the daemon stays for it, and tries again.
    server.kernel.set(|m| m.fail_swap_off = true);
    drop(holder);
    while status(&mut watcher).0.leases > 0 {
        thread::yield_now();
    }
    drop(watcher);
    server.kernel.set(|m| m.fail_swap_off = false);
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
    let kernel = server.kernel.model();
    assert!(kernel.swap.is_none() && !kernel.ready);
}

#[test]
fn the_end_of_the_daemon_ends_leases_of_kernel_devices() {
    let server = start(1);
    let mut holder = server.client();
    holder.request(&kernel_lease()).unwrap();
    server.kernel.set(|m| m.fail_swap_off = true);
    let refusal = refused(&mut holder, Request::Shutdown { force: false });
    assert_eq!(refusal.code, ErrorCode::Enomem);
    server.kernel.set(|m| m.fail_swap_off = false);
    let kernel = server.kernel.clone();
    assert_eq!(server.end(), Outcome::Clean);
    assert!(!kernel.model().ready);
}

#[test]
fn numbers_of_the_kernel_driver_are_passed_over() {
    let server = start(3);
    let mut client = server.client();
    server.devices[0].set(|m| m.taken = true);
    let numbers: Vec<_> = status(&mut client).1.iter().map(|d| d.number).collect();
    assert_eq!(numbers, [1, 2]);
    match client.request(&swap_on(None)).unwrap() {
        Response::SwappedOn { device: 1, .. } => {}
        other => panic!("{other:?}"),
    }
    for request in [
        swap_on(Some(0)),
        set(0, "lz4"),
        Request::Reset { device: 0 },
        Request::Status { device: Some(0) },
    ] {
        let refusal = refused(&mut client, request);
        assert_eq!(refusal.code, ErrorCode::Ebusy);
        assert!(refusal.message.contains("the kernel driver"), "{refusal}");
    }
    done(&mut client, Request::SwapOff { device: Some(1) });
    done(&mut client, Request::Reset { device: 1 });
    // If none is left, the refusal says why.
    for device in &server.devices {
        device.set(|m| m.taken = true);
    }
    let refusal = refused(&mut client, swap_on(None));
    assert!(refusal.message.contains("the kernel driver"), "{refusal}");
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn shutdown_swaps_off_and_answers_first() {
    let server = start(2);
    let mut client = server.client();
    client.request(&swap_on(Some(1))).unwrap();
    done(&mut client, Request::Shutdown { force: false });
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
    assert!(server.devices.iter().all(|d| !d.model().ready));
    assert!(!server.dir.path().join(SOCKET_NAME).exists());
}

#[test]
fn a_daemon_whose_pages_do_not_fit_back_stays() {
    let server = start(2);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    server.devices[0].set(|m| m.fail_swap_off = true);
    let refusal = refused(&mut client, Request::Shutdown { force: false });
    assert_eq!(refusal.code, ErrorCode::Enomem);
    // Signals, first and second, do no more without --force; it still serves.
    for _ in 0..2 {
        server.handle.terminate("a signal");
        server.devices[0].wait_for(|m| m.waiting == 0);
    }
    client.request(&swap_on(Some(1))).unwrap();
    let warnings = done(&mut client, Request::Shutdown { force: true });
    assert!(warnings[0].contains("pages were lost"), "{warnings:?}");
    assert_eq!(server.thread.join().unwrap(), Outcome::Lost);
}

#[test]
fn only_with_force_a_second_signal_loses_pages() {
    let server = start_with(1, |options| options.force = true);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    server.devices[0].set(|m| m.fail_swap_off = true);
    server.handle.terminate("the first signal");
    // Answered after the first signal was dealt with.
    assert_eq!(
        refused(&mut client, Request::Shutdown { force: false }).code,
        ErrorCode::Enomem
    );
    assert_eq!(server.end(), Outcome::Lost);
}

#[test]
fn a_second_signal_is_fine_once_pages_fit_back() {
    let server = start_with(1, |options| options.force = true);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    server.devices[0].set(|m| m.fail_swap_off = true);
    server.handle.terminate("the first signal");
    refused(&mut client, Request::Shutdown { force: false });
    server.devices[0].set(|m| m.fail_swap_off = false);
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn an_end_that_was_put_off_comes_once_pages_fit_back() {
    for swaps_change in [false, true] {
        let server = start(2);
        let mut client = server.client();
        client.request(&swap_on(Some(0))).unwrap();
        server.devices[0].set(|m| m.fail_swap_off = true);
        server.handle.terminate("a signal");
        // Answered after the signal was dealt with.
        refused(&mut client, Request::Shutdown { force: false });
        server.devices[0].set(|m| m.fail_swap_off = false);
        if swaps_change {
            server.handle.swaps_changed(false);
        }
        assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
        assert!(!server.devices[0].model().ready);
    }
}

#[test]
fn a_device_that_others_swap_off_is_given_back() {
    let server = start(3);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    client.request(&swap_on(Some(1))).unwrap();
    client.request(&init(2)).unwrap();
    // One by swapoff(8); the last one was swapped on and off by others alone.
    server.devices[0].set(|m| m.swap = None);
    server.handle.swaps_changed(false);
    let ready = |n: usize| server.devices[n].model().ready;
    assert_eq!([0, 1, 2].map(ready), [false, true, true]);
    client.request(&swap_on(None)).unwrap();
    assert!(
        server.devices[0].model().swap.is_some(),
        "its number is free"
    );
    // What was reset is another's: only who swaps it on here lets it be reset.
    server.devices[1].set(|m| m.swap = None);
    done(&mut client, Request::Reset { device: 1 });
    client.request(&init(1)).unwrap();
    server.handle.swaps_changed(false);
    assert!(ready(1));
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn a_device_that_others_still_hold_is_given_back_later() {
    for leased in [false, true] {
        let server = start(1);
        let mut client = server.client();
        let request = if leased { lease() } else { swap_on(Some(0)) };
        client.request(&request).unwrap();
        server.devices[0].set(|m| (m.swap, m.fail_reset) = (None, true));
        assert!(server.handle.swaps_changed(false), "there is more to do");
        assert!(server.handle.swaps_changed(true));
        assert!(server.devices[0].model().ready);
        server.devices[0].set(|m| m.fail_reset = false);
        assert!(!server.handle.swaps_changed(true));
        assert!(!server.devices[0].model().ready);
        assert_eq!(server.end(), Outcome::Clean);
    }
}

/// Whoever looks whether devices were given back has their locks for a moment.
#[test]
fn a_device_that_is_only_looked_at_is_free() {
    let server = start(1);
    let mut client = server.client();
    let handle = server.handle.clone();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                handle.swaps_changed(false);
            }
        });
        let end = SetAtEnd(&over);
        for _ in 0..300 {
            client.request(&lease()).unwrap();
            done(&mut client, Request::Release);
        }
        drop(end);
        looking.join().unwrap();
    });
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn a_leased_device_that_others_swap_off_is_nobodys_any_more() {
    let server = start(1);
    let (mut holder, mut client) = (server.client(), server.client());
    holder.request(&lease()).unwrap();
    server.devices[0].set(|m| m.swap = None);
    server.handle.swaps_changed(false);
    assert!(!server.devices[0].model().ready);
    assert_eq!(status(&mut client).0.leases, 1, "it goes on without");
    client.request(&swap_on(None)).unwrap();
    done(&mut holder, Request::Release);
    assert!(server.devices[0].model().swap.is_some(), "another's now");
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn an_idle_daemon_exits_after_others_have_swapped_off() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    // It waits for its first client, whatever others do with swap.
    server.handle.swaps_changed(false);
    let mut client = server.client();
    client.request(&swap_on(None)).unwrap();
    drop(client);
    server.devices[0].set(|m| m.swap = None);
    server.handle.swaps_changed(false);
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn nothing_is_changed_while_shutting_down() {
    let server = start(2);
    let mut client = server.client();
    client.request(&swap_on(Some(0))).unwrap();
    server.devices[0].set(|m| m.hold_swap_off = true);
    server.handle.terminate("a signal");
    server.devices[0].wait_for(|m| m.waiting == 1);
    for request in [swap_on(None), swap_on(Some(1)), init(1), lease()] {
        assert_eq!(refused(&mut client, request).code, ErrorCode::Eshutdown);
    }
    assert!(status(&mut client).1[0].swap.is_some());
    server.devices[0].set(|m| m.hold_swap_off = false);
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn an_idle_daemon_exits_when_the_last_client_goes() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    let (mut first, second) = (server.client(), server.client());
    first.request(&swap_on(None)).unwrap();
    drop(second);
    drop(first);
    // A device is in use: it stays, whoever comes and goes.
    let mut client = server.client();
    status(&mut client);
    done(&mut client, Request::SwapOff { device: None });
    status(&mut client);
    drop(client);
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
}

#[test]
fn an_idle_daemon_exits_after_a_lease() {
    let server = start_with(1, |options| options.exit_when_idle = true);
    let mut client = server.client();
    client.request(&lease()).unwrap();
    drop(client);
    assert_eq!(server.thread.join().unwrap(), Outcome::Clean);
    assert!(!server.devices[0].model().ready);
}

#[test]
fn what_is_not_the_protocol_is_refused_and_harms_nobody() {
    let server = start(1);
    let mut other_version = protocol::encode(&Request::Status { device: None }).unwrap();
    other_version[4] = 9;
    let mut too_long = other_version.clone();
    too_long[4] = 1;
    too_long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let response = protocol::encode(&Response::Done { warnings: vec![] }).unwrap();
    let mut not_json = protocol::encode(&Request::Reset { device: 0 }).unwrap();
    not_json[13] = b'!';
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        other_version,
        too_long,
        response,
        not_json,
    ] {
        let mut stream = server.raw();
        stream.write_all(&bytes).unwrap();
        match protocol::read::<Response>(&mut stream).unwrap() {
            Some(Response::Error(Refusal {
                code: ErrorCode::Eproto,
                ..
            })) => {}
            other => panic!("{bytes:02x?}: {other:?}"),
        }
        // What was sent and not read makes the close a reset; either is an end.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // Ends in the middle of a message.
    server.raw().write_all(b"RZSC\x01\x00").unwrap();
    status(&mut server.client());
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn too_many_connections_are_turned_away() {
    let server = start(1);
    let mut clients: Vec<Client> = (0..MAX_CONNECTIONS).map(|_| server.client()).collect();
    status(clients.last_mut().unwrap());
    let refusal = refused(&mut server.client(), Request::Status { device: None });
    assert_eq!(refusal.code, ErrorCode::Ebusy);
    assert!(refusal.message.contains("256"), "{refusal}");
    status(&mut clients[0]);
}

/// A connection that is another user's, for the server; for the socket's mode it is still root's.
fn connect_as(uid: u32, socket: &Path) -> UnixStream {
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let keep = u32::MAX;
            // SAFETY: the system calls take numbers only, and change this thread's users alone.
            unsafe {
                assert_eq!(libc::syscall(libc::SYS_setresuid, keep, uid, keep), 0);
                libc::setfsuid(0);
            }
            UnixStream::connect(socket).unwrap()
        });
        connecting.join().unwrap()
    })
}

/// What a server says to a status request on a bare connection.
fn status_on(stream: &mut UnixStream) -> Response {
    // A refusal may be there, and the connection closed, before anything was requested.
    let _ = protocol::write(stream, &Request::Status { device: None });
    protocol::read(stream).unwrap().unwrap()
}

#[test]
fn no_user_keeps_root_out() {
    if !compcache_test_support::needs::root() {
        return;
    }
    let server = start_with(1, |options| options.access = Access::new(Some(0)));
    let socket = server.dir.path().join(SOCKET_NAME);
    let connect = |_| connect_as(65534, &socket);
    let mut users: Vec<_> = (0..MAX_OF_USER).map(connect).collect();
    let last = users.last_mut().unwrap();
    assert!(matches!(status_on(last), Response::Status { .. }));
    match status_on(&mut connect_as(65534, &socket)) {
        Response::Error(Refusal {
            code: ErrorCode::Ebusy,
            message,
        }) => assert!(message.contains("uid 65534"), "{message}"),
        other => panic!("{other:?}"),
    }
    let other = &mut connect_as(65533, &socket);
    assert!(matches!(status_on(other), Response::Status { .. }));
    status(&mut server.client());
    drop(users);
    assert_eq!(server.end(), Outcome::Clean);
}

#[test]
fn without_a_daemon_the_error_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(dir.path()).unwrap_err().to_string();
    let socket = dir.path().join(SOCKET_NAME);
    assert_eq!(
        error,
        format!(
            "no daemon is running at {}: start it with `compcached --num-devices 1` or \
             `systemctl start compcached`",
            socket.display()
        )
    );
    // A socket that a crashed daemon left is no daemon either.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(
        Client::connect_now(dir.path()),
        Err(ClientError::NoDaemon(_))
    ));
}

#[test]
fn a_client_waits_for_a_daemon_that_is_coming_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let client = thread::spawn(move || Client::connect(&path));
    let runtime = RuntimeDir::claim(dir.path()).unwrap();
    let (_listener, _name) = runtime.listen(None).unwrap();
    client.join().unwrap().unwrap();
}
