//! The programs with real swap. Needs root, /dev/fuse, loop devices and a memory cgroup.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use common::{Places, run, turn};
use rustix::process::{Pid, Signal, kill_process};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Exit status and standard error of a child that was started with a pipe.
fn finish(mut child: Child) -> (i32, String) {
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), err)
}

/// Memory cgroups made by a process.
fn groups_of(pid: u32) -> Vec<std::path::PathBuf> {
    let name = format!("compcache-run-{pid}");
    let mut found = Vec::new();
    let mut left = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_str() == Some(&name) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn run_gives_a_program_more_memory_than_its_limit() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    // The built-in program checks every page that it wrote.
    let hog = env!("CARGO_BIN_EXE_compcache");
    let size = (96 << 20).to_string();
    let args = ["run", "--memory", "48M", "--", hog, "hog", "--size", &size];
    let mut child = places
        .compcache(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let last = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .last()
        .unwrap()
        .unwrap();
    let pid = child.id();
    let (code, err) = finish(child);
    assert_eq!(code, 0, "{err}");
    assert!(last.contains(r#""report":"done","pages":24576"#), "{last}");
    assert!(
        err.contains("of 48M used and ") && err.contains("swapped out in all"),
        "{err}"
    );
    assert!(err.contains("(ratio "), "{err}");
    assert_eq!(groups_of(pid), Vec::<std::path::PathBuf>::new());
    assert_eq!(places.devices_left(), Vec::<String>::new());
}

#[test]
fn run_gives_the_exit_status_of_the_program() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    for (command, status, word) in [
        (&["sh", "-c", "exit 42"][..], 42, "exit status 42"),
        (&["sh", "-c", "kill -9 $$"], 137, "killed by SIGKILL"),
        (&["/no/such/program"], 127, "command not found"),
        (&["/etc/passwd"], 126, "cannot execute"),
    ] {
        let args = [&["run", "--memory", "64M", "--"], command].concat();
        let (code, out, err) = run(&mut places.compcache(&args));
        assert_eq!((code, out.as_str()), (status, ""), "{err}");
        assert!(err.contains(word), "{err}");
        assert_eq!(places.devices_left(), Vec::<String>::new());
    }
    let args = ["run", "--memory", "64M", "--codec", "none", "--", "true"];
    let (code, _, err) = run(&mut places.compcache(&args));
    assert_eq!(code, 125, "{err}");
    assert!(
        err.contains("none") && err.contains("lz4") && err.contains("zstd"),
        "{err}"
    );
    let args = ["run", "--quiet", "--memory", "64M", "echo", "-n", "--quiet"];
    assert_eq!(
        run(&mut places.compcache(&args)),
        (0, "--quiet".into(), String::new())
    );
}

#[test]
fn run_passes_signals_on() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    // None that whoever starts the tests may have made ignored, as nohup does HUP: a shell
    // cannot trap it then.
    for (number, name) in [
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child = places
            .compcache(&["run", "--memory", "64M", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        signal(&child, number);
        let (code, err) = finish(child);
        assert_eq!(code, 9, "{name}: {err}");
    }
}

#[test]
fn run_says_when_memory_was_too_short() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let hog = env!("CARGO_BIN_EXE_compcache");
    let size = (96 << 20).to_string();
    let args = [
        "run", "-q", "-m", "16M", "--size", "8M", "--", hog, "hog", "--size", &size,
    ];
    let (code, _, err) = run(&mut places.compcache(&args));
    assert_eq!(code, 137, "{err}");
    assert!(
        err.contains("out of memory") && err.contains("--size"),
        "{err}"
    );
}

#[test]
fn run_ends_what_the_program_left_behind() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let args = ["run", "--memory", "64M", "sh", "-c", script];
    let (code, out, err) = run(&mut places.compcache(&args));
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("ended 1 process(es)"), "{err}");
    let pid = Pid::from_raw(out.trim().parse().unwrap()).unwrap();
    // It is gone, or a zombie if nobody reaps orphans.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    assert!(
        state.as_deref().map_or(true, |stat| stat.contains(") Z ")),
        "{state:?}"
    );
}

