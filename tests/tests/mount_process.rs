//! Mounts are served by a process of their own: what happens to it reaches neither swap nor the control
//! socket, and its death loses as little as can be.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use compcache_device::ParamsUpdate;
use compcache_host::proc;
use compcache_tests::content::Kind;
use compcache_tests::faulty::Faulty;
use compcache_tests::{
    Bed, Cgroup, Hog, MIB, Mode, MountBed, Running, SetAtEnd, mounts_under, until, wait_until,
};
use compcached::protocol::{Request, Response};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open};

/// Of a mount that writes nothing out by itself.
const LATE: [&str; 4] = ["--cache", "8M", "--dirty-after", "3600"];

fn text(pid: u32, file: &str) -> String {
    let text = proc::of(pid, file).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

fn warnings(bed: &Bed) -> Vec<String> {
    bed.status().0.warnings
}

fn warns(bed: &Bed, words: &[&str]) -> bool {
    let all = |warning: &String| words.iter().all(|word| warning.contains(word));
    warnings(bed).iter().any(all)
}

#[track_caller]
fn assert_warns(bed: &Bed, words: &[&str]) {
    assert!(warns(bed, words), "no {words:?} in {:?}", warnings(bed));
}

/// Waits until a new process serves what `old` has served.
fn wait_for_another(bed: &Bed, old: u32) -> u32 {
    until("another process", || {
        bed.status().0.mount_pid.filter(|pid| *pid != old)
    })
}

/// A file whose pages are dirty for as long as what is returned is open.
fn dirty_file(point: &Path, name: &str, bytes: &[u8]) -> File {
    let file = File::create_new(point.join(name)).expect("a file");
    file.write_all_at(bytes, 0).expect("a write");
    file
}

/// It comes with the first mount and goes with the last one, says what it is, and is ended by the daemon alone.
#[test]
fn it_is_there_while_there_are_mounts() {
    let Some(mut bed) = MountBed::new() else {
        return;
    };
    assert_eq!(bed.bed().status().0.mount_pid, None);
    for _ in 0..2 {
        bed.mount(Mode::Through, &["--cache", "8M"]);
        let pid = bed.bed().mount_pid();
        assert_ne!(pid, bed.pid());
        assert_eq!(text(pid, "comm"), "compcache-mount\n");
        assert!(text(pid, "cmdline").contains("--worker\0mounts\0"));
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            bed.bed().signal_mounts(signal);
        }
        fs::write(bed.point().join("file"), "text").expect("a file");
        assert_eq!(bed.bed().mount_pid(), pid);
        bed.umount();
        wait_until("its end", || is_gone(pid));
        assert_eq!(bed.bed().status().0.mount_pid, None);
    }
    bed.terminate().finish().success();
}

/// A field of a process's status that is a set of capabilities.
fn capabilities(status: &str, field: &str) -> u64 {
    let set = proc::after(status.as_bytes(), field).and_then(|mut words| words.next());
    let set = std::str::from_utf8(set.expect(field)).expect(field);
    u64::from_str_radix(set, 16).expect(field)
}

/// What the numbers of capabilities stand for (linux/capability.h): the unit's set.
const CHOWN_TO_FSETID: u64 = 0b1_1111;
const SETGID_AND_SETUID: u64 = 0b1100_0000;
const IPC_LOCK: u64 = 1 << 14;
const SYS_ADMIN: u64 = 1 << 21;
const SYS_NICE_AND_RESOURCE: u64 = 0b11 << 23;
const MKNOD: u64 = 1 << 27;
const SETFCAP: u64 = 1 << 31;

