//! The daemon as a program, with real devices and real swap. Needs root; see `harness::root`.

mod harness;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use compcache_device::swap;
use compcache_test_needs as needs;
use compcached::args::ALREADY_RUNNING;
use compcached::client::{Client, ClientError};
use compcached::protocol::{ErrorCode, Request, Response};
use compcached::runtime_dir::SOCKET_NAME;
use compcached::types::{Driver, ParamsUpdate, State};
use harness::{NOBODY, PLAY, Place, done, root, status, wait_for_word};
use rustix::process::Signal;

const MIB: u64 = 1 << 20;

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

fn code(result: Result<Response, ClientError>) -> ErrorCode {
    match result {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// Memory that this process fills and then puts out to swap.
struct Pages {
    start: *mut std::ffi::c_void,
    length: usize,
}

impl Pages {
    /// Fills `pages` pages, each with its own compressible content, and swaps them out.
    fn swapped_out(pages: usize) -> Pages {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
        let length = pages * 4096;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address that the kernel chooses.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), length, prot, MapFlags::PRIVATE) };
        let pages = Pages {
            start: start.unwrap(),
            length,
        };
        for (i, word) in pages.words().iter_mut().enumerate() {
            *word = content(i);
        }
        // SAFETY: the range is the mapping; its content does not change by this.
        unsafe { madvise(pages.start, length, Advice::LinuxPageOut) }.unwrap();
        pages
    }

    #[expect(
        clippy::mut_from_ref,
        reason = "each test has one thread and one use at a time"
    )]
    fn words(&self) -> &mut [u64] {
        // SAFETY: the mapping holds `length` bytes, is page-aligned, lives as long as `self`,
        // and every bit pattern is a u64.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.length / 8) }
    }

    fn assert_intact(&self) {
        for (i, word) in self.words().iter().enumerate() {
            assert_eq!(*word, content(i), "word {i}");
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it any more.
        unsafe { rustix::mm::munmap(self.start, self.length) }.unwrap();
    }
}

/// Differs from page to page, and compresses.
fn content(word: usize) -> u64 {
    (word / 7) as u64
}

#[test]
fn the_historic_sequence() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let daemon = place.start(&["--num-devices", "4"]);
    let mut client = place.client();
    done(&mut client, &init(0, 64 * MIB));
    let ready = status(&mut client, 0);
    assert_eq!((ready.state, ready.disksize), (State::Ready, 64 * MIB));
    assert_eq!(fs::read_link(place.node(0)).ok(), ready.block_device);
    assert_eq!(code(client.request(&init(0, 64 * MIB))), ErrorCode::Ebusy);
    assert_eq!(code(client.request(&init(7, 64 * MIB))), ErrorCode::Enodev);

    // As swapon(8) does it: by another process's hands, through the node.
    let node = place.node(0);
    swap::on(&node, Some(swap::priority_above_all().unwrap()), true).unwrap();
    let pages = Pages::swapped_out(2048);
    let used = status(&mut client, 0);
    assert!(
        used.stats.store.writes > 0 && used.swap.is_some(),
        "{used:?}"
    );
    assert_eq!(
        code(client.request(&Request::Reset { device: 0 })),
        ErrorCode::Ebusy
    );
    pages.assert_intact();
    swap::off(&node).unwrap();

    done(&mut client, &Request::Reset { device: 0 });
    assert_eq!(status(&mut client, 0).state, State::New);
    drop(client);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    place.assert_clean();
}

#[test]
fn swap_off_brings_every_page_back() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let daemon = place.start(&[]);
    let mut client = place.client();
    let on = Request::SwapOn {
        device: None,
        params: size(64 * MIB),
        priority: None,
    };
    match client.request(&on).unwrap() {
        Response::SwappedOn {
            device: 0, node, ..
        } => assert_eq!(node, place.node(0)),
        other => panic!("{other:?}"),
    }
    let pages = Pages::swapped_out(4096);
    assert!(status(&mut client, 0).swap.unwrap().used_bytes > 0);
    done(&mut client, &Request::SwapOff { device: Some(0) });
    assert_eq!(status(&mut client, 0).state, State::New);
    pages.assert_intact();
    done(&mut client, &Request::Shutdown { force: false });
    assert!(daemon.wait().success());
    place.assert_clean();
}

#[test]
fn each_signal_swaps_off_before_the_exit() {
    let Some(_root) = root() else { return };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::new();
        let daemon = place.start(&["--disksize_kb", "65536"]);
        let mut client = place.client();
        let on = Request::SwapOn {
            device: Some(0),
            params: ParamsUpdate::default(),
            priority: None,
        };
        client.request(&on).unwrap();
        let pages = Pages::swapped_out(1024);
        daemon.signal(signal);
        assert!(daemon.wait().success());
        pages.assert_intact();
        place.assert_clean();
    }
}

