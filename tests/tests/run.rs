//! `compcache run`: any program in less memory than it needs.

use std::fs;
use std::process::Command;

use compcache_tests::{Bed, OnTerminal, Outcome, Running, binary, left_behind, needs, until};

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

#[test]
fn exit_statuses_are_passed_on() {
    let Some(bed) = Bed::new() else { return };
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -SEGV $$", 128 + 11),
    ] {
        let out = Outcome::of(&mut run(
            &bed,
            "32M",
            &["--quiet", "--", "sh", "-c", script],
        ));
        assert_eq!(out.code(), code, "{script}: {out}");
    }
    let missing = Outcome::of(&mut run(&bed, "32M", &["--", "/no/such/program"]));
    assert_eq!(missing.code(), 127, "{missing}");
    missing.refused(&["/no/such/program", "not found"]);
    let directory = Outcome::of(&mut run(&bed, "32M", &["--", "/etc"]));
    assert_eq!(directory.code(), 126, "{directory}");
    bed.assert_nothing_left();
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
    let script = "trap 'echo TERM; exit 3' TERM; trap 'echo USR1' USR1; echo ready
        while :; do sleep 0.05; done";
    let running = Running::start(&mut run(&bed, "32M", &["-q", "--", "sh", "-c", script]));
    let printed = |word: &str| until(word, || running.stdout().contains(word).then_some(()));
    printed("ready");
    running.signal(libc::SIGUSR1);
    printed("USR1");
    running.signal(libc::SIGTERM);
    let out = running.finish();
    assert_eq!(out.stdout, "ready\nUSR1\nTERM\n", "{out}");
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
    until("ready", || {
        terminal.running.stdout().contains("ready").then_some(())
    });
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
    until("ready", || running.stdout().contains("ready").then_some(()));
    running.signal(libc::SIGINT);
    assert_eq!(running.finish().code(), 128 + 2);
    bed.assert_nothing_left();
}

/// A program that needs more than its memory and the whole device together is killed by the
/// kernel, and told about.
#[test]
fn out_of_memory_is_told() {
    if !needs::programs(&["python3"]) {
        return;
    }
    let Some(bed) = Bed::new() else { return };
    let others = compcache_device::swap::active().unwrap();
    if !needs::need(others.is_empty(), "needs a machine without other swap") {
        return;
    }
    let hungry = "import os\nx=[]\nwhile True: x.append(os.urandom(1<<20))";
    let out = Outcome::of(&mut run(
        &bed,
        "32M",
        &["--size", "32M", "--", "python3", "-c", hungry],
    ));
    assert_eq!(out.code(), 128 + 9, "{out}");
    for word in ["out of memory", "--memory", "--size"] {
        assert!(out.stderr.contains(word), "{out}");
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
    assert!(out.stderr.contains("left running"), "{out}");
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
        assert_eq!(running.finish().success(), "verified 24576\n");
    }
    bed.assert_nothing_left();
}

/// When `compcache run` is killed, the device is given back anyway, once the program has
/// ended too.
#[test]
fn killed_run_gives_its_device_back() {
    let Some(bed) = Bed::new() else { return };
    let running = Running::start(&mut run(
        &bed,
        "32M",
        &["--", "sh", "-c", "echo $$; exec sleep 300"],
    ));
    let child: u32 = until("the program", || running.stdout().trim().parse().ok());
    running.signal(libc::SIGKILL);
    assert_eq!(running.finish().code(), 128 + 9);
    let child = rustix::process::Pid::from_raw(child.cast_signed()).unwrap();
    // It may have been ended with its parent.
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    // The next run removes the cgroup that is left, once the killed program has left it.
    until("the cgroup of the killed run to be removed", || {
        Outcome::of(&mut run(&bed, "32M", &["-q", "--", "true"])).success();
        left_behind().is_empty().then_some(())
    });
    bed.assert_nothing_left();
}