/// Neither process keeps rights that it does not need, in any of its threads.
#[test]
fn both_processes_give_up_what_they_do_not_need() {
    const MOST: u64 = CHOWN_TO_FSETID
        | SETGID_AND_SETUID
        | IPC_LOCK
        | SYS_ADMIN
        | SYS_NICE_AND_RESOURCE
        | MKNOD
        | SETFCAP;
    const FOWNER_AND_FSETID: u64 = 0b1_1000;
    const DAEMONS: u64 = MOST & !(FOWNER_AND_FSETID | SETGID_AND_SETUID | SETFCAP);
    let Some(mut bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    let threads = |pid: u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
        // One may end meanwhile.
        let status = |task: std::io::Result<fs::DirEntry>| {
            let status = proc::read(&task.ok()?.path().join("status")).ok()?;
            Some(String::from_utf8_lossy(&status).into_owned())
        };
        let found: Vec<String> = tasks.filter_map(status).collect();
        assert!(!found.is_empty(), "no thread of {pid}");
        found
    };
    let own = text(getpid().as_raw_nonzero().get().unsigned_abs(), "status");
    let has = capabilities(&own, "CapEff");
    for (pid, effective) in [(bed.pid(), DAEMONS), (bed.bed().mount_pid(), MOST)] {
        for status in threads(pid) {
            assert_eq!(capabilities(&status, "CapEff"), has & effective, "{status}");
            assert_eq!(capabilities(&status, "CapPrm"), has & MOST, "{status}");
            assert_eq!(capabilities(&status, "CapInh") & !MOST, 0, "{status}");
        }
    }
    for status in threads(bed.bed().mount_pid()) {
        assert_eq!(capabilities(&status, "CapBnd") & !MOST, 0, "{status}");
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    bed.umount();
    bed.terminate().finish().success();
}

/// A program swaps, another asks for the status all the time, and the process is killed again and again.
#[test]
fn swap_and_control_do_not_notice_its_death() {
    const KILLS: usize = 3;
    let Some(mut bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    fs::write(bed.point().join("file"), "content").expect("a file");
    bed.bed()
        .compcache(&["swap", "on", "--driver", "user", "--size", "192M"])
        .success();
    let group = Cgroup::new(16 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 64 * MIB, 81);
    hog.fill();
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let daemon = bed.bed().status().0.pid;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = bed.bed().client();
            while !done.load(Ordering::SeqCst) {
                for request in [Request::Status { device: None }, Request::Mounts] {
                    match client.request(&request) {
                        Ok(Response::Status { .. } | Response::Mounts { .. }) => {}
                        other => panic!("{request:?}: {other:?}"),
                    }
                }
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        let end = SetAtEnd(&done);
        for _ in 0..KILLS {
            let before = asked.load(Ordering::SeqCst);
            let old = bed.bed().signal_mounts(libc::SIGKILL);
            hog.change_at_random();
            hog.verify();
            let new = wait_for_another(bed.bed(), old);
            wait_until("the file to be there again", || {
                fs::read(bed.point().join("file")).is_ok_and(|text| text == b"content")
            });
            assert_eq!(bed.bed().mount_pid(), new);
            wait_until("the status to be asked for", || {
                asked.load(Ordering::SeqCst) > before
            });
        }
        drop(end);
    });
    assert_eq!(bed.bed().status().0.pid, daemon);
    let point = bed.point().display().to_string();
    assert_warns(bed.bed(), &[&point, "mounted again", "SIGKILL"]);
    hog.verify();
    group.set_limit(256 * MIB);
    bed.bed().compcache(&["swap", "off"]).success();
    hog.verify();
    drop(hog);
    drop(group);
    bed.umount();
    // Nothing that was written is lost.
    bed.terminate().finish().success();
}

/// What was dirty is lost, and it is said how much that is; the mount is there again.
#[test]
fn dirty_pages_that_are_lost_are_said() {
    let Some(mut bed) = MountBed::mounted(Mode::Back, &LATE) else {
        return;
    };
    fs::write(bed.point().join("closed"), "is on SOURCE").expect("a file");
    let file = dirty_file(bed.point(), "open", &[7; 5 * 4096]);
    let old = bed.bed().signal_mounts(libc::SIGKILL);
    wait_for_another(bed.bed(), old);
    let point = bed.point().display().to_string();
    wait_until("the mount", || warns(bed.bed(), &[&point, "mounted again"]));
    let pid = format!("(pid {old})");
    assert_warns(bed.bed(), &[&point, "up to 20480 bytes", "lost", &pid]);
    file.write_all_at(b"x", 0)
        .expect_err("a file of the dead mount");
    assert_eq!(
        fs::read(bed.point().join("closed")).expect("a file"),
        b"is on SOURCE"
    );
    let found = fs::read(bed.point().join("open")).expect("the file");
    assert_ne!(found, [7; 5 * 4096]);
    drop(file);
    bed.umount();
    let out = bed.terminate().finish();
    assert_eq!(out.code(), 1, "{out}");
    assert!(out.stderr.contains("up to 20480 bytes"), "{out}");
}

/// A mount without SOURCE has nothing to be made again of.
#[test]
fn files_in_memory_are_lost_and_that_is_said() {
    let Some(mut bed) = MountBed::mounted(Mode::Ram, &["--size", "16M"]) else {
        return;
    };
    fs::write(bed.point().join("file"), "text").expect("a file");
    bed.bed().signal_mounts(libc::SIGKILL);
    let point = bed.point().display().to_string();
    wait_until("the loss", || {
        warns(bed.bed(), &[&point, "--ram", "are lost", "SIGKILL"])
    });
    wait_until("the mount to be gone", || {
        mounts_under(bed.point()).is_empty() && bed.bed().status().0.mount_pid.is_none()
    });
    // Its place is free.
    wait_until("its place", || {
        let mount = bed.try_mount(Mode::Ram, &["--size", "16M"]);
        mount.status.success()
    });
    bed.umount();
    assert_eq!(bed.terminate().finish().code(), 1);
}

/// One that was stopped keeps nobody but who uses its mounts.
#[test]
fn one_that_was_stopped_is_named_and_keeps_nobody() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    fs::write(bed.point().join("file"), "text").expect("a file");
    let pid = bed.bed().signal_mounts(libc::SIGSTOP);
    let waiting = {
        let path = bed.point().join("other");
        thread::spawn(move || fs::write(path, "waits"))
    };
    let size = ["swap", "on", "--driver", "user", "--size", "64M"];
    bed.bed().compcache(&size).success();
    let (pid_text, resume) = (format!("(pid {pid})"), format!("kill -CONT {pid}"));
    assert_warns(bed.bed(), &[&pid_text, "does not answer", &resume]);
    let list = bed.bed().compcache(&["mount"]).success();
    assert!(
        list.contains(bed.point().to_str().expect("UTF-8")),
        "{list}"
    );
    let (group, mut hog) = {
        let group = Cgroup::new(16 * MIB);
        let mut hog = Hog::start(&group, Kind::Mixed, 32 * MIB, 82);
        hog.fill();
        (group, hog)
    };
    hog.verify();
    group.set_limit(128 * MIB);
    bed.bed().compcache(&["swap", "off"]).success();
    hog.verify();
    assert!(!waiting.is_finished());
    bed.bed().signal_mounts(libc::SIGCONT);
    waiting.join().expect("a thread").expect("a file");
    wait_until("it to answer", || !warns(bed.bed(), &["does not answer"]));
    assert_eq!(bed.bed().mount_pid(), pid);
    assert_eq!(
        bed.status().mountpoint,
        bed.point().to_str().expect("UTF-8")
    );
    bed.umount();
}

