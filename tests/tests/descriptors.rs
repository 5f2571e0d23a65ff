//! Descriptors of the daemon: whatever programs make it hold, it can be controlled, and swapped off.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use compcache_device::ParamsUpdate;
use compcache_test_support::as_user;
use compcache_tests::{Bed, MIB, binary, wait_until};
use compcached::protocol::{self, Request, Response};
use compcached::runtime_dir::SOCKET_NAME;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Users who are nobody here, each with a share of its own.
const USERS: std::ops::Range<u32> = 54_321..54_331;

#[test]
fn programs_cannot_use_up_the_descriptors() {
    let Some(mut bed) = Bed::new() else { return };
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4096 && exec \"$@\"", "sh"]);
    bed.set_environment(&mut command);
    bed.start_by(
        command
            .arg(binary("compcached"))
            .args(["--num-devices", "1"]),
    );
    let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
    for directory in [&source, &point] {
        std::fs::create_dir(directory).unwrap();
    }
    let paths = [&source, &point].map(|path| path.to_str().expect("UTF-8"));
    bed.compcache(&["mount", "--allow-other", paths[0], paths[1]])
        .success();
    let mut open = Vec::new();
    for uid in USERS {
        as_user(uid, uid, &[], || {
            while let Ok(directory) = File::open(&point) {
                open.push(directory);
            }
        });
    }
    assert!(open.len() > 1000, "{}", open.len());
    bed.compcache(&["status"]).success();
    bed.swap_on(
        0,
        ParamsUpdate {
            disksize: Some(64 * MIB),
            ..Default::default()
        },
    );
    assert!(bed.device(0).swap.is_some());
    bed.compcache(&["swap", "off"]).success();
    drop(open);
    bed.compcache(&["umount", paths[1]]).success();
    bed.stop();
    bed.assert_nothing_left();
}

fn set_most_descriptors(pid: u32, most: u64) -> Rlimit {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(most),
        ..limit
    };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the limit of the daemon")
}

/// With no descriptor free the control socket waits, and serves who has waited.
#[test]
fn clients_wait_for_a_descriptor() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let pid = bed.daemon().pid();
    let before = set_most_descriptors(pid, 0);
    let mut stream = UnixStream::connect(bed.runtime_dir().join(SOCKET_NAME)).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    protocol::write(&mut stream, &Request::Status { device: None }).unwrap();
    stream.flush().unwrap();
    wait_until("the daemon's complaint", || {
        bed.daemon()
            .stderr()
            .contains("the control socket has to wait")
    });
    let most = before.current.expect("a limit of descriptors");
    set_most_descriptors(pid, most);
    match protocol::read(&mut stream).unwrap() {
        Some(Response::Status { .. }) => {}
        other => panic!("{other:?}"),
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    bed.stop();
}