#[test]
fn the_demo_verifies_and_leaves_nothing() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let (code, out, err) = run(&mut places.compcache(&["demo", "--size", "64M", "--codec", "lzo"]));
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with("Verified: each of 16384 pages held"),
        "{out}"
    );
    assert!(
        out.contains("swapped out") && !out.contains("swapped out               0B"),
        "{out}"
    );
    assert_eq!(places.devices_left(), Vec::<String>::new());
}

/// Starts a demo and waits until its second run swaps.
fn demo_that_swaps(places: &Places) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = places
        .compcache(&["demo", "--size", "192M"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("held in") {
        line.clear();
        assert!(
            err.read_line(&mut line).unwrap() > 0,
            "the demo ended too early"
        );
    }
    (child, err)
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let (mut child, mut err) = demo_that_swaps(&places);
    let pid = child.id();
    signal(&child, Signal::INT);
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("stopped by SIGINT"), "{rest}");
    assert_eq!(groups_of(pid), Vec::<std::path::PathBuf>::new());
    assert_eq!(places.devices_left(), Vec::<String>::new());
}

#[test]
fn a_killed_demo_does_not_hinder_the_next_one() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let (mut child, _err) = demo_that_swaps(&places);
    let pid = child.id();
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    let (code, out, err) = run(&mut places.compcache(&["demo", "--size", "64M"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("Verified"), "{out}");
    assert_eq!(groups_of(pid), Vec::<std::path::PathBuf>::new());
    assert_eq!(places.devices_left(), Vec::<String>::new());
}

#[test]
fn a_killed_demo_leaves_nothing_for_long() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let (mut child, _err) = demo_that_swaps(&places);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    // The connection may end before the program's memory is free; then the daemon tries again.
    let start = std::time::Instant::now();
    while !places.devices_left().is_empty() {
        assert!(start.elapsed().as_secs() < 600, "the device is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The daemon, ended by SIGTERM when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        signal(&self.0, Signal::TERM);
        let status = self.0.wait().unwrap();
        if !std::thread::panicking() {
            assert!(status.success(), "{status}");
        }
    }
}

/// A daemon that answers. (A client that finds none after a second starts one of its own.)
fn daemon(places: &Places) -> Daemon {
    let daemon = Daemon(
        places
            .compcache(&["daemon", "--num-devices", "4"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let socket = places
        .runtime_dir()
        .join(compcached::runtime_dir::SOCKET_NAME);
    let start = std::time::Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(start.elapsed().as_secs() < 600, "no daemon");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    daemon
}

fn succeed(command: &mut Command) -> String {
    let (code, out, err) = run(command);
    assert_eq!(code, 0, "{command:?}: {err}");
    out
}

#[test]
fn the_historic_sequence() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let node = places.node(0);
    let _daemon = daemon(&places);
    // At once, without waiting for the daemon.
    succeed(&mut places.rzscontrol(&[&node, "--disksize_kb=65536", "--init"]));
    succeed(Command::new("swapon").arg(&node));
    let stats = succeed(&mut places.rzscontrol(&[&node, "--stats"]));
    let labels: Vec<_> = stats
        .lines()
        .map(|line| line.split_once(":\t").unwrap().0)
        .collect();
    let expected = [
        "DiskSize",
        "NumReads",
        "NumWrites",
        "FailedReads",
        "FailedWrites",
        "InvalidIO",
        "NotifyFree",
        "ZeroPages",
        "GoodCompress",
        "NoCompress",
        "PagesStored",
        "PagesUsed",
        "OrigDataSize",
        "ComprDataSize",
        "MemUsedTotal",
    ];
    assert_eq!(labels, expected);
    assert!(stats.starts_with("DiskSize:\t   65536 kB\n"), "{stats}");

    let (code, _, err) = run(&mut places.rzscontrol(&[&node, "--reset"]));
    assert!(code == 1 && err.contains("swapped on"), "{err}");
    succeed(Command::new("swapoff").arg(&node));
    succeed(&mut places.rzscontrol(&[&node, "--reset"]));
    let (code, _, err) = run(&mut places.rzscontrol(&[&node, "--stats"]));
    assert!(code == 1 && err.contains("not initialised"), "{err}");
}

#[test]
fn what_the_daemon_refuses() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let _daemon = daemon(&places);
    let refused = |args: &[&str], words: &[&str]| {
        let (code, _, err) = run(&mut places.rzscontrol(args));
        assert_eq!(code, 1, "{args:?}");
        assert!(
            words.iter().all(|word| err.contains(word)),
            "{args:?}: {words:?} not in {err:?}"
        );
    };
    refused(&["ramzswap7", "--init"], &["ramzswap7"]);
    refused(&["ramzswap0", "--stats"], &["not initialised"]);
    refused(
        &["ramzswap0", "--memlimit_kb=63", "--init"],
        &["64512 bytes", "64 kB"],
    );
    refused(
        &["ramzswap0", "--backing_swap=/no/such", "--init"],
        &["/no/such"],
    );
    refused(&["ramzswap0", "--backing_swap=/etc", "--init"], &["/etc"]);
    succeed(&mut places.rzscontrol(&["ramzswap0", "--disksize_kb=8192", "--init", "--verbose"]));
    refused(&["ramzswap0", "--init"], &["already initialised"]);
    refused(
        &["ramzswap0", "--disksize_kb=4096"],
        &["already initialised"],
    );
    let (code, _, err) = run(&mut places.compcache(&["status", "ramzswap9"]));
    assert!(code == 1 && err.contains("ramzswap9"), "{err}");
}

#[test]
fn swap_on_and_off() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let on = [
        "swap",
        "on",
        "--size",
        "64M",
        "--codec",
        "zstd:3",
        "--priority",
        "77",
    ];
    let out = succeed(&mut places.compcache(&on));
    assert_eq!(
        out,
        format!("{}: swapped on with priority 77\n", places.node(0))
    );
    let table = succeed(&mut places.compcache(&["status"]));
    let words: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words[2..4], ["zstd:3", "64M"], "{table}");
    assert_eq!(words.last(), Some(&"77"), "{table}");
    let json = succeed(&mut places.compcache(&["status", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["devices"][0]["swap"]["priority"], 77);
    assert_eq!(json["devices"][0]["disksize"], 64 << 20);
    let out = succeed(&mut places.compcache(&["swap", "off"]));
    assert_eq!(out, format!("{}: swapped off\n", places.node(0)));
    assert_eq!(places.devices_left(), Vec::<String>::new());
}

#[test]
fn codec_and_recompression_are_changed_while_swapped_on() {
    let Some(_turn) = turn() else {
        return;
    };
    let places = Places::new();
    let _daemon = daemon(&places);
    succeed(&mut places.compcache(&["swap", "on", "--size", "64M"]));
    let node = places.node(0);
    succeed(&mut places.compcache(&["swap", "set", "--codec", "zstd:3", &node]));
    let status = succeed(&mut places.compcache(&["status", "--json", &node]));
    assert!(status.contains("\"codec\": \"zstd:3\""), "{status}");
    let (code, _, err) = run(&mut places.compcache(&["swap", "set", "--codec", "lzma", &node]));
    assert_eq!(code, 1);
    assert!(err.contains("unknown codec 'lzma'"), "{err}");
    let status = succeed(&mut places.compcache(&["status", "--json", &node]));
    assert!(status.contains("\"codec\": \"zstd:3\""), "{status}");
    assert!(status.contains("\"recompress\": \"zstd:1\""), "{status}");
    let set = [
        "swap",
        "set",
        "--recompress",
        "off",
        "--recompress-cpu",
        "3",
    ];
    succeed(places.compcache(&set).arg(&node));
    let status = succeed(&mut places.compcache(&["status", "--json", &node]));
    assert!(status.contains("\"recompress\": \"off\""), "{status}");
    assert!(status.contains("\"recompress_cpu\": 3"), "{status}");
    assert!(status.contains("\"codec\": \"zstd:3\""), "{status}");
    let (code, _, err) = run(&mut places.compcache(&["swap", "set", &node]));
    assert_eq!(code, 2);
    assert!(err.contains("--recompress"), "{err}");
    succeed(&mut places.compcache(&["swap", "off"]));
    assert_eq!(places.devices_left(), Vec::<String>::new());
}