/// One that was stopped does not keep the daemon: its mounts are given up like those of a source that does not
/// answer.
#[test]
fn one_that_was_stopped_does_not_keep_the_daemon() {
    let options = [&LATE[..], &["--give-up-after", "1"]].concat();
    let Some(mut bed) = MountBed::mounted(Mode::Back, &options) else {
        return;
    };
    let file = dirty_file(bed.point(), "open", &[7; 3 * 4096]);
    let pid = bed.bed().signal_mounts(libc::SIGSTOP);
    let out = bed.terminate().finish();
    assert_eq!(out.code(), 1, "{out}");
    let lost = "up to 12288 bytes that SOURCE had not taken yet are lost";
    assert!(out.stderr.contains(lost), "{out}");
    wait_until("its end", || is_gone(pid));
    assert_eq!(mounts_under(bed.point()), Vec::<PathBuf>::new());
    file.write_all_at(b"x", 0)
        .expect_err("a mount that is gone");
}

/// Nor does a mount that is on its way, by one that was stopped.
#[test]
fn a_mount_on_its_way_does_not_keep_the_daemon() {
    let Some(mut bed) =
        MountBed::mounted(Mode::Through, &["--cache", "8M", "--give-up-after", "1"])
    else {
        return;
    };
    bed.bed().signal_mounts(libc::SIGSTOP);
    let other = bed.bed().directory().join("other");
    fs::create_dir(&other).expect("a directory");
    let mut command = bed.bed().command("compcache");
    command.args(["mount", "--ram", "--size", "8M"]);
    let mount = Running::start(command.arg(&other));
    // Its client says so after a while.
    wait_until("the mount to be on its way", || {
        mount.stderr().contains("mounting")
    });
    bed.terminate().finish().success();
    mount.finish().refused(&["mount process"]);
    assert_eq!(mounts_under(bed.bed().directory()), Vec::<PathBuf>::new());
}

