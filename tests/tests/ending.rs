//! Nothing ends while it holds somebody's pages, and what ends takes everything with it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use compcache_device::ParamsUpdate;
use compcache_tests::content::Kind;
use compcache_tests::{
    Bed, Cgroup, DEADLINE, Hog, MIB, Outcome, PAGE, Running, SmallFilesystem, Unit, loops_under,
    mounts_under, needs, stats, until, wait_until,
};
use compcached::protocol::{ErrorCode, Request};
use compcached::{Client, ClientError};

const SIZE: u64 = 96 * MIB;
const LIMIT: u64 = 32 * MIB;

fn swap_on(bed: &Bed) {
    bed.swap_on(
        0,
        ParamsUpdate {
            disksize: Some(2 * SIZE),
            ..Default::default()
        },
    );
}

/// A signal brings every page back into memory before the daemon exits.
#[test]
fn signals_while_swapped_on() {
    let Some(mut bed) = Bed::new() else { return };
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        bed.start(&["--disksize_kb", &(2 * SIZE / 1024).to_string()]);
        bed.swap_on(0, ParamsUpdate::default());
        let group = Cgroup::new(LIMIT);
        let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 21);
        hog.fill();
        group.set_limit(4 * SIZE);
        let daemon = bed.take_daemon();
        daemon.signal(signal);
        let out = daemon.finish();
        assert_eq!(out.code(), 0, "{out}");
        hog.verify();
        drop(hog);
        drop(group);
        bed.assert_nothing_left();
    }
}

/// Reset and changes are refused while the device is swapped on, and its pages stay.
#[test]
fn reset_while_swapped_on() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 22);
    hog.fill();
    let refusals = [
        Request::Reset { device: 0 },
        Request::Configure {
            device: 0,
            params: ParamsUpdate {
                disksize: Some(SIZE),
                ..Default::default()
            },
            init: false,
        },
        Request::Configure {
            device: 0,
            params: ParamsUpdate::default(),
            init: true,
        },
    ];
    for request in refusals {
        match bed.client().request(&request) {
            Err(ClientError::Refused(refusal)) => {
                assert_eq!(refusal.code, ErrorCode::Ebusy, "{request:?}: {refusal}");
            }
            other => panic!("{request:?}: {other:?}"),
        }
    }
    hog.change();
    hog.verify();
}

/// Reset again and again while other programs read and write the block device with direct I/O:
/// either it is refused, or their requests fail; the daemon serves on and nothing leaks.
#[test]
fn reset_while_requests_are_in_flight() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let descriptors = |bed: &mut Bed| {
        let path = format!("/proc/{}/fd", bed.daemon().pid());
        fs::read_dir(path)
            .expect("the daemon's descriptors")
            .count()
    };
    // Once it answers it has opened all that it keeps.
    let (_, devices) = bed.status();
    assert_eq!(devices.len(), 1);
    let before = descriptors(&mut bed);
    let node = bed.node(0);
    let path = node.to_str().expect("UTF-8").to_owned();
    for _ in 0..10 {
        bed.init_sized(64 * MIB);
        let dd = |arguments: &[String]| {
            Running::start(Command::new("dd").args(arguments).args([
                "bs=64k",
                "count=1024",
                "status=none",
            ]))
        };
        let mut users: Vec<_> = (0..4)
            .map(|n| match n % 2 {
                0 => dd(&[
                    "if=/dev/urandom".into(),
                    format!("of={path}"),
                    "oflag=direct".into(),
                    "conv=notrunc,nocreat".into(),
                ]),
                _ => dd(&[
                    format!("if={path}"),
                    "of=/dev/null".into(),
                    "iflag=direct".into(),
                ]),
            })
            .collect();
        wait_until("requests in flight", || {
            let stats = stats(&bed, 0);
            stats.writes > 64 && stats.reads > 64 || users.iter_mut().all(Running::has_ended)
        });
        // Until it is granted, which at the latest is when its users have ended.
        until("the reset", || {
            match bed.client().request(&Request::Reset { device: 0 }) {
                Ok(_) => Some(()),
                Err(ClientError::Refused(refusal)) => {
                    assert_eq!(refusal.code, ErrorCode::Ebusy, "{refusal}");
                    None
                }
                Err(error) => panic!("{error}"),
            }
        });
        for user in users {
            user.finish();
        }
        assert!(loops_under(bed.directory()).is_empty());
        assert!(!node.exists());
    }
    wait_until("every descriptor to be closed", || {
        descriptors(&mut bed) <= before
    });
    bed.init_sized(64 * MIB);
    assert_eq!(stats(&bed, 0).pages_stored, 1, "the swap header alone");
}

