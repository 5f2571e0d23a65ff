//! A process that serves a device is killed; the next one cleans up.

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use common::{Fixture, buffer, fixture, open_direct, test_over_each_channel, wait_until};
use compcache_device::recover::{Removed, left_behind, recover};
use compcache_device::settings::Channel;
use compcache_device::swap;
use compcache_device::{Device, Env, ParamsUpdate, SwapDevice as _};
use compcache_test_support::{mount_dead, needs};

/// Not a test by itself: the process that crashes. The variable has its directory.
#[test]
fn serve_until_killed() {
    let Some(dir) = std::env::var_os("COMPCACHE_TEST_CRASH") else {
        return;
    };
    let dir = Path::new(&dir);
    let channel = std::env::var("COMPCACHE_TEST_CHANNEL").unwrap();
    let env = Env::new(dir.join("run"), dir.join("dev")).served_by(None, channel.parse().unwrap());
    let device = Device::new(0, env.into());
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

/// Held while the loop device of a process that crashed may be free: a test that took it would
/// give the link that was left a meaning.
static ALONE: Mutex<()> = Mutex::new(());

/// Starts a process that serves the device of `fixture`.
fn serve(fixture: &Fixture, channel: Channel, swap: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "serve_until_killed", "--nocapture"])
        .env("COMPCACHE_TEST_CRASH", fixture.dir.path())
        .env("COMPCACHE_TEST_CHANNEL", channel.name())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if swap {
        command.env("COMPCACHE_TEST_SWAP", "1");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().contains("READY"));
    if !ready {
        panic!("it ended: {}", child.wait().unwrap());
    }
    child
}

/// Recovers all that was left.
fn recovered(fixture: &Fixture) -> Vec<Removed> {
    let recovery = recover(&fixture.env, &|device| Ok(swap::off(device)?)).unwrap();
    assert!(recovery.kept.is_empty(), "{recovery:?}");
    recovery.removed
}

fn crash_and_recover(channel: Channel, swap: bool) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fixture = fixture(channel);
    let mut child = serve(&fixture, channel, swap);
    child.kill().unwrap();
    child.wait().unwrap();

    let lost = left_behind(&fixture.env.runtime_dir).unwrap();
    assert_eq!(lost.len(), usize::from(swap), "{lost:?}");
    if swap {
        // What is still swapped on stays, with what is below it.
        let refused = |_: &Path| Err(io::Error::from_raw_os_error(libc::ENOMEM).into());
        let recovery = recover(&fixture.env, &refused).unwrap();
        assert!(recovery.removed.is_empty(), "{recovery:?}");
        let [error] = recovery.kept.as_slice() else {
            panic!("{recovery:?}");
        };
        assert_eq!(error.errno(), libc::ENOMEM, "{error}");
        assert_eq!(left_behind(&fixture.env.runtime_dir).unwrap(), lost);
    }

    let removed = recovered(&fixture);
    fixture.assert_clean();
    assert_eq!(
        removed.iter().any(|r| matches!(r, Removed::Swap { .. })),
        swap,
        "{removed:?}"
    );
    assert!(
        removed.iter().any(|r| matches!(r, Removed::Mount(_))),
        "{removed:?}"
    );
    let left = recovered(&fixture);
    assert!(left.is_empty(), "there is nothing left to do: {left:?}");
    // And the place is free.
    fixture.init(1 << 20);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

test_over_each_channel! {
    a_crash_leaves_nothing_that_is_not_recovered,
    a_crash_while_swapped_on_is_recovered,
    a_crash_fails_the_requests_in_flight,
}

fn a_crash_fails_the_requests_in_flight(channel: Channel) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fixture = fixture(channel);
    let mut child = serve(&fixture, channel, false);
    // The link of the device that the child serves.
    let node = fixture.device.node();
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (disk, mut io) = (open_direct(&node), buffer());
                while disk.read_exact_at(&mut io.0, 0).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed.fetch_add(1, Ordering::Relaxed);
            });
        }
        wait_until("requests flow", || done.load(Ordering::Relaxed) > 100);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("requests fail", || failed.load(Ordering::Relaxed) == 4);
    });
    recovered(&fixture);
    fixture.assert_clean();
}

/// In a container, say: the kernel shows the same path for its file.
#[test]
fn a_loop_device_whose_file_only_has_the_path_of_ours_stays() {
    if !needs::root() || !needs::programs(&["losetup"]) || !needs::file("/dev/fuse") {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fixture = fixture(Channel::Fuse);
    std::fs::create_dir_all(&fixture.env.runtime_dir).unwrap();
    let file = fixture.env.runtime_dir.join("ramzswap0");
    File::create(&file).unwrap().set_len(1 << 20).unwrap();
    let losetup = |arguments: &[&OsStr]| {
        let output = Command::new("losetup").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let theirs = losetup(&["--find".as_ref(), "--show".as_ref(), file.as_os_str()]);
    let alone = recover(&fixture.env, &|device| panic!("{}", device.display()));
    // And with what a process of ours has left at this path.
    if !file.exists() {
        File::create(&file).unwrap();
    }
    mount_dead(&file, "fuse.ramzswap", 0o100600);
    let beside = recover(&fixture.env, &|device| panic!("{}", device.display()));
    let is_there = std::fs::metadata(Path::new("/sys/block").join(&theirs[5..]).join("loop"));
    is_there.unwrap();
    losetup(&["--detach".as_ref(), theirs.as_ref()]);
    for recovery in [alone, beside] {
        let removed = recovery.unwrap().removed;
        let is_loop = |removed: &Removed| matches!(removed, Removed::LoopDevice(_));
        assert!(!removed.iter().any(is_loop), "{removed:?}");
    }
}

fn a_crash_leaves_nothing_that_is_not_recovered(channel: Channel) {
    crash_and_recover(channel, false);
}

fn a_crash_while_swapped_on_is_recovered(channel: Channel) {
    crash_and_recover(channel, true);
}
