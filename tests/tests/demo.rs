//! `compcache demo`: works, and leaves the machine as it was, however it ends.

use compcache_tests::{Bed, OnTerminal, Outcome, Running, binary, needs, until, wait_until};

fn demo(bed: &Bed) -> Running {
    let mut command = bed.command("compcache");
    command.args(["demo", "--size", "64M"]);
    Running::start(&mut command)
}

/// Asserts that a demo of 64 MiB has checked all of it, with pages swapped out.
#[track_caller]
fn assert_summary(out: Outcome) {
    let text = out.success();
    assert!(
        text.starts_with("Verified: each of 16384 pages held"),
        "{text}"
    );
    for word in ["ratio", "swapped out"] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert!(!text.contains("swapped out               0B"), "{text}");
}

#[test]
fn with_every_codec() {
    let Some(bed) = Bed::new() else { return };
    for codec in ["lzo", "wkdm", "lz4", "zstd"] {
        let out = bed.compcache(&["demo", "--size", "64M", "--limit", "24M", "--codec", codec]);
        assert!(bed.devices_left().is_empty());
        assert_summary(out);
        bed.assert_nothing_left();
    }
}

/// Waits until the demo's program runs in its cgroup and pages are on the device.
fn wait_for_swap(bed: &Bed, running: &mut Running) {
    until("pages on the device", || {
        assert!(!running.has_ended(), "{}", running.stderr());
        let mut client = compcached::Client::connect_now(&bed.runtime_dir()).ok()?;
        let request = compcached::protocol::Request::Status { device: None };
        match client.request(&request).ok()? {
            compcached::protocol::Response::Status { devices, .. } => devices
                .iter()
                .any(|device| device.stats.store.writes > 1000)
                .then_some(()),
            _ => None,
        }
    });
}

#[test]
fn interrupted_in_the_middle() {
    let Some(bed) = Bed::new() else { return };
    for (signal, name) in [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM")] {
        let mut running = demo(&bed);
        wait_for_swap(&bed, &mut running);
        running.signal(signal);
        let out = running.finish();
        assert_eq!(out.code(), 128 + signal, "{out}");
        out.refused(&[&format!("stopped by {name}")]);
        assert!(bed.devices_left().is_empty());
        bed.assert_nothing_left();
    }
}

/// Ctrl-C on a terminal reaches the demo and its program at once.
#[test]
fn ctrl_c_on_a_terminal() {
    if !needs::programs(&["script"]) {
        return;
    }
    let Some(bed) = Bed::new() else { return };
    let program = binary("compcache");
    let mut terminal = OnTerminal::start(&program, &["demo", "--size", "64M"], |command| {
        bed.set_environment(command);
    });
    wait_for_swap(&bed, &mut terminal.running);
    terminal.interrupt();
    let out = terminal.running.finish();
    assert_eq!(out.code(), 128 + libc::SIGINT, "{out}");
    bed.assert_nothing_left();
}

#[test]
fn interrupted_at_the_start() {
    let Some(bed) = Bed::new() else { return };
    let running = demo(&bed);
    until("the daemon", || {
        compcached::Client::connect_now(&bed.runtime_dir()).ok()
    });
    running.signal(libc::SIGINT);
    assert_ne!(running.finish().code(), 0);
    bed.assert_nothing_left();
}

/// Kills a demo while its program's pages are on the device.
fn kill_in_the_middle(bed: &Bed) {
    let mut running = demo(bed);
    wait_for_swap(bed, &mut running);
    running.signal(libc::SIGKILL);
    assert_eq!(running.finish().code(), 128 + 9);
}

/// The demo is killed with its program on the device: the daemon sees it, cleans up and ends. The
/// next run works.
#[test]
fn killed_in_the_middle() {
    let Some(bed) = Bed::new() else { return };
    kill_in_the_middle(&bed);
    assert_summary(bed.compcache(&["demo", "--size", "64M"]));
    bed.assert_nothing_left();
}

/// Nor is another run needed for that: the connection may end before the program's memory is free,
/// and then the daemon tries again.
#[test]
fn killed_in_the_middle_and_not_run_again() {
    let Some(bed) = Bed::new() else { return };
    kill_in_the_middle(&bed);
    wait_until("the end of the device", || bed.devices_left().is_empty());
    // The cgroup is what the next one has to remove.
    assert_summary(bed.compcache(&["demo", "--size", "64M"]));
    bed.assert_nothing_left();
}

/// The daemon itself is killed: the pages on the device are lost, and the demo says so. The next
/// run finds what is left and takes it down.
#[test]
fn daemon_killed_in_the_middle() {
    let Some(bed) = Bed::new() else { return };
    let mut running = demo(&bed);
    wait_for_swap(&bed, &mut running);
    let (daemon, _) = bed.status();
    let pid = rustix::process::Pid::from_raw(daemon.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let out = running.finish();
    assert_ne!(out.code(), 0, "{out}");
    assert_summary(bed.compcache(&["demo", "--size", "64M"]));
    bed.assert_nothing_left();
}

/// A demo beside a daemon that serves already uses that one, and leaves it alone.
#[test]
fn beside_a_daemon() {
    let Some(bed) = Bed::with_devices(2) else {
        return;
    };
    let before = bed.status().0.pid;
    assert_summary(bed.compcache(&["demo", "--size", "64M"]));
    let (daemon, devices) = bed.status();
    assert_eq!(daemon.pid, before);
    assert!(devices.iter().all(|device| device.block_device.is_none()));
}
