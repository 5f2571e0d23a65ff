//! `compcache run`: any program in less memory than it needs.

use std::fs;
use std::process::Command;

use compcache_tests::content::Kind;
use compcache_tests::{
    Bed, Cgroup, Hog, MIB, OnTerminal, Outcome, Running, binary, left_behind, needs, until,
    wait_until,
};

/// Builds twice the 48 MiB that it may have in pages of its own, and checks them three times.
const PROGRAM: &str = "
import hashlib, sys
def page(i, v):
    head = hashlib.sha256(b'%d %d' % (i, v)).digest() * 32
    return head + (b'%d' % i) * 3072
def cut(i, v):
    return page(i, v)[:4096]
count = 96 * 1024 // 4
pages = [bytearray(cut(i, 0)) for i in range(count)]
for version in range(3):
    for i in range(count):
        if pages[i] != cut(i, version):
            print('page', i, 'is wrong')
            sys.exit(1)
        pages[i][:] = cut(i, version + 1)
print('verified', count)
";

fn run(bed: &Bed, memory: &str, arguments: &[&str]) -> Command {
    let mut command = bed.command("compcache");
    command.args(["run", "--memory", memory]).args(arguments);
    command
}

#[test]
fn python_builds_twice_its_limit() {
    if !needs::programs(&["python3"]) {
        return;
    }
    let Some(bed) = Bed::new() else { return };
    let out = Outcome::of(&mut run(&bed, "48M", &["--", "python3", "-c", PROGRAM]));
    let report = out.stderr.clone();
    assert_eq!(out.success(), "verified 24576\n");
    assert!(report.contains("python3: exit status 0"), "{report}");
    assert!(report.contains("swapped out in all"), "{report}");
    assert!(report.contains("saved"), "{report}");
    bed.assert_nothing_left();
}