/// It outlives the daemon for as long as it takes to write out what is dirty.
#[test]
fn a_daemon_that_is_killed_loses_no_dirty_page() {
    let Some(mut bed) = MountBed::mounted(Mode::Back, &LATE) else {
        return;
    };
    let file = dirty_file(bed.point(), "open", &[7; 5 * 4096]);
    let pid = bed.bed().mount_pid();
    let found = fs::read(bed.source().join("open")).expect("the file");
    assert_ne!(found, [7; 5 * 4096], "written out already");
    kill_daemon(&mut bed);
    wait_until("its end", || is_gone(pid));
    assert_eq!(
        fs::read(bed.source().join("open")).expect("the file"),
        [7; 5 * 4096]
    );
    assert_eq!(mounts_under(bed.point()), Vec::<PathBuf>::new());
    drop(file);
    bed.restart();
    bed.mount(Mode::Back, &LATE);
    bed.umount();
}

fn kill_daemon(bed: &mut MountBed) {
    let daemon = bed.release_daemon();
    daemon.signal(libc::SIGKILL);
    assert_eq!(daemon.finish().code(), 128 + libc::SIGKILL);
}

/// A mount whose source is to fail.
struct OnFaulty {
    // Taken down in this order.
    bed: MountBed,
    faulty: Faulty,
}

impl OnFaulty {
    fn new() -> Option<OnFaulty> {
        let bed = MountBed::new()?;
        let behind = bed.bed().directory().join("behind");
        fs::create_dir(&behind).expect("a directory");
        let faulty = Faulty::mount(&behind, bed.source());
        Some(OnFaulty { bed, faulty })
    }
}

/// The next daemon waits with a mount at the same place until the process of the last one has written out.
#[test]
fn the_next_daemon_waits_for_what_is_written_out() {
    let Some(mut both) = OnFaulty::new() else {
        return;
    };
    let OnFaulty { bed, faulty } = &mut both;
    let behind = faulty.behind().to_owned();
    bed.mount(Mode::Back, &LATE);
    let file = dirty_file(bed.point(), "open", &[7; 4096]);
    let pid = bed.bed().mount_pid();
    faulty.faults().hold_writes();
    // Not by this thread, and before programs are started, which would close it, too: that waits for the source.
    let closing = thread::spawn(move || drop(file));
    faulty.faults().wait_for_held();
    kill_daemon(bed);
    bed.restart();
    let mut command = bed.bed().command("compcache");
    command.args(["mount", "--write-through", "--cache", "8M"]);
    let mut mount = Running::start(command.arg(bed.source()).arg(bed.point()));
    // Another place is free.
    let other = bed.bed().directory().join("other");
    fs::create_dir(&other).expect("a directory");
    let other = other.to_str().expect("UTF-8");
    let ram = ["mount", "--ram", "--size", "8M", other];
    bed.bed().compcache(&ram).success();
    assert!(!mount.has_ended() && !is_gone(pid));
    faulty.faults().release();
    mount.finish().success();
    assert_eq!(fs::read(behind.join("open")).expect("it"), [7; 4096]);
    assert_eq!(fs::read(bed.point().join("open")).expect("it"), [7; 4096]);
    closing.join().expect("a thread");
    bed.umount();
    bed.bed().compcache(&["umount", other]).success();
}