#[test]
fn module_parameters_initialise_device_0() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let daemon = place.start(&[
        "--num-devices=2",
        "--disksize_kb=32768",
        "--codec=lzo",
        "-v",
    ]);
    let mut client = place.client();
    let first = status(&mut client, 0);
    assert_eq!((first.state, first.disksize), (State::Ready, 32 * MIB));
    assert_eq!(first.codec, "lzo");
    assert_eq!(status(&mut client, 1).state, State::New);
    drop(daemon);
    place.assert_clean();
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let dir = place.dev().display().to_string();
    for (args, words) in [
        (&["--disksize_kb", "0"][..], "disksize 0"),
        (&["--disksize_kb", "17179869185"], "2^44"),
        (&["--memlimit_kb", "63"], "memlimit of 64512 bytes"),
        (&["--backing_swap", "/nonexistent"], "/nonexistent"),
        (&["--backing_swap", &dir], "ramzswap0: backing swap"),
        (&["--codec", "gzip"], "gzip"),
    ] {
        let (status, message) = place.refused(args);
        assert_eq!(status, 1, "{args:?}: {message}");
        assert!(message.contains(words), "{args:?}: {message}");
        place.assert_clean();
    }
    // The second of two devices fails: the first goes too.
    let devices = "num_devices = 2\n[[device]]\nnumber = 0\ndisksize_kb = 32768\nswap_on = true\n\
                   [[device]]\nnumber = 1\nmemlimit_kb = 63";
    fs::write(place.config(), devices).unwrap();
    let (status, message) = place.refused(&[]);
    assert_eq!(status, 1, "{message}");
    assert!(message.contains("ramzswap1: memlimit"), "{message}");
    place.assert_clean();
}

#[test]
fn bad_options_and_configurations_are_refused() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    for args in [
        &["--num-devices", "0"][..],
        &["--num-devices", "65"],
        &["--disksize_kb", "-5"],
        &["--disksize_kb", "many"],
        &["--disksize_kb", "99999999999999999999999"],
        &["--no-such-option"],
        &["argument"],
    ] {
        let (status, message) = place.refused(args);
        assert_eq!(status, 2, "{args:?}: {message}");
    }
    fs::write(place.config(), "num_devices = 4\nnonsense = 1\n").unwrap();
    let (status, message) = place.refused(&[]);
    assert_eq!(status, 1);
    assert!(
        message.contains("compcache.toml, line 2") && message.contains("`nonsense`"),
        "{message}"
    );
    fs::write(place.config(), "group = \"no-such-group\"").unwrap();
    let (status, message) = place.refused(&[]);
    assert_eq!(status, 1);
    assert!(message.contains("no-such-group"), "{message}");
    fs::remove_file(place.config()).unwrap();
    let (status, message) = place.refused(&[]);
    assert_eq!(status, 1);
    assert!(
        message.contains("compcache.toml: cannot be read"),
        "{message}"
    );
    place.assert_clean();
}

#[test]
fn devices_of_the_configuration_come_up_swapped_on() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let text = "num_devices = 3\n[[device]]\nnumber = 1\ndisksize_kb = 32768\ncodec = \"wkdm\"\n\
                swap_on = true\npriority = 3";
    fs::write(place.config(), text).unwrap();
    let daemon = place.start(&[]);
    let device = status(&mut place.client(), 1);
    assert_eq!(device.swap.unwrap().priority, 3);
    assert_eq!(device.codec, "wkdm");
    drop(daemon);
    place.assert_clean();
}

#[test]
fn a_second_daemon_is_refused() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let daemon = place.start(&[]);
    let (status_code, message) = place.refused(&["--num-devices", "2"]);
    assert_eq!(status_code, i32::from(ALREADY_RUNNING));
    let pid = daemon.pid().as_raw_nonzero();
    assert!(
        message.contains(&format!("already running (pid {pid})")),
        "{message}"
    );
    // The first one is none the worse.
    assert_eq!(status(&mut place.client(), 0).state, State::New);
}

#[test]
fn a_crash_is_recovered_from() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    // Initialised but not swapped on: nobody loses pages.
    let daemon = place.start(&["--disksize_kb", "32768"]);
    daemon.signal(Signal::KILL);
    assert!(!daemon.wait().success());
    assert!(place.runtime().join(SOCKET_NAME).exists());
    assert!(matches!(
        Client::connect_now(&place.runtime()),
        Err(ClientError::NoDaemon(_))
    ));

    let daemon = place.start(&[]);
    let mut client = place.client();
    assert_eq!(status(&mut client, 0).state, State::New);
    assert!(
        fs::symlink_metadata(place.node(0)).is_err(),
        "the node was left"
    );
    done(&mut client, &init(0, 32 * MIB));
    drop((client, daemon));
    place.assert_clean();
}