/// Our own program needs no other, and checks every page that it wrote.
#[test]
fn the_built_in_hog_takes_twice_its_limit() {
    let Some(bed) = Bed::new() else { return };
    let size = (96 * MIB).to_string();
    let hog = binary("compcache");
    let command = ["--", hog.to_str().unwrap(), "hog", "--size", &size];
    let out = Outcome::of(&mut run(&bed, "48M", &command));
    assert!(bed.devices_left().is_empty());
    for words in ["of 48M used and ", "swapped out in all", "(ratio "] {
        assert!(out.stderr.contains(words), "{words}: {out}");
    }
    let reports = out.success();
    let last = reports.lines().last().unwrap();
    assert!(last.contains(r#""report":"done","pages":24576"#), "{last}");
    bed.assert_nothing_left();
}

#[test]
fn exit_statuses_are_passed_on() {
    let Some(bed) = Bed::new() else { return };
    for (script, code, words) in [
        ("exit 0", 0, "exit status 0"),
        ("exit 42", 42, "exit status 42"),
        ("exit 255", 255, "exit status 255"),
        ("kill -TERM $$", 128 + 15, "killed by SIGTERM"),
        ("kill -KILL $$", 128 + 9, "killed by SIGKILL"),
        ("kill -SEGV $$", 128 + 11, "killed by SIGSEGV"),
    ] {
        let out = Outcome::of(&mut run(&bed, "32M", &["--", "sh", "-c", script]));
        assert_eq!((out.code(), out.stdout.as_str()), (code, ""), "{out}");
        assert!(out.stderr.contains(words), "{words}: {out}");
        assert!(bed.devices_left().is_empty());
        let quiet = ["--quiet", "--", "sh", "-c", script];
        let out = Outcome::of(&mut run(&bed, "32M", &quiet));
        assert_eq!((out.code(), out.stderr.as_str()), (code, ""), "{out}");
    }
    let missing = Outcome::of(&mut run(&bed, "32M", &["--", "/no/such/program"]));
    assert_eq!(missing.code(), 127, "{missing}");
    missing.refused(&["/no/such/program", "not found"]);
    for path in ["/etc", "/etc/passwd"] {
        let out = Outcome::of(&mut run(&bed, "32M", &["--", path]));
        assert_eq!(out.code(), 126, "{out}");
        out.refused(&["cannot execute"]);
    }
    assert!(bed.devices_left().is_empty());
    bed.assert_nothing_left();
}

/// What we refuse ourselves has the status 125; options after the program's name are its own.
#[test]
fn options_before_and_after_the_program() {
    let Some(bed) = Bed::new() else { return };
    let out = Outcome::of(&mut run(&bed, "64M", &["--codec", "none", "--", "true"]));
    assert_eq!(out.code(), 125, "{out}");
    out.refused(&["none", "lz4", "zstd"]);
    let out = Outcome::of(&mut run(&bed, "64M", &["--quiet", "echo", "-n", "--quiet"]));
    assert_eq!(out.stderr, "", "{out}");
    assert_eq!(out.success(), "--quiet");
}

/// Output and input of the program are those of `compcache run`.
#[test]
fn input_and_output_pass_through() {
    let Some(bed) = Bed::new() else { return };
    let input = bed.directory().join("input");
    fs::write(&input, "through and through\n").unwrap();
    let mut command = run(
        &bed,
        "32M",
        &["--quiet", "--", "sh", "-c", "cat; echo told >&2"],
    );
    command.stdin(fs::File::open(&input).unwrap());
    let out = Running::start(&mut command).finish();
    assert_eq!(out.stderr, "told\n", "{out}");
    assert_eq!(out.success(), "through and through\n");
}

#[test]
fn signals_are_passed_on() {
    let Some(bed) = Bed::new() else { return };
    // None that whoever starts the tests may have made ignored, as nohup does HUP: a shell can't
    // trap it then.
    let script = "trap 'echo TERM; exit 3' TERM
        trap 'echo USR1' USR1; trap 'echo USR2' USR2; echo ready
        while :; do sleep 0.05; done";
    let running = Running::start(&mut run(&bed, "32M", &["-q", "--", "sh", "-c", script]));
    let printed = |word: &str| wait_until(word, || running.stdout().contains(word));
    printed("ready");
    running.signal(libc::SIGUSR1);
    printed("USR1");
    running.signal(libc::SIGUSR2);
    printed("USR2");
    running.signal(libc::SIGTERM);
    let out = running.finish();
    assert_eq!(out.stdout, "ready\nUSR1\nUSR2\nTERM\n", "{out}");
    assert_eq!(out.code(), 3, "{out}");
    bed.assert_nothing_left();
}

/// Ctrl-C on the terminal reaches the program once, not a second time through us; and the program
/// has the terminal.
#[test]
fn ctrl_c_on_a_terminal() {
    if !needs::programs(&["script"]) {
        return;
    }
    let Some(bed) = Bed::new() else { return };
    let script = "tty >/dev/null || exit 9; trap \"echo caught\" INT; echo ready
        n=0; while [ $n -lt 40 ]; do sleep 0.05 || :; n=$((n+1)); done; exit 6";
    let mut terminal = OnTerminal::start(
        &binary("compcache"),
        &["run", "-m", "32M", "-q", "--", "sh", "-c", script],
        |command| bed.set_environment(command),
    );
    wait_until("ready", || terminal.running.stdout().contains("ready"));
    terminal.interrupt();
    let out = terminal.running.finish();
    assert_eq!(out.stdout.matches("caught").count(), 1, "{out}");
    assert_eq!(out.code(), 6, "{out}");
    bed.assert_nothing_left();
}

/// A program that does not catch the signal dies of it, and so the status says.
#[test]
fn a_signal_that_kills() {
    let Some(bed) = Bed::new() else { return };
    let running = Running::start(&mut run(
        &bed,
        "32M",
        &["-q", "--", "sh", "-c", "echo ready; exec sleep 300"],
    ));
    wait_until("ready", || running.stdout().contains("ready"));
    running.signal(libc::SIGINT);
    assert_eq!(running.finish().code(), 128 + 2);
    bed.assert_nothing_left();
}

/// A program that needs more than its memory and the whole device together is killed by the
/// kernel, and told about.
#[test]
fn out_of_memory_is_told() {
    let Some(bed) = Bed::new() else { return };
    let others = compcache_device::swap::active().unwrap();
    if !needs::need(others.is_empty(), "needs a machine without other swap") {
        return;
    }
    let size = (96 * MIB).to_string();
    let hog = binary("compcache");
    let hungry = ["--", hog.to_str().unwrap(), "hog", "--size", &size];
    for options in [&["--size", "8M"][..], &["--quiet", "--size", "8M"]] {
        let out = Outcome::of(&mut run(&bed, "16M", &[options, &hungry].concat()));
        assert_eq!(out.code(), 128 + 9, "{out}");
        out.refused(&["out of memory", "--memory", "--size"]);
    }
    bed.assert_nothing_left();
}

/// Processes that the program leaves behind end with it.
#[test]
fn what_the_program_leaves_behind_is_ended() {
    let Some(bed) = Bed::new() else { return };
    let out = Outcome::of(&mut run(
        &bed,
        "32M",
        &["--", "sh", "-c", "sleep 300 >/dev/null 2>&1 & exit 4"],
    ));
    assert_eq!(out.code(), 4, "{out}");
    out.refused(&["ended 1 process(es)", "left running"]);
    bed.assert_nothing_left();
}

/// Two runs at once share the device; it is there until the last one ends.
#[test]
fn two_runs_share_the_device() {
    if !needs::programs(&["python3"]) {
        return;
    }
    let Some(bed) = Bed::new() else { return };
    let start = || Running::start(&mut run(&bed, "48M", &["--", "python3", "-c", PROGRAM]));
    let [first, second] = [start(), start()];
    let leases = until("both leases", || {
        let (daemon, devices) = bed.status();
        let ready = devices.iter().filter(|d| d.block_device.is_some()).count();
        (daemon.leases == 2).then_some(ready)
    });
    assert_eq!(leases, 1, "devices in use");
    for running in [first, second] {
        let out = running.finish();
        // Nobody has chosen parameters.
        assert!(!out.stderr.contains("not used"), "{out}");
        // What both have swapped is not said of either.
        for words in ["device, shared with other programs: ", " saved for "] {
            assert!(out.stderr.contains(words), "{words}: {out}");
        }
        assert_eq!(out.success(), "verified 24576\n");
    }
    bed.assert_nothing_left();
}

/// When `compcache run` is killed, the device is given back anyway, with every page that any program
/// has on it, and a daemon with nothing else to do ends.
#[test]
fn killed_run_gives_its_device_back() {
    let Some(bed) = Bed::new() else { return };
    let daemon = Running::start(bed.command("compcached").arg("--exit-when-idle"));
    let running = Running::start(&mut run(
        &bed,
        "32M",
        &["--size", "64M", "--", "sh", "-c", "echo $$; exec sleep 300"],
    ));
    let child: u32 = until("the program", || running.stdout().trim().parse().ok());
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 32 * MIB, 31);
    hog.fill();
    let device = bed.device(0);
    assert!(device.swap.is_some_and(|swap| swap.used_bytes > 0));
    group.set_limit(64 * MIB);
    running.signal(libc::SIGKILL);
    assert_eq!(running.finish().code(), 128 + 9);
    let child = rustix::process::Pid::from_raw(child.cast_signed()).unwrap();
    // It may have been ended with its parent.
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    // Swapped off and reset, it is idle.
    daemon.finish().success();
    assert!(bed.devices_left().is_empty());
    hog.verify();
    drop(hog);
    drop(group);
    // The next run removes the cgroup that is left, once the killed program has left it.
    wait_until("the cgroup of the killed run to be removed", || {
        Outcome::of(&mut run(&bed, "32M", &["-q", "--", "true"])).success();
        left_behind().is_empty()
    });
    bed.assert_nothing_left();
}