/// One that was killed while a thread of it waits in the kernel for its source, which nobody can end, is
/// replaced all the same, and programs that wait for it get an error.
#[test]
fn one_that_cannot_even_die_is_replaced() {
    let Some(mut both) = OnFaulty::new() else {
        return;
    };
    let OnFaulty { bed, faulty } = &mut both;
    let behind = faulty.behind().to_owned();
    fs::write(behind.join("other"), "other").expect("a file");
    let beneath = bed.point().join("beneath");
    fs::write(&beneath, "").expect("a file");
    bed.mount(Mode::Back, &LATE);
    let file = dirty_file(bed.point(), "open", &[7; 4096]);
    faulty.faults().hold_writes();
    let syncing = {
        let file = file.try_clone().expect("a descriptor");
        thread::spawn(move || file.sync_all())
    };
    faulty.faults().wait_for_held();
    let pid = bed.bed().signal_mounts(libc::SIGKILL);
    // Nobody need ask for it, if the kernel tells the end of a thread.
    let of_thread = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let tells = pidfd_open(getpid(), of_thread).is_ok();
    let seen = count_seen(&bed.point().join("beneath"), || {
        wait_until("the mount to be made again", || {
            if !tells {
                assert_ne!(bed.bed().status().0.pid, pid);
            }
            bed.daemon().stderr().contains("mounted again")
        });
    });
    assert_eq!(seen, 0);
    syncing.join().expect("a thread").expect_err("a dead mount");
    assert_eq!(fs::read(bed.point().join("other")).expect("it"), b"other");
    assert!(!is_gone(pid), "it could not die");
    assert_warns(bed.bed(), &["up to 4096 bytes", "waits in the kernel"]);
    faulty.faults().release();
    wait_until("its end", || is_gone(pid));
    drop(file);
    bed.umount();
    fs::remove_file(&beneath).expect("what is beneath");
    assert_eq!(bed.terminate().finish().code(), 1);
}

