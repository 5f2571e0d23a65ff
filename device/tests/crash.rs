//! A process that serves a device is killed; the next one cleans up.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{can_attach, fixture};
use compcache_device::recover::recover;
use compcache_device::{Device, Env, ParamsUpdate};

/// Not a test by itself: the process that crashes. The variable has its directory.
#[test]
fn serve_until_killed() {
    let Some(dir) = std::env::var_os("COMPCACHE_TEST_CRASH") else {
        return;
    };
    let dir = Path::new(&dir);
    let device = Device::new(0, Env::new(dir.join("run"), dir.join("dev")).into());
    let update = ParamsUpdate {
        disksize: Some(1 << 20),
        ..Default::default()
    };
    device.configure(&update).unwrap();
    device.init().unwrap();
    if std::env::var_os("COMPCACHE_TEST_SWAP").is_some() {
        device.swap_on(Some(0)).unwrap();
    }
    eprintln!("READY");
    loop {
        std::thread::park();
    }
}

fn crash_and_recover(swap: bool) {
    let fixture = fixture();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "serve_until_killed", "--nocapture"])
        .env("COMPCACHE_TEST_CRASH", fixture.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if swap {
        command.env("COMPCACHE_TEST_SWAP", "1");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().contains("READY"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready);

    let done = recover(&fixture.env).unwrap();
    fixture.assert_clean();
    assert_eq!(
        done.iter().any(|line| line.contains("swapped off")),
        swap,
        "{done:?}"
    );
    assert!(
        done.iter().any(|line| line.contains("unmounted")),
        "{done:?}"
    );
    assert!(
        recover(&fixture.env).unwrap().is_empty(),
        "there is nothing left to do"
    );
    // And the place is free.
    fixture.init(1 << 20);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

#[test]
fn a_crash_leaves_nothing_that_is_not_recovered() {
    if can_attach("a_crash_leaves_nothing_that_is_not_recovered") {
        crash_and_recover(false);
    }
}

#[test]
fn a_crash_while_swapped_on_is_recovered() {
    if can_attach("a_crash_while_swapped_on_is_recovered") {
        crash_and_recover(true);
    }
}