/// Not a test of its own: what [`Place::play`] runs to be a client that holds a lease.
#[test]
fn plays_a_lease_holder() {
    let Some(runtime) = std::env::var_os(PLAY) else {
        return;
    };
    let mut client = Client::connect(Path::new(&runtime)).unwrap();
    client
        .request(&Request::Lease {
            params: size(32 * MIB),
            driver: Driver::User,
        })
        .unwrap();
    println!("leased");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Not a test of its own: what [`Place::play`] runs to be a client that asks for the status.
#[test]
fn plays_an_observer() {
    let Some(runtime) = std::env::var_os(PLAY) else {
        return;
    };
    let result = Client::connect(Path::new(&runtime))
        .and_then(|mut client| client.request(&Request::Status { device: None }));
    match result {
        Ok(_) => println!("answer: allowed"),
        Err(e) => println!("answer: {e}"),
    }
}

#[test]
fn a_killed_lease_holder_gives_its_device_back() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let daemon = place.spawn(&["--exit-when-idle"]);
    let mut holder = place.play("plays_a_lease_holder", 0);
    wait_for_word(&mut holder, "leased");
    let pages = Pages::swapped_out(1024);
    assert!(status(&mut place.client(), 0).swap.is_some());
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Swapped off and reset, it is idle, and exits by itself.
    assert!(daemon.wait().success());
    pages.assert_intact();
    place.assert_clean();
}

#[test]
fn only_root_and_the_group_may_speak() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let ask = |place: &Place| {
        let mut child = place.play("plays_an_observer", NOBODY);
        let answer = wait_for_word(&mut child, "answer: ");
        child.wait().unwrap();
        answer
    };
    let mode = |place: &Place| {
        let metadata = fs::metadata(place.runtime().join(SOCKET_NAME)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    let daemon = place.start(&[]);
    assert_eq!(mode(&place), (0o600, 0, 0));
    let answer = ask(&place);
    assert!(
        answer.contains("not allowed") && answer.contains("as root"),
        "{answer}"
    );
    drop(daemon);

    fs::write(place.config(), format!("group = \"{NOBODY}\"")).unwrap();
    let daemon = place.start(&[]);
    assert_eq!(mode(&place), (0o660, 0, NOBODY));
    assert!(ask(&place).contains("allowed"));
    drop(daemon);
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
    let Some(_root) = root() else { return };
    if !needs::programs(&["gcc", "unshare", "mount"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("directory.c"), DIRECTORY).unwrap();
    fs::write(path("nsswitch.conf"), "group: files directory\n").unwrap();
    let compiled = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .args([path("libnss_directory.so.2"), path("directory.c")])
        .status()
        .unwrap();
    assert!(compiled.success());

    let place = Place::new();
    fs::write(place.config(), "group = \"from-a-directory\"").unwrap();
    let daemon = place.command(&[]);
    // Nobody else sees the mount.
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc/nsswitch.conf && exec \"$@\"")
        .arg(path("nsswitch.conf"))
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .env("LD_LIBRARY_PATH", directory.path())
        .env_remove("NOTIFY_SOCKET");
    let _daemon = place.start_by(&mut command);
    let socket = fs::metadata(place.runtime().join(SOCKET_NAME)).unwrap();
    assert_eq!((socket.mode() & 0o7777, socket.gid()), (0o660, 54321));
}

#[test]
fn a_peer_outside_the_group_is_refused_even_on_an_open_socket() {
    let Some(_root) = root() else { return };
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _daemon = place.start(&[]);
    let socket = place.runtime().join(SOCKET_NAME);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let mut child = place.play("plays_an_observer", NOBODY);
    let answer = wait_for_word(&mut child, "answer: ");
    child.wait().unwrap();
    assert!(
        answer.contains("only root may control this daemon"),
        "{answer}"
    );
}

#[test]
fn a_detached_daemon_tells_when_it_is_ready() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let mut child = place
        .command(&["--exit-when-idle", "--detached"])
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
    let mut client = Client::connect_now(&place.runtime()).unwrap();
    client
        .request(&Request::SwapOn {
            device: None,
            params: size(32 * MIB),
            priority: None,
        })
        .unwrap();
    done(&mut client, &Request::SwapOff { device: None });
    drop(client);
    assert!(child.wait().unwrap().success());
    place.assert_clean();
}

#[test]
fn readiness_and_stopping_are_told_to_the_service_manager() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let path = place.dev().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut child = place
        .command(&[])
        .env("NOTIFY_SOCKET", &path)
        .spawn()
        .unwrap();
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1\n");
    // Ready means that it answers at once.
    let mut client = Client::connect_now(&place.runtime()).unwrap();
    done(&mut client, &Request::Shutdown { force: false });
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"STOPPING=1\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_root_it_says_so() {
    let Some(_root) = root() else { return };
    let place = Place::new();
    let output = Command::new(place.copy(Path::new(env!("CARGO_BIN_EXE_compcached"))))
        .args(["--num-devices", "1"])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("compcached: --num-devices: swap devices need root"),
        "{message}"
    );
    assert!(message.contains("uid 65534"), "{message}");
}