/// A daemon that was killed leaves its device behind; the next one takes that down and serves.
#[test]
fn daemon_killed_with_pages_on_its_device() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 23);
    hog.fill();
    let daemon = bed.take_daemon();
    daemon.signal(libc::SIGKILL);
    assert_eq!(daemon.finish().code(), 128 + 9);
    assert!(Client::connect_now(&bed.runtime_dir()).is_err());
    // The pages are lost, so their owner can't go on: it must not get wrong ones.
    let answer = hog.command("verify");
    assert!(answer.starts_with("ended: "), "{answer}");
    drop(hog);
    drop(group);
    for command in [["status", "--json"], ["swap", "off"]] {
        let Outcome { status, stderr, .. } = bed.compcache(&command);
        assert!(!status.success(), "{command:?}: {stderr}");
        assert!(
            stderr.contains("but its daemon has crashed"),
            "{command:?}: {stderr}"
        );
    }

    bed.start(&["--num-devices", "1"]);
    assert!(bed.device(0).block_device.is_none());
    swap_on(&bed);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 24);
    hog.fill();
    hog.verify();
    drop(hog);
    drop(group);
    bed.stop();
    bed.assert_nothing_left();
}

/// The file below the block device takes requests of any size: what is not whole pages is refused
/// and counted.
#[test]
fn unaligned_requests_are_refused_and_counted() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.init_sized(16 * MIB);
    let loops = loops_under(bed.directory());
    let file = fs::read_link(bed.node(0)).expect("the node is a link");
    assert_eq!(loops, [file]);
    let backing = bed.runtime_dir().join("ramzswap0");
    let Ok(file) = OpenOptions::new().read(true).write(true).open(&backing) else {
        panic!("{} can't be opened", backing.display());
    };
    let mut data = vec![1; 8192];
    for (offset, length) in [(0, 512), (512, 4096), (4096, 4097), (1, 1)] {
        let read = file.read_at(&mut data[..length], offset);
        assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let write = file.write_at(&data[..length], offset);
        assert_eq!(write.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    assert_eq!(bed.device(0).stats.invalid_io, 8);
    file.write_all_at(&data, PAGE).expect("whole pages");
    assert_eq!(bed.device(0).stats.invalid_io, 8);
}

/// The block device itself has sectors of a page, so that nothing smaller gets that far.
#[test]
fn block_device_has_sectors_of_a_page() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.init_sized(16 * MIB);
    let sector = Outcome::of(Command::new("blockdev").arg("--getss").arg(bed.node(0))).success();
    assert_eq!(sector.trim(), "4096");
    let size = Outcome::of(Command::new("blockdev").arg("--getsize64").arg(bed.node(0))).success();
    assert_eq!(size.trim(), (16 * MIB).to_string());
    let mut page = vec![1; PAGE as usize];
    let node = fs::File::open(bed.node(0)).expect("the node");
    node.read_exact_at(&mut page, 8 * MIB).expect("a page");
    assert!(page.iter().all(|byte| *byte == 0), "never written");
}

/// A hog with pages on a device of the daemon, in a cgroup in which they do not fit back. `None`
/// if there is other swap, to which they could go.
fn hog_that_does_not_fit(bed: &Bed, seed: u64) -> Option<(Cgroup, Hog)> {
    let others = compcache_device::swap::active().unwrap();
    if !needs::need(others.is_empty(), "needs a machine without other swap") {
        return None;
    }
    swap_on(bed);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, seed);
    hog.fill();
    Some((group, hog))
}

fn wait_for_log(bed: &mut Bed, words: &str) {
    wait_until(words, || bed.daemon().stderr().contains(words));
}

/// Pages that do not fit back keep the daemon: it says why, and serves on, and no program is killed
/// to make room. Once they fit, the next signal ends it.
#[test]
fn daemon_stays_while_pages_do_not_fit() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let Some((group, mut hog)) = hog_that_does_not_fit(&bed, 25) else {
        return;
    };
    bed.daemon().signal(libc::SIGTERM);
    wait_for_log(&mut bed, "its pages do not fit back into memory");
    wait_for_log(&mut bed, "staying");
    assert!(!bed.daemon().has_ended());
    assert!(bed.device(0).swap.is_some());
    hog.change_at_random();
    hog.verify();
    bed.compcache(&["swap", "off"])
        .refused(&["do not fit back", "stop programs or add other swap"]);
    bed.daemon().signal(libc::SIGTERM);
    wait_until("the second refusal", || {
        let log = bed.daemon().stderr();
        log.matches("staying").count() == 2
    });
    hog.verify();

    group.set_limit(4 * SIZE);
    bed.stop();
    hog.verify();
    drop(hog);
    drop(group);
    bed.assert_nothing_left();
}