/// One that dies again and again is started ever later, and the daemon says so and goes on.
#[test]
fn one_that_dies_again_and_again_is_started_ever_later() {
    let Some(mut bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    fs::write(bed.point().join("file"), "content").expect("a file");
    let mut pid = bed.bed().mount_pid();
    for _ in 0..3 {
        bed.bed().signal_mounts(libc::SIGKILL);
        pid = wait_for_another(bed.bed(), pid);
    }
    bed.bed().signal_mounts(libc::SIGKILL);
    let words = ["died 4 times in a row", "1 mount(s) wait", "is started in"];
    wait_until("the warning", || warns(bed.bed(), &words));
    wait_until("the time", || {
        let log = bed.daemon().stderr();
        log.contains("died 4 times in a row") && log.contains("started in 4 s")
    });
    // Meanwhile all else is done.
    bed.bed().swap_on(
        0,
        ParamsUpdate {
            disksize: Some(64 * MIB),
            ..Default::default()
        },
    );
    bed.bed().compcache(&["swap", "off"]).success();
    let list = bed.bed().compcache(&["mount"]).success();
    assert!(
        list.contains(bed.point().to_str().expect("UTF-8")),
        "{list}"
    );
    // Programs are not given the directory beneath.
    let lost = [libc::ENOTCONN, libc::ECONNABORTED].map(Some);
    match fs::write(bed.point().join("stray"), "") {
        Err(error) => assert!(lost.contains(&error.raw_os_error()), "{error}"),
        // On a slow machine the time has passed by now.
        Ok(()) => assert!(bed.source().join("stray").exists(), "it is beneath"),
    }
    wait_until("the file", || {
        fs::read(bed.point().join("file")).is_ok_and(|text| text == b"content")
    });
    // Whoever does not want it again need not wait.
    bed.bed().signal_mounts(libc::SIGKILL);
    wait_until("the warning", || {
        warns(bed.bed(), &["died 5 times in a row"])
    });
    bed.umount();
    assert_eq!(warnings_of_waiting(bed.bed()), [""; 0]);
    assert_eq!(
        fs::read_dir(bed.point()).expect("what is beneath").count(),
        0
    );
    bed.terminate().finish().success();
}

/// How often each of these files is seen to be there while something is done.
fn count_seen(path: &Path, during: impl FnOnce()) -> u32 {
    let (over, seen) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let _over = SetAtEnd(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if fs::symlink_metadata(path).is_ok() {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        during();
    });
    seen.into_inner()
}

/// Whenever it dies, something covers the directory beneath: a mount that is dead, or one that works. A mount that lies
/// in that one comes back, too.
#[test]
fn the_directory_beneath_is_never_seen() {
    const DEATHS: usize = 5;
    let Some(mut bed) = MountBed::new() else {
        return;
    };
    let second = bed.bed().directory().join("second");
    let inner = bed.point().join("inner");
    for directory in [&second, &bed.source().join("inner")] {
        fs::create_dir(directory).expect("a directory");
        fs::write(directory.join("file"), "content").expect("a file");
    }
    fs::write(bed.source().join("file"), "content").expect("a file");
    fs::write(bed.source().join("inner/beneath"), "").expect("a file");
    fs::write(bed.point().join("beneath"), "").expect("a file");
    bed.mount(Mode::Through, &["--cache", "8M"]);
    let [source, point] = [&second, &inner].map(|path| path.to_str().expect("UTF-8"));
    bed.bed()
        .compcache(&["mount", "--cache", "8M", source, point])
        .success();
    let before = mounts_under(bed.bed().directory());
    let seen = count_seen(&bed.point().join("beneath"), || {
        let mut pid = bed.bed().mount_pid();
        for _ in 0..DEATHS {
            bed.bed().signal_mounts(libc::SIGKILL);
            // It may be anywhere on its way.
            pid = wait_for_another(bed.bed(), pid);
        }
        // None is left that was dead.
        wait_until("the mounts", || {
            let is_there =
                |point: &Path| fs::read(point.join("file")).is_ok_and(|text| text == b"content");
            is_there(bed.point())
                && is_there(&inner)
                && mounts_under(bed.bed().directory()) == before
        });
    });
    assert_eq!(seen, 0);
    bed.bed().compcache(&["umount", point]).success();
    assert!(inner.join("beneath").exists());
    bed.umount();
    let beneath = bed.point().join("beneath");
    assert!(beneath.exists());
    fs::remove_file(&beneath).expect("what is beneath");
    bed.terminate().finish().success();
}

/// So it is if the daemon is killed, too, and the next one makes the mount by its configuration.
#[test]
fn a_mount_of_the_configuration_is_not_bare_after_a_crash() {
    let Some(mut bed) = Bed::new() else { return };
    let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
    for directory in [&source, &point] {
        fs::create_dir(directory).expect("a directory");
    }
    fs::write(source.join("file"), "content").expect("a file");
    let beneath = point.join("beneath");
    fs::write(&beneath, "").expect("a file");
    let config = bed.config(format!(
        "[[mount]]\nsource = {source:?}\nmountpoint = {point:?}\ncache_kb = 8192\n"
    ));
    let start = ["--num-devices", "1", "--config", &config];
    let is_there = || fs::read(point.join("file")).is_ok_and(|text| text == b"content");
    bed.start(&start);
    wait_until("the mount", is_there);
    let before = mounts_under(&point);
    for _ in 0..3 {
        let seen = count_seen(&beneath, || {
            let mounts = Pid::from_raw(bed.mount_pid().cast_signed()).expect("a process");
            let daemon = bed.take_daemon();
            // So that neither can do anything about it.
            daemon.signal(libc::SIGSTOP);
            kill_process(mounts, Signal::KILL).expect("it serves");
            daemon.signal(libc::SIGKILL);
            assert_eq!(daemon.finish().code(), 128 + libc::SIGKILL);
            bed.start(&start);
            wait_until("the mount", || is_there() && mounts_under(&point) == before);
        });
        assert_eq!(seen, 0);
    }
    let point = point.to_str().expect("UTF-8");
    bed.compcache(&["umount", point]).success();
    assert!(beneath.exists());
    bed.stop();
    bed.assert_nothing_left();
}

/// What is mounted over a mount stays on top of it when its process dies.
#[test]
fn one_that_is_covered_is_not_made_again_on_top() {
    let Some(mut bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    let none = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", bed.point(), "tmpfs", none, None).expect("a tmpfs");
    fs::write(bed.point().join("precious"), "content").expect("a file");
    let old = bed.bed().mount_pid();
    bed.bed().signal_mounts(libc::SIGKILL);
    wait_until("the death", || is_gone(old));
    wait_until("the warning", || {
        warns(
            bed.bed(),
            &["could not be mounted again", "another file system"],
        )
    });
    assert_eq!(
        fs::read(bed.point().join("precious")).expect("still there"),
        b"content"
    );
    rustix::mount::unmount(bed.point(), rustix::mount::UnmountFlags::empty()).expect("unmount");
    let found = fs::metadata(bed.point().join("precious")).expect_err("it is dead");
    assert_eq!(found.raw_os_error(), Some(libc::ENOTCONN));
    bed.umount();
    bed.terminate().finish().success();
}

fn warnings_of_waiting(bed: &Bed) -> Vec<String> {
    let mut found = warnings(bed);
    found.retain(|warning| warning.contains("wait for the next one"));
    found
}

/// Mounts that lie in one another, and over their own source, come back in the order in which they were made.
#[test]
fn mounts_in_one_another_come_back() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "8M"]) else {
        return;
    };
    fs::create_dir(bed.point().join("inner")).expect("a directory");
    fs::create_dir(bed.bed().directory().join("second")).expect("a directory");
    let second = bed.bed().directory().join("second");
    fs::write(second.join("file"), "second").expect("a file");
    let inner = bed.point().join("inner");
    let mount = |source: &Path, point: &Path| {
        let [source, point] = [source, point].map(|path| path.to_str().expect("UTF-8"));
        bed.bed()
            .compcache(&["mount", "--cache", "8M", source, point])
            .success()
    };
    mount(&second, &inner);
    mount(&second, &second);
    let before = mounts_under(bed.bed().directory());
    let old = bed.bed().signal_mounts(libc::SIGKILL);
    wait_for_another(bed.bed(), old);
    wait_until("all mounts", || {
        [&inner, &second]
            .iter()
            .all(|point| fs::read(point.join("file")).is_ok_and(|text| text == b"second"))
            && mounts_under(bed.bed().directory()) == before
    });
    for point in [&second, &inner] {
        let point = point.to_str().expect("UTF-8");
        bed.bed().compcache(&["umount", point]).success();
    }
    bed.umount();
}

/// Devices and mounts share a limit, although each has a process: swapped pages come first.
#[test]
fn mounts_give_way_to_swap_of_another_process() {
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&["--num-devices", "1", "--memory-limit", "24M"]);
    let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
    for directory in [&source, &point] {
        fs::create_dir(directory).expect("a directory");
    }
    let paths = [&source, &point].map(|path| path.to_str().expect("UTF-8"));
    let mount = [
        "mount",
        "--write-through",
        "--cache",
        "20M",
        paths[0],
        paths[1],
    ];
    bed.compcache(&mount).success();
    let target = || match bed.request(&Request::Mounts) {
        Response::Mounts { mounts, .. } => mounts[0].target,
        other => panic!("{other:?}"),
    };
    bed.swap_on(
        0,
        ParamsUpdate {
            disksize: Some(128 * MIB),
            ..Default::default()
        },
    );
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Random, 40 * MIB, 83);
    hog.fill();
    // The device takes more than the limit now: the mount has its floor.
    wait_until("the mount to give way", || target() <= MIB);
    group.set_limit(128 * MIB);
    bed.compcache(&["swap", "off"]).success();
    drop(hog);
    drop(group);
    bed.compcache(&["umount", paths[1]]).success();
    bed.stop();
    bed.assert_nothing_left();
}