/// Any user to whom a cgroup was delegated may nest groups in it. The look at them before a swap-off
/// is not for them to break: it finds a limit at the very bottom, and the daemon lives on.
#[test]
fn groups_may_be_nested_deep() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let Some((group, mut hog)) = hog_that_does_not_fit(&bed, 27) else {
        return;
    };
    let users = Cgroup::new(LIMIT);
    let _nested = users.nest(1900);
    bed.compcache(&["swap", "off"])
        .refused(&["do not fit back"]);
    assert!(!bed.daemon().has_ended());
    hog.verify();
    group.set_limit(4 * SIZE);
    bed.compcache(&["swap", "off"]).success();
    assert!(bed.device(0).swap.is_none());
    hog.verify();
}

/// With `--force` a second signal ends the daemon although pages are lost; whose they are is
/// killed, and gets no wrong content.
#[test]
fn second_signal_with_force_loses_pages() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&["--num-devices", "1", "--force"]);
    let Some((group, mut hog)) = hog_that_does_not_fit(&bed, 26) else {
        return;
    };
    bed.daemon().signal(libc::SIGTERM);
    wait_for_log(&mut bed, "staying");
    hog.verify();
    let daemon = bed.take_daemon();
    daemon.signal(libc::SIGTERM);
    let out = daemon.finish();
    assert_eq!(out.code(), 1, "{out}");
    let answer = hog.command("verify");
    assert!(answer.starts_with("ended: "), "{answer}");
    drop(hog);
    drop(group);
    // The kernel may have kept the swap area; the next daemon takes it down.
    bed.start(&[]);
    bed.stop();
    bed.assert_nothing_left();
}

/// A mount on a full disk, with a dirty page that does not fit there.
fn full_mount(bed: &Bed) -> SmallFilesystem {
    let small = SmallFilesystem::new(&bed.directory().join("small"), 8 * MIB);
    let point = bed.directory().join("point");
    fs::create_dir(&point).expect("a mount point");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let paths = [text(small.place()), text(&point)];
    let mut command = bed.command("compcache");
    command.args(["mount", "--write-back", "--cache", "8M"]);
    command.args(["--dirty-after", "3600", "--give-up-after", "1"]);
    Outcome::of(command.args(paths)).success();
    let file = fs::File::create_new(point.join("file")).expect("a file");
    file.write_all_at(&[1; PAGE as usize], 0).expect("a page");
    small.fill();
    small
}

/// A mount that cannot be written out is given up, swapped pages never are: the daemon stays for them, tells
/// of the loss, and the manager of the service is asked for time until they fit.
#[test]
fn a_mount_is_given_up_but_swap_is_waited_for() {
    let Some(mut bed) = Bed::new() else { return };
    let socket = bed.directory().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut command = bed.command("compcached");
    command.args(["--num-devices", "1"]);
    bed.start_by(command.env("NOTIFY_SOCKET", &socket));
    let mut message = [0; 1024];
    let mut hear = || {
        let length = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    assert_eq!(hear().trim(), "READY=1");
    let Some((group, mut hog)) = hog_that_does_not_fit(&bed, 28) else {
        return;
    };
    let _small = full_mount(&bed);
    bed.daemon().signal(libc::SIGTERM);
    assert_eq!(hear().trim(), "EXTEND_TIMEOUT_USEC=60000000");
    wait_for_log(&mut bed, "point/file: 4096 bytes are lost: 0-4095");
    wait_for_log(&mut bed, "staying");
    assert!(!bed.daemon().has_ended());
    let points = mounts_under(&bed.directory().join("point"));
    assert!(points.is_empty(), "{points:?}");
    let (daemon, _) = bed.status();
    let lost = "4096 bytes of 1 file that SOURCE did not take are lost";
    let told = daemon.warnings.iter().any(|warning| warning.contains(lost));
    assert!(told, "{daemon:?}");
    hog.verify();

    // Once they fit it ends by itself.
    group.set_limit(4 * SIZE);
    let out = bed.take_daemon().finish();
    assert_eq!(out.code(), 1, "{out}");
    hog.verify();
    let last = until("the last message", || {
        Some(hear()).filter(|message| !message.starts_with("EXTEND"))
    });
    assert_eq!(last.trim(), "STOPPING=1");
}

/// What the unit relies on: nobody kills the daemon, and what it asks for counts, since its time is not
/// infinite.
#[test]
fn the_unit_waits_for_as_long_as_it_is_asked_to() {
    let unit = Unit::shipped("compcached.service");
    for (key, value) in [
        ("Type", "notify"),
        ("SendSIGKILL", "no"),
        ("TimeoutStopSec", "45s"),
    ] {
        assert_eq!(unit.values(key).collect::<Vec<_>>(), [value], "{key}");
    }
}
